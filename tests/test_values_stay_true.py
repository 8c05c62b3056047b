"""Values stay true: whatever is copied, replaced or mutated gives what the same content built afresh gives."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from support import parties
from support.typed import Json, JsonObject

from zkmargin.circuits import build_circuit
from zkmargin.engine.claims import Claim
from zkmargin.formats import Document, FrozenMap, InputError, IntArray, VerificationError
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, Trust, accept

GOLDEN = Path(__file__).parent / "data" / "golden"


def made() -> ModuleType:
    return import_module("golden_documents")


FILES = sorted(path for path in GOLDEN.glob("v*/documents/*.*.json") if made().kind_of(path.name) is not None)


def read(path: Path) -> Document:
    kind = made().kind_of(path.name)
    document: Document = kind.parse(path.read_bytes())
    return document


def computed(value: Json) -> JsonObject:
    """Everything that is cached of an object: computed now, if it was not before."""
    kind = type(value)
    names = [name for base in kind.__mro__ for name, item in vars(base).items() if isinstance(item, cached_property)]
    return {name: getattr(value, name) for name in names}


def same(one: Document, two: Document) -> None:
    assert one == two
    assert one.digest() == two.digest()
    assert one.to_bytes() == two.to_bytes()
    assert repr(computed(one)) == repr(computed(two))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_copies_are_what_they_are_copied_from(path: Path) -> None:
    document = read(path)
    computed(document)
    ways: tuple[Callable[[Document], Document], ...] = (
        copy.copy,
        copy.deepcopy,
        lambda d: d.model_copy(),
        lambda d: d.model_copy(deep=True),
        lambda d: pickle.loads(pickle.dumps(d)),  # noqa: S301
    )
    for way in ways:
        same(way(document), read(path))


def outcome(build: Callable[[], Document]) -> Document | str:
    try:
        built: Document = build()
    except (InputError, ValidationError, VerificationError):
        return "refused"
    return built


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_field_replaced_is_a_document_built_afresh(data: st.DataObject) -> None:
    """After everything was computed of the old one: no cache of it may be left in the new."""
    path = data.draw(st.sampled_from(FILES))
    document = read(path)
    alike = [other for other in FILES if made().kind_of(other.name) is type(document)]
    donor = read(data.draw(st.sampled_from(alike)))
    name = data.draw(st.sampled_from([n for n in type(document).model_fields if n != "format"]))
    given_value = getattr(donor, name)
    if isinstance(given_value, tuple) and data.draw(st.booleans()):
        given_value = given_value[: len(given_value) // 2]
    computed(document)
    replaced = outcome(lambda: document.model_copy(update={name: given_value}))
    values = {n: getattr(read(path), n) for n in document.model_fields_set} | {name: given_value}
    afresh = outcome(lambda: type(document).model_validate(values))
    if isinstance(replaced, str) or isinstance(afresh, str):
        assert isinstance(replaced, str)
        assert isinstance(afresh, str)
    else:
        same(replaced, afresh)
    same(document, read(path))


def test_t13_a_key_that_was_replaced_no_longer_counts() -> None:
    world, old = parties.world(), parties.trust()
    attestation = world.attest_snapshot("oracle 1", "oracle 2")
    assert old.quorum(attestation)
    new = parties.signer("fresh key").public.model_copy(update={"name": "oracle 1"})
    rotated = old.model_copy(update={"keys": tuple(new if k.name == "oracle 1" else k for k in old.keys)})
    for trust in (rotated, Trust.parse(rotated.to_bytes())):
        with pytest.raises(VerificationError, match=r"1 of 2 signatures \(oracle 2\)"):
            trust.quorum(attestation)


def test_t13_copies_are_validated() -> None:
    trust, attestation = parties.trust(), parties.world().attest_snapshot()
    for update in ({"keys": ()}, {"verifier": ""}, {"unknown": 1}, {"clock_skew_seconds": "30"}):
        with pytest.raises(InputError):
            trust.model_copy(update=update)
    with pytest.raises(InputError, match="which policy"):
        Attestation.model_copy(attestation, update={"payload": attestation.payload.model_copy(update={"policy": None})})


def test_t13_a_statement_with_another_claim_has_another_circuit() -> None:
    world = parties.world()
    warm: Statement = world.statement
    computed(warm)
    moved = replace(warm, claim=Claim(60_000, 1))
    assert moved.circuit.digest == build_circuit(world.snapshot, Claim(60_000, 1), warm.limits).digest
    with pytest.raises(VerificationError):
        accept(moved, world.proof, now_ms=parties.NOW)
    for field in fields(warm):
        assert computed(replace(warm, **{field.name: getattr(warm, field.name)})).keys() == computed(warm).keys()


def held(value: Json, path: str, found: list[str], seen: set[int]) -> None:
    """Every place inside an object that could be written to."""
    if id(value) in seen or isinstance(value, (str, bytes, int, type(None))):
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        if value.flags.writeable:
            found.append(path)
        with pytest.raises(ValueError, match="WRITEABLE"):
            value.setflags(write=True)
    elif isinstance(value, (list, set, dict, bytearray)):
        found.append(path)
    elif isinstance(value, (tuple, frozenset)):
        for i, item in enumerate(value):
            held(item, f"{path}[{i}]", found, seen)
    elif isinstance(value, (FrozenMap, MappingProxyType)):
        for key, item in value.items():
            held(item, f"{path}.{key}", found, seen)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            held(getattr(value, name), f"{path}.{name}", found, seen)
    elif is_dataclass(value):
        for field in fields(value):
            held(getattr(value, field.name), f"{path}.{field.name}", found, seen)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_nothing_in_a_document_can_be_written_to(path: Path) -> None:
    document, found = read(path), list[str]()
    if path.name.split(".")[-2] == "signer-request":
        return  # typed data is JSON for another program
    held(document, type(document).__name__, found, set())
    assert found == []
    with pytest.raises(ValidationError):
        document.format = "x"  # type: ignore[misc]


def test_t14_nothing_in_a_cached_circuit_can_be_written_to() -> None:
    snapshot, found = parties.world().snapshot, list[str]()
    circuit = build_circuit(snapshot, Claim())
    assert circuit is build_circuit(snapshot, Claim())  # kept, and shared
    held(circuit, "circuit", found, set())
    assert found == []
    with pytest.raises(FrozenInstanceError):
        circuit.n = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        circuit.matrices["positions"] = np.zeros((1, 1))  # type: ignore[index]
    again = pickle.loads(pickle.dumps(circuit))  # noqa: S301
    assert again.digest == circuit.digest
    array = IntArray(np.arange(4))
    with pytest.raises(ValueError, match="read-only"):
        array.values[0] = 1
    assert json.loads(json.dumps(array.to_json())) == array.to_json()
