"""What attesters sign for the registries: EIP-712 typed data (docs/decisions/0007-what-attesters-sign-on-chain.md).

The digests are ``crypto.eip712``'s; ``signature_of`` takes an eth-account key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.crypto.eip712 import TypedData
from zkmargin.formats import InputError, SetupError, keccak256

WORD = 32
SIGNATURE_BYTES = 65
VERSION = "1"
SNAPSHOTS_NAME = "zkmargin snapshots"
COMMITMENTS_NAME = "zkmargin commitments"
#: Primary type -> its fields, (name, type) each, in order.
TYPES: dict[str, tuple[tuple[str, str], ...]] = {
    "SnapshotTable": (
        ("series", "bytes32"),
        ("sequence", "uint64"),
        ("snapshot", "bytes32"),
        ("policy", "bytes32"),
        ("table", "bytes32"),
        ("time", "uint64"),
        ("expiry", "uint64"),
    ),
    "CommitmentPart": (
        ("account", "address"),
        ("role", "uint8"),
        ("slotMap", "bytes32"),
        ("oldPoint", "bytes32"),
        ("newPoint", "bytes32"),
        ("sequence", "uint64"),
    ),
}
POSITIONS, COLLATERAL = 0, 1


@dataclass(frozen=True)
class RegistryMessage:
    """A message to sign, for one registry on one chain.

    Attributes:
        primary: ``SnapshotTable`` or ``CommitmentPart``.
        name: of the domain.
        chain_id, contract: where it counts; the contract as 0x and 40 hex digits.
        message: the fields' values: ints, 32 bytes, or an address as 0x and 40 hex digits.
    """

    primary: str
    name: str
    chain_id: int
    contract: str
    message: dict[str, Any]

    @property
    def typed(self) -> TypedData:
        """As EIP-712 hashes it."""
        values = {
            name: _address(value) if dict(TYPES[self.primary])[name] == "address" else value
            for name, value in self.message.items()
        }
        domain = {
            "name": self.name,
            "version": VERSION,
            "chainId": self.chain_id,
            "verifyingContract": _address(self.contract),
        }
        return TypedData(self.primary, TYPES[self.primary], values, domain)

    @property
    def digest(self) -> bytes:
        """What is signed. Raises ValueError for a value outside its type."""
        return keccak256(self.typed.signed_bytes)

    def document(self) -> dict[str, Any]:
        """The JSON that wallets take (``eth_signTypedData_v4``)."""
        return self.typed.to_json()


def read_typed_data(value: object) -> RegistryMessage:
    """Typed data of ours from the JSON that ``RegistryMessage.document`` gives.

    Raises:
        InputError: another primary type, domain or set of fields, or a value outside its type.
    """
    typed = None
    try:
        given: Any = value
        primary, domain, message = given["primaryType"], given["domain"], given["message"]
        found = {
            name: bytes.fromhex(message[name].removeprefix("0x")) if type_ == "bytes32" else message[name]
            for name, type_ in TYPES[primary]
        }
        typed = RegistryMessage(primary, domain["name"], domain["chainId"], domain["verifyingContract"], found)
        same = typed.document() == value and len(typed.digest) == WORD  # the digest checks that every value fits
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        same = False
    if typed is None or not same:
        raise InputError("not typed data that a registry takes", field="typed data")
    return typed


def read_signature(text: str) -> bytes:
    """65 bytes r || s || v from hex text, or from JSON with a "signature". Raises InputError."""
    try:
        value = json.loads(text) if text.lstrip().startswith("{") else {"signature": text.strip()}
        data = bytes.fromhex(value["signature"].removeprefix("0x"))
    except (AttributeError, KeyError, TypeError, ValueError):
        data = b""
    if len(data) != SIGNATURE_BYTES:
        raise InputError(f"no signature of {SIGNATURE_BYTES} bytes in hex", field="signature")
    return data


def in_order(typed: RegistryMessage, signatures: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """(r, vs) of each signature, in ascending order of the signers, as registries take them. Raises InputError."""
    return [compact for _, compact in sorted((int(signer_of(typed, s), 16), compacted(s)) for s in signatures)]


def signer_of(typed: RegistryMessage, signature: bytes) -> str:
    """The address whose key made a signature of 65 bytes. Raises InputError for one that nobody's did."""
    try:
        from eth_keys.datatypes import Signature  # noqa: PLC0415 - of the extra chain
        from eth_keys.exceptions import BadSignature  # noqa: PLC0415
        from eth_utils.exceptions import ValidationError  # noqa: PLC0415
    except ImportError:
        hint = "pip install 'zkmargin[chain]'"
        raise SetupError("signatures of attesters need eth-account", hint=hint) from None
    try:
        v = signature[-1] % 27
        key = Signature(signature[:-1] + bytes([v])).recover_public_key_from_msg_hash(typed.digest)
    except (BadSignature, ValidationError, ValueError) as error:
        raise InputError(f"not a signature: {str(error)[:100]}", field="signature") from None
    return str(key.to_checksum_address())


def compacted(signature: bytes) -> tuple[bytes, bytes]:
    """(r, vs) of 65 bytes r || s || v, v of 0, 1, 27 or 28. Raises InputError."""
    r, s, v = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:64], signature[64:]))
    try:
        return compact(r, s, v + 27 if v < 27 else v)
    except ValueError as error:
        raise InputError(str(error), field="signature") from None


def snapshot_table(
    chain_id: int,
    registry: str,
    *,
    series: bytes,
    sequence: int,
    snapshot: bytes,
    policy: bytes,
    table: bytes,
    time: int,
    expiry: int,
) -> RegistryMessage:
    """What a price attester signs: a table of a series, times in seconds since 1970."""
    message = {
        "series": series,
        "sequence": sequence,
        "snapshot": snapshot,
        "policy": policy,
        "table": table,
        "time": time,
        "expiry": expiry,
    }
    return RegistryMessage("SnapshotTable", SNAPSHOTS_NAME, chain_id, registry, message)


def commitment_part(
    chain_id: int,
    registry: str,
    *,
    account: str,
    role: int,
    slot_map: bytes,
    old_point: bytes,
    new_point: bytes,
    sequence: int,
) -> RegistryMessage:
    """What a venue or custodian signs: a part of an account, points as keccak-256 of x || y, 0 for none before."""
    message = {
        "account": account,
        "role": role,
        "slotMap": slot_map,
        "oldPoint": old_point,
        "newPoint": new_point,
        "sequence": sequence,
    }
    return RegistryMessage("CommitmentPart", COMMITMENTS_NAME, chain_id, registry, message)


def signature_of(typed: RegistryMessage, key: Any) -> tuple[bytes, bytes]:
    """(r, vs) of EIP-2098 by an eth-account key."""
    signed = key.unsafe_sign_hash(typed.digest)
    return compact(signed.r, signed.s, signed.v)


def compact(r: int, s: int, v: int) -> tuple[bytes, bytes]:
    """(r, vs): the parity of v (27 or 28) is the top bit of s. ValueError for another v or an s of the upper half."""
    if v not in (27, 28) or not 0 < s < 1 << 255:
        raise ValueError("not a signature with v of 27 or 28 and a low s")
    return r.to_bytes(WORD, "big"), (s | (v - 27) << 255).to_bytes(WORD, "big")


def _address(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
