"""Signatures of either scheme over documents: what is signed, by whom, and whether it verifies.

A document is signed as

    "zkmargin signature" || 0x00 || format || 0x00 || keccak-256 of the canonical bytes

so a signature under one format means nothing under another, and nothing outside this program.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol, Self, cast

from pydantic import Field, model_validator

from zkmargin.formats import Hexadecimal, InputError, Model, Seq

Scheme = Literal["bls", "ed25519"]
SCHEMES: tuple[Scheme, ...] = ("bls", "ed25519")
MAX_SIGNERS = 64
#: Of either scheme: ed25519, bls.
KeyHex = Annotated[str, Hexadecimal(32, 48)]
SignatureHex = Annotated[str, Hexadecimal(64, 96)]


class SchemeModule(Protocol):
    """What ``crypto.bls`` and ``crypto.ed25519`` have in common."""

    SECRET_BYTES: int
    PUBLIC_BYTES: int
    SIGNATURE_BYTES: int

    def generate_secret(self) -> bytes:
        """A fresh secret key."""

    def public_key(self, secret: bytes) -> bytes:
        """Its public key."""

    def check_public_key(self, key: bytes) -> None:
        """Raises ValueError for what is no key."""

    def sign(self, secret: bytes, message: bytes) -> bytes:
        """A signature."""

    def verify(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether it is one."""


def module_of(scheme: Scheme) -> SchemeModule:
    """The scheme's module, imported when it is first needed."""
    return cast("SchemeModule", importlib.import_module(f"zkmargin.crypto.{scheme}"))


def message_to_sign(form: str, digest: bytes) -> bytes:
    """The bytes that are signed for a document of a format with a digest of 32 bytes."""
    return b"zkmargin signature\x00" + form.encode("ascii") + b"\x00" + digest


class Signature(Model):
    """A signature and the keys it is by: one, or for BLS several whose signatures were added up.

    Attributes:
        scheme: ``bls`` or ``ed25519``.
        public_keys: hex; more than one only for ``bls``.
        signature: hex, 96 bytes for ``bls``, 64 for ``ed25519``.
    """

    scheme: Scheme
    public_keys: Seq[KeyHex] = Field(min_length=1, max_length=MAX_SIGNERS)
    signature: SignatureHex

    @model_validator(mode="after")
    def _check(self) -> Self:
        lengths = {"bls": (96, 192), "ed25519": (64, 128)}[self.scheme]
        for key in self.public_keys:
            if len(key) != lengths[0]:
                raise InputError(f"not as long as a key of {self.scheme}", field="public_keys")
        if len(self.signature) != lengths[1]:
            raise InputError(f"not as long as a signature of {self.scheme}", field="signature")
        if self.scheme != "bls" and len(self.public_keys) > 1:
            raise InputError("only signatures of bls add up", field="public_keys")
        return self

    @classmethod
    def make(cls, scheme: Scheme, secret: bytes, message: bytes) -> Self:
        """Sign. Raises ValueError for what is no secret key."""
        module = module_of(scheme)
        key, signature = module.public_key(secret), module.sign(secret, message)
        return cls(scheme=scheme, public_keys=(key.hex(),), signature=signature.hex())

    def verifies(self, message: bytes) -> bool:
        """Whether all its keys signed. For several keys this means something only where possession was proved."""
        keys, signature = [bytes.fromhex(key) for key in self.public_keys], bytes.fromhex(self.signature)
        if self.scheme == "bls":
            from zkmargin.crypto import bls  # noqa: PLC0415 - as module_of does

            return bls.fast_aggregate_verify(keys, message, signature)
        return module_of(self.scheme).verify(keys[0], message, signature)


def aggregated(signatures: Sequence[Signature]) -> tuple[Signature, ...]:
    """The same signatures with those of bls added up to one. Raises ValueError for a bad point."""
    bls_ones = [s for s in signatures if s.scheme == "bls"]
    if len(bls_ones) < 2:
        return tuple(signatures)
    from zkmargin.crypto import bls  # noqa: PLC0415 - as module_of does

    keys = tuple(key for s in bls_ones for key in s.public_keys)
    total = bls.aggregate([bytes.fromhex(s.signature) for s in bls_ones])
    one = Signature(scheme="bls", public_keys=keys, signature=total.hex())
    return (one, *(s for s in signatures if s.scheme != "bls"))
