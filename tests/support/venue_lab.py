"""The bench of the tests of venue proofs: a small market, small classes, honest and dishonest provers."""

import ast
import hashlib
import inspect
import types
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from functools import cache, cached_property

import numpy as np
from py_arkworks_bls12381 import G2Point

from support import lab
from support.typed import Keywords, Passed, Unchecked
from zkmargin.accounts.commitments import CommitmentPart
from zkmargin.accounts.openings import commit_book, total_blinders
from zkmargin.circuits.venue import BlockClass
from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import SRS
from zkmargin.engine.book import BookLots
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover.venue import reference
from zkmargin.prover.venue.blinders import SeededBlinders
from zkmargin.prover.venue.blocks import ClassBooks
from zkmargin.prover.venue.prove import inputs_digest
from zkmargin.prover.venue.reference import Blinders, ReferenceProver
from zkmargin.prover.venue.rounds import Coordinator, share_sets
from zkmargin.prover.venue.shares import Share
from zkmargin.prover.venue.witness import VenueWitness, build_witness, held_totals, net_positions
from zkmargin.prover.venue.workers import VenueWorkers, Worker
from zkmargin.verifier.venue.customers import tag_of
from zkmargin.verifier.venue.proof import VenueProof, encode_venue_proof
from zkmargin.verifier.venue.statement import ColumnSet, VenueStatement
from zkmargin.verifier.venue.terms import DenseAccount, VenueTerms

GROUPS = (0, 0, 1, 1, 0)
RISK = ((3, -7, 2), (-6, 2, 9), (1, 1, -1), (5, -4, 0), (-1, 8, -2))
CHARGES = (2, 0, 1, 3, 0)
MARKS = (0, 4, 0, 2, 1)
ASSETS = ((10_000, 10_100, 12, True), (30_000, 30_000, 12, False))


def blinders(seed: object = "venue") -> Blinders:
    """Blinders by name that repeat themselves."""

    def draw(name: str, count: int) -> list[int]:
        return [int.from_bytes(hashlib.sha512(f"{seed} {name} {i}".encode()).digest(), "big") % r for i in range(count)]

    return draw


def snapshot(*, n: int = 16, groups: Sequence[int] = GROUPS, **changes: Passed) -> Snapshot:
    """Five instruments in two groups, three scenarios, two assets."""
    given: Keywords = {"risk": RISK, "charges": CHARGES, "marks": MARKS, "assets": ASSETS, "bits": 4} | changes
    return lab.snapshot(groups=groups, n=n, **given)


def spec(name: str = "small", **changes: Passed) -> BlockClass:
    """A class of three accounts: two slots of two legs in blocks of four rows."""
    given: Keywords = {
        "accounts": 3,
        "legs": 2,
        "slots": 2,
        "block": 4,
        "position_bits": 6,
        "charge_bits": 12,
        "claim": "1",
    } | changes
    return BlockClass(name=name, **given)


#: A block account: its slots, ((group, ((instrument, lots), ...)), ...), and its balances.
Account = tuple[tuple[tuple[int, tuple[tuple[int, int], ...]], ...], tuple[int, ...]]
#: Columns of a witness, row by row.
Cells = dict[str, list[int]]

#: Accounts of class "small".
SMALL: tuple[Account, ...] = (
    (((0, ((0, 3), (1, -2))), (1, ((2, 5), (3, -1)))), (4000, 10)),
    (((1, ((3, 1), (2, -5))), (0, ((4, 0), (0, -3)))), (3900, 3)),
    (((0, ((1, 2),)),), (4000, 0)),
)


def books(accounts: Sequence[Account], shape: BlockClass, prefix: str = "account") -> ClassBooks:
    """Accounts as arrays for a class."""
    A, K, L, M = len(accounts), shape.slots, shape.legs, len(accounts[0][1])
    groups, ids, lots = (np.zeros(size, dtype=np.int64) for size in ((A, K), (A, K, L), (A, K, L)))
    balances = np.zeros((A, M), dtype=np.int64)
    for a, (slots, held) in enumerate(accounts):
        balances[a] = held
        for k, (group, legs) in enumerate(slots):
            groups[a, k] = group
            ids[a, k, :] = legs[0][0] if legs else 0
            for q, (i, amount) in enumerate(legs):
                ids[a, k, q], lots[a, k, q] = i, amount
        for k in range(len(slots), K):
            groups[a, k], ids[a, k, :] = 0, 0
    return ClassBooks([f"{prefix} {a}" for a in range(A)], groups, ids, lots, balances)


def nonce(name: str) -> bytes:
    """A customer's nonce, of 16 bytes."""
    return hashlib.sha256(name.encode()).digest()[:16]


def tau_power(exponent: int) -> G2Point:
    """[tau^exponent]_2 of ``lab.known_tau``."""
    return G2Point() * scalar(pow(lab.TAU, exponent, r))


class Venue:
    """A statement and what its prover knows."""

    def __init__(
        self,
        classes: Sequence[tuple[BlockClass, Sequence[Account]]] | None = None,
        *,
        n: int = 16,
        dense: Iterable[tuple[Sequence[int], Sequence[int]]] = (),
        net: bool | Sequence[int] = True,
        totals: bool | Sequence[int] = False,
        cap: int | None = None,
        exempt: int | None = None,
        digit_bits: int = 6,
        helper_group: int = 3,
        srs: SRS | None = None,
        context: bytes = b"",
        rules: Keywords | None = None,
        dense_limits: Sequence[str] = (),
        market: Snapshot | None = None,
    ) -> None:
        self.snapshot = market or snapshot(n=n, **(rules or {}))
        self.srs = srs or lab.known_tau()
        specs = [(spec(), SMALL)] if classes is None else classes
        self.books = [books(accounts, shape, shape.name) for shape, accounts in specs]
        self.dense = [BookLots(tuple(p), tuple(c)) for p, c in dense]
        self.openings = [
            commit_book(self.snapshot, book, alias=f"dense {y}", srs=self.srs) for y, book in enumerate(self.dense)
        ]
        commitments = [opening.commitment() for opening in self.openings]

        beside: Keywords = {"limits": dense_limits} if dense_limits else {}  # a field of later terms

        def terms(**more: Passed) -> VenueTerms:
            return VenueTerms(
                venue="a venue",
                requirement="initial",
                domain_size=n,
                digit_bits=digit_bits,
                helper_group=helper_group,
                classes=tuple(shape for shape, _ in specs),
                dense=tuple(DenseAccount(commitment=c.digest().hex(), **beside) for c in commitments),
                cap=None if cap is None else str(cap),
                exempt=exempt,
                **more,
            )

        def state(**more: Passed) -> VenueStatement:
            return VenueStatement.of(
                self.snapshot, terms(**more), commitments=commitments, context=context, srs=self.srs
            )

        draft = state()
        more: Keywords = {}
        if net is True:
            more["net"] = tuple(str(q) for q in net_positions(draft, self.books, self.dense))
        elif net:
            more["net"] = tuple(map(str, net))
        if totals is True:
            more["totals"] = tuple(str(q) for q in held_totals(draft, self.books, self.dense))
        elif totals:
            more["totals"] = tuple(map(str, totals))
        self.statement = state(**more)

    def tags(self) -> list[list[int]]:
        """One an account, from nonces that the names give."""
        digest = self.statement.digest
        return [[tag_of(digest, name, nonce(name)) for name in mine.names] for mine in self.books]

    def witness(self) -> VenueWitness:
        """The honest witness; raises where there is none."""
        dense = [(book, total_blinders([o])) for book, o in zip(self.dense, self.openings, strict=True)]
        return build_witness(self.statement, self.books, self.tags(), dense)

    def reference(
        self, seed: object = "venue", columns: Cells | None = None, kind: type[ReferenceProver] = ReferenceProver
    ) -> ReferenceProver:
        """A reference prover, ready to prove."""
        made = self.witness()
        return kind(self.statement, columns or made.columns(self.statement), made.blinders, blinders(seed))

    def prove(self, **options: Passed) -> bytes:
        """Bytes from the reference prover."""
        return self.encode(self.reference(**options).prove())

    def encode(self, proof: VenueProof) -> bytes:
        """The bytes of a proof."""
        return encode_venue_proof(proof, self.statement.srs.digest)


def one_scenario(n: int) -> Keywords:
    """One group, one scenario, one asset: an account has 9 to 12 cells, and two or three share a column of 32 rows."""
    bits = n.bit_length() - 1
    assets = ((10_000, 10_000, bits, False),)
    risk = ((1,), (-1,), (0,))
    return {"groups": (0, 0, 0), "risk": risk, "charges": None, "marks": (0, 1, 0), "assets": assets, "bits": bits}


#: Books over ``one_scenario``.
SHARING = [([a, 1, -a], [5 + a]) for a in range(4)]


def sharing(count: int = 4, *, n: int = 32, **options: Passed) -> Venue:
    """Dense accounts alone, whose packed cells share columns."""
    given: Keywords = {"rules": one_scenario(n), "srs": lab.known_tau(powers=3 * n + 8)} | options
    return Venue([], n=n, dense=SHARING[:count], **given)


#: Of two shares and their coordinator.
SEEDS = [bytes([0xA0 + i]) * 32 for i in range(3)]


class Local:
    """A link to a worker in this process."""

    def __init__(self) -> None:
        self.worker = Worker()

    def ask(self, request: bytes) -> bytes:
        return self.worker.answer(request)

    def close(self) -> None:
        pass


class SharedVenue(Venue):
    """Two classes, six sets over 64 rows, to be proved in two shares; ``expected`` are the bytes that they give."""

    def __init__(self) -> None:
        big = spec("big", accounts=150, legs=3, slots=1, block=2, claim="5/4")
        accounts: list[Account] = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 150
        classes = [(spec(), SMALL), (big, accounts)]
        super().__init__(classes, n=64, srs=lab.known_tau(powers=200), rules={"bits": 6}, totals=True)
        self.hidden = self.witness()
        self.run = inputs_digest(self.statement, self.hidden)

    @cached_property
    def expected(self) -> bytes:
        """The proof of shares in this process."""
        shares = [
            Share(self.statement, sets, SeededBlinders(seed, self.run))
            for sets, seed in zip(share_sets(self.statement, self.hidden, 2), SEEDS, strict=False)
        ]
        coordinator = Coordinator(self.statement, self.hidden, shares, SeededBlinders(SEEDS[2], self.run))
        return self.encode(coordinator.prove())

    def workers(self, **options: Passed) -> VenueWorkers:
        """Workers with fixed seeds."""
        return VenueWorkers(self.snapshot, self.statement, self.hidden, self.run, 2, seeds=SEEDS, **options)


# --- dishonest provers ----------------------------------------------------------------------------------------


@cache
def unchecked() -> Unchecked:
    """The reference prover with every check removed: no ``raise`` is left in its module."""

    class Remove(ast.NodeTransformer):
        def visit_Raise(self, node: ast.Raise) -> ast.AST:
            return ast.copy_location(ast.Pass(), node)

    tree = Remove().visit(ast.parse(inspect.getsource(reference)))
    module: Unchecked = types.ModuleType(reference.__name__)
    exec(compile(ast.fix_missing_locations(tree), "unchecked_venue", "exec"), module.__dict__)  # noqa: S102 - our own
    return module


def place(venue: Venue, kind: int, a: int) -> tuple[ColumnSet, int]:
    """(set, block) of account a of a class."""
    T = venue.statement.templates[kind].T
    sets = [x for x in venue.statement.sets if x.kind == kind]
    return sets[a // T], a % T


def cells(venue: Venue, kind: int, a: int, name: str) -> list[tuple[str, int]]:
    """(column, row) of each digit of an account's integer, lowest first."""
    template, (x, t) = venue.statement.templates[kind], place(venue, kind, a)
    number = template.integers.index(name)
    start, B = template.integers.starts[number], template.spec.block
    return [
        (f"set {x.index} digit {template.packed_offset + z // B}", t + template.T * (z % B))
        for z in range(start, start + template.integers.bounded[number].digits)
    ]


def value(venue: Venue, columns: Cells, kind: int, a: int, name: str) -> int:
    """An account's integer."""
    k = venue.statement.k
    return sum(columns[c][row] << (k * d) for d, (c, row) in enumerate(cells(venue, kind, a, name)))


def put(venue: Venue, columns: Cells, kind: int, a: int, name: str, x: int) -> None:
    """Write an integer; what does not fit its digits goes into the lowest one, out of range."""
    k, where = venue.statement.k, cells(venue, kind, a, name)
    digits = [(x >> (k * d)) & ((1 << k) - 1) for d in range(len(where))]
    digits[0] += x - sum(y << (k * d) for d, y in enumerate(digits))
    for (c, row), y in zip(where, digits, strict=True):
        columns[c][row] = y % r


def leg(
    venue: Venue,
    columns: Cells,
    kind: int,
    a: int,
    row_b: int,
    l: int,
    i: int,
    p: int,
    m: int,
    c: int | None = None,
) -> None:
    """Write leg l of block row b: instrument, long, short, and the row's group if it is given."""
    template, (x, t) = venue.statement.templates[kind], place(venue, kind, a)
    row, D, k = t + template.T * row_b, template.position_digits, venue.statement.k
    columns[f"set {x.index} id {l}"][row] = i % r
    for side, amount in enumerate((p, m)):
        for d in range(D):
            digit = (amount >> (k * d)) & ((1 << k) - 1)
            columns[f"set {x.index} digit {(2 * l + side) * D + d}"][row] = digit
    if c is not None:
        columns[f"set {x.index} group"][row] = c % r


def solve(rows: Iterable[Iterable[int]], right: Iterable[int]) -> list[int]:
    """One solution of a linear system mod r with more unknowns than equations."""
    extended = [[*row, y] for row, y in zip(rows, right, strict=True)]
    count = len(extended[0]) - 1
    pivots: list[tuple[int, list[int]]] = []
    for row in extended:
        for column, before in pivots:
            factor = row[column]
            row[:] = [(x - factor * y) % r for x, y in zip(row, before, strict=True)]
        pivot = next((c for c in range(count) if row[c]), None)
        if pivot is None:
            assert not row[count], "no solution"
            continue
        scale = pow(row[pivot], -1, r)
        row[:] = [x * scale % r for x in row]
        for _, before in pivots:
            factor = before[pivot]
            before[:] = [(x - factor * y) % r for x, y in zip(before, row, strict=True)]
        pivots.append((pivot, row))
    solution = [0] * count
    for column, row in pivots:
        solution[column] = row[count]
    return solution


def later(statement: VenueStatement, minute: int) -> VenueStatement:
    """The same statement of another snapshot."""
    time = f"2026-01-02T04:{minute:02}:00Z"
    return replace(statement, snapshot=statement.snapshot.model_copy(update={"time": time}))


def with_parts(statement: VenueStatement, *parts: tuple[CommitmentPart, ...]) -> VenueStatement:
    """The same with other parts of its committed accounts than its documents have: what forgers ask about."""
    other = object.__new__(VenueStatement)
    for name in (field.name for field in fields(VenueStatement)):
        object.__setattr__(other, name, getattr(statement, name))
    other.__dict__["parts"] = parts
    return other
