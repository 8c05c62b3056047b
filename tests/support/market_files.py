"""Files of markets as people have them, made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import zkmargin
from support.typed import Json, JsonObject, Keywords, Passed
from zkmargin.engine.importers import Imported, Options, import_file
from zkmargin.engine.snapshot import Snapshot

DATA = Path(zkmargin.__file__).parent / "cli" / "samples"
START = 1_790_000_000_000  # 2026-09-21T14:13:20Z
CALL, PUT = "BTC-25DEC26-90000-C", "BTC-25DEC26-80000-P"


def ticker(name: str, **fields: Passed) -> JsonObject:
    """A Deribit ticker, invented numbers."""
    row: Keywords = {
        "timestamp": START,
        "state": "open",
        "instrument_name": name,
        "index_price": 85_000.5,
        "mark_price": 0.05,
        "mark_iv": 50.25,
        "underlying_price": 86_000.25,
        "underlying_index": "BTC-25DEC26",
        "interest_rate": 0.0,
    }
    if name.endswith(("PERPETUAL", "25DEC26")):
        row = {k: v for k, v in row.items() if k not in ("mark_iv", "underlying_price", "underlying_index")}
        row["mark_price"] = 85_010.5
    return row | fields


def written(folder: Path, value: Json, name: str = "f.json") -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return path


def read(path: Path | list[Path], format_name: str = "auto", **options: Passed) -> Imported:
    return import_file(path if isinstance(path, Path) else list(path), format_name, Options(**options))


def ids(found: Imported) -> list[str]:
    return [instrument.id for instrument in found.document.instruments]


def marks(snapshot: Snapshot) -> dict[str, float]:
    return {
        slot.id: mark / 1e9 for slot, mark in zip(snapshot.instruments, snapshot.marks.values.tolist(), strict=True)
    }
