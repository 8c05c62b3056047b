"""Who may call, how often: tokens by their hash, roles, and a bucket of calls for each caller."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from zkmargin.client.errors import Denied, NotFound
from zkmargin.client.tokens import token_digest
from zkmargin.service.desk import Desk, Token

#: Callers whose rate is remembered: those that were heard of last.
CALLERS = 65_536
READERS = ("auditor", "operator")
PUBLISHERS = ("publisher", "operator")


class Unauthorized(Denied):
    """No token, or one that does not count."""


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


def allow_account(token: Token, account: str, *roles: str) -> None:
    """The account's own token, or one of these roles. Raises NotFound for other accounts: nobody learns which exist."""
    if token.role == "account":
        if token.account != account:
            raise NotFound("no such account", field="account")
    else:
        allow(token, *roles)


class Rates:
    """Each caller has a bucket of calls that fills again: who empties it waits.

    Args:
        per_second: how fast it fills.
        burst: how much it holds.

    Example:
        >>> now = [0.0]
        >>> rates = Rates(1, 2, clock=lambda: now[0])
        >>> [rates.take("a"), rates.take("a"), rates.take("a"), rates.take("b")]
        [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(self, per_second: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, who: str, calls: float = 1.0) -> float:
        """0 where a caller may call; else the seconds after which it may try again."""
        now = self._clock()
        with self._lock:
            left, at = self._buckets.get(who, (self._burst, now))
            left = min(self._burst, left + (now - at) * self._rate)
            wait = 0.0 if left >= min(calls, self._burst) else (min(calls, self._burst) - left) / self._rate
            self._buckets[who] = (left if wait else left - calls, now)
            self._buckets.move_to_end(who)
            while len(self._buckets) > CALLERS:
                self._buckets.popitem(last=False)
        return wait
