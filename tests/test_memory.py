"""What a verifier without a ledger remembers: as strict as a ledger, whole or not at all."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import cast

import pytest

from zkmargin.formats import VerificationError
from zkmargin.verifier.attest import Acceptance, Challenge, Memory, Sighting

#: A name is shown to its 80th character.
STREAM, SHOWN = ("snapshot", "m" * 90), "m" * 80
CHALLENGES = [Challenge.new("venue", lifetime_seconds=60, now_ms=0) for _ in range(2)]


@dataclass
class Seen:
    """What is remembered of an acceptance."""

    statement_digest: bytes = b"s"
    challenge: Challenge | None = None
    sightings: dict[tuple[str, ...], Sighting] = field(default_factory=dict)


def remember(memory: Memory, seen: Seen) -> None:
    memory.remember(cast("Acceptance", seen))


def state(memory: Memory) -> tuple[object, ...]:
    return dict(memory.sightings), set(memory.challenges), set(memory.statements)


@pytest.mark.parametrize(
    ("again", "check", "message"),
    [
        (Seen(), "replay", "a proof of this statement was accepted before: a replay"),
        (Seen(b"t", CHALLENGES[0]), "challenge", "a proof was accepted for this challenge before: a replay"),
        (
            Seen(b"t", None, {STREAM: Sighting(4, "a")}),
            "sequence",
            f"number 4 of 'snapshot' '{SHOWN}' is superseded",
        ),
        (
            Seen(b"t", CHALLENGES[1], {("other",): Sighting(1, "a"), STREAM: Sighting(5, "b")}),
            "sequence",
            f"number 5 of 'snapshot' '{SHOWN}' contradicts what was seen",
        ),
    ],
)
def test_what_must_not_be_remembered_changes_nothing(again: Seen, check: str, message: str) -> None:
    memory = Memory()
    remember(memory, Seen(b"s", CHALLENGES[0], {STREAM: Sighting(5, "a")}))
    before = state(memory)
    with pytest.raises(VerificationError) as refused:
        remember(memory, again)
    assert (refused.value.check, refused.value.message, state(memory)) == (check, message, before)


def test_what_goes_on_is_remembered() -> None:
    memory = Memory()
    remember(memory, Seen(b"s", CHALLENGES[0], {STREAM: Sighting(5, "a")}))
    remember(memory, Seen(b"t", CHALLENGES[1], {STREAM: Sighting(5, "a")}))
    remember(memory, Seen(b"u", None, {STREAM: Sighting(6, "b")}))
    remember(memory, Seen(b"v"))  # another without a challenge: none is no challenge that was answered
    assert memory.newest(STREAM) == Sighting(6, "b")
    assert memory.challenges == {one.digest() for one in CHALLENGES}
    assert [memory.statement_accepted(one) for one in (b"s", b"t", b"u", b"v", b"w")] == [True] * 4 + [False]
    assert [memory.challenge_used(one.digest()) for one in CHALLENGES] == [True, True]


def test_its_lock_is_its_own() -> None:
    """Neither given, nor compared, nor shown."""
    assert "_lock" not in inspect.signature(Memory).parameters
    assert Memory() == Memory()
    assert "lock" not in repr(Memory())


def test_what_answers_no_challenge_needs_none_that_was_issued() -> None:
    memory = Memory(issued=set())
    remember(memory, Seen())
    assert state(memory) == ({}, set(), {b"s"})
