"""What went wrong with published files, case by case, and what a file is taken for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.market_files import CALL, DATA, ids, marks, read, ticker, written

from zkmargin.engine.book import load_book
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot, build_snapshot_from_arrays
from zkmargin.formats import InputError

# --- the published cases ----------------------------------------------------------------------------------------


@pytest.fixture
def case(conformance_family: Callable[[str], list[Path]]) -> Callable[[str], dict[str, Path]]:
    return lambda name: {path.name: path for path in conformance_family(f"cases/{name}")}


@pytest.mark.conformance
def test_case_combos(case: Callable[[str], dict[str, Path]]) -> None:
    for path in (case("01-combo-names")["option_combo.json"], case("01-combo-names")["future_combo.json"]):
        found = read(path)
        assert len(ids(found)) == 6
        assert [o.reason for o in found.left_out] == ["a combo or spread: its legs are imported"]


@pytest.mark.conformance
def test_case_book_summary_and_logs(case: Callable[[str], dict[str, Path]]) -> None:
    assert len(ids(read(case("02-book-summary")["summary.json"]))) == 2
    files = case("03-ws-log")
    assert ids(read(files["ws.json"])) == ["BTC-PERPETUAL"]
    assert ids(read(files["lines.ndjson"])) == ids(read(files["dict_by_name.json"])) == ["BTC-PERPETUAL", "BTC-26JUN26"]


@pytest.mark.conformance
def test_case_linear_usdc(case: Callable[[str], dict[str, Path]]) -> None:
    files = case("05-linear-usdc")
    values = []
    for name in ("linear.json", "linear.csv", "mixed.json"):
        market = read(files[name]).document
        assert isinstance(market, Market)
        snapshot = build_snapshot(market, load_policy("default"))
        book = load_book(files["b.json"], snapshot)
        total = sum(q * mark for q, mark in zip(book.positions, snapshot.marks.values.tolist(), strict=True))
        values.append(round(total / 1e9, 2))
    assert len(set(values)) == 1
    assert values[0] == pytest.approx(-4297.173, abs=0.01)  # py_vollib


@pytest.mark.conformance
def test_case_ticks(case: Callable[[str], dict[str, Path]]) -> None:
    files = case("07-tardis-chain")
    assert len(ids(read(files["r9-blankline.csv"]))) == 2
    assert len(ids(read(files["ticks.csv"], at="latest"))) == 3


@pytest.mark.conformance
def test_case_span_time_and_packing(case: Callable[[str], dict[str, Path]]) -> None:
    files = case("10-span-zip-stdin")
    zipped = read(files["nsccl.20260625.i1.zip"], lots={"NIFTY": "75"}).document
    assert zipped.digest() == read(files["small.spn"], lots={"NIFTY": "75"}).document.digest()
    assert zipped.time == "2026-06-24T16:19:00Z"
    for path in case("09-span-date-tomorrow").values():
        if path.suffix == ".spn":
            arrays = read(path, lots={"NIFTY": "75"}).document
            created = path.read_text("latin-1").partition("<created>")[2][:12]
            assert not arrays.time.endswith("T00:00:00Z")
            assert f"created {created}" in arrays.source


@pytest.mark.conformance
def test_case_two_futures(case: Callable[[str], dict[str, Path]], tmp_path: Path) -> None:
    path = case("18-two-futures-one-expiry")["one.csv"]
    lines = path.read_text().splitlines()
    # the same file with its one column more: which forward an option is priced on
    named = [f"{line},{'forward' if not n else ''}" for n, line in enumerate(lines)]
    text = "\n".join(named) + "\n"
    text = text.replace("forward,,ZC,2026-12-14", "forward,ZCZ26,ZC,2026-12-14")
    for row in ("future,ZCZ26,", "option,OCDN26-460-C,"):
        old = next(line for line in named if line.startswith(row))
        text = text.replace(old, f"{old}ZCZ26")
    market = read(written(tmp_path, text, "one.csv")).document
    assert isinstance(market, Market)
    found = marks(build_snapshot(market, load_policy("default")))
    assert found["OZCN26-460-C"] == pytest.approx(731.89, abs=0.005)
    assert found["OCDN26-460-C"] == pytest.approx(1327.06, abs=0.005)


@pytest.mark.conformance
def test_case_zero_vol(case: Callable[[str], dict[str, Path]]) -> None:
    files = case("19-zero-vol")
    market = read(files["zero.json"], prices={"USDC": "1"}).document
    assert isinstance(market, Market)
    snapshot = build_snapshot(market, load_policy("default"))
    assert marks(snapshot)["BTC-19MAY26-60000-C"] == pytest.approx(1700.0912, abs=1e-4)
    assert load_book(files["b.json"], snapshot)


@pytest.mark.conformance
def test_case_decimals(case: Callable[[str], dict[str, Path]]) -> None:
    for path in case("20-okx-decimals").values():
        if path.suffix == ".csv":
            market = read(path).document
            assert isinstance(market, Market)
            for policy in ("default", "tims", "paradex", "deribit-pm"):
                assert build_snapshot(market, load_policy(policy)).marks.values[0] > 0


@pytest.mark.conformance
def test_case_name_in_digest(case: Callable[[str], dict[str, Path]], tmp_path: Path) -> None:
    path = case("33-name-in-digest")["a.csv"]
    other = tmp_path / "another-name.csv"
    other.write_bytes(path.read_bytes())
    assert read(path).document.digest() == read(other).document.digest()


def test_arrays_of_a_file_build_a_snapshot_at_the_file_s_time() -> None:
    arrays = read(DATA / "span_demo.spn", lots={"ALPHA": "75"}).document
    assert not isinstance(arrays, Market)
    assert build_snapshot_from_arrays(arrays, load_policy("span")).time == "2026-06-24T21:49:00Z"


def test_what_a_file_was_taken_for_is_said_when_it_fails(tmp_path: Path) -> None:
    path = written(tmp_path, [ticker(CALL) | {"mark_iv": "much"}])
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.hint == "it was taken for deribit-json (Deribit answers and messages)"


def test_exchanges_of_one_file_keep_their_portfolios_apart(tmp_path: Path) -> None:
    text = (DATA / "span_demo.spn").read_text("latin-1").encode("ascii", "replace").decode()
    start, end = text.index("<exchange>"), text.index("</exchange>") + len("</exchange>")
    first = text[start:end]
    name = first.partition("<exch>")[2].partition("<")[0]
    other = first.replace(f"<exch>{name}<", "<exch>ELSEWHERE<")
    expected = read(DATA / "span_demo.spn", lots={"ALPHA": "75"}).document
    for both in (first + other, other + first):
        path = written(tmp_path, text[:start] + both + text[end:], "two.spn")
        assert read(path, lots={"ALPHA": "75"}).document.digest() == expected.digest()
