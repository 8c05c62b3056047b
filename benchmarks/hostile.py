"""What reading costs at worst: every golden document with one field made large, field by field.

    python -m benchmarks.hostile [--size 1000000] [--json FILE]

For each kind of document the slowest and the most memory-hungry field are printed: CPU seconds and peak memory of a
process that reads the file, beside what is promised: 1 s + 0.3 s a megabyte, 64 MB + 8 bytes a byte. Most of these
files are refused; a refusal may cost no more than an acceptance.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import os
import pkgutil
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zkmargin
from zkmargin.formats import Document, InputError, load_document

GOLDEN = Path(__file__).parents[1] / "tests" / "data" / "golden"
SECONDS, SECONDS_PER_MB, BYTES, BYTES_PER_BYTE = 1.0, 0.3, 64e6, 8

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Cost:
    """What one file cost."""

    name: str
    field: str
    megabytes: float
    seconds: float
    memory_mb: float
    verdict: str

    @property
    def time_share(self) -> float:
        """Of the time that is promised."""
        return self.seconds / (SECONDS + SECONDS_PER_MB * self.megabytes)

    @property
    def memory_share(self) -> float:
        """Of the memory that is promised."""
        return 1e6 * self.memory_mb / (BYTES + BYTES_PER_BYTE * 1e6 * self.megabytes)


def kinds(base: type[Document] = Document) -> Iterator[type[Document]]:
    """Every kind of document."""
    for kind in base.__subclasses__():
        if kind.__module__.startswith("zkmargin."):
            yield kind
        yield from kinds(kind)


def containers(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Paths of every JSON object and array that is not empty; of an array only the first two elements are entered."""
    if isinstance(value, dict | list) and value:
        yield path
        for key, item in value.items() if isinstance(value, dict) else enumerate(value[:2]):
            yield from containers(item, (*path, key))


def planted(document: Any, path: Path_, size: int) -> bytes:
    """The document with one container enlarged to about ``size`` characters, by items like its last."""
    document = copy.deepcopy(document)
    target = document
    for key in path:
        target = target[key]
    last = target[-1] if isinstance(target, list) else target[next(reversed(target))]
    names = [key for key in ("id", "asset", "name", "public_key") if isinstance(last, dict) and key in last]
    for i in range(size // (len(json.dumps(last)) + 8)):
        item = {**last, **{key: f"{last[key]}{i}" for key in names}} if names else last
        if isinstance(target, dict):
            target[f"X{i:x}"] = item
        else:
            target.append(item + i + 1 if type(item) is int else f"{item}{i}" if isinstance(item, str) else item)
    return json.dumps(document, separators=(",", ":")).encode()


def cost(kind: type[Document], name: str, field: str, text: bytes) -> Cost:
    """Read it in a process of its own."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            start, verdict = time.process_time(), "accepted"
            try:
                load_document(kind, file.name).digest()
            except InputError as error:
                verdict = f"refused: {error.reason[:60]}"
            spent = time.process_time() - start
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            os.write(writer, json.dumps([spent, memory / 1024, verdict]).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            spent, memory, verdict = json.loads(answer.read())
        os.waitpid(child, 0)
    return Cost(name, field, len(text) / 1e6, spent, memory, verdict)


def measure(size: int) -> dict[str, list[Cost]]:
    """The costs of every field of one golden file of each kind."""
    for module in pkgutil.walk_packages(zkmargin.__path__, "zkmargin."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    formats = {form: kind for kind in kinds() for form in (kind.FORMAT, *kind.READS)}
    found: dict[str, list[Cost]] = {}
    for path in sorted(GOLDEN.rglob("*.json"), key=lambda path: -path.stat().st_size):
        document = json.loads(path.read_text("utf-8"))
        form = document.get("format") if isinstance(document, dict) else None
        if form not in formats or form in found:
            continue
        found[form] = [
            cost(formats[form], path.name, ".".join(map(str, place)) or "(top)", planted(document, place, size))
            for place in containers(document)
        ]
        print(f"{form}: {len(found[form])} fields", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Measure and print; exit code 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000, help="characters that are planted")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    found, broken = measure(given.size), 0
    print("| document | slowest field | MB | s | of the promise | hungriest field | MB of memory | of the promise |")
    print("|---|---|---|---|---|---|---|---|")
    for form, costs in sorted(found.items()):
        slow, large = max(costs, key=lambda c: c.time_share), max(costs, key=lambda c: c.memory_share)
        broken += slow.time_share > 1 or large.memory_share > 1
        print(
            f"| `{form.removeprefix('zkmargin/')}` | `{slow.field}` | {slow.megabytes:.2f} | {slow.seconds:.2f} | "
            f"{slow.time_share:.0%} | `{large.field}` | {large.memory_mb:.0f} | {large.memory_share:.0%} |"
        )
    if given.json:
        given.json.write_text(json.dumps({form: [asdict(c) for c in costs] for form, costs in found.items()}, indent=1))
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
