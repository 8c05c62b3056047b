"""How much the time of a commitment and of a proof says about the book: sparse against full (docs/assurance.md).

    python -m benchmarks.timing [--domain-size 256] [--runs 15]

The same snapshot, setup and claim; books that differ in how many slots they fill and how large the entries are. Printed
are medians and the spread, so that a difference can be seen beside the noise. The kernels are not constant-time: this
measures by how much.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from zkmargin.accounts import Opening, commit_book
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover import prove
from zkmargin.verifier import Statement


def books(snapshot: Snapshot) -> dict[str, BookLots]:
    """Books of one rich account, from no position to one in every slot."""
    count, bits = len(snapshot.instruments), snapshot.layout.position_bits
    most = min(2**bits - 1, 10**6) // count
    quote = next(i for i, slot in enumerate(snapshot.collateral) if slot.asset == "USDC")
    rich = tuple((1 << slot.bits) - 1 if i == quote else 0 for i, slot in enumerate(snapshot.collateral))

    def book(entry: Callable[[int], int]) -> BookLots:
        return BookLots(tuple(entry(i) for i in range(count)), rich)

    return {
        "no position": book(lambda _: 0),
        "one position of one lot": book(lambda i: int(i == 0)),
        "one position, large": book(lambda i: most * (i == 0)),
        "one lot in every slot": book(lambda i: (-1) ** i),
        "large in every slot": book(lambda i: (-1) ** i * (most - i % 7)),
    }


def measure(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """Median and spread (a quarter of the runs on each side cut off) in milliseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    times.sort()
    return statistics.median(times), times[(3 * runs) // 4] - times[runs // 4]


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain-size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    snapshot = build_snapshot(
        example_market("2026-11-20T12:00:00Z"), load_policy("default"), domain_size=given.domain_size
    )
    claim = Claim(1, 1)
    print(f"{len(snapshot.instruments)} slots, domain {given.domain_size}, {given.runs} runs, one thread; ms\n")
    print("| book | commit | spread | prove | spread |\n|---|---|---|---|---|")
    for name, lots in books(snapshot).items():
        opening = commit_book(snapshot, lots)

        def commit(lots: BookLots = lots) -> object:
            return commit_book(snapshot, lots)

        def proof(lots: BookLots = lots, opening: Opening = opening) -> object:
            return prove(Statement.of(snapshot, [opening.commitment()], claim), lots, [opening], threads=1)

        commit()
        proof()
        a, b = measure(commit, given.runs), measure(proof, given.runs)
        print(f"| {name} | {a[0]:.1f} | {a[1]:.1f} | {b[0]:.0f} | {b[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
