"""``zkmargin key``: keys for signing snapshots, commitments and receipts."""

from __future__ import annotations

import click

from zkmargin.app.files import Output, refuse_existing_secret, warn_if_exposed
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import check_names, json_option, passphrase_option
from zkmargin.cli.passphrases import passphrase
from zkmargin.cli.paths import check_paths, force_option, refuse_terminal, write_outputs
from zkmargin.crypto.keys import PublicKey, SecretKey
from zkmargin.crypto.signatures import SCHEMES, Scheme
from zkmargin.formats import parse_json, read_bytes


@click.group("key", cls=Group)
def command() -> None:
    """Make and show signing keys.

    A secret key is written with mode 0600 and encrypted with a passphrase (scrypt, N = 2^17, then ChaCha20-Poly1305).
    Its public key goes into the trust files of those who rely on what it signs.
    """


@command.command(
    "new",
    cls=Command,
    examples=[
        'zkmargin key new --name "venue A" --passphrase-file pass.txt -o my.key.json --public my.public.json',
        "zkmargin key new --name oracle --scheme ed25519 --passphrase-file pass.txt -o my-oracle.key.json",
    ],
)
@click.option("--name", required=True, metavar="NAME", help="A public name for the key.")
@click.option(
    "--scheme",
    type=click.Choice(SCHEMES),
    default="bls",
    show_default=True,
    help="bls: signatures of several add up to one. ed25519: plain, small keys. "
    "secp256k1: contracts and hardware wallets can check it (EIP-712).",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write the secret key.")
@force_option
@click.option("--public", "public_path", metavar="FILE", help="Where to write the public key.")
@passphrase_option
@json_option
def new_command(
    name: str, scheme: Scheme, output: str, public_path: str | None, passphrase_path: str | None, as_json: bool
) -> None:
    """Make a key. The passphrase is asked for twice; there is no way to recover it."""
    outputs = [output, *([public_path] if public_path else [])]
    check_paths([passphrase_path] if passphrase_path else [], outputs, json=as_json)
    refuse_terminal(output, "a secret key")
    refuse_existing_secret(output)
    check_names(name=name)
    key = SecretKey.generate(name, scheme, passphrase(passphrase_path, "the new key", confirm=True))
    write_outputs([Output.document(output, key), *([Output.document(public_path, key.public)] if public_path else [])])
    if as_json:
        terminal.say_json({"output": output, "public": public_path, **key_facts(key.public)})
        return
    err = "-" in outputs
    terminal.say(f"made the {scheme} key {terminal.quoted(name)}, fingerprint {key.public.fingerprint}", err=err)
    terminal.say(
        f"secret, keep it: {output}    public: {public_path or f'zkmargin key show {output} -o FILE'}", err=err
    )


@command.command(
    "show",
    cls=Command,
    examples=[
        "zkmargin key show venue.key.json",
        "zkmargin key show venue.key.json -o my-venue.public.json",
    ],
)
@click.argument("key_path", metavar="KEY")
@click.option("-o", "--output", metavar="FILE", help="Write the public key to a file of its own.")
@force_option
@json_option
def show_command(key_path: str, output: str | None, as_json: bool) -> None:
    """Show the public part of KEY, a secret or a public key. No passphrase is needed."""
    check_paths([key_path], [output] if output else [], json=as_json)
    public = read_public_key(key_path)
    if output is not None:
        write_outputs([Output.document(output, public)])
    if as_json:
        terminal.say_json(key_facts(public))
    elif output != "-":
        terminal.say(f"{public.scheme} key {terminal.quoted(public.name)}")
        terminal.say(f"  fingerprint  {public.fingerprint}")
        terminal.say(f"  public key   {public.public_key}")
        if public.possession:
            terminal.say("  possession   proved")


def read_public_key(path: str) -> PublicKey:
    """The public key in a file of either kind. Raises InputError."""
    data = read_bytes(path)
    value = parse_json(data, file=path)
    if isinstance(value, dict) and value.get("format") == SecretKey.FORMAT:
        warn_if_exposed(path)
        return SecretKey.parse(data, file=path).public
    return PublicKey.parse(data, file=path)


def key_facts(public: PublicKey) -> dict[str, str | None]:
    """A public key for scripts."""
    return {
        "name": public.name,
        "scheme": public.scheme,
        "fingerprint": public.fingerprint,
        "public_key": public.public_key,
        "possession": public.possession,
    }
