"""Receipts: what was accepted, under which trust, by which software; a third party can run it again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.accounts.commitments import CommitmentPart
from zkmargin.crypto.keys import Signer
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.engine.decimals import parse_time
from zkmargin.formats import Digest, Document, Hexadecimal, InputError, Model, PlainName, Seq, Since, json_in_version
from zkmargin.verifier.attest.documents import Name, Sequence64, payload_digest


class AttestedBy(Model):
    """An attestation that was accepted: the digest of its payload, and the names of the trusted keys that signed."""

    attestation: Digest
    rule: Name
    sequence: Sequence64
    signers: Seq[Name] = Field(min_length=1)


class ReceiptSnapshot(Model):
    """The snapshot and the digest of its policy; ``attested`` is ``null`` where no trust file was used."""

    digest: Digest
    name: PlainName = Field(max_length=200)
    time: str
    policy: Annotated[Digest | None, Since(2)] = None
    attested: AttestedBy | None = None


class ReceiptPart(Model):
    """A committed part as the statement has it, and who attested it until when."""

    part: CommitmentPart
    attested: AttestedBy | None = None
    expires: str | None = None


class ReceiptVenue(Model):
    """Of a venue proof: whose, about which terms, and what a customer's note must name.

    Attributes:
        name: the venue's.
        terms: digest of the terms, which say what was claimed of whom.
        accounts, dense: how many block accounts and committed accounts.
        proof, root: as in the venue's record: the transcript's last state, and the root over its columns.
    """

    name: PlainName = Field(min_length=1, max_length=200)
    terms: Digest
    accounts: int = Field(ge=0)
    dense: int = Field(ge=0)
    proof: Digest
    root: Digest


class ReceiptPayload(Model):
    """What was accepted.

    Attributes:
        time: when, by the verifier's clock.
        software: name and version of the program that verified.
        verifier: its name in the trust file, or ``null``.
        statement: the statement digest.
        proof: keccak-256 of the proof's bytes.
        srs: digest of the setup.
        ratio, requirement: the claim, as equity : requirement; no ratio where the terms of ``venue`` say it.
        limits: the further claims, in canonical text.
        context: hex.
        trust, challenge: digests of those documents, or ``null``.
        revocations: payload digests of the lists of revocations that were current.
        venue: what the proof was about where it was a venue's.

    Example:
        >>> payload = acceptance.receipt(software="zkmargin").payload
        >>> payload.ratio, payload.verifier
        ('11/10', 'desk')
    """

    time: str
    software: PlainName = Field(max_length=200)
    verifier: Name | None
    statement: Digest
    proof: Digest
    srs: Digest
    snapshot: ReceiptSnapshot
    ratio: Annotated[str, Field(pattern=r"^[0-9]+/[0-9]+$")] | None
    requirement: str
    limits: Seq[str]
    parts: Seq[ReceiptPart]
    context: Annotated[str, Hexadecimal()]
    trust: Digest | None
    challenge: Digest | None
    revocations: Annotated[Seq[Digest], Since(2), Field(max_length=1024)] = ()
    venue: Annotated[ReceiptVenue | None, Since(3)] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        if self.venue is None and (self.ratio is None or not self.parts):
            raise InputError("missing: what was claimed of which commitment", field="parts" if self.ratio else "ratio")
        if self.venue is not None and (self.ratio is not None or self.limits):
            raise InputError("a venue's terms say what is claimed", field="ratio")
        return self


class Receipt(Document):
    """A record of one acceptance, signed by the verifier if it has a key.

    Version 3 is of a venue proof; one account's is written in version 2, which verifiers before it read.

    Raises:
        InputError: a version after 1 without the digest of the snapshot's policy.

    Example:
        >>> receipt = acceptance.receipt(software="zkmargin").signed(venue)
        >>> receipt.differences(acceptance.receipt(software="another"))
        ()
    """

    FORMAT: ClassVar[str] = "zkmargin/receipt/v3"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/receipt/v2", "zkmargin/receipt/v1")

    payload: ReceiptPayload
    signatures: Seq[Signature] = Field(default=(), max_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format_version > 1 and self.payload.snapshot.policy is None:
            raise InputError("missing: which policy the snapshot has", field="payload.snapshot.policy")
        return self

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:
        """The version that says everything of the content."""
        payload = data.get("payload")
        of_venue = isinstance(payload, ReceiptPayload) and payload.venue is not None
        return cls.FORMAT if of_venue else cls.READS[0]

    @cached_property
    def _bytes(self) -> bytes:
        return super().to_bytes()

    def to_bytes(self) -> bytes:
        """The file's bytes, written once: they are kept, and answered."""
        return self._bytes

    @property
    def message(self) -> Message:
        """What the signature is over."""
        payload, digest = self.payload, payload_digest(self.payload, self.format)
        if payload.snapshot.policy is None:
            return Message(self.format, digest)
        words = {"statement": payload.statement, "snapshot": payload.snapshot.digest, "policy": payload.snapshot.policy}
        members = {"verifier": "string", "time": "string", **dict.fromkeys(words, "bytes32")}
        shown = {name: bytes.fromhex(word) for name, word in words.items()}
        shown_all = {"verifier": payload.verifier or "", "time": payload.time, **shown}
        return Message.of(self.format, digest, "Receipt", members, shown_all)

    def signed(self, signer: Signer) -> Self:
        """The same, signed. Raises InputError when it is signed already."""
        if self.signatures:
            raise InputError("is signed already", field="signatures")
        return self.model_copy(update={"signatures": (signer.sign(self.message),)})

    def differences(self, other: Receipt) -> tuple[str, ...]:
        """Names of what another receipt has differently, of all that both versions say; time, software and signature
        aside.
        """
        version = min(self.format_version, other.format_version)
        mine, others = json_in_version(self.payload, version), json_in_version(other.payload, version)
        return tuple(name for name in mine if name not in ("time", "software") and mine[name] != others[name])
