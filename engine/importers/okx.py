"""OKX: the answers of ``/api/v5/public/opt-summary``, ``/public/mark-price``, ``/public/instruments`` and
``/market/index-tickers`` (https://www.okx.com/docs-v5/en/, read in November 2026).

Times ``ts`` and ``expTime`` are milliseconds, ``markVol`` is a fraction, ``fwdPx`` the forward of an option. A contract
is ``ctVal`` x ``ctMult`` coins, or USD of inverse futures and swaps; quantities are contracts, in steps of ``lotSz``.
The index of ``BTC-USD`` contracts is BTC-USD, that of ``BTC-USDT`` ones BTC-USDT: two risk groups. Options and inverse
contracts settle in coin, and marks of options (``markPx``) are in coin too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zkmargin.engine.decimals import format_time, to_fraction
from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.chain import (
    Quote,
    blank,
    instrument_name,
    market_of,
    milliseconds,
    number,
    price,
    twelve,
    with_vol,
)
from zkmargin.engine.importers.json_answers import Answers, Json, Shape
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.tickers import Newest
from zkmargin.engine.market import Market
from zkmargin.formats import InputError

UNDEFINED = "its terms are not known: add the answer of /api/v5/public/instruments"
UNQUOTED = {"OPTION": "no row of /api/v5/public/opt-summary", "FUTURES": "no mark price", "SWAP": "no mark price"}
NOT_LIVE = "not live"


def error_of(answer: Mapping[str, Json]) -> str | None:
    """``code`` and ``msg`` of an answer whose code is not 0."""
    code = answer.get("code")
    return None if code is None or str(code) == "0" else f"{code} {answer.get('msg') or ''}".strip()


SHAPE = Shape("row", lambda value: "instId" in value and "channel" not in value, error_of)


def read(sources: Sequence[Source], options: Options, left_out: LeftOut) -> Market:
    """Read the answers. Arguments and errors as ``engine.importers.base.Reader``."""
    answers, rows = Answers(sources, SHAPE, options.progress), Newest(options.at)
    file = sources[0].name
    for row in answers:
        fields = row.fields
        try:
            name = instrument_name(fields, "instId")
            kind = _kind(fields)
            # definitions have no time of their own
            time = 0 if kind == "terms" else milliseconds(fields, "ts", name)
            rows.put(kind, name, time, {**fields, "file": row.file, "line": row.line})
        except InputError as error:
            raise answers.located(error.located(file=row.file, line=row.line)) from None
    try:
        quotes = [q for q in (_quote(name, rows, left_out) for name in _names(rows)) if q is not None]
        indices = {name: (price(row, "idxPx", name), time) for name, (time, row) in rows.of("index").items()}
        used = {quote.underlying for quote in quotes}
        return market_of(
            quotes,
            options,
            source="OKX",
            notes=["options and futures are counted in contracts"] if quotes else [],
            left_out=left_out,
            indices={name: value for name, value in indices.items() if name in used},
            file=file,
        )
    except InputError as error:
        raise answers.located(error.located(file=file)) from None


def _kind(fields: Mapping[str, Any]) -> str:
    """Which answer a row is of. Raises InputError for another one."""
    if "idxPx" in fields:
        return "index"
    if "markVol" in fields:
        return "option"
    if "ctVal" in fields or "lotSz" in fields:
        return "terms"
    if "markPx" in fields:
        return "mark"
    raise InputError("a row of an answer that is not read", field=str(fields.get("instId"))[:80])


def _names(rows: Newest) -> list[str]:
    quoted = dict.fromkeys([*rows.of("option"), *rows.of("mark")])
    return [*quoted, *(name for name in rows.of("terms") if name not in quoted)]


def _quote(name: str, rows: Newest, left_out: LeftOut) -> Quote | None:
    if name not in rows.of("terms"):
        left_out.add(UNDEFINED, name)
        return None
    _, terms = rows.of("terms")[name]
    kind = {"OPTION": "option", "FUTURES": "future", "SWAP": "perpetual"}.get(str(terms.get("instType")))
    if kind is None:
        left_out.add(f"of type {str(terms.get('instType'))[:20]}", name)
        return None
    if str(terms.get("state") or "live") != "live":
        left_out.add(NOT_LIVE, name)
        return None
    quoted = rows.of("option" if kind == "option" else "mark").get(name)
    if quoted is None:
        left_out.add(UNQUOTED[str(terms["instType"])], name)
        return None
    time, row = quoted
    underlying = str(terms.get("uly") or "-".join(name.split("-")[:2]))
    base, _, currency = underlying.partition("-")
    settles = str(terms.get("settleCcy") or "")
    inverse = settles == base
    if not inverse and settles != currency:
        left_out.add("settles in neither its coin nor its quote currency", name)
        return None
    size = to_fraction(price(terms, "ctVal", name))
    if not blank(terms.get("ctMult")):
        size *= to_fraction(price(terms, "ctMult", name))
    option = kind == "option"
    quote = Quote(
        name=name,
        kind="option" if option else "future" if kind == "future" else "perpetual",
        underlying=underlying,
        currency=currency,
        coin=base if inverse else None,
        settlement="inverse" if inverse else "linear",
        multiplier=twelve(size),
        lot=price(terms, "lotSz", name),
        time=time,
        expiry=None if kind == "perpetual" else format_time(milliseconds(terms, "expTime", name)),
        strike=price(terms, "stk", name) if option else None,
        option_type=_right(terms, name) if option else None,
        mark=None if option else price(row, "markPx", name),
        forward=price(row, "fwdPx", name) if option else None,
        file=row["file"],
        line=row["line"],
    )
    if not option:
        return quote
    vol = None if blank(row.get("markVol")) else number(row, "markVol", name)
    mark = None
    if name in rows.of("mark"):
        mark = number(rows.of("mark")[name][1], "markPx", name)
        if inverse:
            mark = twelve(to_fraction(mark) * to_fraction(quote.forward or "0"))
    return with_vol(quote, vol, mark, left_out)


def _right(terms: Mapping[str, Any], name: str) -> Any:
    right = {"C": "call", "P": "put"}.get(str(terms.get("optType")))
    if right is None:
        raise InputError("neither C nor P", field=f"{name} optType")
    return right
