"""``zkmargin policy``: the margin policies that ship with this package, and a user's own."""

from __future__ import annotations

import click

from engine.policy import load_policy, policy_names
from zkmargin import terminal
from zkmargin.options import Command, json_option


@click.group("policy")
def command() -> None:
    """List and show margin policies.

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
            [{"name": p.name, "title": p.title, "version": p.version, "digest": p.digest().hex()} for p in policies]
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
        terminal.say_json(policy.model_dump(mode="json"))
        return
    from zkmargin.show import policy_view  # noqa: PLC0415 - tables are loaded when one is shown

    policy_view(policy)
