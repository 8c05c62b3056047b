"""What the rows of a commitment stand for, and whether a document was made for the setup and the slots at hand."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from zkmargin.crypto.srs import SRS
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Hint, InputError
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.formats.keyed import ByDigest

Role = Literal["positions", "collateral"]
ROLES: tuple[Role, ...] = ("positions", "collateral")


def slot_map_digest(snapshot: Snapshot, role: Role) -> bytes:
    """keccak-256 of what makes commitments of a role comparable: the domain size and, slot by slot, what one lot is.

    A book committed under one slot map means the same book under every snapshot with the same slot map.
    """
    return _slot_map_digest(ByDigest(snapshot), role)


@lru_cache(maxsize=8)
def _slot_map_digest(keyed: ByDigest[Snapshot], role: Role) -> bytes:
    snapshot = keyed.document
    slots: list[list[str]]
    if role == "positions":
        slots = [[s.id, s.kind, s.settlement, s.multiplier, s.lot] for s in snapshot.instruments]
    else:
        slots = [[s.asset, s.lot] for s in snapshot.collateral]
    return keccak256(
        canonical_bytes(
            {"format": "zkmargin/slot-map/v1", "role": role, "n": snapshot.layout.domain_size, "slots": slots}
        )
    )


def role_bits(snapshot: Snapshot, role: Role) -> int:
    """The bound that a part of a role states under a snapshot: every entry is below 2^bits lots."""
    if role == "positions":
        return snapshot.layout.position_bits
    return max((slot.bits for slot in snapshot.collateral), default=1)


def check_setup(srs_digest: str, domain_size: int, snapshot: Snapshot, srs: SRS, what: str = "") -> None:
    """Raises InputError when a document was made with another setup or over another number of rows; ``what`` it is."""
    of = f"{what}: " if what else ""
    if srs_digest != srs.digest.hex():
        raise InputError("made with another structured reference string", field=f"{of}srs")
    if domain_size != snapshot.layout.domain_size:
        raise InputError(
            f"made over {domain_size} rows, the snapshot has {snapshot.layout.domain_size}",
            field=f"{of}domain_size",
        )


def check_slots(
    slot_map: str,
    role: Role,
    snapshot: Snapshot,
    *,
    field: str,
    made: str = "made",
    which: str = "snapshot",
    hint: Hint | str | None = None,
) -> None:
    """Raises InputError when what was made was made for other slots than a snapshot lists."""
    if slot_map != slot_map_digest(snapshot, role).hex():
        raise InputError(f"{made} for other slots than the {which} lists", field=field, hint=hint)
