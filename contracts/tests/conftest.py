"""EVMs and deployed contracts for the tests of ``contracts/``; ``make contracts`` installs what they need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contracts.tests.evm import EVM, Anvil, PyEVM
from tests.conftest import (
    conformance_data,
    conformance_family,
    pytest_collection_modifyitems,
    pytest_terminal_summary,
    pytest_testnodedown,
)

__all__ = [
    "conformance_data",
    "conformance_family",
    "pytest_collection_modifyitems",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    """anvil at osaka."""
    evm = Anvil("osaka")
    yield evm
    evm.close()


@pytest.fixture(scope="session")
def py_evm() -> PyEVM:
    """py-evm at Prague."""
    return PyEVM()


@pytest.fixture(scope="session", params=["anvil", "py-evm"])
def evm(request: pytest.FixtureRequest) -> EVM:
    """Each of the two."""
    found: EVM = request.getfixturevalue({"anvil": "anvil", "py-evm": "py_evm"}[request.param])
    return found
