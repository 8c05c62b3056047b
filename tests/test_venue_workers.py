"""Workers of venue proofs in processes of their own: the same proof, also when they die, lie, or are asked twice."""

import os
import signal
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.typed import Passed
from support.venue_lab import SharedVenue

from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.prover.argument import ProverError
from zkmargin.prover.venue.messages import Array, LostError, pack, unpack
from zkmargin.prover.venue.workers import ROUNDS, Journal, ProcessLink, RemoteShare, VenueWorkers, Worker
from zkmargin.verifier.venue.transcript import VenueChallenges
from zkmargin.verifier.venue.verify import verify_venue

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def venue() -> SharedVenue:
    return SharedVenue()


class Local:
    """A link to a worker in this process."""

    def __init__(self) -> None:
        self.worker = Worker()

    def ask(self, request: bytes) -> bytes:
        return self.worker.answer(request)

    def close(self) -> None:
        pass


def test_worker_processes_give_the_same_proof_also_when_they_are_killed(venue: SharedVenue) -> None:
    """A worker is killed before each of its rounds, by the operating system."""
    links: list[ProcessLink] = []

    def connect() -> ProcessLink:
        links.append(ProcessLink())
        return links[-1]

    with venue.workers(connect=connect) as running:
        first = running.shares[0]
        ask = RemoteShare._ask
        killed: list[str] = []

        def murderous(self: RemoteShare, name: str, *given: Passed) -> list[Array]:
            if self is first and name in ("commit_helpers", "combined"):
                assert isinstance(self._link, ProcessLink)
                os.kill(self._link.process.pid, signal.SIGKILL)
                killed.append(name)
            return ask(self, name, *given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RemoteShare, "_ask", murderous)
            proof = venue.encode(running.prove())
        assert killed == ["commit_helpers", "combined"]
        assert [share.restarts for share in running.shares] == [2, 0]
    assert proof == venue.expected
    verify_venue(venue.statement, proof)
    assert len(links) == 4
    assert all(link.process.poll() is not None for link in links)


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


@pytest.mark.parametrize("lies", ROUNDS[1:])
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
