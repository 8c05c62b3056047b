"""One class reads every version of a document, and each version keeps its bytes."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytest

from zkmargin.formats import Document, InputError, Map, Model, Seq, Since
from zkmargin.formats.canonical import canonical_bytes, keccak256


class Leg(Model):
    name: str
    weight: Annotated[int | None, Since(2)] = None


class Trade(Document):
    FORMAT: ClassVar[str] = "test/trade/v2"
    READS: ClassVar[tuple[str, ...]] = ("test/trade/v1",)

    legs: Seq[Leg] = ()
    venue: Annotated[str, Since(2)] = ""


class Report(Document):
    """Holds documents of either version."""

    FORMAT: ClassVar[str] = "test/report/v1"

    trades: Seq[Trade]


OLD = '{"format": "test/trade/v1", "legs": [{"name": "a"}]}'
NEW = '{"format": "test/trade/v2", "legs": [{"name": "a", "weight": 3}], "venue": "A"}'


def test_an_old_version_keeps_its_bytes_and_digest() -> None:
    old = Trade.parse(OLD)
    assert old.format_version == 1
    assert old.canonical() == canonical_bytes({"format": "test/trade/v1", "legs": [{"name": "a"}]})
    assert old.digest() == keccak256(old.canonical())
    assert old.to_json() == {"format": "test/trade/v1", "legs": [{"name": "a"}]}
    assert Trade.parse(old.to_bytes()) == old


def test_the_new_version_has_its_fields() -> None:
    new = Trade.parse(NEW)
    assert new.format_version == 2
    assert new.to_json() == {"format": "test/trade/v2", "legs": [{"name": "a", "weight": 3}], "venue": "A"}
    assert Trade(legs=(Leg(name="a", weight=3),), venue="A") == new


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"format": "test/trade/v1", "venue": ""}', "venue"),
        ('{"format": "test/trade/v1", "legs": [{"name": "a", "weight": null}]}', "legs[0].weight"),
    ],
)
def test_an_old_version_with_a_later_field_is_refused(text: str, field: str) -> None:
    with pytest.raises(InputError, match="unknown key in version 1") as error:
        Trade.parse(text)
    assert error.value.field == field


def test_a_version_that_nobody_reads_is_refused() -> None:
    with pytest.raises(InputError, match="another version"):
        Trade.parse('{"format": "test/trade/v3"}')


def test_documents_inside_a_document_keep_their_own_version() -> None:
    report = Report.parse(f'{{"format": "test/report/v1", "trades": [{OLD}, {NEW}]}}')
    assert [trade.format_version for trade in report.trades] == [1, 2]
    assert report.to_json()["trades"] == [trade.to_json() for trade in report.trades]
    assert Report.parse(report.to_bytes()).digest() == report.digest()


class Desk(Document):
    """Has its models by name."""

    FORMAT: ClassVar[str] = "test/desk/v2"
    READS: ClassVar[tuple[str, ...]] = ("test/desk/v1",)

    legs: Map[str, Leg]


def test_models_by_name_are_of_the_documents_version_too() -> None:
    old = Desk.parse('{"format": "test/desk/v1", "legs": {"near": {"name": "a"}}}')
    assert old.to_json() == {"format": "test/desk/v1", "legs": {"near": {"name": "a"}}}
    assert Desk.parse(old.to_bytes()) == old
    new = Desk.parse('{"format": "test/desk/v2", "legs": {"near": {"name": "a", "weight": 3}}}')
    assert new.to_json()["legs"] == {"near": {"name": "a", "weight": 3}}
    with pytest.raises(InputError, match="unknown key in version 1") as refused:
        Desk.parse('{"format": "test/desk/v1", "legs": {"near": {"name": "a", "weight": null}}}')
    assert refused.value.field == "legs.near.weight"


@pytest.mark.parametrize(("mistakes", "listed"), [(49, 49), (50, 50), (51, 50)])
def test_so_many_mistakes_of_a_document_are_listed(mistakes: int, listed: int) -> None:
    unknown = "".join(f', "x{i}": 0' for i in range(mistakes))
    with pytest.raises(InputError, match=f"unknown key \\(and {mistakes - 1} more\\)") as refused:
        Trade.parse(f'{{"format": "test/trade/v2"{unknown}}}')
    assert len(refused.value.facts["errors"]) == listed
