"""Strict JSON in, canonical bytes out, keccak-256 over them.

Canonical form: UTF-8, object keys sorted by code point, no white space, integers in decimal, no floating
point anywhere (amounts are decimal strings). Two documents with the same content have the same bytes
whatever the order of their keys; a duplicated key is an error, not a choice.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Literal

from Crypto.Hash import keccak

from formats.errors import InputError

MAX_INTEGER_DIGITS = 400
MAX_DEPTH = 64

# Any: JSON values are as wide as JSON; the models above give them types.
Json = Any


def keccak256(data: bytes) -> bytes:
    """Keccak-256 with the original 0x01 padding (the EVM's hash, not SHA3-256). Returns 32 bytes."""
    return keccak.new(digest_bits=256, data=data).digest()


def canonical_bytes(value: Json) -> bytes:
    """The canonical encoding of a JSON value made of dict, list, str, int, bool and None.

    Raises:
        TypeError: a float or another type is inside (our own mistake, never the user's).
    """
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _refuse_floats(value: Json) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError("canonical JSON has string keys only")
            _refuse_floats(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _refuse_floats(item)
    elif not (value is None or isinstance(value, (str, int))):
        raise TypeError(f"canonical JSON holds no {type(value).__name__}")


def parse_json(text: str | bytes, *, file: str | None = None, decimals: Literal["refuse", "exact"] = "refuse") -> Json:
    """Parse JSON strictly: no duplicate keys, no NaN or Infinity, bounded depth and integer size.

    Args:
        text: the document; bytes must be UTF-8 without a byte-order mark.
        file: name used in errors.
        decimals: ``refuse`` for our own formats (numbers with a fraction are written as strings);
            ``exact`` gives them as ``Decimal``, for foreign formats.

    Raises:
        InputError: with the line of the first problem where the parser knows it.
    """

    def integer(digits: str) -> int:
        if len(digits) > MAX_INTEGER_DIGITS:
            raise InputError(f"an integer of {len(digits)} digits (at most {MAX_INTEGER_DIGITS})", file=file)
        if digits == "-0":
            raise InputError("-0 is not a number here: write 0", file=file)
        return int(digits)

    def fraction(digits: str) -> Decimal:
        if decimals == "refuse":
            raise InputError(
                f"the bare number {digits[:40]}: write numbers with a point or exponent as strings", file=file
            )
        if len(digits) > MAX_INTEGER_DIGITS:
            raise InputError("a number of too many digits", file=file)
        number = Decimal(digits)
        if not number.is_finite() or abs(number.adjusted()) > MAX_INTEGER_DIGITS:
            raise InputError(f"the number {digits[:40]} is out of range", file=file)
        return number

    def constant(name: str) -> Json:
        raise InputError(f"{name} is not a number", file=file)

    def pairs(items: list[tuple[str, Json]]) -> dict[str, Json]:
        result = dict(items)
        if len(result) != len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    raise InputError("the key appears twice", file=file, field=key[:200])
                seen.add(key)
        return result

    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        if text.startswith("\ufeff"):
            raise InputError("starts with a byte-order mark: save it as plain UTF-8", file=file)
        _bound_depth(text, file)
        return json.loads(
            text, parse_int=integer, parse_float=fraction, parse_constant=constant, object_pairs_hook=pairs
        )
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", file=file) from None
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", file=file, line=error.lineno) from None
    except RecursionError:
        raise InputError("nested too deeply", file=file) from None


def _bound_depth(text: str, file: str | None) -> None:
    """Refuse deep nesting before the recursive parser sees it (brackets inside strings count too: harmless)."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth, inside, escaped = 0, False, -1
    # Only structural characters matter, so skip from one to the next instead of walking every character.
    for match in re.finditer(r'[\[\]{}"\\]', text):
        char = match.group()
        if inside:
            if escaped == match.start():
                continue
            if char == "\\":
                escaped = match.start() + 1
            elif char == '"':
                inside = False
        elif char == '"':
            inside, escaped = True, -1
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                line = text.count("\n", 0, match.start()) + 1
                raise InputError(f"nested more than {MAX_DEPTH} deep", file=file, line=line)
        elif char in "]}":
            depth -= 1


def line_of(text: str, key: str) -> int | None:
    """The 1-based line on which an object key first appears, for error messages."""
    at = text.find(json.dumps(key, ensure_ascii=False))
    return None if at < 0 else text.count("\n", 0, at) + 1
