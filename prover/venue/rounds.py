"""The prover of venue proofs, round by round: shares answer, the coordinator adds up and draws challenges.

It gives the bytes of the reference prover (prover/venue/reference.py) from the same blinders, whatever the number of
shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np

from zkmargin.crypto.field import GENERATOR, inverse, r
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels import identities as I
from zkmargin.prover._kernels.scalar_field import splat
from zkmargin.prover._kernels.vectors import Blocks, FieldVector
from zkmargin.prover.commit import Job, committer
from zkmargin.prover.polynomials import ProverError, blinded, blinded_pieces, divided, running_sum
from zkmargin.prover.profile import Profile
from zkmargin.prover.venue.blinders import Blinders
from zkmargin.prover.venue.dense_share import DenseShare
from zkmargin.prover.venue.shares import Int64Array, SetColumns, Share, _fractions, _helper_powers
from zkmargin.prover.venue.witness import VenueWitness
from zkmargin.verifier.venue.argument import linearise
from zkmargin.verifier.venue.combine import Combination
from zkmargin.verifier.venue.proof import Aggregates, Columns, Helpers, Openings, Quotient, Values, VenueProof
from zkmargin.verifier.venue.statement import VenueStatement, groups_of
from zkmargin.verifier.venue.transcript import VenueChallenges, VenueTranscript

T = TypeVar("T")
#: The least domain that the kernels transform; below it the reference prover is as fast.
SMALLEST_DOMAIN = 64


class ShareLike(Protocol):
    """A share here, in a thread, or at the other end of a connection."""

    @property
    def count(self) -> int:
        """How many sets it owns."""
        ...

    def commit_columns(self) -> tuple[list[tuple[bytes, ...]], Int64Array]:
        """1: each set's points, and counts of digits."""
        ...

    def aggregates(self, gamma: int) -> list[list[int]]:
        """2: partial Qp, Qm, Qc."""
        ...

    def commit_helpers(self, x: VenueChallenges) -> tuple[list[tuple[bytes, ...]], FieldVector]:
        """3: each set's helpers, and its part of total on H."""
        ...

    def numerators(self, x: VenueChallenges) -> list[Blocks]:
        """4: its part of the numerator of T on each coset."""
        ...

    def values(self, zeta: int) -> list[list[int]]:
        """5: each set's values."""
        ...

    def combined(self, weights: Sequence[Sequence[int]], helper_weights: Sequence[Sequence[int]]) -> FieldVector:
        """6: its part of the opening's polynomial."""
        ...


def share_sets(statement: VenueStatement, witness: VenueWitness, count: int) -> list[list[SetColumns]]:
    """The column sets dealt out to so many shares, in order; no share is empty unless there are too few sets."""
    n = statement.n
    every = [
        SetColumns(
            place=x,
            ids=witness.classes[x.kind].ids[x.local].reshape(-1, n),
            group=witness.classes[x.kind].group[x.local].reshape(n),
            digits=witness.classes[x.kind].digits[x.local].reshape(-1, n),
        )
        for x in statement.sets
    ]
    bounds = [len(every) * i // count for i in range(count + 1)]
    return [every[start:stop] for start, stop in pairwise(bounds)]


class Coordinator:
    """Rounds over shares.

    Args:
        statement: what is proved.
        witness: of what no share owns: tags, the cap's column, dense accounts.
        shares: in the order of their sets; together they own all.
        blinders: of the columns that the coordinator commits.
        threads: how many shares answer at the same time.
    """

    def __init__(
        self,
        statement: VenueStatement,
        witness: VenueWitness,
        shares: Sequence[ShareLike],
        blinders: Blinders,
        *,
        threads: int = 1,
        profile: Profile | None = None,
    ) -> None:
        self.statement, self.witness, self.shares = statement, witness, list(shares)
        self.blinders, self.threads = blinders, threads
        self.profile = profile or Profile()
        self.lifting = I.lifting(statement.n, 1 << statement.g.bit_length())
        self.bases = committer(statement.srs, statement.n)
        self.on_H: dict[str, FieldVector] = {}
        self.polynomials: dict[str, FieldVector] = {}
        self.jobs: dict[str, Job] = {}
        self.transcript = VenueTranscript(statement)
        self.digits: dict[str, Int64Array] = {}
        self.dense = DenseShare(statement, witness.dense, witness.blinders, blinders, threads)

    def prove(self) -> VenueProof:
        """All messages.

        Raises:
            ProverError: the witness does not satisfy the statement, or a share answered wrongly.
        """
        with self.profile.stage("1: columns, multiplicities"):
            columns = self._columns()
            gamma = self.transcript.round1(columns, columns.leaves(self.statement))
        with self.profile.stage("2: aggregated books"):
            aggregates = self._aggregates(gamma)
            beta, delta, eta, rho = self.transcript.round2(aggregates)
        x = VenueChallenges(gamma, beta, delta, eta, rho)
        with self.profile.stage("3: helpers, running sum"):
            combination = Combination(self.statement, x)
            helpers = self._helpers(combination)
            chi = self.transcript.round3(helpers)
        x = VenueChallenges(gamma, beta, delta, eta, rho, chi)
        with self.profile.stage("4: quotient"):
            quotient = self._quotient(Combination(self.statement, x))
            zeta = self.transcript.round4(quotient)
        with self.profile.stage("5: evaluations"):
            values = self._values(zeta)
            v = self.transcript.round5(values)
        x = VenueChallenges(gamma, beta, delta, eta, rho, chi, zeta, v)
        with self.profile.stage("6: openings"):
            unopened = VenueProof(columns, aggregates, helpers, quotient, values, Openings(b"", b""))
            openings = self._openings(x, unopened)
        return VenueProof(columns, aggregates, helpers, quotient, values, openings)

    def _ask(self, question: Callable[[ShareLike], T]) -> list[T]:
        """All shares' answers, in order; several shares work at the same time (the kernels run without the GIL)."""
        if self.threads == 1 or len(self.shares) == 1:
            return [question(share) for share in self.shares]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(question, self.shares))

    def _interpolate(self, name: str, blinders: int, integers: Int64Array | None = None) -> None:
        b = self.blinders(name, blinders)
        self.polynomials[name] = blinded(self.on_H[name], b)
        if integers is not None:
            self.jobs[name] = self.bases.column(integers, b)

    def _own_digits(self) -> list[str]:
        """Digit columns that nobody but the coordinator owns: the cap's."""
        return [name for owner, mine in self.digits.items() for name in self.statement.digit_names(owner, len(mine))]

    def _commit(self, names: Iterable[str]) -> tuple[bytes, ...]:
        jobs = [self.jobs.get(name) or self.bases.polynomial(self.polynomials[name]) for name in names]
        return self.bases.commit(jobs, self.threads) if jobs else ()

    # --- rounds -------------------------------------------------------------------------------------------

    def _columns(self) -> Columns:
        statement, witness, n = self.statement, self.witness, self.statement.n
        answers = self._ask(lambda share: share.commit_columns())
        counts = np.zeros(1 << statement.k, dtype=np.int64)
        for _, found in answers:
            counts += found
        for j, tags in enumerate(witness.tags):
            self.on_H[f"tag {j}"] = K.from_ints(tags)
            self._interpolate(f"tag {j}", 1)
        if witness.extra is not None:
            self.digits["extra"] = witness.extra[None]
        dense, found = self.dense.commit_columns()
        counts += found
        for owner, columns in self.digits.items():
            counts += np.bincount(columns.reshape(-1), minlength=len(counts))
            for name, column in zip(statement.digit_names(owner, len(columns)), columns, strict=True):
                self.on_H[name] = K.from_int64(column)
                self._interpolate(name, 2, np.ascontiguousarray(column))
        for m in range(statement.tables):
            mu = np.ascontiguousarray(counts[m * n : (m + 1) * n])
            self.on_H[f"mu {m}"] = K.from_int64(mu)
            self._interpolate(f"mu {m}", 1, mu)
        return Columns(
            columns=tuple(point for points, _ in answers for row in points for point in row),
            tags=self._commit(f"tag {j}" for j in range(statement.tag_columns)),
            extra=self._commit(self._own_digits()),
            dense=dense,
            mu=self._commit(f"mu {m}" for m in range(statement.tables)),
        )

    def _aggregates(self, gamma: int) -> Aggregates:
        statement, n = self.statement, self.statement.n
        answers = self._ask(lambda share: share.aggregates(gamma))
        for j, kind in enumerate(("Qp", "Qm", "Qc")):
            total = [sum(row) % r for row in zip(*(answer[j] for answer in answers), strict=True)]
            total = total or [0] * statement.rules.instruments
            for s in range(statement.segments):
                rows = total[s * (n - 1) : (s + 1) * (n - 1)]
                self.on_H[f"{kind} {s}"] = K.from_ints(rows + [0] * (n - len(rows)))
        for name in statement.aggregates:
            self._interpolate(name, 1)
        return Aggregates(self._commit(statement.aggregates))

    def _helpers(self, combination: Combination) -> Helpers:
        statement, x, n = self.statement, combination.x, self.statement.n
        answers = self._ask(lambda share: share.commit_helpers(x))
        points = [point for rows, _ in answers for row in rows for point in row]
        table = I.rows_of(_fractions(x.beta, 1 << statement.k))
        own = []
        for owner, columns in self.digits.items():
            for j, places in enumerate(groups_of(len(columns), statement.g)):
                out = self.lifting.zeros()
                I.gather_sum(out, table, np.ascontiguousarray(columns[places.start : places.stop], dtype=np.int64))
                self.on_H[f"{owner} h {j}"] = FieldVector(out, n)
                self._interpolate(f"{owner} h {j}", 1)
                own.append(f"{owner} h {j}")
        self.public = self._public(combination)
        total = K.constant(0, n)
        for _, part in answers:
            total = K.add(total, part)
        for name, U in self.public.items():
            total = K.add(total, K.mul(self.on_H[name], U))
        ranged = combination.rho[statement.exponents.range]
        for name in own:
            total = K.add_scaled(total, self.on_H[name], ranged)
        dense, part = self.dense.commit_helpers(combination)
        total = K.add(total, part)
        self.sigma_n = combination.sigma() * inverse(n) % r
        self.on_H["phi"] = running_sum(K.sub(total, K.constant(self.sigma_n, n)))
        self._interpolate("phi", 3)
        self.own_helpers = own
        return Helpers((*points, *self._commit(own), *dense), *self._commit(["phi"]))

    def _public(self, combination: Combination) -> dict[str, FieldVector]:
        """U on H of every column that no share owns."""
        statement, n, x = self.statement, self.statement.n, combination.x
        found: dict[str, FieldVector] = {}
        for kind, rows in zip(("Qp", "Qm", "Qc"), combination.aggregates(), strict=True):
            for s in range(statement.segments):
                part = rows[s * (n - 1) : (s + 1) * (n - 1)]
                found[f"{kind} {s}"] = K.from_ints(part + [0] * (n - len(part)))
        fractions = _fractions(x.beta, 1 << statement.k)
        lookup = -combination.rho[statement.exponents.range]
        for m in range(statement.tables):
            found[f"mu {m}"] = K.scale(K.slice_of(fractions, m * n, (m + 1) * n), lookup)
        if statement.extra:
            found["extra digit 0"] = K.from_ints(combination.cap_column())
        return found

    def _quotient(self, combination: Combination) -> Quotient:
        statement, lifting, n, x = self.statement, self.lifting, self.statement.n, combination.x
        answers = self._ask(lambda share: share.numerators(x))
        parts = [lifting.zeros() for _ in lifting.cosets]
        chi = _helper_powers(statement, x.chi)
        for answer in (*answers, self.dense.numerators(x, chi)):
            for part, mine in zip(parts, answer, strict=True):
                I.accumulate(part, mine, I.ONE)
        ranged = combination.rho[statement.exponents.range]
        phi = self.polynomials["phi"]
        turned = K.mul(phi, K.powers(statement.domain.omega, len(phi)))
        interpolated = {name: K.intt(U) for name, U in self.public.items()}

        def finish(j: int) -> Blocks:
            """T on one coset: everything that no share owns is added, and Z_H, a constant there, divided out."""
            part, coset, shift = FieldVector(parts[j], n), lifting.cosets[j], lifting.shifts[j]
            shifts = FieldVector(coset.shifts, n)

            def on(p: FieldVector) -> FieldVector:
                return _fold(p, n, shift, shifts)

            part = K.add(part, K.sub(on(turned), on(phi)))
            part = K.add(part, K.constant(self.sigma_n, n))
            for name, U in interpolated.items():
                part = K.sub(part, K.mul(on(self.polynomials[name]), on(U)))
            blocks, beta = part.memory, splat(x.beta)
            for owner, columns in self.digits.items():
                names = statement.digit_names(owner, len(columns))
                for i, places in enumerate(groups_of(len(columns), statement.g)):
                    helper = on(self.polynomials[f"{owner} h {i}"])
                    values = np.concatenate([*(on(self.polynomials[names[c]]).memory for c in places), helper.memory])
                    weight = splat(chi[f"{owner} h {i}"])
                    I.range_identity(blocks, values, 0, len(places), len(places), beta, weight, I.ONE)
                    I.accumulate(blocks, helper.memory, splat(-ranged % r))
            return K.scale(FieldVector(blocks, n), coset.inverse_vanishing).memory

        if self.threads == 1:
            values = [finish(j) for j in range(lifting.count)]
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                values = list(pool.map(finish, range(lifting.count)))
        T = K.coset_intt(_interleaved(values, n), GENERATOR)
        length = statement.g * (n + 1) + 1
        if any(K.to_ints(K.slice_of(T, length, len(T)))):
            raise ProverError("an identity does not hold on every row: the quotient is not a polynomial")
        self._pieces(K.slice_of(T, 0, length))
        return Quotient(self._commit(f"T {i}" for i in range(statement.g)))

    def _pieces(self, quotient: FieldVector) -> None:
        """T in g pieces, the last with the tail, with blinded seams."""
        n, g = self.statement.n, self.statement.g
        bounds = [*range(0, g * n, n), len(quotient)]
        pieces = [K.slice_of(quotient, start, stop) for start, stop in pairwise(bounds)]
        seams = (self.blinders(f"T {i}", 1)[0] for i in range(g - 1))
        for i, piece in enumerate(blinded_pieces(pieces, lambda: next(seams))):
            self.polynomials[f"T {i}"] = piece

    def _values(self, zeta: int) -> Values:
        answers = self._ask(lambda share: share.values(zeta))
        found = [value for rows in answers for row in rows for value in row]
        found += [K.evaluate(self.polynomials[name], zeta) for name in self._own_digits()]
        found += self.dense.values(zeta)
        shifted = self.statement.domain.omega * zeta % r
        return Values(tuple(found), K.evaluate(self.polynomials["phi"], shifted))

    def _openings(self, x: VenueChallenges, proof: VenueProof) -> Openings:
        statement = self.statement
        F, dense = linearise(statement, x, proof)  # y is 0: the openings of phi come apart
        coefficients = iter([int(c) for c in F.scalars])

        def take(count: int) -> list[int]:
            return [next(coefficients) for _ in range(count)]

        weights = [take(len(statement.set_columns(place))) for place in statement.sets]
        in_sets = sum(map(len, weights))
        names = [f"tag {j}" for j in range(statement.tag_columns)]
        names += [*statement.opened[in_sets:], *(f"mu {m}" for m in range(statement.tables)), *statement.aggregates]
        own = dict(zip(names, take(len(names)), strict=True))
        helper_weights = []
        for place in statement.sets:
            template = statement.templates[place.kind]
            count = len(groups_of(template.digit_columns, statement.g)) + len(groups_of(template.row_legs, statement.g))
            helper_weights.append(take(count))
        last = [*self.own_helpers, *self.dense.helper_names, "phi", *(f"T {i}" for i in range(statement.g))]
        own |= dict(zip(last, take(len(last)), strict=True))
        own |= dense
        kept = self.dense.combined({name: own.pop(name) for name in self.dense.weighted_names})
        shares, at = [], 0
        for share in self.shares:
            count = share.count
            shares.append((share, weights[at : at + count], helper_weights[at : at + count]))
            at += count
        parts = [*self._ask_each(shares), kept]
        size = statement.n + max(3, statement.g + 1)  # phi, or the last piece of T
        combined = K.pad(K.from_ints([int(F.constant)]), size)
        for part in parts:
            combined = K.add(combined, K.pad(part, size))
        for name, c in own.items():
            if c:
                combined = K.add_scaled(combined, K.pad(self.polynomials[name], size), c)
        self.polynomials["W"] = divided(combined, x.zeta, 0)
        omega_zeta = statement.domain.omega * x.zeta % r
        self.polynomials["W'"] = divided(self.polynomials["phi"], omega_zeta, proof.values.phi_shifted)
        openings = Openings(*self._commit(["W", "W'"]))
        self.transcript.round6(openings)
        return openings

    def _ask_each(self, questions: list[tuple[ShareLike, list[list[int]], list[list[int]]]]) -> list[FieldVector]:
        if self.threads == 1:
            return [share.combined(weights, helpers) for share, weights, helpers in questions]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(lambda q: q[0].combined(q[1], q[2]), questions))


def _fold(p: FieldVector, n: int, shift: int, shifts: FieldVector) -> FieldVector:
    """Values on the coset shift H, where X^n is the constant shift^n, of a polynomial with a tail."""
    head = K.slice_of(p, 0, min(n, len(p)))
    if len(p) > n:
        tail = K.slice_of(p, n, len(p))
        head = K.add_scaled(head, K.pad(tail, n), pow(shift, n, r))
    return K.ntt(K.mul(K.pad(head, n), shifts))


def _interleaved(values: Sequence[Blocks], n: int) -> FieldVector:
    """Values on the cosets 7 w^j H, j < count, as values on 7 <w>: place j + count i."""
    rows = np.stack([I.rows_of(FieldVector(blocks, n)) for blocks in values], axis=1)
    flat = rows.reshape(-1, rows.shape[2])
    blocks = np.ascontiguousarray(flat.reshape(-1, 8, flat.shape[1]).transpose(0, 2, 1))
    return FieldVector(blocks, len(flat))


def prove_rounds(
    statement: VenueStatement,
    witness: VenueWitness,
    blinders: Blinders,
    *,
    threads: int = 1,
    profile: Profile | None = None,
) -> VenueProof:
    """A proof by shares in threads of this process.

    Raises:
        ProverError: the witness does not satisfy the statement.
    """
    dealt = share_sets(statement, witness, max(1, min(threads, len(statement.sets))))
    shares = [Share(statement, sets, blinders) for sets in dealt]
    coordinator = Coordinator(statement, witness, shares, blinders, threads=threads, profile=profile)
    return coordinator.prove()
