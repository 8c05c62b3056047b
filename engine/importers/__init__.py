"""Markets from other people's files. One module per source; adding a format is one line in ``IMPORTERS``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from engine.importers import deribit
from engine.market import Market
from formats import InputError


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
}


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


__all__ = ["IMPORTERS", "Importer", "import_market"]
