"""Everything of a ledger checked: what its records say is derived again, and compared with what its tables hold.

The order: the chain; from it the rows that every table must have; the documents by their digests, and of each what the
records say of it; then each accepted proof as a verifier would take it: statement, proof, attestations at the time of
acceptance, challenge, receipt. Of all that a record holds what its documents do not give is in ``UNPROTECTED``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, inspect, select, text

from zkmargin.accounts import Commitment
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError, VerificationError, ZkMarginError
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.ledger import chain, origin, records, tables
from zkmargin.verifier.attest import (
    Attestation,
    Challenge,
    Receipt,
    Revocations,
    Revoked,
    SnapshotPayload,
    Trust,
    authenticate,
)
from zkmargin.verifier.attest.accept import check_challenge
from zkmargin.verifier.attest.acceptance import Acceptance
from zkmargin.verifier.protocols import AnyStatement, verify_any
from zkmargin.verifier.venue.terms import VenueTerms

D = TypeVar("D", bound=Document)

#: What only a signature of the ledger's key protects, whatever is kept: all the rest of a record follows from the
#: documents that it names, and from proofs.
UNPROTECTED = (
    "proofs.trust with its receipt, attestations, revocations: another, with what its keys signed, could stand there",
    "records that no accepted proof needs (seen, signed, issued): they could be missing, or name other documents",
    "in records.body the holding of what was signed, the policy_rule and the sources of a proof, and imported",
    "records.time_ms, and the order and the number of records",
)
#: The same, of proofs without a receipt by a key that the trust file names for receipts.
UNBOUND = "proofs.accepted_ms, proofs.challenge and proofs.receipt of {} of {} proofs: no receipt that counts says when"


@dataclass
class Findings:
    """What an audit found.

    Attributes:
        schema: the version that was found; version 1 has no chain.
        records, signed: how many records there are, and how many carry a signature of the ledger's.
        verified: accepted proofs that verify again, with everything that belongs to them.
        unbound: how many of these have no receipt by a key that their trust file names for receipts.
        head: number and digest of the last record.
        bad: what is wrong: ``subject`` (a record, a row, a statement) and ``reason``.
    """

    schema: str
    records: int = 0
    signed: int = 0
    verified: int = 0
    unbound: int = 0
    head: tuple[int, str] = (0, chain.GENESIS)
    bad: list[dict[str, str]] = field(default_factory=list)

    @contextmanager
    def about(self, subject: str) -> Iterator[None]:
        """Note an error of ours under a name, and go on."""
        try:
            yield
        except ZkMarginError as error:
            self.bad.append({"subject": subject, "reason": error.message})


def audit(connection: Connection, *, schema: str, keys: Sequence[PublicKey], head: str | None) -> Findings:
    """Check a ledger of any version. It raises nothing but what the database does: all else is in the findings."""
    found = Findings(schema)
    _check_schema(connection, found)
    expected, chained = _Expected(), schema != tables.WITHOUT_CHAIN
    if chained:
        with found.about("chain"):
            _walk(connection, found, expected, keys, head)
        _compare(connection, found, expected)
        there = set(connection.execute(select(tables.documents.c.digest)).scalars())
        for digest in sorted(expected.named - there):
            found.bad.append({"subject": f"document {digest[:64]}", "reason": "is not in the ledger"})
        if not expected.imported:  # version 1 kept what it saw twice
            rest = there - expected.named
            for digest in sorted(rest - _published(connection, expected) if rest else (), key=str):
                found.bad.append({"subject": f"document {str(digest)[:64]}", "reason": "no record names it"})
    else:
        with found.about("chain"):
            _without_chain(connection, keys, head)
        for row in connection.execute(select(tables.proofs).order_by(tables.proofs.c.id)).all():
            with found.about(f"proof {row.id}"):
                entry = records.entry_of(connection, row)
                expected.accepted.append(records.accepted_body(entry, records.parts_of(connection, row.id), ()))
    for digest in connection.execute(select(tables.documents.c.digest)).scalars().all():  # one body at a time
        query = select(tables.documents).where(tables.documents.c.digest == digest)
        _check_document(found, connection.execute(query).one(), expected.said)
    for body in expected.accepted:
        with found.about(f"statement {str(body.get('statement'))[:64]}"):
            query_proof = select(tables.proofs.c.proof).where(tables.proofs.c.statement == body.get("statement"))
            proof = connection.execute(query_proof).scalars().first()  # twice in a table without its keys: found above
            bound = _check_accepted(connection, body, proof, expected.streams if chained else None)
            found.verified, found.unbound = found.verified + 1, found.unbound + (not bound)
    return found


def _published(connection: Connection, expected: _Expected) -> set[str]:
    """Snapshots that an attestation of the ledger names: a service keeps what it publishes, proved about or not."""
    columns = (tables.documents.c.digest, tables.documents.c.body)
    query = select(*columns).where(tables.documents.c.format.in_((Attestation.FORMAT, *Attestation.READS)))
    named = set()
    for row in connection.execute(query):
        with suppress(ZkMarginError):  # what is damaged is found as such
            payload = Attestation.parse(row.body).payload if row.digest in expected.named else None
            named |= {payload.snapshot} if isinstance(payload, SnapshotPayload) else set()
    return named


def _check_schema(connection: Connection, found: Findings) -> None:
    """What else is in the database: it could change rows, or show others, behind a ledger's back.

    The tables of a service stand beside a ledger's and are not judged here: they say what an operator may lose.
    """
    inspector = inspect(connection)
    ours = {table.name: {column.name for column in table.columns} for table in tables.metadata.sorted_tables}
    for name in sorted(inspector.get_table_names()):
        if name.startswith(tables.BESIDE):
            continue
        if name not in ours:
            found.bad.append({"subject": f"table {name[:80]}", "reason": "is no table of a ledger"})
        elif {column["name"] for column in inspector.get_columns(name)} != ours[name]:
            found.bad.append({"subject": f"table {name[:80]}", "reason": "has other columns than a ledger's"})
    for name in sorted(inspector.get_view_names()):
        found.bad.append({"subject": f"view {name[:80]}", "reason": "a ledger has no views"})
    for kind, name in connection.execute(text(_RUNNING[connection.dialect.name])).all():
        found.bad.append({"subject": f"{kind} {name[:80]}", "reason": "a ledger has none: it runs when rows change"})
    for row in connection.execute(select(tables.meta)).all():
        if row.key not in ("schema", tables.BESIDE.rstrip("_")):
            found.bad.append({"subject": "meta", "reason": f"a row that no ledger has: {str(row.key)[:80]!r}"})


#: What a database would run by itself, beside the keys that it keeps.
_RUNNING = {
    "sqlite": "SELECT 'trigger', name FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
    "postgresql": """
        SELECT 'trigger', tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace
        UNION ALL SELECT 'rule', rulename FROM pg_rules WHERE schemaname = current_schema()
        UNION ALL SELECT 'policy', policyname FROM pg_policies WHERE schemaname = current_schema()
        ORDER BY 1, 2""",
}


def _without_chain(connection: Connection, keys: Sequence[PublicKey], head: str | None) -> None:
    """Of an older version there is no chain to check. Raises VerificationError where there must be one.

    The version is a text in the database: whoever can write there must not take a chain away with it.
    """
    if inspect(connection).has_table(tables.records.name):
        raise VerificationError("a ledger of version 1 has no records: its version was set back", check="chain")
    if keys or head is not None:
        missing = "no record is signed with the ledger's key" if keys else "the head that was noted is not in it"
        raise VerificationError(f"a ledger of version 1 has no chain: {missing}", check="chain")


class _Expected:
    """The rows that the tables must have by the records."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {table.name: [] for table in _DERIVED}
        self.streams: dict[str, dict[str, Any]] = {}
        self.challenges: dict[str, dict[str, Any]] = {}
        self.accepted: list[dict[str, Any]] = []
        self.statements: set[str] = set()
        self.said: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}  # of a document: record, kind, body
        self.named: set[str] = set()  # documents
        self.imported = False

    def add(self, record: chain.Record) -> None:
        body = {name: value for name, value in record.body.items() if name != "imported"}
        self.imported |= "imported" in record.body
        try:
            if record.kind != "accepted":
                document = body["challenge" if record.kind == "issued" else "attestation"]
                self.said.setdefault(document, []).append((record.number, record.kind, body))
            getattr(self, f"_{record.kind}")(body)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError("says something else than its kind", field=f"record {record.number}") from None

    def _issued(self, body: dict[str, Any]) -> None:
        if body["challenge"] in self.challenges:
            raise ValueError
        self.challenges[body["challenge"]] = {**body, "statement": None}
        self.named.add(body["challenge"])

    def _seen(self, body: dict[str, Any]) -> None:
        before = self.streams.get(body["stream"])
        if before is not None and body["sequence"] <= before["sequence"]:
            raise ValueError
        self.streams[body["stream"]] = body
        self.named.add(body["attestation"])

    def _signed(self, body: dict[str, Any]) -> None:
        self.rows["signed"].append(body)
        self.named.add(body["attestation"])

    def _accepted(self, body: dict[str, Any]) -> None:
        if body["statement"] in self.statements:
            raise ValueError
        self.statements.add(body["statement"])
        number = len(self.accepted) + 1
        same = ("statement", "snapshot", "snapshot_ms", "trust", "challenge", "receipt", "accepted_ms")
        row = {"id": number, **{name: body[name] for name in same}, **records.columns_of(body)}
        row |= {"proof": body["proof"], "context": bytes.fromhex(body["context"])}
        self.rows["proofs"].append(row)
        for place, (role, alias, attestation) in enumerate(body["parts"]):
            part = {"proof_id": number, "place": place, "role": role, "alias": alias, "attestation": attestation}
            self.rows["parts"].append(part)
        for digest in body["attestations"]:
            self.rows["attestations"].append({"proof_id": number, "attestation": digest})
        if body["challenge"] is not None:
            if self.challenges[body["challenge"]]["statement"] is not None:
                raise ValueError
            self.challenges[body["challenge"]]["statement"] = body["statement"]
        single = (row[name] for name in ("snapshot", "commitment", "trust", "challenge", "receipt"))
        self.named.update(digest for digest in single if digest is not None)
        self.named.update(
            body["attestations"], body.get("commitments", ()), body.get("revocations", ()), body.get("sources", ())
        )
        self.accepted.append(body)

    def of(self, table: Table) -> list[dict[str, Any]]:
        """The rows of a table, in no order."""
        if table is tables.streams:
            return list(self.streams.values())
        return list(self.challenges.values()) if table is tables.challenges else self.rows[table.name]


_DERIVED = (tables.proofs, tables.parts, tables.attestations, tables.streams, tables.challenges, tables.signed)


def _walk(
    connection: Connection, found: Findings, expected: _Expected, keys: Sequence[PublicKey], head: str | None
) -> None:
    """The chain from its beginning: once a later key signed, an earlier one counts no more.

    Raises InputError, VerificationError.
    """
    previous, noted = chain.GENESIS, head in (None, chain.GENESIS)
    for number, record in enumerate(chain.read(connection), 1):
        keys = keys[record.check(number=number, previous=previous, keys=keys) :]
        expected.add(record)
        previous, noted = record.digest, noted or record.digest == head
        found.records, found.head = number, (number, record.digest)
        found.signed += record.signature is not None
    if not noted:
        raise VerificationError(
            "the head that was noted is not in it: records were removed or written anew", check="chain"
        )


def _compare(connection: Connection, found: Findings, expected: _Expected) -> None:
    """Every row of every table against what the records say.

    Numbers of proofs are places in the order of acceptance: a database may leave gaps.
    """
    ids = connection.execute(select(tables.proofs.c.id).order_by(tables.proofs.c.id)).scalars()
    places = {proof_id: place for place, proof_id in enumerate(ids, 1)}
    for table in _DERIVED:
        wanted = {_canonical(table, row) for row in expected.of(table)}
        there = set()
        for row in connection.execute(select(table)).mappings():
            values = dict(row)
            for name in ("id", "proof_id"):
                if name in values:
                    values[name] = places.get(values[name], f"none: {values[name]}")
            if table is tables.proofs and isinstance(values["proof"], bytes):
                values["proof"] = keccak256(values["proof"]).hex()
            shown = _canonical(table, values)
            if shown in there:  # a table that was made anew without its keys
                found.bad.append({"subject": table.name, "reason": f"a row is there twice: {shown[:200]}"})
            there.add(shown)
        for extra in sorted(there - wanted):
            found.bad.append({"subject": table.name, "reason": f"a row that no record gives: {extra[:200]}"})
        for missing in sorted(wanted - there):
            found.bad.append(
                {"subject": table.name, "reason": f"a row is missing that a record gives: {missing[:200]}"}
            )


def _canonical(table: Table, row: dict[str, Any]) -> str:
    """A row as one text."""
    return repr([(column.name, row.get(column.name)) for column in table.columns])


def _check_document(found: Findings, row: Any, said: dict[str, list[tuple[int, str, dict[str, Any]]]]) -> None:
    """A stored document's digest and format, and what records say of it."""
    with found.about(f"document {str(row.digest)[:64]}"):
        kinds = {form: kind for kind in _KINDS for form in (kind.FORMAT, *kind.READS)}
        kind = kinds.get(row.format)
        if kind is None or not isinstance(row.body, bytes):
            raise InputError("is damaged: of no format that a ledger keeps")
        document = kind.parse(row.body)
        if document.digest().hex() != row.digest or document.format != row.format:
            raise InputError("is damaged: its digest or format is another")
        if document.to_bytes() != row.body:
            raise InputError("is damaged: not written as it was")
        for number, event, body in said.get(row.digest, ()):
            with found.about(f"record {number}"):
                _check_said(document, event, body)


def _check_said(document: Document, kind: str, body: dict[str, Any]) -> None:
    """Raises VerificationError: a record says something else of a document than follows from it."""
    again: dict[str, Any] = {}
    if isinstance(document, Challenge) and kind == "issued":
        again = records.issued_of(document)
    elif isinstance(document, Attestation) and kind == "signed":
        again = records.signed_of(document)
        if isinstance(body.get("holding"), str):
            again["holding"] = body["holding"]
    elif isinstance(document, Attestation | Revocations) and kind == "seen":
        again = records.seen_of(document)
    _check_same(body, again, "the document that it names")


def _check_same(body: dict[str, Any], again: dict[str, Any], what: str) -> None:
    """Raises VerificationError: the first thing that a record says otherwise."""
    for name in sorted({*body, *again}):
        if name not in again or name not in body or canonical_bytes(body[name]) != canonical_bytes(again[name]):
            raise VerificationError(f"its {name[:80]} is not that of {what}", check="ledger")


_KINDS: tuple[type[Document], ...] = (
    *(Snapshot, Commitment, VenueTerms, Attestation, Revocations, Trust, Challenge, Receipt),
    *origin.KINDS,
)


def _document(connection: Connection, kind: type[D], digest: str) -> D:
    body = connection.execute(
        select(tables.documents.c.body).where(tables.documents.c.digest == digest)
    ).scalar_one_or_none()
    if not isinstance(body, bytes):
        raise InputError("is not in the ledger", field=f"document {digest[:16]}")
    document = kind.parse(body)
    if document.digest().hex() != digest:
        raise InputError("is damaged: its digest is another", field=f"document {digest[:16]}")
    return document


def _source(connection: Connection, digest: str) -> Document:
    """A document that a snapshot was built from. Raises InputError."""
    form = connection.execute(
        select(tables.documents.c.format).where(tables.documents.c.digest == digest)
    ).scalar_one_or_none()
    return _document(connection, origin.kind_of(form), digest)


def _statement(connection: Connection, body: dict[str, Any]) -> AnyStatement:
    """What a record says was proved, from documents of the ledger. Raises InputError."""

    def document(kind: type[D], digest: str) -> D:
        return _document(connection, kind, digest)

    columns = records.columns_of(body)
    claim, limits = records.claimed(columns)
    names, context = {"snapshot": body["snapshot"], "commitment": columns["commitment"]}, bytes.fromhex(body["context"])
    return records.statement_of(document, **names, claim=claim, limits=limits, context=context)


def _check_accepted(
    connection: Connection, body: dict[str, Any], proof: object, streams: dict[str, dict[str, Any]] | None
) -> bool:
    """An accepted proof again, as of its acceptance; whether a receipt that counts says when that was.

    ``streams`` has the newest that was seen of each; None where there is no chain to say so.

    Raises InputError, VerificationError, ProofFormatError.
    """
    if not isinstance(proof, bytes) or keccak256(proof).hex() != body["proof"]:
        raise VerificationError("its proof is missing or another", check="ledger")
    statement = _statement(connection, body)
    accepted = verify_any(statement, proof)
    if body.get("sources"):
        origin.rebuild(statement.snapshot, [_source(connection, digest) for digest in body["sources"]])
    now_ms, trust = body["accepted_ms"], None
    if body["trust"] is not None:
        trust = _document(connection, Trust, body["trust"])
    challenge = None if body["challenge"] is None else _document(connection, Challenge, body["challenge"])
    if challenge is not None:
        check_challenge(challenge, statement, now_ms=now_ms, trust=trust)
    given = [_document(connection, Attestation, digest) for digest in body["attestations"]]
    lists = [_document(connection, Revocations, digest) for digest in body.get("revocations", ())]
    seen = None
    if trust is not None:
        # that the policy follows from its rule was recomputed when the proof was accepted: the record says so
        rule = body.get("policy_rule")
        derived = {} if rule is None else {statement.snapshot.policy.digest().hex(): str(rule)}
        seen = authenticate(statement, given, trust, now_ms=now_ms, revocations=lists, derived=derived)
    signed: list[Attestation | Revocations] = [*given, *lists]
    for one in signed:
        newest = (streams or {}).get(records.stream_key(one.payload.stream))
        if streams is not None and (newest is None or newest["sequence"] < one.payload.sequence):
            raise VerificationError("no record says that its attestations were seen", check="ledger")
    receipt = None if body["receipt"] is None else _document(connection, Receipt, body["receipt"])
    acceptance = Acceptance(accepted, proof, now_ms, trust, seen, challenge)
    subject = records.subject_of(statement)
    entry = records.entry_for(acceptance, receipt, subject)
    again = records.body_of(entry, subject, seen, body.get("sources", ()))
    _check_same({"revocations": [], **body}, again, "its proof and documents")
    return receipt is not None and _receipt_counts(acceptance, receipt)


def _receipt_counts(acceptance: Acceptance, receipt: Receipt) -> bool:
    """Whether a receipt is signed by those whom the trust file names for receipts of its verifier.

    Raises VerificationError: it says otherwise, its signature does not verify, or the trust file names others.
    """
    different = acceptance.receipt(software=receipt.payload.software).differences(receipt)
    if different or parse_time(receipt.payload.time) != acceptance.time_ms:
        raise VerificationError(f"its receipt says otherwise: {', '.join(different) or 'time'}", check="ledger")
    if not all(signature.verifies(receipt.message) for signature in receipt.signatures):
        raise VerificationError("the signature of its receipt does not verify", check="ledger")
    trust, seen = acceptance.trust, acceptance.authenticated
    if trust is None or seen is None or not receipt.signatures:
        return False
    if all(rule.name != trust.verifier for rule in trust.receipts):
        return False
    trust.receipt_quorum(receipt, Revoked.by(seen.revocations))
    return True
