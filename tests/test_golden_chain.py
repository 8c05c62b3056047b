"""Golden files of the chain protocol: tables, rules, deployments and proofs that later releases must read as they are.

``tests/goldens.py --write chain`` makes them again: a difference is a new version of a format or of the protocol.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.chain_lab import joint_standard, prove, prove_joint, standard, wide
from support.chain_offsets import offset
from support.typed import JsonObject

from zkmargin.chain.deployment import plan
from zkmargin.chain.documents import Deployment, Rules
from zkmargin.crypto.srs import embedded
from zkmargin.formats import Document, load_document
from zkmargin.verifier.chain import Table, encode_chain_proof, verify_chain
from zkmargin.verifier.chain.joint import verify_joint
from zkmargin.verifier.chain.joint_proof import encode_joint_proof

FOLDER = Path(__file__).parent / "data" / "golden" / "chain"


def made() -> dict[str, bytes]:
    """Every file."""
    address = ["0x" + bytes([i + 1] * 20).hex() for i in range(5)]
    case = standard(2)
    table = case.statement.table
    rules = Rules(
        attesters=tuple(address[:3]),
        threshold=2,
        policies=(case.snapshot.policy.digest().hex(),),
        lifetime_seconds=3600,
        position_attesters=(address[3],),
        collateral_attesters=(address[4],),
        num=5,
        den=4,
        lag=1,
        period_seconds=600,
        window_blocks=50,
    )
    deployment, _ = plan(rules, table, case.snapshot, 1)
    files = {"table.json": table.to_bytes(), "rules.json": rules.to_bytes()}
    # addresses follow from the compiled code, which is pinned elsewhere: only what does not is golden
    files["deployment.json"] = deployment.model_copy(
        update=dict.fromkeys(("verifier", "snapshots", "commitments", "checker"), address[0])
    ).to_bytes()
    digests: JsonObject = {
        "series": rules.series.hex(),
        "table": table.hash.hex(),
        "layout": table.layout_digest.hex(),
        "documents": {name: document(name, data).digest().hex() for name, data in files.items()},
    }
    for groups in (1, 2):
        one = standard(groups)
        proof = encode_chain_proof(prove(one, "golden"), embedded().digest)
        files[f"{groups}.proof"] = proof
        digests[f"{groups}.proof"] = verify_chain(one.statement, proof).hex()
    for name, wide_layout in {"floors": "two floors and an addition", "groups": "three groups"}.items():
        one = wide(wide_layout)
        proof = encode_chain_proof(prove(one, "golden"), embedded().digest)
        files |= {f"{name}.proof": proof, f"{name}.table.json": one.statement.table.to_bytes()}
        digests[f"{name}.proof"] = verify_chain(one.statement, proof).hex()
        digests[f"{name}.table"] = one.statement.table.hash.hex()
    for name, layout in {"offsets": "a class alone", "tails": "tails of two classes"}.items():
        one = offset(layout)
        proof = encode_chain_proof(prove(one, "golden"), embedded().digest)
        files |= {f"{name}.proof": proof, f"{name}.table.json": one.statement.table.to_bytes()}
        digests[f"{name}.proof"] = verify_chain(one.statement, proof).hex()
        digests[f"{name}.table"] = one.statement.table.hash.hex()
    joint = joint_standard(3, 2)
    files["joint.proof"] = encode_joint_proof(prove_joint(joint, "golden"), embedded().digest)
    digests["joint.proof"] = verify_joint(joint.statement, files["joint.proof"]).hex()
    return files | {"digests.json": (json.dumps(digests, indent=1, sort_keys=True) + "\n").encode()}


def document(name: str, data: bytes) -> Document:
    kinds: dict[str, type[Document]] = {"table.json": Table, "rules.json": Rules, "deployment.json": Deployment}
    return kinds[name].parse(data)


def test_golden_files_are_what_this_program_makes() -> None:
    files = made()
    if os.environ.get("ZKMARGIN_WRITE_GOLDEN"):
        for name, data in files.items():
            (FOLDER / name).write_bytes(data)
    assert {path.name for path in FOLDER.iterdir()} == set(files)
    for name, data in files.items():
        assert (FOLDER / name).read_bytes() == data, name


@pytest.mark.parametrize("groups", [1, 2])
def test_golden_proofs_are_accepted(groups: int) -> None:
    digests = json.loads((FOLDER / "digests.json").read_text("utf-8"))
    proof = (FOLDER / f"{groups}.proof").read_bytes()
    assert verify_chain(standard(groups).statement, proof).hex() == digests[f"{groups}.proof"]


def test_the_golden_joint_proof_is_accepted() -> None:
    digests = json.loads((FOLDER / "digests.json").read_text("utf-8"))
    proof = (FOLDER / "joint.proof").read_bytes()
    assert verify_joint(joint_standard(3, 2).statement, proof).hex() == digests["joint.proof"]


@pytest.mark.parametrize("kind", [Table, Rules, Deployment])
def test_documents_are_read_and_written_as_they_are(kind: type[Document]) -> None:
    path = FOLDER / f"{kind.FORMAT.split('/')[1].removeprefix('chain-')}.json"
    digests = json.loads((FOLDER / "digests.json").read_text("utf-8"))
    found = load_document(kind, path)
    assert found.to_bytes() == path.read_bytes()
    assert found.digest().hex() == digests["documents"][path.name]
