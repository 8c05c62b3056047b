"""What happens to the service's own tables inside a transaction, and what is read from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, null, select, update

from zkmargin.client.answers import AuditLine, ProofLine, RefusalLine
from zkmargin.client.documents import EventPayload, Terms
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.engine.limits import Limit
from zkmargin.formats import canonical_bytes, parse_json
from zkmargin.service import tables
from zkmargin.service.states import Standing
from zkmargin.verifier.attest import Acceptance, SnapshotPayload

#: Ratios in an account's trend.
TREND = 10


def next_number(connection: Connection, table: Table) -> int:
    """One more than the last; writers come one after the other, so that there are no gaps."""
    return 1 + int(connection.execute(select(func.coalesce(func.max(table.c.number), 0))).scalar_one())


# --- events and the audit log ---------------------------------------------------------------------------------------


def emit(connection: Connection, service: str, now_ms: int, kind: str, **facts: Any) -> None:
    """Add an event."""
    emit_each(connection, service, [(kind, now_ms, facts)])


def emit_at(connection: Connection, service: str, now_ms: int, number: int, kind: str, **facts: Any) -> None:
    """Add an event under a number above all others."""
    connection.execute(insert(tables.events), [_event_row(service, number, kind, now_ms, facts)])


def emit_each(connection: Connection, service: str, added: Sequence[tuple[str, int, dict[str, Any]]]) -> None:
    """Add events: kind, time and facts of each."""
    if not added:
        return
    first = next_number(connection, tables.events)
    rows = [
        _event_row(service, number, kind, time_ms, facts) for number, (kind, time_ms, facts) in enumerate(added, first)
    ]
    connection.execute(insert(tables.events), rows)


def _event_row(service: str, number: int, kind: str, time_ms: int, facts: dict[str, Any]) -> dict[str, Any]:
    payload = EventPayload.model_validate(
        {"service": service, "number": number, "time": format_time(time_ms), "kind": kind, **facts}
    )
    text = canonical_bytes(payload.model_dump(mode="json", exclude_none=True)).decode()
    return {"number": number, "time_ms": time_ms, "kind": kind, "account": payload.account, "payload": text}


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


def forget_challenges(connection: Connection, *, before_ms: int) -> int:
    """Delete those whose time was over before, and that nobody answered; how many rows. The ledger's record stays."""
    gone = 0
    for table in (tables.challenges, tables.venue_challenges):
        old = (table.c.answered == 0) & (table.c.deadline_ms < before_ms)
        gone += connection.execute(delete(table).where(old)).rowcount
    return gone


def forget_tokens(connection: Connection, now_ms: int) -> int:
    """Delete those that expired; how many. One that was revoked stays: it is never good again, whoever orders it."""
    table = tables.tokens
    return connection.execute(delete(table).where(table.c.revoked == 0, table.c.expires_ms < now_ms)).rowcount


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
    refused: int | None
    proofs: int
    trend: tuple[str, ...]


def account_rows(connection: Connection, *accounts: str) -> list[AccountRow]:
    """These accounts (those that there are), or all, by name."""
    table, part = tables.accounts, tables.parts
    query_parts = select(
        part.c.account,
        func.min(part.c.expires_ms).label("expires_ms"),
        func.max(part.c.revoked).label("revoked"),
        func.count(part.c.role.distinct()).label("roles"),
    ).group_by(part.c.account)
    query = select(table).order_by(table.c.account)
    if accounts:
        query_parts = query_parts.where(part.c.account.in_(accounts))
        query = query.where(table.c.account.in_(accounts))
    vouched = {
        row.account: row.expires_ms for row in connection.execute(query_parts) if not row.revoked and row.roles > 1
    }
    return [_account(row, vouched.get(row.account)) for row in connection.execute(query)]


def _account(row: Any, vouched_until_ms: int | None) -> AccountRow:
    terms = _terms(row.terms)
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
        account=row.account,
        terms=terms,
        keys=keys,
        closed=bool(row.closed),
        state=row.state,
        since_ms=row.since_ms,
        until_ms=row.until_ms,
        counting=row.counting,
        standing=standing,
        refused=row.refused,
        proofs=row.proofs,
        trend=tuple(parse_json(row.trend)),
    )


@lru_cache(maxsize=4096)
def _terms(text: str) -> Terms:
    return Terms.model_validate(parse_json(text))


def put_account(connection: Connection, account: str, now_ms: int, **values: Any) -> None:
    """Change columns of an account, or add it."""
    table = tables.accounts
    if connection.execute(select(table.c.account).where(table.c.account == account)).first() is None:
        first: dict[str, Any] = {"account": account, "closed": 0, "state": "uncovered", "since_ms": now_ms}
        connection.execute(insert(table).values(first | values))
    else:
        connection.execute(update(table).where(table.c.account == account).values(values))


def recount(connection: Connection, account: str, terms: Terms) -> str | None:
    """Find the newest proof that counts by these terms, after they changed: its statement."""
    table = tables.proofs
    query = select(table).where(table.c.account == account).order_by(table.c.snapshot_ms.desc(), table.c.number.desc())
    counting = next((row for row in connection.execute(query) if counts(terms, row)), None)
    names = {"counting": "number", "snapshot_ms": "snapshot_ms", "accepted_ms": "accepted_ms"}
    values = {name: None if counting is None else getattr(counting, of) for name, of in names.items()}
    connection.execute(update(tables.accounts).where(tables.accounts.c.account == account).values(values))
    return None if counting is None else str(counting.statement)


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
    settled, event = _settled(row, now_ms)
    if settled == row:
        return False
    if event is not None:
        emit_each(connection, service, [event])
    values = {name: getattr(settled, name) for name in ("state", "since_ms", "until_ms")}
    connection.execute(update(tables.accounts).where(tables.accounts.c.account == row.account).values(values))
    return event is not None


def _settled(row: AccountRow, now_ms: int) -> tuple[AccountRow, tuple[str, int, dict[str, Any]] | None]:
    """An account with its state as of now, and the event of a change."""
    state, until = row.standing.at(now_ms), row.standing.due_ms
    if state == row.state:
        return replace(row, until_ms=until), None
    facts: dict[str, Any] = {"account": row.account, "state": state, "previous": row.state}
    facts["until"] = None if until is None else format_time(until)
    return replace(row, state=state, until_ms=until, since_ms=now_ms), ("state", now_ms, facts)


# --- proofs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proven:
    """What an accepted proof claims of an account: a proof of one account of it, a venue's of several."""

    account: str
    acceptance: Acceptance
    claim: Claim
    limits: tuple[Limit, ...]


def add_proofs(connection: Connection, service: str, accepted: Sequence[Proven]) -> None:
    """What accepted proofs mean for accounts; in the transaction that records them."""
    if not accepted:
        return
    accounts = {row.account: row for row in account_rows(connection, *{one.account for one in accepted})}
    proofs: list[dict[str, Any]] = []
    events: list[tuple[str, int, dict[str, Any]]] = []
    answered: list[dict[str, Any]] = []
    for number, one in enumerate(accepted, next_number(connection, tables.proofs)):
        acceptance, values = one.acceptance, _proof_values(number, one)
        proofs.append(values)
        facts = {name: values[name] for name in ("account", "statement", "snapshot", "series", "sequence")}
        facts["ratio"] = f"{values['num']}/{values['den']}"
        if acceptance.challenge is not None:
            facts["challenge"] = acceptance.challenge.digest().hex()
            answered.append({"answers": facts["challenge"]})
        events.append(("accepted", acceptance.time_ms, facts))
        row, event = _settled(_proven(accounts[one.account], one, values), acceptance.time_ms)
        accounts[one.account] = row
        events += [] if event is None else [event]
    connection.execute(insert(tables.proofs), proofs)
    if answered:
        of_answer = tables.challenges.c.challenge == bindparam("answers")
        connection.execute(update(tables.challenges).where(of_answer).values(answered=1), answered)
    emit_each(connection, service, events)
    _write_standings(connection, accounts.values())


def _proof_values(number: int, one: Proven) -> dict[str, Any]:
    acceptance, payload = one.acceptance, one.acceptance.attested[0].payload
    if not isinstance(payload, SnapshotPayload):
        raise TypeError("a snapshot's attestation comes first")
    return {
        "number": number,
        "statement": acceptance.statement_digest.hex(),
        "account": one.account,
        "series": payload.series,
        "sequence": payload.sequence,
        "snapshot": acceptance.statement.snapshot_digest.hex(),
        "snapshot_ms": parse_time(acceptance.snapshot.time),
        "num": one.claim.num,
        "den": one.claim.den,
        "requirement": one.claim.requirement,
        "limits": json.dumps([str(limit) for limit in one.limits]),
        "accepted_ms": acceptance.time_ms,
    }


def _proven(row: AccountRow, one: Proven, values: dict[str, Any]) -> AccountRow:
    """An account after a proof was accepted: it counts if it claims enough of a snapshot that is not older."""
    standing = replace(row.standing, refused=False)
    ratio = f"{values['num']}/{values['den']}"
    row = replace(row, refused=None, proofs=row.proofs + 1, trend=(*row.trend[1 - TREND :], ratio))
    newer = standing.snapshot_ms is None or values["snapshot_ms"] >= standing.snapshot_ms
    if newer and row.terms.met_by(one.claim, one.limits):
        times = {name: values[name] for name in ("snapshot_ms", "accepted_ms")}
        return replace(row, counting=values["number"], standing=replace(standing, changed_ms=None, **times))
    return replace(row, standing=standing)


def _write_standings(connection: Connection, rows: Iterable[AccountRow]) -> None:
    """What acceptances change of accounts; none of them is refused any more."""
    table, written = tables.accounts, []
    for row in rows:
        values: dict[str, Any] = {name: getattr(row, name) for name in ("state", "since_ms", "until_ms", "counting")}
        values |= {name: getattr(row.standing, name) for name in ("snapshot_ms", "accepted_ms", "changed_ms")}
        values |= {"proofs": row.proofs, "trend": json.dumps(row.trend)}
        written.append(values | {"of": row.account})
    changes: dict[str, Any] = {name: bindparam(name) for name in written[0] if name != "of"}
    changes["refused"] = null()
    connection.execute(update(table).where(table.c.account == bindparam("of")).values(changes), written)


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
