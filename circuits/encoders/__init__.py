"""One encoder for each margin component, found by the component's name.

To add a component: write ``engine/components/T.py`` (its meaning) and ``circuits/encoders/T.py`` (its equations),
and register both under the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from circuits.encoders import haircuts, short_option_minimum, worst_scenario
from circuits.requirement import Requirement

# Any: each encoder takes its own published component.
Encoder = Callable[[Any, Requirement], None]

ENCODERS: dict[str, Encoder] = {
    "haircuts": haircuts.encode,
    "short_option_minimum": short_option_minimum.encode,
    "worst_scenario": worst_scenario.encode,
}
