"""Documents between a venue's service and its callers: submissions, events, coverage (``orders`` has changes).

A submission is a proof and, by digests, what it is about. Events and coverage statements are signed as every document
of ours is: over the digest of format and payload (``crypto/signatures.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import Field, StringConstraints, model_validator

from zkmargin.accounts.commitments import joined
from zkmargin.app.proof_text import proof_bytes, proof_text
from zkmargin.crypto.keys import Signer
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.limits import Limit
from zkmargin.formats import Digest, Document, InputError, Model, Seq
from zkmargin.verifier.attest.challenge import Challenge
from zkmargin.verifier.attest.documents import Name, Sequence64, payload_digest
from zkmargin.verifier.statement import Statement

#: Far above any proof of one account: base64 of 96 KiB.
MAX_PROOF_TEXT = 1 << 17
#: A coverage statement names every snapshot of its time.
MAX_COVERED = 1 << 14

State = Literal["covered", "due", "late", "refused", "uncovered"]
TokenRole = Literal["account", "venue", "publisher", "auditor", "operator"]
EventKind = Literal[
    "snapshot", "account", "part", "revocations", "challenge", "accepted", "refused", "state", "venue-proof"
]
RatioText = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}/[0-9]{1,5}$")]
LimitText = Annotated[str, StringConstraints(max_length=400)]


class _Signable(Protocol):
    @property
    def signatures(self) -> Sequence[Signature]: ...

    @property
    def message(self) -> Message: ...

    def model_copy(self, *, update: Mapping[str, object]) -> Self: ...


D = TypeVar("D", bound=_Signable)


def signed_once(document: D, signer: Signer) -> D:
    """A document that takes one signature, signed. Raises InputError when it is signed already."""
    if document.signatures:
        raise InputError("is signed already", field="signatures")
    return document.model_copy(update={"signatures": (signer.sign(document.message),)})


class Claimed(Model):
    """A claim with limits, as documents write it: ratio ``"5/4"``, limits in canonical text."""

    ratio: RatioText = "1/1"
    requirement: str = Field(default="initial", max_length=40)
    limits: Seq[LimitText] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _check_claim(self) -> Self:
        if [str(limit) for limit in self.parsed_limits()] != list(self.limits):
            raise InputError("not in canonical text", field="limits", hint="write it as `str(Limit.parse(text))`")
        self.claim()
        return self

    def claim(self) -> Claim:
        """The ratio and the requirement. Raises InputError."""
        num, _, den = self.ratio.partition("/")
        return Claim(int(num), int(den), self.requirement)

    def parsed_limits(self) -> tuple[Limit, ...]:
        """The limits. Raises InputError."""
        return tuple(Limit.parse(text) for text in self.limits)


class Submission(Document):
    """A proof that is submitted, and by digests what it is about.

    Attributes:
        account: whose.
        challenge: the challenge that it answers.
        snapshot: the snapshot that it is about.
        commitment: of all parts of the account (``commitment_digest``): what was proved about.
        claim: what is proved: at least what the venue demands.
        proof: base64.

    Raises:
        InputError: a proof that is not base64 in its one text, or a claim that is none.

    Example:
        >>> digests = {"challenge": "ab" * 32, "snapshot": "cd" * 32, "commitment": "ef" * 32}
        >>> Submission(account="maker", **digests, proof="00" * 44).account
        'maker'
    """

    FORMAT: ClassVar[str] = "zkmargin/submission/v1"

    account: Name
    challenge: Digest
    snapshot: Digest
    commitment: Digest
    claim: Claimed = Claimed()
    proof: str = Field(min_length=4, max_length=MAX_PROOF_TEXT)

    @model_validator(mode="after")
    def _check(self) -> Self:
        proof_bytes(self.proof)
        return self

    @classmethod
    def of(cls, statement: Statement, proof: bytes, *, account: str, challenge: Challenge) -> Self:
        """What submits a proof of a statement, which must answer the challenge. Raises InputError."""
        if statement.context != challenge.context:
            raise InputError("the statement's context is not the challenge's digest", field="challenge")
        claim = statement.claim
        return cls(
            account=account,
            challenge=challenge.digest().hex(),
            snapshot=statement.snapshot_digest.hex(),
            commitment=commitment_digest(statement),
            claim=Claimed(
                ratio=f"{claim.num}/{claim.den}",
                requirement=claim.requirement,
                limits=tuple(str(limit) for limit in statement.limits),
            ),
            proof=proof_text(proof),
        )

    @property
    def proof_bytes(self) -> bytes:
        """The proof."""
        return proof_bytes(self.proof)


def commitment_digest(statement: Statement) -> str:
    """The digest (hex) of the one commitment document that holds all parts of a statement, in its order."""
    srs = statement.srs.digest.hex()
    return joined(srs, statement.circuit.n, statement.parts).digest().hex()


class Terms(Claimed):
    """What a venue asks of an account.

    Attributes:
        ratio, requirement, limits: the least that a proof must claim.
        period_seconds: a proof is due so long after the snapshot of the one before.
        grace_seconds: and late so long after that.
    """

    period_seconds: int = Field(ge=1, le=366 * 86_400)
    grace_seconds: int = Field(ge=0, le=366 * 86_400)

    def met_by(self, claim: Claim, limits: tuple[Limit, ...]) -> bool:
        """Whether a proved claim is at least this.

        Example:
            >>> terms = Terms(ratio="5/4", period_seconds=60, grace_seconds=10)
            >>> terms.met_by(Claim("1.5"), ()), terms.met_by(Claim("1.2"), ())
            (True, False)
        """
        own = self.claim()
        enough = claim.num * own.den >= own.num * claim.den and claim.requirement == own.requirement
        return enough and set(self.limits) <= {str(limit) for limit in limits}


class EventPayload(Model):
    """What happened.

    Attributes:
        service: which service says so.
        number: of the event; without gaps, but where a back-up was restored.
        time: when, by the service's clock.
        kind: what; the other fields say more where they mean something.
        account: whose.
        state, previous, until: of the account, for ``state``.
        statement: of an accepted proof.
        ratio: what it claims.
        snapshot, series, sequence: about which snapshot.
        challenge: which challenge.
        check, reason: why a proof was refused.

    Example:
        >>> EventPayload(service="venue", number=7, time="2026-01-02T03:00:00Z", kind="refused", check="pairing").check
        'pairing'
    """

    service: Name
    number: Sequence64
    time: str
    kind: EventKind
    account: Name | None = None
    state: State | None = None
    previous: State | None = None
    until: str | None = None
    statement: Digest | None = None
    ratio: RatioText | None = None
    snapshot: Digest | None = None
    series: Name | None = None
    sequence: Sequence64 | None = None
    challenge: Digest | None = None
    check: str | None = Field(default=None, max_length=80)
    reason: str | None = Field(default=None, max_length=500)

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        if (self.kind == "state") != (self.state is not None):
            raise InputError("an event of a state has one, no other has", field="state")
        return self


class Event(Document):
    """An event, signed by the service. Whoever gets it twice knows it by its number.

    Example:
        >>> payload = EventPayload(service="venue", number=7, time="2026-01-02T03:00:00Z", kind="refused")
        >>> Event(payload=payload).payload.number
        7
    """

    FORMAT: ClassVar[str] = "zkmargin/event/v1"

    payload: EventPayload
    signatures: Seq[Signature] = Field(default=(), max_length=1)

    @property
    def message(self) -> Message:
        """What is signed."""
        payload = self.payload
        shown = {"service": payload.service, "number": payload.number, "kind": payload.kind}
        shown |= {"account": payload.account or "", "state": payload.state or ""}
        members = {"service": "string", "number": "uint64", "kind": "string", "account": "string", "state": "string"}
        return Message.of(self.format, payload_digest(payload, self.format), "Event", members, shown)

    def signed(self, signer: Signer) -> Self:
        """The same, signed. Raises InputError when it is signed already."""
        return signed_once(self, signer)


class CoveredSnapshot(Model):
    """A snapshot of the series; ``statement`` is what was proved about it, or None."""

    sequence: Sequence64
    time: str
    snapshot: Digest
    statement: Digest | None


class CoveragePayload(Model):
    """At which snapshots an account was proven.

    Attributes:
        service, account, series: who says it, about whom and what.
        trust: digest of the trust file under which snapshots and proofs were accepted.
        terms: what a proof must claim to count.
        begin, end: from and to, both included.
        time: when this was said.
        head_number, head: the last record of the ledger then.
        snapshots: every attested snapshot that was published of that time, by number.
        proven: how many of them were proved.
        largest_gap_ms: the longest stretch between begin and end without a proved snapshot in it, ends included.

    Example:
        >>> payload = CoveragePayload(
        ...     service="venue",
        ...     account="maker",
        ...     series="main",
        ...     trust="ab" * 32,
        ...     terms=Terms(period_seconds=60, grace_seconds=10),
        ...     begin="2026-01-02T03:00:00Z",
        ...     end="2026-01-02T04:00:00Z",
        ...     time="2026-01-02T04:00:00Z",
        ...     head_number=0,
        ...     head="00" * 32,
        ...     snapshots=(),
        ...     proven=0,
        ...     largest_gap_ms=3_600_000,
        ... )
        >>> payload.largest_gap_ms
        3600000
    """

    service: Name
    account: Name
    series: Name
    trust: Digest
    terms: Terms
    begin: str
    end: str
    time: str
    head_number: int = Field(ge=0)
    head: Digest
    snapshots: Seq[CoveredSnapshot] = Field(max_length=MAX_COVERED)
    proven: int = Field(ge=0)
    largest_gap_ms: int = Field(ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        begin, end = parse_time(self.begin, field="begin"), parse_time(self.end, field="end")
        if begin > end:
            raise InputError("before begin", field="end")
        parse_time(self.time, field="time")
        times = [parse_time(one.time) for one in self.snapshots]
        if any(not begin <= time <= end for time in times):
            raise InputError("a snapshot of another time", field="snapshots")
        numbers = [one.sequence for one in self.snapshots]
        if numbers != sorted(set(numbers)):
            raise InputError("not by number", field="snapshots")
        proved = [time for time, one in zip(times, self.snapshots, strict=True) if one.statement is not None]
        if self.proven != len(proved) or self.largest_gap_ms != largest_gap(begin, end, proved):
            raise InputError("not what the list of snapshots gives", field="proven or largest_gap_ms")
        return self

    @property
    def complete(self) -> bool:
        """Whether it was proven at every snapshot."""
        return self.proven == len(self.snapshots)


def largest_gap(begin: int, end: int, times: list[int]) -> int:
    """The longest stretch from ``begin`` to ``end`` without one of ``times`` in it; milliseconds.

    Example:
        >>> largest_gap(0, 10, [4, 2]), largest_gap(0, 10, [])
        (6, 10)
    """
    marks = [begin, *sorted(times), end]
    return max(later - earlier for earlier, later in pairwise(marks))


class Coverage(Document):
    """A statement about coverage, signed by the service. It speaks of snapshots, never of the time between them.

    Example:
        >>> Coverage.FORMAT
        'zkmargin/coverage/v1'
    """

    FORMAT: ClassVar[str] = "zkmargin/coverage/v1"

    payload: CoveragePayload
    signatures: Seq[Signature] = Field(default=(), max_length=1)

    @property
    def message(self) -> Message:
        """What is signed."""
        payload = self.payload
        names = ("service", "account", "series", "begin", "end")
        shown = {name: getattr(payload, name) for name in names}
        members = dict.fromkeys(names, "string")
        return Message.of(self.format, payload_digest(payload, self.format), "Coverage", members, shown)

    def signed(self, signer: Signer) -> Self:
        """The same, signed. Raises InputError when it is signed already."""
        return signed_once(self, signer)
