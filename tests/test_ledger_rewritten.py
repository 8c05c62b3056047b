"""A ledger without a key whose host rewrites all of it: columns, documents, records, chain.

Whatever it changes is found, or stands in the list of what nothing protects.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support import parties
from support.parties import World
from support.rewritten import (
    REMOVED,
    as_they_are,
    column_edited,
    rewrite,
    saying,
    signed_by,
    with_document,
    without_document,
)
from support.typed import JsonObject, Passed

from zkmargin.app.ledgers import check_ledger
from zkmargin.cli import main
from zkmargin.engine.decimals import format_time
from zkmargin.formats import InputError, VerificationError, save_document
from zkmargin.ledger import Ledger, chain, tables
from zkmargin.ledger.audit import _Expected
from zkmargin.ledger.chain import Record
from zkmargin.verifier.attest import Receipt, Revocations, RevocationsPayload, Trust, accept

#: Filled from records; ``meta``, ``documents`` and ``records`` themselves are below, and in test_ledger_audit.py.
FILLED = (tables.proofs, tables.parts, tables.attestations, tables.streams, tables.challenges, tables.signed)


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


def written(world: World, path: Path, trust: Trust) -> Path:
    """One of everything, and two numbers of one series."""
    with Ledger(path) as ledger:
        ledger.issue(world.challenge)
        taken = accept(
            world.statement, world.proof, now_ms=parties.NOW, trust=trust, attestations=world.attestations(),
            challenge=world.challenge, known=ledger,
        )  # fmt: skip
        ledger.record(taken, taken.receipt(software="test").signed(parties.signer("desk key", "ed25519")))
        ledger.see(world.attest("venue A", sequence=5), trust)
        ledger.sign(world.attest("venue A"), holding="sub-account 17")
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    """Its trust file names nobody for receipts."""
    return written(world, tmp_path_factory.mktemp("kept") / "ledger.db", parties.trust())


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    """Its trust file names the key of its receipts."""
    rule = {"name": parties.DESK, "signers": ["desk key"], "threshold": 1}
    keys = [*parties.trust_json()["keys"], parties.signer("desk key", "ed25519").public.model_dump(mode="json")]
    trust = parties.trust(receipts=[rule], keys=keys)
    return written(world, tmp_path_factory.mktemp("bound") / "ledger.db", trust)


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(kept, tmp_path / "copy.db"))


def checked(path: Path) -> JsonObject:
    with Ledger(path, read_only=True) as ledger:
        return check_ledger(ledger)


def reasons(path: Path) -> str:
    return " | ".join(item["reason"] for item in checked(path)["bad"])


def accepted(path: Path) -> JsonObject:
    with Ledger(path, read_only=True) as ledger, ledger.database.engine.connect() as connection:
        return next(record.body for record in chain.read(connection) if record.kind == "accepted")


def test_a_chain_that_is_written_anew_as_it_was(copy: Path, bound: Path) -> None:
    """What the tests below change is all that they change."""
    rewrite(copy, as_they_are)
    facts = checked(copy)
    assert (facts["bad"], facts["verified"]) == ([], 1)
    assert any("proofs.accepted_ms" in line and "1 of 1 proofs" in line for line in facts["unprotected"])
    facts = checked(bound)
    assert (facts["bad"], facts["verified"]) == ([], 1)
    assert not any("proofs.accepted_ms" in line for line in facts["unprotected"])


# Columns


def columns() -> Iterator[tuple[str, str]]:
    for table in FILLED:
        for column in table.columns:
            yield table.name, column.name


@pytest.mark.parametrize(("table", "column"), sorted(columns()))
def test_t7_a_column_that_is_edited_with_its_records_is_found(copy: Path, table: str, column: str) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        query = f'SELECT "{column}" FROM "{table}" ORDER BY "{column}" IS NULL LIMIT 1'  # noqa: S608
        (value,) = connection.execute(query).fetchone()
    if isinstance(value, bytes):
        other: Passed = value[:-1] + bytes([value[-1] ^ 1])
    elif isinstance(value, int):
        other = value + 1_000_003
    elif len(value) == 64:
        other = ("0" if value[0] != "0" else "1") + value[1:]
    else:
        other = "altered"
    column_edited(copy, table, column, value, other)
    facts = checked(copy)
    assert facts["bad"] or any(f"{table}.{column}" in line for line in facts["unprotected"])


@pytest.mark.parametrize(
    ("table", "column", "old", "new"),
    [
        ("streams", "sequence", 5, 2),  # a superseded attestation would count again
        ("streams", "payload", None, "22" * 32),
        ("challenges", "deadline_ms", None, 1),
        ("signed", "sequence", 3, 1),
        ("signed", "payload", None, "11" * 32),
        ("signed", "stream", None, '["commitment","venue A","positions","bob","main"]'),
        ("signed", "account", None, "bob"),  # the same record would be signed for two accounts
        ("signed", "content", None, "00" * 32),
        ("signed", "content", None, None),
    ],
)
def test_t7_what_a_record_says_of_its_document_follows_from_it(
    copy: Path, table: str, column: str, old: Passed, new: Passed
) -> None:
    if old is None:
        with closing(sqlite3.connect(copy)) as connection:
            query = f'SELECT "{column}" FROM "{table}" ORDER BY rowid DESC LIMIT 1'  # noqa: S608
            (old,) = connection.execute(query).fetchone()
    column_edited(copy, table, column, old, new)
    assert f"its {column} is not that of the document that it names" in reasons(copy)


def test_t7_the_name_of_a_holding_is_known_to_the_attester_alone(copy: Path) -> None:
    for change in (saying("signed", holding=REMOVED), saying("signed", holding="another")):
        rewrite(copy, change)
        facts = checked(copy)
        assert facts["bad"] == []
        assert any("holding" in line for line in facts["unprotected"])
    rewrite(copy, saying("signed", holding=17))
    assert "its holding is not that of" in reasons(copy)


def test_t7_what_no_record_of_its_kind_says(copy: Path) -> None:
    """Every member of an accepted proof's record is derived; one more or less is no record of one."""
    rewrite(copy, saying("accepted", commitments=[]))
    assert "its commitments is not that of its proof and documents" in reasons(copy)
    rewrite(copy, saying("accepted", commitments=REMOVED, policy_rule="00" * 32))
    assert "its policy_rule is not that of its proof and documents" in reasons(copy)
    rewrite(copy, saying("accepted", policy_rule=REMOVED, limits="[ ]"), ("UPDATE proofs SET limits = '[ ]'", ()))
    assert reasons(copy)
    rewrite(copy, saying("seen", note=1))
    assert "its note is not that of the document" in reasons(copy)


# Records


def test_t7_the_times_of_records_are_the_host_s(copy: Path) -> None:
    rewrite(copy, lambda record: [replace(record, time_ms=1)])
    facts = checked(copy)
    assert facts["bad"] == []
    assert any("records.time_ms" in line for line in facts["unprotected"])


def test_t7_a_record_of_another_kind(copy: Path) -> None:
    rewrite(copy, lambda record: [replace(record, kind="seen") if record.kind == "signed" else record])
    assert reasons(copy)


def test_t7_a_signature_of_another_record(copy: Path, world: World, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with Ledger(other, signer=parties.signer("desk key", "ed25519")) as ledger:
        ledger.issue(world.challenge.replaced(nonce="66" * 32))
        with ledger.database.engine.connect() as connection:
            (record,) = chain.read(connection)
    assert record.signature is not None
    signed_by(copy, 1, json.dumps(record.signature.model_dump(mode="json")))
    assert "its signature does not verify" in reasons(copy)


def test_t7_a_number_of_a_series_that_goes_back(copy: Path) -> None:
    """What was seen before is seen again, after what superseded it."""
    olds: list[Record] = []

    def again(record: Record) -> list[Record]:
        if record.kind == "seen" and "venue A" in record.body["stream"]:
            olds.append(record)
        return [record, olds[0]] if record.kind == "signed" else [record]

    rewrite(copy, again)
    (old, new) = [record.body for record in olds]
    with closing(sqlite3.connect(copy)) as connection:
        row = (old["sequence"], old["payload"], old["attestation"], new["attestation"])
        connection.execute("UPDATE streams SET sequence = ?, payload = ?, attestation = ? WHERE attestation = ?", row)
        connection.commit()
    assert "says something else than its kind" in reasons(copy)


def test_t7_attestations_of_a_proof_that_nobody_saw(copy: Path) -> None:
    def change(record: Record) -> list[Record]:
        return [] if record.kind == "seen" and "venue B" in record.body["stream"] else [record]

    rewrite(copy, change, ("DELETE FROM streams WHERE stream LIKE '%venue B%'", ()))
    assert reasons(copy) == "no record says that its attestations were seen"


def test_t7_attestations_beside_no_trust_file(copy: Path) -> None:
    """The trust file, the receipt and who attested which part taken away."""
    body = accepted(copy)
    parts = [[role, alias, None] for role, alias, _ in body["parts"]]
    gone = [without_document(body[name]) for name in ("trust", "receipt")]
    columns = ("UPDATE proofs SET trust = NULL, receipt = NULL", ()), ("UPDATE parts SET attestation = NULL", ())
    rewrite(copy, saying("accepted", trust=None, receipt=None, parts=parts), *gone, *columns)
    assert reasons(copy) == "its attestations is not that of its proof and documents"


def test_t7_an_answer_after_the_deadline(copy: Path) -> None:
    body, late = accepted(copy), parties.NOW + 60_000
    columns = ("UPDATE proofs SET accepted_ms = ?, receipt = NULL", (late,))
    rewrite(copy, saying("accepted", accepted_ms=late, receipt=None), without_document(body["receipt"]), columns)
    assert "deadline has passed" in reasons(copy)


# Receipts


def replaced(path: Path, made: Callable[[Receipt], Receipt], accepted_ms: int) -> None:
    """Another receipt, and another time of acceptance."""
    digest = accepted(path)["receipt"]
    with Ledger(path, read_only=True) as ledger:
        receipt = made(ledger.document(Receipt, digest))
    name = receipt.digest().hex()
    columns = ("UPDATE proofs SET accepted_ms = ?, receipt = ?", (accepted_ms, name))
    change = saying("accepted", accepted_ms=accepted_ms, receipt=name)
    rewrite(path, change, without_document(digest), with_document(receipt), columns)


def of_time(receipt: Receipt, time_ms: int) -> Receipt:
    payload = receipt.payload.replaced(time=format_time(time_ms))
    return Receipt(payload=payload, format=receipt.format)


def test_t7_a_receipt_by_a_stranger_does_not_count(copy: Path, bound: Path, tmp_path: Path) -> None:
    """Of another time, signed by a key that nobody named."""
    stranger, earlier = parties.signer("stranger", "ed25519"), parties.NOW - 3000
    moved = Path(shutil.copy(bound, tmp_path / "bound.db"))
    replaced(moved, lambda receipt: of_time(receipt, earlier).signed(stranger), earlier)
    assert "by a key that is not trusted for this" in reasons(moved)
    replaced(copy, lambda receipt: of_time(receipt, earlier).signed(stranger), earlier)
    facts = checked(copy)
    assert facts["bad"] == []  # its trust file names nobody
    assert any("proofs.accepted_ms" in line for line in facts["unprotected"])


def test_t7_a_receipt_without_a_signature_binds_nothing(bound: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copy(bound, tmp_path / "bound.db"))
    replaced(moved, lambda receipt: of_time(receipt, parties.NOW - 3000), parties.NOW - 3000)
    facts = checked(moved)
    assert facts["bad"] == []
    assert any("proofs.accepted_ms" in line and "1 of 1" in line for line in facts["unprotected"])


def test_t7_a_receipt_with_the_signature_of_another(copy: Path) -> None:
    earlier = parties.NOW - 3000

    def made(receipt: Receipt) -> Receipt:
        return of_time(receipt, earlier).replaced(signatures=receipt.signatures)

    replaced(copy, made, earlier)
    assert reasons(copy) == "the signature of its receipt does not verify"


def test_t7_a_receipt_of_something_else(copy: Path) -> None:
    def made(receipt: Receipt) -> Receipt:
        return Receipt(payload=receipt.payload.replaced(requirement="maintenance"), format=receipt.format)

    replaced(copy, made, parties.NOW)
    assert reasons(copy) == "its receipt says otherwise: requirement"


def test_t7_records_that_answer_or_accept_twice(copy: Path) -> None:
    """The keys of the tables forbid it, but whoever can write a database can make a table without keys."""
    with Ledger(copy, read_only=True) as ledger, ledger.database.engine.connect() as connection:
        found = list(chain.read(connection))
    (issued,) = [record for record in found if record.kind == "issued"]
    (answer,) = [record for record in found if record.kind == "accepted"]
    free = replace(answer, body=answer.body | {"challenge": None})
    other = replace(answer, body=answer.body | {"statement": "00" * 32})
    for records in ((issued, issued), (free, free), (issued, answer, other)):
        expected = _Expected()
        for record in records[:-1]:
            expected.add(record)
        with pytest.raises(InputError, match="says something else than its kind"):
            expected.add(records[-1])


# What is seen without a proof


def test_what_is_revoked_is_not_taken_for_the_newest(
    tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ledger see` asks for the lists of revocations that a trust file names, and keeps them."""
    rule = {"name": "venue A", "signers": ["venue A"], "threshold": 1, "max_age_seconds": 600}
    trust, newer = parties.trust(revocations=[rule]), world.attest("venue A", sequence=9)

    def listed(sequence: int, *attestations: str) -> Revocations:
        time = format_time(parties.NOW)
        given = {"time": time, "attestations": [{"payload": digest} for digest in attestations]}
        payload = RevocationsPayload.model_validate({"issuer": "venue A", "sequence": sequence, **given})
        return Revocations(payload=payload).signed(parties.signer_of("venue A"))

    none, revoking = listed(1), listed(2, newer.payload_digest.hex())
    with Ledger(tmp_path / "ledger.db") as ledger:
        for lists, reason in (((), "no list of revocations by 'venue A'"), ((revoking,), "the attestation is revoked")):
            with pytest.raises(VerificationError, match=reason):
                ledger.see(newer, trust, revocations=lists, now_ms=parties.NOW)
        assert ledger.counts()["streams"] == 0
        assert ledger.see(newer, trust, revocations=[none], now_ms=parties.NOW).signers == ("venue A",)
        assert ledger.counts()["streams"] == 2
        assert check_ledger(ledger)["bad"] == []
    for name, document in (("newer", newer), ("trust", trust), ("none", none)):
        save_document(document, tmp_path / f"{name}.json")
    words = ["ledger", "see", str(tmp_path / "newer.json"), "--trust", str(tmp_path / "trust.json")]
    words += ["--ledger", str(tmp_path / "cli.db"), "--revocations", str(tmp_path / "none.json")]
    assert main(words) == 1
    assert "number 1 of the revocations by 'venue A' is" in capsys.readouterr().err  # old: its clock is this machine's
