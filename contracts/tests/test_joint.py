"""The joint contract's verdict is Python's: honest proofs, edges, changed bytes, forged orders, bad input, gas."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.chain_joint_forge import ORDERS, Forger, false_joint, poor_and_rich
from support.chain_lab import JointCase, joint_standard, prove_joint

from contracts.tests.cases import NONCE, Deployed, agree, judge, sized_joint
from contracts.tests.evm import EVM, Anvil, PyEVM
from zkmargin.chain.abi import decode_result, encode_call
from zkmargin.chain.calls import inverse_at, joint_item, verify_call
from zkmargin.crypto.field import r
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.verifier.chain.joint import reduce_joint
from zkmargin.verifier.chain.joint_proof import JointProof, claimed
from zkmargin.verifier.chain.words import word
from zkmargin.verifier.verify import fold, holds

CONTRACT = "MarginJointVerifier"
P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB


def python_verdict(case: JointCase, proof: JointProof) -> bytes | None:
    """The statement digest, or None."""
    try:
        opening = reduce_joint(case.statement, proof)
    except (ProofFormatError, VerificationError, InputError):
        return None
    srs = case.statement.srs
    return opening.statement_digest if holds(*fold([opening], [1], srs), srs) else None


def head(case: JointCase) -> int:
    """Bytes before the proof's first point."""
    return len(claimed(*case.statement.ratio, case.statement.commitments()))


def resealed(case: JointCase, sent: bytes) -> bytes:
    """With the inverse that belongs to changed bytes, where they are a proof at all."""
    try:
        proof = JointProof.decode(sent[head(case) : -32], case.statement.shape)
        challenges = case.statement.transcript().replay(proof)
    except (ProofFormatError, VerificationError):
        return sent
    return sent[:-32] + word(inverse_at(case.statement.prices.layout, challenges))


def expected(case: JointCase, sent: bytes) -> bytes | None:
    """Python on what a contract was sent."""
    if sent[: head(case)] != claimed(*case.statement.ratio, case.statement.commitments()) or sent != resealed(
        case, sent
    ):
        return None
    try:
        return python_verdict(case, JointProof.decode(sent[head(case) : -32], case.statement.shape))
    except ProofFormatError:
        return None


def deployed_case(evm: EVM, accounts: int, groups: int) -> tuple[Deployed, JointCase, bytes]:
    case = joint_standard(accounts, groups)
    deployed = Deployed.of(evm, case)
    case = deployed.bound_joint(case)
    return deployed, case, joint_item(case.statement, prove_joint(case))


def test_an_honest_joint_proof_is_accepted_on_both_evms(evm: EVM) -> None:
    deployed, case, sent = deployed_case(evm, 3, 2)
    table = case.statement.table
    pins = decode_result(CONTRACT, "pins", evm.call(deployed.address, encode_call(CONTRACT, "pins", [])))
    assert pins == (table.layout_digest, bytes.fromhex(table.pinned))
    assert deployed.verdict(case.statement, sent) == expected(case, sent) is not None


@pytest.mark.parametrize(("accounts", "groups"), [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2), (4, 2), (7, 2)])
def test_every_way_that_columns_fill_their_points(anvil: Anvil, accounts: int, groups: int) -> None:
    deployed, case, sent = deployed_case(anvil, accounts, groups)
    assert deployed.verdict(case.statement, sent) == expected(case, sent) is not None


def mutations(case: JointCase, sent: bytes, count: int) -> Iterator[tuple[str, bytes]]:
    """Changed items: every field in turn, by one of several kinds of change."""
    shape, at = case.statement.shape, head(case)
    points = shape.columns + shape.helpers + 4
    fields = [(f"word {i}", 32 * i, 32 * i + 32) for i in range(3)]
    fields += [(f"commitment {i}", i, i + 96) for i in range(96, at, 96)]
    fields += [(f"point {i}", at + 96 * i, at + 96 * i + 96) for i in range(points)]
    fields += [(f"scalar {i}", i, i + 32) for i in range(at + 96 * points, len(sent), 32)]  # the inverse is last
    kinds = ("bit", "random", "zero", "plus one", "plus r", "negate", "swap")
    begin = secrets.randbelow(len(fields) * len(kinds))
    stride = 1 if count >= len(fields) else 11
    for i in range(begin, begin + count * stride, stride):
        name, start, stop = fields[i % len(fields)]
        kind = kinds[(i // stride if stride > 1 else i // len(fields)) % len(kinds)]
        changed, size = bytearray(sent), stop - start
        value = int.from_bytes(sent[start:stop], "big")
        match kind:
            case "bit":
                changed[start + secrets.randbelow(size)] ^= 1 << secrets.randbelow(8)
            case "random":
                changed[start:stop] = secrets.token_bytes(size)
            case "zero":
                changed[start:stop] = bytes(size)
            case "plus one" | "plus r":
                changed[start:stop] = ((value + (1 if kind == "plus one" else r)) % 2 ** (8 * size)).to_bytes(
                    size, "big"
                )
            case "negate" if size == 96:
                y = int.from_bytes(sent[start + 48 : stop], "big")
                changed[start + 48 : stop] = (P - y).to_bytes(48, "big")
            case "negate":
                changed[start:stop] = (-value % r).to_bytes(size, "big")
            case _:
                _, begin_, end_ = fields[(i * 7 + 5) % len(fields)]
                changed[start:stop] = sent[begin_:end_][:size].ljust(size, b"\0")
        if bytes(changed) != sent:
            yield f"{name}, {kind}", bytes(changed)


def compare(deployed: Deployed, case: JointCase, sent: bytes, count: int) -> None:
    attacks = (
        (name, resealed(case, changed) if changed[-32:] == sent[-32:] else changed)
        for name, changed in mutations(case, sent, count)
    )
    agree(judge(deployed, case.statement, attacks, lambda changed: expected(case, changed)))


@pytest.mark.parametrize("groups", [1, 2])
def test_changed_joint_proofs_get_pythons_verdict_on_anvil(anvil: Anvil, groups: int) -> None:
    compare(*deployed_case(anvil, 4, groups), int(os.environ.get("ZKMARGIN_EVM_JOINT_MUTATIONS", "300")) // 2)


def test_changed_joint_proofs_get_pythons_verdict_on_py_evm(py_evm: PyEVM) -> None:
    compare(*deployed_case(py_evm, 2, 2), int(os.environ.get("ZKMARGIN_PYEVM_JOINT_MUTATIONS", "4")))


@pytest.mark.parametrize("late", ORDERS)
def test_forged_orders_are_rejected(anvil: Anvil, late: str) -> None:
    case = poor_and_rich()
    deployed = Deployed.of(anvil, case)
    case = false_joint(deployed.bound_joint(case))
    proof = Forger(case, late).prove()
    assert deployed.verdict(case.statement, joint_item(case.statement, proof)) == "ProofRejected()"


def test_errors_are_named(anvil: Anvil) -> None:
    deployed, case, sent = deployed_case(anvil, 4, 1)
    shape, at = case.statement.shape, head(case)
    scalars = at + 96 * (shape.columns + shape.helpers + 4)

    def with_bytes(place: int, data: bytes) -> bytes:
        return sent[:place] + data + sent[place + len(data) :]

    def point(i: int) -> bytes:
        return resealed(case, with_bytes(at + 96 * i, bytes(96)))

    columns, last = shape.columns, shape.columns + shape.helpers
    wanted: dict[str, list[bytes]] = {
        "WrongProofLength()": [
            *(with_bytes(0, word(m)) for m in (0, 3, 5, 257, 2**255)),
            sent[:-32],
            sent + bytes(32),
            b"",
            sent[:32],
        ],
        "BadCalldata()": [sent[:-1], sent + b"\0"],
        "ClaimOutOfRange()": [with_bytes(32, bytes(32)), with_bytes(64, word(1 << 16)), with_bytes(32, word(r))],
        "ScalarOutOfRange(0)": [with_bytes(scalars, word(r))],
        "ScalarOutOfRange(5)": [with_bytes(scalars + 160, b"\xff" * 32)],
        f"ScalarOutOfRange({(len(sent) - scalars) // 32 - 2})": [with_bytes(len(sent) - 64, word(r))],
        "BadInverse()": [
            with_bytes(len(sent) - 32, bytes(32)),
            with_bytes(len(sent) - 32, word(int.from_bytes(sent[-32:], "big") + r)),
            with_bytes(scalars, bytes(32)),
        ],
        "InvalidPoint()": [resealed(case, with_bytes(at, data)) for data in (b"\xff" * 96, word(1).rjust(96, b"\0"))],
        "ProofRejected()": [resealed(case, with_bytes(scalars, bytes(32)))],
        "PointAtInfinity(0)": [point(0), point(7)],
        "PointAtInfinity(2)": [point(8), point(columns - 1)],
        "PointAtInfinity(3)": [point(columns), point(last - 1)],
        "PointAtInfinity(4)": [point(last)],
        "PointAtInfinity(5)": [point(last + 1)],
        "PointAtInfinity(6)": [point(last + 2)],
        "PointAtInfinity(7)": [point(last + 3)],
    }
    for error, items in wanted.items():
        for changed in items:
            assert deployed.verdict(case.statement, changed) == error


def test_other_accounts_orders_and_nonces_are_other_statements(anvil: Anvil) -> None:
    deployed, case, sent = deployed_case(anvil, 3, 1)
    first, second, third = case.cases
    for accounts in ((second, first, third), (first, second, second), (first, third, third)):
        other: Any = replace(case, cases=accounts, statement=type(case.statement)(tuple(x.statement for x in accounts)))
        public = claimed(*other.statement.ratio, other.statement.commitments())
        changed = resealed(other, public + sent[len(public) :])
        assert deployed.verdict(other.statement, changed) == "ProofRejected()"
    moved = deployed.bound_joint(case, bytes(32))
    assert deployed.verdict(case.statement, resealed(moved, sent), nonce=bytes(32)) == "ProofRejected()"


def test_what_is_rejected_costs_no_more_than_what_is_accepted(anvil: Anvil) -> None:
    case = sized_joint(8, 16)
    deployed = Deployed.of(anvil, case)
    case = deployed.bound_joint(case)
    sent = joint_item(case.statement, prove_joint(case))
    table = case.statement.table
    accepted = anvil.send(deployed.address, verify_call(table, NONCE, sent))
    assert accepted.succeeded
    shape, at = case.statement.shape, head(case)
    worst = 0
    for place in (0, 96, at - 96, at, at + 96 * (shape.columns + shape.helpers), *range(at, len(sent), 1120)):
        for change in (b"\xff" * 32, word(1), bytes([sent[place] ^ 1]) + sent[place + 1 : place + 32]):
            changed = sent[:place] + change + sent[place + 32 :]
            for attack in {changed, resealed(case, changed)} - {sent}:
                receipt = anvil.send(deployed.address, verify_call(table, NONCE, attack))
                assert not receipt.succeeded
                worst = max(worst, receipt.gas)
    assert worst <= 1.05 * accepted.gas
