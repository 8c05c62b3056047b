"""Everything that touches the terminal goes through here.

Rules:

* results go to standard output, everything else (progress, warnings, errors, hints) to standard error;
* with ``--json`` standard output holds one JSON value and nothing else;
* where a document is written to standard output, the words about it go to standard error;
* binary data and secret documents are never written to a terminal;
* text from files is printed with its control and format characters escaped: a name cannot steer the terminal;
* free text of a document (name, alias, label, context) that stands among our words is ``quoted``, so that none of it
  can be taken for them;
* progress is shown on a terminal only, and only for work that takes more than a second.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from zkmargin.formats.errors import Caution

PROGRAM = "zkmargin"
PROGRESS_AFTER_SECONDS = 1.0
WORD = re.compile(r"[A-Za-z0-9._:/+-]+")
#: Words of ours where a value is absent.
NO_WORDS = ("none", "true", "false")


def safe(text: str) -> str:
    """The text on one line, control and format characters escaped (bidirectional overrides among them)."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things: 1 proof, 2 proofs, 0 proofs."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def quoted(text: str) -> str:
    """The text in quotes, on one line, escaped so that it can be read back: none of it can be taken for our words."""
    return repr(text)


def word(text: str) -> str:
    """One plain word (a digest, a time, an id) as it is, anything else ``quoted``."""
    return text if WORD.fullmatch(text) and text.lower() not in NO_WORDS else quoted(text)


def listed(names: Iterable[str]) -> str:
    """Names in quotes, separated by commas."""
    return ", ".join(map(quoted, names))


#: What is kept whole on a line that is too long, so that it can be copied.
_COMMAND = f"{PROGRAM} "
#: Between what a line is about and what it says of it.
_GAP = re.compile(r"(?<=\S) {2,}(?=\S)")
#: Before a line's first word.
_BEGIN = re.compile(r" *(?:- |\d+\. )?")


def fitted(text: str, width: int) -> str:
    """Lines that are not wider than a terminal: broken at spaces, what follows stands under where it began.

    Words are never split, and a line with a command stays whole.

    Example:
        >>> print(fitted("claim   equity is at least the requirement", 30))
        claim   equity is at least the
                requirement
    """
    return "\n".join(line for whole in text.split("\n") for line in _broken(whole, width))


def _broken(line: str, width: int) -> list[str]:
    if len(line) <= width or _COMMAND in line:
        return [line]
    gap = _GAP.search(line)
    start = gap.end() if gap and 2 * gap.end() <= width else _BEGIN.match(line).end()  # type: ignore[union-attr]
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * start,
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def say(text: str = "", *, err: bool = False, whole: bool = False) -> None:
    """One or more lines of ours; anything in it that came from a file has been through ``safe`` or ``quoted``.

    Args:
        err: on standard error.
        whole: for programs: its lines stay as they are on a terminal of any width.
    """
    stream = sys.stderr if err else sys.stdout
    if stream.isatty() and not whole:
        text = fitted(text, shutil.get_terminal_size().columns)
    stream.write(text + "\n")
    stream.flush()  # a service says where it listens, and goes on


def warn(text: str, hint: str | None = None) -> None:
    """A warning and what to do, on standard error."""
    _note("warning", text, hint)


def error(text: str, hint: str | None = None) -> None:
    """An error in one line and the next command, on standard error."""
    _note("error", text, hint)


def _note(kind: str, text: str, hint: str | None) -> None:
    # What was printed so far comes first where both streams go to one place.
    sys.stdout.flush()
    sys.stderr.write(f"{PROGRAM}: {kind}: {safe(text)}\n")
    if hint:
        sys.stderr.write(f"hint: {safe(hint)}\n")
    sys.stderr.flush()


#: The version of what ``--json`` prints; docs/json.md says what it promises.
OUTPUT_VERSION = 1
_SAID = ContextVar("said", default=False)


def say_json(facts: Mapping[str, Any]) -> None:
    """One JSON object for scripts: integers are exact, amounts are decimal strings, all other characters are ASCII."""
    say_document({"output_version": OUTPUT_VERSION, **facts})


def json_said() -> bool:
    """Whether this run has printed its value: a failure after it does not print another."""
    return _SAID.get()


def begin() -> None:
    """A new run: nothing was said yet."""
    _SAID.set(False)


def say_document(value: Mapping[str, Any]) -> None:
    """A document as JSON, as it would stand in a file."""
    _SAID.set(True)
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,  # noqa: ARG001 - the signature of warnings.showwarning
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Library warnings that are for users, as one line; what is for developers stays silent."""
    if not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, ResourceWarning)):
        warn(str(message), getattr(message, "hint", None))


def listen_to_warnings() -> None:
    """Print library warnings our way from now on."""
    warnings.simplefilter("always", Caution)
    warnings.showwarning = show_warning


#: Takes the work done and the work in all.
Progress = Callable[[int, int], None]


@contextmanager
def progress(text: str) -> Iterator[Progress]:
    """Show what is being done, on a terminal, once it has taken a second; call what it gives to show how far it is."""
    with stages(text) as show:
        yield lambda done, size: show(f"{100 * done // size if size else 100} %")


@contextmanager
def stages(text: str) -> Iterator[Callable[[str], None]]:
    """The same for work in stages; call what it gives with the name of each as it begins."""
    if not sys.stderr.isatty():
        yield lambda _stage: None
        return
    status: list[Any] = []
    lock = threading.Lock()
    finished, label = False, f"{text} ..."

    def begin() -> None:
        from rich.console import Console  # noqa: PLC0415 - most commands are done before this is needed
        from rich.text import Text  # noqa: PLC0415

        with lock:
            if not finished:
                status.append(Console(stderr=True).status(Text(label)))
                status[0].start()

    def show(stage: str) -> None:
        nonlocal label
        label = f"{text} ... {stage}"
        with lock:
            if status and not finished:
                from rich.text import Text  # noqa: PLC0415

                status[0].update(Text(label))

    timer = threading.Timer(PROGRESS_AFTER_SECONDS, begin)
    timer.daemon = True
    timer.start()
    try:
        yield show
    finally:
        timer.cancel()
        with lock:
            finished = True
            if status:
                status[0].stop()
