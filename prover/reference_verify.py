"""A second opinion on a proof: the check of docs/protocol.md section 4 with py_ecc's group and pairing.

The identity is read once more from ``reference.right_side``, this time over linear forms in the commitments: what the
polynomials say, the commitments must say. Public polynomials are evaluated from their values on H by interpolation,
not by the verifier's shortcuts. About a second a proof: for tests and study.
"""

from __future__ import annotations

from py_ecc.bls.g2_primitives import G1_to_pubkey, pubkey_to_G1, subgroup_check

from zkmargin.crypto.field import r
from zkmargin.crypto.srs import SRS
from zkmargin.formats.errors import ProofFormatError
from zkmargin.prover.reference import (
    F,
    Point,
    bls,
    combine_points,
    decode_powers,
    evaluate,
    interpolate,
    public_values,
    right_side,
    root_of_unity,
)
from zkmargin.prover.ring import Linear
from zkmargin.verifier.proof import decode_proof
from zkmargin.verifier.statement import Statement
from zkmargin.verifier.transcript import MarginTranscript


def verify_reference(statement: Statement, proof_bytes: bytes) -> bool:
    """Whether the proof proves the statement.

    Raises:
        ProofFormatError: bytes that no proof of this statement has.
    """
    circuit, n, number = statement.circuit, statement.circuit.n, Linear.number
    omega = root_of_unity(n)
    proof = decode_proof(proof_bytes, circuit.shape, statement.srs.digest)
    points = {name: decode_point(name, data) for name, data in proof.points()}
    points |= committed_points(statement)

    transcript = MarginTranscript(statement)
    beta, rho = transcript.round1(proof.message1)
    chi = transcript.round2(proof.message2)
    zeta = transcript.round3(proof.message3)
    v = transcript.round4(proof.message4)
    y = transcript.round5(proof.message5)

    commitment = {name: Linear(0, {name: 1}) for name in points}
    sent = proof.message4.at_zeta()
    phi_value = proof.message4.phi_shifted

    # D = T Z_H(zeta) - (right side)
    public = {
        name: number(evaluate(interpolate(F(values)), zeta))
        for name, values in public_values(circuit, beta, rho).items()
    }
    fixed = commitment | {name: number(value) for name, value in sent.items()}
    side = right_side(circuit, fixed, number(phi_value), public, number(beta), number(chi), number)
    D = number(0) - side
    for i in range(circuit.shape.pieces):
        D = D + commitment[f"T[{i}]"] * number(pow(zeta, i * n, r) * (pow(zeta, n, r) - 1))

    # F = D + sum_c v^(c+1) (f_c - f_c(zeta)) [...] + y (phi - phi(omega zeta))
    right = D
    for c, (name, value) in enumerate(sent.items()):
        right = right + number(pow(v, c + 1, r)) * (commitment[name] - number(value))
    right = right + number(y) * (commitment["phi"] - number(phi_value))

    # e(W + y W', [tau]_2) = e(zeta W + y omega zeta W' + F, [1]_2)
    right = right + number(zeta) * commitment["W"] + number(y * omega * zeta) * commitment["W'"]
    left = commitment["W"] + number(y) * commitment["W'"]
    one = decode_powers(statement.srs, 1)

    def in_group(form: Linear) -> Point:
        names = list(form.terms)
        return combine_points([*one, *(points[m] for m in names)], [form.constant, *(form.terms[m] for m in names)])

    tau_2 = decode_tau_2(statement.srs)
    return bool(bls.pairing(tau_2, in_group(left)) == bls.pairing(bls.G2, in_group(right)))


def decode_point(name: str, data: bytes) -> Point:
    """A finite point of G1 from its one 48-byte encoding. Raises ProofFormatError."""
    try:
        point: Point = pubkey_to_G1(data)  # type: ignore[arg-type]  # a NewType of bytes
    except ValueError as error:
        raise ProofFormatError(f"{name}: {error}") from None
    if bls.is_inf(point) or not subgroup_check(point) or G1_to_pubkey(point) != data:
        raise ProofFormatError(f"{name}: not the canonical encoding of a finite point of G1")
    return point


def committed_points(statement: Statement) -> dict[str, Point]:
    """For each role and segment the sum over the account's parts."""
    sums: dict[str, Point] = {}
    for part in statement.parts:
        for s, data in enumerate(part.points):
            name = f"{part.role}[{s}]"
            sums[name] = bls.add(sums.get(name, bls.Z1), decode_point(name, bytes.fromhex(data)))
    return sums


def decode_tau_2(srs: SRS) -> Point:
    """[tau]_2 from x.c0 || x.c1 || y.c0 || y.c1, 48 bytes each: the second of two."""
    encoded = bytes(srs.g2_bytes)[192:]
    x0, x1, y0, y1 = (int.from_bytes(encoded[i : i + 48], "big") for i in range(0, 192, 48))
    return bls.FQ2([x0, x1]), bls.FQ2([y0, y1]), bls.FQ2.one()
