"""Fills: what changed in a book since it was committed to. Secret, as the book is.

Settlement and expiry are fills too: one that closes the position, and the cash that is paid for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from pydantic import model_validator

from zkmargin.engine.book import BookLots, Rule, check_bounds, count_section
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError, Map
from zkmargin.formats.files import read_text


class Fills(Document):
    """Signed changes by instrument id and by asset, decimal text in their own units; several fills of one are added up.

    A section that is given, be it empty, says that this commitment is renewed; one that is absent leaves it alone.

    Raises:
        InputError: neither section is given.

    Example:
        >>> Fills(positions={"BTC-PERPETUAL": "0.5"}, collateral={"USDC": "-250"})
        Fills(1 positions, 1 balances)
    """

    FORMAT: ClassVar[str] = "zkmargin/fills/v1"
    SECRET: ClassVar[bool] = True

    positions: Map[str, str] | None = None
    collateral: Map[str, str] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.positions is None and self.collateral is None:
            raise InputError('neither "positions" nor "collateral"', field="fills")
        return self

    def __repr__(self) -> str:
        return f"Fills({len(self.positions or ())} positions, {len(self.collateral or ())} balances)"

    __str__ = __repr__


#: Signed changes in lots by role, ``positions`` [N] and ``collateral`` [M]; a role that is not changed is absent.
FillLots = Mapping[str, tuple[int, ...]]


def fills_to_lots(fills: Fills, snapshot: Snapshot, text: str | None = None, file: str | None = None) -> FillLots:
    """Count fills in a snapshot's lots.

    Args:
        fills: the fills.
        snapshot: says which instruments and assets there are, and their lots.
        text: the raw file, for the lines of errors.
        file: its name, for errors.

    Raises:
        InputError: an unknown name, or a quantity that is no decimal, no multiple of its lot, or larger than any
            change between two books. Says where, never how much.

    Example:
        >>> fills = fills_to_lots(Fills(positions={"BTC-PERPETUAL": "0.5"}), snapshot)
        >>> sum(fills["positions"])
        500
    """
    # from one end of a bound to the other is less than twice the bound
    bits = snapshot.layout.position_bits + 1
    lots: dict[str, tuple[int, ...]] = {}
    if fills.positions is not None:
        rules = {slot.id: Rule(slot.lot, bits, True) for slot in snapshot.instruments}
        lots["positions"] = count_section("positions", fills.positions, rules, text, file)
    if fills.collateral is not None:
        rules = {slot.asset: Rule(slot.lot, slot.bits + 1, True) for slot in snapshot.collateral}
        lots["collateral"] = count_section("collateral", fills.collateral, rules, text, file)
    return lots


def load_fills(path: str | Path, snapshot: Snapshot) -> FillLots:
    """Read a file of fills (``-`` for standard input) and count it in a snapshot's lots. Raises InputError."""
    text = read_text(path)
    return fills_to_lots(Fills.parse(text, file=str(path)), snapshot, text, str(path))


def add_fills(book: BookLots, fills: FillLots, snapshot: Snapshot) -> BookLots:
    """The book after the fills.

    Raises:
        InputError: a quantity that leaves its bound, or a balance that goes below zero where the policy forbids it.
            Says where, never how much.

    Example:
        >>> fills = fills_to_lots(Fills(positions={"BTC-PERPETUAL": "0.5"}), snapshot)
        >>> sum(add_fills(lots, fills, snapshot).positions) - sum(lots.positions)
        500
    """
    positions, collateral = (
        tuple(map(sum, zip(lots, fills.get(role, (0,) * len(lots)), strict=True)))
        for role, lots in (("positions", book.positions), ("collateral", book.collateral))
    )
    after = BookLots(positions, collateral)
    check_bounds(after, snapshot, "after the fills")
    for asset, lots in zip(snapshot.collateral, collateral, strict=True):
        if lots < 0 and not asset.negative_allowed:
            raise InputError("negative after the fills, and the policy allows no negative balance", field=asset.asset)
    return after
