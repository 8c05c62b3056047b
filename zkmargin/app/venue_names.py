"""Names of a venue and of its accounts: checked the same way wherever they come from, a file, a line or an option."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from zkmargin.formats import InputError, PlainName

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
