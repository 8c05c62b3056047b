"""The golden market of version 2: named forwards, a vol of 0, a settlement value. Later releases read it as it is.

``tests/goldens.py --write market`` makes it again.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError

FILE = Path(__file__).parent / "data" / "golden" / "v2" / "markets" / "golden.market.json"
DIGEST = "e9af62d050a77fd313e802c9c694f16ff710d40c517245e886228ec82f38b9d1"
#: Money units a lot under the default policy: an option on the named forward, one at its intrinsic value, one settled.
MARKS = {
    "OZCN26-460-C": 731893720544,
    "OCDN26-460-C": 1327055108448,
    "OZCN26-300-C": 7780033402028,
    "OZCK26-450-C": 262500000000,
    "ZCZ26": 0,
}


def made() -> Market:
    time, june, december = "2026-05-19T18:30:00Z", "2026-06-26T18:30:00Z", "2026-12-14T18:30:00Z"
    call = partial(Instrument, kind="option", underlying="ZC", lot="1", multiplier="50", option_type="call")
    return Market(
        time=time,
        source="golden",
        underlyings=(Underlying(name="ZC", index_price="455"),),
        forwards=(
            Forward(underlying="ZC", expiry=june, price="456.25", rate="0.04"),
            Forward(name="ZCZ26", underlying="ZC", expiry=december, price="478.5", rate="0.04"),
        ),
        instruments=(
            call(id="OZCN26-460-C", expiry=june, strike="460", implied_vol="0.28"),
            call(id="OCDN26-460-C", expiry=june, strike="460", implied_vol="0.26", forward="ZCZ26"),
            call(id="OZCN26-300-C", expiry=june, strike="300", implied_vol="0"),
            call(id="OZCK26-450-C", expiry="2026-05-19T18:30:00Z", strike="450", settlement_value="5.25"),
            Instrument(
                id="ZCZ26", kind="future", underlying="ZC", lot="1", multiplier="50", expiry=december, forward="ZCZ26"
            ),
        ),
        assets=(Asset(name="USD", price="1", lot="0.01"),),
    )


def test_it_is_read_and_written_as_it_was() -> None:
    if os.environ.get("ZKMARGIN_WRITE_GOLDEN") == "1":
        FILE.write_bytes(made().to_bytes())
    market = Market.parse(FILE.read_bytes(), file=FILE.name)
    assert market.format == "zkmargin/market/v2"
    assert market == made()
    assert market.to_bytes() == FILE.read_bytes()
    assert market.digest().hex() == DIGEST


def test_it_means_what_it_meant() -> None:
    snapshot = build_snapshot(Market.parse(FILE.read_bytes()), load_policy("default"))
    found = {slot.id: mark for slot, mark in zip(snapshot.instruments, snapshot.marks.values.tolist(), strict=True)}
    assert found == MARKS


def test_version_1_has_none_of_it() -> None:
    value = json.loads(FILE.read_bytes()) | {"format": "zkmargin/market/v1"}
    with pytest.raises(InputError, match="unknown key in version 1"):
        Market.parse(json.dumps(value))
