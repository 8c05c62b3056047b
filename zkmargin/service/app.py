"""The calls: HTTP in, documents out. Here it is said who may ask what, and how; what is done is said elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

import zkmargin
from zkmargin.client.answers import AuditLine, Limits, ServiceInfo, TokenInfo, TokenLine, WebhookLine
from zkmargin.client.errors import Denied
from zkmargin.client.orders import Change
from zkmargin.crypto.srs import embedded
from zkmargin.engine.decimals import format_time
from zkmargin.formats import ZkMarginError
from zkmargin.service import account_calls, changes, dashboard, openapi, proof_calls, reading, store
from zkmargin.service.access import READERS
from zkmargin.service.answering import (
    Before,
    Calls,
    Limit,
    answer_no_call,
    answer_query,
    fault,
    json_answer,
    page_answer,
)
from zkmargin.service.desk import Desk
from zkmargin.service.guard import Guard
from zkmargin.service.running import Running


def create_app(desk: Desk, running: Running) -> FastAPI:
    """The ASGI application of a service; its background work runs while the server does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running.at_work():
            yield

    app = FastAPI(
        title="zkmargin venue service",
        version=str(zkmargin.__version__),
        description="docs/decisions/0011-the-venue-service.md; every error is a `FaultBody`.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(ZkMarginError, Calls(desk, running).answer_error)
    app.add_exception_handler(RequestValidationError, answer_query)
    app.add_exception_handler(HTTPException, answer_no_call)
    for add in PARTS:
        add(app, desk, running)
    dashboard.add(app)
    app.add_middleware(Guard, desk=desk, metrics=running.metrics, fault=fault, alone=running.check_alone)
    openapi.describe(app)
    return app


def _add_health(app: FastAPI, desk: Desk, running: Running) -> None:
    calls, settings = Calls(desk, running), desk.settings

    @app.get("/healthz", tags=["health"])
    async def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["health"])
    async def ready() -> dict[str, str]:
        """It takes and records proofs: 503 while it starts, drains or cannot write."""
        running.check_ready()
        return {"status": "ready"}

    @app.get("/metrics", tags=["health"], responses={200: {"content": {"text/plain": {"schema": openapi.TEXT}}}})
    def metrics(request: Request) -> Response:
        """Counters as Prometheus' text."""
        calls.may(request, *READERS)
        return Response(running.metrics.text(desk), media_type="text/plain; version=0.0.4")

    @app.get("/v1/service", tags=["service"], responses=openapi.answer(ServiceInfo))
    def service() -> Response:
        """Who the service is, and what it takes."""
        limits = Limits(**{name: getattr(settings.limits, name) for name in Limits.model_fields})
        return json_answer(
            {
                "name": desk.name,
                "version": zkmargin.__version__,
                "time": format_time(desk.clock()),
                "public_key": desk.signer.public.to_json(),
                "trust": desk.trust.digest().hex(),
                "srs": embedded().digest.hex(),
                "series": [rule.name for rule in desk.trust.snapshots],
                "limits": limits.model_dump(),
            }
        )


def _add_tokens(app: FastAPI, desk: Desk, running: Running) -> None:
    calls = Calls(desk, running)

    @app.get("/v1/tokens", tags=["service"], responses=openapi.answer(openapi.listed("tokens", TokenLine)))
    def tokens(request: Request) -> Response:
        """Tokens that count: an account's own; all for auditors and operators."""
        token = calls.may(request, "account", *READERS)
        return json_answer({"tokens": [one.model_dump() for one in reading.token_lines(desk, token.account)]})

    @app.get("/v1/token", tags=["service"], responses=openapi.answer(TokenInfo))
    def whoami(request: Request) -> Response:
        """Whose the token of the call is."""
        token = calls.of(request)
        expires = None if token.expires_ms is None else format_time(token.expires_ms)
        return json_answer(TokenInfo(name=token.name, role=token.role, account=token.account, expires=expires))


def _add_changes(app: FastAPI, desk: Desk, running: Running) -> None:
    calls = Calls(desk, running)

    @app.post(
        "/v1/changes",
        tags=["service"],
        status_code=201,
        responses=openapi.answer({"type": "object", "additionalProperties": True}, 201, 200),
        openapi_extra=openapi.body(Change),
    )
    async def change(request: Request) -> Response:
        """Order a signed change."""
        body = await request.body()

        def work() -> tuple[dict[str, Any], bool]:
            try:
                return changes.change(desk, Change.parse(body))
            except Denied as error:
                running.note_denied(request.client.host if request.client else "unknown", error.message)
                raise

        done, news = await run_in_threadpool(work)
        return json_answer(done, 201 if news else 200)

    @app.get("/v1/webhooks", tags=["service"], responses=openapi.answer(openapi.listed("webhooks", WebhookLine)))
    def webhooks(request: Request) -> Response:
        """Where events go: an account's own; all for auditors and operators."""
        token = calls.may(request, "account", *READERS)
        return json_answer({"webhooks": [one.model_dump() for one in reading.webhook_lines(desk, token.account)]})

    @app.get("/v1/audit", tags=["service"], responses=openapi.answer(openapi.page(AuditLine)))
    def audit(request: Request, before: Before = None, limit: Limit = 100) -> Response:
        """The audit log, the newest line first."""
        calls.may(request, *READERS)
        with desk.ledger.database.reading() as connection:
            return page_answer(store.audit_lines(connection, before=before, limit=limit), limit)


#: What adds calls to an application. A path is looked for in this order: proofs are what most calls are about.
PARTS = (
    *(proof_calls.add_proofs, proof_calls.add_events, _add_health, _add_tokens, _add_changes),
    *(account_calls.add_snapshots, account_calls.add_accounts, account_calls.add_lists),
)
