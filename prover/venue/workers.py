"""Shares in processes of their own: made from inputs and a seed, made again when one dies, never asked twice.

A worker is a Python of its own at the end of two pipes. It is sent the statement, its column sets and a key for each,
then one request a round. Its blinders follow from the keys (``prover.venue.blinders``), which say nothing about other
workers' blinders: a worker that died is made again from the same inputs, replays the rounds so far, and answers as the
first one would have. A *journal*, a file a worker, keeps the digest of every round's request: a second, different
request for a round that was answered is refused, by whatever process holds those keys, since two values of zeta on the
same columns would leak. The coordinator keeps one a worker too, before it asks: a worker that is made again on another
machine sees no file of the first one's.

Messages are framed bytes of ours: a canonical JSON head and raw arrays, no code. They hold books: pipes are private to
this user, and nothing of them is logged. Any ``Link`` that is encrypted and authenticated will do for workers elsewhere
(``prover.venue.cluster``): a worker is ``Worker.answer``, from bytes to bytes.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from zkmargin.accounts.commitments import Commitment
from zkmargin.crypto.group import G1_BYTES
from zkmargin.crypto.srs import SRS
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import (
    InputError,
    ProofFormatError,
    VerificationError,
    ZkMarginError,
    canonical_bytes,
)
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels import identities as I
from zkmargin.prover._kernels.vectors import Blocks, FieldVector
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.profile import Profile
from zkmargin.prover.venue.answers import Answer, RefusedError, WorkerError
from zkmargin.prover.venue.blinders import SEED_BYTES, KeyedBlinders, SeededBlinders
from zkmargin.prover.venue.checking import checked_sum, verify_shared
from zkmargin.prover.venue.ending import Ending
from zkmargin.prover.venue.journals import Journal
from zkmargin.prover.venue.messages import (
    ATTEMPTS,
    Array,
    Link,
    LostError,
    bytes_array,
    lost_words,
    pack,
    points_array,
    scalar_list,
    scalars_array,
    unpack,
)
from zkmargin.prover.venue.pipes import TIMEOUT_SECONDS, ProcessLink, read_message, write_message
from zkmargin.prover.venue.preparing import QUESTIONS, Preparing, answer_question
from zkmargin.prover.venue.rounds import Coordinator, share_sets
from zkmargin.prover.venue.shares import Int64Array, SetColumns, Share
from zkmargin.prover.venue.sizes import answer_bytes, largest_answer
from zkmargin.prover.venue.values import are_values
from zkmargin.prover.venue.witness import VenueWitness
from zkmargin.verifier.venue.proof import VenueProof, encode_venue_proof
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms
from zkmargin.verifier.venue.transcript import VenueChallenges
from zkmargin.verifier.venue.verify import VenueAccepted

T = TypeVar("T")
ROUNDS = ("commit_columns", "aggregates", "commit_helpers", "numerators", "values", "combined")


# --- the worker -------------------------------------------------------------------------------------------------


class Worker:
    """The far end of a link: a share behind ``answer``, from bytes to bytes."""

    def __init__(self) -> None:
        self._share: Share | None = None
        self._journal = Journal(None)
        self._statement: tuple[bytes, VenueStatement] | None = None

    def answer(self, request: bytes) -> bytes:
        """The answer to a request; errors of ours are answers too."""
        try:
            head, arrays = unpack(request)
            if head["round"] == "open":
                self._stated(head["documents"], arrays[0])
                return pack({"done": True})
            if head["round"] in QUESTIONS:
                if self._statement is None:
                    raise InputError("a question before the statement")
                return answer_question(self._statement[1], head, arrays)
            if head["round"] == "start":
                self._start(head, arrays)
                return pack({"done": True})
            if self._share is None:
                raise InputError("a round before the start")
            self._journal.admit(head["round"], request)
            return _answer(self._share, head, arrays)
        except ZkMarginError as error:
            return pack({"error": error.message})

    def _start(self, head: dict[str, Any], arrays: list[Array]) -> None:
        encoding, *columns = arrays
        statement = self._stated(head["documents"], encoding)
        sets = [
            SetColumns(statement.sets[x], ids, group, digits)
            for x, ids, group, digits in zip(head["sets"], columns[::3], columns[1::3], columns[2::3], strict=True)
        ]
        self._journal = Journal(head["journal"])
        keys = {f"set {x}": bytes.fromhex(key) for x, key in zip(head["sets"], head["keys"], strict=True)}
        self._share = Share(statement, sets, KeyedBlinders(keys))

    def _stated(self, documents: dict[str, Any], encoding: Array) -> VenueStatement:
        """The statement of these documents, built once. Raises InputError."""
        key = hashlib.blake2b(canonical_bytes(documents) + encoding.tobytes(), digest_size=32).digest()
        if self._statement is None or self._statement[0] != key:
            statement = VenueStatement.of(
                Snapshot.parse(documents["snapshot"]),
                VenueTerms.parse(documents["terms"]),
                commitments=[Commitment.parse(text) for text in documents["commitments"]],
                context=bytes.fromhex(documents["context"]),
                srs=SRS(encoding.tobytes()),
            )
            self._statement = key, statement
        return self._statement[1]


def documents_of(snapshot: Snapshot, statement: VenueStatement) -> dict[str, Any]:
    """What a worker builds the statement from."""
    return {
        "snapshot": snapshot.to_bytes().decode(),
        "terms": statement.terms.to_bytes().decode(),
        "commitments": [commitment.to_bytes().decode() for commitment in statement.commitments],
        "context": statement.context.hex(),
    }


def preparing(
    snapshot: Snapshot,
    statement: VenueStatement,
    count: int,
    connect: Callable[[], Link] | None = None,
    *,
    timeout: float = TIMEOUT_SECONDS,
) -> Preparing:
    """Workers that make the witness first; processes of this machine unless ``connect`` makes other links."""
    opening = pack({"round": "open", "documents": documents_of(snapshot, statement)}, [_setup(statement)])
    return Preparing(statement, opening, count, connect or partial(ProcessLink, timeout, largest_answer(statement)))


def _setup(statement: VenueStatement) -> Array:
    return bytes_array(statement.srs.encoding)


def _answer(share: Share, head: dict[str, Any], arrays: list[Array]) -> bytes:
    x = VenueChallenges(**{name: int(text) for name, text in head.get("challenges", {}).items()})
    match head["round"]:
        case "commit_columns":
            points, counts = share.commit_columns()
            return pack({}, [points_array(points), counts])
        case "aggregates":
            return pack({}, [scalars_array(row) for row in share.aggregates(x.gamma)])
        case "commit_helpers":
            points, total = share.commit_helpers(x)
            return pack({}, [points_array(points), bytes_array(K.to_bytes_le(total))])
        case "numerators":
            return pack({}, list(share.numerators(x)))
        case "values":
            return pack({}, [scalars_array(row) for row in share.values(x.zeta)])
        case "check":
            encoded, scalars = arrays
            return pack({}, [bytes_array(checked_sum(encoded.tobytes(), scalar_list(scalars)))])
        case "combined":
            half = len(arrays) // 2
            weights, helpers = ([scalar_list(array) for array in part] for part in (arrays[:half], arrays[half:]))
            return pack({}, [bytes_array(K.to_bytes_le(share.combined(weights, helpers)))])
    raise InputError("no such round")


def serve() -> None:
    """What a worker process runs: framed requests on standard input, framed answers on standard output."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    worker = Worker()
    try:
        while (request := read_message(source)) is not None:
            write_message(sink, worker.answer(request))
    except BrokenPipeError:  # whoever asked is gone: what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sink.fileno())


# --- the coordinator's end ------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class ShareInputs:
    """What a worker is made from: secret."""

    statement: VenueStatement
    sets: tuple[SetColumns, ...]
    blinders: SeededBlinders
    start: bytes

    def local(self) -> Share:
        """The same share in this process."""
        return Share(self.statement, self.sets, self.blinders)


class RemoteShare:
    """A share at the other end of a link, for the coordinator as good as one here."""

    def __init__(self, name: str, inputs: ShareInputs, connect: Callable[[], Link], journal: Journal) -> None:
        self.name, self.inputs, self._connect, self._journal = name, inputs, connect, journal
        self._log: list[tuple[bytes, int]] = []
        self.answers: list[tuple[str, bytes]] = []
        self.restarts = 0
        self._sizes = answer_bytes(inputs.statement, [mine.place for mine in inputs.sets])
        self._link: Link | None = None
        self._starting: Link | None = None
        self._ended = False
        self._answered("at its start", self._linked)

    @property
    def count(self) -> int:
        """How many sets it owns."""
        return len(self.inputs.sets)

    def close(self) -> None:
        """End the worker."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def kill(self) -> None:
        """End the worker without waiting for it, if it is a process of this machine; no other one is made."""
        self._ended = True
        for link in (self._link, self._starting):
            if isinstance(link, ProcessLink):
                link.kill()

    def _linked(self) -> Link:
        """The way to the worker; one that is gone is made again, and replays the rounds so far. Raises LostError."""
        if self._link is None:
            self._starting = link = self._connect()
            if self._ended:
                link.close()
                raise LostError
            try:
                self._read(link.ask(self.inputs.start), 0)
                for request, parts in self._log:
                    self._read(link.ask(request), parts)
            except BaseException:
                link.close()
                raise
            self._link, self._starting = link, None
        return self._link

    def _answered(self, where: str, ask: Callable[[], T]) -> T:
        """What is asked, of a worker that is made again when it is lost. Raises WorkerError when it is too often."""
        why = ""
        for attempt in range(ATTEMPTS):
            self.restarts += attempt > 0
            try:
                return ask()
            except LostError as error:
                why = str(error)
                self.close()
            if self._ended:
                break
        raise WorkerError(lost_words(self.name, where, why))

    def _read(self, answer: bytes, parts: int) -> Answer:
        try:
            return Answer(self.name, answer, parts)
        except InputError as error:
            raise RefusedError(self.name, error.message) from None

    def _ask(self, name: str, parts: int, x: VenueChallenges | None = None, arrays: Sequence[Array] = ()) -> Answer:
        challenges = {} if x is None else {key: str(value) for key, value in vars(x).items() if value}
        request = pack({"round": name, "challenges": challenges}, arrays)
        try:
            self._journal.admit(name, request)  # whichever process answers next
        except InputError as error:
            raise ProverError(f"worker {self.name}: {error.message}") from None
        answer = self._answered(f"in round {name}", lambda: self._linked().ask(request))
        if len(answer) > self._sizes[name]:
            raise Answer.too_long(self.name, len(answer), self._sizes[name])
        self._log.append((request, parts))
        self.answers.append((name, answer))
        return self._read(answer, parts)

    # --- the rounds ---------------------------------------------------------------------------------------

    def commit_columns(self) -> tuple[list[tuple[bytes, ...]], Int64Array]:
        """1: each set's points, and counts of digits."""
        answer, statement = self._ask("commit_columns", 2), self.inputs.statement
        sizes = [self._template(mine).opened_columns for mine in self.inputs.sets]
        cells = sum(mine.digits.size for mine in self.inputs.sets)
        counts = answer.array(1, np.int64, (1 << statement.k,), below=cells + 1)
        return answer.points(0, sizes), counts

    def aggregates(self, gamma: int) -> list[list[int]]:
        """2: partial Qp, Qm, Qc."""
        answer = self._ask("aggregates", 3, VenueChallenges(gamma))
        return [answer.scalars(i, self.inputs.statement.rules.instruments) for i in range(3)]

    def commit_helpers(self, x: VenueChallenges) -> tuple[list[tuple[bytes, ...]], FieldVector]:
        """3: each set's helpers, and its part of total on H."""
        answer = self._ask("commit_helpers", 2, x)
        return answer.points(0, self._helper_counts()), answer.vector(1, self.inputs.statement.n)

    def numerators(self, x: VenueChallenges) -> list[Blocks]:
        """4: its part of the numerator of T on each coset."""
        statement = self.inputs.statement
        lifting = I.lifting(statement.n, 1 << statement.g.bit_length())
        answer = self._ask("numerators", lifting.count, x)
        return [answer.array(j, np.uint64, lifting.zeros().shape) for j in range(lifting.count)]

    def values(self, zeta: int) -> list[list[int]]:
        """5: each set's values. Raises WrongAnswerError for values that are not those of its inputs' columns.

        A worker that proved other columns in every round is found out here: of those a proof would verify.
        """
        answer = self._ask("values", self.count, VenueChallenges(zeta=zeta))
        found = [answer.scalars(i, self._template(mine).opened_columns) for i, mine in enumerate(self.inputs.sets)]
        inputs = self.inputs
        if not are_values(inputs.statement, inputs.sets, inputs.blinders, zeta, found):
            raise answer.wrong("values of other columns than it was given")
        return found

    def combined(self, weights: Sequence[Sequence[int]], helper_weights: Sequence[Sequence[int]]) -> FieldVector:
        """6: its part of the opening's polynomial."""
        arrays = [*map(scalars_array, weights), *map(scalars_array, helper_weights)]
        return self._ask("combined", 1, None, arrays).vector(0, self.inputs.statement.n + 2)

    def check(self, points: bytes, scalars: Sequence[int]) -> bytes:
        """Some of the proof's points, checked and added up (``prover.venue.checking``).

        Raises:
            VerificationError: the worker refuses them. It may be right: they are other workers' points.
        """
        try:
            answer = self._ask("check", 1, None, [bytes_array(points), scalars_array(scalars)])
        except RefusedError as error:
            raise VerificationError(f"a point of the proof: {error.reason}", check="point") from None
        return answer.octets(0, G1_BYTES if any(scalars) else 0)

    def _template(self, mine: SetColumns) -> Any:
        return self.inputs.statement.templates[mine.place.kind]

    def _helper_counts(self) -> list[int]:
        owners = {f"set {mine.place.index}": i for i, mine in enumerate(self.inputs.sets)}
        counts = [0] * len(owners)
        for helper in self.inputs.statement.helpers:
            if helper.owner in owners:
                counts[owners[helper.owner]] += 1
        return counts


class VenueWorkers:
    """Proves with ``count`` worker processes; a context manager.

    Args:
        snapshot, statement: what is proved; workers build the statement again from these documents.
        witness: everything hidden; each worker is sent its own sets only.
        run: digest of all inputs (``prove.inputs_digest``).
        count: processes, at least 1.
        connect: makes the link to a worker; a process here without.
        here: whether workers see this machine's files: then each keeps a journal of its own beside the coordinator's.
        seeds: one a worker, then the coordinator's, or one for all of them; fresh ones without. Names of columns keep
            blinders of one seed apart, the run's digest those of different inputs. Journals are this object's: only
            within it no seed answers two challenges. Whoever gives seeds gives them to one object; never again.

    Raises:
        InputError: a count below 1.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        statement: VenueStatement,
        witness: VenueWitness,
        run: bytes,
        count: int,
        *,
        connect: Callable[[], Link] = ProcessLink,
        here: bool = True,
        seeds: Sequence[bytes] | None = None,
    ) -> None:
        if count < 1:
            raise InputError("at least 1", field="workers")
        self.statement, self.witness, self.run = statement, witness, run
        self.shares: list[RemoteShare] = []
        self._journals = tempfile.TemporaryDirectory(prefix="zkmargin-venue-")  # mode 0700
        self._ending = Ending(self._left)  # which takes the folder away
        dealt = [sets for sets in share_sets(statement, witness, count) if sets]
        needed = len(dealt) + 1
        drawn = list(seeds or [secrets.token_bytes(SEED_BYTES) for _ in range(needed)])
        drawn = drawn * needed if len(drawn) == 1 else drawn
        self.own_seed = drawn.pop()
        documents = documents_of(snapshot, statement)
        try:
            for i, (sets, seed) in enumerate(zip(dealt, drawn, strict=True), 1):
                blinders = SeededBlinders(seed, run)
                head = {
                    "round": "start",
                    "documents": documents,
                    "sets": [mine.place.index for mine in sets],
                    "keys": [blinders.key(f"set {mine.place.index}").hex() for mine in sets],
                    "journal": str(Path(self._journals.name) / f"worker-{i}") if here else None,
                }
                columns = [part for mine in sets for part in (mine.ids, mine.group, mine.digits)]
                start = pack(head, [_setup(statement), *columns])
                inputs = ShareInputs(statement, tuple(sets), blinders, start)
                journal = Journal(str(Path(self._journals.name) / f"coordinator-{i}"))
                self.shares.append(RemoteShare(str(i), inputs, connect, journal))
        except BaseException:
            self.close()
            raise

    def prove(self, *, profile: Profile | None = None) -> VenueProof:
        """The proof.

        Raises:
            ProverError: the witness does not satisfy the statement; a worker that was lost too often, or answered
                wrongly, is named.
        """
        blinders = SeededBlinders(self.own_seed, self.run)
        threads = max(1, len(self.shares))
        coordinator = Coordinator(self.statement, self.witness, self.shares, blinders, threads=threads, profile=profile)
        try:
            return coordinator.prove()
        except WorkerError:
            raise
        except ProverError as error:
            raise self._blamed(str(error)) from None

    def prove_and_verify(self, *, profile: Profile | None = None) -> tuple[bytes, VenueAccepted]:
        """The proof's bytes and its own acceptance. Raises ProverError as ``prove``, and for what does not verify."""
        profile = profile or Profile()
        data = encode_venue_proof(self.prove(profile=profile), self.statement.srs.digest)
        try:
            with profile.stage("self-verification"):
                return data, self.verified(data)
        except WorkerError:
            raise
        except (ProofFormatError, VerificationError, ProverError) as error:
            raise self._blamed(str(error)) from None

    def verified(self, data: bytes) -> VenueAccepted:
        """The acceptance of a proof, its points checked by the workers. Raises as ``verify_venue``, and ProverError."""
        return verify_shared(self.statement, data, self.shares)

    def _blamed(self, reason: str) -> ProverError:
        wrong = self.wrong_workers()
        if wrong:
            return WorkerError(f"{reason}; worker {', '.join(wrong)} answered wrongly")
        return ProverError(reason)

    def wrong_workers(self) -> list[str]:
        """Names of the workers whose answers are not those of their inputs and seeds: each is worked out here again."""
        found = []
        for share in self.shares:
            own = share.inputs.local()
            for (request, _), (_, answer) in zip(share._log, share.answers, strict=True):  # noqa: SLF001 - our own
                if _own_answer(own, request) != answer:
                    found.append(share.name)
                    break
        return found

    def close(self) -> None:
        """End all workers."""
        for share in self.shares:
            share.close()
        self._journals.cleanup()
        self._ending.close()

    def _left(self) -> None:
        """On SIGTERM or SIGINT: workers end, and the folder goes away."""
        for share in self.shares:
            share.kill()
        shutil.rmtree(self._journals.name, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _own_answer(own: Share, request: bytes) -> bytes:
    try:
        return _answer(own, *unpack(request))
    except ZkMarginError as error:  # an error is an answer too
        return pack({"error": error.message})
