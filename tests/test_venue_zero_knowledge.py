"""What a venue proof reveals is uniform, also with every customer's opening published: the rank test of
docs/protocol-venue.md section 6, with a known tau (tests/test_zero_knowledge.py says why a full rank is enough).
"""

import pytest
from support import lab, venue_lab, venue_policies
from support.typed import JsonObject, Keywords, Passed
from support.venue_lab import Venue

from zkmargin.crypto.domain import evaluate
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.prover.venue.algebra import Polynomial, Schedule
from zkmargin.prover.venue.reference import ReferenceProver
from zkmargin.verifier.venue.customers import block_interpolant, place_of
from zkmargin.verifier.venue.statement import VenueStatement

DENSE = ([1, -2, 3, 0, 0], [4000, 5])
LAYOUTS: dict[str, JsonObject] = {
    "two classes": {"net": False},
    "net and totals": {"totals": True},
    "a cap": {"cap": 10**9},
    "a dense account and exemptions": {"dense": [DENSE], "exempt": 1},
    "dense accounts that share a column": {"dense alone": 3},
    "one column a helper": {"helper_group": 1},
    "several segments": {"segments": 2},
    "a class without a claim, and one with its own": {"claims": True, "exempt": 1},
    "a policy that joins groups": {"policy": "tims"},
    "spreads and calendars": {"policy": "span with calendars"},
    "gain offsets and tails": {"policy": "deribit-pm"},
}


class Bench:
    """The reference prover as a function from blinders to revealed numbers, at fixed challenges."""

    def __init__(self, **options: Passed) -> None:
        policy, alone = options.pop("policy", None), options.pop("dense alone", 0)
        segments = options.pop("segments", 0)
        if segments:
            self.venue = self.segmented(segments)
        elif alone:
            self.venue = venue_lab.sharing(alone, totals=True)
        else:
            self.venue = self.joined(policy) if policy else self.plain(options)
        self.prepare()

    def joined(self, policy: str) -> Venue:
        """One account whose circuit holds all risk groups, and a dense one."""
        spec = venue_lab.spec("all", accounts=1, legs=3, slots=1, block=16, position_bits=6, charge_bits=9)
        market = venue_policies.snapshot(policy)
        return venue_lab.Venue([(spec, venue_policies.BOOKS[:1])], market=market, dense=[venue_policies.DENSE])

    def segmented(self, segments: int) -> Venue:
        """Positions over several segments of 15 rows: of a dense account, and of one in a class."""
        count = 15 * (segments - 1) + 2
        rules: Keywords = {"groups": (0,) * count, "risk": ((1,), (-1,)) * (count // 2) + ((2,),) * (count % 2)}
        rules |= {"charges": None, "marks": (0,) * count}
        small = venue_lab.spec(accounts=1, legs=1, slots=1, block=2)
        accounts: list[venue_lab.Account] = [(((0, ((count - 1, 1),)),), (4000, 0))]
        books = [([1, *[0] * (count - 2), -2], [4000, 5])]
        venue = venue_lab.Venue([(small, accounts)], dense=books, rules=rules, totals=True)
        assert venue.statement.segments == segments
        return venue

    def plain(self, options: Keywords) -> Venue:
        """One account of two slots, nine of one; with ``claims`` nothing is claimed of one, and more of a third."""
        claims = options.pop("claims", False)
        two = venue_lab.spec("two", accounts=9, legs=1, slots=1, block=2)
        accounts = [(((0, ((0, 1),)),), (4000, 0))] * 9
        classes: list[Passed] = [(venue_lab.spec(accounts=1), venue_lab.SMALL[:1]), (two, accounts)]
        if claims:
            listed = venue_lab.spec("listed", accounts=1, legs=1, slots=1, block=1, claim=None)
            more = venue_lab.spec("more", accounts=1, legs=1, slots=1, block=2, claim="5/4", limits=("headroom >= 0",))
            classes = [classes[0], (listed, [(((1, ((3, -2),)),), (-7, 0))]), (more, accounts[:1])]
        return venue_lab.Venue(classes, **options)

    def prepare(self) -> None:
        """Fixed challenges, and a prover whose points are their exponents."""
        self.witness = self.venue.witness()
        self.columns = self.witness.columns(self.venue.statement)
        self.tau, draw = lab.TAU, lab.draws("venue challenges")
        names = ("gamma", "beta", "delta", "eta", "rho", "chi", "zeta", "v", "y")
        fixed = {name: draw() for name in names}
        self.opening_challenges = [draw() for _ in range(self.venue.statement.accounts)]
        self.names: list[tuple[str, int]] = []

        class Fixed(Schedule):
            def __init__(self, statement: VenueStatement) -> None:
                self.statement, self.challenges = statement, dict(fixed)
                for i in range(1, 7):
                    setattr(self, f"message{i}", lambda _message: None)

        class Exponents(ReferenceProver):
            schedule_type = Fixed

            def encoded(self, p: Polynomial) -> bytes:
                return int(p.at(lab.TAU)).to_bytes(48, "big")

        self.prover_type = Exponents

    def revealed(self, blinders: dict[tuple[str, int], int]) -> tuple[dict[str, int], list[int]]:
        """Exponents of all points but W and W' and all scalars; and the exponents of all customers' openings."""

        def draw(name: str, count: int) -> list[int]:
            for i in range(count):
                if (name, i) not in self.names:
                    self.names.append((name, i))
            return [blinders.get((name, i), 0) for i in range(count)]

        prover = self.prover_type(self.venue.statement, self.columns, self.witness.blinders, draw)
        proof = prover.prove()
        found = {name: int.from_bytes(data, "big") for name, data in prover.points.items() if name not in ("W", "W'")}
        found |= {f"{name} at zeta": x for name, x in zip(self.venue.statement.opened, proof.values.f, strict=True)}
        found["phi at omega zeta"] = proof.values.phi_shifted
        return found, [self.opening(prover, a) for a in range(self.venue.statement.accounts)]

    def opening(self, prover: Passed, account: int) -> int:
        """The exponent of a customer's Wa."""
        statement, place = self.venue.statement, place_of(self.venue.statement, account)
        x = place.column_set
        template = statement.templates[x.kind]
        names = [*statement.set_columns(x), f"tag {statement.tag_column(x)[0]}"]
        weights = powers(self.opening_challenges[account], len(names))
        rows = range(place.block, statement.n, template.T)
        cells = [sum(w * self.columns[name][row] for w, name in zip(weights, names, strict=True)) % r for row in rows]
        interpolant = block_interpolant(statement.domain, place.block, template.spec.block, cells)
        f = sum(w * prover.column[name].at(self.tau) for w, name in zip(weights, names, strict=True))
        Z = pow(self.tau, template.spec.block, r) - pow(statement.domain.omega, place.block * template.spec.block, r)
        exponent: int = (f - evaluate(interpolant, self.tau)) * inverse(Z) % r
        return exponent


def rank(matrix: list[list[int]]) -> int:
    """The rank modulo r."""
    rows, found = [list(row) for row in matrix], 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(found, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        scale = inverse(rows[found][column])
        rows[found] = [x * scale % r for x in rows[found]]
        for i in range(found + 1, len(rows)):
            if factor := rows[i][column]:
                rows[i] = [(x - factor * y) % r for x, y in zip(rows[i], rows[found], strict=True)]
        found += 1
    return found


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_what_is_revealed_is_uniform_also_with_all_openings(layout: str) -> None:
    bench = Bench(**LAYOUTS[layout])
    draw = lab.draws("blinders")
    bench.revealed({})
    at = {name: draw() for name in bench.names}
    base, base_openings = bench.revealed(at)
    columns, opening_columns = [], []
    for name, value in at.items():
        moved, openings = bench.revealed(at | {name: (value + 1) % r})
        columns.append([(moved[key] - x) % r for key, x in base.items()])
        opening_columns.append([(a - b) % r for a, b in zip(openings, base_openings, strict=True)])
    numbers = [list(row) for row in zip(*columns, strict=True)]
    opening_numbers = [list(row) for row in zip(*opening_columns, strict=True)]
    assert len(numbers) == len(at), "as many numbers as blinders"
    assert rank(numbers) == len(at)
    assert rank(numbers + opening_numbers) == len(at)
    # an opening is determined by its columns' points: it tells nothing that the proof did not
    opened = [
        row for row, key in zip(numbers, base, strict=True) if key in bench.venue.statement.opened or "tag" in key
    ]
    assert rank(opened + opening_numbers) == rank(opened)
    # without any one blinder, something that is revealed is no longer masked
    for j in range(0, len(at), 7):
        fewer = [row[:j] + row[j + 1 :] for row in numbers]
        assert rank(fewer) == len(at) - 1
