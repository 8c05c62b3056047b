"""What takes longer than a test run, in shards that can be resumed: ``make assurance``.

    python tests/assurance.py --list                  # every shard, and whether its last result still speaks
    python tests/assurance.py                         # run all whose result is missing, failed, or about older code
    python tests/assurance.py mutation-crypto.field lowest-1    # run these
    python tests/assurance.py --table                 # write the results into docs/assurance.md

A shard's last result is a file of its own, ``docs/assurance/SHARD.json``: the commit, the machine, when, how long, the
verdict and the last line that it printed. It speaks of a commit as long as nothing that the shard is about has changed
since. A run that is cut off has recorded every shard that it finished.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import mutation

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "assurance"
PAGE = ROOT / "docs" / "assurance.md"
BEGIN, END = "<!-- results: written by python tests/assurance.py --table -->", "<!-- end of results -->"

FUZZ_SECONDS = os.environ.get("FUZZ_SECONDS", "300")
#: A run that would take longer than about twenty minutes on two cores is cut into so many shards.
SUITE_PARTS, WITNESS_PARTS, SNAPSHOT_PARTS = 3, 3, 2
WITNESSES, SNAPSHOTS = 30_000, 40_000
#: 100,000 changed proofs before the contract and Python, and 10,000 joint ones.
CONTRACT_PARTS, CHANGED, CHANGED_JOINT = 5, 20_000, 2_000
#: The same of each of seven wide layouts, half as many of two joint ones.
CHANGED_WIDE = 1_000
EVM_TESTS = tuple(f"contracts/tests/test_{name}.py" for name in ("verifier", "joint", "layouts"))

# What shards are about: folders, files, or patterns of git. One that a shard never runs is left out, so that a
# change of the service does not outdate a week of fuzzing of points.
LIBRARY = ("circuits", "engine", "prover", "verifier", "zkmargin")
CRYPTO = ("zkmargin/crypto", "zkmargin/formats/errors.py", "zkmargin/integers.py")
DOCUMENTS = ("zkmargin/formats", "zkmargin/accounts", "zkmargin/integers.py", "zkmargin/crypto", "engine")
CIRCUITS = ("circuits/*.py", "circuits/encoders", "circuits/language")
VERIFYING = (*DOCUMENTS, *CIRCUITS, "verifier/*.py")
PROVING = (*VERIFYING, "prover/*.py", "prover/_kernels")
CHAIN = (*PROVING, "circuits/chain", "verifier/chain", "contracts")
HARNESS = ("tests/fuzz", "tests/test_fuzz.py")
#: Targets of tests/fuzz/targets.py, and what each is about.
FUZZED: dict[str, tuple[str, ...]] = {
    "g1": CRYPTO,
    "g2": CRYPTO,
    "scalars": CRYPTO,
    "sums": (*CRYPTO, "prover/_kernels"),
    "transforms": (*CRYPTO, "prover/_kernels"),
    "arithmetic": (*CRYPTO, "prover/_kernels"),
    "transcript": CRYPTO,
    "proof codec": VERIFYING,
    "verification": VERIFYING,
    "setups": (*CRYPTO, "zkmargin/formats"),
    "json": ("zkmargin/formats",),
    "documents": DOCUMENTS,
    "arrays": ("zkmargin/formats",),
    "importers": DOCUMENTS,
    "words": DOCUMENTS,
}
#: Tests that have a full length (``ZKMARGIN_FULL=1``: every byte, every case, 2,000 examples a property), and what they
#: are about beside themselves.
FULL: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "verifiers": (("golden", "second_verifier", "optimized"), VERIFYING),
    "provers": (
        ("completeness_soundness", "batches_small", "malicious_accounts", "malicious_provers", "delta_norm"),
        PROVING,
    ),
    "files": (("damaged_files",), (*VERIFYING, "verifier/attest", "zkmargin/app")),
    "circuits": (("circuit_engine", "circuit_system", "witness", "public_numbers", "public_values"), PROVING),
    "crypto": (
        ("ed25519", "secp256k1", "exact", "field_group", "protocol_algebra", "msm_kernels", "scalar_kernels"),
        (*CRYPTO, "prover/_kernels"),
    ),
    "documents": (
        (
            "arrays",
            "decimals",
            "files",
            "formats",
            "importers",
            "strict_json",
            "real_inputs",
            "snapshot",
            "values_stay_true",
        ),
        (*VERIFYING, "verifier/attest"),
    ),
    "engine": (
        (
            *("black76", "fixed_point", "margin", "margin_many", "span_model", "span_spreads"),
            *("components_equity", "components_expiry", "components_generic", "components_pools"),
            "example_market",
        ),
        DOCUMENTS,
    ),
    "risk": (
        (
            *("breach", "calibration", "calibration_factors", "liquidation", "simulation", "stress"),
            *("cli_calibrate", "cli_simulate"),
        ),
        (*DOCUMENTS, "zkmargin/risk", "zkmargin/app", "zkmargin/cli"),
    ),
}
#: Modules of tests/mutation.py, each a shard, with the tests that must notice.
MUTATED = {module.removeprefix("zkmargin."): tests for module, tests in mutation.TARGETS.items()}
GUIDED = ("g1", "g2", "transcript", "setups", "json", "documents", "importers", "words")


@dataclass(frozen=True)
class Shard:
    """A command, and the files that its result is about (folders and files below the root)."""

    title: str
    command: tuple[str, ...]
    about: tuple[str, ...] = (*LIBRARY, "tests")
    environment: Mapping[str, str] = field(default_factory=dict)
    part: bool = False  # of the suite: cut anew where a file of tests comes or goes


@dataclass(frozen=True)
class Record:
    """A shard's last result."""

    shard: str
    commit: str
    changed: bool  # files beside the commit were changed
    time: str
    seconds: int
    machine: str
    python: str
    passed: bool
    said: str
    what: str = ""  # the shard's title then: how long it fuzzed, which seed


def pytest(*arguments: str) -> tuple[str, ...]:
    """pytest on both cores."""
    return (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        os.environ.get("WORKERS", "2"),
        "--dist",
        "loadfile",
        *arguments,
    )


def tests_of(names: Sequence[str]) -> tuple[str, ...]:
    """What a result about mutants depends on beside the mutated module."""
    return tuple(f"tests/{name}" for name in names)


def read_by(*tests: str) -> tuple[str, ...]:
    """Files of ``tests/``, conftest, and what they import of that folder, themselves or through others."""
    folder, found = ROOT / "tests", set[Path]()
    waiting = [folder / name for name in (*tests, "conftest.py")]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{name}" for name in names)]
            for name in names:
                module = folder.joinpath(*name.split("."))
                waiting += [module.with_suffix(".py"), module / "__init__.py"]
    return tuple(sorted(str(path.relative_to(ROOT)) for path in found))


def script(name: str, *arguments: str) -> tuple[str, ...]:
    """A script of ``tests/``."""
    return (sys.executable, str(ROOT / "tests" / name), *arguments)


def suite(part: int, parts: int) -> tuple[str, ...]:
    """Every so-manyth file of the suite."""
    return tuple(str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").glob("test_*.py"))[part - 1 :: parts])


def beside(files: Sequence[str]) -> tuple[str, ...]:
    """What a part of the suite is about: all but other parts' files of tests, and this one."""
    folder = ROOT / "tests"
    shared = [path.name for path in sorted(folder.iterdir()) if not path.match("test_*.py") and path.name[0] != "_"]
    shared.remove(Path(__file__).name)
    read = read_by(*(Path(file).name for file in files))
    return (*LIBRARY, *(f"tests/{name}" for name in shared), *read)


SHARDS: dict[str, Shard] = {
    **{
        f"full-{name}": Shard(
            f"tests of {name} at full length, in random order",
            pytest("-p", "randomly", *(f"tests/test_{test}.py" for test in tests)),
            about=(*about, *read_by(*(f"test_{test}.py" for test in tests))),
            environment={"ZKMARGIN_FULL": "1"},
        )
        for name, (tests, about) in FULL.items()
    },
    **{
        f"random-{part}": Shard(
            f"the suite in random order, part {part} of {SUITE_PARTS}",
            pytest("-p", "randomly", *suite(part, SUITE_PARTS)),
            about=beside(suite(part, SUITE_PARTS)),
            part=True,
        )
        for part in range(1, SUITE_PARTS + 1)
    },
    "live": Shard(
        "a venue and three makers for ten simulated hours",
        pytest("-p", "no:randomly", "tests/test_live.py"),
        about=(*LIBRARY, *read_by("test_live.py")),
        environment={"ZKMARGIN_LIVE_STEPS": "60"},
    ),
    "kills": Shard(
        "a service, and a database with it, killed at a hundred random moments",
        pytest("-p", "no:randomly", "tests/test_service_random_kills.py"),
        about=(*LIBRARY, *read_by("test_service_random_kills.py")),
        environment={"ZKMARGIN_KILLS": "50"},
    ),
    "mutation-protocol": Shard(
        "protocol mutants: absorbs and equations left out",
        pytest("tests/test_mutation.py", "-k", "protocol or absorb"),
        about=(*VERIFYING, "tests/mutation.py", "tests/golden.py"),
    ),
    **{
        f"mutation-{name}": Shard(
            f"code mutants of {name}",
            script("mutation.py", "--no-protocol", f"zkmargin.{name}"),
            about=(f"zkmargin/{name.replace('.', '/')}.py", *tests_of(tests)),
        )
        for name, tests in MUTATED.items()
    },
    "memory": Shard(
        "ten thousand proofs in one process: memory does not grow",
        script("memory.py"),
        about=(*PROVING, "benchmarks/synthetic.py", "tests/memory.py"),
    ),
    "service-memory": Shard(
        "a hundred thousand requests to a service: its memory does not grow",
        script("service_memory.py"),
        about=(*LIBRARY, "tests/service_memory.py", "tests/support/venue_service.py"),
    ),
    "mutation-circuits": Shard(
        "code mutants of circuits",
        script("mutation.py", "--no-protocol", *mutation.CIRCUITS),
        about=(*CIRCUITS, *tests_of(mutation.CIRCUIT_TESTS)),
    ),
    **{
        f"fuzz-{name.replace(' ', '-')}": Shard(
            f"hypothesis on {name}, {FUZZ_SECONDS} s",
            (sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", f"tests/test_fuzz.py::test_target[{name}]"),
            about=(*about, *HARNESS),
            environment={"ZKMARGIN_FUZZ_SECONDS": FUZZ_SECONDS},
        )
        for name, about in FUZZED.items()
    },
    **{
        f"guided-{name}": Shard(
            f"coverage-guided fuzzing of {name}, {FUZZ_SECONDS} s",
            script("fuzz/coverage_guided.py", name, FUZZ_SECONDS),
            about=(*FUZZED[name], *HARNESS),
        )
        for name in GUIDED
    },
    **{
        f"witnesses-{part}": Shard(
            f"branch and bound over hidden integers, books one unit short, seed {part}",
            script("hostile_witness.py", "--cases", str(WITNESSES // WITNESS_PARTS), "--seed", str(part)),
            about=(*CIRCUITS, "engine", "tests/encoders.py", "tests/hostile_witness.py"),
        )
        for part in range(1, WITNESS_PARTS + 1)
    },
    **{
        f"snapshots-{part}": Shard(
            f"changed golden snapshots: refused, or engine and circuit agree, seed {part}",
            script("hostile_witness.py", "--snapshots", str(SNAPSHOTS // SNAPSHOT_PARTS), "--seed", str(part)),
            about=(*CIRCUITS, "engine", "zkmargin/formats", "tests/hostile_witness.py"),
        )
        for part in range(1, SNAPSHOT_PARTS + 1)
    },
    **{
        f"contracts-{part}": Shard(
            f"contracts and Python give one verdict on anvil: {CHANGED:,} changed proofs, {CHANGED_JOINT:,} joint, "
            f"{7 * CHANGED_WIDE:,} and {CHANGED_WIDE:,} of wide layouts, part {part} of {CONTRACT_PARTS}",
            pytest(*EVM_TESTS, "-k", "changed and anvil"),
            about=CHAIN,
            environment={
                "ZKMARGIN_EVM_MUTATIONS": str(CHANGED),
                "ZKMARGIN_EVM_JOINT_MUTATIONS": str(CHANGED_JOINT),
                "ZKMARGIN_EVM_WIDE_MUTATIONS": str(CHANGED_WIDE),
            },
        )
        for part in range(1, CONTRACT_PARTS + 1)
    },
    "contracts-py-evm": Shard(
        "contracts and Python give one verdict on py-evm: 500 changed proofs, 50 joint",
        pytest(*EVM_TESTS, "-k", "changed and py_evm"),
        about=CHAIN,
        environment={"ZKMARGIN_PYEVM_MUTATIONS": "500", "ZKMARGIN_PYEVM_JOINT_MUTATIONS": "50"},
    ),
    "page": Shard(
        "the page's verifier and Python give one verdict: 10,000 mutated proofs, 40 by the second one too",
        ("make", "web"),
        about=("web", *VERIFYING, "verifier/attest"),
        environment={"ZKMARGIN_PAGE_MUTATIONS": "10000", "ZKMARGIN_PAGE_SECOND": "40"},
    ),
    "coverage": Shard("every line and branch of what verifies", ("make", "coverage")),
    **{
        f"lowest-{part}": Shard(
            f"the suite with the lowest versions allowed, part {part} of 2",
            ("make", "lowest", f"PYTEST_ARGS={' '.join(suite(part, 2))}"),
            about=(*beside(suite(part, 2)), "pyproject.toml"),
            part=True,
        )
        for part in (1, 2)
    },
    "hostile": Shard(
        "what reading costs at worst",
        (sys.executable, "-m", "benchmarks.hostile"),
        about=(*VERIFYING, "verifier/attest", "benchmarks/hostile.py"),
    ),
    "encoders": Shard(
        "encoders against the engine: no hidden integers pay less (z3)",
        script("encoders.py", "--all"),
        about=(*CIRCUITS, "engine", "tests/encoders.py"),
    ),
    "encoders-mutants": Shard(
        "equations left out, one by one: a witness that pays less is found",
        script("encoders.py", "--mutants"),
        about=(*CIRCUITS, "engine", "tests/encoders.py"),
    ),
}


def git(*arguments: str) -> str:
    """The output of git."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def paths(about: Sequence[str]) -> list[str]:
    """Patterns as git takes them: what ``zkmargin/`` links to lies on top; a ``*`` stays in its folder."""
    plain = (re.sub(r"^zkmargin/(circuits|engine|prover|verifier)/", r"\1/", path) for path in about)
    return [f":(glob){path}" if "*" in path else path for path in plain]


def record_of(name: str) -> Record | None:
    """The last result, if there is one."""
    path = RESULTS / f"{name}.json"
    return Record(**json.loads(path.read_text("utf-8"))) if path.exists() else None


def speaks(name: str, record: Record | None) -> bool:
    """Whether the last result is a pass about the files as they are now."""
    if record is None or not record.passed or record.changed or record.what not in ("", SHARDS[name].title):
        return False
    known = subprocess.run(["git", "cat-file", "-e", record.commit], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        return False
    if SHARDS[name].part and git(
        "diff", "--name-only", "--diff-filter=ADR", record.commit, "--", ":(glob)tests/test_*.py"
    ):
        return False
    # which mutants are the program in other words is asked by whoever runs mutants, and changes nothing else
    return not git(
        "diff", "--name-only", record.commit, "--", *paths(SHARDS[name].about), ":(exclude,glob)**/mutants.toml"
    )


def run(name: str) -> Record:
    """Run one shard and record it."""
    shard = SHARDS[name]
    start, last = time.monotonic(), ""
    with subprocess.Popen(
        shard.command,
        cwd=ROOT,
        env={**os.environ, **shard.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            last = line.strip() or last
    code = process.returncode
    record = Record(
        shard=name,
        commit=git("rev-parse", "HEAD"),
        changed=bool(git("status", "--porcelain", "--untracked-files=no", "--", *paths(shard.about))),
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(time.monotonic() - start),
        machine=machine(),
        python=platform.python_version(),
        passed=code == 0,
        said=last[:200],
        what=shard.title,
    )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(asdict(record), indent=1) + "\n", "utf-8")
    unfinished.replace(path)
    return record


def machine() -> str:
    """The processor and the cores that may be used."""
    names = re.findall(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.processor()}, {cores} cores, {platform.system()}"


def table() -> list[str]:
    """The results in Markdown."""
    lines = ["| shard | what | last result | date | commit | time |", "|---|---|---|---|---|---|"]
    for name, shard in SHARDS.items():
        record = record_of(name)
        if record is None:
            lines.append(f"| `{name}` | {shard.title} | not run yet | | | |")
            continue
        verdict = "passed" if record.passed else "**failed**"
        said, when = re.sub(r"[|`=]", " ", record.said).strip(), f"{record.time[:10]} | `{record.commit[:9]}`"
        lines.append(f"| `{name}` | {record.what or shard.title} | {verdict}: {said} | {when} | {record.seconds} s |")
    return lines


def write_table() -> None:
    """Replace the results in docs/assurance.md."""
    text = PAGE.read_text("utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text("\n".join([before + BEGIN, "", *table(), "", END]) + after, "utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for. 1 where a shard failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="*", metavar="SHARD")
    parser.add_argument("--list", action="store_true", help="print the shards and stop")
    parser.add_argument("--table", action="store_true", help="write the results into docs/assurance.md and stop")
    given = parser.parse_args(arguments)
    if unknown := set(given.shards) - set(SHARDS):
        parser.error(f"no such shard: {', '.join(sorted(unknown))} (there are {', '.join(SHARDS)})")
    if given.table:
        write_table()
        return 0
    if given.list:
        for name, shard in SHARDS.items():
            record = record_of(name)
            state = "up to date" if speaks(name, record) else "never run" if record is None else "to be run again"
            sys.stdout.write(f"{name:34} {state:16} {shard.title}\n")
        return 0
    failed = []
    for name in given.shards or [name for name in SHARDS if not speaks(name, record_of(name))]:
        sys.stdout.write(f"\n==== {name}: {SHARDS[name].title}\n")
        sys.stdout.flush()
        record = run(name)
        sys.stdout.write(f"==== {name}: {'passed' if record.passed else 'FAILED'} in {record.seconds} s\n")
        failed += [] if record.passed else [name]
    if failed:
        sys.stdout.write(f"failed: {', '.join(failed)}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
