"""Lists and mappings of documents: bounded when they are read, and never changed afterwards."""

import copy
import importlib
import json
from typing import ClassVar, get_args, get_origin

import numpy as np
import pytest
from pydantic import Field
from support.sheets import Leg, Sheet, sheet_text
from support.typed import Json, JsonObject, Passed

from zkmargin.engine.components import PublishedPart, parts_of
from zkmargin.formats import Document, FrozenMap, FullMap, InputError, IntArray, Map, Model, mappings, parse_json
from zkmargin.formats.budget import LIMITS, Budget, Unit, budget

# Bounded time and memory


def test_a_document_has_a_largest_number_of_values() -> None:
    def parse(text: str, unit: Unit, limit: int) -> Json:
        with budget(Budget({**LIMITS, unit: limit})):
            return parse_json(text, file="f")

    assert parse('{"a": [1, 2, {}]}', "values", 6) == {"a": [1, 2, {}]}
    assert parse('{"a": [1, 2, {}], "b": 0}', "values", 6)
    for text in ('{"a": [1, 2, {}, 4], "b": 0}', '{"a": [[], [], []], "b": 0}'):
        with pytest.raises(InputError, match="more than 6 values"):
            parse(text, "values", 6)
    assert parse("[{}, []]", "containers", 3)
    with pytest.raises(InputError, match="more than 2 containers"):
        parse("[{}, []]", "containers", 2)
    with pytest.raises(InputError, match="more than 4 characters"):
        parse("12345", "characters", 4)


def test_a_list_is_read_up_to_its_first_error() -> None:
    # each error that pydantic lists takes half a kilobyte: millions of them took gigabytes
    with pytest.raises(InputError) as caught:
        Sheet.model_validate({"legs": [{}] * 1000})
    assert len(caught.value.facts["errors"]) == 1


def test_a_mapping_has_a_largest_number_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "MAX_ITEMS", 2)
    assert len(Sheet.parse(sheet_text(lots={"a": "1", "b": "2"})).lots) == 2
    with pytest.raises(InputError, match="lots: more than 2 keys"):
        Sheet.parse(sheet_text(lots={"a": 0, "b": 0, "c": 0}))


# Mappings


class Nested(Document):
    FORMAT: ClassVar[str] = "zkmargin/nested/v1"

    tables: Map[str, Map[str, int]] = Field(default_factory=FrozenMap)
    full: FullMap[str, Leg]


NESTED = Nested(tables={"b": {"y": 2, "x": 1}, "a": {}}, full={"one": Leg(lot="1")})


def test_a_document_cannot_change_under_its_digest() -> None:
    given = {"BTC": "1"}
    sheet = Sheet(lots=given)
    digest = sheet.digest()
    given["BTC"] = "2"
    maps: tuple[Passed, ...] = (sheet.lots, Sheet().lots, NESTED.tables, NESTED.tables["b"], NESTED.full)
    for frozen in maps:
        with pytest.raises(TypeError):
            frozen["BTC"] = "2"
        with pytest.raises(TypeError):
            del frozen["BTC"]
        with pytest.raises(AttributeError):
            frozen._items = {}
        with pytest.raises(AttributeError):
            del frozen._items
        with pytest.raises(TypeError):
            frozen._items["BTC"] = "2"
        assert not {"clear", "pop", "popitem", "setdefault", "update"} & set(dir(frozen))
    assert sheet.digest() == digest == Sheet(lots={"BTC": "1"}).digest()


def test_a_mapping_reads_and_is_written_as_a_dict() -> None:
    assert Nested.parse(NESTED.to_bytes()) == NESTED
    assert Nested.parse(NESTED.to_bytes()).digest() == NESTED.digest()
    assert json.loads(NESTED.to_bytes())["tables"] == {"b": {"y": 2, "x": 1}, "a": {}}
    assert NESTED.model_dump()["tables"] == {"b": {"y": 2, "x": 1}, "a": {}}
    assert type(NESTED.model_dump()["tables"]["b"]) is dict
    assert list(NESTED.tables) == ["b", "a"]
    assert {**NESTED.tables["b"]} == NESTED.tables["b"] == {"x": 1, "y": 2}
    assert repr(NESTED.tables) == repr(NESTED.model_dump()["tables"])
    assert Nested(tables=NESTED.tables, full=NESTED.full) == NESTED == copy.deepcopy(NESTED)
    assert copy.copy(NESTED.tables) is NESTED.tables
    assert NESTED.model_copy(deep=True).tables is NESTED.tables
    assert hash(FrozenMap({"x": 1, "y": 2})) == hash(NESTED.tables["b"])
    assert hash(NESTED) == hash(copy.deepcopy(NESTED))
    schema = Nested.model_json_schema()["properties"]
    assert (schema["tables"]["type"], schema["full"]["type"], schema["full"]["minProperties"]) == (
        "object",
        "object",
        1,
    )


@pytest.mark.parametrize(
    "change", [{"tables": {"a": {"x": "1"}}}, {"tables": [["a", {}]]}, {"tables": {"a": None}}, {"full": {}}]
)
def test_a_mapping_is_as_strict_as_a_dict(change: JsonObject) -> None:
    data = json.loads(NESTED.to_bytes()) | change
    with pytest.raises(InputError):
        Nested.parse(json.dumps(data))


def kinds_of_models(kind: type[Model]) -> set[type[Model]]:
    return {kind}.union(*(kinds_of_models(below) for below in kind.__subclasses__()))


def inside(annotation: object) -> set[object]:
    return {get_origin(annotation) or annotation}.union(*(inside(part) for part in get_args(annotation)))


def test_no_model_of_ours_holds_anything_that_can_be_changed() -> None:
    for name in ("explain", "fills", "greeks", "migration", "netting"):
        importlib.import_module(f"zkmargin.engine.{name}")
    importlib.import_module("zkmargin.engine.risk_arrays")
    assert parts_of(PublishedPart)  # imports every component
    found = {
        f"{kind.__qualname__}.{name}"
        for kind in kinds_of_models(Model)
        if kind.__module__.startswith(("zkmargin.formats.", "zkmargin.engine."))
        for name, field in kind.model_fields.items()
        if {dict, list, set, bytearray} & inside(field.annotation)
    }
    assert not found


def test_arrays_of_documents_cannot_be_written() -> None:
    read = IntArray.from_json(IntArray(np.arange(6).reshape(2, 3)).to_json())
    for array in (read, IntArray(np.arange(6)), copy.deepcopy(read)):
        assert not array.values.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array.values[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.values.flags.writeable = True
