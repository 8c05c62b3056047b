"""``zkmargin chain``: contracts that verify margin proofs, deployed, fed and asked; or calldata to do so elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from zkmargin.accounts import Commitment, Opening
from zkmargin.app import on_chain
from zkmargin.app.files import Output, blamed_on, load, load_lots, read_proof
from zkmargin.app.runtime import compile_note
from zkmargin.chain.calls import item, verify_call
from zkmargin.chain.client import Client, Sent
from zkmargin.chain.deployment import FACTORY, Step, plan
from zkmargin.chain.documents import Deployment, Rules
from zkmargin.chain.typed_data import RegistryMessage, in_order, read_signature, read_typed_data
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import (
    book_option,
    claim_options,
    json_option,
    output_option,
    parse_age,
    parse_claim,
    parse_word,
    passphrase_option,
    signer_option,
    snapshot_option,
)
from zkmargin.cli.passphrases import signer_of
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.crypto.signatures import Message
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, parse_json, read_text
from zkmargin.formats.files import STDIO
from zkmargin.verifier.chain import ChainStatement, Table, chain_context, decode_chain_proof

F = TypeVar("F", bound=Callable[..., Any])
_ADDRESS_DIGITS = 42


def _rpc(function: F) -> F:
    """``--rpc URL``, ``--key FILE``, ``--sender ADDRESS``, ``--calldata FILE``."""
    function = click.option(
        "--calldata",
        "calldata_path",
        metavar="FILE",
        help="Write the transaction (JSON: to, data) instead of sending it: for keys that live elsewhere.",
    )(function)
    function = passphrase_option(function)
    function = click.option(
        "--sender", metavar="ADDRESS", help="An account that the node itself signs for (a development chain)."
    )(function)
    function = click.option("--key", "key_path", metavar="FILE", help="An encrypted key file (Ethereum keystore).")(
        function
    )
    return _node(function)


def _node(function: F) -> F:
    return click.option(
        "--rpc", "url", metavar="URL", envvar="ZKMARGIN_RPC", help="The chain's node; ZKMARGIN_RPC without it."
    )(function)


def _deployment(function: F) -> F:
    return click.option(
        "--deployment", "deployment_path", required=True, metavar="FILE", help="Where the contracts are."
    )(function)


def _table(function: F) -> F:
    return click.option("--table", "table_path", required=True, metavar="FILE", help="The snapshot's table.")(function)


@click.group("chain", cls=Group)
def command() -> None:
    """Margin proofs on an Ethereum chain: contracts that accept what the verifier accepts. Unaudited.

    The chain must have EIP-2537 (Ethereum since Prague). `zkmargin chain dev` shows all of it on a local one. Every
    command that sends also writes what it would send, with --calldata. Exit code 1: a contract refuses, and why.
    """


@command.command("series", cls=Command, examples=["zkmargin chain series rules.json    # for snapshot table --series"])
@click.argument("rules_path", metavar="RULES")
@json_option
def series_command(rules_path: str, as_json: bool) -> None:
    """Print the series that RULES name: the digest of attesters, threshold, policies and lifetime."""
    series = load(Rules, rules_path).series.hex()
    terminal.say_json({"series": series}) if as_json else terminal.say(series)


@command.command(
    "deploy",
    cls=Command,
    examples=[
        "zkmargin chain deploy --rpc URL --key K.json --rules R.json --snapshot S.json --table T.json -o D.json",
        "zkmargin chain deploy --chain-id 1 --calldata txs.json --rules R --snapshot S --table T -o D.json",
    ],
)
@_rpc
@click.option("--rules", "rules_path", required=True, metavar="FILE", help="Who attests, and what covers.")
@snapshot_option
@_table
@click.option("--chain-id", type=click.IntRange(1), metavar="N", help="With --calldata and no --rpc: for which chain.")
@click.option("--joint", is_flag=True, help="Also a verifier of one proof for many accounts (chain prove-joint).")
@output_option("where the contracts are")
@json_option
def deploy_command(
    url: str | None,
    key_path: str | None,
    sender: str | None,
    passphrase_path: str | None,
    calldata_path: str | None,
    rules_path: str,
    snapshot_path: str,
    table_path: str,
    chain_id: int | None,
    joint: bool,
    output: str,
    as_json: bool,
) -> None:
    """Deploy a venue's contracts: registries, verifier of the table's layout, checker.

    Their addresses follow from code, rules and layout, through the deterministic factory: they are known before, the
    same on every chain, and what is there already is left as it is.
    """
    check_paths([rules_path, snapshot_path, table_path], [output, *_given(calldata_path)], json=as_json)
    rules, snapshot, table = load(Rules, rules_path), load(Snapshot, snapshot_path), load(Table, table_path)
    client = None if calldata_path is not None else _client(url, key_path, passphrase_path, sender)
    if client is None and chain_id is None:
        raise InputError("which chain: give --chain-id N", file="--chain-id")
    chain = chain_id if client is None else client.chain_id
    with blamed_on(table_path):
        deployment, steps = plan(rules, table, snapshot, chain, joint=joint)  # type: ignore[arg-type]
    if client is None:
        _write_calldata(calldata_path or "", [(FACTORY, step.data) for step in steps])
    else:
        _deploy_all(client, steps, err=output == STDIO or as_json)
    write_outputs([Output.document(output, deployment)])
    if as_json:
        terminal.say_json({"output": output, **deployment.model_dump(mode="json")})
    elif output != STDIO:
        terminal.say(f"wrote {output}; next: zkmargin chain status --deployment {terminal.safe(output)}")


def _deploy_all(client: Client, steps: Sequence[Step], *, err: bool) -> None:
    if not client.precompiles():
        raise InputError("the chain has no EIP-2537: nothing could be verified there", file="--rpc")
    for step in steps:
        sent = client.deploy(step)
        done = "is there already" if sent is None else f"deployed for {sent.gas} gas"
        terminal.say(f"{step.name} {step.address} {done}", err=err)


@command.group("sign", cls=Group)
def sign_group() -> None:
    """What attesters sign: typed data (EIP-712) for any wallet, and signatures by a key file."""


@sign_group.command(
    "table",
    cls=Command,
    examples=[
        "zkmargin chain sign table --deployment D.json --rules R.json --snapshot S.json --table T.json -o typed.json"
    ],
)
@_deployment
@click.option("--rules", "rules_path", required=True, metavar="FILE", help="The rules of the series.")
@snapshot_option
@_table
@click.option("--lifetime", default="10m", show_default=True, metavar="TIME", help="From now to its expiry: 90s, 10m.")
@output_option("the typed data")
def sign_table_command(
    deployment_path: str, rules_path: str, snapshot_path: str, table_path: str, lifetime: str, output: str
) -> None:
    """Typed data about a table, from now on. Check the table first: snapshot check --table."""
    check_paths([deployment_path, rules_path, snapshot_path, table_path], [output])
    now = int(time.time())
    with blamed_on(table_path):
        typed = on_chain.table_to_sign(
            load(Deployment, deployment_path),
            load(Rules, rules_path),
            load(Table, table_path),
            load(Snapshot, snapshot_path),
            time=now,
            expiry=now + parse_age(lifetime, "--lifetime"),
        )
    _write_typed(typed, output)


@sign_group.command(
    "part",
    cls=Command,
    examples=[
        "zkmargin chain sign part --deployment D.json --account 0x.. --role positions --new C.json -o typed.json"
    ],
)
@_deployment
@click.option("--account", required=True, metavar="ADDRESS", help="The account.")
@click.option("--role", type=click.Choice(["positions", "collateral"]), required=True, help="Which commitment.")
@click.option("--new", "new_path", required=True, metavar="FILE", help="The commitment now.")
@click.option("--old", "old_path", metavar="FILE", help="The commitment before; without it, the first.")
@click.option("--sequence", type=click.IntRange(1), default=1, show_default=True, help="One more than before.")
@output_option("the typed data")
def sign_part_command(
    deployment_path: str, account: str, role: str, new_path: str, old_path: str | None, sequence: int, output: str
) -> None:
    """Typed data about the part of an account that is held with you, or its change by a fill."""
    check_paths([deployment_path, new_path, *_given(old_path)], [output])
    new = on_chain.part_of([load(Commitment, new_path)], role)
    old = None if old_path is None else on_chain.part_of([load(Commitment, old_path)], role)
    deployment = load(Deployment, deployment_path)
    _write_typed(on_chain.part_to_sign(deployment, _address(account), new, old=old, sequence=sequence), output)


@sign_group.command(
    "with-key", cls=Command, examples=["zkmargin chain sign with-key typed.json --key keystore.json -o signature.json"]
)
@click.argument("typed_path", metavar="TYPED")
@click.option(
    "--key",
    "key_path",
    required=True,
    metavar="FILE",
    help="An encrypted key file (Ethereum keystore); with --signer the public key (secp256k1).",
)
@passphrase_option
@signer_option
@output_option("the signature")
def sign_with_key_command(
    typed_path: str, key_path: str, passphrase_path: str | None, signer_command: str | None, output: str
) -> None:
    """Sign typed data with a key file, or with the program that has the key."""
    check_paths([typed_path, key_path], [output])
    typed = _typed(typed_path)
    if signer_command is None:
        key = _key(key_path, passphrase_path)
        signed, address = key.unsafe_sign_hash(typed.digest), key.address
        signature = signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big") + bytes([signed.v])
    else:
        signer = signer_of(key_path, passphrase_path, signer_command)
        signature = bytes.fromhex(signer.sign(Message(typed.primary, typed.digest, typed.typed)).signature)
        address = signer.public.address
    text = json.dumps({"signer": address, "signature": "0x" + signature.hex()}, indent=1) + "\n"
    write_outputs([Output(output, text.encode())])


@command.command(
    "register",
    cls=Command,
    examples=[
        "zkmargin chain register --rpc URL --key K --deployment D --rules R --typed T --signature one --signature two"
    ],
)
@_rpc
@_deployment
@click.option("--rules", "rules_path", required=True, metavar="FILE", help="The rules of the series.")
@click.option("--typed", "typed_path", required=True, metavar="FILE", help="What was signed (chain sign table).")
@click.option(
    "--signature", "signature_paths", required=True, multiple=True, metavar="FILE", help="Of an attester, as many as k."
)
@json_option
def register_command(
    url: str | None,
    key_path: str | None,
    sender: str | None,
    passphrase_path: str | None,
    calldata_path: str | None,
    deployment_path: str,
    rules_path: str,
    typed_path: str,
    signature_paths: tuple[str, ...],
    as_json: bool,
) -> None:
    """Register a table that k attesters signed."""
    deployment, rules, typed = load(Deployment, deployment_path), load(Rules, rules_path), _typed(typed_path)
    data = on_chain.register_call(rules, typed, in_order(typed, [_signature(path) for path in signature_paths]))
    _act(deployment.snapshots, data, url, key_path, passphrase_path, sender, calldata_path, "registered", as_json)


@command.command(
    "commit",
    cls=Command,
    examples=[
        "zkmargin chain commit --rpc URL --key K --deployment D --role positions --new C --typed T --signature S",
        (
            "zkmargin chain commit --rpc URL --key K --deployment D --role positions --new C --typed T --signature S "
            "--old B --total B    # a fill: the part before, and all parts before"
        ),
    ],
)
@_rpc
@_deployment
@click.option("--role", type=click.Choice(["positions", "collateral"]), required=True, help="Which commitment.")
@click.option("--new", "new_path", required=True, metavar="FILE", help="The commitment now.")
@click.option("--old", "old_path", metavar="FILE", help="The attester's commitment before.")
@click.option("--total", "total_paths", multiple=True, metavar="FILE", help="All of the account's parts before.")
@click.option("--typed", "typed_path", required=True, metavar="FILE", help="What was signed (chain sign part).")
@click.option("--signature", "signature_path", required=True, metavar="FILE", help="Of the attester.")
@json_option
def commit_command(
    url: str | None,
    key_path: str | None,
    sender: str | None,
    passphrase_path: str | None,
    calldata_path: str | None,
    deployment_path: str,
    role: str,
    new_path: str,
    old_path: str | None,
    total_paths: tuple[str, ...],
    typed_path: str,
    signature_path: str,
    as_json: bool,
) -> None:
    """Register an attested part of an account, or its change. It ends the account's coverage."""
    deployment, typed = load(Deployment, deployment_path), _typed(typed_path)
    new = on_chain.part_of([load(Commitment, new_path)], role)
    old = None if old_path is None else on_chain.part_of([load(Commitment, old_path)], role)
    total = on_chain.part_of([load(Commitment, path) for path in total_paths], role) if total_paths else None
    (signature,) = in_order(typed, [_signature(signature_path)])
    data = on_chain.change_call(typed, new, signature, old=old, total=total)
    _act(deployment.commitments, data, url, key_path, passphrase_path, sender, calldata_path, "committed", as_json)


@command.command(
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
@_rpc
@_deployment
@click.option("--account", required=True, metavar="ADDRESS", help="The account to cover.")
@snapshot_option
@book_option
@click.option("--opening", "opening_paths", required=True, multiple=True, metavar="FILE", help="Openings (secret).")
@_table
@claim_options
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
    block: int | None,
    nonce_text: str | None,
    as_json: bool,
) -> None:
    """Prove that an account's margin is met, to the contract: for its next nonce, against a recent block."""
    check_paths([snapshot_path, *book_paths, *opening_paths, table_path], _given(calldata_path), json=as_json)
    deployment, account = load(Deployment, deployment_path), _address(account)
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
        client = _client(url, key_path, passphrase_path, sender)
        block, nonce = _next_nonce(client, deployment, account)
    with terminal.progress(f"Proving{compile_note()}"):
        data = on_chain.proof_call(
            deployment, account, snapshot, lots, openings, claim, table, block=block, nonce=nonce
        )
    to = (url, key_path, passphrase_path, sender, calldata_path)
    _act(deployment.checker, data, *to, "covered", as_json, client=client)


@command.command(
    "prove-joint",
    cls=Command,
    examples=[
        (
            "zkmargin chain prove-joint --rpc URL --key K --deployment D --snapshot S --table T "
            "--account 0x.. BOOK OPENING --account 0x.. BOOK OPENING"
        ),
    ],
)
@_rpc
@_deployment
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
@_table
@claim_options
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
    block: int | None,
    nonce_text: str | None,
    as_json: bool,
) -> None:
    """Prove together that many accounts' margin is met: one transaction, about a third of the gas an account.

    You must know the book of each account. All meet the claim, or there is no proof: a surplus of one pays nothing of
    another. The deployment needs a joint verifier (chain deploy --joint).
    """
    secrets = [path for _, *paths in accounts for path in paths]
    check_paths([snapshot_path, table_path, *secrets], _given(calldata_path), json=as_json)
    deployment, table = load(Deployment, deployment_path), load(Table, table_path)
    _needs_joint(deployment, deployment_path)
    claim, snapshot = parse_claim(claim_text, requirement), load(Snapshot, snapshot_path)
    members = _members(accounts, snapshot)
    client = None
    if nonce_text is not None and block is not None:
        nonce = parse_word(nonce_text, "--nonce")
    else:
        client = _client(url, key_path, passphrase_path, sender)
        block, nonce = _next_joint_nonce(client, deployment, [member.account for member in members])
    with terminal.progress(f"Proving {len(members)} accounts{compile_note()}"):
        data = on_chain.joint_proof_call(deployment, members, snapshot, claim, table, block=block, nonce=nonce)
    to = (url, key_path, passphrase_path, sender, calldata_path)
    _act(deployment.checker, data, *to, f"{len(members)} accounts covered", as_json, client=client)


def _members(accounts: Sequence[tuple[str, str, str]], snapshot: Snapshot) -> list[on_chain.Member]:
    return [
        on_chain.Member(_address(address), load_lots((book,), snapshot), (load(Opening, opening),))
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


@command.command(
    "verify",
    cls=Command,
    examples=[
        (
            "zkmargin chain verify --rpc URL --deployment D --caller 0x.. --nonce HEX --snapshot S --commitment C "
            "--table T proof.bin"
        ),
    ],
)
@click.argument("proof_path", metavar="PROOF")
@_node
@_deployment
@click.option("--caller", required=True, metavar="ADDRESS", help="The application that the proof was made for.")
@click.option("--nonce", "nonce_text", required=True, metavar="HEX", help="Its nonce.")
@snapshot_option
@click.option("--commitment", "commitment_paths", required=True, multiple=True, metavar="FILE", help="They add up.")
@_table
@claim_options
@json_option
def verify_command(
    proof_path: str,
    url: str | None,
    deployment_path: str,
    caller: str,
    nonce_text: str,
    snapshot_path: str,
    commitment_paths: tuple[str, ...],
    table_path: str,
    claim_text: str,
    requirement: str,
    as_json: bool,
) -> None:
    """Ask the contract for its verdict on PROOF, without a transaction."""
    deployment, nonce = load(Deployment, deployment_path), parse_word(nonce_text, "--nonce")
    raw = bytes.fromhex
    caller = _address(caller)
    context = chain_context(deployment.chain_id, raw(deployment.verifier[2:]), raw(caller[2:]), nonce)
    statement = ChainStatement.of(
        load(Snapshot, snapshot_path),
        [load(Commitment, path) for path in commitment_paths],
        parse_claim(claim_text, requirement),
        load(Table, table_path),
        context=context,
    )
    proof = decode_chain_proof(read_proof(proof_path), statement.prices.layout, statement.statement.srs.digest)
    client = _client(url)
    call = verify_call(statement.table, nonce, item(statement, proof))
    answer = client.run(deployment.verifier, call, sender=caller)
    facts = {"accepted": True, "table_hash": answer[:32].hex(), "statement_digest": answer[32:64].hex()}
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"accepted by the contract {deployment.verifier}: statement {facts['statement_digest']}")


@command.command(
    "status", cls=Command, examples=["zkmargin chain status --rpc URL --deployment deployment.json --account 0x.."]
)
@_node
@_deployment
@click.option("--account", metavar="ADDRESS", help="Also an account's commitments and coverage.")
@click.option("--table", "table_path", metavar="FILE", help="With --snapshot: recompute what the verifier pins.")
@click.option("--snapshot", "snapshot_path", metavar="FILE", help="The table's snapshot.")
@json_option
def status_command(
    url: str | None,
    deployment_path: str,
    account: str | None,
    table_path: str | None,
    snapshot_path: str | None,
    as_json: bool,
) -> None:
    """What the chain says of the contracts, and of an account."""
    deployment, table = load(Deployment, deployment_path), None
    if (table_path is None) != (snapshot_path is None):
        raise InputError("--table and --snapshot belong together", file="--table")
    if table_path is not None and snapshot_path is not None:
        from zkmargin.app.tables import recompute_table  # noqa: PLC0415 - only tables need the prover

        table = load(Table, table_path)
        with blamed_on(table_path):
            recompute_table(load(Snapshot, snapshot_path), table)
    found = on_chain.status_facts(
        _client(url), deployment, account=None if account is None else _address(account), table=table
    )
    if as_json:
        terminal.say_json(found)
        return
    _say_status(found, deployment)


def _say_status(found: dict[str, Any], deployment: Deployment) -> None:
    layout = found["layout"]
    terminal.say(f"chain        {found['chain_id']}, block {found['block']}")
    terminal.say(f"EIP-2537     {'yes' if found['precompiles'] else 'no: nothing can be verified here'}")
    terminal.say(
        f"layout       {layout['digest']}, {'as deployed' if layout['as_deployed'] else 'ANOTHER than deployed'}"
    )
    if "joint_as_deployed" in layout:
        terminal.say(
            f"joint proofs {'the same layout' if layout['joint_as_deployed'] else 'ANOTHER layout: do not use it'}"
        )
    if "pinned_recomputed" in layout:
        same = "recomputed, the same" if layout["pinned_recomputed"] else "NOT what its layout gives: do not use it"
        terminal.say(f"pinned       {same}")
    terminal.say(f"series       {deployment.series}, latest table number {found['latest_sequence']}")
    if "account" in found:
        a = found["account"]
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(a["covered_until"]))
        terminal.say(
            f"account      {a['address']}, {'complete' if a['complete'] else 'incomplete'}, version {a['version']}"
        )
        terminal.say(
            f"             {'covered until ' + until if a['covered'] else 'not covered'}, {a['proofs']} proofs"
        )


@command.command(
    "dev", cls=Command, examples=["zkmargin chain dev --folder zkmargin-demo", "zkmargin chain dev --anvil ./anvil"]
)
@click.option(
    "--anvil", "anvil_path", metavar="FILE", help="The local EVM; found in the path, or where npm put it, without it."
)
@click.option(
    "--folder", default="zkmargin-demo", show_default=True, metavar="FOLDER", help="Where the demo's files are."
)
def dev_command(anvil_path: str | None, folder: str) -> None:
    """Start a local chain and walk through everything: deploy, register, commit, prove, a fill, what must fail."""
    from zkmargin.cli.chain_dev import walk  # noqa: PLC0415 - only the demonstration needs it

    walk(anvil_path, folder)


# --- shared -----------------------------------------------------------------------------------------------------------


def _act(
    to: str,
    data: bytes,
    url: str | None,
    key_path: str | None,
    passphrase_path: str | None,
    sender: str | None,
    calldata_path: str | None,
    what: str,
    as_json: bool,
    *,
    client: Client | None = None,
) -> None:
    """Send a transaction, or write it."""
    if calldata_path is not None:
        _write_calldata(calldata_path, [(to, data)])
        if as_json:
            terminal.say_json({"output": calldata_path})
        return
    sent: Sent = (client or _client(url, key_path, passphrase_path, sender)).send(to, data)
    if as_json:
        terminal.say_json({"transaction": sent.hash, "gas": sent.gas, "block": sent.block})
        return
    terminal.say(f"{what} in block {sent.block} for {sent.gas} gas: transaction {sent.hash}")


def _write_calldata(path: str, transactions: Sequence[tuple[str, bytes]]) -> None:
    document = [{"to": to, "data": "0x" + data.hex(), "value": "0x0"} for to, data in transactions]
    write_outputs([Output(path, (json.dumps(document, indent=1) + "\n").encode())])
    if path != STDIO:
        terminal.say(f"wrote {path}: {terminal.counted(len(document), 'transaction')} to send in order", err=True)


def _write_typed(typed: RegistryMessage, output: str) -> None:
    write_outputs([Output(output, (json.dumps(typed.document(), indent=1) + "\n").encode())])
    if output != STDIO:
        terminal.say(f"wrote {output}: typed data with the digest 0x{typed.digest.hex()}")


def _client(
    url: str | None, key_path: str | None = None, passphrase_path: str | None = None, sender: str | None = None
) -> Client:
    if url is None:
        raise InputError("which chain: give --rpc URL", file="--rpc")
    key = None if key_path is None else _key(key_path, passphrase_path)
    return Client(url, key=key, sender=None if sender is None else _address(sender))


def _key(path: str, passphrase_path: str | None) -> Any:
    """An eth-account key from a keystore file; its passphrase is never on a command line."""
    try:
        from eth_account import Account  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise InputError("needs eth-account", file="--key", hint="pip install 'zkmargin[chain]'") from None
    keystore = parse_json(read_text(path), file=path)
    if passphrase_path is None:
        passphrase = click.prompt(f"Passphrase of {path}", hide_input=True, err=True)
    else:
        passphrase = read_text(passphrase_path).split("\n", 1)[0]
    try:
        return Account.from_key(Account.decrypt(keystore, passphrase))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"cannot be opened: {str(error)[:100]}", file=path) from None


def _address(text: str) -> str:
    digits = text.lower()
    try:
        valid = len(text) == _ADDRESS_DIGITS and digits.startswith("0x") and int(digits, 16) >= 0
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"{text[:60]!r} is no address (0x and 40 hex digits)", field="address")
    return digits


def _typed(path: str) -> RegistryMessage:
    with blamed_on(path):
        return read_typed_data(parse_json(read_text(path), file=path))


def _signature(path: str) -> bytes:
    with blamed_on(path):
        return read_signature(read_text(path))


def _given(path: str | None) -> list[str]:
    return [] if path is None else [path]
