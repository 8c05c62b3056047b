"""Fixtures for every test file: the published data of conformance tests, and how hard hypothesis tries.

Conformance tests compare with published data that is not part of the project. Without that data they are
deselected and the summary says how many; with it, a family that is absent is skipped by name and a family
that is there but empty or unreadable fails. Tests of what a platform lacks are deselected and counted as well.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support.postgresql import Server, new_database

DATA_VARIABLE = "ZKMARGIN_CONFORMANCE_DATA"
#: (marker, why, how many tests) of the tests that are not run here.
DESELECTED = pytest.StashKey[list[tuple[str, str, int]]]()
#: What conformance tests measured: (family, cases, worst error in words).
MEASURED = pytest.StashKey[list[tuple[str, int, str]]]()

# Clocks are no part of a test: a busy machine must not fail one.
settings.register_profile(
    "quick",
    max_examples=40,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("full", settings.get_profile("quick"), max_examples=2_000, derandomize=False)
settings.load_profile("full" if os.environ.get("ZKMARGIN_FULL") == "1" else "quick")


def _lacking(marker: str) -> str:
    """Why the tests with a marker cannot run here; empty if they can."""
    if marker == "conformance":
        return "" if os.environ.get(DATA_VARIABLE) else f"{DATA_VARIABLE} is unset"
    if marker == "linux":
        return "" if sys.platform == "linux" else f"this is {sys.platform}"
    from zkmargin.formats.kernel import JIT_ENABLED

    return "" if JIT_ENABLED else "NUMBA_DISABLE_JIT is set"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    told = config.stash.setdefault(DESELECTED, [])
    for marker in ("conformance", "linux", "compiled"):
        marked = [item for item in items if item.get_closest_marker(marker)]
        why = _lacking(marker) if marked else ""
        if why:
            items[:] = [item for item in items if not item.get_closest_marker(marker)]
            config.hook.pytest_deselected(items=marked)
            told.append((marker, why, len(marked)))
    if hasattr(config, "workeroutput"):
        config.workeroutput["deselected"] = told
    _restore_days(items)


def _restore_days(items: list[pytest.Item]) -> None:
    """Modules whose tests are one day with one service run in the order they are written in, whoever shuffles."""
    places: dict[object, list[int]] = {}
    for place, item in enumerate(items):
        if isinstance(item, pytest.Function) and item.get_closest_marker("in_order"):
            places.setdefault(item.module, []).append(place)
    for own in places.values():
        ordered = sorted((items[place] for place in own), key=lambda item: item.reportinfo()[1] or 0)
        for place, item in zip(own, ordered, strict=True):
            items[place] = item


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes the counts from a pytest-xdist worker, which collects where nobody reads its summary."""
    told = getattr(node, "workeroutput", {}).get("deselected", [])
    if told:  # every worker collects all tests
        node.config.stash[DESELECTED] = told
    for family, cases, worst in getattr(node, "workeroutput", {}).get("conformance_measured", []):
        node.config.stash.setdefault(MEASURED, []).append((family, cases, worst))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    told: list[tuple[str, str, int]] = config.stash.get(DESELECTED, [])
    for marker, why, count in told:
        terminalreporter.write_line(f"{marker}: {why}: {count} tests deselected", yellow=True)
    measured: list[tuple[str, int, str]] = config.stash.get(MEASURED, [])
    for family, cases, worst in sorted(measured):
        terminalreporter.write_line(f"conformance: {family}: {cases} cases pass, worst {worst}", green=True)


@pytest.fixture(scope="session")
def conformance_data() -> Path:
    """The folder of published data."""
    named = os.environ.get(DATA_VARIABLE)
    if not named:
        pytest.fail(f"a test that reads {DATA_VARIABLE} carries @pytest.mark.conformance")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"{DATA_VARIABLE} is set but names no folder: {folder}")
    return folder


@pytest.fixture(scope="session")
def conformance_family(conformance_data: Path) -> Callable[[str], list[Path]]:
    """Lists the files of one family of published data, such as ``vectors/black76``, sorted by name."""

    def files_of(name: str) -> list[Path]:
        family = conformance_data / name
        if not family.exists():
            pytest.skip(f"conformance: the family {name} is absent from {DATA_VARIABLE}")
        files = [family] if family.is_file() else sorted(path for path in family.rglob("*") if not path.is_dir())
        if not files:
            pytest.fail(f"conformance: the family {name} is empty")
        for path in files:
            try:
                path.open("rb").close()
            except OSError as error:
                pytest.fail(f"conformance: the family {name} cannot be read: {error}")
        return files

    return files_of


@pytest.fixture(scope="session")
def conformance_report(pytestconfig: pytest.Config) -> Callable[[str, int, object], None]:
    """Adds a line to the summary: a family of published data, how many of its cases passed, the worst error.

    A family without a single case fails.
    """

    def report(family: str, cases: int, worst: object) -> None:
        if cases == 0:
            pytest.fail(f"conformance: the family {family} has no case")
        pytestconfig.stash.setdefault(MEASURED, []).append((family, cases, str(worst)))
        if hasattr(pytestconfig, "workeroutput"):
            pytestconfig.workeroutput.setdefault("conformance_measured", []).append((family, cases, str(worst)))

    return report


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The socket folder of a PostgreSQL server of our own, user ``zkmargin``. Its data are gone with the session."""
    with Server() as server:
        yield str(server.folder)


@pytest.fixture
def new_postgresql(postgresql_server: str) -> Callable[[], str]:
    """Makes an empty database on the server and returns its URL."""
    return lambda: new_database(postgresql_server)


@pytest.fixture(params=["sqlite", "postgresql"])
def new_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes the place of an empty ledger, on each database in turn: a path or a URL."""
    if request.param == "postgresql":
        create: Callable[[], str] = request.getfixturevalue("new_postgresql")
        return create
    return lambda: str(tmp_path / f"{secrets.token_hex(8)}.db")
