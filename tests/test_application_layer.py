"""What commands do stands apart from the command line: no option is named below it, and no command is long."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import zkmargin
from zkmargin.cli import COMMANDS
from zkmargin.cli.hints import WORDS, worded
from zkmargin.formats import Hint

HOME = Path(zkmargin.__file__).parent
BELOW = ("app", "ledger", "risk", "prover", "verifier", "circuits", "engine", "crypto", "formats")
#: An option, or a command of ours.
SPEAKS_OF_OPTIONS = re.compile(rf"(?<![\w-])--[a-z]|zkmargin (?:{'|'.join(COMMANDS)})\b")
#: Programs of their own, with options of their own.
PROGRAMS = {"crypto/make_srs.py"}
MOST_LINES = 40


def _modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        files = sorted((HOME / folder).rglob("*.py"))
        assert files, folder
        for file in files:
            yield file.relative_to(HOME).as_posix(), ast.parse(file.read_text())


def _docstrings(tree: ast.Module) -> set[int]:
    places = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, places) and node.body]
    return {id(node.value) for node in first if isinstance(node, ast.Expr)}


def test_no_text_below_the_command_line_speaks_of_options() -> None:
    found = []
    for name, tree in _modules(*BELOW):
        silent = _docstrings(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in silent:
                continue
            if SPEAKS_OF_OPTIONS.search(node.value) and name not in PROGRAMS:
                found.append(f"{name}:{node.lineno}: {node.value[:60]}")
    assert not found, found


@pytest.mark.parametrize("text", ["give --trust FILE", "`zkmargin challenge new`", 'use "zkmargin migrate"'])
def test_a_text_that_speaks_of_options_would_be_found(text: str) -> None:
    assert SPEAKS_OF_OPTIONS.search(text)


@pytest.mark.parametrize("text", ["zkmargin/book/v1", "zkmargin-demo", "a -- b", "zkmargin v1"])
def test_formats_and_names_are_no_options(text: str) -> None:
    assert not SPEAKS_OF_OPTIONS.search(text)


def test_every_hint_has_words_and_other_advice_stays() -> None:
    assert set(WORDS) == set(Hint)
    assert all(worded(hint) == WORDS[hint] for hint in Hint)
    assert worded("check the clock") == "check the clock"
    assert worded(None) is None


def test_commands_are_short() -> None:
    """A command reads options, calls what does the work, and says what came of it."""
    long = [
        f"{name}: {node.name} has {(node.end_lineno or 0) - node.lineno + 1} lines"
        for name, tree in _modules("cli/commands")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno + 1 >= MOST_LINES
    ]
    assert not long, long
