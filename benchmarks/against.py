"""This build beside another checkout, in turns: ``python -m benchmarks.against FOLDER``.

FOLDER is an older checkout with a virtual environment of its own in ``.venv``. Each stage is run by new processes of
both, one after the other, several times; CPU seconds are compared, since they say the same on a busy machine, and wall
clocks where a row says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import ROOT

TWENTY = {"slots": 1023, "scenarios": 64}
CASES: dict[str, list[Any]] = {
    "sums of full width": ["sums", {"points": 1024, "bits": 255}],
    "short sums": ["sums", {"points": 1024, "bits": 10}],
    "long sums": ["sums", {"points": 4096, "bits": 255}],
    "20 bits": ["warm", {"case": TWENTY}],
    "attested": ["warm", {"case": {**TWENTY, "range_proved": False}}],
    "128 large accounts": ["many", {"case": TWENTY, "accounts": 128, "group": 7}],
    "10,000 small accounts": [
        "blocks",
        {"case": {"slots": 1023, "scenarios": 35}, "accounts": 10_000, "rows": 2048, "digit_bits": 15},
    ],
    "33 bits": ["warm", {"case": {"slots": 1024, "scenarios": 64, "position_bits": 32, "n": 2048}}],
    "threads": ["threads", {"case": TWENTY}],
    "start": ["cold", {"case": TWENTY}],
    "nothing cached": ["empty", {"case": TWENTY}],
    "batch of 64": ["batches", {"case": TWENTY, "count": 64}],
    "market": ["market", {"options": 1024}],
    "command": ["command", {"case": TWENTY}],
    "largest": ["large", {"case": {"slots": 16384, "scenarios": 256}}],
}


def stages(checkout: Path, python: Path, task: list[Any]) -> dict[str, float]:
    """One process in a checkout. Raises RuntimeError."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": ""}
    command = [str(python), str(ROOT / "benchmarks" / "stages.py"), json.dumps(task)]
    for _ in range(2):  # the first process of a case may only have made its files
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{checkout}: {done.stderr.strip()[-600:]}")
        if done.stdout:
            return {str(name): float(value) for name, value in json.loads(done.stdout).items()}
    raise RuntimeError(f"{checkout}: no answer")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("folder", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=[*CASES], help="some of the cases")
    options = parser.parse_args()
    builds = {
        "then": (options.folder.resolve(), options.folder.resolve() / ".venv" / "bin" / "python"),
        "now": (ROOT, Path(sys.executable)),
    }
    for title, task in CASES.items():
        if options.only and title not in options.only:
            continue
        taken: dict[str, list[dict[str, float]]] = {build: [] for build in builds}
        for round_ in range(options.rounds + 1):  # the first compiles what is not on disk
            for build, (checkout, python) in builds.items():
                found = stages(checkout, python, task)
                taken[build] += [found] if round_ else []
        for stage in taken["now"][0]:
            then, now = (median(one[stage] for one in taken[build]) for build in ("then", "now"))
            scale, unit = {"peak memory": (1.0, "MB"), "bytes": (1.0, "B "), "one / two": (1.0, "  ")}.get(
                stage, (1e3, "ms")
            )
            values = f"{scale * then:10.3f} {unit}{scale * now:10.3f} {unit}"
            print(f"{title:24}{stage:32}{values}{now / then:9.4f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
