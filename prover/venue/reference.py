"""The reference prover and verifier of venue proofs: docs/protocol-venue.md on Python integers, with its letters.

Read this, and ``prover/venue/algebra.py`` under it, to learn the argument; ``prover/venue/rounds.py`` and
``verifier/venue/argument.py`` are the same thing made fast, and give the same bytes and answers. Quadratic and slow:
for study and tests, at n = 16 or so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from zkmargin.crypto.commitment import commit_coefficients
from zkmargin.crypto.domain import Domain, divide_by_linear, evaluate
from zkmargin.crypto.field import batch_inverse, powers, r
from zkmargin.crypto.group import decode_g1, encode_g1, msm, pairing_product_is_one
from zkmargin.formats.errors import ProofFormatError
from zkmargin.prover.ring import Linear
from zkmargin.prover.venue.algebra import Algebra, Number, Polynomial, Rows, Schedule, linearised
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
from zkmargin.verifier.venue.statement import ColumnSet, Helper, VenueStatement

#: Fresh uniform field elements for a named column: ``blinders(name, count)``.
Blinders = Callable[[str, int], list[int]]


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
