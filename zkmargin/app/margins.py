"""The margin of a book and all that explains it. Secret: about one book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.app.facts import snapshot_facts
from zkmargin.engine.book import BookLots, sum_of_books
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.components import REQUIREMENTS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.explain import ArrayRow, WhatIf, marginals, risk_array, what_if
from zkmargin.engine.greeks import GreekReport, greek_report
from zkmargin.engine.margin import MarginReport, margin_report
from zkmargin.engine.market import Market
from zkmargin.engine.netting import Netting, netting
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import about


@dataclass(frozen=True)
class Explained:
    """A book's margin. Amounts are integers in the units that each part states.

    Attributes:
        snapshot: what it is computed from.
        requirement: the one that was asked for.
        reports: the margin under every requirement.
        marginals: what each leg adds to the requirement, in the report's order (valuation units).
        greeks: of the book, its underlyings and legs.
        netting: what margining several books as one saves; None for one book.
        what_if: before and after trades; None without trades.
        array: the P&L in every scenario, if it was asked for.
    """

    snapshot: Snapshot
    requirement: str
    reports: Mapping[str, MarginReport]
    marginals: Sequence[int]
    greeks: GreekReport
    netting: Netting | None
    what_if: WhatIf | None
    array: Sequence[ArrayRow] | None

    @property
    def report(self) -> MarginReport:
        """The margin under the requirement that was asked for."""
        return self.reports[self.requirement]

    @property
    def other(self) -> MarginReport:
        """The margin under the other requirement."""
        return next(report for name, report in self.reports.items() if name != self.requirement)

    def facts(self) -> dict[str, Any]:
        """Everything for programs; ``marginals`` are of the requirement that was asked for."""
        amounts = zip((leg.id for leg in self.report.legs), self.marginals, strict=True)
        return {
            "snapshot": snapshot_facts(self.snapshot),
            "requirements": {name: report.model_dump(mode="json") for name, report in self.reports.items()},
            "marginals": {name: from_units(amount, VALUATION_DECIMALS) for name, amount in amounts},
            "greeks": self.greeks.model_dump(mode="json"),
            "netting": None if self.netting is None else self.netting.model_dump(mode="json"),
            "what_if": None if self.what_if is None else self.what_if.model_dump(mode="json"),
            "array": None if self.array is None else [row.model_dump(mode="json") for row in self.array],
        }


def explain_margin(
    snapshot: Snapshot,
    books: Mapping[str, BookLots],
    requirement: str = "initial",
    *,
    trades: BookLots | None = None,
    market: Market | None = None,
    with_array: bool = False,
) -> Explained:
    """The margin of a book, or of several that are parts of one account.

    Args:
        snapshot: the public risk snapshot.
        books: by their names.
        requirement: what marginals, netting, trades and the array are about.
        trades: what if these were done.
        market: Greeks from this market instead of the snapshot.
        with_array: also the P&L in every scenario.

    Raises:
        InputError: a book of another snapshot, a sum that leaves its bounds, a market of other instruments; the
            ``subject`` is "market" or "trades" where these are at fault.
    """
    lots = sum_of_books(list(books.values()), snapshot)
    with about("market" if market is not None else None):
        greeks = greek_report(snapshot, lots, market)
    with about("trades"):
        compared = None if trades is None else what_if(snapshot, lots, trades, requirement)
    return Explained(
        snapshot=snapshot,
        requirement=requirement,
        reports={name: margin_report(snapshot, lots, name) for name in REQUIREMENTS},
        marginals=marginals(snapshot, lots, requirement),
        greeks=greeks,
        netting=netting(snapshot, list(books.items()), requirement) if len(books) > 1 else None,
        what_if=compared,
        array=risk_array(snapshot, lots, requirement) if with_array else None,
    )
