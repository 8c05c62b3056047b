"""The page that ships, in Chromium: bundles and files dropped, ticks and named failures read, nothing sent."""

from __future__ import annotations

import base64
import gzip
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import shoot
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from zkmargin.app.page import PAGE_DIGEST, verifier_page
from zkmargin.cli import main
from zkmargin.formats import keccak256


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "demo"
    assert main(["demo", "--folder", str(folder)]) == 0
    return folder


@pytest.fixture
def page(browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, opened from a file as a user does. Fails the test if it says anything or asks for anything."""
    assert main(["page", "-o", str(tmp_path / "verify.html")]) == 0
    context = browser.new_context(viewport={"width": 1100, "height": 1250})
    made = context.new_page()
    said: list[str] = []
    asked: list[str] = []

    def note(message: ConsoleMessage) -> None:
        said.append(message.text)

    def count(wanted: Request) -> None:
        asked.append(wanted.url)

    made.on("console", note)
    made.on("pageerror", lambda error: said.append(str(error)))
    made.on("request", count)
    made.goto(f"file://{tmp_path / 'verify.html'}")
    yield made
    shoot(made, f"page-{request.node.originalname}")
    context.close()
    assert asked == [f"file://{tmp_path / 'verify.html'}"]
    assert said == []


def drop(page: Page, zone: str, *paths: Path) -> None:
    """Drop files on a zone, as a mouse does."""
    files = [{"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in paths]
    page.evaluate(
        """([zone, files]) => {
            const dataTransfer = new DataTransfer();
            for (const { name, data } of files) {
                const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                dataTransfer.items.add(new File([bytes], name));
            }
            document.getElementById(zone).dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        }""",
        [zone, files],
    )


def result(page: Page, verdict: str) -> dict[str, list[str]]:
    """What the page says, once it says this: names of checks by their state."""
    page.wait_for_selector(f"#result.{verdict}", timeout=60_000)
    found: dict[str, list[str]] = {}
    for item in page.query_selector_all("#checks li"):
        found.setdefault(str(item.get_attribute("class")), []).append(item.inner_text())
    return found


def test_the_demos_bundle_is_checked_and_then_accepted(page: Page, demo: Path) -> None:
    """Without a trust file every check of the proof has its tick, and nothing is authenticated; with it, accepted."""
    drop(page, "given-zone", demo / "bundle.json")
    seen = result(page, "unauthenticated")
    assert len(seen["passed"]) == 8
    assert [text.splitlines()[1].split(":")[0] for text in seen["skipped"]] == ["Signatures", "Challenge"]
    assert "Nothing is authenticated" in page.inner_text("#lacking")
    assert "equity is at least the initial margin requirement" in page.inner_text("#facts")
    assert "whose commitments these are" in page.inner_text("#not-guaranteed")
    drop(page, "mine-zone", demo / "trust.json", demo / "challenge.json")
    seen = result(page, "accepted")
    assert len(seen["passed"]) == 10
    assert "attested by 'venue'" in page.inner_text("#facts")
    assert page.inner_text("#verdict") == "Accepted"
    assert page.get_attribute("#checks li:first-child .mark", "aria-label") == "passed"


def test_files_in_the_place_of_a_bundle(page: Page, demo: Path) -> None:
    names = ("answer.bin", "snapshot.json", "commitment.json", "oracle.json", "venue.json", "custodian.json")
    drop(page, "mine-zone", demo / "trust.json", demo / "challenge.json")
    drop(page, "given-zone", *(demo / name for name in names))
    result(page, "accepted")
    page.click("summary")
    page.fill("#ratio", "1.01")
    page.keyboard.press("Tab")
    assert "the pairing check fails" in result(page, "rejected")["failed"][0]
    assert page.inner_text("#asked") == "at least 1.01 of the initial requirement"
    page.click("#clear")
    assert page.is_hidden("#result")


def edited(demo: Path, tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(json.loads((demo / "bundle.json").read_text()) | changes))
    return path


def test_each_failure_has_its_name(page: Page, demo: Path, tmp_path: Path) -> None:
    good = json.loads((demo / "bundle.json").read_text())
    proof = good["proof"]
    wrong: dict[str, tuple[Path, str]] = {
        "a secret file": (demo / "book.json", "a SECRET file"),
        "no JSON": (demo / "DEMO.txt", "not JSON"),
        "another market": (edited(demo, tmp_path, source=good["source"] | {"notes": ["x"]}), "the market inside"),
    }
    for name, (path, reason) in wrong.items():
        drop(page, "given-zone", path)
        assert reason in result(page, "rejected")["failed"][0], name
        page.click("#clear")
    flipped = edited(demo, tmp_path, proof=proof[:1200] + ("A" if proof[1200] != "A" else "B") + proof[1201:])
    drop(page, "given-zone", flipped)
    assert result(page, "rejected")["failed"][0].splitlines()[1].startswith("Proof:")
    assert page.is_hidden("#proved")


def test_a_trust_file_and_a_challenge_in_the_bundle_are_no_authority(page: Page, demo: Path, tmp_path: Path) -> None:
    """Of another verifier's challenge the page says so; what the bundle holds of both is never looked at."""
    assert main(["challenge", "new", "--audience", "clearing desk", "-o", str(tmp_path / "other.json")]) == 0
    drop(page, "given-zone", demo / "bundle.json")
    drop(page, "mine-zone", demo / "trust.json", tmp_path / "other.json")
    assert "its context is another than yours" in result(page, "rejected")["failed"][0]
    page.click("#clear")
    drop(page, "given-zone", edited(demo, tmp_path, attestations=[]))
    drop(page, "mine-zone", demo / "trust.json", demo / "challenge.json")
    assert "nobody signed the snapshot" in result(page, "rejected")["failed"][0]


def test_text_from_files_stays_text(page: Page, demo: Path, tmp_path: Path) -> None:
    good = json.loads((demo / "bundle.json").read_text())
    image = "<img src=x onerror=alert(1)>"
    (part, other) = good["commitments"][0]["parts"]
    commitment = good["commitments"][0] | {"parts": [part | {"alias": image}, other | {"alias": image}]}
    named = tmp_path / "evil <b>.json"
    edited(demo, tmp_path, commitments=[commitment], attestations=[]).rename(named)
    drop(page, "given-zone", named)
    result(page, "rejected")
    assert page.query_selector("main img, main b") is None
    assert "evil <b>.json" in page.inner_text("#given-files")


def test_the_page_cannot_reach_anything(page: Page) -> None:
    """Its content security policy forbids what it does not do anyway."""
    policy = page.get_attribute('meta[http-equiv="Content-Security-Policy"]', "content") or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    text = verifier_page()
    assert keccak256(text) == PAGE_DIGEST
    assert len(gzip.compress(text)) <= 200_000
    assert [
        word for word in ("fetch(", "XMLHttpRequest", "WebSocket", "eval(", "import(") if word.encode() in text
    ] == []


def test_keyboard_alone(page: Page, demo: Path) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "given"
    page.set_input_files("#given", demo / "bundle.json")
    result(page, "unauthenticated")


def test_how_long_it_takes(page: Page, demo: Path, record_property: Any) -> None:
    """Measured, never asserted: a test's machine is nobody's."""
    spent = []
    for _ in range(12):
        page.click("#clear")
        drop(page, "given-zone", demo / "bundle.json")
        result(page, "unauthenticated")
        spent.append(float(page.inner_text("#time").split()[0]))
    warm = statistics.median(spent[4:])
    record_property("first_ms", spent[0])
    record_property("warm_ms", warm)
    print(f"the demo's bundle: {spent[0]:.0f} ms the first time, {warm:.0f} ms warm (median of {len(spent) - 4})")
