"""JSON documents that are not held as a whole: the same markets, the same refusals, memory that does not grow."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.typed import Json, JsonObject

from zkmargin.engine.importers import Options, import_file, json_answers, json_stream
from zkmargin.formats import InputError

VENUES = Path(__file__).with_name("data") / "venues"


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every document is large, and what holds more than a row or two."""
    monkeypatch.setattr(json_answers, "WHOLE_BYTES", 10)
    monkeypatch.setattr(json_stream, "LARGE", 40)


def documents(venue: str) -> list[Json]:
    return [json.loads(line) for line in (VENUES / f"{venue}.jsonl").read_text().splitlines()]


def written(folder: Path, name: str, value: Json) -> str:
    path = folder / name
    path.write_text(json.dumps(value))
    return str(path)


@pytest.mark.parametrize("venue", ["binance", "bybit", "derive", "okx", "paradex"])
def test_the_same_market_as_of_the_lines(tmp_path: Path, venue: str, request: pytest.FixtureRequest) -> None:
    """One document with the answers in a list; rows inside envelopes, scalars behind them."""
    values = documents(venue)
    turned = [dict(reversed(list(value.items()))) if isinstance(value, dict) else value for value in values]
    of_lines = import_file(VENUES / f"{venue}.jsonl", venue)
    paths = [written(tmp_path, "one.json", values), written(tmp_path, "turned.json", turned)]
    whole = [import_file(path, venue, Options(at="latest")) for path in paths]
    request.getfixturevalue("streaming")
    for path, held in zip(paths, whole, strict=True):
        streamed = import_file(path, venue, Options(at="latest"))
        assert streamed == held
        assert {i.id for i in streamed.document.instruments} == {i.id for i in of_lines.document.instruments}
        assert import_file(path, "auto", Options(at="latest")).format == venue


def deribit(count: int) -> JsonObject:
    rows = [
        {
            "instrument_name": f"BTC-25DEC26-{60_000 + 100 * k}-C", "timestamp": 1_780_000_000_000,
            "index_price": 85000.5, "mark_price": 0.01, "mark_iv": 60.25,
            "underlying_price": 86000.5, "underlying_index": "BTC-25DEC26",
            "interest_rate": 0.0, "stats": {"high": None, "low": [1, 2, 3]}, "state": "open",
        }
        for k in range(count)
    ]  # fmt: skip
    return {"jsonrpc": "2.0", "result": rows, "usIn": 1, "usOut": 2}


@pytest.mark.usefixtures("streaming")
def test_rows_in_envelopes_and_by_name(tmp_path: Path) -> None:
    answer = deribit(5)
    by_name = {row["instrument_name"]: row for row in answer["result"]}
    markets = [
        import_file(written(tmp_path, "a.json", value), "auto", Options(prices={"USDC": "1"})).document
        for value in (answer, answer["result"], by_name, {"result": by_name, "testnet": False})
    ]
    assert all(market == markets[0] for market in markets)
    assert len(markets[0].instruments) == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"result": [{"instrument_name": "A"}], "result": []}', "the key appears twice"),
        ('[{"a": 1, "a": 2}, {"b": [1, 2, 3, 4, 5, 6, 7, 8]}]', "the key appears twice"),
        ('{"result": [{"instrument_name": "A", ', "not JSON"),
        ('{"result": []} x', "not JSON"),
        ('{"result": []} "x', "not JSON"),
        ('{"result": ["\\\\"]} "]', "not JSON"),
        ('{"result": [NaN, 1, 2, 3]}', "not JSON"),
        ('{"result": [' + "9" * 401 + "]}", "more than 400 digits"),
        ('{"result": [' + "9" * 5000 + "]}", "not JSON|digits"),
        ('{"result": [1e401, 2]}', "more than 400 digits"),
        ("[" * 65 + "]" * 65, "nested too deeply"),
        ('{"error": {"code": 1}, "x": [1, 2, 3, 4, 5, 6, 7, 8, 9]}', "answered with an error"),
        ('{"x": [1, 2, 3, 4, 5, 6, 7, 8, 9], "y": 2}', "that is no list of tickers"),
        ('{"instrument_name": "A", "x": [1, 2, 3, 4, 5, 6, 7, 8, 9]}', "that is no list of tickers"),
        ('["\udcff", 1, 2, 3, 4]', "not UTF-8|not JSON"),
    ],
)
@pytest.mark.usefixtures("streaming")
def test_what_is_refused(tmp_path: Path, text: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "LARGE", 8)
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=reason) as caught:
        import_file(path, "deribit-json")
    assert caught.value.file == str(path)


@pytest.mark.usefixtures("streaming")
def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_NAMES", 3)
    with pytest.raises(InputError, match="more than 3 names"):
        json_stream.look_over(io.BytesIO(b'{"a": 1, "b": 2, "c": 3, "d": 4}'))
    monkeypatch.setattr(json_stream, "MAX_TEXT_BYTES", 1 << 17)
    with pytest.raises(InputError, match="one text of more than"):
        json_stream.look_over(io.BytesIO(b'["' + b"x" * (1 << 19) + b'"]'))


MEASURE = """
import resource, sys
from zkmargin.engine.importers import Options, import_file
from zkmargin.formats import InputError
market = import_file(sys.argv[1], "auto", Options(prices={"USDC": "1"}, at="latest")).document
print(len(market.instruments), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def repeated(count: int, size: int) -> Iterator[str]:
    """An answer of that many bytes: the same tickers again and again."""
    rows = ", ".join(json.dumps(row) for row in deribit(count)["result"])
    yield '{"jsonrpc": "2.0", "result": ['
    for _ in range(size // len(rows)):
        yield rows + ", "
    yield rows + '], "usIn": 1}'


def test_memory_follows_from_what_is_kept_and_not_from_the_size(tmp_path: Path) -> None:
    peaks = []
    for size in (1_000_000, 20_000_000):
        path = tmp_path / f"{size}.json"
        with path.open("w") as file:
            file.writelines(repeated(200, size))
        done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
        count, peak = map(int, done.stdout.split())
        assert count == 200
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 20_000  # kB; held as a whole, 20 MB took 300 MB more
