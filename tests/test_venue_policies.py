"""Policies that join risk groups in venue proofs: equal to the engine at the boundary and one unit short of it, the
same bytes from both provers, a second verifier from the text, and every equation forged where it is left out.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import product

import pytest
from support import lab, venue_lab, venue_policies
from support.typed import Keywords, Passed
from support.venue_lab import Account, Cells, Venue

from zkmargin.circuits.venue import AccountCircuit, VenueRules
from zkmargin.crypto.field import r
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.margin import margin_report
from zkmargin.formats import ConstraintError, InputError, VerificationError
from zkmargin.prover.venue.algebra import Algebra
from zkmargin.prover.venue.blocks import assess
from zkmargin.prover.venue.reference import verify_reference
from zkmargin.prover.venue.rounds import prove_rounds
from zkmargin.verifier.venue.verify import verify_venue

POLICIES = ("deribit-pm", "tims", "span", "span with calendars")
#: A charge of a unit is 10^4 valuation units.
CLAIMS = ("1", "5/4")


def venue_of(policy: str, books: Sequence[Account] | None = None, **options: Passed) -> Venue:
    """Two accounts in blocks of eight rows."""
    accounts = venue_policies.BOOKS if books is None else books
    given: Keywords = {"accounts": len(accounts), "legs": 3, "slots": 1, "block": 8, "position_bits": 6}
    given |= {key: options.pop(key) for key in ("claim", "limits", "charge_bits", "block") if key in options}
    n = options.setdefault("n", 16)
    market = options.pop("market", None) or venue_policies.snapshot(policy, n=n)
    return venue_lab.Venue([(venue_lab.spec("all", **given), accounts)], market=market, **options)


def lots(book: Account) -> BookLots:
    ((_, legs),), balances = book
    positions = [0, 0, 0]
    for i, q in legs:
        positions[i] += q
    return BookLots(tuple(positions), tuple(balances))


def surpluses(venue: Venue) -> list[int]:
    surplus = assess(venue.statement.templates[0], venue.books[0]).surplus
    assert surplus is not None
    return [int(x) for x in surplus]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_witness_is_the_engine_s_margin(policy: str) -> None:
    draw = random.Random(f"venue {policy}")  # noqa: S311 - a fixed seed, no secret
    books = []
    for _ in range(60):
        legs = [(i, draw.randint(-15, 15)) for i in draw.sample(range(3), draw.randint(0, 3))]
        books.append((((0, tuple(legs) or ((0, 0),)),), (draw.randint(-400, 2000),)))
    for claim in CLAIMS:
        venue = venue_of(policy, books, claim=claim, net=False)
        reports = [margin_report(venue.snapshot, lots(book), "initial") for book in books]
        assert [report.slack(Claim(claim)) for report in reports] == list(surpluses(venue))


def limit(units: int) -> Keywords:
    return {"limits": (f"headroom >= {Fraction(units, 10**13)}",)}


@pytest.mark.parametrize("policy", POLICIES)
def test_at_margin_and_one_unit_short(policy: str) -> None:
    first = venue_policies.BOOKS[:1]
    most = int(surpluses(venue_of(policy, first))[0])
    at = venue_of(policy, first, **limit(most))
    assert list(surpluses(at)) == [0]
    proof = at.prove()
    verify_venue(at.statement, proof)
    beyond = venue_of(policy, first, **limit(most + 1))
    with pytest.raises(
        ConstraintError, match=r"1 account is under margin, 0 may be; short by: all 0: 0\.0000000000001"
    ):
        beyond.witness()
    with pytest.raises(VerificationError):
        verify_venue(beyond.statement, proof)


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("policy", "options"),
    [
        ("deribit-pm", {"exempt": 1, "totals": True, "helper_group": 5}),
        ("tims", {"cap": 10**6}),
        ("span", {"net": False, "helper_group": 7}),
        ("span with calendars", {"digit_bits": 8}),
    ],
    ids=str,
)
def test_both_provers_give_the_same_bytes_which_both_verifiers_accept(policy: str, options: Keywords) -> None:
    market = venue_policies.snapshot(policy, n=64, bits=6)
    given: Keywords = {"n": 64, "digit_bits": 6, "srs": lab.known_tau(powers=200), "market": market} | options
    venue = venue_of(policy, dense=[venue_policies.DENSE], **given)
    expected = venue.prove()
    assert venue.encode(prove_rounds(venue.statement, venue.witness(), venue_lab.blinders(), threads=2)) == expected
    verify_venue(venue.statement, expected)
    assert verify_reference(venue.statement, expected)


# --- every equation is needed -------------------------------------------------------------------------------------


def errors(venue: Venue, columns: Cells, a: int = 0) -> dict[int, int]:
    """The equations of the slot family and the claim that an account's cells do not satisfy, by exponent."""
    template, rules = venue.statement.templates[0], venue.statement.rules
    integers, e = template.integers, venue.statement.exponents
    book = {i: q for i, q in legs_of(venue, a) if q}
    sides = {"positions": book, **{s: {i: max(sign * q, 0) for i, q in book.items()} for s, sign in SIDES}}
    found = dict.fromkeys(range(rules.scenario_columns), 0) | {e.claim: 0}
    for read in rules.row_terms:
        row = rules.matrices[read.kind][read.row]
        found[read.exponent] += read.coefficient * sum(int(row[i]) * q for i, q in sides[read.kind].items())
    for exponent, constant in integers.constants:
        found[exponent] += constant
    for term in integers.terms:
        if term.exponent in found:
            found[term.exponent] += term.coefficient * value(venue, columns, term.integer, a)
    den = venue.statement.terms.options.den
    found[e.claim] += den * 10**4 * sum(int(rules.marks[i]) * q for i, q in book.items())
    return {exponent: x for exponent, x in found.items() if x % r}


SIDES = (("long", 1), ("short", -1))


def circuit_of(venue: Venue) -> AccountCircuit:
    account = venue.statement.templates[0].account
    assert account is not None
    return account


def legs_of(venue: Venue, a: int) -> Iterable[tuple[int, int]]:
    books = venue.books[0]
    return zip(books.instruments[a, 0].tolist(), books.lots[a, 0].tolist(), strict=True)


def places(venue: Venue, v: int, a: int) -> list[tuple[str, int]]:
    """(column, row) of each digit of the v-th integer."""
    template, (x, t) = venue.statement.templates[0], venue_lab.place(venue, 0, a)
    start, B = template.integers.starts[v], template.spec.block
    count = template.integers.bounded[v].digits
    return [
        (f"set {x.index} digit {template.packed_offset + z // B}", t + template.T * (z % B))
        for z in range(start, start + count)
    ]


def value(venue: Venue, columns: Cells, v: int, a: int) -> int:
    k = venue.statement.k
    return sum(columns[c][row] << (k * d) for d, (c, row) in enumerate(places(venue, v, a)))


def put(venue: Venue, columns: Cells, v: int, x: int, a: int) -> bool:
    """Write an integer where it fits its digits."""
    k, where = venue.statement.k, places(venue, v, a)
    if not 0 <= x < 1 << (k * len(where)):
        return False
    for d, (c, row) in enumerate(where):
        columns[c][row] = (x >> (k * d)) & ((1 << k) - 1)
    return True


def forgeries(venue: Venue, honest: Cells, j: int, a: int = 0) -> Iterator[Cells]:
    """Columns in which an account breaks equation j alone, with every digit in its range."""
    template = venue.statement.templates[0]
    account = circuit_of(venue)
    equation = account.equations[j]
    slack_of = {
        i: next(v for v, b in enumerate(account.circuit.bounded) if v == e.slack)
        for i, e in enumerate(account.equations)
        if e.slack is not None
    }
    slacks = set(slack_of.values()) | {template.integers.index("claim")}
    mine = [v for (kind, v) in equation.form.terms if kind == "bounded"]
    for v, step in product(mine, (1, -1)):
        columns = {name: list(rows) for name, rows in honest.items()}
        if not put(venue, columns, v, value(venue, columns, v, a) + step, a):
            continue
        for i, error in errors(venue, columns, a).items():  # what has a slack of its own is mended
            slack = slack_of.get(i, template.integers.index("claim") if i == venue.statement.exponents.claim else None)
            if i != j and slack in slacks:
                put(venue, columns, slack, value(venue, columns, slack, a) + error, a)
        if set(errors(venue, columns, a)) == {j}:
            yield columns


def honest(venue: Venue) -> Cells:
    return venue.witness().columns(venue.statement)


@pytest.mark.parametrize("policy", POLICIES)
def test_v7_every_equation_can_be_broken_alone(policy: str) -> None:
    """So a verifier that leaves one out accepts what it should not: no equation is idle."""
    venue = venue_of(policy)
    columns = honest(venue)
    assert [errors(venue, columns, a) for a in range(3)] == [{}] * 3
    alone = [
        j
        for j in range(venue.statement.rules.scenario_columns)
        if any(next(forgeries(venue, columns, j, a), None) for a in range(3))
    ]
    assert alone == list(range(venue.statement.rules.scenario_columns))


#: One equation of each kind of component, by its rule and the start of its name.
LEFT_OUT = (
    ("deribit-pm", "gain_offset: move 0", "losses of class"),
    ("deribit-pm", "gain_offset: move 0", "capped gains"),
    ("deribit-pm", "dampened_tails: move 0", "both bit"),
    ("deribit-pm", "dampened_tails: move 0", "both within"),
    ("deribit-pm", "dampened_tails: move 0", "both beyond"),
    ("deribit-pm", "gross_charge", "gross charge"),
    ("tims", "gain_offset", "both: move 1"),
    ("tims", "gross_charge", "both: gross charge"),
    ("span", "spread", "inter_commodity_credit U0 sides"),
    ("span", "spread", "inter_commodity_credit U0 side"),
    ("span", "spread", "inter_commodity_credit 1 has the deltas"),
    ("span", "inter_commodity_credit", "U0"),
    ("span", "short_option_minimum", "U0"),
    ("span with calendars", "spread", "calendar_charge 1 is complete"),
    ("span with calendars", "calendar_charge", "U0"),
)


@pytest.mark.parametrize(("policy", "rule", "name"), LEFT_OUT, ids=str)
def test_v7_a_proof_without_one_equation_is_refused(policy: str, rule: str, name: str) -> None:
    venue = venue_of(policy)
    equations = circuit_of(venue).equations
    j = next(j for j, e in enumerate(equations) if e.rule == rule and e.name.startswith(name))

    class Mutant(Algebra):
        def rho(self, exponent: int) -> int:
            return 0 if exponent == j else super().rho(exponent)

    base = honest(venue)
    columns = next(c for a in range(3) for c in forgeries(venue, base, j, a))
    made = venue.witness()
    prover = type("Forger", (venue_lab.unchecked().ReferenceProver,), {"algebra_type": Mutant})
    forged = venue.encode(prover(venue.statement, columns, made.blinders, venue_lab.blinders("forger")).prove())
    assert verify_reference(venue.statement, forged, algebra_type=Mutant)
    with pytest.raises(VerificationError):
        verify_venue(venue.statement, forged)


def test_v6_what_is_outside_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="a venue proof does not have delta_norm"):
        VenueRules.of(venue_policies.snapshot("delta-norm"), "initial")
    twice = [(((0, ((0, 5), (0, -4))),), (1500,))]
    with pytest.raises(InputError, match="two legs of one instrument"):
        venue_of("tims", twice).witness()
    large = [(((0, ((0, 60), (2, -60))),), (4000,))]
    with pytest.raises(InputError, match="beyond what charges of 4 bits are for") as caught:
        venue_of("span", large, charge_bits=4).witness()
    assert "all 0" in str(caught.value)
