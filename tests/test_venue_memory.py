"""What coordinator and workers of a venue's proof hold, Python's objects too: counted first, and measured."""

import gc
import tracemalloc
from collections.abc import Callable

import pytest
from support import lab
from support.venue_lab import SEEDS, Local, Venue, spec

from zkmargin.prover.venue import sizes
from zkmargin.prover.venue.prove import inputs_digest
from zkmargin.prover.venue.witness import build_witness
from zkmargin.prover.venue.workers import VenueWorkers, Worker, preparing

pytestmark = pytest.mark.compiled

N, LEGS = 64, ((0, 1), (1, 1), (4, -1))


def venue_of(accounts: int) -> Venue:
    """So many accounts of three legs, 32 to a set."""
    big = spec("big", accounts=accounts, legs=3, slots=1, block=2, claim="5/4")
    books = [(((0, LEGS),), (3000, 4))] * accounts
    return Venue([(big, books)], n=N, srs=lab.known_tau(powers=200), rules={"bits": 6})


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes that Python and numpy held beyond what was there before."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def venue() -> Venue:
    return venue_of(2000)


def test_a_worker_holds_no_more_than_is_counted(venue: Venue) -> None:
    """It is asked what a proof asks. Kernels are compiled, and tables made, before it is measured."""
    witness, requests = venue.witness(), list[bytes]()

    class Asked(Local):
        def ask(self, request: bytes) -> bytes:
            requests.append(request)
            return super().ask(request)

    run = inputs_digest(venue.statement, witness)
    given = (venue.snapshot, venue.statement, witness, run, 1)
    with VenueWorkers(*given, connect=Asked, here=False, seeds=SEEDS[:2]) as running:
        running.prove_and_verify()

    def answer_all() -> None:
        worker = Worker()
        for request in requests:
            worker.answer(request)

    most = sizes.worker_bytes(venue.statement, venue.statement.sets)
    assert most / 3 < peak_of(answer_all) <= most


def test_a_coordinator_holds_no_more_than_is_counted(venue: Venue) -> None:
    """Two processes make the witness and prove it; what is measured is here."""

    def prove(venue: Venue) -> None:
        with preparing(venue.snapshot, venue.statement, 2) as makers:
            witness = build_witness(venue.statement, venue.books, venue.tags(), maker=makers)
            run = inputs_digest(venue.statement, witness)
            given = (venue.snapshot, venue.statement, witness, run, 2)
            with VenueWorkers(*given, connect=makers.connect, seeds=SEEDS) as running:
                running.prove_and_verify()

    prove(venue_of(64))  # modules are loaded
    most = sizes.coordinator_bytes(venue.statement)
    assert most / 3 < peak_of(lambda: prove(venue)) <= most
