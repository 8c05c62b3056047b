"""The catalogue of margin components: one module each, registered here and nowhere else.

A component named T has a policy part (what a policy file says) and a published part (what a snapshot holds), told
apart by ``"type": "T"``. To add one: write the pair in ``engine/components/T.py``, add it to the two unions below,
and give it an encoder in ``circuits``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zkmargin.engine.components.base import REQUIREMENTS, SCALE_BP, Charge, Leg, PolicyPart, PublishedPart, Requirement
from zkmargin.engine.components.basis_contingency import BasisContingency, PublishedBasisContingency
from zkmargin.engine.components.calendar_charge import CalendarCharge, PublishedCalendarCharge
from zkmargin.engine.components.collateral_charge import CollateralCharge, PublishedCollateralCharge
from zkmargin.engine.components.dampened_tails import DampenedTails, PublishedDampenedTails
from zkmargin.engine.components.delta_shock_upper_bound import DeltaShockUpperBound, PublishedDeltaShockUpperBound
from zkmargin.engine.components.discounted_scenarios import DiscountedScenarios, PublishedDiscountedScenarios
from zkmargin.engine.components.expected_shortfall import ExpectedShortfall, PublishedExpectedShortfall
from zkmargin.engine.components.factors import Factors, PublishedFactors
from zkmargin.engine.components.gain_offset import GainOffset, PublishedGainOffset
from zkmargin.engine.components.gross_charge import GrossCharge, PublishedGrossCharge
from zkmargin.engine.components.haircuts import AssetTerms, Haircuts, HaircutTier, PublishedHaircuts
from zkmargin.engine.components.inter_commodity_credit import InterCommodityCredit, PublishedInterCommodityCredit
from zkmargin.engine.components.joint_scenarios import JointScenarios, PublishedJointScenarios
from zkmargin.engine.components.min_delta import MinDelta, PublishedMinDelta
from zkmargin.engine.components.open_orders import OpenOrders, PublishedOpenOrders
from zkmargin.engine.components.oracle_confidence import OracleConfidence
from zkmargin.engine.components.provisions import Fees, Funding, PublishedFees, PublishedFunding
from zkmargin.engine.components.roll_shock import RollShock
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum, ShortOptionMinimum
from zkmargin.engine.components.skew_scenarios import PublishedSkewScenarios, SkewScenarios
from zkmargin.engine.components.span_scenarios import SpanScenarios
from zkmargin.engine.components.vega_term_upper_bound import PublishedVegaTermUpperBound, VegaTermUpperBound
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario, ScenarioGrid, Tail, WorstScenario

PolicyComponent = Annotated[
    CalendarCharge
    | InterCommodityCredit
    | SpanScenarios
    | CollateralCharge
    | DeltaShockUpperBound
    | ExpectedShortfall
    | Factors
    | Fees
    | Funding
    | GainOffset
    | GrossCharge
    | BasisContingency
    | DampenedTails
    | DiscountedScenarios
    | OracleConfidence
    | RollShock
    | SkewScenarios
    | Haircuts
    | JointScenarios
    | MinDelta
    | OpenOrders
    | ShortOptionMinimum
    | VegaTermUpperBound
    | WorstScenario,
    Field(discriminator="type"),
]
PublishedComponent = Annotated[
    PublishedCalendarCharge
    | PublishedInterCommodityCredit
    | PublishedCollateralCharge
    | PublishedDeltaShockUpperBound
    | PublishedExpectedShortfall
    | PublishedFactors
    | PublishedFees
    | PublishedFunding
    | PublishedGainOffset
    | PublishedGrossCharge
    | PublishedBasisContingency
    | PublishedDampenedTails
    | PublishedDiscountedScenarios
    | PublishedSkewScenarios
    | PublishedHaircuts
    | PublishedJointScenarios
    | PublishedMinDelta
    | PublishedOpenOrders
    | PublishedShortOptionMinimum
    | PublishedVegaTermUpperBound
    | PublishedWorstScenario,
    Field(discriminator="type"),
]

__all__ = [
    "REQUIREMENTS",
    "SCALE_BP",
    "AssetTerms",
    "BasisContingency",
    "CalendarCharge",
    "Charge",
    "CollateralCharge",
    "DampenedTails",
    "DeltaShockUpperBound",
    "DiscountedScenarios",
    "ExpectedShortfall",
    "Factors",
    "Fees",
    "Funding",
    "GainOffset",
    "GrossCharge",
    "HaircutTier",
    "Haircuts",
    "InterCommodityCredit",
    "JointScenarios",
    "Leg",
    "MinDelta",
    "OpenOrders",
    "OracleConfidence",
    "PolicyComponent",
    "PolicyPart",
    "PublishedBasisContingency",
    "PublishedCalendarCharge",
    "PublishedCollateralCharge",
    "PublishedComponent",
    "PublishedDampenedTails",
    "PublishedDeltaShockUpperBound",
    "PublishedDiscountedScenarios",
    "PublishedExpectedShortfall",
    "PublishedFactors",
    "PublishedFees",
    "PublishedFunding",
    "PublishedGainOffset",
    "PublishedGrossCharge",
    "PublishedHaircuts",
    "PublishedInterCommodityCredit",
    "PublishedJointScenarios",
    "PublishedMinDelta",
    "PublishedOpenOrders",
    "PublishedPart",
    "PublishedShortOptionMinimum",
    "PublishedSkewScenarios",
    "PublishedVegaTermUpperBound",
    "PublishedWorstScenario",
    "Requirement",
    "RollShock",
    "ScenarioGrid",
    "ShortOptionMinimum",
    "SkewScenarios",
    "SpanScenarios",
    "Tail",
    "VegaTermUpperBound",
    "WorstScenario",
]
