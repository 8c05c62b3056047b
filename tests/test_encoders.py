"""The encoders, machine-checked on small snapshots: one question of each kind (all: make assurance SHARDS=encoders)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import encoders
import z3
from encoders import CounterexampleError, Paths, Sym, ask, snapshots

from zkmargin.circuits import build_circuit
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import PublishedPart, parts_of

SNAPSHOTS = snapshots()


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_no_hidden_integers_pay_less(name: str) -> None:
    verdict = ask(SNAPSHOTS[name], Claim(1, 1))
    assert verdict.paths > 1


def test_every_component_is_asked_about() -> None:
    known = {kind.model_fields["type"].default for kind in parts_of(PublishedPart)}
    assert len(known) > 20
    quadratic = {"delta_norm"}  # tests/test_delta_norm.py: the engine's root is no linear arithmetic
    assert known - quadratic <= {part.type for snapshot in SNAPSHOTS.values() for part in snapshot.components}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("worst_scenario", "worst_scenario"),
        ("worst_scenario", "claim"),
        ("short_option_minimum floor", "short_option_minimum"),
        ("gross_charge added", "gross_charge"),
        ("inter_commodity_credit", "spread"),
        ("haircuts with tiers", "haircuts"),
        ("collateral_charge", "collateral bound"),
    ],
)
def test_an_equation_left_out_lets_a_witness_pay_less(name: str, rule: str) -> None:
    equations = build_circuit(SNAPSHOTS[name], Claim(1, 1)).equations
    place = next(place for place, equation in enumerate(equations) if equation.rule == rule)
    with pytest.raises(CounterexampleError, match=r"^sat: "):
        ask(SNAPSHOTS[name], Claim(1, 1), without=place)


def test_no_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "TIMEOUT_MS", 1)
    with pytest.raises(CounterexampleError):
        ask(SNAPSHOTS["dampened_tails"], Claim(1, 1))


def test_every_outcome_of_a_comparison_is_followed() -> None:
    paths = Paths()
    x = z3.Int("x")
    paths.solver.add(x >= 0, x <= 10)
    encoders.PATHS.append(paths)
    try:
        outcomes = [result for _, result in paths.run(lambda: (bool(Sym(x) > 3), bool(Sym(x) > 20)))]
    finally:
        encoders.PATHS.pop()
    assert sorted(outcomes) == [(False, False), (True, False)]
