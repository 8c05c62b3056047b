"""Signers outside of this program: an HSM, a KMS or a wallet behind a command that signs one message a call.

The protocol. The command is started once a signature, without a shell. One line of JSON comes on its standard input
(``SignerRequest``), one is expected on its standard output (``SignerAnswer``); its standard error goes to the user.
It signs the request's ``message`` with the key that is named: BLS and Ed25519 as they are, secp256k1 over keccak-256 of
it, which for a wallet is the EIP-712 hash of ``typed_data``. Exit code 0; any other one, silence for two minutes, or a
signature that does not verify is an error, and nothing is written.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Annotated, Any, ClassVar

from pydantic import Field

from zkmargin.crypto.keys import PublicKey
from zkmargin.crypto.signatures import KeyHex, Message, Scheme, Signature, SignatureHex
from zkmargin.formats import Document, Hexadecimal, InputError

SECONDS = 120
MAX_ANSWER_BYTES = 1 << 16


class SignerRequest(Document):
    """What a signer is asked.

    Attributes:
        scheme, public_key: with which key.
        message: the bytes to sign, hex.
        typed_data: for ``secp256k1`` the same as ``eth_signTypedData_v4`` takes it; else None.
    """

    FORMAT: ClassVar[str] = "zkmargin/signer-request/v1"

    scheme: Scheme
    public_key: KeyHex
    message: Annotated[str, Hexadecimal(), Field(max_length=4096)]
    typed_data: dict[str, Any] | None = None

    @classmethod
    def of(cls, public: PublicKey, message: Message) -> SignerRequest:
        """For a key and a message. Raises InputError: the scheme does not sign it."""
        typed = message.typed.to_json() if public.scheme == "secp256k1" and message.typed is not None else None
        signed = message.for_scheme(public.scheme).hex()
        return cls(scheme=public.scheme, public_key=public.public_key, message=signed, typed_data=typed)


class SignerAnswer(Document):
    """What it answers: the signature, hex, in its scheme's encoding."""

    FORMAT: ClassVar[str] = "zkmargin/signer-answer/v1"

    signature: SignatureHex


class CommandSigner:
    """A key whose secret another program has.

    Args:
        public: the key.
        command: the program and its arguments, quoted as for a shell; no shell sees them.
    """

    def __init__(self, public: PublicKey, command: str) -> None:
        self.public, self._command = public, command

    def sign(self, message: Message) -> Signature:
        """A signature that was verified. Raises InputError: the command fails, or its answer is none."""
        request = json.dumps(SignerRequest.of(self.public, message).to_json(), separators=(",", ":")) + "\n"
        answer = SignerAnswer.parse(self._ask(request.encode()), file="signer")
        try:
            signature = Signature(
                scheme=self.public.scheme, public_keys=(self.public.public_key,), signature=answer.signature
            )
        except (ValueError, InputError):
            raise InputError(f"its answer is no signature of {self.public.scheme}", file="signer") from None
        if not signature.verifies(message):
            raise InputError("its signature does not verify with the key", file="signer", hint="is it this key's?")
        return signature

    def _ask(self, request: bytes) -> bytes:
        try:
            words = shlex.split(self._command)
            # the user's own program, given on the user's own command line
            done = subprocess.run(words, input=request, stdout=subprocess.PIPE, timeout=SECONDS, check=False)  # noqa: S603
        except (OSError, ValueError, IndexError) as error:
            reason = (getattr(error, "strerror", None) or "not a command").lower()
            raise InputError(f"cannot be started: {reason}", file="signer") from None
        except subprocess.TimeoutExpired:
            raise InputError(f"no answer within {SECONDS} s", file="signer") from None
        if done.returncode != 0:
            raise InputError(f"failed with exit code {done.returncode}", file="signer")
        if len(done.stdout) > MAX_ANSWER_BYTES:
            raise InputError("an answer of more than 64 KiB", file="signer")
        return done.stdout
