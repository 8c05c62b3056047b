"""Witnesses of accounts that have a circuit of their own: its hints, run on many books at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.language.system import Form
from zkmargin.circuits.many import CircuitProducts, ManyWitness, assign_many
from zkmargin.circuits.venue import AccountCircuit, AccountIntegers
from zkmargin.engine.books import Books
from zkmargin.formats.errors import InputError
from zkmargin.integers import Integers

Int64Array = npt.NDArray[np.int64]
#: Bytes that the hidden integers of the accounts in work may take.
MEMORY = 64 << 20


def sparse_books(names: Sequence[str], instruments: Int64Array, lots: Int64Array, balances: Int64Array) -> Books:
    """The books of a class by their legs.

    Args:
        names: [A] of the accounts.
        instruments, lots: [A, L] of each leg.
        balances: [A, M] signed lots.

    Raises:
        InputError: an instrument twice in an account, by name.
    """
    width = lots.shape[1]
    order = np.argsort(np.where(lots == 0, np.iinfo(np.int64).max, instruments), axis=1, kind="stable")
    ids, amounts = np.take_along_axis(instruments, order, 1), np.take_along_axis(lots, order, 1)
    busy = amounts != 0
    twice = (busy[:, 1:] & (ids[:, 1:] == ids[:, :-1])).any(axis=1) if width > 1 else np.zeros(len(lots), np.bool_)
    if twice.any():
        name = names[int(np.argmax(twice))]
        raise InputError("two legs of one instrument: add them up", field=f"account {name[:100]}")
    starts = np.concatenate([[0], np.cumsum(busy.sum(axis=1))]).astype(np.int64)
    return Books.sparse(starts, ids[busy], amounts[busy], balances)


def witnesses(account: AccountCircuit, books: Books) -> Iterator[tuple[slice, ManyWitness]]:
    """The hidden integers of all accounts, some at a time."""
    products = CircuitProducts(account.circuit)
    size = products.block(MEMORY)
    for start in range(0, len(books), size):
        stop = min(start + size, len(books))
        yield slice(start, stop), assign_many(account.circuit, books.part(start, stop), products)


def value_of(form: Form, many: ManyWitness) -> npt.NDArray[Any]:
    """[M] a form in every account, Python integers."""
    value = form.value(many.value)
    if isinstance(value, Integers):
        return value.array.astype(object)
    return np.full(len(many), value, dtype=object)


def margins(account: AccountCircuit, books: Books) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Value of the collateral and requirement of every account, valuation units: [A] Python integers each."""
    collateral, requirement = (np.zeros(len(books), dtype=object) for _ in range(2))
    for part, many in witnesses(account, books):
        collateral[part] = value_of(account.collateral, many)
        requirement[part] = value_of(account.requirement, many)
    return collateral, requirement


def check_range(
    integers: AccountIntegers, v: int, values: npt.NDArray[Any], names: Sequence[str], k: int, bits: int
) -> None:
    """Raises InputError, naming the account, where a value does not fit its digits."""
    bounded = integers.bounded[v]
    wrong = (values < 0) | (values >= (1 << (k * bounded.digits)))
    if wrong.any():
        name = names[int(np.argmax(wrong))]
        raise InputError(
            f"{bounded.name}: beyond what charges of {bits} bits are for",
            field=f"account {name[:100]}",
            hint="give the class more charge bits",
        )
