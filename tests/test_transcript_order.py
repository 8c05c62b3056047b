"""The order of the transcript is soundness: each mutant of the schedule is forged, the real schedule is not.

docs/protocol.md section 5; catalogue items 13 to 16 and 19. A *mutant* is the verifier with one change: an absorb
that is left out, a message that is absorbed after the challenge it must precede, or powers that are all equal.
For each there is a forger that proves a false statement to the mutant; the same forger against the real schedule
is rejected.
"""

from dataclasses import replace

import pytest
from support import lab
from support.instances import BareStatement
from support.lab import Case
from support.order_forge import LIMITS, Forger, accepts, encode, silent
from support.typed import Keywords, Passed

from zkmargin.crypto.domain import divide_by_linear
from zkmargin.crypto.field import inverse, r
from zkmargin.crypto.srs import SRS
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.prover.argument import _Rounds
from zkmargin.verifier.argument import Challenges
from zkmargin.verifier.header import HEADER_BYTES
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Proof
from zkmargin.verifier.transcript import MarginTranscript


class MuAfterBeta(MarginTranscript):
    def round1(self, message: Message1) -> tuple[int, int]:
        self._mu = message.mu
        self._bytes.append("f", b"".join(message.f))
        self._bytes.append("gates", b"".join(message.gates))
        return self._bytes.challenge("beta"), self._bytes.challenge("rho")

    def round2(self, message: Message2) -> int:
        self._bytes.append("mu", self._mu)
        return super().round2(message)


class HelpersAfterChi(MarginTranscript):
    def round2(self, message: Message2) -> int:
        self._h = message.h
        self._bytes.append("phi", message.phi)
        return self._bytes.challenge("chi")

    def round3(self, message: Message3) -> int:
        self._bytes.append("h", b"".join(self._h))
        return super().round3(message)


class RunningSumAfterChi(MarginTranscript):
    def round2(self, message: Message2) -> int:
        self._phi = message.phi
        self._bytes.append("h", b"".join(message.h))
        return self._bytes.challenge("chi")

    def round3(self, message: Message3) -> int:
        self._bytes.append("phi", self._phi)
        return super().round3(message)


class EqualPowersOfRho(MarginTranscript):
    def round1(self, message: Passed) -> Passed:
        return super().round1(message)[0], 1


class EqualPowersOfChi(MarginTranscript):
    def round2(self, message: Passed) -> Passed:
        super().round2(message)
        return 1


class EqualPowersOfV(MarginTranscript):
    def round4(self, message: Message4) -> int:
        super().round4(message)
        return 1


@pytest.fixture(scope="module")
def false() -> tuple[Case, int]:
    """A false claim, with gates so that every element is there, and by how much it is false."""
    return lab.false_claim(gates=1)


def test_the_statement_is_false_and_the_forger_needs_a_freedom(false: tuple[Case, int]) -> None:
    given, _ = false
    forger = Forger(given, MarginTranscript)
    forger.start()
    values = forger.honest_values()
    assert not accepts(given.statement, encode(given, forger.finish(values, forger.transcript.round4(values))))


LATE = [
    ("f[0]", "f"),
    ("f[2]", "f"),
    ("mu", "mu"),
    ("A", "gates"),
    ("B", "gates"),
    ("C", "gates"),
    ("h[0]", "h"),
    ("phi", "phi"),
    ("T[0]", "T"),
    ("T[2]", "T"),
    ("positions[0]", "part"),
    ("collateral[0]", "part"),
]


@pytest.mark.parametrize(("late", "label"), LATE)
def test_an_element_that_no_challenge_binds_is_chosen_after_zeta(
    false: tuple[Case, int], late: str, label: str
) -> None:
    given, _ = false

    def attack(schedule: type[MarginTranscript]) -> tuple[BareStatement, bytes]:
        forger = Forger(given, schedule)
        forger.start()
        forger.fit_late(late)
        statement = given.statement
        if label == "part":
            role = late.partition("[")[0]
            point = lab.commit(statement.srs, forger.p[late]).hex()
            parts = [p.model_copy(update={"points": (point,)}) if p.role == role else p for p in statement.parts]
            statement = replace(statement, parts=tuple(parts))
        values = forger.honest_values()
        return statement, encode(given, forger.finish(values, forger.transcript.round4(values)))

    mutant = silent(label)
    statement, data = attack(mutant)
    assert accepts(statement, data, mutant)
    assert not accepts(*attack(mutant))
    assert not accepts(*attack(MarginTranscript))


@pytest.mark.parametrize(
    ("mutant", "value"),
    [(silent("f(zeta)"), "f"), (silent("A(zeta)"), "A"), (EqualPowersOfV, "f"), (EqualPowersOfV, "A")],
    ids=["f(zeta)", "A(zeta)", "equal powers, f", "equal powers, A"],
)
def test_values_that_v_does_not_bind_are_chosen_after_v(
    false: tuple[Case, int], mutant: type[MarginTranscript], value: str
) -> None:
    given, _ = false

    def attack(schedule: type[MarginTranscript]) -> bytes:
        forger = Forger(given, schedule)
        forger.start()
        values = forger.honest_values()
        v = forger.transcript.round4(values)

        def put(x: int) -> None:
            nonlocal values
            edit: Keywords = {value: (x, *getattr(values, value)[1:])}
            values = replace(values, **edit)

        forger.fit(put, lambda: lab.at(forger.combined(values, v), forger.x.zeta))
        return encode(given, forger.finish(values, v))

    assert accepts(given.statement, attack(mutant), mutant)
    assert not accepts(given.statement, attack(mutant))
    assert not accepts(given.statement, attack(MarginTranscript))


def test_a_value_of_phi_that_nothing_binds_is_chosen_after_y(false: tuple[Case, int]) -> None:
    given, _ = false

    def attack(schedule: type[MarginTranscript]) -> bytes:
        forger = Forger(given, schedule)
        forger.start()
        values = replace(forger.honest_values(), phi_shifted=0)
        v = forger.transcript.round4(values)
        proof = forger.finish(values, v)
        y = forger.transcript.round5(proof.message5)
        # the two remainders together: P(zeta) - value + y (phi(omega zeta) - value) = 0
        value = (forger.left + y * lab.at(forger.p["phi"], forger.shifted)) * inverse(1 + y) % r
        return encode(given, replace(proof, message4=replace(values, phi_shifted=value)))

    mutant = silent("phi(omega zeta)")
    assert accepts(given.statement, attack(mutant), mutant)
    assert not accepts(given.statement, attack(mutant))
    assert not accepts(given.statement, attack(MarginTranscript))


def opening_W_last(given: Case, schedule: type[MarginTranscript]) -> bytes:
    """y does not bind W: the value of phi is a lie that makes D(zeta) = 0, and W takes what W' leaves."""
    forger = Forger(given, schedule)
    forger.start()
    zeta, values = forger.x.zeta, forger.honest_values()
    lie = (values.phi_shifted + lab.at(forger.combined(values, 0), zeta)) % r
    values = replace(values, phi_shifted=lie)
    v = forger.transcript.round4(values)
    W_shifted = [(lab.at(forger.p["phi"], zeta) - lie) * inverse(zeta - forger.shifted) % r]
    proof = forger.finish(values, v, W_shifted=W_shifted)
    y = forger.transcript.round5(proof.message5)
    # (X - zeta) W = P + y (phi - lie) - y (X - omega zeta) W'
    right = forger.combined(values, v)
    for i, c in enumerate(forger.p["phi"]):
        right[i] += y * c
    right[0] += y * (forger.shifted * W_shifted[0] - lie)
    right[1] -= y * W_shifted[0]
    W, remainder = divide_by_linear([c % r for c in right], zeta)
    assert remainder == 0
    return encode(given, forger.finish(values, v, W=W, W_shifted=W_shifted))


def opening_W_shifted_last(given: Case, schedule: type[MarginTranscript]) -> bytes:
    """y does not bind W': phi is constant, W = P / (zeta (omega - 1)), W' = -W / y."""
    forger = Forger(given, schedule)
    forger.p["phi"] = [5, 0]
    forger.start()
    values = forger.honest_values()
    v = forger.transcript.round4(values)
    scale = inverse(forger.shifted - forger.x.zeta)
    W = [c * scale % r for c in forger.combined(values, v)]
    proof = forger.finish(values, v, W=W, W_shifted=[1])
    y = forger.transcript.round5(proof.message5)
    return encode(given, forger.finish(values, v, W=W, W_shifted=[-c * inverse(y) % r for c in W]))


@pytest.mark.parametrize(
    ("labels", "attack"),
    [
        (("W",), opening_W_last),
        (("W'",), opening_W_shifted_last),
        (("W", "W'"), opening_W_last),
        (("W", "W'"), opening_W_shifted_last),
    ],
    ids=lambda value: value.__name__ if callable(value) else " ".join(value),
)
def test_the_last_challenge_must_bind_both_openings(
    false: tuple[Case, int], labels: tuple[str, ...], attack: Passed
) -> None:
    # the "last challenge" attack: Linea's verifier, 2023
    given, _ = false
    mutant = silent(*labels)
    assert accepts(given.statement, attack(given, mutant), mutant)
    assert not accepts(given.statement, attack(given, mutant))
    assert not accepts(given.statement, attack(given, MarginTranscript))


# --- messages after the challenge they must precede ---------------------------------------------------------


def products(given: Case, beta: int) -> list[int]:
    """On every row, prod_c (beta + f_c) over the first group."""
    columns = given.witness.columns(given.circuit)
    result = [1] * given.circuit.n
    for c in given.circuit.lookup_groups[0]:
        result = [p * (beta + int(x)) % r for p, x in zip(result, columns[f"f[{c}]"], strict=True)]
    return result


def lookup_weight(given: Case, x: Challenges) -> int:
    return pow(x.rho, len(given.circuit.equations), r)


def missing(given: Case, x: Challenges, short: int) -> int:
    """sigma - sum of total: what the false claim (the last equation) leaves open."""
    return pow(x.rho, len(given.circuit.equations) - 1, r) * short % r


def mu_after_beta(given: Case, short: int, schedule: type[MuAfterBeta] | type[MarginTranscript]) -> Proof:
    """The slack's digit is -short; a multiplicity that is no integer pays for it."""
    column, row, _ = given.circuit.digit_cells[-1][0]
    digit = {f"f[{column}]": {row: -short}}

    def tamper(payment: int) -> lab.Tamper:
        def change(_rounds: _Rounds, name: str, values: list[int]) -> list[int]:
            if name == "mu":
                values[0] += payment
            return lab.swap(digit)(_rounds, name, values)

        return change

    first = lab.cheat(given, tamper(0), transcript=schedule)
    beta = lab.challenges(given.statement, first, schedule).beta
    return lab.cheat(given, tamper(beta * inverse(beta - short) - 1), transcript=schedule)


def helpers_after_chi(given: Case, short: int, schedule: type[HelpersAfterChi] | type[MarginTranscript]) -> Proof:
    """On the last row, where the running sum does not close, a helper closes it."""
    last = given.circuit.n - 1

    def proof(error: int) -> Proof:
        def tamper(_rounds: object, name: str, values: list[int]) -> list[int]:
            if name == "h[0]":
                values[last] += error
            if name == "phi":
                values[0] = 0
            return values

        return lab.cheat(given, tamper, transcript=schedule)

    x = lab.challenges(given.statement, proof(0), schedule)
    slope = lookup_weight(given, x) - x.chi * products(given, x.beta)[last]
    return proof(missing(given, x, short) * inverse(slope) % r)


def running_sum_after_chi(
    given: Case, short: int, schedule: type[RunningSumAfterChi] | type[MarginTranscript]
) -> Proof:
    """Two rows of a helper are wrong and cancel under the sum; phi hides each of them once chi is known."""

    def rows(x: Challenges) -> tuple[dict[int, int], list[int], int]:
        p, weight = products(given, x.beta), lookup_weight(given, x)
        i, j = next((i, j) for i in range(given.circuit.n) for j in range(i) if p[i] != p[j])
        # e_i p_i + e_j p_j = 0 and rho^J (e_i + e_j) = what is missing
        s = missing(given, x, short) * inverse(weight * (p[j] - p[i])) % r
        return {i: s * p[j] % r, j: -s * p[i] % r}, p, weight

    def tamper(x: Challenges, chi: int) -> lab.Tamper:
        errors, p, weight = rows(x)

        def change(_rounds: object, name: str, values: list[int]) -> list[int]:
            if name == "h[0]":
                return [v + errors.get(i, 0) for i, v in enumerate(values)]
            if name == "phi":
                steps = [e * (weight - chi * p[i]) for i, e in errors.items()]
                return [
                    v * (i > 0) + sum(step for step, row in zip(steps, errors, strict=True) if i > row)
                    for i, v in enumerate(values)
                ]
            return values

        return change

    x = lab.challenges(given.statement, lab.cheat(given, transcript=schedule), schedule)
    second = lab.cheat(given, tamper(x, 0), transcript=schedule)
    chi = lab.challenges(given.statement, second, schedule).chi
    return lab.cheat(given, tamper(x, chi), transcript=schedule)


def equations_that_cancel(given: Case, short: int, schedule: type[MarginTranscript]) -> Passed:
    """The claim is short by what a scenario has too much."""
    circuit, w = given.circuit, given.witness
    slacks = [e.slack for e in circuit.equations if e.rule == "scenario" and e.slack is not None]
    v = next(slack for slack in slacks if w.bounded[slack] >= short)
    bounded = (*w.bounded[:v], w.bounded[v] - short, *w.bounded[v + 1 :])
    return lab.cheat(replace(given, witness=replace(w, bounded=bounded)), transcript=schedule)


@pytest.mark.parametrize(
    ("mutant", "attack"),
    [
        (MuAfterBeta, mu_after_beta),
        (HelpersAfterChi, helpers_after_chi),
        (RunningSumAfterChi, running_sum_after_chi),
        (EqualPowersOfChi, helpers_after_chi),
        (EqualPowersOfRho, equations_that_cancel),
    ],
    ids=lambda value: value.__name__,
)
@pytest.mark.parametrize("gates", [0, 1])
def test_a_reordered_schedule_is_forged_and_the_real_one_is_not(
    gates: int, mutant: type[HelpersAfterChi] | type[MuAfterBeta] | type[RunningSumAfterChi], attack: Passed
) -> None:
    given, short = lab.false_claim(gates=gates)
    forged = lab.encode(given, attack(given, short, mutant))
    assert accepts(given.statement, forged, mutant)
    assert not accepts(given.statement, forged)
    assert not accepts(given.statement, lab.encode(given, attack(given, short, MarginTranscript)))
    # and the freedom is what does it: without the attack the mutant refuses too
    assert not accepts(given.statement, lab.encode(given, lab.cheat(given, transcript=mutant)), mutant)


# --- the statement ------------------------------------------------------------------------------------------


def other_statements(statement: BareStatement) -> dict[str, BareStatement]:
    """For each public message a statement that differs in it alone."""
    circuit = statement.circuit
    renamed = replace(circuit.equations[0], name="another name")
    part = statement.parts[0].model_copy(update={"alias": "somebody else"})
    longer = SRS.from_points([statement.srs.g1(i) for i in range(79)], [statement.srs.g2_one, statement.srs.g2_tau])
    return {
        "srs": replace(statement, srs=longer),
        "snapshot": replace(statement, snapshot_digest=bytes(32)),
        "circuit": replace(statement, circuit=replace(circuit, equations=(renamed, *circuit.equations[1:]))),
        "claim": replace(statement, claim=Claim(5, 4)),
        "part": replace(statement, parts=(part, *statement.parts[1:])),
        "limit": replace(statement, limits=(Limit.parse("headroom >= 7"), *statement.limits[1:])),
        "context": replace(statement, context=b"another reader"),
    }


def test_a_public_message_that_is_not_absorbed_can_be_exchanged() -> None:
    # Frozen Heart: a proof for one statement is a proof for another that differs in what nothing binds
    given = lab.standard(options={"srs": lab.known_tau()})
    given = replace(given, statement=replace(given.statement, limits=LIMITS))
    others = other_statements(given.statement)
    labels = {label for label, _ in given.statement.public_messages()}
    assert labels == {*others, "limits", "parts"}  # how many there are: no statement differs in that alone
    for label, other in others.items():
        mutant = silent(label)
        data = lab.encode(given, lab.cheat(given, transcript=mutant))
        assert accepts(given.statement, data, mutant)
        data = data[: HEADER_BYTES - 32] + other.srs.digest + data[HEADER_BYTES:]
        assert accepts(other, data, mutant), label
        assert not accepts(other, data), label
        honest = lab.prove(given)
        assert not accepts(other, honest[: HEADER_BYTES - 32] + other.srs.digest + honest[HEADER_BYTES:]), label
