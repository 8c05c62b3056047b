"""Fuzzing (catalogue 55): every target of tests/fuzz/targets.py, a few examples here, as long as one likes with

ZKMARGIN_FUZZ_SECONDS=600 pytest tests/test_fuzz.py
"""

import importlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType, ModuleType

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("ZKMARGIN_FUZZ_SECONDS", "0"))
#: No single input may take so long, however busy the machine; nor the whole run so much more memory.
HANG_SECONDS, MEMORY_KB = 120, 512 * 1024
NAMES = (
    "g1",
    "g2",
    "scalars",
    "sums",
    "transforms",
    "arithmetic",
    "transcript",
    "proof codec",
    "verification",
    "setups",
    "json",
    "documents",
    "arrays",
    "importers",
    "words",
)


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    return importlib.import_module("fuzz.targets")


@pytest.fixture
def watched() -> Iterator[None]:
    """An input that never ends, or takes memory without bound, is a finding."""

    def hang(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"an input takes more than {HANG_SECONDS} s")

    before = signal.signal(signal.SIGALRM, hang)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start < MEMORY_KB


HOSTILE = [b"\xff" * 8, bytes(8), b"-1", b"1e400", b"NaN", b"9" * 30, b"[" * 70, b"\\u", b"null", b"\xef\xbb\xbf"]


def mutated(seeds: list[bytes], longest: int) -> st.SearchStrategy[bytes]:
    """A seed with some edits, a splice of two, or anything."""

    @st.composite
    def edited(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(seeds))[:longest])
        for _ in range(draw(st.integers(0, 6))):
            at = draw(st.integers(0, len(data)))
            kind = draw(st.integers(0, 5))
            if kind == 0 and data:
                data[at % len(data)] ^= 1 << draw(st.integers(0, 7))
            elif kind == 1:
                data[at:at] = draw(st.binary(max_size=8))
            elif kind == 2:
                del data[at : at + draw(st.integers(1, 64))]
            elif kind == 3:
                new = draw(
                    st.sampled_from([b"\xff" * 8, bytes(8), b"-1", b"1e400", b"NaN", b"9" * 30, b"[" * 70, b"\\u"])
                )
                data[at : at + len(new)] = new
            elif kind == 4:
                other = draw(st.sampled_from(seeds))
                cut = draw(st.integers(0, len(other)))
                data[at:] = other[cut:]
            else:
                data[at:at] = data[at : at + draw(st.integers(1, 32))]
        return bytes(data[:longest])

    return st.one_of(st.sampled_from(seeds), edited(), edited(), st.binary(max_size=min(longest, 400)))


def test_the_targets_are_these(targets: ModuleType) -> None:
    assert tuple(targets.TARGETS) == NAMES
    assert len(NAMES) >= 12


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("name", NAMES)
def test_target(targets: ModuleType, name: str) -> None:
    target = targets.TARGETS[name]
    start, run, examples = time.monotonic(), 0, 0
    for data in target.seeds():
        target.run(data)
    inputs = mutated(target.seeds(), target.longest)
    while run == 0 or time.monotonic() - start < SECONDS:

        @seed(run)
        @settings(
            max_examples=200 if SECONDS else 40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs)
        def explore(data: bytes) -> None:
            nonlocal examples
            examples += 1
            signal.alarm(HANG_SECONDS)
            target.run(data)

        explore()
        run += 1
    if SECONDS:
        sys.stdout.write(f"fuzz {name}: {examples} inputs in {time.monotonic() - start:.0f} s\n")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("g1", "decode_g1"),
        ("g2", "decode_g2"),
        ("scalars", "decode_scalar"),
        ("sums", "msm"),
        ("proof codec", "encode_proof"),
        ("verification", "verify"),
    ],
)
def test_a_wrong_implementation_is_found(
    targets: ModuleType, name: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the oracle bites: the real function replaced by one that answers anything
    monkeypatch.setattr(targets, function, lambda *_: object())
    inputs = [*targets.TARGETS[name].seeds(), b"", b"\0" * 48]
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        list(map(targets.TARGETS[name].run, inputs))
