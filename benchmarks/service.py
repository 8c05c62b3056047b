"""The venue's service under load: proofs verified and recorded a second, and how long each waits for its receipt.

    python -m benchmarks.service                       # 100 accounts, 200 proofs/s for 10 s, then half of it
    python -m benchmarks.service --accounts 10 --rate 50 --seconds 4
    python -m benchmarks.service --folder ready        # keep what is prepared, and use it again for a day

Statements are of one segment, 512 x 35, SQLite, receipts signed with Ed25519; challenges are issued and proofs made
before, by a service whose database each phase begins with. Each account has a connection of its own. The generator
sends at fixed times, whatever came back, and counts a proof's time from when it was due: a service that falls behind
shows it. ``done_per_second`` counts until the last receipt, ``steady_per_second`` without the first second. CPU seconds
are of the service with its verifiers, and of the generator; beside them stands what `verify_each` alone costs on the
same proofs in this run, so that the ratio means something on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.service_setup import items_of, prepare, requests_of, running, say
from zkmargin.verifier import verify_each

WARM = 64
_END = b"\r\n\r\n"


class Answer(NamedTuple):
    """A receipt: seconds after the beginning at which it came, and after its request was due."""

    at: float
    late: float


class _Connection(asyncio.Protocol):
    """One connection: a request at a time, and how long after it was due its answer was there."""

    def __init__(self, load: _Load) -> None:
        self._load, self._taken, self._due = load, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def send(self, due: float, request: bytes) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._taken += data
        end = self._taken.find(_END)
        if end < 0:
            return
        head = self._taken[:end].lower()
        at = head.index(b"content-length:")
        if len(self._taken) < end + len(_END) + int(head[at:].split(b"\r\n", 1)[0][15:]):
            return
        answer, self._taken = self._taken, b""
        if b" 201 " not in head[:20]:
            self._load.refused(answer)
        self._load.answered(self, self._due)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        self._load.refused(b"the connection is lost")


class _Load:
    """Requests that are sent at fixed times, on whichever connection is free."""

    def __init__(self, requests: Sequence[bytes], rate: float, connections: int) -> None:
        self._requests, self._rate, self._connections = requests, rate, connections
        self._free: deque[_Connection] = deque()
        self._late: deque[tuple[float, bytes]] = deque()
        self.answers: list[Answer] = []

    async def run(self, url: str) -> list[Answer]:
        """An answer for each, in the order that they came. Raises RuntimeError: one was refused."""
        host, port = url.removeprefix("http://").rsplit(":", 1)
        loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = loop.create_future()
        for _ in range(min(self._connections, len(self._requests))):
            _, connection = await loop.create_connection(lambda: _Connection(self), host, int(port))
            self._free.append(connection)
        self._begin = begin = time.perf_counter()
        for place, request in enumerate(self._requests):
            due = begin + place / self._rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            if self._done.done():
                break
            if self._free:
                self._free.popleft().send(due, request)
            else:
                self._late.append((due, request))
        await self._done
        return self.answers

    def answered(self, connection: _Connection, due: float) -> None:
        """One is back: its connection takes the next that waits."""
        now = time.perf_counter()
        self.answers.append(Answer(now - self._begin, now - due))
        if self._late:
            connection.send(*self._late.popleft())
        else:
            self._free.append(connection)
        if len(self.answers) == len(self._requests) and not self._done.done():
            self._done.set_result(None)

    def refused(self, answer: bytes) -> None:
        """Nothing may be: the run ends."""
        if not self._done.done():
            self._done.set_exception(RuntimeError(f"refused: {answer[-400:]!r}"))


def load(url: str, requests: Sequence[bytes], rate: float, connections: int) -> list[Answer]:
    """Send requests at fixed times; an answer for each, as they came. Raises RuntimeError: one was refused."""
    return asyncio.run(_Load(requests, rate, connections).run(url))


def steady_per_second(answers: Sequence[Answer], rate: float) -> float:
    """Answers a second, from those to the first second's requests to the last: what a service keeps up all day.

    Where it falls behind, answers come ever later, and it is as much less than what was asked.
    """
    first = min(int(rate), len(answers) // 2)
    return (len(answers) - 1 - first) / (answers[-1].at - answers[first].at)


def cpu_seconds(pid: int) -> dict[str, float]:
    """Of a process and of those that it started, by now (Linux)."""
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()  # other threads start some
        for child in (task / "children").read_text().split()
    ]
    found = {"service": 0.0, "verifiers": 0.0}
    for one in [pid, *children]:
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        found["service" if one == pid else "verifiers"] += seconds
    return found


def memory_mb(pid: int) -> float:
    """Resident memory of the service's own process (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def own_cpu() -> float:
    """Of this process: the generator."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def phase(prepared: Path, requests: Sequence[bytes], rate: float, workers: int, connections: int) -> dict[str, Any]:
    """One rate, measured on a copy of what was prepared."""
    say(f"{rate:g} proofs/s, {len(requests) - WARM} proofs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "venue"
        shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns("requests", "items"))
        text = (folder / "serve.toml").read_text().replace("workers = 1\n", f"workers = {workers}\n")
        (folder / "serve.toml").write_text(text)
        with running(folder) as (process, url):
            load(url, requests[:WARM], 100, connections)
            before, generator, began = cpu_seconds(process.pid), own_cpu(), time.perf_counter()
            answers = load(url, requests[WARM:], rate, connections)
            wall, count, after = time.perf_counter() - began, len(requests) - WARM, cpu_seconds(process.pid)
            memory = memory_mb(process.pid)
    quantiles = statistics.quantiles([answer.late for answer in answers], n=100)
    own = own_cpu() - generator
    each = {name: round(1000 * (after[name] - before[name]) / count, 2) for name in after}
    return {
        "asked_per_second": rate,
        "done_per_second": round(count / wall, 1),
        "steady_per_second": round(steady_per_second(answers, rate), 1),
        "p50_ms": round(1000 * quantiles[49], 1),
        "p99_ms": round(1000 * quantiles[98], 1),
        "cpu_ms_a_proof": each | {"generator": round(1000 * own / count, 2)},
        "cpu_ms_a_proof_in_all": round(1000 * (sum(after.values()) - sum(before.values()) + own) / count, 2),
        "memory_mb": round(memory, 1),
        "load_average": round(os.getloadavg()[0], 1),
    }


def alone(folder: Path, together: int = 16) -> float:
    """CPU milliseconds of a proof in ``verify_each`` alone, statements parsed before."""
    items = items_of(folder, 128)
    begin = time.process_time()
    for at in range(0, len(items), together):
        verify_each(items[at : at + together])
    return 1000 * (time.process_time() - begin) / len(items)


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    count = WARM + int(asked.rate * asked.seconds)
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name) / "ready"
        prepare(folder, accounts=asked.accounts, count=count)
        requests = requests_of(folder)[:count]
        half = WARM + (count - WARM) // 2
        results = [
            phase(folder, requests, asked.rate, asked.workers, asked.accounts),
            phase(folder, requests[:half], asked.rate / 2, asked.workers, asked.accounts),
        ]
        found = {"verify_each_cpu_ms_a_proof": round(alone(folder), 2), "phases": results}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
