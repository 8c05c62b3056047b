"""``zkmargin verify-batch``: proofs of many statements, checked with one pairing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from zkmargin.accounts import Commitment
from zkmargin.app.batches import BatchItem, BatchList
from zkmargin.app.files import blamed_on, load, read_proof
from zkmargin.app.verifying import Entry
from zkmargin.cli.batch import rejections, verify_entries
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option, parse_age, parse_claim, parse_context, parse_limits, workers_option
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO
from zkmargin.verifier import Statement

T = TypeVar("T")


@click.command(
    "verify-batch",
    cls=Command,
    examples=[
        "zkmargin verify-batch list.json",
        "zkmargin verify-batch list.json --max-age 365d --json",
        "zkmargin verify-batch list.json --workers 2     # thousands of proofs on more cores",
    ],
)
@click.argument("list_path", metavar="LIST")
@click.option("--max-age", metavar="AGE", help="Reject a snapshot older than 90s, 10m, 2h, 1d, or from the future.")
@workers_option
@json_option
def command(list_path: str, max_age: str | None, workers: int, as_json: bool) -> None:
    """Verify the proofs of LIST, each against its own statement, with one pairing check. All are accepted or none.

    LIST is a JSON file {"format": "zkmargin/batch/v1", "proofs": [{"proof": "a.bin", "snapshot": "s.json",
    "commitments": ["c.json"], "claim": "1.1", "context": "for you, nonce 7"}]}; "requirement" and "limits" are optional
    too. Paths are relative to its folder. Nothing is authenticated here: see `zkmargin verify --trust`. Exit code 1 and
    the name of the first bad proof when one is rejected.
    """
    seconds = None if max_age is None else parse_age(max_age)
    batch = load(BatchList, list_path)
    folder = Path() if list_path == STDIO else Path(list_path).parent
    snapshots: dict[str, Snapshot] = {}
    entries = []
    with rejections():
        for place, item in enumerate(batch.proofs):
            with blamed_on(f"{list_path}: proofs[{place}]"):
                path, proof = str(folder / item.snapshot), str(folder / item.proof)
                snapshot = snapshots[path] if path in snapshots else load(Snapshot, path)
                snapshots[path] = snapshot
                entries.append(Entry(proof, _statement(item, snapshot, folder), read_proof(proof)))
        verify_entries(entries, seconds, workers=workers, as_json=as_json)


def _statement(item: BatchItem, snapshot: Snapshot, folder: Path) -> Statement:
    """The statement of an item. Raises InputError."""
    commitments = [load(Commitment, str(folder / path)) for path in item.commitments]
    return Statement.of(
        snapshot,
        commitments,
        _from_list(lambda: parse_claim(item.claim, item.requirement)),
        context=_from_list(lambda: parse_context(item.context)),
        limits=_from_list(lambda: parse_limits(item.limits)),
    )


def _from_list(read: Callable[[], T]) -> T:
    """Errors about an option are about the list's key of its name."""
    try:
        return read()
    except InputError as error:
        field = {"--also": "limits"}.get(error.file or "", (error.file or "").lstrip("-"))
        raise InputError(error.reason, field=field or error.field, hint=error.hint) from None
