"""End to end on small systems: honest proofs are accepted, and anything that was touched is refused.

Catalogue items 1, 3, 4, 5, 7, 11, 13, 28 and 37 (docs/security.md) for the slots of a proof.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from py_arkworks_bls12381 import G1Point
from support import lab
from support.instances import verify
from support.lab import Case
from support.small_systems import FULL, SHAPES, build, rejected
from support.typed import Keywords, Passed

from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.witness import assign, check
from zkmargin.crypto.field import r
from zkmargin.crypto.group import G1_INFINITY, decode_g1, encode_g1
from zkmargin.crypto.scalars import scalar
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.verifier.header import HEADER_BYTES
from zkmargin.verifier.proof import Proof, decode_proof, encode_proof, proof_bytes


@pytest.fixture(scope="module")
def sample() -> tuple[Case, bytes]:
    """The case and proof that are tampered with: every kind of element is there."""
    given = build("one gate")
    return given, lab.prove(given)


# --- completeness -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_an_honest_proof_is_accepted_and_has_the_promised_length(name: str) -> None:
    given = build(name)
    check(given.circuit, given.witness)
    data = lab.prove(given)
    accepted = verify(given.statement, data)
    assert accepted.statement is given.statement.as_statement()
    shape = given.circuit.shape
    assert len(data) == proof_bytes(shape)
    assert encode_proof(decode_proof(data, shape, given.statement.srs.digest), given.statement.srs.digest) == data
    with pytest.raises(VerificationError):
        verify(replace(given.statement, context=b"another"), data)


def test_shapes_cover_one_to_many_columns_segments_and_pieces() -> None:
    circuits = [build(name).circuit for name in SHAPES]
    assert {c.shape.pieces for c in circuits} == {1, 2, 3}
    assert {c.position_segments for c in circuits} >= {1, 2, 3}
    assert {c.collateral_segments for c in circuits} >= {1, 3}
    assert max(c.digit_columns for c in circuits) > 30
    assert {c.shape.gates for c in circuits} == {True, False}


def test_proofs_of_one_witness_differ_in_every_element_but_prove_one_statement() -> None:
    given = build("one gate")
    first, second = (lab.prove(given, seed) for seed in ("one", "two"))
    assert verify(given.statement, first).statement_digest == verify(given.statement, second).statement_digest
    one, two = (decode_proof(data, given.circuit.shape, given.statement.srs.digest) for data in (first, second))
    for (name, a), (_, b) in zip(one.points(), two.points(), strict=True):
        assert a != b, name
    assert all(a != b for a, b in zip(one.scalars(), two.scalars(), strict=True))


def test_overstating_both_sides_of_a_position_is_allowed_and_only_costs_the_prover() -> None:
    circuit = Circuit.freeze(lab.margin_like(minimum=False), 2)
    honest = assign(circuit, lab.book_of(6), [40, 3])
    generous = replace(honest, long=tuple(p + 1 for p in honest.long), short=tuple(m + 1 for m in honest.short))
    check(circuit, generous)
    given = lab.state(circuit, generous)
    verify(given.statement, lab.prove(given))


def test_an_account_is_the_sum_of_its_parts() -> None:
    whole = build("two segments")
    circuit = whole.circuit
    positions, collateral = whole.witness.positions, whole.witness.collateral
    near = lab.state(circuit, replace(whole.witness, positions=tuple(q // 2 for q in positions)), seed="near")
    far = lab.state(
        circuit,
        replace(whole.witness, positions=tuple(q - q // 2 for q in positions), collateral=(0,) * len(collateral)),
        seed="far",
    )
    parts = tuple(sorted((*near.statement.parts, *far.statement.parts), key=lambda p: p.canonical()))
    blinders = {name: near.blinders[name] + far.blinders[name] for name in near.blinders}
    joined = lab.Case(replace(whole.statement, parts=parts), whole.witness, {k: b % r for k, b in blinders.items()})
    data = lab.prove(joined)
    verify(joined.statement, data)
    for dropped in range(4):
        fewer = replace(joined.statement, parts=parts[:dropped] + parts[dropped + 1 :])
        rejected(fewer, data, (VerificationError,))


# --- every element replaced ---------------------------------------------------------------------------------


def elements(proof: Proof) -> Iterator[Passed]:
    """(name, how to replace) of every point and scalar."""
    m1, m2, m3, m4, m5 = proof.message1, proof.message2, proof.message3, proof.message4, proof.message5

    def at(values: tuple[Passed, ...], i: int, x: bytes | int) -> tuple[Passed, ...]:
        return (*values[:i], x, *values[i + 1 :])

    for i, old in enumerate(m1.f):
        yield f"f[{i}]", old, lambda x, i=i: replace(proof, message1=replace(m1, f=at(m1.f, i, x)))
    yield "mu", m1.mu, lambda x: replace(proof, message1=replace(m1, mu=x))
    for i, old in enumerate(m1.gates):
        yield "ABC"[i], old, lambda x, i=i: replace(proof, message1=replace(m1, gates=at(m1.gates, i, x)))
    for i, old in enumerate(m2.h):
        yield f"h[{i}]", old, lambda x, i=i: replace(proof, message2=replace(m2, h=at(m2.h, i, x)))
    yield "phi", m2.phi, lambda x: replace(proof, message2=replace(m2, phi=x))
    for i, old in enumerate(m3.T):
        yield f"T[{i}]", old, lambda x, i=i: replace(proof, message3=replace(m3, T=at(m3.T, i, x)))
    yield "W", m5.W, lambda x: replace(proof, message5=replace(m5, W=x))
    yield "W'", m5.W_shifted, lambda x: replace(proof, message5=replace(m5, W_shifted=x))
    for i, value in enumerate(m4.f):
        yield f"f[{i}](zeta)", value, lambda x, i=i: replace(proof, message4=replace(m4, f=at(m4.f, i, x)))
    yield "phi(omega zeta)", m4.phi_shifted, lambda x: replace(proof, message4=replace(m4, phi_shifted=x))
    for i, value in enumerate(m4.A):
        yield "A(zeta)", value, lambda x, i=i: replace(proof, message4=replace(m4, A=at(m4.A, i, x)))


@pytest.mark.parametrize("name", ["one gate", "one digit column", "three segments"])
def test_every_element_replaced_by_another_valid_one_is_rejected(name: str) -> None:
    given = build(name)
    data = lab.prove(given)
    digest = given.statement.srs.digest
    proof = decode_proof(data, given.circuit.shape, digest)
    points = dict(proof.points())
    draw = lab.draws("other elements")
    seen = set()
    others: list[Passed]
    for element, old, put in elements(proof):
        seen.add(element)
        if isinstance(old, bytes):
            others = [
                encode_g1(G1Point() * scalar(draw())),
                encode_g1(-decode_g1(old)),
                encode_g1(decode_g1(old) + G1Point()),
                points["W"] if element != "W" else points["W'"],
                bytes.fromhex(given.statement.parts[0].points[0]),
            ]
        else:
            others = [draw(), (old + 1) % r, (-old) % r, 0, r - 1]
        for other in others:
            if other != old:
                rejected(given.statement, encode_proof(put(other), digest), (VerificationError,))
    assert seen == {*points, *(e for e, _, _ in elements(proof))}
    assert len(seen) == len(points) + len(proof.scalars())


def test_elements_exchanged_are_rejected(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    body = data[HEADER_BYTES:]
    points, size = len(dict(decode_proof(data, given.circuit.shape, given.statement.srs.digest).points())) - 2, 48
    for i in range(points):
        for j in range(i):
            a, b = body[i * size : (i + 1) * size], body[j * size : (j + 1) * size]
            swapped = body[: j * size] + a + body[(j + 1) * size : i * size] + b + body[(i + 1) * size :]
            rejected(given.statement, data[:HEADER_BYTES] + swapped, (VerificationError,))


# --- every byte ---------------------------------------------------------------------------------------------


def test_every_single_byte_changed_is_rejected(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    for i in range(len(data)):
        for change in (0x01, 0x80) if i % 48 else (0x01, 0x20, 0x40, 0x80, 0xFF):
            bad = bytearray(data)
            bad[i] ^= change
            rejected(given.statement, bytes(bad))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one gate", "two segments", "one digit column"])
def test_every_single_bit_flipped_is_rejected(name: str) -> None:
    """Every bit with ZKMARGIN_FULL=1; else every 37th: bits of every weight, in every element."""
    given = build(name)
    data = lab.prove(given)
    for bit in range(0, 8 * len(data), 1 if FULL else 37):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        rejected(given.statement, bytes(bad))


def test_every_length_but_the_right_one_is_rejected(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    for length in range(len(data)):
        rejected(given.statement, data[:length], (ProofFormatError,))
    for tail in (b"\x00", b"\xff", data[-1:], data[-48:], data):
        rejected(given.statement, data + tail, (ProofFormatError,))
    for head in (b"\x00", data[:HEADER_BYTES]):
        rejected(given.statement, head + data, (ProofFormatError,))


def test_infinity_is_refused_in_every_slot_and_in_both_openings_together(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    digest = given.statement.srs.digest
    proof = decode_proof(data, given.circuit.shape, digest)
    for element, old, put in elements(proof):
        if isinstance(old, bytes):
            for zero in (
                G1_INFINITY,
                b"\xe0" + bytes(47),
                b"\xc0" + bytes(46) + b"\x01",
                bytes(48),
                b"\x80" + bytes(47),
            ):
                error = rejected(given.statement, encode_proof(put(zero), digest), (ProofFormatError,))
                assert error.message.startswith(f"{element}: ")
    both = replace(proof, message5=replace(proof.message5, W=G1_INFINITY, W_shifted=G1_INFINITY))
    rejected(given.statement, encode_proof(both, digest), (ProofFormatError,))


def outside_the_subgroup() -> bytes:
    """The encoding of (4, y): on the curve, not in G1's prime-order subgroup."""
    return bytes([0x80]) + bytes(46) + b"\x04"


def test_points_off_the_curve_or_outside_the_subgroup_are_refused_in_every_slot(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    digest = given.statement.srs.digest
    proof = decode_proof(data, given.circuit.shape, digest)
    p = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
    coordinates = [outside_the_subgroup(), bytes([0x80]) + bytes(46) + b"\x01", (p | 1 << 383).to_bytes(48, "big")]
    coordinates += [((p + 1) | 1 << 383).to_bytes(48, "big"), b"\x9f" + b"\xff" * 47]
    for element, old, put in elements(proof):
        if isinstance(old, bytes):
            for bad in coordinates:
                error = rejected(given.statement, encode_proof(put(bad), digest), (ProofFormatError,))
                assert error.message.startswith(f"{element}: ")


def test_scalars_at_or_above_the_field_order_are_refused(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    proof = decode_proof(data, given.circuit.shape, given.statement.srs.digest)
    start = len(data) - 2 * 48 - 32 * len(proof.scalars())
    for i, value in enumerate(proof.scalars()):
        at = start + 32 * i
        assert int.from_bytes(data[at : at + 32], "big") == value
        for wrong in (value + r, r, r + 1, 2**256 - 1):
            if wrong < 2**256:
                bad = data[:at] + wrong.to_bytes(32, "big") + data[at + 32 :]
                assert "field order" in rejected(given.statement, bad, (ProofFormatError,)).message


@pytest.mark.parametrize("value", [None, "text", 5, [1, 2], bytearray(b"x"), memoryview(b"x")])
def test_a_proof_is_bytes(sample: tuple[Case, bytes], value: Passed) -> None:
    with pytest.raises(TypeError):
        verify(sample[0].statement, value)


# --- another statement --------------------------------------------------------------------------------------


def test_another_context_claim_or_snapshot_is_rejected(sample: tuple[Case, bytes]) -> None:
    statement, data = sample[0].statement, sample[1]
    for change in (
        {"context": b"\x00"},
        {"context": b"another reader"},
        {"claim": Claim(2, 1)},
        {"claim": Claim(1, 2)},
        {"claim": Claim(1, 1, "maintenance")},
        {"limits": (Limit.parse("headroom >= 0"),)},
        {"snapshot_digest": bytes(32)},
        {"snapshot_digest": statement.snapshot_digest[::-1]},
    ):
        rejected(replace(statement, **change), data, (VerificationError,))


def test_each_bit_of_the_context_and_snapshot_digest_is_bound() -> None:
    given = build("one digit column", context=bytes(range(7)))
    data = lab.prove(given)
    verify(given.statement, data)
    for field in ("context", "snapshot_digest"):
        value = getattr(given.statement, field)
        for bit in range(8 * len(value)):
            bad = bytearray(value)
            bad[bit // 8] ^= 1 << bit % 8
            edit: Keywords = {field: bytes(bad)}
            rejected(replace(given.statement, **edit), data, (VerificationError,))


def test_another_commitment_is_rejected(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    positions, collateral = sorted(given.statement.parts, key=lambda p: p.role, reverse=True)
    other_blinder = lab.with_blinders(given, {**given.blinders, "positions[0]": 1}).statement
    other_book = lab.state(given.circuit, replace(given.witness, collateral=(41, 3))).statement
    changes = [
        other_blinder.parts,
        other_book.parts,
        (
            positions.model_copy(update={"points": collateral.points}),
            collateral.model_copy(update={"points": positions.points}),
        ),
        (positions.model_copy(update={"alias": "other"}), collateral),
        (positions.model_copy(update={"bits": 59}), collateral),
        (positions.model_copy(update={"slot_map": "11" * 32}), collateral),
        (positions, collateral, collateral),
        (positions, positions, collateral),
    ]
    changes.append(given.statement.parts[::-1])
    for parts in changes:
        rejected(replace(given.statement, parts=parts), data, (VerificationError,))


def test_parts_that_cancel_are_refused_before_any_proof(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    part = given.statement.parts[0]
    mirrored = part.model_copy(update={"points": (encode_g1(-decode_g1(bytes.fromhex(part.points[0]))).hex(),)})
    with pytest.raises(InputError, match="point at infinity"):
        verify(replace(given.statement, parts=(*given.statement.parts, mirrored)), data)
    two = part.model_copy(update={"points": part.points * 2})
    with pytest.raises(InputError, match="has 1 points here"):
        verify(replace(given.statement, parts=(two, *given.statement.parts[1:])), data)


def test_another_circuit_of_the_same_shape_is_rejected(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    for j, equation in enumerate(given.circuit.equations):
        for other in (replace(equation, name="other"), replace(equation, form=equation.form + 1)):
            equations = (*given.circuit.equations[:j], other, *given.circuit.equations[j + 1 :])
            circuit = replace(given.circuit, equations=equations)
            rejected(replace(given.statement, circuit=circuit), data, (VerificationError,))
        rejected(replace(given.statement, circuit=given.circuit.without_equation(j)), data, (VerificationError,))


def test_a_circuit_of_another_shape_is_a_format_error(sample: tuple[Case, bytes]) -> None:
    given, data = sample
    for name in ("range-proved", "three segments", "one digit column"):
        other = build(name).statement
        assert other.circuit.shape != given.circuit.shape
        rejected(other, data, (ProofFormatError,))


# --- another setup ------------------------------------------------------------------------------------------


def test_a_proof_under_a_setup_with_a_known_tau_is_no_proof_under_the_ceremony() -> None:
    toy = build("one digit column", srs=lab.known_tau())
    data = lab.prove(toy)
    verify(toy.statement, data)
    assert toy.statement.srs.insecure
    real = build("one digit column").statement
    assert "structured reference string" in rejected(real, data, (ProofFormatError,)).message
    # with the other digest written into the header it is well formed, and false
    dressed = data[: HEADER_BYTES - 32] + real.srs.digest + data[HEADER_BYTES:]
    rejected(real, dressed, (VerificationError,))
    rejected(replace(toy.statement, srs=lab.known_tau(lab.TAU + 1)), data, (ProofFormatError,))
