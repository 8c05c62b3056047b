"""docs/catalogue.md maps every kind of hostile input to tests: they exist, and no item is forgotten."""

import ast
import re
from pathlib import Path

import golden
import pytest

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "catalogue.md"
#: Where tests are: those of the contracts run on EVMs (make contracts).
FOLDERS = (TESTS, TESTS.parent / "contracts" / "tests")
ITEMS = list(range(1, 57))


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in TABLE.read_text("utf-8").splitlines():
        match = re.match(r"\| ([A-Z]?\d+) \|", line)
        if match:
            assert match[1] not in found
            found[match[1]] = line
    return found


def test_every_item_is_in_its_order(rows: dict[str, str]) -> None:
    assert [int(item) for item in rows if item.isdecimal()] == ITEMS


def test_every_item_names_tests_that_exist(rows: dict[str, str]) -> None:
    for item, row in rows.items():
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, item
        for file, name in named:
            (path,) = (folder / file for folder in FOLDERS if (folder / file).is_file())
            tree = ast.parse(path.read_text("utf-8"))
            defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert name in defined, f"item {item}: {file}::{name}"


def test_tests_with_a_number_are_about_an_item_of_the_catalogue(rows: dict[str, str]) -> None:
    for path in sorted(path for folder in FOLDERS for path in folder.glob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                match = re.match(r"test_(?:items?_|catalogue_)?(\d+)_(?!generates|of_|s_)", node.name)
                if match and match[1] != "7":
                    assert int(match[1]) in ITEMS, f"{path.name}::{node.name}"
                lettered = re.match(r"test_([a-z])(\d+)_", node.name)
                if lettered:
                    assert f"{lettered[1].upper()}{lettered[2]}" in rows, f"{path.name}::{node.name}"


def test_every_flag_that_is_named_has_vectors() -> None:
    notes = golden.vectors()["notes"]
    text = TABLE.read_text("utf-8")
    named = {flag for part in re.findall(r"vectors ((?:`\w+`(?:, )?)+)", text) for flag in re.findall(r"`(\w+)`", part)}
    assert named
    assert named <= set(notes)
