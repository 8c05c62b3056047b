"""The prover, round by round (docs/protocol.md section 4). The algebra on vectors is done by kernels (``K``).

Every blinder comes from ``draw``, in the order in which the protocol names them, so that the reference prover
(prover/reference.py) gives the same bytes from the same randomness.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import Column, Int64Array
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.prover import _kernels as K
from zkmargin.prover.commit import Committer, Job, committer, compressed
from zkmargin.prover.polynomials import ProverError, blinded, blinded_pieces, divided, running_sum, shifted
from zkmargin.prover.profile import Profile
from zkmargin.prover.public import OwnValues, PublicPolynomials, selector_on
from zkmargin.verifier.argument import Challenges, PublicValues, linearise
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Message5, Proof
from zkmargin.verifier.statement import Instance
from zkmargin.verifier.transcript import MarginTranscript

#: A blinder source. The product passes the operating system's generator and nothing else.
Draw = Callable[[], int]
T = TypeVar("T")
#: Cosets that determine a product of two polynomials over Z_H, where it is a multiple.
_PRODUCT = 2


@dataclass(repr=False)
class _Rounds:
    """What one round hands to the next: columns on H and polynomials (monomial basis), by name. Secret."""

    statement: Instance
    draw: Draw
    threads: int
    pool: ThreadPoolExecutor | None
    transcript: MarginTranscript
    committer: Committer
    columns: dict[str, K.FieldVector] = field(default_factory=dict)
    polynomials: dict[str, K.FieldVector] = field(default_factory=dict)
    integers: dict[str, Int64Array] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    coordinates: dict[bytes, bytes] = field(default_factory=dict)  # x || y of each point of the proof, by its encoding
    profile: Profile = field(default_factory=Profile)

    @property
    def circuit(self) -> Circuit:
        return self.statement.circuit

    @property
    def digits(self) -> list[str]:
        """Names of the digit columns f_c."""
        return [f"f[{c}]" for c in range(self.circuit.digit_columns)]

    def interpolate(self, name: str, blinders: int, integers: Int64Array | None = None, common: int = 0) -> None:
        """The polynomial of a column: p(X) + (b_0 + b_1 X + ...) Z_H(X) with fresh blinders.

        Quicker to commit are a column of integers, given as such, and one with many rows of a ``common`` value.
        """
        b = [self.draw() for _ in range(blinders)]
        self.polynomials[name] = blinded(self.columns[name], b)
        if integers is not None:
            self.integers[name] = integers
        self.jobs[name] = self.committer.column(self.columns[name] if integers is None else integers, b, common)

    def map(self, function: Callable[[int], T], items: Sequence[int]) -> list[T]:
        """The function of every item, shared among the threads: the kernels run without the interpreter's lock."""
        if self.pool is None:
            return [function(item) for item in items]
        mine, others = items[:: self.threads], [i for i in items if (i - items[0]) % self.threads]
        running = {i: self.pool.submit(function, i) for i in others}
        found = {i: function(i) for i in mine}
        return [found[i] if i in found else running[i].result() for i in items]

    def commit_all(self, names: Sequence[str]) -> tuple[bytes, ...]:
        """Commitments of named polynomials, encoded."""
        jobs = [self.jobs.get(name) or self.committer.polynomial(self.polynomials[name]) for name in names]
        self.profile.msms += [(name, sum(len(x) for _, x in job)) for name, job in zip(names, jobs, strict=True)]
        points = self.committer.points(jobs, self.threads, self.pool)
        encoded = tuple(map(compressed, points))
        self.coordinates |= zip(encoded, points, strict=True)
        return encoded


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
    return prove_with_values(statement, witness, blinders, draw, threads=threads, profile=profile)[0]


def prove_with_values(
    statement: Instance,
    witness: Witness,
    blinders: Mapping[Column, int],
    draw: Draw,
    *,
    threads: int = 1,
    profile: Profile | None = None,
) -> tuple[Proof, OwnValues]:
    """``prove_argument``, and what a self-check need not compute again."""
    circuit, profile = statement.circuit, profile or Profile()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(threads - 1)) if threads > 1 else None
        with profile.stage("columns"):
            bases = committer(statement.srs, circuit.n)
            rounds = _Rounds(statement, draw, threads, pool, MarginTranscript(statement), bases, profile=profile)
            columns = witness.columns(circuit)
            for column, rows in columns.items():
                rounds.columns[column] = K.from_ints(rows) if isinstance(rows, list) else K.from_int64(rows)
                if column in blinders:
                    rounds.polynomials[column] = blinded(rounds.columns[column], [blinders[column]])
        with profile.stage("1: digits, multiplicities"):
            message1, beta, rho = _round1(rounds, columns)
        with profile.stage("2: helpers, running sum"):
            message2, chi, public = _round2(rounds, beta, rho)
        with profile.stage("3: quotient"):
            message3, zeta = _round3(rounds, public, chi)
        with profile.stage("4: evaluations"):
            message4, v = _round4(rounds, zeta)
        with profile.stage("5: openings"):
            x = Challenges(beta, rho, chi, zeta, v, y=0)
            own = OwnValues(x, public.values_at(zeta), rounds.coordinates)
            message5 = _round5(rounds, x, message4, own.values)
    return Proof(message1, message2, message3, message4, message5), own


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


def _round2(rounds: _Rounds, beta: int, rho: int) -> tuple[Message2, int, PublicPolynomials]:
    """Commit the helpers h_g = sum_c 1/(beta + f_c) and the running sum phi of ``total``."""
    circuit, n, columns = rounds.circuit, rounds.circuit.n, rounds.columns
    public = PublicPolynomials.of(circuit, beta, rho)
    helpers = []
    for g, group in enumerate(circuit.lookup_groups):
        columns[f"h[{g}]"] = _helper([f"f[{c}]" for c in group], rounds, beta, public.table)
        helpers.append(f"h[{g}]")

    # total = sum_j rho^j (equation j) + rho^J (sum_g h_g - mu w),  w = 1/(beta + i)
    total = public.total(columns, public.on_H, public.sides(columns))
    total = K.linear([(total, 1), *((columns[name], public.lookup) for name in helpers)])

    # phi(1) = 0, phi(omega X) - phi(X) = total(X) - sigma/n on H
    columns["phi"] = running_sum(shifted(total, -public.sigma * inverse(n)))

    for name, group in zip(helpers, circuit.lookup_groups, strict=True):
        rounds.interpolate(name, 1, None, len(group) * inverse(beta) % r)  # of every row whose digits are 0
    rounds.interpolate("phi", 3)
    *h, phi = rounds.commit_all([*helpers, "phi"])
    message = Message2(tuple(h), phi)
    return message, rounds.transcript.round2(message), public


def _helper(names: Sequence[str], rounds: _Rounds, beta: int, table: K.FieldVector) -> K.FieldVector:
    """sum_c 1/(beta + f_c): looked up in the table of 1/(beta + i) where the digits are at hand as integers."""
    if all(name in rounds.integers for name in names):
        return K.gathered(table, np.stack([rounds.integers[name] for name in names]))
    return K.linear([(K.batch_inverse(shifted(rounds.columns[name], beta)), 1) for name in names])


def _round3(rounds: _Rounds, public: PublicPolynomials, chi: int) -> tuple[Message3, int]:
    """Commit the quotient T of all identities by Z_H, in pieces with blinded seams."""
    T, exact = _quotient(rounds, public, chi, apart=True)
    if not exact:  # none of a witness that satisfies the circuit; what counts is the sum of all
        T, exact = _quotient(rounds, public, chi, apart=False)
    if not exact:
        raise ProverError("an identity does not hold on every row: the quotient is not a polynomial")
    for i, part in enumerate(blinded_pieces(T, rounds.draw)):
        rounds.polynomials[f"T[{i}]"] = part
    message = Message3(rounds.commit_all([f"T[{i}]" for i in range(len(T))]))
    return message, rounds.transcript.round3(message)


def _quotient(rounds: _Rounds, public: PublicPolynomials, chi: int, *, apart: bool) -> tuple[list[K.FieldVector], bool]:
    """T in pieces of n coefficients, the last with a few more; and whether it is one: T Z_H is the sum of identities.

    Args:
        apart: each identity is a multiple of Z_H by itself, so each is divided with as many cosets as it needs.
    """
    n, pieces = rounds.circuit.n, rounds.circuit.shape.pieces
    cosets, U = K.Cosets.of(n, pieces + 1), public.coefficients

    def numerators(j: int) -> dict[int, K.FieldVector]:
        return _numerators(rounds.polynomials, U, public, chi, j, cosets, apart=apart)

    found = rounds.map(numerators, range(pieces + 1))
    T, exact = [K.constant(0, n)] * (pieces + 1), True
    for count in found[0]:
        parts = cosets.quotient([on[count] for on in found[:count]])
        # of degree <= (count - 1) (n + 1): all but the last coefficients of the last piece vanish
        exact = exact and K.is_zero(K.slice_of(parts[-1], count, n))
        T[:count] = map(K.add, T, parts)
    tail = K.slice_of(T.pop(), 0, pieces + 1)
    return [*T[:-1], K.concatenate(T[-1], tail)], exact


def _numerators(
    polynomials: Mapping[str, K.FieldVector],
    coefficients: Mapping[str, K.FieldVector],
    public: PublicPolynomials,
    chi: int,
    j: int,
    cosets: K.Cosets,
    *,
    apart: bool,
) -> dict[int, K.FieldVector]:
    """T Z_H on coset j: every identity, by powers of chi that are all different (as in verifier/argument.py).

    A multiple of Z_H of degree about k n is determined by k cosets: a product of two polynomials by two of them, the
    lookup of g columns by g + 1.

    Returns:
        The sum of the identities that take so many cosets, for every such number above j; of all if not ``apart``.
    """
    circuit, most = public.circuit, len(cosets.shifts)
    product = _PRODUCT if apart else most
    groups = [
        (len(group) + 1 if apart else most, f"h[{g}]", [f"f[{c}]" for c in group])
        for g, group in enumerate(circuit.lookup_groups)
    ]
    if j < product:
        names = list(polynomials)
    else:
        coefficients = {}
        names = [name for count, helper, columns in groups if j < count for name in (helper, *columns)]
    values = cosets.values([*(polynomials[name] for name in names), *coefficients.values()], j)
    on, U = dict(zip(names, values, strict=False)), dict(zip(coefficients, values[len(names) :], strict=True))

    terms: defaultdict[int, list[tuple[K.FieldVector, int]]] = defaultdict(list)
    weights = iter(powers(chi, 2 + len(groups) + circuit.position_segments + len(circuit.listed_rows))[1:])
    for (count, helper, columns), weight in zip(groups, weights, strict=False):
        if j < count:
            terms[count].append((K.lookup_row(on[helper], [on[f] for f in columns], public.beta), weight))
    if j < product:
        terms[product] += _products(on, U, public, weights, j, cosets)
    return {count: K.linear(terms[count]) for count in sorted(terms)}


def _products(
    on: Mapping[str, K.FieldVector],
    U: Mapping[str, K.FieldVector],
    public: PublicPolynomials,
    weights: Iterator[int],
    j: int,
    cosets: K.Cosets,
) -> list[tuple[K.FieldVector, int]]:
    """The identities that multiply no more than two polynomials, as terms of a sum; columns and U on coset j."""
    circuit, n = public.circuit, public.circuit.n
    sides = public.sides(on)
    # phi(omega X) - phi(X) - total(X) + sigma/n: omega H = H
    terms = [(K.roll(on["phi"], 1), 1), (on["phi"], -1), (public.total(on, U, sides), -1)]
    terms.append((K.constant(1, n), public.sigma * inverse(n)))
    terms += [(on[f"h[{g}]"], -public.lookup) for g in range(len(circuit.lookup_groups))]
    for s in range(circuit.position_segments if circuit.position_digits else 0):
        weight = next(weights)
        terms += [(on[f"positions[{s}]"], weight), (sides[f"long[{s}]"], -weight), (sides[f"short[{s}]"], weight)]
    for column in circuit.listed_rows:
        terms.append((K.mul(selector_on(circuit, column, j, cosets), on[column]), next(weights)))
    if circuit.gates:
        weight = next(weights)
        terms += [(K.mul(on["A"], on["B"]), weight), (on["C"], -weight)]
    return terms


def _round4(rounds: _Rounds, zeta: int) -> tuple[Message4, int]:
    """Evaluate f_c and A at zeta, phi at omega zeta."""
    p, gates = rounds.polynomials, ["A"] if rounds.circuit.gates else []
    values = K.evaluate_many([p[name] for name in [*rounds.digits, *gates]], zeta)
    count = len(rounds.digits)
    phi_shifted = K.evaluate(p["phi"], rounds.circuit.domain.omega * zeta % r)
    message = Message4(tuple(values[:count]), phi_shifted, tuple(values[count:]))
    return message, rounds.transcript.round4(message)


def _round5(rounds: _Rounds, x: Challenges, values: Message4, public: PublicValues) -> Message5:
    """Open the linearised identity and every f_c (and A) at zeta, phi at omega zeta."""
    circuit, p = rounds.circuit, rounds.polynomials
    D = linearise(circuit, x, values, public)
    D.open_to(values.at_zeta(), x.v)
    one = K.from_ints([1])
    combined = K.linear([(one, D.constant), *((p[name], c) for name, c in D.coefficients.items())])
    p["W"] = divided(combined, x.zeta, 0)
    p["W'"] = divided(p["phi"], circuit.domain.omega * x.zeta % r, values.phi_shifted)
    return Message5(*rounds.commit_all(["W", "W'"]))
