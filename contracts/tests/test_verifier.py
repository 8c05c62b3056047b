"""The contract's verdict is Python's: honest proofs, every byte changed, forged orders, batches, bad input."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from support.chain_forge import FORGERIES, falsified
from support.chain_lab import ChainCase, chain_case, chain_snapshot, prove, standard

from contracts.tests.cases import NONCE, Deployed, agree, item, judge, python_verdict, sized_case
from contracts.tests.evm import EVM, Anvil, PyEVM, Reverted
from zkmargin.chain.abi import decode_result, encode_call, error_name
from zkmargin.chain.calls import inverse_of, table_id, verify_batch_call, verify_call
from zkmargin.circuits.chain import ChainLayout
from zkmargin.crypto.field import r
from zkmargin.engine.claims import Claim
from zkmargin.formats import ProofFormatError, VerificationError
from zkmargin.verifier.chain.proof import ChainProof
from zkmargin.verifier.chain.transcript import ChainTranscript
from zkmargin.verifier.chain.words import word

ITEM_HEAD = 256


@pytest.fixture(scope="module", params=[1, 2], ids=["one group", "two groups"])
def bound(request: pytest.FixtureRequest, anvil: Anvil) -> tuple[Deployed, ChainCase, bytes]:
    """A verifier on anvil, an account's statement for it, and what is sent."""
    case = standard(request.param)
    deployed = Deployed.of(anvil, case)
    case = deployed.bound(case)
    return deployed, case, item(case.statement, prove(case))


@pytest.mark.parametrize("groups", [1, 2])
def test_an_honest_proof_is_accepted_on_both_evms(evm: EVM, groups: int) -> None:
    case = standard(groups)
    deployed = Deployed.of(evm, case)
    pins = decode_result(
        "MarginVerifier", "pins", evm.call(deployed.address, encode_call("MarginVerifier", "pins", []))
    )
    assert pins == (case.statement.table.layout_digest, bytes.fromhex(case.statement.table.pinned))
    case = deployed.bound(case)
    proof = prove(case)
    digest = python_verdict(case.statement, proof)
    assert digest is not None
    assert deployed.verdict(case.statement, item(case.statement, proof)) == digest


@pytest.mark.parametrize(
    ("shape", "positions", "collateral"),
    [
        ({"groups": 1, "scenarios": 1, "count": 1, "debts": (False,), "charges": [0], "marks": [0]}, [-3], [10**8]),
        ({"groups": 1, "scenarios": 63, "count": 1023, "debts": (True,) * 4}, [1, -1] * 511 + [0], [10**9, -3, 7, -1]),
        ({"groups": 2, "scenarios": 5, "count": 9, "debts": (False, True, True)}, [2**30 - 1] + [0] * 8, [2**49] * 3),
        (
            {"groups": 2, "scenarios": 64, "count": 4, "debts": (), "charges": [0] * 4, "marks": [9] * 4},
            [5, 5, 9, 1],
            [],
        ),
    ],
)
def test_layouts_at_their_edges(anvil: Anvil, shape: Any, positions: Any, collateral: Any) -> None:
    case = chain_case(chain_snapshot(**shape), positions, collateral, claim=Claim(1, 65535, "maintenance"))
    deployed = Deployed.of(anvil, case)
    case = deployed.bound(case)
    proof = prove(case)
    assert deployed.verdict(case.statement, item(case.statement, proof)) == python_verdict(case.statement, proof)


def mutations(sent: bytes, count: int) -> Iterator[tuple[str, bytes]]:
    """Changed items, stratified: every field in turn, by one of several kinds of change."""
    fields = [("num", 0, 32), ("den", 32, 64), ("positions", 64, 160), ("collateral", 160, 256)]
    fields += [(f"point {i}", 256 + 96 * i, 352 + 96 * i) for i in range(8)]
    fields += [(f"scalar {i}", at, at + 32) for i, at in enumerate(range(1024, len(sent), 32))]  # the inverse is last
    kinds = ("bit", "random", "zero", "plus one", "plus r", "swap", "negate", "other point")
    begin, stride = secrets.randbelow(len(fields) * len(kinds)), 1 if count >= len(fields) else 5
    for i in range(begin, begin + count * stride, stride):
        name, start, stop = fields[i % len(fields)]
        kind = kinds[i // len(fields) % len(kinds)] if stride == 1 else kinds[i // stride % len(kinds)]
        changed, value = bytearray(sent), int.from_bytes(sent[start:stop], "big")
        size = stop - start
        match kind:
            case "bit":
                changed[start + secrets.randbelow(size)] ^= 1 << secrets.randbelow(8)
            case "random":
                changed[start:stop] = secrets.token_bytes(size)
            case "zero":
                changed[start:stop] = bytes(size)
            case "plus one":
                changed[start:stop] = ((value + 1) % (1 << (8 * size))).to_bytes(size, "big")
            case "plus r":
                changed[start:stop] = ((value + r) % (1 << (8 * size))).to_bytes(size, "big")
            case "swap":
                other = fields[(i * 7 + 5) % len(fields)]
                piece = sent[other[1] : other[2]][:size].ljust(size, b"\0")
                changed[start:stop] = piece
            case "negate":
                half = size // 2
                p = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
                if size == 96:
                    y = int.from_bytes(sent[start + half : stop], "big")
                    changed[start + half : stop] = (p - y).to_bytes(48, "big")
                else:
                    changed[start:stop] = (-value % r).to_bytes(size, "big")
            case _:
                if size == 96:
                    changed[start:stop] = sent[ITEM_HEAD : ITEM_HEAD + 96]
                else:
                    changed[start:stop] = (value * 2 % r).to_bytes(size, "big")
        if bytes(changed) != sent:
            yield f"{name}, {kind}", bytes(changed)


def verdicts(case: ChainCase, layout: ChainLayout, sent: bytes) -> bytes | None:
    """Python on what a contract was sent: its statement is the caller's claim and commitments."""
    statement = case.statement
    if sent[64:256] != b"".join(statement.commitments()):
        return None  # another statement: its proof would have to be made anew (and the commitments registered)
    num, den = (int.from_bytes(sent[i : i + 32], "big") for i in (0, 32))
    if not (1 <= num < 1 << 16 and 1 <= den < 1 << 16):
        return None
    claim = statement.statement.claim
    object.__setattr__(changed := replace(claim), "num", num)  # a claim in lowest terms or not
    object.__setattr__(changed, "den", den)
    statement = replace(statement, statement=replace(statement.statement, claim=changed))
    try:
        proof = ChainProof.decode(sent[ITEM_HEAD:-32], layout)
    except ProofFormatError:
        return None
    if sent[-32:] != word(inverse_of(statement, proof)):
        return None
    return python_verdict(statement, proof)


def resealed(case: ChainCase, sent: bytes) -> bytes:
    """With the inverse that belongs to changed bytes, where they are a proof at all: what an attacker would send."""
    try:
        proof = ChainProof.decode(sent[ITEM_HEAD:-32], case.statement.prices.layout)
        return sent[:-32] + word(inverse_of(case.statement, proof))
    except (ProofFormatError, VerificationError):
        return sent


def compare(deployed: Deployed, case: ChainCase, sent: bytes, count: int) -> None:
    def attacks() -> Iterator[tuple[str, bytes]]:
        for name, changed in mutations(sent, count):
            same = changed[:ITEM_HEAD] == sent[:ITEM_HEAD] and changed[-32:] == sent[-32:]
            yield name, resealed(case, changed) if same else changed

    layout = case.statement.prices.layout
    agree(judge(deployed, case.statement, attacks(), lambda changed: verdicts(case, layout, changed)))


def test_changed_proofs_get_pythons_verdict_on_anvil(bound: tuple[Deployed, ChainCase, bytes]) -> None:
    deployed, case, sent = bound
    compare(deployed, case, sent, int(os.environ.get("ZKMARGIN_EVM_MUTATIONS", "500")) // 2)


def test_changed_proofs_get_pythons_verdict_on_py_evm(py_evm: PyEVM) -> None:
    case = standard(2)
    deployed = Deployed.of(py_evm, case)
    case = deployed.bound(case)
    sent = item(case.statement, prove(case))
    compare(deployed, case, sent, int(os.environ.get("ZKMARGIN_PYEVM_MUTATIONS", "10")))


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_forged_orders_are_rejected(anvil: Anvil, forgery: Any) -> None:
    case = standard(1)
    deployed = Deployed.of(anvil, case)
    false = falsified(deployed.bound(case))
    proof = forgery.prove(false.statement, false)
    assert deployed.verdict(false.statement, item(false.statement, proof)) == "ProofRejected()"


def test_errors_are_named(bound: tuple[Deployed, ChainCase, bytes]) -> None:
    deployed, case, sent = bound
    statement = case.statement

    def with_bytes(at: int, data: bytes) -> bytes:
        return sent[:at] + data + sent[at + len(data) :]

    raised = with_bytes(len(sent) - 32, (int.from_bytes(sent[-32:], "big") + r).to_bytes(32, "big"))
    expected = {
        "ClaimOutOfRange()": [with_bytes(0, bytes(32)), with_bytes(32, (1 << 16).to_bytes(32, "big"))],
        "WrongProofLength()": [sent[:-32], b"", sent + sent],
        "BadCalldata()": [sent[:-1], sent + b"\0"],  # the ABI pads: the call ends where the proof does not
        "ScalarOutOfRange(3)": [with_bytes(1024 + 96, r.to_bytes(32, "big"))],
        "ScalarOutOfRange(0)": [with_bytes(1024, b"\xff" * 32)],
        "InvalidPoint()": [resealed(case, with_bytes(256, data)) for data in (b"\xff" * 96, (1).to_bytes(96, "big"))],
        "ProofRejected()": [resealed(case, with_bytes(1024, bytes(32)))],
        "BadInverse()": [with_bytes(1024, bytes(32)), with_bytes(len(sent) - 32, bytes(32)), raised],
    }
    expected |= {f"PointAtInfinity({i})": [resealed(case, with_bytes(256 + 96 * i, bytes(96)))] for i in range(8)}
    for error, items in expected.items():
        for changed in items:
            assert deployed.verdict(statement, changed) == error
    for at, place in ((64, 8), (160, 9)):
        # other commitments are another statement: the inverse is of its own transcript
        changed = with_bytes(at, bytes(96))
        transcript = ChainTranscript(
            table_hash=statement.table.hash,
            context=statement.context_word,
            num=5,
            den=4,
            positions=changed[64:160],
            collateral=changed[160:256],
        )
        with patch("zkmargin.chain.calls.transcript_of", lambda _, found=transcript: found):
            changed = resealed(case, changed)
        assert deployed.verdict(statement, changed) == f"PointAtInfinity({place})"


def test_other_tables_nonces_and_callers_are_other_statements(bound: tuple[Deployed, ChainCase, bytes]) -> None:
    deployed, case, sent = bound
    table = case.statement.table
    for changed in (
        table.model_copy(update={"sequence": 8}),
        table.model_copy(update={"series": "ab" * 32}),
        table.model_copy(update={"snapshot": "ab" * 32}),
        table.model_copy(update={"price": table.rows[0]}),
        table.model_copy(update={"factor_bp": table.factor_bp + 1}),
    ):
        other = replace(case, statement=replace(case.statement, table=changed))
        assert deployed.verdict(other.statement, resealed(other, sent)) == "ProofRejected()"
    other = deployed.bound(case, bytes(32))
    assert deployed.verdict(case.statement, resealed(other, sent), nonce=bytes(32)) == "ProofRejected()"
    content = table.content()
    for length in (0, 96, len(content) - 1, len(content) + 96):
        call = encode_call(
            "MarginVerifier", "verify", [table_id(table), content[:length].ljust(length, b"\0"), NONCE, sent]
        )
        with pytest.raises(Reverted) as reverted:
            deployed.evm.call(deployed.address, call)
        assert error_name(reverted.value.data) == ("BadCalldata()" if length % 32 else "WrongTableLength()")


def test_batches_hold_together_or_not_at_all(anvil: Anvil) -> None:
    cases = [chain_case(chain_snapshot(groups=1), [3, -2, 0, 5, -1, 2, -4], [900_000 + i, 30]) for i in range(3)]
    deployed = Deployed.of(anvil, cases[0])
    nonces = [bytes([i]) * 32 for i in range(3)]
    made = [deployed.bound(case, nonce) for case, nonce in zip(cases, nonces, strict=True)]
    items = [item(case.statement, prove(case, f"batch {i}")) for i, case in enumerate(made)]
    table = made[0].statement.table

    def run(chosen: Any, items: Any) -> Any:
        data = anvil.call(deployed.address, verify_batch_call(table, chosen, items))
        return decode_result("MarginVerifier", "verifyBatch", data)

    for count in (1, 2, 3):
        table_hash, digests = run(nonces[:count], items[:count])
        assert table_hash == table.hash
        assert list(digests) == [
            python_verdict(case.statement, ChainProof.decode(sent[256:-32], case.statement.prices.layout))
            for case, sent in zip(made[:count], items[:count], strict=True)
        ]
    for place in range(3):
        for at in (1024, 928, 1000):
            bad = bytearray(items[place])
            bad[at + 31] ^= 1
            changed = [*items[:place], bytes(bad), *items[place + 1 :]]
            with pytest.raises(Reverted):
                run(nonces, changed)
    for chosen, sent in (([], []), (nonces, items[:2]), (nonces[:2], items), (nonces[::-1], items)):
        with pytest.raises(Reverted) as reverted:
            run(chosen, sent)
        assert error_name(reverted.value.data) in {"WrongProofLength()", "BadInverse()"}


def test_what_is_rejected_costs_no_more_than_what_is_accepted(anvil: Anvil) -> None:
    case = sized_case(35, b"")
    deployed = Deployed.of(anvil, case)
    case = deployed.bound(case)
    sent = item(case.statement, prove(case))
    accepted = anvil.send(deployed.address, verify_call(case.statement.table, NONCE, sent))
    assert accepted.succeeded
    worst = 0
    for at in (0, 64, 160, *range(256, 1024, 96), *range(1024, len(sent), 32)):
        for change in (b"\xff" * 32, bytes(31) + b"\1", bytes([sent[at] ^ 1]) + sent[at + 1 : at + 32]):
            changed = sent[:at] + change + sent[at + 32 :]
            for attack in {changed, resealed(case, changed)} - {sent}:
                receipt = anvil.send(deployed.address, verify_call(case.statement.table, NONCE, attack))
                assert not receipt.succeeded
                worst = max(worst, receipt.gas)
    assert worst <= 1.05 * accepted.gas
