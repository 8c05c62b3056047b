"""Pages of ours as axe-core sees them, which knows what screen readers and keyboards need; a roster of a thousand."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from conftest import SCHEMES, Scheme, check, opened, shoot
from playwright.sync_api import Browser, Page, Route, expect
from support.venue_service import Service, account, running, snapshot
from support.watching import World, until

from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Log
from zkmargin.agent.config import read_config
from zkmargin.agent.page import Page as ServedPage
from zkmargin.cli import main

#: Accounts of a large venue.
MANY = 1000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("access") / "service") as one:
        one.settle_in("alice", "bob")
        with one.client("alice") as alice:
            for _ in range(2):
                alice.submit(account("alice").answer(alice.challenge("alice", lifetime_seconds=600), snapshot()))
        yield one


def enter(page: Page, service: Service) -> None:
    page.get_by_label("Token of an auditor or operator").fill(service.tokens["auditor"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("live")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_dashboard(browser: Browser, service: Service, scheme: Scheme) -> None:
    with opened(browser, scheme, service.url) as page:
        check(page, f"dashboard-entrance-{scheme}")
        enter(page, service)
        check(page, f"dashboard-roster-{scheme}")
        page.get_by_role("button", name="alice").click()
        expect(page.get_by_role("heading", name="Account alice")).to_be_focused()
        check(page, f"dashboard-account-{scheme}")
        page.set_viewport_size({"width": 360, "height": 800})  # a telephone
        check(page, f"dashboard-narrow-{scheme}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, "the page itself is wider than a telephone"


def test_everything_is_reached_by_tab_and_said_by_name(browser: Browser, service: Service) -> None:
    """From the top of the page on: what has the keyboard shows it, and has a role and a name."""
    with opened(browser, "light", service.url) as page:
        enter(page, service)
        page.get_by_role("button", name="alice").press("Enter")
        expect(page.get_by_role("heading", name="Account alice")).to_be_focused()
        tab = page.locator("body")
        page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
        reached: list[tuple[str, str]] = []
        for _ in range(40):
            page.keyboard.press("Tab")
            found = page.evaluate(
                """() => {
                    const one = document.activeElement, look = getComputedStyle(one);
                    if (one === document.body) return null;
                    const by = one.getAttribute("aria-labelledby");
                    const name = one.getAttribute("aria-label") || (by && document.getElementById(by).textContent)
                        || (one.labels && one.labels.length ? one.labels[0].textContent : one.textContent);
                    return [one.tagName, name.trim(), look.outlineStyle !== "none" && look.outlineWidth !== "0px"];
                }"""
            )
            if found is None:
                break
            element, name, visible = found
            assert name, f"a {element} without a name"
            assert visible, f"nobody sees that {name} has the keyboard"
            reached.append((element, name))
        names = [name for _, name in reached]
        wanted = ["Skip to the accounts", "Show", "alice", "bob", "Back to all accounts", "Accepted proofs"]
        assert [name for name in names if name in wanted] == wanted  # and in the order in which they are read
        receipts = page.get_by_label("Save the receipt of").count()  # two, and those of tests that came before
        assert sum(name.startswith("Save the receipt of") for name in names) == receipts >= 2
        said = tab.aria_snapshot()
        for line in ('heading "Accounts" [level=2]', 'rowheader "alice"', 'columnheader "Due at"', "status: live"):
            assert line in said, said
        assert re.search(r'img "\d of \d snapshots? proven', said)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_verifier_page(browser: Browser, tmp_path: Path, scheme: Scheme) -> None:
    assert main(["page", "-o", str(tmp_path / "verify.html")]) == 0
    assert main(["demo", "--folder", str(tmp_path / "demo")]) == 0
    with opened(browser, scheme, f"file://{tmp_path / 'verify.html'}") as page:
        check(page, f"verifier-empty-{scheme}")
        page.locator("input[type=file]").first.set_input_files(next((tmp_path / "demo").glob("*bundle*.json")))
        page.wait_for_selector("#checks li", timeout=60_000)
        check(page, f"verifier-bundle-{scheme}")


def test_a_thousand_accounts(browser: Browser, service: Service) -> None:
    """One that changes is one row that is drawn anew: the others, and the keyboard's place, stay as they are."""
    headers = {"authorization": f"Bearer {service.tokens['auditor']}"}
    roster = httpx.get(f"{service.url}/v1/accounts", headers=headers).json()
    pattern = next(one for one in roster["accounts"] if one["account"] == "alice")
    many = [copy.deepcopy(pattern) | {"account": f"account {number:04d}"} for number in range(MANY)]

    def answer(route: Route) -> None:
        route.fulfill(json=roster | {"accounts": many})

    with opened(browser, "light", service.url) as page:
        page.route("**/v1/accounts", answer)
        enter(page, service)
        rows = page.locator("#roster tbody tr")
        expect(rows).to_have_count(MANY)
        page.get_by_role("button", name="account 0500").focus()
        page.evaluate(
            """() => {
                window.drawn = 0; window.longest = 0;
                new MutationObserver((all) => { for (const one of all) window.drawn += one.addedNodes.length; })
                    .observe(document.querySelector("#roster tbody"), { childList: true });
                new PerformanceObserver((all) => {
                    for (const one of all.getEntries()) window.longest = Math.max(window.longest, one.duration);
                }).observe({ entryTypes: ["longtask"] });
            }"""
        )
        many[500]["proofs"], many[700]["state"] = 77, "late"
        with service.client("alice") as alice:  # an event
            alice.challenge("alice")
            alice.submit(account("alice").answer(alice.challenge("alice", lifetime_seconds=600), snapshot()))
        expect(rows.nth(500)).to_contain_text("77")
        expect(rows.nth(700)).to_contain_text("late")
        assert page.evaluate("window.drawn") == 2
        expect(page.get_by_role("button", name="account 0500")).to_be_focused()
        print(f"the longest that the page did nothing else: {page.evaluate('window.longest')} ms")
        page.get_by_label("Show", exact=True).select_option("late")
        expect(rows).to_have_count(1)
        shoot(page, "dashboard-thousand")


# --- the maker's own page ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an agent's page: two snapshots proven, alarms, a file of fills that it cannot read."""
    world = World(tmp_path_factory.mktemp("own"))
    extra = ["[alarms]", 'headroom = "99999999"', "expiry_seconds = 172800"]
    agent = Agent(read_config(str(world.config(extra=extra))), Log(None))
    agent.start()
    for number in (1, 2):
        world.publish(world.moved(number, factor=f"1.0{number}"), number)
        until(partial(proven, agent, world, number), 240)  # the first may compile kernels
    page = ServedPage(agent.status, world.home / "state", 0)
    page.start()
    yield page.address
    page.close()
    agent.close()


def proven(agent: Agent, world: World, number: int) -> bool:
    agent.turn(0.05)
    return len(world.proofs()) == number


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_makers_page(browser: Browser, own: str, scheme: Scheme) -> None:
    with opened(browser, scheme, own) as page:
        expect(page.get_by_role("heading", name="3 alarms")).to_be_visible()
        expect(page.get_by_role("status")).to_contain_text("as of")
        check(page, f"own-{scheme}")
        for one in page.locator("details").all():
            one.evaluate("(one) => { one.open = true; }")
        page.set_viewport_size({"width": 360, "height": 800})  # a telephone
        check(page, f"own-narrow-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
