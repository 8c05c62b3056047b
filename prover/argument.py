"""The prover, round by round (docs/protocol.md section 4). Vectors are opaque kernel arrays (prover/_kernels).

Every blinder comes from ``draw``, in the order in which the protocol names them: two a digit column, one for
mu, (two, one, one) for A, B, C; one a helper, three for phi; one a seam of T. The reference prover draws in the
same order, so the two give the same bytes from the same randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from circuits.circuit import Circuit
from circuits.witness import Witness
from crypto.commitment import blind
from crypto.field import GENERATOR, inverse, powers, r
from crypto.group import encode_g1, msm
from prover import _plain_tmp as K
from verifier.argument import Challenges, linearise
from verifier.proof import Message1, Message2, Message3, Message4, Message5, Proof
from verifier.statement import Statement
from verifier.transcript import MarginTranscript

#: A blinder source. The product passes the operating system's generator and nothing else.
Draw = Callable[[], int]
Column = tuple[str, int]


class ProverError(RuntimeError):
    """The argument did not close: a witness that does not satisfy the circuit got here, or a defect."""


@dataclass
class _State:
    """What the rounds hand on: polynomials by name (monomial basis), values on H, the transcript."""

    statement: Statement
    draw: Draw
    transcript: MarginTranscript
    values: dict[str, list[int]] = field(default_factory=dict)
    polynomials: dict[str, list[int]] = field(default_factory=dict)

    @property
    def circuit(self) -> Circuit:
        return self.statement.circuit

    def add(self, name: str, values: list[int], blinders: int) -> None:
        """A polynomial from its values on H and this many fresh blinders."""
        coefficients = K.to_ints(K.intt(K.from_ints(values)))
        self.values[name] = values
        self.polynomials[name] = blind(coefficients, [self.draw() for _ in range(blinders)], self.circuit.n)

    def commit(self, *names: str) -> tuple[bytes, ...]:
        """Commitments of named polynomials, encoded."""
        srs = self.statement.srs
        result = []
        for name in names:
            coefficients = self.polynomials[name]
            result.append(encode_g1(msm(srs.g1_powers(len(coefficients)), coefficients)))
        return tuple(result)


def prove_argument(statement: Statement, witness: Witness, blinders: Mapping[Column, int], draw: Draw) -> Proof:
    """A proof of the statement from a satisfying witness and the blinders of its commitments.

    Args:
        blinders: for each committed column, (role, segment), the sum of its parts' blinders.
        draw: source of fresh uniform field elements.

    Raises:
        ProverError: the witness does not satisfy the circuit.
    """
    state = _State(statement, draw, MarginTranscript(statement))
    for (name, index), rows in witness.columns(statement.circuit).items():
        key = f"{name}[{index}]" if name not in "ABC" else name
        state.values[key] = [x % r for x in rows]
        if (name, index) in blinders:
            coefficients = K.to_ints(K.intt(K.from_ints(rows)))
            state.polynomials[key] = blind(coefficients, [blinders[name, index]], statement.circuit.n)
    message1, beta, rho = _round1(state)
    message2, chi, U = _round2(state, beta, rho)
    message3, zeta = _round3(state, beta, rho, chi, U)
    x = Challenges(beta, rho, chi, zeta, v=0, y=0)
    message4, v = _round4(state, zeta)
    message5 = _round5(state, x, v, message4)
    return Proof(message1, message2, message3, message4, message5)


def _digits(circuit: Circuit) -> list[str]:
    return [f"digits[{c}]" for c in range(circuit.digit_columns)]


def _round1(state: _State) -> tuple[Message1, int, int]:
    """Commit the digit columns f_c, the multiplicities mu and the gate wires."""
    circuit, n = state.circuit, state.circuit.n
    names = _digits(circuit)
    counts = sum(np.bincount(np.array(state.values[name], dtype=np.int64), minlength=n) for name in names)
    for name in names:
        state.add(name, state.values[name], 2)
    state.add("mu", counts.tolist(), 1)
    gates = tuple("ABC") if circuit.gates else ()
    for name in gates:
        state.add(name, state.values[name], 2 if name == "A" else 1)
    message = Message1(state.commit(*names), *state.commit("mu"), state.commit(*gates))
    return message, *state.transcript.round1(message)


def _round2(state: _State, beta: int, rho: int) -> tuple[Message2, int, dict[str, list[int]]]:
    """Commit the helpers h_g = sum_c 1/(beta + f_c) and the running sum phi of ``total``."""
    circuit, n = state.circuit, state.circuit.n
    combination = circuit.combine(rho)
    U = {(name if name in "ABC" else f"{name}[{i}]"): K.from_ints(u) for (name, i), u in combination.rows().items()}
    lookup = pow(rho, len(circuit.equations), r)
    w = K.scale(K.batch_inverse(K.from_ints([beta + i for i in range(n)])), lookup)

    total = K.scale(K.mul(K.from_ints(state.values["mu"]), w), r - 1)
    for name, u in U.items():
        total = K.add(total, K.mul(K.from_ints(state.values[name]), u))
    for g, columns in enumerate(circuit.lookup_groups):
        h = K.from_ints([0] * n)
        for c in columns:
            h = K.add(h, K.batch_inverse(K.from_ints([beta + x for x in state.values[f"digits[{c}]"]])))
        total = K.add_scaled(total, h, lookup)
        state.add(f"h[{g}]", K.to_ints(h), 1)

    step = combination.sigma * inverse(n) % r
    phi = [0]
    for x in K.to_ints(total):
        phi.append((phi[-1] + x - step) % r)
    if phi.pop() != 0:
        raise ProverError("the public equations do not hold: the running sum does not close")
    state.add("phi", phi, 3)
    message = Message2(state.commit(*(f"h[{g}]" for g in range(len(circuit.lookup_groups)))), *state.commit("phi"))
    U["mu"] = K.scale(w, r - 1)
    return message, state.transcript.round2(message), U


def _round3(state: _State, beta: int, rho: int, chi: int, U: dict[str, list[int]]) -> tuple[Message3, int]:
    """Commit the quotient T of all identities by Z_H, in pieces with blinded seams."""
    circuit, n = state.circuit, state.circuit.n
    pieces = circuit.shape.pieces
    size = _quotient_domain(circuit)
    blowup = size // n
    combination = circuit.combine(rho)
    lookup = pow(rho, len(circuit.equations), r)

    def coset(coefficients: list[int]) -> list[int]:
        return K.coset_ntt(K.from_ints(coefficients), size, GENERATOR)

    on = {name: coset(p) for name, p in state.polynomials.items()}
    # phi(omega X) - phi(X) - total(X) + sigma/n: a step of omega in H is ``blowup`` steps in the coset
    phi = on["phi"]
    quotient = K.sub(phi[blowup:] + phi[:blowup], phi)
    for name, u in U.items():
        quotient = K.sub(quotient, K.mul(on[name], coset(K.to_ints(K.intt(u)))))
    constant = [combination.sigma * inverse(n) % r] * size
    quotient = K.add(quotient, K.from_ints(constant))

    # + the row identities, by powers of chi that are all different (the order of verifier/argument.py)
    weight = 1
    for g, columns in enumerate(circuit.lookup_groups):
        weight = weight * chi % r
        quotient = K.add_scaled(quotient, on[f"h[{g}]"], -lookup)
        shifted = [K.add(on[f"digits[{c}]"], K.from_ints([beta] * size)) for c in columns]
        product, derivative = shifted[0], K.from_ints([1] * size)
        for factor in shifted[1:]:
            derivative = K.add(K.mul(derivative, factor), product)
            product = K.mul(product, factor)
        quotient = K.add_scaled(quotient, K.sub(K.mul(on[f"h[{g}]"], product), derivative), weight)
    digits = circuit.position_digits
    if digits:
        for s in range(circuit.position_segments):
            weight = weight * chi % r
            row = on[f"positions[{s}]"]
            for d in range(digits):
                row = K.add_scaled(row, on[f"digits[{2 * s * digits + d}]"], -(n**d))
                row = K.add_scaled(row, on[f"digits[{(2 * s + 1) * digits + d}]"], n**d)
            quotient = K.add_scaled(quotient, row, weight)
    for role, count in (("positions", circuit.position_segments), ("collateral", circuit.collateral_segments)):
        for s in range(count):
            weight = weight * chi % r
            selector = coset(K.to_ints(K.intt(K.from_ints(circuit.selector(role, s)))))
            quotient = K.add_scaled(quotient, K.mul(selector, on[f"{role}[{s}]"]), weight)
    if circuit.gates:
        weight = weight * chi % r
        quotient = K.add_scaled(quotient, K.sub(K.mul(on["A"], on["B"]), on["C"]), weight)

    # Z_H takes only ``blowup`` values on the coset
    steps = powers(pow(_root(size), n, r), blowup)
    vanishing = [inverse(pow(GENERATOR, n, r) * step - 1) for step in steps]
    T = K.to_ints(K.coset_intt(K.mul(quotient, K.from_ints(vanishing * n)), GENERATOR))
    length = pieces * (n + 1) + 1
    if any(T[length:]):
        raise ProverError("an identity does not hold on every row: the quotient is not a polynomial")
    parts = [T[i * n : (i + 1) * n] for i in range(pieces - 1)] + [T[(pieces - 1) * n : length]]
    for low, high in pairwise(parts):
        seam = state.draw()
        low.append(seam)
        high[0] = (high[0] - seam) % r
    for i, part in enumerate(parts):
        state.polynomials[f"T[{i}]"] = part
    message = Message3(state.commit(*(f"T[{i}]" for i in range(pieces))))
    return message, state.transcript.round3(message)


def _round4(state: _State, zeta: int) -> tuple[Message4, int]:
    """Evaluate f_c and A at zeta, phi at omega zeta."""
    circuit = state.circuit

    def at(name: str, point: int) -> int:
        return K.evaluate(K.from_ints(state.polynomials[name]), point)

    message = Message4(
        tuple(at(name, zeta) for name in _digits(circuit)),
        at("phi", circuit.domain.omega * zeta % r),
        (at("A", zeta),) if circuit.gates else (),
    )
    return message, state.transcript.round4(message)


def _round5(state: _State, x: Challenges, v: int, values: Message4) -> Message5:
    """Open the linearised identity and every f_c (and A) at zeta, phi at omega zeta."""
    circuit = state.circuit
    D = linearise(circuit, x, values)
    opened = [*zip(_digits(circuit), values.f, strict=True), *(("A", value) for value in values.A)]
    for weight, (name, value) in zip(powers(v, len(opened) + 1)[1:], opened, strict=True):
        D.add(name, weight)
        D.constant -= weight * value
    size = max(len(p) for p in state.polynomials.values())
    combined = K.from_ints([D.constant % r] + [0] * (size - 1))
    for name, coefficient in D.coefficients.items():
        p = state.polynomials[name]
        combined = K.add_scaled(combined, K.from_ints(p + [0] * (size - len(p))), coefficient)
    state.polynomials["W"] = _open(combined, x.zeta, 0)
    state.polynomials["W'"] = _open(
        K.from_ints(state.polynomials["phi"]), circuit.domain.omega * x.zeta % r, values.phi_shifted
    )
    return Message5(*state.commit("W", "W'"))


def _open(p: list[int], z: int, value: int) -> list[int]:
    """(p(X) - value) / (X - z)."""
    quotient, remainder = K.divide_by_linear(p, z)
    if remainder != value:
        raise ProverError("an opening does not divide: the linearised identity is wrong")
    return K.to_ints(quotient)


def _quotient_domain(circuit: Circuit) -> int:
    """The least power of two that holds the coefficients of T."""
    length = circuit.shape.pieces * (circuit.n + 1) + 1
    return 1 << (length - 1).bit_length()


def _root(size: int) -> int:
    return pow(GENERATOR, (r - 1) // size, r)
