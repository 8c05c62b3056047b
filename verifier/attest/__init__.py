"""Commitments in the real world: signed snapshots, attested commitments, trust, challenges, receipts."""

from verifier.attest.accept import accept, attested, authenticate, check_snapshot_attested
from verifier.attest.acceptance import (
    Acceptance,
    Attested,
    AttestedPart,
    AttestedSnapshot,
    Authenticated,
    Known,
    Memory,
    Sighting,
)
from verifier.attest.challenge import Challenge
from verifier.attest.documents import Attestation, CommitmentPayload, SnapshotPayload, Stream
from verifier.attest.receipt import Receipt, ReceiptPayload
from verifier.attest.trust import Quorum, Rule, SnapshotRule, Trust

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
    "Rule",
    "Sighting",
    "SnapshotPayload",
    "SnapshotRule",
    "Stream",
    "Trust",
    "accept",
    "attested",
    "authenticate",
    "check_snapshot_attested",
]
