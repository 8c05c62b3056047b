"""Where a book stands at a snapshot: each figure is computed once, when somebody first asks for it. Secret."""

from __future__ import annotations

from functools import cached_property

from zkmargin.agent.account import Chosen
from zkmargin.agent.config import Venue
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units, to_cents
from zkmargin.engine.margin import MarginReport, equity, limit_slack, margin_report, requirement_total
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError


class Standing:
    """A book at a snapshot. Secret.

    Args:
        snapshot: at which.
        chosen: the generations that make the book.
        latest: whether the snapshot is the newest one.
        which: of the book, where it is not the only one: ", for the book after the newest fills".
    """

    def __init__(self, snapshot: Snapshot, chosen: Chosen, *, latest: bool, which: str = "") -> None:
        self.snapshot, self.chosen, self.latest, self.which = snapshot, chosen, latest, which
        self._requirements: dict[str, int] = {}
        self._reports: dict[str, MarginReport] = {}

    @cached_property
    def equity(self) -> int:
        """What the book is worth, in valuation units."""
        return equity(self.snapshot, self.chosen.lots).total

    def requirement(self, name: str) -> int:
        """A requirement's total, in valuation units. Raises InputError as ``margin_report`` does."""
        if name not in self._requirements:
            self._requirements[name] = requirement_total(self.snapshot, self.chosen.lots, name)
        return self._requirements[name]

    def report(self, name: str) -> MarginReport:
        """The margin with what binds: as much work as twenty of the totals. Raises InputError as ``margin_report``."""
        if name not in self._reports:
            self._reports[name] = margin_report(self.snapshot, self.chosen.lots, name)
        return self._reports[name]

    def check(self, venue: Venue) -> None:
        """Whether a venue's claim and limits hold, before anything is asked for or proved.

        Raises:
            ConstraintError: one does not; ``shortfall`` is exact, in valuation units.
            InputError: a limit on what the snapshot does not have, or a book that leaves its bounds.
        """
        claim = venue.parsed_claim
        slack = claim.den * self.equity - claim.num * self.requirement(claim.requirement)
        if slack < 0:
            missing = -(slack // claim.den)
            short = f"short by {cents(-missing).removeprefix('-')} {self.snapshot.quote}"
            raise ConstraintError(f"the claim is false{self.which}: {short}", rule="claim", shortfall=missing)
        for limit in venue.parsed_limits:
            outside = -limit_slack(limit, self.snapshot, self.chosen.lots, claim.requirement)
            if outside > 0:
                raise ConstraintError(f"the limit is not kept{self.which}: {limit}", rule=limit.kind, shortfall=outside)


def money(amount: int) -> str:
    """An amount in valuation units as decimal text."""
    return from_units(amount, VALUATION_DECIMALS)


def cents(amount: int) -> str:
    """An amount in valuation units to the cent, rounded down."""
    return to_cents(amount, VALUATION_DECIMALS)
