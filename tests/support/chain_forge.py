"""Malicious provers of the chain protocol: one for each order of messages that would be wrong.

Each proves a *false* claim to its mutant of the verifier. ``Schedule`` is the transcript with one change; the forgers
know the challenge that the change gives away too early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from support.chain_lab import ChainCase, chain_case, chain_snapshot
from support.lab import draws
from support.typed import Unchecked
from zkmargin.circuits.chain import (
    ROWS,
    SIDE_COLUMNS,
    ChainWeights,
    claim_cell,
    digit_columns,
    folded_rows,
    public_rows,
)
from zkmargin.crypto.commitment import blind
from zkmargin.crypto.domain import divide_by_linear, evaluate
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.engine.claims import Claim
from zkmargin.prover.chain_reference import (
    Columns,
    H,
    Poly,
    add,
    commit,
    interpolate,
    pack,
    quotient,
    quotient_T,
    scale,
    vanishing,
)
from zkmargin.verifier.chain import ChainProof, ChainStatement
from zkmargin.verifier.chain.argument import AtZeta, identity, ratio, remainders, transcript_of
from zkmargin.verifier.chain.proof import Commitments, Values
from zkmargin.verifier.chain.transcript import ChainChallenges, ChainTranscript, Rounds
from zkmargin.verifier.messages import Message

n = ROWS


class GammaBeforeValues(Rounds):
    """Message 4 is absorbed after gamma."""

    def round4(self, values: Message) -> int:
        gamma = self._challenge(0)
        super().round4(values)
        return gamma


class XBeforeW(Rounds):
    """Message 5 is absorbed after x."""

    def round5(self, W: bytes) -> int:
        x = self._challenge(0)
        super().round5(W)
        return x


class LastPointAfterBeta(Rounds):
    """The point of columns that holds mu, F3 for one account, is absorbed after beta and rho."""

    def round1(self, *F: bytes) -> tuple[int, int]:
        self._absorb(b"".join(F[:-1]))
        beta, rho = self._challenge(0), self._challenge(1)
        self._absorb(F[-1])
        return beta, rho


class HelpersAfterChi(Rounds):
    """Message 2 is absorbed after chi."""

    def round2(self, *helpers: bytes) -> int:
        chi = self._challenge(0)
        self._absorb(b"".join(helpers))
        return chi


def scheduled(change: type[Rounds], transcript: type[Rounds]) -> Unchecked:
    """A protocol's transcript with one message at another place."""
    return type(f"{change.__name__}Of{transcript.__name__}", (change, transcript), {})


@dataclass(frozen=True)
class Forgery:
    """A false statement, the schedule that falls for it, and how the proof is made."""

    name: str
    schedule: type[ChainTranscript]
    prove: Callable[[ChainStatement, ChainCase], ChainProof]


def false_case(groups: int = 1) -> ChainCase:
    """A statement whose claim is false; the witness is that of a claim that is true."""
    given = chain_snapshot(groups=groups)
    true = chain_case(given, [3, -2, 0, 5, -1, 2, -4], [900_000, 30], claim=Claim(5, 4, "initial"))
    return falsified(true)


def falsified(case: ChainCase) -> ChainCase:
    """The same account with a claim that it cannot meet."""
    inner = replace(case.statement.statement, claim=Claim(10_000, 1, "initial"))
    return replace(case, statement=replace(case.statement, statement=inner))


# --- forgers that need nothing to hold: any polynomials will do -----------------------------------------------------


@dataclass
class Junk:
    """Random polynomials in all places, and everything public as it is."""

    statement: ChainStatement
    case: ChainCase
    seed: str

    def __post_init__(self) -> None:
        self.draw = draws(self.seed)
        draw, groups = self.draw, self.statement.prices.layout.groups
        self.f = [[draw() for _ in range(4)] for _ in range(SIDE_COLUMNS + groups)]
        f7 = self.f[7] if groups > 1 else [0]
        self.mu, self.h = [draw(), draw()], [[draw(), draw()] for _ in range(3)]
        self.phi, self.T = [draw() for _ in range(5)], [draw(), draw()]
        self.F = [pack(self.f[0:3]), pack(self.f[3:6]), pack([self.f[6], f7, self.mu])]
        self.H = pack(self.h)

    def points(self, *polynomials: Poly) -> list[bytes]:
        return [commit(self.statement, p) for p in polynomials]

    def start(self, transcript: ChainTranscript) -> None:
        """Everything up to zeta, by a schedule's own rounds."""
        self.sent = self.points(*self.F, self.H, self.phi, self.T)
        self.beta, self.rho = transcript.round1(self.sent[0], self.sent[1], self.sent[2])
        self.chi = transcript.round2(self.sent[3], self.sent[4])
        self.zeta = transcript.round3(self.sent[5])
        self.weights = ChainWeights(self.rho)
        prices, zeta = self.statement.prices, self.zeta
        self.pinned = [interpolate(row) for row in prices.layout.pinned_rows()]
        self.price = [interpolate(row) for row in prices.price_rows()]
        self.fold = [interpolate(row) for row in folded_rows(prices, self.weights)]
        self.values = Values.of(
            f=tuple(evaluate(p, zeta) for p in self.f),
            mu=evaluate(self.mu, zeta),
            h=tuple(evaluate(p, zeta) for p in self.h),
            phi=evaluate(self.phi, zeta),
            phi_shifted=evaluate(self.phi, H.omega * zeta % r),
            r=tuple(evaluate(p, zeta) for p in self.fold),
            pinned=tuple(evaluate(p, zeta) for p in self.pinned),
            prices=tuple(evaluate(p, zeta) for p in self.price[:3]),
        )

    def at(self, values: Values, gamma: int = 0) -> AtZeta:
        challenges = ChainChallenges(self.beta, self.rho, self.chi, self.zeta, gamma, 0)
        return identity(self.statement.prices, *ratio(self.statement), challenges, values, self.weights)

    def books(self) -> tuple[Poly, Poly]:
        """What was committed before: positions, collateral."""
        q, c = (
            interpolate([*getattr(self.case.lots, role), *[0] * (n - len(getattr(self.case.lots, role)))])
            for role in ("positions", "collateral")
        )
        return blind(q, [self.case.blinders["positions[0]"]], n), blind(c, [self.case.blinders["collateral[0]"]], n)

    def opened(self, at: AtZeta) -> list[Poly]:
        """The nine polynomials, D first."""
        positions, collateral = self.books()
        D = add(scale(self.T, at.Z), scale(positions, at.positions), scale(collateral, at.collateral))
        return [D, *self.F, self.H, self.phi, pack(self.fold), pack(self.pinned), pack(self.price)]

    def combined(self, at: AtZeta, values: Values, gamma: int, x: int) -> Poly:
        """sum_i gamma^i / Z_i(x) (p_i - r_i(x))."""
        total: Poly = [0]
        rests = [[at.d], *remainders(values, self.zeta)]
        for p, rest, Z, g in zip(self.opened(at), rests, vanishing(self.zeta), powers(gamma, 9), strict=True):
            total = add(total, scale(add(p, [-evaluate(rest, x)]), g * inverse(evaluate(Z, x))))
        return total


def gamma_early(statement: ChainStatement, case: ChainCase) -> ChainProof:
    """Move mu(zeta) by e and h_2(zeta) by -e/gamma: both stand at X^2, so what is opened stays, but d changes."""
    junk, transcript = Junk(statement, case, "gamma"), transcript_of(statement)
    junk.start(transcript)
    gamma = transcript._challenge(0)

    def moved(e: int) -> Values:
        h = (*junk.values.h[:2], (junk.values.h[2] - e * inverse(gamma)) % r)
        return replace(junk.values, mu=(junk.values.mu + e) % r, h=h)

    wanted = evaluate(junk.opened(junk.at(junk.values))[0], junk.zeta)
    d0, d1 = junk.at(moved(0)).d, junk.at(moved(1)).d
    values = moved((wanted - d0) * inverse(d1 - d0) % r)
    at = junk.at(values)
    W: Poly = [0]
    # the honest quotients, with the honest remainders: only their sum with powers of gamma is opened
    rests = [[at.d], *remainders(junk.values, junk.zeta)]
    for p, rest, Z, g in zip(junk.opened(at), rests, vanishing(junk.zeta), powers(gamma, 9), strict=True):
        W = add(W, scale(quotient(add(p, scale(rest, -1)), Z), g))
    transcript._absorb(values.encode())
    (W_point,) = junk.points(W)
    x = transcript.round5(W_point)
    L = add(junk.combined(at, values, gamma, x), scale(W, -1))
    W_shifted, rest_of_L = divide_by_linear(L, x)
    assert rest_of_L == 0
    return ChainProof(Commitments(*[*junk.sent, W_point, *junk.points(W_shifted)]), values)


def x_early(statement: ChainStatement, case: ChainCase) -> ChainProof:
    """With x known, the constant W = L(x) makes any values open."""
    junk, transcript = Junk(statement, case, "x"), transcript_of(statement)
    junk.start(transcript)
    gamma = transcript.round4(junk.values)
    x = transcript._challenge(0)
    at = junk.at(junk.values)
    L = junk.combined(at, junk.values, gamma, x)
    W = [evaluate(L, x)]
    W_shifted, rest = divide_by_linear(add(L, scale(W, -1)), x)
    assert rest == 0
    return ChainProof(Commitments(*[*junk.sent, *junk.points(W, W_shifted)]), junk.values)


# --- forgers that keep every identity on H ----------------------------------------------------------------------------


def mu_late(statement: ChainStatement, case: ChainCase) -> ChainProof:
    """The claim's slack is a negative number in one cell of f_6; mu_0 is what makes the lookup close for this beta."""
    columns, missing = false_columns(statement, case)
    columns[SIDE_COLUMNS][claim_cell(0)] = -missing % r

    def mu(beta: int, counted: list[int], cells: list[int]) -> list[int]:
        total = sum(inverse(beta + x) for x in cells)
        others = sum(m * inverse(beta + i) for i, m in enumerate(counted) if i)
        return [(total - others) * beta % r, *counted[1:]]

    return rounds(statement, case, columns, Late.F3_LATE, mu=mu)


def helpers_late(statement: ChainStatement, case: ChainCase) -> ChainProof:
    """With chi known, one false row of h_0 pays in the running sum for what it costs in its own identity."""
    columns, _ = false_columns(statement, case)
    return rounds(statement, case, columns, Late.H_LATE)


class Late:
    """Which message comes late in ``rounds``."""

    F3_LATE = "F3"
    H_LATE = "H"


def false_columns(statement: ChainStatement, case: ChainCase) -> tuple[list[list[int]], int]:
    """Columns where everything holds but the claim, which says slack 0; how much is missing."""
    prices = statement.prices
    columns = [column.tolist() for column in digit_columns(prices, case.witness, 1, 65535)]
    for d in range(12):
        columns[SIDE_COLUMNS][claim_cell(d)] = 0
    num, den = ratio(statement)
    w = ChainWeights(3)
    U = public_rows(prices, w, num, den)
    off = total_rows(statement, case, columns, [[0] * n] * 3, U, w)
    return columns, -sum(off) * inverse(w.claim) % r


def total_rows(
    statement: ChainStatement,
    case: ChainCase,
    columns: list[list[int]],
    h: list[list[int]],
    U: dict[str, list[int]],
    w: ChainWeights,
) -> list[int]:
    """total on H."""
    groups = statement.prices.layout.groups
    q = [*case.lots.positions, *[0] * (n - len(case.lots.positions))]
    c = [*case.lots.collateral, *[0] * (n - len(case.lots.collateral))]
    rows = []
    for i in range(n):
        short = columns[3][i] + n * columns[4][i] + n * n * columns[5][i]
        value = q[i] * U["positions"][i] + c[i] * U["collateral"][i] + short * U["short"][i]
        value += sum(columns[SIDE_COLUMNS + g][i] * U[f"packed[{g}]"][i] for g in range(groups))
        rows.append((value + w.lookup * (h[0][i] + h[1][i] + h[2][i])) % r)
    return rows


def rounds(
    statement: ChainStatement,
    case: ChainCase,
    columns: list[list[int]],
    late: str,
    *,
    mu: Callable[[int, list[int], list[int]], list[int]] | None = None,
) -> ChainProof:
    """The protocol with one message late, on columns of field elements."""
    prices, layout = statement.prices, statement.prices.layout
    num, den = ratio(statement)
    draw, transcript = draws("forged"), transcript_of(statement)
    junk = Junk(statement, case, "unused")
    junk.f = [blind(interpolate(column), [draw(), draw()], n) for column in columns]
    f7 = columns[7] if layout.groups > 1 else [0] * n
    cells = [x for column in (*columns[:7], f7) for x in column]
    counted = [0] * n
    for x in cells:
        if x < n:
            counted[x] += 1
    F1, F2 = pack(junk.f[0:3]), pack(junk.f[3:6])
    first = junk.points(F1, F2)
    if late == Late.F3_LATE:
        transcript._absorb(first[0] + first[1])
        beta, rho = transcript._challenge(0), transcript._challenge(1)
    else:
        beta = rho = 0
    mu_rows = mu(beta, counted, cells) if mu else counted
    junk.mu = blind(interpolate(mu_rows), [draw(), draw()], n)
    F3 = pack([junk.f[6], junk.f[7] if layout.groups > 1 else [0], junk.mu])
    first += junk.points(F3)
    junk.F = [F1, F2, F3]
    if late == Late.F3_LATE:
        transcript._absorb(first[2])
    else:
        beta, rho = transcript.round1(first[0], first[1], first[2])
    w = ChainWeights(rho)
    inverses = [[inverse(beta + x) for x in column] for column in (*columns[:7], f7)]
    h = [[sum(column[i] for column in inverses[s : s + 3]) % r for i in range(n)] for s in (0, 3)]
    h.append([(inverses[6][i] + inverses[7][i] - mu_rows[i] * inverse(beta + i)) % r for i in range(n)])
    U = public_rows(prices, w, num, den)
    steps = total_rows(statement, case, columns, h, U, w)
    chi = 0
    if late == Late.H_LATE:
        chi = transcript._challenge(0)
        product = (beta + columns[0][0]) * (beta + columns[1][0]) * (beta + columns[2][0])
        e = -sum(steps) * inverse(w.lookup - chi * product) % r
        h[0][0] = (h[0][0] + e) % r
        steps[0] = (steps[0] + e * (w.lookup - chi * product)) % r
    phi = [0]
    for step in steps:
        phi.append((phi[-1] + step) % r)
    assert phi.pop() == 0
    junk.h = [blind(interpolate(rows), [draw(), draw()], n) for rows in h]
    junk.phi = blind(interpolate(phi), [draw() for _ in range(4)], n)
    junk.H = pack(junk.h)
    second = junk.points(junk.H, junk.phi)
    if late == Late.H_LATE:
        transcript._absorb(second[0] + second[1])
    else:
        chi = transcript.round2(second[0], second[1])
    f = [*junk.f[:7], junk.f[7] if layout.groups > 1 else [0]]
    made = Columns(*junk.books(), f, junk.mu, junk.h, junk.phi)
    junk.T = quotient_T(statement.prices, made, U, w, beta, chi)
    # the rest is honest: start() would replay the rounds that are done
    third = junk.points(junk.T)
    junk.sent = [*first, *second, *third]
    zeta = transcript.round3(third[0])

    class Replay:
        def round1(self, *_: bytes) -> tuple[int, int]:
            return beta, rho

        def round2(self, *_: bytes) -> int:
            return chi

        def round3(self, *_: bytes) -> int:
            return zeta

    junk.start(Replay())  # type: ignore[arg-type]
    gamma = transcript.round4(junk.values)
    at = junk.at(junk.values)
    W: Poly = [0]
    rests = [[at.d], *remainders(junk.values, zeta)]
    for p, rest, Z, g in zip(junk.opened(at), rests, vanishing(zeta), powers(gamma, 9), strict=True):
        W = add(W, scale(quotient(add(p, scale(rest, -1)), Z), g))
    (W_point,) = junk.points(W)
    x = transcript.round5(W_point)
    L = add(junk.combined(at, junk.values, gamma, x), scale(W, -1))
    W_shifted, rest_of_L = divide_by_linear(L, x)
    assert rest_of_L == 0
    return ChainProof(Commitments(*[*junk.sent, W_point, *junk.points(W_shifted)]), junk.values)


FORGERIES = (
    Forgery("gamma before the values", scheduled(GammaBeforeValues, ChainTranscript), gamma_early),
    Forgery("x before W", scheduled(XBeforeW, ChainTranscript), x_early),
    Forgery("mu after beta", scheduled(LastPointAfterBeta, ChainTranscript), mu_late),
    Forgery("helpers after chi", scheduled(HelpersAfterChi, ChainTranscript), helpers_late),
)
