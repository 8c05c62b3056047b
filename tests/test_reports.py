"""Reports as pages: every number is in them, a table behind every chart, nothing fetched, texts escaped."""

from __future__ import annotations

import builtins
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.command_line import Run
from support.typed import Passed

from zkmargin.accounts import commit_book
from zkmargin.app.margins import explain_margin
from zkmargin.app.reports import acceptance_page, maker_page
from zkmargin.app.reports.accepted import proven
from zkmargin.app.reports.charts import bars, waterfall
from zkmargin.app.reports.maker import waterfall_of
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.explain import parse_trades
from zkmargin.engine.margin import largest_decimal
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import SetupError, save_document
from zkmargin.ledger import Ledger
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Challenge, accept

NOW_MS = 1_767_323_100_000
VOID = ("meta", "path", "use", "rect", "line", "polyline")


class Tags(HTMLParser):
    """Which elements a page has, closed in order; what they refer to, and their names."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.references: list[str] = []
        self.names: list[str] = []
        self.feed(page.decode())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.references += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.names += [str(value) for name, value in attrs if name == "id"]


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"))


@pytest.fixture(scope="module")
def book() -> Book:
    return Book.model_validate(example_book(example_market("2026-01-02T03:04:05Z")))


@pytest.fixture(scope="module")
def page(snapshot: Snapshot, book: Book) -> bytes:
    """The whole report: two books, trades, the array."""
    lots = to_lots(book, snapshot)
    half = BookLots(tuple(x // 2 for x in lots.positions), (0,) * len(lots.collateral))
    rest = BookLots(tuple(a - b for a, b in zip(lots.positions, half.positions, strict=True)), lots.collateral)
    trades = parse_trades(["+5 BTC-PERPETUAL"], snapshot)
    explained = explain_margin(snapshot, {"a": half, "<b>": rest}, trades=trades, with_array=True)
    return maker_page(explained, lots)


def test_a_makers_page_is_whole_and_fetches_nothing(page: bytes) -> None:
    tags = Tags(page)
    assert tags.seen.count("figure") == tags.seen.count("details") >= 15
    assert tags.seen.count("svg") == tags.seen.count("figure")
    assert {tag for tag in tags.seen if tag in ("script", "img", "link", "iframe", "b", "object")} == set()
    assert [name for name in tags.references if not name.startswith("#")] == []
    assert {name[1:] for name in tags.references} <= set(tags.names)
    assert len(set(tags.names)) == len(tags.names)
    assert re.findall(rb"url\((?!#)", page) == []
    for words in (b"Isolated", b"What if", b"&lt;b&gt;", b"@media print", b"SECRET"):
        assert words in page


def test_its_numbers_are_the_reports(snapshot: Snapshot, book: Book, page: bytes) -> None:
    explained = explain_margin(snapshot, {"": to_lots(book, snapshot)}, with_array=True)
    report = explained.report
    text = page.decode().replace(",", "")
    for amount in (
        report.total,
        report.equity.total,
        report.comparison.cross,
        *(leg.contribution for leg in report.legs),
    ):
        whole, part = divmod(abs(amount), 10**13)
        assert f"{whole}" + (f".{part:013d}".rstrip("0") if part else "") in text
    assert all(row.label in page.decode() for row in explained.array or ())
    largest = largest_decimal(report.largest_claim)
    assert largest is not None
    assert f">{largest}<" in page.decode()  # as a decimal that can be typed back


@pytest.mark.parametrize("policy", ["default", "paradex", "tims"])
def test_the_waterfall_adds_up_to_the_requirement(policy: str) -> None:
    market = example_market("2026-01-02T03:04:05Z")
    terms = load_policy(policy)
    market = market.model_copy(update={"assets": tuple(a for a in market.assets if a.name in terms.haircuts.assets)})
    snapshot = build_snapshot(market, terms)
    lots = to_lots(Book(positions=Book.model_validate(example_book(market)).positions), snapshot)
    for requirement in ("initial", "maintenance"):
        report = explain_margin(snapshot, {"": lots}, requirement).report
        assert sum(amount for _, _, amount in waterfall_of(report)) == report.total


def test_the_same_numbers_give_the_same_chart() -> None:
    one, two = waterfall(["a", "b"], [3.0, -1.0], "sum"), waterfall(["a", "b"], [3.0, -1.0], "sum")
    assert one == two
    assert "<script" not in bars(["<script>"], [1.0])
    assert "$a$" in bars(["$a$"], [1.0])  # a name, not mathematics
    assert one.startswith("<svg")


def test_without_matplotlib_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Passed) -> Passed:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SetupError, match="charts need matplotlib") as caught:
        bars(["a"], [1.0])
    assert "zkmargin[plot]" in str(caught.value.hint)


# --- of a ledger ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ledger_path(snapshot: Snapshot, book: Book, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two accounts: one proven at two snapshots six hours apart, one at the first alone, its name hostile."""
    path = tmp_path_factory.mktemp("reports") / "ledger.db"
    later = build_snapshot(example_market("2026-01-02T09:04:05Z"), load_policy("default"))
    lots = to_lots(book, snapshot)
    with Ledger(path) as ledger:
        for taken, alias in ((snapshot, "maker"), (later, "maker"), (snapshot, "<img src=x>")):
            opening = commit_book(taken, lots, alias=alias)
            statement = Statement.of(taken, [opening.commitment()], Claim(), context=alias.encode())
            proof = prove(statement, lots, [opening])
            ledger.record(accept(statement, proof, now_ms=NOW_MS + 1000, known=ledger))
        ledger.issue(Challenge.new("desk", lifetime_seconds=60, now_ms=NOW_MS))
    return path


def test_accounts_their_snapshots_and_the_largest_gap(ledger_path: Path) -> None:
    with Ledger(ledger_path, read_only=True) as ledger:
        found = {account.alias: account for account in proven(ledger)}
        assert found["maker"].largest_gap_ms == 6 * 3_600_000
        assert found["<img src=x>"].largest_gap_ms is None
        page = acceptance_page(ledger, now_ms=found["maker"].times[-1] + 3_600_000, due_seconds=7_200, audit=False)
    tags = Tags(page)
    text = page.decode()
    assert tags.seen.count("figure") == 1
    assert "img" not in tags.seen
    assert text.count("OVERDUE") == 1  # seven hours old; the other one is an hour old
    assert "6.0 h" in text
    assert "one snapshot alone" in text
    assert "nobody: accepted without a trust file" in text
    assert "Challenges that nobody answered" in text
    assert "says nothing about the time between" in text


def test_an_auditors_page_derives_everything_again(ledger_path: Path, tmp_path: Path) -> None:
    import sqlite3

    with Ledger(ledger_path, read_only=True) as ledger:
        page = acceptance_page(ledger, now_ms=NOW_MS, due_seconds=60, audit=True).decode()
        digests = [entry.statement for entry in ledger.entries()]
    assert "Proofs that verify</td><td>3" in page
    assert "Things that are wrong</td><td>0" in page
    assert all(digest in page for digest in digests)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(ledger_path.read_bytes())
    connection = sqlite3.connect(damaged)
    connection.execute("update proofs set accepted_ms = accepted_ms + 1 where id = 1")
    connection.commit()
    connection.close()
    with Ledger(damaged, read_only=True) as ledger:
        page = acceptance_page(ledger, now_ms=NOW_MS, due_seconds=60, audit=True).decode()
    assert "Things that are wrong</td><td>0" not in page


def test_the_commands(
    snapshot: Snapshot,
    book: Book,
    ledger_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_document(snapshot, tmp_path / "snapshot.json")
    save_document(book, tmp_path / "book.json")
    run = Run(capsys, one_error=True)
    own = "report maker book.json --snapshot snapshot.json"
    assert "secret, as the book is" in run(f"{own} -o page.html").out
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o600
    assert "exists" in run(f"{own} -o page.html", code=2).err
    assert "not a trade" in run(f"{own} --add tea -o other.html", code=2).err
    assert "is an input" in run(f"{own} -o book.json", code=2).err
    run("report venue -o venue.html --due-after 1h --ledger", ledger_path)
    run("report auditor -o audit.html --ledger", ledger_path)
    assert "64 hexadecimal" in run("report auditor -o x.html --head zz --ledger", ledger_path, code=2).err
    assert "none.db" in run("report venue -o x.html --ledger none.db", code=2).err
    assert not (tmp_path / "x.html").exists()
