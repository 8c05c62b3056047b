"""Markets and risk arrays from other people's files. One module per source.

Adding a format is one line: in ``IMPORTERS`` for one that a market can be made of, in ``ARRAY_IMPORTERS`` for one that
holds computed SPAN arrays, from which a snapshot is built without pricing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from inspect import signature
from pathlib import Path
from typing import Protocol

from zkmargin.engine.importers import deribit, generic_csv, pa2, span_xml
from zkmargin.engine.importers.span_common import Progress
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.formats import InputError


class Importer(Protocol):
    """Reads a foreign file into a market and explains in ``Market.notes`` every choice that it made."""

    def __call__(self, path: str | Path, *, pull: int | None, prices: Mapping[str, str]) -> Market:
        """Import one file.

        Args:
            path: the file.
            pull: which pull of a file that holds several, counted from 1; None lets the importer choose.
            prices: prices in quote (decimal text) of collateral assets that the file does not price.

        Raises:
            InputError: names the file, the line, the field and the reason.
        """


IMPORTERS: dict[str, Importer] = {
    "deribit-csv": deribit.import_csv,
    "deribit-json": deribit.import_json,
    "csv": generic_csv.import_csv,
}

#: SPAN risk parameter files: ``importer(path, lots=, prices=, progress=, ...)``, options of their own as stated there.
ARRAY_IMPORTERS: dict[str, Callable[..., RiskArrays]] = {
    "span-xml": span_xml.import_span_xml,
    "span-pa2": pa2.import_pa2,
}


def import_arrays(
    path: str | Path,
    format_name: str,
    *,
    lots: Mapping[str, str],
    prices: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    rate: str | None = None,
    ignore: Collection[str] = (),
) -> RiskArrays:
    """Import a SPAN file in one of the formats of ``ARRAY_IMPORTERS``.

    Args:
        path: the file.
        format_name: the format.
        lots: contracts in a lot by combined commodity (decimal text): the files do not hold lot sizes, and only these
            commodities are imported.
        prices: prices of collateral assets in the file's currency.
        progress: called with work done and work in all.
        rate: ``span-xml`` only: the rate id to use where the file has several.
        ignore: ``span-pa2`` only: record types that may be passed over.

    Raises:
        InputError: an unknown format, an option that it does not have, or what the importer raises.
    """
    importer = ARRAY_IMPORTERS.get(format_name)
    if importer is None:
        raise InputError(f"unknown format: one of {', '.join(ARRAY_IMPORTERS)}", field="format")
    options = {name: value for name, value in (("rate", rate), ("ignore", ignore)) if value}
    for name in options:
        if name not in signature(importer).parameters:
            raise InputError(f"not an option of the format {format_name}", field=name)
    return importer(path, lots=lots, prices=prices or {}, progress=progress, **options)


def import_market(
    path: str | Path, format_name: str, *, pull: int | None = None, prices: Mapping[str, str] | None = None
) -> Market:
    """Import a market file in one of the formats of ``IMPORTERS``; arguments as ``Importer``.

    Raises:
        InputError: an unknown format, or what the importer raises.
    """
    importer = IMPORTERS.get(format_name)
    if importer is None:
        raise InputError(f"unknown format: one of {', '.join(IMPORTERS)}", field="format")
    return importer(path, pull=pull, prices=prices or {})


__all__ = ["ARRAY_IMPORTERS", "IMPORTERS", "Importer", "import_arrays", "import_market"]
