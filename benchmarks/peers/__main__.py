"""``make bench-peers``: general provers on the statement that zkmargin proves, in turns with it, in one run.

The peers are the native bb (UltraHonk) with Noir, and snarkjs (Groth16) with circom. Their times are those of the
command that makes a proof, with circuit, key and witness on disk; ours that of ``prove`` in a process that has proved
before. Compiling and setting up (minutes, again for each new risk array) stay out; the witness is shown apart.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import machine
from benchmarks.__main__ import text_of
from benchmarks.measure import ROOT
from benchmarks.peers.barretenberg import Barretenberg, own_powers
from benchmarks.peers.commands import pinned
from benchmarks.peers.comparison import table
from benchmarks.peers.peer import Peer
from benchmarks.peers.snarkjs import Snarkjs
from benchmarks.synthetic import Case

#: 32-bit positions: three digits of 11 bits in one segment.
CASE = Case(1024, 64, position_bits=32, n=2048)
SMALL = Case(32, 4, position_bits=32, n=2048)


def peers_of(options: argparse.Namespace, folder: Path) -> list[Peer]:
    """Those that were asked for: bb and Groth16 unless said otherwise."""
    names, powers = options.only or ["bb", "groth16"], options.folder / "powers"
    peers: list[Peer] = []
    if "bb" in names:
        given = options.ceremony
        peers.append(Barretenberg(folder, given or own_powers(powers), ceremony=given is not None))
    systems = [name for name in ("groth16", "plonk") if name in names]
    return peers + [Snarkjs(folder / "circom", powers, system, options.ptau) for system in systems]


def say(text: str) -> None:
    """Progress, beside the results."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Install nothing; measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each prover")
    parser.add_argument("--quick", action="store_true", help=f"{SMALL}: shows that it works")
    parser.add_argument("--size", type=int, nargs=2, metavar=("N", "S"), help="instruments and scenarios (1024 64)")
    parser.add_argument(
        "--only",
        action="append",
        choices=("bb", "groth16", "plonk"),
        help="this peer alone (can be repeated). plonk, of snarkjs, runs only when asked for: at full size its set-up "
        "and each of its proofs take minutes",
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "peers", help="what is kept between runs")
    parser.add_argument("--ceremony", type=Path, metavar="FOLDER", help="bb's own powers (else some are made, unsafe)")
    parser.add_argument("--ptau", type=Path, metavar="FILE", help="powers for snarkjs, prepared (else made, unsafe)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, in seconds and bytes")
    options = parser.parse_args()
    options.folder = options.folder.resolve()  # the peers' commands run elsewhere
    options.ceremony = options.ceremony.resolve() if options.ceremony else None
    case = SMALL if options.quick else CASE
    if options.size:
        case = replace(case, slots=options.size[0], scenarios=options.size[1])
    described = machine.describe()
    described["versions"] |= pinned()
    print("\n".join(machine.lines(described)), flush=True)
    try:
        folder = options.folder / str(case).replace(" ", "")
        section = table(case, peers_of(options, folder), options.runs, say)
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{text_of(section)}")
    if options.json:
        report = {"machine": described, "quick": options.quick, "sections": {"peers": section.to_json()}}
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
