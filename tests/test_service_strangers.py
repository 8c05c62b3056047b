"""What is not a caller's looks as what is not there, to the byte; and every error is said in one form."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from support.venue_service import account, running, snapshot

from zkmargin.client.answers import FaultBody


@pytest.mark.slow
def test_nobody_learns_what_others_have_and_every_error_is_a_fault(tmp_path: Path) -> None:
    with running(tmp_path / "service") as service:
        service.settle_in("alice", "bob")
        with service.client("alice") as alice:
            challenge = alice.challenge("alice", lifetime_seconds=600)
            statement = alice.submit(account("alice").answer(challenge, snapshot())).payload.statement
        bob = {"authorization": f"Bearer {service.tokens['bob']}"}

        def asked(path: str, method: str = "GET", body: bytes | None = None) -> httpx.Response:
            return httpx.request(method, service.url + path, headers=bob, content=body)

        for kind in ("receipts", "evidence"):
            theirs, nobodys = asked(f"/v1/{kind}/{statement}"), asked(f"/v1/{kind}/{'00' * 32}")
            assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content)
            assert theirs.status_code == 404
        for rest in ("", "/proofs", "/refusals", "/attestations", "/coverage?series=main&from=x&to=y"):
            theirs, nobodys = asked(f"/v1/accounts/alice{rest}"), asked(f"/v1/accounts/nobody{rest}")
            assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content)
            assert (theirs.status_code, theirs.json()["error"]["type"]) == (404, "NotFound")
        asking = b'{"count": 1}'
        theirs, nobodys = (asked(f"/v1/accounts/{name}/challenges", "POST", asking) for name in ("alice", "nobody"))
        assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content)
        # what the caller may not learn, the audit log has
        with service.client("auditor") as auditor:
            assert any(statement in (line.subject or "") for line in auditor.audit().items)
        for path, method, status in (
            ("/v2", "GET", 404),
            ("/docs", "GET", 404),
            ("/v1/accounts/..%2f..%2fetc", "GET", 404),
            ("/v1/proofs", "GET", 405),
            ("/v1/receipts/x", "POST", 405),
        ):
            found = asked(path, method)
            assert (found.status_code, FaultBody.model_validate(found.json()).error.type) == (status, "NotFound"), path
            assert ("allow" in found.headers) is (status == 405)
