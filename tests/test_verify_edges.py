"""The verdict on each of many, and what stands between a delisted slot and a position in it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import golden
import pytest

from zkmargin.circuits.margin import build_circuit
from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import lagrange_at
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier import Accepted, verify_each
from zkmargin.verifier.argument import Challenges, folded, public_values

FOLDER = Path(__file__).parent / "data/golden/v2/universe"


def test_each_of_many_under_one_setup() -> None:
    statement, proof = golden.statement_of("default-policy")
    (alone,) = verify_each([(statement, proof)])
    assert isinstance(alone, Accepted)
    assert repr(alone) == f"Accepted({statement.claim}, statement {alone.statement_digest.hex()[:16]}...)"
    toy = replace(statement, srs=insecure_from_tau(7, 32))
    with pytest.raises(InputError, match="different structured reference strings") as refused:
        verify_each([(statement, proof), (toy, proof)])
    assert refused.value.field == "proofs"


def test_a_delisted_slot_is_selected_as_one_that_was_never_listed() -> None:
    """sel is 1 there, and sel times positions is 0: nobody holds what is delisted."""
    snapshot = Snapshot.parse((FOLDER / "later.snapshot.json").read_bytes())
    circuit = build_circuit(snapshot, Claim())
    retired = {column: rows for column, rows in circuit.retired_rows.items() if rows}
    assert retired
    x = Challenges(beta=2, rho=3, chi=5, zeta=7**40, v=11, y=13)
    basis = [int(value) for value in lagrange_at(circuit.domain, x.zeta)]
    values = public_values(circuit, x)
    for column, rows in circuit.listed_rows.items():
        one = {*range(rows, circuit.n), *circuit.retired_rows.get(column, ())}
        assert values.selectors[column] == sum(basis[row] for row in one) % r
    with pytest.raises(FrozenInstanceError):
        values.sigma = 0  # type: ignore[misc]


def test_the_two_sides_of_a_helper() -> None:
    """h F_0 F_1 F_2 = N_0 F_1 F_2 + N_1 F_0 F_2 + N_2 F_0 F_1."""
    assert folded([2, 3, 5], [7, 11, 13]) == (30, 7 * 15 + 11 * 10 + 13 * 6)
