"""Cases of the chain protocol, shared by its tests: small snapshots in 1024 rows, their tables, honest proofs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import zkmargin.prover.chain
import zkmargin.prover.chain_joint
from support.lab import array, draws, part, snapshot
from support.typed import Passed
from zkmargin.accounts.commitments import Commitment, commit_vector
from zkmargin.accounts.slots import slot_map_digest
from zkmargin.circuits.books import margin_witness
from zkmargin.circuits.chain import ChainPrices
from zkmargin.circuits.language.witness import Witness
from zkmargin.crypto.field import r
from zkmargin.crypto.scalars import lagrange_at
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.pools import Line, Mode, Pool
from zkmargin.engine.margin import margin_report
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError
from zkmargin.prover import _kernels as K
from zkmargin.prover.chain_rounds import POWERS, ChainCommitter
from zkmargin.prover.chain_tables import commit_rows_fast
from zkmargin.prover.commit import Job
from zkmargin.verifier.chain import ChainProof, ChainStatement, Table, make_table
from zkmargin.verifier.chain.closed_forms import DOMAIN
from zkmargin.verifier.chain.joint import JointStatement
from zkmargin.verifier.chain.joint_proof import JointProof

SERIES = bytes(range(32))


def chain_snapshot(
    *, groups: int = 2, scenarios: int = 6, count: int = 7, debts: tuple[bool, bool] = (True, False), **options: Passed
) -> Snapshot:
    """``count`` instruments over some groups, ``scenarios`` each; as many assets as ``debts``."""
    of = sorted(i % groups for i in range(count))
    risk = [[((5 * i + 3 * s + i * s) % 23) - 9 or 1 for s in range(scenarios)] for i in range(count)]
    made: Snapshot = snapshot(
        groups=of,
        risk=risk,
        charges=options.pop("charges", [(3 * i) % 5 for i in range(count)]),
        marks=options.pop("marks", [i % 4 for i in range(count)]),
        assets=[(9 - j, 10 + j, 50, debt) for j, debt in enumerate(debts)],
        n=1024,
        bits=30,
        **options,
    )
    return made


def by_size(given: Snapshot, mode: Mode, *, rate: int = 37, group: str | None = None) -> Snapshot:
    """The snapshot with a charge by size: some basis points of a size that differs from slot to slot and by side.

    ``group`` is the product group where all floors compete.
    """
    count, names = len(given.instruments), given.groups
    sizes = [[(11 * i + 5 * side) % 29 + 1 for i in range(count)] for side in (0, 1)]
    charge = PublishedGrossCharge(
        mode=mode,
        scale=10_000,
        pools=tuple(Pool(name=name, group=group or g, lines=(Line(slope=rate + g),)) for g, name in enumerate(names)),
        pool=array(given.group_of, (count,)),
        long=array(sizes[0], (count,)),
        short=array(sizes[1], (count,)),
    )
    changed: Snapshot = given.model_copy(update={"components": (*given.components, charge)})
    return changed


#: Groups, scenarios of each and charges by size of the wide layouts that the tests go through.
WIDE: dict[str, tuple[int, int, tuple[Mode, ...]]] = {
    "a floor": (1, 9, ("floor",)),
    "two floors and an addition": (2, 9, ("floor", "added")),
    "flat": (1, 9, ("flat",)),
    "all of them": (2, 59, ("floor", "added", "flat")),
    "three groups": (3, 30, ()),
    "eight groups and all of them": (8, 5, ("floor", "added", "flat")),
}


@cache
def wide_snapshot(name: str) -> Snapshot:
    """A snapshot of a wide layout: two instruments a group and one more."""
    groups, scenarios, modes = WIDE[name]
    count = 2 * groups + 1
    # minimums of the second and third of three groups are above their losses, and so are all floors
    charges = [0, 0, 0, *[40] * 4] if groups == 3 else [(3 * i) % 5 for i in range(count)]
    given = chain_snapshot(groups=groups, count=count, scenarios=scenarios, charges=charges)
    for mode in modes:
        given = by_size(given, mode, rate=70_001 if mode == "floor" else 37)
    return given


WIDE_BOOK = (300, -200, 7, 500, -1, 2, -400, 90, -33, 0, 61, -5, 18, 2, -9, 40, 3)


@cache
def wide(name: str, seed: str = "chain book") -> ChainCase:
    """An account over a wide layout."""
    given = wide_snapshot(name)
    book = WIDE_BOOK[: len(given.instruments)]
    return chain_case(given, book, [funds(given, book), 30], claim=Claim(5, 4, "initial"), seed=seed)


def funds(given: Snapshot, book: Sequence[int], claim: Claim | None = None) -> int:
    """The least of the first asset with which a book meets a claim, 3:2 without one, as the engine says."""
    return least_funds(given, book, (30, *[0] * (len(given.collateral) - 2)), claim or Claim(3, 2, "initial"))


def least_funds(given: Snapshot, book: Sequence[int], others: Sequence[int], claim: Claim) -> int:
    """The same beside ``others`` of the further assets."""
    (haircuts,) = (part for part in given.components if isinstance(part, PublishedHaircuts))
    slack = margin_report(given, BookLots(tuple(book), (0, *others))).slack(claim)
    least = max(0, -(slack // (claim.den * int(haircuts.long_value.values[0]))))
    margin_witness(given, claim, BookLots(tuple(book), (least, *others)))
    if least:
        with suppress(ConstraintError):
            margin_witness(given, claim, BookLots(tuple(book), (least - 1, *others)))
            raise AssertionError("a unit less is enough for the engine")
    return least


@cache
def wide_joint(name: str) -> JointCase:
    """Two accounts over a wide layout, the second one with every side turned."""
    given, first = wide_snapshot(name), wide(name)
    turned = [-x for x in first.lots.positions]
    table, claim = first.statement.table, first.statement.statement.claim
    return joint_case(
        [first, chain_case(given, turned, [funds(given, turned), 30], claim=claim, table=table, seed="second")]
    )


@dataclass(frozen=True)
class ChainCase:
    """A statement and what its prover knows."""

    snapshot: Snapshot
    statement: ChainStatement
    witness: Witness
    blinders: dict[str, int]
    lots: BookLots


@dataclass(frozen=True)
class JointCase:
    """Accounts of one snapshot and what their prover knows."""

    statement: JointStatement
    cases: tuple[ChainCase, ...]


def joint_case(cases: Iterable[ChainCase]) -> JointCase:
    """Cases of one table, claim and context, together."""
    return JointCase(JointStatement(tuple(case.statement for case in cases)), tuple(cases))


def chain_case(
    given: Snapshot,
    positions: Sequence[int],
    collateral: list[int],
    *,
    claim: Claim | None = None,
    context: bytes = b"",
    table: Table | None = None,
    seed: str = "chain book",
) -> ChainCase:
    """The honest case of a book."""
    claim, srs = claim or Claim(1, 1, "initial"), embedded()
    draw = draws(seed)
    blinders = {f"{role}[0]": draw() for role in ("positions", "collateral")}
    lots = BookLots(tuple(positions), tuple(collateral))
    parts = []
    for role in ("positions", "collateral"):
        points = commit_vector(srs, 1024, getattr(lots, role), [blinders[f"{role}[0]"]])
        made = part(role, points, bits=50)
        parts.append(made.model_copy(update={"slot_map": slot_map_digest(given, role).hex()}))
    document = Commitment(srs=srs.digest.hex(), domain_size=1024, parts=tuple(parts))
    table = table or table_of(given, claim.requirement)
    statement = ChainStatement.of(given, [document], claim, table, context=context)
    return ChainCase(given, statement, margin_witness(given, claim, lots), blinders, lots)


def table_of(given: Snapshot, requirement: str = "initial", *, sequence: int = 7) -> Table:
    """The table of a snapshot, from the fast prover's commitments."""
    return make_table(
        ChainPrices.of(given, requirement),
        srs=embedded(),
        snapshot_digest=given.digest(),
        requirement=requirement,
        series=SERIES,
        sequence=sequence,
        commit=commit_rows_fast,
    )


@cache
def standard(groups: int = 2) -> ChainCase:
    """The usual small case: two groups of six scenarios, two assets of which one may be owed."""
    given = chain_snapshot(groups=groups)
    return chain_case(given, [3, -2, 0, 5, -1, 2, -4], [900_000, 30], claim=Claim(5, 4, "initial"))


@cache
def joint_standard(accounts: int = 4, groups: int = 2) -> JointCase:
    """Small accounts over the usual snapshot, each another book."""
    given = chain_snapshot(groups=groups)
    table = table_of(given)
    books = ([3, -2, 0, 5, -1, 2, -4], [0] * 7, [-7, 1, 1, 0, 0, 0, 9], [2**20, 0, 0, -3, 0, 0, 1])
    cases = []
    for i in range(accounts):
        positions = [x + (i // len(books)) for x in books[i % len(books)]]
        funds = [2**40 + i, 30 + i]
        cases.append(
            chain_case(given, positions, funds, claim=Claim(5, 4, "initial"), table=table, seed=f"chain book {i}")
        )
    return joint_case(cases)


def prove_joint(case: JointCase, seed: object = "joint proof", **options: Passed) -> JointProof:
    """An honest proof by the product's prover."""
    return zkmargin.prover.chain_joint.prove_joint_argument(
        case.statement,
        [one.witness for one in case.cases],
        [one.blinders for one in case.cases],
        draws(seed),
        **options,
    )


def prove(case: ChainCase, seed: str = "chain proof", **options: Passed) -> ChainProof:
    """An honest proof by the product's prover."""
    return zkmargin.prover.chain.prove_chain_argument(
        case.statement, case.witness, case.blinders, draws(seed), **options
    )


TAU = 0x1F2E3D4C5B6A798897A6B5C4D3E2F10112233445566778899AABBCCDDEEFF00 % r


class KnownTau:
    """Commits in the open: a point is the value at tau, in the last 32 of its 96 bytes."""

    def __init__(self) -> None:
        self.powers = [1]
        for _ in range(POWERS - 1):
            self.powers.append(self.powers[-1] * TAU % r)
        basis = [int(x) for x in lagrange_at(DOMAIN, pow(TAU, 3, r))]
        self.bases = [*self.powers, *(pow(TAU, a, r) * x % r for a in range(3) for x in basis)]

    packed = ChainCommitter.packed

    def commit(self, jobs: Sequence[Job], threads: int) -> list[bytes]:  # noqa: ARG002
        points = []
        for job in jobs:
            value = 0
            for first, scalars in job:
                plain = K.to_ints(scalars) if isinstance(scalars, K.FieldVector) else [int(x) for x in scalars]
                value += sum(x * base for x, base in zip(plain, self.bases[first:], strict=False) if x)
            points.append(b"\1" * 64 + (value % r).to_bytes(32, "big"))
        return points


def rank(columns: list[list[int]]) -> int:
    rows, found = [list(column) for column in columns], 0
    for place in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(found, len(rows)) if rows[i][place]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        scale = pow(rows[found][place], -1, r)
        for i in range(found + 1, len(rows)):
            factor = rows[i][place] * scale % r
            rows[i] = [(x - factor * y) % r for x, y in zip(rows[i], rows[found], strict=True)]
        found += 1
    return found
