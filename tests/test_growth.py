"""Nothing is quadratic in a document: whatever field is large, of every kind, the work on it grows with its size.

Calls of functions are counted, no times. What C code does in one call is seen by nobody: so scans inside of loops are
listed, each with what bounds it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.growth import calls, containers, planted, scans
from support.typed import Json

import zkmargin
from zkmargin.engine.policy import Policy
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, IntArray
from zkmargin.formats.documents import Document

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "data" / "golden"
#: Where documents are defined beside those that ``zkmargin`` itself names.
ROOMS = (
    "app.batches",
    "app.evidence",
    "app.signers",
    "app.venue_notes",
    "chain.documents",
    "client.documents",
    "client.orders",
    "risk.auction",
    "risk.costs",
    "risk.rules",
    "verifier.chain.table",
    "verifier.venue.customers",
    "verifier.venue.log",
    "verifier.venue.terms",
)


def kinds(kind: type[Document] = Document) -> Iterator[type[Document]]:
    """Every kind of document that has a format."""
    for below in kind.__subclasses__():
        own = getattr(sys.modules.get(below.__module__), below.__name__, None) is below  # none of a docstring's example
        if own and "FORMAT" in vars(below) and below.__module__.startswith("zkmargin."):
            yield below
        yield from kinds(below)


def largest() -> dict[type[Document], Path]:
    """Of each kind the largest golden file; policies and snapshots are in test_budget.py, by the units they draw."""
    for room in ROOMS:
        importlib.import_module(f"zkmargin.{room}")
    for name in zkmargin.__all__:
        getattr(zkmargin, name)
    of_format = {form: kind for kind in kinds() for form in (kind.FORMAT, *kind.READS)}
    found: dict[type[Document], Path] = {}
    for path in sorted(GOLDEN.rglob("*.json"), key=lambda path: path.stat().st_size):
        document = json.loads(path.read_bytes())
        kind = of_format.get(str(document.get("format"))) if isinstance(document, dict) else None
        if kind is not None and kind not in (Policy, Snapshot):
            found[kind] = path
    return found


LARGEST = largest()
SMALL, LARGE = 1_500, 6_000


def read(kind: type[Document], text: bytes) -> None:
    """Read a document; whether it is refused is of no matter here."""
    with contextlib.suppress(InputError):
        kind.parse(text).check_loaded()


def cost(kind: type[Document], text: bytes) -> int:
    """Calls that reading it takes."""
    return calls(lambda: read(kind, text))


@pytest.mark.parametrize("kind", LARGEST, ids=lambda kind: kind.__name__)
def test_reading_grows_with_the_size_of_a_document_whatever_field_is_large(kind: type[Document]) -> None:
    """The planted items are copies of the last one: where names must differ, that is the error path."""
    text = LARGEST[kind].read_bytes()
    document: Json = json.loads(text)
    read(kind, text)  # what is made once
    base, found = cost(kind, text), []
    for path in containers(document):
        small, large = (cost(kind, planted(document, path, size)) for size in (SMALL, LARGE))
        # a quadratic step takes sixteen times the calls; what is small may be refused before all is read
        if large > (base + 8 * (small - base) + 2_000 if small > base else 8 * small):
            found.append((path, base, small, large))
    assert found == []


def test_every_kind_of_document_is_there() -> None:
    missing = {kind.__name__ for kind in kinds()} - {kind.__name__ for kind in LARGEST}
    assert missing == {"Policy", "Snapshot"}


def test_what_is_quadratic_is_seen() -> None:
    def work(size: int) -> None:
        for i in range(size):
            for _ in range(size):
                abs(i)

    assert calls(lambda: work(40)) > 8 * calls(lambda: work(10))
    assert list(scans("for n in names:\n    if names.count(n) > 1: pass\nx = [names.index(n) for n in names]")) == [
        "names.count(n)",
        "names.index(n)",
    ]
    assert list(scans("names.count(n)")) == []


def test_the_last_of_many_names_is_there_twice() -> None:
    """The name is found in one pass (a scan for each name is refused below)."""
    arrays = RiskArrays.parse(LARGEST[RiskArrays].read_bytes())
    names, last = [f"X{i}" for i in range(300)], arrays.instruments[-1]
    count = len(names) + 1
    with pytest.raises(InputError, match="a name appears twice") as caught:
        arrays.replaced(
            instruments=tuple(last.replaced(id=name) for name in (*names, names[-1])),
            gains=IntArray(np.repeat(arrays.gains.values[-1:], count, axis=0)),
            deltas=IntArray(np.repeat(arrays.deltas.values[-1:], count)),
        )
    assert caught.value.field == "instruments X299"


#: What is looked through inside a loop, and why that is little.
BOUNDED = {
    "engine/components/basis_contingency.py: losses.index(max(losses))": "scenarios of one group",
    "engine/margin.py: losses.index(largest)": "scenarios of one group",
    "engine/importers/tickers.py: header.count(column)": "columns that the importer names: a handful",
    "engine/importers/tickers.py: header.index(column)": "columns that the importer names: a handful",
    "engine/publishing/span_arrays.py: moves.index(point.price)": "sixteen scenarios",
    "verifier/attest/accept.py: issuers.count(issuer)": "lists of revocations: at most 1024",
    "circuits/chain/columns.py: layout.index(g, s)": "arithmetic, no search",
    "circuits/chain/columns.py: layout.index(g, layout.scenarios[g] + INDEX_OF[mode])": "arithmetic, no search",
    "circuits/chain/weights.py: self.index(layout, row.group, layout.scenarios[row.group] + row.offset)": "arithmetic",
    "circuits/chain/weights.py: self.index(layout, g, s)": "arithmetic, no search",
    "circuits/venue/templates.py: made.index(f'held {j}')": "integers of one account's template",
    "circuits/venue/templates.py: made.index(f'owed {j}')": "integers of one account's template",
    "prover/_kernels/fixed_base.py: loads.index(min(loads))": "threads",
    "prover/public.py: SIDES.index(kind)": "three sides",
    "prover/reference.py: cells.count(i)": "the reference is read, not run on large books",
    "prover/venue/blocks.py: integers.index(name)": "integers of one account's template",
    "zkmargin/app/venue_accounts.py: counters[section].count(name, quantity)": "counts one, no search",
    "zkmargin/app/venue_accounts.py: line.count(b'\"')": "each line once",
    "zkmargin/app/venue_notes.py: mine.index(name)": "once: it returns",
    "zkmargin/formats/canonical.py: text.count('\\n', 0, match.start())": "once: it raises or returns",
}


def test_no_sequence_is_looked_through_for_each_of_its_items() -> None:
    rooms = ("engine", "verifier", "circuits", "prover")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    files += [
        path for path in (ROOT / "zkmargin").rglob("*.py") if path.relative_to(ROOT / "zkmargin").parts[0] not in rooms
    ]
    assert len(files) > 200
    found = {f"{path.relative_to(ROOT)}: {scan}" for path in files for scan in scans(path.read_text("utf-8"))}
    assert found == set(BOUNDED)
