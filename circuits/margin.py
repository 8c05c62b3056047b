"""From a claim to a circuit: public, from a snapshot alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from zkmargin.circuits.encoders import encode
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import System
from zkmargin.circuits.limits import encode_limit
from zkmargin.circuits.requirement import Requirement
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import MAX_LIMITS, Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats.errors import InputError
from zkmargin.formats.keyed import ByDigest


def build_circuit(snapshot: Snapshot, claim: Claim, limits: Sequence[Limit] = ()) -> Circuit:
    """The circuit of one claim, and limits, against one snapshot. Public and deterministic; the last few are kept.

    Raises:
        InputError: a policy that the circuit cannot express, or quantities that could wrap around the field.

    Example:
        >>> from zkmargin.engine.claims import Claim
        >>> build_circuit(snapshot, Claim("1.1")).digest == statement.circuit.digest
        True
    """
    return _build(ByDigest(snapshot), claim, tuple(limits))


@lru_cache(maxsize=4)
def _build(keyed: ByDigest[Snapshot], claim: Claim, limits: tuple[Limit, ...]) -> Circuit:
    return new_circuit(keyed.document, claim, limits)


def new_circuit(snapshot: Snapshot, claim: Claim, limits: Sequence[Limit] = ()) -> Circuit:
    """As ``build_circuit``, kept by nobody: for snapshots that are used once, whose digest nobody asks for."""
    system = new_system(snapshot)
    write_margin(system, snapshot, claim, limits)
    return frozen(system, snapshot)


def new_system(snapshot: Snapshot) -> System:
    """The layout of a snapshot's slots, without any equation of a policy."""
    layout = snapshot.layout
    return System(
        n=layout.domain_size,
        position_count=len(snapshot.instruments),
        position_bits=layout.position_bits,
        range_proved=layout.range_proved,
        collateral=[(slot.bits, slot.negative_allowed) for slot in snapshot.collateral],
    )


def frozen(system: System, snapshot: Snapshot) -> Circuit:
    """The circuit of a finished system over a snapshot's slots."""
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
