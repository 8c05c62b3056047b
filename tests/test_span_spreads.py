"""Calendar charges and inter-commodity credits: by hand, against an oracle, circuit = engine."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import lab
from support.edge import on_the_edge
from support.typed import Passed

from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.language.witness import assign, check
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.base import Leg
from zkmargin.engine.components.calendar_charge import CalendarCharge, Method, PublishedCalendarCharge
from zkmargin.engine.components.inter_commodity_credit import PublishedInterCommodityCredit
from zkmargin.engine.components.short_option_minimum import Mode
from zkmargin.engine.margin import margin_report, requirement_total
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.spread_rules import CalendarRules, CreditSpread, Tier, whole_ratios
from zkmargin.engine.spreads import PublishedLeg, PublishedSpread, check_spreads, form_spreads, smallest_count
from zkmargin.formats import ConstraintError, InputError, IntArray

UNIT = (1, 1, 60, True)
ONE = 10**9


def ints(*values: Passed) -> IntArray:
    return IntArray(np.array(values, dtype=np.int64))


def spread(*legs: Passed, label: str = "spread") -> PublishedSpread:
    """Legs of (accounts, side) or (accounts, side, ratio)."""
    return PublishedSpread(
        label=label, legs=tuple(PublishedLeg(accounts=leg[0], side=leg[1], ratio=(*leg, 1)[2]) for leg in legs)
    )


def calendar(
    deltas: list[int],
    account_of: list[int],
    groups: list[int],
    spreads: list[PublishedSpread],
    charges: list[int],
    *,
    delivery: list[int] | None = None,
    method: Method = "exact",
) -> PublishedCalendarCharge:
    return PublishedCalendarCharge(
        method=method,
        deltas=ints(*deltas),
        account_of=ints(*account_of),
        accounts=tuple(f"account {i}" for i in range(len(groups))),
        account_groups=tuple(groups),
        spreads=tuple(spreads),
        charges=tuple(charges),
        delivery=tuple(delivery or [0] * len(groups)),
    )


def legs_of(groups: list[int], lots: list[int]) -> list[Leg]:
    return [Leg(slot, group, q) for slot, (group, q) in enumerate(zip(groups, lots, strict=True)) if q]


def with_parts(
    *parts: Passed,
    groups: list[int],
    risk: list[list[int]] | None = None,
    charges: list[int] | None = None,
    marks: None = None,
    mode: Mode = "floor",
) -> Snapshot:
    n = len(groups)
    snapshot = lab.snapshot(
        groups=groups,
        risk=risk or [[0, 0]] * n,
        charges=charges,
        marks=marks or [0] * n,
        assets=[UNIT],
        mode=mode,
    )
    return snapshot.model_copy(update={"components": (*snapshot.components, *parts)})


# --- calendar charge: by hand ---------------------------------------------------------------------------------


def test_a_flat_rate_for_every_pair_of_expiries() -> None:
    # NSE: +3 in one expiry, -5 in another: three spreads at 425 rupees a unit
    tier = (0, 1)
    part = calendar([ONE, ONE], [0, 1], [0, 0], [spread((tier, "A"), (tier, "B"))], [425 * ONE])
    charge = part.assess(legs_of([0, 0], [3, -5]))
    assert charge.offsets == {0: 3 * 425 * ONE * ONE}
    assert charge.scale == ONE
    assert part.assess(legs_of([0, 0], [3, 5])).offsets == {}


def test_series_spreads_come_before_those_of_their_tier() -> None:
    # CME gold: 300 for Sep/Oct, then 1000 from tier 1 (Sep, Oct) to tier 2 (Jun)
    part = calendar(
        [ONE, ONE, ONE],
        [0, 1, 2],
        [0, 0, 0],
        [spread(((0,), "A"), ((1,), "B")), spread(((0, 1), "A"), ((2,), "B"))],
        [300, 1000],
    )
    # 2 of Sep/Oct, then the 3 left in Sep against 4 of Jun
    assert part.assess(legs_of([0, 0, 0], [5, -2, -4])).offsets == {0: (2 * 300 + 3 * 1000) * ONE}
    # without the order, all five could go to the cheaper or the dearer one
    assert part.assess(legs_of([0, 0, 0], [-5, 0, 9])).offsets == {0: 5 * 1000 * ONE}


def test_the_convex_bound_is_half_the_gross_and_exact_where_deltas_balance() -> None:
    tier = (0, 1)
    pair = [spread((tier, "A"), (tier, "B"))]
    exact = calendar([ONE, ONE], [0, 1], [0, 0], pair, [400])
    # a charge per delta of both legs together is half of it
    bound = calendar([ONE, ONE], [0, 1], [0, 0], pair, [200], method="convex_bound")
    for lots in ([3, -3], [5, -2], [4, 4]):
        legs = legs_of([0, 0], lots)
        assert bound.assess(legs).offsets.get(0, 0) >= exact.assess(legs).offsets.get(0, 0)
    assert bound.assess(legs_of([0, 0], [3, -3])).offsets == exact.assess(legs_of([0, 0], [3, -3])).offsets


def test_delivery_charges_count_every_delta() -> None:
    part = calendar([ONE, ONE], [0, 1], [0, 0], [], [], delivery=[25, 0])
    assert part.assess(legs_of([0, 0], [-4, 4])).offsets == {0: 4 * 25 * ONE}


def test_what_has_no_account_is_in_no_spread() -> None:
    tier = (0, 1)
    part = calendar([ONE, ONE, ONE], [0, 1, -1], [0, 0], [spread((tier, "A"), (tier, "B"))], [7])
    assert part.assess(legs_of([0, 0, 0], [1, 0, -9])).offsets == {}


# --- inter-commodity credit: by hand --------------------------------------------------------------------------


def credit(
    deltas: list[int], spreads: list[PublishedSpread], credits_: list[tuple[int, ...]]
) -> PublishedInterCommodityCredit:
    return PublishedInterCommodityCredit(deltas=ints(*deltas), spreads=tuple(spreads), credits=tuple(credits_))


def test_spreads_take_what_earlier_ones_left() -> None:
    # two A for one B first, then A against C
    part = credit(
        [ONE, ONE, ONE],
        [spread(((0,), "A", 2), ((1,), "B")), spread(((0,), "A"), ((2,), "B"))],
        [(20, 10), (5, 5)],
    )
    # +7 A, -2 B, -9 C: two of the first take 4 A, three of the second the rest
    legs = legs_of([0, 1, 2], [7, -2, -9])
    assert part.assess(legs).offsets == {0: -(2 * 20 + 3 * 5) * ONE, 1: -2 * 10 * ONE, 2: -3 * 5 * ONE}
    # all on one side: no hedge, no credit
    assert part.assess(legs_of([0, 1, 2], [7, 2, 9])).offsets == {}
    # the other way round
    assert part.assess(legs_of([0, 1, 2], [-4, 2, 0])).offsets == {0: -2 * 20 * ONE, 1: -2 * 10 * ONE}


def test_a_credit_never_takes_a_charge_below_its_floor_or_zero() -> None:
    scale = 10**15
    part = credit([ONE, ONE], [spread(((0,), "A"), ((1,), "B"))], [(scale, scale)])
    # each group's scan loss is 10 a lot; the credit a lot is 1e9
    snapshot = with_parts(part, groups=[0, 1], risk=[[10, -10], [10, -10]], charges=[0, 3])
    lots = BookLots((2, -2), (0,))
    # group 0 ends at 0, group 1 at its short option minimum of 3 a lot
    assert requirement_total(snapshot, lots) == snapshot.factor_bp("initial") * 2 * 3


def test_the_charge_of_a_group_is_span_s_formula() -> None:
    # max(scan + intra - inter, short option minimum), in money units of one scale
    tier = (0, 1)
    charge = calendar([ONE, ONE, ONE], [0, 1, -1], [0, 0], [spread((tier, "A"), (tier, "B"))], [4])
    back = credit([ONE, ONE, ONE], [spread(((0,), "A"), ((1,), "B"))], [(3 * 10**6, 2 * 10**6)])
    snapshot = with_parts(charge, back, groups=[0, 0, 1], risk=[[7, -7], [-5, 5], [6, -6]], charges=[0, 1, 0])
    # +5 -2 of group 0: P&L 7 x 5 + 5 x 2 either way -> scan 45;
    # 2 calendar spreads: 8; net delta 3 against -2: 2 spreads back
    lots = BookLots((5, -2, -2), (0,))
    report = margin_report(snapshot, lots)
    factor = snapshot.factor_bp("initial")
    scan = 45
    assert report.groups[0].charge == factor * (scan + 8 - 6)
    assert report.groups[1].charge == factor * (12 - 4)
    assert report.groups[0].components == {
        "worst_scenario": factor * scan,
        "short_option_minimum": factor * 2,
        "calendar_charge": factor * 8,
        "inter_commodity_credit": -factor * 6,
    }
    assert sum(leg.contribution for leg in report.legs) == report.total


# --- what is refused ------------------------------------------------------------------------------------------


def test_a_tier_has_no_order_within() -> None:
    spreads = [spread(((0, 1), "A"), ((2,), "B")), spread(((0,), "A"), ((2,), "B"))]
    with pytest.raises(InputError, match="no order within it is published"):
        check_spreads(spreads, 3)
    check_spreads(spreads[::-1], 3)


@pytest.mark.parametrize(
    ("legs", "reason"),
    [
        ((((0,), "A"), ((1,), "A")), "side A and a leg on side B"),
        ((((0, 1), "A"), ((1,), "A"), ((2,), "B")), "two legs on side A"),
    ],
)
def test_spreads_that_make_no_sense(legs: tuple[tuple[tuple[int, ...], str], ...], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        spread(*legs)


def test_exact_spreads_take_equal_deltas_of_all_legs() -> None:
    rules = {
        "spreads": [
            {
                "charge": {"amount": "5"},
                "legs": [
                    {"period": "202601", "side": "A"},
                    {"period": "202602", "side": "B", "ratio": "2"},
                    {"period": "202603", "side": "A"},
                ],
            }
        ]
    }
    with pytest.raises(InputError, match="equal deltas"):
        CalendarCharge.model_validate({"method": "exact", "underlyings": {"GC": rules}})
    CalendarCharge.model_validate({"method": "convex_bound", "underlyings": {"GC": rules}})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"charges": (-1,)}, "negative charge"),
        ({"account_of": ints(0, 7)}, "account"),
        ({"deltas": ints(1)}, "shape"),
        ({"account_groups": (0, 1)}, "group"),
        ({"delivery": (1,)}, "one delivery charge"),
        ({"spreads": (spread(((0,), "A"), ((9,), "B")),)}, "does not exist"),
        ({"spreads": (spread(((0,), "A"), ((1,), "B", 2)),)}, "equal deltas"),
    ],
)
def test_published_calendar_charges_are_checked(change: dict[str, tuple[int] | IntArray], reason: str) -> None:
    part = calendar([ONE, ONE], [0, 1], [0, 0], [spread(((0,), "A"), ((1,), "B"))], [1])
    part.check(group_of=[0, 0], groups=2, assets=0)
    bad = type(part).model_validate({**dict(part), **change})
    with pytest.raises(InputError, match=reason):
        bad.check(group_of=[0, 0], groups=2, assets=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"credits": ((1, -1),)}, "negative credit"),
        ({"credits": ((1,),)}, "one credit for each leg"),
        ({"deltas": ints(1)}, "shape"),
        ({"spreads": (spread(((0, 1), "A"), ((2,), "B")),)}, "one risk group"),
        ({"spreads": (spread(((0,), "A"), ((5,), "B")),)}, "does not exist"),
    ],
)
def test_published_credits_are_checked(change: dict[str, tuple[tuple[int, ...]] | IntArray], reason: str) -> None:
    part = credit([ONE, ONE, ONE], [spread(((0,), "A"), ((1,), "B"))], [(1, 1)])
    part.check(group_of=[0, 1, 2], groups=3, assets=0)
    bad = type(part).model_validate({**dict(part), **change})
    with pytest.raises(InputError, match=reason):
        bad.check(group_of=[0, 1, 2], groups=3, assets=0)


def test_rules_are_checked() -> None:
    legs = [{"underlying": "A", "side": "A"}, {"underlying": "B", "side": "B"}]
    with pytest.raises(InputError, match="cheaper than nothing"):
        CreditSpread.model_validate({"rate": "1.1", "legs": legs})
    with pytest.raises(InputError, match="above 0"):
        CreditSpread.model_validate({"rate": "0", "legs": legs})
    with pytest.raises(InputError, match="two legs of one spread"):
        CreditSpread.model_validate({"rate": "0.5", "legs": [legs[0], {**legs[0], "side": "B"}]})
    with pytest.raises(InputError, match="no tier 3"):
        CalendarRules.model_validate(
            {
                "tiers": [{"number": 1}],
                "spreads": [
                    {"charge": {"amount": "1"}, "legs": [{"tier": 3, "side": "A"}, {"tier": 1, "side": "B"}]},
                ],
            }
        )
    assert whole_ratios(["0.5", "1.25"]) == (2, 5)
    assert Tier(number=1, first="202601", last="202603").holds("20260331")
    assert not Tier(number=1, first="202601", last="202603").holds("202604")


# --- against an oracle, and the circuit -----------------------------------------------------------------------


def naive(spreads: list[PublishedSpread], net: list[int]) -> list[int]:
    """Greedy spreading written out, in integers: blocks of accounts, both market sides one after the other."""
    left = {frozenset([account]): [max(d, 0), max(-d, 0)] for account, d in enumerate(net)}
    counts = []
    for one in spreads:
        keys: list[frozenset[int]] = []
        for leg in one.legs:
            inside = [key for key in left if key & set(leg.accounts)]
            merged = frozenset().union(*inside)
            left[merged] = [sum(left[key][side] for key in inside) for side in (0, 1)]
            for key in inside:
                if key != merged:
                    del left[key]
            keys = [merged if key & merged else key for key in [*keys, merged]]
        total = 0
        for turned in (0, 1):
            sides = [(leg.side == "B") ^ turned for leg in one.legs]
            n = min(left[key][side] // leg.ratio for key, side, leg in zip(keys, sides, one.legs, strict=True))
            for key, side, leg in zip(keys, sides, one.legs, strict=True):
                left[key][side] -= n * leg.ratio
            total += n
        counts.append(total)
    return counts


DELTAS = st.sampled_from([1, 3, -2, 5, 1000, -977, ONE])
LOTS = st.integers(-50, 50)


#: Groups, the account of each slot, deltas, spreads, their charges, and what is in delivery.
Calendars = tuple[int, list[int], list[int], list[PublishedSpread], list[int], list[int]]


@st.composite
def calendars(draw: st.DrawFn) -> Calendars:
    count = draw(st.integers(2, 4))
    singles = [
        spread(((a,), "A"), ((b,), "B"))
        for a, b in draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=3))
        if a != b
    ]
    cut = draw(st.integers(1, count - 1))
    first, last, whole = tuple(range(cut)), tuple(range(cut, count)), tuple(range(count))
    tiers = [spread((first, "A"), (last, "B")), spread((first, "A"), (first, "B")), spread((whole, "A"), (whole, "B"))]
    spreads = [*singles, *tiers[: draw(st.integers(0, 3))]]
    charges = [draw(st.integers(0, 40)) for _ in spreads]
    delivery = [draw(st.sampled_from([0, 0, 7])) for _ in range(count)]
    slots = draw(st.integers(1, 6))
    account_of = [draw(st.integers(-1, count - 1)) for _ in range(slots)]
    deltas = [draw(DELTAS) for _ in range(slots)]
    return count, account_of, deltas, spreads, charges, delivery


@settings(max_examples=2 * settings().max_examples)
@given(st.data())
def test_calendar_charges_against_the_oracle_and_the_circuit(data: st.DataObject) -> None:
    count, account_of, deltas, spreads, charges, delivery = data.draw(calendars())
    part = calendar(deltas, account_of, [0] * count, spreads, charges, delivery=delivery)
    lots = [data.draw(LOTS) for _ in account_of]
    groups = [0] * len(lots)
    net = [sum(d * q for d, q, at in zip(deltas, lots, account_of, strict=True) if at == a) for a in range(count)]
    amount = sum(n * c for n, c in zip(naive(spreads, net), charges, strict=True))
    amount += sum(rate * abs(d) for rate, d in zip(delivery, net, strict=True))
    legs = legs_of(groups, lots)
    assert part.assess(legs).offsets.get(0, 0) == amount
    assert sum(part.offset_shares(legs, 0)) == amount
    risk = [[data.draw(st.integers(-9, 9)) for _ in range(3)] for _ in lots]
    snapshot = with_parts(part, groups=groups, risk=risk, charges=[2] * len(lots))
    on_the_edge(snapshot, lots)


@given(st.data())
def test_the_convex_bound_is_never_below_the_exact_charge(data: st.DataObject) -> None:
    count, account_of, deltas, spreads, charges, delivery = data.draw(calendars())
    exact = calendar(deltas, account_of, [0] * count, spreads, charges, delivery=delivery)
    halves = [-(-charge // 2) for charge in charges]
    bound = calendar(deltas, account_of, [0] * count, spreads, halves, delivery=delivery, method="convex_bound")
    lots = [data.draw(LOTS) for _ in account_of]
    legs = legs_of([0] * len(lots), lots)
    most = bound.assess(legs).offsets.get(0, 0)
    assert most >= exact.assess(legs).offsets.get(0, 0)
    assert sum(bound.offset_shares(legs, 0)) == most
    on_the_edge(with_parts(bound, groups=[0] * len(lots)), lots)


@settings(max_examples=2 * settings().max_examples)
@given(st.data())
def test_credits_against_the_oracle_and_the_circuit(data: st.DataObject) -> None:
    groups = [0, 1, 2, 0, 1][: data.draw(st.integers(3, 5))]
    pairs = data.draw(st.lists(st.permutations([0, 1, 2]), min_size=1, max_size=3))
    sizes = st.integers(1, 7)
    spreads, amounts = [], []
    for order in pairs:
        chosen = order[: data.draw(st.integers(2, 3))]
        spreads.append(spread(*(((g,), "A" if i == 0 else "B", data.draw(sizes)) for i, g in enumerate(chosen))))
        amounts.append(tuple(data.draw(st.integers(0, 3 * 10**13)) for _ in chosen))
    deltas = [data.draw(DELTAS) for _ in groups]
    part = credit(deltas, spreads, amounts)
    lots = [data.draw(LOTS) for _ in groups]
    net = [sum(d * q for d, q, at in zip(deltas, lots, groups, strict=True) if at == g) for g in range(3)]
    wanted = [0, 0, 0]
    for one, row, n in zip(spreads, amounts, naive(spreads, net), strict=True):
        for leg, amount in zip(one.legs, row, strict=True):
            wanted[leg.accounts[0]] -= amount * n
    legs = legs_of(groups, lots)
    assert part.assess(legs).offsets == {g: amount for g, amount in enumerate(wanted) if amount}
    for g in range(3):
        assert sum(part.offset_shares(legs, g)) == wanted[g]
    risk = [[data.draw(st.integers(-(10**6), 10**6)) for _ in range(3)] for _ in groups]
    tier = (0, 1)
    charge = calendar(
        [abs(d) for d in deltas], [0, -1, -1, 1, -1][: len(groups)], [0, 0], [spread((tier, "A"), (tier, "B"))], [9]
    )
    snapshot = with_parts(part, charge, groups=groups, risk=risk, charges=[2] * len(groups))
    on_the_edge(snapshot, lots)


def test_form_spreads_agrees_with_fractions_where_ratios_are_one() -> None:
    # rounding down loses nothing when every ratio is 1
    spreads = [spread(((0,), "A"), ((1,), "B")), spread(((0, 1), "A"), ((2,), "B"))]
    assert form_spreads(spreads, [(5, 0), (0, 2), (0, 4)], smallest_count) == [2, 3]
    assert Fraction(5, 1) == 5


def test_a_prover_cannot_form_other_spreads_than_the_published_ones() -> None:
    # a later spread with a larger credit: skipping the first would lower the requirement
    part = credit(
        [1, 1, 1],
        [spread(((0,), "A"), ((1,), "B")), spread(((0,), "A"), ((2,), "B"))],
        [(10**15, 10**15), (9 * 10**15, 9 * 10**15)],
    )
    snapshot = with_parts(part, groups=[0, 1, 2], risk=[[-20, 20]] * 3)
    positions, claim = (3, -3, -3), Claim()
    needed = requirement_total(snapshot, BookLots(positions, (0,)))
    circuit = build_circuit(snapshot, claim)
    witness = assign(circuit, positions, (needed,))
    check(circuit, witness)
    names = [variable.name for variable in circuit.bounded]
    counts = {name: x for name, x in zip(names, witness.bounded, strict=True) if name.endswith("count")}
    assert sorted(counts.values()) == [0, 0, 0, 3]
    first = next(name for name, x in counts.items() if x == 3)
    bits = [name for name in names if name.startswith(first.removesuffix("count") + "binds")]
    assert len(bits) == 2
    # whatever the bits of the first spread, including both and none: fewer of it cannot be claimed
    for fewer in (0, 1, 2):
        for values in product((0, 1), repeat=2):
            told = {first: fewer, **dict(zip(bits, values, strict=True))}
            bent = tuple(replace(v, hint=Form(constant=told[v.name])) if v.name in told else v for v in circuit.bounded)
            bad = replace(circuit, bounded=bent)
            for balance in (needed, 10**12):
                with pytest.raises(ConstraintError):
                    check(bad, assign(bad, positions, (balance,)))
