"""The dashboard of a venue's service in Chromium: what it shows, by keyboard, in light and dark, asking nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import shoot
from playwright.sync_api import Browser, Page, Route, expect
from support.venue_service import Service, account, running, snapshot

from zkmargin.client import Terms
from zkmargin.client.orders import RegisterAccount, RevokeToken
from zkmargin.client.tokens import token_digest
from zkmargin.formats import VerificationError


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An account that is covered, one that never proved, and one that is late and was refused."""
    with running(tmp_path_factory.mktemp("dashboard") / "service") as one:
        one.settle_in("alice", "bob", "<b>carol & sons")
        with one.client("alice") as alice:
            alice.submit(account("alice").answer(alice.challenge("alice", lifetime_seconds=600), snapshot()))
        name = "<b>carol & sons"
        one.order(RegisterAccount(account=name, terms=Terms(period_seconds=1, grace_seconds=0)))
        with one.client(name) as carol:
            submission = account(name).answer(carol.challenge(name, lifetime_seconds=600), snapshot())
            carol.submit(submission)
            with pytest.raises(VerificationError):
                carol.submit(
                    submission.model_copy(
                        update={"challenge": carol.challenge(name, lifetime_seconds=600).digest().hex()}
                    )
                )
        yield one


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest, service: Service) -> Iterator[Page]:
    """The dashboard, entered; nothing may go wrong in it, and nothing may be asked elsewhere."""
    wrong: list[str] = []
    context = browser.new_context(color_scheme=request.param, viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    own = (service.url, "data:", "blob:")
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: None if asked.url.startswith(own) else wrong.append(asked.url))
    page.goto(service.url)
    page.get_by_label("Token of an auditor or operator").fill(service.tokens["auditor"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="clearing desk")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("live")
    yield page
    shoot(page, f"dashboard-{request.node.originalname}-{request.param}")
    context.close()
    assert wrong == []


def row(page: Page, name: str) -> Any:
    return page.locator("#roster tbody tr").filter(has=page.get_by_role("button", name=name, exact=True))


def test_the_roster_and_the_alarms(page: Page) -> None:
    expect(page.locator("#roster tbody tr")).to_have_count(3)
    expect(row(page, "alice")).to_contain_text("covered")
    expect(row(page, "bob")).to_contain_text("uncovered")
    expect(row(page, "<b>carol & sons")).to_contain_text("refused")  # its name is text
    expect(page.get_by_role("list", name="Accounts by state")).to_contain_text("covered 1")
    expect(page.locator("#alarms")).to_contain_text("a proof was refused (pairing)")
    page.get_by_label("Show", exact=True).select_option("uncovered")
    expect(page.locator("#roster tbody tr")).to_have_count(1)
    page.get_by_label("Show", exact=True).select_option("")
    assert page.locator("#snapshots tbody tr").count() == 1


def test_an_account_by_keyboard(page: Page, service: Service) -> None:
    row(page, "alice").get_by_role("button").focus()
    page.keyboard.press("Enter")
    heading = page.get_by_role("heading", name="Account alice")
    expect(heading).to_be_focused()
    expect(page.locator("#facts")).to_contain_text("positions by venue (main)")
    expect(page.locator("#timeline")).to_contain_text("1 of 1 snapshots proven")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the receipt").first.press("Enter")
    assert b"zkmargin/receipt/" in Path(saved.value.path()).read_bytes()
    before, save = page.locator("#proofs tbody tr").count(), page.get_by_role("button", name="Save the receipt").last
    save.focus()
    with service.client("alice") as alice:  # it is live
        alice.submit(account("alice").answer(alice.challenge("alice", lifetime_seconds=600), snapshot()))
    expect(page.locator("#proofs tbody tr")).to_have_count(before + 1)
    expect(save).to_be_focused()  # the table was drawn anew
    page.keyboard.press("Escape")
    expect(heading).to_be_hidden()
    expect(row(page, "alice").get_by_role("button")).to_be_focused()


def test_a_wrong_token_shows_nothing(browser: Browser, service: Service) -> None:
    page = browser.new_page()
    page.goto(service.url)
    page.get_by_label("Token of an auditor or operator").fill(service.tokens["alice"])
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_have_text("a token of role account may not do this")
    expect(page.locator("#main")).to_be_hidden()
    page.close()


def entered(browser: Browser, service: Service, name: str) -> tuple[Page, list[str], list[str]]:
    """The dashboard with a token; what went wrong in it, and what it asked for."""
    wrong: list[str] = []
    asked: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url.removeprefix(service.url)))
    page.goto(service.url)
    enter(page, service, name)
    return page, wrong, asked


def enter(page: Page, service: Service, name: str) -> None:
    page.get_by_label("Token of an auditor or operator").fill(service.tokens[name])
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("live")


def test_the_stream_begins_at_the_newest_event(browser: Browser, service: Service) -> None:
    headers = {"authorization": f"Bearer {service.tokens['auditor']}"}
    newest = httpx.get(f"{service.url}/v1/accounts", headers=headers).json()["newest_event"]
    with service.client("auditor") as auditor:
        last = next(event for event in auditor.events(after=newest - 1))
        assert (newest > 5, last.payload.number) == (True, newest)
    page, wrong, asked = entered(browser, service, "auditor")
    assert [path for path in asked if "/events" in path] == [f"/v1/events?after={newest}"]
    # what stands, from the roster: bob is uncovered, carol refused and by what; nothing is told again
    expect(page.locator("#alarms li")).to_have_count(3)
    expect(page.locator("#alarms")).not_to_contain_text("→")
    page.close()
    assert wrong == []


def test_a_revoked_token_ends_the_session(browser: Browser, service: Service) -> None:
    service.issue("for a day", "auditor")
    page, wrong, _ = entered(browser, service, "for a day")
    assert page.get_by_label("Token of an auditor or operator").input_value() == ""
    digest = token_digest(service.tokens["for a day"])
    assert digest is not None
    service.order(RevokeToken(digest=digest))
    row(page, "alice").get_by_role("button").click()
    said = "The session ended: the token is unknown, revoked or expired"
    expect(page.get_by_role("alert")).to_have_text(said)
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#main")).to_be_hidden()
    expect(page.get_by_role("status")).to_have_text("not connected")
    assert page.locator("#roster tbody tr, #alarms li, #snapshots tbody tr").count() == 0
    enter(page, service, "auditor")
    expect(page.get_by_role("alert")).to_be_empty()
    expect(row(page, "alice")).to_contain_text("covered")
    page.close()
    assert wrong == []


def test_errors_are_seen_and_an_old_roster_says_so(browser: Browser, service: Service) -> None:
    page, wrong, _ = entered(browser, service, "auditor")
    expect(page.locator("#as-of")).to_contain_text("As of")
    away = {"status": 503, "json": {"error": {"message": "the queue is full"}}}
    page.route("**/v1/accounts/bob", lambda route: route.fulfill(**away))
    row(page, "bob").get_by_role("button").click()
    expect(page.get_by_role("alert")).to_have_text("the queue is full")
    expect(page.get_by_role("alert")).to_be_visible()
    page.unroute("**/v1/accounts/bob")
    page.route("**/v1/accounts", lambda route: route.fulfill(**away))
    with service.client("alice") as alice:  # an event: the roster is asked for again
        alice.submit(account("alice").answer(alice.challenge("alice", lifetime_seconds=600), snapshot()))
    expect(page.locator("#as-of")).to_contain_text("Stale: states may have changed since.")
    expect(row(page, "alice")).to_contain_text("covered")
    page.unroute("**/v1/accounts")
    with service.client("alice") as alice:
        alice.submit(account("alice").answer(alice.challenge("alice", lifetime_seconds=600), snapshot()))
    expect(page.locator("#as-of")).not_to_contain_text("Stale")
    expect(page.get_by_role("alert")).to_be_empty()
    page.close()
    assert wrong == []


def test_who_missed_much_begins_anew(browser: Browser, service: Service) -> None:
    """A connection that was away for a night of events, and one to a service that was restored from a backup."""
    context = browser.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    numbers = [5000, 5400, 9000, 40]  # what the roster names before each stream
    found = httpx.get(f"{service.url}/v1/accounts", headers={"authorization": f"Bearer {service.tokens['auditor']}"})
    accounts = found.json()["accounts"]
    asked: list[str] = []
    stand: dict[str, Any] = {
        "body": "retry: 2000\n\n",
        "content_type": "text/event-stream",
    }  # a stream that ends at once

    def roster(route: Route) -> None:
        route.fulfill(json={"accounts": accounts, "newest_event": numbers[min(len(asked), 3)]})

    def events(route: Route) -> None:
        asked.append(route.request.url.rpartition("=")[2])
        if len(asked) < len(numbers):
            route.fulfill(**stand)
        else:
            route.continue_()

    page.route("**/v1/accounts", roster)
    page.route("**/v1/events?after=*", events)
    page.goto(service.url)
    page.get_by_label("Token of an auditor or operator").fill(service.tokens["auditor"])
    with page.expect_request(lambda request: request.url.endswith("after=40")):
        page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("live")
    assert asked == ["5000", "5000", "9000", "40"]  # 400 are told; 4,000 are not, and less than before is another past
    context.close()
    assert wrong == []
