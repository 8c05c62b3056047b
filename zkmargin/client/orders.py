"""Orders to a venue's service: what may be changed, and the signed document that changes it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.accounts.slots import Role
from zkmargin.client.documents import EventKind, Terms, TokenRole, signed_once
from zkmargin.crypto.keys import PublicKey, Signer
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.engine.decimals import parse_time
from zkmargin.formats import Digest, Document, InputError, Model, Seq
from zkmargin.verifier.attest.documents import Name, Sequence64, payload_digest

#: Of a change: how far its time may be from the service's.
CHANGE_SECONDS = 300
MAX_URL = 2000


class RegisterAccount(Model):
    """An account, or new terms and keys of one. ``keys`` sign the account's own changes.

    Example:
        >>> RegisterAccount(account="maker", terms=Terms(ratio="5/4", period_seconds=60, grace_seconds=10)).terms.ratio
        '5/4'
    """

    kind: Literal["register-account"] = "register-account"
    account: Name
    terms: Terms
    keys: Seq[PublicKey] = Field(default=(), max_length=8)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "/" in self.account:
            raise InputError("a name with a slash: it would not be one part of a URL's path", field="account")
        return self


class CloseAccount(Model):
    """An account that is no longer asked for proofs; what it proved stays.

    Example:
        >>> CloseAccount(account="maker").kind
        'close-account'
    """

    kind: Literal["close-account"] = "close-account"
    account: Name


class WithdrawPart(Model):
    """A part that an account no longer has: its proofs are about the others.

    Example:
        >>> WithdrawPart(account="maker", role="positions", issuer="venue").part
        'main'
    """

    kind: Literal["withdraw-part"] = "withdraw-part"
    account: Name
    role: Role
    issuer: Name
    part: Name = "main"


class IssueToken(Model):
    """A token may call from now on, until ``expires``. Only its SHA-256 is said: ``digest``.

    ``account`` is the account of a token of role account; of one of role venue the venue, by the name in its terms.

    Example:
        >>> IssueToken(name="desk", role="account", account="maker", digest="ab" * 32).kind
        'issue-token'
    """

    kind: Literal["issue-token"] = "issue-token"
    name: Name
    role: TokenRole
    account: Name | None = None
    digest: Digest
    expires: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.role in ("account", "venue")) != (self.account is not None):
            raise InputError("a token of role account or venue names one, others none", field="account")
        if self.expires is not None:
            parse_time(self.expires, field="expires")
        return self


class RevokeToken(Model):
    """A token may not call any more.

    Example:
        >>> RevokeToken(digest="ab" * 32).kind
        'revoke-token'
    """

    kind: Literal["revoke-token"] = "revoke-token"
    digest: Digest


class SetWebhook(Model):
    """Events go to a URL too: of one account or of all, of some kinds or of all.

    Example:
        >>> SetWebhook(url="https://desk.example/hook", account="maker").events
        ('state', 'refused')
    """

    kind: Literal["set-webhook"] = "set-webhook"
    url: str = Field(pattern=r"^https?://[^\s]+$", max_length=MAX_URL)
    account: Name | None = None
    events: Seq[EventKind] = Field(default=("state", "refused"), max_length=16)


class RemoveWebhook(Model):
    """They do not any more.

    Example:
        >>> RemoveWebhook(url="https://desk.example/hook").account is None
        True
    """

    kind: Literal["remove-webhook"] = "remove-webhook"
    url: str = Field(min_length=1, max_length=MAX_URL)
    account: Name | None = None


Action = Annotated[
    RegisterAccount | CloseAccount | WithdrawPart | IssueToken | RevokeToken | SetWebhook | RemoveWebhook,
    Field(discriminator="kind"),
]


class ChangePayload(Model):
    """An order.

    Attributes:
        service: to which service.
        sequence: above every number that the signer used there before.
        time: when; it counts for ``CHANGE_SECONDS``.
        action: what is ordered.

    Example:
        >>> action = CloseAccount(account="maker")
        >>> ChangePayload(service="venue", sequence=1, time="2026-01-02T03:00:00Z", action=action).action.kind
        'close-account'
    """

    service: Name
    sequence: Sequence64
    time: str
    action: Action

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        return self


class Change(Document):
    """A signed order to a service: by an operator, or by an account about itself.

    Example:
        >>> action = CloseAccount(account="maker")
        >>> payload = ChangePayload(service="venue", sequence=1, time="2026-01-02T03:00:00Z", action=action)
        >>> len(Change(payload=payload).signatures)
        0
    """

    FORMAT: ClassVar[str] = "zkmargin/change/v1"

    payload: ChangePayload
    signatures: Seq[Signature] = Field(default=(), max_length=1)

    @property
    def payload_digest(self) -> bytes:
        """keccak-256 of the canonical ``{"format", "payload"}``; 32 bytes."""
        return payload_digest(self.payload, self.format)

    @property
    def message(self) -> Message:
        """What is signed."""
        shown = {"service": self.payload.service, "sequence": self.payload.sequence, "action": self.payload.action.kind}
        members = {"service": "string", "sequence": "uint64", "action": "string"}
        return Message.of(self.format, self.payload_digest, "Change", members, shown)

    def signed(self, signer: Signer) -> Self:
        """The same, signed. Raises InputError when it is signed already."""
        return signed_once(self, signer)
