"""The calls: HTTP in, documents out. Here it is said who may ask what, and how; what is done is said elsewhere."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

import zkmargin
from zkmargin.client.answers import Fault, FaultBody, Limits, Page, ServiceInfo
from zkmargin.client.documents import Change, Submission
from zkmargin.client.errors import AlreadyAccepted, Denied, NotFound, Unavailable
from zkmargin.crypto.srs import embedded
from zkmargin.engine.decimals import format_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError, ZkMarginError, parse_json
from zkmargin.formats.budget import budget
from zkmargin.formats.documents import in_words
from zkmargin.service import changes, dashboard, events, intake, joint, logs, openapi, reading, store
from zkmargin.service.access import PUBLISHERS, READERS, allow, allow_account, caller
from zkmargin.service.desk import Desk, Token
from zkmargin.service.guard import Guard, TooMany, status_of
from zkmargin.service.judging import Verdict
from zkmargin.service.running import Running
from zkmargin.verifier.attest import Attestation, Receipt, Revocations

JSON = "application/json"
MAX_WAIT_SECONDS = 30.0
MAX_PAGE = 1000

Before = Annotated[int | None, Query(ge=1)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


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
    app.add_exception_handler(ZkMarginError, _answer_error)
    for add in (_add_health, _add_changes, _add_snapshots, _add_accounts, _add_lists, _add_proofs, _add_events):
        add(app, desk, running)
    dashboard.add(app)
    app.add_middleware(Guard, desk=desk, metrics=running.metrics, fault=fault)
    openapi.describe(app)
    return app


# --- errors and documents -------------------------------------------------------------------------------------------


def fault(error: ZkMarginError) -> JSONResponse:
    """The answer that says an error."""
    facts = {name: value for name, value in error.as_facts().items() if name in Fault.model_fields}
    status = status_of(error)
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


async def _answer_error(_: Request, error: Exception) -> Response:
    return fault(error if isinstance(error, ZkMarginError) else ZkMarginError("a defect of the service"))


def _document(document: Document, status: int = 200, **headers: str) -> Response:
    return Response(document.to_bytes(), status, media_type=JSON, headers=headers)


def _json(value: BaseModel | dict[str, Any], status: int = 200) -> Response:
    data = value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value)
    return Response(data, status, media_type=JSON)


def _page(items: Sequence[Any], limit: int, number: str = "number") -> Response:
    """A page of a list, and where the next one begins."""
    more = getattr(items[-1], number) if len(items) == limit else None
    return _json(Page[Any](items=list(items), next=more))


async def _object(request: Request, *names: str) -> dict[str, Any]:
    """A small JSON object with these keys at most. Raises InputError."""
    with budget():
        found = parse_json(await request.body())
    if not isinstance(found, dict) or not set(found) <= set(names):
        raise InputError(f"an object with {', '.join(names)}", field="body")
    return found


class _Calls:
    """Who calls: the token of a request, noted for the log."""

    def __init__(self, desk: Desk, running: Running) -> None:
        self._desk, self._running = desk, running

    def of(self, request: Request) -> Token:
        """Raises Unauthorized; noted in the audit log, at most once a second."""
        try:
            token = caller(self._desk, request.headers.get("authorization"))
        except Denied as error:
            self._running.note_denied(request.client.host if request.client else "unknown", error.message)
            raise
        request.state.caller = token.name
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


# --- calls ------------------------------------------------------------------------------------------------------------


def _add_health(app: FastAPI, desk: Desk, running: Running) -> None:
    calls, settings = _Calls(desk, running), desk.settings

    @app.get("/healthz", tags=["health"])
    async def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["health"], responses={503: {"model": FaultBody}})
    async def ready() -> dict[str, str]:
        """It takes and records proofs: 503 while it starts, drains or cannot write."""
        running.check_ready()
        return {"status": "ready"}

    @app.get("/metrics", tags=["health"])
    def metrics(request: Request) -> Response:
        """Counters as Prometheus' text."""
        calls.may(request, *READERS)
        return Response(running.metrics.text(desk), media_type="text/plain; version=0.0.4")

    @app.get("/v1/service", tags=["service"], response_model=ServiceInfo)
    def service() -> Response:
        """Who the service is, and what it takes."""
        limits = Limits(**{name: getattr(settings.limits, name) for name in Limits.model_fields})
        return _json(
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


def _add_changes(app: FastAPI, desk: Desk, running: Running) -> None:
    calls = _Calls(desk, running)

    @app.post("/v1/changes", tags=["service"], status_code=201, openapi_extra=openapi.body(Change))
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
        return _json(done, 201 if news else 200)

    @app.get("/v1/audit", tags=["service"])
    def audit(request: Request, before: Before = None, limit: Limit = 100) -> Response:
        """The audit log, the newest line first."""
        calls.may(request, *READERS)
        with desk.ledger.database.reading() as connection:
            return _page(store.audit_lines(connection, before=before, limit=limit), limit)


def _add_snapshots(app: FastAPI, desk: Desk, running: Running) -> None:
    calls = _Calls(desk, running)

    @app.post("/v1/snapshots", tags=["snapshots"], status_code=201, openapi_extra=openapi.published())
    async def publish(request: Request) -> Response:
        """Publish an attested snapshot."""
        token = calls.may(request, *PUBLISHERS)
        given = await _object(request, "snapshot", "attestation")

        def work() -> tuple[BaseModel, bool]:
            snapshot = Snapshot.parse(json.dumps(given.get("snapshot")))
            attestation = Attestation.parse(json.dumps(given.get("attestation")))
            return intake.publish(desk, snapshot, attestation, actor=token.name)

        line, news = await run_in_threadpool(work)
        return _json(line, 201 if news else 200)

    @app.get("/v1/snapshots", tags=["snapshots"])
    def snapshots(request: Request, series: str, before: Before = None, limit: Limit = 100) -> Response:
        """Published snapshots, the newest first."""
        calls.of(request)
        return _page(reading.snapshot_lines(desk, series, before=before, limit=limit), limit, "sequence")

    @app.get("/v1/snapshots/latest", tags=["snapshots"], responses={204: {"description": "none yet"}})
    async def latest(
        request: Request,
        series: str,
        after: Annotated[int | None, Query(ge=0)] = None,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0,
    ) -> Response:
        """The newest snapshot of a series; with ``wait``, when there is one above number ``after``."""
        calls.of(request)
        deadline = time.monotonic() + wait
        while True:
            rang = running.bell.listen()
            digest = await run_in_threadpool(reading.newest_snapshot, desk, series, after=after)
            if digest is not None:
                return Response(await run_in_threadpool(desk.published_body, digest), media_type=JSON)
            left = deadline - time.monotonic()
            if left <= 0 or running.bell.closed:
                return Response(status_code=204)
            await running.bell.wait(rang, left)

    @app.get("/v1/snapshots/{digest}", tags=["snapshots"])
    def snapshot(request: Request, digest: str) -> Response:
        """A published snapshot and who signed it."""
        calls.of(request)
        return Response(desk.published_body(digest), media_type=JSON)


def _add_accounts(app: FastAPI, desk: Desk, running: Running) -> None:
    calls = _Calls(desk, running)

    @app.post("/v1/attestations", tags=["accounts"], status_code=201, openapi_extra=openapi.body(Attestation))
    async def attest(request: Request) -> Response:
        """Register a part of an account, or what it is now."""
        token = calls.may(request, "account", *PUBLISHERS)
        attestation = Attestation.parse(await request.body())
        whose = getattr(attestation.payload, "account", None)
        if token.role == "account" and whose != token.account:
            raise NotFound("no such account", field="account")
        done, news = await run_in_threadpool(intake.attest, desk, attestation, actor=token.name)
        return _json(done, 201 if news else 200)

    @app.post("/v1/revocations", tags=["accounts"], status_code=201, openapi_extra=openapi.body(Revocations))
    async def revoke(request: Request) -> Response:
        """Publish a list of revocations."""
        token = calls.may(request, *PUBLISHERS)
        revocations = Revocations.parse(await request.body())
        done, news = await run_in_threadpool(intake.revoke, desk, revocations, actor=token.name)
        return _json(done, 201 if news else 200)

    @app.get("/v1/accounts", tags=["accounts"])
    def roster(request: Request) -> Response:
        """Every account and its state."""
        calls.may(request, *READERS)
        return _json({"accounts": [line.model_dump(mode="json") for line in reading.roster(desk)]})

    @app.get("/v1/accounts/{account}/attestations", tags=["accounts"])
    def attestations(request: Request, account: str) -> Response:
        """The attestations of an account's parts."""
        calls.about(request, account, *READERS)
        return _json({"attestations": [one.to_json() for one in desk.holding(account).attestations]})

    @app.post("/v1/accounts/{account}/challenges", tags=["accounts"], status_code=201)
    async def challenge(request: Request, account: str) -> Response:
        """Fresh challenges for an account."""
        calls.about(request, account, "operator")
        given = await _object(request, "count", "lifetime_seconds")
        count, lifetime = given.get("count", 1), given.get("lifetime_seconds", 60)
        if type(count) is not int or type(lifetime) is not int:
            raise InputError("integers", field="count, lifetime_seconds")
        made = await run_in_threadpool(intake.challenge, desk, account, count=count, lifetime_seconds=lifetime)
        return _json({"challenges": [one.to_json() for one in made]}, 201)

    @app.get("/v1/accounts/{account}/coverage", tags=["accounts"])
    def coverage(
        request: Request, account: str, series: str, begin: Annotated[str, Query(alias="from")], to: str
    ) -> Response:
        """The signed statement at which snapshots an account was proven."""
        calls.about(request, account, *READERS)
        return _document(reading.coverage(desk, account, series, begin=begin, end=to))


def _add_lists(app: FastAPI, desk: Desk, running: Running) -> None:
    calls = _Calls(desk, running)

    @app.get("/v1/accounts/{account}/proofs", tags=["accounts"])
    def proofs(request: Request, account: str, before: Before = None, limit: Limit = 100) -> Response:
        """Accepted proofs of an account, the newest first."""
        calls.about(request, account, *READERS)
        terms = desk.holding(account).row.terms
        with desk.ledger.database.reading() as connection:
            return _page(store.proof_lines(connection, account, terms, before=before, limit=limit), limit)

    @app.get("/v1/accounts/{account}/refusals", tags=["accounts"])
    def refusals(request: Request, account: str, before: Before = None, limit: Limit = 100) -> Response:
        """Refused proofs of an account with reasons, the newest first."""
        calls.about(request, account, *READERS)
        desk.holding(account)
        with desk.ledger.database.reading() as connection:
            return _page(store.refusal_lines(connection, account, before=before, limit=limit), limit)

    @app.get("/v1/accounts/{account}", tags=["accounts"])
    def account_view(request: Request, account: str) -> Response:
        """One account: state, terms, parts, open challenges."""
        calls.about(request, account, *READERS)
        view = reading.account_view(desk, account)
        value = view.model_dump(mode="json", exclude={"challenges"})
        return _json(value | {"challenges": [one.to_json() for one in view.challenges]})


def _add_proofs(app: FastAPI, desk: Desk, running: Running) -> None:
    calls = _Calls(desk, running)

    @app.post("/v1/proofs", tags=["proofs"], status_code=201, openapi_extra=openapi.body(Submission))
    async def submit(request: Request) -> Response:
        """Submit a proof; its receipt is on disk when this answers 201."""
        token = calls.may(request, "account")
        submission = Submission.parse(await request.body())
        calls.about(request, submission.account)
        (verdict,) = await running.queue.submit([submission])
        if not isinstance(verdict, Receipt):
            raise verdict
        logs.say("accepted", account=token.account, statement=verdict.payload.statement)
        return _document(verdict, 201, location=f"/v1/receipts/{verdict.payload.statement}")

    @app.post("/v1/batches", tags=["proofs"], openapi_extra=openapi.batch())
    async def submit_batch(request: Request) -> Response:
        """Submit several proofs; a verdict for each."""
        token = calls.may(request, "account")
        given = (await _object(request, "submissions")).get("submissions")
        most = desk.settings.limits.max_batch
        if not isinstance(given, list) or not 1 <= len(given) <= most:
            raise InputError(f"a list of 1 to {most}", field="submissions")
        wait = running.rates.take(token.digest, len(given) - 1)
        if wait:
            raise TooMany("too many proofs", retry_after=wait)
        read = [_one_of_batch(item, token) for item in given]
        good = [one for one in read if isinstance(one, Submission)]
        judged = iter(await running.queue.submit(good) if good else [])
        verdicts = [next(judged) if isinstance(one, Submission) else one for one in read]
        accepted = sum(isinstance(one, Receipt) for one in verdicts)
        counts = {"accepted": accepted, "refused": len(verdicts) - accepted}
        return _json(counts | {"verdicts": [_verdict(one) for one in verdicts]})

    @app.post("/v1/venue-proofs", tags=["proofs"], status_code=201)
    async def submit_venue_proof(request: Request) -> Response:
        """Submit a venue's proof of every account at once; its receipt is on disk when this answers 201."""
        token = calls.may(request, *PUBLISHERS)
        given = await _object(request, *joint.KEYS)

        def work() -> Receipt:
            with budget(), in_words():
                submission = joint.VenueSubmission.read(given)
            return joint.judge_venue(desk, submission, actor=token.name)

        verdict = await run_in_threadpool(work)
        return _document(verdict, 201, location=f"/v1/receipts/{verdict.payload.statement}")

    @app.get("/v1/receipts/{statement}", tags=["proofs"])
    def receipt(request: Request, statement: str) -> Response:
        """The receipt of an accepted proof."""
        _check_own(calls.of(request), statement)
        return _document(reading.receipt(desk, statement))

    @app.get("/v1/evidence/{statement}", tags=["proofs"])
    def evidence(request: Request, statement: str) -> Response:
        """An accepted proof with all public files around it."""
        _check_own(calls.of(request), statement)
        return _document(reading.evidence(desk, statement))

    def _check_own(token: Token, statement: str) -> None:
        try:
            owner = reading.owner_of(desk, statement)
            if owner is None:  # a venue's
                allow(token, "publisher", *READERS)
            else:
                allow_account(token, owner, *READERS)
        except NotFound:
            raise NotFound("no proof of this statement was accepted", field="statement") from None


def _one_of_batch(item: object, token: Token) -> Submission | ZkMarginError:
    try:
        submission = Submission.parse(json.dumps(item))
        allow_account(token, submission.account)
    except ZkMarginError as error:
        return error
    return submission


def _verdict(verdict: Verdict) -> dict[str, Any]:
    if isinstance(verdict, Receipt):
        return {"accepted": True, "receipt": verdict.to_json(), "statement": verdict.payload.statement}
    found: dict[str, Any] = json.loads(bytes(fault(verdict).body))
    return {"accepted": False, **found}


def _add_events(app: FastAPI, desk: Desk, running: Running) -> None:
    calls = _Calls(desk, running)
    open_streams = asyncio.Semaphore(desk.settings.limits.streams)

    @app.get("/v1/events", tags=["events"])
    async def listen(
        request: Request,
        after: Annotated[int, Query(ge=0)] = 0,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Signed events as they happen: Server-Sent Events."""
        token = calls.of(request)
        if token.role != "account":
            allow(token, *READERS)
        if last_event_id is not None and last_event_id.isdecimal():
            after = max(after, int(last_event_id))
        if open_streams.locked():
            raise Unavailable("too many listen", retry_after=5)
        await open_streams.acquire()
        found = events.stream(desk, running.bell, running.metrics, after=after, account=token.account)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_releasing(found, open_streams.release), 200, headers, media_type="text/event-stream")


async def _releasing(source: AsyncIterator[bytes], release: Callable[[], None]) -> AsyncIterator[bytes]:
    try:
        async for part in source:
            yield part
    finally:
        release()
