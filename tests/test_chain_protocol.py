"""The chain protocol: layout, table, both provers, the verifier and everything it must refuse."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support.chain_lab import SERIES, chain_case, chain_snapshot, prove, standard, table_of
from support.lab import draws
from support.typed import Keywords, Passed

from zkmargin.circuits.chain import (
    BALANCE_DIGITS,
    CLAIM_DIGITS,
    MAX_ASSETS,
    MAX_SCENARIOS,
    ROWS,
    SLACK_DIGITS,
    ChainLayout,
    ChainPrices,
    ChainWeights,
    charge_cell,
    claim_cell,
    digit_columns,
    held_cell,
    owed_cell,
    public_rows,
    scenario_cell,
)
from zkmargin.crypto.domain import Domain, evaluate
from zkmargin.crypto.field import r
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.prover.chain_reference import prove_chain_reference
from zkmargin.prover.chain_tables import commit_rows_fast
from zkmargin.prover.polynomials import ProverError
from zkmargin.verifier.chain import (
    ChainProof,
    ChainStatement,
    check_table,
    decode_chain_proof,
    encode_chain_proof,
    verify_chain,
)
from zkmargin.verifier.chain.closed_forms import cauchy, lagrange
from zkmargin.verifier.chain.proof import WORDS, Values
from zkmargin.verifier.chain.table import commit_rows, packed_rows
from zkmargin.verifier.header import ProofKind, is_of
from zkmargin.verifier.messages import SCALAR

DIGEST = embedded().digest


def encode(proof: ChainProof) -> bytes:
    return encode_chain_proof(proof, DIGEST)


def value_of(column: npt.NDArray[np.int64], cells: Any) -> int:
    return sum(int(column[cell]) << (10 * d) for d, cell in enumerate(cells))


# --- layout and weights ---------------------------------------------------------------------------------------------


def test_cells_are_disjoint() -> None:
    group = [scenario_cell(s, d) for s in range(MAX_SCENARIOS) for d in range(SLACK_DIGITS)]
    group += [charge_cell(d) for d in range(SLACK_DIGITS)]
    first = group + [claim_cell(d) for d in range(CLAIM_DIGITS)]
    first += [cell(j, d) for cell in (held_cell, owed_cell) for j in range(MAX_ASSETS) for d in range(BALANCE_DIGITS)]
    assert len(first) == len(set(first))
    assert min(first) >= 0
    assert max(first) < ROWS


def test_weights_are_independent_polynomials() -> None:
    # 134 weights as polynomials of degree < 134 in rho: their values at 134 points have full rank
    points = [3 + 7 * i for i in range(134)]
    rows = []
    for rho in points:
        w = ChainWeights(rho)
        rows.append(
            [
                *(w.scenario(g, s) for g in (0, 1) for s in range(MAX_SCENARIOS)),
                w.claim,
                *(w.balance(j) for j in range(MAX_ASSETS)),
                w.lookup,
            ]
        )
    assert rank(rows) == 134


def rank(rows: list[list[int]]) -> int:
    rows, found = [list(row) for row in rows], 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(found, len(rows)) if rows[i][column] % r), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        scale = pow(rows[found][column], -1, r)
        for i in range(found + 1, len(rows)):
            factor = rows[i][column] * scale % r
            if factor:
                rows[i] = [(x - factor * y) % r for x, y in zip(rows[i], rows[found], strict=True)]
        found += 1
    return found


@pytest.mark.parametrize(("order", "cell"), [(16, 0), (16, 35), (4, 36), (4, 40)])
def test_kernel_is_the_sum_that_it_stands_for(order: int, cell: int) -> None:
    rho, zeta, domain = 0x1234567, 0x89ABCDEF, Domain.of(ROWS)
    weights = ChainWeights(rho).x if order == 16 else ChainWeights(rho).y
    column = [0] * ROWS
    for k, weight in enumerate(weights):
        column[ROWS // order * k + cell] = weight
    assert cauchy([cell, cell], order, rho, zeta) == [evaluate(domain.intt(column), zeta)] * 2
    assert lagrange([cell], zeta) == [evaluate(domain.intt([int(i == cell) for i in range(ROWS)]), zeta)]


def test_sum_of_all_scenario_weights() -> None:
    w = ChainWeights(987654321)
    assert w.all_scenarios == sum(w.scenario(0, s) for s in range(MAX_SCENARIOS)) % r


def test_digits_are_the_witness_of_todays_circuit() -> None:
    case = standard()
    circuit, witness = case.statement.statement.circuit, case.witness
    columns = digit_columns(case.statement.prices, witness, 5, 4)
    named = {variable.name: x for variable, x in zip(circuit.bounded, witness.bounded, strict=True)}
    for g in (0, 1):
        assert value_of(columns[6 + g], map(charge_cell, range(9))) == named[f"charge of U{g}"]
    assert value_of(columns[6], map(claim_cell, range(12))) == named["slack of claim: 5:4"]
    for g in (0, 1):
        for s in range(6):
            slack = named[f"slack of worst_scenario: U{g}: U{g} scenario {s}"]
            assert value_of(columns[6 + g], [scenario_cell(s, d) for d in range(9)]) == slack
    assert value_of(columns[6], [held_cell(1, d) for d in range(5)]) == named["collateral 1 held"]


def test_equations_of_the_layout_close_exactly_at_the_boundary() -> None:
    case = standard()
    prices = case.statement.prices
    columns = digit_columns(prices, case.witness, 5, 4)
    w = ChainWeights(11)
    U = public_rows(prices, w, 5, 4)

    def total(columns: list[npt.NDArray[np.int64]]) -> int:
        short = columns[3] + 1024 * columns[4] + 1024**2 * columns[5]
        sums = sum(x * U["positions"][i] for i, x in enumerate(case.witness.positions))
        sums += sum(x * U["collateral"][j] for j, x in enumerate(case.witness.collateral))
        sums += sum(int(x) * u for x, u in zip(short, U["short"], strict=True))
        return (
            sums + sum(int(x) * u for g in (0, 1) for x, u in zip(columns[6 + g], U[f"packed[{g}]"], strict=True))
        ) % r

    assert total(columns) == 0
    for cell in (scenario_cell(3, 0), claim_cell(0), charge_cell(2), held_cell(0, 1), scenario_cell(63, 0)):
        changed = [column.copy() for column in columns]
        changed[6][cell] += 1
        assert total(changed) != 0


# --- refusals by name -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"groups": 9, "count": 18}, "groups"),
        ({"debts": (False,) * 5}, "collateral"),
        ({"mode": "added"}, "short_option_minimum"),
        ({"scenarios": 65}, "worst_scenario: U0"),
        ({"scenarios": 64}, "worst_scenario: U0"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(options: Keywords, field: str) -> None:
    with pytest.raises(InputError) as refused:
        ChainPrices.of(chain_snapshot(**options), "initial")
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("policy", "field", "reason"),
    [
        ("deribit-pm", "gain_offset: BTC and ETH", "179 indices"),
        ("paradex", "min_delta", "no row of the table"),
        ("delta-norm", "delta_norm", "no row of the table"),
        ("span", "calendar_charge", "the count of each spread is a hidden number"),
    ],
)
def test_named_policies_are_refused_with_the_reason(policy: str, field: str, reason: str) -> None:
    snapshot = build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy(policy), domain_size=1024)
    with pytest.raises(InputError, match=reason) as refused:
        ChainPrices.of(snapshot, "initial")
    assert field in str(refused.value.field)


def test_sixty_four_scenarios_fit_without_a_short_option_minimum() -> None:
    assert ChainPrices.of(chain_snapshot(scenarios=64, charges=[0] * 7), "initial").layout.points == (16, 16)


def test_scenarios_without_effect_are_refused() -> None:
    given = chain_snapshot(scenarios=8)
    part: Any = given.components[0]
    risk = part.risk.values.copy()
    risk[:, 4:] = 0
    silent = part.model_copy(update={"risk": type(part.risk)(risk)})
    with pytest.raises(InputError, match="scenarios 4 to 7 change no price"):
        ChainPrices.of(given.model_copy(update={"components": (silent, *given.components[1:])}), "initial")


@pytest.mark.parametrize("arguments", [(0, (6,)), (1024, (6,)), (7, ()), (7, (1,) * 9), (7, (0,)), (7, (65,))])
def test_layouts_that_there_are_none_of(arguments: tuple[int, tuple[int]]) -> None:
    with pytest.raises(InputError):
        ChainLayout(arguments[0], arguments[1], (False, False, False, False))


# --- the table --------------------------------------------------------------------------------------------------------


def test_fast_and_plain_tables_have_the_same_points() -> None:
    packs = list(packed_rows(standard().statement.prices))[:3]
    assert commit_rows_fast(embedded(), packs) == commit_rows(embedded(), packs)


def test_a_table_is_checked_field_by_field_and_point_by_point() -> None:
    case = standard()
    table, prices = case.statement.table, case.statement.prices
    arguments: Keywords = {
        "snapshot_digest": case.snapshot.digest(),
        "srs": embedded(),
        "commit": commit_rows_fast,
    }
    check_table(table, prices, **arguments)
    other = table.rows[0]
    for field, value in {
        "snapshot": "11" * 32,
        "instruments": 8,
        "scenarios": (6, 5),
        "debts": (True, True, False, False),
        "factor_bp": table.factor_bp + 1,
        "assets": 3,
        "long_value": ("10", *table.long_value[1:]),
        "short_value": ("11", *table.short_value[1:]),
        "pinned": other,
        "price": other,
        "rows": (table.rows[1], table.rows[0], *table.rows[2:]),
    }.items():
        with pytest.raises(InputError, match=r"not (what|the commitment)") as refused:
            check_table(table.model_copy(update={field: value}), prices, **arguments)
        assert str(refused.value.field).startswith(f"table: {field}")
    changed = table.model_copy(update={"sequence": 8})
    assert changed.hash != table.hash
    assert changed.layout_digest == table.layout_digest
    assert table.series == SERIES.hex()


# --- proofs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
def test_an_honest_proof_is_accepted_and_has_its_size(groups: int) -> None:
    case = standard(groups)
    data = encode(prove(case))
    assert is_of(ProofKind.CHAIN, data)
    assert len(data) == 44 + ChainProof.size(case.statement.prices.layout) == 44 + 768 + 32 * (21 + 2 * groups)
    assert verify_chain(case.statement, data) == verify_chain(case.statement, encode(prove(case, "other randomness")))
    assert encode(decode_chain_proof(data, case.statement.prices.layout, DIGEST)) == data


@pytest.mark.parametrize(
    ("shape", "positions", "collateral"),
    [
        ({"groups": 1, "scenarios": 1, "count": 1, "debts": (False,), "charges": [0], "marks": [0]}, [-3], [10**8]),
        ({"groups": 1, "scenarios": 63, "count": 1023, "debts": (True,) * 4}, [1, -1] * 511 + [0], [10**9, -3, 7, -1]),
        (
            {"groups": 2, "scenarios": 5, "count": 9, "debts": (False, True, True)},
            [2**30 - 1, 1 - 2**30] + [0] * 7,
            [2**49] * 3,
        ),
        (
            {"groups": 2, "scenarios": 64, "count": 4, "debts": (), "charges": [0] * 4, "marks": [9] * 4},
            [5, 5, 9, 1],
            [],
        ),
    ],
)
def test_layouts_at_their_edges_are_proved(shape: Keywords, positions: list[int], collateral: list[int]) -> None:
    case = chain_case(chain_snapshot(**shape), positions, collateral, claim=Claim(1, 65535, "maintenance"))
    verify_chain(case.statement, encode(prove(case)))


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 2])
def test_reference_and_fast_prover_give_the_same_bytes(groups: int) -> None:
    case = standard(groups)
    slow = prove_chain_reference(case.statement, case.witness, case.blinders, draws("chain proof"))
    assert encode(slow) == encode(prove(case))


def test_threads_do_not_change_the_proof() -> None:
    assert encode(prove(standard(), threads=2)) == encode(prove(standard()))


def test_every_byte_counts() -> None:
    case = standard()
    data = encode(prove(case))
    places = [*range(44, len(data), 24), *range(44), len(data) - 1]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises((ProofFormatError, VerificationError)):
            verify_chain(case.statement, bytes(changed))
    for cut in (data[:-1], data + b"\0", b"", data[:44]):
        with pytest.raises(ProofFormatError):
            verify_chain(case.statement, cut)


def test_points_and_values_are_refused_by_name() -> None:
    case = standard()
    proof = prove(case)
    fields = [field.name for field in dataclasses.fields(proof.commitments)]
    for (name, _), attribute in zip(proof.commitments.named(WORDS), fields, strict=True):
        commitments = replace(proof.commitments, **{attribute: bytes(96)})
        with pytest.raises(ProofFormatError, match=f"^{name}: the point at infinity"):
            verify_chain(case.statement, encode(replace(proof, commitments=commitments)))
    outside = bytearray(encode(proof))
    at = len(outside) - 32 * (21 + 2 * 2)
    outside[at : at + 32] = r.to_bytes(32, "big")
    with pytest.raises(ProofFormatError, match=r"^f_0\(zeta\): "):
        verify_chain(case.statement, bytes(outside))


def test_another_statement_is_not_proved() -> None:
    case = standard()
    data = encode(prove(case))
    inner = case.statement.statement
    other = chain_case(case.snapshot, case.lots.positions, [900_001, 30], claim=Claim(5, 4, "initial"))
    for statement in (
        replace(case.statement, statement=replace(inner, claim=Claim(1, 1, "initial"))),
        replace(case.statement, statement=replace(inner, context=b"other")),
        replace(case.statement, table=case.statement.table.model_copy(update={"sequence": 8})),
        replace(case.statement, table=case.statement.table.model_copy(update={"series": "00" * 32})),
        other.statement,
    ):
        with pytest.raises((VerificationError, ProofFormatError)):
            verify_chain(statement, data)


def test_a_false_table_is_not_believed() -> None:
    case = standard()
    table = case.statement.table.model_copy(update={"price": case.statement.table.rows[0]})
    false = replace(case.statement, table=table)
    with pytest.raises((VerificationError, ProofFormatError)):
        verify_chain(false, encode(prove(replace(case, statement=false))))


def test_a_false_claim_has_no_proof() -> None:
    case = standard()
    columns = digit_columns(case.statement.prices, case.witness, 5, 4)
    short_by_one = [column.copy() for column in columns]
    short_by_one[6][claim_cell(0)] ^= 1
    with pytest.raises(ProverError, match="running sum does not close"):
        prove(case, columns=short_by_one)
    with pytest.raises(ProverError, match="claim is false"):
        prove(
            replace(
                case,
                statement=replace(
                    case.statement, statement=replace(case.statement.statement, claim=Claim(65535, 1, "initial"))
                ),
            )
        )


def test_statements_that_do_not_fit() -> None:
    case = standard()
    commitments: list[Passed] = []
    with pytest.raises(InputError, match="maintenance"):
        ChainStatement.of(case.snapshot, commitments, Claim(), table_of(case.snapshot, "maintenance"))
    with pytest.raises(InputError, match="65536"):
        ChainStatement.of(case.snapshot, commitments, Claim(65536, 1, "initial"), case.statement.table)
    with pytest.raises(InputError, match="claim alone"):
        ChainStatement.of(case.snapshot, commitments, Claim(), case.statement.table, limits=[object()])  # type: ignore[list-item]


def test_values_keep_their_order() -> None:
    for groups, last in ((2, ["som_1", "f_7(zeta)"]), (1, ["som_0"])):
        case = standard(groups)
        values = prove(case).values
        assert Values.read(BytesIO(values.encode()), case.statement.prices.layout) == values
        names = [name for name, _ in values.named(SCALAR)]
        assert names[7:13] == ["mu(zeta)", "h_0(zeta)", "h_1(zeta)", "h_2(zeta)", "phi(zeta)", "phi(omega zeta)"]
        assert names[-len(last) :] == last
        assert len(values.digits) == 6 + groups
        assert (values.prices[2] == 0) == (groups == 1)


def test_columns_are_counted_in_int64() -> None:
    assert all(
        column.dtype == np.int64 for column in digit_columns(standard().statement.prices, standard().witness, 5, 4)
    )
