"""Commitments in the real world: signed snapshots, attested commitments, trust, challenges, receipts.

An account whose positions a venue and whose collateral a custodian signs, under a snapshot that an oracle signs:

>>> from zkmargin.crypto import ed25519
>>> from zkmargin.crypto.keys import PublicKey, SecretSigner
>>> from zkmargin.engine.decimals import parse_time
>>> def signer(name):
...     secret = ed25519.generate_secret()
...     public = PublicKey(name=name, scheme="ed25519", public_key=ed25519.public_key(secret).hex())
...     return SecretSigner(public, secret)
>>> oracle, venue, custodian = map(signer, ("oracle", "venue", "custodian"))
>>> signed_snapshot = Attestation(payload=SnapshotPayload.of(snapshot, series="main", sequence=7)).signed(oracle)
>>> signed_parts = [
...     Attestation(
...         payload=CommitmentPayload.of(
...             part,
...             srs=commitment.srs,
...             domain_size=commitment.domain_size,
...             issuer=signer.public.name,
...             part="main",
...             sequence=3,
...             issued="2026-01-02T03:00:00Z",
...             expires="2026-01-02T05:00:00Z",
...             beneficiary="desk" if signer is custodian else None,
...         )
...     ).signed(signer)
...     for part, signer in zip(commitment.parts, (venue, custodian))
... ]
>>> attestations = [signed_snapshot, *signed_parts]
>>> trust = Trust(
...     verifier="desk",
...     beneficiary="desk",
...     keys=[key.public for key in (oracle, venue, custodian)],
...     snapshots=[
...         SnapshotRule(
...             name="main",
...             signers=["oracle"],
...             threshold=1,
...             max_age_seconds=600,
...             policies=[snapshot.policy.digest().hex()],
...         )
...     ],
...     positions=[Rule(name="venue", signers=["venue"], threshold=1)],
...     collateral=[Rule(name="custodian", signers=["custodian"], threshold=1)],
... )
>>> now = parse_time("2026-01-02T03:05:00Z")
>>> acceptance = accept(statement, proof, now_ms=now, trust=trust, attestations=attestations)
>>> [item.signers for item in acceptance.attested]
[('oracle',), ('venue',), ('custodian',)]
"""

from zkmargin.verifier.attest.accept import (
    Candidate,
    VerifyEach,
    accept,
    accept_each,
    attested,
    authenticate,
    check_policy,
    check_snapshot_attested,
)
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
    "Candidate",
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
    "VerifyEach",
    "accept",
    "accept_each",
    "attested",
    "authenticate",
    "check_policy",
    "check_snapshot_attested",
]
