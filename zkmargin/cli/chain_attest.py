"""``zkmargin chain sign | register | commit``: what attesters sign, and how it reaches the registries."""

from __future__ import annotations

import json
import time

import click

from zkmargin.accounts import Commitment
from zkmargin.app import on_chain
from zkmargin.app.files import Output, blamed_on, load
from zkmargin.chain.documents import Deployment, Rules
from zkmargin.chain.typed_data import RegistryMessage, in_order, read_signature, read_typed_data
from zkmargin.cli import terminal
from zkmargin.cli.chains import act, address_of, deployment_option, given, key_of, rpc_option, table_option
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import (
    json_option,
    output_option,
    parse_age,
    passphrase_option,
    signer_option,
    snapshot_option,
)
from zkmargin.cli.passphrases import signer_of
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.crypto.signatures import Message
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import parse_json, read_text
from zkmargin.formats.files import STDIO
from zkmargin.verifier.chain import Table


@click.group("sign", cls=Group)
def sign_group() -> None:
    """What attesters sign: typed data (EIP-712) for any wallet, and signatures by a key file."""


@sign_group.command(
    "table",
    cls=Command,
    examples=[
        (
            "zkmargin chain sign table --deployment deployment.json --rules rules.json "
            "--snapshot snapshot.json --table table.json "
            "-o my-table.typed.json"
        ),
    ],
)
@deployment_option
@click.option("--rules", "rules_path", required=True, metavar="FILE", help="The rules of the series (docs/chain.md).")
@snapshot_option
@table_option
@click.option(
    "--lifetime", default="10m", show_default=True, metavar="TIME", help="Time from now to its expiry: 90s, 10m."
)
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
        (
            "zkmargin chain sign part --deployment deployment.json --role positions --new commitment.json "
            "--account 0x00000000000000000000000000000000000000ac -o my-positions.typed.json"
        ),
    ],
)
@deployment_option
@click.option("--account", required=True, metavar="ADDRESS", help="The account.")
@click.option(
    "--role", type=click.Choice(["positions", "collateral"]), required=True, help="Which of the two commitments."
)
@click.option("--new", "new_path", required=True, metavar="FILE", help="The commitment now.")
@click.option("--old", "old_path", metavar="FILE", help="The commitment before; without it, the first.")
@click.option(
    "--sequence", metavar="N", type=click.IntRange(1), default=1, show_default=True, help="One more than before."
)
@output_option("the typed data")
def sign_part_command(
    deployment_path: str, account: str, role: str, new_path: str, old_path: str | None, sequence: int, output: str
) -> None:
    """Typed data about the part of an account that is held with you, or its change by a fill."""
    check_paths([deployment_path, new_path, *given(old_path)], [output])
    new = on_chain.part_of([load(Commitment, new_path)], role)
    old = None if old_path is None else on_chain.part_of([load(Commitment, old_path)], role)
    deployment = load(Deployment, deployment_path)
    _write_typed(on_chain.part_to_sign(deployment, address_of(account), new, old=old, sequence=sequence), output)


@sign_group.command(
    "with-key",
    cls=Command,
    examples=["zkmargin chain sign with-key table.typed.json --key oracle-1.key -o my-signature.json"],
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
        key = key_of(key_path, passphrase_path)
        signed, address = key.unsafe_sign_hash(typed.digest), key.address
        signature = signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big") + bytes([signed.v])
    else:
        signer = signer_of(key_path, passphrase_path, signer_command)
        signature = bytes.fromhex(signer.sign(Message(typed.primary, typed.digest, typed.typed)).signature)
        address = signer.public.address
    text = json.dumps({"signer": address, "signature": "0x" + signature.hex()}, indent=1) + "\n"
    write_outputs([Output(output, text.encode())])


@click.command(
    "register",
    cls=Command,
    examples=[
        (
            "zkmargin chain register --rpc http://127.0.0.1:8545 --key sender.key --deployment deployment.json "
            "--rules rules.json --typed table.typed.json --signature oracle-1.signature --signature oracle-3.signature"
        ),
    ],
)
@rpc_option
@deployment_option
@click.option("--rules", "rules_path", required=True, metavar="FILE", help="The rules of the series (docs/chain.md).")
@click.option("--typed", "typed_path", required=True, metavar="FILE", help="What was signed (chain sign table).")
@click.option(
    "--signature",
    "signature_paths",
    required=True,
    multiple=True,
    metavar="FILE",
    help="An attester's signature; as many as the rules ask for.",
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
    act(deployment.snapshots, data, url, key_path, passphrase_path, sender, calldata_path, "registered", as_json)


@click.command(
    "commit",
    cls=Command,
    examples=[
        (
            "zkmargin chain commit --rpc http://127.0.0.1:8545 --key sender.key --deployment deployment.json "
            "--role positions --new commitment.json --typed positions.typed.json --signature positions.signature"
        ),
        (
            "zkmargin chain commit --rpc http://127.0.0.1:8545 --key sender.key --deployment deployment.json "
            "--role positions --new next.json --typed next.typed.json --signature next.signature "
            "--old commitment.json --total commitment.json    # a fill: the part before, and all parts before"
        ),
    ],
)
@rpc_option
@deployment_option
@click.option(
    "--role", type=click.Choice(["positions", "collateral"]), required=True, help="Which of the two commitments."
)
@click.option("--new", "new_path", required=True, metavar="FILE", help="The commitment now.")
@click.option("--old", "old_path", metavar="FILE", help="For a change: this attester's commitment before it.")
@click.option(
    "--total",
    "total_paths",
    multiple=True,
    metavar="FILE",
    help="For a change: the commitments of all parts of the account before it; they add up.",
)
@click.option("--typed", "typed_path", required=True, metavar="FILE", help="What was signed (chain sign part).")
@click.option(
    "--signature",
    "signature_path",
    required=True,
    metavar="FILE",
    help="The attester's signature (chain sign with-key).",
)
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
    act(deployment.commitments, data, url, key_path, passphrase_path, sender, calldata_path, "committed", as_json)


def _write_typed(typed: RegistryMessage, output: str) -> None:
    write_outputs([Output(output, (json.dumps(typed.document(), indent=1) + "\n").encode())])
    if output != STDIO:
        terminal.say(f"wrote {output}: typed data with the digest 0x{typed.digest.hex()}")


def _typed(path: str) -> RegistryMessage:
    with blamed_on(path):
        return read_typed_data(parse_json(read_text(path), file=path))


def _signature(path: str) -> bytes:
    with blamed_on(path):
        return read_signature(read_text(path))
