"""From a snapshot and a claim to a circuit; from a book to a witness, or to the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from zkmargin.circuits.encoders import encode
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import System
from zkmargin.circuits.language.witness import Witness, assign
from zkmargin.circuits.limits import encode_limit
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.book import BookLots
from zkmargin.engine.decimals import from_units
from zkmargin.engine.limits import MAX_LIMITS, Limit
from zkmargin.engine.margin import VALUATION_DECIMALS, Claim, MarginReport, margin_report
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import ConstraintError, InputError
from zkmargin.formats.keyed import ByDigest


def build_circuit(snapshot: Snapshot, claim: Claim, limits: Sequence[Limit] = ()) -> Circuit:
    """The circuit of one claim, and limits, against one snapshot. Public and deterministic; the last few are kept.

    Raises:
        InputError: a policy that the circuit cannot express, or quantities that could wrap around the field.
    """
    return _build(ByDigest(snapshot), claim, tuple(limits))


@lru_cache(maxsize=4)
def _build(keyed: ByDigest[Snapshot], claim: Claim, limits: tuple[Limit, ...]) -> Circuit:
    return new_circuit(keyed.document, claim, limits)


def new_circuit(snapshot: Snapshot, claim: Claim, limits: Sequence[Limit] = ()) -> Circuit:
    """As ``build_circuit``, kept by nobody: for snapshots that are used once, whose digest nobody asks for."""
    layout = snapshot.layout
    system = System(
        n=layout.domain_size,
        position_count=len(snapshot.instruments),
        position_bits=layout.position_bits,
        range_proved=layout.range_proved,
        collateral=[(slot.bits, slot.negative_allowed) for slot in snapshot.collateral],
    )
    write_margin(system, snapshot, claim, limits)
    return Circuit.freeze(
        system,
        len(snapshot.collateral),
        retired=(snapshot.retired_slots("positions"), snapshot.retired_slots("collateral")),
        least_segments=(snapshot.segments("positions"), snapshot.segments("collateral")),
    )


def write_margin(system: System, snapshot: Snapshot, claim: Claim, limits: Sequence[Limit] = ()) -> None:
    """Write the equations of a claim, and limits, into a system: a circuit's, or a planner's (risk/programme.py).

    Raises:
        InputError: a policy that the circuit cannot express, or limits that the snapshot does not know.
    """
    group_of = np.array([slot.group for slot in snapshot.instruments], dtype=np.int64)
    requirement = Requirement(system, tuple(snapshot.groups), group_of, snapshot.marks.values)
    for component in snapshot.components:
        if component.applies_to(claim.requirement):
            encode(component, requirement)
    factor_bp = snapshot.factor_bp(claim.requirement)
    headroom = requirement.write(factor_bp=factor_bp, num=claim.num, den=claim.den)
    if len(limits) > MAX_LIMITS:
        raise InputError(f"{len(limits)} limits, at most {MAX_LIMITS}", field="limits")
    for limit in limits:
        encode_limit(limit, snapshot, requirement, headroom)


def margin_witness(snapshot: Snapshot, claim: Claim, lots: BookLots, limits: Sequence[Limit] = ()) -> Witness:
    """The witness that the claim, and every limit, holds for a book.

    Raises:
        InputError: a quantity outside its bound.
        ConstraintError: the claim or a limit is false; the message (for the owner of the book) names the binding
            scenarios and the shortfall in the quote currency, ``shortfall`` is in valuation units.
    """
    circuit = build_circuit(snapshot, claim, limits)
    circuit.refuse_retired(lots.positions, lots.collateral)
    try:
        return assign(circuit, lots.positions, lots.collateral)
    except ConstraintError:
        for limit in limits:
            outside = -limit.slack(snapshot, lots, claim.requirement)
            if outside > 0:
                raise ConstraintError(f"the limit is not kept: {limit}", rule=limit.kind, shortfall=outside) from None
        raise _refusal(margin_report(snapshot, lots, claim.requirement), claim, snapshot.quote) from None


def _refusal(report: MarginReport, claim: Claim, quote: str) -> ConstraintError:
    """Why a claim is false, for the owner of the book: the amounts, the shortfall, the binding scenarios."""
    missing = -(report.slack(claim) // claim.den)
    binding = "; ".join(f"{g.group}: {g.label} ({_money(g.charge)})" for g in report.groups if g.charge)
    extra = "; ".join(f"{a.component} ({_money(a.amount)})" for a in report.additions if a.amount)
    ratio = f"{claim.num}/{claim.den}" if claim.den > 1 else str(claim.num)
    return ConstraintError(
        f"the claim is false: equity {_money(report.equity.total)} {quote} is below {ratio} x the {claim.requirement} "
        f"requirement {_money(report.total)} {quote}, short by {_money(missing)} {quote}; "
        f"what binds: {'; '.join(part for part in (binding, extra) if part) or 'negative equity'}",
        rule="claim",
        shortfall=missing,
        hint=f"add collateral worth {_money(missing)} {quote} after haircuts, or claim less",
    )


def _money(amount: int) -> str:
    """Valuation units as an exact decimal of quote currency."""
    return from_units(amount, VALUATION_DECIMALS)
