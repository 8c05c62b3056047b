"""Updates and migrations: an attested commitment follows the book behind it, and no observer learns what moved.

The holder sends the party that attests (a venue, a custodian) numbers that only those two know: for an update, one
blinding increment ``dr`` a segment,

    C' = C + sum_i dq_i [L_i(tau)]_1 + dr [Z_H(tau)]_1

for a migration the new blinders themselves. The attesting party computes C' from *its own* record and these numbers
and gets the holder's points, or refuses. The numbers are scalars, never points: a point [x]_1 in the place of
dr [Z_H(tau)]_1 could hide any change of the book. An increment is never 0: C' - C would then be a sum that slots and
sizes can be searched for in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple, NoReturn, Self

from pydantic import BeforeValidator, Field, model_validator

from zkmargin.accounts.commitments import (
    Commitment,
    CommitmentPart,
    PointHex,
    check_bound,
    commit_vector,
    hex_points,
    part_of,
)
from zkmargin.accounts.slots import ROLES, Role, check_setup, check_slots, role_bits, slot_map_digest
from zkmargin.crypto.commitment import commit_values
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import SCALAR_BYTES, decode_scalar
from zkmargin.crypto.group import G1_BYTES, encode_g1, is_infinity
from zkmargin.crypto.segments import segment_rows
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.engine.book import BookLots
from zkmargin.engine.fills import FillLots, add_fills
from zkmargin.engine.migration import carry_over
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import (
    Digest,
    Document,
    Hexadecimal,
    InputError,
    Map,
    Model,
    PlainName,
    Seq,
    VerificationError,
    from_hex,
)

MAX_SEGMENTS = 4096


def _no_point(text: object) -> object:
    if isinstance(text, str) and len(text) == 2 * G1_BYTES:
        raise ValueError("a point where a number must be: a point could hide a change of the book")
    return text


_NumberHex = Annotated[str, Hexadecimal(SCALAR_BYTES), BeforeValidator(_no_point)]


class _Step(Model):
    """One part before and after: its points (compressed G1, hex), one a segment."""

    role: Role
    alias: PlainName = Field(min_length=1, max_length=200)
    before: Seq[PointHex] = Field(min_length=1, max_length=MAX_SEGMENTS)
    after: Seq[PointHex] = Field(min_length=1, max_length=MAX_SEGMENTS)


class UpdatePart(_Step):
    """One updated part. ``increments``: dr, one canonical scalar a segment (hex), none 0, no two equal: secret."""

    slot_map: Digest
    increments: Seq[_NumberHex] = Field(min_length=1, max_length=MAX_SEGMENTS, repr=False)

    def scalars(self) -> tuple[int, ...]:
        """The increments. Raises InputError without repeating them."""
        return _secret_scalars(self.increments, len(self.before), "parts.increments")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.after) != len(self.before):
            raise InputError("an update does not change the number of segments", field="parts.after")
        self.scalars()
        return self


class MigrationPart(_Step):
    """One moved part. ``blinders``: one canonical scalar a segment (hex), none 0, no two equal: secret."""

    blinders: Seq[_NumberHex] = Field(min_length=1, max_length=MAX_SEGMENTS, repr=False)

    def scalars(self) -> tuple[int, ...]:
        """The blinders. Raises InputError without repeating them."""
        return _secret_scalars(self.blinders, len(self.after), "parts.blinders")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.scalars()
        return self


class Update(Document):
    """From the holder to the party that attests, and to nobody else: secret.

    Example:
        >>> from zkmargin import Fills, fills_to_lots, update_opening
        >>> fills = fills_to_lots(Fills(positions={"BTC-PERPETUAL": "0.5"}), snapshot)
        >>> renewed, update = update_opening(snapshot, opening, fills)
        >>> [part.role for part in update.parts]
        ['positions']
    """

    FORMAT: ClassVar[str] = "zkmargin/update/v1"
    SECRET: ClassVar[bool] = True

    srs: Digest
    domain_size: int
    parts: Seq[UpdatePart] = Field(min_length=1, max_length=2)


class Migration(Document):
    """From the holder to the party that attests, and to nobody else: secret.

    ``domain_size`` is that of the next universe; ``slot_maps`` are digests of its slots, by role.

    Example:
        >>> from zkmargin import migrate_opening
        >>> wider = build_snapshot(market, load_policy("default"), domain_size=2048)
        >>> migrate_opening(snapshot, wider, lots, opening)[2].domain_size
        2048
    """

    FORMAT: ClassVar[str] = "zkmargin/migration/v1"
    SECRET: ClassVar[bool] = True

    srs: Digest
    domain_size: int
    slot_maps: Map[Role, Digest]
    parts: Seq[MigrationPart] = Field(min_length=1, max_length=2)


class Applied(NamedTuple):
    """What the attesting party has after a step: the commitment to attest, and its own record."""

    commitment: Commitment
    book: BookLots


def apply_update(
    snapshot: Snapshot,
    commitment: Commitment,
    book: BookLots,
    fills: FillLots,
    update: Update,
    *,
    srs: SRS | None = None,
) -> Applied:
    """The attesting party's side of an update.

    Args:
        snapshot: any with the slots that the commitment was made for.
        commitment: the one that it attested last.
        book: its own record of what is behind that commitment.
        fills: its own record of what changed.
        update: the holder's.

    Raises:
        InputError: documents that do not belong together, or a quantity that leaves its attested bound.
        VerificationError: the holder's update starts from another commitment, or leads to another one than the
            fills do.

    Example:
        >>> from zkmargin import Fills, fills_to_lots, update_opening
        >>> fills = fills_to_lots(Fills(positions={"BTC-PERPETUAL": "0.5"}), snapshot)
        >>> renewed, update = update_opening(snapshot, opening, fills)
        >>> apply_update(snapshot, commitment, lots, fills, update).commitment == renewed.commitment()
        True
    """
    srs = srs or embedded()
    check_setup(update.srs, update.domain_size, snapshot, srs, "update")
    check_setup(commitment.srs, commitment.domain_size, snapshot, srs, "commitment")
    after = add_fills(book, fills, snapshot)
    steps = {part.role: part for part in update.parts}
    if len(steps) != len(update.parts) or set(steps) != set(fills):
        _refuse(f"the update is of {_listed(steps)}, the fills are of {_listed(fills)}")
    parts = dict(enumerate(commitment.parts))
    for role, step in steps.items():
        place, part = part_of(commitment.parts, role)
        _check_start(part, step)
        check_slots(part.slot_map, role, snapshot, field=f"{role}: slot_map")
        slot_map = slot_map_digest(snapshot, role).hex()
        if step.slot_map != slot_map:
            raise InputError("made for other slots than the snapshot lists", field=f"{role}: slot_map")
        check_bound(part, getattr(after, role))
        increments = step.scalars()
        points = moved_points(srs, snapshot.layout.domain_size, part, fills[role], increments, snapshot.segments(role))
        if points != step.after:
            _refuse(f"{role}: the holder's fills are not these: the update leads to another commitment")
        parts[place] = part.model_copy(update={"slot_map": slot_map, "points": points})
    renewed = Commitment(srs=commitment.srs, domain_size=commitment.domain_size, parts=tuple(parts.values()))
    return Applied(renewed, after)


def apply_migration(
    old: Snapshot,
    new: Snapshot,
    commitment: Commitment,
    book: BookLots,
    migration: Migration,
    *,
    srs: SRS | None = None,
) -> Applied:
    """The attesting party's side of a migration: commit to its own record in the new slots, with the holder's blinders.

    Args:
        old: any snapshot with the slots that the commitment was made for.
        new: the snapshot of the next universe.
        commitment: the one that it attested last.
        book: its own record of what is behind that commitment, in the slots of ``old``.
        migration: the holder's.

    Raises:
        InputError: documents that do not belong together, or a position that would be lost (``carry_over``).
        VerificationError: the migration starts from another commitment, or leads to another book than its record.

    Example:
        >>> from zkmargin import migrate_opening
        >>> wider = build_snapshot(market, load_policy("default"), domain_size=2048)
        >>> renewed, moved, migration = migrate_opening(snapshot, wider, lots, opening)
        >>> apply_migration(snapshot, wider, commitment, lots, migration).commitment == renewed.commitment()
        True
    """
    srs = srs or embedded()
    check_setup(commitment.srs, commitment.domain_size, old, srs, "commitment")
    check_setup(migration.srs, migration.domain_size, new, srs, "migration")
    after = carry_over(book, old, new)
    steps = {part.role: part for part in migration.parts}
    roles = {part.role for part in commitment.parts}
    if len(steps) != len(migration.parts) or set(steps) != roles or set(migration.slot_maps) != roles:
        _refuse(f"the migration is of {_listed(steps)}, the commitment of {_listed(roles)}: nothing may be left behind")
    for role in ROLES:
        if role not in roles and any(getattr(book, role)):
            raise InputError(f"the record has {role}, the commitment no part for them", field=role)
    n = new.layout.domain_size
    parts = []
    for role in (part.role for part in commitment.parts):
        _, part = part_of(commitment.parts, role)
        step = steps[role]
        _check_start(part, step)
        check_slots(part.slot_map, role, old, field=f"{role}: slot_map", which="old snapshot")
        slot_map = slot_map_digest(new, role).hex()
        if migration.slot_maps[role] != slot_map:
            raise InputError("made for other slots than the new snapshot lists", field=f"{role}: slot_maps")
        lots = getattr(after, role)
        blinders = step.scalars()
        if len(blinders) != new.segments(role):
            raise InputError(
                f"{len(blinders)} segments, the new snapshot has {new.segments(role)}", field=f"{role}: blinders"
            )
        moved = CommitmentPart(
            role=role,
            alias=part.alias,
            slot_map=slot_map,
            points=hex_points(commit_vector(srs, n, lots, blinders)),
            bits=role_bits(new, role),
        )
        check_bound(moved, lots)
        if moved.points != step.after:
            _refuse(f"{role}: the holder moved another book than this record")
        parts.append(moved)
    return Applied(Commitment(srs=commitment.srs, domain_size=n, parts=tuple(parts)), after)


def moved_points(
    srs: SRS, n: int, part: CommitmentPart, changes: Sequence[int], increments: Sequence[int], count: int
) -> tuple[str, ...]:
    """The points of a part after changes [slots] in lots and blinding increments [``count`` segments]: hex.

    Raises:
        InputError: another number of segments, a bad point, or a sum at infinity.
    """
    if len(part.points) != count or len(increments) != count:
        raise InputError(f"{part.role} has {count} segments here", field="parts")
    moved = []
    for s, (point, dr) in enumerate(zip(part.decoded(), increments, strict=True)):
        # a segment without fills costs the same and looks the same
        total = point + commit_values(srs, Domain.of(n), segment_rows(changes, n, s).tolist(), dr)
        if is_infinity(total):
            raise InputError("the changes lead to the point at infinity", field=f"{part.role}: points[{s}]")
        moved.append(encode_g1(total).hex())
    return tuple(moved)


def _secret_scalars(texts: Sequence[str], count: int, field: str) -> tuple[int, ...]:
    if len(texts) != count:
        raise InputError(f"{len(texts)} numbers for {count} segments", field=field)
    try:
        scalars = tuple(decode_scalar(from_hex(text)) for text in texts)
    except ValueError:
        raise InputError("not a canonical scalar in hex", field=field) from None
    if 0 in scalars:
        raise InputError("0 hides nothing: what moved could be found by search", field=field)
    if len(set(scalars)) != len(scalars):
        raise InputError("the same number twice hides nothing: its segments could be compared", field=field)
    return scalars


def _check_start(part: CommitmentPart, step: _Step) -> None:
    if part.points != step.before or part.alias != step.alias:
        _refuse(
            f"{part.role}: the holder starts from another commitment than this one: one of the two is not the newest"
        )


def _listed(roles: Mapping[Role, object] | set[Role] | Mapping[str, object]) -> str:
    return " and ".join(sorted(roles)) or "nothing"


def _refuse(reason: str) -> NoReturn:
    raise VerificationError(reason, check="update")
