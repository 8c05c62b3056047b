"""Names of a venue and of its accounts: checked the same way wherever they come from, a file, a line or an option."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from zkmargin.formats import Caution, InputError, PlainName

MAX_NAME = 200
_PLAIN: TypeAdapter[str] = TypeAdapter(PlainName)


def check_name(text: str, *, file: str | None = None, line: int | None = None, field: str | None = None) -> None:
    """Raises InputError: a name that notes and terms could not hold, or that looks like another one."""
    try:
        visible = _PLAIN.validate_python(text).isprintable()
    except ValidationError:
        visible = False
    if not visible or not 1 <= len(text) <= MAX_NAME:
        reason = f"a name is 1 to {MAX_NAME} printable characters, none of them invisible"
        raise InputError(reason, file=file, line=line, field=field, hint="rename it")


def check_alike(names: Sequence[str]) -> None:
    """Whether different names are different to look at: people compare them in notes and on their own books.

    Two that differ in forms of the same characters alone (NFKC: composed accents, full width) are refused. Two that
    differ in capitals too may be meant, as identifiers are: a warning names the first ones.

    Raises:
        InputError: two names that look the same.
    """
    twins = _twins(names, _normal)
    if twins is not None:
        raise InputError(f"looks like {twins[0][:100]!r}", field=f"account {twins[1][:100]}", hint="rename one of them")
    twins = _twins(names, lambda name: _normal(_normal(name).casefold()))
    if twins is not None:
        one, other = (repr(name[:100]) for name in twins)
        warnings.warn(Caution(f"accounts {one} and {other} differ in capitals alone", "are they two?"), stacklevel=3)


def without_hidden(files: Iterable[Path], suffix: str) -> list[Path]:
    """The files of a folder of accounts in order, without hidden ones, which are no accounts.

    Editors and synchronisers leave copies of books there. A warning names the first one with this suffix.
    """
    every = sorted(files)
    hidden = [file for file in every if file.name.startswith(".")]
    books = [file for file in hidden if file.name.lower().endswith(suffix)]
    if books:
        what = f"{len(books)} files are hidden" if len(books) > 1 else "is hidden"
        warnings.warn(Caution(f"{books[0]}: {what}: not read", "rename it if it is an account's"), stacklevel=3)
    return [file for file in every if not file.name.startswith(".")]


def _twins(names: Sequence[str], fold: Callable[[str], str]) -> tuple[str, str] | None:
    """The first two names that are one when they are folded. Of a million that folding leaves alone none is kept."""
    every, folded = set(names), dict[str, str]()
    for name in names:
        plain = fold(name)
        if plain != name:
            other = plain if plain in every else folded.setdefault(plain, name)
            if other != name:
                return other, name
    return None


def _normal(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFKC", name)
