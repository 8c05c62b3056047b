"""SPAN arrays and deltas from parameters: numbers by hand, refusals, and the circuit of SPAN policies."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.edge import on_the_edge
from support.typed import Passed

from zkmargin.accounts import commit_book
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.span_scenarios import SpanScenarios
from zkmargin.engine.margin import claim_slack, margin_report
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.policy import Policy, load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot, check_snapshot
from zkmargin.engine.publishing.span_arrays import span_arrays, span_deltas, span_times
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.span import SpanModel
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

TIME = "2026-01-02T00:00:00Z"
NEAR, FAR = "2026-03-02T00:00:00Z", "2026-06-02T00:00:00Z"
RISK = {"price_scan": {"amount": "30"}, "vol_scan": "0.1"}
BASE = {
    "default": RISK,
    "moves": "forward",
    "lookahead_seconds": 0,
    "extreme_multiple": 3,
    "extreme_fraction_bp": 3300,
}


def model(**change: Passed) -> SpanScenarios:
    return SpanScenarios.model_validate({**BASE, **change})


def market(*instruments: Passed, rate: str = "0", spot: str = "1000") -> Market:
    return Market(
        time=TIME,
        underlyings=(Underlying(name="X", index_price=spot), Underlying(name="Y", index_price="50")),
        forwards=tuple(
            Forward(underlying=name, expiry=expiry, price=price, rate=rate)
            for name, price in (("X", spot), ("Y", "50.5"))
            for expiry in (NEAR, FAR)
        ),
        instruments=instruments,
        assets=(Asset(name="USD", price="1", lot="0.01"),),
    )


def future(name: str = "F", underlying: str = "X", expiry: str = NEAR, **more: Passed) -> Instrument:
    return Instrument(**{"id": name, "kind": "future", "underlying": underlying, "expiry": expiry, "lot": "1", **more})


def option(
    name: str, kind: str, strike: str, underlying: str = "X", expiry: str = NEAR, vol: str = "0.5", **more: Passed
) -> Instrument:
    return Instrument(
        **{
            "id": name,
            "kind": "option",
            "underlying": underlying,
            "expiry": expiry,
            "strike": strike,
            "option_type": kind,
            "implied_vol": vol,
            "lot": "1",
            **more,
        }
    )


def test_sixteen_scenarios_of_a_future() -> None:
    gains = span_arrays(model(), Valuation(market(future(multiplier="10", lot="2"))))[0].tolist()
    scan = 30 * 20 * 10**9
    thirds = [0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3]
    assert gains == [*(move * scan // 3 for move in thirds), scan * 99 // 100, -scan * 99 // 100]
    assert model().labels()[2] == "3 price +1/3 scan vol up"
    assert model().labels()[15] == "16 price -3 scan extreme"


def test_arrays_are_rounded_per_contract_unit_before_the_lot() -> None:
    # a third of 10 is 3.33 a unit; 75 of them are 249.75, not 250
    risk = {"price_scan": {"amount": "10"}, "vol_scan": "0"}
    valuation = Valuation(market(future(lot="75")))
    assert span_arrays(model(default=risk, array_unit="0.01"), valuation)[0][2] == 249_750_000_000
    assert span_arrays(model(default=risk), valuation)[0][2] == 250_000_000_000


def test_options_move_with_the_forward_and_vol_by_points() -> None:
    deep = option("C", "call", "1", vol="0.2")
    gains = span_arrays(model(), Valuation(market(deep)))[0].tolist()
    # as deep in the money as a future
    assert gains[12] == pytest.approx(-30 * 10**9, abs=10)
    atm = model(default={**RISK, "price_scan": {"amount": "0.000001"}})
    up, down = span_arrays(atm, Valuation(market(option("C", "call", "1000"))))[0].tolist()[:2]
    # F sqrt(T / 2 pi) a unit of vol: 10 points up or down
    assert up == pytest.approx(-down, rel=1e-2)
    assert up == pytest.approx(0.1 * 1000e9 * (59 / 365 / 6.283185307) ** 0.5, rel=1e-2)


def test_one_vol_for_all_and_none_below_zero() -> None:
    own, flat = model(), model(default={**RISK, "vol": "0.2"})
    a = Valuation(market(option("A", "call", "1000", vol="0.2")))
    b = Valuation(market(option("B", "call", "1000", vol="0.9")))
    assert span_arrays(flat, b).tolist() == span_arrays(own, a).tolist()
    assert span_arrays(own, b).tolist() != span_arrays(own, a).tolist()
    low = Valuation(market(option("L", "call", "1000", vol="0.05")))
    assert span_arrays(own, low)[0][1] == -low.marks()[0]


def test_the_look_ahead_and_whole_days() -> None:
    near = market(future(), rate="0.05")
    spot = model(moves="spot", lookahead_seconds=172_800)
    # the index does not move, the forward loses two days of carry
    assert -span_arrays(spot, Valuation(near))[0][0] == pytest.approx(1000e9 * 0.05 * 2 / 365, rel=1e-3)
    assert span_arrays(model(lookahead_seconds=172_800), Valuation(near))[0][0] == 0
    days = model(day_count="calendar_days", days_added=1)
    assert span_times(days, Valuation(near), [NEAR, "2026-01-01T00:00:00Z"]) == [60 * 86_400_000, 0]


def test_long_dated_contracts_have_their_own_range() -> None:
    risk = {**RISK, "long_dated": {"beyond_days": 90, "price_scan": {"index_bp": 500}}}
    gains = span_arrays(model(default=risk), Valuation(market(future("N"), future("L", expiry=FAR))))
    assert gains[:, 10].tolist() == [30 * 10**9, 50 * 10**9]


def test_deltas() -> None:
    instruments = (future(multiplier="10"), option("C", "call", "1000"), option("P", "put", "1000"))
    plain = span_deltas(model(delta="plain"), Valuation(market(*instruments))).tolist()
    composite = span_deltas(model(), Valuation(market(*instruments))).tolist()
    assert plain[0] == composite[0] == 10 * 10**9
    assert plain[1] - plain[2] == composite[1] - composite[2] == 10**9
    assert 0.5e9 < plain[1] < 0.6e9
    # the weights mean something: all on the unchanged price is the plain delta (no look-ahead here)
    still = model(delta_weights_bp=[10_000, 0, 0, 0])
    assert span_deltas(still, Valuation(market(*instruments))).tolist() == plain


def test_inverse_futures_move_on_forwards() -> None:
    inverse = future("I", settlement="inverse", multiplier="100")
    valuation = Valuation(market(inverse))
    # 100 quote a contract: 3 % of it for a scan range of 30 of 1000
    assert span_arrays(model(), valuation)[0][10] == 3 * 10**9
    assert span_deltas(model(), valuation).tolist() == [10**8]
    with pytest.raises(InputError, match="quote currency"):
        span_arrays(model(moves="spot"), valuation)
    with pytest.raises(InputError, match="quote currency"):
        span_arrays(model(), Valuation(market(option("O", "call", "1000", settlement="inverse"))))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"default": None}, "no underlying at all"),
        ({"days_added": 1}, "whole calendar days"),
        ({"array_unit": "0"}, "above 0"),
        ({"delta_weights_bp": [2700, 2170, 1100, 370]}, "add up to 10000"),
        ({"delta_weights_bp": [-1000, 5000, 500, 0]}, "add up to 10000"),
        ({"default": {**RISK, "vol_scan": "-0.1"}}, "from 0 to 100"),
        ({"default": {**RISK, "vol": "0"}}, "above 0"),
        ({"default": {**RISK, "price_scan": {}}}, "exactly one"),
        ({"default": {**RISK, "price_scan": {"amount": "1", "index_bp": 5}}}, "exactly one"),
        ({"default": {**RISK, "price_scan": {"amount": "0"}}}, "above 0"),
        ({"extreme_fraction_bp": 10_001}, "less than or equal"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(change: dict[str, int | str | None], reason: str) -> None:
    with pytest.raises(Exception, match=reason):
        model(**change)


def test_what_cannot_be_valued_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="no SPAN parameters"):
        span_arrays(model(default=None, underlyings={"Z": RISK}), Valuation(market(future())))
    wide = model(default={**RISK, "price_scan": {"amount": "400"}})
    with pytest.raises(InputError, match="forward to 0") as caught:
        span_arrays(wide, Valuation(market(option("C", "call", "1000"))))
    assert caught.value.field == "C"


# --- policies -------------------------------------------------------------------------------------------------

BOOK_MARKET = (
    future("XN"),
    future("XF", expiry=FAR),
    option("XC", "call", "1050"),
    option("XP", "put", "900", expiry=FAR),
    future("YN", "Y"),
    option("YC", "call", "55", "Y", FAR),
)


def span_policy(method: str = "exact", **change: Passed) -> Policy:
    calendar = {
        "tiers": [{"number": 1}],
        "spreads": [
            {
                "charge": {"index_bp": 30},
                "legs": [{"period": "20260302", "side": "A"}, {"period": "20260602", "side": "B"}],
            },
            {"charge": {"amount": "2.5"}, "legs": [{"tier": 1, "side": "A"}, {"tier": 1, "side": "B"}]},
        ],
        "delivery": [{"charge": {"amount": "0.5"}, "within_days": 60}],
    }
    credit = {
        "rate": "0.6",
        "legs": [{"underlying": "X", "side": "A", "deltas": "1"}, {"underlying": "Y", "side": "B", "deltas": "7"}],
    }
    return Policy.model_validate(
        {
            "name": "test",
            "title": "SPAN",
            "version": "1",
            "requirements": {"initial": 11_000, "maintenance": 10_000},
            "layout": {"domain_size": 64, "position_bits": 12, "collateral_bits": 40},
            "max_price_age_seconds": 60,
            "components": [
                {
                    "type": "span_scenarios",
                    **BASE,
                    "underlyings": {"Y": {"price_scan": {"amount": "4"}, "vol_scan": "0.1"}},
                    "lookahead_seconds": 86_400,
                },
                {"type": "calendar_charge", "method": method, "default": calendar},
                {"type": "inter_commodity_credit", "spreads": [credit]},
                {"type": "short_option_minimum", "mode": "floor", "rate_bp": 50},
                {"type": "haircuts", "assets": {"USD": {"haircut_bp": 0, "negative_allowed": True}}},
            ],
            **change,
        }
    )


@pytest.fixture(scope="module", params=["exact", "convex_bound"])
def snapshot(request: pytest.FixtureRequest) -> Snapshot:
    given_market = market(*BOOK_MARKET)
    built = build_snapshot(given_market, span_policy(request.param))
    check_snapshot(built, given_market)
    return built


def unit_asset(snapshot: Snapshot) -> Snapshot:
    """The same snapshot whose asset counts one valuation unit a lot, held or owed."""
    haircuts = snapshot.components[-1]
    assert isinstance(haircuts, PublishedHaircuts)
    one = type(haircuts.long_value)(haircuts.long_value.values * 0 + 1)
    fields = {name: getattr(snapshot, name) for name in type(snapshot).model_fields}
    haircuts = snapshot.components[-1].model_copy(update={"long_value": one, "short_value": one})
    slot = snapshot.collateral[0].model_copy(update={"bits": 60})
    return type(snapshot).model_validate(
        {**fields, "components": (*snapshot.components[:-1], haircuts), "collateral": (slot,)}
    )


@settings(max_examples=max(settings().max_examples // 8, 4))
@given(data=st.data())
def test_the_circuit_of_a_span_book_is_the_engine_at_the_edge(snapshot: Snapshot, data: st.DataObject) -> None:
    lots = [data.draw(st.integers(-400, 400)) for _ in BOOK_MARKET]
    on_the_edge(unit_asset(snapshot), lots, moves=(-1, 1))


def test_a_report_of_a_hedged_book(snapshot: Snapshot) -> None:
    types = [part.type for part in snapshot.components]
    assert types.count("worst_scenario") == 1
    lots = BookLots((10, -8, -3, 0, -40, 0), (0,))
    report = margin_report(snapshot, lots)
    x, y = report.groups
    factor = 11_000
    # 1e9 money units a quote; 8 calendar spreads at 3 (30 bp of 1000) and what is near delivery
    assert x.components["calendar_charge"] > factor * 24 * 10**9
    assert x.components["inter_commodity_credit"] < 0
    assert y.components["inter_commodity_credit"] < 0
    # 60 % of the scan range of one X against seven Y
    ratio = x.components["inter_commodity_credit"] / y.components["inter_commodity_credit"]
    assert ratio == pytest.approx(30 / (4 * 7))
    assert sum(leg.contribution for leg in report.legs) == pytest.approx(report.total, abs=10**6)
    assert report.comparison.portfolio == report.total - report.equity.mark_to_market


def test_spread_components_need_span_scenarios() -> None:
    policy = span_policy(
        components=[
            {"type": "worst_scenario", "grid": {"price_moves_bp": [-1, 0, 1], "vol_moves_bp": [0]}},
            {"type": "calendar_charge", "method": "exact"},
            {"type": "haircuts", "assets": {"USD": {"haircut_bp": 0}}},
        ]
    )
    with pytest.raises(InputError, match="span_scenarios, which the policy lacks"):
        build_snapshot(market(*BOOK_MARKET), policy)


@pytest.mark.parametrize("name", ["span", "span-nse"])
def test_named_policies_prove_a_book(name: str) -> None:
    underlying = "BANKNIFTY" if name == "span-nse" else "GC"
    spot = "55521.15" if name == "span-nse" else "3649.4"
    given_market = Market(
        time=TIME,
        quote="INR" if name == "span-nse" else "USD",
        underlyings=(Underlying(name=underlying, index_price=spot),),
        forwards=tuple(Forward(underlying=underlying, expiry=e, price=spot, rate="0.06") for e in (NEAR, FAR)),
        instruments=(
            future("N", underlying),
            future("F", underlying, FAR),
            option("C", "call", "60000" if name == "span-nse" else "3800", underlying),
        ),
        assets=(Asset(name="INR" if name == "span-nse" else "USD", price="1", lot="0.01"),),
    )
    snapshot = build_snapshot(given_market, load_policy(name))
    lots = BookLots((2, -1, -3), (10**9,))
    assert claim_slack(snapshot, lots, Claim()) >= 0
    opening = commit_book(snapshot, lots)
    proof = prove(Statement.of(snapshot, [opening.commitment()], Claim()), lots, [opening])
    verify(Statement.of(snapshot, [opening.commitment()], Claim()), proof)


def test_the_model_is_not_bound_to_a_policy() -> None:
    assert SpanModel.model_validate(BASE).points()[14].weight == Fraction(33, 100)
