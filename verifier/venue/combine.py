"""Equations combined by powers of rho: what each column of an owner is multiplied by, in three families.

    U_column = gamma^(slot offset) slot + gamma^(account offset) account + plain

The three are the same for all owners of a template, so they are worked out once: by the verifier at zeta, by the prover
on H. They are sparse: a block has at most B different values a column and family, the powers of gamma apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zkmargin.circuits.language.system import DenseKind
from zkmargin.circuits.venue import BlockTemplate, DenseTemplate, Exponents, Term, VenueRules
from zkmargin.crypto.exact import int_matvec
from zkmargin.crypto.field import batch_inverse, powers, r
from zkmargin.engine.components import SCALE_BP
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.transcript import VenueChallenges

#: Sparse values: place -> field element.
Sparse = dict[int, int]


@dataclass(frozen=True)
class Families:
    """For one column: the places where a family's coefficient is not 0 (block rows b, or rows of a dense column)."""

    slot: Sparse
    account: Sparse
    plain: Sparse

    @classmethod
    def empty(cls) -> Families:
        """No coefficient yet."""
        return cls({}, {}, {})

    def add(self, family: str, place: int, value: int) -> None:
        """Add to a coefficient."""
        sparse: Sparse = getattr(self, family)
        sparse[place] = (sparse.get(place, 0) + value) % r


@dataclass(frozen=True)
class Combination:
    """The powers of challenges, and everything about instruments that owners share.

    Attributes:
        statement: whose equations.
        x: challenges up to rho.
    """

    statement: VenueStatement
    x: VenueChallenges

    @property
    def rules(self) -> VenueRules:
        """The policy."""
        return self.statement.rules

    @property
    def exponents(self) -> Exponents:
        """Which power of rho is which equation's."""
        return self.statement.exponents

    @cached_property
    def rho(self) -> list[int]:
        """rho^0 .. rho^WL."""
        return powers(self.x.rho, self.exponents.weighted + 1)

    @cached_property
    def net_weight(self) -> int:
        """delta^3, or 0 where net positions are not proved."""
        return 0 if self.statement.terms.net is None else pow(self.x.delta, 3, r)

    def gains(self, kind: DenseKind) -> list[int]:
        """[N] what a lot of each instrument counts in all equations of the slot family: of the net position, or of a
        side.
        """
        matrix = self.rules.matrices[kind]
        weights = [0] * len(matrix)
        for term in self.rules.row_terms:
            if term.kind == kind:
                weights[term.row] = (weights[term.row] + term.coefficient * self.rho[term.exponent]) % r
        if not matrix.size:
            return [0] * self.rules.instruments
        return int_matvec(np.ascontiguousarray(matrix.T), weights)

    @cached_property
    def sides(self) -> tuple[list[int], list[int], list[int]]:
        """``gains`` of positions, of the long and of the short side."""
        return self.gains("positions"), self.gains("long"), self.gains("short")

    @cached_property
    def table(self) -> list[int]:
        """[N] w_i = 1/(beta + i + eta grp(i))."""
        beta, eta = self.x.beta, self.x.eta
        return batch_inverse([(beta + i + eta * g) % r for i, g in enumerate(self.rules.group_of)])

    @cached_property
    def weight(self) -> int:
        """rho^WL."""
        return self.rho[self.exponents.weighted]

    def aggregates(self) -> tuple[list[int], list[int], list[int]]:
        """[N] each: what Qp, Qm and Qc are multiplied by at an instrument's row."""
        rules, delta, weight = self.rules, self.x.delta, self.weight
        value = self.rho[self.exponents.claim] * self.statement.terms.options.den * SCALE_BP
        long, short, counted = [], [], []
        for gain, held, sold, w, mark in zip(*self.sides, self.table, rules.marks.tolist(), strict=True):
            w = weight * w % r  # noqa: PLW2901 - the lookup's own power of rho goes with every w
            long.append((gain + held - w) % r)
            short.append((sold - gain - delta * w) % r)
            counted.append((value * mark - delta * delta * w) % r)
        return long, short, counted

    def block(self, template: BlockTemplate) -> tuple[list[Families], Families]:
        """The digit columns and the group column of a template, by block row b, for blocks in use.

        Unread cells of blocks without an account are not here: they are multiplied by rho^unused.
        """
        columns = [Families.empty() for _ in range(template.digit_columns)]
        gammas = powers(self.x.gamma, template.spec.slots)
        self._cells(columns, template.cell_terms(), gammas)
        unused = self.rho[self.exponents.unused]
        for column, read in zip(columns, template.read_cells, strict=True):
            for b in range(template.spec.block):
                if not read[b]:
                    column.add("plain", b, unused)
        group = Families.empty()
        for s, gamma in enumerate(gammas):
            for v in range(1, template.V):
                weight = self.rho[self.exponents.copy(v)] * gamma
                group.add("slot", s * template.V + v, weight)
                group.add("slot", s * template.V, -weight)
        return columns, group

    def dense(self, template: DenseTemplate) -> tuple[list[Families], list[Families], list[Families]]:
        """The digit columns of positions, positions and balances of a dense template, by row."""
        rules, n, D, k = self.rules, self.statement.n, template.position_digits, self.statement.k
        gammas = powers(self.x.gamma, rules.groups)
        columns = [Families.empty() for _ in range(template.position_columns)]
        positions = [Families.empty() for _ in range(template.segments)]
        balances = [Families.empty() for _ in range(template.balance_segments)]
        value = self.rho[self.exponents.claim] * self.statement.terms.options.den * SCALE_BP
        for i, (g, gain, *by_side) in enumerate(zip(rules.group_of, *self.sides, strict=True)):
            segment, row = divmod(i, n - 1)
            positions[segment].add("slot", row, gammas[g] * gain)
            if template.claim is not None:
                positions[segment].add("account", row, value * int(rules.marks[i]))
            if self.net_weight:
                positions[segment].add("plain", row, self.weight * self.net_weight % r * self.table[i])
            for side, counted in enumerate(by_side):
                if counted:
                    for d in range(D):
                        columns[(2 * segment + side) * D + d].add("slot", row, gammas[g] * counted << (k * d))
        for j in range(rules.assets):
            segment, row = divmod(j, n - 1)
            balances[segment].add("account", row, self.rho[self.exponents.balance(j)])
        return columns, positions, balances

    def packed(self, template: DenseTemplate, row: int) -> list[Families]:
        """The packed columns of a dense account whose first cell stands in a row, as far as its own cells go."""
        n = self.statement.n
        columns = [Families.empty() for _ in range(-(-(row + template.cells) // n))]
        gammas = powers(self.x.gamma, self.rules.groups)
        cells = (((row + z) // n, (row + z) % n, term, weight) for z, term, weight in template.cell_terms())
        self._cells(columns, cells, gammas)
        return columns

    def _cells(self, columns: list[Families], cells: Iterable[tuple[int, int, Term, int]], gammas: list[int]) -> None:
        for column, place, term, weight in cells:
            value = term.coefficient * weight * self.rho[term.exponent]
            columns[column].add(term.family, place, value * gammas[term.slot] if term.family == "slot" else value)

    def cap_column(self) -> list[int]:
        """[n] what the cap's column is multiplied by: digits of the slack, then cells that must be 0."""
        digits = self.statement.cap_digits
        first = [self.rho[self.exponents.cap] * (1 << (self.statement.k * d)) % r for d in range(digits)]
        return first + [self.rho[self.exponents.unused]] * (self.statement.n - digits)

    def sigma(self) -> int:
        """The right sides of all equations."""
        statement, terms, e = self.statement, self.statement.terms, self.exponents
        total = 0
        if terms.exempt is not None:
            bits = 0
            for x in statement.sets:
                if statement.templates[x.kind].claimed:
                    bits += pow(self.x.gamma, x.account_exponent, r) * self._geometric(x.used)
            for y in statement.dense:
                if y.template.claim is not None:
                    bits += pow(self.x.gamma, y.account_exponent, r)
            total += self.rho[e.exempt] * terms.exempt + self.rho[e.bit] * bits
        beyond = 0  # what limits ask beyond the requirement, each account under its power of gamma
        for x in statement.sets:
            if headroom := statement.templates[x.kind].headroom:
                beyond += headroom * pow(self.x.gamma, x.account_exponent, r) * self._geometric(x.used)
        for y in statement.dense:
            beyond += y.template.headroom * pow(self.x.gamma, y.account_exponent, r)
        total += self.rho[e.claim] * terms.options.den * beyond
        for x in statement.sets:  # constants of the equations of an account's circuit
            if constants := statement.templates[x.kind].integers.constants:
                total -= self._constant(constants) * pow(self.x.gamma, x.slot_exponent, r) * self._geometric(x.used)
        for y in statement.dense:
            total -= self._constant(y.template.integers.constants) * pow(self.x.gamma, y.slot_exponent, r)
        if terms.cap is not None:
            total += self.rho[e.cap] * int(terms.cap)
        for j, held in enumerate(terms.totals or ()):
            total += self.rho[e.total(j)] * int(held)
        if terms.net is not None:
            lots = sum(w * int(q) for w, q in zip(self.table, terms.net, strict=True))
            total += self.weight * self.net_weight % r * lots
        return total % r

    def _constant(self, constants: Iterable[tuple[int, int]]) -> int:
        return sum(self.rho[exponent] * constant for exponent, constant in constants) % r

    def _geometric(self, count: int) -> int:
        """1 + gamma + ... + gamma^(count - 1)."""
        if self.x.gamma == 1:
            return count
        return (pow(self.x.gamma, count, r) - 1) * pow(self.x.gamma - 1, -1, r) % r
