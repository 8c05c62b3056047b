"""``zkmargin attest``: sign what you know: a snapshot, or the commitment to what an account holds with you."""

from __future__ import annotations

from dataclasses import dataclass

import click

from zkmargin.app.attesting import Held, attest_commitment, attest_snapshot, attestation_facts
from zkmargin.app.files import Output, blamed_on, load, load_lots
from zkmargin.app.verifying import clock_ms
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import check_names, json_option, key_option, output_option, parse_age, snapshot_option
from zkmargin.cli.passphrases import unlocked
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.cli.statements import gathered
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.market import Market
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO
from zkmargin.prover import Opening
from zkmargin.verifier import Commitment
from zkmargin.verifier.attest import Attestation, CommitmentPayload
from zkmargin.verifier.commitments import ROLES, Role

MAX_SEQUENCE = 2**63 - 1
sequence_option = click.option(
    "--sequence",
    required=True,
    type=click.IntRange(0, MAX_SEQUENCE),
    metavar="N",
    help="One more than the last time; verifiers take the highest that they know.",
)


@dataclass(frozen=True, kw_only=True)
class CommitmentOptions:
    """What was typed after ``attest commitment``."""

    commitment_path: str
    role: Role
    snapshot_path: str
    book_path: str | None
    opening_path: str | None
    computed: bool
    issuer: str
    account: str | None
    part: str
    sequence: int
    issued: str | None
    valid: str
    beneficiary: str | None
    key_path: str
    passphrase_path: str | None
    output: str
    as_json: bool


@click.group("attest", cls=Group)
def command() -> None:
    """Sign snapshots and commitments.

    What is signed is recomputed first from the files that you give: sign only what comes from your own records.
    """


@command.command(
    "snapshot",
    cls=Command,
    examples=[
        "zkmargin attest snapshot snapshot.json --market market.json --sequence 7 --key oracle.key.json -o oracle.json",
    ],
)
@click.argument("snapshot_path", metavar="SNAPSHOT")
@click.option("--market", "market_path", required=True, metavar="FILE", help="Your market: the snapshot is rebuilt.")
@click.option("--series", default="main", show_default=True, metavar="NAME", help="What the sequence number counts.")
@sequence_option
@key_option
@output_option("the attestation")
@json_option
def snapshot_command(
    snapshot_path: str,
    market_path: str,
    series: str,
    sequence: int,
    key_path: str,
    passphrase_path: str | None,
    output: str,
    as_json: bool,
) -> None:
    """Sign SNAPSHOT, after rebuilding it from your market. Several signers: each signs, `attest combine` joins."""
    inputs = [snapshot_path, market_path, key_path, *([passphrase_path] if passphrase_path else [])]
    check_paths(inputs, [output], json=as_json)
    check_names(series=series)
    snapshot, market = load(Snapshot, snapshot_path), load(Market, market_path)
    with terminal.progress("Rebuilding"), blamed_on(snapshot_path):
        attestation = attest_snapshot(snapshot, market, series=series, sequence=sequence)
    _sign(attestation, key_path, passphrase_path, output, as_json)


@command.command(
    "commitment",
    cls=Command,
    examples=[
        (
            "zkmargin attest commitment C.json --role positions --snapshot S.json --book B.json --opening O.json "
            '--issuer "venue A" --sequence 3 --valid 1d --key venue-a.key.json -o attestation.json'
        ),
        (
            "zkmargin attest commitment C.json --role collateral --snapshot S.json --computed "
            '--issuer "custodian B" --beneficiary "clearing desk" --sequence 3 --valid 1h --key b.key.json -o out.json'
        ),
    ],
)
@click.argument("commitment_path", metavar="COMMITMENT")
@click.option("--role", required=True, type=click.Choice(ROLES), help="Which part of it: a venue's, or a custodian's.")
@snapshot_option
@click.option("--book", "book_path", metavar="FILE", help="What your own ledger says (secret): it is recomputed.")
@click.option("--opening", "opening_path", metavar="FILE", help="The commitment's opening (secret), with --book.")
@click.option(
    "--computed",
    is_flag=True,
    help="Instead: you made this commitment yourself, with `update apply` or `migrate apply` from your own records.",
)
@click.option("--issuer", required=True, metavar="NAME", help="Your name in trust files.")
@click.option("--account", metavar="ALIAS", help="Refuse a commitment with another alias than this.")
@click.option("--part", default="main", show_default=True, metavar="NAME", help="Which part of the account with you.")
@sequence_option
@click.option("--issued", metavar="TIME", help="2026-01-02T03:04:05Z; now without it. Co-signers give the same.")
@click.option("--valid", required=True, metavar="TIME", help="For how long: 90s, 10m, 2h, 1d.")
@click.option("--beneficiary", metavar="NAME", help="Collateral: for whom alone you hold it until then.")
@key_option
@output_option("the attestation")
@json_option
@gathered(CommitmentOptions)
def commitment_command(options: CommitmentOptions) -> None:
    """Sign the part of COMMITMENT that is yours, after recomputing it from your own book and the opening.

    Never sign a point that you did not compute: it could be a commitment to anything.
    """
    _check(options)
    held = _held(options)
    snapshot, commitment = load(Snapshot, options.snapshot_path), load(Commitment, options.commitment_path)
    with blamed_on(options.commitment_path):
        own = None
        if options.book_path is not None and options.opening_path is not None:
            own = load_lots([options.book_path], snapshot), load(Opening, options.opening_path)
        attestation = attest_commitment(commitment, snapshot, held, account=options.account, own=own)
    _sign(attestation, options.key_path, options.passphrase_path, options.output, options.as_json)


def _check(options: CommitmentOptions) -> None:
    """Raises InputError for paths that clash, and for options that do not go together."""
    secrets = [path for path in (options.book_path, options.opening_path, options.passphrase_path) if path is not None]
    inputs = [options.commitment_path, options.snapshot_path, options.key_path, *secrets]
    check_paths(inputs, [options.output], json=options.as_json)
    has_book, has_opening = options.book_path is not None, options.opening_path is not None
    if options.computed == has_book or has_book != has_opening:
        raise InputError("give --book and --opening to recompute it, or --computed if you made it", file="--book")
    check_names(issuer=options.issuer, part=options.part, beneficiary=options.beneficiary)
    is_collateral = options.role == "collateral"
    if is_collateral != (options.beneficiary is not None):
        reason = "collateral is held for somebody: name them" if is_collateral else "is for collateral only"
        raise InputError(reason, file="--beneficiary")


def _held(options: CommitmentOptions) -> Held:
    """What is said of the part. Raises InputError."""
    return Held(
        role=options.role,
        issuer=options.issuer,
        part=options.part,
        sequence=options.sequence,
        issued_ms=clock_ms() if options.issued is None else parse_time(options.issued, field="--issued"),
        valid_seconds=parse_age(options.valid, "--valid"),
        beneficiary=options.beneficiary,
    )


@command.command(
    "combine",
    cls=Command,
    examples=[
        "zkmargin attest combine oracle-1.json oracle-2.json oracle-3.json --aggregate -o snapshot-attestation.json",
    ],
)
@click.argument("paths", metavar="ATTESTATION...", nargs=-1, required=True)
@click.option(
    "--aggregate",
    is_flag=True,
    help="Add all bls signatures up to one: smaller, but it counts only for who trusts every one of the signers.",
)
@output_option("the attestation")
@json_option
def combine_command(paths: tuple[str, ...], aggregate: bool, output: str, as_json: bool) -> None:
    """Join the signatures of several attestations of the same thing."""
    check_paths(paths, [output], json=as_json)
    attestation = load(Attestation, paths[0])
    for path in paths[1:]:
        with blamed_on(path):
            attestation = attestation.combined(load(Attestation, path))
    if aggregate:
        attestation = attestation.aggregated()
    _write(attestation, output, as_json)


def _sign(attestation: Attestation, key_path: str, passphrase_path: str | None, output: str, as_json: bool) -> None:
    signer = unlocked(key_path, passphrase_path)
    _write(attestation.signed(signer), output, as_json)


def _write(attestation: Attestation, output: str, as_json: bool) -> None:
    write_outputs([Output.document(output, attestation)])
    payload, facts = attestation.payload, attestation_facts(attestation)
    if as_json:
        terminal.say_json({"output": output, **facts})
        return
    signatures = facts["signatures"]
    what = "snapshot"
    if isinstance(payload, CommitmentPayload):
        what = f"{payload.role} of {terminal.quoted(payload.account)}"
    err = output == STDIO
    terminal.say(
        f"attested: {what}, number {payload.sequence}; signed by {signatures} key{'s' * (signatures > 1)}",
        err=err,
    )
    if isinstance(payload, CommitmentPayload):
        terminal.say(terminal.safe(f"it counts until {payload.expires}"), err=err)
