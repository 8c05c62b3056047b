"""A ledger that is somebody else's, or not there; and one that was edited: every column, record and document."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import parties
from support.parties import World
from support.typed import Keywords, Passed

from zkmargin.app.evidence import Evidence
from zkmargin.app.ledgers import check_ledger, export, status_facts
from zkmargin.cli import main
from zkmargin.cli.commands.ledger import status_lines
from zkmargin.formats import InputError, VerificationError
from zkmargin.ledger import Ledger, tables
from zkmargin.ledger.chain import GENESIS
from zkmargin.ledger.database import _url
from zkmargin.ledger.origin import rebuild
from zkmargin.verifier.attest import Acceptance, Attestation, Known, Memory, accept

FIRST = Path(__file__).parent / "data" / "golden" / "v1" / "documents" / "ledger.sql"


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


def acceptance(world: World, known: Known | None = None) -> Acceptance:
    return accept(
        world.statement, world.proof, now_ms=parties.NOW, trust=parties.trust(), attestations=world.attestations(),
        challenge=world.challenge, known=known,
    )  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    """A signed ledger with one of everything."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    key = parties.signer("desk key", "ed25519")
    with Ledger(path, signer=key) as ledger:
        ledger.issue(world.challenge)
        ledger.issue(world.challenge.model_copy(update={"nonce": "77" * 32}))
        taken = acceptance(world, ledger)
        ledger.record(taken, taken.receipt(software="test").signed(key))
        ledger.see(world.attest("venue A", sequence=4), parties.trust())
        ledger.sign(world.attest("venue A"))
    return path


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(kept, tmp_path / "copy.db"))


def findings(path: Path, **given: Passed) -> list[dict[str, str]]:
    with Ledger(path, read_only=True) as ledger:
        bad: list[dict[str, str]] = check_ledger(ledger, **given)["bad"]
        return bad


def edit(path: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            connection.execute(statement, values)
        connection.commit()


# What an audit finds


def test_a_ledger_as_it_was_written(kept: Path) -> None:
    key = parties.signer("desk key", "ed25519").public
    with Ledger(kept, read_only=True) as ledger:
        facts = check_ledger(ledger, key=key)
        assert (facts["verified"], facts["bad"], facts["unprotected"]) == (1, [], [])
        assert facts["records"] == facts["signed"] == 11
        assert ledger.head() == (11, facts["head"])
        assert "accepted_ms" in str(check_ledger(ledger)["unprotected"])


def columns() -> Iterator[tuple[str, str]]:
    for table in tables.metadata.sorted_tables:
        for column in table.columns:
            yield table.name, column.name


@pytest.mark.parametrize(("table", "column"), sorted(columns()))
def test_t7_every_column_that_is_edited_is_found(copy: Path, table: str, column: str) -> None:
    """Another value, of the right type where there is one, in one row of each column in turn."""
    with closing(sqlite3.connect(copy)) as connection:
        (value,) = connection.execute(f'SELECT "{column}" FROM "{table}" LIMIT 1').fetchone()  # noqa: S608
    if isinstance(value, bytes):
        other: Passed = value[:-1] + bytes([value[-1] ^ 1])
    elif isinstance(value, int):
        other = value + 1_000_003
    elif isinstance(value, str) and len(value) == 64:
        other = ("0" if value[0] != "0" else "1") + value[1:]
    else:
        other = "altered"
    edit(
        copy,
        f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = (SELECT rowid FROM "{table}" LIMIT 1)',  # noqa: S608
        values=(other,),
    )
    if table == "meta":  # the version itself
        with pytest.raises(InputError):
            findings(copy)
    else:
        assert findings(copy), (table, column)


@pytest.mark.parametrize("table", sorted(table.name for table in tables.metadata.sorted_tables))
def test_t7_every_row_that_is_removed_is_found(copy: Path, table: str) -> None:
    edit(copy, f'DELETE FROM "{table}" WHERE rowid = (SELECT rowid FROM "{table}" LIMIT 1)')  # noqa: S608
    if table == "meta":
        with pytest.raises(InputError):
            findings(copy)
    else:
        assert findings(copy), table


def test_t7_rows_and_records_that_are_inserted(copy: Path) -> None:
    edit(copy, "INSERT INTO streams SELECT 'x', sequence, payload, attestation FROM streams LIMIT 1")
    assert any("a row that no record gives" in item["reason"] for item in findings(copy))


def test_t7_a_row_that_is_there_twice(copy: Path) -> None:
    """In a table that was made anew without its primary key: `ledger status` would count it twice."""
    anew = ("CREATE TABLE anew AS SELECT * FROM parts", "DROP TABLE parts", "ALTER TABLE anew RENAME TO parts")
    edit(copy, *anew, "INSERT INTO parts SELECT * FROM parts WHERE place = 0")
    assert any("a row is there twice" in item["reason"] for item in findings(copy))


def test_t7_a_chain_that_is_cut_misses_its_head(copy: Path) -> None:
    with Ledger(copy, read_only=True) as ledger:
        _, head = ledger.head()
    edit(copy, "DELETE FROM records WHERE number = 11", "DELETE FROM signed")
    assert findings(copy) == []  # nothing in the file says that there was more
    assert any("the head that was noted is not in it" in item["reason"] for item in findings(copy, head=head))


def test_t7_a_chain_written_anew_lacks_the_key(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with Ledger(other) as ledger:
        ledger.issue(world.challenge)
        ledger.record(acceptance(world, ledger))
    assert findings(other) == []
    key = parties.signer("desk key", "ed25519").public
    assert any("is not signed with the ledger's key" in item["reason"] for item in findings(other, key=key))


def test_t7_the_time_of_a_receipt_binds_the_acceptance(copy: Path) -> None:
    """Records written anew around the documents: the receipt still says when."""
    from zkmargin.ledger import chain

    with Ledger(copy) as ledger, ledger._database.engine.begin() as connection:
        old = list(chain.read(connection))
        connection.execute(tables.records.delete())
        for record in old:
            body = record.body | ({"accepted_ms": record.body["accepted_ms"] + 1} if record.kind == "accepted" else {})
            chain.append(connection, record.kind, record.time_ms, body, None)
        connection.execute(tables.proofs.update().values(accepted_ms=tables.proofs.c.accepted_ms + 1))
    assert any("its receipt says otherwise" in item["reason"] for item in findings(copy))


@pytest.mark.parametrize(
    ("statement", "subject"),
    [
        ("CREATE TRIGGER back AFTER INSERT ON proofs BEGIN DELETE FROM streams; END", "trigger back"),
        ("CREATE VIEW shown AS SELECT * FROM proofs", "view shown"),
        ("CREATE TABLE customers (name TEXT)", "table customers"),
        ("ALTER TABLE parts ADD COLUMN note TEXT", "table parts"),
        ("INSERT INTO meta VALUES ('owner', 'somebody')", "meta"),
    ],
)
def test_t7_what_is_no_ledger_s_is_found(copy: Path, statement: str, subject: str) -> None:
    """It could change rows, or show others, behind the ledger's back."""
    edit(copy, statement)
    assert [item["subject"] for item in findings(copy)] == [subject]


def test_t7_a_document_that_no_record_names_is_found(copy: Path, world: World) -> None:
    stranger = world.attest("venue A", sequence=9)
    values = (stranger.digest().hex(), stranger.format, stranger.to_bytes())
    edit(copy, "INSERT INTO documents VALUES (?, ?, ?)", values=values)
    assert findings(copy) == [{"subject": f"document {values[0]}", "reason": "no record names it"}]


# What the snapshot was built from


@pytest.fixture
def sourced(tmp_path: Path, world: World) -> Path:
    """A ledger that keeps the market."""
    path = tmp_path / "sourced.db"
    with Ledger(path) as ledger:
        ledger.issue(world.challenge)
        taken = acceptance(world, ledger)
        ledger.record(taken, taken.receipt(software="test"), sources=[world.market])
    return path


def test_t16_a_market_that_is_kept_is_exported_and_rebuilt(sourced: Path, tmp_path: Path, world: World) -> None:
    assert findings(sourced) == []
    with Ledger(sourced, read_only=True) as ledger:
        (proof,) = export(ledger, str(tmp_path / "out"), statement=None, how=lambda _, files: files["source"]).proofs
    assert proof["verify"] == f"documents/market-{world.market.digest().hex()}.json"
    evidence = Evidence.parse((tmp_path / "out" / proof["files"]["evidence"]).read_bytes())
    assert evidence.source == world.market


def test_t16_another_market_is_neither_kept_nor_accepted(sourced: Path, tmp_path: Path, world: World) -> None:
    other = world.market.replaced(notes=("another",))
    with Ledger(tmp_path / "new.db") as ledger:
        ledger.issue(world.challenge)
        taken = acceptance(world, ledger)
        with pytest.raises(InputError, match="the snapshot was not built from it"):
            ledger.record(taken, sources=[other])
        with pytest.raises(InputError, match="the snapshot was not built from it"):
            ledger.record(taken, sources=[world.market, other])
    edit(sourced, "DELETE FROM documents WHERE format LIKE '%/market/%'")
    assert all("is not in the ledger" in item["reason"] for item in findings(sourced))
    assert len(findings(sourced)) == 2


def test_t16_a_snapshot_that_its_market_does_not_give_is_found(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that somebody wrote without asking: the market is the one named, the snapshot is not what it gives."""
    asked = []
    monkeypatch.setattr("zkmargin.ledger.origin.rebuild", lambda *given: asked.append(given))
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.issue(world.challenge)
        ledger.record(acceptance(world, ledger), sources=[world.market])
    assert findings(path) == []
    ((snapshot, sources),) = asked
    monkeypatch.undo()
    rebuild(snapshot, sources)
    with pytest.raises(InputError):
        rebuild(snapshot.replaced(name="another"), sources)


# Somebody else's, or not there


def test_t8_reading_creates_and_alters_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "mistyped.db"
    for line in ("status", "check", f"export {tmp_path / 'out'}"):
        assert main(["ledger", *line.split(), "--ledger", str(missing)]) == 2
        assert "there is no such ledger" in capsys.readouterr().err
        assert not missing.exists()
    other = tmp_path / "other.db"
    edit(other, "CREATE TABLE customers (name TEXT)")
    before = other.read_bytes()
    for command in ("status", "check"):
        assert main(["ledger", command, "--ledger", str(other)]) == 2
        assert "is a database of another program" in capsys.readouterr().err
    with pytest.raises(InputError, match="another program"):
        Ledger(other)
    assert other.read_bytes() == before
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(InputError, match="is no ledger: it is empty"):
        Ledger(empty, read_only=True)
    assert empty.stat().st_size == 0


def test_t8_a_ledger_that_may_only_be_read(kept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    path = Path(shutil.copy(kept, folder / "ledger.db"))
    path.chmod(0o400)
    folder.chmod(0o500)
    before = path.read_bytes()
    try:
        with Ledger(path, read_only=True) as ledger:
            assert check_ledger(ledger)["bad"] == []
            assert ledger.accounts()
            with pytest.raises(InputError, match=r"readonly|read-only"):
                ledger.issue(ledger.open_challenges()[0].model_copy(update={"nonce": "66" * 32}))
    finally:
        folder.chmod(0o700)
    assert path.read_bytes() == before
    assert [item.name for item in folder.iterdir()] == ["ledger.db"]


def test_t8_how_a_ledger_is_named() -> None:
    for written in ("postgres://u@h/d", "postgresql://u@h/d"):
        assert _url(written).drivername == "postgresql+psycopg"
    for written in ("file:ledger.db", "file:///x", "mysql://u@h/d", "sqlite://"):
        with pytest.raises(InputError) as caught:
            _url(written)
        assert caught.value.field == "ledger"


# Digests name files


def test_t9_a_digest_never_leads_outside_of_the_folder(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = tmp_path / "victim" / "target.bin"
    victim.parent.mkdir()
    victim.write_bytes(b"precious")
    edit(copy, "UPDATE proofs SET statement = '../../victim/target', proof = x'00'")
    with Ledger(copy, read_only=True) as ledger, pytest.raises(InputError, match="is damaged: no digest"):
        export(ledger, str(tmp_path / "archive"), statement=None, how=lambda *_: "")
    assert victim.read_bytes() == b"precious"
    edit(copy, "UPDATE proofs SET statement = ?", values=("\x1b]0;owned\x07\x1b[2J",))
    for command in ("status", "check"):
        main(["ledger", command, "--ledger", str(copy)])
        captured = capsys.readouterr()
        assert "\x1b" not in captured.out + captured.err


# Older versions


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A ledger that the release before wrote."""
    path = tmp_path / "first.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST.read_text("utf-8"))
    return path


def test_a_ledger_of_version_1_is_read_as_it_is(first: Path) -> None:
    before = first.read_bytes()
    with Ledger(first, read_only=True) as ledger:
        facts = check_ledger(ledger)
        assert (facts["schema"], facts["verified"], facts["bad"]) == ("zkmargin/ledger/v1", 2, [])
        assert "has no chain" in facts["unprotected"][0]
        assert ledger.head() == (0, GENESIS)
        assert [account.proofs for account in ledger.accounts()] == [2]
    assert first.read_bytes() == before


def test_a_version_that_is_set_back_takes_no_chain_away(copy: Path, first: Path) -> None:
    """Key and head hold for every version: else one edited text would make an audit pass over all records."""
    key = parties.signer("desk key", "ed25519").public
    with Ledger(copy, read_only=True) as ledger:
        _, head = ledger.head()
    back = "UPDATE meta SET value = 'zkmargin/ledger/v1' WHERE key = 'schema'"
    edit(copy, back, "UPDATE proofs SET accepted_ms = accepted_ms - 60000")
    assert any("its version was set back" in item["reason"] for item in findings(copy))
    edit(copy, "DROP TABLE records", "DROP TABLE signed")
    for ledger_of_version_1 in (copy, first):
        found = findings(ledger_of_version_1, key=key)
        assert any("no record is signed with the ledger's key" in item["reason"] for item in found)
        found = findings(ledger_of_version_1, head=head)
        assert any("the head that was noted is not in it" in item["reason"] for item in found)


def test_a_ledger_of_version_1_comes_forward_when_it_is_written_to(first: Path, world: World) -> None:
    with Ledger(first) as ledger:
        assert ledger.schema == tables.SCHEMA
        facts = check_ledger(ledger)
        assert (facts["verified"], facts["bad"], facts["records"]) == (2, [], 7)
        ledger.issue(world.challenge)
        assert ledger.head()[0] == 8
    with Ledger(first, read_only=True) as ledger:
        assert check_ledger(ledger)["bad"] == []
    edit(first, "UPDATE parts SET alias = 'somebody else'")
    assert findings(first)


# What an attester signed


def test_t10_an_attester_signs_one_thing_under_one_number(tmp_path: Path, world: World) -> None:
    def refused(ledger: Ledger, attestation: Attestation, reason: str) -> None:
        with pytest.raises(VerificationError, match=reason):
            ledger.sign(attestation)

    with Ledger(tmp_path / "attester.db") as ledger:
        ledger.sign(world.attest("venue A"))
        ledger.sign(world.attest("venue A"))  # the same again: nothing new
        refused(ledger, world.attest("venue A", expires="2026-01-02T06:00:00Z"), "something else was signed already")
        refused(ledger, world.attest("venue A", sequence=2), "number 3 was signed already")
        ledger.sign(world.attest("venue A", sequence=4, expires="2026-01-02T06:00:00Z"))
        refused(ledger, world.attest("venue A", account="another", sequence=1), "is not of two accounts")
        refused(ledger, world.attest("venue A", part="second", sequence=1), "part 'main': one record is not of two")
        ledger.sign(world.attest_snapshot())
        refused(ledger, world.attest_snapshot(time="2026-01-02T03:04:06Z"), "something else was signed already")
        assert check_ledger(ledger)["bad"] == []


def test_t10_one_holding_is_not_of_two_accounts_or_parts(tmp_path: Path, world: World) -> None:
    """Under fresh blinders the same book has other points: only the attester knows that it is the same."""
    first = world.attest("venue A")
    points: Keywords = {"points": world.commitment_payload("venue B").points, "sequence": 1}
    third = world.commitment_payload("venue C").points
    with Ledger(tmp_path / "attester.db") as ledger:
        ledger.sign(first, holding='d\u00e9p\u00f4t "17" 100%')
        for moved in ({"account": "another"}, {"part": "second"}):
            again = world.attest("venue A", **points, **moved)
            with pytest.raises(VerificationError, match=r"what you hold as .* one record is not of two accounts"):
                ledger.sign(again, holding='de\u0301po\u0302t "17" 100%')
        ledger.sign(world.attest("venue A", **points | {"sequence": 4}), holding='d\u00e9p\u00f4t "17" 100%')
        ledger.sign(world.attest("venue A", points=third, account="another", sequence=1), holding="17")
        assert check_ledger(ledger)["bad"] == []


# Memory is as strict


def test_t11_memory_accepts_nothing_twice_and_goes_back_nowhere(world: World) -> None:
    memory = Memory()
    one, two = acceptance(world, memory), acceptance(world, memory)
    memory.remember(one)
    with pytest.raises(VerificationError, match="replay"):
        memory.remember(two)

    def later(sequence: int) -> Acceptance:
        given = world.attestations(snapshot=world.attest_snapshot(sequence=sequence))
        return accept(world.statement, world.proof, now_ms=parties.NOW, trust=parties.trust(), attestations=given)

    memory = Memory()
    seven, eight = later(7), later(8)
    memory.remember(eight)
    with pytest.raises(VerificationError):
        memory.remember(seven)
    assert memory.newest(("snapshot", "main")) == eight.sightings["snapshot", "main"]
    memory = Memory(issued=set())
    with pytest.raises(VerificationError, match="was not issued"):
        acceptance(world, memory)


def test_fail_if_overdue(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["ledger", "status", "--ledger", str(kept), "--due-after", "1s"]
    assert main(line) == 0
    capsys.readouterr()
    assert main([*line, "--fail-if-overdue"]) == 1
    assert "overdue: 1 account and 1 challenge, " in capsys.readouterr().err
    assert main([*line, "--fail-if-overdue", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["accounts"][0]["overdue"]


@pytest.mark.parametrize(("ahead_ms", "overdue"), [(0, False), (60_000, False), (60_001, True), (86_400_000, True)])
def test_a_snapshot_of_the_future_has_no_age(kept: Path, ahead_ms: int, overdue: bool) -> None:
    with Ledger(kept, read_only=True) as ledger:
        (account,) = ledger.accounts()
        (facts,) = status_facts(ledger, now_ms=account.last.snapshot_ms - ahead_ms, due_seconds=10**9)["accounts"]
    assert facts["overdue"] is overdue
    last = list(status_lines({"accounts": [facts], "open_challenges": []}, "1h"))[3]
    assert ("OVERDUE: from the future" in last) is overdue
