"""Every public object of the packages, found by walking them: none keeps what its fields no longer say.

A value that caches derives its caches from fields that cannot change, and what copies it with another field computes
them anew. Which classes cache is read from the classes; each must have been met, in a golden document or in a small run
of every protocol, so that a class with a new cache fails here until a value of it is at hand.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from support import lab, parties, venue_lab, venue_policies
from support.golden import TESTS
from support.typed import Json, JsonObject, Passed, Unchecked

import zkmargin
from zkmargin.agent.config import Venue
from zkmargin.circuits import build_circuit
from zkmargin.circuits.many import assign_many
from zkmargin.engine.books import Books
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.formats import Document, FrozenMap, InputError, VerificationError
from zkmargin.verifier.attest import accept
from zkmargin.verifier.breach import BreachStatement
from zkmargin.verifier.venue.verify import verify_venue

#: Of a class so many different values are kept.
KEPT = 12


def walked() -> Iterator[type[object]]:
    for found in pkgutil.walk_packages(zkmargin.__path__, "zkmargin."):
        if not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            yield from (c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == found.name)


CLASSES = frozenset(walked())
MODELS = sorted((c for c in CLASSES if issubclass(c, BaseModel)), key=repr)
DATACLASSES = sorted((c for c in CLASSES if dataclasses.is_dataclass(c)), key=repr)


def caches(kind: type[object]) -> list[str]:
    return sorted({n for base in kind.__mro__ for n, item in vars(base).items() if isinstance(item, cached_property)})


def frozen(kind: type[object]) -> bool:
    """Of a dataclass."""
    return bool(getattr(kind, "__dataclass_params__").frozen)  # noqa: B009 - typeshed does not know it


def own_caches(kind: type[object]) -> list[str]:
    """Without the digest that every document has: that is its base's."""
    return [name for name in caches(kind) if name != "cached_digest"]


def fields_of(value: Json) -> JsonObject:
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def inside(value: Json) -> Iterator[object]:
    """A value's parts, what it caches among them."""
    if isinstance(value, (tuple, list, set, frozenset)):
        yield from list(value)[:50]
    elif isinstance(value, (dict, FrozenMap, MappingProxyType)):
        yield from list(value.values())[:50]
    elif type(value) in CLASSES and (isinstance(value, BaseModel) or dataclasses.is_dataclass(value)):
        yield from fields_of(value).values()
        yield from (getattr(value, name) for name in caches(type(value)))


def alike(one: Passed, two: Passed) -> bool:
    """Equal, arrays by their numbers."""
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return type(one) is type(two) and one.dtype == two.dtype and np.array_equal(one, two)
    if type(one) is not type(two):
        return False
    if isinstance(one, (tuple, list)):
        return len(one) == len(two) and all(map(alike, one, two))
    if isinstance(one, (dict, FrozenMap, MappingProxyType)):
        return one.keys() == two.keys() and all(alike(one[key], two[key]) for key in one)
    if dataclasses.is_dataclass(one) and type(one) in CLASSES:
        return all(map(alike, fields_of(one).values(), fields_of(two).values()))
    if getattr(type(one), "__eq__", None) is getattr(object, "__eq__"):  # noqa: B009 - mypy: never the same type
        return repr(one).split(" at 0x")[0] == repr(two).split(" at 0x")[0]
    return bool(one == two)


class Corpus:
    """Values by their class."""

    def __init__(self) -> None:
        self.values: dict[type[object], list[object]] = {}

    def add(self, value: Json) -> None:
        waiting = [value]
        while waiting:
            found = waiting.pop()
            if type(found) in CLASSES and (isinstance(found, BaseModel) or dataclasses.is_dataclass(found)):
                kept = self.values.setdefault(type(found), [])
                if len(kept) >= KEPT or any(found is other for other in kept):
                    continue
                kept.append(found)
            waiting.extend(inside(found))


def golden_values() -> Iterator[Document]:
    kinds = {
        form: kind
        for kind in MODELS
        if issubclass(kind, Document) and hasattr(kind, "FORMAT")
        for form in (kind.FORMAT, *kind.READS)
    }
    for path in sorted((TESTS / "data" / "golden").rglob("*.json")):
        text = path.read_text("utf-8")
        value = json.loads(text)
        kind = kinds.get(value.get("format", "")) if isinstance(value, dict) else None
        if kind is not None:
            yield kind.parse(text)


def runs() -> Iterator[object]:
    """One small run of every protocol, and what they take apart."""
    from support.chain_lab import prove, standard

    world = parties.world.__wrapped__()  # proved here, where what is made is recorded, not by a test before
    yield world.statement
    yield accept(world.statement, world.proof, now_ms=parties.NOW, trust=parties.trust(),
                 attestations=world.attestations(), challenge=world.challenge)  # fmt: skip
    yield BreachStatement.of(world.snapshot, world.commitments, Claim(2, 1), context=b"x")
    collateral = [[10**9] * len(world.snapshot.collateral)]
    yield assign_many(build_circuit(world.snapshot, Claim()), Books.sparse([0, 1], [0], [3], collateral))
    venue = venue_lab.Venue()
    yield venue.statement
    verify_venue(venue.statement, venue.prove())
    rules = {"accounts": 1, "legs": 3, "slots": 1, "block": 8, "position_bits": 6}
    classes = [(venue_lab.spec("all", **rules), venue_policies.BOOKS[:1])]
    yield venue_lab.Venue(classes, market=venue_policies.snapshot("tims", n=16)).statement
    lots = ((1, -2, 3, 0, 0), (4000, 5))
    yield venue_lab.Venue(dense=[lots], srs=lab.known_tau(powers=200), rules={"bits": 6}, n=64).statement
    case = standard()
    yield case.statement
    prove(case)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Values met, and all that are made on the way of the classes that cache."""
    made, found = list[object](), Corpus()
    with pytest.MonkeyPatch.context() as patch:
        for kind in DATACLASSES:
            if caches(kind):
                patch.setattr(kind, "__init__", recording(kind.__init__, made))
        for value in runs():
            found.add(value)
    for value in (*golden_values(), *made, *BY_HAND()):
        found.add(value)
    return found


def recording(init: Callable[..., None], made: list[object]) -> Callable[..., None]:
    def recorded(self: object, *arguments: Passed, **named: Passed) -> None:
        init(self, *arguments, **named)
        made.append(self)

    return recorded


def BY_HAND() -> Iterator[Venue | Limit]:
    """What neither a golden document nor a run has."""
    from zkmargin.agent.config import Venue

    yield Venue(name="desk", folder="out", claim="1.25", limits=("headroom >= 1",))
    yield Venue(name="desk", folder="out", claim="2", limits=("headroom >= 5",))
    yield Limit.parse("headroom >= 1")


# The classes


def test_every_model_is_frozen_and_strict_about_what_it_is_given() -> None:
    assert len(MODELS) > 200
    for kind in MODELS:
        assert kind.model_config.get("frozen"), kind
        # what is read from a service of a later version may have more fields; it caches nothing
        assert kind.model_config.get("extra") == "forbid" or not caches(kind), kind


def test_what_can_be_written_to_caches_nothing() -> None:
    """Working objects (a memory, a profile, what a reader collects) are no values: nothing in them is kept."""
    assert len(DATACLASSES) > 150
    for kind in DATACLASSES:
        assert frozen(kind) or not caches(kind), kind


def test_whatever_caches_was_met(corpus: Corpus) -> None:
    caching = {kind for kind in (*MODELS, *DATACLASSES) if own_caches(kind)}
    assert len(caching) > 15
    assert {kind.__qualname__ for kind in caching - set(corpus.values)} == set()


# The values


def test_copies_are_what_they_are_copied_from(corpus: Corpus) -> None:
    for kind, values in corpus.values.items():
        for value in values[:3]:
            before = {name: getattr(value, name) for name in caches(kind)}
            for twin in (copy.copy(value), copy.deepcopy(value) if isinstance(value, BaseModel) else copy.copy(value)):
                assert alike(fields_of(twin), fields_of(value)), kind
                assert all(alike(getattr(twin, name), before[name]) for name in before), kind


def test_no_field_of_a_value_can_be_set(corpus: Corpus) -> None:
    for kind, values in corpus.values.items():
        if dataclasses.is_dataclass(kind) and not frozen(kind):
            continue
        for name in fields_of(values[0]):
            with pytest.raises((dataclasses.FrozenInstanceError, ValidationError)):
                setattr(values[0], name, getattr(values[0], name))


def writable(value: Json) -> bool:
    """Whether something inside can be written to."""
    if isinstance(value, np.ndarray):
        return bool(value.flags.writeable)
    if isinstance(value, (list, dict, set, bytearray)):
        return True
    if isinstance(value, (tuple, frozenset)):
        return any(map(writable, value))
    if isinstance(value, (FrozenMap, MappingProxyType)):
        return any(map(writable, value.values()))
    if type(value) in CLASSES and (isinstance(value, BaseModel) or dataclasses.is_dataclass(value)):
        return any(map(writable, fields_of(value).values()))
    return False


#: What a cache there rests on could be written to by who made it: no document, and gone when a proof is made.
WORKING = {"Books", "ManyWitness", "PublicPolynomials", "Combination", "ChainWeights", "ChainPrices"}


def test_nothing_that_a_cache_rests_on_can_be_written_to(corpus: Corpus) -> None:
    found = {
        kind.__qualname__
        for kind, values in corpus.values.items()
        if caches(kind) and kind.__qualname__ != "SignerRequest"  # typed data is JSON for another program
        for value in values
        if writable(value)
    }
    assert found <= WORKING, found - WORKING


REFUSED = (InputError, ValidationError, VerificationError, ValueError, TypeError, IndexError, KeyError)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_field_replaced_gives_what_is_built_afresh(corpus: Corpus, data: st.DataObject) -> None:
    """Every class that caches, a field of one value put into another, after everything was computed of that."""
    kinds = sorted((kind for kind, values in corpus.values.items() if len(values) > 1 and caches(kind)), key=repr)
    kind: Unchecked = data.draw(st.sampled_from(kinds))
    value: Unchecked
    value, donor = (data.draw(st.sampled_from(corpus.values[kind])) for _ in range(2))
    name = data.draw(st.sampled_from(sorted(set(fields_of(value)) - {"format"}) or [""]))
    assume(name)
    for cached in caches(kind):
        getattr(value, cached)
    before = {name: getattr(value, name) for name in caches(kind)}
    given_value = getattr(donor, name)

    def outcome(build: Callable[[], object]) -> object:
        try:
            return build()
        except REFUSED:
            return None

    if isinstance(value, BaseModel):
        fields = {n: getattr(value, n) for n in value.model_fields_set} | {name: given_value}
        replaced = outcome(lambda: value.model_copy(update={name: given_value}))
        afresh = outcome(lambda: kind.model_validate(fields))
    else:
        replaced = outcome(lambda: dataclasses.replace(value, **{name: given_value}))
        afresh = outcome(lambda: kind(**fields_of(value) | {name: given_value}))
    assert (replaced is None) == (afresh is None)
    if replaced is not None:
        for cached in caches(kind):
            got, wanted = (outcome(partial(getattr, one, cached)) for one in (replaced, afresh))
            assert alike(got, wanted), (kind, name, cached)
    assert all(alike(getattr(value, cached), before[cached]) for cached in before)
