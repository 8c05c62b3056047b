"""Small markets under policies that join risk groups: what venue proofs write as the circuit of a whole account."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from support import lab
from support.typed import Passed
from zkmargin.engine.components.base import PublishedPart
from zkmargin.engine.components.calendar_charge import PublishedCalendarCharge
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails
from zkmargin.engine.components.delta_norm import PublishedDeltaNorm
from zkmargin.engine.components.gain_offset import Family, OffsetClass, PublishedGainOffset
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.inter_commodity_credit import PublishedInterCommodityCredit
from zkmargin.engine.components.pools import Line, Mode, Pool
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.spreads import PublishedLeg, PublishedSpread

GROUPS = (0, 0, 1)
MARKS = (20, 0, 30)
#: One asset, which may be owed.
ASSETS = ((10_000, 10_100, 12, True),)
RISK = ((3, -7), (-6, 2), (1, 4))
TAILS = ((20,), (-9,), (15,))


def offset(
    risk: Sequence[Sequence[int]],
    kind: type[PublishedGainOffset] = PublishedGainOffset,
    cap: int | None = 9,
    **more: Passed,
) -> PublishedGainOffset:
    """Both groups in one product group, gains in part, those of the second one up to a cap."""
    classes = (OffsetClass(group=0, offset_bp=6000), OffsetClass(group=1, offset_bp=0, cap=cap))
    labels = tuple(f"move {s}" for s in range(len(risk[0])))
    families = (Family(name="both", classes=classes, scenarios=labels),)
    return kind(families=families, risk=lab.array(risk, (len(risk), len(risk[0]))), **more)


def gross(mode: Mode, groups: Sequence[int | str] = (0, 1)) -> PublishedGrossCharge:
    """A rate on the size of each group's positions."""
    pools = tuple(Pool(name=f"U{g}", group=group, lines=(Line(slope=1, start=0),)) for g, group in enumerate(groups))
    long, short = lab.array((3, 2, 5)), lab.array((4, 2, 5))
    return PublishedGrossCharge(mode=mode, scale=3, pools=pools, pool=lab.array(GROUPS), long=long, short=short)


def credit() -> PublishedInterCommodityCredit:
    """Two deltas of the first group against three of the second."""
    legs = (PublishedLeg(accounts=(0,), ratio=2, side="A"), PublishedLeg(accounts=(1,), ratio=3, side="B"))
    return PublishedInterCommodityCredit(
        deltas=lab.array((2, 1, 3)),
        spreads=(PublishedSpread(label="U0 against U1", legs=legs),),
        credits=((10**15, 2 * 10**15),),
    )


def calendar() -> PublishedCalendarCharge:
    """Near against far inside the first group."""
    legs = (PublishedLeg(accounts=(0,), ratio=1, side="A"), PublishedLeg(accounts=(1,), ratio=1, side="B"))
    return PublishedCalendarCharge(
        method="exact",
        deltas=lab.array((2, 1, 0)),
        account_of=lab.array((0, 1, -1)),
        accounts=("near", "far"),
        account_groups=(0, 0),
        spreads=(PublishedSpread(label="near against far", legs=legs),),
        charges=(3 * 10**9,),
        delivery=(0, 0),
    )


def components(policy: str) -> tuple[PublishedPart, ...]:
    """The components of a policy, by the exchange whose rules have them."""
    worst = PublishedWorstScenario(scenarios=(("down", "up"),) * 2, risk=lab.array(RISK, (3, 2)))
    minimum = PublishedShortOptionMinimum(mode="floor", charge=lab.array((1, 0, 2)))
    if policy == "deribit-pm":
        tails = offset(TAILS, PublishedDampenedTails, None, dampeners=(11,))
        return offset(RISK), tails, gross("added")
    if policy == "tims":
        return offset(RISK, cap=None), gross("floor", ("both", "both"))
    if policy == "span":
        return worst, credit(), minimum
    if policy == "span with calendars":
        return worst, calendar(), credit(), minimum
    sigma = lab.array((4, 1, 1, 4), (2, 2))
    return (PublishedDeltaNorm(group="all", delta=lab.array((1, 1, 1)), sigma=sigma),)


POLICIES = ("deribit-pm", "tims", "span", "span with calendars")


@cache
def snapshot(policy: str, *, n: int = 16, bits: int = 4) -> Snapshot:
    """Three instruments in two groups, one asset, under a policy."""
    plain = lab.snapshot(groups=GROUPS, risk=RISK, charges=None, marks=MARKS, assets=ASSETS, n=n, bits=bits)
    haircuts = next(part for part in plain.components if isinstance(part, PublishedHaircuts))
    return plain.replaced(components=(*components(policy), haircuts))


#: Three accounts: ((slots ...), balances); one slot has all legs.
BOOKS = (
    (((0, ((0, 5), (2, -4))),), (150,)),
    (((0, ((1, -20), (0, 9), (2, 11))),), (-3,)),
    (((0, ((1, -6), (0, 9), (2, 2))),), (90,)),
)
DENSE = ((2, -3, 1), (100,))
