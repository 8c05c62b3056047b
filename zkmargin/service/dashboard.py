"""The dashboard: three static files. It shows what an auditor may read, with the auditor's own token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources

from fastapi import FastAPI
from fastapi.responses import Response

#: Nothing from anywhere else, no inline script, no frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "/static/dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
}


def add(app: FastAPI) -> None:
    """The pages of an application, read once."""
    folder = resources.files("zkmargin.service") / "static"
    for path, (name, kind) in FILES.items():
        answer = Response(folder.joinpath(name).read_bytes(), media_type=kind, headers=HEADERS)
        app.get(path, include_in_schema=False)(_giving(answer))


def _giving(answer: Response) -> Callable[[], Awaitable[Response]]:
    async def give() -> Response:
        return answer

    return give
