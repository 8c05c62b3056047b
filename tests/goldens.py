"""Golden files: what every later release reads, and makes again byte for byte. The one entry to all their generators.

    python tests/goldens.py                    compare all (``make golden``); exits with 1 if a byte would change
    python tests/goldens.py --write risk       make those of a family again (``make golden WRITE=risk``)

A difference is a new version of a format, or a mistake.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).parent
FOLDER = TESTS / "data" / "golden"
#: Family -> the module whose ``make_all`` gives every file by name, relative to its ``FOLDER``.
GENERATORS = {
    "proofs": "golden",
    "documents": "golden_documents",
    "risk": "golden_risk",
    "service": "golden_service",
    "universe": "golden_universe",
}
#: Family -> the test that makes its files, because it needs what the tests beside it need.
BY_TESTS = {
    "market": "test_golden_market.py",
    "chain": "test_golden_chain.py",
    "venue": "test_venue_golden.py",
    "venue-terms": "test_venue_limits.py",
    "venue-accepted": "test_venue_accepted.py",
}
#: Read by generators, made by none.
GIVEN = {"risk": {"closes.csv", "vols.csv"}}
#: With it in the environment, the tests of ``BY_TESTS`` write before they compare.
WRITE = "ZKMARGIN_WRITE_GOLDEN"


def differing(family: str) -> dict[str, tuple[Path, bytes | None]]:
    """The files of a generator that are not as it makes them: by name, where, and what it makes; None: no such file."""
    module = import_module(GENERATORS[family])
    folder: Path = module.FOLDER
    made: dict[str, bytes] = module.make_all()
    folders = {folder, *((folder / name).parent.resolve() for name in made)}
    there = {path.resolve() for each in folders if each.is_dir() for path in each.iterdir() if path.is_file()}
    wanted = {(folder / name).resolve(): data for name, data in made.items()}
    found: dict[str, tuple[Path, bytes | None]] = {}
    for path in sorted({*there, *wanted}):
        data = wanted.get(path)
        if data is None and path.name in GIVEN.get(family, ()):
            continue
        if data is None or not path.is_file() or path.read_bytes() != data:
            found[path.relative_to(FOLDER.resolve()).as_posix()] = path, data
    return found


def main(arguments: list[str]) -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make again what differs")
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join((*GENERATORS, *BY_TESTS)))
    asked = parser.parse_args(arguments)
    unknown = sorted({*asked.families} - {*GENERATORS, *BY_TESTS})
    if unknown:
        parser.error(f"no such family: {', '.join(unknown)}")
    families = asked.families or [*GENERATORS, *BY_TESTS]
    failed = False
    for family in (name for name in GENERATORS if name in families):
        changed = differing(family)
        for name, (path, data) in changed.items():
            sys.stdout.write(f"{'written' if asked.write else 'differs'}: {name}\n")
            if asked.write and data is None:
                path.unlink()
            elif asked.write and data is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        failed |= bool(changed) and not asked.write
        sys.stdout.write(f"{family}: {len(changed)} files differ\n")
    by_tests = [str(TESTS / BY_TESTS[name]) for name in BY_TESTS if name in families]
    if by_tests:
        environment = {**os.environ, **({WRITE: "1"} if asked.write else {})}
        command = [sys.executable, "-m", "pytest", "-q", "-k", "golden", *by_tests]
        failed |= subprocess.run(command, cwd=TESTS.parent, env=environment, check=False).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS.parent))
    sys.exit(main(sys.argv[1:]))
