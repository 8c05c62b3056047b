"""Receipts: what was accepted, under which trust, by which software; a third party can run it again."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.crypto.keys import Signer
from zkmargin.crypto.signatures import Signature, message_to_sign
from zkmargin.engine.decimals import parse_time
from zkmargin.formats import Digest, Document, Hexadecimal, InputError, Model, Seq
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.verifier.attest.documents import Name, Sequence64
from zkmargin.verifier.commitments import CommitmentPart


class AttestedBy(Model):
    """An attestation that was accepted: the digest of its payload, and the names of the trusted keys that signed."""

    attestation: Digest
    rule: Name
    sequence: Sequence64
    signers: Seq[Name] = Field(min_length=1)


class ReceiptSnapshot(Model):
    """The snapshot; ``attested`` is ``null`` where no trust file was used."""

    digest: Digest
    name: str = Field(max_length=200)
    time: str
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
    """

    time: str
    software: str = Field(max_length=200)
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        return self


class Receipt(Document):
    """A record of one acceptance, signed by the verifier if it has a key."""

    FORMAT: ClassVar[str] = "zkmargin/receipt/v1"

    payload: ReceiptPayload
    signatures: Seq[Signature] = Field(default=(), max_length=1)

    @property
    def message(self) -> bytes:
        """The bytes that the signature is over."""
        content = {"format": self.FORMAT, "payload": self.payload.model_dump(mode="json")}
        return message_to_sign(self.FORMAT, keccak256(canonical_bytes(content)))

    def signed(self, signer: Signer) -> Self:
        """The same, signed. Raises InputError when it is signed already."""
        if self.signatures:
            raise InputError("is signed already", field="signatures")
        return self.model_copy(update={"signatures": (signer.sign(self.message),)})

    def differences(self, other: Receipt) -> tuple[str, ...]:
        """Names of what another acceptance has differently; time, software and signature aside."""
        fields = [field for field in ReceiptPayload.model_fields if field not in ("time", "software")]
        return tuple(f for f in fields if getattr(self.payload, f) != getattr(other.payload, f))
