"""The page on this machine: the account's own margin. 127.0.0.1 only, behind a token, nothing loaded from elsewhere.

It is about one book, so it is as secret as the book. The token is in the part of the address behind ``#``, which no
browser sends; the page's script puts it into a header of each request. A request whose Host is not this machine is
refused: another site's name could be made to lead here.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import threading
from collections.abc import Callable
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

from zkmargin.agent.panels import panels
from zkmargin.agent.status import Status
from zkmargin.formats import InputError, write_atomic
from zkmargin.formats.files import read_text

HOST = "127.0.0.1"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}


class Page:
    """The server, in threads of its own.

    Args:
        status: what it shows.
        folder: where the token is kept, mode 0600, from one start to the next.
        port: 0 takes a free one.

    Raises:
        InputError: the port is taken, or the token cannot be read.
    """

    def __init__(self, status: Status, folder: str | Path, port: int) -> None:
        self._token = _token(Path(folder) / "page.token")
        try:
            self._server = _Server((HOST, port), _handler(status, self._token))
        except OSError as error:
            raise InputError(f"cannot be used: {(error.strerror or 'error').lower()}", field="page.port") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    @property
    def port(self) -> int:
        """The one that it has."""
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        """With the token: for the owner's eyes."""
        return f"http://{HOST}:{self.port}/#{self._token}"

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A reader that goes away is no error."""


def _token(path: Path) -> str:
    if not path.exists():
        write_atomic(path, secrets.token_urlsafe(32).encode() + b"\n", secret=True)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise InputError("others may read it", file=str(path), hint=f"chmod 600 {path}, or remove it")
    return read_text(path).strip()


@lru_cache
def _static(name: str) -> bytes:
    return resources.files("zkmargin.agent").joinpath("static", name).read_bytes()


def _handler(status: Status, token: str) -> type[BaseHTTPRequestHandler]:
    answers: dict[str, Callable[[], tuple[bytes, str]]] = {
        "/status": lambda: (_json(status.facts()), "application/json"),
        "/book": lambda: (_json(None if (book := status.book()) is None else book.to_json()), "application/json"),
        "/margin": lambda: (_json(status.margin_facts()), "application/json"),
        "/headroom": lambda: (_json(status.headroom()), "application/json"),
        "/panels": lambda: (panels(status).encode(), "text/html; charset=utf-8"),
    }

    class Handler(BaseHTTPRequestHandler):
        """Answers GET, and nothing else."""

        server_version = "zkmargin"
        sys_version = ""
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            """A file of the page for everybody here, facts for who has the token."""
            host = self.headers.get("Host", "").rpartition(":")[0]
            path = self.path.partition("?")[0]
            if host not in (HOST, "localhost"):
                self._answer(403, b"not this machine\n", "text/plain")
            elif path in FILES:
                name, kind = FILES[path]
                self._answer(200, _static(name), kind)
            elif path not in answers:
                self._answer(404, b"nothing here\n", "text/plain")
            elif not self._allowed():
                self._answer(401, b"the token is missing or wrong\n", "text/plain")
            else:
                self._answer(200, *answers[path]())

        def _allowed(self) -> bool:
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            for name, value in (
                ("Content-Type", kind),
                ("Content-Length", str(len(body))),
                ("Content-Security-Policy", POLICY),
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
                ("Cache-Control", "no-store"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Nothing: the log is for what the agent does."""

    return Handler


def _json(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"
