"""Signing what one knows: a snapshot, or the commitment to what an account holds. Recomputed before it is signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.accounts import Commitment, CommitmentPart, Opening
from zkmargin.accounts.commitments import commit_vector, part_of
from zkmargin.accounts.slots import Role, check_setup, check_slots
from zkmargin.crypto.keys import PublicKey
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.decimals import format_time
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import InputError
from zkmargin.verifier.attest import (
    Attestation,
    AttestedSnapshot,
    CommitmentPayload,
    Revocations,
    RevocationsPayload,
    Revoked,
    RevokedAttestation,
    RevokedKey,
    SnapshotPayload,
    Trust,
    attested,
    check_snapshot_attested,
)
from zkmargin.verifier.attest.accept import check_revocations, check_trusted_policy


@dataclass(frozen=True)
class Held:
    """What an attester says of a part that it holds.

    Attributes:
        role: positions or collateral.
        issuer: its name in trust files.
        part: which part of the account with it.
        sequence: one more than the last time.
        issued_ms, valid_seconds: from when, and for how long.
        beneficiary: for collateral, for whom alone it is held; None for positions.
    """

    role: Role
    issuer: str
    part: str
    sequence: int
    issued_ms: int
    valid_seconds: int
    beneficiary: str | None = None


def attest_snapshot(
    snapshot: Snapshot,
    source: Market | RiskArrays,
    policy: Policy,
    *,
    series: str,
    sequence: int,
    universe: Universe | None = None,
    earlier: Sequence[Market] = (),
) -> Attestation:
    """What is to be signed for a snapshot, after it was rebuilt from the signer's market or arrays, and policy.

    Args:
        snapshot: what is to be attested.
        source, policy: the signer's own.
        series, sequence: its number.
        universe, earlier: the signer's own too, for a snapshot in the slots of a universe.

    Raises:
        InputError: another policy, or the market gives another snapshot.
    """
    from zkmargin.app import snapshots  # noqa: PLC0415 - all that prices, which nobody else who attests needs

    check_own_policy(snapshot, policy)
    snapshots.check(snapshot, source, universe=universe, earlier=earlier)
    return Attestation(payload=SnapshotPayload.of(snapshot, series=series, sequence=sequence))


def attest_commitment(
    commitment: Commitment,
    snapshot: Snapshot,
    held: Held,
    *,
    account: str,
    own: tuple[BookLots, Opening] | None = None,
) -> Attestation:
    """What is to be signed for the one part of a commitment that is the signer's.

    Args:
        commitment: with one part of the role.
        snapshot: with the slots that the commitment is for.
        held: what is said of it.
        account: whose it is: another alias is refused.
        own: the signer's own book and the commitment's opening, to recompute it from; None only where the signer made
            the commitment itself.

    Raises:
        InputError: another account, setup, slots or book than the commitment's.
    """
    _, found = part_of(commitment.parts, held.role)
    if found.alias != account:
        raise InputError(f"is of another account than {account[:80]!r}", field="alias")
    check_setup(commitment.srs, commitment.domain_size, snapshot, embedded())
    check_slots(found.slot_map, found.role, snapshot, field="slot_map")
    if own is not None:
        lots, opening = own
        check_own(commitment, found, opening, getattr(lots, held.role))
    payload = CommitmentPayload.of(
        found,
        srs=commitment.srs,
        domain_size=commitment.domain_size,
        issuer=held.issuer,
        part=held.part,
        sequence=held.sequence,
        issued=format_time(held.issued_ms),
        expires=format_time(held.issued_ms + 1000 * held.valid_seconds),
        beneficiary=held.beneficiary,
    )
    return Attestation(payload=payload)


def check_own_policy(snapshot: Snapshot, policy: Policy) -> None:
    """Raises InputError: the snapshot was built with another policy than the signer's."""
    mine, its = policy.digest().hex(), snapshot.policy.digest().hex()
    if mine != its:
        named = f"{snapshot.policy.name} version {snapshot.policy.version[:40]!r}"
        raise InputError(
            f"was built with another policy than yours: its own, which calls itself {named}, has the digest {its}, "
            f"yours {mine}",
            field="policy",
            hint="do not sign it; build the snapshot with your policy",
        )


def revocations_of(
    issuer: str,
    sequence: int,
    *,
    now_ms: int,
    keys: Sequence[PublicKey] = (),
    attestations: Sequence[Attestation] = (),
    reason: str = "",
    before: Revocations | None = None,
) -> Revocations:
    """A list of revocations to be signed: everything of the list before, and what is new.

    Raises:
        InputError: ``before`` is no earlier list of the issuer's, or something is revoked twice.
    """
    old = None if before is None else before.payload
    if old is not None and (old.issuer != issuer or old.sequence >= sequence):
        raise InputError("is no earlier list of this issuer's", field="previous")
    payload = RevocationsPayload(
        issuer=issuer,
        sequence=sequence,
        time=format_time(now_ms),
        keys=(
            *(old.keys if old else ()),
            *(RevokedKey(scheme=key.scheme, public_key=key.public_key, reason=reason) for key in keys),
        ),
        attestations=(
            *(old.attestations if old else ()),
            *(RevokedAttestation(payload=item.payload_digest.hex(), reason=reason) for item in attestations),
        ),
    )
    return Revocations(payload=payload)


def signed_snapshot(
    snapshot: Snapshot, attestation: Attestation, trust: Trust, *, now_ms: int, revocations: Sequence[Revocations] = ()
) -> AttestedSnapshot:
    """Who signed a snapshot, of those that a trust file names, under a policy that it allows.

    Raises:
        InputError: the attestation of a commitment.
        VerificationError: too few of those who are trusted, another snapshot, or another policy.
    """
    found = attested(attestation, trust, Revoked.by(check_revocations(revocations, trust, now_ms=now_ms)))
    if not isinstance(found, AttestedSnapshot):
        raise InputError("attests a commitment, not a snapshot", field="attestation")
    check_snapshot_attested(found.payload, snapshot)
    check_trusted_policy(found.payload, snapshot, trust)
    return found


def attestation_facts(attestation: Attestation) -> dict[str, Any]:
    """An attestation for programs."""
    return {
        "payload": attestation.to_json()["payload"],
        "payload_digest": attestation.payload_digest.hex(),
        "signatures": sum(len(signature.public_keys) for signature in attestation.signatures),
    }


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
