"""The catalogue of margin components: one module each, registered here and nowhere else.

A component named T has a policy part (what a policy file says) and a published part (what a snapshot holds), told
apart by ``"type": "T"``. To add one: write the pair in ``engine/components/T.py``, add it to the two unions below,
and give it an encoder in ``circuits``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.components.base import REQUIREMENTS, SCALE_BP, Charge, Leg, PolicyPart, PublishedPart, Requirement
from engine.components.haircuts import AssetTerms, Haircuts, HaircutTier, PublishedHaircuts
from engine.components.short_option_minimum import PublishedShortOptionMinimum, ShortOptionMinimum
from engine.components.worst_scenario import PublishedWorstScenario, ScenarioGrid, Tail, WorstScenario

PolicyComponent = Annotated[WorstScenario | ShortOptionMinimum | Haircuts, Field(discriminator="type")]
PublishedComponent = Annotated[
    PublishedWorstScenario | PublishedShortOptionMinimum | PublishedHaircuts, Field(discriminator="type")
]

__all__ = [
    "REQUIREMENTS",
    "SCALE_BP",
    "AssetTerms",
    "Charge",
    "HaircutTier",
    "Haircuts",
    "Leg",
    "PolicyComponent",
    "PolicyPart",
    "PublishedComponent",
    "PublishedHaircuts",
    "PublishedPart",
    "PublishedShortOptionMinimum",
    "PublishedWorstScenario",
    "Requirement",
    "ScenarioGrid",
    "ShortOptionMinimum",
    "Tail",
    "WorstScenario",
]
