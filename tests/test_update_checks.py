"""What the attesting party checks of an update or a migration, each check alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from support import parties
from support.typed import JsonObject, Passed, Unchecked

from zkmargin.accounts import Commitment, Opening, commit_book
from zkmargin.accounts.commitments import check_bound
from zkmargin.accounts.holder import migrate_opening, update_opening
from zkmargin.accounts.slots import role_bits
from zkmargin.accounts.updates import Applied, Migration, Update, apply_migration, apply_update, moved_points
from zkmargin.crypto.commitment import commit_values
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import encode_scalar
from zkmargin.crypto.group import encode_g1
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.engine.book import BookLots, to_lots
from zkmargin.engine.fills import FillLots
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, VerificationError


@dataclass(frozen=True)
class Venue:
    """A venue's record, the holder's opening of it, and a step of each kind without any change."""

    snapshot: Snapshot
    lots: BookLots
    opening: Opening
    fills: FillLots
    update: Update
    migration: Migration

    @property
    def commitment(self) -> Commitment:
        return self.opening.commitment()

    def apply_update(
        self, commitment: Commitment | None = None, update: Update | None = None, **given: Passed
    ) -> Applied:
        fills = given.pop("fills", self.fills)
        return apply_update(
            self.snapshot, commitment or self.commitment, self.lots, fills, update or self.update, **given
        )

    def apply_migration(
        self, commitment: Commitment | None = None, migration: Migration | None = None, **given: Passed
    ) -> Applied:
        return apply_migration(
            self.snapshot,
            self.snapshot,
            commitment or self.commitment,
            self.lots,
            migration or self.migration,
            **given,
        )


def venue_of(srs: SRS | None = None) -> Venue:
    world = parties.world()
    snapshot: Snapshot = world.snapshot
    lots = to_lots(world.books["venue A"], snapshot)
    opening = commit_book(snapshot, lots, roles=["positions"], alias="maker", srs=srs)
    fills: FillLots = {"positions": (0,) * len(lots.positions)}
    _, update = update_opening(snapshot, opening, fills, srs=srs)
    _, _, migration = migrate_opening(snapshot, snapshot, lots, opening, srs=srs)
    return Venue(snapshot, lots, opening, fills, update, migration)


@pytest.fixture(scope="module")
def venue() -> Venue:
    return venue_of()


def test_another_setup_than_the_embedded_one(venue: Venue) -> None:
    srs = insecure_from_tau(11, venue.snapshot.layout.domain_size + 8)
    toy = venue_of(srs)
    assert toy.apply_update(srs=srs).commitment.srs == toy.apply_migration(srs=srs).commitment.srs == srs.digest.hex()
    for apply in (toy.apply_update, toy.apply_migration):
        with pytest.raises(InputError, match="another structured reference string"):
            apply()


@pytest.mark.parametrize("edits", [{"srs": "00" * 32}, {"domain_size": 1024}])
def test_a_commitment_of_another_setup_or_domain(venue: Venue, edits: JsonObject) -> None:
    other = venue.commitment.model_copy(update=edits)
    for apply in (venue.apply_update, venue.apply_migration):
        with pytest.raises(InputError) as caught:
            apply(other)
        assert caught.value.field == f"commitment: {next(iter(edits))}"


def test_a_commitment_for_other_slots(venue: Venue) -> None:
    (part,) = venue.commitment.parts
    other = venue.commitment.model_copy(update={"parts": (part.model_copy(update={"slot_map": "00" * 32}),)})
    with pytest.raises(InputError, match="other slots than the snapshot lists"):
        venue.apply_update(other)
    with pytest.raises(InputError, match="other slots than the old snapshot lists"):
        venue.apply_migration(other)


def test_one_part_of_each_role_and_of_no_other(venue: Venue) -> None:
    update = venue.update.model_copy(update={"parts": venue.update.parts * 2})
    with pytest.raises(VerificationError, match="the update is of positions, the fills are of positions"):
        venue.apply_update(update=update)
    with pytest.raises(VerificationError, match=r"the fills are of nothing$"):
        venue.apply_update(fills={})
    twice = venue.migration.model_copy(update={"parts": venue.migration.parts * 2})
    slots = venue.migration.slot_maps
    more = venue.migration.model_copy(update={"slot_maps": {**slots, "collateral": "00" * 32}})
    fewer = venue.migration.model_copy(update={"slot_maps": {}})
    for migration in (twice, more, fewer):
        with pytest.raises(VerificationError, match="nothing may be left behind"):
            venue.apply_migration(migration=migration)


def test_the_bound_of_a_role_is_its_own(venue: Venue) -> None:
    positions, collateral = (role_bits(venue.snapshot, role) for role in ("positions", "collateral"))
    assert positions == venue.snapshot.layout.position_bits
    assert collateral == max(slot.bits for slot in venue.snapshot.collateral)
    assert positions != collateral
    bare: Unchecked = SimpleNamespace(collateral=())
    assert role_bits(bare, "collateral") == 1


def test_every_entry_is_below_the_bound(venue: Venue) -> None:
    part = venue.commitment.parts[0].model_copy(update={"bits": 5})
    check_bound(part, [0, 31, -31])
    for q in (32, -32):
        with pytest.raises(InputError, match=r"the bound that is attested, 2\^5 lots"):
            check_bound(part, [0, q])


def test_segments_are_counted_on_both_sides(venue: Venue) -> None:
    (part,), n = venue.commitment.parts, venue.snapshot.layout.domain_size
    changes = venue.fills["positions"]
    count = venue.snapshot.segments("positions")
    increments = list(range(1, count + 1))
    longer = part.model_copy(update={"points": (*part.points, part.points[0])})
    for given, numbers in ((part, [*increments, 99]), (part, increments[:-1]), (longer, increments)):
        with pytest.raises(InputError, match=f"^parts: positions has {len(increments)} segments here$"):
            moved_points(embedded(), n, given, changes, numbers, count)
    with pytest.raises(InputError, match="segments here"):
        moved_points(embedded(), n, longer, changes, [*increments, 99], count)


def test_changes_that_lead_to_infinity(venue: Venue) -> None:
    (part,), n = venue.commitment.parts, venue.snapshot.layout.domain_size
    increments = list(range(1, len(part.points) + 1))
    opposite = [-commit_values(embedded(), Domain.of(n), [0] * n, dr) for dr in increments]
    cancelled = part.model_copy(update={"points": tuple(encode_g1(point).hex() for point in opposite)})
    with pytest.raises(InputError, match="the changes lead to the point at infinity") as caught:
        moved_points(embedded(), n, cancelled, venue.fills["positions"], increments, len(increments))
    assert caught.value.field == "positions: points[0]"


@pytest.mark.parametrize("number", [7, None, [], encode_scalar(0).hex()])
def test_numbers_are_read_with_the_document(venue: Venue, number: int | None) -> None:
    for document, field in ((venue.update, "increments"), (venue.migration, "blinders")):
        data = json.loads(document.to_bytes())
        data["parts"][0][field][0] = number
        with pytest.raises(InputError, match=rf"parts(\[0\])?\.{field}(\[0\])?: "):
            type(document).parse(json.dumps(data), file="step.json")
