"""Proofs inside documents of JSON: base64 in its one text, so that a document of the same proof has one digest."""

from __future__ import annotations

import base64
import binascii

from zkmargin.formats import InputError


def proof_text(proof: bytes) -> str:
    """The one text.

    >>> proof_text(bytes(2))
    'AAA='
    """
    return base64.b64encode(proof).decode()


def proof_bytes(text: object) -> bytes:
    """The proof that a text holds.

    Raises:
        InputError: no text, no base64, or another text than ``proof_text`` writes of the same bytes.
    """
    try:
        proof = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        proof = None
    if proof is None or proof_text(proof) != text:
        raise InputError("not base64", field="proof")
    return proof
