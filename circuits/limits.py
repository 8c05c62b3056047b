"""The equations of limits (engine/limits.py): further claims over the same hidden integers."""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot


def encode_limit(limit: Limit, snapshot: Snapshot, requirement: Requirement, headroom: Form) -> None:
    """Add a limit. ``headroom`` is the form equity - requirement (valuation units), never above the truth.

    Raises:
        InputError: an unknown subject, or a gross limit in a circuit without range-proved positions.
    """
    system, bound, name = requirement.system, limit.integer_bound(snapshot), str(limit)

    def within(form: Form) -> None:
        system.at_least_zero(f"limit {limit.kind}", name, form)

    if limit.kind == "headroom":
        within(headroom - bound)
        return
    slot = limit.slot(snapshot)
    if limit.kind == "collateral":
        within(Form({("collateral", slot): 1}) - bound)
        return
    if limit.kind == "position":
        coefficients = np.zeros(len(snapshot.instruments), dtype=np.int64)
        coefficients[slot] = 1
    else:
        members = np.array([s.underlying == limit.subject for s in snapshot.instruments])
        coefficients = np.where(members, snapshot.deltas.values, 0)
    if limit.kind == "gross-exposure":
        # p + m >= |q|: a prover that overstates both sides only hurts itself
        gross = system.dense("long", abs(coefficients)) + system.dense("short", abs(coefficients))
        within(bound - gross)
        return
    net = system.dense("positions", coefficients)
    within(bound - net)
    within(bound + net)
