"""Snapshots as documents: rebuilt and compared, and what does not fit is refused by name."""

import json
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from support.priced_market import EXPIRY, INSTRUMENTS, MARKET, POLICY, grid_of, make_market, option, policy_with
from support.typed import Json, JsonObject, Keywords

from zkmargin.engine import pricing, valuation
from zkmargin.engine.components.worst_scenario import ScenarioGrid, Tail
from zkmargin.engine.market import Asset, Forward, Instrument
from zkmargin.engine.pricing import black76
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.units import MS_PER_YEAR, Scenario
from zkmargin.formats import InputError, IntArray


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(MARKET, POLICY)


def test_documents_keep_their_digest(snapshot: Snapshot) -> None:
    again = Snapshot.parse(snapshot.to_bytes(), file="snapshot.json")
    assert again == snapshot
    assert again.digest() == snapshot.digest()
    data = json.loads(snapshot.to_bytes())
    assert Snapshot.parse(json.dumps(dict(reversed(list(data.items()))))).digest() == snapshot.digest()
    assert build_snapshot(MARKET, POLICY).digest() == snapshot.digest()


def test_check_rebuilds_and_compares(snapshot: Snapshot) -> None:
    check_snapshot(snapshot, MARKET)
    with pytest.raises(InputError, match="market_digest: the snapshot was built from another market"):
        check_snapshot(snapshot, make_market(source="elsewhere"))
    changed = grid_of(snapshot).risk.values.copy()
    changed[0, 0] += 1
    parts = (grid_of(snapshot).model_copy(update={"risk": IntArray(changed)}), *snapshot.components[1:])
    for update, field in (
        ({"components": parts}, "components"),
        ({"marks": IntArray(snapshot.marks.values + snapshot.marks.values.clip(0, 1))}, "marks"),
        ({"name": "other"}, "name"),
        ({"policy": policy_with(time_step_seconds=0)}, "components"),
    ):
        with pytest.raises(InputError, match=f"{field}: differs from what its market and policy give"):
            check_snapshot(snapshot.model_copy(update=update), MARKET)


def test_stale_prices_are_refused_by_name() -> None:
    late = [i.model_copy(update={"time": "2026-01-01T07:49:59Z"}) if i.id == "PUT" else i for i in INSTRUMENTS]
    with pytest.raises(InputError, match="PUT: its price is 601 s older than the market"):
        build_snapshot(make_market(instruments=tuple(late)), POLICY)
    build_snapshot(make_market(instruments=tuple(late)), policy_with(max_price_age_seconds=601))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"assets": (Asset(name="DOGE", price="1", lot="1"),)}, "asset DOGE: the policy has no haircut"),
        (
            {"assets": (Asset(name="USDC", price="0.99985", lot="0.000001"),)},
            "asset USDC: one lot is not worth",
        ),
        ({"assets": (Asset(name="BTC", price="90000", lot="1000000"),)}, "asset BTC: one lot is worth too much"),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry=EXPIRY, price="0.001"),),
                "instruments": (option("FAR", "1000000000"),),
            },
            "FAR: its strike is too far above its forward",
        ),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry=EXPIRY, price="100000"),),
                "instruments": (option("NEAR", "0.0000000000001"),),
            },
            "NEAR: its strike is too far below its forward",
        ),
        ({"instruments": (option("HUGE", "95000", lot="10000000000"),)}, "HUGE: its P&L or value per lot"),
        (
            {"instruments": (Instrument(id="HUGE", kind="perpetual", underlying="BTC", lot="1000000"),)},
            "HUGE: its P&L or value per lot",
        ),
        ({"instruments": (option("WILD", "95000", implied_vol="90"),)}, "WILD: a vol shocked above 10000 %"),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry="2226-03-02T08:00:00Z", price="9"),),
                "instruments": (option("LATE", "9", expiry="2226-03-02T08:00:00Z"),),
            },
            "LATE: its expiry is more than 100 years away",
        ),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry=EXPIRY, price="9", rate="7"),),
                "instruments": (option("RATE", "9"),),
            },
            f"forward BTC {EXPIRY} rate: too large a rate for its time",
        ),
        (
            {
                "forwards": (Forward(underlying="BTC", expiry="2036-03-02T08:00:00Z", price="9", rate="-0.5"),),
                "instruments": (option("RATE", "9", expiry="2036-03-02T08:00:00Z"),),
            },
            "forward BTC 2036-03-02T08:00:00Z rate: too large a rate for its time",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_by_name(changes: Keywords, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        build_snapshot(make_market(**changes), POLICY)


def test_pricing_takes_everything_that_valuation_lets_through() -> None:
    assert pricing.MAX_VOL_1E9 == valuation.MAX_VOL_1E9
    assert pricing.MAX_RATE_1E9 == valuation.MAX_RATE_1E9
    assert pricing.MAX_YEARS == valuation.MAX_YEARS
    assert 1 << valuation.PRICE_BITS < pricing.MAX_PRICE
    longest = np.array([valuation.MAX_YEARS * MS_PER_YEAR])
    growth = np.array([-valuation.MAX_GROWTH_1E9 // valuation.MAX_YEARS])
    most = np.array([1 << valuation.PRICE_BITS])
    assert black76(most, most, np.array([10**11]), longest, growth, np.array([True]))[0] > 0


def test_markets_without_options_or_instruments() -> None:
    perps = build_snapshot(make_market(instruments=INSTRUMENTS[-1:], forwards=()), POLICY)
    assert [part.type for part in perps.components] == ["worst_scenario", "haircuts"]
    assert perps.groups == ("ETH",)
    empty = build_snapshot(make_market(instruments=(), assets=()), POLICY)
    assert grid_of(empty).risk.values.shape == (0, 0)
    assert Snapshot.parse(empty.to_bytes()).digest() == empty.digest()


def array(values: npt.ArrayLike) -> JsonObject:
    return IntArray(np.array(values, dtype=np.int64)).to_json()


def set_at(data: Json, path: list[str | int], value: int) -> None:
    *parents, last = path
    for key in parents:
        data = data[key]
    data[last] = value


N, S, M = len(INSTRUMENTS), 35, 2


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["layout", "domain_size"], 1000, "domain_size: must be a power of two"),
        (["layout", "position_bits"], 31, "layout.position_bits: not a multiple of the 10 bits"),
        (["collateral", 0, "bits"], 51, "asset USDC bits: not a multiple of the 10 bits"),
        (["collateral", 0, "price"], 0, "greater than 0"),
        (["collateral", 1, "asset"], "USDC", "collateral: a name appears twice"),
        (["collateral", 1, "lot"], "0", "BTC lot: must be above 0"),
        (["instruments", 1, "id"], "CALL", "instruments: a name appears twice"),
        (["instruments", 1, "group"], 1, "PUT: its group is not its underlying"),
        (["instruments", 1, "group"], 7, "PUT: its group is not its underlying"),
        (["instruments", 1, "lot"], "-1", "PUT lot: must be above 0"),
        (["groups"], ["BTC", "BTC"], "groups: a name appears twice"),
        (["marks"], array([0] * (N - 1)), "marks: has the shape"),
        (["deltas"], array([[0] * N]), "deltas: has the shape"),
        (["marks"], array([-1] * N), "CALL: a mark below 0"),
        (["marks"], array([1] * N), "FUT: a mark below 0, or of a future"),
        (["components", 0, "risk"], array(np.zeros((N, S - 1))), "worst_scenario.risk: has the shape"),
        (["components", 0, "risk"], array(np.full((N, S), -(2**63))), "worst_scenario.risk: a value outside"),
        (["components", 0, "scenarios", 1], ["only one"], "worst_scenario.risk: a value beyond the scenarios"),
        (["components", 0, "scenarios"], [["x"] * S], "worst_scenario.scenarios: labels for 1 groups, not 2"),
        (["components", 0, "requirements"], ["initial"], "components: no scenarios for the maintenance"),
        (["components", 0, "requirements"], ["initial", "maintenance", "x"], 'no requirement is called "x"'),
        (["components", 1, "charge"], array([0]), "short_option_minimum.charge: has the shape"),
        (["components", 1, "charge"], array([-1] * N), "short_option_minimum.charge: a negative charge"),
        (["components", 2, "long_value"], array([1] * (M + 1)), "haircuts.long_value: has the shape"),
        (["components", 2, "long_value"], array([-1] * M), "haircuts.long_value: a negative value"),
        (["components", 2, "short_value"], array([0] * M), "haircuts.short_value: owing an asset"),
        (["components"], [], "components: no scenarios"),
        (["market_digest"], "00", "not 32 bytes in lower-case hexadecimal"),
        (["money_unit"], "0.01", "0.000000001"),
        (["time"], "yesterday", "time: not a UTC time"),
        (["format"], "zkmargin/snapshot/v3", "another version"),
    ],
)
def test_snapshots_whose_parts_do_not_fit_are_refused(
    snapshot: Snapshot, path: list[str | int], value: int, reason: str
) -> None:
    data = json.loads(snapshot.to_bytes())
    set_at(data, path, value)
    with pytest.raises(InputError, match=reason) as caught:
        Snapshot.parse(json.dumps(data), file="snapshot.json")
    assert str(caught.value).startswith("snapshot.json")


def test_exactly_one_component_of_collateral(snapshot: Snapshot) -> None:
    data = json.loads(snapshot.to_bytes())
    data["components"].append(data["components"][2])
    with pytest.raises(InputError, match="exactly one component says"):
        Snapshot.parse(json.dumps(data))


def test_grids_are_models_of_their_own() -> None:
    grid = ScenarioGrid(
        price_moves_bp=(-500, 0, 500),
        vol_moves_bp=(0,),
        tails=(Tail(price_move_bp=4000, vol_move_bp=0, weight_bp=100),),
    )
    assert grid.scenarios()[-1] == Scenario(4000, 0, 100)


def test_reading_a_snapshot_and_a_book_loads_no_compiled_code() -> None:
    code = "import sys; from zkmargin.engine import book, margin, snapshot; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
