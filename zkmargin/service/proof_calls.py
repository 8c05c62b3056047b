"""The calls that submit proofs, and those that tell what came of them: receipts, evidence, events."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from zkmargin.app.evidence import Evidence
from zkmargin.client.answers import Verdicts
from zkmargin.client.documents import Submission
from zkmargin.client.errors import Unavailable
from zkmargin.formats import InputError, ZkMarginError
from zkmargin.formats.budget import budget
from zkmargin.service import events, intake, joint, judging, logs, openapi, reading
from zkmargin.service.access import READERS, NotYours, allow, allow_account, allow_venue, counts
from zkmargin.service.answering import (
    MAX_NUMBER,
    Calls,
    asked_challenges,
    document_answer,
    fault,
    json_answer,
    object_of,
)
from zkmargin.service.desk import Desk, Token
from zkmargin.service.judging import Verdict
from zkmargin.service.running import Running
from zkmargin.verifier.attest import Challenge, Receipt

#: ``Last-Event-ID``, as we number events.
LAST_EVENT = re.compile(r"[0-9]{1,19}")


def add_proofs(app: FastAPI, desk: Desk, running: Running) -> None:
    """Submit proofs; fetch receipts and evidence."""
    calls = Calls(desk, running)

    @app.post(
        "/v1/proofs",
        tags=["proofs"],
        status_code=201,
        responses=openapi.answer(Receipt, 201),
        openapi_extra=openapi.body(Submission),
    )
    async def submit(request: Request) -> Response:
        """Submit a proof; its receipt is on disk when this answers 201."""
        token = calls.may(request, "account")
        return await _submitted(Submission.parse(await request.body()), token)

    async def _submitted(submission: Submission, token: Token) -> Response:
        allow_account(token, submission.account)
        (verdict,) = await running.queue.submit([submission])
        if not isinstance(verdict, Receipt):
            raise verdict
        logs.say("accepted", account=token.account, statement=verdict.payload.statement)
        return document_answer(verdict, 201, location=f"/v1/receipts/{verdict.payload.statement}")

    @app.post("/v1/batches", tags=["proofs"], responses=openapi.answer(Verdicts), openapi_extra=openapi.batch())
    async def submit_batch(request: Request) -> Response:
        """Submit several proofs; a verdict for each."""
        token = calls.may(request, "account")
        given = (await object_of(request, "submissions")).get("submissions")
        most = desk.settings.limits.max_batch
        if not isinstance(given, list) or not 1 <= len(given) <= most:
            raise InputError(f"a list of 1 to {most}", field="submissions")
        running.rates.check(token.digest, len(given) - 1)
        read = [_one_of_batch(item, token) for item in given]
        good = [one for one in read if isinstance(one, Submission)]
        judged = iter(await running.queue.submit(good) if good else [])
        verdicts = [next(judged) if isinstance(one, Submission) else one for one in read]
        accepted = sum(isinstance(one, Receipt) for one in verdicts)
        counts = {"accepted": accepted, "refused": len(verdicts) - accepted}
        return json_answer(counts | {"verdicts": [_verdict(one) for one in verdicts]})

    @app.post(
        "/v1/bundles",
        tags=["proofs"],
        status_code=201,
        responses=openapi.answer(Receipt, 201),
        openapi_extra=openapi.body(Evidence),
    )
    async def submit_bundle(request: Request) -> Response:
        """Submit the proof of an evidence bundle: it must answer a challenge of this service. What else is in it counts
        for nothing.
        """
        token = calls.may(request, "account")
        body = await request.body()
        running.rates.check(token.digest, len(body) // desk.settings.limits.max_body)  # to read it takes as long
        submission = await run_in_threadpool(lambda: judging.bundled(Evidence.parse(body)))
        return await _submitted(submission, token)

    @app.post(
        "/v1/venue-proofs",
        tags=["proofs"],
        status_code=201,
        responses=openapi.answer(Receipt, 201),
        openapi_extra=openapi.venue_proof(),
    )
    async def submit_venue_proof(request: Request) -> Response:
        """Submit a venue's proof of every account at once; its receipt is on disk when this answers 201."""
        token = calls.may(request, "venue", "operator")
        given = await object_of(request, *joint.KEYS)

        def work() -> Receipt:
            with budget():
                submission = joint.VenueSubmission.read(given)
            allow_venue(token, submission.terms.venue)
            return joint.judge_venue(desk, submission, actor=token.name)

        verdict = await run_in_threadpool(work)
        return document_answer(verdict, 201, location=f"/v1/receipts/{verdict.payload.statement}")

    @app.post(
        "/v1/venues/{venue}/challenges",
        tags=["proofs"],
        status_code=201,
        responses=openapi.answer(openapi.listed("challenges", Challenge), 201),
        openapi_extra=openapi.asked_challenges(),
    )
    async def venue_challenge(request: Request, venue: str) -> Response:
        """Fresh challenges for a venue, by the name in its terms: for its proofs of every account at once."""
        token = calls.of_venue(request, venue)
        asked = await asked_challenges(request)
        made = await run_in_threadpool(intake.venue_challenge, desk, venue, actor=token.name, **asked)
        return json_answer({"challenges": [one.to_json() for one in made]}, 201)

    @app.get("/v1/receipts/{statement}", tags=["proofs"], responses=openapi.answer(Receipt))
    def receipt(request: Request, statement: str) -> Response:
        """The receipt of an accepted proof."""
        _check_own(calls.of(request), statement)
        return document_answer(reading.receipt(desk, statement))

    @app.get("/v1/evidence/{statement}", tags=["proofs"], responses=openapi.answer(Evidence))
    def evidence(request: Request, statement: str) -> Response:
        """An accepted proof with all public files around it."""
        _check_own(calls.of(request), statement)
        return document_answer(reading.evidence(desk, statement))

    def _check_own(token: Token, statement: str) -> None:
        owner = reading.owner_of(desk, statement)
        if token.role in ("account", "venue"):  # each its own: nobody learns what others proved
            if token.account is None or token.account != getattr(owner, token.role):
                raise NotYours("no proof of this statement was accepted", field="statement")
        else:
            allow(token, *READERS)


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


def add_events(app: FastAPI, desk: Desk, running: Running) -> None:
    """Events as they happen."""
    calls = Calls(desk, running)
    limits, listening = desk.settings.limits, Counter[str]()

    @app.get(
        "/v1/events", tags=["events"], responses={200: {"content": {"text/event-stream": {"schema": openapi.TEXT}}}}
    )
    async def listen(
        request: Request,
        after: Annotated[int, Query(ge=0, le=MAX_NUMBER)] = 0,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Signed events as they happen: Server-Sent Events."""
        token = calls.of(request)
        if token.role != "account":
            allow(token, *READERS)
        if last_event_id is not None and LAST_EVENT.fullmatch(last_event_id):
            after = max(after, min(int(last_event_id), MAX_NUMBER))
        who = token.digest if token.account is None else f"account {token.account}"
        if listening.total() >= limits.streams or listening[who] >= limits.streams_per_account:
            raise Unavailable("too many listen", retry_after=5)
        found = events.stream(
            desk,
            running.bell,
            running.metrics,
            after=after,
            account=token.account,
            may=lambda: running.alone and counts(desk, token),
        )
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_counted(found, listening, who), 200, headers, media_type="text/event-stream")


async def _counted(source: AsyncIterator[bytes], listening: Counter[str], who: str) -> AsyncIterator[bytes]:
    """A stream that counts while it runs; one that its caller left before it began never does."""
    listening[who] += 1
    try:
        async for part in source:
            yield part
    finally:
        listening[who] -= 1
        if not listening[who]:
            del listening[who]
