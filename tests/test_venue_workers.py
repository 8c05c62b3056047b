"""Workers of venue proofs in processes of their own: the same proof, also when they die, lie, or are asked twice."""

import os
import signal
from typing import Any

import pytest

from zkmargin.formats import InputError
from zkmargin.prover.argument import ProverError
from zkmargin.prover.venue.blinders import SeededBlinders
from zkmargin.prover.venue.prove import inputs_digest
from zkmargin.prover.venue.rounds import Coordinator, share_sets
from zkmargin.prover.venue.shares import Share
from zkmargin.prover.venue.workers import (
    ROUNDS,
    Journal,
    LostError,
    ProcessLink,
    RemoteShare,
    VenueWorkers,
    Worker,
    pack,
    unpack,
)
from zkmargin.verifier.venue.transcript import VenueChallenges
from zkmargin.verifier.venue.verify import verify_venue

pytestmark = pytest.mark.compiled
SEEDS = [bytes([i]) * 32 for i in range(3)]


@pytest.fixture(scope="module")
def venue(lab: Any, venue_lab: Any) -> Any:
    """Two classes, six sets."""
    big = venue_lab.spec("big", accounts=150, legs=3, slots=1, block=2, claim="5/4")
    accounts = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 150
    classes = [(venue_lab.spec(), venue_lab.SMALL), (big, accounts)]
    made = venue_lab.Venue(lab, classes, n=64, srs=lab.known_tau(powers=200), rules={"bits": 6}, totals=True)
    made.hidden = made.witness()
    made.run = inputs_digest(made.statement, made.hidden)
    return made


def workers(venue: Any, **options: Any) -> Any:
    return VenueWorkers(venue.snapshot, venue.statement, venue.hidden, venue.run, 2, seeds=SEEDS, **options)


@pytest.fixture(scope="module")
def expected(venue: Any) -> Any:
    """The bytes of shares in this process with the same seeds."""
    shares = [
        Share(venue.statement, sets, SeededBlinders(seed, venue.run))
        for sets, seed in zip(share_sets(venue.statement, venue.hidden, 2), SEEDS, strict=False)
    ]
    return venue.encode(Coordinator(venue.statement, venue.hidden, shares, SeededBlinders(SEEDS[2], venue.run)).prove())


class Local:
    """A link to a worker in this process."""

    def __init__(self) -> None:
        self.worker = Worker()

    def ask(self, request: bytes) -> bytes:
        return self.worker.answer(request)

    def close(self) -> None:
        pass


def test_worker_processes_give_the_same_proof_also_when_they_are_killed(venue: Any, expected: Any) -> None:
    """A worker is killed before each of its rounds, by the operating system."""
    links = []

    def connect() -> Any:
        links.append(ProcessLink())
        return links[-1]

    with workers(venue, connect=connect) as running:
        first = running.shares[0]
        ask, killed = RemoteShare._ask, []

        def murderous(self: Any, name: str, *given: Any) -> Any:
            if self is first and name in ("commit_helpers", "combined"):
                os.kill(self._link.process.pid, signal.SIGKILL)
                killed.append(name)
            return ask(self, name, *given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RemoteShare, "_ask", murderous)
            proof = venue.encode(running.prove())
        assert killed == ["commit_helpers", "combined"]
        assert [share.restarts for share in running.shares] == [2, 0]
    assert proof == expected
    verify_venue(venue.statement, proof)
    assert len(links) == 4
    assert all(link.process.poll() is not None for link in links)


@pytest.mark.parametrize("dies", ROUNDS)
def test_v5_a_worker_lost_in_any_round_is_made_again(venue: Any, expected: Any, dies: Any) -> None:
    lost: list[Any] = []

    class Mortal(Local):
        def ask(self, request: bytes) -> bytes:
            answer = super().ask(request)  # it worked, and died before it could say so
            if unpack(request)[0]["round"] == dies and not lost:
                lost.append(dies)
                raise LostError
            return answer

    with workers(venue, connect=Mortal) as running:
        assert venue.encode(running.prove()) == expected
        assert sum(share.restarts for share in running.shares) == 1


def test_a_worker_that_is_always_lost_is_named(venue: Any) -> None:
    class Dead(Local):
        def ask(self, request: bytes) -> bytes:
            if unpack(request)[0]["round"] == "values":
                raise LostError
            return super().ask(request)

    with workers(venue, connect=Dead) as running, pytest.raises(ProverError, match=r"worker [12] was lost 3 times"):
        running.prove()


@pytest.mark.parametrize("lies", ROUNDS[1:])
def test_v5_a_worker_that_answers_wrongly_is_named(venue: Any, lies: Any) -> None:
    made = []

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

    with workers(venue, connect=Liar) as running, pytest.raises(ProverError, match="worker 2 answered wrongly"):
        running.prove_and_verify()


def test_v5_no_seed_answers_two_challenges_for_one_round(venue: Any, tmp_path: Any) -> None:
    with workers(venue, connect=Local) as running:
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


def venue_array() -> Any:
    import numpy as np

    return np.arange(6, dtype="<i8").reshape(2, 3)


def test_no_workers_is_refused(venue: Any) -> None:
    with pytest.raises(InputError, match="at least 1"):
        VenueWorkers(venue.snapshot, venue.statement, venue.hidden, venue.run, 0)
