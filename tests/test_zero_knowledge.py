"""What a proof reveals is uniform: the rank test of docs/protocol.md section 6, with a known tau.

With tau, every commitment is a number, the polynomial's value at tau. With the challenges fixed, the revealed
numbers are a function of the blinders; W and W' follow from the rest by the verification equation. The function is
affine except for T: each of its blinders occurs at most once in any product, so a difference quotient is an exact
derivative; and T(tau) is known up to phi(omega tau) from the other numbers, so the Jacobian is triangular after a
change of the order, with a constant determinant. Square and of full rank therefore means: one to one, onto.
"""

from dataclasses import replace
from itertools import pairwise

import pytest
from support import lab
from support.instances import BareStatement
from support.lab import Case
from support.typed import JsonObject, Passed, Unchecked

import zkmargin.prover.argument
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.witness import assign, check
from zkmargin.crypto.field import inverse, r
from zkmargin.crypto.scalars import lagrange_at
from zkmargin.prover import _kernels as K
from zkmargin.prover.argument import _Rounds
from zkmargin.verifier import verify
from zkmargin.verifier.argument import replay
from zkmargin.verifier.proof import decode_proof

SHAPES: dict[str, JsonObject] = {
    "one column": {"range_proved": False, "scenarios": 1, "assets": ((4, False),)},
    "two columns": {"range_proved": False},
    "two helpers": {},
    "gates": {"gates": 1},
    "three helpers, two segments": {"slots": 16, "gates": 2},
}
#: balances of an account that has enough, and of another one that has too
BALANCES = ((12, 13), (40, 3))


class Bench:
    """The product's prover as a function from blinders to revealed numbers, at fixed challenges."""

    def __init__(self, given: Case, challenges: tuple[int, ...] | None = None) -> None:
        self.lab, self.given, self.tau = lab, given, lab.TAU
        draw = lab.draws("challenges")
        beta, rho, chi, zeta, v, y = challenges or [draw() for _ in range(6)]

        class Fixed:
            def __init__(self, _statement: BareStatement) -> None:
                self.round1, self.round2, self.round3, self.round4, self.round5 = (
                    lambda _message, answer=answer: answer for answer in ((beta, rho), chi, zeta, v, y)
                )

        self.module: Unchecked = lab.unchecked()
        self.module.MarginTranscript = Fixed
        self.values: dict[str, int] = {}

        def commit_all(rounds: _Rounds, names: list[str]) -> tuple[bytes, ...]:
            self.values |= {name: K.evaluate(rounds.polynomials[name], self.tau) for name in names}
            return (bytes(48),) * len(names)

        self.module._Rounds.commit_all = commit_all

    def revealed(self, blinders: list[int]) -> dict[str, int]:
        """Exponents of all points but W and W', then the scalars, by name."""
        source = iter(blinders)
        self.values = {}
        given = self.given
        proof = self.module.prove_argument(given.statement, given.witness, given.blinders, lambda: next(source))
        assert next(source, None) is None
        values = {name: x for name, x in self.values.items() if name not in {"W", "W'"}}
        m4 = proof.message4
        values |= {f"f[{c}](zeta)": x for c, x in enumerate(m4.f)}
        values |= {"phi(omega zeta)": m4.phi_shifted}
        return values | dict(zip(["A(zeta)"], m4.A, strict=False))

    @property
    def blinder_names(self) -> list[str]:
        """In the order in which they are drawn (docs/protocol.md section 4)."""
        shape = self.given.circuit.shape
        names = [f"f[{c}] b{i}" for c in range(shape.digits) for i in (0, 1)] + ["mu"]
        names += ["A b0", "A b1", "B", "C"] if shape.gates else []
        names += [f"h[{g}]" for g in range(shape.helpers)] + ["phi b0", "phi b1", "phi b2"]
        return names + [f"t[{i}]" for i in range(shape.pieces - 1)]

    def jacobian(self, at: list[int]) -> list[list[int]]:
        """Rows: revealed numbers; columns: blinders. Exact, as the function is affine in each blinder."""
        base = list(self.revealed(at).values())
        columns = []
        for j in range(len(at)):
            moved = list(self.revealed([x + (i == j) for i, x in enumerate(at)]).values())
            columns.append([(a - b) % r for a, b in zip(moved, base, strict=True)])
        return [list(row) for row in zip(*columns, strict=True)]


def eliminate(matrix: list[list[int]], right: list[int] | None = None) -> tuple[int, int, list[int] | None]:
    """(rank, determinant if square, solution of matrix x = right if there is exactly one), modulo r."""
    rows = [list(row) + ([right[i]] if right else []) for i, row in enumerate(matrix)]
    width = len(matrix[0])
    rank, determinant = 0, 1
    for column in range(width):
        pivot = next((i for i in range(rank, len(rows)) if rows[i][column] % r), None)
        if pivot is None:
            determinant = 0
            continue
        if pivot != rank:
            rows[rank], rows[pivot] = rows[pivot], rows[rank]
            determinant = -determinant
        determinant = determinant * rows[rank][column] % r
        scale = inverse(rows[rank][column])
        rows[rank] = [x * scale % r for x in rows[rank]]
        for i in range(len(rows)):
            if i != rank and rows[i][column]:
                factor = rows[i][column]
                rows[i] = [(x - factor * y) % r for x, y in zip(rows[i], rows[rank], strict=True)]
        rank += 1
    return rank, determinant % r, [row[-1] for row in rows[:width]] if right else None


def rank_of(matrix: list[list[int]]) -> int:
    return eliminate(matrix)[0]


def bench(name: str, challenges: None = None) -> Bench:
    shape = SHAPES[name]
    collateral = BALANCES[1] if "assets" not in shape else (9,)
    given = lab.standard(collateral=collateral, options={"srs": lab.known_tau()}, **shape)
    return Bench(given, challenges)


def without(matrix: list[list[int]], *columns: Passed) -> list[list[int]]:
    return [[x for j, x in enumerate(row) if j not in columns] for row in matrix]


# --- the rank -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_there_are_exactly_as_many_blinders_as_revealed_numbers_and_all_count(name: str) -> None:
    b = bench(name)
    names = b.blinder_names
    draw = lab.draws("point")
    first, second = ([draw() for _ in names] for _ in range(2))
    J = b.jacobian(first)
    shape = b.given.circuit.shape
    revealed = 2 * shape.digits + 1 + 4 * shape.gates + shape.helpers + 2 + shape.pieces
    assert len(J) == len(names) == revealed == len(b.revealed(first))
    rank, determinant, _ = eliminate(J)
    assert rank == len(names)
    # the same everywhere: the map is triangular with constants on the diagonal, so it is one to one
    assert eliminate(b.jacobian(second))[1] == determinant != 0


@pytest.mark.parametrize("name", SHAPES)
def test_the_rank_drops_when_any_single_blinder_is_frozen(name: str) -> None:
    b = bench(name)
    draw = lab.draws("point")
    J = b.jacobian([draw() for _ in b.blinder_names])
    for j in range(len(J)):
        assert rank_of(without(J, j)) == len(J) - 1 < len(J), b.blinder_names[j]


@pytest.mark.parametrize("name", SHAPES)
def test_each_number_is_masked_by_its_own_blinders(name: str) -> None:
    # the table of section 6: without the blinders of a row, the numbers of that row are fixed by the witness
    b = bench(name)
    names = b.blinder_names
    draw = lab.draws("point")
    revealed = list(b.revealed([draw() for _ in names]))
    J = b.jacobian([draw() for _ in names])

    def rank(numbers: list[str], blinders: list[str]) -> int:
        rows = [revealed.index(number) for number in numbers]
        columns = [names.index(blinder) for blinder in blinders]
        return rank_of([[J[i][j] for j in columns] for i in rows])

    for c in range(b.given.circuit.shape.digits):
        pair = [f"f[{c}]", f"f[{c}](zeta)"]
        assert rank(pair, [f"f[{c}] b0", f"f[{c}] b1"]) == 2
        assert rank(pair, [x for x in names if not x.startswith(f"f[{c}] ")]) == 0
    assert rank(["mu"], ["mu"]) == 1
    for g in range(b.given.circuit.shape.helpers):
        assert rank([f"h[{g}]"], [f"h[{g}]"]) == 1
    if b.given.circuit.gates:
        assert rank(["A", "A(zeta)", "B", "C"], ["A b0", "A b1", "B", "C"]) == 4
    phi = ["phi", "phi(omega zeta)"]
    assert rank(phi, ["phi b0", "phi b1", "phi b2"]) == 2
    pieces = [x for x in revealed if x.startswith("T[")]
    assert rank([*phi, *pieces], [x for x in names if x.startswith(("phi", "t["))]) == 2 + len(pieces)


@pytest.mark.parametrize("name", SHAPES)
def test_two_blinders_on_the_running_sum_are_not_enough(name: str) -> None:
    # decision 2: T(tau) holds phi(omega tau), a third functional of phi
    b = bench(name)
    draw = lab.draws("point")
    J = b.jacobian([draw() for _ in b.blinder_names])
    third = b.blinder_names.index("phi b2")
    revealed = list(b.revealed([draw() for _ in b.blinder_names]))
    two = without(J, third)
    assert rank_of(two) == len(J) - 1
    # the numbers of the commitments and values alone are masked; it is T that is not
    pieces = [i for i, number in enumerate(revealed) if number.startswith("T[")]
    others = [row for i, row in enumerate(two) if i not in pieces]
    assert rank_of(others) == len(others)
    assert rank_of([*others, *(two[i] for i in pieces[:-1])]) == len(two) - 1


# --- one to one and onto ------------------------------------------------------------------------------------


def solve(b: Bench, target: dict[str, int], steps: int = 5) -> list[int]:
    """The blinders that give the revealed numbers ``target``: Newton's method, exact on a triangular map."""
    x = [0] * len(b.blinder_names)
    for _ in range(steps):
        now = b.revealed(x)
        error = [(target[name] - now[name]) % r for name in now]
        if not any(error):
            return x
        step = eliminate(b.jacobian(x), error)[2]
        assert step is not None
        x = [(a + d) % r for a, d in zip(x, step, strict=True)]
    raise AssertionError("no blinders give these numbers")


@pytest.mark.parametrize("name", SHAPES)
def test_any_numbers_that_satisfy_the_verification_equation_are_possible(name: str) -> None:
    # uniform numbers in every place: what the simulator sends
    b = bench(name)
    draw = lab.draws("target")
    target = {number: draw() for number in b.revealed([0] * len(b.blinder_names))}
    assert b.revealed(solve(b, target)) == target


def two_books(name: str) -> tuple[Case, Case]:
    """Two accounts that satisfy one circuit, committed so that their commitments are equal points."""
    shape = SHAPES[name]
    circuit = Circuit.freeze(lab.margin_like(**shape), 2)
    witnesses = []
    for scale, balances in ((1, BALANCES[0]), (-1, BALANCES[1])):
        witnesses.append(assign(circuit, lab.book_of(circuit.position_count, scale), list(balances)))
        check(circuit, witnesses[-1])
    first = lab.state(circuit, witnesses[0], srs=lab.known_tau())
    basis, Z = list(map(int, lagrange_at(circuit.domain, lab.TAU))), circuit.domain.vanishing_at(lab.TAU)
    blinders = {}
    for column, blinder in first.blinders.items():
        a, b = (sum(int(x) * l for x, l in zip(w.columns(circuit)[column], basis, strict=True)) for w in witnesses)
        blinders[column] = (blinder + (a - b) * inverse(Z)) % r
    second = lab.with_blinders(replace(first, witness=witnesses[1]), blinders)
    assert second.statement.parts == first.statement.parts
    assert first.witness.positions != second.witness.positions
    return first, second


@pytest.mark.parametrize("name", ["two columns", "two helpers", "gates"])
def test_the_same_bytes_are_a_proof_for_another_book(name: str) -> None:
    # perfect hiding, end to end: blinders exist with which the other book gives this very proof
    first, second = two_books(name)
    data = lab.prove(first)
    verify(first.statement.as_statement(), data)
    x, _ = replay(first.statement, decode_proof(data, first.circuit.shape, first.statement.srs.digest))
    fixed = (x.beta, x.rho, x.chi, x.zeta, x.v, x.y)
    a, b = Bench(first, fixed), Bench(second, fixed)
    draw = lab.draws("proof")
    target = a.revealed([draw() for _ in a.blinder_names])
    source = iter(solve(b, target))
    other = zkmargin.prover.argument.prove_argument(
        second.statement, second.witness, second.blinders, lambda: next(source)
    )
    assert lab.encode(second, other) == data


def test_with_two_blinders_the_proof_tells_two_books_apart() -> None:
    # whoever knows tau, or has enough powers of it in G2, tries each candidate book: only the true one needs b2 = 0
    first, second = two_books("two helpers")
    benches = [Bench(given) for given in (first, second)]
    third = benches[0].blinder_names.index("phi b2")
    draw = lab.draws("two blinders")
    blinders = [draw() if i != third else 0 for i in range(len(benches[0].blinder_names))]
    target = benches[0].revealed(blinders)
    assert solve(benches[0], target) == blinders
    assert solve(benches[1], target)[third] != 0


# --- the order of the blinders ------------------------------------------------------------------------------


def test_blinders_are_drawn_in_the_order_of_the_protocol() -> None:
    # message by message: a blinder changes its own column, and of earlier messages nothing
    b = bench("gates")
    names = b.blinder_names
    base = b.revealed([0] * len(names))
    own = {"f": "f", "mu": "mu", "A": "A", "B": "B", "C": "C", "h": "h", "phi": "phi", "t": "T"}
    for j, name in enumerate(names):
        moved = b.revealed([int(i == j) for i in range(len(names))])
        changed = {number for number in base if moved[number] != base[number]}
        stem, _, rest = name.partition("[")
        stem = stem.split(" ")[0]
        index = f"[{rest.split(']')[0]}]" if rest else ""
        expected = {
            n for n in base if n in {own[stem] + index, f"{own[stem]}{index}(zeta)", f"{own[stem]}(omega zeta)"}
        }
        if stem == "t":
            expected = {f"T[{int(index[1:-1])}]", f"T[{int(index[1:-1]) + 1}]"}
        assert changed - {n for n in base if n.startswith("T[")} == expected - {n for n in base if n.startswith("T[")}
        if stem == "t":
            assert changed == expected
    assert all(a != b for a, b in pairwise(names))
