"""A whole market in one CSV file."""

from pathlib import Path

import pytest
from support.typed import Json

import zkmargin
from zkmargin.engine.importers import import_market
from zkmargin.engine.importers.generic_csv import COLUMNS
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError

DEMO = Path(zkmargin.__file__).parent / "cli" / "samples" / "market_demo.csv"


def changed(tmp_path: Path, old: Json, new: Json) -> Path:
    text = DEMO.read_text()
    assert old in text
    path = tmp_path / "market.csv"
    path.write_text(text.replace(old, new, 1))
    return path


def test_a_market_and_its_snapshot() -> None:
    market = import_market(DEMO, "csv")
    assert (market.time, market.quote) == ("2026-01-02T08:00:00Z", "USD")
    assert [i.kind for i in market.instruments] == ["option", "option", "future", "perpetual", "spot"]
    assert market.instruments[0].implied_vol == "0.00065" or market.instruments[0].implied_vol == "0.65"
    assert market.assets[1].underlying == "BTC"
    assert market.forwards[0].rate == "0.04"
    snapshot = build_snapshot(market, load_policy("span"))
    assert len(snapshot.instruments) == 5
    extra = import_market(DEMO, "csv", prices={"USDC": "0.9998", "USD": "2"})
    assert [(a.name, a.price) for a in extra.assets] == [("USD", "1"), ("BTC", "60000"), ("USDC", "0.9998")]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("market,USD", "venue,USD", "not one of market"),
        ("underlying,BTC,,,,,,60000", "underlying,BTC,,,7,,,60000", "does not belong"),
        ("60500", "sixty", "not a number"),
        ("call", "cal", "option_type"),
        (",0.65,", ",,", "missing implied_vol"),
        ("future,BTC-MAR", "market,USD", "does not belong"),
        ("2026-01-02T08:00:00Z", "yesterday", "not a UTC time"),
        ("2026-03-27T08:00:00Z,60000,put", "2026-04-27T08:00:00Z,60000,put", "missing expiry"),
        ("BTC-60000-P", "BTC-60000-C", "twice"),
    ],
)
def test_wrong_cells_are_refused(tmp_path: Path, old: Json, new: Json, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        import_market(changed(tmp_path, old, new), "csv")
    assert caught.value.file is not None


def test_a_market_row_is_needed_once(tmp_path: Path) -> None:
    head = DEMO.read_text().splitlines()
    path = tmp_path / "market.csv"
    path.write_text("\n".join([head[0], *head[2:]]) + "\n")
    with pytest.raises(InputError, match="no market row"):
        import_market(path, "csv")
    path.write_text("\n".join([*head, head[1]]) + "\n")
    with pytest.raises(InputError, match="a second market row"):
        import_market(path, "csv")
    path.write_text(",".join(COLUMNS[:-1]) + "\n")
    with pytest.raises(InputError, match="no such column"):
        import_market(path, "csv")
    with pytest.raises(InputError, match="not an option"):
        import_market(DEMO, "csv", pull=1)
