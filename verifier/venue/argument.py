"""The check of a venue proof: one linearised identity, one MSM, one pairing (docs/protocol-venue.md section 4).

Linear in the number of column sets, with a few products a column: everything public is evaluated once a template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from operator import mul

from py_arkworks_bls12381 import G1Point, Scalar

from zkmargin.circuits.venue import BlockTemplate
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.crypto.scalars import (
    ZERO,
    Vector,
    inner,
    lagrange_at,
    scalar,
    shifted_table,
    sum_of_fractions,
    vector,
)
from zkmargin.crypto.segments import listed
from zkmargin.verifier.argument import Opening, decoded, folded
from zkmargin.verifier.venue.combine import Combination, Families, Sparse
from zkmargin.verifier.venue.proof import VenueProof
from zkmargin.verifier.venue.statement import VenueStatement, groups_of
from zkmargin.verifier.venue.transcript import VenueChallenges, replay

ONE = Scalar(1)


@dataclass(frozen=True)
class VenueOpening:
    """What is left of a proof, and its two digests."""

    opening: Opening
    statement_digest: bytes
    proof_digest: bytes


@dataclass(frozen=True)
class SetValues:
    """A template at zeta, with offsets of gamma at 0: each family's value for every digit column, the group last."""

    slot: Vector
    account: Vector
    plain: Vector
    slot_weight: Scalar
    account_weight: Scalar


class PointCoefficients:
    """The coefficients of a proof's points in F, in the order of the encoding, and the constant."""

    def __init__(self) -> None:
        self.scalars: Vector = []
        self.constant = ZERO

    def add(self, *scalars: Scalar) -> None:
        """The coefficients of the next points."""
        self.scalars += scalars


def linearise(
    statement: VenueStatement, x: VenueChallenges, proof: VenueProof
) -> tuple[PointCoefficients, dict[str, int]]:
    """F without the openings' own points: coefficients of all points but W and W', and of dense commitments."""
    combination = Combination(statement, x)
    basis = lagrange_at(statement.domain, x.zeta)
    n, values = statement.n, vector(proof.values.f)
    Z = statement.domain.vanishing_at(x.zeta)
    F = PointCoefficients()

    # the opened columns: v^(c+1) (column - value)
    weights = vector(powers(x.v, len(values) + 1)[1:])
    in_sets = len(proof.columns.columns)
    F.add(*weights[:in_sets], *[ZERO] * statement.tag_columns, *weights[in_sets:])
    F.constant -= inner(weights, values)
    # mu, Qp, Qm, Qc
    lookup = -scalar(combination.rho[statement.exponents.range])
    for m in range(statement.tables):
        F.add(lookup * sum_of_fractions(basis, shifted_table((x.beta + m * n) % r, n)))
    rows = [vector(column) for column in combination.aggregates()]
    for s in range(statement.segments):
        first, count = s * (n - 1), listed(statement.rules.instruments, n, s)
        F.add(*(inner(column[first : first + count], basis[:count]) for column in rows))

    # helpers and what they leave of their identities; columns times their combined coefficients
    dense: dict[str, int] = {}
    weighted, ranged = (scalar(combination.rho[e]) for e in (statement.exponents.weighted, statement.exponents.range))
    chi = iter(_powers_of(x.chi))
    places = _Places(statement, x, combination, basis, values, chi, weighted, ranged)
    for helper, constant in places.sets():
        F.add(*helper)
        F.constant += constant
    at = in_sets
    if statement.extra:
        F.constant += values[at] * inner(vector(combination.cap_column()), basis)
        helper, constant = places.ranges(values[at : at + 1])
        F.add(*helper)
        F.constant += constant
        at += 1
    digits = values[at:]
    helper, constant = places.ranges(digits)
    F.add(*helper)
    F.constant += constant
    for y in statement.dense:  # after the helpers of all owners
        named, constant = places.dense(y.index, digits)
        dense |= named
        F.constant += constant

    # T Z_H - phi(omega X) + phi(X) - sigma/n
    F.add(scalar(1 + x.y))
    F.add(*(scalar(Z * power) for power in powers(pow(x.zeta, n, r), statement.g)))
    shifted = proof.values.phi_shifted
    F.constant -= scalar(shifted + combination.sigma() * inverse(n) + x.y * shifted)
    return F, dense


class _Places:
    """Owners at zeta."""

    def __init__(
        self,
        statement: VenueStatement,
        x: VenueChallenges,
        combination: Combination,
        basis: Vector,
        values: Vector,
        chi: Iterator[Scalar],
        weighted: Scalar,
        ranged: Scalar,
    ) -> None:
        self.statement, self.x, self.combination, self.basis, self.values = statement, x, combination, basis, values
        self.chi, self.weighted, self.ranged = chi, weighted, ranged
        self.beta, self.eta, self.delta = scalar(x.beta), scalar(x.eta), scalar(x.delta)
        self.delta2, self.delta3 = scalar(x.delta * x.delta), scalar(combination.net_weight)
        self.set_values = cache(self._set_values)
        self.dense_values = cache(self._dense_values)
        self.packed_values = cache(self._packed_values)
        self.selectors = cache(self._selector)

    def sets(self) -> Iterator[tuple[list[Scalar], Scalar]]:
        """For each set its helpers' coefficients and its part of the constant."""
        statement, at = self.statement, 0
        for x in statement.sets:
            template = statement.templates[x.kind]
            count, legs = template.opened_columns, template.row_legs
            ids, group = self.values[at : at + legs], self.values[at + legs]
            digits = self.values[at + legs + 1 : at + count]
            at += count
            U = self.set_values(x.kind, x.used)
            slot, account = (scalar(pow(self.x.gamma, e, r)) for e in (x.slot_exponent, x.account_exponent))
            read = [*digits, group]
            constant = slot * inner(read, U.slot) + account * inner(read, U.account) + inner(read, U.plain)
            ranges, left = self.ranges(digits)
            constant += left
            gs = slot * U.slot_weight
            ga = account * U.account_weight * self.delta2 if template.claimed else ZERO
            long, short = gs + ga + self.delta3, self.delta * gs - ga - self.delta3
            sides = self._sides(template, digits)
            shift = self.beta + self.eta * group
            legs_of = []
            for places in groups_of(legs, statement.g):
                chi, factors = next(self.chi), [shift + ids[l] for l in places]
                product, numerator = folded(factors, [long * sides[l][0] + short * sides[l][1] for l in places])
                legs_of.append(self.weighted - chi * product)
                constant += chi * numerator
            yield [*ranges, *legs_of], constant

    def ranges(self, digits: Vector) -> tuple[list[Scalar], Scalar]:
        """The range helpers of an owner's digit columns."""
        coefficients, constant = [], ZERO
        for places in groups_of(len(digits), self.statement.g):
            chi = next(self.chi)
            product, numerator = folded([self.beta + digits[j] for j in places], [ONE] * len(places))
            coefficients.append(self.ranged - chi * product)
            constant += chi * numerator
        return coefficients, constant

    def _sides(self, template: BlockTemplate, digits: Vector) -> list[tuple[Scalar, Scalar]]:
        D = template.position_digits
        weights = _digit_weights(self.statement.k, D)
        return [
            (inner(weights, digits[2 * l * D : (2 * l + 1) * D]), inner(weights, digits[(2 * l + 1) * D :][:D]))
            for l in range(template.row_legs)
        ]

    def _set_values(self, kind: int, used: int) -> SetValues:
        template, gamma, basis = self.statement.templates[kind], self.x.gamma, self.basis
        T, B, K = template.T, template.spec.block, template.spec.slots
        blocks = [basis[T * b : T * b + used] for b in range(B)]
        slots, accounts = (vector(powers(pow(gamma, step, r), used)) for step in (K, 1))
        slot, account = ([inner(block, weights) for block in blocks] for weights in (slots, accounts))
        plain = [sum(block, ZERO) for block in blocks]
        unused = scalar(self.combination.rho[self.statement.exponents.unused])
        empty = unused * sum((sum(basis[T * b + used : T * (b + 1)], ZERO) for b in range(B)), ZERO)
        columns, group = self.combination.block(template)
        every = [*columns, group]
        rows = range(K * template.V)
        gammas = vector(powers(gamma, K))
        return SetValues(
            slot=[_sparse_dot(column.slot, slot) for column in every],
            account=[_sparse_dot(column.account, account) for column in every],
            plain=[*(_sparse_dot(column.plain, plain) + empty for column in columns), ZERO],
            slot_weight=sum((gammas[b // template.V] * slot[b] for b in rows), ZERO),
            account_weight=sum((account[b] for b in rows), ZERO),
        )

    def dense(self, index: int, digits: Vector) -> tuple[dict[str, int], Scalar]:
        """Coefficients of a dense account's commitments, and its part of the constant (helpers apart).

        ``digits`` are the values of all dense accounts' columns.
        """
        y, statement = self.statement.dense[index], self.statement
        template, n, D = y.template, statement.n, y.template.position_digits
        packed = self.packed_values(template, y.row)
        own = digits[y.first : y.first + template.position_columns]
        slot, account = (scalar(pow(self.x.gamma, e, r)) for e in (y.slot_exponent, y.account_exponent))
        columns, positions, balances = self.dense_values(template)

        def at_zeta(column: tuple[Scalar, Scalar, Scalar]) -> Scalar:
            return slot * column[0] + account * column[1] + column[2]

        constant = sum(map(mul, own, map(at_zeta, columns)), ZERO)
        constant += sum(map(mul, digits[y.packed : y.packed + len(packed)], map(at_zeta, packed)), ZERO)
        found: dict[str, Scalar] = {}
        weights = _digit_weights(statement.k, D)
        for s in range(template.segments):
            chi = next(self.chi)
            long, short = (own[(2 * s + side) * D : (2 * s + side + 1) * D] for side in (0, 1))
            found[f"dense {index} positions[{s}]"] = at_zeta(positions[s]) - chi
            constant += chi * (inner(weights, long) - inner(weights, short))
        for s in range(template.balance_segments):
            found[f"dense {index} collateral[{s}]"] = at_zeta(balances[s])
        for role, count, slots in (
            ("positions", template.segments, statement.rules.instruments),
            ("collateral", template.balance_segments, statement.rules.assets),
        ):
            for s in range(count):
                selector = self.selectors(listed(slots, n, s))
                found[f"dense {index} {role}[{s}]"] -= next(self.chi) * selector
        return {name: int(c) for name, c in found.items()}, constant

    def _dense_values(self, template: object) -> tuple[list[tuple[Scalar, Scalar, Scalar]], ...]:
        parts = self.combination.dense(template)  # type: ignore[arg-type]  # the cache knows no types
        return tuple([self._family_values(column) for column in part] for part in parts)

    def _selector(self, listed_rows: int) -> Scalar:
        """At zeta, the column that is 1 on every row after the listed ones."""
        return sum(self.basis[listed_rows:], ZERO)

    def _packed_values(self, template: object, row: int) -> list[tuple[Scalar, Scalar, Scalar]]:
        columns = self.combination.packed(template, row)  # type: ignore[arg-type]  # the cache knows no types
        return [self._family_values(column) for column in columns]

    def _family_values(self, column: Families) -> tuple[Scalar, Scalar, Scalar]:
        return (
            _sparse_dot(column.slot, self.basis),
            _sparse_dot(column.account, self.basis),
            _sparse_dot(column.plain, self.basis),
        )


def _sparse_dot(sparse: Sparse, values: Vector) -> Scalar:
    return sum((scalar(c) * values[place] for place, c in sparse.items()), ZERO)


def _powers_of(x: int) -> Iterator[Scalar]:
    step = scalar(x)
    power = step
    while True:
        yield power
        power = power * step


@cache
def _digit_weights(k: int, digits: int) -> Vector:
    return vector(1 << (k * d) for d in range(digits))


def decode_points(proof: VenueProof) -> list[G1Point]:
    """Every point, checked. Raises ProofFormatError naming the first bad one."""
    return list(decoded(proof.points()).values())


def reduce_to_opening(statement: VenueStatement, proof: VenueProof) -> VenueOpening:
    """Everything but the pairing.

    Raises:
        ProofFormatError: a point of the proof is not a finite point of G1 in canonical form.
    """
    *points, W, W_shifted = decode_points(proof)

    def weighted(scalars: Vector) -> list[tuple[G1Point, int]]:
        return [(point, int(c)) for point, c in zip(points, scalars, strict=True) if c != ZERO]

    return reduce_with(statement, proof, weighted, W, W_shifted)


def reduce_with(
    statement: VenueStatement,
    proof: VenueProof,
    weighted: Callable[[Vector], list[tuple[G1Point, int]]],
    W: G1Point,
    W_shifted: G1Point,
) -> VenueOpening:
    """The same, with all points but the openings' own weighted elsewhere.

    Args:
        statement: what is proved.
        proof: the proof.
        weighted: from the coefficients of these points, in the order of the encoding, terms of the same sum; every
            point must have been checked.
        W, W_shifted: the openings' points.
    """
    x, transcript = replay(statement, proof)
    F, dense = linearise(statement, x, proof)
    committed = statement.committed_points()
    right = weighted(F.scalars)
    right += [(committed[name], c) for name, c in dense.items()]
    right += [(W, x.zeta), (W_shifted, x.y * statement.domain.omega * x.zeta % r)]
    opening = Opening(((W, 1), (W_shifted, x.y)), tuple(right), int(F.constant), transcript.statement_digest)
    return VenueOpening(opening, transcript.statement_digest, transcript.proof_digest)
