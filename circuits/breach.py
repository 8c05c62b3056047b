"""The circuit of a breach: equity is *below* num : den of a requirement. docs/protocol-breach.md has the argument.

A claim is proved with a requirement that may only be too large and an equity that may only be too small. Here both are
turned round: the requirement may only be too small, the equity only too large.

    bits     b_0 + sum_s b_s = 1, all >= 0, for each group                       one scenario, or none, hidden
    loss     L_s - t + M_s (1 - b_s) >= 0,   M_0 (1 - b_0) - t >= 0,   t >= 0     t is at most the loss that is chosen
    sides    h_j o_j = 0  where a lot owed counts for more than a lot held        by a product gate
    equity   E = 10^4 sum q mark + sum h_j long_j - o_j short_j                   exact; tiers would only lower it
    breach   num factor sum t - den E - 1 >= 0                                    valuation units

Charges that only add to a requirement (floors, surcharges, additions) are left out: what is shown is a lower bound of
it. What lowers a requirement is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.hints import FirstSmallest, Largest
from zkmargin.circuits.language.system import Form, System
from zkmargin.circuits.language.witness import Witness, assign
from zkmargin.circuits.margin import frozen, new_system
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.joint_scenarios import PublishedJointScenarios
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.decimals import to_cents
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import ConstraintError, InputError

#: What is read here, and what may be left out: candidates, surcharges and additions, which never lower a requirement.
#: Any other component, one that lowers a charge (inter_commodity_credit) or one that is not listed yet, is refused.
READ = frozenset(("worst_scenario", "joint_scenarios", "haircuts", "factors"))
ONLY_ADDING = frozenset(
    (
        *("basis_contingency", "calendar_charge", "collateral_charge", "dampened_tails", "delta_norm"),
        *("delta_shock_upper_bound", "discounted_scenarios", "expected_shortfall", "fees", "funding", "gain_offset"),
        *("gross_charge", "min_delta", "open_orders", "short_option_minimum", "skew_scenarios", "tiered_margin"),
        "vega_term_upper_bound",
    )
)
RULE = "breach"


def build_breach_circuit(snapshot: Snapshot, claim: Claim) -> Circuit:
    """The circuit that shows that a claim is false. Public and deterministic.

    Raises:
        InputError: a policy that can lower a requirement, or that has no scenarios of its own; quantities that could
            wrap around the field.
    """
    parts = [part for part in snapshot.components if part.applies_to(claim.requirement)]
    for part in parts:
        if part.type not in READ | ONLY_ADDING:
            raise InputError("it may lower requirements, so leaving it out would overstate them", field=part.type)
    system = new_system(snapshot)
    charges = Form()
    for key, losses in _losses(snapshot, system, claim.requirement).items():
        charges += _chosen(system, str(key), losses)
    if not charges.terms:
        raise InputError("no scenario of this policy can bound a requirement from below", field="components")
    required = claim.num * snapshot.factor_bp(claim.requirement) * charges
    system.at_least_zero(RULE, f"{claim.num}:{claim.den}", required - claim.den * _equity(snapshot, system) - 1)
    return frozen(system, snapshot)


def breach_witness(snapshot: Snapshot, claim: Claim, lots: BookLots) -> Witness:
    """The witness that a claim is false for a book.

    Raises:
        InputError: as ``build_breach_circuit``; a quantity outside its bound.
        ConstraintError: no breach that scenarios alone show; ``shortfall`` says by how much, in valuation units.
    """
    circuit = build_breach_circuit(snapshot, claim)
    circuit.refuse_retired(lots.positions, lots.collateral)
    try:
        return assign(circuit, lots.positions, lots.collateral)
    except ConstraintError as error:
        missing = -(-(error.shortfall or 0) // claim.den)
        raise ConstraintError(
            f"no breach to show: equity is not below what the scenarios alone require, by "
            f"{to_cents(-missing, VALUATION_DECIMALS).removeprefix('-')} {snapshot.quote}",
            rule=RULE,
            shortfall=missing,
        ) from None


def _losses(snapshot: Snapshot, system: System, requirement: str) -> dict[int | str, list[Form]]:
    """The losses that a group's charge is at least, money units."""
    found: dict[int | str, list[Form]] = {}
    group_of = np.array(snapshot.group_of, dtype=np.int64)
    for part in snapshot.components:
        if part.applies_to(requirement) and isinstance(part, PublishedWorstScenario):
            for group, labels in enumerate(part.scenarios):
                rows = np.where((group_of == group)[:, None], -part.risk.values, 0)
                found.setdefault(group, []).extend(system.dense("positions", rows[:, s]) for s in range(len(labels)))
        elif part.applies_to(requirement) and isinstance(part, PublishedJointScenarios):
            for key, members in _joint(part, group_of, len(snapshot.groups)):
                rows = np.where(members[:, None], -part.risk.values, 0)
                found.setdefault(key, []).extend(system.dense("positions", column) for column in rows.T.copy())
    return {key: [loss for loss in losses if loss.terms] for key, losses in found.items()}


def _joint(
    part: PublishedJointScenarios, group_of: np.ndarray[tuple[int], np.dtype[np.int64]], groups: int
) -> Iterator[tuple[int | str, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    """Where joint scenarios count, and the slots that take part."""
    if part.group is not None:
        yield part.group, np.ones(len(group_of), dtype=np.bool_)
        return
    for group in range(groups):
        yield group, group_of == group


def _chosen(system: System, name: str, losses: list[Form]) -> Form:
    """A hidden integer from 0 to one of the losses, or 0: the prover chooses which."""
    if not losses:
        return Form()
    upper = max(0, *(system.bounds(loss)[1] for loss in losses))
    loss_of = system.integer(f"{RULE}: loss of {name}", upper, Largest(0, *losses))
    operands: tuple[Form | int, ...] = (0, *(-loss for loss in losses))
    bits = [
        system.integer(f"{RULE}: scenario {place} of {name}", 1, FirstSmallest(operands, place))
        for place in range(len(operands))
    ]
    system.equal(RULE, f"{name} one scenario", sum(bits, Form(constant=-1)))
    top = system.bounds(loss_of)[1]
    system.at_least_zero(RULE, f"{name} none", Form(constant=top) - top * bits[0] - loss_of)
    for place, (loss, bit) in enumerate(zip(losses, bits[1:], strict=True), 1):
        lift = max(top - system.bounds(loss)[0], 0)
        system.at_least_zero(RULE, f"{name} scenario {place}", loss - loss_of + lift - lift * bit)
    return loss_of


def _equity(snapshot: Snapshot, system: System) -> Form:
    """Equity in valuation units: exact, but for tiers of haircuts, which only lower it."""
    equity = system.dense("positions", snapshot.marks.values) * SCALE_BP
    haircuts = next(part for part in snapshot.components if isinstance(part, PublishedHaircuts))
    values = zip(haircuts.long_value.values.tolist(), haircuts.short_value.values.tolist(), strict=True)
    for j, (long_value, short_value) in enumerate(values):
        held, owed = system.collateral(j)
        if owed.terms and short_value > long_value:
            system.equal(RULE, f"collateral {j} on one side", system.product(held, owed))
        equity += held * long_value - owed * short_value
    return equity
