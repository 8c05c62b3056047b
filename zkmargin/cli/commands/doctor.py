"""``zkmargin doctor``: whether this installation can do its work, and what of the machine matters for it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import click
import numpy as np
import numpy.typing as npt

import zkmargin
from zkmargin.app.runtime import compiled_kernels, processor_flags
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option
from zkmargin.formats import SetupError, ZkMarginError
from zkmargin.formats.private_cache import CACHE_VARIABLE, cache_root, private_directory

Status = Literal["ok", "note", "FAIL"]

#: Our folders that are links in a checkout.
LINKED = ("circuits", "engine", "prover", "verifier")
#: Extras that the program itself uses; those for its developers are not shown.
SHOWN_EXTRAS = ("postgres", "reference", "frames", "plot")
#: Where a package is imported by another name than its own.
IMPORT_NAMES = {
    "py-arkworks-bls12381": "py_arkworks_bls12381",
    "pycryptodome": "Crypto",
    "sqlalchemy": "sqlalchemy",
    "psycopg": "psycopg",
}
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"extra == [\"']([^\"']+)")
_BOUND = re.compile(r"(>=|<=|==|<|>)\s*([0-9][0-9A-Za-z.]*)")
MIN_FREE_BYTES = 200 * 1024 * 1024
#: Processor features that the generated kernels can use.
USEFUL_FLAGS = ("avx512ifma", "avx512f", "avx2", "bmi2", "adx", "asimd")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    status: Status
    what: str
    detail: str


@click.command(
    "doctor",
    cls=Command,
    examples=[
        "zkmargin doctor",
    ],
)
@json_option
def command(as_json: bool) -> None:
    """Check Python, packages, the setup, kernels, the cache directory and the disk. Exit code 2 on a failure."""
    findings = list(examine())
    failed = [finding for finding in findings if finding.status == "FAIL"]
    facts = {"ok": not failed, "findings": [vars(finding) for finding in findings]}
    if not as_json:
        for finding in findings:
            terminal.say(f"{finding.status:<5} {finding.what:<20} {terminal.safe(finding.detail)}")
    elif not failed:
        terminal.say_json(facts)
    if failed:
        error = ZkMarginError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(f.what for f in failed)}")
        error.facts = facts
        raise error


def examine() -> Iterator[Finding]:
    """Every check in turn; a check that fails does not stop the others."""
    yield Finding("note", "zkmargin", f"version {zkmargin.__version__}, {zkmargin.AUDIT_STATUS}")
    for check in (_python, _packages, _folders, _setup, _cache, _kernels, _processor, _disk):
        yield from _guarded(check)


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    name = check.__name__.lstrip("_")
    try:
        yield from check()
    except ZkMarginError as error:
        yield Finding("FAIL", name, error.message + (f" ({error.hint})" if error.hint else ""))
    except Exception as error:  # noqa: BLE001 - a doctor reports what it finds; nothing secret is in reach here
        yield Finding("FAIL", name, f"{type(error).__name__}: {error}".splitlines()[0])


def _python() -> Iterator[Finding]:
    enough = sys.version_info >= (3, 11)
    version = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding("ok" if enough else "FAIL", "python", version + ("" if enough else ": 3.11 or newer is needed"))
    supported = sys.platform.startswith(("linux", "darwin"))
    yield Finding("ok" if supported else "note", "system", f"{platform.system()} {platform.machine()}")


def _packages() -> Iterator[Finding]:
    """Every package that this version declares, with the versions that it takes; extras are notes."""
    for text in sorted(metadata.requires("zkmargin") or (), key=str.casefold):
        requirement, _, marker = (part.strip() for part in text.partition(";"))
        name = _NAME.match(requirement)
        extra = _EXTRA.search(marker)
        if name is None or (extra and extra[1] not in SHOWN_EXTRAS):
            continue
        yield _package(name[0], requirement[len(name[0]) :], extra[1] if extra else None)
    yield _package("llvmlite", "", None)


def _package(name: str, versions: str, extra: str | None) -> Finding:
    absent: Status = "note" if extra else "FAIL"
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(absent, name, f"not installed: comes with the extra {extra}" if extra else "not installed")
    if not _admits(versions, found):
        return Finding(absent, name, f"{found} is not a version of {versions}")
    module = IMPORT_NAMES.get(name.lower(), name.replace("-", "_"))
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - whatever a broken package does when it is loaded
        return Finding(absent, name, f"{found} cannot be loaded: {type(error).__name__}: {error}".splitlines()[0])
    return Finding("ok", name, found)


def _admits(versions: str, found: str) -> bool:
    """Whether a version is one of ``>=2.0,<3``: numbers only, which is all that our own ranges have."""
    parts = _numbers(found)
    for sign, bound in _BOUND.findall(versions.partition("]")[2] if "[" in versions else versions):
        limit = _numbers(bound)
        mine = parts[: len(limit)] if sign == "==" else parts
        holds = {">=": mine >= limit, "<": mine < limit, "==": mine == limit, "<=": mine <= limit, ">": mine > limit}
        if not holds[sign]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", re.split(r"[+a-z]", version, maxsplit=1)[0]))


def _folders() -> Iterator[Finding]:
    """In a checkout, four of our folders are links; a disk without links leaves small files in their place."""
    home = Path(zkmargin.__file__).parent
    missing = [name for name in LINKED if not (home / name / "__init__.py").is_file()]
    if missing:
        where = ", ".join(f"zkmargin/{name}" for name in missing)
        raise SetupError(
            f"{where}: no folder; this checkout was made without symbolic links",
            hint="clone again with `git -c core.symlinks=true clone`, or install a wheel",
        )
    yield Finding("ok", "folders", f"{len(LINKED)} of our packages found below {home}")


def _setup() -> Iterator[Finding]:
    from zkmargin.crypto.group import pairing_product_is_one  # noqa: PLC0415 - broken: a finding, no crash
    from zkmargin.crypto.srs import embedded  # noqa: PLC0415

    srs = embedded()
    # e([tau]_1, [1]_2) = e([1]_1, [tau]_2): the file and the pairing library agree.
    consistent = pairing_product_is_one([(srs.g1(1), srs.g2_one), (-srs.g1(0), srs.g2_tau)])
    detail = f"{srs.name}, {srs.powers} powers, digest as pinned; every point: zkmargin srs verify"
    yield Finding("ok" if consistent else "FAIL", "setup", detail if consistent else "the pairing check failed")


def _cache() -> Iterator[Finding]:
    folder = private_directory("doctor")
    folder.rmdir()
    root = cache_root()
    mode, kernels = f"{root.stat().st_mode & 0o777:04o}", compiled_kernels()
    yield Finding("ok", "cache", f"{root} (mode {mode}, {kernels} compiled kernels; {CACHE_VARIABLE} moves it)")


def _kernels() -> Iterator[Finding]:
    numba = importlib.import_module("numba")
    if numba.config.DISABLE_JIT:
        yield Finding("note", "kernels", "NUMBA_DISABLE_JIT is set: the plain twins are used, correct and very slow")
        return

    def total(values: npt.NDArray[np.int64]) -> int:
        result = 0
        for value in values:
            result += value
        return result

    works = numba.njit(total)(np.arange(100, dtype=np.int64)) == sum(range(100))
    yield Finding("ok" if works else "FAIL", "kernels", "numba compiles and runs" if works else "numba adds up wrong")
    if not compiled_kernels():
        yield Finding("note", "first use", "the first snapshot and the first proof compile kernels: seconds each")


def _processor() -> Iterator[Finding]:
    flags = processor_flags()
    found = [flag for flag in USEFUL_FLAGS if flag in flags]
    detail = f"{os.cpu_count()} cores, {platform.machine()}" + (f", {' '.join(found)}" if found else "")
    yield Finding("ok", "processor", detail)


def _disk() -> Iterator[Finding]:
    folder = next(path for path in (cache_root(), *cache_root().parents, Path("/")) if path.exists())
    free = shutil.disk_usage(folder).free
    status: Status = "ok" if free >= MIN_FREE_BYTES else "note"
    yield Finding(status, "disk", f"{free // 2**20} MB free for the cache at {folder}")
