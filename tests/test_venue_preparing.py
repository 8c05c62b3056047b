"""The witness of a venue made by the workers that prove it: the same columns, also when one dies or lies."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support.typed import Passed
from support.venue_lab import SEEDS, SMALL, Local, SharedVenue, Venue, spec

from zkmargin.app.venues import Prepared, WorkerLostError, make_venue_proof
from zkmargin.formats import ConstraintError, InputError
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.venue.answers import WrongAnswerError
from zkmargin.prover.venue.messages import Link, LostError, pack, unpack
from zkmargin.prover.venue.pipes import ProcessLink
from zkmargin.prover.venue.preparing import Preparing
from zkmargin.prover.venue.witness import VenueWitness, build_witness
from zkmargin.prover.venue.workers import VenueWorkers, Worker, preparing

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def venue() -> SharedVenue:
    return SharedVenue()


def makers_of_any(venue: Venue, connect: Callable[[], Link]) -> Preparing:
    return preparing(venue.snapshot, venue.statement, 2, connect)


def makers_of(venue: SharedVenue, connect: Callable[[], Link] = Local, count: int = 2) -> Preparing:
    return preparing(venue.snapshot, venue.statement, count, connect)


def witness_by(venue: SharedVenue, makers: Preparing) -> VenueWitness:
    return build_witness(venue.statement, venue.books, venue.tags(), maker=makers)


def same(one: VenueWitness, other: VenueWitness) -> bool:
    columns = zip(one.classes, other.classes, strict=True)
    equal = all(
        np.array_equal(getattr(a, name), getattr(b, name)) and getattr(a, name).dtype == getattr(b, name).dtype
        for a, b in columns
        for name in ("ids", "group", "digits")
    )
    return equal and one.tags == other.tags


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_every_number_of_workers_makes_the_same_witness(venue: SharedVenue, count: int) -> None:
    with makers_of(venue, count=count) as makers:
        assert makers.count == min(count, len(venue.statement.sets))
        parts = makers.parts(venue.books)
        assert sum(len(part.books.names) for part in parts) == venue.statement.accounts
        assert same(witness_by(venue, makers), venue.hidden)
        assert makers.wrong_workers() == []


def test_v5_a_worker_killed_while_it_makes_columns_is_replaced_and_the_proof_is_the_same(venue: SharedVenue) -> None:
    """Killed by the operating system; the workers that are there then prove what they made."""
    links: list[ProcessLink] = []

    class Mortal(ProcessLink):
        def __init__(self) -> None:
            super().__init__()
            links.append(self)

        def ask(self, request: bytes) -> bytes:
            if self is links[0] and unpack(request)[0]["round"] == "columns":
                os.kill(self.process.pid, signal.SIGKILL)
            return super().ask(request)

    with makers_of(venue, Mortal) as makers:
        witness = witness_by(venue, makers)
        assert makers.restarts == 1
        assert same(witness, venue.hidden)
        given = (venue.snapshot, venue.statement, witness, venue.run, makers.count)
        with VenueWorkers(*given, connect=makers.connect, seeds=SEEDS) as running:
            assert venue.encode(running.prove()) == venue.expected
    assert len(links) == 3, "no worker was started for the proof"
    assert all(link.process.poll() is not None for link in links)


def test_v5_a_worker_that_makes_wrong_columns_is_named(venue: SharedVenue) -> None:
    made: list[Local] = []

    class Liar(Local):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

        def ask(self, request: bytes) -> bytes:
            answer = super().ask(request)
            if unpack(request)[0]["round"] == "columns" and self is made[1]:
                head, arrays = unpack(answer)
                arrays[2][0, -1, 0, 0] ^= 1  # of a slack: other books are found before
                return pack(head, arrays)
            return answer

    with makers_of(venue, Liar) as makers:
        witness = witness_by(venue, makers)
        liar = next(i for i, link in enumerate(makers._links) if link is made[1])
        given = (venue.snapshot, venue.statement, witness, venue.run, makers.count)
        with (
            VenueWorkers(*given, connect=makers.connect, seeds=SEEDS) as running,
            pytest.raises(ProverError) as caught,
        ):
            running.prove()
        assert f"worker {liar + 1} made wrong columns" in str(makers.blamed(caught.value))


def test_accounts_under_margin_and_bad_books_are_named_in_the_words_of_one_process(venue: SharedVenue) -> None:
    mine = venue.books[1]
    poor, wild = mine.balances.copy(), mine.lots.copy()
    poor[140] = -4000, 0
    wild[140] = 1 << 40
    for books, kind in ((replace(mine, balances=poor), ConstraintError), (replace(mine, lots=wild), InputError)):
        said: list[str] = []
        for makers in (None, makers_of(venue)):
            with pytest.raises(kind) as caught:
                build_witness(venue.statement, [venue.books[0], books], [[], []], maker=makers)
            said.append(str(caught.value))
        assert said[0] == said[1]
        assert "big 140" in said[0]


SHORT: dict[str, Callable[[list[list[object]]], object]] = {
    "a healthy account": lambda _: [[5, "1000"]],
    "a healthy one more": lambda true: [[0, "7"], *true],
    "another amount": lambda true: [[place, "1"] for place, _ in true],
    "one twice": lambda true: [*true, *true],
    "out of order": lambda true: true[::-1],
}


@pytest.mark.parametrize("says", SHORT)
def test_v5_a_worker_that_invents_shortfalls_is_named_and_no_account_is(venue: SharedVenue, says: str) -> None:
    class Slanderer(Local):
        def ask(self, request: bytes) -> bytes:
            answer = super().ask(request)
            head, arrays = unpack(answer)
            return pack(head | {"under": SHORT[says](head["under"])}, arrays) if "under" in head else answer

    mine = venue.books[1]
    poor = mine.balances.copy()
    poor[[60, 62, 140, 142]] = -4000, 0
    books = [venue.books[0], replace(mine, balances=poor)]
    with makers_of(venue, Slanderer) as makers, pytest.raises(WrongAnswerError) as caught:
        build_witness(venue.statement, books, [[], []], maker=makers)
    assert str(caught.value).startswith("worker ")
    assert "big" not in str(caught.value)


def test_v5_a_worker_that_states_another_sum_of_shortfalls_is_named() -> None:
    """Under a cap the sum goes into the proof, which would not close: of a wrong one its worker is named before."""
    poor = [SMALL[0], (SMALL[1][0], (3, 0)), SMALL[2]]
    venue = Venue([(spec(), poor)], cap=10**12)

    class Liar(Local):
        def ask(self, request: bytes) -> bytes:
            head, arrays = unpack(super().ask(request))
            return pack(head | ({"shortfalls": "0"} if "shortfalls" in head else {}), arrays)

    with makers_of_any(venue, Local) as makers:
        witness = build_witness(venue.statement, venue.books, venue.tags(), maker=makers)
        assert same(witness, venue.witness())
    with makers_of_any(venue, Liar) as makers, pytest.raises(WrongAnswerError, match=r"worker 1 .*sum of shortfalls"):
        build_witness(venue.statement, venue.books, venue.tags(), maker=makers)


@pytest.mark.parametrize("question", ["examine", "columns"])
@pytest.mark.parametrize("says", ["an error of its own", "nothing"])
def test_v5_a_worker_that_invents_an_error_or_is_always_lost_is_named(
    venue: SharedVenue, says: str, question: str
) -> None:
    class Odd(Local):
        def ask(self, request: bytes) -> bytes:
            if unpack(request)[0]["round"] != question:
                return super().ask(request)
            if says == "nothing":
                raise LostError
            return pack({"error": says})

    with makers_of(venue, Odd) as makers, pytest.raises(ProverError, match=r"worker [12]"):
        witness_by(venue, makers)


@pytest.mark.parametrize(("dies", "reason"), [("start", "3 times at its start"), ("values", "3 times in round values")])
def test_a_worker_that_is_lost_in_the_proof_is_a_failure_in_our_words(
    venue: SharedVenue, dies: str, reason: str
) -> None:
    class Mortal(Local):
        def ask(self, request: bytes) -> bytes:
            if unpack(request)[0]["round"] == dies:
                raise LostError
            return super().ask(request)

    makers = makers_of(venue, Mortal)
    witness = witness_by(venue, makers)
    names = tuple(tuple(mine.names) for mine in venue.books)
    prepared = Prepared(venue.snapshot, venue.statement, witness, names, {}, makers)
    with pytest.raises(WorkerLostError, match=reason) as caught:
        make_venue_proof(prepared, threads=1)
    assert caught.value.hint is not None


#: Answers to each question that are none, from the true one.
def _changed(true: bytes, i: int, x: int) -> bytes:
    head, arrays = unpack(true)
    arrays[i].reshape(-1)[0] = x
    return pack(head, arrays)


MALFORMED: list[tuple[str, Callable[[bytes], bytes]]] = [
    *(
        (question, change)
        for question in ("open", "examine", "columns")
        for change in (lambda _: b"", lambda true: true[:-1], lambda _: pack({}, [np.zeros(1, np.uint8)] * 2))
    ),
    *(("examine", lambda _, under=under: pack({"under": under})) for under in (7, [7], [[0]], [[-1, "1"]], [[0, "x"]])),
    ("examine", lambda _: pack({"under": [[10**6, "1"]]})),
    ("columns", lambda true: pack({}, unpack(true)[1])),
    ("columns", lambda true: pack({"shortfalls": "-1"}, unpack(true)[1])),
    ("columns", lambda true: pack({"shortfalls": "0"}, [a[:, None] for a in unpack(true)[1]])),
    ("columns", lambda true: pack({"shortfalls": "0"}, [a.astype(np.int64) for a in unpack(true)[1]])),
    # instruments, groups and digits are looked up in tables
    ("columns", lambda true: _changed(true, 0, 5)),
    ("columns", lambda true: _changed(true, 0, -1)),
    ("columns", lambda true: _changed(true, 1, 2)),
    ("columns", lambda true: _changed(true, 2, 64)),
]


@pytest.mark.parametrize("case", range(len(MALFORMED)), ids=lambda i: f"{MALFORMED[i][0]} {i}")
def test_v5_a_worker_that_answers_any_bytes_is_named(venue: SharedVenue, case: int) -> None:
    question, change = MALFORMED[case]

    class Odd(Local):
        def ask(self, request: bytes) -> bytes:
            answer = super().ask(request)
            return change(answer) if unpack(request)[0]["round"] == question else answer

    with makers_of(venue, Odd) as makers, pytest.raises(WrongAnswerError, match=r"^worker [12] answered wrongly: "):
        witness_by(venue, makers)


def test_questions_before_the_statement_are_refused(venue: SharedVenue) -> None:
    answer: Passed = unpack(Worker().answer(pack({"round": "examine"})))[0]
    assert "before the statement" in answer["error"]
    assert venue.statement.accounts == 153
