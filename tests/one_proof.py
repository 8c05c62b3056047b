"""One proof from fixed randomness: the machine, the proof's length and digest on one line (tests/aarch64.sh)."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import platform
import sys

from benchmarks.synthetic import Case, book_of, snapshot_of
from zkmargin.accounts import commit_book
from zkmargin.crypto.field import r
from zkmargin.engine.claims import Claim
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

CASE = Case(200, 8, position_bits=16, n=256)


def main() -> None:
    """Prove, verify, print."""
    counter = itertools.count(1)

    def draw() -> int:
        return int.from_bytes(hashlib.sha512(b"%d" % next(counter)).digest(), "big") % r

    for module in ("zkmargin.prover.prove", "zkmargin.accounts.openings"):
        vars(importlib.import_module(module))["random_scalar"] = draw
    snapshot, lots = snapshot_of(CASE), book_of(CASE)
    opening = commit_book(snapshot, lots)
    statement = Statement.of(snapshot, [opening.commitment()], Claim())
    proof = prove(statement, lots, [opening], threads=1)
    verify(statement, proof)
    sys.stdout.write(f"{platform.machine()} {len(proof)} {hashlib.sha256(proof).hexdigest()}\n")


if __name__ == "__main__":
    main()
