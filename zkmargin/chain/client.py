"""A chain over JSON-RPC, through web3.py: calls, transactions, reverts in words. Needs ``zkmargin[chain]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zkmargin.chain.abi import decode_result, encode_call, error_text
from zkmargin.chain.deployment import FACTORY, Step
from zkmargin.formats import InputError, SetupError, VerificationError

#: Gas that a transaction is given on top of what the node estimates.
GAS_MARGIN = 1.1
_TIMEOUT_SECONDS = 120
_WORD_BYTES = 32


@dataclass(frozen=True)
class Sent:
    """A transaction that is in a block."""

    hash: str
    gas: int
    block: int


class Client:
    """One chain, and who sends.

    Args:
        url: of the node, http or https.
        key: an eth-account key that signs here; the node never sees it.
        sender: an account that the node itself signs for (a development chain).

    Raises:
        InputError: no node of a chain answers there.
        SetupError: web3 is not installed.
    """

    def __init__(self, url: str, *, key: Any = None, sender: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError("begins with http:// or https://", file="--rpc")
        self._web3 = _web3(url)
        self.key = key
        try:
            self.chain_id = int(self._web3.eth.chain_id)
        except Exception as error:  # noqa: BLE001 - web3 passes on what its transport raises
            raise InputError(f"no chain answers: {_reason(error)}", file="--rpc") from None
        self.sender = key.address if key is not None else sender

    def call(self, contract: str, to: str, function: str, *arguments: Any) -> tuple[Any, ...]:
        """Read from a contract. Raises VerificationError with the reason where it reverts."""
        return decode_result(contract, function, self.run(to, encode_call(contract, function, arguments)))

    def run(self, to: str, data: bytes, *, sender: str | None = None) -> bytes:
        """A call's answer. Raises VerificationError with the reason where it reverts."""
        request = {"to": self._checksum(to), "data": "0x" + data.hex()}
        if sender or self.sender:
            request["from"] = self._checksum(sender or self.sender or "")
        return bytes(self._asked(lambda: self._web3.eth.call(request)))

    def must_send(self) -> str:
        """Who sends. Raises InputError where there is nobody: ask before long work."""
        if self.sender is None:
            raise InputError("nobody to send it: give --key FILE, or --sender of an account of the node", file="--key")
        return self.sender

    def send(self, to: str, data: bytes) -> Sent:
        """Send a transaction and wait until it is in a block.

        Raises:
            VerificationError: it would revert, or did; with the reason.
            InputError: there is nobody to send it.
        """
        sender, eth = self.must_send(), self._web3.eth
        request: dict[str, Any] = {
            "from": self._checksum(sender),
            "to": self._checksum(to),
            "data": "0x" + data.hex(),
            "value": 0,
            "chainId": self.chain_id,
        }
        # of the block to come: what was signed just now is in the future of the latest one
        request["gas"] = int(GAS_MARGIN * self._asked(lambda: eth.estimate_gas(request, "pending")))
        if self.key is None:
            digest = self._asked(lambda: eth.send_transaction(request))
        else:
            request["nonce"] = eth.get_transaction_count(request["from"])
            tip = eth.max_priority_fee
            base = eth.get_block("latest")["baseFeePerGas"]
            request |= {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * base + tip}
            signed = self.key.sign_transaction(request)
            digest = self._asked(lambda: eth.send_raw_transaction(signed.raw_transaction))
        receipt = self._asked(lambda: eth.wait_for_transaction_receipt(digest, timeout=_TIMEOUT_SECONDS))
        if receipt["status"] != 1:
            raise VerificationError(f"the transaction 0x{bytes(digest).hex()} reverted", check="contract")
        return Sent("0x" + bytes(digest).hex(), int(receipt["gasUsed"]), int(receipt["blockNumber"]))

    def code(self, address: str) -> bytes:
        """The code at an address; nothing where there is none."""
        return bytes(self._asked(lambda: self._web3.eth.get_code(self._checksum(address))))

    def deploy(self, step: Step) -> Sent | None:
        """Create a contract, unless it is there already. Raises as ``send``; InputError without the factory."""
        if self.code(step.address):
            return None
        if not self.code(FACTORY):
            raise InputError(
                f"the chain has no deployment factory at {FACTORY}",
                file="--rpc",
                hint="send its well-known first transaction, or use another chain",
            )
        sent = self.send(FACTORY, step.data)
        if not self.code(step.address):
            raise VerificationError(f"{step.name} is not at {step.address} after its deployment", check="contract")
        return sent

    def accounts(self) -> list[str]:
        """Accounts that the node signs for."""
        return [str(address) for address in self._asked(lambda: self._web3.eth.accounts)]

    def precompiles(self) -> bool:
        """Whether the chain has EIP-2537: the pairing of nothing answers 1 with a word, not with nothing."""
        try:
            pair = self.run("0x" + "00" * 19 + "0f", bytes(384))
        except VerificationError:
            return False
        return pair == (1).to_bytes(_WORD_BYTES, "big")

    def block(self) -> tuple[int, int]:
        """Number and time of the latest block."""
        found = self._asked(lambda: self._web3.eth.get_block("latest"))
        return int(found["number"]), int(found["timestamp"])

    def _checksum(self, address: str) -> Any:
        return self._web3.to_checksum_address(address)

    @staticmethod
    def _asked(ask: Any) -> Any:
        from requests.exceptions import RequestException  # noqa: PLC0415
        from web3.exceptions import Web3Exception  # noqa: PLC0415

        try:
            return ask()
        except Web3Exception as error:
            data = getattr(error, "data", None)
            if isinstance(data, str) and data.startswith("0x"):
                reason = error_text(bytes.fromhex(data[2:]))
                raise VerificationError(f"the contract refuses: {reason}", check="contract") from None
            raise VerificationError(f"the chain refuses: {str(error)[:300]}", check="contract") from None
        except RequestException as error:
            raise InputError(f"the chain does not answer: {_reason(error)}", file="--rpc") from None


def _reason(error: Exception) -> str:
    """The innermost of an HTTP client's nested messages."""
    return str(error).rsplit(": ", 1)[-1].strip("\"')")[:200]


def _web3(url: str) -> Any:
    try:
        from web3 import HTTPProvider, Web3  # noqa: PLC0415 - an optional dependency
    except ImportError:
        hint = "pip install 'zkmargin[chain]'"
        raise SetupError("talking to a chain needs web3 and eth-account", hint=hint) from None
    return Web3(HTTPProvider(url, request_kwargs={"timeout": _TIMEOUT_SECONDS}))
