"""Binance: the answers of ``/eapi/v1/mark``, ``/eapi/v1/exchangeInfo`` and ``/eapi/v1/index`` (options), and
``/fapi/v1/premiumIndex``, ``/dapi/v1/premiumIndex`` with their ``exchangeInfo`` (futures and perpetuals)
(https://developers.binance.com/docs/derivatives/options-trading/market-data, read in November 2026).

Options settle in USDT and are counted in contracts of ``unit`` coins; ``markIV`` is a fraction, ``riskFreeInterest`` a
rate a year. Their marks have no time: it is that of the index, or of the answer with the terms. Their forward is not
published: it is what the marks of a call and a put imply, at the strike nearest to the index; without such a pair, the
index grown at the rate, as Binance prices them (Black-Scholes on the index,
https://www.binance.com/en/support/faq/dd7483da3da04f2da09256adf0fe2c10). Linear futures are counted in coins, inverse
ones in contracts of ``contractSize`` USD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from zkmargin.engine.decimals import format_time, parse_time, to_fraction
from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.chain import (
    Quote,
    at_parity,
    blank,
    market_of,
    milliseconds,
    number,
    price,
    twelve,
)
from zkmargin.engine.importers.json_answers import Answers, Json, Row, Shape
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.tickers import Newest
from zkmargin.engine.market import MAX_RATE, Market
from zkmargin.formats import InputError

MS_PER_YEAR = 365 * 86_400_000
UNDEFINED = "its terms are not known: add the answer of exchangeInfo"
NO_FORWARD = "no forward: neither an index price nor a call and a put of one strike"


def error_of(answer: Mapping[str, Json]) -> str | None:
    """``code`` and ``msg`` of an error."""
    code = answer.get("code")
    return f"{code} {answer['msg']}" if code is not None and "msg" in answer else None


SHAPE = Shape(
    "row",
    lambda value: "optionSymbols" not in value and ("symbol" in value or {"indexPrice", "time"} <= value.keys()),
    error_of,
)


def read(sources: Sequence[Source], options: Options, left_out: LeftOut) -> Market:
    """Read the answers. Arguments and errors as ``engine.importers.base.Reader``."""
    answers, rows = Answers(sources, SHAPE, options.progress), Newest(options.at)
    file, served = sources[0].name, 0
    for row in answers:
        try:
            served = max(served, _put(row, rows))
        except InputError as error:
            raise answers.located(error.located(file=row.file, line=row.line)) from None
    try:
        quotes, notes = _quotes(rows, served, options, left_out)
        return market_of(quotes, options, source="Binance", notes=notes, left_out=left_out, file=file)
    except InputError as error:
        raise answers.located(error.located(file=file)) from None


def _put(row: Row, rows: Newest) -> int:
    """Sort a row; gives the time of the answer around it, if it has one. Raises InputError."""
    fields = row.fields
    name = fields.get("symbol")
    kept = {**fields, "file": row.file, "line": row.line}
    if name is None:
        rows.put("index", "", milliseconds(fields, "time", "index"), kept)
        return 0
    if not isinstance(name, str) or not name:
        raise InputError("not a text", field="symbol")
    if "filters" in fields or "expiryDate" in fields:
        rows.put("terms", name, 0, kept)
        return milliseconds(row.around, "serverTime", name) if "serverTime" in row.around else 0
    if "markIV" in fields:
        rows.put("option", name, 0, kept)
    elif {"markPrice", "indexPrice", "time"} <= fields.keys():
        rows.put("future", name, milliseconds(fields, "time", name), kept)
    else:
        raise InputError("a row of an answer that is not read", field=name[:80])
    return 0


def _quotes(rows: Newest, served: int, options: Options, left_out: LeftOut) -> tuple[list[Quote], list[str]]:
    futures = [
        q for q in (_future(name, time, row, rows, left_out) for name, (time, row) in rows.of("future").items()) if q
    ]
    prices = {q.underlying: (q.index or "", q.time) for q in futures if q.settlement == "linear"}
    chosen = []
    apart = rows.of("index").get("")
    named = {_underlying(rows.of("terms")[name][1]) for name in rows.of("option") if name in rows.of("terms")}
    if apart is not None and len(named) == 1:
        prices[next(iter(named))] = (price(apart[1], "indexPrice", "index"), apart[0])
    for name, text in options.indices.items():
        prices.setdefault(name, (text, 0))
    times = [time for _, time in prices.values() if time] or [served if apart is None else apart[0]]
    if rows.of("option") and not max(times):
        raise InputError(
            "the options' marks have no time", field="time", hint="add the answer of /eapi/v1/index or exchangeInfo"
        )
    for name, (_, row) in rows.of("option").items():
        found = _option(name, max(times), row, rows, prices, left_out)
        if found is not None:
            chosen.append(found)
    rates = {(q.underlying, q.expiry or ""): q.rate for q, _, _ in chosen}

    def carried(quote: Quote) -> str | None:
        if quote.underlying not in prices:
            return None
        level = to_fraction(prices[quote.underlying][0])
        return twelve(level * _growth(quote.rate, quote.expiry or "", quote.time))

    quotes, notes = at_parity(
        chosen,
        {name: text for name, (text, _) in prices.items()},
        lambda underlying, expiry: _growth(rates[underlying, expiry], expiry, max(times)),
        left_out,
        reason=NO_FORWARD,
        otherwise=carried,
    )
    return [*futures, *quotes], notes


def _growth(rate: str, expiry: str, time: int) -> Fraction:
    from zkmargin.engine.revaluation import exp  # noqa: PLC0415 - needed for this venue alone

    return exp(to_fraction(rate) * Fraction(max(parse_time(expiry) - time, 0), MS_PER_YEAR))


def _underlying(terms: Mapping[str, Any]) -> str:
    text, currency = str(terms.get("underlying") or ""), str(terms.get("quoteAsset") or "USDT")
    return f"{text.removesuffix(currency)}-{currency}"


def _option(
    name: str,
    time: int,
    row: Mapping[str, Any],
    rows: Newest,
    prices: Mapping[str, tuple[str, int]],
    left_out: LeftOut,
) -> tuple[Quote, str | None, str | None] | None:
    """The option without its forward, its vol and its mark; None, and left out, without terms."""
    if name not in rows.of("terms"):
        left_out.add(UNDEFINED, name)
        return None
    _, terms = rows.of("terms")[name]
    right = {"CALL": "call", "PUT": "put"}.get(str(terms.get("side")))
    if right is None:
        raise InputError("neither CALL nor PUT", field=f"{name} side")
    underlying = _underlying(terms)
    rate = "0" if blank(row.get("riskFreeInterest")) else number(row, "riskFreeInterest", name)
    if abs(to_fraction(rate)) > MAX_RATE:
        raise InputError(f"outside -{MAX_RATE} to {MAX_RATE}", field=f"{name} riskFreeInterest")
    quote = Quote(
        name=name,
        kind="option",
        underlying=underlying,
        currency=underlying.partition("-")[2],
        multiplier=price(terms, "unit", name),
        lot=_step(terms, name),
        time=time,
        expiry=format_time(milliseconds(terms, "expiryDate", name)),
        strike=price(terms, "strikePrice", name),
        option_type="call" if right == "call" else "put",
        index=prices[underlying][0] if prices.get(underlying, ("", 0))[1] else None,
        rate=rate,
        file=row["file"],
        line=row["line"],
    )
    vol = None if blank(row.get("markIV")) else number(row, "markIV", name)
    if vol is not None and vol.startswith("-"):
        vol = "0"
    mark = None if blank(row.get("markPrice")) else number(row, "markPrice", name)
    return quote, vol, mark


def _future(name: str, time: int, row: Mapping[str, Any], rows: Newest, left_out: LeftOut) -> Quote | None:
    if name not in rows.of("terms"):
        left_out.add(UNDEFINED, name)
        return None
    _, terms = rows.of("terms")[name]
    base, currency = str(terms.get("baseAsset")), str(terms.get("quoteAsset"))
    inverse = "contractSize" in terms
    kind = str(terms.get("contractType"))
    if kind == "PERPETUAL":
        expiry = None
    elif kind.endswith("QUARTER"):
        expiry = format_time(milliseconds(terms, "deliveryDate", name))
    else:
        left_out.add(f"of type {kind[:30]}", name)
        return None
    return Quote(
        name=name,
        kind="perpetual" if expiry is None else "future",
        underlying=f"{base}-{currency}",
        currency=currency,
        coin=base if inverse else None,
        settlement="inverse" if inverse else "linear",
        multiplier=price(terms, "contractSize", name) if inverse else "1",
        lot=_step(terms, name),
        time=time,
        expiry=expiry,
        index=price(row, "indexPrice", name),
        mark=price(row, "markPrice", name),
        file=row["file"],
        line=row["line"],
    )


def _step(terms: Mapping[str, Any], name: str) -> str:
    """The smallest trade: ``stepSize`` of the filter LOT_SIZE. Raises InputError."""
    filters = terms.get("filters")
    for entry in filters if isinstance(filters, list) else []:
        if isinstance(entry, dict) and entry.get("filterType") == "LOT_SIZE":
            return price(entry, "stepSize", name)
    return price(terms, "minQty", name)
