"""Accounts sorted into classes of a venue's proof: by what is claimed of them, and by how many legs they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from zkmargin.app.venue_accounts import Accounts, Int64Array, OwnClaim
from zkmargin.circuits.venue import (
    MAX_SLOTS,
    BlockClass,
    BlockTemplate,
    Ratio,
    VenueRules,
    choose_block,
    common_denominator,
    default_charge_bits,
)
from zkmargin.formats import InputError
from zkmargin.prover.venue.blocks import ClassBooks
from zkmargin.verifier.venue.terms import MAX_CLASSES, VenueTerms

#: Legs a slot of the classes that accounts are sorted into.
CLASS_LEGS = (4, 16, 64)
#: Of the least common multiple of all claims' denominators: the numbers of an account are over it.
MAX_DENOMINATOR_BITS = 64
#: Accounts that are put into arrays at a time.
AT_ONCE = 1 << 16
NetChoice = Literal["none", "public", "zero"]


@dataclass(frozen=True)
class Asked:
    """What a venue wants to prove.

    Attributes:
        venue: its name.
        requirement, claim: of every account; claim as text, "1" or "5/4".
        net: nothing, the books' sums as they are, or 0 for every instrument.
        totals: whether totals of held balances are public.
        cap: the most that all shortfalls may be, decimal text in quote currency, or None.
        exempt: how many accounts may miss their claim, or None.
        context: of the statement.
        limits: of every account, in canonical text: ``headroom >= X``.
        position_bits, digit_bits: bounds; what the books and the domain need without.
        own: accounts, in blocks or by their own commitments, of which something else is claimed, or nothing.
    """

    venue: str
    requirement: Literal["initial", "maintenance"] = "initial"
    claim: str = "1"
    net: NetChoice = "none"
    totals: bool = False
    cap: str | None = None
    exempt: int | None = None
    context: bytes = b""
    limits: tuple[str, ...] = ()
    position_bits: int = 22
    digit_bits: int | None = None
    own: Mapping[str, OwnClaim] | None = None

    def of(self, name: str) -> OwnClaim:
        """What is claimed of an account."""
        return (self.own or {}).get(name) or OwnClaim(self.claim, self.limits)


@dataclass(frozen=True, repr=False)
class Shapes:
    """For every position of some accounts the slot and the leg that it takes, if slots have so many legs.

    Attributes:
        largest: int64 [accounts] positions in the risk group that has most.
    """

    accounts: Accounts
    mine: Int64Array
    owner: Int64Array
    place: Int64Array
    pair: Int64Array
    rank: Int64Array
    pair_owner: Int64Array
    pair_size: Int64Array
    largest: Int64Array

    @classmethod
    def of(cls, accounts: Accounts, mine: Int64Array, rules: VenueRules) -> Shapes:
        """Of the accounts at these places: their positions by risk group, groups in the order of instruments."""
        owner, place = accounts.owners(mine)
        group_of = np.array(rules.group_of or (0,), dtype=np.int64)
        groups = group_of[accounts.instruments[place]]
        key = owner * (int(group_of.max()) + 1) + groups
        _, first, inverse, size = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        by_first = np.argsort(first, kind="stable")  # pairs of account and group, in the order in which they are met
        number = np.empty_like(by_first)
        number[by_first] = np.arange(len(by_first))
        pair = number[inverse.reshape(-1)]
        order = np.argsort(pair, kind="stable")
        size, pair_owner = size[by_first], owner[first[by_first]]
        rank = np.arange(len(order), dtype=np.int64) - (np.cumsum(size) - size)[pair[order]]
        largest = np.zeros(len(mine), dtype=np.int64)
        np.maximum.at(largest, pair_owner, size)
        return cls(accounts, mine, owner[order], place[order], pair[order], rank, pair_owner, size, largest)

    def needed(self, legs: Int64Array) -> Int64Array:
        """Slots that each account takes, if its slots have so many legs each."""
        return self._slots(legs)[1]

    def _slots(self, legs: Int64Array) -> tuple[Int64Array, Int64Array]:
        of_pair = -(-self.pair_size // legs[self.pair_owner])
        needed = np.zeros(len(self.mine), dtype=np.int64)
        np.add.at(needed, self.pair_owner, of_pair)
        return of_pair, needed

    def put(self, books: ClassBooks, at: int, rules: VenueRules) -> None:
        """Write the positions of these accounts into a class's arrays, from account ``at`` on."""
        legs = books.lots.shape[2]
        of_pair, needed = self._slots(np.full(len(self.mine), legs, dtype=np.int64))
        first = np.cumsum(of_pair) - of_pair - (np.cumsum(needed) - needed)[self.pair_owner]
        slot, leg = first[self.pair] + self.rank // legs, self.rank % legs
        instruments, begins = self.accounts.instruments[self.place].astype(np.int64), leg == 0
        account = self.owner + at
        books.groups[account[begins], slot[begins]] = np.array(rules.group_of or (0,))[instruments[begins]]
        books.instruments[account[begins], slot[begins], :] = instruments[begins, None]  # of legs that stay empty
        books.instruments[account, slot, leg] = instruments
        books.lots[account, slot, leg] = self.accounts.lots[self.place]


def sort_into_classes(
    accounts: Accounts, rules: VenueRules, asked: Asked, n: int
) -> tuple[tuple[BlockClass, ...], tuple[Int64Array, ...]]:
    """The classes of 4, 16 and 64 legs that hold all accounts, one for each claim, and which accounts are in which.

    Raises:
        InputError: an account that no class holds, by name; too many claims, or denominators that have little in
            common.
    """
    count = len(accounts)
    kinds: dict[OwnClaim, int] = {OwnClaim(asked.claim, asked.limits): 0}
    claims = np.zeros(count, dtype=np.int64)
    if asked.own:
        claims[:] = [kinds.setdefault(asked.of(name), len(kinds)) for name in accounts.names]
    legs, slots = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    most = MAX_SLOTS if rules.policy is None else 1
    for start in range(0, count, AT_ONCE):
        mine = np.arange(start, min(start + AT_ONCE, count), dtype=np.int64)
        shapes = Shapes.of(accounts, mine, rules)
        legs[mine] = np.array(CLASS_LEGS)[np.minimum(np.searchsorted(CLASS_LEGS, shapes.largest), len(CLASS_LEGS) - 1)]
        slots[mine] = shapes.needed(legs[mine])
    if (slots > most).any():
        a = int(np.argmax(slots > most))
        raise InputError(
            f"{slots[a]} slots of {legs[a]} legs, more than {most}: too large for a block",
            field=f"account {accounts.names[a][:100]}",
            hint="commit its book and prove it as a dense account",
        )
    counted = len(set(zip(legs.tolist(), claims.tolist(), strict=True)))
    if counted > MAX_CLASSES:
        raise InputError(
            f"{counted} classes, more than {MAX_CLASSES}: each claim, for each of 4, 16 or 64 legs, is one",
            field="claims",
            hint="claim the same of more accounts",
        )
    options = _options(asked, n, kinds)
    classes, members = [], []
    for claimed, kind in kinds.items():
        for most_legs in CLASS_LEGS:
            mine = np.flatnonzero((legs == most_legs) & (claims == kind))
            if len(mine):
                needed = max(1, int(slots[mine].max()))
                classes.append(_class_of(claimed, kind, most_legs, needed, len(mine), rules, asked, options, n))
                members.append(mine)
    return tuple(classes), tuple(members)


def _options(asked: Asked, n: int, kinds: Mapping[OwnClaim, int]) -> Any:
    """What templates depend on, before there are terms."""
    probe = VenueTerms(
        venue="-",
        requirement=asked.requirement,
        domain_size=n,
        digit_bits=asked.digit_bits or n.bit_length() - 1,
        helper_group=7,
        classes=(BlockClass(name="-", accounts=1, legs=1, slots=1, block=1, position_bits=1, charge_bits=1),),
    )
    ratios = [Ratio.parse(kind.claim) for kind in (*kinds, *(asked.own or {}).values()) if kind.claim is not None]
    den = common_denominator(ratios)
    if den.bit_length() > MAX_DENOMINATOR_BITS:
        raise InputError(
            f"denominators whose least common multiple has {den.bit_length()} bits, more than {MAX_DENOMINATOR_BITS}",
            field="claims",
            hint="claim ratios of one denominator, as 1.05 and 1.25",
        )
    return replace(probe.options, den=den)


def _class_of(
    claimed: OwnClaim,
    kind: int,
    legs: int,
    slots: int,
    count: int,
    rules: VenueRules,
    asked: Asked,
    options: Any,
    n: int,
) -> BlockClass:
    """The class of so many accounts, with the block that costs least; its name says nothing of what is claimed."""
    more = "" if kind == 0 else f" ({kind + 1})"
    limits: dict[str, Any] = {"limits": claimed.limits} if claimed.limits else {}
    candidates = [
        BlockTemplate(
            BlockClass(
                name=f"up to {legs} legs{more}",
                accounts=count,
                legs=legs,
                slots=slots,
                block=block,
                position_bits=asked.position_bits,
                charge_bits=default_charge_bits(rules, legs, asked.position_bits, options.digit_bits),
                claim=claimed.claim,
                **limits,
            ),
            rules,
            options,
            n,
        )
        for block in (1, 2, 4, 8, 16, 32, 64)
        if slots <= block <= n
    ]
    return choose_block(candidates).spec


def class_books(spec: BlockClass, accounts: Accounts, members: Int64Array, rules: VenueRules) -> ClassBooks:
    """The books of a class as arrays.

    Raises:
        InputError: an account that takes more slots than the class has, by name.
    """
    count, K, L = len(members), spec.slots, spec.legs
    books = ClassBooks(
        [accounts.names[a] for a in members.tolist()],
        np.zeros((count, K), dtype=np.int64),
        np.zeros((count, K, L), dtype=np.int64),
        np.zeros((count, K, L), dtype=np.int64),
        np.ascontiguousarray(accounts.balances[members]).reshape(count, rules.assets),
    )
    for start in range(0, count, AT_ONCE):
        mine = members[start : start + AT_ONCE]
        shapes = Shapes.of(accounts, mine, rules)
        over = shapes.needed(np.full(len(mine), L, dtype=np.int64)) > K
        if over.any():
            name = books.names[start + int(np.argmax(over))]
            raise InputError(f"takes more than {K} slots of {L} legs", field=f"account {name[:100]}")
        shapes.put(books, start, rules)
    return books


def members_of(accounts: Accounts, classes: Sequence[Sequence[str]]) -> tuple[Int64Array, ...]:
    """Where the accounts of each class are. Raises KeyError for an unknown name."""
    place = {name: a for a, name in enumerate(accounts.names)}
    return tuple(np.array([place[name] for name in mine], dtype=np.int64) for mine in classes)
