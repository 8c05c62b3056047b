"""Strict JSON: the page and Python read the same texts, refuse the same ones, and write the same canonical bytes."""

from __future__ import annotations

from typing import Any

import pytest
from third import ask

from zkmargin.formats import InputError, canonical_bytes, parse_json

READ = (
    "{}",
    "[]",
    "null",
    '"x"',
    "0",
    "-1",
    ' { "b" : 1 ,\t"a":\r\n[true,false,null] } ',
    str(2**53 + 1),
    str(-(10**398)),
    '{"\\u0061":1}',
    '"\\ud83d\\ude00 \\b\\f\\n\\r\\t\\"\\\\\\/"',
    '"\x7f \u2028 \ufeff é"',
    '{"\\uffff":1,"\\ud800\\udc00":2,"a":3,"B":4,"":5}',
    '{"__proto__":{"x":1},"constructor":2,"toString":3}',
    "[" * 63 + "]" * 63,
)
REFUSED = (
    "",
    " ",
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":1}',
    '{"__proto__":1,"__proto__":2}',
    "1.0",
    "1e3",
    "1E3",
    "-0",
    "-",
    "+1",
    "01",
    "00",
    "0x1",
    "1_000",
    "NaN",
    "Infinity",
    "-Infinity",
    "nul",
    "true false",
    "[1,]",
    '{"a":1,}',
    "[1 2]",
    "{1:2}",
    "{'a':1}",
    '{"a" 1}',
    '"a',
    '"\\x41"',
    '"\\u12"',
    '"\\u12g4"',
    '"\n"',
    '"\x00"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    "[] []",
    "[]x",
    "\ufeff[]",
    "\u00a0[]",
    "/* */[]",
    "9" * 401,
    "[" * 100 + "]" * 100,
    '{"a":',
    "]",
)


def python(text: bytes) -> str | None:
    try:
        return canonical_bytes(parse_json(text.decode("utf-8"))).decode()
    except (InputError, UnicodeError):
        return None


def answers(texts: tuple[bytes, ...]) -> list[dict[str, Any]]:
    return list(ask({"json": text.hex()} for text in texts))


def test_what_is_read_is_written_alike() -> None:
    texts = tuple(text.encode() for text in READ)
    for text, answer in zip(texts, answers(texts), strict=True):
        assert answer.get("canonical") == python(text) is not None, text[:60]


def test_what_is_refused_is_refused_by_both() -> None:
    texts = (*(text.encode() for text in REFUSED), b"\xff", b'"\xed\xa0\x80"', b'"\xc0\xaf"', b"\xef\xbb\xbf{}")
    for text, answer in zip(texts, answers(texts), strict=True):
        assert "rejected" in answer, text[:60]
        assert python(text) is None, text[:60]


@pytest.mark.parametrize("length", [400, 401])
def test_how_long_an_integer_may_be(length: int) -> None:
    text = b"1" * length
    (answer,) = answers((text,))
    assert answer.get("canonical") == python(text)
