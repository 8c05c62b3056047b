"""``zkmargin bundle``: a proof and the public files around it in one file, and apart again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from zkmargin.accounts import Commitment
from zkmargin.app.bundles import Around, files_of, make_bundle
from zkmargin.app.evidence import Evidence
from zkmargin.app.files import Output, load, read_proof
from zkmargin.cli import terminal
from zkmargin.cli.batch import rejections
from zkmargin.cli.explain import evidence as evidence_facts
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option, output_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.cli.statements import Asked, StatementOptions, gathered, load_statement, statement_options
from zkmargin.cli.venue_verifying import load_venue_statement, proof_bytes_of, refuse_claim_options, terms_option
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError
from zkmargin.formats.files import STDIO, kind_of
from zkmargin.verifier.attest import Attestation, Receipt, Revocations, Trust
from zkmargin.verifier.protocols import AnyStatement

NO_AUTHORITY = (
    "Evidence, never authority: whoever makes a bundle can put any trust file and challenge into it. To accept one:",
    "  zkmargin verify --bundle FILE --trust YOUR-TRUST-FILE --challenge YOUR-CHALLENGE",
)


@dataclass(frozen=True, kw_only=True)
class Options(StatementOptions):
    """What was typed."""

    proof_path: str | None
    snapshot_path: str | None
    commitment_paths: tuple[str, ...]
    terms_path: str | None
    source_path: str | None
    attestation_paths: tuple[str, ...]
    revocation_paths: tuple[str, ...]
    trust_path: str | None
    receipt_path: str | None
    unpack_path: str | None
    output: str
    as_json: bool


@click.command(
    "bundle",
    cls=Command,
    examples=[
        "zkmargin bundle --snapshot snapshot.json --commitment commitment.json one.bin -o my-bundle.json",
        (
            "zkmargin bundle --snapshot snapshot.json --source market.json --commitment commitment.json --attestation "
            "oracle.json --attestation venue.json --attestation custodian.json --trust trust.json --challenge "
            "challenge.json answer.bin -o my-evidence.json"
        ),
        "zkmargin bundle --terms terms.json --snapshot snapshot.json venue-proof.bin -o my-venue-bundle.json",
        "zkmargin bundle --unpack bundle.json -o my-files",
    ],
)
@click.argument("proof_path", metavar="[PROOF]", required=False)
@click.option("--snapshot", "snapshot_path", metavar="FILE", help="The risk snapshot.")
@click.option(
    "--commitment", "commitment_paths", multiple=True, metavar="FILE", help="What was committed. Several add up."
)
@terms_option
@statement_options
@click.option(
    "--source",
    "source_path",
    metavar="FILE",
    help="The market or risk arrays of the snapshot, so that it can be rebuilt.",
)
@click.option("--attestation", "attestation_paths", multiple=True, metavar="FILE", help="Of snapshot and commitments.")
@click.option("--revocations", "revocation_paths", multiple=True, metavar="FILE", help="Lists that were current.")
@click.option("--trust", "trust_path", metavar="FILE", help="The trust file of an acceptance: evidence of it, no more.")
@click.option("--receipt", "receipt_path", metavar="FILE", help="The record of an acceptance.")
@click.option("--unpack", "unpack_path", metavar="BUNDLE", help="Write the files of BUNDLE to the new folder of -o.")
@output_option("the bundle")
@json_option
@gathered(Options)
def command(options: Options) -> None:
    """Put PROOF and the public files around it into one file (zkmargin/evidence/v1; v2 of a venue), or take one apart.

    The proof must verify, and every document must be about the same statement. Give claim, limits and context or
    challenge as to `verify`; of a venue's proof --terms, and the commitments that they name. There is no place in a
    bundle for a book, an opening or a key: a file of another kind is refused. A trust file and a challenge in it are
    evidence, never authority: whoever verifies a bundle uses its own.
    """
    if options.unpack_path is not None:
        _unpack(options)
        return
    path, snapshot_path = _check(options)
    asked = Asked.of(options)
    snapshot = load(Snapshot, snapshot_path)
    commitments = [load(Commitment, name) for name in options.commitment_paths]
    statement: AnyStatement
    if options.terms_path is None:
        statement = load_statement(snapshot, snapshot_path, options.commitment_paths, asked)
        proof = read_proof(path)
    else:
        statement = load_venue_statement(snapshot, options.terms_path, options.commitment_paths, asked.context)
        proof = read_proof(path, most=proof_bytes_of(statement))
    around = Around(
        source=None if options.source_path is None else _source(options.source_path),
        attestations=tuple(load(Attestation, name) for name in options.attestation_paths),
        revocations=tuple(load(Revocations, name) for name in options.revocation_paths),
        trust=None if options.trust_path is None else load(Trust, options.trust_path),
        challenge=asked.challenge,
        receipt=None if options.receipt_path is None else load(Receipt, options.receipt_path),
    )
    with rejections(path):
        evidence = make_bundle(statement, commitments, proof, around)
    write_outputs([Output(options.output, evidence.to_bytes(), "zkmargin/evidence")])
    _say(options, evidence)


def _say(options: Options, evidence: Evidence) -> None:
    facts = {"output": options.output, **evidence_facts(evidence)}
    if options.as_json:
        terminal.say_json(facts)
        return
    if options.output == STDIO:
        return
    inside: list[tuple[int, str]] = [
        (len(facts["attestations"]), "attestations"),
        (len(facts["revocations"]), "lists of revocations"),
        *((int(facts[name] is not None), name) for name in ("source", "trust", "challenge", "receipt")),
    ]
    terminal.say(f"wrote {terminal.safe(options.output)}: the proof verifies; digest {facts['digest']}")
    terminal.say(
        f"  inside       {', '.join(f'{count} {name}' for count, name in inside if count) or 'no more than it'}"
    )
    for line in NO_AUTHORITY:
        terminal.say(line)


def _check(options: Options) -> tuple[str, str]:
    """The paths of proof and snapshot. Raises InputError: something is missing, or paths clash."""
    if options.proof_path is None:
        raise click.UsageError("Missing argument 'PROOF', or --unpack.", click.get_current_context())
    if options.terms_path is not None:
        refuse_claim_options()
    if options.snapshot_path is None or not (options.commitment_paths or options.terms_path):
        option = "--snapshot" if options.snapshot_path is None else "--commitment"
        raise click.UsageError(f"Missing option '{option}'.", click.get_current_context())
    single = (options.terms_path, options.source_path, options.trust_path, options.receipt_path, options.challenge_path)
    many = (*options.commitment_paths, *options.attestation_paths, *options.revocation_paths)
    inputs = [options.proof_path, options.snapshot_path, *many, *(name for name in single if name)]
    check_paths(inputs, [options.output], json=options.as_json)
    return options.proof_path, options.snapshot_path


def _source(path: str) -> Market | RiskArrays:
    kind: type[Document] = RiskArrays if kind_of(path) == "zkmargin/risk-arrays" else Market
    source = load(kind, path)
    if not isinstance(source, (Market, RiskArrays)):
        raise TypeError(kind.FORMAT)
    return source


def _unpack(options: Options) -> None:
    """The files of a bundle in a new folder."""
    given: dict[str, Any] = {
        "PROOF": options.proof_path,
        "--snapshot": options.snapshot_path,
        "--commitment": options.commitment_paths,
        "--terms": options.terms_path,
        "--source": options.source_path,
        "--attestation": options.attestation_paths,
        "--revocations": options.revocation_paths,
        "--trust": options.trust_path,
        "--challenge": options.challenge_path,
        "--receipt": options.receipt_path,
    }
    for option, value in given.items():
        if value:
            raise InputError("does not go with --unpack: the bundle has its own", file=option)
    if options.output == STDIO:
        raise InputError("missing: the folder to write to", file="-o")
    evidence = load(Evidence, options.unpack_path or STDIO)
    folder = _new_folder(options.output)
    outputs = [Output(str(folder / item.path), item.data, item.kind) for item in files_of(evidence)]
    write_outputs(outputs)
    names = [Path(item.path).name for item in outputs]
    if options.as_json:
        terminal.say_json({"folder": options.output, "files": names, **evidence_facts(evidence)})
        return
    terminal.say(f"wrote {terminal.counted(len(names), 'file')} to {terminal.safe(options.output)}: {', '.join(names)}")


def _new_folder(path: str) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        full = any(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot be used as a folder: {(error.strerror or 'error').lower()}", file=path) from None
    if full:
        raise InputError("is not empty", file=path, hint="name a new folder")
    return folder
