"""Both provers, both verifiers, one protocol text: the same randomness gives the same bytes, and all agree on them."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from types import ModuleType
from typing import Literal, cast

import numpy as np
import pytest
from support.instances import BareStatement

import zkmargin.prover.reference
import zkmargin.prover.reference_verify
from zkmargin.accounts.commitments import CommitmentPart, commit_vector
from zkmargin.circuits.language.circuit import Circuit, Shape
from zkmargin.circuits.language.system import Form, System
from zkmargin.circuits.language.witness import Witness, assign, check
from zkmargin.crypto.field import r
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.engine.claims import Claim
from zkmargin.formats.canonical import keccak256
from zkmargin.formats.errors import ProofFormatError, SetupError, VerificationError
from zkmargin.prover.argument import prove_argument
from zkmargin.prover.reference import prove_reference
from zkmargin.prover.reference_verify import verify_reference
from zkmargin.verifier import Statement, verify
from zkmargin.verifier.proof import Proof, encode_proof

Draw = Callable[[], int]
Build = Callable[[int, int], tuple[Circuit, list[int], list[int]]]


def stream(seed: str) -> Draw:
    """The same field elements for the same seed."""
    counter = count()
    return lambda: int.from_bytes(b"".join(keccak256(f"{seed} {next(counter)}".encode()) for _ in "ab"), "big") % r


def worst_case(system: System, rows: list[list[int]], charge: int) -> Form:
    """A requirement that covers the loss of every row; the honest prover claims ``charge``, more than it needs."""
    requirement = system.integer("requirement", charge + 10, Form(constant=charge))
    for s, row in enumerate(rows):
        covered = requirement + system.dense("positions", np.array(row, dtype=np.int64))
        system.at_least_zero("scenario", str(s), covered)
    return requirement


def attested(n: int, slots: int) -> tuple[Circuit, list[int], list[int]]:
    """Positions without digits; one packed column."""
    system = System(n=n, position_count=slots, position_bits=3, range_proved=False, collateral=[(4, False)])
    requirement = worst_case(system, [[1, -2] + [1] * (slots - 2)], 50)
    system.at_least_zero("claim", "", system.collateral(0)[0] * 5 - requirement)
    return Circuit.freeze(system, 1), [3, -1, -2, 5][:slots] + [1] * (slots - 4), [11]


def ranged(n: int, slots: int) -> tuple[Circuit, list[int], list[int]]:
    """Positions with their digits in base n; debts; short sides; several packed columns."""
    bits = n.bit_length() - 1
    collateral = [(bits, True), (2 * bits, False), (bits, False)]
    system = System(n=n, position_count=slots, position_bits=2 * bits, range_proved=True, collateral=collateral)
    requirement = worst_case(system, [[(7 * i + 3 * s) % 11 - 5 for i in range(slots)] for s in range(3)], 400)
    shorts = system.dense("short", np.full(slots, 2, dtype=np.int64))
    system.at_least_zero("short option minimum", "all", system.collateral(1)[0] + requirement - shorts)
    held, owed = system.collateral(0)
    system.at_least_zero("claim", "", system.collateral(1)[0] * 9 + held - owed * 2 - requirement * 2 + 1)
    positions = [0] * slots
    positions[0], positions[1], positions[-1] = 2, -2, n + 9
    return Circuit.freeze(system, 3), positions, [-3, 100, 1]


def gated(n: int, slots: int) -> tuple[Circuit, list[int], list[int]]:
    """Product gates, and as many collateral slots as positions."""
    system = System(n=n, position_count=slots, position_bits=4, range_proved=False, collateral=[(4, False)] * slots)
    a, b = system.collateral(0)[0], system.collateral(slots - 1)[0]
    square = system.product(a, a + b)
    cube = system.product(square, a)
    system.at_least_zero("claim", "", cube - square + system.dense("positions", np.ones(slots, dtype=np.int64)))
    return Circuit.freeze(system, slots), [1, -1] * (slots // 2) + [3] * (slots % 2), [7] + [2] * (slots - 1)


@dataclass(frozen=True)
class Case:
    statement: Statement
    witness: Witness
    blinders: dict[str, int]
    seed: str


def case(build: Build, n: int, slots: int) -> Case:
    """A statement over synthetic slots whose positions are two parts of one account."""
    circuit, positions, collateral = build(n, slots)
    witness = assign(circuit, positions, collateral)
    check(circuit, witness)
    seed = f"{build.__name__} {n} {slots}"
    draw = stream(f"commitments of {seed}")
    split = [(7 * i) % 3 - 1 for i in range(slots)]
    vectors: dict[str, tuple[Literal["positions", "collateral"], list[int], int]] = {
        "first": ("positions", split, circuit.position_segments),
        "second": ("positions", [q - p for q, p in zip(positions, split, strict=True)], circuit.position_segments),
        "custody": ("collateral", collateral, circuit.collateral_segments),
    }
    parts: list[CommitmentPart] = []
    blinders: dict[str, int] = {}
    for alias, (role, vector, segments) in vectors.items():
        own = [draw() for _ in range(segments)]
        points = tuple(point.hex() for point in commit_vector(embedded(), n, vector, own))
        parts.append(CommitmentPart(role=role, alias=alias, slot_map="00" * 32, points=points, bits=16))
        for s, b in enumerate(own):
            column = f"{role}[{s}]"
            blinders[column] = (blinders.get(column, 0) + b) % r
    claim = Claim(num=1, den=1, requirement="initial")
    statement = BareStatement(
        srs=embedded(),
        snapshot_digest=bytes(range(32)),
        circuit=circuit,
        claim=claim,
        parts=tuple(parts),
        context=b"context",
    )
    return Case(cast("Statement", statement), witness, blinders, seed)


Prepared = tuple[Case, bytes]


def bytes_of(prove: Callable[..., Proof], c: Case, draw: Draw | None = None) -> bytes:
    proof = prove(c.statement, c.witness, c.blinders, draw or stream(c.seed))
    return encode_proof(proof, c.statement.srs.digest)


@pytest.mark.parametrize("module", [zkmargin.prover.reference, zkmargin.prover.reference_verify])
def test_the_reference_shares_no_arithmetic_with_what_it_checks(module: ModuleType) -> None:
    tree = ast.parse(inspect.getsource(module))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    shared = {
        "zkmargin.prover",
        "zkmargin.prover.argument",
        "zkmargin.prover._kernels",
        "zkmargin.prover.commit",
        "zkmargin.verifier.argument",
        "zkmargin.verifier.verify",
    }
    arithmetic = {
        "zkmargin.crypto.commitment",
        "zkmargin.crypto.domain",
        "zkmargin.crypto.exact",
        "zkmargin.crypto.group",
        "py_arkworks_bls12381",
    }
    assert not imported & (shared | arithmetic)


SHAPES = [
    (attested, 16, 4, Shape(digits=1, gates=False, helpers=1, pieces=1)),
    (gated, 16, 8, Shape(digits=1, gates=True, helpers=1, pieces=1)),
    (gated, 16, 17, Shape(digits=2, gates=True, helpers=1, pieces=2)),
    (gated, 16, 31, Shape(digits=3, gates=True, helpers=1, pieces=3)),
    (ranged, 16, 20, Shape(digits=10, gates=False, helpers=4, pieces=3)),
]


@pytest.mark.parametrize(("build", "n", "slots", "shape"), SHAPES)
def test_both_provers_give_the_same_bytes(build: Build, n: int, slots: int, shape: Shape) -> None:
    c = case(build, n, slots)
    assert c.statement.circuit.shape == shape
    reference = bytes_of(prove_reference, c)
    assert reference == bytes_of(prove_argument, c)
    verify(c.statement, reference)


@pytest.mark.slow
@pytest.mark.parametrize(("build", "slots"), [(attested, 40), (ranged, 63), (ranged, 70), (gated, 64)])
def test_both_provers_give_the_same_bytes_at_64(build: Build, slots: int) -> None:
    c = case(build, 64, slots)
    reference = bytes_of(prove_reference, c)
    assert reference == bytes_of(prove_argument, c)
    verify(c.statement, reference)
    assert verify_reference(c.statement, reference)


@pytest.fixture(scope="module")
def attested_case() -> Prepared:
    c = case(attested, 16, 4)
    return c, bytes_of(prove_argument, c)


def test_the_reference_draws_as_many_blinders_as_the_protocol_lists(attested_case: Prepared) -> None:
    c, proof = attested_case
    drawn: list[int] = []

    def draw() -> int:
        drawn.append(stream(f"{len(drawn)}")())
        return drawn[-1]

    assert bytes_of(prove_reference, c, draw) != proof
    # f_0 (2), mu, h_1, phi (3); one piece of T has no seam
    assert len(drawn) == 2 + 1 + 1 + 3


def test_the_second_opinion_accepts_a_proof(attested_case: Prepared) -> None:
    assert verify_reference(attested_case[0].statement, attested_case[1])


@pytest.mark.slow
@pytest.mark.parametrize(("build", "n", "slots", "shape"), SHAPES[1:])
def test_the_second_opinion_accepts_every_shape(build: Build, n: int, slots: int, shape: Shape) -> None:
    c = case(build, n, slots)
    proof = bytes_of(prove_argument, c)
    assert c.statement.circuit.shape == shape
    assert verify_reference(c.statement, proof)


def both_refuse(statement: Statement, proof: bytes) -> None:
    with pytest.raises((VerificationError, ProofFormatError)) as caught:
        verify(statement, proof)
    if caught.type is ProofFormatError:
        with pytest.raises(ProofFormatError):
            verify_reference(statement, proof)
    else:
        assert not verify_reference(statement, proof)


def mutants(statement: Statement, proof: bytes) -> list[tuple[str, bytes]]:
    """One change in each element of a proof that keeps it well formed, and some that do not."""
    shape = statement.circuit.shape
    points = shape.digits + 1 + 3 * shape.gates + shape.helpers + 1 + shape.pieces
    scalars = 44 + 48 * points
    end = scalars + 32 * (shape.digits + 1 + shape.gates)
    starts = [*range(44, scalars, 48), end, end + 48]
    # the sign bit: the negated point
    changed = [(f"point at {at}", proof[:at] + bytes([proof[at] ^ 0x20]) + proof[at + 1 :]) for at in starts]
    for at in range(scalars, end, 32):
        x = (int.from_bytes(proof[at : at + 32], "big") + 1) % r
        changed.append((f"scalar at {at}", proof[:at] + x.to_bytes(32, "big") + proof[at + 32 :]))
    infinity = b"\xc0" + bytes(47)
    changed.extend((f"infinity at {at}", proof[:at] + infinity + proof[at + 48 :]) for at in starts)
    changed.append(("both openings infinity", proof[:end] + infinity * 2))
    changed.append(("openings swapped", proof[:end] + proof[end + 48 :] + proof[end : end + 48]))
    return changed


def test_a_changed_scalar_is_refused_by_both(attested_case: Prepared) -> None:
    statement, proof = attested_case[0].statement, attested_case[1]
    _, mutant = next(m for m in mutants(statement, proof) if m[0].startswith("scalar"))
    both_refuse(statement, mutant)


@pytest.mark.slow
def test_every_element_is_refused_by_both_when_it_changes(attested_case: Prepared) -> None:
    statement, proof = attested_case[0].statement, attested_case[1]
    for _, mutant in mutants(statement, proof):
        both_refuse(statement, mutant)


def test_the_reference_refuses_a_witness_that_breaks_an_equation(attested_case: Prepared) -> None:
    c, _ = attested_case
    positions = (c.witness.positions[0] + 1, *c.witness.positions[1:])
    false = Case(c.statement, Witness(positions, (), (), c.witness.collateral, c.witness.bounded), c.blinders, c.seed)
    with pytest.raises(ValueError, match="public equations do not hold"):
        bytes_of(prove_reference, false)


def test_the_reference_refuses_a_product_gate_that_is_false() -> None:
    c = case(gated, 16, 8)
    w = c.witness
    # no equation reads a gate that was never wired: only the row identity can refuse it
    gates = (*w.gates, (2, 3, 7))
    false = Case(c.statement, Witness(w.positions, w.long, w.short, w.collateral, w.bounded, gates), c.blinders, c.seed)
    with pytest.raises(ValueError, match="does not hold on every row"):
        bytes_of(prove_reference, false)


def test_a_setup_with_too_few_powers_is_refused(attested_case: Prepared) -> None:
    c, _ = attested_case
    small = SRS.from_points(embedded().g1_powers(8), [embedded().g2_one, embedded().g2_tau])
    statement = replace(c.statement, srs=small)
    with pytest.raises(SetupError, match="19 powers of tau"):
        prove_reference(statement, c.witness, c.blinders, stream("few"))
