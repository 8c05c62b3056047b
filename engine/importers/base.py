"""What every importer is asked and what it gives: options, what was left out, and the document."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from zkmargin.engine.importers.source import Progress, Source
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.formats import InputError

NAMES_SHOWN = 5
#: Names kept for the summary; more are counted.
NAMES_KEPT = 1000
MAX_LEFT_OUT = 1 << 20


@dataclass(frozen=True, slots=True)
class Omission:
    """Rows of a file that are not in what was made of it."""

    reason: str
    count: int
    names: tuple[str, ...]

    def text(self) -> str:
        """In one line: ``left out, no mark_iv: A, B and 3 more``."""
        more = self.count - min(len(self.names), NAMES_SHOWN)
        shown = ", ".join(self.names[:NAMES_SHOWN])
        return f"left out, {self.reason}: {shown}{f' and {more} more' if more > 0 else ''}"


class LeftOut:
    """Collects what an importer leaves out: each name once a reason, in order of first appearance."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, None]] = {}
        self._count = 0

    def add(self, reason: str, name: str) -> None:
        """Leave an instrument out. Raises InputError where a file holds too many of them."""
        names = self._names.setdefault(reason, {})
        if name not in names:
            names[name] = None
            self._count += 1
            if self._count > MAX_LEFT_OUT:
                raise InputError(f"more than {MAX_LEFT_OUT} instruments that cannot be imported")

    def __len__(self) -> int:
        return self._count

    def summary(self) -> tuple[Omission, ...]:
        """One entry a reason."""
        return tuple(
            Omission(reason, len(names), tuple(sorted(names))[:NAMES_KEPT]) for reason, names in self._names.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may ask of an importer; a format refuses the ones that it does not take.

    Attributes:
        prices: prices in quote (decimal text) of collateral assets that the file does not price.
        indices: index prices by underlying that the file does not have.
        pull: which pull of a file that holds several, counted from 1.
        at: ``latest``, or a time: the newest row of each instrument until then, instead of a pull.
        lots: SPAN: contracts in a lot by combined commodity; only these are imported.
        rate: SPAN XML: the rate id to use where the file has several.
        ignore: SPAN positional: record types that may be passed over.
        zone: SPAN: the time zone of the file's clock, as in ``Asia/Kolkata``.
        progress: called with work done and work in all.
    """

    prices: Mapping[str, str] = field(default_factory=dict)
    indices: Mapping[str, str] = field(default_factory=dict)
    pull: int | None = None
    at: str | None = None
    lots: Mapping[str, str] = field(default_factory=dict)
    rate: str | None = None
    ignore: Collection[str] = ()
    zone: str | None = None
    progress: Progress | None = None


class Imported(NamedTuple):
    """What came of a file.

    Attributes:
        document: the market, or the risk arrays.
        format: the name of the format that it was read as.
        left_out: what is not in the document, by reason.
    """

    document: Market | RiskArrays
    format: str
    left_out: tuple[Omission, ...]


#: Reads opened files into a document. Raises InputError: names the file, the line, the field and the reason.
Reader = Callable[[Sequence[Source], Options, LeftOut], Market | RiskArrays]


@dataclass(frozen=True, slots=True)
class Format:
    """One format that can be imported.

    Attributes:
        name: as on the command line.
        title: what its files are, in a few words.
        read: the importer.
        takes: the options that it has, beside ``progress``.
        several: whether several files (answers of one venue's API) make one document.
    """

    name: str
    title: str
    read: Reader
    takes: frozenset[str]
    several: bool = False
