"""The third verifier, in node: sends it statements and proofs, gives back its verdicts."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ANSWER = Path(__file__).with_name("answer.mjs")


def ask(questions: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Its answer to each: ``accepted`` with the statement digest, ``rejected`` with the reason, or ``circuit``."""
    node = shutil.which("node")
    assert node, "needs node"
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([node, str(ANSWER)], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.split("\n")[:-1]]  # other line ends are text
    assert len(answers) == lines.count("\n"), done.stderr
    assert [answer["crashed"] for answer in answers if "crashed" in answer] == []
    return answers


def question(
    snapshot: Path,
    commitments: Iterable[bytes],
    proof: bytes,
    *,
    claim: str = "1/1",
    requirement: str = "initial",
    limits: Iterable[str] = (),
    context: bytes = b"",
) -> dict[str, Any]:
    """What ``ask`` takes."""
    return {
        "snapshot": str(snapshot),
        "commitments": [text.decode() for text in commitments],
        "claim": claim,
        "requirement": requirement,
        "limits": list(limits),
        "context": context.hex(),
        "proof": proof.hex(),
    }
