"""What arrives: files that appear in folders. Each is told by its content, and read once.

A folder is looked at every few milliseconds: that costs some microseconds, works on every file system, and needs no
program that tells of changes. Only where the folder itself has changed its entries are read, and only of new ones more
than the name; all of them are looked at again once a second, for files that are written in place. Whoever writes should
write a file beside and rename it; a file that is still being written is read again when it has changed.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from zkmargin.formats import Document, InputError
from zkmargin.formats.budget import budget

D = TypeVar("D", bound=Document)

MAX_BYTES = 128 << 20
#: How often every file is looked at, whether or not its folder has changed.
ALL_SECONDS = 1.0
#: A folder that changed so lately may have changed since without a new time: clocks of file systems are coarse.
LATELY_NS = 50_000_000


@dataclass(frozen=True, repr=False)
class Arrived:
    """Something to deal with.

    Attributes:
        source: the folder's name among the agent's, or ``venue NAME``.
        name: the file's, or a digest.
        mark: changes when the file does.
        data: its bytes.
        clock: when it was seen, seconds of ``time.perf_counter``.
        time_ms: the same by the wall clock.
    """

    source: str
    name: str
    mark: str
    data: bytes
    clock: float = field(default_factory=time.perf_counter)
    time_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


class Source(Protocol):
    """Brings things in a thread of its own."""

    def start(self) -> None:
        """Begin."""

    def look(self) -> int:
        """Bring what is there now; how many there were."""

    def stop(self) -> None:
        """End."""


class Folder:
    """The new files of one folder, the oldest first.

    Args:
        source: what to call it.
        path: where it is; it may not exist yet.
        done: marks of the files that were dealt with before, by name.
    """

    def __init__(self, source: str, path: str | Path, done: Mapping[str, str]) -> None:
        self.source, self.path = source, Path(path)
        self._seen = dict(done)
        self._inodes = {name: int(mark.rpartition("-")[2]) for name, mark in done.items()}
        self._changed, self._all = -1, -math.inf

    def look(self) -> list[Arrived]:
        """Files that appeared or changed since the last look. What cannot be read is passed over until it changes."""
        found: list[tuple[int, str, str]] = []
        try:
            changed, of_all = self.path.stat().st_mtime_ns, time.monotonic() - self._all >= ALL_SECONDS
            if not of_all and changed == self._changed and time.time_ns() - changed > LATELY_NS:
                return []
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.name.endswith(".json"):
                        continue
                    if not of_all and self._inodes.get(entry.name) == entry.inode():
                        continue
                    status = entry.stat()
                    mark = f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
                    if self._seen.get(entry.name) != mark:
                        found.append((status.st_mtime_ns, entry.name, mark))
        except OSError:
            return []
        self._changed = changed
        if of_all:
            self._all = time.monotonic()
        arrived = []
        for _, name, mark in sorted(found):
            self._seen[name], self._inodes[name] = mark, int(mark.rpartition("-")[2])
            try:
                with (self.path / name).open("rb") as file:
                    data = file.read(MAX_BYTES + 1)
            except OSError:
                continue
            arrived.append(Arrived(self.source, name, mark, data))
        return arrived


class Watcher:
    """Looks at folders in a thread of its own, and hands over what appears.

    Args:
        folders: which.
        take: called with each file.
        seconds: between two looks.
    """

    def __init__(self, folders: list[Folder], take: Callable[[Arrived], None], seconds: float) -> None:
        self._folders, self._take, self._seconds = folders, take, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look(self) -> int:
        """One look at all folders; how many files there were."""
        count = 0
        for folder in self._folders:
            for arrived in folder.look():
                self._take(arrived)
                count += 1
        return count

    def stop(self) -> None:
        """End, after the look that is going on."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._seconds)


def check_folder(path: str, field: str, *, writable: bool) -> None:
    """Raises InputError: no folder, or not one that this user can use."""
    where = Path(path)
    if not where.is_dir():
        raise InputError("no such folder", file=path, field=field, hint="make it first")
    if not os.access(where, os.R_OK | os.X_OK | (os.W_OK if writable else 0)):
        raise InputError(f"cannot be {'written' if writable else 'read'}", file=path, field=field)


def read(kind: type[D], arrived: Arrived | None) -> D:
    """The document of a file, as strictly as ``load_document``. Raises InputError."""
    if arrived is None:
        raise InputError("nothing arrived")
    if len(arrived.data) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES} bytes", file=arrived.name)
    with budget():
        document = kind.parse(arrived.data, file=arrived.name)
        document.check_loaded()
    return document
