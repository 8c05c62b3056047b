"""Limits: further public claims about a book, proved beside its margin without revealing more.

    headroom >= 100000              equity less requirement, in quote currency
    net-exposure BTC <= 120.5       |sum of deltas| of an underlying, in its own units
    gross-exposure BTC <= 400       sum of |deltas|: nothing nets
    position BTC-PERPETUAL <= 50    |position| in one instrument, in the instrument's units
    collateral USDC >= 250000       the balance of an asset, before haircuts, in its units

Deltas are the snapshot's (``Snapshot.deltas``): the P&L per relative move of the price, divided by the index.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError

#: kind -> (has a subject, the relation it is stated with)
KINDS = {
    "headroom": (False, ">="),
    "net-exposure": (True, "<="),
    "gross-exposure": (True, "<="),
    "position": (True, "<="),
    "collateral": (True, ">="),
}
MAX_LIMITS = 64
DELTA_SCALE = 10**9
_FORM = re.compile(r"(?P<kind>[a-z-]+)(?: +(?P<subject>\S+))? *(?P<relation><=|>=) *(?P<bound>\S+)")
_MAX_BOUND_BITS = 120


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. ``subject`` is an underlying, an instrument or an asset; empty for headroom.

    Raises:
        InputError: an unknown kind, a missing subject, the wrong relation, or a bound that is negative or too large.

    Example:
        >>> str(Limit.parse("headroom >= 1000"))
        'headroom >= 1000'
    """

    kind: str
    subject: str
    bound: Fraction

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one of the forms above."""
        match = _FORM.fullmatch(text.strip())
        if match is None or match["kind"] not in KINDS:
            raise InputError(
                "not a limit", field="limit", hint='for example "net-exposure BTC <= 120.5"; kinds: ' + ", ".join(KINDS)
            )
        kind, subject = match["kind"], match["subject"] or ""
        has_subject, relation = KINDS[kind]
        if bool(subject) != has_subject or match["relation"] != relation:
            raise InputError(f"{kind} is stated as: {kind}{' NAME' * has_subject} {relation} NUMBER", field="limit")
        whole, slash, part = match["bound"].partition("/")
        bound = to_fraction(whole, field=f"limit {kind}")
        if slash:  # the canonical text of a bound that is not whole
            below = to_fraction(part, field=f"limit {kind}")
            if below <= 0:
                raise InputError("a ratio with a denominator that is not above 0", field=f"limit {kind}")
            bound /= below
        if bound < 0 or bound.numerator.bit_length() > _MAX_BOUND_BITS:
            raise InputError("a bound from 0 up, of a sensible size", field=f"limit {kind}")
        return cls(kind, subject, bound)

    def __str__(self) -> str:
        """The canonical text, which a statement absorbs: exact, as a fraction where the bound is not whole."""
        subject = f" {self.subject}" if self.subject else ""
        return f"{self.kind}{subject} {KINDS[self.kind][1]} {self.bound}"

    def slot(self, snapshot: Snapshot) -> int:
        """The place of the subject: group, instrument slot or collateral slot. Raises InputError if unknown."""
        names: list[str]
        if self.kind == "position":
            names = [slot.id for slot in snapshot.instruments]
        elif self.kind == "collateral":
            names = [slot.asset for slot in snapshot.collateral]
        else:
            names = [slot.underlying for slot in snapshot.instruments]
        if self.subject not in names:
            raise InputError(f"the snapshot has no {self.subject}", field=f"limit {self.kind}")
        return names.index(self.subject)

    def integer_bound(self, snapshot: Snapshot) -> int:
        """The bound in the integers that are compared: valuation units, 1e-9 of delta, or lots.

        Rounded so that the limit means the same: lots are whole numbers.
        """
        if self.kind == "headroom":
            return _up(self.bound * 10**VALUATION_DECIMALS)
        if self.kind == "position":
            return self.bound // to_fraction(snapshot.instruments[self.slot(snapshot)].lot)
        if self.kind == "collateral":
            return _up(self.bound / to_fraction(snapshot.collateral[self.slot(snapshot)].lot))
        return self.bound * DELTA_SCALE // 1


def _up(x: Fraction) -> int:
    return -(-x // 1)
