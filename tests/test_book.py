import json
import stat
from pathlib import Path

import pytest
from support.typed import Json, Passed

from zkmargin.engine.book import Book, BookLots, load_book, to_lots
from zkmargin.engine.market import Asset, Instrument, Market, Underlying
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, save_document


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    market = Market(
        time="2026-01-01T00:00:00Z",
        underlyings=(Underlying(name="BTC", index_price="90000"), Underlying(name="ETH", index_price="3000")),
        instruments=(
            Instrument(id="BTC-PERP", kind="perpetual", underlying="BTC", lot="0.1"),
            Instrument(id="ETH-PERP", kind="perpetual", underlying="ETH", lot="0.25"),
            Instrument(id="BTC", kind="spot", underlying="BTC", lot="0.001"),
        ),
        assets=(Asset(name="USDC", price="1", lot="0.01"), Asset(name="BTC", price="90000", lot="0.00001")),
    )
    return build_snapshot(market, load_policy("default"))


def book_text(positions: Json = None, collateral: Json = None) -> str:
    return json.dumps(
        {"format": "zkmargin/book/v1", "positions": positions or {}, "collateral": collateral or {}}, indent=1
    )


def lots_of(snapshot: Snapshot, **parts: Passed) -> BookLots:
    text = book_text(**parts)
    return to_lots(Book.parse(text, file="book.json"), snapshot, text, "book.json")


def test_a_book_is_counted_in_lots_in_the_order_of_the_slots(snapshot: Snapshot) -> None:
    lots = lots_of(
        snapshot,
        positions={"ETH-PERP": "-12.75", "BTC-PERP": "3", "BTC": "0.002"},
        collateral={"BTC": "3.25", "USDC": "-250000.01"},
    )
    assert lots == BookLots((30, -51, 2), (-25_000_001, 325_000))
    assert lots_of(snapshot) == BookLots((0, 0, 0), (0, 0))
    assert lots_of(snapshot, positions={"BTC-PERP": "0"}).positions == (0, 0, 0)


def test_a_book_from_a_file(snapshot: Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    save_document(Book(positions={"BTC-PERP": "1.5"}, collateral={"USDC": "7"}), path)
    assert load_book(path, snapshot) == BookLots((15, 0, 0), (700, 0))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("parts", "reason", "line"),
    [
        ({"positions": {"BTC-PERP": "1", "ETH-PERP": "0.3"}}, "positions.ETH-PERP: not a multiple of the lot, 0.25", 5),
        ({"positions": {"BTC-PERP": "NaN"}}, "positions.BTC-PERP: not a decimal number", 4),
        ({"positions": {"BTC-PERP": "1e3"}}, "positions.BTC-PERP: not a decimal number", 4),
        ({"positions": {"BTC-PERP": ""}}, "positions.BTC-PERP: not a decimal number", 4),
        ({"positions": {"BTC-PREP": "1"}}, "positions.BTC-PREP: no such instrument in the snapshot", 4),
        ({"collateral": {"DOGE": "1"}}, "collateral.DOGE: no such asset in the snapshot", 5),
        ({"collateral": {"BTC": "-0.1"}}, "collateral.BTC: negative, and the policy allows no negative", 5),
        ({"collateral": {"USDC": "0.001"}}, "collateral.USDC: not a multiple of the lot, 0.01", 5),
        # The name stands on line 4 too, as a position.
        ({"positions": {"BTC": "1"}, "collateral": {"BTC": "-1"}}, "collateral.BTC: negative", 7),
    ],
)
def test_errors_name_file_line_field_and_reason(snapshot: Snapshot, parts: Json, reason: str, line: int) -> None:
    with pytest.raises(InputError) as caught:
        lots_of(snapshot, **parts)
    assert str(caught.value).startswith(f"book.json:{line}: {reason}")


def test_unknown_names_come_with_the_closest(snapshot: Snapshot) -> None:
    with pytest.raises(InputError) as caught:
        lots_of(snapshot, positions={"BTC-PREP": "1"})
    assert "BTC-PERP" in (caught.value.hint or "")
    with pytest.raises(InputError) as caught:
        lots_of(snapshot, positions={"???": "1"})
    assert caught.value.hint is None


def test_bounds_are_exact(snapshot: Snapshot) -> None:
    assert snapshot.layout.position_bits == 30
    most = (1 << 30) - 1
    assert lots_of(snapshot, positions={"ETH-PERP": str(most * 0.25)}).positions[1] == most
    assert lots_of(snapshot, positions={"ETH-PERP": str(-most * 0.25)}).positions[1] == -most
    for sign in ("", "-"):
        with pytest.raises(InputError, match=r"positions.ETH-PERP: too large: the bound is 2\^30 lots of 0.25"):
            lots_of(snapshot, positions={"ETH-PERP": f"{sign}{1 << 28}"})


def test_errors_and_reprs_never_show_an_amount(snapshot: Snapshot) -> None:
    for quantity in ("123456.789", "98765e3", "123456789123456789"):
        with pytest.raises(InputError) as caught:
            lots_of(snapshot, positions={"BTC-PERP": quantity})
        assert quantity not in f"{caught.value}{caught.value.hint}"
    book = Book(positions={"BTC-PERP": "7777"}, collateral={"USDC": "8888"})
    assert repr(book) == str(book) == "Book(1 positions, 1 balances)"
    lots = BookLots((7777,), (8888,))
    assert repr(lots) == str(lots) == "BookLots(1 slots, 1 assets)"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"format": "zkmargin/book/v1", "positions": {"A": 1}}', "valid string"),
        ('{"format": "zkmargin/book/v1", "positions": {"A": "1", "A": "2"}}', "the key appears twice"),
        ('{"format": "zkmargin/book/v1", "position": {}}', "unknown key"),
        ('{"format": "zkmargin/book/v2", "positions": {}}', "another version"),
        ('{"positions": {}}', 'no "format" line'),
        ("[]", "JSON object"),
    ],
)
def test_books_that_are_no_books_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Book.parse(text, file="book.json")
