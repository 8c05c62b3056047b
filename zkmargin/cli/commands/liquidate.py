"""``zkmargin liquidate``: the least costly trades after which a claim holds again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import click

from zkmargin.app.facts import snapshot_facts
from zkmargin.app.files import Output, load, load_lots, write_outputs
from zkmargin.app.liquidating import Liquidated, ShownOffer, liquidate, liquidation_prices
from zkmargin.app.reports.planned import plan_page
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import also_option, json_option, parse_limits, requirement_option, snapshot_option
from zkmargin.cli.paths import check_paths, refuse_twice
from zkmargin.cli.statements import gathered
from zkmargin.cli.words import money
from zkmargin.engine.book import to_book
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.decimals import to_units
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.risk.auction import AuctionTerms
from zkmargin.risk.costs import DEFAULT_COSTS, Costs
from zkmargin.risk.path import LiquidationPrice, parse_ratios
from zkmargin.risk.plans import MODES, SECONDS, Mode, Plan, Position, ProRata, Terms

#: What the planner calls its arguments, and the options that they were given by.
OPTIONS = {"tradable": "--may-trade", "cash": "--cash"}

#: A bound that is further off says nothing: a single lot is more than is needed.
MAX_GAP = 1.0


@dataclass(frozen=True, kw_only=True)
class LiquidateOptions:
    """The options of ``zkmargin liquidate``."""

    book_paths: tuple[str, ...]
    snapshot_path: str
    to_text: str
    requirement: str
    costs_path: str | None
    patterns: tuple[str, ...]
    mode: Mode
    cash_name: str | None
    also_texts: tuple[str, ...]
    seconds: float
    compare: bool
    with_pro_rata: bool
    auction_path: str | None
    with_prices: bool
    market_path: str | None
    ratio_texts: tuple[str, ...]
    fills_path: str | None
    after_path: str | None
    html_path: str | None
    as_json: bool


@click.command(
    "liquidate",
    cls=Command,
    examples=[
        "zkmargin liquidate book.json --snapshot snapshot.json --to 1.0",
        "zkmargin liquidate book.json --snapshot snapshot.json --mode close --costs costs.json --fills my-fills.json",
        "zkmargin liquidate book.json --snapshot snapshot.json --may-trade '*-PERPETUAL' --mode neutralise",
        "zkmargin liquidate book.json --snapshot snapshot.json --market market.json --prices --pro-rata",
        "zkmargin liquidate book.json --snapshot snapshot.json --compare --html my-plan.html",
    ],
)
@click.argument("book_paths", metavar="BOOK...", nargs=-1, required=True)
@snapshot_option
@click.option(
    "--to",
    "to_text",
    default="1.0",
    show_default=True,
    metavar="RATIO",
    help="Equity : requirement that the plan must reach, 1.25 or 5/4.",
)
@requirement_option
@click.option("--costs", "costs_path", metavar="FILE", help="What trading costs; without it, assumed spreads and fees.")
@click.option(
    "--may-trade",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Instruments that may be traded, * and ? match; several may be given. Without it, all.",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="any",
    show_default=True,
    help="any: close, reduce, hedge; close: positions only get smaller; neutralise: futures, perpetuals and spot, net "
    "deltas only get smaller.",
)
@click.option(
    "--cash",
    "cash_name",
    metavar="ASSET",
    help="The asset that premiums and costs are paid from; without it, one that counts in full.",
)
@also_option
@click.option(
    "--seconds",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 600),
    default=SECONDS,
    show_default=True,
    help="Time for the search of the best whole lots, in seconds.",
)
@click.option("--compare", is_flag=True, help="Also close by contribution, as venues do, and say what that costs.")
@click.option("--pro-rata", "with_pro_rata", is_flag=True, help="What part of every position would have to be closed.")
@click.option(
    "--auction",
    "auction_path",
    metavar="FILE",
    help='Also what a Dutch auction with these parameters offers; {"format": "zkmargin/auction/v1"} has the defaults.',
)
@click.option("--prices", "with_prices", is_flag=True, help="Each underlying's liquidation prices (needs --market).")
@click.option("--market", "market_path", metavar="FILE", help="The market that the snapshot was built from.")
@click.option(
    "--moves-with",
    "ratio_texts",
    multiple=True,
    metavar="NAME=RATIO",
    help="For --prices: another underlying that moves along, ETH=1.2.",
)
@click.option("--fills", "fills_path", metavar="FILE", help='Write the plan as fills for "zkmargin update" (secret).')
@click.option("--after", "after_path", metavar="FILE", help="Write the book after the plan (secret).")
@click.option("--html", "html_path", metavar="FILE", help="Write a page with tables and charts (secret: mode 0600).")
@json_option
@gathered(LiquidateOptions)
def command(given: LiquidateOptions) -> None:
    """The least costly trades after which BOOK's equity is at least RATIO times its requirement.

    The plan comes from the very equations that a proof shows, in whole lots, and is checked by exact integers: after
    the last step the claim can be proved. Steps come in an order in which each lowers the shortfall, most relief for
    its cost first, so that partial execution helps. Exit code 1 where no permitted trades are enough, with the reason.

    Trades are made at the snapshot's marks and cost what --costs says:
    {"format": "zkmargin/costs/v1", "rates": [{"kinds": ["option"], "half_spread_of_mark_bp": 200, "fee_bp": 3},
    {"half_spread_bp": 2, "fee_bp": 5, "tiers": [{"above": "50", "impact_bp": 10}], "most": "500"}]}
    """
    claim, limits, ratios = _checked(given)
    snapshot = load(Snapshot, given.snapshot_path)
    lots = load_lots(given.book_paths, snapshot)
    costs = DEFAULT_COSTS if given.costs_path is None else load(Costs, given.costs_path)
    auction = None if given.auction_path is None else load(AuctionTerms, given.auction_path)
    terms = Terms(limits, costs, given.cash_name, given.patterns, given.mode, given.seconds, given.compare)
    with terminal.progress("Planning"), _blamed_on_options():
        found = liquidate(snapshot, lots, claim, terms, pro_rata=given.with_pro_rata, auction=auction)
    prices: list[LiquidationPrice] = []
    if given.with_prices and given.market_path is not None:
        market = load(Market, given.market_path)
        with terminal.progress("Liquidation prices"):
            prices = liquidation_prices(market, snapshot, lots, claim, found.plan.cash, ratios)
    documents = ((given.fills_path, found.plan.fills()), (given.after_path, to_book(found.after, snapshot)))
    outputs = [Output.document(path, document) for path, document in documents if path is not None]
    if given.html_path is not None:
        outputs.append(Output(given.html_path, plan_page(found, snapshot, costs, prices), secret=True))
    write_outputs(outputs)
    if given.as_json:
        terminal.say_json(liquidation_facts(found, snapshot, costs, prices))
        return
    lines = [*plan_lines(found.plan, snapshot, costs), *pro_rata_lines(found.pro_rata), *price_lines(prices)]
    for line in [*lines, *offer_lines(found.offers)]:
        terminal.say(line)


def _checked(given: LiquidateOptions) -> tuple[Claim, tuple[Limit, ...], dict[str, Fraction]]:
    """What the options say, before anything is read."""
    read = [given.costs_path, given.auction_path, given.market_path]
    written = [path for path in (given.fills_path, given.after_path, given.html_path) if path]
    inputs = [*given.book_paths, given.snapshot_path, *(path for path in read if path)]
    check_paths(inputs, written, json=given.as_json)
    refuse_twice(given.book_paths)
    ratios = _ratios(given)
    if given.with_prices and given.market_path is None:
        raise InputError("liquidation prices need the market", file="--prices", hint="give --market FILE")
    for option, value in (("--market", given.market_path), ("--moves-with", given.ratio_texts)):
        if value and not given.with_prices:
            raise InputError("is for liquidation prices", file=option, hint="give --prices too")
    return _claim(given.to_text, given.requirement), parse_limits(given.also_texts), ratios


@contextmanager
def _blamed_on_options() -> Iterator[None]:
    """Errors about the planner's arguments are about the options that they were given by."""
    try:
        yield
    except InputError as error:
        name, _, value = (error.field or "").partition(" ")
        if name not in OPTIONS:
            raise
        raise InputError(error.reason, file=OPTIONS[name], field=value or None, hint=error.hint) from None


def liquidation_facts(
    found: Liquidated, snapshot: Snapshot, costs: Costs, prices: list[LiquidationPrice]
) -> dict[str, Any]:
    """Everything for scripts."""
    return {
        "snapshot": snapshot_facts(snapshot),
        "costs": costs.name,
        "plan": found.plan.model_dump(mode="json"),
        "pro_rata": None if found.pro_rata is None else found.pro_rata.model_dump(mode="json"),
        "liquidation_prices": [price.model_dump(mode="json") for price in prices],
        "auction": None if found.offers is None else [shown.model_dump(mode="json") for shown in found.offers],
    }


def _ratios(given: LiquidateOptions) -> dict[str, Fraction]:
    try:
        return parse_ratios(given.ratio_texts)
    except InputError as error:
        raise error.located(file="--moves-with") from None


def _claim(text: str, requirement: str) -> Claim:
    try:
        return Claim.parse(text, requirement)
    except InputError as error:
        raise InputError(error.reason, file="--to", hint=error.hint) from None


def plan_lines(plan: Plan, snapshot: Snapshot, costs: Costs) -> list[str]:
    """The plan, for people."""
    quote = terminal.safe(snapshot.quote)
    if not plan.steps:
        return [f"nothing to do: {plan.claim} already"]
    before, after = plan.before, plan.after
    trades, steps = terminal.counted(len(plan.trades), "trade"), terminal.counted(len(plan.steps), "step")
    lines = [
        f"{trades} in {steps} {'makes' if len(plan.trades) == 1 else 'make'} it true: {plan.claim}",
        (
            f"  before: equity {money(before.equity)}, requirement {money(before.requirement)}, short by "
            f"{money(before.shortfall)} {quote}"
        ),
        *greek_lines(before),
        f"  after: equity {money(after.equity)}, requirement {money(after.requirement)}",
        f"  cost {money(plan.cost)} {quote} (rates {terminal.quoted(costs.name)}) from {terminal.safe(plan.cash)}",
    ]
    if plan.gap is not None and plan.gap < MAX_GAP:
        lines.append(f"  no permitted plan costs less than {money(plan.bound)}: this one is {plan.gap:.2%} above that")
    if plan.greedy_cost is not None:
        lines.append(f"  closing the largest contributions would cost {money(plan.greedy_cost)}")
    for number, step in enumerate(plan.steps, 1):
        for trade in step.trades:
            side = "sell" if trade.lots < 0 else "buy"
            what = f"{trade.quantity.lstrip('-')} {terminal.safe(trade.id)}"
            lines.append(f"  step {number}: {side} {what}, cost {money(trade.cost)}")
        short = f"short by {money(step.after.shortfall)}" if step.after.shortfall else "nothing short"
        lines.append(
            f"    relief {money(step.relief)}; then equity {money(step.after.equity)}, requirement "
            f"{money(step.after.requirement)}, {short}"
        )
        lines += greek_lines(step.after)
    return lines


def greek_lines(state: Position) -> list[str]:
    """Deltas, and the Greeks where they are known, in quote to the cent."""
    deltas = ", ".join(f"{terminal.safe(name)} {delta}" for name, delta in state.deltas.items())
    if state.vega is None or state.gamma is None or state.theta is None:
        return [f"    deltas: {deltas}"]
    gamma, vega, theta = (money(to_units(text, VALUATION_DECIMALS)) for text in (state.gamma, state.vega, state.theta))
    return [f"    deltas: {deltas}; gamma {gamma} per 1 %, vega {vega} per point, theta {theta} per day"]


def pro_rata_lines(found: ProRata | None) -> list[str]:
    """The pro-rata fraction."""
    if found is None:
        return []
    if found.fraction is None:
        return ["pro rata: closing all of every position is not enough"]
    closed = "" if found.closed_form is None else f" (closed form: {found.closed_form})"
    return [f"pro rata: closing {found.fraction} of every position is enough{closed}, cost {money(found.cost or 0)}"]


def price_lines(prices: list[LiquidationPrice]) -> list[str]:
    """Liquidation prices."""
    return [
        f"liquidation prices of {terminal.safe(p.underlying)}, now {p.price}: "
        + (
            "the claim fails at this price already"
            if p.below == p.above == p.price
            else f"below {p.below or f'none down to {p.lowest}'}, above {p.above or f'none up to {p.highest}'} "
            f"(tick {p.tick})"
        )
        for p in prices
    ]


def offer_lines(offers: list[ShownOffer] | None) -> list[str]:
    """The offers of an auction."""
    return [
        f"auction after {o.seconds:,} s: {o.fraction} of the account for {money(to_units(o.price, VALUATION_DECIMALS))}"
        + ("" if o.solvent else " (paid by the fund)")
        for o in offers or []
    ]
