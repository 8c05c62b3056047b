"""The command line as tests run it: in this process, by ``zkmargin.cli.main``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from support.typed import Json
from zkmargin.cli import main

ERROR = "zkmargin: error: "


class Result(NamedTuple):
    """What a command wrote."""

    out: str
    err: str

    @property
    def json(self) -> Json:
        """Its standard output as one JSON value."""
        return json.loads(self.out)

    @property
    def errors(self) -> list[str]:
        """Its error lines."""
        return [line for line in self.err.splitlines() if line.startswith(ERROR)]


class Run:
    """Runs lines, and fails a test where the exit code is another than it says.

    Args:
        capsys: pytest's.
        one_error: whether a line that fails says exactly one error, and one that does not says none.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], *, one_error: bool = False) -> None:
        self._capsys, self._one_error = capsys, one_error

    def __call__(self, line: str | Sequence[object] = (), *more: object, code: int = 0) -> Result:
        """Run a line, given as text or as words, with further words behind it."""
        words = shlex.split(line) if isinstance(line, str) else [str(word) for word in line]
        self._capsys.readouterr()
        found = main([*words, *map(str, more)])
        result = Result(*self._capsys.readouterr())
        assert found == code, result.err
        if self._one_error:
            assert len(result.errors) == (code != 0), result.err
        return result


#: Runs a line that must fail.
Refuse = Callable[..., Result]


def refusing(folder: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """A runner of lines that fail, each with one error line on standard error and no change in the folder."""
    command_line = Run(capsys, one_error=True)

    def call(line: str | list[str], *, code: int = 2, warnings: int = 0) -> Result:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        result = command_line(line.split() if isinstance(line, str) else line, code=code)
        lines = result.err.splitlines()
        assert sum(text.startswith("zkmargin: warning: ") for text in lines) == warnings, result.err
        assert all(text.startswith(("zkmargin: ", "hint: ")) for text in lines)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        return result

    return call
