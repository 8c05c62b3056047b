"""Submitted proofs, judged together: what the service knows of each, the verdicts, and what is recorded of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from zkmargin.app.evidence import Evidence
from zkmargin.app.verifying import software
from zkmargin.client.documents import Submission, commitment_digest
from zkmargin.client.errors import AlreadyAccepted, NotFound, Unavailable
from zkmargin.formats import InputError, VerificationError, ZkMarginError
from zkmargin.formats.canonical import keccak256
from zkmargin.ledger import tables as ledger_tables
from zkmargin.service import store, tables
from zkmargin.service.desk import Desk, Holding, documents_of
from zkmargin.service.store import Proven
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Acceptance, Candidate, Challenge, Receipt

#: Recorded as a refusal: whatever is wrong with the proof or what it rests on.
Verdict = Receipt | ZkMarginError


@dataclass(frozen=True)
class _Ready:
    submission: Submission
    holding: Holding
    candidate: Candidate


def judge(desk: Desk, submissions: Sequence[Submission]) -> list[Verdict]:
    """A receipt or an error for each, in their order. What has a receipt is on disk when this returns."""
    now_ms = desk.clock()
    issued = _challenges(desk, submissions)
    verdicts: dict[int, Verdict] = {}
    ready: dict[int, _Ready] = {}
    for place, submission in enumerate(submissions):
        try:
            ready[place] = _prepare(desk, submission, issued.get(submission.challenge))
        except ZkMarginError as error:
            verdicts[place] = error
    if ready:
        places = list(ready)

        def unless(connection: Connection, asked: Sequence[int]) -> dict[int, ZkMarginError]:
            return changed_since(connection, {at: ready[places[at]].holding for at in asked})

        def also(connection: Connection, recorded: Sequence[tuple[int, Acceptance, Receipt]]) -> None:
            proven = [
                Proven(
                    ready[places[at]].holding.row.account,
                    acceptance,
                    acceptance.statement.claim,
                    acceptance.statement.limits,
                )
                for at, acceptance, _ in recorded
                if isinstance(acceptance.statement, Statement)
            ]
            store.add_proofs(connection, desk.name, proven)

        recorded = desk.ledger.accept_each(
            [one.candidate for one in ready.values()],
            now_ms=now_ms,
            trust=desk.trust,
            revocations=desk.revocations(),
            receipt=lambda acceptance: acceptance.receipt(software=software()).signed(desk.signer),
            verify_all=lambda items: desk.pool.verify_each(
                [(statement, proof) for statement, proof in items if isinstance(statement, Statement)]
            ),
            older_snapshots=True,
            unless=unless,
            also=also,
        )
        for place, found in zip(places, recorded, strict=True):
            if isinstance(found, ZkMarginError):
                verdicts[place] = found
            else:
                verdicts[place], statement = found[1], ready[place].candidate.statement
                if isinstance(statement, Statement):
                    desk.claimed((statement.claim, statement.limits))
    try:
        _name_replays(desk, submissions, verdicts)
        _record_refusals(desk, submissions, verdicts, now_ms)
    except ZkMarginError as error:  # receipts are on disk by now, and are answered whatever comes of the others
        for place, verdict in verdicts.items():
            if isinstance(verdict, ZkMarginError):
                verdicts[place] = Unavailable(f"not judged: {error.message}", retry_after=2)
    desk.changed()
    return [verdicts[place] for place in range(len(submissions))]


def bundled(evidence: Evidence) -> Submission:
    """The proof of a bundle as it is submitted; trust, attestations and receipts in it are left aside.

    Raises:
        InputError: a venue's proof, or no challenge that it answers.
    """
    statement = evidence.statement()
    if not isinstance(statement, Statement):
        raise InputError("a venue's proof: submit it to /v1/venue-proofs", field="terms")
    if evidence.challenge is None:
        raise InputError("answers no challenge", field="challenge", hint="make it with the challenge that was issued")
    account = statement.parts[0].alias
    return Submission.of(statement, evidence.proof_bytes, account=account, challenge=evidence.challenge)


def _challenges(desk: Desk, submissions: Sequence[Submission]) -> dict[str, tuple[str, Challenge]]:
    """The challenges that are answered: to which account each was issued."""
    digests, table = [one.challenge for one in submissions], tables.challenges
    with desk.ledger.database.reading() as connection:
        query = select(table.c.challenge, table.c.account).where(table.c.challenge.in_(digests))
        accounts = {row.challenge: row.account for row in connection.execute(query)}
        documents = documents_of(connection, Challenge, list(accounts))
    return {digest: (accounts[digest], one) for digest, one in documents.items()}


def _prepare(desk: Desk, submission: Submission, issued: tuple[str, Challenge] | None) -> _Ready:
    """The statement, from what the service has itself. Raises VerificationError, NotFound, InputError."""
    holding = desk.holding(submission.account)
    if holding.row.closed:
        raise VerificationError("the account is closed", check="account")
    if issued is None or issued[0] != submission.account:
        raise VerificationError("the challenge was not issued to this account", check="challenge")
    try:
        published = desk.published(submission.snapshot)
    except NotFound as error:
        raise VerificationError(error.message, check="snapshot", hint="fetch the newest snapshot") from None
    snapshot, challenge = published.snapshot, issued[1]
    if not holding.attestations:
        raise VerificationError("no part of the account is registered", check="commitment")
    try:
        commitment = holding.commitment
        statement = Statement.of(
            snapshot,
            [] if commitment is None else [commitment],
            submission.claim.claim(),
            context=challenge.context,
            limits=submission.claim.parsed_limits(),
        )
    except InputError as error:
        raise VerificationError(error.message, check="statement", hint=error.hint) from None
    if commitment_digest(statement) != submission.commitment:
        raise VerificationError(
            "the proof is about other parts than those that are registered now",
            check="commitment",
            hint="fetch the account's attestations",
        )
    attestations = (published.attestation, *holding.attestations)
    return _Ready(submission, holding, Candidate(statement, submission.proof_bytes, attestations, challenge))


def changed_since(connection: Connection, holdings: Mapping[int, Holding]) -> dict[int, ZkMarginError]:
    """Which accounts were closed, or have other parts than those that were proved about, or revoked ones, by now."""
    table, now, revoked = tables.parts, defaultdict[str, set[str]](set), set[str]()
    accounts = {holding.row.account for holding in holdings.values()}
    columns = (table.c.account, table.c.attestation, table.c.revoked)
    for row in connection.execute(select(*columns).where(table.c.account.in_(accounts))):
        now[row.account].add(row.attestation)
        if row.revoked:
            revoked.add(row.account)
    own = tables.accounts.c
    closed = set(connection.execute(select(own.account).where(own.account.in_(accounts), own.closed != 0)).scalars())
    found: dict[int, ZkMarginError] = {}
    for place, holding in holdings.items():
        if holding.row.account in closed:
            found[place] = VerificationError("the account is closed", check="account")
        elif now[holding.row.account] != holding.digests:
            found[place] = VerificationError("the account's parts changed in the meantime", check="sequence")
        elif holding.row.account in revoked:
            found[place] = VerificationError("a part's attestation was revoked in the meantime", check="revocation")
    return found


def _name_replays(desk: Desk, submissions: Sequence[Submission], verdicts: dict[int, Verdict]) -> None:
    """As ``accepted_before``, for each that was refused."""
    for place, verdict in verdicts.items():
        if isinstance(verdict, ZkMarginError):
            submission = submissions[place]
            verdicts[place] = accepted_before(desk, submission.challenge, submission.proof_bytes, verdict)


def accepted_before(desk: Desk, challenge: str, proof: bytes, verdict: ZkMarginError) -> ZkMarginError:
    """Whoever submits once more what was accepted, after a lost answer say, is told its statement's digest; else the
    verdict as it is.
    """
    if not isinstance(verdict, VerificationError) or verdict.check not in ("challenge", "replay"):
        return verdict
    table = ledger_tables.proofs
    query = select(table.c.statement, table.c.proof).where(table.c.challenge == challenge)
    with desk.ledger.database.reading() as connection:
        row = connection.execute(query).first()
    same = row is not None and bytes(row.proof) == proof
    return AlreadyAccepted("this proof was accepted before", statement=row.statement) if row and same else verdict


def _record_refusals(desk: Desk, submissions: Sequence[Submission], verdicts: dict[int, Verdict], now_ms: int) -> None:
    refused = [
        (submissions[place], verdict)
        for place, verdict in sorted(verdicts.items())
        if isinstance(verdict, ZkMarginError) and not isinstance(verdict, (AlreadyAccepted, NotFound))
    ]
    if not refused:
        return

    def write(connection: Connection) -> None:
        for submission, error in refused:
            store.add_refusal(
                connection,
                desk.name,
                now_ms,
                account=submission.account,
                check=getattr(error, "check", "format"),
                reason=error.message,
                snapshot=submission.snapshot,
                challenge=submission.challenge,
                proof=keccak256(submission.proof_bytes).hex(),
            )

    desk.ledger.database.write(write)
