"""What the commands of ``zkmargin chain`` share: options, transactions sent or written, keys, addresses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from zkmargin.app.files import Output
from zkmargin.chain.client import Client, Sent
from zkmargin.cli import terminal
from zkmargin.cli.options import passphrase_option
from zkmargin.cli.paths import write_outputs
from zkmargin.formats import InputError, parse_json, read_text
from zkmargin.formats.files import STDIO

F = TypeVar("F", bound=Callable[..., Any])
_ADDRESS_DIGITS = 42


def rpc_option(function: F) -> F:
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
    return node_option(function)


def node_option(function: F) -> F:
    """``--rpc URL``."""
    return click.option(
        "--rpc", "url", metavar="URL", envvar="ZKMARGIN_RPC", help="The chain's node; ZKMARGIN_RPC without it."
    )(function)


def deployment_option(function: F) -> F:
    """``--deployment FILE``."""
    return click.option(
        "--deployment", "deployment_path", required=True, metavar="FILE", help="Where the contracts are."
    )(function)


def table_option(function: F) -> F:
    """``--table FILE``."""
    return click.option("--table", "table_path", required=True, metavar="FILE", help="The snapshot's table.")(function)


def act(
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
        write_calldata(calldata_path, [(to, data)])
        if as_json:
            terminal.say_json({"output": calldata_path})
        return
    sent: Sent = (client or client_of(url, key_path, passphrase_path, sender)).send(to, data)
    if as_json:
        terminal.say_json({"transaction": sent.hash, "gas": sent.gas, "block": sent.block})
        return
    terminal.say(f"{what} in block {sent.block} for {sent.gas} gas: transaction {sent.hash}")


def write_calldata(path: str, transactions: Sequence[tuple[str, bytes]], *, sender: str | None = None) -> None:
    """Write transactions for somebody else to send; with a ``sender``, calls that only count from there."""
    said = {} if sender is None else {"from": sender}
    document = [{**said, "to": to, "data": "0x" + data.hex(), "value": "0x0"} for to, data in transactions]
    write_outputs([Output(path, (json.dumps(document, indent=1) + "\n").encode())])
    if path != STDIO:
        what = f"{terminal.counted(len(document), 'transaction')} to send in order" if sender is None else "a call"
        terminal.say(f"wrote {path}: {what}", err=True)


def client_of(
    url: str | None, key_path: str | None = None, passphrase_path: str | None = None, sender: str | None = None
) -> Client:
    """The chain that ``--rpc`` names. Raises InputError without one."""
    if url is None:
        raise InputError("which chain: give --rpc URL", file="--rpc")
    key = None if key_path is None else key_of(key_path, passphrase_path)
    return Client(url, key=key, sender=None if sender is None else address_of(sender))


def key_of(path: str, passphrase_path: str | None) -> Any:
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


def address_of(text: str) -> str:
    """An address in lower case. Raises InputError."""
    digits = text.lower()
    try:
        valid = len(text) == _ADDRESS_DIGITS and digits.startswith("0x") and int(digits, 16) >= 0
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"{text[:60]!r} is no address (0x and 40 hex digits)", field="address")
    return digits


def given(path: str | None) -> list[str]:
    """A path, or none."""
    return [] if path is None else [path]
