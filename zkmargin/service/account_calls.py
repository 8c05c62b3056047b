"""The calls about snapshots and accounts, and lists of what came in."""

from __future__ import annotations

import json
import time
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel

from zkmargin.client.answers import AccountView, ProofLine, RefusalLine, SnapshotLine
from zkmargin.client.documents import Coverage
from zkmargin.engine.snapshot import Snapshot
from zkmargin.service import intake, openapi, reading, store
from zkmargin.service.access import PUBLISHERS, READERS, NotYours
from zkmargin.service.answering import (
    JSON,
    MAX_NUMBER,
    Before,
    Calls,
    Limit,
    asked_challenges,
    document_answer,
    json_answer,
    object_of,
    page_answer,
)
from zkmargin.service.desk import Desk
from zkmargin.service.running import Running
from zkmargin.verifier.attest import Attestation, Challenge, Revocations

MAX_WAIT_SECONDS = 30.0


def add_snapshots(app: FastAPI, desk: Desk, running: Running) -> None:
    """Publish and fetch snapshots."""
    calls = Calls(desk, running)

    @app.post(
        "/v1/snapshots",
        tags=["snapshots"],
        status_code=201,
        responses=openapi.answer(SnapshotLine, 201, 200),
        openapi_extra=openapi.published(),
    )
    async def publish(request: Request) -> Response:
        """Publish an attested snapshot."""
        token = calls.may(request, *PUBLISHERS)
        given = await object_of(request, "snapshot", "attestation")

        def work() -> tuple[BaseModel, bool]:
            snapshot = Snapshot.parse(json.dumps(given.get("snapshot")))
            attestation = Attestation.parse(json.dumps(given.get("attestation")))
            return intake.publish(desk, snapshot, attestation, actor=token.name)

        line, news = await run_in_threadpool(work)
        return json_answer(line, 201 if news else 200)

    @app.get("/v1/snapshots", tags=["snapshots"], responses=openapi.answer(openapi.page(SnapshotLine)))
    def snapshots(request: Request, series: str, before: Before = None, limit: Limit = 100) -> Response:
        """Published snapshots, the newest first."""
        calls.of(request)
        return page_answer(reading.snapshot_lines(desk, series, before=before, limit=limit), limit, "sequence")

    @app.get(
        "/v1/snapshots/latest",
        tags=["snapshots"],
        responses=openapi.answer(openapi.snapshot()) | {204: {"description": "none yet"}},
    )
    async def latest(
        request: Request,
        series: str,
        after: Annotated[int | None, Query(ge=0, le=MAX_NUMBER)] = None,
        wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0,
    ) -> Response:
        """The newest snapshot of a series; with ``wait``, when there is one above number ``after``."""
        calls.of(request)
        deadline = time.monotonic() + wait
        while True:
            rang = running.bell.listen()
            digest = await run_in_threadpool(reading.newest_snapshot, desk, series, after=after)
            if digest is not None:
                return Response(await run_in_threadpool(desk.published_body, digest, series), media_type=JSON)
            left = deadline - time.monotonic()
            if left <= 0 or running.bell.closed:
                return Response(status_code=204)
            await running.bell.wait(rang, left)

    @app.get("/v1/snapshots/{digest}", tags=["snapshots"], responses=openapi.answer(openapi.snapshot()))
    def snapshot(request: Request, digest: str) -> Response:
        """A published snapshot and who signed it."""
        calls.of(request)
        return Response(desk.published_body(digest), media_type=JSON)


def add_accounts(app: FastAPI, desk: Desk, running: Running) -> None:
    """The roster, parts, revocations, challenges, coverage."""
    calls = Calls(desk, running)

    @app.post(
        "/v1/attestations",
        tags=["accounts"],
        status_code=201,
        responses=openapi.answer(
            openapi.facts(account=openapi.TEXT, attestation=openapi.TEXT, sequence=openapi.INTEGER), 201, 200
        ),
        openapi_extra=openapi.body(Attestation),
    )
    async def attest(request: Request) -> Response:
        """Register a part of an account, or what it is now."""
        token = calls.may(request, "account", *PUBLISHERS)
        attestation = Attestation.parse(await request.body())
        whose = getattr(attestation.payload, "account", None)
        if token.role == "account" and whose != token.account:
            raise NotYours("no such account", field="account")
        done, news = await run_in_threadpool(intake.attest, desk, attestation, actor=token.name)
        return json_answer(done, 201 if news else 200)

    @app.post(
        "/v1/revocations",
        tags=["accounts"],
        status_code=201,
        responses=openapi.answer(openapi.facts(issuer=openapi.TEXT, sequence=openapi.INTEGER), 201, 200),
        openapi_extra=openapi.body(Revocations),
    )
    async def revoke(request: Request) -> Response:
        """Publish a list of revocations."""
        token = calls.may(request, *PUBLISHERS)
        revocations = Revocations.parse(await request.body())
        done, news = await run_in_threadpool(intake.revoke, desk, revocations, actor=token.name)
        return json_answer(done, 201 if news else 200)

    @app.get("/v1/revocations", tags=["accounts"], responses=openapi.answer(openapi.listed("revocations", Revocations)))
    def revocations(request: Request) -> Response:
        """The newest list of each issuer."""
        calls.of(request)
        return json_answer({"revocations": [one.to_json() for one in desk.revocations()]})

    @app.get("/v1/accounts", tags=["accounts"], responses=openapi.answer(openapi.roster()))
    def roster(request: Request) -> Response:
        """Every account and its state; ``newest_event`` is what to listen ``after``."""
        calls.may(request, *READERS)
        newest = reading.newest_event(desk)  # before the states: told twice is better than never
        lines = [line.model_dump(mode="json") for line in reading.roster(desk)]
        return json_answer({"accounts": lines, "newest_event": newest})

    @app.get(
        "/v1/accounts/{account}/attestations",
        tags=["accounts"],
        responses=openapi.answer(openapi.listed("attestations", Attestation)),
    )
    def attestations(request: Request, account: str) -> Response:
        """The attestations of an account's parts."""
        calls.about(request, account, *READERS)
        return json_answer({"attestations": [one.to_json() for one in desk.holding(account).attestations]})

    @app.post(
        "/v1/accounts/{account}/challenges",
        tags=["accounts"],
        status_code=201,
        responses=openapi.answer(openapi.listed("challenges", Challenge), 201),
        openapi_extra=openapi.asked_challenges(),
    )
    async def challenge(request: Request, account: str) -> Response:
        """Fresh challenges for an account."""
        token = calls.about(request, account, "operator")
        asked = await asked_challenges(request)
        other = None if token.role == "account" else token.name  # what an account asks for itself is an event only
        made = await run_in_threadpool(intake.challenge, desk, account, actor=other, **asked)
        return json_answer({"challenges": [one.to_json() for one in made]}, 201)

    @app.get("/v1/accounts/{account}/coverage", tags=["accounts"], responses=openapi.answer(Coverage))
    def coverage(
        request: Request, account: str, series: str, begin: Annotated[str, Query(alias="from")], to: str
    ) -> Response:
        """The signed statement at which snapshots an account was proven."""
        calls.about(request, account, *READERS)
        return document_answer(reading.coverage(desk, account, series, begin=begin, end=to))


def add_lists(app: FastAPI, desk: Desk, running: Running) -> None:
    """Accepted and refused proofs of an account, and all of it."""
    calls = Calls(desk, running)

    @app.get("/v1/accounts/{account}/proofs", tags=["accounts"], responses=openapi.answer(openapi.page(ProofLine)))
    def proofs(request: Request, account: str, before: Before = None, limit: Limit = 100) -> Response:
        """Accepted proofs of an account, the newest first."""
        calls.about(request, account, *READERS)
        terms = desk.holding(account).row.terms
        with desk.ledger.database.reading() as connection:
            return page_answer(store.proof_lines(connection, account, terms, before=before, limit=limit), limit)

    @app.get("/v1/accounts/{account}/refusals", tags=["accounts"], responses=openapi.answer(openapi.page(RefusalLine)))
    def refusals(request: Request, account: str, before: Before = None, limit: Limit = 100) -> Response:
        """Refused proofs of an account with reasons, the newest first."""
        calls.about(request, account, *READERS)
        desk.holding(account)
        with desk.ledger.database.reading() as connection:
            return page_answer(store.refusal_lines(connection, account, before=before, limit=limit), limit)

    @app.get("/v1/accounts/{account}", tags=["accounts"], responses=openapi.answer(AccountView))
    def account_view(request: Request, account: str) -> Response:
        """One account: state, terms, parts, open challenges."""
        calls.about(request, account, *READERS)
        view = reading.account_view(desk, account)
        value = view.model_dump(mode="json", exclude={"challenges"})
        return json_answer(value | {"challenges": [one.to_json() for one in view.challenges]})
