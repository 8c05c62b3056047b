"""Wide layouts on chain: the contract's verdict is Python's, forged rows and equations are rejected."""

from __future__ import annotations

import os

import pytest
from support.chain_lab import WIDE, ChainCase, prove, prove_joint, standard, wide, wide_joint
from support.chain_wide_forge import MUTANTS, Mutant

from contracts.tests.cases import NONCE, Deployed, item, python_verdict
from contracts.tests.evm import EVM, Anvil, Reverted
from contracts.tests.test_joint import compare as compare_joint
from contracts.tests.test_verifier import compare, resealed
from zkmargin.chain.abi import decode_result, encode_call, encode_constructor, error_name
from zkmargin.chain.calls import deploy_verifier, joint_item, verifier_arguments, verify_batch_call, verify_call
from zkmargin.crypto.field import r
from zkmargin.verifier.chain.joint import verify_joint
from zkmargin.verifier.chain.joint_proof import encode_joint_proof

#: Changed proofs of each layout.
MUTATIONS = int(os.environ.get("ZKMARGIN_EVM_WIDE_MUTATIONS", "40"))


def bound(evm: EVM, name: str) -> tuple[Deployed, ChainCase, bytes]:
    """A verifier, an account's statement for it, and what is sent."""
    case = wide(name)
    deployed = Deployed.of(evm, case)
    case = deployed.bound(case)
    return deployed, case, item(case.statement, prove(case))


@pytest.mark.parametrize("name", WIDE)
def test_an_honest_proof_is_accepted(anvil: Anvil, name: str) -> None:
    deployed, case, sent = bound(anvil, name)
    pins = decode_result(
        "WideMarginVerifier", "pins", anvil.call(deployed.address, encode_call("WideMarginVerifier", "pins", []))
    )
    assert pins == (case.statement.table.layout_digest, bytes.fromhex(case.statement.table.pinned))
    assert deployed.verdict(case.statement, sent) == python_verdict(case.statement, prove(case))


def test_an_honest_proof_is_accepted_on_py_evm(py_evm: EVM) -> None:
    deployed, case, sent = bound(py_evm, "a floor")
    assert deployed.verdict(case.statement, sent) == python_verdict(case.statement, prove(case))


@pytest.mark.parametrize("name", ["two floors and an addition", "eight groups and all of them"])
def test_an_honest_joint_proof_is_accepted(anvil: Anvil, name: str) -> None:
    case = wide_joint(name)
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
def test_what_lacks_a_row_or_an_equation_is_rejected(anvil: Anvil, mutant: Mutant) -> None:
    case = wide(mutant.layout)
    deployed = Deployed.of(anvil, case)
    false = mutant.false_case(deployed.bound(case))
    proof = mutant.prove(false)
    assert deployed.verdict(false.statement, item(false.statement, proof)) == "ProofRejected()"


@pytest.mark.parametrize("name", ["a floor", "three groups", "eight groups and all of them"])
def test_changed_proofs_get_pythons_verdict_on_anvil(anvil: Anvil, name: str) -> None:
    deployed, case, sent = bound(anvil, name)
    compare(deployed, case, sent, MUTATIONS)


def test_changed_joint_proofs_get_pythons_verdict_on_anvil(anvil: Anvil) -> None:
    case = wide_joint("eight groups and all of them")
    deployed = Deployed.of(anvil, case)
    case = deployed.bound_joint(case)
    compare_joint(deployed, case, joint_item(case.statement, prove_joint(case)), MUTATIONS // 2)


def test_every_side_row_is_checked(anvil: Anvil) -> None:
    deployed, case, sent = bound(anvil, "eight groups and all of them")
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
        (62, 0, 1 + 16),  # no index for a floor
        (61, 0, 1 + 32),
        (60, 0, 1 + 64),
        (6, 62, 1 + 16),
        (6, 0, 256 + 16),
        (6, 0x060006, 1),  # a group without scenarios
        (6, 0x4106, 1),
        (31, 0x011F1F1F, 1),  # more than two columns hold
        (64, 0x0101, 1),
        (1, 0x0101010101010101, 1),  # nine groups
    ],
)
def test_layouts_that_there_are_none_of(anvil: Anvil, scenarios0: int, scenarios1: int, flags: int) -> None:
    pinned = bytes.fromhex(standard(1).statement.table.pinned)
    for name in ("WideMarginVerifier", "WideMarginJointVerifier"):
        data = encode_constructor(name, (7, scenarios0, scenarios1, flags, pinned))
        with pytest.raises(Reverted) as reverted:
            anvil.call(None, data)  # type: ignore[arg-type]
        assert error_name(reverted.value.data) == "BadLayout()"


def test_the_other_verifiers_take_no_wide_layout(anvil: Anvil) -> None:
    for name in WIDE:
        for contract in ("MarginVerifier", "MarginJointVerifier"):
            data = encode_constructor(contract, verifier_arguments(wide(name).statement.table))
            assert not anvil.send(None, data).succeeded
    assert anvil.send(None, deploy_verifier(wide("a floor").statement.table, joint=True)).succeeded


def test_what_is_rejected_costs_no_more_than_what_is_accepted(anvil: Anvil) -> None:
    deployed, case, sent = bound(anvil, "eight groups and all of them")
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
