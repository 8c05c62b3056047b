"""What general provers are measured on (benchmarks/peers) is our statement: it holds exactly where ours does."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers import program
from benchmarks.peers.statement import instance_of
from benchmarks.synthetic import Case, book_of, snapshot_of
from zkmargin.engine.book import BookLots
from zkmargin.engine.margin import margin_report

CASE = Case(12, 5, position_bits=32, n=2048)


@pytest.mark.parametrize("change", [0, 1, -1, 10**6])
def test_its_least_difference_is_what_is_left_of_the_collateral(change: int) -> None:
    instance, lots, snapshot = instance_of(CASE), book_of(CASE), snapshot_of(CASE)
    held = tuple(a - b for a, b in zip(instance.long, instance.short, strict=True))
    least = min(instance.differences()) // instance.price  # whole lots of collateral
    collateral = lots.collateral[0] - least + change
    report = margin_report(snapshot, BookLots(held, (collateral,)))
    left = min(replace(instance, collateral=collateral).differences())
    assert left * 10_000 == report.surplus
    assert (left >= 0) == (change >= 0)


def test_the_program_is_written_whole(tmp_path: Path) -> None:
    program.write(instance_of(CASE), tmp_path)
    text = (tmp_path / "src" / "main.nr").read_text("utf-8")
    assert f"global GAINS: [[Field; 12]; {CASE.scenarios + 1}]" in text
    assert "{slots}" not in text
