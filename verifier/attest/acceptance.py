"""What an acceptance consists of, what a verifier remembers of it, and the receipt of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from zkmargin.engine.decimals import format_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import VerificationError
from zkmargin.formats.canonical import keccak256
from zkmargin.verifier.attest.challenge import Challenge
from zkmargin.verifier.attest.documents import Attestation, CommitmentPayload, Payload, SnapshotPayload, Stream
from zkmargin.verifier.attest.receipt import (
    AttestedBy,
    Receipt,
    ReceiptPart,
    ReceiptPayload,
    ReceiptSnapshot,
    ReceiptVenue,
)
from zkmargin.verifier.attest.revocations import Revocations
from zkmargin.verifier.attest.trust import Trust
from zkmargin.verifier.protocols import AnyAccepted, AnyStatement
from zkmargin.verifier.statement import Statement

if TYPE_CHECKING:
    from zkmargin.verifier.venue.verify import VenueAccepted


class Sighting(NamedTuple):
    """The newest payload seen of a stream: its number, and its digest in hex.

    Example:
        >>> Sighting(7, "ab" * 32).sequence
        7
    """

    sequence: int
    digest: str


class Known(Protocol):
    """What a verifier remembers.

    Example:
        >>> known: Known = Memory()
        >>> known.challenge_used(bytes(32))
        False
    """

    def newest(self, stream: Stream) -> Sighting | None:
        """The highest number accepted before in a stream."""

    def challenge_used(self, digest: bytes) -> bool:
        """Whether a proof was accepted for this challenge."""

    def challenge_issued(self, digest: bytes) -> bool:
        """Whether this verifier issued a challenge; True for who does not keep that."""

    def statement_accepted(self, digest: bytes) -> bool:
        """Whether a proof of this statement was accepted: the replay guard."""


@dataclass
class Memory:
    """``Known`` in memory: of use in one process, and as the empty memory of who keeps no ledger.

    As strict as a ledger: what was accepted in the meantime is refused when it is to be remembered, and nothing goes
    back in sequence. Threads may share one.

    Attributes:
        sightings: the newest of each stream.
        challenges, statements: digests of what was answered and accepted.
        issued: digests of the challenges that count; None lets every one count.

    Example:
        >>> memory = Memory()
        >>> memory.remember(acceptance)
        >>> memory.remember(acceptance)
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.VerificationError: a proof of this statement was accepted before: a replay
    """

    sightings: dict[Stream, Sighting] = field(default_factory=dict)
    challenges: set[bytes] = field(default_factory=set)
    statements: set[bytes] = field(default_factory=set)
    issued: set[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def newest(self, stream: Stream) -> Sighting | None:
        """As in ``Known``."""
        return self.sightings.get(stream)

    def challenge_used(self, digest: bytes) -> bool:
        """As in ``Known``."""
        return digest in self.challenges

    def statement_accepted(self, digest: bytes) -> bool:
        """As in ``Known``."""
        return digest in self.statements

    def challenge_issued(self, digest: bytes) -> bool:
        """As in ``Known``."""
        return self.issued is None or digest in self.issued

    def remember(self, acceptance: Acceptance) -> None:
        """Record an acceptance, or nothing of it.

        Raises:
            VerificationError: its statement or challenge was accepted in the meantime, its challenge was never issued,
                or something newer than its attestations, or something else under their numbers, was seen.
        """
        challenge = None if acceptance.challenge is None else acceptance.challenge.digest()
        with self._lock:
            if acceptance.statement_digest in self.statements:
                raise VerificationError("a proof of this statement was accepted before: a replay", check="replay")
            if challenge is not None and not self.challenge_issued(challenge):
                raise VerificationError("the challenge was not issued by this ledger", check="challenge")
            if challenge in self.challenges:
                raise VerificationError("a proof was accepted for this challenge before: a replay", check="challenge")
            for stream, sighting in acceptance.sightings.items():
                seen = self.sightings.get(stream)
                if seen is not None and (
                    sighting.sequence < seen.sequence
                    or (sighting.sequence == seen.sequence and sighting.digest != seen.digest)
                ):
                    named = " ".join(repr(name[:80]) for name in stream)
                    what = "is superseded" if sighting.sequence < seen.sequence else "contradicts what was seen"
                    raise VerificationError(f"number {sighting.sequence} of {named} {what}", check="sequence")
            self.sightings.update(acceptance.sightings)
            self.statements.add(acceptance.statement_digest)
            if challenge is not None:
                self.challenges.add(challenge)


@dataclass(frozen=True)
class Attested:
    """What was signed, and by whom of those that the trust file's rule names.

    Attributes:
        payload: the attestation's.
        attestation: the document, with the signatures of all files that attest the same.
        rule: the name of the rule that was met: a series, a venue or a custodian.
        signers: names of the trusted keys.

    Example:
        >>> [item.facts().sequence for item in acceptance.attested]
        [7, 3, 3]
    """

    payload: Payload
    attestation: Attestation
    rule: str
    signers: tuple[str, ...]

    def facts(self) -> AttestedBy:
        """For a receipt."""
        return AttestedBy(
            attestation=self.attestation.payload_digest.hex(),
            rule=self.rule,
            sequence=self.payload.sequence,
            signers=self.signers,
        )


@dataclass(frozen=True)
class AttestedSnapshot(Attested):
    """A signed snapshot.

    Example:
        >>> attested(signed_snapshot, trust).payload.series
        'main'
    """

    payload: SnapshotPayload


@dataclass(frozen=True)
class AttestedPart(Attested):
    """An attested part of an account.

    Example:
        >>> attested(signed_parts[0], trust).payload.role
        'positions'
    """

    payload: CommitmentPayload


@dataclass(frozen=True)
class Authenticated:
    """The signed facts behind a statement.

    Attributes:
        snapshot: who signed the snapshot.
        parts: who attested each part of the statement, in its order.
        revocations: the current lists, one of each issuer that the trust file names.
        policy_rule: digest of the rule that the snapshot's policy follows from, where the trust file names the rule.

    Example:
        >>> authenticate(statement, attestations, trust, now_ms=now).snapshot.signers
        ('oracle',)
    """

    snapshot: AttestedSnapshot
    parts: tuple[AttestedPart, ...]
    revocations: tuple[Revocations, ...] = ()
    policy_rule: str | None = None

    @property
    def all(self) -> tuple[Attested, ...]:
        """The snapshot's, then every part's."""
        return (self.snapshot, *self.parts)

    @property
    def sightings(self) -> Mapping[Stream, Sighting]:
        """What to remember of each stream."""
        documents: list[Attestation | Revocations] = [*(item.attestation for item in self.all), *self.revocations]
        return {d.payload.stream: Sighting(d.payload.sequence, d.payload_digest.hex()) for d in documents}


@dataclass(frozen=True)
class Acceptance:
    """A proof that was accepted, and under what.

    Attributes:
        accepted: statement and statement digest.
        proof: the proof's bytes.
        time_ms: when, by the verifier's clock.
        trust: the trust file, or None: then nothing is authenticated.
        authenticated: who signed what; None exactly when ``trust`` is.
        challenge: the challenge that the proof answers, or None.

    Example:
        >>> acceptance.statement_digest == accept(statement, proof, now_ms=now).statement_digest
        True
        >>> acceptance.receipt(software="zkmargin").payload.verifier
        'desk'
    """

    accepted: AnyAccepted
    proof: bytes
    time_ms: int
    trust: Trust | None = None
    authenticated: Authenticated | None = None
    challenge: Challenge | None = None

    @property
    def statement(self) -> AnyStatement:
        """What was proved."""
        return self.accepted.statement

    @property
    def snapshot(self) -> Snapshot:
        """The statement's."""
        return self.accepted.statement.snapshot

    @property
    def statement_digest(self) -> bytes:
        """The replay guard's key."""
        return self.accepted.statement_digest

    @property
    def attested(self) -> tuple[Attested, ...]:
        """Who signed the snapshot, then each part; empty without trust."""
        return self.authenticated.all if self.authenticated else ()

    @property
    def sightings(self) -> Mapping[Stream, Sighting]:
        """What to remember of each stream; nothing without trust."""
        return self.authenticated.sightings if self.authenticated else {}

    def receipt(self, *, software: str) -> Receipt:
        """The record of it; ``software`` is name and version of the program. Unsigned."""
        statement, seen = self.statement, self.authenticated
        parts = []
        for i, part in enumerate(part for account in statement.account_parts for part in account):
            by = seen.parts[i] if seen else None
            expires = by.payload.expires if by else None
            parts.append(ReceiptPart(part=part, attested=by.facts() if by else None, expires=expires))
        return Receipt(
            payload=ReceiptPayload(
                time=format_time(self.time_ms),
                software=software,
                verifier=self.trust.verifier if self.trust else None,
                statement=self.statement_digest.hex(),
                proof=keccak256(self.proof).hex(),
                srs=statement.srs.digest.hex(),
                snapshot=ReceiptSnapshot(
                    digest=statement.snapshot_digest.hex(),
                    name=self.snapshot.name,
                    time=self.snapshot.time,
                    policy=self.snapshot.policy.digest().hex(),
                    attested=seen.snapshot.facts() if seen else None,
                ),
                **self._claimed(),
                parts=tuple(parts),
                context=statement.context.hex(),
                trust=self.trust.digest().hex() if self.trust else None,
                challenge=self.challenge.digest().hex() if self.challenge else None,
                revocations=tuple(document.payload_digest.hex() for document in seen.revocations) if seen else (),
            )
        )

    def _claimed(self) -> dict[str, Any]:
        """What a receipt says was claimed: of one account a ratio and limits, of a venue its terms."""
        accepted, statement = self.accepted, self.statement
        if isinstance(statement, Statement):
            claim = statement.claim
            return {
                "ratio": f"{claim.num}/{claim.den}",
                "requirement": claim.requirement,
                "limits": tuple(str(limit) for limit in statement.limits),
            }
        record = cast("VenueAccepted", accepted).record
        venue = ReceiptVenue(
            name=record.venue,
            terms=statement.terms.digest().hex(),
            accounts=record.accounts,
            dense=len(statement.terms.dense),
            proof=record.proof,
            root=record.root,
        )
        return {"ratio": None, "requirement": statement.terms.requirement, "limits": (), "venue": venue}
