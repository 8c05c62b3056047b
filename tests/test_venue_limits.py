"""Limits of a venue's classes: headroom beyond the requirement, exact at the boundary, in every prover and verifier."""

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
from support import lab, venue_lab
from support.typed import Passed
from support.venue_lab import Venue

from zkmargin.circuits.venue import headroom_of
from zkmargin.formats import ConstraintError, InputError, VerificationError
from zkmargin.prover.venue.blinders import SeededBlinders
from zkmargin.prover.venue.blocks import assess
from zkmargin.prover.venue.prove import inputs_digest, prove_venue
from zkmargin.prover.venue.reference import ReferenceProver
from zkmargin.verifier.venue.terms import VenueTerms
from zkmargin.verifier.venue.verify import verify_venue

GOLDEN = Path(__file__).parent / "data" / "golden" / "v2" / "venue-terms" / "limits.terms.json"
DENSE = ([1, -2, 3, 0, 0], [4000, 5])


def text(units: int) -> str:
    """A headroom of so many valuation units, in canonical text."""
    return f"headroom >= {Fraction(units, 10**13)}"


def least_surplus(venue: Venue) -> int:
    """By how much the poorest account of the first class exceeds its claim, valuation units rounded down."""
    template = venue.statement.templates[0]
    surplus: Passed = assess(template, venue.books[0]).surplus
    return int(min(surplus)) // int(template.options.den)


@pytest.fixture(scope="module")
def boundary() -> int:
    return least_surplus(venue_lab.Venue())


def limited(units: int, **options: Passed) -> Venue:
    return venue_lab.Venue([(venue_lab.spec(limits=(text(units),)), venue_lab.SMALL)], **options)


def test_a_class_is_proved_at_its_limit_and_not_one_unit_beyond(boundary: int) -> None:
    at = limited(boundary)
    assert least_surplus(at) == 0
    verify_venue(at.statement, at.prove())
    beyond = limited(boundary + 1)
    with pytest.raises(ConstraintError, match="1 account is under margin, 0 may be; short by: small"):
        beyond.witness()


def test_the_columns_of_another_limit_are_no_proof_of_this_one(boundary: int) -> None:
    """Whoever proves without the limit, or under a smaller one, is refused by a verifier who asks for it."""
    at, beyond = limited(boundary), limited(boundary + 1)
    prover = venue_lab.unchecked().ReferenceProver(
        beyond.statement, at.witness().columns(at.statement), {}, venue_lab.blinders("forger")
    )
    with pytest.raises(VerificationError):
        verify_venue(beyond.statement, beyond.encode(prover.prove()))
    with pytest.raises(VerificationError):
        verify_venue(beyond.statement, at.prove())


def test_limits_go_with_exemptions_and_a_cap(boundary: int) -> None:
    short = boundary + 7
    exempt = limited(short, exempt=1)
    verify_venue(exempt.statement, exempt.prove())
    capped = limited(short, cap=7)
    verify_venue(capped.statement, capped.prove())
    with pytest.raises(ConstraintError, match="more than the cap"):
        limited(short, cap=6).witness()


def test_a_large_account_has_limits_too() -> None:
    low, high = 0, 10**12
    while high - low > 1:  # the largest headroom that its book has
        middle = (low + high) // 2
        try:
            venue_lab.Venue(dense=[DENSE], dense_limits=(text(middle),)).witness()
            low = middle
        except ConstraintError:
            high = middle
    venue = venue_lab.Venue(dense=[DENSE], dense_limits=(text(low),))
    assert low > 0
    verify_venue(venue.statement, venue.prove())


@pytest.mark.compiled
def test_the_fast_prover_gives_the_reference_s_bytes(boundary: int) -> None:
    big = venue_lab.spec("big", accounts=70, legs=3, slots=1, block=2, claim="5/4", limits=(text(10**6),))
    accounts = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 70
    classes = [(venue_lab.spec(limits=(text(boundary),)), venue_lab.SMALL), (big, accounts)]
    srs = lab.known_tau(powers=200)
    venue = venue_lab.Venue(classes, n=64, srs=srs, rules={"bits": 6}, dense=[DENSE], dense_limits=(text(5),))
    witness = venue.witness()
    blinders = SeededBlinders(bytes(32), inputs_digest(venue.statement, witness))
    data, _ = prove_venue(venue.statement, witness, blinders=blinders)
    reference = ReferenceProver(venue.statement, witness.columns(venue.statement), witness.blinders, blinders)
    assert data == venue.encode(reference.prove())


def test_the_golden_terms_are_made_again_byte_for_byte() -> None:
    """ZKMARGIN_WRITE_GOLDEN=1 writes them anew."""
    made = limited(5).statement.terms.to_bytes()
    if os.environ.get("ZKMARGIN_WRITE_GOLDEN") == "1":
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        GOLDEN.write_bytes(made)
    assert GOLDEN.read_bytes() == made


def test_terms_say_limits_in_version_2_and_only_headroom() -> None:
    plain, terms = venue_lab.Venue().statement.terms, limited(5).statement.terms
    assert (plain.format, terms.format) == ("zkmargin/venue-terms/v1", "zkmargin/venue-terms/v2")
    assert VenueTerms.parse(terms.to_bytes()) == terms
    assert headroom_of(("headroom >= 1/3",), "1") == -(-(10**13) // 3)
    value = terms.to_json()
    for limits, claim, reason in (
        (["net-exposure U0 <= 5"], "1", "net-exposure: venue proofs have no such limit"),
        (["headroom >= 2/2"], "1", "not in canonical text"),
        (["headroom >= 1"], None, "a limit where nothing is claimed"),
        (["headroom >= 1", "headroom >= 2"], "1", "at most 1"),
    ):
        changed = {**value, "classes": [{**value["classes"][0], "limits": limits, "claim": claim}]}
        with pytest.raises(InputError, match=reason):
            VenueTerms.parse(json.dumps(changed))
    with pytest.raises(InputError, match="unknown key in version 1"):
        VenueTerms.parse(json.dumps(value | {"format": "zkmargin/venue-terms/v1"}))
