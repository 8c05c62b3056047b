"""Bybit: the answers of ``/v5/market/tickers`` and ``/v5/market/instruments-info``, and ticker messages
(https://bybit-exchange.github.io/docs/v5/market/tickers, read in November 2026).

The time is that of the answer (``time``, or ``ts`` of a message), in milliseconds. ``markIv`` is a fraction,
``underlyingPrice`` the forward of an option, contracts expire at 08:00 UTC. Options and linear contracts are counted in
coins, inverse ones in contracts of 1 USD. ``BTC-27MAR26-100000-C`` settles in USDC, with ``-USDT`` in USDT. Delta
messages, which hold only what changed, are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from zkmargin.engine.decimals import format_time
from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.chain import (
    Quote,
    blank,
    expiry_of,
    instrument_name,
    market_of,
    milliseconds,
    number,
    price,
    with_vol,
)
from zkmargin.engine.importers.json_answers import Answers, Json, Shape
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.tickers import Newest
from zkmargin.engine.market import Market
from zkmargin.formats import InputError

#: Smallest trades of options, in coins, where instruments-info is not given.
OPTION_LOTS = {"BTC": "0.01", "ETH": "0.1", "SOL": "1"}
UNDEFINED = "its terms are not known: add the answer of /v5/market/instruments-info"
DELTA = "a message of changes alone"
_OPTION = re.compile(
    r"(?P<base>[A-Z0-9]{1,20})-(?P<day>[0-9]{1,2})(?P<month>[A-Z]{3})(?P<year>[0-9]{2})"
    r"-(?P<strike>[0-9]{1,12}(?:\.[0-9]{1,12})?)-(?P<right>[CP])(?:-(?P<settle>USDT|USDC))?"
)


def error_of(answer: Mapping[str, Json]) -> str | None:
    """``retCode`` and ``retMsg`` of an answer whose code is not 0."""
    code = answer.get("retCode")
    return None if code is None or str(code) == "0" else f"{code} {answer.get('retMsg') or ''}".strip()


SHAPE = Shape("ticker", lambda value: "symbol" in value and "topic" not in value, error_of)


def read(sources: Sequence[Source], options: Options, left_out: LeftOut) -> Market:
    """Read the answers. Arguments and errors as ``engine.importers.base.Reader``."""
    answers, rows = Answers(sources, SHAPE, options.progress), Newest(options.at)
    file = sources[0].name
    for row in answers:
        fields = row.fields
        try:
            name = instrument_name(fields, "symbol")
            if row.around.get("type") == "delta":
                left_out.add(DELTA, name)
                continue
            if "lotSizeFilter" in fields:
                rows.put("terms", name, 0, fields)
                continue
            time = milliseconds(row.around, "ts" if "ts" in row.around else "time", name)
            rows.put("ticker", name, time, {**fields, "file": row.file, "line": row.line})
        except InputError as error:
            raise answers.located(error.located(file=row.file, line=row.line)) from None
    try:
        quotes = []
        for name, (time, ticker) in rows.of("ticker").items():
            terms = rows.of("terms").get(name)
            quote = _quote(name, time, ticker, None if terms is None else terms[1], left_out)
            if quote is not None:
                quotes.append(quote)
        notes = ["options and linear contracts are counted in coins, inverse ones in USD"] if quotes else []
        return market_of(quotes, options, source="Bybit", notes=notes, left_out=left_out, file=file)
    except InputError as error:
        raise answers.located(error.located(file=file)) from None


def _quote(
    name: str, time: int, row: Mapping[str, Any], terms: Mapping[str, Any] | None, left_out: LeftOut
) -> Quote | None:
    match = _OPTION.fullmatch(name)
    lot = None
    if terms is not None:
        filters = terms["lotSizeFilter"]
        if not isinstance(filters, dict):
            raise InputError("not an object", field=f"{name} lotSizeFilter")
        lot = price(filters, "qtyStep", name)
    if match is not None:
        currency = match["settle"] or "USDC"
        lot = lot or OPTION_LOTS.get(match["base"])
        if lot is None:
            left_out.add(UNDEFINED, name)
            return None
        option = Quote(
            name=name,
            kind="option",
            underlying=f"{match['base']}-{currency}",
            currency=currency,
            lot=lot,
            time=time,
            expiry=expiry_of(match["day"], match["month"], match["year"], name),
            strike=match["strike"],
            option_type="call" if match["right"] == "C" else "put",
            index=price(row, "indexPrice", name),
            forward=price(row, "underlyingPrice", name),
            file=row["file"],
            line=row["line"],
        )
        vol = None if blank(row.get("markIv")) else number(row, "markIv", name)
        mark = None if blank(row.get("markPrice")) else number(row, "markPrice", name)
        return with_vol(option, vol, mark, left_out)
    if terms is None or lot is None:
        left_out.add(UNDEFINED, name)
        return None
    kinds = {
        "LinearPerpetual": ("perpetual", False),
        "LinearFutures": ("future", False),
        "InversePerpetual": ("perpetual", True),
        "InverseFutures": ("future", True),
    }
    kind, inverse = kinds.get(str(terms.get("contractType")), ("", False))
    if not kind:
        left_out.add(f"of type {str(terms.get('contractType') or 'spot')[:20]}", name)
        return None
    base, currency = str(terms.get("baseCoin")), str(terms.get("quoteCoin"))
    if not inverse and currency == "USD":
        currency = "USDC"
    return Quote(
        name=name,
        kind="perpetual" if kind == "perpetual" else "future",
        underlying=f"{base}-{currency}",
        currency=currency,
        coin=base if inverse else None,
        settlement="inverse" if inverse else "linear",
        lot=lot,
        time=time,
        expiry=None if kind == "perpetual" else format_time(milliseconds(terms, "deliveryTime", name)),
        index=price(row, "indexPrice", name),
        mark=price(row, "markPrice", name),
        file=row["file"],
        line=row["line"],
    )
