"""All that comes in: folders and a feed bring it, one queue keeps it, and files that were dealt with are noted."""

from __future__ import annotations

import queue
import re
import time
from dataclasses import dataclass

from zkmargin.agent.alarms import Alarms
from zkmargin.agent.config import Config, Holding
from zkmargin.agent.inbox import Arrived, Folder, Source, Watcher
from zkmargin.agent.journal import Journal, Made
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ZkMarginError
from zkmargin.verifier.attest import Attestation, Challenge

INBOX = "inbox"
#: Before the name of a venue that something came from.
VENUE = "venue "
#: A file that cannot be read may still be written: it is reported when it has not changed for so long.
SETTLING_SECONDS = 2.0
_FORMAT = re.compile(rb'"format"\s*:\s*"zkmargin/([a-z-]+)/v[0-9]+"')
_ORDER = {"attestation": 0, "revocations": 0, "receipt": 0, "fills": 1, "again": 2, "challenge": 2, "snapshot": 3}


@dataclass(repr=False)
class Item:
    """Something to deal with: its kind, and the document where it was read already."""

    kind: str
    arrived: Arrived | None
    clock: float
    time_ms: int
    snapshot: Snapshot | None = None
    attestation: Attestation | None = None
    again: Made | None = None
    challenge: Challenge | None = None

    @property
    def order(self) -> int:
        """What is dealt with first has the least."""
        return _ORDER.get(self.kind, 0)


def item_of(kind: str, arrived: Arrived) -> Item:
    """What arrived, to be dealt with."""
    return Item(kind, arrived, arrived.clock, arrived.time_ms)


class Sources:
    """Where things come from.

    Args:
        config, journal, alarms: the agent's.
    """

    def __init__(self, config: Config, journal: Journal, alarms: Alarms) -> None:
        self._config, self._journal, self._alarms = config, journal, alarms
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._done: list[Arrived] = []
        self._bad: dict[tuple[str, str], tuple[float, Arrived, str]] = {}
        self._watcher = Watcher(self._folders(), self._arrive, config.snapshots.poll_ms / 1000)
        self._feed = self._open_feed()

    def _folders(self) -> list[Folder]:
        folders = []
        if self._config.snapshots.folder is not None:
            folders.append(Folder(INBOX, self._config.snapshots.folder, self._journal.files_done(INBOX)))
        for holding in self._config.holdings:
            if holding.fills is not None:
                source = _fills_of(holding)
                folders.append(Folder(source, holding.fills, self._journal.files_done(source)))
        return folders

    def _open_feed(self) -> Source | None:
        name = self._config.snapshots.venue
        if name is None:
            return None
        from zkmargin.agent.served import Feed, PublishedSnapshot  # noqa: PLC0415 - needs the extra `client`

        def take(found: PublishedSnapshot) -> None:
            item = Item("snapshot", None, found.clock, found.time_ms, found.snapshot, found.attestation)
            self._queue.put(item)

        def attested(found: Attestation) -> None:
            digest = found.payload_digest.hex()
            self.put(item_of("attestation", Arrived(f"{VENUE}{name}", digest, digest, found.to_bytes())))

        def trouble(reason: str | None) -> None:
            if reason is None:
                self._alarms.end("unreachable", f"{name} snapshots")
            else:
                self._alarms.sound("unreachable", f"{name} snapshots", reason, venue=name)

        venue = next(venue for venue in self._config.venues if venue.name == name)
        snapshots = self._config.snapshots
        of = (venue, self._config.account, snapshots.series)
        every = [one.name for one in self._config.venues if one.every_snapshot]

        def known(digest: str) -> bool:
            return all(self._journal.answered_about(name, digest) for name in every)

        return Feed(*of, take, attested, trouble, max_age_seconds=snapshots.max_age_seconds, known=known)

    def start(self) -> None:
        """Begin to listen."""
        self._watcher.start()
        if self._feed is not None:
            self._feed.start()

    def look(self) -> None:
        """Bring what is there now."""
        self._watcher.look()
        if self._feed is not None:
            try:
                self._feed.look()
            except ZkMarginError as error:
                self._alarms.sound("unreachable", "snapshots", error.message)
            except Exception as error:  # noqa: BLE001 - whatever a venue answers, the agent goes on
                self._alarms.sound("unreachable", "snapshots", f"an unexpected {type(error).__name__}")

    def stop(self) -> None:
        """End the threads."""
        self._watcher.stop()
        if self._feed is not None:
            self._feed.stop()

    # --- the queue --------------------------------------------------------------------------------------------------

    def _arrive(self, arrived: Arrived) -> None:
        if arrived.source != INBOX:
            kind = "fills"
        else:
            found = _FORMAT.search(arrived.data[: 1 << 16])
            kind = found[1].decode() if found else "unknown"
        self.put(item_of(kind, arrived))

    def put(self, item: Item) -> None:
        """One more thing to deal with, from any thread."""
        self._queue.put(item)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._queue.empty()

    def take(self, timeout: float) -> list[Item]:
        """All that has arrived, waiting for it at most so many seconds: the newest snapshot first, else as it came."""
        items = []
        try:
            items.append(self._queue.get(timeout=timeout) if timeout else self._queue.get_nowait())
            while True:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        order = sorted(enumerate(items), key=lambda entry: (entry[1].order, _place(*entry)))
        return [item for _, item in order]

    def holding(self, source: str) -> Holding:
        """Whose fills a source brings."""
        return next(holding for holding in self._config.holdings if source == _fills_of(holding))

    # --- files that were dealt with ---------------------------------------------------------------------------------

    def done(self, item: Item) -> None:
        """A file was dealt with, and is not read again. Written down when everybody has an answer."""
        arrived = item.arrived
        if arrived is not None:
            self._bad.pop((arrived.source, arrived.name), None)
            self._alarms.end("file", f"{arrived.source}: {arrived.name}")
            self._done.append(arrived)
        elif item.kind == "snapshot" and item.attestation is not None:  # the feed's next one
            self._alarms.end("file", "snapshots")

    def unreadable(self, item: Item, error: InputError) -> None:
        """A file cannot be read, or not yet."""
        if item.arrived is None:
            self._alarms.sound("file", "snapshots", error.message)
        else:
            self._bad[item.arrived.source, item.arrived.name] = (time.monotonic(), item.arrived, error.message)

    def write_down(self, *, now_ms: int) -> None:
        """Note the files that were dealt with, so that they are not read again after a crash."""
        done, self._done = self._done, []
        if done:
            self._journal.files_are_done([(one.source, one.name, one.mark) for one in done], now_ms=now_ms)

    def report(self, *, force: bool) -> None:
        """Alarms about files that stay unreadable."""
        for place, (since, arrived, message) in list(self._bad.items()):
            if force or time.monotonic() - since > SETTLING_SECONDS:
                self._alarms.sound("file", f"{arrived.source}: {arrived.name}", message)
                del self._bad[place]


def _fills_of(holding: Holding) -> str:
    return f"fills {holding.name}"


def _place(number: int, item: Item) -> int:
    return -number if item.kind == "snapshot" else number
