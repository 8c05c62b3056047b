"""Venue proofs in which two identities, or two equations, share a power, and the last two orders of messages: what an
attacker makes of it (docs/protocol-venue.md section 5).

Each forgery is accepted by its mutant's verifier, so the attack is real, and refused by the product's two verifiers and
by the one that is written from the text.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from support import venue_lab
from support.typed import JsonObject, Unchecked
from support.venue_forge import (
    DENSE,
    Extend,
    Planned,
    honest,
    honest_despite_net,
    negative_slack_of_the_poor,
    on_mutant,
    other_powers,
    total_error,
    two_slots,
)
from support.venue_lab import Cells, Venue

from zkmargin.accounts.commitments import Commitment
from zkmargin.crypto.field import inverse, r
from zkmargin.crypto.field import powers as powers_of
from zkmargin.formats import canonical_bytes
from zkmargin.prover.ring import Element
from zkmargin.prover.venue import algebra as real
from zkmargin.prover.venue.algebra import Algebra, Number, Schedule
from zkmargin.verifier.venue.proof import Helpers, Quotient, VenueProof
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms


def attacked(
    venue: Venue,
    columns: Cells,
    tmp_path: Path,
    *,
    kind: Extend | None = None,
    algebra: type[Algebra] = Algebra,
    schedule: type[Schedule] = Schedule,
    blinders: Mapping[str, int] | None = None,
    commitments: Sequence[Commitment] | None = None,
) -> None:
    """Forged under the mutant and accepted by it; refused by both verifiers and by the second."""
    base = venue_lab.unchecked().ReferenceProver
    attributes = {"algebra_type": algebra, "schedule_type": schedule}
    prover_type = type("Forger", (kind(base) if kind else base,), attributes)
    if blinders is None:
        blinders = venue.witness().blinders
    proof = venue.encode(prover_type(venue.statement, columns, blinders, venue_lab.blinders("forger")).prove())
    on_mutant(venue, proof, algebra, schedule)
    second: Unchecked = import_module("second_venue_verifier")
    (tmp_path / "setup.srs").write_bytes(venue.srs.encoding)
    texts = [c.to_bytes() for c in commitments or (opening.commitment() for opening in venue.openings)]
    with pytest.raises(second.Rejected):
        second.verify(
            venue.snapshot.to_bytes(), venue.statement.terms.to_bytes(), texts, proof, setup=tmp_path / "setup.srs"
        )


# --- powers of chi ----------------------------------------------------------------------------------------------


def sharing_chi(first: int, second: int) -> type[Algebra]:
    """Identities ``first`` and ``second`` after the helpers have one power of chi."""

    class Mutant(Algebra):
        def right_side(
            self,
            column: Mapping[str, Element],
            phi_shifted: Element,
            public: Mapping[str, Element],
            number: Callable[[int], Element],
        ) -> Element:
            helpers = len(self.statement.helpers)

            def powers(x: int, count: int) -> list[int]:
                found = powers_of(x, count)
                found[1 + helpers + second] = found[1 + helpers + first]
                return found

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(real, "powers", powers)
                return super().right_side(column, phi_shifted, public, number)

    return Mutant


def change(venue: Venue, columns: Cells, y: int, name: str, more: int) -> None:
    """Add to an integer of a dense account that stays in its range."""
    slot, k = venue.statement.dense[y], venue.statement.k
    number = slot.template.integers.index(name)
    start, digits = slot.template.integers.starts[number], slot.template.integers.bounded[number].digits
    where = [slot.cell(start + d) for d in range(digits)]
    x = sum(columns[f"dense digit {c}"][row] << (k * d) for d, (c, row) in enumerate(where)) + more
    assert 0 <= x < 1 << (k * digits)
    for d, (c, row) in enumerate(where):
        columns[f"dense digit {c}"][row] = (x >> (k * d)) & ((1 << k) - 1)


def test_v2_one_power_of_chi_for_two_accounts_digits_moves_a_short_position(tmp_path: Path) -> None:
    """Account 0 shows half of what it sold, account 1 that much more: only the sum of both is looked at."""
    books = [([0, 0, -2, 0, 0], [4000, 5]), ([0, 0, 2, 0, 0], [4000, 5])]
    venue = Venue([], dense=books, rules={"charges": (9, 9, 9, 9, 9)})
    columns, factor = honest(venue), venue.statement.rules.factor_bp
    for y, digit, charge, short in ((0, -1, -9, 0), (1, 1, 7, -2)):
        slot = venue.statement.dense[y]
        columns[f"dense digit {slot.position_digit(0, 1, 0)}"][2] += digit
        for name in ("charge 1", *(f"slack 1 {j}" for j in range(3))):
            change(venue, columns, y, name, charge)
        change(venue, columns, y, "slack 1 minimum", short)
        change(venue, columns, y, "claim", -charge * factor)
    # after the helpers: account 0's digits and two selectors, then account 1's digits
    attacked(venue, columns, tmp_path, algebra=sharing_chi(0, 3))


@pytest.mark.parametrize("identities", [(0, 1), (1, 2)], ids=["digits and a selector", "both selectors"])
def test_v2_one_power_of_chi_for_a_selector_hides_a_slot_in_an_unlisted_row(
    tmp_path: Path, identities: tuple[int, int]
) -> None:
    """The commitment itself is made with a hidden entry, whose error another identity makes good."""
    venue = Venue(dense=[DENSE])
    columns, blinders, row = honest(venue), venue.witness().blinders, 9
    digit = f"dense digit {venue.statement.dense[0].position_digit(0, 0, 0)}"
    columns["dense 0 positions[0]"][row] = 1
    if identities == (0, 1):
        columns[digit][row] = 2  # (1 - 2) + 1 = 0
    else:
        columns[digit][row] = 1
        columns["dense 0 collateral[0]"][row] = r - 1  # 1 + (-1) = 0
    prover = venue_lab.unchecked().ReferenceProver(venue.statement, columns, blinders, None)
    document: JsonObject = json.loads(venue.openings[0].commitment().to_bytes())
    for part in document["parts"]:
        part["points"] = [prover.encoded(prover.column[f"dense 0 {part['role']}[0]"]).hex()]
    commitment = Commitment.parse(canonical_bytes(document))
    stated: JsonObject = json.loads(venue.statement.terms.to_bytes())
    stated["dense"][0]["commitment"] = commitment.digest().hex()
    terms = VenueTerms.parse(canonical_bytes(stated))
    venue.statement = VenueStatement.of(venue.snapshot, terms, commitments=[commitment], context=b"", srs=venue.srs)
    attacked(venue, columns, tmp_path, algebra=sharing_chi(*identities), blinders=blinders, commitments=[commitment])


# --- powers of rho and delta ------------------------------------------------------------------------------------


def test_v2_one_power_of_rho_for_two_totals_invents_an_asset_for_another(tmp_path: Path) -> None:
    Mutant = other_powers(lambda true: (true.total(1), true.total(0)), total=lambda true: lambda _j: true.total(0))

    venue = Venue(totals=True)
    columns, worth = honest(venue), venue.statement.rules.long_value
    assert worth[1] > worth[0]
    for name, more in (("held 0", -1), ("held 1", 1), ("claim", worth[1] - worth[0])):
        venue_lab.put(venue, columns, 0, 0, name, venue_lab.value(venue, columns, 0, 0, name) + more)
    attacked(venue, columns, tmp_path, algebra=Mutant)


def test_v2_a_total_that_shares_the_power_of_the_claim_pays_for_an_account(tmp_path: Path) -> None:
    """gamma^0 of account 0 and the plain sum are one."""

    Mutant = other_powers(
        lambda true: (true.total(0), true.claim), total=lambda true: lambda j: true.total(j) if j else true.claim
    )

    venue = Venue(totals=True)
    columns = honest(venue)
    # account 1 holds one unit more, its claim with it; account 0's slack takes up what the total has too much
    worth = venue.statement.rules.long_value[0]
    for a, name, more in ((1, "held 0", 1), (1, "claim", worth), (0, "claim", 1)):
        venue_lab.put(venue, columns, 0, a, name, venue_lab.value(venue, columns, 0, a, name) + more)
    attacked(venue, columns, tmp_path, algebra=Mutant)


def test_v2_net_under_the_power_of_delta_of_the_valued_books_is_any_net(tmp_path: Path) -> None:
    """Qc takes the difference up: an instrument that is worth nothing has another net than stated."""

    class Mutant(Algebra):
        def net_weight(self) -> int:
            return pow(self.ch["delta"], 2, r)

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            def aggregates(self) -> None:
                super().aggregates()
                self.on_H["Qc 0"][0] = (self.on_H["Qc 0"][0] + 7) % r
                self.commit("Qc 0", 1)

        return Forger

    true = [int(q) for q in Venue().statement.terms.net or ()]
    venue = Venue(net=(true[0] - 7, *true[1:]))
    assert venue.statement.rules.marks[0] == 0
    attacked(venue, honest_despite_net(venue), tmp_path, kind=kind, algebra=Mutant, blinders={})


# --- orders -----------------------------------------------------------------------------------------------------


def test_v2_phi_after_chi_lets_digits_out_of_range(tmp_path: Path) -> None:
    """A helper is wrong on two rows by errors that cancel; phi, made for this chi, carries them over."""

    class Mutant(Planned):
        phi = b""

        def message3(self, message: Helpers) -> None:
            self.phi = message.phi
            super().message3(replace(message, phi=b""))

        def message4(self, message: Quotient) -> None:
            self.bytes.append("late phi", self.phi)
            super().message4(message)

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            def helpers(self) -> None:
                super().helpers()
                helper, beta = self.statement.helpers[0], self.schedule.challenges["beta"]
                scales = []
                for row in (0, 1):
                    product = 1
                    for j in helper.columns:
                        product = product * (beta + self.on_H[f"{helper.owner} digit {j}"][row]) % r
                    scales.append(inverse(product))
                effect = self.algebra.rho(self.algebra.e.range) * (scales[0] - scales[1])
                e = total_error(self) * inverse(effect) % r
                for row, sign in ((0, 1), (1, -1)):
                    rows = self.on_H[helper.name]
                    rows[row] = (rows[row] + sign * e * scales[row]) % r
                self.commit(helper.name, 1)

            def quotient(self) -> None:
                phi = [0]
                for row in range(self.statement.n):
                    at = {name: Number(rows[row]) for name, rows in self.on_H.items()} | {"phi": Number(phi[-1])}
                    public = {name: Number(rows[row]) for name, rows in self.public.items()}
                    phi.append(-self.algebra.right_side(at, Number(0), public, Number).value % r)
                assert phi.pop() == 0
                self.on_H["phi"] = phi
                self.commit("phi", 3)
                self.schedule.phi = self.points["phi"]
                super().quotient()

            def prove(self) -> VenueProof:
                proof: VenueProof = super().prove()
                return replace(proof, helpers=replace(proof.helpers, phi=self.points["phi"]))

        return Forger

    venue = two_slots()
    columns = honest(venue)
    negative_slack_of_the_poor(venue, columns)
    attacked(venue, columns, tmp_path, kind=kind, schedule=Mutant)


def test_v2_aggregated_books_after_rho_alone_take_up_wrong_multiplicities(tmp_path: Path) -> None:
    """Of an instrument in group 0 the pole is that of its number as a digit, whatever eta is: what mu has too little
    there is put into Qp, divided by rho, where it repairs a scenario's equation.
    """

    class Mutant(Planned):
        plan = {1: ("gamma", "rho"), 2: ("beta", "delta", "eta")}  # noqa: RUF012

    venue = two_slots()
    columns, rules = honest(venue), venue.statement.rules
    assert venue.statement.exponents.weighted == venue.statement.exponents.range + 1
    # slot 0 of account 0 loses 25 in scenario 1; it is charged 10 less
    lost = 10
    after = venue_lab.value(venue, columns, 0, 0, "charge 0") - lost
    assert venue_lab.value(venue, columns, 0, 0, "slack 0 1") == 0
    venue_lab.put(venue, columns, 0, 0, "charge 0", after)
    for name in ("slack 0 0", "slack 0 2", "slack 0 minimum"):
        venue_lab.put(venue, columns, 0, 0, name, venue_lab.value(venue, columns, 0, 0, name) - lost)
    claim = venue_lab.value(venue, columns, 0, 0, "claim")
    venue_lab.put(venue, columns, 0, 0, "claim", claim + rules.factor_bp * lost)
    mine = [i for i, g in enumerate(rules.group_of) if g == 0]
    gains = [[int(rules.risk[i, j]) for i in mine] for j in range(3)]
    missing = venue_lab.solve(gains, [0, 0, lost])  # scenario 2 at 1/rho is scenario 1

    def kind(base: Unchecked) -> Unchecked:
        class Forger(base):  # type: ignore[misc]
            def multiplicities(self) -> None:
                super().multiplicities()
                for i, m in zip(mine, missing, strict=True):
                    self.on_H["mu 0"][i] = (self.on_H["mu 0"][i] - m) % r
                self.commit("mu 0", 1)

            def aggregates(self) -> None:
                super().aggregates()
                for i, m in zip(mine, missing, strict=True):
                    self.on_H["Qp 0"][i] = (self.on_H["Qp 0"][i] + m * inverse(self.schedule.challenges["rho"])) % r
                self.commit("Qp 0", 1)

        return Forger

    attacked(venue, columns, tmp_path, kind=kind, schedule=Mutant)
