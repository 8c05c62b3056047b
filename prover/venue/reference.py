"""The reference prover and verifier of venue proofs: docs/protocol-venue.md on Python integers, with its letters.

Read this to learn the argument; ``prover/venue/rounds.py`` and ``verifier/venue/argument.py`` are the same thing made
fast, and give the same bytes and answers. ``Algebra`` holds what the statement and the challenges determine, row by
row; its ``right_side`` is read twice, over polynomials by the prover and over linear forms in commitments by the
verifier. Quadratic and slow: for study and tests, at n = 16 or so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

from zkmargin.circuits.venue import Term
from zkmargin.crypto.commitment import commit_coefficients
from zkmargin.crypto.domain import Domain, divide_by_linear, evaluate
from zkmargin.crypto.field import batch_inverse, inverse, powers, r
from zkmargin.crypto.group import decode_g1, encode_g1, msm, pairing_product_is_one
from zkmargin.crypto.segments import listed
from zkmargin.engine.components import SCALE_BP
from zkmargin.formats.errors import ProofFormatError
from zkmargin.verifier.venue.proof import (
    Aggregates,
    Columns,
    Helpers,
    Openings,
    Quotient,
    Values,
    VenueProof,
    decode_venue_proof,
)
from zkmargin.verifier.venue.statement import ColumnSet, DenseSlot, Helper, VenueStatement
from zkmargin.verifier.venue.transcript import VenueTranscript

#: Fresh uniform field elements for a named column: ``blinders(name, count)``.
Blinders = Callable[[str, int], list[int]]
Rows = list[int]


class Ring(Protocol):
    """Anything that adds and multiplies: polynomials in the prover, linear forms in commitments in the verifier."""

    def __add__(self, other: Self) -> Self: ...
    def __sub__(self, other: Self) -> Self: ...
    def __mul__(self, other: Self) -> Self: ...


Element = TypeVar("Element", bound=Ring)


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


@dataclass(frozen=True)
class Linear:
    """constant + sum of coefficients times named commitments, mod r."""

    constant: int
    terms: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Linear) -> Linear:
        terms = dict(self.terms)
        for name, c in other.terms.items():
            terms[name] = (terms.get(name, 0) + c) % r
        return Linear((self.constant + other.constant) % r, terms)

    def __mul__(self, other: Linear) -> Linear:
        if self.terms and other.terms:
            raise ArithmeticError("a product of two commitments")
        form, factor = (self, other.constant) if self.terms else (other, self.constant)
        return Linear(form.constant * factor % r, {name: c * factor % r for name, c in form.terms.items()})

    def __sub__(self, other: Linear) -> Linear:
        return self + other * Linear(r - 1)

    @classmethod
    def number(cls, x: int) -> Linear:
        """A constant."""
        return cls(x % r)


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
        """U of every digit column and every committed column of a dense account."""
        template, rules, n, owner = y.template, self.rules, self.n, f"dense {y.index}"
        D, base = template.position_digits, 1 << self.statement.k
        ga, den = self.account_weight(y.account_exponent), self.statement.terms.options.den
        U = [[0] * n for _ in range(template.digit_columns)]
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
                    U[(2 * segment + side) * D + d][row] = gain * gs * base**d % r
        for column, row, term, weight in template.cell_terms():
            value = self.term_weight(term, y.slot_exponent, y.account_exponent) * weight
            U[column][row] = (U[column][row] + value) % r
        for j in range(rules.assets):  # c_j in c_j - held_j + owed_j = 0
            segment, row = divmod(j, n - 1)
            balances[segment][row] = self.rho(self.e.balance(j)) * ga % r
        names = self.statement.digit_names(owner, template.digit_columns)
        return {
            **dict(zip(names, U, strict=True)),
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
            rows |= self.dense_rows(y)
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
            owner, D = f"dense {y.index}", y.template.position_digits
            for s in range(y.template.segments):
                row = column[f"{owner} positions[{s}]"]
                for d in range(D):
                    p, m = (column[f"{owner} digit {(2 * s + side_) * D + d}"] for side_ in (0, 1))
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
        row = column[helper.name] * _product(factors, number(1))
        for j in range(len(factors)):
            row = row - _product(factors[:j] + factors[j + 1 :], number(1))
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
        row = column[helper.name] * _product(factors, number(1))
        for j, l in enumerate(helper.columns):
            p, m = (self.side(owner, l, side, column, number) for side in (0, 1))
            N = public[f"long {owner}"] * p + public[f"short {owner}"] * m
            row = row - N * _product(factors[:j] + factors[j + 1 :], number(1))
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


def _product(factors: Iterable[Element], one: Element) -> Element:
    result = one
    for factor in factors:
        result = result * factor
    return result


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


class ReferenceProver:
    """The messages one after another.

    Args:
        statement: what to prove.
        columns: values on H of every column of message 1 but mu, and of the dense accounts' committed columns.
        committed: the blinder of each committed column.
        blinders: fresh field elements by name of column.
    """

    algebra_type: type[Algebra] = Algebra
    schedule_type: type[Schedule] = Schedule

    def __init__(
        self, statement: VenueStatement, columns: Mapping[str, Rows], committed: Mapping[str, int], blinders: Blinders
    ) -> None:
        self.statement, self.blinders = statement, blinders
        self.schedule = self.schedule_type(statement)
        self.algebra = self.algebra_type(statement, self.schedule.challenges)
        self.on_H: dict[str, Rows] = {name: [x % r for x in rows] for name, rows in columns.items()}
        self.column: dict[str, Polynomial] = {}
        self.points: dict[str, bytes] = {}
        for name, blinder in committed.items():
            self.column[name] = blinded(statement.domain, self.on_H[name], [blinder])

    def commit(self, name: str, blinders: int) -> None:
        """A column with its blinders: (b0 + b1 X + ...) Z_H is added to it."""
        self.column[name] = blinded(self.statement.domain, self.on_H[name], self.blinders(name, blinders))
        self.points[name] = self.encoded(self.column[name])

    def encoded(self, p: Polynomial) -> bytes:
        """[p(tau)]_1"""
        return encode_g1(commit_coefficients(self.statement.srs, list(p.coefficients)))

    def named(self, names: Iterable[str]) -> tuple[bytes, ...]:
        """The points of named columns."""
        return tuple(self.points[name] for name in names)

    def prove(self) -> VenueProof:
        """All messages.

        Raises:
            ValueError: the witness does not satisfy the statement.
        """
        statement = self.statement
        self.columns()
        self.multiplicities()
        in_sets, rest = _split(statement)
        columns = Columns(
            columns=self.named(in_sets),
            tags=self.named(f"tag {j}" for j in range(statement.tag_columns)),
            extra=self.named(name for name in rest if name.startswith("extra")),
            dense=self.named(name for name in rest if name.startswith("dense")),
            mu=self.named(f"mu {m}" for m in range(statement.tables)),
        )
        self.schedule.message1(columns)
        self.aggregates()
        aggregates = Aggregates(self.named(statement.aggregates))
        self.schedule.message2(aggregates)
        self.helpers()
        self.running_sum()
        helpers = Helpers(self.named(h.name for h in statement.helpers), self.points["phi"])
        self.schedule.message3(helpers)
        self.quotient()
        quotient = Quotient(self.named(f"T {i}" for i in range(statement.g)))
        self.schedule.message4(quotient)
        values = self.values()
        self.schedule.message5(values)
        openings = self.openings(values)
        self.schedule.message6(openings)
        return VenueProof(columns, aggregates, helpers, quotient, values, openings)

    def columns(self) -> None:
        """1. Every opened column with two blinders, every tag column with one."""
        for name in self.statement.opened:
            self.commit(name, 2)
        for j in range(self.statement.tag_columns):
            self.commit(f"tag {j}", 1)

    def multiplicities(self) -> None:
        """1. mu_m: how often the values m n .. m n + n - 1 occur in all digit columns."""
        n, counts = self.statement.n, [0] * (1 << self.statement.k)
        for name in self.statement.opened:
            if " digit " in name:
                for x in self.on_H[name]:
                    if x < len(counts):
                        counts[x] += 1
        for m in range(self.statement.tables):
            self.on_H[f"mu {m}"] = counts[m * n : (m + 1) * n]
            self.commit(f"mu {m}", 1)

    def aggregates(self) -> None:
        """2. Qp_i = sum Gs p, Qm_i = sum Gs m, Qc_i = sum Ga (p - m) over all legs in instrument i of its group."""
        statement, n = self.statement, self.statement.n
        Q = {name: [0] * n for name in statement.aggregates}
        for x in statement.sets:
            template = statement.templates[x.kind]
            slot, account = self.algebra.block_weights(x)
            for l in range(template.row_legs):
                for row, (i, p, m) in enumerate(self.legs(x, l)):
                    if i < statement.rules.instruments:
                        s, place = divmod(i, n - 1)
                        Q[f"Qp {s}"][place] += slot[row] * p
                        Q[f"Qm {s}"][place] += slot[row] * m
                        if template.claimed:
                            Q[f"Qc {s}"][place] += account[row] * (p - m)
        for name, rows in Q.items():
            self.on_H[name] = [x % r for x in rows]
            self.commit(name, 1)

    def legs(self, x: ColumnSet, l: int) -> list[tuple[int, int, int]]:
        """(instrument, long, short) of leg l on every row."""
        owner, D = f"set {x.index}", self.statement.templates[x.kind].position_digits
        sides = []
        for side in (0, 1):
            digits = [self.on_H[f"{owner} digit {(2 * l + side) * D + d}"] for d in range(D)]
            sides.append(
                [sum(y << (self.statement.k * d) for d, y in enumerate(row)) for row in zip(*digits, strict=True)]
            )
        return list(zip(self.on_H[f"{owner} id {l}"], *sides, strict=True))

    def helpers(self) -> None:
        """3. h = sum 1/(beta + f) and v = sum N/(beta + id + eta c) on H."""
        ch = self.schedule.challenges
        for helper in self.statement.helpers:
            total = [0] * self.statement.n
            for j in helper.columns:
                total = [(a + b) % r for a, b in zip(total, self.fractions(helper, j, ch), strict=True)]
            self.on_H[helper.name] = total
            self.commit(helper.name, 1)

    def fractions(self, helper: Helper, j: int, ch: Mapping[str, int]) -> Rows:
        """The summand of a helper that belongs to column or leg j."""
        if not helper.weighted:
            return batch_inverse([(ch["beta"] + y) % r for y in self.on_H[f"{helper.owner} digit {j}"]])
        x = self.statement.sets[int(helper.owner.removeprefix("set "))]
        long, short = self.algebra.numerators(x)
        group = self.on_H[f"{helper.owner} group"]
        inverses = batch_inverse(
            [
                (ch["beta"] + i + ch["eta"] * c) % r
                for i, c in zip(self.on_H[f"{helper.owner} id {j}"], group, strict=True)
            ]
        )
        return [
            w * (a * p + b * m) % r for w, a, b, (_, p, m) in zip(inverses, long, short, self.legs(x, j), strict=True)
        ]

    def running_sum(self) -> None:
        """3. phi(1) = 0, phi(omega X) - phi(X) = total - sigma/n on H."""
        n = self.statement.n
        self.public = self.algebra.public_values()
        phi = [0]
        for row in range(n):
            at = {name: Number(rows[row]) for name, rows in self.on_H.items()}
            public = {name: Number(rows[row]) for name, rows in self.public.items()}
            step = self.algebra.total(at, public, Number) - public["sigma/n"]
            phi.append((phi[-1] + step.value) % r)
        if phi.pop() != 0:
            raise ValueError("the equations do not hold: the running sum does not close")
        self.on_H["phi"] = phi
        self.commit("phi", 3)

    def quotient(self) -> None:
        """4. T in g pieces of n coefficients, the last with the tail, with blinded seams."""
        domain, n, g = self.statement.domain, self.statement.n, self.statement.g
        self.public_polynomials = {name: Polynomial(tuple(domain.intt(rows))) for name, rows in self.public.items()}
        shifted = Polynomial(
            tuple(c * w % r for c, w in zip(*_with_powers(self.column["phi"].coefficients, domain.omega), strict=True))
        )
        side = self.algebra.right_side(self.column, shifted, self.public_polynomials, Polynomial.number)
        T, rest = list(side.coefficients), [0] * n
        quotient = [0] * max(len(T) - n, 0)
        for i in range(len(T) - 1, n - 1, -1):  # division by X^n - 1
            quotient[i - n] = T[i]
            T[i - n] = (T[i - n] + T[i]) % r
        rest = T[:n]
        if any(rest) or any(quotient[g * (n + 1) + 1 :]):
            raise ValueError("an identity does not hold on every row: Z_H does not divide")
        quotient += [0] * (g * (n + 1) + 1 - len(quotient))
        below = 0
        for i in range(g):
            last = i == g - 1
            piece = quotient[i * n :] if last else quotient[i * n : (i + 1) * n]
            piece[0] = (piece[0] - below) % r
            if not last:
                (below,) = self.blinders(f"T {i}", 1)
                piece.append(below)
            self.column[f"T {i}"] = Polynomial(tuple(piece))
            self.points[f"T {i}"] = self.encoded(self.column[f"T {i}"])

    def values(self) -> Values:
        """5. Every opened column at zeta, phi at omega zeta."""
        zeta, omega = self.schedule.challenges["zeta"], self.statement.domain.omega
        at_zeta = tuple(self.column[name].at(zeta) for name in self.statement.opened)
        return Values(at_zeta, self.column["phi"].at(omega * zeta % r))

    def openings(self, sent: Values) -> Openings:
        """6. W opens the linearised identity to 0 and every column to its value, W' opens phi at omega zeta."""
        ch, number = self.schedule.challenges, Polynomial.number
        values = dict(zip(self.statement.opened, sent.f, strict=True))
        fixed = self.column | {name: number(value) for name, value in values.items()}
        public = {name: number(p.at(ch["zeta"])) for name, p in self.public_polynomials.items()}
        claim = linearised(self.algebra, fixed, number(sent.phi_shifted), public, number)
        for v, (name, value) in zip(powers(ch["v"], len(values) + 1)[1:], values.items(), strict=True):
            claim = claim + number(v) * (self.column[name] - number(value))
        shifted = self.column["phi"] - number(sent.phi_shifted)
        return Openings(
            self.encoded(divided(claim, ch["zeta"])),
            self.encoded(divided(shifted, self.statement.domain.omega * ch["zeta"] % r)),
        )


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


def verify_reference(
    statement: VenueStatement,
    data: bytes,
    *,
    algebra_type: type[Algebra] = Algebra,
    schedule_type: type[Schedule] = Schedule,
) -> bool:
    """Whether a proof proves a statement.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
    """
    proof = decode_venue_proof(data, statement)
    schedule = schedule_type(statement)
    algebra = algebra_type(statement, schedule.challenges)
    schedule.message1(proof.columns)
    schedule.message2(proof.aggregates)
    schedule.message3(proof.helpers)
    schedule.message4(proof.quotient)
    schedule.message5(proof.values)
    schedule.message6(proof.openings)
    ch, number = schedule.challenges, Linear.number

    points = statement.committed_points()
    for name, (_, encoded) in zip(point_names(statement), proof.points(), strict=True):
        try:
            points[name] = decode_g1(encoded)
        except ValueError as error:
            raise ProofFormatError(f"{name}: {error}") from None
    commitment = {name: Linear(0, {name: 1}) for name in points}
    values = dict(zip(statement.opened, proof.values.f, strict=True))
    fixed = commitment | {name: number(value) for name, value in values.items()}
    domain, zeta = statement.domain, ch["zeta"]
    public = {name: number(evaluate(domain.intt(rows), zeta)) for name, rows in algebra.public_values().items()}
    right = linearised(algebra, fixed, number(proof.values.phi_shifted), public, number)
    for v, (name, value) in zip(powers(ch["v"], len(values) + 1)[1:], values.items(), strict=True):
        right = right + number(v) * (commitment[name] - number(value))
    y, turned = number(ch["y"]), number(domain.omega * zeta)
    right = right + y * (commitment["phi"] - number(proof.values.phi_shifted))
    right = right + number(zeta) * commitment["W"] + y * turned * commitment["W'"]
    left = commitment["W"] + y * commitment["W'"]
    srs = statement.srs

    def in_group(form: Linear):  # type: ignore[no-untyped-def]  # noqa: ANN202 - arkworks has no types
        return msm([srs.g1(0), *(points[name] for name in form.terms)], [form.constant, *form.terms.values()])

    return pairing_product_is_one([(in_group(left), srs.g2_tau), (-in_group(right), srs.g2_one)])


def point_names(statement: VenueStatement) -> list[str]:
    """The name of every point of a proof, in the order of the encoding."""
    in_sets, rest = _split(statement)
    return [
        *in_sets,
        *(f"tag {j}" for j in range(statement.tag_columns)),
        *rest,
        *(f"mu {m}" for m in range(statement.tables)),
        *statement.aggregates,
        *(helper.name for helper in statement.helpers),
        "phi",
        *(f"T {i}" for i in range(statement.g)),
        "W",
        "W'",
    ]


def blinded(domain: Domain, rows: Rows, blinders: list[int]) -> Polynomial:
    """p + (b0 + b1 X + ...) (X^n - 1) for the values of p on H."""
    coefficients = [*domain.intt(rows), *blinders]
    for i, b in enumerate(blinders):
        coefficients[i] = (coefficients[i] - b) % r
    return Polynomial(tuple(coefficients))


def divided(p: Polynomial, z: int) -> Polynomial:
    """p / (X - z). ValueError unless p(z) = 0."""
    quotient, remainder = divide_by_linear(list(p.coefficients), z)
    if remainder:
        raise ValueError("an opening does not divide")
    return Polynomial(tuple(quotient))


def _with_powers(coefficients: tuple[int, ...], x: int) -> tuple[tuple[int, ...], list[int]]:
    return coefficients, powers(x, len(coefficients))


def _split(statement: VenueStatement) -> tuple[list[str], list[str]]:
    """The opened columns of sets, and the others."""
    in_sets = [name for name in statement.opened if name.startswith("set ")]
    return in_sets, list(statement.opened[len(in_sets) :])
