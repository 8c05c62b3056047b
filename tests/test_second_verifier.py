"""Two verifiers, one written from the documents alone, give one verdict on every proof, good or bad."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import second_circuit
from support import lab
from support.two_verifiers import CONTEXT, LIMITS, SHAPES, Case, made, shaped, small_book, small_snapshot
from support.typed import JsonObject

from zkmargin.accounts import Commitment, commit_book
from zkmargin.accounts.slots import slot_map_digest
from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import Form
from zkmargin.crypto.field import r
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import IntArray, ZkMarginError
from zkmargin.verifier import verify

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB


@pytest.fixture(scope="module")
def second() -> ModuleType:
    """tests/second_verifier.py, which imports its neighbours."""
    return importlib.import_module("second_verifier")


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return small_snapshot()


@pytest.fixture(scope="module")
def lots() -> BookLots:
    return small_book()


@pytest.fixture(scope="module")
def good(snapshot: Snapshot, lots: BookLots) -> Case:
    """An accepted proof with limits."""
    return made(snapshot, lots, limits=LIMITS)


def with_marks(snapshot: Snapshot) -> Snapshot:
    """The snapshot with the smallest change to a price."""
    marks = snapshot.marks.values.copy()
    marks[int(np.flatnonzero(marks)[0])] += 1
    return snapshot.model_copy(update={"marks": IntArray(marks)})


# --- accepted -----------------------------------------------------------------------------------------------


def test_the_default_policy_with_limits(second: ModuleType, good: Case) -> None:
    assert good.verdict(second)


def test_another_claim_and_several_parts(second: ModuleType, snapshot: Snapshot, lots: BookLots) -> None:
    assert made(snapshot, lots, parts=3, claim=Claim(5, 4, "maintenance"), context=b"").verdict(second)


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(second: ModuleType, shape: str) -> None:
    snapshot = shaped(**SHAPES[shape])
    lots = BookLots(
        tuple(i % 3 - 1 for i in range(len(snapshot.instruments))), (200, *[1] * (len(snapshot.collateral) - 1))
    )
    case = made(snapshot, lots)
    assert case.verdict(second)
    assert not replace(case, context=b"other").verdict(second)


def frozen(circuit: Circuit, bits: int, assets: list[tuple[int, bool]]) -> second_circuit.Circuit:
    """A circuit of the product's, as the second verifier holds it."""

    def form(given: Form) -> second_circuit.Form:
        return second_circuit.Form(given.constant, {(kind, i): c for (kind, i), c in given.terms.items()})

    return second_circuit.Circuit(
        circuit.n,
        circuit.position_count,
        bits,
        circuit.position_digits > 0,
        assets,
        {kind: matrix.tolist() for kind, matrix in circuit.matrices.items()},
        [(x.name, x.digits) for x in circuit.bounded],
        [(form(a), form(b)) for a, b in circuit.gates],
        [(x.rule, x.name, form(x.form)) for x in circuit.equations],
    )


def argued(second: ModuleType, case: lab.Case, proof: bytes) -> bytes:
    """The second verifier's argument on a statement of the lab."""
    circuit = frozen(case.circuit, 4, [(8, True), (4, False)])
    assert circuit.digest() == case.circuit.digest
    committed = second.add_parts([part.model_dump(mode="json") for part in case.statement.parts])
    public = list(case.statement.public_messages())
    setup = second.load_setup(second.EMBEDDED_SETUP)
    return bytes(second.check_argument(setup, public, circuit, committed, proof))


@pytest.mark.parametrize(("gates", "range_proved"), [(0, True), (2, True), (1, False)])
def test_product_gates(second: ModuleType, gates: int, range_proved: bool) -> None:
    case = lab.standard(gates=gates, range_proved=range_proved)
    proof = lab.prove(case)
    assert argued(second, case, proof) == verify(case.statement.as_statement(), proof).statement_digest


@pytest.mark.parametrize(
    ("column", "row"), [("f[0]", 2), ("f[3]", 1), ("mu", 0), ("A", 1), ("C", 0), ("h[0]", 3), ("phi", 1)]
)
def test_a_prover_that_checks_nothing_convinces_neither(second: ModuleType, column: str, row: int) -> None:
    case = lab.standard(gates=2)
    proof = lab.encode(case, lab.cheat(case, lab.swap({column: {row: 5}})))
    with pytest.raises(ZkMarginError):
        verify(case.statement.as_statement(), proof)
    with pytest.raises(second.Rejected):
        argued(second, case, proof)


def test_slot_maps_agree(second: ModuleType, good: Case) -> None:
    other = good.commitments[0].model_copy(
        update={
            "parts": tuple(
                part.model_copy(update={"slot_map": slot_map_digest(good.snapshot, "positions").hex()})
                for part in good.commitments[0].parts
            )
        }
    )
    assert not replace(good, commitments=(other,)).verdict(second)


# --- another statement --------------------------------------------------------------------------------------


def other_statements(case: Case, lots: BookLots) -> Iterator[tuple[str, Case]]:
    yield "claim", replace(case, claim=Claim(99, 100))
    yield "requirement", replace(case, claim=Claim(1, 1, "maintenance"))
    yield "context", replace(case, context=CONTEXT + b" ")
    yield "no context", replace(case, context=b"")
    yield "snapshot", replace(case, snapshot=with_marks(case.snapshot))
    yield "a name in the snapshot", replace(case, snapshot=case.snapshot.model_copy(update={"name": "another"}))
    yield "no limits", replace(case, limits=())
    yield "one limit less", replace(case, limits=case.limits[1:])
    yield "limits in another order", replace(case, limits=case.limits[::-1])
    yield "a looser limit", replace(case, limits=("headroom >= 1000", *case.limits[1:]))
    yield "a limit on nothing", replace(case, limits=("position TEA <= 1",))
    yield "a limit the wrong way", replace(case, limits=("headroom <= 1000",))
    yield "the same book again", replace(case, commitments=(commit_book(case.snapshot, lots).commitment(),))
    yield "twice", replace(case, commitments=case.commitments * 2)
    yield "nothing", replace(case, commitments=())
    (document,) = case.commitments
    positions, collateral = document.parts
    changes: dict[str, JsonObject] = {
        "no collateral": {"parts": (positions,)},
        "another setup": {"srs": "00" * 32},
        "another domain": {"domain_size": 128},
        "another alias": {"parts": (positions.model_copy(update={"alias": "two"}), collateral)},
        "other bits": {"parts": (positions.model_copy(update={"bits": 31}), collateral)},
        "swapped": {
            "parts": (
                positions.model_copy(update={"points": collateral.points}),
                collateral.model_copy(update={"points": positions.points}),
            )
        },
        "infinity": {"parts": (positions.model_copy(update={"points": ("c0" + "00" * 47,)}), collateral)},
        "too many points": {"parts": (positions.model_copy(update={"points": positions.points * 2}), collateral)},
        "parts that cancel": {
            "parts": (positions, positions.model_copy(update={"points": negated(positions.points)}), collateral)
        },
    }
    for name, change in changes.items():
        yield name, replace(case, commitments=(document.model_copy(update=change),))


def negated(points: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{int(point[:2], 16) ^ 0x20:02x}{point[2:]}" for point in points)


@pytest.mark.slow
def test_another_statement_is_refused_by_both(second: ModuleType, good: Case, lots: BookLots) -> None:
    accepted = [name for name, case in other_statements(good, lots) if case.verdict(second)]
    assert accepted == []


def test_stated_bounds_that_add_up_too_far_are_refused_by_both(second: ModuleType) -> None:
    snapshot = shaped(groups=[0, 0], assets=1, charges=None, range_proved=False)
    case = made(snapshot, BookLots((1, -1), (200,)))
    extra = commit_book(snapshot, BookLots((0, 0), (0,)), roles=["positions"], alias="more").commitment()
    assert case.verdict(second)
    assert not replace(case, commitments=(*case.commitments, extra)).verdict(second)


def test_order_and_layout_of_commitment_files_do_not_matter(
    second: ModuleType, snapshot: Snapshot, lots: BookLots
) -> None:
    case = made(snapshot, lots, parts=2)
    assert replace(case, commitments=case.commitments[::-1]).verdict(second)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"bits"', b'"bits": 30, "bits"', 1),
        lambda text: text.replace(b'"role"', b'"rule": 1, "role"', 1),
        lambda text: text.replace(b'"domain_size": 64', b'"domain_size": 64.0'),
        lambda text: text.replace(b'"domain_size": 64', b'"domain_size": "64"'),
        lambda text: text.replace(b"commitment/v1", b"commitment/v2"),
        lambda text: text[:-20],
        lambda text: b"\xef\xbb\xbf" + text,
        lambda _: b"[]",
        lambda _: b"\xff",
    ],
)
def test_commitment_files_are_read_strictly_by_both(
    second: ModuleType, good: Case, change: Callable[[bytes], bytes]
) -> None:
    text = change(good.commitments[0].to_bytes())
    with pytest.raises(ZkMarginError):
        Commitment.parse(text)
    with pytest.raises(second.Rejected):
        second.verify(good.snapshot.to_bytes(), [text], "1", good.proof, context=CONTEXT, limits=good.limits)


# --- another proof ------------------------------------------------------------------------------------------


def regions(case: Case) -> dict[str, tuple[int, int]]:
    """(offset, size) of every element, from docs/formats.md."""
    circuit = build_circuit(case.snapshot, case.claim, [Limit.parse(text) for text in case.limits])
    c = circuit.digit_columns
    groups, pieces = -(-c // 3), min(c, 3)
    points = [*(f"f{i}" for i in range(c)), "mu", *(f"h{i}" for i in range(groups)), "phi"]
    points += [f"T{i}" for i in range(pieces)]
    sizes = [("magic", 8), ("version", 2), ("curve", 1), ("kind", 1), ("setup", 32)]
    sizes += [(name, 48) for name in points] + [(f"f{i}(zeta)", 32) for i in range(c)]
    sizes += [("phi(omega zeta)", 32), ("W", 48), ("W'", 48)]
    found, at = {}, 0
    for name, size in sizes:
        found[name] = (at, size)
        at += size
    assert at == len(case.proof)
    return found


def flipped(case: Case, at: int, bits: int = 1) -> Case:
    proof = bytearray(case.proof)
    proof[at] ^= bits
    return replace(case, proof=bytes(proof))


def put(case: Case, at: int, data: bytes) -> Case:
    return replace(case, proof=case.proof[:at] + data + case.proof[at + len(data) :])


@pytest.fixture(scope="module")
def small() -> Case:
    """A short accepted proof, for many attempts."""
    snapshot = shaped(groups=[0, 0], assets=1, n=64, risk=[[3], [-2]], marks=[1, 1])
    return made(snapshot, BookLots((1, -1), (200,)))


@pytest.mark.parametrize(
    "place", [pytest.param("sign", marks=pytest.mark.slow), pytest.param("middle", marks=pytest.mark.slow), "last"]
)
def test_a_change_in_every_region_is_refused_by_both(second: ModuleType, small: Case, place: str) -> None:
    accepted = []
    for number, (name, (at, size)) in enumerate(regions(small).items()):
        choices = {"sign": (0, 0x20), "middle": (number * 7 % size, 1 << number % 8), "last": (size - 1, 1)}
        offset, bits = choices[place]
        if flipped(small, at + offset, bits).verdict(second):
            accepted.append(name)
    assert accepted == []


@pytest.mark.slow
def test_a_change_of_every_byte_is_refused_by_both(second: ModuleType, small: Case) -> None:
    """Every seventh byte with ZKMARGIN_FULL=1, so each place of a point in turn; else every 61st: pairings are slow."""
    step = 7 if os.environ.get("ZKMARGIN_FULL") == "1" else 61
    accepted = [at for at in range(0, len(small.proof), step) if flipped(small, at, 1 << at % 8).verdict(second)]
    assert accepted == []


def outside_the_subgroup() -> bytes:
    """The encoding of a point of the curve that is not in the subgroup."""
    x = next(x for x in range(1, 100) if pow(x**3 + 4, (P - 1) // 2, P) == 1)
    return (1 << 383 | x).to_bytes(48, "big")


def off_the_curve() -> bytes:
    x = next(x for x in range(1, 100) if pow(x**3 + 4, (P - 1) // 2, P) == P - 1)
    return (1 << 383 | x).to_bytes(48, "big")


BAD_POINTS = {
    "infinity": b"\xc0" + bytes(47),
    "infinity with a sign": b"\xe0" + bytes(47),
    "infinity with stray bits": b"\xc0" + bytes(46) + b"\x01",
    "infinity without compression": b"\x40" + bytes(47),
    "zeros": bytes(48),
    "outside the subgroup": outside_the_subgroup(),
    "off the curve": off_the_curve(),
    "the field's order": (1 << 383 | P).to_bytes(48, "big"),
    "a coordinate above the field's order": (1 << 383 | P + 4).to_bytes(48, "big"),
    "all ones": b"\xff" * 48,
}


@pytest.mark.parametrize("kind", BAD_POINTS)
def test_bad_points_are_refused_by_both(second: ModuleType, small: Case, kind: str) -> None:
    places = {name: at for name, (at, size) in regions(small).items() if size == 48}
    if kind != "infinity":
        places = {name: places[name] for name in ("f0", "phi", "W'")}
    assert [name for name, at in places.items() if put(small, at, BAD_POINTS[kind]).verdict(second)] == []


def test_scalars_that_are_not_canonical_are_refused_by_both(second: ModuleType, small: Case) -> None:
    for name, (at, size) in regions(small).items():
        if size != 32 or name == "setup":
            continue
        value = int.from_bytes(small.proof[at : at + 32], "big")
        assert not put(small, at, (value + r).to_bytes(32, "big")).verdict(second), name
        assert not put(small, at, (r - value).to_bytes(32, "big")).verdict(second), name
        assert not put(small, at, b"\xff" * 32).verdict(second), name


def test_points_in_another_order_are_refused_by_both(second: ModuleType, small: Case) -> None:
    found = regions(small)
    for one, two in (("W", "W'"), ("f0", "f1"), ("mu", "phi")):
        a, b = found[one][0], found[two][0]
        swapped = put(put(small, a, small.proof[b : b + 48]), b, small.proof[a : a + 48])
        assert not swapped.verdict(second), (one, two)


@pytest.mark.parametrize("size", [0, 1, 44, 92, -48, -32, -1])
def test_truncated_proofs_are_refused_by_both(second: ModuleType, small: Case, size: int) -> None:
    assert not replace(small, proof=small.proof[:size]).verdict(second)


@pytest.mark.parametrize("tail", [b"\x00", b"\n", bytes(32), bytes(48)])
def test_longer_proofs_are_refused_by_both(second: ModuleType, small: Case, tail: bytes) -> None:
    assert not replace(small, proof=small.proof + tail).verdict(second)
    assert not replace(small, proof=tail + small.proof).verdict(second)


# --- the script ---------------------------------------------------------------------------------------------


def test_it_runs_as_a_script(good: Case, tmp_path: Path) -> None:
    (tmp_path / "snapshot.json").write_bytes(good.snapshot.to_bytes())
    (tmp_path / "commitment.json").write_bytes(good.commitments[0].to_bytes())
    (tmp_path / "proof.bin").write_bytes(good.proof)
    limits = [word for text in good.limits for word in ("--limit", text)]

    def run(claim: str) -> subprocess.CompletedProcess[str]:
        files = ["--snapshot", "snapshot.json", "--commitment", "commitment.json", "proof.bin"]
        given = [*files, "--claim", claim, "--context", CONTEXT.decode(), *limits]
        script = str(Path(__file__).with_name("second_verifier.py"))
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        return subprocess.run(
            [sys.executable, script, *given],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    accepted, rejected = run("1.0"), run("0.9")
    digest = good.first()
    assert digest is not None
    assert (accepted.returncode, accepted.stdout) == (0, f"accepted: statement {digest.hex()}\n")
    assert (rejected.returncode, rejected.stdout) == (1, "")
    assert rejected.stderr.startswith("rejected: ")
