"""Strict JSON, canonical bytes and digests, lines of errors, the error tree. Catalogue numbers: hostile inputs."""

import copy
import importlib
import json
import subprocess
import sys
import types
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Literal, get_args, get_origin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies._internal.random import ArtificialRandom
from pydantic import ConfigDict, Field, ValidationError
from support.typed import Json, JsonObject, Keywords, Passed

import zkmargin.formats
from zkmargin.engine.components import PublishedPart, parts_of
from zkmargin.formats import (
    ConstraintError,
    Document,
    FrozenMap,
    FullMap,
    InputError,
    IntArray,
    Map,
    Model,
    ProofFormatError,
    Seq,
    SetupError,
    VerificationError,
    ZkMarginError,
    canonical,
    canonical_bytes,
    keccak256,
    load_document,
    mappings,
    parse_json,
    save_document,
)
from zkmargin.formats.budget import LIMITS, Budget, Unit, budget
from zkmargin.formats.canonical import MAX_DEPTH, MAX_INTEGER_DIGITS, indented
from zkmargin.formats.documents import input_error
from zkmargin.formats.lines import existing_path, line_at, line_of_literal, line_of_twin

ROOT = Path(__file__).resolve().parent.parent


class Leg(Model):
    type: Literal["leg"] = "leg"
    lot: str
    count: int = 0


class Cash(Model):
    type: Literal["cash"] = "cash"
    lot: str = "1"


class Sheet(Document):
    FORMAT: ClassVar[str] = "zkmargin/sheet/v2"

    title: str = ""
    lots: Map[str, str] = Field(default_factory=FrozenMap)
    legs: Seq[Leg] = ()
    parts: Seq[Leg | Cash] = ()
    array: IntArray | None = None


class Secret(Document):
    FORMAT: ClassVar[str] = "zkmargin/secret/v1"
    SECRET: ClassVar[bool] = True

    amounts: Map[str, str] = Field(default_factory=FrozenMap)
    bound: int = Field(default=0, ge=0, le=10)
    hidden: str = Field(default="0a", pattern="^[0-9a-f]*$")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**60), 10**60) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)


def sheet_text(**parts: Passed) -> str:
    return json.dumps({"format": Sheet.FORMAT, **parts}, indent=1)


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


# Strict JSON


@given(JSON | st.tuples(JSON, JSON))
def test_the_encoder_of_files_writes_what_pythons_own_does(value: Json) -> None:
    assert indented(value) == json.dumps(value, indent=1, ensure_ascii=False)


@given(JSON, st.integers(0, 3))
def test_parsing_gives_back_what_was_written(value: list[bool] | bool | None, indent: int) -> None:
    assert parse_json(json.dumps(value, indent=indent)) == value
    assert parse_json(canonical_bytes(value)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "a": 2}', "f.json:2: a: the key appears twice"),
        ('{"x": {"a": 1},\n "a": [{"b": 0,\n  "a": 1,\n  "b": 2}]}', "f.json:4: b: the key appears twice"),
        ('{"a": 1,\n "\\u0061": 2}', "f.json:2: a: the key appears twice"),
        ('["NaN",\n NaN]', "f.json:2: NaN is not a number"),
        ("[Infinity]", "f.json:1: Infinity is not a number"),
        ("[0,\n\n-Infinity]", "f.json:3: -Infinity is not a number"),
        ('["1e400",\n 1e400]', "f.json:2: a bare number with a point or exponent: write it as a string"),
        ("[1.0]", "f.json:1: a bare number with a point or exponent: write it as a string"),
        ("[0,\n-0]", "f.json:2: -0 is not a number here: write 0"),
        ("[\n\u0661\u0662]", "f.json:2: not JSON: Expecting value"),
        ("[1\u0662]", "f.json:1: not JSON: Expecting ',' delimiter"),
        ("\ufeff{}", "f.json: starts with a byte-order mark: save it as plain UTF-8"),
        ('["",\n "\\ud83d"]', "f.json:2: half of a surrogate pair, which is no character"),
        ('{"\\udc00": 1}', "f.json:1: half of a surrogate pair, which is no character"),
        ("", "f.json:1: not JSON: Expecting value"),
        ("[1,]", "f.json:1: not JSON: Illegal trailing comma before end of array"),
        ("[01]", "f.json:1: not JSON: Expecting ',' delimiter"),
        ("[1] 2", "f.json:1: not JSON: Extra data"),
        ("['a']", "f.json:1: not JSON: Expecting value"),
        ('["a\tb"]', "f.json:1: not JSON: Invalid control character at"),
        ("[1] // note", "f.json:1: not JSON: Extra data"),
    ],
)
def test_catalogue_35_strict_json(text: str, message: str) -> None:
    for given_text in (text, text.encode()):
        with pytest.raises(InputError) as caught:
            parse_json(given_text, file="f.json")
        # "Illegal trailing comma" is Python 3.13's; before, the reason is that a value was expected.
        trailing = message.replace("Illegal trailing comma before end of array", "Expecting value")
        assert str(caught.value) in {message, trailing}


@given(JSON)
def test_catalogue_35_surrogate_pairs_and_escaped_backslashes_are_text(
    value: list[dict[str, int | None] | list[int | str]] | None,
) -> None:
    assert parse_json(json.dumps([value, "\U0001f600", "\\ud800"])) == [value, "\U0001f600", "\\ud800"]


def test_bytes_must_be_utf8() -> None:
    with pytest.raises(InputError, match=r"^f.json: not UTF-8 text \(byte 2\)$"):
        parse_json(b'["\xff"]', file="f.json")


def test_exact_decimals_for_foreign_formats() -> None:
    assert parse_json("[1.10, 2e-3, -0.0, 7]", decimals="exact") == [Decimal("1.10"), Decimal("2e-3"), 0, 7]
    limit = MAX_INTEGER_DIGITS
    for text in (f"1e{limit}", f"1e-{limit}", f"0.{'1' * (limit - 2)}"):
        assert parse_json(f"[{text}]", decimals="exact") == [Decimal(text)]
    for text in (
        f"1e{limit + 1}",
        f"1e-{limit + 1}",
        "1e999999999999999999999",
        "1e-999999999999999999999",
        "0." + "1" * limit,
    ):
        with pytest.raises(InputError, match=r"^line:2: a number of more than 400 digits$"):
            parse_json(f"[\n{text}]", decimals="exact")


def test_catalogue_48_depth_and_digits_are_bounded_before_the_parser_sees_them() -> None:
    parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    parse_json('["' + "[" * 100_000 + '"]')
    parse_json(json.dumps(['\\"[{' * 100] * 100))
    for text in ("[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "0" + "}" * 100_000, "\n[" * 65):
        with pytest.raises(InputError, match="nested more than 64 deep"):
            parse_json(text)
    assert parse_json("9" * MAX_INTEGER_DIGITS) == 10**MAX_INTEGER_DIGITS - 1
    for digits in (MAX_INTEGER_DIGITS + 1, 10**7):
        with pytest.raises(InputError, match=r"^line:1: an integer of more than 400 digits$"):
            parse_json("-" + "9" * digits)


@pytest.mark.slow
@pytest.mark.linux
def test_catalogue_48_as_many_positions_as_there_may_be_in_bounded_memory() -> None:
    """Right ones and wrong ones, in a process that may take 256 MB more than it starts with."""
    script = """
import json, resource
from typing import ClassVar
from zkmargin.formats import Document, InputError, Map
class Big(Document):
    FORMAT: ClassVar[str] = "zkmargin/big/v1"
    positions: Map[str, str]
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (1 << 28)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
names = [f"I{i}" for i in range((1 << 17))]
text = json.dumps({"format": Big.FORMAT, "positions": dict.fromkeys(names, "1")})
assert len(Big.parse(text).positions) == (1 << 17)
for positions in (dict.fromkeys(names, "1") | {"I131071": 1}, dict.fromkeys(names, 1)):
    text = json.dumps({"format": Big.FORMAT, "positions": positions}, indent=1)
    try:
        Big.parse(text, file="big")
    except InputError as error:
        print(error)
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "big:131075: positions.I131071: input should be a valid string",
        "big: more than 1024 mistakes: this is no such document",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93.",
        b"cposix\nsystem\n(S'true'\ntR.",
        b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        b"PK\x03\x04\x14\x00\x00\x00../../etc/passwd",
        b"\x1f\x8b\x08\x00" + bytes(40),
        b"!!python/object/apply:os.system ['true']",
    ],
    ids=["pickle", "pickle protocol 0", "npy of objects", "zip", "gzip", "yaml"],
)
def test_catalogue_49_code_in_other_clothes_is_not_json(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"not (JSON|UTF-8)"):
        parse_json(data)
    with pytest.raises(InputError, match=r"not (JSON|UTF-8)"):
        load_document(Sheet, path)


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
    with pytest.raises(ValidationError) as caught:
        Leg.model_validate({"lot": 1})
    error = input_error(caught.value, file="f")
    assert (str(error), error.line) == ("f: lot: input should be a valid string", None)


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
    with pytest.raises(ValidationError) as caught:
        Secret(bound=int(CANARY))
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
    with pytest.raises(ValidationError) as caught:
        Sheet.model_validate({"legs": [{}] * 1000})
    assert caught.value.error_count() == 1


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


# The error tree


def test_exit_codes_and_hints() -> None:
    errors: list[tuple[ZkMarginError, int]] = [
        (ZkMarginError("m", hint="h"), 2),
        (InputError("m", hint="h"), 2),
        (SetupError("m", hint="h"), 2),
        (ConstraintError("m", rule="r", shortfall=5, hint="h"), 1),
        (ProofFormatError("m", hint="h"), 1),
        (VerificationError("m", check="c", hint="h"), 1),
    ]
    for error, code in errors:
        assert isinstance(error, ZkMarginError)
        assert (str(error), error.message, error.hint, error.exit_code) == ("m", "m", "h", code)
        assert not isinstance(error, ValueError), "pydantic must not swallow it"
    assert ZkMarginError("m").hint is None


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        ({}, "why"),
        ({"file": "f"}, "f: why"),
        ({"line": 3}, "line:3: why"),
        ({"file": "f", "line": 3}, "f:3: why"),
        ({"file": "f", "field": "a.b", "line": 3}, "f:3: a.b: why"),
        ({"field": "a.b"}, "a.b: why"),
    ],
)
def test_an_input_error_is_one_line(parts: Keywords, shown: str) -> None:
    assert str(InputError("why", **parts)) == shown


def test_located_fills_in_what_is_missing_and_nothing_else() -> None:
    error = InputError("why", field="a", hint="h")
    assert str(error.located(file="f", line=2)) == "f:2: a: why"
    assert error.located(file="f").hint == "h"
    assert str(error.located(file="f", line=2).located(file="g", line=9)) == "f:2: a: why"
    assert str(error) == "a: why"


def test_an_input_error_of_a_validator_comes_out_with_the_file() -> None:
    class Picky(Sheet):
        model_config = ConfigDict(frozen=True)

        def model_post_init(self, _context: None) -> None:
            raise InputError("not today", field="title", hint="tomorrow")

    with pytest.raises(InputError) as caught:
        Picky.parse(sheet_text(), file="f")
    assert (str(caught.value), caught.value.hint) == ("f: title: not today", "tomorrow")


# The bound on depth, where there are more brackets than it


def test_catalogue_48_what_is_bounded_is_the_depth_not_the_number_of_brackets() -> None:
    deepest = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    for text in (
        f"[[], {deepest}]",
        f"[{deepest}, {deepest}]",
        "[" + "[], {}, " * 100 + "0]",
        '["[", "\\"[", {}]' + " " * 70,
    ):
        assert isinstance(parse_json(text), list)
    flat = "[" + "[], {}, " * MAX_DEPTH
    for text in (
        f"[[],\n[{deepest}]]",
        f"[{deepest},\n[{deepest}]]",
        '["]]",\n' + "[" * MAX_DEPTH,
        f"{flat}\n[{deepest}]]",
        f'{flat} "\\"]]",\n[{deepest}]]',
    ):
        with pytest.raises(InputError, match=f"^line:3: nested more than {MAX_DEPTH} deep$"):
            parse_json("\n" + text)


def test_the_line_of_half_a_pair_in_a_text_that_starts_with_a_line_break() -> None:
    with pytest.raises(InputError, match=r"^line:3: half of a surrogate pair"):
        parse_json('\n["",\n"\\ud83d"]')


def test_catalogue_48_a_caller_that_is_deep_itself_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("zkmargin.formats.canonical._parse", exhausted)
    with pytest.raises(InputError, match=r"^f.json: nested too deeply$"):
        parse_json("[]", file="f.json")


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
        with pytest.raises(ValidationError):
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
    with pytest.raises(InputError, match=r"^f:4: lots\[0\]: input should be a valid string \(and 1023 more\)$"):
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


def test_catalogue_48_the_bounds_of_any_json_text() -> None:
    assert (LIMITS["values"], LIMITS["containers"], MAX_DEPTH, MAX_INTEGER_DIGITS) == (2**22, 2**19, 64, 400)
    text = "".join(chr(code) for code in range(32, 127) if chr(code) not in ',[{"\\')
    with budget(Budget({**LIMITS, "values": 1})):
        assert parse_json(f'["{text}"]') == [text]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_encoder_refuses_what_is_no_number_too(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setattr(canonical, "_refuse_floats", lambda _: None)
    with pytest.raises(ValueError, match="Out of range float values"):
        canonical_bytes(value)
