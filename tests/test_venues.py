"""Chains of venues from their public answers: invented quotes in the shapes, names and units that venues document.

Marks of options in the sample files were computed with Black-76 in double precision from the forward, vol and rate that
the same file states, so that a wrong unit, expiry or forward shows as another mark.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.typed import Json, Passed

from zkmargin.engine.importers import FORMATS, Options, import_file
from zkmargin.engine.market import Instrument, Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError

VENUES = Path(__file__).with_name("data") / "venues"
EXPIRY, INDEX = "2026-12-25T08:00:00Z", 85_000.5


def lines(name: str) -> list[Json]:
    return [json.loads(line) for line in (VENUES / name).read_text().splitlines()]


def read(path: Path | list[Path], format_name: str = "auto", **options: Passed) -> Market:
    found = import_file(path, format_name, Options(**options)).document
    assert isinstance(found, Market)
    return found


def written(folder: Path, *values: Passed) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def terms(market: Market) -> dict[str, tuple[str, ...]]:
    def of(i: Instrument) -> tuple[str, ...]:
        return (i.kind, i.underlying, i.settlement, i.multiplier, i.lot)

    return {i.id: of(i) for i in market.instruments}


def unit_values(market: Market) -> dict[str, float]:
    """Quote per coin of each option."""
    snapshot = build_snapshot(market, load_policy("default"))
    return {
        i.id: mark / 1e9 / float(i.lot) / float(i.multiplier)
        for i, mark in zip(market.instruments, snapshot.marks.values.tolist(), strict=True)
        if i.kind == "option"
    }


def stated_okx() -> dict[str, float]:
    return {r["instId"]: float(r["markPx"]) * INDEX for r in lines("okx.jsonl")[2]["data"] if r["instType"] == "OPTION"}


def stated_bybit() -> dict[str, float]:
    return {r["symbol"]: float(r["markPrice"]) for r in lines("bybit.jsonl")[0]["result"]["list"]}


def stated_binance() -> dict[str, float]:
    return {r["symbol"]: float(r["markPrice"]) for r in lines("binance.jsonl")[1]}


def stated_derive() -> dict[str, float]:
    found = [
        *lines("derive.jsonl")[1]["result"]["tickers"].items(),
        *lines("derive.jsonl")[2]["result"]["tickers"].items(),
    ]
    return {name: float(r["M"]) for name, r in found}


def stated_paradex() -> dict[str, float]:
    return {
        r["symbol"]: float(r["mark_price"]) for r in lines("paradex.jsonl")[1]["results"] if "25DEC26" in r["symbol"]
    }


STATED: dict[str, Callable[[], dict[str, float]]] = {
    "okx": stated_okx,
    "bybit": stated_bybit,
    "binance": stated_binance,
    "derive": stated_derive,
    "paradex": stated_paradex,
}


@pytest.mark.parametrize("venue", STATED)
def test_options_are_worth_what_the_venue_marks_them_at(venue: str) -> None:
    path = VENUES / f"{venue}.jsonl"
    assert import_file(path).format == venue
    market, stated = read(path), STATED[venue]()
    values = unit_values(market)
    assert values.keys() == stated.keys()
    for name, value in stated.items():
        assert values[name] == pytest.approx(value, rel=2e-5, abs=2e-6), name
    assert {forward.expiry for forward in market.forwards} == {EXPIRY}
    assert market.time.startswith("2026-09-21T14:13:20")
    for policy in ("paradex", "tims", "deribit-pm"):
        build_snapshot(market, load_policy(policy))


def test_contract_terms() -> None:
    okx = terms(read(VENUES / "okx.jsonl"))
    assert okx["BTC-USD-261225-80000-C"] == ("option", "BTC-USD", "inverse", "0.01", "1")
    assert okx["BTC-USD-261225"] == ("future", "BTC-USD", "inverse", "100", "1")
    assert okx["BTC-USDT-SWAP"] == ("perpetual", "BTC-USDT", "linear", "0.01", "0.1")
    bybit = terms(read(VENUES / "bybit.jsonl"))
    assert bybit["BTC-25DEC26-80000-C-USDT"] == ("option", "BTC-USDT", "linear", "1", "0.01")
    assert bybit["BTCUSDT-25DEC26"] == ("future", "BTC-USDT", "linear", "1", "0.001")
    assert bybit["BTCUSD"] == ("perpetual", "BTC-USD", "inverse", "1", "1")
    binance = terms(read(VENUES / "binance.jsonl"))
    assert binance["BTC-261225-80000-C"] == ("option", "BTC-USDT", "linear", "1", "0.01")
    assert binance["BTCUSD_PERP"] == ("perpetual", "BTC-USD", "inverse", "100", "1")
    derive = terms(read(VENUES / "derive.jsonl"))
    assert derive["BTC-20261225-80000-C"] == ("option", "BTC", "linear", "1", "0.01")
    assert derive["BTC-PERP"] == ("perpetual", "BTC", "linear", "1", "0.001")
    assert read(VENUES / "derive.jsonl").instruments[-1].strike == "0.5"
    paradex = terms(read(VENUES / "paradex.jsonl"))
    assert paradex["BTC-USD-PERP"] == ("perpetual", "BTC", "linear", "1", "0.00001")


def test_what_is_left_out_is_said() -> None:
    found = {venue: [(o.reason, o.names) for o in import_file(VENUES / f"{venue}.jsonl").left_out] for venue in STATED}
    assert found["okx"] == [("not live", ("ETH-USD_UM-SWAP",))]
    assert found["paradex"] == [("a perpetual option: it has no expiry to price it to", ("BTC-USD-114000-P",))]
    assert found["bybit"] == found["binance"] == found["derive"] == []


def test_answers_in_files_of_their_own_make_the_same_market(tmp_path: Path) -> None:
    for venue in STATED:
        paths = []
        for number, value in enumerate(lines(f"{venue}.jsonl")):
            paths.append(tmp_path / f"{venue}-{number}.json")
            paths[-1].write_text(json.dumps(value, indent=1))
        whole = import_file(VENUES / f"{venue}.jsonl").document
        assert import_file(paths, venue).document == whole
        assert import_file(paths[::-1], venue).document == whole


@pytest.mark.parametrize(
    ("venue", "answer", "reason"),
    [
        ("okx", {"code": "51001", "msg": "Instrument ID does not exist", "data": []}, "51001 Instrument ID"),
        ("bybit", {"retCode": 10001, "retMsg": "params error", "result": {}}, "10001 params error"),
        ("binance", {"code": -1121, "msg": "Invalid symbol."}, "-1121 Invalid symbol"),
        ("derive", {"id": "1", "error": {"code": -32602, "message": "Invalid params"}}, "-32602 Invalid params"),
        ("paradex", {"error": "INVALID_REQUEST", "message": "no such market"}, "INVALID_REQUEST no such market"),
    ],
)
def test_error_answers_are_shown(tmp_path: Path, venue: str, answer: dict[str, int | str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read(written(tmp_path, answer), venue)


@pytest.mark.parametrize(
    ("venue", "keep", "reason"),
    [
        ("okx", [1, 2, 3], "terms are not known"),
        ("okx", [0, 1, 2], "no index price of BTC-USD in the file"),
        ("bybit", [1, 2], "terms are not known"),
        ("binance", [1, 2], "terms are not known"),
        ("binance", [1], "have no time"),
    ],
)
def test_an_answer_that_is_missing_is_named(tmp_path: Path, venue: str, keep: list[int], reason: str) -> None:
    values = [lines(f"{venue}.jsonl")[k] for k in keep]
    with pytest.raises(InputError, match=reason):
        read(written(tmp_path, *values), venue)


def test_options_without_a_summary_are_left_out(tmp_path: Path) -> None:
    values = [lines("okx.jsonl")[k] for k in (0, 2, 3)]
    found = import_file(written(tmp_path, *values))
    assert ("no row of /api/v5/public/opt-summary", 4) in [(o.reason, o.count) for o in found.left_out]
    assert all(i.kind != "option" for i in found.document.instruments)


def test_an_index_can_be_given(tmp_path: Path) -> None:
    values = lines("okx.jsonl")[:3]
    given = {"BTC-USD": "85000.5", "BTC-USDT": "84980.5"}
    market = read(written(tmp_path, *values), "okx", indices=given)
    assert {u.name: u.index_price for u in market.underlyings} == given
    with pytest.raises(InputError, match="index BTC-USD: the file has its index price"):
        read(VENUES / "okx.jsonl", indices={"BTC-USD": "1"})
    with pytest.raises(InputError, match="index ETH: no contract of the file is on it"):
        read(written(tmp_path, *values), "okx", indices={**given, "ETH": "1"})


def test_messages_of_bybit_and_derive(tmp_path: Path) -> None:
    ticker = lines("bybit.jsonl")[0]["result"]["list"][0]
    message = {"topic": "tickers.X", "type": "snapshot", "ts": 1_790_000_000_000, "data": ticker}
    delta = {**message, "type": "delta", "data": {"symbol": "BTCUSDT", "markPrice": "1"}}
    path = written(tmp_path, {"success": True, "op": "subscribe"}, message, delta)
    found = import_file(path)
    assert (found.format, len(found.document.instruments)) == ("bybit", 1)
    assert [o.reason for o in found.left_out] == ["a message of changes alone"]
    (name, row), *_ = lines("derive.jsonl")[1]["result"]["tickers"].items()
    slim = {"method": "subscription", "params": {"channel": f"ticker_slim.{name}.1000", "data": row}}
    assert [i.id for i in read(written(tmp_path, slim, slim)).instruments] == [name]
    with pytest.raises(InputError, match="instrument_name: missing"):
        read(written(tmp_path, {"result": row}), "derive")


def test_version_2_of_derive(tmp_path: Path) -> None:
    old = {
        "instrument_name": "BTC-20261225-80000-C",
        "timestamp": 1_790_000_000_000,
        "index_price": "85000.5",
        "mark_price": "11913.09",
        "amount_step": "0.01",
        "option_pricing": {"iv": "0.52", "forward_price": "86000.25", "discount_factor": "0.987105"},
    }
    market = read(written(tmp_path, {"result": old}), "derive")
    assert unit_values(market)["BTC-20261225-80000-C"] == pytest.approx(11913.09, rel=1e-5)


def test_tardis_files_are_logs_of_microseconds_without_an_index(tmp_path: Path) -> None:
    path = VENUES / "tardis-csv.csv"
    with pytest.raises(InputError, match="no index price of BTC in the file") as caught:
        read(path)
    assert "index BTC" in (caught.value.hint or "")
    market = read(path, indices={"BTC": "85000.5"})
    assert import_file(path, options=Options(indices={"BTC": "85000.5"})).format == "tardis-csv"
    assert market.time == "2026-09-21T14:13:21.500Z"
    assert {i.implied_vol for i in market.instruments} == {"0.53", "0.51"}  # the newest, not the last rows
    early = read(path, at="2026-09-21T14:13:20.700Z", indices={"BTC": "85000.5"})
    assert {i.implied_vol for i in early.instruments} == {"0.55", "0.53"}
    assert unit_values(early)["BTC-25DEC26-80000-C"] == pytest.approx(12_422, rel=2e-3)
    text = path.read_text().replace("1790000000000027", "1790000000000")
    other = tmp_path / "t.csv"
    other.write_text(text)
    with pytest.raises(InputError, match="not a time in microseconds"):
        read(other, indices={"BTC": "85000.5"})
    other.write_text(path.read_text().replace(",BTC-25DEC26,", ",index_price,"))
    assert read(other).underlyings[0].index_price == "86000.25"


def test_every_format_is_in_the_table_of_the_docs() -> None:
    table = Path(__file__).parents[1].joinpath("docs", "importers.md").read_text()
    for name in FORMATS:
        assert f"`{name}`" in table


@pytest.mark.conformance
def test_the_published_tardis_rows(conformance_family: Callable[[str], list[Path]]) -> None:
    path = next(p for p in conformance_family("cases/07-tardis-chain") if p.name == "chain.csv")
    market = read(path, indices={"BTC": "42284.6"})
    assert market.time == "2024-01-01T00:00:00.045Z"
    assert [i.id for i in market.instruments] == ["BTC-27SEP24-95000-P", "BTC-27SEP24-160000-P"]
    values = unit_values(market)
    for name, mark in (("BTC-27SEP24-160000-P", 2.4467), ("BTC-27SEP24-95000-P", 1.0816)):
        assert values[name] == pytest.approx(mark * 42284.6, rel=1e-3)


def test_each_expiry_of_binance_grows_at_its_own_rate(tmp_path: Path) -> None:
    values = lines("binance.jsonl")
    later = 1_805_443_200_000  # 2027-03-19T08:00:00Z
    terms_, marks_ = values[0]["optionSymbols"], values[1]
    for row in list(terms_):
        terms_.append({**row, "symbol": row["symbol"].replace("261225", "270319"), "expiryDate": later})
    for row in list(marks_):
        marks_.append({**row, "symbol": row["symbol"].replace("261225", "270319"), "riskFreeInterest": "0.09"})
    near, far = read(written(tmp_path, *values)).forwards
    assert (near.rate, far.rate) == ("0.03", "0.09")
    (alone,) = read(VENUES / "binance.jsonl").forwards
    assert near == alone
    # the same marks: K + (C - P) e^(rT), with K the strike nearest to the index
    spread = float(marks_[2]["markPrice"]) - float(marks_[3]["markPrice"])
    years = (later - 1_790_000_000_000) / 1000 / 86400 / 365
    assert float(far.price) == pytest.approx(90_000 + spread * 2.718281828459045 ** (0.09 * years), rel=1e-6)
