"""An oracle, a venue, a custodian, a market maker and a desk that verifies, on the command line."""

from __future__ import annotations

import json
import shlex
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import zkmargin.crypto.keys
from support.command_line import Run
from support.example_files import Files, run_quietly, save_example, taken
from support.typed import Passed
from zkmargin.engine.decimals import format_time
from zkmargin.engine.policy import load_policy

WORDS = "correct horse battery"
LIMIT = "collateral USDC >= 1"


def quick_scrypt(patch: pytest.MonkeyPatch) -> None:
    """Keys that cost little to open."""
    patch.setattr(zkmargin.crypto.keys, "SCRYPT_LOG_N", 14)


PROVE = ["prove", "--snapshot", "snapshot.json", "--book", "book.json", "--opening", "opening.json"]
VERIFY = [
    "verify",
    "--snapshot",
    "snapshot.json",
    "--commitment",
    "commitment.json",
    "--challenge",
    "challenge.json",
    "--also",
    LIMIT,
]
ATTESTED = [word for name in ("snapshot-both", "positions", "collateral") for word in ("--attestation", f"{name}.json")]
TRUSTED = [*VERIFY, "--trust", "trust.json", *ATTESTED]


def save_trust(home: Path, name: str = "trust.json", **changes: Passed) -> None:
    """The desk's trust file, with changes."""
    names = ("oracle", "second", "venue", "custodian", "desk")
    trust = {
        "format": "zkmargin/trust/v2",
        "verifier": "desk",
        "beneficiary": "desk",
        "keys": [json.loads((home / f"{n}.pub").read_text()) for n in names],
        "snapshots": [
            {"name": "main", "signers": ["oracle", "second"], "threshold": 2, "max_age_seconds": 86_400}
            | {"policies": [load_policy("default").digest().hex()]}
        ],
        "positions": [{"name": "venue", "signers": ["venue"], "threshold": 1}],
        "collateral": [{"name": "custodian", "signers": ["custodian"], "threshold": 1}],
        "receipts": [{"name": "desk", "signers": ["desk"], "threshold": 1}],
    }
    (home / name).write_text(json.dumps(trust | changes))


@cache
def desk_files() -> Files:
    """The parties' keys, documents and attestations, the desk's trust file and challenge, and a proof."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        home = Path(name)
        quick_scrypt(patch)
        save_example(home, format_time(time.time_ns() // 1_000_000 // 1000 * 1000))
        (home / "pass").write_text(f"{WORDS}\n")
        (home / "pass").chmod(0o600)
        lines = ["snapshot build market.json --policy default --domain-size 512 -o snapshot.json"]
        schemes = {"oracle": "bls", "second": "bls", "venue": "bls", "custodian": "ed25519", "desk": "ed25519"}
        lines += [
            f"key new --name {name} --scheme {scheme} --passphrase-file pass -o {name}.key --public {name}.pub"
            for name, scheme in schemes.items()
        ]
        commit = "commit book.json --snapshot snapshot.json --alias maker"
        own = "--account maker --snapshot snapshot.json --book book.json --opening opening.json --sequence 3 --valid 1h"
        oracle = "attest snapshot snapshot.json --market market.json --policy default --sequence 7"
        signed, sign = "attest commitment commitment.json", "--passphrase-file pass --key"
        lines += [
            f"{commit} -o commitment.json --opening opening.json",
            f"{oracle} {sign} oracle.key -o snapshot-1.json",
            f"{oracle} {sign} second.key -o snapshot-2.json",
            "attest combine snapshot-1.json snapshot-2.json --aggregate -o snapshot-both.json",
            f"{signed} --role positions --issuer venue {own} {sign} venue.key -o positions.json",
            (
                f"{signed} --role collateral --issuer custodian {own} {sign} custodian.key "
                "--beneficiary desk -o collateral.json"
            ),
            "challenge new --audience desk --lifetime 1h -o challenge.json",
        ]
        run_quietly(home, lines)
        save_trust(home)
        run_quietly(home, [shlex.join([*PROVE, "--challenge", "challenge.json", "--also", LIMIT, "-o", "proof.bin"])])
        return taken(home)


def run_at(folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> Run:
    """Runs lines in the folder; each says exactly one error unless its exit code is 0."""
    patch.chdir(folder)
    quick_scrypt(patch)
    return Run(capsys, one_error=True)


def replaced(words: list[str], old: str, new: str) -> list[str]:
    """The words with one of them exchanged."""
    assert old in words
    return [new if word == old else word for word in words]


def weak_policy(path: Path) -> Path:
    """A policy that nearly never charges, and calls itself "default"."""
    value = json.loads(load_policy("default").to_bytes())
    part = next(part for part in value["components"] if part["type"] == "worst_scenario")
    part["grid"].update(price_moves_bp=[-1, 0, 1], vol_moves_bp=[0], tails=[])
    part["overrides"] = {}
    path.write_text(json.dumps(value))
    return path


SIGN = ["--sequence", "8", "--key", "oracle.key", "--passphrase-file", "pass", "-o", "signed.json"]
