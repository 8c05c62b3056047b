"""What calls have in common: who calls, what a body is, how documents and errors are answered."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from zkmargin.client.answers import Fault, FaultBody, Page
from zkmargin.client.errors import AlreadyAccepted, Denied, NotFound
from zkmargin.formats import Document, InputError, ZkMarginError, parse_json
from zkmargin.formats.budget import budget
from zkmargin.service.access import NotYours, allow, allow_account, allow_venue, caller
from zkmargin.service.desk import Desk, Token
from zkmargin.service.guard import status_of
from zkmargin.service.running import Running

JSON = "application/json"
MAX_PAGE = 1000
#: As far as numbers of snapshots and records go.
MAX_NUMBER = 2**63 - 1
Before = Annotated[int | None, Query(ge=1, le=MAX_NUMBER)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


def fault(error: ZkMarginError) -> JSONResponse:
    """The answer that says an error."""
    facts = {name: value for name, value in error.as_facts().items() if name in Fault.model_fields}
    status = status_of(error)
    if isinstance(error, NotYours):  # by no word other than what is not there
        facts["type"] = NotFound.__name__
    if isinstance(error, InputError):  # without the file: it is the caller's body, or the service's own business
        facts["message"] = f"{error.field}: {error.reason}" if error.field else error.reason
    body = FaultBody(
        error=Fault.model_validate(facts | {"hint": str(error.hint) if error.hint else None}),
        statement=error.statement if isinstance(error, AlreadyAccepted) else None,
    )
    headers = {}
    if status in (429, 503):
        headers["retry-after"] = str(max(1, math.ceil(getattr(error, "retry_after", 1))))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status in (408, 413):
        headers["connection"] = "close"
    return JSONResponse(body.model_dump(mode="json", exclude_none=True), status, headers)


async def answer_query(_: Request, error: Exception) -> Response:
    """A query that is no such query, said as every error is."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": "cannot be used"}
    return fault(InputError(str(first["msg"]).lower()[:200], field=".".join(map(str, first["loc"]))[:200] or None))


async def answer_no_call(_: Request, error: Exception) -> Response:
    """A path or a method that no call has, said as every error is."""
    status, headers = getattr(error, "status_code", 404), getattr(error, "headers", None)
    said = fault(NotFound("no such call: /openapi.json describes every one", field="path or method"))
    return Response(said.body, status, headers, media_type=JSON)


def document_answer(document: Document, status: int = 200, **headers: str) -> Response:
    """A document as its file would hold it."""
    return Response(document.to_bytes(), status, media_type=JSON, headers=headers)


def json_answer(value: BaseModel | dict[str, Any], status: int = 200) -> Response:
    """A small JSON value."""
    data = value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value)
    return Response(data, status, media_type=JSON)


def page_answer(items: Sequence[Any], limit: int, number: str = "number") -> Response:
    """A page of a list, and where the next one begins."""
    more = getattr(items[-1], number) if len(items) == limit else None
    return json_answer(Page[Any](items=list(items), next=more))


async def object_of(request: Request, *names: str) -> dict[str, Any]:
    """A small JSON object with these keys at most. Raises InputError."""
    with budget():
        found = parse_json(await request.body())
    if not isinstance(found, dict) or not set(found) <= set(names):
        raise InputError(f"an object with {', '.join(names)}", field="body")
    return found


async def asked_challenges(request: Request) -> dict[str, int]:
    """``{"count", "lifetime_seconds"}`` of who asks for challenges. Raises InputError."""
    given = {"count": 1, "lifetime_seconds": 60} | await object_of(request, "count", "lifetime_seconds")
    if not all(type(number) is int for number in given.values()):
        raise InputError("integers", field="count, lifetime_seconds")
    return given


class Calls:
    """Who calls: the token of a request, noted for the log."""

    def __init__(self, desk: Desk, running: Running) -> None:
        self._desk, self._running = desk, running

    def of(self, request: Request) -> Token:
        """Raises Unauthorized; noted in the audit log, at most once a second."""
        try:
            token = caller(self._desk, getattr(request.state, "shown", None))
        except Denied as error:
            self._running.note_denied(request.client.host if request.client else "unknown", error.message)
            raise
        request.state.caller, request.state.token = token.name, token
        return token

    def may(self, request: Request, *roles: str) -> Token:
        """A token of one of these roles. Raises Denied, Unauthorized."""
        token = self.of(request)
        allow(token, *roles)
        return token

    def about(self, request: Request, account: str, *roles: str) -> Token:
        """The account's own token, or one of these roles. Raises NotFound, Denied, Unauthorized."""
        token = self.of(request)
        allow_account(token, account, *roles)
        return token

    def of_venue(self, request: Request, venue: str) -> Token:
        """The venue's own token, or an operator's. Raises Denied, Unauthorized."""
        token = self.of(request)
        allow_venue(token, venue)
        return token

    async def answer_error(self, request: Request, error: Exception) -> Response:
        """What a route raised, answered; that a token was not for it is written down."""
        token = getattr(request.state, "token", None)
        if token is not None:
            self._running.note_refused(token, f"{request.method} {request.url.path}", error)
        return fault(error if isinstance(error, ZkMarginError) else ZkMarginError("a defect of the service"))
