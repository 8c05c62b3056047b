"""Batches on several cores: worker processes that are started once and stay.

One core verifies a batch in ``verify_batch``. A worker is a Python of its own that knows some snapshots; it is sent
statements and proofs one by one, and asked for the weighted sums of its share (``verifier.verify.fold``). Whatever goes
wrong there, the batch is verified here instead: workers can only make an answer come sooner.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Self

from py_arkworks_bls12381 import G1Point

from zkmargin.accounts.commitments import Commitment, CommitmentPart
from zkmargin.crypto.group import G1_BYTES, add_all, encode_g1
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ZkMarginError, canonical_bytes, parse_json
from zkmargin.formats.canonical import Json
from zkmargin.verifier.argument import Opening
from zkmargin.verifier.statement import Statement
from zkmargin.verifier.verify import Accepted, fold, fresh_weights, holds, opening_of, verify_batch

Item = tuple[Statement, bytes]
_LENGTH_BYTES = 8
_DIGEST_BYTES = 32
#: Asks a worker for the summary of what it was sent.
_SUM_UP = b""


class _LostError(Exception):
    """A worker that does not answer."""


class Workers:
    """Verifies batches in ``count`` processes, this one among them.

    Args:
        snapshots: what most statements to come are about; only these are sent to other processes.
        count: processes, at least 1.

    Use it as a context manager, or ``close`` it; then, and after a worker was lost or a batch interrupted, batches are
    verified in this process alone. It must not be used by two threads at the same time.

    Raises:
        InputError: a count below 1.

    Example:
        >>> with Workers([snapshot], 1) as workers:
        ...     len(workers.verify_batch([(statement, proof)] * 2))
        2
    """

    def __init__(self, snapshots: Sequence[Snapshot], count: int) -> None:
        if count < 1:
            raise InputError("at least 1", field="workers")
        self._known = {snapshot.digest() for snapshot in snapshots}
        path = [str(Path(__file__).absolute().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
        # -P: no module of the current folder is imported
        command = [sys.executable, "-P", "-c", "from zkmargin.verifier.workers import serve; serve()"]
        self._processes = [
            subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ours
            for _ in range(count - 1)
        ]
        for process in self._processes:
            _write(process, canonical_bytes([snapshot.to_bytes().decode() for snapshot in snapshots]))

    def verify_batch(self, items: Iterable[Item]) -> list[Accepted]:
        """As ``verifier.verify_batch``, sooner; the items are taken one by one, and may be made meanwhile.

        Raises:
            What ``verifier.verify_batch`` raises, and whatever ``items`` raises.
        """
        taken: list[Item] = []
        rest = iter(items)
        try:
            accepted = self._together(rest, taken)
        except _LostError:
            self.close()
            accepted = []
        except BaseException:
            self.close()  # what a worker still has to say must not be taken for its answer to the next batch
            raise
        return accepted or verify_batch([*taken, *rest])

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.communicate()
        self._processes = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _together(self, items: Iterator[Item], taken: list[Item]) -> list[Accepted]:
        """All accepted, or nothing: a proof is bad, or it cannot be told this way. Keeps the items it takes."""
        srs, others = embedded(), self._processes
        own, places = _Share(), [list[int]() for _ in range(1 + len(others))]
        for place, (statement, proof) in enumerate(items):
            taken.append((statement, proof))
            turn = place % len(places)
            if turn == len(others) or statement.snapshot_digest not in self._known:
                own.add(statement, proof)
                places[-1].append(place)
            else:
                _write(others[turn], request_of(statement, proof))
                places[turn].append(place)
        for process in others:
            _write(process, _SUM_UP)
        own_summary = own.summary()
        summaries = [*map(_read, others), own_summary]
        if not all(map(_is_summary, summaries, map(len, places))):
            return []
        if any(statement.srs.digest != srs.digest for statement, _ in taken):
            return []  # they read every proof under the setup that is embedded
        try:
            left, right = (
                add_all(G1Point.from_compressed_bytes(summary[at : at + G1_BYTES]) for summary in summaries)
                for at in (0, G1_BYTES)
            )
        except ValueError:
            return []
        if not holds(left, right, srs):
            return []
        digests = {}
        for summary, mine in zip(summaries, places, strict=True):
            for place, at in zip(mine, range(2 * G1_BYTES, len(summary), _DIGEST_BYTES), strict=True):
                digests[place] = summary[at : at + _DIGEST_BYTES]
        return [Accepted(statement, digests[place]) for place, (statement, _) in enumerate(taken)]


class _Share:
    """What one process makes of its part of a batch."""

    def __init__(self) -> None:
        self._openings: list[Opening] | None = []

    def add(self, statement: Statement, proof: bytes) -> None:
        """Reduce one more proof to its opening."""
        if self._openings is not None:
            try:
                self._openings.append(opening_of(statement, proof))
            except ZkMarginError:
                self.spoil()

    def spoil(self) -> None:
        """Something is not well-formed: there will be no summary."""
        self._openings = None

    def summary(self) -> bytes:
        """The folded left and right sides, then the statement digests; nothing if a proof is not well-formed."""
        if self._openings is None:
            return b""
        sides = fold(self._openings, fresh_weights(len(self._openings)), embedded())
        return b"".join([*map(encode_g1, sides), *(opening.statement_digest for opening in self._openings)])


def _is_summary(data: bytes, count: int) -> bool:
    return len(data) == 2 * G1_BYTES + count * _DIGEST_BYTES


def request_of(statement: Statement, proof: bytes) -> bytes:
    """A statement and a proof as a worker is sent them: the snapshot by its digest."""
    return canonical_bytes(
        {
            "snapshot": statement.snapshot_digest.hex(),
            "claim": [statement.claim.num, statement.claim.den, statement.claim.requirement],
            "limits": [str(limit) for limit in statement.limits],
            "parts": [part.model_dump(mode="json") for part in statement.parts],
            "context": statement.context.hex(),
            "proof": proof.hex(),
        }
    )


def statement_of(given: dict[str, Json], snapshots: dict[str, Snapshot]) -> Statement:
    """The statement of ``request_of`` again."""
    snapshot, srs = snapshots[given["snapshot"]], embedded()
    num, den, requirement = given["claim"]
    return Statement.of(
        snapshot,
        [
            Commitment(
                srs=srs.digest.hex(),
                domain_size=snapshot.layout.domain_size,
                parts=tuple(CommitmentPart.model_validate(part) for part in given["parts"]),
            )
        ],
        Claim(num=num, den=den, requirement=requirement),
        context=bytes.fromhex(given["context"]),
        limits=[Limit.parse(text) for text in given["limits"]],
        srs=srs,
    )


def framed(data: bytes) -> bytes:
    """One message, its length before it."""
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def received(stream: IO[bytes]) -> bytes | None:
    """One message; None at the end of the stream."""
    length = stream.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    data = stream.read(int.from_bytes(length, "big"))
    return data if len(data) == int.from_bytes(length, "big") else None


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    try:
        if process.stdin is None:
            raise BrokenPipeError
        process.stdin.write(framed(data))
        process.stdin.flush()
    except OSError as error:
        raise _LostError from error


def _read(process: subprocess.Popen[bytes]) -> bytes:
    answer = received(process.stdout) if process.stdout else None
    if answer is None:
        raise _LostError
    return answer


def serve() -> None:
    """What a worker process does, until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started us
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a word that someone prints is no answer
    known = [Snapshot.parse(text) for text in parse_json(received(requests) or b"[]")]
    snapshots = {snapshot.digest().hex(): snapshot for snapshot in known}
    share = _Share()
    while (request := received(requests)) is not None:
        if request == _SUM_UP:
            answers.write(framed(share.summary()))
            answers.flush()
            share = _Share()
            continue
        given = parse_json(request)
        try:
            share.add(statement_of(given, snapshots), bytes.fromhex(given["proof"]))
        except ZkMarginError:
            share.spoil()
