"""A prover with its checks removed tries every cheat of the catalogue (20, 22, 23, 25, 27, 29): the verifier refuses.

``lab.cheat`` is the product's prover without a single ``raise``; a *tamper* replaces cells of its columns before
they are committed. Each cheat starts from data for which the untampered prover is accepted.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support import lab
from support.lab import Case
from support.typed import JsonObject, Keywords, Passed

import zkmargin.verifier.argument
from zkmargin.accounts import commit_book
from zkmargin.accounts.commitments import gather
from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import Form, System
from zkmargin.circuits.language.witness import Witness, assign
from zkmargin.crypto.commitment import commit_values
from zkmargin.crypto.field import inverse, r
from zkmargin.crypto.group import encode_g1
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.formats import InputError, VerificationError
from zkmargin.prover.argument import ProverError, _Rounds, prove_argument
from zkmargin.verifier import Statement, verify
from zkmargin.verifier.proof import Proof

FULL = os.environ.get("ZKMARGIN_FULL") == "1"

SHAPES: dict[str, JsonObject] = {
    "range-proved": {},
    "gates": {"gates": 2},
    "segments": {"slots": 20, "bits": 8},
    "attested": {"range_proved": False},
}


def accepted(given: Case, tamper: lab.Tamper | None = None) -> bool:
    """Whether the verifier takes what the dishonest prover makes."""
    data = lab.encode(given, lab.cheat(given, tamper))
    try:
        verify(given.statement.as_statement(), data)
    except VerificationError:
        return False
    return True


def usual(name: str = "range-proved") -> Case:
    return lab.standard(collateral=(200, 3), **SHAPES[name])


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


# --- unlisted rows ------------------------------------------------------------------------------------------


def commit_rows(given: Case, role: str, rows: list[int]) -> Case:
    """The case with other committed rows for a role's first segment, dishonestly made."""
    srs, n = given.statement.srs, given.circuit.n
    blinder = given.blinders[f"{role}[0]"]
    point = encode_g1(commit_values(srs, given.circuit.domain, rows, blinder))
    assert len(rows) == n
    parts = tuple(
        p if p.role != role else p.model_copy(update={"points": (point.hex(), *p.points[1:])})
        for p in given.statement.parts
    )
    return replace(given, statement=replace(given.statement, parts=parts))


def hidden(given: Case, role: str, row: int, lots: int, shape: str) -> tuple[Case, Proof]:
    """A prover whose committed vector holds ``lots`` in a row, with digits to match where there are any."""
    rows = [int(x) for x in given.witness.columns(given.circuit)[f"{role}[0]"]]
    rows[row] = lots
    case = commit_rows(given, role, rows)
    module = lab.unchecked()
    changes = {}
    if role == "positions" and shape != "attested":
        changes["f[0]" if lots > 0 else f"f[{given.circuit.position_digits}]"] = {row: abs(lots)}

    def counted(rounds: _Rounds, name: str, values: list[int]) -> list[int]:
        values = lab.swap(changes)(rounds, name, values)
        if name == "mu" and changes:
            values[0] -= 1
            values[abs(lots)] += 1
        return values

    module.tamper = counted

    class Columns(Witness):
        def columns(self, circuit: Circuit) -> dict[str, npt.NDArray[np.int64] | list[int]]:
            return {**super().columns(circuit), f"{role}[0]": np.array(rows, dtype=np.int64)}

    w = given.witness
    witness = Columns(w.positions, w.long, w.short, w.collateral, w.bounded, w.gates)
    return case, module.prove_argument(case.statement, witness, case.blinders, lab.draws("proof"))


@pytest.mark.parametrize("shape", ["range-proved", "attested"])
@pytest.mark.parametrize("role", ["positions", "collateral"])
def test_nothing_can_be_hidden_in_an_unlisted_row(shape: str, role: str) -> None:
    given = usual(shape)
    count = given.circuit.position_count if role == "positions" else given.circuit.collateral_count
    for row in (count, given.circuit.n - 2, given.circuit.n - 1):
        for lots in (1, -1):
            case, proof = hidden(given, role, row, lots, shape)
            with pytest.raises(VerificationError):
                verify(case.statement.as_statement(), lab.encode(case, proof))


@pytest.mark.parametrize("role", ["positions", "collateral"])
def test_the_selector_is_what_keeps_it_out(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the same prover against a circuit whose selectors are 0: accepted, so the test above bites
    given = usual()
    monkeypatch.setattr(Circuit, "selector", lambda *_: [0] * given.circuit.n)
    monkeypatch.setattr(zkmargin.verifier.argument, "_selector_at", lambda *_: 0)
    case, proof = hidden(given, role, given.circuit.n - 1, 1, "range-proved")
    verify(case.statement.as_statement(), lab.encode(case, proof))


def test_a_balance_cannot_stand_in_the_rows_of_the_other_role() -> None:
    # positions' commitment given as collateral and the other way round
    given = lab.standard(slots=2, collateral=(9, 3))
    a, b = given.statement.parts
    swapped = (a.model_copy(update={"points": b.points}), b.model_copy(update={"points": a.points}))
    case = replace(given, statement=replace(given.statement, parts=swapped))
    assert accepted(given)
    assert not accepted(case)


# --- sums that wrap around ----------------------------------------------------------------------------------


def test_a_position_that_is_negative_in_the_field_only_is_rejected() -> None:
    # committed r - 1 (one lot short), proved as if it were 15 long and 16 short, or with a digit of r - 1
    given = usual()
    w = given.witness
    assert w.positions[2] == 0
    book = replace(w, positions=(*w.positions[:2], -1, *w.positions[3:]))
    case = lab.state(given.circuit, book)
    assert not accepted(case)
    assert not accepted(case, lab.swap({"f[0]": {2: r - 1}}))


def test_products_and_equations_that_wrap_around_cannot_be_built() -> None:
    system = System(n=16, position_count=1, position_bits=60, range_proved=True, collateral=[(60, True)])
    held, owed = system.collateral(0)
    with pytest.raises(InputError, match="wrap around"):
        system.equal("rule", "name", (held - owed) * (r // 2**60))
    with pytest.raises(InputError, match="wrap around"):
        system.product(held * 2**70, held * 2**70)


def test_a_value_at_its_widest_and_one_beyond() -> None:
    # equation x - slack = 0 with x at the top of its digits is proved; the integer one above has no digits
    system = System(n=16, position_count=0, position_bits=4, range_proved=False, collateral=[(8, False)])
    system.at_least_zero("rule", "twice", 2 * system.collateral(0)[0])
    circuit = Circuit.freeze(system, 1)
    assert accepted(lab.state(circuit, assign(circuit, [], [255])))
    with pytest.raises(InputError, match="does not fit"):
        assign(circuit, [], [256])
    # the prover writes 256 as (0, 16): one digit just past the table
    w = assign(circuit, [], [0])
    beyond = lab.state(circuit, replace(w, collateral=(256,), bounded=(0, 512)))
    column, row, _ = circuit.digit_cells[0][1]
    assert not accepted(beyond, lab.swap({f"f[{column}]": {row: 16}}))
    assert not accepted(beyond)


# --- commitments that do not fit ----------------------------------------------------------------------------


def test_a_commitment_over_another_domain_is_rejected() -> None:
    given = usual()
    for other in (8, 32):
        case = lab.state(given.circuit, given.witness, commit_n=other)
        assert case.statement.committed_points().keys() == given.statement.committed_points().keys()
        assert not accepted(case)


def test_commitments_that_do_not_belong_together_are_refused_before_any_proof() -> None:
    snapshot = lab.snapshot(
        groups=[0, 0], risk=[[5, -8], [-3, 4]], charges=[3, 1], marks=[4, 0], assets=[(9_000, 10_100, 32, True)]
    )
    given = commit_book(snapshot, BookLots((1, -2), (1000,))).commitment()
    srs = Statement.of(snapshot, [given], Claim()).srs
    assert len(gather([given], snapshot, srs)) == 2
    wide = lab.snapshot(
        groups=[0, 0],
        risk=[[5, -8], [-3, 4]],
        charges=[3, 1],
        marks=[4, 0],
        assets=[(9_000, 10_100, 40, True)],
        n=32,
        bits=20,
    )
    other_slots = lab.snapshot(
        groups=[0, 0, 0],
        risk=[[5, -8], [-3, 4], [0, 0]],
        charges=[3, 1, 0],
        marks=[4, 0, 0],
        assets=[(9_000, 10_100, 32, True)],
    )
    alone = given.model_copy(update={"parts": given.parts[:1]})
    assert len(Statement.of(snapshot, [given], Claim(), context=bytes(1024)).context) == 1024
    with pytest.raises(InputError, match="context: 1025 bytes, at most 1024"):
        Statement.of(snapshot, [given], Claim(), context=bytes(1025))
    for commitments, target, reason in (
        ([given, given], snapshot, "given twice"),
        ([given, alone], snapshot, "given twice"),
        (
            [given.model_copy(update={"parts": (given.parts[0].model_copy(update={"alias": "other"}), *given.parts)})],
            snapshot,
            "given twice",
        ),
        ([alone], snapshot, "no part for"),
        ([], snapshot, "no part for"),
        ([given], wide, "made over 16 rows"),
        ([given], other_slots, "other slots"),
        ([given.model_copy(update={"srs": "00" * 32})], snapshot, "another structured reference string"),
        ([given.model_copy(update={"domain_size": 32})], wide, "other slots"),
    ):
        with pytest.raises(InputError, match=reason):
            Statement.of(target, commitments, Claim())


def test_attested_bounds_must_add_up_to_no_more_than_the_circuit_allows() -> None:
    snapshot = lab.snapshot(
        groups=[0], risk=[[5, -8]], charges=None, marks=[4], assets=[(9_000, 10_100, 32, True)], range_proved=False
    )
    openings = [commit_book(snapshot, BookLots((1,), (10,)), alias=alias) for alias in ("one", "two")]
    Statement.of(snapshot, [openings[0].commitment()], Claim())
    with pytest.raises(InputError, match="add up to more than the circuit allows"):
        Statement.of(snapshot, [o.commitment() for o in openings], Claim())
    assert build_circuit(snapshot, Claim()).position_bound == 2**16 - 1


# --- exhaustive ---------------------------------------------------------------------------------------------


def toy() -> Circuit:
    """q + 2 c - 3 >= 0 over one position of one digit and a balance of one digit, at n = 4."""
    system = System(n=4, position_count=1, position_bits=2, range_proved=True, collateral=[(2, False)])
    form = system.dense("positions", np.array([1], dtype=np.int64)) + 2 * system.collateral(0)[0] - 3
    system.at_least_zero("toy", "toy", form)
    return Circuit.freeze(system, 1)


def test_every_book_of_a_toy_circuit_is_accepted_exactly_if_its_claim_is_true() -> None:
    circuit = toy()
    base = assign(circuit, [3], [3])
    slack = circuit.equations[-1].slack
    assert slack is not None
    for q in range(-3, 4):
        for c in range(4):
            book = replace(base, positions=(q,), long=(max(q, 0),), short=(max(-q, 0),), collateral=(c,))
            true = q + 2 * c - 3
            bounded = [0] * len(circuit.bounded)
            bounded[0] = c
            bounded[slack] = true % 16
            case = lab.state(circuit, replace(book, bounded=tuple(bounded)))
            # the prover tries its best: the slack mod 16, and for a false claim the lowest digit as it is
            verdicts = {accepted(case)}
            if true < 0:
                column, row, _ = circuit.digit_cells[slack][0]
                top = circuit.digit_cells[slack][1]
                verdicts.add(accepted(case, lab.swap({f"f[{column}]": {row: true}, f"f[{top[0]}]": {top[1]: 0}})))
            assert verdicts == {true >= 0}, (q, c)


@pytest.mark.slow
@pytest.mark.parametrize("book", [(-3, 3), (1, 1), (2, 0)], ids=str)
def test_every_witness_of_a_toy_circuit_is_accepted_exactly_if_it_satisfies(book: Passed) -> None:
    circuit, (q, c) = toy(), book
    base = replace(assign(circuit, [3], [3]), positions=(q,), collateral=(c,))
    blank = lab.state(circuit, base)
    good = 0
    for p in range(4):
        for m in range(4):
            for held in range(4) if FULL else (c, 3 - c):
                for slack in range(16) if FULL else range(4):
                    witness = replace(base, long=(p,), short=(m,), bounded=(held, slack))
                    true = q == p - m and c == held and slack == q + 2 * c - 3
                    assert accepted(replace(blank, witness=witness)) == true, witness.__dict__
                    good += true
    # as many as there are ways to write q as a difference of two digits; none where the claim is false
    assert good == (0 if q + 2 * c < 3 else 4 - abs(q))


def test_the_form_of_nothing_is_a_rule_like_any_other() -> None:
    # an equation without hidden terms: 1 = 0 cannot be proved, 0 = 0 can
    for constant, true in ((0, True), (1, False)):
        system = System(n=16, position_count=0, position_bits=4, range_proved=False, collateral=[(4, False)])
        system.equal("rule", "constant", Form(constant=constant))
        circuit = Circuit.freeze(system, 1)
        witness = replace(assign(replace(circuit, equations=circuit.equations[:1]), [], [3]))
        assert accepted(lab.state(circuit, witness)) == true
