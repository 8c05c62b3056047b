"""Markets and risk arrays from other people's files. One module per source, one line per format here.

``import_file`` reads any of them, recognising the format by its content unless it is told; ``import_market`` and
``import_arrays`` are the same for callers who know what they have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

from zkmargin.engine.importers import (
    binance,
    bybit,
    deribit,
    deribit_account,
    derive,
    generic_csv,
    okx,
    pa2,
    paradex,
    span_xml,
    tardis,
)
from zkmargin.engine.importers.base import Format, Imported, LeftOut, Omission, Options
from zkmargin.engine.importers.deribit_account import Account
from zkmargin.engine.importers.recognise import AUTO, recognised
from zkmargin.engine.importers.source import Progress, Source, opened
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError

_CHAIN = frozenset({"prices", "indices", "pull", "at"})
_ANSWERS = frozenset({"prices", "indices", "at"})
_SPAN = frozenset({"prices", "lots", "zone"})

FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format("csv", "a market in one CSV file of our own", generic_csv.read, frozenset({"prices"})),
        Format("deribit-json", "Deribit answers and messages", deribit.read_json, _CHAIN, several=True),
        Format("deribit-csv", "Deribit tickers as CSV", deribit.read_csv_file, _CHAIN),
        Format("tardis-csv", "Deribit's options as Tardis records them", tardis.read, _CHAIN),
        Format("okx", "OKX answers", okx.read, _ANSWERS, several=True),
        Format("bybit", "Bybit answers", bybit.read, _ANSWERS, several=True),
        Format("binance", "Binance answers", binance.read, _ANSWERS, several=True),
        Format("derive", "Derive answers", derive.read, _ANSWERS, several=True),
        Format("paradex", "Paradex answers", paradex.read, _ANSWERS, several=True),
        Format("span-xml", "SPAN risk parameters, XML", span_xml.read, _SPAN | {"rate"}),
        Format("span-pa2", "SPAN risk parameters, positional", pa2.read, _SPAN | {"ignore"}),
    )
}
#: Formats of computed SPAN arrays, from which a snapshot is built without pricing.
ARRAY_FORMATS = frozenset({"span-xml", "span-pa2"})


def import_file(
    path: str | Path | Sequence[str | Path], format_name: str = AUTO, options: Options | None = None
) -> Imported:
    """Import a file, or several that make one document.

    Args:
        path: the file, ``-`` for standard input, or several answers of one venue's API.
        format_name: one of ``FORMATS``, or ``auto``.
        options: what is asked of the importer.

    Returns:
        The document, the format that it was read as, and what was left out.

    Raises:
        InputError: an unknown format, a file that is none of them, an option that the format does not have, or what
            the importer raises: names the file, the line, the field and the reason.

    Example:
        >>> import_file("book_summary.json", "auto", Options(prices={"USDC": "1"}))  # doctest: +SKIP
    """
    asked = options or Options()
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    with ExitStack() as stack:
        sources = [stack.enter_context(opened(one)) for one in paths]
        guessed = format_name == AUTO
        form = FORMATS.get(recognised(sources[0]) if guessed else format_name)
        if form is None:
            raise InputError(f"unknown format: one of {', '.join([AUTO, *FORMATS])}", field="format")
        if len(sources) > 1 and not form.several:
            raise InputError(f"one file of the format {form.name} makes a document, not {len(sources)}", field="file")
        for field in fields(Options):
            if field.name not in form.takes and field.name != "progress" and getattr(asked, field.name):
                raise InputError(f"not an option of the format {form.name}", field=field.name)
        left_out = LeftOut()
        try:
            document = form.read(sources, asked, left_out)
        except InputError as error:
            if not guessed or error.hint is not None:
                raise
            hint = f"it was taken for {form.name} ({form.title})"
            raise InputError(error.reason, file=error.file, field=error.field, line=error.line, hint=hint) from None
        return Imported(document, form.name, left_out.summary())


def import_book(
    path: str | Path | Sequence[str | Path],
    snapshot: Snapshot,
    *,
    fills: bool = False,
    progress: Progress | None = None,
) -> Account:
    """A book from a venue's answers about an account (Deribit's), or fills from its trades, in a snapshot's units.

    Args:
        path: one file or several, as for ``import_file``.
        snapshot: says which instruments and assets there are.
        fills: whether the answers hold trades.
        progress: called with bytes read and bytes in all.

    Raises:
        InputError: as ``engine.importers.deribit_account``.

    Example:
        >>> import json
        >>> rows = [{"instrument_name": "BTC-PERPETUAL", "size": 10, "direction": "buy", "kind": "future"}]
        >>> balances = {"currency": "USDC", "equity": 5000.0, "options_value": 0, "balance": 5000.0}
        >>> for name, answer in (("my-positions.json", rows), ("my-balances.json", balances)):
        ...     written = Path(name).write_text(json.dumps({"result": answer}))
        >>> import_book(["my-positions.json", "my-balances.json"], snapshot).document
        Book(1 positions, 1 balances)
    """
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    with ExitStack() as stack:
        sources = [stack.enter_context(opened(one)) for one in paths]
        read = deribit_account.read_fills if fills else deribit_account.read_book
        try:
            return read(sources, snapshot, progress)
        except InputError as error:
            raise error.located(file=sources[0].name) from None


def import_market(
    path: str | Path, format_name: str, *, pull: int | None = None, prices: Mapping[str, str] | None = None
) -> Market:
    """Import a file that makes a market; arguments as ``Options``.

    Raises:
        InputError: a format that makes none, or as ``import_file``.

    Example:
        >>> import_market("market_demo.csv", "csv").underlyings[0].name
        'BTC'
    """
    if format_name not in FORMATS or format_name in ARRAY_FORMATS:
        named = ", ".join(name for name in FORMATS if name not in ARRAY_FORMATS)
        raise InputError(f"unknown format: one of {named}", field="format")
    document = import_file(path, format_name, Options(pull=pull, prices=prices or {})).document
    if not isinstance(document, Market):
        raise TypeError(f"{format_name} made a {type(document).__name__}")  # a defect of ours: see ARRAY_FORMATS
    return document


def import_arrays(
    path: str | Path,
    format_name: str,
    *,
    lots: Mapping[str, str],
    prices: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    rate: str | None = None,
    ignore: Collection[str] = (),
    zone: str | None = None,
) -> RiskArrays:
    """Import a SPAN file in one of the formats of ``ARRAY_FORMATS``; arguments as ``Options``.

    Raises:
        InputError: a format that makes no arrays, or as ``import_file``.

    Example:
        >>> arrays = import_arrays("span_demo.spn", "span-xml", lots={"ALPHA": "75", "BETA": "1"})
        >>> arrays.instruments[0].id
        'ALPHA'
    """
    if format_name not in ARRAY_FORMATS:
        raise InputError(f"unknown format: one of {', '.join(sorted(ARRAY_FORMATS))}", field="format")
    options = Options(lots=lots, prices=prices or {}, progress=progress, rate=rate, ignore=ignore, zone=zone)
    document = import_file(path, format_name, options).document
    if not isinstance(document, RiskArrays):
        raise TypeError(f"{format_name} made a {type(document).__name__}")  # a defect of ours: it is in ARRAY_FORMATS
    return document


__all__ = [
    "ARRAY_FORMATS",
    "AUTO",
    "FORMATS",
    "Account",
    "Format",
    "Imported",
    "LeftOut",
    "Omission",
    "Options",
    "Source",
    "import_arrays",
    "import_book",
    "import_file",
    "import_market",
]
