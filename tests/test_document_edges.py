"""Documents at their edges: kinds of values in canonical bytes, longest lists, copies that share or do not."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from enum import StrEnum
from typing import Annotated, ClassVar

import pytest

from zkmargin.formats import Document, InputError, Model, Seq, Since
from zkmargin.formats.budget import LIMITS, Budget, budget
from zkmargin.formats.canonical import canonical_bytes
from zkmargin.formats.documents import Bounded, without_data


class Side(StrEnum):
    BUY = "buy"


class Leg(Model):
    name: str


class Order(Document):
    FORMAT: ClassVar[str] = "test/order/v1"

    side: Side = Side.BUY
    nonce: bytes = b""
    legs: Seq[Leg] = ()


class Basket(Model):
    ones: Annotated[tuple[int, ...], Bounded(3)] = ()


def test_canonical_values_of_other_kinds_than_json_has() -> None:
    order = Order(side=Side.BUY, nonce=b"\x01\xff")
    assert without_data(order, 1) == {"format": "test/order/v1", "side": "buy", "nonce": "01ff", "legs": []}
    assert order.canonical() == canonical_bytes({"format": "test/order/v1", "side": "buy", "nonce": "01ff", "legs": []})


def test_a_list_has_a_longest_length_where_its_field_sets_none() -> None:
    assert Basket(ones=(1, 2, 3)).ones == (1, 2, 3)
    with pytest.raises(InputError, match="at most 3 items"):
        Basket(ones=(1, 2, 3, 4))


def test_a_copy_with_another_field_shares_the_others_unless_it_is_deep() -> None:
    order = Order(legs=(Leg(name="a"),))
    copy = order.model_copy(update={"nonce": b"\x01"})
    assert copy == order.replaced(nonce=b"\x01") == Order(nonce=b"\x01", legs=(Leg(name="a"),))
    assert copy.legs[0] is order.legs[0]
    deep = order.model_copy(update={"nonce": b"\x01"}, deep=True)
    assert deep == copy
    assert deep.legs[0] is not order.legs[0]


@pytest.mark.parametrize(
    ("value", "hinted"), [("5", True), ("0.5e1", False), ("true", False), ("[5]", False), ("{}", False)]
)
def test_who_writes_a_number_where_text_belongs_is_told_of_quotes(value: str, hinted: bool) -> None:
    with pytest.raises(InputError) as refused:
        Order.parse(f'{{"format": "test/order/v1", "legs": [{{"name": {value}}}]}}')
    assert refused.value.hint == ('decimal text belongs here: put the number in quotes, as "-12.5"' if hinted else None)


def test_marks_of_fields_never_change() -> None:
    for mark, name in ((Since(2), "version"), (Bounded(3), "items")):
        with pytest.raises(FrozenInstanceError):
            setattr(mark, name, 1)


def test_who_writes_an_unknown_number_is_not_told_of_quotes() -> None:
    with pytest.raises(InputError, match="unknown key") as refused:
        Order.parse('{"format": "test/order/v1", "legs": [{"name": "a", "x": 5}]}')
    assert refused.value.hint is None


def test_keys_beyond_the_number_of_fields_are_drawn_one_by_one() -> None:
    for unknown, reason in ((2, "unknown key"), (3, "more than 2 mistakes")):
        keys = {"name": "a"} | {f"x{i}": 0 for i in range(unknown)}
        with budget(Budget({**LIMITS, "mistakes": 2})), pytest.raises(InputError, match=reason):
            Leg.model_validate(keys)


class Later(Model):
    x: Annotated[int | None, Since(2)] = None


class Box(Document):
    FORMAT: ClassVar[str] = "test/box/v2"
    READS: ClassVar[tuple[str, ...]] = ("test/box/v1",)

    xs: Seq[Later] = ()
    x: Annotated[int | None, Since(2)] = None


@pytest.mark.parametrize(("text", "field"), [('"x": null', "x"), ('"xs": [{"x": null}]', "xs[0].x")])
def test_a_later_field_is_named_from_the_top(text: str, field: str) -> None:
    with pytest.raises(InputError, match="unknown key in version 1") as refused:
        Box.parse(f'{{"format": "test/box/v1", {text}}}')
    assert refused.value.field == field
