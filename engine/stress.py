"""The charge on what a universe carries at a stressed vol: each side of a position pays for the vol moving against it.

An option without a quote has a mark that nobody quoted. One lot held is charged what the option loses if its vol falls
by the stress, one lot sold what it gains if the vol rises by it: on top of every requirement, and not multiplied by its
factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zkmargin.engine.components.base import REQUIREMENTS, PublishedPart

if TYPE_CHECKING:
    from zkmargin.engine.components.pools import Pool


def is_stress_charge(part: PublishedPart, groups: Sequence[str]) -> bool:
    """Whether a published component has the form that ``engine.publishing.stress`` gives it, whatever the amounts."""
    if part.type != "gross_charge":
        return False
    from zkmargin.engine.components.gross_charge import PublishedGrossCharge  # noqa: PLC0415 - few snapshots have one

    return isinstance(part, PublishedGrossCharge) and (part.requirements, part.mode, part.scale, part.pools) == (
        REQUIREMENTS,
        "flat",
        1,
        stress_pools(groups),
    )


def stress_pools(groups: Sequence[str]) -> tuple[Pool, ...]:
    """A pool for each risk group, charged as it is."""
    from zkmargin.engine.components.pools import Line, Pool  # noqa: PLC0415 - as above

    return tuple(Pool(name=name, group=group, lines=(Line(slope=1),)) for group, name in enumerate(groups))
