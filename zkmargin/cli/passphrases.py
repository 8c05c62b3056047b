"""Passphrases and the keys that they open: asked for without echo, or read from a file; never an argument.

Neither are they taken from the environment, which every program that is started from here inherits.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from zkmargin.app.files import load, warn_if_exposed
from zkmargin.crypto.keys import MIN_PASSPHRASE, PublicKey, SecretKey, Signer
from zkmargin.formats import InputError, read_bytes

REFUSED_VARIABLE = "ZKMARGIN_PASSPHRASE"
MAX_PASSPHRASE_BYTES = 4096


def passphrase(path: str | None, what: str, *, confirm: bool = False) -> str:
    """The passphrase from the first line of a file, or from the terminal.

    Args:
        path: a file, - for standard input, None to ask.
        what: what it is for, in the question.
        confirm: ask twice, and refuse a short one: for a new key.

    Raises:
        InputError: no terminal to ask on, an unreadable file, one that is too short, or one in the environment.
    """
    if REFUSED_VARIABLE in os.environ:
        raise InputError(
            "passphrases are not taken from the environment: every program that is started there can read it",
            file=REFUSED_VARIABLE,
            hint=f"unset {REFUSED_VARIABLE}, and use --passphrase-file FILE",
        )
    text = _asked(what, confirm) if path is None else _read(path)
    if confirm and len(text) < MIN_PASSPHRASE:
        raise InputError(f"at least {MIN_PASSPHRASE} characters", file=path, field="passphrase")
    return text


def unlocked(key_path: str, passphrase_path: str | None) -> Signer:
    """The key in a file, ready to sign. Raises InputError."""
    key = load(SecretKey, key_path)
    try:
        return key.unlock(passphrase(passphrase_path, f"the key {key.public.name!r}"))
    except InputError as error:
        raise error.located(file=key_path) from None


def signer_of(key_path: str, passphrase_path: str | None, command: str | None) -> Signer:
    """A secret key, or with ``--signer`` the program that has it. Raises InputError."""
    if command is None:
        return unlocked(key_path, passphrase_path)
    if passphrase_path is not None:
        raise InputError("is for a secret key here: the signer has its own", file="--passphrase-file")
    from zkmargin.app.signers import CommandSigner  # noqa: PLC0415 - few sign elsewhere

    return CommandSigner(load(PublicKey, key_path), command)


def _asked(what: str, confirm: bool) -> str:
    if not sys.stdin.isatty():
        raise InputError(
            "no terminal to ask on", field="passphrase", hint="give --passphrase-file FILE; a file of mode 0600"
        )
    value: str = click.prompt(f"Passphrase of {what}", hide_input=True, confirmation_prompt=confirm, err=True)
    return value


def _read(path: str) -> str:
    if path != "-" and Path(path).is_file():
        warn_if_exposed(path)
    try:
        text = read_bytes(path, max_bytes=MAX_PASSPHRASE_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text", file=path, field="passphrase") from None
    line = text.split("\n", 1)[0].removesuffix("\r")
    if not line:
        raise InputError("its first line is empty", file=path, field="passphrase")
    return line
