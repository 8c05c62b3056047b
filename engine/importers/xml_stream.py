"""Streaming XML in bounded memory, hardened: no document types, so no entities, and a budget for what is held.

Bytes go to expat in pieces. Elements whose tag is not wanted are passed over with everything in them; the others become
a ``Record`` (texts and sub-records by tag) when they end. Elements with a handler are handed over and dropped, so that
memory holds one of them at a time, whatever the file's size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Literal
from xml.parsers import expat

from zkmargin.engine.importers.source import Progress, Source
from zkmargin.formats import InputError

MAX_DEPTH = 32
MAX_TEXT = 4096
#: Bytes of memory that what is wanted may take at a time: a commodity, a contract or a spread, of which the largest in
#: published files have some thousand elements. About what a record, and a text in one, take in Python.
MAX_HELD = 16 << 20
RECORD_COST, TEXT_COST = 640, 160
CHUNK = 1 << 18
MAX_TOKEN = 8 * CHUNK
_DECLARATION = 200
#: Encodings that a file may declare. One that declares none is read byte by byte, and wanted text must be ASCII.
ENCODINGS = ("utf-8", "iso-8859-1", "latin-1", "us-ascii", "ascii")
_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")


@dataclass(slots=True)
class Record:
    """One element: the text and the sub-records of each tag in it, and the line where it starts."""

    tag: str
    line: int
    texts: dict[str, list[str]] = field(default_factory=dict)
    records: dict[str, list[Record]] = field(default_factory=dict)
    cost: int = RECORD_COST

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


#: Takes an element that ended and the elements around it, outermost first; it is dropped then. ``keep`` leaves it in
#: the innermost one, ``skip`` passes over what is left of that.
Handler = Callable[[Record, list[Record]], Literal["keep", "skip"] | None]
#: Takes an element with text alone, which is kept: whether to pass over what is left of the innermost one around it.
TextHandler = Callable[[str, list[Record]], bool]


def read_xml(
    source: Source,
    handlers: Mapping[str, Handler],
    wanted: Collection[str],
    *,
    texts: Mapping[str, TextHandler] | None = None,
    progress: Progress | None = None,
    part: int = 0,
    parts: int = 1,
) -> None:
    """Read a file, handing over every element whose tag has a handler.

    Args:
        source: the file.
        handlers: by tag.
        wanted: tags of elements that are looked into or kept; every other one is passed over with what is in it.
        texts: by tag of an element with text alone: whether to skip the rest of the element around it.
        progress: called with bytes read and bytes in all.
        part, parts: which of how many passes this is.

    Raises:
        InputError: not well-formed, an encoding that is not read, a document type, too deep, too long a text, too
            much of it at once; names the line.
    """
    with source.reader(progress, part=part, parts=parts) as file:
        _feed(file, source.name, _Reader(handlers, frozenset(wanted) | frozenset(handlers), texts or {}))


def encoding_of(head: bytes) -> tuple[str, bool]:
    """The encoding to read a file with, and whether the file says so. Raises InputError for one that is not read."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00<", b"<\x00")):
        raise InputError("UTF-16 text, which is not read here", hint="save it as UTF-8")
    match = _ENCODING.match(head[:_DECLARATION].removeprefix(b"\xef\xbb\xbf"))
    if match is not None:
        name = match[1].decode("ascii").lower()
        if name not in ENCODINGS:
            raise InputError(f"its encoding is {name}: one of {', '.join(ENCODINGS[:2])} is read", field="encoding")
        return "utf-8" if name == "utf-8" else "iso-8859-1", True
    return ("utf-8", True) if head.startswith(b"\xef\xbb\xbf") else ("iso-8859-1", False)


def _feed(file: BinaryIO, name: str, reader: _Reader) -> None:
    chunk, done = file.read(CHUNK), 0
    try:
        encoding, declared = encoding_of(chunk)
    except InputError as error:
        raise error.located(file=name, line=1) from None
    parser = expat.ParserCreate(encoding)
    reader.attach(parser, declared=declared)
    try:
        while chunk:
            parser.Parse(chunk, False)
            done += len(chunk)
            if done - parser.CurrentByteIndex > MAX_TOKEN:  # expat reads a token again with every chunk
                raise InputError(f"a tag or comment of more than {MAX_TOKEN} bytes")  # noqa: TRY301 - located below
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
        self, handlers: Mapping[str, Handler], wanted: frozenset[str], texts: Mapping[str, TextHandler]
    ) -> None:
        self._handlers, self._wanted, self._texts = handlers, wanted, texts
        self._stack: list[Record] = []
        self._text: list[str] = []
        self._length = 0
        self._leaf = False
        self._held = 0
        # elements open inside what is skipped, and whether that is the rest of the innermost record
        self._skipped = 0
        self._rest = False

    def attach(self, parser: expat.XMLParserType, *, declared: bool) -> None:
        self._parser, self._declared = parser, declared
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        parser.XmlDeclHandler = self._declaration
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and not (self._declared and encoding.lower() in ENCODINGS):
            raise InputError(f"it says its encoding after {_DECLARATION} bytes", field="encoding")

    def _doctype(self, *_parts: object) -> None:
        raise InputError("a document type or entity: not in files of this kind, and refused for safety")

    def _start(self, tag: str, _attributes: object) -> None:
        if self._skipped or self._rest:
            self._skipped += 1
            return
        if tag not in self._wanted:
            self._leaf = False
            self._skipped = 1
            self._parser.CharacterDataHandler = None
            return
        if len(self._stack) >= MAX_DEPTH:
            raise InputError(f"elements nested more than {MAX_DEPTH} deep")
        self._hold(RECORD_COST)
        self._stack.append(Record(tag, self._parser.CurrentLineNumber))
        self._text, self._length, self._leaf = [], 0, True

    def _hold(self, cost: int) -> None:
        self._held += cost
        if self._held > MAX_HELD:
            raise InputError(
                "more elements are open at once than in any file of this kind",
                field=f"<{self._stack[-1].tag}>" if self._stack else None,
            )

    def _data(self, text: str) -> None:
        if self._leaf:
            self._length += len(text)
            if self._length > MAX_TEXT:
                raise InputError(f"a text of more than {MAX_TEXT} characters", field=f"<{self._stack[-1].tag}>")
            self._text.append(text)

    def _end(self, _tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
            if not self._skipped and not self._rest:
                self._parser.CharacterDataHandler = self._data
            return
        record = self._stack.pop()
        if self._rest:
            # the end of the element that was skipped: its parts are dropped
            self._rest = self._leaf = False
            self._held -= record.cost
            self._parser.CharacterDataHandler = self._data
            return
        leaf, self._leaf = self._leaf, False
        handler = self._handlers.get(record.tag)
        verdict = "keep" if handler is None else handler(record, self._stack)
        if verdict != "keep" or not self._stack:
            self._held -= record.cost
            self._skip_rest(verdict == "skip" and bool(self._stack))
        elif leaf:
            self._keep_text(record, "".join(self._text).strip())
        else:
            self._stack[-1].records.setdefault(record.tag, []).append(record)
            self._stack[-1].cost += record.cost

    def _keep_text(self, record: Record, text: str) -> None:
        if not self._declared and not text.isascii():
            raise InputError(
                "a character outside ASCII, and the file does not say its encoding", field=f"<{record.tag}>"
            )
        parent = self._stack[-1]
        parent.texts.setdefault(record.tag, []).append(text)
        parent.cost += TEXT_COST + len(text)
        self._hold(TEXT_COST + len(text) - record.cost)
        chooser = self._texts.get(record.tag)
        if chooser is not None:
            self._skip_rest(chooser(text, self._stack))

    def _skip_rest(self, skip: bool) -> None:
        self._rest = skip
        if skip:
            self._parser.CharacterDataHandler = None
