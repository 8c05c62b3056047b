"""Venue proofs in 1 and 2 worker processes: time, memory, message sizes; and a model of a cluster made from them.

``python -m benchmarks.venue_cluster --accounts 20000`` measures here. What it says of 64 and 256 cores is an
*extrapolation*: workers' CPU seconds divided by cores, what is done in one place as measured, bytes over a link of
``LINK`` bytes a second into the coordinator. Nobody ran it there.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.measure import peak_bytes
from benchmarks.synthetic import Case, snapshot_of
from benchmarks.venue import SCENARIOS, venue_of
from zkmargin.prover.venue.messages import unpack
from zkmargin.prover.venue.pipes import ProcessLink
from zkmargin.prover.venue.prove import inputs_digest
from zkmargin.prover.venue.witness import build_witness
from zkmargin.prover.venue.workers import VenueWorkers, preparing
from zkmargin.verifier.venue.customers import tag_of
from zkmargin.verifier.venue.proof import encode_venue_proof

#: Bytes a second into the coordinator, of all workers together: ten gigabits.
LINK = 1.25e9
CORES = (2, 64, 256)
TARGET = 1_000_000


class Measured:
    """A process link that counts what goes over it."""

    sizes: ClassVar[defaultdict[str, list[int]]] = defaultdict(lambda: [0, 0, 0])
    lock: ClassVar[threading.Lock] = threading.Lock()
    peaks: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.link = ProcessLink()

    def ask(self, request: bytes) -> bytes:
        """As the link's."""
        answer = self.link.ask(request)
        with self.lock:
            row = self.sizes[unpack(request)[0]["round"]]
            row[0], row[1], row[2] = row[0] + len(request), row[1] + len(answer), row[2] + 1
        return answer

    def close(self) -> None:
        """As the link's; its memory at most is noted."""
        lines = Path(f"/proc/{self.link.process.pid}/status").read_text().splitlines()
        self.peaks.extend(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        self.link.close()


def run(snapshot: Any, statement: Any, books: Any, count: int) -> dict[str, Any]:
    """One proof with so many workers."""
    Measured.sizes.clear()
    Measured.peaks.clear()
    begin, cpu = time.perf_counter(), time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    with preparing(snapshot, statement, count, Measured) as makers:
        tags = [[tag_of(statement.digest, name, bytes(16)) for name in books.names]]
        witness = build_witness(statement, [books], tags, maker=makers)
        inputs = inputs_digest(statement, witness)
        prepared, prepared_cpu = time.perf_counter() - begin, time.process_time() - cpu
        begin, cpu = time.perf_counter(), time.process_time()
        running = VenueWorkers(snapshot, statement, witness, inputs, count, connect=makers.connect)
    with running:
        started, started_cpu = time.perf_counter() - begin, time.process_time() - cpu
        begin, cpu = time.perf_counter(), time.process_time()
        data = encode_venue_proof(running.prove(), statement.srs.digest)
        proved, coordinator = time.perf_counter() - begin, time.process_time() - cpu
        cpu = time.process_time()
        running.verified(data)
        checked = time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "workers": count,
        "witness and digests, CPU s": prepared_cpu,
        "witness and digests, s": prepared,
        "start, s": started,
        "start of the coordinator, CPU s": started_cpu,
        "proof, s": proved,
        "coordinator, CPU s": coordinator,
        "workers with their start, CPU s": after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime,
        "own verification of the coordinator, CPU s": checked,
        "memory of a worker": max(Measured.peaks, default=0),
        "memory of the coordinator": peak_bytes(),
        "messages": {name: {"to": row[0], "from": row[1], "asked": row[2]} for name, row in Measured.sizes.items()},
    }


def model(one: dict[str, Any], two: dict[str, Any], accounts: int, *, cores: int) -> dict[str, float]:
    """Seconds of ``TARGET`` accounts on so many cores: an extrapolation.

    Args:
        one, two: measured with 1 and 2 workers.
        accounts: of the measurement.
        cores: workers.
    """
    scale = TARGET / accounts
    a, b = one["coordinator, CPU s"], two["coordinator, CPU s"]
    each = max(0.0, b - a)  # what one worker more costs the coordinator
    cpu = "workers with their start, CPU s"
    own = "own verification of the coordinator, CPU s"
    check = one[own] - two[own]  # the coordinator does it for a worker alone
    share = (2 * one[cpu] - two[cpu] + 2 * check) * scale  # the second worker brings its start and that check
    answered = {f["workers"]: sum(row["from"] for row in f["messages"].values()) for f in (one, two)}
    by_worker = answered[2] - answered[1]  # vectors of n rows: as many from each, however many accounts it has
    by_account = (answered[1] - by_worker) * scale
    before = ("open", "examine", "columns", "start")  # documents go to each worker, the rest by account
    sent = {f["workers"]: sum(f["messages"][name]["to"] for name in before) for f in (one, two)}
    documents = sent[2] - sent[1]
    found = {
        "witness and digests": one["witness and digests, CPU s"] * scale,
        "documents, books and columns to the workers": (documents * cores + (sent[1] - documents) * scale) / LINK,
        "workers": share / cores,
        "coordinator": a + each * (cores - 1),
        "answers": (by_account + by_worker * cores) / LINK,
        "own verification": two[own] * scale,
    }
    return {**found, "all": sum(found.values())}


def main() -> int:
    """Measure, model, print JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.venue_cluster", description=__doc__)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--digit-bits", type=int, default=11)
    options = parser.parse_args()
    snapshot = snapshot_of(Case(1000, SCENARIOS, n=options.rows))
    statement, books = venue_of(snapshot, options.accounts, options.digit_bits)
    small, few = venue_of(snapshot, 64, options.digit_bits)
    run(snapshot, small, few, 1)  # kernels are compiled and kept
    found = [run(snapshot, statement, books, count) for count in (1, 2, 1, 2)]
    one, two = (
        min((f for f in found if f["workers"] == count), key=lambda f: float(f["proof, s"])) for count in (1, 2)
    )
    result = {
        "accounts": options.accounts,
        "measured": found,
        "speed-up of the proof by the second worker": float(np.divide(one["proof, s"], two["proof, s"])),
        "extrapolated to 10^6 accounts, s": {
            f"{cores} cores": model(one, two, options.accounts, cores=cores) for cores in CORES
        },
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
