"""What a proof is asked to show: the options that prover and verifier give alike, read into a claim and a context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zkmargin.accounts import Commitment
from zkmargin.app.files import load
from zkmargin.cli.options import (
    also_option,
    challenge_option,
    claim_options,
    context_of,
    context_option,
    parse_claim,
    parse_limits,
)
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier import Statement
from zkmargin.verifier.attest.challenge import Challenge

if TYPE_CHECKING:
    from zkmargin.verifier.chain import ChainStatement

#: How errors about commitments name their field.
COMMITMENT_FIELDS = ("commitment", "positions part", "collateral part")

O = TypeVar("O")
F = TypeVar("F", bound=Callable[..., Any])


def gathered(kind: type[O]) -> Callable[[Callable[[O], None]], Callable[..., None]]:
    """Give a command one object with its options' values instead of a dozen parameters. Goes below the options."""

    def decorate(function: Callable[[O], None]) -> Callable[..., None]:
        def run(**values: object) -> None:
            function(kind(**values))

        run.__doc__ = function.__doc__
        return run

    return decorate


@dataclass(frozen=True, kw_only=True)
class StatementOptions:
    """The texts of ``statement_options``."""

    claim_text: str
    requirement: str
    also_texts: tuple[str, ...]
    context_text: str
    challenge_path: str | None


@dataclass(frozen=True)
class Asked:
    """What ``statement_options`` say."""

    claim: Claim
    limits: tuple[Limit, ...]
    context: bytes
    challenge: Challenge | None

    @classmethod
    def of(cls, options: StatementOptions) -> Asked:
        """Read the options. Raises InputError."""
        claim, limits = parse_claim(options.claim_text, options.requirement), parse_limits(options.also_texts)
        return cls(claim, limits, *context_of(options.context_text, options.challenge_path))


def statement_options(function: Callable[..., None]) -> Callable[..., None]:
    """``--claim``, ``--requirement``, ``--also``, ``--context`` and ``--challenge``."""
    return claim_options(also_option(context_option(challenge_option(function))))


def table_option(function: F) -> F:
    """``--table FILE``."""
    return click.option(
        "--table",
        "table_path",
        metavar="FILE",
        help="The snapshot's table, for a proof of the chain protocol (snapshot table makes it).",
    )(function)


def check_table_option(protocol: str, table_path: str | None) -> None:
    """Raises InputError unless a table is given exactly where the protocol takes one."""
    if protocol == "chain" and table_path is None:
        raise InputError(
            "a chain proof is about the table that its contract will be shown: give --table FILE",
            file="--protocol",
            hint="zkmargin snapshot table SNAPSHOT -o table.json makes it",
        )
    if protocol != "chain" and table_path is not None:
        raise InputError("is for the chain protocol: give --protocol chain", file="--table")


def chain_statement(
    snapshot: Snapshot, commitments: Sequence[Commitment], asked: Asked, table_path: str
) -> ChainStatement:
    """The statement of a chain proof. Raises InputError that names the table where it is at fault."""
    from zkmargin.verifier.chain import ChainStatement, Table  # noqa: PLC0415 - only chain proofs need it

    table = load(Table, table_path)
    try:
        return ChainStatement.of(snapshot, commitments, asked.claim, table, context=asked.context, limits=asked.limits)
    except InputError as error:
        if (error.field or "").startswith("table"):
            raise error.located(file=table_path) from None
        raise


def load_statement(snapshot: Snapshot, snapshot_path: str, commitment_paths: Sequence[str], asked: Asked) -> Statement:
    """The statement of a verifier's own files. Raises InputError that names the file at fault."""
    commitments = [load(Commitment, path) for path in commitment_paths]
    try:
        return Statement.of(snapshot, commitments, asked.claim, context=asked.context, limits=asked.limits)
    except InputError as error:
        if not (error.field or "").startswith(COMMITMENT_FIELDS):
            raise error.located(file=snapshot_path) from None
        raise error.located(file=commitment_paths[0] if len(commitments) == 1 else None) from None
