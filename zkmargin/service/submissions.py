"""The queue before the verifiers: what waits is judged and committed together, and only then answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from zkmargin.client.documents import Submission
from zkmargin.client.errors import AlreadyAccepted, Unavailable
from zkmargin.formats import InputError, ZkMarginError
from zkmargin.service import logs
from zkmargin.service.desk import Desk
from zkmargin.service.judging import Verdict, judge
from zkmargin.service.metrics import Metrics
from zkmargin.verifier.attest import Receipt

#: Judged together at most: more would make the first wait for the last.
GROUP = 32
#: While a group is judged, so long is waited for others to come into the next: each group costs something of its own.
#: Where nothing is judged, nobody waits.
GATHER_SECONDS = 0.02

_Waiting = tuple[Submission, "asyncio.Future[Verdict]"]


class Queue:
    """Submissions on their way to a verdict. It is bounded: what finds it full is sent away.

    Args:
        desk, metrics: of the service.
    """

    def __init__(self, desk: Desk, metrics: Metrics) -> None:
        self._desk, self._metrics = desk, metrics
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(desk.settings.limits.queue)
        # one more than there are processes: while one group is recorded, the next is verified
        count = desk.settings.workers + 1
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="judge")
        self._gathering, self._judged = asyncio.Lock(), 0
        self._tasks = [asyncio.create_task(self._work()) for _ in range(count)]

    async def submit(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """A receipt or an error for each.

        Raises:
            Unavailable: the queue is full, or nothing can be recorded.
            InputError: more than it ever takes.
        """
        if len(submissions) > self._waiting.maxsize:  # it would be sent away for ever
            raise InputError(f"{self._waiting.maxsize} wait at most", field="submissions", hint="send fewer at once")
        if self._waiting.maxsize - self._waiting.qsize() < len(submissions):
            self._metrics.denied.labels("queue").inc()
            raise Unavailable("too many proofs wait", retry_after=1)
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Verdict]] = [loop.create_future() for _ in submissions]
        for submission, future in zip(submissions, futures, strict=True):
            self._waiting.put_nowait((submission, future))
        self._metrics.waiting.set(self._waiting.qsize())
        return [await future for future in futures]

    async def close(self) -> None:
        """Answer what waits, then stop."""
        await self._waiting.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown()

    async def _work(self) -> None:
        while True:
            async with self._gathering:
                group = [await self._waiting.get()]
                if self._judged and self._waiting.qsize() < GROUP - 1:
                    await asyncio.sleep(GATHER_SECONDS)
                while len(group) < GROUP and not self._waiting.empty():
                    group.append(self._waiting.get_nowait())
            self._judged += 1
            try:
                await self._judge(group)
            finally:
                self._judged -= 1
                for _ in group:
                    self._waiting.task_done()

    async def _judge(self, group: Sequence[_Waiting]) -> None:
        self._metrics.group.observe(len(group))
        begin, loop = time.perf_counter(), asyncio.get_running_loop()
        submissions = [submission for submission, _ in group]
        verdicts = await loop.run_in_executor(self._threads, judged_apart, self._desk, submissions)
        self._metrics.judging.observe(time.perf_counter() - begin)
        self._metrics.waiting.set(self._waiting.qsize())
        for (_, future), verdict in zip(group, verdicts, strict=True):
            self._metrics.verdicts.labels(_label(verdict)).inc()
            if not future.done():  # whoever asked may be gone
                future.set_result(verdict)


def judged_apart(desk: Desk, submissions: Sequence[Submission]) -> list[Verdict]:
    """As ``judge``; where that fails by a defect of ours, each by itself, so that one submission spoils no other."""
    try:
        return judge(desk, submissions)
    except Exception as error:  # noqa: BLE001 - nothing was acknowledged: each caller is told to try again
        logs.failure("judging", error)
        if len(submissions) > 1 and not isinstance(error, ZkMarginError):  # not where the database is away
            return [verdict for one in submissions for verdict in judged_apart(desk, [one])]
        reason = error.message if isinstance(error, ZkMarginError) else "a defect of the service"
        return [Unavailable(f"nothing is acknowledged, submit it again: {reason}", retry_after=2)] * len(submissions)


def _label(verdict: Verdict) -> str:
    if isinstance(verdict, Receipt):
        return "accepted"
    if isinstance(verdict, Unavailable):
        return "unavailable"
    return "replayed" if isinstance(verdict, AlreadyAccepted) else str(getattr(verdict, "check", "format"))
