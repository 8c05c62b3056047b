"""Files that the command line made of the example market: made once in a process, written out anew for each test."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from support.typed import Json
from zkmargin.cli import main
from zkmargin.engine.book import Book
from zkmargin.engine.example import example_book, example_market
from zkmargin.formats import save_document

#: Name -> bytes and mode.
Files = dict[str, tuple[bytes, int]]

TIME = "2026-01-02T03:04:05Z"
VERIFY = "verify --snapshot snapshot.json --commitment commitment.json proof.bin"
MARGIN = "margin book.json --snapshot snapshot.json"
PROVE = "prove --snapshot snapshot.json --book book.json --opening opening.json -o new.bin"
COMMIT = "commit book.json --snapshot snapshot.json -o new.json --opening new-opening.json"


def save_example(folder: Path, time: str = TIME) -> None:
    """``market.json`` and ``book.json``."""
    market = example_market(time)
    save_document(market, folder / "market.json")
    save_document(Book.model_validate(example_book(market)), folder / "book.json")


def run_quietly(folder: Path, lines: Iterable[str]) -> None:
    """Run lines in a folder, each of which must succeed."""
    said = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        for line in lines:
            assert main(shlex.split(line)) == 0, (line, said.getvalue())


def taken(folder: Path) -> Files:
    """What is in a folder."""
    return {path.name: (path.read_bytes(), path.stat().st_mode & 0o777) for path in folder.iterdir()}


def placed(files: Files, folder: Path) -> Path:
    """Write them into a folder, which is returned."""
    folder.mkdir(exist_ok=True)
    for name, (data, mode) in files.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(mode)
    return folder


@cache
def example_files(*, domain_size: int | None = 512, context: str = "") -> Files:
    """A market, its snapshot under the default policy, a book, its commitment and opening, and a proof."""
    size = f" --domain-size {domain_size}" if domain_size else ""
    with TemporaryDirectory() as name:
        save_example(Path(name))
        run_quietly(
            Path(name),
            [
                f"snapshot build market.json --policy default{size} -o snapshot.json",
                "commit book.json --snapshot snapshot.json -o commitment.json --opening opening.json",
                f"{PROVE.replace('new.bin', 'proof.bin')} --context {shlex.quote(context)}",
            ],
        )
        return taken(Path(name))


def edit(path: Path, change: Callable[[Json], None]) -> None:
    """Change a JSON file in its place."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value, indent=1))
