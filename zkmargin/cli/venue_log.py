"""``zkmargin venue log``: the one public log of a venue's proofs, written by the venue and checked by everybody."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

from zkmargin.app.files import load
from zkmargin.app.venue_log import append_to_log, check_log
from zkmargin.app.venue_notes import read_venue_proof, verify_venue_proof
from zkmargin.app.verifying import clock_ms
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import (
    json_option,
    passphrase_option,
    signer_option,
)
from zkmargin.cli.passphrases import signer_of
from zkmargin.cli.paths import check_paths
from zkmargin.cli.statements import gathered
from zkmargin.cli.venue_options import (
    Facts,
    StatementOptions,
    keys_option,
    log_signed,
    rejections,
    statement_options,
)
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.decimals import format_time
from zkmargin.formats import InputError
from zkmargin.verifier.venue.log import VenueLog


@click.group("log", cls=Group)
def log_group() -> None:
    """The one public log of a venue's proofs: chained, signed, one statement a snapshot.

    A venue appends each proof and publishes the same file to everybody. Auditors and customers keep a copy or its head,
    compare them with one another's, and check that a newer log continues an older one.
    """


@dataclass(frozen=True, kw_only=True)
class AppendOptions(StatementOptions):
    """What was typed after ``venue log append``."""

    log_path: str
    proof_path: str
    key_path: str
    passphrase_path: str | None
    signer_command: str | None
    as_json: bool


@log_group.command(
    "append",
    cls=Command,
    examples=[
        (
            "zkmargin venue log append my-log.json --snapshot snapshot.json --terms terms.json "
            "--proof venue-proof.bin --key venue.key.json --passphrase-file pass.txt"
        )
    ],
)
@click.argument("log_path", metavar="LOG")
@statement_options
@click.option("--proof", "proof_path", required=True, metavar="FILE", help="The proof; it is verified first.")
@click.option("--key", "key_path", required=True, metavar="FILE", help="Sign the entry with this key.")
@passphrase_option
@signer_option
@json_option
@gathered(AppendOptions)
def append_command(options: AppendOptions) -> None:
    """Verify a proof and append its entry to LOG, which begins with it where there is none.

    A second proof about one snapshot is refused, and so is a log that does not hold as it stands.
    """
    inputs = [*options.statement_paths, options.proof_path, options.key_path]
    check_paths(inputs, [options.log_path], json=options.as_json)
    statement = options.statement()
    with rejections(options.proof_path, as_json=options.as_json), terminal.progress("Verifying"):
        _, record = verify_venue_proof(statement, read_venue_proof(options.proof_path, statement))
    signer = signer_of(options.key_path, options.passphrase_path, options.signer_command)
    with rejections(options.log_path, as_json=options.as_json):
        log = append_to_log(options.log_path, statement, record, format_time(clock_ms()), signer)
    facts = {"log": options.log_path, "accepted": True, "entry": len(log.entries), "head": log.head}
    if options.as_json:
        terminal.say_json({**facts, **_entry_facts(log, len(log.entries))})
        return
    terminal.say(f"entry {len(log.entries)} of {terminal.safe(options.log_path)}; its head: {log.head}")
    terminal.say("publish this file in one place, the same for everybody")


@log_group.command(
    "check",
    cls=Command,
    examples=[
        "zkmargin venue log check log.json --key venue.public.json",
        "zkmargin venue log check log.json --key venue.public.json --earlier log.json --json",
    ],
)
@click.argument("log_path", metavar="LOG")
@keys_option
@click.option("--earlier", "earlier_path", metavar="FILE", help="A copy that you kept: the log must continue it.")
@click.option("--head", metavar="HEX", help="A head that you noted, or that somebody else sees: the log must have it.")
@json_option
def check_command(
    log_path: str, key_paths: tuple[str, ...], earlier_path: str | None, head: str | None, as_json: bool
) -> None:
    """Check that LOG is whole, signed, and has one statement a snapshot. Compare its head with other people's."""
    check_paths([log_path, *key_paths, *([earlier_path] if earlier_path else [])])
    keys = [load(PublicKey, path) for path in key_paths]
    if head is not None and not re.fullmatch(r"[0-9a-f]{64}", head):
        raise InputError("not 64 hexadecimal digits, lower case", file="--head")
    with rejections(log_path, as_json=as_json):
        log, signers = check_log(log_path, keys, earlier_path, head)
    if as_json:
        entries = [_entry_facts(log, number) for number in range(1, len(log.entries) + 1)]
        facts = {"accepted": True, "venue": log.venue, "head": log.head, "signers": list(signers)}
        terminal.say_json({**facts, "signer_demanded": bool(keys), "entries": entries})
        return
    terminal.say(
        f"the log of {terminal.quoted(log.venue)} holds: {terminal.counted(len(log.entries), 'entry', 'entries')}"
    )
    terminal.say(f"head: {log.head}")
    terminal.say(log_signed(signers, "--key", demanded=bool(keys), one=len(keys) == 1))


def _entry_facts(log: VenueLog, number: int) -> Facts:
    entry = log.entries[number - 1]
    return {
        "number": entry.number,
        "time": entry.time,
        "snapshot": {"name": entry.series, "time": entry.snapshot_time, "digest": entry.snapshot},
        "statement_digest": entry.statement,
        "proof_digest": entry.proof,
        "root": entry.root,
        "accounts": entry.accounts,
        "dense_accounts": entry.committed,
        "digest": entry.digest(log.venue).hex(),
    }
