"""``zkmargin inspect``: explain any file of ours. Of secret files it shows their kind and shape, never a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from zkmargin.accounts import Commitment, Opening
from zkmargin.app.batches import BatchList
from zkmargin.app.facts import part_facts, policy_facts, snapshot_facts, universe_facts
from zkmargin.app.files import load, warn_if_exposed
from zkmargin.circuits import build_circuit
from zkmargin.cli import terminal
from zkmargin.cli.explain import EXPLAINED as SIGNED_DOCUMENTS
from zkmargin.cli.explain_venue import EXPLAINED as VENUE_DOCUMENTS
from zkmargin.cli.groups import Command
from zkmargin.cli.options import also_option, claim_options, json_option, parse_claim, parse_limits
from zkmargin.cli.paths import check_paths
from zkmargin.crypto.srs import MAGIC as SRS_MAGIC
from zkmargin.crypto.srs import SRS
from zkmargin.engine.book import Book
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import Document, InputError, parse_json, read_bytes
from zkmargin.formats.files import STDIO
from zkmargin.verifier.header import HEADER_BYTES, MAGIC, VERSION, ProofKind, is_of, read_header
from zkmargin.verifier.proof import decode_proof

Facts = dict[str, Any]


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
        kind.FORMAT.rsplit("/", 1)[0]: (kind, explain) for kind, explain in _EXPLAINED
    }
    kind_explain = by_kind.get(given.rsplit("/", 1)[0])
    if kind_explain is None:
        known = ", ".join(sorted(kind.FORMAT for kind, _ in _EXPLAINED))
        raise InputError(f'format "{given[:80]}" is none of ours', file=name, hint=f"known: {known}")
    kind, explain = kind_explain
    document = kind.parse(data.decode("utf-8"), file=name)
    facts = explain(document)
    return {"what": facts.pop("what"), "secret": kind.SECRET, "format": document.format, **facts}


def _universe(universe: Universe) -> Facts:
    return {
        "what": "a universe: which contract is in which slot, apart from any quote; public",
        **universe_facts(universe),
    }


def _market(market: Market) -> Facts:
    return {
        "what": "a market: prices, forwards, vols and instruments; public",
        "digest": market.digest().hex(),
        "time": market.time,
        "quote": market.quote,
        "source": market.source,
        "underlyings": [u.name for u in market.underlyings],
        "instruments": len(market.instruments),
        "expiries": len(market.forwards),
        "assets": [a.name for a in market.assets],
        "notes": list(market.notes),
    }


def _arrays(arrays: RiskArrays) -> Facts:
    return {
        "what": "risk arrays of a clearing house, imported; public. Next: zkmargin snapshot build FILE --policy span",
        "digest": arrays.digest().hex(),
        "time": arrays.time,
        "quote": arrays.quote,
        "source": arrays.source,
        "commodities": list(arrays.groups),
        "instruments": len(arrays.instruments),
        "credits": len(arrays.credits),
        "greeks": arrays.greeks,
        "assets": [a.name for a in arrays.assets],
        "notes": list(arrays.notes),
    }


def _batch(batch: BatchList) -> Facts:
    return {
        "what": "a list of proofs to verify together: zkmargin verify-batch FILE",
        "digest": batch.digest().hex(),
        "proofs": [item.proof for item in batch.proofs],
    }


def _policy(policy: Policy) -> Facts:
    return {
        "what": "a margin policy; public. More: zkmargin policy show FILE",
        **policy_facts(policy),
        "title": policy.title,
        "components": [part.type for part in policy.components],
    }


def _snapshot(snapshot: Snapshot) -> Facts:
    return {"what": "a risk snapshot; public. More: zkmargin snapshot show FILE", **snapshot_facts(snapshot)}


def _commitment(commitment: Commitment) -> Facts:
    return {
        "what": "a commitment to a hidden book; public, and authenticated by nothing in it",
        "digest": commitment.digest().hex(),
        "srs_digest": commitment.srs,
        "domain_size": commitment.domain_size,
        "parts": [part_facts(part) for part in commitment.parts],
    }


def _opening(opening: Opening) -> Facts:
    return {
        "what": "SECRET: the opening of a commitment. Keep it as safe as the book; its blinders are not shown",
        "srs_digest": opening.srs,
        "domain_size": opening.domain_size,
        "parts": [part_facts(part.public()) for part in opening.parts],
    }


def _book(book: Book) -> Facts:
    return {
        "what": "SECRET: a book. Its quantities are not shown",
        "positions": len(book.positions),
        "balances": len(book.collateral),
    }


_EXPLAINED: tuple[tuple[type[Document], Callable[[Any], Facts]], ...] = (
    (BatchList, _batch),
    (Book, _book),
    (Commitment, _commitment),
    (Market, _market),
    (Opening, _opening),
    (Policy, _policy),
    (RiskArrays, _arrays),
    (Snapshot, _snapshot),
    (Universe, _universe),
    *SIGNED_DOCUMENTS,
    *VENUE_DOCUMENTS,
)


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
