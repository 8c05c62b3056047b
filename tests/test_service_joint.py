"""A venue's proof of every account at once, submitted to its service."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import venue_lab
from support.typed import JsonObject
from support.venue_service import NAME, signers, trust

from zkmargin.crypto.srs import embedded
from zkmargin.engine.decimals import parse_time
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.ledger import Ledger
from zkmargin.service import intake, reading, store
from zkmargin.service.desk import Desk
from zkmargin.service.joint import VenueSubmission, judge_venue
from zkmargin.service.settings import Settings
from zkmargin.service.workers import Pool
from zkmargin.verifier.attest import Attestation, SnapshotPayload

pytestmark = pytest.mark.in_order


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A small venue with its proof, and a service whose clock stands a minute after the snapshot."""
    venue = venue_lab.Venue(srs=embedded(), totals=True, context=b"for the desk")
    rule = {"name": "main", "signers": ["oracle"], "threshold": 1, "max_age_seconds": 600}
    trusted = trust(snapshots=[rule | {"policies": [venue.snapshot.policy.digest().hex()]}])
    folder = tmp_path_factory.mktemp("joint")
    settings = Settings(database="a", trust="a", key="a", operators=("a",))
    with Ledger(folder / "venue.db", signer=signers()["desk"]) as ledger:
        pool = Pool(1)
        now_ms = parse_time(venue.snapshot.time) + 60_000
        desk = Desk(settings, trusted, (), signers()["desk"], ledger, pool, clock=lambda: now_ms)
        payload = SnapshotPayload.of(venue.snapshot, series="main", sequence=1)
        intake.publish(desk, venue.snapshot, Attestation(payload=payload).signed(signers()["oracle"]), actor="oracle")
        body = {
            "terms": venue.statement.terms.to_json(),
            "snapshot": venue.snapshot.digest().hex(),
            "context": b"for the desk".hex(),
            "proof": base64.b64encode(venue.prove(seed="joint")).decode(),
        }
        yield SimpleNamespace(desk=desk, body=body, folder=folder)
        pool.close()


def test_it_is_accepted_once_with_a_receipt(world: SimpleNamespace) -> None:
    desk: Desk = world.desk
    given = VenueSubmission.read(world.body)
    receipt = judge_venue(desk, given, actor="venue")
    assert receipt.payload.venue is not None
    assert (receipt.payload.verifier, receipt.payload.venue.terms) == (NAME, given.terms.digest().hex())
    assert reading.owner_of(desk, receipt.payload.statement) is None
    assert reading.receipt(desk, receipt.payload.statement) == receipt
    with pytest.raises(VerificationError) as again:
        judge_venue(desk, given, actor="venue")
    assert again.value.check == "replay"
    with desk.ledger.database.reading() as connection:
        kinds = [event.kind for event in store.events_after(connection, 0, account=None, limit=10)]
        outcomes = [line.outcome for line in store.audit_lines(connection, before=None, limit=10)]
    assert kinds == ["snapshot", "venue-proof"]
    assert outcomes == ["refused", "done", "done"]
    assert desk.ledger.audit(key=signers()["desk"].public).bad == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"context": b"for another".hex()}, VerificationError),
        ({"snapshot": "00" * 32}, VerificationError),
        ({"proof": "AAAA"}, ProofFormatError),
        ({"proof": "!"}, InputError),
        ({"context": "x"}, InputError),
        ({"snapshot": 5}, InputError),
        ({"commitments": {}}, InputError),
    ],
)
def test_what_is_refused(world: SimpleNamespace, change: JsonObject, error: type[Exception]) -> None:
    with pytest.raises(error):
        judge_venue(world.desk, VenueSubmission.read(world.body | change), actor="venue")


def test_the_ledger_beside_a_service_is_a_ledger(world: SimpleNamespace, tmp_path: Path) -> None:
    with Ledger(world.folder / "venue.db", read_only=True) as ledger:
        assert ledger.audit().bad == []
    assert not list(tmp_path.iterdir())
