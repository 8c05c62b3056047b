"""Stages of this build or of an older checkout, in CPU seconds: what ``benchmarks.against`` runs in each of them.

Run as a file, not as a module, from the checkout's folder with its own Python: the names of both layouts are tried.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path.cwd()))
FIRST, RUNS = 3, 15


def named(name: str, *modules: str) -> Any:
    """A name from the first of the modules that has it."""
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(name)


def cpu(call: Callable[[], object], runs: int) -> float:
    """Median CPU seconds of all threads."""
    taken = []
    for _ in range(runs):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return median(taken)


def cold(case: dict[str, Any]) -> dict[str, float]:
    """A new process with everything cached: from its start to the first proof, and parts of that."""
    made = Made(case)
    read = time.process_time()
    opening = made.commit()
    before = time.process_time()
    made.prove(opening)
    done = time.process_time()
    return {
        "process to a snapshot read": read,
        "process to the first proof": done,
        "of which the first proof": done - before,
    }


def empty(case: dict[str, Any]) -> dict[str, float]:
    """The first proof of a machine, nothing cached: a process from its start to its end, and one that it starts."""
    Made(case)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "ZKMARGIN_CACHE_DIR": folder}
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, __file__, json.dumps(["cold", {"case": case}])]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "process with the first proof": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "the same, wall clock": wall,
    }


def warm(case: dict[str, Any]) -> dict[str, float]:
    """Stages of a process that has proved before."""
    made = Made(case)
    opening = made.commit()
    proof = made.prove(opening)
    batch = [made.statement(opening, b"%d" % i) for i in range(32)]
    proofs = [made.prove(opening, b"%d" % i) for i in range(32)]
    for _ in range(FIRST):
        made.verify(made.statement(opening), proof)
    return {
        "first reading of a snapshot": made.first_reading,
        "reading it again": cpu(made.read, RUNS),
        "commit": cpu(made.commit, RUNS),
        "proof": cpu(lambda: made.prove(opening), RUNS),
        "verification": cpu(lambda: made.verify(made.statement(opening), proof), RUNS),
        "batch of 32, of which one": cpu(lambda: made.verify_batch([*zip(batch, proofs, strict=True)]), FIRST) / 32,
    }


def threads(case: dict[str, Any]) -> dict[str, float]:
    """A proof by the clock, in one thread and in two, in turns: says something on a machine that does nothing else."""
    made = Made(case)
    opening = made.commit()
    taken: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(FIRST + RUNS):
        for count, walls in taken.items():
            start = time.perf_counter()
            made.prove(opening, threads=count)
            walls.append(time.perf_counter() - start)
    one, two = (median(walls[FIRST:]) for walls in taken.values())
    return {"proof, one thread, wall clock": one, "proof, two threads, wall clock": two, "one / two": one / two}


def large(case: dict[str, Any]) -> dict[str, float]:
    """A statement that fills memory: two threads, and the peak memory of the whole process in MB."""
    made = Made(case)
    opening = made.commit()
    made.prove(opening, threads=2)
    proof = cpu(lambda: made.prove(opening, threads=2), FIRST)
    return {"proof": proof, "peak memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


def batches(case: dict[str, Any], count: int) -> dict[str, float]:
    """One of a batch, in one process and in two: CPU seconds here and of the worker."""
    made = Made(case)
    opening = made.commit()
    items = [(made.statement(opening, b"%d" % i), made.prove(opening, b"%d" % i)) for i in range(count)]
    fresh = [(made.statement(opening, b"%d" % i), proof) for i, (_, proof) in enumerate(items)]
    workers_of = named("Workers", "zkmargin.verifier", "verifier", "verifier.workers")
    found = {f"batch of {count}, of which one": cpu(lambda: made.verify_batch(fresh), FIRST) / count}
    start = time.perf_counter()
    made.verify_batch(fresh)
    found["the same, wall clock"] = (time.perf_counter() - start) / count
    with workers_of([made.snapshot], 2) as workers:
        workers.verify_batch(iter(fresh))
        walls = []
        for _ in range(FIRST):
            start = time.perf_counter()
            workers.verify_batch(iter(fresh))
            walls.append(time.perf_counter() - start)
    found["in two processes, wall clock"] = median(walls) / count
    return found


def market(options: int) -> dict[str, float]:
    """From a market's file to the digest of its snapshot."""
    arrays = importlib.import_module("benchmarks.risk_arrays")
    load, save = (named(name, "zkmargin.formats", "formats") for name in ("load_document", "save_document"))
    kind = named("Market", "zkmargin.engine.market", "engine.market")
    policy = arrays.policy_of_64()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "market.json"
        save(arrays.market_of(options), file)
        arrays.build_snapshot(load(kind, file), policy)
        return {"market file to snapshot": cpu(lambda: arrays.build_snapshot(load(kind, file), policy).digest(), RUNS)}


def command(case: dict[str, Any]) -> dict[str, float]:
    """``zkmargin verify`` from the start of the interpreter to its exit."""
    made = Made(case)
    opening = made.commit()
    write, save = (
        named("write_atomic", "zkmargin.formats.files", "formats.files"),
        named("save_document", "zkmargin.formats", "formats"),
    )
    with tempfile.TemporaryDirectory() as folder:
        save(opening.commitment(), Path(folder) / "commitment.json")
        write(Path(folder) / "proof.bin", made.prove(opening))
        files = ["--snapshot", str(made.file), "--commitment", f"{folder}/commitment.json", f"{folder}/proof.bin"]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        taken = []
        for _ in range(RUNS // 2):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, "-m", "zkmargin", "verify", *files], env=environment, check=True, capture_output=True
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"zkmargin verify, a process": median(taken)}


def many(case: dict[str, Any], accounts: int, group: int) -> dict[str, float]:
    """One of many large accounts: in one proof of them all, or in a single proof and a batch where there is no such."""
    made = Made(case)
    openings = [made.commit() for _ in range(accounts)]
    try:
        dense_venue = named("dense_venue", "benchmarks.venue")
    except ImportError:
        proofs = [made.prove(opening) for opening in openings[:FIRST]]
        batch = [(made.statement(o), p) for o, p in zip(openings, proofs, strict=False)] * (accounts // FIRST)
        proof = cpu(lambda: made.prove(openings[0]), RUNS)
        return {"proof": proof, "verification": cpu(lambda: made.verify_batch(batch), FIRST) / len(batch)}
    statement, prove, check = dense_venue(made.snapshot, made.lots, openings, group)
    data = prove()
    return {
        "proof": cpu(prove, FIRST) / accounts,
        "verification": cpu(lambda: check(statement, data), FIRST) / accounts,
    }


def blocks(case: dict[str, Any], accounts: int, rows: int, digit_bits: int) -> dict[str, float]:
    """One of many small accounts: in one proof of them all, or in a single proof and a batch where there is no such."""
    try:
        block_venue = named("block_venue", "benchmarks.venue")
    except ImportError:
        made = Made(case)
        openings = [made.commit() for _ in range(FIRST)]
        proofs = [made.prove(opening) for opening in openings]
        batch = [(made.statement(o), p) for o, p in zip(openings, proofs, strict=True)] * 32
        proof = cpu(lambda: made.prove(openings[0]), RUNS)
        check = cpu(lambda: made.verify_batch(batch), FIRST) / len(batch)
        return {"proof": proof, "verification": check, "bytes": float(len(proofs[0]))}
    statement, prove, verify = block_venue(accounts, rows, digit_bits)
    data = prove()
    return {
        "proof": cpu(prove, 1) / accounts,
        "verification": cpu(lambda: verify(statement, data), FIRST) / accounts,
        "bytes": len(data) / accounts,
    }


def sums(points: int, bits: int) -> dict[str, float]:
    """G1 multi-scalar multiplication over the ceremony's powers, one thread, tables made before."""
    import numpy as np  # noqa: PLC0415

    kernels: Any = named("_kernels", "zkmargin.prover", "prover")
    tables_of = named("FixedBaseTables", "zkmargin.prover._kernels.fixed_base", "prover._kernels.fixed_base")
    embedded, size = (named(name, "zkmargin.crypto.srs", "crypto.srs") for name in ("embedded", "G1_BYTES"))
    order = named("r", "zkmargin.crypto.field", "crypto.field")
    tables = tables_of.build(bytes(embedded().g1_bytes[: points * size]))
    scalars: Any = np.array([i * 7919 % (1 << bits) for i in range(points)], dtype=np.int64)
    if bits > 63:
        scalars = kernels.from_ints([pow(7, i + 1, order) for i in range(points)])
    tables.msm(scalars)
    return {f"sum of {points} points, {bits} bits": cpu(lambda: tables.msm(scalars), 4 * RUNS)}


class Made:
    """A snapshot read from its file, a book, and the calls of either layout."""

    def __init__(self, case: dict[str, Any]) -> None:
        synthetic = importlib.import_module("benchmarks.synthetic")
        self.load, save = (named(name, "zkmargin.formats", "formats") for name in ("load_document", "save_document"))
        self.kind = named("Snapshot", "zkmargin.engine.snapshot", "engine.snapshot")
        self.file = Path(tempfile.gettempdir()) / f"stages-{Path.cwd().name}-{'-'.join(map(str, case.values()))}.json"
        if not self.file.exists():
            save(synthetic.snapshot_of(synthetic.Case(**case)), self.file)
            raise SystemExit(0)  # whoever reads it has to be a process that has not made one
        start = time.process_time()
        self.snapshot = self.read()
        self.first_reading = time.process_time() - start
        self.lots = synthetic.book_of(synthetic.Case(**case))
        self.claim = named("Claim", "zkmargin.engine.claims", "engine.margin")()
        self._prove = named("prove", "zkmargin.prover", "prover")
        self._commit = named("commit_book", "zkmargin.accounts", "prover")
        self._statement = named("Statement", "zkmargin.verifier", "verifier")
        self.verify, self.verify_batch = (
            named(name, "zkmargin.verifier", "verifier") for name in ("verify", "verify_batch")
        )

    def read(self) -> Any:
        """The snapshot from its file."""
        return self.load(self.kind, self.file)

    def commit(self) -> Any:
        """Commitments with fresh blinders."""
        return self._commit(self.snapshot, self.lots)

    def statement(self, opening: Any, context: bytes = b"") -> Any:
        """The default claim on the opened commitment."""
        return self._statement.of(self.snapshot, [opening.commitment()], self.claim, context=context)

    def prove(self, opening: Any, context: bytes = b"", threads: int = 1) -> bytes:
        """A proof of the default claim."""
        if "claim" in inspect.signature(self._prove).parameters:
            made = self._prove(self.snapshot, self.lots, [opening], self.claim, context=context, threads=threads)
        else:
            made = self._prove(self.statement(opening, context), self.lots, [opening], threads=threads)
        return bytes(made)


if __name__ == "__main__":
    function, arguments = json.loads(sys.argv[1])
    stages = (cold, empty, warm, threads, sums, many, blocks, large, batches, market, command)
    chosen: dict[str, Callable[..., object]] = {stage.__name__: stage for stage in stages}
    print(json.dumps(chosen[function](**arguments)))
