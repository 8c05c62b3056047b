"""The page's tests use the helpers of tests/: the golden vectors, the second verifier, the lab."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "the page is tested in Chromium: apt install chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()
