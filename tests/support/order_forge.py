"""A forger without any witness, and verifiers that leave an absorb out (docs/protocol.md section 5)."""

from collections.abc import Callable, Iterator
from unittest.mock import patch

import zkmargin.verifier.argument
import zkmargin.verifier.transcript
from support import lab
from support.instances import BareStatement
from support.lab import Case
from zkmargin.crypto.commitment import blind
from zkmargin.crypto.domain import divide_by_linear
from zkmargin.crypto.field import inverse, r
from zkmargin.crypto.transcript import Transcript
from zkmargin.engine.limits import Limit
from zkmargin.formats import VerificationError
from zkmargin.verifier import verify
from zkmargin.verifier.argument import Challenges, linearise, public_values
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Message5, Proof, encode_proof
from zkmargin.verifier.transcript import MarginTranscript

LIMITS = (Limit.parse("headroom >= 100000"), Limit.parse("net-exposure BTC <= 120.50"))


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
