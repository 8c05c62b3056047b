"""Acceptance: a proof that verifies, of commitments and a snapshot that trusted parties signed, fresh and for us.

Without a trust file nothing is authenticated: the proof is checked against the files as they are. What is *known*
from before (a ledger's business) comes in through ``Known``; what to remember goes out with ``Acceptance``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, Protocol

from engine.decimals import format_time, parse_time
from engine.snapshot import Snapshot
from formats import InputError, VerificationError
from formats.canonical import keccak256
from verifier.attest.challenge import Challenge
from verifier.attest.documents import Attestation, CommitmentPayload, SnapshotPayload, Stream
from verifier.attest.receipt import AttestedBy, Receipt, ReceiptPart, ReceiptPayload, ReceiptSnapshot
from verifier.attest.trust import Quorum, SnapshotRule, Trust
from verifier.commitments import CommitmentPart
from verifier.statement import Statement
from verifier.verify import Accepted, verify

#: Without a trust file to say otherwise.
CLOCK_SKEW_SECONDS = 30


class Sighting(NamedTuple):
    """The newest payload seen of a stream: its number, and its digest in hex."""

    sequence: int
    digest: str


class Known(Protocol):
    """What a verifier remembers."""

    def newest(self, stream: Stream) -> Sighting | None:
        """The highest number accepted before in a stream."""

    def challenge_used(self, digest: bytes) -> bool:
        """Whether a proof was accepted for this challenge."""

    def statement_accepted(self, digest: bytes) -> bool:
        """Whether a proof of this statement was accepted: the replay guard."""


@dataclass
class Memory:
    """``Known`` in memory: of use in one process, and as the empty memory of who keeps no ledger."""

    sightings: dict[Stream, Sighting] = field(default_factory=dict)
    challenges: set[bytes] = field(default_factory=set)
    statements: set[bytes] = field(default_factory=set)

    def newest(self, stream: Stream) -> Sighting | None:
        """As in ``Known``."""
        return self.sightings.get(stream)

    def challenge_used(self, digest: bytes) -> bool:
        """As in ``Known``."""
        return digest in self.challenges

    def statement_accepted(self, digest: bytes) -> bool:
        """As in ``Known``."""
        return digest in self.statements

    def remember(self, acceptance: Acceptance) -> None:
        """Record an acceptance."""
        self.sightings.update(acceptance.sightings)
        self.statements.add(acceptance.statement_digest)
        if acceptance.challenge is not None:
            self.challenges.add(acceptance.challenge.digest())


@dataclass(frozen=True)
class Attested:
    """An attestation that was accepted, and the quorum that signed it."""

    attestation: Attestation
    quorum: Quorum

    def facts(self) -> AttestedBy:
        """For a receipt."""
        return AttestedBy(
            attestation=self.attestation.digest().hex(),
            rule=self.quorum.rule.name,
            sequence=self.attestation.payload.sequence,
            signers=self.quorum.signers,
        )


@dataclass(frozen=True)
class Authenticated:
    """The signed facts behind a statement.

    Attributes:
        snapshot: who signed the snapshot.
        parts: who attested each part of the statement, in its order.
    """

    snapshot: Attested
    parts: tuple[Attested, ...]


@dataclass(frozen=True)
class Acceptance:
    """A proof that was accepted, and under what.

    Attributes:
        accepted: statement and statement digest.
        proof: the proof's bytes.
        snapshot: the statement's.
        time_ms: when, by the verifier's clock.
        trust: the trust file, or None: then nothing is authenticated.
        authenticated: who signed what; None exactly when ``trust`` is.
        challenge: the challenge that the proof answers, or None.
    """

    accepted: Accepted
    proof: bytes
    snapshot: Snapshot
    time_ms: int
    trust: Trust | None = None
    authenticated: Authenticated | None = None
    challenge: Challenge | None = None

    @property
    def statement(self) -> Statement:
        """What was proved."""
        return self.accepted.statement

    @property
    def statement_digest(self) -> bytes:
        """The replay guard's key."""
        return self.accepted.statement_digest

    @property
    def attested(self) -> tuple[Attested, ...]:
        """The snapshot's and every part's, in this order; empty without trust."""
        if self.authenticated is None:
            return ()
        return (self.authenticated.snapshot, *self.authenticated.parts)

    @property
    def sightings(self) -> Mapping[Stream, Sighting]:
        """What to remember of each stream."""
        payloads = [item.attestation.payload for item in self.attested]
        return {payload.stream: Sighting(payload.sequence, payload.digest.hex()) for payload in payloads}

    def receipt(self, *, software: str) -> Receipt:
        """The record of it; ``software`` is name and version of the program. Unsigned."""
        statement, claim, seen = self.statement, self.statement.claim, self.authenticated
        parts = []
        for i, part in enumerate(statement.parts):
            by = seen.parts[i] if seen else None
            payload = by.attestation.payload if by else None
            expires = payload.expires if isinstance(payload, CommitmentPayload) else None
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
                    attested=seen.snapshot.facts() if seen else None,
                ),
                ratio=f"{claim.num}/{claim.den}",
                requirement=claim.requirement,
                limits=tuple(str(limit) for limit in statement.limits),
                parts=tuple(parts),
                context=statement.context.hex(),
                trust=self.trust.digest().hex() if self.trust else None,
                challenge=self.challenge.digest().hex() if self.challenge else None,
            )
        )


def accept(
    statement: Statement,
    snapshot: Snapshot,
    proof: bytes,
    *,
    now_ms: int,
    trust: Trust | None = None,
    attestations: Sequence[Attestation] = (),
    challenge: Challenge | None = None,
    known: Known | None = None,
) -> Acceptance:
    """Accept a proof, or say why not.

    Args:
        statement: from the verifier's own snapshot, commitments, claim, limits and context.
        snapshot: the statement's.
        proof: the proof's bytes.
        now_ms: the verifier's clock, milliseconds since 1970.
        trust: whose signatures count; without it nothing is authenticated.
        attestations: of the snapshot and of each part of the statement.
        challenge: the one that the proof must answer.
        known: what was accepted before; nothing without it.

    Raises:
        InputError: files that do not belong together.
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: an attestation, the challenge or the proof is refused, or it was accepted before.
    """
    known = known or Memory()
    if statement.snapshot_digest != snapshot.digest():
        raise InputError("the statement is about another snapshot", field="snapshot")
    if trust is None and attestations:
        raise InputError("of no use without a trust file", field="attestation", hint="give --trust FILE")
    if challenge is not None:
        check_challenge(challenge, statement, now_ms=now_ms, trust=trust, known=known)
    authenticated = None
    if trust is not None:
        authenticated = authenticate(statement, snapshot, attestations, trust, now_ms=now_ms, known=known)
    accepted = verify(statement, proof)
    if known.statement_accepted(accepted.statement_digest):
        raise VerificationError(
            "a proof of this statement was accepted before: a replay",
            check="replay",
            hint="issue a challenge: `zkmargin challenge new`",
        )
    return Acceptance(accepted, proof, snapshot, now_ms, trust, authenticated, challenge)


def check_challenge(
    challenge: Challenge, statement: Statement, *, now_ms: int, trust: Trust | None = None, known: Known | None = None
) -> None:
    """Raises VerificationError: not this verifier's, not of this time, used, or not the statement's context."""
    skew = trust.clock_skew_seconds if trust else CLOCK_SKEW_SECONDS
    challenge.check_time(now_ms=now_ms, skew_seconds=skew)
    if trust is not None and challenge.audience != trust.verifier:
        _refuse(
            "challenge", f"the challenge is addressed to {challenge.audience[:80]!r}, not to {trust.verifier[:80]!r}"
        )
    if statement.context != challenge.context:
        _refuse("challenge", "the statement's context is not the challenge's digest")
    if known is not None and known.challenge_used(challenge.digest()):
        _refuse("challenge", "a proof was accepted for this challenge before: a replay")


def authenticate(
    statement: Statement,
    snapshot: Snapshot,
    attestations: Sequence[Attestation],
    trust: Trust,
    *,
    now_ms: int,
    known: Known | None = None,
) -> Authenticated:
    """Who signed the snapshot and each part of a statement.

    Every attestation that is given must be good, current and of use: one that is not is refused, not passed over.

    Raises:
        VerificationError: which one is refused, and why.
    """
    known = known or Memory()
    _refuse_double([attestation.payload.stream for attestation in attestations])
    quorums = []
    for attestation in attestations:
        quorums.append(Attested(attestation, trust.quorum(attestation)))
        _check_sequence(attestation, known)
    of_snapshot = [a for a in quorums if isinstance(a.attestation.payload, SnapshotPayload)]
    if len(of_snapshot) != 1:
        found = "nobody signed the snapshot" if not of_snapshot else "more than one snapshot is attested"
        _refuse("snapshot attestation", found, "give one attestation of the snapshot with --attestation")
    check_snapshot_attested(of_snapshot[0], snapshot, trust)
    check_snapshot_age(of_snapshot[0], trust, now_ms=now_ms)
    of_parts = [a for a in quorums if isinstance(a.attestation.payload, CommitmentPayload)]
    parts = tuple(_attested_part(part, statement, of_parts) for part in statement.parts)
    used = {part.attestation.digest() for part in parts}
    for item in of_parts:
        payload = item.attestation.payload
        if item.attestation.digest() not in used:
            _refuse("attestation", f"{_named(payload)} is attested, and not in the commitments that were given")
    for item in parts:
        _check_current(item.attestation.payload, trust, now_ms)
    accounts = {part.alias for part in statement.parts}
    if len(accounts) > 1:
        listed = ", ".join(sorted(repr(name[:80]) for name in accounts))
        _refuse("account", f"parts of different accounts do not add up: {listed}")
    return Authenticated(of_snapshot[0], parts)


def check_snapshot_attested(attested: Attested, snapshot: Snapshot, trust: Trust) -> None:  # noqa: ARG001
    """Raises VerificationError when an attestation is of another snapshot."""
    payload = attested.attestation.payload
    if not isinstance(payload, SnapshotPayload):
        _refuse("snapshot attestation", "attests a commitment, not a snapshot")
    expected = SnapshotPayload.of(snapshot, series=payload.series, sequence=payload.sequence)
    for name in ("snapshot", "market", "time", "slot_maps"):
        if getattr(payload, name) != getattr(expected, name):
            _refuse("snapshot attestation", f"{_named(payload)} is another snapshot: its {name} differs")


def check_snapshot_age(attested: Attested, trust: Trust, *, now_ms: int) -> None:
    """Raises VerificationError for a snapshot that is stale or from the future by the trust file."""
    rule, payload = attested.quorum.rule, attested.attestation.payload
    if not isinstance(rule, SnapshotRule) or not isinstance(payload, SnapshotPayload):
        raise TypeError("an attested snapshot has a snapshot's rule")
    age, skew = now_ms - parse_time(payload.time), 1000 * trust.clock_skew_seconds
    if age > 1000 * rule.max_age_seconds + skew:
        _refuse(
            "snapshot age",
            f"the snapshot is stale: taken {age // 1000} s ago, at most {rule.max_age_seconds} s are allowed",
            "ask for a proof on a newer snapshot",
        )
    if age < -skew:
        _refuse(
            "snapshot age", f"the snapshot is from the future: {-age // 1000} s ahead of the clock", "check the clock"
        )


def _attested_part(part: CommitmentPart, statement: Statement, attested: Sequence[Attested]) -> Attested:
    """The attestation of one part of a statement."""
    for item in attested:
        payload = item.attestation.payload
        if not isinstance(payload, CommitmentPayload) or payload.points != part.points:
            continue
        expected = {
            "role": part.role,
            "account": part.alias,
            "slot_map": part.slot_map,
            "bits": part.bits,
            "srs": statement.srs.digest.hex(),
            "domain_size": statement.circuit.n,
        }
        for name, value in expected.items():
            if getattr(payload, name) != value:
                _refuse("commitment attestation", f"{_named(payload)} is another commitment: its {name} differs")
        return item
    return _refuse(
        "commitment attestation",
        f"nobody attested the {part.role} part of {part.alias[:80]!r}",
        "give its attestation with --attestation",
    )


def _check_current(payload: SnapshotPayload | CommitmentPayload, trust: Trust, now_ms: int) -> None:
    if not isinstance(payload, CommitmentPayload):
        raise TypeError("a part is attested by a commitment's payload")
    skew = 1000 * trust.clock_skew_seconds
    if now_ms >= parse_time(payload.expires) + skew:
        _refuse("commitment attestation", f"{_named(payload)} has expired: {payload.expires}", "ask for a new one")
    if now_ms < parse_time(payload.issued) - skew:
        _refuse("commitment attestation", f"{_named(payload)} is from the future: {payload.issued}", "check the clock")
    if payload.role == "collateral" and payload.beneficiary != trust.beneficiary:
        held = str(payload.beneficiary)[:80]
        _refuse("beneficiary", f"{_named(payload)} is held for {held!r}, not for {trust.beneficiary[:80]!r}")


def _check_sequence(attestation: Attestation, known: Known) -> None:
    """The newest of its stream, and no contradiction of what was seen under its number."""
    payload = attestation.payload
    seen = known.newest(payload.stream)
    if seen is None or payload.sequence > seen.sequence:
        return
    if payload.sequence < seen.sequence:
        _refuse("sequence", f"{_named(payload)} is superseded: number {seen.sequence} was seen")
    if payload.digest.hex() != seen.digest:
        _refuse("sequence", f"{_named(payload)} contradicts what was signed before under the same number")


def _refuse_double(streams: Sequence[Stream]) -> None:
    for i, stream in enumerate(streams):
        if stream in streams[:i]:
            _refuse("attestation", f"{' '.join(name[:80] for name in stream)} is attested twice: give the newest only")


def _named(payload: SnapshotPayload | CommitmentPayload) -> str:
    if isinstance(payload, SnapshotPayload):
        return f"number {payload.sequence} of the series {payload.series[:80]!r}"
    what = f"{payload.role} {payload.part[:80]!r} of {payload.account[:80]!r}"
    return f"number {payload.sequence} of {what} by {payload.issuer[:80]!r}"


def _refuse(check: str, reason: str, hint: str | None = None) -> NoReturn:
    raise VerificationError(reason, check=check, hint=hint)
