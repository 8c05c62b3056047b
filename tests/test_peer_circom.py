"""The circom program that snarkjs is measured on (benchmarks/peers): as written, it is our statement."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers import circom
from benchmarks.peers.snarkjs import encoded
from benchmarks.peers.statement import Instance, instance_of
from benchmarks.synthetic import Case, book_of, snapshot_of
from zkmargin.engine.book import BookLots
from zkmargin.engine.margin import margin_report

CASE = Case(12, 5, position_bits=32, n=2048)


def written(folder: Path) -> Instance:
    """What the program and its inputs say, read back from the files."""
    text, inputs = (
        (folder / "margin.circom").read_text("utf-8"),
        json.loads((folder / "inputs.json").read_text("utf-8")),
    )
    arguments = re.search(r"component main = Margin\((.*)\);\n\Z", text, re.DOTALL)
    assert arguments
    slots, rows, gains, charges, price = json.loads(f"[{arguments[1]}]")
    assert (slots, rows) == (CASE.slots, CASE.scenarios + 1)
    return Instance(gains, charges, price, inputs["long"], inputs["short"], int(inputs["collateral"]))


@pytest.mark.parametrize("change", [0, 1, -1, 10**6])
def test_its_constants_and_inputs_hold_exactly_where_the_engine_does(tmp_path: Path, change: int) -> None:
    instance = instance_of(CASE)
    spare = min(instance.differences()) // instance.price  # whole lots of collateral
    collateral = book_of(CASE).collateral[0] - spare + change
    circom.write(replace(instance, collateral=collateral), tmp_path)
    given = written(tmp_path)
    held = tuple(a - b for a, b in zip(given.long, given.short, strict=True))
    report = margin_report(snapshot_of(CASE), BookLots(held, (given.collateral,)))
    left = min(given.differences())
    assert left * 10_000 == report.surplus
    assert (left >= 0) == (change >= 0)


def test_collateral_of_another_book_leaves_the_program_as_it_is(tmp_path: Path) -> None:
    instance = instance_of(CASE)
    circom.write(instance, tmp_path / "one")
    circom.write(replace(instance, collateral=1), tmp_path / "other")
    one, other = ((tmp_path / name / "margin.circom").read_bytes() for name in ("one", "other"))
    assert one == other
    assert b"{" + b"slots" not in one


def test_hidden_integers_are_private_and_the_hash_is_the_only_output(tmp_path: Path) -> None:
    circom.write(instance_of(CASE), tmp_path)
    text = (tmp_path / "margin.circom").read_text("utf-8")
    margin = text[text.index("template Margin") :]
    assert "public" not in text
    assert re.findall(r"signal output (.*);", margin) == ["commitment"]
    assert re.findall(r"signal input (.*);", margin) == ["long[slots], short[slots], collateral, blinder"]


def test_a_proof_is_counted_in_coordinates_of_affine_points_and_scalars() -> None:
    point, twisted = ["5", "6", "1"], [["1", "2"], ["3", "4"], ["1", "0"]]
    groth16 = {"pi_a": point, "pi_b": twisted, "pi_c": point, "protocol": "groth16", "curve": "bn128"}
    assert [int.from_bytes(encoded(groth16)[i : i + 32], "big") for i in range(0, 256, 32)] == [5, 6, 1, 2, 3, 4, 5, 6]
    assert len(encoded({"A": point, "eval_a": "7", "protocol": "plonk", "curve": "bn128"})) == 96
