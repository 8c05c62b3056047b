"""Cascades against closed forms and brute force: repricing, impact, the fixed point, the threshold, who pays."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.typed import Json, Passed

from zkmargin.app.simulating import read_scenario
from zkmargin.app.venue_accounts import VenueAccount
from zkmargin.app.venue_classes import Asked
from zkmargin.app.venues import make_venue_proof, prepare
from zkmargin.engine.books import Books
from zkmargin.engine.example import example_market
from zkmargin.engine.market import Asset, Instrument, Market, Underlying
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import InputError
from zkmargin.risk.draws import uniform
from zkmargin.risk.holders import Closing
from zkmargin.risk.margins import MarginModel
from zkmargin.risk.repricing import Repricer
from zkmargin.risk.simulation import GRAIN, Impact, Outcome, Scenario, Shock, Simulation, Synthetic, synthetic_books
from zkmargin.risk.trading import cash_slot
from zkmargin.verifier.venue.verify import verify_venue

TIME = "2026-11-20T12:00:00Z"


# --- repricing ----------------------------------------------------------------------------------------------


def moved(market: Market, factors: dict[str, Fraction], vols: dict[str, Fraction]) -> Market:
    """The market with every text multiplied; the factors must keep them decimal."""

    def text(value: str, factor: Fraction) -> str:
        product = Fraction(value) * factor
        scaled = product * 10**15
        assert scaled.denominator == 1
        digits = f"{abs(int(scaled)):016d}"
        return f"{digits[:-15]}.{digits[-15:]}".rstrip("0").rstrip(".")

    one = Fraction(1)
    return Market(
        **{name: getattr(market, name) for name in Market.model_fields}
        | {
            "underlyings": tuple(
                u.model_copy(update={"index_price": text(u.index_price, factors.get(u.name, one))})
                for u in market.underlyings
            ),
            "forwards": tuple(
                f.model_copy(update={"price": text(f.price, factors.get(f.underlying, one))}) for f in market.forwards
            ),
            "instruments": tuple(
                i.model_copy(
                    update={
                        name: text(value, table.get(i.underlying, one))
                        for name, value, table in (
                            ("mark_price", i.mark_price, factors),
                            ("implied_vol", i.implied_vol, vols),
                        )
                        if value is not None
                    }
                )
                for i in market.instruments
            ),
            "assets": tuple(
                a.model_copy(update={"price": text(a.price, factors.get(a.underlying or "", one))})
                for a in market.assets
            ),
        }
    )


@pytest.mark.parametrize("name", ["default", "span", "tims", "deribit-pm", "derive-pmrm2", "paradex"])
def test_repricing_is_building_from_the_moved_market(name: str) -> None:
    market, policy = example_market(TIME), load_policy(name)
    factors, vols = {"BTC": Fraction("0.75"), "ETH": Fraction("1.25")}, {"BTC": Fraction("1.5")}
    ours = Repricer(market, policy).at(factors, vols)
    theirs = build_snapshot(moved(market, factors, vols), policy)
    # forwards are kept in the market's own units: they may differ in places that pricing rounds away
    assert ours.collateral == theirs.collateral
    for field in ("marks", "deltas"):
        a, b = getattr(ours, field).values, getattr(theirs, field).values
        assert np.max(np.abs(a - b)) <= max(1, np.max(np.abs(b)) // 10**10)
    assert [part.type for part in ours.components] == [part.type for part in theirs.components]
    books = [tuple(int(x) for x in uniform(1, f"{k}", len(market.instruments), -5, 5)) for k in range(3)]
    many = Books.dense(np.array(books, dtype=np.int64), np.zeros((3, len(market.assets)), dtype=np.int64))
    for requirement in ("initial", "maintenance"):
        x, y = (MarginModel(s, requirement).margins(many).total for s in (ours, theirs))
        assert all(abs(int(a) - int(b)) <= int(b) // 10**8 for a, b in zip(x, y, strict=True))


def test_gains_are_those_of_lines() -> None:
    market = example_market(TIME)
    repricer = Repricer(market, load_policy("default"))
    gains = repricer.gains({}, {"BTC": Fraction("0.9")})
    for slot, instrument in enumerate(market.instruments):
        if instrument.kind in ("option", "spot") or instrument.underlying != "BTC":
            assert gains[slot] == 0
    perpetual = next(i for i, x in enumerate(market.instruments) if x.id == "BTC-PERPETUAL")
    mark = Fraction(market.instruments[perpetual].mark_price or "0")
    # a lot is 0.001 BTC, a tenth of its price is lost
    assert abs(int(gains[perpetual]) + mark * 10**9 / 10_000) <= 1


# --- closed forms -------------------------------------------------------------------------------------------


def line_market() -> tuple[Repricer, int]:
    """One perpetual at 100, a policy that asks for 10 % of its notional: everything is a line."""
    market = Market(
        time=TIME,
        underlyings=(Underlying(name="X", index_price="100"),),
        instruments=(Instrument(id="X-PERP", kind="perpetual", underlying="X", lot="1", mark_price="100"),),
        assets=(Asset(name="USD", price="1", lot="0.000001"),),
    )
    data = json.loads(load_policy("default").to_bytes())
    worst = next(part for part in data["components"] if part["type"] == "worst_scenario")
    worst["grid"] = {"price_moves_bp": [-1000, 0, 1000], "vol_moves_bp": [0]}
    data["components"] = [worst, {"type": "haircuts", "assets": {"USD": {"haircut_bp": 0, "negative_allowed": True}}}]
    data["requirements"] = {"initial": 10_000, "maintenance": 10_000}
    repricer = Repricer(market, Policy.parse(json.dumps(data)))
    return repricer, cash_slot(repricer.base, None)


def longs(cash: list[Fraction], lots: int = 1) -> Books:
    """Accounts of so many lots long, with cash in quote. One is below 10 % when the price falls to (100 - cash)/0.9."""
    balances = np.array([[int(amount * 10**6)] for amount in cash], dtype=np.int64)
    count = len(cash)
    return Books.sparse(np.arange(count + 1), np.zeros(count, dtype=np.int64), [lots] * count, balances)


def scenario(depth: str | None, shock_bp: int, rounds: int, **more: Passed) -> Scenario:
    impact = Impact(depth={} if depth is None else {"X": depth}, **more.pop("impact", {}))
    closing = Closing(mode="all", cost_bp=0, **more.pop("closing", {}))
    return Scenario(
        rounds=rounds, shocks=(Shock(round=0, prices_bp={"X": shock_bp}),), impact=impact, closing=closing, **more
    )


CASH = st.lists(st.integers(11, 60).map(Fraction), min_size=1, max_size=12)


@given(CASH, st.integers(-4_000, -1))
def test_without_impact_accounts_fall_alone(cash: list[Fraction], shock: int) -> None:
    repricer, _ = line_market()
    outcome = Simulation(repricer, longs(cash), scenario(None, shock, 4)).run()
    price = 100 * Fraction(10_000 + shock, 10_000)
    # equity is cash + (P - 100), required is 10 % of P
    failing = [c for c in cash if c + price - 100 < price / 10]
    assert outcome.liquidated == len(failing)
    assert [r.below for r in outcome.rounds] == [len(failing), 0, 0, 0]
    assert all(r.prices == r.alone for r in outcome.rounds)
    shortfall = sum((max(100 - price - c, Fraction(0)) for c in failing), Fraction(0))
    assert abs(Fraction(outcome.loss) - shortfall * 10**9) <= len(failing) * 1_000


def fixed_point(cash: list[Fraction], start: Fraction, depth: Fraction) -> Fraction:
    """The nearest fixed point of P = P_s - 100 X(P) / D: each account sells its one unit when it fails, for ever."""
    sold, price = 0, start
    while True:
        now = sum(c + price - 100 < price / 10 for c in cash)
        if now <= sold:
            return price
        sold = max(sold, now)
        price = start - 100 * Fraction(sold) / depth


@given(CASH, st.integers(-3_000, -1), st.integers(15, 400))
def test_linear_impact_ends_at_the_nearest_fixed_point(cash: list[Fraction], shock: int, depth: int) -> None:
    repricer, _ = line_market()
    outcome = Simulation(repricer, longs(cash), scenario(str(depth), shock, len(cash) + 2)).run()
    start = 100 * Fraction(10_000 + shock, 10_000)
    expected = fixed_point(cash, start, Fraction(depth))
    if expected > 1:  # the simulation keeps prices above a thousandth
        assert abs(Fraction(outcome.rounds[-1].prices["X"], GRAIN) * 100 - expected) < Fraction(1, 10**6)


@pytest.mark.parametrize(("density", "amplified"), [(Fraction(1, 2), Fraction(2)), (Fraction(4, 5), Fraction(5))])
def test_below_the_threshold_a_shock_is_amplified_by_the_geometric_series(
    density: Fraction, amplified: Fraction
) -> None:
    # accounts fail one after the other as the price falls by 0.01 each: rho = 100 a unit of price
    repricer, _ = line_market()
    count = 900
    cash = [100 - (100 - Fraction(k, 100)) * Fraction(9, 10) for k in range(count)]
    depth = 100 * 100 / density  # rho P_0 / D = density
    outcome = Simulation(repricer, longs(cash), scenario(str(float(depth)), -100, 60)).run()
    fall = 100 - Fraction(outcome.rounds[-1].prices["X"], GRAIN) * 100
    assert abs(fall - amplified) < Fraction(6, 100) * amplified


def test_beyond_the_threshold_the_cascade_takes_all() -> None:
    repricer, _ = line_market()
    cash = [100 - (100 - Fraction(k, 100)) * Fraction(9, 10) for k in range(900)]
    outcome = Simulation(repricer, longs(cash), scenario("9000", -100, 200)).run()
    assert outcome.liquidated == 900
    calm = Simulation(repricer, longs(cash), scenario("20000", -100, 200)).run()
    assert calm.liquidated < 300


def test_root_impact_and_recovery() -> None:
    repricer, _ = line_market()
    terms = {"kind": "root", "permanent_bp": 4_000, "recovery_bp": 5_000}
    outcome = Simulation(repricer, longs([Fraction(12)]), scenario("10000", -500, 4, impact=terms)).run()
    parts = [Fraction(r.prices["X"], GRAIN) for r in outcome.rounds]
    move = Fraction(1, 100)  # (1 / 10000) ^ (1/2)
    expected = [
        Fraction(95, 100),
        *(Fraction(95, 100) - move * (Fraction(4, 10) + Fraction(6, 10) / 2**k) for k in range(3)),
    ]
    assert all(abs(a - b) < Fraction(1, 10**9) for a, b in zip(parts, expected, strict=True))


@settings(max_examples=20)
@given(st.lists(st.integers(11, 30).map(Fraction), min_size=3, max_size=8), st.integers(-6_000, -2_000))
def test_losses_are_paid_by_layer_and_money_is_conserved(cash: list[Fraction], shock: int) -> None:
    repricer, _ = line_market()
    short = longs([*cash, Fraction(200)])
    lots = short.lots.copy()
    lots[-1] = -3
    books = Books.sparse(short.starts, short.slots, lots, short.collateral)
    simulation = Simulation(repricer, books, scenario(None, shock, 2, fund="5"))
    before = sum(simulation.holders[0].money)
    outcome = simulation.run()
    assert outcome.loss == outcome.fund + outcome.deleveraged + outcome.unpaid
    assert outcome.fund == min(outcome.loss, 5 * 10**9)
    gained = -3 * 100 * Fraction(shock, 10_000) * 10**9
    assert outcome.deleveraged <= gained
    assert outcome.payers == (1 if outcome.deleveraged else 0)
    # what perpetuals gain comes from outside (the other sides of these trades); the layers' money comes in
    moved_in = sum(int(q) for q in lots) * 100 * Fraction(shock, 10_000) * 10**9
    assert abs(sum(simulation.holders[0].money) - (before + moved_in + outcome.fund + outcome.unpaid)) <= 10 * len(lots)
    assert all(money >= 0 for money in simulation.holders[0].money)


def test_pro_rata_closes_what_is_needed_and_no_more() -> None:
    repricer, _ = line_market()
    book = longs([Fraction(1_100)], lots=100)
    terms = Closing(mode="pro-rata", target_bp=10_000, cost_bp=0)
    one = Scenario(rounds=2, shocks=(Shock(round=0, prices_bp={"X": -500}),), closing=terms)
    simulation = Simulation(repricer, book, one)
    simulation.step()
    # equity 600 against 950: 350 of 950 must go, 36.85 lots, rounded up in 1e-4 and in lots
    assert simulation.holders[0].lots.tolist() == [63]
    assert simulation.step().below == 0


# --- synthetic accounts, replay -----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    repricer = Repricer(example_market(TIME), load_policy("default"))
    for family in ("perpetuals", "options", "mixed"):
        terms = Synthetic(count=50, family=family, legs=3, equity_bp=(11_000, 20_000))
        a, b, c = (synthetic_books(repricer, terms, seed, "maintenance") for seed in (1, 1, 2))
        assert a.lots.tolist() == b.lots.tolist() != c.lots.tolist()
        kinds = {repricer.base.instruments[slot].kind for slot in a.slots.tolist()}
        assert ("option" in kinds) == (family != "perpetuals")
        margins = MarginModel(repricer.base, "maintenance").margins(a)
        ratios = [int(e) / int(t) for e, t in zip(margins.equity, margins.total, strict=True) if int(t)]
        assert min(ratios) > 1.09
        assert max(ratios) < 2.01
    outcomes = [
        Simulation(
            repricer,
            a,
            Scenario(
                rounds=3, shocks=(Shock(round=1, prices_bp={"BTC": -3_000}),), impact=Impact(depth={"BTC": "500"})
            ),
        ).run()
        for _ in range(2)
    ]
    assert outcomes[0] == outcomes[1]


def test_draws_are_uniform_enough_and_fixed() -> None:
    values = uniform(7, "x", 6_000, 1, 6)
    assert values.min() == 1
    assert values.max() == 6
    assert all(850 < int((values == k).sum()) < 1_150 for k in range(1, 7))
    assert uniform(7, "x", 10, 1, 6).tolist() == values[:10].tolist()
    assert uniform(8, "x", 10, 1, 6).tolist() != values[:10].tolist()


def test_planned_accounts_are_closed_by_plans() -> None:
    repricer = Repricer(example_market(TIME), load_policy("default"))
    books = synthetic_books(
        repricer, Synthetic(count=6, family="options", legs=4, equity_bp=(10_100, 10_500)), 3, "maintenance"
    )
    shock = Shock(round=0, prices_bp={"BTC": -600, "ETH": -600})
    run = Simulation(repricer, books, Scenario(rounds=2, shocks=(shock,), closing=Closing(mode="planner", planned=2)))
    first = run.step()
    assert first.below
    assert first.cost > 0


def test_a_scenario_of_own_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.toml").write_text('rounds = 2\nbooks = ["a.json"]\n')
    assert read_scenario("x.toml").books == ("a.json",)
    with pytest.raises(InputError, match="legs"):
        synthetic_books(line_market()[0], Synthetic(count=1, legs=2), 1, "initial")
    repricer, _ = line_market()
    with pytest.raises(InputError, match="by their legs"):
        Simulation(repricer, Books.dense([[1]], [[0]]), scenario(None, 0, 1))


# --- hidden books -------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.lists(st.integers(11, 30).map(Fraction), min_size=3, max_size=9), st.integers(-6_000, -500), st.data())
def test_the_outcome_does_not_depend_on_who_holds_which_account(
    cash: list[Fraction], shock: int, data: st.DataObject
) -> None:
    repricer, _ = line_market()
    gained = longs([*cash, Fraction(200), Fraction(90)])
    lots = gained.lots.copy()
    lots[-2:] = -3
    order = np.array(data.draw(st.permutations(range(len(lots)))))
    books = Books.sparse(gained.starts, gained.slots, lots[order], gained.collateral[order])
    said: list[str] = []

    def outcome(holders: int, wire: Passed = None) -> Outcome:
        terms = scenario("300", shock, 4, fund="5", impact={"kind": "root", "permanent_bp": 5_000}, holders=holders)
        return Simulation(repricer, books, terms, wire).run()

    assert outcome(1) == outcome(3) == outcome(len(lots), said.append)
    assert said


def test_the_margin_at_the_start_is_rounded_once_however_accounts_are_spread() -> None:
    # requirements under a real policy are in 1e-13: rounding every holder's sum to money units loses up to one each
    repricer = Repricer(example_market(TIME), load_policy("default"))
    books = synthetic_books(repricer, Synthetic(count=12, family="mixed", legs=3), 5, "maintenance")
    totals = [int(x) for x in MarginModel(repricer.base, "maintenance").margins(books).total]
    assert sum(totals) // 10_000 != sum(x // 10_000 for x in totals)
    outcomes = [Simulation(repricer, books, Scenario(rounds=1, holders=holders)).run() for holders in (1, 5, 12)]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0].margin == sum(totals) // 10_000


def test_only_totals_cross_the_wire() -> None:
    repricer = Repricer(example_market(TIME), load_policy("default"))
    books = synthetic_books(repricer, Synthetic(count=40, family="perpetuals", legs=3), 5, "maintenance")
    shock = Shock(round=1, prices_bp={"BTC": -4_000, "ETH": -4_000})
    said: list[str] = []
    asked = Scenario(rounds=4, shocks=(shock,), impact=Impact(depth={"BTC": "500"}), fund="10", holders=4)
    outcome = Simulation(repricer, books, asked, said.append).run()
    assert outcome.liquidated
    assert outcome.deleveraged
    public = {"prices", "vols", "amount", "gains"}
    totals = {"margin", "below", "fresh", "closed", "sold", "cost", "missing", "gains", "taken", "payers"}
    for text in said:
        message = json.loads(text)
        assert set(message) in ({"prices", "vols"}, {"amount", "gains"}) or set(message) <= totals
        for name, value in message.items():
            if name not in public:
                assert isinstance(value, int) or set(value) == {"BTC", "ETH"}
    # no account's own number is among what was said: cash, lots and equity stay with the holder
    spoken = {number for text in said for number in _numbers(json.loads(text))}
    cash = {abs(int(x)) for x in books.collateral.ravel() if abs(int(x)) > 1_000}
    assert cash
    assert not cash & spoken


def _numbers(value: Json) -> set[int]:
    if isinstance(value, dict):
        return set().union(*(_numbers(x) for x in value.values()))
    return {abs(value)} if isinstance(value, int) else set()


def test_plans_need_one_holder() -> None:
    repricer, _ = line_market()
    terms = Scenario(rounds=1, closing=Closing(mode="planner"), holders=2)
    with pytest.raises(InputError, match="known to nobody"):
        Simulation(repricer, longs([Fraction(20), Fraction(30)]), terms)


@pytest.mark.slow
def test_totals_at_the_start_are_those_of_a_venue_proof() -> None:
    snapshot = build_snapshot(example_market(TIME), load_policy("default"), domain_size=512)
    repricer = Repricer(example_market(TIME), load_policy("default"))
    books = synthetic_books(
        repricer, Synthetic(count=6, family="perpetuals", legs=3, equity_bp=(20_000, 30_000)), 9, "maintenance"
    )
    simulation = Simulation(repricer, books, Scenario(rounds=1, holders=3))
    named = [VenueAccount(f"a{a}", books.lots_of(a, len(snapshot.instruments))) for a in range(len(books))]
    prepared = prepare(snapshot, named, Asked(venue="three brokers", requirement="maintenance", net="public"))
    made = make_venue_proof(prepared, threads=1)
    assert verify_venue(prepared.statement, made.proof).statement == prepared.statement
    held = np.sum([holder.net for holder in simulation.holders], axis=0)
    assert prepared.statement.terms.net == tuple(str(int(lots)) for lots in held)
