"""The order of the transcript is soundness: each mutant of the schedule is forged, the real schedule is not.

docs/protocol.md section 5; catalogue items 13 to 16 and 19. A *mutant* is the verifier with one change: an absorb
that is left out, a message that is absorbed after the challenge it must precede, or powers that are all equal.
For each there is a forger that proves a false statement to the mutant; the same forger against the real schedule
is rejected. A golden file pins the challenges themselves.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from Crypto.Hash import keccak
from support import lab
from support.instances import BareStatement
from support.lab import Case
from support.typed import Keywords, Passed

import zkmargin.verifier.argument
import zkmargin.verifier.transcript
from zkmargin.accounts.commitments import CommitmentPart
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.crypto.commitment import blind
from zkmargin.crypto.domain import divide_by_linear
from zkmargin.crypto.field import inverse, r
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.crypto.transcript import Transcript
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.formats import VerificationError, keccak256
from zkmargin.prover.argument import _Rounds
from zkmargin.verifier import verify
from zkmargin.verifier.argument import Challenges, linearise, public_values
from zkmargin.verifier.header import HEADER_BYTES
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Message5, Proof, encode_proof
from zkmargin.verifier.transcript import MarginTranscript

LIMITS = (Limit.parse("headroom >= 100000"), Limit.parse("net-exposure BTC <= 120.50"))
GOLDEN = Path(__file__).with_name("data") / "transcript-challenges.json"


# --- mutants ------------------------------------------------------------------------------------------------


def silent(*labels: str) -> type[MarginTranscript]:
    """The schedule without the absorbs of these labels."""

    class Silent(Transcript):
        def append(self, label: str, data: bytes) -> None:
            if label not in labels:
                super().append(label, data)

    class Mutant(MarginTranscript):
        def __init__(self, statement: BareStatement) -> None:
            with patch.object(zkmargin.verifier.transcript, "Transcript", Silent):
                super().__init__(statement)

    return Mutant


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


def accepts(statement: BareStatement, data: bytes, schedule: type[MarginTranscript] = MarginTranscript) -> bool:
    """Whether the verifier with this schedule takes the proof."""
    with patch.object(zkmargin.verifier.argument, "MarginTranscript", schedule):
        try:
            verify(statement.as_statement(), data)
        except VerificationError:
            return False
        return True


# --- a forger without any witness ---------------------------------------------------------------------------


class Forger:
    """Random polynomials for every element, and the freedom that a mutant leaves to make the one equation hold."""

    def __init__(self, given: Case, schedule: type[MarginTranscript]) -> None:
        self.lab, self.given, self.circuit, self.statement = lab, given, given.circuit, given.statement
        self.schedule = schedule
        draw = lab.draws("forger")
        shape = given.circuit.shape
        self.p = dict(book_polynomials(given))
        for name in (
            *(f"f[{c}]" for c in range(shape.digits)),
            "mu",
            *("ABC" if shape.gates else ""),
            *(f"h[{g}]" for g in range(shape.helpers)),
            "phi",
            *(f"T[{i}]" for i in range(shape.pieces)),
        ):
            self.p[name] = [draw(), draw()]

    def points(self, prefix: str) -> tuple[bytes, ...]:
        """Commitments of the polynomials of one message element."""
        names = "ABC" if prefix == "gates" else [n for n in self.p if n.partition("[")[0] == prefix]
        srs = self.statement.srs
        return tuple(self.lab.commit(srs, self.p[name]) for name in names if name in self.p)

    def point(self, name: str) -> bytes:
        """The commitment of one polynomial."""
        (only,) = self.points(name)
        return only

    def start(self) -> None:
        """Run the schedule to zeta."""
        self.m1 = Message1(self.points("f"), self.point("mu"), self.points("gates"))
        self.m2 = Message2(self.points("h"), self.point("phi"))
        self.m3 = Message3(self.points("T"))
        self.transcript = self.schedule(self.statement)
        beta, rho = self.transcript.round1(self.m1)
        chi = self.transcript.round2(self.m2)
        self.x = Challenges(beta, rho, chi, self.transcript.round3(self.m3), 0, 0)
        self.shifted = self.circuit.domain.omega * self.x.zeta % r

    def honest_values(self) -> Message4:
        """Message 4 as the polynomials have it."""
        at, zeta = self.lab.at, self.x.zeta
        f = tuple(at(self.p[f"f[{c}]"], zeta) for c in range(self.circuit.digit_columns))
        A = (at(self.p["A"], zeta),) if self.circuit.gates else ()
        return Message4(f, at(self.p["phi"], self.shifted), A)

    def combined(self, values: Message4, v: int) -> list[int]:
        """D + sum v^(c+1) (f_c - sent) as one polynomial; v = 0 leaves D."""
        D = linearise(self.circuit, self.x, values, public_values(self.circuit, self.x))
        D.open_to(values.at_zeta(), v)
        size = max(len(p) for p in self.p.values())
        total = [D.constant] + [0] * (size - 1)
        for name, coefficient in D.coefficients.items():
            for i, c in enumerate(self.p[name]):
                total[i] += coefficient * c
        return [c % r for c in total]

    def fit(self, put: Callable[[int], None], residual: Callable[[], int]) -> None:
        """Choose the argument of ``put`` for which ``residual``, affine in it, is 0."""
        put(0)
        a = residual()
        put(1)
        b = residual()
        put(-a * inverse(b - a) % r)
        assert residual() == 0

    def fit_late(self, late: str) -> None:
        """Move one polynomial, that no challenge depends on, until D(zeta) = 0."""
        base = list(self.p[late])

        def put(s: int) -> None:
            self.p[late] = [base[0], base[1] + s, *base[2:]]

        self.fit(put, lambda: self.lab.at(self.combined(self.honest_values(), 0), self.x.zeta))

    def finish(self, values: Message4, v: int, W: list[int] | None = None, W_shifted: list[int] | None = None) -> Proof:
        """The proof; openings are quotients unless they are given as polynomials."""
        quotient, self.left = divide_by_linear(self.combined(values, v), self.x.zeta)
        shifted, _ = divide_by_linear([c % r for c in self.p["phi"]], self.shifted)
        srs = self.statement.srs
        m5 = Message5(self.lab.commit(srs, W or quotient), self.lab.commit(srs, W_shifted or shifted))
        m1 = Message1(self.points("f"), self.point("mu"), self.points("gates"))
        m2 = Message2(self.points("h"), self.point("phi"))
        return Proof(m1, m2, Message3(self.points("T")), values, m5)


def book_polynomials(given: Case) -> Iterator[tuple[str, list[int]]]:
    """The committed columns as polynomials: their maker knows the blinders."""
    columns = given.witness.columns(given.circuit)
    for column, blinder in given.blinders.items():
        coefficients = given.circuit.domain.intt([int(x) % r for x in columns[column]])
        yield column, blind(coefficients, [blinder], given.circuit.n)


def encode(given: Case, proof: Proof) -> bytes:
    return encode_proof(proof, given.statement.srs.digest)


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


# --- the schedule itself ------------------------------------------------------------------------------------


def fixed_statement(**changes: Passed) -> BareStatement:
    """A statement of fixed bytes: what is absorbed, not what it means."""
    parts = tuple(
        CommitmentPart.model_validate(
            {"role": role, "alias": f"{role} account", "slot_map": slots * 32, "points": (point * 48,), "bits": 48}
        )
        for role, slots, point in (("collateral", "0a", "a1"), ("positions", "0b", "b2"))
    )
    fields = {
        "srs": embedded(),
        "snapshot_digest": bytes(range(32)),
        "circuit": SimpleNamespace(n=1024, digest=bytes(range(32, 64))),
        "claim": Claim(5, 4, "maintenance"),
        "parts": parts,
        "limits": LIMITS,
        "context": b"reader 7",
    }
    return BareStatement(**{**fields, **changes})


def fixed_messages() -> Passed:
    def point(i: int) -> bytes:
        return bytes([0x80 + i]) * 48

    def scalar(i: int) -> int:
        return 10**70 + i

    return {
        "message1": Message1((point(1), point(2), point(3), point(4)), point(5), (point(6), point(7), point(8))),
        "message2": Message2((point(9), point(10)), point(11)),
        "message3": Message3((point(12), point(13), point(14))),
        "message4": Message4((scalar(1), scalar(2), scalar(3), scalar(4)), scalar(5), (scalar(6),)),
        "message5": Message5(point(15), point(16)),
    }


def run(
    statement: BareStatement, messages: Passed, schedule: type[MarginTranscript] = MarginTranscript
) -> dict[str, str]:
    """The statement digest and all challenges, by name."""
    transcript = schedule(statement)
    beta, rho = transcript.round1(messages["message1"])
    result = {"statement": transcript.statement_digest.hex(), "beta": beta, "rho": rho}
    for name, i in (("chi", 2), ("zeta", 3), ("v", 4), ("y", 5)):
        result[name] = getattr(transcript, f"round{i}")(messages[f"message{i}"])
    return {name: value if isinstance(value, str) else f"{value:064x}" for name, value in result.items()}


def test_the_challenges_are_the_golden_ones() -> None:
    challenges = run(fixed_statement(), fixed_messages())
    if os.environ.get("ZKMARGIN_WRITE_GOLDEN") == "1":
        GOLDEN.write_text(
            json.dumps({"format": "zkmargin/transcript-vector/v1", **challenges}, indent=1) + "\n", "utf-8"
        )
    assert {"format": "zkmargin/transcript-vector/v1", **challenges} == json.loads(GOLDEN.read_text("utf-8"))


def test_the_golden_challenges_follow_from_the_text_of_the_protocol() -> None:
    # written from docs/protocol.md section 4 and nothing else of this project but the statement's own bytes
    def H(data: bytes) -> bytes:
        return keccak.new(digest_bits=256, data=data).digest()

    def framed(label: str) -> bytes:
        return len(label).to_bytes(4, "big") + label.encode()

    state = bytes(32)

    def append(label: str, data: bytes) -> None:
        nonlocal state
        state = H(state + b"\x01" + framed(label) + len(data).to_bytes(8, "big") + data)

    def challenge(label: str) -> str:
        nonlocal state
        wide = b"".join(H(state + b"\x02" + framed(label) + bytes(4) + bytes([i])) for i in (0, 1))
        state = H(state + b"\x03" + framed(label) + bytes(4))
        return f"{int.from_bytes(wide, 'big') % r:064x}"

    statement, m = fixed_statement(), fixed_messages()
    golden = json.loads(GOLDEN.read_text("utf-8"))
    append("protocol", b"zkmargin/margin-argument/v1")
    append("srs", statement.srs.digest)
    append("snapshot", bytes(range(32)))
    append("circuit", bytes(range(32, 64)))
    append("claim", b"5/4 maintenance")
    append("limits", (2).to_bytes(4, "big"))
    append("limit", b"headroom >= 100000")
    append("limit", b"net-exposure BTC <= 241/2")
    append("parts", (2).to_bytes(4, "big"))
    for role, slots, point in (("collateral", "0a", "a1"), ("positions", "0b", "b2")):
        text = json.dumps(
            {"alias": f"{role} account", "bits": 48, "points": [point * 48], "role": role, "slot_map": slots * 32},
            separators=(",", ":"),
            sort_keys=True,
        )
        append("part", text.encode())
    append("context", b"reader 7")
    assert state.hex() == golden["statement"]
    one, two, three, four, five = m.values()
    append("f", b"".join(one.f))
    append("mu", one.mu)
    append("gates", b"".join(one.gates))
    assert (challenge("beta"), challenge("rho")) == (golden["beta"], golden["rho"])
    append("h", b"".join(two.h))
    append("phi", two.phi)
    assert challenge("chi") == golden["chi"]
    append("T", b"".join(three.T))
    assert challenge("zeta") == golden["zeta"]
    append("f(zeta)", b"".join(x.to_bytes(32, "big") for x in four.f))
    append("phi(omega zeta)", four.phi_shifted.to_bytes(32, "big"))
    append("A(zeta)", four.A[0].to_bytes(32, "big"))
    assert challenge("v") == golden["v"]
    append("W", five.W)
    append("W'", five.W_shifted)
    assert challenge("y") == golden["y"]


ORDER = ["statement", "beta", "rho", "chi", "zeta", "v", "y"]
ABSORBED = {
    **dict.fromkeys(
        ["protocol", "srs", "snapshot", "circuit", "claim", "limits", "limit", "parts", "part", "context"], "statement"
    ),
    **dict.fromkeys(["f", "mu", "gates"], "beta"),
    **dict.fromkeys(["h", "phi"], "chi"),
    "T": "zeta",
    **dict.fromkeys(["f(zeta)", "phi(omega zeta)", "A(zeta)"], "v"),
    **dict.fromkeys(["W", "W'"], "y"),
}


def assert_changes_from(first: str, challenges: dict[str, str]) -> None:
    golden = json.loads(GOLDEN.read_text("utf-8"))
    for name in ORDER:
        assert (challenges[name] != golden[name]) == (ORDER.index(name) >= ORDER.index(first)), name


@pytest.mark.parametrize("label", ABSORBED)
def test_each_absorb_left_out_changes_every_challenge_that_follows(label: str) -> None:
    assert_changes_from(ABSORBED[label], run(fixed_statement(), fixed_messages(), silent(label)))


def test_these_are_all_the_absorbs() -> None:
    seen = []

    class Recorder(Transcript):
        def append(self, label: str, data: bytes) -> None:
            seen.append(label)
            super().append(label, data)

    with patch.object(zkmargin.verifier.transcript, "Transcript", Recorder):
        run(fixed_statement(), fixed_messages())
    assert set(seen) == set(ABSORBED)
    assert sorted(set(seen), key=seen.index) == list(ABSORBED)


def variations() -> Iterator[Passed]:
    """Every element of every message, and every public field, with one bit changed; what must change with it."""

    def flip(x: bytes | int) -> bytes | int:
        return x ^ 1 if isinstance(x, int) else bytes([*x[:-1], x[-1] ^ 1])

    statement, messages = fixed_statement(), fixed_messages()
    for field in ("snapshot_digest", "context"):
        yield "statement", fixed_statement(**{field: flip(getattr(statement, field))}), messages
    yield "statement", fixed_statement(circuit=SimpleNamespace(n=1024, digest=flip(statement.circuit.digest))), messages
    for claim in (Claim(5, 3, "maintenance"), Claim(7, 4, "maintenance"), Claim(5, 4, "initial")):
        yield "statement", fixed_statement(claim=claim), messages
    for limits in (LIMITS[:1], LIMITS[::-1], (*LIMITS, LIMITS[0]), (Limit.parse("headroom >= 100001"), LIMITS[1])):
        yield "statement", fixed_statement(limits=limits), messages
    for i, part in enumerate(statement.parts):
        for update in (
            {"alias": "x"},
            {"bits": 47},
            {"slot_map": "ff" * 32},
            {"points": ("c3" * 48,)},
            {"points": part.points * 2},
            {"role": "positions" if part.role == "collateral" else "collateral"},
        ):
            parts = [*statement.parts]
            parts[i] = part.model_copy(update=update)
            yield "statement", fixed_statement(parts=tuple(parts)), messages
    yield "statement", fixed_statement(parts=statement.parts[:1]), messages
    yield "statement", fixed_statement(parts=statement.parts[::-1]), messages
    for name, first in zip(messages, ("beta", "chi", "zeta", "v", "y"), strict=True):
        message = messages[name]
        for field, value in message.__dict__.items():
            items = value if isinstance(value, tuple) else (value,)
            for i, item in enumerate(items):
                changed = (*items[:i], flip(item), *items[i + 1 :])
                changed = changed if isinstance(value, tuple) else changed[0]
                yield first, statement, {**messages, name: replace(message, **{field: changed})}
            if isinstance(value, tuple):
                yield first, statement, {**messages, name: replace(message, **{field: value[:-1]})}


def test_one_bit_of_anything_changes_every_challenge_that_follows_and_none_before() -> None:
    count = 0
    for first, statement, messages in variations():
        assert_changes_from(first, run(statement, messages))
        count += 1
    assert count > 40


def test_where_one_element_ends_and_the_next_begins_matters() -> None:
    messages = fixed_messages()
    one, two = messages["message1"], messages["message2"]
    moved = {
        **messages,
        "message1": replace(one, f=one.f[:-1], mu=one.f[-1] + one.mu),
    }
    assert_changes_from("beta", run(fixed_statement(), moved))
    moved = {**messages, "message2": replace(two, h=two.h[:-1], phi=two.h[-1] + two.phi)}
    assert_changes_from("chi", run(fixed_statement(), moved))
    # what is absent is not what is empty elsewhere
    bare = {**messages, "message1": replace(one, gates=()), "message4": replace(messages["message4"], A=())}
    assert_changes_from("beta", run(fixed_statement(), bare))


def test_circuits_that_differ_in_size_alone_differ_in_their_statement() -> None:
    a = Circuit.freeze(lab.margin_like(n=16), 2)
    b = Circuit.freeze(lab.margin_like(n=32), 2)
    digests = [run(fixed_statement(circuit=c), fixed_messages())["statement"] for c in (a, b)]
    assert digests[0] != digests[1]


# --- challenges that are not admissible ---------------------------------------------------------------------


def forced(monkeypatch: pytest.MonkeyPatch, label: str, value: int) -> None:
    """A hash that gives one challenge a bad value at counter 0."""

    def stub(data: bytes) -> bytes:
        framed = len(label).to_bytes(4, "big") + label.encode()
        if data[32:33] == b"\x02" and data[33:].startswith(framed + bytes(4)):
            return bytes(32) if data[-1] == 0 else value.to_bytes(32, "big")
        return keccak256(data)

    monkeypatch.setattr("zkmargin.crypto.transcript.keccak256", stub)


@pytest.mark.parametrize("label", ["beta", "rho", "chi", "zeta", "v", "y"])
def test_a_challenge_of_zero_is_drawn_again(monkeypatch: pytest.MonkeyPatch, label: str) -> None:
    forced(monkeypatch, label, 0)
    challenges = run(fixed_statement(), fixed_messages())
    assert all(int(value, 16) for name, value in challenges.items() if name != "statement")


def test_a_beta_with_a_pole_and_a_zeta_in_the_domain_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given = lab.standard()
    omega, n = given.circuit.domain.omega, given.circuit.n
    for label, bad in [("beta", -i % r) for i in (0, 1, n - 1)] + [("zeta", pow(omega, i, r)) for i in (0, 1, 7)]:
        with monkeypatch.context() as patched:
            forced(patched, label, bad)
            proof = lab.cheat(given)
            assert getattr(lab.challenges(given.statement, proof), label) != bad
            verify(given.statement.as_statement(), lab.encode(given, proof))
    with monkeypatch.context() as patched:
        forced(patched, "beta", -n % r)
        assert lab.challenges(given.statement, lab.cheat(given)).beta == -n % r
