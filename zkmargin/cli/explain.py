"""What ``zkmargin inspect`` says of each kind of document: of secret ones their kind and shape, never a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zkmargin.accounts import Commitment, Opening
from zkmargin.accounts.updates import Migration, MigrationPart, Update, UpdatePart
from zkmargin.app.batches import BatchList
from zkmargin.app.evidence import Evidence
from zkmargin.app.facts import part_facts, policy_facts, snapshot_facts, universe_facts
from zkmargin.app.venue_facts import unclaimed_accounts
from zkmargin.app.venue_notes import VenueSecret
from zkmargin.cli.explain_service import EXPLAINED as OF_SERVICES
from zkmargin.cli.explain_service import signatures
from zkmargin.crypto.keys import PublicKey, SecretKey
from zkmargin.engine.book import Book
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.fills import Fills
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import Document
from zkmargin.verifier.attest import (
    Attestation,
    Challenge,
    Receipt,
    Revocations,
    Rule,
    SnapshotPayload,
    Trust,
)
from zkmargin.verifier.venue.customers import VenueNote, VenueRecord
from zkmargin.verifier.venue.log import VenueLog
from zkmargin.verifier.venue.terms import VenueTerms

Facts = dict[str, Any]


def public_key(key: PublicKey) -> Facts:
    """A public key."""
    return {
        "what": "a public key; it means what a trust file says it means",
        "name": key.name,
        "scheme": key.scheme,
        "fingerprint": key.fingerprint,
        "public_key": key.public_key,
        "possession": "proved" if key.possession else "not needed",
        **({} if key.address is None else {"address": key.address}),
    }


def secret_key(key: SecretKey) -> Facts:
    """A secret key: its public part, and how it is encrypted."""
    return {
        "what": "SECRET: a signing key, encrypted with a passphrase",
        "encryption": f"{key.kdf.name} (N = 2^{key.kdf.log_n}, r = {key.kdf.r}, p = {key.kdf.p}), {key.cipher}",
        **{name: value for name, value in public_key(key.public).items() if name != "what"},
    }


def attestation(document: Attestation) -> Facts:
    """An attestation: what is said, and which keys signed it. Whether they count is a trust file's business."""
    payload = document.payload
    kind = "a snapshot" if isinstance(payload, SnapshotPayload) else f"a commitment to {payload.role}"
    return {
        "what": f"an attestation of {kind}; whose signatures count, a trust file says",
        "payload_digest": document.payload_digest.hex(),
        **{name: value for name, value in document.to_json()["payload"].items() if name != "kind"},
        "signatures": signatures(document.signatures, document.message),
    }


def trust(document: Trust) -> Facts:
    """A trust file in words."""
    return {
        "what": "a trust file: whose signatures count for what",
        "digest": document.digest().hex(),
        "verifier": document.verifier,
        "beneficiary": document.beneficiary,
        "clock_skew_seconds": document.clock_skew_seconds,
        "keys": [f"{key.name}: {key.scheme} {key.fingerprint}" for key in document.keys],
        "snapshots": [f"{_rule(rule)}, at most {rule.max_age_seconds} s old" for rule in document.snapshots],
        "policies": {rule.name: list(rule.policies) for rule in document.snapshots}
        if document.pins_policies
        else "any: version 1 pins none, so signers may weaken the policy under its old name",
        "positions": [_rule(rule) for rule in document.positions],
        "collateral": [_rule(rule) for rule in document.collateral],
        "receipts": [_rule(rule) for rule in document.receipts],
        "revocations": [f"{_rule(rule)}, at most {rule.max_age_seconds} s old" for rule in document.revocations],
        "required": [
            f"{part.role} {part.part} by {part.issuer} of {', '.join(part.accounts) or 'every account'}"
            for part in document.required
        ],
    }


def revocations(document: Revocations) -> Facts:
    """A list of revocations."""
    return {
        "what": "a list of revoked keys and attestations; whose lists count, a trust file says",
        "payload_digest": document.payload_digest.hex(),
        **document.to_json()["payload"],
        "signatures": signatures(document.signatures, document.message),
    }


def evidence(document: Evidence) -> Facts:
    """A proof with all public files around it."""
    return {
        "what": "evidence: a proof and the files of its acceptance. Never authority: use your own trust file",
        "digest": document.digest().hex(),
        "claim": document.claim.model_dump(mode="json"),
        "proof_bytes": len(document.proof_bytes),
        **({} if document.terms is None else {"terms": document.terms.digest().hex()}),
        "snapshot": document.snapshot.digest().hex(),
        "source": None if document.source is None else document.source.digest().hex(),
        "commitments": [commitment.digest().hex() for commitment in document.commitments],
        "attestations": [item.payload_digest.hex() for item in document.attestations],
        "revocations": [item.payload_digest.hex() for item in document.revocations],
        "trust": None if document.trust is None else document.trust.digest().hex(),
        "challenge": None if document.challenge is None else document.challenge.digest().hex(),
        "receipt": None if document.receipt is None else document.receipt.payload.statement,
    }


def _rule(rule: Rule) -> str:
    return f"{rule.name}: {rule.threshold} of {', '.join(rule.signers)}"


def challenge(document: Challenge) -> Facts:
    """A challenge, and the context that answers it."""
    return {
        "what": "a verifier's challenge: the context of the proof that answers it",
        "digest": document.digest().hex(),
        **document.model_dump(mode="json", exclude={"format"}),
        "context": document.context.decode("ascii"),
    }


def receipt(document: Receipt) -> Facts:
    """A receipt."""
    signed = signatures(document.signatures, document.message)
    return {
        "what": "a receipt: what a verifier accepted; run it again with: zkmargin verify --rerun RECEIPT ...",
        "digest": document.digest().hex(),
        **document.to_json()["payload"],
        "signatures": signed or "none: whoever has the file can have written it",
    }


def fills(document: Fills) -> Facts:
    """Fills: how many, never what."""
    return {
        "what": "SECRET: fills, what changed in a book. Their quantities are not shown",
        "positions": "not renewed" if document.positions is None else len(document.positions),
        "balances": "not renewed" if document.collateral is None else len(document.collateral),
    }


def update(document: Update) -> Facts:
    """An update; its increments are not shown."""
    return {
        "what": "SECRET: an update, from the holder of a commitment to the party that attests it, and to nobody else",
        "srs_digest": document.srs,
        "domain_size": document.domain_size,
        "parts": [_step(part) for part in document.parts],
    }


def migration(document: Migration) -> Facts:
    """A migration; its blinders are not shown."""
    return {
        "what": "SECRET: a migration, from the holder of a commitment to the party that attests it, and to nobody else",
        "srs_digest": document.srs,
        "domain_size": document.domain_size,
        "slot_maps": dict(document.slot_maps),
        "parts": [_step(part) for part in document.parts],
    }


def _step(part: UpdatePart | MigrationPart) -> Facts:
    return {"role": part.role, "alias": part.alias, "before": list(part.before), "after": list(part.after)}


def universe(document: Universe) -> Facts:
    """A universe of contracts and their slots."""
    return {
        "what": "a universe: which contract is in which slot, apart from any quote; public",
        **universe_facts(document),
    }


def market(document: Market) -> Facts:
    """A market: what is in it, and where it came from."""
    return {
        "what": "a market: prices, forwards, vols and instruments; public",
        "digest": document.digest().hex(),
        "time": document.time,
        "quote": document.quote,
        "source": document.source,
        "underlyings": [u.name for u in document.underlyings],
        "instruments": len(document.instruments),
        "expiries": len(document.forwards),
        "assets": [a.name for a in document.assets],
        "notes": list(document.notes),
    }


def arrays(document: RiskArrays) -> Facts:
    """Imported risk arrays."""
    return {
        "what": "risk arrays of a clearing house, imported; public. Next: zkmargin snapshot build FILE --policy span",
        "digest": document.digest().hex(),
        "time": document.time,
        "quote": document.quote,
        "source": document.source,
        "commodities": list(document.groups),
        "instruments": len(document.instruments),
        "credits": len(document.credits),
        "greeks": document.greeks,
        "assets": [a.name for a in document.assets],
        "notes": list(document.notes),
    }


def batch(document: BatchList) -> Facts:
    """A list of proofs."""
    return {
        "what": "a list of proofs to verify together: zkmargin verify-batch FILE",
        "digest": document.digest().hex(),
        "proofs": [item.proof for item in document.proofs],
    }


def policy(document: Policy) -> Facts:
    """A policy: its components, and whose words its name is."""
    return {
        "what": "a margin policy; public. More: zkmargin policy show FILE",
        **policy_facts(document),
        "title": document.title,
        "components": [part.type for part in document.components],
    }


def snapshot(document: Snapshot) -> Facts:
    """A snapshot in short."""
    return {"what": "a risk snapshot; public. More: zkmargin snapshot show FILE", **snapshot_facts(document)}


def commitment(document: Commitment) -> Facts:
    """A commitment, part by part."""
    return {
        "what": "a commitment to a hidden book; public, and authenticated by nothing in it",
        "digest": document.digest().hex(),
        "srs_digest": document.srs,
        "domain_size": document.domain_size,
        "parts": [part_facts(part) for part in document.parts],
    }


def opening(document: Opening) -> Facts:
    """An opening; its blinders are not shown."""
    return {
        "what": "SECRET: the opening of a commitment. Keep it as safe as the book; its blinders are not shown",
        "srs_digest": document.srs,
        "domain_size": document.domain_size,
        "parts": [part_facts(part.public()) for part in document.parts],
    }


def book(document: Book) -> Facts:
    """A book: how many positions and balances, never which."""
    return {
        "what": "SECRET: a book. Its quantities are not shown",
        "positions": len(document.positions),
        "balances": len(document.collateral),
    }


def terms(document: VenueTerms) -> Facts:
    """The terms of a venue proof."""
    return {
        "what": "the terms of a venue proof; public. Next: zkmargin venue inspect FILE --snapshot S",
        "digest": document.digest().hex(),
        "venue": document.venue,
        "requirement": document.requirement,
        "accounts": sum(spec.accounts for spec in document.classes),
        "classes": [spec.name for spec in document.classes],
        "dense_accounts": len(document.dense),
        "unclaimed_accounts": unclaimed_accounts(document),
        "net": document.net is not None,
        "totals": document.totals is not None,
        "cap": None if document.cap is None else from_units(int(document.cap), VALUATION_DECIMALS),
        "exempt": document.exempt,
    }


def record(document: VenueRecord) -> Facts:
    """What stands in a venue's log beside a proof."""
    return {
        "what": "what a venue publishes beside a proof, in one log; public",
        "venue": document.venue,
        "statement_digest": document.statement,
        "proof_digest": document.proof,
        "root": document.root,
        "accounts": document.accounts,
    }


def log(document: VenueLog) -> Facts:
    """The public log of a venue's proofs."""
    return {
        "what": "the public log of a venue's proofs. Next: zkmargin venue log check FILE --key K",
        "venue": document.venue,
        "entries": len(document.entries),
        "head": document.head,
    }


def note(document: VenueNote) -> Facts:
    """A customer's note; its nonce and cells are not shown."""
    return {
        "what": "SECRET: a customer's note. Its nonce and its cells are not shown",
        "venue": document.venue,
        "statement_digest": document.statement,
        "proof_digest": document.proof,
        "account": document.account,
        "signed": bool(document.signatures),
    }


def secret(document: VenueSecret) -> Facts:
    """What a venue makes notes from; its seed is not shown."""
    return {
        "what": "SECRET: what a venue makes customers' notes from. Its seed and its names are not shown",
        "statement_digest": document.statement,
        "proof_digest": document.proof,
        "accounts": sum(map(len, document.classes)),
    }


#: Every kind of document of ours. A new one takes its place here, and ``inspect`` knows it.
EXPLAINED: tuple[tuple[type[Document], Callable[[Any], Facts]], ...] = (
    (Attestation, attestation),
    (BatchList, batch),
    (Book, book),
    (Challenge, challenge),
    (Commitment, commitment),
    (Evidence, evidence),
    (Fills, fills),
    (Market, market),
    (Migration, migration),
    (Opening, opening),
    (Policy, policy),
    (PublicKey, public_key),
    (Receipt, receipt),
    (Revocations, revocations),
    (RiskArrays, arrays),
    (SecretKey, secret_key),
    (Snapshot, snapshot),
    (Trust, trust),
    (Universe, universe),
    (Update, update),
    (VenueLog, log),
    (VenueNote, note),
    (VenueRecord, record),
    (VenueSecret, secret),
    (VenueTerms, terms),
    *OF_SERVICES,
)
