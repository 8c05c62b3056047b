"""What is the same of every wide chain layout: engine, provers, verifiers, forgers, and what a proof reveals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.chain_lab import chain_case, funds, joint_case, prove, prove_joint, rank
from support.chain_layouts import LAYOUTS, MUTANTS, case_of, covered, joint_of, snapshot_of
from support.chain_mutants import Mutant, put
from support.lab import draws
from test_chain_soundness import Bench
from test_second_chain import second

from zkmargin.circuits.chain import BALANCE_DIGITS, MAX_SCENARIOS, SIDE_COLUMNS, ChainPrices, digit_columns, held_cell
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import Claim
from zkmargin.formats import ConstraintError, ProofFormatError, VerificationError
from zkmargin.prover.chain_joint_reference import prove_joint_reference
from zkmargin.prover.chain_reference import prove_chain_reference
from zkmargin.prover.polynomials import ProverError
from zkmargin.verifier.chain import ChainProof, encode_chain_proof, verify_chain
from zkmargin.verifier.chain.joint import verify_joint
from zkmargin.verifier.chain.joint_proof import encode_joint_proof


def encode(proof: ChainProof) -> bytes:
    return encode_chain_proof(proof, embedded().digest)


@pytest.mark.parametrize("name", LAYOUTS)
def test_indices_of_groups_are_disjoint(name: str) -> None:
    layout = case_of(name).statement.prices.layout
    taken = [layout.index(g, s) for g in range(layout.groups) for s in range(layout.indices(g))]
    assert len(taken) == len(set(taken))
    assert all(column < layout.packed and s < MAX_SCENARIOS for column, s in taken)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_says_what_the_engine_says_at_the_boundary(name: str) -> None:
    given = snapshot_of(name)
    prices, draw = ChainPrices.of(given, "initial"), np.random.default_rng(7)
    for claim in (Claim(1, 1, "initial"), Claim(7, 5, "initial")):
        for bits in (12, 12, 7):
            book = draw.integers(-(2**bits), 2**bits, size=len(given.instruments)).tolist()
            least = funds(given, book, claim)
            assert covered(prices, given, book, least, claim)
            assert least == 0 or not covered(prices, given, book, least - 1, claim)


@pytest.mark.parametrize("name", LAYOUTS)
def test_one_unit_short_has_no_proof(name: str) -> None:
    case, given = case_of(name), snapshot_of(name)
    book, claim, table = list(case.lots.positions), case.statement.statement.claim, case.statement.table
    least = funds(given, book, claim)
    proved = chain_case(given, book, [least, 30], claim=claim, table=table)
    verify_chain(proved.statement, encode(prove(proved)))
    with pytest.raises(ConstraintError):
        chain_case(given, book, [least - 1, 30], claim=claim, table=table)
    short = replace(proved, witness=replace(proved.witness, collateral=(least - 1, 30)))
    with pytest.raises(ProverError, match="claim is false"):
        prove(short)
    columns = digit_columns(proved.statement.prices, proved.witness, claim.num, claim.den)
    for held in (least - 1, least):  # what is committed, and what its digits say
        put(columns[SIDE_COLUMNS], [held_cell(0, d) for d in range(BALANCE_DIGITS)], held)
        with pytest.raises(ProverError, match="running sum does not close"):
            prove(short, columns=columns)


@pytest.mark.parametrize(
    "name",
    [
        "all of them",
        "eight groups and all of them",
        "a class alone",
        "over both columns",
        "tails of three product groups",
        "tails and floors",
    ],
)
def test_honest_proofs_are_accepted_by_both_verifiers(name: str) -> None:
    case = case_of(name)
    proof = encode(prove(case))
    assert len(proof) == 44 + ChainProof.size(case.statement.prices.layout)
    assert second(case, proof) == verify_chain(case.statement, proof)
    for at in (60, 44 + 768 + 31, len(proof) - 1):
        changed = bytearray(proof)
        changed[at] ^= 1
        with pytest.raises((VerificationError, ProofFormatError)):
            verify_chain(case.statement, bytes(changed))


@pytest.mark.parametrize("name", ["three groups", "a class alone", "tails within"])
def test_honest_joint_proofs_are_accepted_by_both_verifiers(name: str) -> None:
    case = joint_of(name)
    proof = encode_joint_proof(prove_joint(case), embedded().digest)
    assert second(case, proof) == verify_joint(case.statement, proof)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["eight groups and all of them", "over both columns", "three product groups", "tails and floors"]
)
def test_reference_and_fast_prover_give_the_same_bytes(name: str) -> None:
    case = case_of(name)
    slow = prove_chain_reference(case.statement, case.witness, case.blinders, draws("chain proof"))
    assert encode(slow) == encode(prove(case))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a floor", "a class alone", "tails beyond"])
def test_the_joint_reference_and_fast_prover_give_the_same_bytes(name: str) -> None:
    case = joint_case([case_of(name)])
    witnesses, blinders = ([getattr(one, name) for one in case.cases] for name in ("witness", "blinders"))
    slow = prove_joint_reference(case.statement, witnesses, blinders, draws("joint proof"))
    assert slow == prove_joint(case)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_without_one_row_or_equation_a_false_claim_is_proved(mutant: Mutant) -> None:
    case = mutant.false_case(case_of(mutant.layout))
    proof = encode(mutant.prove(case))
    with mutant.without():
        verify_chain(case.statement, proof)  # the mutant falls for it
    with pytest.raises(VerificationError):
        verify_chain(case.statement, proof)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eight groups and all of them", "a class alone", "tails within"])
def test_everything_revealed_is_uniform(name: str) -> None:
    # the same 20 numbers as of two groups: rows, constants and scales are public, and no column is added
    jacobian = Bench(case_of(name)).jacobian()
    assert len(jacobian) == 28
    assert rank(list(jacobian.values())) == 20
