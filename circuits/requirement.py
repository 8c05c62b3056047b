"""What encoders build on: candidates for a group's charge, additions, and equity.

    W_g >= every candidate of group g, W_g >= 0
    den * equity - num * factor * (sum_g W_g + additions) >= 0

The prover may choose W_g too large; that only hurts its own claim. So no maximum has to be computed exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from circuits.system import Atom, Form, System
from engine.components import SCALE_BP


@dataclass(frozen=True)
class Candidate:
    """A loss that competes for the charge of a group (money units)."""

    rule: str
    name: str
    loss: Form


class Requirement:
    """Collects what the components of a policy ask for, then writes the equations.

    Args:
        system: the circuit under construction.
        groups: names of the risk groups.
        group_of: [N] index of the group of each position slot.
        marks: [N] mark-to-market value of one lot, money units.
    """

    def __init__(
        self, system: System, groups: tuple[str, ...], group_of: npt.NDArray[np.int64], marks: npt.NDArray[np.int64]
    ) -> None:
        self.system, self.groups, self.group_of = system, groups, group_of
        self._candidates: list[list[Candidate]] = [[] for _ in groups]
        self._additions = Form()
        self._equity = system.dense("positions", marks) * SCALE_BP

    def candidate(self, group: int, rule: str, name: str, loss: Form) -> None:
        """A loss of which only the largest in its group counts. Constant forms without hidden terms are kept out."""
        if loss.terms:
            self._candidates[group].append(Candidate(rule, name, loss))

    def addition(self, amount: Form) -> None:
        """An amount on top of the groups' charges (money units); the form must never be below what is meant."""
        self._additions += amount

    def credit(self, value: Form) -> None:
        """A part of equity (valuation units); the form must never be above what is meant."""
        self._equity += value

    def write(self, *, factor_bp: int, num: int, den: int) -> None:
        """The equations of the charges and of the claim equity : requirement >= num : den."""
        charge = self._additions
        for group, candidates in zip(self.groups, self._candidates, strict=True):
            if not candidates:
                continue
            losses = [c.loss for c in candidates]
            upper = max(self.system.bounds(loss)[1] for loss in losses)
            W = self.system.integer(f"charge of {group}", upper, _largest(losses))
            for c in candidates:
                self.system.at_least_zero(c.rule, f"{group}: {c.name}", W - c.loss)
            charge += W
        self.system.at_least_zero("claim", f"{num}:{den}", den * self._equity - (num * factor_bp) * charge)


def _largest(losses: list[Form]) -> Callable[[Callable[[Atom], int]], int]:
    return lambda of: max(0, *(loss.value(of) for loss in losses))
