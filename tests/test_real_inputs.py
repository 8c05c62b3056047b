"""Files as people have them: what each kind gives, by hand-made inputs."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
import zipfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.market_files import CALL, DATA, PUT, START, ids, marks, read, ticker, written
from support.typed import JsonObject, Keywords

from zkmargin.cli import main
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.decimals import to_fraction, to_nearest_units
from zkmargin.engine.importers import FORMATS, Imported, source
from zkmargin.engine.margin import margin_report
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError

# --- Deribit ----------------------------------------------------------------------------------------------------


def test_one_combo_does_not_stop_the_import(tmp_path: Path) -> None:
    rows = [ticker(CALL), ticker("BTC-CS-25DEC26-80000_90000"), ticker("BTC-REV-25DEC26-90000"), ticker(PUT)]
    found = read(written(tmp_path, rows))
    assert ids(found) == [PUT, CALL]
    (omission,) = found.left_out
    assert (omission.count, omission.names) == (2, ("BTC-CS-25DEC26-80000_90000", "BTC-REV-25DEC26-90000"))
    assert omission.text() in found.document.notes


def test_book_summaries_make_the_market_of_the_tickers(tmp_path: Path) -> None:
    def summary(row: Keywords) -> JsonObject:
        row = dict(row)
        row["creation_timestamp"], row["estimated_delivery_price"] = row.pop("timestamp"), row.pop("index_price")
        return {**row, "mid_price": None, "base_currency": "BTC"}

    rows = [ticker(CALL), ticker(PUT), ticker("BTC-PERPETUAL")]
    expected = read(written(tmp_path, rows)).document
    answer = {"jsonrpc": "2.0", "result": [summary(row) for row in rows], "usIn": 1, "testnet": False}
    assert read(written(tmp_path, answer)).document == expected


def market_of(found: Imported) -> Market:
    assert isinstance(found.document, Market)
    return found.document


def test_messages_logs_and_dictionaries_make_the_same_market(tmp_path: Path) -> None:
    rows = [ticker(CALL), ticker(PUT)]
    expected = read(written(tmp_path, rows)).document.instruments
    message: Keywords = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": "ticker.X.100ms"}}
    messages = [{**message, "params": {**message["params"], "data": row}} for row in rows]
    lines = "".join(json.dumps(item) + "\n" for item in [{"id": 1, "result": ["ticker.X.100ms"]}, *messages])
    for value in (
        messages,
        lines,
        "\n".join(map(json.dumps, rows)) + "\n\n",
        {row["instrument_name"]: row for row in rows},
        {"result": {row["instrument_name"]: row for row in rows}},
        "\ufeff" + json.dumps(rows),
    ):
        assert read(written(tmp_path, value)).document.instruments == expected
    assert read([written(tmp_path, rows[:1], "a"), written(tmp_path, rows[1:], "b")]).document.instruments == expected


def test_of_a_log_the_newest_row_until_a_time_counts(tmp_path: Path) -> None:
    rows = [ticker(CALL, timestamp=START + at, mark_iv=iv) for at, iv in ((0, 40), (2000, 60), (1000, 50))]
    path = written(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    (newest,) = market_of(read(path)).instruments
    assert newest.implied_vol == "0.6"  # the newest, not the last line
    early = read(path, at="2026-09-21T14:13:21Z")
    assert market_of(early).instruments[0].implied_vol == "0.5"
    assert any("1 later rows are not used" in note for note in early.document.notes)
    with pytest.raises(InputError, match="holds no row until"):
        read(path, at="2026-01-01T00:00:00Z")
    with pytest.raises(InputError, match="a pull or a time"):
        read(path, at="latest", pull=1)
    assert ids(read(written(tmp_path, rows), at="latest")) == [CALL]


def test_linear_contracts_are_counted_in_contracts_of_several_coins(tmp_path: Path) -> None:
    xrp = {"index_price": 2.4, "underlying_price": 2.41, "underlying_index": "SYN.XRP_USDC-25DEC26"}
    rows = [
        ticker("XRP_USDC-25DEC26-0d625-C", mark_price=1.78, **xrp),
        ticker("XRP_USDC-25DEC26-3D5-P", mark_price=1.1, **xrp),
        ticker("SOL_USDC-PERPETUAL", index_price=74.5, mark_price=74.55),
        ticker("AVAX_USDC-25DEC26-5d5-C", index_price=6, underlying_price=6.1),
        ticker(CALL),
    ]
    found = read(written(tmp_path, rows), prices={"USDT": "0.999"})
    market = found.document
    assert isinstance(market, Market)
    terms = {i.id: (i.underlying, i.settlement, i.multiplier, i.lot, i.strike) for i in market.instruments}
    assert terms["XRP_USDC-25DEC26-0d625-C"] == ("XRP_USDC", "linear", "1000", "1", "0.625")
    assert terms["XRP_USDC-25DEC26-3D5-P"][4] == "3.5"
    assert terms["SOL_USDC-PERPETUAL"] == ("SOL_USDC", "linear", "1", "0.1", None)
    assert [(a.name, a.price) for a in market.assets] == [("BTC", "85000.5"), ("USDC", "1"), ("USDT", "0.999")]
    assert [o.names for o in found.left_out] == [("AVAX_USDC-25DEC26-5d5-C",)]
    defined = {
        "instrument_name": "AVAX_USDC-25DEC26-5d5-C",
        "contract_size": 100,
        "min_trade_amount": 50,
        "kind": "option",
    }
    both = read([written(tmp_path, {"result": [defined]}, "i.json"), written(tmp_path, rows)])
    avax = next(i for i in both.document.instruments if i.id.startswith("AVAX"))
    assert (avax.multiplier, avax.lot) == ("100", "0.5")
    assert both.left_out == ()


def test_a_vol_of_zero_is_the_intrinsic_value_where_the_mark_says_so(tmp_path: Path) -> None:
    deep = ticker("BTC-25DEC26-60000-C", mark_iv=0, mark_price=0.3023)  # (86000.25 - 60000) / 86000.25 = 0.30233
    gone = ticker("BTC-25DEC26-190000-C", mark_iv=0.0, mark_price=0.0)
    found = read(written(tmp_path, [deep, gone, ticker(PUT, mark_iv=0, mark_price=0.01), ticker(CALL)]))
    assert ids(found) == ["BTC-25DEC26-60000-C", CALL, "BTC-25DEC26-190000-C"]
    assert [(o.reason, o.names) for o in found.left_out] == [
        ("implied vol 0 and a mark that is not the intrinsic value", (PUT,))
    ]
    market = found.document
    assert isinstance(market, Market)
    assert market.format == "zkmargin/market/v2"
    snapshot = build_snapshot(market, load_policy("default"))
    value = (Fraction("86000.25") - 60_000) * Fraction("85000.5") / Fraction("86000.25") / 10
    assert marks(snapshot)["BTC-25DEC26-60000-C"] == pytest.approx(float(value), abs=1e-9)
    # vol up: the policy's floor is what it is revalued at, so a short one is not free of vol
    for policy in ("default", "tims", "paradex", "deribit-pm"):
        assert build_snapshot(market, load_policy(policy)).marks == snapshot.marks
    again = Market.parse(market.to_bytes())
    assert again == market
    old = read(written(tmp_path, [ticker(CALL)])).document.to_bytes()
    with pytest.raises(InputError, match="must be above 0 in version 1"):
        Market.parse(old.replace(b'"0.5025"', b'"0"'))


def test_what_the_exchange_says_of_an_error_is_shown(tmp_path: Path) -> None:
    answer = {
        "jsonrpc": "2.0",
        "error": {"code": -32602, "message": "Invalid params", "data": {"reason": "bad\u202ename"}},
    }
    with pytest.raises(InputError, match="-32602 Invalid params bad"):
        read(written(tmp_path, answer), "deribit-json")


def test_closed_instruments_are_left_out(tmp_path: Path) -> None:
    found = read(written(tmp_path, [ticker(CALL, state="closed"), ticker(PUT)]))
    assert ids(found) == [PUT]
    assert found.left_out[0].names == (CALL,)


def test_stale_quotes_are_listed_together(tmp_path: Path) -> None:
    rows = [
        ticker(CALL, timestamp=START - 7_200_000),
        ticker(PUT, timestamp=START - 3_600_000),
        ticker("BTC-PERPETUAL"),
    ]
    market = read(written(tmp_path, rows)).document
    assert isinstance(market, Market)
    with pytest.raises(InputError, match=f"{CALL}: its price is 7200 s older .*; so are those of .*{PUT}"):
        market.refuse_stale(60)


# --- CSV --------------------------------------------------------------------------------------------------------

CORN = """record,name,underlying,expiry,strike,option_type,implied_vol,price,rate,settlement,multiplier,lot,time,forward
market,USD,,,,,,,,,,,2026-05-19T18:30:00Z,
underlying,ZC,,,,,,455,,,,,,
forward,,ZC,2026-06-26T18:30:00Z,,,,456.25,0.04,,,,,
forward,,ZC,2026-07-14T18:30:00Z,,,,456.25,0.04,,,,,
forward,ZCZ26,ZC,2026-12-14T18:30:00Z,,,,478.50,0.04,,,,,
future,ZCN26,ZC,2026-07-14T18:30:00Z,,,,,,linear,50,1,,
future,ZCZ26,ZC,2026-12-14T18:30:00Z,,,,,,linear,50,1,,ZCZ26
option,OZCN26-460-C,ZC,2026-06-26T18:30:00Z,460,call,0.28,,,linear,50,1,,
option,OCDN26-460-C,ZC,2026-06-26T18:30:00Z,460,call,0.26,,,linear,50,1,,ZCZ26
asset,USD,,,,,,1,,,,0.01,,
"""


def test_options_of_one_expiry_on_two_futures_are_priced_on_their_own_and_net(tmp_path: Path) -> None:
    market = read(written(tmp_path, CORN, "corn.csv")).document
    assert isinstance(market, Market)
    assert market.format == "zkmargin/market/v2"
    assert Market.parse(market.to_bytes()) == market
    for policy in ("default", "span", "tims"):
        snapshot = build_snapshot(market, load_policy(policy))
        found = marks(snapshot)
        assert found["OZCN26-460-C"] == pytest.approx(731.89, abs=0.005)  # py_vollib
        assert found["OCDN26-460-C"] == pytest.approx(1327.06, abs=0.005)
        assert snapshot.groups == ("ZC",)
    snapshot = build_snapshot(market, load_policy("default"))

    def requirement(**positions: str) -> int:
        book = to_lots(Book(positions=positions, collateral={"USD": "100000"}), snapshot)
        return margin_report(snapshot, book).total

    both = requirement(**{"OZCN26-460-C": "10", "OCDN26-460-C": "-10"})
    assert both < requirement(**{"OCDN26-460-C": "-10"})


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("50,1,,ZCZ26\nasset", "50,1,,ZCH27\nasset", "no forward ZCH27 of its underlying"),
        ("forward,ZCZ26,ZC,2026-12-14", "forward,ZCZ26,ZC,2026-06-14", "expires before it"),
        ("forward,,ZC,2026-07-14T18:30:00Z,,,,456.25", "forward,ZCZ26,ZC,2026-07-14T18:30:00Z,,,,456.25", "twice"),
        ("asset,USD,,,,,,1,,,,0.01,,", "asset,USD,,,,,,1,,,,0.01,,ZCZ26", "does not belong"),
    ],
)
def test_a_forward_that_does_not_fit_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in CORN
    with pytest.raises(InputError, match=reason):
        read(written(tmp_path, CORN.replace(old, new), "corn.csv"))


def test_separators_blank_lines_and_decimal_commas(tmp_path: Path) -> None:
    expected = read(written(tmp_path, CORN, "c.csv")).document
    for text in (CORN + "\n\n", CORN.replace(",", ";"), CORN.replace(",", "\t"), CORN.replace("\n", "\r\n")):
        assert read(written(tmp_path, text, "c.csv")).document == expected
    with pytest.raises(InputError, match="not a number") as caught:
        read(written(tmp_path, CORN.replace(",", ";").replace("456.25", "456,25"), "c.csv"))
    assert caught.value.hint == "write decimals with a point"


def test_a_file_cut_off_in_its_last_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no end"):
        read(written(tmp_path, CORN.rstrip("\n"), "c.csv"))


NUMBER = st.decimals(Decimal("1e-9"), Decimal(10**6), places=28).filter(lambda d: d > 0)


@given(
    forward=NUMBER,
    strike=NUMBER,
    vol=st.decimals(Decimal(0), Decimal(5), places=30),
    rate=st.decimals(-1, 1, places=33),
)
def test_every_decimal_of_a_market_builds_or_is_named(
    tmp_path_factory: pytest.TempPathFactory, forward: Decimal, strike: Decimal, vol: Decimal, rate: Decimal
) -> None:
    text = CORN.replace("478.50,0.04", f"{forward:f},{rate:f}").replace("460,call,0.26", f"{strike:f},call,{vol:f}")
    market = read(written(tmp_path_factory.mktemp("d"), text, "c.csv")).document
    assert isinstance(market, Market)
    for policy in ("default", "tims"):
        try:
            build_snapshot(market, load_policy(policy))
        except InputError as error:
            # gamma at the money has no bound where the volatility is next to nothing
            named = any(words in error.reason for words in ("too far", "too large", "past 64 bits"))
            assert named, error  # noqa: PT017 - each is fine


def test_a_stablecoin_off_its_peg_with_any_decimals_is_collateral(tmp_path: Path) -> None:
    market = read(written(tmp_path, [ticker(CALL)]), prices={"USDC": "0.99985123456789"}).document
    assert isinstance(market, Market)
    slot = build_snapshot(market, load_policy("default")).collateral[1]
    assert (slot.asset, slot.lot, slot.price) == ("USDC", "0.01", 9_998_512)


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("1.5551965233045728", 9, 1_555_196_523),
        ("0.0000000005", 9, 1),
        ("-0.0000000005", 9, -1),
        ("0.00000000049999999999", 9, 0),
        ("39016.8143629068452065", 11, 3_901_681_436_290_685),
        ("7", 3, 7000),
    ],
)
def test_prices_and_vols_round_once_to_nearest_half_away_from_zero(text: str, decimals: int, units: int) -> None:
    assert to_nearest_units(text, decimals) == units
    assert abs(to_fraction(text) * 10**decimals - units) <= Fraction(1, 2)


def test_amounts_of_36_digits_are_numbers(tmp_path: Path) -> None:
    amount = "1234.567890123456789012345678901234567891"
    found = read(written(tmp_path, [ticker(CALL) | {"index_price": amount}]))
    assert found.document.assets[0].price == amount


# --- however it is packed ---------------------------------------------------------------------------------------


def packed(folder: Path, data: bytes, how: str) -> Path:
    path = folder / f"x.{how}"
    if how == "gz":
        path.write_bytes(gzip.compress(data))
    elif how == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("folder")
            archive.writestr("folder/inner.spn", data)
    else:
        path.write_bytes(data)
    return path


def sample(folder: Path, form: str) -> tuple[bytes, JsonObject]:
    match form:
        case "csv":
            return CORN.encode(), {}
        case "deribit-json":
            return json.dumps([ticker(CALL)]).encode(), {}
        case "deribit-csv":
            row = ticker(CALL)
            return (",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n").encode(), {}
        case "span-xml":
            return (DATA / "span_demo.spn").read_bytes(), {"lots": {"ALPHA": "75"}}
        case "span-pa2":
            return (DATA / "span_demo.pa2").read_bytes(), {"lots": {"GC": "1"}}
    raise AssertionError(folder)


SAMPLES = ("csv", "deribit-json", "deribit-csv", "span-xml", "span-pa2")


@pytest.mark.parametrize("form", SAMPLES)
def test_any_packing_any_name_and_a_pipe_give_one_digest_and_the_format_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    data, options = sample(tmp_path, form)
    expected = read(packed(tmp_path, data, "plain"), form, **options)
    for how in ("other-name", "gz", "zip"):
        found = read(packed(tmp_path, data, how), **options)
        assert found.format == form
        assert found.document.digest() == expected.document.digest()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert read(Path("-"), **options).document.digest() == expected.document.digest()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(data),))
    writer.start()
    assert read(pipe, **options).document.digest() == expected.document.digest()
    writer.join()


def test_f4_archives_that_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.spn", "<a/>")
        archive.writestr("b.spn", "<a/>")
    with pytest.raises(InputError, match=r"an archive of 2 files, not one \(a.spn, b.spn\)"):
        read(path)
    for data, reason in (
        (b"PK\x03\x04 and nothing", "a damaged archive"),
        (gzip.compress(b"abc" * 100)[:-20], "a damaged archive"),
        (b"\xfd7zXZ\0", "packed with xz"),
        (b"BZh9", "packed with bzip2"),
        (b"hello\n", "none of the formats"),
        (b"", "none of the formats"),
        (b"\xff\xfe{\0}\0", "none of the formats"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=reason):
            read(path)
    path.write_bytes(b"\xff\xfe[\0]\0")
    with pytest.raises(InputError, match="UTF-16"):
        read(path, "deribit-json")
    monkeypatch.setattr(source, "FREE_BYTES", 1000)
    path.write_bytes(gzip.compress(b" " * 10_000_000))
    with pytest.raises(InputError, match="when it is unpacked"):
        read(path)
    with pytest.raises(InputError, match="cannot be read: is a directory"):
        read(tmp_path)


def test_one_list_of_what_was_left_out_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, [ticker(CALL), ticker("BTC-CS-25DEC26-80000_90000"), ticker(PUT, mark_iv=None)])
    out = tmp_path / "market.json"
    assert main(["market", "import", str(path), "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["format"] == "deribit-json"
    assert said["left_out"] == [
        {"reason": "a combo or spread: its legs are imported", "count": 1, "names": ["BTC-CS-25DEC26-80000_90000"]},
        {"reason": "no implied vol to price with", "count": 1, "names": [PUT]},
    ]
    assert main(["market", "import", str(path), "-o", str(tmp_path / "m2.json")]) == 0
    text = capsys.readouterr().out
    assert "taken for deribit-json" in text
    assert "left out, no implied vol to price with" in text
    assert main(["market", "import", str(path), "--at", "noon", "-o", str(out)]) == 2
    assert "--at: not a UTC time" in capsys.readouterr().err


def test_every_format_has_a_sample_or_a_test_of_its_own() -> None:
    assert set(SAMPLES) <= set(FORMATS)


# --- SPAN -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("house", "zone", "time"),
    [
        ("NSCCL", None, "2026-06-24T16:19:00Z"),
        ("CME", None, "2026-06-25T02:49:00Z"),
        ("DEMO", None, "2026-06-24T21:49:00Z"),
        ("DEMO", "Europe/London", "2026-06-24T20:49:00Z"),
        ("NSCCL", "UTC", "2026-06-24T21:49:00Z"),
    ],
)
def test_the_time_of_a_span_file_is_when_it_was_made(tmp_path: Path, house: str, zone: str | None, time: str) -> None:
    text = (DATA / "span_demo.spn").read_text("latin-1").replace("<ec>DEMO<", f"<ec>{house}<")
    arrays = read(written(tmp_path, text.encode("ascii", "replace").decode(), "x.spn"), lots={"ALPHA": "75"}, zone=zone)
    assert arrays.document.time == time
    assert "business date 20260625" in arrays.document.source


def test_times_that_do_not_exist_and_files_without_one(tmp_path: Path) -> None:
    text = (DATA / "span_demo.spn").read_text("latin-1")
    with pytest.raises(InputError, match="no such time zone"):
        read(DATA / "span_demo.spn", lots={"ALPHA": "75"}, zone="Mars/Olympus")
    bad = text.replace("<created>202606242149<", "<created>202613242149<").encode("ascii", "replace").decode()
    path = written(tmp_path, bad, "bad.spn")
    with pytest.raises(InputError, match="created: a date or time"):
        read(path, lots={"ALPHA": "75"})
    bare = text.replace("<created>202606242149</created>", "").encode("ascii", "replace").decode()
    found = read(written(tmp_path, bare, "x.spn"), lots={"ALPHA": "75"}).document
    assert found.time == "2026-06-25T00:00:00Z"
    assert any("does not say when it was made" in note for note in found.notes)


def test_f5_names_that_differ_in_a_character_stay_apart() -> None:
    from zkmargin.engine.importers.span_common import safe_name

    names = ["M&M", "M_M", "M_26M", "M__M", "M&_M", "M_&M", "M\u0100M", "M\x10" + "0M"]
    assert len({safe_name(name) for name in names}) == len(names)
    assert safe_name("M&M-202609") == "M_26M-202609"
    with pytest.raises(InputError, match="more than 80"):
        safe_name("&" * 40)
