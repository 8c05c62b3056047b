"""Cases of the chain protocol, shared by its tests: small snapshots in 1024 rows, their tables, honest proofs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import zkmargin.prover.chain
from tests.lab import draws, part, snapshot
from zkmargin.accounts.commitments import Commitment, commit_vector
from zkmargin.accounts.slots import slot_map_digest
from zkmargin.circuits.books import margin_witness
from zkmargin.circuits.chain import ChainPrices
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover.chain import commit_rows_fast
from zkmargin.verifier.chain import ChainProof, ChainStatement, Table, make_table

SERIES = bytes(range(32))


def chain_snapshot(
    *, groups: int = 2, scenarios: int = 6, count: int = 7, debts: Any = (True, False), **options: Any
) -> Snapshot:
    """``count`` instruments over some groups, ``scenarios`` each; as many assets as ``debts``."""
    of = sorted(i % groups for i in range(count))
    risk = [[((5 * i + 3 * s + i * s) % 23) - 9 or 1 for s in range(scenarios)] for i in range(count)]
    made: Snapshot = snapshot(
        groups=of,
        risk=risk,
        charges=options.pop("charges", [(3 * i) % 5 for i in range(count)]),
        marks=options.pop("marks", [i % 4 for i in range(count)]),
        assets=[(9 - j, 10 + j, 50, debt) for j, debt in enumerate(debts)],
        n=1024,
        bits=30,
        **options,
    )
    return made


@dataclass(frozen=True)
class ChainCase:
    """A statement and what its prover knows."""

    snapshot: Snapshot
    statement: ChainStatement
    witness: Witness
    blinders: dict[str, int]
    lots: BookLots


def chain_case(
    given: Snapshot,
    positions: Any,
    collateral: Any,
    *,
    claim: Claim | None = None,
    context: bytes = b"",
    table: Table | None = None,
) -> ChainCase:
    """The honest case of a book."""
    claim, srs = claim or Claim(1, 1, "initial"), embedded()
    draw = draws("chain book")
    blinders = {f"{role}[0]": draw() for role in ("positions", "collateral")}
    lots = BookLots(tuple(positions), tuple(collateral))
    parts = []
    for role in ("positions", "collateral"):
        points = commit_vector(srs, 1024, getattr(lots, role), [blinders[f"{role}[0]"]])
        made = part(role, points, bits=50)
        parts.append(made.model_copy(update={"slot_map": slot_map_digest(given, role).hex()}))
    document = Commitment(srs=srs.digest.hex(), domain_size=1024, parts=tuple(parts))
    table = table or table_of(given, claim.requirement)
    statement = ChainStatement.of(given, [document], claim, table, context=context)
    return ChainCase(given, statement, margin_witness(given, claim, lots), blinders, lots)


def table_of(given: Snapshot, requirement: str = "initial", *, sequence: int = 7) -> Table:
    """The table of a snapshot, from the fast prover's commitments."""
    return make_table(
        ChainPrices.of(given, requirement),
        srs=embedded(),
        snapshot_digest=given.digest(),
        requirement=requirement,
        series=SERIES,
        sequence=sequence,
        commit=commit_rows_fast,
    )


@cache
def standard(groups: int = 2) -> ChainCase:
    """The usual small case: two groups of six scenarios, two assets of which one may be owed."""
    given = chain_snapshot(groups=groups)
    return chain_case(given, [3, -2, 0, 5, -1, 2, -4], [900_000, 30], claim=Claim(5, 4, "initial"))


def prove(case: ChainCase, seed: Any = "chain proof", **options: Any) -> ChainProof:
    """An honest proof by the product's prover."""
    return zkmargin.prover.chain.prove_chain_argument(
        case.statement, case.witness, case.blinders, draws(seed), **options
    )
