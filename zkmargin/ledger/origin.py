"""What a snapshot was built from, as a ledger keeps it: its market or arrays, then a universe, then earlier markets.

A snapshot names all of them by their digests, so nothing else can be put in their place; an audit builds it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import Document, InputError

#: Documents that a snapshot can come from.
Source = Market | RiskArrays | Universe
KINDS: tuple[type[Source], ...] = (Market, RiskArrays, Universe)


def kind_of(form: object) -> type[Source]:
    """The class of a format; a market's for what is none of these, whose parser says so."""
    return next((kind for kind in KINDS if form in (kind.FORMAT, *kind.READS)), Market)


def check_named(snapshot: Snapshot, sources: Sequence[Document]) -> None:
    """Raises InputError: a document that the snapshot does not name, or another one where its market belongs."""
    names = {snapshot.market_digest, snapshot.universe, *(quote.source for quote in snapshot.carried)}
    for place, document in enumerate(sources):
        digest = document.digest().hex()
        if (place == 0 and digest != snapshot.market_digest) or digest not in names or not isinstance(document, KINDS):
            raise InputError("the snapshot was not built from it", field=f"{document.format} {digest[:16]}")


def rebuild(snapshot: Snapshot, sources: Sequence[Document]) -> None:
    """Build a snapshot again from its sources and compare, bit for bit. Raises InputError."""
    from zkmargin.engine.publishing.snapshots import check_snapshot, check_snapshot_of_arrays  # noqa: PLC0415 - prices

    check_named(snapshot, sources)
    first = sources[0]
    universes = [document for document in sources if isinstance(document, Universe)]
    earlier = [document for document in sources[1:] if isinstance(document, Market)]
    if isinstance(first, RiskArrays):
        check_snapshot_of_arrays(snapshot, first)
    elif isinstance(first, Market):
        check_snapshot(snapshot, first, universe=universes[0] if universes else None, earlier=earlier)
