"""A share of a venue proof: some column sets, and the answers to each round (docs/protocol-venue.md section 8).

Every message of the proof is a sum, or a list, over column sets: so are the answers of shares. A share knows the
statement and its own sets, and derives everything else from the challenges. Its answers are unblinded functions of
books, but for the points: they go to the coordinator and nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.venue import BlockTemplate
from zkmargin.crypto.exact import int_matvec
from zkmargin.crypto.field import powers, r
from zkmargin.crypto.scalars import lagrange_at
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels import identities as I
from zkmargin.prover._kernels.scalar_field import splat
from zkmargin.prover._kernels.vectors import Blocks, FieldVector
from zkmargin.prover.commit import committer
from zkmargin.prover.polynomials import with_tail
from zkmargin.prover.venue.blinders import Blinders
from zkmargin.verifier.venue.combine import Combination
from zkmargin.verifier.venue.statement import ColumnSet, VenueStatement, groups_of
from zkmargin.verifier.venue.transcript import VenueChallenges

Int64Array = npt.NDArray[np.int64]
#: Column sets that are opened at a time: bounds the memory of exact products.
CHUNK = 16


@dataclass(repr=False)
class SetColumns:
    """The columns of one set: ids, the group, digits; [columns, n] small integers each."""

    place: ColumnSet
    ids: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]
    digits: npt.NDArray[Any]

    def stacked(self) -> Int64Array:
        """All of them, int64 [opened columns, n]."""
        return np.concatenate([self.ids, self.group[None], self.digits]).astype(np.int64)


@dataclass(frozen=True, repr=False)
class TemplateRows:
    """A template on H, offsets of gamma at 0.

    Attributes:
        columns: for each family the numbers of the digit columns (the group is the last) that it reads.
        values: for each family those columns' coefficients, one after another.
        slot, account: Gs and Ga.
    """

    columns: tuple[list[int], list[int], list[int]]
    values: tuple[Blocks, Blocks, Blocks]
    slot: Blocks
    account: Blocks


class Share:
    """Some column sets of a statement.

    Args:
        statement: what is proved.
        sets: the columns of the sets that this share owns.
        blinders: of its columns and helpers, by name.
    """

    def __init__(self, statement: VenueStatement, sets: Sequence[SetColumns], blinders: Blinders) -> None:
        self.statement, self.sets, self.blinders = statement, list(sets), blinders
        cosets = 1 << statement.g.bit_length()
        self.lifting = I.lifting(statement.n, cosets)
        self.helpers: list[Blocks] = []
        self._templates: dict[tuple[int, int], TemplateRows] = {}

    @property
    def count(self) -> int:
        """How many sets it owns."""
        return len(self.sets)

    def _template(self, place: ColumnSet) -> BlockTemplate:
        return self.statement.templates[place.kind]

    # --- round 1 ------------------------------------------------------------------------------------------

    def commit_columns(self) -> tuple[list[tuple[bytes, ...]], Int64Array]:
        """For each set its columns' points, and how often each value occurs in all digit columns."""
        bases = committer(self.statement.srs, self.statement.n)
        counts = np.zeros(1 << self.statement.k, dtype=np.int64)
        found = []
        for mine in self.sets:
            names = self.statement.set_columns(mine.place)
            jobs = [
                bases.column(column, self.blinders(name, 2)) for name, column in zip(names, mine.stacked(), strict=True)
            ]
            found.append(bases.commit(jobs, 1))
            counts += np.bincount(mine.digits.reshape(-1), minlength=len(counts))
        return found, counts

    # --- round 2 ------------------------------------------------------------------------------------------

    def aggregates(self, gamma: int) -> list[list[int]]:
        """[3][N] this share's part of Qp, Qm and Qc."""
        statement = self.statement
        digits = max((template.position_digits for template in statement.templates), default=1)
        sums = np.zeros((3, digits, statement.rules.instruments, _WEIGHT_LIMBS + 2), dtype=np.int64)
        for mine in self.sets:
            self._add_aggregates(mine, gamma, sums)
            _carry(sums)
        parts = [[[_value(row) for row in rows] for rows in part] for part in sums.tolist()]
        return [
            [sum(x << (statement.k * d) for d, x in enumerate(of)) % r for of in zip(*part, strict=True)]
            for part in parts
        ]

    def _add_aggregates(self, mine: SetColumns, gamma: int, sums: Int64Array) -> None:
        template, place = self._template(mine.place), mine.place
        T, V, spec, D = template.T, template.V, template.spec, template.position_digits
        slot_step = K.scale(K.powers(gamma, T * spec.slots), pow(gamma, place.slot_exponent, r))
        account_step = K.scale(K.powers(gamma, T), pow(gamma, place.account_exponent, r))
        slots = _weight_limbs(slot_step).reshape(T, spec.slots, _WEIGHT_LIMBS)
        accounts = _weight_limbs(account_step)
        rows = spec.slots * V
        digits = mine.digits.reshape(-1, spec.block, T)[: template.packed_offset, :rows]
        ids = mine.ids.reshape(-1, spec.block, T)[:, :rows]
        for l in range(template.row_legs):
            for side in (0, 1):
                for d in range(D):
                    cells = digits[(2 * l + side) * D + d]
                    b, t = np.nonzero(cells)
                    if not len(b):
                        continue
                    values, at = cells[b, t].astype(np.float64), ids[l][b, t]
                    _scatter(sums[side, d], at, values, slots[t, b // V])
                    if template.claimed:
                        _scatter(sums[2, d], at, values if side == 0 else -values, accounts[t])

    # --- round 3 ------------------------------------------------------------------------------------------

    def commit_helpers(self, x: VenueChallenges) -> tuple[list[tuple[bytes, ...]], FieldVector]:
        """For each set its helpers' points, and this share's part of ``total`` on H."""
        statement, lifting = self.statement, self.lifting
        combination = Combination(statement, x)
        n, m = statement.n, lifting.m
        table = I.rows_of(_fractions(x.beta, 1 << statement.k))
        inverses = I.rows_of(K.from_ints(combination.table)) if combination.table else np.zeros((1, 5), np.uint64)
        sums: dict[tuple[int, int], list[Blocks]] = {}
        total = lifting.zeros()
        bases = committer(statement.srs, n)
        ranged, weighted = (
            splat(combination.rho[e]) for e in (statement.exponents.range, statement.exponents.weighted)
        )
        found = []
        self.helpers = []
        for mine in self.sets:
            template, owner = self._template(mine.place), f"set {mine.place.index}"
            key = mine.place.kind, mine.place.used
            rows = self._rows(combination, *key)
            digits = lifting.integers(mine.digits)
            group = lifting.integers(mine.group[None])
            self._accumulate(sums, key, mine.place, x, np.concatenate([digits, group]))
            helpers = []
            for places in groups_of(template.digit_columns, statement.g):
                out = lifting.zeros()
                I.gather_sum(out, table, mine.digits[places.start : places.stop].astype(np.int64))
                I.accumulate(total, out, ranged)
                helpers.append(out)
            numerators = self._numerators(template, mine.place, combination, digits, rows.slot, rows.account)
            ids = mine.ids.astype(np.int64)
            for places in groups_of(template.row_legs, statement.g):
                out = lifting.zeros()
                I.gathered_products(out, inverses, ids, numerators, places.start, len(places))
                I.accumulate(total, out, weighted)
                helpers.append(out)
            stacked = np.concatenate(helpers)
            self.helpers.append(stacked)
            coefficients = lifting.interpolate(stacked)
            jobs = []
            for j, name in enumerate(self._helper_names(owner, template)):
                p = FieldVector(coefficients[j * m : (j + 1) * m], n)
                jobs.append(bases.polynomial(with_tail(p, self.blinders(name, 1))))
            found.append(bases.commit(jobs, 1))
        for key, families in sums.items():
            rows = self._rows(combination, *key)
            for family, read in enumerate(rows.columns):
                I.add_products(total, _chosen(families[family], read, m), rows.values[family])
        return found, FieldVector(total, n)

    def _helper_names(self, owner: str, template: BlockTemplate) -> list[str]:
        ranges = len(groups_of(template.digit_columns, self.statement.g))
        legs = len(groups_of(template.row_legs, self.statement.g))
        return [f"{owner} h {j}" for j in range(ranges)] + [f"{owner} v {j}" for j in range(legs)]

    def _accumulate(
        self,
        sums: dict[tuple[int, int], list[Blocks]],
        key: tuple[int, int],
        place: ColumnSet,
        x: VenueChallenges,
        columns: Blocks,
    ) -> None:
        """Columns of all sets of one template, weighted by each family's power of gamma: U is applied once to them."""
        if key not in sums:
            sums[key] = [np.zeros_like(columns) for _ in range(3)]
        exponents = (pow(x.gamma, place.slot_exponent, r), pow(x.gamma, place.account_exponent, r), 1)
        for into, weight in zip(sums[key], exponents, strict=True):
            I.accumulate(into, columns, splat(weight))

    def _rows(self, combination: Combination, kind: int, used: int) -> TemplateRows:
        if (kind, used) not in self._templates:
            self._templates[kind, used] = template_rows(combination, kind, used, self.lifting)
        return self._templates[kind, used]

    def _numerators(
        self,
        template: BlockTemplate,
        place: ColumnSet,
        combination: Combination,
        digits: Blocks,
        slot: Blocks,
        account: Blocks,
    ) -> Blocks:
        """N of every leg, on H or on a coset."""
        x, k = combination.x, self.statement.k
        out = self.lifting.zeros(template.row_legs)
        ga = x.delta * x.delta * pow(x.gamma, place.account_exponent, r) if template.claimed else 0
        constants = [pow(x.gamma, place.slot_exponent, r), ga, combination.net_weight, x.delta]
        I.leg_numerators(
            out,
            digits,
            template.position_digits,
            template.row_legs,
            np.concatenate([splat(1 << (k * d)) for d in range(template.position_digits)]),
            slot,
            account,
            np.concatenate([splat(c % r) for c in constants]),
        )
        return out

    # --- round 4 ------------------------------------------------------------------------------------------

    def numerators(self, x: VenueChallenges) -> list[Blocks]:
        """On each coset, this share's part of the numerator of T: its identities less its part of ``total``."""
        statement, lifting, m = self.statement, self.lifting, self.lifting.m
        combination = Combination(statement, x)
        rho, e = combination.rho, statement.exponents
        parts = [lifting.zeros() for _ in lifting.cosets]
        column_sums: dict[tuple[int, int], list[Blocks]] = {}
        tail_sums: dict[tuple[int, int], list[Blocks]] = {}
        # rho^RL sum h + rho^WL sum v is linear too: one column, lifted once
        helper_sum, helper_tail = lifting.zeros(), np.zeros((1, 5, 8), np.uint64)
        weights = _helper_powers(statement, x.chi)
        beta, eta = splat(x.beta), splat(x.eta)
        weighted_columns: dict[tuple[int, int], list[tuple[Blocks, Blocks]]] = {}
        for mine, helpers in zip(self.sets, self.helpers, strict=True):
            template, place = self._template(mine.place), mine.place
            owner, key = f"set {place.index}", (place.kind, place.used)
            rows = self._rows(combination, *key)
            if key not in weighted_columns:
                pair = lifting.interpolate(np.concatenate([rows.slot, rows.account]))
                none = np.zeros((2, 5, 8), np.uint64)
                lifted = [lifting.lift(pair, none, coset) for coset in lifting.cosets]
                weighted_columns[key] = [(both[:m], both[m:]) for both in lifted]
            names, helper_names = statement.set_columns(place), self._helper_names(owner, template)
            columns = lifting.interpolate(np.concatenate([lifting.integers(mine.stacked()), helpers]))
            tails = lifting.tails(
                [self.blinders(name, 2) for name in names] + [self.blinders(name, 1) for name in helper_names]
            )
            legs, count = template.row_legs, template.opened_columns
            digit_part = slice((legs + 1) * m, count * m)
            ordered = np.concatenate([columns[digit_part], columns[legs * m : (legs + 1) * m]])
            self._accumulate(column_sums, key, place, x, ordered)
            self._accumulate(
                tail_sums, key, place, x, np.concatenate([tails[legs + 1 : count], tails[legs : legs + 1]])
            )
            ranges = groups_of(template.digit_columns, statement.g)
            for j in range(len(helper_names)):
                weight = splat(rho[e.range] if j < len(ranges) else rho[e.weighted])
                I.accumulate(helper_sum, columns[(count + j) * m : (count + j + 1) * m], weight)
                I.accumulate(helper_tail, tails[count + j : count + j + 1], weight)
            chis = [splat(weights[name]) for name in helper_names]
            for part, coset, (slot, account) in zip(parts, lifting.cosets, weighted_columns[key], strict=True):
                values = lifting.lift(columns, tails, coset)
                for j, places in enumerate(ranges):
                    first = legs + 1 + places.start
                    I.range_identity(part, values, first, len(places), count + j, beta, chis[j], I.ONE)
                numerators = self._numerators(template, place, combination, values[digit_part], slot, account)
                for j, places in enumerate(groups_of(legs, statement.g), len(ranges)):
                    I.leg_identity(
                        part, values, numerators, places.start, len(places), legs, count + j, beta, eta, chis[j]
                    )
        minus = splat(r - 1)
        for key, families in column_sums.items():
            rows = self._rows(combination, *key)
            for family, read in enumerate(rows.columns):
                if not read:
                    continue
                columns = _chosen(families[family], read, m)
                tails = tail_sums[key][family][read]
                U = lifting.interpolate(rows.values[family])
                none = np.zeros((len(read), 5, 8), np.uint64)
                for part, coset in zip(parts, lifting.cosets, strict=True):
                    product = lifting.zeros()
                    I.add_products(product, lifting.lift(columns, tails, coset), lifting.lift(U, none, coset))
                    I.accumulate(part, product, minus)
        for part, coset in zip(parts, lifting.cosets, strict=True):
            I.accumulate(part, lifting.lift(helper_sum, helper_tail, coset), minus)
        return parts

    # --- rounds 5 and 6 -----------------------------------------------------------------------------------

    def values(self, zeta: int) -> list[list[int]]:
        """For each set its columns at zeta."""
        domain = self.statement.domain
        basis = [int(x) for x in lagrange_at(domain, zeta)]
        Z = domain.vanishing_at(zeta)
        found = []
        for start in range(0, len(self.sets), CHUNK):
            chunk = self.sets[start : start + CHUNK]
            on_H = int_matvec(np.concatenate([mine.stacked() for mine in chunk]), basis)
            at = 0
            for mine in chunk:
                names = self.statement.set_columns(mine.place)
                row = []
                for name in names:
                    b0, b1 = self.blinders(name, 2)
                    row.append((on_H[at] + (b0 + b1 * zeta) * Z) % r)
                    at += 1
                found.append(row)
        return found

    def combined(self, weights: Sequence[Sequence[int]], helper_weights: Sequence[Sequence[int]]) -> FieldVector:
        """sum of weight times polynomial over all columns and helpers of this share: n + 2 coefficients.

        Args:
            weights: for each set one a column.
            helper_weights: for each set one a helper.
        """
        n, m = self.statement.n, self.lifting.m
        on_H = K.constant(0, n)
        tail = [0, 0]
        for start in range(0, len(self.sets), CHUNK):
            chunk = self.sets[start : start + CHUNK]
            matrix = np.concatenate([mine.stacked() for mine in chunk]).T
            flat = [w for row in weights[start : start + CHUNK] for w in row]
            on_H = K.add(on_H, K.from_ints(int_matvec(np.ascontiguousarray(matrix), flat)))
        for mine, row, helper_row, helpers in zip(self.sets, weights, helper_weights, self.helpers, strict=True):
            for name, w in zip(self.statement.set_columns(mine.place), row, strict=True):
                for i, b in enumerate(self.blinders(name, 2)):
                    tail[i] += w * b
            names = self._helper_names(f"set {mine.place.index}", self._template(mine.place))
            for j, (name, w) in enumerate(zip(names, helper_row, strict=True)):
                on_H = K.add_scaled(on_H, FieldVector(helpers[j * m : (j + 1) * m], n), w)
                tail[0] += w * self.blinders(name, 1)[0]
        return with_tail(K.intt(on_H), [t % r for t in tail])


# --- templates on H -----------------------------------------------------------------------------------------------


def template_rows(combination: Combination, kind: int, used: int, lifting: I.Lifting) -> TemplateRows:
    """A template's coefficients on H for sets with so many blocks in use."""
    statement, gamma = combination.statement, combination.x.gamma
    template, n = statement.templates[kind], statement.n
    T, B, K_slots, V = template.T, template.spec.block, template.spec.slots, template.V
    slot_step, account_step = powers(pow(gamma, K_slots, r), used), powers(gamma, used)
    steps = (slot_step, account_step, [1] * used)
    columns, group = combination.block(template)
    unused = combination.rho[statement.exponents.unused]
    places: tuple[list[int], list[int], list[int]] = ([], [], [])
    values: list[list[Blocks]] = [[], [], []]
    cells = [K.from_ints(step) for step in steps]
    for c, families in enumerate([*columns, group]):
        for family, name in enumerate(("slot", "account", "plain")):
            sparse = getattr(families, name)
            empty = name == "plain" and used < T and c < len(columns)
            if not sparse and not empty:
                continue
            blocks = []
            for b in range(B):
                inside = K.scale(cells[family], sparse.get(b, 0))
                blocks.append(inside)
                if used < T:
                    blocks.append(K.constant(unused if empty else 0, T - used))
            places[family].append(c)
            values[family].append(K.concatenate(*blocks).memory)
    gammas = powers(gamma, K_slots)
    rows = K_slots * V
    slot, account = [0] * n, [0] * n
    for b in range(rows):
        slot[T * b : T * b + used] = [gammas[b // V] * step % r for step in slot_step]
        account[T * b : T * b + used] = account_step
    none = lifting.zeros(0)
    return TemplateRows(
        places,
        tuple(np.concatenate(part) if part else none for part in values),  # type: ignore[arg-type]
        K.from_ints(slot).memory,
        K.from_ints(account).memory,
    )


def _helper_powers(statement: VenueStatement, chi: int) -> dict[str, int]:
    """chi^(j + 1) by helper."""
    found, power = {}, 1
    for helper in statement.helpers:
        power = power * chi % r
        found[helper.name] = power
    return found


def _chosen(columns: Blocks, places: Sequence[int], m: int) -> Blocks:
    """Some of the columns, one after another."""
    if not places:
        return columns[:0]
    return np.concatenate([columns[c * m : (c + 1) * m] for c in places])


def _fractions(beta: int, count: int) -> FieldVector:
    """1 / (beta + i) for i < count."""
    shifted = K.add(K.constant(beta, count), K.from_int64(np.arange(count, dtype=np.int64)))
    return K.batch_inverse(shifted)


# --- exact sums of small integers times powers of gamma -------------------------------------------------------------

_WEIGHT_BITS = 16
_WEIGHT_LIMBS = 16


def _weight_limbs(vector: FieldVector) -> npt.NDArray[np.float64]:
    """[len, 16] little-endian 16-bit limbs."""
    data = np.frombuffer(K.to_bytes_le(vector), dtype="<u2").reshape(len(vector), _WEIGHT_LIMBS)
    return data.astype(np.float64)


def _scatter(
    sums: Int64Array, at: npt.NDArray[Any], values: npt.NDArray[np.float64], limbs: npt.NDArray[np.float64]
) -> None:
    """sums[at] += values * limbs: digits below 2^22 times limbs of 16 bits, at most 2^12 of them, are exact."""
    for j in range(_WEIGHT_LIMBS):
        sums[:, j] += np.bincount(at, weights=values * limbs[:, j], minlength=len(sums)).astype(np.int64)


def _carry(sums: Int64Array) -> None:
    """Limbs of 16 bits again, in place; the last keeps the sign."""
    for j in range(sums.shape[-1] - 1):
        sums[..., j + 1] += sums[..., j] >> _WEIGHT_BITS
        sums[..., j] &= (1 << _WEIGHT_BITS) - 1


def _value(row: list[int]) -> int:
    return sum(x << (_WEIGHT_BITS * j) for j, x in enumerate(row))
