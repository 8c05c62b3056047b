"""Edges of what a venue proof is checked against: what is refused, in which words, and values that follow by hand."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from support import lab, parties, venue_lab, venue_policies
from support.typed import Keywords, Passed
from support.venue_lab import Venue

from zkmargin.accounts import commit_book
from zkmargin.accounts.slots import ROLES
from zkmargin.circuits.breach import breach_witness, build_breach_circuit
from zkmargin.circuits.encoders.base import encode
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import Form, System
from zkmargin.circuits.language.witness import check
from zkmargin.circuits.many import assign_many
from zkmargin.circuits.margin import build_circuit
from zkmargin.circuits.requirement import Requirement
from zkmargin.circuits.venue import VenueRules, policies
from zkmargin.circuits.venue.policies import AccountPolicy
from zkmargin.crypto.field import r
from zkmargin.crypto.group import decode_g1, encode_g1
from zkmargin.engine.book import BookLots
from zkmargin.engine.books import Books
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.base import PublishedPart
from zkmargin.engine.components.delta_norm import PublishedDeltaNorm
from zkmargin.engine.components.joint_scenarios import PublishedJointScenarios
from zkmargin.engine.margin import claim_slack
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError, VerificationError
from zkmargin.prover.venue.notes import NoteMaker
from zkmargin.verifier.venue import customers
from zkmargin.verifier.venue.combine import Combination
from zkmargin.verifier.venue.customers import VenueNote, check_note, record_of
from zkmargin.verifier.venue.proof import decode_venue_proof
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import DenseAccount, VenueTerms
from zkmargin.verifier.venue.transcript import VenueChallenges
from zkmargin.verifier.venue.verify import verify_venue

#: A slot that counts a valuation unit a lot, held or owed.
UNIT = (1, 1, 60, True)
ONE: list[venue_lab.Account] = [(((0, ((0, 1),)),), (4000, 0))]


def small(*parts: PublishedPart, groups: tuple[int, ...] = (0, 1), rows: tuple[int, ...] = (-10, 0)) -> Snapshot:
    """Two instruments, one scenario in each group, cash to the unit, and components beside."""
    plain = lab.snapshot(groups=groups, risk=[(x,) for x in rows], charges=None, marks=[0] * len(groups), assets=[UNIT])
    return plain.replaced(components=(*plain.components[:1], *parts, *plain.components[1:]))


# --- breaches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "lots", "loss"), [("book", (1, 1), 13), ("book", (1, -1), 23), (None, (1, 1), 18)])
def test_joint_scenarios_bound_a_requirement_in_a_breach(group: str | None, lots: tuple[int, int], loss: int) -> None:
    """With a group the book's loss is a charge of its own beside that of U0 (10); alone it competes in each group."""
    joint = PublishedJointScenarios(group=group, scenarios=("a", "b"), risk=lab.array(((5, -7), (-8, 6)), (2, 2)))
    snapshot = small(joint)
    circuit = build_breach_circuit(snapshot, Claim(1, 1))
    edge = -claim_slack(snapshot, BookLots(lots, (0,)), Claim(1, 1))
    assert edge == 10_000 * loss
    check(circuit, breach_witness(snapshot, Claim(1, 1), BookLots(lots, (edge - 1,))))
    with pytest.raises(ConstraintError, match="no breach to show"):
        breach_witness(snapshot, Claim(1, 1), BookLots(lots, (edge,)))


def test_a_group_without_losses_has_no_charge_in_a_breach() -> None:
    names = [bounded.name for bounded in build_breach_circuit(small(), Claim(1, 1)).bounded]
    assert "breach: loss of 0" in names
    assert not any(" of 1" in name for name in names)


# --- circuits ---------------------------------------------------------------------------------------------------


def test_a_component_without_equations_is_refused_by_its_type() -> None:
    with pytest.raises(NotImplementedError, match="no equations for a_new_rule"):
        encode(cast(PublishedPart, SimpleNamespace(type="a_new_rule")), cast(Requirement, None))


@pytest.mark.parametrize(("deltas", "gates"), [((2, 3), 3), ((2, 0), 2), ((0, 0), 0)])
def test_a_delta_norm_has_gates_only_where_there_is_delta(deltas: tuple[int, int], gates: int) -> None:
    """x y of each group with delta, and the square of the root."""
    norm = PublishedDeltaNorm(group="all", delta=lab.array(deltas), sigma=lab.array((4, 0, 0, 9), (2, 2)))
    circuit = build_circuit(small(norm), Claim(1, 1))
    assert len(circuit.gates) == gates
    assert any(bounded.name == "delta_norm: root" for bounded in circuit.bounded) == bool(gates)


def test_digits_of_an_account_whose_claim_is_false_do_not_fit() -> None:
    circuit = build_circuit(small(), Claim(1, 1))
    books = Books.of([BookLots((1, 0), (100_000,)), BookLots((1, 0), (99_999,))])
    slack = circuit.equations[-1].slack
    assert slack is not None
    assert not assign_many(circuit, books.part(0, 1)).digits(slack).any()
    assert assign_many(circuit, books).shortfalls.tolist() == [0, 1]
    with pytest.raises(InputError, match=f"{circuit.bounded[slack].name}: an account's value does not fit its range"):
        assign_many(circuit, books).digits(slack)


def test_what_is_the_same_for_every_account_is_a_vector_too() -> None:
    system = System(n=16, position_count=1, position_bits=4, range_proved=True, collateral=[(8, False)])
    held, _ = system.collateral(0)
    system.at_least_zero("rule", "thrice", system.product(Form(constant=3), held))
    many = assign_many(Circuit.freeze(system, 1), Books.of([BookLots((0,), (5,)), BookLots((0,), (9,))]))
    assert many.value(("A", 0)).tolist() == [3, 3]
    assert many.value(("C", 0)).tolist() == [15, 27]


# --- the circuit of a venue's account -----------------------------------------------------------------------------


def joined(**options: Passed) -> Venue:
    given: Keywords = {"accounts": 3, "legs": 3, "slots": 1, "block": 8} | options.pop("shape", {})
    shape = venue_lab.spec("all", **given)
    return Venue([(shape, venue_policies.BOOKS)], market=venue_policies.snapshot("tims"), **options)


def test_a_class_without_a_claim_under_a_policy_of_whole_accounts() -> None:
    """Nothing of its claim is asked: no slack, no term of equity. Its totals and net positions are proved."""
    venue, claimed = joined(shape={"claim": None}, totals=True), joined(totals=True)
    template, e = venue.statement.templates[0], venue.statement.exponents
    assert not template.claimed
    assert claimed.statement.exponents == e
    for one, there in ((venue, False), (claimed, True)):
        integers = one.statement.templates[0].integers
        assert ("claim" in [bounded.name for bounded in integers.bounded]) == there
        assert any(term.exponent == e.claim for term in integers.terms) == there
        assert any(term.exponent == e.total(0) for term in integers.terms)
    verify_venue(venue.statement, venue.prove())


def test_the_largest_loss_is_that_of_the_policy() -> None:
    snapshot = venue_policies.snapshot("deribit-pm")  # tails lose up to 20 a lot, scenarios up to 7
    assert VenueRules.of(snapshot, "initial").largest_loss == 20
    assert VenueRules.of(venue_lab.snapshot(), "initial").largest_loss == 9


def test_equations_that_could_wrap_around_the_field_are_refused() -> None:
    """Claims of many denominators: what all of them divide is itself larger than the field."""
    denominators = range(65_512, 65_536)
    assert math.lcm(*denominators) > r
    classes = tuple((venue_lab.spec(f"c{den}", accounts=1, claim=f"1/{den}"), ONE) for den in denominators)
    with pytest.raises(InputError, match=r"claim: a value of \d+ bits could wrap around the field") as refused:
        Venue(classes, net=False)
    assert refused.value.hint == "use fewer position bits, larger lots or fewer legs"


def test_a_circuit_is_refused_from_the_first_form_that_could_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = AccountPolicy(venue_policies.snapshot("tims"), "initial")
    shape: Keywords = {"digit_bits": 6, "position_bits": 12, "lots": 3 * 4095, "charge_bits": 12}
    account = policy.of_block(**shape)
    most = max(max(-low, high) for low, high in (account.reach(equation.form) for equation in account.equations))
    monkeypatch.setattr(policies, "MAX_FORM", most + 1)
    assert policy.of_block(**shape).row_terms() == policy.row_terms
    monkeypatch.setattr(policies, "MAX_FORM", most)
    with pytest.raises(InputError, match=f"a value of {most.bit_length()} bits could wrap around the field") as refused:
        policy.of_block(**shape)
    assert refused.value.hint == "use fewer position bits, larger lots or fewer legs"


def test_equations_that_differ_between_accounts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No component has such: one whose rows follow from the width of digits would be proved of other rows."""
    policy = AccountPolicy(venue_policies.snapshot("tims"), "initial")
    assert policy.of_dense(digit_bits=6, position_bits=6)

    def by_width(part: PublishedPart, requirement: Requirement) -> None:
        encode(part, requirement)
        row = np.array([requirement.system.position_bound, 0, 0], dtype=np.int64)
        requirement.candidate(0, "by width", "row", requirement.system.dense("positions", row))

    monkeypatch.setattr(policies, "encode", by_width)
    other = AccountPolicy(venue_policies.snapshot("tims"), "initial")
    with pytest.raises(InputError, match="not the same for all accounts: no venue proof has them") as refused:
        other.of_dense(digit_bits=6, position_bits=20)
    assert refused.value.field == "policy"


# --- terms and statements -----------------------------------------------------------------------------------------


def terms(**changes: Passed) -> VenueTerms:
    given: Keywords = {"venue": "a", "requirement": "initial", "domain_size": 16, "digit_bits": 6, "helper_group": 3}
    return VenueTerms(**{**given, "classes": (venue_lab.spec(),), **changes})


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"domain_size": 24}, "domain_size", "not a power of two"),
        ({"classes": ()}, "classes", "a venue without accounts"),
        (
            {"classes": (venue_lab.spec(accounts=1 << 24), venue_lab.spec("b"))},
            "classes",
            "more than 16777216 accounts",
        ),
        ({"classes": (venue_lab.spec(), venue_lab.spec())}, "classes", "a name appears twice"),
        ({"dense": (DenseAccount(commitment="11" * 32),) * 2}, "dense", "one commitment for two accounts"),
        ({"classes": (venue_lab.spec(block=32),)}, "class small: block", "a block of 32 rows in 16"),
        ({"totals": ("1", "-1")}, "totals", "below 0"),
    ],
)
def test_terms_that_no_venue_has(changes: Keywords, field: str, reason: str) -> None:
    assert terms().classes[0].name == "small"
    with pytest.raises(InputError, match=reason) as refused:
        terms(**changes)
    assert refused.value.field == field


def test_large_accounts_are_those_that_the_terms_name_in_their_order() -> None:
    snapshot = venue_lab.snapshot()
    book = BookLots((0,) * len(snapshot.instruments), (0,) * len(snapshot.collateral))
    commitments = tuple(commit_book(snapshot, book).commitment() for _ in range(2))
    given = terms(dense=tuple(DenseAccount(commitment=one.digest().hex()) for one in commitments))
    given.check_commitments(commitments)
    for wrong in (commitments[::-1], commitments[:1], ()):
        with pytest.raises(InputError, match="not the commitments that the terms name") as refused:
            given.check_commitments(wrong)
        assert refused.value.field == "dense"


def test_a_statement_of_documents_that_do_not_belong_together(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot, srs = venue_lab.snapshot(), lab.known_tau()
    assert VenueStatement.of(snapshot, terms(), srs=srs, context=b"x" * 1024).context
    for changes, field, reason in (
        ({"context": b"x" * 1025}, "context", "1025 bytes, at most 1024"),
        ({"terms": terms(domain_size=32)}, "terms: domain_size", "columns of 32 rows, the snapshot has 16"),
        ({"srs": lab.known_tau(powers=23)}, "domain_size", "16 rows need more powers than the setup has"),
    ):
        given: Keywords = {"snapshot": snapshot, "terms": terms(), "srs": srs} | changes
        with pytest.raises(InputError, match=reason) as refused:
            VenueStatement.of(**given)
        assert refused.value.field == field
    venue = joined()
    each = venue.statement.rules.scenario_columns
    name = "zkmargin.verifier.venue.statement.MAX_ACCOUNT_EQUATIONS"
    monkeypatch.setattr(name, 2 * each)  # a class, and the circuit that all of them share
    assert replace(venue.statement)
    monkeypatch.setattr(name, 2 * each - 1)
    with pytest.raises(InputError, match=f"1 classes with {each} equations each, more than {2 * each - 1}") as refused:
        replace(venue.statement)
    assert refused.value.field == "terms: classes"


def test_no_part_and_no_commitment_stands_in_two_places() -> None:
    statement = Venue(dense=[([1, -2, 3, 0, 0], [4000, 5])]).statement
    (parts,) = statement.parts
    assert len(statement.committed_points()) == 2
    with pytest.raises(InputError, match="one part in two accounts") as refused:
        venue_lab.with_parts(statement, (*parts, parts[0])).committed_points()
    assert refused.value.field == "dense account 0"
    # the balances' commitment, from two parts, is that of the positions
    positions, held = (next(part for part in parts if part.role == role) for role in ROLES)
    total, first = decode_g1(bytes.fromhex(positions.points[0])), decode_g1(bytes.fromhex(held.points[0]))
    halves = [held.model_copy(update={"points": (encode_g1(point).hex(),)}) for point in (first, total - first)]
    with pytest.raises(InputError, match="the same commitment in two places") as refused:
        venue_lab.with_parts(statement, (positions, *halves)).committed_points()
    assert refused.value.field == "dense"


# --- the right sides of equations, proofs and notes ---------------------------------------------------------------


def test_right_sides_by_hand_where_gamma_is_one_and_nothing_is_claimed_of_a_large_account() -> None:
    """Whoever is not claimed of needs no exemption bit: only the three block accounts have one."""
    venue = Venue(dense=[([1, -2, 3, 0, 0], [4000, 5])], exempt=1, net=False)
    (account,) = venue.statement.terms.dense
    open_terms = venue.statement.terms.model_copy(update={"dense": (account.model_copy(update={"claim": None}),)})
    unclaimed = replace(venue.statement, terms=open_terms)
    e = unclaimed.exponents
    x = VenueChallenges(gamma=1, beta=1000, delta=3, eta=100, rho=2)
    assert Combination(unclaimed, x).sigma() == (2**e.exempt + 3 * 2**e.bit) % r
    assert Combination(venue.statement, x).sigma() == (2**e.exempt + 4 * 2**e.bit) % r
    asked = Combination(venue.statement, x).dense(venue.statement.dense[0].template)[1][0]
    free = Combination(unclaimed, x).dense(unclaimed.dense[0].template)[1][0]
    assert asked.account
    assert not free.account  # marks count in a claim alone
    assert free.slot == asked.slot


def test_a_proof_is_bytes_and_nothing_else() -> None:
    for proof in ("00", bytearray(8)):
        with pytest.raises(TypeError, match="a proof is bytes"):
            verify_venue(Venue().statement, proof)  # type: ignore[arg-type]


def test_a_note_is_signed_once_and_its_positions_stand_in_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    venue = Venue()
    proof = decode_venue_proof(venue.prove(), venue.statement)
    maker = NoteMaker(venue.statement, proof, venue.witness(), venue_lab.blinders(), venue_lab.tau_power)
    name = "small 2"
    note = maker.note(2, name, venue_lab.nonce(name))
    signed = note.signed(parties.signer("officer"))
    with pytest.raises(InputError, match="is signed already") as twice:
        signed.signed(parties.signer("officer"))
    assert twice.value.field == "signatures"

    given: Keywords = {"name": name, "nonce": venue_lab.nonce(name), "positions": {1: 2}, "balances": (4000, 0)}
    record = record_of(venue.statement, proof)
    assert check_note(venue.statement, record, signed, tau_power=venue_lab.tau_power(4), **given).signers
    # what a proof that does not hold could have in its columns: openings are of them, so that they are left out here
    monkeypatch.setattr(customers, "check_opening", lambda *_: None)

    def with_cell(column: int, value: int) -> VenueNote:
        cells = [list(row) for row in note.block.cells]
        assert cells[column][0] != str(value)
        cells[column][0] = str(value)
        return note.model_copy(update={"block": note.block.model_copy(update={"cells": tuple(map(tuple, cells))})})

    for column, value in ((0, 5), (0, r - 1), (0, 2), (venue.statement.templates[0].row_legs, 1)):
        with pytest.raises(VerificationError, match="a position in no instrument of its group") as refused:
            check_note(venue.statement, record, with_cell(column, value), **given)
        assert refused.value.check == "book"
