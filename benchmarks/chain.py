"""The chain protocol beside today's argument: proofs of one statement in turns, and the table of its snapshot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.measure import Column, Section, alternating, in_child
from benchmarks.synthetic import Case

#: 50 bits a balance: what the chain layout has room for.
CASES = tuple(Case(1023, scenarios, collateral_bits=50) for scenarios in (16, 35, 63))

COLUMNS = (
    Column("slots x scenarios"),
    Column("table", "s"),
    Column("proof, margin", "s"),
    Column("proof, chain", "s"),
    Column("chain to margin", "x"),
    Column("verify, chain", "s"),
    Column("proof size, chain", "B"),
)


def table(*, quick: bool) -> Section:
    """One row a number of scenarios."""
    section = Section("Proofs for contracts", COLUMNS)
    for case in CASES[:1] if quick else CASES:
        s = in_child("chain", "stages", case=asdict(case), runs=1 if quick else 9)
        ratio = s["chain"] / s["margin"]
        section.rows.append([str(case), s["table"], s["margin"], s["chain"], ratio, s["verify"], s["bytes"]])
    section.notes = [
        "Both proofs are of one statement, made in turns in one process, self-verification included; one risk group.",
        "Gas is in docs/chain.md: contracts/gas.json holds it.",
    ]
    return section


def stages(case: dict[str, Any], runs: int) -> dict[str, float]:
    """Medians of one case, in seconds and bytes. In a child process."""
    from benchmarks.synthetic import book_of, snapshot_of  # noqa: PLC0415
    from zkmargin.accounts import commit_book  # noqa: PLC0415
    from zkmargin.app.tables import build_table  # noqa: PLC0415
    from zkmargin.engine.claims import Claim  # noqa: PLC0415
    from zkmargin.prover import prove  # noqa: PLC0415
    from zkmargin.prover.prove_chain import prove_chain  # noqa: PLC0415
    from zkmargin.verifier import Statement  # noqa: PLC0415
    from zkmargin.verifier.chain import ChainStatement, verify_chain  # noqa: PLC0415

    size = Case(**case)
    snapshot, lots, claim = snapshot_of(size), book_of(size), Claim()
    opening = commit_book(snapshot, lots)
    commitments = [opening.commitment()]
    made = build_table(snapshot, claim.requirement, series=bytes(32), sequence=0)
    statement = Statement.of(snapshot, commitments, claim)
    chain = ChainStatement.of(snapshot, commitments, claim, made)
    proof = prove_chain(chain, lots, [opening])
    times = alternating(
        {
            "margin": lambda: prove(statement, lots, [opening]),
            "chain": lambda: prove_chain(chain, lots, [opening]),
            "verify": lambda: verify_chain(chain, proof),
            "table": lambda: build_table(snapshot, claim.requirement, series=bytes(32), sequence=0),
        },
        runs,
    )
    return {**{name: timing.wall for name, timing in times.items()}, "bytes": len(proof)}
