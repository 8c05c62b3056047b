"""Typed data as EIP-712 hashes it: one flat struct under a domain. What a wallet shows before it signs.

Only what our structs need: members of type string, bytes32, address, bool and uintN, no structs inside structs, no
arrays. The tests compare it with eth-account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.formats.canonical import keccak256

_UINT = re.compile(r"uint(8|16|32|64|128|256)")
#: What EIP-712 permits in a domain, in its order.
DOMAIN_MEMBERS = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
)


@dataclass(frozen=True)
class TypedData:
    """A struct with its values, under a domain.

    Attributes:
        primary: the struct's name.
        members: names and types, in order.
        values: by name; bytes32 and addresses are bytes, 32 and 20 of them.
        domain: by name, of ``DOMAIN_MEMBERS``.

    Raises:
        ValueError: values that are missing, too many, or not of their types: when it is hashed.

    >>> TypedData("Note", (("text", "string"),), {"text": "hi"}, {"name": "demo"}).signed_bytes[:2].hex()
    '1901'
    """

    primary: str
    members: tuple[tuple[str, str], ...]
    values: Mapping[str, Any]
    domain: Mapping[str, Any]

    @property
    def signed_bytes(self) -> bytes:
        """0x19 0x01, the domain's hash and the struct's: 66 bytes, whose keccak-256 is signed."""
        return b"\x19\x01" + self.domain_separator + hash_struct(self.primary, self.members, self.values)

    @property
    def domain_separator(self) -> bytes:
        """The domain's hash, 32 bytes."""
        return hash_struct("EIP712Domain", self._domain_members, self.domain)

    @property
    def _domain_members(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, kind) for name, kind in DOMAIN_MEMBERS if name in self.domain)

    def to_json(self) -> dict[str, Any]:
        """As ``eth_signTypedData_v4`` takes it."""
        named: dict[str, Sequence[tuple[str, str]]] = {
            "EIP712Domain": self._domain_members,
            self.primary: self.members,
        }
        return {
            "types": {kind: [{"name": n, "type": t} for n, t in members] for kind, members in named.items()},
            "primaryType": self.primary,
            "domain": {name: _plain(value) for name, value in self.domain.items()},
            "message": {name: _plain(self.values[name]) for name, _ in self.members},
        }


def encode_type(name: str, members: Sequence[tuple[str, str]]) -> str:
    """``Note(string text,uint64 number)``."""
    return f"{name}({','.join(f'{kind} {member}' for member, kind in members)})"


def hash_struct(name: str, members: Sequence[tuple[str, str]], values: Mapping[str, Any]) -> bytes:
    """keccak-256 of the type's hash and every member, one word each. Raises ValueError."""
    if set(values) != {member for member, _ in members}:
        raise ValueError(f"{name} has the members {', '.join(member for member, _ in members)}")
    words = [_word(kind, values[member]) for member, kind in members]
    return keccak256(keccak256(encode_type(name, members).encode("ascii")) + b"".join(words))


def _word(kind: str, value: object) -> bytes:
    if kind == "string" and isinstance(value, str):
        return keccak256(value.encode())
    if kind == "bytes32" and isinstance(value, bytes) and len(value) == 32:
        return value
    if kind == "address" and isinstance(value, bytes) and len(value) == 20:
        return bytes(12) + value
    if kind == "bool" and isinstance(value, bool):
        return int(value).to_bytes(32, "big")
    size = _UINT.fullmatch(kind)
    if size and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << int(size[1]):
        return value.to_bytes(32, "big")
    raise ValueError(f"no value of type {kind}")


def _plain(value: object) -> Any:
    return f"0x{value.hex()}" if isinstance(value, bytes) else value
