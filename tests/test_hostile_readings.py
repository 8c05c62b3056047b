"""What a second hostile reading found: keys made for a signature, statements by ``replace``, clocks of thieves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support import parties
from support.parties import World

from zkmargin.app.bundles import terms_for
from zkmargin.app.evidence import Evidence
from zkmargin.app.verifying import Terms, accept_proof, rerun_terms
from zkmargin.crypto import secp256k1
from zkmargin.engine.decimals import format_time
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError, VerificationError, keccak256
from zkmargin.verifier.attest import Memory, Receipt, Revocations, RevocationsPayload, Trust, accept

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


# A key made for a signature


def times(scalar: int, point: tuple[int, int] | None = None) -> tuple[int, int]:
    """A multiple of a point, of the generator where none is given."""
    if point is None:
        numbers = ec.derive_private_key(scalar % N, ec.SECP256K1()).public_key().public_numbers()
        return numbers.x, numbers.y
    total: tuple[int, int] | None = None
    for bit in f"{scalar % N:b}":
        total = added(total, total) if total else None
        total = added(total, point) if bit == "1" else total
    assert total
    return total


def added(a: tuple[int, int] | None, b: tuple[int, int] | None) -> tuple[int, int]:
    """The sum of two points that are not opposite."""
    if a is None or b is None:
        assert a or b
        return a or b  # type: ignore[return-value]
    slope = 3 * a[0] ** 2 * pow(2 * a[1], -1, P) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def test_a_signature_whose_point_is_beyond_the_order_is_refused() -> None:
    """R = (n + r, y) verifies by its r, and no v of 27 or 28 recovers its key. Keys need no proof of possession."""
    message, s = b"what is signed", 7
    x = next(x for x in range(N + 1, N + 100) if pow(x**3 + 7, (P - 1) // 2, P) == 1)
    point = x, pow(x**3 + 7, (P + 1) // 4, P)
    r, digest = x - N, int.from_bytes(keccak256(message), "big")
    key_point = times(pow(r, -1, N), added(times(s, point), times(-digest)))
    key = bytes([2 + (key_point[1] & 1)]) + key_point[0].to_bytes(32, "big")
    for v in (27, 28):
        assert secp256k1.verify(key, message, r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])) is False


# Statements by replace


def test_a_statement_is_what_of_would_make_of_its_fields(world: World) -> None:
    statement = world.statement
    with pytest.raises(InputError, match="at most 1024"):
        replace(statement, context=bytes(1025))
    with pytest.raises(InputError, match="is given twice"):
        replace(statement, parts=(*statement.parts, statement.parts[0]))
    with pytest.raises(InputError, match="no part for collateral"):
        replace(statement, parts=tuple(part for part in statement.parts if part.role == "positions"))
    first, *others = statement.parts
    elsewhere = first.model_copy(update={"slot_map": "00" * 32})
    with pytest.raises(InputError, match="for other slots than the snapshot lists"):
        replace(statement, parts=(elsewhere, *others))
    fewer = world.market.model_copy(update={"instruments": world.market.instruments[:-1]})
    with pytest.raises(InputError, match="for other slots than the snapshot lists"):
        replace(statement, snapshot=build_snapshot(fewer, world.snapshot.policy, domain_size=512))


# Memory


def test_a_memory_takes_no_answer_to_what_nobody_asked(world: World) -> None:
    acceptance = accept(world.statement, world.proof, now_ms=parties.NOW, challenge=world.challenge)
    memory = Memory(issued=set())
    with pytest.raises(VerificationError, match="was not issued by this ledger") as refused:
        memory.remember(acceptance)
    assert refused.value.check == "challenge"
    assert memory == Memory(issued=set())
    Memory(issued={world.challenge.digest()}).remember(acceptance)


# The clock of a rerun

OFFICER, GROUP, LATER = "officer", "group", parties.NOW + 86_400_000 * 30


def trusted() -> Trust:
    keys = [*parties.trust_json()["keys"], *(parties.signer(name).public.model_dump(mode="json") for name in KEYS)]
    rule = {"name": GROUP, "signers": [OFFICER], "threshold": 1, "max_age_seconds": 3600}
    receipts = {"name": parties.DESK, "signers": ["desk key"], "threshold": 1}
    return parties.trust(keys=keys, revocations=[rule], receipts=[receipts])


KEYS = (OFFICER, "desk key")


def a_list(sequence: int, at_ms: int, *stolen: str) -> Revocations:
    keys = [
        {"scheme": key.scheme, "public_key": key.public_key, "reason": "stolen"}
        for key in (parties.signer(name).public for name in stolen)
    ]
    payload = {"issuer": GROUP, "sequence": sequence, "time": format_time(at_ms), "keys": keys}
    return Revocations(payload=RevocationsPayload.model_validate(payload)).signed(parties.signer(OFFICER))


def accepted(world: World) -> Evidence:
    acceptance = accept(
        world.statement, world.proof, now_ms=parties.NOW, trust=trusted(), attestations=world.attestations(),
        challenge=world.challenge, revocations=[a_list(4, parties.NOW - 60_000)],
    )  # fmt: skip
    return Evidence.of(acceptance, acceptance.receipt(software="test").signed(parties.signer("desk key")))


def rerun(evidence: Evidence, *lists: Revocations) -> Receipt:
    own, before = Terms(now_ms=LATER, trust=trusted(), revocations=lists), evidence.receipt
    assert before
    terms, clock = rerun_terms(before, terms_for(evidence, own, before=before))
    assert clock.time == before.payload.time
    return accept_proof(evidence.statement(), evidence.proof_bytes, terms, before=before)[1]


def test_the_key_of_a_receipt_is_judged_by_the_lists_of_today(world: World) -> None:
    """Whoever stole it dates a receipt as he likes, and gives the list that was signed before the theft."""
    evidence = accepted(world)
    with pytest.raises(VerificationError, match="at most 3600 s are allowed"):
        rerun(evidence)
    with pytest.raises(VerificationError, match="by a key that is revoked"):
        rerun(evidence, a_list(9, LATER, "desk key"))
    assert evidence.receipt
    assert not rerun(evidence, a_list(9, LATER)).differences(evidence.receipt)
    # what is revoked since does not undo what was accepted then
    assert not rerun(evidence, a_list(9, LATER, "oracle 1")).differences(evidence.receipt)
    with pytest.raises(VerificationError, match="more than one list"):
        rerun(evidence, a_list(9, LATER), a_list(9, LATER, "desk key"))
    with pytest.raises(InputError, match="needs a trust file"):
        rerun_terms(evidence.receipt, Terms(now_ms=LATER))
