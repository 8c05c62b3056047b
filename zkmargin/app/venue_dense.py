"""Large accounts of a venue, each by the commitment that it has: their books, openings, and what a ledger knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zkmargin.accounts import Commitment, Opening
from zkmargin.accounts.openings import total_blinders
from zkmargin.app.files import load, load_lots
from zkmargin.app.venue_names import check_name, without_hidden
from zkmargin.engine.book import BookLots
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Hint, InputError
from zkmargin.ledger import Ledger

BOOK, OPENING = ".book.json", ".opening.json"


@dataclass(frozen=True, repr=False)
class DenseBook:
    """A large account: secret.

    Attributes:
        name: as the venue calls it.
        lots: its book.
        opening: of its commitment.
    """

    name: str
    lots: BookLots
    opening: Opening

    @property
    def commitment(self) -> Commitment:
        """The public document that the terms name."""
        return self.opening.commitment()

    @property
    def hidden(self) -> tuple[BookLots, dict[str, int]]:
        """What the witness is built from."""
        return self.lots, total_blinders([self.opening])


def load_dense(folder: str, snapshot: Snapshot) -> list[DenseBook]:
    """Accounts from a folder with ``NAME.book.json`` and ``NAME.opening.json`` of each, by name.

    Raises:
        InputError: a file without the other one, or one that does not fit the snapshot; the files by their names; one
            alias of two accounts.
    """
    home = Path(folder)
    if not home.is_dir():
        raise InputError("is no folder of NAME.book.json and NAME.opening.json", file=folder)
    files = without_hidden(home.iterdir(), ".json")
    for file in files:
        for suffix in (BOOK, OPENING):
            if file.name.lower().endswith(suffix) and not file.name.endswith(suffix):
                raise InputError(f"its end is {suffix}, in small letters", file=str(file), hint="rename it")
    names = {
        suffix: {file.name.removesuffix(suffix) for file in files if file.name.endswith(suffix)}
        for suffix in (BOOK, OPENING)
    }
    for suffix, other in ((BOOK, OPENING), (OPENING, BOOK)):
        for name in sorted(names[suffix] - names[other]):
            raise InputError(f"is missing beside {name}{suffix}", file=str(home / f"{name}{other}"))
    if not names[BOOK]:
        raise InputError("holds no NAME.book.json", file=folder)
    dense = [_load_one(home, name, snapshot) for name in sorted(names[BOOK])]
    _by_alias(dense, folder)
    return dense


def _by_alias(dense: Sequence[DenseBook], file: str | None = None) -> dict[str, DenseBook]:
    """Accounts by the aliases of their commitments' parts. Raises InputError: two with one alias."""
    found: dict[str, DenseBook] = {}
    for account in dense:
        for alias in sorted({part.alias for part in account.commitment.parts}):
            if alias in found:
                other = found[alias].name[:100]
                raise InputError(
                    f"its opening has the alias {alias[:100]!r}, as that of {other!r}: it would count twice",
                    file=file,
                    field=f"account {account.name[:100]}",
                    hint="keep the newest of the two; two accounts have two aliases",
                )
            found[alias] = account
    return found


def _load_one(home: Path, name: str, snapshot: Snapshot) -> DenseBook:
    path = str(home / f"{name}{OPENING}")
    check_name(name, file=str(home / f"{name}{BOOK}"), field="the account's name, which is the file's")
    lots, opening = load_lots([str(home / f"{name}{BOOK}")], snapshot), load(Opening, path)
    rows = opening.commitment().domain_size
    if rows != snapshot.layout.domain_size:
        reason = f"is over {rows} rows, the snapshot has {snapshot.layout.domain_size}"
        raise InputError(reason, file=path, field=f"account {name[:100]}", hint=Hint.MIGRATE)
    return DenseBook(name, lots, opening)


def check_against_ledger(dense: Sequence[DenseBook], ledger: Ledger) -> None:
    """Whether these are all accounts of a ledger, each with the newest commitment that it accepted a proof of.

    Raises:
        InputError: an account of the ledger that is not here or has another commitment, or one that it does not know;
            one alias of two accounts.
    """
    given = _by_alias(dense)
    for known in ledger.accounts():
        if known.venue:
            continue
        account = given.pop(known.alias, None)
        where = f"account {known.alias[:100]}"
        if account is None:
            raise InputError(
                "is in the ledger and not among the accounts: nobody may be left out", field=where, file=ledger.name
            )
        newest = ledger.statement(known.last)
        of_ledger = {part.points for parts in newest.account_parts for part in parts if part.alias == known.alias}
        if {part.points for part in account.commitment.parts} != of_ledger:
            raise InputError(
                "has another commitment than in its newest proof", field=where, file=ledger.name,
                hint="its book or its opening is not the current one",
            )  # fmt: skip
    for alias in sorted(given):
        raise InputError("is not in the ledger", field=f"account {alias[:100]}", file=ledger.name)
