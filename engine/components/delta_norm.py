"""Delta norm: the root of a quadratic form of net deltas, ``C^2 >= x' Sigma x`` with a public matrix.

x_g is what the book gains in quote, to first order, where the price of underlying g doubles (its net delta notional),
and Sigma the covariance of relative moves that the policy names: for one underlying of 15 % the charge is 15 % of its
net delta, and underlyings offset each other as far as they are correlated. It is the convex core that sensitivity-based
rules share: the aggregation of delta margins in bilateral margin models, and MAR21.4 of the Basel framework (d457). No
such rule is claimed by name. Nothing here sees gamma or vega: a policy sets it beside scenarios or minimums that do.

Sigma is a matrix of integers in bp^2 (1e-8). One that is not positive semidefinite would give back charge for growing
positions, and has no root for some: it is refused exactly, by integer elimination (Bareiss 1968, "Sylvester's identity
and multistep integer-preserving Gaussian elimination", Math. Comp. 22).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.engine.components.base import (
    SCALE_BP,
    Charge,
    Extent,
    Label,
    Leg,
    PolicyPart,
    PublishedPart,
    Selective,
    spread,
)
from zkmargin.engine.names import Name
from zkmargin.formats import InputError, IntArray, Seq
from zkmargin.integers import root_up

#: Underlyings of a matrix, so that checking it costs bounded time.
MAX_FACTORS = 64
#: A variance of 2^40 bp^2 is a move of 105 times the price.
MAX_VARIANCE = 1 << 40
LABEL = "delta norm"

Covariance = Annotated[int, Field(ge=-MAX_VARIANCE, le=MAX_VARIANCE)]


class DeltaNorm(Selective, PolicyPart):
    """The matrix.

    Attributes:
        group: the joint group that the charge competes in.
        underlyings: K names, in the order of the matrix; an underlying of the market that is not here is refused.
        matrix: [K][K] covariances of relative price moves over the margin period, in bp^2, symmetric and positive
            semidefinite: ``2250000`` on the diagonal is a move of 1500 bp.
    """

    type: Literal["delta_norm"] = "delta_norm"
    group: str = Field(default=LABEL, pattern=r"^[a-z][a-z0-9 _-]{0,60}$")
    underlyings: Seq[Name] = Field(min_length=1, max_length=MAX_FACTORS)
    matrix: Seq[Annotated[Seq[Covariance], Field(max_length=MAX_FACTORS)]] = Field(max_length=MAX_FACTORS)

    RISK: ClassVar[bool] = True
    COPIED: ClassVar[tuple[str, ...]] = ("requirements", "group")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.underlyings)) != len(self.underlyings):
            raise InputError("an underlying twice", field="underlyings")
        size = len(self.underlyings)
        if [len(row) for row in self.matrix] != [size] * size:
            raise InputError(f"not {size} rows of {size} numbers", field="matrix")
        check_covariance(self.matrix, field="matrix")
        return self

    def implied(self, groups: Sequence[str], prices: Mapping[str, int]) -> dict[str, Any]:
        """And the rows and columns of the risk groups. Raises InputError for one that the matrix does not have."""
        place = {name: i for i, name in enumerate(self.underlyings)}
        for name in groups:
            if name not in place:
                raise InputError("the matrix does not have it", field=f"underlying {name}")
        chosen = [[self.matrix[place[a]][place[b]] for b in groups] for a in groups]
        sigma = np.array(chosen, dtype=np.int64).reshape(len(groups), len(groups))
        return {**super().implied(groups, prices), "sigma": IntArray(sigma)}


class PublishedDeltaNorm(Selective, PublishedPart):
    """The quadratic form as integers; the charge is in 1/10^4 money units, the ceiling of its root.

    Attributes:
        sigma: [G, G] bp^2, symmetric and positive semidefinite.
        delta: [N] money units of P&L per relative move of 1 and lot.
    """

    type: Literal["delta_norm"] = "delta_norm"
    group: Label
    sigma: IntArray
    delta: IntArray

    RISK: ClassVar[bool] = True
    BY_SLOT: ClassVar[Mapping[str, int]] = {"delta": 0}

    @property
    def joint_groups(self) -> tuple[str, ...]:
        """The one joint group."""
        return (self.group,)

    def check(self, *, group_of: Sequence[int], groups: int, assets: int) -> None:  # noqa: ARG002
        """Check shapes, and that the matrix is positive semidefinite, exactly. Raises InputError."""
        if self.delta.values.shape != (len(group_of),):
            raise InputError(f"has the shape {self.delta.values.shape}, not ({len(group_of)},)", field="delta")
        if np.any(self.delta.values == np.iinfo(np.int64).min):
            raise InputError("a value outside 64 bits with sign", field="delta")
        if groups > MAX_FACTORS:
            raise InputError(f"{groups} risk groups, at most {MAX_FACTORS}", field="sigma")
        if self.sigma.values.shape != (groups, groups):
            raise InputError(f"has the shape {self.sigma.values.shape}, not ({groups}, {groups})", field="sigma")
        matrix = self.sigma.values.tolist()
        if any(abs(x) > MAX_VARIANCE for row in matrix for x in row):
            raise InputError(f"a number beyond {MAX_VARIANCE}", field="sigma")
        check_covariance(matrix, field="sigma")

    def extent(self, *, group_of: Sequence[int], groups: int, assets: int) -> Extent:  # noqa: ARG002
        """A row for each group; every gate's second input adds up all of them."""
        return Extent(groups, groups**3)

    def assess(self, legs: Sequence[Leg]) -> Charge:
        """The ceiling of the root, as the one candidate of the joint group."""
        if not legs:
            return Charge()
        return Charge(joint={self.group: (root_up(self._square(legs)),)}, scale=SCALE_BP)

    def joint_shares(self, legs: Sequence[Leg], name: str, candidate: int) -> Sequence[int]:  # noqa: ARG002
        """Each leg's part by Euler's rule: its delta times what the form grows by with it; a hedge's is negative."""
        net = self._net(legs)
        slopes = {g: sum(int(self.sigma.values[g, h]) * x for h, x in net.items()) for g in net}
        weights = [int(self.delta.values[leg.slot]) * leg.lots * slopes[leg.group] for leg in legs]
        return spread(root_up(self._square(legs)), weights)

    def joint_label(self, name: str, candidate: int) -> str:  # noqa: ARG002
        """There is one candidate."""
        return LABEL

    def _net(self, legs: Sequence[Leg]) -> dict[int, int]:
        net: dict[int, int] = defaultdict(int)
        for leg in legs:
            net[leg.group] += int(self.delta.values[leg.slot]) * leg.lots
        return net

    def _square(self, legs: Sequence[Leg]) -> int:
        net = self._net(legs)
        return sum(x * y * int(self.sigma.values[g, h]) for g, x in net.items() for h, y in net.items())


def check_covariance(matrix: Sequence[Sequence[int]], *, field: str) -> None:
    """Check that a square matrix of integers is symmetric and positive semidefinite: exactly, without a float.

    Raises:
        InputError: names the first pair that differs, or the row where a direction of negative variance shows.
    """
    size = len(matrix)
    for i in range(size):
        for j in range(i):
            if matrix[i][j] != matrix[j][i]:
                raise InputError(f"not symmetric: rows {j} and {i}", field=field)
    # Every pivot is a leading minor of the rows that were not skipped, so all stay integers and divisions are exact.
    rows, before = [list(row) for row in matrix], 1
    for k in range(size):
        pivot = rows[k][k]
        if pivot < 0 or (pivot == 0 and any(rows[k][k + 1 :])):
            raise InputError(
                f"not positive semidefinite (row {k}): it would charge some books a negative square", field=field
            )
        if pivot == 0:
            continue
        for i in range(k + 1, size):
            for j in range(i, size):
                rows[i][j] = rows[j][i] = (rows[i][j] * pivot - rows[i][k] * rows[k][j]) // before
        before = pivot
