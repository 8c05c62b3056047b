"""``zkmargin attest``: sign what you know: a snapshot, or the commitment to what an account holds with you."""

from __future__ import annotations

from dataclasses import dataclass

import click

from zkmargin.accounts import Commitment, Opening
from zkmargin.accounts.slots import ROLES, Role
from zkmargin.app.attesting import Held, attest_commitment, attest_snapshot, attestation_facts, revocations_of
from zkmargin.app.files import Output, blamed_on, load, load_lots
from zkmargin.app.verifying import clock_ms
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import (
    check_names,
    json_option,
    key_option,
    output_option,
    own_policy_option,
    parse_age,
    snapshot_option,
)
from zkmargin.cli.passphrases import signer_of
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.cli.policies import own_policy
from zkmargin.cli.statements import gathered
from zkmargin.cli.universes import load_universe, universe_options, universe_paths
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO
from zkmargin.verifier.attest import Attestation, CommitmentPayload, Revocations

MAX_SEQUENCE = 2**63 - 1
sequence_option = click.option(
    "--sequence",
    required=True,
    type=click.IntRange(0, MAX_SEQUENCE),
    metavar="N",
    help="One more than the last time; verifiers take the highest that they know.",
)

signed_ledger_option = click.option(
    "--ledger",
    "ledger_where",
    metavar="WHERE",
    help="Your ledger of what you signed: something else under its number, and one commitment for two accounts, are "
    "refused.",
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
    account: str
    part: str
    sequence: int
    issued: str | None
    valid: str
    beneficiary: str | None
    holding: str | None
    key_path: str
    passphrase_path: str | None
    signer_command: str | None
    ledger_where: str | None
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
        (
            "zkmargin attest snapshot snapshot.json --market market.json --policy default --sequence 7 "
            "--key oracle.key.json --passphrase-file pass.txt -o my-oracle.json"
        ),
        (
            "zkmargin attest snapshot span-snapshot.json --arrays arrays.json --policy span --sequence 7 "
            "--key oracle.key.json --passphrase-file pass.txt -o my-span-oracle.json"
        ),
    ],
)
@click.argument("snapshot_path", metavar="SNAPSHOT")
@click.option("--market", "market_path", metavar="FILE", help="Your market: the snapshot is rebuilt from it.")
@click.option("--arrays", "arrays_path", metavar="FILE", help="Instead: your import of a clearing house's risk arrays.")
@own_policy_option(
    required=True, text="Your policy, by name or file: what you sign is built with it, not with the one in SNAPSHOT."
)
@universe_options
@click.option("--series", default="main", show_default=True, metavar="NAME", help="What the sequence number counts.")
@sequence_option
@key_option
@signed_ledger_option
@output_option("the attestation")
@json_option
def snapshot_command(
    snapshot_path: str,
    market_path: str | None,
    arrays_path: str | None,
    policy_name: str,
    universe_path: str | None,
    last_paths: tuple[str, ...],
    series: str,
    sequence: int,
    key_path: str,
    passphrase_path: str | None,
    signer_command: str | None,
    ledger_where: str | None,
    output: str,
    as_json: bool,
) -> None:
    """Sign SNAPSHOT, after rebuilding it from your market and your policy.

    A policy's name and version are texts in its file, so the policy inside SNAPSHOT is compared with yours, digest by
    digest. Several signers: each signs, `attest combine` joins.
    """
    if (market_path is None) == (arrays_path is None):
        raise InputError("give --market, or --arrays for imported risk arrays", file="--market")
    source_path = str(market_path or arrays_path)
    inputs = [snapshot_path, source_path, key_path, *([passphrase_path] if passphrase_path else [])]
    check_paths([*inputs, *universe_paths(universe_path, last_paths)], [output], json=as_json)
    check_names(series=series)
    universe, earlier = load_universe(universe_path, last_paths)
    snapshot, policy = load(Snapshot, snapshot_path), own_policy(policy_name)
    source = load(Market, source_path) if arrays_path is None else load(RiskArrays, source_path)
    with terminal.progress("Rebuilding"), blamed_on(snapshot_path):
        attestation = attest_snapshot(
            snapshot, source, policy, series=series, sequence=sequence, universe=universe, earlier=earlier
        )
    _sign(attestation, key_path, passphrase_path, signer_command, ledger_where, output, as_json)


@command.command(
    "commitment",
    cls=Command,
    examples=[
        (
            "zkmargin attest commitment commitment.json --role positions --snapshot snapshot.json --book record.json "
            '--opening opening.json --issuer venue --account "market maker" --sequence 3 --valid 1d '
            "--key venue.key.json --passphrase-file pass.txt -o my-venue.json"
        ),
        (
            "zkmargin attest commitment commitment.json --role collateral --snapshot snapshot.json --computed "
            '--issuer custodian --account "market maker" --beneficiary "clearing desk" --sequence 3 --valid 1h '
            "--key custodian.key.json --passphrase-file pass.txt -o my-custodian.json"
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
@click.option("--account", required=True, metavar="ALIAS", help="Whose it is: any other alias is refused.")
@click.option("--part", default="main", show_default=True, metavar="NAME", help="Which part of the account with you.")
@sequence_option
@click.option("--issued", metavar="TIME", help="2026-01-02T03:04:05Z; now without it. Co-signers give the same.")
@click.option("--valid", required=True, metavar="TIME", help="For how long: 90s, 10m, 2h, 1d.")
@click.option("--beneficiary", metavar="NAME", help="Collateral: for whom alone you hold it until then.")
@click.option(
    "--holding",
    metavar="NAME",
    help="With --ledger: your own name of what you hold (an account's number, a wallet). It is kept in the ledger, not "
    "shown: the same holding for another account or part is refused, whatever the points.",
)
@key_option
@signed_ledger_option
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
    _sign(
        attestation,
        options.key_path,
        options.passphrase_path,
        options.signer_command,
        options.ledger_where,
        options.output,
        options.as_json,
        holding=options.holding,
    )


def _check(options: CommitmentOptions) -> None:
    """Raises InputError for paths that clash, and for options that do not go together."""
    secrets = [path for path in (options.book_path, options.opening_path, options.passphrase_path) if path is not None]
    inputs = [options.commitment_path, options.snapshot_path, options.key_path, *secrets]
    check_paths(inputs, [options.output], json=options.as_json)
    has_book, has_opening = options.book_path is not None, options.opening_path is not None
    if options.computed == has_book or has_book != has_opening:
        raise InputError("give --book and --opening to recompute it, or --computed if you made it", file="--book")
    check_names(issuer=options.issuer, account=options.account, part=options.part, beneficiary=options.beneficiary)
    check_names(holding=options.holding)
    if options.holding is not None and options.ledger_where is None:
        raise InputError("is kept in your ledger of what you signed: give --ledger WHERE", file="--holding")
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
    "revoke",
    cls=Command,
    examples=[
        (
            'zkmargin attest revoke --issuer "exchange group" --sequence 4 --revoke-key oracle.public.json '
            "--reason stolen --key venue.key.json --passphrase-file pass.txt -o my-revocations.json"
        ),
        (
            'zkmargin attest revoke --issuer "exchange group" --sequence 5 --previous revocations.json '
            "--revoke custodian.json --key venue.key.json --passphrase-file pass.txt -o my-revocations-5.json"
        ),
    ],
)
@click.option("--issuer", required=True, metavar="NAME", help="Your name in trust files.")
@sequence_option
@click.option("--previous", "previous_path", metavar="FILE", help="Your list before: all of it is revoked still.")
@click.option("--revoke-key", "key_paths", multiple=True, metavar="FILE", help="A public key that counts no more.")
@click.option("--revoke", "revoked_paths", multiple=True, metavar="FILE", help="An attestation that counts no more.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever reads the list; of all that is new in it.")
@key_option
@output_option("the list")
@json_option
def revoke_command(
    issuer: str,
    sequence: int,
    previous_path: str | None,
    key_paths: tuple[str, ...],
    revoked_paths: tuple[str, ...],
    reason: str,
    key_path: str,
    passphrase_path: str | None,
    signer_command: str | None,
    output: str,
    as_json: bool,
) -> None:
    """Sign a list of revoked keys and attestations: what verifiers that rely on it no longer let count.

    A list holds everything that is revoked; without --previous, --revoke and --revoke-key it says that nothing is: for
    verifiers whose trust files ask for a fresh list.
    """
    single = [path for path in (previous_path, passphrase_path) if path]
    check_paths([*key_paths, *revoked_paths, *single, key_path], [output], json=as_json)
    check_names(issuer=issuer, reason=reason or None)
    with blamed_on(previous_path or output):
        unsigned = revocations_of(
            issuer,
            sequence,
            now_ms=clock_ms(),
            keys=[load(PublicKey, path) for path in key_paths],
            attestations=[load(Attestation, path) for path in revoked_paths],
            reason=reason,
            before=None if previous_path is None else load(Revocations, previous_path),
        )
    document = unsigned.signed(signer_of(key_path, passphrase_path, signer_command))
    write_outputs([Output.document(output, document)])
    if as_json:
        terminal.say_json({"output": output, "payload": document.to_json()["payload"]})
        return
    keys, others = len(document.payload.keys), len(document.payload.attestations)
    words = f"list number {sequence} of {terminal.quoted(issuer)}: {keys} keys and {others} attestations are revoked"
    terminal.say(words, err=output == STDIO)


@command.command(
    "combine",
    cls=Command,
    examples=[
        "zkmargin attest combine oracle.json second-oracle.json --aggregate -o my-oracles.json",
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


def _sign(
    attestation: Attestation,
    key_path: str,
    passphrase_path: str | None,
    signer_command: str | None,
    ledger_where: str | None,
    output: str,
    as_json: bool,
    *,
    holding: str | None = None,
) -> None:
    """Sign, keep it in the attester's ledger, write it: in this order, so that nothing goes out that is not kept."""
    signed = attestation.signed(signer_of(key_path, passphrase_path, signer_command))
    if ledger_where is not None:
        with open_ledger(ledger_where) as ledger:
            ledger.sign(signed, holding=holding)
    _write(signed, output, as_json)


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
        f"attested: {what}, number {payload.sequence}; signed by {terminal.counted(signatures, 'key')}",
        err=err,
    )
    if isinstance(payload, CommitmentPayload):
        terminal.say(terminal.safe(f"it counts until {payload.expires}"), err=err)
