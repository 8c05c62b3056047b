"""What happens to the service's own tables inside a transaction, and what is read from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from zkmargin.client.answers import AuditLine, ProofLine, RefusalLine
from zkmargin.client.documents import EventPayload, Terms
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.engine.limits import Limit
from zkmargin.formats import canonical_bytes, parse_json
from zkmargin.service import tables
from zkmargin.service.states import Standing
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Acceptance, SnapshotPayload


def next_number(connection: Connection, table: Table) -> int:
    """One more than the last; writers come one after the other, so that there are no gaps."""
    return 1 + int(connection.execute(select(func.coalesce(func.max(table.c.number), 0))).scalar_one())


# --- events and the audit log ---------------------------------------------------------------------------------------


def emit(connection: Connection, service: str, now_ms: int, kind: str, **facts: Any) -> None:
    """Add an event."""
    number = next_number(connection, tables.events)
    payload = EventPayload.model_validate(
        {"service": service, "number": number, "time": format_time(now_ms), "kind": kind, **facts}
    )
    text = canonical_bytes(payload.model_dump(mode="json", exclude_none=True)).decode()
    values = {"number": number, "time_ms": now_ms, "kind": kind, "account": payload.account, "payload": text}
    connection.execute(insert(tables.events).values(values))


def events_after(connection: Connection, number: int, *, account: str | None, limit: int) -> list[EventPayload]:
    """Events above a number; with an account its own and those that are nobody's."""
    table = tables.events
    query = select(table.c.payload).where(table.c.number > number).order_by(table.c.number).limit(limit)
    if account is not None:
        query = query.where((table.c.account == account) | table.c.account.is_(None))
    return [EventPayload.model_validate(parse_json(text)) for text in connection.execute(query).scalars()]


def audit(
    connection: Connection,
    now_ms: int,
    actor: str,
    action: str,
    *,
    subject: str | None = None,
    outcome: str = "done",
    **facts: Any,
) -> None:
    """Add a line to the audit log. Facts are JSON without secrets."""
    values = {"number": next_number(connection, tables.audit), "time_ms": now_ms, "actor": actor[:200]}
    values |= {
        "action": action,
        "subject": subject,
        "outcome": outcome[:40],
        "facts": json.dumps(facts, sort_keys=True),
    }
    connection.execute(insert(tables.audit).values(values))


def audit_lines(connection: Connection, *, before: int | None, limit: int) -> list[AuditLine]:
    """The newest lines first."""
    return [
        AuditLine(
            number=row.number,
            time=format_time(row.time_ms),
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            outcome=row.outcome,
            facts=json.loads(row.facts),
        )
        for row in _newest(connection, tables.audit, before=before, limit=limit)
    ]


def _newest(
    connection: Connection, table: Table, *, before: int | None, limit: int, account: str | None = None
) -> Sequence[Any]:
    query = select(table).order_by(table.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.number < before)
    if account is not None:
        query = query.where(table.c.account == account)
    return connection.execute(query).all()


def forget_old(connection: Connection, now_ms: int, days: dict[Table, int]) -> int:
    """Delete what is older than its days; how many rows. The last row of each stays: numbers never begin again."""
    gone = 0
    for table, kept in days.items():
        last = select(func.max(table.c.number)).scalar_subquery()
        old = (table.c.time_ms < now_ms - kept * 86_400_000) & (table.c.number < last)
        gone += connection.execute(delete(table).where(old)).rowcount
    return gone


# --- accounts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AccountRow:
    """An account as it is kept, with the time until which somebody vouches for all its parts."""

    account: str
    terms: Terms
    keys: list[dict[str, Any]]
    closed: bool
    state: str
    since_ms: int
    until_ms: int | None
    counting: int | None
    standing: Standing


def account_rows(connection: Connection, account: str | None = None) -> list[AccountRow]:
    """One account (or none where there is no such), or all by name."""
    table, part = tables.accounts, tables.parts
    query_parts = select(
        part.c.account,
        func.min(part.c.expires_ms).label("expires_ms"),
        func.max(part.c.revoked).label("revoked"),
        func.count(part.c.role.distinct()).label("roles"),
    ).group_by(part.c.account)
    query = select(table).order_by(table.c.account)
    if account is not None:
        query_parts, query = query_parts.where(part.c.account == account), query.where(table.c.account == account)
    vouched = {
        row.account: row.expires_ms for row in connection.execute(query_parts) if not row.revoked and row.roles > 1
    }
    return [_account(row, vouched.get(row.account)) for row in connection.execute(query)]


def _account(row: Any, vouched_until_ms: int | None) -> AccountRow:
    terms = Terms.model_validate(parse_json(row.terms))
    standing = Standing(
        period_ms=1000 * terms.period_seconds,
        grace_ms=1000 * terms.grace_seconds,
        snapshot_ms=row.snapshot_ms,
        accepted_ms=row.accepted_ms,
        changed_ms=row.changed_ms,
        vouched_until_ms=vouched_until_ms,
        refused=row.refused is not None,
    )
    keys = parse_json(row.keys)
    return AccountRow(
        row.account, terms, keys, bool(row.closed), row.state, row.since_ms, row.until_ms, row.counting, standing
    )


def put_account(connection: Connection, account: str, now_ms: int, **values: Any) -> None:
    """Change columns of an account, or add it."""
    table = tables.accounts
    if connection.execute(select(table.c.account).where(table.c.account == account)).first() is None:
        first: dict[str, Any] = {"account": account, "closed": 0, "state": "uncovered", "since_ms": now_ms}
        connection.execute(insert(table).values(first | values))
    else:
        connection.execute(update(table).where(table.c.account == account).values(values))


def recount(connection: Connection, account: str, terms: Terms) -> None:
    """Find the newest proof that counts by these terms, after they changed."""
    table = tables.proofs
    query = select(table).where(table.c.account == account).order_by(table.c.snapshot_ms.desc(), table.c.number.desc())
    counting = next((row for row in connection.execute(query) if counts(terms, row)), None)
    names = {"counting": "number", "snapshot_ms": "snapshot_ms", "accepted_ms": "accepted_ms"}
    values = {name: None if counting is None else getattr(counting, of) for name, of in names.items()}
    connection.execute(update(tables.accounts).where(tables.accounts.c.account == account).values(values))


def counts(terms: Terms, row: Any) -> bool:
    """Whether an accepted proof is at least what the terms ask."""
    own = terms.claim()
    enough = row.num * own.den >= own.num * row.den and row.requirement == own.requirement
    return enough and set(terms.limits) <= set(parse_json(row.limits))


def mark_changed(connection: Connection, account: str, now_ms: int) -> None:
    """Its parts are others now: a proof is due, since the first change after the last proof that counts."""
    table = tables.accounts
    connection.execute(
        update(table).where(table.c.account == account, table.c.changed_ms.is_(None)).values(changed_ms=now_ms)
    )


def settle_state(connection: Connection, service: str, row: AccountRow, now_ms: int) -> bool:
    """Write an account's state as of now, and an event where it is another; whether it was."""
    state, until = row.standing.at(now_ms), row.standing.due_ms
    if state == row.state and until == row.until_ms:
        return False
    values: dict[str, Any] = {"state": state, "until_ms": until}
    if state != row.state:
        values["since_ms"] = now_ms
        facts = {"account": row.account, "state": state, "previous": row.state}
        emit(connection, service, now_ms, "state", **facts, until=None if until is None else format_time(until))
    connection.execute(update(tables.accounts).where(tables.accounts.c.account == row.account).values(values))
    return state != row.state


# --- proofs -----------------------------------------------------------------------------------------------------------


def add_proof(connection: Connection, service: str, account: AccountRow, acceptance: Acceptance) -> None:
    """What an accepted proof means for its account; in the transaction that records it."""
    statement, payload = acceptance.statement, acceptance.attested[0].payload
    if not isinstance(payload, SnapshotPayload) or not isinstance(statement, Statement):
        raise TypeError("a snapshot's attestation comes first, and the statement is of one account")
    number, snapshot_ms = next_number(connection, tables.proofs), parse_time(acceptance.snapshot.time)
    claim = statement.claim
    values = {
        "number": number,
        "statement": acceptance.statement_digest.hex(),
        "account": account.account,
        "series": payload.series,
        "sequence": payload.sequence,
        "snapshot": statement.snapshot_digest.hex(),
        "snapshot_ms": snapshot_ms,
        "num": claim.num,
        "den": claim.den,
        "requirement": claim.requirement,
        "limits": json.dumps([str(limit) for limit in statement.limits]),
        "accepted_ms": acceptance.time_ms,
    }
    connection.execute(insert(tables.proofs).values(values))
    if acceptance.challenge is not None:
        answered = tables.challenges.c.challenge == acceptance.challenge.digest().hex()
        connection.execute(update(tables.challenges).where(answered).values(answered=1))
    emit(
        connection,
        service,
        acceptance.time_ms,
        "accepted",
        account=account.account,
        statement=values["statement"],
        ratio=f"{claim.num}/{claim.den}",
        snapshot=values["snapshot"],
        series=payload.series,
        sequence=payload.sequence,
        challenge=None if acceptance.challenge is None else acceptance.challenge.digest().hex(),
    )
    (row,) = account_rows(connection, account.account)
    changes: dict[str, Any] = {"refused": None}
    newer = row.standing.snapshot_ms is None or snapshot_ms >= row.standing.snapshot_ms
    if newer and row.terms.met_by(claim, statement.limits):
        changes |= {"counting": number, "snapshot_ms": snapshot_ms, "accepted_ms": acceptance.time_ms}
        changes |= {"changed_ms": None}
    connection.execute(update(tables.accounts).where(tables.accounts.c.account == account.account).values(changes))
    times = {name: changes[name] for name in ("snapshot_ms", "accepted_ms", "changed_ms") if name in changes}
    row = replace(row, standing=replace(row.standing, refused=False, **times))
    settle_state(connection, service, row, acceptance.time_ms)


def add_refusal(
    connection: Connection,
    service: str,
    now_ms: int,
    *,
    account: str,
    check: str,
    reason: str,
    snapshot: str,
    challenge: str,
    proof: str,
) -> None:
    """Keep a refused proof's reason."""
    number = next_number(connection, tables.refusals)
    values = {"number": number, "account": account, "time_ms": now_ms, "check": check, "reason": reason[:500]}
    values |= {"snapshot": snapshot, "challenge": challenge, "proof": proof}
    connection.execute(insert(tables.refusals).values(values))
    connection.execute(update(tables.accounts).where(tables.accounts.c.account == account).values(refused=number))
    facts = {"account": account, "check": check, "reason": reason[:500], "snapshot": snapshot, "challenge": challenge}
    emit(connection, service, now_ms, "refused", **facts)


def proof_line(row: Any, terms: Terms) -> ProofLine:
    """A row for programs."""
    return ProofLine(
        number=row.number,
        statement=row.statement,
        accepted=format_time(row.accepted_ms),
        series=row.series,
        sequence=row.sequence,
        snapshot=row.snapshot,
        snapshot_time=format_time(row.snapshot_ms),
        ratio=f"{row.num}/{row.den}",
        requirement=row.requirement,
        limits=parse_json(row.limits),
        counts=counts(terms, row),
    )


def proof_lines(
    connection: Connection, account: str, terms: Terms, *, before: int | None, limit: int
) -> list[ProofLine]:
    """Accepted proofs of an account, the newest first."""
    rows = _newest(connection, tables.proofs, before=before, limit=limit, account=account)
    return [proof_line(row, terms) for row in rows]


def refusal_line(row: Any) -> RefusalLine:
    """A row for programs."""
    return RefusalLine(
        number=row.number,
        time=format_time(row.time_ms),
        check=row.check,
        reason=row.reason,
        snapshot=row.snapshot,
        challenge=row.challenge,
        proof=row.proof,
    )


def refusal_lines(connection: Connection, account: str, *, before: int | None, limit: int) -> list[RefusalLine]:
    """Refused proofs of an account, the newest first."""
    return [
        refusal_line(row) for row in _newest(connection, tables.refusals, before=before, limit=limit, account=account)
    ]


def limits_of(texts: Sequence[str]) -> tuple[Limit, ...]:
    """Limits from their texts."""
    return tuple(Limit.parse(text) for text in texts)
