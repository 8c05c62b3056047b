"""SPAN files: the demo file in tests/data with every trap of the format, hostile XML, and from a file to a proof."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.typed import Passed

import zkmargin
from zkmargin.accounts import commit_book
from zkmargin.circuits.books import margin_witness
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.importers import import_arrays
from zkmargin.engine.margin import claim_slack, margin_report
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot_from_arrays, check_snapshot_of_arrays
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

DEMO = Path(zkmargin.__file__).parent / "cli" / "samples" / "span_demo.spn"
LOTS = {"ALPHA": "75", "BETA": "1"}


def import_span_xml(path: Path, **options: Passed) -> RiskArrays:
    return import_arrays(path, "span-xml", **options)


@pytest.fixture(scope="module")
def arrays() -> RiskArrays:
    return import_arrays(DEMO, "span-xml", lots=LOTS)


@pytest.fixture(scope="module")
def snapshot(arrays: RiskArrays) -> Snapshot:
    return build_snapshot_from_arrays(arrays, load_policy("span"), position_bits=20)


def changed(tmp_path: Path, *pairs: Passed) -> Path:
    """The demo file with texts replaced, each once."""
    text = DEMO.read_bytes().decode("latin-1")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "changed.spn"
    path.write_bytes(text.encode("latin-1"))
    return path


# --- what is read ---------------------------------------------------------------------------------------------


def test_contracts_values_and_their_signs(arrays: RiskArrays) -> None:
    ids = {instrument.id: at for at, instrument in enumerate(arrays.instruments)}
    future = arrays.instruments[ids["ALPHA-20260630"]]
    assert (future.kind, future.period, future.lot) == ("future", "20260630", "75")
    # the file's losses of a long are 0.33, 0.33, -37.36 ...: gains here, in 1e-6
    row = arrays.gains.values[ids["ALPHA-20260630"]]
    assert row[:4].tolist() == [-330_000, -330_000, 37_360_000, 37_360_000]
    # the covered fraction is in the file already: 0.35 x 2 of the scan range, and not once more
    assert abs(row[15] + 0.7 * 113e6) < 1e6
    call = arrays.instruments[ids["ALPHA-20260630-1050.5-C"]]
    assert (call.strike, call.option_type, call.premium) == ("1050.5", "call", True)
    assert arrays.gains_per_lot()[ids["ALPHA-20260630"]].tolist() == [75_000 * x for x in row.tolist()]


def test_an_option_on_a_future_has_the_period_of_its_future_and_gammas_are_absent(arrays: RiskArrays) -> None:
    option = next(i for i in arrays.instruments if i.id == "OB-202612-48-C")
    assert (option.period, option.multiplier) == ("202612", "100")
    assert arrays.greeks == "none"
    assert any("no Greeks" in note for note in arrays.notes)
    assert any("covered fraction" in note for note in arrays.notes)
    assert "left out, no settlement price: ALPHA-20260630-1200-C" in arrays.notes


def test_parameters_of_the_file(arrays: RiskArrays) -> None:
    assert arrays.price_scans == {"ALPHA": "113", "BETA": "400"}
    assert arrays.short_option_minimums == {"ALPHA": "0", "BETA": "35"}
    beta = arrays.calendars["BETA"]
    # by spread number, not by place in the file
    assert [spread.charge.amount for spread in beta.spreads] == ["75", "60"]
    # spread and outright rates differ: the larger
    assert [(rule.period, rule.charge.amount) for rule in beta.delivery] == [("202609", "25")]
    # the spread with a commodity that is not imported cannot be formed
    assert len(arrays.credits) == 1
    assert arrays.quote == "INR"


def test_the_document_survives_a_file(arrays: RiskArrays, tmp_path: Path) -> None:
    path = tmp_path / "arrays.json"
    path.write_bytes(arrays.to_bytes())
    again = RiskArrays.parse(path.read_text())
    assert again.digest() == arrays.digest()


def test_only_commodities_with_a_lot_are_imported() -> None:
    arrays = import_span_xml(DEMO, lots={"G&M": "10"})
    assert [instrument.id for instrument in arrays.instruments] == ["G_26M-202609"]
    assert arrays.quote == "USD"
    seen = []
    import_span_xml(DEMO, lots=LOTS, progress=lambda done, size: seen.append((done, size)))
    assert seen[-1][0] == seen[-1][1] == 2 * DEMO.stat().st_size


# --- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([("<fileFormat>4.00<", "<fileFormat>5.00<")], "format 5.00"),
        ([("<pe>20260630</pe><v>", "<v>")], "no <pe>"),
        ([("<pe>20260630</pe><p>", "<p>")], "no <pe>"),
        ([("<a>0.33</a>", "")], "15 values"),
        ([("<a>0.33</a>", "<a>nan</a>")], "not a number"),
        ([("<ra><r>1</r>", "<ra><r>2</r>")], "risk arrays of rate 1"),
        ([("<o>C</o>", "<o>X</o>")], "neither C nor P"),
        ([("<valueMeth>EQTY</valueMeth><undPf>", "<valueMeth>SWAP</valueMeth><undPf>")], "valuation method SWAP"),
        ([("<pfId>4</pfId><cId>2</cId>", "<pfId>4</pfId><cId>9</cId>")], "underlying future"),
        ([("<rs>A</rs>", "<rs>C</rs>")], "neither A nor B"),
        ([("<chargeMeth>F<", "<chargeMeth>W<")], "charge method W"),
        ([("<riskExponent>0<", "<riskExponent>x<")], "whole number"),
        ([("<setlDate>20260630<", "<setlDate>someday<")], "not a date"),
        ([("<k>1000.00</k>", "<k>950.00</k>")], "a contract twice"),
        ([("<cc>BETA</cc><name>", "<cc>ALPHA</cc><name>")], "twice"),
        ([("<priceScan>113.00", "<priceScan>39.6")], "covered fraction is not applied"),
        ([("</clearingOrg>", "")], "not XML"),
    ],
)
def test_wrong_files_are_refused_with_the_line(tmp_path: Path, pairs: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        import_span_xml(changed(tmp_path, *pairs), lots=LOTS)
    assert caught.value.file is not None
    if "format" not in reason:
        assert caught.value.line is not None


def test_a_file_of_gains_is_refused(tmp_path: Path) -> None:
    text = DEMO.read_text("latin-1")
    start = text.index("<fut>")
    end = text.index("</fut>", start)
    future = text[start:end].replace("<a>-", "<a>+").replace("<a>", "<a>-").replace("<a>-+", "<a>")
    path = tmp_path / "gains.spn"
    path.write_text(text[:start] + future + text[end:], "latin-1")
    with pytest.raises(InputError, match="gains when prices fall"):
        import_span_xml(path, lots=LOTS)


def test_lots_are_asked_for_and_names_are_checked() -> None:
    with pytest.raises(InputError, match="lot sizes are not in the file") as caught:
        import_span_xml(DEMO, lots={})
    assert "ALPHA" in (caught.value.hint or "")
    with pytest.raises(InputError, match="no such combined commodity"):
        import_span_xml(DEMO, lots={"NIFTY": "75"})
    with pytest.raises(InputError, match="several currencies"):
        import_span_xml(DEMO, lots={"ALPHA": "75", "G&M": "1"})
    with pytest.raises(InputError, match="unknown format"):
        import_arrays(DEMO, "span-zip", lots=LOTS)
    with pytest.raises(InputError, match="cannot be read"):
        import_span_xml(DEMO.with_name("absent.spn"), lots=LOTS)


HOSTILE = {
    "billion laughs": '<?xml version="1.0"?>'
    '<!DOCTYPE z [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><spanFile>&b;</spanFile>',
    "external entity": '<!DOCTYPE z [<!ENTITY x SYSTEM "file:///etc/passwd">]><spanFile>&x;</spanFile>',
    "parameter entity": '<!DOCTYPE z SYSTEM "http://127.0.0.1/x.dtd"><spanFile/>',
    "undefined entity": "<spanFile>&x;</spanFile>",
    "deep": "<a>" * 100,
    "long text": "<spanFile><fileFormat>" + "4" * 10_000 + "</fileFormat></spanFile>",
    "long comment": "<spanFile><!--" + "x" * 5_000_000 + "--></spanFile>",
    "empty": "",
    "not xml": "PK\x03\x04",
    "nothing in it": "<spanFile><fileFormat>4.00</fileFormat></spanFile>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile.spn"
    path.write_bytes(HOSTILE[name].encode("latin-1"))
    with pytest.raises(InputError) as caught:
        import_span_xml(path, lots=LOTS)
    assert "passwd" not in str(caught.value)


@pytest.mark.slow
def test_a_large_file_takes_bounded_memory(tmp_path: Path) -> None:
    text = DEMO.read_text("latin-1")
    start = text.index("<phyPf>")
    end = text.index("<futPf><pfId>4<")
    block = text[start:end]
    copies: list[str] = []
    while sum(map(len, copies)) < 20_000_000:
        number = len(copies)
        copies.append(block.replace("<pfId>", f"<pfId>{number}x").replace("ALPHA", f"Z{number}"))
    path = tmp_path / "large.spn"
    path.write_text(text[:end] + "".join(copies) + text[end:], "latin-1")
    tracemalloc.start()
    arrays = import_span_xml(path, lots=LOTS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(arrays.instruments) == 21
    assert peak < 12_000_000


# --- from the file to a proof ---------------------------------------------------------------------------------

POSITIONS = {
    "ALPHA-20260630": "300",
    "ALPHA-20260728": "-225",
    "ALPHA-20260630-1050.5-C": "-150",
    "ALPHA-20260728-950-P": "-75",
    "ALPHA-20260728-1000-C": "75",
    "BETA-202609": "-4",
    "BETA-202612": "1",
    "OB-202612-52-P": "-3",
}


def test_span_components_of_the_file_in_a_report(snapshot: Snapshot, arrays: RiskArrays) -> None:
    assert {part.type for part in snapshot.components} == {
        "worst_scenario",
        "calendar_charge",
        "inter_commodity_credit",
        "short_option_minimum",
        "haircuts",
    }
    check_snapshot_of_arrays(snapshot, arrays)
    lots = to_lots(Book(positions=POSITIONS, collateral={"INR": "200000"}), snapshot)
    report = margin_report(snapshot, lots)
    alpha, beta = report.groups
    assert alpha.components["calendar_charge"] > 0
    assert alpha.components["inter_commodity_credit"] < 0
    assert beta.components["short_option_minimum"] == 3 * 35 * 10**13
    assert sum(leg.contribution for leg in report.legs) == pytest.approx(report.total, abs=10**6)
    assert np.all(snapshot.marks.values >= 0)


def test_from_a_file_to_a_verified_proof(snapshot: Snapshot) -> None:
    lots = to_lots(Book(positions=POSITIONS, collateral={"INR": "200000"}), snapshot)
    missing = -claim_slack(snapshot, lots, Claim())
    # a balance that just meets the requirement, in lots of 0.01
    balance = lots.collateral[0] + -(-missing // (10**11))
    exact = type(lots)(lots.positions, (balance,))
    below = type(lots)(lots.positions, (balance - 1,))
    assert claim_slack(snapshot, exact, Claim()) >= 0 > claim_slack(snapshot, below, Claim())
    with pytest.raises(ConstraintError):
        margin_witness(snapshot, Claim(), below)
    opening = commit_book(snapshot, exact)
    proof = prove(Statement.of(snapshot, [opening.commitment()], Claim()), exact, [opening])
    verify(Statement.of(snapshot, [opening.commitment()], Claim()), proof)


def test_components_that_price_are_refused_on_arrays(arrays: RiskArrays) -> None:
    with pytest.raises(InputError, match="revalues contracts"):
        build_snapshot_from_arrays(arrays, load_policy("default"))
