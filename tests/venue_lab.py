"""The bench of the tests of venue proofs: a small market, small classes, honest and dishonest provers."""

import ast
import hashlib
import inspect
import types
from functools import cache
from typing import Any

import numpy as np

from zkmargin.accounts.openings import commit_book, total_blinders
from zkmargin.circuits.venue import BlockClass
from zkmargin.crypto.field import r
from zkmargin.engine.book import BookLots
from zkmargin.prover.venue import reference
from zkmargin.prover.venue.reference import ReferenceProver
from zkmargin.prover.venue.witness import ClassBooks, build_witness, held_totals, net_positions
from zkmargin.verifier.venue.customers import tag_of
from zkmargin.verifier.venue.proof import encode_venue_proof
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import DenseAccount, VenueTerms

GROUPS = (0, 0, 1, 1, 0)
RISK = ((3, -7, 2), (-6, 2, 9), (1, 1, -1), (5, -4, 0), (-1, 8, -2))
CHARGES = (2, 0, 1, 3, 0)
MARKS = (0, 4, 0, 2, 1)
ASSETS = ((10_000, 10_100, 12, True), (30_000, 30_000, 12, False))


def blinders(seed: Any = "venue") -> Any:
    """Blinders by name that repeat themselves."""

    def draw(name: Any, count: Any) -> Any:
        return [int.from_bytes(hashlib.sha512(f"{seed} {name} {i}".encode()).digest(), "big") % r for i in range(count)]

    return draw


def snapshot(lab: Any, *, n: Any = 16, groups: Any = GROUPS, **changes: Any) -> Any:
    """Five instruments in two groups, three scenarios, two assets."""
    given = {"risk": RISK, "charges": CHARGES, "marks": MARKS, "assets": ASSETS, "bits": 4} | changes
    return lab.snapshot(groups=groups, n=n, **given)


def spec(name: Any = "small", **changes: Any) -> Any:
    """A class of three accounts: two slots of two legs in blocks of four rows."""
    given: dict[str, Any] = {
        "accounts": 3,
        "legs": 2,
        "slots": 2,
        "block": 4,
        "position_bits": 6,
        "charge_bits": 12,
        "claim": "1",
    } | changes
    return BlockClass(name=name, **given)


#: Accounts of class "small": ((group, ((instrument, lots), ...)), ...), (balances ...)
SMALL = (
    (((0, ((0, 3), (1, -2))), (1, ((2, 5), (3, -1)))), (4000, 10)),
    (((1, ((3, 1), (2, -5))), (0, ((4, 0), (0, -3)))), (3900, 3)),
    (((0, ((1, 2),)),), (4000, 0)),
)


def books(accounts: Any, shape: Any, prefix: Any = "account") -> Any:
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


def nonce(name: Any) -> Any:
    """A customer's nonce, of 16 bytes."""
    return hashlib.sha256(name.encode()).digest()[:16]


class Venue:
    """A statement and what its prover knows."""

    def __init__(
        self,
        lab: Any,
        classes: Any = None,
        *,
        n: Any = 16,
        dense: Any = (),
        net: Any = True,
        totals: Any = False,
        cap: Any = None,
        exempt: Any = None,
        digit_bits: Any = 6,
        helper_group: Any = 3,
        srs: Any = None,
        context: Any = b"",
        rules: Any = None,
        dense_limits: Any = (),
    ) -> None:
        self.snapshot = snapshot(lab, n=n, **(rules or {}))
        self.srs = srs or lab.known_tau()
        specs = [(spec(), SMALL)] if classes is None else classes
        self.books = [books(accounts, shape, shape.name) for shape, accounts in specs]
        self.dense = [BookLots(tuple(p), tuple(c)) for p, c in dense]
        self.openings = [
            commit_book(self.snapshot, book, alias=f"dense {y}", srs=self.srs) for y, book in enumerate(self.dense)
        ]
        commitments = [opening.commitment() for opening in self.openings]

        beside = {"limits": dense_limits} if dense_limits else {}  # a field of later terms

        def terms(**more: Any) -> Any:
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

        def state(**more: Any) -> Any:
            return VenueStatement.of(
                self.snapshot, terms(**more), commitments=commitments, context=context, srs=self.srs
            )

        draft = state()
        more = {}
        if net is True:
            more["net"] = tuple(str(q) for q in net_positions(draft, self.books, self.dense))
        elif net:
            more["net"] = tuple(map(str, net))
        if totals is True:
            more["totals"] = tuple(str(q) for q in held_totals(draft, self.books, self.dense))
        elif totals:
            more["totals"] = tuple(map(str, totals))
        self.statement = state(**more)

    def tags(self) -> Any:
        """One an account, from nonces that the names give."""
        digest = self.statement.digest
        return [[tag_of(digest, name, nonce(name)) for name in mine.names] for mine in self.books]

    def witness(self) -> Any:
        """The honest witness; raises where there is none."""
        dense = [(book, total_blinders([o])) for book, o in zip(self.dense, self.openings, strict=True)]
        return build_witness(self.statement, self.books, self.tags(), dense)

    def reference(self, seed: Any = "venue", columns: Any = None, kind: Any = ReferenceProver) -> Any:
        """A reference prover, ready to prove."""
        made = self.witness()
        return kind(self.statement, columns or made.columns(self.statement), made.blinders, blinders(seed))

    def prove(self, **options: Any) -> Any:
        """Bytes from the reference prover."""
        return self.encode(self.reference(**options).prove())

    def encode(self, proof: Any) -> Any:
        """The bytes of a proof."""
        return encode_venue_proof(proof, self.statement.srs.digest)


# --- dishonest provers ----------------------------------------------------------------------------------------


@cache
def unchecked() -> Any:
    """The reference prover with every check removed: no ``raise`` is left in its module."""

    class Remove(ast.NodeTransformer):
        def visit_Raise(self, node: Any) -> Any:
            return ast.copy_location(ast.Pass(), node)

    tree = Remove().visit(ast.parse(inspect.getsource(reference)))
    module: Any = types.ModuleType(reference.__name__)
    exec(compile(ast.fix_missing_locations(tree), "unchecked_venue", "exec"), module.__dict__)  # noqa: S102 - our own
    return module


def place(venue: Any, kind: Any, a: Any) -> Any:
    """(set, block) of account a of a class."""
    T = venue.statement.templates[kind].T
    sets = [x for x in venue.statement.sets if x.kind == kind]
    return sets[a // T], a % T


def cells(venue: Any, kind: Any, a: Any, name: Any) -> Any:
    """(column, row) of each digit of an account's integer, lowest first."""
    template, (x, t) = venue.statement.templates[kind], place(venue, kind, a)
    number = template.integers.index(name)
    start, B = template.integers.starts[number], template.spec.block
    return [
        (f"set {x.index} digit {template.packed_offset + z // B}", t + template.T * (z % B))
        for z in range(start, start + template.integers.bounded[number].digits)
    ]


def value(venue: Any, columns: Any, kind: Any, a: Any, name: Any) -> Any:
    """An account's integer."""
    k = venue.statement.k
    return sum(columns[c][row] << (k * d) for d, (c, row) in enumerate(cells(venue, kind, a, name)))


def put(venue: Any, columns: Any, kind: Any, a: Any, name: Any, x: Any) -> None:
    """Write an integer; what does not fit its digits goes into the lowest one, out of range."""
    k, where = venue.statement.k, cells(venue, kind, a, name)
    digits = [(x >> (k * d)) & ((1 << k) - 1) for d in range(len(where))]
    digits[0] += x - sum(y << (k * d) for d, y in enumerate(digits))
    for (c, row), y in zip(where, digits, strict=True):
        columns[c][row] = y % r


def leg(venue: Any, columns: Any, kind: Any, a: Any, row_b: Any, l: Any, i: Any, p: Any, m: Any, c: Any = None) -> None:
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


def solve(rows: Any, right: Any) -> Any:
    """One solution of a linear system mod r with more unknowns than equations."""
    rows = [[*row, y] for row, y in zip(rows, right, strict=True)]
    count = len(rows[0]) - 1
    pivots: list[tuple[int, list[int]]] = []
    for row in rows:
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
