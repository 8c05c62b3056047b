"""A sample of malicious witnesses and changed snapshots (many more: make assurance SHARDS="witnesses snapshots")."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import hostile_witness
from encoders import snapshots
from hostile_witness import Draws, FoundError, at_boundary, both_sides, hostile_snapshots, search, varied, witnesses

from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.margin import claim_slack


@pytest.mark.slow
def test_no_hidden_integers_prove_a_book_one_unit_short() -> None:
    assert witnesses(60, seed=7) > 40


@pytest.mark.slow
def test_a_changed_snapshot_is_refused_or_means_the_same_to_engine_and_circuit() -> None:
    accepted, compared = hostile_snapshots(100, seed=7)
    assert accepted == compared > 10


def test_the_search_finds_a_witness_where_there_is_one() -> None:
    draw = Draws("test")
    snapshot = varied(snapshots()["worst_scenario"], draw)
    assert snapshot is not None
    lots = at_boundary(snapshot, Claim(1, 1), draw)
    assert lots is not None
    assert claim_slack(snapshot, lots, Claim(1, 1)) == 0
    with pytest.raises(FoundError, match="sat"):
        search(snapshot, Claim(1, 1), lots)
    with pytest.raises(FoundError, match="taken one unit below"):
        both_sides(
            snapshot,
            Claim(1, 1),
            BookLots(lots.positions, (*lots.collateral[:-1], lots.collateral[-1] + 2)),
            malicious=True,
        )
    with pytest.raises(FoundError, match="refused at the boundary"):
        both_sides(
            snapshot,
            Claim(1, 1),
            BookLots(lots.positions, (*lots.collateral[:-1], lots.collateral[-1] - 2)),
            malicious=True,
        )


def test_draws_repeat_themselves() -> None:
    first, again = ([Draws("x", 1).below(1000) for _ in range(3)] for _ in range(2))
    assert first == again
    assert hostile_witness.main([]) == 1  # nothing asked is nothing shown
