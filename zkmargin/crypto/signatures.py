"""Signatures of any scheme over documents: what is signed, by whom, and whether it verifies.

A document is signed as

    "zkmargin signature" || 0x00 || format || 0x00 || keccak-256 of the canonical bytes

so a signature under one format means nothing under another, and nothing outside this program. ``secp256k1`` signs the
same as EIP-712 typed data instead: a wallet shows it and a contract can check it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Protocol, Self, cast

from pydantic import Field, model_validator

from zkmargin.crypto.eip712 import TypedData
from zkmargin.formats import Hexadecimal, InputError, Model, Seq

Scheme = Literal["bls", "ed25519", "secp256k1"]
SCHEMES: tuple[Scheme, ...] = ("bls", "ed25519", "secp256k1")
MAX_SIGNERS = 64
#: Of any scheme: ed25519, secp256k1, bls.
KeyHex = Annotated[str, Hexadecimal(32, 33, 48)]
SignatureHex = Annotated[str, Hexadecimal(64, 65, 96)]
#: Bytes of a key and of a signature.
_SIZES: dict[Scheme, tuple[int, int]] = {"bls": (48, 96), "ed25519": (32, 64), "secp256k1": (33, 65)}
#: EIP-712's domain: neither chain nor contract, these facts belong to none.
DOMAIN = {"name": "zkmargin", "version": "1"}


class SchemeModule(Protocol):
    """What ``crypto.bls``, ``crypto.ed25519`` and ``crypto.secp256k1`` have in common."""

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


@dataclass(frozen=True)
class Message:
    """What is signed: a document's format and digest, and the facts that a wallet shows of it.

    Attributes:
        form: the format line.
        digest: keccak-256 of what is signed, 32 bytes.
        typed: the struct of EIP-712; None for a format that knows none, which ``secp256k1`` does not sign.
    """

    form: str
    digest: bytes
    typed: TypedData | None = None

    @classmethod
    def of(
        cls, form: str, digest: bytes, struct: str, members: Mapping[str, str], values: Mapping[str, Any]
    ) -> Message:
        """A message with its typed data; ``format`` is the struct's first member, ``payload``, the digest, its last."""
        listed = (("format", "string"), *members.items(), ("payload", "bytes32"))
        return cls(form, digest, TypedData(struct, listed, {"format": form, **values, "payload": digest}, DOMAIN))

    def for_scheme(self, scheme: Scheme) -> bytes:
        """The bytes that a scheme signs. Raises InputError: ``secp256k1``, and no typed data."""
        if scheme != "secp256k1":
            return b"zkmargin signature\x00" + self.form.encode("ascii") + b"\x00" + self.digest
        if self.typed is None:
            raise InputError(f"{self.form} is not signed with secp256k1", field="signatures", hint="make a new one")
        return self.typed.signed_bytes


class Signature(Model):
    """A signature and the keys it is by: one, or for BLS several whose signatures were added up.

    Attributes:
        scheme: ``bls``, ``ed25519`` or ``secp256k1``.
        public_keys: hex; more than one only for ``bls``.
        signature: hex, 96 bytes for ``bls``, 64 for ``ed25519``, 65 for ``secp256k1``.
    """

    scheme: Scheme
    public_keys: Seq[KeyHex] = Field(min_length=1, max_length=MAX_SIGNERS)
    signature: SignatureHex

    @model_validator(mode="after")
    def _check(self) -> Self:
        key_bytes, signature_bytes = _SIZES[self.scheme]
        for key in self.public_keys:
            if len(key) != 2 * key_bytes:
                raise InputError(f"not as long as a key of {self.scheme}", field="public_keys")
        if len(self.signature) != 2 * signature_bytes:
            raise InputError(f"not as long as a signature of {self.scheme}", field="signature")
        if self.scheme != "bls" and len(self.public_keys) > 1:
            raise InputError("only signatures of bls add up", field="public_keys")
        return self

    @classmethod
    def make(cls, scheme: Scheme, secret: bytes, message: Message) -> Self:
        """Sign. Raises ValueError for what is no secret key, InputError for what the scheme does not sign."""
        module = module_of(scheme)
        key, signature = module.public_key(secret), module.sign(secret, message.for_scheme(scheme))
        return cls(scheme=scheme, public_keys=(key.hex(),), signature=signature.hex())

    def verifies(self, message: Message) -> bool:
        """Whether all its keys signed. For several keys this means something only where possession was proved."""
        if self.scheme == "secp256k1" and message.typed is None:
            return False
        return _verifies(self.scheme, self.public_keys, message.for_scheme(self.scheme), self.signature)


@lru_cache(maxsize=4096)
def _verifies(scheme: Scheme, public_keys: tuple[str, ...], message: bytes, signature: str) -> bool:
    """The same question has the same answer: a service asks it with every proof that rests on an attestation."""
    keys, given = [bytes.fromhex(key) for key in public_keys], bytes.fromhex(signature)
    if scheme == "bls":
        from zkmargin.crypto import bls  # noqa: PLC0415 - as module_of does

        return bls.fast_aggregate_verify(keys, message, given)
    return module_of(scheme).verify(keys[0], message, given)


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
