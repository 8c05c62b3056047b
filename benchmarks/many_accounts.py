"""The margins and the hidden integers of many accounts at once, beside the rules for one account in the same run."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.measure import Column, Section, alternating, in_child, peak_bytes
from benchmarks.synthetic import COLLATERAL_BITS, SEED, Case, snapshot_of
from zkmargin import Books, Claim, margin_many, margin_report
from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.witness import assign
from zkmargin.circuits.many import assign_blocks
from zkmargin.engine.snapshot import Snapshot

COLUMNS = (
    Column("what"),
    Column("accounts"),
    Column("one by one, an account", "s"),
    Column("at once, an account", "s"),
    Column("ratio", "x"),
    Column("all of them", "s"),
    Column("most memory", "B"),
)
#: What a leg holds: books that are long and short, of a few hundred lots.
LOTS = 500


def table(*, quick: bool) -> Section:
    """The table, measured in a child process."""
    notes = [
        "Margins: margin_many beside margin_report. Hidden integers: assign_many beside assign, every bounded integer.",
        (
            "One by one is measured on a few of the same accounts, in turns with all of them at once; both are "
            "the same integers. Building the circuit is in margin_many's time where it is not kept from the run before."
        ),
    ]
    rows = [
        row
        for dense, count, scenarios in ((False, 10_000, 35), (True, 500, 64))
        for row in in_child(
            "many_accounts",
            "rows",
            dense=dense,
            count=count // 20 if quick else count,
            scenarios=scenarios,
            quick=quick,
        )
    ]
    return Section("Many accounts", COLUMNS, rows, notes)


def books_of(snapshot: Snapshot, count: int, *, dense: bool) -> Books:
    """Accounts of 16 legs each, or of every instrument, with plenty of cash."""
    draw = np.random.default_rng(SEED + 2)
    slots = len(snapshot.instruments)
    cash = np.full((count, 1), (1 << COLLATERAL_BITS) - 1, dtype=np.int64)
    if dense:
        return Books.dense(draw.integers(-LOTS, LOTS, (count, slots), dtype=np.int64, endpoint=True), cash)
    legs = 16
    chosen = np.sort(draw.permuted(np.tile(np.arange(slots, dtype=np.int64), (count, 1)), axis=1)[:, :legs], axis=1)
    lots = draw.integers(1, LOTS, chosen.shape, dtype=np.int64) * draw.choice([-1, 1], chosen.shape)
    return Books.sparse(np.arange(count + 1) * legs, chosen.ravel(), lots.ravel(), cash)


def rows(*, dense: bool, count: int, scenarios: int, quick: bool) -> list[list[Any]]:
    """Run in a child process."""
    snapshot = snapshot_of(Case(1023, scenarios))
    books = books_of(snapshot, count, dense=dense)
    sample = 2 if dense else 20
    few = [books.lots_of(a, len(snapshot.instruments)) for a in range(sample)]
    claim = Claim(1, 1)
    circuit = build_circuit(snapshot, claim)

    def witnesses() -> None:
        for _, block in assign_blocks(circuit, books):
            for v in range(len(circuit.bounded)):
                block.bounded(v)

    times = alternating(
        {
            "reports": lambda: [margin_report(snapshot, book) for book in few],
            "margins": lambda: margin_many(snapshot, books),
            "assigned": lambda: [assign(circuit, book.positions, book.collateral) for book in few],
            "witnesses": witnesses,
        },
        1 if quick else 5,
    )
    margins = margin_many(snapshot, books)
    for a, book in enumerate(few):
        if margins.total[a] != margin_report(snapshot, book).total:
            raise AssertionError("the margins differ")
    shape = f"{'every slot' if dense else '16 legs'} of 1,023 x {scenarios}"
    return [
        [
            f"{what}, {shape}",
            count,
            times[single].wall / sample,
            times[many].wall / count,
            times[single].wall / sample / (times[many].wall / count),
            times[many].wall,
            peak_bytes(),
        ]
        for what, single, many in (("margins", "reports", "margins"), ("hidden integers", "assigned", "witnesses"))
    ]
