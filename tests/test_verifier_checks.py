"""Each check of the verifier, on golden proofs: what it refuses, and in which words. No prover runs here."""

import dataclasses
from dataclasses import FrozenInstanceError
from importlib import import_module

import golden
import pytest
from py_arkworks_bls12381 import G1Point
from support.golden import decoded
from support.typed import Passed

from zkmargin.crypto.group import decode_g1, encode_g1
from zkmargin.formats import ProofFormatError, VerificationError
from zkmargin.verifier import Accepted, Statement, verify
from zkmargin.verifier.argument import Challenges, Linear, Opening, linearise, public_values, reduce_to_opening, replay
from zkmargin.verifier.header import HEADER_BYTES, header, read_header
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Message5, Proof, encode_proof, proof_bytes

NAMES = ("range-proved", "attested", "two-segments", "default-policy", "gates")


@pytest.fixture(scope="module")
def cases() -> dict[str, tuple[Statement, bytes]]:
    return {name: golden.statement_of(name) for name in NAMES}


@pytest.fixture(scope="module")
def sample(cases: dict[str, tuple[Statement, bytes]]) -> tuple[Statement, bytes]:
    return cases["range-proved"]


# --- bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_proof_has_one_encoding(cases: dict[str, tuple[Statement, bytes]], name: str) -> None:
    statement, data = cases[name]
    proof = decoded(statement, data)
    assert encode_proof(proof, statement.srs.digest) == data
    assert len(data) == proof_bytes(statement.circuit.shape)
    assert data[:HEADER_BYTES] == header(statement.srs.digest)
    assert read_header(data) == statement.srs.digest
    assert read_header(data[:HEADER_BYTES]) == statement.srs.digest
    assert HEADER_BYTES == 44
    m1, m2, m3, m4, m5 = proof.message1, proof.message2, proof.message3, proof.message4, proof.message5
    assert proof.scalars() == (*m4.f, m4.phi_shifted, *m4.A)
    points = [
        *((f"f[{i}]", x) for i, x in enumerate(m1.f)),
        ("mu", m1.mu),
        *zip(("A", "B", "C") if m1.gates else (), m1.gates, strict=True),
        *((f"h[{i}]", x) for i, x in enumerate(m2.h)),
        ("phi", m2.phi),
        *((f"T[{i}]", x) for i, x in enumerate(m3.T)),
        ("W", m5.W),
        ("W'", m5.W_shifted),
    ]
    assert list(proof.points()) == points
    assert bool(m1.gates) == bool(m4.A) == (name == "gates")


def test_the_header_is_read_strictly(sample: tuple[Statement, bytes]) -> None:
    _, data = sample
    for short in (b"", b"zkmargin", data[: HEADER_BYTES - 1]):
        with pytest.raises(ProofFormatError, match=r"^not a zkmargin proof$"):
            read_header(short)
    with pytest.raises(ProofFormatError, match=r"^not a zkmargin proof$"):
        read_header(b"Zkmargin" + data[8:])
    for version in (0, 2, 256, 257):
        with pytest.raises(ProofFormatError, match=f"version {version}: this program reads version 1"):
            read_header(data[:8] + version.to_bytes(2, "big") + data[10:])
    for at in (10, 11):
        for value in (0, 2, 3, 255):
            venue = (at, value) == (11, 2)
            reason = "a proof about a venue's accounts" if venue else "unknown curve or kind of proof"
            with pytest.raises(ProofFormatError, match=f"^{reason}: expected a margin proof$"):
                read_header(data[:at] + bytes([value]) + data[at + 1 :])


@pytest.mark.parametrize("name", ["range-proved", "gates"])
def test_every_scalar_that_is_not_canonical_is_named(cases: dict[str, tuple[Statement, bytes]], name: str) -> None:
    statement, data = cases[name]
    m4 = decoded(statement, data).message4
    names = [f"f[{c}](zeta)" for c in range(len(m4.f))] + ["phi(omega zeta)"] + ["A(zeta)"] * len(m4.A)
    start = len(data) - 96 - 32 * len(names)
    for i, label in enumerate(names):
        bad = data[: start + 32 * i] + b"\xff" * 32 + data[start + 32 * (i + 1) :]
        with pytest.raises(ProofFormatError) as caught:
            verify(statement, bad)
        assert caught.value.message.startswith(f"{label}: ")


@pytest.mark.parametrize("name", ["range-proved", "gates"])
def test_every_point_that_is_none_is_named(cases: dict[str, tuple[Statement, bytes]], name: str) -> None:
    statement, data = cases[name]
    for label, point in decoded(statement, data).points():
        with pytest.raises(ProofFormatError) as caught:
            verify(statement, data.replace(point, b"\xc0" + bytes(47), 1))
        assert caught.value.message == f"{label}: the point at infinity"


@pytest.mark.parametrize("value", [None, "text", 5, bytearray(b"x"), memoryview(b"x")])
def test_a_proof_is_bytes(sample: tuple[Statement, bytes], value: Passed) -> None:
    with pytest.raises(TypeError, match=r"^a proof is bytes$"):
        verify(sample[0], value)


def test_messages_statements_and_verdicts_cannot_be_changed(sample: tuple[Statement, bytes]) -> None:
    statement, data = sample
    proof = decoded(statement, data)
    values = [
        statement,
        proof,
        *(getattr(proof, f"message{i}") for i in range(1, 6)),
        verify(statement, data),
        replay(statement, proof)[0],
        reduce_to_opening(statement, proof),
    ]
    kinds = [Statement, Proof, Message1, Message2, Message3, Message4, Message5, Accepted, Challenges, Opening]
    assert [type(value) for value in values] == kinds
    for value in values:
        with pytest.raises(FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, None)


# --- the argument -------------------------------------------------------------------------------------------


def test_challenges_are_the_published_ones(cases: dict[str, tuple[Statement, bytes]]) -> None:
    for group in golden.vectors()["testGroups"]:
        assert golden.challenges(*cases[group["name"]]) == group["challenges"]
    assert golden.challenges(*cases["gates"]) == GATES_CHALLENGES


@pytest.mark.parametrize("name", NAMES)
def test_18_every_polynomial_is_opened_once_at_a_point(
    cases: dict[str, tuple[Statement, bytes]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement, data = cases[name]
    proof, added = decoded(statement, data), []
    real = Linear.add
    x, _ = replay(statement, proof)
    base = linearise(statement.circuit, x, proof.message4, public_values(statement.circuit, x))
    opened_to_zero = set(base.coefficients)

    def spy(self: Linear, element: str, coefficient: int) -> None:
        added.append(element)
        real(self, element, coefficient)

    monkeypatch.setattr(Linear, "add", spy)
    monkeypatch.setattr(import_module("zkmargin.verifier.argument"), "linearise", lambda *_: base)
    reduce_to_opening(statement, proof)
    values = [f"f[{c}]" for c in range(statement.circuit.shape.digits)] + ["A"] * statement.circuit.shape.gates
    assert added == [*values, "phi", "W", "W'"]
    # what is opened to 0 has no value of its own in a message
    assert opened_to_zero.isdisjoint(values)


def test_a_combination_adds_up_name_by_name() -> None:
    from zkmargin.crypto.field import r

    D = Linear()
    assert (D.constant, D.coefficients) == (0, {})
    D.add("W", 5)
    D.add("W", r - 2)
    D.add("phi", -1)
    assert D.coefficients == {"W": 3, "phi": r - 1}


def test_the_bits_of_every_element_count(cases: dict[str, tuple[Statement, bytes]]) -> None:
    statement, data = cases["gates"]
    for label, point in decoded(statement, data).points():
        other = encode_g1(decode_g1(point) + G1Point())
        with pytest.raises(VerificationError, match=r"^the proof does not prove this statement$") as caught:
            verify(statement, data.replace(point, other, 1))
        assert caught.value.check == "pairing", label


def test_the_verdict_names_its_statement(sample: tuple[Statement, bytes]) -> None:
    statement, data = sample
    accepted = verify(statement, data)
    assert accepted == Accepted(statement, replay(statement, decoded(statement, data))[1])
    assert len(accepted.statement_digest) == 32


#: Of the golden proof with gates, which is in no document and so not in the vector file.
GATES_CHALLENGES = {
    "beta": "21c4738f7066ed241f708b0386cf3cbfbc7bf28e1933b0a0c60074c760acdb4e",
    "rho": "271b04867196694f6e2468530b9eec4c320dc267d82f2113662e8874cae3d2e5",
    "chi": "25b3caffe8d7bfcb56105451e039afa80aa39a1b3fbb752cbb320fab6c6d2e8a",
    "zeta": "7350bf7ae52f9cf3e10a4f80b6af9af4d1c8ba785679c259a25fab9af367e1bb",
    "v": "4e681d7b800ac0dec11ae9f0ae37c6a8e6eb21fadc02b93270bea515c8893fcd",
    "y": "45af9413e9e9ec94b770a89e169d2973372911677591ce96b6ce762ddf448c2e",
}
