"""Malicious provers of venue proofs, and protocols with something left out (docs/protocol-venue.md section 5).

A *mutant* is a protocol in which an order or an equation is missing. Each forgery is accepted by its mutant's verifier,
so the attack is real, and refused by the product's.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import cast

import pytest
from support import venue_lab
from support.typed import Unchecked
from support.venue_lab import Cells, Venue

from zkmargin.circuits import venue as circuits
from zkmargin.circuits.venue import Term
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.crypto.transcript import Transcript
from zkmargin.formats import VerificationError
from zkmargin.prover.venue.algebra import Algebra, Element, Polynomial, Rows, Schedule
from zkmargin.prover.venue.reference import ReferenceProver, verify_reference
from zkmargin.prover.venue.witness import net_positions
from zkmargin.verifier.venue.proof import (
    Aggregates,
    Columns,
    Helpers,
    Openings,
    Quotient,
    Values,
    VenueProof,
    encode_venue_proof,
)
from zkmargin.verifier.venue.statement import PROTOCOL, ColumnSet, DenseSlot, Helper, VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms
from zkmargin.verifier.venue.verify import verify_venue

DENSE = ([1, -2, 3, 0, 0], [4000, 5])


#: Changes the columns of a venue.
Attack = Callable[[Venue, Cells], None]
#: Makes a dishonest prover of an honest one.
Extend = Callable[[Unchecked], Unchecked]


def refused(venue: Venue, proof: bytes) -> None:
    """The product's verifier and the reference's refuse it."""
    assert not verify_reference(venue.statement, proof)
    with pytest.raises(VerificationError):
        verify_venue(venue.statement, proof)


def forged(
    venue: Venue,
    columns: Cells,
    *,
    kind: Extend | None = None,
    algebra: type[Algebra] = Algebra,
    schedule: type[Schedule] = Schedule,
) -> bytes:
    """A proof by a prover that checks nothing, under a mutant's algebra and schedule."""
    base = kind(venue_lab.unchecked().ReferenceProver) if kind else venue_lab.unchecked().ReferenceProver
    prover_type = type("Forger", (base,), {"algebra_type": algebra, "schedule_type": schedule})
    witness = venue.witness()
    prover = prover_type(venue.statement, columns, witness.blinders, venue_lab.blinders("forger"))
    return encode_venue_proof(prover.prove(), venue.srs.digest)


def on_mutant(
    venue: Venue, proof: bytes, algebra: type[Algebra] = Algebra, schedule: type[Schedule] = Schedule
) -> None:
    """The mutant accepts, the product refuses."""
    assert verify_reference(venue.statement, proof, algebra_type=algebra, schedule_type=schedule)
    refused(venue, proof)


@pytest.fixture(scope="module")
def two() -> Venue:
    """Two classes: three accounts of two slots with two rows each; three sets of eight accounts of one slot."""
    big = venue_lab.spec("big", accounts=20, legs=3, slots=1, block=2)
    accounts = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 20
    return venue_lab.Venue([(venue_lab.spec(), venue_lab.SMALL), (big, accounts)], totals=True)


def honest(venue: Venue) -> Cells:
    """The columns of the honest witness."""
    return venue.witness().columns(venue.statement)


# --- malicious provers against the product ------------------------------------------------------------------------


def poor(venue: Venue, columns: Cells, kind: int = 0, a: int = 0, missing: int = 1) -> int:
    """Take balance away from an account, leave the rest as it was: the error of its claim."""
    held = venue_lab.value(venue, columns, kind, a, "held 0")
    venue_lab.put(venue, columns, kind, a, "held 0", held - missing)
    error: int = venue.statement.terms.options.den * venue.statement.rules.long_value[0] * missing
    return error


def unhealthy_account(venue: Venue, columns: Cells) -> None:
    poor(venue, columns)


def negative_slack(venue: Venue, columns: Cells) -> None:
    venue_lab.put(venue, columns, 0, 0, "claim", -1)


def errors_that_cancel_between_accounts(venue: Venue, columns: Cells) -> None:
    for a, sign in ((0, 1), (1, -1)):
        venue_lab.put(venue, columns, 0, a, "claim", venue_lab.value(venue, columns, 0, a, "claim") + sign)


def errors_that_cancel_between_sets(venue: Venue, columns: Cells) -> None:
    for a, sign in ((0, 1), (8, -1)):
        venue_lab.put(venue, columns, 1, a, "claim", venue_lab.value(venue, columns, 1, a, "claim") + sign)


def errors_that_cancel_between_classes(venue: Venue, columns: Cells) -> None:
    for kind, sign in ((0, 1), (1, -1)):
        venue_lab.put(venue, columns, kind, 0, "claim", venue_lab.value(venue, columns, kind, 0, "claim") + sign)


def the_rich_pay_for_the_poor(venue: Venue, columns: Cells) -> None:
    for a, sign in ((0, 1), (1, -1)):
        venue_lab.put(venue, columns, 0, a, "held 0", venue_lab.value(venue, columns, 0, a, "held 0") + sign)


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


@pytest.fixture(scope="module")
def with_dense() -> Venue:
    """One class and a dense account."""
    return venue_lab.Venue(dense=[DENSE])


def test_v1_invented_positions_of_a_dense_account_are_refused(with_dense: Venue) -> None:
    columns = honest(with_dense)
    columns["dense 0 digit 0"][0] += 1
    refused(with_dense, forged(with_dense, columns))


def invented(venue: Venue, columns: Cells) -> None:
    """Balances that are not committed: held up by one, the claim's slack with it."""
    template = venue.statement.dense[0].template
    for name, more in (("held 1", 1), ("claim", venue.statement.rules.long_value[1])):
        number, k = template.integers.index(name), venue.statement.k
        start, digits = template.integers.starts[number], template.integers.bounded[number].digits
        where = [(template.packed_offset + z // 16, z % 16) for z in range(start, start + digits)]
        x = sum(columns[f"dense 0 digit {c}"][row] << (k * d) for d, (c, row) in enumerate(where)) + more
        for d, (c, row) in enumerate(where):
            columns[f"dense 0 digit {c}"][row] = (x >> (k * d)) & ((1 << k) - 1)


# --- mutants: something is left out -----------------------------------------------------------------------------


def test_v2_without_gamma_the_rich_pay_for_the_poor(two: Venue) -> None:
    class Mutant(Algebra):
        def slot_weight(self, exponent: int) -> int:  # noqa: ARG002
            return 1

        account_weight = slot_weight

    columns = honest(two)
    the_rich_pay_for_the_poor(two, columns)
    on_mutant(two, forged(two, columns, algebra=Mutant), Mutant)


def test_v2_without_offsets_between_sets_the_rich_pay_for_the_poor(two: Venue) -> None:
    class Mutant(Algebra):
        def block_weights(self, x: ColumnSet) -> tuple[Rows, Rows]:
            return super().block_weights(replace(x, slot_exponent=0, account_exponent=0))

        def set_rows(self, x: ColumnSet) -> dict[str, Rows]:
            return super().set_rows(replace(x, slot_exponent=0, account_exponent=0))

    columns = honest(two)
    errors_that_cancel_between_sets(two, columns)
    on_mutant(two, forged(two, columns, algebra=Mutant), Mutant)


def test_v2_with_products_for_offsets_classes_collide() -> None:
    """Set number times T: account 12 of the second class has the power of account 4 of set 3 of the first."""

    class Mutant(Algebra):
        def moved(self, x: ColumnSet) -> ColumnSet:
            template = self.statement.templates[x.kind]
            return replace(
                x, slot_exponent=x.index * template.T * template.spec.slots, account_exponent=x.index * template.T
            )

        def block_weights(self, x: ColumnSet) -> tuple[Rows, Rows]:
            return super().block_weights(self.moved(x))

        def set_rows(self, x: ColumnSet) -> dict[str, Rows]:
            return super().set_rows(self.moved(x))

    wide = venue_lab.spec("wide", accounts=24, legs=2, slots=1, block=2)
    tall = venue_lab.spec("tall", accounts=4, legs=2, slots=1, block=4)
    book = (((0, ((0, 1),)),), (3000, 4))
    venue = venue_lab.Venue([(wide, [book] * 24), (tall, [book] * 4)])
    # set 3 of 4 blocks starts at 12, in set 1 of 8 blocks that is account 12 (block 4)
    columns = honest(venue)
    for kind, a, sign in ((0, 12, 1), (1, 0, -1)):
        slack = venue_lab.value(venue, columns, kind, a, "claim")
        venue_lab.put(venue, columns, kind, a, "claim", slack + sign)
    on_mutant(venue, forged(venue, columns, algebra=Mutant), Mutant)


def test_v2_without_the_unread_cells_a_hidden_leg_repairs_net_positions() -> None:
    class Mutant(Algebra):
        def set_rows(self, x: ColumnSet) -> dict[str, Rows]:
            rows, unused = super().set_rows(x), self.rho(self.e.unused)
            read = self.statement.templates[x.kind].read_cells
            T = self.statement.templates[x.kind].T
            for column in range(len(read)):
                name = f"set {x.index} digit {column}"
                rows[name] = [
                    (value - unused) % r if row % T >= x.used or not read[column, row // T] else value
                    for row, value in enumerate(rows[name])
                ]
            return rows

    shape = venue_lab.spec(accounts=2, slots=3, block=4)
    venue = venue_lab.Venue([(shape, venue_lab.SMALL[:2])], net=(0, 0, 0, 0, 0))
    real = honest_despite_net(venue)
    net: list[int] = [0] * 5
    for mine in venue.books:
        for i, lots in zip(mine.instruments.reshape(-1).tolist(), mine.lots.reshape(-1).tolist(), strict=True):
            net[i] += lots
    assert any(net)
    hidden = [(i, -q) for i, q in enumerate(net) if q]
    for (a, l), (i, q) in zip([(0, 0), (0, 1), (1, 0), (1, 1)], hidden, strict=False):
        venue_lab.leg(venue, real, 0, a, 3, l, i, max(q, 0), max(-q, 0), 0 if i in (0, 1, 4) else 1)
    on_mutant(venue, forged_despite_net(venue, real, Mutant), Mutant)


def honest_despite_net(venue: Venue) -> Cells:
    """The columns of books that do not sum to the stated net."""
    true = net_positions(venue.statement, venue.books)
    terms = venue.statement.terms.model_copy(update={"net": tuple(map(str, true))})
    stated, venue.statement = venue.statement, replace_terms(venue.statement, terms)
    try:
        return honest(venue)
    finally:
        venue.statement = stated


def replace_terms(statement: VenueStatement, terms: VenueTerms) -> VenueStatement:
    """The statement with other terms."""
    return type(statement)(
        statement.srs,
        statement.snapshot,
        statement.rules,
        terms,
        statement.position_bits,
        statement.parts,
        statement.context,
    )


def forged_despite_net(
    venue: Venue, columns: Cells, algebra: type[Algebra], schedule: type[Schedule] = Schedule
) -> bytes:
    """As ``forged``, for a venue without dense accounts whose witness has no stated net."""
    base = venue_lab.unchecked().ReferenceProver
    kind = type("Forger", (base,), {"algebra_type": algebra, "schedule_type": schedule})
    prover = kind(venue.statement, columns, {}, venue_lab.blinders("forger"))
    return encode_venue_proof(prover.prove(), venue.srs.digest)


def netted(venue: Venue, columns: Cells, c: int | None = None, move: Callable[[int], int] = lambda i: i) -> None:
    """Account 0 nets groups: its leg (2, +5) of group 1 moves into row 1 of slot 0, charges follow; slot 1 is empty.

    ``move`` says which element the leg shows for its instrument, ``c`` the group of the row.
    """
    rules = venue.statement.rules
    venue_lab.leg(venue, columns, 0, 0, 0, 0, 0, 3, 0)
    venue_lab.leg(venue, columns, 0, 0, 1, 0, move(2), 5, 0, c)
    for b in (2, 3):
        venue_lab.leg(venue, columns, 0, 0, b, 0, 0, 0, 0)
    book = {0: 3, 1: -2, 2: 5}
    if venue.statement.templates[0].V == 2 and venue.statement.templates[0].row_legs == 1:
        book = {0: 3, 2: 5}
    losses = [-sum(q * int(rules.risk[i, j]) for i, q in book.items()) for j in range(3)]
    assert rules.minimum is not None
    losses.append(sum(max(-q, 0) * int(rules.minimum[i]) for i, q in book.items()))
    charge = max(0, *losses)
    for name, x in zip(
        ["charge 0", *(f"slack 0 {j}" for j in range(3)), "slack 0 minimum"],
        [charge, *(charge - loss for loss in losses)],
        strict=True,
    ):
        venue_lab.put(venue, columns, 0, 0, name, x)
    for name in ["charge 1", *(f"slack 1 {j}" for j in range(3)), "slack 1 minimum"]:
        venue_lab.put(venue, columns, 0, 0, name, 0)
    equity = sum(10_000 * q * int(rules.marks[i]) for i, q in book.items())
    held = [venue_lab.value(venue, columns, 0, 0, f"held {j}") for j in range(2)]
    equity += sum(x * v for x, v in zip(held, rules.long_value, strict=True))
    venue_lab.put(venue, columns, 0, 0, "claim", equity - rules.factor_bp * charge)


@pytest.fixture
def slots() -> Venue:
    """Two accounts of two slots with two rows of one leg; nothing is said about net positions."""
    shape = venue_lab.spec(accounts=2, legs=2, slots=2, block=4)
    return venue_lab.Venue([(shape, venue_lab.SMALL[:2])], net=False)


def test_v2_without_eta_groups_are_netted(slots: Venue) -> None:
    class Mutant(Schedule):
        def message2(self, message: Aggregates) -> None:
            super().message2(message)
            self.challenges["eta"] = 0

    columns = honest(slots)
    netted(slots, columns)
    on_mutant(slots, forged(slots, columns, schedule=Mutant), schedule=Mutant)


def test_v2_without_copies_groups_are_netted(slots: Venue) -> None:
    class Mutant(Algebra):
        def set_rows(self, x: ColumnSet) -> dict[str, Rows]:
            rows = super().set_rows(x)
            return rows | {f"set {x.index} group": [0] * self.n}

    columns = honest(slots)
    netted(slots, columns, c=1)
    on_mutant(slots, forged(slots, columns, algebra=Mutant), Mutant)


def test_v2_with_one_power_for_all_copies_groups_are_netted() -> None:
    """c is 0 in row 0, 1 in row 1 and -1 in the empty row 2: the sum of differences is 0."""

    class Exponents:
        def __init__(self, real: circuits.Exponents) -> None:
            self.real = real

        def copy(self, _v: int) -> int:
            return self.real.copy(1)

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    class Mutant(Algebra):
        def __init__(self, statement: VenueStatement, challenges: dict[str, int]) -> None:
            super().__init__(statement, challenges)
            self.e = cast("circuits.Exponents", Exponents(self.e))

    shape = venue_lab.spec(accounts=1, legs=4, slots=2, block=8)
    venue = venue_lab.Venue([(shape, [venue_lab.SMALL[0]])], net=False)
    columns = honest(venue)
    template = venue.statement.templates[0]
    assert (template.V, template.row_legs) == (4, 1)
    for b in range(8):
        venue_lab.leg(venue, columns, 0, 0, b, 0, 0, 0, 0)
    rules, book = venue.statement.rules, {0: 3, 2: 5}
    for b, (i, c) in enumerate(((0, 0), (2, 1), (0, -1), (0, 0))):
        q = book[i] if b < 2 else 0
        venue_lab.leg(venue, columns, 0, 0, b, 0, i, q, 0, c)
    losses = [-sum(q * int(rules.risk[i, j]) for i, q in book.items()) for j in range(3)] + [0]
    charge = max(0, *losses)
    for s, top, all_losses in ((0, charge, losses), (1, 0, [0] * 4)):
        venue_lab.put(venue, columns, 0, 0, f"charge {s}", top)
        for j, loss in enumerate(all_losses):
            venue_lab.put(venue, columns, 0, 0, f"slack {s} {'minimum' if j == 3 else j}", top - loss)
    held = [venue_lab.value(venue, columns, 0, 0, f"held {j}") for j in range(2)]
    equity = sum(10_000 * q * int(rules.marks[i]) for i, q in book.items())
    equity += sum(x * v for x, v in zip(held, rules.long_value, strict=True))
    venue_lab.put(venue, columns, 0, 0, "claim", equity - rules.factor_bp * charge)
    on_mutant(venue, forged(venue, columns, algebra=Mutant), Mutant)


def test_v2_a_cap_that_shares_the_power_of_the_claim_pays_for_an_account() -> None:
    """gamma^0 of account 0 and the plain sum are one: its claim may fail by what the cap's slack has too much."""

    class Exponents:
        def __init__(self, real: circuits.Exponents) -> None:
            self.real = real

        @property
        def cap(self) -> int:
            return self.real.claim

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    class Mutant(Algebra):
        def __init__(self, statement: VenueStatement, challenges: dict[str, int]) -> None:
            super().__init__(statement, challenges)
            self.e = cast("circuits.Exponents", Exponents(self.e))

        def term_weight(self, term: Term, slot_exponent: int, account_exponent: int) -> int:
            if term.exponent == self.statement.exponents.cap:
                term = replace(term, exponent=self.e.claim)
            return super().term_weight(term, slot_exponent, account_exponent)

    venue = venue_lab.Venue(cap=5)
    columns = honest(venue)
    venue_lab.put(venue, columns, 0, 0, "claim", venue_lab.value(venue, columns, 0, 0, "claim") + 7)
    columns["extra digit 0"][0] += 7
    on_mutant(venue, forged(venue, columns, algebra=Mutant), Mutant)


def test_v2_a_helper_that_is_not_enforced_on_one_row_lets_digits_out_of_range(slots: Venue) -> None:
    """The last range helper has one column, so that the selector of a row does not make T longer."""

    def last(statement: VenueStatement) -> int:
        return [j for j, h in enumerate(statement.helpers) if not h.weighted][-1]

    class Mutant(Algebra):
        def public_values(self) -> dict[str, Rows]:
            return super().public_values() | {"enforced": [0] + [1] * (self.n - 1)}

        def right_side(
            self,
            column: Mapping[str, Element],
            phi_shifted: Element,
            public: Mapping[str, Element],
            number: Callable[[int], Element],
        ) -> Element:
            side, j = super().right_side(column, phi_shifted, public, number), last(self.statement)
            row = self._range(self.statement.helpers[j], column, number)
            return side + number(pow(self.ch["chi"], j + 1, r)) * (public["enforced"] - number(1)) * row

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            def helpers(self) -> None:
                super().helpers()
                name = self.statement.helpers[last(self.statement)].name
                e = total_error(self) * inverse(self.algebra.rho(self.algebra.e.range))
                self.on_H[name][0] = (self.on_H[name][0] + e) % r
                self.commit(name, 1)

        return Forger

    assert len(slots.statement.helpers[last(slots.statement)].columns) < slots.statement.g
    columns = honest(slots)
    negative_slack_of_the_poor(slots, columns)
    on_mutant(slots, forged(slots, columns, kind=kind, algebra=Mutant), Mutant)


def test_v2_with_a_table_beyond_the_instruments_positions_are_in_nothing(slots: Venue) -> None:
    class Mutant(Algebra):
        def table(self) -> list[Rows]:
            rows = super().table()
            for i in range(self.rules.instruments, self.n):
                rows[0][i] = inverse(self.ch["beta"] + i)
            return rows

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            def aggregates(self) -> None:
                super().aggregates()
                slot, account = self.algebra.block_weights(self.statement.sets[0])
                self.on_H["Qp 0"][9] = 7 * slot[0] % r
                self.on_H["Qc 0"][9] = 7 * account[0] % r
                for name in ("Qp 0", "Qc 0"):
                    self.commit(name, 1)

        return Forger

    columns = honest(slots)
    x, t = venue_lab.place(slots, 0, 0)
    venue_lab.leg(slots, columns, 0, 0, 0, 0, 9, 7, 0)
    # what stood there, 3 lots of instrument 0, is gone: work the account out again without it
    rework(slots, columns, {1: -2})
    assert (x.index, t) == (0, 0)
    on_mutant(slots, forged(slots, columns, kind=kind, algebra=Mutant), Mutant)


def rework(venue: Venue, columns: Cells, book: dict[int, int]) -> None:
    """Charge, slacks and claim of slot 0 of account 0 for another book in it."""
    rules = venue.statement.rules
    losses = [-sum(q * int(rules.risk[i, j]) for i, q in book.items()) for j in range(3)]
    assert rules.minimum is not None
    losses.append(sum(max(-q, 0) * int(rules.minimum[i]) for i, q in book.items()))
    before, after = venue_lab.value(venue, columns, 0, 0, "charge 0"), max(0, *losses)
    venue_lab.put(venue, columns, 0, 0, "charge 0", after)
    for j, loss in enumerate(losses):
        venue_lab.put(venue, columns, 0, 0, f"slack 0 {'minimum' if j == 3 else j}", after - loss)
    old = {0: 3, 1: -2}
    value = sum(10_000 * int(rules.marks[i]) * (book.get(i, 0) - old.get(i, 0)) for i in {*book, *old})
    slack = venue_lab.value(venue, columns, 0, 0, "claim") + value - rules.factor_bp * (after - before)
    assert slack >= 0
    venue_lab.put(venue, columns, 0, 0, "claim", slack)


def test_v2_without_the_balance_equation_balances_of_dense_accounts_are_invented(with_dense: Venue) -> None:
    class Mutant(Algebra):
        def dense_rows(self, y: DenseSlot) -> dict[str, Rows]:
            def rho(exponent: int) -> int:
                left_out = exponent >= self.e.balance(0) and exponent < self.e.range
                return 0 if left_out else Algebra.rho(self, exponent)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(self, "rho", rho)
                return super().dense_rows(y)

    columns = honest(with_dense)
    invented(with_dense, columns)
    on_mutant(with_dense, forged(with_dense, columns, algebra=Mutant), Mutant)


@pytest.mark.parametrize("role", ["positions", "collateral"])
def test_v2_without_selectors_dense_accounts_hide_slots_in_unlisted_rows(with_dense: Venue, role: str) -> None:
    """The commitment itself is made with a hidden entry: a statement of its own."""

    class Mutant(Algebra):
        def public_values(self) -> dict[str, Rows]:
            found = super().public_values()
            return {name: [0] * self.n if name.startswith("sel") else rows for name, rows in found.items()}

    columns = honest(with_dense)
    columns[f"dense 0 {role}[0]"][9] = 1
    if role == "positions":
        columns["dense 0 digit 0"][9] = 1
    blinder = with_dense.witness().blinders[f"dense 0 {role}[0]"]
    prover = venue_lab.unchecked().ReferenceProver(with_dense.statement, columns, {f"dense 0 {role}[0]": blinder}, None)
    point = prover.encoded(prover.column[f"dense 0 {role}[0]"]).hex()
    parts = tuple(
        part.model_copy(update={"points": (point,)}) if part.role == role else part
        for part in with_dense.statement.parts[0]
    )
    stated, statement = with_dense.statement, with_dense.statement
    other = type(statement)(
        statement.srs,
        statement.snapshot,
        statement.rules,
        statement.terms,
        statement.position_bits,
        (parts,),
        statement.context,
    )
    witness = with_dense.witness()
    with_dense.statement = other
    try:
        base = venue_lab.unchecked().ReferenceProver
        kind = type("Forger", (base,), {"algebra_type": Mutant})
        proof = kind(other, columns, witness.blinders, venue_lab.blinders("forger")).prove()
        on_mutant(with_dense, encode_venue_proof(proof, with_dense.srs.digest), Mutant)
    finally:
        with_dense.statement = stated


# --- mutants: another order -------------------------------------------------------------------------------------


class Planned(Schedule):
    """A schedule that draws each challenge after the message that ``plan`` says; mu may come with message 2."""

    plan: dict[int, tuple[str, ...]] = {}  # noqa: RUF012
    late_mu = False

    def __init__(self, statement: VenueStatement) -> None:
        self.statement, self.challenges = statement, {}
        self.bytes = Transcript(PROTOCOL)
        for label, data in self.public(statement):
            self.bytes.append(label, data)
        self.mu = b""
        self.draw(0)

    def public(self, statement: VenueStatement) -> Iterable[tuple[str, bytes]]:
        return statement.public_messages()

    def draw(self, message: int) -> None:
        usual = {1: ("gamma",), 2: ("beta", "delta", "eta", "rho"), 3: ("chi",), 4: ("zeta",), 5: ("v",), 6: ("y",)}
        for name in {**usual, **self.plan}.get(message, ()):
            self.challenges[name] = self.bytes.challenge(name)

    def message1(self, message: Columns) -> None:
        if self.late_mu:
            self.mu = b"".join(message.mu)
            message = replace(message, mu=())
        message.absorb_with(self.bytes, message.leaves(self.statement))
        self.draw(1)

    def message2(self, message: Aggregates) -> None:
        self.bytes.append("mu", self.mu)
        message.absorb(self.bytes)
        self.draw(2)

    def message3(self, message: Helpers) -> None:
        message.absorb(self.bytes)
        self.draw(3)

    def message4(self, message: Quotient) -> None:
        message.absorb(self.bytes)
        self.draw(4)

    def message5(self, message: Values) -> None:
        message.absorb(self.bytes)
        self.draw(5)

    def message6(self, message: Openings) -> None:
        message.absorb(self.bytes)
        self.draw(6)


def total_error(prover: ReferenceProver) -> int:
    """How far the running sum is from closing."""
    public = prover.algebra.public_values()
    total = 0
    for name, rows in public.items():
        if name.startswith("U "):
            column = prover.on_H[name.removeprefix("U ")]
            total += sum(a * b for a, b in zip(rows, column, strict=True))
    for helper in prover.statement.helpers:
        weight = prover.algebra.rho(prover.algebra.e.weighted if helper.weighted else prover.algebra.e.range)
        total += weight * sum(prover.on_H[helper.name])
    error: int = (prover.algebra.sigma() - total) % r
    return error


def test_v2_aggregated_books_after_their_challenges_satisfy_anything(two: Venue) -> None:
    class Mutant(Planned):
        plan = {1: ("gamma", "beta", "delta", "eta", "rho"), 2: ()}  # noqa: RUF012

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            points: dict[str, bytes]

            def aggregates(self) -> None:
                super().aggregates()
                helper_values = dict(self.points)
                self.helpers()  # known already: they depend on columns and challenges only
                error = total_error(self)
                U = self.algebra.public_values()["U Qc 0"][1]
                self.on_H["Qc 0"][1] = (self.on_H["Qc 0"][1] + error * inverse(U)) % r
                self.points = helper_values
                self.commit("Qc 0", 1)

        return Forger

    columns = honest(two)
    poor(two, columns, missing=4000)
    on_mutant(two, forged(two, columns, kind=kind, schedule=Mutant), schedule=Mutant)


def test_v2_aggregated_books_after_delta_are_traded_against_each_other(slots: Venue) -> None:
    class Mutant(Planned):
        plan = {1: ("gamma", "delta"), 2: ("beta", "eta", "rho")}  # noqa: RUF012

    columns = honest(slots)
    error = poor(slots, columns, missing=4000)

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            def aggregates(self) -> None:
                super().aggregates()
                rules, N, d = self.statement.rules, self.statement.rules.instruments, self.schedule.challenges["delta"]
                rows, right = [], []
                for i in range(N):  # the combination that the lookup sees stays as it is
                    row = [0] * (3 * N)
                    row[i], row[N + i], row[2 * N + i] = 1, d, d * d % r
                    rows.append(row)
                    right.append(0)
                for j in range(rules.scenario_columns):
                    gains = [int(x) % r for x in rules.risk[:, j]]
                    rows.append([*gains, *(-x % r for x in gains), *[0] * N])
                    right.append(0)
                rows.append([0] * N + [int(x) for x in rules.minimum] + [0] * N)
                right.append(0)
                rows.append([0] * (2 * N) + [10_000 * int(x) for x in rules.marks])
                right.append(error * self.algebra.account_weight(0) % r)
                change = venue_lab.solve(rows, right)
                for name, at in (("Qp 0", 0), ("Qm 0", N), ("Qc 0", 2 * N)):
                    for i in range(N):
                        self.on_H[name][i] = (self.on_H[name][i] + change[at + i]) % r
                    self.commit(name, 1)

        return Forger

    on_mutant(slots, forged(slots, columns, kind=kind, schedule=Mutant), schedule=Mutant)


def test_v2_multiplicities_after_beta_let_digits_out_of_range(slots: Venue) -> None:
    class Mutant(Planned):
        plan = {1: ("gamma", "beta"), 2: ("delta", "eta", "rho")}  # noqa: RUF012
        late_mu = True

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            def aggregates(self) -> None:
                beta = self.schedule.challenges["beta"]
                helpers = [h for h in self.statement.helpers if not h.weighted]
                total = sum(sum(self.fractions(h, j, {"beta": beta})) for h in helpers for j in h.columns)
                n = self.statement.n
                have = sum(
                    c * inverse(beta + m * n + i)
                    for m in range(self.statement.tables)
                    for i, c in enumerate(self.on_H[f"mu {m}"])
                )
                self.on_H["mu 0"][0] = (self.on_H["mu 0"][0] + (total - have) * beta) % r
                self.commit("mu 0", 1)
                self.schedule.mu = b"".join(self.points[f"mu {m}"] for m in range(self.statement.tables))
                super().aggregates()

            def prove(self) -> VenueProof:
                proof: VenueProof = super().prove()
                mu = tuple(self.points[f"mu {m}"] for m in range(self.statement.tables))
                return replace(proof, columns=replace(proof.columns, mu=mu))

        return Forger

    columns = honest(slots)
    negative_slack_of_the_poor(slots, columns)
    on_mutant(slots, forged(slots, columns, kind=kind, schedule=Mutant), schedule=Mutant)


def test_v2_eta_before_instruments_lets_a_leg_into_another_group(slots: Venue) -> None:
    class Mutant(Planned):
        plan = {0: ("eta",), 2: ("beta", "delta", "rho")}  # noqa: RUF012

    eta = Mutant(slots.statement).challenges["eta"]

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            def legs(self, x: ColumnSet, l: int) -> list[tuple[int, int, int]]:
                return [(2 if i == (2 + eta) % r else i, p, m) for i, p, m in super().legs(x, l)]

        return Forger

    columns = honest(slots)
    netted(slots, columns, move=lambda i: i + eta)  # its slot is of group 0, the instrument of group 1
    on_mutant(slots, forged(slots, columns, kind=kind, schedule=Mutant), schedule=Mutant)


def test_v2_gamma_before_groups_lets_an_empty_slot_pay_for_a_mixed_one(slots: Venue) -> None:
    class Mutant(Planned):
        plan = {0: ("gamma",), 1: ()}  # noqa: RUF012

    gamma = Mutant(slots.statement).challenges["gamma"]
    columns = honest(slots)
    netted(slots, columns, c=1)
    # copies: gamma^0 (1 - 0) + gamma^1 (c' - c) = 0 in the empty slot 1 of the same account
    T = slots.statement.templates[0].T
    columns["set 0 group"][3 * T] = (columns["set 0 group"][2 * T] - inverse(gamma)) % r
    on_mutant(slots, forged(slots, columns, schedule=Mutant), schedule=Mutant)


def traded(first: int, second: int, weights: Callable[[dict[str, int]], tuple[int, int]]) -> Extend:
    """Two range helpers whose identities fail on row 0 by errors that cancel, so that their sum is what it must be."""

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            def helpers(self) -> None:
                super().helpers()
                one, other = (self.statement.helpers[j] for j in (first, second))
                products = [self.product_at(h) for h in (one, other)]
                a, b = weights(self.schedule.challenges)
                # errors e and e' of the identities with a e + b e' = 0; helpers move by e / product
                effect = (inverse(products[0]) - a * inverse(b) % r * inverse(products[1])) % r
                e = total_error(self) * inverse(effect * self.algebra.rho(self.algebra.e.range)) % r
                self.on_H[one.name][0] = (self.on_H[one.name][0] + e * inverse(products[0])) % r
                self.on_H[other.name][0] = (self.on_H[other.name][0] - a * inverse(b) * e * inverse(products[1])) % r
                for h in (one, other):
                    self.commit(h.name, 1)

            def product_at(self, helper: Helper) -> int:
                product = 1
                for j in helper.columns:
                    product = (
                        product * (self.schedule.challenges["beta"] + self.on_H[f"{helper.owner} digit {j}"][0]) % r
                    )
                return product

        return Forger

    return kind


def test_v2_helpers_after_chi_let_digits_out_of_range(slots: Venue) -> None:
    class Mutant(Planned):
        plan = {2: ("beta", "delta", "eta", "rho", "chi"), 3: ()}  # noqa: RUF012

    columns = honest(slots)
    negative_slack_of_the_poor(slots, columns)
    kind = traded(0, 1, lambda ch: (ch["chi"], ch["chi"] * ch["chi"] % r))
    on_mutant(slots, forged(slots, columns, kind=kind, schedule=Mutant), schedule=Mutant)


def negative_slack_of_the_poor(venue: Venue, columns: Cells) -> None:
    missing = poor(venue, columns, missing=4000)
    slack = venue_lab.value(venue, columns, 0, 0, "claim")
    assert slack < missing
    venue_lab.put(venue, columns, 0, 0, "claim", slack - missing)


def test_v2_one_power_of_chi_for_two_helpers_lets_digits_out_of_range(slots: Venue) -> None:
    class Mutant(Algebra):
        def right_side(
            self,
            column: Mapping[str, Element],
            phi_shifted: Element,
            public: Mapping[str, Element],
            number: Callable[[int], Element],
        ) -> Element:
            side = super().right_side(column, phi_shifted, public, number)
            helper = self.statement.helpers[1]
            one, two_ = powers(self.ch["chi"], 3)[1:]
            return side + number(one - two_) * self._range(helper, column, number)

    columns = honest(slots)
    negative_slack_of_the_poor(slots, columns)
    on_mutant(slots, forged(slots, columns, kind=traded(0, 1, lambda _: (1, 1)), algebra=Mutant), algebra=Mutant)


def test_v2_commitments_that_are_not_absorbed_are_chosen_afterwards(with_dense: Venue) -> None:
    """A dense account's positions are chosen when zeta is known, so that a false identity opens to 0."""

    class Mutant(Planned):
        def public(self, statement: VenueStatement) -> list[tuple[str, bytes]]:
            return [m for m in statement.public_messages() if m[0] not in ("part", "parts", "terms")]

    columns = honest(with_dense)
    poor(with_dense, columns, missing=4000)
    base = venue_lab.unchecked().ReferenceProver
    name = "dense 0 positions[0]"
    witness = with_dense.witness()

    class Forger(base):  # type: ignore[misc, valid-type]
        algebra_type, schedule_type = Algebra, Mutant

        def openings(self, sent: Values) -> Openings:
            ch, number = self.schedule.challenges, Polynomial.number
            values = dict(zip(self.statement.opened, sent.f, strict=True))
            fixed = self.column | {key: number(x) for key, x in values.items()}
            public = {key: number(p.at(ch["zeta"])) for key, p in self.public_polynomials.items()}
            linearised = venue_lab.unchecked().linearised
            at = [
                linearised(
                    self.algebra, {**fixed, name: fixed[name] + number(x)}, number(sent.phi_shifted), public, number
                ).at(ch["zeta"])
                for x in (0, 1)
            ]
            self.column[name] = self.column[name] + number(-at[0] * inverse(at[1] - at[0]))
            opened: Openings = super().openings(sent)
            return opened

    prover = Forger(with_dense.statement, columns, witness.blinders, venue_lab.blinders("forger"))
    proof = encode_venue_proof(prover.prove(), with_dense.srs.digest)
    statement = with_dense.statement
    point = prover.encoded(prover.column[name]).hex()
    parts = tuple(
        part.model_copy(update={"points": (point,)}) if part.role == "positions" else part
        for part in statement.parts[0]
    )
    other = type(statement)(
        statement.srs, statement.snapshot, statement.rules, statement.terms, statement.position_bits, (parts,)
    )
    with_dense.statement = other
    try:
        on_mutant(with_dense, proof, schedule=Mutant)
    finally:
        with_dense.statement = statement


def test_v2_one_power_of_v_for_two_columns_lets_values_be_traded(slots: Venue) -> None:
    """The identity is false, but at zeta it is repaired by two values that move against each other."""
    statement = slots.statement
    first = statement.opened.index("set 0 digit 4")
    second = next(
        statement.opened.index(f"set 0 digit {h.columns.start}") for h in statement.helpers[2:] if not h.weighted
    )

    def weights(count: int, v: int) -> list[int]:
        found = powers(v, count + 1)[1:]
        found[second] = found[first]
        return found

    module = venue_lab.unchecked()

    class Forger(module.ReferenceProver):  # type: ignore[misc, name-defined]
        def values(self) -> Values:
            sent: Values = super().values()
            ch, number = self.schedule.challenges, Polynomial.number
            public = {key: number(p.at(ch["zeta"])) for key, p in self.public_polynomials.items()}

            def moved(d: int) -> Values:
                f = list(sent.f)
                f[first], f[second] = (f[first] + d) % r, (f[second] - d) % r
                return replace(sent, f=tuple(f))

            def error(d: int) -> int:
                fixed = self.column | {key: number(x) for key, x in zip(statement.opened, moved(d).f, strict=True)}
                D = module.linearised(self.algebra, fixed, number(sent.phi_shifted), public, number)
                return int(D.at(ch["zeta"]))

            at0, at1 = error(0), error(1)  # linear in d: the two columns are in different helpers
            assert error(2) == (2 * at1 - at0) % r
            return moved(-at0 * inverse(at1 - at0) % r)

    columns = honest(slots)
    poor(slots, columns, missing=4000)
    proof = shared_v(slots, columns, Forger, weights)
    refused(slots, proof)


def shared_v(venue: Venue, columns: Cells, forger: Unchecked, weights: Callable[[int, int], list[int]]) -> bytes:
    """A proof under openings with the given powers of v; asserts that a verifier with the same ones accepts."""
    import zkmargin.prover.venue.reference as real

    unchecked = venue_lab.unchecked()
    count = len(venue.statement.opened)

    def patched(x: int, size: int) -> list[int]:
        return [1, *weights(count, x)] if size == count + 1 else powers(x, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real, "powers", patched)
        patch.setattr(unchecked, "powers", patched)
        made = forger(venue.statement, columns, {}, venue_lab.blinders("forger")).prove()
        proof = encode_venue_proof(made, venue.srs.digest)
        assert verify_reference(venue.statement, proof)
    return proof
