"""Challenges: a verifier asks for a proof made now, for it, and used once."""

from __future__ import annotations

import secrets
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.formats import Document, Hexadecimal, InputError, VerificationError
from zkmargin.verifier.attest.documents import Name

MAX_LIFETIME_SECONDS = 366 * 86_400
NONCE_BYTES = 32


class Challenge(Document):
    """A verifier's challenge. Its digest is the context of the proof that answers it.

    Attributes:
        nonce: 32 random bytes, hex.
        audience: the verifier that will accept the answer.
        issued, deadline: the answer counts from the one time to the other, at most a year later.

    Raises:
        InputError: a lifetime of none or of more than a year, or a nonce of zeros, which nobody drew.

    Example:
        >>> challenge = Challenge.new("desk", lifetime_seconds=60, now_ms=1_767_322_800_000)
        >>> challenge.deadline, len(challenge.context)
        ('2026-01-02T03:01:00Z', 86)
    """

    FORMAT: ClassVar[str] = "zkmargin/challenge/v1"

    nonce: Annotated[str, Hexadecimal(NONCE_BYTES)]
    audience: Name
    issued: str
    deadline: str

    @classmethod
    def new(cls, audience: str, *, lifetime_seconds: int, now_ms: int) -> Self:
        """A fresh one. Raises InputError for a lifetime below a second or above a year."""
        if not 1 <= lifetime_seconds <= MAX_LIFETIME_SECONDS:
            raise InputError("from a second to a year", field="lifetime")
        return cls(
            nonce=secrets.token_hex(NONCE_BYTES),
            audience=audience,
            issued=format_time(now_ms),
            deadline=format_time(now_ms + 1000 * lifetime_seconds),
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        lifetime = parse_time(self.deadline, field="deadline") - parse_time(self.issued, field="issued")
        if lifetime <= 0:
            raise InputError("not after it was issued", field="deadline")
        if lifetime > 1000 * MAX_LIFETIME_SECONDS:
            raise InputError(f"more than {MAX_LIFETIME_SECONDS // 86_400} days after it was issued", field="deadline")
        if not int(self.nonce, 16):
            raise InputError("all zeros: a nonce is drawn at random", field="nonce")
        return self

    @property
    def context(self) -> bytes:
        """The statement's context: ``zkmargin/challenge/v1`` and the digest in hex, ASCII."""
        return f"{self.FORMAT} {self.digest().hex()}".encode("ascii")

    def check_time(self, *, now_ms: int, skew_seconds: int) -> None:
        """Raises VerificationError before it was issued or after its deadline."""
        if now_ms > parse_time(self.deadline) + 1000 * skew_seconds:
            raise VerificationError(
                f"the challenge's deadline has passed: {self.deadline}", check="challenge", hint="issue a new challenge"
            )
        if now_ms < parse_time(self.issued) - 1000 * skew_seconds:
            raise VerificationError(
                f"the challenge is from the future: {self.issued}", check="challenge", hint="check the clock"
            )
