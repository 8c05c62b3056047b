"""A verifier's ledger: the proofs it accepted, with all that is needed to check them again, and what it has seen.

One SQLite file by default, PostgreSQL by URL. What holds at any moment, whatever is killed and however many verifiers
write at once:

* a proof is recorded only after it was verified here, in one transaction with all that belongs to it;
* a statement is recorded once, a challenge answered once, and of a numbered stream nothing older than the newest
  number that was seen is recorded: these are decided inside the transaction, and the database keeps them unique;
* when ``record`` returns, the proof is on disk; when it raises, nothing of it is.

Documents are public ones, by digest: a secret document is refused.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, IntegrityError, NoSuchModuleError

from zkmargin.engine.decimals import parse_time
from zkmargin.engine.limits import Limit
from zkmargin.engine.margin import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError, VerificationError
from zkmargin.formats.canonical import canonical_bytes
from zkmargin.verifier import Accepted, Commitment, Statement, verify
from zkmargin.verifier.attest import Acceptance, Attestation, Challenge, Quorum, Receipt, Sighting, Stream, Trust

SCHEMA = "zkmargin/ledger/v1"
#: How long a writer waits for the others, and how often it begins again when the database says so.
BUSY_SECONDS = 60
MAX_ATTEMPTS = 50
#: Any fixed number: makes the first verifiers of a PostgreSQL ledger create its tables one after the other.
_CREATION_LOCK = 0x7A6B6D6C
_SERIALIZATION_FAILURES = frozenset({"40001", "40P01"})
_DIGEST = String(64)

_metadata = MetaData()
_meta = Table("meta", _metadata, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))
_documents = Table(
    "documents",
    _metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("format", String(80), nullable=False),
    Column("body", LargeBinary, nullable=False),
)
_proofs = Table(
    "proofs",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("statement", _DIGEST, nullable=False, unique=True),
    Column("proof", LargeBinary, nullable=False),
    Column("snapshot", ForeignKey("documents.digest"), nullable=False),
    Column("snapshot_ms", BigInteger, nullable=False),
    Column("commitment", ForeignKey("documents.digest"), nullable=False),
    Column("num", Integer, nullable=False),
    Column("den", Integer, nullable=False),
    Column("requirement", String(40), nullable=False),
    Column("limits", Text, nullable=False),
    Column("context", LargeBinary, nullable=False),
    Column("trust", ForeignKey("documents.digest")),
    Column("challenge", ForeignKey("documents.digest"), unique=True),
    Column("receipt", ForeignKey("documents.digest")),
    Column("accepted_ms", BigInteger, nullable=False),
)
_parts = Table(
    "parts",
    _metadata,
    Column("proof_id", ForeignKey("proofs.id"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("role", String(40), nullable=False),
    Column("alias", String(200), nullable=False, index=True),
    Column("attestation", ForeignKey("documents.digest")),
)
_attestations = Table(
    "attestations",
    _metadata,
    Column("proof_id", ForeignKey("proofs.id"), primary_key=True),
    Column("attestation", ForeignKey("documents.digest"), primary_key=True),
)
_streams = Table(
    "streams",
    _metadata,
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("payload", _DIGEST, nullable=False),
    Column("attestation", ForeignKey("documents.digest"), nullable=False),
)
_challenges = Table(
    "challenges",
    _metadata,
    Column("challenge", ForeignKey("documents.digest"), primary_key=True),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("statement", ForeignKey("proofs.statement"), unique=True),
    CheckConstraint("deadline_ms > 0"),
)

T = TypeVar("T")
D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Entry:
    """An accepted proof, as it is recorded. Digests are hex.

    Attributes:
        statement: the statement digest.
        proof: the bytes.
        snapshot, commitment, trust, challenge, receipt: digests of documents of the ledger; the last three may be None.
        snapshot_ms: the snapshot's time, milliseconds since 1970.
        claim, limits, context: as in the statement.
        attestations: digests of what authenticated it.
        accepted_ms: when, by the verifier's clock.
    """

    statement: str
    proof: bytes
    snapshot: str
    commitment: str
    trust: str | None
    challenge: str | None
    receipt: str | None
    snapshot_ms: int
    claim: Claim
    limits: tuple[Limit, ...]
    context: bytes
    attestations: tuple[str, ...]
    accepted_ms: int


@dataclass(frozen=True)
class Account:
    """What a ledger knows of an account: its alias, its last proof, and how many there are."""

    alias: str
    last: Entry
    proofs: int


class Ledger:
    """Also ``verifier.attest.Known``: what ``accept`` asks for. Close it, or use it in a ``with`` statement.

    Args:
        where: a path (an SQLite file, created with mode 0600), or a URL ``sqlite:///PATH`` or ``postgresql://...``.

    Raises:
        InputError: it cannot be opened, or is another version's.
    """

    def __init__(self, where: str | Path) -> None:
        url = _url(where)
        self.name = url.render_as_string(hide_password=True) if "://" in str(where) else str(where)
        self._engine = _engine(url)
        options: dict[str, Any] = {"zkmargin_reading": True}
        if url.get_backend_name() == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"  # one moment's view, and never a reason to begin again
        self._reader = self._engine.execution_options(**options)
        try:
            self._create()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    # --- what is known (verifier.attest.Known) ----------------------------------------------------------------------

    def newest(self, stream: Stream) -> Sighting | None:
        """The highest number seen of a stream."""
        with self._reading() as connection:
            return _newest(connection, stream)

    def challenge_used(self, digest: bytes) -> bool:
        """Whether a proof was recorded for a challenge."""
        query = select(_proofs.c.id).where(_proofs.c.challenge == digest.hex())
        with self._reading() as connection:
            return connection.execute(query).first() is not None

    def statement_accepted(self, digest: bytes) -> bool:
        """Whether a proof of a statement was recorded."""
        query = select(_proofs.c.id).where(_proofs.c.statement == digest.hex())
        with self._reading() as connection:
            return connection.execute(query).first() is not None

    # --- writing ----------------------------------------------------------------------------------------------------

    def record(self, acceptance: Acceptance, receipt: Receipt | None = None) -> None:
        """Verify an accepted proof once more, then record it with all that belongs to it, or nothing.

        Raises:
            VerificationError: it does not verify; its statement is recorded or its challenge answered already; or
                something newer than its attestations was seen in the meantime.
            InputError: the ledger cannot be written.
        """
        statement = acceptance.statement
        digest = verify(statement, acceptance.proof).statement_digest.hex()
        if digest != acceptance.statement_digest.hex() or statement.snapshot_digest != acceptance.snapshot.digest():
            raise VerificationError("the acceptance is of another statement", check="ledger")
        commitment = Commitment(srs=statement.srs.digest.hex(), domain_size=statement.circuit.n, parts=statement.parts)
        authenticated = acceptance.authenticated
        attested = () if authenticated is None else authenticated.all
        documents: list[Document] = [acceptance.snapshot, commitment, *(item.attestation for item in attested)]
        documents += [d for d in (acceptance.trust, acceptance.challenge, receipt) if d is not None]

        def write(connection: Connection) -> None:
            if connection.execute(select(_proofs.c.id).where(_proofs.c.statement == digest)).first() is not None:
                raise VerificationError(
                    "a proof of this statement is in the ledger already: a replay",
                    check="replay",
                    hint="issue a challenge: `zkmargin challenge new`",
                )
            for document in documents:
                _store(connection, document)
            values = {
                "statement": digest,
                "proof": acceptance.proof,
                "snapshot": acceptance.snapshot.digest().hex(),
                "snapshot_ms": parse_time(acceptance.snapshot.time),
                "commitment": commitment.digest().hex(),
                "num": statement.claim.num,
                "den": statement.claim.den,
                "requirement": statement.claim.requirement,
                "limits": json.dumps([[limit.kind, limit.subject, str(limit.bound)] for limit in statement.limits]),
                "context": statement.context,
                "trust": _digest(acceptance.trust),
                "challenge": _digest(acceptance.challenge),
                "receipt": _digest(receipt),
                "accepted_ms": acceptance.time_ms,
            }
            if acceptance.challenge is not None:
                _check_unanswered(connection, acceptance.challenge)
            (proof_id,) = connection.execute(insert(_proofs).values(values).returning(_proofs.c.id)).one()
            if acceptance.challenge is not None:
                _answer(connection, acceptance.challenge, digest)
            for item in attested:
                _see(connection, item.attestation)
            for one in {item.attestation.digest().hex() for item in attested}:
                connection.execute(insert(_attestations).values(proof_id=proof_id, attestation=one))
            for place, part in enumerate(statement.parts):
                by = None if authenticated is None else authenticated.parts[place].attestation.digest().hex()
                connection.execute(
                    insert(_parts).values(
                        proof_id=proof_id, place=place, role=part.role, alias=part.alias, attestation=by
                    )
                )

        self._write(write)

    def see(self, attestation: Attestation, trust: Trust) -> Quorum:
        """Remember an attestation that trusted parties signed: from now on, older ones of its stream are refused.

        Raises:
            VerificationError: too few of those who are trusted for it signed; something newer was seen, or something
                else under its number.
            InputError: the ledger cannot be written.
        """
        quorum = trust.quorum(attestation)
        self._write(lambda connection: _see(connection, attestation))
        return quorum

    def issue(self, challenge: Challenge) -> None:
        """Keep a challenge that was issued: ``status`` shows it until it is answered. Issuing it again does nothing.

        Raises:
            InputError: the ledger cannot be written.
        """
        self._write(lambda connection: _issue(connection, challenge))

    # --- reading ----------------------------------------------------------------------------------------------------

    def entries(self) -> Iterator[Entry]:
        """Every accepted proof, the oldest first."""
        last = 0
        while True:
            with self._reading() as connection:
                row = connection.execute(
                    select(_proofs).where(_proofs.c.id > last).order_by(_proofs.c.id).limit(1)
                ).first()
                if row is None:
                    return
                entry = _entry(connection, row)
            last = row.id
            yield entry

    def accounts(self) -> list[Account]:
        """Every account by its alias, with its newest proof: the one about the newest snapshot."""
        with self._reading() as connection:
            aliases = connection.execute(select(_parts.c.alias).distinct().order_by(_parts.c.alias)).scalars().all()
            found = []
            for alias in aliases:
                of_alias = select(_parts.c.proof_id).where(_parts.c.alias == alias)
                proofs = select(_proofs).where(_proofs.c.id.in_(of_alias))
                newest = proofs.order_by(_proofs.c.snapshot_ms.desc(), _proofs.c.id.desc()).limit(1)
                count = connection.execute(select(func.count()).select_from(proofs.subquery())).scalar_one()
                found.append(Account(alias, _entry(connection, connection.execute(newest).one()), count))
            return found

    def open_challenges(self) -> list[Challenge]:
        """Issued and not answered, the earliest deadline first."""
        query = select(_challenges.c.challenge).where(_challenges.c.statement.is_(None))
        with self._reading() as connection:
            digests = connection.execute(query.order_by(_challenges.c.deadline_ms)).scalars().all()
        return [self.document(Challenge, digest) for digest in digests]

    def counts(self) -> dict[str, int]:
        """How much there is of everything."""
        tables = {"proofs": _proofs, "documents": _documents, "streams": _streams, "challenges": _challenges}
        with self._reading() as connection:
            return {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in tables.items()
            }

    def document(self, kind: type[D], digest: str) -> D:
        """A document by its digest (hex), checked against it. Raises InputError: not there, or damaged."""
        query = select(_documents.c.body).where(_documents.c.digest == digest)
        with self._reading() as connection:
            body = connection.execute(query).scalar_one_or_none()
        if body is None:
            raise InputError("is not in the ledger", file=self.name, field=f"document {digest[:16]}")
        if not isinstance(body, bytes):  # SQLite keeps whatever someone writes into a column
            raise InputError("is damaged: no bytes", file=self.name, field=f"document {digest[:16]}")
        document = kind.parse(body, file=self.name)
        if document.digest().hex() != digest:
            raise InputError("is damaged: its digest is another", file=self.name, field=f"document {digest[:16]}")
        return document

    def statement(self, entry: Entry) -> Statement:
        """The statement of an entry, from the ledger's documents alone. Raises InputError."""
        snapshot, commitment = self.document(Snapshot, entry.snapshot), self.document(Commitment, entry.commitment)
        return Statement.of(snapshot, [commitment], entry.claim, context=entry.context, limits=entry.limits)

    def check(self, entry: Entry) -> Accepted:
        """Verify a recorded proof again, from the ledger alone.

        Raises:
            InputError: documents that are missing or damaged.
            VerificationError, ProofFormatError: a record that is not of an accepted proof.
        """
        accepted = verify(self.statement(entry), entry.proof)
        if accepted.statement_digest.hex() != entry.statement:
            raise VerificationError("recorded under another statement's digest", check="ledger")
        for kind, digest in ((Trust, entry.trust), (Challenge, entry.challenge), (Receipt, entry.receipt)):
            if digest is not None:
                self.document(kind, digest)
        for digest in entry.attestations:
            self.document(Attestation, digest)
        return accepted

    # --- transactions -----------------------------------------------------------------------------------------------

    def _create(self) -> None:
        engine = self._engine
        if engine.dialect.name == "postgresql":
            # what the transaction before made while this one waited for the lock must be visible in it
            engine = engine.execution_options(isolation_level="READ COMMITTED")

        def create(connection: Connection) -> None:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
            _metadata.create_all(connection)
            if connection.execute(select(_meta.c.value).where(_meta.c.key == "schema")).first() is None:
                connection.execute(insert(_meta).values(key="schema", value=SCHEMA))

        with self._reading() as connection:
            existing = inspect(connection).has_table(_meta.name)
        if not existing:
            self._write(create, engine)
        with self._reading() as connection:
            schema = connection.execute(select(_meta.c.value).where(_meta.c.key == "schema")).scalar_one_or_none()
        if schema != SCHEMA:
            raise InputError(f"no ledger of this version: its schema is {str(schema)[:40]!r}", file=self.name)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._errors(), self._reader.connect() as connection:
            yield connection

    def _write(self, work: Callable[[Connection], T], engine: Engine | None = None) -> T:
        """One transaction, alone or as if alone; again from its beginning where another one came in between."""
        engine = engine or self._engine
        for attempt in range(MAX_ATTEMPTS):
            try:
                with self._errors(retry=attempt < MAX_ATTEMPTS - 1), engine.begin() as connection:
                    return work(connection)
            except _Again:
                time.sleep((1 + secrets.randbelow(1 + attempt)) / 200)
        raise AssertionError("the last attempt raises something else")

    @contextmanager
    def _errors(self, *, retry: bool = False) -> Iterator[None]:
        """Database errors as InputErrors, without statements or parameters; passing ones as ``_Again``."""
        try:
            yield
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if retry and (isinstance(error, IntegrityError) or state in _SERIALIZATION_FAILURES):
                raise _Again from None
            raise InputError(f"the ledger cannot be used: {_reason(error)}", file=self.name) from None


class _Again(Exception):  # noqa: N818 - never leaves this module
    """Another transaction came in between."""


# --- inside a transaction -------------------------------------------------------------------------------------------


def _newest(connection: Connection, stream: Stream) -> Sighting | None:
    query = select(_streams.c.sequence, _streams.c.payload).where(_streams.c.stream == _stream_key(stream))
    row = connection.execute(query).first()
    return None if row is None else Sighting(row.sequence, row.payload)


def _see(connection: Connection, attestation: Attestation) -> None:
    payload = attestation.payload
    digest = payload.digest.hex()
    seen = _newest(connection, payload.stream)
    if seen is not None and payload.sequence < seen.sequence:
        raise VerificationError(
            f"number {payload.sequence} of {_named(payload.stream)} is superseded: number {seen.sequence} was seen",
            check="sequence",
        )
    if seen is not None and payload.sequence == seen.sequence:
        if digest != seen.digest:
            raise VerificationError(
                f"number {payload.sequence} of {_named(payload.stream)} contradicts what was signed before under it",
                check="sequence",
            )
        _store(connection, attestation)
        return
    _store(connection, attestation)
    values = {"sequence": payload.sequence, "payload": digest, "attestation": attestation.digest().hex()}
    key = _stream_key(payload.stream)
    if seen is None:
        connection.execute(insert(_streams).values(stream=key, **values))
    else:
        connection.execute(update(_streams).where(_streams.c.stream == key).values(values))


def _issue(connection: Connection, challenge: Challenge) -> None:
    digest = challenge.digest().hex()
    if connection.execute(select(_challenges.c.challenge).where(_challenges.c.challenge == digest)).first() is None:
        _store(connection, challenge)
        connection.execute(insert(_challenges).values(challenge=digest, deadline_ms=parse_time(challenge.deadline)))


def _check_unanswered(connection: Connection, challenge: Challenge) -> None:
    query = select(_proofs.c.id).where(_proofs.c.challenge == challenge.digest().hex())
    if connection.execute(query).first() is not None:
        raise VerificationError("a proof was accepted for this challenge before: a replay", check="challenge")


def _answer(connection: Connection, challenge: Challenge, statement: str) -> None:
    _issue(connection, challenge)
    answered = _challenges.c.challenge == challenge.digest().hex()
    connection.execute(update(_challenges).where(answered).values(statement=statement))


def _store(connection: Connection, document: Document) -> None:
    """Keep a public document under its digest."""
    if document.SECRET:
        raise InputError("a secret document does not belong into a ledger", field=document.FORMAT)
    digest = document.digest().hex()
    if connection.execute(select(_documents.c.digest).where(_documents.c.digest == digest)).first() is None:
        connection.execute(insert(_documents).values(digest=digest, format=document.FORMAT, body=document.to_bytes()))


def _entry(connection: Connection, row: Any) -> Entry:
    query = select(_attestations.c.attestation).where(_attestations.c.proof_id == row.id)
    return Entry(
        statement=row.statement,
        proof=bytes(row.proof),
        snapshot=row.snapshot,
        commitment=row.commitment,
        trust=row.trust,
        challenge=row.challenge,
        receipt=row.receipt,
        snapshot_ms=row.snapshot_ms,
        claim=Claim(row.num, row.den, row.requirement),
        limits=tuple(Limit(kind, subject, Fraction(bound)) for kind, subject, bound in json.loads(row.limits)),
        context=bytes(row.context),
        attestations=tuple(sorted(connection.execute(query).scalars())),
        accepted_ms=row.accepted_ms,
    )


def _stream_key(stream: Stream) -> str:
    return canonical_bytes(list(stream)).decode()


def _named(stream: Stream) -> str:
    return " ".join(repr(name[:80]) for name in stream)


def _digest(document: Document | None) -> str | None:
    return None if document is None else document.digest().hex()


# --- connections ----------------------------------------------------------------------------------------------------


def _url(where: str | Path) -> URL:
    """The URL of a path or URL. Raises InputError, never repeating what may hold a password."""
    written = str(where)
    if "://" not in written:
        return URL.create("sqlite", database=str(Path(written).absolute()))
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):
        raise InputError("not a URL like sqlite:///FILE or postgresql://USER@HOST/DATABASE", file="--ledger") from None
    kind = url.get_backend_name()
    if kind == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite" or not url.database or url.database == ":memory:":
        raise InputError("neither an SQLite file nor a PostgreSQL database", file="--ledger")
    return url.set(drivername="sqlite")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return create_engine(url, isolation_level="SERIALIZABLE", pool_pre_ping=True)
        except (ImportError, NoSuchModuleError):
            raise InputError(
                "PostgreSQL needs the package psycopg", file="--ledger", hint="pip install 'zkmargin[postgres]'"
            ) from None
    _create_file(Path(url.database or ""))
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver's own transactions begin too late
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = EXTRA")  # on disk, the folder's entry too, when a commit returns
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a writer takes the lock before it reads: what it decides on does not change under it
        reading = connection.get_execution_options().get("zkmargin_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _create_file(path: Path) -> None:
    """An empty SQLite file with mode 0600, unless it exists: who proves what to whom is nobody else's business."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "error").lower()
        raise InputError(f"cannot be opened: {reason}", file=str(path)) from None


def _reason(error: DBAPIError) -> str:
    """The driver's first line: it names the cause, and no row of ours."""
    if isinstance(error, DatabaseError) and error.orig is not None:
        lines = str(error.orig).strip().splitlines()
        return lines[0][:200] if lines else type(error.orig).__name__
    return type(error).__name__
