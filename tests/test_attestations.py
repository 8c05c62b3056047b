"""Attestations: what they say, their files, and which the verifier accepts for a statement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support import parties
from support.parties import World
from support.typed import Json, JsonObject, Keywords, Passed

from zkmargin.crypto import bls
from zkmargin.engine.decimals import format_time
from zkmargin.formats import InputError, VerificationError
from zkmargin.verifier import Statement, verify
from zkmargin.verifier.attest import (
    Attestation,
    Authenticated,
    CommitmentPayload,
    Memory,
    Sighting,
    SnapshotPayload,
    Trust,
    authenticate,
    check_snapshot_attested,
)


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


def check(world: World, **given: Passed) -> Authenticated:
    """Authenticate the statement of the account at NOW; attestations by keyword replace honest ones."""
    trust = given.pop("trust", None) or parties.trust()
    now, known = given.pop("now_ms", parties.NOW), given.pop("known", None)
    attestations = given.pop("attestations", None) or world.attestations(**given)
    return authenticate(world.statement, attestations, trust, now_ms=now, known=known)


def refused(world: World, **given: Passed) -> str:
    with pytest.raises(VerificationError) as caught:
        check(world, **given)
    return caught.value.message


# What is accepted


def test_account_across_venues_and_custodians(world: World) -> None:
    """Three venues, two custodians, three oracles with a threshold of two: everybody is named in the result."""
    found = check(world)
    assert found.snapshot.signers == ("oracle 1", "oracle 2")
    by = {item.rule: item for item in found.parts}
    assert set(by) == {*parties.VENUES, *parties.CUSTODIANS}
    for part, item in zip(world.statement.parts, found.parts, strict=True):
        assert item.payload.commitment_part == part
    assert len(found.all) == 6
    assert found.sightings["snapshot", "main"].sequence == 7
    assert found.sightings["commitment", "venue A", "positions", "market maker", "main"].sequence == 3


def test_oracles_sign_in_files_of_their_own(world: World) -> None:
    separate = [world.attest_snapshot("oracle 1"), world.attest_snapshot("oracle 3")]
    others = world.attestations(snapshot=None)
    assert check(world, attestations=[*separate, *others]).snapshot.signers == ("oracle 1", "oracle 3")
    assert "1 of 2" in refused(world, attestations=[separate[0], *others])


def test_payloads_are_of_what_they_are_made_from(world: World) -> None:
    payload = world.snapshot_payload()
    assert payload.snapshot == world.snapshot.digest().hex()
    assert payload.market == world.market.digest().hex() == world.snapshot.market_digest
    assert payload.slot_maps.positions == world.openings["venue A"].parts[0].slot_map
    assert payload.slot_maps.collateral == world.openings["custodian D"].parts[0].slot_map


# Catalogue item 32 and its like: the snapshot


def test_snapshot_that_nobody_signed(world: World) -> None:
    assert "nobody signed the snapshot" in refused(world, snapshot=None)
    assert "not signed by anyone" in refused(world, snapshot=Attestation(payload=world.snapshot_payload()))


def test_snapshot_under_threshold(world: World) -> None:
    assert "1 of 2 signatures" in refused(world, snapshot=world.attest_snapshot("oracle 2"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("snapshot", "11" * 32),
        ("market", "11" * 32),
        ("time", "2026-01-02T03:04:06Z"),
        ("slot_maps", {"positions": "11" * 32, "collateral": "22" * 32}),
    ],
)
def test_attestation_of_another_snapshot(world: World, field: str, value: str) -> None:
    other = world.attest_snapshot(**{field: value})
    assert f"is another snapshot: its {field} differs" in refused(world, snapshot=other)
    payload = other.payload
    assert isinstance(payload, SnapshotPayload)
    with pytest.raises(VerificationError, match=field):
        check_snapshot_attested(payload, world.snapshot)


def test_32_stale_snapshot(world: World) -> None:
    taken = parties.NOW - 60_000
    edge = taken + 605_000  # 600 s of the rule and 5 s of clock skew
    check(world, now_ms=edge)
    assert "stale: taken 605 s ago, at most 600 s" in refused(world, now_ms=edge + 1)


def test_32_snapshot_from_the_future(world: World) -> None:
    taken = parties.NOW - 60_000
    check(world, now_ms=taken - 5_000)
    assert "from the future: 6 s ahead" in refused(world, now_ms=taken - 6_000)


def test_32_snapshot_older_than_one_that_was_seen(world: World) -> None:
    known = Memory(sightings={("snapshot", "main"): Sighting(8, "00" * 32)})
    assert "superseded: number 8 was seen" in refused(world, known=known)
    elsewhere = Memory(sightings={("snapshot", "other series"): Sighting(8, "00" * 32)})
    check(world, known=elsewhere)


def test_32_repeated_sequence_number(world: World) -> None:
    known = Memory(sightings={("snapshot", "main"): Sighting(7, "00" * 32)})
    assert "contradicts what was signed before under the same number" in refused(world, known=known)
    same = Memory(sightings={("snapshot", "main"): Sighting(7, world.attest_snapshot().payload_digest.hex())})
    check(world, known=same)


def test_two_snapshots(world: World) -> None:
    trust = parties.trust(
        snapshots=[parties.snapshot_rule(name=name, signers=["oracle 1"], threshold=1) for name in ("main", "b")]
    )
    both = [*world.attestations(), world.attest_snapshot(series="b")]
    assert "more than one snapshot" in refused(world, trust=trust, attestations=both)


# Catalogue item 31: the commitments


def test_part_that_nobody_attested(world: World) -> None:
    assert "nobody attested the positions part of 'market maker'" in refused(world, venue_B=None)
    assert "nobody attested the collateral part" in refused(world, custodian_E=None)


def test_31_attestation_of_another_account(world: World) -> None:
    other = world.attest("venue A", account="somebody else")
    assert "is another commitment: its account differs" in refused(world, venue_A=other)


@pytest.mark.parametrize(
    ("field", "value"),
    [("slot_map", "11" * 32), ("srs", "11" * 32), ("domain_size", 1024), ("bits", 20)],
)
def test_31_attestation_for_another_universe(world: World, field: str, value: str) -> None:
    other = world.attest("venue C", **{field: value})
    assert f"is another commitment: its {field} differs" in refused(world, venue_C=other)


def test_31_attestation_with_another_role(world: World) -> None:
    """A party that is trusted for collateral cannot vouch for positions, even as a venue of the same name."""
    extra = {"name": "venue A", "signers": ["venue A"], "threshold": 1}
    trust = parties.trust(collateral=[*parties.trust_json()["collateral"], extra])
    other = world.attest("venue A", role="collateral", beneficiary=parties.DESK)
    assert "its role differs" in refused(world, trust=trust, venue_A=other)


def test_attested_by_a_party_that_is_not_trusted_for_the_role(world: World) -> None:
    assert "0 of 1 signatures" in refused(world, venue_A=world.attest("venue A", by="venue B"))
    few = parties.trust(positions=[{"name": "venue A", "signers": ["venue A"], "threshold": 1}])
    assert "trusts no attestations of positions by 'venue B'" in refused(world, trust=few)


def test_expired(world: World) -> None:
    short = world.attest("custodian D", expires=format_time(parties.NOW))
    check(world, custodian_D=short, now_ms=parties.NOW + 4_999)
    assert "has expired" in refused(world, custodian_D=short, now_ms=parties.NOW + 5_000)


def test_issued_in_the_future(world: World) -> None:
    early = world.attest("venue A", issued=format_time(parties.NOW + 5_001))
    assert "is from the future" in refused(world, venue_A=early)
    check(world, venue_A=early, now_ms=parties.NOW + 1)


def test_collateral_held_for_somebody_else(world: World) -> None:
    other = world.attest("custodian D", beneficiary="venue Z")
    assert "is held for 'venue Z', not for 'clearing desk'" in refused(world, custodian_D=other)


def test_sequence_older_than_known(world: World) -> None:
    stream = world.commitment_payload("venue A").stream
    known = Memory(sightings={stream: Sighting(4, "00" * 32)})
    assert "superseded: number 4 was seen" in refused(world, known=known)
    known = Memory(sightings={stream: Sighting(3, "00" * 32)})
    assert "contradicts" in refused(world, known=known)
    newer = world.attest("venue A", sequence=5)
    assert check(world, known=known, venue_A=newer).sightings[stream].sequence == 5


def test_newer_attestation_among_those_given_supersedes(world: World) -> None:
    """The venue has moved on to another commitment: the old one is refused although its attestation is at hand."""
    moved = world.attest("venue A", sequence=4, points=list(world.openings["venue B"].parts[0].points))
    given = [*world.attestations(), moved]
    assert "are of one stream: give the newest only" in refused(world, attestations=given)
    twin = world.attest("venue A", expires="2026-01-02T06:00:00Z")
    assert "contradict each other" in refused(world, attestations=[*world.attestations(), twin])


def test_same_attestation_twice_is_one(world: World) -> None:
    assert check(world, attestations=world.attestations() * 2) == check(world)


def test_attested_and_left_out_of_the_statement(world: World) -> None:
    """A part that somebody attests for the account and that the prover leaves out is not passed over."""
    more = world.attest("venue A", part="second", points=[bytes_of_another_point()])
    reason = refused(world, attestations=[*world.attestations(), more])
    assert "'second' of 'market maker' by 'venue A' is attested, and not in the commitments" in reason


def bytes_of_another_point() -> str:
    return bls.public_key((5).to_bytes(32, "big")).hex()


def test_parts_of_different_accounts_do_not_add_up(world: World) -> None:
    """Somebody else's collateral, honestly attested to that account, must not cover this one."""
    parts = tuple(
        part.model_copy(update={"alias": "somebody else"}) if part.role == "collateral" else part
        for part in world.statement.parts
    )
    statement = replace(world.statement, parts=parts)
    attestations = world.attestations(
        custodian_D=world.attest("custodian D", account="somebody else"),
        custodian_E=world.attest("custodian E", account="somebody else"),
    )
    with pytest.raises(VerificationError, match="parts of different accounts do not add up"):
        authenticate(statement, attestations, parties.trust(), now_ms=parties.NOW)


# Files


def test_round_trip_and_one_canonical_form(world: World) -> None:
    attestation = world.attest("custodian E")
    text = attestation.to_bytes()
    assert Attestation.parse(text) == attestation
    value = json.loads(text)
    turned = json.dumps(dict(reversed([(k, v) for k, v in value.items()])))
    assert Attestation.parse(turned).payload_digest == attestation.payload_digest


def commitment_json(world: World, **changes: Passed) -> str:
    value = json.loads(world.attest("custodian D").to_bytes())
    value["payload"] |= changes
    return json.dumps(value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "promise"}, "kind"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": 2**63}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"points": []}, "points"),
        ({"points": ["c0" + "00" * 47]}, "infinity"),
        ({"points": ["80" + "00" * 46 + "04"]}, "subgroup"),
        ({"points": ["zz" * 48]}, r"payload\.commitment\.points\[0\]: not 48 bytes in lower-case hexadecimal"),
        ({"slot_map": "AB" * 32}, r"payload\.commitment\.slot_map: not 32 bytes in lower-case hexadecimal$"),
        ({"srs": "AB" * 32}, r"payload\.commitment\.srs: not 32 bytes in lower-case hexadecimal$"),
        ({"slot_map": "11"}, "slot_map"),
        ({"beneficiary": None}, "held for one"),
        ({"role": "positions"}, "positions for nobody"),
        ({"role": "both"}, "role"),
        ({"expires": "2026-01-02T03:00:00Z"}, "not after it was issued"),
        ({"expires": "tomorrow"}, "UTC time"),
        ({"issuer": ""}, "issuer"),
        ({"note": "x"}, "unknown key"),
        ({"bits": 73}, "bits"),
    ],
)
def test_malformed_files(world: World, change: Keywords, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Attestation.parse(commitment_json(world, **change), file="a.json")


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ({"scheme": "ecdsa"}, "scheme"),
        ({"scheme": "ed25519"}, "not as long as a key of ed25519"),
        ({"public_keys": []}, "public_keys"),
        ({"public_keys": ["00"]}, r"public_keys\[0\]: not 32 or 33 or 48 bytes in lower-case hexadecimal"),
        ({"public_keys": ["AB" * 48]}, r"public_keys\[0\]: not 32 or 33 or 48 bytes in lower-case hexadecimal"),
        ({"signature": "AB" * 96}, r"signature: not 64 or 65 or 96 bytes in lower-case hexadecimal$"),
        ({"signature": "00" * 64}, "not as long as a signature of bls"),
        ({"signature": "00"}, "signature"),
    ],
)
def test_malformed_signatures(world: World, signature: JsonObject, reason: str) -> None:
    value = json.loads(world.attest("venue A").to_bytes())
    value["signatures"][0] |= signature
    with pytest.raises(InputError, match=reason):
        Attestation.parse(json.dumps(value), file="a.json")


def test_29_attested_points_have_one_text(world: World) -> None:
    """Otherwise one part could be attested, and count, under two spellings."""
    points = world.commitment_payload("custodian D").points
    with pytest.raises(InputError) as caught:
        Attestation.parse(commitment_json(world, points=[points[0].upper(), *points[1:]]), file="a.json")
    reason = "payload.commitment.points[0]: not 48 bytes in lower-case hexadecimal"
    assert caught.value.message.startswith(f"a.json:1: {reason}")
    assert "\n" not in caught.value.message


def test_only_bls_adds_up(world: World) -> None:
    value = json.loads(world.attest("custodian E").to_bytes())
    value["signatures"][0]["public_keys"] *= 2
    with pytest.raises(InputError, match="only signatures of bls"):
        Attestation.parse(json.dumps(value))


def test_combining_different_things(world: World) -> None:
    with pytest.raises(InputError, match="something else"):
        world.attest("venue A").combined(world.attest("venue B"))


def test_kinds_do_not_mix(world: World) -> None:
    """A signature on one kind of payload is none on the other: the kind is signed."""
    assert isinstance(world.attest("venue A").payload, CommitmentPayload)
    assert isinstance(world.attest_snapshot().payload, SnapshotPayload)
    assert world.attest("venue A").message != world.attest_snapshot().message


def paths(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value; of lists the first two items."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*path, key))


HOSTILE: tuple[Json, ...] = (None, -1, 2**200, "\u202e", "c0" + "00" * 47, [[]], "9999-12-31T23:59:59Z")


@pytest.mark.slow
def test_55_hostile_documents_are_bad_input_or_refused(world: World) -> None:
    """Whatever stands anywhere in an attestation or a trust file: one of the two documented errors, or acceptance."""
    trust, honest = parties.trust(), world.attestations()
    documents = [world.attest_snapshot(), world.attest("custodian E"), trust]
    tried = 0
    for document in documents:
        text = document.to_bytes()
        for path in paths(json.loads(text)):
            for value in HOSTILE:
                changed = json.loads(text)
                place = changed
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = value
                tried += 1
                try:
                    read = type(document).parse(json.dumps(changed), file="hostile.json")
                    given = [read] if isinstance(read, Attestation) else honest
                    by = read if isinstance(read, Trust) else trust
                    authenticate(world.statement, given, by, now_ms=parties.NOW)
                except (InputError, VerificationError):
                    pass
    assert tried > 500


# Catalogue item 36


def test_36_parts_are_a_list_and_no_tree(world: World) -> None:
    """Item 36 (inner node as leaf, leaf as root, one child's sum unbound ...) cannot apply: nothing is hashed pairwise.

    An account is a list of parts: each is absorbed by itself, framed, and enters the sum with its own attestation. What
    the item wants of a sum holds in the form that it can take: no part twice, and none added or left out unnoticed.
    """
    claim, commitments = world.statement.claim, world.commitments
    with pytest.raises(InputError, match="given twice"):
        Statement.of(world.snapshot, [*commitments, commitments[0]], claim)
    fewer = Statement.of(
        world.snapshot, commitments[1:], claim, context=world.statement.context, limits=world.statement.limits
    )
    assert list(fewer.public_messages()) != list(world.statement.public_messages())
    with pytest.raises(VerificationError, match="does not prove"):
        verify(fewer, world.proof)
    with pytest.raises(VerificationError, match="not in the commitments"):
        authenticate(fewer, world.attestations(), parties.trust(), now_ms=parties.NOW)
