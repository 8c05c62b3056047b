"""Charges on pools: the size of a pool, then the lines of its convex charge.

    gross   size = sum_i long_i p_i + short_i m_i      (p_i, m_i: the digits of the long and short side of slot i)
    net     size >= v, size >= -v, v = sum_i value_i q_i
    amount  a >= slope_k size - start_k for each line, a >= 0      (one line from 0 is the amount itself)

Sizes and amounts that a prover overstates only raise its own charge.
"""

from __future__ import annotations

import numpy as np

from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.system import Form
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.components.pools import GrossPools, NetPools, Pool, PooledCharge


@encode.register
def _encode_gross_pools(component: GrossPools, requirement: Requirement) -> None:
    """A candidate of each group in mode ``floor``, otherwise one addition."""
    sizes = []
    for place in range(len(component.pools)):
        members = component.pool.values == place
        long = requirement.system.dense("long", np.where(members, component.long.values, 0))
        sizes.append(long + requirement.system.dense("short", np.where(members, component.short.values, 0)))
    _charge(component, sizes, requirement)


@encode.register
def _encode_net_pools(component: NetPools, requirement: Requirement) -> None:
    """A candidate of each group in mode ``floor``, otherwise one addition."""
    sizes = []
    for place, pool in enumerate(component.pools):
        value = np.where(component.pool.values == place, component.value.values, 0)
        sizes.append(magnitude(requirement, component.type, f"net size of {pool.name}", value))
    _charge(component, sizes, requirement)


def magnitude(requirement: Requirement, rule: str, name: str, value: np.typing.NDArray[np.int64]) -> Form:
    """A form that is at least ``|sum_i value_i q_i|``."""
    net = requirement.system.dense("positions", value)
    return requirement.at_least(rule, name, net, -net) if net.terms else Form()


def place_charge(
    requirement: Requirement, rule: str, mode: str, amounts: list[tuple[int | str, Form]], scale: int
) -> None:
    """Amounts (1/scale money units) by group: a candidate of each in mode ``floor``, otherwise one addition."""
    name = rule.replace("_", " ")
    if mode != "floor":
        total = sum((amount for _, amount in amounts), Form())
        requirement.addition(rule, name, total, scale=scale, factored=mode == "added")
        return
    sums: dict[int | str, Form] = {}
    for group, amount in amounts:
        sums[group] = sums.get(group, Form()) + amount
    for group, total in sums.items():
        requirement.candidate(group, rule, name, total, scale=scale, floor=True)


def _charge(component: PooledCharge, sizes: list[Form], requirement: Requirement) -> None:
    amounts = [
        (pool.group, _amount(component.type, pool, size, requirement))
        for pool, size in zip(component.pools, sizes, strict=True)
    ]
    place_charge(requirement, component.type, component.mode, amounts, component.scale)


def _amount(rule: str, pool: Pool, size: Form, requirement: Requirement) -> Form:
    if not size.terms:
        return Form()
    lines = [size * line.slope - line.start for line in pool.lines]
    if len(lines) == 1 and not pool.lines[0].start:
        return lines[0]
    return requirement.at_least(rule, f"charge of {pool.name}", *lines)
