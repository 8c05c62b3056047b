"""Witnesses of dense accounts: committed columns, digits row by row, packed cells. Everything here is secret."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.venue import DenseTemplate
from zkmargin.crypto.segments import segment_rows
from zkmargin.engine.book import BookLots
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.exact import exact_dot
from zkmargin.formats.errors import InputError
from zkmargin.prover.venue.by_circuit import dense_values
from zkmargin.verifier.venue.statement import DenseSlot, VenueStatement

Int64Array = npt.NDArray[np.int64]


@dataclass(repr=False)
class DenseWitness:
    """A dense account's columns: committed rows by name, and the digits int64 [digit columns, n]."""

    committed: dict[str, Int64Array]
    digits: Int64Array


@dataclass(frozen=True, repr=False)
class DenseAssessment:
    """The bounded integers of an account by their numbers, and its surplus (None without a claim)."""

    values: dict[int, int]
    surplus: int | None


def dense_assessment(y: DenseSlot, lots: BookLots) -> DenseAssessment:
    """What a dense account owes and has, exactly."""
    template, rules = y.template, y.template.rules
    if template.account is not None:
        collateral, requirement, values = dense_values(template.account, lots)
    else:
        collateral, requirement, values = _by_groups(template, lots)
    if template.claim is None:
        return DenseAssessment(values, None)
    worth = SCALE_BP * sum(q * int(mark) for q, mark in zip(lots.positions, rules.marks, strict=True))
    den = template.options.den
    owed = template.claim.num * (den // template.claim.den) * requirement + den * template.headroom
    return DenseAssessment(values, den * (worth + collateral) - owed)


def _by_groups(template: DenseTemplate, lots: BookLots) -> tuple[int, int, dict[int, int]]:
    """Collateral, requirement, and the bounded integers by their numbers."""
    rules, values, total = template.rules, dict[str, int](), 0
    for g in range(rules.groups):
        members = [i for i, group in enumerate(rules.group_of) if group == g and lots.positions[i]]
        losses = exact_dot(rules.risk[members, : rules.scenarios[g]], [-lots.positions[i] for i in members])
        names = [f"slack {g} {j}" for j in range(rules.scenarios[g])]
        if rules.minimum is not None:
            losses.append(sum(max(-lots.positions[i], 0) * int(rules.minimum[i]) for i in members))
            names.append(f"slack {g} minimum")
        charge = max(0, *losses)
        total += charge
        values |= {f"charge {g}": charge, **{x: charge - loss for x, loss in zip(names, losses, strict=True)}}
    for j, balance in enumerate(lots.collateral):
        values[f"held {j}"] = max(balance, 0)
        if rules.owed[j]:
            values[f"owed {j}"] = max(-balance, 0)
    rates = zip(lots.collateral, rules.long_value, rules.short_value, strict=True)
    collateral = sum(balance * (held if balance > 0 else owed) for balance, held, owed in rates)
    numbers = {template.integers.index(name): x for name, x in values.items()}
    return collateral, rules.factor_bp * total, numbers


def dense_witness(
    statement: VenueStatement, y: DenseSlot, lots: BookLots, assessed: DenseAssessment, marked: bool
) -> tuple[DenseWitness, int]:
    """The columns of a dense account, and its shortfall. Raises InputError for a value beyond its bound."""
    template, n, k = y.template, statement.n, statement.k
    integers, D, mask = template.integers, y.template.position_digits, (1 << statement.k) - 1
    committed = {
        f"dense {y.index} {role}[{s}]": segment_rows(values, n, s)
        for role, values, count in (
            ("positions", lots.positions, template.segments),
            ("collateral", lots.collateral, template.balance_segments),
        )
        for s in range(count)
    }
    digits = np.zeros((template.digit_columns, n), dtype=np.int64)
    for s in range(template.segments):
        q = committed[f"dense {y.index} positions[{s}]"]
        if np.abs(q).max(initial=0) > template.position_bound:
            raise InputError("a position beyond its bound", field=f"dense account {y.index}")
        for side, amount in enumerate((np.maximum(q, 0), np.maximum(-q, 0))):
            for d in range(D):
                digits[(2 * s + side) * D + d] = (amount >> (k * d)) & mask
    values = dict(assessed.values)
    missing = 0
    if assessed.surplus is not None:
        slack = assessed.surplus
        if template.options.exempt:
            values |= {integers.index("exempt"): int(marked), integers.index("not exempt"): 1 - int(marked)}
            slack += integers.big * int(marked)
        if template.options.cap is not None:
            missing = max(0, -(slack // template.options.den))
            values[integers.index("shortfall")] = missing
            slack += template.options.den * missing
        values[integers.index("claim")] = slack
    packed = digits[template.packed_offset :].reshape(-1)
    for v, (bounded, start) in enumerate(zip(integers.bounded, integers.starts, strict=False)):
        value = values[v]
        if not 0 <= value < 1 << (k * bounded.digits):
            raise InputError(f"{bounded.name}: beyond its bound", field=f"dense account {y.index}")
        for d in range(bounded.digits):
            packed[start + d] = (value >> (k * d)) & mask
    return DenseWitness(committed, digits), missing
