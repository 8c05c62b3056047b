"""A file as it comes: plain, gzip or zip, a pipe or standard input. Read once from outside, as often as needed inside.

What cannot be read again (a pipe, standard input) and what is packed goes through a temporary file without a name, so
that memory stays small whatever the size. Packed data may unpack to ``MAX_RATIO`` times its size, no further.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from zkmargin.formats import Hint, InputError
from zkmargin.formats.files import STDIO

MAX_BYTES = 4 << 30
#: SPAN files, the most regular that we know, pack 40 to 1; what packs far better is made to exhaust a machine.
MAX_RATIO = 200
FREE_BYTES = 64 << 20
MEMORY_BYTES = 4 << 20
CHUNK = 1 << 20

#: Takes the work done and the work in all.
Progress = Callable[[int, int], None]

_GZIP, _ZIP = b"\x1f\x8b", b"PK"
_OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}
_BROKEN = (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file: bytes that can be read from the start as often as needed.

    Attributes:
        name: what the caller called it, for errors; it is no part of what is imported.
        size: bytes, unpacked.
        packed: ``gzip``, ``zip`` or empty.
    """

    name: str
    size: int
    packed: str
    _file: BinaryIO

    def reader(self, progress: Progress | None = None, *, part: int = 0, parts: int = 1) -> io.BufferedReader:
        """The bytes from the start.

        Args:
            progress: called with the bytes read and the bytes in all, over all parts.
            part: which of the passes over the file this is, from 0.
            parts: how many passes there are.
        """
        self._file.seek(0)
        return io.BufferedReader(_Watched(self._file, self.size, progress, part, parts), CHUNK)

    def head(self, size: int) -> bytes:
        """The first bytes."""
        self._file.seek(0)
        return self._file.read(size)


class _Watched(io.RawIOBase):
    """Reads from a file and says how far it is. Closing it leaves the file open."""

    def __init__(self, file: BinaryIO, size: int, progress: Progress | None, part: int, parts: int) -> None:
        self._file, self._size, self._progress = file, size, progress
        self._done, self._before, self._all = 0, part * size, parts * size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(memoryview(buffer).nbytes)
        memoryview(buffer)[: len(data)] = data
        self._done += len(data)
        if self._progress is not None and data:
            self._progress(self._before + min(self._done, self._size), self._all)
        return len(data)


@contextmanager
def opened(path: str | Path) -> Iterator[Source]:
    """Open a file, a pipe or standard input (``-``), and unpack it.

    Raises:
        InputError: unreadable, packed in a way that is not read here, an archive of several files, too large.
    """
    name = str(path)
    with ExitStack() as stack:
        try:
            raw = cast("IO[bytes]", sys.stdin.buffer) if name == STDIO else stack.enter_context(Path(path).open("rb"))
            if name == STDIO or not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
                raw = _spooled(raw, None, stack)
        except (OSError, ValueError) as error:
            hint = Hint.NO_FILE if isinstance(error, FileNotFoundError) else None
            raise InputError(f"cannot be read: {_reason(error)}", file=name, hint=hint) from None
        except InputError as error:
            raise error.located(file=name) from None
        try:
            file, packed = _unpacked(raw, stack)
            size = _size(file)
        except OSError as error:
            raise InputError(f"cannot be read: {_reason(error)}", file=name) from None
        except InputError as error:
            raise error.located(file=name) from None
        if size > MAX_BYTES:
            raise InputError(f"larger than {MAX_BYTES} bytes", file=name)
        try:
            yield Source(name, size, packed, cast("BinaryIO", file))
        except OSError as error:
            raise InputError(f"cannot be read: {_reason(error)}", file=name) from None


def _reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error) or "error").lower()


def _size(file: IO[bytes]) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size


def _unpacked(raw: IO[bytes], stack: ExitStack) -> tuple[IO[bytes], str]:
    """The file itself, or what is packed in it. Raises InputError."""
    raw.seek(0)
    head = raw.read(8)
    size = _size(raw)
    for magic, kind in _OTHERS.items():
        if head.startswith(magic):
            raise InputError(
                f"packed with {kind}, which is not read here", hint="unpack it, or pack it with gzip or zip"
            )
    try:
        if head.startswith(_GZIP):
            return _spooled(
                cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb"))), size, stack
            ), "gzip"
        if head.startswith(_ZIP):
            archive = stack.enter_context(zipfile.ZipFile(raw))
            return _spooled(stack.enter_context(archive.open(_member(archive))), size, stack), "zip"
    except _BROKEN as error:
        raise InputError(f"a damaged archive: {str(error) or type(error).__name__}"[:200]) from None
    return raw, ""


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file of an archive. Raises InputError."""
    files = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    if len(files) != 1:
        shown = ", ".join(info.filename[:80] for info in files[:4]) + (", ..." if len(files) > 4 else "")
        raise InputError(f"an archive of {len(files)} files, not one ({shown})", hint="unpack it and name one of them")
    if files[0].flag_bits & 1:
        raise InputError("an archive with a password", hint="unpack it first")
    return files[0]


def _spooled(stream: IO[bytes], packed_size: int | None, stack: ExitStack) -> IO[bytes]:
    """A copy that can be read again. Raises InputError where it is too large, or unpacks to too much."""
    copy = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES))  # noqa: SIM115 - the stack closes it
    most = MAX_BYTES if packed_size is None else min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * packed_size))
    size = 0
    while piece := stream.read(CHUNK):
        size += len(piece)
        if size > most:
            raise InputError(f"larger than {most} bytes" + ("" if packed_size is None else " when it is unpacked"))
        copy.write(piece)
    copy.seek(0)
    return copy
