"""What the rows of a commitment stand for, and whether a document was made for the setup and the slots at hand."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from operator import itemgetter
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

    A book committed under one slot map means the same book under every snapshot that has it among its ``slot_maps``.

    Example:
        >>> slot_map_digest(snapshot, "positions").hex() == commitment.parts[0].slot_map
        True
    """
    return slot_maps(snapshot, role)[-1]


def slot_maps(snapshot: Snapshot, role: Role) -> tuple[bytes, ...]:
    """Every slot map that a commitment for the snapshot may have been made under, oldest first; the last is its own.

    Without a universe there is one. In a universe each listing adds slots behind the last one and a digest to the
    chain, so a commitment that was made before a listing goes on, with nothing in the new slots. Delisting changes no
    slot map: the slot keeps its contract for good, and the selector forces it to zero.

    Example:
        >>> slot_map_digest(snapshot, "positions") in slot_maps(snapshot, "positions")
        True
    """
    return _slot_maps(ByDigest(snapshot), role)


@lru_cache(maxsize=8)
def _slot_maps(keyed: ByDigest[Snapshot], role: Role) -> tuple[bytes, ...]:
    snapshot = keyed.document
    n = snapshot.layout.domain_size
    if snapshot.format_version == 1:
        slots: list[list[str]]
        if role == "positions":
            slots = [[s.id, s.kind, s.settlement, s.multiplier, s.lot] for s in snapshot.instruments]
        else:
            slots = [[s.asset, s.lot] for s in snapshot.collateral]
        value = {"format": "zkmargin/slot-map/v1", "role": role, "n": n, "slots": slots}
        return (keccak256(canonical_bytes(value)),)
    terms: list[tuple[int, list[str | None]]]
    if role == "positions":
        terms = [(slot.listed, list(slot.terms())) for slot in snapshot.instruments]
        capacity = snapshot.layout.position_capacity
    else:
        terms = [(slot.listed, [slot.asset, slot.lot]) for slot in snapshot.collateral]
        capacity = snapshot.layout.collateral_capacity
    chain: list[bytes] = []
    first = 0
    for number, batch in groupby(terms, key=itemgetter(0)):
        listed = [own for _, own in batch]
        if not chain and number:
            chain.append(_link(role, n, capacity, None, 0, []))
        chain.append(_link(role, n, capacity, chain[-1] if chain else None, first, listed))
        first += len(listed)
    return tuple(chain or [_link(role, n, capacity, None, 0, [])])


def _link(
    role: Role, n: int, capacity: int, previous: bytes | None, first: int, slots: list[list[str | None]]
) -> bytes:
    """One link of the chain of slot maps, version 2."""
    return keccak256(
        canonical_bytes(
            {
                "format": "zkmargin/slot-map/v2",
                "role": role,
                "n": n,
                "capacity": capacity,
                "previous": None if previous is None else previous.hex(),
                "first": first,
                "slots": slots,
            }
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
    """Raises InputError when what was made was made for other slots than a snapshot lists, now or before a listing."""
    if slot_map not in {digest.hex() for digest in slot_maps(snapshot, role)}:
        raise InputError(f"{made} for other slots than the {which} lists", field=field, hint=hint)
