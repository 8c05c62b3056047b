"""Tables of snapshots for contracts: made, and made again to compare."""

from __future__ import annotations

from zkmargin.circuits.chain import ChainPrices
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover.chain_tables import commit_rows_fast
from zkmargin.verifier.chain import Table, check_table, make_table


def build_table(snapshot: Snapshot, requirement: str, *, series: bytes, sequence: int, srs: SRS | None = None) -> Table:
    """The table of a snapshot for a requirement. Raises InputError for what the chain layout has no room for."""
    return make_table(
        ChainPrices.of(snapshot, requirement),
        srs=srs or embedded(),
        snapshot_digest=snapshot.digest(),
        requirement=requirement,
        series=series,
        sequence=sequence,
        commit=commit_rows_fast,
    )


def recompute_table(snapshot: Snapshot, table: Table, *, srs: SRS | None = None) -> None:
    """Make a table again and compare it. Raises InputError naming the first field or point that differs."""
    prices = ChainPrices.of(snapshot, table.requirement)
    check_table(table, prices, snapshot_digest=snapshot.digest(), srs=srs or embedded(), commit=commit_rows_fast)
