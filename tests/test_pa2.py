"""SPAN's positional format: the demo file in tests/data with every trap, and records that are refused by name."""

from pathlib import Path

import pytest
from support.typed import Passed

import zkmargin
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.importers import import_arrays
from zkmargin.engine.margin import margin_report
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot_from_arrays
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.formats import InputError

DEMO = Path(zkmargin.__file__).parent / "cli" / "samples" / "span_demo.pa2"
LOTS = {"GC": "1", "ZN": "1"}


def import_pa2(path: Path, **options: Passed) -> RiskArrays:
    return import_arrays(path, "span-pa2", **options)


USD = 10**13


@pytest.fixture(scope="module")
def arrays() -> RiskArrays:
    return import_arrays(DEMO, "span-pa2", lots=LOTS)


def changed(tmp_path: Path, *edits: Passed) -> Path:
    """The demo file with lines replaced: (prefix, function of the line or a list of lines)."""
    lines = DEMO.read_text("latin-1").splitlines()
    for prefix, edit in edits:
        at = next(i for i, line in enumerate(lines) if line.startswith(prefix))
        new = edit(lines[at])
        lines[at : at + 1] = new if isinstance(new, list) else [new]
    path = tmp_path / "changed.pa2"
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("latin-1"))
    return path


def drop(_line: str) -> Passed:
    return []


def swap(text: str) -> Passed:
    return lambda _line: [text]


def put(column: int, text: str) -> Passed:
    return lambda line: line.ljust(132)[: column - 1] + text + line.ljust(132)[column - 1 + len(text) :]


def test_contracts_and_values(arrays: RiskArrays) -> None:
    found = {instrument.id: at for at, instrument in enumerate(arrays.instruments)}
    assert list(found) == [
        "GC-FUT-202509",
        "GC-FUT-202510",
        "GC-FUT-202512",
        "OG-OOF-202512-202512-3700-P",
        "OG-OOF-202512-202512W2-3700-P",  # the week code tells it from the monthly option
        "ZN-FUT-202512",
    ]
    gains = arrays.gains.values[found["GC-FUT-202509"]].tolist()
    assert gains[2] == 5_333_000_000
    assert gains[15] == -15_840_000_000
    put_ = arrays.instruments[found["OG-OOF-202512-202512-3700-P"]]
    assert (put_.price, put_.strike, put_.multiplier, put_.option_type) == ("107.4", "3700", "100", "put")
    # with the flag Y the regular field is zero and the price is the precise one
    assert arrays.instruments[found["OG-OOF-202512-202512W2-3700-P"]].price == "108"
    assert arrays.deltas.values[found["OG-OOF-202512-202512-3700-P"]] == -475_200_000
    assert any("left out, no settlement price" in note for note in arrays.notes)


def test_treasury_prices_are_in_32nds_and_the_risk_exponent_multiplies(arrays: RiskArrays) -> None:
    note = arrays.instruments[-1]
    assert note.price == "117.40625"
    assert arrays.gains.values[-1][10] == 1_300_000_000
    assert arrays.price_scans == {"GC": "16000", "ZN": "1300"}


def test_spreads_and_minima(arrays: RiskArrays) -> None:
    gold = arrays.calendars["GC"]
    assert [spread.charge.amount for spread in gold.spreads] == ["300", "1000"]
    assert [leg.period for leg in gold.spreads[0].legs] == ["202509", "202510"]
    assert [leg.tier for leg in gold.spreads[1].legs] == [1, 2]
    assert arrays.short_option_minimums == {"GC": "35", "ZN": "0"}
    (credit,) = arrays.credits
    assert credit.rate == "0.35"
    assert [(leg.underlying, leg.side, leg.deltas) for leg in credit.legs] == [("GC", "A", "1"), ("ZN", "B", "2")]


def test_a_margin_from_the_file(arrays: RiskArrays) -> None:
    snapshot = build_snapshot_from_arrays(arrays, load_policy("span"), position_bits=20)
    lots = to_lots(Book(positions={"GC-FUT-202509": "1", "GC-FUT-202510": "-1"}, collateral={"USD": "0"}), snapshot)
    assert margin_report(snapshot, lots).total == 300 * USD
    lots = to_lots(Book(positions={"GC-FUT-202509": "2", "ZN-FUT-202512": "-3"}, collateral={"USD": "0"}), snapshot)
    report = margin_report(snapshot, lots)
    # one and a half spreads: 0.35 x (1.5 x 16000) off gold, 0.35 x (1.5 x 2 x 1300) off notes
    assert report.groups[0].charge == (32_000 - 8_400) * USD
    assert report.groups[1].charge == (3_900 - 1_365) * USD


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([("0 ", put(36, "U "))], 'file format "U"'),
        ([("0 ", drop)], "no type 0"),
        ([("T ", swap("V x"))], "record type V"),
        ([("T ", swap("83x"))], "record type 83"),
        ([("82", drop)], "without its 82"),
        ([("81", drop)], "without its 81"),
        ([("82", put(30, "202511"))], "another contract"),
        ([("81", put(55, "0000x"))], "not a number"),
        ([("81", put(60, "?"))], "not a sign"),
        ([("P DMXGC", drop)], "no type P"),
        ([("B DMXOG", drop)], "no type B"),
        ([("P DMXZN", put(40, "Q"))], "alignment Q"),
        ([("P DMXZN", put(34, "002"))], "alignment C"),
        ([("2 DMX GC", put(18, "X"))], "margin style X"),
        ([("2 DMX GC", put(36, "2"))], "83 and 84"),
        ([("4 GC", put(9, "10"))], "delivery charges by method 10"),
        ([("S GC", put(9, "10"))], "scanning by tiers"),
        ([("E GC", put(34, "X"))], "neither A nor B"),
        ([("E GC", lambda line: line[:34])], "fewer than two legs"),
        ([("T ", swap("T " + "x" * 600))], "a line longer"),
    ],
)
def test_wrong_files_are_refused_with_the_line(tmp_path: Path, edits: Passed, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        import_pa2(changed(tmp_path, *edits), lots=LOTS)
    assert caught.value.line is not None


def test_a_contract_twice_is_refused(tmp_path: Path) -> None:
    lines = DEMO.read_text("latin-1").splitlines()
    pair = [line for line in lines if line.startswith(("81DMXZN", "82DMXZN"))]
    path = tmp_path / "twice.pa2"
    path.write_text("\n".join([*lines, *pair]) + "\n", "latin-1")
    with pytest.raises(InputError, match="a contract twice"):
        import_pa2(path, lots=LOTS)


def test_types_that_may_be_ignored_are_named(tmp_path: Path) -> None:
    path = changed(tmp_path, ("T ", swap("V x")), ("4 GC", put(9, "10")))
    arrays = import_pa2(path, lots=LOTS, ignore=("V", "4"))
    assert any("V (1)" in note for note in arrays.notes)
    assert arrays.short_option_minimums["GC"] == "0" or arrays.short_option_minimums["GC"] == "35"


def test_an_unstated_spread_blocks_what_shares_its_commodities(tmp_path: Path) -> None:
    lines = DEMO.read_text("latin-1").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("6 "))
    lines.insert(at, put(89, "04")(put(6, "0000")(lines[at])))
    path = tmp_path / "scanning.pa2"
    path.write_text("\n".join(lines) + "\n", "latin-1")
    arrays = import_pa2(path, lots=LOTS)
    assert arrays.credits == ()
    assert sum("no credit is given" in note for note in arrays.notes) == 2
