"""docs/catalogue.md maps every kind of hostile input to tests: they exist, and no item is forgotten."""

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "catalogue.md"
#: 50 to 53 are about a contract that does not exist yet.
ITEMS = [n for n in range(1, 57) if not 50 <= n <= 53]


@pytest.fixture(scope="module")
def rows() -> dict[int, str]:
    found: dict[int, str] = {}
    for line in TABLE.read_text("utf-8").splitlines():
        match = re.match(r"\| (\d+) \|", line)
        if match:
            assert int(match[1]) not in found
            found[int(match[1])] = line
    return found


def test_every_item_is_in_its_order(rows: dict[int, str]) -> None:
    assert list(rows) == ITEMS


def test_every_item_names_tests_that_exist(rows: dict[int, str]) -> None:
    for item, row in rows.items():
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, item
        for file, name in named:
            tree = ast.parse((TESTS / file).read_text("utf-8"))
            defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert name in defined, f"item {item}: {file}::{name}"


def test_tests_with_a_number_are_about_an_item_of_the_catalogue() -> None:
    for path in sorted(TESTS.glob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                match = re.match(r"test_(?:items?_|catalogue_)?(\d+)_(?!generates|of_|s_)", node.name)
                if match and match[1] != "7":
                    assert int(match[1]) in ITEMS, f"{path.name}::{node.name}"


def test_every_flag_that_is_named_has_vectors(golden: ModuleType) -> None:
    notes = golden.vectors()["notes"]
    text = TABLE.read_text("utf-8")
    named = {flag for part in re.findall(r"vectors ((?:`\w+`(?:, )?)+)", text) for flag in re.findall(r"`(\w+)`", part)}
    assert named
    assert named <= set(notes)
