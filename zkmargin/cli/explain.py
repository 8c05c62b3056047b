"""What signed documents, keys, trust files, challenges, receipts and updates say, for ``zkmargin inspect``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zkmargin.accounts.updates import Migration, MigrationPart, Update, UpdatePart
from zkmargin.app.evidence import Evidence
from zkmargin.crypto.keys import PublicKey, SecretKey, fingerprint
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.engine.fills import Fills
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


def signatures(items: Sequence[Signature], message: Message) -> list[Facts]:
    """Signatures, and whether they are the keys' that they name."""
    return [
        {
            "scheme": item.scheme,
            "keys": [fingerprint(item.scheme, key) for key in item.public_keys],
            "verifies": item.verifies(message),
        }
        for item in items
    ]


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


EXPLAINED: tuple[tuple[type[Document], Callable[[Any], Facts]], ...] = (
    (Attestation, attestation),
    (Challenge, challenge),
    (Evidence, evidence),
    (Fills, fills),
    (Migration, migration),
    (PublicKey, public_key),
    (Receipt, receipt),
    (Revocations, revocations),
    (SecretKey, secret_key),
    (Trust, trust),
    (Update, update),
)
