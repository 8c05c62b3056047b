"""Every account of a venue in one proof, beside today's single proofs and batch verification in the same run.

``python -m benchmarks.venue --accounts 100000`` measures one size, once; ``--soundness`` adds up the error terms of
docs/protocol-venue.md section 5 for it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Column, Section, in_child, once, peak_bytes
from benchmarks.synthetic import COLLATERAL_BITS, SEED, Case, book_of, snapshot_of
from zkmargin.accounts import commit_book
from zkmargin.accounts.openings import Opening, total_blinders
from zkmargin.circuits.venue import BlockClass, BlockTemplate, VenueRules, choose_block, default_charge_bits
from zkmargin.crypto.field import r
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover import prove
from zkmargin.prover.profile import Profile
from zkmargin.prover.prove import default_threads
from zkmargin.prover.venue.blocks import ClassBooks
from zkmargin.prover.venue.prove import prove_venue
from zkmargin.prover.venue.witness import build_witness, held_totals, net_positions
from zkmargin.verifier import Statement, verify_batch
from zkmargin.verifier.venue.customers import tag_of
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import DenseAccount, VenueTerms
from zkmargin.verifier.venue.verify import verify_venue

COLUMNS = (
    Column("accounts"),
    Column("rows"),
    Column("table"),
    Column("witness, each", "s"),
    Column("proof, each", "s"),
    Column("CPU, each", "s"),
    Column("today's proofs / these, CPU", "x"),
    Column("each", "B"),
    Column("verify, each", "s"),
    Column("today's batch / this, CPU", "x"),
    Column("proving, all", "s"),
    Column("verification, all", "s"),
    Column("most memory", "B"),
)
LEGS, SCENARIOS, POSITION_BITS, LOTS = 16, 35, 20, 500
#: How many single proofs are measured beside a venue's.
SINGLE = 4
#: What a long run has found so far, in its folder.
FACTS = "facts.json"


def table(*, quick: bool) -> Section:
    """The table, each row measured in a child process."""
    sizes = [(1_000, 1024, 10)] if quick else [(10_000, 1024, 10), (10_000, 2048, 11), (10_000, 2048, 15)]
    rows = [in_child("venue", "row", accounts=a, n=n, digit_bits=k) for a, n, k in sizes]
    notes = [
        f"{LEGS} legs of 1,000 instruments, {SCENARIOS} scenarios, positions of {POSITION_BITS} bits, net and totals",
        "proved; witness, commitments, hashing and the prover's own verification are in the proof's time.",
        f"Single proofs, of 1023 x {SCENARIOS}, and their verification in one batch, are measured in the same run.",
        "Ratios are of CPU seconds, which other work on the machine moves less than the wall clock.",
    ]
    return Section("Venues", COLUMNS, rows, notes)


def venue_of(snapshot: Snapshot, count: int, digit_bits: int, legs: int = LEGS) -> tuple[VenueStatement, ClassBooks]:
    """A statement with net positions and totals, and books with plenty of cash."""
    draw = np.random.default_rng(SEED + 3)
    n, rules = snapshot.layout.domain_size, VenueRules.of(snapshot, "initial")
    slots = rules.instruments
    ids = draw.integers(0, slots, (count, 1, legs), dtype=np.int64)
    lots = draw.integers(-LOTS, LOTS, (count, 1, legs), dtype=np.int64, endpoint=True)
    cash = np.full((count, 1), 1 << (COLLATERAL_BITS - 2), dtype=np.int64)
    books = ClassBooks([str(a) for a in range(count)], np.zeros((count, 1), dtype=np.int64), ids, lots, cash)
    bits = min(44, default_charge_bits(rules, legs, POSITION_BITS, digit_bits))

    def terms(block: int, **more: Any) -> VenueTerms:
        spec = BlockClass(
            name="accounts",
            accounts=count,
            legs=legs,
            slots=1,
            block=block,
            position_bits=POSITION_BITS,
            charge_bits=bits,
        )
        return VenueTerms(
            venue="benchmark",
            requirement="initial",
            domain_size=n,
            digit_bits=digit_bits,
            helper_group=7,
            classes=(spec,),
            **more,
        )

    candidates = [BlockTemplate(t.classes[0], rules, t.options, n) for t in map(terms, (1, 2, 4, 8, 16, 32, 64))]
    block = choose_block(candidates).spec.block
    draft = VenueStatement.of(snapshot, terms(block))
    sums = {
        "net": tuple(map(str, net_positions(draft, [books]))),
        "totals": tuple(map(str, held_totals(draft, [books]))),
    }
    return VenueStatement.of(snapshot, terms(block, **sums)), books


def row(accounts: int, n: int, digit_bits: int) -> list[Any]:
    """One row; run in a child process."""
    facts = measure(accounts, n, digit_bits)
    return [
        accounts,
        n,
        f"2^{digit_bits}",
        facts["witness"] / accounts,
        facts["proof"] / accounts,
        facts["proof_cpu"] / accounts,
        facts["single_cpu"] / (facts["proof_cpu"] / accounts),
        facts["bytes"] / accounts,
        facts["verify"] / accounts,
        facts["batch_cpu"] / (facts["verify_cpu"] / accounts),
        facts["proof"],
        facts["verify"],
        facts["memory"],
    ]


class Stages:
    """The stages of a long run, each kept in a folder when it is done: a run that was stopped goes on after the last.

    Without a folder nothing is kept. A folder of another run is refused.
    """

    def __init__(self, folder: Path | None, run: dict[str, Any]) -> None:
        self._folder, self._facts = folder, {"run": run}
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / FACTS).exists():
            self._facts = json.loads((folder / FACTS).read_text())
        if self._facts["run"] != run:
            raise SystemExit(f"{folder} is of another run: {self._facts['run']}")

    def stage(self, name: str, work: Callable[[], tuple[dict[str, Any], bytes]]) -> tuple[dict[str, Any], bytes]:
        """What a stage found, and its file: from the folder where it is there."""
        if self._folder is None:
            return work()
        data = self._folder / f"{name}.bin"
        if name not in self._facts:
            sys.stderr.write(f"{name} ...\n")
            found, content = work()
            data.write_bytes(content)
            self._facts[name] = found
            written = self._folder / f"{FACTS}.new"
            written.write_text(json.dumps(self._facts, indent=1) + "\n")
            written.replace(self._folder / FACTS)
        return self._facts[name], data.read_bytes()


def measure(accounts: int, n: int, digit_bits: int, folder: Path | None = None) -> dict[str, Any]:
    """Single proofs before and after, so that whatever slows the machine slows both; then the venue's.

    With a folder each stage is kept there when it is done.
    """
    case = Case(1000, SCENARIOS, n=n)
    snapshot = snapshot_of(case)
    statement, books = venue_of(snapshot, accounts, digit_bits)
    stages = Stages(folder, {"accounts": accounts, "rows": n, "digit_bits": digit_bits})

    def single() -> tuple[dict[str, Any], bytes]:
        return dict(_singles(Case(1023, SCENARIOS))), b""

    def proved() -> tuple[dict[str, Any], bytes]:
        small, few = venue_of(snapshot, 64, digit_bits)
        _prove(small, few, 1)  # kernels and tables are loaded
        (data, witness, profile), proof, cpu = _timed(lambda: _prove(statement, books, default_threads()))
        spent = {name: round(seconds, 3) for name, seconds in profile.stages}
        found = {"witness": witness, "proof": proof, "proof_cpu": cpu, "stages": spent, "memory": peak_bytes()}
        return found, data

    def verified() -> tuple[dict[str, Any], bytes]:
        _, verify, cpu = _timed(lambda: verify_venue(statement, data))
        return {"verify": verify, "verify_cpu": cpu}, b""

    before, _ = stages.stage("single-before", single)
    proof, data = stages.stage("proof", proved)
    verify, _ = stages.stage("verification", verified)
    after, _ = stages.stage("single-after", single)
    return {
        "accounts": accounts,
        "rows": n,
        "digit_bits": digit_bits,
        "block": statement.templates[0].spec.block,
        "sets": len(statement.sets),
        "bytes": len(data),
        "threads": default_threads(),
        **proof,
        **verify,
        **{name: min(value, after[name]) for name, value in before.items()},
    }


def dense_venue(
    snapshot: Snapshot, lots: BookLots, openings: Sequence[Opening], group: int, threads: int = 1
) -> tuple[VenueStatement, Callable[[Profile | None], bytes], Callable[[VenueStatement, bytes], object]]:
    """A statement of large accounts with one book each, its prover (witness included) and its verifier."""
    commitments = [opening.commitment() for opening in openings]
    terms = VenueTerms(
        venue="benchmark",
        requirement="initial",
        domain_size=snapshot.layout.domain_size,
        digit_bits=snapshot.layout.digit_bits,
        helper_group=group,
        classes=(),
        dense=tuple(DenseAccount(commitment=c.digest().hex()) for c in commitments),
    )
    statement = VenueStatement.of(snapshot, terms, commitments=commitments)
    hidden = [(lots, total_blinders([opening])) for opening in openings]

    def prove_all(profile: Profile | None = None) -> bytes:
        profile = profile or Profile()
        with profile.stage("witness"):
            witness = build_witness(statement, [], [], hidden)
        return prove_venue(statement, witness, threads=threads, profile=profile)[0]

    return statement, prove_all, verify_venue


def block_venue(
    accounts: int, n: int, digit_bits: int, threads: int = 1
) -> tuple[VenueStatement, Callable[[], bytes], Callable[[VenueStatement, bytes], object]]:
    """A statement of small accounts, its prover (witness, tags, commitments, self-check) and its verifier."""
    snapshot = snapshot_of(Case(1000, SCENARIOS, n=n))
    statement, books = venue_of(snapshot, accounts, digit_bits)
    return statement, lambda: _prove(statement, books, threads)[0], verify_venue


def measure_dense(accounts: int, group: int = 7, scenarios: int = 64) -> dict[str, Any]:
    """Dense accounts of 1,023 instruments in one proof, beside single proofs of the same books."""
    case = Case(1023, scenarios)
    snapshot, lots = snapshot_of(case), book_of(case)
    openings = [commit_book(snapshot, lots, alias=f"account {i}") for i in range(accounts)]
    statement, prove_all, check = dense_venue(snapshot, lots, openings, group, default_threads())
    singles = _singles(case)
    profile = Profile()
    data, proof, proof_cpu = _timed(lambda: prove_all(profile))
    _, verify, verify_cpu = _timed(lambda: check(statement, data))
    return {
        "accounts": accounts,
        "helper_group": group,
        "proof": proof,
        "proof_cpu": proof_cpu,
        "verify": verify,
        "verify_cpu": verify_cpu,
        "bytes_each": len(data) / accounts,
        "stages": {name: round(seconds, 3) for name, seconds in profile.stages},
        "ratio_proof_cpu": proof_cpu / accounts / singles["single_cpu"],
        "ratio_verify_cpu": verify_cpu / accounts / singles["batch_cpu"],
        **singles,
    }


def _prove(statement: VenueStatement, books: ClassBooks, threads: int) -> tuple[bytes, float, Profile]:
    def build() -> Any:
        tags = [[tag_of(statement.digest, name, bytes(16)) for name in books.names]]
        return build_witness(statement, [books], tags)

    witness, seconds = once(build)
    profile = Profile()
    data, _ = prove_venue(statement, witness, threads=threads, profile=profile)
    return data, seconds, profile


def _singles(case: Case) -> dict[str, float]:
    """Wall and CPU seconds of one proof, and of verifying one in a batch."""
    snapshot, lots = snapshot_of(case), book_of(case)
    items = []
    spent, cpu = 0.0, 0.0
    for i in range(SINGLE + 1):
        opening = commit_book(snapshot, lots)
        statement = Statement.of(snapshot, [opening.commitment()], Claim(), context=b"%d" % i)
        proof, wall, used = _timed(lambda s=statement, o=opening: prove(s, lots, [o]))
        items.append((statement, proof))
        spent, cpu = spent + (wall if i else 0), cpu + (used if i else 0)  # the first one warms up
    batch = items * 4
    verify_batch(items)
    _, wall, used = _timed(lambda: verify_batch(batch))
    return {
        "single": spent / SINGLE,
        "single_cpu": cpu / SINGLE,
        "batch": wall / len(batch),
        "batch_cpu": used / len(batch),
    }


def _timed(function: Any) -> tuple[Any, float, float]:
    import time  # noqa: PLC0415

    cpu = time.process_time()
    result, wall = once(function)
    return result, wall, time.process_time() - cpu


def soundness(statement: VenueStatement) -> dict[str, float]:
    """The error terms of docs/protocol-venue.md section 5, as log2."""
    n, N = statement.n, statement.rules.instruments
    templates = [statement.templates[x.kind] for x in statement.sets]
    cells = n * sum(t.digit_columns for t in templates)
    legs = n * sum(t.row_legs for t in templates)
    largest = max(
        (x.slot_exponent + t.T * t.spec.slots for x, t in zip(statement.sets, templates, strict=True)), default=1
    )
    equations = statement.exponents.weighted
    terms = {
        "openings": len(statement.opened) + 2,
        "identity": (statement.g + 1) * 4095,
        "rows": n * (len(statement.helpers) + 1),
        "poles": cells + legs,
        "equations": equations,
        "range": cells + (1 << statement.k),
        "pairs": (legs + N) ** 2,
        "lookup": legs + N + 3,
        "accounts": (3 * N + equations) * largest,
    }
    return {name: math.log2(x) - math.log2(r) for name, x in {**terms, "all": sum(terms.values())}.items()}


def main() -> int:
    """Measure one size, once, and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.venue", description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=2048, choices=(256, 512, 1024, 2048))
    parser.add_argument("--digit-bits", type=int, default=11)
    parser.add_argument("--dense", type=int, metavar="M", help="M dense accounts of 1,023 x 64 instead")
    parser.add_argument("--helper-group", type=int, default=7, help="of dense accounts")
    parser.add_argument("--folder", type=Path, help="keep each stage here; a run that was stopped goes on from it")
    parser.add_argument("--soundness", action="store_true", help="only the error terms")
    options = parser.parse_args()
    if options.soundness:
        snapshot = snapshot_of(Case(1000, SCENARIOS, n=options.rows))
        statement, _ = venue_of(snapshot, options.accounts, options.digit_bits)
        found: dict[str, Any] = soundness(statement)
    elif options.dense:
        found = measure_dense(options.dense, options.helper_group)
    else:
        found = measure(options.accounts, options.rows, options.digit_bits, options.folder)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
