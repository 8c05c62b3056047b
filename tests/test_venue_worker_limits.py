"""Workers of venue proofs that are killed in any round, never answer, or say more than they may."""

import os
import signal
import subprocess
import sys
from typing import IO, Any

import pytest
from support.typed import Passed
from support.venue_lab import Local, SharedVenue

from zkmargin.formats import canonical_bytes
from zkmargin.prover.venue import pipes, sizes
from zkmargin.prover.venue.answers import Answer, WorkerError, WrongAnswerError
from zkmargin.prover.venue.messages import unpack
from zkmargin.prover.venue.pipes import ProcessLink
from zkmargin.prover.venue.workers import ROUNDS, RemoteShare, documents_of, preparing
from zkmargin.verifier.venue.verify import verify_venue

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def venue() -> SharedVenue:
    return SharedVenue()


def test_worker_processes_give_the_same_proof_also_when_they_are_killed_in_every_round(venue: SharedVenue) -> None:
    """By SIGKILL: the first worker before five rounds, the second in the middle of the sixth, with the request in its
    pipe, and in the check of the proof.
    """
    links: list[ProcessLink] = []

    def connect() -> ProcessLink:
        links.append(ProcessLink())
        return links[-1]

    with venue.workers(connect=connect) as running:
        first, second = running.shares
        ask, write = RemoteShare._ask, pipes.write_message
        killed: list[tuple[str, str]] = []
        doomed: list[ProcessLink] = []

        def murderous(self: RemoteShare, name: str, *given: Passed) -> Answer:
            assert isinstance(self._link, ProcessLink)
            if self is first and name in ROUNDS and name != "numerators":
                os.kill(self._link.process.pid, signal.SIGKILL)
                killed.append(("before", name))
            if self is second and name in ("numerators", "check"):
                doomed.append(self._link)
                killed.append(("within", name))
            return ask(self, name, *given)

        def stabbing(sink: IO[bytes], data: bytes) -> None:
            write(sink, data)
            for link in doomed:
                if link.process.stdin is sink:
                    os.kill(link.process.pid, signal.SIGKILL)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RemoteShare, "_ask", murderous)
            patch.setattr(pipes, "write_message", stabbing)
            data, _ = running.prove_and_verify()
        assert {name for how, name in killed if how == "before"} == set(ROUNDS) - {"numerators"}
        assert {name for how, name in killed if how == "within"} == {"numerators", "check"}
        assert [share.restarts for share in running.shares] == [len(ROUNDS) - 1, 2]
    assert data == venue.expected
    verify_venue(venue.statement, data)
    assert len(links) == 2 + len(ROUNDS) - 1 + 2
    assert all(link.process.poll() is not None for link in links)


#: A worker that takes one request and never answers, one that reads nothing, and one that announces what nobody holds.
SILENT = "import sys, time; sys.stdin.buffer.read(8); time.sleep(600)"
DEAF = "import time; time.sleep(600)"
BOASTFUL = (
    "import sys, time; sys.stdout.buffer.write((1 << 62).to_bytes(8, 'big') + b'x'); "
    "sys.stdout.flush(); time.sleep(600)"
)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (SILENT, r"worker 1 was lost 3 times before the proof: it did not answer within 0.3 s"),
        (DEAF, r"worker 1 was lost 3 times before the proof: it did not answer within 0.3 s"),
        (BOASTFUL, r"before the proof: it announced 4611686018427387904 bytes where an answer has at most [0-9]+$"),
    ],
    ids=["silent", "deaf", "boastful"],
)
def test_a_worker_that_never_answers_is_ended_and_named(venue: SharedVenue, program: str, reason: str) -> None:
    started: list[Any] = []
    real = subprocess.Popen

    def other(_command: list[str], **given: Any) -> Any:
        started.append(real([sys.executable, "-S", "-c", program], **given))
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", other)
        makers = preparing(venue.snapshot, venue.statement, 1, timeout=60 if program == BOASTFUL else 0.3)
        with makers, pytest.raises(WorkerError, match=reason):
            makers.examine(venue.books)
    assert len(started) == 3
    assert all(process.poll() is not None for process in started)


def test_a_worker_that_falls_silent_in_a_round_is_made_again(venue: SharedVenue) -> None:
    """Stopped, as by a debugger: it holds the pipe, and says nothing until its time is over."""
    with venue.workers(connect=lambda: ProcessLink(timeout=600)) as running:
        share = running.shares[1]
        assert isinstance(share._link, ProcessLink)
        share._link.timeout = 0.2
        os.kill(share._link.process.pid, signal.SIGSTOP)
        assert venue.encode(running.prove()) == venue.expected
        assert [share.restarts for share in running.shares] == [0, 1]


def test_messages_have_the_sizes_that_the_statement_gives(venue: SharedVenue) -> None:
    """Bytes that are sent and kept, counted: never more than the bound, and the bound is not far above."""
    with venue.workers(connect=Local) as running:
        data, _ = running.prove_and_verify()
        assert data == venue.expected
        for share in running.shares:
            statement, places = venue.statement, [mine.place for mine in share.inputs.sets]
            most = sizes.answer_bytes(statement, places)
            for name, answer in share.answers:
                assert len(answer) <= most[name], name
            kept = sum(len(answer) for _, answer in share.answers)
            assert kept <= sizes.kept_bytes(statement, places) <= 1.2 * kept
            documents = len(canonical_bytes(documents_of(venue.snapshot, statement)))
            start = sizes.start_bytes(statement, places, documents)
            assert len(share.inputs.start) <= start <= 1.2 * len(share.inputs.start)
            columns = sum(mine.ids.nbytes + mine.group.nbytes + mine.digits.nbytes for mine in share.inputs.sets)
            assert columns == sizes.column_bytes(statement, places)
        longest = max(len(answer) for share in running.shares for _, answer in share.answers)
    assert longest <= sizes.largest_answer(venue.statement)


def test_an_answer_beyond_its_bound_is_refused(venue: SharedVenue) -> None:
    class Talker(Local):
        def ask(self, request: bytes) -> bytes:
            answer = super().ask(request)
            return answer + bytes(10**6) if unpack(request)[0]["round"] == "aggregates" else answer

    with (
        venue.workers(connect=Talker) as running,
        pytest.raises(WrongAnswerError, match=r"worker [12] answered wrongly: 1[0-9]+ bytes, more than [0-9]+"),
    ):
        running.prove()
