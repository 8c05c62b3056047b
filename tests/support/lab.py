"""The bench of the tests of the argument: small systems, statements over them, honest and dishonest provers.

Nothing here is fast, secret or part of the product.
"""

import ast
import hashlib
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

import zkmargin.prover.argument
import zkmargin.prover.polynomials
import zkmargin.verifier.argument
from support.instances import BareStatement
from support.typed import Keywords, Passed, Unchecked
from zkmargin.accounts import CommitmentPart
from zkmargin.accounts.commitments import commit_vector
from zkmargin.accounts.slots import ROLES, Role
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.hints import Largest
from zkmargin.circuits.language.system import Form, System
from zkmargin.circuits.language.witness import Witness, assign
from zkmargin.crypto.commitment import commit_coefficients
from zkmargin.crypto.domain import evaluate
from zkmargin.crypto.field import r
from zkmargin.crypto.group import encode_g1
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.haircuts import PublishedHaircuts
from zkmargin.engine.components.short_option_minimum import Mode, PublishedShortOptionMinimum
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.policy import load_policy
from zkmargin.engine.snapshot import CollateralSlot, InstrumentSlot, Layout, Snapshot
from zkmargin.formats import IntArray
from zkmargin.prover import _kernels as K
from zkmargin.prover.argument import _Rounds
from zkmargin.verifier.argument import Challenges
from zkmargin.verifier.proof import Proof, encode_proof
from zkmargin.verifier.statement import Instance
from zkmargin.verifier.transcript import MarginTranscript

TAU = 0x1234567890ABCDEF_FEDCBA0987654321


@cache
def known_tau(tau: int = TAU, powers: int = 80) -> SRS:
    """A setup whose trapdoor is known."""
    return insecure_from_tau(tau, powers)


def draws(seed: object) -> Callable[[], int]:
    """A source of field elements that repeats itself: two provers with one seed draw the same blinders."""
    counter = 0

    def draw() -> int:
        nonlocal counter
        counter += 1
        return int.from_bytes(hashlib.sha512(f"{seed} {counter}".encode()).digest(), "big") % r

    return draw


def derivatives(names: Sequence[str], revealed: Callable[[list[int]], list[int]], seed: object) -> dict[str, list[int]]:
    """By blinder, the derivative of every revealed number: each is affine in each blinder."""
    draw = draws(seed)
    at = [draw() for _ in names]
    base, columns = revealed(at), {}
    for j, name in enumerate(names):
        moved = revealed([x + (i == j) for i, x in enumerate(at)])
        columns[name] = [(a - b) % r for a, b in zip(moved, base, strict=True)]
    return columns


# --- systems ------------------------------------------------------------------------------------------------

RISK = ((3, -7, 2, 5, -1, 4), (-6, 2, 9, -3, 8, -2), (1, 1, -1, -1, 2, -3))


def margin_like(
    *,
    n: int = 16,
    slots: int = 6,
    bits: int = 4,
    range_proved: bool = True,
    assets: Sequence[tuple[int, bool]] = ((8, True), (4, False)),
    scenarios: int = 3,
    gates: int = 0,
    minimum: bool = True,
) -> System:
    """A system with everything a margin circuit has: a charge, scenarios, a short minimum, a claim; and gates."""
    system = System(n=n, position_count=slots, position_bits=bits, range_proved=range_proved, collateral=list(assets))

    def row(values: Sequence[int]) -> npt.NDArray[np.int64]:
        return np.array([values[i % len(values)] for i in range(slots)], dtype=np.int64)

    losses = [system.dense("positions", -row(RISK[s])) for s in range(scenarios)]
    if range_proved and minimum:
        losses.append(system.dense("short", row((2, 0, 1))))
    upper = max((system.bounds(loss)[1] for loss in losses), default=0)
    charge = Form()
    if losses:
        charge = system.integer("charge", upper, Largest(0, *losses))
        for s, loss in enumerate(losses):
            system.at_least_zero("scenario", f"scenario {s}", charge - loss)
    equity = Form()
    for j in range(len(assets)):
        held, owed = system.collateral(j)
        equity += held * max(9 - j, 1) - owed * 10
    for g in range(gates):
        square = system.product(charge + g, charge - 1)
        system.at_least_zero("square", f"square {g}", Form(constant=system.bounds(square)[1]) - square)
    system.at_least_zero("claim", "1:1", equity - charge)
    return system


BOOK = (1, -2, 0, 3, -1, 2)


def book_of(slots: int, scale: int = 1) -> list[int]:
    """Positions for a margin-like system."""
    return [scale * BOOK[i % len(BOOK)] for i in range(slots)]


# --- statements ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A statement and what its prover knows."""

    statement: BareStatement
    witness: Witness
    blinders: dict[str, int]

    @property
    def circuit(self) -> Circuit:
        return self.statement.circuit


def part(role: Role, points: Iterable[bytes], alias: str = "account", bits: int = 60) -> CommitmentPart:
    """A commitment part with given encoded points."""
    return CommitmentPart(role=role, alias=alias, slot_map="00" * 32, points=tuple(p.hex() for p in points), bits=bits)


def state(
    circuit: Circuit,
    witness: Witness,
    *,
    srs: SRS | None = None,
    context: bytes = b"",
    seed: object = "book",
    commit_n: int | None = None,
) -> Case:
    """The statement that commits to a witness's book (true or not), with everything else fixed."""
    srs = srs or embedded()
    draw, parts = draws(seed), []
    blinders: dict[str, int] = {}
    for role, count in zip(ROLES, (circuit.position_segments, circuit.collateral_segments), strict=True):
        drawn = [draw() for _ in range(count)]
        blinders |= {f"{role}[{s}]": b for s, b in enumerate(drawn)}
        parts.append(part(role, commit_vector(srs, commit_n or circuit.n, getattr(witness, role), drawn)))
    statement = BareStatement(
        srs, bytes(range(32)), circuit, Claim(), tuple(sorted(parts, key=CommitmentPart.canonical)), context
    )
    return Case(statement, witness, blinders)


def case(system: System, positions: Sequence[int], collateral: Sequence[int], **options: Passed) -> Case:
    """An honest case: the witness satisfies the circuit."""
    circuit = Circuit.freeze(system, len(collateral))
    return state(circuit, assign(circuit, positions, collateral), **options)


def standard(
    *,
    slots: int = 6,
    collateral: Sequence[int] = (40, 3),
    scale: int = 1,
    options: Keywords | None = None,
    **shape: Passed,
) -> Case:
    """The usual small case."""
    return case(margin_like(slots=slots, **shape), book_of(slots, scale), list(collateral), **(options or {}))


def false_claim(**shape: Passed) -> tuple[Case, int]:
    """(case, shortfall): one unit of collateral is missing for the claim. Its slack says 0, everything else holds."""
    circuit = Circuit.freeze(margin_like(**shape), 2)
    book = book_of(circuit.position_count)
    # the hints of everything but the claim's own slack do not depend on the claim
    bounded = (*circuit.bounded[:-1], replace(circuit.bounded[-1], hint=Form()))
    loose = replace(circuit, bounded=bounded)

    def surplus(held: int) -> tuple[Witness, int]:
        witness = assign(loose, book, [held, 0])
        return witness, circuit.equations[-1].form.value(lambda atom: witness.value(circuit, atom))

    enough = next(held for held in range(200) if surplus(held)[1] >= 0)
    witness, value = surplus(enough - 1)
    return state(circuit, witness), -value


def with_blinders(given: Case, blinders: dict[str, int]) -> Case:
    """The case with other blinders for its commitments, and a statement to match."""
    parts = []
    for role in ROLES:
        row = [b for column, b in blinders.items() if column.startswith(role)]
        parts.append(part(role, commit_vector(given.statement.srs, given.circuit.n, getattr(given.witness, role), row)))
    statement = replace(given.statement, parts=tuple(sorted(parts, key=CommitmentPart.canonical)))
    return Case(statement, given.witness, blinders)


# --- provers ------------------------------------------------------------------------------------------------


def prove(given: Case, seed: object = "proof") -> bytes:
    """Bytes of an honest proof, from the product's prover."""
    return encode(
        given, zkmargin.prover.argument.prove_argument(given.statement, given.witness, given.blinders, draws(seed))
    )


def encode(given: Case, proof: Proof) -> bytes:
    """The bytes of a proof."""
    return encode_proof(proof, given.statement.srs.digest)


@cache
def _unchecked_code(of: types.ModuleType) -> types.CodeType:
    class Remove(ast.NodeTransformer):
        def visit_Raise(self, node: ast.Raise) -> ast.AST:
            return ast.copy_location(ast.Pass(), node)

    tree = Remove().visit(ast.parse(inspect.getsource(of)))
    code: types.CodeType = compile(ast.fix_missing_locations(tree), "unchecked_prover", "exec")
    return code


def unchecked() -> Unchecked:
    """A copy of the product's prover with every check removed: no ``raise`` is left in it.

    ``copy.tamper(rounds, name, values)``, if set, replaces the values of a column before it is committed.
    """
    # dataclasses look their module up by name
    module: Unchecked = types.ModuleType(zkmargin.prover.argument.__name__)
    exec(_unchecked_code(zkmargin.prover.argument), module.__dict__)  # noqa: S102 - our own source
    steps: dict[str, object] = {"__name__": zkmargin.prover.polynomials.__name__}
    exec(_unchecked_code(zkmargin.prover.polynomials), steps)  # noqa: S102 - our own source
    module.__dict__.update({name: steps[name] for name in ("running_sum", "divided")})
    module.tamper = None
    interpolate = module._Rounds.interpolate

    def tampered(self: _Rounds, name: str, blinders: int, *integers: object) -> None:
        if module.tamper:
            values = module.tamper(self, name, K.to_ints(self.columns[name]))
            self.columns[name] = K.from_ints([x % r for x in values])
            integers = ()  # tampered cells are field elements
        interpolate(self, name, blinders, *integers)

    module._Rounds.interpolate = tampered
    return module


Tamper = Callable[[_Rounds, str, list[int]], list[int]]


def cheat(
    given: Case,
    tamper: Tamper | None = None,
    *,
    seed: object = "proof",
    transcript: type[MarginTranscript] | None = None,
) -> Proof:
    """A proof by a prover that checks nothing, with tampered columns, under any transcript schedule."""
    module = unchecked()
    module.tamper = tamper
    if transcript is not None:
        module.MarginTranscript = transcript
    proof: Proof = module.prove_argument(given.statement, given.witness, given.blinders, draws(seed))
    return proof


def swap(changes: Mapping[str, Mapping[int, int]]) -> Tamper:
    """A tamper that replaces cells: {column: {row: value}}."""

    def tamper(_state: object, name: str, values: list[int]) -> list[int]:
        for row, value in changes.get(name, {}).items():
            values[row] = value
        return values

    return tamper


def challenges(statement: Instance, proof: Proof, transcript: type[MarginTranscript] | None = None) -> Challenges:
    """All challenges of a proof under a schedule."""
    with patch("zkmargin.verifier.argument.MarginTranscript", transcript or MarginTranscript):
        return zkmargin.verifier.argument.replay(statement, proof)[0]


def commit(srs: SRS, coefficients: Iterable[int]) -> bytes:
    """The encoded commitment of a polynomial."""
    return encode_g1(commit_coefficients(srs, [x % r for x in coefficients]))


def at(coefficients: Iterable[int], x: int) -> int:
    """The value of a polynomial."""
    return evaluate([c % r for c in coefficients], x)


# --- snapshots ----------------------------------------------------------------------------------------------


def array(values: npt.ArrayLike, shape: Sequence[int] | None = None) -> IntArray:
    """An IntArray of a nested list."""
    return IntArray(np.array(values, dtype=np.int64).reshape(shape if shape is not None else np.shape(values)))


def snapshot(
    *,
    groups: Sequence[int],
    risk: Sequence[Sequence[int]],
    charges: Sequence[int] | None,
    marks: Sequence[int],
    assets: Sequence[tuple[int, int, int, bool]],
    mode: Mode = "floor",
    n: int = 16,
    bits: int = 16,
    range_proved: bool = True,
    version: int = 1,
) -> Snapshot:
    """A snapshot made by hand: ``risk`` [N][S], ``assets`` of (long value, short value, bits, negative allowed)."""
    count = max(groups, default=-1) + 1
    width = len(risk[0]) if risk else 0
    minimum = (
        () if charges is None else (PublishedShortOptionMinimum(mode=mode, charge=array(charges, (len(groups),))),)
    )
    return Snapshot(
        format=f"zkmargin/snapshot/v{version}",
        name="test",
        time="2026-01-01T00:00:00Z",
        quote="USD",
        market_digest="00" * 32,
        policy=load_policy("default"),
        layout=Layout(domain_size=n, position_bits=bits, range_proved=range_proved),
        groups=tuple(f"U{g}" for g in range(count)),
        instruments=tuple(
            InstrumentSlot(
                id=f"I{i}",
                kind="option",
                group=g,
                underlying=f"U{g}",
                lot="0.1",
                expiry=None,
                strike=None,
                option_type=None,
                settlement="linear",
                multiplier="1",
            )
            for i, g in enumerate(groups)
        ),
        collateral=tuple(
            CollateralSlot(asset=f"A{j}", lot="0.01", price=1, bits=b, negative_allowed=negative)
            for j, (_, _, b, negative) in enumerate(assets)
        ),
        marks=array(marks, (len(groups),)),
        deltas=array([0] * len(groups), (len(groups),)),
        components=(
            PublishedWorstScenario(
                scenarios=tuple(tuple(f"U{g} scenario {s}" for s in range(width)) for g in range(count)),
                risk=array(risk, (len(groups), width)),
            ),
            *minimum,
            PublishedHaircuts(
                long_value=array([a[0] for a in assets], (len(assets),)),
                short_value=array([a[1] for a in assets], (len(assets),)),
            ),
        ),
    )
