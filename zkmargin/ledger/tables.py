"""What a ledger keeps. A new schema gets a new ``SCHEMA``: a ledger of another one is refused."""

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

SCHEMA = "zkmargin/ledger/v1"
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
