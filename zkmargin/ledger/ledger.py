"""The ledger as a verifier uses it.

One SQLite file by default, PostgreSQL by URL. What holds at any moment, whatever is killed and however many verifiers
write at once:

* a proof is recorded only after it was verified here, in one transaction with all that belongs to it;
* a statement is recorded once, a challenge answered once, and of a numbered stream nothing older than the newest
  number that was seen is recorded: these are decided inside the transaction, and the database keeps them unique;
* when ``accept`` or ``record`` returns, the proof is on disk; when it raises, nothing of it is.

Documents are public ones, by digest: a secret document is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self, TypeVar

from sqlalchemy import Connection, func, select

from zkmargin.accounts import Commitment
from zkmargin.crypto.keys import PublicKey, Signer
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.universe import Universe
from zkmargin.formats import Document, InputError, VerificationError, ZkMarginError
from zkmargin.ledger import audit, chain, origin, records, tables
from zkmargin.ledger.database import CONNECTIONS, Database
from zkmargin.ledger.group import Group, written
from zkmargin.ledger.records import Account, Entry
from zkmargin.verifier.attest import (
    Acceptance,
    Attestation,
    Candidate,
    Challenge,
    Quorum,
    Receipt,
    Revocations,
    Revoked,
    Sighting,
    Stream,
    Trust,
    VerifyEach,
    accept,
    accept_each,
)
from zkmargin.verifier.attest.accept import Terms, check_revocations
from zkmargin.verifier.protocols import AnyAccepted, AnyStatement, verify_any, verify_any_each

D = TypeVar("D", bound=Document)


class Ledger:
    """Also ``verifier.attest.Known``: what ``accept`` asks for. Close it, or use it in a ``with`` statement.

    Args:
        where: a path (an SQLite file), or a URL ``sqlite:///PATH`` or ``postgresql://...``.
        read_only: alter nothing, not even a ledger of an older version; else it is created where it is missing (an
            SQLite file with mode 0600) and brought forward.
        signer: signs every record that is written.
        wal: an SQLite file gets a write-ahead log, for one that is read and written all day.
        connections: so many at the same time, one for each thread that may ask.

    Raises:
        InputError: it cannot be opened, is missing, another program's, or a later version's.

    Example:
        >>> from zkmargin.verifier.attest import accept
        >>> with Ledger("my-ledger.db") as ledger:
        ...     ledger.record(accept(statement, proof, now_ms=1_767_323_100_000, known=ledger))
        ...     ledger.counts()
        {'proofs': 1, 'documents': 2, 'streams': 0, 'challenges': 0}
    """

    def __init__(
        self,
        where: str | Path,
        *,
        read_only: bool = False,
        signer: Signer | None = None,
        wal: bool = False,
        connections: int = CONNECTIONS,
    ) -> None:
        self._database = Database(where, read_only=read_only, wal=wal, connections=connections)
        self._signer = signer
        self.name = self._database.name

    @property
    def database(self) -> Database:
        """Where it is kept: what belongs to an acceptance can be kept beside it."""
        return self._database

    @property
    def schema(self) -> str:
        """The version of what is there; one of version 1 has no chain of records."""
        return self._database.schema

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self._database.close()

    # --- what is known (verifier.attest.Known) ----------------------------------------------------------------------

    def newest(self, stream: Stream) -> Sighting | None:
        """The highest number seen of a stream."""
        with self._database.reading() as connection:
            return records.newest(connection, stream)

    def challenge_used(self, digest: bytes) -> bool:
        """Whether a proof was recorded for a challenge."""
        with self._database.reading() as connection:
            return Group(connection).challenge_used(digest)

    def challenge_issued(self, digest: bytes) -> bool:
        """Whether a challenge was issued here: no other one counts."""
        with self._database.reading() as connection:
            return Group(connection).challenge_issued(digest)

    def statement_accepted(self, digest: bytes) -> bool:
        """Whether a proof of a statement was recorded."""
        with self._database.reading() as connection:
            return Group(connection).statement_accepted(digest)

    # --- writing ----------------------------------------------------------------------------------------------------

    def accept(
        self,
        statement: AnyStatement,
        proof: bytes,
        *,
        now_ms: int,
        trust: Trust | None = None,
        attestations: Sequence[Attestation] = (),
        revocations: Sequence[Revocations] = (),
        policy: Policy | None = None,
        challenge: Challenge | None = None,
        derived: Mapping[str, str] | None = None,
        sources: Sequence[Document] = (),
        receipt: Callable[[Acceptance], Receipt],
    ) -> tuple[Acceptance, Receipt]:
        """Accept a proof as ``verifier.attest.accept`` does, with this ledger for a memory, and record it.

        The proof is verified once.

        Args:
            statement, proof, now_ms, trust, attestations, revocations, policy, challenge, derived: as ``accept`` takes
                them.
            sources: what the snapshot was built from, to keep: its market or arrays, universe, earlier markets.
            receipt: makes the receipt to keep with the proof; nothing is recorded when it raises.

        Raises:
            InputError, ProofFormatError, VerificationError: as ``accept`` does; nothing is recorded.
        """
        acceptance = accept(
            statement,
            proof,
            now_ms=now_ms,
            trust=trust,
            attestations=attestations,
            revocations=revocations,
            policy=policy,
            challenge=challenge,
            derived=derived or {},
            known=self,
        )
        made = receipt(acceptance)
        self._record(acceptance, made, sources)
        return acceptance, made

    def accept_each(
        self,
        candidates: Sequence[Candidate],
        *,
        now_ms: int,
        trust: Trust | None = None,
        revocations: Sequence[Revocations] = (),
        policy: Policy | None = None,
        receipt: Callable[[Acceptance], Receipt],
        verify_all: VerifyEach = verify_any_each,
        older_snapshots: bool = False,
        unless: Callable[[Connection, Sequence[int]], Mapping[int, ZkMarginError]] | None = None,
        also: Callable[[Connection, Sequence[tuple[int, Acceptance, Receipt]]], None] | None = None,
    ) -> list[tuple[Acceptance, Receipt] | ZkMarginError]:
        """A verdict for each candidate, verified together and recorded in one transaction.

        When this returns, what it says was accepted is on disk. One that is refused takes no other with it.

        Args:
            candidates, now_ms, trust, revocations, policy: as ``verifier.attest.accept_each`` takes them.
            receipt: makes the receipt to keep with a proof; the proof is refused with what it raises.
            verify_all: judges proofs together.
            older_snapshots: a snapshot that is not the newest of its series counts too, where its attestation was seen
                here before (``see``).
            unless: asked inside the transaction, by places in ``candidates``: which may not be recorded, and why.
            also: more to write in the same transaction: of each that is recorded, its place, acceptance and receipt.

        Raises:
            InputError: the ledger cannot be written: nothing is recorded.
        """
        with self._database.reading() as connection:
            known = Group(connection, older_snapshots=older_snapshots, replays=False)
            known.look_up(
                signed=[*(one for candidate in candidates for one in candidate.attestations), *revocations],
                challenges=[candidate.challenge for candidate in candidates if candidate.challenge is not None],
            )
            verdicts = accept_each(
                candidates, Terms(now_ms, trust, tuple(revocations), policy, known), verify_all=verify_all
            )
        if all(isinstance(verdict, ZkMarginError) for verdict in verdicts):
            return [verdict for verdict in verdicts if isinstance(verdict, ZkMarginError)]
        accepted = {place: one for place, one in enumerate(verdicts) if isinstance(one, Acceptance)}

        def write(connection: Connection) -> list[tuple[Acceptance, Receipt] | ZkMarginError]:
            found: dict[int, tuple[Acceptance, Receipt] | ZkMarginError] = {}
            refused = unless(connection, tuple(accepted)) if unless else {}
            group = Group(connection, older_snapshots=older_snapshots)
            group.look_up(
                signed=[item.attestation for one in accepted.values() for item in one.attested],
                challenges=[one.challenge for one in accepted.values() if one.challenge is not None],
                statements=[one.statement_digest for one in accepted.values()],
            )
            for place, acceptance in accepted.items():
                try:
                    if place in refused:
                        raise refused[place]
                    made = receipt(acceptance)
                    group.accept(acceptance, made)
                    found[place] = acceptance, made
                except ZkMarginError as error:
                    found[place] = error
            group.write(self._signer)
            if also is not None:
                also(connection, [(place, *one) for place, one in found.items() if isinstance(one, tuple)])
            return [found.get(place, verdict) for place, verdict in enumerate(verdicts)]  # type: ignore[arg-type]

        return self._database.write(write)

    def record(
        self, acceptance: Acceptance, receipt: Receipt | None = None, *, sources: Sequence[Document] = ()
    ) -> None:
        """Verify a proof that was accepted elsewhere once more, then record it with all that belongs to it, or nothing.

        Raises:
            VerificationError: it does not verify; its statement is recorded or its challenge answered already; or
                something newer than its attestations was seen in the meantime.
            InputError: the ledger cannot be written, or the snapshot was not built from ``sources``.
        """
        statement = acceptance.statement
        digest = verify_any(statement, acceptance.proof).statement_digest
        if digest != acceptance.statement_digest:
            raise VerificationError("the acceptance is of another statement", check="ledger")
        self._record(acceptance, receipt, sources)

    def _record(self, acceptance: Acceptance, receipt: Receipt | None, sources: Sequence[Document]) -> None:
        """One transaction. The acceptance is of a proof that this ledger verified."""
        origin.check_named(acceptance.snapshot, sources)
        self._written(lambda group: group.accept(acceptance, receipt, sources=sources))

    def _written(self, fill: Callable[[Group], None]) -> None:
        """One transaction with what is filled in."""
        self._database.write(lambda connection: written(connection, self._signer, fill))

    def see(
        self,
        attestation: Attestation,
        trust: Trust,
        *,
        revocations: Sequence[Revocations] = (),
        now_ms: int | None = None,
    ) -> Quorum:
        """Remember an attestation that trusted parties signed: from now on, older ones of its stream are refused.

        Args:
            attestation, trust: what, and whose signatures count.
            revocations: the newest list of each issuer that the trust file names; remembered too.
            now_ms: by what clock they are current; this machine's.

        Raises:
            VerificationError: too few of those who are trusted for it signed; it or a key is revoked; a list is missing
                or too old; something newer was seen, or something else under its number.
            InputError: the ledger cannot be written.
        """
        now_ms = _clock_ms() if now_ms is None else now_ms
        lists = check_revocations(revocations, trust, now_ms=now_ms, known=self)
        quorum = trust.quorum(attestation, Revoked.by(lists))
        self._written(lambda group: group.see(attestation, *lists, now_ms=now_ms))
        return quorum

    def sign(self, attestation: Attestation, *, holding: str | None = None) -> None:
        """Keep what an attester is about to hand out: signing something else under its number is refused from now on.

        Args:
            attestation: what was signed.
            holding: of a commitment: the attester's own name of what it holds (an account's number, a wallet).

        Raises:
            VerificationError: something else was signed under the number, something newer, or the same commitment or
                holding for another account or part.
            InputError: the ledger cannot be written.
        """

        def write(connection: Connection) -> None:
            body = records.sign(connection, attestation, holding)
            if body is not None:
                chain.append(connection, "signed", _clock_ms(), body, self._signer)

        self._database.write(write)

    def issue(self, challenge: Challenge) -> None:
        """Keep a challenge that was issued: ``status`` shows it until it is answered. Issuing it again does nothing.

        Raises:
            InputError: the ledger cannot be written.
        """
        self._written(lambda group: group.issue(challenge, now_ms=_clock_ms()))

    def keep(
        self,
        connection: Connection,
        *,
        now_ms: int,
        seen: Sequence[Attestation | Revocations] = (),
        issued: Sequence[Challenge] = (),
        documents: Sequence[Document] = (),
    ) -> None:
        """Inside a transaction of ``database``: what ``see`` and ``issue`` do, and public documents to keep.

        Who signed what is seen must be checked before.

        Raises:
            VerificationError: something newer was seen, or something else under the same number.
        """

        def fill(group: Group) -> None:
            group.look_up(signed=seen, challenges=issued)
            group.keep(*documents)
            group.see(*seen, now_ms=now_ms)
            for challenge in issued:
                group.issue(challenge, now_ms=now_ms)

        written(connection, self._signer, fill)

    # --- reading ----------------------------------------------------------------------------------------------------

    def entries(self) -> Iterator[Entry]:
        """Every accepted proof, the oldest first."""
        last = 0
        while True:
            with self._database.reading() as connection:
                row = connection.execute(
                    select(tables.proofs).where(tables.proofs.c.id > last).order_by(tables.proofs.c.id).limit(1)
                ).first()
                if row is None:
                    return
                entry = records.entry_of(connection, row)
            last = row.id
            yield entry

    def accounts(self) -> list[Account]:
        """Every account by its alias, then every venue by its name, each with the proof of its newest snapshot, and the
        newest that claims something of it.
        """
        venue = tables.parts.c.role == records.VENUE
        query = select(venue.label("venue"), tables.parts.c.alias).distinct().order_by(venue, tables.parts.c.alias)
        proofs, silent = tables.proofs.c, self._silent()
        with self._database.reading() as connection:

            def entry(number: int) -> Entry:
                one = select(tables.proofs).where(proofs.id == number)
                return records.entry_of(connection, connection.execute(one).one())

            found = []
            for is_venue, alias in connection.execute(query).all():
                of_alias = select(tables.parts.c.proof_id).where(
                    tables.parts.c.alias == alias, venue if is_venue else ~venue
                )
                newest_first = select(proofs.id, proofs.commitment).where(proofs.id.in_(of_alias))
                rows = connection.execute(newest_first.order_by(proofs.snapshot_ms.desc(), proofs.id.desc())).all()
                says = [row.id for row in rows if is_venue or alias not in silent.get(row.commitment, ())]
                last = entry(rows[0].id)
                proven = None if not says else last if says[0] == rows[0].id else entry(says[0])
                found.append(Account(alias, last, len(says), proven, venue=bool(is_venue)))
            return found

    def _silent(self) -> dict[str, set[str]]:
        """Aliases of committed accounts that a venue's proof says nothing of, by the digest of its terms."""
        from zkmargin.verifier.venue.terms import VenueTerms  # noqa: PLC0415 - most proofs are of one account

        table = tables.proofs.c
        of_venues = select(table.commitment).where(table.requirement == records.NO_CLAIM["requirement"]).distinct()
        with self._database.reading() as connection:
            digests = connection.execute(of_venues).scalars().all()
        return {
            digest: {part.alias for one in silent for part in self.document(Commitment, one).parts}
            for digest in digests
            if (silent := records.silent_of(self.document(VenueTerms, digest)))
        }

    def open_challenges(self) -> list[Challenge]:
        """Issued and not answered, the earliest deadline first."""
        query = select(tables.challenges.c.challenge).where(tables.challenges.c.statement.is_(None))
        with self._database.reading() as connection:
            digests = connection.execute(query.order_by(tables.challenges.c.deadline_ms)).scalars().all()
        return [self.document(Challenge, digest) for digest in digests]

    def counts(self) -> dict[str, int]:
        """How much there is of everything."""
        counted = (tables.proofs, tables.documents, tables.streams, tables.challenges)
        with self._database.reading() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in counted
            }

    def document(self, kind: type[D], digest: str) -> D:
        """A document by its digest (hex), checked against it. Raises InputError: not there, or damaged."""
        query = select(tables.documents.c.body).where(tables.documents.c.digest == digest)
        with self._database.reading() as connection:
            body = connection.execute(query).scalar_one_or_none()
        if body is None:
            raise InputError("is not in the ledger", file=self.name, field=f"document {digest[:16]}")
        if not isinstance(body, bytes):  # SQLite keeps whatever someone writes into a column
            raise InputError("is damaged: no bytes", file=self.name, field=f"document {digest[:16]}")
        document = kind.parse(body, file=self.name)
        if document.digest().hex() != digest:
            raise InputError("is damaged: its digest is another", file=self.name, field=f"document {digest[:16]}")
        return document

    def source(self, digest: str) -> Market | RiskArrays | Universe:
        """What a snapshot was built from, by digest. Raises InputError, as ``document``."""
        query = select(tables.documents.c.format).where(tables.documents.c.digest == digest)
        with self._database.reading() as connection:
            form = connection.execute(query).scalar_one_or_none()
        return self.document(origin.kind_of(form), digest)

    def head(self) -> tuple[int, str]:
        """Number and digest of the last record: note them elsewhere, and a chain that was cut is noticed."""
        if self.schema == tables.WITHOUT_CHAIN:
            return 0, chain.GENESIS
        with self._database.reading() as connection:
            return chain.head(connection)

    def audit(self, *, key: PublicKey | Sequence[PublicKey] = (), head: str | None = None) -> audit.Findings:
        """Everything of the ledger from its records and documents: chain, tables, receipts, attestations, proofs.

        Args:
            key: the ledger's public key: every record must be signed with it. Of one whose key was changed all its
                keys, the first first: none counts after a later one signed.
            head: the digest of a record that was noted before (hex): it must be in the chain.
        """
        keys = (key,) if isinstance(key, PublicKey) else tuple(key)
        with self._database.reading() as connection:
            return audit.audit(connection, schema=self.schema, keys=keys, head=head)

    def beside(self, what: Literal["revocations", "sources"]) -> dict[str, tuple[str, ...]]:
        """By statement digest, where there were any: the lists of revocations that an acceptance was made with, or
        what its snapshot was built from (the market or arrays first, then a universe, then earlier markets).
        """
        if self.schema == tables.WITHOUT_CHAIN:
            return {}
        with self._database.reading() as connection:
            return chain.beside(connection, what)

    def beside_one(self, what: Literal["revocations", "sources"], entry: Entry) -> tuple[str, ...]:
        """As ``beside``, of one entry: the chain is not read for it."""
        if self.schema == tables.WITHOUT_CHAIN:
            return ()
        with self._database.reading() as connection:
            return chain.beside_one(connection, what, statement=entry.statement, accepted_ms=entry.accepted_ms)

    def statement(self, entry: Entry) -> AnyStatement:
        """The statement of an entry, from the ledger's documents alone. Raises InputError."""
        return records.statement_of(
            self.document,
            snapshot=entry.snapshot,
            commitment=entry.commitment,
            claim=entry.claim,
            limits=entry.limits,
            context=entry.context,
        )

    def check(self, entry: Entry) -> AnyAccepted:
        """Verify a recorded proof again, from the ledger alone.

        Raises:
            InputError: documents that are missing or damaged.
            VerificationError, ProofFormatError: a record that is not of an accepted proof.
        """
        accepted = verify_any(self.statement(entry), entry.proof)
        if accepted.statement_digest.hex() != entry.statement:
            raise VerificationError("recorded under another statement's digest", check="ledger")
        for kind, digest in ((Trust, entry.trust), (Challenge, entry.challenge), (Receipt, entry.receipt)):
            if digest is not None:
                self.document(kind, digest)
        for digest in entry.attestations:
            self.document(Attestation, digest)
        return accepted


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
