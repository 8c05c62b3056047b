"""Venue proofs without one of their equations: what an attacker makes of it (docs/protocol-venue.md section 5).

A *mutant* is a protocol in which an order or an equation is missing. Each forgery is accepted by its mutant's verifier,
so the attack is real, and refused by the product's.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from support import venue_lab
from support.typed import Unchecked
from support.venue_forge import (
    errors_that_cancel_between_sets,
    forged,
    forged_despite_net,
    honest,
    honest_despite_net,
    invented,
    negative_slack_of_the_poor,
    netted,
    on_mutant,
    one_dense,
    other_powers,
    the_rich_pay_for_the_poor,
    total_error,
    two_classes,
    two_slots,
)
from support.venue_lab import Cells, Venue

from zkmargin.crypto.field import inverse, r
from zkmargin.prover.ring import Element
from zkmargin.prover.venue.algebra import Algebra, Rows, Schedule
from zkmargin.verifier.venue.proof import Aggregates, encode_venue_proof
from zkmargin.verifier.venue.statement import ColumnSet, DenseSlot, VenueStatement


@pytest.fixture(scope="module")
def two() -> Venue:
    return two_classes()


@pytest.fixture(scope="module")
def with_dense() -> Venue:
    return one_dense()


@pytest.fixture
def slots() -> Venue:
    return two_slots()


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

    Mutant = other_powers(copy=lambda true: lambda _v: true.copy(1))

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

    Mutant = other_powers(lambda true: (true.cap, true.claim), cap=lambda true: true.claim)

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
        columns["dense digit 0"][9] = 1
    blinder = with_dense.witness().blinders[f"dense 0 {role}[0]"]
    prover = venue_lab.unchecked().ReferenceProver(with_dense.statement, columns, {f"dense 0 {role}[0]": blinder}, None)
    point = prover.encoded(prover.column[f"dense 0 {role}[0]"]).hex()
    parts = tuple(
        part.model_copy(update={"points": (point,)}) if part.role == role else part
        for part in with_dense.statement.parts[0]
    )
    stated, statement = with_dense.statement, with_dense.statement
    other = venue_lab.with_parts(statement, parts)
    witness = with_dense.witness()
    with_dense.statement = other
    try:
        base = venue_lab.unchecked().ReferenceProver
        kind = type("Forger", (base,), {"algebra_type": Mutant})
        proof = kind(other, columns, witness.blinders, venue_lab.blinders("forger")).prove()
        on_mutant(with_dense, encode_venue_proof(proof, with_dense.srs.digest), Mutant)
    finally:
        with_dense.statement = stated
