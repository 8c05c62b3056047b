"""Receipts by themselves: what each version must say, and what is signed of it."""

from __future__ import annotations

import copy
import json
from functools import cache

import pytest
from support.golden import TESTS
from support.typed import Json

from zkmargin.formats import InputError
from zkmargin.verifier.attest import Receipt
from zkmargin.verifier.attest.documents import payload_digest

GOLDEN = TESTS / "data" / "golden"
FILES = {
    1: GOLDEN / "v1" / "documents" / "signed.receipt.json",
    2: GOLDEN / "v2" / "documents" / "signed.receipt.json",
    3: GOLDEN / "v2" / "venue" / "signed.receipt.json",
}


@cache
def _text(version: int) -> str:
    return FILES[version].read_text("utf-8")


def changed(version: int, **changes: Json) -> Json:
    """A golden receipt's JSON with other fields: ``snapshot__policy`` is the one inside."""
    document = copy.deepcopy(json.loads(_text(version)))
    for path, value in changes.items():
        *above, last = path.split("__")
        place = document["payload"]
        for name in above:
            place = place[name]
        place[last] = value
    return document


def read(document: Json) -> Receipt:
    return Receipt.parse(json.dumps(document))


@pytest.mark.parametrize("version", FILES)
def test_golden_receipts_are_read_and_written_in_their_version(version: int) -> None:
    receipt = read(changed(version))
    assert (receipt.format_version, json.loads(receipt.to_bytes())) == (version, json.loads(_text(version)))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("change", "field"), [({"ratio": None}, "ratio"), ({"parts": []}, "parts")])
def test_of_an_account_it_says_what_was_claimed_of_which_commitment(
    version: int, change: dict[str, Json], field: str
) -> None:
    with pytest.raises(InputError, match="what was claimed of which commitment") as refused:
        read(changed(version, **change))
    assert refused.value.field == field


@pytest.mark.parametrize("change", [{"ratio": "1/1"}, {"limits": ["headroom >= 1"]}])
def test_of_a_venue_its_terms_say_what_was_claimed(change: dict[str, Json]) -> None:
    with pytest.raises(InputError, match="a venue's terms say what is claimed") as refused:
        read(changed(3, **change))
    assert refused.value.field == "ratio"
    assert read(changed(3, parts=[])).payload.parts == ()  # one with block accounts only has no parts


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("name", ["a", "a" * 200], ["", "a" * 201]),
        ("accounts", [0, 1, 10**6], [-1]),
        ("dense", [0, 1], [-1]),
    ],
)
def test_bounds_of_what_is_said_of_a_venue(field: str, good: list[Json], bad: list[Json]) -> None:
    for value in good:
        assert getattr(read(changed(3, **{f"venue__{field}": value})).payload.venue, field) == value
    for value in bad:
        with pytest.raises(InputError, match=f"venue.{field}"):
            read(changed(3, **{f"venue__{field}": value}))


def test_the_snapshots_policy_is_named_from_version_2_on() -> None:
    assert read(changed(1)).payload.snapshot.policy is None
    for version in (2, 3):
        with pytest.raises(InputError, match="which policy the snapshot has") as refused:
            read(changed(version, snapshot__policy=None))
        assert refused.value.field == "payload.snapshot.policy"


def test_a_new_receipt_has_the_version_that_says_everything_of_it() -> None:
    for version in (2, 3):
        assert Receipt(payload=read(changed(version)).payload).format_version == version


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("verifier", ["clearing desk", None])
def test_what_wallets_show_of_a_receipt(version: int, verifier: str | None) -> None:
    """Names, types and values of the typed data; of version 1 there is none."""
    receipt = read(changed(version, verifier=verifier))
    typed = receipt.message.typed
    assert typed is not None
    shown = typed.to_json()
    payload, members = receipt.payload, {one["name"]: one["type"] for one in shown["types"]["Receipt"]}
    assert shown["primaryType"] == "Receipt"
    assert members == {
        "format": "string",
        "verifier": "string",
        "time": "string",
        "statement": "bytes32",
        "snapshot": "bytes32",
        "policy": "bytes32",
        "payload": "bytes32",
    }
    assert shown["message"] == {
        "format": receipt.format,
        "verifier": verifier or "",
        "time": payload.time,
        "statement": f"0x{payload.statement}",
        "snapshot": f"0x{payload.snapshot.digest}",
        "policy": f"0x{payload.snapshot.policy}",
        "payload": f"0x{payload_digest(payload, receipt.format).hex()}",
    }


def test_of_version_1_only_bytes_are_signed() -> None:
    assert read(changed(1)).message.typed is None
    assert read(changed(2)).message.typed is not None
