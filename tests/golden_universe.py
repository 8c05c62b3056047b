"""Golden documents of universes: a market with something settled, two editions, a snapshot with carried quotes."""

from __future__ import annotations

import json
from pathlib import Path

from support.typed import JsonObject

from zkmargin.accounts.slots import slot_maps
from zkmargin.circuits import build_circuit
from zkmargin.engine.claims import Claim
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Capacity, Universe
from zkmargin.formats import Document

FOLDER = Path(__file__).parent / "data" / "golden" / "v2" / "universe"
KINDS: dict[str, type[Document]] = {"market": Market, "universe": Universe, "snapshot": Snapshot}
NEAR, FAR, NEXT = "2026-03-03T08:00:00Z", "2026-03-27T08:00:00Z", "2026-03-10T08:00:00Z"


def market(time: str, listed: tuple[str, ...], gone: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> Market:
    """Calls and puts of some expiries; those that are gone have settled at 90,150."""
    instruments: list[JsonObject] = [{"id": "BTC-PERP", "kind": "perpetual", "underlying": "BTC", "lot": "0.1"}]
    for expiry in (*listed, *gone):
        for strike in (80_000, 90_000, 100_000):
            for right in ("call", "put"):
                own: JsonObject = {
                    "id": f"BTC-{expiry[:10]}-{strike}-{right[0].upper()}",
                    "kind": "option",
                    "underlying": "BTC",
                    "expiry": expiry,
                    "strike": str(strike),
                    "option_type": right,
                    "lot": "0.1",
                }
                gain = 90_150 - strike if right == "call" else strike - 90_150
                priced = {"implied_vol": "0.5"} if expiry in listed else {"settlement_value": str(max(gain, 0))}
                instruments.append(own | priced)
    return Market.parse(
        json.dumps(
            {
                "format": "zkmargin/market/v2",
                "time": time,
                "source": "golden",
                "underlyings": [{"name": "BTC", "index_price": "90150"}],
                "forwards": [{"underlying": "BTC", "expiry": e, "price": "90250", "rate": "0.02"} for e in listed],
                "instruments": [i for i in instruments if i["id"] not in without],
                "assets": [{"name": "USDC", "price": "1", "lot": "0.01"}],
            }
        )
    )


def policy() -> Policy:
    """The default policy over 16 rows."""
    data = json.loads(load_policy("default").to_bytes())
    data["layout"] |= {"domain_size": 16, "position_bits": 20, "collateral_bits": 44}
    return Policy.parse(json.dumps(data))


def make_all() -> dict[str, bytes]:
    """Every file of the folder, by name."""
    first = market("2026-03-02T09:00:00Z", (NEAR, FAR))
    founding = Universe.create(
        first, "golden", capacity=Capacity(positions=40, collateral=4), delist_after_seconds=3600
    )
    wing = tuple(f"BTC-{FAR[:10]}-100000-{right}" for right in "CP")
    later = market("2026-03-03T10:00:00Z", (NEXT, FAR), (NEAR,), (f"BTC-{FAR[:10]}-90000-C", *wing))
    following = founding.updated(later)
    snapshot = build_snapshot(later, policy(), universe=following, earlier=[])
    documents: dict[str, Document] = {
        "first.market.json": first,
        "later.market.json": later,
        "founding.universe.json": founding,
        "following.universe.json": following,
        "later.snapshot.json": snapshot,
    }
    digests = {
        "documents": {name: {"format": d.format, "digest": d.digest().hex()} for name, d in sorted(documents.items())},
        "slot maps": {role: [x.hex() for x in slot_maps(snapshot, role)] for role in ("positions", "collateral")},
        "circuit": build_circuit(snapshot, Claim()).digest.hex(),
    }
    files = {name: document.to_bytes() for name, document in documents.items()}
    return files | {"digests.json": (json.dumps(digests, indent=1) + "\n").encode()}
