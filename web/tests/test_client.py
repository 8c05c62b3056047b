"""The TypeScript client: its types follow from the service, it compiles strictly, and it calls a real service."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from support.venue_service import account, running, snapshot

from web.client import describe

WEB = Path(__file__).resolve().parents[1]


def test_types_are_what_the_service_says() -> None:
    assert describe.DESCRIPTION.read_text("utf-8") == describe.description(), "run python -m web.client.describe"
    assert describe.TYPES.read_text("utf-8") == describe.types(), "run python -m web.client.describe"


def test_it_compiles_strictly_and_a_call_that_does_not_exist_does_not() -> None:
    def tsc(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["npx", "--no-install", "tsc", *arguments]
        return subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)

    good = tsc("--project", "client/tsconfig.json")
    assert (good.returncode, good.stdout) == (0, "")
    wrong = WEB / "tests" / "wrong-for-a-moment.ts"
    wrong.write_text('import { open } from "../client/venue.js";\nawait open("").GET("/v1/nothing");\n')
    try:
        bad = tsc("--project", "client/tsconfig.json")
    finally:
        wrong.unlink()
    assert bad.returncode != 0
    assert bad.stdout.startswith("tests/wrong-for-a-moment.ts(2,")


def test_a_day_against_a_real_service(tmp_path: Path) -> None:
    built = tmp_path / "day.mjs"
    bundle = ["npx", "--no-install", "esbuild", "tests/day.ts", "--bundle", "--format=esm", "--platform=node"]
    subprocess.run([*bundle, f"--outfile={built}", "--log-level=error"], cwd=WEB, check=True)
    with running(tmp_path / "service") as service:
        service.settle_in("alice")
        with service.client("alice") as alice:
            submission = account("alice").answer(alice.challenge("alice", lifetime_seconds=600), snapshot())
        command = ["node", str(built), service.url, service.tokens["alice"], service.tokens["auditor"]]
        said = subprocess.run(
            command, input=submission.to_bytes().decode(), capture_output=True, text=True, check=False, timeout=60
        )
        assert said.returncode == 0, said.stderr
        found = json.loads(said.stdout)
        statement = found["statement"]
        assert found == {
            "name": "clearing desk",
            "statement": statement,
            "same": True,
            "again": [409, statement],
            "state": "covered",
            "proofs": 1,
            "challenges": 1,
            "denied": [403, "Denied"],
            "accounts": ["alice"],
            "accepted": statement,
        }
        with service.client("alice") as alice:
            assert alice.receipt(statement).payload.statement == statement
