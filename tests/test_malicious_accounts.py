"""A prover with its checks removed hides positions, wraps sums around and mixes commitments: refused (23, 27, 29).

``lab.cheat`` is the product's prover without a single ``raise``; a *tamper* replaces cells of its columns before
they are committed. Each cheat starts from data for which the untampered prover is accepted.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from support import lab
from support.cheats import FULL, accepted, usual
from support.lab import Case
from support.typed import Passed

import zkmargin.prover.public
import zkmargin.verifier.argument
from zkmargin.accounts import commit_book
from zkmargin.accounts.commitments import gather
from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import Form, System
from zkmargin.circuits.language.witness import Witness, assign
from zkmargin.crypto.commitment import commit_values
from zkmargin.crypto.field import r
from zkmargin.crypto.group import encode_g1
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.formats import InputError, VerificationError
from zkmargin.prover import _kernels as K
from zkmargin.prover.argument import _Rounds
from zkmargin.verifier import Statement, verify
from zkmargin.verifier.proof import Proof

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
    for name in ("_selector", "_selector_on"):
        monkeypatch.setattr(zkmargin.prover.public, name, lambda n, *_: K.constant(0, n))
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
