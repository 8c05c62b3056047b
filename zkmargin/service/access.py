"""Who may call: tokens by their hash, and their roles."""

from __future__ import annotations

from zkmargin.client.errors import Denied, NotFound
from zkmargin.client.tokens import token_digest
from zkmargin.service.desk import Desk, Token

READERS = ("auditor", "operator")
PUBLISHERS = ("publisher", "operator")


class Unauthorized(Denied):
    """No token, or one that does not count."""


class NotYours(NotFound):
    """Another account's: the caller learns as little of it as of one that is not there; the audit log learns of it."""


def shown(authorization: str) -> str | None:
    """The digest of the token that an ``Authorization`` header shows; None where it shows none."""
    scheme, _, token = authorization.partition(" ")
    return token_digest(token.strip()) if scheme.lower() == "bearer" else None


def caller(desk: Desk, digest: str | None) -> Token:
    """The token with a digest, as ``shown`` gives it. Raises Unauthorized."""
    if digest is None:
        raise Unauthorized("a token is needed: Authorization: Bearer zkm_...")
    # the digest of 256 random bits: how long it takes to find it tells nothing about another one
    found = desk.tokens().get(digest)
    if found is None or (found.expires_ms is not None and desk.clock() >= found.expires_ms):
        raise Unauthorized("the token is unknown, revoked or expired")
    return found


def counts(desk: Desk, token: Token) -> bool:
    """Whether a token that was shown once still counts."""
    try:
        caller(desk, token.digest)
    except Unauthorized:
        return False
    return True


def allow(token: Token, *roles: str) -> None:
    """Raises Denied for a token of another role."""
    if token.role not in roles:
        raise Denied(f"a token of role {token.role} may not do this")


def allow_venue(token: Token, venue: str) -> None:
    """The token of this venue, or an operator's. Raises Denied for any other."""
    if token.role == "venue":
        if token.account != venue:
            raise Denied("a token of another venue")
    else:
        allow(token, "operator")


def allow_account(token: Token, account: str, *roles: str) -> None:
    """The account's own token, or one of these roles. Raises NotFound for other accounts: nobody learns which exist."""
    if token.role == "account":
        if token.account != account:
            raise NotYours("no such account", field="account")
    else:
        allow(token, *roles)
