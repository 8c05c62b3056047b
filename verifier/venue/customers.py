"""Customers of a venue: tags."""

from __future__ import annotations

from zkmargin.crypto.field import r
from zkmargin.formats.canonical import keccak256

TAG_LABEL = b"zkmargin/venue-tag/v1"
NONCE_BYTES = 16


def tag_of(statement_digest: bytes, name: str, nonce: bytes) -> int:
    """The field element that one customer finds in its own block: nobody else's row can hold it.

    Raises:
        ValueError: another nonce than 16 bytes.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    text = name.encode()
    return (
        int.from_bytes(keccak256(TAG_LABEL + statement_digest + len(text).to_bytes(4, "big") + text + nonce), "big") % r
    )
