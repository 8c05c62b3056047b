"""The files of one command: read once, never overwritten by accident, written all or none, secrets kept secret."""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from zkmargin.engine.book import Book, BookLots, load_book, sum_of_books
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Caution, Document, Hint, InputError, ProofFormatError, load_document, write_atomic
from zkmargin.formats.errors import Missing, about
from zkmargin.formats.files import BINARY, STDIO, ExistsError, kind_of

#: Far above any proof: a proof of a thousand segments has some hundred kilobytes.
MAX_PROOF_BYTES = 1 << 20
#: What a formula can begin with, also in full width; tabs and line ends can hide it (OWASP, "CSV injection").
FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")

D = TypeVar("D", bound=Document)


@contextmanager
def blamed_on(path: str) -> Iterator[None]:
    """Name the file in errors about what was read from it before."""
    try:
        yield
    except InputError as error:
        raise error.located(file=path) from None


def load(kind: type[D], path: str) -> D:
    """Read a document; a secret one that others could read gets a warning.

    Raises:
        InputError: unreadable, of another kind (named), or no valid document.
    """
    try:
        document = load_document(kind, path)
    except InputError as error:
        raise explained(error, kind, path) from None
    if kind.SECRET:
        warn_if_exposed(path)
    return document


def explained(error: InputError, kind: type[Document], path: str) -> InputError:
    """The error of reading a file, as one about its kind where that is what is wrong."""
    expected, there = _family(kind), kind_of(path) if path != STDIO else None
    if error.hint is Hint.NO_FILE:
        return InputError(error.reason, file=error.file, hint=Missing(expected))
    if there is None or there in (expected, "other"):
        return error
    hint = {
        ("zkmargin/market", "zkmargin/snapshot"): Hint.BUILD_SNAPSHOT,
        ("zkmargin/risk-arrays", "zkmargin/snapshot"): Hint.BUILD_SNAPSHOT,
        ("zkmargin/risk-arrays", "zkmargin/market"): Hint.ARRAYS,
        ("zkmargin/book", "zkmargin/commitment"): Hint.COMMIT,
        ("zkmargin/book", "zkmargin/opening"): Hint.COMMIT,
    }.get((there, expected), Hint.INSPECT)
    what = "a proof" if there == BINARY else _named(there)
    return InputError(f"is {what}, expected {_named(expected)} ({kind.FORMAT})", file=path, hint=hint)


def _family(kind: type[Document]) -> str:
    return kind.FORMAT.rsplit("/", 1)[0]


def _named(family: str) -> str:
    name = family.rpartition("/")[2].replace("-", " ")
    if name.endswith("s"):
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def warn_if_exposed(path: str) -> None:
    """Say so when a secret file can be read by others."""
    if path == STDIO or os.name != "posix":
        return
    try:
        mode = Path(path).stat().st_mode
    except OSError:  # it was read; if it is gone now, so is the danger
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        caution = Caution(f"{path}: a secret file that others may read or write", f"chmod 600 {path}")
        warnings.warn(caution, stacklevel=2)


def load_lots(paths: Sequence[str], snapshot: Snapshot) -> BookLots:
    """One book, or several that add up slot by slot (an account at several venues).

    Raises:
        InputError: as ``engine.book.to_lots`` does, also for the sum.
    """
    books = []
    for path in paths:
        try:
            books.append(load_book(path, snapshot))
        except InputError as error:
            raise explained(error, Book, path) from None
        warn_if_exposed(path)
    return books[0] if len(books) == 1 else sum_of_books(books, snapshot)


def read_proof(path: str, *, most: int | None = None) -> bytes:
    """The bytes of a proof file.

    Args:
        path: where it is.
        most: the bytes of a proof of the statement, where it may have more than one account's.

    Raises:
        InputError: unreadable.
        ProofFormatError: larger than any proof.
    """
    limit = MAX_PROOF_BYTES if most is None else most
    try:
        if path == STDIO:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        hint = Missing(BINARY) if isinstance(error, FileNotFoundError) else None
        raise InputError(f"cannot be read: {(error.strerror or 'error').lower()}", file=path, hint=hint) from None
    if len(data) > limit:
        what = "any proof" if most is None else "a proof of this statement"
        with about(path):
            raise ProofFormatError(f"{path}: larger than {what} ({limit} bytes)")
    return data


@dataclass(frozen=True, repr=False)
class Output:
    """A file to write.

    Attributes:
        path: where to, - for standard output.
        data: its bytes.
        kind: what it holds, as ``formats.files.kind_of`` tells it: a file of another kind is not replaced. None for
            what cannot be told (a table): then no file of ours is replaced.
        secret: mode 0600, and never in place of a file that exists.
    """

    path: str
    data: bytes
    kind: str | None = None
    secret: bool = False

    @classmethod
    def document(cls, path: str, document: Document) -> Output:
        """The file of a document."""
        return cls(path, document.to_bytes(), document.FORMAT.rsplit("/", 1)[0], document.SECRET)

    @classmethod
    def proof(cls, path: str, proof: bytes) -> Output:
        """The file of a proof."""
        return cls(path, proof, BINARY)


def refuse_existing_secret(path: str) -> None:
    """Raises InputError for a secret output that exists: an opening or a key cannot be made again."""
    if path != STDIO and Path(path).exists():
        raise _existing_secret(path)


def _existing_secret(path: str) -> InputError:
    lost = {
        "zkmargin/opening": "without the opening in it, no proof about its commitment can be made any more",
        "zkmargin/key": "without the key in it, nothing can be signed as its owner any more",
    }
    return InputError(
        f"exists: {lost.get(kind_of(path) or '', 'a secret file is never replaced')}",
        file=path,
        hint="name another file, or move this one away",
    )


def refuse_other_kind(output: Output) -> None:
    """Raises InputError when a file of another kind would be replaced."""
    there = None if output.path == STDIO else kind_of(output.path)
    if there is None or there == output.kind or (output.kind is None and there == "other"):
        return
    holds = {"other": "is no file of ours", BINARY: "is a proof"}.get(there, f"is a {there.rpartition('/')[2]}")
    raise InputError(f"{holds}, and not replaced by another kind of file", file=output.path, hint=Hint.FORCE)


def write_outputs(outputs: Sequence[Output], *, force: bool = False) -> None:
    """Write all files or none: those written before a failure are taken back where they are new.

    Args:
        outputs: what to write. Secret files never replace any, others only files of their own kind.
        force: replace public files of any kind.

    Raises:
        InputError: the first file that cannot be written, or must not be.
    """
    for output in outputs:
        if not force and not output.secret:
            refuse_other_kind(output)
    written: list[Path] = []
    try:
        # Standard output cannot be taken back, so it comes last.
        for output in sorted(outputs, key=lambda output: output.path == STDIO):
            new = output.path != STDIO and not Path(output.path).exists()
            try:
                write_atomic(output.path, output.data, secret=output.secret, replace=not output.secret)
            except ExistsError:
                raise _existing_secret(output.path) from None
            if new:
                written.append(Path(output.path))
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def no_formula(text: str) -> str:
    """Text for a cell of a spreadsheet: with an apostrophe in front where it could begin a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text
