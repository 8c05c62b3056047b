"""The fast prover and verifier of venue proofs against the reference, byte for byte and answer for answer."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from support import lab, venue_lab
from support.typed import Keywords, Passed
from support.venue_lab import Venue

from zkmargin.formats import VerificationError
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.venue.blinders import FreshBlinders, KeyedBlinders, SeededBlinders
from zkmargin.prover.venue.reference import verify_reference
from zkmargin.prover.venue.rounds import Coordinator, prove_rounds, share_sets
from zkmargin.prover.venue.shares import Share
from zkmargin.prover.venue.witness import VenueWitness
from zkmargin.verifier.venue.proof import VenueProof
from zkmargin.verifier.venue.verify import verify_venue

DENSE = ([1, -2, 3, 0, 0], [4000, 5])

pytestmark = pytest.mark.compiled


def venue_of(**options: Passed) -> Venue:
    """Two block classes, one of several sets, and a dense account, over 64 rows."""
    big = venue_lab.spec("big", accounts=70, legs=3, slots=1, block=2, claim="5/4")
    accounts = [(((0, ((0, 1 + a % 2), (1, 1), (4, -1))),), (3000, a % 5)) for a in range(70)]
    classes = [(venue_lab.spec(), venue_lab.SMALL), (big, accounts)]
    given: Keywords = {"dense": [DENSE], "srs": lab.known_tau(powers=200), "rules": {"bits": 6}, "n": 64} | options
    return Venue(classes, **given)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"exempt": 2, "totals": True, "helper_group": 7},
        {"cap": 10**9, "net": False, "digit_bits": 8},
        {"dense": (), "helper_group": 1},
    ],
    ids=str,
)
def test_both_provers_give_the_same_bytes(options: dict[str, int]) -> None:
    venue = venue_of(**options)
    expected = venue.prove()
    for threads in (1, 3):
        found = prove_rounds(venue.statement, venue.witness(), venue_lab.blinders(), threads=threads)
        assert venue.encode(found) == expected, threads
    accepted = verify_venue(venue.statement, expected)
    assert accepted.statement_digest == venue.statement.digest
    assert len(accepted.proof_digest) == 32
    assert verify_reference(venue.statement, expected)


def test_a_witness_that_does_not_satisfy_the_statement_is_refused() -> None:
    venue = venue_of()
    parts: tuple[Callable[[VenueWitness], npt.NDArray[Passed]], ...] = (
        lambda w: w.classes[1].digits,
        lambda w: w.classes[0].ids,
    )
    for part in parts:
        witness = venue.witness()
        part(witness)[0, 0, 0, 0] ^= 1
        with pytest.raises(ProverError):
            prove_rounds(venue.statement, witness, FreshBlinders())


def test_both_verifiers_agree_on_changed_proofs() -> None:
    venue = venue_of()
    witness = venue.witness()
    one, other = (venue.encode(prove_rounds(venue.statement, witness, FreshBlinders())) for _ in range(2))
    verify_venue(venue.statement, one)
    rng = np.random.default_rng(1)
    scalars = len(one) - 96 - 32 * (len(venue.statement.opened) + 1)
    for _ in range(12):
        at = 44 + 48 * int(rng.integers((scalars - 44) // 48))
        changed = one[:at] + other[at : at + 48] + one[at + 48 :]
        assert not verify_reference(venue.statement, changed)
        with pytest.raises(VerificationError):
            verify_venue(venue.statement, changed)


def test_seeded_blinders_repeat_and_depend_on_everything() -> None:
    seed, run = bytes(range(32)), b"run"
    found = SeededBlinders(seed, run)("set 0 id 0", 2)
    assert found == SeededBlinders(seed, run)("set 0 id 0", 2)
    assert found[0] != found[1]
    for other in (
        SeededBlinders(bytes(32), run)("set 0 id 0", 2),
        SeededBlinders(seed, b"other")("set 0 id 0", 2),
        SeededBlinders(seed, run)("set 0 id 1", 2),
    ):
        assert other[0] != found[0]
    with pytest.raises(ValueError, match="32 bytes"):
        SeededBlinders(b"short", run)


def test_a_set_s_key_gives_its_blinders_and_nobody_else_s() -> None:
    seeded = SeededBlinders(bytes(range(32)), b"run")
    keyed = KeyedBlinders({"set 1": seeded.key("set 1")})
    for name in ("set 1 id 0", "set 1 h 3"):
        assert keyed(name, 2) == seeded(name, 2)
    for name in ("set 11 id 0", "set 0 id 0", "phi", "tag 1", "dense digit 1"):
        with pytest.raises(KeyError):
            keyed(name, 1)
    assert len({seeded.key(owner) for owner in ("set 1", "set 11", "coordinator")}) == 3


def test_shares_made_again_before_every_round_give_the_same_bytes() -> None:
    venue = venue_of()
    witness, run = venue.witness(), venue.statement.digest
    seeds = [bytes([i]) * 32 for i in range(3)]

    class Flaky:
        """Dies before every round: the next one is made from inputs and seed, and replays the rounds so far."""

        def __init__(self, make: Callable[[], Passed]) -> None:
            self.make = make
            self.log: list[tuple[str, tuple[Passed, ...]]] = []

        @property
        def count(self) -> int:
            count: int = self.make().count
            return count

        def __getattr__(self, name: str) -> Passed:
            def call(*arguments: Passed) -> Passed:
                share = self.make()
                for before, given in self.log:
                    getattr(share, before)(*given)
                answer = getattr(share, name)(*arguments)
                self.log.append((name, arguments))
                return answer

            return call

    def makers() -> Passed:
        return [
            lambda sets=sets, seed=seed: Share(venue.statement, sets, SeededBlinders(seed, run))
            for sets, seed in zip(share_sets(venue.statement, witness, 3), seeds, strict=True)
        ]

    def prove(shares: Passed) -> VenueProof:
        return Coordinator(venue.statement, witness, shares, SeededBlinders(b"c" * 32, run)).prove()

    steady, flaky = prove([make() for make in makers()]), prove([Flaky(make) for make in makers()])
    assert venue.encode(steady) == venue.encode(flaky)
    verify_venue(venue.statement, venue.encode(flaky))


def test_charges_and_surpluses_are_those_of_the_margin_engine() -> None:
    """Matrix work on many accounts, one at a time on the other side: the same integers."""
    from zkmargin.app.venue_accounts import Accounts, invented_accounts
    from zkmargin.app.venue_classes import Asked, class_books, sort_into_classes
    from zkmargin.circuits.venue import BlockTemplate, VenueRules
    from zkmargin.engine.claims import Claim
    from zkmargin.engine.example import example_market
    from zkmargin.engine.margin import claim_slack, margin_report
    from zkmargin.engine.policy import load_policy
    from zkmargin.engine.publishing.snapshots import build_snapshot
    from zkmargin.prover.venue.blocks import assess
    from zkmargin.verifier.venue.terms import VenueTerms

    snapshot = build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"), domain_size=256)
    accounts = Accounts.of(invented_accounts(snapshot, 20), snapshot)
    for requirement in ("initial", "maintenance"):
        rules = VenueRules.of(snapshot, requirement)
        asked = Asked(venue="a", requirement=requirement, claim="5/4")
        classes, members = sort_into_classes(accounts, rules, asked, 256)
        terms = VenueTerms(
            venue="a",
            requirement=requirement,
            domain_size=256,
            digit_bits=8,
            helper_group=7,
            classes=classes,
        )
        for spec, mine in zip(classes, members, strict=True):
            template = BlockTemplate(spec, rules, terms.options, 256)
            found = assess(template, class_books(spec, accounts, mine, rules))
            assert found.surplus is not None
            for a, account in enumerate(map(accounts.account, mine.tolist())):
                report = margin_report(snapshot, account.lots, requirement)
                assert rules.factor_bp * int(found.charges[a].sum()) == report.total
                assert found.surplus[a] == claim_slack(snapshot, account.lots, Claim(5, 4, requirement))
