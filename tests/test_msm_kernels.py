"""Multi-scalar multiplication against arkworks and against plain Python integers, on inputs where additions fail."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, Scalar
from support.typed import Passed

from zkmargin.crypto.field import r
from zkmargin.formats import private_cache
from zkmargin.formats.errors import SetupError
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels import base_field, group_sums, inversion, plain_msm, points, table_cache
from zkmargin.prover._kernels.fixed_base import FixedBaseTables
from zkmargin.prover._kernels.vectors import from_blocks, to_blocks

P, R = base_field.P, base_field.FIELD.R
INFINITY = bytes(96)
EDGES = [0, 1, 2, r - 1, r - 2, r // 2, r // 2 + 1, 1 << 254, (1 << 254) - 1, 1 << 10, (1 << 10) + 1, 3 << 200]
FIELD_EDGES = [
    1,
    2,
    P - 1,
    P - 2,
    P // 2,
    P // 2 + 1,
    (1 << 52) - 1,
    1 << 52,
    (1 << 364) - 1,
    1 << 380,
    3,
    P - (1 << 364),
]


def times(x: int) -> G1Point:
    return G1Point() * Scalar.from_le_bytes((x % r).to_bytes(32, "little"))


def encode(point: G1Point) -> bytes:
    return bytes(point.to_xy_bytes_be())


#: 33 points: infinity twice, P and -P, equal points, P and 2P, and a spread of others.
LOGS = [0, 5, r - 5, 5, 10, 7, 7, r - 7, 0, 1, 2, 4, *(pow(3, 50 + i, r) for i in range(21))]
POINTS = [times(x) for x in LOGS]
DATA = b"".join(encode(point) for point in POINTS)


@pytest.fixture(scope="module")
def tables() -> FixedBaseTables:
    return FixedBaseTables.build(DATA)


def expected(scalars: list[int], first: int = 0) -> bytes:
    logs = LOGS[first : first + len(scalars)]
    return encode(times(sum(s * x for s, x in zip(scalars, logs, strict=True))))


def by_arkworks(scalars: list[int]) -> bytes:
    factors = [Scalar.from_le_bytes((s % r).to_bytes(32, "little")) for s in scalars]
    return encode(G1Point.multiexp_unchecked(POINTS[: len(scalars)], factors))


def test_the_oracles_agree_with_each_other() -> None:
    scalars = [pow(5, 70 + i, r) for i in range(33)]
    plain = plain_msm.encode(plain_msm.msm(plain_msm.decode(DATA), scalars))
    assert plain == by_arkworks(scalars) == expected(scalars)


@pytest.mark.parametrize("n", range(34))
def test_every_length(tables: FixedBaseTables, n: int) -> None:
    scalars = [pow(5, 70 + i, r) for i in range(n)]
    assert tables.msm(K.from_ints(scalars)) == expected(scalars)


@given(st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, r - 1)), max_size=33), st.integers(0, 33))
@settings(deadline=None, max_examples=60)
def test_any_scalars(tables: FixedBaseTables, scalars: list[int], first: int) -> None:
    scalars = scalars[: 33 - first]
    assert tables.msm_many([[(first, K.from_ints(scalars))]]) == [expected(scalars, first)]


@pytest.mark.parametrize("scalar", EDGES)
def test_all_scalars_equal(tables: FixedBaseTables, scalar: int) -> None:
    assert tables.msm(K.constant(scalar, 33)) == expected([scalar] * 33)


def test_sums_that_cancel_or_double(tables: FixedBaseTables) -> None:
    for scalars in (
        [0, 3, 3],
        [0, 3, 0, r - 3],
        [0, 2, 0, 0, r - 1],
        [0, 4, 4, 0, 0, 9, 0, 9],
        [0, 0, 0, 6, 6],
        [8, 0],
    ):
        assert tables.msm(K.from_ints(scalars)) == expected(scalars)
    assert tables.msm(K.from_ints([0, 1, 1])) == INFINITY
    assert tables.msm(K.from_ints([r - 1])) == INFINITY


@pytest.mark.parametrize("window", [4, 5, 7, 11, 13, 14])
def test_every_window_gives_the_same_point(window: int) -> None:
    scalars = (EDGES + [pow(11, 90 + i, r) for i in range(33)])[:33]
    assert FixedBaseTables.build(DATA, window=window).msm(K.from_ints(scalars)) == expected(scalars)


def test_signed_integers(tables: FixedBaseTables) -> None:
    extremes = [0, 1, -1, 2**63 - 1, -(2**63), 1023, -1024, 2**20, -(2**20) + 1]
    for values in (extremes, extremes[::-1], [0] * 33, [-1] * 33, [1] * 33, [(7 * i) % 11 - 5 for i in range(33)]):
        array = np.array(values, dtype=np.int64)
        assert tables.msm_small(array) == expected(values)
        assert tables.msm_small(array[::-1]) == expected(values[::-1])
        array.setflags(write=False)
        assert tables.msm_small(array[::2]) == expected(values[::2])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_jobs_and_threads(tables: FixedBaseTables, threads: int) -> None:
    values = np.array([5, -6, 0, 1023], dtype=np.int64)
    jobs: list[Passed] = []
    answers = []
    for k in range(7):
        scalars = [pow(13, 99 + k + i, r) for i in range(3 * k)]
        jobs.append([(2, K.from_ints(scalars)), (29 - k, values), (0, K.from_ints([k]))])
        whole = [0] * 33
        for first, part in ((2, scalars), (29 - k, values.tolist()), (0, [k])):
            for i, x in enumerate(part):
                whole[first + i] += x
        answers.append(expected([x % r for x in whole]))
    for count in (0, 1, 2, 3, 5, 7):
        assert tables.msm_many(jobs[:count], threads=threads) == answers[:count]
        with ThreadPoolExecutor(max(threads - 1, 1)) as pool:
            assert tables.msm_many(jobs[:count], threads=threads, pool=pool) == answers[:count]
    assert tables.msm_many([[], [(33, K.from_ints([]))]], threads=threads) == [INFINITY] * 2


@pytest.mark.parametrize("window", [4, 11, 13, 14])
def test_tables_for_integers_end_at_64_bits(window: int) -> None:
    edges = [0, 1, -1, 2**63 - 1, -(2**63), -(2**63) + 1, 2**62, 3 * 2**60 - 1]
    values = [edges[i % len(edges)] * (1 if i % 3 else -1) for i in range(len(LOGS))]
    values = [x if -(2**63) <= x < 2**63 else 2**63 - 1 for x in values]
    short = FixedBaseTables.build(DATA, window=window, bits=64)
    assert short.msm(np.array(values, dtype=np.int64)) == expected([x % r for x in values])
    with pytest.raises(TypeError, match="no field elements"):
        short.msm(K.from_ints([1]))
    for bits in (63, 256):
        with pytest.raises(ValueError, match="bits"):
            FixedBaseTables.build(DATA, bits=bits)


@pytest.mark.slow
def test_a_full_size_sum() -> None:
    n = 1024
    logs = [pow(3, 1000 + i, r) for i in range(n)]
    large = FixedBaseTables.build(b"".join(encode(times(x)) for x in logs))
    scalars = [pow(5, 1000 + i, r) for i in range(n)]
    digits = np.arange(n, dtype=np.int64) * 31 % 1024
    answers = [encode(times(sum(a * b for a, b in zip(logs, s, strict=True)))) for s in (scalars, digits.tolist())]
    jobs: list[Passed] = [[(0, K.from_ints(scalars))], [(0, digits)]]
    assert large.msm_many(jobs) == large.msm_many(jobs, threads=2) == answers


def test_wrong_arguments_are_refused(tables: FixedBaseTables) -> None:
    for wrong in (np.zeros(3), np.zeros(3, dtype=np.uint64), np.zeros(3, dtype=bool), [1, 2], "1", None):
        with pytest.raises(TypeError):
            tables.msm(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="34 scalars"):
        tables.msm(K.constant(1, 34))
    with pytest.raises(ValueError, match="2 scalars from base 32"):
        tables.msm_many([[(32, K.constant(1, 2))]])
    with pytest.raises(ValueError, match="from base -1"):
        tables.msm_many([[(-1, K.constant(1, 2))]])
    with pytest.raises(TypeError):
        tables.msm_many([[(True, K.constant(1, 2))]])
    with pytest.raises(ValueError, match="threads"):
        tables.msm_many([], threads=0)
    for window in (3, 15):
        with pytest.raises(ValueError, match="window"):
            FixedBaseTables.build(DATA, window=window)


def test_wrong_points_are_refused() -> None:
    good = encode(times(3))
    x, y = int.from_bytes(good[:48], "big"), int.from_bytes(good[48:], "big")
    with pytest.raises(ValueError, match="no tables of 0"):
        FixedBaseTables.build(b"")
    with pytest.raises(ValueError, match="whole number"):
        FixedBaseTables.build(good[:-1])
    with pytest.raises(ValueError, match="point 1 is not on the curve"):
        FixedBaseTables.build(good + good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(ValueError, match="point 0 is not on the curve"):
        FixedBaseTables.build(bytes(95) + b"\1")
    with pytest.raises(ValueError, match="at or above"):
        FixedBaseTables.build((x + P).to_bytes(48, "big") + y.to_bytes(48, "big"))
    with pytest.raises(TypeError):
        FixedBaseTables.build(bytearray(good))  # type: ignore[arg-type]


def test_a_point_outside_the_subgroup_is_added_right() -> None:
    # (0, 2) has order 3
    point = bytes(95) + b"\2"
    for n in range(7):
        plain = plain_msm.encode(plain_msm.msm(plain_msm.decode(point), [n]))
        assert FixedBaseTables.build(point).msm(K.from_ints([n])) == plain
    assert plain == INFINITY


@pytest.mark.compiled
def test_affine_additions_pair_by_pair() -> None:
    rows = points.rows_from_bytes(DATA)
    pairs = [(i, j) for i in range(66) for j in range(66)]
    left, right = (np.array([pair[side] for pair in pairs] + [0] * 16, dtype=np.int32) for side in (0, 1))
    out = np.zeros((len(pairs), base_field.ROW), dtype=np.uint64)
    group_sums.add_rows(out, np.arange(len(pairs) + 16, dtype=np.int32), rows, left, right, len(pairs))
    logs = [(-1) ** (entry & 1) * LOGS[entry >> 1] for entry in range(66)]
    results = points.bytes_from_rows(out)
    known = {x: encode(times(x)) for x in {(logs[i] + logs[j]) % r for i, j in pairs}}
    assert results == [known[(logs[i] + logs[j]) % r] for i, j in pairs]


@pytest.mark.compiled
@given(st.lists(st.one_of(st.sampled_from(FIELD_EDGES), st.integers(1, P - 1)), min_size=8, max_size=8))
@settings(deadline=None)
def test_base_field_inversion(xs: list[int]) -> None:
    block = to_blocks([x * R % P for x in xs], base_field.LIMBS)
    inversion.invert_lanes(block)
    assert from_blocks(block, 8) == [pow(x, -1, P) * R % P for x in xs]


@given(st.integers(0, r - 1), st.integers(0, r - 1))
@settings(deadline=None, max_examples=20)
def test_plain_group_law(a: int, b: int) -> None:
    one, two = (plain_msm.decode(encode(times(x)))[0] for x in (a, b))
    assert plain_msm.encode(plain_msm.add(one, two)) == encode(times(a + b))
    assert plain_msm.encode(plain_msm.add(one, one)) == encode(times(2 * a))
    assert plain_msm.encode(plain_msm.signed_msm([one], [-b])) == encode(times(-a * b))


# --- tables on disk ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(private_cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.compiled
def test_tables_are_kept_and_found_again(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = FixedBaseTables.build(DATA, cached=True).msm(K.constant(9, 33))
    (file,) = (cache_folder / "tables").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert cache_folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("zkmargin.prover._kernels.fixed_base.double_rows", None)  # nothing is computed again
    assert FixedBaseTables.build(DATA, cached=True).msm(K.constant(9, 33)) == answer == expected([9] * 33)
    assert len(list((cache_folder / "tables").iterdir())) == 1


@pytest.mark.compiled
@pytest.mark.parametrize(
    "damage", ["first byte", "row", "last byte", "short", "long", "empty", "other setup", "writable"]
)
def test_damaged_or_foreign_tables_are_rebuilt(cache_folder: Path, damage: str) -> None:
    FixedBaseTables.build(DATA, cached=True)
    (file,) = (cache_folder / "tables").iterdir()
    good = file.read_bytes()
    flip = {"first byte": 0, "row": 3000, "last byte": len(good) - 1}
    if damage in flip:
        bad = bytearray(good)
        bad[flip[damage]] ^= 1
        file.write_bytes(bad)
    elif damage == "other setup":
        other = DATA[96:] + DATA[:96]
        FixedBaseTables.build(other, cached=True)
        (second,) = set((cache_folder / "tables").iterdir()) - {file}
        file.write_bytes(second.read_bytes())
        second.unlink()
    elif damage == "writable":
        file.chmod(0o666)
    else:
        file.write_bytes({"short": good[:-1], "long": good + b"\0", "empty": b""}[damage])
    assert FixedBaseTables.build(DATA, cached=True).msm(K.constant(9, 33)) == expected([9] * 33)
    assert file.read_bytes() == good
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.compiled
def test_a_link_in_place_of_the_tables_is_not_followed(cache_folder: Path, tmp_path: Path) -> None:
    FixedBaseTables.build(DATA, cached=True)
    (file,) = (cache_folder / "tables").iterdir()
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    key = bytes.fromhex(file.stem)
    assert len(key) == 16
    full = table_cache.table_key(DATA, FixedBaseTables.build(DATA).window)
    assert full[:16] == key
    assert table_cache.load(full, 10) is None


@pytest.mark.compiled
def test_a_cache_that_others_may_write_to_is_not_used(cache_folder: Path) -> None:
    FixedBaseTables.build(DATA, cached=True)
    cache_folder.chmod(0o777)
    with pytest.raises(SetupError, match="others may write"):
        private_cache.private_directory("tables")
    assert FixedBaseTables.build(DATA, cached=True).msm(K.constant(9, 33)) == expected([9] * 33)
    cache_folder.chmod(0o700)
    target = cache_folder.with_name("other")
    cache_folder.rename(target)
    cache_folder.symlink_to(target)
    with pytest.raises(SetupError, match="not a directory"):
        private_cache.private_directory("tables")


# --- other machines ---------------------------------------------------------------------------------------------------

DIGEST = """
import sys
import numpy as np
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels import group_sums
from zkmargin.prover._kernels.fixed_base import FixedBaseTables
data = bytes.fromhex(sys.stdin.read())
tables = FixedBaseTables.build(data)
finite = FixedBaseTables.build(data[12 * 96 :])  # different points: these can be added in lanes
for group_sums.SHORT in (0, 1 << 30):
    print([x.hex() for x in finite.msm_many([[(0, K.powers(7, 21))], [(2, K.powers(5, 19))]])])
for threads in (1, 2):
    jobs = [[(0, K.powers(7, 33))], [(3, K.powers(5, 20)), (9, np.arange(-5, 5))], [(0, np.array([-2**63, 2**63 - 1]))]]
    print([x.hex() for x in tables.msm_many(jobs, threads=threads)])
"""


@pytest.mark.slow
def test_the_same_points_on_every_machine_and_without_the_compiler() -> None:
    from llvmlite import binding

    host = dict(binding.get_host_cpu_features())
    machines = {
        "host": {},
        "no compiler": {"NUMBA_DISABLE_JIT": "1"},
        "any CPU": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "-avx"},
    }
    if host.get("fma") and host.get("avx2"):
        without = ",".join(f"-{name}" for name in host if name.startswith("avx512"))
        machines["AVX2"] = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": f"+avx2,+fma,{without}"}
    outputs = {
        name: subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, **variables},
            input=DATA.hex(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for name, variables in machines.items()
    }
    lanes, pairs, one_thread, two_threads = ({output[k] for output in outputs.values()} for k in range(4))
    assert len(lanes | pairs) == len(one_thread | two_threads) == 1, outputs
