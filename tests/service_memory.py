"""A hundred thousand requests to a service: its memory must not grow. A shard of ``make assurance``, minutes.

    python tests/service_memory.py [REQUESTS]

Readers, wrong tokens, hostile bodies, proofs that were accepted before, wrong proofs and challenges, on connections
that stay; a proof of a hundred is accepted. Resident memory of the service with its verifiers is read when a tenth is
done, when caches are full, and at the end. Needs Linux.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from support.venue_service import Service, account, descendants, running, snapshot

from zkmargin.client import Submission

REQUESTS, CONNECTIONS, PROOFS = 100_000, 8, 50
#: What an allocator and a write-ahead log may keep for themselves; 100 bytes a request would be more.
ALLOWED_GROWTH = 9_000_000
CONFIG = (
    "[limits]\ncalls_per_second = 100000\nburst = 100000\nmax_open_challenges = 4096\nmax_challenge_seconds = 86400\n"
    "[retention]\nevents_days = 1\n"
)


def resident(service: Service) -> int:
    """Bytes in memory of a service and of its verifiers."""
    assert service.process is not None
    total = 0
    for pid in [service.process.pid, *descendants(service.process.pid)]:
        total += 1024 * int(Path(f"/proc/{pid}/status").read_text("ascii").split("VmRSS:")[1].split()[0])
    return total


def request(method: str, path: str, token: str = "", body: bytes = b"") -> bytes:
    """One request that keeps its connection."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def kinds(service: Service, answers: list[Submission]) -> Iterator[bytes]:
    """What is asked, again and again."""
    alice, auditor = service.tokens["alice"], service.tokens["auditor"]
    bodies = [one.to_bytes() for one in answers]
    read = [
        request("GET", "/v1/accounts", auditor),
        request("GET", "/v1/accounts/alice", alice),
        request("GET", "/v1/accounts/alice/proofs?limit=5", alice),
        request("GET", "/v1/snapshots/latest?series=main", alice),
        request("GET", "/v1/service"),
        request("GET", "/metrics", auditor),
        request("GET", "/healthz"),
        request("GET", "/v1/accounts/nobody", auditor),
    ]
    wrong = [
        request("GET", "/v1/accounts", "zkm_" + "0" * 64),
        request("POST", "/v1/proofs", alice, b'{"format": "zkmargin/submission/v1", "account": []}'),
        request("POST", "/v1/proofs", alice, b"[" * 4000),
        request("GET", "/v1/accounts/alice/proofs?limit=0", alice),
    ]
    fresh = iter(bodies)
    for place in cycle(range(1000)):
        if place % 100 == 50:
            yield request("POST", "/v1/proofs", alice, next(fresh, bodies[0]))
        elif place % 20 == 10:
            yield request("POST", "/v1/proofs", alice, bodies[0])  # accepted before
        elif place % 100 == 7:
            yield request("POST", "/v1/proofs", alice, bodies[0].replace(bodies[0][40:60], bodies[0][39:59], 1))
        elif place % 10 == 3:
            yield wrong[place // 10 % len(wrong)]
        else:
            yield read[place % len(read)]


async def ask(url: str, asked: Iterator[bytes]) -> Counter[str]:
    """Send them all; how often each status came."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    found: Counter[str] = Counter()

    async def caller() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for one in asked:
            writer.write(one)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length))
            found[head[9:12].decode()] += 1
        writer.close()

    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return found


def main() -> int:
    """Ask, and say how memory went."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "service", config=CONFIG) as service:
        service.settle_in("alice")
        with service.client("alice") as alice:
            challenges = alice.challenges("alice", count=PROOFS, lifetime_seconds=86_000)
        asked = kinds(service, [account("alice").answer(one, snapshot()) for one in challenges])
        found = asyncio.run(ask(service.url, islice(asked, count // 10)))
        before = resident(service)
        found += asyncio.run(ask(service.url, islice(asked, count - count // 10)))
        after = resident(service)
    answered = ", ".join(f"{number} x {status}" for status, number in sorted(found.items()))
    sys.stdout.write(f"{count} requests: {before / 1e6:.1f} MB after a tenth, {after / 1e6:.1f} MB at the end\n")
    sys.stdout.write(f"{answered}\n")
    return int(after - before > ALLOWED_GROWTH or "201" not in found or "500" in found)


if __name__ == "__main__":
    sys.exit(main())
