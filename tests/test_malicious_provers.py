"""A prover with its checks removed changes columns, multiplicities and running sums: refused (20, 22, 25).

``lab.cheat`` is the product's prover without a single ``raise``; a *tamper* replaces cells of its columns before
they are committed. Each cheat starts from data for which the untampered prover is accepted.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support import lab
from support.cheats import FULL, SHAPES, accepted, usual
from support.typed import Keywords

from zkmargin.circuits.language.circuit import Circuit
from zkmargin.crypto.field import inverse, r
from zkmargin.formats import VerificationError
from zkmargin.prover.argument import prove_argument
from zkmargin.prover.polynomials import ProverError
from zkmargin.verifier import verify
from zkmargin.verifier.proof import Proof

# --- the bench itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_the_prover_without_checks_is_the_prover(name: str) -> None:
    given = usual(name)
    assert lab.encode(given, lab.cheat(given)) == lab.prove(given)
    assert accepted(given, lab.swap({}))


def test_the_prover_with_checks_refuses_what_the_other_one_sends() -> None:
    given = usual()
    false = replace(given.witness, bounded=(given.witness.bounded[0] ^ 1, *given.witness.bounded[1:]))
    with pytest.raises(ProverError, match="running sum does not close"):
        prove_argument(given.statement, false, given.blinders, lab.draws("proof"))
    assert not accepted(replace(given, witness=false))
    unmatched = replace(given.witness, long=(given.witness.long[0] + 1, *given.witness.long[1:]))
    with pytest.raises(ProverError, match=r"not a polynomial|does not close"):
        prove_argument(given.statement, unmatched, given.blinders, lab.draws("proof"))


# --- one cell of each column --------------------------------------------------------------------------------


def columns_of(circuit: Circuit) -> Iterator[str]:
    yield from (f"f[{c}]" for c in range(circuit.digit_columns))
    yield "mu"
    yield from "ABC" if circuit.gates else ""
    yield from (f"h[{g}]" for g in range(len(circuit.lookup_groups)))
    yield "phi"


@pytest.mark.parametrize("name", SHAPES)
def test_one_cell_changed_of_any_column_is_rejected(name: str) -> None:
    given = usual(name)
    for column in columns_of(given.circuit):
        for row in range(given.circuit.n) if FULL else (0, 5, given.circuit.n - 1):

            def tamper(
                _rounds: object, name: str, values: list[int], column: str = column, row: int = row
            ) -> list[int]:
                if name == column:
                    values[row] += 1
                return values

            # a constant added to phi is no change; a cell of it is. A row past the gates is bound by A B = C alone
            free = column in "AB" and row >= len(given.circuit.gates)
            assert accepted(given, tamper) == free, (column, row)


@pytest.mark.parametrize("name", SHAPES)
def test_every_integer_of_the_witness_is_constrained(name: str) -> None:
    given = usual(name)
    w, circuit = given.witness, given.circuit
    for v, x in enumerate(w.bounded):
        step = 1 if x + 1 < circuit.n ** circuit.bounded[v].digits else -1
        bad = replace(w, bounded=(*w.bounded[:v], x + step, *w.bounded[v + 1 :]))
        assert not accepted(replace(given, witness=bad)), circuit.bounded[v].name
    for side in ("long", "short") if circuit.position_digits else ():
        for i, x in enumerate(getattr(w, side)):
            edit: Keywords = {side: (*getattr(w, side)[:i], x + 1, *getattr(w, side)[i + 1 :])}
            bad = replace(w, **edit)
            assert not accepted(replace(given, witness=bad)), (side, i)
    for i in range(len(w.positions)):
        bad = replace(w, positions=(*w.positions[:i], w.positions[i] + 1, *w.positions[i + 1 :]))
        # the committed book is another one, the digits are those of the old one
        assert not accepted(lab.state(circuit, bad)), i
    for j in range(len(w.collateral)):
        bad = replace(w, collateral=(*w.collateral[:j], w.collateral[j] + 1, *w.collateral[j + 1 :]))
        assert not accepted(lab.state(circuit, bad)), j
    for g in range(len(w.gates)):
        for wire in range(3):
            a, b, c = (x + (i == wire) for i, x in enumerate(w.gates[g]))
            gate = (a, b, c)
            bad = replace(w, gates=(*w.gates[:g], gate, *w.gates[g + 1 :]))
            assert not accepted(replace(given, witness=bad)), (g, wire)


def test_each_equation_alone_keeps_its_violation_out() -> None:
    # move the slack of every inequality: rejected with the equation, accepted without it
    given = usual()
    w, circuit = given.witness, given.circuit
    for j, equation in enumerate(circuit.equations):
        if equation.slack is None:
            continue
        v = equation.slack
        step = 1 if w.bounded[v] + 1 < circuit.n ** circuit.bounded[v].digits else -1
        bad = replace(w, bounded=(*w.bounded[:v], w.bounded[v] + step, *w.bounded[v + 1 :]))
        assert not accepted(lab.state(circuit, bad)), equation.name
        assert accepted(lab.state(circuit.without_equation(j), bad)), equation.name


# --- lookup -------------------------------------------------------------------------------------------------


def test_wrong_multiplicities_are_rejected() -> None:
    given = usual()
    for i, j in ((0, 1), (3, 15), (15, 0)):

        def tamper(_rounds: object, name: str, values: list[int], i: int = i, j: int = j) -> list[int]:
            if name == "mu":
                # the right number of looked-up cells, wrongly distributed
                values[i], values[j] = values[i] + 1, values[j] - 1
            return values

        assert not accepted(given, tamper)


def test_multiplicities_all_zero_or_of_other_cells_are_rejected() -> None:
    given = usual()
    n = given.circuit.n
    for replacement in ([0] * n, [1] * n, [given.circuit.digit_columns] * n):
        assert not accepted(given, lab.swap({"mu": dict(enumerate(replacement))}))


def test_one_unit_of_collateral_short_is_rejected() -> None:
    given, short = lab.false_claim()
    assert 0 < short <= 9
    assert not accepted(given)


def cells(changes: list[tuple[tuple[int, int, int], int]]) -> dict[str, dict[int, int]]:
    """A tamper from ((column, row, weight), value) pairs."""
    by_column: dict[Any, Any] = {}
    for (column, row, _), value in changes:
        by_column.setdefault(f"f[{column}]", {})[row] = value
    return by_column


@pytest.mark.parametrize("digits", ["(-short)", "(n - short, -1)"])
def test_a_slack_below_zero_is_rejected_however_its_digits_are_written(digits: str) -> None:
    # every equation holds over the field; only the lookup does not
    given, short = lab.false_claim()
    low, high, *_ = given.circuit.digit_cells[-1]
    changes = [(low, -short)] if digits == "(-short)" else [(low, given.circuit.n - short), (high, -1)]
    assert not accepted(given, lab.swap(cells(changes)))


def test_a_true_slack_with_a_digit_of_n_is_rejected() -> None:
    # (low + n, high - 1) is the same integer as (low, high): only the lookup tells them apart
    given = lab.standard(collateral=(40, 0))
    low, high, *_ = given.circuit.digit_cells[-1]
    n, x = given.circuit.n, given.witness.bounded[-1]
    assert x // n % n > 0
    assert accepted(given, lab.swap(cells([(low, x % n), (high, x // n % n)])))
    assert not accepted(given, lab.swap(cells([(low, x % n + n), (high, x // n % n - 1)])))


@pytest.mark.parametrize("tries", ["counts", "one more", "zero instead"])
def test_a_lookup_of_a_cell_outside_the_table_cannot_be_balanced_beforehand(tries: str) -> None:
    given, short = lab.false_claim()
    n = given.circuit.n
    column, row, _ = given.circuit.digit_cells[-1][0]

    def tamper(_rounds: object, name: str, values: list[int]) -> list[int]:
        if name == f"f[{column}]":
            values[row] = -short
        if name == "mu":
            if tries == "one more":
                values[0] += 1
            elif tries == "zero instead":
                values[n - 1], values[0] = values[n - 1] + 1, values[0] - 1
        return values

    assert not accepted(given, tamper)


def test_all_cells_equal_is_no_permutation_of_the_table() -> None:
    # [5, 5, .., 5] with multiplicities of one each
    given = usual("attested")
    n = given.circuit.n

    def tamper(_rounds: object, name: str, values: list[int]) -> list[int]:
        return [5] * n if name == "f[0]" else values

    assert not accepted(given, tamper)


# --- running sum and helpers --------------------------------------------------------------------------------


def test_a_running_sum_that_does_not_close_is_rejected_wherever_it_is_bent() -> None:
    given, short = lab.false_claim()
    n, J = given.circuit.n, len(given.circuit.equations)
    write_off = pow(lab.challenges(given.statement, lab.cheat(given)).rho, J - 1, r) * short % r
    for at in range(n):

        def bend(_rounds: object, name: str, values: list[int], at: int = at) -> list[int]:
            # the missing amount is written off in one step
            return [x * (i > 0) + write_off * (i > at) for i, x in enumerate(values)] if name == "phi" else values

        assert not accepted(given, bend)

    def restart(_rounds: object, name: str, values: list[int]) -> list[int]:
        return [0] * n if name == "phi" else values

    assert not accepted(given, restart)


def test_a_helper_that_is_wrong_on_one_row_or_on_two_that_cancel_is_rejected() -> None:
    given = usual()
    for rows in ([(0, 1)], [(3, 1), (9, -1)], [(15, 5), (0, -5)]):

        def tamper(_rounds: object, name: str, values: list[int], rows: list[tuple[int, int]] = rows) -> list[int]:
            if name == "h[0]":
                for row, by in rows:
                    values[row] += by
            return values

        assert not accepted(given, tamper)


def test_helpers_that_absorb_a_false_claim_are_rejected() -> None:
    # the helpers' sum makes the running sum close again: the errors cancel in the sum, not on the rows
    given, short = lab.false_claim()
    circuit = given.circuit
    J = len(circuit.equations)

    def run(extra: int, lookup: int = 0) -> Proof:
        def tamper(_rounds: object, name: str, values: list[int]) -> list[int]:
            if name == "h[0]":
                values[0] += extra
            if name == "phi" and extra:
                # the running sum that closes with the helper's new value: later entries move by rho^J extra
                return [x + extra * lookup if i > 0 else 0 for i, x in enumerate(values)]
            return values

        return lab.cheat(given, tamper)

    x = lab.challenges(given.statement, run(0))
    lookup = pow(x.rho, J, r)
    # the claim is off by rho^(J-1) short: pay it with the helper
    extra = pow(x.rho, J - 1, r) * short * inverse(lookup) % r
    proof = run(extra, lookup)
    assert lab.challenges(given.statement, proof).rho == x.rho
    with pytest.raises(VerificationError):
        verify(given.statement.as_statement(), lab.encode(given, proof))


def test_digits_that_match_their_position_only_in_the_sum_over_rows_are_rejected() -> None:
    # slot 0 says one lot more, slot 3 one lot less than is committed; no equation reads the sides here
    given = lab.standard(minimum=False)
    w = given.witness
    assert w.long[3] > 0
    both = replace(w, long=(w.long[0] + 1, *w.long[1:]), short=(w.short[0] + 1, *w.short[1:]))
    assert accepted(replace(given, witness=both))
    moved = replace(w, long=(w.long[0] + 1, *w.long[1:3], w.long[3] - 1, *w.long[4:]))
    assert not accepted(replace(given, witness=moved))
