"""Integer arrays in documents: limits before allocation, strict base64, checksums, immutability."""

import base64
import copy
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.typed import Keywords, Passed

from zkmargin.formats import Document, InputError, IntArray, keccak256, parse_json
from zkmargin.formats.arrays import MAX_DIMENSIONS, MAX_ELEMENTS

ROOT = Path(__file__).resolve().parent.parent

INT64 = arrays.arrays(
    np.int64,
    arrays.array_shapes(min_dims=1, max_dims=MAX_DIMENSIONS, min_side=0, max_side=5),
    elements=st.integers(-(2**63), 2**63 - 1),
)


class Table(Document):
    FORMAT: ClassVar[str] = "zkmargin/table/v1"

    cells: IntArray


def table_text(**changes: Passed) -> str:
    """A table of [[1, 2], [3, 4]] with keys replaced, or removed where the change is None."""
    cells = IntArray(np.array([[1, 2], [3, 4]])).to_json() | changes
    return json.dumps({"format": Table.FORMAT, "cells": {k: v for k, v in cells.items() if v is not None}}, indent=1)


@given(INT64)
def test_arrays_survive_their_json(values: npt.NDArray[np.int64]) -> None:
    array = IntArray(values)
    written = json.loads(json.dumps(array.to_json()))
    again = IntArray.from_json(written)
    assert again == array
    assert hash(again) == hash(array)
    assert again.checksum == array.checksum == keccak256(values.astype("<i8").tobytes())
    assert np.array_equal(again.values, values)
    assert again.values.shape == values.shape
    assert again.values.dtype == np.int64
    table = Table(cells=array)
    assert Table.parse(table.to_bytes()).digest() == table.digest()


@given(INT64)
def test_the_json_is_what_it_says(values: npt.NDArray[np.int64]) -> None:
    written = IntArray(values).to_json()
    assert written == {
        "shape": list(values.shape),
        "keccak256": keccak256(values.astype("<i8").tobytes()).hex(),
        "data": base64.b64encode(values.astype("<i8").tobytes()).decode(),
    }


# Catalogue 45: what an array may be made of


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2], dtype=np.int8),
        np.array([1, 2], dtype=np.uint64),
        np.array([1, 2], dtype=">i8"),
        np.array([1, 9, 2])[::2],
        np.array([2, 1])[::-1],
        np.asfortranarray(np.array([[1, 2]])),
    ],
    ids=["int8", "uint64", "big-endian", "strided", "reversed", "Fortran order"],
)
def test_catalogue_45_integers_of_any_layout(values: Passed) -> None:
    assert IntArray(values).values.ravel().tolist() == [1, 2]


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0]),
        np.array([np.nan]),
        np.array([True]),
        np.array([2**63], dtype=np.uint64),
        np.array([2**70]),
        np.array(["1"]),
        np.array([None]),
        np.array([1 + 0j]),
        np.array([1], dtype="m8[s]"),
    ],
    ids=["float", "nan", "bool", "2^63", "2^70", "text", "object", "complex", "time"],
)
def test_catalogue_45_anything_else_is_refused(values: Passed) -> None:
    with pytest.raises(TypeError, match="integers of 64 bits"):
        IntArray(values)


def test_arrays_are_immutable_and_own_their_data() -> None:
    given_values = np.arange(4)
    array = IntArray(given_values)
    given_values[0] = 99
    assert array.values.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        array.values[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.values.setflags(write=True)
    for name in ("values", "checksum"):
        with pytest.raises(AttributeError):
            setattr(array, name, None)
    for twin in (copy.copy(array), copy.deepcopy(array)):
        assert twin == array
        assert not twin.values.flags.writeable
    loaded = IntArray.from_json(array.to_json())
    with pytest.raises(ValueError, match="WRITEABLE"):
        loaded.values.setflags(write=True)


def test_equality_and_repr() -> None:
    array = IntArray(np.array([[1, 2]]))
    assert array != IntArray(np.array([1, 2])), "another shape"
    assert array != IntArray(np.array([[1, 3]]))
    assert array != [[1, 2]]
    assert len({array, IntArray(np.array([[1, 2]])), IntArray(np.array([[2, 1]]))}) == 2
    assert repr(array).startswith("IntArray(shape=(1, 2), keccak256=")


# Strict reading


def sha(values: list[int]) -> str:
    return keccak256(np.array(values, dtype="<i8").tobytes()).hex()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": None}, "exactly the keys"),
        ({"data": None}, "exactly the keys"),
        ({"keccak256": None}, "exactly the keys"),
        ({"dtype": "|O"}, "exactly the keys"),
        ({"shape": []}, "not a shape"),
        ({"shape": [1] * (MAX_DIMENSIONS + 1)}, "not a shape"),
        ({"shape": "22"}, "not a shape"),
        ({"shape": {"0": 4}}, "not a shape"),
        ({"shape": [True, 4]}, "not a shape"),
        ({"shape": ["4"]}, "not a shape"),
        ({"shape": [-2, -2]}, "not a shape"),
        ({"shape": [MAX_ELEMENTS + 1]}, "not a shape"),
        ({"shape": [2, MAX_ELEMENTS]}, "not a shape"),
        ({"shape": [2**32 - 1, 2**63, 2]}, "not a shape"),
        ({"shape": [5]}, "the 40 bytes that the shape asks for"),
        ({"shape": [2, 1]}, "the 16 bytes that the shape asks for"),
        ({"shape": [0]}, "the 0 bytes that the shape asks for"),
        ({"shape": [1, 4]}, None),
        ({"keccak256": "00" * 32}, "the checksum does not match"),
        ({"keccak256": sha([1, 2, 3, 4]).upper()}, "the checksum does not match"),
        ({"keccak256": 5}, "the checksum does not match"),
        ({"keccak256": sha([1, 2, 4, 3])}, "the checksum does not match"),
        ({"data": 7}, "not the base64 of the 32 bytes"),
        ({"data": "A" * 43 + "!"}, "data is not base64"),
        ({"data": "A" * 43 + "\u0661"}, "data is not base64"),
        ({"data": "A" * 22 + "\n" + "A" * 20 + "="}, "data is not base64"),
        ({"data": "A" * 20 + "====" + "A" * 20}, "data is not base64"),
        ({"data": "A" * 20 + "AA==" + "A" * 19 + "="}, "data is not base64"),
        ({"data": "A" * 42 + "=="}, "not the base64 of the 32 bytes"),
        ({"data": "A" * 44}, "not the base64 of the 32 bytes"),
    ],
)
def test_catalogue_47_arrays_are_read_strictly(changes: Keywords, reason: str | None) -> None:
    if reason is None:
        assert Table.parse(table_text(**changes)).cells.values.tolist() == [[1, 2, 3, 4]]
        return
    with pytest.raises(InputError) as caught:
        Table.parse(table_text(**changes), file="f")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("f:3: cells: ")


@pytest.mark.parametrize("value", [None, [], "x", 5, [[1, 2], [3, 4]]])
def test_an_array_is_an_object(value: None) -> None:
    with pytest.raises(InputError, match="exactly the keys shape, keccak256 and data"):
        Table.parse(json.dumps({"format": Table.FORMAT, "cells": value}))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4), st.integers(1, 255), st.integers(0))
def test_one_array_has_one_text(values: list[int], change: int, place: int) -> None:
    """Every other base64 character anywhere is refused: also those that only change bits that no byte takes."""
    written = IntArray(np.array(values, dtype=np.int64)).to_json()
    data = bytearray(written["data"].encode())
    data[place % len(data)] ^= change
    with pytest.raises(ValueError, match=r"base64|checksum"):
        IntArray.from_json(written | {"data": data.decode("latin-1")})


def test_unused_bits_of_the_last_group_are_zero() -> None:
    written = IntArray(np.zeros(1, dtype=np.int64)).to_json()
    assert written["data"] == "AAAAAAAAAAA="
    with pytest.raises(ValueError, match="not the base64 of the 8 bytes"):
        IntArray.from_json(written | {"data": "AAAAAAAAAAB="})


# Limits come before memory


@pytest.mark.parametrize("side", [MAX_ELEMENTS, 2**31 - 1, 2**32 - 1, 2**63, 2**64, 10**300])
def test_catalogue_47_a_small_file_takes_little_memory_whatever_it_claims(side: int) -> None:
    text = table_text(shape=[side], data="AAAA")
    assert len(text) < 700
    parse_json(text)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="cells"):
            Table.parse(text)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.linux
def test_catalogue_47_under_a_limit_of_the_operating_system(tmp_path: Path) -> None:
    """The whole way from the file, in a process that may take 1 MB more than it has."""
    for number, side in enumerate((MAX_ELEMENTS, 2**32 - 1, 2**63)):
        (tmp_path / f"{number}.json").write_text(table_text(shape=[side, 1], data="AAAA"))
    script = """
import resource, sys
from typing import ClassVar
from zkmargin.formats import Document, InputError, IntArray, load_document
class Table(Document):
    FORMAT: ClassVar[str] = "zkmargin/table/v1"
    cells: IntArray
def refusals():
    shown = []
    for name in sys.argv[1:]:
        try:
            load_document(Table, name)
        except InputError as error:
            shown.append(error.reason)
    return shown
refusals()
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (1 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    bytes(1 << 22)
    print("the limit does not bite")
except MemoryError:
    print(*refusals(), sep="\\n")
"""
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    result = subprocess.run(
        [sys.executable, "-c", script, *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    asked = f"data is not the base64 of the {8 * MAX_ELEMENTS} bytes that the shape asks for"
    assert result.stdout.splitlines() == [asked, *["not a shape of an array within limits"] * 2]
