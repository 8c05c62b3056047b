"""Steps that the provers of all arguments have in common: blinded columns, the running sum, pieces of T, openings.

The margin argument, the venue argument and the two chain arguments differ in what they sum and where they open; what a
column, a running sum, a quotient in pieces and an opening are is the same in all of them (docs/protocol.md section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from zkmargin.prover import _kernels as K


class ProverError(RuntimeError):
    """The argument did not close: a witness that does not satisfy the circuit got here, or a defect of ours."""


def blinded(column: K.FieldVector, blinders: Sequence[int]) -> K.FieldVector:
    """Coefficients of p(X) + (b_0 + b_1 X + ...) (X^n - 1) for a column p on H."""
    return with_tail(K.intt(column), blinders)


def with_tail(p: K.FieldVector, blinders: Sequence[int]) -> K.FieldVector:
    """The same for a column that is given by its n coefficients."""
    b = K.from_ints(blinders)
    return K.concatenate(K.sub(p, K.pad(b, len(p))), b)


def shifted(vector: K.FieldVector, x: int) -> K.FieldVector:
    """vector + x."""
    return K.add(vector, K.constant(x, len(vector)))


def running_sum(steps: K.FieldVector) -> K.FieldVector:
    """phi on H, without blinders: phi(1) = 0, phi(omega X) - phi(X) = steps.

    Raises:
        ProverError: the steps do not sum to 0.
    """
    n, sums = len(steps), K.prefix_sum(steps)
    if not K.is_zero(K.slice_of(sums, n - 1, n)):
        raise ProverError("the equations do not hold: the running sum does not close")
    return K.roll(sums, n - 1)


def blinded_pieces(T: Sequence[K.FieldVector], draw: Callable[[], int]) -> list[K.FieldVector]:
    """T_0 + t_0 X^n, T_1 - t_0 + t_1 X^n, ..., and the last one with its short tail; t_i = draw()."""
    seams = [0, *(draw() for _ in T[1:]), 0]
    blinded = []
    for part, (below, above) in zip(T, pairwise(seams), strict=True):
        lowered = K.sub(part, K.pad(K.from_ints([below]), len(part)))
        blinded.append(lowered if part is T[-1] else K.concatenate(lowered, K.from_ints([above])))
    return blinded


def divided(p: K.FieldVector, z: int, value: int) -> K.FieldVector:
    """(p(X) - value) / (X - z).

    Raises:
        ProverError: p(z) is another value.
    """
    quotient, remainder = K.divide_by_linear(p, z)
    if remainder != value:
        raise ProverError("an opening does not divide: the linearised identity is wrong")
    return quotient
