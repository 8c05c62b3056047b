"""Public numbers (catalogue items 24, 26, 28 and 30): ranges, roundings, neighbours; every one of them is bound."""

import base64
import json
from dataclasses import replace
from fractions import Fraction
from functools import partial

import golden
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.typed import Json, Unchecked

from zkmargin.accounts import Commitment
from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.system import Atom, Form, System
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.claims import Claim
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, IntArray, ProofFormatError, VerificationError, keccak256
from zkmargin.verifier import Statement, verify

HUGE = [2**63, 2**64, 2**127, 2**128, (1 << 128) + (1 << 64) + 1, 10**59]


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.model_validate(
        {
            "format": "zkmargin/market/v1",
            "time": "2026-01-02T03:04:05Z",
            "quote": "USD",
            "source": "test",
            "notes": (),
            "underlyings": ({"name": "BTC", "index_price": "92416.5"},),
            "forwards": ({"underlying": "BTC", "expiry": "2026-03-27T08:00:00Z", "price": "93800"},),
            "instruments": (
                {
                    "id": "C",
                    "kind": "option",
                    "underlying": "BTC",
                    "expiry": "2026-03-27T08:00:00Z",
                    "strike": "100000",
                    "option_type": "call",
                    "implied_vol": "0.52",
                    "lot": "0.1",
                },
            ),
            "assets": ({"name": "USD", "price": "1", "lot": "0.01"},),
        }
    )


@pytest.fixture(scope="module")
def snapshot(market: Market) -> Snapshot:
    return build_snapshot(market, load_policy("default"), domain_size=16)


# --- 24: ranges ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("underlyings", "index_price"),
        ("forwards", "price"),
        ("instruments", "implied_vol"),
        ("instruments", "strike"),
        ("assets", "price"),
    ],
)
def test_24_prices_and_volatilities_out_of_range_are_refused(market: Market, where: str, key: str, value: int) -> None:
    fields = json.loads(market.to_bytes())
    fields[where][0][key] = str(value)
    with pytest.raises(InputError):
        build_snapshot(Market.parse(json.dumps(fields).encode()), load_policy("default"), domain_size=16)


def test_24_published_numbers_cannot_be_chosen_so_that_a_sum_wraps() -> None:
    # every number at the end of its type: either the circuit is refused, or its bounds stay below r/2
    from zkmargin.crypto.field import r

    base = golden.GOLDEN[0].snapshot()
    top = 2**63 - 1
    outcomes = set()
    for component in base.components:
        for name, value in component:
            if not isinstance(value, IntArray):
                continue
            try:
                extreme = component.model_copy(update={name: IntArray(np.full_like(value.values, top))})
                parts = tuple(extreme if c is component else c for c in base.components)
                bent = base.model_copy(update={"components": parts, "marks": IntArray(np.full(5, top))})
                circuit = build_circuit(bent, Claim(65535, 65534))
            except InputError:
                outcomes.add("refused")
                continue
            system = System(
                n=circuit.n,
                position_count=circuit.position_count,
                position_bits=bent.layout.position_bits,
                range_proved=True,
                collateral=[(slot.bits, slot.negative_allowed) for slot in bent.collateral],
            )
            assert system.position_bound == circuit.position_bound
            reach = circuit.position_bound * top * circuit.position_count * 10**4 * 65535 * 4
            assert reach < r // 2
            outcomes.add("fits")
    assert "fits" in outcomes


def test_24_words_are_never_packed() -> None:
    # (equity << 128) + (debt << 64) + price collided elsewhere: here every number is a coefficient of its own
    base = golden.GOLDEN[0].snapshot()
    digests = set()
    for marks in ([1 << 32, 0, 0, 0, 0], [0, 1 << 32, 0, 0, 0], [1, 1, 0, 0, 0], [(1 << 32) + 1, 0, 0, 0, 0]):
        bent = base.model_copy(update={"marks": IntArray(np.array(marks, dtype=np.int64))})
        digests.add(build_circuit(bent, Claim()).digest)
    assert len(digests) == 4


# --- 26: roundings ------------------------------------------------------------------------------------------


def test_26_an_integer_off_by_one_either_way_is_another_snapshot(snapshot: Snapshot, market: Market) -> None:
    check_snapshot(snapshot, market)
    circuits = {build_circuit(snapshot, Claim()).digest}
    for index, component in enumerate(snapshot.components):
        for name, value in component:
            if not isinstance(value, IntArray) or not value.values.size:
                continue
            for by in (-1, 1):
                numbers = value.values.copy()
                numbers.reshape(-1)[0] += by
                parts = list(snapshot.components)
                parts[index] = component.model_copy(update={name: IntArray(numbers)})
                bent = snapshot.model_copy(update={"components": tuple(parts)})
                with pytest.raises(InputError, match="differs from what its market and policy give"):
                    check_snapshot(bent, market)
                circuits.add(build_circuit(bent, Claim()).digest)
    assert len(circuits) >= 7


@given(st.integers(1, 10**6), st.integers(-(10**12), 10**12), st.integers(1, 10**5))
def test_26_a_quotient_is_rounded_against_the_account(scale: int, amount: int, step: int) -> None:
    # the least hidden x that satisfies scale x >= amount is the exact quotient rounded up, and no less one
    system = System(n=16, position_count=1, position_bits=4, range_proved=True, collateral=[(60, True)])
    requirement = Requirement(system, ("U",), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    held, owed = system.collateral(0)
    requirement.addition("rule", "name", held - owed, scale=scale)
    if scale == 1:
        return
    last = system.equations[-1]
    assert last.slack is not None
    x = next(v for v, b in enumerate(system.bounded) if b.name == "rule: name")
    slack = system.bounded[last.slack]
    balance = amount * step

    def value(chosen: int, atom: Atom) -> int:
        kind, index = atom
        if (kind, index) == ("bounded", x):
            return chosen
        if (kind, index) == ("bounded", last.slack):
            return 0
        name = system.bounded[index].name
        return max(balance, 0) if name.endswith("held") else max(-balance, 0)

    least = max(-(-balance // scale), 0)
    assert slack.name == "slack of rule: name"
    for chosen, good in ((least, True), (least + 1, True), (least - 1, False)):
        margin = last.form.value(partial(value, chosen))
        assert (margin >= 0) == good or chosen < 0
    assert least >= Fraction(balance, scale)


# --- 28: every public input is bound ------------------------------------------------------------------------


def leaves(value: Json, path: tuple[str | int, ...] = ()) -> Json:
    """(path, value) of every number, text, truth value and null of a document."""
    if isinstance(value, dict) and set(value) != {"shape", "keccak256", "data"}:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves(item, (*path, i))
    else:
        yield path, value


def test_28_any_field_of_a_snapshot_changed_even_one_that_nothing_reads_is_refused() -> None:
    golden_case = golden.GOLDEN[0]
    document = json.loads(golden_case.snapshot().to_bytes())
    text = json.dumps(document)
    files = [Commitment.parse((golden.FOLDER / name).read_bytes()) for name in golden_case.commitment_files()]
    proof, verdicts = golden_case.proof(), {"document": 0, "circuit or commitment": 0, "proof": 0}
    paths = list(leaves(document))
    assert len(paths) > 150
    for path, value in paths:
        bent = json.loads(text)
        place = bent
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = other(value)
        try:
            changed = Snapshot.parse(json.dumps(bent).encode())
        except InputError:
            verdicts["document"] += 1
            continue
        assert changed.digest() != golden_case.snapshot().digest(), path
        try:
            statement = Statement.of(changed, files, golden_case.claim)
        except InputError:
            verdicts["circuit or commitment"] += 1
            continue
        with pytest.raises((VerificationError, ProofFormatError)):
            verify(statement, proof)
        verdicts["proof"] += 1
    assert all(verdicts.values()), verdicts


def other(value: Json) -> dict[str, list[int] | str] | int | str:
    """A value of the same type that differs."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        digits = "0123456789"
        return value[:-1] + digits[(digits.index(value[-1]) + 1) % 10] if value and value[-1] in digits else f"{value}x"
    if value is None:
        return "x"
    numbers = np.frombuffer(base64.b64decode(value["data"]), dtype="<i8").copy()
    if not numbers.size:
        return {"shape": [1], "keccak256": keccak256(bytes(8)).hex(), "data": "AAAAAAAAAAA="}
    numbers[-1] += 1
    raw = numbers.tobytes()
    return {**value, "keccak256": keccak256(raw).hex(), "data": base64.b64encode(raw).decode()}


def test_28_the_fields_of_the_statement_itself() -> None:
    given_case = golden.GOLDEN[0]
    statement, proof = given_case.statement(), given_case.proof()
    for change in (
        {"snapshot": statement.snapshot.model_copy(update={"name": "x"})},
        {"context": b"\0"},
        {"claim": Claim(1, 1, "maintenance")},
        {"parts": statement.parts[::-1]},
        {"parts": (statement.parts[0].model_copy(update={"alias": "x"}), *statement.parts[1:])},
    ):
        with pytest.raises(VerificationError):
            verify(replace(statement, **change), proof)


# --- 30: the neighbour's cell -------------------------------------------------------------------------------


def test_30_the_neighbours_cell_of_a_risk_array_is_another_snapshot(snapshot: Snapshot, market: Market) -> None:
    # no table is looked up in the circuit: the grid is published, bound by its digest and recomputed by anyone
    component = next(c for c in snapshot.components if hasattr(c, "risk"))
    risk = component.risk.values
    moved = 0
    for a, b in ((0, 1), (1, 2), (risk.shape[1] - 2, risk.shape[1] - 1)):
        if risk[0, a] == risk[0, b]:
            continue
        moved += 1
        swapped = risk.copy()
        swapped[0, a] = risk[0, b]
        bent_component = component.model_copy(update={"risk": IntArray(swapped)})
        parts = tuple(bent_component if c is component else c for c in snapshot.components)
        bent = snapshot.model_copy(update={"components": parts})
        assert bent.digest() != snapshot.digest()
        with pytest.raises(InputError, match="components: differs"):
            check_snapshot(bent, market)
    assert moved


def test_30_an_equation_has_no_neighbour_to_choose(snapshot: Snapshot) -> None:
    # every scenario is its own inequality: the largest counts, whichever a prover would like
    circuit = build_circuit(snapshot, Claim())
    component: Unchecked = next(c for c in snapshot.components if hasattr(c, "scenarios"))
    names = {e.name for e in circuit.equations if e.rule == "worst_scenario"}
    rows = {
        label
        for g, labels in enumerate(component.scenarios)
        for i, label in enumerate(labels)
        if component.risk.values[:, i].any()
    }
    assert {name.split(": ", 1)[1] for name in names} == rows
    assert isinstance(circuit.equations[0].form, Form)
