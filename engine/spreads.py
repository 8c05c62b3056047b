"""SPAN spreads: published pairs (or more) of legs formed from residual deltas, in published order.

Every *account* (a contract month, a combined commodity) has long deltas and short deltas. A spread names, for each
leg, the accounts that it may take deltas from, how many deltas one spread takes there, and its market side: legs on
side A are long while those on side B are short, or the other way round. Spreads are formed one after the other, each
as often as the deltas that are left allow. CME, "SPAN methodology": intra-commodity (calendar) and inter-commodity
spreading.

The order is the rule, so there is one function for it, ``form_spreads``. It works on whatever can be added and
multiplied by integers: the engine runs it on integers, the circuit on hidden forms, explanations on shares per leg.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeVar

from pydantic import Field, model_validator

from zkmargin.formats import InputError, Model, PlainName, Seq

MAX_LEGS = 8
MAX_RATIO = 10**6
#: Spreads in a list, accounts on a leg, and accounts times legs: each leg is looked up among all accounts.
MAX_SPREADS = 1 << 16
MAX_ACCOUNTS_OF_LEG = 4096
MAX_LOOKUPS = 1 << 26


class Amount(Protocol):
    """What deltas are: integers, or anything linear over them."""

    def __add__(self, other: Self, /) -> Self: ...
    def __sub__(self, other: Self, /) -> Self: ...
    def __mul__(self, other: int, /) -> Self: ...


A = TypeVar("A", bound=Amount)


class PublishedLeg(Model):
    """One leg: ``ratio`` deltas a spread from the accounts together, long on side A when B is short."""

    accounts: Seq[int] = Field(min_length=1, max_length=MAX_ACCOUNTS_OF_LEG)
    ratio: int = Field(ge=1, le=MAX_RATIO)
    side: Literal["A", "B"]


class PublishedSpread(Model):
    """A spread. Legs of one side may not share an account: they would compete for its deltas."""

    label: PlainName = Field(max_length=200)
    legs: Seq[PublishedLeg] = Field(min_length=2, max_length=MAX_LEGS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if {leg.side for leg in self.legs} != {"A", "B"}:
            raise InputError("a spread needs a leg on side A and a leg on side B", field=self.label)
        for side in "AB":
            taken = [account for leg in self.legs if leg.side == side for account in leg.accounts]
            if len(set(taken)) != len(taken):
                raise InputError(f"two legs on side {side} take from one account", field=self.label)
        return self

    @property
    def mirrored(self) -> bool:
        """Whether turning the sides round changes nothing: one tier against itself."""
        sides = [sorted((leg.accounts, leg.ratio) for leg in self.legs if leg.side == side) for side in "AB"]
        return sides[0] == sides[1]


def check_spreads(spreads: Sequence[PublishedSpread], accounts: int) -> None:
    """Check that the spreads have one meaning.

    Raises:
        InputError: more than can be looked up, an unknown account, or a leg on a part of a tier after the tier was
            spread as a whole: no order in which a tier's deltas are used up within it is published.
    """
    if accounts * sum(len(spread.legs) for spread in spreads) > MAX_LOOKUPS:
        raise InputError(f"accounts times legs of spreads above {MAX_LOOKUPS}", field="spreads")
    for spread in spreads:
        for leg in spread.legs:
            if not all(0 <= account < accounts for account in leg.accounts):
                raise InputError("an account that does not exist", field=spread.label)
    form_spreads(spreads, [(0, 0)] * accounts, lambda _deltas, _ratios: 0)


def spread_terms(spreads: Sequence[PublishedSpread], accounts: int) -> int:
    """Terms of the equations that form the spreads: two a leg, of what is left on it (circuits/spreads.py)."""
    terms = 0

    def smallest(deltas: Sequence[_Terms], _ratios: Sequence[int]) -> _Terms:
        nonlocal terms
        terms += 2 * sum(delta.count for delta in deltas)
        return _Terms(1)

    form_spreads(spreads, [(_Terms(1), _Terms(1))] * accounts, smallest)
    return terms


@dataclass(frozen=True, slots=True)
class _Terms:
    """How many terms a form has, at most."""

    count: int

    def __add__(self, other: _Terms) -> _Terms:
        return _Terms(self.count + other.count)

    def __sub__(self, other: _Terms) -> _Terms:
        return self + other

    def __mul__(self, factor: int) -> _Terms:
        return self


def form_spreads(
    spreads: Sequence[PublishedSpread],
    accounts: Sequence[tuple[A, A]],
    smallest: Callable[[Sequence[A], Sequence[int]], A],
) -> list[A]:
    """How many of each spread are formed.

    Args:
        spreads: in published order.
        accounts: long and short deltas of each account.
        smallest: the number of spreads that deltas allow: the least of deltas / ratio, rounded down.

    Returns:
        One count for each spread, both market sides together.

    Raises:
        InputError: as ``check_spreads``.
    """
    block_of = list(range(len(accounts)))
    left = [list(sides) for sides in accounts]
    counts = []
    for spread in spreads:
        for leg in spread.legs:
            _merge(leg.accounts, block_of, left, spread.label)
        # again: a later leg of the same spread may have merged what an earlier one takes a part of
        blocks = [_merge(leg.accounts, block_of, left, spread.label) for leg in spread.legs]
        total: A | None = None
        for turned in (False,) if spread.mirrored else (False, True):
            sides = [int((leg.side == "B") != turned) for leg in spread.legs]
            ratios = [leg.ratio for leg in spread.legs]
            count = smallest([left[block][side] for block, side in zip(blocks, sides, strict=True)], ratios)
            for block, side, ratio in zip(blocks, sides, ratios, strict=True):
                left[block][side] = left[block][side] - count * ratio
            total = count if total is None else total + count
        if total is not None:
            counts.append(total)
    return counts


def _merge(chosen: Sequence[int], block_of: list[int], left: list[list[A]], label: str) -> int:
    """The one block that holds these accounts, their deltas added up."""
    blocks = list(dict.fromkeys(block_of[account] for account in chosen))
    taken = frozenset(blocks)
    if sum(block in taken for block in block_of) != len(set(chosen)):
        raise InputError(
            "takes from a part of a tier after the tier was spread as a whole: no order within it is published",
            field=label,
            hint="put spreads of single expiries before those of their tiers",
        )
    first = blocks[0]
    for other in blocks[1:]:
        for side in (0, 1):
            left[first][side] = left[first][side] + left[other][side]
    for account in chosen:
        block_of[account] = first
    return first


class Shares:
    """An integer that is a sum of shares of legs: linear, so that what spreads cost can be told apart by leg.

    Attributes:
        parts: one integer for each leg.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[int]) -> None:
        self.parts = tuple(parts)

    def __add__(self, other: Shares) -> Shares:
        return Shares([a + b for a, b in zip(self.parts, other.parts, strict=True)])

    def __sub__(self, other: Shares) -> Shares:
        return Shares([a - b for a, b in zip(self.parts, other.parts, strict=True)])

    def __mul__(self, factor: int) -> Shares:
        return Shares([a * factor for a in self.parts])

    @property
    def total(self) -> int:
        """What the shares add up to."""
        return sum(self.parts)


def smallest_count(deltas: Sequence[int], ratios: Sequence[int]) -> int:
    """``smallest`` on integers."""
    return min(delta // ratio for delta, ratio in zip(deltas, ratios, strict=True))


def smallest_share(deltas: Sequence[Shares], ratios: Sequence[int]) -> Shares:
    """``smallest`` on shares: those of the leg that binds, rounded so that they add up to the count."""
    totals = [delta.total for delta in deltas]
    count = smallest_count(totals, ratios)
    at = next(i for i, (total, ratio) in enumerate(zip(totals, ratios, strict=True)) if total // ratio == count)
    parts = [part // ratios[at] for part in deltas[at].parts]
    if parts:
        largest = max(range(len(parts)), key=lambda i: abs(parts[i]))
        parts[largest] += count - sum(parts)
    return Shares(parts)
