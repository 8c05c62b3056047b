"""Gas of whole transactions, held per hardfork by ``contracts/gas.json``: a rise of more than 1 % fails.

``ZKMARGIN_GAS_WRITE=1`` writes the file anew: look at the difference before you commit it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.chain_lab import prove, prove_joint

from contracts.tests.cases import NONCE, Deployed, item, sized_case, sized_joint
from contracts.tests.evm import Anvil
from zkmargin.chain.abi import decode_result, encode_call, encode_constructor
from zkmargin.chain.calls import (
    deploy_verifier,
    joint_item,
    verifier_name,
    verify_batch_call,
    verify_call,
    verify_stored_call,
)

GAS = Path(__file__).resolve().parents[1] / "gas.json"
TOLERANCE = 1.01
#: What the design asks of one group, 1023 instruments: scenarios -> (table in the call, table in code).
TARGETS = {16: (345_000, 335_000), 35: (390_000, 375_000), 63: (455_000, 430_000)}
BATCH, BATCH_TARGET = 8, 165_000
TWO_GROUPS_TARGET = 470_000
JOINT, JOINT_TARGET = 32, 61_000

#: Wide layouts: scenarios of a group, and the rest; with gain offsets of one product group.
WIDE: dict[str, tuple[int, dict[str, Any]]] = {
    "16 with a floor by size": (16, {"modes": ("floor",)}),
    "35 with a floor by size": (35, {"modes": ("floor",)}),
    "35 with a floor and additions": (35, {"modes": ("floor", "added", "flat")}),
    "31 x 4": (31, {"groups": 4}),
    "15 x 8": (15, {"groups": 8}),
    "10 of 2 classes with a floor by size": (10, {"classes": 2, "modes": ("floor",)}),
    "10 of 3 classes with a floor by size": (10, {"classes": 3, "modes": ("floor",)}),
    "31 of 2 classes": (31, {"classes": 2}),
}
#: Scenarios and dampened tails of a group.
TAILS: dict[str, tuple[int, dict[str, Any]]] = {
    "27 with 8 tails": (27, {"tails": 8}),
    "27 x 2 with 8 tails each": (27, {"tails": 8, "groups": 2}),
}


def measured(anvil: Anvil) -> dict[str, int]:
    """Every transaction of the table, by name."""
    found: dict[str, int] = {}
    registry = anvil.send(None, encode_constructor("SnapshotRegistry", [])).address
    assert registry is not None
    for name, scenarios, groups in (("16", 16, 1), ("35", 35, 1), ("63", 63, 1), ("35 x 2", 35, 2)):
        count = 1023 if groups == 1 else 448
        case = sized_case(scenarios, b"", groups=groups, count=count)
        table = case.statement.table
        found[f"deploy MarginVerifier {name}"] = anvil.send(None, deploy_verifier(table)).gas
        deployed = Deployed.of(anvil, case)
        case = deployed.bound(case)
        sent = item(case.statement, prove(case))
        receipt = anvil.send(deployed.address, verify_call(table, NONCE, sent))
        assert receipt.succeeded
        found[f"verify {name}, table in the call"] = receipt.gas
        call = encode_call("SnapshotRegistry", "store", [table.content()])
        (store,) = decode_result("SnapshotRegistry", "store", anvil.call(registry, call))
        found[f"store a table {name}"] = anvil.send(registry, call).gas
        receipt = anvil.send(deployed.address, verify_stored_call(table, store, NONCE, sent))
        assert receipt.succeeded
        found[f"verify {name}, table in code"] = receipt.gas
        if groups == 1:
            nonces = [bytes([i]) * 32 for i in range(BATCH)]
            items = []
            for i, nonce in enumerate(nonces):
                one = deployed.bound(sized_case(scenarios, b"", seed=10 + i), nonce)
                items.append(item(one.statement, prove(one, f"gas {i}")))
            receipt = anvil.send(deployed.address, verify_batch_call(table, nonces, items))
            assert receipt.succeeded
            found[f"verify a batch of {BATCH}, {name}, each"] = receipt.gas // BATCH
    for name, (scenarios, options) in (WIDE | TAILS).items():
        case = sized_case(scenarios, b"", **options)
        table = case.statement.table
        deployed = Deployed.of(anvil, case)
        case = deployed.bound(case)
        sent = item(case.statement, prove(case))
        receipt = anvil.send(deployed.address, verify_call(table, NONCE, sent))
        assert receipt.succeeded
        found[f"verify {name}, table in the call"] = receipt.gas
        (store,) = decode_result(
            "SnapshotRegistry",
            "store",
            anvil.call(registry, call := encode_call("SnapshotRegistry", "store", [table.content()])),
        )
        assert anvil.send(registry, call).succeeded
        receipt = anvil.send(deployed.address, verify_stored_call(table, store, NONCE, sent))
        assert receipt.succeeded
        found[f"verify {name}, table in code"] = receipt.gas
        for joint in (False, True):  # the last one of each contract counts
            found[f"deploy {verifier_name(table.layout, joint=joint)}"] = anvil.send(
                None, deploy_verifier(table, joint=joint)
            ).gas
    for scenarios, modes in ((16, ()), (35, ()), (16, ("floor",))):
        joint = sized_joint(JOINT, scenarios, modes)
        table = joint.statement.table
        if not modes:
            found["deploy MarginJointVerifier"] = anvil.send(None, deploy_verifier(table, joint=True)).gas
        deployed = Deployed.of(anvil, joint)
        joint = deployed.bound_joint(joint)
        sent = joint_item(joint.statement, prove_joint(joint))
        receipt = anvil.send(deployed.address, verify_call(table, NONCE, sent))
        assert receipt.succeeded
        size = f"{scenarios}{' with a floor by size' if modes else ''}"
        found[f"verify {JOINT} accounts together, {size}, each"] = receipt.gas // JOINT
    return found


@pytest.fixture(scope="module", params=["osaka", "prague"])
def table(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, int]]]:
    anvil = Anvil(request.param)
    yield request.param, measured(anvil)
    anvil.close()


def test_no_transaction_got_dearer(table: tuple[str, dict[str, int]]) -> None:
    hardfork, found = table
    if os.environ.get("ZKMARGIN_GAS_WRITE"):
        written = json.loads(GAS.read_text("utf-8")) if GAS.exists() else {}
        GAS.write_text(json.dumps(written | {hardfork: found}, indent=1, sort_keys=True) + "\n", "utf-8")
    held = json.loads(GAS.read_text("utf-8"))[hardfork]
    assert set(held) == set(found)
    for name, gas in found.items():
        assert gas <= TOLERANCE * held[name], f"{hardfork}: {name}: {gas}, held at {held[name]}"
        assert gas >= held[name] / TOLERANCE, f"{hardfork}: {name} got cheaper: {gas}: write the table anew"


def test_targets_are_met(table: tuple[str, dict[str, int]]) -> None:
    _, found = table
    for scenarios, (in_call, in_code) in TARGETS.items():
        assert found[f"verify {scenarios}, table in the call"] <= in_call
        assert found[f"verify {scenarios}, table in code"] <= in_code
    assert found[f"verify a batch of {BATCH}, 16, each"] <= BATCH_TARGET
    assert found["verify 35 x 2, table in code"] <= TWO_GROUPS_TARGET
    assert found[f"verify {JOINT} accounts together, 16, each"] <= JOINT_TARGET
