"""The second verifier builds the circuit of every policy from the documents alone: the same digests."""

from __future__ import annotations

import importlib
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from support import lab
from support.two_verifiers import LIMITS, SHAPES, shaped, small_market, small_snapshot
from support.typed import JsonObject

from zkmargin.circuits import build_circuit
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import PublishedPart, parts_of
from zkmargin.engine.limits import Limit
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return small_snapshot()


@pytest.fixture(scope="module")
def second() -> ModuleType:
    """tests/second_verifier.py, which imports its neighbours."""
    return importlib.import_module("second_verifier")


# --- circuits -----------------------------------------------------------------------------------------------


def same_circuit(second: ModuleType, snapshot: Snapshot, claim: Claim, limits: tuple[str, ...] = ()) -> bool:
    document = second.json.loads(snapshot.to_bytes())
    stated = [second.Limit.parse(text) for text in limits]
    ours = second.build_circuit(document, claim.num, claim.den, claim.requirement, stated)
    theirs = build_circuit(snapshot, claim, [Limit.parse(text) for text in limits])
    assert second.keccak256(second.canonical(second.without_data(document))) == snapshot.digest()
    return bool(ours.digest() == theirs.digest)


@pytest.mark.parametrize("requirement", ["initial", "maintenance"])
@pytest.mark.parametrize("ratio", [Fraction(1), Fraction(5, 4), Fraction(1, 3)])
def test_circuits_of_the_default_policy(
    second: ModuleType, snapshot: Snapshot, requirement: str, ratio: Fraction
) -> None:
    claim = Claim(ratio.numerator, ratio.denominator, requirement)
    assert same_circuit(second, snapshot, claim, LIMITS)
    assert same_circuit(second, snapshot, claim, LIMITS[::-1])
    assert same_circuit(second, snapshot, claim)


@pytest.mark.parametrize("shape", SHAPES)
def test_circuits_of_other_shapes(second: ModuleType, shape: str) -> None:
    assert same_circuit(second, shaped(**SHAPES[shape]), Claim())


@pytest.mark.parametrize("mode", ["floor", "added", "flat"])
@pytest.mark.parametrize("strikes", [None, [1, -1, 0, 1]])
def test_circuits_of_every_minimum(second: ModuleType, mode: str, strikes: list[int] | None) -> None:
    plain = shaped(groups=[0, 1, 1, 0], assets=1, charges=[3, 0, 5, 2])
    parts = [
        part.model_copy(update={"mode": mode, "strikes": lab.array(strikes) if strikes else None})
        if part.type == "short_option_minimum"
        else part
        for part in plain.components
    ]
    assert same_circuit(second, plain.model_copy(update={"components": tuple(parts)}), Claim())


def test_circuits_of_tiered_haircuts(second: ModuleType) -> None:
    plain = second.json.loads(shaped(groups=[0], assets=3).to_bytes())
    tiers = [
        {"slot": 1, "value": 50_000, "start": 40},
        {"slot": 0, "value": 40_000, "start": 30},
        {"slot": 1, "value": 20_000, "start": 100},
    ]
    for part in plain["components"]:
        if part["type"] == "haircuts":
            part["tiers"] = tiers
    assert same_circuit(second, Snapshot.parse(second.json.dumps(plain)), Claim())


@pytest.mark.parametrize("policy", ["paradex", "tims"])
def test_circuits_of_other_policies(second: ModuleType, policy: str) -> None:
    snapshot = build_snapshot(small_market(), load_policy(policy), domain_size=64)
    assert same_circuit(second, snapshot, Claim(), LIMITS)


ROWS = [[3, -1, 4], [-1, 5, 0], [9, -2, -6], [5, 0, 3]]
CHANGE = [[3, -3], [0, 1], [0, 0], [2, 1]]
FAMILIES = [
    {
        "name": "index",
        "classes": [{"group": 1, "offset_bp": 8_500, "cap": 7}, {"group": 0, "offset_bp": 10_000, "cap": None}],
        "scenarios": ["up", "down"],
    }
]
ALONE = [
    {"name": f"U{g}", "classes": [{"group": g, "offset_bp": 10_000, "cap": None}], "scenarios": ["up", "flat", "down"]}
    for g in (1, 0)
]
POOLS = [
    {"name": "a", "group": 1, "lines": [{"slope": 3}]},
    {"name": "b", "group": "both", "lines": [{"slope": 2}, {"slope": 5, "start": 40}]},
    {"name": "c", "group": 1, "lines": [{"slope": 4, "start": 9}]},
]


def leg(side: str, ratio: int, *accounts: int) -> JsonObject:
    return {"side": side, "ratio": ratio, "accounts": list(accounts)}


SPREADS = [
    {"label": "one", "legs": [leg("A", 1, 0), leg("B", 1, 1)]},
    {"label": "mirrored", "legs": [leg("A", 1, 0), leg("B", 1, 0)]},
    {"label": "another group", "legs": [leg("B", 1, 2), leg("A", 1, 3)]},
    {"label": "no deltas", "legs": [leg("A", 1, 0), leg("B", 1, 4)]},
    {"label": "tiers", "legs": [leg("A", 1, 0, 1), leg("B", 1, 1, 0)]},
    {"label": "a mirrored tier", "legs": [leg("A", 1, 0, 1), leg("B", 1, 0, 1)]},
]
CALENDAR = {
    "type": "calendar_charge",
    "deltas": [5, -2, 3, 7],
    "account_of": [0, 2, 3, 1],
    "accounts": ["jan", "feb", "mar", "apr", "may"],
    "account_groups": [0, 0, 1, 1, 0],
    "spreads": SPREADS,
    "charges": [11, 5, 0, 7, 3, 2],
    "delivery": [0, 3, 1, 0, 2],
}
FURTHER: list[JsonObject] = [
    CALENDAR | {"method": "exact"},
    CALENDAR | {"method": "convex_bound"},
    {
        "type": "inter_commodity_credit",
        "deltas": [5, -2, 3, 7],
        "spreads": [
            {"label": "1", "legs": [leg("A", 2, 0), leg("B", 3, 1)]},
            {"label": "2", "legs": [leg("A", 1, 1), leg("B", 1, 0)]},
        ],
        "credits": [[700_000, 800_000], [10, 0]],
    },
    {"type": "joint_scenarios", "group": None, "scenarios": ["x", "y", "z"], "risk": ROWS},
    {"type": "joint_scenarios", "group": "all", "scenarios": ["x", "y", "z"], "risk": ROWS},
    *(
        {
            "type": "expected_shortfall",
            "group": group,
            "scenarios": ["x", "y", "z"],
            "risk": ROWS,
            "level_bp": level,
            "weight_bp": 9_000,
        }
        for group in (None, "all")
        for level in (9_750, 9_000, 9_999)
    ),
    {"type": "gain_offset", "families": FAMILIES, "risk": [row[:2] for row in ROWS]},
    {"type": "gain_offset", "families": ALONE, "risk": ROWS},
    {"type": "dampened_tails", "families": FAMILIES, "risk": [row[:2] for row in ROWS], "dampeners": [11]},
    {"type": "dampened_tails", "families": ALONE, "risk": ROWS, "dampeners": [0, 5]},
    {"type": "factors", "value_bp": 12_345, "requirements": ["initial"]},
    {"type": "factors", "value_bp": 12_345, "requirements": ["maintenance"]},
    {"type": "collateral_charge", "charge": [2, 0]},
    *({"type": "open_orders", "mode": mode, "rate": [2, 30]} for mode in ("added", "flat")),
    *(
        {"type": name, "mode": mode, "scale": 7, "pools": POOLS, "pool": [1, 0, 2, 1]} | values
        for mode in ("floor", "added", "flat")
        for name, values in (
            ("fees", {"long": [1, 2, 0, 4], "short": [0, 2, 3, 4]}),
            ("funding", {"long": [1, 2, 0, 4], "short": [0, 0, 0, 0]}),
            ("gross_charge", {"long": [0, 2, 0, 0], "short": [0, 2, 3, 0]}),
            ("delta_shock_upper_bound", {"value": [5, -2, 3, -1]}),
            ("vega_term_upper_bound", {"value": [0, -2, 3, 0]}),
        )
    ),
    *(
        {"type": "min_delta", "mode": mode, "net_rate_bp": 300, "hedged_rate_bp": 100, "delta": [5, -2, 0, 7]}
        for mode in ("floor", "added", "flat")
    ),
    *(
        {
            "type": "basis_contingency",
            "mode": mode,
            "expiries": [2, 0, -1, 2],
            "change": [[3, -3], [0, 1], [0, 0], [2, 1]],
        }
        for mode in ("floor", "added")
    ),
    {
        "type": "discounted_scenarios",
        "scenarios": [["x", "y"], ["z"]],
        "expiries": [2, 0, -1, 2],
        "gain": [[3, -1], [4, 0], [2, 0], [-5, 6]],
        "shortfall": [[1, 0], [3, 0], [0, 0], [2, 5]],
        "collateral_group": [1, -1],
        "collateral_gain": [[-3, 0], [0, 0]],
    },
    {
        "type": "skew_scenarios",
        "scenarios": ["x", "y"],
        "expiries": [2, 0, -1, 2],
        "gain": [[3, -1], [4, 0], [0, 0], [-5, 6]],
        "shortfall": [[1, 0], [0, 0], [0, 0], [2, 5]],
    },
    {
        "type": "tiered_margin",
        "mode": "added",
        "scale": 10**6,
        "pools": [POOLS[0], {"name": "d", "group": 0, "lines": [{"slope": 25_000}, {"slope": 50_000, "start": 900}]}],
        "pool": [1, 0, -1, 1],
        "long": [7, 4, 0, 3],
        "short": [7, 4, 0, 3],
    },
    # the second row of the matrix is a multiple of the first: semidefinite, and no more
    {"type": "delta_norm", "group": "delta norm", "sigma": [[9, -6], [-6, 4]], "delta": [5, -3, 0, 2]},
    {"type": "delta_norm", "group": "delta norm", "sigma": [[0, 0], [0, 4]], "delta": [5, -3, 0, 2]},
]


#: Lists of integers that are no arrays.
PLAIN = ("account_groups", "charges", "credits", "dampeners", "delivery", "families", "pools", "scenarios", "spreads")


def with_component(second: ModuleType, part: JsonObject) -> Snapshot:
    """A snapshot with one more component, its arrays given as lists of integers."""
    document = second.json.loads(shaped(groups=[0, 1, 1, 0], assets=2).to_bytes())
    written = {
        key: lab.array(value).to_json() if isinstance(value, list) and np.asarray(value).dtype.kind == "i" else value
        for key, value in part.items()
        if key not in PLAIN
    }
    kept = {key: value for key, value in part.items() if key not in written}
    document["components"].insert(1, written | kept)
    return Snapshot.parse(second.json.dumps(document))


@pytest.mark.parametrize("part", FURTHER, ids=lambda part: part["type"])
def test_circuits_of_further_components(second: ModuleType, part: JsonObject) -> None:
    assert same_circuit(second, with_component(second, part), Claim(3, 2))


@pytest.mark.usefixtures("second")
def test_every_component_is_described_and_those_that_are_known_are_compared() -> None:
    text = (Path(__file__).parents[1] / "docs" / "circuit.md").read_text("utf-8")
    names = [part.model_fields["type"].default for part in parts_of(PublishedPart)]
    assert [name for name in names if f"`{name}`" not in text] == []
    known = set(sys.modules["second_components"].COMPONENTS)
    compared = {part["type"] for part in FURTHER} | {"worst_scenario", "short_option_minimum", "haircuts"}
    assert compared == known
    assert known <= set(names)


def test_a_component_or_a_key_that_it_does_not_know_is_not_passed_over(second: ModuleType) -> None:
    for change in ({"type": "tea_leaves"}, {"moon": "full"}):
        document = second.json.loads(shaped(groups=[0], assets=1).to_bytes())
        document["components"][0].update(change)
        with pytest.raises(second.Unsupported, match="not supported by the second verifier"):
            second.build_circuit(document, 1, 1, "initial", [])
