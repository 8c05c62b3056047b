"""Field vectors and transforms: equal to the Python integers of crypto.field and crypto.domain, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkmargin.crypto import domain as plain_domain
from zkmargin.crypto import field as plain
from zkmargin.crypto.field import r
from zkmargin.prover._kernels import scalar_field as vectors
from zkmargin.prover._kernels import transforms

EDGES = [0, 1, 2, 7, r - 1, r - 2, r // 2, r // 2 + 1, (1 << 52) - 1, 1 << 52, (1 << 208) - 1, 1 << 208, 1 << 254]
element = st.one_of(st.sampled_from(EDGES), st.integers(0, r - 1))
LENGTHS = [0, 1, 2, 3, 7, 8, 9, 16, 33, 64, 100]


def some(n: int, seed: int = 1) -> list[int]:
    """n elements, edge values first, the rest a fixed walk through the field."""
    walk = [pow(7, 1 + i + 1000 * seed, r) for i in range(n)]
    return (EDGES[seed % 3 :] + walk)[:n] if n >= len(EDGES) else walk


@given(st.lists(st.tuples(element, element), max_size=20), element)
@settings(deadline=None)
def test_arithmetic_is_that_of_the_integers_mod_r(pairs: list[tuple[int, int]], s: int) -> None:
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    a, b = vectors.from_ints(xs), vectors.from_ints(ys)
    assert vectors.to_ints(a) == xs
    assert vectors.to_ints(vectors.add(a, b)) == [(x + y) % r for x, y in pairs]
    assert vectors.to_ints(vectors.sub(a, b)) == [(x - y) % r for x, y in pairs]
    assert vectors.to_ints(vectors.mul(a, b)) == [x * y % r for x, y in pairs]
    assert vectors.to_ints(vectors.neg(a)) == [-x % r for x in xs]
    assert vectors.to_ints(vectors.scale(a, s)) == [s * x % r for x in xs]
    assert vectors.to_ints(vectors.add_scaled(a, b, s)) == [(x + s * y) % r for x, y in pairs]
    assert vectors.dot(a, b) == plain.dot(xs, ys)
    assert vectors.evaluate(a, s) == plain_domain.evaluate(xs, s)
    assert vectors.to_bytes_le(a) == b"".join(x.to_bytes(32, "little") for x in xs)
    assert vectors.from_bytes_le(vectors.to_bytes_le(a)) == a


def test_every_pair_of_edge_values_in_every_lane() -> None:
    pairs = [(x, y) for x in EDGES for y in EDGES]
    a, b = vectors.from_ints([x for x, _ in pairs]), vectors.from_ints([y for _, y in pairs])
    assert vectors.to_ints(vectors.mul(a, b)) == [x * y % r for x, y in pairs]
    assert vectors.to_ints(vectors.add(a, b)) == [(x + y) % r for x, y in pairs]
    assert vectors.to_ints(vectors.sub(a, b)) == [(x - y) % r for x, y in pairs]


@pytest.mark.parametrize("n", LENGTHS)
def test_sequences(n: int) -> None:
    xs = some(n)
    a = vectors.from_ints(xs)
    sums = [sum(xs[: i + 1]) % r for i in range(n)]
    assert vectors.to_ints(vectors.prefix_sum(a)) == sums
    for x in (0, 1, r - 1, 12345):
        assert vectors.to_ints(vectors.powers(x, n)) == plain.powers(x, n)
        assert vectors.to_ints(vectors.constant(x, n)) == [x] * n
        if n:
            quotient, remainder = vectors.divide_by_linear(a, x)
            assert (vectors.to_ints(quotient), remainder) == plain_domain.divide_by_linear(xs, x)


@pytest.mark.parametrize("n", LENGTHS)
def test_batch_inverse(n: int) -> None:
    xs = [x or 5 for x in some(n)]
    a = vectors.from_ints(xs)
    assert vectors.to_ints(vectors.batch_inverse(a)) == [pow(x, -1, r) for x in xs]
    for i in range(n):
        spoilt = vectors.from_ints([*xs[:i], 0, *xs[i + 1 :]])
        before = vectors.to_ints(spoilt)
        with pytest.raises(ZeroDivisionError):
            vectors.batch_inverse(spoilt)
        assert vectors.to_ints(spoilt) == before


@pytest.mark.parametrize("n", [1 << k for k in range(10)])
def test_transforms_match_the_plain_ones(n: int) -> None:
    xs, shift = some(n), plain.GENERATOR
    domain = plain_domain.Domain.of(n)
    a = vectors.from_ints(xs)
    values = transforms.ntt(a)
    assert vectors.to_ints(values) == domain.ntt(xs)
    assert vectors.to_ints(transforms.intt(a)) == domain.intt(xs)
    assert transforms.intt(values) == a
    on_coset = transforms.coset_ntt(a, 4 * n, shift)
    elements = plain_domain.Domain.of(4 * n).elements
    for i in {0, 1, n, 4 * n - 1}:
        assert vectors.to_ints(on_coset)[i] == plain_domain.evaluate(xs, shift * elements[i] % r)
    assert transforms.coset_intt(on_coset, shift) == vectors.pad(a, 4 * n)


@pytest.mark.parametrize("n", [1 << 12, 1 << 16])
def test_large_transforms_are_evaluations(n: int) -> None:
    a = vectors.powers(3, n)
    values = transforms.ntt(a)
    omega = plain_domain.Domain.of(n).omega
    for i in (0, 1, 5, n // 2 + 3, n - 1):
        # a geometric series: (3^n w^(i n) - 1) / (3 w^i - 1)
        x = 3 * pow(omega, i, r) % r
        assert vectors.to_ints(vectors.slice_of(values, i, i + 1)) == [(pow(x, n, r) - 1) * pow(x - 1, -1, r) % r]
    assert transforms.intt(values) == a


@pytest.mark.parametrize("n", [64, 128, 1024, 1 << 13])
def test_transforms_settle_at_the_edges_of_the_field(n: int) -> None:
    """Butterflies leave multiples of r in their results: what is 0, 1 or r - 1 at the end was up to 8 r before."""
    rows = vectors.from_ints([EDGES[(i * i + i // 7) % len(EDGES)] for i in range(n)])
    assert transforms.ntt(transforms.intt(rows)) == rows
    assert transforms.intt(transforms.ntt(rows)) == rows


def test_the_largest_transform_stays_within_its_limbs() -> None:
    """Nothing but r - 1 at first: values grow to 34 r in seventeen layers."""
    n = transforms.LARGEST
    values = transforms.ntt(vectors.constant(r - 1, n))
    assert vectors.to_ints(vectors.slice_of(values, 0, 1)) == [-n % r]
    assert vectors.is_zero(vectors.slice_of(values, 8, n))
    assert vectors.is_zero(vectors.slice_of(values, 1, 8))


def test_a_transform_takes_powers_of_two_only() -> None:
    for n in (0, 3, 12):
        for function in (transforms.ntt, transforms.intt):
            with pytest.raises(ValueError, match="2\\^k"):
                function(vectors.constant(1, n))
    with pytest.raises(ValueError, match="do not fit"):
        transforms.coset_ntt(vectors.constant(1, 5), 4, 7)
    with pytest.raises(ZeroDivisionError):
        transforms.coset_intt(vectors.constant(1, 4), 0)


@pytest.mark.parametrize("n", LENGTHS)
def test_rearranging(n: int) -> None:
    xs = some(n)
    a = vectors.from_ints(xs)
    for k in (0, 1, 4, n // 2, -1):
        assert vectors.to_ints(vectors.roll(a, k)) == ([xs[(i + k) % n] for i in range(n)])
    for start, stop in {(0, n), (0, n // 2), (n // 2, n), (n, n), (min(8, n), n)}:
        assert vectors.to_ints(vectors.slice_of(a, start, stop)) == xs[start:stop]
    assert vectors.to_ints(vectors.pad(a, n + 9)) == xs + [0] * 9
    assert vectors.to_ints(vectors.concatenate(a, vectors.constant(3, 2), a)) == [*xs, 3, 3, *xs]


def test_lanes_after_the_last_element_stay_zero() -> None:
    a = vectors.from_ints([3] * 11)
    results = [
        vectors.add(a, a), vectors.neg(a), vectors.powers(5, 11), vectors.batch_inverse(a), vectors.prefix_sum(a),
        vectors.constant(9, 11), vectors.slice_of(vectors.constant(9, 40), 8, 19), vectors.from_int64(np.full(11, -4)),
        vectors.roll(a, 3), vectors.divide_by_linear(vectors.constant(1, 12), 3)[0],
    ]  # fmt: skip
    for vector in results:
        assert len(vector) == 11
        assert not vector.blocks[-1, :, 3:].any()


def test_int64_is_taken_exactly_or_not_at_all() -> None:
    values = np.array([0, 1, -1, 2**63 - 1, -(2**63), 2**52, -(2**52)], dtype=np.int64)
    expected = [int(x) % r for x in values]
    assert vectors.to_ints(vectors.from_int64(values)) == expected
    values.setflags(write=False)
    assert vectors.to_ints(vectors.from_int64(values)) == expected
    assert vectors.to_ints(vectors.from_int64(values[::-1])) == expected[::-1]
    assert vectors.to_ints(vectors.from_int64(values[::2])) == expected[::2]
    assert vectors.to_ints(vectors.from_int64(np.zeros(0, dtype=np.int64))) == []
    for wrong in (values.astype(np.float64), values > 0, values.astype(np.int32), values.view(np.uint64), [1, 2], 3):
        with pytest.raises(TypeError):
            vectors.from_int64(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one-dimensional"):
        vectors.from_int64(np.zeros((2, 2), dtype=np.int64))


def test_bytes_must_be_canonical() -> None:
    top = (r - 1).to_bytes(32, "little")
    assert vectors.to_ints(vectors.from_bytes_le(top * 2)) == [r - 1, r - 1]
    for value in (r, r + 1, 2**256 - 1, r + (1 << 64), r + (1 << 192)):
        with pytest.raises(ValueError, match="scalar 1 "):
            vectors.from_bytes_le(top + value.to_bytes(32, "little"))
    with pytest.raises(ValueError, match="whole number"):
        vectors.from_bytes_le(top[:-1])
    with pytest.raises(TypeError):
        vectors.from_bytes_le(bytearray(top))  # type: ignore[arg-type]


def test_arguments_of_other_types_are_refused() -> None:
    a = vectors.constant(1, 4)
    for wrong in (1.0, True, "1", np.int64(1), None):
        with pytest.raises(TypeError):
            vectors.from_ints([wrong])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            vectors.scale(a, wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            vectors.add(a, wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        transforms.ntt(np.zeros((1, 5, 8), dtype=np.uint64))  # type: ignore[arg-type]
    for function in (vectors.add, vectors.sub, vectors.mul, vectors.dot):
        with pytest.raises(ValueError, match="4 and 5"):
            function(a, vectors.constant(1, 5))
    with pytest.raises(ValueError, match="no elements"):
        vectors.slice_of(a, 2, 5)
    with pytest.raises(ValueError, match="vector length"):
        vectors.powers(2, -1)
    with pytest.raises(ValueError, match="without coefficients"):
        vectors.divide_by_linear(vectors.constant(0, 0), 3)


def test_vectors_are_immutable_and_keep_their_secrets() -> None:
    a = vectors.from_ints([123456789, 2])
    with pytest.raises(ValueError, match="read-only"):
        a.blocks[0, 0, 0] = 1
    assert "123456789" not in repr(a)
    assert a != vectors.from_ints([123456789])
    with pytest.raises(TypeError):
        hash(a)


DIGEST = """
import hashlib
import numpy as np
from zkmargin.prover import _kernels as f
a, b = f.powers(7, 200), f.from_int64(np.arange(-100, 100))
parts = [f.add(a, b), f.sub(a, b), f.mul(a, b), f.neg(b), f.scale(a, 5), f.add_scaled(a, b, 9), f.prefix_sum(b),
         f.batch_inverse(a), f.divide_by_linear(a, 3)[0], f.coset_ntt(a, 256, 7), f.intt(f.powers(5, 64)), f.roll(a, 3),
         f.linear([(a, 3), (b, -1)]), f.sum_of_products([(a, b), (b, b)]), f.lookup_row(a, [b, a], 11),
         f.gathered(a, np.arange(64).reshape(2, 32)), f.concatenate(b, a),
         *f.Cosets.of(128, 3).values([f.slice_of(a, 0, 130), f.slice_of(b, 3, 131)], 2),
         f.combined_rows(np.arange(-20, 20).reshape(4, 10) << 55, [5, 6, 7, -8], 0, 10, 16)]
digest = hashlib.sha256(b"".join(p.blocks.tobytes() + f.to_bytes_le(p) for p in parts))
print(digest.hexdigest(), f.dot(a, b), f.evaluate(a, 4), f.evaluate_many([a, b], 4))
"""


@pytest.mark.slow
def test_the_same_bits_on_every_machine_and_without_the_compiler() -> None:
    """Other CPUs are imitated by compiling for them; each takes its own way to multiply (prover._kernels.lowering)."""
    from llvmlite import binding

    host = dict(binding.get_host_cpu_features())
    settings_of = {
        "host": {},
        "no compiler": {"NUMBA_DISABLE_JIT": "1"},
        "any CPU": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "-avx"},
    }
    if host.get("fma") and host.get("avx2"):
        avx2 = ",".join(f"-{name}" for name in host if name.startswith("avx512"))
        settings_of["AVX2"] = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": f"+avx2,+fma,{avx2}"}
    outputs = {
        name: subprocess.run(
            [sys.executable, "-c", DIGEST], env={**os.environ, **variables}, capture_output=True, text=True, check=True
        ).stdout
        for name, variables in settings_of.items()
    }
    assert len(set(outputs.values())) == 1, outputs
