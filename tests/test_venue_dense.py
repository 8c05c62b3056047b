"""Dense accounts in one proof: packed cells that share columns, helpers that run on from one account to the next."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from support import venue_lab
from support.typed import Passed, Unchecked
from support.venue_forge import forged, on_mutant, refused
from support.venue_lab import SHARING, Cells, Venue, sharing

from zkmargin.crypto.field import r
from zkmargin.engine.margin import margin_report
from zkmargin.formats import ConstraintError, InputError, VerificationError
from zkmargin.prover.venue.algebra import Algebra, Rows
from zkmargin.prover.venue.dense import assess_dense, surpluses
from zkmargin.prover.venue.reference import verify_reference
from zkmargin.prover.venue.rounds import prove_rounds
from zkmargin.verifier.messages import POINT, SCALAR
from zkmargin.verifier.venue.proof import decode_venue_proof
from zkmargin.verifier.venue.statement import DenseSlot, Helper
from zkmargin.verifier.venue.verify import verify_venue


def test_cells_of_two_accounts_never_share_a_place() -> None:
    wide = Venue([], dense=[([a, -2, 3, 0, 0], [4000, 5]) for a in range(2)])
    for venue in (sharing(1), sharing(4), wide):
        statement = venue.statement
        places = []
        for y in statement.dense:
            own = range(y.first, y.first + y.template.position_columns)
            places += [(column, row) for column in own for row in range(statement.n)]
            mine = [y.cell(z) for z in range(y.template.cells)]
            if len({column for column, _ in mine}) > 1:  # only an account that no column holds
                assert y.template.cells > statement.n
                assert mine[0][1] == 0
            places += mine
        assert len(set(places)) == len(places)
        assert {column for column, _ in places} == set(range(statement.dense_columns))
    assert [y.cell(0) for y in sharing(4).statement.dense] == [(8, 0), (8, 9), (8, 18), (9, 0)]


@pytest.mark.compiled
@pytest.mark.parametrize("options", [{"cap": 10**6}, {"exempt": 2, "totals": True, "helper_group": 7}], ids=str)
def test_both_provers_give_the_same_bytes(options: Mapping[str, Passed]) -> None:
    venue = sharing(n=64, **options)
    expected = venue.prove()
    for threads in (1, 2):
        found = prove_rounds(venue.statement, venue.witness(), venue_lab.blinders(), threads=threads)
        assert venue.encode(found) == expected, threads
    verify_venue(venue.statement, expected)


@pytest.mark.parametrize("options", [{"totals": True, "exempt": 1}, {"net": False, "cap": 10**6}], ids=str)
def test_a_second_verifier_from_the_text_gives_one_verdict(options: Mapping[str, Passed], tmp_path: Path) -> None:
    second: Unchecked = import_module("second_venue_verifier")
    venue = sharing(**options)
    (tmp_path / "setup.srs").write_bytes(venue.srs.encoding)
    proof, other = venue.prove(), venue.prove(seed="another")
    documents = (
        venue.snapshot.to_bytes(),
        venue.statement.terms.to_bytes(),
        [opening.commitment().to_bytes() for opening in venue.openings],
    )
    accepted = verify_venue(venue.statement, proof)
    found = second.verify(*documents, proof, setup=tmp_path / "setup.srs")
    assert found == (accepted.statement_digest, accepted.proof_digest)
    if "cap" in options:
        return  # one layout shows that both refuse
    at = 44 + 48 * 8  # a packed column
    bad = proof[:at] + other[at : at + 48] + proof[at + 48 :]
    with pytest.raises(VerificationError):
        verify_venue(venue.statement, bad)
    with pytest.raises(second.Rejected):
        second.verify(*documents, bad, setup=tmp_path / "setup.srs")


def test_many_accounts_are_assessed_as_one_at_a_time() -> None:
    market = venue_lab.snapshot()
    draw = np.random.default_rng(4)
    books = [(draw.integers(-15, 16, 5).tolist(), [int(draw.integers(-4000, 4000)), 5]) for _ in range(12)]
    venue = Venue([], dense=books, market=market, net=False)
    found = surpluses(assess_dense(venue.statement, venue.dense))
    for y, book in enumerate(venue.dense):
        assert found[y] == margin_report(market, book).surplus


def test_one_lot_at_the_boundary_of_one_of_many_accounts() -> None:
    """Account 3 can lose 3 + 1 and is worth 1: three lots of collateral are enough."""
    for held, healthy in ((3, True), (2, False)):
        venue = Venue([], n=32, dense=[*SHARING[:3], ([-3, 1, 0], [held])], rules=venue_lab.one_scenario(32), net=False)
        if healthy:
            assert verify_reference(venue.statement, venue.prove())
            continue
        with pytest.raises(ConstraintError, match="dense account 3"):
            venue.prove()


def test_a_balance_that_its_cells_cannot_hold_names_its_account() -> None:
    venue = sharing()
    book = venue.dense[2]
    venue.dense[2] = type(book)(book.positions, (64,))
    with pytest.raises(InputError, match="dense account 2") as caught:
        venue.witness()
    assert "held 0" in str(caught.value)


def test_v3_every_element_of_a_proof_of_sharing_accounts_changed_is_refused() -> None:
    venue = sharing(3, exempt=1)
    proof, other = venue.prove(), venue.prove(seed="another")
    at, refusals = 44, 0
    for message in decode_venue_proof(proof, venue.statement).messages():
        for kind in (POINT, SCALAR):
            for _ in message.named(kind):
                bad = proof[:at] + other[at : at + kind.size] + proof[at + kind.size :]
                at, refusals = at + kind.size, refusals + 1
                with pytest.raises(VerificationError):
                    verify_venue(venue.statement, bad)
    assert (at, refusals) == (len(proof), 31)


# --- forgeries --------------------------------------------------------------------------------------------------


def add_to(venue: Venue, columns: Cells, y: DenseSlot, name: str, more: int) -> None:
    """Change an integer; what does not fit its digits goes into the lowest one."""
    number, k = y.template.integers.index(name), venue.statement.k
    start, digits = y.template.integers.starts[number], y.template.integers.bounded[number].digits
    where = [y.cell(start + d) for d in range(digits)]
    x = sum(columns[f"dense digit {c}"][row] << (k * d) for d, (c, row) in enumerate(where)) + more
    cut = [(x >> (k * d)) & ((1 << k) - 1) for d in range(digits)]
    cut[0] += x - sum(digit << (k * d) for d, digit in enumerate(cut))
    for (c, row), digit in zip(where, cut, strict=True):
        columns[f"dense digit {c}"][row] = digit % r


def the_rich_pay_for_the_poor(venue: Venue, columns: Cells) -> None:
    """In one packed column: account 0's claim is short by one unit, account 1's by one less."""
    for y, sign in zip(venue.statement.dense[:2], (1, -1), strict=True):
        add_to(venue, columns, y, "claim", sign)


def test_v2_under_one_power_of_gamma_accounts_of_a_packed_column_pay_for_each_other() -> None:
    class Mutant(Algebra):
        def account_weight(self, exponent: int) -> int:
            first: dict[int, int] = {}
            for y in self.statement.dense:
                first.setdefault(y.packed, y.account_exponent)
                if y.account_exponent == exponent:
                    return super().account_weight(first[y.packed])
            return super().account_weight(exponent)

    venue = sharing()
    columns = venue.witness().columns(venue.statement)
    the_rich_pay_for_the_poor(venue, columns)
    on_mutant(venue, forged(venue, columns, algebra=Mutant), Mutant)
    refused(venue, forged(venue, columns))


def test_v2_a_column_that_its_helper_forgets_is_out_of_range() -> None:
    """Helpers run on through all accounts' columns: one that stops before the last lets an account lose less."""

    class Mutant(Algebra):
        def _range(self, helper: Helper, column: Passed, number: Passed) -> Passed:
            last = helper.columns.stop == self.statement.dense_columns
            places = helper.columns[:-1] if last else helper.columns
            return super()._range(Helper(helper.name, helper.owner, places, False), column, number)

    class Forger(venue_lab.unchecked().ReferenceProver):  # type: ignore[misc]
        algebra_type = Mutant

        def multiplicities(self) -> None:
            forgotten = f"dense digit {self.statement.dense_columns - 1}"
            kept, self.on_H[forgotten] = self.on_H[forgotten], [1 << self.statement.k] * self.statement.n
            super().multiplicities()
            self.on_H[forgotten] = kept

        def fractions(self, helper: Helper, j: int, ch: Mapping[str, int]) -> Rows:
            if j == self.statement.dense_columns - 1:
                return [0] * self.statement.n
            found: Rows = super().fractions(helper, j, ch)
            return found

    venue = sharing(3)
    columns, first = venue.witness().columns(venue.statement), venue.statement.dense[0]
    for name, more in (("charge 0", -1), ("slack 0 0", -1), ("claim", venue.statement.rules.factor_bp)):
        add_to(venue, columns, first, name, more)
    assert any(x >> venue.statement.k for x in columns[f"dense digit {venue.statement.dense_columns - 1}"])
    prover = Forger(venue.statement, columns, venue.witness().blinders, venue_lab.blinders("forger"))
    proof = venue.encode(prover.prove())
    on_mutant(venue, proof, Mutant)
    refused(venue, forged(venue, columns))
