"""Receipts: what was accepted, under which trust, by which software; a third party can run it again."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

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


class ReceiptPayload(Model):
    """What was accepted.

    Attributes:
        time: when, by the verifier's clock.
        software: name and version of the program that verified.
        verifier: its name in the trust file, or ``null``.
        statement: the statement digest.
        proof: keccak-256 of the proof's bytes.
        srs: digest of the setup.
        ratio, requirement: the claim, as equity : requirement.
        limits: the further claims, in canonical text.
        context: hex.
        trust, challenge: digests of those documents, or ``null``.
        revocations: payload digests of the lists of revocations that were current.

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
    ratio: str = Field(pattern=r"^[0-9]+/[0-9]+$")
    requirement: str
    limits: Seq[str]
    parts: Seq[ReceiptPart] = Field(min_length=1)
    context: Annotated[str, Hexadecimal()]
    trust: Digest | None
    challenge: Digest | None
    revocations: Annotated[Seq[Digest], Since(2), Field(max_length=1024)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        return self


class Receipt(Document):
    """A record of one acceptance, signed by the verifier if it has a key.

    Raises:
        InputError: version 2 without the digest of the snapshot's policy.

    Example:
        >>> receipt = acceptance.receipt(software="zkmargin").signed(venue)
        >>> receipt.differences(acceptance.receipt(software="another"))
        ()
    """

    FORMAT: ClassVar[str] = "zkmargin/receipt/v2"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/receipt/v1",)

    payload: ReceiptPayload
    signatures: Seq[Signature] = Field(default=(), max_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format == self.FORMAT and self.payload.snapshot.policy is None:
            raise InputError("missing: which policy the snapshot has", field="payload.snapshot.policy")
        return self

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
