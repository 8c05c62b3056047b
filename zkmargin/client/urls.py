"""Where others are called: over https, or on this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

from zkmargin.formats import InputError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check_url(text: str, field: str) -> None:
    """Whether tokens and documents may go to a URL.

    Raises:
        InputError: not http(s), with a user or password in it, or http to another machine.
    """
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise InputError("not a URL like https://HOST:PORT", field=field)
    if parts.username is not None or parts.password is not None:
        raise InputError("a user or password in a URL ends up in logs: use the files for them", field=field)
    if parts.scheme == "http" and host not in LOOPBACK:
        raise InputError("http to another machine can be read and changed on the way: use https", field=field)
