"""Wide layouts on chain: the contract's verdict is Python's; forged rows, equations, scales and tables are rejected."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from support.chain_lab import ChainCase, prove, prove_joint, standard, wide
from support.chain_layouts import LAYOUTS, MUTANTS, case_of, joint_of
from support.chain_mutants import Mutant
from support.chain_offsets import offset
from support.chain_offsets_forge import lenient
from support.chain_tails_forge import dampened

from contracts.tests.cases import NONCE, Deployed, item, python_verdict
from contracts.tests.evm import EVM, Anvil, Reverted
from contracts.tests.test_joint import compare as compare_joint
from contracts.tests.test_verifier import compare, resealed
from zkmargin.chain.abi import decode_result, encode_call, encode_constructor, error_name
from zkmargin.chain.calls import (
    deploy_verifier,
    joint_item,
    verifier_arguments,
    verifier_name,
    verify_batch_call,
    verify_call,
)
from zkmargin.crypto.field import r
from zkmargin.verifier.chain.joint import verify_joint
from zkmargin.verifier.chain.joint_proof import encode_joint_proof

#: Changed proofs of each layout.
MUTATIONS = int(os.environ.get("ZKMARGIN_EVM_WIDE_MUTATIONS", "40"))
ALL = "eight groups and all of them"
WIDE = tuple(f"{kind}Margin{joint}Verifier" for kind in ("Wide", "Tails") for joint in ("", "Joint"))
CHANGED = ("a floor", "three groups", ALL, "two classes", "a class alone", "over both columns", "tails within")
TAILS, OFFSETS, FLOOR, ADDED, FLAT = 256, 128, 16, 32, 64


def bound(evm: EVM, name: str) -> tuple[Deployed, ChainCase, bytes]:
    """A verifier, an account's statement for it, and what is sent."""
    case = case_of(name)
    deployed = Deployed.of(evm, case)
    case = deployed.bound(case)
    return deployed, case, item(case.statement, prove(case))


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_honest_proof_is_accepted(anvil: Anvil, name: str) -> None:
    deployed, case, sent = bound(anvil, name)
    pins = decode_result(
        "WideMarginVerifier", "pins", anvil.call(deployed.address, encode_call("WideMarginVerifier", "pins", []))
    )
    assert pins == (case.statement.table.layout_digest, bytes.fromhex(case.statement.table.pinned))
    assert deployed.verdict(case.statement, sent) == python_verdict(case.statement, prove(case))


@pytest.mark.parametrize("name", ["a floor", "a class alone"])
def test_an_honest_proof_is_accepted_on_py_evm(py_evm: EVM, name: str) -> None:
    deployed, case, sent = bound(py_evm, name)
    assert deployed.verdict(case.statement, sent) == python_verdict(case.statement, prove(case))


@pytest.mark.parametrize(
    "name", ["two floors and an addition", ALL, "two classes", "three product groups", "tails of two classes"]
)
def test_an_honest_joint_proof_is_accepted(anvil: Anvil, name: str) -> None:
    case = joint_of(name)
    deployed = Deployed.of(anvil, case)
    case = deployed.bound_joint(case)
    proof = prove_joint(case)
    digest = verify_joint(case.statement, encode_joint_proof(proof, case.statement.srs.digest))
    sent = joint_item(case.statement, proof)
    assert deployed.verdict(case.statement, sent) == digest
    sides = len(sent) - 32 * (1 + len(case.statement.prices.layout.side_rows))
    for at in (sides, len(sent) - 64):
        changed = bytearray(sent)
        changed[at + 31] ^= 1
        assert deployed.verdict(case.statement, bytes(changed)) in {"BadInverse()", "ProofRejected()"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_takes_is_rejected(anvil: Anvil, mutant: Mutant) -> None:
    case = case_of(mutant.layout)
    deployed = Deployed.of(anvil, case)
    false = mutant.false_case(deployed.bound(case))
    assert deployed.verdict(false.statement, item(false.statement, mutant.prove(false))) == "ProofRejected()"


def test_what_a_lenient_table_proves_is_of_another_table(anvil: Anvil) -> None:
    case = offset("a class alone")
    deployed = Deployed.of(anvil, case)
    case = deployed.bound(case)
    other = deployed.bound(lenient(case, "a higher cap"))
    sent = item(other.statement, prove(other))
    assert deployed.verdict(other.statement, sent) == python_verdict(other.statement, prove(other))
    true = replace(other, statement=replace(other.statement, table=case.statement.table))
    assert deployed.verdict(true.statement, resealed(true, sent)) == "ProofRejected()"
    beyond = offset("tails beyond")
    deployed = Deployed.of(anvil, beyond)
    other = deployed.bound(dampened(beyond, 7_568))
    sent = item(other.statement, prove(other))
    assert deployed.verdict(other.statement, sent) == python_verdict(other.statement, prove(other))
    true = replace(other, statement=replace(other.statement, table=beyond.statement.table))
    assert deployed.verdict(true.statement, resealed(true, sent)) == "ProofRejected()"


def test_other_scales_are_another_statement(anvil: Anvil) -> None:
    case = offset("a class alone")
    deployed = Deployed.of(anvil, case)
    case = deployed.bound(case)
    scales = case.statement.table.model_copy(update={"scales": (1, 9_999)})
    true = replace(case, statement=replace(case.statement, table=scales))
    assert deployed.verdict(true.statement, item(true.statement, prove(case))) == "ProofRejected()"


@pytest.mark.parametrize("name", CHANGED)
def test_changed_proofs_get_pythons_verdict_on_anvil(anvil: Anvil, name: str) -> None:
    deployed, case, sent = bound(anvil, name)
    compare(deployed, case, sent, MUTATIONS)


@pytest.mark.parametrize("name", [ALL, "a class alone"])
def test_changed_joint_proofs_get_pythons_verdict_on_anvil(anvil: Anvil, name: str) -> None:
    case = joint_of(name)
    deployed = Deployed.of(anvil, case)
    case = deployed.bound_joint(case)
    compare_joint(deployed, case, joint_item(case.statement, prove_joint(case)), MUTATIONS // 2)


def test_every_side_row_is_checked(anvil: Anvil) -> None:
    deployed, case, sent = bound(anvil, ALL)
    rows = len(case.statement.prices.layout.side_rows)
    first = len(sent) - 32 * (1 + rows)
    for i in range(rows):
        at = first + 32 * i
        value = int.from_bytes(sent[at : at + 32], "big")
        changed = sent[:at] + ((value + 1) % r).to_bytes(32, "big") + sent[at + 32 :]
        assert deployed.verdict(case.statement, resealed(case, changed)) == "ProofRejected()"
        outside = sent[:at] + (value + r).to_bytes(32, "big") + sent[at + 32 :]
        assert deployed.verdict(case.statement, outside) == f"ScalarOutOfRange({25 + i})"


def test_a_batch_of_a_wide_layout(anvil: Anvil) -> None:
    deployed, case, _ = bound(anvil, "all of them")
    nonces = [bytes([i]) * 32 for i in range(3)]
    made = [deployed.bound(case, nonce) for nonce in nonces]
    items = [item(one.statement, prove(one, f"batch {i}")) for i, one in enumerate(made)]
    call = verify_batch_call(case.statement.table, nonces, items)
    table_hash, digests = decode_result("WideMarginVerifier", "verifyBatch", anvil.call(deployed.address, call))
    assert table_hash == case.statement.table.hash
    assert len(set(digests)) == 3
    changed = bytearray(items[1])
    changed[-33] ^= 1  # the last side row
    with pytest.raises(Reverted):
        anvil.call(
            deployed.address,
            verify_batch_call(case.statement.table, nonces, [items[0], resealed(made[1], bytes(changed)), items[2]]),
        )


@pytest.mark.parametrize(
    ("scenarios0", "scenarios1", "flags"),
    [
        (6, 0, 1),  # not wide
        (6, 6, 1),
        (62, 0, 1 + FLOOR),  # no index for a charge by size
        (61, 0, 1 + ADDED),
        (60, 0, 1 + FLAT),
        (6, 62, 1 + FLOOR),
        (6, 0, 512 + FLOOR),
        (6, 0x060006, 1),  # a group without scenarios
        (6, 0x4106, 1),
        (31, 0x011F1F1F, 1),  # more than two columns hold
        (64, 0x0101, 1),
        (1, 0x0101010101010101, 1),  # nine groups
        (129, 0, OFFSETS),
        (128, 0, OFFSETS),  # no index for a short option minimum
        (124, 0, OFFSETS + FLOOR + FLAT),
        (40, 0x2D28, OFFSETS),  # more than two columns hold
        (6, 0x060006, OFFSETS),  # a group without lines
        (1, 0x0101010101010101, OFFSETS),  # nine groups
        (0, 0, OFFSETS),
        (6, 0, 512 + OFFSETS),
        (6, 6, TAILS),  # without gain offsets
        (6, 0, TAILS + OFFSETS),  # no group of tails
        (6, 0x0606, TAILS + OFFSETS),
        (6, 2, TAILS + OFFSETS),  # no tail
        (6, 0x020606, TAILS + OFFSETS),
        (120, 8, TAILS + OFFSETS),  # more than two columns hold
        (6, 0x0606060606060606, TAILS + OFFSETS),  # nine groups
    ],
)
def test_layouts_that_there_are_none_of(anvil: Anvil, scenarios0: int, scenarios1: int, flags: int) -> None:
    pinned = bytes.fromhex(standard(1).statement.table.pinned)
    for name in WIDE:
        data = encode_constructor(name, (7, scenarios0, scenarios1, flags, pinned))
        with pytest.raises(Reverted) as reverted:
            anvil.call(None, data)  # type: ignore[arg-type]
        assert error_name(reverted.value.data) == "BadLayout()"


@pytest.mark.parametrize(
    ("scenarios0", "scenarios1", "flags"),
    [
        (127, 0, OFFSETS),
        (123, 0, OFFSETS + FLAT),
        (40, 0x2728, OFFSETS),
        (1, 0, 1 + OFFSETS),
        (119, 7, TAILS + OFFSETS),
        (115, 7, TAILS + OFFSETS + FLAT),
    ],
)
def test_layouts_at_their_edges(anvil: Anvil, scenarios0: int, scenarios1: int, flags: int) -> None:
    pinned = bytes.fromhex(standard(1).statement.table.pinned)
    name = "TailsMarginVerifier" if flags & TAILS else "WideMarginVerifier"
    data = encode_constructor(name, (7, scenarios0, scenarios1, flags, pinned))
    assert anvil.send(None, data).succeeded


def test_the_other_verifiers_take_no_wide_layout(anvil: Anvil) -> None:
    for name in LAYOUTS:
        table = case_of(name).statement.table
        own = {verifier_name(table.layout, joint=joint) for joint in (False, True)}
        for contract in {"MarginVerifier", "MarginJointVerifier", *WIDE} - own:
            assert not anvil.send(None, encode_constructor(contract, verifier_arguments(table))).succeeded
    assert anvil.send(None, deploy_verifier(wide("a floor").statement.table, joint=True)).succeeded


@pytest.mark.parametrize("name", [ALL, "over both columns", "tails within"])
def test_what_is_rejected_costs_no_more_than_what_is_accepted(anvil: Anvil, name: str) -> None:
    deployed, case, sent = bound(anvil, name)
    table = case.statement.table
    accepted = anvil.send(deployed.address, verify_call(table, NONCE, sent))
    assert accepted.succeeded
    for at in (0, 64, *range(256, 1024, 96), *range(1024, len(sent), 160), len(sent) - 64, len(sent) - 32):
        for change in (b"\xff" * 32, bytes([sent[at] ^ 1]) + sent[at + 1 : at + 32]):
            changed = sent[:at] + change + sent[at + 32 :]
            for attack in {changed, resealed(case, changed)} - {sent}:
                receipt = anvil.send(deployed.address, verify_call(table, NONCE, attack))
                assert not receipt.succeeded
                assert receipt.gas <= 1.05 * accepted.gas
