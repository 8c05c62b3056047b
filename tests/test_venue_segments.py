"""A snapshot of more instruments, or assets, than a column has rows: several segments of positions, balances and Q."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from support import lab, venue_lab
from support.typed import Keywords, Passed, Unchecked
from support.venue_forge import forged, honest, on_mutant, refused
from support.venue_lab import Account, Venue

from zkmargin.crypto.field import inverse
from zkmargin.engine.book import BookLots
from zkmargin.engine.margin import margin_report
from zkmargin.formats import ConstraintError
from zkmargin.prover.venue.algebra import Algebra, Rows
from zkmargin.prover.venue.reference import verify_reference
from zkmargin.prover.venue.rounds import prove_rounds
from zkmargin.verifier.venue.verify import verify_venue

#: Instruments of three segments of 15 rows, the last one not full, and assets of two.
COUNT, ASSETS = 38, 17


def rules(count: int = COUNT, bits: int = 4) -> Keywords:
    """Two groups that both reach through all segments, so that no segment is of one group alone."""
    return {
        "groups": tuple(i % 2 for i in range(count)),
        "risk": tuple((i % 7 - 3, (5 * i) % 11 - 5) for i in range(count)),
        "charges": tuple(i % 4 for i in range(count)),
        "marks": tuple(i % 3 for i in range(count)),
        "assets": tuple((10_000 + j, 10_000 + j, bits, j % 2 == 0) for j in range(ASSETS)),
        "bits": bits,
    }


def lots(**at: int) -> list[int]:
    """Positions by instrument, ``i14=3``."""
    return [at.get(f"i{i}", 0) for i in range(COUNT)]


def balances(**at: int) -> list[int]:
    return [at.get(f"a{j}", 0) for j in range(ASSETS)]


#: Books in the last row of a segment, the first of the next, and the last one.
BOOKS = [(lots(i0=1, i14=-2, i15=3, i37=-1), balances(a0=12, a16=9)), (lots(i14=2, i29=1, i30=-3), balances(a15=15))]
#: One slot of two legs in different segments, and one in the last.
SMALL: tuple[Account, ...] = (
    (((0, ((14, 2), (30, -1))), (1, ((37, 1), (15, -1)))), tuple(balances(a0=9, a16=15))),
    (((1, ((29, -1), (31, 1))),), tuple(balances(a16=15, a2=15))),
)


def venue_of(**options: Passed) -> Venue:
    shape = venue_lab.spec(accounts=2, charge_bits=12)
    given: Keywords = {"dense": BOOKS, "rules": rules()} | options
    return Venue([(shape, SMALL)], **given)


@pytest.fixture(scope="module")
def venue() -> Venue:
    """Small and large accounts over three segments of positions and two of balances."""
    return venue_of(totals=True, exempt=0)


def test_the_layout_has_every_segment(venue: Venue) -> None:
    statement = venue.statement
    assert (statement.segments, len(statement.aggregates)) == (3, 9)
    for y in statement.dense:
        assert (y.template.segments, y.template.balance_segments) == (3, 2)
    assert len(statement.committed_points()) == 2 * (3 + 2)


def test_both_verifiers_and_one_from_the_text_give_one_verdict(venue: Venue, tmp_path: Path) -> None:
    second: Unchecked = import_module("second_venue_verifier")
    proof = venue.prove()
    assert verify_reference(venue.statement, proof)
    accepted = verify_venue(venue.statement, proof)
    (tmp_path / "setup.srs").write_bytes(venue.srs.encoding)
    documents = (
        venue.snapshot.to_bytes(),
        venue.statement.terms.to_bytes(),
        [opening.commitment().to_bytes() for opening in venue.openings],
    )
    found = second.verify(*documents, proof, setup=tmp_path / "setup.srs")
    assert found == (accepted.statement_digest, accepted.proof_digest)


@pytest.mark.compiled
def test_both_provers_give_the_same_bytes() -> None:
    """70 instruments over columns of 64 rows."""
    books = [([*[0] * 62, 3, -2, *[0] * 5, 1], balances(a0=60, a1=9)), ([1, *[0] * 69], balances(a1=40))]
    accounts: list[Account] = [(((0, ((62, 1), (64, -2))),), tuple(balances(a0=30)))] * 3
    options: Keywords = {"n": 64, "srs": lab.known_tau(powers=200), "rules": rules(70, bits=6), "dense": books}
    venue = Venue([(venue_lab.spec(), accounts)], **options)
    assert venue.statement.segments == 2
    expected = venue.prove()
    found = prove_rounds(venue.statement, venue.witness(), venue_lab.blinders(), threads=2)
    assert venue.encode(found) == expected
    verify_venue(venue.statement, expected)


@pytest.mark.parametrize(("instrument", "mode"), [(14, "floor"), (15, "floor"), (37, "floor"), (30, "added")])
def test_one_unit_at_the_boundary_in_every_segment(instrument: int, mode: str) -> None:
    """A large account's only position stands in the last row, the first of the next segment, or the last of all; by
    groups, and by a circuit of its own.
    """
    positions = tuple(lots(**{f"i{instrument}": -3}))
    stated = {**rules(), "mode": mode}
    market = venue_lab.snapshot(**stated)

    def missing(held: int) -> int:
        return -margin_report(market, BookLots(positions, tuple(balances(a16=held)))).surplus

    least = next(held for held in range(1 << 4) if missing(held) <= 0)
    assert least > 0
    enough = Venue([], dense=[(positions, balances(a16=least))], rules=stated, net=False)
    assert (enough.statement.rules.policy is None) == (mode == "floor")
    verify_venue(enough.statement, enough.prove())
    with pytest.raises(ConstraintError, match="short by: dense account 0"):
        Venue([], dense=[(positions, balances(a16=least - 1))], rules=stated, net=False).prove()


# --- forgeries --------------------------------------------------------------------------------------------------


def test_v1_segments_of_a_commitment_exchanged_are_refused(venue: Venue) -> None:
    """The same points in another order are another book."""
    proof, statement = venue.prove(), venue.statement
    positions = next(part for part in statement.parts[0] if part.role == "positions")
    first, second, third = positions.points
    turned = positions.model_copy(update={"points": (second, first, third)})
    parts = (tuple(turned if part is positions else part for part in statement.parts[0]), *statement.parts[1:])
    other = venue_lab.with_parts(statement, *parts)
    assert not verify_reference(other, proof)
    columns = honest(venue)
    columns["dense 0 positions[0]"], columns["dense 0 positions[1]"] = (
        columns["dense 0 positions[1]"],
        columns["dense 0 positions[0]"],
    )
    refused(venue, forged(venue, columns))


def test_v1_a_position_moved_to_the_same_row_of_another_segment_is_refused(venue: Venue) -> None:
    y = venue.statement.dense[0]
    columns = honest(venue)
    for side in (0, 1):
        for d in range(y.template.position_digits):
            one, other = (f"dense digit {y.position_digit(s, side, d)}" for s in (0, 1))
            columns[one][0], columns[other][0] = columns[other][0], columns[one][0]
    refused(venue, forged(venue, columns))


def test_v2_a_table_by_rows_nets_instruments_of_two_segments() -> None:
    """w by the row instead of the instrument: a long in one segment is the other side of a short in the next."""

    class Mutant(Algebra):
        def table(self) -> list[Rows]:
            rows = super().table()
            for i, g in enumerate(self.rules.group_of):
                s, row = divmod(i, self.n - 1)
                rows[s][row] = inverse(self.ch["beta"] + row + self.ch["eta"] * g)
            return rows

    told = Venue([], dense=[(lots(i2=1, i17=-1), balances(a0=15))], rules={**rules(), "groups": (0,) * COUNT})
    witness = told.witness()
    flat = told.statement.terms.model_copy(update={"net": ("0",) * COUNT})  # neither long nor short
    told.statement = replace(told.statement, terms=flat)
    with pytest.raises(ConstraintError, match=r"net\[2\]"):
        told.witness()
    kind = type("Forger", (venue_lab.unchecked().ReferenceProver,), {"algebra_type": Mutant})
    columns = witness.columns(told.statement)
    prover = kind(told.statement, columns, witness.blinders, venue_lab.blinders("forger"))
    on_mutant(told, told.encode(prover.prove()), Mutant)
