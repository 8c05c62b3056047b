"""Verification in processes of their own: sent proofs, they answer with a verdict for each.

A process that dies is started anew, and what it was asked is asked once more. It holds the last snapshots that it was
sent, no keys and no database.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zkmargin
from zkmargin.client.errors import Unavailable
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ProofFormatError, VerificationError, ZkMarginError, canonical_bytes, parse_json
from zkmargin.verifier import Accepted, Statement, verify_each
from zkmargin.verifier.workers import Item, framed, received, request_of, statement_of

#: Snapshots that a process keeps: the newest of some series.
KEPT = 16


class Pool:
    """Processes that verify. Threads may share it; as many calls go on at once as there are processes.

    Args:
        count: processes, at least 1. They are started at once.
    """

    def __init__(self, count: int) -> None:
        self._free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all = [_Worker() for _ in range(count)]
        for worker in self._all:
            self._free.put(worker)

    def verify_each(self, items: Sequence[Item]) -> list[Accepted | ZkMarginError]:
        """As ``verifier.verify_each``. Raises Unavailable: the processes die."""
        worker = self._free.get()
        try:
            for _ in range(2):
                try:
                    return worker.verify_each(items)
                except (OSError, EOFError):
                    worker.restart()
        finally:
            self._free.put(worker)
        raise Unavailable("verification failed twice")

    @property
    def alive(self) -> int:
        """How many processes run."""
        return sum(worker.process.poll() is None for worker in self._all)

    @property
    def pids(self) -> list[int]:
        """Of the processes."""
        return [worker.process.pid for worker in self._all]

    def close(self) -> None:
        """End them."""
        for worker in self._all:
            worker.close()


class _Worker:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        if hasattr(self, "process"):
            self.close()
        root = str(Path(zkmargin.__file__).absolute().parents[1])
        path = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        # -P: no module of the current folder is imported
        command = [sys.executable, "-P", "-c", "from zkmargin.service.workers import serve; serve()"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ours
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def verify_each(self, items: Sequence[Item]) -> list[Accepted | ZkMarginError]:
        """Raises OSError, EOFError: the process is gone."""
        with self._lock:
            new = []
            for statement, _ in items:
                if statement.snapshot_digest not in self._known:
                    self._known[statement.snapshot_digest] = None
                    new.append(statement.snapshot.to_bytes().decode())
                self._known.move_to_end(statement.snapshot_digest)
            while len(self._known) > KEPT + len(items):  # it keeps as many more as one call brings at most
                self._known.popitem(last=False)
            asked = [request_of(statement, proof).decode() for statement, proof in items]
            answers = self._ask({"snapshots": new, "kept": [d.hex() for d in self._known], "items": asked})
        return [_verdict(statement, answer) for (statement, _), answer in zip(items, answers, strict=True)]

    def _ask(self, value: dict[str, Any]) -> list[Any]:
        if self.process.stdin is None or self.process.stdout is None:
            raise EOFError
        self.process.stdin.write(framed(canonical_bytes(value)))
        self.process.stdin.flush()
        answer = received(self.process.stdout)
        if answer is None:
            raise EOFError
        found: list[Any] = parse_json(answer)
        return found


def _verdict(statement: Statement, answer: dict[str, Any]) -> Accepted | ZkMarginError:
    if "statement" in answer:
        return Accepted(statement, bytes.fromhex(answer["statement"]))
    if answer["check"] is None:
        return ProofFormatError(answer["message"])
    return VerificationError(answer["message"], check=answer["check"])


def serve() -> None:
    """What a process does, until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started us
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a word that someone prints is no answer
    snapshots: dict[str, Snapshot] = {}
    while (request := received(requests)) is not None:
        given = parse_json(request)
        for text in given["snapshots"]:
            snapshot = Snapshot.parse(text)
            snapshots[snapshot.digest().hex()] = snapshot
        snapshots = {digest: snapshots[digest] for digest in given["kept"]}
        asked = [parse_json(text) for text in given["items"]]
        items = [(statement_of(item, snapshots), bytes.fromhex(item["proof"])) for item in asked]
        found = [
            {"statement": one.statement_digest.hex()}
            if isinstance(one, Accepted)
            else {"message": one.message, "check": getattr(one, "check", None)}
            for one in verify_each(items)
        ]
        answers.write(framed(canonical_bytes(found)))
        answers.flush()
