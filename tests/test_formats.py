"""Documents: canonical bytes and digests, strictness, lines of errors, secrets. Catalogue numbers: hostile inputs."""

import copy
import json
import subprocess
import sys
import types
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies._internal.random import ArtificialRandom
from pydantic import Field, TypeAdapter, ValidationError
from support.sheets import JSON, Leg, Secret, Sheet, sheet_text
from support.typed import Json, Keywords

import zkmargin.formats
from zkmargin.formats import (
    Document,
    InputError,
    IntArray,
    Model,
    Seq,
    canonical_bytes,
    keccak256,
    load_document,
    parse_json,
    save_document,
)
from zkmargin.formats.lines import existing_path, line_at, line_of_literal, line_of_twin

ROOT = Path(__file__).resolve().parent.parent


# The package


def test_what_is_public_is_listed() -> None:
    public = {
        name
        for name, value in vars(zkmargin.formats).items()
        if name[0] != "_" and not isinstance(value, types.ModuleType)
    }
    assert sorted(public) == zkmargin.formats.__all__


def test_the_base_imports_neither_compiler_nor_anything_else_of_ours() -> None:
    script = "import sys, zkmargin.formats; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert loaded.isdisjoint({"galois", "numba", "py_ecc"})
    ours = {name for name in loaded if name.split(".")[0] == "zkmargin"}
    assert {"zkmargin", "zkmargin.formats"} < ours
    assert {name for name in ours if not name.startswith("zkmargin.formats")} == {"zkmargin"}


# Canonical bytes and digests


@given(JSON, st.randoms(use_true_random=False))
def test_canonical_bytes_do_not_depend_on_the_order_of_keys(
    value: dict[str, int | str] | list[dict[str, bool | None] | int] | None, random: ArtificialRandom
) -> None:
    def shuffled(item: Json) -> Json:
        if isinstance(item, dict):
            items = list(item.items())
            random.shuffle(items)
            return {key: shuffled(inner) for key, inner in items}
        return [shuffled(inner) for inner in item] if isinstance(item, list) else item

    assert canonical_bytes(shuffled(value)) == canonical_bytes(value)


@given(JSON, JSON)
def test_canonical_bytes_are_equal_only_for_equal_values(a: Json, b: Json) -> None:
    # JSON tells true from 1, Python's == does not: compare what the encoder writes.
    assert (canonical_bytes(a) == canonical_bytes(b)) == (
        json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    )


def test_canonical_form() -> None:
    assert canonical_bytes({"b": [1, True, None, "\u00e9\n"], "a": -(2**70), "\u00e9": {}, "B": []}) == (
        '{"B":[],"a":-1180591620717411303424,"b":[1,true,null,"\u00e9\\n"],"\u00e9":{}}'.encode()
    )
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.mark.parametrize("value", [1.0, float("nan"), {1: 2}, {"a": {2.5}}, b"x", [np.int64(1)], Decimal(1)])
def test_canonical_bytes_hold_no_floats_and_no_other_types(value: float) -> None:
    with pytest.raises(TypeError, match="canonical JSON"):
        canonical_bytes(value)


@given(st.permutations(["format", "title", "lots", "legs"]))
def test_catalogue_35_reordered_keys_give_the_identical_digest(order: list[str]) -> None:
    parts: Keywords = {
        "format": Sheet.FORMAT,
        "title": "t",
        "lots": {"A": "1", "B": "2"},
        "legs": [{"lot": "1", "count": 3}],
    }
    reference = Sheet.parse(json.dumps(parts))
    parts["lots"] = {"B": "2", "A": "1"}
    parts["legs"] = [{"count": 3, "lot": "1"}]
    assert Sheet.parse(json.dumps({key: parts[key] for key in order})).digest() == reference.digest()


def test_an_array_counts_by_its_checksum() -> None:
    array = IntArray(np.arange(6, dtype=np.int64).reshape(2, 3))
    canonical = json.loads(Sheet(array=array).canonical())
    assert canonical["array"] == {"shape": [2, 3], "keccak256": keccak256(np.arange(6, dtype="<i8").tobytes()).hex()}
    reshaped = IntArray(array.values.reshape(3, 2))
    assert len({Sheet(array=a).digest() for a in (array, reshaped, None)}) == 3


def test_a_digest_is_computed_once_and_never_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = Sheet(title="a", array=IntArray(np.arange(3)))
    digest = sheet.digest()
    assert digest == keccak256(sheet.canonical())
    monkeypatch.setattr(Sheet, "canonical", lambda _self: pytest.fail("computed again"))
    assert sheet.digest() is digest
    monkeypatch.undo()

    changed = sheet.model_copy(update={"title": "b"})
    assert changed.digest() == Sheet(title="b", array=sheet.array).digest() != digest
    assert sheet.digest() == digest
    for same in (sheet.model_copy(), sheet.model_copy(deep=True), copy.copy(sheet), copy.deepcopy(sheet)):
        assert same == sheet
        assert same.digest() == keccak256(same.canonical()) == digest
    assert Sheet(title="a", array=sheet.array) == sheet, "a cached digest is no part of the value"
    assert b"digest" not in sheet.to_bytes()


def test_documents_are_immutable() -> None:
    sheet = Sheet(legs=(Leg(lot="1"),))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(sheet, "title", "b")  # noqa: B010 - the type checker knows it, too
    with pytest.raises(ValidationError, match="frozen"):
        setattr(sheet.legs[0], "lot", "2")  # noqa: B010


@given(
    st.builds(
        Sheet,
        title=st.text(),
        lots=st.dictionaries(st.text(), st.text()),
        legs=st.lists(st.builds(Leg, lot=st.text(), count=st.integers())).map(tuple),
    )
)
def test_documents_survive_their_file(sheet: Sheet) -> None:
    again = Sheet.parse(sheet.to_bytes())
    assert again == sheet
    assert again.digest() == sheet.digest()


# Documents: strictness, and where an error is


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "f: a document is a JSON object"),
        ("{}", 'f: format: no "format" line: expected "zkmargin/sheet/v2"'),
        ('{"format": "zkmargin/sheet/v1"}', 'format "zkmargin/sheet/v1" is another version: this program reads'),
        ('{"format": "zkmargin/book/v2"}', 'format is "zkmargin/book/v2": expected "zkmargin/sheet/v2"'),
        ('{"format": 2}', 'format is not a string: expected "zkmargin/sheet/v2"'),
        (sheet_text(titel="x"), "f:3: titel: unknown key"),
        (sheet_text(title=5), "f:3: title: input should be a valid string"),
        (sheet_text(title=None), "f:3: title: input should be a valid string"),
        (sheet_text(legs=[{"lot": "1", "count": True}]), "f:6: legs[0].count: input should be a valid integer"),
        (sheet_text(legs=[{"lot": "1", "count": "1"}]), "f:6: legs[0].count: input should be a valid integer"),
        (sheet_text(legs={}), "f:3: legs: input should be a valid tuple"),
        (sheet_text(legs=[7]), "f:4: legs[0]: input should be a valid dictionary or instance of Leg"),
    ],
)
def test_documents_are_strict(text: str, message: str) -> None:
    for given_text in (text, text.encode()):
        with pytest.raises(InputError) as caught:
            Sheet.parse(given_text, file="f")
        assert message in str(caught.value)
        assert caught.value.file == "f"


def test_an_error_in_the_third_leg_points_at_the_third_leg() -> None:
    text = sheet_text(lots={"lot": "1"}, legs=[{"lot": "1"}, {"lot": "2"}, {"lot": 3}, {"lot": "4"}])
    with pytest.raises(InputError) as caught:
        Sheet.parse(text, file="f")
    assert text.splitlines()[caught.value.line - 1 if caught.value.line else 0].strip() == '"lot": 3'
    assert str(caught.value) == "f:14: legs[2].lot: input should be a valid string"


def test_a_missing_key_points_at_the_object_that_lacks_it() -> None:
    text = sheet_text(legs=[{"lot": "1"}, {"count": 2}])
    with pytest.raises(InputError, match=r"^f:7: legs\[1\].lot: field required$"):
        Sheet.parse(text, file="f")


def test_names_of_union_members_are_no_part_of_the_path() -> None:
    text = sheet_text(title="", parts=[{"type": "cash"}, {"type": "leg", "lot": "1", "count": "x"}])
    with pytest.raises(InputError) as caught:
        Sheet.parse(text, file="f")
    assert caught.value.line == 11
    assert str(caught.value).endswith("(and 2 more)")


@st.composite
def documents_with_a_place(draw: st.DrawFn) -> tuple[Json, list[str | int]]:
    value: Json = draw(JSON)
    at, path = value, list[str | int]()
    while isinstance(at, (dict, list)) and at and draw(st.booleans()):
        step = draw(st.sampled_from(list(at) if isinstance(at, dict) else list(range(len(at)))))
        path.append(step)
        at = at[step]
    return value, path


@given(documents_with_a_place(), st.booleans())
def test_line_of_any_place(case: tuple[Json, list[str | int]], ascii_only: bool) -> None:
    """Against a writer that notes the line of every member."""
    value, path = case
    noted: dict[tuple[str | int, ...], int] = {}
    lines = [""]

    def newline() -> None:
        lines.append("")

    def write(item: Json, at: tuple[str | int, ...]) -> None:
        if not isinstance(item, (dict, list)):
            lines[-1] += json.dumps(item, ensure_ascii=ascii_only)
            return
        is_object = isinstance(item, dict)
        lines[-1] += "{" if is_object else "["
        for position, (step, inner) in enumerate(item.items() if isinstance(item, dict) else enumerate(item)):
            lines[-1] += "," if position else ""
            newline()
            noted[*at, step] = len(lines)
            if is_object:
                lines[-1] += json.dumps(step, ensure_ascii=ascii_only)
                newline()
                lines[-1] += ":"
                newline()
            write(inner, (*at, step))
        lines[-1] += "}" if is_object else "]"

    write(value, ())
    text = "\n".join(lines)
    assert parse_json(text) == value
    assert existing_path(value, path) == path
    assert line_at(text, path) == noted.get(tuple(path))
    assert line_at(text, [*path, "no such key", 0]) is None


def test_lines_of_literals_and_twins() -> None:
    text = '{"a":\n ["5", {"b":\n 5, "c": "b", "d": {"b": 1},\n "b": 6}]}'
    assert line_of_literal(text, "5") == 3
    assert line_of_literal(text, '"5"') == 2
    assert line_of_literal(text, "7") is None
    assert line_of_twin(text, "b") == 4
    assert line_of_twin(text, "a") is None
    assert line_at(text, []) is None


def test_the_scanner_takes_no_stack_for_long_strings() -> None:
    text = '["' + '\\"x' * 10**6 + '",\n 1]'
    assert line_at(text, [1]) == 2


def test_input_error_without_a_text_has_no_line() -> None:
    with pytest.raises(InputError) as caught:
        Leg.model_validate({"lot": 1})
    assert (str(caught.value), caught.value.line) == ("lot: input should be a valid string", None)


def test_no_error_of_pydantics_leaves_a_constructor() -> None:
    with pytest.raises(InputError, match=r"^lot: input should be a valid string$"):
        Leg(lot=1)  # type: ignore[arg-type]


# Secrets stay out of messages

CANARY = "31415926535"


@pytest.mark.parametrize(
    "body",
    [
        f'"amounts": {{"A": {CANARY}}}',
        f'"amounts": {{"A": -{CANARY}.5}}',
        f'"amounts": {{"A": {CANARY}e2}}',
        f'"amounts": {{"A": "{CANARY}", "A": "{CANARY}"}}',
        f'"amounts": {{"A": "{CANARY}" "B"}}',
        f'"amounts": "{CANARY}"',
        f'"amounts": ["{CANARY}"]',
        f'"amounts": {{"A": ["{CANARY}"]}}',
        f'"bound": {CANARY}',
        f'"bound": "{CANARY}"',
        f'"hidden": "{CANARY}xyz"',
        f'"hidden": "\\ud800{CANARY}"',
        f'"amounts": {{"A": "{CANARY}',
        f'"amounts": {{"A": {CANARY * 60}}}',
    ],
)
def test_catalogue_42_no_message_about_a_secret_document_repeats_its_numbers(body: str) -> None:
    with pytest.raises(InputError) as caught:
        Secret.parse(f'{{"format": "{Secret.FORMAT}", {body}}}', file="f")
    shown = f"{caught.value} {caught.value!r} {caught.value.reason} {caught.value.field} {caught.value.hint}"
    assert CANARY not in shown
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None


def test_catalogue_42_pydantic_repeats_no_input_either() -> None:
    # of a model that was never used an adapter makes a validator of its own, under its own settings (pydantic 2.14.3,
    # `defer_build`): that one repeats what it was given, so we read documents by their own methods only
    assert Secret.model_rebuild() is not False
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Secret).validate_python({"bound": int(CANARY)})
    assert CANARY not in str(caught.value) + repr(caught.value)


def test_secret_documents_are_written_secret(tmp_path: Path) -> None:
    save_document(Secret(bound=1), tmp_path / "secret")
    save_document(Sheet(), tmp_path / "sheet")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert load_document(Secret, tmp_path / "secret") == Secret(bound=1)
    assert load_document(Sheet, tmp_path / "sheet") == Sheet()


def test_a_file_that_contradicts_itself_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    class Twice(Document):
        FORMAT: ClassVar[str] = "zkmargin/twice/v1"

        once: int
        again: int

        def check_loaded(self) -> None:
            if self.once != self.again:
                raise InputError("not the same", field="again")

    save_document(Twice(once=1, again=2), tmp_path / "f")
    with pytest.raises(InputError, match="not the same") as caught:
        load_document(Twice, tmp_path / "f")
    assert (caught.value.file, caught.value.field) == (str(tmp_path / "f"), "again")


# What a document's bytes and its digest are made of


class Mixed(Document):
    FORMAT: ClassVar[str] = "zkmargin/mixed/v1"

    blob: bytes = b""
    lots: dict[str, Leg] = Field(default_factory=dict)
    legs: Seq[Leg] = ()


def test_canonical_bytes_and_the_file_by_hand() -> None:
    mixed = Mixed(blob=b"\x00\xff", lots={"b": Leg(lot="é"), "a": Leg(lot="1", count=2)}, legs=(Leg(lot="3"),))
    assert mixed.canonical().decode() == (
        '{"blob":"00ff","format":"zkmargin/mixed/v1","legs":[{"count":0,"lot":"3","type":"leg"}],'
        '"lots":{"a":{"count":2,"lot":"1","type":"leg"},"b":{"count":0,"lot":"é","type":"leg"}}}'
    )
    plain = Mixed(blob=b"\x01", lots={"é": Leg(lot="1")})
    assert plain.to_bytes().decode() == (
        '{\n "format": "zkmargin/mixed/v1",\n "blob": "01",\n "lots": {\n  "é": {\n   "type": "leg",\n   "lot": "1",\n'
        '   "count": 0\n  }\n },\n "legs": []\n}\n'
    )


def test_copies_share_what_did_not_change() -> None:
    mixed = Mixed(lots={"A": Leg(lot="1")})
    assert mixed.model_copy().lots is mixed.lots
    assert mixed.model_copy(deep=True).lots is not mixed.lots


def test_documents_are_public_unless_they_say_so() -> None:
    assert (Document.SECRET, Sheet.SECRET, Secret.SECRET) == (False, False, True)


def test_no_number_is_infinite_or_none() -> None:
    class Rate(Model):
        value: float

    for value in ("nan", "inf", "-inf"):
        with pytest.raises(InputError):
            Rate(value=float(value))


def test_the_first_of_several_errors_is_told_and_they_are_counted() -> None:
    with pytest.raises(InputError) as caught:
        Sheet.parse(sheet_text(title=5, lots=7, more=1), file="f")
    assert str(caught.value) == "f:3: title: input should be a valid string (and 2 more)"
    with pytest.raises(InputError) as caught:
        Sheet.parse(sheet_text(more=1), file="f")
    assert str(caught.value) == "f:3: more: unknown key"
    with pytest.raises(InputError) as caught:
        Sheet.parse(sheet_text(**{"x" * 201: 1}), file="f")
    assert caught.value.field == "x" * 200
    wrong = dict.fromkeys((str(i) for i in range(1024)), 1)
    with pytest.raises(InputError, match=r"^f:4: lots.0: input should be a valid string \(and 1023 more\)$"):
        Sheet.parse(sheet_text(lots=wrong), file="f")
    for more in ({"lots": wrong | {"x": 1}}, {f"x{i}": 1 for i in range(1100)}):
        with pytest.raises(InputError, match=r"^f: more than 1024 mistakes: this is no such document$"):
            Sheet.parse(sheet_text(**more), file="f")


def test_a_file_is_asked_what_its_format_asks(tmp_path: Path) -> None:
    class Contradictory(Sheet):
        def check_loaded(self) -> None:
            raise InputError("contradicts itself", field="title")

    path = tmp_path / "sheet"
    path.write_bytes(Sheet().to_bytes())
    assert Contradictory.parse(path.read_bytes()) == Contradictory()
    with pytest.raises(InputError) as caught:
        load_document(Contradictory, path)
    assert str(caught.value) == f"{path}: title: contradicts itself"
