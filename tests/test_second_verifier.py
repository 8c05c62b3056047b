"""Two verifiers, one written from the documents alone, give one verdict on every proof, good or bad."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import second_circuit
from support import lab
from support.typed import JsonObject, Keywords, Passed

from zkmargin.accounts import Commitment, commit_book
from zkmargin.accounts.slots import slot_map_digest
from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import Form
from zkmargin.crypto.field import r
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import PublishedPart, parts_of
from zkmargin.engine.example import example_market
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import IntArray, ZkMarginError
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
MET = Claim(1, 1, "initial")
CONTEXT = b"to: bank 7; nonce: 12"
LIMITS = (
    "headroom >= 1000.5",
    "net-exposure BTC <= 120.25",
    "gross-exposure ETH <= 4000",
    "position BTC-PERPETUAL <= 50.5",
    "collateral USDC >= 250000",
)


@pytest.fixture(scope="module")
def second() -> ModuleType:
    """tests/second_verifier.py, which imports its neighbours."""
    return importlib.import_module("second_verifier")


@dataclass(frozen=True)
class Case:
    """Everything a verifier is given."""

    snapshot: Snapshot
    commitments: tuple[Commitment, ...]
    proof: bytes
    claim: Claim = MET
    context: bytes = b""
    limits: tuple[str, ...] = ()

    def first(self) -> bytes | None:
        """The statement digest, or None where the product rejects."""
        try:
            limits = [Limit.parse(text) for text in self.limits]
            statement = Statement.of(self.snapshot, self.commitments, self.claim, context=self.context, limits=limits)
            return bytes(verify(statement, self.proof).statement_digest)
        except ZkMarginError:
            return None

    def second(self, module: ModuleType) -> bytes | None:
        """The same from the second verifier."""
        try:
            digest = module.verify(
                self.snapshot.to_bytes(),
                [commitment.to_bytes() for commitment in self.commitments],
                f"{self.claim.num}/{self.claim.den}",
                self.proof,
                requirement=self.claim.requirement,
                context=self.context,
                limits=self.limits,
            )
        except module.Rejected:
            return None
        return bytes(digest)

    def verdict(self, module: ModuleType) -> bool:
        """Whether it is accepted; both verifiers must agree."""
        first, second = self.first(), self.second(module)
        assert first == second
        return first is not None


def made(
    snapshot: Snapshot,
    lots: BookLots,
    *,
    parts: int = 1,
    claim: Claim = MET,
    context: bytes = CONTEXT,
    limits: tuple[str, ...] = (),
) -> Case:
    """A proof about a book that is held in several places: the whole in one, empty ones beside it."""
    empty = BookLots((0,) * len(lots.positions), (0,) * len(lots.collateral))
    openings = [commit_book(snapshot, lots, alias="one")]
    openings += [commit_book(snapshot, empty, alias=f"venue ä{i}") for i in range(1, parts)]
    commitments = [opening.commitment() for opening in openings]
    kept = [Limit.parse(text) for text in limits]
    proof = prove(Statement.of(snapshot, commitments, claim, context=context, limits=kept), lots, openings)
    return Case(snapshot, tuple(opening.commitment() for opening in openings), proof, claim, context, limits)


@pytest.fixture(scope="module")
def market() -> Market:
    """A part of the example market: every kind of instrument of both underlyings."""
    market = example_market("2026-11-20T12:00:00Z")
    kept: list[Any] = []
    for name in ("BTC", "ETH"):
        own = [x for x in market.instruments if x.underlying == name]
        kept += [x for x in own if x.kind != "option"][:4] + [x for x in own if x.kind == "option"][::40]
    fields = {name: getattr(market, name) for name in Market.model_fields}
    return Market.model_validate({**fields, "instruments": tuple(kept)})


@pytest.fixture(scope="module")
def snapshot(market: Market) -> Snapshot:
    """The default policy over it."""
    return build_snapshot(market, load_policy("default"), domain_size=64)


@pytest.fixture(scope="module")
def lots(snapshot: Snapshot) -> BookLots:
    """Long and short, futures and options, and one balance that is owed nothing."""
    positions = [(-1) ** i * (i % 5) for i in range(len(snapshot.instruments))]
    return BookLots(tuple(positions), (500_000_000, 0, 12)[: len(snapshot.collateral)])


@pytest.fixture(scope="module")
def good(snapshot: Snapshot, lots: BookLots) -> Case:
    """An accepted proof with limits."""
    return made(snapshot, lots, limits=LIMITS)


def with_marks(snapshot: Snapshot) -> Snapshot:
    """The snapshot with the smallest change to a price."""
    marks = snapshot.marks.values.copy()
    marks[int(np.flatnonzero(marks)[0])] += 1
    return snapshot.model_copy(update={"marks": IntArray(marks)})


# --- accepted -----------------------------------------------------------------------------------------------


def test_the_default_policy_with_limits(second: ModuleType, good: Case) -> None:
    assert good.verdict(second)


def test_another_claim_and_several_parts(second: ModuleType, snapshot: Snapshot, lots: BookLots) -> None:
    assert made(snapshot, lots, parts=3, claim=Claim(5, 4, "maintenance"), context=b"").verdict(second)


SHAPES: dict[str, JsonObject] = {
    "segments of both roles": {"groups": [0, 1] * 9, "assets": 17},
    "one segment, filled to the last listed row": {"groups": [0, 1, 0] * 5, "assets": 15},
    "not range-proved": {"groups": [0, 1, 0], "assets": 2, "charges": None, "range_proved": False},
    "not range-proved, segments": {"groups": [0] * 16, "assets": 1, "charges": None, "range_proved": False},
    "an added minimum": {"groups": [0, 1], "assets": 1, "mode": "added"},
    "a group without losses": {"groups": [0, 1], "assets": 1, "risk": [[3, -5], [0, 0]], "charges": [2, 0]},
    "no instruments": {"groups": [], "assets": 1, "risk": [], "charges": None},
}


def shaped(*, groups: list[int], assets: int, n: int = 16, **other: Passed) -> Snapshot:
    """A small snapshot made by hand."""
    count, bits = len(groups), 2 * (n.bit_length() - 1)
    given: Keywords = {
        "n": n,
        "bits": bits,
        "groups": groups,
        "risk": [[(7 * i) % 11 - 5, (5 * i) % 13 - 6] for i in range(count)],
        "charges": [i % 3 for i in range(count)],
        "marks": [i % 4 for i in range(count)],
        "assets": [(90_000 - j % 3, 100_000, bits, j % 2 == 0) for j in range(assets)],
    }
    snapshot: Snapshot = lab.snapshot(**{**given, **other})
    return snapshot


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(second: ModuleType, shape: str) -> None:
    snapshot = shaped(**SHAPES[shape])
    lots = BookLots(
        tuple(i % 3 - 1 for i in range(len(snapshot.instruments))), (200, *[1] * (len(snapshot.collateral) - 1))
    )
    case = made(snapshot, lots)
    assert case.verdict(second)
    assert not replace(case, context=b"other").verdict(second)


def frozen(circuit: Circuit, bits: int, assets: list[tuple[int, bool]]) -> second_circuit.Circuit:
    """A circuit of the product's, as the second verifier holds it."""

    def form(given: Form) -> second_circuit.Form:
        return second_circuit.Form(given.constant, {(kind, i): c for (kind, i), c in given.terms.items()})

    return second_circuit.Circuit(
        circuit.n,
        circuit.position_count,
        bits,
        circuit.position_digits > 0,
        assets,
        {kind: matrix.tolist() for kind, matrix in circuit.matrices.items()},
        [(x.name, x.digits) for x in circuit.bounded],
        [(form(a), form(b)) for a, b in circuit.gates],
        [(x.rule, x.name, form(x.form)) for x in circuit.equations],
    )


def argued(second: ModuleType, case: lab.Case, proof: bytes) -> bytes:
    """The second verifier's argument on a statement of the lab."""
    circuit = frozen(case.circuit, 4, [(8, True), (4, False)])
    assert circuit.digest() == case.circuit.digest
    committed = second.add_parts([part.model_dump(mode="json") for part in case.statement.parts])
    public = list(case.statement.public_messages())
    setup = second.load_setup(second.EMBEDDED_SETUP)
    return bytes(second.check_argument(setup, public, circuit, committed, proof))


@pytest.mark.parametrize(("gates", "range_proved"), [(0, True), (2, True), (1, False)])
def test_product_gates(second: ModuleType, gates: int, range_proved: bool) -> None:
    case = lab.standard(gates=gates, range_proved=range_proved)
    proof = lab.prove(case)
    assert argued(second, case, proof) == verify(case.statement.as_statement(), proof).statement_digest


@pytest.mark.parametrize(
    ("column", "row"), [("f[0]", 2), ("f[3]", 1), ("mu", 0), ("A", 1), ("C", 0), ("h[0]", 3), ("phi", 1)]
)
def test_a_prover_that_checks_nothing_convinces_neither(second: ModuleType, column: str, row: int) -> None:
    case = lab.standard(gates=2)
    proof = lab.encode(case, lab.cheat(case, lab.swap({column: {row: 5}})))
    with pytest.raises(ZkMarginError):
        verify(case.statement.as_statement(), proof)
    with pytest.raises(second.Rejected):
        argued(second, case, proof)


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
def test_circuits_of_other_policies(second: ModuleType, market: Market, policy: str) -> None:
    snapshot = build_snapshot(market, load_policy(policy), domain_size=64)
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


def test_slot_maps_agree(second: ModuleType, good: Case) -> None:
    other = good.commitments[0].model_copy(
        update={
            "parts": tuple(
                part.model_copy(update={"slot_map": slot_map_digest(good.snapshot, "positions").hex()})
                for part in good.commitments[0].parts
            )
        }
    )
    assert not replace(good, commitments=(other,)).verdict(second)


# --- another statement --------------------------------------------------------------------------------------


def other_statements(case: Case, lots: BookLots) -> Iterator[tuple[str, Case]]:
    yield "claim", replace(case, claim=Claim(99, 100))
    yield "requirement", replace(case, claim=Claim(1, 1, "maintenance"))
    yield "context", replace(case, context=CONTEXT + b" ")
    yield "no context", replace(case, context=b"")
    yield "snapshot", replace(case, snapshot=with_marks(case.snapshot))
    yield "a name in the snapshot", replace(case, snapshot=case.snapshot.model_copy(update={"name": "another"}))
    yield "no limits", replace(case, limits=())
    yield "one limit less", replace(case, limits=case.limits[1:])
    yield "limits in another order", replace(case, limits=case.limits[::-1])
    yield "a looser limit", replace(case, limits=("headroom >= 1000", *case.limits[1:]))
    yield "a limit on nothing", replace(case, limits=("position TEA <= 1",))
    yield "a limit the wrong way", replace(case, limits=("headroom <= 1000",))
    yield "the same book again", replace(case, commitments=(commit_book(case.snapshot, lots).commitment(),))
    yield "twice", replace(case, commitments=case.commitments * 2)
    yield "nothing", replace(case, commitments=())
    (document,) = case.commitments
    positions, collateral = document.parts
    changes: dict[str, JsonObject] = {
        "no collateral": {"parts": (positions,)},
        "another setup": {"srs": "00" * 32},
        "another domain": {"domain_size": 128},
        "another alias": {"parts": (positions.model_copy(update={"alias": "two"}), collateral)},
        "other bits": {"parts": (positions.model_copy(update={"bits": 31}), collateral)},
        "swapped": {
            "parts": (
                positions.model_copy(update={"points": collateral.points}),
                collateral.model_copy(update={"points": positions.points}),
            )
        },
        "infinity": {"parts": (positions.model_copy(update={"points": ("c0" + "00" * 47,)}), collateral)},
        "too many points": {"parts": (positions.model_copy(update={"points": positions.points * 2}), collateral)},
        "parts that cancel": {
            "parts": (positions, positions.model_copy(update={"points": negated(positions.points)}), collateral)
        },
    }
    for name, change in changes.items():
        yield name, replace(case, commitments=(document.model_copy(update=change),))


def negated(points: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{int(point[:2], 16) ^ 0x20:02x}{point[2:]}" for point in points)


@pytest.mark.slow
def test_another_statement_is_refused_by_both(second: ModuleType, good: Case, lots: BookLots) -> None:
    accepted = [name for name, case in other_statements(good, lots) if case.verdict(second)]
    assert accepted == []


def test_stated_bounds_that_add_up_too_far_are_refused_by_both(second: ModuleType) -> None:
    snapshot = shaped(groups=[0, 0], assets=1, charges=None, range_proved=False)
    case = made(snapshot, BookLots((1, -1), (200,)))
    extra = commit_book(snapshot, BookLots((0, 0), (0,)), roles=["positions"], alias="more").commitment()
    assert case.verdict(second)
    assert not replace(case, commitments=(*case.commitments, extra)).verdict(second)


def test_order_and_layout_of_commitment_files_do_not_matter(
    second: ModuleType, snapshot: Snapshot, lots: BookLots
) -> None:
    case = made(snapshot, lots, parts=2)
    assert replace(case, commitments=case.commitments[::-1]).verdict(second)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"bits"', b'"bits": 30, "bits"', 1),
        lambda text: text.replace(b'"role"', b'"rule": 1, "role"', 1),
        lambda text: text.replace(b'"domain_size": 64', b'"domain_size": 64.0'),
        lambda text: text.replace(b'"domain_size": 64', b'"domain_size": "64"'),
        lambda text: text.replace(b"commitment/v1", b"commitment/v2"),
        lambda text: text[:-20],
        lambda text: b"\xef\xbb\xbf" + text,
        lambda _: b"[]",
        lambda _: b"\xff",
    ],
)
def test_commitment_files_are_read_strictly_by_both(
    second: ModuleType, good: Case, change: Callable[[bytes], bytes]
) -> None:
    text = change(good.commitments[0].to_bytes())
    with pytest.raises(ZkMarginError):
        Commitment.parse(text)
    with pytest.raises(second.Rejected):
        second.verify(good.snapshot.to_bytes(), [text], "1", good.proof, context=CONTEXT, limits=good.limits)


# --- another proof ------------------------------------------------------------------------------------------


def regions(case: Case) -> dict[str, tuple[int, int]]:
    """(offset, size) of every element, from docs/formats.md."""
    circuit = build_circuit(case.snapshot, case.claim, [Limit.parse(text) for text in case.limits])
    c = circuit.digit_columns
    groups, pieces = -(-c // 3), min(c, 3)
    points = [*(f"f{i}" for i in range(c)), "mu", *(f"h{i}" for i in range(groups)), "phi"]
    points += [f"T{i}" for i in range(pieces)]
    sizes = [("magic", 8), ("version", 2), ("curve", 1), ("kind", 1), ("setup", 32)]
    sizes += [(name, 48) for name in points] + [(f"f{i}(zeta)", 32) for i in range(c)]
    sizes += [("phi(omega zeta)", 32), ("W", 48), ("W'", 48)]
    found, at = {}, 0
    for name, size in sizes:
        found[name] = (at, size)
        at += size
    assert at == len(case.proof)
    return found


def flipped(case: Case, at: int, bits: int = 1) -> Case:
    proof = bytearray(case.proof)
    proof[at] ^= bits
    return replace(case, proof=bytes(proof))


def put(case: Case, at: int, data: bytes) -> Case:
    return replace(case, proof=case.proof[:at] + data + case.proof[at + len(data) :])


@pytest.fixture(scope="module")
def small() -> Case:
    """A short accepted proof, for many attempts."""
    snapshot = shaped(groups=[0, 0], assets=1, n=64, risk=[[3], [-2]], marks=[1, 1])
    return made(snapshot, BookLots((1, -1), (200,)))


@pytest.mark.parametrize(
    "place", [pytest.param("sign", marks=pytest.mark.slow), pytest.param("middle", marks=pytest.mark.slow), "last"]
)
def test_a_change_in_every_region_is_refused_by_both(second: ModuleType, small: Case, place: str) -> None:
    accepted = []
    for number, (name, (at, size)) in enumerate(regions(small).items()):
        choices = {"sign": (0, 0x20), "middle": (number * 7 % size, 1 << number % 8), "last": (size - 1, 1)}
        offset, bits = choices[place]
        if flipped(small, at + offset, bits).verdict(second):
            accepted.append(name)
    assert accepted == []


@pytest.mark.slow
def test_a_change_of_every_byte_is_refused_by_both(second: ModuleType, small: Case) -> None:
    """Every byte with ZKMARGIN_FULL=1; else every 61st: a pairing takes seconds in Python."""
    step = 1 if os.environ.get("ZKMARGIN_FULL") == "1" else 61
    accepted = [at for at in range(0, len(small.proof), step) if flipped(small, at, 1 << at % 8).verdict(second)]
    assert accepted == []


def outside_the_subgroup() -> bytes:
    """The encoding of a point of the curve that is not in the subgroup."""
    x = next(x for x in range(1, 100) if pow(x**3 + 4, (P - 1) // 2, P) == 1)
    return (1 << 383 | x).to_bytes(48, "big")


def off_the_curve() -> bytes:
    x = next(x for x in range(1, 100) if pow(x**3 + 4, (P - 1) // 2, P) == P - 1)
    return (1 << 383 | x).to_bytes(48, "big")


BAD_POINTS = {
    "infinity": b"\xc0" + bytes(47),
    "infinity with a sign": b"\xe0" + bytes(47),
    "infinity with stray bits": b"\xc0" + bytes(46) + b"\x01",
    "infinity without compression": b"\x40" + bytes(47),
    "zeros": bytes(48),
    "outside the subgroup": outside_the_subgroup(),
    "off the curve": off_the_curve(),
    "the field's order": (1 << 383 | P).to_bytes(48, "big"),
    "a coordinate above the field's order": (1 << 383 | P + 4).to_bytes(48, "big"),
    "all ones": b"\xff" * 48,
}


@pytest.mark.parametrize("kind", BAD_POINTS)
def test_bad_points_are_refused_by_both(second: ModuleType, small: Case, kind: str) -> None:
    places = {name: at for name, (at, size) in regions(small).items() if size == 48}
    if kind != "infinity":
        places = {name: places[name] for name in ("f0", "phi", "W'")}
    assert [name for name, at in places.items() if put(small, at, BAD_POINTS[kind]).verdict(second)] == []


def test_scalars_that_are_not_canonical_are_refused_by_both(second: ModuleType, small: Case) -> None:
    for name, (at, size) in regions(small).items():
        if size != 32 or name == "setup":
            continue
        value = int.from_bytes(small.proof[at : at + 32], "big")
        assert not put(small, at, (value + r).to_bytes(32, "big")).verdict(second), name
        assert not put(small, at, (r - value).to_bytes(32, "big")).verdict(second), name
        assert not put(small, at, b"\xff" * 32).verdict(second), name


def test_points_in_another_order_are_refused_by_both(second: ModuleType, small: Case) -> None:
    found = regions(small)
    for one, two in (("W", "W'"), ("f0", "f1"), ("mu", "phi")):
        a, b = found[one][0], found[two][0]
        swapped = put(put(small, a, small.proof[b : b + 48]), b, small.proof[a : a + 48])
        assert not swapped.verdict(second), (one, two)


@pytest.mark.parametrize("size", [0, 1, 44, 92, -48, -32, -1])
def test_truncated_proofs_are_refused_by_both(second: ModuleType, small: Case, size: int) -> None:
    assert not replace(small, proof=small.proof[:size]).verdict(second)


@pytest.mark.parametrize("tail", [b"\x00", b"\n", bytes(32), bytes(48)])
def test_longer_proofs_are_refused_by_both(second: ModuleType, small: Case, tail: bytes) -> None:
    assert not replace(small, proof=small.proof + tail).verdict(second)
    assert not replace(small, proof=tail + small.proof).verdict(second)


# --- the script ---------------------------------------------------------------------------------------------


def test_it_runs_as_a_script(good: Case, tmp_path: Path) -> None:
    (tmp_path / "snapshot.json").write_bytes(good.snapshot.to_bytes())
    (tmp_path / "commitment.json").write_bytes(good.commitments[0].to_bytes())
    (tmp_path / "proof.bin").write_bytes(good.proof)
    limits = [word for text in good.limits for word in ("--limit", text)]

    def run(claim: str) -> subprocess.CompletedProcess[str]:
        files = ["--snapshot", "snapshot.json", "--commitment", "commitment.json", "proof.bin"]
        given = [*files, "--claim", claim, "--context", CONTEXT.decode(), *limits]
        script = str(Path(__file__).with_name("second_verifier.py"))
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        return subprocess.run(
            [sys.executable, script, *given],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    accepted, rejected = run("1.0"), run("0.9")
    digest = good.first()
    assert digest is not None
    assert (accepted.returncode, accepted.stdout) == (0, f"accepted: statement {digest.hex()}\n")
    assert (rejected.returncode, rejected.stdout) == (1, "")
    assert rejected.stderr.startswith("rejected: ")
