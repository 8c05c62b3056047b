"""``zkmargin venue verify | inspect``: a venue's proof and its terms, for whoever relies on them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import click

from zkmargin.app.files import load
from zkmargin.app.venue_facts import lacking_of_every, terms_facts
from zkmargin.app.venue_log import logged
from zkmargin.app.venue_notes import (
    read_venue_proof,
    verify_venue_proof,
)
from zkmargin.app.verifying import check_age, clock_ms
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import (
    challenge_option,
    context_option,
    json_option,
    parse_age,
    snapshot_option,
)
from zkmargin.cli.paths import check_paths
from zkmargin.cli.statements import gathered
from zkmargin.cli.venue_options import (
    Facts,
    StatementOptions,
    commitment_option,
    keys_option,
    log_signed,
    rejections,
    say_statement,
    statement_options,
)
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, VerificationError
from zkmargin.verifier.venue.customers import VenueRecord
from zkmargin.verifier.venue.proof import venue_proof_bytes


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(StatementOptions):
    """What was typed after ``venue verify``."""

    proof: str
    record_path: str | None
    log_path: str | None
    key_paths: tuple[str, ...]
    max_age: str | None
    every_account: bool
    as_json: bool


@click.command(
    "verify",
    cls=Command,
    examples=[
        "zkmargin venue verify --snapshot snapshot.json --terms terms.json --record record.json venue-proof.bin",
        "zkmargin venue verify --snapshot snapshot.json --terms terms.json --max-age 365d venue-proof.bin",
        (
            "zkmargin venue verify --snapshot snapshot.json --terms terms.json --every-account --log log.json "
            "--key venue.public.json venue-proof.bin"
        ),
    ],
)
@click.argument("proof")
@statement_options
@click.option("--record", "record_path", metavar="FILE", help="The published record: the proof must be the one in it.")
@click.option("--log", "log_path", metavar="FILE", help="The venue's public log: the proof must be the one in it.")
@keys_option
@click.option(
    "--every-account", is_flag=True, help="Refuse terms by which some account may be short of its requirement."
)
@click.option("--max-age", metavar="AGE", help="Refuse a snapshot older than 90s, 10m, 2h or 1d.")
@json_option
@gathered(VerifyOptions)
def verify_command(options: VerifyOptions) -> None:
    """Verify PROOF. Everything about what it proves comes from the snapshot and the terms, never from the proof."""
    published = [path for path in (options.record_path, options.log_path) if path]
    check_paths([options.proof, *options.statement_paths, *published, *options.key_paths])
    if options.key_paths and options.log_path is None:
        raise InputError("signs entries of a log: give --log FILE", file="--key")
    statement = options.statement()
    record = None if options.record_path is None else load(VenueRecord, options.record_path)
    begin = time.perf_counter()
    with rejections(options.proof, as_json=options.as_json):
        if options.max_age is not None:
            check_age(load(Snapshot, options.snapshot_path), parse_age(options.max_age), now_ms=clock_ms())
        if options.every_account and (lacking := lacking_of_every(statement.terms)):
            raise VerificationError(f"by the terms {lacking}", check="every-account")
        log, entry, signers = None, None, None
        if options.log_path is not None:
            keys = [load(PublicKey, path) for path in options.key_paths]
            log, entry, signers = logged(options.log_path, statement, keys)
        with terminal.progress("Verifying"):
            _, made = verify_venue_proof(statement, read_venue_proof(options.proof, statement), record)
        if log is not None and entry is not None and made != entry.record(log.venue):
            raise VerificationError("the proof holds, but it is not the one of the log", check="log")
    facts = {
        "accepted": True,
        "milliseconds": round(1000 * (time.perf_counter() - begin)),
        **terms_facts(statement.terms),
        "statement_digest": made.statement,
        "proof_digest": made.proof,
        "root": made.root,
        "record": options.record_path,
        "log_head": None if log is None else log.head,
        "log_signers": None if signers is None else list(signers),
        "signer_demanded": bool(options.key_paths),
    }
    if options.as_json:
        terminal.say_json(facts)
    else:
        _say_accepted(options.proof, facts)


def _say_accepted(proof: str, facts: Facts) -> None:
    terminal.say(f"accepted: {terminal.safe(proof)} proves of all accounts of {terminal.quoted(facts['venue'])}:")
    say_statement(facts)
    if facts["log_signers"] is not None:
        terminal.say(log_signed(facts["log_signers"], "--key", demanded=facts["signer_demanded"]))
        terminal.say(f"the log's head, to compare with others: {facts['log_head']}")
    terminal.say("not proved: that every customer is inside (each checks its note), that prices are right,")
    terminal.say("that books are what they were a moment later; the code has had no independent audit")


@click.command("inspect", cls=Command, examples=["zkmargin venue inspect --snapshot snapshot.json terms.json"])
@click.argument("terms_path", metavar="TERMS")
@snapshot_option
@commitment_option
@context_option
@challenge_option
@json_option
def inspect_command(as_json: bool, **asked: Any) -> None:
    """Say what a proof of TERMS proves, and how its columns are laid out."""
    options = StatementOptions(**asked)
    check_paths(options.statement_paths)
    statement = options.statement()
    facts = {
        **terms_facts(statement.terms),
        "statement_digest": statement.digest.hex(),
        "proof_bytes": venue_proof_bytes(statement),
        "rows": statement.n,
        "digit_bits": statement.k,
        "helper_group": statement.g,
        "column_sets": len(statement.sets),
    }
    if as_json:
        terminal.say_json(facts)
        return
    say_statement(facts)
    for name in ("statement_digest", "proof_bytes", "rows", "digit_bits", "helper_group", "column_sets"):
        terminal.say(f"  {name.replace('_', ' '):<18} {facts[name]}")
