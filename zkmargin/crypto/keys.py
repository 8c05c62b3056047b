"""Key documents: a public key with its proof of possession, and a secret key encrypted with a passphrase.

A secret key is encrypted with ChaCha20-Poly1305 (RFC 8439) under scrypt (RFC 7914) of the passphrase with N = 2^17,
r = 8, p = 1: 128 MiB and some tenths of a second a try. Everything else in the file is authenticated with it, so
neither the name nor the scheme of a key can be exchanged.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from zkmargin.crypto import bls
from zkmargin.crypto.signatures import KeyHex, Message, Scheme, Signature, module_of
from zkmargin.formats import Document, Hexadecimal, InputError, Model, PlainName
from zkmargin.formats.canonical import canonical_bytes, keccak256

SCRYPT_LOG_N = 17
MIN_PASSPHRASE = 8
_NAME = Field(min_length=1, max_length=200)
SALT_BYTES, NONCE_BYTES = 16, 12


class PublicKey(Document):
    """A public key under a name.

    Version 2 is that of ``secp256k1``; keys of the other schemes are written as they were.

    Attributes:
        name: whose it is, free text, no authority of its own.
        scheme: ``bls``, ``ed25519`` or ``secp256k1``.
        public_key: hex.
        possession: for ``bls`` the proof of possession, hex; checked when the document is read.

    Raises:
        InputError: a key that is no key, or without a valid proof of possession where its scheme needs one.

    Example:
        >>> key = SecretKey.generate("oracle", "ed25519", "a good passphrase").public
        >>> key.name, len(key.fingerprint)
        ('oracle', 16)
    """

    FORMAT: ClassVar[str] = "zkmargin/public-key/v1"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/public-key/v2",)

    name: PlainName = _NAME
    scheme: Scheme
    public_key: KeyHex
    possession: Annotated[str, Hexadecimal(96)] | None = None

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:
        """Of a key without a format line, as trust files hold them."""
        return _format_for(cls, data.get("scheme"))

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_format_for(self, self.scheme)
        key = bytes.fromhex(self.public_key)
        try:
            module_of(self.scheme).check_public_key(key)
        except ValueError as error:
            raise InputError(str(error), field="public_key") from None
        if (self.scheme == "bls") != (self.possession is not None):
            wanted = "missing: a bls key needs one" if self.scheme == "bls" else "only bls keys have one"
            raise InputError(f"proof of possession {wanted}", field="possession")
        if self.possession is not None and not bls.check_possession(key, bytes.fromhex(self.possession)):
            raise InputError("the proof of possession is not this key's", field="possession")
        return self

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell keys apart on sight: keccak-256 of scheme and key, cut short."""
        return fingerprint(self.scheme, self.public_key)

    @property
    def address(self) -> str | None:
        """The Ethereum address of a ``secp256k1`` key; None for the others."""
        if self.scheme != "secp256k1":
            return None
        from zkmargin.crypto import secp256k1  # noqa: PLC0415 - as module_of does

        return secp256k1.address(bytes.fromhex(self.public_key))


def fingerprint(scheme: str, public_key: str) -> str:
    """``PublicKey.fingerprint`` of a key in hex."""
    return keccak256(f"{scheme}:{public_key}".encode("ascii")).hex()[:16]


def _format_for(kind: type[Document], scheme: object) -> str:
    return kind.READS[0] if scheme == "secp256k1" else kind.FORMAT


def _check_format_for(key: Document, scheme: Scheme) -> None:
    """Raises InputError: a key has one version, the lowest that knows its scheme."""
    wanted = _format_for(type(key), scheme)
    if key.format != wanted:
        raise InputError(f'a key of {scheme} has the format "{wanted}"', field="format")


class Scrypt(Model):
    """How the passphrase becomes a key: N = 2^log_n, r = 8, p = 1. Bounded: a file cannot ask for all memory."""

    name: Literal["scrypt"] = "scrypt"
    log_n: int = Field(ge=14, le=20)
    r: Literal[8] = 8
    p: Literal[1] = 1
    salt: Annotated[str, Hexadecimal(SALT_BYTES)]


class SecretKey(Document):
    """An encrypted secret key: mode 0600, and of no use without its passphrase.

    Example:
        >>> key = SecretKey.generate("oracle", "ed25519", "a good passphrase")
        >>> key.unlock("a good passphrase").public == key.public
        True
        >>> key.unlock("another one")
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: passphrase: wrong passphrase, or the file was altered
    """

    FORMAT: ClassVar[str] = "zkmargin/key/v1"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/key/v2",)
    SECRET: ClassVar[bool] = True

    public: PublicKey
    kdf: Scrypt
    cipher: Literal["chacha20-poly1305"] = "chacha20-poly1305"
    nonce: Annotated[str, Hexadecimal(NONCE_BYTES)]
    ciphertext: Annotated[str, Hexadecimal(48)] = Field(repr=False)

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:
        """By the scheme of the public part."""
        public = data.get("public")
        return _format_for(cls, public.scheme if isinstance(public, PublicKey) else None)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_format_for(self, self.public.scheme)
        return self

    @classmethod
    def generate(cls, name: str, scheme: Scheme, passphrase: str) -> Self:
        """A fresh key. Raises InputError for a passphrase of fewer than 8 characters."""
        return cls.encrypt(module_of(scheme).generate_secret(), name, scheme, passphrase)

    @classmethod
    def encrypt(cls, secret: bytes, name: str, scheme: Scheme, passphrase: str) -> Self:
        """The document of a secret of one's own. Raises InputError, ValueError for what is no secret key."""
        if len(passphrase) < MIN_PASSPHRASE:
            raise InputError(f"at least {MIN_PASSPHRASE} characters", field="passphrase")
        public = PublicKey(
            name=name,
            scheme=scheme,
            public_key=module_of(scheme).public_key(secret).hex(),
            possession=bls.prove_possession(secret).hex() if scheme == "bls" else None,
        )
        kdf, nonce = Scrypt(log_n=SCRYPT_LOG_N, salt=os.urandom(SALT_BYTES).hex()), os.urandom(NONCE_BYTES)
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415 - slow to import

        sealed = ChaCha20Poly1305(_stretch(passphrase, kdf)).encrypt(nonce, secret, _authenticated(public, kdf))
        return cls(public=public, kdf=kdf, nonce=nonce.hex(), ciphertext=sealed.hex())

    def unlock(self, passphrase: str) -> SecretSigner:
        """Decrypt. Raises InputError for a wrong passphrase or an altered file: which one cannot be told."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - slow to import
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

        aead = ChaCha20Poly1305(_stretch(passphrase, self.kdf))
        try:
            secret = aead.decrypt(
                bytes.fromhex(self.nonce), bytes.fromhex(self.ciphertext), _authenticated(self.public, self.kdf)
            )
            same = module_of(self.public.scheme).public_key(secret).hex() == self.public.public_key
        except (InvalidTag, ValueError):
            same = False
        if not same:
            raise InputError("wrong passphrase, or the file was altered", field="passphrase")
        return SecretSigner(self.public, secret)


class Signer(Protocol):
    """Whoever signs with one key: a secret in this process, or a program outside.

    Example:
        >>> signer: Signer = SecretKey.generate("oracle", "ed25519", "a good passphrase").unlock("a good passphrase")
        >>> signer.public.scheme
        'ed25519'
    """

    @property
    def public(self) -> PublicKey:
        """Its public key."""

    def sign(self, message: Message) -> Signature:
        """A signature document's entry."""


class SecretSigner:
    """A secret key that is ready to sign. Its repr shows the public part only."""

    def __init__(self, public: PublicKey, secret: bytes) -> None:
        self.public, self._secret = public, secret

    def __repr__(self) -> str:
        return f"SecretSigner({self.public.scheme} {self.public.fingerprint})"

    def sign(self, message: Message) -> Signature:
        """A signature document's entry. Raises InputError for what the scheme does not sign."""
        scheme, key = self.public.scheme, self.public.public_key
        signature = module_of(scheme).sign(self._secret, message.for_scheme(scheme))
        return Signature(scheme=scheme, public_keys=(key,), signature=signature.hex())


def _stretch(passphrase: str, kdf: Scrypt) -> bytes:
    """32 key bytes. The passphrase is taken as NFC text: one typed on another keyboard is the same."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt as Stretch  # noqa: PLC0415 - slow to import

    data = unicodedata.normalize("NFC", passphrase).encode("utf-8")
    return Stretch(salt=bytes.fromhex(kdf.salt), length=32, n=1 << kdf.log_n, r=kdf.r, p=kdf.p).derive(data)


def _authenticated(public: PublicKey, kdf: Scrypt) -> bytes:
    form = _format_for(SecretKey, public.scheme)
    return canonical_bytes(
        {"format": form, "kdf": kdf.model_dump(mode="json"), "public": public.model_dump(mode="json")}
    )
