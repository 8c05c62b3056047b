"""Importers of tickers: what is taken, what is left out by name, and one line for whatever is broken."""

from __future__ import annotations

import io
import json
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ticker_files import (
    CALL,
    FAR,
    HEADER,
    PUT,
    import_csv,
    import_json,
    json_tickers,
    notes,
    option,
    write_csv,
    write_json,
)

from zkmargin.engine.importers import ARRAY_FORMATS, FORMATS, import_market, tickers
from zkmargin.engine.importers.chain import COIN_LOTS, cent_lot
from zkmargin.engine.importers.tickers import median, plain_decimal, select_pull
from zkmargin.engine.market import Market
from zkmargin.formats import InputError


def test_the_registry_names_the_formats() -> None:
    assert {"csv", "deribit-csv", "deribit-json", "span-xml", "span-pa2"} <= set(FORMATS)
    assert set(FORMATS) >= ARRAY_FORMATS
    with pytest.raises(InputError, match="one of csv, deribit-json, deribit-csv"):
        import_market("x", "span-xml")


def test_an_option_of_the_csv(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [option(CALL), option(PUT, 250)])
    market = import_market(path, "deribit-csv", prices={"USDC": "0.9999"})
    assert market.time == "2023-11-14T22:13:20.250Z"
    assert [i.id for i in market.instruments] == [PUT, CALL]
    call = market.instruments[1]
    assert (call.kind, call.option_type, call.strike, call.settlement) == ("option", "call", "40000", "inverse")
    assert (call.expiry, call.implied_vol, call.lot, call.multiplier) == ("2023-11-24T08:00:00Z", "0.5525", "0.1", "1")
    assert call.time == "2023-11-14T22:13:20Z"
    assert market.underlying("BTC").index_price == "35900"
    assert [(a.name, a.price, a.lot) for a in market.assets] == [
        ("BTC", "35900", "0.00001"),
        ("USDC", "0.9999", "0.01"),
    ]
    assert "no futures or perpetuals" in notes(market)
    assert "synthetic" in notes(market)
    assert "USDC = 0.9999 USD was given by the caller" in notes(market)
    assert Market.parse(market.to_bytes()) == market


def test_without_a_stablecoin_price_the_notes_say_how_to_give_one(tmp_path: Path) -> None:
    market = import_csv(write_csv(tmp_path, [option(CALL)]))
    assert [a.name for a in market.assets] == ["BTC"]
    assert "a price given for USDC adds it" in notes(market)


def test_a_fractional_strike(tmp_path: Path) -> None:
    assert import_csv(write_csv(tmp_path, [option("BTC-24NOV23-0d625-P")])).instruments[0].strike == "0.625"


def test_the_last_complete_pull_is_the_default(tmp_path: Path) -> None:
    rows = [option(n, at, iv=iv) for at, iv in ((0, "50"), (200_000, "60")) for n in (CALL, PUT)]
    path = write_csv(tmp_path, rows)
    assert {i.implied_vol for i in import_csv(path).instruments} == {"0.6"}
    assert "2 pulls of 2, 2 rows (2 instruments): pull 2 is used, the last complete one" in notes(import_csv(path))
    assert {i.implied_vol for i in import_csv(path, pull=1).instruments} == {"0.5"}
    assert import_csv(path, pull=1).time == "2023-11-14T22:13:20Z"
    assert "pull 1 is used, as asked" in notes(import_csv(path, pull=1))
    with pytest.raises(InputError, match="there is no pull 3: the file holds 2 pulls"):
        import_csv(path, pull=3)
    with pytest.raises(InputError, match="there is no pull 0"):
        import_csv(path, pull=0)


def test_an_incomplete_last_pull_is_passed_over(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [option(CALL), option(PUT), option(CALL, 1000)])
    assert "pull 1 is used" in notes(import_csv(path))
    assert "pull 2 lacks 1 of the file's 2 instruments" in notes(import_csv(path, pull=2))


def test_a_repeated_row_in_the_middle_is_refused_not_resolved(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [option(CALL), option(PUT), option(PUT), option(FAR)])
    with pytest.raises(InputError, match="no pull is complete") as caught:
        import_csv(path)
    assert caught.value.hint is not None
    assert "choose one of the pulls" in caught.value.hint


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.one_of(st.none(), st.integers(-1, 5)))
def test_pulls_partition_the_rows(names: list[int], pull: int | None) -> None:
    """Against the obvious algorithm, which keeps everything."""
    pulls: list[dict[str, int]] = [{}]
    for row, name in enumerate(names):
        if str(name) in pulls[-1]:
            pulls.append({})
        pulls[-1][str(name)] = row
    complete = [p for p in pulls if len(p) == len(set(names))]
    expected = (
        (complete[-1] if complete else None) if pull is None else pulls[pull - 1] if 1 <= pull <= len(pulls) else None
    )
    rows = [(str(name), row) for row, name in enumerate(names)]
    if expected is None:
        with pytest.raises(InputError):
            select_pull(rows, pull, "f")
    else:
        assert select_pull(rows, pull, "f")[0] == expected


def test_the_forward_is_the_exact_median_and_the_spread_is_reported(tmp_path: Path) -> None:
    prices = ["36000.25", "36000.5", "36360.5", "36000"]
    rows = [option(f"BTC-24NOV23-{k}000-C", k, forward=f) for k, f in enumerate(prices, 30)]
    market = import_csv(write_csv(tmp_path, rows))
    assert market.forwards[0].price == "36000.375"
    assert "4 forwards from 36000 to 36360.5 (101 bp apart): the median 36000.375 is used" in notes(market)
    # As old as the older of the two quotes in the middle.
    assert market.forwards[0].time == "2023-11-14T22:13:20.030Z"


def test_the_newest_index_is_used_and_its_range_reported(tmp_path: Path) -> None:
    rows = [option(CALL, 9, index="35901.5"), option(PUT, 3, index="35950")]
    market = import_csv(write_csv(tmp_path, rows))
    assert market.underlying("BTC").index_price == "35901.5"
    assert "BTC index moved between 35901.5 and 35950: 35901.5, the newest, is used" in notes(market)


@given(st.lists(st.decimals(Decimal(1), Decimal(10**6), places=3), min_size=1, max_size=9))
def test_the_median_is_exact(values: list[Decimal]) -> None:
    ordered = sorted(map(Fraction, values))
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    got = [Fraction(text) for text in median([format(v, "f") for v in values])]
    assert got == [middle, ordered[0], ordered[-1]]


@pytest.mark.parametrize("iv", ["0", "0.0", ""])
def test_an_option_without_a_vol_is_left_out_by_name(tmp_path: Path, iv: str) -> None:
    priced = {**option(CALL, iv=iv), "mark_price": "0.05"}  # its intrinsic value is 0
    market = import_csv(write_csv(tmp_path, [priced, option(PUT)]))
    assert [i.id for i in market.instruments] == [PUT]
    assert f"{CALL}" in notes(market)
    assert "left out, " in notes(market)


def test_nothing_left_to_import_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no instrument that can be imported"):
        import_csv(write_csv(tmp_path, [option(CALL, iv="")]))
    with pytest.raises(InputError, match=r"can be imported \(left out, a spot pair: BTC_USDC\)"):
        import_csv(write_csv(tmp_path, [option("BTC_USDC")]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("BTC_USDC", "a spot pair"),
        ("BTC-FS-24NOV23_PERP", "a combo or spread"),
        ("BTC-CS-24NOV23-70000_75000", "a combo or spread"),
        ("BTC-BOX-24NOV23-58000_60000", "a combo or spread"),
        ("BTC-STRD-24NOV23-77000", "a combo or spread"),
        ("BTC_USDC-REV-24NOV23-37500", "a combo or spread"),
        ("XRP-PERPETUAL", "an inverse contract, but not of BTC or ETH"),
        ("AVAX_USDC-24NOV23-5d5-C", "its contract size is not known: add the answer of public/get_instruments"),
    ],
)
def test_what_is_not_imported_is_left_out_by_name(tmp_path: Path, name: str, reason: str) -> None:
    market = import_csv(write_csv(tmp_path, [option(CALL), option(name)]))
    assert [i.id for i in market.instruments] == [CALL]
    assert f"left out, {reason}" in notes(market)
    assert name in notes(market)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("instrument_name", "", "instrument_name: missing"),
        ("instrument_name", "BTC-24NOV23-40000-X", "BTC-24NOV23-40000-X: not a Deribit instrument name"),
        ("instrument_name", "BTC-31FEB23-40000-C", "an expiry date that does not exist"),
        ("instrument_name", "BTC-24NOW23-40000-C", "an expiry date that does not exist"),
        ("instrument_name", "BTC-24NOV23-0-C", "strike: must be above 0"),
        ("timestamp", "1700000000", "BTC-29DEC23-40000-C timestamp: not a time in milliseconds"),
        ("timestamp", "", "timestamp: missing"),
        ("timestamp", "1700000000000.5", "timestamp: not a time in milliseconds"),
        ("timestamp", "999999999999999999", "not a time in milliseconds"),
        ("index_price", "nan", "BTC-29DEC23-40000-C index_price: not a number"),
        ("index_price", "0.0", "index_price: must be above 0"),
        ("underlying_price", "", "underlying_price: missing"),
        ("underlying_price", "-1", "underlying_price: must be above 0"),
        ("underlying_price", "inf", "underlying_price: not a number"),
        ("underlying_price", "1e31", "underlying_price: a number out of range"),
        ("underlying_price", "1e20", "price: above"),
        ("mark_iv", "-5", "mark_iv: must not be negative"),
        ("mark_iv", "NaN", "mark_iv: not a number"),
        ("mark_iv", "20000", "implied_vol: above 100"),
        ("interest_rate", "x", "interest_rate: not a number"),
        ("interest_rate", "50", "rate: outside"),
    ],
)
def test_a_bad_value_gets_one_line_with_its_place(tmp_path: Path, field: str, value: str, message: str) -> None:
    path = write_csv(tmp_path, [option(CALL), {**option(FAR), field: value}])
    with pytest.raises(InputError) as caught:
        import_csv(path)
    text = str(caught.value)
    assert message in text
    assert text.startswith(str(path))
    assert "\n" not in text
    # A forward belongs to several rows; everything else to line 3.
    assert f"{path}:3" in text or message in {"price: above", "rate: outside"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a,b\n1,2\n", "1: instrument_name: the header has no such column"),
        (",".join([*HEADER, "mark_iv"]).encode() + b"\n", "1: mark_iv: the column appears twice"),
        (",".join(HEADER).encode() + b"\n1,2,3\n", "2: 3 columns where the header has 9: is the file cut off?"),
        (",".join(HEADER).encode() + b"\n", "holds no instruments"),
        (",".join(HEADER).encode() + b'\n1,2,3,4,5,6,7,8,"[[0.1\n', "2: not CSV"),
        (",".join(HEADER).encode() + b"\n\xff\xfe\n", "not UTF-8"),
        (",".join(HEADER).encode() + b"\n1,2\x00\n", "2: a NUL byte"),
        (b"a,b", "1: the last line has no end: is the file cut off?"),
        (b"x" * (tickers.MAX_LINE + 1), "1: a line of more than"),
        (b",".join([b"x"] * 300) + b"\n", "more than 256 columns"),
        (b'{"jsonrpc": "2.0"}\n', "the header has no such column"),
    ],
)
def test_broken_csv_gets_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tickers.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        import_csv(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_file_cut_off_inside_a_line_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [option(CALL), option(FAR)])
    whole = path.read_bytes()
    import_csv(path)
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        if whole[:length].count(b"\r") == 2 and whole[:length].endswith((b"\r", b"\n")):
            assert [i.id for i in import_csv(path).instruments] == [CALL]
        else:
            with pytest.raises(InputError):
                import_csv(path)


def test_unreadable_files(tmp_path: Path) -> None:
    for importer in (import_csv, import_json):
        with pytest.raises(InputError, match="cannot be read"):
            importer(tmp_path / "absent")
        with pytest.raises(InputError, match="cannot be read"):
            importer(tmp_path)


def test_too_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path, [option(CALL), option(PUT)])
    monkeypatch.setattr(tickers, "MAX_CSV_LENGTH", 200)
    with pytest.raises(InputError, match="longer than 200 characters"):
        import_csv(path)
    monkeypatch.undo()
    monkeypatch.setattr(tickers, "MAX_PULL_ROWS", 1)
    with pytest.raises(InputError, match="more than 1 instruments"):
        import_csv(path)
    monkeypatch.undo()
    monkeypatch.setattr("zkmargin.engine.importers.source.MAX_BYTES", 10)
    with pytest.raises(InputError, match="larger than 10 bytes"):
        import_json(write_json(tmp_path, json_tickers()))


def test_csv_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path, [option(CALL)])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert import_csv("-").instruments == import_csv(path).instruments


def test_a_byte_order_mark_and_foreign_line_ends_are_read(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [option(CALL)])
    expected = import_csv(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").replace(b"\r\r", b"\r"))
    assert import_csv(path) == expected


def test_json_with_options_futures_and_perpetuals(tmp_path: Path) -> None:
    market = import_json(write_json(tmp_path, json_tickers()), prices={"USDC": "1"})
    assert [i.id for i in market.instruments] == ["ETH-PERPETUAL", "ETH-24NOV23", "ETH-29DEC23", "ETH-24NOV23-2000-C"]
    perpetual, future, _, call = market.instruments
    assert (perpetual.kind, perpetual.settlement, perpetual.multiplier, perpetual.lot) == (
        "perpetual",
        "inverse",
        "1",
        "1",
    )
    assert (future.mark_price, future.expiry) == ("1985.5", "2023-11-24T08:00:00Z")
    assert (call.implied_vol, call.lot, call.mark_price) == ("0.505", "1", None)
    # The options' own forward where there are options, the future's mark where there are none.
    assert [f.price for f in market.forwards] == ["1985.25", "1999"]
    assert market.time == "2023-11-14T22:13:20.002Z"
    assert "counted in contracts" in notes(market)
    assert "no futures" not in notes(market)
    assert Market.parse(market.to_bytes()) == market


def test_json_shapes_give_the_same_market(tmp_path: Path) -> None:
    expected = import_json(write_json(tmp_path, json_tickers()))
    results = [item.get("result", item) for item in json.loads(json_tickers())]
    for shape in (
        results,
        {"jsonrpc": "2.0", "result": results},
        [{"id": n, "result": r} for n, r in enumerate(results)],
    ):
        assert import_json(write_json(tmp_path, json.dumps(shape))) == expected
    one = import_json(write_json(tmp_path, json.dumps(results[0])))
    assert [i.id for i in one.instruments] == ["ETH-24NOV23-2000-C"]


def test_csv_and_json_agree(tmp_path: Path) -> None:
    rows = [option(CALL), option(PUT, 7), option(FAR, 9)]
    numbers = [
        {k: v if k in {"instrument_name", "underlying_index", "bids"} else Decimal(v) for k, v in row.items()}
        for row in rows
    ]
    text = json.dumps(numbers, default=lambda d: int(d) if d == int(d) else float(d))
    market = import_json(write_json(tmp_path, text))
    assert market.instruments == import_csv(write_csv(tmp_path, rows)).instruments
    assert market.forwards == import_csv(write_csv(tmp_path, rows)).forwards


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not JSON"),
        ("[]", "holds no instruments"),
        ("3", "neither a ticker nor a list"),
        ("[[], 3]", "neither a ticker nor a list"),
        ('{"error": {"code": 10001}}', "answered with an error"),
        ("[{}]", "ticker 1 instrument_name: missing"),
        ('[{"instrument_name": 5}]', "ticker 1 instrument_name: missing"),
        ('[{"instrument_name": "BTC-PERPETUAL"}]', "BTC-PERPETUAL timestamp: missing"),
        ('[\n{"instrument_name": "BTC-PERPETUAL", "timestamp": true}]', ":2: BTC-PERPETUAL timestamp: not a number"),
        ('[{"instrument_name": "BTC-PERPETUAL", "timestamp": [1]}]', "timestamp: not a number"),
        ('[{"instrument_name": "BTC-PERPETUAL", "timestamp": NaN}]', "NaN is not a number"),
        ('[{"instrument_name": "BTC-PERPETUAL", "instrument_name": "x"}]', "appears twice"),
        ('[{"instrument_name": "BTC-PERPETUAL", "timestamp": 1700000000000, "index_price": 1}]', "mark_price: missing"),
        ("[" * 100, "nested"),
    ],
)
def test_broken_json_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write_json(tmp_path, text)
    with pytest.raises(InputError) as caught:
        import_json(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["mark_iv", "interest_rate"])
@pytest.mark.parametrize("value", [[], {}, True, "x"])
def test_a_json_value_of_the_wrong_type_is_named(tmp_path: Path, field: str, value: object) -> None:
    row = {**option(CALL), field: value}
    with pytest.raises(InputError, match=f"{CALL} {field}: not a number"):
        import_json(write_json(tmp_path, json.dumps([row])))


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"BTC": "1"}, "price BTC: the file has its index price"),
        ({"USDC": "0"}, "price USDC: must be above 0"),
        ({"USDC": "NaN"}, "price USDC: not a decimal"),
        ({"US DC": "1"}, "not an asset name"),
    ],
)
def test_bad_prices_are_refused(tmp_path: Path, prices: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_csv(write_csv(tmp_path, [option(CALL)]), prices=prices)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("47795.22", "47795.22"),
        ("0.50", "0.5"),
        ("1.86e-06", "0.00000186"),
        ("5E+2", "500"),
        ("-0.0", "0"),
        (7, "7"),
        (Decimal("1E-5"), "0.00001"),
    ],
)
def test_machine_written_numbers_become_plain_text(value: object, text: str) -> None:
    assert plain_decimal(value) == text


@pytest.mark.parametrize("value", ["nan", "inf", "1_0", "+1", " 1", ".5", "1e99", "1e", 1.5, True, [], "\uff11"])
def test_what_is_not_a_machine_written_number(value: object) -> None:
    with pytest.raises(InputError):
        plain_decimal(value)


@given(st.fractions(Fraction(1, 10**6), Fraction(10**7)))
def test_a_cent_lot_is_worth_a_cent_or_a_little_more(price: Fraction) -> None:
    value = Fraction(cent_lot(price)) * price
    assert Fraction(1, 100) <= value < Fraction(1, 10)


def test_the_contract_table_keeps_a_lot_above_a_cent_down_to_very_low_prices() -> None:
    for price, coin in ((1_000, "BTC"), (100, "ETH")):
        assert Fraction(COIN_LOTS[coin]) * price >= Fraction(1, 100)


def test_two_currencies_in_one_file(tmp_path: Path) -> None:
    eth = option("ETH-24NOV23-2000-C", 5, forward="1985", index="1980")
    market = import_csv(write_csv(tmp_path, [eth, option(CALL)]))
    assert [(u.name, u.index_price) for u in market.underlyings] == [("BTC", "35900"), ("ETH", "1980")]
    assert [(f.underlying, f.price) for f in market.forwards] == [("BTC", "36000.5"), ("ETH", "1985")]
    assert [(a.name, a.lot) for a in market.assets] == [("BTC", "0.00001"), ("ETH", "0.0001")]
    assert [i.lot for i in market.instruments] == ["0.1", "1"]


@pytest.mark.parametrize("source", ["csv", "json"])
@given(data=st.data())
def test_no_damaged_file_raises_anything_but_one_line(
    tmp_path_factory: pytest.TempPathFactory, source: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = write_csv(folder, [option(CALL), option(PUT)]) if source == "csv" else write_json(folder, json_tickers())
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.binary(max_size=2) | st.just(b'"') | st.just(b"-")
        )
    path.write_bytes(damaged)
    try:
        market = import_market(path, f"deribit-{source}")
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is fine
    else:
        assert Market.parse(market.to_bytes()) == market
