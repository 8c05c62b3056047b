"""From a book to a witness of a claim, or to the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.circuits.language.witness import Witness, assign
from zkmargin.circuits.margin import build_circuit
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.decimals import to_cents
from zkmargin.engine.limits import Limit
from zkmargin.engine.margin import MarginReport, limit_slack, margin_report
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import ConstraintError


def margin_witness(snapshot: Snapshot, claim: Claim, lots: BookLots, limits: Sequence[Limit] = ()) -> Witness:
    """The witness that the claim, and every limit, holds for a book.

    Raises:
        InputError: a quantity outside its bound.
        ConstraintError: the claim or a limit is false; the message (for the owner of the book) names the binding
            scenarios and the shortfall, to the cent of the quote currency; ``shortfall`` is exact, in valuation units.
    """
    circuit = build_circuit(snapshot, claim, limits)
    circuit.refuse_retired(lots.positions, lots.collateral)
    try:
        return assign(circuit, lots.positions, lots.collateral)
    except ConstraintError:
        for limit in limits:
            outside = -limit_slack(limit, snapshot, lots, claim.requirement)
            if outside > 0:
                raise ConstraintError(f"the limit is not kept: {limit}", rule=limit.kind, shortfall=outside) from None
        raise _refusal(margin_report(snapshot, lots, claim.requirement), claim, snapshot.quote) from None


def _refusal(report: MarginReport, claim: Claim, quote: str) -> ConstraintError:
    """Why a claim is false, for the owner of the book: the amounts, the shortfall, the binding scenarios."""
    missing = -(report.slack(claim) // claim.den)
    binding = "; ".join(f"{g.group}: {g.label} ({_money(g.charge)})" for g in report.groups if g.charge)
    extra = "; ".join(f"{a.component} ({_money(a.amount)})" for a in report.additions if a.amount)
    ratio = f"{claim.num}/{claim.den}" if claim.den > 1 else str(claim.num)
    equity = to_cents(report.equity.total, VALUATION_DECIMALS)
    return ConstraintError(
        f"the claim is false: equity {equity} {quote} is below {ratio} x the {claim.requirement} "
        f"requirement {_money(report.total)} {quote}, short by {_money(-missing)} {quote}; "
        f"what binds: {'; '.join(part for part in (binding, extra) if part) or 'negative equity'}",
        rule="claim",
        shortfall=missing,
        hint=f"add collateral worth {_money(-missing)} {quote} after haircuts, or claim less",
    )


def _money(amount: int) -> str:
    """Valuation units as quote currency to the cent, rounded down: what is missing is a negative amount."""
    return to_cents(amount, VALUATION_DECIMALS).removeprefix("-")
