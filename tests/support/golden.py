"""The golden documents, for tests that go over all of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from zkmargin.formats import Document
from zkmargin.verifier import Statement
from zkmargin.verifier.proof import Proof, decode_proof

TESTS = Path(__file__).parents[1]


def golden_module() -> ModuleType:
    """``tests/golden_documents.py``."""
    return import_module("golden_documents")


def kind_of(name: str) -> type[Document] | None:
    """The class of a file ``NAME.KIND.json``; None for what is no document."""
    kind: type[Document] | None = golden_module().kind_of(name)
    return kind


def golden_files() -> list[Path]:
    """Every golden document of every version."""
    found = (TESTS / "data" / "golden").glob("v*/documents/*.*.json")
    return sorted(path for path in found if kind_of(path.name) is not None)


def read(path: Path) -> Document:
    """A golden document."""
    kind = kind_of(path.name)
    assert kind is not None
    return kind.parse(path.read_bytes())


def decoded(statement: Statement, data: bytes) -> Proof:
    """The elements of a proof of a statement."""
    return decode_proof(data, statement.circuit.shape, statement.srs.digest)
