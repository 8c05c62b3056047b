"""Tokens: made by whoever will use them; a service knows their SHA-256 only."""

from __future__ import annotations

import hashlib
import re
import secrets

_TOKEN = re.compile("zkm_[A-Za-z0-9_-]{43}")


def new_token() -> str:
    """A fresh one: 256 random bits. It is a secret."""
    return f"zkm_{secrets.token_urlsafe(32)}"


def token_digest(token: str) -> str | None:
    """Its SHA-256 in hex; None for what is no token.

    Guessing 256 random bits is out of reach, so that a slow hash as for passwords adds nothing.
    """
    return hashlib.sha256(token.encode("ascii")).hexdigest() if _TOKEN.fullmatch(token) else None
