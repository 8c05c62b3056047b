"""``zkmargin serve`` for people: proved by hand, asked, ordered; a coverage statement checked without the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
from support.command_line import Run
from support.typed import Json, JsonObject
from support.venue_service import (
    PASSPHRASE,
    Service,
    account,
    files_of_parties,
    own_book_files,
    revoking,
    running,
    signers,
    snapshot,
    trust,
)
from test_service_commands import KEY

from zkmargin.cli.serve_orders import EVENTS
from zkmargin.client import Coverage
from zkmargin.client.checking import check_coverage
from zkmargin.client.documents import EventKind
from zkmargin.client.tokens import token_digest
from zkmargin.crypto.keys import PublicKey
from zkmargin.formats import InputError, VerificationError, load_document, save_document
from zkmargin.verifier.attest import Revocations

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "data" / "golden" / "service" / "golden.coverage.json"
HOOK = "http://127.0.0.1:9/hook"


CUSTODIANS: JsonObject = {"name": "custodian", "signers": ["custodian"], "threshold": 1, "max_age_seconds": 3600}


def of_schema(name: str, value: JsonObject) -> JsonObject:
    schema = json.loads((ROOT / "docs" / "output.schema.json").read_text())
    jsonschema.validate(value, schema, jsonschema.Draft202012Validator)
    jsonschema.validate(value, {"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
    return value


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.chdir(tmp_path)
    with running(tmp_path / "service", own_trust=trust(revocations=[CUSTODIANS])) as one:
        one.issue("publisher", "publisher")
        with one.client("publisher") as publisher:  # before anything that is signed is believed
            publisher.revoke(revoking())
        one.settle_in("maker")
        save_document(revoking(), tmp_path / "none-revoked.json")
        files_of_parties(tmp_path)
        for name, token in one.tokens.items():
            (tmp_path / f"{name}.token").write_text(token + "\n")
            (tmp_path / f"{name}.token").chmod(0o600)
        yield one


@pytest.mark.slow
def test_proved_by_hand_and_verified_again_by_who_was_not_there(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(capsys)
    maker, auditor = (["--url", service.url, "--token-file", f"{name}.token"] for name in ("maker", "auditor"))
    own_book_files(tmp_path)
    # the maker: a challenge, a proof, a bundle, a receipt
    asked = run(["serve", "challenge", "--account", "maker", *maker, "-o", "challenge.json", "--json"]).json
    of_schema("serve challenge", asked)
    run(["serve", "challenge", "--account", "other", *maker, "-o", "x.json"], code=2)
    run(["serve", "challenge", *maker, "-o", "x.json"], code=2)
    about = "--snapshot snapshot.json --challenge challenge.json"
    run(f"prove {about} --book book.json --opening opening.json -o proof.bin")
    run(f"bundle proof.bin {about} --commitment commitment.json -o bundle.json")
    done = run(["serve", "submit", "bundle.json", *maker, "-o", "receipt.json", "--json"]).json
    of_schema("serve submit", done)
    again = run(["serve", "submit", "bundle.json", *maker, "-o", "again.json"])  # its answer was lost, say
    assert done["statement"] in again.out
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "receipt.json").read_bytes()
    # the auditor: which proofs, all around one, and the service's word for the time
    (line,) = of_schema("serve proofs", run(["serve", "proofs", "--account", "maker", *auditor, "--json"]).json)[
        "items"
    ]
    assert line["statement"] == done["statement"]
    assert done["statement"] in run(["serve", "proofs", "--account", "maker", *auditor]).out
    assert run(["serve", "proofs", "--account", "maker", "--refused", *auditor, "--json"]).json["items"] == []
    run(["serve", "evidence", line["statement"], *auditor, "-o", "evidence.json"])
    run(["serve", "evidence", "00" * 32, *auditor, "-o", "none.json"], code=2)
    accepted = run(
        ["verify", "--bundle", "evidence.json", "--trust", "service/trust.json", "--revocations", "none-revoked.json"],
        code=1,
    )
    assert "challenge" in accepted.err  # a bundle's own challenge is no authority: the auditor gives it
    given = ["--trust", "service/trust.json", "--challenge", "challenge.json", "--revocations", "none-revoked.json"]
    assert run(["verify", "--bundle", "evidence.json", *given, "--json"]).json["accepted"] is True
    asked = ["--account", "maker", "--series", "main", "--from", snapshot().time, "--to", snapshot().time]
    said = run(["serve", "coverage", *asked, *auditor, "-o", "coverage.json"])
    assert "proven at every one of 1 snapshot of 'main'" in said.err
    check = ["serve", "verify-coverage", "coverage.json"]
    save_document(signers()["desk"].public, tmp_path / "desk.public.json")
    facts = run([*check, "--trust", "service/trust.json", "--complete", "--max-gap", "1s", "--json"]).json
    of_schema("serve verify-coverage", facts)
    assert (facts["complete"], facts["except"], facts["proven"]) == (True, [], 1)
    assert "signed by" in run([*check, "--key", "desk.public.json"]).out


@pytest.mark.slow
def test_what_people_ask_and_order(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys)
    at = ["--url", service.url]
    operator, maker = ([*at, "--token-file", f"{name}.token"] for name in ("operator", "maker"))
    run(["serve", "token", *at, *KEY, "--name", "x", "--role", "venue", "-o", "exchange.token"], code=2)
    named = ["--name", "exchange", "--role", "venue", "--venue", "exchange"]
    run(["serve", "token", *at, *KEY, *named, "-o", "exchange.token"])
    exchange = [*at, "--token-file", "exchange.token"]
    run(["serve", "challenge", "--venue", "exchange", *exchange, "-o", "venue-challenge.json"])
    run(["serve", "challenge", "--venue", "other", *exchange, "-o", "x.json"], code=2)
    (own,) = of_schema("serve tokens", run(["serve", "tokens", *maker, "--json"]).json)["tokens"]
    assert own["digest"] == token_digest(service.tokens["maker"])
    listed = run(["serve", "tokens", *operator]).out
    assert "'exchange': venue of 'exchange'" in listed
    # webhooks
    run(["serve", "set-webhook", HOOK, "--account", "maker", "--event", "state", *at, *KEY])
    run(["serve", "set-webhook", "nonsense", *at, *KEY], code=2)
    (hook,) = of_schema("serve webhooks", run(["serve", "webhooks", *maker, "--json"]).json)["webhooks"]
    assert (hook["url"], hook["events"]) == (HOOK, ["state"])
    assert f"{HOOK}: state of 'maker'; taken up to" in run(["serve", "webhooks", *operator]).out
    removed = run(["serve", "remove-webhook", HOOK, "--account", "maker", *at, *KEY, "--json"]).json
    of_schema("serve order", removed)
    assert run(["serve", "webhooks", *operator, "--json"]).json["webhooks"] == []
    # lists of revocations, parts, accounts, tokens
    (_, collateral) = account("maker").attestations()
    save_document(revoking(collateral), tmp_path / "revocations.json")
    assert (
        "number 2 of 'custodian'"
        in run(["serve", "revoke", "revocations.json", *at, "--token-file", "publisher.token"]).out
    )
    assert "'custodian': number 2" in run(["serve", "revocations", *maker]).out
    lists = run(["serve", "revocations", *maker, "--json"]).json["revocations"]
    assert lists == [load_document(Revocations, "revocations.json").to_json()]
    part = ["--account", "maker", "--role", "collateral", "--issuer", "custodian"]
    assert "withdrawn" in run(["serve", "withdraw", *part, *at, *KEY]).out
    assert "no such part" in run(["serve", "withdraw", *part, *at, *KEY], code=2).err
    assert "'maker': closed" in run(["serve", "close", "--account", "maker", *at, *KEY]).out
    assert "closed" in run(["serve", "roster", *operator]).out
    assert "revoked" in run(["serve", "revoke-token", "--token", "maker.token", *at, *KEY]).out
    run(["serve", "revoke-token", *at, *KEY], code=2)
    run(["serve", "tokens", *maker], code=2)
    # all of it is in the audit log
    lines = of_schema("serve audit", run(["serve", "audit", *operator, "--json"]).json)["items"]
    done = {line["action"] for line in lines if line["outcome"] == "done"}
    assert done >= {"set-webhook", "remove-webhook", "withdraw-part", "close-account", "revoke-token", "revoke"}
    first = run(["serve", "audit", "--limit", "1", *operator])
    assert "more: --before" in first.err
    for secret in (*service.tokens.values(), PASSPHRASE):
        assert secret not in json.dumps(lines)


# Coverage statements without a service


def test_whose_word_a_statement_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(capsys)
    monkeypatch.chdir(tmp_path)
    coverage = load_document(Coverage, GOLDEN)
    (signature,) = coverage.signatures
    desk = PublicKey(name="desk", scheme=signature.scheme, public_key=signature.public_keys[0])
    save_document(desk, tmp_path / "desk.json")
    save_document(signers()["venue"].public, tmp_path / "other.json")
    said = run(["serve", "verify-coverage", GOLDEN, "--key", "desk.json"]).out
    assert (
        "'market maker': proven at 1 of 2 snapshots of 'main' from 2026-01-02T03:04:05Z to 2026-01-02T03:05:05Z" in said
    )
    assert "largest gap 60 s" in said
    assert "except number 8 of 2026-01-02T03:04:10Z" in said
    for demand in (["--complete"], ["--max-gap", "59s"]):
        run(["serve", "verify-coverage", GOLDEN, "--key", "desk.json", *demand], code=1)
    run(["serve", "verify-coverage", GOLDEN, "--key", "desk.json", "--max-gap", "60s"])
    assert "not signed by anyone" in run(["serve", "verify-coverage", GOLDEN, "--key", "other.json"], code=1).err
    run(["serve", "verify-coverage", GOLDEN], code=2)
    assert "zkmargin serve coverage" in run(["serve", "verify-coverage", "none.json", "--key", "desk.json"], code=2).err


def altered(path: tuple[str | int, ...], value: object) -> JsonObject:
    found: JsonObject = json.loads(GOLDEN.read_text())
    at: Json = found["payload"]
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return found


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        (("account",), "another", VerificationError),
        (("service",), "another", VerificationError),
        (("series",), "other", VerificationError),
        (("trust",), "77" * 32, VerificationError),
        (("time",), "2026-01-03T03:05:06Z", VerificationError),
        (("head",), "77" * 32, VerificationError),
        (("head_number",), 43, VerificationError),
        (("terms", "ratio"), "1/1", VerificationError),
        (("terms", "limits"), [], VerificationError),
        (("terms", "period_seconds"), 61, VerificationError),
        (("snapshots", 0, "statement"), "77" * 32, VerificationError),
        (("snapshots", 1, "snapshot"), "77" * 32, VerificationError),
        (("snapshots", 1, "sequence"), 9, VerificationError),
        (("snapshots", 1, "time"), "2026-01-02T03:04:11Z", VerificationError),
        (("snapshots", 1, "statement"), "77" * 32, InputError),  # then the numbers are others too
        (("proven",), 2, InputError),
        (("largest_gap_ms",), 59_999, InputError),
        (("end",), "2026-01-02T03:05:04Z", InputError),
        (("begin",), "2026-01-02T03:04:04Z", VerificationError),
        (("note",), "trust me", InputError),
    ],
)
def test_nothing_of_a_statement_can_be_altered(
    path: tuple[str | int, ...], value: object, error: type[Exception]
) -> None:
    (signature,) = load_document(Coverage, GOLDEN).signatures
    desk = PublicKey(name="desk", scheme=signature.scheme, public_key=signature.public_keys[0])
    with pytest.raises(error):
        check_coverage(Coverage.parse(json.dumps(altered(path, value))), keys=[desk])


def test_a_statement_under_a_trust_file_counts_by_its_rules() -> None:
    desk, golden = signers()["desk"], load_document(Coverage, GOLDEN)
    mine = trust()
    good = golden.payload.model_copy(update={"service": mine.verifier, "trust": mine.digest().hex()})
    assert check_coverage(Coverage(payload=good).signed(desk), trust=mine).name == "desk"
    wrong = {
        "another trust file": Coverage(payload=good.model_copy(update={"trust": "77" * 32})).signed(desk),
        "one signature": Coverage(payload=good.model_copy(update={"service": "another"})).signed(desk),
        "not signed by anyone": Coverage(payload=good).signed(signers()["oracle"]),  # trusted, but not for receipts
        "signed by anyone": Coverage(payload=good),
        "not over this": Coverage(payload=good, signatures=Coverage(payload=golden.payload).signed(desk).signatures),
    }
    for words, coverage in wrong.items():
        with pytest.raises(VerificationError, match=words):
            check_coverage(coverage, trust=mine)
    rule = {"name": mine.verifier, "signers": ["desk", "venue"], "threshold": 2}
    both = trust(receipts=[rule])
    payload = good.model_copy(update={"trust": both.digest().hex()})
    with pytest.raises(VerificationError, match="one signature"):
        check_coverage(Coverage(payload=payload).signed(desk), trust=both)


def test_kinds_of_events_are_those_of_the_documents() -> None:
    assert get_args(EventKind) == EVENTS


def test_inspect_says_what_services_and_callers_exchange(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys)
    for name, words in {
        "golden.coverage.json": "a coverage statement",
        "golden.submission.json": "a submission",
        "token.change.json": "a change",
        "state.event.json": "an event",
    }.items():
        facts = run(["inspect", GOLDEN.with_name(name), "--json"]).json
        assert facts["what"].startswith(words)
        assert all(one["verifies"] for one in facts.get("signatures", ()))
