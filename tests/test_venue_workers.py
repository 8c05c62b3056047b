"""Workers of venue proofs in processes of their own: the same proof, also when they die, lie, or are asked twice."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.typed import Passed
from support.venue_lab import Local, SharedVenue

from zkmargin.formats import InputError, ProofFormatError, VerificationError, canonical_bytes
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.venue.answers import Answer, WorkerError, WrongAnswerError
from zkmargin.prover.venue.journals import Journal
from zkmargin.prover.venue.messages import LostError, pack, unpack
from zkmargin.prover.venue.pipes import ProcessLink
from zkmargin.prover.venue.workers import ROUNDS, RemoteShare, ShareInputs, VenueWorkers, Worker
from zkmargin.verifier.venue.transcript import VenueChallenges
from zkmargin.verifier.venue.verify import verify_venue

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def venue() -> SharedVenue:
    return SharedVenue()


@pytest.mark.parametrize("dies", ROUNDS)
def test_v5_a_worker_lost_in_any_round_is_made_again(venue: SharedVenue, dies: str) -> None:
    lost: list[str] = []

    class Mortal(Local):
        def ask(self, request: bytes) -> bytes:
            answer = super().ask(request)  # it worked, and died before it could say so
            if unpack(request)[0]["round"] == dies and not lost:
                lost.append(dies)
                raise LostError
            return answer

    with venue.workers(connect=Mortal) as running:
        assert venue.encode(running.prove()) == venue.expected
        assert sum(share.restarts for share in running.shares) == 1


def test_a_worker_that_is_always_lost_is_named(venue: SharedVenue) -> None:
    class Dead(Local):
        def ask(self, request: bytes) -> bytes:
            if unpack(request)[0]["round"] == "values":
                raise LostError
            return super().ask(request)

    with venue.workers(connect=Dead) as running, pytest.raises(ProverError, match=r"worker [12] was lost 3 times"):
        running.prove()


@pytest.mark.parametrize("lies", ROUNDS)
def test_v5_a_worker_that_answers_wrongly_is_named(venue: SharedVenue, lies: str) -> None:
    made: list[Local] = []

    class Liar(Local):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

        def ask(self, request: bytes) -> bytes:
            answer = super().ask(request)
            if unpack(request)[0]["round"] == lies and self is made[1]:
                head, arrays = unpack(answer)
                arrays[-1].reshape(-1)[0] ^= 1
                return pack(head, arrays)
            return answer

    with venue.workers(connect=Liar) as running, pytest.raises(ProverError, match="worker 2 answered wrongly"):
        running.prove_and_verify()


def headed(head: bytes, rest: bytes = b"") -> bytes:
    """A message whose head is any bytes."""
    return len(head).to_bytes(8, "big") + head + rest


#: What a worker may answer instead of what it was asked for, from the true answer.
MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "half a length": lambda _: b"\0\0\0",
    "cut": lambda true: true[:-1],
    "longer": lambda true: true + b"\0",
    "no head": lambda _: headed(b""),
    "a head that is no text": lambda _: headed(b"\xff\xfe"),
    "a head that is a list": lambda _: headed(b"[]"),
    "a head without arrays": lambda _: headed(b"{}"),
    "arrays that are no list": lambda _: headed(b'{"arrays":7}'),
    "an array without a shape": lambda _: headed(b'{"arrays":["|u1"]}'),
    "a negative axis": lambda _: headed(b'{"arrays":[["|u1",[-1]]]}'),
    "an axis beyond everything": lambda _: headed(b'{"arrays":[["|u1",[0,99999999999999999999]]]}'),
    "empty, but for numpy too large": lambda _: headed(b'{"arrays":[["|u1",[0,1099511627776,1099511627776]]]}'),
    "a million arrays": lambda _: headed(b'{"arrays":[' + b'["|u1",[0]],' * 999_999 + b'["|u1",[0]]]}'),
    "more than there is": lambda _: headed(b'{"arrays":[["|u1",[1099511627776]]]}'),
    "objects": lambda _: headed(b'{"arrays":[["|O",[1]]]}', bytes(8)),
    "a type that is none": lambda _: headed(b'{"arrays":[["what",[1]]]}', bytes(8)),
    "an error that is no text": lambda _: pack({"error": {"a": 1}}),
    "an error that moves the cursor": lambda _: pack({"error": "\x1b[2J"}),
    "no arrays": lambda _: pack({}),
    "one array more": lambda true: pack({}, [*unpack(true)[1], np.zeros(1, np.uint8)]),
    "another shape": lambda true: pack({}, [a.reshape(*a.shape, 1) for a in unpack(true)[1]]),
    "empty arrays": lambda true: pack({}, [a[:0] for a in unpack(true)[1]]),
    "another type": lambda true: pack({}, [a.astype(np.int16) for a in unpack(true)[1]]),
    "big-endian": lambda true: pack({}, [a.astype(">u4") for a in unpack(true)[1]]),
    "the greatest numbers": lambda true: pack({}, [np.full_like(a, np.iinfo(a.dtype).max) for a in unpack(true)[1]]),
    "the least numbers": lambda true: pack({}, [np.full_like(a, np.iinfo(a.dtype).min) for a in unpack(true)[1]]),
}


#: These have the form of an answer in some rounds: there it takes the proof to find them out.
EXTREME = ("the greatest numbers", "the least numbers")


class Odd(Local):
    """The second worker made answers one request as ``MALFORMED`` says."""

    made, lies_in, says = 0, "", ""

    def __init__(self) -> None:
        super().__init__()
        type(self).made += 1
        self.lies = self.made == 2

    def ask(self, request: bytes) -> bytes:
        answer = super().ask(request)
        return MALFORMED[self.says](answer) if self.lies and unpack(request)[0]["round"] == self.lies_in else answer


def odd(lies_in: str, says: str) -> type[Odd]:
    return type("Odd", (Odd,), {"made": 0, "lies_in": lies_in, "says": says})


@dataclass(frozen=True)
class Asked:
    """What the second worker of an honest run was asked, and what it answered."""

    inputs: ShareInputs
    given: dict[str, tuple[Passed, ...]]
    answers: dict[str, bytes]


@pytest.fixture(scope="module")
def asked(venue: SharedVenue) -> Asked:
    given: dict[str, tuple[Passed, ...]] = {}
    with venue.workers(connect=Local) as running, pytest.MonkeyPatch.context() as patch:
        share = running.shares[1]

        def recorded(name: str, method: Callable[..., Passed]) -> Callable[..., Passed]:
            def called(*arguments: Passed) -> Passed:
                given[name] = arguments
                return method(*arguments)

            return called

        for name in (*ROUNDS, "check"):
            patch.setattr(share, name, recorded(name, getattr(share, name)))
        running.prove_and_verify()
        return Asked(share.inputs, given, dict(share.answers))


@pytest.mark.parametrize("says", MALFORMED)
def test_v5_a_worker_that_answers_any_bytes_at_all_is_named(asked: Asked, says: str) -> None:
    """In every round, before anything of the answer is used."""
    for name in (*ROUNDS, "check"):
        answer = MALFORMED[says](asked.answers[name])

        class Canned(Local):
            def ask(self, request: bytes, answer: bytes = answer) -> bytes:
                return pack({}) if unpack(request)[0]["round"] == "start" else answer

        share = RemoteShare("2", asked.inputs, Canned, Journal(None))
        expected = pytest.raises(WrongAnswerError, match=r"^worker 2 answered wrongly: ")
        with suppress(WrongAnswerError) if says in EXTREME else expected:
            getattr(share, name)(*asked.given[name])


@pytest.mark.parametrize("lies_in", ["start", *ROUNDS])
@pytest.mark.parametrize("says", ["no head", "the least numbers"])
def test_v5_a_proof_names_the_worker_that_answered_any_bytes(venue: SharedVenue, lies_in: str, says: str) -> None:
    if lies_in == "start" and says in EXTREME:
        return  # that answer has no numbers
    with (
        pytest.raises(ProverError, match="worker 2 answered wrongly"),
        venue.workers(connect=odd(lies_in, says)) as running,
    ):
        running.prove_and_verify()


def test_v5_numbers_beyond_the_field_in_a_kernel_s_blocks_are_named(venue: SharedVenue) -> None:
    with (
        venue.workers(connect=odd("numerators", "the greatest numbers")) as running,
        pytest.raises(ProverError, match="worker 2 answered wrongly"),
    ):
        running.prove_and_verify()


def test_v5_a_worker_that_checks_wrongly_is_named(venue: SharedVenue) -> None:
    made = 0

    class Liar(Local):
        def __init__(self) -> None:
            super().__init__()
            nonlocal made
            made += 1
            self.lies = made == 1

        def ask(self, request: bytes) -> bytes:
            answer = super().ask(request)
            if self.lies and unpack(request)[0]["round"] == "check":
                return pack({}, [np.zeros(0, dtype=np.uint8)])  # "they add up to nothing"
            return answer

    with venue.workers(connect=Liar) as running, pytest.raises(ProverError, match="worker 1 answered wrongly"):
        running.prove_and_verify()


def test_workers_check_what_a_verifier_checks(venue: SharedVenue) -> None:
    with venue.workers(connect=Local) as running:
        data, accepted = running.prove_and_verify()
        whole = verify_venue(venue.statement, data)
        assert (accepted.record, accepted.statement_digest) == (whole.record, whole.statement_digest)
    for at in range(44, len(data), len(data) // 9):
        bad = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with venue.workers(connect=Local) as running, pytest.raises((VerificationError, ProofFormatError, ProverError)):
            running.verified(bad)


def test_v5_no_seed_answers_two_challenges_for_one_round(venue: SharedVenue, tmp_path: Path) -> None:
    with venue.workers(connect=Local) as running:
        share = running.shares[0]
        share.commit_columns()
        share.aggregates(5)
        share.aggregates(5)  # the same again is no harm
        with pytest.raises(ProverError, match="answered for other challenges"):
            share.aggregates(6)
        # nor does a worker that is made again with the same seed
        again = RemoteShare("1 again", share.inputs, Local, Journal(None))
        again.commit_columns()
        with pytest.raises(ProverError, match="answered for other challenges"):
            again.aggregates(6)
    path = str(tmp_path / "journal")
    Journal(path).admit("values", b"one")
    assert (tmp_path / "journal").stat().st_mode & 0o077 == 0
    with pytest.raises(InputError):
        Journal(path).admit("values", b"two")


def test_a_head_is_bounded_before_it_is_read() -> None:
    """JSON takes many times its bytes as lists, and an empty array some hundred: both are counted first."""
    for head, reason in (
        (b'{"a":[' + b"0," * 10**6 + b'0],"arrays":[]}', "a head of 2000021 bytes, more than 4096"),
        (b'{"arrays":[' + b'["|u1",[0]],' * 99 + b'["|u1",[0]]]}', "100 arrays, more than 2"),
    ):
        message = headed(head)
        tracemalloc.start()
        with pytest.raises(WrongAnswerError, match=reason):
            Answer("1", message, 2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10**6
    listing = canonical_bytes({"arrays": [], "under": [[a, "1" * 100] for a in range(1000)]})
    assert len(Answer("1", headed(listing), 0, named=1000).head["under"]) == 1000


def test_v5_a_worker_killed_at_its_very_start_is_made_again(venue: SharedVenue) -> None:
    """By SIGKILL, before it reads what it is made from; one that dies each time is named."""
    started: list[ProcessLink] = []

    def connect() -> ProcessLink:
        link = ProcessLink()
        started.append(link)
        if len(started) <= 2:
            os.kill(link.process.pid, signal.SIGKILL)
        return link

    with venue.workers(connect=connect) as running:
        assert [share.restarts for share in running.shares] == [2, 0]
        assert venue.encode(running.prove()) == venue.expected
    assert len(started) == 4

    class Stillborn(Local):
        def ask(self, request: bytes) -> bytes:
            assert request
            raise LostError

    with pytest.raises(WorkerError, match=r"^worker 1 was lost 3 times at its start$"):
        venue.workers(connect=Stillborn)

    def no_more(*_: Passed, **__: Passed) -> Passed:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", no_more)
        with pytest.raises(WorkerError, match=r"3 times at its start: it cannot be started: resource temporarily un"):
            venue.workers(connect=ProcessLink)


def test_messages_are_strict() -> None:
    head, arrays = unpack(pack({"a": 1}, [venue_array()]))
    assert head == {"a": 1}
    assert (arrays[0] == venue_array()).all()
    message = pack({"a": 1}, [venue_array()])
    for bad in (message + b"\0", message.replace(b'"<i8"', b'"|O8"')):
        with pytest.raises(InputError):
            unpack(bad)
    assert "error" in unpack(Worker().answer(pack({"round": "values"})))[0]
    assert VenueChallenges(zeta=3).zeta == 3


def venue_array() -> npt.NDArray[np.int64]:
    return np.arange(6, dtype="<i8").reshape(2, 3)


def test_no_workers_is_refused(venue: SharedVenue) -> None:
    with pytest.raises(InputError, match="at least 1"):
        VenueWorkers(venue.snapshot, venue.statement, venue.hidden, venue.run, 0)


#: A program that proves until it is told to end.
PROVING = """
from support.venue_lab import Local, SharedVenue

venue = SharedVenue()
while True:
    with venue.workers() as running:
        print("running", flush=True)
        running.prove()
"""


def test_sigterm_ends_workers_quietly_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", PROVING], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        assert len(list((tmp_path / "temporary").glob("zkmargin-venue-*"))) == 1
        time.sleep(0.5)  # in the middle of a round
        process.terminate()
        _, said = process.communicate(timeout=60)  # and all workers: they have the same standard error
    assert process.returncode == -signal.SIGTERM
    assert said == ""
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_worker_whose_coordinator_is_gone_ends_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", "from zkmargin.prover.venue.workers import serve; serve()"]
    read, write = os.pipe()
    os.close(read)
    request = pack({"round": "values"})
    with (tmp_path / "said").open("wb") as said:
        done = subprocess.run(
            command, input=len(request).to_bytes(8, "big") + request, stdout=write, stderr=said, check=False
        )
    os.close(write)
    assert (done.returncode, (tmp_path / "said").read_text()) == (0, "")
