"""Wide chain layouts: charges by size, three to eight risk groups. Engine, provers, verifiers, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from support.chain_lab import (
    WIDE,
    ChainCase,
    by_size,
    chain_case,
    chain_snapshot,
    funds,
    joint_case,
    least_funds,
    prove,
    prove_joint,
    rank,
    wide,
    wide_joint,
    wide_snapshot,
)
from support.chain_wide_forge import MUTANTS, Mutant, put, take
from support.lab import array, draws
from support.typed import Keywords, Passed
from test_chain_soundness import Bench
from test_second_chain import second

from zkmargin.circuits.books import margin_witness
from zkmargin.circuits.chain import (
    BALANCE_DIGITS,
    CLAIM_DIGITS,
    GROSS_MODES,
    MAX_ASSETS,
    MAX_SCENARIOS,
    ROWS,
    SIDE_COLUMNS,
    SLACK_DIGITS,
    ChainLayout,
    ChainPrices,
    amount_cell,
    claim_cell,
    digit_columns,
    group_charge_cell,
    held_cell,
    owed_cell,
    scenario_cell,
)
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.pools import Line, Pool
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError, ProofFormatError, VerificationError
from zkmargin.prover.chain_joint_reference import prove_joint_reference
from zkmargin.prover.chain_reference import prove_chain_reference
from zkmargin.prover.chain_tables import commit_rows_fast
from zkmargin.prover.polynomials import ProverError
from zkmargin.verifier.chain import ChainProof, Table, check_table, encode_chain_proof, verify_chain
from zkmargin.verifier.chain.joint import verify_joint
from zkmargin.verifier.chain.joint_proof import encode_joint_proof

NO_DEBTS = (False, False, False, False)


def encode(proof: ChainProof) -> bytes:
    return encode_chain_proof(proof, embedded().digest)


# --- the layout -------------------------------------------------------------------------------------------------------


def test_cells_of_wide_layouts_are_disjoint() -> None:
    first = [scenario_cell(s, d) for s in range(MAX_SCENARIOS) for d in range(SLACK_DIGITS)]
    second_column = first + [group_charge_cell(g, d) for g in range(8) for d in range(SLACK_DIGITS)]
    first += [claim_cell(d) for d in range(CLAIM_DIGITS)]
    first += [amount_cell(mode, 0, d) for mode in GROSS_MODES[1:] for d in range(SLACK_DIGITS)]
    first += [amount_cell("floor", g, d) for g in range(8) for d in range(SLACK_DIGITS)]
    first += [46 + d for d in range(SLACK_DIGITS)]  # W_0
    first += [cell(j, d) for cell in (held_cell, owed_cell) for j in range(MAX_ASSETS) for d in range(BALANCE_DIGITS)]
    for cells in (first, second_column):
        assert len(cells) == len(set(cells))
        assert 0 <= min(cells) <= max(cells) < ROWS


@pytest.mark.parametrize("name", WIDE)
def test_indices_of_groups_are_disjoint(name: str) -> None:
    layout = wide(name).statement.prices.layout
    taken = [layout.index(g, s) for g in range(layout.groups) for s in range(layout.indices(g))]
    assert len(taken) == len(set(taken))
    assert all(column < layout.packed and s < MAX_SCENARIOS for column, s in taken)


@pytest.mark.parametrize(
    ("scenarios", "gross", "reason"),
    [
        ((62,), ("floor",), "leave no index"),
        ((61,), ("added",), "leave no index"),
        ((60,), ("flat",), "leave no index"),
        ((31, 31, 31, 31, 1), (), "do not hold them"),
        ((64, 1, 1), (), "do not hold them"),
        ((1,) * 9, (), "1 to 8"),
        ((5,), ("flat", "floor"), "in order"),
        ((5,), ("floor", "floor"), "once each"),
    ],
)
def test_layouts_that_there_are_none_of(scenarios: tuple[int, ...], gross: Passed, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ChainLayout(7, scenarios, NO_DEBTS, gross)


@pytest.mark.parametrize(("scenarios", "gross"), [((61,), ("floor",)), ((59, 61), GROSS_MODES), ((31,) * 4, ())])
def test_layouts_at_their_edges(scenarios: tuple[int, ...], gross: Passed) -> None:
    assert ChainLayout(1023, scenarios, NO_DEBTS, gross).places


# --- the engine -------------------------------------------------------------------------------------------------------


def covered(prices: ChainPrices, given: Snapshot, book: list[int], held: int, claim: Claim) -> bool:
    """Whether the chain layout has a witness for these positions and funds."""
    enough = margin_witness(given, Claim(1, 1000, "initial"), BookLots(tuple(book), (held + 10**6, 30)))
    try:
        digit_columns(prices, replace(enough, collateral=(held, 30)), claim.num, claim.den)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", WIDE)
def test_the_layout_says_what_the_engine_says_at_the_boundary(name: str) -> None:
    given = wide_snapshot(name)
    prices, draw = ChainPrices.of(given, "initial"), np.random.default_rng(7)
    for claim in (Claim(1, 1, "initial"), Claim(7, 5, "initial")):
        for _ in range(2):
            book = draw.integers(-(2**12), 2**12, size=len(given.instruments)).tolist()
            least = funds(given, book, claim)
            assert covered(prices, given, book, least, claim)
            assert not covered(prices, given, book, least - 1, claim)


@pytest.mark.parametrize("name", ["all of them", "three groups", "eight groups and all of them"])
def test_integers_are_those_of_todays_circuit(name: str) -> None:
    case = wide(name)
    circuit, prices = case.statement.statement.circuit, case.statement.prices
    columns, layout = digit_columns(prices, case.witness, 5, 4), prices.layout
    named = {variable.name: x for variable, x in zip(circuit.bounded, case.witness.bounded, strict=True)}
    for g in range(layout.groups):
        cells = [group_charge_cell(g, d) if layout.shared else 46 + d for d in range(SLACK_DIGITS)]
        assert take(columns[7 if layout.shared else 6 + g], cells) == named[f"charge of U{g}"]
    for mode in set(layout.gross) - {"floor"}:
        found = take(columns[6], [amount_cell(mode, 0, d) for d in range(SLACK_DIGITS)])
        assert found in {x for key, x in named.items() if key.startswith("gross_charge")}
    assert take(columns[6], [claim_cell(d) for d in range(CLAIM_DIGITS)]) == named["slack of claim: 5:4"]


@pytest.mark.parametrize("name", WIDE)
def test_one_unit_short_has_no_proof(name: str) -> None:
    case, given = wide(name), wide_snapshot(name)
    book, claim = list(case.lots.positions), case.statement.statement.claim
    least = funds(given, book, claim)
    table = case.statement.table
    proved = chain_case(given, book, [least, 30], claim=claim, table=table)
    verify_chain(proved.statement, encode(prove(proved)))
    with pytest.raises(ConstraintError):
        chain_case(given, book, [least - 1, 30], claim=claim, table=table)
    short = replace(proved, witness=replace(proved.witness, collateral=(least - 1, 30)))
    with pytest.raises(ProverError, match="claim is false"):
        prove(short)
    columns = digit_columns(proved.statement.prices, proved.witness, claim.num, claim.den)
    put(columns[SIDE_COLUMNS], [held_cell(0, d) for d in range(BALANCE_DIGITS)], least - 1)
    with pytest.raises(ProverError, match="running sum does not close"):
        prove(short, columns=columns)


# --- proofs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["all of them", "eight groups and all of them"])
def test_honest_proofs_are_accepted_by_both_verifiers(name: str) -> None:
    case = wide(name)
    proof = encode(prove(case))
    layout = case.statement.prices.layout
    assert len(proof) == 44 + ChainProof.size(layout)
    assert second(case, proof) == verify_chain(case.statement, proof)
    for at in (60, 44 + 768 + 31, len(proof) - 1):
        changed = bytearray(proof)
        changed[at] ^= 1
        with pytest.raises((VerificationError, ProofFormatError)):
            verify_chain(case.statement, bytes(changed))


@pytest.mark.parametrize("name", ["three groups"])
def test_honest_joint_proofs_are_accepted_by_both_verifiers(name: str) -> None:
    case = wide_joint(name)
    proof = encode_joint_proof(prove_joint(case), embedded().digest)
    assert second(case, proof) == verify_joint(case.statement, proof)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eight groups and all of them"])
def test_reference_and_fast_prover_give_the_same_bytes(name: str) -> None:
    case = wide(name)
    slow = prove_chain_reference(case.statement, case.witness, case.blinders, draws("chain proof"))
    assert encode(slow) == encode(prove(case))


@pytest.mark.slow
def test_the_joint_reference_and_fast_prover_give_the_same_bytes() -> None:
    case = joint_case([wide("a floor")])
    witnesses, blinders = ([getattr(one, name) for one in case.cases] for name in ("witness", "blinders"))
    slow = prove_joint_reference(case.statement, witnesses, blinders, draws("joint proof"))
    assert slow == prove_joint(case)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_without_one_row_or_equation_a_false_claim_is_proved(mutant: Mutant) -> None:
    case = mutant.false_case(wide(mutant.layout))
    proof = encode(mutant.prove(case))
    with mutant.without():
        verify_chain(case.statement, proof)  # the mutant falls for it
    with pytest.raises(VerificationError):
        verify_chain(case.statement, proof)


@pytest.mark.slow
def test_everything_revealed_of_a_wide_layout_is_uniform() -> None:
    # the same 20 numbers as of two groups: side rows are public, and no column is added
    jacobian = Bench(wide("eight groups and all of them")).jacobian()
    assert len(jacobian) == 28
    assert rank(list(jacobian.values())) == 20


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_wide_table_is_of_version_2_and_checked_point_by_point() -> None:
    case = wide("all of them")
    table, prices = case.statement.table, case.statement.prices
    assert table.format_version == 2
    assert Table.parse(table.to_bytes()) == table
    arguments: Keywords = {"snapshot_digest": case.snapshot.digest(), "srs": embedded(), "commit": commit_rows_fast}
    check_table(table, prices, **arguments)
    for field, value in {"gross": ("floor", "added"), "sides": (table.rows[0], table.sides[1])}.items():
        changed = table.model_copy(update={field: value})
        assert changed.hash != table.hash
        with pytest.raises(InputError) as refused:
            check_table(changed, prices, **arguments)
        assert str(refused.value.field).startswith(f"table: {field}")
    with pytest.raises(InputError, match="version"):
        Table.parse(table.to_bytes().replace(b"chain-table/v2", b"chain-table/v1"))


def test_charges_by_size_are_in_the_layout_and_in_the_hash() -> None:
    plain = chain_case(chain_snapshot(groups=1), [1] * 7, [10**6, 30], claim=Claim(1, 1, "initial"))
    layout = plain.statement.prices.layout
    assert layout.flags == 1
    assert replace(layout, gross=("floor", "flat")).flags == 1 + 16 + 64


# --- refusals by name -------------------------------------------------------------------------------------------------


def size_charge(given: Snapshot, **changed: Passed) -> Snapshot:
    """A snapshot with one charge by size, changed."""
    charged = by_size(given, changed.pop("mode", "flat"))
    *others, last = charged.components
    return charged.model_copy(update={"components": (*others, last.model_copy(update=changed))})


def pools(**line: int) -> tuple[Pool, ...]:
    return tuple(Pool(name=f"U{g}", group=g, lines=(Line(slope=3), Line(**line))) for g in (0, 1))


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"pools": pools(slope=9, start=4)}, "gross_charge: U0", "tiers"),
        ({"scale": 7}, "gross_charge", "1/7 of a money unit"),
        ({"long": array([2**61] * 7, (7,))}, "gross_charge", "64 bits"),
    ],
)
def test_charges_by_size_that_do_not_fit_are_refused(changed: Keywords, field: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        ChainPrices.of(size_charge(chain_snapshot(), **changed), "initial")
    assert refused.value.field == field


def test_floors_of_product_groups_are_refused() -> None:
    joint = tuple(Pool(name=f"U{g}", group="both", lines=(Line(slope=3),)) for g in (0, 1))
    with pytest.raises(InputError, match="a floor of a product group"):
        ChainPrices.of(size_charge(chain_snapshot(), mode="floor", pools=joint), "initial")


def test_two_charges_of_a_mode_are_taken_where_they_round_alike() -> None:
    given = chain_snapshot()
    for mode, reason in (("floor", "competes alone"), ("flat", "rounded up")):
        with pytest.raises(InputError, match=reason):
            ChainPrices.of(by_size(by_size(given, mode), mode), "initial")  # type: ignore[arg-type]
    whole = by_size(by_size(given, "flat"), "flat", rate=0)
    *others, last = whole.components
    assert isinstance(last, PublishedGrossCharge)
    lines = tuple(pool.model_copy(update={"lines": (Line(slope=20_000),)}) for pool in last.pools)
    both = whole.model_copy(update={"components": (*others, last.model_copy(update={"pools": lines}))})
    prices, book = ChainPrices.of(both, "initial"), [5, -3, 2, 0, 1, -9, 4]
    least = funds(both, book)
    assert covered(prices, both, book, least, Claim(3, 2, "initial"))
    assert not covered(prices, both, book, least - 1, Claim(3, 2, "initial"))


def test_rows_of_zeros_have_no_point() -> None:
    with pytest.raises(InputError, match="rows of zeros"):
        ChainPrices.of(chain_snapshot(groups=3, charges=[0] * 7), "initial")


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="a size by its rates can have"):
        ChainPrices.of(size_charge(chain_snapshot(), long=array([2**55] * 7, (7,))), "initial")


def test_gain_offsets_of_single_classes_are_worst_scenarios() -> None:
    # no product group of the policy has two underlyings in this market: its gains offset nothing
    policy = load_policy("tims")
    changed = [
        part.model_copy(update={"product_groups": {}}) if hasattr(part, "product_groups") else part
        for part in policy.components
    ]
    policy = policy.model_copy(update={"components": tuple(changed)})
    given = build_snapshot(example_market("2026-01-02T03:04:05Z"), policy, domain_size=1024)
    prices = ChainPrices.of(given, "initial")
    assert prices.layout.gross == ("floor",)
    book = np.random.default_rng(3).integers(-50, 50, size=len(given.instruments)).tolist()
    least = least_of_the_first(given, book)
    assert covered_with(prices, given, book, least)
    assert not covered_with(prices, given, book, least - 1)


def least_of_the_first(given: Snapshot, book: list[int]) -> int:
    """As ``funds``, of the first asset alone."""
    return least_funds(given, book, (0,) * (len(given.collateral) - 1), Claim(1, 1, "initial"))


def covered_with(prices: ChainPrices, given: Snapshot, book: list[int], held: int) -> bool:
    others = (0,) * (len(given.collateral) - 1)
    enough = margin_witness(given, Claim(1, 1000, "initial"), BookLots(tuple(book), (1 << 40, *others)))
    try:
        digit_columns(prices, replace(enough, collateral=(held, *others)), 1, 1)
    except ValueError:
        return False
    return True


def test_columns_are_counted_in_int64() -> None:
    case: ChainCase = wide("all of them")
    columns: list[npt.NDArray[np.int64]] = digit_columns(case.statement.prices, case.witness, 5, 4)
    assert all(column.dtype == np.int64 for column in columns)
