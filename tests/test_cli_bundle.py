"""Bundles on the command line: one file for a proof and what is around it, evidence and never authority."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command_line import Run
from support.desk import ATTESTED, LIMIT, TRUSTED, VERIFY, desk_files, run_at, save_trust
from support.example_files import placed
from support.typed import JsonObject, Passed

from zkmargin.app.evidence import Evidence
from zkmargin.cli import main
from zkmargin.formats import InputError, load_document

BUNDLE = ["bundle", *VERIFY[1:]]
OWN = ["--trust", "trust.json", "--challenge", "challenge.json"]
WHOLE = [*BUNDLE, "--source", "market.json", *ATTESTED, "--trust", "trust.json", "proof.bin", "-o", "bundle.json"]
OPEN = ["verify", "--bundle", "bundle.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return placed(desk_files(), tmp_path / "copy")


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return run_at(folder, capsys, monkeypatch)


@pytest.fixture
def bundle(run: Run, folder: Path) -> Path:
    """A bundle with everything but a receipt."""
    out = run(WHOLE).out
    assert "inside       3 attestations, 1 source, 1 trust, 1 challenge" in out
    assert "Evidence, never authority" in out
    return folder / "bundle.json"


def edited(path: Path, name: str = "edited.json", **changes: Passed) -> str:
    """The same bundle with other documents in it."""
    (path.parent / name).write_text(json.dumps(json.loads(path.read_text()) | changes))
    return name


def test_a_bundle_is_accepted_as_its_files_are(run: Run, bundle: Path) -> None:
    accepted = run(OPEN, *OWN, "--json").json
    assert accepted["bundle"] == "bundle.json"
    files = run(TRUSTED, "proof.bin", "--json").json
    assert {name: value for name, value in accepted.items() if name != "bundle"} == files
    assert bundle.read_bytes() == load_document(Evidence, bundle).to_bytes()


def test_without_a_trust_file_nothing_is_authenticated(run: Run, bundle: Path) -> None:
    assert bundle.is_file()
    said = run(OPEN, code=1)
    assert "verified, NOT accepted" in said.out
    assert "not accepted: the proof verifies, but nothing is authenticated" in said.err
    facts = run(OPEN, "--json", code=1).json
    assert (facts["accepted"], facts["proof_verifies"], facts["authenticated"]) == (False, True, False)
    assert facts["trust"] is None  # the one inside is not even shown as one
    for more in (["--ledger", "ledger.db"], ["--receipt", "receipt.json"]):
        assert "takes what was accepted: nothing is authenticated" in run(OPEN, *more, code=2).err
    assert not (bundle.parent / "ledger.db").exists()


def test_the_challenge_inside_counts_for_nothing(run: Run, bundle: Path) -> None:
    assert bundle.is_file()
    trusted = [*OPEN, "--trust", "trust.json"]
    assert "whom it was made for is its own word" in run(trusted, code=1).err
    assert run(trusted, "--json", code=1).json["authenticated"] is True
    run("challenge new --audience desk -o other.json")
    assert "its context is another" in run(trusted, "--challenge", "other.json", code=1).err
    assert "its context is another" in run(trusted, "--context", "", code=1).err


def test_the_trust_file_inside_counts_for_nothing(run: Run, bundle: Path) -> None:
    """A maker that trusts itself: the verifier's own trust file does not know the signers."""
    home = bundle.parent
    own = json.loads((home / "trust.json").read_text())
    save_trust(home, "strict.json", snapshots=[own["snapshots"][0] | {"signers": ["venue"], "threshold": 1}])
    words = [*OPEN, "--trust", "strict.json", "--challenge", "challenge.json"]
    assert "not counted: by a key that is not trusted for this" in run(words, code=1).err
    weak = edited(bundle, attestations=[])
    assert "nobody signed the snapshot" in run("verify --bundle", weak, *OWN, code=1).err


def test_the_claim_is_at_least_what_the_verifier_asks_for(run: Run, bundle: Path) -> None:
    assert bundle.is_file()
    run(OPEN, *OWN, "--claim", "0.9", "--also", LIMIT)
    assert "claims 1/1, and at least 101/100 is asked for" in run(OPEN, *OWN, "--claim", "1.01", code=1).err
    assert "claims the initial requirement" in run(OPEN, *OWN, "--requirement", "maintenance", code=1).err
    assert "does not claim headroom >= 1" in run(OPEN, *OWN, "--also", "headroom >= 1", code=1).err
    run("prove --snapshot snapshot.json --book book.json --opening opening.json --claim 0.5 -o half.bin")
    half = "--snapshot snapshot.json --commitment commitment.json --claim 0.5 half.bin -o half.json"
    run(f"bundle {half}")
    assert "claims 1/2, and at least 1/1" in run("verify --bundle half.json --trust trust.json", code=1).err


def test_what_is_inside_is_about_one_statement(run: Run, bundle: Path) -> None:
    home, good = bundle.parent, json.loads(bundle.read_text())
    run("challenge new --audience desk -o other.json")
    run(TRUSTED, "proof.bin", "--receipt", "receipt.json")
    receipt = json.loads((home / "receipt.json").read_text())
    market = good["source"] | {"notes": ["another"]}
    digest = good["attestations"][0]["payload"]["snapshot"]
    changes: dict[str, tuple[JsonObject, str]] = {
        "challenge": ({"challenge": json.loads((home / "other.json").read_text())}, "challenge: the proof does not"),
        "source": ({"source": market}, "source: the snapshot was not built from it"),
        "receipt": ({"receipt": receipt, "proof": good["proof"][:-8] + "AAAAAAA="}, "of another acceptance"),
        "attestations": (
            {"attestations": json.loads(json.dumps(good["attestations"]).replace(digest, "ab" * 32))},
            "attests neither",
        ),
        "snapshot": ({"snapshot": good["snapshot"] | {"name": "nice"}}, "snapshot.name"),
        "no format": ({"challenge": {k: v for k, v in good["challenge"].items() if k != "format"}}, "no format line"),
        "a secret": ({"book": {}}, "book"),
    }
    for name, (change, reason) in changes.items():
        said = run("verify --bundle", edited(bundle, **change), *OWN, code=2).err
        assert reason.replace("no format line", 'no "format" line') in said, name
    flipped = edited(bundle, proof="AAAA" + good["proof"][4:])
    run("verify --bundle", flipped, *OWN, code=1)


def test_a_bundle_of_a_proof_that_does_not_verify_is_not_made(run: Run, folder: Path) -> None:
    words = [*BUNDLE, "proof.bin", "-o", "bad.json"]
    assert "rejected" in run([word if word != LIMIT else "headroom >= 1" for word in words], code=1).err
    assert not (folder / "bad.json").exists()
    for secret in ("book.json", "opening.json", "desk.key"):
        for option in ("--source", "--attestation", "--trust", "--receipt", "--revocations"):
            said = run(BUNDLE, option, secret, "proof.bin", "-o", "bad.json", code=2).err
            assert secret in said
    assert not (folder / "bad.json").exists()


def test_taken_apart_and_made_again(run: Run, bundle: Path) -> None:
    said = run("bundle --unpack bundle.json -o files --json").json
    assert said["files"][:3] == ["proof.bin", "snapshot.json", "market.json"]
    again = (
        "bundle --snapshot files/snapshot.json --source files/market.json --commitment files/commitment-1.json "
        "--attestation files/attestation-1.json --attestation files/attestation-2.json --attestation "
        f"files/attestation-3.json --trust files/trust.json --challenge files/challenge.json --also '{LIMIT}' "
        "files/proof.bin -o again.json"
    )
    run(again)
    assert (bundle.parent / "again.json").read_bytes() == bundle.read_bytes()
    assert "is not empty" in run("bundle --unpack bundle.json -o files", code=2).err
    assert "does not go with --unpack" in run("bundle --unpack bundle.json proof.bin -o more", code=2).err
    assert "missing: the folder" in run("bundle --unpack bundle.json", code=2).err


def test_an_acceptance_is_repeated_as_it_was(
    run: Run,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the bundle alone and the verifier's own trust file, years later."""
    assert "holds no receipt" in run(OPEN, "--trust", "trust.json", "--as-accepted", code=2).err
    key = ["--receipt-key", "desk.key", "--passphrase-file", "pass"]
    run(OPEN, *OWN, "--receipt", "receipt.json", *key)
    run([word if word != "bundle.json" else "accepted.json" for word in WHOLE], "--receipt", "receipt.json")
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 10**18)
    words = ["verify", "--bundle", "accepted.json", "--trust", "trust.json"]
    run(words, "--challenge", "challenge.json", code=1)
    assert "by the receipt of 'desk'" in run(words, "--as-accepted").out
    assert "by the receipt of 'desk'" in run(words, "--rerun", "receipt.json").out
    assert "needs --trust" in run("verify --bundle accepted.json --as-accepted", code=2).err
    receipt = json.loads((bundle.parent / "receipt.json").read_text())
    unsigned = edited(bundle.parent / "accepted.json", receipt=receipt | {"signatures": []})
    refused = run("verify --bundle", unsigned, *words[3:], "--as-accepted", code=1)
    assert "not signed by anyone" in refused.err


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("verify", "Missing option '--snapshot'"),
        ("verify --snapshot snapshot.json", "Missing option '--commitment'"),
        ("verify --snapshot snapshot.json --commitment commitment.json", "Missing argument 'PROOF...'"),
        ("verify --bundle bundle.json proof.bin", "PROOF: does not go with --bundle"),
        ("verify --bundle bundle.json --snapshot snapshot.json", "--snapshot: does not go with --bundle"),
        ("verify --bundle bundle.json --trust trust.json --as-accepted --rerun x", "does not go with --rerun"),
        ("verify --snapshot s --commitment c --as-accepted p", "give --bundle"),
        ("verify --bundle proof.bin", "proof.bin: is a proof"),
        ("bundle -o x", "Missing argument 'PROOF'"),
        ("bundle --snapshot snapshot.json proof.bin -o x", "Missing option '--commitment'"),
        ("bundle --snapshot snapshot.json --commitment commitment.json proof.bin -o snapshot.json", "is an input"),
    ],
)
def test_mistakes_are_named(run: Run, folder: Path, line: str, reason: str) -> None:
    assert reason in run(line, code=2).err
    assert not (folder / "x").exists()


def test_an_export_is_verified_by_its_evidence_alone(run: Run, folder: Path) -> None:
    key = "--receipt-key desk.key --passphrase-file pass"
    run("challenge new --audience desk --ledger ledger.db -o asked.json")
    prove = "prove --snapshot snapshot.json --book book.json --opening opening.json --challenge asked.json -o asked.bin"
    run(prove)
    files = "--snapshot snapshot.json --commitment commitment.json --trust trust.json --challenge asked.json"
    run(f"verify {files} {shlex.join(ATTESTED)} --ledger ledger.db --receipt r.json {key} asked.bin")
    run("ledger export archive --ledger ledger.db")
    (entry,) = json.loads((folder / "archive" / "index.json").read_text())["proofs"]
    command = [sys.executable, "-m", "zkmargin", "verify", "--bundle", entry["files"]["evidence"], "--as-accepted"]
    command += ["--trust", str(folder / "trust.json")]
    done = subprocess.run(
        command, cwd=folder / "archive", capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert entry["statement"] in done.stdout


def test_inspect_names_what_a_bundle_holds(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle)]) == 0
    assert "Never authority" in capsys.readouterr().out
    Evidence.parse(bundle.read_bytes()).check_loaded()
    with pytest.raises(InputError):
        Evidence.parse(bundle.read_bytes().replace(b'"parts"', b'"blinders":[],"parts"', 1))
