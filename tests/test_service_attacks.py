"""A hostile reading of service, client and agent: what an adversary who may speak to one of them could gain."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.typed import Unchecked
from support.venue_desk import Venue as Desk
from support.venue_service import NAME, signers
from test_watch_answers import Venue, service_venue

from zkmargin.agent.venues import NotReadyError, UnreachableError
from zkmargin.app.verifying import clock_ms
from zkmargin.client.documents import Terms
from zkmargin.client.errors import Denied, Unavailable
from zkmargin.client.orders import IssueToken, RegisterAccount
from zkmargin.client.venue import MAX_ANSWER, VenueClient
from zkmargin.formats import InputError
from zkmargin.ledger import Ledger
from zkmargin.service import changes, submissions
from zkmargin.service.guard import source_of
from zkmargin.service.judging import Verdict
from zkmargin.service.settings import Limits
from zkmargin.service.webhooks import is_public
from zkmargin.verifier.attest import Challenge


@pytest.fixture
def venue() -> Iterator[Venue]:
    one = Venue()
    yield one
    one.close()


def test_a_key_that_is_replaced_while_its_order_is_read_orders_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator takes a stolen key from an account; an order of the thief's is on its way."""
    with Ledger(tmp_path / "venue.db", signer=signers()["desk"]) as ledger:
        desk = Desk(ledger)
        terms = Terms(period_seconds=60, grace_seconds=60)
        desk.order(RegisterAccount(account="maker", terms=terms, keys=(signers()["maker"].public,)))
        desk.order(IssueToken(name="own", role="account", account="maker", digest="11" * 32), by=signers()["maker"])
        check, first = changes._check_for_us, True

        def meanwhile(*given: Unchecked) -> None:
            nonlocal first
            check(*given)
            if first:
                first = False
                desk.order(RegisterAccount(account="maker", terms=terms, keys=(signers()["operator"].public,)))

        monkeypatch.setattr(changes, "_check_for_us", meanwhile)
        with pytest.raises(Denied, match="nobody who may order this"):
            desk.order(
                IssueToken(name="thief", role="account", account="maker", digest="22" * 32), by=signers()["maker"]
            )
        assert set(desk.desk.tokens()) == {"11" * 32}


def test_one_submission_that_meets_a_defect_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[object]] = []

    def judge(_: object, given: Sequence[object]) -> list[Verdict]:
        asked.append(list(given))
        if "poison" in given:
            raise ValueError("a defect")
        return [InputError(str(one)) for one in given]

    monkeypatch.setattr(submissions, "judge", judge)
    given: Unchecked = ["a", "poison", "b"]
    desk: Unchecked = None
    verdicts = submissions.judged_apart(desk, given)
    assert [type(one) for one in verdicts] == [InputError, Unavailable, InputError]
    assert [str(one) for one in (verdicts[0], verdicts[2])] == ["a", "b"]
    assert asked == [given, ["a"], ["poison"], ["b"]]


def test_a_database_that_is_away_is_not_asked_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def judge(*_: object) -> list[Verdict]:
        nonlocal calls
        calls += 1
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(submissions, "judge", judge)
    given: Unchecked = ["a", "b"]
    desk: Unchecked = None
    assert [type(one) for one in submissions.judged_apart(desk, given)] == [Unavailable] * 2
    assert calls == 1


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),  # one machine has as many of these as it likes
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_rates_and_connections_are_of_a_network_under_ipv6(address: str, source: str) -> None:
    assert source_of(address) == source


@pytest.mark.parametrize("address", ["::127.0.0.1", "::7f00:1", "64:ff9b:1::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "::"])
def test_no_webhook_goes_to_addresses_that_stand_for_private_ones(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


def test_a_venue_cannot_have_another_venues_challenge_answered(venue: Venue, tmp_path: Path) -> None:
    """It asks the other for one, hands it on as its own, and shows the other the maker's proof."""
    one = service_venue(tmp_path, venue)
    own = [Challenge.new(NAME, lifetime_seconds=60, now_ms=clock_ms()) for _ in range(3)]
    others = [*own[:2], Challenge.new("another desk", lifetime_seconds=60, now_ms=clock_ms())]
    venue.says = (201, "application/json", json.dumps({"challenges": [item.to_json() for item in others]}).encode())
    with pytest.raises(UnreachableError, match="a challenge for 'another desk'"):
        one.ready()
    with pytest.raises(NotReadyError):
        one.challenge()
    venue.says = (201, "application/json", json.dumps({"challenges": [item.to_json() for item in own]}).encode())
    one.ready()
    assert one.challenge() == own[0]


def test_a_stream_of_events_without_a_line_is_given_up(venue: Venue) -> None:
    venue.says = (200, "text/event-stream", b"data: " + b"a" * (4 << 20))
    with VenueClient(venue.url) as client, pytest.raises(Unavailable, match="too long"):
        next(client.events())


def test_an_answer_is_read_as_far_as_any_service_takes_bodies() -> None:
    """An agent lives beside its book: a venue cannot fill its memory, and no snapshot that is published is too long."""
    largest = next(one for one in Limits.model_fields["max_snapshot_body"].metadata if hasattr(one, "le")).le
    assert largest + (1 << 20) < MAX_ANSWER < 2 * largest
