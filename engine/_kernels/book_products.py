"""Sums over the legs of many books, int64: whoever calls has shown that no sum leaves it (engine/books.py)."""

from typing import Any

from zkmargin.formats.kernel import kernel


@kernel
def sum_legs(starts: Any, slots: Any, lots: Any, columns: Any, rows: Any, values: Any, totals: Any) -> None:
    """totals[a, rows[e]] += lots[l] values[e] for each leg l of account a and each entry e of the leg's slot.

    Args:
        starts: [M + 1] int64, where the legs of each account begin.
        slots, lots: [L] int64, the legs.
        columns: [N + 1] int64, where the entries of each slot begin.
        rows, values: [E] int64, the entries.
        totals: [M, R] int64, added to.
    """
    for account in range(len(starts) - 1):
        for leg in range(starts[account], starts[account + 1]):
            amount = lots[leg]
            if amount != 0:
                slot = slots[leg]
                for entry in range(columns[slot], columns[slot + 1]):
                    totals[account, rows[entry]] += amount * values[entry]
