"""What ``verify`` does with a venue's proof: its terms instead of one account's claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from zkmargin.accounts import Commitment
from zkmargin.app.files import load
from zkmargin.cli.terminal import quoted
from zkmargin.cli.words import around_lines
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier.attest import Acceptance

if TYPE_CHECKING:
    from zkmargin.verifier.protocols import AnyStatement
    from zkmargin.verifier.venue.statement import VenueStatement

F = TypeVar("F", bound=Callable[..., Any])


def terms_option(function: F) -> F:
    """``--terms FILE``."""
    return click.option(
        "--terms",
        "terms_path",
        metavar="FILE",
        help="The venue's terms, for a proof of all its accounts: they say what is claimed of whom.",
    )(function)


def check_terms_options(proof_paths: Sequence[str], table_path: str | None) -> None:
    """Raises InputError for what does not go with ``--terms``."""
    if len(proof_paths) > 1:
        raise InputError("venue proofs are verified one at a time", file=proof_paths[1], field="PROOF")
    if table_path is not None:
        raise InputError("is for the chain protocol: does not go with --terms", file="--table")
    refuse_claim_options()


def refuse_claim_options() -> None:
    """Raises InputError for options of a claim: a venue's terms say it."""
    context = click.get_current_context()
    for option, name in (("--claim", "claim_text"), ("--requirement", "requirement"), ("--also", "also_texts")):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError("the terms say what is claimed of which accounts", file=option, hint="leave it out")


def load_venue_statement(
    snapshot: Snapshot, terms_path: str, commitment_paths: Sequence[str], context: bytes
) -> VenueStatement:
    """The statement of a verifier's own files. Raises InputError that names the terms where they are at fault."""
    from zkmargin.verifier.venue.statement import VenueStatement  # noqa: PLC0415 - only venue proofs need it
    from zkmargin.verifier.venue.terms import VenueTerms  # noqa: PLC0415

    terms, commitments = load(VenueTerms, terms_path), [load(Commitment, path) for path in commitment_paths]
    try:
        return VenueStatement.of(snapshot, terms, commitments=commitments, context=context)
    except InputError as error:
        raise error.located(file=terms_path) from None


def proof_bytes_of(statement: AnyStatement) -> int:
    """The bytes of a proof of a venue's statement."""
    from zkmargin.verifier.venue.proof import venue_proof_bytes  # noqa: PLC0415 - only venue proofs need it

    return venue_proof_bytes(statement)  # type: ignore[arg-type]  # called where there are terms


def accepted_venue_facts(statement: VenueStatement, acceptance: Acceptance, *, recorded: bool) -> dict[str, Any]:
    """``app.venue_facts.venue_facts``, loaded only when a venue's proof was accepted."""
    from zkmargin.app.venue_facts import venue_facts  # noqa: PLC0415 - only venue proofs need it

    return venue_facts(statement, acceptance, recorded=recorded)


def accepted_venue_lines(facts: dict[str, Any]) -> list[str]:
    """``venue_facts`` for people."""
    return [
        f"venue        {quoted(facts['venue'])}, terms with the digest {facts['terms']}",
        *(f"claim        {line}" for line in venue_claim_lines(facts)),
        *around_lines(facts),
        f"record       proof digest {facts['proof_digest']}",
        f"             root {facts['root']}",
    ]


def venue_claim_lines(facts: dict[str, Any]) -> list[str]:
    """What is claimed of which accounts."""
    from zkmargin.cli.venue_words import venue_lines  # noqa: PLC0415 - only venue proofs need it

    return list(venue_lines(facts))
