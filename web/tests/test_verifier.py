"""Three verifiers, one verdict: JavaScript in node against both in Python, on vectors, circuits and mutated proofs."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import golden
import pytest
import test_second_circuits
from support import two_verifiers
from third import ask, question

from zkmargin.circuits import build_circuit
from zkmargin.crypto.field import r
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_market
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ZkMarginError
from zkmargin.verifier import verify
from zkmargin.verifier.header import HEADER_BYTES

VECTORS = golden.vectors()
GROUPS = [group["name"] for group in VECTORS["testGroups"]]
#: How many mutated proofs, and of how many of them the second Python verifier is asked too: seconds each.
MUTATIONS = int(os.environ.get("ZKMARGIN_PAGE_MUTATIONS", "60"))
SECOND = int(os.environ.get("ZKMARGIN_PAGE_SECOND", "2"))
LIMITS = two_verifiers.LIMITS


def asked(snapshot: Path, given: golden.Inputs, proof: bytes) -> dict[str, Any]:
    """What a golden case asks of the third verifier, with a proof."""
    return question(
        snapshot,
        given.commitments,
        proof,
        claim=given.claim,
        requirement=given.requirement,
        limits=given.limits,
        context=given.context,
    )


@pytest.mark.parametrize("name", GROUPS)
def test_every_vector_gets_its_verdict(name: str) -> None:
    (group,) = [group for group in VECTORS["testGroups"] if group["name"] == name]
    questions = []
    for case in group["tests"]:
        given = golden.inputs(group, case)
        path = golden.FOLDER / {**group["defaults"], **case}["snapshot"]
        questions.append(asked(path, given, given.proof))
    for case, answer in zip(group["tests"], ask(questions), strict=True):
        expected = group["statementDigest"] if case["result"] == "valid" else None
        assert answer.get("accepted") == expected, f"{case['tcId']}: {case['comment']}: {answer}"


def test_the_setup_in_the_page_is_the_one_that_ships() -> None:
    text = (Path(__file__).parents[1] / "src" / "setup.js").read_text()
    data = embedded().encoding
    tau = [data[at : at + 48].hex() for at in range(len(data) - 192, len(data), 48)]
    assert f'digest: "{embedded().digest.hex()}"' in text
    assert f"powers: {int.from_bytes(data[26:30], 'big')}," in text
    assert [word for word in tau if f"0x{word}n" not in text] == []


# --- circuits ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def second() -> Any:
    return importlib.import_module("second_verifier")


def snapshots(second: Any) -> Iterator[tuple[str, Snapshot, tuple[str, ...]]]:
    """One of each component and policy, of each shape of slots, and of a universe."""
    yield from (
        (part["type"], test_second_circuits.with_component(second, part), ()) for part in test_second_circuits.FURTHER
    )
    yield from ((name, two_verifiers.shaped(**shape), ()) for name, shape in two_verifiers.SHAPES.items())
    market = example_market("2026-11-20T12:00:00Z")
    kept: list[Any] = []
    for name in ("BTC", "ETH"):
        own = [x for x in market.instruments if x.underlying == name]
        kept += [x for x in own if x.kind != "option"][:4] + [x for x in own if x.kind == "option"][::40]
    fields = {name: getattr(market, name) for name in Market.model_fields}
    for name in ("default", "paradex", "tims", "derive-pmrm2", "deribit-pm", "delta-norm"):
        policy = load_policy(name)
        assets = tuple(asset for asset in market.assets if asset.name in policy.haircuts.assets)
        small = Market.model_validate({**fields, "instruments": tuple(kept), "assets": assets})
        yield name, build_snapshot(small, policy, domain_size=64), LIMITS if name == "default" else ()
    universe = golden.FOLDER.parents[1] / "golden" / "v2" / "universe" / "later.snapshot.json"
    yield "universe", Snapshot.parse(universe.read_bytes()), ()


def test_circuits_of_every_component_agree(second: Any, tmp_path: Path) -> None:
    cases, questions = [], []
    for place, (name, snapshot, limits) in enumerate(snapshots(second)):
        (tmp_path / f"{place}.json").write_bytes(snapshot.to_bytes())
        for claim in (Claim(3, 2), Claim(1, 1, "maintenance")):
            circuit = build_circuit(snapshot, claim, [Limit.parse(text) for text in limits])
            cases.append((name, circuit.digest.hex(), snapshot.digest().hex()))
            plain = question(tmp_path / f"{place}.json", [], b"", claim=f"{claim.num}/{claim.den}", limits=limits)
            questions.append(plain | {"requirement": claim.requirement, "circuit": True})
    for (name, expected, digest), answer in zip(cases, ask(questions), strict=True):
        assert answer == {"circuit": expected, "snapshot": digest}, name


def test_every_component_is_known() -> None:
    known = {part["type"] for part in test_second_circuits.FURTHER} | {
        "worst_scenario",
        "short_option_minimum",
        "haircuts",
    }
    text = (Path(__file__).parents[1] / "src" / "components.js").read_text()
    listed = text.split("export const ENCODERS = {")[1].split("};")[0]
    assert {line.split(":")[0].strip(" ,") for line in listed.splitlines() if line.strip()} == known


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"moon": "full"}, "the key"),
        ({"components": [{"type": "tea_leaves"}]}, "does not know"),
        ({"format": "zkmargin/snapshot/v3"}, "not a snapshot"),
        ({"groups": []}, "not a list"),
        ({"marks": {"shape": [3], "keccak256": "00" * 32, "data": ""}}, "marks"),
        ({"money_unit": "1"}, "money_unit"),
    ],
)
def test_a_snapshot_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    given = json.loads((golden.FOLDER / "range-proved.snapshot.json").read_text())
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(given | change))
    (answer,) = ask([question(path, [], b"") | {"circuit": True}])
    assert reason in answer["rejected"]


def test_one_bit_of_an_array_without_its_checksum_is_refused(tmp_path: Path) -> None:
    text = (golden.FOLDER / "range-proved.snapshot.json").read_text()
    given = json.loads(text)
    data = given["marks"]["data"]
    given["marks"]["data"] = ("B" if data[0] == "A" else "A") + data[1:]
    (tmp_path / "snapshot.json").write_text(json.dumps(given))
    (answer,) = ask([question(tmp_path / "snapshot.json", [], b"") | {"circuit": True}])
    assert "checksum" in answer["rejected"]


def test_haircuts_that_favour_debts_are_refused(tmp_path: Path) -> None:
    """The prover may choose a balance's sides: a lot owed must not count for less than one held."""
    given = json.loads((golden.FOLDER / "range-proved.snapshot.json").read_text())
    (part,) = [part for part in given["components"] if part["type"] == "haircuts"]
    part["long_value"], part["short_value"] = part["short_value"], part["long_value"]
    (tmp_path / "snapshot.json").write_text(json.dumps(given))
    (answer,) = ask([question(tmp_path / "snapshot.json", [], b"") | {"circuit": True}])
    assert "counts for less" in answer["rejected"]


# --- mutated proofs ---------------------------------------------------------------------------------------------


class Draws:
    """Numbers from a seed, the same everywhere."""

    def __init__(self, seed: str) -> None:
        self.seed, self.count = seed, 0

    def below(self, most: int) -> int:
        self.count += 1
        return int.from_bytes(hashlib.sha256(f"{self.seed} {self.count}".encode()).digest(), "big") % most


def elements(proof: bytes, name: str) -> list[tuple[int, int]]:
    """(offset, size) of each element of the body."""
    statement, _ = golden.statement_of(name)
    shape = statement.circuit.shape
    c, wires = shape.digits, 3 * bool(statement.circuit.gates)
    head, scalars = c + 1 + wires + -(-c // 3) + 1 + min(c, 3), c + 1 + bool(wires)
    sizes = [48] * head + [32] * scalars + [48, 48]
    starts = [HEADER_BYTES + sum(sizes[:i]) for i in range(len(sizes))]
    assert starts[-1] + 48 == len(proof)
    return list(zip(starts, sizes, strict=True))


def mutated(proof: bytes, places: list[tuple[int, int]], draw: Draws) -> bytes:
    """One change of one kind: a bit, a byte, an element for another, a sign, a number plus r, a length."""
    at, size = places[draw.below(len(places))]
    other, width = places[draw.below(len(places))]
    kind = draw.below(8)
    one = proof[at : at + size]
    if kind == 0:
        bit = draw.below(8 * len(proof))
        return bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(proof))
    if kind == 1 and size == width:
        changed = proof[:at] + proof[other : other + width] + proof[at + size :]
        return changed[:other] + one + changed[other + width :]
    if kind == 2 and size == width:
        return proof[:at] + proof[other : other + width] + proof[at + size :]
    if kind == 3:
        return proof[: draw.below(len(proof))] + (b"" if draw.below(2) else one)
    value = int.from_bytes(one, "big")
    if size == 48:
        turned = value ^ (1 << 381) if kind < 6 else value ^ (1 << draw.below(384))
        return proof[:at] + turned.to_bytes(48, "big") + proof[at + size :]
    moved = (value + r) % (1 << 256) if kind == 4 else (value + 1 + draw.below(1 << 64)) % (r if kind < 7 else 1 << 256)
    return proof[:at] + moved.to_bytes(32, "big") + proof[at + size :]


def test_mutated_proofs_get_one_verdict(second: Any) -> None:
    """From the golden proofs; the unchanged ones are among them, and must be accepted."""
    draw, cases = Draws(os.environ.get("ZKMARGIN_PAGE_SEED", "page")), []
    names = ("range-proved", "attested", "two-segments", "default-policy")
    for number in range(MUTATIONS):
        name = names[number % len(names)] if number % 8 < 7 else "default-policy"
        statement, proof = golden.statement_of(name)
        changed = proof if number < len(names) else mutated(proof, elements(proof, name), draw)
        cases.append((name, statement, changed))
    verdicts = [_verdict(statement, proof) for _, statement, proof in cases]
    questions = [_question(name, proof) for name, _, proof in cases]
    disagreed = [
        (number, cases[number][0], verdict, answer)
        for number, (verdict, answer) in enumerate(zip(verdicts, ask(questions), strict=True))
        if verdict != answer.get("accepted")
    ]
    assert disagreed == []
    assert all(verdicts[: len(names)])
    for number in range(len(names), len(names) + SECOND):
        assert _second(second, cases[number][0], cases[number][2]) == verdicts[number]


def _verdict(statement: Any, proof: bytes) -> str | None:
    try:
        return verify(statement, proof).statement_digest.hex()
    except ZkMarginError:
        return None


def _group(name: str) -> dict[str, Any]:
    (group,) = [group for group in VECTORS["testGroups"] if group["name"] == name]
    return dict(group)


def _question(name: str, proof: bytes) -> dict[str, Any]:
    given = golden.inputs(_group(name), {})
    return asked(golden.FOLDER / _group(name)["defaults"]["snapshot"], given, proof)


def _second(second: Any, name: str, proof: bytes) -> str | None:
    given = golden.inputs(_group(name), {})
    options = {"requirement": given.requirement, "context": given.context, "limits": given.limits}
    try:
        return bytes(second.verify(given.snapshot, list(given.commitments), given.claim, proof, **options)).hex()
    except second.Rejected:
        return None
