"""``zkmargin challenge``: ask for a proof that is made now, for you, and counts once."""

from __future__ import annotations

import time
from typing import Any

import click

from zkmargin.app.files import Output, load
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import check_names, json_option, ledger_option, output_option, parse_age
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.formats import VerificationError
from zkmargin.formats.files import STDIO
from zkmargin.verifier.attest import Challenge
from zkmargin.verifier.attest.accept import CLOCK_SKEW_SECONDS


@click.group("challenge", cls=Group)
def command() -> None:
    """Issue and show challenges.

    A challenge's digest is the context of the proof that answers it, so the proof can be no older, and for nobody else.
    """


@command.command(
    "new",
    cls=Command,
    examples=[
        'zkmargin challenge new --audience "clearing desk" --lifetime 10m -o my-challenge.json',
        'zkmargin challenge new --audience "clearing desk" --ledger ledger.db -o my-asked.json',
    ],
)
@click.option("--audience", required=True, metavar="NAME", help="Who will verify: the verifier of the trust file.")
@click.option(
    "--lifetime", default="10m", show_default=True, metavar="TIME", help="Time until its deadline: 90s, 10m, 2h."
)
@ledger_option(required=False)
@output_option("the challenge")
@json_option
def new_command(audience: str, lifetime: str, ledger_where: str | None, output: str, as_json: bool) -> None:
    """Issue a challenge. Send it to the prover, keep it for the verification.

    With --ledger, `ledger status` shows it until it is answered.
    """
    check_paths([], [output], json=as_json)
    check_names(audience=audience)
    seconds = parse_age(lifetime, "--lifetime")
    challenge = Challenge.new(audience, lifetime_seconds=seconds, now_ms=time.time_ns() // 1_000_000)
    if ledger_where is not None:
        with open_ledger(ledger_where) as ledger:
            ledger.issue(challenge)
    write_outputs([Output.document(output, challenge)])
    if as_json:
        terminal.say_json({"output": output, **challenge_facts(challenge)})
        return
    err = output == STDIO
    terminal.say(f"challenge for {terminal.quoted(audience)}, to be answered before {challenge.deadline}", err=err)
    if not err:
        terminal.say(f"next, for the prover: zkmargin prove --challenge {terminal.safe(output)} ...")


@command.command(
    "show",
    cls=Command,
    examples=[
        "zkmargin challenge show challenge.json",
    ],
)
@click.argument("challenge_path", metavar="CHALLENGE")
@json_option
def show_command(challenge_path: str, as_json: bool) -> None:
    """Show CHALLENGE, the context that answers it, and whether its time has come and not passed."""
    challenge = load(Challenge, challenge_path)
    facts = challenge_facts(challenge)
    try:
        challenge.check_time(now_ms=time.time_ns() // 1_000_000, skew_seconds=CLOCK_SKEW_SECONDS)
        facts["open"], state = True, "open, by this machine's clock"
    except VerificationError as error:
        facts["open"], state = False, error.message
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"challenge for {terminal.quoted(challenge.audience)}: {terminal.safe(state)}")
    terminal.say(f"  issued    {challenge.issued}")
    terminal.say(f"  deadline  {challenge.deadline}")
    terminal.say(f"  digest    {facts['digest']}")
    terminal.say(f"  context   {facts['context']}")


def challenge_facts(challenge: Challenge) -> dict[str, Any]:
    """A challenge for scripts."""
    return {
        "digest": challenge.digest().hex(),
        "context": challenge.context.decode("ascii"),
        "audience": challenge.audience,
        "issued": challenge.issued,
        "deadline": challenge.deadline,
    }
