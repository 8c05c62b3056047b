"""End to end: the stages of a proof for a table of sizes, each size in a process of its own."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import Column, Section, alternating, in_child, once, peak_bytes
from benchmarks.synthetic import Case

QUICK = (Case(512, 35), Case(512, 35, range_proved=False))
FULL = (
    *QUICK,
    Case(1023, 64),
    Case(1023, 64, range_proved=False),
    Case(1024, 16),
    Case(1024, 64),
    Case(1024, 64, range_proved=False),
    Case(1024, 64, position_bits=32),
    Case(1024, 64, n=2048),
    Case(1024, 64, position_bits=32, n=2048),
    Case(4096, 64),
    Case(4096, 64, range_proved=False),
    Case(16_384, 256),
    Case(16_384, 256, range_proved=False),
)

COLUMNS = (
    Column("slots x scenarios"),
    Column("positions"),
    Column("n"),
    Column("digit columns"),
    Column("read snapshot", "s"),
    Column("circuit", "s"),
    Column("commit", "s"),
    Column("first proof", "s"),
    Column("proof", "s"),
    Column("cores"),
    Column("verify", "s"),
    Column("proof size", "B"),
    Column("peak memory", "B"),
)


def table(cases: tuple[Case, ...], runs: int) -> Section:
    """The stages of every case."""
    section = Section("Proofs, end to end", COLUMNS)
    for case in cases:
        s = measure(case, runs)
        section.rows.append(
            [
                str(case),
                f"{case.bits} bits, {'range-proved' if case.range_proved else 'attested'}",
                case.n,
                *(s[key] for key in ("digit_columns", "read", "circuit", "commit", "first", "proof", "cores")),
                *(s[key] for key in ("verify", "bytes", "peak")),
            ]
        )
    section.notes = [
        "Each row is one process that starts with compiled kernels on disk and loads the snapshot from its file.",
        f"First proof: the first of that process. Proof: the median of the next {runs}, self-verification included.",
        "A segment of n rows lists n - 1 slots: at n = 1024, 1024 slots take two segments and 1023 take one.",
    ]
    return section


def first_ever(case: Case) -> Section:
    """The first proof on a machine: with an empty cache, so with every compilation and table."""
    section = Section(
        "The first proof",
        (Column("what"), Column("start of the process to the proof", "s"), Column("of which the proof", "s")),
    )
    with tempfile.TemporaryDirectory() as empty:
        for title in (f"{case}, nothing cached on this machine", f"{case}, new process, everything cached"):
            s, wall = once(lambda: measure(case, 0, environment={"ZKMARGIN_CACHE_DIR": empty}))
            section.rows.append([title, wall - s["written"], s["first"]])
    return section


def measure(case: Case, runs: int, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """The stages of one case, in seconds and bytes. ``written`` is the time of making the files, before the rest."""
    with tempfile.TemporaryDirectory() as folder:
        _, written = once(lambda: in_child("proofs", "write", case=asdict(case), folder=folder))
        stages = in_child("proofs", "stages", environment=environment, case=asdict(case), folder=folder, runs=runs)
    return {**stages, "written": written}


# In child processes: imports stand inside because their time and memory belong to the child.


def write(case: dict[str, Any], folder: str) -> None:
    """The snapshot's file."""
    from benchmarks.synthetic import snapshot_of  # noqa: PLC0415
    from zkmargin.formats import save_document  # noqa: PLC0415

    save_document(snapshot_of(Case(**case)), Path(folder) / "snapshot.json")


def stages(case: dict[str, Any], folder: str, runs: int) -> dict[str, float]:
    """From a snapshot's file to an accepted proof, stage by stage."""
    from benchmarks.synthetic import book_of  # noqa: PLC0415
    from zkmargin.accounts import commit_book  # noqa: PLC0415
    from zkmargin.circuits import build_circuit  # noqa: PLC0415
    from zkmargin.engine.claims import Claim  # noqa: PLC0415
    from zkmargin.engine.snapshot import Snapshot  # noqa: PLC0415
    from zkmargin.formats import load_document  # noqa: PLC0415
    from zkmargin.prover import prove  # noqa: PLC0415
    from zkmargin.verifier import Statement, verify  # noqa: PLC0415

    claim, lots = Claim(), book_of(Case(**case))
    snapshot, read = once(lambda: load_document(Snapshot, Path(folder) / "snapshot.json"))
    circuit, built = once(lambda: build_circuit(snapshot, claim))
    opening, committed = once(lambda: commit_book(snapshot, lots))

    def prove_again() -> bytes:
        return prove(Statement.of(snapshot, [opening.commitment()], claim), lots, [opening])

    proof, first = once(prove_again)
    result = {
        "read": read,
        "circuit": built,
        "digit_columns": circuit.digit_columns,
        "commit": committed,
        "first": first,
        "bytes": len(proof),
    }
    if runs:
        warm = alternating({"prove": prove_again}, runs)["prove"]
        result |= {"proof": warm.wall, "cores": warm.cores}
        # The statement is rebuilt each time: a verifier sees new commitments with every proof.
        check = alternating(
            {"verify": lambda: verify(Statement.of(snapshot, [opening.commitment()], claim), proof)}, max(runs, 3)
        )["verify"]
        result["verify"] = check.wall
    return {**result, "peak": peak_bytes()}
