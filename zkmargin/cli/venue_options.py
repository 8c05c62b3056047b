"""What the commands of ``zkmargin venue`` have in common: options, statements, words of rejections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from zkmargin.accounts import Commitment
from zkmargin.app.files import load
from zkmargin.cli import terminal
from zkmargin.cli.options import challenge_option, context_of, context_option, snapshot_option
from zkmargin.cli.venue_words import venue_lines
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms

MAX_THREADS = 256
Facts = dict[str, Any]
terms_option = click.option("--terms", "terms_path", required=True, metavar="FILE", help="The terms of the proof.")
commitment_option = click.option(
    "--commitment",
    "commitment_paths",
    multiple=True,
    metavar="FILE",
    help="Of each account that the terms name by its commitment, in their order.",
)
keys_option = click.option(
    "--key",
    "key_paths",
    multiple=True,
    metavar="FILE",
    help="The venue's public key, from a source that you trust: it, or one of them, must sign every entry of the log.",
)
dense_option = click.option(
    "--dense",
    "dense_path",
    metavar="FOLDER",
    help="Large accounts by their own commitments: NAME.book.json and NAME.opening.json of each (secret).",
)


@contextmanager
def rejections(path: str, *, as_json: bool) -> Iterator[None]:
    """A rejection names the file; in JSON it is a fact as well."""
    try:
        yield
    except (ProofFormatError, VerificationError) as error:
        if as_json:
            check = getattr(error, "check", None)
            terminal.say_json({"accepted": False, "check": check, "reason": error.message})
        error.message = f"{path}: rejected: {error.message}"
        raise


@contextmanager
def blamed(*, accounts: str | None, **files: str | None) -> Iterator[None]:
    """Bad input names the file of its field; the accounts' where it is about one of them."""
    try:
        yield
    except InputError as error:
        raise error.located(file=files.get(error.field or "", accounts)) from None


def log_signed(signers: Sequence[str], option: str, *, demanded: bool, one: bool = True) -> str:
    """Who signed a log, in one line; without a key nobody has said whose keys these are."""
    if not signers:
        return "the log has no entries: nothing in it is signed"
    if demanded:
        return f"the log is signed with {'the key' if one else 'keys'} of {option}"
    return f"the log is signed with {', '.join(signers)}: whose key that is was not checked ({option} FILE)"


def say_statement(facts: Facts) -> None:
    """What is claimed of which accounts, in lines."""
    for line in venue_lines(facts):
        terminal.say(f"  {line}")


@dataclass(frozen=True, kw_only=True)
class StatementOptions:
    """The texts of ``statement_options``: a venue's statement as whoever relies on it has it."""

    snapshot_path: str
    terms_path: str
    commitment_paths: tuple[str, ...] = ()
    context_text: str
    challenge_path: str | None

    @property
    def statement_paths(self) -> tuple[str, ...]:
        """The files of the statement."""
        return self.snapshot_path, self.terms_path, *self.commitment_paths

    def context(self) -> bytes:
        """The context. Raises InputError."""
        return context_of(self.context_text, self.challenge_path)[0]

    def commitments(self) -> list[Commitment]:
        """Commitments of accounts. Raises InputError."""
        return [load(Commitment, path) for path in self.commitment_paths]

    def statement(self, commitments: Sequence[Commitment] | None = None) -> VenueStatement:
        """The statement, of the files' commitments if of no others. Raises InputError that names the terms."""
        context = self.context()
        given = self.commitments() if commitments is None else commitments
        snapshot, terms = load(Snapshot, self.snapshot_path), load(VenueTerms, self.terms_path)
        try:
            return VenueStatement.of(snapshot, terms, commitments=given, context=context)
        except InputError as error:
            raise error.located(file=self.terms_path) from None


def statement_options(function: Callable[..., None]) -> Callable[..., None]:
    """``--snapshot``, ``--terms``, ``--commitment``, ``--context`` and ``--challenge``."""
    return snapshot_option(terms_option(commitment_option(context_option(challenge_option(function)))))
