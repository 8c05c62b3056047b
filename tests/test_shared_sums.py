"""Sums of points that processors share: how they are cut, that they are the same sums, and whose threads they take."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest
from py_arkworks_bls12381 import G1Point

from zkmargin.crypto import group
from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import scalar

Work = Callable[[Sequence[G1Point], Sequence[int]], G1Point]


class Recorded:
    """Runs at once what it is given, and notes how long the sums are."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def submit(self, work: Work, points: Sequence[G1Point], scalars: Sequence[int]) -> Future[G1Point]:
        self.lengths.append(len(points))
        done: Future[G1Point] = Future()
        done.set_result(work(points, scalars))
        return done


def sums_of(sizes: Sequence[int]) -> list[tuple[list[G1Point], list[int]]]:
    one = G1Point()
    points = [one * scalar(k + 2) for k in range(max(sizes, default=0))]
    return [(points[:size], [(7 * k + j) ** 20 % r for k in range(size)]) for j, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("processors", "sizes", "given_away"),
    [
        (1, (300, 100), []),
        (2, (), []),
        (2, (0, 1, 126), []),
        (2, (127,), []),
        (2, (128,), [64]),
        (2, (64, 64), [64]),
        (2, (63, 65), [63]),
        (3, (300, 10), [100, 100, 10]),
        (4, (200,), [66, 67]),
    ],
)
def test_sums_are_cut_for_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, sizes: tuple[int, ...], given_away: list[int]
) -> None:
    threads, sums = Recorded(), sums_of(sizes)
    monkeypatch.setattr(group, "_processors", lambda: processors)
    monkeypatch.setattr(group, "_threads", lambda: threads)
    assert group.msm_many(sums) == [group.msm(points, scalars) for points, scalars in sums]
    assert threads.lengths == given_away


def test_processors_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 5} if process == 0 else set(), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert group._processors() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert group._processors() == 4
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert group._processors() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_threads_are_a_process_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "_processors", lambda: 2)
    group._threads.cache_clear()
    sums = sums_of((128,))
    expected = group.msm_many(sums)
    assert group._threads().submit(lambda: threading.current_thread().name).result() == "zkmargin-group_0"
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # without threads of its own it would wait for ever
        os._exit(0 if group.msm_many(sums) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
    group._threads().shutdown()
    group._threads.cache_clear()
