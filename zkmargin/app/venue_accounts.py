"""A venue's accounts: from a folder of books or a CSV of positions into arrays, a few bytes a position.

A CSV is read line by line and never held: 10^6 accounts of 16 positions are 17 million lines and 0.8 GB of text, and
0.5 GB of arrays here.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import sys
import warnings
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from zkmargin.app.files import warn_if_exposed
from zkmargin.app.venue_names import check_name, without_hidden
from zkmargin.circuits.venue import RatioText, headroom_of
from zkmargin.engine.book import BookLots, Rule, count_section, load_book, rules
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Caution, Hint, InputError
from zkmargin.formats.files import STDIO

#: Of a file of accounts: ten million lines an account of 64 positions, and more.
MAX_CSV_BYTES = 1 << 34
#: Of one line of it: names have 200 characters.
MAX_LINE_BYTES = 1 << 20
CSV_HEADER = ["account", "section", "name", "quantity"]
NONCES_HEADER = ["account", "nonce"]
CLAIMS_HEADER = ["account", "claim", "limit"]
SECTIONS = ("positions", "collateral")
#: Quantities of a slot that are remembered as text and lots.
MAX_KEPT = 1 << 16
#: Lots of 0.1, 0.01 ..., and amounts that are surely decimals.
_TENTH, _PLAIN = re.compile(r"0\.0*1"), re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?")
#: ``bytes.fromhex`` alone passes over blanks.
_NONCE = re.compile(r"[0-9a-f]{32}")
#: Of a slot's number; no snapshot has as many.
_SLOT_BITS = 32
#: Of invented accounts: positions, and cash in USDC.
INVENTED_LEGS, INVENTED_CASH = 4, 10_000_000

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class VenueAccount:
    """One account: secret.

    Attributes:
        name: as the venue and the customer call it.
        lots: its book.
        nonce: 16 bytes that the customer drew, or None.
    """

    name: str
    lots: BookLots
    nonce: bytes | None = None


@dataclass(frozen=True)
class OwnClaim:
    """What is claimed of an account that is listed: a ratio as text, or None for nothing; limits in canonical text."""

    claim: str | None
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Accounts:
    """Accounts in arrays: secret.

    Attributes:
        names: of all accounts, in order.
        starts: int64 [accounts + 1]; account a's positions are the places ``starts[a]`` to ``starts[a + 1]``.
        instruments: int32 of each position, ascending in an account.
        lots: int64 of each position, not 0.
        balances: int64 [accounts, assets].
        instrument_count: N.
        nonces: 16 bytes that customers drew, by name.
    """

    names: list[str]
    starts: Int64Array
    instruments: npt.NDArray[np.int32]
    lots: Int64Array
    balances: Int64Array
    instrument_count: int
    nonces: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, accounts: Sequence[VenueAccount], snapshot: Snapshot) -> Self:
        """The same accounts one by one."""
        books = [np.array(account.lots.positions, dtype=np.int64) for account in accounts]
        held = [np.flatnonzero(book) for book in books]
        starts = np.concatenate([[0], np.cumsum([len(places) for places in held], dtype=np.int64)])
        balances = np.array([account.lots.collateral for account in accounts], dtype=np.int64)
        none: list[Int64Array] = [np.zeros(0, dtype=np.int64)]
        return cls(
            [account.name for account in accounts],
            starts.astype(np.int64),
            np.concatenate(held or none).astype(np.int32),
            np.concatenate([book[places] for book, places in zip(books, held, strict=True)] or none),
            balances.reshape(len(accounts), len(snapshot.collateral)),
            len(snapshot.instruments),
            {account.name: account.nonce for account in accounts if account.nonce is not None},
        )

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[VenueAccount]:
        return map(self.account, range(len(self.names)))

    def account(self, a: int) -> VenueAccount:
        """One account, with its whole book."""
        mine = slice(int(self.starts[a]), int(self.starts[a + 1]))
        positions = np.zeros(self.instrument_count, dtype=np.int64)
        positions[self.instruments[mine]] = self.lots[mine]
        lots = BookLots(tuple(positions.tolist()), tuple(self.balances[a].tolist()))
        return VenueAccount(self.names[a], lots, self.nonces.get(self.names[a]))

    def owners(self, accounts: Int64Array) -> tuple[Int64Array, Int64Array]:
        """For the positions of some accounts: which of these accounts has each, and its place in the arrays."""
        counts = self.starts[accounts + 1] - self.starts[accounts]
        owner = np.repeat(np.arange(len(accounts), dtype=np.int64), counts)
        first = np.cumsum(counts) - counts
        return owner, np.arange(len(owner), dtype=np.int64) + (self.starts[accounts] - first)[owner]

    def with_nonces(self, nonces: Mapping[str, bytes], path: str) -> Self:
        """The same with what customers drew. Raises InputError for a nonce of nobody here."""
        unknown = sorted(set(nonces) - set(self.names))
        if unknown:
            raise InputError(f"a nonce for {unknown[0][:100]!r}, which is no account of {path}", field="nonces")
        return replace(self, nonces=nonces)


# --- files ----------------------------------------------------------------------------------------------------------


def load_accounts(path: str, snapshot: Snapshot, nonces: Mapping[str, bytes] | None = None) -> Accounts:
    """Accounts from a folder of books (the file's name is the account's) or a CSV of positions.

    A CSV has the header ``account,section,name,quantity``; section is ``positions`` or ``collateral``, quantities are
    decimals in the instrument's or asset's own units.

    Raises:
        InputError: the file, account and field that are wrong.
    """
    found = _from_folder(path, snapshot) if Path(path).is_dir() else _from_csv(path, snapshot)
    if not found.names:
        raise InputError("no accounts", file=path)
    return found.with_nonces(nonces or {}, path)


def _from_folder(path: str, snapshot: Snapshot) -> Accounts:
    files = without_hidden(Path(path).iterdir(), ".json")
    for file in files:
        if file.suffix != ".json" and file.suffix.lower() == ".json":
            raise InputError("its end is .json, in small letters", file=str(file), hint="rename it")
    left = [file for file in files if file.suffix != ".json"]
    if left:
        many = f"{len(left)} files are no NAME.json" if len(left) > 1 else "is no NAME.json"
        warnings.warn(Caution(f"{left[0]}: {many}: not read", "every account needs a file of its own"), stacklevel=2)
    files = [file for file in files if file.suffix == ".json"]
    for file in files:
        check_name(file.stem, file=str(file), field="the account's name, which is the file's")
    for file in files:
        warn_if_exposed(str(file))
    return Accounts.of([VenueAccount(file.stem, load_book(file, snapshot)) for file in files], snapshot)


class _Counter:
    """Lots of the quantities of one section, exactly as a book counts them; texts seen before are looked up."""

    def __init__(self, section: str, known: Mapping[str, Rule]) -> None:
        self._section, self._rules = section, known
        self.slots = {name: slot for slot, name in enumerate(known)}
        self.kept: list[dict[str, int]] = [{} for _ in known]
        self._listed = list(known.values())
        self._decimals = [len(rule.lot) - 2 if _TENTH.fullmatch(rule.lot) else 0 for rule in self._listed]

    def _quickly(self, slot: int, quantity: str) -> int | None:
        """The lots of a plain amount that every rule admits; None for whatever takes a closer look."""
        rule, decimals = self._listed[slot], self._decimals[slot]
        whole, _, part = quantity.partition(".")
        if not _PLAIN.fullmatch(quantity) or len(part) > decimals or rule.retired:
            return None
        if not decimals and rule.lot != "1":
            return None
        lots = int(whole + part.ljust(decimals, "0"))
        return lots if lots < 1 << rule.bits else None

    def count(self, name: str, quantity: str) -> tuple[int, int]:
        """(slot, lots). Raises InputError as ``engine.book.to_lots`` does."""
        slot = self.slots.get(name)
        if slot is None:
            count_section(self._section, {name: quantity}, self._rules, None, None)  # raises
            raise InputError("no such name", field=f"{self._section}.{name[:100]}")
        lots = self._quickly(slot, quantity)
        if lots is None:
            (lots,) = count_section(self._section, {name: quantity}, {name: self._rules[name]}, None, None)
        if len(self.kept[slot]) >= MAX_KEPT:
            self.kept[slot].clear()
        self.kept[slot][quantity] = lots
        return slot, lots


def _from_csv(path: str, snapshot: Snapshot) -> Accounts:
    counters = {s: _Counter(s, known) for s, known in zip(SECTIONS, rules(snapshot), strict=True)}
    columns = {section: _Columns(array("q"), array("q"), array("q")) for section in SECTIONS}
    known = {
        s: (one.slots, one.kept, columns[s].key.append, columns[s].lots.append, columns[s].line.append)
        for s, one in counters.items()
    }
    numbers: dict[str, int] = {}
    last, number = None, 0
    for line, (account, section, name, quantity) in _rows(path, CSV_HEADER):  # a microsecond or two a line
        if account != last:
            number = numbers.setdefault(account, len(numbers))
            if number == len(numbers) - 1:
                check_name(account, file=path, line=line, field="account")
            last = account
        try:
            slots, kept, put_key, put_lots, put_line = known[section]
        except KeyError:
            raise InputError('neither "positions" nor "collateral"', file=path, line=line, field="section") from None
        slot = slots.get(name)
        lots = None if slot is None else kept[slot].get(quantity)
        if slot is None or lots is None:
            try:
                slot, lots = counters[section].count(name, quantity)
            except InputError as error:
                where = f"account {account[:100]}: {error.field}"
                raise InputError(error.reason, file=path, line=line, field=where, hint=error.hint) from None
        put_key((number << _SLOT_BITS) | slot)
        put_lots(lots)
        put_line(line)
    warn_if_exposed(path)
    names = list(numbers)
    owners, instruments, lots_held = columns.pop("positions").sorted(path, names)
    starts = np.zeros(len(names) + 1, dtype=np.int64)
    np.cumsum(np.bincount(owners, minlength=len(names)), out=starts[1:])
    balances = np.zeros((len(names), len(snapshot.collateral)), dtype=np.int64)
    of, assets, amounts = columns.pop("collateral").sorted(path, names)
    balances[of, assets] = amounts
    return Accounts(names, starts, instruments.astype(np.int32), lots_held, balances, len(snapshot.instruments))


class _Columns(NamedTuple):
    """Of one section, for each line: account and slot in one number, lots, and the line itself."""

    key: array[int]
    lots: array[int]
    line: array[int]

    def sorted(self, path: str, names: Sequence[str]) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Accounts, slots and lots by account and slot, without zeros. Raises InputError for a slot twice."""
        key, lots, lines = (np.frombuffer(column, dtype=np.int64) for column in self)
        if not (key[1:] > key[:-1]).all():
            order = np.argsort(key, kind="stable")
            key, lots, lines = key[order], lots[order], lines[order]
            again = np.flatnonzero(key[1:] == key[:-1]) + 1
            if len(again):
                first = again[np.argmin(lines[again])]
                where = f"account {names[key[first] >> _SLOT_BITS][:100]}"
                raise InputError("the same position or balance twice", file=path, line=int(lines[first]), field=where)
        held = lots != 0
        key = key[held]
        return key >> _SLOT_BITS, key & ((1 << _SLOT_BITS) - 1), lots[held]


def load_nonces(path: str) -> dict[str, bytes]:
    """Customers' nonces from a CSV ``account,nonce``: 32 hexadecimal digits each. Raises InputError."""
    found: dict[str, bytes] = {}
    used: set[bytes] = set()
    for line, (account, text) in _rows(path, NONCES_HEADER):
        if not _NONCE.fullmatch(text):
            raise InputError("not 32 hexadecimal digits, lower case", file=path, line=line, field="nonce")
        nonce = bytes.fromhex(text)
        if account in found or nonce in used:
            raise InputError("an account or a nonce twice", file=path, line=line, field="nonce")
        found[account] = nonce
        used.add(nonce)
    warn_if_exposed(path)
    return found


def load_claims(path: str) -> dict[str, OwnClaim]:
    """Accounts of which something else is claimed than of all others, from a CSV ``account,claim,limit``.

    ``claim`` is a ratio as of ``--claim``, or ``none``: nothing is claimed of the account then. ``limit`` is empty or
    ``headroom >= X``.

    Raises:
        InputError: a line that is none of this, or an account twice.
    """
    found: dict[str, OwnClaim] = {}
    for line, (account, claim, limit) in _rows(path, CLAIMS_HEADER):
        if account in found:
            raise InputError("an account twice", file=path, line=line, field="account")
        try:
            ratio: RatioText | None = None
            if claim != "none":
                parsed = Claim.parse(claim)
                ratio = str(parsed.num) if parsed.den == 1 else f"{parsed.num}/{parsed.den}"
            limits = (str(Limit.parse(limit)),) if limit else ()
            headroom_of(limits, ratio)
        except InputError as error:
            hint = error.hint or 'a claim is none, 1, 1.25 or 5/4; a limit is empty or "headroom >= X"'
            where = f"account {account[:100]}: {error.field or 'claim'}"
            raise InputError(error.reason, file=path, line=line, field=where, hint=hint) from None
        found[account] = OwnClaim(ratio, limits)
    if not found:
        raise InputError("names no account", file=path, hint="list accounts, or give no such file")
    return found


class _Bounded(io.RawIOBase):
    """A file that is read no further than a bound, nor a line of it; and quotes end on the line they begin on.

    Whoever reads it in blocks of a megabyte holds two of them at most, whatever is in the file.
    """

    def __init__(self, file: Any, most: int) -> None:
        self._file, self._left = file, most
        self._line, self._length, self._quotes, self._end = 1, 0, 0, b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        data = self._file.read(min(len(into), self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise InputError(f"larger than {MAX_CSV_BYTES} bytes")
        self._look(data)
        into[: len(data)] = data
        return len(data)

    def _look(self, data: bytes) -> None:
        """Raises InputError: a line that is too long, or a quote that does not end on its line."""
        if self._end == b"\r" and data.startswith(b"\n"):  # the second half of a line's end
            data = data[1:]
        self._end = data[-1:]
        lines = _lines(data)
        if self._length + len(lines[0]) > MAX_LINE_BYTES:
            raise InputError(f"a line of more than {MAX_LINE_BYTES} bytes", line=self._line)
        if self._quotes or b'"' in data:
            for number, line in enumerate(lines):
                if number and self._quotes:
                    raise InputError("a quote that does not end on its line", line=self._line + number - 1)
                self._quotes ^= line.count(b'"') & 1
        self._length = len(lines[-1]) + (self._length if len(lines) == 1 else 0)
        self._line += len(lines) - 1


def _lines(data: bytes) -> list[bytes]:
    """Lines without their ends, as a reader of text counts them; the last one may go on."""
    return (re.sub(rb"\r\n?", b"\n", data) if b"\r" in data else data).split(b"\n")


def _rows(path: str, header: list[str]) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of every line after the header; blank lines are passed over. Raises InputError."""
    reader: Any = None
    try:
        with sys.stdin.buffer if path == STDIO else Path(path).open("rb") as file:
            buffered = io.BufferedReader(_Bounded(file, MAX_CSV_BYTES), 1 << 20)
            # spreadsheets begin UTF-8 with a mark
            reader = csv.reader(io.TextIOWrapper(buffered, encoding="utf-8-sig", newline=""), strict=True)
            yield from _checked(reader, header)
    except csv.Error as error:
        raise InputError(f"no CSV: {error}", file=path, line=reader.line_num) from None
    except UnicodeDecodeError as error:  # of a block: all lines before it were read
        line = reader.line_num + len(_lines(error.object[: error.start]))
        raise InputError("not UTF-8 text", file=path, line=line) from None
    except OSError as error:
        hint = Hint.NO_FILE if isinstance(error, FileNotFoundError) else None
        raise InputError(f"cannot be read: {(error.strerror or 'error').lower()}", file=path, hint=hint) from None
    except InputError as error:
        raise error.located(file=path) from None


def _checked(reader: Any, header: list[str]) -> Iterator[tuple[int, list[str]]]:
    width = len(header)
    if next((row for row in reader if row), None) != header:
        raise InputError(f"its first line is not {','.join(header)}", line=1)
    for row in reader:
        if len(row) == width:
            yield reader.line_num, row
        elif row:
            raise InputError(f"{len(row)} fields, not {width}", line=reader.line_num)


def invented_accounts(snapshot: Snapshot, count: int) -> list[VenueAccount]:
    """Accounts in pairs, each short of what the other one is long; the same ones for the same snapshot and count."""
    instruments, assets = len(snapshot.instruments), len(snapshot.collateral)
    cash = next(j for j, slot in enumerate(snapshot.collateral) if slot.asset == "USDC")
    accounts: list[VenueAccount] = []
    for pair in range(count // 2):
        drawn = hashlib.shake_256(b"demo venue %d" % pair).digest(3 * INVENTED_LEGS)
        positions = [0] * instruments
        for leg in range(INVENTED_LEGS):
            a, b, size = drawn[3 * leg : 3 * leg + 3]
            positions[(256 * a + b) % instruments] = 1 + size % 5
        balances = [0] * assets
        balances[cash] = INVENTED_CASH * 10 ** (len(snapshot.collateral[cash].lot.partition(".")[2]))
        for side in (1, -1):
            lots = BookLots(tuple(side * q for q in positions), tuple(balances))
            accounts.append(VenueAccount(f"account-{len(accounts):04}", lots))
    return accounts
