"""Cases of chain layouts with gain offsets and dampened tails: product groups of one to four classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from support.chain_lab import WIDE_BOOK, ChainCase, JointCase, by_size, chain_case, chain_snapshot, funds, joint_case
from support.lab import array
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails
from zkmargin.engine.components.gain_offset import Family, OffsetClass, PublishedGainOffset
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.pools import Mode
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.snapshot import Snapshot

#: Offset in basis points and cap of each class.
Terms = tuple[tuple[int, int | None], ...]


@dataclass(frozen=True)
class Shape:
    """Product groups by the terms of their classes, scenarios of each, charges by size."""

    families: tuple[Terms, ...]
    scenarios: int
    modes: tuple[Mode, ...] = ()
    #: How many tails each product group has, and its dampener in money units.
    tails: tuple[tuple[int, int], ...] = ()


OFFSETS = {
    "two classes": Shape((((5_000, None), (5_000, None)),), 9),
    "offsets of their own and caps": Shape((((0, None), (6_000, 120)),), 7),
    "a class alone": Shape((((5_000, None),), ((3_333, 60), (10_000, None))), 6, ("added",)),
    "over both columns": Shape((((9_000, None), (9_000, None), (9_000, None)),), 9, ("floor", "added", "flat")),
    "three product groups": Shape(
        (((9_000, None), (2_500, None)), ((5_000, 0), (1, 90)), ((0, None),)), 6, ("floor", "flat")
    ),
    # the worst tail of the case's book loses 7,568
    "tails within": Shape((((5_000, None),),), 9, tails=((8, 7_568),)),
    "tails beyond": Shape((((5_000, None),),), 9, tails=((8, 7_567),)),
    "tails of two classes": Shape((((0, None), (6_000, 120)),), 7, ("added", "flat"), tails=((3, 7_000),)),
    "tails of three product groups": Shape(
        (((9_000, None), (2_500, None)), ((5_000, 0),), ((0, None),)),
        6,
        ("added",),
        tails=((2, 4_000), (3, 0), (6, 100)),
    ),
    "tails and floors": Shape((((5_000, None),), ((0, None),)), 5, ("floor",), tails=((2, 0), (2, 10))),
}
#: Of these every second group holds tails.
TAILS = tuple(name for name, shape in OFFSETS.items() if shape.tails)


@cache
def offset_snapshot(name: str) -> Snapshot:
    """A snapshot of a shape: two instruments a class and one more."""
    shape = OFFSETS[name]
    classes = [terms for family in shape.families for terms in family]
    count = 2 * len(classes) + 1
    given = chain_snapshot(groups=len(classes), count=count, scenarios=shape.scenarios)
    numbers = iter(range(len(classes)))
    families = []
    for f, terms in enumerate(shape.families):
        made = tuple(OffsetClass(group=next(numbers), offset_bp=offset, cap=cap) for offset, cap in terms)
        labels = tuple(f"scenario {s}" for s in range(shape.scenarios))
        families.append(Family(name=f"F{f}", classes=made, scenarios=labels))
    given = _offsetting(given, families)
    if shape.tails:
        given = _with_tails(given, families, shape.tails)
    for mode in shape.modes:
        given = by_size(given, mode, rate=70_001 if mode == "floor" else 37)
        if mode == "floor":
            given = _in_families(given, families)
    return given


def in_one_product_group(given: Snapshot, terms: Terms) -> Snapshot:
    """A snapshot of worst scenarios with its risk groups as the classes of one product group, F0."""
    worst = given.components[0]
    assert isinstance(worst, PublishedWorstScenario)
    classes = tuple(OffsetClass(group=g, offset_bp=offset, cap=cap) for g, (offset, cap) in enumerate(terms))
    return _offsetting(given, [Family(name="F0", classes=classes, scenarios=worst.scenarios[0])])


def _offsetting(given: Snapshot, families: list[Family]) -> Snapshot:
    """Gain offsets in the place of worst scenarios, and no short option minimum."""
    worst, *others = given.components
    assert isinstance(worst, PublishedWorstScenario)
    offset = PublishedGainOffset(families=tuple(families), risk=worst.risk)
    haircuts = [part for part in others if isinstance(part, PublishedHaircuts)]
    changed: Snapshot = given.model_copy(update={"components": (offset, *haircuts)})
    return changed


def _with_tails(given: Snapshot, families: list[Family], tails: tuple[tuple[int, int], ...]) -> Snapshot:
    """The snapshot with tails of its own for each product group, larger than its scenarios."""
    of_family = zip(families, tails, strict=True)
    numbers = {part.group: number for family, (number, _) in of_family for part in family.classes}
    risk = [
        [(((7 * i + 5 * s + i * s) % 31) - 13 or 1) * 2 if s < numbers[g] else 0 for s in range(max(numbers.values()))]
        for i, g in enumerate(given.group_of)
    ]
    return with_tails(given, families, risk, tails)


def with_tails(
    given: Snapshot, families: Sequence[Family], risk: Sequence[Sequence[int]], tails: Sequence[tuple[int, int]]
) -> Snapshot:
    """The snapshot with dampened tails after its first component: of each product group how many, and its dampener."""
    made = PublishedDampenedTails(
        families=tuple(
            family.model_copy(update={"scenarios": tuple(f"tail {s}" for s in range(number))})
            for family, (number, _) in zip(families, tails, strict=True)
        ),
        risk=array([x for row in risk for x in row], (len(risk), len(risk[0]))),
        dampeners=tuple(dampener for _, dampener in tails),
    )
    changed: Snapshot = given.model_copy(update={"components": (given.components[0], made, *given.components[1:])})
    return changed


def _in_families(given: Snapshot, families: list[Family]) -> Snapshot:
    """The last component's floors compete where the gain offsets do."""
    key = {part.group: family.key for family in families for part in family.classes}
    *others, last = given.components
    assert isinstance(last, PublishedGrossCharge)
    pools = tuple(pool.model_copy(update={"group": key[pool.group]}) for pool in last.pools if pool.group in key)
    changed: Snapshot = given.model_copy(update={"components": (*others, last.model_copy(update={"pools": pools}))})
    return changed


@cache
def offset(name: str, seed: str = "chain book") -> ChainCase:
    """An account over a layout with gain offsets, its funds the least that the engine asks for."""
    given = offset_snapshot(name)
    # a book whose binding line has a cap, where there is one
    book = (300, 200, 7, 500, -1) if len(given.instruments) == 5 else WIDE_BOOK[: len(given.instruments)]
    claim = Claim(5, 4, "initial")
    return chain_case(given, book, [funds(given, book, claim), 30], claim=claim, seed=seed)


@cache
def offset_joint(name: str) -> JointCase:
    """Two accounts, the second one with every side turned."""
    given, first = offset_snapshot(name), offset(name)
    turned = [-x for x in first.lots.positions]
    table, claim = first.statement.table, first.statement.statement.claim
    other = chain_case(given, turned, [funds(given, turned, claim), 30], claim=claim, table=table, seed="second")
    return joint_case([first, other])
