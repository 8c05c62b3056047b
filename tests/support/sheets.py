"""Documents that the tests of the formats make up, and any JSON value."""

import json
from typing import ClassVar, Literal

from hypothesis import strategies as st
from pydantic import Field

from support.typed import Passed
from zkmargin.formats import Document, FrozenMap, IntArray, Map, Model, Seq


class Leg(Model):
    type: Literal["leg"] = "leg"
    lot: str
    count: int = 0


class Cash(Model):
    type: Literal["cash"] = "cash"
    lot: str = "1"


class Sheet(Document):
    FORMAT: ClassVar[str] = "zkmargin/sheet/v2"

    title: str = ""
    lots: Map[str, str] = Field(default_factory=FrozenMap)
    legs: Seq[Leg] = ()
    parts: Seq[Leg | Cash] = ()
    array: IntArray | None = None


class Secret(Document):
    FORMAT: ClassVar[str] = "zkmargin/secret/v1"
    SECRET: ClassVar[bool] = True

    amounts: Map[str, str] = Field(default_factory=FrozenMap)
    bound: int = Field(default=0, ge=0, le=10)
    hidden: str = Field(default="0a", pattern="^[0-9a-f]*$")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**60), 10**60) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)


def sheet_text(**parts: Passed) -> str:
    """The text of a sheet with some of its fields."""
    return json.dumps({"format": Sheet.FORMAT, **parts}, indent=1)
