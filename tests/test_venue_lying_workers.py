"""Workers that prove other books than they were given are named, and nothing comes out; interrupts end them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.typed import Passed
from support.venue_lab import SEEDS, Local, SharedVenue, nonce, tau_power

from zkmargin.formats import VerificationError, canonical_bytes
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.venue.answers import WorkerError, WrongAnswerError
from zkmargin.prover.venue.blinders import KeyedBlinders, SeededBlinders
from zkmargin.prover.venue.blocks import ClassBooks, assess, class_witness, holds_books
from zkmargin.prover.venue.ending import Ending
from zkmargin.prover.venue.messages import pack, unpack
from zkmargin.prover.venue.notes import NoteMaker
from zkmargin.prover.venue.pipes import ProcessLink
from zkmargin.prover.venue.preparing import Preparing
from zkmargin.prover.venue.prove import inputs_digest
from zkmargin.prover.venue.rounds import prove_rounds
from zkmargin.prover.venue.witness import VenueWitness, build_witness
from zkmargin.prover.venue.workers import VenueWorkers, preparing
from zkmargin.verifier.venue.proof import decode_venue_proof

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def venue() -> SharedVenue:
    return SharedVenue()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell's background job ignores SIGINT, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def liar(
    round_: str, change: Callable[[dict[str, Passed], list[Passed]], bytes], *, asked: bool = False
) -> type[Local]:
    """Of the links made the first changes what it answers in one round, or what it is ``asked``."""
    made: list[Local] = []

    class Liar(Local):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

        def ask(self, request: bytes) -> bytes:
            lies = self is made[0] and unpack(request)[0]["round"] == round_
            if lies and asked:
                return super().ask(change(*_writable(request)))
            answer = super().ask(request)
            return change(*_writable(answer)) if lies else answer

    return Liar


def _writable(message: bytes) -> tuple[dict[str, Passed], list[Passed]]:
    head, arrays = unpack(message)
    return {key: value for key, value in head.items() if key != "arrays"}, [array.copy() for array in arrays]


def witness_by(venue: SharedVenue, books: list[ClassBooks], makers: Preparing) -> VenueWitness:
    return build_witness(venue.statement, books, venue.tags(), maker=makers)


def poor(venue: SharedVenue) -> list[ClassBooks]:
    """The same, but account 0 of the first class is under margin."""
    small, big = (mine.balances.copy() for mine in venue.books)
    small[0, 0] = -4000
    big[:4, 0] += 1000  # what all hold together stays as it is stated
    return [replace(mine, balances=of) for mine, of in zip(venue.books, (small, big), strict=True)]


@pytest.mark.parametrize("under_margin", [False, True])
def test_v5_a_worker_that_makes_empty_columns_is_named_before_anything_is_proved(
    venue: SharedVenue, under_margin: bool
) -> None:
    """A proof of them would verify: empty accounts owe nothing."""

    class Liar(Local):
        def ask(self, request: bytes) -> bytes:
            answer = super().ask(request)
            match unpack(request)[0]["round"]:
                case "examine":
                    return pack({"under": []})
                case "columns":
                    head, arrays = unpack(answer)
                    return pack(head, [np.zeros_like(array) for array in arrays])
                case _:
                    return answer

    books = poor(venue) if under_margin else venue.books
    match = "worker [12] answered wrongly: columns that do not hold the books of its accounts"
    with preparing(venue.snapshot, venue.statement, 2, Liar) as makers, pytest.raises(WrongAnswerError, match=match):
        witness_by(venue, books, makers)


def test_v5_a_worker_that_hides_an_account_under_margin_is_named(venue: SharedVenue) -> None:
    hides = liar("examine", lambda _head, _arrays: pack({"under": []}))
    with preparing(venue.snapshot, venue.statement, 2, hides) as makers:
        witness = witness_by(venue, poor(venue), makers)
        run = inputs_digest(venue.statement, witness)
        given = (venue.snapshot, venue.statement, witness, run, makers.count)
        with (
            VenueWorkers(*given, connect=makers.connect, seeds=SEEDS) as running,
            pytest.raises(ProverError) as caught,
        ):
            running.prove()
        assert "worker 1 " in str(makers.blamed(caught.value))


def test_columns_hold_their_books_and_no_others(venue: SharedVenue) -> None:
    """Each cell of legs, groups and balances changed alone, in blocks with an account and without."""
    template, books = venue.statement.templates[0], venue.books[0]
    none = np.zeros(len(books.names), dtype=np.bool_)
    assessed = assess(template, books)

    def holds(part: str, at: tuple[int, ...]) -> bool:
        made, _ = class_witness(template, books, none, assessed)
        getattr(made, part)[at] ^= 1
        return holds_books(template, books, none, made)

    assert holds_books(template, books, none, class_witness(template, books, none, assessed)[0])
    for t in (0, len(books.names) - 1, template.T - 1):
        assert not holds("ids", (0, 0, 1, t))
        assert not holds("group", (0, 2, t))
        assert not any(holds("digits", (0, c, 0, t)) for c in range(template.packed_offset))
        for name in ("held 0", "held 1", "owed 0"):
            number = template.integers.index(name)
            starts = template.integers.starts
            for z in range(starts[number], starts[number + 1]):
                column, b = divmod(z, template.spec.block)
                assert not holds("digits", (0, template.packed_offset + column, b, t)), name
    charge, b = divmod(template.integers.starts[template.integers.index("charge 0")], template.spec.block)
    assert holds("digits", (0, template.packed_offset + charge, b, 0)), "charges are for least_charges"


def test_v5_a_worker_that_proves_other_columns_in_every_round_is_named(venue: SharedVenue) -> None:
    """Consistently, so that the proof would verify: accounts 0 and 1 have each other's book. Values at zeta tell."""
    block = venue.statement.templates[0].spec.block

    def exchanged(head: dict[str, Passed], arrays: list[Passed]) -> bytes:
        for array in arrays[1:4]:
            rows = array.reshape(-1, block, venue.statement.n // block)
            rows[..., [0, 1]] = rows[..., [1, 0]]
        return pack(head, arrays)

    match = "worker 1 answered wrongly: values of other columns than it was given"
    with (
        venue.workers(connect=liar("start", exchanged, asked=True)) as running,
        pytest.raises(WrongAnswerError, match=match),
    ):
        running.prove_and_verify()


def test_v5_a_worker_that_blinds_with_another_key_is_named(venue: SharedVenue) -> None:
    """No note could be made of what it proved."""

    def rekeyed(head: dict[str, Passed], arrays: list[Passed]) -> bytes:
        return pack(head | {"keys": head["keys"][::-1]}, arrays)

    with (
        venue.workers(connect=liar("start", rekeyed, asked=True)) as running,
        pytest.raises(WrongAnswerError, match="worker 1 answered wrongly: values of other columns"),
    ):
        running.prove_and_verify()


def test_v5_a_venue_makes_no_note_of_columns_that_were_not_proved(venue: SharedVenue) -> None:
    """Whoever proved them: the venue makes the customer's check before it signs."""
    proof = decode_venue_proof(venue.expected, venue.statement)

    def maker(witness: VenueWitness, seed: bytes = SEEDS[0]) -> NoteMaker:
        blinders = SeededBlinders(seed, venue.run)
        keys = {owner: blinders.key(owner) for owner in ("set 0", "set 1")}
        keys["coordinator"] = SeededBlinders(SEEDS[2], venue.run).key("coordinator")
        return NoteMaker(venue.statement, proof, witness, KeyedBlinders(keys), tau_power)

    maker(venue.hidden).note(1, "small 1", nonce("small 1"))
    other = venue.witness()
    other.classes[0].digits[0, 0, 0, 1] ^= 1
    for made in (maker(other), maker(venue.hidden, SEEDS[1])):
        with pytest.raises(VerificationError, match="not those of the published columns"):
            made.note(1, "small 1", nonce("small 1"))


def test_v5_no_worker_learns_another_one_s_blinders_or_the_coordinator_s(venue: SharedVenue) -> None:
    """Also where one seed blinds all: each is sent the keys of its own sets, and neither seed nor run."""
    starts: list[bytes] = []

    class Seen(Local):
        def ask(self, request: bytes) -> bytes:
            starts.append(request)
            return super().ask(request)

    given = (venue.snapshot, venue.statement, venue.hidden, venue.run, 2)
    with VenueWorkers(*given, connect=Seen, seeds=SEEDS[:1]) as running:
        proof = venue.encode(running.prove())
        owned = [{mine.place.index for mine in share.inputs.sets} for share in running.shares]
    heads = [head for head in (unpack(request)[0] for request in starts) if head["round"] == "start"]
    every = SeededBlinders(SEEDS[0], venue.run)
    for head, mine in zip(heads, owned, strict=True):
        assert set(head["sets"]) == mine
        assert head["keys"] == [every.key(f"set {x}").hex() for x in head["sets"]]
        assert not {"seed", "run"} & set(head)
        assert SEEDS[0].hex() not in canonical_bytes(head).decode()
    assert not owned[0] & owned[1]
    assert proof == venue.encode(prove_rounds(venue.statement, venue.hidden, every)), "one prover's, byte for byte"


@pytest.mark.parametrize("flipped", [0, 40])
def test_v5_who_answers_no_point_is_named_and_not_who_refuses_it(venue: SharedVenue, flipped: int) -> None:
    """Worker 2 checks what worker 1 made, and is right to refuse it."""

    def broken(head: dict[str, Passed], arrays: list[Passed]) -> bytes:
        arrays[0][flipped] ^= 1
        return pack(head, arrays)

    with venue.workers(connect=liar("commit_columns", broken)) as running, pytest.raises(ProverError) as caught:
        running.prove_and_verify()
    assert "worker 1 answered wrongly" in str(caught.value)
    assert "worker 2" not in str(caught.value)


def test_v5_a_worker_that_refuses_sound_points_is_named(venue: SharedVenue) -> None:
    refuses = liar("check", lambda _head, _arrays: pack({"error": "no point"}))
    with (
        venue.workers(connect=refuses) as running,
        pytest.raises(ProverError, match="no point; worker 1 answered wrongly"),
    ):
        running.prove_and_verify()


#: A program that proves until it is interrupted.
PROVING = """
from support.venue_lab import SharedVenue

venue = SharedVenue()
try:
    with venue.workers() as running:
        print("running", flush=True)
        while True:
            running.prove()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_from_the_keyboard_ends_workers_quietly(tmp_path: Path) -> None:
    """It goes to the whole group: workers leave it to the coordinator, which ends them and does not wait for them."""
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(Path(__file__).parent)}
    command, pipe = [sys.executable, "-c", PROVING], subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        time.sleep(0.5)  # in the middle of a round
        os.killpg(process.pid, signal.SIGINT)
        try:
            said, errors = process.communicate(timeout=60)  # and all workers: they have the same standard error
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert (said, errors, process.returncode) == ("interrupted\n", "", 0)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_worker_takes_no_interrupt_and_is_ended_by_who_made_it(venue: SharedVenue) -> None:
    links: list[ProcessLink] = []

    def connect() -> ProcessLink:
        links.append(ProcessLink())
        return links[-1]

    with preparing(venue.snapshot, venue.statement, 1, connect) as makers:
        makers.examine(venue.books)
        os.kill(links[0].process.pid, signal.SIGINT)
        makers.examine(venue.books)
        assert makers.restarts == 0
        makers._left()
        with pytest.raises(WorkerError, match="was lost"):
            makers.examine(venue.books)
        assert len(links) == 1, "none is made again"
        links[0].close()
        links[0].close()


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_cleans_up_first_and_is_raised() -> None:
    cleaned: list[str] = []
    ending = Ending(lambda: cleaned.append("once"))
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        ending.close()
    assert cleaned == ["once"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
