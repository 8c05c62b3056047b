"""Who is told what happens: a structured log, and alarms that stay until what they are about is over.

A log line is one JSON object: ``time``, ``event``, and facts. Alarms about the margin hold the account's own amounts,
so the log is for the account's holder. What goes to a webhook names the kind of alarm and what it is about, and holds
no amount unless the configuration asks for it.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from zkmargin.agent.config import Alarms as AlarmConfig
from zkmargin.engine.decimals import format_time

#: Facts that a webhook gets: none of them is secret.
PUBLIC = ("time", "event", "kind", "subject", "account", "venue", "snapshot", "snapshot_time", "holding", "state")
COMMAND_SECONDS = 30
WEBHOOK_SECONDS = 10
WEBHOOK_TRIES = 3
MAX_RECENT = 200


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
        kind: ``unhealthy``, ``headroom``, ``refused``, ``late``, ``unreachable``, ``expiring``, ``expired``,
            ``untrusted``, ``file``, ``silence``.
        subject: what it is about: a venue, a file, a part.
        message: one line. Of the kinds about the margin, with the account's own amounts.
        facts: more of it.
        since_ms: when it began.
    """

    kind: str
    subject: str
    message: str
    facts: Mapping[str, Any]
    since_ms: int

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
        self._outgoing: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._tell, name="alarms", daemon=True)
        self._thread.start()

    def sound(self, kind: str, subject: str, message: str, **facts: Any) -> None:
        """Raise an alarm, or renew the words of one that is raised."""
        known = {name: value for name, value in facts.items() if value is not None}
        now = time.time_ns() // 1_000_000
        with self._lock:
            before = self._active.get((kind, subject))
            alarm = Alarm(kind, subject, message, known, before.since_ms if before else now)
            self._active[kind, subject] = alarm
            if before is not None:
                return
            self._recent = [*self._recent[1 - MAX_RECENT :], alarm]
        self._say("alarm", alarm)

    def end(self, kind: str, subject: str) -> None:
        """What an alarm was about is over; nothing where there is none."""
        with self._lock:
            alarm = self._active.pop((kind, subject), None)
        if alarm is not None:
            self._say("alarm-over", alarm)

    def active(self) -> list[Alarm]:
        """Those that are raised, the oldest first."""
        with self._lock:
            return sorted(self._active.values(), key=lambda alarm: alarm.since_ms)

    def recent(self) -> list[Alarm]:
        """The last ones that were raised, the newest first."""
        with self._lock:
            return self._recent[::-1]

    def close(self) -> None:
        """Tell what is still to be told, and end."""
        self._outgoing.put(None)
        self._thread.join(timeout=COMMAND_SECONDS)

    def _say(self, event: str, alarm: Alarm) -> None:
        facts = {"kind": alarm.kind, "subject": alarm.subject, "account": self._account, **alarm.facts}
        self._log.event(event, **facts, message=alarm.message)
        if self._config.command or self._config.webhook:
            now = format_time(time.time_ns() // 1_000_000)
            self._outgoing.put({"time": now, "event": event, **facts, "message": alarm.message})

    def _tell(self) -> None:
        while (facts := self._outgoing.get()) is not None:
            if self._config.command:
                self._run(facts)
            if self._config.webhook:
                self._post(facts)

    def _run(self, facts: Mapping[str, Any]) -> None:
        line = json.dumps(facts).encode() + b"\n"
        try:
            done = subprocess.run(  # noqa: S603 - the command of the user's own configuration, without a shell
                list(self._config.command), input=line, stdout=subprocess.DEVNULL, timeout=COMMAND_SECONDS, check=False
            )
            if done.returncode:
                self._log.event("alarm-command-failed", code=done.returncode)
        except (OSError, subprocess.TimeoutExpired) as error:
            self._log.event("alarm-command-failed", reason=type(error).__name__)

    def _post(self, facts: Mapping[str, Any]) -> None:
        if not self._config.webhook_amounts:
            facts = {name: facts[name] for name in PUBLIC if name in facts}
        request = urllib.request.Request(  # noqa: S310 - http(s) only: the configuration is checked for it
            str(self._config.webhook), json.dumps(facts).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        for attempt in range(WEBHOOK_TRIES):
            try:
                with _OPENER.open(request, timeout=WEBHOOK_SECONDS):
                    return
            except OSError as error:
                self._log.event("alarm-webhook-failed", attempt=attempt + 1, reason=type(error).__name__)
                time.sleep(0.2 * 2**attempt)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What was configured is told, and nobody whom it names."""

    def redirect_request(self, *_: object) -> None:
        """Follow no redirect."""


_OPENER = urllib.request.build_opener(_NoRedirect())
