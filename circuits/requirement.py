"""What encoders build on: candidates for a group's charge, additions, and equity.

    scale * W_g >= every candidate of group g, W_g >= 0       (so W_g is rounded up to a whole money unit)
    scale * A   >= an addition, A >= 0
    where a group has offsets (calendar charges, credits): V_g >= its losses, V_g >= 0, W_g >= V_g + offsets and floors
    den * equity - num * (factor * (sum_g W_g + sum A) + 10^4 * sum flat A) >= 0

The prover may choose W_g and A too large; that only hurts its own claim. So no maximum has to be computed exactly,
and rounding, where rates are rational, goes against the account in this one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.language.hints import Hint, Largest, Quotient
from zkmargin.circuits.language.system import Form, System
from zkmargin.engine.components import SCALE_BP


@dataclass(frozen=True)
class Candidate:
    """A loss that competes for the charge of a group, in 1/scale money units."""

    rule: str
    name: str
    loss: Form
    scale: int
    floor: bool = False


def charge_name(group: str) -> str:
    """The name of the hidden integer that is a group's charge: at least its largest loss, in money units."""
    return f"charge of {group}"


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
        self._candidates: dict[int | str, list[Candidate]] = {group: [] for group in range(len(groups))}
        self._offsets: dict[int | str, Form] = {}
        self._additions = Form()
        self._flat = Form()
        self._equity = system.dense("positions", marks) * SCALE_BP

    def candidate(
        self, group: int | str, rule: str, name: str, loss: Form, *, scale: int = 1, floor: bool = False
    ) -> None:
        """A loss (1/scale money units) of which only the largest in its group counts; without hidden terms, none.

        ``group`` is the index of a risk group, or the name of a joint one. A floor competes after the offsets.
        """
        if loss.terms:
            self._candidates.setdefault(group, []).append(Candidate(rule, name, loss, scale, floor))

    def surcharge(self, group: int, rule: str, name: str, amount: Form, *, scale: int = 1) -> None:
        """An amount (1/scale money units, >= 0, never below what is meant) on top of a group's largest loss."""
        if not amount.terms:
            return
        upper = -(-self.system.bounds(amount)[1] // scale)
        rounded = self.system.integer(f"{rule}: {name}", upper, _largest([(amount, scale)]))
        self.system.at_least_zero(rule, name, scale * rounded - amount)
        self._offsets[group] = self._offsets.get(group, Form()) + rounded

    def relief(self, group: int, rule: str, name: str, amount: Form, *, scale: int = 1) -> None:
        """An amount (1/scale money units, >= 0, never above what is meant) off a group's largest loss."""
        if not amount.terms:
            return
        upper = self.system.bounds(amount)[1] // scale
        rounded = self.system.integer(f"{rule}: {name}", upper, Quotient(amount, scale))
        self.system.at_least_zero(rule, name, amount - scale * rounded)
        self._offsets[group] = self._offsets.get(group, Form()) - rounded

    def addition(self, rule: str, name: str, amount: Form, *, scale: int = 1, factored: bool = True) -> None:
        """An amount (1/scale money units, never below 0) on top of the groups' charges, times the factor or flat.

        The form must never be below what is meant.
        """
        if not amount.terms:
            return
        if scale > 1:
            upper = -(-self.system.bounds(amount)[1] // scale)
            exact, amount = amount, self.system.integer(f"{rule}: {name}", upper, _largest([(amount, scale)]))
            self.system.at_least_zero(rule, name, scale * amount - exact)
        if factored:
            self._additions += amount
        else:
            self._flat += amount

    def credit(self, value: Form) -> None:
        """A part of equity (valuation units); the form must never be above what is meant."""
        self._equity += value

    def at_least(self, rule: str, name: str, *forms: Form) -> Form:
        """A hidden integer that is at least each form and at least 0; an honest prover takes the smallest."""
        upper = max(self.system.bounds(form)[1] for form in forms)
        bound = self.system.integer(f"{rule}: {name}", upper, _largest([(form, 1) for form in forms]))
        for form in forms:
            self.system.at_least_zero(rule, name, bound - form)
        return bound

    def write(self, *, factor_bp: int, num: int, den: int) -> Form:
        """The equations of the charges and of the claim equity : requirement >= num : den.

        Returns the form equity - requirement (valuation units), never above the truth: limits build on it.
        """
        requirement = self.amount(factor_bp)
        self.system.at_least_zero("claim", f"{num}:{den}", den * self._equity - num * requirement)
        return self._equity - requirement

    @property
    def equity(self) -> Form:
        """Marks and credits so far, valuation units."""
        return self._equity

    def amount(self, factor_bp: int) -> Form:
        """The equations of the charges; the requirement in valuation units, never below what is meant."""
        charge = self._additions
        for key, candidates in self._candidates.items():
            if not candidates and key not in self._offsets:
                continue
            group = key if isinstance(key, str) else self.groups[key]
            charge += self._maximum(charge_name(group), group, self._with_offsets(key, group, candidates))
        return factor_bp * charge + SCALE_BP * self._flat

    def _with_offsets(self, key: int | str, group: str, candidates: list[Candidate]) -> list[Candidate]:
        """The candidates of a group, its losses replaced by their maximum plus the offsets where it has any."""
        if key not in self._offsets:
            return candidates
        losses = [c for c in candidates if not c.floor]
        worst = self._maximum(f"largest loss of {group}", group, losses) if losses else Form()
        total = Candidate("charge", "loss and spreads", worst + self._offsets[key], 1)
        return [total, *(c for c in candidates if c.floor)]

    def _maximum(self, name: str, group: str, candidates: list[Candidate]) -> Form:
        """A hidden integer that is at least every candidate and 0; an honest prover takes the smallest."""
        upper = max(-(-self.system.bounds(c.loss)[1] // c.scale) for c in candidates)
        largest = self.system.integer(name, upper, _largest([(c.loss, c.scale) for c in candidates]))
        for c in candidates:
            self.system.at_least_zero(c.rule, f"{group}: {c.name}", c.scale * largest - c.loss)
        return largest


def _largest(losses: Sequence[tuple[Form, int]]) -> Hint:
    """The least integer that is >= loss / scale for every loss, and >= 0."""
    return Largest(0, *(loss if scale == 1 else Quotient(loss, scale, up=True) for loss, scale in losses))
