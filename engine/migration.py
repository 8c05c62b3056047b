"""A book's way to the next universe: other slots in another order, other lots, another domain size.

Expiry and settlement happen before, as fills (engine/fills.py): what is still open must exist on the other side.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from zkmargin.engine.book import BookLots
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.snapshot import InstrumentSlot, Snapshot
from zkmargin.formats import Hint, InputError


def carry_over(lots: BookLots, old: Snapshot, new: Snapshot) -> BookLots:
    """The same book in the slots of another snapshot: every quantity exactly what it was, new listings at zero.

    Args:
        lots: the book in the slots of ``old``.
        old: the snapshot (or any with the same slots) that the book is committed under.
        new: the snapshot that it shall be committed under.

    Raises:
        InputError: an open position or balance that the new snapshot does not list, lists as another contract, or
            cannot hold (lot, bound, sign). Nothing is ever dropped. Names the slot, never the quantity.
    """
    listed = {slot.id: i for i, slot in enumerate(new.instruments) if not slot.retired}
    positions = [0] * len(new.instruments)
    for slot, quantity in zip(old.instruments, lots.positions, strict=True):
        if quantity:
            if slot.id not in listed:
                raise InputError("open, and not in the next snapshot", field=f"positions.{slot.id}", hint=Hint.CLOSE)
            target = new.instruments[listed[slot.id]]
            if _contract(slot) != _contract(target):
                raise InputError(
                    "open, and another contract in the next snapshot", field=f"positions.{slot.id}", hint=Hint.CLOSE
                )
            positions[listed[slot.id]] = _recount(
                quantity, slot.lot, target.lot, new.layout.position_bits, field=f"positions.{slot.id}"
            )
    held = {slot.asset: j for j, slot in enumerate(new.collateral) if not slot.retired}
    collateral = [0] * len(new.collateral)
    for asset, quantity in zip(old.collateral, lots.collateral, strict=True):
        if quantity:
            field = f"collateral.{asset.asset}"
            if asset.asset not in held:
                raise InputError("held, and not in the next snapshot", field=field, hint="withdraw it first, as a fill")
            into = new.collateral[held[asset.asset]]
            if quantity < 0 and not into.negative_allowed:
                raise InputError("negative, and the next policy allows no negative balance of it", field=field)
            collateral[held[asset.asset]] = _recount(quantity, asset.lot, into.lot, into.bits, field=field)
    return BookLots(tuple(positions), tuple(collateral))


def lost_slots(old: Snapshot, new: Snapshot) -> Sequence[str]:
    """Instruments and assets that a book must not hold any more when it moves from ``old`` to ``new``."""
    contracts = {slot.id: _contract(slot) for slot in new.instruments if not slot.retired}
    assets = {slot.asset for slot in new.collateral if not slot.retired}
    return [
        *(slot.id for slot in old.instruments if not slot.retired and contracts.get(slot.id) != _contract(slot)),
        *(slot.asset for slot in old.collateral if not slot.retired and slot.asset not in assets),
    ]


def _contract(slot: InstrumentSlot) -> tuple[object, ...]:
    """What one unit of an instrument is, apart from its lot."""
    strike = None if slot.strike is None else to_fraction(slot.strike)
    return (
        slot.kind,
        slot.underlying,
        slot.expiry,
        strike,
        slot.option_type,
        slot.settlement,
        to_fraction(slot.multiplier),
    )


def _recount(lots: int, old_lot: str, new_lot: str, bits: int, *, field: str) -> int:
    count: Fraction = lots * to_fraction(old_lot) / to_fraction(new_lot)
    if count.denominator != 1:
        raise InputError(f"not a multiple of the next snapshot's lot, {new_lot}", field=field)
    if abs(count) >= 1 << bits:
        raise InputError(f"too large for the next snapshot: the bound is 2^{bits} lots of {new_lot}", field=field)
    return count.numerator
