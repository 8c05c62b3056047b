"""What a venue's proof reads of a snapshot: its policy as integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zkmargin.circuits.language.system import DenseKind, Int64Array
from zkmargin.circuits.venue.policies import AccountPolicy, RowTerm
from zkmargin.engine.components.factors import PublishedFactors
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class VenueRules:
    """A snapshot's policy as the integers that a venue proof reads. N instruments, M assets, S scenario columns.

    Of worst scenarios, a short minimum and haircuts each group slot has its equations, and its group stays hidden. Any
    other policy has a ``policy``: the circuit of a whole account, with all risk groups in one slot; then ``groups`` is
    1, and there are no scenarios here.

    Attributes:
        requirement: ``initial`` or ``maintenance``.
        groups: number of risk groups.
        group_of: [N] the group of each instrument.
        risk: int64 [N, S] P&L of one lot in each scenario of its group, money units; 0 beyond a group's own.
        scenarios: [groups] how many scenarios each group has.
        minimum: int64 [N] charge of one short lot, money units, or None where the policy has no short minimum.
        marks: int64 [N] value of one lot, money units.
        long_value, short_value: [M] valuation units credited for a lot held, debited for one owed.
        balance_bits: [M] bound of each balance.
        owed: [M] whether a balance may be negative.
        factor_bp: the requirement's factor, basis points.
        policy: the equations of a whole account, or None.
    """

    requirement: str
    groups: int
    group_of: tuple[int, ...]
    risk: Int64Array
    scenarios: tuple[int, ...]
    minimum: Int64Array | None
    marks: Int64Array
    long_value: tuple[int, ...]
    short_value: tuple[int, ...]
    balance_bits: tuple[int, ...]
    owed: tuple[bool, ...]
    factor_bp: int
    policy: AccountPolicy | None = None

    @property
    def instruments(self) -> int:
        """N."""
        return len(self.group_of)

    @property
    def assets(self) -> int:
        """M."""
        return len(self.balance_bits)

    @property
    def scenario_columns(self) -> int:
        """S, or the number of equations of an account's circuit."""
        return int(self.risk.shape[1]) if self.policy is None else self.policy.equations

    @property
    def largest_loss(self) -> int:
        """The most that one lot can lose in a scenario, or costs at least when sold short; money units."""
        if self.policy is not None:
            return self.policy.largest_loss
        charges = [0] if self.minimum is None else self.minimum.tolist()
        return max(int(np.abs(self.risk).max(initial=0)), *charges, 0)

    @property
    def largest_mark(self) -> int:
        """The largest value of one lot, money units."""
        return int(np.abs(self.marks).max(initial=0))

    @cached_property
    def matrices(self) -> Mapping[DenseKind, Int64Array]:
        """For each side of positions the public rows that equations read, int64 [rows, N]."""
        if self.policy is not None:
            return self.policy.matrices
        none = np.zeros((0, self.instruments), dtype=np.int64)
        short = none if self.minimum is None else self.minimum[None]
        return {"positions": np.ascontiguousarray(self.risk.T), "long": none, "short": short}

    @cached_property
    def row_terms(self) -> tuple[RowTerm, ...]:
        """Which row stands in which equation of the slot family."""
        if self.policy is not None:
            return self.policy.row_terms
        minimum = () if self.minimum is None else (RowTerm("short", 0, self.scenario_columns, -1),)
        return (*(RowTerm("positions", j, j, 1) for j in range(self.scenario_columns)), *minimum)

    @classmethod
    def of(cls, snapshot: Snapshot, requirement: str) -> VenueRules:
        """The rules of a snapshot.

        Raises:
            InputError: a component that a venue proof does not have, by name.
        """
        snapshot.refuse_retired("a venue proof")
        parts = [part for part in snapshot.components if part.applies_to(requirement)]
        haircuts = [part for part in parts if isinstance(part, PublishedHaircuts)]
        risk = [part for part in parts if isinstance(part, PublishedWorstScenario)]
        minima = [part for part in parts if isinstance(part, PublishedShortOptionMinimum)]
        by_groups = (
            len(risk) == len(haircuts) == 1
            and len(minima) <= 1
            and not haircuts[0].tiers
            and all(part.strikes is None and part.mode == "floor" for part in minima)
            and len(parts) == 2 + len(minima) + sum(isinstance(part, PublishedFactors) for part in parts)
        )
        policy = None if by_groups else AccountPolicy(snapshot, requirement)
        count, groups = len(snapshot.instruments), len(snapshot.groups)
        none = np.zeros((count, 0), dtype=np.int64)
        none.flags.writeable = False
        return cls(
            requirement=requirement,
            groups=groups if by_groups else 1,
            group_of=snapshot.group_of if by_groups else (0,) * count,
            risk=np.ascontiguousarray(risk[0].risk.values) if by_groups else none,
            scenarios=tuple(len(labels) for labels in risk[0].scenarios) if by_groups else (0,),
            minimum=np.ascontiguousarray(minima[0].charge.values) if by_groups and minima else None,
            marks=np.ascontiguousarray(snapshot.marks.values),
            long_value=tuple(haircuts[0].long_value.values.tolist()) if by_groups else (),
            short_value=tuple(haircuts[0].short_value.values.tolist()) if by_groups else (),
            balance_bits=tuple(slot.bits for slot in snapshot.collateral),
            owed=tuple(slot.negative_allowed for slot in snapshot.collateral),
            factor_bp=snapshot.factor_bp(requirement),
            policy=policy,
        )
