"""Attesting on the command line: what a signer checks before it signs, and what is said of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command_line import Run
from support.desk import PROVE, TRUSTED, desk_files, replaced, run_at, save_trust
from support.example_files import placed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return placed(desk_files(), tmp_path / "copy")


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return run_at(folder, capsys, monkeypatch)


# Attesting


OWN = (
    "--snapshot snapshot.json --sequence 4 --valid 1h --issuer venue --account maker "
    "--key venue.key --passphrase-file pass -o made"
)


def test_signer_recomputes_the_commitment(run: Run, folder: Path) -> None:
    book = json.loads((folder / "book.json").read_text())
    name = next(iter(book["positions"]))
    book["positions"][name] = "0"
    (folder / "other-book.json").write_text(json.dumps(book))
    (folder / "other-book.json").chmod(0o600)
    line = f"attest commitment commitment.json --role positions {OWN} --opening opening.json --book"
    assert "is not to what the book says: do not sign it" in run(f"{line} other-book.json", code=2).err
    assert not (folder / "made").exists()
    run(f"{line} book.json")
    run("commit book.json --snapshot snapshot.json --alias maker -o c2.json --opening o2.json")
    other = f"attest commitment commitment.json --role positions {OWN} --book book.json --opening o2.json"
    assert "the opening is of another commitment" in run(other, code=2).err


def test_signer_says_how_the_commitment_is_known(run: Run) -> None:
    line = f"attest commitment commitment.json --role positions {OWN}"
    assert "give --book and --opening" in run(line, code=2).err
    assert "give --book and --opening" in run(f"{line} --book book.json", code=2).err
    assert "give --book and --opening" in run(f"{line} --book book.json --opening opening.json --computed", code=2).err
    run(f"{line} --computed")
    other = line.replace("--account maker", "--account somebody")
    assert "another account" in run(f"{other} --computed", code=2).err


def test_beneficiary_is_for_collateral(run: Run) -> None:
    line = f"attest commitment commitment.json {OWN} --computed --role"
    assert "name them" in run(f"{line} collateral", code=2).err
    assert "for collateral only" in run(f"{line} positions --beneficiary x", code=2).err


def test_signer_checks_the_universe(run: Run) -> None:
    run("snapshot build market.json --policy default --domain-size 1024 -o other-snapshot.json")
    line = f"attest commitment commitment.json --role positions {OWN} --computed"
    err = run(line.replace("snapshot.json", "other-snapshot.json"), code=2).err
    assert "made over 512 rows, the snapshot has 1024" in err


def test_snapshot_is_rebuilt_before_it_is_signed(run: Run, folder: Path) -> None:
    market = json.loads((folder / "market.json").read_text())
    market["source"] = "another"
    (folder / "other-market.json").write_text(json.dumps(market))
    line = (
        "attest snapshot snapshot.json --market other-market.json --policy default --sequence 9 "
        "--key oracle.key --passphrase-file pass"
    )
    assert "another market" in run(f"{line} -o never.json", code=2).err
    assert not (folder / "never.json").exists()


def test_combine_refuses_different_things(run: Run) -> None:
    assert "something else" in run("attest combine snapshot-1.json positions.json -o x.json", code=2).err


def test_snapshot_check_with_attestations(run: Run, folder: Path) -> None:
    line = "snapshot check snapshot.json market.json --trust trust.json --attestation"
    assert "number 7 of 'main', signed by 'oracle', 'second'" in run(f"{line} snapshot-both.json").out
    assert run(f"{line} snapshot-1.json --attestation snapshot-2.json --json").json["attested"]["sequence"] == 7
    assert "1 of 2 signatures" in run(f"{line} snapshot-1.json", code=1).err
    assert "not a snapshot" in run(f"{line} positions.json", code=2).err
    assert "belong together" in run("snapshot check snapshot.json market.json --trust trust.json", code=2).err
    run("snapshot build market.json --policy default --domain-size 1024 -o other-snapshot.json")
    assert (
        "is another snapshot"
        in run(line.replace(" snapshot.json", " other-snapshot.json") + " snapshot-both.json", code=1).err
    )
    assert folder.is_dir()


def test_scripts_get_json(run: Run, folder: Path) -> None:
    key = run("key new --name robot --scheme ed25519 --passphrase-file pass -o robot.key --json").json
    assert key == {"output": "robot.key", "public": None, **run("key show robot.key --json").json}
    assert "zkmargin key show robot2.key -o FILE" in run("key new --name r --passphrase-file pass -o robot2.key").out
    challenge = run("challenge new --audience desk --lifetime 90s -o c.json --json").json
    assert challenge["context"] == f"zkmargin/challenge/v1 {challenge['digest']}"
    line = (
        "attest snapshot snapshot.json --market market.json --policy default --sequence 8 "
        "--key oracle.key --passphrase-file pass"
    )
    attested = run(f"{line} -o a.json --json").json
    assert attested["payload"]["sequence"] == 8
    assert attested["signatures"] == 1
    piped = run(line)
    assert json.loads(piped.out)["payload"] == attested["payload"]
    assert "attested: snapshot, number 8" in piped.err
    assert (folder / "a.json").exists()


def test_challenge_in_words_and_its_mistakes(run: Run) -> None:
    out = run("challenge show challenge.json").out
    assert "open, by this machine's clock" in out
    assert "context   zkmargin/challenge/v1 " in out
    assert "--lifetime" in run("challenge new --audience desk --lifetime soon -o c.json", code=2).err
    assert "from a second to a year" in run("challenge new --audience desk --lifetime 0s -o c.json", code=2).err
    assert "audience" in run(["challenge", "new", "--audience", "", "-o", "c.json"], code=2).err
    assert "--name" in run(["key", "new", "--name", "", "--passphrase-file", "pass", "-o", "k"], code=2).err


def test_signer_of_another_universe_or_of_two_parts(run: Run, folder: Path) -> None:
    line = f"attest commitment commitment.json --role positions {OWN} --computed"
    value = json.loads((folder / "commitment.json").read_text())
    for change, reason in (
        ({"srs": "00" * 32}, "another structured reference string"),
        ({"parts": [part | {"slot_map": "00" * 32} for part in value["parts"]]}, "other slots"),
        ({"parts": value["parts"] * 2}, "2 parts of positions"),
        ({"parts": [part for part in value["parts"] if part["role"] != "positions"]}, "0 parts of positions"),
    ):
        (folder / "commitment.json").write_text(json.dumps(value | change))
        assert reason in run(line, code=2).err
        assert not (folder / "made").exists()


@pytest.mark.parametrize("option", ["--issuer", "--part", "--beneficiary"])
@pytest.mark.parametrize("text", ["", "x" * 201, "a\nb", "\u202eb"], ids=["empty", "long", "line end", "override"])
def test_names_are_printable(run: Run, option: str, text: str) -> None:
    role = "collateral" if option == "--beneficiary" else "positions"
    line = f"attest commitment commitment.json --role {role} {OWN} --computed".split()
    assert f"{option}: 1 to 200 printable characters" in run([*line, option, text], code=2).err
    line = [
        *[
            "attest",
            "snapshot",
            "snapshot.json",
            "--market",
            "market.json",
            "--policy",
            "default",
            "--sequence",
            "8",
            "--key",
            "oracle.key",
        ]
    ]
    assert "--series: 1 to 200" in run([*line, "--series", text], code=2).err


@pytest.mark.parametrize("more", ["--valid 999999999d", "--valid 0s", "--issued yesterday"])
def test_times_that_are_none(run: Run, folder: Path, more: str) -> None:
    run(f"attest commitment commitment.json --role positions {OWN} --computed {more}", code=2)
    assert not (folder / "made").exists()


def test_book_beyond_the_stated_bits_is_not_signed(run: Run, folder: Path) -> None:
    for name in ("commitment.json", "opening.json"):
        value = json.loads((folder / name).read_text())
        value["parts"] = [part | {"bits": 1} for part in value["parts"]]
        (folder / name).write_text(json.dumps(value))
    line = f"attest commitment commitment.json --role positions {OWN} --book book.json --opening opening.json"
    assert "more than the 1 bits that it states" in run(line, code=2).err


# Inspect


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("venue.key", ["SECRET", "scrypt (N = 2^14", "chacha20-poly1305"]),
        ("venue.pub", ["a public key", "possession"]),
        ("positions.json", ["an attestation of a commitment to positions", "venue", "verifies"]),
        ("snapshot-both.json", ["an attestation of a snapshot", "main", "verifies"]),
        ("trust.json", ["a trust file", "main: 2 of oracle, second"]),
        ("challenge.json", ["a verifier's challenge", "zkmargin/challenge/v1 "]),
    ],
)
def test_inspect_explains_every_new_file(run: Run, name: str, words: list[str]) -> None:
    out = run(["inspect", name]).out
    assert all(word in out for word in words), out
    assert run(["inspect", name, "--json"]).json["format"]


def test_expired_challenge_warns_the_prover(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 90_000 * 10**9)
    assert "deadline has passed" in run(PROVE, "--challenge", "challenge.json", "-o", "late.bin").err
    assert run("challenge show challenge.json --json").json["open"] is False


def test_verifying_bls_attestations_loads_no_cryptography_package(run: Run, folder: Path) -> None:
    """A cold start stays quick: the package is imported only for Ed25519 and for encrypted keys."""
    own = "--snapshot snapshot.json --book book.json --opening opening.json --sequence 5 --valid 1h"
    run(
        f"attest commitment commitment.json --role collateral --issuer venue --beneficiary desk {own} "
        "--account maker --key venue.key --passphrase-file pass -o bls-collateral.json"
    )
    keys = [json.loads((folder / f"{n}.pub").read_text()) for n in ("oracle", "second", "venue")]
    venue = [{"name": "venue", "signers": ["venue"], "threshold": 1}]
    save_trust(folder, "bls-trust.json", keys=keys, collateral=venue, receipts=[])
    words = replaced(replaced(TRUSTED, "trust.json", "bls-trust.json"), "collateral.json", "bls-collateral.json")
    script = (
        "import sys; from zkmargin.cli import main; code = main(sys.argv[1:]);"
        "assert 'cryptography' not in sys.modules; assert 'numba' not in sys.modules; sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *words, "proof.bin"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
