"""What a ledger keeps: a chain of records, and tables that answer questions about them.

``records`` says everything (``ledger.chain``); every other table but ``documents`` can be made again from it and from
them. A new schema gets a new ``SCHEMA`` and a step in ``ledger.migrations``.

Version 3 has the tables of version 2. A venue's proof is a row of ``proofs`` whose ``commitment`` is the venue's terms,
which name the commitments; its claims stand there too: ``num`` and ``den`` are 0. Among ``parts`` it is one of the role
"venue", before those of its committed accounts.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

SCHEMA = "zkmargin/ledger/v3"
#: The one version without a chain of records.
WITHOUT_CHAIN = "zkmargin/ledger/v1"
#: Tables whose names begin so are a service's (``zkmargin.service``), in the same database.
BESIDE = "service_"
_DIGEST = String(64)

metadata = MetaData()
meta = Table("meta", metadata, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))
documents = Table(
    "documents",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("format", String(80), nullable=False),
    Column("body", LargeBinary, nullable=False),
)
proofs = Table(
    "proofs",
    metadata,
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
parts = Table(
    "parts",
    metadata,
    Column("proof_id", ForeignKey("proofs.id"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("role", String(40), nullable=False),
    Column("alias", String(200), nullable=False, index=True),
    Column("attestation", ForeignKey("documents.digest")),
)
attestations = Table(
    "attestations",
    metadata,
    Column("proof_id", ForeignKey("proofs.id"), primary_key=True),
    Column("attestation", ForeignKey("documents.digest"), primary_key=True),
)
streams = Table(
    "streams",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("payload", _DIGEST, nullable=False),
    Column("attestation", ForeignKey("documents.digest"), nullable=False),
)
challenges = Table(
    "challenges",
    metadata,
    Column("challenge", ForeignKey("documents.digest"), primary_key=True),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("statement", ForeignKey("proofs.statement"), unique=True),
    CheckConstraint("deadline_ms > 0"),
)
signed = Table(
    "signed",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("payload", _DIGEST, nullable=False),
    Column("account", String(200)),
    Column("content", _DIGEST),
    Column("attestation", ForeignKey("documents.digest"), nullable=False),
)
records = Table(
    "records",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", _DIGEST, nullable=False),
    Column("digest", _DIGEST, nullable=False, unique=True),
    Column("signature", Text),
)
#: The tables of version 1: what has them is a ledger.
FIRST = (meta, documents, proofs, parts, attestations, streams, challenges)
