"""Golden proofs and the vector file of format version 1: accepted, refused and pinned, for every later release."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import golden
import pytest
from support.typed import Json, JsonObject

from zkmargin.crypto.srs import embedded
from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError, keccak256
from zkmargin.verifier import verify, verify_batch

FULL = os.environ.get("ZKMARGIN_FULL") == "1"
#: keccak-256 of every golden file, name by name. A change here is a change of format version 1: there is none.
PINNED = "0c4236163e71b300a468e0b3a9416c43467e9b45e081bb3cdda2e0e6855c0386"
ERRORS: dict[str, type[ZkMarginError]] = {
    "inputs": InputError,
    "proof": ProofFormatError,
    "argument": VerificationError,
}
NAMES = ("range-proved", "attested", "two-segments", "default-policy", "gates")
#: The first 8 bytes of the digests of their circuits.
CIRCUITS = {
    "range-proved": "821e1f2c6e18ff5b",
    "attested": "220f8ef0254680be",
    "two-segments": "336189027d4dc642",
    "default-policy": "67bbc199605be944",
    "gates": "2510f01408f0b789",
}


def test_the_golden_files_are_the_pinned_ones() -> None:
    files = sorted(path for path in golden.FOLDER.iterdir() if path.is_file())
    listing = "".join(f"{keccak256(path.read_bytes()).hex()}  {path.name}\n" for path in files)
    assert keccak256(listing.encode()).hex() == PINNED, listing


@pytest.mark.parametrize("name", NAMES)
def test_golden_proofs_are_accepted(name: str) -> None:
    assert golden.NAMES == NAMES
    statement, proof = golden.statement_of(name)
    accepted = verify(statement, proof)
    assert accepted.statement is statement
    groups = {group["name"]: group["statementDigest"] for group in golden.vectors()["testGroups"]}
    if name in groups:
        assert accepted.statement_digest.hex() == groups[name]


def test_golden_proofs_are_accepted_together() -> None:
    items = [golden.statement_of(name) for name in NAMES]
    assert [a.statement for a in verify_batch(items)] == [statement for statement, _ in items]


def test_golden_circuits_are_the_pinned_ones() -> None:
    digests = {name: golden.statement_of(name)[0].circuit.digest.hex()[:16] for name in NAMES}
    assert digests == CIRCUITS


def test_every_vector_gets_its_verdict() -> None:
    document = golden.vectors()
    for group, case in golden.vector_cases(document):
        given, label = golden.inputs(group, case), f"{group['name']} {case['tcId']}: {case['comment']}"
        try:
            outcome: object = verify(given.statement(), given.proof).statement_digest.hex()
        except ZkMarginError as error:
            outcome = type(error)
        expected = group["statementDigest"] if case["result"] == "valid" else ERRORS[case["error"]]
        assert outcome == expected, label


def test_the_vector_file_is_well_formed() -> None:
    document = golden.vectors()
    cases = [case for _, case in golden.vector_cases(document)]
    assert [case["tcId"] for case in cases] == list(range(1, document["numberOfTests"] + 1))
    assert {flag for case in cases for flag in case["flags"]} == set(document["notes"])
    assert document["srs"] == embedded().digest.hex()
    schema = json.loads(golden.SCHEMA.read_text("utf-8"))
    assert fits(document, schema) == []
    assert fits({**document, "more": 1}, schema)
    assert fits({**document, "proofVersion": 2}, schema)
    broken = {**document["testGroups"][0], "tests": [{**cases[0], "result": "maybe"}]}
    assert fits({**document, "testGroups": [broken]}, schema)


def fits(value: Json, schema: JsonObject, path: str = "") -> list[str]:
    """What of the value does not fit, in the part of JSON Schema that ours uses."""
    import re

    bad: list[str] = []
    if "const" in schema and value != schema["const"]:
        bad.append(f"{path}: const")
    if "enum" in schema and value not in schema["enum"]:
        bad.append(f"{path}: enum")
    kinds: dict[str, Callable[[Json], bool]] = {
        "string": lambda v: isinstance(v, str),
        "integer": lambda v: type(v) is int,
        "array": lambda v: isinstance(v, list),
        "object": lambda v: isinstance(v, dict),
    }
    if "type" in schema and not kinds[schema["type"]](value):
        return [*bad, f"{path}: type"]
    if "pattern" in schema and not re.search(schema["pattern"], value):
        bad.append(f"{path}: pattern")
    if isinstance(value, list):
        for i, item in enumerate(value):
            bad += fits(item, schema["items"], f"{path}[{i}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        bad += [f"{path}: {key} missing" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            extra = schema.get("additionalProperties", True)
            if key in properties:
                bad += fits(item, properties[key], f"{path}.{key}")
            elif extra is False:
                bad.append(f"{path}: {key} unknown")
            elif isinstance(extra, dict):
                bad += fits(item, extra, f"{path}.{key}")
    return bad


@pytest.mark.slow
def test_the_second_verifier_gives_the_same_verdicts() -> None:
    """Every case with ZKMARGIN_FULL=1; else one of each flag and verdict: a pairing takes seconds in Python."""
    second: ModuleType = importlib.import_module("second_verifier")
    seen: set[tuple[str, str]] = set()
    for group, case in golden.vector_cases(golden.vectors()):
        key = case["flags"][0], case.get("error", "")
        if not FULL and (key in seen or (group["name"] == "default-policy" and case["result"] == "invalid")):
            continue
        seen.add(key)
        given = golden.inputs(group, case)
        options = {"requirement": given.requirement, "context": given.context, "limits": given.limits}
        try:
            digest = second.verify(given.snapshot, list(given.commitments), given.claim, given.proof, **options)
            verdict = digest.hex() == group["statementDigest"]
        except second.Rejected:
            verdict = False
        assert verdict == (case["result"] == "valid"), f"{group['name']} {case['tcId']}: {case['comment']}"


@pytest.mark.slow
def test_the_generator_makes_the_same_bytes() -> None:
    path = golden.FOLDER.parents[2]
    environment = {**os.environ, "PYTHONPATH": str(path.parent)}
    run = subprocess.run(
        [sys.executable, path / "golden.py", "--check"], capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
