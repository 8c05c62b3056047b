"""A JSON document that is larger than memory should hold: its rows one at a time, in two passes.

What stands around rows may come after them (a time at the end of an answer), so one pass is not enough. The first
looks over the whole document: it checks what ``formats.parse_json`` checks, and remembers of every *large* object or
list (more than ``LARGE`` values) which keys it has and what scalars they hold. The second hands out everything that is
not large as a value, with the scalars that stand around it. Memory is bounded by the names of one object, ``LARGE``
values and one text of ``MAX_TEXT_BYTES``, whatever the document's size.

Tokens come from ijson (its C backend yajl where it is installed): a parser that gives events, with numbers as exact
``Decimal``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

import ijson

from zkmargin.formats import InputError
from zkmargin.formats.canonical import MAX_DEPTH, MAX_INTEGER_DIGITS

#: Values of an object or list that is not held as a whole.
LARGE = 1 << 14
#: Names of one object.
MAX_NAMES = 1 << 17
MAX_TEXT_BYTES = 16 << 20
CHUNK = 1 << 16

Json = Any
Event = tuple[str, Any]
#: Digits in a row that no text has either; Python's own bound on integers is 4,300.
MAX_RUN = 4000
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_DIGITS = re.compile(rb"[0-9]{%d}" % MAX_RUN)
_START, _END = ("start_map", "start_array"), ("end_map", "end_array")


class Piece(NamedTuple):
    """A value that is not large, and the large objects around it, the outermost first.

    Attributes:
        value: object, list or scalar.
        path: of each container around it its ``Shallow`` and the key that leads on, None in a list.
    """

    value: Json
    path: tuple[tuple[Shallow, str | None], ...]


@dataclass(slots=True)
class Shallow:
    """A large container: the values of its keys; what is itself a container stands there empty."""

    is_map: bool
    values: dict[str, Json] = field(default_factory=dict)
    all_objects: bool = True
    count: int = 1
    key: str | None = None

    def add(self, value: Json) -> None:
        """Take note of the next value. Raises InputError for a name that came before, or too many of them."""
        self.all_objects &= isinstance(value, dict)
        if not self.is_map:
            return
        name = self.key or ""
        if name in self.values:
            raise InputError("the key appears twice", field=name[:200])
        if len(self.values) >= MAX_NAMES:
            raise InputError(f"an object of more than {MAX_NAMES} names")
        self.values[name] = value


def look_over(file: BinaryIO) -> dict[int, Shallow]:
    """The first pass: every large container, by its number in the order of their beginnings.

    Raises:
        InputError: not JSON, or beyond a bound.
    """
    large: dict[int, Shallow] = {}
    stack: list[tuple[int, Shallow]] = []
    number = 0
    for kind, value in _events(file):
        if kind == "map_key":
            stack[-1][1].key = value
        elif kind in _END:
            at, ended = stack.pop()
            if ended.count > LARGE:
                large[at] = ended
            if stack:
                stack[-1][1].count += ended.count
        else:
            started = kind in _START
            if stack:
                shown: Json = ({} if kind == "start_map" else []) if started else value
                stack[-1][1].add(shown)
                stack[-1][1].count += 1
            if started:
                if len(stack) >= MAX_DEPTH:
                    raise InputError("nested too deeply")
                stack.append((number, Shallow(kind == "start_map")))
                number += 1
            else:
                _check_scalar(value)
    return large


def pieces(file: BinaryIO, large: Mapping[int, Shallow], wanted: Callable[[Shallow, str], bool]) -> Iterator[Piece]:
    """The second pass: everything that is not large, in the document's order.

    Args:
        file: the same document from its start.
        large: what the first pass found.
        wanted: whether what is under a key of a large object is asked for.
    """
    events = _events(file)
    path: list[tuple[Shallow, str | None]] = []
    number = 0  # containers begun
    for kind, value in events:
        if kind == "map_key":
            path[-1] = (path[-1][0], value)
        elif kind in _END:
            path.pop()
        elif kind in _START and number in large:
            path.append((large[number], None))
            number += 1
        else:
            asked = all(key is None or wanted(around, key) for around, key in path)
            built, begun = _built(kind, value, events, keep=asked)
            number += begun
            if asked:
                yield Piece(built, tuple(path))


def beginning(file: BinaryIO, events: int) -> Json:
    """What the first events of a document say, however it goes on. Raises InputError."""
    builder = ijson.ObjectBuilder()
    for kind, value in islice(_events(file), events):
        builder.event(kind, value)
    return getattr(builder, "value", None)


def _built(kind: str, value: Any, events: Iterator[Event], *, keep: bool) -> tuple[Json, int]:
    """The value that begins with an event, and how many containers begin in it."""
    builder, depth, begun = ijson.ObjectBuilder(), 0, 0
    while True:
        if keep:
            builder.event(kind, value)
        if kind in _START:
            depth, begun = depth + 1, begun + 1
        elif kind in _END:
            depth -= 1
        if not depth:
            return getattr(builder, "value", None), begun
        kind, value = next(events)


def _events(file: BinaryIO) -> Iterator[Event]:
    """The tokens of a document. Raises InputError."""
    watched = _Watched(file)
    try:
        for event in ijson.basic_parse(watched, buf_size=CHUNK):
            watched.alive()
            yield event
        watched.check_end()
    except ijson.IncompleteJSONError:
        raise InputError("not JSON: it ends in the middle, or is malformed") from None
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text") from None
    except (ijson.JSONError, ValueError, ArithmeticError) as error:
        raise InputError(f"not JSON: {str(error).splitlines()[0][:80] if str(error) else 'malformed'}") from None


class _Watched:
    """Reads a file without its byte-order mark, and gives up on one text without end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._read, self._seen, self._last = file, 0, 0, b""
        self._quotes, self._escape = 0, b""

    def alive(self) -> None:
        """A token came."""
        self._seen = self._read

    def check_end(self) -> None:
        """Raises InputError: a text that never ended, which the parser passes over behind the document."""
        if self._quotes % 2:
            raise InputError("not JSON: extra data")

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if not self._read:
            data = data.removeprefix(b"\xef\xbb\xbf")
        self._read += len(data)
        # ijson 3.6's C backend goes on with Python's refusal of such an integer pending: it must not see one
        if _DIGITS.search(self._last + data):
            raise InputError(f"a number of more than {MAX_INTEGER_DIGITS} digits")
        self._last = data[-MAX_RUN:]
        plain = _ESCAPED.sub(b"", self._escape + data)
        self._quotes += plain.count(b'"')
        self._escape = b"\\" if plain.endswith(b"\\") else b""
        if self._read - self._seen > MAX_TEXT_BYTES:
            raise InputError(f"one text of more than {MAX_TEXT_BYTES} bytes")
        return data


def _check_scalar(value: Json) -> None:
    """Raises InputError for a number of too many digits."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, int):
        digits = len(str(abs(value)))
    else:
        number = Decimal(value)
        digits = max(len(number.as_tuple().digits), abs(number.adjusted()))
    if digits > MAX_INTEGER_DIGITS:
        raise InputError(f"a number of more than {MAX_INTEGER_DIGITS} digits")
