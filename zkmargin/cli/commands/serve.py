"""``zkmargin serve``: the venue's service, and what its operator orders from the command line."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zkmargin.app.files import Output, load
from zkmargin.cli import serve_asks, serve_orders, terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import (
    also_option,
    claim_options,
    json_option,
    parse_age,
    parse_claim,
    parse_limits,
)
from zkmargin.cli.passphrases import signer_of
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.cli.serve_orders import AT
from zkmargin.cli.venues import Orders, Service, order_options, read_token, service_options
from zkmargin.crypto.keys import PublicKey, SecretKey
from zkmargin.engine.decimals import format_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, read_text
from zkmargin.verifier.attest import Attestation

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

    CONFIG is a TOML file: address, database, key, trust file, operators (docs/guides/serve.md has one).
    Standard output has one line when calls are taken, standard error the log: one JSON object a line, without tokens
    or bodies. A database that another service has is refused.
    """
    settings = _settings(config_path)
    signer = signer_of(settings.key, settings.passphrase_file, signer_command)
    settings.warn_of_receipts(settings.load_trust(), signer.public)
    from zkmargin.service.server import serve  # noqa: PLC0415

    serve(settings, signer, listening=lambda url: terminal.say(f"listening on {url}"))


def _key_of(settings: Settings) -> PublicKey:
    """The service's. Raises InputError: no file of it (with a signer, of the public one), or of the passphrase."""
    try:
        key = load(SecretKey, settings.key).public
    except InputError as error:
        try:
            key = load(PublicKey, settings.key)
        except InputError:
            raise error from None
    if settings.passphrase_file is not None:
        read_text(settings.passphrase_file, max_bytes=1 << 12)
    return key


@command.command("check", cls=Command, examples=["zkmargin serve check serve.toml --json"])
@click.argument("config_path", metavar="CONFIG")
@json_option
def check_command(config_path: str, as_json: bool) -> None:
    """Read CONFIG and the files that it names, and say what would be served. Nothing is started or altered."""
    settings = _settings(config_path)
    trust, operators = settings.load_trust(), settings.load_operators()
    settings.warn_of_receipts(trust, _key_of(settings))
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


@command.command(
    "backup",
    cls=Command,
    examples=["zkmargin serve backup serve.toml -o my-backup.db"],
)
@click.argument("config_path", metavar="CONFIG")
@click.option("-o", "--output", required=True, metavar="FILE", help="A new file: none is replaced.")
@json_option
def backup_command(config_path: str, output: str, as_json: bool) -> None:
    """Copy the service's SQLite database while it runs: everything that was acknowledged before this began is in it.

    To restore, stop the service, put the copy in the database's place (and remove its -wal and -shm files), check it
    with `zkmargin ledger check`, say so with `zkmargin serve restored`, start. A PostgreSQL database is backed up with
    pg_dump.
    """
    settings = _settings(config_path)
    from zkmargin.service.backup import backup  # noqa: PLC0415

    facts = backup(settings.database, output)
    if as_json:
        terminal.say_json(facts)
    else:
        terminal.say(f"{terminal.safe(output)}: {facts['proofs']} proofs, head {facts['head']}")


@command.command(
    "restored",
    cls=Command,
    examples=["zkmargin serve restored serve.toml"],
)
@click.argument("config_path", metavar="CONFIG")
@json_option
def restored_command(config_path: str, as_json: bool) -> None:
    """Say once that the service's database was put back from a back-up, before the service is started on it again.

    Events get numbers above all that were given since, so that whoever listens takes none for another. What was ordered
    after the back-up is undone: tokens that were revoked, accounts that were closed and parts that were withdrawn then
    count again, until that is ordered again. Lists of revocations and attestations are published again.
    """
    settings = _settings(config_path)
    from zkmargin.service.backup import restored  # noqa: PLC0415

    facts = restored(settings)
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"restored to {facts['until']}; events go on with number {facts['event']}; head {facts['head']}")
    terminal.say("undone is what was ordered since: revoke, close and withdraw again, publish lists and attestations")


@command.command(
    "token",
    cls=Command,
    examples=[
        f"zkmargin serve token {AT} --name risk --role auditor -o my-token",
        f"zkmargin serve token {AT} --name maker --role account --account maker -o my-maker-token",
    ],
)
@order_options
@click.option("--name", required=True, metavar="NAME", help="Whose it is: in the audit log and the service's log.")
@click.option(
    "--role",
    required=True,
    type=click.Choice(("account", "venue", "publisher", "auditor", "operator")),
    help="What it may do. account, venue: ask for challenges and submit proofs, each for its own name. publisher: "
    "publish snapshots, attestations and revocations. auditor: read everything. operator: publish and read everything.",
)
@click.option("--account", metavar="NAME", help="With --role account: which.")
@click.option("--venue", metavar="NAME", help="With --role venue: which, by the name in its terms.")
@click.option("--valid", metavar="TIME", help="Until it expires: 12h, 90d; without it, until it is revoked.")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the token: secret, mode 0600.")
@json_option
def token_command(
    orders: Orders,
    name: str,
    role: Any,
    account: str | None,
    venue: str | None,
    valid: str | None,
    output: str,
    as_json: bool,
) -> None:
    """Make a token here, and order the service to let it call: the service learns its hash only.

    Where the order did not arrive, give it again: the token that is in the file already is ordered then.
    """
    from zkmargin.client.orders import IssueToken  # noqa: PLC0415
    from zkmargin.client.tokens import new_token, token_digest  # noqa: PLC0415

    check_paths([orders.key_path], [output], json=as_json)
    _check_whose(role, account=account, venue=venue)
    kept = _token_there(output)
    token = kept if token_digest(kept) else new_token()
    ends_ms = None if valid is None else time.time_ns() // 1_000_000 + 1000 * parse_age(valid, "--valid")
    expires = None if ends_ms is None else format_time(ends_ms)
    digest = token_digest(token) or ""
    action = IssueToken(name=name, role=role, account=account or venue, digest=digest, expires=expires)
    if token != kept:
        write_outputs([Output(output, f"{token}\n".encode(), secret=True)])
    orders.give(action)
    facts: dict[str, Any] = {"output": output, "name": name, "role": role, "account": account or venue}
    facts |= {"digest": digest, "expires": expires}
    if as_json:
        terminal.say_json(facts)
    else:
        terminal.say(f"{terminal.safe(output)}: a token of role {role} for {terminal.quoted(name)}")


def _check_whose(role: str, **named: str | None) -> None:
    """Raises InputError: a token that does not say whose it is, or of another role and says so."""
    for needs, name in named.items():
        if (role == needs) != (name is not None):
            raise InputError(f"goes with --role {needs}, and only with it", file=f"--{needs}")


def _token_there(path: str) -> str:
    """What is in a file that may be a token's; nothing where it is none."""
    if Path(path).is_file():
        with suppress(InputError):  # no text: another file, which is not replaced
            return read_token(path)
    return ""


@command.command(
    "register",
    cls=Command,
    examples=[f"zkmargin serve register {AT} --account maker --claim 1.1 --period 60s --grace 10s"],
)
@order_options
@click.option("--account", required=True, metavar="NAME", help="Its alias: the one in its commitments.")
@claim_options
@also_option
@click.option(
    "--period",
    required=True,
    metavar="TIME",
    help="A proof is due so long after the snapshot of the last one: 60s, 10m.",
)
@click.option(
    "--grace", default="0s", show_default=True, metavar="TIME", help="A due proof is late after so much more time."
)
@click.option("--account-key", "account_keys", multiple=True, metavar="FILE", help="A public key of the account's own.")
@json_option
def register_command(
    orders: Orders,
    account: str,
    claim_text: str,
    requirement: str,
    also_texts: tuple[str, ...],
    period: str,
    grace: str,
    account_keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Register an account with what it must prove and how often; or give it new terms and keys."""
    from zkmargin.client.documents import Terms  # noqa: PLC0415
    from zkmargin.client.orders import RegisterAccount  # noqa: PLC0415

    claim = parse_claim(claim_text, requirement)
    terms = Terms(
        ratio=f"{claim.num}/{claim.den}",
        requirement=claim.requirement,
        limits=tuple(str(limit) for limit in parse_limits(also_texts)),
        period_seconds=parse_age(period, "--period"),
        grace_seconds=parse_age(grace, "--grace"),
    )
    keys = tuple(load(PublicKey, path) for path in account_keys)
    orders.give(RegisterAccount(account=account, terms=terms, keys=keys))
    if as_json:
        terminal.say_json({"account": account, "terms": terms.model_dump(mode="json")})
    else:
        terminal.say(f"{terminal.quoted(account)}: {claim}, due every {period}, late after {grace} more")


@command.command(
    "publish",
    cls=Command,
    examples=[
        (
            "zkmargin serve publish snapshot.json --attestation oracle.json --url http://127.0.0.1:8420 "
            "--token-file publisher.token"
        ),
    ],
)
@click.argument("snapshot_path", metavar="SNAPSHOT")
@click.option("--attestation", "attestation_path", required=True, metavar="FILE", help="Who signed it.")
@service_options
@json_option
def publish_command(snapshot_path: str, attestation_path: str, service: Service, as_json: bool) -> None:
    """Publish an attested snapshot. It counts by its signatures; the token only opens the door."""
    snapshot, attestation = load(Snapshot, snapshot_path), load(Attestation, attestation_path)
    with service.connect() as client:
        line = client.publish(snapshot, attestation)
    if as_json:
        terminal.say_json(line.model_dump(mode="json"))
    else:
        terminal.say(f"published: number {line.sequence} of {terminal.quoted(line.series)}, digest {line.snapshot}")


@command.command(
    "attest",
    cls=Command,
    examples=[
        "zkmargin serve attest positions.att.json --url http://127.0.0.1:8420 --token-file publisher.token",
    ],
)
@click.argument("attestation_paths", metavar="ATTESTATION...", nargs=-1, required=True)
@service_options
@json_option
def attest_command(attestation_paths: tuple[str, ...], service: Service, as_json: bool) -> None:
    """Register parts of accounts by their attestations; a newer one takes the place of the one before."""
    attestations = [load(Attestation, path) for path in attestation_paths]
    with service.connect() as client:
        done = [client.attest(attestation) for attestation in attestations]
    if as_json:
        terminal.say_json({"registered": done})
        return
    for one in done:
        terminal.say(f"registered: a part of {terminal.quoted(one['account'])}, number {one['sequence']}")


@command.command(
    "roster",
    cls=Command,
    examples=["zkmargin serve roster --url http://127.0.0.1:8420 --token-file auditor.token --json"],
)
@service_options
@json_option
def roster_command(service: Service, as_json: bool) -> None:
    """Every account and its state: covered until when, due, late, refused, uncovered."""
    with service.connect() as client:
        lines = client.roster()
    if as_json:
        terminal.say_json({"accounts": [line.model_dump(mode="json") for line in lines]})
        return
    for line in lines:
        until = f" until {line.until}" if line.state == "covered" and line.until else f" since {line.since}"
        ratio = "nothing proved" if line.last is None else f"proved {line.last.ratio}"
        closed = ", closed" if line.closed else ""
        terminal.say(f"{terminal.quoted(line.account)}: {line.state}{until}{closed}; {ratio}, {line.proofs} proofs")


for _command in (*serve_orders.COMMANDS, *serve_asks.COMMANDS):
    command.add_command(_command)
