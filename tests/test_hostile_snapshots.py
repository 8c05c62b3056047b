"""Snapshots that nobody built: what their integers could do to a circuit is refused when they are read or encoded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from support import lab
from support.typed import Json, JsonObject, Keywords, Passed, Unchecked

from zkmargin.circuits import build_circuit
from zkmargin.circuits.language import system
from zkmargin.circuits.language.system import Form, System
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import PublishedPart
from zkmargin.engine.components.base import Extent
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails
from zkmargin.engine.components.discounted_scenarios import PublishedDiscountedScenarios
from zkmargin.engine.components.gain_offset import Family, OffsetClass, PublishedGainOffset
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.joint_scenarios import PublishedJointScenarios
from zkmargin.engine.components.skew_scenarios import PublishedSkewScenarios
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.example import example_market
from zkmargin.engine.market import Market
from zkmargin.engine.policy import MAX_COMPONENTS, Policy, load_policy, policy_names
from zkmargin.engine.publishing.snapshots import build_snapshot, build_snapshot_from_arrays
from zkmargin.engine.risk_arrays import ArrayInstrument, RiskArrays
from zkmargin.engine.snapshot import MAX_CELLS, MAX_COLLATERAL, MAX_GROUPS, MAX_ROWS, MAX_TERMS, Snapshot
from zkmargin.engine.spreads import (
    MAX_LOOKUPS,
    PublishedLeg,
    PublishedSpread,
    check_spreads,
    form_spreads,
    smallest_count,
    spread_terms,
)
from zkmargin.formats import InputError, IntArray, load_document, save_document

UNIT = (1, 1, 60, True)
INT64_MIN = -(2**63)


def snapshot_of(*parts: Passed, **change: Passed) -> Snapshot:
    """Two slots in two risk groups, read back as a document. ``parts`` stand for the worst scenario if given."""
    base = lab.snapshot(groups=[0, 1], risk=[[1], [1]], charges=None, marks=[0, 0], assets=[UNIT])
    if parts:
        haircuts = next(part for part in base.components if isinstance(part, PublishedHaircuts))
        change["components"] = (*parts, haircuts)
    return Snapshot.parse(base.model_copy(update=change).to_bytes())


def test_a_delta_without_an_absolute_value_is_refused() -> None:
    # |-2^63| is -2^63 in 64 bits: a limit on gross exposure would have taken it for a relief
    assert snapshot_of(deltas=lab.array([INT64_MIN + 1, 1]))
    with pytest.raises(InputError, match="64 bits with sign") as caught:
        snapshot_of(deltas=lab.array([INT64_MIN, 1]))
    assert caught.value.field == "deltas"


def imported(gain: int, delta: int, lot: str) -> RiskArrays:
    contract = ArrayInstrument(id="X", kind="future", underlying="U", lot=lot, multiplier="1")
    gains = lab.array([[gain, *[1] * 15]])
    time = "2026-01-01T00:00:00Z"
    return RiskArrays(time=time, quote="USD", instruments=(contract,), gains=gains, deltas=lab.array([delta]))


@pytest.mark.parametrize(
    ("gain", "delta", "lot"),
    [(INT64_MIN, 1, "1"), (INT64_MIN, 1, "0.001"), (-(2**53), 1, "1.024"), (1, INT64_MIN, "1"), (1, INT64_MIN, "2")],
)
def test_an_imported_loss_never_wraps_around(gain: int, delta: int, lot: str) -> None:
    # the least 64-bit integer has itself as absolute value there: a loss of 2^63 counted as 0
    assert imported(INT64_MIN // 1000 + 1, 1 - 2**62, "1").gains_per_lot()[0, 0] == 1000 * (INT64_MIN // 1000 + 1)
    with pytest.raises(InputError, match="past 64 bits"):
        imported(gain, delta, lot)


def families(*scenarios: Passed) -> Unchecked:
    return tuple(
        Family(name=f"F{g}", classes=(OffsetClass(group=g, offset_bp=0),), scenarios=labels)
        for g, labels in enumerate(scenarios)
    )


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("kind", ["worst_scenario", "discounted_scenarios", "gain_offset", "dampened_tails", "skew"])
def test_a_measure_of_risk_without_scenarios_is_refused(kind: str, missing: int) -> None:
    # otherwise "no scenarios for the initial requirement" could be got round by a component that holds none
    labels = (() if missing == 2 else ("s",), ())
    width = 2 - missing
    zeros, none = lab.array(np.zeros((2, width), dtype=np.int64)), lab.array([-1, -1])
    grid = PublishedWorstScenario(scenarios=(("s",), ("s",)), risk=lab.array([[1], [1]]))
    parts: tuple[PublishedPart, ...]
    if kind == "worst_scenario":
        parts = (PublishedWorstScenario(scenarios=labels, risk=zeros),)
    elif kind == "discounted_scenarios":
        moved: Keywords = {
            "collateral_group": lab.array([-1]),
            "collateral_gain": lab.array(np.zeros((1, width), dtype=np.int64)),
        }
        parts = (PublishedDiscountedScenarios(scenarios=labels, expiries=none, gain=zeros, shortfall=zeros, **moved),)
    elif kind == "gain_offset":
        parts = (PublishedGainOffset(families=families(*labels), risk=zeros),)
    elif kind == "dampened_tails":
        parts = (grid, PublishedDampenedTails(families=families(*labels), risk=zeros, dampeners=(0, 0)))
    else:
        empty = lab.array(np.zeros((2, 0), dtype=np.int64))
        parts = (grid, PublishedSkewScenarios(scenarios=(), expiries=none, gain=empty, shortfall=empty))
    with pytest.raises(InputError, match="nothing would be charged"):
        snapshot_of(*parts)


def leg(side: Literal["A", "B"], *accounts: Passed) -> PublishedLeg:
    return PublishedLeg(accounts=accounts, ratio=1, side=side)


@pytest.mark.parametrize("turned", [False, True])
def test_a_part_of_a_tier_against_the_whole_tier_is_refused_in_either_order(turned: bool) -> None:
    # the part's deltas would have been left in the tier too, and spread a second time
    legs = (leg("B", 1), leg("A", 0, 1))
    spread = PublishedSpread(label="part and whole", legs=legs[::-1] if turned else legs)
    with pytest.raises(InputError, match="part of a tier"):
        check_spreads([spread], 2)
    apart = PublishedSpread(label="two parts", legs=(leg("B", 1), leg("A", 0)))
    after = PublishedSpread(label="whole", legs=(leg("B", 0, 1), leg("A", 2)))
    assert form_spreads([apart, after], [(5, 0), (0, 3), (3, 0)], smallest_count) == [3, 0]


def test_a_circuit_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = lab.snapshot(
        groups=list(range(9)), risk=[[1] * 7] * 9, charges=None, marks=[0] * 9, assets=[UNIT], bits=8
    )
    # nine groups of seven scenarios are 63 rows of nine coefficients, from an array of 63 integers
    monkeypatch.setattr(system, "MAX_CELLS", 9 * 63 - 1)
    with pytest.raises(InputError, match="public coefficients"):
        build_circuit(snapshot, Claim())
    monkeypatch.setattr(system, "MAX_CELLS", 9 * 63)
    equations = len(build_circuit(snapshot, Claim()).equations)
    small = System(n=16, position_count=0, position_bits=4, range_proved=True, collateral=[])
    monkeypatch.setattr(system, "MAX_EQUATIONS", equations)
    for _ in range(equations):
        small.equal("rule", "name", Form())
    with pytest.raises(InputError, match=f"more than {equations} equations"):
        small.equal("rule", "name", Form())


# A snapshot against its own policy


def small_market() -> Market:
    """A few instruments of each kind, and the assets that every policy knows."""
    market = example_market("2026-11-20T12:00:00Z")
    chosen = [x for x in market.instruments if x.kind != "option"][:6]
    chosen += [x for x in market.instruments if x.kind == "option"][::60]
    return Market.model_validate(
        {name: getattr(market, name) for name in Market.model_fields} | {"instruments": tuple(chosen)}
    )


@pytest.fixture(scope="module")
def built() -> JsonObject:
    """A snapshot of every named policy that prices crypto, as JSON."""
    refuses = {"span-nse", "binance-tiered", "hyperliquid"}  # other underlyings; and no spot or option
    names = [name for name in policy_names() if name not in refuses]
    return {name: json.loads(build_snapshot(small_market(), load_policy(name)).to_bytes()) for name in names}


def loaded(folder: Path, data: Json) -> Snapshot:
    path = folder / "snapshot.json"
    path.write_text(json.dumps(data))
    return load_document(Snapshot, path)


def array_json(values: npt.NDArray[np.int64]) -> dict[str, list[int] | str]:
    return IntArray(np.array(values, dtype=np.int64)).to_json()


def part_of(data: Json, kind: str) -> dict[str, dict[str, list[int] | str] | str]:
    return next(part for part in data["components"] if part["type"] == kind)


def test_what_policies_build_is_loaded(built: JsonObject, tmp_path: Path) -> None:
    for data in built.values():
        assert loaded(tmp_path, data).groups
    bare = small_market().model_copy(update={"instruments": small_market().instruments[:1]})
    for name in ("default", "deribit-pm", "paradex", "span", "tims"):
        policy = load_policy(name)
        save_document(build_snapshot(bare, policy), tmp_path / "bare.json")
        assert load_document(Snapshot, tmp_path / "bare.json").policy == policy


def test_imported_arrays_without_a_charge_are_loaded(tmp_path: Path) -> None:
    contract = ArrayInstrument(id="X", kind="future", underlying="U", lot="1", multiplier="1")
    arrays = RiskArrays(
        time="2026-01-01T00:00:00Z",
        quote="USD",
        instruments=(contract,),
        gains=lab.array([[1] * 16]),
        deltas=lab.array([1]),
    )
    snapshot = build_snapshot_from_arrays(arrays, load_policy("span"))
    save_document(snapshot, tmp_path / "s.json")
    assert load_document(Snapshot, tmp_path / "s.json") == snapshot
    other = json.loads(snapshot.to_bytes())
    other["policy"] = json.loads(load_policy("default").to_bytes())
    other["name"] = f"default {snapshot.time}"
    with pytest.raises(InputError, match="imported arrays do not allow"):
        loaded(tmp_path, other)


def set_at(data: Json, path: tuple[str | int, ...], value: bool | str) -> None:
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value


@pytest.mark.parametrize(
    ("policy", "path", "value", "reason"),
    [
        ("default", ("name",), "the venue's own", "name: not the policy's name"),
        ("default", ("layout", "range_proved"), False, "layout.range_proved: not what the policy says"),
        ("default", ("collateral", 0, "negative_allowed"), False, "USDC: its bound or sign"),
        ("default", ("collateral", 0, "bits"), 60, "USDC: its bound or sign"),
        ("default", ("collateral", 0, "asset"), "DOGE", "DOGE: the policy has no haircut"),
        ("default", ("collateral", 0, "price"), 1, "haircuts.long_value: not what the policy says"),
        ("default", ("policy", "requirements", "initial"), 20_000, None),
        ("default", ("policy", "components", 2, "assets", "BTC", "haircut_bp"), 0, "haircuts.long_value"),
        ("default", ("policy", "components", 0, "grid", "vol_moves_bp"), [0], "worst_scenario.scenarios"),
        ("default", ("components", 0, "scenarios", 0, 0), "price -99 % vol -99 %", "worst_scenario.scenarios"),
        ("default", ("components", 1, "mode"), "added", "short_option_minimum.mode"),
        ("default", ("components", 1, "requirements"), ["initial"], "short_option_minimum.requirements"),
        ("paradex", ("components", 1, "net_rate_bp"), 10_000, "min_delta.net_rate_bp"),
        ("paradex", ("components", 2, "scale"), 2**61, "funding.scale"),
        ("paradex", ("components", 3, "pools", 0, "lines", 0, "slope"), 0, "fees.pools"),
        ("tims", ("components", 0, "families", 0, "classes", 0, "offset_bp"), 9_999, "gain_offset.families"),
        ("deribit-pm", ("components", 1, "dampeners", 0), 2**99, "dampened_tails.dampeners"),
        ("span", ("components", 1, "method"), "convex_bound", "calendar_charge.method"),
        ("derive-pmrm2", ("components", 1, "scenarios", 0), "nothing", "skew_scenarios.scenarios"),
    ],
)
def test_a_snapshot_that_contradicts_its_policy_is_not_loaded(
    built: JsonObject, tmp_path: Path, policy: str, path: tuple[str | int, ...], value: bool | str, reason: str | None
) -> None:
    data = json.loads(json.dumps(built[policy]))
    set_at(data, path, value)
    Snapshot.parse(json.dumps(data))  # by itself it has the form of one
    if reason is None:
        assert loaded(tmp_path, data)
        return
    with pytest.raises(InputError, match=reason) as caught:
        loaded(tmp_path, data)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["long_value", "short_value"])
def test_collateral_counts_for_its_price_less_the_haircut(built: JsonObject, tmp_path: Path, name: str) -> None:
    data = json.loads(json.dumps(built["default"]))
    values = Snapshot.parse(json.dumps(data)).components[-1]
    more = getattr(values, name).values + (1 if name == "short_value" else -1)
    part_of(data, "haircuts")[name] = array_json(more)
    with pytest.raises(InputError, match=f"haircuts.{name}: not what the policy says"):
        loaded(tmp_path, data)


def test_components_are_those_of_the_policy(built: JsonObject, tmp_path: Path) -> None:
    def changed(policy: str, change: Callable[[Json], None]) -> Json:
        data = json.loads(json.dumps(built[policy]))
        change(data["components"])
        return data

    for policy, change, reason in (
        ("default", lambda parts: parts.pop(1), "short_option_minimum: not what the policy says"),
        ("default", lambda parts: parts.reverse(), "worst_scenario: not what the policy says"),
        ("default", lambda parts: parts.insert(1, parts[1]), "haircuts: not what the policy says"),
        ("default", lambda parts: parts.append(parts[1]), "short_option_minimum: not what the policy says"),
        ("paradex", lambda parts: parts.pop(2), "funding: not what the policy says"),
        ("paradex", lambda parts: parts.pop(1), "min_delta: not what the policy says"),
    ):
        with pytest.raises(InputError, match=reason):
            loaded(tmp_path, changed(policy, change))


def test_a_part_that_may_be_silent_leaves_its_place_to_the_next(tmp_path: Path) -> None:
    # both publish a gross charge; the first has nothing to say about this market
    data = json.loads(load_policy("default").to_bytes())
    rate = {"kinds": ["perpetual"], "rate_bp": 100}
    parts = [
        {"type": "gross_charge", "mode": "added", "rates": [rate | {"underlyings": ["SOL"]}]},
        {"type": "gross_charge", "mode": "added", "rates": [rate]},
        {"type": "roll_shock", "rate": {"min_annualised_move_bp": 0, "annualised_move_risk_bp": 0}},
        {"type": "roll_shock", "rate": {"min_annualised_move_bp": 1, "annualised_move_risk_bp": 0}},
    ]
    data["components"] += parts
    snapshot = build_snapshot(small_market(), Policy.parse(json.dumps(data)))
    assert [part.type for part in snapshot.components].count("gross_charge") == 2
    document = json.loads(snapshot.to_bytes())
    assert loaded(tmp_path, document) == snapshot
    document["components"].pop(-2)
    with pytest.raises(InputError, match="not what the policy says"):
        loaded(tmp_path, document)


def test_groups_are_in_the_order_of_their_instruments() -> None:
    for groups, reason in (([0, 1], "A0: the policy has no haircut"), ([1, 0], "groups: not the underlyings in order")):
        snapshot = lab.snapshot(groups=groups, risk=[[1]] * 2, charges=None, marks=[0, 0], assets=[UNIT])
        named = snapshot.model_copy(update={"name": f"{snapshot.policy.name} {snapshot.time}"})
        with pytest.raises(InputError, match=reason):
            named.check_loaded()


# Limits


def document(**change: Passed) -> Json:
    data = json.loads(lab.snapshot(groups=[0], risk=[[1]], charges=None, marks=[0], assets=[UNIT]).to_bytes())
    return data | change


def refused(data: Json) -> str:
    with pytest.raises(InputError) as caught:
        Snapshot.parse(json.dumps(data), file="s.json")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_lists_of_a_snapshot_have_a_largest_length() -> None:
    data = document()
    (slot,), (asset,) = data["instruments"], data["collateral"]
    grid, haircuts = data["components"]
    assert "at most 8192" in refused(document(groups=[f"G{g}" for g in range(MAX_GROUPS + 1)]))
    many = [asset | {"asset": f"A{j}"} for j in range(MAX_COLLATERAL + 1)]
    assert "at most 4096" in refused(document(collateral=many))
    slots = [slot | {"id": f"I{i}"} for i in range((1 << 16) + 1)]
    assert "at most 65536" in refused(document(instruments=slots))
    assert "at most 65 " in refused(document(components=[grid] * (MAX_COMPONENTS + 1) + [haircuts]))
    assert "at most 1024" in refused(document(components=[grid | {"scenarios": [["s"] * 1025]}, haircuts]))
    assert "at most 8000" in refused(document(components=[grid | {"scenarios": [["s" * 8001]]}, haircuts]))
    policy = json.loads(load_policy("default").to_bytes())
    policy["components"] = policy["components"][:1] * MAX_COMPONENTS + policy["components"][1:]
    with pytest.raises(InputError, match="more than 64 components"):
        Policy.parse(json.dumps(policy))


@pytest.mark.parametrize(
    "change",
    [{"id": "X\x1b[2J"}, {"id": "\u202eX"}, {"id": ""}, {"id": "a  b"}, {"underlying": "U 0"}, {"lot": "0" * 61}]
    + [{name: "1" * 61} for name in ("expiry", "strike", "multiplier")],
)
def test_names_and_numbers_of_slots_are_what_a_market_allows(change: dict[str, str]) -> None:
    (slot,) = document()["instruments"]
    assert "instruments[0]" in refused(document(instruments=[slot | change]))


def test_a_group_without_an_instrument_is_refused() -> None:
    data = document(groups=["U0", "U1"])
    data["components"][0]["scenarios"] *= 2
    assert "groups: a risk group without an instrument" in refused(data)


@pytest.mark.parametrize(
    ("size", "extent", "what"),
    [
        (1, Extent(rows=MAX_ROWS), "rows of coefficients"),
        (1 << 12, Extent(rows=MAX_CELLS >> 12), "coefficients"),
        (1, Extent(terms=MAX_TERMS - 2), "terms"),
    ],
)
def test_a_snapshot_has_a_largest_circuit(
    monkeypatch: pytest.MonkeyPatch, size: int, extent: Extent, what: str
) -> None:
    snapshot = lab.snapshot(groups=[0] * size, risk=[[1]] * size, charges=None, marks=[0] * size, assets=[UNIT])
    text = snapshot.to_bytes()

    def allowed(most: Extent) -> None:
        monkeypatch.setattr(PublishedWorstScenario, "extent", lambda _self, **_sizes: most)
        monkeypatch.setattr(PublishedHaircuts, "extent", lambda _self, **_sizes: Extent())
        Snapshot.parse(text)

    allowed(extent)
    with pytest.raises(InputError, match=f"a circuit of [0-9]+ {what}, more than"):
        allowed(Extent(*(value + bool(value) for value in extent)))


def test_rows_of_zeros_count_too() -> None:
    # the circuit skips them, but only after it has looked at each
    parts = [
        PublishedWorstScenario(scenarios=(("s",) * 1024,) * 2, risk=lab.array(np.zeros((2, 1024), dtype=np.int64)))
        for _ in range(60)
    ]
    assert snapshot_of(*parts).components
    sizes: Keywords = {"group_of": (0, 1), "groups": 2, "assets": 1}
    assert parts[0].extent(**sizes) == Extent(rows=2048)
    alone = PublishedJointScenarios(group=None, scenarios=("s",) * 3, risk=lab.array([[0] * 3] * 2))
    assert (alone.extent(**sizes), alone.model_copy(update={"group": "J"}).extent(**sizes)) == (Extent(6), Extent(3))
    none = lab.array([0, 1])
    zeros = lab.array([[0] * 3] * 2)
    skews = PublishedSkewScenarios(scenarios=("s",) * 3, expiries=none, gain=zeros, shortfall=zeros)
    assert skews.extent(**sizes) == Extent(rows=2 * 3 * 2 * 2, terms=3 * 2 * 2**2)


def test_spreads_have_a_largest_work() -> None:
    spread = PublishedSpread(label="s", legs=(leg("A", 0), leg("B", 1)))
    with pytest.raises(InputError, match="accounts times legs"):
        check_spreads([spread] * 16, MAX_LOOKUPS // 32 + 1)
    # the first takes from two sides of one term, the next from what is left: one term more each
    assert spread_terms([spread], 2) == 2 * (2 + 2)
    assert spread_terms([spread] * 2, 2) == 2 * (2 + 2) + 2 * (4 + 4)
    whole = PublishedSpread(label="w", legs=(leg("A", 0, 1, 2), leg("B", 3)))
    assert spread_terms([whole], 4) == 2 * (4 + 4)
