"""Each check of the verifier, on golden proofs: what it refuses, and in which words. No prover runs here."""

import dataclasses
import multiprocessing
import pickle
from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, replace
from importlib import import_module

import golden
import pytest
from py_arkworks_bls12381 import G1Point
from support.typed import Keywords, Passed

from zkmargin.accounts import Commitment, CommitmentPart
from zkmargin.accounts.commitments import gather, sum_points
from zkmargin.circuits import build_circuit
from zkmargin.crypto.group import add_all, decode_g1, encode_g1
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.verifier import Accepted, Statement, verify, verify_batch, verify_each
from zkmargin.verifier.argument import Challenges, Linear, Opening, linearise, public_values, reduce_to_opening, replay
from zkmargin.verifier.header import HEADER_BYTES, header, read_header
from zkmargin.verifier.proof import (
    Message1,
    Message2,
    Message3,
    Message4,
    Message5,
    Proof,
    decode_proof,
    encode_proof,
    proof_bytes,
)
from zkmargin.verifier.verify import _first_bad, _hold_together, fold, holds

NAMES = ("range-proved", "attested", "two-segments", "default-policy", "gates")


@pytest.fixture(scope="module")
def cases() -> dict[str, tuple[Statement, bytes]]:
    return {name: golden.statement_of(name) for name in NAMES}


@pytest.fixture(scope="module")
def sample(cases: dict[str, tuple[Statement, bytes]]) -> tuple[Statement, bytes]:
    return cases["range-proved"]


def decoded(statement: Statement, data: bytes) -> Proof:
    return decode_proof(data, statement.circuit.shape, statement.srs.digest)


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


# --- batches ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def items(cases: dict[str, tuple[Statement, bytes]]) -> list[tuple[Statement, bytes]]:
    return [cases[name] for name in NAMES]


def shifted(item: tuple[Statement, bytes], by: int) -> tuple[Statement, bytes]:
    statement, data = item
    proof = decoded(statement, data)
    W = encode_g1(decode_g1(proof.message5.W) + G1Point() * scalar(by))
    return statement, encode_proof(replace(proof, message5=replace(proof.message5, W=W)), statement.srs.digest)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_38_one_bad_proof_at_each_index_is_named(items: list[tuple[Statement, bytes]], size: int) -> None:
    for bad in range(size):
        batch = [shifted(item, 5) if i == bad else item for i, item in enumerate(items[:size])]
        with pytest.raises(VerificationError) as caught:
            verify_batch(batch)
        assert caught.value.message == f"proof {bad + 1} of {size} does not prove its statement"
        assert caught.value.check == "pairing"


def test_38_a_good_batch_in_its_order_an_empty_one_and_all_bad(
    items: list[tuple[Statement, bytes]],
) -> None:
    accepted = verify_batch(items)
    assert accepted == [verify(*item) for item in items]
    with pytest.raises(InputError, match="an empty batch proves nothing") as caught:
        verify_batch([])
    assert caught.value.field == "proofs"
    with pytest.raises(VerificationError, match="proof 1 of 5"):
        verify_batch([shifted(item, i + 1) for i, item in enumerate(items)])


@pytest.mark.parametrize("bad", [(), (0,), (1, 3), (0, 4), (0, 1, 2, 3, 4)])
def test_38_each_of_many_gets_its_own_verdict(items: list[tuple[Statement, bytes]], bad: tuple[int, ...]) -> None:
    batch = [shifted(item, i + 1) if i in bad else item for i, item in enumerate(items)]
    cut = (items[0][0], items[0][1][:-1])
    verdicts = verify_each([cut, *batch, cut])
    assert [type(verdict) for verdict in verdicts[:: len(batch) + 1]] == [ProofFormatError, ProofFormatError]
    for i, (item, verdict) in enumerate(zip(items, verdicts[1:-1], strict=True)):
        if i in bad:
            assert isinstance(verdict, VerificationError)
            assert (verdict.check, verdict.message) == ("pairing", "the proof does not prove this statement")
        else:
            assert verdict == verify(*item)
    assert verify_each([]) == []


def test_38_errors_that_cancel_do_not_pass(items: list[tuple[Statement, bytes]]) -> None:
    statement, data = items[0]
    good = reduce_to_opening(statement, decoded(statement, data))
    D = G1Point() * scalar(12345)
    plus, minus = (replace(good, left=(*good.left, (D, sign))) for sign in (1, -1))
    srs = statement.srs
    assert holds(*fold([plus, minus], [1, 1], srs), srs)
    assert not holds(*fold([plus, minus], [1, 2], srs), srs)
    assert _hold_together([good, good], srs)
    assert _hold_together([good], srs)
    assert not _hold_together([plus], srs)
    assert not _hold_together([plus, minus], srs)
    assert _first_bad([plus], srs) == 0
    assert _first_bad([plus, minus], srs) == 0
    assert _first_bad([good, plus, good, minus], srs) == 1
    assert _first_bad([good, good, good, minus], srs) == 3
    assert _first_bad([good, good, plus], srs) == 2


def test_38_each_opening_has_its_weight(items: list[tuple[Statement, bytes]]) -> None:
    good = [reduce_to_opening(statement, decoded(statement, data)) for statement, data in items]
    weights = list(range(2, 2 + len(good)))
    srs = items[0][0].srs
    alone = [fold([opening], [1], srs) for opening in good]
    sides = tuple(add_all(side[i] * scalar(w) for side, w in zip(alone, weights, strict=True)) for i in (0, 1))
    assert fold(good, weights, srs) == sides
    with pytest.raises(ValueError, match="zip"):
        fold(good, weights[1:], srs)


def test_38_a_batch_that_failed_names_a_proof_even_if_its_halves_pass(
    items: list[tuple[Statement, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("zkmargin.verifier.verify")
    answers = iter([False, True, True, True])
    monkeypatch.setattr(module, "_hold_together", lambda *_: next(answers))
    with pytest.raises(VerificationError, match="proof 5 of 5"):
        verify_batch(items)


def test_38_a_malformed_proof_in_a_batch_is_named(items: list[tuple[Statement, bytes]]) -> None:
    for bad in range(3):
        batch = [(s, data[:-1] if i == bad else data) for i, (s, data) in enumerate(items[:3])]
        with pytest.raises(ProofFormatError, match=rf"^proof {bad + 1} of 3: \d+ bytes where"):
            verify_batch(batch)


def test_38_setups_do_not_mix(items: list[tuple[Statement, bytes]]) -> None:
    toy = replace(items[0][0], srs=insecure_from_tau(7, 32))
    with pytest.raises(InputError, match="different structured reference strings") as caught:
        verify_batch([items[1], (toy, items[0][1])])
    assert caught.value.field == "proofs"


def test_39_weights_are_fresh_not_zero_and_128_bits(
    items: list[tuple[Statement, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("zkmargin.verifier.verify")
    real: Callable[[Sequence[Opening], Sequence[int], SRS], tuple[G1Point, G1Point]] = module.fold
    seen, bounds = [], []

    def spy(openings: Sequence[Opening], weights: Sequence[int], srs: SRS) -> tuple[G1Point, G1Point]:
        seen.append(tuple(weights))
        return real(openings, weights, srs)

    def draw(bound: int) -> int:
        bounds.append(bound)
        return int(bound - 1)

    monkeypatch.setattr(module, "fold", spy)
    verify_batch(items)
    verify_batch(items)
    assert len({*seen[0], *seen[1]}) == 2 * len(items)
    assert all(0 < w < 2**128 for w in (*seen[0], *seen[1]))
    # the least and the greatest that the generator can give
    monkeypatch.setattr(module.secrets, "randbelow", draw)
    verify_batch(items)
    assert set(bounds) == {2**128 - 1}
    assert set(seen[-1]) == {2**128 - 1}
    monkeypatch.setattr(module.secrets, "randbelow", lambda _: 0)
    verify_batch(items)
    assert set(seen[-1]) == {1}


# --- the statement ------------------------------------------------------------------------------------------


def test_a_statement_is_built_from_documents() -> None:
    given = next(g for g in golden.GOLDEN if g.name == "default-policy")
    snapshot, statement = given.snapshot(), given.statement()
    assert statement.srs is embedded()
    assert statement.snapshot_digest == snapshot.digest()
    assert statement.claim == given.claim
    assert statement.context == given.context
    assert [str(limit) for limit in statement.limits] == [str(Limit.parse(text)) for text in given.limits]
    commitments = [Commitment.parse((golden.FOLDER / file).read_bytes()) for file in given.commitment_files()]
    assert list(statement.parts) == sorted((p for c in commitments for p in c.parts), key=CommitmentPart.canonical)
    defaults = Statement.of(snapshot, commitments, Claim())
    assert (defaults.context, defaults.limits) == (b"", ())
    bare = Statement(statement.srs, snapshot, statement.claim, statement.parts)
    assert (bare.context, bare.limits) == (b"", ())
    toy = insecure_from_tau(9, 80)
    moved = [c.model_copy(update={"srs": toy.digest.hex()}) for c in commitments]
    assert Statement.of(snapshot, moved, Claim(), srs=toy).srs is toy


def test_the_circuit_of_a_statement_is_that_of_its_snapshot_claim_and_limits() -> None:
    given = next(g for g in golden.GOLDEN if g.name == "default-policy")
    statement = given.statement()
    assert "circuit" not in {field.name for field in dataclasses.fields(Statement)}
    other: Keywords = {"circuit": statement.circuit}
    with pytest.raises(TypeError, match="circuit"):
        replace(statement, **other)
    for change in ({"claim": Claim(7, 5)}, {"limits": ()}):
        changed: Statement = replace(statement, **change)
        assert changed.circuit is build_circuit(changed.snapshot, changed.claim, changed.limits)
        assert changed.circuit.digest != statement.circuit.digest


def test_a_statement_is_copied_to_another_process_as_bytes() -> None:
    given = next(g for g in golden.GOLDEN if g.name == "default-policy")
    statement = given.statement()
    verify(statement, given.proof())
    copy = pickle.loads(pickle.dumps(statement))  # noqa: S301 - our own
    assert copy == statement
    assert copy.srs is statement.srs
    assert set(vars(copy)) == {field.name for field in dataclasses.fields(Statement)}
    assert verify(copy, given.proof()).statement_digest == verify(statement, given.proof()).statement_digest
    toy = insecure_from_tau(9, 80)
    assert pickle.loads(pickle.dumps(toy)) == toy  # noqa: S301 - our own
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(verify, (statement, given.proof())) == verify(statement, given.proof())


def test_bad_points_are_refused_when_the_statement_is_built(documents: tuple[Snapshot, Commitment, Statement]) -> None:
    snapshot, commitment, _ = documents
    for point in ("c0" + "00" * 47, "80" + "00" * 46 + "04"):
        with pytest.raises(InputError, match="points"):
            Statement.of(snapshot, [changed(commitment, 0, points=(point,))], Claim())


def test_what_is_public_in_its_order(cases: dict[str, tuple[Statement, bytes]]) -> None:
    statement, _ = cases["default-policy"]
    messages = list(statement.public_messages())
    labels = ["srs", "snapshot", "circuit", "claim", "limits", *["limit"] * 5, "parts", *["part"] * 6, "context"]
    assert [label for label, _ in messages] == labels
    by_label = dict(messages)
    assert by_label["claim"] == b"5/4 initial"
    assert by_label["limits"] == b"\0\0\0\5"
    assert by_label["parts"] == b"\0\0\0\6"
    assert by_label["context"] == "to: Börse".encode()
    assert by_label["part"] == statement.parts[-1].canonical()
    assert by_label["limit"].decode() == str(statement.limits[-1])


def test_contexts_have_at_most_a_kilobyte() -> None:
    given = golden.GOLDEN[0]
    snapshot, commitments = (
        given.snapshot(),
        [Commitment.parse((golden.FOLDER / given.commitment_files()[0]).read_bytes())],
    )
    assert len(Statement.of(snapshot, commitments, given.claim, context=bytes(1024)).context) == 1024
    with pytest.raises(InputError, match="1025 bytes, at most 1024") as caught:
        Statement.of(snapshot, commitments, given.claim, context=bytes(1025))
    assert caught.value.field == "context"


def test_committed_points_are_the_sums_and_a_copy(cases: dict[str, tuple[Statement, bytes]]) -> None:
    statement, _ = cases["default-policy"]
    points = statement.committed_points()
    assert sorted(points) == ["collateral[0]", "positions[0]"]
    own = [p.decoded()[0] for p in statement.parts if p.role == "positions"]
    assert len(own) == 3
    assert points["positions[0]"] == add_all(own)
    points.clear()
    assert statement.committed_points()


def test_attested_bounds_add_up_to_no_more_than_the_circuit_has() -> None:
    given = next(g for g in golden.GOLDEN if g.name == "attested")
    snapshot = given.snapshot()
    commitment = Commitment.parse((golden.FOLDER / given.commitment_files()[0]).read_bytes())
    bound = given.statement().circuit.position_bound
    assert bound == 2**16 - 1

    def stated(*bits: int, collateral: int = 32) -> Statement:
        base = {part.role: part for part in commitment.parts}
        points = [encode_g1(base["positions"].decoded()[0] + G1Point() * scalar(i)) for i in range(1, len(bits) + 1)]
        parts = [
            base["positions"].model_copy(update={"bits": b, "points": (point.hex(),)})
            for b, point in zip(bits, points, strict=True)
        ]
        parts.append(base["collateral"].model_copy(update={"bits": collateral}))
        return Statement.of(snapshot, [commitment.model_copy(update={"parts": tuple(parts)})], given.claim)

    stated(16)
    stated(15, 14, 13, collateral=72)
    stated(15, 15)
    for bits in ((17,), (16, 1), (15, 15, 2)):
        with pytest.raises(InputError, match="add up to more than the circuit allows") as caught:
            stated(*bits)
        assert caught.value.field == "commitment: bits"
    # where positions are range-proved, the stated bounds are not needed
    other = golden.GOLDEN[0]
    wide = Commitment.parse((golden.FOLDER / other.commitment_files()[0]).read_bytes())
    parts = tuple(part.model_copy(update={"bits": 72}) for part in wide.parts)
    Statement.of(other.snapshot(), [wide.model_copy(update={"parts": parts})], other.claim)


# --- commitments --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents() -> tuple[Snapshot, Commitment, Statement]:
    given = golden.GOLDEN[0]
    commitment = Commitment.parse((golden.FOLDER / given.commitment_files()[0]).read_bytes())
    return given.snapshot(), commitment, given.statement()


def changed(commitment: Commitment, i: int, **changes: object) -> Commitment:
    parts = tuple(p.model_copy(update=changes) if j == i else p for j, p in enumerate(commitment.parts))
    return commitment.model_copy(update={"parts": parts})


def test_documents_that_do_not_belong_together_are_refused_by_name(
    documents: tuple[Snapshot, Commitment, Statement],
) -> None:
    snapshot, commitment, _ = documents
    part, other = commitment.parts
    twin = part.model_copy(update={"alias": "again"})
    n = snapshot.layout.domain_size
    srs, rows = commitment.model_copy(update={"srs": "00" * 32}), f"made over {2 * n} rows, the snapshot has {n}"
    wide, more = commitment.model_copy(update={"domain_size": 2 * n}), (*commitment.parts, twin)
    refusals: list[tuple[Commitment, str, str]] = [
        (srs, "another structured reference string", "commitment: srs"),
        (wide, rows, "commitment: domain_size"),
        (changed(commitment, 0, slot_map="11" * 32), "was made for other slots", "commitment: slot_map"),
        (changed(commitment, 1, slot_map="11" * 32), "was made for other slots", "commitment: slot_map"),
        (commitment.model_copy(update={"parts": more}), "'again' is given twice", "commitment: points"),
        (commitment.model_copy(update={"parts": commitment.parts[:1]}), f"no part for {other.role}", "commitment"),
        (commitment.model_copy(update={"parts": commitment.parts[1:]}), f"no part for {part.role}", "commitment"),
    ]
    for document, reason, field in refusals:
        with pytest.raises(InputError, match=reason) as caught:
            gather([document], snapshot, embedded())
        assert caught.value.field == field
    with pytest.raises(InputError, match="no part for positions"):
        gather([], snapshot, embedded())
    with pytest.raises(InputError, match="given twice"):
        gather([commitment, commitment], snapshot, embedded())
    swapped = commitment.model_copy(update={"parts": commitment.parts[::-1]})
    assert gather([swapped], snapshot, embedded()) == gather([commitment], snapshot, embedded())


def test_29_one_text_for_one_point(documents: tuple[Snapshot, Commitment, Statement]) -> None:
    # upper-case hex would be the same point under another name: the part could be counted twice
    _, commitment, _ = documents
    text = commitment.parts[0].points[0]
    for other in (text.upper(), f" {text[1:]}", f"{text[:-1]}\n", f"{text}\n", text[:-2], f"{text}00", "0x" + text[2:]):
        with pytest.raises(InputError):
            Commitment.parse(commitment.to_bytes().replace(text.encode(), other.encode()))


def test_points_of_commitments_are_checked_one_by_one(documents: tuple[Snapshot, Commitment, Statement]) -> None:
    _, commitment, _ = documents
    bad = changed(commitment, 0, points=("c0" + "00" * 47,)).parts[0]
    with pytest.raises(InputError, match=r"^.*the point at infinity$") as caught:
        bad.decoded()
    assert caught.value.field == f"{bad.role} part {bad.alias!r}: points[0]"
    part = commitment.parts[0]
    two = part.model_copy(update={"points": part.points * 2})
    with pytest.raises(InputError, match=f"a part for {part.role} has 1 points here") as caught:
        sum_points([two], part.role, 1)
    assert caught.value.field == "commitment: points"
    opposite = part.model_copy(update={"points": (encode_g1(-part.decoded()[0]).hex(),)})
    with pytest.raises(InputError, match="add up to the point at infinity") as caught:
        sum_points([part, opposite], part.role, 1)
    assert caught.value.field == "commitment: points"
    assert sum_points([part, part], part.role, 1) == (part.decoded()[0] + part.decoded()[0],)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"bits": 1}, True),
        ({"bits": 72}, True),
        ({"bits": 0}, False),
        ({"bits": 73}, False),
        ({"alias": "x"}, True),
        ({"alias": "x" * 200}, True),
        ({"alias": ""}, False),
        ({"alias": "x" * 201}, False),
        ({"points": ()}, False),
        ({"points": ("a" * 96,) * 4096}, True),
        ({"points": ("a" * 96,) * 4097}, False),
        ({"points": ("a" * 95,)}, False),
        ({"points": ("a" * 97,)}, False),
        ({"slot_map": "0" * 63}, False),
        ({"slot_map": "0" * 65}, False),
        ({"slot_map": "G" * 64}, False),
        ({"role": "both"}, False),
    ],
)
def test_parts_are_bounded(
    documents: tuple[Snapshot, Commitment, Statement], changes: dict[str, object], good: bool
) -> None:
    _, commitment, _ = documents
    fields = {**dict(commitment.parts[0]), **changes}
    build: Callable[[], object] = lambda: CommitmentPart.model_validate(fields)  # noqa: E731
    if good:
        build()
    else:
        with pytest.raises(ValueError, match=r"."):
            build()


def test_documents_are_bounded(documents: tuple[Snapshot, Commitment, Statement]) -> None:
    _, commitment, _ = documents
    fields = dict(commitment)
    assert Commitment.FORMAT == "zkmargin/commitment/v1"
    Commitment.model_validate({**fields, "parts": commitment.parts[:1] * 1024})
    for parts in ((), commitment.parts[:1] * 1025):
        with pytest.raises(ValueError, match=r"."):
            Commitment.model_validate({**fields, "parts": parts})
    for srs in ("0" * 63, "0" * 65, "G" * 64):
        with pytest.raises(ValueError, match=r"."):
            Commitment.model_validate({**fields, "srs": srs})


#: Of the golden proof with gates, which is in no document and so not in the vector file.
GATES_CHALLENGES = {
    "beta": "21c4738f7066ed241f708b0386cf3cbfbc7bf28e1933b0a0c60074c760acdb4e",
    "rho": "271b04867196694f6e2468530b9eec4c320dc267d82f2113662e8874cae3d2e5",
    "chi": "25b3caffe8d7bfcb56105451e039afa80aa39a1b3fbb752cbb320fab6c6d2e8a",
    "zeta": "7350bf7ae52f9cf3e10a4f80b6af9af4d1c8ba785679c259a25fab9af367e1bb",
    "v": "4e681d7b800ac0dec11ae9f0ae37c6a8e6eb21fadc02b93270bea515c8893fcd",
    "y": "45af9413e9e9ec94b770a89e169d2973372911677591ce96b6ce762ddf448c2e",
}
