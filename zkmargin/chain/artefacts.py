"""The compiled contracts that ship with the package, pinned by digest.

``data/contracts.json`` holds, for each contract of ``contracts/src``, ABI, creation code, runtime code and metadata,
and the compiler and settings that made them; ``data/standard-input.json`` is the compiler's whole input, which block
explorers take to verify a source. ``make artefacts`` writes both, ``make contracts`` compiles again and compares bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from zkmargin.formats import InputError, SetupError, keccak256, read_bytes

DATA = Path(__file__).with_name("data")
CONTRACTS_FILE = DATA / "contracts.json"
INPUT_FILE = DATA / "standard-input.json"
CONTRACTS_DIGEST = bytes.fromhex("6e499fe485735c9f95b81ed1c3ae1b387c101048f9c0c9dc4d26882b8c19199b")
_MAX_BYTES = 1 << 22


@dataclass(frozen=True)
class Artefact:
    """One compiled contract.

    Attributes:
        name: of the contract.
        abi: as solc writes it.
        creation: code that a deployment runs; the constructor's arguments follow it.
        runtime: code that is left, with zeros where immutables go.
        metadata: solc's metadata, JSON.
    """

    name: str
    abi: tuple[dict[str, Any], ...]
    creation: bytes
    runtime: bytes
    metadata: str


@cache
def _document() -> dict[str, Any]:
    data = shipped(CONTRACTS_FILE, CONTRACTS_DIGEST, "the compiled contracts", max_bytes=_MAX_BYTES)
    document: dict[str, Any] = json.loads(data)
    return document


def shipped(path: Path, digest: bytes, what: str, *, max_bytes: int) -> bytes:
    """A file of this package, pinned by its keccak-256. Raises SetupError for a damaged installation."""
    hint = "install zkmargin again from a trusted source"
    try:
        data = read_bytes(str(path), max_bytes=max_bytes)
    except InputError as error:
        raise SetupError(f"{what}: {error.message}", hint=hint) from None
    if keccak256(data) != digest:
        raise SetupError(f"{what}: damaged, the digest is not the pinned one", hint=hint)
    return data


def compiler() -> tuple[str, dict[str, Any]]:
    """The compiler's version and settings. Raises SetupError for a damaged installation."""
    document = _document()
    return str(document["compiler"]), dict(document["settings"])


def names() -> tuple[str, ...]:
    """The contracts that there is code of."""
    return tuple(_document()["contracts"])


def artefact(name: str) -> Artefact:
    """A contract by its name.

    Raises:
        SetupError: a damaged installation.
        KeyError: no such contract.
    """
    made = _document()["contracts"][name]
    creation, runtime = bytes.fromhex(made["creation"]), bytes.fromhex(made["runtime"])
    return Artefact(name, tuple(made["abi"]), creation, runtime, str(made["metadata"]))
