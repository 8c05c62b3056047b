"""Keys that are texts of a class of their own, and the line that a bracket too deep stands in."""

from __future__ import annotations

from enum import StrEnum

import pytest

from zkmargin.formats import InputError, parse_json
from zkmargin.formats.canonical import MAX_DEPTH, canonical_bytes


class Side(StrEnum):
    """A text by another name."""

    LONG = "long"


def test_keys_may_be_texts_of_a_class_of_their_own() -> None:
    assert canonical_bytes({Side.LONG: 1}) == b'{"long":1}'
    for bad in ({1: 1}, {Side.LONG: 1, 2: 1}):
        with pytest.raises(TypeError, match="string keys only"):
            canonical_bytes(bad)


def test_what_was_closed_before_is_not_deep() -> None:
    closed = "[[]],\n" * MAX_DEPTH
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    with pytest.raises(InputError, match=f"nested more than {MAX_DEPTH} deep") as refused:
        parse_json(f"[{closed}{deep}]")
    assert refused.value.line == MAX_DEPTH + 1
    parse_json(f"[{closed}{deep[1:-1]}]")
