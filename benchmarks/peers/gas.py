"""Gas of UltraHonk's Solidity verifier on the EVM of our own gas table: ``make bench-peers``.

The peer's circuit is a single scenario of 64 positions, so its figure is a lower bound of what a margin proof would
cost there. Its setup is made here, of a tau that everybody knows, since no package holds the ceremony's powers: gas is
the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.powers import toy_setup
from contracts.tests.evm import Anvil
from zkmargin.chain.abi import encode_tuple
from zkmargin.formats import keccak256

HERE = Path(__file__).resolve().parent
CONTRACTS = HERE.parents[1] / "contracts"
#: tau of the ceremony over G2 as the generated verifiers have it: x1, x0, y1, y0.
CEREMONY = (
    "0x260e01b251f6f1c7e7ff4e580791dee8ea51d87a358e038b4efe30fac09383c1",
    "0x0118c4d5b837bcc2bc89b5b398b5974e9f5944073b32078b7e231fec938883b0",
    "0x04fc6369f7110fe3d25156c1bb9a72859cf2a04641f99ba4ee413c80da6a5fe4",
    "0x22febda3c0c0632a56475b4214e5615e11e6dd3f96e6cea2854a87d4dacc5e55",
)


def verifiers() -> dict[str, Any]:
    """What ``solidity.mjs`` writes, over a setup of our own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tau = toy_setup(folder, 1 << 16)
        command = ["node", str(HERE / "solidity.mjs"), str(folder / "made.json")]
        subprocess.run(command, check=True, env={**os.environ, "CRS_PATH": name}, stdout=subprocess.DEVNULL)
        made: dict[str, Any] = json.loads((folder / "made.json").read_text("utf-8"))
    for verifier in made["verifiers"].values():
        for old, new in zip(CEREMONY, tau, strict=True):
            if old not in verifier["source"]:
                raise SystemExit("error: the generated verifier holds another point of the ceremony")
            verifier["source"] = verifier["source"].replace(old, f"0x{new:064x}")
    return made


def compiled(source: str) -> dict[str, Any]:
    """The contracts of one source, by npm's solc, for speed of execution."""
    settings = {
        "evmVersion": "prague",
        "optimizer": {"enabled": True, "runs": 10_000},
        "outputSelection": {"*": {"*": ["evm.bytecode"]}},
    }
    given = {"language": "Solidity", "sources": {"v.sol": {"content": source}}, "settings": settings}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(given, file)
        file.flush()
        command = ["node", "compile.cjs", file.name]
        done = subprocess.run(command, cwd=CONTRACTS, check=True, capture_output=True)
    output = json.loads(done.stdout)["output"]
    errors = [e["formattedMessage"] for e in output.get("errors", []) if e["severity"] == "error"]
    if errors:
        raise SystemExit(f"error: {errors[0]}")
    contracts: dict[str, Any] = output["contracts"]["v.sol"]
    return contracts


def deploy(evm: Anvil, contracts: dict[str, Any], name: str, known: dict[str, str]) -> str:
    """The address of a contract, its libraries deployed first."""
    made = contracts[name]["evm"]["bytecode"]
    code: str = made["object"]
    for libraries in made["linkReferences"].values():
        for library, places in libraries.items():
            if library not in known:
                known[library] = deploy(evm, contracts, library, known)
            for place in places:
                at = 2 * place["start"]
                code = code[:at] + known[library][2:] + code[at + 40 :]
    receipt = evm.send(None, bytes.fromhex(code))
    if not receipt.succeeded or receipt.address is None:
        raise SystemExit(f"error: {name} is not deployed")
    return str(receipt.address)


def main() -> None:
    """Print gas of whole transactions, and ratios to ours at S = 35."""
    ours = json.loads((CONTRACTS / "gas.json").read_text("utf-8"))["osaka"]
    made, evm = verifiers(), Anvil("osaka")
    try:
        print(f"whole transactions on anvil (osaka); UltraHonk by bb.js {made['version']}")
        for target, verifier in made["verifiers"].items():
            address = deploy(evm, compiled(verifier["source"]), "HonkVerifier", {})
            inputs = [bytes.fromhex(x[2:]) for x in verifier["inputs"]]
            arguments = encode_tuple("(bytes,bytes32[])", (bytes.fromhex(verifier["proof"]), inputs))[32:]
            receipt = evm.send(address, keccak256(b"verify(bytes,bytes32[])")[:4] + arguments)
            if not receipt.succeeded:
                raise SystemExit(f"error: {target}: an honest proof is refused")
            for where in ("table in code", "table in the call"):
                own = ours[f"verify 35, {where}"]
                print(f"{target:10} {receipt.gas:>10,}   ours, S = 35, {where}: {own:,}   {receipt.gas / own:.2f} x")
    finally:
        evm.close()


if __name__ == "__main__":
    main()
