"""Witnesses: honest ones satisfy, the debug prover names what is violated, and every equation is there for a reason."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import lab
from support.typed import Keywords, Passed

from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import Form, System
from zkmargin.circuits.language.witness import Witness, assign, check
from zkmargin.crypto.field import r
from zkmargin.engine.claims import Claim
from zkmargin.formats import ConstraintError, InputError

#: positions x collateral that leave a margin-like circuit satisfiable
BOOKS = st.tuples(st.lists(st.integers(-15, 15), min_size=6, max_size=6), st.integers(-255, 255), st.integers(0, 15))


def freeze(**shape: Passed) -> Circuit:
    return Circuit.freeze(lab.margin_like(**shape), len(shape.get("assets", (0, 0))))


def honest(**shape: Passed) -> tuple[Circuit, Witness]:
    circuit = freeze(**shape)
    witness = assign(circuit, lab.book_of(circuit.position_count), [40, 3])
    check(circuit, witness)
    return circuit, witness


@given(BOOKS)
def test_assign_gives_a_satisfying_witness_or_names_the_claim(book: tuple[list[int], int, int]) -> None:
    positions, usd, btc = book
    circuit = freeze(gates=1)
    losses = [-sum(q * lab.RISK[s][i] for i, q in enumerate(positions)) for s in range(3)]
    shorts = sum((2, 0, 1)[i % 3] * max(-q, 0) for i, q in enumerate(positions))
    slack = (9 * usd if usd > 0 else 10 * usd) + 8 * btc - max(0, shorts, *losses)
    if slack < 0:
        with pytest.raises(ConstraintError, match="claim: 1:1: short by") as caught:
            assign(circuit, positions, [usd, btc])
        assert (caught.value.rule, caught.value.shortfall) == ("claim", -slack)
        return
    witness = assign(circuit, positions, [usd, btc])
    check(circuit, witness)
    assert witness.bounded[-1] == slack
    assert all(q == p - m and p * m == 0 for q, p, m in zip(positions, witness.long, witness.short, strict=True))


@pytest.mark.parametrize(
    "shape", [{}, {"gates": 2}, {"range_proved": False}, {"slots": 40}, {"n": 32}, {"slots": 0}], ids=str
)
def test_the_columns_hold_the_witness_in_digits(shape: dict[str, int]) -> None:
    circuit, witness = honest(**shape)
    n, columns = circuit.n, witness.columns(circuit)

    def slots(role: str, count: int) -> tuple[int, ...]:
        rows = [int(columns[f"{role}[{i // (n - 1)}]"][i % (n - 1)]) for i in range(count)]
        used = sum(1 for x in rows if x)
        assert used == sum(int(x) != 0 for name, column in columns.items() if name.startswith(role) for x in column)
        return tuple(rows)

    assert slots("positions", circuit.position_count) == witness.positions
    assert slots("collateral", circuit.collateral_count) == witness.collateral
    for v, x in enumerate(witness.bounded):
        assert sum(int(columns[f"f[{c}]"][row]) * power for c, row, power in circuit.digit_cells[v]) == x
    for side, values in enumerate((witness.long, witness.short) if circuit.position_digits else ()):
        for i, x in enumerate(values):
            first = (2 * (i // (n - 1)) + side) * circuit.position_digits
            digits = [int(columns[f"f[{first + d}]"][i % (n - 1)]) for d in range(circuit.position_digits)]
            assert sum(digit * n**d for d, digit in enumerate(digits)) == x
    assert all(0 <= int(x) < n for name, column in columns.items() if name.startswith("f[") for x in column)
    assert all(len(column) == n for column in columns.values())
    for i, kind in enumerate("ABC" if circuit.gates else ""):
        assert columns[kind][: len(circuit.gates)] == [gate[i] % r for gate in witness.gates]


# --- what assign refuses ------------------------------------------------------------------------------------


def test_a_book_of_another_size_is_refused() -> None:
    circuit = freeze()
    for positions, collateral in (([0] * 5, [0, 0]), ([0] * 7, [0, 0]), ([0] * 6, [0]), ([0] * 6, [0, 0, 0])):
        with pytest.raises(InputError, match="for a circuit of 6 and 2"):
            assign(circuit, positions, collateral)


@pytest.mark.parametrize("range_proved", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_position_outside_its_bound_is_refused(range_proved: bool, sign: int) -> None:
    circuit = freeze(range_proved=range_proved)
    edge = [0, 0, 0, sign * 15, 0, 0]
    check(circuit, assign(circuit, edge, [255, 15]))
    edge[3] += sign
    with pytest.raises(InputError, match=r"positions\[3\]: a position is larger than the circuit proves"):
        assign(circuit, edge, [255, 15])


def test_a_balance_outside_its_bound_is_refused() -> None:
    circuit = freeze()
    check(circuit, assign(circuit, [0] * 6, [255, 15]))
    for collateral, what in (([256, 0], "collateral 0 held"), ([0, 16], "collateral 1 held"), ([-256, 15], "0 owed")):
        with pytest.raises(InputError, match=f"{what}: does not fit its range"):
            assign(circuit, [0] * 6, collateral)


def test_a_negative_balance_where_none_is_allowed_is_refused() -> None:
    with pytest.raises(InputError, match="collateral 1 held: does not fit its range"):
        assign(freeze(), [0] * 6, [100, -1])


def test_reprs_show_no_numbers() -> None:
    _, witness = honest()
    assert not any(character.isdigit() for character in repr(witness).partition(" at ")[0])


# --- what check names ---------------------------------------------------------------------------------------


def refuse(circuit: Circuit, witness: Witness, rule: str, name: str = "") -> None:
    with pytest.raises(ConstraintError, match=name) as caught:
        check(circuit, witness)
    assert caught.value.rule == rule


def changed(values: tuple[int, ...], i: int, by: int) -> tuple[int, ...]:
    return (*values[:i], values[i] + by, *values[i + 1 :])


def test_sides_that_do_not_match_their_position_are_named() -> None:
    circuit, witness = honest()
    for name in ("positions", "long", "short"):
        edit: Keywords = {name: changed(getattr(witness, name), 2, 1)}
        bad = replace(witness, **edit)
        refuse(circuit, bad, "position digits", "slot 2: ")
    # both sides larger by the same amount is allowed: it only costs the prover
    both = replace(witness, long=changed(witness.long, 2, 1), short=changed(witness.short, 2, 1))
    with pytest.raises(ConstraintError) as caught:
        check(circuit, both)
    assert caught.value.rule == "scenario"  # the short option minimum, which it did not pay for


def test_digits_out_of_range_are_named() -> None:
    circuit, witness = honest()
    for long, short in ((16, 16), (-1, -1)):
        bad = replace(witness, long=changed(witness.long, 2, long), short=changed(witness.short, 2, short))
        refuse(circuit, bad, "position range", "slot 2: a side outside")
    for v, x in enumerate(circuit.bounded):
        for wrong in (-1, circuit.n**x.digits):
            bad = replace(witness, bounded=changed(witness.bounded, v, wrong - witness.bounded[v]))
            refuse(circuit, bad, "bounded integer", x.name)


def test_gates_that_do_not_multiply_or_are_not_wired_are_named() -> None:
    circuit, witness = honest(gates=2)
    a, b, c = witness.gates[1]
    refuse(circuit, replace(witness, gates=(witness.gates[0], (a, b, c + 1))), "product gate", r"gate 1: .* is not")
    refuse(circuit, replace(witness, gates=(witness.gates[0], (a + 1, b, c + b))), "product gate", "gate 1 left")
    refuse(circuit, replace(witness, gates=(witness.gates[0], (a, b + 1, c + a))), "product gate", "gate 1 right")
    # the field does not tell c from c + r, nor does the check
    check(circuit, replace(witness, gates=(witness.gates[0], (a, b, c + r))))


def test_a_copy_of_a_witness_does_not_keep_the_sums_of_the_old_one() -> None:
    circuit, witness = honest(range_proved=False)
    check(circuit, witness)
    with pytest.raises(ConstraintError):
        check(circuit, replace(witness, positions=changed(witness.positions, 0, 1)))


# --- every equation is needed -------------------------------------------------------------------------------


def violations(circuit: Circuit, witness: Witness) -> Iterator[tuple[int, Witness]]:
    """For each equation a witness that breaks this one and nothing else.

    A slack (or, without one, another integer or wire that stands in no other equation) is moved by one.
    """
    for j, equation in enumerate(circuit.equations):
        others = [e for i, e in enumerate(circuit.equations) if i != j]
        for kind, index in equation.form.terms:
            if any((kind, index) in e.form.terms for e in others):
                continue
            if kind == "bounded":
                step = 1 if witness.bounded[index] + 1 < circuit.n ** circuit.bounded[index].digits else -1
                yield j, replace(witness, bounded=changed(witness.bounded, index, step))
                break
            if kind == "collateral":
                yield j, replace(witness, collateral=changed(witness.collateral, index, 1))
                break
            if kind in ("A", "B") and witness.gates[index]["BA".index(kind)] == 0:
                a, b, c = witness.gates[index]
                yield (
                    j,
                    replace(
                        witness,
                        gates=(*witness.gates[:index], (a + 1, b, c) if kind == "A" else (a, b + 1, c)),
                    ),
                )
                break


def test_each_equation_dropped_makes_its_violation_acceptable() -> None:
    # a gate of nothing by nothing: each of its wires can be moved alone and the gate still multiplies
    system = lab.margin_like(gates=0)
    x = system.integer("zero", 1, Form())
    system.at_least_zero("square", "of nothing", Form(constant=5) - system.product(x, 2 * x))
    circuit = Circuit.freeze(system, 2)
    witness = assign(circuit, lab.book_of(6), [40, 3])
    check(circuit, witness)
    broken = dict(violations(circuit, witness))
    assert set(broken) == set(range(len(circuit.equations)))
    for j, bad in broken.items():
        equation = circuit.equations[j]
        refuse(circuit, bad, equation.rule, equation.name)
        check(circuit.without_equation(j), bad)


def test_each_equation_of_a_published_policy_dropped_makes_its_violation_acceptable() -> None:
    snapshot = lab.snapshot(
        groups=[0, 1, 0],
        risk=[[5, -8], [-3, 4], [2, 2]],
        charges=[3, 1, 2],
        marks=[4, 0, 1],
        assets=[(9_000, 10_100, 32, True), (1, 1, 48, False)],
        mode="floor",
    )
    circuit = build_circuit(snapshot, Claim())
    witness = assign(circuit, [3, -2, -4], [1000, 5])
    check(circuit, witness)
    broken = dict(violations(circuit, witness))
    assert set(broken) == set(range(len(circuit.equations)))
    rules = {e.rule for e in circuit.equations}
    assert rules == {"collateral bound", "worst_scenario", "short_option_minimum", "claim"}
    for j, bad in broken.items():
        refuse(circuit, bad, circuit.equations[j].rule, circuit.equations[j].name)
        check(circuit.without_equation(j), bad)


# --- exhaustive on a toy ------------------------------------------------------------------------------------


def test_the_accepted_witnesses_of_a_toy_circuit_are_the_true_ones() -> None:
    # 0 <= q - 2 c + 3 over every side, balance and slack that the digits of n = 4 can hold
    system = System(n=4, position_count=1, position_bits=2, range_proved=True, collateral=[(2, False)])
    form = system.dense("positions", np.array([1], dtype=np.int64)) - 2 * system.collateral(0)[0] + 3
    system.at_least_zero("toy", "toy", form)
    circuit = Circuit.freeze(system, 1)
    base = assign(circuit, [0], [0])
    digits = [x.digits for x in circuit.bounded]
    accepted = set()
    for p in range(4):
        for m in range(4):
            for c in range(4):
                for slack in range(4 ** digits[1]):
                    witness = replace(
                        base, positions=(p - m,), long=(p,), short=(m,), collateral=(c,), bounded=(c, slack)
                    )
                    try:
                        check(circuit, witness)
                    except ConstraintError:
                        continue
                    accepted.add((p - m, c, slack))
    assert accepted == {(q, c, q - 2 * c + 3) for q in range(-3, 4) for c in range(4) if q - 2 * c + 3 >= 0}
    for q in range(-3, 4):
        for c in range(4):
            if q - 2 * c + 3 >= 0:
                check(circuit, assign(circuit, [q], [c]))
            else:
                with pytest.raises(ConstraintError):
                    assign(circuit, [q], [c])
