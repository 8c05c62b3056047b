"""Calls, constructors and errors of the contracts, by their ABI. Needs the extra ``zkmargin[chain]`` (eth-abi)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from zkmargin.chain.artefacts import artefact, names
from zkmargin.formats import InputError, SetupError, keccak256

SELECTOR_BYTES = 4
#: Solidity's own errors.
_STANDARD = {"Error": ["string"], "Panic": ["uint256"]}


def encode_constructor(contract: str, arguments: Sequence[Any]) -> bytes:
    """The data of a transaction that deploys a contract: creation code and arguments."""
    found = artefact(contract)
    entry: dict[str, Any] = next((e for e in found.abi if e["type"] == "constructor"), {"inputs": []})
    return found.creation + bytes(_codec().encode([_type(i) for i in entry["inputs"]], list(arguments)))


def encode_call(contract: str, function: str, arguments: Sequence[Any]) -> bytes:
    """The data of a call. KeyError for a function that the contract does not have."""
    entry = _entry(contract, "function", function)
    types = [_type(i) for i in entry["inputs"]]
    return _selector(function, types) + bytes(_codec().encode(types, list(arguments)))


def encode_tuple(type_: str, value: Any) -> bytes:
    """``abi.encode`` of one value."""
    return bytes(_codec().encode([type_], [value]))


def decode_result(contract: str, function: str, data: bytes) -> tuple[Any, ...]:
    """What a call returned. InputError for data that are no such answer."""
    types = [_type(o) for o in _entry(contract, "function", function)["outputs"]]
    try:
        return tuple(_codec().decode(types, data))
    except Exception as error:  # noqa: BLE001 - eth-abi names no base for its errors
        raise InputError(f"the answer of {contract}.{function} is not of its type: {error}", field="rpc") from None


def error_name(data: bytes) -> str:
    """A revert by its name: ``ProofRejected()``, ``PointAtInfinity(3)``, or what little it says."""
    return _named(data)[0]


def error_text(data: bytes) -> str:
    """A revert in words: its name, and what the contract's author says that it means."""
    name, signature = _named(data)
    notice = _notices().get(signature, "")
    return f"{name}: {notice}" if notice else name


def _named(data: bytes) -> tuple[str, str]:
    """The error with its values, and its signature."""
    if not data:
        return "reverted without a reason (out of gas, or no contract of ours at this address)", ""
    for name, types in _errors().get(data[:SELECTOR_BYTES], []):
        try:
            values = _codec().decode(types, data[SELECTOR_BYTES:])
        except Exception:  # noqa: BLE001, S112 - somebody else's error of the same selector
            continue
        return f"{name}({', '.join(map(str, values))})", f"{name}({','.join(types)})"
    return f"reverted with 0x{data[:SELECTOR_BYTES].hex()}", ""


@cache
def _notices() -> dict[str, str]:
    """What each error means, by its signature: from the NatSpec that the compiler keeps."""
    found: dict[str, list[str]] = {}
    for contract in names():
        errors = json.loads(artefact(contract).metadata)["output"]["userdoc"].get("errors", {})
        for signature, said in errors.items():
            texts = found.setdefault(signature, [])
            text = said[0]["notice"].split(". ")[0].rstrip(".")  # its first sentence
            texts += [] if text in texts else [text]
    return {signature: "; or ".join(f"{t[0].lower()}{t[1:]}" for t in texts) for signature, texts in found.items()}


def error_selector(signature: str) -> bytes:
    """The first four bytes of a revert, of ``ProofRejected()`` say."""
    return keccak256(signature.encode("ascii"))[:SELECTOR_BYTES]


@cache
def _errors() -> dict[bytes, list[tuple[str, list[str]]]]:
    found = dict(_STANDARD)
    for contract in names():
        for entry in artefact(contract).abi:
            if entry["type"] == "error":
                found[entry["name"]] = [_type(i) for i in entry["inputs"]]
    by_selector: dict[bytes, list[tuple[str, list[str]]]] = {}
    for name, types in found.items():
        by_selector.setdefault(_selector(name, types), []).append((name, types))
    return by_selector


def _entry(contract: str, kind: str, name: str) -> dict[str, Any]:
    for entry in artefact(contract).abi:
        if entry["type"] == kind and entry.get("name") == name:
            return entry
    raise KeyError(f"{contract} has no {kind} {name}")


def _type(parameter: dict[str, Any]) -> str:
    """The canonical type of a parameter: tuples written out."""
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(part) for part in parameter['components'])}){kind.removeprefix('tuple')}"


def _selector(name: str, types: Sequence[str]) -> bytes:
    return error_selector(f"{name}({','.join(types)})")


def _codec() -> Any:
    try:
        import eth_abi  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise SetupError(
            "talking to contracts needs web3 and eth-account", hint="pip install 'zkmargin[chain]'"
        ) from None
    return eth_abi
