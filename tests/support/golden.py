"""The golden documents, for tests that go over all of them."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from support.typed import Json
from zkmargin.formats import Document, InputError
from zkmargin.verifier import Statement
from zkmargin.verifier.proof import Proof, decode_proof

TESTS = Path(__file__).parents[1]
#: Documents of version 1, and where those of version 2 are from there.
DOCUMENTS = TESTS / "data" / "golden" / "v1" / "documents"
SECOND = "../../v2/documents/"


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


def value_of(name: str) -> Json:
    """The JSON value of a golden document."""
    return json.loads((DOCUMENTS / name).read_bytes())


def refusal(kind: type[Document], value: Json, name: str) -> str:
    """The one line that a changed document is refused with."""
    with pytest.raises(InputError) as caught:
        kind.parse(value if isinstance(value, (str, bytes)) else json.dumps(value), file=name)
    message = caught.value.message
    assert message.startswith(name)
    assert "\n" not in message
    return message


def replaced(value: Json, path: tuple[str | int, ...], new: Json) -> Json:
    """The document with one value replaced."""
    if not path:
        return new
    copy: Json = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy
