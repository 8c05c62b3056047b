"""Derive PMRM_2 against its own portfolio cases: every scenario, every contingency, initial and maintenance margin.

Amounts have up to 18 decimals and parameters are arbitrary decimals, some of them unsound on purpose. So the components
are made without their validators, lots are whole contracts counted in a common fraction, and a money unit is 1e-12: the
same code as for a snapshot, on finer numbers. Nothing here could be proved: a snapshot takes bounded integers only.
"""

import json
from decimal import Decimal
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import NamedTuple

import pytest
from support.typed import Family, Json, JsonObject, Passed, Report, Unchecked

from zkmargin.engine.components import Leg
from zkmargin.engine.components.basis_contingency import BasisContingency
from zkmargin.engine.components.collateral_charge import CollateralCharge
from zkmargin.engine.components.discounted_scenarios import DiscountedScenarios
from zkmargin.engine.components.factors import Depeg
from zkmargin.engine.components.gross_charge import GrossCharge, GrossRate
from zkmargin.engine.components.oracle_confidence import Doubt, OracleConfidence
from zkmargin.engine.components.short_option_minimum import ShortOptionMinimum
from zkmargin.engine.components.skew_scenarios import Skew, SkewScenarios
from zkmargin.engine.components.static_discount import StaticDiscount
from zkmargin.engine.components.worst_scenario import ScenarioGrid
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.publishing import publish
from zkmargin.engine.publishing.factors import depeg_multiplier
from zkmargin.engine.publishing.static_discount import discount_multipliers
from zkmargin.engine.revaluation import Expiry, Options, exp
from zkmargin.engine.units import MS_PER_YEAR, Scenario
from zkmargin.engine.valuation import Valuation

FAMILY = "margin/derive_pm2"
NOW = "2025-01-01T00:00:00Z"
MONEY_DECIMALS = 12
MONEY_UNITS: int = 10**MONEY_DECIMALS
BP = 10_000
RELATIVE, ABSOLUTE = Fraction(1, 10**9), Fraction(1, 10**6)
TWAP_SECONDS = 1800
BOTH = ("initial", "maintenance")
#: A move of 0 upwards still has the floor of shocked vols.
BARELY_UP = Fraction(1, 10**40)


class Exact(Scenario):
    """A scenario of rational moves, which have no percentages."""

    def label(self) -> str:
        return f"{float(self.price_move_bp)} {float(self.vol_move_bp)} {float(self.weight_bp)}"


class ExactGrid(ScenarioGrid):
    """A list of scenarios as it is published."""

    published: Unchecked

    def scenarios(self) -> Unchecked:
        return self.published


class Case(NamedTuple):
    """A portfolio: its market, legs and balances in 1/scale lots."""

    market: Market
    legs: list[Leg]
    balances: list[int]
    scale: int


def number(value: Json) -> Fraction:
    """A JSON number or a decimal string, exactly."""
    return Fraction(Decimal(str(value)))


def text(value: Json, digits: int = 50) -> str:
    """The decimal text of a rational, cut after ``digits`` decimals where it does not end."""
    value = number(value) if not isinstance(value, Fraction) else value
    units = value.numerator * 10**digits // value.denominator
    return format(Decimal(units).scaleb(-digits).normalize(), "f") if units else "0"


def bp(value: Json) -> Passed:
    """Basis points; a rational where a policy has an integer."""
    return number(value) * BP


def read(scenario: JsonObject) -> Case:
    """The market and the book of a case. Time is arbitrary: the file gives seconds to expiry. A vol may be 251142 %."""
    now = parse_time(NOW)
    spot, stable = number(scenario["SpotPrice"]), number(scenario["StablePrice"])
    expiries = {feed["FeedExpiry"]: format_time(now + 1000 * feed["FeedExpiry"]) for feed in scenario["OptionFeeds"]}
    instruments, amounts = [], []
    for i, option in enumerate(scenario["Options"]):
        feed = next(feed for feed in scenario["OptionFeeds"] if feed["FeedExpiry"] == option["Expiry"])
        instruments.append(
            Instrument.model_construct(
                id=f"option-{i}",
                kind="option",
                underlying="X",
                expiry=expiries[option["Expiry"]],
                strike=text(option["Strike"]),
                option_type="call" if option["IsCall"] else "put",
                implied_vol=text(option["MarkVol"]),
                lot="1",
                confidence=text(feed["OptionVolConfidences"]),
            )
        )
        amounts.append(number(option["Amount"]))
    # The perpetual is always there, so that its underlying is a risk group; its confidence counts if it is held.
    perpetuals = number(scenario.get("NumPerps", 0))
    terms = [text(scenario["PerpPrice"]), text(scenario["PerpConfidence"])] if perpetuals else [text(spot), None]
    instruments.append(
        Instrument(id="perp", kind="perpetual", underlying="X", lot="1", mark_price=terms[0], confidence=terms[1])
    )
    amounts.append(perpetuals)
    assets, balances = [Asset(name="stable", price=text(stable), lot="1")], [Fraction(0)]
    for i, held in enumerate(scenario["Collaterals"]):
        price = number(held["Price"]) / stable
        if price > 0:
            lot = next(Fraction(10) ** k for k in range(12, -12, -1) if price * Fraction(10) ** k <= 100)
            assets.append(
                Asset(
                    name=f"asset-{i}",
                    price=text(price),
                    lot=text(lot),
                    underlying="X",
                    confidence=text(held["Confidence"]),
                )
            )
            balances.append(number(held["Amount"]) / lot)
    market = Market.model_construct(
        time=NOW,
        underlyings=(Underlying(name="X", index_price=text(spot), confidence=text(scenario["SpotConfidence"])),),
        forwards=tuple(
            Forward(
                underlying="X",
                expiry=expiries[feed["FeedExpiry"]],
                price=text(feed["Forward"]),
                rate=text(max(number(feed["Rate"]), Fraction(0))),
                confidence=text(min(number(feed["ForwardConfidence"]), number(feed["RateConfidence"]))),
            )
            for feed in scenario["OptionFeeds"]
        ),
        instruments=tuple(instruments),
        assets=tuple(assets),
    )
    scale = lcm(*(amount.denominator for amount in (*amounts, *balances)))
    legs = [Leg(slot, 0, int(amount * scale)) for slot, amount in enumerate(amounts) if amount]
    return Case(market, legs, [int(balance * scale) for balance in balances], scale)


def expiry_of(feed: JsonObject) -> Expiry:
    time, rate = 1000 * max(feed["FeedExpiry"], 0), max(number(feed["Rate"]), Fraction(0))
    return Expiry("", time, rate, exp(-rate * Fraction(time, MS_PER_YEAR)))


class Computed:
    """What the components say of one case, in USD; losses and contingencies negative, as in the files."""

    def __init__(self, data: JsonObject) -> None:
        self.parameters, scenario = data["Parameters"], data["Scenario"]
        self.case = read(scenario)
        self.valuation = Valuation(self.case.market, money_decimals=MONEY_DECIMALS)
        self.collateral = {
            f"asset-{i}": held for i, held in enumerate(scenario["Collaterals"]) if number(held["Price"]) > 0
        }
        self.values: dict[str, Fraction] = {}
        options = Options(self.valuation)
        marks = {
            option.slot: option.factor * mark
            for option, mark in zip(options.options, options.marks(options.options), strict=True)
        }
        self.values["OptionMTM"] = sum(
            (self.usd(leg.lots * marks[leg.slot]) for leg in self.case.legs if leg.slot in marks), Fraction(0)
        )
        pairs = zip(self.case.balances, self.valuation.asset_prices, strict=True)
        self.values["CollateralMTM"] = sum((self.usd(balance * price) for balance, price in pairs), Fraction(0))
        others = [number(scenario[name]) for name in ("Cash", "UnrealisedPerpPNL", "UnrealisedFunding")]
        self.values["PortfolioMTM"] = self.values["OptionMTM"] + self.values["CollateralMTM"] + sum(others)
        discount = self.discount()
        self.discounts = [discount_multipliers(discount, expiry_of(feed)) for feed in scenario["OptionFeeds"]]
        self.profits = self.scenarios(discount)
        self.values["ForwardContingency"] = self.basis()
        self.contingencies()
        worst = max(Fraction(0), *(-profit for _, profit in self.profits), -self.values["ForwardContingency"])
        self.margins(worst)

    def usd(self, amount: Fraction | int) -> Fraction:
        return Fraction(amount) / self.case.scale / MONEY_UNITS

    def discount(self) -> StaticDiscount:
        margin = self.parameters["Margin"]
        return StaticDiscount.model_construct(
            long_base_bp=bp(margin["BASE_STATIC_DISCOUNT"]),
            short_base_bp=bp(margin["BASE_STATIC_DISCOUNT_NEG"]),
            long_rate_bp=bp(margin["LONG_RATE_MULTSCALE"]),
            short_rate_bp=bp(margin["SHORT_RATE_MULTSCALE"]),
            long_add_bp=bp(margin["LONG_RATE_ADDSCALE"]),
            short_add_bp=bp(margin["SHORT_RATE_ADDSCALE"]),
        )

    def scenarios(self, discount: StaticDiscount) -> list[tuple[str, Fraction]]:
        """(kind, P&L) in the order of the file: price and vol scenarios, then skews."""
        vol, skews, grid = self.parameters["VolShock"], [], []
        moves = {"Up": bp(vol["VOLRANGEUP"]) + BARELY_UP, "Down": -bp(vol["VOLRANGEDOWN"]), "None": Fraction(0)}
        for given in self.parameters["Scenarios"]:
            move, weight = bp(given["SpotShock"]) - BP, bp(given["DampeningFactor"])
            if given["VolShockDirection"] in moves:
                grid.append(Exact(move, moves[given["VolShockDirection"]], weight))
            else:
                # A skew that moves the price is not allowed on-chain, and its authors skip the one case that has it:
                # its number is of the linear skew with the cap of the absolute one, at an unmoved price.
                cap = "ABS" if move else given["VolShockDirection"]
                skews.append(self.skew(given["VolShockDirection"], cap, weight))
        scenarios = publish(
            DiscountedScenarios.model_construct(
                requirements=BOTH,
                grid=ExactGrid.model_construct(
                    price_moves_bp=(),
                    vol_moves_bp=(),
                    published=tuple(grid),
                    tenor_exponent_short_1e4=bp(vol["SHORTTERMPOWER"]),
                    tenor_exponent_long_1e4=bp(vol["LONGTERMPOWER"]),
                    tenor_floor_seconds=bp(vol["DTE_FLOOR"]) * 86_400 / BP,
                    vol_floor_bp=bp(vol["MIN_VOL_EVAL_SHOCKED"]),
                ),
                overrides={},
                discount=discount,
                settlement_average_seconds=TWAP_SECONDS,
                risk_cancelling=tuple(name for name, held in self.collateral.items() if held["IsRiskCancelling"]),
            ),
            self.valuation,
        )
        assert scenarios is not None
        skewed = SkewScenarios.model_construct(requirements=BOTH, skews=tuple(skews), discount=discount)
        of_skews = publish(skewed, self.valuation)
        groups = (
            ("scenario", len(grid), [scenarios.assess(self.case.legs), scenarios.assess_balances(self.case.balances)]),
            ("skew", len(skews), [of_skews.assess(self.case.legs)] if of_skews else []),
        )
        profits = []
        for kind, count, charges in groups:
            losses = [charge.candidates.get(0, [0] * count) for charge in charges] or [[0] * count]
            profits += [(kind, -self.usd(sum(column))) for column in zip(*losses, strict=True)]
        return profits

    def skew(self, shape: str, cap: str, weight: Json) -> Skew:
        given, shapes = self.parameters["SkewShock"], {"LINEAR": "linear", "ABS": "absolute"}
        return Skew.model_construct(
            shape=shapes[shape],  # type: ignore[arg-type]
            weight_bp=weight,
            cap_base_bp=bp(given[f"{cap}_SCALE_CAP"]),
            base_bp=bp(given[f"{cap}_CBASE"]),
            min_width_bp=bp(given["MIN_K_STAR"]),
            width_bp=bp(given["MIN_WIDTH_SCALE"]),
            vol_bp=bp(given["VOL_PARAM_STATIC"]),
            vol_slope_bp=bp(given["VOL_PARAM_SCALE"]),
        )

    def basis(self) -> Fraction:
        given = self.parameters["BasisContingency"]
        published = publish(
            BasisContingency.model_construct(
                requirements=BOTH,
                mode="floor",
                up_bp=bp(given["SCENARIO_SPOT_UP"]) - BP,
                down_bp=bp(given["SCENARIO_SPOT_DOWN"]) - BP,
                add_bp=bp(given["BASIS_CONT_ADD_FACTOR"]),
                multiple_bp=bp(given["BASIS_CONT_MULT_FACTOR"]),
                settlement_average_seconds=TWAP_SECONDS,
            ),
            self.valuation,
        )
        if published is None or not self.case.legs:
            return Fraction(0)
        return -self.usd(published.assess(self.case.legs).candidates[0][0])

    def contingencies(self) -> None:
        given, spot = self.parameters["OtherContingency"], number(self.case.market.underlyings[0].index_price)
        for margin in ("MM", "IM"):
            rate = GrossRate.model_construct(
                kinds=("perpetual",),
                underlyings=None,
                rate_bp=None,
                amount=text(number(given[f"{margin}_PERP_PERCENT"]) * spot),
                tiers=(),
                long_up_to_mark=False,
            )
            perps = GrossCharge.model_construct(requirements=BOTH, mode="flat", rates=(rate,), product_groups={})
            naked = ShortOptionMinimum.model_construct(
                requirements=BOTH, mode="flat", per="strike", rate_bp=bp(given[f"{margin}_OPTION_PERCENT"]), rates_bp={}
            )
            rates = {name: bp(held[f"{margin}Haircut"]) for name, held in self.collateral.items()}
            haircut = CollateralCharge.model_construct(requirements=BOTH, rates_bp=rates, doubt=None)
            self.values[f"{margin}PerpCont"] = self.flat(perps)
            self.values[f"{margin}OptionCont"] = self.flat(naked)
            self.values[f"{margin}BaseCont"] = self.flat(haircut)
        doubt = Doubt.model_construct(threshold_bp=bp(given["CONF_THRESHOLD"]), rate_bp=bp(given["CONF_MARGIN"]))
        self.values["OracleCont"] = self.flat(
            OracleConfidence.model_construct(requirements=("initial",), doubt=doubt)
        ) + self.flat(CollateralCharge.model_construct(requirements=("initial",), rates_bp={}, doubt=doubt))

    def flat(self, part: Passed) -> Fraction:
        published = publish(part, self.valuation)
        if published is None:
            return Fraction(0)
        charges = (published.assess(self.case.legs), published.assess_balances(self.case.balances))
        return -sum((self.usd(Fraction(charge.flat, charge.scale)) for charge in charges), Fraction(0))

    def margins(self, worst: Fraction) -> None:
        margin, given = self.parameters["Margin"], self.parameters["OtherContingency"]
        depeg = Depeg.model_construct(
            asset="stable", threshold=text(given["PEG_LOSS_THRESHOLD"]), factor_bp=bp(given["PEG_LOSS_FACTOR"])
        )
        # The multiplier itself, which a snapshot rounds up to a basis point; what it is above 1 adds to the factor.
        depeg_part = depeg_multiplier(depeg, self.valuation) - 1
        self.values["im_loss_factor"] = number(margin["IM_LOSS_FACTOR"]) + depeg_part
        maintenance = sum(self.values[name] for name in ("MMPerpCont", "MMOptionCont", "MMBaseCont"))
        initial = sum(self.values[name] for name in ("IMPerpCont", "IMOptionCont", "IMBaseCont", "OracleCont"))
        equity = self.values["PortfolioMTM"]
        self.values["MM"] = equity - worst * number(margin["MM_LOSS_FACTOR"]) + maintenance
        self.values["IM"] = equity - worst * self.values["im_loss_factor"] + maintenance + initial


def published_profits(result: JsonObject) -> list[tuple[str, Fraction]]:
    regular, tails, skews = (result[name] for name in ("reg_losses", "tail_losses", "skew_losses"))
    return [("scenario", number(row[2])) for row in (*regular, *tails)] + [("skew", number(row[1])) for row in skews]


@pytest.mark.conformance
def test_every_number_of_every_case(conformance_family: Family, conformance_report: Report) -> None:
    worst, place, cases, failures = Fraction(0), "", 0, []
    for path in conformance_family(FAMILY):
        data = json.loads(Path(path).read_text("utf-8"))
        computed, result = Computed(data), data["Result"]
        pairs = [(name, value, number(result[name])) for name, value in computed.values.items()]
        expected = published_profits(result)
        assert [kind for kind, _ in computed.profits] == [kind for kind, _ in expected], path.name
        for (kind, got), (_, wanted) in zip(computed.profits, expected, strict=True):
            pairs.append((kind, got, wanted))
        for own, given in zip(computed.discounts, result["discount_factors"], strict=True):
            pairs += [("discount factor", got, number(wanted)) for got, wanted in zip(own, given, strict=True)]
        for name, got, wanted in pairs:
            # The part of the tolerance that is used up: 1e-9 relative or 1e-6 USD, whichever is wider.
            error = abs(got - wanted) / max(ABSOLUTE, RELATIVE * abs(wanted))
            if error > worst:
                worst, place = error, f"{path.stem} {name}"
            if error > 1:
                failures.append(f"{path.stem} {name}: {float(got)} is not {float(wanted)}")
        cases += 1
    assert not failures, "\n".join(failures[:20])
    conformance_report(
        f"{FAMILY} (PMRM_2 scenarios, contingencies, IM, MM)", cases, f"{float(worst):.1e} x tolerance, {place}"
    )
