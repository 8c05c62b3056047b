"""Derive: the answers of ``public/get_tickers``, ``public/get_ticker`` and ``public/get_instruments``, and messages
(https://docs.derive.xyz/api-reference/market-data/publicget_tickers, API version 3, read in November 2026).

Short names: ``t`` milliseconds, ``I`` index price, ``M`` mark price, ``option_pricing`` with ``i`` the vol (a
fraction), ``f`` the forward, ``m`` the mark and ``df`` the discount factor to the expiry, of which the rate is
``-ln(df) / T``. The longer names of version 2 are read too. Contracts are of one coin, prices in USDC; expiry is at
08:00 UTC; the point of a strike is written ``_``: ``XRP-20261225-0_5-P``. Every coin has one index, its risk group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from zkmargin.engine.decimals import from_units, parse_time, to_fraction
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.chain import Quote, blank, expiry_of, market_of, milliseconds, number, price, with_vol
from zkmargin.engine.importers.deribit import error_of
from zkmargin.engine.importers.json_answers import Answers, Row, Shape
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.tickers import Newest
from zkmargin.engine.market import Market
from zkmargin.formats import InputError

MS_PER_YEAR = 365 * 86_400_000
#: Where get_instruments is not given: finer than any step of the venue's.
LOT = "0.001"
_NAME = re.compile(
    r"(?P<coin>[A-Z0-9]{1,20})-(?:(?P<perpetual>PERP)|(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    r"-(?P<strike>[0-9]{1,12}(?:_[0-9]{1,12})?)-(?P<right>[CP]))"
)
#: Fields of version 3 and what version 2 calls them.
_TICKER = {"time": ("t", "timestamp"), "index": ("I", "index_price"), "mark": ("M", "mark_price")}
_OPTION = {"vol": ("i", "iv"), "forward": ("f", "forward_price"), "discount": ("df", "discount_factor")}

SHAPE = Shape(
    "ticker",
    lambda value: {"t", "I", "M"} <= value.keys() or ("instrument_name" in value and "jsonrpc" not in value),
    error_of,
)


def read(sources: Sequence[Source], options: Options, left_out: LeftOut) -> Market:
    """Read the answers. Arguments and errors as ``engine.importers.base.Reader``."""
    answers, rows = Answers(sources, SHAPE, options.progress), Newest(options.at)
    file = sources[0].name
    for row in answers:
        try:
            name = _name_of(row)
            if "amount_step" in row.fields and "option_pricing" not in row.fields:
                rows.put("terms", name, 0, row.fields)
                continue
            time = milliseconds(row.fields, _key(row.fields, _TICKER["time"]), name)
            rows.put("ticker", name, time, {**row.fields, "file": row.file, "line": row.line})
        except InputError as error:
            raise answers.located(error.located(file=row.file, line=row.line)) from None
    try:
        quotes, lots = [], False
        for name, (time, ticker) in rows.of("ticker").items():
            terms = rows.of("terms").get(name, (0, ticker))[1]
            lots = lots or "amount_step" not in terms
            quote = _quote(name, time, ticker, terms, left_out)
            if quote is not None:
                quotes.append(quote)
        notes = [f"lots of {LOT}, where the answer of get_instruments does not say"] if lots and quotes else []
        return market_of(quotes, options, source="Derive", notes=notes, left_out=left_out, file=file)
    except InputError as error:
        raise answers.located(error.located(file=file)) from None


def _name_of(row: Row) -> str:
    """A row's instrument: its own field, the key it stands under, or the channel. Raises InputError."""
    channel = str(row.around.get("channel") or "")
    name = row.fields.get("instrument_name") or row.around.get("name") or (channel.split(".")[1:2] or [""])[0]
    if not isinstance(name, str) or not name:
        raise InputError(
            "missing", field="instrument_name", hint="get_ticker does not name the instrument: use get_tickers"
        )
    return name


def _key(fields: Mapping[str, Any], names: tuple[str, str]) -> str:
    return names[0] if names[0] in fields else names[1]


def _quote(name: str, time: int, row: Mapping[str, Any], terms: Mapping[str, Any], left_out: LeftOut) -> Quote | None:
    match = _NAME.fullmatch(name)
    if match is None:
        left_out.add("neither an option nor a perpetual", name)
        return None
    option = match["right"] is not None
    mark = number(row, _key(row, _TICKER["mark"]), name)
    lot = price(terms, "amount_step", name) if "amount_step" in terms else LOT
    common = {
        "name": name,
        "underlying": match["coin"],
        "currency": "USDC",
        "lot": lot,
        "time": time,
        "index": price(row, _key(row, _TICKER["index"]), name),
        "file": row["file"],
        "line": row["line"],
    }
    if not option:
        return Quote(**common, kind="perpetual", mark=price(row, _key(row, _TICKER["mark"]), name))
    pricing = row.get("option_pricing")
    if not isinstance(pricing, dict):
        left_out.add("no option pricing", name)
        return None
    expiry = expiry_of(match["day"], match["month"], match["year"], name)
    whole, _, part = match["strike"].partition("_")
    discount = _key(pricing, _OPTION["discount"])
    quote = Quote(
        **common,
        kind="option",
        expiry=expiry,
        strike=from_units(int(whole + part), len(part)),
        option_type="call" if match["right"] == "C" else "put",
        forward=price(pricing, _key(pricing, _OPTION["forward"]), name),
        rate="0" if blank(pricing.get(discount)) else _rate(price(pricing, discount, name), expiry, time, name),
    )
    vol = _key(pricing, _OPTION["vol"])
    return with_vol(quote, None if blank(pricing.get(vol)) else number(pricing, vol, name), mark, left_out)


def _rate(discount: str, expiry: str, time: int, name: str) -> str:
    """The rate a year that a discount factor states, with nine decimals. Raises InputError."""
    from zkmargin.engine.revaluation import log  # noqa: PLC0415 - needed for this venue alone

    left = parse_time(expiry) - time
    if left <= 0 or to_fraction(discount) == 1:
        return "0"
    if not Fraction(1, 10) <= to_fraction(discount) <= 2:
        raise InputError("not a discount factor", field=f"{name} df")
    rate = -log(to_fraction(discount)) * MS_PER_YEAR / left * 10**9
    return from_units(round_half_away(rate.numerator, rate.denominator), 9)
