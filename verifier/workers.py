"""Batches on several cores: worker processes that are started once and stay.

One core verifies a batch in ``verify_batch``. A worker is a Python of its own that knows some snapshots; it is sent
statements and proofs, and answers with the weighted sums of its share (``verifier.verify.fold``). Whatever goes wrong
there, the batch is verified here instead: workers can only make an answer come sooner.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from py_arkworks_bls12381 import G1Point

from crypto.group import G1_BYTES, add_all, encode_g1
from crypto.srs import embedded
from engine.limits import Limit
from engine.margin import Claim
from engine.snapshot import Snapshot
from formats import InputError, ZkMarginError, canonical_bytes, parse_json
from formats.canonical import Json
from verifier.commitments import Commitment, CommitmentPart
from verifier.statement import Statement
from verifier.verify import Accepted, fold, fresh_weights, holds, opening_of, verify_batch

Items = Sequence[tuple[Statement, bytes]]
_LENGTH_BYTES = 8
_DIGEST_BYTES = 32


class Workers:
    """Verifies batches in ``count`` processes, this one among them.

    Args:
        snapshots: what the statements to come are about.
        count: processes, at least 1.

    Use it as a context manager, or ``close`` it. It must not be used by two threads at the same time.

    Raises:
        InputError: a count below 1.
    """

    def __init__(self, snapshots: Sequence[Snapshot], count: int) -> None:
        if count < 1:
            raise InputError("at least 1", field="workers")
        self._known = {snapshot.digest() for snapshot in snapshots}
        path = [str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
        # -P: no module of the current folder is imported
        command = [sys.executable, "-P", "-c", "from verifier.workers import serve; serve()"]
        self._processes = [
            subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ours
            for _ in range(count - 1)
        ]
        for process in self._processes:
            _write(process, canonical_bytes([snapshot.to_bytes().decode() for snapshot in snapshots]))

    def verify_batch(self, items: Items) -> list[Accepted]:
        """As ``verifier.verify_batch``, sooner.

        Raises:
            InputError: the workers were not told of a statement's snapshot; and what ``verify_batch`` raises.
        """
        if any(statement.snapshot_digest not in self._known for statement, _ in items):
            raise InputError("the workers were started without this statement's snapshot", field="snapshot")
        return self._together(items) or verify_batch(items)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _together(self, items: Items) -> list[Accepted]:
        """All accepted, or nothing: a proof is bad, or it cannot be told this way."""
        count = 1 + len(self._processes)
        srs = embedded()
        if any(statement.srs.digest != srs.digest for statement, _ in items):
            return []
        shares = [items[i::count] for i in range(count)]
        try:
            for process, share in zip(self._processes, shares[1:], strict=True):
                _write(process, _request(share))
            summaries = [_summary(shares[0]), *map(_read, self._processes)]
            if not all(map(_is_summary, summaries, map(len, shares))):
                return []
            left, right = (
                add_all(G1Point.from_compressed_bytes(summary[at : at + G1_BYTES]) for summary in summaries)
                for at in (0, G1_BYTES)
            )
        except (OSError, ValueError):  # a worker died, or answered something else
            return []
        if not holds(left, right, srs):
            return []
        digests = [b""] * len(items)
        for i, summary in enumerate(summaries):
            digests[i::count] = [
                summary[at : at + _DIGEST_BYTES] for at in range(2 * G1_BYTES, len(summary), _DIGEST_BYTES)
            ]
        return [Accepted(statement, digest) for (statement, _), digest in zip(items, digests, strict=True)]


def _summary(items: Items) -> bytes:
    """The folded left and right sides, then the statement digests; nothing if a proof is not well-formed."""
    try:
        openings = [opening_of(statement, proof) for statement, proof in items]
    except ZkMarginError:
        return b""
    sides = fold(openings, fresh_weights(len(openings)))
    return b"".join([*map(encode_g1, sides), *(opening.statement_digest for opening in openings)])


def _is_summary(data: bytes, count: int) -> bool:
    return len(data) == 2 * G1_BYTES + count * _DIGEST_BYTES


def _request(items: Items) -> bytes:
    return canonical_bytes(
        [
            {
                "snapshot": statement.snapshot_digest.hex(),
                "claim": [statement.claim.num, statement.claim.den, statement.claim.requirement],
                "limits": [str(limit) for limit in statement.limits],
                "parts": [part.model_dump(mode="json") for part in statement.parts],
                "context": statement.context.hex(),
                "proof": proof.hex(),
            }
            for statement, proof in items
        ]
    )


def _statement(given: dict[str, Json], snapshots: dict[str, Snapshot]) -> Statement:
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


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def _received(stream: IO[bytes]) -> bytes:
    """One message; nothing at the end of the stream."""
    return stream.read(int.from_bytes(stream.read(_LENGTH_BYTES), "big"))


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    if process.stdin is None:
        raise BrokenPipeError
    process.stdin.write(_framed(data))
    process.stdin.flush()


def _read(process: subprocess.Popen[bytes]) -> bytes:
    if process.stdout is None:
        raise BrokenPipeError
    return _received(process.stdout)


def serve() -> None:
    """What a worker process does, until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started us
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    known = [Snapshot.parse(text) for text in parse_json(_received(requests))]
    snapshots = {snapshot.digest().hex(): snapshot for snapshot in known}
    while request := _received(requests):
        try:
            answer = _summary(
                [(_statement(given, snapshots), bytes.fromhex(given["proof"])) for given in parse_json(request)]
            )
        except ZkMarginError:
            answer = b""
        answers.write(_framed(answer))
        answers.flush()
