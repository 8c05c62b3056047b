"""Commitments in the real world: signed snapshots, attested commitments, trust, challenges, receipts."""

from zkmargin.verifier.attest.accept import accept, attested, authenticate, check_policy, check_snapshot_attested
from zkmargin.verifier.attest.acceptance import (
    Acceptance,
    Attested,
    AttestedPart,
    AttestedSnapshot,
    Authenticated,
    Known,
    Memory,
    Sighting,
)
from zkmargin.verifier.attest.challenge import Challenge
from zkmargin.verifier.attest.documents import Attestation, CommitmentPayload, SnapshotPayload, Stream
from zkmargin.verifier.attest.receipt import Receipt, ReceiptPayload
from zkmargin.verifier.attest.revocations import (
    Revocations,
    RevocationsPayload,
    Revoked,
    RevokedAttestation,
    RevokedKey,
)
from zkmargin.verifier.attest.trust import Quorum, RequiredPart, RevocationRule, Rule, SnapshotRule, Trust

__all__ = [
    "Acceptance",
    "Attestation",
    "Attested",
    "AttestedPart",
    "AttestedSnapshot",
    "Authenticated",
    "Challenge",
    "CommitmentPayload",
    "Known",
    "Memory",
    "Quorum",
    "Receipt",
    "ReceiptPayload",
    "RequiredPart",
    "RevocationRule",
    "Revocations",
    "RevocationsPayload",
    "Revoked",
    "RevokedAttestation",
    "RevokedKey",
    "Rule",
    "Sighting",
    "SnapshotPayload",
    "SnapshotRule",
    "Stream",
    "Trust",
    "accept",
    "attested",
    "authenticate",
    "check_policy",
    "check_snapshot_attested",
]
