"""What ``zkmargin chain`` does, without the command line: calls and typed data from files of a venue and an account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.accounts import Commitment, Opening
from zkmargin.chain.abi import encode_call
from zkmargin.chain.calls import item, joint_item, table_id, verify_call
from zkmargin.chain.client import Client
from zkmargin.chain.documents import Deployment, Rules
from zkmargin.chain.typed_data import COLLATERAL, POSITIONS, RegistryMessage, commitment_part, snapshot_table
from zkmargin.crypto.group import add_all
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Hint, InputError, from_hex, keccak256
from zkmargin.prover.prove_chain import prove_chain, prove_joint
from zkmargin.verifier.chain import ChainStatement, Table, chain_context, decode_chain_proof
from zkmargin.verifier.chain.joint import JointStatement
from zkmargin.verifier.chain.joint_proof import decode_joint_proof
from zkmargin.verifier.chain.words import point_bytes

ROLE_NUMBERS = {"positions": POSITIONS, "collateral": COLLATERAL}
Signatures = Sequence[tuple[bytes, bytes]]


def table_to_sign(
    deployment: Deployment, rules: Rules, table: Table, snapshot: Snapshot, *, time: int, expiry: int
) -> RegistryMessage:
    """What price attesters sign about a table, times in seconds since 1970.

    Raises:
        InputError: a table of another series, snapshot or layout, a policy that the rules do not list, a lifetime
            that they do not allow.
    """
    if table.series != deployment.series or rules.series.hex() != deployment.series:
        raise InputError("table, rules and deployment are not of one series", field="table: series")
    if table.layout_digest.hex() != deployment.layout_digest:
        raise InputError("is of another layout than the deployed verifier", field="table: layout")
    if table.snapshot != snapshot.digest().hex():
        raise InputError("is of another snapshot", field="table: snapshot")
    policy = snapshot.policy.digest().hex()
    if policy not in rules.policies:
        raise InputError(f"the rules do not list the snapshot's policy {policy}", field="rules: policies")
    if not 0 < expiry - time <= rules.lifetime_seconds:
        raise InputError(f"from time to expiry at most {rules.lifetime_seconds} seconds", field="rules: lifetime")
    series, sequence, digest = table_id(table)
    return snapshot_table(
        deployment.chain_id,
        deployment.snapshots,
        series=series,
        sequence=sequence,
        snapshot=digest,
        policy=from_hex(policy),
        table=table.hash,
        time=time,
        expiry=expiry,
    )


def register_call(rules: Rules, typed: RegistryMessage, signatures: Signatures) -> bytes:
    """``SnapshotRegistry.register``; signatures in ascending order of their signers."""
    values = tuple(typed.message.values())
    return encode_call("SnapshotRegistry", "register", [rules.argument(), values, list(signatures)])


@dataclass(frozen=True)
class Part:
    """A part of an account: its role and point, 96 bytes."""

    role: str
    point: bytes


def part_of(commitments: Sequence[Commitment], role: str) -> Part:
    """The sum of all parts of a role in some documents. InputError when there are none, or several segments."""
    points = [part.decoded() for document in commitments for part in document.parts if part.role == role]
    if not points or any(len(row) != 1 for row in points):
        raise InputError(f"one segment of {role} is needed", field="commitment: parts")
    try:
        return Part(role, point_bytes(add_all(row[0] for row in points)))
    except ValueError as error:
        raise InputError(str(error), field="commitment: points") from None


def part_to_sign(
    deployment: Deployment, account: str, new: Part, *, old: Part | None = None, sequence: int = 1
) -> RegistryMessage:
    """What a venue or custodian signs about an account's part, or its change. Raises InputError for a first part that
    is not number 1.
    """
    if (old is None) != (sequence == 1):
        raise InputError("the first part is number 1, and every later one names the part before", field="sequence")
    role = ROLE_NUMBERS[new.role]
    return commitment_part(
        deployment.chain_id,
        deployment.commitments,
        account=account,
        role=role,
        slot_map=from_hex(deployment.slot_maps[role]),
        old_point=bytes(32) if old is None else keccak256(old.point),
        new_point=keccak256(new.point),
        sequence=sequence,
    )


def change_call(
    typed: RegistryMessage,
    new: Part,
    signature: tuple[bytes, bytes],
    *,
    old: Part | None = None,
    total: Part | None = None,
) -> bytes:
    """``CommitmentRegistry.change``; ``total`` is the account's sum in this role before."""
    points = [b"" if part is None else part.point for part in (old, new, total)]
    return encode_call("CommitmentRegistry", "change", [tuple(typed.message.values()), *points, signature])


@dataclass(frozen=True)
class MadeProof:
    """A proof, and the checker's call that it goes with.

    Attributes:
        call: data of a transaction to ``MarginChecker``.
        proof: the bytes of a proof file.
    """

    call: bytes
    proof: bytes


def proof_call(
    deployment: Deployment,
    account: str,
    snapshot: Snapshot,
    lots: BookLots,
    openings: Sequence[Opening],
    claim: Claim,
    table: Table,
    *,
    block: int,
    nonce: bytes,
    threads: int | None = None,
) -> MadeProof:
    """``MarginChecker.prove`` for an account's next nonce: makes the proof. Raises as ``prove_chain``."""
    context = _context(deployment, deployment.verifier, deployment.checker, nonce)
    commitments = [opening.commitment() for opening in openings]
    statement = ChainStatement.of(snapshot, commitments, claim, table, context=context)
    data = prove_chain(statement, lots, openings, threads=threads)
    proof = decode_chain_proof(data, statement.prices.layout, statement.statement.srs.digest)
    sent = item(statement, proof)
    call = encode_call("MarginChecker", "prove", [account, table_id(table), table.content(), block, sent])
    return MadeProof(call, data)


@dataclass(frozen=True)
class Member:
    """An account of a joint proof: its address, book and openings."""

    account: str
    lots: BookLots
    openings: tuple[Opening, ...]


def joint_proof_call(
    deployment: Deployment,
    members: Sequence[Member],
    snapshot: Snapshot,
    claim: Claim,
    table: Table,
    *,
    block: int,
    nonce: bytes,
    threads: int | None = None,
) -> MadeProof:
    """``MarginChecker.proveJoint`` for the accounts' next nonce: makes the proof. Raises as ``prove_joint``.

    Raises:
        InputError: an account twice, or no joint verifier in the deployment.
    """
    accounts = [member.account for member in members]
    if len(set(accounts)) != len(accounts):
        raise InputError("an account is given twice", field="account")
    verifier = joint_verifier_of(deployment)
    context = _context(deployment, verifier, deployment.checker, nonce)
    commitments = [[opening.commitment() for opening in member.openings] for member in members]
    statement = JointStatement.of(snapshot, commitments, claim, table, context=context)
    secrets = [(member.lots, member.openings) for member in members]
    data = prove_joint(statement, secrets, threads=threads)
    proof = decode_joint_proof(data, len(members), statement.prices.layout, statement.srs.digest)
    sent = joint_item(statement, proof)
    call = encode_call("MarginChecker", "proveJoint", [accounts, table_id(table), table.content(), block, sent])
    return MadeProof(call, data)


def verdict_call(
    deployment: Deployment,
    snapshot: Snapshot,
    accounts: Sequence[Sequence[Commitment]],
    claim: Claim,
    table: Table,
    proof: bytes,
    *,
    caller: str,
    nonce: bytes,
    joint: bool,
) -> tuple[str, bytes]:
    """Which verifier to ask about the bytes of a proof file, and the call; ``caller`` must be who asks.

    Args:
        accounts: the commitments of each account; one account where the proof is not joint.

    Raises:
        ProofFormatError: a proof of another kind or shape.
        InputError: documents that do not belong together, or no joint verifier in the deployment.
    """
    verifier = joint_verifier_of(deployment) if joint else deployment.verifier
    context = _context(deployment, verifier, caller, nonce)
    if joint:
        together = JointStatement.of(snapshot, accounts, claim, table, context=context)
        decoded = decode_joint_proof(proof, len(accounts), together.prices.layout, together.srs.digest)
        return verifier, verify_call(table, nonce, joint_item(together, decoded))
    (commitments,) = accounts
    statement = ChainStatement.of(snapshot, commitments, claim, table, context=context)
    single = decode_chain_proof(proof, statement.prices.layout, statement.statement.srs.digest)
    return verifier, verify_call(table, nonce, item(statement, single))


def _context(deployment: Deployment, verifier: str, caller: str, nonce: bytes) -> bytes:
    return chain_context(deployment.chain_id, bytes.fromhex(verifier[2:]), bytes.fromhex(caller[2:]), nonce)


def joint_verifier_of(deployment: Deployment) -> str:
    """The address of the joint verifier. InputError where none was deployed."""
    if deployment.joint_verifier is None:
        raise InputError("has no verifier of joint proofs", field="joint_verifier", hint=Hint.JOINT)
    return deployment.joint_verifier


def status_facts(
    client: Client, deployment: Deployment, *, account: str | None = None, table: Table | None = None
) -> dict[str, Any]:
    """What the chain says of a deployment, and of an account. ``table``: one whose pinned point was recomputed.

    Raises:
        InputError: another chain.
        VerificationError: a contract that is not there, or that pins something else.
    """
    if client.chain_id != deployment.chain_id:
        raise InputError(f"the chain is {client.chain_id}, the deployment's {deployment.chain_id}", field="chain_id")
    digest, pinned = client.call("MarginVerifier", deployment.verifier, "pins")
    (latest,) = client.call("SnapshotRegistry", deployment.snapshots, "latest", from_hex(deployment.series))
    number, time = client.block()
    facts: dict[str, Any] = {
        "chain_id": client.chain_id,
        "block": number,
        "time": time,
        "precompiles": client.precompiles(),
        "layout": {"digest": digest.hex(), "as_deployed": digest.hex() == deployment.layout_digest},
        "latest_sequence": latest,
    }
    if table is not None:
        facts["layout"]["pinned_recomputed"] = pinned.hex() == table.pinned and digest == table.layout_digest
    if deployment.joint_verifier is not None:
        joint = client.call("MarginJointVerifier", deployment.joint_verifier, "pins")
        facts["layout"]["joint_as_deployed"] = joint == (digest, pinned)
    if account is not None:
        positions, collateral, version, complete = client.call(
            "CommitmentRegistry", deployment.commitments, "commitmentsOf", account
        )
        (until,) = client.call("MarginChecker", deployment.checker, "coveredUntil", account)
        (count,) = client.call("MarginChecker", deployment.checker, "countOf", account)
        facts["account"] = {
            "address": account,
            "complete": complete,
            "version": version,
            "positions": positions.hex(),
            "collateral": collateral.hex(),
            "covered": until > time,
            "covered_until": until,
            "proofs": count,
        }
    return facts
