"""The reference prover and verifier of venue proofs: what they accept, and that nothing else passes."""

import numpy as np
import pytest
from support import venue_lab
from support.typed import Keywords, Passed
from support.venue_lab import Account, Venue

from zkmargin.formats import ConstraintError, InputError, ProofFormatError, VerificationError
from zkmargin.prover.venue.reference import verify_reference
from zkmargin.prover.venue.witness import build_witness, unhealthy
from zkmargin.verifier.header import read_header
from zkmargin.verifier.messages import POINT, SCALAR
from zkmargin.verifier.venue import merkle
from zkmargin.verifier.venue.proof import Counts, decode_venue_proof, encode_venue_proof, venue_proof_bytes
from zkmargin.verifier.venue.terms import VenueTerms
from zkmargin.verifier.venue.verify import verify_venue

DENSE = ([1, -2, 3, 0, 0], [4000, 5])


def mixed(**options: Passed) -> Venue:
    """Two block classes and a dense account."""
    big = venue_lab.spec("big", accounts=5, legs=3, slots=1, block=2, claim="5/4")
    accounts = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 5
    classes = [(venue_lab.spec(), venue_lab.SMALL), (big, accounts)]
    given: Keywords = {"dense": [DENSE]} | options
    return Venue(classes, **given)


OPTIONS = (
    {"net": True},
    {"net": False},
    {"totals": True},
    {"exempt": 0},
    {"exempt": 3},
    {"cap": 10**9},
    {"cap": 0},
    {"dense": [], "totals": True, "exempt": 1},
    {"helper_group": 1},
    {"helper_group": 7, "digit_bits": 4},
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_is_proved_and_verified(options: dict[str, bool]) -> None:
    venue = mixed(**options)
    proof = venue.prove()
    assert len(proof) == venue_proof_bytes(venue.statement)
    assert verify_reference(venue.statement, proof)
    assert encode_venue_proof(decode_venue_proof(proof, venue.statement), venue.srs.digest) == proof


def test_a_class_without_a_claim_counts_in_net_only() -> None:
    poor = [(((0, ((0, -15),)),), (-4000, 0))]
    listed = venue_lab.spec("listed", accounts=1, claim=None)
    venue = venue_lab.Venue([(venue_lab.spec(), venue_lab.SMALL), (listed, poor)], totals=True)
    assert verify_reference(venue.statement, venue.prove())
    with pytest.raises(ConstraintError):
        venue_lab.Venue([(venue_lab.spec("listed", accounts=1), poor)]).prove()


def test_v6_unhealthy_accounts_are_named_with_their_shortfalls_before_anything_is_proved() -> None:
    accounts = [venue_lab.SMALL[0], (venue_lab.SMALL[1][0], (-3000, 0)), (venue_lab.SMALL[2][0], (-4000, 0))]
    venue = venue_lab.Venue([(venue_lab.spec(), accounts)])
    found = unhealthy(venue.statement, venue.books)
    assert {one.name for one in found} == {"small 1", "small 2"}
    assert [one.shortfall for one in found] == sorted((one.shortfall for one in found), reverse=True)
    with pytest.raises(ConstraintError, match=r"2 accounts are under margin, 0 may be; short by: small [12]") as caught:
        venue.prove()
    assert caught.value.shortfall == found[0].shortfall
    short = sum(one.shortfall for one in found)
    for exempt, cap in ((2, None), (None, short)):
        relieved = venue_lab.Venue([(venue_lab.spec(), accounts)], exempt=exempt, cap=cap)
        assert verify_reference(relieved.statement, relieved.prove())
    for exempt, cap in ((1, None), (None, short - 1)):
        with pytest.raises(ConstraintError):
            venue_lab.Venue([(venue_lab.spec(), accounts)], exempt=exempt, cap=cap).prove()


def test_one_unit_at_the_boundary_of_the_claim() -> None:
    def balance(held: int) -> list[Account]:
        return [(((0, ((0, 4),)),), (held, 0))]

    one = venue_lab.spec(accounts=1)
    # the worst loss of four lots of instrument 0 is 28, its value 0; a lot held counts 10000 valuation units
    assert verify_reference((venue := venue_lab.Venue([(one, balance(28))])).statement, venue.prove())
    with pytest.raises(ConstraintError):
        venue_lab.Venue([(one, balance(27))]).prove()


def test_a_false_net_or_total_has_no_witness() -> None:
    for options in ({"net": (1, 0, 0, 0, 0)}, {"totals": (1, 2)}):
        venue = venue_lab.Venue(**options)
        with pytest.raises(ConstraintError, match="the books together have"):
            venue.prove()


def test_v3_every_element_changed_is_refused() -> None:
    venue = mixed(exempt=1, totals=True)
    proof, other = venue.prove(), venue.prove(seed="another")
    assert proof != other
    assert verify_reference(venue.statement, other)
    at, bounds = 44, []
    for message in decode_venue_proof(proof, venue.statement).messages():
        for kind in (POINT, SCALAR):
            for _ in message.named(kind):
                bounds.append((at, at + kind.size))
                at += kind.size
    assert at == len(proof)
    for start, stop in bounds:
        changed = proof[:start] + other[start:stop] + proof[stop:]
        assert changed != proof
        assert not verify_reference(venue.statement, changed), (start, stop)
        with pytest.raises(VerificationError):
            verify_venue(venue.statement, changed)


def test_v3_malformed_proofs_are_one_line() -> None:
    venue = venue_lab.Venue()
    proof = venue.prove()
    for bad in (b"", proof[:-1], proof + b"\0", b"x" + proof[1:], proof[:12] + b"\xff" * 32 + proof[44:]):
        with pytest.raises(ProofFormatError):
            decode_venue_proof(bad, venue.statement)
    with pytest.raises(ProofFormatError):
        verify_reference(venue.statement, proof[:44] + b"\xc0" + bytes(47) + proof[92:])
    with pytest.raises(ProofFormatError, match="a venue's accounts"):
        read_header(proof)
    scalars = len(proof) - 2 * 48 - 32 * (Counts.of(venue.statement).opened + 1)
    with pytest.raises(ProofFormatError, match="zeta"):
        decode_venue_proof(proof[:scalars] + b"\xff" * 32 + proof[scalars + 32 :], venue.statement)


def test_a_proof_is_for_one_statement_only() -> None:
    proof = venue_lab.Venue().prove()
    for options in ({"context": b"x"}, {"net": (1, 0, 0, 0, 0)}, {"rules": {"marks": (0, 4, 0, 2, 2)}}):
        other = venue_lab.Venue(**options)
        assert not verify_reference(other.statement, proof), options


def test_exponents_of_gamma_never_coincide() -> None:
    statement = mixed().statement
    slots: list[int] = []
    accounts: list[int] = []
    for x in statement.sets:
        template = statement.templates[x.kind]
        slots += range(x.slot_exponent, x.slot_exponent + template.T * template.spec.slots)
        accounts += range(x.account_exponent, x.account_exponent + template.T)
    for y in statement.dense:
        slots += range(y.slot_exponent, y.slot_exponent + statement.rules.groups)
        accounts.append(y.account_exponent)
    assert len(set(slots)) == len(slots)
    assert len(set(accounts)) == len(accounts)


def test_books_that_do_not_fit_their_class_are_named() -> None:
    for slots, held, reason in (
        (((0, ((0, 64),)),), (4000, 0), "more than 63 lots"),
        (((1, ((0, 1),)),), (4000, 0), "another group"),
        (((0, ((9, 1),)),), (4000, 0), "does not list"),
        (((0, ((0, 1),)),), (4000, -1), "negative balance"),
        (((0, ((0, 1),)),), (5000, 0), "beyond its bound"),
    ):
        venue = venue_lab.Venue([(venue_lab.spec(accounts=1), [(slots, held)])], net=False)
        with pytest.raises(InputError, match=reason) as caught:
            build_witness(venue.statement, venue.books, venue.tags())
        assert "small 0" in str(caught.value)


def test_under_another_policy_an_account_has_one_slot() -> None:
    with pytest.raises(InputError, match="an account has one, for all risk groups"):
        venue_lab.Venue(rules={"mode": "added"})


def test_terms_that_contradict_themselves() -> None:
    for options, reason in (
        ({"cap": 1, "exempt": 1}, "outside the cap"),
        ({"digit_bits": 3}, "below log2"),
        ({"cap": -1}, "below 0"),
        ({"net": (0,)}, "1 numbers for 5 slots"),
    ):
        with pytest.raises(InputError, match=reason):
            venue_lab.Venue(**options)
    for changes, reason in (({"block": 3}, "power of two"), ({"slots": 8}, "do not fit"), ({"claim": "2/4"}, "lowest")):
        with pytest.raises(InputError, match=reason):
            venue_lab.spec(**changes)


def test_v6_hostile_terms_are_counted_before_anything_is_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    one = [(((0, ((0, 1),)),), (4000, 0))]
    with pytest.raises(InputError, match="more than 65536 column sets"):
        VenueTerms(
            venue="a",
            requirement="initial",
            domain_size=8,
            digit_bits=3,
            helper_group=1,
            classes=(venue_lab.spec(accounts=1 << 24, block=8, slots=8),),
        )
    monkeypatch.setattr("zkmargin.verifier.venue.statement.MAX_COLUMNS", 5)
    with pytest.raises(InputError, match="more than 5"):
        venue_lab.Venue([(venue_lab.spec(accounts=1), one)], net=False)


def test_merkle_paths_lead_to_the_root() -> None:
    for count in range(1, 12):
        leaves = [merkle.leaf(i, [bytes([i])]) for i in range(count)]
        root = merkle.root(leaves)
        for i in range(count):
            path = merkle.path(leaves, i)
            assert merkle.root_from_path(leaves[i], i, count, path) == root
            for wrong in (path[:-1], (*path, bytes(32))):
                if wrong != path:
                    with pytest.raises(ValueError, match="path"):
                        merkle.root_from_path(leaves[i], i, count, wrong)
            other = (i + 1) % count
            if other != i and len(merkle.path(leaves, other)) == len(path):
                assert merkle.root_from_path(leaves[i], other, count, path) != root
    with pytest.raises(ValueError, match="leaf"):
        merkle.root_from_path(bytes(32), 1, 1, ())


def test_tags_of_a_set_stand_in_their_own_rows() -> None:
    shape = venue_lab.spec(accounts=11, slots=1, block=4)
    accounts = [(((0, ((0, 1),)),), (4000, 0))] * 11
    venue = venue_lab.Venue([(shape, accounts)])
    tags, rows = venue.tags()[0], venue.witness().tags
    T = venue.statement.templates[0].T
    assert len(rows) == 1
    for a, tag in enumerate(tags):
        x, t = divmod(a, T)
        assert rows[0][t + T * (x % 4)] == tag
    assert np.count_nonzero([bool(y) for y in rows[0]]) == 11
