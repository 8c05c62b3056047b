"""The dense accounts' part of a venue proof: their columns, and the answers to each round, as a share's are.

The coordinator asks it itself. Its columns stand one after another in one array: all that is linear in them is a sum of
columns times weights, made before any transform.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zkmargin.crypto.exact import int_matvec
from zkmargin.crypto.field import powers, r
from zkmargin.crypto.scalars import lagrange_at
from zkmargin.crypto.segments import listed
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels import identities as I
from zkmargin.prover._kernels.lowering import LANES
from zkmargin.prover._kernels.scalar_field import splat
from zkmargin.prover._kernels.vectors import Blocks, FieldVector, zero_blocks
from zkmargin.prover.commit import committer
from zkmargin.prover.polynomials import with_tail
from zkmargin.prover.venue.blinders import Blinders
from zkmargin.prover.venue.dense import DenseWitness
from zkmargin.prover.venue.shares import Int64Array, _fractions
from zkmargin.verifier.venue.combine import Combination, Families
from zkmargin.verifier.venue.statement import DenseSlot, VenueStatement, groups_of
from zkmargin.verifier.venue.transcript import VenueChallenges

#: A sum of columns: places of columns, and their weights.
Weighted = tuple[list[int], list[int]]


@dataclass(frozen=True, repr=False)
class Stack:
    """Columns one after another: coefficients of n rows each, and one block a column with its blinders."""

    coefficients: Blocks
    tails: Blocks

    @classmethod
    def joined(cls, *parts: Stack) -> Stack:
        """All columns of several."""
        every = (np.concatenate([getattr(part, name) for part in parts]) for name in ("coefficients", "tails"))
        return cls(*every)

    def part(self, places: range, m: int) -> Stack:
        """Some columns."""
        return Stack(self.coefficients[places.start * m : places.stop * m], self.tails[places.start : places.stop])

    def sum(self, weighted: Weighted, m: int) -> Stack:
        """One column, the sum of some times their weights."""
        places, weights = np.array(weighted[0], dtype=np.int64), _splats(weighted[1])
        one, tail = zero_blocks(m), zero_blocks(1)
        I.add_weighted(one, self.coefficients, places, weights)
        I.add_weighted(tail, self.tails, places, weights)
        return Stack(one, tail)


class DenseShare:
    """All dense accounts of a statement.

    Args:
        statement: what is proved.
        witness: digits and committed columns.
        committed: the blinder of each committed column.
        blinders: of its digit columns and helpers, by name.
        threads: how many work at the same time.
    """

    def __init__(
        self,
        statement: VenueStatement,
        witness: DenseWitness,
        committed: Mapping[str, int],
        blinders: Blinders,
        threads: int = 1,
    ) -> None:
        self.statement, self.digits, self.blinders, self.threads = statement, witness.digits, blinders, threads
        self.lifting = I.lifting(statement.n, 1 << statement.g.bit_length())
        self.bases = committer(statement.srs, statement.n)
        self.names = statement.digit_names("dense", statement.dense_columns)
        self.helper_names = [helper.name for helper in statement.helpers if helper.owner == "dense"]
        #: Places of committed columns behind the digits.
        self.places = {name: len(self.names) + i for i, name in enumerate(witness.committed)}
        interpolate, tails = self.lifting.interpolate, self.lifting.tails
        rows = np.concatenate([*witness.committed.values(), np.zeros(0, dtype=np.int64)])
        self.columns = Stack.joined(
            Stack(interpolate(self.lifting.integers(self.digits)), tails([blinders(name, 2) for name in self.names])),
            Stack(interpolate(K.from_int64(rows).memory), tails([[committed[name]] for name in self.places])),
        )

    @property
    def weighted_names(self) -> list[str]:
        """All columns and helpers that ``combined`` takes weights for."""
        return [*self.names, *self.places, *self.helper_names]

    # --- the rounds ---------------------------------------------------------------------------------------

    def commit_columns(self) -> tuple[tuple[bytes, ...], Int64Array]:
        """1: the digit columns' points, and how often each value occurs in them."""
        jobs = [
            self.bases.column(column, self.blinders(name, 2))
            for name, column in zip(self.names, self.digits, strict=True)
        ]
        counts = np.bincount(self.digits.reshape(-1), minlength=1 << self.statement.k)
        return self.bases.commit(jobs, self.threads) if jobs else (), counts

    def commit_helpers(self, combination: Combination) -> tuple[tuple[bytes, ...], FieldVector]:
        """3: the helpers' points, and this part of ``total`` on H."""
        n, m, x = self.statement.n, self.lifting.m, combination.x
        table = I.rows_of(_fractions(x.beta, 1 << self.statement.k))
        values = self.lifting.zeros(len(self.helper_names))
        for j, places in enumerate(groups_of(len(self.names), self.statement.g)):
            I.gather_sum(values[j * m : (j + 1) * m], table, self.digits[places.start : places.stop])
        tails = [self.blinders(name, 1) for name in self.helper_names]
        self.helpers = Stack(self.lifting.interpolate(values), self.lifting.tails(tails))
        jobs = [
            self.bases.polynomial(with_tail(FieldVector(self.helpers.coefficients[j * m : (j + 1) * m], n), tail))
            for j, tail in enumerate(tails)
        ]
        ranged = [combination.rho[self.statement.exponents.range]] * len(jobs)
        self.helper_sum = self.helpers.sum((list(range(len(jobs))), ranged), m)
        self.products = [(self.columns.sum(weighted, m), U) for U, weighted in self._products(combination)]
        total = K.ntt(FieldVector(self.helper_sum.coefficients, n))
        for summed, U in self.products:
            total = K.add(total, K.mul(K.ntt(FieldVector(summed.coefficients, n)), U))
        return self.bases.commit(jobs, self.threads) if jobs else (), total

    def numerators(self, x: VenueChallenges, chi: Mapping[str, int]) -> list[Blocks]:
        """4: on each coset its part of the numerator of T: its identities less its part of ``total``.

        Args:
            chi: the power of each helper of the statement; other identities come after them.
        """
        n, m, lifting = self.statement.n, self.lifting.m, self.lifting
        linear, selected = self._linear(x, chi)
        positive = self.columns.sum(linear, m)
        products = [(summed, lifting.interpolate(U.memory), r - 1) for summed, U in self.products]
        for inside, weighted in selected.items():
            selector = K.intt(K.from_ints([0] * inside + [1] * (n - inside)))
            products.append((self.columns.sum(weighted, m), selector.memory, 1))
        none = zero_blocks(1)

        def outside(coset: I.Coset) -> Blocks:
            """All but the helpers' identities."""
            part = lifting.lift(positive.coefficients, positive.tails, coset)
            I.accumulate(part, lifting.lift(self.helper_sum.coefficients, self.helper_sum.tails, coset), splat(r - 1))
            for summed, public, sign in products:
                product = lifting.zeros()
                on_coset = lifting.lift(summed.coefficients, summed.tails, coset)
                I.add_products(product, on_coset, lifting.lift(public, none, coset))
                I.accumulate(part, product, splat(sign))
            return part

        groups = list(enumerate(groups_of(len(self.names), self.statement.g)))
        bounds = [len(groups) * i // self.threads for i in range(self.threads + 1)]
        dealt = [groups[bounds[i] : bounds[i + 1]] for i in range(self.threads)]
        if self.threads == 1:
            parts, ranges = list(map(outside, lifting.cosets)), [self._ranges(x, chi, groups)]
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                parts = list(pool.map(outside, lifting.cosets))
                ranges = list(pool.map(lambda mine: self._ranges(x, chi, mine), dealt))
        for found in ranges:
            for part, mine in zip(parts, found, strict=True):
                I.accumulate(part, mine, I.ONE)
        return parts

    def values(self, zeta: int) -> list[int]:
        """5: the digit columns at zeta."""
        domain = self.statement.domain
        Z, basis = domain.vanishing_at(zeta), [int(x) for x in lagrange_at(domain, zeta)]
        found = []
        for name, on_H in zip(self.names, int_matvec(self.digits, basis), strict=True):
            b0, b1 = self.blinders(name, 2)
            found.append((on_H + (b0 + b1 * zeta) * Z) % r)
        return found

    def combined(self, weights: Mapping[str, int]) -> FieldVector:
        """6: the sum of all its columns and helpers times weights, by name: n + 2 coefficients."""
        m = self.lifting.m
        parts = [
            stack.sum((list(range(len(mine))), [weights[name] for name in mine]), m)
            for stack, mine in ((self.columns, [*self.names, *self.places]), (self.helpers, self.helper_names))
        ]
        total, tail = self.lifting.zeros(), zero_blocks(1)
        for part in parts:
            I.accumulate(total, part.coefficients, I.ONE)
            I.accumulate(tail, part.tails, I.ONE)
        return with_tail(FieldVector(total, self.statement.n), K.to_ints(FieldVector(tail, 2)))

    # --- what stands where --------------------------------------------------------------------------------

    def _products(self, combination: Combination) -> Iterator[tuple[FieldVector, Weighted]]:
        """U on H with the columns that it is multiplied by, in sums over accounts: together the part of ``total``."""
        x, n = combination.x, self.statement.n
        parts: dict[tuple[int, str, int], tuple[Families, list[tuple[int, DenseSlot]]]] = {}

        def add(y: DenseSlot, kind: str, families: Sequence[Families], places: Sequence[int]) -> None:
            for number, (column, place) in enumerate(zip(families, places, strict=True)):
                key = id(y.template), kind, number
                parts.setdefault(key, (column, []))[1].append((place, y))

        own: dict[int, tuple[list[Families], ...]] = {}
        packed: dict[tuple[int, int], list[Families]] = {}
        for y in self.statement.dense:
            if id(y.template) not in own:
                own[id(y.template)] = combination.dense(y.template)
            if (id(y.template), y.row) not in packed:
                packed[id(y.template), y.row] = combination.packed(y.template, y.row)
            digits, positions, balances = own[id(y.template)]
            add(y, "digits", digits, range(y.first, y.first + len(digits)))
            add(y, f"packed from {y.row}", packed[id(y.template), y.row], range(y.packed, y.end))
            for role, families in (("positions", positions), ("collateral", balances)):
                names = [f"dense {y.index} {role}[{s}]" for s in range(len(families))]
                add(y, role, families, [self.places[name] for name in names])
        for column, columns in parts.values():
            for family in ("slot", "account", "plain"):
                if sparse := getattr(column, family):
                    weights = [_family_weight(x, family, y) for _, y in columns]
                    rows = [0] * n
                    for row, c in sparse.items():
                        rows[row] = c
                    yield K.from_ints(rows), ([place for place, _ in columns], weights)

    def _linear(self, x: VenueChallenges, chi: Mapping[str, int]) -> tuple[Weighted, dict[int, Weighted]]:
        """Identities of committed columns: pos - digits, one sum for all; then, by listed rows, what selectors take."""
        statement, power = self.statement, pow(x.chi, len(chi), r)
        linear: Weighted = ([], [])
        selected: dict[int, Weighted] = {}

        def add(into: Weighted, place: int, weight: int) -> None:
            into[0].append(place)
            into[1].append(weight % r)

        for y in statement.dense:
            for s in range(y.template.segments):
                power = power * x.chi % r
                add(linear, self.places[f"dense {y.index} positions[{s}]"], power)
                for d, weight in enumerate(powers(1 << statement.k, y.template.position_digits)):
                    add(linear, y.position_digit(s, 0, d), -power * weight)
                    add(linear, y.position_digit(s, 1, d), power * weight)
            for role, count, slots in (
                ("positions", y.template.segments, statement.rules.instruments),
                ("collateral", y.template.balance_segments, statement.rules.assets),
            ):
                for s in range(count):
                    power = power * x.chi % r
                    into = selected.setdefault(listed(slots, statement.n, s), ([], []))
                    add(into, self.places[f"dense {y.index} {role}[{s}]"], power)
        return linear, selected

    def _ranges(self, x: VenueChallenges, chi: Mapping[str, int], groups: Sequence[tuple[int, range]]) -> list[Blocks]:
        """Some helpers' identities on each coset."""
        m, beta = self.lifting.m, splat(x.beta)
        parts = [self.lifting.zeros() for _ in self.lifting.cosets]
        for j, places in groups:
            stack = Stack.joined(self.columns.part(places, m), self.helpers.part(range(j, j + 1), m))
            weight, count = splat(chi[self.helper_names[j]]), len(places)
            for part, coset in zip(parts, self.lifting.cosets, strict=True):
                values = self.lifting.lift(stack.coefficients, stack.tails, coset)
                I.range_identity(part, values, 0, count, count, beta, weight, I.ONE)
        return parts


def _family_weight(x: VenueChallenges, family: str, y: DenseSlot) -> int:
    match family:
        case "slot":
            return pow(x.gamma, y.slot_exponent, r)
        case "account":
            return pow(x.gamma, y.account_exponent, r)
    return 1


def _splats(weights: Sequence[int]) -> npt.NDArray[np.uint64]:
    """One block a weight, in all lanes."""
    rows = I.rows_of(K.from_ints(weights))
    return np.repeat(rows[:, :, None], LANES, axis=2)
