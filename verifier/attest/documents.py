"""Signed documents: attestations of snapshots and of commitments, and what they say.

A payload is signed with its format's name (crypto/signatures.py). Payloads of one *stream* are numbered: a snapshot
series is a stream, a commitment part of an account at its issuer is one. Of a stream, only the payload with the
highest number counts, and two different payloads with one number are a contradiction of the signer's.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.accounts.commitments import CommitmentPart, PointHex
from zkmargin.accounts.slots import Role, slot_map_digest
from zkmargin.crypto.keys import Signer
from zkmargin.crypto.signatures import Message, Signature, aggregated
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Digest, Document, InputError, Model, PlainName, Seq, Since
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.formats.documents import without_data

Name = Annotated[PlainName, Field(min_length=1, max_length=200)]
Sequence64 = Annotated[int, Field(ge=0, lt=2**63)]
MAX_SIGNATURES = 64

#: What numbers belong to: ("snapshot", series) or ("commitment", issuer, role, account, part).
Stream = tuple[str, ...]


def payload_digest(payload: Model, form: str) -> bytes:
    """keccak-256 of the canonical bytes of ``{"format", "payload"}``: what is signed, and what is numbered."""
    value = without_data(payload, int(form.rpartition("/v")[2]))
    return keccak256(canonical_bytes({"format": form, "payload": value}))


class SlotMaps(Model):
    """Digest of the slot map of each role, hex."""

    positions: Digest
    collateral: Digest


class SnapshotPayload(Model):
    """Says: this is the snapshot of the series with this number.

    Attributes:
        series: the name of the numbered series; an oracle may publish several.
        sequence: the snapshot's number in it.
        snapshot, market: digests of the snapshot and of the market it was built from.
        policy: digest of the policy that it was built with; from version 2 on, and demanded there.
        time: the snapshot's.
        slot_maps: digests of what a committed position or balance means under it.

    Example:
        >>> payload = SnapshotPayload.of(snapshot, series="main", sequence=7)
        >>> payload.stream
        ('snapshot', 'main')
    """

    kind: Literal["snapshot"] = "snapshot"
    series: Name
    sequence: Sequence64
    snapshot: Digest
    market: Digest
    policy: Annotated[Digest | None, Since(2)] = None
    time: str
    slot_maps: SlotMaps

    @classmethod
    def of(cls, snapshot: Snapshot, *, series: str, sequence: int) -> Self:
        """The payload for a snapshot."""
        return cls(
            series=series,
            sequence=sequence,
            snapshot=snapshot.digest().hex(),
            market=snapshot.market_digest,
            policy=snapshot.policy.digest().hex(),
            time=snapshot.time,
            slot_maps=SlotMaps(
                positions=slot_map_digest(snapshot, "positions").hex(),
                collateral=slot_map_digest(snapshot, "collateral").hex(),
            ),
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        return self

    @property
    def stream(self) -> Stream:
        """What its number belongs to."""
        return ("snapshot", self.series)

    def message(self, form: str) -> Message:
        """What is signed, under a format."""
        members = {"series": "string", "sequence": "uint64", "time": "string"}
        members |= dict.fromkeys(("snapshot", "market", "policy"), "bytes32")
        shown: dict[str, object] = {"series": self.series, "sequence": self.sequence, "time": self.time}
        shown |= {name: bytes.fromhex(getattr(self, name) or "") for name in ("snapshot", "market", "policy")}
        digest = payload_digest(self, form)
        return Message(form, digest) if self.policy is None else Message.of(form, digest, "Snapshot", members, shown)


class CommitmentPayload(Model):
    """Says: this commitment is to what the account holds with us.

    Attributes:
        issuer: the venue or custodian that speaks, by the name that trust files know it under.
        role: ``positions`` (a venue) or ``collateral`` (a custodian).
        account: the account's alias; all parts of an account carry the same.
        part: names this part of the account with this issuer (a sub-account, a wallet).
        sequence: counts the issuer's attestations of this part.
        issued, expires: it counts from the one time until before the other.
        slot_map, points, bits: as in the commitment's part.
        srs, domain_size: as in the commitment.
        beneficiary: collateral only: for whom alone it is held at this time.

    Example:
        >>> [(attestation.payload.issuer, attestation.payload.role) for attestation in signed_parts]
        [('venue', 'positions'), ('custodian', 'collateral')]
    """

    kind: Literal["commitment"] = "commitment"
    issuer: Name
    role: Role
    account: Name
    part: Name
    sequence: Sequence64
    issued: str
    expires: str
    slot_map: Digest
    points: Seq[PointHex] = Field(min_length=1, max_length=4096)
    bits: int = Field(ge=1, le=72)
    srs: Digest
    domain_size: int
    beneficiary: Name | None = None

    @classmethod
    def of(
        cls,
        commitment_part: CommitmentPart,
        *,
        srs: str,
        domain_size: int,
        issuer: str,
        part: str,
        sequence: int,
        issued: str,
        expires: str,
        beneficiary: str | None = None,
    ) -> Self:
        """The payload for one part of a commitment with that setup and domain size."""
        return cls(
            issuer=issuer,
            role=commitment_part.role,
            account=commitment_part.alias,
            part=part,
            sequence=sequence,
            issued=issued,
            expires=expires,
            slot_map=commitment_part.slot_map,
            points=commitment_part.points,
            bits=commitment_part.bits,
            srs=srs,
            domain_size=domain_size,
            beneficiary=beneficiary,
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if parse_time(self.issued, field="issued") >= parse_time(self.expires, field="expires"):
            raise InputError("not after it was issued", field="expires")
        if (self.role == "collateral") != (self.beneficiary is not None):
            raise InputError("collateral is held for one, positions for nobody", field="beneficiary")
        self.commitment_part.decoded()
        return self

    @cached_property
    def commitment_part(self) -> CommitmentPart:
        """The part that is attested, as a statement absorbs it. Raises InputError for malformed points."""
        return CommitmentPart(
            role=self.role, alias=self.account, slot_map=self.slot_map, points=self.points, bits=self.bits
        )

    @property
    def stream(self) -> Stream:
        """What its number belongs to."""
        return ("commitment", self.issuer, self.role, self.account, self.part)

    def message(self, form: str) -> Message:
        """What is signed, under a format."""
        texts = ("issuer", "role", "account", "part")
        members = {**dict.fromkeys(texts, "string"), "sequence": "uint64", "expires": "string", "beneficiary": "string"}
        shown = {name: getattr(self, name) for name in members} | {"beneficiary": self.beneficiary or ""}
        digest = payload_digest(self, form)
        if form == Attestation.READS[0]:
            return Message(form, digest)
        return Message.of(form, digest, "Commitment", members, shown)


Payload = Annotated[SnapshotPayload | CommitmentPayload, Field(discriminator="kind")]


class Attestation(Document):
    """A payload and who signed it. It says nothing until a trust file says whose signatures count.

    Its digest covers the signatures; ``payload_digest`` does not. Version 1 does not say which policy a snapshot has
    and is not signed with ``secp256k1``.

    Raises:
        InputError: version 2 of a snapshot without the policy's digest.

    Example:
        >>> [signature.scheme for signature in signed_snapshot.signatures]
        ['ed25519']
        >>> signed_snapshot.signed(oracle)
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: signatures: is signed with this key already
    """

    FORMAT: ClassVar[str] = "zkmargin/attestation/v2"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/attestation/v1",)

    payload: Payload
    signatures: Seq[Signature] = Field(default=(), max_length=MAX_SIGNATURES)

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = isinstance(self.payload, SnapshotPayload) and self.payload.policy is not None
        if self.format == self.FORMAT and isinstance(self.payload, SnapshotPayload) and not named:
            raise InputError("missing: which policy the snapshot has", field="payload.policy")
        return self

    @cached_property
    def payload_digest(self) -> bytes:
        """keccak-256 of the canonical ``{"format", "payload"}``; 32 bytes."""
        return payload_digest(self.payload, self.format)

    @cached_property
    def message(self) -> Message:
        """What each signature is over."""
        return self.payload.message(self.format)

    def signed(self, signer: Signer) -> Self:
        """The same with one more signature.

        Raises:
            InputError: the key signed it already, or its scheme does not sign this version.
        """
        signature = signer.sign(self.message)
        if any(set(signature.public_keys) & set(s.public_keys) for s in self.signatures):
            raise InputError("is signed with this key already", field="signatures")
        return self.model_copy(update={"signatures": (*self.signatures, signature)})

    def combined(self, other: Attestation) -> Self:
        """The signatures of both, each once.

        Raises:
            InputError: they attest different things.
        """
        if (other.format, other.payload) != (self.format, self.payload):
            raise InputError("attests something else than the first", field="payload")
        more = tuple(s for s in other.signatures if s not in self.signatures)
        return self.model_copy(update={"signatures": self.signatures + more})

    def aggregated(self) -> Self:
        """The same with all BLS signatures added up: smaller, and useless to who trusts only some of the signers.

        Raises:
            InputError: a signature that does not verify; added up, nobody could tell which.
        """
        for signature in self.signatures:
            if not signature.verifies(self.message):
                raise InputError("does not verify", field="signatures")
        return self.model_copy(update={"signatures": aggregated(self.signatures)})
