"""What a prover does not compute again in the check of its own proof: the same values, and nobody else's points."""

from dataclasses import replace

import pytest
from support import lab

from zkmargin.crypto.field import r
from zkmargin.crypto.group import G1_BYTES, G1_INFINITY, decode_g1, encode_g1
from zkmargin.formats import ProofFormatError
from zkmargin.prover.argument import prove_with_values
from zkmargin.prover.public import OwnValues
from zkmargin.verifier.argument import decoded, public_values, reduce_to_opening, replay
from zkmargin.verifier.proof import Proof


@pytest.fixture(scope="module")
def given() -> lab.Case:
    return lab.standard()


@pytest.fixture(scope="module")
def made(given: lab.Case) -> tuple[Proof, OwnValues]:
    return prove_with_values(given.statement, given.witness, given.blinders, lab.draws("self-check"))


def test_the_check_is_a_verifiers(given: lab.Case, made: tuple[Proof, OwnValues]) -> None:
    proof, own = made
    mine, theirs = (reduce_to_opening(given.statement, proof, *how) for how in ((own, own.points), ()))
    assert (mine.left, mine.right, mine.constant) == (theirs.left, theirs.right, theirs.constant)
    assert set(own.coordinates) == {data for _, data in proof.points()}


def test_values_at_other_challenges_are_computed(given: lab.Case, made: tuple[Proof, OwnValues]) -> None:
    proof, own = made
    x, _ = replay(given.statement, proof)
    assert own(given.circuit, x) is own.values
    moved = replace(x, zeta=(x.zeta + 1) % r)
    assert own(given.circuit, moved) == public_values(given.circuit, moved) != own.values


def test_points_that_are_not_the_proofs_own_are_decoded(made: tuple[Proof, OwnValues]) -> None:
    _, own = made
    one, two = list(own.coordinates)[:2]
    other = encode_g1(decode_g1(one) + decode_g1(two))
    assert other not in own.coordinates
    # coordinates of another point, of no point, and none at all
    y = int.from_bytes(own.coordinates[one][G1_BYTES:], "big")
    wrong = {
        one: own.coordinates[two],
        two: own.coordinates[two][:G1_BYTES] + (y + 1).to_bytes(G1_BYTES, "big"),
        other: b"",
    }
    for coordinates in (own.coordinates, wrong):
        named = [("a", one), ("b", two), ("c", other)]
        assert replace(own, coordinates=coordinates).points(named) == decoded(named)


@pytest.mark.parametrize("bad", [G1_INFINITY, bytes(G1_BYTES)])
def test_what_a_verifier_refuses_is_refused(made: tuple[Proof, OwnValues], bad: bytes) -> None:
    own = replace(made[1], coordinates={bad: bytes(2 * G1_BYTES)})
    with pytest.raises(ProofFormatError, match=r"^phi: "):
        own.points([("phi", bad)])
