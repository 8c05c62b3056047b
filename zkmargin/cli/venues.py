"""A venue's service as commands reach it: its URL, a token from a file, signed changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zkmargin.app.files import warn_if_exposed
from zkmargin.cli.options import key_option
from zkmargin.cli.passphrases import signer_of
from zkmargin.engine.decimals import format_time
from zkmargin.formats import InputError, read_text

if TYPE_CHECKING:
    from zkmargin.client.venue import VenueClient

F = TypeVar("F", bound=Callable[..., Any])
MAX_TOKEN_BYTES = 4096


def url_option(function: F) -> F:
    """``--url URL`` and ``--ca-file FILE``."""
    function = click.option("--ca-file", metavar="FILE", help="Certificates to trust in place of the system's (PEM).")(
        function
    )
    return click.option(
        "--url", required=True, metavar="URL", help="The service: https://HOST:PORT, or http on this machine."
    )(function)


def token_option(function: F) -> F:
    """``--token-file FILE``."""
    return click.option("--token-file", required=True, metavar="FILE", help="Where your token is: first line, 0600.")(
        function
    )


@dataclass(frozen=True)
class Service:
    """What ``service_options`` say: where a service is, and whose token calls it."""

    url: str
    ca_file: str | None
    token_file: str

    def connect(self) -> VenueClient:
        """Its client. Raises InputError as ``connect``."""
        return connect(self.url, self.ca_file, self.token_file)


@dataclass(frozen=True)
class Orders:
    """What ``order_options`` say: where a service is, its name, and whose key signs what is ordered of it."""

    url: str
    ca_file: str | None
    service_name: str
    key_path: str
    passphrase_path: str | None
    signer_command: str | None

    def give(self, action: Any) -> dict[str, Any]:
        """Sign a change and order it.

        It is signed for the service that the caller names, whoever answers: else another one could pass it on.
        Numbers are the clock's milliseconds: they go up without being kept anywhere.
        """
        from zkmargin.client.orders import Change, ChangePayload  # noqa: PLC0415 - see connect

        with connect(self.url, self.ca_file) as client:
            now_ms = time.time_ns() // 1_000_000
            payload = ChangePayload(service=self.service_name, sequence=now_ms, time=format_time(now_ms), action=action)
            signer = signer_of(self.key_path, self.passphrase_path, self.signer_command)
            return client.change(Change(payload=payload).signed(signer))


def _together(name: str, kind: type[Any], function: Callable[..., None]) -> Callable[..., None]:
    """The function with the values of some options in one argument."""
    names = [field.name for field in fields(kind)]

    @wraps(function)
    def run(**values: object) -> None:
        taken = kind(**{option: values.pop(option) for option in names})
        function(**{name: taken}, **values)

    return run


def service_options(function: Callable[..., None]) -> Callable[..., None]:
    """``--url``, ``--ca-file`` and ``--token-file``: the argument ``service``, a ``Service``."""
    return url_option(token_option(_together("service", Service, function)))


def order_options(function: Callable[..., None]) -> Callable[..., None]:
    """``--url``, ``--ca-file``, ``--service`` and those of ``key_option``: the argument ``orders``, an ``Orders``."""
    said = "Its name, which the order is signed for: `verifier` of its trust file."
    named = click.option("--service", "service_name", required=True, metavar="NAME", help=said)
    return url_option(named(key_option(_together("orders", Orders, function))))


def read_token(path: str) -> str:
    """What is in a token's file, or on standard input. Raises InputError: it cannot be read."""
    if Path(path).is_file():
        warn_if_exposed(path)
    return read_text(path, max_bytes=MAX_TOKEN_BYTES).split("\n", 1)[0].strip()


def connect(url: str, ca_file: str | None, token_file: str | None = None) -> VenueClient:
    """The client of a service. Raises InputError: no such URL, no token in the file, or the extra is missing."""
    try:
        from zkmargin.client.venue import VenueClient  # noqa: PLC0415 - few commands call a service
    except ImportError:
        raise InputError(
            "the client's package is missing", file="--url", hint="pip install 'zkmargin[client]'"
        ) from None
    token = None if token_file is None else read_token(token_file)
    return VenueClient(url, token=token, ca_file=ca_file)
