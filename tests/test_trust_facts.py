"""What a document says of itself is no fact: policies, revoked keys, required parts, whose receipts count."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support import parties
from support.parties import World
from support.typed import Keywords, Passed

from zkmargin.engine.decimals import format_time
from zkmargin.engine.policy import Policy, compare_with_shipped, load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError, VerificationError
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import (
    Acceptance,
    Attestation,
    Authenticated,
    Challenge,
    Memory,
    Receipt,
    Revocations,
    RevocationsPayload,
    Sighting,
    SnapshotPayload,
    Trust,
    accept,
    authenticate,
)


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


@pytest.fixture(scope="module")
def weak() -> Policy:
    """A policy that nearly never charges, and calls itself as the shipped one does."""
    value = json.loads(load_policy("default").to_bytes())
    part = next(part for part in value["components"] if part["type"] == "worst_scenario")
    part["grid"].update(price_moves_bp=[-1, 0, 1], vol_moves_bp=[0], tails=[])
    part["overrides"] = {}
    return Policy.parse(json.dumps(value))


def refusal(call: Callable[..., object], *args: Passed, **given: Passed) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        call(*args, **given)
    return caught.value


# The policy


def test_t1_a_weakened_policy_keeps_its_name_and_not_its_digest(weak: Policy) -> None:
    shipped = load_policy("default")
    assert (weak.name, weak.version) == (shipped.name, shipped.version)
    assert compare_with_shipped(shipped) == "as shipped"
    assert compare_with_shipped(weak) == "altered"
    assert compare_with_shipped(weak.model_copy(update={"name": "desk-7"})) == "own"


def test_t1_a_snapshot_under_another_policy_of_that_name_is_refused(world: World, weak: Policy) -> None:
    """Signed by enough oracles, rebuilt bit for bit from its own policy: and refused by its digest."""
    snapshot = build_snapshot(world.market, weak, domain_size=512)
    statement = Statement.of(snapshot, world.commitments, world.statement.claim, context=world.statement.context)
    payload = SnapshotPayload.of(snapshot, series="main", sequence=7)
    attestations = world.attestations(snapshot=parties.signed(Attestation(payload=payload), "oracle 1", "oracle 2"))
    given: Keywords = {"attestations": attestations, "now_ms": parties.NOW}
    error = refusal(authenticate, statement, trust=parties.trust(), **given)
    assert error.check == "policy"
    assert weak.digest().hex() in error.message
    both = [load_policy("default").digest().hex(), weak.digest().hex()]
    allowed = parties.trust(snapshots=[parties.snapshot_rule(policies=both)])
    assert authenticate(statement, trust=allowed, **given).snapshot.payload.policy == weak.digest().hex()


def test_t1_the_verifiers_own_policy(world: World, weak: Policy) -> None:
    given: Keywords = {"now_ms": parties.NOW, "challenge": world.challenge}
    error = refusal(accept, world.statement, world.proof, policy=weak, **given)
    assert error.check == "policy"
    accept(world.statement, world.proof, policy=load_policy("default"), **given)


def test_t1_an_attestation_with_another_policy_than_the_snapshots(world: World) -> None:
    other = world.attest_snapshot(policy="11" * 32)
    error = refusal(
        authenticate, world.statement, world.attestations(snapshot=other), parties.trust(),
        now_ms=parties.NOW,
    )  # fmt: skip
    assert "is another snapshot: its policy differs" in error.message


def test_t1_trust_files_and_attestations_name_policies(world: World) -> None:
    with pytest.raises(InputError, match="names no policy") as caught:
        parties.trust(snapshots=[parties.snapshot_rule(policies=[])])
    assert caught.value.field == "snapshots: main: policies"
    value = json.loads(world.attest_snapshot().to_bytes())
    value["payload"]["policy"] = None
    with pytest.raises(InputError, match="which policy the snapshot has"):
        Attestation.parse(json.dumps(value))


# Documents of version 1


def first_version(world: World) -> tuple[Trust, list[Attestation]]:
    """The trust file and the attestations that the release before would have made."""
    value = parties.trust_json(format="zkmargin/trust/v1")
    value["snapshots"] = [{k: v for k, v in rule.items() if k != "policies"} for rule in value["snapshots"]]
    attestations = []
    for new in world.attestations():
        payload = {k: v for k, v in new.to_json()["payload"].items() if k != "policy"}
        old = Attestation.model_validate({"format": "zkmargin/attestation/v1", "payload": payload})
        signers = parties.ORACLES[:2] if payload["kind"] == "snapshot" else [payload["issuer"]]
        attestations.append(parties.signed(old, *signers))
    return Trust.model_validate(value), attestations


def test_version_1_verifies_as_it_did(world: World) -> None:
    trust, attestations = first_version(world)
    assert not trust.pins_policies
    for document in (trust, *attestations):
        assert document.format.endswith("/v1")
        assert type(document).parse(document.to_bytes()) == document
    for asked in (trust, parties.trust()):
        found = authenticate(world.statement, attestations, asked, now_ms=parties.NOW)
        assert found.snapshot.signers == ("oracle 1", "oracle 2")


def test_no_signature_crosses_over_to_another_version(world: World) -> None:
    _, attestations = first_version(world)
    old = next(a for a in attestations if not isinstance(a.payload, SnapshotPayload))
    crossed = Attestation(payload=old.payload, signatures=old.signatures)
    assert crossed.payload_digest != old.payload_digest
    assert "does not verify" in refusal(parties.trust().quorum, crossed).message
    with pytest.raises(InputError, match="attests something else"):
        old.combined(crossed)


def test_version_1_knows_nothing_of_secp256k1(world: World) -> None:
    _, attestations = first_version(world)
    unsigned = attestations[0].model_copy(update={"signatures": ()})
    signer = parties.signer("oracle 1", "secp256k1")
    with pytest.raises(InputError, match="not signed with secp256k1"):
        unsigned.signed(signer)
    new = Attestation(payload=world.snapshot_payload()).signed(signer)
    carried = unsigned.model_copy(update={"signatures": new.signatures})
    assert not carried.signatures[0].verifies(carried.message)


# Revocations

OFFICER, GROUP = "security officer", "exchange group"


def revoking(**changes: Passed) -> Trust:
    keys = [*parties.trust_json()["keys"], parties.signer(OFFICER).public.model_dump(mode="json")]
    rule = {"name": GROUP, "signers": [OFFICER], "threshold": 1, "max_age_seconds": 3600}
    return parties.trust(keys=keys, revocations=[rule], **changes)


def a_list(*, sequence: int = 4, age: int = 60, by: str = OFFICER, **given: Passed) -> Revocations:
    time = format_time(parties.NOW - 1000 * age)
    payload = RevocationsPayload.model_validate({"issuer": GROUP, "sequence": sequence, "time": time, **given})
    return Revocations(payload=payload).signed(parties.signer(by))


def key_of(name: str) -> dict[str, str]:
    public = parties.signer_of(name).public
    return {"scheme": public.scheme, "public_key": public.public_key, "reason": "stolen"}


def check(world: World, *lists: Revocations, **given: Passed) -> Authenticated:
    arguments: Keywords = {"now_ms": parties.NOW, "revocations": lists, "trust": revoking()} | given
    attestations = arguments.pop("attestations", None) or world.attestations()
    return authenticate(world.statement, attestations, **arguments)


def test_t2_a_revoked_key_signs_nothing_that_counts(world: World) -> None:
    assert check(world, a_list()).revocations == (a_list(),)
    stolen = a_list(keys=[key_of("oracle 2")])
    error = refusal(check, world, stolen)
    assert "1 of 2 signatures (oracle 1); 1 not counted: by a key that is revoked" in error.message
    others = world.attestations(snapshot=world.attest_snapshot(*parties.ORACLES))
    assert check(world, stolen, attestations=others).snapshot.signers == ("oracle 1", "oracle 3")


def test_t2_a_revoked_key_inside_an_aggregate(world: World) -> None:
    stolen = a_list(keys=[key_of("oracle 2")])
    aggregate = world.attestations(snapshot=world.attest_snapshot().aggregated())
    check(world, a_list(), attestations=aggregate)
    assert "0 of 2" in refusal(check, world, stolen, attestations=aggregate).message


def test_t2_a_revoked_attestation(world: World) -> None:
    payload = world.attest("venue B").payload_digest.hex()
    error = refusal(check, world, a_list(attestations=[{"payload": payload}]))
    assert (error.check, "venue B: the attestation is revoked" in error.message) == ("revocation", True)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("missing", "no list of revocations by 'exchange group'"),
        ("old", "number 4 of the revocations by 'exchange group' is 3606 s old, at most 3600 s are allowed"),
        ("future", "is from the future"),
        ("another signer", "0 of 1 signatures; 1 not counted"),
        ("unsigned", "not signed by anyone"),
        ("nobody's", "trusts no revocations by 'somebody'"),
        ("superseded", "is superseded: number 5 was seen"),
        ("contradiction", "contradicts what was signed before under the same number"),
        ("two", "more than one list by 'exchange group'"),
    ],
)
def test_t2_which_lists_count(world: World, case: str, reason: str) -> None:
    good, stream = a_list(), ("revocations", GROUP)
    lists: dict[str, tuple[Revocations, ...]] = {
        "missing": (),
        "old": (a_list(age=3606),),
        "future": (a_list(age=-6),),
        "another signer": (a_list(by="oracle 1"),),
        "unsigned": (good.model_copy(update={"signatures": ()}),),
        "nobody's": (good, a_list(issuer="somebody")),
        "two": (good, a_list(sequence=5)),
    }
    known = Memory()
    if case == "superseded":
        known = Memory(sightings={stream: Sighting(5, "00" * 32)})
    if case == "contradiction":
        known = Memory(sightings={stream: Sighting(4, "00" * 32)})
    assert reason in refusal(check, world, *lists.get(case, (good,)), known=known).message


def test_t2_what_was_seen_and_which_lists_stand_in_the_receipt(world: World) -> None:
    one = a_list()
    acceptance: Acceptance = accept(
        world.statement, world.proof, now_ms=parties.NOW, trust=revoking(),
        attestations=world.attestations(), revocations=[one], challenge=world.challenge,
    )  # fmt: skip
    digest = one.payload_digest.hex()
    assert acceptance.sightings["revocations", GROUP] == Sighting(4, digest)
    receipt = acceptance.receipt(software="test")
    assert receipt.payload.revocations == (digest,)
    assert receipt.payload.snapshot.policy == load_policy("default").digest().hex()
    assert Receipt.parse(receipt.to_bytes()) == receipt


def test_t2_a_list_names_everything_once() -> None:
    for field, item in (("keys", key_of("oracle 1")), ("attestations", {"payload": "11" * 32})):
        given: Keywords = {field: [item, item]}
        with pytest.raises(InputError, match="is there twice"):
            a_list(**given)


# Required parts


def test_t3_a_required_part(world: World) -> None:
    def asked(**part: Passed) -> Trust:
        needed = {"role": "positions", "issuer": "venue A"} | part
        return parties.trust(required=[needed])

    for trust in (asked(), asked(accounts=[parties.ACCOUNT]), asked(part="options", accounts=["somebody else"])):
        check(world, trust=trust)
    error = refusal(check, world, trust=asked(part="options"))
    assert error.check == "required part"
    assert "requires positions 'options' by 'venue A' of 'market maker'" in error.message
    with pytest.raises(InputError, match="'venue Z' are trusted by no rule"):
        asked(issuer="venue Z")
    with pytest.raises(InputError, match="collateral by 'venue A' are trusted by no rule"):
        asked(role="collateral")


def test_t3_a_venue_cannot_be_left_out(world: World) -> None:
    """A short position is at venue B: without its part the rest of the account would look better."""
    trust = parties.trust(required=[{"role": "positions", "issuer": "venue B"}])
    rest = [c for c, name in zip(world.commitments, world.openings, strict=True) if name != "venue B"]
    statement = Statement.of(world.snapshot, rest, world.statement.claim, context=world.challenge.context)
    attestations = world.attestations(venue_B=None)
    given: Keywords = {"now_ms": parties.NOW, "attestations": attestations}
    authenticate(statement, trust=parties.trust(), **given)
    assert refusal(authenticate, statement, trust=trust, **given).check == "required part"


# Whose receipts count


def signed_receipt(world: World, by: str | None) -> Receipt:
    acceptance = accept(
        world.statement, world.proof, now_ms=parties.NOW, trust=parties.trust(),
        attestations=world.attestations(), challenge=world.challenge,
    )  # fmt: skip
    receipt = acceptance.receipt(software="test")
    return receipt if by is None else receipt.signed(parties.signer(by))


def test_t4_receipts_count_by_who_signed_them(world: World) -> None:
    keys = [*parties.trust_json()["keys"], parties.signer("desk key").public.model_dump(mode="json")]
    trust = parties.trust(keys=keys, receipts=[{"name": parties.DESK, "signers": ["desk key"], "threshold": 1}])
    assert trust.receipt_quorum(signed_receipt(world, "desk key")).signers == ("desk key",)
    assert "not signed by anyone" in refusal(trust.receipt_quorum, signed_receipt(world, None)).message
    for stranger in ("mallory", "venue A"):
        assert "not trusted for this" in refusal(trust.receipt_quorum, signed_receipt(world, stranger)).message
    named = signed_receipt(world, "desk key")
    nameless = named.model_copy(update={"payload": named.payload.model_copy(update={"verifier": None})})
    for receipt, name in ((named, parties.DESK), (nameless, "")):
        message = refusal(parties.trust().receipt_quorum, receipt).message
        assert message == f"the trust file trusts no receipts of the verifier {name!r}"
    changed = signed_receipt(world, "desk key")
    later = changed.model_copy(update={"payload": changed.payload.model_copy(update={"time": "2026-01-02T03:04:00Z"})})
    assert "does not verify" in refusal(trust.receipt_quorum, later).message


# Challenges


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"nonce": "00" * 32}, "all zeros"),
        ({"deadline": "2027-01-03T03:04:46Z"}, "more than 366 days"),
        ({"deadline": "9999-12-31T23:59:59Z"}, "more than 366 days"),
    ],
)
def test_t5_challenges_are_bounded_when_they_are_read(world: World, change: dict[str, str], reason: str) -> None:
    value = json.loads(world.challenge.to_bytes()) | change
    with pytest.raises(InputError, match=reason):
        Challenge.parse(json.dumps(value))
