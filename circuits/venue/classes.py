"""Classes of small accounts as terms state them, claims and limits, and what a statement adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.limits import Limit
from zkmargin.formats import InputError, Model, PlainName, Seq, Since

MAX_LEGS = 64
MAX_SLOTS = 16
MAX_BLOCK = 64
MAX_ACCOUNTS = 1 << 24
MAX_CHARGE_BITS = 62

RatioText = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}(/[1-9][0-9]{0,4})?$")]


@dataclass(frozen=True)
class Ratio:
    """num : den in lowest terms."""

    num: int
    den: int

    @classmethod
    def parse(cls, text: str) -> Ratio:
        """Read a claim's ratio. Raises InputError."""
        claim = Claim.parse(text)
        return cls(claim.num, claim.den)

    def __str__(self) -> str:
        return str(self.num) if self.den == 1 else f"{self.num}/{self.den}"


#: Limits of a class or of a large account (engine/limits.py), in canonical text.
Limits = Annotated[Seq[Annotated[str, Field(max_length=400)]], Since(2), Field(max_length=1)]


def headroom_of(limits: Sequence[str], claim: str | None) -> int:
    """By how much equity exceeds the claimed multiple of the requirement at least, valuation units.

    Raises:
        InputError: a limit that venue proofs do not have, by its kind, one that is not in canonical text, or one of
            accounts of which nothing is claimed.
    """
    headroom = 0
    for text in limits:
        limit = Limit.parse(text)
        if limit.kind != "headroom":
            raise InputError(f"{limit.kind}: venue proofs have no such limit", field="limits")
        if str(limit) != text:
            raise InputError(f"not in canonical text: {limit}", field="limits")
        if claim is None:
            raise InputError("a limit where nothing is claimed", field="limits")
        headroom = -(-limit.bound * 10**VALUATION_DECIMALS // 1)
    return headroom


class BlockClass(Model):
    """A class of small accounts: how many, how large each may be, and what is claimed of each.

    Attributes:
        name: of the class, for people.
        accounts: M_c, the number of accounts (pad with empty ones to hide it).
        legs: L, positions that a group slot holds at most.
        slots: K, group slots of an account.
        block: B, rows of a block: a power of two.
        position_bits: each side of a leg is below 2^(whole digits of this).
        charge_bits: charges of a slot, and slacks beside them, are below 2^(whole digits of this), money units.
        claim: equity : requirement, ``"1"`` or ``"5/4"``; None where nothing is claimed of the class: its accounts
            count in net positions and totals only.
        limits: further claims of each account, in canonical text: ``headroom >= X`` alone.
    """

    name: PlainName = Field(min_length=1, max_length=100)
    accounts: int = Field(ge=1, le=MAX_ACCOUNTS)
    legs: int = Field(ge=1, le=MAX_LEGS)
    slots: int = Field(ge=1, le=MAX_SLOTS)
    block: int = Field(ge=1, le=MAX_BLOCK)
    position_bits: int = Field(ge=1, le=60)
    charge_bits: int = Field(ge=1, le=MAX_CHARGE_BITS)
    claim: RatioText | None = "1"
    limits: Limits = ()

    @model_validator(mode="after")
    def _check(self) -> BlockClass:
        headroom_of(self.limits, self.claim)
        if self.block & (self.block - 1):
            raise InputError("not a power of two", field="block")
        if self.slots > self.block:
            raise InputError(f"{self.slots} slots do not fit a block of {self.block} rows", field="block")
        if self.claim is not None and str(self.ratio) != self.claim:
            raise InputError("not in lowest terms", field="claim")
        return self

    @property
    def ratio(self) -> Ratio | None:
        """The claim as two integers, or None."""
        return None if self.claim is None else Ratio.parse(self.claim)


@dataclass(frozen=True)
class Options:
    """What a statement adds to the claims, as far as templates depend on it (docs/protocol-venue.md section 2).

    Attributes:
        digit_bits: k, every bounded integer is written in base 2^k.
        den: DEN, the least common multiple of all claims' denominators.
        exempt: whether accounts may be marked as exempt.
        cap: the cap on all shortfalls together, valuation units, or None.
        totals: whether the totals of held balances are public.
        copies: the largest V of all classes: how many rows may repeat a group.
    """

    digit_bits: int
    den: int
    exempt: bool
    cap: int | None
    totals: bool
    copies: int
