"""Streaming XML in bounded memory, hardened: no document types, so no entities of any kind, and caps on everything.

Text goes to expat in chunks; an element becomes a ``Record`` (texts and sub-records by tag) when it ends. Elements
with a handler are handed over and dropped, so that memory holds one of them at a time, whatever the file's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from zkmargin.engine.importers.span_common import Progress
from zkmargin.formats import InputError

MAX_XML_BYTES = 4 << 30
MAX_DEPTH = 32
MAX_TEXT = 4096
MAX_CHILDREN = 100_000
CHUNK = 1 << 20
MAX_TOKEN = 2 * CHUNK
_DECLARATION = 200


@dataclass(slots=True)
class Record:
    """One element: the text and the sub-records of each tag in it, and the line where it starts."""

    tag: str
    line: int
    texts: dict[str, list[str]] = field(default_factory=dict)
    records: dict[str, list[Record]] = field(default_factory=dict)
    children: int = 0

    def text(self, tag: str) -> str | None:
        """The text of the first such element; None without one."""
        found = self.texts.get(tag)
        return found[0] if found else None

    def need(self, tag: str) -> str:
        """The same. Raises InputError with the line where there is none."""
        found = self.text(tag)
        if not found:
            raise InputError(f"no <{tag}>", field=f"<{self.tag}>", line=self.line)
        return found

    def all(self, *path: str) -> list[Record]:
        """Every sub-record along a path of tags."""
        found = [self]
        for tag in path:
            found = [child for record in found for child in record.records.get(tag, [])]
        return found


#: Takes an element that ended and the elements around it, outermost first. Returns True to skip what is left of the
#: innermost one.
Handler = Callable[[Record, list[Record]], bool | None]


def read_xml(
    path: str | Path,
    handlers: Mapping[str, Handler],
    *,
    texts: Mapping[str, Callable[[str, list[Record]], bool]] | None = None,
    progress: Progress | None = None,
) -> None:
    """Read a file, handing over every element whose tag has a handler.

    Args:
        path: the file.
        handlers: by tag.
        texts: by tag of an element with text alone: whether to skip the rest of the element around it.
        progress: called with bytes read and bytes in all.

    Raises:
        InputError: unreadable, too large, not well-formed, a document type, too deep, too long a text; names the line.
    """
    name = str(path)
    try:
        size = Path(path).stat().st_size
        if size > MAX_XML_BYTES:
            raise InputError(f"larger than {MAX_XML_BYTES} bytes", file=name)
        with Path(path).open("rb") as file:
            _feed(file, name, _Reader(handlers, texts or {}), size, progress)
    except OSError as error:
        raise InputError(f"cannot be read: {(error.strerror or 'error').lower()}", file=name) from None


def _feed(file: BinaryIO, name: str, reader: _Reader, size: int, progress: Progress | None) -> None:
    chunk, done = file.read(CHUNK), 0
    # Files of this kind are Latin-1 and often do not say so; one that says what it is, is believed.
    declared = b"encoding" in chunk[:_DECLARATION].partition(b"?>")[0]
    parser = expat.ParserCreate(None if declared or chunk[:3] == b"\xef\xbb\xbf" else "iso-8859-1")
    reader.attach(parser)
    try:
        while chunk:
            parser.Parse(chunk, False)
            done += len(chunk)
            if done - parser.CurrentByteIndex > MAX_TOKEN:  # expat reads a token again with every chunk
                raise InputError(f"a tag or comment of more than {MAX_TOKEN} bytes")  # noqa: TRY301 - located below
            if progress is not None:
                progress(done, max(size, done))
            chunk = file.read(CHUNK)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise InputError(f"not XML: {reason}", file=name, line=error.lineno) from None
    except InputError as error:
        raise error.located(file=name, line=error.line or parser.CurrentLineNumber) from None


class _Reader:
    """The expat callbacks: a stack of records."""

    def __init__(
        self, handlers: Mapping[str, Handler], texts: Mapping[str, Callable[[str, list[Record]], bool]]
    ) -> None:
        self._handlers, self._texts = handlers, texts
        self._stack: list[Record] = []
        self._text: list[str] = []
        self._length = 0
        self._leaf = False
        self._skipped = 0
        self._skipping = False

    def attach(self, parser: expat.XMLParserType) -> None:
        self._parser = parser
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def _doctype(self, *_parts: object) -> None:
        raise InputError("a document type or entity: not in files of this kind, and refused for safety")

    def _start(self, tag: str, _attributes: object) -> None:
        if self._skipping:
            self._skipped += 1
            return
        if len(self._stack) >= MAX_DEPTH:
            raise InputError(f"elements nested more than {MAX_DEPTH} deep")
        if self._stack:
            parent = self._stack[-1]
            parent.children += 1
            if parent.children > MAX_CHILDREN and tag not in self._handlers:
                raise InputError(f"more than {MAX_CHILDREN} elements in one", field=f"<{parent.tag}>")
        self._stack.append(Record(tag, self._parser.CurrentLineNumber))
        self._text, self._length, self._leaf = [], 0, True

    def _data(self, text: str) -> None:
        if self._leaf and not self._skipping:
            self._length += len(text)
            if self._length > MAX_TEXT:
                raise InputError(f"a text of more than {MAX_TEXT} characters", field=f"<{self._stack[-1].tag}>")
            self._text.append(text)

    def _end(self, _tag: str) -> None:
        if self._skipping:
            if self._skipped:
                self._skipped -= 1
                return
            # the end of the element that was skipped: its parts are dropped
            self._skipping = False
            self._stack.pop()
            self._leaf = False
            return
        record = self._stack.pop()
        leaf, self._leaf = self._leaf, False
        handler = self._handlers.get(record.tag)
        if handler is not None:
            self._skipping = bool(handler(record, self._stack)) and bool(self._stack)
        elif self._stack and leaf:
            text = "".join(self._text).strip()
            self._stack[-1].texts.setdefault(record.tag, []).append(text)
            chooser = self._texts.get(record.tag)
            if chooser is not None:
                self._skipping = chooser(text, self._stack)
        elif self._stack:
            self._stack[-1].records.setdefault(record.tag, []).append(record)
