"""``zkmargin policy``: the margin policies that ship with this package, and a user's own."""

from __future__ import annotations

import json

import click

from zkmargin.app import snapshots
from zkmargin.app.facts import layout_facts
from zkmargin.app.files import Output, blamed_on, load
from zkmargin.app.runtime import compile_note
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option, output_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.engine.policy import Policy, load_policy, policy_names, policy_schema
from zkmargin.formats.files import STDIO


@click.group("policy", cls=Group)
def command() -> None:
    """List, show and check margin policies.

    A policy is a data file: factors, a layout, and components with a person's parameters. Everywhere a name is taken,
    so is the path of a policy file of your own.
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


@command.command(
    "check",
    cls=Command,
    examples=[
        "zkmargin policy check my-policy.json",
        "zkmargin policy check my-policy.json --market market.json",
    ],
)
@click.argument("path", metavar="FILE")
@click.option(
    "--market",
    "market_path",
    metavar="FILE",
    help="Also build a snapshot of this market (or of these imported arrays) under it, and its circuits.",
)
@json_option
def check_command(path: str, market_path: str | None, as_json: bool) -> None:
    """Check the policy FILE: its parameters, and with --market whether they fit a market. Exit code 2 with the reason.

    Parameters that would make a requirement wrong, or no sum or maximum that a proof can show, are refused.
    """
    check_paths([path, *([market_path] if market_path else [])])
    # A name is looked for last: what is checked is a file.
    policy = load_policy(path) if path in policy_names() else load(Policy, path)
    layouts = None if market_path is None else _layouts(policy, market_path)
    if as_json:
        facts = {"valid": True, "name": policy.name, "version": policy.version, "digest": policy.digest().hex()}
        facts |= {"approximate": policy.approximate, "components": [part.type for part in policy.components]}
        terminal.say_json(facts | {"layouts": layouts})
        return
    terminal.say(f"{terminal.safe(path)}: policy {policy.name} version {terminal.word(policy.version)} is valid")
    terminal.say(f"  digest      {policy.digest().hex()}")
    terminal.say(f"  components  {', '.join(part.type for part in policy.components)}")
    if policy.approximate:
        terminal.say(f"  approximate {terminal.quoted(policy.approximation)}")
    for name, layout in (layouts or {}).items():
        terminal.say(f"  {name}: {layout['equations']} equations, a proof has {layout['proof_bytes']} bytes")


def _layouts(policy: Policy, market_path: str) -> dict[str, dict[str, object]]:
    """The circuit of each requirement under a market. Raises InputError."""
    market = snapshots.load_market(market_path)
    pricing = terminal.progress(f"Pricing {len(market.instruments)} instruments{compile_note()}")
    with pricing, blamed_on(market_path):
        snapshot = snapshots.build(market, policy)
        return {name: layout_facts(circuit) for name, circuit in snapshots.buildable(snapshot).items()}


@command.command(
    "schema",
    cls=Command,
    examples=[
        "zkmargin policy schema -o policy.schema.json",
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
