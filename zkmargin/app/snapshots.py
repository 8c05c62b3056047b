"""Snapshots from what they are built from: a market, or a clearing house's risk arrays. No verification needs it."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.app.files import explained
from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import REQUIREMENTS
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.publishing.snapshots import (
    build_snapshot,
    build_snapshot_from_arrays,
    check_snapshot,
    check_snapshot_of_arrays,
)
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.engine.universe import Universe
from zkmargin.formats import Hint, InputError, parse_json, read_text


def load_market(path: str) -> Market | RiskArrays:
    """Read a market, or imported risk arrays: whichever it says it is. Raises InputError."""
    text = read_text(path)
    if '"zkmargin/' not in text[:65536]:
        raise InputError("is no market and no risk arrays of ours", file=path, hint=Hint.IMPORT)
    value = parse_json(text, file=path)
    arrays = isinstance(value, dict) and value.get("format") == RiskArrays.FORMAT
    try:
        return RiskArrays.parse(text, file=path) if arrays else Market.parse(text, file=path)
    except InputError as error:
        raise explained(error, RiskArrays if arrays else Market, path) from None


def build(
    source: Market | RiskArrays,
    policy: Policy,
    *,
    universe: Universe | None = None,
    earlier: Sequence[Market] = (),
    domain_size: int | None = None,
    position_bits: int | None = None,
) -> Snapshot:
    """The snapshot of a market, perhaps in the slots of a universe, or of arrays. Raises InputError."""
    if isinstance(source, RiskArrays):
        _refuse_universe(universe)
        return build_snapshot_from_arrays(source, policy, domain_size=domain_size, position_bits=position_bits)
    return build_snapshot(
        source, policy, universe=universe, earlier=earlier, domain_size=domain_size, position_bits=position_bits
    )


def _refuse_universe(universe: Universe | None) -> None:
    if universe is not None:
        raise InputError("risk arrays have the slots of their own file: a universe is for markets", field="universe")


def buildable(snapshot: Snapshot) -> dict[str, Circuit]:
    """The circuit of every requirement: a snapshot that no proof can be made for is refused here, not at the prover.

    Raises:
        InputError: a policy's numbers or a layout that no circuit takes.
    """
    return {name: build_circuit(snapshot, Claim(1, 1, name)) for name in REQUIREMENTS}


def check(
    snapshot: Snapshot,
    source: Market | RiskArrays,
    *,
    universe: Universe | None = None,
    earlier: Sequence[Market] = (),
) -> None:
    """Rebuild a snapshot from its market or arrays and compare. Raises InputError."""
    if isinstance(source, RiskArrays):
        _refuse_universe(universe)
        check_snapshot_of_arrays(snapshot, source)
    else:
        check_snapshot(snapshot, source, universe=universe, earlier=earlier)
