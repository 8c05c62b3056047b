"""The edge of a claim: circuit and engine must say the same there, and one unit short of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.hints import Sum
from zkmargin.circuits.language.system import Bounded
from zkmargin.circuits.language.witness import assign, check
from zkmargin.circuits.many import assign_many
from zkmargin.engine.book import BookLots
from zkmargin.engine.books import Books
from zkmargin.engine.claims import Claim
from zkmargin.engine.margin import claim_slack
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError


def on_the_edge(
    snapshot: Snapshot,
    positions: Sequence[int],
    balances: Sequence[int] = (),
    *,
    claim: Claim | None = None,
    moves: tuple[int, ...] = (-1, 1, -977),
) -> None:
    """The circuit of a snapshot and a claim says what the engine says, at the edge of the claim.

    The snapshot's last collateral slot counts one valuation unit a lot, held or owed. It is set so that the claim just
    holds: the honest witness must satisfy every equation. With one lot less the engine refuses, and so must the
    circuit, whatever a prover puts into any one of the hidden integers (those after it following honestly).
    """
    claim = claim or Claim()
    others = (*positions,), (*balances,)
    slack = claim_slack(snapshot, BookLots(others[0], (*others[1], 0)), claim)
    cash = -(slack // claim.den)
    assert 0 <= claim_slack(snapshot, BookLots(others[0], (*others[1], cash)), claim) < claim.den
    circuit = build_circuit(snapshot, claim)
    honest = assign(circuit, others[0], (*others[1], cash))
    check(circuit, honest)
    low = (*others[1], cash - 1)
    assert claim_slack(snapshot, BookLots(others[0], low), claim) < 0
    both = [BookLots(others[0], (*others[1], cash)), BookLots(others[0], low)]
    many = assign_many(circuit, Books.of(both))
    assert many.witness(0) == honest
    assert many.shortfalls.tolist() == [0, -claim_slack(snapshot, both[1], claim)]
    with pytest.raises(ConstraintError):
        assign(circuit, others[0], low)
    slacks = {equation.slack for equation in circuit.equations}
    for v, variable in enumerate(circuit.bounded):
        if v in slacks:
            continue
        for by in moves:
            bent = (*circuit.bounded[:v], _shifted(variable, by), *circuit.bounded[v + 1 :])
            bad = replace(circuit, bounded=bent)
            try:
                witness = assign(bad, others[0], low)
            except (ConstraintError, InputError):
                continue
            with pytest.raises(ConstraintError):
                check(bad, witness)


def _shifted(variable: Bounded, by: int) -> Bounded:
    return replace(variable, hint=Sum(variable.hint, by))
