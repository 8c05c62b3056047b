"""Names that people compare hold nothing that cannot be seen: in every document of every version."""

from __future__ import annotations

import copy
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.golden import golden_files, kind_of
from support.typed import Json

from zkmargin.formats import InputError
from zkmargin.formats.plain_names import HIDDEN

#: Keys under which documents keep names.
NAMES = frozenset(
    ["name", "alias", "account", "accounts", "issuer", "part", "series", "beneficiary", "verifier", "audience", "venue"]
) | frozenset(["signers", "title", "version", "software", "label"])
#: A signer's request repeats typed data of a document whose names were checked.
FILES = [path for path in golden_files() if not path.name.endswith(".signer-request.json")]


def places(value: Json, at: tuple[str | int, ...] = (), *, named: bool = False) -> Iterator[tuple[str | int, ...]]:
    """Where names stand in a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*at, key), named=key in NAMES)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from places(item, (*at, i), named=named)
    elif isinstance(value, str) and named:
        yield at


def with_text(value: Json, at: tuple[str | int, ...], text: str) -> Json:
    changed = copy.deepcopy(value)
    inner = changed
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = text
    return changed


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_no_document_takes_a_name_that_cannot_be_seen(path: Path) -> None:
    kind = kind_of(path.name)
    assert kind is not None
    value = json.loads(path.read_text("utf-8"))
    kind.parse(json.dumps(value))
    kinds: dict[tuple[str, ...], tuple[str | int, ...]] = {}
    for at in places(value):  # one of each place, whatever its number in a list
        kinds.setdefault(tuple(step for step in at if isinstance(step, str)), at)
    for at in kinds.values():
        with pytest.raises(InputError):
            kind.parse(json.dumps(with_text(value, at, "a\u202eb")))


def test_what_cannot_be_seen_is_listed() -> None:
    hidden = {code for first, last in HIDDEN for code in range(first, last + 1)}
    for code in range(0x110000):
        if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp"):
            assert code in hidden
    assert not hidden & set(map(ord, " aZ0-_./é名אع🦀"))
    assert all(first <= last for first, last in HIDDEN)
    assert list(HIDDEN) == sorted(HIDDEN)
