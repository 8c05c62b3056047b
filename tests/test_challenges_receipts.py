"""Acceptance end to end in Python: challenges, replays, and receipts that a third party can check."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from support import parties
from support.parties import World
from support.typed import Keywords, Passed

from zkmargin.engine.decimals import parse_time
from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Acceptance, Challenge, Memory, Receipt, Sighting, accept
from zkmargin.verifier.attest.accept import Candidate, Terms, accept_each

SOFTWARE = "zkmargin 9.9.9"


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


def run(world: World, **given: Passed) -> Acceptance:
    options: Keywords = {
        "now_ms": parties.NOW,
        "trust": parties.trust(),
        "attestations": world.attestations(),
        "challenge": world.challenge,
    } | given
    statement, proof = options.pop("statement", world.statement), options.pop("proof", world.proof)
    return accept(statement, proof, **options)


def refused(world: World, **given: Passed) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        run(world, **given)
    return caught.value


@pytest.fixture(scope="module")
def acceptance(world: World) -> Acceptance:
    return run(world)


# Acceptance


def test_accepted_with_everything_that_is_to_be_remembered(world: World, acceptance: Acceptance) -> None:
    assert acceptance.statement is world.statement
    assert len(acceptance.attested) == 6
    assert len(acceptance.sightings) == 6
    assert acceptance.challenge == world.challenge


def test_without_trust_nothing_is_authenticated(world: World) -> None:
    found = run(world, trust=None, attestations=())
    assert found.authenticated is None
    assert found.attested == ()
    assert found.sightings == {}
    assert found.receipt(software=SOFTWARE).payload.trust is None


def test_attestations_without_trust_mean_nothing(world: World) -> None:
    with pytest.raises(InputError, match="no use without a trust file"):
        run(world, trust=None)


def test_proof_is_checked_too(world: World) -> None:
    flipped = bytearray(world.proof)
    flipped[-1] ^= 1
    with pytest.raises((ProofFormatError, VerificationError)):
        run(world, proof=bytes(flipped))
    with pytest.raises(ProofFormatError):
        run(world, proof=world.proof[:-1])


def alone(candidate: Candidate, terms: Terms) -> Acceptance | ZkMarginError:
    try:
        return accept(
            candidate.statement, candidate.proof, now_ms=terms.now_ms, trust=terms.trust, known=terms.known,
            attestations=candidate.attestations, challenge=candidate.challenge,
        )  # fmt: skip
    except ZkMarginError as error:
        return error


def test_each_gets_the_verdict_that_it_would_get_alone(world: World) -> None:
    good = Candidate(world.statement, world.proof, tuple(world.attestations()), world.challenge)
    flipped = world.proof[:-1] + bytes([world.proof[-1] ^ 1])
    candidates = [
        replace(good, proof=flipped),
        good,
        replace(good, attestations=good.attestations[1:]),
        replace(good, proof=world.proof[:-1]),
        replace(good, challenge=None),
    ]
    memory = Memory()
    terms = Terms(parties.NOW, parties.trust(), known=memory)
    for accepted in ([False, True, False, False, True], [False] * 5):
        verdicts = accept_each(candidates, terms)
        assert [isinstance(verdict, Acceptance) for verdict in verdicts] == accepted
        for candidate, verdict in zip(candidates, verdicts, strict=True):
            assert (repr(verdict), type(verdict)) == (repr(found := alone(candidate, terms)), type(found))
        memory.remember(accept(good.statement, good.proof, now_ms=parties.NOW)) if accepted[1] else None
    assert accept_each([], terms) == []
    for value in (terms, good):
        with pytest.raises(FrozenInstanceError):
            setattr(value, fields(value)[0].name, None)
    assert accept_each(candidates[2:3], terms, verify_all=lambda _: pytest.fail("nothing to verify"))


def test_a_challenge_that_this_ledger_did_not_issue(world: World) -> None:
    error = refused(world, known=Memory(issued=set()))
    assert (error.check, error.hint) == ("challenge", "issue it with the ledger that asks")
    assert "was not issued by this ledger" in error.message
    assert run(world, known=Memory(issued={world.challenge.digest()})).challenge == world.challenge


def test_31_proof_for_another_claim_limit_or_context(world: World) -> None:
    def statement(**changes: Passed) -> Statement:
        arguments: Keywords = {"context": world.statement.context, "limits": world.statement.limits} | changes
        return Statement.of(world.snapshot, world.commitments, world.statement.claim, **arguments)

    assert run(world, statement=statement()).statement_digest
    for change in ({"limits": world.statement.limits[:1]}, {"limits": ()}, {"context": b"another"}):
        with pytest.raises((ProofFormatError, VerificationError)):
            run(world, statement=statement(**change), challenge=None)


# Challenges


def test_challenges_are_fresh_and_their_digest_is_the_context() -> None:
    one, two = (Challenge.new("desk", lifetime_seconds=60, now_ms=parties.NOW) for _ in range(2))
    assert one.nonce != two.nonce
    assert one.context == b"zkmargin/challenge/v1 " + one.digest().hex().encode()
    assert one.context != two.context
    assert parse_time(one.deadline) - parse_time(one.issued) == 60_000


@pytest.mark.parametrize("seconds", [0, -1, 10**9])
def test_lifetime(seconds: int) -> None:
    with pytest.raises(InputError, match="from a second to a year"):
        Challenge.new("desk", lifetime_seconds=seconds, now_ms=parties.NOW)


def test_answer_after_the_deadline(world: World) -> None:
    deadline = parse_time(world.challenge.deadline)
    run(world, now_ms=deadline + 5_000)
    assert "deadline has passed" in refused(world, now_ms=deadline + 5_001).message


def test_challenge_from_the_future(world: World) -> None:
    issued = parse_time(world.challenge.issued)
    run(world, now_ms=issued - 5_000)
    assert "from the future" in refused(world, now_ms=issued - 5_001).message


def test_clock_skew_is_a_setting(world: World) -> None:
    deadline = parse_time(world.challenge.deadline)
    run(world, now_ms=deadline + 60_000, trust=parties.trust(clock_skew_seconds=60))
    error = refused(world, now_ms=deadline + 1, trust=parties.trust(clock_skew_seconds=0))
    assert error.check == "challenge"


def test_31_challenge_of_another_verifier(world: World) -> None:
    error = refused(world, trust=parties.trust(verifier="another desk"))
    assert "addressed to 'clearing desk', not to 'another desk'" in error.message


@pytest.mark.parametrize("field", ["nonce", "audience", "issued", "deadline"])
def test_proof_answers_one_challenge_only(world: World, field: str) -> None:
    value = {"nonce": "11" * 32, "audience": "clearing desk ", "issued": "2026-01-02T03:04:00Z"}.get(
        field, "2026-01-02T03:06:00Z"
    )
    other = world.challenge.model_copy(update={field: value})
    trust = parties.trust(verifier=other.audience)
    assert "context is not the challenge's digest" in refused(world, challenge=other, trust=trust).message
    statement = Statement.of(
        world.snapshot, world.commitments, world.statement.claim, context=other.context, limits=world.statement.limits
    )
    error = refused(world, challenge=other, trust=trust, statement=statement)
    assert error.check == "pairing"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"nonce": "00"}, "nonce"),
        ({"nonce": "zz" * 32}, "nonce"),
        ({"audience": ""}, "audience"),
        ({"deadline": "2026-01-02T03:04:45Z"}, "not after it was issued"),
        ({"deadline": "soon"}, "UTC time"),
        ({"more": 1}, "unknown key"),
    ],
)
def test_malformed_challenges(world: World, change: Keywords, reason: str) -> None:
    value = json.loads(world.challenge.to_bytes()) | change
    with pytest.raises(InputError, match=reason):
        Challenge.parse(json.dumps(value), file="challenge.json")


# Replays


def test_accepted_once_per_challenge(world: World) -> None:
    memory = Memory()
    memory.remember(run(world, known=memory))
    error = refused(world, known=memory)
    assert error.check == "challenge"
    assert "accepted for this challenge before" in error.message


def test_replay_guard_is_the_statement_digest_not_the_proof(world: World) -> None:
    memory = Memory()
    first = run(world, known=memory, challenge=None)
    memory.remember(first)
    error = refused(world, known=memory, challenge=None)
    assert error.check == "replay"
    # Another proof of the same statement is the same replay.
    from zkmargin.prover import prove

    second = prove(world.statement, world.lots, list(world.openings.values()))
    assert second != world.proof
    assert refused(world, known=memory, challenge=None, proof=second).check == "replay"


def test_what_is_remembered_refuses_the_past(world: World, acceptance: Acceptance) -> None:
    memory = Memory()
    memory.remember(acceptance)
    older = world.attestations(snapshot=world.attest_snapshot(sequence=6))
    assert "number 7 was seen" in refused(world, known=memory, challenge=None, attestations=older).message


def test_what_was_seen_in_the_meantime_is_not_overruled_when_it_is_remembered(world: World) -> None:
    acceptance = run(world, known=Memory())
    stream = world.snapshot_payload().stream
    for sighting, what in ((Sighting(8, "00" * 32), "is superseded"), (Sighting(7, "00" * 32), "contradicts what was")):
        memory = Memory({stream: sighting})
        with pytest.raises(VerificationError, match=f"number 7 of .* {what}"):
            memory.remember(acceptance)
        assert memory == Memory({stream: sighting})


def test_refused_proof_leaves_no_trace(world: World) -> None:
    memory = Memory()
    refused(world, known=memory, attestations=world.attestations(venue_A=None))
    assert memory == Memory()
    run(world, known=memory)


# Receipts


def test_receipt_says_who_attested_what(world: World, acceptance: Acceptance) -> None:
    payload = acceptance.receipt(software=SOFTWARE).payload
    assert payload.software == SOFTWARE
    assert payload.verifier == parties.DESK
    assert payload.statement == acceptance.statement_digest.hex()
    assert payload.trust == parties.trust().digest().hex()
    assert payload.challenge == world.challenge.digest().hex()
    assert payload.ratio == "1/1"
    assert payload.limits == tuple(str(limit) for limit in parties.LIMITS)
    assert parse_time(payload.time) == parties.NOW
    assert payload.snapshot.attested is not None
    assert payload.snapshot.attested.signers == ("oracle 1", "oracle 2")
    attested = {item.attested.rule: item for item in payload.parts if item.attested is not None}
    assert set(attested) == {*parties.VENUES, *parties.CUSTODIANS}
    assert all(item.expires == parties.EXPIRES for item in attested.values())
    assert tuple(item.part for item in payload.parts) == world.statement.parts


def test_receipt_is_signed_with_the_verifiers_key(acceptance: Acceptance) -> None:
    receipt = Receipt.parse(acceptance.receipt(software=SOFTWARE).signed(parties.signer("desk")).to_bytes())
    (signature,) = receipt.signatures
    assert signature.verifies(receipt.message)
    with pytest.raises(InputError, match="signed already"):
        receipt.signed(parties.signer("desk"))
    for field in ("software", "statement", "proof", "time"):
        value = {"software": "other", "time": "2026-01-02T03:05:06Z"}.get(field, "00" * 32)
        forged = receipt.model_copy(update={"payload": receipt.payload.model_copy(update={field: value})})
        assert not signature.verifies(forged.message)


def test_third_party_gets_the_same_receipt(world: World, acceptance: Acceptance) -> None:
    receipt = acceptance.receipt(software=SOFTWARE)
    again = run(world, now_ms=parse_time(receipt.payload.time), attestations=world.attestations()[::-1])
    assert again.receipt(software="zkmargin 10").differences(receipt) == ()


def test_receipt_differs_where_the_acceptance_did(world: World, acceptance: Acceptance) -> None:
    receipt = acceptance.receipt(software=SOFTWARE)
    other = run(world, trust=parties.trust(clock_skew_seconds=6)).receipt(software=SOFTWARE)
    assert other.differences(receipt) == ("trust",)
    newer = world.attestations(venue_A=world.attest("venue A", sequence=9))
    assert run(world, attestations=newer).receipt(software=SOFTWARE).differences(receipt) == ("parts",)
    unchallenged = replace(acceptance, challenge=None).receipt(software=SOFTWARE)
    assert unchallenged.differences(receipt) == ("challenge",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"time": "now"}, "UTC time"),
        ({"ratio": "1.0"}, "ratio"),
        ({"proof": "00"}, "proof"),
        ({"parts": []}, "parts"),
        ({"context": "0"}, "context"),
        ({"more": 1}, "unknown key"),
    ],
)
def test_malformed_receipts(acceptance: Acceptance, change: Keywords, reason: str) -> None:
    value = json.loads(acceptance.receipt(software=SOFTWARE).to_bytes())
    value["payload"] |= change
    with pytest.raises(InputError, match=reason):
        Receipt.parse(json.dumps(value), file="receipt.json")
