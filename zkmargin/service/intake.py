"""What others publish: snapshots, attestations of parts, revocations; and the challenges that are issued to accounts.

Each counts by its own signatures under the trust file; who posts it does not matter for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, delete, func, insert, select, update

from zkmargin.app.attesting import signed_snapshot
from zkmargin.client.answers import Published, SnapshotLine
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, VerificationError
from zkmargin.ledger import records
from zkmargin.ledger import tables as ledger_tables
from zkmargin.service import store, tables
from zkmargin.service.desk import Desk, attestations_of, body_of, revocations_of
from zkmargin.verifier.attest import (
    Attestation,
    Challenge,
    CommitmentPayload,
    Revocations,
    Revoked,
    SnapshotPayload,
    attested,
)
from zkmargin.verifier.attest.accept import check_current, check_snapshot_age

#: As venue terms have it.
MAX_VENUE_NAME = 200


def publish(desk: Desk, snapshot: Snapshot, attestation: Attestation, *, actor: str) -> tuple[SnapshotLine, bool]:
    """Publish an attested snapshot; whether it is news.

    Raises:
        InputError: the attestation of a commitment.
        VerificationError: not signed by enough of those who are trusted, another snapshot, policy or time, or
            something newer was published.
    """
    now_ms, payload = desk.clock(), attestation.payload
    signed_snapshot(snapshot, attestation, desk.trust, now_ms=now_ms, revocations=desk.revocations())
    if not isinstance(payload, SnapshotPayload):
        raise InputError("attests a commitment, not a snapshot", field="attestation")
    check_snapshot_age(payload, desk.trust, now_ms=now_ms)
    digest, table = snapshot.digest().hex(), tables.snapshots
    published = Published.model_construct(snapshot=snapshot, attestation=attestation)
    desk.expect(snapshot)  # the others get ready while it is written
    body = body_of(published)

    def write(connection: Connection) -> tuple[SnapshotLine, bool]:
        of = (table.c.series == payload.series) & (table.c.sequence == payload.sequence)
        there = connection.execute(select(table).where(of)).first()
        if there is not None and there.snapshot == digest:
            return snapshot_line(there), False
        # a list may have come meanwhile
        attested(attestation, desk.trust, Revoked.by(revocations_of(connection, desk.trust)))
        desk.ledger.keep(connection, now_ms=now_ms, documents=[snapshot], seen=[attestation])
        values = {"series": payload.series, "sequence": payload.sequence, "snapshot": digest, "published_ms": now_ms}
        values |= {"attestation": attestation.digest().hex(), "time_ms": parse_time(payload.time)}
        connection.execute(insert(table).values(values))
        facts: dict[str, Any] = {"snapshot": digest, "series": payload.series, "sequence": payload.sequence}
        store.emit(connection, desk.name, now_ms, "snapshot", **facts)
        store.audit(connection, now_ms, actor, "publish", subject=digest, **facts)
        return snapshot_line(connection.execute(select(table).where(of)).one()), True

    line, news = desk.ledger.database.write(write)
    if news:
        desk.remember(digest, payload.series, published, body)
        desk.changed()
    return line, news


def snapshot_line(row: Any) -> SnapshotLine:
    """A row for programs."""
    return SnapshotLine(
        series=row.series,
        sequence=row.sequence,
        snapshot=row.snapshot,
        time=format_time(row.time_ms),
        published=format_time(row.published_ms),
    )


def attest(desk: Desk, attestation: Attestation, *, actor: str) -> tuple[dict[str, Any], bool]:
    """Register a part of an account, or what it is now; whether it is news.

    Raises:
        InputError: the attestation of a snapshot, or of no account here.
        VerificationError: not signed by enough of those who are trusted for it, not current, or superseded.
    """
    now_ms, payload = desk.clock(), attestation.payload
    if not isinstance(payload, CommitmentPayload):
        raise InputError("attests a snapshot, not a part of an account", field="attestation")
    attested(attestation, desk.trust, Revoked.by(desk.revocations()))
    check_current(payload, desk.trust, now_ms)
    if desk.holding(payload.account).row.closed:
        raise InputError("is closed", field=f"account {payload.account[:80]!r}")
    table, digest = tables.parts, attestation.digest().hex()
    of = (table.c.account == payload.account) & (table.c.role == payload.role)
    of &= (table.c.issuer == payload.issuer) & (table.c.part == payload.part)

    def write(connection: Connection) -> bool:
        there = connection.execute(select(table).where(of)).first()
        if there is not None and there.sequence == payload.sequence and records.kept(connection, attestation):
            return False
        # a list may have come meanwhile
        attested(attestation, desk.trust, Revoked.by(revocations_of(connection, desk.trust)))
        before = [one.payload for one in attestations_of(connection, payload.account)]
        same = any(
            isinstance(old, CommitmentPayload)
            and old.stream == payload.stream
            and old.commitment_part == payload.commitment_part
            for old in before
        )
        desk.ledger.keep(connection, now_ms=now_ms, seen=[attestation])
        values: dict[str, Any] = {"sequence": payload.sequence, "attestation": digest, "revoked": 0}
        values["expires_ms"] = parse_time(payload.expires)
        if there is None:
            names = {name: getattr(payload, name) for name in ("account", "role", "issuer", "part")}
            connection.execute(insert(table).values(names | values))
        else:
            connection.execute(update(table).where(of).values(values))
        if not same:
            store.mark_changed(connection, payload.account, now_ms)
        store.emit(connection, desk.name, now_ms, "part", account=payload.account, sequence=payload.sequence)
        facts: dict[str, Any] = {
            "role": payload.role,
            "issuer": payload.issuer,
            "part": payload.part,
            "sequence": payload.sequence,
        }
        store.audit(connection, now_ms, actor, "attest", subject=payload.account, **facts)
        settle(connection, desk, payload.account, now_ms)
        return True

    news = desk.ledger.database.write(write)
    if news:
        desk.forget(payload.account)
        desk.changed()
    return {"account": payload.account, "attestation": digest, "sequence": payload.sequence}, news


def settle(connection: Connection, desk: Desk, account: str, now_ms: int) -> None:
    """Write an account's state as of now."""
    (row,) = store.account_rows(connection, account)
    if not row.closed:
        store.settle_state(connection, desk.name, row, now_ms)


def revoke(desk: Desk, revocations: Revocations, *, actor: str) -> tuple[dict[str, Any], bool]:
    """Publish a list of revocations; whether it is news. Parts that it takes the signatures from are revoked.

    Raises:
        VerificationError: not signed by who may, too old or from the future, or superseded.
    """
    now_ms, payload = desk.clock(), revocations.payload
    desk.trust.revocation_quorum(revocations)
    allowed = desk.trust.revocation_rule(payload.issuer).max_age_seconds
    age, skew = now_ms - parse_time(payload.time), 1000 * desk.trust.clock_skew_seconds
    if not -skew <= age <= 1000 * allowed + skew:
        raise VerificationError(f"the list is of {payload.time}: too old, or from the future", check="revocation")
    table, digest = tables.revocations, revocations.digest().hex()
    others = [one for one in desk.revocations() if one.payload.issuer != payload.issuer]
    judged = _judged(desk, [*others, revocations])

    def write(connection: Connection) -> bool:
        there = connection.execute(select(table).where(table.c.issuer == payload.issuer)).first()
        if there is not None and there.document == digest:
            return False
        desk.ledger.keep(connection, now_ms=now_ms, seen=[revocations])
        connection.execute(delete(table).where(table.c.issuer == payload.issuer))
        values = {"issuer": payload.issuer, "sequence": payload.sequence, "document": digest}
        connection.execute(insert(table).values(values))
        _mark_revoked(connection, desk, judged, now_ms)
        store.emit(connection, desk.name, now_ms, "revocations", sequence=payload.sequence)
        store.audit(connection, now_ms, actor, "revoke", subject=payload.issuer, sequence=payload.sequence)
        return True

    news = desk.ledger.database.write(write)
    if news:
        desk.forget()
        desk.changed()
    return {"issuer": payload.issuer, "sequence": payload.sequence}, news


def judge_parts(desk: Desk) -> None:
    """Mark the parts that do not count under today's trust file, which may be another one than when they came, and
    unmark those that do. At start.
    """
    judged, now_ms = _judged(desk, desk.revocations()), desk.clock()
    desk.ledger.database.write(lambda connection: _mark_revoked(connection, desk, judged, now_ms))
    desk.forget()


@dataclass(frozen=True)
class _Judged:
    """Attestations of parts, by digest: whether they are revoked by these lists."""

    lists: tuple[Revocations, ...]
    revoked: dict[str, bool]


def _judged(desk: Desk, lists: Sequence[Revocations]) -> _Judged:
    """Before a transaction: signatures of thousands of accounts take a while, and every receipt would wait for it."""
    documents, part = ledger_tables.documents.c, tables.parts.c
    query = select(documents.digest, documents.body).join(tables.parts, part.attestation == documents.digest)
    with desk.ledger.database.reading() as connection:
        rows = connection.execute(query).all()
    by = Revoked.by(lists)
    return _Judged(tuple(lists), {row.digest: _is_revoked(desk, Attestation.parse(row.body), by) for row in rows})


def _is_revoked(desk: Desk, attestation: Attestation, revoked: Revoked) -> bool:
    try:
        attested(attestation, desk.trust, revoked)
    except VerificationError:
        return True
    return False


def _mark_revoked(connection: Connection, desk: Desk, judged: _Judged, now_ms: int) -> None:
    """Parts whose attestation does not count by the lists of now: what came since ``judged`` is judged here."""
    table, lists = tables.parts, revocations_of(connection, desk.trust)
    known = judged.revoked if {one.digest() for one in lists} == {one.digest() for one in judged.lists} else {}
    by, changed = Revoked.by(lists), set[str]()
    for row in connection.execute(select(table.c.account, table.c.attestation, table.c.revoked)).all():
        value = known.get(row.attestation)
        if value is None:
            body = select(ledger_tables.documents.c.body).where(ledger_tables.documents.c.digest == row.attestation)
            value = _is_revoked(desk, Attestation.parse(connection.execute(body).scalar_one()), by)
        if value != bool(row.revoked):
            of = (table.c.account == row.account) & (table.c.attestation == row.attestation)
            connection.execute(update(table).where(of).values(revoked=int(value)))
            changed.add(row.account)
    for account in sorted(changed):
        settle(connection, desk, account, now_ms)


def challenge(
    desk: Desk, account: str, *, count: int, lifetime_seconds: int, actor: str | None = None
) -> list[Challenge]:
    """Issue challenges to an account; ``actor`` is who asks, where it is somebody else.

    Raises:
        InputError: too many at once or open, a lifetime that is too long, or an account that is closed.
        NotFound: no such account.
        TooMany: more than its rate.
    """
    if desk.holding(account).row.closed:
        raise InputError("is closed", field=f"account {account[:80]!r}")
    made, now_ms = _fresh(desk, count, lifetime_seconds), desk.clock()
    desk.challenge_rates.check(f"account {account}", count)

    def write(connection: Connection) -> None:
        _issue(desk, connection, tables.challenges.c.account, account, made, now_ms)
        for one in made:
            facts = {"account": account, "challenge": one.digest().hex(), "until": one.deadline}
            store.emit(connection, desk.name, now_ms, "challenge", **facts)
        if actor is not None:
            digests = [one.digest().hex() for one in made]
            store.audit(connection, now_ms, actor, "challenge", subject=account, challenges=digests)

    desk.ledger.database.write(write)
    desk.changed()
    return made


def venue_challenge(desk: Desk, venue: str, *, count: int, lifetime_seconds: int, actor: str) -> list[Challenge]:
    """Issue challenges to a venue, by the name in its terms: for its proofs of every account at once.

    Raises:
        InputError: no name, too many at once or open, or a lifetime that is too long.
        TooMany: more than its rate.
    """
    if not 1 <= len(venue) <= MAX_VENUE_NAME:
        raise InputError(f"a name of 1 to {MAX_VENUE_NAME} characters", field="venue")
    made, now_ms = _fresh(desk, count, lifetime_seconds), desk.clock()
    desk.challenge_rates.check(f"venue {venue}", count)

    def write(connection: Connection) -> None:
        _issue(desk, connection, tables.venue_challenges.c.venue, venue, made, now_ms)
        digests = [one.digest().hex() for one in made]
        store.audit(connection, now_ms, actor, "venue-challenge", subject=venue, challenges=digests)

    desk.ledger.database.write(write)
    return made


def _fresh(desk: Desk, count: int, lifetime_seconds: int) -> list[Challenge]:
    """Challenges that nobody was given yet. Raises InputError: too many, or a lifetime that is too long."""
    limits = desk.settings.limits
    if not 1 <= count <= limits.max_open_challenges:
        raise InputError(f"from 1 to {limits.max_open_challenges}", field="count")
    if not 1 <= lifetime_seconds <= limits.max_challenge_seconds:
        raise InputError(f"from 1 to {limits.max_challenge_seconds}", field="lifetime_seconds")
    now_ms = desk.clock()
    return [Challenge.new(desk.name, lifetime_seconds=lifetime_seconds, now_ms=now_ms) for _ in range(count)]


def _issue(
    desk: Desk, connection: Connection, whose: Column[Any], name: str, made: Sequence[Challenge], now_ms: int
) -> None:
    """Keep challenges in the column's table, for a name. Raises InputError: too many wait for an answer."""
    table, most = whose.table, desk.settings.limits.max_open_challenges
    still = (whose == name) & (table.c.answered == 0) & (table.c.deadline_ms > now_ms)
    there = connection.execute(select(func.count()).select_from(table).where(still)).scalar_one()
    if there + len(made) > most:
        raise InputError(f"{there} wait for an answer, {most} may", field="count", hint="answer them first")
    desk.ledger.keep(connection, now_ms=now_ms, issued=made)
    for one in made:
        values = {"challenge": one.digest().hex(), "deadline_ms": parse_time(one.deadline), "answered": 0}
        connection.execute(insert(table).values(values | {whose.name: name}))
