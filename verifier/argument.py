"""The check itself: one linearised identity, one MSM, one pairing equation (docs/protocol.md section 4).

With the sent values as constants, the identity

    T Z_H = phi(omega X) - phi(X) - total(X) + sigma/n
            + sum_g chi^g ( h_g prod_c (beta + f_c) - sum_c prod_{c' != c} (beta + f_c') )
            + chi^.. (q - digits) + chi^.. sel_p q_positions + chi^.. sel_c q_collateral + chi^.. (A B - C)

is linear in the committed polynomials. D = T Z_H(zeta) - (right side) is a combination of commitments that
must open to 0 at zeta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from py_arkworks_bls12381 import G1Point, Scalar

from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import Column
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.crypto.group import decode_g1
from zkmargin.crypto.scalars import ZERO, Vector, lagrange_at, shifted_table, sum_of_fractions
from zkmargin.formats.errors import ProofFormatError
from zkmargin.verifier.proof import Message4, Proof
from zkmargin.verifier.statement import Instance
from zkmargin.verifier.transcript import MarginTranscript


@dataclass(frozen=True)
class Challenges:
    """beta: lookup; rho: equations; chi: identities; zeta: evaluation; v: openings; y: points."""

    beta: int
    rho: int
    chi: int
    zeta: int
    v: int
    y: int


@dataclass
class Linear:
    """A linear combination of named commitments plus a constant (a multiple of [1]_1)."""

    constant: int = 0
    coefficients: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, coefficient: int) -> None:
        """Add ``coefficient`` times a commitment."""
        self.coefficients[name] = (self.coefficients.get(name, 0) + coefficient) % r

    def open_to(self, values: Mapping[str, int], v: int) -> None:
        """Add sum_c v^(c+1) (column c - its value): to be opened to 0 with the rest."""
        for weight, (name, value) in zip(powers(v, len(values) + 1)[1:], values.items(), strict=True):
            self.add(name, weight)
            self.constant -= weight * value


#: Field elements, in one of their two forms.
Element = TypeVar("Element", int, Scalar)
#: A sum of scalars times points that nobody has added up yet.
Terms = tuple[tuple[G1Point, int], ...]


@dataclass(frozen=True)
class Opening:
    """What is left of a proof: it is valid exactly when e(left, [tau]_2) = e(right + constant [1]_1, [1]_2).

    Both sides are left as they are, so that the openings of a batch are added up in one multi-scalar multiplication.
    """

    left: Terms
    right: Terms
    constant: int
    statement_digest: bytes


def replay(statement: Instance, proof: Proof) -> tuple[Challenges, bytes]:
    """All challenges of a proof, and the statement digest."""
    transcript = MarginTranscript(statement)
    beta, rho = transcript.round1(proof.message1)
    chi = transcript.round2(proof.message2)
    zeta = transcript.round3(proof.message3)
    v = transcript.round4(proof.message4)
    y = transcript.round5(proof.message5)
    return Challenges(beta, rho, chi, zeta, v, y), transcript.statement_digest


@dataclass(frozen=True)
class PublicValues:
    """The public polynomials at zeta. Whoever gets them in another way gives them to the same ``linearise``.

    Attributes:
        U: for each column that the equations read, the value of its combined coefficient U_column.
        w: w(zeta), where w(omega^i) = 1/(beta + i).
        selectors: sel_p,s and sel_c,s, by committed column.
        sigma: right side of the combined equation; the only one that is no value at zeta.
    """

    U: Mapping[Column, int]
    w: int
    selectors: Mapping[Column, int]
    sigma: int


def public_values(circuit: Circuit, x: Challenges) -> PublicValues:
    """The public polynomials at zeta, from the circuit."""
    basis = lagrange_at(circuit.domain, x.zeta)
    combination = circuit.combine(x.rho)
    return PublicValues(
        U=combination.at(basis),
        w=int(sum_of_fractions(basis, shifted_table(x.beta, circuit.n))),
        selectors={
            column: (_selector_at(basis, rows) + _rows_at(basis, circuit.retired_rows.get(column, ()))) % r
            for column, rows in circuit.listed_rows.items()
        },
        sigma=combination.sigma,
    )


def linearise(circuit: Circuit, x: Challenges, values: Message4, public: PublicValues) -> Linear:
    """D: the identity at zeta with the sent values and the public values put in."""
    n, Z = circuit.n, circuit.domain.vanishing_at(x.zeta)
    lookup = pow(x.rho, len(circuit.equations), r)
    f, sent = values.f, values.at_zeta()
    D = Linear()

    # T Z_H - phi(omega X) + phi(X) - sigma/n
    for i, zeta_in in enumerate(powers(pow(x.zeta, n, r), circuit.shape.pieces)):
        D.add(f"T[{i}]", Z * zeta_in)
    D.add("phi", 1)
    D.constant -= values.phi_shifted + public.sigma * inverse(n)

    # + total(X), the lookup sum included
    for column, u in public.U.items():
        if column in sent:
            D.constant += sent[column] * u
        else:
            D.add(column, u)
    D.add("mu", -lookup * public.w)

    # - the row identities, by powers of chi that are all different
    chi = 1
    for g, columns in enumerate(circuit.lookup_groups):
        chi = chi * x.chi % r
        factors = [(x.beta + f[c]) % r for c in columns]
        product, numerator = folded(factors, [1] * len(factors))
        D.add(f"h[{g}]", lookup - chi * product)
        D.constant += chi * numerator
    digits = circuit.position_digits
    if digits:
        for s in range(circuit.position_segments):
            chi = chi * x.chi % r
            long, short = (f[(2 * s + side) * digits : (2 * s + side + 1) * digits] for side in (0, 1))
            D.add(f"positions[{s}]", -chi)
            D.constant += chi * sum((p - m) * n**d for d, (p, m) in enumerate(zip(long, short, strict=True)))
    for column in circuit.listed_rows:
        chi = chi * x.chi % r
        D.add(column, -chi * public.selectors[column])
    if circuit.gates:
        chi = chi * x.chi % r
        D.add("B", -chi * sent["A"])
        D.add("C", chi)
    return D


def folded(factors: Sequence[Element], numerators: Sequence[Element]) -> tuple[Element, Element]:
    """The two sides of a helper's identity h prod_c F_c = sum_c N_c prod_{c' != c} F_c', where h = sum_c N_c / F_c.

    In integers or in ``Scalar``: every argument has such helpers, and each keeps its values in one of the two.
    """
    product, numerator = factors[0], numerators[0]
    for factor, N in zip(factors[1:], numerators[1:], strict=True):
        product, numerator = product * factor, numerator * factor + product * N
    return product, numerator


def decoded(points: Iterable[tuple[str, bytes]]) -> dict[str, G1Point]:
    """Points by name, checked. Raises ProofFormatError naming the first that is no finite point in canonical form."""
    found = {}
    for name, data in points:
        try:
            found[name] = decode_g1(data)
        except ValueError as error:
            raise ProofFormatError(f"{name}: {error}") from None
    return found


def _rows_at(basis: Vector, rows: Sequence[int]) -> int:
    """The value of the polynomial that is 1 on some rows and 0 on all others."""
    return int(sum((basis[row] for row in rows), ZERO))


def _selector_at(basis: Vector, listed_rows: int) -> int:
    """The value of the selector, which is 1 on every row that is not a listed slot, from the shorter of two sums."""
    if 2 * listed_rows > len(basis):
        return int(sum(basis[listed_rows:], ZERO))
    return 1 - int(sum(basis[:listed_rows], ZERO))  # sum_i L_i = 1


def reduce_to_opening(
    statement: Instance,
    proof: Proof,
    public: Callable[[Circuit, Challenges], PublicValues] = public_values,
    points_of: Callable[[Iterable[tuple[str, bytes]]], dict[str, G1Point]] = decoded,
) -> Opening:
    """Everything but the pairing.

    Args:
        public: gives the public polynomials at zeta.
        points_of: gives the proof's points by name. A prover that checks its own proof has both; nobody else passes
            anything.

    Raises:
        ProofFormatError: a point of the proof is not a finite point of G1 in canonical form.
    """
    points = statement.committed_points() | points_of(proof.points())
    circuit, values = statement.circuit, proof.message4
    x, statement_digest = replay(statement, proof)
    F = linearise(circuit, x, values, public(circuit, x))

    # W opens D to 0 and each f_c (and A) to its value at zeta, batched by powers of v
    F.open_to(values.at_zeta(), x.v)
    # W' opens phi at omega zeta
    F.add("phi", x.y)
    F.constant -= x.y * values.phi_shifted

    # e(W + y W', [tau]_2) = e(zeta W + y omega zeta W' + F, [1]_2)
    F.add("W", x.zeta)
    F.add("W'", x.y * circuit.domain.omega * x.zeta)
    left = ((points["W"], 1), (points["W'"], x.y))
    right = tuple((points[name], coefficient) for name, coefficient in F.coefficients.items())
    return Opening(left, right, F.constant, statement_digest)
