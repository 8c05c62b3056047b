"""``zkmargin serve ...``: what an operator, or an account about itself, orders of a venue's service."""

from __future__ import annotations

from typing import Any

import click

from zkmargin.app.files import load
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option
from zkmargin.cli.venues import Orders, Service, order_options, read_token, service_options
from zkmargin.formats import InputError
from zkmargin.verifier.attest import Revocations

AT = "--url http://127.0.0.1:8420 --service 'clearing desk' --key operator.key.json"
#: As ``client.documents`` has them: ``serve --help`` does not import it.
EVENTS = ("snapshot", "account", "part", "revocations", "challenge", "accepted", "refused", "state", "venue-proof")


def _say(done: dict[str, Any], words: str, as_json: bool, **facts: Any) -> None:
    if as_json:
        terminal.say_json({"action": done["action"], "sequence": done["sequence"], **facts})
    else:
        terminal.say(words)


@click.command(
    "revoke-token",
    cls=Command,
    examples=[
        f"zkmargin serve revoke-token --digest HEX {AT}",
        f"zkmargin serve revoke-token --token maker.token {AT}",
    ],
)
@click.option("--digest", metavar="HEX", help="Which: `serve tokens` lists digests.")
@click.option("--token", "token_path", metavar="FILE", help="Or the file that has it.")
@order_options
@json_option
def revoke_token_command(
    digest: str | None,
    token_path: str | None,
    orders: Orders,
    as_json: bool,
) -> None:
    """Revoke a token, at once and for good: calls with it get 401, streams of events end."""
    from zkmargin.client.orders import RevokeToken  # noqa: PLC0415 - few commands call a service
    from zkmargin.client.tokens import token_digest  # noqa: PLC0415

    if (digest is None) == (token_path is None):
        raise InputError("one of the two says which", file="--digest, --token")
    found = digest if token_path is None else token_digest(read_token(token_path))
    if not found:
        raise InputError("no token in it", file=token_path or "--digest")
    action = RevokeToken(digest=found)
    done = orders.give(action)
    _say(done, f"revoked: {action.digest}", as_json, digest=action.digest)


@click.command(
    "set-webhook",
    cls=Command,
    examples=[
        f"zkmargin serve set-webhook https://desk.example/hook --account maker --event state --event refused {AT}",
    ],
)
@click.argument("hook", metavar="HOOK")
@click.option("--account", metavar="NAME", help="Events of this account; without it, everybody's (operators only).")
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice(EVENTS),
    help="A kind of event; several times. Without it: state and refused.",
)
@order_options
@json_option
def set_webhook_command(
    hook: str,
    account: str | None,
    events: tuple[str, ...],
    orders: Orders,
    as_json: bool,
) -> None:
    """Have events sent to the URL HOOK from now on: signed by the service, again and again until it answers 2xx.

    An event may come twice: its number says so. Set again, it begins with the next event.
    """
    from zkmargin.client.orders import SetWebhook  # noqa: PLC0415 - few commands call a service

    given: dict[str, Any] = {"events": events} if events else {}
    action = SetWebhook.model_validate({"url": hook, "account": account, **given})
    done = orders.give(action)
    kinds = list(action.events)
    _say(done, f"{terminal.safe(hook)}: {', '.join(kinds)}", as_json, url=hook, account=account, events=kinds)


@click.command(
    "remove-webhook",
    cls=Command,
    examples=[
        f"zkmargin serve remove-webhook https://desk.example/hook --account maker {AT}",
    ],
)
@click.argument("hook", metavar="HOOK")
@click.option("--account", metavar="NAME", help="The account that it was set for.")
@order_options
@json_option
def remove_webhook_command(
    hook: str,
    account: str | None,
    orders: Orders,
    as_json: bool,
) -> None:
    """Have no more events sent to the URL HOOK; nothing happens where none are (`serve webhooks` lists them)."""
    from zkmargin.client.orders import RemoveWebhook  # noqa: PLC0415 - few commands call a service

    action = RemoveWebhook(url=hook, account=account)
    done = orders.give(action)
    _say(done, f"{terminal.safe(hook)}: no events any more", as_json, url=hook, account=account)


@click.command("close", cls=Command, examples=[f"zkmargin serve close --account maker {AT}"])
@click.option("--account", required=True, metavar="NAME", help="The account to close.")
@order_options
@json_option
def close_command(
    account: str,
    orders: Orders,
    as_json: bool,
) -> None:
    """Ask an account for no more proofs; what it proved stays, and `serve register` opens it again."""
    from zkmargin.client.orders import CloseAccount  # noqa: PLC0415 - few commands call a service

    done = orders.give(CloseAccount(account=account))
    _say(done, f"{terminal.quoted(account)}: closed", as_json, account=account)


@click.command(
    "withdraw",
    cls=Command,
    examples=[
        f"zkmargin serve withdraw --account maker --role collateral --issuer custodian {AT}",
    ],
)
@click.option("--account", required=True, metavar="NAME", help="The account whose part it is.")
@click.option("--role", required=True, type=click.Choice(("positions", "collateral")), help="What the part holds.")
@click.option("--issuer", required=True, metavar="NAME", help="Who attested it.")
@click.option("--part", default="main", show_default=True, metavar="NAME", help="The part's name.")
@order_options
@json_option
def withdraw_command(
    account: str,
    role: str,
    issuer: str,
    part: str,
    orders: Orders,
    as_json: bool,
) -> None:
    """Take a part from an account that no longer has it: its next proof is about the others, and due at once."""
    from zkmargin.client.orders import WithdrawPart  # noqa: PLC0415 - few commands call a service

    action = WithdrawPart.model_validate({"account": account, "role": role, "issuer": issuer, "part": part})
    done = orders.give(action)
    facts = {"account": account, "role": role, "issuer": issuer, "part": part}
    _say(done, f"{terminal.quoted(account)}: {role} by {terminal.quoted(issuer)} withdrawn", as_json, **facts)


@click.command(
    "revoke",
    cls=Command,
    examples=[
        "zkmargin serve revoke revocations.json --url http://127.0.0.1:8420 --token-file publisher.token",
    ],
)
@click.argument("revocations_path", metavar="REVOCATIONS")
@service_options
@json_option
def revoke_command(revocations_path: str, service: Service, as_json: bool) -> None:
    """Publish an issuer's newest list of revocations (`zkmargin attest revoke` makes one): it counts by its signatures.

    Parts that it takes the signatures from vouch for nobody from now on.
    """
    revocations = load(Revocations, revocations_path)
    with service.connect() as client:
        done = client.revoke(revocations)
    if as_json:
        terminal.say_json(done)
    else:
        terminal.say(f"published: number {done['sequence']} of {terminal.quoted(done['issuer'])}")


COMMANDS = (
    *(revoke_token_command, set_webhook_command, remove_webhook_command, close_command, withdraw_command),
    revoke_command,
)
