"""Paradex: the answers of ``/v1/markets/summary`` and ``/v1/markets``, and summary messages
(https://docs.paradex.trade/api/prod/markets/get-markets-summary, read in November 2026).

``created_at`` is in milliseconds, ``mark_iv`` a fraction, ``underlying_price`` the spot index. Contracts are of one
coin, prices in USD, settled in USDC; dated options expire at 08:00 UTC. They are priced with Black-76 on a forward that
is not published, undiscounted (https://docs.paradex.trade/trading/dated-options/greeks): it is what the marks of a call
and a put imply, at the strike nearest to the index. Perpetual options (``expiry_at`` 0) have no expiry: left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.chain import (
    Quote,
    at_parity,
    blank,
    expiry_of,
    instrument_name,
    market_of,
    milliseconds,
    number,
    price,
)
from zkmargin.engine.importers.json_answers import Answers, Json, Shape
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.tickers import Newest
from zkmargin.engine.market import Market
from zkmargin.formats import InputError

#: Where /v1/markets is not given: finer than any step of the venue's.
LOT = "0.001"
PERPETUAL_OPTION = "a perpetual option: it has no expiry to price it to"
NO_FORWARD = "no forward: no call and put of one strike in its expiry"
_NAME = re.compile(
    r"(?P<coin>[A-Z0-9]{1,20})-USD-(?:(?P<perpetual>PERP)|(?:(?P<day>[0-9]{1,2})(?P<month>[A-Z]{3})(?P<year>[0-9]{2})-)?"
    r"(?P<strike>[0-9]{1,12}(?:\.[0-9]{1,12})?)-(?P<right>[CP]))"
)


def error_of(answer: Mapping[str, Json]) -> str | None:
    """``error`` and ``message`` of an error."""
    return f"{answer['error']} {answer.get('message') or ''}".strip() if "error" in answer else None


SHAPE = Shape("market", lambda value: "symbol" in value, error_of)


def read(sources: Sequence[Source], options: Options, left_out: LeftOut) -> Market:
    """Read the answers. Arguments and errors as ``engine.importers.base.Reader``."""
    answers, rows = Answers(sources, SHAPE, options.progress), Newest(options.at)
    file = sources[0].name
    for row in answers:
        fields = row.fields
        try:
            name = instrument_name(fields, "symbol")
            if "order_size_increment" in fields:
                rows.put("terms", name, 0, fields)
                continue
            time = milliseconds(fields, "created_at", name)
            rows.put("summary", name, time, {**fields, "file": row.file, "line": row.line})
        except InputError as error:
            raise answers.located(error.located(file=row.file, line=row.line)) from None
    try:
        quotes, notes = _quotes(rows, left_out)
        return market_of(quotes, options, source="Paradex", notes=notes, left_out=left_out, file=file)
    except InputError as error:
        raise answers.located(error.located(file=file)) from None


def _quotes(rows: Newest, left_out: LeftOut) -> tuple[list[Quote], list[str]]:
    quotes, chosen = [], []
    for name, (time, row) in rows.of("summary").items():
        terms = rows.of("terms").get(name, (0, {}))[1]
        found = _quote(name, time, row, terms, left_out)
        if found is not None and found.kind == "option":
            mark = None if blank(row.get("mark_price")) else number(row, "mark_price", name)
            chosen.append((found, None if blank(row.get("mark_iv")) else number(row, "mark_iv", name), mark))
        elif found is not None:
            quotes.append(found)
    indices = {q.underlying: q.index or "" for q, _, _ in chosen}
    options, notes = at_parity(chosen, indices, lambda _underlying, _expiry: Fraction(1), left_out, reason=NO_FORWARD)
    quotes += options
    if any(name not in rows.of("terms") for name in rows.of("summary")):
        notes.append(f"lots of {LOT}, where the answer of /v1/markets does not say")
    return quotes, notes


def _quote(name: str, time: int, row: Mapping[str, Any], terms: Mapping[str, Any], left_out: LeftOut) -> Quote | None:
    match = _NAME.fullmatch(name)
    if match is None:
        left_out.add("neither an option nor a perpetual", name)
        return None
    option = match["right"] is not None
    if option and match["day"] is None:
        left_out.add(PERPETUAL_OPTION, name)
        return None
    return Quote(
        name=name,
        kind="option" if option else "perpetual",
        underlying=match["coin"],
        currency="USDC",
        lot=price(terms, "order_size_increment", name) if terms else LOT,
        time=time,
        expiry=expiry_of(match["day"], match["month"], match["year"], name) if option else None,
        strike=match["strike"],
        option_type=None if not option else "call" if match["right"] == "C" else "put",
        index=price(row, "underlying_price", name),
        mark=None if option else price(row, "mark_price", name),
        file=row["file"],
        line=row["line"],
    )
