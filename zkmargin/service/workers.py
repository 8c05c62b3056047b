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
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import zkmargin
from zkmargin.accounts import Commitment
from zkmargin.circuits import build_circuit
from zkmargin.client.errors import Unavailable
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError, canonical_bytes, parse_json
from zkmargin.verifier import Accepted, Statement, verify_each
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms
from zkmargin.verifier.venue.verify import VenueAccepted, verify_venue
from zkmargin.verifier.workers import Item, framed, received, request_of, statement_of

T = TypeVar("T")

#: Snapshots that a process keeps: the newest of some series.
KEPT = 16

#: After so long a process that was asked something is taken for lost: it was stopped, or waits for what never comes. A
#: venue's proof is read with all its accounts.
ASK_SECONDS, VENUE_SECONDS = 60.0, 600.0

#: What is claimed: a claim and limits. With a snapshot, a circuit.
Claimed = tuple[Claim, tuple[Limit, ...]]


class Pool:
    """Processes that verify. Threads may share it; as many calls go on at once as there are processes.

    Args:
        count: processes, at least 1. They are started at once.
    """

    def __init__(self, count: int) -> None:
        self._free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all = [_Worker() for _ in range(count)]
        self._teachers = ThreadPoolExecutor(count, thread_name_prefix="learn")
        for worker in self._all:
            self._free.put(worker)

    def verify_each(self, items: Sequence[Item]) -> list[Accepted | ZkMarginError]:
        """As ``verifier.verify_each``. Raises Unavailable: the processes die."""
        return self._ask(lambda worker: worker.verify_each(items))

    def verify_venue(self, statement: VenueStatement, proof: bytes) -> VenueAccepted | ZkMarginError:
        """A verdict for a venue's proof, of every account at once. Raises Unavailable: the processes die."""
        return self._ask(lambda worker: worker.verify_venue(statement, proof))

    def learn(self, snapshot: Snapshot, claimed: Sequence[Claimed]) -> list[Future[None]]:
        """Tell every process of a snapshot, and what will be claimed of it, before the first proof about it.

        It waits for none; who wants to, has their answers to wait for. A process that is lost meanwhile is started
        anew when it is asked something.
        """
        return [self._teachers.submit(worker.learn, snapshot, claimed) for worker in self._all]

    def _ask(self, question: Callable[[_Worker], T]) -> T:
        worker = self._free.get()
        try:
            for _ in range(2):
                try:
                    return question(worker)
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
        self._teachers.shutdown(wait=False, cancel_futures=True)
        for worker in self._all:
            worker.close()


class _Worker:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        with self._lock:
            self._restart()

    def _restart(self) -> None:
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
        asked = [request_of(statement, proof).decode() for statement, proof in items]
        answers = self._ask_about([statement.snapshot for statement, _ in items], {"items": asked})
        return [_verdict(statement, answer) for (statement, _), answer in zip(items, answers, strict=True)]

    def learn(self, snapshot: Snapshot, claimed: Sequence[Claimed]) -> None:
        with suppress(OSError, EOFError):
            named = [[claim.num, claim.den, claim.requirement, *map(str, limits)] for claim, limits in claimed]
            self._ask_about([snapshot], {"items": [], "snapshot": snapshot.digest().hex(), "claimed": named})

    def verify_venue(self, statement: VenueStatement, proof: bytes) -> VenueAccepted | ZkMarginError:
        """Raises OSError, EOFError: the process is gone."""
        asked = {
            "snapshot": statement.snapshot.digest().hex(),
            "terms": statement.terms.to_bytes().decode(),
            "commitments": [commitment.to_bytes().decode() for commitment in statement.commitments],
            "context": statement.context.hex(),
            "proof": proof.hex(),
        }
        (answer,) = self._ask_about([statement.snapshot], {"items": [], "venue": asked}, seconds=VENUE_SECONDS)
        if "statement" not in answer:
            return _refusal(answer)
        statement_digest, proof_digest, root = (bytes.fromhex(answer[name]) for name in ("statement", "proof", "root"))
        return VenueAccepted(statement, statement_digest, proof_digest, root)

    def _ask_about(
        self, snapshots: Sequence[Snapshot], question: dict[str, Any], *, seconds: float | None = None
    ) -> list[Any]:
        """A question, with those of its snapshots that are new there."""
        with self._lock:
            new = []
            for snapshot in snapshots:
                digest = snapshot.digest()
                if digest not in self._known:
                    self._known[digest] = None
                    new.append(snapshot.to_bytes().decode())
                self._known.move_to_end(digest)
            while len(self._known) > KEPT + len(snapshots):  # it keeps as many more as one call brings at most
                self._known.popitem(last=False)
            asked = {"snapshots": new, "kept": [d.hex() for d in self._known], **question}
            late = threading.Timer(
                seconds or ASK_SECONDS, self.process.kill
            )  # ends the read, and a write that is stuck
            late.start()
            try:
                return self._ask(asked)
            finally:
                late.cancel()

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
    return _refusal(answer)


def _refusal(answer: dict[str, Any]) -> ZkMarginError:
    if answer["check"] is None:
        return ProofFormatError(answer["message"])
    return VerificationError(answer["message"], check=answer["check"])


def _judge_venue(given: dict[str, Any], snapshots: dict[str, Snapshot]) -> dict[str, Any]:
    """In the process: a venue's proof from what ``verify_venue`` sends."""
    commitments = [Commitment.parse(text) for text in given["commitments"]]
    context, terms = bytes.fromhex(given["context"]), VenueTerms.parse(given["terms"])
    statement = VenueStatement.of(snapshots[given["snapshot"]], terms, commitments=commitments, context=context)
    try:
        accepted = verify_venue(statement, bytes.fromhex(given["proof"]))
    except (ProofFormatError, VerificationError) as error:
        return {"message": error.message, "check": getattr(error, "check", None)}
    named = {"statement": accepted.statement_digest, "proof": accepted.proof_digest, "root": accepted.root}
    return {name: digest.hex() for name, digest in named.items()}


def expect(snapshot: Snapshot, claimed: Sequence[Claimed]) -> None:
    """Make the circuits of what will be claimed of a snapshot, with all that is computed from them once."""
    for claim, limits in claimed:
        with suppress(InputError):  # whoever claims it is told
            circuit = build_circuit(snapshot, claim, limits)
            _ = (circuit.digest, circuit.cut, circuit.packed, circuit.listed_rows)


def _parsed(claimed: Sequence[Any]) -> Claimed:
    num, den, requirement, *limits = claimed
    return Claim(num=num, den=den, requirement=requirement), tuple(map(Limit.parse, limits))


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
        found: list[dict[str, Any]] = [
            {"statement": one.statement_digest.hex()}
            if isinstance(one, Accepted)
            else {"message": one.message, "check": getattr(one, "check", None)}
            for one in verify_each(items)
        ]
        if "venue" in given:
            found.append(_judge_venue(given["venue"], snapshots))
        if "claimed" in given:
            expect(snapshots[given["snapshot"]], [_parsed(one) for one in given["claimed"]])
        answers.write(framed(canonical_bytes(found)))
        answers.flush()
