"""Options that several commands share, and the reading of their texts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import click

from zkmargin.cli.paths import force_option
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import REQUIREMENTS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.limits import Limit
from zkmargin.engine.policy import Policy
from zkmargin.formats import InputError, load_document
from zkmargin.verifier.attest.challenge import Challenge

F = TypeVar("F", bound=Callable[..., Any])

MAX_CONTEXT_BYTES = 1024
MAX_NAME = 200
MAX_WORKERS = 256
_AGE = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def snapshot_option(function: F) -> F:
    """``--snapshot FILE``."""
    return click.option("--snapshot", "snapshot_path", required=True, metavar="FILE", help="The risk snapshot.")(
        function
    )


def book_option(function: F) -> F:
    """``--book FILE``, several add up."""
    return click.option(
        "--book",
        "book_paths",
        required=True,
        multiple=True,
        metavar="FILE",
        help="The book (secret). Several add up slot by slot.",
    )(function)


def requirement_option(function: F) -> F:
    """``--requirement NAME``, of a book's margin."""
    return click.option(
        "--requirement",
        type=click.Choice(REQUIREMENTS),
        default="initial",
        show_default=True,
        help="Which of the policy's requirements: to open a position, or to keep it.",
    )(function)


def claim_options(function: F) -> F:
    """``--claim RATIO`` and ``--requirement NAME``."""
    function = click.option(
        "--requirement",
        type=click.Choice(REQUIREMENTS),
        default="initial",
        show_default=True,
        help="Which of the policy's requirements the claim is about.",
    )(function)
    return click.option(
        "--claim",
        "claim_text",
        default="1.0",
        show_default=True,
        metavar="RATIO",
        help="Equity : requirement, 1.25 or 5/4: at least this much.",
    )(function)


def context_option(function: F) -> F:
    """``--context TEXT``."""
    return click.option(
        "--context",
        "context_text",
        default="",
        metavar="TEXT",
        help="Text up to 1 KB that binds the proof to its reader: audience, nonce, expiry.",
    )(function)


def output_option(what: str) -> Callable[[F], F]:
    """``-o FILE``, standard output without it."""
    option = click.option(
        "-o", "--output", default="-", metavar="FILE", help=f"Where to write {what}; standard output without it."
    )

    def decorate(function: F) -> F:
        return option(force_option(function))

    return decorate


def challenge_option(function: F) -> F:
    """``--challenge FILE``."""
    return click.option(
        "--challenge", "challenge_path", metavar="FILE", help="The verifier's challenge, instead of a context."
    )(function)


def also_option(function: F) -> F:
    """``--also LIMIT``, several times."""
    return click.option(
        "--also",
        "also_texts",
        multiple=True,
        metavar="LIMIT",
        help=(
            'A further claim, "net-exposure BTC <= 120.5" or "headroom >= 100000"; several add up, in one order for '
            "prover and verifier."
        ),
    )(function)


def revocations_option(function: F) -> F:
    """``--revocations FILE``, several times."""
    return click.option(
        "--revocations",
        "revocation_paths",
        multiple=True,
        metavar="FILE",
        help="With --trust: the newest list of each issuer of revocations that the trust file names.",
    )(function)


def own_policy_option(*, required: bool, text: str) -> Callable[[F], F]:
    """``--policy NAME``: the user's own, never the one inside a file."""
    return click.option("--policy", "policy_name", required=required, metavar="NAME", help=text)


def derivation_options(function: F) -> F:
    """``--derivation``, ``--before``, ``--history`` and ``--vols``: how a policy follows from a rule."""
    function = click.option(
        "--vols", "vols_path", metavar="FILE", help="Your history of implied vols, for a derivation that is of one."
    )(function)
    function = click.option("--history", "history_path", metavar="FILE", help="Your history of daily closes.")(function)
    function = click.option(
        "--before",
        "before_paths",
        multiple=True,
        metavar="FILE",
        help="The derivation that was in force before, as you accepted it, for one that starts from its levels.",
    )(function)
    return click.option(
        "--derivation",
        "derivation_path",
        metavar="FILE",
        help="Where the trust file names a rule: how the snapshot's policy follows from it, recomputed here from your "
        "own --history.",
    )(function)


def derived_policy(
    policy: Policy,
    derivation_path: str | None,
    history_path: str | None,
    vols_path: str | None,
    before_paths: Sequence[str],
    *,
    trusted: str | None,
) -> dict[str, str]:
    """What ``derivation_options`` show of a policy: its digest, and the rule's that it follows from, or nothing.

    Raises:
        InputError: options that go together and are not, or a policy that does not follow.
    """
    if (derivation_path is None) != (history_path is None):
        raise InputError("a policy is derived from a history: give both", file="--derivation")
    if derivation_path is None or history_path is None:
        for option, given in (("--vols", vols_path), ("--before", before_paths)):
            if given:
                raise InputError("goes with --derivation and --history", file=option)
        return {}
    if trusted is None:
        raise InputError("means nothing without --trust FILE, which names the rule", file="--derivation")
    from zkmargin.app.calibrating import derived  # noqa: PLC0415 - few trust files name a rule

    return derived(policy, derivation_path, history_path, vols_path, before_paths)


def passphrase_option(function: F) -> F:
    """``--passphrase-file FILE``; asked for without it."""
    return click.option(
        "--passphrase-file",
        "passphrase_path",
        metavar="FILE",
        help="Where the key's passphrase is (first line; - is standard input); asked for without it.",
    )(function)


def signer_option(function: F) -> F:
    """``--signer COMMAND``."""
    return click.option(
        "--signer",
        "signer_command",
        metavar="COMMAND",
        help="A program that signs in place of a secret key here (HSM, KMS, wallet); the key is then the public one.",
    )(function)


def key_option(function: F) -> F:
    """``--key FILE``, ``--passphrase-file FILE`` and ``--signer COMMAND``."""
    function = signer_option(passphrase_option(function))
    return click.option("--key", "key_path", required=True, metavar="FILE", help="The secret key to sign with.")(
        function
    )


def ledger_option(*, required: bool, reads: bool = False) -> Callable[[F], F]:
    """``--ledger WHERE``; ``reads`` where the command makes none and alters nothing."""
    made = "" if reads else ", made when it is missing"
    return click.option(
        "--ledger",
        "ledger_where",
        required=required,
        metavar="WHERE",
        help=f"The ledger: an SQLite file{made}, or postgresql://USER@HOST/DATABASE. A password "
        "belongs into PGPASSWORD or ~/.pgpass, where no list of processes shows it.",
    )


def workers_option(function: F) -> F:
    """``--workers``."""
    return click.option(
        "--workers",
        type=click.IntRange(1, MAX_WORKERS),
        default=1,
        show_default=True,
        metavar="N",
        help="Processes that share many proofs. Starting one takes half a second: for hundreds of proofs and more.",
    )(function)


def json_option(function: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON value on standard output, for scripts.")(
        function
    )


def parse_claim(text: str, requirement: str) -> Claim:
    """The claim of ``--claim`` and ``--requirement``. Raises InputError."""
    percent = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,4})?) *%", text.strip())
    if percent:
        ratio = from_units(round(Fraction(percent[1]) * 10**4), 6)
        raise InputError("a ratio, not a percentage", file="--claim", hint=f"--claim {ratio}")
    try:
        return Claim.parse(text, requirement)
    except InputError as error:
        option = f"--{error.field or 'claim'}"
        hint = error.hint or ("a ratio like 1.25 or 5/4" if option == "--claim" else None)
        raise InputError(error.reason, file=option, hint=hint) from None


def parse_context(text: str) -> bytes:
    """The bytes of ``--context``: those that were typed, whatever the encoding. Raises InputError beyond 1 KB."""
    data = os.fsencode(text)
    if len(data) > MAX_CONTEXT_BYTES:
        raise InputError(
            f"{len(data)} bytes, at most {MAX_CONTEXT_BYTES}", file="--context", hint="use a digest of the text"
        )
    return data


def context_of(text: str, challenge_path: str | None) -> tuple[bytes, Challenge | None]:
    """The statement's context, from ``--context`` or from a challenge document. Raises InputError, for both too."""
    if challenge_path is None:
        return parse_context(text), None
    if text:
        raise InputError("the challenge is the context: give one of the two", file="--context")
    challenge = load_document(Challenge, challenge_path)
    return challenge.context, challenge


def parse_limits(texts: Sequence[str]) -> tuple[Limit, ...]:
    """The limits of ``--also``, in the order that they were given in. Raises InputError."""
    limits = []
    for text in texts:
        try:
            limits.append(Limit.parse(text))
        except InputError as error:
            raise InputError(error.reason, file="--also", hint=error.hint) from None
    return tuple(limits)


def check_names(**texts: str | None) -> None:
    """Names that go into documents, by their option. Raises InputError: empty, too long, or with control characters."""
    for option, text in texts.items():
        if text is not None and not (1 <= len(text) <= MAX_NAME and text.isprintable()):
            raise InputError(f"1 to {MAX_NAME} printable characters", file=f"--{option}")


def parse_age(text: str, option: str = "--max-age") -> int:
    """Seconds of ``90s``, ``10m``, ``2h`` or ``1d``. Raises InputError."""
    match = _AGE.fullmatch(text)
    if match is None:
        what = "an age" if option == "--max-age" else "a time"
        raise InputError(f"not {what} like 90s, 10m, 2h or 1d", file=option)
    return int(match[1]) * _SECONDS[match[2]]


def parse_word(text: str, option: str) -> bytes:
    """32 bytes in hex, 0x before them or not. Raises InputError naming the option."""
    digits = text.removeprefix("0x")
    if not re.fullmatch("[0-9a-fA-F]{64}", digits):
        raise InputError(f"{text[:80]!r} is not 32 bytes in hex", file=option)
    return bytes.fromhex(digits)
