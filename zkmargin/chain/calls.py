"""What contracts are sent, from the documents of an account: no network here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zkmargin.chain.abi import encode_call, encode_constructor
from zkmargin.formats import from_hex
from zkmargin.verifier.chain import ChainProof, ChainStatement, Table
from zkmargin.verifier.chain.argument import ratio
from zkmargin.verifier.chain.words import word


def verifier_arguments(table: Table) -> tuple[int, int, int, int, bytes]:
    """The constructor's arguments of the ``MarginVerifier`` that tables of this layout are for."""
    first, second = (*table.scenarios, 0)[:2]
    return table.instruments, first, second, table.layout.debt_mask, from_hex(table.pinned)


def deploy_verifier(table: Table) -> bytes:
    """The data of the transaction that deploys a ``MarginVerifier``."""
    return encode_constructor("MarginVerifier", verifier_arguments(table))


def table_id(table: Table) -> tuple[bytes, int, bytes]:
    """Series, sequence, snapshot."""
    return from_hex(table.series), table.sequence, from_hex(table.snapshot)


def item(statement: ChainStatement, proof: ChainProof) -> bytes:
    """What ``IMarginVerifier`` takes as ``proof``: claim, commitments and the proof's body."""
    num, den = ratio(statement)
    positions, collateral = statement.commitments()
    return word(num) + word(den) + positions + collateral + proof.body()


def verify_call(table: Table, nonce: bytes, sent: bytes) -> bytes:
    """``MarginVerifier.verify`` with the table in the call."""
    return encode_call("MarginVerifier", "verify", [table_id(table), table.content(), nonce, sent])


def verify_stored_call(table: Table, store: str, nonce: bytes, sent: bytes) -> bytes:
    """``MarginVerifier.verifyStored`` with the table in the code of ``store``."""
    return encode_call("MarginVerifier", "verifyStored", [table_id(table), store, nonce, sent])


def verify_batch_call(table: Table, nonces: Sequence[bytes], items: Sequence[bytes]) -> bytes:
    """``MarginVerifier.verifyBatch``."""
    arguments: list[Any] = [table_id(table), table.content(), list(nonces), b"".join(items)]
    return encode_call("MarginVerifier", "verifyBatch", arguments)
