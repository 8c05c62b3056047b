"""Golden documents of universes: read and written as they are, built again bit for bit."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from zkmargin.accounts.slots import slot_maps
from zkmargin.circuits import build_circuit
from zkmargin.engine.claims import Claim
from zkmargin.engine.publishing.snapshots import check_snapshot
from zkmargin.formats import keccak256

FOLDER = Path(__file__).parent / "data" / "golden" / "v2" / "universe"
#: keccak-256 of every file, name by name. A change here is a change of a format version: there is none.
PINNED = "00acd527a543ed4c98de4553fd32e28b0dcf53c59c56b6991db9707be9e79c9e"


@pytest.fixture(scope="module")
def made() -> ModuleType:
    return import_module("golden_universe")


def test_the_golden_files_are_the_pinned_ones_and_are_made_again(made: ModuleType) -> None:
    listing = "".join(f"{keccak256(path.read_bytes()).hex()}  {path.name}\n" for path in sorted(FOLDER.iterdir()))
    assert keccak256(listing.encode()).hex() == PINNED, listing
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == made.make_all()


def test_they_are_read_and_written_as_they_are_and_belong_together(made: ModuleType) -> None:
    digests = json.loads((FOLDER / "digests.json").read_bytes())
    read = {}
    for path in sorted(FOLDER.glob("*.*.json")):
        document = made.KINDS[path.name.split(".")[-2]].parse(path.read_bytes())
        assert document.to_bytes() == path.read_bytes()
        assert {"format": document.format, "digest": document.digest().hex()} == digests["documents"][path.name]
        read[path.name] = document
    snapshot, following = read["later.snapshot.json"], read["following.universe.json"]
    snapshot.check_loaded()
    following.follows(read["founding.universe.json"])
    check_snapshot(snapshot, read["later.market.json"], universe=following)
    for role, chain in digests["slot maps"].items():
        assert [x.hex() for x in slot_maps(snapshot, role)] == chain
    assert build_circuit(snapshot, Claim()).digest.hex() == digests["circuit"]
    assert {quote.method for quote in snapshot.carried} == {"interpolated", "stressed"}
    assert len(snapshot.retired_slots("positions")) == 6
