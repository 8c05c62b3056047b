"""``zkmargin chain prove | prove-joint | verify``: proofs for contracts, and their verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from zkmargin.accounts import Commitment, Opening
from zkmargin.app import on_chain
from zkmargin.app.files import Output, blamed_on, load, load_lots, read_proof
from zkmargin.app.runtime import compile_note
from zkmargin.chain.client import Client
from zkmargin.chain.documents import Deployment
from zkmargin.cli import terminal
from zkmargin.cli.chains import (
    F,
    act,
    address_of,
    client_of,
    deployment_option,
    given,
    node_option,
    rpc_option,
    table_option,
    write_calldata,
)
from zkmargin.cli.groups import Command
from zkmargin.cli.options import book_option, claim_options, json_option, parse_claim, parse_word, snapshot_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier.chain import Table


def _proof(function: F) -> F:
    return click.option(
        "--proof", "proof_path", metavar="FILE", help="Also write the proof's bytes: for chain verify."
    )(function)


@click.command(
    "prove",
    cls=Command,
    examples=[
        (
            "zkmargin chain prove --rpc URL --key K --deployment D --account 0x.. --snapshot S --book B --opening O "
            "--table T"
        ),
        (
            "zkmargin chain prove --rpc URL --calldata tx.json --deployment D --account 0x.. --snapshot S --book B "
            "--opening O --table T    # somebody else sends it"
        ),
    ],
)
@rpc_option
@deployment_option
@click.option("--account", required=True, metavar="ADDRESS", help="The account to cover.")
@snapshot_option
@book_option
@click.option("--opening", "opening_paths", required=True, multiple=True, metavar="FILE", help="Openings (secret).")
@table_option
@claim_options
@_proof
@click.option("--block", type=click.IntRange(0), metavar="N", help="Offline, with --nonce: the nonce's block.")
@click.option("--nonce", "nonce_text", metavar="HEX", help="Offline: what nonceOf(account, block) of the checker says.")
@json_option
def prove_command(
    url: str | None,
    key_path: str | None,
    sender: str | None,
    passphrase_path: str | None,
    calldata_path: str | None,
    deployment_path: str,
    account: str,
    snapshot_path: str,
    book_paths: tuple[str, ...],
    opening_paths: tuple[str, ...],
    table_path: str,
    claim_text: str,
    requirement: str,
    proof_path: str | None,
    block: int | None,
    nonce_text: str | None,
    as_json: bool,
) -> None:
    """Prove that an account's margin is met, to the contract: for its next nonce, against a recent block."""
    outputs = [*given(calldata_path), *given(proof_path)]
    check_paths([snapshot_path, *book_paths, *opening_paths, table_path], outputs, json=as_json)
    deployment, account = load(Deployment, deployment_path), address_of(account)
    claim, snapshot, table = (
        parse_claim(claim_text, requirement),
        load(Snapshot, snapshot_path),
        load(Table, table_path),
    )
    lots, openings = load_lots(book_paths, snapshot), [load(Opening, path) for path in opening_paths]
    client = None
    if nonce_text is not None and block is not None:
        nonce = parse_word(nonce_text, "--nonce")
    else:
        client = _prover_of(client_of(url, key_path, passphrase_path, sender), calldata_path)
        block, nonce = _next_nonce(client, deployment, account)
    with terminal.progress(f"Proving{compile_note()}"):
        made = on_chain.proof_call(
            deployment, account, snapshot, lots, openings, claim, table, block=block, nonce=nonce
        )
    to = (url, key_path, passphrase_path, sender, calldata_path)
    _keep(proof_path, made, nonce)
    act(deployment.checker, made.call, *to, "covered", as_json, client=client)


@click.command(
    "prove-joint",
    cls=Command,
    examples=[
        (
            "zkmargin chain prove-joint --rpc URL --key K --deployment D --snapshot S --table T "
            "--account 0x.. BOOK OPENING --account 0x.. BOOK OPENING"
        ),
    ],
)
@rpc_option
@deployment_option
@click.option(
    "--account",
    "accounts",
    required=True,
    multiple=True,
    nargs=3,
    metavar="ADDRESS BOOK OPENING",
    help="An account to cover, its book and opening (secret); up to 256.",
)
@snapshot_option
@table_option
@claim_options
@_proof
@click.option("--block", type=click.IntRange(0), metavar="N", help="Offline, with --nonce: the nonce's block.")
@click.option("--nonce", "nonce_text", metavar="HEX", help="Offline: what jointNonceOf(accounts, block) says.")
@json_option
def prove_joint_command(
    url: str | None,
    key_path: str | None,
    sender: str | None,
    passphrase_path: str | None,
    calldata_path: str | None,
    deployment_path: str,
    accounts: tuple[tuple[str, str, str], ...],
    snapshot_path: str,
    table_path: str,
    claim_text: str,
    requirement: str,
    proof_path: str | None,
    block: int | None,
    nonce_text: str | None,
    as_json: bool,
) -> None:
    """Prove together that many accounts' margin is met: one transaction, about a third of the gas an account.

    You must know the book of each account. All meet the claim, or there is no proof: a surplus of one pays nothing of
    another. The deployment needs a joint verifier (chain deploy --joint).
    """
    secrets = [path for _, *paths in accounts for path in paths]
    check_paths([snapshot_path, table_path, *secrets], [*given(calldata_path), *given(proof_path)], json=as_json)
    deployment, table = load(Deployment, deployment_path), load(Table, table_path)
    _needs_joint(deployment, deployment_path)
    claim, snapshot = parse_claim(claim_text, requirement), load(Snapshot, snapshot_path)
    members = _members(accounts, snapshot)
    client = None
    if nonce_text is not None and block is not None:
        nonce = parse_word(nonce_text, "--nonce")
    else:
        client = _prover_of(client_of(url, key_path, passphrase_path, sender), calldata_path)
        block, nonce = _next_joint_nonce(client, deployment, [member.account for member in members])
    with terminal.progress(f"Proving {len(members)} accounts{compile_note()}"):
        made = on_chain.joint_proof_call(deployment, members, snapshot, claim, table, block=block, nonce=nonce)
    to = (url, key_path, passphrase_path, sender, calldata_path)
    _keep(proof_path, made, nonce)
    act(
        deployment.checker,
        made.call,
        *to,
        f"{terminal.counted(len(members), 'account')} covered",
        as_json,
        client=client,
    )


def _prover_of(client: Client, calldata_path: str | None) -> Client:
    """The chain, once it is known that somebody sends the proof. Raises InputError before it is made."""
    if calldata_path is None:
        client.must_send()
    return client


def _keep(path: str | None, made: on_chain.MadeProof, nonce: bytes) -> None:
    """Write the proof's bytes, and say what they were made for: nobody else is told the nonce."""
    if path is not None:
        write_outputs([Output.proof(path, made.proof)])
        terminal.say(f"wrote {path}: chain verify takes it with --nonce {nonce.hex()}", err=True)


def _members(accounts: Sequence[tuple[str, str, str]], snapshot: Snapshot) -> list[on_chain.Member]:
    return [
        on_chain.Member(address_of(address), load_lots((book,), snapshot), (load(Opening, opening),))
        for address, book, opening in accounts
    ]


def _needs_joint(deployment: Deployment, path: str) -> None:
    """Before anything is read or proved. InputError where no joint verifier was deployed."""
    with blamed_on(path):
        on_chain.joint_verifier_of(deployment)


def _next_joint_nonce(client: Client, deployment: Deployment, accounts: list[str]) -> tuple[int, Any]:
    """A recent block, and the nonce that the accounts' next joint proof must be for."""
    block = client.block()[0] - 1
    (nonce,) = client.call("MarginChecker", deployment.checker, "jointNonceOf", accounts, block)
    return block, nonce


def _next_nonce(client: Client, deployment: Deployment, account: str) -> tuple[int, Any]:
    """A recent block, and the nonce that the account's next proof must be for."""
    block = client.block()[0] - 1
    (nonce,) = client.call("MarginChecker", deployment.checker, "nonceOf", account, block)
    return block, nonce


@click.command(
    "verify",
    cls=Command,
    examples=[
        ("zkmargin chain verify --rpc URL --deployment D --nonce HEX --snapshot S --commitment C --table T proof.bin"),
        (
            "zkmargin chain verify --rpc URL --deployment D --nonce HEX --snapshot S --table T --account C "
            "--account E joint.bin    # one proof for two accounts"
        ),
        (
            "zkmargin chain verify --calldata call.json --deployment D --nonce HEX --snapshot S --commitment C "
            "--table T proof.bin    # for eth_call elsewhere"
        ),
    ],
)
@click.argument("proof_path", metavar="PROOF")
@node_option
@deployment_option
@click.option("--caller", metavar="ADDRESS", help="Who asks the verifier; the deployment's checker without it.")
@click.option("--nonce", "nonce_text", required=True, metavar="HEX", help="What the proof was made for.")
@snapshot_option
@click.option("--commitment", "commitment_paths", multiple=True, metavar="FILE", help="Of one account: they add up.")
@click.option(
    "--account",
    "account_paths",
    multiple=True,
    metavar="FILE",
    help="Of a joint proof: the commitment of each account, in the order of the proof.",
)
@table_option
@claim_options
@click.option("--calldata", "calldata_path", metavar="FILE", help="Write the call (JSON: from, to, data), ask nobody.")
@json_option
def verify_command(
    proof_path: str,
    url: str | None,
    deployment_path: str,
    caller: str | None,
    nonce_text: str,
    snapshot_path: str,
    commitment_paths: tuple[str, ...],
    account_paths: tuple[str, ...],
    table_path: str,
    claim_text: str,
    requirement: str,
    calldata_path: str | None,
    as_json: bool,
) -> None:
    """Ask the contract for its verdict on PROOF, of one account or of many together, without a transaction.

    The contract's errors are named, with what they mean. Exit code 1: it refuses.
    """
    inputs = [proof_path, deployment_path, snapshot_path, *commitment_paths, *account_paths, table_path]
    check_paths(inputs, given(calldata_path), json=as_json)
    deployment, proof = load(Deployment, deployment_path), read_proof(proof_path)
    sender = deployment.checker if caller is None else address_of(caller)
    asked = on_chain.verdict_call(
        deployment,
        load(Snapshot, snapshot_path),
        _accounts(commitment_paths, account_paths),
        parse_claim(claim_text, requirement),
        load(Table, table_path),
        proof,
        caller=sender,
        nonce=parse_word(nonce_text, "--nonce"),
        joint=bool(account_paths),
    )
    if calldata_path is not None:
        write_calldata(calldata_path, [asked], sender=sender)
        if as_json:
            terminal.say_json({"output": calldata_path})
        return
    answer = client_of(url).run(*asked, sender=sender)
    facts = {"accepted": True, "table_hash": answer[:32].hex(), "statement_digest": answer[32:64].hex()}
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"accepted by the contract {asked[0]}: statement {facts['statement_digest']}")


def _accounts(commitment_paths: Sequence[str], account_paths: Sequence[str]) -> list[list[Commitment]]:
    """The commitments of each account. InputError for none, or for both ways to give them."""
    if bool(commitment_paths) == bool(account_paths):
        raise InputError("give --commitment (one account), or --account for each of a joint proof", file="--commitment")
    if commitment_paths:
        return [[load(Commitment, path) for path in commitment_paths]]
    return [[load(Commitment, path)] for path in account_paths]
