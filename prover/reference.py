"""The reference prover: docs/protocol.md section 4, line by line, with the letters of that text.

Read this to learn the argument; ``prover/argument.py`` is the same thing made fast. Polynomials are ``galois.Poly``
over F, group elements are py_ecc points, commitments are plain sums: nothing here is clever, and nothing is shared
with the fast prover but messages, transcript and circuit. On the same randomness both give the same bytes. Seconds at
n = 16, not constant-time: for study and tests. Needs the extra ``zkmargin[reference]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import galois
import numpy as np
from py_ecc import optimized_bls12_381
from py_ecc.bls.g2_primitives import G1_to_pubkey

from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.field import GENERATOR, r
from zkmargin.crypto.srs import SRS
from zkmargin.formats.errors import SetupError
from zkmargin.prover.ring import Element, product
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Message5, Proof
from zkmargin.verifier.statement import Instance
from zkmargin.verifier.transcript import MarginTranscript

#: The scalar field. Its elements are held as Python integers, whatever their size.
F: Any = galois.GF(r, primitive_element=GENERATOR, verify=False)
X: Any = galois.Poly.Identity(F)
bls: Any = optimized_bls12_381  # py_ecc does not export its names to type checkers
Poly = Any
FieldVector = Any
Point = tuple[Any, Any, Any]


def constant(c: int) -> Poly:
    """The constant polynomial c mod r."""
    return galois.Poly([c % r], field=F)


def right_side(
    circuit: Circuit,
    column: Mapping[str, Element],
    phi_shifted: Element,
    public: Mapping[str, Element],
    beta: Element,
    chi: Element,
    number: Callable[[int], Element],
) -> Element:
    """The right side of the identity of message 3, in any ring.

    In message 3 every argument is a polynomial. For message 5 and the check the values at zeta that were sent, and the
    public polynomials at zeta, take the places of f_c, A, phi(omega X) and U, w, sel: what is left is linear.

    Args:
        circuit: its layout.
        column: f[c], mu, h[g], phi, positions[s], collateral[s], and A, B, C if there are gates.
        phi_shifted: phi(omega X).
        public: from ``public_values``.
        beta, chi: challenges.
        number: the ring's element for an integer.
    """
    n, (S_p, S_c), D = circuit.n, (circuit.position_segments, circuit.collateral_segments), circuit.position_digits

    # total = sum_j rho^j (left side of equation j) + rho^J ( sum_g h_g - mu w )
    total = number(0) - public["rho^J"] * column["mu"] * public["w"]
    for g in range(len(circuit.lookup_groups)):
        total = total + public["rho^J"] * column[f"h[{g}]"]
    for name in equation_columns(circuit):
        total = total + column[name] * public[f"U {name}"]

    # phi(omega X) - phi(X) - total + sigma/n
    side = phi_shifted - column["phi"] - total + public["sigma/n"]

    # + sum_g chi^g ( h_g prod_{c in g} (beta + f_c) - sum_{c in g} prod_{c' != c} (beta + f_c') )
    power = number(1)
    for g, columns in enumerate(circuit.lookup_groups):
        power = power * chi
        row = column[f"h[{g}]"] * product((beta + column[f"f[{c}]"] for c in columns), number(1))
        for c in columns:
            row = row - product((beta + column[f"f[{other}]"] for other in columns if other != c), number(1))
        side = side + power * row

    # + chi^(G+1+s) ( positions[s] - sum_d n^d (p_{s,d} - m_{s,d}) )
    for s in range(S_p if D else 0):
        power = power * chi
        row = column[f"positions[{s}]"]
        for d in range(D):
            p, m = column[f"f[{2 * s * D + d}]"], column[f"f[{(2 * s + 1) * D + d}]"]
            row = row - number(n**d) * (p - m)
        side = side + power * row

    # + chi^(..) sel_p,s positions[s]  + chi^(..) sel_c,s collateral[s]
    for name in [f"positions[{s}]" for s in range(S_p)] + [f"collateral[{s}]" for s in range(S_c)]:
        power = power * chi
        side = side + power * public[f"sel {name}"] * column[name]

    # + chi^(last) (A B - C)
    if circuit.gates:
        power = power * chi
        side = side + power * (column["A"] * column["B"] - column["C"])
    return side


def public_values(circuit: Circuit, beta: int, rho: int) -> dict[str, list[int]]:
    """What the circuit and two challenges determine, on H (n values each).

    ``U x``: the combined coefficient of column x; ``w``: w(omega^i) = 1/(beta + i); ``sel x``: 1 on unlisted rows;
    ``sigma/n`` and ``rho^J``: constants.
    """
    n, combination = circuit.n, circuit.combine(rho)
    values = {f"U {column}": rows for column, rows in combination.rows().items()}
    values["w"] = [pow(beta + i, -1, r) for i in range(n)]
    values["sigma/n"] = [combination.sigma * pow(n, -1, r) % r] * n
    values["rho^J"] = [pow(rho, len(circuit.equations), r)] * n
    for column in circuit.listed_rows:
        values[f"sel {column}"] = circuit.selector(column)
    return values


def prove_reference(
    statement: Instance, witness: Witness, blinders: Mapping[str, int], draw: Callable[[], int]
) -> Proof:
    """The five messages, as ``prover.argument.prove_argument`` gives them.

    Args:
        statement: what to prove.
        witness: satisfies the statement's circuit.
        blinders: b of each committed column, by name: the sum of its parts' blinders.
        draw: uniform field elements, called in the order of the last line of section 4.

    Raises:
        ValueError: the witness does not satisfy the circuit.
        SetupError: the SRS has too few powers.
    """
    circuit, n, omega = statement.circuit, statement.circuit.n, root_of_unity(statement.circuit.n)
    Z_H = X**n - constant(1)
    transcript = MarginTranscript(statement)
    tau_powers = decode_powers(statement.srs, n + 2 + circuit.shape.pieces)
    on_H: dict[str, FieldVector] = {
        name: F([int(x) % r for x in rows]) for name, rows in witness.columns(circuit).items()
    }
    column: dict[str, Poly] = {}

    def blinded(name: str, *b: int) -> None:
        """column + (b0 + b1 X + ...) Z_H"""
        column[name] = interpolate(on_H[name]) + galois.Poly(b, field=F, order="asc") * Z_H

    def commit(name: str) -> bytes:
        return commit_polynomial(column[name], tau_powers)

    # 0. C = sum_i v_i [L_i(tau)]_1 + b [Z_H(tau)]_1: committed before
    for name, b in blinders.items():
        blinded(name, b)

    # 1. every f_c with two blinders, mu_i = #{cells of all f_c equal to i} with one; A with two, B and C with one each
    f = [f"f[{c}]" for c in range(circuit.digit_columns)]
    h = [f"h[{g}]" for g in range(len(circuit.lookup_groups))]
    cells = [int(x) for name in f for x in on_H[name]]
    on_H["mu"] = F([cells.count(i) for i in range(n)])
    for name in f:
        blinded(name, draw(), draw())
    blinded("mu", draw())
    if circuit.gates:
        blinded("A", draw(), draw())
        blinded("B", draw())
        blinded("C", draw())
    message1 = Message1(tuple(map(commit, f)), commit("mu"), tuple(map(commit, "ABC" if circuit.gates else "")))
    beta, rho = transcript.round1(message1)

    # 2. h_g = sum_{c in g} 1/(beta + f_c) on H; phi(1) = 0, phi(omega X) - phi(X) = total(X) - sigma/n on H
    public_on_H = {name: F(values) for name, values in public_values(circuit, beta, rho).items()}
    for name, columns in zip(h, circuit.lookup_groups, strict=True):
        on_H[name] = sum((np.reciprocal(F(beta) + on_H[f"f[{c}]"]) for c in columns), F.Zeros(n))
    total = public_on_H["rho^J"] * (sum((on_H[name] for name in h), F.Zeros(n)) - on_H["mu"] * public_on_H["w"])
    for name in equation_columns(circuit):
        total = total + on_H[name] * public_on_H[f"U {name}"]
    phi = [F(0)]
    for step in total - public_on_H["sigma/n"]:
        phi.append(phi[-1] + step)
    if phi.pop() != 0:
        raise ValueError("the public equations do not hold: sum_H total is not sigma")
    on_H["phi"] = F(phi)
    for name in h:
        blinded(name, draw())
    blinded("phi", draw(), draw(), draw())
    message2 = Message2(tuple(map(commit, h)), commit("phi"))
    chi = transcript.round2(message2)

    # 3. T Z_H = right side, in g pieces of n coefficients, the last one keeping the tail: T_i + t_i X^n, T_{i+1} - t_i
    phi_shifted = stretch(column["phi"], omega)
    public = {name: interpolate(values) for name, values in public_on_H.items()}
    side = right_side(circuit, column, phi_shifted, public, constant(beta), constant(chi), constant)
    T, remainder = divmod(side, Z_H)
    if remainder != 0:
        raise ValueError("an identity does not hold on every row: Z_H does not divide")
    pieces = circuit.shape.pieces
    T_pieces = []
    for _ in range(pieces - 1):
        T, low = divmod(T, X**n)
        T_pieces.append(low)
    T_pieces.append(T)
    for i, _ in pairwise(range(pieces)):
        t = constant(draw())
        T_pieces[i], T_pieces[i + 1] = T_pieces[i] + t * X**n, T_pieces[i + 1] - t
    column.update({f"T[{i}]": piece for i, piece in enumerate(T_pieces)})
    message3 = Message3(tuple(commit(f"T[{i}]") for i in range(pieces)))
    zeta = transcript.round3(message3)

    # 4. f_c(zeta), phi(omega zeta), and A(zeta) if there are gates: nothing else
    opened = [*f, "A"] if circuit.gates else f
    at_zeta = {name: evaluate(column[name], zeta) for name in opened}
    phi_value = evaluate(column["phi"], omega * zeta)
    message4 = Message4(tuple(at_zeta[name] for name in f), phi_value, (at_zeta["A"],) if circuit.gates else ())
    v = transcript.round4(message4)

    # 5. D = T Z_H(zeta) - (right side), the sent values and the public polynomials at zeta as constants
    fixed = column | {name: constant(value) for name, value in at_zeta.items()}
    public_at_zeta = {name: constant(evaluate(polynomial, zeta)) for name, polynomial in public.items()}
    D = -right_side(circuit, fixed, constant(phi_value), public_at_zeta, constant(beta), constant(chi), constant)
    for i, piece in enumerate(T_pieces):
        D = D + piece * constant(pow(zeta, i * n, r) * (pow(zeta, n, r) - 1))
    # W = ( D + sum_c v^(c+1) (f_c - f_c(zeta)) [+ v^(last) (A - A(zeta))] ) / (X - zeta)
    claim = D
    for c, name in enumerate(opened):
        claim = claim + constant(pow(v, c + 1, r)) * (column[name] - constant(at_zeta[name]))
    column["W"] = divide(claim, zeta)
    # W' = ( phi - phi(omega zeta) ) / (X - omega zeta)
    column["W'"] = divide(column["phi"] - constant(phi_value), omega * zeta)
    return Proof(message1, message2, message3, message4, Message5(commit("W"), commit("W'")))


# --- names ------------------------------------------------------------------------------------------------------------


def equation_columns(circuit: Circuit) -> list[str]:
    """The columns that public equations read."""
    counts = {
        "positions": circuit.position_segments,
        "collateral": circuit.collateral_segments,
        "f": circuit.digit_columns,
    }
    names = [f"{name}[{i}]" for name, count in counts.items() for i in range(count)]
    return [*names, *"ABC"] if circuit.gates else names


# --- polynomials ------------------------------------------------------------------------------------------------------


def root_of_unity(n: int) -> int:
    """omega = 7^((r-1)/n)"""
    return pow(GENERATOR, (r - 1) // n, r)


def interpolate(values: FieldVector) -> Poly:
    """The polynomial with these n values on H: coefficient j is 1/n sum_i values_i omega^(-i j)."""
    n = len(values)
    return galois.Poly(F.Vandermonde(F(root_of_unity(n)) ** -1, n, n) @ values / F(n), order="asc")


def stretch(p: Poly, omega: int) -> Poly:
    """p(omega X)"""
    coefficients = p.coefficients(order="asc")
    return galois.Poly(coefficients * F(omega) ** np.arange(len(coefficients)), order="asc")


def evaluate(p: Poly, x: int) -> int:
    """p(x)"""
    return int(p(F(x % r)))


def divide(p: Poly, z: int) -> Poly:
    """p / (X - z). ValueError unless p(z) = 0."""
    quotient, remainder = divmod(p, X - constant(z))
    if remainder != 0:
        raise ValueError("an opening does not divide")
    return quotient


# --- the group --------------------------------------------------------------------------------------------------------


def decode_powers(srs: SRS, count: int) -> list[Point]:
    """[1]_1, [tau]_1, ... as py_ecc points, from x || y, 48 bytes each. SetupError when there are fewer."""
    if count > srs.powers:
        raise SetupError(f"{count} powers of tau: the setup {srs.name} has {srs.powers}")
    size = 48
    rows = [bytes(srs.g1_bytes[i * 2 * size : (i + 1) * 2 * size]) for i in range(count)]
    return [
        (bls.FQ(int.from_bytes(row[:size], "big")), bls.FQ(int.from_bytes(row[size:], "big")), bls.FQ(1))
        for row in rows
    ]


def combine_points(points: Sequence[Point], scalars: Sequence[int]) -> Point:
    """sum_i scalars_i points_i"""
    total: Point = bls.Z1
    for point, c in zip(points, scalars, strict=True):
        total = bls.add(total, bls.multiply(point, c % r))
    return total


def commit_polynomial(p: Poly, tau_powers: Sequence[Point]) -> bytes:
    """[p(tau)]_1, compressed."""
    coefficients = [int(c) for c in p.coefficients(order="asc")]
    return bytes(G1_to_pubkey(combine_points(tau_powers[: len(coefficients)], coefficients)))
