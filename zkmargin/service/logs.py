"""Structured logs: one JSON object a line on standard error. Bodies, tokens and query strings are never in them."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

_log = logging.getLogger("zkmargin.service")


_encode = json.JSONEncoder(ensure_ascii=True, default=str).encode


class Lines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = getattr(record, "facts", None) or {"message": record.getMessage()}
        return _encode({"time": time, "level": record.levelname.lower(), **facts})


def begin() -> None:
    """Send every log of the process through ``Lines``."""
    # no line says which thread, task, process or place logged it: let nobody find it out each time
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - as the logging HOWTO has it
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.WARNING
    _log.setLevel(logging.INFO)


def say(event: str, **facts: Any) -> None:
    """Log something that happened."""
    _log.info(event, extra={"facts": {"event": event, **facts}})


def failure(event: str, error: BaseException) -> None:
    """Log a defect or a database that fails: type and place, never a value."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno} {frame.name}" for frame in frames[-6:]]
    facts = {"event": event, "error": type(error).__name__, "at": places}
    _log.error(event, extra={"facts": facts})
