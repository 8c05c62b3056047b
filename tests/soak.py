"""``make soak``: a venue and three makers for half an hour. Latency, memory and losses go into docs/soak.md.

    python tests/soak.py                        # 30 minutes, a snapshot every two seconds
    python tests/soak.py --seconds 300          # shorter; the page says how long it was

The service and the agents are the real processes, over HTTP, on SQLite. One maker trades all the time, one is killed
every five minutes. Each minute the memory of every process is read. At the end the venue's signed coverage must name
every snapshot as proved, or the run fails.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from support.live import Day, Maker, day
from support.venue_service import descendants
from support.watching import until

from zkmargin.engine.fills import Fills

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "soak.md"
EVERY_SECONDS, TRADE_EVERY, KILL_SECONDS, LOOK_SECONDS = 2.0, 15, 300, 60
TRADE = Fills(positions={"BTC-PERPETUAL": "0.001"}, collateral={"USDC": "-1"})


def resident(pid: int) -> int:
    """Bytes of memory that a process and its children hold (Linux)."""
    total = 0
    for one in (pid, *descendants(pid)):
        try:
            words = Path(f"/proc/{one}/status").read_text().split("VmRSS:")[1].split()
        except (OSError, IndexError):
            continue
        total += 1024 * int(words[0])
    return total


def memory(one: Day) -> dict[str, int]:
    """Of every process that is there."""
    found = {"service": 0 if one.service.process is None else resident(one.service.process.pid)}
    return found | {maker.name: resident(maker.process.pid) for maker in one.makers if maker.process is not None}


def latencies(maker: Maker) -> list[float]:
    """Milliseconds from a snapshot's arrival to its acceptance, as the agent has them."""
    return [float(event["milliseconds"]) for event in maker.events if event["event"] == "accepted"]


def soak(home: Path, seconds: int) -> tuple[Day, list[dict[str, int]]]:
    """Run it. Raises AssertionError where something was lost."""
    steps = int(seconds / EVERY_SECONDS)
    looks: list[dict[str, int]] = []
    with day(home, "steady", "trader", "mortal", database="venue.db", steps=steps, step_ms=1000) as one:
        _, trader, mortal = one.makers
        one.wait(*one.makers)
        begin = looked = killed = time.monotonic()
        looks.append(memory(one))
        for number in range(1, steps):
            if time.monotonic() - begin > seconds:
                break
            one.step(listed=True)
            if number % TRADE_EVERY == 0:
                trader.fill(TRADE, one.snapshot)
            if time.monotonic() - killed > KILL_SECONDS:
                killed = time.monotonic()
                mortal.kill()
                mortal.start()
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                looks.append(memory(one))
                sys.stdout.write(f"{number} snapshots, {looks[-1]}\n")
                sys.stdout.flush()
            time.sleep(max(0.0, begin + number * EVERY_SECONDS - time.monotonic()))
        for maker in one.makers:
            until(lambda who=maker: _proved(one, who) == len(one.published), 300, pause=0.5)  # type: ignore[misc]
            one.check_coverage(maker, set())
        looks.append(memory(one))
        one.stop()
    return one, looks


def _proved(one: Day, maker: Maker) -> int:
    count, before = set[int](), None
    with one.service.client("auditor") as client:
        while True:
            page = client.proofs(maker.name, before=before, limit=100)
            count |= {line.sequence for line in page.items}
            if page.next is None:
                return len(count)
            before = page.next


def page(one: Day, looks: Sequence[dict[str, int]], seconds: float) -> str:
    """The page."""
    lines = [
        "# A soak run",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.1f} minutes, {os.cpu_count()} processors,",
        f"{platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[1]:.1f};",
        "written by `make soak`. A venue's service",
        f"on SQLite and three makers' agents; {len(one.published)} snapshots; the trader fills all the time, the",
        "mortal one is killed every five minutes. The venue's signed coverage names every snapshot as proved",
        "for each of them: nothing was lost.",
        "",
        "| maker | accepted | median | p99 | slowest |",
        "|---|---:|---:|---:|---:|",
    ]
    for maker in one.makers:
        found = sorted(latencies(maker))
        p99 = found[min(len(found) - 1, 99 * len(found) // 100)]
        lines.append(f"| {maker.name} | {len(found)} | {median(found):.0f} ms | {p99:.0f} ms | {found[-1]:.0f} ms |")
    lines += ["", "| process | memory at the beginning | in the middle | at the end |", "|---|---:|---:|---:|"]
    for name in looks[0]:
        first, middle, last = (looks[k].get(name, 0) / 1e6 for k in (0, len(looks) // 2, -1))
        lines.append(f"| {name} | {first:.0f} MB | {middle:.0f} MB | {last:.0f} MB |")
    lines += ["", "Latency is from a snapshot's arrival at the agent to the receipt. What came while an agent was dead"]
    return "\n".join([*lines, "counts from its start.", ""])


def main() -> int:
    """Run it, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        one, looks = soak(Path(folder), options.seconds)
        options.output.write_text(page(one, looks, time.monotonic() - begin))
    sys.stdout.write(options.output.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
