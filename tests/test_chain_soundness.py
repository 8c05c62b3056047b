"""Orders of messages that would be wrong, each forged; and the rank of what a proof reveals."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from support.chain_forge import FORGERIES, Forgery, false_case
from support.chain_lab import ChainCase, KnownTau, rank, standard
from support.lab import derivatives, draws

import zkmargin.prover.chain
import zkmargin.verifier.chain.argument
from zkmargin.circuits.chain import ROWS
from zkmargin.formats import ConstraintError, ProofFormatError, VerificationError
from zkmargin.verifier.chain import encode_chain_proof, verify_chain
from zkmargin.verifier.chain.proof import WORDS

# --- forged orders ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.name)
def test_each_wrong_order_is_forged_and_the_real_one_is_not(forgery: Forgery) -> None:
    case = false_case()
    statement = case.statement
    proof = encode_chain_proof(forgery.prove(statement, case), statement.statement.srs.digest)
    with patch.object(zkmargin.verifier.chain.argument, "ChainTranscript", forgery.schedule):
        verify_chain(statement, proof)  # the mutant falls for it
    with pytest.raises((VerificationError, ProofFormatError)):
        verify_chain(statement, proof)


def test_the_claim_that_forgers_prove_is_false() -> None:
    from zkmargin.circuits.books import margin_witness

    case = false_case()
    with pytest.raises(ConstraintError):
        margin_witness(case.snapshot, case.statement.statement.claim, case.lots)


# --- zero knowledge ---------------------------------------------------------------------------------------------------


class Bench:
    """The product's prover as a function from blinders to revealed numbers, at fixed challenges and a known tau."""

    def __init__(self, case: ChainCase) -> None:
        self.case, self.known = case, KnownTau()
        draw = draws("challenges of the rank test")
        beta, rho, chi, self.zeta, gamma, x = (draw() for _ in range(6))

        class Fixed:
            round1 = staticmethod(lambda *_: (beta, rho))
            round2 = staticmethod(lambda *_: chi)
            round3 = staticmethod(lambda *_, zeta=self.zeta: zeta)
            round4 = staticmethod(lambda *_: gamma)
            round5 = staticmethod(lambda *_: x)

        self.transcript = Fixed()
        columns = self.case.statement.prices.layout.columns
        self.names = [f"f{c} b{i}" for c in range(columns) for i in (0, 1)] + ["mu b0", "mu b1"]
        self.names += [f"h{g} b{i}" for g in range(3) for i in (0, 1)] + [f"phi b{i}" for i in range(4)]

    def revealed(self, blinders: list[int]) -> list[int]:
        """F1 F2 F3 H phi T at tau; f, mu, h, phi at zeta; phi at omega zeta. W and W' follow from the rest."""
        source = iter(blinders)
        with (
            patch.object(zkmargin.prover.chain, "chain_committer", lambda _: self.known),
            patch.object(zkmargin.prover.chain, "transcript_of", lambda _: self.transcript),
        ):
            proof = zkmargin.prover.chain.prove_chain_argument(
                self.case.statement, self.case.witness, self.case.blinders, lambda: next(source)
            )
        assert next(source, None) is None
        v = proof.values
        points = [int.from_bytes(point[64:], "big") for _, point in [*proof.commitments.named(WORDS)][:6]]
        return [*points, *v.digits, v.mu, *v.h, v.phi, v.phi_shifted]

    def jacobian(self) -> dict[str, list[int]]:
        return derivatives(self.names, self.revealed, "blinders of the rank test")


@pytest.fixture(scope="module")
def jacobian() -> dict[str, list[int]]:
    return Bench(standard(2)).jacobian()


@pytest.mark.slow
def test_everything_revealed_is_uniform(jacobian: dict[str, list[int]]) -> None:
    assert len(jacobian) == 28
    assert len(jacobian["mu b0"]) == 20
    assert rank(list(jacobian.values())) == 20


@pytest.mark.slow
def test_phi_needs_all_of_its_four_blinders(jacobian: dict[str, list[int]]) -> None:
    # phi at tau, T at tau (through phi(omega tau)), phi at zeta, phi at omega zeta
    alone = [[jacobian[f"phi b{i}"][place] for place in (4, 5, 18, 19)] for i in range(4)]
    assert rank(alone) == 4
    for without in range(4):
        assert rank([row for i, row in enumerate(alone) if i != without]) == 3


@pytest.mark.slow
def test_twenty_blinders_are_enough_and_none_of_them_is_too_many(jacobian: dict[str, list[int]]) -> None:
    # one a column, one more a packed point, four for phi: with all 28 a test that drops one could not fail
    columns = [f"f{c}" for c in range(8)] + ["mu", "h0", "h1", "h2"]
    chosen = [f"{name} b0" for name in columns] + [f"{name} b1" for name in ("f0", "f3", "f6", "h0")]
    chosen += [f"phi b{i}" for i in range(4)]
    assert len(chosen) == 20
    assert rank([jacobian[name] for name in chosen]) == 20
    for dropped in chosen:
        assert rank([jacobian[name] for name in chosen if name != dropped]) == 19


def test_rank_of_what_is_known() -> None:
    assert rank([[1, 2], [2, 4]]) == 1
    assert rank([[1, 0], [0, ROWS]]) == 2
