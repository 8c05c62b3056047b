"""``make bench-peers``: general provers on the statement that zkmargin proves, in turns with it, in one run.

The peer is the native bb (UltraHonk) with Noir. Its time is that of ``bb prove`` with circuit, key and witness on disk;
ours that of ``prove`` in a process that has proved before. Compiling (minutes, again for each new risk array) and the
solver are shown apart.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.__main__ import text_of
from benchmarks.measure import Column, Section
from benchmarks.peers.barretenberg import Peer, own_powers
from benchmarks.peers.statement import instance_of
from benchmarks.synthetic import Case, book_of, snapshot_of
from zkmargin.accounts import commit_book
from zkmargin.engine.claims import Claim
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

#: 32-bit positions: three digits of 11 bits in one segment.
CASE = Case(1024, 64, position_bits=32, n=2048)
SMALL = Case(64, 4, position_bits=32, n=2048)
ROOT = Path(__file__).resolve().parents[2]


def ours(case: Case) -> tuple[Callable[[], bytes], Callable[[bytes], object]]:
    """How to prove and how to verify, for one snapshot and book."""
    snapshot, lots, claim = snapshot_of(case), book_of(case), Claim()
    opening = commit_book(snapshot, lots)

    def statement() -> Statement:
        return Statement.of(snapshot, [opening.commitment()], claim)

    return lambda: prove(statement(), lots, [opening]), lambda proof: verify(statement(), proof)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock seconds and CPU seconds, of child processes too."""
    wall, cpu = time.perf_counter(), _cpu()
    call()
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def table(case: Case, peer: Peer, runs: int) -> Section:
    """Both provers in turns. Raises RuntimeError where a proof is not accepted."""
    instance = instance_of(case)
    if min(instance.differences()) < 0:
        raise RuntimeError("the book does not meet the claim")
    peer.prepare(instance)
    prove_ours, verify_ours = ours(case)
    proof, theirs = prove_ours(), peer.prove()
    verify_ours(proof)
    _agree(peer, theirs)
    times: dict[str, list[tuple[float, float]]] = {"zkmargin": [], "bb": [], "solver": []}
    for _ in range(runs):
        times["zkmargin"].append(timed(prove_ours))
        times["bb"].append(timed(peer.prove))
        times["solver"].append((peer.solve()[0], 0.0))
    walls = {name: median(wall for wall, _ in taken) for name, taken in times.items()}
    cpus = {name: median(cpu for _, cpu in taken) for name, taken in times.items()}
    whole = walls["bb"] + walls["solver"]
    columns = (Column("prover"), Column("proof", "s"), Column("CPU", "s"), Column("bytes", "B"), Column("ratio", "x"))
    section = Section(f"{case}, 32-bit positions: general provers on the same statement", columns)
    section.rows = [
        ["zkmargin, witness and its own verification included", walls["zkmargin"], cpus["zkmargin"], len(proof), 1.0],
        ["bb prove", walls["bb"], cpus["bb"], len(theirs), walls["bb"] / walls["zkmargin"]],
        ["Noir's solver", walls["solver"], None, None, None],
        ["bb and solver", whole, None, None, whole / walls["zkmargin"]],
    ]
    section.notes = [
        f"Medians of {runs}, in turns. bb's circuit has {peer.rows():,} rows; its key and program were made before.",
        f"CPU: {cpus['bb'] / cpus['zkmargin']:.1f} times as many seconds in bb as in zkmargin.",
        "bb over the ceremony's powers."
        if peer.ceremony
        else "bb over powers made here: it accepted all up to the "
        "last pairing check, whose point its verifier has built in.",
    ]
    return section


def _agree(peer: Peer, proof: bytes) -> None:
    """bb accepts its proof, refuses it changed, and has hashed what the solver hashed."""
    changed = bytearray(proof)
    changed[len(proof) // 4] ^= 1
    if not peer.verify(proof) or peer.verify(bytes(changed)):
        raise RuntimeError("bb does not tell its own proof from a changed one")
    if int.from_bytes((peer.folder / "public_inputs").read_bytes(), "big") != int(peer.solve()[1], 16):
        raise RuntimeError("bb's public input is not what the solver returned")


def main() -> int:
    """Install nothing; measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each prover")
    parser.add_argument("--quick", action="store_true", help="64 x 4: shows that it works")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "peers", help="what is kept between runs")
    parser.add_argument("--ceremony", type=Path, metavar="FOLDER", help="bb's own powers (else some are made, unsafe)")
    options = parser.parse_args()
    case = SMALL if options.quick else CASE
    try:
        powers = options.ceremony or own_powers(options.folder / "powers")
        peer = Peer(options.folder / str(case).replace(" ", ""), powers, ceremony=options.ceremony is not None)
        section = table(case, peer, options.runs)
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text_of(section))
    return 0


if __name__ == "__main__":
    sys.exit(main())
