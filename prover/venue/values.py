"""Whether values at zeta are those of columns: a worker's are compared with what the coordinator works out itself."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from zkmargin.crypto.exact import int_matvec
from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import lagrange_at
from zkmargin.prover.venue.blinders import Blinders
from zkmargin.prover.venue.shares import CHUNK, Int64Array, SetColumns
from zkmargin.verifier.venue.statement import VenueStatement

#: Of the random weight of a value.
_WEIGHT_BYTES = 16


def are_values(
    statement: VenueStatement, sets: Sequence[SetColumns], blinders: Blinders, zeta: int, found: Sequence[Sequence[int]]
) -> bool:
    """Whether these are the values at zeta of all columns of some sets, one random combination for all.

    The weights are drawn here, after the values are known: wrong ones agree by chance, 2^-128.
    """
    drawn = [np.frombuffer(secrets.token_bytes(_WEIGHT_BYTES * len(row)), "<u2") for row in found]
    weights = [limbs.reshape(len(row), -1) for limbs, row in zip(drawn, found, strict=True)]
    pairs = zip(weights, found, strict=True)
    stated = sum(w * x for limbs, row in pairs for w, x in zip(_whole_weights(limbs), row, strict=True))
    return stated % r == _weighted_value(statement, sets, blinders, zeta, weights)


def _weighted_value(
    statement: VenueStatement,
    sets: Sequence[SetColumns],
    blinders: Blinders,
    zeta: int,
    weights: Sequence[npt.NDArray[np.uint16]],
) -> int:
    """sum of weight times value at zeta over all columns of some sets: one evaluation, of small integers' sums.

    Args:
        weights: for each set [columns, limbs], a weight a column in limbs of 16 bits, lowest first.
    """
    basis = [int(x) for x in lagrange_at(statement.domain, zeta)]
    total, tail = 0, [0, 0]
    for start in range(0, len(sets), CHUNK):
        chunk = list(zip(sets[start : start + CHUNK], weights[start : start + CHUNK], strict=True))
        sums = np.zeros((weights[start].shape[1], statement.n), dtype=np.int64)
        for mine, limbs in chunk:
            sums += _exact_sums(limbs, mine.stacked())
            for name, w in zip(statement.set_columns(mine.place), _whole_weights(limbs), strict=True):
                for i, b in enumerate(blinders(name, 2)):
                    tail[i] += w * b
        total += sum(x << (16 * i) for i, x in enumerate(int_matvec(sums, basis)))
    return (total + (tail[0] + tail[1] * zeta) * statement.domain.vanishing_at(zeta)) % r


def _exact_sums(limbs: npt.NDArray[np.uint16], matrix: Int64Array) -> Int64Array:
    """limbs^T @ matrix [columns, n] of integers that are not negative, by doubles, which are exact up to 2^53.

    A limb is below 2^16 and a value below 2^b, so 2^(53 - 16 - b) columns at a time are exact: 2^15 of digits of 22
    bits, the longest.
    """
    most = 1 << (53 - 16 - int(matrix.max(initial=1)).bit_length())
    sums = np.zeros((limbs.shape[1], matrix.shape[1]), dtype=np.int64)
    for at in range(0, len(matrix), most):
        part = slice(at, at + most)
        sums += (limbs[part].T.astype(np.float64) @ matrix[part].astype(np.float64)).astype(np.int64)
    return sums


def _whole_weights(limbs: npt.NDArray[np.uint16]) -> list[int]:
    """Weights in limbs of 16 bits as integers."""
    return [int.from_bytes(row.tobytes(), "little") for row in limbs.astype("<u2")]
