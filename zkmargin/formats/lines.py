"""Where something stands in a JSON text, for error messages: lines count from 1.

Read only after the parser has accepted the text as far as the place asked for, and only on errors: parsing itself
stays with the standard library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: A string, a structural character, or a literal. Possessive: a string of any length takes no stack.
TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]++')
#: What a parser takes for a number at the beginning of a token.
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|NaN|-?Infinity")

Path = Sequence[str | int]


class Member(NamedTuple):
    """A member of an object or array: of which (in order of opening), how deep, its key or index, its offset."""

    container: int
    depth: int
    step: str | int
    offset: int


def line_at(text: str, path: Path) -> int | None:
    """The line of the member that a path of keys and indices leads to; None when there is no such member."""
    missing = list(path)
    for member in _members(text) if path else ():
        if member.depth == len(path) - len(missing) + 1 and member.step == missing[0]:
            del missing[0]
            if not missing:
                return _line(text, member.offset)
    return None


def line_of_twin(text: str, key: str) -> int | None:
    """The line on which an object has the key for the second time."""
    seen: set[int] = set()
    for member in _members(text):
        if member.step == key:
            if member.container in seen:
                return _line(text, member.offset)
            seen.add(member.container)
    return None


def line_of_literal(text: str, literal: str) -> int | None:
    """The line of the first number, constant or (with its quotes) string that is written like this."""
    found = (match.start() for match in TOKEN.finditer(text) if match.group() == literal)
    return next((_line(text, offset) for offset in found), None)


def place_of_literal(text: str, literal: str) -> tuple[int | None, str | None]:
    """The line of the first number or constant that a parser reads as this, and its field, as errors write it.

    A parser stops behind a number, whatever follows it without a blank: ``1.5x`` is read as ``1.5`` first.
    """
    tokens = ((match.start(), NUMBER.match(match.group())) for match in TOKEN.finditer(text))
    offset = next((start for start, number in tokens if number and number.group() == literal), None)
    if offset is None:
        return None, None
    path: list[str | int] = []
    # no further than the literal: what follows it nobody has parsed yet
    for member in _members(text[: offset + len(literal)]):
        path[member.depth - 1 :] = [member.step]
    return _line(text, offset), field_name(path)


def field_name(path: Path) -> str | None:
    """A path as errors write it: ``legs[2].price``; None at the top."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")[:200] or None


def existing_path(value: object, location: Path) -> list[str | int]:
    """The part of a pydantic location that is in the data: without the names of union members and missing keys."""
    path: list[str | int] = []
    for step in location:
        is_key = isinstance(value, dict) and step in value
        if is_key or (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            value = value[step]  # type: ignore[index]  # one of the two that can be indexed
            path.append(step)
    return path


def _members(text: str) -> Iterator[Member]:
    open_containers: list[tuple[int, bool]] = []
    indices: list[int] = []
    opened, previous = 0, ""
    for match in TOKEN.finditer(text):
        lexeme = match.group()
        if open_containers and lexeme not in {"]", "}", ",", ":"}:
            container, in_array = open_containers[-1]
            if in_array:
                yield Member(container, len(open_containers), indices[-1], match.start())
                indices[-1] += 1
            elif previous != ":":
                yield Member(container, len(open_containers), json.loads(lexeme), match.start())
        if lexeme in {"{", "["}:
            open_containers.append((opened, lexeme == "["))
            indices.append(0)
            opened += 1
        elif lexeme in {"}", "]"}:
            open_containers.pop()
            indices.pop()
        previous = lexeme


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
