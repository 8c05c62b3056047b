"""What a service answers besides documents: small JSON values, typed. A later service may add fields to them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from zkmargin.client.documents import State, Terms
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.snapshot import Snapshot
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Revocations

T = TypeVar("T")


class Answer(BaseModel):
    """Base of them: immutable; unknown fields are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Fault(Answer):
    """An error, as the facts of the error tree."""

    type: str
    message: str
    exit_code: int
    check: str | None = None
    field: str | None = None
    hint: str | None = None


class FaultBody(Answer):
    """The body of every answer that is an error; ``statement`` where a proof of it was accepted before."""

    error: Fault
    statement: str | None = None


class Limits(Answer):
    """What the service takes. Sizes in bytes, times in seconds."""

    max_body: int
    max_snapshot_body: int
    max_batch: int
    max_open_challenges: int
    max_challenge_seconds: int
    calls_per_second: int


class ServiceInfo(Answer):
    """Who the service is. ``time`` is its clock, ``series`` the names of the snapshots that it trusts."""

    name: str
    version: str
    time: str
    public_key: PublicKey
    trust: str
    srs: str
    series: list[str] = Field(default_factory=list)
    limits: Limits


class TokenInfo(Answer):
    """Whose a token is, and until when it counts; None: until it is revoked."""

    name: str
    role: str
    account: str | None
    expires: str | None


class TokenLine(Answer):
    """A token that counts, in a list. ``digest`` is its SHA-256, by which it is revoked; ``account`` the account or the
    venue that it is for.
    """

    digest: str
    name: str
    role: str
    account: str | None
    expires: str | None


class Tokens(Answer):
    """Those that count."""

    tokens: list[TokenLine]


class WebhookLine(Answer):
    """Where events go.

    Attributes:
        account: whose events; None: everybody's.
        events: their kinds.
        delivered: the number of the last event that it took, or that is not for it.
        attempts: how often it did not take the next one; ``next`` says when it is tried again.
    """

    url: str
    account: str | None
    events: list[str]
    delivered: int
    attempts: int
    next: str | None


class Webhooks(Answer):
    """All of them."""

    webhooks: list[WebhookLine]


class RevocationLists(Answer):
    """The newest list of each issuer."""

    revocations: list[Revocations]


class Published(Answer):
    """A snapshot and who signed it."""

    snapshot: Snapshot
    attestation: Attestation


class SnapshotLine(Answer):
    """A published snapshot in a list."""

    series: str
    sequence: int
    snapshot: str
    time: str
    published: str


class Registered(Answer):
    """The attestations of an account's parts."""

    attestations: list[Attestation]


class Challenges(Answer):
    """Fresh ones."""

    challenges: list[Challenge]


class Part(Answer):
    """A registered part of an account."""

    role: str
    issuer: str
    part: str
    sequence: int
    expires: str
    attestation: str


class ProofLine(Answer):
    """An accepted proof in a list. ``number`` counts them within the service."""

    number: int
    statement: str
    accepted: str
    series: str
    sequence: int
    snapshot: str
    snapshot_time: str
    ratio: str
    requirement: str
    limits: list[str]
    counts: bool


class RefusalLine(Answer):
    """A proof that was refused. ``number`` counts them within the service."""

    number: int
    time: str
    check: str
    reason: str
    snapshot: str | None
    challenge: str | None
    proof: str


class AccountLine(Answer):
    """A row of the roster.

    Attributes:
        state: docs/decisions/0011-the-venue-service.md says what each means.
        until: when a proof is due; None while nothing is proved.
        terms: what is asked of it; None once it is closed.
        last: the newest proof, by its snapshot, that counts.
        trend: ratios of the last proofs, the newest last.
        refused: the last refusal since the last acceptance.
    """

    account: str
    state: State
    since: str
    until: str | None
    closed: bool
    terms: Terms
    proofs: int
    last: ProofLine | None
    trend: list[str]
    refused: RefusalLine | None


class Roster(Answer):
    """Every account and its state."""

    accounts: list[AccountLine]


class AccountView(AccountLine):
    """An account with its parts and the challenges that wait for an answer."""

    parts: list[Part]
    challenges: list[Challenge]


class Verdict(Answer):
    """What became of one submission of several: a receipt, or an error."""

    accepted: bool
    receipt: Receipt | None = None
    error: Fault | None = None
    statement: str | None = None


class Verdicts(Answer):
    """Of a batch, in its order."""

    accepted: int
    refused: int
    verdicts: list[Verdict]


class AuditLine(Answer):
    """A line of the audit log: who did what, and what came of it."""

    number: int
    time: str
    actor: str
    action: str
    subject: str | None
    outcome: str
    facts: dict[str, Any] = Field(default_factory=dict)


class Page(Answer, Generic[T]):
    """Part of a list; ``next`` is the ``before`` of the rest, None at the end."""

    items: list[T]
    next: int | None = None
