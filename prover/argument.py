"""The prover, round by round (docs/protocol.md section 4). The algebra on vectors is done by kernels (``K``).

Every blinder comes from ``draw``, in the order in which the protocol names them, so that the reference prover
(prover/reference.py) gives the same bytes from the same randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import numpy as np

from zkmargin.circuits.language.circuit import Circuit, Combination
from zkmargin.circuits.language.system import SIDES, Column, Int64Array
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.field import GENERATOR, inverse, powers, r
from zkmargin.prover import _kernels as K
from zkmargin.prover.commit import Committer, Job, committer
from zkmargin.prover.profile import Profile
from zkmargin.verifier.argument import Challenges, linearise, public_values
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Message5, Proof
from zkmargin.verifier.statement import Instance
from zkmargin.verifier.transcript import MarginTranscript

#: A blinder source. The product passes the operating system's generator and nothing else.
Draw = Callable[[], int]


class ProverError(RuntimeError):
    """The argument did not close: a witness that does not satisfy the circuit got here, or a defect of ours."""


@dataclass(repr=False)
class _Rounds:
    """What one round hands to the next: columns on H and polynomials (monomial basis), by name. Secret."""

    statement: Instance
    draw: Draw
    threads: int
    transcript: MarginTranscript
    committer: Committer
    columns: dict[str, K.FieldVector] = field(default_factory=dict)
    polynomials: dict[str, K.FieldVector] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    profile: Profile = field(default_factory=Profile)

    @property
    def circuit(self) -> Circuit:
        return self.statement.circuit

    @property
    def digits(self) -> list[str]:
        """Names of the digit columns f_c."""
        return [f"f[{c}]" for c in range(self.circuit.digit_columns)]

    def interpolate(self, name: str, blinders: int, integers: Int64Array | None = None) -> None:
        """The polynomial of a column: p(X) + (b_0 + b_1 X + ...) Z_H(X) with fresh blinders.

        A column of integers is committed as such, which is quicker.
        """
        b = [self.draw() for _ in range(blinders)]
        self.polynomials[name] = _blinded(self.columns[name], b)
        if integers is not None:
            self.jobs[name] = self.committer.column(integers, b)

    def commit_all(self, names: Sequence[str]) -> tuple[bytes, ...]:
        """Commitments of named polynomials, encoded."""
        jobs = [self.jobs.get(name) or self.committer.polynomial(self.polynomials[name]) for name in names]
        self.profile.msms += [(name, sum(len(x) for _, x in job)) for name, job in zip(names, jobs, strict=True)]
        return self.committer.commit(jobs, self.threads)


def prove_argument(
    statement: Instance,
    witness: Witness,
    blinders: Mapping[Column, int],
    draw: Draw,
    *,
    threads: int = 1,
    profile: Profile | None = None,
) -> Proof:
    """A proof of the statement from a satisfying witness and the blinders of its commitments.

    Args:
        blinders: for each committed column, by name, the sum of its parts' blinders.
        draw: source of fresh uniform field elements.
        threads: how many parts of the work run at the same time; the proof does not depend on it.
        profile: filled with times and sizes, if given.

    Raises:
        ProverError: the witness does not satisfy the circuit.
    """
    circuit, profile = statement.circuit, profile or Profile()
    with profile.stage("columns"):
        bases = committer(statement.srs, circuit.n)
        rounds = _Rounds(statement, draw, threads, MarginTranscript(statement), bases, profile=profile)
        columns = witness.columns(circuit)
        for column, rows in columns.items():
            rounds.columns[column] = K.from_ints(rows) if isinstance(rows, list) else K.from_int64(rows)
            if column in blinders:
                rounds.polynomials[column] = _blinded(rounds.columns[column], [blinders[column]])
    with profile.stage("1: digits, multiplicities"):
        message1, beta, rho = _round1(rounds, columns)
    with profile.stage("2: helpers, running sum"):
        combination = circuit.combine(rho)
        message2, chi, U = _round2(rounds, combination, beta, rho)
    with profile.stage("3: quotient"):
        message3, zeta = _round3(rounds, combination, U, beta, rho, chi)
    with profile.stage("4: evaluations"):
        message4, v = _round4(rounds, zeta)
    with profile.stage("5: openings"):
        message5 = _round5(rounds, Challenges(beta, rho, chi, zeta, v, y=0), message4)
    return Proof(message1, message2, message3, message4, message5)


def _round1(rounds: _Rounds, columns: Mapping[Column, Int64Array | list[int]]) -> tuple[Message1, int, int]:
    """Commit the digit columns f_c, the multiplicities mu and the gate wires."""
    n = rounds.circuit.n
    mu = np.zeros(n, dtype=np.int64)
    for name in rounds.digits:
        f = np.asarray(columns[name], dtype=np.int64)
        mu += np.bincount(f, minlength=n)
        rounds.interpolate(name, 2, f)
    rounds.columns["mu"] = K.from_int64(mu)
    rounds.interpolate("mu", 1, mu)
    gates = tuple("ABC") if rounds.circuit.gates else ()
    for name in gates:
        rounds.interpolate(name, 2 if name == "A" else 1)
    count = len(rounds.digits)
    points = rounds.commit_all([*rounds.digits, "mu", *gates])
    message = Message1(points[:count], points[count], points[count + 1 :])
    return message, *rounds.transcript.round1(message)


def _round2(
    rounds: _Rounds, combination: Combination, beta: int, rho: int
) -> tuple[Message2, int, dict[str, K.FieldVector]]:
    """Commit the helpers h_g = sum_c 1/(beta + f_c) and the running sum phi of ``total``.

    Also returns the public polynomials U on H with total = sum over columns of column * U.
    """
    circuit, n, columns = rounds.circuit, rounds.circuit.n, rounds.columns
    lookup = pow(rho, len(circuit.equations), r)
    helpers = []
    for g, group in enumerate(circuit.lookup_groups):
        inverses = [K.batch_inverse(_shifted(columns[f"f[{c}]"], beta)) for c in group]
        columns[f"h[{g}]"] = _sum(inverses)
        helpers.append(f"h[{g}]")

    # total = sum_j rho^j (equation j) + rho^J (sum_g h_g - mu w),  w = 1/(beta + i)
    U = _public_polynomials(combination)
    U |= {name: K.constant(lookup, n) for name in helpers}
    w = K.batch_inverse(_shifted(K.from_int64(np.arange(n, dtype=np.int64)), beta))
    U["mu"] = K.scale(w, -lookup)
    total = _sum([K.mul(columns[name], u) for name, u in U.items()])

    # phi(1) = 0, phi(omega X) - phi(X) = total(X) - sigma/n on H
    sums = K.prefix_sum(_shifted(total, -combination.sigma * inverse(n)))
    if K.to_ints(K.slice_of(sums, n - 1, n)) != [0]:
        raise ProverError("the public equations do not hold: the running sum does not close")
    columns["phi"] = K.roll(sums, n - 1)

    for name in helpers:
        rounds.interpolate(name, 1)
    rounds.interpolate("phi", 3)
    *h, phi = rounds.commit_all([*helpers, "phi"])
    message = Message2(tuple(h), phi)
    return message, rounds.transcript.round2(message), U


def _round3(
    rounds: _Rounds, combination: Combination, U: dict[str, K.FieldVector], beta: int, rho: int, chi: int
) -> tuple[Message3, int]:
    """Commit the quotient T of all identities by Z_H, in pieces with blinded seams."""
    circuit, n = rounds.circuit, rounds.circuit.n
    length = circuit.shape.pieces * (n + 1) + 1
    size = 1 << (length - 1).bit_length()
    blowup = size // n
    varying = {name: u for name, u in U.items() if not name.startswith("h[")}  # a helper's U is the constant rho^J
    with ThreadPoolExecutor(rounds.threads) as pool:  # the kernels run without the GIL
        lifted = pool.map(lambda p: K.coset_ntt(p, size, GENERATOR), rounds.polynomials.values())
        on = dict(zip(rounds.polynomials, lifted, strict=True))
        public = pool.map(lambda u: K.coset_ntt(K.intt(u), size, GENERATOR), varying.values())
        total = _sum([K.mul(on[name], u) for name, u in zip(varying, public, strict=True)])

    # phi(omega X) - phi(X) - total(X) + sigma/n: one step of omega in H is ``blowup`` steps in the coset
    lookup = pow(rho, len(circuit.equations), r)
    identity = _shifted(K.sub(K.roll(on["phi"], blowup), on["phi"]), combination.sigma * inverse(n))
    identity = K.sub(identity, total)
    for g in range(len(circuit.lookup_groups)):
        identity = K.add_scaled(identity, on[f"h[{g}]"], -lookup)

    # + the row identities, by powers of chi that are all different (the order of verifier/argument.py)
    weight = 1
    for g, group in enumerate(circuit.lookup_groups):
        weight = weight * chi % r
        product, derivative = K.constant(1, size), K.constant(0, size)
        for c in group:
            factor = _shifted(on[f"f[{c}]"], beta)
            derivative = K.add(K.mul(derivative, factor), product)
            product = K.mul(product, factor)
        identity = K.add_scaled(identity, K.sub(K.mul(on[f"h[{g}]"], product), derivative), weight)
    digits = circuit.position_digits
    for s in range(circuit.position_segments if digits else 0):
        weight = weight * chi % r
        row = on[f"positions[{s}]"]
        for d in range(digits):
            row = K.add_scaled(row, on[f"f[{circuit.digit_column(s, 0, d)}]"], -(n**d))
            row = K.add_scaled(row, on[f"f[{circuit.digit_column(s, 1, d)}]"], n**d)
        identity = K.add_scaled(identity, row, weight)
    for column in circuit.listed_rows:
        weight = weight * chi % r
        selector = _on_coset(tuple(circuit.selector(column)), size)
        identity = K.add_scaled(identity, K.mul(selector, on[column]), weight)
    if circuit.gates:
        weight = weight * chi % r
        identity = K.add_scaled(identity, K.sub(K.mul(on["A"], on["B"]), on["C"]), weight)

    T = K.coset_intt(K.mul(identity, _vanishing_inverse(n, size)), GENERATOR)
    if any(K.to_ints(K.slice_of(T, length, size))):
        raise ProverError("an identity does not hold on every row: the quotient is not a polynomial")
    for i, part in enumerate(_blinded_pieces(K.slice_of(T, 0, length), n, circuit.shape.pieces, rounds.draw)):
        rounds.polynomials[f"T[{i}]"] = part
    message = Message3(rounds.commit_all([f"T[{i}]" for i in range(circuit.shape.pieces)]))
    return message, rounds.transcript.round3(message)


def _round4(rounds: _Rounds, zeta: int) -> tuple[Message4, int]:
    """Evaluate f_c and A at zeta, phi at omega zeta."""
    p = rounds.polynomials
    message = Message4(
        tuple(K.evaluate(p[name], zeta) for name in rounds.digits),
        K.evaluate(p["phi"], rounds.circuit.domain.omega * zeta % r),
        (K.evaluate(p["A"], zeta),) if rounds.circuit.gates else (),
    )
    return message, rounds.transcript.round4(message)


def _round5(rounds: _Rounds, x: Challenges, values: Message4) -> Message5:
    """Open the linearised identity and every f_c (and A) at zeta, phi at omega zeta."""
    circuit, p = rounds.circuit, rounds.polynomials
    D = linearise(circuit, x, values, public_values(circuit, x))
    D.open_to(values.at_zeta(), x.v)
    size = max(len(p[name]) for name in D.coefficients)
    combined = K.pad(K.from_ints([D.constant]), size)
    for name, coefficient in D.coefficients.items():
        combined = K.add_scaled(combined, K.pad(p[name], size), coefficient)
    p["W"] = _opening(combined, x.zeta, 0)
    p["W'"] = _opening(p["phi"], circuit.domain.omega * x.zeta % r, values.phi_shifted)
    return Message5(*rounds.commit_all(["W", "W'"]))


def _public_polynomials(combination: Combination) -> dict[str, K.FieldVector]:
    """Every U of the combined equation on H, by column."""
    circuit = combination.circuit
    U = {column: K.from_ints(rows) for column, rows in combination.others().items()}
    for kind, segments in combination.sides().items():
        for s, rows in enumerate(segments):
            u = K.from_ints(rows)
            if kind == "positions":
                U[f"positions[{s}]"] = u
                continue
            for d in range(circuit.position_digits):
                U[f"f[{circuit.digit_column(s, SIDES.index(kind), d)}]"] = K.scale(u, circuit.n**d)
    return U


def _blinded(column: K.FieldVector, blinders: list[int]) -> K.FieldVector:
    """Coefficients of p(X) + (b_0 + b_1 X + ...) (X^n - 1) for a column p on H."""
    b = K.from_ints(blinders)
    return K.concatenate(K.sub(K.intt(column), K.pad(b, len(column))), b)


def _blinded_pieces(T: K.FieldVector, n: int, pieces: int, draw: Draw) -> list[K.FieldVector]:
    """T_0 + t_0 X^n, T_1 - t_0 + t_1 X^n, ..., and the rest with its short tail."""
    parts = [K.slice_of(T, i * n, (i + 1) * n) for i in range(pieces - 1)]
    parts.append(K.slice_of(T, (pieces - 1) * n, len(T)))
    seams = [0, *(draw() for _ in range(pieces - 1)), 0]
    blinded = []
    for part, (below, above) in zip(parts, pairwise(seams), strict=True):
        lowered = K.sub(part, K.pad(K.from_ints([below]), len(part)))
        blinded.append(lowered if part is parts[-1] else K.concatenate(lowered, K.from_ints([above])))
    return blinded


def _opening(p: K.FieldVector, z: int, value: int) -> K.FieldVector:
    """(p(X) - value) / (X - z)."""
    quotient, remainder = K.divide_by_linear(p, z)
    if remainder != value:
        raise ProverError("an opening does not divide: the linearised identity is wrong")
    return quotient


def _shifted(vector: K.FieldVector, x: int) -> K.FieldVector:
    return K.add(vector, K.constant(x, len(vector)))


def _sum(vectors: list[K.FieldVector]) -> K.FieldVector:
    total = vectors[0]
    for vector in vectors[1:]:
        total = K.add(total, vector)
    return total


@lru_cache(maxsize=16)
def _on_coset(rows: tuple[int, ...], size: int) -> K.FieldVector:
    """A public column's polynomial on the coset."""
    return K.coset_ntt(K.intt(K.from_ints(rows)), size, GENERATOR)


@lru_cache(maxsize=8)
def _vanishing_inverse(n: int, size: int) -> K.FieldVector:
    """1/Z_H on the coset, where Z_H takes only size / n values."""
    blowup = size // n
    step = pow(GENERATOR, (r - 1) // blowup, r)
    return K.from_ints([inverse(pow(GENERATOR, n, r) * x - 1) for x in powers(step, blowup)] * n)
