"""Submissions, changes, events and coverage statements: read as they were written, refused when changed."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
from support.typed import Json, JsonObject, Keywords

from zkmargin.client import Change, Coverage, Event, Submission, Terms
from zkmargin.client.documents import largest_gap
from zkmargin.client.orders import IssueToken, RegisterAccount
from zkmargin.client.tokens import new_token, token_digest
from zkmargin.formats import Document, InputError
from zkmargin.service.states import Standing

golden = import_module("golden_service")
KINDS: dict[str, type[Document]] = {
    "submission": Submission,
    "change": Change,
    "event": Event,
    "coverage": Coverage,
}
NAMES = sorted(path.name for path in golden.FOLDER.glob("*.*.json"))


def read(name: str) -> Document:
    return KINDS[name.split(".")[-2]].parse((golden.FOLDER / name).read_bytes())


def test_the_golden_files_are_as_they_were_made() -> None:
    there = {path.name: path.read_bytes() for path in golden.FOLDER.iterdir()}
    assert there == golden.make_all()


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_file_is_read_and_written_as_it_is(name: str) -> None:
    document = read(name)
    assert document.to_bytes() == (golden.FOLDER / name).read_bytes()
    assert document.digest().hex() == json.loads((golden.FOLDER / "digests.json").read_bytes())[name]
    if isinstance(document, (Change, Event, Coverage)):
        assert document.signatures[0].verifies(document.message)
        with pytest.raises(InputError, match="signed already"):
            document.signed(golden.signer())


@pytest.mark.parametrize("name", [name for name in NAMES if "submission" not in name])
def test_a_signature_is_over_everything(name: str) -> None:
    document = read(name).to_json()

    def changed(value: Json) -> Json:
        if isinstance(value, str):
            return value[:-1] + ("0" if value[-1] != "0" else "1")
        return value + 1 if isinstance(value, int) else value

    altered = 0
    for key, value in document["payload"].items():
        other = json.loads(json.dumps(document))
        other["payload"][key] = changed(value)
        try:
            one = KINDS[name.split(".")[-2]].parse(json.dumps(other))
        except InputError:
            continue
        if other != document and isinstance(one, (Change, Event, Coverage)):
            altered += 1
            assert not one.signatures[0].verifies(one.message), key
    assert altered >= 2


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("golden.submission.json", {"proof": "AAB="}, "not base64"),
        ("golden.submission.json", {"proof": "!!!!"}, "not base64"),
        ("golden.submission.json", {"claim": {"ratio": "2/2"}}, "lowest terms"),
        ("golden.submission.json", {"claim": {"ratio": "1.5"}}, "pattern"),
        ("golden.submission.json", {"claim": {"limits": ["headroom >= 1000.5"]}}, "canonical"),
        ("golden.submission.json", {"more": 1}, "unknown key"),
        ("golden.coverage.json", {"proven": 2}, "not what the list"),
        ("golden.coverage.json", {"largest_gap_ms": 1}, "not what the list"),
        ("golden.coverage.json", {"begin": "2026-01-02T03:04:06Z"}, "another time"),
        ("golden.coverage.json", {"end": "2026-01-02T03:04:04Z"}, "before begin"),
        ("state.event.json", {"state": None}, "has one"),
    ],
)
def test_what_contradicts_itself_is_refused(name: str, changes: JsonObject, words: str) -> None:
    value = read(name).to_json()
    inner = value if "submission" in name else value["payload"]
    inner.update(changes)
    with pytest.raises(InputError, match=words):
        KINDS[name.split(".")[-2]].parse(json.dumps(value))


def test_names_and_tokens() -> None:
    with pytest.raises(InputError, match="slash"):
        RegisterAccount(account="a/b", terms=Terms(period_seconds=1, grace_seconds=0))
    with pytest.raises(InputError, match="role account"):
        IssueToken(name="a", role="account", digest="00" * 32)
    token = new_token()
    assert token != new_token()
    assert token_digest(token) is not None
    assert [token_digest(text) for text in ("", token[:-1], token + "=", "zkm_" + "é" * 43)] == [None] * 4


def test_gaps_count_their_ends() -> None:
    assert largest_gap(0, 100, []) == 100
    assert largest_gap(0, 100, [0, 100]) == 100
    assert largest_gap(0, 100, [90, 50]) == 50
    assert largest_gap(5, 5, [5]) == 0


@pytest.mark.parametrize(
    ("changes", "states"),
    [
        ({}, "covered covered due late"),
        ({"refused": True}, "covered covered refused refused"),
        ({"changed_ms": 30_000}, "covered due late late"),
        ({"changed_ms": 90_000}, "covered covered due late"),  # it was due before
        ({"vouched_until_ms": 60_000}, "covered covered uncovered uncovered"),
        ({"vouched_until_ms": None}, "uncovered uncovered uncovered uncovered"),
        ({"snapshot_ms": None}, "uncovered uncovered uncovered uncovered"),
    ],
)
def test_states_follow_from_times(changes: JsonObject, states: str) -> None:
    values: Keywords = {"period_ms": 60_000, "grace_ms": 10_000, "snapshot_ms": 0, "accepted_ms": 100}
    values |= {"changed_ms": None, "vouched_until_ms": 10**9, "refused": False}
    standing = Standing(**(values | changes))
    assert [standing.at(ms) for ms in (29_999, 30_000, 60_000, 70_001)] == states.split()
