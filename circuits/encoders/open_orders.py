"""Open orders: ``sum_j rate_j (h_j + o_j)``, with h_j and o_j what is held and owed; overstating both costs more."""

from __future__ import annotations

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.open_orders import PublishedOpenOrders


@encode.register
def _encode_open_orders(component: PublishedOpenOrders, requirement: Requirement) -> None:
    """One addition."""
    total = Form()
    for j, rate in enumerate(component.rate.values.tolist()):
        held, owed = requirement.system.collateral(j)
        total += (held + owed) * rate
    requirement.addition(component.type, "open orders", total, scale=SCALE_BP, factored=component.mode == "added")
