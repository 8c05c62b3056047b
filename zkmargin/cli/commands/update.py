"""``zkmargin update``: fills applied to a commitment, by its holder and by the party that attests it."""

from __future__ import annotations

import click

from zkmargin.accounts import Commitment, Opening
from zkmargin.accounts.holder import update_opening
from zkmargin.accounts.updates import Update, apply_update
from zkmargin.app.files import load, load_lots, warn_if_exposed
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option, output_option, snapshot_option
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
from zkmargin.engine.fills import FillLots, add_fills, load_fills
from zkmargin.engine.snapshot import Snapshot


@click.group("update", cls=Group)
def command() -> None:
    """Apply fills to a commitment without disclosing them.

    The holder makes an update, the party that attests the commitment (a venue, a custodian) applies it with its own
    record of the fills and gets the same points. An observer of both commitments cannot tell what moved, or whether
    anything did. Both keep a book: it says that every quantity stays within its bound.

    Fills are secret. A file of them is {"format": "zkmargin/fills/v1", "positions": {"BTC-27MAR26-100000-C": "-2.5"},
    "collateral": {"USDC": "1300"}}: signed changes in each instrument's own units. A section that is there, be it
    empty, says that this commitment is renewed.
    """


@command.command(
    "make",
    cls=Command,
    examples=[
        (
            "zkmargin update make --snapshot snapshot.json --book book.json --opening opening.json --fills "
            "fills.json --new-book my-book-2.json --new-opening my-opening-2.json --update my-update.json -o "
            "my-commitment-2.json"
        ),
    ],
)
@snapshot_option
@committed_book_option
@its_opening_option
@click.option("--fills", "fills_path", required=True, metavar="FILE", help="What changed (secret).")
@click.option("--new-book", required=True, metavar="FILE", help="Where to write the book after the fills (secret).")
@new_opening_option
@for_attester_option("update")
@output_option("the new commitment")
@json_option
def make(
    snapshot_path: str,
    book_path: str,
    opening_path: str,
    fills_path: str,
    new_book: str,
    new_opening: str,
    update_path: str,
    output: str,
    as_json: bool,
) -> None:
    """The holder's side: a new opening and commitment, and the secret update that goes to the attesting party."""
    inputs, secrets = [snapshot_path, book_path, opening_path, fills_path], [new_book, new_opening, update_path]
    check_step_paths(inputs, output, secrets, as_json=as_json)
    snapshot = load(Snapshot, snapshot_path)
    fills = read_fills(fills_path, snapshot)
    after = add_fills(load_lots([book_path], snapshot), fills, snapshot)
    opening, update = update_opening(snapshot, load(Opening, opening_path), fills)
    made = [(new_book, to_book(after, snapshot)), (new_opening, opening), (update_path, update)]
    words = holders_words(new_book, new_opening, update_path)
    end_step("updated", list(fills), made, opening.commitment(), output, as_json=as_json, words=words)


@command.command(
    "apply",
    cls=Command,
    examples=[
        (
            "zkmargin update apply --snapshot snapshot.json --book record.json --commitment commitment.json "
            "--fills fills.json --update update.json --new-book my-record-2.json -o my-attested-2.json"
        ),
    ],
)
@snapshot_option
@own_record_option
@attested_option
@click.option("--fills", "fills_path", required=True, metavar="FILE", help="Your own record of what changed (secret).")
@click.option("--update", "update_path", required=True, metavar="FILE", help="The holder's update (secret).")
@click.option("--new-book", required=True, metavar="FILE", help="Where to write your record after the fills (secret).")
@output_option("the new commitment")
@json_option
def apply(
    snapshot_path: str,
    book_path: str,
    commitment_path: str,
    fills_path: str,
    update_path: str,
    new_book: str,
    output: str,
    as_json: bool,
) -> None:
    """The attesting party's side: the new commitment from your own records and the holder's numbers, to attest next.

    Exit code 1 when the holder's update leads to another commitment than your fills do.
    """
    inputs = [snapshot_path, book_path, commitment_path, fills_path, update_path]
    check_step_paths(inputs, output, [new_book], as_json=as_json)
    snapshot = load(Snapshot, snapshot_path)
    fills = read_fills(fills_path, snapshot)
    book, update = load_lots([book_path], snapshot), load(Update, update_path)
    applied = apply_update(snapshot, load(Commitment, commitment_path), book, fills, update)
    words, kept = (
        attesters_words("the holder's update agrees with your records", new_book),
        to_book(applied.book, snapshot),
    )
    end_step("updated", list(fills), [(new_book, kept)], applied.commitment, output, as_json=as_json, words=words)


def read_fills(path: str, snapshot: Snapshot) -> FillLots:
    """Fills in lots; a file that others could read gets a warning. Raises InputError."""
    fills = load_fills(path, snapshot)
    warn_if_exposed(path)
    return fills
