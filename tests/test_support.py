"""Rules of the tests' own code: typed, imported like any other code, and no way around either."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
SOURCES = {path.relative_to(TESTS).as_posix(): path.read_text("utf-8") for path in TESTS.rglob("*.py")}


def lines(pattern: str) -> list[str]:
    """Lines of the tests in which a pattern is, this file's left out."""
    found = re.compile(pattern)
    others = {name: text for name, text in SOURCES.items() if name != Path(__file__).name}
    return [f"{name}: {line}" for name, text in others.items() for line in text.splitlines() if found.search(line)]


def test_nearly_everything_has_a_type() -> None:
    """What has none is named for what it is in support/typed.py; the rest can be counted."""
    said = lines(r"\bAny\b")
    assert len(said) < 100, "\n".join(said)


def test_helpers_are_imported_by_name() -> None:
    """By their folder they would be loaded a second time, and no type checker would read them."""
    assert lines(r"spec_from_file_location") == []
    assert lines(r"^\s*(from tests\b|import tests\b)") == []
