"""From block accounts to the columns of their class, as matrix work: exact charges, slacks and digits at once.

Everything here is secret. Errors name accounts: they are for the venue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.venue import AccountCircuit, BlockTemplate, Ratio, digits_for
from zkmargin.engine.books import Books
from zkmargin.engine.components import SCALE_BP
from zkmargin.formats.errors import InputError
from zkmargin.prover.venue.by_circuit import check_range, margins, sparse_books, witnesses

#: Ways out of a book that no block holds.
LARGE = "commit its book and prove it as a dense account, or check its quantities: are they in the instrument's units?"
WIDER = "allow more bits a position (it makes every account's columns wider), or prove it as a dense account"
Int64Array = npt.NDArray[np.int64]
#: Python integers in an array: equity and requirements do not fit 64 bits.
Integers = npt.NDArray[Any]
#: Accounts whose losses are worked out at a time: bounds the memory of the products.
CHUNK = 2048
#: Column sets that are compared with books at a time.
SETS_CHECKED = 16
_SAFE = float(1 << 61)


@dataclass(frozen=True, repr=False)
class ClassBooks:
    """The books of all accounts of a class, as arrays. A accounts, K slots, L legs a slot, M assets.

    Attributes:
        names: [A] of the accounts, for tags and errors.
        groups: int64 [A, K] the risk group of each slot; any for an empty one.
        instruments: int64 [A, K, L] the instrument of each leg; any for an empty one.
        lots: int64 [A, K, L] signed lots, 0 for an empty leg.
        balances: int64 [A, M] signed lots.
    """

    names: Sequence[str]
    groups: Int64Array
    instruments: Int64Array
    lots: Int64Array
    balances: Int64Array

    def __repr__(self) -> str:
        return f"ClassBooks({len(self.names)} accounts)"


@dataclass(repr=False)
class ClassWitness:
    """The columns of a class: X sets of T blocks of B rows; row t + T b is [b, t].

    Attributes:
        ids: int32 [X, row legs, B, T].
        group: int32 [X, B, T].
        digits: unsigned [X, digit columns, B, T].
    """

    ids: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]
    digits: npt.NDArray[Any]


@dataclass(frozen=True, repr=False)
class Assessment:
    """What one class owes and has, before anything is hidden: for the venue only.

    Attributes:
        charges: int64 [A, K] money units; none where accounts have a circuit of their own.
        losses: int64 [A, K, S (+ 1)] the loss in each scenario, then the short minimum; none there either.
        surplus: [A] den times equity less num times requirement and less the headroom that a limit asks for, over
            DEN, in 1/DEN valuation units; None where the class has no claim.
    """

    charges: Int64Array
    losses: Int64Array
    surplus: Integers | None


def assess(template: BlockTemplate, books: ClassBooks) -> Assessment:
    """Charges, losses and surpluses of a class, exactly.

    Raises:
        InputError: an account that does not fit its class, by name.
    """
    check_books(template, books)
    if template.account is not None:
        return _assess_by_circuit(template, template.account, books)
    rules, spec, count = template.rules, template.spec, len(books.names)
    # A short minimum is one more scenario, of short lots alone.
    columns = rules.scenario_columns + (rules.minimum is not None)
    losses = np.empty((count, spec.slots, columns), dtype=np.int64)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        lots, ids = books.lots[part], books.instruments[part]
        losses[part, :, : rules.scenario_columns] = -np.einsum("akl,akls->aks", lots, rules.risk[ids])
        if rules.minimum is not None:
            losses[part, :, -1] = (np.maximum(-lots, 0) * rules.minimum[ids]).sum(axis=2)
    charges = losses.max(axis=2, initial=0)
    if not template.claimed or spec.ratio is None:
        return Assessment(charges, losses, None)
    equity = SCALE_BP * _value(template, books)
    for j in range(rules.assets):
        balance = books.balances[:, j].astype(object)
        rate = np.where(books.balances[:, j] >= 0, rules.long_value[j], rules.short_value[j]).astype(object)
        equity = equity + balance * rate
    owed = rules.factor_bp * charges.astype(object).sum(axis=1)
    return Assessment(charges, losses, _surplus(template, spec.ratio, equity, owed))


def _assess_by_circuit(template: BlockTemplate, account: AccountCircuit, books: ClassBooks) -> Assessment:
    charges = np.zeros((len(books.names), 0), dtype=np.int64)
    none = charges[:, :, None]
    sparse = _sparse(books)
    if not template.claimed or template.spec.ratio is None:
        return Assessment(charges, none, None)
    collateral, requirement = margins(account, sparse)
    equity = SCALE_BP * _value(template, books) + collateral
    return Assessment(charges, none, _surplus(template, template.spec.ratio, equity, requirement))


def _sparse(books: ClassBooks) -> Books:
    return sparse_books(books.names, books.instruments[:, 0], books.lots[:, 0], books.balances)


def _value(template: BlockTemplate, books: ClassBooks) -> Integers:
    """[A] what all positions are worth, money units."""
    value = np.zeros(len(books.names), dtype=object)
    for k in range(template.spec.slots):  # marks are below 2^63, lots below 2^60: the products are Python's
        for l in range(books.lots.shape[2]):
            held = np.flatnonzero(books.lots[:, k, l])
            marks = template.rules.marks[books.instruments[held, k, l]]
            busy = marks != 0
            value[held[busy]] += books.lots[held[busy], k, l].astype(object) * marks[busy].astype(object)
    return value


def _surplus(template: BlockTemplate, ratio: Ratio, equity: Integers, requirement: Integers) -> Integers:
    den = template.options.den
    surplus: Integers = den * equity - ratio.num * (den // ratio.den) * requirement - den * template.headroom
    return surplus


def check_books(template: BlockTemplate, books: ClassBooks) -> None:
    """Whether the columns of a class can hold these books, each number whole: columns hold them modulo 2^(digits).

    Raises:
        InputError: books of another shape, or an account that does not fit, by name.
    """
    rules, spec, names = template.rules, template.spec, books.names
    shape = (len(names), spec.slots, books.lots.shape[2] if books.lots.ndim == 3 else -1)
    if len(names) != spec.accounts or books.lots.shape != shape or shape[2] > template.V * template.row_legs:
        raise InputError(f"{books.lots.shape} legs for {spec.accounts} accounts of {spec.slots} x {spec.legs}")
    outside = (books.instruments < 0) | (books.instruments >= max(rules.instruments, 1))
    _name_first(names, outside.any(axis=(1, 2)), "an instrument that the snapshot does not list")
    group_of = np.array(rules.group_of or (0,), dtype=np.int64)
    wrong = (books.lots != 0) & (group_of[books.instruments] != books.groups[:, :, None])
    _name_first(names, wrong.any(axis=(1, 2)), "an instrument of another group than its slot")
    large = _beyond(books.lots, template.position_bound)
    _name_first(names, large.any(axis=(1, 2)), f"a position of more than {template.position_bound} lots", WIDER)
    for j in range(rules.assets):
        top = (1 << (template.options.digit_bits * digits_for(rules.balance_bits[j], template.options.digit_bits))) - 1
        balance = books.balances[:, j]
        _name_first(names, _beyond(balance, min(top, 2**63 - 1)), "a balance beyond its bound")
        if not rules.owed[j]:
            _name_first(names, balance < 0, "a negative balance that the policy does not allow")
    if template.account is None:
        _check_losses(template, books)


def _check_losses(template: BlockTemplate, books: ClassBooks) -> None:
    """Losses are sums of 64 bits."""
    rules = template.rules
    largest = np.maximum(
        np.abs(rules.risk).max(axis=1, initial=0), 0 if rules.minimum is None else rules.minimum
    ).astype(np.float64)
    for start in range(0, len(books.names), CHUNK):
        part = slice(start, start + CHUNK)
        lots, ids = books.lots[part], books.instruments[part]
        size = (np.abs(lots).astype(np.float64) * largest[ids]).sum(axis=2).max(axis=1)
        _name_first(books.names[part], size >= _SAFE, "positions whose charges have more than 62 bits", LARGE)


def _beyond(values: Int64Array, bound: int) -> npt.NDArray[np.bool_]:
    """Of -2^63 there is no absolute value in 64 bits."""
    return (values > bound) | (values < -bound)


def _name_first(names: Sequence[str], bad: Any, reason: str, hint: str | None = None) -> None:
    if bad.any():
        raise InputError(reason, field=f"account {names[int(np.argmax(bad))][:100]}", hint=hint)


def under_claim(template: BlockTemplate, assessed: Assessment) -> list[tuple[int, int]]:
    """(place in the class, shortfall in valuation units) of every account that misses its claim."""
    surplus, den = assessed.surplus, template.options.den
    if surplus is None:
        return []
    return [(a, -(int(surplus[a]) // den)) for a in np.flatnonzero((surplus < 0).astype(np.bool_)).tolist()]


def joined(parts: Sequence[ClassWitness]) -> ClassWitness:
    """The columns of consecutive sets as those of one class."""
    every = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "group", "digits"))
    return ClassWitness(*every)


def _leg_columns(template: BlockTemplate, books: ClassBooks) -> ClassWitness:
    """Columns that hold instruments, groups and positions; packed cells are 0. Raises InputError for cut positions."""
    _name_first(books.names, _beyond(books.lots, template.position_bound).any(axis=(1, 2)), "a position too large")
    spec, k = template.spec, template.options.digit_bits
    B, T, mask, count = spec.block, template.T, (1 << k) - 1, len(books.names)
    X = -(-count // T)
    dtype = np.uint16 if k <= 16 else np.int32
    ids = np.zeros((X, template.row_legs, B, T), dtype=np.int32)
    group = np.zeros((X, B, T), dtype=np.int32)
    digits = np.zeros((X, template.digit_columns, B, T), dtype=dtype)
    at_set, at_block = np.divmod(np.arange(count), T)
    for s in range(spec.slots):
        for v in range(template.V):
            group[at_set, s * template.V + v, at_block] = books.groups[:, s]
    D = template.position_digits
    for q in range(books.lots.shape[2]):
        v, l = divmod(q, template.row_legs)
        for s in range(spec.slots):
            b, lots = s * template.V + v, books.lots[:, s, q]
            ids[at_set, l, b, at_block] = books.instruments[:, s, q]
            for side, amount in enumerate((np.maximum(lots, 0), np.maximum(-lots, 0))):
                for d in range(D):
                    digits[at_set, (2 * l + side) * D + d, b, at_block] = (amount >> (k * d)) & mask
    return ClassWitness(ids, group, digits)


def class_witness(
    template: BlockTemplate, books: ClassBooks, exempt: npt.NDArray[np.bool_] | None, assessed: Assessment
) -> tuple[ClassWitness, int]:
    """The columns of a class, and the sum of its shortfalls (0 without a cap).

    Raises:
        InputError: a charge beyond the class's charge_bits, by name.
    """
    k, integers = template.options.digit_bits, template.integers
    B, T, mask = template.spec.block, template.T, (1 << k) - 1
    at_set, at_block = np.divmod(np.arange(template.spec.accounts), T)
    made = _leg_columns(template, books)
    dtype = made.digits.dtype

    packed = made.digits[:, template.packed_offset :]

    def put(v: int, values: npt.NDArray[Any], part: slice = slice(None)) -> None:
        for d in range(integers.bounded[v].digits):
            column, b = divmod(integers.starts[v] + d, B)
            shifted = (values >> (k * d)) & mask if values.dtype == object or k * d < 63 else np.zeros_like(values)
            packed[at_set[part], column, b, at_block[part]] = shifted.astype(dtype)

    if template.account is not None:
        for part, many in witnesses(template.account, _sparse(books)):
            for v in range(len(template.account.circuit.bounded)):
                values = many.bounded(v).array
                check_range(integers, v, values, books.names[part], k, template.spec.charge_bits)
                put(v, values, part)
    else:
        for name, values in _group_integers(template, books, assessed):
            put(integers.index(name), values)
    return made, _put_claim(template, exempt, assessed, put)


def holds_books(
    template: BlockTemplate, books: ClassBooks, exempt: npt.NDArray[np.bool_], columns: ClassWitness
) -> bool:
    """Whether columns, made by somebody else, hold these books: legs, balances and exemptions, and no others.

    Charges and slacks are for ``least_charges``.

    Args:
        template: the class's.
        books: whose columns they should be.
        exempt: bool [accounts].
        columns: of the shapes and in the ranges that the class has.
    """
    T, count = template.T, len(books.names)
    every = [getattr(books, name) for name in ("groups", "instruments", "lots", "balances")]
    for first in range(0, count, SETS_CHECKED * T):  # bounds the memory
        stop = min(first + SETS_CHECKED * T, count)
        mine, sets = slice(first, stop), slice(first // T, -(-stop // T))
        some = ClassBooks(books.names[mine], *(array[mine] for array in every))
        found = ClassWitness(columns.ids[sets], columns.group[sets], columns.digits[sets])
        if not _holds_part(template, some, exempt[mine], found):
            return False
    return True


def _holds_part(
    template: BlockTemplate, books: ClassBooks, exempt: npt.NDArray[np.bool_], columns: ClassWitness
) -> bool:
    expected, integers, B, T = _leg_columns(template, books), template.integers, template.spec.block, template.T
    packed = columns.digits[:, template.packed_offset :]
    legs = slice(0, template.packed_offset)
    if not (
        np.array_equal(expected.ids, columns.ids)
        and np.array_equal(expected.group, columns.group)
        and np.array_equal(expected.digits[:, legs], columns.digits[:, legs])
    ):
        return False

    def holds(name: str, values: Int64Array) -> bool:
        """A block without an account holds 0."""
        v, k = integers.index(name), template.options.digit_bits
        padded = np.zeros(len(packed) * T, dtype=np.int64)
        padded[: len(values)] = values
        for d in range(integers.bounded[v].digits):
            column, b = divmod(integers.starts[v] + d, B)
            digit = (padded >> min(k * d, 63)) & ((1 << k) - 1)
            if not np.array_equal(packed[:, column, b].reshape(-1), digit):
                return False
        return True

    rules = template.rules
    balances = [books.balances[:, j] for j in range(rules.assets)]
    return (
        all(holds(f"held {j}", np.maximum(balance, 0)) for j, balance in enumerate(balances))
        and all(
            holds(f"owed {j}", np.maximum(-balance, 0)) if rules.owed[j] else bool((balance >= 0).all())
            for j, balance in enumerate(balances)
        )
        and (not (template.claimed and template.options.exempt) or holds("exempt", exempt.astype(np.int64)))
    )


def least_charges(template: BlockTemplate, columns: ClassWitness) -> bool:
    """Whether every charge is the least that its equations allow: 0, or without slack in some scenario.

    A larger charge, with its slacks, is true of the same book, and so is a smaller slack of the claim. Columns that
    hold their books, with least charges and shortfalls of the right sum, are the only ones for which equations hold:
    each equation has one slack. Not for accounts that have a circuit of their own.
    """
    integers, B, packed = template.integers, template.spec.block, columns.digits[:, template.packed_offset :]
    numbers = {x.name: v for v, x in enumerate(integers.bounded)}
    minimum = ["minimum"] if template.rules.minimum is not None else []

    def some(name: str) -> npt.NDArray[np.bool_]:
        """[X, T] where it is not 0."""
        v = numbers[name]
        digits = (divmod(z, B) for z in range(integers.starts[v], integers.starts[v + 1]))
        every: npt.NDArray[np.bool_] = np.logical_or.reduce([packed[:, column, b] != 0 for column, b in digits])
        return every

    for s in range(template.spec.slots):
        larger = some(f"charge {s}")
        for j in [*range(template.rules.scenario_columns), *minimum]:
            if not larger.any():
                break
            larger &= some(f"slack {s} {j}")
        if larger.any():
            return False
    return True


def _group_integers(
    template: BlockTemplate, books: ClassBooks, assessed: Assessment
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Charges, slacks and balances by name. Raises InputError for charges beyond the class's bits."""
    rules, spec = template.rules, template.spec
    charge_top = (1 << (template.options.digit_bits * digits_for(spec.charge_bits, template.options.digit_bits))) - 1
    slacks = assessed.charges[:, :, None] - assessed.losses
    over = (slacks.max(axis=(1, 2), initial=0) > charge_top) | (assessed.charges.max(axis=1, initial=0) > charge_top)
    _name_first(books.names, over, f"charges beyond the class's {spec.charge_bits} bits", LARGE)
    for s in range(spec.slots):
        yield f"charge {s}", assessed.charges[:, s]
        for j in range(rules.scenario_columns):
            yield f"slack {s} {j}", slacks[:, s, j]
        if rules.minimum is not None:
            yield f"slack {s} minimum", slacks[:, s, -1]
    for j in range(rules.assets):
        yield f"held {j}", np.maximum(books.balances[:, j], 0)
        if rules.owed[j]:
            yield f"owed {j}", np.maximum(-books.balances[:, j], 0)


def _put_claim(
    template: BlockTemplate,
    exempt: npt.NDArray[np.bool_] | None,
    assessed: Assessment,
    put: Callable[[int, npt.NDArray[Any]], None],
) -> int:
    """Write exemptions, shortfalls and the claim's slack. Returns the sum of shortfalls."""
    integers, shortfalls = template.integers, 0
    if assessed.surplus is not None:
        slack = assessed.surplus
        if template.options.exempt and exempt is not None:
            bits = exempt.astype(np.int64)
            put(integers.index("exempt"), bits)
            put(integers.index("not exempt"), 1 - bits)
            slack = slack + integers.big * bits.astype(object)
        if template.options.cap is not None:
            den = template.options.den
            missing = np.array([max(0, -(x // den)) for x in slack.tolist()], dtype=object)
            put(integers.index("shortfall"), missing)
            shortfalls = int(missing.sum())
            slack = slack + den * missing
        put(integers.index("claim"), slack)
    return shortfalls
