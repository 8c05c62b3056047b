"""EIP-2537's own vectors on each EVM: what the contracts stand on. Without precompiles an EVM answers with nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.tests.evm import EVM, Anvil, PyEVM, Reverted

ADDRESSES = {
    "add_G1": 0x0B,
    "mul_G1": 0x0C,
    "msm_G1": 0x0C,
    "add_G2": 0x0D,
    "mul_G2": 0x0E,
    "msm_G2": 0x0E,
    "pairing_check": 0x0F,
    "map_fp_to_G1": 0x10,
    "map_fp2_to_G2": 0x11,
}
FAMILY = "vectors/eip2537"
#: py_ecc takes seconds for some: this many of each file on py-evm.
SAMPLE = 3


def answer(evm: EVM, address: int, data: bytes) -> bytes | None:
    try:
        return evm.call(f"0x{address:040x}", data)
    except Reverted:
        return None


def run(evm: EVM, files: list[Path], limit: int | None = None) -> int:
    count = 0
    for path in files:
        name = path.name.removeprefix("fail-").removesuffix("_bls.json")
        if path.suffix != ".json" or name not in ADDRESSES:
            continue
        vectors: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
        step = max(1, len(vectors) // limit) if limit else 1
        for vector in vectors[::step][: limit or None]:
            expected = None if "ExpectedError" in vector else bytes.fromhex(vector["Expected"])
            assert answer(evm, ADDRESSES[name], bytes.fromhex(vector["Input"])) == expected, vector["Name"]
            count += 1
    return count


@pytest.mark.conformance
@pytest.mark.conformance
def test_every_vector_on_anvil(anvil: Anvil, conformance_family: Callable[[str], list[Path]]) -> None:
    assert run(anvil, conformance_family(FAMILY)) > 0


@pytest.mark.conformance
@pytest.mark.conformance
def test_samples_on_py_evm(py_evm: PyEVM, conformance_family: Callable[[str], list[Path]]) -> None:
    assert run(py_evm, conformance_family(FAMILY), SAMPLE) > 0
