"""A combined commodity belongs to an exchange: two of one code never become one, in either SPAN format."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import zkmargin
from zkmargin.engine.importers import import_arrays
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot_from_arrays, check_snapshot_of_arrays
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.formats import InputError

DATA = Path(zkmargin.__file__).parent / "cli" / "samples"
PA2, XML = DATA / "span_demo.pa2", DATA / "span_demo.spn"


def with_line(tmp_path: Path, after: str, new: str) -> Path:
    lines = PA2.read_text("latin-1").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(after))
    path = tmp_path / "changed.pa2"
    path.write_text("\n".join([*lines[: at + 1], new, *lines[at + 1 :]]) + "\n", "latin-1")
    return path


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ("2 TCX GC    0USD P    TG        FUT0", "exchanges, DMX and TCX"),
        ("2 DMX GC    0JPY P    TG        FUT0", "currencies, USD and JPY"),
        ("2 DMX GC    1USD P    TG        FUT0", "risk exponents, 1 and 10"),
        ("2 DMX GC    0USD F    TG        FUT0", "option margin styles"),
    ],
)
def test_a_second_record_that_contradicts_the_first_is_refused(tmp_path: Path, record: str, what: str) -> None:
    path = with_line(tmp_path, "2 DMX GC", record)
    with pytest.raises(InputError, match=f"type 2 GC: a combined commodity of two {what}") as caught:
        import_arrays(path, "span-pa2", lots={"GC": "1"})
    assert caught.value.line is not None
    assert import_arrays(path, "span-pa2", lots={"ZN": "1"}).groups == ("ZN",)  # of no consequence for others


def test_a_second_record_with_more_products_is_taken(tmp_path: Path) -> None:
    path = with_line(tmp_path, "2 DMX GC", "2 DMX GC    0USD P    XG        FUT0")
    whole = import_arrays(PA2, "span-pa2", lots={"GC": "1"})
    assert import_arrays(path, "span-pa2", lots={"GC": "1"}).instruments == whole.instruments


def test_a_commodity_twice_in_xml_is_refused(tmp_path: Path) -> None:
    text = XML.read_text("latin-1")
    found = re.search(r"<ccDef>.*?</ccDef>", text, re.DOTALL)
    assert found is not None
    path = tmp_path / "twice.spn"
    path.write_text(text.replace(found[0], found[0] + found[0], 1), "latin-1")
    name = re.search(r"<cc>(.*?)</cc>", found[0])
    assert name is not None
    with pytest.raises(InputError, match="a combined commodity twice"):
        import_arrays(path, "span-xml", lots={name[1]: "1"})


def on_two_exchanges(tmp_path: Path, *, apart: bool = True) -> Path:
    """The sample's records once more, of exchange TCX and with arrays of twice the size, behind a type 1 of its own."""
    header, first, *rest = PA2.read_text("latin-1").splitlines()
    others = [line.replace("DMX", "TCX") for line in rest if line[:2] not in ("T ", "6 ")]
    others = [line[:12] + "1" + line[13:] if line.startswith("2 TCX GC") else line for line in others]
    blocks = [header, first, *rest, *([first.replace("DMX", "TCX")] if apart else []), *others]
    path = tmp_path / f"two-{apart}.pa2"
    path.write_text("\n".join(blocks) + "\n", "latin-1")
    return path


def test_two_commodities_of_one_code_are_both_imported_where_the_file_tells_which_is_which(tmp_path: Path) -> None:
    path, alone = on_two_exchanges(tmp_path), import_arrays(PA2, "span-pa2", lots={"GC": "1"})
    both = import_arrays(path, "span-pa2", lots={"DMX:GC": "1", "TCX:GC": "2"})
    assert both.groups == ("DMX:GC", "TCX:GC")
    half = len(alone.instruments)
    assert [own.id for own in both.instruments[:half]] == [f"DMX:{own.id}" for own in alone.instruments]
    assert [own.id for own in both.instruments[half:]] == [f"TCX:{own.id}" for own in alone.instruments]
    assert {own.lot for own in both.instruments[half:]} == {"2"}
    assert (both.gains.values[:half] == alone.gains.values).all()
    assert (both.gains.values[half:] == 10 * alone.gains.values).all()
    assert (both.deltas.values.reshape(2, half) == alone.deltas.values).all()
    assert both.calendars["DMX:GC"] == alone.calendars["GC"]
    assert both.calendars["TCX:GC"].tiers == alone.calendars["GC"].tiers
    minimum = alone.short_option_minimums["GC"]
    assert both.short_option_minimums == {"DMX:GC": minimum, "TCX:GC": f"{minimum}0"}
    build_snapshot_from_arrays(both, load_policy("span"))
    credited = import_arrays(path, "span-pa2", lots={"DMX:GC": "1", "DMX:ZN": "1"}).credits
    assert [leg.underlying for leg in credited[0].legs] == ["DMX:GC", "DMX:ZN"]


def test_two_commodities_of_one_code_are_refused_where_it_does_not(tmp_path: Path) -> None:
    apart, mixed = on_two_exchanges(tmp_path), on_two_exchanges(tmp_path, apart=False)
    with pytest.raises(InputError, match="of two exchanges, DMX and TCX") as caught:
        import_arrays(apart, "span-pa2", lots={"GC": "1"})
    assert caught.value.hint == "name the exchange too: DMX:GC in place of GC"
    for name in ("DMX:GC", "TCX:GC"):
        with pytest.raises(InputError, match="of DMX and TCX, and nothing in the file says whose record this is"):
            import_arrays(mixed, "span-pa2", lots={name: "1"})
    lines = apart.read_text("latin-1").splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith("S GC"))
    apart.write_text("\n".join(lines[:last] + lines[last + 1 :]) + "\n", "latin-1")
    with pytest.raises(InputError, match="0 records of type S for TCX"):
        import_arrays(apart, "span-pa2", lots={"DMX:GC": "1"})
    with pytest.raises(InputError, match="no such combined commodity"):
        import_arrays(PA2, "span-pa2", lots={"TCX:GC": "1"})


@pytest.mark.conformance
@pytest.mark.parametrize("name", ["two.pa2", "one_exchange.pa2"])
def test_published_layouts_with_two_commodities_of_one_code(conformance_data: Path, name: str) -> None:
    path = conformance_data / "cases" / "35-pa2-merged-commodity" / name
    with pytest.raises(InputError, match="type 2 GC: a combined commodity of two"):
        import_arrays(path, "span-pa2", lots={"GC": "1"})
    with pytest.raises(InputError, match="whose record this is" if name == "two.pa2" else "of two risk exponents"):
        import_arrays(path, "span-pa2", lots={"DMX:GC": "1"})


def test_an_expired_contract_of_imported_arrays_has_its_price_and_no_array() -> None:
    arrays = import_arrays(PA2, "span-pa2", lots={"GC": "1", "ZN": "1"})
    policy = load_policy("span")
    before = build_snapshot_from_arrays(arrays, policy)
    expiries = [instrument.expiry for instrument in arrays.instruments]
    option = next(i for i, own in enumerate(arrays.instruments) if own.kind == "option")
    on_the_day = str(expiries[option]).replace("T00:00:00Z", "T23:59:59Z")
    assert not at(arrays, on_the_day).expired()[option]
    day_after = at(arrays, "2027-01-01T00:00:00Z")
    gone = day_after.expired()
    assert gone[option]
    snapshot = build_snapshot_from_arrays(day_after, policy)
    check_snapshot_of_arrays(snapshot, day_after)
    assert snapshot.marks == before.marks
    assert not snapshot.deltas.values[gone].any()
    for component in snapshot.components:
        for name, absent in component.BY_SLOT.items():
            array = getattr(component, name)
            assert array is None or (array.values[gone] == absent).all(), (component.type, name)


def at(arrays: RiskArrays, time: str) -> RiskArrays:
    return arrays.replaced(time=time)
