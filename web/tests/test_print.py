"""Reports as Chromium prints them: whole rows on every page, under their heads, nothing cut at the side."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SCHEMES, Scheme, check, opened, shoot
from playwright.sync_api import Browser, Page
from pypdf import PdfReader

from zkmargin import Claim, Statement, prove
from zkmargin.accounts import commit_book
from zkmargin.cli import main
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import save_document
from zkmargin.ledger import Ledger
from zkmargin.verifier.attest import accept

TIME = "2026-01-02T03:04:05Z"
#: Of a sheet: its size in points, and how wide it is between margins of 10 mm, in CSS pixels.
SHEETS = {"A4": ((595, 842), 718), "Letter": ((612, 792), 740)}
ACCOUNTS = 45


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A maker's, a venue's and an auditor's; the last of so many proofs that their table has several pages."""
    folder = tmp_path_factory.mktemp("reports")
    market = example_market(TIME)
    snapshot, book = (
        build_snapshot(market, load_policy("default"), domain_size=512),
        Book.model_validate(example_book(market)),
    )
    save_document(snapshot, folder / "snapshot.json")
    save_document(book, folder / "book.json")
    lots = to_lots(book, snapshot)
    with Ledger(folder / "ledger.db") as ledger:
        for number in range(ACCOUNTS):
            opening = commit_book(snapshot, lots, alias=f"maker with a long name, number {number}")
            statement = Statement.of(snapshot, [opening.commitment()], Claim(), context=f"{number}".encode())
            accepted = accept(
                statement, prove(statement, lots, [opening]), now_ms=parse_time(TIME) + 1000, known=ledger
            )
            ledger.record(accepted)
    where = ["--ledger", str(folder / "ledger.db")]
    own = ["report", "maker", str(folder / "book.json"), "--snapshot", str(folder / "snapshot.json")]
    assert main([*own, "--add", "+5 BTC-PERPETUAL", "-o", str(folder / "maker.html")]) == 0
    assert main(["report", "venue", *where, "--due-after", "1h", "-o", str(folder / "venue.html")]) == 0
    assert main(["report", "auditor", *where, "-o", str(folder / "auditor.html")]) == 0
    return folder


@pytest.fixture(params=["maker", "venue", "auditor"])
def page(browser: Browser, reports: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    found = browser.new_page()
    found.goto(f"file://{reports / request.param}.html")
    yield found
    shoot(found, f"report-{request.param}")
    found.close()


def plain(text: str) -> str:
    """Without what a line break adds, and with the letters that a ligature stands for."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


def tables(page: Page) -> list[dict[str, Any]]:
    """The head and the rows of each, as text."""
    found: list[dict[str, Any]] = page.evaluate(
        """() => [...document.querySelectorAll("table")].map((one) => ({
            head: [...one.tHead.rows[0].cells].map((cell) => cell.textContent).join(""),
            rows: [...one.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent).join("")),
        }))"""
    )
    return found


@pytest.mark.parametrize("sheet", SHEETS)
def test_nothing_is_cut(page: Page, sheet: str, tmp_path: Path) -> None:
    (width, height), wide = SHEETS[sheet]
    margin = dict.fromkeys(("top", "bottom", "left", "right"), "10mm")
    page.pdf(path=tmp_path / "report.pdf", format=sheet, margin=margin)  # type: ignore[arg-type]
    pages = PdfReader(tmp_path / "report.pdf").pages
    for one in pages:
        assert abs(one.mediabox.width - width) <= 1, one.mediabox
        assert abs(one.mediabox.height - height) <= 1, one.mediabox
    texts = [plain(one.extract_text()) for one in pages]
    assert all(texts[:-1]), "an empty page"
    for heading in page.locator("h1, h2").all_text_contents():
        assert any(plain(heading) in text for text in texts), heading
    at = 0
    for table in tables(page):
        where = []
        for row in table["rows"]:
            at = next((place for place in range(at, len(texts)) if plain(row) in texts[place]), -1)
            assert at >= 0, f"a row that is on no page as a whole: {row}"
            where.append(at)
        for place in set(where):  # each page of a table has its head
            assert plain(table["head"]) in texts[place], table["head"]
    # nothing reaches over the side: what is wider would be scrolled on a screen, and lost on paper
    page.emulate_media(media="print")
    page.set_viewport_size({"width": wide, "height": 1000})
    over = page.evaluate(
        """() => [...document.querySelectorAll("table, figure, svg, pre")]
            .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .map((one) => one.textContent.slice(0, 80))"""
    )
    assert over == []
    page.emulate_media(media="screen")


def test_a_long_table_goes_on_under_its_head(browser: Browser, reports: Path, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(f"file://{reports / 'auditor.html'}")
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    pages = PdfReader(tmp_path / "report.pdf").pages
    longest = max(tables(page), key=lambda one: len(one["rows"]))
    assert len(longest["rows"]) >= ACCOUNTS
    heads = sum(plain(longest["head"]) in plain(one.extract_text()) for one in pages)
    assert heads >= 2
    page.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["maker", "venue", "auditor"])
def test_axe_finds_nothing(browser: Browser, reports: Path, name: str, scheme: Scheme) -> None:
    with opened(browser, scheme, f"file://{reports / name}.html") as page:
        check(page, f"report-{name}-{scheme}")
        page.set_viewport_size({"width": 360, "height": 800})  # a telephone
        check(page, f"report-{name}-narrow-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
