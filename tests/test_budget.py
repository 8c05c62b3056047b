"""Work has a budget: what a document costs is counted before it is done, and grows with the document's size at most.

Times and memory are measured by ``benchmarks/hostile.py``; here the units are counted that the work draws.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import Field
from support.growth import containers, planted
from support.typed import Json

import zkmargin
from zkmargin.accounts import Commitment
from zkmargin.engine.components import PolicyPart, PublishedPart, parts_of
from zkmargin.engine.components.delta_shock_upper_bound import DeltaShock
from zkmargin.engine.components.gain_offset import ProductGroup, families_of
from zkmargin.engine.components.pools import tier_lines
from zkmargin.engine.components.worst_scenario import ScenarioGrid, WorstScenario
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.publishing import snapshots
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.units import MONEY
from zkmargin.formats import FrozenMap, InputError, Model, load_document, save_document
from zkmargin.formats.budget import LIMITS, Budget, Unit, budget, spend
from zkmargin.formats.documents import Document, Seq
from zkmargin.formats.mappings import MAX_ITEMS

DOCUMENTS = Path(__file__).parent / "data" / "golden" / "v1" / "documents"
WORK: tuple[Unit, ...] = ("cells", "scenarios", "lines", "points")

# The budget itself


def test_what_is_drawn_is_counted_and_refused_before_it_is_over() -> None:
    with budget(Budget({**LIMITS, "lines": 10})) as own:
        spend("lines", 4)
        with pytest.raises(InputError, match="more than 10 lines: too large to be worked on") as caught:
            spend("lines", 7, field="tiers")
        assert caught.value.field == "tiers"
        spend("lines", 6)  # what was refused was not drawn
        assert own.spent("lines") == 10


def test_inside_a_budget_another_one_draws_on_it() -> None:
    with budget() as outer:
        with budget() as inner:
            spend("points", 3)
        assert inner is outer
        assert outer.spent("points") == 3
    with budget() as after:
        assert after.spent("points") == 0


def test_outside_of_a_budget_each_draw_is_held_to_the_limit() -> None:
    spend("points", LIMITS["points"])
    with pytest.raises(InputError):
        spend("points", LIMITS["points"] + 1)


# Caps on fields that multiply


def grid(prices: int, vols: int) -> ScenarioGrid:
    return ScenarioGrid(
        price_moves_bp=tuple(range(1, prices + 1)), vol_moves_bp=tuple(range(vols)), published_grid=True
    )


def test_a_grid_for_an_underlying_that_is_not_there_makes_no_labels() -> None:
    # a megabyte of such overrides took 18 seconds: a thousand labels each
    absent = FrozenMap({f"U{i}": grid(32, 32) for i in range(2000)})
    part = WorstScenario(grid=grid(1, 1), overrides=absent)
    with budget() as drawn:
        assert part.implied(("BTC",), {})["scenarios"] == (grid(1, 1).labels(),)
        assert drawn.spent("scenarios") < 10


def test_labels_of_many_underlyings_are_counted_before_they_are_made() -> None:
    names = tuple(f"U{i}" for i in range(1100))
    part = WorstScenario(grid=grid(1, 1), overrides=FrozenMap(dict.fromkeys(names, grid(32, 32))))
    with pytest.raises(InputError, match="scenarios: too large"), budget():
        part.implied(names, {})


def test_joined_labels_of_product_groups_are_counted_before_they_are_made() -> None:
    def families(size: int, count: int) -> None:
        names = tuple(f"U{i}" for i in range(size * count))
        groups = {f"G{k}": ProductGroup(underlyings=names[k::count], offset_bp=0) for k in range(count)}
        labels = [[f"price {g} {s}" for s in range(1024)] for g in range(8)]
        with budget():
            families_of(names, groups, [labels[i // count % 8] for i in range(len(names))])

    families(8, 2)
    with pytest.raises(InputError, match="scenarios: too large"):
        families(2000, 1)
    with pytest.raises(InputError, match="a scenario's label of"):
        families(900, 1)  # pydantic's own error got out here
    with pytest.raises(InputError, match="characters: too large"), budget(Budget({**LIMITS, "characters": 10**5})):
        families(8, 2)


def test_lines_of_charges_are_counted() -> None:
    with budget() as drawn:
        tier_lines([(0, 1), (10, 2)])
        DeltaShock(threshold="1", saturation="2", cap_bp=100, chords=64).lines(MONEY)
        assert drawn.spent("lines") == 66


def test_points_of_commitments_are_counted_over_all_parts() -> None:
    text = json.loads((DOCUMENTS / "golden.commitment.json").read_text())
    point = text["parts"][0]["points"][0]
    text["parts"][0]["points"] = [point] * 4096
    text["parts"] = [text["parts"][0]] * 17
    with pytest.raises(InputError, match=r"more than 65536 points"):
        Commitment.parse(json.dumps(text))


def test_a_snapshot_is_counted_before_it_is_priced() -> None:
    market, policy = example_market("2026-01-02T03:04:05Z"), load_policy("default")
    with budget() as drawn:
        snapshot = build_snapshot(market, policy)
        arrays = sum(part.risk.values.size for part in snapshot.components if hasattr(part, "risk"))
        assert drawn.spent("cells") >= arrays > 0
    with pytest.raises(InputError, match="cells: too large"), budget(Budget({**LIMITS, "cells": arrays - 1})):
        build_snapshot(market, policy)


def test_what_pydantic_says_while_something_is_built_leaves_as_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small(Model):
        label: str = Field(max_length=3)

    def too_long(*_: object, **__: object) -> Small:
        return Small(label="a label that is too long")

    snapshot = build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"))
    save_document(snapshot, tmp_path / "s.json")
    monkeypatch.setattr(Snapshot, "check_loaded", too_long)
    with pytest.raises(InputError, match="at most 3 characters") as caught:
        load_document(Snapshot, tmp_path / "s.json")
    assert (caught.value.file, caught.value.field) == (str(tmp_path / "s.json"), "label")
    monkeypatch.setattr(snapshots, "check_domain_size", too_long)
    with pytest.raises(InputError, match="at most 3 characters"):
        build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"))


# Growth


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"), [("every-component.policy.json", Policy), ("every-component.snapshot.json", Snapshot)]
)
def test_work_on_a_document_grows_with_its_size_whatever_field_is_large(name: str, kind: type[Document]) -> None:
    document = json.loads((DOCUMENTS / name).read_text())

    def drawn(text: bytes) -> int:
        with budget() as own:
            with contextlib.suppress(InputError):
                kind.parse(text).check_loaded()
            return sum(own.spent(unit) for unit in WORK)

    base, found = drawn((DOCUMENTS / name).read_bytes()), []
    for path in containers(document):
        for size in (2_000, 8_000):
            text = planted(document, path, size)
            if drawn(text) > base + len(text):
                found.append((path, size))
    assert found == []


def unbounded(schema: Json) -> Iterator[Json]:
    """Tuples without a largest length in a core schema of pydantic."""
    if isinstance(schema, dict):
        if schema.get("type") == "tuple" and "variadic_item_index" in schema and "max_length" not in schema:
            yield schema
        for value in schema.values():
            yield from unbounded(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from unbounded(value)


def every_model(kind: type[Model]) -> Iterator[type[Model]]:
    for below in kind.__subclasses__():
        yield below
        yield from every_model(below)


def test_every_sequence_of_every_document_has_a_maximum() -> None:
    for name in zkmargin.__all__:
        getattr(zkmargin, name)
    assert len([*parts_of(PolicyPart), *parts_of(PublishedPart)]) > 40  # documents import only what they hold
    kinds = [kind for kind in every_model(Model) if kind.__module__.startswith("zkmargin.")]
    assert len(kinds) > 100
    for kind in kinds:
        kind.model_rebuild()  # models are built when they are first used: before that there is no schema to look at
    assert [kind for kind in kinds if any(unbounded(kind.__pydantic_core_schema__))] == []

    class Small(Model):
        default: Seq[int]
        own: Seq[int] = Field(max_length=3)

    assert Small(default=(1,), own=(1, 2, 3))
    for values in ({"default": range(MAX_ITEMS + 1), "own": ()}, {"default": (), "own": (1, 2, 3, 4)}):
        with pytest.raises(InputError, match="at most"):
            Small.model_validate({key: tuple(value) for key, value in values.items()})

    class Unbounded(Model):
        free: tuple[int, ...]

    Unbounded.model_rebuild()
    assert any(unbounded(Unbounded.__pydantic_core_schema__))
