"""Errors of a call that are not about documents: the service is away, or says no to who calls."""

from __future__ import annotations

from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError


class Unavailable(ZkMarginError):  # noqa: N818 - it says what it is
    """The service is not there, is full, or drains: try again, not before ``retry_after`` seconds."""

    exit_code = 2

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str = "try again") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Denied(ZkMarginError):  # noqa: N818 - it says what it is
    """The token is missing, unknown or expired, or may not do this."""

    exit_code = 2


class NotFound(InputError):  # noqa: N818 - as above
    """There is no such thing, or this token may not see it."""


class AlreadyAccepted(VerificationError):  # noqa: N818 - as above
    """A proof of this statement was accepted before; ``statement`` is its digest: its receipt can be fetched."""

    def __init__(self, message: str, *, statement: str) -> None:
        super().__init__(message, check="replay")
        self.statement = statement


__all__ = [
    "AlreadyAccepted",
    "Denied",
    "InputError",
    "NotFound",
    "ProofFormatError",
    "Unavailable",
    "VerificationError",
]
