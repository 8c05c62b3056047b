"""Commands believe a service no more than they must: no token in clear, orders for who is named, receipts checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from support.command_line import Run
from support.venue_service import NAME, PASSPHRASE, signers
from test_watch_answers import DOCUMENTS, Venue, receipt

import zkmargin.crypto.keys
from zkmargin.app.evidence import Evidence
from zkmargin.cli import serve_asks
from zkmargin.client import Change
from zkmargin.client.checking import check_receipt
from zkmargin.client.tokens import new_token
from zkmargin.client.venue import VenueClient
from zkmargin.crypto.keys import SecretKey
from zkmargin.formats import InputError, VerificationError, load_document, save_document, write_atomic
from zkmargin.verifier.attest import Receipt

FAR = "http://venue.example:8420"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    write_atomic(tmp_path / "maker.token", f"{new_token()}\n".encode(), secret=True)
    return Run(capsys)


@pytest.fixture
def venue() -> Iterator[Venue]:
    one = Venue()
    yield one
    one.close()


def operator_key() -> list[str]:
    with patch.object(zkmargin.crypto.keys, "SCRYPT_LOG_N", 14):  # the least work that the format permits
        key = SecretKey.encrypt(signers()["operator"]._secret, "operator", "ed25519", PASSPHRASE)
    save_document(key, Path("operator.key.json"))
    write_atomic(Path("passphrase"), f"{PASSPHRASE}\n".encode(), secret=True)
    return ["--key", "operator.key.json", "--passphrase-file", "passphrase"]


def test_no_command_calls_another_machine_in_clear(run: Run) -> None:
    key = operator_key()
    asked = run(["serve", "roster", "--url", FAR, "--token-file", "maker.token"], code=2)
    ordered = run(["serve", "close", "--url", FAR, "--service", NAME, "--account", "maker", *key], code=2)
    for done in (asked, ordered):
        assert "url: http to another machine can be read and changed on the way: use https" in done.err
    for url, reason in (
        (FAR, "use https"),
        ("http://127.0.0.1.venue.example", "use https"),
        ("https://me:secret@venue.example", "a user or password"),
        ("ftp://venue.example", "not a URL"),
        ("https://", "not a URL"),
        ("venue.example", "not a URL"),
        ("http://[::1", "not a URL"),
    ):
        with pytest.raises(InputError, match=reason):
            VenueClient(url)
    for url in ("https://venue.example", "http://127.0.0.1:9", "http://localhost", "http://[::1]:9"):
        VenueClient(url).close()


def test_an_order_is_signed_for_who_is_named_whoever_answers(
    run: Run, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Change] = []

    def change(_self: VenueClient, order: Change) -> dict[str, object]:
        taken.append(order)
        return {"action": "close-account", "sequence": order.payload.sequence}

    monkeypatch.setattr(VenueClient, "change", change)
    order = ["serve", "close", "--url", venue.url, "--account", "maker", *operator_key()]
    assert "--service" in run(order, code=2).err
    run([*order, "--service", "our own"])
    (signed,) = taken
    assert signed.payload.service == "our own"  # the port calls itself otherwise
    assert signed.signatures[0].verifies(signed.message)
    assert venue.asked == []


def test_a_receipt_is_written_where_it_is_of_what_was_submitted_and_of_the_service(
    run: Run, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_asks, "_warn_of_less", lambda *_: None)
    shutil.copy(DOCUMENTS / "answer.evidence.json", "bundle.json")
    save_document(signers()["desk"].public, Path("desk.public.json"))
    statement = serve_asks._statement_of(load_document(Evidence, Path("bundle.json")))
    submit = ["serve", "submit", "bundle.json", "--url", venue.url, "--token-file", "maker.token", "-o", "receipt.json"]
    keyed = [*submit, "--receipt-key", "desk.public.json"]
    fault = b'{"error": {"type": "AlreadyAccepted", "message": "was accepted", "exit_code": 1, "check": "replay"}, '
    for says, command, reason in (
        ((201, "application/json", receipt()), submit, "another statement"),
        ((201, "application/json", receipt(None, statement=statement)), keyed, "not signed by anyone"),
        ((201, "application/json", receipt("maker", statement=statement)), keyed, "not signed by anyone"),
    ):
        venue.says = says
        assert reason in run(command, code=1).err
        assert not Path("receipt.json").exists()
    venue.says = (201, "application/json", receipt(statement=statement))
    run(keyed)
    assert load_document(Receipt, Path("receipt.json")).payload.statement == statement
    # "it was accepted": the receipt of another statement is not asked for
    venue.says = (409, "application/json", fault + b'"statement": "' + b"ab" * 32 + b'"}')
    run(keyed, code=1)
    assert venue.asked[-1] == f"/v1/receipts/{statement}"


def test_a_changed_receipt_is_not_the_services() -> None:
    good = Receipt.parse(receipt())
    statement, desk = good.payload.statement, signers()["desk"].public
    check_receipt(good, statement, key=desk)
    changed = good.replaced(payload=good.payload.replaced(time="2026-01-02T03:04:06Z"))
    with pytest.raises(VerificationError, match="not over this"):
        check_receipt(changed, statement, key=desk)
