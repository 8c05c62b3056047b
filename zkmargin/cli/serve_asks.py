"""``zkmargin serve ...``: what people ask a venue's service for, and coverage statements checked without it."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import click

from zkmargin.app.evidence import Evidence
from zkmargin.app.files import Output, load
from zkmargin.cli import terminal
from zkmargin.cli.coverage_words import coverage_facts, coverage_lines
from zkmargin.cli.groups import Command
from zkmargin.cli.options import json_option, output_option, parse_age
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.cli.venues import Service, service_options
from zkmargin.crypto.keys import PublicKey
from zkmargin.formats import Caution, InputError, VerificationError
from zkmargin.formats.files import STDIO
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Trust
from zkmargin.verifier.transcript import MarginTranscript

if TYPE_CHECKING:
    from zkmargin.client.venue import VenueClient

AT = "--url http://127.0.0.1:8420 --token-file"


@click.command(
    "coverage",
    cls=Command,
    examples=[
        (
            "zkmargin serve coverage --account maker --series main --from 2026-01-02T00:00:00Z --to "
            f"2026-01-03T00:00:00Z {AT} auditor.token -o my-coverage.json"
        ),
    ],
)
@click.option("--account", required=True, metavar="NAME", help="The account that it is about.")
@click.option("--series", required=True, metavar="NAME", help="Of which snapshots.")
@click.option("--from", "begin", required=True, metavar="TIME", help="From when, 2026-01-02T00:00:00Z.")
@click.option("--to", "end", required=True, metavar="TIME", help="To when.")
@service_options
@output_option("the signed statement")
def coverage_command(account: str, series: str, begin: str, end: str, service: Service, output: str) -> None:
    """The service's signed statement at which snapshots an account was proven. It says nothing of the time between.

    Whoever gets it checks it without the service: zkmargin serve verify-coverage.
    """
    check_paths([service.token_file], [output], json=False)
    with service.connect() as client:
        coverage = client.coverage(account, series, begin=begin, end=end)
    write_outputs([Output.document(output, coverage)])
    for line in coverage_lines(coverage):
        terminal.say(line, err=True)


@click.command(
    "verify-coverage",
    cls=Command,
    examples=[
        "zkmargin serve verify-coverage my-coverage.json --trust trust.json",
        "zkmargin serve verify-coverage my-coverage.json --key desk.public.json --max-gap 5m --json",
    ],
)
@click.argument("coverage_path", metavar="COVERAGE")
@click.option("--trust", "trust_path", metavar="FILE", help="Your trust file: the service must have accepted under it.")
@click.option("--key", "key_path", metavar="FILE", help="Without it: the service's public key, as you know it.")
@click.option("--complete", is_flag=True, help="Fail unless it was proven at every snapshot.")
@click.option("--max-gap", metavar="TIME", help="Fail where the largest gap is longer: 90s, 10m.")
@json_option
def verify_coverage_command(
    coverage_path: str, trust_path: str | None, key_path: str | None, complete: bool, max_gap: str | None, as_json: bool
) -> None:
    """Check a coverage statement without the service: who signed it, that its numbers follow from its list; print it.

    Exit code 1: not signed by who counts, or less than you demand. It is the service's word at which snapshots it
    accepted a proof: each statement digest in it names one, which `zkmargin serve evidence` fetches to verify again.
    """
    from zkmargin.client.checking import check_coverage  # noqa: PLC0415 - few commands read what a service says
    from zkmargin.client.documents import Coverage  # noqa: PLC0415

    if (trust_path is None) == (key_path is None):
        raise InputError("one of the two says whose word counts", file="--trust, --key")
    check_paths([path for path in (coverage_path, trust_path, key_path) if path is not None])
    coverage = load(Coverage, coverage_path)
    trust = None if trust_path is None else load(Trust, trust_path)
    keys = [] if key_path is None else [load(PublicKey, key_path)]
    signer = check_coverage(coverage, trust=trust, keys=keys)
    _demand(
        coverage.payload.largest_gap_ms,
        max_gap,
        complete and not (coverage.payload.snapshots and coverage.payload.complete),
    )
    if as_json:
        terminal.say_json({"signed_by": f"{signer.name} {signer.fingerprint}", **coverage_facts(coverage)})
        return
    for line in coverage_lines(coverage):
        terminal.say(line)
    payload = coverage.payload
    terms = [f"{payload.terms.claim()}", *payload.terms.limits]
    terminal.say(f"  counted      proofs of at least: {terminal.safe('; '.join(terms))}")
    terminal.say(f"  said by      {terminal.quoted(payload.service)} at {payload.time}")
    terminal.say(f"  signed by    {terminal.quoted(signer.name)} {signer.fingerprint}")
    terminal.say("  a proof speaks of its snapshot's time: nothing is said of the time between two snapshots")


def _demand(gap_ms: int, max_gap: str | None, incomplete: bool) -> None:
    """Raises VerificationError: less than is demanded."""
    if incomplete:
        raise VerificationError("it was not proven at every snapshot, or there was none", check="coverage")
    if max_gap is not None and gap_ms > 1000 * parse_age(max_gap, "--max-gap"):
        raise VerificationError(f"the largest gap is {gap_ms / 1000:g} s, longer than {max_gap}", check="coverage")


@click.command("tokens", cls=Command, examples=[f"zkmargin serve tokens {AT} operator.token"])
@service_options
@json_option
def tokens_command(service: Service, as_json: bool) -> None:
    """Tokens that count, by their digests: an account's own; all for an auditor or operator. No token can be read."""
    with service.connect() as client:
        found = client.tokens()
    if as_json:
        terminal.say_json({"tokens": [one.model_dump(mode="json") for one in found]})
        return
    for one in found:
        of = "" if one.account is None else f" of {terminal.quoted(one.account)}"
        until = f", until {one.expires}" if one.expires else ""
        terminal.say(f"{one.digest}  {terminal.quoted(one.name)}: {one.role}{of}{until}")


@click.command("webhooks", cls=Command, examples=[f"zkmargin serve webhooks {AT} operator.token"])
@service_options
@json_option
def webhooks_command(service: Service, as_json: bool) -> None:
    """Where events go, and whether they are taken there: an account's own; all for an auditor or operator."""
    with service.connect() as client:
        found = client.webhooks()
    if as_json:
        terminal.say_json({"webhooks": [one.model_dump(mode="json") for one in found]})
        return
    for one in found:
        of = "everybody" if one.account is None else terminal.quoted(one.account)
        late = f"; {one.attempts} tries failed, the next at {one.next}" if one.attempts else ""
        kinds = terminal.safe(", ".join(one.events))
        terminal.say(f"{terminal.safe(one.url)}: {kinds} of {of}; taken up to {one.delivered}{late}")


@click.command("audit", cls=Command, examples=[f"zkmargin serve audit {AT} auditor.token --limit 20"])
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many lines."
)
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="Lines before this one.")
@service_options
@json_option
def audit_command(limit: int, before: int | None, service: Service, as_json: bool) -> None:
    """The audit log, the newest line first: who ordered, published or was denied what."""
    with service.connect() as client:
        page = client.audit(before=before, limit=limit)
    if as_json:
        terminal.say_json({"items": [one.model_dump(mode="json") for one in page.items], "next": page.next})
        return
    for one in page.items:
        subject = "" if one.subject is None else f" {terminal.word(one.subject)}"
        facts = json.dumps(one.facts, sort_keys=True) if one.facts else ""
        who = terminal.quoted(one.actor)
        terminal.say(f"{one.number} {one.time} {who} {one.action}{subject}: {one.outcome} {terminal.safe(facts)}")
    if page.next is not None:
        terminal.say(f"more: --before {page.next}", err=True)


@click.command("revocations", cls=Command, examples=[f"zkmargin serve revocations {AT} maker.token --json"])
@service_options
@json_option
def revocations_command(service: Service, as_json: bool) -> None:
    """The newest list of revocations of each issuer; --json prints the documents."""
    with service.connect() as client:
        found = client.revocations()
    if as_json:
        terminal.say_json({"revocations": [one.to_json() for one in found]})
        return
    for one in found:
        payload = one.payload
        counts = f"{terminal.counted(len(payload.keys), 'key')}, {len(payload.attestations)} attestations"
        terminal.say(f"{terminal.quoted(payload.issuer)}: number {payload.sequence} of {payload.time}: {counts}")


@click.command("proofs", cls=Command, examples=[f"zkmargin serve proofs --account maker {AT} auditor.token"])
@click.option("--account", required=True, metavar="NAME", help="Whose.")
@click.option("--refused", is_flag=True, help="Those that were refused, with the reasons.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many proofs."
)
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="Those before this one.")
@service_options
@json_option
def proofs_command(
    account: str,
    refused: bool,
    limit: int,
    before: int | None,
    service: Service,
    as_json: bool,
) -> None:
    """Accepted proofs of an account, the newest first, by the digests of their statements; or refused ones."""
    page: Any
    with service.connect() as client:
        page = (client.refusals if refused else client.proofs)(account, before=before, limit=limit)
    if as_json:
        terminal.say_json({"items": [one.model_dump(mode="json") for one in page.items], "next": page.next})
        return
    for one in page.items:
        if refused:
            terminal.say(f"{one.number} {one.time} {terminal.word(one.check)}: {terminal.safe(one.reason)}")
        else:
            about = f"number {one.sequence} of {terminal.quoted(one.series)}"
            less = "" if one.counts else ", less than its terms ask"
            terminal.say(f"{one.statement}  {one.accepted}: {one.ratio} of {one.requirement}, {about}{less}")
    if page.next is not None:
        terminal.say(f"more: --before {page.next}", err=True)


@click.command(
    "evidence", cls=Command, examples=[f"zkmargin serve evidence STATEMENT {AT} auditor.token -o my-evidence.json"]
)
@click.argument("statement", metavar="STATEMENT")
@service_options
@output_option("the evidence bundle")
@json_option
def evidence_command(statement: str, service: Service, output: str, as_json: bool) -> None:
    """Fetch an accepted proof with all public files around it, by its statement's digest (`serve proofs` lists them).

    Verify it again with your own trust file: zkmargin verify --bundle FILE --trust TRUST.
    """
    check_paths([service.token_file], [output], json=as_json)
    with service.connect() as client:
        evidence = Evidence.parse(client.evidence(statement), file="the service's answer")
    if evidence.receipt is None or evidence.receipt.payload.statement != statement:
        raise VerificationError("the bundle is of another statement", check="statement")
    write_outputs([Output.document(output, evidence)])
    if as_json:
        terminal.say_json({"output": output, "statement": statement})
    else:
        terminal.say(f"{terminal.safe(output)}: statement {statement}", err=output == STDIO)


@click.command(
    "challenge",
    cls=Command,
    examples=[
        f"zkmargin serve challenge --account maker --lifetime 10m {AT} maker.token -o my-asked-challenge.json",
        f"zkmargin serve challenge --venue exchange --lifetime 1h {AT} venue.token -o my-venue-challenge.json",
    ],
)
@click.option("--account", metavar="NAME", help="For a proof of this account.")
@click.option("--venue", metavar="NAME", help="For a venue's proof of every account: the name in its terms.")
@click.option("--lifetime", default="10m", show_default=True, metavar="TIME", help="Time until its deadline: 90s, 10m.")
@service_options
@output_option("the challenge")
@json_option
def challenge_command(
    account: str | None,
    venue: str | None,
    lifetime: str,
    service: Service,
    output: str,
    as_json: bool,
) -> None:
    """Ask the service for a challenge, to prove by hand: prove --challenge, bundle, serve submit.

    `zkmargin watch` does all of that for each snapshot.
    """
    if (account is None) == (venue is None):
        raise InputError("one of the two says who will answer", file="--account, --venue")
    check_paths([service.token_file], [output], json=as_json)
    seconds = parse_age(lifetime, "--lifetime")
    with service.connect() as client:
        asked = client.challenges if account is not None else client.venue_challenges
        (challenge,) = asked(account or venue or "", lifetime_seconds=seconds)
    write_outputs([Output.document(output, challenge)])
    if as_json:
        terminal.say_json({"output": output, "digest": challenge.digest().hex(), "deadline": challenge.deadline})
    else:
        terminal.say(f"{terminal.safe(output)}: to be answered before {challenge.deadline}", err=output == STDIO)


def _warn_of_less(client: VenueClient, statement: str) -> None:
    """A caution where an accepted proof claims less than its account's terms, and so does not cover it."""
    account = client.whoami().account or ""
    if any(one.statement == statement and not one.counts for one in client.proofs(account).items):
        caution = "accepted, but it claims less than the account's terms ask: the account is not covered by it"
        terms = client.account(account).terms
        asked = ", ".join([f"{terms.ratio} of {terms.requirement}", *terms.limits])
        warnings.warn(Caution(caution, f"they ask for {asked}"), stacklevel=2)


def _statement_of(bundle: Evidence) -> str:
    """The digest (hex) of what a bundle's proof says. Raises InputError: a venue's, which is submitted otherwise."""
    statement = bundle.statement()
    if not isinstance(statement, Statement):
        raise InputError("a venue's proof: VenueClient.submit_venue_proof takes it", field="terms")
    return MarginTranscript(statement).statement_digest.hex()


@click.command(
    "submit",
    cls=Command,
    examples=[f"zkmargin serve submit bundle.json {AT} maker.token --receipt-key desk.public.json -o my-receipt.json"],
)
@click.argument("bundle_path", metavar="BUNDLE")
@click.option("--receipt-key", "key_path", metavar="FILE", help="The service's public key, as you know it.")
@service_options
@output_option("the receipt")
@json_option
def submit_command(bundle_path: str, key_path: str | None, service: Service, output: str, as_json: bool) -> None:
    """Submit the proof of an evidence bundle that answers a challenge of the service; write the receipt.

    The receipt must be of the bundle's statement and, with --receipt-key, the service's; else nothing is written.
    Exit code 1: refused, and why. Submitted again after a lost answer, it is not counted twice: the receipt is fetched.
    """
    from zkmargin.client.checking import check_receipt  # noqa: PLC0415 - few commands call a service
    from zkmargin.client.errors import AlreadyAccepted  # noqa: PLC0415

    paths = [path for path in (bundle_path, key_path, service.token_file) if path is not None]
    check_paths(paths, [output], json=as_json)
    bundle = load(Evidence, bundle_path)
    key = None if key_path is None else load(PublicKey, key_path)
    statement = _statement_of(bundle)
    with service.connect() as client:
        try:
            receipt = client.submit_bundle(bundle.to_bytes())
        except AlreadyAccepted:
            receipt = client.receipt(statement)
        check_receipt(receipt, statement, key=key)
        write_outputs([Output.document(output, receipt)])
        _warn_of_less(client, receipt.payload.statement)
    if as_json:
        terminal.say_json({"output": output, "statement": receipt.payload.statement, "time": receipt.payload.time})
    else:
        said = f"accepted at {receipt.payload.time}, statement {receipt.payload.statement}"
        terminal.say(said, err=output == STDIO)


COMMANDS = (
    *(coverage_command, verify_coverage_command, proofs_command, evidence_command, challenge_command, submit_command),
    *(tokens_command, webhooks_command, audit_command, revocations_command),
)
