"""``zkmargin ledger``: what a verifier accepted, and what it has seen."""

from __future__ import annotations

import shlex
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from zkmargin.app.files import check_paths, load
from zkmargin.cli import terminal
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import Command, json_option, ledger_option, parse_age
from zkmargin.cli.words import claim_words, ratio
from zkmargin.engine.decimals import format_time, from_units, parse_time
from zkmargin.engine.limits import KINDS, Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError, VerificationError, ZkMarginError, write_atomic
from zkmargin.formats.canonical import canonical_bytes
from zkmargin.ledger import Entry, Ledger
from zkmargin.verifier import Commitment
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Trust

INDEX_FORMAT = "zkmargin/ledger-export/v1"


@click.group("ledger")
def command() -> None:
    """What a verifier accepted (zkmargin verify --ledger) and has seen.

    A ledger holds every accepted proof with the public files that it was accepted from, the newest number seen of every
    series of attestations, and the challenges that were issued. Several verifiers may use one at the same time. It
    holds no secrets of anyone's.
    """


@command.command(
    "status",
    cls=Command,
    examples=[
        "zkmargin ledger status --ledger ledger.db --due-after 1h",
        "zkmargin ledger status --ledger postgresql://verifier@db.example/margin --json",
    ],
)
@ledger_option(required=True)
@click.option(
    "--due-after",
    default="1d",
    show_default=True,
    metavar="AGE",
    help="An account is overdue when its newest proof is about a snapshot older than 90s, 10m, 2h, 1d.",
)
@json_option
def status(ledger_where: str, due_after: str, as_json: bool) -> None:
    """Each account by alias: last proof, snapshot, claim, age, overdue; and the challenges nobody answered."""
    due_seconds = parse_age(due_after, "--due-after")
    now_ms = time.time_ns() // 1_000_000
    with open_ledger(ledger_where) as ledger:
        accounts: list[dict[str, Any]] = [
            {
                "alias": account.alias,
                "proofs": account.proofs,
                "age_seconds": (now_ms - account.last.snapshot_ms) // 1000,
                "overdue": now_ms - account.last.snapshot_ms > 1000 * due_seconds,
                "last": _entry_facts(ledger, account.last),
            }
            for account in ledger.accounts()
        ]
        challenges = [_challenge_facts(challenge, now_ms) for challenge in ledger.open_challenges()]
        facts: dict[str, Any] = {
            "ledger": ledger.name,
            **ledger.counts(),
            "accounts": accounts,
            "open_challenges": challenges,
        }
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"{terminal.safe(facts['ledger'])}: {facts['proofs']} proofs of {len(accounts)} accounts")
    for account in accounts:
        last = account["last"]
        late = f"OVERDUE: older than {due_after}" if account["overdue"] else f"within {due_after}"
        terminal.say(f"{terminal.quoted(account['alias'])}: {account['proofs']} proofs, the last one")
        terminal.say(f"  accepted     {last['accepted']}, statement {last['statement']}")
        terminal.say(f"  snapshot     {terminal.quoted(last['snapshot']['name'])}, digest {last['snapshot']['digest']}")
        terminal.say(f"  age          {account['age_seconds']} s since the snapshot: {late}")
        terminal.say(f"  claim        {last['claim']['words']}")
        for limit in last["limits"]:
            terminal.say(f"  limit        {terminal.safe(limit)}")
        terminal.say(f"  attested     {'by parties of a trust file' if last['trust'] else 'no: without a trust file'}")
    for challenge in challenges:
        late = "OVERDUE" if challenge["overdue"] else "open"
        terminal.say(f"challenge {challenge['digest'][:16]}…: {late}, its deadline is {challenge['deadline']}")


@command.command("check", cls=Command, examples=["zkmargin ledger check --ledger ledger.db"])
@ledger_option(required=True)
@json_option
def check(ledger_where: str, as_json: bool) -> None:
    """Verify every recorded proof again, from the ledger alone. Exit code 1 when one does not verify."""
    good, bad = 0, []
    with open_ledger(ledger_where) as ledger, terminal.progress("Verifying"):
        for entry in ledger.entries():
            try:
                ledger.check(entry)
                good += 1
            except ZkMarginError as error:
                bad.append({"statement": entry.statement, "reason": error.message})
        name = ledger.name
    if as_json:
        terminal.say_json({"ledger": name, "verified": good, "bad": bad})
    else:
        terminal.say(f"{terminal.safe(name)}: {good} proofs verify")
    if bad:
        first = bad[0]
        raise VerificationError(
            f"{name}: {len(bad)} recorded proofs do not verify; the first, {first['statement']}: {first['reason']}",
            check="ledger",
        )


@command.command(
    "export",
    cls=Command,
    examples=[
        "zkmargin ledger export --ledger ledger.db archive",
        "zkmargin ledger export --ledger ledger.db archive --statement 5d1c",
    ],
)
@click.argument("folder")
@ledger_option(required=True)
@click.option("--statement", metavar="HEX", help="Only the proof whose statement digest begins like this.")
@json_option
def export(folder: str, ledger_where: str, statement: str | None, as_json: bool) -> None:
    """Write accepted proofs and all their files to FOLDER: whoever gets it can verify them again.

    FOLDER/index.json names, for each proof, its files and the command that verifies it.
    """
    home = _empty_folder(folder)
    written: set[str] = set()
    with open_ledger(ledger_where) as ledger:
        chosen = (entry for entry in ledger.entries() if entry.statement.startswith(statement or ""))
        entries = [_export_entry(ledger, entry, home, written) for entry in chosen]
        name = ledger.name
    if statement is not None and not entries:
        raise InputError("no accepted proof has such a statement digest", file="--statement")
    write_atomic(home / "index.json", canonical_bytes({"format": INDEX_FORMAT, "proofs": entries}) + b"\n")
    if as_json:
        terminal.say_json({"ledger": name, "folder": folder, "proofs": entries})
    else:
        terminal.say(f"wrote {len(entries)} proofs and {len(written)} documents to {terminal.safe(folder)}")


@command.command(
    "see",
    cls=Command,
    examples=["zkmargin ledger see attestation-8.json --trust trust.json --ledger ledger.db"],
)
@click.argument("attestation_path", metavar="ATTESTATION")
@click.option("--trust", "trust_path", required=True, metavar="FILE", help="Whose signatures count.")
@ledger_option(required=True)
@json_option
def see(attestation_path: str, trust_path: str, ledger_where: str, as_json: bool) -> None:
    """Take note of an ATTESTATION without a proof: older ones of its series are refused from now on.

    So a venue tells a verifier that a commitment is superseded. Exit code 1 when it is not signed by enough of those
    whom the trust file names, or is itself superseded.
    """
    check_paths([attestation_path, trust_path])
    attestation = load(Attestation, attestation_path)
    trust = load(Trust, trust_path)
    with open_ledger(ledger_where) as ledger:
        quorum = ledger.see(attestation, trust)
    payload = attestation.payload
    facts = {"stream": list(payload.stream), "sequence": payload.sequence, "signers": list(quorum.signers)}
    if as_json:
        terminal.say_json(facts)
        return
    stream = " ".join(map(terminal.word, payload.stream))
    terminal.say(f"seen: number {payload.sequence} of {stream}, signed by {terminal.listed(quorum.signers)}")


def _entry_facts(ledger: Ledger, entry: Entry) -> dict[str, Any]:
    snapshot = ledger.document(Snapshot, entry.snapshot)
    return {
        "statement": entry.statement,
        "accepted": format_time(entry.accepted_ms),
        "snapshot": {"name": snapshot.name, "time": snapshot.time, "digest": entry.snapshot},
        "claim": {
            "ratio": ratio(entry.claim),
            "requirement": entry.claim.requirement,
            "words": claim_words(entry.claim),
        },
        "limits": [limit_text(limit) for limit in entry.limits],
        "trust": entry.trust,
        "challenge": entry.challenge,
        "receipt": entry.receipt,
        "proof_bytes": len(entry.proof),
    }


def _challenge_facts(challenge: Challenge, now_ms: int) -> dict[str, Any]:
    return {
        "digest": challenge.digest().hex(),
        "audience": challenge.audience,
        "deadline": challenge.deadline,
        "overdue": now_ms > parse_time(challenge.deadline),
    }


def limit_text(limit: Limit) -> str:
    """A limit as it is typed: its bound as a decimal."""
    decimals = 0
    while (limit.bound * 10**decimals).denominator != 1:
        decimals += 1
    bound = from_units(int(Fraction(limit.bound * 10**decimals)), decimals)
    return f"{limit.kind}{' ' * bool(limit.subject)}{limit.subject} {KINDS[limit.kind][1]} {bound}"


def _empty_folder(folder: str) -> Path:
    home = Path(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if any(home.iterdir()):
            raise InputError("is not empty", file=folder, hint="name a new folder")
        (home / "documents").mkdir()
        (home / "proofs").mkdir()
    except OSError as error:
        raise InputError(f"cannot be used as a folder: {(error.strerror or 'error').lower()}", file=folder) from None
    return home


def _export_entry(ledger: Ledger, entry: Entry, home: Path, written: set[str]) -> dict[str, Any]:
    """Write an entry's files; returns what the index says of it."""

    def save(kind: type[Document], digest: str | None) -> str | None:
        if digest is None:
            return None
        name = f"documents/{kind.FORMAT.split('/')[1]}-{digest}.json"
        if digest not in written:
            write_atomic(home / name, ledger.document(kind, digest).to_bytes())
            written.add(digest)
        return name

    proof = f"proofs/{entry.statement}.bin"
    write_atomic(home / proof, entry.proof)
    snapshot, commitment = save(Snapshot, entry.snapshot), save(Commitment, entry.commitment)
    trust, challenge = save(Trust, entry.trust), save(Challenge, entry.challenge)
    attestations = [save(Attestation, digest) for digest in entry.attestations]
    words = ["zkmargin", "verify", "--snapshot", snapshot, "--commitment", commitment, "--claim", ratio(entry.claim)]
    words += ["--requirement", entry.claim.requirement]
    for limit in entry.limits:
        words += ["--also", limit_text(limit)]
    context = entry.context.decode("utf-8", "surrogateescape")
    words += ["--context", context] if context else []
    return {
        **_entry_facts(ledger, entry),
        "files": {
            "proof": proof,
            "snapshot": snapshot,
            "commitment": commitment,
            "trust": trust,
            "challenge": challenge,
            "attestations": attestations,
            "receipt": save(Receipt, entry.receipt),
        },
        "context": entry.context.hex(),
        "verify": terminal.safe(shlex.join(str(word) for word in [*words, proof])),
    }
