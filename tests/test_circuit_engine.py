"""The circuit says what the engine says: on random snapshots and books, a witness exists exactly if the claim holds.

Both sides of every comparison are exact integers, so "exactly" includes equity at the requirement and one valuation
unit below. Catalogue items 23, 25 and 26.
"""

import functools
from dataclasses import replace
from math import gcd

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import lab

from zkmargin.accounts import commit_book
from zkmargin.circuits import build_circuit, margin
from zkmargin.circuits.books import margin_witness
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import Equation, Form
from zkmargin.circuits.language.witness import Witness, assign, check
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.short_option_minimum import Mode
from zkmargin.engine.margin import claim_slack, requirement_total
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

MONEY = st.one_of(st.integers(-9, 9), st.integers(-(2**22), 2**22))
LOTS = st.one_of(
    st.just(0), st.integers(-9, 9), st.sampled_from([2**16 - 1, 1 - 2**16]), st.integers(1 - 2**16, 2**16 - 1)
)
#: The last collateral slot counts one valuation unit a lot, held or owed: it puts a book exactly on an edge.
UNIT = (1, 1, 60, True)
ROOM = 2**60 - 2


@st.composite
def snapshots(draw: st.DrawFn, *, range_proved: None = None) -> Snapshot:
    n, width = draw(st.integers(0, 6)), draw(st.integers(1, 5))
    # groups are numbered in order of first appearance, as a snapshot has them
    drawn = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    groups = [sorted(set(drawn), key=drawn.index).index(g) for g in drawn]
    positive = st.integers(0, 2**22)
    proved = draw(st.booleans()) if range_proved is None else range_proved
    assets = []
    for _ in range(draw(st.integers(0, 2))):
        held = draw(st.one_of(st.integers(0, 9), st.integers(0, 2**30)))
        assets.append((held, held + draw(st.integers(0, 2**20)), 20, draw(st.booleans())))
    return lab.snapshot(
        groups=groups,
        risk=[[draw(MONEY) for _ in range(width)] for _ in range(n)],
        charges=draw(st.lists(positive, min_size=n, max_size=n)) if proved else None,
        marks=draw(st.lists(positive, min_size=n, max_size=n)),
        assets=[*assets, UNIT],
        mode=draw(st.sampled_from(["floor", "added"])),
        range_proved=proved,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Snapshot, BookLots, Claim]:
    snapshot = draw(snapshots())
    positions = tuple(draw(LOTS) for _ in snapshot.instruments)
    balances = tuple(
        draw(st.integers(1 - 2**20 if slot.negative_allowed else 0, 2**20 - 1)) for slot in snapshot.collateral[:-1]
    )
    num, den = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    claim = Claim(num // gcd(num, den), den // gcd(num, den), draw(st.sampled_from(["initial", "maintenance"])))
    return snapshot, BookLots(positions, (*balances, draw(st.integers(-(2**20), 2**20)))), claim


def accepted(snapshot: Snapshot, lots: BookLots, claim: Claim) -> bool:
    """What the engine says; fails unless the circuit says the same, with the same number."""
    circuit = build_circuit(snapshot, claim)
    if claim_slack(snapshot, lots, claim) < 0:
        with pytest.raises(ConstraintError) as caught:
            assign(circuit, lots.positions, lots.collateral)
        assert (caught.value.rule, caught.value.shortfall) == ("claim", -claim_slack(snapshot, lots, claim))
        return False
    witness = assign(circuit, lots.positions, lots.collateral)
    check(circuit, witness)
    # the slack of the claim, the last integer, is the engine's number
    assert witness.bounded[-1] == claim_slack(snapshot, lots, claim)
    return True


def moved(lots: BookLots, by: int) -> BookLots:
    """The book with ``by`` more valuation units of the unit asset."""
    return BookLots(lots.positions, (*lots.collateral[:-1], lots.collateral[-1] + by))


@settings(max_examples=5 * settings().max_examples)
@given(st.data())
def test_a_witness_exists_exactly_if_the_claim_holds(data: st.DataObject) -> None:
    snapshot, lots, claim = data.draw(cases())
    accepted(snapshot, lots, claim)


@settings(max_examples=5 * settings().max_examples)
@given(st.data())
def test_at_the_requirement_and_one_valuation_unit_below(data: st.DataObject) -> None:
    snapshot, lots, claim = data.draw(cases())
    slack = claim_slack(snapshot, lots, claim)
    # one lot of the unit asset moves the slack by den; land on the least slack that is not negative
    edge = moved(lots, -(slack // claim.den))
    assume(abs(edge.collateral[-1]) < ROOM)
    assert claim_slack(snapshot, edge, claim) == slack % claim.den
    assert accepted(snapshot, edge, claim)
    assert not accepted(snapshot, moved(edge, -1), claim)
    assert accepted(snapshot, moved(edge, 1), claim)
    if claim.den == 1:
        assert claim_slack(snapshot, edge, claim) == 0


@given(st.data())
def test_the_other_requirement_and_the_next_claim_have_edges_of_their_own(data: st.DataObject) -> None:
    snapshot, lots, _ = data.draw(cases())
    assume(requirement_total(snapshot, lots, "maintenance") < requirement_total(snapshot, lots, "initial"))
    initial, maintenance = Claim(1, 1, "initial"), Claim(1, 1, "maintenance")
    edge = moved(lots, -claim_slack(snapshot, lots, maintenance))
    assume(abs(edge.collateral[-1]) < ROOM)
    assert accepted(snapshot, edge, maintenance)
    assert not accepted(snapshot, edge, initial)
    assert not accepted(snapshot, edge, Claim(65535, 65534, "maintenance"))
    assert accepted(snapshot, edge, Claim(65534, 65535, "maintenance"))


@given(st.data())
def test_overstating_charges_sides_or_debts_never_helps(data: st.DataObject) -> None:
    snapshot, lots, claim = data.draw(cases())
    circuit = build_circuit(snapshot, claim)
    slack = claim_slack(snapshot, lots, claim)
    edge = moved(lots, -(slack // claim.den))
    assume(abs(edge.collateral[-1]) < ROOM)
    witness = assign(circuit, edge.positions, edge.collateral)
    equation = circuit.equations[-1]
    assert equation.rule == "claim"

    def room(w: Witness) -> int:
        """What the claim's slack would have to be."""
        form = replace(equation, form=equation.form).form
        value: int = form.value(lambda atom: w.value(circuit, atom))
        return value + w.bounded[-1]

    base = room(witness)
    for v, x in enumerate(circuit.bounded[:-1]):
        if x.name.startswith("charge"):
            more = (*witness.bounded[:v], witness.bounded[v] + 1, *witness.bounded[v + 1 :])
            assert room(replace(witness, bounded=more)) < base
    for j, slot in enumerate(snapshot.collateral):
        if slot.negative_allowed:
            v = next(v for v, x in enumerate(circuit.bounded) if x.name == f"collateral {j} held")
            both = (*witness.bounded[:v], witness.bounded[v] + 1, witness.bounded[v + 1] + 1, *witness.bounded[v + 2 :])
            assert room(replace(witness, bounded=both)) <= base
    if circuit.position_digits:
        wide = replace(witness, long=tuple(p + 1 for p in witness.long), short=tuple(m + 1 for m in witness.short))
        assert room(wide) <= base


@given(st.data())
def test_the_refusal_says_by_how_much(data: st.DataObject) -> None:
    snapshot, lots, claim = data.draw(cases())
    slack = claim_slack(snapshot, lots, claim)
    below = moved(lots, -(slack // claim.den) - 1)
    assume(abs(below.collateral[-1]) < ROOM)
    with pytest.raises(ConstraintError, match="the claim is false: equity") as caught:
        margin_witness(snapshot, claim, below)
    assert caught.value.rule == "claim"
    # at least what is missing in equity, to one valuation unit
    missing = caught.value.shortfall
    assert missing is not None
    assert claim_slack(snapshot, moved(below, missing), claim) >= 0
    assert claim_slack(snapshot, moved(below, missing - 1), claim) < 0
    check(build_circuit(snapshot, claim), margin_witness(snapshot, claim, moved(below, 1)))


@given(st.data())
def test_a_negative_balance_needs_leave(data: st.DataObject) -> None:
    snapshot, lots, claim = data.draw(cases())
    forbidden = [j for j, slot in enumerate(snapshot.collateral) if not slot.negative_allowed]
    assume(forbidden)
    j = forbidden[0]
    bad = (*lots.collateral[:j], -1, *lots.collateral[j + 1 :])
    with pytest.raises(InputError, match=f"collateral {j} held"):
        assign(build_circuit(snapshot, claim), lots.positions, bad)


@given(st.data())
def test_the_circuit_depends_on_the_snapshot_and_the_claim_alone(data: st.DataObject) -> None:
    snapshot, _, claim = data.draw(cases())
    first = build_circuit(snapshot, claim)
    margin._build.cache_clear()
    assert build_circuit(type(snapshot).parse(snapshot.to_bytes()), claim).digest == first.digest
    other = replace(claim, requirement="maintenance" if claim.requirement == "initial" else "initial")
    # without a charge, the two requirements ask for the same
    if any(x.name.startswith("charge") for x in build_circuit(snapshot, claim).bounded):
        assert build_circuit(snapshot, other).digest != first.digest


def edge_case(*, range_proved: bool, mode: Mode) -> tuple[Snapshot, BookLots]:
    """A snapshot with everything in it and a book exactly at its initial requirement."""
    snapshot = lab.snapshot(
        groups=[0, 1, 0, 1],
        risk=[[-5, 8, 1], [3, -4, 2], [7, 9, -9], [1, 1, -6]],
        charges=[30, 1, 0, 50] if range_proved else None,
        marks=[40, 0, 11, 2],
        assets=[(9_000, 10_100, 20, True), (5, 5, 20, False), UNIT],
        mode=mode,
        range_proved=range_proved,
    )
    lots = BookLots((30, -2, -17, -5), (-3, 8, 0))
    return snapshot, moved(lots, -claim_slack(snapshot, lots, Claim()))


@pytest.mark.parametrize(("range_proved", "mode"), [(True, "floor"), (True, "added"), (False, "floor")])
def test_proofs_end_to_end_at_the_edge(range_proved: bool, mode: Mode) -> None:
    snapshot, lots = edge_case(range_proved=range_proved, mode=mode)
    opening = commit_book(snapshot, lots)
    proof = prove(Statement.of(snapshot, [opening.commitment()], Claim(), context=b"reader"), lots, [opening])
    accepted = verify(Statement.of(snapshot, [opening.commitment()], Claim(), context=b"reader"), proof)
    assert accepted.statement.context == b"reader"
    below = moved(lots, -1)
    opening = commit_book(snapshot, below)
    with pytest.raises(ConstraintError):
        prove(Statement.of(snapshot, [opening.commitment()], Claim()), below, [opening])


def test_openings_of_other_commitments_than_the_statements_are_refused() -> None:
    snapshot, lots = edge_case(range_proved=True, mode="floor")
    one, two = commit_book(snapshot, lots), commit_book(snapshot, lots)
    statement = Statement.of(snapshot, [one.commitment()], Claim())
    for openings in ([two], [one, two], [one, one], []):
        with pytest.raises(InputError, match="the openings are not those of the statement's commitments"):
            prove(statement, lots, openings)


@pytest.mark.parametrize("mode", ["floor", "added"])
def test_each_equation_of_the_policy_is_there_for_a_book_that_breaks_it_alone(mode: Mode) -> None:
    # for every equation: the claim, weakened by dropping it, is met by a book that the engine refuses
    snapshot, _ = edge_case(range_proved=True, mode=mode)
    circuit = build_circuit(snapshot, Claim())
    for j, equation in enumerate(circuit.equations):
        loose = circuit.without_equation(j)
        if equation.rule == "claim":
            poor = BookLots((30, -2, -17, -5), (-3, 8, -(2**40)))
            assert claim_slack(snapshot, poor, Claim()) < 0
            witness = assign(
                replace(circuit, bounded=(*circuit.bounded[:-1], replace(circuit.bounded[-1], hint=Form()))),
                poor.positions,
                poor.collateral,
            )
            check(loose, witness)
        elif equation.rule == "collateral bound":
            witness = assign(circuit, (0,) * 4, (0, 0, 5))
            k = next(i for (kind, i) in equation.form.terms if kind == "collateral")
            # more is claimed than is committed
            richer = replace(witness, collateral=tuple(x - (i == k) for i, x in enumerate(witness.collateral)))
            check(loose, richer)
            with pytest.raises(ConstraintError, match="collateral bound"):
                check(circuit, richer)
        else:
            understated = break_candidate(circuit, equation)
            with pytest.raises(ConstraintError) as caught:
                check(circuit, understated)
            assert caught.value.rule == equation.rule
            check(loose, understated)


def break_candidate(circuit: Circuit, equation: Equation) -> Witness:
    """A witness of a book for which this candidate alone binds, with the charge one unit below it."""
    for bits in range(3**4):
        positions = tuple((bits // 3**i % 3 - 1) * (7, 5, 11, 3)[i] for i in range(4))
        witness = assign(circuit, positions, (0, 0, 2**40))
        v = next(i for (kind, i), c in equation.form.terms.items() if kind == "bounded" and c == 1)
        rivals = [e.slack for e in circuit.equations if e.slack is not None and e.form.terms.get(("bounded", v)) == 1]
        if witness.bounded[v] == 0 or [s for s in rivals if witness.bounded[s] == 0] != [equation.slack]:
            continue
        bounded = list(witness.bounded)
        bounded[v] -= 1
        for s in rivals:
            bounded[s] = max(bounded[s] - 1, 0)
        claim = circuit.equations[-1]
        lowered = replace(witness, bounded=tuple(bounded))
        bounded[-1] += claim.form.value(functools.partial(lowered.value, circuit))
        return replace(witness, bounded=tuple(bounded))
    raise AssertionError(f"no book binds {equation.rule} {equation.name}")


def test_quantities_beyond_their_bounds_are_refused_before_any_proof() -> None:
    snapshot, lots = edge_case(range_proved=True, mode="floor")
    circuit = build_circuit(snapshot, Claim())
    for positions, collateral, reason in (
        ((2**16, 0, 0, 0), lots.collateral, "larger than the circuit proves"),
        ((-(2**16), 0, 0, 0), lots.collateral, "larger than the circuit proves"),
        (lots.positions, (2**20, 0, 0), "does not fit its range"),
        (lots.positions, (0, 0, 2**60), "does not fit its range"),
        (lots.positions, (0, 0, -(2**60)), "does not fit its range"),
    ):
        with pytest.raises(InputError, match=reason):
            assign(circuit, positions, collateral)
