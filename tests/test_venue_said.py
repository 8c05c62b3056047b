"""What the venue's commands say is what was checked, and no input that anybody can write gets past them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from py_arkworks_bls12381 import G1Point
from support.signing import OURS
from support.typed import Json
from support.venue_files import NAME, NONCE, prove, proved_venue, public

from zkmargin.accounts.openings import commit_book
from zkmargin.app.files import load, load_lots
from zkmargin.app.venue_accounts import load_accounts, load_nonces
from zkmargin.app.venue_dense import DenseBook, check_against_ledger, load_dense
from zkmargin.app.venue_log import append_to_log
from zkmargin.cli import main, venue_customers, venue_prove
from zkmargin.crypto import bls
from zkmargin.crypto.signatures import Signature
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Caution, InputError, VerificationError, save_document
from zkmargin.ledger import Ledger
from zkmargin.verifier.venue.customers import VenueNote, VenueRecord, record_of
from zkmargin.verifier.venue.log import VenueLog
from zkmargin.verifier.venue.proof import decode_venue_proof
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import DenseAccount, VenueTerms


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proved_venue(tmp_path_factory.mktemp("venue"))


def write(path: Path, content: Json | bytes) -> str:
    """A secret file."""
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(0o600)
    return str(path)


def note_command(venue: Path, *, proof: str, secret: str, out: list[str]) -> list[str]:
    given = [*public(venue, "snapshot", "terms"), "--accounts", str(venue / "books")]
    return ["venue", "note", *given, "--secret", secret, "--proof", proof, *out]


def check_command(venue: Path, note: str, record: str, *more: str) -> list[str]:
    own = ["--book", str(venue / "books" / f"{NAME}.json"), "--name", NAME, "--nonce", NONCE]
    return ["venue", "check-note", note, *public(venue, "snapshot", "terms"), "--record", record, *own, *more]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    return " ".join((out + err).split())


def statement_of(venue: Path) -> VenueStatement:
    return VenueStatement.of(load(Snapshot, str(venue / "snapshot.json")), load(VenueTerms, str(venue / "terms.json")))


@pytest.fixture(scope="module")
def invalid(venue: Path) -> Path:
    """One bit of a proof changed, with the record and the secret that a venue would show and keep with it."""
    statement = statement_of(venue)
    proof = bytearray((venue / "proof.bin").read_bytes())
    proof[-97] ^= 1  # in the last scalar; two points follow
    record = record_of(statement, decode_venue_proof(bytes(proof), statement))
    (venue / "invalid").mkdir()
    (venue / "invalid" / "proof.bin").write_bytes(proof)
    (venue / "invalid" / "record.json").write_bytes(record.to_bytes())
    kept = json.loads((venue / "secret.json").read_text())
    write(venue / "invalid" / "secret.json", kept | {"proof": record.proof})
    return venue / "invalid"


@pytest.mark.parametrize("out", [["--account", NAME, "-o", "note.json"], ["--all", "-o", "notes"]])
def test_no_note_is_made_about_an_invalid_proof(
    venue: Path, invalid: Path, tmp_path: Path, out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = [*out[:-1], str(tmp_path / out[-1])]
    command = note_command(venue, proof=str(invalid / "proof.bin"), secret=str(invalid / "secret.json"), out=out)
    assert main(command) == 1
    assert "proof.bin: rejected: the proof does not prove this statement" in said(capsys)
    assert not Path(out[-1]).exists()


@pytest.mark.parametrize("out", [["--account", NAME, "-o", "note.json"], ["--all", "-o", "notes"]])
def test_a_secret_with_another_seed_is_named(
    venue: Path, tmp_path: Path, out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads((venue / "secret.json").read_text())
    secret = write(tmp_path / "secret.json", kept | {"seed": "11" * (len(kept["seed"]) // 2)})
    out = [*out[:-1], str(tmp_path / out[-1])]
    assert main(note_command(venue, proof=str(venue / "proof.bin"), secret=secret, out=out)) == 2
    assert "secret.json: secret: has another seed than the proof was made with" in said(capsys)


def test_a_checked_note_says_proved_of_a_verified_proof_only(
    venue: Path, invalid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof, note = str(venue / "proof.bin"), str(tmp_path / "note.json")
    make = note_command(venue, proof=proof, secret=str(venue / "secret.json"), out=["--account", NAME, "-o", note])
    assert main(make) == 0
    true, false = str(venue / "record.json"), str(invalid / "record.json")
    capsys.readouterr()
    assert main(check_command(venue, note, true)) == 0
    unverified = said(capsys)
    assert "claimed of it: equity at least" in unverified
    assert "proved" not in unverified
    assert "NOT VERIFIED: whether the proof" in unverified
    assert main(check_command(venue, note, true, "--proof", proof)) == 0
    verified = said(capsys)
    assert "proved of it: equity at least" in verified
    assert "was verified: it holds" in verified
    assert "NOT VERIFIED" not in verified
    for more, known in (([], False), (["--proof", proof], True)):
        assert main(check_command(venue, note, true, *more, "--json")) == 0
        assert json.loads(capsys.readouterr().out)["proof_verified"] is known
    # another note of the block, which is the same in the invalid proof: it says so itself
    forged = json.loads(Path(note).read_text()) | {"proof": json.loads(Path(false).read_text())["proof"]}
    other = write(tmp_path / "forged.json", forged)
    assert main(check_command(venue, other, false)) == 0
    assert "proved" not in said(capsys)
    for wrong, reason in (
        (check_command(venue, other, false, "--proof", str(invalid / "proof.bin")), "the proof does not prove"),
        (check_command(venue, other, false, "--proof", proof), "not the one of the published record"),
    ):
        assert main(wrong) == 1
        assert reason in said(capsys)


@pytest.mark.parametrize("wrong", [{"dense": None}, {"dense": 3}, {"classes": 3}, {"classes": None}, {"classes": {}}])
def test_terms_with_anything_for_a_list_are_one_line(
    venue: Path, tmp_path: Path, wrong: dict[str, Json], capsys: pytest.CaptureFixture[str]
) -> None:
    terms = write(tmp_path / "terms.json", json.loads((venue / "terms.json").read_text()) | wrong)
    snapshot = public(venue, "snapshot")
    for command in (
        ["venue", "inspect", *snapshot, terms],
        ["inspect", terms],
        ["verify", *snapshot, "--terms", terms, str(venue / "proof.bin")],
    ):
        assert main(command) == 2
        text = said(capsys)
        assert f"terms.json:1: {next(iter(wrong))}" in text
        assert "defect" not in text


# --- one account, one commitment ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twice(venue: Path) -> list[DenseBook]:
    """One account by two commitments, under two names of files."""
    snapshot = load(Snapshot, str(venue / "snapshot.json"))
    lots = load_lots([str(venue / "books" / f"{NAME}.json")], snapshot)
    return [DenseBook(name, lots, commit_book(snapshot, lots, alias="maker")) for name in ("one", "other")]


def test_a_venue_cannot_prove_one_account_twice(venue: Path, twice: list[DenseBook], tmp_path: Path) -> None:
    snapshot = load(Snapshot, str(venue / "snapshot.json"))
    for account in twice:
        write(tmp_path / f"{account.name}.book.json", (venue / "books" / f"{NAME}.json").read_bytes())
        save_document(account.opening, tmp_path / f"{account.name}.opening.json")
    with pytest.raises(InputError, match="the alias 'maker', as that of 'one': it would count twice"):
        load_dense(str(tmp_path), snapshot)
    with Ledger(tmp_path / "ledger.db") as ledger, pytest.raises(InputError, match="it would count twice"):
        check_against_ledger(twice, ledger)
    (tmp_path / "other.opening.json").unlink()
    save_document(commit_book(snapshot, twice[1].lots, alias="another"), tmp_path / "other.opening.json")
    assert [account.name for account in load_dense(str(tmp_path), snapshot)] == ["one", "other"]


def test_nobody_verifies_a_proof_of_one_account_twice(
    venue: Path, twice: list[DenseBook], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commitments = [account.commitment for account in twice]
    dense = tuple(DenseAccount(commitment=commitment.digest().hex()) for commitment in commitments)
    terms = statement_of(venue).terms.model_copy(update={"dense": dense})
    save_document(terms, tmp_path / "terms.json")
    snapshot, mine, proof = public(venue, "snapshot"), str(tmp_path / "terms.json"), str(venue / "proof.bin")
    given: list[str] = []
    for account in twice:
        save_document(account.commitment, tmp_path / f"{account.name}.json")
        given += ["--commitment", str(tmp_path / f"{account.name}.json")]
    for command in (
        ["venue", "verify", *snapshot, "--terms", mine, "--every-account", *given, proof],
        ["verify", *snapshot, "--terms", mine, *given, proof],
        ["venue", "inspect", *snapshot, *given, mine],
    ):
        assert main(command) == 2
        assert "dense account 1: has the alias 'maker' of dense account 0" in said(capsys)


# --- signatures, times, names ---------------------------------------------------------------------------------------


def test_a_note_is_signed_with_one_key(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever knows a venue's BLS key finds a second one, so that both have "signed": a rogue key."""
    note = str(tmp_path / "note.json")
    proof, secret = str(venue / "proof.bin"), str(venue / "secret.json")
    assert main(note_command(venue, proof=proof, secret=secret, out=["--account", NAME, "-o", note])) == 0
    theirs, mine = bls.public_key(bls.generate_secret()), bls.generate_secret()
    own, other = (G1Point.from_compressed_bytes(key) for key in (bls.public_key(mine), theirs))
    rogue = bytes((own - other).to_compressed_bytes()).hex()
    unsigned = load(VenueNote, note)
    signature = bls.sign(mine, unsigned.message.for_scheme("bls")).hex()
    forged = Signature(scheme="bls", public_keys=(theirs.hex(), rogue), signature=signature)
    assert forged.verifies(unsigned.message)
    path = write(tmp_path / "rogue.json", unsigned.model_copy(update={"signatures": (forged,)}).to_bytes())
    capsys.readouterr()
    assert main(check_command(venue, path, str(venue / "record.json"))) == 1
    assert "the note is signed with 2 keys together: a note has one" in said(capsys)


def test_an_entry_comes_after_its_snapshot_and_after_the_one_above(venue: Path, tmp_path: Path) -> None:
    statement, record = statement_of(venue), load(VenueRecord, str(venue / "record.json"))
    moved = statement.snapshot.model_copy(update={"time": "2026-01-02T04:00:00Z"})
    later, path = replace(statement, snapshot=moved), tmp_path / "log.json"
    second = record.model_copy(update={"statement": later.digest.hex()})
    with pytest.raises(InputError, match="now is 1999-01-01T00:00:00Z, before the snapshot's moment"):
        append_to_log(str(path), statement, record, "1999-01-01T00:00:00Z", OURS)
    assert not path.exists()
    append_to_log(str(path), statement, record, "2026-01-02T06:00:00Z", OURS)
    with pytest.raises(InputError, match="now is 2026-01-02T05:00:00Z, before its last entry"):
        append_to_log(str(path), later, second, "2026-01-02T05:00:00Z", OURS)
    log = append_to_log(str(path), later, second, "2026-01-02T06:00:00Z", OURS)  # in one moment they may be
    log.check()
    log.entry_of(later)
    # a venue that writes its log by other means
    empty = VenueLog(venue=record.venue)
    back = empty.appended(statement, record, "2026-01-02T06:00:00Z", OURS)
    with pytest.raises(VerificationError, match="entry 2 of the log was logged before the one above it"):
        back.appended(later, second, "2026-01-02T05:00:00Z", OURS).check()
    early = empty.appended(statement, record, "1999-01-01T00:00:00Z", OURS)
    early.check()  # logs of before may have such entries: nobody relies on one
    with pytest.raises(VerificationError, match="logged at 1999-01-01T00:00:00Z, before its snapshot's moment"):
        early.entry_of(statement)


@pytest.mark.parametrize("nonce", [f"00 {NONCE[2:]}", f"{NONCE} ", f" {NONCE}", "00 " * 16, NONCE[2:], "\u0660" * 32])
def test_a_nonce_has_no_blanks(tmp_path: Path, nonce: str) -> None:
    path = write(tmp_path / "nonces.csv", f"account,nonce\n{NAME},{nonce}\n".encode())
    with pytest.raises(InputError, match="not 32 hexadecimal digits"):
        load_nonces(path)
    with pytest.raises(InputError, match="not 32 hexadecimal digits"):
        venue_customers._nonce(nonce)


def test_hidden_files_are_no_accounts(venue: Path, tmp_path: Path) -> None:
    snapshot = load(Snapshot, str(venue / "snapshot.json"))
    book = (venue / "books" / f"{NAME}.json").read_bytes()
    for name in ("a.json", ".b.json"):
        write(tmp_path / name, book)
    with pytest.warns(Caution, match=r"\.b\.json: is hidden: not read"):
        assert load_accounts(str(tmp_path), snapshot).names == ["a"]


# --- outputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-o", "--terms", "--record", "--secret"])
def test_outputs_that_cannot_be_written_are_said_before_any_work(
    venue: Path, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(venue_prove, "load_accounts", work)
    command = prove(venue, "books", tag="new-")
    place = command.index(option) + 1
    (tmp_path / "link").symlink_to(tmp_path / "missing" / "file")
    for path, reason in (
        ("missing/file", "missing/file: cannot be written: no such file or directory hint: make the folder"),
        ("link", "no such file or directory"),
        ("", "is not a regular file"),
    ):
        command[place] = str(tmp_path / path)
        assert main(command) == 2
        assert reason in said(capsys).lower()
