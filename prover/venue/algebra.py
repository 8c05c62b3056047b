"""The algebra of the venue argument on Python integers: docs/protocol-venue.md sections 3 and 4, with its letters.

``Algebra`` holds what the statement and the challenges determine, row by row; its ``right_side`` is read twice, over
polynomials by the reference prover and over linear forms in commitments by the reference verifier
(``prover/venue/reference.py``). Quadratic and slow: for study and tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zkmargin.circuits.venue import Term
from zkmargin.crypto.domain import evaluate
from zkmargin.crypto.field import batch_inverse, inverse, powers, r
from zkmargin.crypto.segments import listed
from zkmargin.engine.components import SCALE_BP
from zkmargin.prover.ring import Element, product
from zkmargin.verifier.venue.proof import Aggregates, Columns, Helpers, Openings, Quotient, Values
from zkmargin.verifier.venue.statement import ColumnSet, DenseSlot, Helper, VenueStatement
from zkmargin.verifier.venue.transcript import VenueTranscript

Rows = list[int]


@dataclass(frozen=True)
class Polynomial:
    """Coefficients, lowest first."""

    coefficients: tuple[int, ...]

    def __add__(self, other: Polynomial) -> Polynomial:
        a, b = self.coefficients, other.coefficients
        if len(a) < len(b):
            a, b = b, a
        return Polynomial((*((x + y) % r for x, y in zip(a, b, strict=False)), *a[len(b) :]))

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self + Polynomial((r - 1,)) * other

    def __mul__(self, other: Polynomial) -> Polynomial:
        a, b = self.coefficients, other.coefficients
        product = [0] * (len(a) + len(b) - 1) if a and b else []
        for i, x in enumerate(a):
            if x:
                for j, y in enumerate(b):
                    product[i + j] += x * y
        return Polynomial(tuple(c % r for c in product))

    def at(self, x: int) -> int:
        """The value at x."""
        return evaluate(list(self.coefficients), x)

    @classmethod
    def number(cls, x: int) -> Polynomial:
        """A constant."""
        return cls((x % r,))


class Algebra:
    """Everything that the statement and the challenges so far determine; rows are values on H."""

    def __init__(self, statement: VenueStatement, challenges: dict[str, int]) -> None:
        self.statement, self.ch = statement, challenges
        self.n, self.rules, self.e = statement.n, statement.rules, statement.exponents

    # --- weights ------------------------------------------------------------------------------------------

    def rho(self, exponent: int) -> int:
        """rho^exponent."""
        return pow(self.ch["rho"], exponent, r)

    def slot_weight(self, exponent: int) -> int:
        """A power of gamma from the slot family."""
        return pow(self.ch["gamma"], exponent, r)

    def account_weight(self, exponent: int) -> int:
        """A power of gamma from the account family."""
        return pow(self.ch["gamma"], exponent, r)

    def block_weights(self, x: ColumnSet) -> tuple[Rows, Rows]:
        """Gs and Ga: on the rows of used slots, 0 elsewhere."""
        template = self.statement.templates[x.kind]
        spec, T, V = template.spec, template.T, template.V
        slot, account = [0] * self.n, [0] * self.n
        for t in range(x.used):
            for s in range(spec.slots):
                for v in range(V):
                    row = t + T * (s * V + v)
                    slot[row] = self.slot_weight(x.slot_exponent + t * spec.slots + s)
                    account[row] = self.account_weight(x.account_exponent + t)
        return slot, account

    def numerators(self, x: ColumnSet) -> tuple[Rows, Rows]:
        """What p and m are multiplied by in N = Gs (p + delta m) + delta^2 Ga q + delta^3 q, row by row.

        Ga counts where the class has a claim, delta^3 where net positions are proved.
        """
        slot, account = self.block_weights(x)
        d, d2, d3 = self.ch["delta"], pow(self.ch["delta"], 2, r), self.net_weight()
        if not self.statement.templates[x.kind].claimed:
            account = [0] * self.n
        long = [(gs + d2 * ga + d3) % r for gs, ga in zip(slot, account, strict=True)]
        short = [(d * gs - d2 * ga - d3) % r for gs, ga in zip(slot, account, strict=True)]
        return long, short

    def net_weight(self) -> int:
        """delta^3, or 0 where net positions are not proved."""
        return 0 if self.statement.terms.net is None else pow(self.ch["delta"], 3, r)

    def table(self) -> list[Rows]:
        """w = 1/(beta + i + eta grp(i)) at each instrument's row, 0 elsewhere; segment by segment."""
        n, beta, eta = self.n, self.ch["beta"], self.ch["eta"]
        rows = [[0] * n for _ in range(self.statement.segments)]
        for i, g in enumerate(self.rules.group_of):
            rows[i // (n - 1)][i % (n - 1)] = inverse(beta + i + eta * g)
        return rows

    # --- equations, combined by powers of rho -------------------------------------------------------------

    def gains(self, i: int) -> tuple[int, int, int]:
        """What a lot of instrument i counts in all equations of the slot family: net, held long, sold short."""
        found = {"positions": 0, "long": 0, "short": 0}
        for term in self.rules.row_terms:
            x = int(self.rules.matrices[term.kind][term.row, i])
            found[term.kind] += self.rho(term.exponent) * term.coefficient * x
        return found["positions"], found["long"], found["short"]

    def set_rows(self, x: ColumnSet) -> dict[str, Rows]:
        """U of every digit column and of the group column of a set."""
        template, owner, n = self.statement.templates[x.kind], f"set {x.index}", self.n
        T, V = template.T, template.V
        U = [[0] * n for _ in range(template.digit_columns)]
        copies = [0] * n
        for t in range(x.used):
            for column, b, term, weight in template.cell_terms():
                value = self.term_weight(term, x.slot_exponent + t * template.spec.slots, x.account_exponent + t)
                U[column][t + T * b] = (U[column][t + T * b] + value * weight) % r
            for s in range(template.spec.slots):
                gs = self.slot_weight(x.slot_exponent + t * template.spec.slots + s)
                first = t + T * s * V
                for v in range(1, V):  # the group of row v is the group of row 0, one power of rho for each v
                    copies[first + T * v] = gs * self.rho(self.e.copy(v)) % r
                    copies[first] = (copies[first] - gs * self.rho(self.e.copy(v))) % r
        read = template.read_cells
        for column, rows in enumerate(U):
            for row in range(n):
                t, b = row % T, row // T
                if t >= x.used or not read[column, b]:
                    rows[row] = (rows[row] + self.rho(self.e.unused)) % r
        names = self.statement.digit_names(owner, template.digit_columns)
        return {f"{owner} group": copies, **dict(zip(names, U, strict=True))}

    def term_weight(self, term: Term, slot_exponent: int, account_exponent: int) -> int:
        """coefficient rho^exponent times Gs, Ga or 1."""
        if term.family == "slot":
            family = self.slot_weight(slot_exponent + term.slot)
        else:
            family = self.account_weight(account_exponent) if term.family == "account" else 1
        return term.coefficient * family * self.rho(term.exponent) % r

    def dense_rows(self, y: DenseSlot) -> dict[str, Rows]:
        """What a dense account adds to U of its own columns and of the packed ones that it shares."""
        template, rules, n, owner = y.template, self.rules, self.n, f"dense {y.index}"
        D, base = template.position_digits, 1 << self.statement.k
        ga, den = self.account_weight(y.account_exponent), self.statement.terms.options.den
        own = [y.position_digit(s, side, d) for s in range(template.segments) for side in (0, 1) for d in range(D)]
        U = {column: [0] * n for column in (*own, *range(y.packed, y.end))}
        positions = [[0] * n for _ in range(template.segments)]
        balances = [[0] * n for _ in range(template.balance_segments)]
        w, weighted = self.table(), self.rho(self.e.weighted) * self.net_weight()
        for i, g in enumerate(rules.group_of):
            segment, row = divmod(i, n - 1)
            gs = self.slot_weight(y.slot_exponent + g)
            net, *by_side = self.gains(i)
            value = net * gs
            if template.claim is not None:
                value += self.rho(self.e.claim) * ga * den * SCALE_BP * int(rules.marks[i])
            positions[segment][row] = (value + weighted * w[segment][row]) % r
            for side, gain in enumerate(by_side):
                for d in range(D):
                    U[y.position_digit(segment, side, d)][row] = gain * gs * base**d % r
        for z, term, weight in template.cell_terms():
            column, row = y.cell(z)
            value = self.term_weight(term, y.slot_exponent, y.account_exponent) * weight
            U[column][row] = (U[column][row] + value) % r
        for j in range(rules.assets):  # c_j in c_j - held_j + owed_j = 0
            segment, row = divmod(j, n - 1)
            balances[segment][row] = self.rho(self.e.balance(j)) * ga % r
        return {
            **{f"dense digit {column}": values for column, values in U.items()},
            **{f"{owner} positions[{s}]": rows for s, rows in enumerate(positions)},
            **{f"{owner} collateral[{s}]": rows for s, rows in enumerate(balances)},
        }

    def shared_rows(self) -> dict[str, Rows]:
        """U of Qp, Qm, Qc, of the multiplicities and of the cap's column."""
        statement, rules, n = self.statement, self.rules, self.n
        found: dict[str, Rows] = {}
        delta, weighted, den = self.ch["delta"], self.rho(self.e.weighted), statement.terms.options.den
        for s, w in enumerate(self.table()):
            Qp, Qm, Qc = ([-weighted * pow(delta, j, r) * x % r for x in w] for j in range(3))
            for row in range(min(n - 1, rules.instruments - s * (n - 1))):
                i = s * (n - 1) + row
                net, long, short = self.gains(i)
                Qp[row] = (Qp[row] + net + long) % r
                Qm[row] = (Qm[row] - net + short) % r
                Qc[row] = (Qc[row] + self.rho(self.e.claim) * den * SCALE_BP * int(rules.marks[i])) % r
            found |= {f"Qp {s}": Qp, f"Qm {s}": Qm, f"Qc {s}": Qc}
        for m in range(statement.tables):
            found[f"mu {m}"] = batch_inverse(
                [(self.ch["beta"] + m * n + i) % r for i in range(n)], -self.rho(self.e.range)
            )
        if statement.extra:  # digits of the slack of the cap, then cells that must be 0
            digits = statement.cap_digits
            found["extra digit 0"] = [
                (self.rho(self.e.cap) * pow(2, statement.k * row, r) if row < digits else self.rho(self.e.unused)) % r
                for row in range(n)
            ]
        return found

    def sigma(self) -> int:
        """The right sides of all equations."""
        statement, terms = self.statement, self.statement.terms
        total = 0
        if terms.exempt is not None:
            total += self.rho(self.e.exempt) * terms.exempt
            for x in statement.sets:
                if statement.templates[x.kind].claimed:
                    total += self.rho(self.e.bit) * sum(
                        self.account_weight(x.account_exponent + t) for t in range(x.used)
                    )
            for y in statement.dense:
                if y.template.claim is not None:
                    total += self.rho(self.e.bit) * self.account_weight(y.account_exponent)
        claimed = self.rho(self.e.claim) * terms.options.den
        for x in statement.sets:
            for t in range(x.used):
                total += claimed * statement.templates[x.kind].headroom * self.account_weight(x.account_exponent + t)
        for y in statement.dense:
            total += claimed * y.template.headroom * self.account_weight(y.account_exponent)
        for x in statement.sets:
            for exponent, constant in statement.templates[x.kind].integers.constants:
                for t in range(x.used):
                    total -= self.rho(exponent) * constant * self.slot_weight(x.slot_exponent + t)
        for y in statement.dense:
            for exponent, constant in y.template.integers.constants:
                total -= self.rho(exponent) * constant * self.slot_weight(y.slot_exponent)
        if terms.cap is not None:
            total += self.rho(self.e.cap) * int(terms.cap)
        for j, held in enumerate(terms.totals or ()):
            total += self.rho(self.e.total(j)) * int(held)
        if terms.net is not None:
            w = [x for rows in self.table() for x in rows[:-1]]
            total += (
                self.rho(self.e.weighted)
                * self.net_weight()
                * sum(x * int(q) for x, q in zip(w, terms.net, strict=False))
            )
        return total % r

    def public_values(self) -> dict[str, Rows]:
        """``U x`` for every column that an equation reads, ``long x`` and ``short x`` of every set, selectors,
        constants.
        """
        statement, n = self.statement, self.n
        rows: dict[str, Rows] = {}
        found: dict[str, Rows] = {}
        for x in statement.sets:
            rows |= self.set_rows(x)
            found[f"long set {x.index}"], found[f"short set {x.index}"] = self.numerators(x)
        for y in statement.dense:
            for name, values in self.dense_rows(y).items():  # accounts share packed columns
                rows[name] = [(a + b) % r for a, b in zip(rows.get(name, [0] * n), values, strict=True)]
            for role, count, slots in self.committed(y):
                for s in range(count):
                    inside = listed(slots, n, s)
                    found[f"sel dense {y.index} {role}[{s}]"] = [0] * inside + [1] * (n - inside)
        rows |= self.shared_rows()
        found |= {f"U {name}": values for name, values in rows.items()}
        found["sigma/n"] = [self.sigma() * inverse(n) % r] * n
        return found

    def committed(self, y: DenseSlot) -> list[tuple[str, int, int]]:
        """(role, segments, slots) of a dense account's committed columns."""
        return [
            ("positions", y.template.segments, self.rules.instruments),
            ("collateral", y.template.balance_segments, self.rules.assets),
        ]

    # --- the identity -------------------------------------------------------------------------------------

    def total(
        self, column: Mapping[str, Element], public: Mapping[str, Element], number: Callable[[int], Element]
    ) -> Element:
        """All equations and both lookup sums, combined by powers of rho."""
        total = number(0)
        for name, U in public.items():
            if name.startswith("U "):
                total = total + column[name.removeprefix("U ")] * U
        for helper in self.statement.helpers:
            weight = self.rho(self.e.weighted if helper.weighted else self.e.range)
            total = total + number(weight) * column[helper.name]
        return total

    def right_side(
        self,
        column: Mapping[str, Element],
        phi_shifted: Element,
        public: Mapping[str, Element],
        number: Callable[[int], Element],
    ) -> Element:
        """The right side of T Z_H = ..., in any ring."""
        side = phi_shifted - column["phi"] - self.total(column, public, number) + public["sigma/n"]
        chi = iter(powers(self.ch["chi"], self.identities() + 1)[1:])
        for helper in self.statement.helpers:
            row = (
                self._weighted(helper, column, public, number)
                if helper.weighted
                else self._range(helper, column, number)
            )
            side = side + number(next(chi)) * row
        base = 1 << self.statement.k
        for y in self.statement.dense:
            owner = f"dense {y.index}"
            for s in range(y.template.segments):
                row = column[f"{owner} positions[{s}]"]
                for d in range(y.template.position_digits):
                    p, m = (column[f"dense digit {y.position_digit(s, side_, d)}"] for side_ in (0, 1))
                    row = row - number(base**d) * (p - m)
                side = side + number(next(chi)) * row
            for role, count, _ in self.committed(y):
                for s in range(count):
                    name = f"{owner} {role}[{s}]"
                    side = side + number(next(chi)) * public[f"sel {name}"] * column[name]
        return side

    def identities(self) -> int:
        """How many identities have a power of chi."""
        dense = sum(2 * y.template.segments + y.template.balance_segments for y in self.statement.dense)
        return len(self.statement.helpers) + dense

    def _range(self, helper: Helper, column: Mapping[str, Element], number: Callable[[int], Element]) -> Element:
        """h prod(beta + f) - sum prod'"""
        beta = number(self.ch["beta"])
        factors = [beta + column[f"{helper.owner} digit {j}"] for j in helper.columns]
        row = column[helper.name] * product(factors, number(1))
        for j in range(len(factors)):
            row = row - product(factors[:j] + factors[j + 1 :], number(1))
        return row

    def _weighted(
        self,
        helper: Helper,
        column: Mapping[str, Element],
        public: Mapping[str, Element],
        number: Callable[[int], Element],
    ) -> Element:
        """v prod(beta + id + eta c) - sum N prod'"""
        owner, beta, eta = helper.owner, number(self.ch["beta"]), number(self.ch["eta"])
        factors = [beta + column[f"{owner} id {l}"] + eta * column[f"{owner} group"] for l in helper.columns]
        row = column[helper.name] * product(factors, number(1))
        for j, l in enumerate(helper.columns):
            p, m = (self.side(owner, l, side, column, number) for side in (0, 1))
            N = public[f"long {owner}"] * p + public[f"short {owner}"] * m
            row = row - N * product(factors[:j] + factors[j + 1 :], number(1))
        return row

    def side(
        self, owner: str, l: int, side: int, column: Mapping[str, Element], number: Callable[[int], Element]
    ) -> Element:
        """p_l (side 0) or m_l (side 1) from its digits."""
        x = self.statement.sets[int(owner.removeprefix("set "))]
        D = self.statement.templates[x.kind].position_digits
        value = number(0)
        for d in range(D):
            value = value + number(1 << (self.statement.k * d)) * column[f"{owner} digit {(2 * l + side) * D + d}"]
        return value


class Schedule:
    """Absorbs each message and holds the challenges drawn so far."""

    def __init__(self, statement: VenueStatement) -> None:
        self.statement = statement
        self.transcript = VenueTranscript(statement)
        self.challenges: dict[str, int] = {}

    def message1(self, message: Columns) -> None:
        """-> gamma"""
        self.challenges["gamma"] = self.transcript.round1(message, message.leaves(self.statement))

    def message2(self, message: Aggregates) -> None:
        """-> beta, delta, eta, rho"""
        drawn = self.transcript.round2(message)
        self.challenges |= dict(zip(("beta", "delta", "eta", "rho"), drawn, strict=True))

    def message3(self, message: Helpers) -> None:
        """-> chi"""
        self.challenges["chi"] = self.transcript.round3(message)

    def message4(self, message: Quotient) -> None:
        """-> zeta"""
        self.challenges["zeta"] = self.transcript.round4(message)

    def message5(self, message: Values) -> None:
        """-> v"""
        self.challenges["v"] = self.transcript.round5(message)

    def message6(self, message: Openings) -> None:
        """-> y"""
        self.challenges["y"] = self.transcript.round6(message)


@dataclass(frozen=True)
class Number:
    """An element of F as a ring element, for one row of H."""

    value: int

    def __add__(self, other: Number) -> Number:
        return Number((self.value + other.value) % r)

    def __sub__(self, other: Number) -> Number:
        return Number((self.value - other.value) % r)

    def __mul__(self, other: Number) -> Number:
        return Number(self.value * other.value % r)


def linearised(
    algebra: Algebra,
    fixed: Mapping[str, Element],
    phi_shifted: Element,
    public: Mapping[str, Element],
    number: Callable[[int], Element],
) -> Element:
    """D = T Z_H(zeta) - (right side) with the values at zeta put in: linear in what is committed."""
    statement, zeta = algebra.statement, algebra.ch["zeta"]
    D = number(0) - algebra.right_side(fixed, phi_shifted, public, number)
    for i in range(statement.g):
        D = D + number(pow(zeta, i * statement.n, r) * (pow(zeta, statement.n, r) - 1)) * fixed[f"T {i}"]
    return D
