"""The page's tests use the helpers of tests/: the golden vectors, the second verifier, the lab."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
AXE = HERE.parent / "node_modules" / "axe-core" / "axe.min.js"
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
#: What each test shows at its end, for people to look at. ``ZKMARGIN_SCREENSHOTS`` names another folder.
SHOTS = Path(os.environ.get("ZKMARGIN_SCREENSHOTS") or HERE.parents[1] / "build" / "screenshots")
for folder in (HERE.parents[1] / "tests", HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def shoot(page: Page, name: str) -> None:
    """A screenshot of the whole page, with something on it."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 4000, "nothing is on it"


def check(page: Page, name: str) -> None:
    """Nothing that axe finds wrong, by WCAG 2.2 AA and by what is good practice."""
    page.evaluate(AXE.read_text())  # not by a script of the page: its content security policy forbids that
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert found["passes"], "it looked at nothing"
    bad = [(one["id"], one["help"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
    shoot(page, f"access-{name}")
    assert bad == [], name


@contextmanager
def opened(browser: Browser, scheme: Scheme, url: str, **more: Any) -> Iterator[Page]:
    """A page in a colour scheme."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1100, "height": 900}, **more)
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "the page is tested in Chromium: apt install chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()
