"""``zkmargin chain prove | prove-joint | verify``: proofs for contracts, and their verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from zkmargin.cli.statements import gathered
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier.chain import Table


@dataclass(frozen=True, kw_only=True)
class Proving:
    """What was typed, whether for one account or for many."""

    url: str | None
    key_path: str | None
    sender: str | None
    passphrase_path: str | None
    calldata_path: str | None
    deployment_path: str
    snapshot_path: str
    table_path: str
    claim_text: str
    requirement: str
    proof_path: str | None
    block: int | None
    nonce_text: str | None
    as_json: bool

    def check_paths(self, secrets: Sequence[str]) -> None:
        """Raises InputError for outputs that clash with what is read."""
        outputs = [*given(self.calldata_path), *given(self.proof_path)]
        check_paths([self.snapshot_path, self.table_path, *secrets], outputs, json=self.as_json)

    def next_nonce(self, view: str, deployment: Deployment, whose: object) -> tuple[Client | None, int, Any]:
        """A recent block and what ``view`` of the checker says there, or both as they were typed; then no chain."""
        if self.nonce_text is not None and self.block is not None:
            return None, self.block, parse_word(self.nonce_text, "--nonce")
        client = client_of(self.url, self.key_path, self.passphrase_path, self.sender)
        if self.calldata_path is None:  # before a proof is made: that somebody sends it
            client.must_send()
        block = client.block()[0] - 1
        (nonce,) = client.call("MarginChecker", deployment.checker, view, whose, block)
        return client, block, nonce

    def end(self, deployment: Deployment, made: on_chain.MadeProof, nonce: bytes, client: Client | None) -> None:
        """Write the proof's bytes and say what they are for (nobody else is told the nonce); send the call."""
        if self.proof_path is not None:
            write_outputs([Output.proof(self.proof_path, made.proof)])
            terminal.say(f"wrote {self.proof_path}: chain verify takes it with --nonce {nonce.hex()}", err=True)
        to = (self.url, self.key_path, self.passphrase_path, self.sender, self.calldata_path)
        act(deployment.checker, made.call, *to, self.done, self.as_json, client=client)

    @property
    def done(self) -> str:
        """What a transaction has done."""
        return "covered"


@dataclass(frozen=True, kw_only=True)
class ProvingOne(Proving):
    """What was typed after ``chain prove``."""

    account: str
    book_paths: tuple[str, ...]
    opening_paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ProvingJointly(Proving):
    """What was typed after ``chain prove-joint``."""

    accounts: tuple[tuple[str, str, str], ...]

    @property
    def done(self) -> str:
        """What a transaction has done, to how many."""
        return f"{terminal.counted(len(self.accounts), 'account')} covered"


def _proof_options(view: str) -> Callable[[F], F]:
    """``--proof``, ``--block``, ``--nonce`` and ``--json``; a ``view`` of the checker gives the nonce."""

    def decorate(function: F) -> F:
        function = click.option("--nonce", "nonce_text", metavar="HEX", help=f"Offline: what {view} says.")(
            json_option(function)
        )
        function = click.option(
            "--block", type=click.IntRange(0), metavar="N", help="Offline, with --nonce: the nonce's block."
        )(function)
        return click.option(
            "--proof", "proof_path", metavar="FILE", help="Also write the proof's bytes: for chain verify."
        )(function)

    return decorate


@click.command(
    "prove",
    cls=Command,
    examples=[
        (
            "zkmargin chain prove --rpc http://127.0.0.1:8545 --key sender.key --deployment deployment.json "
            "--account 0x00000000000000000000000000000000000000ac "
            "--snapshot snapshot.json --book book.json --opening opening.json --table table.json"
        ),
        (
            "zkmargin chain prove --rpc http://127.0.0.1:8545 --calldata my-proof.json --deployment deployment.json "
            "--account 0x00000000000000000000000000000000000000ac "
            "--snapshot snapshot.json --book book.json --opening opening.json "
            "--table table.json    # somebody else sends it"
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
@_proof_options("nonceOf(account, block) of the checker")
@gathered(ProvingOne)
def prove_command(options: ProvingOne) -> None:
    """Prove that an account's margin is met, to the contract: for its next nonce, against a recent block."""
    options.check_paths([*options.book_paths, *options.opening_paths])
    deployment, account = load(Deployment, options.deployment_path), address_of(options.account)
    claim = parse_claim(options.claim_text, options.requirement)
    snapshot, table = load(Snapshot, options.snapshot_path), load(Table, options.table_path)
    lots = load_lots(options.book_paths, snapshot)
    openings = [load(Opening, path) for path in options.opening_paths]
    client, block, nonce = options.next_nonce("nonceOf", deployment, account)
    with terminal.progress(f"Proving{compile_note()}"):
        made = on_chain.proof_call(
            deployment, account, snapshot, lots, openings, claim, table, block=block, nonce=nonce
        )
    options.end(deployment, made, nonce, client)


@click.command(
    "prove-joint",
    cls=Command,
    examples=[
        (
            "zkmargin chain prove-joint --rpc http://127.0.0.1:8545 --key sender.key --deployment deployment.json "
            "--snapshot snapshot.json --table table.json "
            "--account 0x00000000000000000000000000000000000000ac book.json "
            "opening.json --account 0x00000000000000000000000000000000000000ad book.json opening.json"
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
@_proof_options("jointNonceOf(accounts, block)")
@gathered(ProvingJointly)
def prove_joint_command(options: ProvingJointly) -> None:
    """Prove together that many accounts' margin is met: one transaction, about a third of the gas an account.

    You must know the book of each account. All meet the claim, or there is no proof: a surplus of one pays nothing of
    another. The deployment needs a joint verifier (chain deploy --joint).
    """
    options.check_paths([path for _, *paths in options.accounts for path in paths])
    deployment, table = load(Deployment, options.deployment_path), load(Table, options.table_path)
    _needs_joint(deployment, options.deployment_path)
    claim = parse_claim(options.claim_text, options.requirement)
    snapshot = load(Snapshot, options.snapshot_path)
    members = _members(options.accounts, snapshot)
    whose = [member.account for member in members]
    client, block, nonce = options.next_nonce("jointNonceOf", deployment, whose)
    with terminal.progress(f"Proving {len(members)} accounts{compile_note()}"):
        made = on_chain.joint_proof_call(deployment, members, snapshot, claim, table, block=block, nonce=nonce)
    options.end(deployment, made, nonce, client)


def _members(accounts: Sequence[tuple[str, str, str]], snapshot: Snapshot) -> list[on_chain.Member]:
    return [
        on_chain.Member(address_of(address), load_lots((book,), snapshot), (load(Opening, opening),))
        for address, book, opening in accounts
    ]


def _needs_joint(deployment: Deployment, path: str) -> None:
    """Before anything is read or proved. InputError where no joint verifier was deployed."""
    with blamed_on(path):
        on_chain.joint_verifier_of(deployment)


@click.command(
    "verify",
    cls=Command,
    examples=[
        (
            "zkmargin chain verify --rpc http://127.0.0.1:8545 --deployment deployment.json "
            "--nonce 0707070707070707070707070707070707070707070707070707070707070707 "
            "--snapshot snapshot.json --commitment commitment.json --table table.json chain.bin"
        ),
        (
            "zkmargin chain verify --rpc http://127.0.0.1:8545 --deployment deployment.json "
            "--nonce 0707070707070707070707070707070707070707070707070707070707070707 "
            "--snapshot snapshot.json --table table.json "
            "--account commitment.json --account commitment.json joint.bin    # one proof for two accounts"
        ),
        (
            "zkmargin chain verify --calldata my-call.json --deployment deployment.json "
            "--nonce 0707070707070707070707070707070707070707070707070707070707070707 "
            "--snapshot snapshot.json --commitment commitment.json "
            "--table table.json chain.bin    # for eth_call elsewhere"
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
