"""The second verifier of the chain protocols, written from their texts, says what the product's says."""

from __future__ import annotations

import json

import pytest
from second_chain_verifier import verify
from second_circuit import Rejected
from support.chain_joint_forge import Forger, false_joint, poor_and_rich
from support.chain_lab import ChainCase, JointCase, joint_standard, prove, prove_joint, standard
from support.typed import Unchecked

from zkmargin.verifier.chain import encode_chain_proof, verify_chain
from zkmargin.verifier.chain.joint import verify_joint
from zkmargin.verifier.chain.joint_proof import encode_joint_proof


def second(case: ChainCase | JointCase, proof: bytes) -> bytes:
    """The second verifier's digest."""
    if isinstance(case, JointCase):
        first, accounts, joint = case.cases[0], case.statement.commitments(), True
    else:
        first, accounts, joint = case, [case.statement.commitments()], False
    inner = first.statement.statement
    return verify(
        json.loads(first.snapshot.to_bytes()),
        json.loads(first.statement.table.to_bytes()),
        accounts,
        (inner.claim.num, inner.claim.den),
        inner.context,
        proof,
        joint=joint,
    )


def proof_of(case: Unchecked, made: Unchecked = None) -> bytes:
    if isinstance(case, JointCase):
        return encode_joint_proof(made or prove_joint(case), case.statement.srs.digest)
    return encode_chain_proof(made or prove(case), case.statement.statement.srs.digest)


@pytest.mark.parametrize("groups", [1, 2])
def test_one_account(groups: int) -> None:
    case = standard(groups)
    proof = proof_of(case)
    assert second(case, proof) == verify_chain(case.statement, proof)


@pytest.mark.parametrize(("accounts", "groups"), [(1, 1), (3, 2)])
def test_many_accounts(accounts: int, groups: int) -> None:
    case = joint_standard(accounts, groups)
    proof = proof_of(case)
    assert second(case, proof) == verify_joint(case.statement, proof)


def test_changed_proofs_are_refused() -> None:
    case = joint_standard(2, 1)
    proof = proof_of(case)
    shape = case.statement.shape
    points = 44 + 96 * (shape.columns + shape.helpers + 4)
    other = proof[44:140]
    attacks = [proof[:-1], proof + bytes(32), proof[:11] + b"\x10" + proof[12:], proof[:44] + bytes(96) + proof[140:]]
    attacks.append(proof[:140] + other + proof[236:])
    attacks += [
        proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :] for at in (points + 31, len(proof) - 32 * 14 + 31)
    ]
    for changed in attacks:
        with pytest.raises(Rejected):
            second(case, changed)


@pytest.mark.parametrize("late", ["gamma", "x"])
def test_forged_orders_are_refused(late: str) -> None:
    case = false_joint(poor_and_rich())
    with pytest.raises(Rejected):
        second(case, proof_of(case, Forger(case, late).prove()))
