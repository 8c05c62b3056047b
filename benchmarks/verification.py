"""What a verifier waits for: one proof, a batch, and the whole command from a cold start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Column, Section, alternating, in_child
from benchmarks.synthetic import Case, book_of, snapshot_of
from zkmargin.accounts import commit_book
from zkmargin.engine.claims import Claim
from zkmargin.formats import save_document
from zkmargin.formats.files import write_atomic
from zkmargin.prover import prove
from zkmargin.verifier import Statement, Workers, verify, verify_batch

COLUMNS = (Column("what"), Column("time", "s"), Column("per proof", "s"))


def table(*, quick: bool) -> Section:
    """The table, measured in child processes."""
    cases, batch, runs = ((Case(511, 35),), 4, 3) if quick else ((Case(1023, 64), Case(1024, 64)), 64, 15)
    rows = [
        row for case in cases for row in in_child("verification", "rows", case=asdict(case), batch=batch, runs=runs)
    ]
    notes = [
        "In process: snapshot and circuit at hand, another proof each time. Each has a commitment and a",
        "context of their own, which are read here too. 1024 slots take two segments, 1023 one.",
        "Two processes: this one and a worker that stays (verifier.Workers); its start is not counted.",
        "A whole process: python -m zkmargin verify, from the start of the interpreter to its exit.",
    ]
    return Section("Verification", COLUMNS, rows, notes)


def rows(case: dict[str, Any], batch: int, runs: int) -> list[list[Any]]:
    """Run in a child process."""
    size, claim = Case(**case), Claim()
    snapshot, lots = snapshot_of(size), book_of(size)
    items = []
    for i in range(batch):
        context, opening = f"benchmark {i}".encode(), commit_book(snapshot, lots)
        proof = prove(Statement.of(snapshot, [opening.commitment()], claim, context=context), lots, [opening])
        items.append(([opening.commitment()], proof, context))

    def statement(i: int) -> Statement:
        commitments, _, context = items[i]
        return Statement.of(snapshot, commitments, claim, context=context)

    places = cycle(range(batch))

    def one() -> None:
        i = next(places)
        verify(statement(i), items[i][1])

    def read() -> Iterator[tuple[Statement, bytes]]:
        return ((statement(i), items[i][1]) for i in range(batch))

    with Workers([snapshot], 2) as workers:
        calls: dict[str, Callable[[], object]] = {
            "one": one,
            "many": lambda: verify_batch(list(read())),
            "two": lambda: workers.verify_batch(read()),
        }
        times = alternating(calls, runs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_document(snapshot, folder / "snapshot.json")
        save_document(items[0][0][0], folder / "commitment.json")
        write_atomic(folder / "proof.bin", items[0][1])
        files = ["--snapshot", "snapshot.json", "--commitment", "commitment.json", "--context", items[0][2].decode()]
        command = [sys.executable, "-m", "zkmargin", "verify", *files, "proof.bin"]

        def cold() -> None:
            subprocess.run(
                command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True
            )

        def bare() -> None:
            subprocess.run([sys.executable, "-c", ""], cwd=folder, check=True)

        processes = alternating({"cold": cold, "bare": bare}, runs)
    return [
        [f"{size}: one proof, in process", times["one"].wall, times["one"].wall],
        [f"{size}: batch of {batch}, in process", times["many"].wall, times["many"].wall / batch],
        [f"{size}: batch of {batch}, in two processes", times["two"].wall, times["two"].wall / batch],
        [f"{size}: zkmargin verify, a whole process", processes["cold"].wall, processes["cold"].wall],
        ["for comparison: Python that does nothing", processes["bare"].wall, None],
    ]
