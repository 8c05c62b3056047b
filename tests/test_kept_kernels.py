"""Kernels that one process compiled and another links: the same results, arrays and errors as from numba itself."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zkmargin.prover._kernels import ahead, kept

pytestmark = pytest.mark.compiled

#: Calls of all sorts: no result, arrays and an integer, memory of its own, kernels that call kernels.
CALLS = """
import sys
import numpy as np
from zkmargin.formats import canonical
from zkmargin.prover._kernels import batch_inverse, from_ints, powers, to_ints
from zkmargin.prover._kernels.buckets import split_weights
from zkmargin.prover._kernels.lane_sums import cut
from zkmargin.prover._kernels.inversion import invert
pieces = cut(np.array([0, 100, 300, 300], dtype=np.int32))
assert [a.dtype.name for a in pieces[:3]] == ["int32"] * 3 and all(a.flags.writeable for a in pieces[:3])
halves = split_weights(np.arange(33, dtype=np.int32), 1, 6, 3)
x = np.array([7, *[0] * 12], dtype=np.int64)
invert(x)
for _ in range(300):  # what the arrays hold outlives the call, and is given back
    kept = cut(np.array([0, 64, 4096], dtype=np.int32))[0].copy()
inverses = to_ints(batch_inverse(powers(5, 40)))
seen = b"".join(a.tobytes() for a in (*pieces[:3], *halves, x, kept)) + repr((pieces[3], inverses)).encode()
print(canonical.keccak256(seen).hex(), "numba" in sys.modules)
"""

ERRORS = """
import sys
import numpy as np
from zkmargin.prover._kernels.lane_sums import cut
from zkmargin.prover._kernels.compiled import scale
blocks = np.zeros((2, 5, 8), dtype=np.uint64)
cut(np.array([0, 3], dtype=np.int32))
scale(blocks, blocks, blocks)
for wrong in ([blocks, blocks], [blocks, blocks, None], [blocks, blocks, blocks.astype(np.int32)], [object()] * 3):
    try:
        scale(*wrong)
    except Exception:  # TypeError or one of numba's own
        print("refused")
"""


def run(code: str, cache: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ZKMARGIN_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
def test_what_was_kept_gives_what_numba_gave(tmp_path: Path) -> None:
    compiled, named = run(CALLS, tmp_path).split()
    linked, again = run(CALLS, tmp_path).split()
    assert compiled == linked
    assert (named, again) == ("True", "False")


@pytest.mark.slow
def test_other_arguments_never_reach_kept_code(tmp_path: Path) -> None:
    assert run(ERRORS, tmp_path).split() == ["refused"] * 4
    assert run(ERRORS, tmp_path).split() == ["refused"] * 4


def test_arguments_are_told_apart_as_numba_does() -> None:
    a = np.zeros((4, 5, 8), dtype=np.uint64)
    frozen = a.copy()
    frozen.setflags(write=False)
    same = [a, a[:2], a[:1], np.ones((1, 5, 8), dtype=np.uint64), np.zeros((1, 1, 8), dtype=np.uint64)]
    assert len({ahead._kinds((x,)) for x in same}) == 1
    other = [a[::2], frozen, a[0], a.astype(np.int64), a.astype(">u8"), a.transpose(), 1, True, 1.0, np.int64(1)]
    assert len({ahead._kinds((x,)) for x in [a, *other]}) == 1 + len(other)
    texts = {ahead._written(ahead._kinds((x,))) for x in [a, *other]}
    assert len(texts) == 1 + len(other)


def test_integers_of_more_than_64_bits_are_refused() -> None:
    @ahead.kernel
    def twice(x: int) -> int:
        return 2 * x

    for x in (1 << 63, -(1 << 63) - 1):
        with pytest.raises(OverflowError):
            twice(x)
    assert twice(1 << 40) == 1 << 41
    with pytest.raises(OverflowError):
        twice(1 << 63)


@pytest.mark.slow
def test_code_is_not_linked_without_what_it_calls(tmp_path: Path) -> None:
    code = "from zkmargin.prover._kernels import mul, powers, to_ints; import sys; x = powers(3, 9); "
    code += "print(to_ints(mul(x, x))[-1], 'numba' in sys.modules)"
    one = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
    assert run(one + code, tmp_path) == f"{3**16} True\n"
    assert run(one + code, tmp_path) == f"{3**16} False\n"
    shared = [path for path in tmp_path.rglob("*.kernel") if b"zkmargin_fr_mul" in path.read_bytes()[:120]]
    assert len(shared) == 1  # called by all of them
    shared[0].unlink()
    assert run(one + code, tmp_path) == f"{3**16} True\n"
    assert shared[0].exists()


def test_compiling_leaves_the_collector_as_it_was() -> None:
    @ahead.kernel
    def same(x: int) -> int:
        return x

    for before in (True, False):
        (gc.enable if before else gc.disable)()
        try:
            assert same(1.5 if before else 1) in (1.5, 1)  # type: ignore[arg-type]
            assert gc.isenabled() == before
        finally:
            gc.enable()


def test_a_file_that_is_gone_by_now_is_left_aside(tmp_path: Path) -> None:
    assert kept._read(tmp_path / "cleared.kernel") is None
