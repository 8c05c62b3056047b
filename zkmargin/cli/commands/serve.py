"""``zkmargin serve``: the venue's service, and what its operator orders from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option
from zkmargin.cli.passphrases import signer_of
from zkmargin.formats import InputError

if TYPE_CHECKING:
    from zkmargin.service.settings import Settings


@click.group("serve", cls=Group)
def command() -> None:
    """Run a venue's service over HTTP: accounts prove to it all day, and it keeps what was accepted.

    docs/guides/serve.md begins one from nothing. The service answers under /v1; /openapi.json describes every call.
    """


def _settings(path: str) -> Settings:
    """The configuration. Raises InputError: also where the extra is not installed."""
    try:
        import fastapi  # noqa: F401, PLC0415 - what the extra brings
        import uvicorn  # noqa: F401, PLC0415
    except ImportError:
        raise InputError(
            "the service's packages are missing", file="serve", hint="pip install 'zkmargin[serve]'"
        ) from None
    from zkmargin.service.settings import Settings  # noqa: PLC0415

    return Settings.load(path)


@command.command("start", cls=Command, examples=["zkmargin serve start serve.toml"])
@click.argument("config_path", metavar="CONFIG")
@click.option("--signer", "signer_command", metavar="COMMAND", help="A program that has the service's secret key.")
def start_command(config_path: str, signer_command: str | None) -> None:
    """Serve until SIGTERM or Ctrl-C; then answer what is under way, and end.

    Standard output has one line when calls are taken, standard error the log: one JSON object a line, without tokens
    or bodies. A database that another service has is refused.
    """
    settings = _settings(config_path)
    signer = signer_of(settings.key, settings.passphrase_file, signer_command)
    from zkmargin.service.server import serve  # noqa: PLC0415

    serve(settings, signer, listening=lambda url: terminal.say(f"listening on {url}"))


@command.command("check", cls=Command, examples=["zkmargin serve check serve.toml --json"])
@click.argument("config_path", metavar="CONFIG")
@json_option
def check_command(config_path: str, as_json: bool) -> None:
    """Read CONFIG and the files that it names, and say what would be served. Nothing is started or altered."""
    settings = _settings(config_path)
    trust, operators = settings.load_trust(), settings.load_operators()
    facts: dict[str, Any] = {
        "service": trust.verifier,
        "trust": trust.digest().hex(),
        "operators": [f"{key.name} {key.fingerprint}" for key in operators],
        "listen": f"{settings.host}:{settings.port}",
        "tls": settings.tls is not None,
        "workers": settings.workers,
        "limits": settings.limits.model_dump(),
        "retention": settings.retention.model_dump(),
    }
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"{terminal.quoted(trust.verifier)} on {facts['listen']}, {'TLS' if settings.tls else 'without TLS'}")
    terminal.say(f"  trust      {facts['trust']}")
    for operator in facts["operators"]:
        terminal.say(f"  operator   {terminal.safe(operator)}")
    terminal.say(f"  workers    {settings.workers}")
    for name, value in (facts["limits"] | facts["retention"]).items():
        terminal.say(f"  {name:<22} {value}")
