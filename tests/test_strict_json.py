"""Strict JSON: what a text may be, what it is read as, and within which bounds. Catalogue numbers: hostile inputs."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sheets import JSON, Sheet
from support.typed import Json

from zkmargin.formats import InputError, canonical, canonical_bytes, load_document, parse_json
from zkmargin.formats.budget import LIMITS, Budget, budget
from zkmargin.formats.canonical import MAX_DEPTH, MAX_INTEGER_DIGITS, indented

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
        ('["NaN",\n NaN]', "f.json:2: [1]: NaN is not a number"),
        ("[Infinity]", "f.json:1: [0]: Infinity is not a number"),
        ("[0,\n\n-Infinity]", "f.json:3: [1]: -Infinity is not a number"),
        ('["1e400",\n 1e400]', "f.json:2: [1]: a bare number with a point or exponent: write it as a string"),
        ("[1.0]", "f.json:1: [0]: a bare number with a point or exponent: write it as a string"),
        ("1.0", "f.json:1: a bare number with a point or exponent: write it as a string"),
        ('{"a": [[], {"b": "NaN",\n "c": {}}, {"c": NaN}]}', "f.json:2: a[2].c: NaN is not a number"),
        ("[0,\n-0]", "f.json:2: [1]: -0 is not a number here: write 0"),
        # what follows a refused number was never parsed: it may close what nobody opened, or have keys that are none
        ("0.5}", "f.json:1: a bare number with a point or exponent: write it as a string"),
        ('[{"a": 0.5}}]]', "f.json:1: [0].a: a bare number with a point or exponent: write it as a string"),
        ("[0.5{x", "f.json:1: [0]: a bare number with a point or exponent: write it as a string"),
        ('NaN"a": 1]', "f.json:1: NaN is not a number"),
        ("\n0.5x}0.5", "f.json:2: a bare number with a point or exponent: write it as a string"),
        ("[1,\n-0x}]]-0", "f.json:2: [1]: -0 is not a number here: write 0"),
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
        with pytest.raises(InputError, match=r"^line:2: \[0\]: a number of more than 400 digits$"):
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
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
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
