"""``zkmargin migrate``: a committed book moves to the next universe of instruments, and nothing is lost on the way."""

from __future__ import annotations

import click

from zkmargin.accounts import Commitment, Opening
from zkmargin.accounts.holder import migrate_opening
from zkmargin.accounts.updates import Migration, apply_migration
from zkmargin.app.files import load, load_lots
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option, output_option
from zkmargin.cli.steps import (
    attested_option,
    attesters_words,
    check_step_paths,
    committed_book_option,
    end_step,
    for_attester_option,
    holders_words,
    its_opening_option,
    new_opening_option,
    own_record_option,
)
from zkmargin.engine.book import to_book
from zkmargin.engine.snapshot import Snapshot


@click.group("migrate", cls=Group)
def command() -> None:
    """Move a committed book to another universe: listings and expiries, another order, lot or domain size.

    Positions that expire are settled before, as fills (zkmargin update): one that closes the position, and the cash it
    is settled for. A position that is still open and not in the next snapshot is an error: nothing is ever dropped.
    """


_OLD = click.option("--snapshot", "old_path", required=True, metavar="FILE", help="A snapshot with the present slots.")
_NEW = click.option("--to", "new_path", required=True, metavar="FILE", help="A snapshot with the next slots.")


@command.command(
    "make",
    cls=Command,
    examples=[
        (
            "zkmargin migrate make --snapshot snapshot.json --to small-snapshot.json --book book.json "
            "--opening opening.json --new-book my-moved-book.json --new-opening my-moved-opening.json "
            "--migration my-migration.json -o my-moved.json"
        ),
    ],
)
@_OLD
@_NEW
@committed_book_option
@its_opening_option
@click.option("--new-book", required=True, metavar="FILE", help="Where to write the book in the new slots (secret).")
@new_opening_option
@for_attester_option("migration")
@output_option("the new commitment")
@json_option
def make(
    old_path: str,
    new_path: str,
    book_path: str,
    opening_path: str,
    new_book: str,
    new_opening: str,
    migration_path: str,
    output: str,
    as_json: bool,
) -> None:
    """The holder's side: the same book under the next slots, and the secret migration for the attesting party."""
    inputs, secrets = [old_path, new_path, book_path, opening_path], [new_book, new_opening, migration_path]
    check_step_paths(inputs, output, secrets, as_json=as_json)
    old, new = load(Snapshot, old_path), load(Snapshot, new_path)
    lots = load_lots([book_path], old)
    opening, moved, migration = migrate_opening(old, new, lots, load(Opening, opening_path))
    made = [(new_book, to_book(moved, new)), (new_opening, opening), (migration_path, migration)]
    words = holders_words(new_book, new_opening, migration_path)
    roles = [part.role for part in opening.parts]
    end_step("moved", roles, made, opening.commitment(), output, as_json=as_json, words=words)


@command.command(
    "apply",
    cls=Command,
    examples=[
        (
            "zkmargin migrate apply --snapshot snapshot.json --to small-snapshot.json --book record.json "
            "--commitment commitment.json --migration migration.json --new-book my-moved-record.json -o "
            "my-attested-moved.json"
        ),
    ],
)
@_OLD
@_NEW
@own_record_option
@attested_option
@click.option("--migration", "migration_path", required=True, metavar="FILE", help="The holder's migration (secret).")
@click.option("--new-book", required=True, metavar="FILE", help="Where to write your record in the new slots (secret).")
@output_option("the new commitment")
@json_option
def apply(
    old_path: str,
    new_path: str,
    book_path: str,
    commitment_path: str,
    migration_path: str,
    new_book: str,
    output: str,
    as_json: bool,
) -> None:
    """The attesting party's side: the new commitment from your own record and the holder's blinders, to attest next.

    Exit code 1 when the holder moved another book than your record says.
    """
    check_step_paths(
        [old_path, new_path, book_path, commitment_path, migration_path], output, [new_book], as_json=as_json
    )
    old, new = load(Snapshot, old_path), load(Snapshot, new_path)
    book, migration = load_lots([book_path], old), load(Migration, migration_path)
    applied = apply_migration(old, new, load(Commitment, commitment_path), book, migration)
    words = attesters_words("the holder's migration agrees with your record", new_book)
    roles, kept = [part.role for part in applied.commitment.parts], [(new_book, to_book(applied.book, new))]
    end_step("moved", roles, kept, applied.commitment, output, as_json=as_json, words=words)
