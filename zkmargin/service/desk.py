"""What every part of the service works with: the trust file, the ledger, the key, and what is read again and again."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection, select

from zkmargin.accounts import Commitment
from zkmargin.accounts.commitments import joined
from zkmargin.app.verifying import clock_ms
from zkmargin.client.answers import Published
from zkmargin.client.errors import NotFound
from zkmargin.crypto.keys import PublicKey, Signer
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document
from zkmargin.ledger import Ledger
from zkmargin.ledger import tables as ledger_tables
from zkmargin.service import migrations, store, tables
from zkmargin.service.rates import Rates
from zkmargin.service.settings import Settings
from zkmargin.service.store import AccountRow
from zkmargin.service.workers import Claimed, Pool, expect
from zkmargin.verifier.attest import Attestation, CommitmentPayload, Revocations, Trust

D = TypeVar("D", bound=Document)

#: Snapshots with their attestations that are kept parsed.
KEPT = 32
#: A snapshot's digest, and a series in which it was published.
_Publication = tuple[str, str]
#: What was claimed last, of that many kinds, is expected of the next snapshot too (so many circuits are kept).
EXPECTED = 4


@dataclass(frozen=True)
class Token:
    """Who calls: a token's name, role and account."""

    digest: str
    name: str
    role: str
    account: str | None
    expires_ms: int | None


@dataclass(frozen=True)
class Holding:
    """An account with the attestations of its parts, in the order of its statement's parts."""

    row: AccountRow
    attestations: tuple[Attestation, ...]

    @property
    def digests(self) -> set[str]:
        """Of the attestations."""
        return {one.digest().hex() for one in self.attestations}

    @property
    def commitment(self) -> Commitment | None:
        """All registered parts as one commitment; None where there is none. Raises InputError: under two setups."""
        payloads = [one.payload for one in self.attestations if isinstance(one.payload, CommitmentPayload)]
        if not payloads:
            return None
        first = payloads[0]
        return joined(first.srs, first.domain_size, tuple(one.commitment_part for one in payloads))


@dataclass
class Desk:
    """The service without its calls. One process has one, and its database for itself.

    Attributes:
        settings, trust, operators: the configuration, its trust file, and whose changes count.
        signer: the service's key.
        ledger: opened for writing.
        pool: verifies.
        clock: milliseconds since 1970.
        changed: called after every transaction that may have added events.
        challenge_rates: of challenges to one account or venue.
        change_rates: of changes that an account's keys sign.
    """

    settings: Settings
    trust: Trust
    operators: tuple[PublicKey, ...]
    signer: Signer
    ledger: Ledger
    pool: Pool
    clock: Callable[[], int] = clock_ms
    changed: Callable[[], None] = lambda: None
    challenge_rates: Rates = field(init=False)
    change_rates: Rates = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _snapshots: OrderedDict[_Publication, Published] = field(default_factory=OrderedDict)
    _bodies: OrderedDict[_Publication, bytes] = field(default_factory=OrderedDict)
    _series: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _claimed: OrderedDict[Claimed, None] = field(default_factory=OrderedDict)
    _holdings: dict[str, Holding] = field(default_factory=dict)
    _tokens: dict[str, Token] | None = None
    _revocations: tuple[Revocations, ...] | None = None
    _forgotten: int = 0  # how often: what was being read meanwhile is not kept

    def __post_init__(self) -> None:
        limits = self.settings.limits
        self.challenge_rates = Rates(limits.challenges_per_minute / 60, limits.challenges_per_minute)
        self.change_rates = Rates(limits.changes_per_minute / 60, limits.changes_per_minute)
        self.ledger.database.write(lambda connection: migrations.bring_forward(connection, name=self.ledger.name))

    @property
    def name(self) -> str:
        """The service's: the verifier of its trust file."""
        return self.trust.verifier

    def forget(self, account: str | None = None) -> None:
        """Read an account anew when it is asked for next; None: everything but snapshots. Call it after a change."""
        with self._lock:
            self._forgotten += 1
            if account is None:
                self._holdings, self._tokens, self._revocations = {}, None, None
            else:
                self._holdings.pop(account, None)

    def _keep(self, before: int, keep: Callable[[], None]) -> None:
        """Keep what was read, unless something changed since: a token that was revoked meanwhile would stay good."""
        with self._lock:
            if self._forgotten == before:
                keep()

    def tokens(self) -> dict[str, Token]:
        """Those that may call, by digest."""
        found, before = self._tokens, self._forgotten
        if found is None:
            query = select(tables.tokens).where(tables.tokens.c.revoked == 0)
            with self.ledger.database.reading() as connection:
                rows = connection.execute(query).all()
            new = {row.digest: Token(row.digest, row.name, row.role, row.account, row.expires_ms) for row in rows}
            self._keep(before, lambda: setattr(self, "_tokens", new))
            return new
        return found

    async def know_tokens(self) -> None:
        """Have them read by a thread where they are not known: the loop that serves everybody does not wait for it."""
        if self._tokens is None:
            await asyncio.to_thread(self.tokens)

    def revocations(self) -> tuple[Revocations, ...]:
        """The newest list of each issuer."""
        found, before = self._revocations, self._forgotten
        if found is None:
            with self.ledger.database.reading() as connection:
                new = revocations_of(connection, self.trust)
            self._keep(before, lambda: setattr(self, "_revocations", new))
            return new
        return found

    def published(self, digest: str, series: str | None = None) -> Published:
        """A published snapshot by its digest, as it was published last in a series. Raises NotFound.

        Where no series is named, it is the one that takes proofs about the snapshot longest (``_series_of``).
        """
        key = digest, series or self._series_of(digest)
        with self._lock:
            found = self._snapshots.get(key)
            if found is not None:
                self._snapshots.move_to_end(key)
                return found
        table = tables.snapshots.c
        query = select(table.attestation).where(table.snapshot == digest, table.series == key[1])
        with self.ledger.database.reading() as connection:
            attestation = connection.execute(query.order_by(table.sequence.desc()).limit(1)).scalar_one_or_none()
        if attestation is None:
            raise NotFound("no such snapshot was published here", field="snapshot")
        found = Published.model_construct(
            snapshot=self.ledger.document(Snapshot, digest), attestation=self.ledger.document(Attestation, attestation)
        )
        self._remember(key, found)
        return found

    def _series_of(self, digest: str) -> str:
        """Of the series that a snapshot was published in, by today's trust file: the one that takes it longest, and of
        two such the first by name. Whatever was asked before, and after a start too, it is the same one.
        """
        known, before = self._series.get(digest), self._forgotten
        if known is not None:
            return known
        table, ages = tables.snapshots.c, {rule.name: rule.max_age_seconds for rule in self.trust.snapshots}
        with self.ledger.database.reading() as connection:
            names = connection.execute(select(table.series).where(table.snapshot == digest).distinct()).scalars().all()
        if not names:
            raise NotFound("no such snapshot was published here", field="snapshot")
        found: str = min(names, key=lambda name: (-ages.get(name, -1), name))
        self._keep(before, lambda: self._series.__setitem__(digest, found))
        return found

    def published_body(self, digest: str, series: str | None = None) -> bytes:
        """``{"snapshot", "attestation"}`` of a published snapshot, as it is answered again and again."""
        key = digest, series or self._series_of(digest)
        body = self._bodies.get(key)
        if body is None:
            found = self.published(*key)
            body = body_of(found)
            self._remember(key, found, body)
        return body

    def claimed(self, claimed: Claimed) -> None:
        """This was claimed of a snapshot: it will be of the next one."""
        with self._lock:
            self._claimed[claimed] = None
            self._claimed.move_to_end(claimed)
            while len(self._claimed) > EXPECTED:
                self._claimed.popitem(last=False)

    def expect(self, snapshot: Snapshot) -> None:
        """Get ready for proofs about a snapshot that is about to be published: here, and in all processes."""
        with self._lock:
            claimed = tuple(self._claimed)
        self.pool.learn(snapshot, claimed)
        expect(snapshot, claimed)

    def remember(self, digest: str, series: str, published: Published, body: bytes) -> None:
        """Keep a snapshot that is published now parsed, and as it is answered. Call it after the commit."""
        with self._lock:
            self._forgotten += 1
            self._series.pop(digest, None)  # it may be published in another series too
            while len(self._series) >= KEPT:
                self._series.popitem(last=False)
        self._remember((digest, series), published, body)

    def _remember(self, key: _Publication, published: Published, body: bytes | None = None) -> None:
        with self._lock:
            self._snapshots[key] = published
            if body is not None:
                self._bodies[key] = body
            for kept in (self._snapshots, self._bodies):
                while len(kept) > KEPT:
                    kept.popitem(last=False)

    def holding(self, account: str) -> Holding:
        """An account with the attestations of its parts. Raises NotFound."""
        found, before = self._holdings.get(account), self._forgotten
        if found is None:
            with self.ledger.database.reading() as connection:
                rows = store.account_rows(connection, account)
                if not rows:
                    raise NotFound("no such account", field="account")
                attestations = attestations_of(connection, account)
            new = Holding(rows[0], tuple(attestations))
            self._keep(before, lambda: self._holdings.__setitem__(account, new))
            return new
        return found


def body_of(published: Published) -> bytes:
    """``{"snapshot", "attestation"}``: what is answered to who asks for a snapshot."""
    return b'{"snapshot":%b,"attestation":%b}' % (published.snapshot.to_bytes(), published.attestation.to_bytes())


def attestations_of(connection: Connection, account: str) -> list[Attestation]:
    """The attestations of an account's parts."""
    parts, documents = tables.parts, ledger_tables.documents
    query = select(documents.c.body).join(parts, parts.c.attestation == documents.c.digest)
    bodies = connection.execute(query.where(parts.c.account == account)).scalars().all()
    return sorted((Attestation.parse(body) for body in bodies), key=_by_part)


def _by_part(attestation: Attestation) -> bytes:
    payload = attestation.payload
    if not isinstance(payload, CommitmentPayload):
        raise TypeError("a part's attestation")
    return payload.commitment_part.canonical()


def proved_about_these(connection: Connection, statement: str, account: str) -> bool:
    """Whether an accepted proof is about the parts that an account has now."""
    proofs, named, documents = ledger_tables.proofs, ledger_tables.attestations, ledger_tables.documents
    query = select(documents.c.body).join(named, named.c.attestation == documents.c.digest)
    query = query.join(proofs, proofs.c.id == named.c.proof_id).where(proofs.c.statement == statement)
    then = [Attestation.parse(body).payload for body in connection.execute(query).scalars()]
    parts = [one for one in then if isinstance(one, CommitmentPayload) and one.account == account]
    now = {_by_part(one) for one in attestations_of(connection, account)}
    return {one.commitment_part.canonical() for one in parts} == now


def documents_of(connection: Connection, kind: type[D], digests: Sequence[str]) -> dict[str, D]:
    """Documents of the ledger by digest, in one query; those that are not there are left out."""
    table = ledger_tables.documents
    query = select(table.c.digest, table.c.body).where(table.c.digest.in_(list(digests)), table.c.format == kind.FORMAT)
    return {row.digest: kind.parse(row.body) for row in connection.execute(query)}


def revocations_of(connection: Connection, trust: Trust) -> tuple[Revocations, ...]:
    """The newest list of each issuer that the trust file names, as a transaction sees them: what is kept in memory may
    be older.
    """
    table, issuers = tables.revocations.c, [rule.name for rule in trust.revocations]
    digests = connection.execute(select(table.document).where(table.issuer.in_(issuers))).scalars().all()
    return tuple(documents_of(connection, Revocations, digests).values())
