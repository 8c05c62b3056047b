"""The service's own tables, beside the ledger's in one database.

The ledger's are the record of what was accepted. These say which account it was for, what is asked of whom, and what
happened. A new ``SCHEMA`` gets a step in ``service.migrations``.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

SCHEMA = "zkmargin/service/v3"
_DIGEST, _NAME = String(64), String(200)

metadata = MetaData()
accounts = Table(
    "service_accounts",
    metadata,
    Column("account", _NAME, primary_key=True),
    Column("terms", Text, nullable=False),
    Column("keys", Text, nullable=False),
    Column("closed", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
    # when its parts changed first since the proof that counts was accepted
    Column("changed_ms", BigInteger),
    # of the proof that counts: its number, its snapshot's time, when it was accepted
    Column("counting", BigInteger),
    Column("snapshot_ms", BigInteger),
    Column("accepted_ms", BigInteger),
    # the last refusal since the last acceptance
    Column("refused", BigInteger),
    # how many proofs were accepted, and the ratios of the last ones (JSON): the roster reads no proofs
    Column("proofs", BigInteger, nullable=False, server_default="0"),
    Column("trend", Text, nullable=False, server_default="[]"),
)
parts = Table(
    "service_parts",
    metadata,
    Column("account", _NAME, primary_key=True),
    Column("role", String(40), primary_key=True),
    Column("issuer", _NAME, primary_key=True),
    Column("part", _NAME, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("attestation", _DIGEST, nullable=False),
    Column("revoked", Integer, nullable=False),
)
snapshots = Table(
    "service_snapshots",
    metadata,
    Column("series", _NAME, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("snapshot", _DIGEST, nullable=False, index=True),
    Column("attestation", _DIGEST, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("published_ms", BigInteger, nullable=False),
)
Index("service_snapshots_time", snapshots.c.series, snapshots.c.time_ms)
revocations = Table(
    "service_revocations",
    metadata,
    Column("issuer", _NAME, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("document", _DIGEST, nullable=False),
)
challenges = Table(
    "service_challenges",
    metadata,
    Column("challenge", _DIGEST, primary_key=True),
    Column("account", _NAME, nullable=False),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("answered", Integer, nullable=False),
)
Index("service_challenges_open", challenges.c.account, challenges.c.answered, challenges.c.deadline_ms)
# to a venue, by the name in its terms: a venue may be called as an account is
venue_challenges = Table(
    "service_venue_challenges",
    metadata,
    Column("challenge", _DIGEST, primary_key=True),
    Column("venue", _NAME, nullable=False),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("answered", Integer, nullable=False),
)
Index("service_venue_challenges_open", venue_challenges.c.venue, venue_challenges.c.answered)
# a row for each account that a proof is about: a venue's is about several
proofs = Table(
    "service_proofs",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("statement", _DIGEST, nullable=False),
    Column("account", _NAME, nullable=False),
    Column("series", _NAME, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("snapshot", _DIGEST, nullable=False),
    Column("snapshot_ms", BigInteger, nullable=False),
    Column("num", Integer, nullable=False),
    Column("den", Integer, nullable=False),
    Column("requirement", String(40), nullable=False),
    Column("limits", Text, nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
    UniqueConstraint("statement", "account"),
)
Index("service_proofs_account", proofs.c.account, proofs.c.number)
Index("service_proofs_snapshot", proofs.c.account, proofs.c.series, proofs.c.snapshot_ms)
refusals = Table(
    "service_refusals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("account", _NAME, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("check", String(80), nullable=False),
    Column("reason", Text, nullable=False),
    Column("snapshot", _DIGEST),
    Column("challenge", _DIGEST),
    Column("proof", _DIGEST, nullable=False),
)
Index("service_refusals_account", refusals.c.account, refusals.c.number)
events = Table(
    "service_events",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("account", _NAME),
    Column("payload", Text, nullable=False),
)
tokens = Table(
    "service_tokens",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("name", _NAME, nullable=False),
    Column("role", String(20), nullable=False),
    Column("account", _NAME),
    Column("expires_ms", BigInteger),
    Column("revoked", Integer, nullable=False),
)
signers = Table(
    "service_signers",
    metadata,
    Column("key", String(120), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("payload", _DIGEST, nullable=False),
)
webhooks = Table(
    "service_webhooks",
    metadata,
    Column("url", Text, primary_key=True),
    Column("scope", _NAME, primary_key=True),  # the account, or "" for all
    Column("events", Text, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
)
audit = Table(
    "service_audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("actor", _NAME, nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", Text),
    Column("outcome", String(40), nullable=False),
    Column("facts", Text, nullable=False),
)
