"""``zkmargin attest``: sign what you know: a snapshot, or the commitment to what an account holds with you."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from zkmargin.app.files import Output, blamed_on, check_paths, load, load_lots, write_outputs
from zkmargin.circuits.margin import slot_map_digest
from zkmargin.cli import terminal
from zkmargin.cli.options import (
    Command,
    check_names,
    json_option,
    key_option,
    output_option,
    parse_age,
    snapshot_option,
)
from zkmargin.cli.passphrases import unlocked
from zkmargin.crypto.srs import embedded
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.engine.market import Market
from zkmargin.engine.snapshot import Snapshot, check_snapshot
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO
from zkmargin.prover import Opening
from zkmargin.prover.openings import commit_vector
from zkmargin.verifier import Commitment, CommitmentPart
from zkmargin.verifier.attest import Attestation, CommitmentPayload, SnapshotPayload
from zkmargin.verifier.commitments import ROLES, Role

MAX_SEQUENCE = 2**63 - 1
sequence_option = click.option(
    "--sequence",
    required=True,
    type=click.IntRange(0, MAX_SEQUENCE),
    metavar="N",
    help="One more than the last time; verifiers take the highest that they know.",
)


@click.group("attest")
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
        check_snapshot(snapshot, market)
    payload = SnapshotPayload.of(snapshot, series=series, sequence=sequence)
    _sign(Attestation(payload=payload), key_path, passphrase_path, output, as_json)


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
def commitment_command(
    commitment_path: str,
    role: Role,
    snapshot_path: str,
    book_path: str | None,
    opening_path: str | None,
    computed: bool,
    issuer: str,
    account: str | None,
    part: str,
    sequence: int,
    issued: str | None,
    valid: str,
    beneficiary: str | None,
    key_path: str,
    passphrase_path: str | None,
    output: str,
    as_json: bool,
) -> None:
    """Sign the part of COMMITMENT that is yours, after recomputing it from your own book and the opening.

    Never sign a point that you did not compute: it could be a commitment to anything.
    """
    secrets = [path for path in (book_path, opening_path, passphrase_path) if path is not None]
    check_paths([commitment_path, snapshot_path, key_path, *secrets], [output], json=as_json)
    if computed == (book_path is not None) or (book_path is None) != (opening_path is None):
        raise InputError("give --book and --opening to recompute it, or --computed if you made it", file="--book")
    check_names(issuer=issuer, part=part, beneficiary=beneficiary)
    if (role == "collateral") != (beneficiary is not None):
        reason = "collateral is held for somebody: name them" if role == "collateral" else "is for collateral only"
        raise InputError(reason, file="--beneficiary")
    seconds = parse_age(valid, "--valid")
    issued_ms = time.time_ns() // 1_000_000 if issued is None else parse_time(issued, field="--issued")
    snapshot, commitment = load(Snapshot, snapshot_path), load(Commitment, commitment_path)
    with blamed_on(commitment_path):
        found = only_part(commitment, role)
        if account is not None and found.alias != account:
            raise InputError(f"is of another account than {account[:80]!r}", field="alias")
        check_slots(commitment, found, snapshot)
        if book_path is not None and opening_path is not None:
            lots = getattr(load_lots([book_path], snapshot), role)
            check_own(commitment, found, load(Opening, opening_path), lots)
    payload = CommitmentPayload.of(
        found,
        srs=commitment.srs,
        domain_size=commitment.domain_size,
        issuer=issuer,
        part=part,
        sequence=sequence,
        issued=format_time(issued_ms),
        expires=format_time(issued_ms + 1000 * seconds),
        beneficiary=beneficiary,
    )
    _sign(Attestation(payload=payload), key_path, passphrase_path, output, as_json)


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


def only_part(commitment: Commitment, role: Role) -> CommitmentPart:
    """The one part with a role. Raises InputError when there is none, or more than one."""
    parts = [part for part in commitment.parts if part.role == role]
    if len(parts) != 1:
        raise InputError(f"{len(parts)} parts for {role}: give a commitment with one", field="parts")
    return parts[0]


def check_slots(commitment: Commitment, part: CommitmentPart, snapshot: Snapshot) -> None:
    """Raises InputError: made with another setup, over another number of rows, or for other slots."""
    if commitment.srs != embedded().digest.hex():
        raise InputError("made with another structured reference string", field="srs")
    if commitment.domain_size != snapshot.layout.domain_size:
        raise InputError("made over another number of rows than the snapshot has", field="domain_size")
    if part.slot_map != slot_map_digest(snapshot, part.role).hex():
        raise InputError("made for other slots than the snapshot lists", field="slot_map")


def check_own(commitment: Commitment, part: CommitmentPart, opening: Opening, lots: Sequence[int]) -> None:
    """Recompute a part from a book's lots and its blinders.

    Raises:
        InputError: an opening without this part, or one that with this book gives other points.
    """
    mine = [own for own in opening.parts if own.public() == part]
    if not mine:
        raise InputError("the opening is of another commitment", field="points")
    if any(abs(x) >= 1 << part.bits for x in lots):
        raise InputError(f"the book holds more than the {part.bits} bits that it states", field="bits")
    points = commit_vector(embedded(), commitment.domain_size, lots, mine[0].scalars())
    if tuple(point.hex() for point in points) != part.points:
        raise InputError("is not to what the book says: do not sign it", field="points")


def _sign(attestation: Attestation, key_path: str, passphrase_path: str | None, output: str, as_json: bool) -> None:
    signer = unlocked(key_path, passphrase_path)
    _write(attestation.signed(signer), output, as_json)


def _write(attestation: Attestation, output: str, as_json: bool) -> None:
    write_outputs([Output.document(output, attestation)])
    payload = attestation.payload
    signatures = sum(len(signature.public_keys) for signature in attestation.signatures)
    if as_json:
        digest = payload.digest.hex()
        terminal.say_json(
            {
                "output": output,
                "payload": payload.model_dump(mode="json"),
                "payload_digest": digest,
                "signatures": signatures,
            }
        )
        return
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
