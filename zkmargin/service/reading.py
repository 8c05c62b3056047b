"""What is asked of the service: the roster, accounts, lists, coverage, evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from zkmargin.app.evidence import Evidence, evidence_of
from zkmargin.client.answers import AccountLine, AccountView, Part, RefusalLine, SnapshotLine, TokenLine, WebhookLine
from zkmargin.client.documents import MAX_COVERED, Coverage, CoveragePayload, CoveredSnapshot, largest_gap
from zkmargin.client.errors import NotFound
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.formats import InputError, parse_json
from zkmargin.ledger import chain, records
from zkmargin.ledger import tables as ledger_tables
from zkmargin.service import store, tables
from zkmargin.service.desk import Desk, documents_of
from zkmargin.service.intake import snapshot_line
from zkmargin.service.store import AccountRow
from zkmargin.verifier.attest import Challenge, Receipt

#: Rows that are asked for in one statement.
AT_ONCE = 500


def roster(desk: Desk) -> list[AccountLine]:
    """Every account and its state now."""
    now_ms = desk.clock()
    with desk.ledger.database.reading() as connection:
        return [AccountLine(**line) for line in _lines(connection, store.account_rows(connection), now_ms)]


def newest_event(desk: Desk) -> int:
    """The newest event's number; 0 before the first. Whatever is read after it has all up to that one in it."""
    with desk.ledger.database.reading() as connection:
        return store.next_number(connection, tables.events) - 1


def token_lines(desk: Desk, account: str | None) -> list[TokenLine]:
    """Tokens that count: of an account, or all; by whose they are and their names."""
    now_ms = desk.clock()
    found = [one for one in desk.tokens().values() if one.expires_ms is None or one.expires_ms > now_ms]
    if account is not None:
        found = [one for one in found if (one.role, one.account) == ("account", account)]
    return [
        TokenLine(
            digest=one.digest,
            name=one.name,
            role=one.role,
            account=one.account,
            expires=None if one.expires_ms is None else format_time(one.expires_ms),
        )
        for one in sorted(found, key=lambda one: (one.account or "", one.role, one.name, one.digest))
    ]


def webhook_lines(desk: Desk, account: str | None) -> list[WebhookLine]:
    """Webhooks of an account, or all."""
    table = tables.webhooks
    query = select(table).order_by(table.c.scope, table.c.url)
    if account is not None:
        query = query.where(table.c.scope == account)
    with desk.ledger.database.reading() as connection:
        return [
            WebhookLine(
                url=row.url,
                account=row.scope or None,
                events=parse_json(row.events),
                delivered=row.delivered,
                attempts=row.attempts,
                next=format_time(row.next_ms) if row.attempts else None,
            )
            for row in connection.execute(query)
        ]


def account_view(desk: Desk, account: str) -> AccountView:
    """One account with parts and open challenges. Raises NotFound."""
    now_ms, part, challenge = desk.clock(), tables.parts, tables.challenges
    with desk.ledger.database.reading() as connection:
        row = _account(connection, account)
        rows = connection.execute(select(part).where(part.c.account == account).order_by(part.c.role, part.c.issuer))
        parts = [
            Part(
                role=one.role,
                issuer=one.issuer,
                part=one.part,
                sequence=one.sequence,
                expires=format_time(one.expires_ms),
                attestation=one.attestation,
            )
            for one in rows
        ]
        still = (challenge.c.account == account) & (challenge.c.answered == 0) & (challenge.c.deadline_ms > now_ms)
        query = select(challenge.c.challenge).where(still).order_by(challenge.c.deadline_ms)
        digests = connection.execute(query).scalars().all()
        documents = documents_of(connection, Challenge, digests)
        challenges = [documents[digest] for digest in digests]
        (line,) = _lines(connection, [row], now_ms)
    return AccountView.model_construct(**line, parts=parts, challenges=challenges)


def _account(connection: Connection, account: str) -> AccountRow:
    rows = store.account_rows(connection, account)
    if not rows:
        raise NotFound("no such account", field="account")
    return rows[0]


def _lines(connection: Connection, rows: Sequence[AccountRow], now_ms: int) -> Iterator[dict[str, Any]]:
    """Rows of the roster; two statements for some hundred of them, and nothing is counted."""
    proof, refusal = tables.proofs, tables.refusals
    last: dict[int, Any] = {}
    refused: dict[int, RefusalLine] = {}
    for part in (rows[begin : begin + AT_ONCE] for begin in range(0, len(rows), AT_ONCE)):
        numbers = [row.counting for row in part if row.counting is not None]
        found = connection.execute(select(proof).where(proof.c.number.in_(numbers))) if numbers else ()
        last |= {one.number: one for one in found}
        numbers = [row.refused for row in part if row.refused is not None]
        found = connection.execute(select(refusal).where(refusal.c.number.in_(numbers))) if numbers else ()
        refused |= {one.number: store.refusal_line(one) for one in found}
    for row in rows:
        due, counting = row.standing.due_ms, None if row.counting is None else last.get(row.counting)
        yield {
            "account": row.account,
            "state": row.standing.at(now_ms),
            "since": format_time(row.since_ms),
            "until": None if due is None else format_time(due),
            "closed": row.closed,
            "terms": row.terms,
            "proofs": row.proofs,
            "last": None if counting is None else store.proof_line(counting, row.terms),
            "trend": list(row.trend),
            "refused": None if row.refused is None else refused.get(row.refused),
        }


def snapshot_lines(desk: Desk, series: str, *, before: int | None, limit: int) -> list[SnapshotLine]:
    """Published snapshots of a series, the newest first; ``before`` is a number of it."""
    table = tables.snapshots
    query = select(table).where(table.c.series == series).order_by(table.c.sequence.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.sequence < before)
    with desk.ledger.database.reading() as connection:
        return [snapshot_line(row) for row in connection.execute(query)]


def newest_snapshot(desk: Desk, series: str, *, after: int | None) -> str | None:
    """The digest of the newest snapshot of a series; None where there is none above a number."""
    table = tables.snapshots
    query = select(table.c.snapshot).where(table.c.series == series).order_by(table.c.sequence.desc()).limit(1)
    if after is not None:
        query = query.where(table.c.sequence > after)
    with desk.ledger.database.reading() as connection:
        return connection.execute(query).scalar_one_or_none()


def coverage(desk: Desk, account: str, series: str, *, begin: str, end: str) -> Coverage:
    """The signed statement about an account, a series and a time.

    Raises:
        InputError: times that are none or to come, or more snapshots than one statement names.
        NotFound: no such account.
    """
    begin_ms, end_ms = parse_time(begin, field="from"), parse_time(end, field="to")
    if begin_ms > end_ms:
        raise InputError("before from", field="to")
    table, now_ms = tables.snapshots, desk.clock()
    if end_ms > now_ms:  # what will be published then, nobody knows
        raise InputError(f"after now, {format_time(now_ms)}", field="to")
    with desk.ledger.database.reading() as connection:
        row = _account(connection, account)
        of = (table.c.series == series) & table.c.time_ms.between(begin_ms, end_ms)
        query = select(table).where(of).order_by(table.c.sequence).limit(MAX_COVERED + 1)
        published = connection.execute(query).all()
        if len(published) > MAX_COVERED:
            raise InputError(f"more than {MAX_COVERED} snapshots", field="from", hint="ask for a shorter time")
        proved = _proved(desk, connection, row, series, begin_ms, end_ms)
        head = chain.head(connection)  # of the same moment, and no second connection: every thread has one at most
    snapshots = [
        CoveredSnapshot(
            sequence=one.sequence,
            time=format_time(one.time_ms),
            snapshot=one.snapshot,
            statement=proved.get(one.snapshot),
        )
        for one in published
    ]
    times = [one.time_ms for one in published if one.snapshot in proved]
    payload = CoveragePayload(
        service=desk.name,
        account=account,
        series=series,
        trust=desk.trust.digest().hex(),
        terms=row.terms,
        begin=begin,
        end=end,
        time=format_time(now_ms),
        head_number=head[0],
        head=head[1],
        snapshots=tuple(snapshots),
        proven=len(times),
        largest_gap_ms=largest_gap(begin_ms, end_ms, times),
    )
    return Coverage(payload=payload).signed(desk.signer)


def _proved(
    desk: Desk, connection: Connection, row: AccountRow, series: str, begin_ms: int, end_ms: int
) -> dict[str, str]:
    """Statements of an account that count for a series, by snapshot: accepted under today's trust file.

    A snapshot that is published in two series is accepted by one of them (``Desk.published``). It is proved in the
    other one too, where that would have taken it then.
    """
    proof, accepted, rules = tables.proofs, ledger_tables.proofs, {rule.name: rule for rule in desk.trust.snapshots}
    if series not in rules:
        return {}
    allowed_ms = 1000 * (rules[series].max_age_seconds + desk.trust.clock_skew_seconds)
    mine = (proof.c.account == row.account) & proof.c.series.in_(sorted(rules))
    mine &= proof.c.snapshot_ms.between(begin_ms, end_ms) & (accepted.c.trust == desk.trust.digest().hex())
    query = select(proof).join(accepted, accepted.c.statement == proof.c.statement).where(mine)
    found: dict[str, str] = {}
    for one in connection.execute(query.order_by(proof.c.number)):
        in_time = one.series == series or one.accepted_ms <= one.snapshot_ms + allowed_ms
        if in_time and store.counts(row.terms, one):
            found.setdefault(one.snapshot, one.statement)
    return found


class Owner(NamedTuple):
    """Whose an accepted proof is: an account's, or a venue's of every account; neither where nobody here knows."""

    account: str | None = None
    venue: str | None = None


def owner_of(desk: Desk, statement: str) -> Owner:
    """Whose an accepted proof is. Raises NotFound."""
    table, asked = ledger_tables.proofs, tables.venue_challenges
    accepted = select(table.c.requirement, table.c.challenge).where(table.c.statement == statement)
    with desk.ledger.database.reading() as connection:
        row = connection.execute(accepted).first()
        if row is None:
            raise NotFound("no proof of this statement was accepted", field="statement")
        if row.requirement == records.NO_CLAIM["requirement"]:  # also where accounts of ours are in it
            query = select(asked.c.venue).where(asked.c.challenge == row.challenge)
            return Owner(venue=connection.execute(query).scalar_one_or_none())
        query = select(tables.proofs.c.account).where(tables.proofs.c.statement == statement)
        return Owner(account=connection.execute(query).scalar_one_or_none())


def receipt(desk: Desk, statement: str) -> Receipt:
    """The receipt of an accepted proof. Raises NotFound."""
    owner_of(desk, statement)
    table = ledger_tables.proofs
    with desk.ledger.database.reading() as connection:
        digest = connection.execute(select(table.c.receipt).where(table.c.statement == statement)).scalar_one()
    return desk.ledger.document(Receipt, digest)


def evidence(desk: Desk, statement: str) -> Evidence:
    """An accepted proof with all public files around it. Raises NotFound."""
    owner_of(desk, statement)
    table = ledger_tables.proofs
    with desk.ledger.database.reading() as connection:
        row = connection.execute(select(table).where(table.c.statement == statement)).one()
        entry = records.entry_of(connection, row)
    lists: tuple[str, ...] = ()
    if desk.ledger.document(Receipt, entry.receipt or "").payload.revocations:
        lists = desk.ledger.beside_one("revocations", entry)
    return evidence_of(desk.ledger, entry, lists)
