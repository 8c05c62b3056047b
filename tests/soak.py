"""``make soak``: a venue, who signs, and three makers for half an hour. Latency, memory, CPU and losses go into docs.

    python tests/soak.py                        # 30 minutes, a snapshot every four seconds
    python tests/soak.py --seconds 300          # shorter; the page says how long it was

The service and the agents are the real processes, oracle and keepers of records are the tests' own, over HTTP, on
SQLite. One maker trades all the time, one is killed six times. Each minute the memory of every process is read. At the
end the venue's signed coverage must name every snapshot as proved, or the run fails. The data is docs/soak.json, the
page docs/soak.md is made of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any

from support.live import Day, Maker, day
from support.venue_service import descendants
from support.watching import until

from zkmargin.engine.fills import Fills

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "soak.md"
#: Between snapshots; that many snapshots between trades; kills in a run; between two looks at memory.
EVERY_SECONDS, TRADE_EVERY, KILLS, LOOK_SECONDS = 4.0, 8, 6, 60
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


def processor(pid: int) -> float:
    """Seconds of processor that a process and its children took (Linux)."""
    total = 0
    for one in (pid, *descendants(pid)):
        try:
            words = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(words[11]) + int(words[12])
    return total / os.sysconf("SC_CLK_TCK")


def processes(one: Day) -> dict[str, int]:
    """The process of each party that is there."""
    found = {} if one.service.process is None else {"service": one.service.process.pid}
    found |= {name: office.process.pid for name, office in one.offices.items() if office.process is not None}
    return found | {maker.name: maker.process.pid for maker in one.makers if maker.process is not None}


def memory(one: Day) -> dict[str, int]:
    """Bytes of each."""
    return {name: resident(pid) for name, pid in processes(one).items()}


def latencies(maker: Maker) -> list[float]:
    """Milliseconds from a snapshot's arrival to its acceptance, as the agent has them."""
    return [float(event["milliseconds"]) for event in maker.events if event["event"] == "accepted"]


def soak(home: Path, seconds: int, every: float) -> dict[str, Any]:
    """Run it; what it was. Raises AssertionError where something was lost."""
    steps = int(seconds / every) + 1
    looks: list[dict[str, int]] = []
    with day(home, "steady", "trader", "mortal", database="venue.db", steps=steps, step_ms=1000) as one:
        _, trader, mortal = one.makers
        one.wait(*one.makers)
        begin = looked = killed = time.monotonic()
        kills, before = 0, 0.0
        looks.append(memory(one))
        for number in range(1, steps):
            if time.monotonic() - begin > seconds:  # a loaded machine takes longer for each
                break
            one.step(listed=True)
            if number % TRADE_EVERY == 0:
                trader.fill(TRADE)
            if time.monotonic() - killed > seconds / (KILLS + 1):
                killed, kills, before = time.monotonic(), kills + 1, before + processor(processes(one)["mortal"])
                mortal.kill()
                mortal.start()
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                looks.append(memory(one))
                sys.stdout.write(f"{number} snapshots, {looks[-1]}\n")
                sys.stdout.flush()
            time.sleep(max(0.0, begin + number * every - time.monotonic()))
        for maker in one.makers:
            until(lambda who=maker: _proved(one, who) == len(one.published), 300, pause=0.5)  # type: ignore[misc]
            one.check_coverage(maker, set())
        looks.append(memory(one))
        used = {name: processor(pid) for name, pid in processes(one).items()}
        used["mortal"] += before
        facts = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "seconds": round(time.monotonic() - begin),
            "every_seconds": every,
            "processors": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "load": round(os.getloadavg()[1], 1),
            "snapshots": len(one.published),
            "kills": kills,
            "makers": {maker.name: _latency(latencies(maker)) for maker in one.makers},
            "processor_seconds": {name: round(value, 1) for name, value in used.items()},
            "memory_bytes": looks,
        }
        one.stop()
    return facts


def _latency(values: Sequence[float]) -> dict[str, float]:
    found = sorted(values)
    p99 = found[min(len(found) - 1, 99 * len(found) // 100)]
    return {"accepted": len(found), "median": median(found), "p99": p99, "slowest": found[-1]}


def _proved(one: Day, maker: Maker) -> int:
    count, before = set[int](), None
    with one.service.client("auditor") as client:
        while True:
            page = client.proofs(maker.name, before=before, limit=100)
            count |= {line.sequence for line in page.items}
            if page.next is None:
                return len(count)
            before = page.next


def page(facts: Mapping[str, Any]) -> str:
    """The page about a run."""
    told = (
        f"{facts['date']}, {facts['seconds'] / 60:.1f} minutes, {facts['processors']} processors, {facts['machine']}, "
        f"Python {facts['python']}, load {facts['load']}; written by `make soak` from [soak.json](soak.json). A "
        "venue's service on SQLite, an oracle, two keepers of records and three makers' agents, a snapshot every "
        f"{facts['every_seconds']:g} seconds, {facts['snapshots']} of them; the trader fills all the time, the mortal "
        f"one was killed {facts['kills']} times. The venue's signed coverage names every snapshot as proved for each "
        "of them: nothing was lost."
    )
    lines = ["# A soak run", "", fill(told, 100), ""]
    lines += ["| maker | accepted | median | p99 | slowest |", "|---|---:|---:|---:|---:|"]
    for name, one in facts["makers"].items():
        times = " | ".join(f"{one[key]:.0f} ms" for key in ("median", "p99", "slowest"))
        lines.append(f"| {name} | {one['accepted']} | {times} |")
    lines += [
        "",
        "| process | CPU | memory at the beginning | in the middle | at the end |",
        "|---|---:|---:|---:|---:|",
    ]
    looks = facts["memory_bytes"]
    for name in looks[0]:
        held = " | ".join(f"{looks[k].get(name, 0) / 1e6:.0f} MB" for k in (0, len(looks) // 2, -1))
        lines.append(f"| {name} | {facts['processor_seconds'][name]:.0f} s | {held} |")
    lines += ["", "Latency is from a snapshot's arrival at the agent to the receipt. What came while an agent was dead"]
    return "\n".join([*lines, "counts from its start.", ""])


def main() -> int:
    """Run it, and write data and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--every", type=float, default=EVERY_SECONDS, help="seconds between two snapshots")
    parser.add_argument("-o", "--output", type=Path, default=PAGE, help="the page; its data goes beside it, as .json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        facts = soak(Path(folder), options.seconds, options.every)
    options.output.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    options.output.write_text(page(facts))
    sys.stdout.write(options.output.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
