"""The two EVMs of the contract tests, behind one face: anvil over JSON-RPC, py-evm through eth-tester."""

from __future__ import annotations

import ast
import http.client
import json
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

HERE = Path(__file__).resolve().parents[1]
ANVIL = HERE / "node_modules" / "@foundry-rs" / "anvil-linux-amd64" / "bin" / "anvil"


class Reverted(Exception):  # noqa: N818 - what a call did
    """A call reverted; ``data`` is what it returned."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data.hex())
        self.data = data


@dataclass(frozen=True)
class Receipt:
    """What a transaction did."""

    succeeded: bool
    gas: int
    address: str | None


class EVM(Protocol):
    """One chain with an unlocked account."""

    name: str

    chain_id: int
    account: str

    def call(self, to: str, data: bytes, *, gas: int = 16_000_000) -> bytes: ...
    def send(self, to: str | None, data: bytes, *, gas: int = 16_000_000) -> Receipt: ...
    def timestamp(self) -> int: ...
    def close(self) -> None: ...


class Anvil:
    """A fresh anvil; ``--hardfork`` is always named, since its default is another."""

    name = "anvil"
    chain_id = 31337

    def __init__(self, hardfork: str = "osaka") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        command = [str(ANVIL), "--hardfork", hardfork, "--port", str(port), "--silent", "--gas-limit", "100000000"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.account = self.rpc("eth_accounts")[0]
                break
            except OSError:
                self._connection.close()
                time.sleep(0.05)
        else:
            raise RuntimeError("anvil did not start")

    def rpc(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        self._connection.request("POST", "/", body, {"content-type": "application/json"})
        result = json.loads(self._connection.getresponse().read())
        if "error" in result:
            data = result["error"].get("data")
            raise Reverted(bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b"")
        return result["result"]

    def call(self, to: str, data: bytes, *, gas: int = 16_000_000) -> bytes:
        request = {"from": self.account, "to": to, "data": "0x" + data.hex(), "gas": hex(gas)}
        return bytes.fromhex(self.rpc("eth_call", request, "latest")[2:])

    def send(self, to: str | None, data: bytes, *, gas: int = 16_000_000) -> Receipt:
        request = {"from": self.account, "data": "0x" + data.hex(), "gas": hex(gas)} | ({"to": to} if to else {})
        digest = self.rpc("eth_sendTransaction", request)
        for _ in range(400):
            receipt = self.rpc("eth_getTransactionReceipt", digest)
            if receipt:
                return Receipt(receipt["status"] == "0x1", int(receipt["gasUsed"], 16), receipt["contractAddress"])
            time.sleep(0.01)
        raise RuntimeError("no receipt")

    def timestamp(self) -> int:
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def close(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait()


class PyEVM:
    """py-evm, pure Python, Prague: another implementation of everything, precompiles included (py_ecc)."""

    name = "py-evm"

    def __init__(self) -> None:
        from eth_tester import EthereumTester, PyEVMBackend  # type: ignore[import-untyped]
        from eth_tester.backends.pyevm.main import get_default_genesis_params  # type: ignore[import-untyped]

        genesis = {**get_default_genesis_params(), "gas_limit": 100_000_000}
        self._backend = PyEVMBackend(genesis_parameters=genesis)
        if "Prague" not in type(self._backend.chain.get_vm()).__name__:
            raise RuntimeError("py-evm is not at Prague: there would be no EIP-2537")
        self._tester = EthereumTester(self._backend)
        self.account = self._tester.get_accounts()[0]
        self.chain_id = self._backend.chain.chain_id

    def call(self, to: str, data: bytes, *, gas: int = 16_000_000) -> bytes:
        from eth_tester.exceptions import TransactionFailed  # type: ignore[import-untyped]

        try:
            result = self._tester.call({"from": self.account, "to": to, "data": "0x" + data.hex(), "gas": gas})
        except TransactionFailed as error:
            raise Reverted(_revert_data(error)) from None
        return bytes.fromhex(result[2:])

    def send(self, to: str | None, data: bytes, *, gas: int = 16_000_000) -> Receipt:
        request = {"from": self.account, "to": to or "", "data": "0x" + data.hex(), "gas": gas}
        receipt = self._tester.get_transaction_receipt(self._tester.send_transaction(request))
        return Receipt(receipt["status"] == 1, receipt["gas_used"], receipt["contract_address"])

    def timestamp(self) -> int:
        return int(self._tester.get_block_by_number("latest")["timestamp"])

    def close(self) -> None:
        pass


def _revert_data(error: Exception) -> bytes:
    """What a call returned: eth-tester passes the EVM's own error on, as an object or in words."""
    (found, *_) = error.args or (b"",)
    inner = getattr(found, "args", (found,))
    data = inner[0] if inner else b""
    if isinstance(data, str):
        try:
            data = ast.literal_eval(data)
        except (SyntaxError, ValueError):
            data = b""
    return data if isinstance(data, bytes) else b""
