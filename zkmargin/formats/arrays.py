"""Integer arrays inside JSON documents: the binary part.

An array is written as ``{"shape": [rows, columns], "keccak256": hex, "data": base64}``: little-endian signed
64-bit integers in row-major order. Its size is checked against the shape before anything is allocated, its
checksum when it is read. In the canonical form that digests are taken over, ``data`` is left out: the
checksum stands for it, so one hash pass covers a large array.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from zkmargin.formats.budget import spend
from zkmargin.formats.canonical import keccak256

MAX_ELEMENTS = 1 << 25
MAX_DIMENSIONS = 3

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IntArray:
    """An immutable array of int64 with its checksum; ``values`` is a read-only numpy array that owns its data.

    Raises:
        TypeError: anything but integers, or one outside int64.

    Example:
        >>> array = IntArray(np.array([[1, 2], [3, 4]]))
        >>> array.values.shape, array.values.flags.writeable
        ((2, 2), False)
        >>> IntArray(np.array([0.5]))
        Traceback (most recent call last):
        ...
        TypeError: an integer array holds integers of 64 bits, nothing else
    """

    values: Int64Array
    checksum: bytes = field(init=False)

    def __post_init__(self) -> None:
        given = np.asarray(self.values)
        array = given.astype("<i8", order="C", copy=False) if given.dtype.kind in "iu" else None
        if array is None or not np.array_equal(array, given):
            raise TypeError("an integer array holds integers of 64 bits, nothing else")
        # An array over bytes cannot be made writable again.
        raw = array.tobytes()
        object.__setattr__(self, "values", np.frombuffer(raw, dtype="<i8").reshape(array.shape))
        object.__setattr__(self, "checksum", keccak256(raw))

    def __deepcopy__(self, memo: object) -> IntArray:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntArray) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.values.shape, self.checksum))

    def __repr__(self) -> str:
        return f"IntArray(shape={self.values.shape}, keccak256={self.checksum.hex()[:16]}…)"

    def canonical(self) -> dict[str, Any]:
        """What a digest covers: the shape and the checksum of the data."""
        return {"keccak256": self.checksum.hex(), "shape": list(self.values.shape)}

    def to_json(self) -> dict[str, Any]:
        """What a file holds: the canonical part and the data."""
        return {**self.canonical(), "data": base64.b64encode(self.values.tobytes()).decode()}

    @classmethod
    def from_json(cls, value: object) -> IntArray:
        """Decode strictly. Raises ValueError (pydantic turns it into an error with the field's name)."""
        if isinstance(value, IntArray):
            return value
        if not isinstance(value, dict) or set(value) != {"shape", "keccak256", "data"}:
            raise ValueError("an array has exactly the keys shape, keccak256 and data")
        shape, data = value["shape"], value["data"]
        if (
            not isinstance(shape, list)
            or not 1 <= len(shape) <= MAX_DIMENSIONS
            or not all(type(side) is int and 0 <= side <= MAX_ELEMENTS for side in shape)
            or prod(shape) > MAX_ELEMENTS
        ):
            raise ValueError("not a shape of an array within limits")
        spend("cells", prod(shape))
        size = 8 * prod(shape)
        if not isinstance(data, str) or len(data) != 4 * ((size + 2) // 3):
            raise ValueError(f"data is not the base64 of the {size} bytes that the shape asks for")
        try:
            raw = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("data is not base64") from None
        # The last group may hold bits that no byte takes: one array has one text.
        tail = size % 3 or 3
        if len(raw) != size or base64.b64encode(raw[-tail:]).decode() != data[-4:]:
            raise ValueError(f"data is not the base64 of the {size} bytes that the shape asks for")
        array = cls(np.frombuffer(raw, dtype="<i8").reshape(shape))
        if array.checksum.hex() != value["keccak256"]:
            raise ValueError("the checksum does not match: the file is damaged")
        return array

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.from_json, serialization=core_schema.plain_serializer_function_ser_schema(lambda a: a.to_json())
        )
