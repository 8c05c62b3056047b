"""Witnesses of dense accounts, all at once: committed columns, digits row by row, packed cells. All of it is secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.venue import AccountCircuit, DenseTemplate
from zkmargin.crypto.segments import segment_rows
from zkmargin.engine.book import BookLots
from zkmargin.engine.books import Books, Products
from zkmargin.engine.components import SCALE_BP
from zkmargin.formats.errors import InputError
from zkmargin.integers import Integers, largest, smallest
from zkmargin.prover.venue.by_circuit import value_of, witnesses
from zkmargin.verifier.venue.statement import DenseSlot, VenueStatement

Int64Array = npt.NDArray[np.int64]


@dataclass(repr=False)
class DenseWitness:
    """The columns of all dense accounts: committed rows by name, and the digits int64 [digit columns, n]."""

    committed: dict[str, Int64Array]
    digits: Int64Array


@dataclass(frozen=True, repr=False)
class DenseAssessment:
    """The accounts of one template.

    Attributes:
        accounts: which ones.
        positions: int64 [A, N] their lots.
        values: [A] of each bounded integer, by its number.
        surplus: [A] of each, None without a claim.
    """

    accounts: tuple[DenseSlot, ...]
    positions: Int64Array
    values: dict[int, Integers]
    surplus: Integers | None


def assess_dense(statement: VenueStatement, lots: Sequence[BookLots]) -> list[DenseAssessment]:
    """What dense accounts owe and have, exactly, template by template. Raises InputError."""
    members: dict[DenseTemplate, list[DenseSlot]] = {}
    for y, _ in zip(statement.dense, lots, strict=True):
        members.setdefault(y.template, []).append(y)
    return [_assess(template, found, [lots[y.index] for y in found]) for template, found in members.items()]


def surpluses(assessed: Sequence[DenseAssessment]) -> dict[int, int]:
    """The surplus of each account that has a claim, by its number."""
    return {
        y.index: surplus
        for one in assessed
        if one.surplus is not None
        for y, surplus in zip(one.accounts, one.surplus.tolist(), strict=True)
    }


def _assess(template: DenseTemplate, accounts: Sequence[DenseSlot], lots: Sequence[BookLots]) -> DenseAssessment:
    for y, book in zip(accounts, lots, strict=True):
        if max(map(abs, book.positions), default=0) > template.position_bound:
            raise InputError("a position beyond its bound", field=f"dense account {y.index}")
    width = len(lots[0].collateral)
    balances = np.array([book.collateral for book in lots], dtype=object).reshape(len(lots), width)
    table = np.array([book.positions for book in lots], dtype=np.int64)
    books = Books.dense(table, balances)
    account = template.account
    by_rules = _by_groups(template, books) if account is None else _by_circuit(account, books)
    collateral, requirement, values = by_rules
    surplus = None
    if template.claim is not None:
        (worth,) = Products(np.ascontiguousarray(template.rules.marks[None], dtype=np.int64)).of(books)
        den = template.options.den
        owed = requirement * (template.claim.num * (den // template.claim.den)) + den * template.headroom
        surplus = (worth * SCALE_BP + collateral) * den - owed
    return DenseAssessment(tuple(accounts), table, values, surplus)


def _by_circuit(account: AccountCircuit, books: Books) -> tuple[Integers, Integers, dict[int, Integers]]:
    parts: list[list[npt.NDArray[Any]]] = []
    for _, many in witnesses(account, books):
        integers = (many.bounded(v).array for v in range(len(account.circuit.bounded)))
        parts.append([value_of(account.collateral, many), value_of(account.requirement, many), *integers])
    collateral, requirement, *values = (
        Integers.of([int(x) for part in column for x in part]) for column in zip(*parts, strict=True)
    )
    return collateral, requirement, dict(enumerate(values))


def _by_groups(template: DenseTemplate, books: Books) -> tuple[Integers, Integers, dict[int, Integers]]:
    """Collateral, requirement, and the bounded integers by their numbers."""
    rules, names = template.rules, [bounded.name for bounded in template.integers.bounded]
    values: dict[str, Integers] = {}
    none = total = collateral = Integers.of(np.zeros(len(books), dtype=np.int64))
    for g in range(rules.groups):
        inside = np.flatnonzero(np.array(rules.group_of) == g)
        mine = Books.dense(books.table[:, inside] if books.table is not None else [], books.collateral)
        losses = [-gain for gain in Products(np.ascontiguousarray(rules.risk[inside, : rules.scenarios[g]].T)).of(mine)]
        slacks = [f"slack {g} {j}" for j in range(rules.scenarios[g])]
        if rules.minimum is not None:
            losses += Products(np.ascontiguousarray(rules.minimum[inside][None])).of(mine, "short")
            slacks.append(f"slack {g} minimum")
        charge = largest(none, *losses)
        total = total + charge
        values |= {f"charge {g}": charge, **{x: charge - loss for x, loss in zip(slacks, losses, strict=True)}}
    for j in range(rules.assets):
        balance = Integers.of(books.collateral[:, j].tolist())
        held, owed = largest(balance, 0), -smallest(balance, 0)
        values[f"held {j}"] = held
        if rules.owed[j]:
            values[f"owed {j}"] = owed
        collateral = collateral + held * rules.long_value[j] - owed * rules.short_value[j]
    return collateral, total * rules.factor_bp, {v: values[name] for v, name in enumerate(names) if name in values}


def dense_witness(
    statement: VenueStatement,
    lots: Sequence[BookLots],
    assessed: Sequence[DenseAssessment],
    marked: npt.NDArray[np.bool_],
) -> tuple[DenseWitness, int]:
    """The columns of all dense accounts, and the sum of their shortfalls.

    Args:
        marked: [accounts] which are exempt.

    Raises:
        InputError: a value beyond its bound.
    """
    n = statement.n
    digits = np.zeros((statement.dense_columns, n), dtype=np.int64)
    missing = 0
    for one in assessed:
        template = one.accounts[0].template
        _put_positions(statement, one, digits)
        values, short = _with_claim(template, one, marked)
        missing += short
        columns, rows = (np.array(at) for at in zip(*map(_start, one.accounts), strict=True))
        for v, cells in _cells(statement, template, one, values):
            column, row = np.divmod(rows + v, n)
            digits[columns + column, row] = cells
    committed = {
        f"dense {y.index} {role}[{s}]": segment_rows(values, n, s)
        for y, book in zip(statement.dense, lots, strict=True)
        for role, values, count in (
            ("positions", book.positions, y.template.segments),
            ("collateral", book.collateral, y.template.balance_segments),
        )
        for s in range(count)
    }
    return DenseWitness(committed, digits), missing


def _start(y: DenseSlot) -> tuple[int, int]:
    return y.packed, y.row


def _put_positions(statement: VenueStatement, one: DenseAssessment, digits: Int64Array) -> None:
    n, k, mask = statement.n, statement.k, (1 << statement.k) - 1
    template = one.accounts[0].template
    first = np.array([y.first for y in one.accounts])
    for s in range(template.segments):
        q = one.positions[:, s * (n - 1) : (s + 1) * (n - 1)]
        for side, amount in enumerate((np.maximum(q, 0), np.maximum(-q, 0))):
            for d in range(template.position_digits):
                place = (2 * s + side) * template.position_digits + d
                digits[first + place, : q.shape[1]] = (amount >> (k * d)) & mask


def _with_claim(
    template: DenseTemplate, one: DenseAssessment, marked: npt.NDArray[np.bool_]
) -> tuple[dict[int, Integers], int]:
    """All bounded integers, and the sum of shortfalls."""
    if one.surplus is None:
        return one.values, 0
    integers, values, slack, missing = template.integers, dict(one.values), one.surplus, 0
    if template.options.exempt:
        bits = Integers.of([int(marked[y.index]) for y in one.accounts])
        values |= {integers.index("exempt"): bits, integers.index("not exempt"): -bits + 1}
        slack = slack + bits * integers.big
    if template.options.cap is not None:
        short = largest(0, -(slack // template.options.den))
        values[integers.index("shortfall")] = short
        slack, missing = slack + short * template.options.den, sum(short.tolist())
    return {**values, integers.index("claim"): slack}, missing


def _cells(
    statement: VenueStatement, template: DenseTemplate, one: DenseAssessment, values: dict[int, Integers]
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """(packed cell, its digit in each account). Raises InputError, naming the account."""
    k, mask = statement.k, (1 << statement.k) - 1
    for v, (bounded, start) in enumerate(zip(template.integers.bounded, template.integers.starts, strict=False)):
        x = values[v].array
        wrong = (x < 0) | (x > (1 << (k * bounded.digits)) - 1)
        if wrong.any():
            place = int(np.argmax(wrong))
            raise InputError(f"{bounded.name}: beyond its bound", field=f"dense account {one.accounts[place].index}")
        for d in range(bounded.digits):
            shift = k * d
            yield start + d, (x >> shift) & mask if x.dtype == object or shift < 63 else np.zeros(len(x), np.int64)
