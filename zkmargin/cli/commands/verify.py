"""``zkmargin verify``: check a proof against what the verifier itself holds. Starts fast: no compiler, no tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import click

from zkmargin.accounts import Commitment
from zkmargin.app.facts import statement_facts
from zkmargin.app.files import Output, blamed_on, load, read_proof
from zkmargin.app.verifying import Entry, RerunClock, Terms, accept_proof, check_age, judge_proof, rerun_terms
from zkmargin.cli import terminal
from zkmargin.cli.batch import rejections, verify_entries
from zkmargin.cli.groups import Command
from zkmargin.cli.ledgers import open_ledger
from zkmargin.cli.options import (
    json_option,
    ledger_option,
    parse_age,
    passphrase_option,
    signer_option,
    workers_option,
)
from zkmargin.cli.paths import force_option, write_outputs
from zkmargin.cli.statements import (
    Asked,
    chain_statement,
    gathered,
    load_statement,
    statement_options,
    table_option,
)
from zkmargin.cli.universes import load_universe, universe_options
from zkmargin.cli.venue_verifying import (
    accepted_venue_facts,
    accepted_venue_lines,
    load_venue_statement,
    proof_bytes_of,
    terms_option,
)
from zkmargin.cli.verify_options import Options, check, lacking_word, was_typed
from zkmargin.cli.vouching import vouching_options
from zkmargin.cli.words import not_guaranteed_lines, statement_lines
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError, VerificationError
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Acceptance, Receipt, check_policy
from zkmargin.verifier.header import ProofKind, is_of
from zkmargin.verifier.protocols import AnyStatement

if TYPE_CHECKING:
    from zkmargin.crypto.keys import PublicKey, Signer
    from zkmargin.crypto.signatures import Message, Signature
    from zkmargin.ledger import Ledger


@click.command(
    "verify",
    cls=Command,
    examples=[
        "zkmargin verify --snapshot snapshot.json --commitment commitment.json one.bin",
        "zkmargin verify --snapshot snapshot.json --commitment commitment.json --max-age 365d one.bin",
        "zkmargin verify --snapshot snapshot.json --commitment commitment.json one.bin two.bin    # one check for both",
        (
            "zkmargin verify --snapshot snapshot.json --commitment commitment.json --trust trust.json "
            "--attestation oracle.json --attestation venue.json --attestation custodian.json --challenge "
            "challenge.json answer.bin"
        ),
        "zkmargin verify --bundle bundle.json --trust trust.json --challenge challenge.json",
        "zkmargin verify --table table.json --snapshot snapshot.json --commitment commitment.json chain.bin",
        "zkmargin verify --terms terms.json --snapshot snapshot.json --max-age 365d venue-proof.bin",
    ],
)
@click.argument("proof_paths", metavar="PROOF...", nargs=-1)
@click.option(
    "--bundle",
    "bundle_path",
    metavar="FILE",
    help="A proof with its snapshot, commitments and attestations in one file (zkmargin bundle), instead of theirs.",
)
@click.option("--snapshot", "snapshot_path", metavar="FILE", help="The risk snapshot.")
@click.option(
    "--commitment",
    "commitment_paths",
    multiple=True,
    metavar="FILE",
    help="A commitment that you trust for this account. Several add up; with --terms, one of each committed account.",
)
@statement_options
@vouching_options
@click.option(
    "--market",
    "market_path",
    metavar="FILE",
    help="The market or risk arrays of the snapshot: it is rebuilt, and must be the same. With --ledger they are kept.",
)
@universe_options
@click.option(
    "--max-age",
    metavar="AGE",
    help="Reject a snapshot older than 90s, 10m, 2h, 1d by this machine's clock, or from the future.",
)
@ledger_option(required=False)
@click.option("--receipt", "receipt_path", metavar="FILE", help="Write what was accepted.")
@force_option
@click.option(
    "--receipt-key", "key_path", metavar="FILE", help="Your secret key: signs the receipt and the ledger's record."
)
@passphrase_option
@signer_option
@click.option(
    "--rerun",
    "rerun_path",
    metavar="RECEIPT",
    help="Repeat an acceptance: the clock is the time of RECEIPT, which must be signed by a key that the trust file "
    "names for receipts, and everything must come out as in it.",
)
@click.option("--as-accepted", is_flag=True, help="With --bundle: --rerun of the receipt inside it.")
@table_option
@terms_option
@workers_option
@json_option
@gathered(Options)
def command(options: Options) -> None:
    """Verify PROOF against your own snapshot, commitments, claim and context, and say what was proved.

    Several proofs of one statement are checked together; of several statements, by `zkmargin verify-batch`. Nothing is
    taken from a proof but its numbers: what you give here is the statement. With --trust, the snapshot and
    every commitment must be attested by parties that your trust file names; without it nothing is authenticated. With
    --ledger, the proof is recorded before anything is said, and what was accepted before or is older than what was seen
    is refused. Of a --bundle nothing is believed but what is signed: it is accepted under your own --trust, and your
    own --challenge or --context; it may claim more than you ask. Exit code 0 means accepted, 1 rejected (a stale
    snapshot and a refused attestation are rejections), 2 that the statement's own files are unusable.
    """
    check(options)
    if options.bundle_path is None:
        _verify_files(options)
    else:
        _verify_bundle(options, options.bundle_path)


def _verify_files(options: Options) -> None:
    """Proofs, each in a file, against the verifier's own files."""
    asked, terms = _asked(options)
    before = None if options.rerun_path is None else load(Receipt, options.rerun_path)
    clock = None
    if before is not None and terms.trust is not None:
        with rejections(options.proof_paths[0]):
            terms, clock = rerun_terms(before, terms)
    snapshot_path = options.snapshot_path or ""
    snapshot = load(Snapshot, snapshot_path)
    if options.market_path is not None:
        terms = replace(terms, sources=_rebuilt(options, snapshot))
    terms = replace(terms, derived=options.derived(snapshot.policy))
    statement: AnyStatement
    if options.terms_path is not None:
        statement = load_venue_statement(snapshot, options.terms_path, options.commitment_paths, asked.context)
    else:
        statement = load_statement(snapshot, snapshot_path, options.commitment_paths, asked)
    if len(options.proof_paths) > 1 and isinstance(statement, Statement):
        _verify_several(options, statement, terms)
        return
    (path,) = options.proof_paths
    if options.table_path is not None:
        _verify_chain(options, asked, terms, snapshot)
        return
    signer = _signer(options)
    with rejections(path), _opened(options.ledger_where, signer) as ledger:
        proof = _proof(options, path, statement)
        if ledger is None and before is None and options.receipt_path is None:
            accepted, receipt = judge_proof(statement, proof, terms), None
        else:
            sign = None if signer is None else _receipts_by(signer)
            accepted, receipt = accept_proof(statement, proof, terms, ledger=ledger, before=before, sign=sign)
    if options.receipt_path is not None and receipt is not None:
        write_outputs([Output.document(options.receipt_path, receipt)])
    _say(options, accepted, None if ledger is None else ledger.name, clock)


def _proof(options: Options, path: str, statement: AnyStatement) -> bytes:
    """A proof that is of the statement's protocol by its header. Raises InputError, ProofFormatError."""
    proof = read_proof(path, most=None if options.terms_path is None else proof_bytes_of(statement))
    for kind, what, option in (
        (ProofKind.CHAIN, "a proof of the chain protocol: it is about a table", "the table with --table FILE"),
        (ProofKind.VENUE, "a proof of a venue's accounts: it is about terms", "the terms with --terms FILE"),
    ):
        if is_of(kind, proof) and (kind is ProofKind.CHAIN or options.terms_path is None):
            raise InputError(what, file=path, hint=f"give {option}")
    return proof


def _verify_bundle(options: Options, path: str) -> None:
    """The proof of a bundle, under the verifier's own terms; without those, what it shows and that nobody vouches."""
    from zkmargin.app.bundles import Least, bundled_receipt, check_least, terms_for  # noqa: PLC0415 - they know markets
    from zkmargin.app.evidence import Evidence  # noqa: PLC0415

    asked, own = _asked(options)
    evidence = load(Evidence, path)
    before = bundled_receipt(evidence) if options.as_accepted else None
    if options.rerun_path is not None:
        before = load(Receipt, options.rerun_path)
    terms, clock = terms_for(evidence, own, before=before), None
    if options.market_path is not None:
        terms = replace(terms, sources=_rebuilt(options, evidence.snapshot))
    terms = replace(terms, derived=options.derived(evidence.snapshot.policy))
    with blamed_on(path):
        statement = evidence.statement()
    signer = _signer(options)
    with rejections(path), _opened(options.ledger_where, signer) as ledger:
        if before is not None and terms.trust is not None:
            terms, clock = rerun_terms(before, terms)
        else:
            context = asked.context if asked.challenge is not None or was_typed("context_text") else None
            check_least(statement, Least(asked.claim, asked.limits, context))
        sign = None if signer is None else _receipts_by(signer)
        accepted, receipt = accept_proof(
            statement, evidence.proof_bytes, terms, ledger=ledger, before=before, sign=sign
        )
    lacking = lacking_word(options)
    if lacking is not None:
        _say_unauthenticated(options, path, accepted, lacking)
    if options.receipt_path is not None:
        write_outputs([Output.document(options.receipt_path, receipt)])
    _say(options, accepted, None if ledger is None else ledger.name, clock)


def _say_unauthenticated(options: Options, path: str, acceptance: Acceptance, lacking: str) -> NoReturn:
    """What a bundle shows, and VerificationError: that is no acceptance."""
    facts = {
        "accepted": False,
        "proof_verifies": True,
        "authenticated": acceptance.authenticated is not None,
        "check": "authority",
        "reason": lacking,
        "bundle": path,
        "statement_digest": acceptance.statement_digest.hex(),
        **_facts(acceptance),
    }
    if not options.as_json:
        terminal.say(f"verified, NOT accepted: the proof in {terminal.safe(path)} shows, for what was committed, that")
        for line in (*_lines(acceptance, facts), *not_guaranteed_lines(facts)):
            terminal.say(f"  {line}")
    error = VerificationError(f"{path}: not accepted: the proof verifies, but {lacking}", check="authority")
    error.facts, error.subject = facts, path
    raise error


def _verify_several(options: Options, statement: Statement, terms: Terms) -> None:
    """Several proofs of one statement, with one pairing check."""
    with rejections():
        if terms.policy is not None:
            check_policy(statement.snapshot, [terms.policy.digest().hex()], "the verifier's own policy")
        batch = [Entry(path, statement, read_proof(path)) for path in options.proof_paths]
        verify_entries(batch, terms.max_age_seconds, workers=options.workers, as_json=options.as_json)


def _rebuilt(options: Options, snapshot: Snapshot) -> tuple[Document, ...]:
    """What the snapshot was built from. Raises InputError: it gives another snapshot."""
    from zkmargin.app import snapshots  # noqa: PLC0415 - what prices is loaded where something is

    path = options.market_path or ""
    source = snapshots.load_market(path)
    universe, earlier = load_universe(options.universe_path, options.last_paths)
    with terminal.progress("Rebuilding the snapshot"), blamed_on(path):
        snapshots.check(snapshot, source, universe=universe, earlier=earlier)
    named = {quote.source for quote in snapshot.carried}
    used = (market for market in earlier if market.digest().hex() in named)
    return (source, *([] if universe is None else [universe]), *used)


def _signer(options: Options) -> _Unlocking | None:
    if options.key_path is None:
        return None
    return _Unlocking(options.key_path, options.passphrase_path, options.signer_command)


def _verify_chain(options: Options, asked: Asked, terms: Terms, snapshot: Snapshot) -> None:
    """A proof of the chain protocol: the proof, the policy and the age; who vouches, a contract's registries say."""
    from zkmargin.verifier.chain import verify_chain  # noqa: PLC0415 - most proofs are of the other protocol
    from zkmargin.verifier.chain.statement import CHAIN_POSITION_BITS  # noqa: PLC0415

    for option, given in (
        ("--trust", options.trust_path),
        ("--challenge", options.challenge_path),
        ("--ledger", options.ledger_where),
        ("--receipt", options.receipt_path),
        ("--rerun", options.rerun_path),
    ):
        if given is not None:
            raise InputError("does not go with a chain proof: its registries are contracts", file=option)
    (path,) = options.proof_paths
    commitments = [load(Commitment, name) for name in options.commitment_paths]
    chain = chain_statement(snapshot, commitments, asked, options.table_path or "")
    with rejections(path):
        if terms.policy is not None:
            check_policy(snapshot, [terms.policy.digest().hex()], "the verifier's own policy")
        if terms.max_age_seconds is not None:
            check_age(snapshot, terms.max_age_seconds, now_ms=terms.now_ms)
        digest = verify_chain(chain, read_proof(path))
    facts = {
        "accepted": True,
        "protocol": "chain/v1",
        "statement_digest": digest.hex(),
        "table_hash": chain.table.hash.hex(),
        "layout_digest": chain.table.layout_digest.hex(),
        **statement_facts(chain.statement),
        "positions_range_proved": True,
        "position_bits": CHAIN_POSITION_BITS,
    }
    if options.as_json:
        terminal.say_json(facts)
    else:
        _say_chain(path, facts, chain.table.sequence)


def _say_chain(path: str, facts: dict[str, Any], sequence: int) -> None:
    terminal.say(
        f"accepted: {terminal.safe(path)} proves by chain/v1, for the committed positions and collateral, that"
    )
    for line in statement_lines(facts):
        terminal.say(f"  {line}")
    terminal.say(f"  table        hash {facts['table_hash']}, number {sequence} of its series")
    terminal.say(f"  statement    digest {facts['statement_digest']}")
    for line in not_guaranteed_lines(facts):
        terminal.say(line)


def _asked(options: Options) -> tuple[Asked, Terms]:
    """What the options ask of a proof. Raises InputError."""
    asked = Asked.of(options)
    return asked, options.terms(asked.challenge)


@contextmanager
def _opened(where: str | None, signer: Signer | None) -> Iterator[Ledger | None]:
    """The ledger of ``--ledger``, or None without it. Raises InputError."""
    if where is None:
        yield None
        return
    with open_ledger(where, signer=signer) as ledger:
        yield ledger


class _Unlocking:
    """The verifier's key, for the receipt and the ledger's record; its passphrase is asked for when it first signs."""

    def __init__(self, key_path: str, passphrase_path: str | None, command: str | None) -> None:
        self._given = key_path, passphrase_path, command

    @cached_property
    def _signer(self) -> Signer:
        from zkmargin.cli.passphrases import signer_of  # noqa: PLC0415 - few verifications sign

        return signer_of(*self._given)

    @property
    def public(self) -> PublicKey:
        return self._signer.public

    def sign(self, message: Message) -> Signature:
        return self._signer.sign(message)


def _receipts_by(signer: Signer) -> Callable[[Receipt], Receipt]:
    return lambda receipt: receipt.signed(signer)


def _say(options: Options, acceptance: Acceptance, ledger: str | None, clock: RerunClock | None) -> None:
    facts = {
        "accepted": True,
        "statement_digest": acceptance.statement_digest.hex(),
        "max_age_seconds": None if options.max_age is None else parse_age(options.max_age),
        "receipt": options.receipt_path,
        "ledger": ledger,
        "rerun": None if clock is None else asdict(clock) | {"signers": list(clock.signers)},
        "own_policy": options.policy_name,
        **({} if options.bundle_path is None else {"bundle": options.bundle_path}),
        **_facts(acceptance, recorded=ledger is not None),
    }
    if options.as_json:
        terminal.say_json(facts)
        return
    for line in report(facts, options.bundle_path or options.proof_paths[0], acceptance, options.max_age):
        terminal.say(line, err=options.receipt_path == "-")


def _facts(acceptance: Acceptance, *, recorded: bool = False) -> dict[str, Any]:
    """What an accepted proof shows, of one account or of a venue's."""
    statement = acceptance.statement
    if isinstance(statement, Statement):
        return statement_facts(statement, acceptance, recorded=recorded)
    return accepted_venue_facts(statement, acceptance, recorded=recorded)


def _lines(acceptance: Acceptance, facts: dict[str, Any]) -> list[str]:
    """The same for people."""
    return statement_lines(facts) if isinstance(acceptance.statement, Statement) else accepted_venue_lines(facts)


def report(facts: dict[str, Any], proof_path: str, acceptance: Acceptance, max_age: str | None) -> Sequence[str]:
    """An acceptance for people."""
    what = "for the committed positions and collateral"
    if not isinstance(acceptance.statement, Statement):
        what = "of all accounts of a venue"
    within = f"no older than {max_age} by this machine's clock" if max_age else "not checked (--max-age)"
    if acceptance.trust is not None and acceptance.authenticated is not None:
        rule = acceptance.trust.snapshot_rule(acceptance.authenticated.snapshot.payload.series)
        within = f"no older than the {rule.max_age_seconds} s of the trust file" + (f", {within}" if max_age else "")
    rerun = facts["rerun"]
    if rerun is not None:
        by = f"as of {terminal.safe(rerun['time'])}, by the receipt of {terminal.listed(rerun['signers'])}"
        within = f"{within}, {by}: this machine's clock was not asked"
    return [
        f"accepted: {terminal.safe(proof_path)} proves, {what}, that",
        *(f"  {line}" for line in _lines(acceptance, facts)),
        f"  age          {within}",
        f"  statement    digest {facts['statement_digest']}",
        *([] if facts["receipt"] is None else [f"  receipt      {terminal.safe(facts['receipt'])}"]),
        *([] if facts["ledger"] is None else [f"  ledger       recorded in {terminal.safe(facts['ledger'])}"]),
        *not_guaranteed_lines(facts),
    ]
