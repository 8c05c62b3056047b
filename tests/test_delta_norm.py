"""Delta norm: an exact test of the matrix, the ceiling of a root, and gates that nobody can cheat."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from itertools import combinations
from math import isqrt
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.edge import on_the_edge
from support.typed import JsonObject

from zkmargin.accounts import commit_book
from zkmargin.circuits import build_circuit
from zkmargin.circuits.books import margin_witness
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.language.witness import assign, check
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.base import Leg
from zkmargin.engine.components.delta_norm import MAX_FACTORS, DeltaNorm, PublishedDeltaNorm, check_covariance
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import margin_report
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.snapshot import CollateralSlot, Snapshot
from zkmargin.formats import ConstraintError, InputError, IntArray, VerificationError
from zkmargin.integers import Integers, root_up
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

TIME = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(example_market(TIME), load_policy("delta-norm"))


@pytest.fixture(scope="module")
def second() -> ModuleType:
    return import_module("second_verifier")


def with_cash(snapshot: Snapshot) -> Snapshot:
    """One collateral slot that counts a valuation unit a lot, so that an edge can be met exactly."""
    unit = IntArray(np.array([1], dtype=np.int64))
    parts = [part for part in snapshot.components if not isinstance(part, PublishedHaircuts)]
    cash = CollateralSlot(asset="cash", lot="1", price=1, bits=70, negative_allowed=True)
    haircuts = PublishedHaircuts(long_value=unit, short_value=unit)
    return snapshot.replaced(collateral=(cash,), components=(*parts, haircuts))


# --- the matrix ---------------------------------------------------------------------------------------------


def determinant(rows: list[list[int]]) -> Fraction:
    matrix, result = [[Fraction(x) for x in row] for row in rows], Fraction(1)
    for k in range(len(matrix)):
        pivot = next((i for i in range(k, len(matrix)) if matrix[i][k]), None)
        if pivot is None:
            return Fraction(0)
        if pivot != k:
            matrix[k], matrix[pivot], result = matrix[pivot], matrix[k], -result
        result *= matrix[k][k]
        for i in range(k + 1, len(matrix)):
            ratio = matrix[i][k] / matrix[k][k]
            matrix[i] = [a - ratio * b for a, b in zip(matrix[i], matrix[k], strict=True)]
    return result


def is_semidefinite(matrix: list[list[int]]) -> bool:
    """By the definition that needs no elimination order: no principal minor is negative."""
    return all(
        determinant([[matrix[i][j] for j in chosen] for i in chosen]) >= 0
        for size in range(1, len(matrix) + 1)
        for chosen in combinations(range(len(matrix)), size)
    )


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(st.integers(-6, 6), min_size=n, max_size=n), min_size=n, max_size=n)
    ),
    st.integers(-2, 2),
)
@settings(max_examples=300, deadline=None)
def test_the_matrix_is_tested_exactly(rows: list[list[int]], nudge: int) -> None:
    n = len(rows)
    gram = [[sum(a * b for a, b in zip(rows[i], rows[j], strict=True)) for j in range(n)] for i in range(n)]
    check_covariance(gram, field="m")  # B B' is always semidefinite, often singular
    for matrix in (
        [[x + (nudge if i == j == n - 1 else 0) for j, x in enumerate(row)] for i, row in enumerate(gram)],
        [[rows[min(i, j)][max(i, j)] for j in range(n)] for i in range(n)],
    ):
        if is_semidefinite(matrix):
            check_covariance(matrix, field="m")
        else:
            with pytest.raises(InputError, match="not positive semidefinite"):
                check_covariance(matrix, field="m")


def test_one_unit_is_seen_where_a_float_sees_none() -> None:
    big = 10**12
    rank_one = [[big, big - 1], [big - 1, big - 2]]  # determinant -1
    with pytest.raises(InputError, match="not positive semidefinite"):
        check_covariance(rank_one, field="m")
    check_covariance([[big, big], [big, big]], field="m")
    assert np.linalg.eigvalsh(np.array(rank_one, dtype=float)).min() > -1  # the eigenvalue is -5e-13
    with pytest.raises(InputError, match="not symmetric: rows 0 and 1"):
        check_covariance([[1, 0], [1, 1]], field="m")
    with pytest.raises(InputError, match=r"row 0"):
        check_covariance([[0, 1], [1, 5]], field="m")
    check_covariance([[0, 0], [0, 5]], field="m")
    large = [[1 << 39 if i == j else 0 for j in range(MAX_FACTORS)] for i in range(MAX_FACTORS)]
    check_covariance(large, field="m")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"matrix": [[4, 5], [5, 4]]}, "not positive semidefinite"),
        ({"matrix": [[4, 1], [2, 4]]}, "not symmetric"),
        ({"matrix": [[4, 1]]}, "not 2 rows of 2 numbers"),
        ({"matrix": [[4, 1], [1]]}, "not 2 rows of 2 numbers"),
        ({"matrix": [[1 << 41, 0], [0, 1]]}, "less than or equal to"),
        ({"underlyings": ["BTC", "BTC"]}, "an underlying twice"),
    ],
)
def test_policies_refuse_other_matrices(change: JsonObject, reason: str) -> None:
    data = json.loads(load_policy("delta-norm").to_bytes())
    data["components"][0] |= {"underlyings": ["BTC", "ETH"], "matrix": [[4, 1], [1, 4]]} | change
    with pytest.raises(InputError, match=reason):
        Policy.parse(json.dumps(data))


def test_an_underlying_that_the_matrix_lacks_is_refused_by_name() -> None:
    data = json.loads(load_policy("delta-norm").to_bytes())
    data["components"][0] |= {"underlyings": ["BTC"], "matrix": [[4]]}
    with pytest.raises(InputError, match="underlying ETH: the matrix does not have it"):
        build_snapshot(example_market(TIME), Policy.parse(json.dumps(data)))


def test_a_hostile_snapshot_is_refused(snapshot: Snapshot) -> None:
    part = next(p for p in snapshot.components if isinstance(p, PublishedDeltaNorm))
    size = len(snapshot.groups)
    for sigma, reason in (
        (np.full((size, size), 7) - 8 * np.eye(size, dtype=np.int64), "not positive semidefinite"),
        (np.triu(np.ones((size, size), dtype=np.int64)), "not symmetric"),
        (np.ones((size + 1, size + 1), dtype=np.int64), "has the shape"),
        (np.full((size, size), (1 << 40) + 1), "a number beyond"),
    ):
        bad = part.replaced(sigma=IntArray(np.asarray(sigma, dtype=np.int64)))
        with pytest.raises(InputError, match=f"delta_norm.sigma: {reason}"):
            snapshot.replaced(components=tuple(bad if p is part else p for p in snapshot.components))
    weak = part.replaced(sigma=IntArray(np.eye(size, dtype=np.int64)))
    lying = snapshot.replaced(components=tuple(weak if p is part else p for p in snapshot.components))
    with pytest.raises(InputError, match=r"delta_norm\.sigma: not what the policy says"):
        lying.check_loaded()
    check_snapshot(snapshot, example_market(TIME))


# --- the charge ---------------------------------------------------------------------------------------------


@given(st.integers(0, 10**60))
@settings(deadline=None)
def test_the_root_is_its_ceiling(square: int) -> None:
    root = root_up(square)
    assert root * root >= square
    assert square == 0 or (root - 1) ** 2 < square
    assert root_up(root * root) == root
    assert root_up(Integers.of([square, 0, 9, 10])).tolist() == [root, 0, 3, 4]


def part_of(sigma: npt.ArrayLike, delta: npt.ArrayLike) -> PublishedDeltaNorm:
    return PublishedDeltaNorm(
        group="delta norm",
        sigma=IntArray(np.array(sigma, dtype=np.int64)),
        delta=IntArray(np.array(delta, dtype=np.int64)),
    )


def test_one_underlying_is_its_move_and_two_offset_as_far_as_they_are_correlated() -> None:
    alone = part_of([[1500**2]], [10**9])
    charge = alone.assess([Leg(0, 0, -200)])
    assert charge.joint == {"delta norm": (1500 * 200 * 10**9,)}  # 15 % of 200, in 1/10^4 money units
    assert charge.scale == 10**4
    sigma = [[1500**2, 1500 * 1500], [1500 * 1500, 1500**2]]
    pair = part_of(sigma, [10**9, 10**9])
    assert pair.assess([Leg(0, 0, 7), Leg(1, 1, -7)]).joint == {"delta norm": (0,)}  # perfectly correlated
    assert pair.assess([Leg(0, 0, 7), Leg(1, 1, 7)]).joint == {"delta norm": (2 * 7 * 1500 * 10**9,)}
    none = part_of([[1500**2, 0], [0, 1500**2]], [1, 1])
    assert none.assess([Leg(0, 0, 3), Leg(1, 1, 4)]).joint == {"delta norm": (5 * 1500,)}
    assert none.assess([Leg(0, 0, 1), Leg(1, 1, 1)]).joint == {"delta norm": (isqrt(2 * 1500**2) + 1,)}
    assert none.assess([]).joint == {}
    legs = [Leg(0, 0, 3), Leg(1, 1, 4)]
    assert sum(none.joint_shares(legs, "delta norm", 0)) == 5 * 1500


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=2), st.lists(st.integers(-50, 50), min_size=2, max_size=2))
@settings(deadline=None)
def test_it_is_subadditive_to_the_unit_of_its_rounding(one: list[int], other: list[int]) -> None:
    part = part_of([[900, 500], [500, 400]], [3, 5])

    def norm(book: list[int]) -> int:
        return part.assess([Leg(i, i, lots) for i, lots in enumerate(book) if lots]).joint.get("delta norm", (0,))[0]

    assert norm([a + b for a, b in zip(one, other, strict=True)]) <= norm(one) + norm(other)
    assert norm([2 * a for a in one]) <= 2 * norm(one)
    assert norm([-a for a in one]) == norm(one)


@pytest.mark.parametrize("requirement", ["initial", "maintenance"])
@pytest.mark.parametrize("seed", range(3))
def test_engine_and_circuit_agree_at_the_edge_and_one_unit_short(
    snapshot: Snapshot, seed: int, requirement: str
) -> None:
    lots = [
        ((i * 7919 + seed * 31) % 2001 - 1000) if (i + seed) % (3 + seed) == 0 else 0
        for i in range(len(snapshot.instruments))
    ]
    on_the_edge(with_cash(snapshot), lots, claim=Claim(requirement=requirement), moves=(-1, 1, -977))


def test_a_book_without_net_delta_needs_no_root(snapshot: Snapshot) -> None:
    on_the_edge(with_cash(snapshot), [0] * len(snapshot.instruments))


# --- who cheats ---------------------------------------------------------------------------------------------


def cheating(snapshot: Snapshot) -> tuple[Any, Any, int]:
    """A circuit, an honest witness that just holds, and the place of the hidden root."""
    edge = with_cash(snapshot)
    positions = [((i * 31) % 19) - 9 if i % 40 == 0 else 0 for i in range(len(edge.instruments))]
    circuit = build_circuit(edge, Claim())
    missing = margin_report(edge, BookLots(tuple(positions), (0,)), "initial")
    witness = margin_witness(edge, Claim(), BookLots(tuple(positions), (missing.total - missing.equity.total,)))
    return circuit, witness, next(v for v, x in enumerate(circuit.bounded) if x.name == "delta_norm: root")


def test_every_cheap_root_is_refused(snapshot: Snapshot) -> None:
    circuit, witness, at = cheating(snapshot)
    check(circuit, witness)
    root = witness.bounded[at]
    assert root > 1
    last = len(circuit.gates) - 1
    for lower in (root - 1, root // 2, 0):
        bounded = tuple(lower if v == at else x for v, x in enumerate(witness.bounded))
        square = (lower, lower, lower * lower)
        for gates in (
            witness.gates,  # the gate still says the old square
            (*witness.gates[:last], square),  # an honest square, too small
            (*witness.gates[:last], (lower, lower, root * root)),  # a false product
            (*((a, b, 0) for a, b, _ in witness.gates[:last]), square),  # no variance at all
            (*((a, 0, 0) for a, _, _ in witness.gates[:last]), square),  # other second inputs
        ):
            for slack in (0, None):
                changed = bounded
                if slack == 0:  # the square's own slack is chosen freely too
                    own = next(e.slack for e in circuit.equations if e.rule == "delta_norm")
                    changed = tuple(0 if v == own else x for v, x in enumerate(bounded))
                with pytest.raises(ConstraintError):
                    check(circuit, replace(witness, bounded=changed, gates=gates))


def test_a_root_below_zero_has_no_digits(snapshot: Snapshot) -> None:
    circuit, witness, at = cheating(snapshot)
    minus = tuple(-x if v == at else x for v, x in enumerate(witness.bounded))
    last = len(circuit.gates) - 1
    root = witness.bounded[at]
    gates = (*witness.gates[:last], (-root, -root, root * root))
    with pytest.raises(ConstraintError, match="outside its range"):
        check(circuit, replace(witness, bounded=minus, gates=gates))


def test_a_circuit_without_the_gate_would_take_it(snapshot: Snapshot) -> None:
    """The equations of the gates are what keeps a free root out: without one of them the cheap root passes."""
    circuit, witness, at = cheating(snapshot)
    own = next(j for j, e in enumerate(circuit.equations) if e.rule == "delta_norm")
    loose = circuit.without_equation(own)
    slack = circuit.equations[own].slack
    free = tuple(replace(x, hint=Form()) if v in (at, slack) else x for v, x in enumerate(loose.bounded))
    check(replace(loose, bounded=free), assign(replace(loose, bounded=free), witness.positions, witness.collateral))


def test_proved_and_verified_by_both(second: ModuleType) -> None:
    data = json.loads(load_policy("delta-norm").to_bytes())
    data["layout"] |= {"domain_size": 64, "position_bits": 18, "collateral_bits": 42}
    market = example_market(TIME)
    kept = tuple(x for u in ("BTC", "ETH") for x in [i for i in market.instruments if i.underlying == u][:12])
    small = build_snapshot(market.replaced(instruments=kept), Policy.parse(json.dumps(data)))
    held = {
        small.instruments[0].id: small.instruments[0].lot,
        small.instruments[12].id: f"-{small.instruments[12].lot}",
    }
    lots = to_lots(Book(positions=held, collateral={"USDC": "90000"}), small)
    opening = commit_book(small, lots)
    statement = Statement.of(small, [opening.commitment()], Claim())
    proof = prove(statement, lots, [opening])
    first = verify(statement, proof).statement_digest
    assert second.verify(small.to_bytes(), [opening.commitment().to_bytes()], "1", proof) == first
    bad = bytearray(proof)
    bad[-150] ^= 1  # an opened value
    with pytest.raises(VerificationError):
        verify(statement, bytes(bad))
    theirs = second.build_circuit(json.loads(small.to_bytes()), 1, 1, "initial", [])
    assert theirs.digest() == build_circuit(small, Claim()).digest
    assert len(theirs.gates) == 3


def test_the_named_policy_says_what_it_is() -> None:
    policy = load_policy("delta-norm")
    assert isinstance(policy.components[0], DeltaNorm)
    assert "not any published model" in policy.description
    assert "Gamma, vega and concentration" in policy.approximation
