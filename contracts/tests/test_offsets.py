"""Gain offsets on chain: the contract's verdict is Python's, forged lines, scales and constants are rejected."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.chain_lab import ChainCase, prove, prove_joint, standard
from support.chain_offsets import OFFSETS, offset, offset_joint
from support.chain_offsets_forge import MUTANTS, Mutant, lenient

from contracts.tests.cases import NONCE, Deployed, item, python_verdict
from contracts.tests.evm import EVM, Anvil, Reverted
from contracts.tests.test_joint import compare as compare_joint
from contracts.tests.test_verifier import compare, resealed
from contracts.tests.test_wide import MUTATIONS
from zkmargin.chain.abi import encode_constructor, error_name
from zkmargin.chain.calls import joint_item, verifier_arguments, verify_call
from zkmargin.verifier.chain.joint import verify_joint
from zkmargin.verifier.chain.joint_proof import encode_joint_proof


def bound(evm: EVM, name: str) -> tuple[Deployed, ChainCase, bytes]:
    """A verifier, an account's statement for it, and what is sent."""
    case = offset(name)
    deployed = Deployed.of(evm, case)
    case = deployed.bound(case)
    return deployed, case, item(case.statement, prove(case))


@pytest.mark.parametrize("name", OFFSETS)
def test_an_honest_proof_is_accepted(anvil: Anvil, name: str) -> None:
    deployed, case, sent = bound(anvil, name)
    assert deployed.verdict(case.statement, sent) == python_verdict(case.statement, prove(case))


def test_an_honest_proof_is_accepted_on_py_evm(py_evm: EVM) -> None:
    deployed, case, sent = bound(py_evm, "a class alone")
    assert deployed.verdict(case.statement, sent) == python_verdict(case.statement, prove(case))


@pytest.mark.parametrize("name", ["two classes", "three product groups"])
def test_an_honest_joint_proof_is_accepted(anvil: Anvil, name: str) -> None:
    case = offset_joint(name)
    deployed = Deployed.of(anvil, case)
    case = deployed.bound_joint(case)
    proof = prove_joint(case)
    digest = verify_joint(case.statement, encode_joint_proof(proof, case.statement.srs.digest))
    assert deployed.verdict(case.statement, joint_item(case.statement, proof)) == digest


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_takes_is_rejected(anvil: Anvil, mutant: Mutant) -> None:
    case = offset(mutant.layout)
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
    scales = case.statement.table.model_copy(update={"scales": (1, 9_999)})
    true = replace(case, statement=replace(case.statement, table=scales))
    assert deployed.verdict(true.statement, item(true.statement, prove(case))) == "ProofRejected()"


@pytest.mark.parametrize("name", ["two classes", "a class alone", "over both columns"])
def test_changed_proofs_get_pythons_verdict_on_anvil(anvil: Anvil, name: str) -> None:
    deployed, case, sent = bound(anvil, name)
    compare(deployed, case, sent, MUTATIONS)


def test_changed_joint_proofs_get_pythons_verdict_on_anvil(anvil: Anvil) -> None:
    case = offset_joint("a class alone")
    deployed = Deployed.of(anvil, case)
    case = deployed.bound_joint(case)
    compare_joint(deployed, case, joint_item(case.statement, prove_joint(case)), MUTATIONS // 2)


@pytest.mark.parametrize(
    ("scenarios0", "scenarios1", "flags"),
    [
        (129, 0, 128),
        (128, 0, 128),  # no index for a short option minimum
        (124, 0, 128 + 16 + 64),
        (40, 0x2D28, 128),  # more than two columns hold
        (6, 0x060006, 128),  # a group without lines
        (1, 0x0101010101010101, 128),  # nine groups
        (6, 0, 256),
        (0, 0, 128),
    ],
)
def test_layouts_that_there_are_none_of(anvil: Anvil, scenarios0: int, scenarios1: int, flags: int) -> None:
    pinned = bytes.fromhex(standard(1).statement.table.pinned)
    for name in ("WideMarginVerifier", "WideMarginJointVerifier"):
        data = encode_constructor(name, (7, scenarios0, scenarios1, flags, pinned))
        with pytest.raises(Reverted) as reverted:
            anvil.call(None, data)  # type: ignore[arg-type]
        assert error_name(reverted.value.data) == "BadLayout()"


@pytest.mark.parametrize(
    ("scenarios0", "scenarios1", "flags"), [(127, 0, 128), (123, 0, 128 + 64), (40, 0x2728, 128), (1, 0, 129)]
)
def test_layouts_at_their_edges(anvil: Anvil, scenarios0: int, scenarios1: int, flags: int) -> None:
    pinned = bytes.fromhex(standard(1).statement.table.pinned)
    assert anvil.send(
        None, encode_constructor("WideMarginVerifier", (7, scenarios0, scenarios1, flags, pinned))
    ).succeeded


def test_the_other_verifiers_take_no_gain_offsets(anvil: Anvil) -> None:
    for name in OFFSETS:
        for contract in ("MarginVerifier", "MarginJointVerifier"):
            data = encode_constructor(contract, verifier_arguments(offset(name).statement.table))
            assert not anvil.send(None, data).succeeded


def test_what_is_rejected_costs_no_more_than_what_is_accepted(anvil: Anvil) -> None:
    deployed, case, sent = bound(anvil, "over both columns")
    table = case.statement.table
    accepted = anvil.send(deployed.address, verify_call(table, NONCE, sent))
    assert accepted.succeeded
    for at in (0, 64, *range(256, 1024, 96), *range(1024, len(sent), 160), len(sent) - 64, len(sent) - 32):
        changed = sent[:at] + bytes([sent[at] ^ 1]) + sent[at + 1 :]
        for attack in {changed, resealed(case, changed)} - {sent}:
            receipt = anvil.send(deployed.address, verify_call(table, NONCE, attack))
            assert not receipt.succeeded
            assert receipt.gas <= 1.05 * accepted.gas
