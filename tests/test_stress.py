"""The margin simulator: the point that does not move is the report, lines are lines, expiries pay."""

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkmargin.cli import main
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.margin import margin_report
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, save_document
from zkmargin.risk.history import History
from zkmargin.risk.stress import Holding

TIME = "2026-11-20T12:00:00Z"


@pytest.fixture(scope="module")
def market() -> Market:
    return example_market(TIME)


@pytest.fixture(scope="module")
def snapshot(market: Market) -> Snapshot:
    return build_snapshot(market, load_policy("default"))


def lots_of(snapshot: Snapshot, positions: dict[str, int], usdc: int = 0) -> BookLots:
    assets = [slot.asset for slot in snapshot.collateral]
    return BookLots(
        tuple(positions.get(slot.id, 0) for slot in snapshot.instruments),
        tuple(100 * usdc if asset == "USDC" else 0 for asset in assets),
    )


@settings(max_examples=10)
@given(st.data())
def test_where_nothing_moves_the_point_is_the_report(market: Market, snapshot: Snapshot, data: st.DataObject) -> None:
    ids = data.draw(
        st.lists(st.sampled_from([s.id for s in snapshot.instruments]), min_size=1, max_size=5, unique=True)
    )
    lots = lots_of(snapshot, {name: data.draw(st.integers(-50, 50).filter(bool)) for name in ids}, 10_000)
    requirement = data.draw(st.sampled_from(["initial", "maintenance"]))
    report = margin_report(snapshot, lots, requirement)
    point = Holding(market, snapshot.policy, lots, cash="USDC", requirement=requirement).at("now")
    assert (point.equity, point.requirement, point.surplus) == (report.equity.total, report.total, report.surplus)


def test_a_perpetual_is_a_line(market: Market, snapshot: Snapshot) -> None:
    holding = Holding(market, snapshot.policy, lots_of(snapshot, {"BTC-PERPETUAL": 1_000}, 50_000), cash="USDC")
    row = holding.grid([-2_000, 0, 2_000], [0, 5_000])
    mark = Fraction(next(i.mark_price for i in market.instruments if i.id == "BTC-PERPETUAL") or "0")
    for points in row:
        for move, point in zip((-1, 0, 1), points, strict=True):
            # one BTC: a fifth of its price is gained or lost, to a lot of cash; 30 % of what it is then is required
            gained = (point.equity - 50_000 * 10**13) / Fraction(10**13)
            assert abs(gained - move * mark / 5) <= Fraction(1, 100)
            asked = point.requirement / Fraction(10**13)
            assert abs(asked - mark * Fraction(3, 10) * (1 + Fraction(move, 5))) < Fraction(1, 100)


def test_options_that_expire_on_the_way_are_paid_out(market: Market, snapshot: Snapshot) -> None:
    option = next(
        i for i in market.instruments if i.kind == "option" and i.option_type == "put" and i.settlement == "linear"
    )
    forward = Fraction(market.forward_of(option).price)
    strike = Fraction(option.strike or "0")
    deep = next(
        i
        for i in market.instruments
        if i.kind == "option"
        and i.expiry == option.expiry
        and i.underlying == option.underlying
        and i.option_type == "put"
        and Fraction(i.strike or "0") > forward
    )
    holding = Holding(market, snapshot.policy, lots_of(snapshot, {deep.id: 10, option.id: 10}, 1_000), cash="USDC")
    points = holding.over_days(90)
    last = points[-1]
    paid = sum(
        max(Fraction(i.strike or "0") - forward, Fraction(0)) * 10 * Fraction(i.lot) * Fraction(i.multiplier)
        for i in (deep, option)
    )
    assert last.requirement == 0
    assert abs(last.equity / Fraction(10**13) - 1_000 - paid) <= Fraction(1, 50)
    assert strike > 0
    assert points[0].label == "day 0"
    assert len(points) == 91


def test_along_a_history_the_last_day_is_now(market: Market, snapshot: Snapshot) -> None:
    lots = lots_of(snapshot, {"BTC-PERPETUAL": 100, "ETH-PERPETUAL": -1_000}, 10_000)
    holding = Holding(market, snapshot.policy, lots, cash="USDC")
    history = History.parse("date,BTC,ETH\n2026-01-01,90,10\n2026-01-02,100,12\n2026-01-03,120,11\n")
    points = holding.along(history, 2)
    assert [point.label for point in points] == ["2026-01-02", "2026-01-03"]
    now = holding.at("now")
    assert (points[1].equity, points[1].requirement) == (now.equity, now.requirement)
    other = holding.at("x", {"BTC": Fraction(100, 120), "ETH": Fraction(12, 11)})
    assert (points[0].equity, points[0].requirement) == (other.equity, other.requirement)
    with pytest.raises(InputError, match="no underlying"):
        holding.along(History.parse("date,DOGE\n2026-01-01,90\n2026-01-02,100\n"), 2)
    with pytest.raises(InputError, match="no such asset"):
        Holding(market, snapshot.policy, lots, cash="DOGE")
    with pytest.raises(InputError, match="another number"):
        Holding(market, snapshot.policy, BookLots((1,), ()), cash="USDC")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, market: Market, snapshot: Snapshot) -> Path:
    save_document(market, tmp_path / "market.json")
    save_document(snapshot, tmp_path / "snapshot.json")
    book = Book(positions={"BTC-PERPETUAL": "1", "ETH-PERPETUAL": "-3"}, collateral={"USDC": "90000"})
    assert to_lots(book, snapshot)
    assert example_book(market)
    save_document(book, tmp_path / "book.json")
    (tmp_path / "closes.csv").write_text("date,BTC\n2026-01-01,90\n2026-01-02,100\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_says_every_point_and_writes_a_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "stress book.json --snapshot snapshot.json --market market.json --moves -10,0 --vols 0 --days 1"
    assert main([*line.split(), "--history", "closes.csv", "--html", "page.html"]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"(?m)^ .*(?: +-?[0-9,]+\.[0-9]{2}){3} *$", out)) == 2 + 2 + 2
    assert "price -10 %, vol +0 %" in out
    page = folder / "page.html"
    assert page.stat().st_mode & 0o077 == 0
    assert page.read_text().count("<svg") == 4
    assert main([*line.split(), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["grid"][0]) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--moves", "x"), "--moves: not whole per cent"),
        (("--moves=-100",), "above -100"),
        (("--vols", "1000"), "at most 900"),
        (("--history", "book.json"), "book.json"),
    ],
)
def test_bad_inputs_get_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], words: str
) -> None:
    assert main(["stress", "book.json", "--snapshot", "snapshot.json", "--market", "market.json", *more]) == 2
    assert words in capsys.readouterr().err.splitlines()[0]
    assert folder.exists()
