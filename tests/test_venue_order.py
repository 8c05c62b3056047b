"""Venue proofs whose challenges come too early: what an attacker makes of it (docs/protocol-venue.md section 5).

A *mutant* is a protocol in which an order or an equation is missing. Each forgery is accepted by its mutant's verifier,
so the attack is real, and refused by the product's.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from support import venue_lab
from support.typed import Unchecked
from support.venue_forge import (
    Planned,
    forged,
    honest,
    negative_slack_of_the_poor,
    netted,
    on_mutant,
    one_dense,
    poor,
    refused,
    total_error,
    traded,
    two_classes,
    two_slots,
)
from support.venue_lab import Cells, Venue

from zkmargin.crypto.field import inverse, powers, r
from zkmargin.prover.ring import Element
from zkmargin.prover.venue.algebra import Algebra, Polynomial
from zkmargin.prover.venue.reference import verify_reference
from zkmargin.verifier.venue.proof import Openings, Values, VenueProof, encode_venue_proof
from zkmargin.verifier.venue.statement import ColumnSet, VenueStatement


@pytest.fixture(scope="module")
def two() -> Venue:
    return two_classes()


@pytest.fixture(scope="module")
def with_dense() -> Venue:
    return one_dense()


@pytest.fixture
def slots() -> Venue:
    return two_slots()


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


@pytest.mark.parametrize("early", [("delta",), ("beta", "delta", "eta")], ids="-".join)
def test_v2_aggregated_books_after_delta_are_traded_against_each_other(slots: Venue, early: tuple[str, ...]) -> None:
    """After delta alone, and after all three of the lookup, without rho: with rho the one sum is enough."""

    class Mutant(Planned):
        plan = {  # noqa: RUF012
            1: ("gamma", *early),
            2: tuple(name for name in ("beta", "delta", "eta", "rho") if name not in early),
        }

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


def test_v2_helpers_after_chi_let_digits_out_of_range(slots: Venue) -> None:
    class Mutant(Planned):
        plan = {2: ("beta", "delta", "eta", "rho", "chi"), 3: ()}  # noqa: RUF012

    columns = honest(slots)
    negative_slack_of_the_poor(slots, columns)
    kind = traded(0, 1, lambda ch: (ch["chi"], ch["chi"] * ch["chi"] % r))
    on_mutant(slots, forged(slots, columns, kind=kind, schedule=Mutant), schedule=Mutant)


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
    other = venue_lab.with_parts(statement, parts)
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
