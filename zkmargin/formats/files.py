"""Reading with a size cap, writing all or nothing, secrets with mode 0600."""

from __future__ import annotations

import errno
import os
import re
import secrets
import sys
from pathlib import Path
from typing import BinaryIO

from zkmargin.formats.errors import Hint, InputError

MAX_DOCUMENT_BYTES = 128 * 1024 * 1024
PIECE_BYTES = 1 << 20
STDIO = "-"
#: How binary files of ours begin.
BINARY = "zkmargin"
#: What a file system without hard links answers.
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def read_bytes(path: str | Path, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """The whole file, or standard input for ``-``.

    Raises:
        InputError: unreadable, or larger than ``max_bytes``.

    Example:
        >>> write_atomic("my-bytes.bin", b"abc")
        >>> read_bytes("my-bytes.bin")
        b'abc'
    """
    name = str(path)
    try:
        if name == STDIO:
            data = _read_past(sys.stdin.buffer, max_bytes)
        else:
            with Path(path).open("rb") as file:
                data = _read_past(file, max_bytes)
    except (OSError, ValueError) as error:
        hint = Hint.NO_FILE if isinstance(error, FileNotFoundError) else None
        raise InputError(f"cannot be read: {_reason(error)}", file=name, hint=hint) from None
    if len(data) > max_bytes:
        raise InputError(f"larger than {max_bytes} bytes", file=name)
    return data


def _read_past(file: BinaryIO, limit: int) -> bytes:
    """At most one byte more than the limit. In pieces: ``read(n)`` reserves n bytes whatever the file has."""
    data = bytearray()
    while piece := file.read(min(limit + 1 - len(data), PIECE_BYTES)):
        data += piece
    return bytes(data)


def _reason(error: OSError | ValueError) -> str:
    """In words; a ValueError is a path that no file can have (a zero byte in it)."""
    return (getattr(error, "strerror", None) or str(error) or "error").lower()


def read_text(path: str | Path, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> str:
    """The file as UTF-8 text. Raises ``InputError`` as ``read_bytes`` does, and on bytes that are not UTF-8.

    Example:
        >>> write_atomic("my-text.txt", b"abc")
        >>> read_text("my-text.txt")
        'abc'
    """
    try:
        return read_bytes(path, max_bytes=max_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", file=str(path)) from None


class ExistsError(InputError):
    """A file that is not to be replaced exists."""


def write_atomic(path: str | Path, data: bytes, *, secret: bool = False, replace: bool = True) -> None:
    """Write a file all or nothing: a reader sees the old content or the new, never a part.

    Args:
        secret: the file has mode 0600 before its first byte is written; else the umask decides.
        replace: whether a file that exists is replaced. If not, of two writers at the same time one wins, and the
            other is told.

    Raises:
        ExistsError: the file exists, and is not to be replaced.
        InputError: the file cannot be written; nothing is left behind.

    Example:
        >>> write_atomic("my-file.bin", b"abc")
        >>> write_atomic("my-file.bin", b"abc", replace=False)
        Traceback (most recent call last):
        ...
        zkmargin.formats.files.ExistsError: my-file.bin: exists
    """
    name = str(path)
    if name == STDIO:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        # Through a link to the file it names: the link stays a link.
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise InputError("exists and is not a regular file", file=name)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(temporary, flags, 0o600 if secret else 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if secret:
                    os.fchmod(descriptor, 0o600)  # the umask may have taken the owner's bits away
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            if replace:
                temporary.replace(target)
            else:
                _link(temporary, target, name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        hint = Hint.NO_FOLDER if isinstance(error, FileNotFoundError) else None
        raise InputError(f"cannot be written: {_reason(error)}", file=name, hint=hint) from None


def _link(temporary: Path, target: Path, name: str) -> None:
    """Give a finished file its name, unless that is taken: one step of the file system, so one writer wins."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise ExistsError("exists", file=name) from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # A file system without hard links: the name is taken first, exclusively, then filled.
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise ExistsError("exists", file=name) from None
        temporary.replace(target)
        return
    temporary.unlink()


_DOCUMENT_FORMAT = re.compile(rb'"format"\s*:\s*"([a-z-]+/[a-z-]+)/v[0-9]+"')
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')


def _format_of(head: bytes) -> str | None:
    """The format line of the document itself; documents inside it have their own."""
    depth = 0
    for token in _TOKEN.finditer(head):
        if token[0] in b"{[":
            depth += 1
        elif token[0] in b"}]":
            depth -= 1
        elif depth == 1 and (found := _DOCUMENT_FORMAT.match(head, token.start())):
            return found[1].decode()
    return None


def kind_of(path: str | Path) -> str | None:
    """What a file holds by its beginning: a document's format without the version, or the first word of a binary file
    of ours. "other" for anything else; None when there is no such file, or an empty one.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(1 << 16)
    except (OSError, ValueError):
        return None
    if not head:
        return None
    if head.lstrip()[:1] == b"{":
        return _format_of(head) or "other"
    return BINARY if head.startswith(BINARY.encode()) else "other"
