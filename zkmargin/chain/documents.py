"""The files of a venue on chain: the rules that it deploys with, and where its contracts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from zkmargin.chain.abi import encode_tuple
from zkmargin.formats import Digest, Document, InputError, Seq, from_hex, keccak256
from zkmargin.formats.documents import Since

#: 0x and 40 hex digits, in any case: checksums are a matter of display.
Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
MAX_ATTESTERS = 64
_RULES_TYPE = "(address[],uint256,bytes32[],uint64,bytes32)"


class Rules(Document):
    """What a venue's contracts are deployed with: nobody can change any of it later.

    Attributes:
        attesters, threshold: who signs tables, and how many of them must.
        policies: digests of the policies that a table's snapshot may be built with, hex.
        lifetime_seconds: from a table's time to its expiry, at most.
        salt: makes two series of the same rules different.
        position_attesters, collateral_attesters: who attests parts of accounts; all of them must.
        num, den: the claim that covers: equity : requirement.
        lag: how many numbers a proof's table may be behind the latest.
        period_seconds: how long a proof covers.
        window_blocks: how old the block of a proof's nonce may be.
    """

    FORMAT: ClassVar[str] = "zkmargin/chain-rules/v1"

    attesters: Seq[Address] = Field(min_length=1, max_length=MAX_ATTESTERS)
    threshold: int = Field(ge=1, le=MAX_ATTESTERS)
    policies: Seq[Digest] = Field(min_length=1, max_length=256)
    lifetime_seconds: int = Field(ge=1, le=1 << 32)
    salt: Digest = "00" * 32
    position_attesters: Seq[Address] = Field(min_length=1, max_length=MAX_ATTESTERS)
    collateral_attesters: Seq[Address] = Field(min_length=1, max_length=MAX_ATTESTERS)
    num: int = Field(ge=1, lt=1 << 16)
    den: int = Field(ge=1, lt=1 << 16)
    lag: int = Field(ge=0, lt=1 << 64)
    period_seconds: int = Field(ge=1, le=1 << 32)
    window_blocks: int = Field(ge=1, le=255)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for field, found in (
            ("attesters", self.attesters),
            ("position_attesters", self.position_attesters),
            ("collateral_attesters", self.collateral_attesters),
        ):
            if len({address.lower() for address in found}) != len(found):
                raise InputError("an address is given twice", field=field)
        if self.threshold > len(self.attesters):
            raise InputError(f"{self.threshold} of {len(self.attesters)} attesters", field="threshold")
        return self

    def argument(self) -> tuple[Any, ...]:
        """``SnapshotRegistry.Rules``: attesters in ascending order."""
        ordered = sorted((address.lower() for address in self.attesters), key=lambda address: int(address, 16))
        policies = [from_hex(policy) for policy in self.policies]
        return ordered, self.threshold, policies, self.lifetime_seconds, from_hex(self.salt)

    @property
    def series(self) -> bytes:
        """The series that these rules name: what ``seriesOf`` gives."""
        return keccak256(encode_tuple(_RULES_TYPE, self.argument()))


class Deployment(Document):
    """Where a venue's contracts are. The addresses follow from code and arguments: they are the same on every chain.

    Attributes:
        joint_verifier: the ``MarginJointVerifier``, where one was deployed; version 1 has none.
    """

    FORMAT: ClassVar[str] = "zkmargin/chain-deployment/v1"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/chain-deployment/v2",)

    chain_id: int = Field(ge=1)
    series: Digest
    layout_digest: Digest
    slot_maps: Seq[Digest] = Field(min_length=2, max_length=2)
    verifier: Address
    snapshots: Address
    commitments: Address
    checker: Address
    joint_verifier: Annotated[Address | None, Since(2)] = None

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:
        """Version 2 where there is a joint verifier."""
        return cls.READS[0] if "joint_verifier" in data else cls.FORMAT
