"""``zkmargin ledger``: what a verifier accepted, and what it has seen."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import click

from zkmargin.app.facts import ratio
from zkmargin.app.files import load
from zkmargin.app.ledgers import check_ledger, export, limit_text, status_facts
from zkmargin.app.venue_facts import claimed_of
from zkmargin.app.verifying import clock_ms
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import json_option, ledger_option, parse_age, revocations_option
from zkmargin.cli.paths import check_paths
from zkmargin.cli.venue_words import venue_lines
from zkmargin.crypto.keys import PublicKey
from zkmargin.formats import InputError, VerificationError
from zkmargin.ledger import Entry
from zkmargin.verifier.attest import Attestation, Revocations, Trust


@click.group("ledger", cls=Group)
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
        "zkmargin ledger status --ledger ledger.db --json",
    ],
)
@ledger_option(required=True, reads=True)
@click.option(
    "--due-after",
    default="1d",
    show_default=True,
    metavar="AGE",
    help="An account is overdue when its newest proof is about a snapshot older than 90s, 10m, 2h, 1d (or ahead of "
    "this machine's clock by more than a minute).",
)
@click.option("--fail-if-overdue", is_flag=True, help="Exit code 1 when an account or a challenge is overdue.")
@json_option
def status_command(ledger_where: str, due_after: str, fail_if_overdue: bool, as_json: bool) -> None:
    """Each account by alias: last proof, snapshot, claim, age, overdue; and the challenges nobody answered.

    Nothing is created or altered.
    """
    due_seconds = parse_age(due_after, "--due-after")
    with open_ledger(ledger_where, read_only=True) as ledger:
        facts = status_facts(ledger, now_ms=clock_ms(), due_seconds=due_seconds)
    late = [account["alias"] for account in facts["accounts"] if account["overdue"]]
    waiting = sum(challenge["overdue"] for challenge in facts["open_challenges"])
    if fail_if_overdue and (late or waiting):
        if not as_json:
            _say_status(facts, due_after)
        error = VerificationError(
            f"overdue: {terminal.counted(len(late), 'account')} and {terminal.counted(waiting, 'challenge')}"
            + (f", {late[0]!r} first" if late else ""),
            check="overdue",
        )
        error.facts = facts
        raise error
    if as_json:
        terminal.say_json(facts)
        return
    _say_status(facts, due_after)


def _say_status(facts: dict[str, Any], due_after: str) -> None:
    proofs, accounts = terminal.counted(facts["proofs"], "proof"), terminal.counted(len(facts["accounts"]), "account")
    terminal.say(f"{terminal.safe(facts['ledger'])}: {proofs} of {accounts}")
    for line in status_lines(facts, due_after):
        terminal.say(line)


def _own_words(own: dict[str, Any]) -> str:
    """What a venue's proof claims of one committed account."""
    words = claimed_of(own["requirement"], own["claim"], own["limits"])
    return f"{terminal.safe(words)}, in the proof of all accounts of {terminal.quoted(own['venue_name'])}"


def status_lines(facts: dict[str, Any], due_after: str) -> Iterator[str]:
    """Accounts and open challenges for people."""
    for account in facts["accounts"]:
        last = account["last"]
        late = f"within {due_after}"
        if not account["claimed"]:
            late = "OVERDUE: no proof claims anything of this account"
        elif account["overdue"]:
            late = "OVERDUE: " + ("from the future" if account["age_seconds"] < 0 else f"older than {due_after}")
        yield f"{terminal.quoted(account['alias'])}: {terminal.counted(account['proofs'], 'proof')}, the last one"
        yield f"  accepted     {last['accepted']}, statement {last['statement']}"
        yield f"  snapshot     {terminal.quoted(last['snapshot']['name'])}, digest {last['snapshot']['digest']}"
        yield f"  age          {account['age_seconds']} s since the snapshot: {late}"
        if "own" in last:
            yield f"  claim        {_own_words(last['own'])}"
        elif last["claim"] is None:
            for line in venue_lines(last["venue"]):
                yield f"  claim        {line}"
        else:
            yield f"  claim        {last['claim']['words']}"
        for limit in last["limits"]:
            yield f"  limit        {terminal.safe(limit)}"
        yield f"  attested     {'by parties of a trust file' if last['trust'] else 'no: without a trust file'}"
    for challenge in facts["open_challenges"]:
        late = "OVERDUE" if challenge["overdue"] else "open"
        yield f"challenge {challenge['digest'][:16]}…: {late}, its deadline is {challenge['deadline']}"


@command.command(
    "check",
    cls=Command,
    examples=[
        "zkmargin ledger check --ledger ledger.db",
    ],
)
@ledger_option(required=True, reads=True)
@click.option(
    "--key",
    "key_paths",
    multiple=True,
    metavar="FILE",
    help="The ledger's public key: every record must be signed with it. Again for the one after it, where it was "
    "changed: an earlier key counts no more once a later one signed.",
)
@click.option("--head", metavar="HEX", help="A head that was shown before: the chain must hold it still.")
@json_option
def check_command(ledger_where: str, key_paths: tuple[str, ...], head: str | None, as_json: bool) -> None:
    """Derive everything in the ledger again from its records and documents: chain, tables, proofs, receipts and all.

    Any edited, removed or inserted row is found. Without --key, whoever can write the database could have written the
    chain anew: what nothing protects then is listed. Note the head that is shown: a chain that was cut at its end no
    longer holds it. Exit code 1 when something is wrong. Nothing is created or altered.
    """
    if head is not None and re.fullmatch("[0-9a-f]{64}", head) is None:
        raise InputError("a head is 64 hexadecimal digits", file="--head")
    keys = [load(PublicKey, path) for path in key_paths]
    with open_ledger(ledger_where, read_only=True) as ledger, terminal.progress("Verifying"):
        facts = check_ledger(ledger, key=keys, head=head)
    name, bad = facts["ledger"], facts["bad"]
    if not (bad and as_json):
        _say_checked(facts, as_json=as_json)
    if bad:
        first = bad[0]
        error = VerificationError(
            f"{name}: {len(bad)} things are wrong; the first, {first['subject']}: {first['reason']}", check="ledger"
        )
        error.facts = facts
        raise error


def _say_checked(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        terminal.say_json(facts)
    else:
        verb = "verifies" if facts["verified"] == 1 else "verify"
        verified = f"{terminal.counted(facts['verified'], 'proof')} {verb}"
        terminal.say(f"{terminal.safe(facts['ledger'])}: {verified}")
        terminal.say(f"  records      {facts['records']}, {facts['signed']} of them signed")
        terminal.say(f"  head         {facts['head']}")
        for column in facts["unprotected"]:
            terminal.say(f"  unprotected  {column}")


@command.command(
    "export",
    cls=Command,
    examples=[
        "zkmargin ledger export --ledger ledger.db my-archive",
    ],
)
@click.argument("folder")
@ledger_option(required=True, reads=True)
@click.option("--statement", metavar="HEX", help="Only the proof whose statement digest begins like this.")
@click.option(
    "--market",
    "market_paths",
    multiple=True,
    metavar="FILE",
    help="What snapshots were built from (markets, arrays), where it was not given to `verify`; several times.",
)
@json_option
def export_command(
    folder: str, ledger_where: str, statement: str | None, market_paths: tuple[str, ...], as_json: bool
) -> None:
    """Write accepted proofs and all their files to FOLDER: whoever gets it can verify them again.

    FOLDER/index.json names, for each proof, its files and the command that verifies it, in FOLDER. With the market
    that a snapshot was built from (verify --market keeps it, or --market here) the snapshot is rebuilt too.
    """
    check_paths(market_paths)
    from zkmargin.app.snapshots import load_market  # noqa: PLC0415 - what builds snapshots takes a moment to load

    sources = [load_market(path) for path in market_paths]
    with open_ledger(ledger_where, read_only=True) as ledger:
        try:
            exported = export(ledger, folder, statement=statement, how=verify_command, sources=sources)
        except InputError as error:
            raise error.located(file="--statement") if error.field == "statement" else error from None
        name = ledger.name
    if as_json:
        terminal.say_json({"ledger": name, "folder": folder, "proofs": exported.proofs})
    else:
        proofs = terminal.counted(len(exported.proofs), "proof")
        documents = terminal.counted(exported.documents, "document")
        terminal.say(f"wrote {proofs} and {documents} to {terminal.safe(folder)}")


def verify_command(entry: Entry, files: dict[str, Any]) -> str:
    """The command that verifies an exported entry, in its folder.

    It repeats the whole acceptance where there is a receipt that counts; else it checks the proof, as of no time.
    """
    words = ["zkmargin", "verify", "--snapshot", files["snapshot"]]
    if entry.claim is None:
        words += [
            "--terms",
            files["terms"],
            *(word for name in files["commitments"] for word in ("--commitment", name)),
        ]
    else:
        words += ["--commitment", files["commitment"]]
        words += ["--claim", ratio(entry.claim), "--requirement", entry.claim.requirement]
    for limit in entry.limits:
        words += ["--also", limit_text(limit)]
    for option, names in (("--market", [files["source"]]), ("--universe", [files["universe"]])):
        words += [word for name in names if name is not None for word in (option, name)]
    words += [word for name in files["earlier"] for word in ("--last", name)]
    context = entry.context.decode("utf-8", "surrogateescape")
    if files["rerun"] is not None:
        words += ["--trust", files["trust"], "--rerun", files["rerun"]]
        for option, names in (("--attestation", files["attestations"]), ("--revocations", files["revocations"])):
            words += [word for name in names for word in (option, name)]
    if files["rerun"] is not None and files["challenge"] is not None:
        words += ["--challenge", files["challenge"]]
    else:
        words += ["--context", context] if context else []
    return terminal.safe(shlex.join([*words, files["proof"]]))


@command.command(
    "see",
    cls=Command,
    examples=[
        "zkmargin ledger see venue-4.json --trust trust.json --ledger ledger.db",
    ],
)
@click.argument("attestation_path", metavar="ATTESTATION")
@click.option("--trust", "trust_path", required=True, metavar="FILE", help="Whose signatures count.")
@revocations_option
@ledger_option(required=True)
@json_option
def see_command(
    attestation_path: str, trust_path: str, revocation_paths: tuple[str, ...], ledger_where: str, as_json: bool
) -> None:
    """Take note of an ATTESTATION without a proof: older ones of its series are refused from now on.

    So a venue tells a verifier that a commitment is superseded. Exit code 1 when it is not signed by enough of those
    whom the trust file names, is revoked, or is itself superseded.
    """
    check_paths([attestation_path, trust_path, *revocation_paths])
    attestation = load(Attestation, attestation_path)
    trust = load(Trust, trust_path)
    lists = [load(Revocations, path) for path in revocation_paths]
    with open_ledger(ledger_where) as ledger:
        quorum = ledger.see(attestation, trust, revocations=lists, now_ms=clock_ms())
    payload = attestation.payload
    facts = {"stream": list(payload.stream), "sequence": payload.sequence, "signers": list(quorum.signers)}
    if as_json:
        terminal.say_json(facts)
        return
    stream = " ".join(map(terminal.word, payload.stream))
    terminal.say(f"seen: number {payload.sequence} of {stream}, signed by {terminal.listed(quorum.signers)}")
