"""Snapshots that nobody built: what their integers could do to a circuit is refused when they are read or encoded."""

from typing import Any

import numpy as np
import pytest

from circuits import build_circuit, system
from circuits.system import Form, System
from engine.components import (
    PublishedDampenedTails,
    PublishedDiscountedScenarios,
    PublishedGainOffset,
    PublishedHaircuts,
    PublishedSkewScenarios,
    PublishedWorstScenario,
)
from engine.components.gain_offset import Family, OffsetClass
from engine.margin import Claim
from engine.risk_arrays import ArrayInstrument, RiskArrays
from engine.snapshot import Snapshot
from engine.spreads import PublishedLeg, PublishedSpread, check_spreads, form_spreads, smallest_count
from formats import InputError

UNIT = (1, 1, 60, True)
INT64_MIN = -(2**63)


def snapshot_of(lab: Any, *parts: Any, **change: Any) -> Any:
    """Two slots in two risk groups, read back as a document. ``parts`` stand for the worst scenario if given."""
    base = lab.snapshot(groups=[0, 1], risk=[[1], [1]], charges=None, marks=[0, 0], assets=[UNIT])
    if parts:
        haircuts = next(part for part in base.components if isinstance(part, PublishedHaircuts))
        change["components"] = (*parts, haircuts)
    return Snapshot.parse(base.model_copy(update=change).to_bytes())


def test_a_delta_without_an_absolute_value_is_refused(lab: Any) -> None:
    # |-2^63| is -2^63 in 64 bits: a limit on gross exposure would have taken it for a relief
    assert snapshot_of(lab, deltas=lab.array([INT64_MIN + 1, 1]))
    with pytest.raises(InputError, match="64 bits with sign") as caught:
        snapshot_of(lab, deltas=lab.array([INT64_MIN, 1]))
    assert caught.value.field == "deltas"


def imported(lab: Any, gain: Any, delta: Any, lot: Any) -> Any:
    contract = ArrayInstrument(id="X", kind="future", underlying="U", lot=lot, multiplier="1")
    gains = lab.array([[gain, *[1] * 15]])
    time = "2026-01-01T00:00:00Z"
    return RiskArrays(time=time, quote="USD", instruments=(contract,), gains=gains, deltas=lab.array([delta]))


@pytest.mark.parametrize(
    ("gain", "delta", "lot"),
    [(INT64_MIN, 1, "1"), (INT64_MIN, 1, "0.001"), (-(2**53), 1, "1.024"), (1, INT64_MIN, "1"), (1, INT64_MIN, "2")],
)
def test_an_imported_loss_never_wraps_around(lab: Any, gain: Any, delta: Any, lot: Any) -> None:
    # the least 64-bit integer has itself as absolute value there: a loss of 2^63 counted as 0
    assert imported(lab, INT64_MIN // 1000 + 1, 1 - 2**62, "1").gains_per_lot()[0, 0] == 1000 * (INT64_MIN // 1000 + 1)
    with pytest.raises(InputError, match="past 64 bits"):
        imported(lab, gain, delta, lot)


def families(*scenarios: Any) -> Any:
    return tuple(
        Family(name=f"F{g}", classes=(OffsetClass(group=g, offset_bp=0),), scenarios=labels)
        for g, labels in enumerate(scenarios)
    )


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("kind", ["worst_scenario", "discounted_scenarios", "gain_offset", "dampened_tails", "skew"])
def test_a_measure_of_risk_without_scenarios_is_refused(lab: Any, kind: Any, missing: Any) -> None:
    # otherwise "no scenarios for the initial requirement" could be got round by a component that holds none
    labels = (() if missing == 2 else ("s",), ())
    width = 2 - missing
    zeros, none = lab.array(np.zeros((2, width), dtype=np.int64)), lab.array([-1, -1])
    grid = PublishedWorstScenario(scenarios=(("s",), ("s",)), risk=lab.array([[1], [1]]))
    parts: tuple[Any, ...]
    if kind == "worst_scenario":
        parts = (PublishedWorstScenario(scenarios=labels, risk=zeros),)
    elif kind == "discounted_scenarios":
        moved = {
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
        snapshot_of(lab, *parts)


def leg(side: Any, *accounts: Any) -> Any:
    return PublishedLeg(accounts=accounts, ratio=1, side=side)


@pytest.mark.parametrize("turned", [False, True])
def test_a_part_of_a_tier_against_the_whole_tier_is_refused_in_either_order(turned: Any) -> None:
    # the part's deltas would have been left in the tier too, and spread a second time
    legs = (leg("B", 1), leg("A", 0, 1))
    spread = PublishedSpread(label="part and whole", legs=legs[::-1] if turned else legs)
    with pytest.raises(InputError, match="part of a tier"):
        check_spreads([spread], 2)
    apart = PublishedSpread(label="two parts", legs=(leg("B", 1), leg("A", 0)))
    after = PublishedSpread(label="whole", legs=(leg("B", 0, 1), leg("A", 2)))
    assert form_spreads([apart, after], [(5, 0), (0, 3), (3, 0)], smallest_count) == [3, 0]


def test_a_circuit_has_a_largest_size(lab: Any, monkeypatch: Any) -> None:
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
