"""The holder's side of updates and migrations; accounts/updates.py has the other side and the reasons."""

from __future__ import annotations

from zkmargin.accounts.commitments import commit_vector, hex_points, part_of
from zkmargin.accounts.openings import Opening, OpeningPart, fresh_scalars, hex_scalars
from zkmargin.accounts.slots import ROLES, Role, check_setup, check_slots, role_bits, slot_map_digest
from zkmargin.accounts.updates import Migration, MigrationPart, Update, UpdatePart, moved_points
from zkmargin.crypto.field import r
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.fills import FillLots
from zkmargin.engine.migration import carry_over
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Hint, InputError


def update_opening(
    snapshot: Snapshot, opening: Opening, fills: FillLots, *, srs: SRS | None = None
) -> tuple[Opening, Update]:
    """Apply fills to a commitment through its opening, re-randomised.

    Every segment of a part that the fills speak of gets a fresh increment, also one that no fill is in, so the new
    points tell nothing about slots and sizes. Parts of other roles stay as they are.

    Args:
        snapshot: any with the slots that the opening was made for.
        opening: of one party's part for each role that the fills speak of.
        fills: signed changes in lots.

    Returns:
        The new opening (``.commitment()`` is public), and the update for the party that attests.

    Raises:
        InputError: documents that do not belong together.

    Example:
        >>> from zkmargin import Fills, apply_update, fills_to_lots
        >>> fills = fills_to_lots(Fills(positions={"BTC-PERPETUAL": "0.5"}), snapshot)
        >>> renewed, update = update_opening(snapshot, opening, fills)
        >>> apply_update(snapshot, commitment, lots, fills, update).commitment == renewed.commitment()
        True
    """
    srs = srs or embedded()
    n = snapshot.layout.domain_size
    check_setup(opening.srs, opening.domain_size, snapshot, srs, "opening")
    parts = list(opening.parts)
    steps = []
    for role in ROLES:
        if role not in fills:
            continue
        place, _ = part_of(parts, role)
        part = parts[place]
        check_slots(part.slot_map, role, snapshot, field=f"{role}: slot_map", hint=Hint.MIGRATE)
        increments = fresh_scalars(len(part.points))
        points = moved_points(srs, n, part, fills[role], increments, snapshot.segments(role))
        blinders = [(b + dr) % r for b, dr in zip(part.scalars(), increments, strict=True)]
        slot_map = slot_map_digest(snapshot, role).hex()  # of a later edition, perhaps, as its fills may be
        parts[place] = part.model_copy(
            update={"slot_map": slot_map, "points": points, "blinders": hex_scalars(blinders)}
        )
        steps.append(
            UpdatePart(
                role=role,
                alias=part.alias,
                slot_map=slot_map,
                before=part.points,
                after=points,
                increments=hex_scalars(increments),
            )
        )
    renewed = Opening(srs=opening.srs, domain_size=n, parts=tuple(parts))
    return renewed, Update(srs=opening.srs, domain_size=n, parts=tuple(steps))


def migrate_opening(
    old: Snapshot, new: Snapshot, lots: BookLots, opening: Opening, *, srs: SRS | None = None
) -> tuple[Opening, BookLots, Migration]:
    """Commit to the same book in the slots of the next universe, with fresh blinders.

    Args:
        old: any snapshot with the slots that the opening was made for.
        new: the snapshot of the next universe.
        lots: the book behind the opening, in the slots of ``old``; zero in a role that the opening has no part of.
        opening: at most one part a role.

    Returns:
        The new opening, the book in the new slots, and the migration for the party that attests.

    Raises:
        InputError: a position that would be lost (``engine.migration.carry_over``), an opening that is not of this
            book, documents that do not belong together.

    Example:
        >>> from zkmargin import apply_migration
        >>> wider = build_snapshot(market, load_policy("default"), domain_size=2048)
        >>> renewed, moved, migration = migrate_opening(snapshot, wider, lots, opening)
        >>> apply_migration(snapshot, wider, commitment, lots, migration).commitment == renewed.commitment()
        True
    """
    srs = srs or embedded()
    check_setup(opening.srs, opening.domain_size, old, srs, "opening")
    moved = carry_over(lots, old, new)
    n = new.layout.domain_size
    parts, steps = [], []
    roles: list[Role] = [part.role for part in opening.parts]
    for role in ROLES:
        if role not in roles:
            if any(getattr(lots, role)):
                raise InputError(f"the book has {role}, the opening no part for them", field=role)
            continue
        place, _ = part_of(opening.parts, role)
        part = opening.parts[place]
        check_slots(part.slot_map, role, old, field=f"{role}: slot_map", hint=Hint.MIGRATE)
        if part.points != hex_points(commit_vector(srs, old.layout.domain_size, getattr(lots, role), part.scalars())):
            raise InputError("the opening is not of this book", field=role, hint="give the book that was committed")
        vector = getattr(moved, role)
        blinders = fresh_scalars(new.segments(role))
        points = hex_points(commit_vector(srs, n, vector, blinders))
        parts.append(
            OpeningPart(
                role=role,
                alias=part.alias,
                slot_map=slot_map_digest(new, role).hex(),
                points=points,
                bits=role_bits(new, role),
                blinders=hex_scalars(blinders),
            )
        )
        steps.append(
            MigrationPart(role=role, alias=part.alias, before=part.points, after=points, blinders=hex_scalars(blinders))
        )
    migration = Migration(
        srs=opening.srs,
        domain_size=n,
        slot_maps={part.role: part.slot_map for part in parts},
        parts=tuple(steps),
    )
    return Opening(srs=opening.srs, domain_size=n, parts=tuple(parts)), moved, migration
