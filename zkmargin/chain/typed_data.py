"""What attesters sign for the registries: EIP-712 typed data (docs/decisions/0007-what-attesters-sign-on-chain.md).

The digests are computed here from the standard, without any library; ``signature_of`` takes an eth-account key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.formats import InputError, SetupError, keccak256

WORD = 32
SIGNATURE_BYTES = 65
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
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
class TypedData:
    """A message to sign, for one contract on one chain.

    Attributes:
        primary: ``SnapshotTable`` or ``CommitmentPart``.
        name: of the domain.
        chain_id, contract: where it counts; the contract as 0x and 40 hex digits.
        message: the fields' values: ints, 32 bytes, or addresses.
    """

    primary: str
    name: str
    chain_id: int
    contract: str
    message: dict[str, Any]

    @property
    def domain_separator(self) -> bytes:
        """The hash of the domain."""
        return keccak256(
            keccak256(DOMAIN_TYPE.encode())
            + keccak256(self.name.encode())
            + keccak256(VERSION.encode())
            + self.chain_id.to_bytes(WORD, "big")
            + _word("address", self.contract)
        )

    @property
    def digest(self) -> bytes:
        """What is signed: H(0x1901 || domain separator || struct hash)."""
        fields = TYPES[self.primary]
        kind = f"{self.primary}({','.join(f'{type_} {name}' for name, type_ in fields)})"
        struct = keccak256(kind.encode()) + b"".join(_word(type_, self.message[name]) for name, type_ in fields)
        return keccak256(b"\x19\x01" + self.domain_separator + keccak256(struct))

    def document(self) -> dict[str, Any]:
        """The JSON that wallets take (``eth_signTypedData_v4``)."""
        fields = [{"name": name, "type": type_} for name, type_ in TYPES[self.primary]]
        domain = [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ]
        message = {
            name: "0x" + value.hex() if isinstance(value, bytes) else value for name, value in self.message.items()
        }
        return {
            "types": {"EIP712Domain": domain, self.primary: fields},
            "primaryType": self.primary,
            "domain": {
                "name": self.name,
                "version": VERSION,
                "chainId": self.chain_id,
                "verifyingContract": self.contract,
            },
            "message": message,
        }


def read_typed_data(value: object) -> TypedData:
    """Typed data of ours from the JSON that ``TypedData.document`` gives.

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
        typed = TypedData(primary, domain["name"], domain["chainId"], domain["verifyingContract"], found)
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


def in_order(typed: TypedData, signatures: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """(r, vs) of each signature, in ascending order of the signers, as registries take them. Raises InputError."""
    return [compact for _, compact in sorted((int(signer_of(typed, s), 16), compacted(s)) for s in signatures)]


def signer_of(typed: TypedData, signature: bytes) -> str:
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
) -> TypedData:
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
    return TypedData("SnapshotTable", SNAPSHOTS_NAME, chain_id, registry, message)


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
) -> TypedData:
    """What a venue or custodian signs: a part of an account, points as keccak-256 of x || y, 0 for none before."""
    message = {
        "account": account,
        "role": role,
        "slotMap": slot_map,
        "oldPoint": old_point,
        "newPoint": new_point,
        "sequence": sequence,
    }
    return TypedData("CommitmentPart", COMMITMENTS_NAME, chain_id, registry, message)


def signature_of(typed: TypedData, key: Any) -> tuple[bytes, bytes]:
    """(r, vs) of EIP-2098 by an eth-account key."""
    signed = key.unsafe_sign_hash(typed.digest)
    return compact(signed.r, signed.s, signed.v)


def compact(r: int, s: int, v: int) -> tuple[bytes, bytes]:
    """(r, vs): the parity of v (27 or 28) is the top bit of s. ValueError for another v or an s of the upper half."""
    if v not in (27, 28) or not 0 < s < 1 << 255:
        raise ValueError("not a signature with v of 27 or 28 and a low s")
    return r.to_bytes(WORD, "big"), (s | (v - 27) << 255).to_bytes(WORD, "big")


def _word(type_: str, value: Any) -> bytes:
    if type_ == "bytes32":
        if not isinstance(value, bytes) or len(value) != WORD:
            raise ValueError("a bytes32 has 32 bytes")
        return value
    if type_ == "address":
        return bytes.fromhex(value.removeprefix("0x")).rjust(WORD, b"\0")
    bits = int(type_.removeprefix("uint"))
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{value} is no {type_}")
    return int(value).to_bytes(WORD, "big")
