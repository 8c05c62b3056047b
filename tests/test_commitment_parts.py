"""Parts of a commitment: counted when they are read, joined into one document, taken one by one."""

from __future__ import annotations

import pytest

from zkmargin.accounts import Commitment
from zkmargin.accounts.commitments import CommitmentPart, joined, part_of
from zkmargin.formats import InputError
from zkmargin.formats.budget import LIMITS, Budget, budget

POINT = "c0" + "00" * 47


def part(role: str, alias: str = "maker 7", points: int = 1) -> CommitmentPart:
    value = {"role": role, "alias": alias, "slot_map": "11" * 32, "points": [POINT] * points, "bits": 20}
    return CommitmentPart.model_validate(value)


def test_points_are_counted_before_any_is_decoded() -> None:
    with budget(Budget({**LIMITS, "points": 4})):
        part("positions", points=3)
        with pytest.raises(InputError, match="points: too large"):
            part("positions", points=2)
        part("positions", points=1)


def test_parts_are_joined_into_one_document() -> None:
    parts = (part("positions"), part("collateral"))
    assert joined("22" * 32, 1024, parts) == Commitment(srs="22" * 32, domain_size=1024, parts=parts)


def test_a_step_is_about_the_only_part_of_a_role() -> None:
    parts = [part("positions"), part("collateral"), part("positions", "venue B")]
    assert part_of(parts, "collateral") == (1, parts[1])
    for few, count in ((parts, 2), (parts[1:2], 0)):
        with pytest.raises(InputError, match=f"^parts: {count} parts of positions where one is needed$"):
            part_of(few, "positions")
