"""Statements and commitments: what may be put together, and in which words the rest is refused."""

import dataclasses
import multiprocessing
import pickle
from collections.abc import Callable
from dataclasses import replace

import golden
import pytest
from py_arkworks_bls12381 import G1Point
from support.typed import Keywords

from zkmargin.accounts import Commitment, CommitmentPart
from zkmargin.accounts.commitments import gather, sum_points
from zkmargin.circuits import build_circuit
from zkmargin.crypto.group import add_all, encode_g1
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import embedded
from zkmargin.crypto.unsafe_srs import insecure_from_tau
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier import Statement, verify

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


def test_what_is_public_in_its_order() -> None:
    statement, _ = golden.statement_of("default-policy")
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


def test_committed_points_are_the_sums_and_a_copy() -> None:
    statement, _ = golden.statement_of("default-policy")
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
        with pytest.raises(InputError, match=r"."):
            build()


def test_documents_are_bounded(documents: tuple[Snapshot, Commitment, Statement]) -> None:
    _, commitment, _ = documents
    fields = dict(commitment)
    assert Commitment.FORMAT == "zkmargin/commitment/v1"
    Commitment.model_validate({**fields, "parts": commitment.parts[:1] * 1024})
    for parts in ((), commitment.parts[:1] * 1025):
        with pytest.raises(InputError, match=r"."):
            Commitment.model_validate({**fields, "parts": parts})
    for srs in ("0" * 63, "0" * 65, "G" * 64):
        with pytest.raises(InputError, match=r"."):
            Commitment.model_validate({**fields, "srs": srs})
