"""Deterministic deployment: the same bytes, salt and arguments give the same addresses on every chain (EIP-1014).

The contracts are created by the factory that most chains have at ``FACTORY`` (github.com/Arachnid/deterministic-
deployment-proxy): its input is a salt and the creation code. Nobody has to be trusted for it: an address *is* the hash
of what was deployed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zkmargin.accounts.slots import slot_map_digest
from zkmargin.chain.abi import encode_constructor
from zkmargin.chain.calls import verifier_arguments, verifier_name
from zkmargin.chain.documents import Deployment, Rules
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, keccak256
from zkmargin.verifier.chain import Table

FACTORY = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
SALT = keccak256(b"zkmargin contracts v1")
NO_ADDRESS = "0x" + "00" * 20


@dataclass(frozen=True)
class Step:
    """One contract: its address, and the data of the transaction to ``FACTORY`` that creates it."""

    name: str
    address: str
    data: bytes


def create2(creation: bytes) -> str:
    """Where the factory puts this creation code."""
    preimage = b"\xff" + bytes.fromhex(FACTORY[2:]) + SALT + keccak256(creation)
    return "0x" + keccak256(preimage)[12:].hex()


def plan(
    rules: Rules, table: Table, snapshot: Snapshot, chain_id: int, *, joint: bool = False
) -> tuple[Deployment, list[Step]]:
    """What to deploy for a venue: the document, and the transactions in order.

    Args:
        rules: who attests and what covers.
        table: any table of the venue's layout.
        snapshot: any snapshot of the venue's slots; the table's own.
        joint: also a verifier of proofs for many accounts together.

    Raises:
        InputError: a table of another snapshot.
    """
    if table.snapshot != snapshot.digest().hex():
        raise InputError("is of another snapshot", field="table: snapshot")
    slots = [slot_map_digest(snapshot, role) for role in ("positions", "collateral")]
    attesters: list[Any] = [list(rules.position_attesters), list(rules.collateral_attesters)]
    steps = [
        _step("SnapshotRegistry", []),
        _step("CommitmentRegistry", [*attesters, *slots]),
        _step(verifier_name(table.layout), verifier_arguments(table)),
    ]
    snapshots, commitments, verifier = (step.address for step in steps)
    joint_verifier = {}
    if joint:
        steps.append(_step(verifier_name(table.layout, joint=True), verifier_arguments(table)))
        joint_verifier["joint_verifier"] = steps[-1].address
    settings = (
        verifier,
        snapshots,
        commitments,
        rules.series,
        rules.num,
        rules.den,
        rules.lag,
        rules.period_seconds,
        rules.window_blocks,
        joint_verifier.get("joint_verifier", NO_ADDRESS),
    )
    steps.append(_step("MarginChecker", [settings]))
    deployment = Deployment(
        chain_id=chain_id,
        series=rules.series.hex(),
        layout_digest=table.layout_digest.hex(),
        slot_maps=tuple(slot.hex() for slot in slots),
        verifier=verifier,
        snapshots=snapshots,
        commitments=commitments,
        checker=steps[-1].address,
        **joint_verifier,
    )
    return deployment, steps


def _step(name: str, arguments: Any) -> Step:
    creation = encode_constructor(name, arguments)
    return Step(name, create2(creation), SALT + creation)
