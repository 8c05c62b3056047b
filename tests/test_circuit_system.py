"""The circuit language: forms, bounds, the overflow budget, layout, digest, and the public polynomials."""

import dataclasses
import multiprocessing
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import lab
from support.typed import Json, JsonObject, Keywords, Passed

from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import MAX_FORM, Atom, DenseKind, Form, System
from zkmargin.circuits.language.witness import Witness, assign
from zkmargin.crypto.domain import evaluate
from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import lagrange_at
from zkmargin.crypto.segments import listed, segments
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError

INTEGERS = st.integers(-(2**80), 2**80)
ATOMS = st.tuples(st.sampled_from(["positions", "long", "collateral", "bounded", "A"]), st.integers(0, 3))
FORMS = st.builds(
    lambda terms, constant: Form({a: c for a, c in terms.items() if c}, constant),
    st.dictionaries(ATOMS, INTEGERS, max_size=5),
    INTEGERS,
)


def small(
    *,
    n: int = 16,
    count: int = 3,
    bits: int = 4,
    range_proved: bool = True,
    collateral: Sequence[tuple[int, bool]] = (),
) -> System:
    return System(n=n, position_count=count, position_bits=bits, range_proved=range_proved, collateral=list(collateral))


def int64(*values: Passed) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


# --- forms --------------------------------------------------------------------------------------------------


@given(FORMS, FORMS, FORMS, INTEGERS, INTEGERS)
def test_forms_are_a_module_over_the_integers(a: Form, b: Form, c: Form, x: int, y: int) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Form() == a
    assert a - a == Form()
    assert -a == a * -1
    assert (a + b) * x == a * x + b * x
    assert a * (x + y) == a * x + a * y
    assert x * a == a * x
    assert a * 0 == Form()
    assert a + x == a + Form(constant=x)
    assert a - x == a + -x


@given(FORMS, FORMS, INTEGERS, st.integers())
def test_a_form_is_evaluated_linearly_and_holds_no_zero_coefficient(a: Form, b: Form, x: int, seed: int) -> None:
    def of(atom: tuple[str, int]) -> int:
        return hash((atom, seed)) % 1000 - 500

    assert (a + x * b).value(of) == a.value(of) + x * b.value(of)
    assert all((a + b).terms.values())
    assert all((a - b).terms.values())


def test_forms_never_change_what_they_are_built_from() -> None:
    a, b = Form({("bounded", 0): 2}, 1), Form({("bounded", 0): -2}, 3)
    assert (a + b).terms == {}
    assert (a.terms, b.terms) == ({("bounded", 0): 2}, {("bounded", 0): -2})


# --- bounds and the overflow budget -------------------------------------------------------------------------


@given(st.integers(0, 2**80), st.sampled_from([16, 32, 1024]))
def test_an_integer_gets_the_fewest_digits_that_hold_its_upper_bound(upper: int, n: int) -> None:
    system = small(n=n)
    low, high = system.bounds(system.integer("x", upper, Form()))
    digits = system.bounded[0].digits
    assert (low, high) == (0, n**digits - 1)
    assert high >= upper
    assert digits == 1 or n ** (digits - 1) <= upper


@given(
    st.lists(st.integers(-(2**62), 2**62), min_size=3, max_size=3),
    st.sampled_from(["positions", "long", "short"]),
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=3, max_size=3),
    st.integers(-5, 5),
)
def test_bounds_hold_every_value_within_the_proved_ranges(
    coefficients: list[int], kind: DenseKind, sides: list[tuple[int, int]], factor: int
) -> None:
    system = small()
    form = system.dense(kind, int64(*coefficients)) * factor + 7
    values = {
        "positions": [p - m for p, m in sides],
        "long": [p for p, _ in sides],
        "short": [m for _, m in sides],
    }[kind]
    low, high = system.bounds(form)
    assert low <= factor * sum(c * x for c, x in zip(coefficients, values, strict=True)) + 7 <= high
    # and they are attained: nothing is given away
    gains = 15 * sum(c for c in coefficients if c > 0)
    losses = 15 * sum(c for c in coefficients if c < 0)
    span = (losses, gains) if kind != "positions" else (losses - gains, gains - losses)
    assert {low, high} == {factor * span[0] + 7, factor * span[1] + 7}


def test_the_lowest_int64_counts_with_its_absolute_value() -> None:
    system = small(count=1)
    assert system.bounds(system.dense("positions", int64(-(2**63)))) == (-15 * 2**63, 15 * 2**63)


def test_positions_are_bounded_by_whole_digits_if_proved_and_by_bits_if_not() -> None:
    assert small(bits=5).position_bound == 16**2 - 1
    assert small(bits=5, range_proved=False).position_bound == 2**5 - 1
    assert small(bits=5, range_proved=False).position_digits == 0


def test_sides_need_range_proved_positions() -> None:
    system = small(range_proved=False)
    for kind in ("long", "short"):
        with pytest.raises(InputError, match="range-proved"):
            system.dense(kind, int64(1, 0, 0))
        assert system.dense(kind, int64(0, 0, 0)) == Form()


def test_dense_rows_are_int64_and_one_entry_a_slot() -> None:
    wrong: Passed
    for wrong in (
        int64(1, 2),
        np.array([1, 2, 3], dtype=np.int32),
        np.array([1.0, 2, 3]),
        int64(1, 2, 3).reshape(1, 3),
    ):
        with pytest.raises(ValueError, match="int64 coefficients"):
            small().dense("positions", wrong)


def overflow_edge(system: System) -> tuple[Form, Form]:
    """(a form of the greatest value that is allowed in an equation, the least that is refused)."""
    x = system.integer("x", 1, Form())
    scale = (MAX_FORM - 1) // 15
    return x * scale, x * (scale + 1)


def test_equations_that_could_wrap_around_the_field_are_refused() -> None:
    system = small()
    allowed, refused = overflow_edge(system)
    system.equal("rule", "name", allowed)
    system.equal("rule", "name", -allowed)
    for form in (refused, -refused):
        with pytest.raises(InputError, match=r"rule, name: a value of \d+ bits could wrap around") as caught:
            system.equal("rule", "name", form)
        assert caught.value.hint
    assert len(system.equations) == 2


def test_the_budget_is_exactly_half_the_field() -> None:
    system = small()
    system.equal("rule", "edge", Form(constant=MAX_FORM - 1))
    for constant in (MAX_FORM, -MAX_FORM, r):
        with pytest.raises(InputError, match="wrap around"):
            system.equal("rule", "edge", Form(constant=constant))


def test_an_inequality_counts_its_slack_towards_the_budget() -> None:
    system = small()
    x = system.integer("x", 16**62 - 1, Form())
    system.at_least_zero("rule", "fits", x * 4)
    with pytest.raises(InputError, match="wrap around"):
        # the slack's range, a power of 16, is past r/2 before the form itself is
        system.at_least_zero("rule", "does not", x * 17)


def test_large_quantities_are_refused_when_the_circuit_is_built() -> None:
    system = small(bits=60, count=2)
    row = system.dense("positions", int64(2**62, 2**62))
    system.equal("rule", "fits", row * 2**100)
    with pytest.raises(InputError, match="wrap around"):
        system.equal("rule", "does not", row * 2**132)


# --- inequalities, collateral, gates ------------------------------------------------------------------------


@given(st.integers(-300, 300), st.integers(-20, 20))
def test_a_slack_is_wide_enough_for_every_value_that_is_not_negative(constant: int, factor: int) -> None:
    system = small()
    form = system.integer("x", 15, Form()) * factor + constant
    system.at_least_zero("rule", "name", form)
    equation = system.equations[-1]
    assert equation.slack is not None
    slack: Atom = ("bounded", equation.slack)
    assert equation.form == form - Form({slack: 1})
    assert system.bounds(Form({slack: 1}))[1] >= system.bounds(form)[1]
    assert system.bounded[equation.slack].hint.value(lambda _: 3) == 3 * factor + constant


def test_a_balance_is_the_difference_of_two_bounded_integers_of_its_own_width() -> None:
    system = small(collateral=[(9, True), (4, False)])
    (held, owed), (only, none) = system.collateral(0), system.collateral(1)
    assert system.bounds(held) == system.bounds(owed) == (0, 16**3 - 1)
    assert system.bounds(Form({("collateral", 0): 1})) == (-(16**3) + 1, 16**3 - 1)
    assert system.bounds(only) == system.bounds(Form({("collateral", 1): 1})) == (0, 15)
    assert none == Form()
    forms = [(e.rule, e.form) for e in system.equations]
    assert forms[0] == ("collateral bound", Form({("collateral", 0): 1}) - held + owed)
    assert forms[1] == ("collateral bound", Form({("collateral", 1): 1}) - only)


def test_a_product_is_wired_to_both_factors_and_bounded_by_its_corners() -> None:
    system = small()
    x, y = system.integer("x", 15, Form()), system.integer("y", 200, Form())
    product = system.product(x - 20, 3 * y + 1)
    assert product == Form({("C", 0): 1})
    assert system.bounds(product) == (-20 * (3 * 255 + 1), -5)
    assert [e.form for e in system.equations] == [
        x - 20 - Form({("A", 0): 1}),
        3 * y + 1 - Form({("B", 0): 1}),
    ]
    assert system.gates == [(x - 20, 3 * y + 1)]


def test_a_product_that_could_wrap_around_the_field_is_refused() -> None:
    system = small()
    x = system.integer("x", 2**124 - 1, Form())
    assert system.bounds(system.product(x, x))[1] == (2**124 - 1) ** 2
    for a, b in ((x, x * 2**8), (-x, x * 2**8)):
        with pytest.raises(InputError, match="product could wrap around"):
            system.product(a, b)


# --- layout -------------------------------------------------------------------------------------------------


def test_gates_that_do_not_fit_a_segment_are_refused() -> None:
    system = small()
    x = system.integer("x", 1, Form())
    for _ in range(16):
        system.product(x, x)
    Circuit.freeze(system, 0)
    system.product(x, x)
    with pytest.raises(InputError, match="17 product gates do not fit 16 rows"):
        Circuit.freeze(system, 0)


@given(st.integers(0, 100), st.sampled_from([16, 32]))
def test_every_slot_is_listed_once_and_every_segment_has_an_unlisted_row(count: int, n: int) -> None:
    total = segments(count, n)
    rows = [listed(count, n, s) for s in range(total)]
    assert sum(rows) == count
    assert all(row <= n - 1 for row in rows)
    assert listed(count, n, total) == 0
    circuit = Circuit.freeze(small(n=n, count=count), count)
    for role in ("positions", "collateral"):
        for s in range(total):
            selector = circuit.selector(f"{role}[{s}]")
            assert selector == [0] * rows[s] + [1] * (n - rows[s])
            assert selector[-1] == 1


def test_roles_have_selectors_of_their_own() -> None:
    circuit = Circuit.freeze(small(count=17, collateral=[(4, True)] * 2), 2)
    assert (circuit.position_segments, circuit.collateral_segments) == (2, 1)
    assert circuit.selector("positions[1]") == [0] * 2 + [1] * 14
    assert circuit.selector("collateral[0]") == [0] * 2 + [1] * 14
    assert circuit.selector("positions[0]") == [0] * 15 + [1]


def test_rows_of_retired_slots_are_selected_with_those_that_list_none() -> None:
    retired = ((3, 16), (1,))  # a segment of 16 rows lists 15 slots
    circuit = Circuit.freeze(small(count=17, collateral=[(4, True)] * 2), 2, retired=retired)
    assert circuit.selector("positions[0]") == [0] * 3 + [1] + [0] * 11 + [1]
    assert circuit.selector("positions[1]") == [0] + [1] * 15
    assert circuit.selector("collateral[0]") == [0] + [1] * 15


@given(st.lists(st.integers(0, 2**40), max_size=12), st.integers(1, 40), st.integers(1, 9))
def test_cells_of_bounded_integers_do_not_overlap_and_the_shape_follows(
    uppers: list[int], count: int, bits: int
) -> None:
    system = small(count=count, bits=bits)
    for v, upper in enumerate(uppers):
        system.integer(f"x{v}", upper, Form())
    circuit = Circuit.freeze(system, 0)
    cells = [(column, row) for v in range(len(uppers)) for column, row, _ in circuit.digit_cells[v]]
    assert len(set(cells)) == len(cells) == sum(x.digits for x in circuit.bounded)
    assert all(circuit.packed_offset <= column < circuit.digit_columns and 0 <= row < 16 for column, row in cells)
    assert circuit.packed_offset == segments(count, 16) * 2 * (-(-bits // 4))
    shape = circuit.shape
    assert shape.digits == circuit.digit_columns == sum(len(g) for g in circuit.lookup_groups)
    assert [c for g in circuit.lookup_groups for c in g] == list(range(shape.digits))
    assert (shape.helpers, shape.pieces) == (-(-shape.digits // 3), min(3, shape.digits))


def test_dropping_an_equation_drops_exactly_that_one() -> None:
    circuit = Circuit.freeze(lab.margin_like(gates=1), 2)
    for j in range(len(circuit.equations)):
        left = circuit.without_equation(j)
        assert list(left.equations) == [e for i, e in enumerate(circuit.equations) if i != j]
        assert left.digest != circuit.digest


# --- identity -----------------------------------------------------------------------------------------------


def test_the_digest_is_the_same_for_the_same_system_and_changes_with_every_ingredient() -> None:
    def build(**changes: Passed) -> Circuit:
        return Circuit.freeze(lab.margin_like(**changes), len(changes.get("assets", (0, 0))))

    base = build(gates=1)
    assert base.digest == build(gates=1).digest
    equation, bounded, gate = base.equations[0], base.bounded[0], base.gates[0]
    atom = next(iter(equation.form.terms))
    cell = {kind: m.copy() for kind, m in base.matrices.items()}
    cell["positions"][0, 0] += 1
    others = [
        replace(base, n=32),
        replace(base, position_count=7),
        replace(base, collateral_count=3),
        replace(base, position_digits=2),
        replace(base, position_bound=16),
        replace(base, matrices=cell),
        replace(base, matrices={**base.matrices, "long": base.matrices["short"], "short": base.matrices["long"]}),
        replace(base, matrices={**base.matrices, "positions": base.matrices["positions"].T}),
        replace(base, bounded=base.bounded[:-1]),
        replace(base, bounded=(replace(bounded, name="x"), *base.bounded[1:])),
        replace(base, bounded=(replace(bounded, digits=bounded.digits + 1), *base.bounded[1:])),
        replace(base, bounded=(base.bounded[1], bounded, *base.bounded[2:])),
        replace(base, gates=()),
        replace(base, gates=((gate[1], gate[0]),)),
        replace(base, equations=base.equations[1:]),
        replace(base, equations=(*base.equations[1:], equation)),
        replace(base, equations=(replace(equation, rule="x"), *base.equations[1:])),
        replace(base, equations=(replace(equation, name="x"), *base.equations[1:])),
        replace(base, equations=(replace(equation, form=equation.form + 1), *base.equations[1:])),
        replace(base, equations=(replace(equation, form=equation.form + Form({atom: 1})), *base.equations[1:])),
        replace(base, equations=(replace(equation, form=equation.form * -1), *base.equations[1:])),
    ]
    digests = {base.digest, *(other.digest for other in others)}
    assert len(digests) == len(others) + 1


# --- public polynomials -------------------------------------------------------------------------------------

SHAPES: tuple[JsonObject, ...] = (
    {},
    {"gates": 2},
    {"slots": 33, "bits": 8},
    {"slots": 15, "n": 16},
    {"slots": 40, "n": 32, "gates": 1},
    {"range_proved": False, "slots": 20},
    {"slots": 0},
    {"assets": ()},
    {"assets": ((8, True),) * 17},
    {"slots": 0, "assets": ()},
)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_values_on_h_and_at_a_point_are_of_the_same_polynomials(shape: Keywords) -> None:
    circuit = Circuit.freeze(lab.margin_like(**shape), len(shape.get("assets", (0, 0))))
    rho, point = 0xABCDEF0123456789**3 % r, 0x123456789ABCDEF**4 % r
    combination = circuit.combine(rho)
    rows = combination.rows()
    domain = circuit.domain

    assert combination.at(lagrange_at(domain, point)) == {
        name: evaluate(domain.intt([x % r for x in values]), point) for name, values in rows.items()
    }


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.get("assets") != ()], ids=str)
def test_the_combination_is_the_equations_weighted_by_powers_of_rho(shape: Keywords) -> None:
    # any assignment, not only a satisfying one: sum over columns <column, U> - sigma = sum_j rho^j equation_j
    assets = shape.get("assets", (0, 0))
    circuit = Circuit.freeze(lab.margin_like(**shape), len(assets))
    draw = lab.draws("any assignment")
    sides = [(draw() % 16, draw() % 16) for _ in range(circuit.position_count)]
    witness = Witness(
        positions=tuple(p - m for p, m in sides),
        long=tuple(p for p, _ in sides),
        short=tuple(m for _, m in sides),
        collateral=tuple(draw() % 100 - 50 for _ in assets),
        bounded=tuple(draw() % circuit.n**x.digits for x in circuit.bounded),
        gates=tuple((draw(), draw(), draw()) for _ in circuit.gates),
    )
    rho = draw()
    combination = circuit.combine(rho)
    rows, columns = combination.rows(), witness.columns(circuit)
    assert set(rows) == set(columns)
    total = sum(int(x) * u for name, values in columns.items() for x, u in zip(values, rows[name], strict=True))
    expected = sum(
        pow(rho, j, r) * e.form.value(lambda atom: witness.value(circuit, atom))
        for j, e in enumerate(circuit.equations)
    )
    assert (total - combination.sigma - expected) % r == 0


# --- copies -------------------------------------------------------------------------------------------------


def parts_of(value: Json) -> Iterator[object]:
    """A value and all that its fields hold."""
    yield value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from parts_of(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from parts_of(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from parts_of(item)


@pytest.mark.parametrize("policy", ["default", "tims", "paradex", "deribit-pm", "derive-pmrm2"])
def test_a_circuit_holds_no_callable_and_is_the_same_in_another_process(policy: str) -> None:
    snapshot = build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy(policy))
    circuit = build_circuit(snapshot, Claim())
    assert [part for part in parts_of(circuit) if callable(part)] == []
    lots = BookLots((0,) * circuit.position_count, (0,) * circuit.collateral_count)
    expected = assign(circuit, lots.positions, lots.collateral)
    _ = circuit.digest, circuit.packed, circuit.cut
    copy = pickle.loads(pickle.dumps(circuit))  # noqa: S301 - our own
    assert copy.digest == circuit.digest
    assert assign(copy, lots.positions, lots.collateral) == expected
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(assign, (circuit, lots.positions, lots.collateral)) == expected
