"""``zkmargin inspect``: explain any file of ours. Of secret files it shows their kind and shape, never a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from zkmargin.app.files import load, warn_if_exposed
from zkmargin.circuits import build_circuit
from zkmargin.cli import terminal
from zkmargin.cli.explain import EXPLAINED, Facts
from zkmargin.cli.groups import Command
from zkmargin.cli.options import also_option, claim_options, json_option, parse_claim, parse_limits
from zkmargin.cli.paths import check_paths
from zkmargin.crypto.srs import MAGIC as SRS_MAGIC
from zkmargin.crypto.srs import SRS
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError, parse_json, read_bytes
from zkmargin.formats.files import STDIO
from zkmargin.verifier.header import HEADER_BYTES, MAGIC, VERSION, ProofKind, is_of, read_header
from zkmargin.verifier.proof import decode_proof


@click.command(
    "inspect",
    cls=Command,
    examples=[
        "zkmargin inspect proof.bin",
        "zkmargin inspect proof.bin --snapshot snapshot.json --json",
    ],
)
@click.argument("file")
@click.option("--snapshot", "snapshot_path", metavar="FILE", help="For a proof: show its elements by name.")
@claim_options
@also_option
@json_option
def command(
    file: str,
    snapshot_path: str | None,
    claim_text: str,
    requirement: str,
    also_texts: tuple[str, ...],
    as_json: bool,
) -> None:
    """Explain FILE: a market, policy, snapshot, book, commitment, opening, proof, setup, key, attestation, receipt ...

    Of a book or an opening only the shape is shown. A proof's elements have names only with the snapshot and the claim
    that it was made for.
    """
    check_paths([file, *([snapshot_path] if snapshot_path else [])])
    data = read_bytes(file)
    if data.startswith(MAGIC) and not data.startswith(SRS_MAGIC):
        facts = proof_facts(data)
        if snapshot_path is not None:
            facts["elements"] = proof_elements(
                data, load(Snapshot, snapshot_path), parse_claim(claim_text, requirement), parse_limits(also_texts)
            )
    elif data.startswith(SRS_MAGIC):
        facts = srs_facts(data, file)
    else:
        facts = document_facts(data, file)
        if facts["secret"]:
            warn_if_exposed(file)
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"{terminal.safe(file)}: {facts['what']}")
    for name, value in facts.items():
        if name not in ("what", "secret"):
            for line in _lines(name.replace("_", " "), value):
                terminal.say(f"  {line}")


PROOFS = {
    ProofKind.MARGIN: ("proof", "a proof; what it proves stands in the verifier's own files, not in it"),
    ProofKind.VENUE: ("venue proof", "a venue proof; what it proves stands in the terms and the snapshot, not in it"),
    ProofKind.CHAIN: ("chain proof", "a proof for contracts; what it proves stands in the table and the commitment"),
}


def proof_facts(data: bytes) -> Facts:
    """A proof's header. Raises ProofFormatError."""
    kind = next((kind for kind in PROOFS if is_of(kind, data)), ProofKind.MARGIN)
    name, what = PROOFS[kind]
    return {
        "what": what,
        "secret": False,
        "format": f"zkmargin {name}, version {VERSION}",
        "curve": "BLS12-381",
        "bytes": len(data),
        "srs_digest": read_header(data, kind).hex(),
        "body_bytes": len(data) - HEADER_BYTES,
    }


def proof_elements(data: bytes, snapshot: Snapshot, claim: Claim, limits: Sequence[Limit] = ()) -> Facts:
    """The JSON view of a proof: its points and scalars by name. Raises ProofFormatError."""
    circuit = build_circuit(snapshot, claim, limits)
    proof = decode_proof(data, circuit.shape, read_header(data))
    points = {name: point.hex() for name, point in proof.points()}
    return points | {name: str(value) for name, value in proof.named_scalars()}


def srs_facts(data: bytes, file: str) -> Facts:
    """A setup in our binary form. Raises InputError."""
    try:
        srs = SRS(data)
    except InputError as error:
        raise error.located(file=file) from None
    return {
        "what": "a structured reference string; check its points with: zkmargin srs verify FILE",
        "secret": False,
        "format": "zkmargin/srs/v1",
        "name": srs.name,
        "g1_powers": srs.powers,
        "digest": srs.digest.hex(),
        "known_ceremony": not srs.insecure,
    }


def document_facts(data: bytes, file: str) -> Facts:
    """A JSON document. Raises InputError for anything that is none of ours, and for one that is not valid."""
    name = "standard input" if file == STDIO else file
    value = parse_json(data, file=name, decimals="exact")
    given = value.get("format") if isinstance(value, dict) else None
    if not isinstance(given, str):
        raise InputError('no file of ours: it has no "format" line', file=name)
    by_kind: dict[str, tuple[type[Document], Callable[[Any], Facts]]] = {
        kind.FORMAT.rsplit("/", 1)[0]: (kind, explain) for kind, explain in EXPLAINED
    }
    kind_explain = by_kind.get(given.rsplit("/", 1)[0])
    if kind_explain is None:
        known = ", ".join(sorted(kind.FORMAT for kind, _ in EXPLAINED))
        raise InputError(f'format "{given[:80]}" is none of ours', file=name, hint=f"known: {known}")
    kind, explain = kind_explain
    document = kind.parse(data.decode("utf-8"), file=name)
    facts = explain(document)
    return {"what": facts.pop("what"), "secret": kind.SECRET, "format": document.format, **facts}


def _lines(name: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [name, *(f"  {line}" for key, item in value.items() for line in _lines(key, item))]
    if isinstance(value, list) and any(isinstance(item, (dict, str)) for item in value) and len(str(value)) > 80:
        return [line for i, item in enumerate(value) for line in _lines(f"{name}[{i}]", item)]
    shown = ", ".join(map(_shown, value)) if isinstance(value, list) else _shown(value)
    return [f"{name:<16} {shown}"]


def _shown(value: object) -> str:
    """A value of a document: text that is more than one plain word is quoted."""
    if value is None:
        return "none"
    return terminal.word(value) if isinstance(value, str) else str(value)
