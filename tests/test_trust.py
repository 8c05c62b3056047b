"""The trust file and its quorums: whose signatures count, and when they are enough."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from crypto import bls
from crypto.group import decode_g1, encode_g1
from crypto.signatures import Signature
from formats import InputError, VerificationError
from verifier.attest import Attestation, Trust


def refused(trust: Trust, attestation: Attestation) -> str:
    with pytest.raises(VerificationError) as caught:
        trust.quorum(attestation)
    return caught.value.message


@pytest.fixture(scope="module")
def world(parties: ModuleType) -> Any:
    return parties.world()


# Documents


def parse(parties: ModuleType, **changes: Any) -> Trust:
    return Trust.parse(json.dumps(parties.trust_json(**changes)), file="trust.json")


def rule(**changes: Any) -> dict[str, Any]:
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
        ({"positions": [rule(signers=["venue A", "venue A"], threshold=2)]}, "'venue A' is there twice"),
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
def test_34_trust_files_that_cannot_be_meant(parties: ModuleType, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        parse(parties, **change)
    assert caught.value.file == "trust.json"


def test_34_one_key_under_two_names_would_count_twice(parties: ModuleType) -> None:
    keys = parties.trust_json()["keys"]
    for twin in (keys[0] | {"name": "somebody else"}, keys[1] | {"name": keys[0]["name"]}):
        with pytest.raises(InputError, match="is there twice"):
            parse(parties, keys=[*keys, twin])


def test_33_key_without_proof_of_possession_is_refused(parties: ModuleType) -> None:
    keys = parties.trust_json()["keys"]
    with pytest.raises(InputError, match="needs one"):
        parse(parties, keys=[keys[0] | {"possession": None}, *keys[1:]])
    with pytest.raises(InputError, match="not this key's"):
        parse(parties, keys=[keys[0] | {"possession": keys[1]["possession"]}, *keys[1:]])


def test_digest_is_of_the_content(parties: ModuleType) -> None:
    value = parties.trust_json()
    turned = Trust.parse(json.dumps(dict(reversed(value.items()))))
    assert turned.digest() == parties.trust().digest()
    assert parties.trust(clock_skew_seconds=6).digest() != parties.trust().digest()


# Quorums


@pytest.mark.parametrize(
    "names", [("oracle 1", "oracle 2"), ("oracle 3", "oracle 1"), ("oracle 1", "oracle 2", "oracle 3")]
)
def test_enough_signers_of_either_scheme(parties: ModuleType, world: Any, names: tuple[str, ...]) -> None:
    quorum = parties.trust().quorum(world.attest_snapshot(*names))
    assert quorum.signers == tuple(sorted(names))
    assert quorum.rule.name == "main"


def test_34_unsigned(parties: ModuleType, world: Any) -> None:
    assert "not signed by anyone" in refused(parties.trust(), Attestation(payload=world.snapshot_payload()))


def test_34_under_the_threshold(parties: ModuleType, world: Any) -> None:
    assert "1 of 2 signatures (oracle 1)" in refused(parties.trust(), world.attest_snapshot("oracle 1"))


def test_34_same_signer_twice_counts_once(parties: ModuleType, world: Any) -> None:
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


def test_34_same_key_does_not_sign_twice(world: Any) -> None:
    with pytest.raises(InputError, match="already"):
        world.attest_snapshot("oracle 1", "oracle 1")


def test_34_unknown_signers_are_not_counted(parties: ModuleType, world: Any) -> None:
    stranger = world.attest_snapshot("oracle 1", "stranger")
    reason = refused(parties.trust(), stranger)
    assert "1 of 2 signatures (oracle 1); 1 not counted" in reason
    enough = world.attest_snapshot("oracle 1", "stranger", "oracle 3")
    assert parties.trust().quorum(enough).signers == ("oracle 1", "oracle 3")


def test_34_keys_trusted_for_something_else_are_not_counted(parties: ModuleType, world: Any) -> None:
    assert "0 of 2 signatures" in refused(parties.trust(), world.attest_snapshot("venue A", "custodian E"))
    assert "0 of 1 signatures" in refused(parties.trust(), world.attest("venue A", by="venue B"))
    assert "0 of 1 signatures" in refused(parties.trust(), world.attest("custodian D", by="venue A"))


def test_nobody_is_trusted_for_it(parties: ModuleType, world: Any) -> None:
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


def test_wrong_signature_of_a_trusted_key_is_refused_whatever_else_is_there(parties: ModuleType, world: Any) -> None:
    good = world.attest_snapshot("oracle 1", "oracle 2")
    other = world.attest_snapshot("oracle 3", sequence=8)
    mixed = good.model_copy(update={"signatures": (*good.signatures, *other.signatures)})
    assert "the signature of oracle 3 does not verify" in refused(parties.trust(), mixed)


@pytest.mark.parametrize("field", ["sequence", "time", "series", "snapshot", "market"])
def test_every_field_is_signed(parties: ModuleType, world: Any, field: str) -> None:
    good = world.attest_snapshot()
    value = {"sequence": 8, "time": "2026-01-02T03:04:06Z", "series": "main"}.get(field, "00" * 32)
    payload = good.payload.model_copy(update={field: value})
    changed = good.model_copy(update={"payload": payload})
    if field == "series":
        assert parties.trust().quorum(changed).signers
    else:
        assert "does not verify" in refused(parties.trust(), changed)


# Aggregates


def test_aggregate_counts_all_of_its_signers(parties: ModuleType, world: Any) -> None:
    both = world.attest_snapshot("oracle 1", "oracle 2", "oracle 3").aggregated()
    assert [len(s.public_keys) for s in both.signatures] == [2, 1]
    assert parties.trust().quorum(both).signers == ("oracle 1", "oracle 2", "oracle 3")
    assert len(both.to_bytes()) < len(world.attest_snapshot("oracle 1", "oracle 2", "oracle 3").to_bytes())


def test_aggregate_with_an_unknown_key_is_not_counted(parties: ModuleType, world: Any) -> None:
    mixed = world.attest_snapshot("oracle 1", "oracle 2", "stranger").aggregated()
    assert "0 of 2 signatures; 1 not counted" in refused(parties.trust(), mixed)


def test_33_rogue_key_in_an_aggregate_forges_nothing(parties: ModuleType, world: Any) -> None:
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
        signature=bls.sign(x, attestation.message).hex(),
    )
    assert forged.verifies(attestation.message)
    assert "0 of 2 signatures; 1 not counted" in refused(
        parties.trust(), attestation.model_copy(update={"signatures": (forged,)})
    )


def test_aggregate_that_lacks_a_signer(parties: ModuleType, world: Any) -> None:
    one = world.attest_snapshot("oracle 1").signatures[0]
    two = parties.signer_of("oracle 2").public.public_key
    claimed = Signature(scheme="bls", public_keys=(*one.public_keys, two), signature=one.signature)
    attestation = Attestation(payload=world.snapshot_payload(), signatures=(claimed,))
    assert "the signature of oracle 1, oracle 2 does not verify" in refused(parties.trust(), attestation)


def test_bad_signatures_are_not_added_up(world: Any) -> None:
    good, other = world.attest_snapshot("oracle 1"), world.attest_snapshot("oracle 2", sequence=8)
    with pytest.raises(InputError, match="does not verify"):
        good.model_copy(update={"signatures": (*good.signatures, *other.signatures)}).aggregated()
