"""Revocations: a signed, numbered list of keys and attestations that no longer count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.crypto.keys import Signer
from zkmargin.crypto.signatures import KeyHex, Message, Scheme, Signature
from zkmargin.engine.decimals import parse_time
from zkmargin.formats import Digest, Document, InputError, Model, Seq
from zkmargin.verifier.attest.documents import MAX_SIGNATURES, Name, Sequence64, Stream, payload_digest

MAX_REVOKED = 1 << 14


class RevokedKey(Model):
    """A key that signs nothing that counts, whatever the date in what it signed.

    Example:
        >>> RevokedKey(scheme="ed25519", public_key=oracle.public.public_key, reason="lost").scheme
        'ed25519'
    """

    scheme: Scheme
    public_key: KeyHex
    reason: str = Field(default="", max_length=200)


class RevokedAttestation(Model):
    """An attestation that does not count, by the digest of its payload.

    Example:
        >>> RevokedAttestation(payload=signed_snapshot.payload_digest.hex(), reason="wrong market").reason
        'wrong market'
    """

    payload: Digest
    reason: str = Field(default="", max_length=200)


class RevocationsPayload(Model):
    """Everything that an issuer revokes: the next list repeats what still holds.

    Attributes:
        issuer: who speaks, by the name that trust files know it under.
        sequence: counts the issuer's lists.
        time: when it was made; trust files say how old it may be.
        keys, attestations: what is revoked, each once.

    Example:
        >>> RevocationsPayload(issuer="venue", sequence=1, time="2026-01-02T03:00:00Z").stream
        ('revocations', 'venue')
    """

    issuer: Name
    sequence: Sequence64
    time: str
    keys: Seq[RevokedKey] = Field(default=(), max_length=MAX_REVOKED)
    attestations: Seq[RevokedAttestation] = Field(default=(), max_length=MAX_REVOKED)

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        if len({(key.scheme, key.public_key) for key in self.keys}) < len(self.keys):
            raise InputError("a key is there twice", field="keys")
        if len({item.payload for item in self.attestations}) < len(self.attestations):
            raise InputError("an attestation is there twice", field="attestations")
        return self

    @property
    def stream(self) -> Stream:
        """What its number belongs to."""
        return ("revocations", self.issuer)


class Revocations(Document):
    """A list and who signed it. It says nothing until a trust file says whose lists count.

    Example:
        >>> payload = RevocationsPayload(issuer="venue", sequence=1, time="2026-01-02T03:00:00Z")
        >>> len(Revocations(payload=payload).signed(venue).signatures)
        1
    """

    FORMAT: ClassVar[str] = "zkmargin/revocations/v1"

    payload: RevocationsPayload
    signatures: Seq[Signature] = Field(default=(), max_length=MAX_SIGNATURES)

    @property
    def payload_digest(self) -> bytes:
        """keccak-256 of the canonical ``{"format", "payload"}``; 32 bytes."""
        return payload_digest(self.payload, self.format)

    @property
    def message(self) -> Message:
        """What each signature is over."""
        members = {"issuer": "string", "sequence": "uint64", "time": "string"}
        shown = {name: getattr(self.payload, name) for name in members}
        return Message.of(self.format, self.payload_digest, "Revocations", members, shown)

    def signed(self, signer: Signer) -> Self:
        """The same with one more signature. Raises InputError when the key signed it already."""
        signature = signer.sign(self.message)
        if any(set(signature.public_keys) & set(s.public_keys) for s in self.signatures):
            raise InputError("is signed with this key already", field="signatures")
        return self.model_copy(update={"signatures": (*self.signatures, signature)})


@dataclass(frozen=True)
class Revoked:
    """What the lists at hand revoke together.

    Attributes:
        keys: scheme and key in hex.
        attestations: payload digests in hex.

    Example:
        >>> key = RevokedKey(scheme="ed25519", public_key="ab" * 32)
        >>> payload = RevocationsPayload(issuer="venue", sequence=1, time="2026-01-02T03:00:00Z", keys=(key,))
        >>> ("ed25519", "ab" * 32) in Revoked.by([Revocations(payload=payload)]).keys
        True
    """

    keys: frozenset[tuple[str, str]] = frozenset()
    attestations: frozenset[str] = frozenset()

    @classmethod
    def by(cls, lists: Iterable[Revocations]) -> Revoked:
        """The union of several lists."""
        payloads = [document.payload for document in lists]
        return cls(
            frozenset((key.scheme, key.public_key) for payload in payloads for key in payload.keys),
            frozenset(item.payload for payload in payloads for item in payload.attestations),
        )
