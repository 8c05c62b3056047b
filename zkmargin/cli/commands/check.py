"""``zkmargin check``: the debug prover. Whether a claim holds for a book, and if not, which rule breaks by how much."""

from __future__ import annotations

from typing import Any

import click

from zkmargin.app.facts import claim_facts, claim_words
from zkmargin.app.files import blamed_on, load, load_lots
from zkmargin.app.proving import check_claim
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import (
    also_option,
    book_option,
    claim_options,
    json_option,
    parse_claim,
    parse_limits,
    snapshot_option,
)
from zkmargin.cli.paths import check_paths, refuse_twice
from zkmargin.cli.words import money
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.decimals import from_units
from zkmargin.engine.margin import MarginReport, largest_decimal
from zkmargin.engine.snapshot import Snapshot


@click.command(
    "check",
    cls=Command,
    examples=[
        "zkmargin check --snapshot snapshot.json --book book.json --claim 1.1",
    ],
)
@snapshot_option
@book_option
@claim_options
@also_option
@json_option
def command(
    snapshot_path: str,
    book_paths: tuple[str, ...],
    claim_text: str,
    requirement: str,
    also_texts: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say whether a claim holds for a book, without making a proof. Exit code 1 when it does not.

    Computes the margin, then every equation that a proof would show, on the book's integers. What it prints is for the
    owner of the book.
    """
    check_paths([snapshot_path, *book_paths])
    refuse_twice(book_paths)
    claim, limits = parse_claim(claim_text, requirement), parse_limits(also_texts)
    snapshot = load(Snapshot, snapshot_path)
    lots = load_lots(book_paths, snapshot)
    with blamed_on(snapshot_path):
        checked = check_claim(snapshot, lots, claim, limits)
    facts = check_facts(checked.report, claim) | {"limits": [str(limit) for limit in limits]}
    if checked.refused is not None:
        rule, reason = checked.refused.rule, checked.refused.message
        checked.refused.facts = {"holds": False, **facts, "rule": rule, "reason": reason}
        raise checked.refused
    if as_json:
        terminal.say_json({"holds": True, **facts, "equations": checked.equations})
        return
    for line in check_lines(snapshot, checked.report, claim, checked.equations):
        terminal.say(line)
    for limit in limits:
        terminal.say(f"  kept: {terminal.safe(str(limit))}")


def check_facts(report: MarginReport, claim: Claim) -> dict[str, Any]:
    """The numbers behind the answer, for scripts. Amounts are decimal text in the quote currency."""
    dump = report.model_dump(mode="json", exclude={"legs", "comparison"})
    slack = report.slack(claim)
    return {
        "claim": claim_facts(claim),
        "equity": dump["equity"]["total"],
        "requirement": dump["total"],
        "surplus_over_claim": from_units(slack // claim.den, VALUATION_DECIMALS),
        "largest_claim": report.largest_claim,
        "largest_decimal_claim": largest_decimal(report.largest_claim),
        "ratio": report.ratio,
        "binding": [{"group": g["group"], "scenario": g["label"], "charge": g["charge"]} for g in dump["groups"]],
    }


def check_lines(snapshot: Snapshot, report: MarginReport, claim: Claim, equations: int) -> list[str]:
    """What holds, for people."""
    quote = terminal.safe(snapshot.quote)
    headroom = "no requirement" if report.ratio is None else f"{report.ratio} times the requirement"
    lines = [
        f"the claim holds: {claim_words(claim)}",
        f"  equity {money(report.equity.total)}, requirement {money(report.total)} {quote}: {headroom}",
        f"  to spare over the claim: {money(report.slack(claim) // claim.den)}",
        f"  largest claim that can be proved: {largest_decimal(report.largest_claim)}",
    ]
    lines += [f"  {terminal.safe(g.group)}: {money(g.charge)} from {terminal.quoted(g.label)}" for g in report.groups]
    return [*lines, f"  all {equations} equations of the circuit hold on this book's integers"]
