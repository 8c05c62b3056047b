"""What the venue's commands say is what was checked, and no input that anybody can write gets past them."""

import json
from pathlib import Path

import pytest
from support.typed import Json
from support.venue_files import NAME, NONCE, proved_venue, public

from zkmargin.app.files import load
from zkmargin.cli import main
from zkmargin.engine.snapshot import Snapshot
from zkmargin.verifier.venue.customers import record_of
from zkmargin.verifier.venue.proof import decode_venue_proof
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import VenueTerms


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


@pytest.fixture(scope="module")
def invalid(venue: Path) -> Path:
    """One bit of a proof changed, with the record and the secret that a venue would show and keep with it."""
    snapshot, terms = load(Snapshot, str(venue / "snapshot.json")), load(VenueTerms, str(venue / "terms.json"))
    statement = VenueStatement.of(snapshot, terms)
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
