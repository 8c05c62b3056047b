"""``zkmargin verify-batch``: proofs of many statements, checked with one pairing; a verdict for each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from zkmargin.accounts import Commitment
from zkmargin.app.batches import BatchItem, BatchList
from zkmargin.app.files import blamed_on, load, read_proof
from zkmargin.app.verifying import Entry, Terms, clock_ms, judge_many
from zkmargin.cli.batch import say_verdicts
from zkmargin.cli.groups import Command
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import (
    json_option,
    ledger_option,
    parse_age,
    parse_claim,
    parse_context,
    parse_limits,
    passphrase_option,
    revocations_option,
    signer_option,
    workers_option,
)
from zkmargin.cli.passphrases import signer_of
from zkmargin.cli.statements import gathered
from zkmargin.cli.venue_verifying import load_venue_statement, proof_bytes_of
from zkmargin.cli.vouching import trust_option
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ZkMarginError
from zkmargin.formats.errors import about
from zkmargin.formats.files import STDIO
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Acceptance, Attestation, Challenge, Revocations, Trust
from zkmargin.verifier.protocols import AnyStatement

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was typed."""

    list_path: str
    max_age: str | None
    trust_path: str | None
    revocation_paths: tuple[str, ...]
    ledger_where: str | None
    key_path: str | None
    passphrase_path: str | None
    signer_command: str | None
    workers: int
    as_json: bool


@click.command(
    "verify-batch",
    cls=Command,
    examples=[
        "zkmargin verify-batch list.json",
        "zkmargin verify-batch list.json --max-age 365d --json",
        "zkmargin verify-batch attested-list.json --trust trust.json --ledger my-batch.db",
        "zkmargin verify-batch list.json --workers 2     # thousands of proofs on more cores",
    ],
)
@click.argument("list_path", metavar="LIST")
@click.option("--max-age", metavar="AGE", help="Reject a snapshot older than 90s, 10m, 2h, 1d, or from the future.")
@trust_option
@revocations_option
@ledger_option(required=False)
@click.option("--receipt-key", "key_path", metavar="FILE", help="With --ledger: signs the receipts and its records.")
@passphrase_option
@signer_option
@workers_option
@json_option
@gathered(Options)
def command(options: Options) -> None:
    """Verify the proofs of LIST, each against its own statement, with one pairing check; a verdict for each.

    LIST is a JSON file {"format": "zkmargin/batch/v1", "proofs": [{"proof": "a.bin", "snapshot": "s.json",
    "commitments": ["c.json"], "claim": "1.1", "context": "for you, nonce 7"}]}; "requirement" and "limits" are optional
    too. In version 2 an item may have "attestations" (files) and "challenge" (a file, in place of a context): with
    --trust they are judged as `zkmargin verify --trust` does; without it nothing is authenticated. A venue's proof has
    "terms" (a file) and its "commitments", if any, in place of a claim. With --ledger each acceptance is recorded by
    itself, and what was accepted before is refused.

    Paths are relative to LIST's folder. Exit code 2 when the list or a file of one proof cannot be used (the others are
    judged and recorded all the same), else 1 when a proof is rejected, else 0.
    """
    terms = _terms(options)
    batch = load(BatchList, options.list_path)
    read = _Reading(options.list_path)
    items = [read.entry(place, item) for place, item in enumerate(batch.proofs)]
    entries = [item for item in items if isinstance(item, Entry)]
    signer = None
    if options.key_path is not None:
        signer = signer_of(options.key_path, options.passphrase_path, options.signer_command)
    where = options.ledger_where
    with nullcontext() if where is None else open_ledger(where, signer=signer) as ledger:
        sign = None if signer is None else lambda receipt: receipt.signed(signer)
        judged = iter(judge_many(entries, terms, ledger=ledger, sign=sign, workers=options.workers))
    verdicts: list[tuple[str, Acceptance | ZkMarginError]] = []
    for item, one in zip(batch.proofs, items, strict=True):
        verdicts.append((read.path(item.proof), next(judged) if isinstance(one, Entry) else one))
    say_verdicts(verdicts, terms, recorded=where is not None, as_json=options.as_json)


def _terms(options: Options) -> Terms:
    """What is asked of every proof. Raises InputError: also for options that do not go together."""
    if options.revocation_paths and options.trust_path is None:
        raise InputError("means nothing without --trust FILE: who signs is nobody you know", file="--revocations")
    if options.key_path is not None and options.ledger_where is None:
        raise InputError("is for what goes into a ledger: give --ledger", file="--receipt-key")
    return Terms(
        now_ms=clock_ms(),
        max_age_seconds=None if options.max_age is None else parse_age(options.max_age),
        trust=None if options.trust_path is None else load(Trust, options.trust_path),
        revocations=tuple(load(Revocations, path) for path in options.revocation_paths),
    )


class _Reading:
    """The files of a list; each snapshot is read once."""

    def __init__(self, list_path: str) -> None:
        self._list, self._folder = list_path, Path() if list_path == STDIO else Path(list_path).parent
        self._snapshots: dict[str, Snapshot] = {}

    def path(self, name: str) -> str:
        """Where a file of the list is."""
        return str(self._folder / name)

    def entry(self, place: int, item: BatchItem) -> Entry[AnyStatement] | ZkMarginError:
        """An item with its files, or why it has none."""
        try:
            with about(self.path(item.proof)), blamed_on(f"{self._list}: proofs[{place}]"):
                return self._entry(item)
        except ZkMarginError as error:
            return error

    def _entry(self, item: BatchItem) -> Entry[AnyStatement]:
        path = self.path(item.snapshot)
        snapshot = self._snapshots[path] if path in self._snapshots else load(Snapshot, path)
        self._snapshots[path] = snapshot
        challenge = None if item.challenge is None else load(Challenge, self.path(item.challenge))
        if challenge is not None and item.context:
            raise InputError("a challenge is the context: give one of both", field="challenge")
        context = _from_list(lambda: parse_context(item.context)) if challenge is None else challenge.context
        if item.terms is not None:
            return self._venue_entry(item, item.terms, snapshot, context, challenge)
        statement = Statement.of(
            snapshot,
            [load(Commitment, self.path(name)) for name in item.commitments],
            _from_list(lambda: parse_claim(item.claim, item.requirement)),
            context=context,
            limits=_from_list(lambda: parse_limits(item.limits)),
        )
        attestations = tuple(load(Attestation, self.path(name)) for name in item.attestations)
        proof = self.path(item.proof)
        return Entry(proof, statement, read_proof(proof), attestations, challenge)

    def _venue_entry(
        self, item: BatchItem, terms: str, snapshot: Snapshot, context: bytes, challenge: Challenge | None
    ) -> Entry[AnyStatement]:
        statement = load_venue_statement(snapshot, self.path(terms), [self.path(x) for x in item.commitments], context)
        attestations = tuple(load(Attestation, self.path(name)) for name in item.attestations)
        proof = self.path(item.proof)
        return Entry(proof, statement, read_proof(proof, most=proof_bytes_of(statement)), attestations, challenge)


def _from_list(read: Callable[[], T]) -> T:
    """Errors about an option are about the list's key of its name."""
    try:
        return read()
    except InputError as error:
        field = {"--also": "limits"}.get(error.file or "", (error.file or "").lstrip("-"))
        raise InputError(error.reason, field=field or error.field, hint=error.hint) from None
