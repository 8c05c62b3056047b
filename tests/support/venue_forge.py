"""Dishonest provers of venue proofs, and what their forgeries have in common (docs/protocol-venue.md section 5)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import cast

import pytest

from support import venue_lab
from support.typed import Unchecked
from support.venue_lab import Cells, Venue
from zkmargin.circuits import venue as circuits
from zkmargin.crypto.field import inverse, r
from zkmargin.crypto.transcript import Transcript
from zkmargin.formats import VerificationError
from zkmargin.prover.venue.algebra import Algebra, Schedule
from zkmargin.prover.venue.reference import ReferenceProver, verify_reference
from zkmargin.prover.venue.witness import net_positions
from zkmargin.verifier.venue.proof import Aggregates, Columns, Helpers, Openings, Quotient, Values, encode_venue_proof
from zkmargin.verifier.venue.statement import PROTOCOL, Helper, VenueStatement
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


class _Exponents:
    """The true exponents but for some: each is made of the true ones."""

    def __init__(self, true: circuits.Exponents, others: Mapping[str, Callable[[circuits.Exponents], object]]) -> None:
        self.true, self.others = true, others

    def __getattr__(self, name: str) -> object:
        return self.others[name](self.true) if name in self.others else getattr(self.true, name)


def other_powers(
    moved: Callable[[circuits.Exponents], tuple[int, int]] = lambda _: (-1, -1),
    **others: Callable[[circuits.Exponents], object],
) -> type[Algebra]:
    """The algebra of a protocol with other exponents.

    Args:
        moved: of the true exponents, the one of a term and which it has instead.
        others: by their names, of the true exponents what stands there.
    """

    class Mutant(Algebra):
        def __init__(self, statement: VenueStatement, challenges: dict[str, int]) -> None:
            super().__init__(statement, challenges)
            self.e = cast("circuits.Exponents", _Exponents(self.e, others))

        def term_weight(self, term: circuits.Term, slot_exponent: int, account_exponent: int) -> int:
            before, after = moved(self.statement.exponents)
            if term.exponent == before:
                term = replace(term, exponent=after)
            return super().term_weight(term, slot_exponent, account_exponent)

    return Mutant


def two_classes() -> Venue:
    """Two classes: three accounts of two slots with two rows each; three sets of eight accounts of one slot."""
    big = venue_lab.spec("big", accounts=20, legs=3, slots=1, block=2)
    accounts = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 20
    return venue_lab.Venue([(venue_lab.spec(), venue_lab.SMALL), (big, accounts)], totals=True)


def honest(venue: Venue) -> Cells:
    """The columns of the honest witness."""
    return venue.witness().columns(venue.statement)


# --- what goes wrong in the columns ---------------------------------------------------------------------------


def poor(venue: Venue, columns: Cells, kind: int = 0, a: int = 0, missing: int = 1) -> int:
    """Take balance away from an account, leave the rest as it was: the error of its claim."""
    held = venue_lab.value(venue, columns, kind, a, "held 0")
    venue_lab.put(venue, columns, kind, a, "held 0", held - missing)
    error: int = venue.statement.terms.options.den * venue.statement.rules.long_value[0] * missing
    return error


def errors_that_cancel_between_sets(venue: Venue, columns: Cells) -> None:
    for a, sign in ((0, 1), (8, -1)):
        venue_lab.put(venue, columns, 1, a, "claim", venue_lab.value(venue, columns, 1, a, "claim") + sign)


def the_rich_pay_for_the_poor(venue: Venue, columns: Cells) -> None:
    for a, sign in ((0, 1), (1, -1)):
        venue_lab.put(venue, columns, 0, a, "held 0", venue_lab.value(venue, columns, 0, a, "held 0") + sign)


def one_dense() -> Venue:
    """One class and a dense account."""
    return venue_lab.Venue(dense=[DENSE])


def invented(venue: Venue, columns: Cells) -> None:
    """Balances that are not committed: held up by one, the claim's slack with it."""
    (y,) = venue.statement.dense
    template = y.template
    for name, more in (("held 1", 1), ("claim", venue.statement.rules.long_value[1])):
        number, k = template.integers.index(name), venue.statement.k
        start, digits = template.integers.starts[number], template.integers.bounded[number].digits
        where = [y.cell(z) for z in range(start, start + digits)]
        x = sum(columns[f"dense digit {c}"][row] << (k * d) for d, (c, row) in enumerate(where)) + more
        for d, (c, row) in enumerate(where):
            columns[f"dense digit {c}"][row] = (x >> (k * d)) & ((1 << k) - 1)


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
    return replace(statement, terms=terms)


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


def two_slots() -> Venue:
    """Two accounts of two slots with two rows of one leg; nothing is said about net positions."""
    shape = venue_lab.spec(accounts=2, legs=2, slots=2, block=4)
    return venue_lab.Venue([(shape, venue_lab.SMALL[:2])], net=False)


# --- challenges that come too early --------------------------------------------------------------------------


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


def negative_slack_of_the_poor(venue: Venue, columns: Cells) -> None:
    missing = poor(venue, columns, missing=4000)
    slack = venue_lab.value(venue, columns, 0, 0, "claim")
    assert slack < missing
    venue_lab.put(venue, columns, 0, 0, "claim", slack - missing)
