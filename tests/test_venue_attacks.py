"""Malicious provers of venue proofs against the product (docs/protocol-venue.md section 5)."""

from dataclasses import replace

import pytest
from support import venue_lab
from support.venue_forge import (
    Attack,
    errors_that_cancel_between_sets,
    forged,
    forged_despite_net,
    honest,
    honest_despite_net,
    one_dense,
    poor,
    refused,
    the_rich_pay_for_the_poor,
    two_classes,
)
from support.venue_lab import Cells, Venue

from zkmargin.crypto.field import r
from zkmargin.prover.venue.algebra import Algebra
from zkmargin.prover.venue.reference import verify_reference
from zkmargin.verifier.venue.proof import encode_venue_proof
from zkmargin.verifier.venue.verify import verify_venue


@pytest.fixture(scope="module")
def two() -> Venue:
    return two_classes()


@pytest.fixture(scope="module")
def with_dense() -> Venue:
    return one_dense()


def unhealthy_account(venue: Venue, columns: Cells) -> None:
    poor(venue, columns)


def negative_slack(venue: Venue, columns: Cells) -> None:
    venue_lab.put(venue, columns, 0, 0, "claim", -1)


def errors_that_cancel_between_accounts(venue: Venue, columns: Cells) -> None:
    for a, sign in ((0, 1), (1, -1)):
        venue_lab.put(venue, columns, 0, a, "claim", venue_lab.value(venue, columns, 0, a, "claim") + sign)


def errors_that_cancel_between_classes(venue: Venue, columns: Cells) -> None:
    for kind, sign in ((0, 1), (1, -1)):
        venue_lab.put(venue, columns, kind, 0, "claim", venue_lab.value(venue, columns, kind, 0, "claim") + sign)


def smaller_charge(venue: Venue, columns: Cells) -> None:
    venue_lab.put(venue, columns, 0, 0, "charge 0", venue_lab.value(venue, columns, 0, 0, "charge 0") - 1)


def instrument_outside_the_table(venue: Venue, columns: Cells) -> None:
    venue_lab.leg(venue, columns, 0, 2, 0, 0, 9, 2, 0)


def instrument_of_another_group(venue: Venue, columns: Cells) -> None:
    venue_lab.leg(venue, columns, 0, 2, 0, 0, 2, 2, 0)


def leg_in_a_block_without_account(venue: Venue, columns: Cells) -> None:
    venue_lab.leg(venue, columns, 0, 3, 0, 0, 1, 2, 0)


def digit_in_an_unread_cell(venue: Venue, columns: Cells) -> None:
    template = venue.statement.templates[0]
    unread = [(c, b) for c in range(template.digit_columns) for b in range(4) if not template.read_cells[c, b]]
    c, b = unread[-1]
    columns[f"set 0 digit {c}"][template.T * b] = 1


def net_violated_in_one_instrument(venue: Venue, columns: Cells) -> None:
    venue_lab.leg(venue, columns, 0, 2, 0, 0, 1, 3, 0)


def net_violated_in_two_instruments(venue: Venue, columns: Cells) -> None:
    venue_lab.leg(venue, columns, 0, 2, 0, 0, 1, 1, 0)
    venue_lab.leg(venue, columns, 0, 2, 1, 0, 4, 1, 0)


def both_sides_of_a_leg_raised_without_charge(venue: Venue, columns: Cells) -> None:
    """p and m up by one: net is right, the short minimum is not."""
    venue_lab.leg(venue, columns, 0, 2, 1, 0, 0, 9, 9)


def groups_of_a_slot_differ(venue: Venue, columns: Cells) -> None:
    x, t = venue_lab.place(venue, 0, 0)
    columns[f"set {x.index} group"][t + venue.statement.templates[0].T] = 1


def digit_that_is_not_canonical(venue: Venue, columns: Cells) -> None:
    """2^k in the lowest digit and one less in the next: the integer is the same, a cell is out of range."""
    (low, row), (high, above) = venue_lab.cells(venue, 0, 0, "held 0")[:2]
    assert columns[high][above]
    columns[low][row] += 1 << venue.statement.k
    columns[high][above] -= 1


def totals_wrong(venue: Venue, columns: Cells) -> None:
    """One lot more held and one more owed: equity falls, the total is another."""
    for name in ("held 0", "owed 0"):
        venue_lab.put(venue, columns, 1, 0, name, venue_lab.value(venue, columns, 1, 0, name) + 1)
    missing = venue.statement.rules.short_value[0] - venue.statement.rules.long_value[0]
    venue_lab.put(venue, columns, 1, 0, "claim", venue_lab.value(venue, columns, 1, 0, "claim") - missing)


OUTRIGHT: tuple[Attack, ...] = (
    unhealthy_account,
    negative_slack,
    errors_that_cancel_between_accounts,
    errors_that_cancel_between_sets,
    errors_that_cancel_between_classes,
    the_rich_pay_for_the_poor,
    smaller_charge,
    instrument_outside_the_table,
    instrument_of_another_group,
    leg_in_a_block_without_account,
    digit_in_an_unread_cell,
    net_violated_in_one_instrument,
    net_violated_in_two_instruments,
    both_sides_of_a_leg_raised_without_charge,
    groups_of_a_slot_differ,
    digit_that_is_not_canonical,
    totals_wrong,
)


@pytest.mark.parametrize("attack", OUTRIGHT, ids=lambda attack: attack.__name__)
def test_v1_a_malicious_prover_is_refused(two: Venue, attack: Attack) -> None:
    columns = honest(two)
    before = {name: list(rows) for name, rows in columns.items()}
    attack(two, columns)
    assert columns != before, "the attack changed nothing"
    refused(two, forged(two, columns))


def test_the_unchecked_prover_is_accepted_when_it_is_honest(two: Venue) -> None:
    proof = forged(two, honest(two))
    assert verify_reference(two.statement, proof)
    verify_venue(two.statement, proof)


@pytest.mark.parametrize("marked", [0, 2])
def test_v1_a_wrong_number_of_exempt_accounts_is_refused(marked: int) -> None:
    venue = venue_lab.Venue(exempt=1)
    columns = honest(venue)
    big = venue.statement.templates[0].integers.big
    for a in range(3):
        now, then = venue_lab.value(venue, columns, 0, a, "exempt"), int(a < marked)
        venue_lab.put(venue, columns, 0, a, "exempt", then)
        venue_lab.put(venue, columns, 0, a, "not exempt", 1 - then)
        slack = venue_lab.value(venue, columns, 0, a, "claim")
        venue_lab.put(venue, columns, 0, a, "claim", slack + (then - now) * big)
    refused(venue, forged(venue, columns))


def test_v1_a_bit_of_two_is_refused() -> None:
    """u = 2, u' = -1: two exemptions in one account."""
    venue = venue_lab.Venue(exempt=2)
    columns = honest(venue)
    marked = [a for a in range(3) if venue_lab.value(venue, columns, 0, a, "exempt")]
    big = venue.statement.templates[0].integers.big
    for a, bit in zip(marked, (2, 0), strict=True):
        venue_lab.put(venue, columns, 0, a, "exempt", bit)
        venue_lab.put(venue, columns, 0, a, "not exempt", 1 - bit)
        venue_lab.put(venue, columns, 0, a, "claim", venue_lab.value(venue, columns, 0, a, "claim") + (bit - 1) * big)
    refused(venue, forged(venue, columns))


def test_v1_shortfalls_beyond_the_cap_are_refused() -> None:
    venue = venue_lab.Venue(cap=5)
    columns = honest(venue)
    venue_lab.put(venue, columns, 0, 0, "shortfall", 6)
    venue_lab.put(venue, columns, 0, 0, "claim", venue_lab.value(venue, columns, 0, 0, "claim") + 6)
    for value in (-1, 0):
        columns["extra digit 0"][0] = value % r
        refused(venue, forged(venue, columns))


@pytest.mark.parametrize("net", [(1, 0, 0, 0, 0), (0, 1, 0, 0, -1)])
def test_v1_books_that_hold_but_do_not_balance_are_refused(net: tuple[int, ...]) -> None:
    venue = venue_lab.Venue(net=net)
    columns = honest_despite_net(venue)
    refused(venue, forged_despite_net(venue, columns, Algebra))


@pytest.mark.parametrize("attack", ["duplicated", "exchanged", "shifted", "exchanged columns"])
def test_v1_moved_commitments_are_refused(two: Venue, attack: str) -> None:
    proof = two.reference().prove()
    big = [x for x in two.statement.sets if x.kind == 1]
    size = two.statement.templates[1].opened_columns
    first = two.statement.templates[0].opened_columns
    points = list(proof.columns.columns)
    one, other = (slice(first + x.local * size, first + (x.local + 1) * size) for x in big[:2])
    match attack:
        case "duplicated":
            points[other] = points[one]
        case "exchanged":
            points[one], points[other] = points[other], points[one]
        case "shifted":
            points = [*points[1:], points[0]]
        case _:
            points[one.start], points[one.start + 1] = points[one.start + 1], points[one.start]
    changed = replace(proof, columns=replace(proof.columns, columns=tuple(points)))
    refused(two, encode_venue_proof(changed, two.srs.digest))


def test_v1_invented_positions_of_a_dense_account_are_refused(with_dense: Venue) -> None:
    columns = honest(with_dense)
    columns["dense digit 0"][0] += 1
    refused(with_dense, forged(with_dense, columns))
