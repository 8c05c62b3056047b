"""The venue's service as a process, over HTTP: what it takes, refuses, says and keeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.venue_service import Service, account, running, snapshot

from zkmargin.client.errors import AlreadyAccepted


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("venue") / "service") as one:
        one.settle_in("alice", "bob")
        yield one


def test_a_proof_gets_a_receipt_once(service: Service) -> None:
    with service.client("alice") as client:
        challenge = client.challenge("alice")
        submission = account("alice").answer(challenge, snapshot())
        receipt = client.submit(submission)
        assert receipt.payload.challenge == challenge.digest().hex()
        with pytest.raises(AlreadyAccepted) as again:
            client.submit(submission)
        assert client.receipt(again.value.statement) == receipt
        view = client.account("alice")
        assert (view.state, view.proofs, view.trend) == ("covered", 1, ["1/1"])
