"""Signatures and challenges that are refused: by which check, in which words, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from py_arkworks_bls12381 import G1Point
from support import parties
from support.parties import World
from support.typed import Keywords

from zkmargin.crypto.group import encode_g1
from zkmargin.formats import VerificationError
from zkmargin.verifier.attest import Challenge, Memory, Sighting, Trust, authenticate
from zkmargin.verifier.attest.accept import check_challenge

# Which check refuses, in which words, and what to do about it


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


LONG = "n" * 200
COMMITMENT, SNAPSHOT = "commitment attestation", "snapshot attestation"
OF_VENUE = "number 3 of positions 'main' of 'market maker' by 'venue A'"
OF_CUSTODIAN = "number 3 of collateral 'main' of 'market maker' by 'custodian D'"


def two_series() -> Trust:
    one = {"signers": ["oracle 1"], "threshold": 1}
    return parties.trust(snapshots=[parties.snapshot_rule(name=name, **one) for name in ("main", "b")])


REFUSALS: dict[str, tuple[Callable[[World], Keywords], str, str, str | None]] = {
    "no snapshot": (
        lambda w: {"attestations": w.attestations(snapshot=None)},
        SNAPSHOT,
        "nobody signed the snapshot",
        "give its attestation",
    ),
    "two snapshots": (
        lambda w: {"trust": two_series(), "attestations": [*w.attestations(), w.attest_snapshot(series="b")]},
        SNAPSHOT,
        "more than one snapshot is attested",
        "give the attestation of one",
    ),
    "another snapshot": (
        lambda w: {"attestations": w.attestations(snapshot=w.attest_snapshot(market="11" * 32))},
        SNAPSHOT,
        "number 7 of the series 'main' is another snapshot: its market differs",
        None,
    ),
    "stale": (
        lambda _: {"now_ms": parties.NOW - 60_000 + 606_999},
        "snapshot age",
        "the snapshot is stale: taken 606 s ago, at most 600 s are allowed",
        "ask for a proof on a newer snapshot",
    ),
    "of the future": (
        lambda _: {"now_ms": parties.NOW - 60_000 - 599_999},
        "snapshot age",
        "the snapshot is from the future: 599 s ahead of the clock",
        "check the clock",
    ),
    "no commitment": (
        lambda w: {"attestations": w.attestations(venue_A=None)},
        COMMITMENT,
        "nobody attested the positions part of 'market maker'",
        "give its attestation",
    ),
    "another commitment": (
        lambda w: {"attestations": w.attestations(venue_A=w.attest("venue A", bits=20))},
        COMMITMENT,
        f"{OF_VENUE} is another commitment: its bits differs",
        None,
    ),
    "expired": (
        lambda w: {"attestations": w.attestations(venue_A=w.attest("venue A", expires="2026-01-02T03:03:00Z"))},
        COMMITMENT,
        f"{OF_VENUE} has expired: 2026-01-02T03:03:00Z",
        "ask for a new one",
    ),
    "not yet issued": (
        lambda w: {"attestations": w.attestations(venue_A=w.attest("venue A", issued="2026-01-02T04:00:00Z"))},
        COMMITMENT,
        f"{OF_VENUE} is from the future: 2026-01-02T04:00:00Z",
        "check the clock",
    ),
    "beneficiary": (
        lambda w: {"attestations": w.attestations(custodian_D=w.attest("custodian D", beneficiary=LONG))},
        "beneficiary",
        f"{OF_CUSTODIAN} is held for {LONG[:80]!r}, not for 'clearing desk'",
        None,
    ),
    "superseded": (
        lambda w: {"known": Memory(sightings={w.commitment_payload("venue A").stream: Sighting(8, "00" * 32)})},
        "sequence",
        f"{OF_VENUE} is superseded: number 8 was seen",
        None,
    ),
    "superseded snapshot": (
        lambda w: {"known": Memory(sightings={w.snapshot_payload().stream: Sighting(8, "00" * 32)})},
        "sequence",
        "number 7 of the series 'main' is superseded: number 8 was seen",
        None,
    ),
    "contradicts": (
        lambda w: {"known": Memory(sightings={w.commitment_payload("venue A").stream: Sighting(3, "00" * 32)})},
        "sequence",
        f"{OF_VENUE} contradicts what was signed before under the same number",
        None,
    ),
    "contradict each other": (
        lambda w: {"attestations": [*w.attestations(), w.attest("venue A", expires="2026-01-02T06:00:00Z")]},
        "sequence",
        f"{OF_VENUE} and {OF_VENUE} contradict each other",
        None,
    ),
    "one stream": (
        lambda w: {"attestations": [*w.attestations(), w.attest("venue A", sequence=4)]},
        "sequence",
        f"{OF_VENUE} and {OF_VENUE.replace('3', '4')} are of one stream: give the newest only",
        None,
    ),
    "unused": (
        lambda w: {
            "attestations": [*w.attestations(), w.attest("venue A", part="b", points=[encode_g1(G1Point()).hex()])]
        },
        "attestation",
        f"{OF_VENUE.replace('main', 'b')} is attested, and not in the commitments that were given",
        None,
    ),
    "two accounts": (
        lambda w: {
            "statement": replace(
                w.statement,
                parts=tuple(
                    part.model_copy(update={"alias": LONG}) if part.role == "collateral" else part
                    for part in w.statement.parts
                ),
            ),
            "attestations": w.attestations(
                custodian_D=w.attest("custodian D", account=LONG), custodian_E=w.attest("custodian E", account=LONG)
            ),
        },
        "account",
        f"parts of different accounts do not add up: 'market maker', {LONG[:80]!r}",
        None,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_which_check_refuses_and_in_which_words(world: World, name: str) -> None:
    make, check, words, hint = REFUSALS[name]
    given: Keywords = {"statement": world.statement, "attestations": world.attestations(), "trust": parties.trust()}
    given |= {"now_ms": parties.NOW} | make(world)
    with pytest.raises(VerificationError) as caught:
        authenticate(**given)
    assert (caught.value.check, caught.value.message, caught.value.hint) == (check, words, hint)


def test_which_challenge_is_refused_and_in_which_words(world: World) -> None:
    used = Memory(challenges={world.challenge.digest()})
    trust = parties.trust(verifier=LONG)
    other = world.challenge.model_copy(update={"nonce": "11" * 32})
    cases: list[tuple[Challenge, Keywords, str]] = [
        (world.challenge, {"known": used}, "a proof was accepted for this challenge before: a replay"),
        (other, {}, "the statement's context is not the challenge's digest"),
        (world.challenge, {"trust": trust}, f"the challenge is addressed to 'clearing desk', not to {LONG[:80]!r}"),
    ]
    for challenge, given, words in cases:
        with pytest.raises(VerificationError) as caught:
            check_challenge(challenge, world.statement, now_ms=parties.NOW, **given)
        assert (caught.value.check, caught.value.message) == ("challenge", words)
