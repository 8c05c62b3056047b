"""Batches on several processes: the same answers as on one, whatever happens to the others (catalogue item 38)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace
from unittest.mock import Mock

import golden
import pytest
from py_arkworks_bls12381 import G1Point
from support.typed import Passed

import zkmargin
from zkmargin.crypto.group import G1_INFINITY, decode_g1, encode_g1
from zkmargin.crypto.srs import embedded
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError, canonical_bytes
from zkmargin.verifier import Statement, Workers, verify_batch, workers
from zkmargin.verifier.proof import decode_proof, encode_proof
from zkmargin.verifier.verify import fresh_weights, holds

Items = list[tuple[Statement, bytes]]


@pytest.fixture(scope="module")
def given() -> tuple[list[Snapshot], Items]:
    """Statements about two snapshots, with limits and contexts among them."""
    chosen = golden.GOLDEN
    return [g.snapshot() for g in chosen], [(g.statement(), g.proof()) for g in chosen]


@pytest.fixture(scope="module")
def running(given: tuple[list[Snapshot], list[tuple[Statement, bytes]]]) -> Iterator[Workers]:
    with Workers(given[0], 2) as started:
        yield started


def shifted(item: tuple[Statement, bytes]) -> tuple[Statement, bytes]:
    statement, data = item
    proof = decode_proof(data, statement.circuit.shape, statement.srs.digest)
    W = encode_g1(decode_g1(proof.message5.W) + G1Point())
    return statement, encode_proof(replace(proof, message5=replace(proof.message5, W=W)), statement.srs.digest)


def test_the_same_answers_as_one_process(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], running: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, items = given
    one = verify_batch(items)
    monkeypatch.setattr(workers, "verify_batch", lambda _: pytest.fail("the workers did not answer"))
    assert running.verify_batch(items) == one
    assert running.verify_batch(items[::-1]) == one[::-1]
    assert running.verify_batch(items[:1]) == one[:1]


def test_a_bad_proof_is_named_whoever_reads_it(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], running: Workers
) -> None:
    _, items = given
    for bad in range(3):
        batch = [shifted(item) if i == bad else item for i, item in enumerate(items[:3])]
        with pytest.raises(VerificationError, match=f"^proof {bad + 1} of 3 does not prove its statement$"):
            running.verify_batch(batch)
        batch = [(s, data[:-1] if i == bad else data) for i, (s, data) in enumerate(items[:3])]
        with pytest.raises(ProofFormatError, match=rf"^proof {bad + 1} of 3: \d+ bytes where"):
            running.verify_batch(batch)
    with pytest.raises(InputError, match="an empty batch proves nothing"):
        running.verify_batch([])
    assert len(running.verify_batch(items)) == len(items)


def test_shares_are_weighted(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], running: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of two shares that cancel would pass if each share had fixed weights."""
    seen: list[Sequence[int]] = []

    def spy(count: int) -> list[int]:
        seen.append(fresh_weights(count))
        return list(seen[-1])

    monkeypatch.setattr(workers, "fresh_weights", spy)
    _, items = given
    running.verify_batch(items)
    running.verify_batch(items)
    assert len({w for weights in seen for w in weights}) == 2 * len(items[1::2])


def test_items_may_be_made_while_the_workers_are_at_work(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], running: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, items = given
    expected = verify_batch(items)
    real, sent, counts = workers._write, list[bytes](), list[int]()

    def spy(process: Popen[bytes], data: bytes) -> None:
        sent.append(data)
        real(process, data)

    monkeypatch.setattr(workers, "_write", spy)
    monkeypatch.setattr(workers, "verify_batch", lambda _: pytest.fail("the workers did not answer"))

    def one_by_one() -> Iterator[tuple[Statement, bytes]]:
        for item in items:
            counts.append(len(sent))
            yield item

    assert running.verify_batch(one_by_one()) == expected
    assert counts == [(1 + i) // 2 for i in range(len(items))]


def test_statements_that_were_not_announced_are_verified_here(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots, items = given
    expected = verify_batch(items)
    monkeypatch.setattr(workers, "verify_batch", lambda _: pytest.fail("the workers did not answer"))
    for known in (1, 0):
        with Workers(snapshots[:known], 2) as some:
            assert some.verify_batch(items) == expected


def test_another_setup_is_verified_here(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], running: Workers
) -> None:
    (statement, data), good = given[1][:2]
    other = (replace(statement, srs=insecure_from_tau(7, 32)), data)
    with pytest.raises(ProofFormatError, match="made for another structured reference string"):
        running.verify_batch([other])
    for batch in ([other, good], [good, other]):
        with pytest.raises(InputError, match="statements under different structured reference strings"):
            running.verify_batch(batch)
    assert running.verify_batch([good]) == verify_batch([good])


def test_one_process_is_this_one(given: tuple[list[Snapshot], list[tuple[Statement, bytes]]]) -> None:
    snapshots, items = given
    with Workers(snapshots, 1) as alone:
        assert alone._processes == []
        assert alone.verify_batch(items) == verify_batch(items)


def test_a_worker_imports_the_program_that_started_it(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Mock()
    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(workers, "_write", lambda *_: None)
    root = str(Path(zkmargin.__file__).resolve().parents[1])
    monkeypatch.setenv("PYTHONPATH", "theirs")
    Workers(given[0], 2)
    monkeypatch.delenv("PYTHONPATH")
    Workers(given[0], 2)
    paths = [call.kwargs["env"]["PYTHONPATH"] for call in started.call_args_list]
    assert paths == [os.pathsep.join([root, "theirs"]), root]
    assert all("-P" in call.args[0] for call in started.call_args_list)


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_process(given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], count: int) -> None:
    with pytest.raises(InputError, match=r"^workers: at least 1$"):
        Workers(given[0], count)


def test_a_worker_that_babbles_does_not_matter(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots, items = given
    expected = verify_batch(items)
    with Workers(snapshots, 2) as broken:
        real = workers._read
        share = len(items[::2])
        answers: list[Callable[[bytes], bytes]] = [
            lambda _: b"",
            lambda _: b"x",
            lambda _: bytes(96 + 32 * share),
            lambda _: encode_g1(G1Point()) * 2 + bytes(32 * share),
            lambda right: right[:-32],
            lambda right: right + bytes(32),
        ]
        for answer in answers:

            def babble(process: Popen[bytes], answer: Callable[[bytes], bytes] = answer) -> bytes:
                return answer(real(process))

            monkeypatch.setattr(workers, "_read", babble)
            assert broken.verify_batch(items) == expected
            with pytest.raises(VerificationError, match="proof 1 of"):
                broken.verify_batch([shifted(items[0]), *items[1:]])
        assert broken._processes


@pytest.mark.parametrize("count", [2, 3])
def test_a_worker_that_dies_does_not_matter(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], count: int
) -> None:
    snapshots, items = given
    expected = verify_batch(items)
    with Workers(snapshots, count) as broken:
        processes = broken._processes
        processes[0].kill()
        processes[0].wait()
        assert broken.verify_batch(iter(items)) == expected
        assert [process.poll() for process in processes] == [-9] * (count - 1)
        with pytest.raises(VerificationError, match="proof 2 of"):
            broken.verify_batch([items[0], shifted(items[1]), *items[2:]])


def test_an_answer_is_never_taken_for_that_to_the_next_batch(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is interrupted, wherever: what its workers still say must not vouch for other proofs."""
    snapshots, items = given
    good, bad = [items[0], items[1]], [shifted(items[0]), items[1]]

    class Stop(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stop

    def breaks_off() -> Iterator[tuple[Statement, bytes]]:
        yield from good
        raise Stop

    for place in ("_read", "opening_of", "fresh_weights", None):
        with Workers(snapshots, 2) as interrupted, monkeypatch.context() as patch:
            if place:
                patch.setattr(workers, place, stop)
            with pytest.raises(Stop):
                interrupted.verify_batch(good if place else breaks_off())
            patch.undo()
            with pytest.raises(VerificationError, match="proof 1 of 2"):
                interrupted.verify_batch(bad)
            assert len(interrupted.verify_batch(good)) == 2


def test_errors_of_those_who_make_the_items_come_through(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]],
) -> None:
    """An OSError there is no worker's: a batch is never cut short."""
    snapshots, items = given

    def unreadable() -> Iterator[tuple[Statement, bytes]]:
        yield items[0]
        raise FileNotFoundError("proof.bin")

    with Workers(snapshots, 2) as running, pytest.raises(FileNotFoundError, match=r"proof\.bin"):
        running.verify_batch(unreadable())


def test_modules_of_the_current_folder_are_not_imported(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "verify_batch", lambda _: pytest.fail("the worker did not start"))
    snapshots, items = given
    with Workers(snapshots, 2) as started:
        assert len(started.verify_batch(items)) == len(items)
        processes = started._processes
    assert [process.poll() for process in processes] == [-9]


def test_a_process_without_pipes_is_a_dead_one(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots, items = given
    for name in ("stdout", "stdin"):
        with Workers(snapshots, 2) as broken, monkeypatch.context() as patch:
            (process,) = broken._processes
            pipe = getattr(process, name)
            patch.setattr(process, name, None)
            assert broken.verify_batch(items) == verify_batch(items)
            assert broken._processes == []
            pipe.close()


def test_half_a_message_is_none() -> None:
    whole = workers.framed(b"abc")
    assert workers.received(BytesIO(whole)) == b"abc"
    assert [workers.received(BytesIO(whole[:size])) for size in range(len(whole))] == [None] * len(whole)


def test_what_a_worker_does(
    given: tuple[list[Snapshot], list[tuple[Statement, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop of a worker's process, run in this one: sums of its share, and nothing where a proof is malformed."""
    snapshots, items = given
    malformed = (items[0][0], items[0][1][:-1])
    infinity = items[0][0].parts[0].model_copy(update={"points": ("c0" + "00" * 47,)})
    bad_point = (replace(items[0][0], parts=(infinity, *items[0][0].parts[1:])), items[0][1])
    shares = [items, [malformed], [items[1], bad_point, items[0]], [], items[:1]]
    told = [canonical_bytes([snapshot.to_bytes().decode() for snapshot in snapshots])]
    for share in shares:
        told += [*(workers.request_of(*item) for item in share), b""]
    answers, sent = BytesIO(), Mock()
    sent.write.side_effect = answers.write
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(b"".join(map(workers.framed, told)))))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=sent))
    handlers, real = Mock(), workers.statement_of

    def wordy(*args: Passed) -> Statement:
        sys.stdout.write("a word\n")
        return real(*args)

    monkeypatch.setattr(signal, "signal", handlers)
    monkeypatch.setattr(workers, "statement_of", wordy)
    workers.serve()
    handlers.assert_called_once_with(signal.SIGINT, signal.SIG_IGN)
    assert [name for name, *_ in sent.mock_calls] == ["write", "flush"] * len(shares)
    answers.seek(0)
    whole, *nothing, empty, one = (workers.received(answers) for _ in shares)
    assert nothing == [b"", b""]
    assert empty == G1_INFINITY * 2
    assert workers.received(answers) is None
    for answer, share in ((whole, items), (one, items[:1])):
        assert answer is not None
        left, right = (decode_g1(answer[at : at + 48]) for at in (0, 48))
        assert holds(left, right, embedded())
        digests = [accepted.statement_digest for accepted in verify_batch(share)]
        assert answer[96:] == b"".join(digests)


def test_who_ends_its_workers_waits_for_their_end(given: tuple[list[Snapshot], Items]) -> None:
    snapshots, items = given
    with Workers(snapshots, 2) as started:
        assert len(started.verify_batch(items)) == len(items)
        (process,) = started._processes
    assert process.returncode == -signal.SIGKILL  # asked for by nobody since


def test_a_worker_that_was_told_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO()))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=answers))
    monkeypatch.setattr(signal, "signal", Mock())
    workers.serve()
    assert answers.getvalue() == b""
