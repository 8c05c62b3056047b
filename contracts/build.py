"""Compile contracts/src into the package's artefacts, or compare: ``python contracts/build.py [--check]``.

Needs node and ``npm ci`` in contracts/. Writes ``zkmargin/chain/data/contracts.json`` (ABI, creation and runtime code
of each contract, compiler, settings) and ``standard-input.json`` (what block explorers verify the source with). The
digest of the first is pinned in ``zkmargin/chain/artefacts.py``; ``--check`` compiles again and compares bytes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from zkmargin.formats import keccak256

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "zkmargin" / "chain" / "data"
SETTINGS: dict[str, Any] = {
    "evmVersion": "prague",
    "viaIR": True,
    "optimizer": {"enabled": True, "runs": 1_000_000},
    "metadata": {"bytecodeHash": "ipfs"},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "metadata"]}},
}
#: EIP-170.
MAX_RUNTIME_BYTES = 24_576


def standard_input() -> dict[str, Any]:
    """The compiler's whole input: sources by name, settings."""
    sources = {
        f"src/{path.name}": {"content": path.read_text("utf-8")} for path in sorted((HERE / "src").glob("*.sol"))
    }
    return {"language": "Solidity", "sources": sources, "settings": SETTINGS}


def encoded(value: Any) -> bytes:
    """JSON as it is committed."""
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def compiled() -> tuple[bytes, bytes]:
    """contracts.json and standard-input.json."""
    source = encoded(standard_input())
    work = HERE / "node_modules" / ".standard-input.json"
    work.write_bytes(source)
    done = subprocess.run(
        ["node", "compile.cjs", str(work)],
        cwd=HERE,
        check=True,
        capture_output=True,
    )
    answer = json.loads(done.stdout)
    output = answer["output"]
    faults = [e for e in output.get("errors", []) if e["severity"] == "error" or e["type"] == "Warning"]
    for fault in faults:
        print(fault["formattedMessage"], file=sys.stderr)
    if any(e["severity"] == "error" for e in faults):
        sys.exit("error: the contracts do not compile")
    contracts = {}
    for unit in output["contracts"].values():
        for name, made in unit.items():
            runtime = made["evm"]["deployedBytecode"]["object"]
            if not runtime:
                continue
            if len(runtime) // 2 > MAX_RUNTIME_BYTES:
                sys.exit(f"error: {name} has {len(runtime) // 2} bytes, at most {MAX_RUNTIME_BYTES}")
            contracts[name] = {
                "abi": made["abi"],
                "creation": made["evm"]["bytecode"]["object"],
                "runtime": runtime,
                "metadata": made["metadata"],
            }
    settings = {key: value for key, value in SETTINGS.items() if key != "outputSelection"}
    document = {
        "format": "zkmargin/contracts/v1",
        "compiler": answer["version"],
        "settings": settings,
        "input": keccak256(source).hex(),
        "contracts": contracts,
    }
    return encoded(document), source


def main() -> None:
    """Write, or compare with ``--check``."""
    made = dict(zip(("contracts.json", "standard-input.json"), compiled(), strict=True))
    if sys.argv[1:] == ["--check"]:
        for name, data in made.items():
            if (DATA / name).read_bytes() != data:
                sys.exit(f"error: {name} is not what the sources give: run make artefacts")
        print("the artefacts are what the sources give, byte for byte")
        return
    DATA.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        (DATA / name).write_bytes(data)
    contracts = json.loads(made["contracts.json"])["contracts"]
    for name, made_ in contracts.items():
        print(f"{name}: {len(made_['runtime']) // 2} bytes")
    digest = keccak256(made["contracts.json"]).hex()
    pinned = DATA.parent / "artefacts.py"
    text = pinned.read_text("utf-8")
    pinned.write_text(re.sub(r'(CONTRACTS_DIGEST = bytes.fromhex\(")[0-9a-f]{64}', rf"\g<1>{digest}", text), "utf-8")
    print(f"digest of contracts.json, pinned in zkmargin/chain/artefacts.py: {digest}")


if __name__ == "__main__":
    main()
