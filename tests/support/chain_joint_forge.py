"""Malicious provers of the joint chain protocol: one for each order of messages, or weight, that would be wrong.

Each proves a *false* claim of one of two accounts, or another book than the committed one, to its mutant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import zkmargin.verifier.chain.joint as verifier
from support.chain_forge import (
    GammaBeforeValues,
    HelpersAfterChi,
    LastPointAfterBeta,
    XBeforeW,
    falsified,
    scheduled,
)
from support.chain_lab import JointCase, chain_case, chain_snapshot, joint_case, prove_joint, table_of
from support.lab import draws
from zkmargin.circuits.chain import (
    CLAIM_DIGITS,
    ROWS,
    SIDE_COLUMNS,
    ChainWeights,
    claim_cell,
    digit_columns,
    public_rows,
)
from zkmargin.circuits.language.system import Int64Array
from zkmargin.crypto.commitment import blind
from zkmargin.crypto.domain import divide_by_linear, evaluate
from zkmargin.crypto.field import inverse, powers, r
from zkmargin.engine.claims import Claim
from zkmargin.prover.chain_joint_reference import pack3, table_polynomials, threes, values_at
from zkmargin.prover.chain_reference import (
    COSET,
    H,
    Poly,
    add,
    divided,
    interpolate,
    on_coset,
    open_reference,
    pack,
    point_of,
    scale,
    vanishing,
)
from zkmargin.verifier.chain.closed_forms import helper_row
from zkmargin.verifier.chain.joint import JointAtZeta
from zkmargin.verifier.chain.joint_proof import JointCommitments, JointProof, JointShape, JointTranscript, JointValues
from zkmargin.verifier.chain.transcript import ChainChallenges

n = ROWS


def false_joint(case: JointCase) -> JointCase:
    """The accounts with a claim that none of them meets."""
    return joint_case([falsified(one) for one in case.cases])


@dataclass
class Forger:
    """A prover that sends any columns, with one message late: ``late`` is "mu", "helpers", "gamma", "x" or nothing.

    ``false`` columns hold everything but the first account's claim, which is off by ``missing``.
    """

    case: JointCase
    late: str = ""

    def __post_init__(self) -> None:
        self.statement = self.case.statement
        self.prices, self.srs = self.statement.prices, self.statement.srs
        self.m, self.G = len(self.case.cases), self.prices.layout.groups
        self.draw = draws(f"forged joint {self.late}")
        self.q = [[*one.lots.positions, *[0] * (n - len(one.lots.positions))] for one in self.case.cases]
        self.c = [[*one.lots.collateral, *[0] * (n - len(one.lots.collateral))] for one in self.case.cases]

    def columns(self) -> list[list[list[int]]]:
        """Digit columns of each account for a claim that is met, the claim's slack 0."""
        found = []
        for one in self.case.cases:
            columns = [column.tolist() for column in digit_columns(self.prices, one.witness, 1, 65535)]
            for d in range(CLAIM_DIGITS):
                columns[SIDE_COLUMNS][claim_cell(d)] = 0
            found.append(columns)
        return found

    def equations(self, columns: list[list[list[int]]], U: dict[str, list[int]], a: int) -> list[int]:
        """Account a's equations by the weights of one account, row by row."""
        f, rows = columns[a], []
        for i in range(n):
            short = f[3][i] + n * f[4][i] + n * n * f[5][i]
            value = self.q[a][i] * U["positions"][i] + self.c[a][i] * U["collateral"][i] + short * U["short"][i]
            value += sum(f[SIDE_COLUMNS + g][i] * U[f"packed[{g}]"][i] for g in range(self.G))
            rows.append(value % r)
        return rows

    def missing(self, columns: list[list[list[int]]]) -> list[int]:
        """By how much each account's claim is not met: its slack as a field element, negated."""
        w = ChainWeights(3)
        U = public_rows(self.prices, w, *self.statement.ratio)
        return [-sum(self.equations(columns, U, a)) * inverse(w.claim) % r for a in range(self.m)]

    def commitments(self) -> list[tuple[Poly, Poly]]:
        """Positions and collateral as they were committed."""
        return [
            (
                blind(interpolate(self.q[a]), [one.blinders["positions[0]"]], n),
                blind(interpolate(self.c[a]), [one.blinders["collateral[0]"]], n),
            )
            for a, one in enumerate(self.case.cases)
        ]

    def blinded(self, rows: list[int]) -> Poly:
        return blind(interpolate(rows), [self.draw(), self.draw()], n)

    def prove(self) -> JointProof:
        """The protocol with one message late."""
        columns, m, G = self.columns(), self.m, self.G
        missing = self.missing(columns)
        for a in range(m):
            # a negative number in one cell: no honest lookup has it
            columns[a][SIDE_COLUMNS][claim_cell(0)] = -missing[a] % r if self.late == "mu" else 0
        transcript = self.statement.transcript()
        sides = [column for account in columns for column in account[:SIDE_COLUMNS]]
        packed = [column for account in columns for column in account[SIDE_COLUMNS:]]
        cells = [x for column in (*sides, *packed) for x in column]
        mu = [0] * n
        for x in cells:
            if x < n:
                mu[x] += 1
        sides_poly, packed_poly = [self.blinded(x) for x in sides], [self.blinded(x) for x in packed]
        F = [pack3(p) for p in threes(sides_poly)]
        before, after = threes(packed_poly)[: (G * m) // 3], packed_poly[3 * (G * m // 3) :]
        F += [pack3(p) for p in before]
        points = [point_of(self.srs, p) for p in F]
        beta = rho = 0
        if self.late == "mu":
            transcript._absorb(b"".join(points))
            beta, rho = transcript._challenge(0), transcript._challenge(1)
            total = sum(inverse(beta + x) for x in cells)
            others = sum(x * inverse(beta + i) for i, x in enumerate(mu) if i)
            mu[0] = (total - others) * beta % r
        mu_poly = self.blinded(mu)
        F.append(pack3([*after, mu_poly]))
        points.append(point_of(self.srs, F[-1]))
        if self.late == "mu":
            transcript._absorb(points[-1])
        else:
            beta, rho = transcript.round1(*points)

        w = ChainWeights(rho)
        fractions = [[inverse(beta + x) for x in column] for column in (*sides, *packed)]
        fractions.append([-mu[i] * inverse(beta + i) % r for i in range(n)])
        kinds = (*threes(fractions[: len(sides)]), *threes(fractions[len(sides) :]))
        h = [[sum(column[i] for column in kind) % r for i in range(n)] for kind in kinds]
        U = public_rows(self.prices, w, *self.statement.ratio)
        weight = powers(w.lookup, m + 1)
        steps = [weight[m] * sum(column[i] for column in h) % r for i in range(n)]
        for a in range(m):
            for i, x in enumerate(self.equations(columns, U, a)):
                steps[i] = (steps[i] + weight[a] * x) % r
        chi = 0
        if self.late == "helpers":
            chi = transcript._challenge(0)
            product = (beta + sides[0][0]) * (beta + sides[1][0]) * (beta + sides[2][0])
            e = -sum(steps) * inverse(weight[m] - chi * product) % r
            h[0][0] = (h[0][0] + e) % r
            steps[0] = (steps[0] + e * (weight[m] - chi * product)) % r
        phi = [0]
        for step in steps:
            phi.append((phi[-1] + step) % r)
        if phi.pop() != 0 and self.late in {"mu", "helpers"}:
            raise AssertionError("the forgery does not close")
        h_poly = [self.blinded(rows) for rows in h]
        phi_poly = blind(interpolate(phi), [self.draw() for _ in range(4)], n)
        H_poly = [pack3(p) for p in threes(h_poly)]
        H_points, phi_point = [point_of(self.srs, p) for p in H_poly], point_of(self.srs, phi_poly)
        if self.late == "helpers":
            transcript._absorb(b"".join([*H_points, phi_point]))
        else:
            chi = transcript.round2(*H_points, phi_point)
        books = self.commitments()
        if self.late in {"mu", "helpers"}:
            T_poly = self.quotient(books, sides_poly, packed_poly, mu_poly, h_poly, phi_poly, U, weight, beta, chi)
        else:  # nothing has to divide: the openings are forged
            T_poly = [self.draw(), self.draw()]
        T = point_of(self.srs, T_poly)
        zeta = transcript.round3(T)

        tables = table_polynomials(self.prices, w)
        values = values_at(self.prices.layout, zeta, sides_poly, packed_poly, mu_poly, h_poly, phi_poly, tables)

        def at(values: JointValues) -> JointAtZeta:
            c = ChainChallenges(beta, rho, chi, zeta, 0, 0)
            return verifier.joint_identity(self.statement, c, values)

        def D(values: JointValues) -> Poly:
            found = at(values)
            total = scale(T_poly, found.Z)
            for (positions, collateral), x, y in zip(books, found.positions, found.collateral, strict=True):
                total = add(total, scale(positions, x), scale(collateral, y))
            return total

        rest = [*F, *H_poly, phi_poly, *map(pack, tables)]
        if self.late == "gamma":
            # the helper of the first side and that of the last point both stand in H[0] and H[-1]: move them
            # against each other by powers of gamma that are known, which leaves what is opened and changes d
            gamma = transcript._challenge(0)
            i, j = 1 + len(F), 1 + len(F) + len(H_poly) - 1
            place = 3 * (len(H_poly) - 1)

            def moved(e: int) -> JointValues:
                h = list(values.h)
                h[0] = (h[0] + e) % r
                h[place] = (h[place] - e * inverse(pow(gamma, j - i, r))) % r
                return replace(values, h=tuple(h))

            wanted = evaluate(D(values), zeta)
            d0, d1 = at(moved(0)).d, at(moved(1)).d
            sent = moved((wanted - d0) * inverse(d1 - d0) % r)
            opened = [D(values), *rest]
            # only sums by powers of gamma are opened: quotients by the honest remainders, constants by those sent
            honest = [[at(sent).d], *verifier.joint_remainders(values, zeta)]
            transcript._absorb(sent.encode())
            W, W_shifted = open_reference(self.srs, opened, honest, zeta, gamma, transcript)
            values = sent
        elif self.late == "x":
            gamma = transcript.round4(values)
            x = transcript._challenge(0)
            opened = [D(values), *rest]
            rests = [[at(values).d], *verifier.joint_remainders(values, zeta)]
            L: Poly = [0]
            zero = vanishing(zeta, columns=len(opened) - 5)
            for p, part, Z, g in zip(opened, rests, zero, powers(gamma, len(opened)), strict=True):
                L = add(L, scale(add(p, [-evaluate(part, x)]), g * inverse(evaluate(Z, x))))
            constant = [evaluate(L, x)]
            quotient, left = divide_by_linear(add(L, scale(constant, -1)), x)
            assert left == 0
            W, W_shifted = point_of(self.srs, constant), point_of(self.srs, quotient)
        else:
            gamma = transcript.round4(values)
            rests = [[at(values).d], *verifier.joint_remainders(values, zeta)]
            W, W_shifted = open_reference(self.srs, [D(values), *rest], rests, zeta, gamma, transcript)
        commitments = JointCommitments(tuple(points), tuple(H_points), phi_point, T, W, W_shifted)
        return JointProof(commitments, values)

    def quotient(
        self,
        books: list[tuple[Poly, Poly]],
        sides: list[Poly],
        packed: list[Poly],
        mu: Poly,
        h: list[Poly],
        phi: Poly,
        U: dict[str, list[int]],
        weight: list[int],
        beta: int,
        chi: int,
    ) -> Poly:
        """T. ValueError where it does not exist."""
        m, G = self.m, self.G
        on = {name: on_coset(interpolate(rows)) for name, rows in U.items()}
        sides_c, packed_c, h_c = ([on_coset(p) for p in polys] for polys in (sides, packed, h))
        mu_c, phi_c = on_coset(mu), on_coset(phi)
        shifted = on_coset([x * pow(H.omega, j, r) % r for j, x in enumerate(phi)])
        books_c = [(on_coset(q), on_coset(c)) for q, c in books]
        t, sel_p = (on_coset(interpolate(rows)) for rows in self.prices.layout.pinned_rows()[:2])
        sel_c = on_coset(interpolate([int(j >= self.prices.assets) for j in range(n)]))
        powers_of_chi = powers(chi, 5 * m + len(h) + 1)
        identity = []
        for i in range(len(COSET.elements)):
            side = shifted[i] - phi_c[i] - weight[m] * sum(column[i] for column in h_c)
            for a in range(m):
                f = [column[i] for column in sides_c[6 * a : 6 * a + 6]]
                q, c = books_c[a][0][i], books_c[a][1][i]
                longs, shorts = (f[s] + n * f[s + 1] + n * n * f[s + 2] for s in (0, 3))
                value = q * on["positions"][i] + c * on["collateral"][i] + shorts * on["short"][i]
                value += sum(packed_c[G * a + g][i] * on[f"packed[{g}]"][i] for g in range(G))
                side -= weight[a] * value
                x = powers_of_chi[5 * a + 1 : 5 * a + 6]
                for k in (0, 1):
                    fractions = [(beta + y, 1) for y in f[3 * k : 3 * k + 3]]
                    side += x[k] * helper_row(h_c[2 * a + k][i], fractions)
                side += x[2] * (q - longs + shorts) + x[3] * sel_p[i] * q + x[4] * sel_c[i] * c
            terms = [*((beta + column[i], 1) for column in packed_c), (beta + t[i], -mu_c[i])]
            for k, part in enumerate(threes(terms)):
                side += powers_of_chi[5 * m + 1 + k] * helper_row(h_c[2 * m + k][i], part)
            identity.append(side)
        return divided(identity)


ORDERS: dict[str, type[JointTranscript]] = {
    "gamma": scheduled(GammaBeforeValues, JointTranscript),
    "x": scheduled(XBeforeW, JointTranscript),
    "mu": scheduled(LastPointAfterBeta, JointTranscript),
    "helpers": scheduled(HelpersAfterChi, JointTranscript),
}


def same_weights(weights: ChainWeights, accounts: int) -> list[int]:
    """A mutant: every account's equations have the weights of the first."""
    return [1] * accounts + [weights.lookup]


def same_powers(chi: int, shape: JointShape) -> tuple[list[list[int]], list[int]]:
    """A mutant: every account's row identities have the same powers of chi."""
    chis = powers(chi, 6 + shape.packs)
    return [chis[1:6]] * shape.accounts, chis[6:]


def pooled_columns(case: JointCase) -> list[list[Int64Array]]:
    """What the first account lacks to its claim, the second one's slack pays."""
    forger = Forger(case)
    lacks = forger.missing(forger.columns())
    found = []
    for a, one in enumerate(case.cases):
        columns = digit_columns(case.statement.prices, one.witness, 1, 65535)
        slack = 0 if a == 0 else -sum(x if x < r // 2 else x - r for x in lacks)
        assert slack >= 0
        for d in range(CLAIM_DIGITS):
            columns[SIDE_COLUMNS][claim_cell(d)] = slack >> (10 * d) & (n - 1)
        found.append(list(columns))
    return found


__all__ = ["ORDERS", "Forger", "false_joint", "pooled_columns", "prove_joint", "same_powers", "same_weights"]


def poor_and_rich() -> JointCase:
    """Two accounts and a claim that only the second one meets."""
    given = chain_snapshot(groups=1)
    table = table_of(given)
    books = (([3, -2, 0, 5, -1, 2, -4], [900_000, 30]), ([3, 1, 0, 0, 0, 2, -4], [2**40, 30]))
    cases = [
        chain_case(given, *book, claim=Claim(5, 4, "initial"), table=table, seed=f"book {i}")
        for i, book in enumerate(books)
    ]
    return joint_case(cases)
