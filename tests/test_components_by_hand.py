"""Components of venues' policies: parameters that are refused, and published numbers computed by hand."""

import json
from fractions import Fraction

import numpy as np
import pytest
from support.typed import Passed

from zkmargin.engine.components.basis_contingency import BasisContingency, PublishedBasisContingency
from zkmargin.engine.components.collateral_charge import CollateralCharge, PublishedCollateralCharge
from zkmargin.engine.components.dampened_tails import DampenedTails, PublishedDampenedTails
from zkmargin.engine.components.discounted_scenarios import DiscountedScenarios, PublishedDiscountedScenarios
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.oracle_confidence import OracleConfidence
from zkmargin.engine.components.roll_shock import RollShock
from zkmargin.engine.components.skew_scenarios import SkewScenarios
from zkmargin.engine.components.static_discount import StaticDiscount
from zkmargin.engine.market import Market
from zkmargin.engine.publishing import publish
from zkmargin.engine.publishing.skew_scenarios import skew_multipliers
from zkmargin.engine.revaluation import Option, Options, exp, log, shocked_vol, sqrt
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError
from zkmargin.formats.documents import Model

# --- policy parts -------------------------------------------------------------------------------------------

DISCOUNT = {"long_base_bp": 9500, "short_base_bp": 10_400, "long_rate_bp": 10_000, "short_rate_bp": 5000}
TABLE = {"edge_bp": 1600, "tails": [{"price_move_bp": 3300, "vol_move_bp": 0, "weight_bp": 1}]}
GRID = {"price_moves_bp": [-1000, 0, 1000], "vol_moves_bp": [0]}
SKEW = {
    "shape": "linear", "cap_base_bp": 1500, "base_bp": -500, "min_width_bp": 100,
    "width_bp": 40_000, "vol_bp": 6000, "vol_slope_bp": -1000,
}  # fmt: skip


def parsed(kind: type[Model], **values: Passed) -> Passed:
    return kind.model_validate(json.loads(json.dumps(values)))


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        # Derive's deployment script: long 1.05, short 0.95
        (StaticDiscount, DISCOUNT | {"long_base_bp": 10_500, "short_base_bp": 9500}, "would not be convex"),
        (StaticDiscount, DISCOUNT | {"long_base_bp": 10_001, "short_base_bp": 10_400}, "would not be convex"),
        (
            DiscountedScenarios,
            {"grid": GRID | {"time_step_seconds": 60}, "discount": DISCOUNT},
            "count it twice",
        ),
        (DiscountedScenarios, {"grid": GRID, "discount": DISCOUNT, "risk_cancelling": ["A", "A"]}, "an asset twice"),
        (SkewScenarios, {"skews": [SKEW | {"base_bp": -1000}]}, "a vol would turn around"),
        (SkewScenarios, {"skews": [SKEW | {"cap_base_bp": 9999, "base_bp": 500}]}, "a vol would turn around"),
        (BasisContingency, {"up_bp": 450, "down_bp": -450, "add_bp": 0, "multiple_bp": 0}, "charge nothing"),
        (CollateralCharge, {}, "charge nothing"),
        (
            DampenedTails,
            {"table": TABLE | {"edge_bp": 4000}, "dampener": "1"},
            "inside the price range",
        ),
        (
            DampenedTails,
            {"table": TABLE, "dampener": "-1"},
            "must not be negative",
        ),
    ],
)  # fmt: skip
def test_parameters_that_make_a_requirement_wrong_are_refused(
    kind: type[StaticDiscount], values: dict[str, int], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        parsed(kind, **values)


def test_long_at_short_is_the_edge_of_what_is_convex() -> None:
    parsed(StaticDiscount, **(DISCOUNT | {"long_base_bp": 9500, "short_base_bp": 9500}))


# --- numbers by hand ----------------------------------------------------------------------------------------


def market(**change: Passed) -> Market:
    """A call that has expired 2,000 in the money, a future, a perpetual; prices 10,000 and easy."""
    document = {
        "format": "zkmargin/market/v1",
        "time": "2026-01-02T00:00:00Z",
        "underlyings": [{"name": "X", "index_price": "10000", "confidence": "0.4"}],
        "forwards": [
            {"underlying": "X", "expiry": "2026-01-02T00:00:00Z", "price": "10000"},
            {"underlying": "X", "expiry": "2027-01-02T00:00:00Z", "price": "11000"},
        ],
        "instruments": [
            {"id": "call", "kind": "option", "underlying": "X", "expiry": "2026-01-02T00:00:00Z", "strike": "8000",
             "option_type": "call", "implied_vol": "0.5", "lot": "1"},
            {"id": "future", "kind": "future", "underlying": "X", "expiry": "2027-01-02T00:00:00Z", "lot": "1"},
            {"id": "perp", "kind": "perpetual", "underlying": "X", "settlement": "inverse", "multiplier": "10",
             "lot": "1", "confidence": "0.9"},
        ],
        "assets": [{"name": "XX", "price": "9000", "lot": "0.01", "underlying": "X"}],
    }  # fmt: skip
    return Market.parse(json.dumps(document | change))


def test_discounted_scenarios_by_hand() -> None:
    part = publish(
        parsed(DiscountedScenarios, grid=GRID, discount=DISCOUNT, risk_cancelling=["XX"]), Valuation(market())
    )
    assert isinstance(part, PublishedDiscountedScenarios)
    # Long, 0.95 V(s) - V: at 9,000 the call is worth 1,000. Short: 1.00 V(s) - V, since 1 / D = 1.
    assert part.gain.values[0].tolist() == [-1_050 * 10**9, -100 * 10**9, 850 * 10**9]
    assert part.shortfall.values[0].tolist() == [50 * 10**9, 100 * 10**9, 150 * 10**9]
    assert part.gain.values[1].tolist() == [-1_100 * 10**9, 0, 1_100 * 10**9]
    assert part.collateral_gain.values[0].tolist() == [-9 * 10**9, 0, 9 * 10**9]
    assert part.expiries.values.tolist() == [0, 1, -1]


def test_the_part_of_a_price_that_is_averaged_does_not_move() -> None:
    soon = market().to_json()
    soon["time"] = "2026-01-01T23:45:00Z"
    values = {"grid": GRID, "discount": DISCOUNT, "settlement_average_seconds": 1800}
    part = publish(parsed(DiscountedScenarios, **values), Valuation(Market.parse(json.dumps(soon))))
    assert isinstance(part, PublishedDiscountedScenarios)
    # 15 of the last 30 minutes are left, so half of the forward moves: the call, deep in the money, by half of 1,000.
    shortfall = [Fraction(5, 100) * value for value in (1_500, 2_000, 2_500)]
    for got, wanted in zip(part.shortfall.values[0].tolist(), shortfall, strict=True):
        assert abs(got - wanted * 10**9) < 10**5


def test_a_risk_cancelling_asset_must_be_moved_by_something() -> None:
    assets = [{"name": "XX", "price": "9000", "lot": "0.01"}]
    part = parsed(DiscountedScenarios, grid=GRID, discount=DISCOUNT, risk_cancelling=["XX"])
    with pytest.raises(InputError, match="asset XX: a risk-cancelling asset whose underlying has no instrument"):
        publish(part, Valuation(market(assets=assets)))


def test_basis_contingency_by_hand() -> None:
    part = parsed(BasisContingency, up_bp=1000, down_bp=-1000, add_bp=5000, multiple_bp=20_000)
    published = publish(part, Valuation(market()))
    assert isinstance(published, PublishedBasisContingency)
    # The call has no time left: 0.5 of a change of 1,000. The future has a year: 2.5 of 1,100. The perpetual has none.
    assert published.change.values.tolist() == [
        [500 * 10**9, -500 * 10**9],
        [2_750 * 10**9, -2_750 * 10**9],
        [0, 0],
    ]


def test_roll_shock_by_hand() -> None:
    part = parsed(RollShock, rate={"min_annualised_move_bp": 100, "annualised_move_risk_bp": 750})
    published = publish(part, Valuation(market()))
    assert isinstance(published, PublishedGrossCharge)
    # A year of 7.5 % on the future's index value, 1 % on the perpetual's 10 USD. Options do not roll.
    assert published.long.values.tolist() == published.short.values.tolist() == [0, 750 * 10**9, 10**8]
    assert (published.mode, published.type) == ("added", "gross_charge")


def test_oracle_confidence_by_hand() -> None:
    doubt = {"threshold_bp": 5500, "rate_bp": 20_000}
    published = publish(parsed(OracleConfidence, doubt=doubt), Valuation(market()))
    assert isinstance(published, PublishedGrossCharge)
    # The underlying's 0.4 is the least everywhere: 0.6 x 2 of the notional.
    assert published.short.values.tolist() == [12_000 * 10**9, 12_000 * 10**9, 12 * 10**9]
    assert publish(parsed(OracleConfidence, doubt=doubt | {"threshold_bp": 4000}), Valuation(market())) is None
    charge = publish(parsed(CollateralCharge, rates_bp={"XX": 100}, doubt=doubt), Valuation(market()))
    assert isinstance(charge, PublishedCollateralCharge)
    assert charge.charge.values.tolist() == [(90 * 10**9 * 121) // 100]


def test_an_inverse_contract_in_coin() -> None:
    table = {"edge_bp": 1600, "tails": [{"price_move_bp": 5000, "vol_move_bp": 0, "weight_bp": 3200}]}
    for in_coin, edge in ((False, Fraction(16, 10)), (True, Fraction(16, 10) / Fraction(116, 100))):
        part = parsed(DampenedTails, table=table | {"inverse_in_coin": in_coin}, dampener="0")
        published = publish(part, Valuation(market()))
        assert isinstance(published, PublishedDampenedTails)
        risk = published.risk.values
        assert risk[2, 0] == round(edge * 10**9)
        # a linear future at the edge, an option's part of its P&L at the move
        assert risk[1, 0] == 1_760 * 10**9
        assert risk[0, 0] == 1_600 * 10**9


def test_an_inverse_option_in_coin() -> None:
    inverse = market().to_json()["instruments"]
    inverse[0]["settlement"] = "inverse"
    table = {"edge_bp": 1600, "tails": [{"price_move_bp": 6000, "vol_move_bp": 0, "weight_bp": 10_000}]}
    table["inverse_in_coin"] = True
    published = publish(parsed(DampenedTails, table=table, dampener="0"), Valuation(market(instruments=inverse)))
    assert isinstance(published, PublishedDampenedTails)
    risk = published.risk.values
    # 8,000 / 16,000 coins less 2,000 / 10,000, each at the index of 10,000
    assert risk[0, 0] == 3_000 * 10**9


def test_a_skew_by_hand() -> None:
    later = market().to_json()
    later["time"] = "2025-01-02T00:00:00Z"
    options = Options(Valuation(Market.parse(json.dumps(later))))
    expiry, option = options.expiries[0], options.options[0]
    assert expiry.years == 1
    (part,) = parsed(SkewScenarios, skews=[SKEW]).skews
    # k = ln 0.8 = -0.2231, cap 0.15 - 0.05 = 0.1, width 4 (0.6 - 0.1) = 2
    (change,) = skew_multipliers(part, expiry, [option])
    assert abs(change - Fraction(-22314355131, 2 * 10**12)) < Fraction(1, 10**12)
    (bent,) = skew_multipliers(parsed(SkewScenarios, skews=[SKEW | {"shape": "absolute"}]).skews[0], expiry, [option])
    assert bent == -change
    narrow = SKEW | {"width_bp": 0}  # width 0.01: the change is at its cap
    assert skew_multipliers(parsed(SkewScenarios, skews=[narrow]).skews[0], expiry, [option]) == [Fraction(-1, 10)]


def test_decimals_of_fifty_digits() -> None:
    assert str(float(exp(Fraction(1)))) == "2.718281828459045"
    assert abs(log(exp(Fraction(7, 3))) - Fraction(7, 3)) < Fraction(1, 10**45)
    assert abs(sqrt(Fraction(2)) ** 2 - 2) < Fraction(1, 10**45)
    assert sqrt(Fraction(0)) == 0
    assert shocked_vol(10, Fraction(-2), floor=5) == 0
    assert shocked_vol(10, Fraction(-1, 2), floor=7) == 5
    assert shocked_vol(10, Fraction(1, 2), floor=20) == 20
    assert shocked_vol(10, Fraction(0), floor=20) == 10


def marks_in_money(options: Options, chosen: list[Option]) -> list[Fraction]:
    return [option.factor * mark for option, mark in zip(chosen, options.marks(chosen), strict=True)]


def test_an_option_values_as_the_pricing_kernel_says() -> None:
    valuation = Valuation(market())
    options = Options(valuation)
    assert marks_in_money(options, options.options) == [2_000 * 10**9]
    far = options.options[0]._replace(vol=10**30)  # a total variance beyond every bound: the call is worth its forward
    moved = market().to_json()
    moved["time"] = "2025-01-02T00:00:00Z"
    later = Options(Valuation(Market.parse(json.dumps(moved))))
    assert marks_in_money(later, [far._replace(factor=later.options[0].factor)]) == [10_000 * 10**9]


def test_fine_and_coarse_prices_agree() -> None:
    moved = market().to_json()
    moved["time"] = "2025-10-02T00:00:00Z"
    valuation = Valuation(Market.parse(json.dumps(moved)))
    options = Options(valuation)
    (mark,) = marks_in_money(options, options.options)
    assert abs(mark - int(valuation.marks()[0])) <= 2


def test_nothing_to_charge_is_nothing_published() -> None:
    empty = market(instruments=[], assets=[])
    valuation = Valuation(empty)
    assert publish(parsed(SkewScenarios, skews=[SKEW]), valuation) is None
    assert publish(parsed(BasisContingency, up_bp=1, down_bp=-1, add_bp=1, multiple_bp=0), valuation) is None
    assert (
        publish(parsed(RollShock, rate={"min_annualised_move_bp": 1, "annualised_move_risk_bp": 1}), valuation) is None
    )
    published = publish(parsed(DiscountedScenarios, grid=GRID, discount=DISCOUNT), valuation)
    assert isinstance(published, PublishedDiscountedScenarios)
    assert np.size(published.gain.values) == 0
