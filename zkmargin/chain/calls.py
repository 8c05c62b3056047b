"""What contracts are sent, from the documents of an account: no network here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zkmargin.chain.abi import encode_call, encode_constructor
from zkmargin.circuits.chain import (
    BALANCE_DIGITS,
    COLUMN_PACK,
    KAPPA,
    MAX_ASSETS,
    MAX_SCENARIOS,
    ROWS,
    SLACK_DIGITS,
    TABLE_PACK,
    ChainLayout,
    amount_cell,
    group_charge_cell,
    held_cell,
    owed_cell,
)
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import powers, r
from zkmargin.formats import from_hex
from zkmargin.verifier.chain import ChainProof, ChainStatement, Table
from zkmargin.verifier.chain.argument import ratio, transcript_of
from zkmargin.verifier.chain.joint import JointStatement
from zkmargin.verifier.chain.joint_proof import JointProof, claimed
from zkmargin.verifier.chain.table import packed_scenarios
from zkmargin.verifier.chain.transcript import ChainChallenges
from zkmargin.verifier.chain.words import word


def verifier_arguments(table: Table) -> tuple[int, int, int, int, bytes]:
    """The constructor's arguments of the ``MarginVerifier`` that tables of this layout are for."""
    first, others = packed_scenarios(table.scenarios)
    return table.instruments, first, others, table.layout.flags, from_hex(table.pinned)


def verifier_name(layout: ChainLayout, *, joint: bool = False) -> str:
    """The contract that verifies proofs of this layout: wide layouts and those with tails have their own."""
    kind = "Tails" if layout.tails else "Wide" if layout.wide else ""
    return f"{kind}{'MarginJointVerifier' if joint else 'MarginVerifier'}"


def deploy_verifier(table: Table, *, joint: bool = False) -> bytes:
    """The data of the transaction that deploys the verifier of a table's layout."""
    return encode_constructor(verifier_name(table.layout, joint=joint), verifier_arguments(table))


def table_id(table: Table) -> tuple[bytes, int, bytes]:
    """Series, sequence, snapshot."""
    return from_hex(table.series), table.sequence, from_hex(table.snapshot)


def item(statement: ChainStatement, proof: ChainProof) -> bytes:
    """What ``IMarginVerifier`` takes as ``proof``: claim, commitments, the proof's body and the inverse."""
    num, den = ratio(statement)
    positions, collateral = statement.commitments()
    return word(num) + word(den) + positions + collateral + proof.encode() + word(inverse_of(statement, proof))


def joint_item(statement: JointStatement, proof: JointProof) -> bytes:
    """What ``MarginJointVerifier`` takes as ``proof``: m, claim, commitments, the proof's body and the inverse."""
    inverse = inverse_at(statement.prices.layout, statement.transcript().replay(proof))
    return claimed(*statement.ratio, statement.commitments()) + proof.encode() + word(inverse)


def inverse_of(statement: ChainStatement, proof: ChainProof) -> int:
    """``inverse_at`` the challenges of a proof."""
    return inverse_at(statement.prices.layout, ChainChallenges(*transcript_of(statement).replay(proof)))


def inverse_at(layout: ChainLayout, challenges: ChainChallenges) -> int:
    """One over the product of every denominator that the contract meets, 0 if one of them is 0.

    It is a help that saves the contract an exponentiation; it follows from the proof, and proves nothing.
    """
    rho, zeta, x = challenges.rho, challenges.zeta, challenges.x
    domain = Domain.of(ROWS)

    def Y(row: int, power: int = 1) -> int:
        """(zeta omega^-row)^power."""
        return pow(zeta, power, r) * domain.elements[-row * power % ROWS] % r

    product = 1
    for row in range(TABLE_PACK * SLACK_DIGITS):
        product = product * (Y(row, KAPPA) - 1) * (Y(row) - rho) % r
    for d in range(BALANCE_DIGITS):
        row = held_cell(0, d)
        product = product * (Y(row, MAX_ASSETS) - 1) * (Y(row) - rho) % r
        for j in range(MAX_ASSETS):
            if layout.debts[j]:
                product = product * (Y(owed_cell(j, d)) - 1) % r
    # each B_g, A, F and each W_g that has cells of its own; with tails the cells of B_g of every group
    amounts = {*layout.amounts, *(("floor", g) for g in range(layout.groups) if layout.tails)}
    numbers = [[amount_cell(mode, g, d) for d in range(SLACK_DIGITS)] for mode, g in amounts]
    if layout.shared:
        numbers += [[group_charge_cell(g, d) for d in range(SLACK_DIGITS)] for g in range(layout.groups)]
    for row in (row for number in numbers for row in number):
        product = product * (Y(row) - 1) % r
    # the x_k that table points, or the index of a short option minimum, ask for; all of them of wide layouts
    minimums = [s // TABLE_PACK + 1 for s in layout.scenarios if s < MAX_SCENARIOS]
    asked = KAPPA if layout.wide else max([*layout.points, *minimums])
    for root in powers(Domain.of(KAPPA).omega, asked):
        product = product * (root - rho) % r
    for j, root in enumerate(powers(Domain.of(MAX_ASSETS).omega, MAX_ASSETS)):
        product = product * (root - rho) * (Y(j) - 1) % r
    product = product * (x - zeta) * (x - zeta) * (x - domain.omega * zeta) % r
    product = product * (pow(x, COLUMN_PACK, r) - zeta) * (pow(x, TABLE_PACK, r) - zeta) * zeta % r
    return pow(product, -1, r) if product else 0


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
