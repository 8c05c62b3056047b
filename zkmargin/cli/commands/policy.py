"""``zkmargin policy``: the margin policies that ship with this package, and a user's own."""

from __future__ import annotations

import json
from dataclasses import dataclass

import click

from zkmargin.app import snapshots
from zkmargin.app.calibrating import (
    COLUMNS,
    backtest_page,
    backtest_rows,
    backtested,
    calibrated,
    checked_derivation,
    level_lines,
)
from zkmargin.app.facts import layout_facts
from zkmargin.app.files import Output, blamed_on
from zkmargin.app.runtime import compile_note
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option, output_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.cli.policies import own_policy
from zkmargin.cli.statements import gathered
from zkmargin.engine.policy import Policy, load_policy, policy_names, policy_schema
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO
from zkmargin.risk.rules import Derivation


@click.group("policy", cls=Group)
def command() -> None:
    """List, show and check margin policies.

    A policy is a data file: factors, a layout, and components with their parameters, in units that people read.
    Wherever a command takes a policy's name, it also takes the path of a policy file of your own.
    """


@command.command(
    "list",
    cls=Command,
    examples=[
        "zkmargin policy list",
    ],
)
@json_option
def list_command(as_json: bool) -> None:
    """List the named policies."""
    policies = [load_policy(name) for name in policy_names()]
    if as_json:
        terminal.say_json(
            {
                "policies": [
                    {"name": p.name, "title": p.title, "version": p.version, "digest": p.digest().hex()}
                    for p in policies
                ]
            }
        )
        return
    for policy in policies:
        terminal.say(f"{policy.name}  {policy.title} (version {policy.version})")


@command.command(
    "show",
    cls=Command,
    examples=[
        "zkmargin policy show default",
        "zkmargin policy show default --json > my-policy.json",
    ],
)
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show the policy NAME: a named policy or a policy file. With --json, the whole document."""
    policy = load_policy(name)
    if as_json:
        terminal.say_document(policy.model_dump(mode="json"))
        return
    from zkmargin.cli.show import policy_view  # noqa: PLC0415 - tables are loaded when one is shown

    policy_view(policy)


@dataclass(frozen=True)
class CheckOptions:
    """What was typed after ``policy check``."""

    path: str
    market_path: str | None
    derivation_path: str | None
    history_path: str | None
    vols_path: str | None
    before_paths: tuple[str, ...]
    as_json: bool


@command.command(
    "check",
    cls=Command,
    examples=[
        "zkmargin policy check default",
        "zkmargin policy check default --market market.json",
        "zkmargin policy check calibrated.json --derivation calibrated.derivation.json --history closes.csv",
        (
            "zkmargin policy check recalibrated.json --derivation recalibrated.derivation.json --before "
            "calibrated.derivation.json --history closes.csv"
        ),
    ],
)
@click.argument("path", metavar="FILE")
@click.option(
    "--market",
    "market_path",
    metavar="FILE",
    help="Also build a snapshot of this market (or of these imported arrays) under it, and its circuits.",
)
@click.option("--derivation", "derivation_path", metavar="FILE", help="Recompute how it was calibrated, bit for bit.")
@click.option("--history", "history_path", metavar="FILE", help="The closes that the derivation is of.")
@click.option("--vols", "vols_path", metavar="FILE", help="The implied vols that it is of, where it is of any.")
@click.option(
    "--before", "before_paths", multiple=True, metavar="FILE", help="Derivations before it: each link is recomputed."
)
@json_option
@gathered(CheckOptions)
def check_command(options: CheckOptions) -> None:
    """Check the policy FILE: its parameters, and with --market whether they fit a market. Exit code 2 with the reason.

    Parameters that would make a requirement wrong, or no sum or maximum that a proof can show, are refused.
    """
    more = (options.market_path, options.derivation_path, options.history_path, options.vols_path)
    check_paths([options.path, *(other for other in (*more, *options.before_paths) if other)])
    # A name is looked for last: what is checked is a file.
    policy = own_policy(options.path)
    layouts = None if options.market_path is None else _layouts(policy, options.market_path)
    found = _derivation(options, policy)
    if options.as_json:
        facts = {"valid": True, "name": policy.name, "version": policy.version, "digest": policy.digest().hex()}
        facts |= {"approximate": policy.approximate, "components": [part.type for part in policy.components]}
        rule, before = (None, None) if found is None else (found[0].rule_digest, found[1].before)
        terminal.say_json(facts | {"layouts": layouts, "rule": rule, "levels_taken_from": before})
        return
    terminal.say(
        f"{terminal.safe(options.path)}: policy {policy.name} version {terminal.word(policy.version)} is valid"
    )
    terminal.say(f"  digest      {policy.digest().hex()}")
    terminal.say(f"  components  {', '.join(part.type for part in policy.components)}")
    if policy.approximate:
        terminal.say(f"  approximate {terminal.quoted(policy.approximation)}")
    for line in () if found is None else _derived_lines(*found):
        terminal.say(line)
    for name, layout in (layouts or {}).items():
        terminal.say(f"  {name}: {layout['equations']} equations, a proof has {layout['proof_bytes']} bytes")


def _derivation(options: CheckOptions, policy: Policy) -> tuple[Derivation, Derivation] | None:
    """The derivation that was recomputed, and the oldest one before it that was. Raises InputError."""
    if options.derivation_path is None and (options.before_paths or options.vols_path):
        option = "--before" if options.before_paths else "--vols"
        raise InputError("goes with --derivation and --history", file=option)
    if (options.derivation_path is None) != (options.history_path is None):
        raise InputError("a derivation is recomputed from its history: give both", file="--derivation")
    if options.derivation_path is None or options.history_path is None:
        return None
    paths = options.derivation_path, options.history_path, options.vols_path, options.before_paths
    return checked_derivation(policy, *paths)


def _derived_lines(derived: Derivation, oldest: Derivation) -> list[str]:
    lines = [f"  derivation  recomputed: the rule {derived.rule_digest} on closes up to {derived.as_of}"]
    if oldest.before is not None:
        lines.append(
            f"              the levels in force before {oldest.as_of} are taken as it says "
            f"(--before FILE checks them: derivation {oldest.before})"
        )
    return lines


def _layouts(policy: Policy, market_path: str) -> dict[str, dict[str, object]]:
    """The circuit of each requirement under a market. Raises InputError."""
    market = snapshots.load_market(market_path)
    pricing = terminal.progress(f"Pricing {len(market.instruments)} instruments{compile_note()}")
    with pricing, blamed_on(market_path):
        snapshot = snapshots.build(market, policy)
        return {name: layout_facts(circuit) for name, circuit in snapshots.buildable(snapshot).items()}


@command.command(
    "calibrate",
    cls=Command,
    examples=[
        "zkmargin policy calibrate closes.csv --rule rule.json -o my-first.json --derivation my-first.derivation.json",
        (
            "zkmargin policy calibrate closes.csv --rule rule.json --before calibrated.derivation.json -o my-next.json "
            "--derivation my-next.derivation.json"
        ),
    ],
)
@click.argument("history_path", metavar="HISTORY")
@click.option("--rule", "rule_path", required=True, metavar="FILE", help="How scan ranges follow from closes.")
@click.option(
    "--vols", "vols_path", metavar="FILE", help="Implied vols of the same days, for a rule that asks for them."
)
@click.option("--as-of", metavar="DATE", help="The last day that counts; without it the last of the file.")
@click.option("--before", "before_path", metavar="FILE", help="The derivation in force, for a buffer and for regimes.")
@click.option("--derivation", "derivation_path", metavar="FILE", help="Where to write how the policy follows (public).")
@output_option("the policy")
def calibrate_command(
    history_path: str,
    rule_path: str,
    vols_path: str | None,
    as_of: str | None,
    before_path: str | None,
    derivation_path: str | None,
    output: str,
) -> None:
    """The policy that follows from the daily closes HISTORY (CSV: date,BTC,ETH) under a rule, and its derivation.

    A rule is data: {"format": "zkmargin/rule/v2", "name": "ewma", "base": "default", "volatility": {"lambda_1e4": 9700,
    "multiple_1e4": 30000}, "floor_bp": 1500, "stressed": {"first": "2020-02-15", "last": "2020-04-15"}, "buffer": {}}.
    The derivation holds every number between; anybody recomputes it: policy check --derivation.
    """
    inputs = [history_path, rule_path, *(path for path in (before_path, vols_path) if path)]
    check_paths(inputs, [output, *([derivation_path] if derivation_path else [])])
    policy, derivation = calibrated(history_path, rule_path, as_of=as_of, before_path=before_path, vols_path=vols_path)
    outputs = [Output.document(output, policy)]
    if derivation_path is not None:
        outputs.append(Output.document(derivation_path, derivation))
    write_outputs(outputs)
    for line in level_lines(derivation):
        terminal.say(terminal.safe(line), err=output == STDIO)


@command.command(
    "backtest",
    cls=Command,
    examples=[
        (
            "zkmargin policy backtest closes.csv --rule rule.json --rule plain-rule.json --from 2025-01-02 "
            "--html my-backtest.html"
        ),
    ],
)
@click.argument("history_path", metavar="HISTORY")
@click.option(
    "--rule",
    "rule_paths",
    required=True,
    multiple=True,
    metavar="FILE",
    help="A rule (policy calibrate --help shows one); several are compared.",
)
@click.option("--from", "first", required=True, metavar="DATE", help="The first day on which a range is in force.")
@click.option(
    "--horizon",
    metavar="DAYS",
    type=click.IntRange(1, 30),
    default=1,
    show_default=True,
    help="Compare moves over so many days.",
)
@click.option(
    "--rate",
    "rate_bp",
    metavar="RATE",
    type=click.IntRange(1, 5_000),
    default=100,
    show_default=True,
    help="The rate of days on which a range is meant to be exceeded, in 0.01 %: 100 is 1 %.",
)
@click.option("--html", "html_path", metavar="FILE", help="Write a page with tables and charts.")
@json_option
def backtest_command(
    history_path: str,
    rule_paths: tuple[str, ...],
    first: str,
    horizon: int,
    rate_bp: int,
    html_path: str | None,
    as_json: bool,
) -> None:
    """How often prices moved further than the scan ranges that rules had in force, and what these ranges cost.

    Each day a rule sees the closes up to that day. Exceedances with Kupiec's and Christoffersen's tests and the traffic
    light; the largest range over the smallest, the largest rise within five days, the mean.
    """
    check_paths([history_path, *rule_paths], [html_path] if html_path else [], json=as_json)
    with terminal.progress("Testing"):
        found = backtested(history_path, rule_paths, first=first, horizon=horizon, rate_bp=rate_bp)
    if html_path is not None:
        write_outputs([Output(html_path, backtest_page(found, history_path))])
    if as_json:
        terminal.say_json({"backtests": [test.model_dump(mode="json") for test in found]})
        return
    for track in found[0].tracks:
        terminal.say(f"{terminal.safe(track.underlying)}, {len(track.dates)} days from {track.dates[0]}:")
        for row in backtest_rows(found, track.underlying):
            cells = ", ".join(f"{name.lower()} {cell}" for name, cell in zip(COLUMNS[1:], row[1:], strict=True))
            terminal.say(f"  {row[0]}: {cells}")


@command.command(
    "schema",
    cls=Command,
    examples=[
        "zkmargin policy schema -o my-policy.schema.json",
    ],
)
@output_option("the schema")
def schema_command(output: str) -> None:
    """The JSON Schema (draft 2020-12) of policy files, with every component and its parameters, for editors.

    It says what a file may hold; what parameters mean together is checked when a policy is read: policy check.
    """
    write_outputs([Output(output, schema_text().encode())])
    if output != STDIO:
        terminal.say(f"wrote {output}")


def schema_text() -> str:
    """``engine.policy.policy_schema`` as it is kept in docs/policy.schema.json."""
    return json.dumps(policy_schema(), indent=1, ensure_ascii=False) + "\n"
