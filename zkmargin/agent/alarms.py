"""Who is told what happens: a structured log, and alarms that stay until what they are about is over.

A log line is one JSON object: ``time``, ``event``, and facts. Alarms about the margin hold the account's own amounts,
so the log is for the account's holder. What goes to a webhook names the kind of alarm and what it is about, and holds
no amount unless the configuration asks for it.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TextIO

from zkmargin.agent.config import Alarms as AlarmConfig
from zkmargin.engine.decimals import format_time

#: Facts that a webhook gets: none of them is secret.
PUBLIC = ("time", "event", "kind", "subject", "account", "venue", "snapshot", "snapshot_time", "holding", "state")
COMMAND_SECONDS = 30
#: How long one try at the webhook may take in all: a hook that drips its answer holds nobody up.
WEBHOOK_SECONDS = 10
#: An alarm is told to the webhook until it is so old, after the first wait, then twice as long each time.
WEBHOOK_PATIENCE = 600.0
WEBHOOK_FIRST, WEBHOOK_MOST = 0.5, 60.0
#: So many wait to be told at most; the oldest are dropped then.
MAX_WAITING = 1000
MAX_RECENT = 200
#: Alarms that anybody could cause are bounded: the oldest is dropped.
MAX_UNTRUSTED = 200


class Log:
    """Lines of JSON on a stream. Threads may share it."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def event(self, event: str, **facts: Any) -> None:
        """Write a line; facts that are None are left out."""
        if self._stream is None:
            return
        shown = {name: value for name, value in facts.items() if value is not None}
        line = json.dumps({"time": format_time(time.time_ns() // 1_000_000), "event": event, **shown})
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


@dataclass(frozen=True)
class Alarm:
    """Something that a person should know.

    Attributes:
        kind: ``unhealthy``, ``headroom``, ``refused``, ``late``, ``unreachable``, ``unattested``,
            ``unprovable``, ``expiring``, ``expired``, ``untrusted``, ``file``, ``silence``.
        subject: what it is about: a venue, a file, a part.
        message: one line. Of the kinds about the margin, with the account's own amounts.
        facts: more of it.
        since_ms: when it began.
        last_ms: when it was last found so.
    """

    kind: str
    subject: str
    message: str
    facts: Mapping[str, Any]
    since_ms: int
    last_ms: int

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        since = format_time(self.since_ms)
        return {"kind": self.kind, "subject": self.subject, "message": self.message, "since": since, **self.facts}


class Alarms:
    """Raises alarms once, and ends them.

    Args:
        config: whom to tell.
        log: gets every alarm.
        account: whose.
    """

    def __init__(self, config: AlarmConfig, log: Log, account: str) -> None:
        self._config, self._log, self._account = config, log, account
        self._active: dict[tuple[str, str], Alarm] = {}
        self._recent: list[Alarm] = []
        self._lock = threading.Lock()
        self._outlets = []
        if config.command:
            self._outlets.append(Outlet("command", self._run, log))
        if config.webhook:
            self._outlets.append(Outlet("webhook", self._post, log, patience=WEBHOOK_PATIENCE))

    def sound(self, kind: str, subject: str, message: str, **facts: Any) -> None:
        """Raise an alarm, or renew the words of one that is raised."""
        known = {name: value for name, value in facts.items() if value is not None}
        now = time.time_ns() // 1_000_000
        with self._lock:
            before = self._active.get((kind, subject))
            alarm = Alarm(kind, subject, message, known, before.since_ms if before else now, now)
            self._active[kind, subject] = alarm
            if before is not None:
                return
            untrusted = [place for place in self._active if place[0] == "untrusted"]
            if len(untrusted) > MAX_UNTRUSTED:
                del self._active[untrusted[0]]
            self._recent = [*self._recent[1 - MAX_RECENT :], alarm]
        self._say("alarm", alarm)

    def end(self, kind: str, subject: str) -> None:
        """What an alarm was about is over; nothing where there is none."""
        with self._lock:
            alarm = self._active.pop((kind, subject), None)
        if alarm is not None:
            self._say("alarm-over", alarm)

    def end_older(self, kind: str, before_ms: int) -> None:
        """End those of a kind that were not found so since a time."""
        for alarm in self.active():
            if alarm.kind == kind and alarm.last_ms < before_ms:
                self.end(kind, alarm.subject)

    def active(self) -> list[Alarm]:
        """Those that are raised, the oldest first."""
        with self._lock:
            return sorted(self._active.values(), key=lambda alarm: alarm.since_ms)

    def recent(self) -> list[Alarm]:
        """The last ones that were raised, the newest first."""
        with self._lock:
            return self._recent[::-1]

    def close(self) -> None:
        """Tell what is still to be told, once more each, and end."""
        for outlet in self._outlets:
            outlet.stop()
        until = time.monotonic() + COMMAND_SECONDS
        for outlet in self._outlets:
            outlet.join(until - time.monotonic())

    def _say(self, event: str, alarm: Alarm) -> None:
        facts = {"kind": alarm.kind, "subject": alarm.subject, "account": self._account, **alarm.facts}
        self._log.event(event, **facts, message=alarm.message)
        now = format_time(time.time_ns() // 1_000_000)
        for outlet in self._outlets:
            outlet.take({"time": now, "event": event, **facts, "message": alarm.message})

    def _run(self, facts: Mapping[str, Any]) -> None:
        line = json.dumps(facts).encode() + b"\n"
        done = subprocess.run(  # noqa: S603 - the command of the user's own configuration, without a shell
            list(self._config.command), input=line, stdout=subprocess.DEVNULL, timeout=COMMAND_SECONDS, check=False
        )
        if done.returncode:
            self._log.event("alarm-command-failed", code=done.returncode)

    def _post(self, facts: Mapping[str, Any]) -> None:
        if not self._config.webhook_amounts:
            facts = {name: facts[name] for name in PUBLIC if name in facts}
        request = urllib.request.Request(  # noqa: S310 - http(s) only: the configuration is checked for it
            str(self._config.webhook), json.dumps(facts).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with _OPENER.open(request, timeout=WEBHOOK_SECONDS):
            return


class Outlet:
    """Tells one receiver of alarms, in a thread of its own that no error ends.

    Args:
        name: for the log.
        tell: called with the facts of each alarm; whatever it raises, it is tried again.
        log: gets what failed.
        patience: for so many seconds after an alarm was raised; 0: once.
    """

    def __init__(
        self, name: str, tell: Callable[[Mapping[str, Any]], None], log: Log, *, patience: float = 0.0
    ) -> None:
        self._name, self._tell, self._log, self._patience = name, tell, log, patience
        self._waiting: deque[tuple[float, Mapping[str, Any]]] = deque()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alarms {name}", daemon=True)
        self._thread.start()

    def take(self, facts: Mapping[str, Any]) -> None:
        """One more; the oldest is dropped where too many wait."""
        with self._changed:
            dropped = len(self._waiting) >= MAX_WAITING
            if dropped:
                self._waiting.popleft()
            self._waiting.append((time.monotonic(), facts))
            self._changed.notify()
        if dropped:
            self._log.event(f"alarm-{self._name}-dropped", waiting=MAX_WAITING)

    def stop(self) -> None:
        """What waits gets one try more each."""
        with self._changed:
            self._stopping.set()
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Until it has ended, for so long at most."""
        self._thread.join(timeout=max(seconds, 0.0))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopping.is_set():
                    self._changed.wait()
                if not self._waiting:
                    return
                raised, facts = self._waiting.popleft()
            self._deliver(raised, facts)

    def _deliver(self, raised: float, facts: Mapping[str, Any]) -> None:
        wait, attempt = WEBHOOK_FIRST, 0
        while True:
            attempt += 1
            try:
                self._tell(facts)
            except Exception as error:  # noqa: BLE001 - a hook may answer anything: the next alarm is told too
                last = self._stopping.is_set() or time.monotonic() + wait > raised + self._patience
                with suppress(Exception):  # a log that nobody reads any more
                    self._log.event(
                        f"alarm-{self._name}-failed",
                        attempt=attempt,
                        reason=type(error).__name__,
                        lost=True if last else None,
                    )
                if last:
                    return
                self._stopping.wait(wait)
                wait = min(2 * wait, WEBHOOK_MOST)
            else:
                return


class _Brief(http.client.HTTPConnection):
    """A connection that ends after so long, however much or little is said on it."""

    def connect(self) -> None:
        """As its base does, and set the clock."""
        super().connect()
        ending = threading.Timer(WEBHOOK_SECONDS, _hang_up, (self.sock,))
        ending.daemon = True
        ending.start()


class _BriefTLS(_Brief, http.client.HTTPSConnection):
    """The same over TLS."""


def _hang_up(sock: socket.socket) -> None:
    with suppress(Exception):  # it is over already
        sock.shutdown(socket.SHUT_RDWR)


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Brief, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_BriefTLS, req)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What was configured is told, and nobody whom it names."""

    def redirect_request(self, *_: object) -> None:
        """Follow no redirect."""


_OPENER = urllib.request.build_opener(_NoRedirect(), _Http(), _Https())
