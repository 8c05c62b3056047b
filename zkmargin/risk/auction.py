"""Pro rata: what fraction of an account must go, in closed form, and a Dutch auction of it.

Where every charge grows in proportion to the book (scenarios, rates; not size tiers), an account of which a fraction f
goes is (1 - f) times itself plus the proceeds, so the f that makes it whole solves one linear equation.

The auction is Derive's (v2-core, ``DutchAuction``): a fraction of the whole portfolio, so that hedges stay together.

    buffered  B = M + b (M - V)                  V the account's value, M its margin surplus (negative), b the buffer
    price of the whole   d (V - R)               d falls from ``start`` to ``knee``, then to 0;  R is reserved cash
    most that goes       f = B / (B - d V - (1 - d) R)

An auction begins where M < 0 and goes on until B is 0. An account that is worth nothing (V <= 0) is insolvent: the
price falls from 0 to a lower bound that a fund pays.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.engine.components import SCALE_BP
from zkmargin.formats import Document, InputError, PlainName


class AuctionTerms(Document):
    """The parameters of an auction.

    Attributes:
        buffer_bp: b, the part of the margin beyond the requirement that is restored.
        start_bp, knee_bp: the price at the start and after ``fast_seconds``, of what the account is worth.
        fast_seconds, slow_seconds: how long the price falls from start to knee, and from there to 0.
        insolvent_seconds: how long the fund's payment grows to the whole shortfall.
        fee_bp: of what the sold part is worth, paid by the account.
    """

    FORMAT: ClassVar[str] = "zkmargin/auction/v1"

    name: PlainName = Field(default="", max_length=200)
    buffer_bp: int = Field(default=1_500, ge=0, le=SCALE_BP)
    start_bp: int = Field(default=9_500, gt=0, le=SCALE_BP)
    knee_bp: int = Field(default=7_000, gt=0, le=SCALE_BP)
    fast_seconds: int = Field(default=900, gt=0, le=10**7)
    slow_seconds: int = Field(default=43_200, gt=0, le=10**7)
    insolvent_seconds: int = Field(default=3_600, gt=0, le=10**7)
    fee_bp: int = Field(default=1_000, ge=0, le=SCALE_BP)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.knee_bp > self.start_bp:
            raise InputError("above the price at the start", field="knee_bp")
        return self

    def price(self, seconds: int) -> Fraction:
        """d: the part of the value that is asked after so many seconds."""
        start, knee = Fraction(self.start_bp, SCALE_BP), Fraction(self.knee_bp, SCALE_BP)
        if seconds <= self.fast_seconds:
            return start - (start - knee) * Fraction(max(seconds, 0), self.fast_seconds)
        return knee * max(1 - Fraction(seconds - self.fast_seconds, self.slow_seconds), Fraction(0))


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered at a moment of an auction. Amounts are in the unit of what was given.

    Attributes:
        fraction: the most of the account that goes; the whole of it, where it is insolvent.
        price: asked for that fraction; negative is paid by a fund.
    """

    seconds: int
    solvent: bool
    fraction: Fraction
    price: Fraction


def offer(
    value: int, surplus: int, terms: AuctionTerms, *, seconds: int = 0, reserved: int = 0, lower: int | None = None
) -> Offer:
    """The offer at a moment.

    Args:
        value: V, what the account is worth: marks and balances before haircuts.
        surplus: M, its equity less its requirement.
        terms: of the auction.
        seconds: since it began.
        reserved: R, cash from earlier bids, which is not sold.
        lower: of an insolvent account, what a fund pays at most (negative); B without it.

    Example:
        >>> offer(100, -50, AuctionTerms(buffer_bp=0, start_bp=10_000)).fraction
        Fraction(1, 3)
    """
    buffered = surplus + Fraction(terms.buffer_bp, SCALE_BP) * (surplus - value)
    if buffered >= 0:
        return Offer(seconds, True, Fraction(0), Fraction(0))
    if value <= 0:
        paid = Fraction(min(max(seconds, 0), terms.insolvent_seconds), terms.insolvent_seconds)
        return Offer(seconds, False, Fraction(1), paid * (buffered if lower is None else lower))
    price = terms.price(seconds)
    whole = price * value + (1 - price) * reserved
    fraction = min(buffered / (buffered - whole), Fraction(1)) if whole > 0 else Fraction(1)
    return Offer(seconds, True, fraction, fraction * price * (value - reserved))


def closing_fraction(slack: int, requirement: int, cost: int) -> Fraction | None:
    """The part of every position whose closing makes a claim hold: ``-slack / (requirement - cost)``.

    Args:
        slack: ``den equity - num requirement``, negative.
        requirement: ``num requirement``, which falls in proportion.
        cost: ``den`` times what closing everything costs, in the same unit.

    Returns:
        A fraction in [0, 1], or None: not even all of it is enough.
    """
    if slack >= 0:
        return Fraction(0)
    if requirement <= cost:
        return None
    fraction = Fraction(-slack, requirement - cost)
    return fraction if fraction <= 1 else None
