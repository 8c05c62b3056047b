"""``zkmargin chain``: contracts that verify margin proofs, deployed, fed and asked; or calldata to do so elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from zkmargin.app import on_chain
from zkmargin.app.files import Output, blamed_on, load
from zkmargin.chain.client import Client
from zkmargin.chain.deployment import FACTORY, Step, plan
from zkmargin.chain.documents import Deployment, Rules
from zkmargin.cli import terminal
from zkmargin.cli.chain_attest import commit_command, register_command, sign_group
from zkmargin.cli.chain_prove import prove_command, prove_joint_command, verify_command
from zkmargin.cli.chains import (
    address_of,
    client_of,
    deployment_option,
    given,
    node_option,
    rpc_option,
    table_option,
    write_calldata,
)
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option, output_option, snapshot_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO
from zkmargin.verifier.chain import Table


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
        (
            "zkmargin chain deploy --rpc http://127.0.0.1:8545 --key sender.key "
            "--rules rules.json --snapshot snapshot.json --table table.json -o my-deployment.json"
        ),
        (
            "zkmargin chain deploy --chain-id 1 --calldata my-transactions.json "
            "--rules rules.json --snapshot snapshot.json --table table.json -o my-mainnet.json"
        ),
    ],
)
@rpc_option
@click.option(
    "--rules",
    "rules_path",
    required=True,
    metavar="FILE",
    help="The rules: who attests, how many must, which policies count, for how long (docs/chain.md).",
)
@snapshot_option
@table_option
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
    check_paths([rules_path, snapshot_path, table_path], [output, *given(calldata_path)], json=as_json)
    rules, snapshot, table = load(Rules, rules_path), load(Snapshot, snapshot_path), load(Table, table_path)
    client = None if calldata_path is not None else client_of(url, key_path, passphrase_path, sender)
    if client is None and chain_id is None:
        raise InputError("which chain: give --chain-id N", file="--chain-id")
    chain = chain_id if client is None else client.chain_id
    with blamed_on(table_path):
        deployment, steps = plan(rules, table, snapshot, chain, joint=joint)  # type: ignore[arg-type]
    if client is None:
        write_calldata(calldata_path or "", [(FACTORY, step.data) for step in steps])
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


@command.command(
    "status",
    cls=Command,
    examples=[
        (
            "zkmargin chain status --rpc http://127.0.0.1:8545 --deployment deployment.json "
            "--account 0x00000000000000000000000000000000000000ac"
        ),
    ],
)
@node_option
@deployment_option
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
        client_of(url), deployment, account=None if account is None else address_of(account), table=table
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
    "dev",
    cls=Command,
    examples=["zkmargin chain dev --folder demo", "zkmargin chain dev --folder demo --anvil ./anvil"],
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


for _found in (sign_group, register_command, commit_command, prove_command, prove_joint_command, verify_command):
    command.add_command(_found)
