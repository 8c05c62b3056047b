"""Deribit accounts: positions and account summaries into a book, trades into fills. Everything here is secret.

Answers, with the meaning of their fields (https://docs.deribit.com, read in November 2026):

* ``private/get_positions``: ``size`` with sign, in USD of inverse futures and perpetuals, in coins of all else;
* ``private/get_account_summary`` (or ``get_account_summaries``, ``user.portfolio`` messages): ``equity`` of a currency
  is its margin balance, P&L of the session included, plus ``options_value``. Here options have a mark of their own and
  futures are carried at zero, so that the balance is ``equity - options_value``;
* ``private/get_user_trades_by_currency``, ``user.trades`` messages: ``amount`` as ``size`` above, without sign;
  ``price`` of an inverse option in coin, of a linear one in USDC a coin; ``fee`` in ``fee_currency``.

A book counts contract units: an amount is divided by the multiplier of the snapshot's slot (10 USD, 1 coin, 1,000
coins). Quantities must be whole lots: nothing is rounded. Balances are rounded down to lots, against the account, once.

A trade in an option moves its premium and fee at once. A trade in a future moves its fee: its P&L is variation, which
the next account summary has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from zkmargin.engine.book import Book
from zkmargin.engine.decimals import from_units, to_fraction
from zkmargin.engine.fills import Fills
from zkmargin.engine.importers.base import LeftOut, Omission
from zkmargin.engine.importers.chain import blank, number
from zkmargin.engine.importers.deribit import error_of, parse_name
from zkmargin.engine.importers.json_answers import Answers, Row, Shape
from zkmargin.engine.importers.source import Progress, Source
from zkmargin.engine.snapshot import InstrumentSlot, Snapshot
from zkmargin.formats import InputError

FLAT = "closed: its size is 0"
COMBO = "a combo: its legs are trades of their own"
SPOT = "a spot pair"

SHAPE = Shape("position, summary or trade", lambda value: _kind(value) is not None, error_of)


class Account(NamedTuple):
    """What came of an account's answers.

    Attributes:
        document: the book, or the fills.
        left_out: rows that changed nothing, by reason.
        notes: what was decided.
    """

    document: Book | Fills
    left_out: tuple[Omission, ...]
    notes: tuple[str, ...]


def read_book(sources: Sequence[Source], snapshot: Snapshot, progress: Progress | None = None) -> Account:
    """A book from positions and account summaries; several summaries of currencies make one book.

    Args:
        sources: the answers.
        snapshot: says which instruments and assets there are, and their units.
        progress: called with bytes read and bytes in all.

    Raises:
        InputError: an open position or a debt that the snapshot does not list, a quantity that is no whole number of
            lots, the same position or summary twice with other numbers, no summary. Says where, never how much.
    """
    slots = {slot.id: slot for slot in snapshot.instruments}
    left_out, notes = LeftOut(), list[str]()
    units: dict[str, Fraction] = {}
    balances: dict[str, Fraction] = {}
    answers = Answers(sources, SHAPE, progress)
    for row in answers:
        try:
            match _kind(row.fields):
                case "position":
                    name, size = _position(row)
                    if not size:
                        left_out.add(FLAT, name)
                        continue
                    _once(units, name, size / to_fraction(_slot(slots, name).multiplier))
                case "summary":
                    currency, amount = _summary(row)
                    _once(balances, currency, amount)
                case _:
                    raise InputError("a trade among positions: trades are read as fills")  # noqa: TRY301 - located below
        except InputError as error:
            raise answers.located(error.located(file=row.file, line=row.line)) from None
    if not balances:
        raise InputError(
            "no account summary: a book without its balances would be another",
            file=sources[0].name,
            hint="add the answer of private/get_account_summaries",
        )
    positions = {name: _whole(amount, slots[name].lot, f"positions.{name}") for name, amount in units.items()}
    lots = {slot.asset: slot.lot for slot in snapshot.collateral}
    collateral = {}
    for currency, amount in balances.items():
        if currency in lots:
            collateral[currency] = _down(amount, lots[currency])
        elif amount < 0:
            raise InputError("owed, and the snapshot lists no such asset", field=f"collateral.{currency}")
        elif amount:
            left_out.add("an asset that the snapshot does not list", currency)
    notes.append("balances are equity less the value of options, rounded down to lots")
    kept = {asset: text for asset, text in collateral.items() if text != "0"}
    return Account(Book(positions=positions, collateral=kept), left_out.summary(), tuple(notes))


def read_fills(sources: Sequence[Source], snapshot: Snapshot, progress: Progress | None = None) -> Account:
    """Fills from trades: positions, premiums and fees. A trade that several answers hold counts once.

    Arguments and errors as ``read_book``; further: answers that say that there are more trades than they hold.
    """
    slots = {slot.id: slot for slot in snapshot.instruments}
    left_out = LeftOut()
    units: dict[str, Fraction] = defaultdict(Fraction)
    cash: dict[str, Fraction] = defaultdict(Fraction)
    seen: dict[str, tuple[Any, ...]] = {}
    futures = whole = False
    answers = Answers(sources, SHAPE, progress)
    for row in answers:
        try:
            if _kind(row.fields) != "trade":
                raise InputError("not a trade: positions and summaries make a book")  # noqa: TRY301 - located below
            whole = whole or row.around.get("has_more") is not True
            trade = _trade(row)
            if trade.id in seen:
                if seen[trade.id] != trade:
                    raise InputError("a trade twice, with other numbers", field=trade.id[:80])  # noqa: TRY301
                continue
            seen[trade.id] = trade
            if trade.fee:
                cash[trade.fee_currency] -= trade.fee
            if parse_name(trade.name) is None:
                if "-" in trade.name:
                    left_out.add(COMBO, trade.name)
                    cash[trade.fee_currency] += trade.fee  # its legs bear it
                else:
                    base, _, quote = trade.name.partition("_")
                    cash[base] += trade.amount
                    cash[quote] -= trade.amount * trade.price
                continue
            slot = _slot(slots, trade.name)
            units[trade.name] += trade.amount / to_fraction(slot.multiplier)
            if slot.kind == "option":
                coin = trade.name.partition("-")[0]
                cash[coin.partition("_")[2] or coin] -= trade.amount * trade.price
            else:
                futures = True
        except InputError as error:
            raise answers.located(error.located(file=row.file, line=row.line)) from None
    if seen and not whole:
        raise InputError(
            "the answer says that there are more trades", file=sources[0].name, hint="add the answers with the rest"
        )
    assets = {slot.asset: slot.lot for slot in snapshot.collateral}
    collateral = {}
    for currency, amount in cash.items():
        if not amount:
            continue
        if currency not in assets:
            raise InputError("paid or received, and the snapshot lists no such asset", field=f"collateral.{currency}")
        collateral[currency] = _down(amount, assets[currency])
    positions = {name: _whole(amount, slots[name].lot, f"positions.{name}") for name, amount in units.items() if amount}
    notes = ["premiums and fees, rounded down to lots"]
    if futures:
        notes.append("P&L of futures is no fill: it is in the next account summary")
    return Account(Fills(positions=positions, collateral=collateral), left_out.summary(), tuple(notes))


class _Trade(NamedTuple):
    id: str
    name: str
    amount: Fraction
    price: Fraction
    fee: Fraction
    fee_currency: str


def _kind(fields: Mapping[str, Any]) -> str | None:
    if "trade_id" in fields:
        return "trade"
    if "equity" in fields and "currency" in fields:
        return "summary"
    return "position" if "instrument_name" in fields and "size" in fields else None


def _position(row: Row) -> tuple[str, Fraction]:
    """Its name, and its size with sign. Raises InputError where size and direction contradict each other."""
    name = _text(row.fields, "instrument_name")
    size = to_fraction(_number(row.fields, "size", name))
    direction = row.fields.get("direction")
    expected = "buy" if size > 0 else "sell" if size < 0 else "zero"
    if not blank(direction) and direction != expected and size:
        raise InputError("its direction contradicts the sign of its size", field=f"{name} direction")
    return name, size


def _summary(row: Row) -> tuple[str, Fraction]:
    currency = _text(row.fields, "currency")
    amount = to_fraction(_number(row.fields, "equity", currency))
    if not blank(row.fields.get("options_value")):
        amount -= to_fraction(_number(row.fields, "options_value", currency))
    return currency, amount


def _trade(row: Row) -> _Trade:
    fields = row.fields
    name = _text(fields, "instrument_name")
    sign = {"buy": 1, "sell": -1}.get(str(fields.get("direction")))
    if sign is None:
        raise InputError("neither buy nor sell", field=f"{name} direction")
    amount = to_fraction(_number(fields, "amount", name))
    if amount <= 0:
        raise InputError("must be above 0", field=f"{name} amount")
    fee = Fraction(0) if blank(fields.get("fee")) else to_fraction(_number(fields, "fee", name))
    return _Trade(
        id=str(fields["trade_id"])[:200],
        name=name,
        amount=sign * amount,
        price=to_fraction(_number(fields, "price", name)),
        fee=fee,
        fee_currency=_text(fields, "fee_currency") if fee else "",
    )


def _text(fields: Mapping[str, Any], field: str) -> str:
    value = fields.get(field)
    if not isinstance(value, str) or not value:
        raise InputError("missing", field=field)
    return value


def _number(fields: Mapping[str, Any], field: str, name: str) -> str:
    """As ``chain.number``, which repeats no value: they are secret here."""
    return number(fields, field, name[:80])


def _slot(slots: Mapping[str, InstrumentSlot], name: str) -> InstrumentSlot:
    if name not in slots:
        raise InputError("open or traded, and no such instrument in the snapshot", field=name[:80])
    return slots[name]


def _once(found: dict[str, Fraction], name: str, amount: Fraction) -> None:
    """Keep an amount. Raises InputError where another one is there."""
    if found.setdefault(name, amount) != amount:
        raise InputError("twice, with other numbers: of two times, or of two accounts", field=name[:80])


def _whole(amount: Fraction, lot: str, field: str) -> str:
    """An amount that is a whole number of lots, as decimal text. Raises InputError."""
    if (amount / to_fraction(lot)).denominator != 1:
        raise InputError(f"not a multiple of the lot, {lot}", field=field)
    return _decimal(amount, lot)


def _down(amount: Fraction, lot: str) -> str:
    """An amount rounded down to a whole number of lots, as decimal text."""
    return _decimal(amount // to_fraction(lot) * to_fraction(lot), lot)


def _decimal(amount: Fraction, lot: str) -> str:
    places = len(lot.partition(".")[2])
    return from_units(int(amount * 10**places), places)
