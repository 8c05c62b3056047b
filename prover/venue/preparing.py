"""The witness made by workers: each makes the columns of the accounts that it will prove.

Requests are questions without a memory: a worker that died is replaced by another one, which is asked the same again.
The links are handed on to the proof, whose workers then own what they made. Two things are looked at here, before
anything is proved, since a proof would verify without them: that columns hold the books they are of, and that charges
are the least that those allow. With larger ones the witness is another than the one that notes are made of later. All
else follows from the equations: wrong slacks let no proof out, and then everything is made here to name the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.venue import BlockTemplate
from zkmargin.formats import InputError, ZkMarginError
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.venue.answers import Answer, WorkerError
from zkmargin.prover.venue.blocks import (
    ClassBooks,
    ClassWitness,
    assess,
    class_witness,
    holds_books,
    joined,
    least_charges,
    under_claim,
)
from zkmargin.prover.venue.ending import Ending
from zkmargin.prover.venue.messages import ATTEMPTS, Array, Link, LostError, lost_words, pack
from zkmargin.prover.venue.pipes import ProcessLink
from zkmargin.prover.venue.sizes import largest_answer
from zkmargin.verifier.venue.statement import VenueStatement

#: What a worker may be asked before it owns a share.
QUESTIONS = ("examine", "columns")


@dataclass(frozen=True, repr=False)
class Part:
    """The accounts of one class that one worker makes: whole column sets.

    Attributes:
        worker: which one.
        kind: the class.
        first: the first account, within the class.
        template: the class's, as if it had these accounts alone.
        books: theirs.
        marked: bool [accounts] which are exempt.
    """

    worker: int
    kind: int
    first: int
    template: BlockTemplate
    books: ClassBooks
    marked: npt.NDArray[np.bool_]

    def with_marks(self, marks: npt.NDArray[np.bool_]) -> Part:
        """The same with the class's exemptions."""
        return replace(self, marked=marks[self.first : self.first + len(self.books.names)])

    def examined(self) -> list[tuple[int, int]]:
        """Who is under its claim: (place in the part, shortfall). Raises InputError."""
        return under_claim(self.template, assess(self.template, self.books))

    def examined_again(self, places: Sequence[int]) -> list[tuple[int, int]]:
        """``examined`` of some accounts alone, by their places in ascending order."""
        chosen = np.array(places, dtype=np.int64)
        arrays = (getattr(self.books, name)[chosen] for name in ("groups", "instruments", "lots", "balances"))
        spec = self.template.spec.model_copy(update={"accounts": len(places)})
        books = ClassBooks([self.books.names[place] for place in places], *arrays)
        some = replace(self, template=replace(self.template, spec=spec), books=books)
        return [(places[place], short) for place, short in some.examined()]

    def made(self) -> tuple[ClassWitness, int]:
        """The columns, and the sum of shortfalls. Raises InputError."""
        return class_witness(self.template, self.books, self.marked, assess(self.template, self.books))

    def made_as(self, columns: ClassWitness) -> bool:
        """Whether these are the columns. Raises InputError."""
        made, _ = self.made()
        return all(np.array_equal(getattr(made, name), getattr(columns, name)) for name in ("ids", "group", "digits"))

    def least(self, columns: ClassWitness) -> bool:
        """Whether columns that hold the books are the only ones that equations then allow. Raises InputError.

        What a circuit of its own leaves open only its hints say: those columns are made again.
        """
        if self.template.account is None:
            return least_charges(self.template, columns)
        return self.made_as(columns)


def part_of(template: BlockTemplate, books: ClassBooks, kind: int, sets: range, worker: int) -> Part:
    """The accounts of some column sets of a class."""
    first, stop = sets.start * template.T, min(sets.stop * template.T, template.spec.accounts)
    mine = slice(first, stop)
    arrays = (getattr(books, name)[mine] for name in ("groups", "instruments", "lots", "balances"))
    alone = replace(template, spec=template.spec.model_copy(update={"accounts": stop - first}))
    none = np.zeros(stop - first, dtype=np.bool_)
    return Part(worker, kind, first, alone, ClassBooks(books.names[mine], *arrays), none)


# --- the worker -------------------------------------------------------------------------------------------------


def answer_question(statement: VenueStatement, head: dict[str, Any], arrays: list[Array]) -> bytes:
    """A worker's answer to a question. Raises InputError."""
    groups, instruments, lots, balances, marked = arrays
    template = statement.templates[head["kind"]]
    spec = template.spec.model_copy(update={"accounts": len(groups)})
    books = ClassBooks(head["names"], groups, instruments, lots, balances)
    part = Part(0, head["kind"], 0, replace(template, spec=spec), books, marked.astype(np.bool_))
    if head["round"] == "examine":
        return pack({"under": [[place, str(short)] for place, short in part.examined()]})
    made, shortfalls = part.made()
    return pack({"shortfalls": str(shortfalls)}, [made.ids, made.group, made.digits])


# --- the coordinator's end --------------------------------------------------------------------------------------


class Preparing:
    """Workers that make a witness, and then prove it; a context manager.

    Args:
        statement: whose witness.
        opening: the request by which a worker learns the statement.
        count: how many; fewer where there are fewer column sets.
        connect: makes the link to a worker.
    """

    def __init__(self, statement: VenueStatement, opening: bytes, count: int, connect: Callable[[], Link]) -> None:
        self.statement, self._opening, self._connect = statement, opening, connect
        self.count = max(1, min(count, len(statement.sets)))
        self.restarts, self._most = 0, largest_answer(statement)
        self._links: list[Link | None] = [None] * self.count
        self._ended = False
        self._made: list[tuple[Part, ClassWitness]] = []
        self._short: list[int] = []
        self._under: list[tuple[Part, list[tuple[int, int]]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that were not handed on."""
        for link in self._links:
            if link is not None:
                link.close()
        self._links = [None] * self.count

    def _left(self) -> None:
        """On SIGTERM or SIGINT: workers end, and no other ones are made."""
        self._ended = True
        for link in self._links:
            if isinstance(link, ProcessLink):
                link.kill()

    def connect(self) -> Link:
        """The next worker's link, for the proof: one that is there, else a new one."""
        for worker, link in enumerate(self._links):
            if link is not None:
                self._links[worker] = None
                return link
        return self._connect()

    def parts(self, books: Sequence[ClassBooks]) -> list[Part]:
        """What each worker makes: the column sets that a proof in as many shares gives it."""
        found, total = [], len(self.statement.sets)
        for worker in range(self.count):
            mine = self.statement.sets[total * worker // self.count : total * (worker + 1) // self.count]
            for kind, (template, whole) in enumerate(zip(self.statement.templates, books, strict=True)):
                local = [x.local for x in mine if x.kind == kind]
                if local:
                    found.append(part_of(template, whole, kind, range(local[0], local[-1] + 1), worker))
        return found

    def examine(self, books: Sequence[ClassBooks]) -> list[list[tuple[int, int]]]:
        """For each class who is under its claim: (account, shortfall). Whom a worker names is looked at here again.

        Raises:
            InputError: books that do not fit.
            WrongAnswerError: a worker that names an account which is not short of its claim, or by another amount.
        """
        found: list[list[tuple[int, int]]] = [[] for _ in books]
        parts, self._short, self._under = self.parts(books), [], []
        for part, answer in zip(parts, self._ask_all("examine", parts, 0), strict=True):
            under = _under(part, answer)
            if under and part.examined_again([place for place, _ in under]) != under:
                raise answer.wrong("shortfalls that are not those of the accounts")
            found[part.kind] += [(part.first + place, short) for place, short in under]
            self._short.append(sum(short for _, short in under))
            self._under.append((part, under))
        return found

    def columns(
        self, books: Sequence[ClassBooks], marks: Sequence[npt.NDArray[np.bool_]]
    ) -> tuple[list[ClassWitness], int]:
        """The columns of every class, and the sum of all shortfalls. ``examine`` the books first.

        Raises:
            InputError: books that do not fit.
            WrongAnswerError: a worker whose sum is not that of the accounts it named, or whose columns hold other
                books or larger charges: a proof of those would verify.
        """
        parts = [part.with_marks(marks[part.kind]) for part in self.parts(books)]
        answers = self._ask_all("columns", parts, 3)
        self._made = [(part, self._columns(part, answer)) for part, answer in zip(parts, answers, strict=True)]
        for (part, columns), answer in zip(self._made, answers, strict=True):
            if not holds_books(part.template, part.books, part.marked, columns):
                raise answer.wrong("columns that do not hold the books of its accounts")
            if not part.least(columns):
                raise answer.wrong("charges that are not the least of its accounts")
        capped, total = self.statement.terms.cap is not None, 0
        for answer, short in zip(answers, self._short, strict=True):
            stated = answer.number(answer.head.get("shortfalls"))
            if stated != (short if capped else 0):
                raise answer.wrong("a sum of shortfalls that is not that of the accounts it named")
            total += stated
        by_class = ([columns for part, columns in self._made if part.kind == kind] for kind in range(len(books)))
        return [joined(mine) for mine in by_class], total

    def _columns(self, part: Part, answer: Answer) -> ClassWitness:
        """ids, group and digits: kernels look up what stands there, so it is in their tables."""
        template, statement = part.template, self.statement
        shape = template.spec.block, template.T
        dtype = np.uint16 if statement.k <= 16 else np.int32
        return ClassWitness(
            answer.array(0, np.int32, (template.sets, template.row_legs, *shape), statement.rules.instruments),
            answer.array(1, np.int32, (template.sets, *shape), max(statement.rules.group_of) + 1),
            answer.array(2, dtype, (template.sets, template.digit_columns, *shape), 1 << statement.k),
        )

    def blamed(self, error: ProverError) -> ProverError:
        """The error of a proof, with the workers that made wrong columns."""
        wrong = self.wrong_workers()
        return WorkerError(f"{error}; worker {', '.join(wrong)} made wrong columns") if wrong else error

    def wrong_workers(self) -> list[str]:
        """Names of the workers that hid an account under its claim, or whose columns are not those of their accounts:
        each is made here again.
        """
        wrong = [str(part.worker + 1) for part, under in self._under if part.examined() != under]
        wrong += [str(part.worker + 1) for part, columns in self._made if not part.made_as(columns)]
        return sorted(set(wrong), key=int)

    def _ask_all(self, question: str, parts: Sequence[Part], arrays_back: int) -> list[Answer]:
        def of(part: Part) -> Answer:
            books = part.books
            head = {"round": question, "kind": part.kind, "names": list(books.names)}
            arrays: list[Array] = [books.groups, books.instruments, books.lots, books.balances]
            arrays.append(part.marked.astype(np.uint8))
            try:
                return self._ask(part.worker, pack(head, arrays), arrays_back, named=len(books.names))
            except InputError as error:
                # in the words of this place, which name file and account; a worker that invents an error is named
                part.examined()
                part.made()
                raise WorkerError(f"worker {part.worker + 1}: {error.message}") from None

        return self._at_once(of, parts)

    def _at_once(self, of: Callable[[Part], Any], parts: Sequence[Part]) -> list[Any]:
        """Every part's answer; workers answer at the same time, each its own parts in turn."""
        by_worker = [[part for part in parts if part.worker == worker] for worker in range(self.count)]
        with closing(Ending(self._left)), ThreadPoolExecutor(self.count) as pool:
            answered = pool.map(lambda mine: [of(part) for part in mine], by_worker)
            return [one for mine in answered for one in mine]

    def _ask(self, worker: int, request: bytes, arrays: int, named: int = 0) -> Answer:
        why = ""
        for attempt in range(ATTEMPTS):
            try:
                self.restarts += attempt > 0
                link = self._links[worker] or self._opened(worker)
                answer = link.ask(request)
            except LostError as error:
                why = str(error)
                if (lost := self._links[worker]) is not None:
                    lost.close()
                self._links[worker] = None
                if self._ended:
                    break
                continue
            if len(answer) > self._most:
                raise Answer.too_long(str(worker + 1), len(answer), self._most)
            return Answer(str(worker + 1), answer, arrays, named)
        raise WorkerError(lost_words(str(worker + 1), "before the proof", why))

    def _opened(self, worker: int) -> Link:
        link = self._links[worker] = self._connect()
        try:
            Answer(str(worker + 1), link.ask(self._opening), 0)
        except InputError as error:
            raise ZkMarginError(f"worker {worker + 1}: {error.message}") from None
        return link


def _under(part: Part, answer: Answer) -> list[tuple[int, int]]:
    """(place in the part, shortfall) of an answer, in order. Raises WrongAnswerError."""
    under = answer.head.get("under")
    if not isinstance(under, list):
        raise answer.wrong("no list of accounts")
    found = []
    for one in under:
        match one:
            case [int(place), short] if 0 <= place < len(part.books.names):
                found.append((place, answer.number(short)))
            case _:
                raise answer.wrong("accounts that it was not asked about")
    if any(b <= a for (a, _), (b, _) in pairwise(found)):
        raise answer.wrong("accounts twice, or out of order")
    return found
