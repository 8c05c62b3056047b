"""Strict JSON in, canonical bytes out, keccak-256 over them.

Canonical form: UTF-8, object keys sorted by code point, no white space, integers in decimal, no floating
point anywhere (amounts are decimal strings). Two documents with the same content have the same bytes
whatever the order of their keys; a duplicated key is an error, not a choice.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any, Literal, NoReturn

import numpy as np
from Crypto.Hash import keccak

from zkmargin.formats.budget import spend
from zkmargin.formats.errors import InputError
from zkmargin.formats.lines import TOKEN, line_of_twin, place_of_literal

MAX_INTEGER_DIGITS = 400
MAX_DEPTH = 64

# Any: JSON values are as wide as JSON; the models above give them types.
Json = Any


def keccak256(data: bytes) -> bytes:
    """Keccak-256 with the original 0x01 padding (the EVM's hash, not SHA3-256). Returns 32 bytes.

    Example:
        >>> keccak256(b"").hex()[:16]
        'c5d2460186f7233c'
    """
    return keccak.new(digest_bits=256, data=data).digest()


def canonical_bytes(value: Json) -> bytes:
    """The canonical encoding of a JSON value made of dict, list, str, int, bool and None.

    Raises:
        TypeError: a float or another type is inside (our own mistake, never the user's).

    Example:
        >>> canonical_bytes({"b": [1, True, None], "a": "x"})
        b'{"a":"x","b":[1,true,null]}'
    """
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def indented(value: Json) -> str:
    """The text of ``json.dumps(value, indent=1, ensure_ascii=False)``, sooner: that is Python's own slow encoder.

    Example:
        >>> print(indented({"a": [1, True, None], "b": {}}))
        {
         "a": [
          1,
          true,
          null
         ],
         "b": {}
        }
    """
    parts: list[str] = []
    _indent(value, "\n", parts.append)
    return "".join(parts)


def _indent(value: Json, line: str, put: Callable[[str], None]) -> None:
    if isinstance(value, str):
        put(encode_basestring(value))
    elif isinstance(value, dict) and value:
        inner, before = line + " ", "{"
        for key, item in value.items():
            put(f"{before}{inner}{encode_basestring(key)}: ")
            _indent(item, inner, put)
            before = ","
        put(line + "}")
    elif isinstance(value, (list, tuple)) and value:
        inner, before = line + " ", "["
        for item in value:
            put(before + inner)
            _indent(item, inner, put)
            before = ","
        put(line + "]")
    else:
        put(json.dumps(value))


_PLAIN = frozenset({str, int, bool, type(None)})


_TEXT = frozenset({str})


def _refuse_floats(value: Json) -> None:
    items: Iterable[Json]
    if isinstance(value, dict):
        if not _TEXT.issuperset(map(type, value)) and not all(isinstance(key, str) for key in value):
            raise TypeError("canonical JSON has string keys only")
        items = value.values()
    elif isinstance(value, (list, tuple)):
        items = value
    elif value is None or isinstance(value, (str, int)):
        return
    else:
        raise TypeError(f"canonical JSON holds no {type(value).__name__}")
    if not _PLAIN.issuperset(map(type, items)):  # thousands of slots are looked at for every snapshot
        for item in items:
            if type(item) not in _PLAIN:
                _refuse_floats(item)


def parse_json(text: str | bytes, *, file: str | None = None, decimals: Literal["refuse", "exact"] = "refuse") -> Json:
    """Parse JSON strictly: no duplicate keys, no NaN or Infinity, bounded depth, integer size and number of values.

    Args:
        text: the document; bytes must be UTF-8 without a byte-order mark.
        file: name used in errors.
        decimals: ``refuse`` for our own formats (numbers with a fraction are written as strings);
            ``exact`` gives them as ``Decimal``, for foreign formats.

    Raises:
        InputError: with the line of the first problem; never with a number of the document, which may be secret.

    Example:
        >>> parse_json('{"a": [1, "2"]}')
        {'a': [1, '2']}
        >>> parse_json('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: line:1: a: the key appears twice
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        _refuse_byte_order_mark(text)
        _bound_values(text)
        _bound_depth(text)
        value = _parse(text, decimals)
        _refuse_lone_surrogates(text)
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", file=file) from None
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", file=file, line=error.lineno) from None
    except RecursionError:
        raise InputError("nested too deeply", file=file) from None
    except InputError as error:
        raise error.located(file=file) from None
    return value


def _parse(text: str, decimals: Literal["refuse", "exact"]) -> Json:
    def refuse(literal: str, reason: str) -> NoReturn:
        line, field = place_of_literal(text, literal)
        raise InputError(reason, line=line, field=field)

    def integer(digits: str) -> int:
        if len(digits) > MAX_INTEGER_DIGITS:
            refuse(digits, f"an integer of more than {MAX_INTEGER_DIGITS} digits")
        if digits == "-0":
            refuse(digits, "-0 is not a number here: write 0")
        return int(digits)

    def fraction(digits: str) -> Decimal:
        if decimals == "refuse":
            refuse(digits, "a bare number with a point or exponent: write it as a string")
        try:
            number = Decimal(digits) if len(digits) <= MAX_INTEGER_DIGITS else None
        except InvalidOperation:  # an exponent beyond what Decimal itself holds
            number = None
        if number is None or abs(number.adjusted()) > MAX_INTEGER_DIGITS:
            refuse(digits, f"a number of more than {MAX_INTEGER_DIGITS} digits")
        return number

    def constant(name: str) -> NoReturn:
        refuse(name, f"{name} is not a number")

    def pairs(items: list[tuple[str, Json]]) -> dict[str, Json]:
        result = dict(items)
        if len(result) != len(items):
            key = Counter(key for key, _ in items).most_common(1)[0][0]
            raise InputError("the key appears twice", field=key[:200], line=line_of_twin(text, key))
        return result

    return json.loads(text, parse_int=integer, parse_float=fraction, parse_constant=constant, object_pairs_hook=pairs)


def _refuse_byte_order_mark(text: str) -> None:
    if text.startswith("\ufeff"):
        raise InputError("starts with a byte-order mark: save it as plain UTF-8")


def _refuse_lone_surrogates(text: str) -> None:
    """JSON can spell half a surrogate pair, which is no character: UTF-8 and so the canonical form cannot hold it."""
    if not re.search(r"\\u[dD][89a-fA-F]", text):
        return
    for match in TOKEN.finditer(text):
        token = match.group()
        if token[0] == '"' and "\\u" in token:
            try:
                json.loads(token).encode()
            except UnicodeEncodeError:
                line = text.count("\n", 0, match.start()) + 1
                raise InputError("half of a surrogate pair, which is no character", line=line) from None


def _bound_values(text: str) -> None:
    """Draw the text and its values before any is made (marks inside strings count too: harmless)."""
    spend("characters", len(text))
    containers = text.count("[") + text.count("{")
    spend("containers", containers)
    spend("values", containers + text.count(","))


#: A string, closed or not, or a bracket outside of strings. Possessive, so that no text makes it look twice.
_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|([\[\]{}])', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _bound_depth(text: str) -> None:
    """Refuse deep nesting before the recursive parser sees it."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    # without escapes every quote begins or ends a string, and to split there is quicker
    outside = _BRACKET.findall(text) if "\\" in text else text.split('"')[::2]
    brackets = np.frombuffer("".join(outside).encode().translate(None, _NO_BRACKETS), dtype=np.uint8)
    steps = np.where(np.isin(brackets, list(b"[{")), 1, -1)
    if (np.cumsum(steps) > MAX_DEPTH).any():
        raise InputError(f"nested more than {MAX_DEPTH} deep", line=_line_of_depth(text))


def _line_of_depth(text: str) -> int:
    """The line of the bracket that opens more than the allowed depth."""
    depth = 0
    for match in _BRACKET.finditer(text):
        if match[1]:
            depth += 1 if match[1] in "[{" else -1
            if depth > MAX_DEPTH:
                return text.count("\n", 0, match.start()) + 1
    raise AssertionError("only called where one is too deep")
