"""Ten thousand proofs in one process: its memory must not grow. A shard of ``make assurance``, minutes.

    python tests/memory.py [PROOFS]

Each proof is of a book and a commitment of its own, verified as a stranger would, in threads. The resident set is read
when a tenth is done, when caches are full, and at the end.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.synthetic import Case, book_of, snapshot_of
from zkmargin.accounts import commit_book
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

PROOFS = 10_000
#: What an allocator may keep for itself; a leak of one element a proof would be more.
ALLOWED_GROWTH = 4 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def proved(snapshot: Snapshot, case: Case, i: int) -> None:
    """One proof, made and verified."""
    claim, context = Claim(), f"proof {i}".encode()
    lots = book_of(case)
    opening = commit_book(snapshot, lots)
    statement = Statement.of(snapshot, [opening.commitment()], claim, context=context)
    proof = prove(statement, lots, [opening], threads=2)
    verify(Statement.of(snapshot, [opening.commitment()], claim, context=context), proof)


def main() -> int:
    """Prove, and say how memory went."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PROOFS
    case = Case(60, 5, position_bits=12, n=64)
    snapshot = snapshot_of(case)
    for i in range(count // 10):
        proved(snapshot, case, i)
    before = resident()
    for i in range(count // 10, count):
        proved(snapshot, case, i)
    after = resident()
    sys.stdout.write(f"{count} proofs: {before / 1e6:.1f} MB after a tenth, {after / 1e6:.1f} MB at the end\n")
    return int(after - before > ALLOWED_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
