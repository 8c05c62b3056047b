"""A batch whose weights do not cover W': forged on a contract compiled without that line, refused by the real one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.chain_forge import Junk, falsified
from support.chain_lab import standard

from contracts.build import HERE, standard_input
from contracts.tests.cases import Deployed
from contracts.tests.evm import Anvil, Reverted
from zkmargin.chain.abi import decode_result, error_name
from zkmargin.chain.calls import deploy_verifier, item, verify_batch_call
from zkmargin.crypto.domain import divide_by_linear, evaluate
from zkmargin.crypto.field import inverse, r
from zkmargin.formats import keccak256
from zkmargin.prover.chain_reference import add, scale
from zkmargin.verifier.chain import ChainProof
from zkmargin.verifier.chain.argument import transcript_of
from zkmargin.verifier.chain.proof import Commitments

LINE = "state = _absorb(BUFFER, state, p + 928, 96);"


def compiled_without(line: str, folder: Path) -> bytes:
    """The creation code of MarginVerifier without one line."""
    given = standard_input()
    source = given["sources"]["src/MarginVerifier.sol"]["content"]
    assert source.count(line) == 1
    given["sources"]["src/MarginVerifier.sol"]["content"] = source.replace(line, "")
    path = folder / "mutant.json"
    path.write_text(json.dumps(given), "utf-8")
    done = subprocess.run(["node", "compile.cjs", str(path)], cwd=HERE, check=True, capture_output=True)
    output = json.loads(done.stdout)["output"]
    return bytes.fromhex(output["contracts"]["src/MarginVerifier.sol"]["MarginVerifier"]["evm"]["bytecode"]["object"])


def forged_batch(deployed: Deployed, nonces: list[bytes]) -> tuple[Any, list[bytes]]:
    """Two proofs of a false claim: nothing in them holds but the sum that the early weight asks for."""
    made, all_states = [], bytes(32)
    for i, nonce in enumerate(nonces):
        case = falsified(deployed.bound(standard(1), nonce))
        junk, transcript = Junk(case.statement, case, f"batch {i}"), transcript_of(case.statement)
        junk.start(transcript)
        gamma = transcript.round4(junk.values)
        W = [7 + i, 1]
        (W_point,) = junk.points(W)
        x = transcript.round5(W_point)
        all_states = keccak256(all_states + transcript.state)
        L = add(junk.combined(junk.at(junk.values), junk.values, gamma, x), scale(W, -1))
        made.append((case, junk, W_point, x, L))
    t = b"".join(keccak256(b"\x02" + all_states + bytes([j])) for j in (0, 1))
    alpha = int.from_bytes(t, "big") % r
    (case, first, W_1, x_1, L_1), (other, second, W_2, x_2, L_2) = made
    # (X - x_1) W'_1 = L_1 + alpha (L_2 + (x_2 - X) c) for the constant W'_2 = c that makes it divide
    c = -(evaluate(L_1, x_1) + alpha * evaluate(L_2, x_1)) * inverse(alpha * (x_2 - x_1)) % r
    W_shifted, rest = divide_by_linear(add(L_1, scale(L_2, alpha), scale([x_2, -1], alpha * c)), x_1)
    assert rest == 0
    proofs = [
        ChainProof(Commitments(*first.sent, W_1, *first.points(W_shifted)), first.values),
        ChainProof(Commitments(*second.sent, W_2, *second.points([c])), second.values),
    ]
    items = [item(case.statement, proofs[0]), item(other.statement, proofs[1])]
    return case.statement.table, items


def test_a_batch_weight_must_cover_the_last_points(anvil: Anvil, tmp_path: Path) -> None:
    nonces = [bytes([i + 1]) * 32 for i in range(2)]
    table = standard(1).statement.table
    honest = deploy_verifier(table)
    real = Deployed.of(anvil, standard(1))
    from zkmargin.chain.artefacts import artefact

    arguments = honest[len(artefact("MarginVerifier").creation) :]
    receipt = anvil.send(None, compiled_without(LINE, tmp_path) + arguments)
    assert receipt.address is not None
    mutant = Deployed(anvil, receipt.address)
    table, items = forged_batch(mutant, nonces)
    answer = anvil.call(mutant.address, verify_batch_call(table, nonces, items))
    assert decode_result("MarginVerifier", "verifyBatch", answer)[0] == table.hash  # the mutant falls for it
    table, items = forged_batch(real, nonces)
    with pytest.raises(Reverted) as reverted:
        anvil.call(real.address, verify_batch_call(table, nonces, items))
    assert error_name(reverted.value.data) == "ProofRejected()"
