"""The trust file and its quorums: whose signatures count, and when they are enough."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields

import pytest
from support import parties
from support.parties import World
from support.typed import JsonObject, Keywords, Passed

from zkmargin.accounts import Commitment, CommitmentPart
from zkmargin.accounts.updates import Migration, MigrationPart, Update, UpdatePart
from zkmargin.crypto import bls
from zkmargin.crypto.group import decode_g1, encode_g1
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.engine.decimals import parse_time
from zkmargin.formats import Document, InputError, Model, VerificationError, keccak256
from zkmargin.verifier.attest import (
    Attestation,
    Challenge,
    CommitmentPayload,
    Receipt,
    ReceiptPayload,
    RequiredPart,
    RevocationRule,
    Revocations,
    RevocationsPayload,
    RevokedAttestation,
    RevokedKey,
    Rule,
    SnapshotPayload,
    SnapshotRule,
    Trust,
    accept,
    authenticate,
)
from zkmargin.verifier.attest.accept import check_challenge
from zkmargin.verifier.attest.receipt import AttestedBy, ReceiptSnapshot


def refused(trust: Trust, attestation: Attestation) -> str:
    with pytest.raises(VerificationError) as caught:
        trust.quorum(attestation)
    return caught.value.message


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


# Documents


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (Attestation, "attestation/v2"),
        (Challenge, "challenge/v1"),
        (Commitment, "commitment/v1"),
        (Migration, "migration/v1"),
        (Receipt, "receipt/v3"),
        (Revocations, "revocations/v1"),
        (Trust, "trust/v2"),
        (Update, "update/v1"),
    ],
)
def test_names_of_formats(document: type[Document], name: str) -> None:
    assert f"zkmargin/{name}" == document.FORMAT
    assert document.SECRET is (name in ("migration/v1", "update/v1"))


TEXT, COUNT = {"minLength": 1, "maxLength": 200}, {"minimum": 0, "exclusiveMaximum": 2**63}
RULE = {"name": TEXT, "signers": {"minItems": 1, "maxItems": 64, "items": TEXT}, "threshold": {"minimum": 1}}
AGE, REVOKED = {"max_age_seconds": {"minimum": 1, "maximum": 31_622_400}}, {"maxItems": 1 << 14}
POINTS, TABLE = {"minItems": 1, "maxItems": 4096}, {"minItems": 1, "maxItems": 1024}
STEP = {"alias": TEXT, "before": POINTS, "after": POINTS}
BITS = {"minimum": 1, "maximum": 72}
BOUNDS: dict[type[Model], JsonObject] = {
    Rule: RULE,
    SnapshotRule: RULE | AGE | {"policies": {"maxItems": 64}},
    RevocationRule: RULE | AGE,
    RequiredPart: {"issuer": TEXT, "part": TEXT, "accounts": {"maxItems": 1024, "items": TEXT}},
    RevocationsPayload: {"issuer": TEXT, "sequence": COUNT, **dict.fromkeys(("keys", "attestations"), REVOKED)},
    RevokedKey: {"reason": {"maxLength": 200}},
    RevokedAttestation: {"reason": {"maxLength": 200}},
    Trust: {
        "verifier": TEXT,
        "beneficiary": TEXT,
        "clock_skew_seconds": {"minimum": 0, "maximum": 3600, "default": 30},
        "keys": {"minItems": 1, "maxItems": 256},
        "snapshots": TABLE,
        "positions": TABLE,
        "collateral": TABLE,
        **{name: {"maxItems": 1024} for name in ("receipts", "revocations", "required")},
    },
    Attestation: {"signatures": {"maxItems": 64}},
    SnapshotPayload: {"series": TEXT, "sequence": COUNT},
    CommitmentPayload: {
        "issuer": TEXT,
        "account": TEXT,
        "part": TEXT,
        "sequence": COUNT,
        "points": POINTS,
        "bits": BITS,
        "beneficiary": TEXT,
    },
    Challenge: {"audience": TEXT},
    Receipt: {"signatures": {"maxItems": 1}},
    ReceiptPayload: {
        "software": {"maxLength": 200},
        "verifier": TEXT,
        "limits": {"maxItems": 1 << 17},
        "parts": {"maxItems": 1 << 17},
        "revocations": {"maxItems": 1024},
    },
    ReceiptSnapshot: {"name": {"maxLength": 200}},
    AttestedBy: {"rule": TEXT, "sequence": COUNT, "signers": {"minItems": 1, "maxItems": 1 << 17, "items": TEXT}},
    Commitment: {"parts": TABLE},
    CommitmentPart: {"alias": TEXT, "points": POINTS, "bits": BITS},
    Update: {"parts": {"minItems": 1, "maxItems": 2}},
    UpdatePart: STEP | {"increments": POINTS},
    Migration: {"parts": {"minItems": 1, "maxItems": 2}},
    MigrationPart: STEP | {"blinders": POINTS},
}


def bounds(schema: JsonObject) -> JsonObject:
    """What a JSON schema bounds, and numbers that are given by default."""
    words = ("minItems", "maxItems", "minimum", "maximum", "exclusiveMaximum", "minLength", "maxLength")
    found = {word: schema[word] for word in words if word in schema}
    if isinstance(schema.get("default"), int):
        found["default"] = schema["default"]
    if "items" in schema and (inner := bounds(schema["items"])):
        found["items"] = inner
    for choice in schema.get("anyOf", ()):
        found |= bounds(choice)
    return found


@pytest.mark.parametrize("model", BOUNDS, ids=lambda model: model.__name__)
def test_48_sizes_and_numbers_are_bounded_as_stated(model: type[Model]) -> None:
    properties = model.model_json_schema()["properties"]
    assert {name: b for name, schema in properties.items() if (b := bounds(schema))} == BOUNDS[model]


def test_a_required_part_is_the_main_one_where_none_is_named() -> None:
    assert RequiredPart(role="collateral", issuer="custodian D").part == "main"


def parse(**changes: Passed) -> Trust:
    return Trust.parse(json.dumps(parties.trust_json(**changes)), file="trust.json")


def rule(**changes: Passed) -> JsonObject:
    return {"name": "venue A", "signers": ["venue A"], "threshold": 1} | changes


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"positions": []}, "positions"),
        ({"collateral": []}, "collateral"),
        ({"snapshots": []}, "snapshots"),
        ({"keys": []}, "keys"),
        ({"positions": [rule(threshold=0)]}, "threshold"),
        ({"positions": [rule(threshold=-1)]}, "threshold"),
        ({"positions": [rule(threshold=2)]}, "2 of 1 signers: never enough"),
        ({"positions": [rule(signers=[])]}, "signers"),
        ({"positions": [rule(signers=["venue A", "venue A"], threshold=2)]}, "signers: 'venue A' is there twice"),
        ({"positions": [rule(signers=["nobody"])]}, "no key is named 'nobody'"),
        ({"positions": [rule(), rule()]}, "'venue A' is there twice"),
        ({"positions": [rule(threshold="1")]}, "threshold"),
        ({"positions": [rule(max_age_seconds=5)]}, "unknown key"),
        ({"clock_skew_seconds": -1}, "clock_skew"),
        ({"clock_skew_seconds": 86_400}, "clock_skew"),
        ({"verifier": ""}, "verifier"),
        ({"more": 1}, "unknown key"),
    ],
)
def test_34_trust_files_that_cannot_be_meant(change: Keywords, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        parse(**change)
    assert caught.value.file == "trust.json"


def test_34_one_key_under_two_names_would_count_twice() -> None:
    keys = parties.trust_json()["keys"]
    stranger = parties.signer_of("stranger").public.model_dump(mode="json")
    for twin in (keys[0] | {"name": "somebody else"}, stranger | {"name": keys[0]["name"]}):
        with pytest.raises(InputError, match="is there twice") as caught:
            parse(keys=[*keys, twin])
        assert caught.value.field == "keys"


def test_33_key_without_proof_of_possession_is_refused() -> None:
    keys = parties.trust_json()["keys"]
    with pytest.raises(InputError, match="needs one"):
        parse(keys=[keys[0] | {"possession": None}, *keys[1:]])
    with pytest.raises(InputError, match="not this key's"):
        parse(keys=[keys[0] | {"possession": keys[1]["possession"]}, *keys[1:]])


def test_digest_is_of_the_content() -> None:
    value = parties.trust_json()
    turned = Trust.parse(json.dumps(dict(reversed(value.items()))))
    assert turned.digest() == parties.trust().digest()
    assert parties.trust(clock_skew_seconds=6).digest() != parties.trust().digest()


# Quorums


@pytest.mark.parametrize(
    "names", [("oracle 1", "oracle 2"), ("oracle 3", "oracle 1"), ("oracle 1", "oracle 2", "oracle 3")]
)
def test_enough_signers_of_either_scheme(world: World, names: tuple[str, ...]) -> None:
    quorum = parties.trust().quorum(world.attest_snapshot(*names))
    assert quorum.signers == tuple(sorted(names))
    assert quorum.rule.name == "main"
    with pytest.raises(FrozenInstanceError):
        setattr(quorum, "signers", ())  # noqa: B010 - the type checker refuses it as well


def test_34_unsigned(world: World) -> None:
    unsigned = Attestation(payload=world.snapshot_payload())
    assert refused(parties.trust(), unsigned) == "main: not signed by anyone"


def test_34_under_the_threshold(world: World) -> None:
    assert refused(parties.trust(), world.attest_snapshot("oracle 1")) == "main: 1 of 2 signatures (oracle 1)"


def test_34_same_signer_twice_counts_once(world: World) -> None:
    one = world.attest_snapshot("oracle 1")
    twice = one.model_copy(update={"signatures": one.signatures * 2})
    assert "1 of 2 signatures (oracle 1)" in refused(parties.trust(), twice)
    added = Signature(
        scheme="bls",
        public_keys=one.signatures[0].public_keys * 2,
        signature=bls.aggregate([bytes.fromhex(one.signatures[0].signature)] * 2).hex(),
    )
    assert added.verifies(one.message)
    assert "1 of 2 signatures (oracle 1)" in refused(parties.trust(), one.model_copy(update={"signatures": (added,)}))


def test_34_same_key_does_not_sign_twice(world: World) -> None:
    with pytest.raises(InputError, match="already"):
        world.attest_snapshot("oracle 1", "oracle 1")


def test_34_unknown_signers_are_not_counted(world: World) -> None:
    stranger = world.attest_snapshot("oracle 1", "stranger")
    reason = refused(parties.trust(), stranger)
    assert "1 of 2 signatures (oracle 1); 1 not counted" in reason
    enough = world.attest_snapshot("oracle 1", "stranger", "oracle 3")
    assert parties.trust().quorum(enough).signers == ("oracle 1", "oracle 3")


def test_34_keys_trusted_for_something_else_are_not_counted(world: World) -> None:
    assert "0 of 2 signatures" in refused(parties.trust(), world.attest_snapshot("venue A", "custodian E"))
    assert "0 of 1 signatures" in refused(parties.trust(), world.attest("venue A", by="venue B"))
    assert "0 of 1 signatures" in refused(parties.trust(), world.attest("custodian D", by="venue A"))


def test_nobody_is_trusted_for_it(world: World) -> None:
    trust = parties.trust()
    assert "no snapshots of the series 'other'" in refused(trust, world.attest_snapshot(series="other"))
    assert "no attestations of positions by 'venue Z'" in refused(
        trust, world.attest("venue A", by="venue A", issuer="venue Z")
    )
    # A venue is trusted for positions, a custodian for collateral: not the other way round.
    assert "no attestations of collateral by 'venue A'" in refused(
        trust, world.attest("venue A", role="collateral", beneficiary=parties.DESK)
    )
    assert "no attestations of positions by 'custodian D'" in refused(
        trust, world.attest("custodian D", role="positions", beneficiary=None)
    )


def test_wrong_signature_of_a_trusted_key_is_refused_whatever_else_is_there(world: World) -> None:
    good = world.attest_snapshot("oracle 1", "oracle 2")
    other = world.attest_snapshot("oracle 3", sequence=8)
    mixed = good.model_copy(update={"signatures": (*good.signatures, *other.signatures)})
    assert "the signature of oracle 3 does not verify" in refused(parties.trust(), mixed)


def receipt_at(world: World, now_ms: int) -> Receipt:
    accepted = accept(world.statement, world.proof, now_ms=now_ms, challenge=world.challenge)
    return accepted.receipt(software="test")


def test_the_time_of_an_acceptance_is_no_difference(world: World) -> None:
    first, second = (receipt_at(world, parties.NOW + ms) for ms in (0, 1))
    assert first.payload.time != second.payload.time
    assert first.differences(second) == ()


def test_who_signed_what_cannot_be_changed(world: World) -> None:
    found = authenticate(world.statement, world.attestations(), parties.trust(), now_ms=parties.NOW)
    accepted = accept(world.statement, world.proof, now_ms=parties.NOW)
    values: list[Passed] = [found, *found.all, accepted]
    for value in values:
        with pytest.raises(FrozenInstanceError):
            setattr(value, fields(value)[0].name, None)


def test_a_challenge_lives_from_a_second_to_a_year() -> None:
    for seconds in (1, 31_622_400):
        challenge = Challenge.new("desk", lifetime_seconds=seconds, now_ms=parties.NOW)
        assert parse_time(challenge.deadline) - parse_time(challenge.issued) == 1000 * seconds
        assert Challenge.parse(challenge.to_bytes()) == challenge
    for seconds in (0, 31_622_401):
        with pytest.raises(InputError, match="from a second to a year"):
            Challenge.new("desk", lifetime_seconds=seconds, now_ms=parties.NOW)


def test_without_a_trust_file_clocks_may_be_half_a_minute_off(world: World) -> None:
    issued, deadline = parse_time(world.challenge.issued), parse_time(world.challenge.deadline)
    for now in (issued - 30_000, deadline + 30_000):
        check_challenge(world.challenge, world.statement, now_ms=now)
    for now in (issued - 30_001, deadline + 30_001):
        with pytest.raises(VerificationError) as caught:
            check_challenge(world.challenge, world.statement, now_ms=now)
        assert caught.value.check == "challenge"


def test_what_is_signed_by_hand(world: World) -> None:
    for attestation in (world.attest_snapshot(), world.attest("custodian D")):
        payload = json.loads(attestation.to_bytes())["payload"]
        form = attestation.format
        signed = json.dumps({"format": form, "payload": payload}, sort_keys=True, separators=(",", ":"))
        assert attestation.payload_digest == keccak256(signed.encode())
        plain = Message(form, attestation.payload_digest)
        assert attestation.message.for_scheme("bls") == plain.for_scheme("bls")
    receipt = receipt_at(world, parties.NOW)
    payload = json.loads(receipt.to_bytes())["payload"]
    signed = json.dumps({"format": "zkmargin/receipt/v2", "payload": payload}, sort_keys=True, separators=(",", ":"))
    plain = Message("zkmargin/receipt/v2", keccak256(signed.encode()))
    assert receipt.message.for_scheme("ed25519") == plain.for_scheme("ed25519")


@pytest.mark.parametrize("change", [{"time": "soon"}, {"snapshot": "00"}, {"market": ""}, {"slot_maps": {}}])
def test_malformed_snapshot_payloads(world: World, change: Keywords) -> None:
    value = json.loads(world.attest_snapshot().to_bytes())
    value["payload"] |= change
    with pytest.raises(InputError) as caught:
        Attestation.parse(json.dumps(value), file="a.json")
    assert str(caught.value.field).split(".")[-1].startswith((*change, "positions"))


@pytest.mark.parametrize("field", ["sequence", "time", "series", "snapshot", "market"])
def test_every_field_is_signed(world: World, field: str) -> None:
    good = world.attest_snapshot()
    value = {"sequence": 8, "time": "2026-01-02T03:04:06Z", "series": "main"}.get(field, "00" * 32)
    payload = good.payload.model_copy(update={field: value})
    changed = good.model_copy(update={"payload": payload})
    if field == "series":
        assert parties.trust().quorum(changed).signers
    else:
        assert "does not verify" in refused(parties.trust(), changed)


# Aggregates


def test_aggregate_counts_all_of_its_signers(world: World) -> None:
    both = world.attest_snapshot("oracle 1", "oracle 2", "oracle 3").aggregated()
    assert [len(s.public_keys) for s in both.signatures] == [2, 1]
    assert parties.trust().quorum(both).signers == ("oracle 1", "oracle 2", "oracle 3")
    assert len(both.to_bytes()) < len(world.attest_snapshot("oracle 1", "oracle 2", "oracle 3").to_bytes())


def test_aggregate_with_an_unknown_key_is_not_counted(world: World) -> None:
    mixed = world.attest_snapshot("oracle 1", "oracle 2", "stranger").aggregated()
    assert "0 of 2 signatures; 1 not counted" in refused(parties.trust(), mixed)


def test_33_rogue_key_in_an_aggregate_forges_nothing(world: World) -> None:
    """Key = [x] G1 - oracle 1 - oracle 2: the sum's secret is x, so the equation holds. It must not count."""
    attestation = Attestation(payload=world.snapshot_payload(sequence=99))
    victims = [bytes.fromhex(parties.signer_of(name).public.public_key) for name in ("oracle 1", "oracle 2")]
    x = (77).to_bytes(32, "big")
    rogue = decode_g1(bls.public_key(x))
    for key in victims:
        rogue = rogue + (-decode_g1(key))
    forged = Signature(
        scheme="bls",
        public_keys=tuple(key.hex() for key in (*victims, encode_g1(rogue))),
        signature=bls.sign(x, attestation.message.for_scheme("bls")).hex(),
    )
    assert forged.verifies(attestation.message)
    assert "0 of 2 signatures; 1 not counted" in refused(
        parties.trust(), attestation.model_copy(update={"signatures": (forged,)})
    )


def test_aggregate_that_lacks_a_signer(world: World) -> None:
    one = world.attest_snapshot("oracle 1").signatures[0]
    two = parties.signer_of("oracle 2").public.public_key
    claimed = Signature(scheme="bls", public_keys=(*one.public_keys, two), signature=one.signature)
    attestation = Attestation(payload=world.snapshot_payload(), signatures=(claimed,))
    assert "the signature of oracle 1, oracle 2 does not verify" in refused(parties.trust(), attestation)


def test_bad_signatures_are_not_added_up(world: World) -> None:
    good, other = world.attest_snapshot("oracle 1"), world.attest_snapshot("oracle 2", sequence=8)
    with pytest.raises(InputError, match="does not verify"):
        good.model_copy(update={"signatures": (*good.signatures, *other.signatures)}).aggregated()
