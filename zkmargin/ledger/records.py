"""Entries of a ledger, and what happens inside one transaction: keep, see, answer, read."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import Connection, bindparam, insert, select, update

from zkmargin.accounts import Commitment
from zkmargin.accounts.commitments import joined
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, InputError, VerificationError, parse_json
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.ledger import tables
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import (
    Acceptance,
    Attestation,
    Challenge,
    CommitmentPayload,
    Receipt,
    Revocations,
    Sighting,
    Stream,
)
from zkmargin.verifier.attest.acceptance import Authenticated
from zkmargin.verifier.protocols import AnyStatement

if TYPE_CHECKING:
    from zkmargin.verifier.venue.terms import VenueTerms

#: The role of a venue among the parts of its proof, and what stands where a claim is in the terms.
VENUE = "venue"
NO_CLAIM: dict[str, Any] = {"num": 0, "den": 0, "requirement": "", "limits": "[]"}
_HEX_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """An accepted proof, as it is recorded. Digests are hex.

    Attributes:
        statement: the statement digest.
        proof: the bytes.
        snapshot, commitment, trust, challenge, receipt: digests of documents of the ledger; the last three may be None.
            For a venue's proof ``commitment`` is the digest of its terms.
        snapshot_ms: the snapshot's time, milliseconds since 1970.
        claim, limits, context: as in the statement; no claim for a venue's proof, whose terms say it.
        attestations: digests of what authenticated it.
        accepted_ms: when, by the verifier's clock.

    Example:
        >>> from zkmargin.ledger import Ledger
        >>> from zkmargin.verifier.attest import accept
        >>> with Ledger("my-entries.db") as ledger:
        ...     ledger.record(accept(statement, proof, now_ms=1_767_323_100_000, known=ledger))
        ...     [str(entry.claim) for entry in ledger.entries()]
        ['equity at least 11/10 of the initial requirement']
    """

    statement: str
    proof: bytes
    snapshot: str
    commitment: str
    trust: str | None
    challenge: str | None
    receipt: str | None
    snapshot_ms: int
    claim: Claim | None
    limits: tuple[Limit, ...]
    context: bytes
    attestations: tuple[str, ...]
    accepted_ms: int

    @property
    def of_venue(self) -> bool:
        """Whether it is a venue's proof, of every account at once."""
        return self.claim is None


@dataclass(frozen=True)
class Account:
    """What a ledger knows of an account.

    Attributes:
        alias: its name.
        last: the newest proof that it is in, whatever that one claims.
        proofs: how many proofs claim something of it.
        proven: the newest of those, None without one. A venue's proof may hold a committed account that it claims
            nothing of, or claim it but for some accounts that nobody names: then it says nothing of this one.
        venue: it is a venue, by its name; the proofs are of all its accounts.

    Example:
        >>> from zkmargin.ledger import Ledger
        >>> from zkmargin.verifier.attest import accept
        >>> with Ledger("my-accounts.db") as ledger:
        ...     ledger.record(accept(statement, proof, now_ms=1_767_323_100_000, known=ledger))
        ...     [(account.alias, account.proofs) for account in ledger.accounts()]
        [('account', 1)]
    """

    alias: str
    last: Entry
    proofs: int
    proven: Entry | None
    venue: bool = False


@dataclass(frozen=True)
class Subject:
    """What a proof is about, as a ledger keeps it.

    Attributes:
        documents: commitments, or a venue's terms and the commitments that they name.
        columns: of the table of proofs.
        concerned: role and alias of each part.
        venue: whether the first part is the venue itself, which nobody attests.
    """

    documents: tuple[Document, ...]
    columns: dict[str, Any]
    concerned: tuple[tuple[str, str], ...]
    venue: bool

    def parts(self, authenticated: Authenticated | None) -> list[tuple[str, str, str | None]]:
        """Role, alias and attestation of each part, in order."""
        count = len(self.concerned) - self.venue
        by = [None] * count if authenticated is None else [p.attestation.digest().hex() for p in authenticated.parts]
        given = [None, *by] if self.venue else by
        return [(role, alias, one) for (role, alias), one in zip(self.concerned, given, strict=True)]


def subject_of(statement: AnyStatement) -> Subject:
    """What a ledger keeps of a statement beside snapshot and context."""
    concerned = [(str(part.role), part.alias) for parts in statement.account_parts for part in parts]
    if isinstance(statement, Statement):
        claim = statement.claim
        srs, parts = statement.srs.digest.hex(), statement.parts
        commitment = joined(srs, statement.n, parts)
        columns: dict[str, Any] = {"commitment": commitment.digest().hex(), "limits": limits_text(statement.limits)}
        columns |= {"num": claim.num, "den": claim.den, "requirement": claim.requirement}
        return Subject((commitment,), columns, tuple(concerned), venue=False)
    terms = statement.terms
    columns = {"commitment": terms.digest().hex(), **NO_CLAIM}
    return Subject((terms, *statement.commitments), columns, ((VENUE, terms.venue), *concerned), venue=True)


def statement_of(
    document: Callable[[type[Any], str], Any],
    *,
    snapshot: str,
    commitment: str,
    claim: Claim | None,
    limits: Sequence[Limit],
    context: bytes,
) -> AnyStatement:
    """A statement from what an entry says of it; ``document`` finds documents by kind and digest. Raises InputError."""
    of: Snapshot = document(Snapshot, snapshot)
    if claim is not None:
        return Statement.of(of, [document(Commitment, commitment)], claim, context=context, limits=limits)
    from zkmargin.verifier.venue.statement import VenueStatement  # noqa: PLC0415 - most proofs are of one account
    from zkmargin.verifier.venue.terms import VenueTerms  # noqa: PLC0415

    terms: VenueTerms = document(VenueTerms, commitment)
    commitments = [document(Commitment, account.commitment) for account in terms.dense]
    return VenueStatement.of(of, terms, commitments=commitments, context=context)


def claimed(columns: Mapping[str, Any]) -> tuple[Claim | None, tuple[Limit, ...]]:
    """Claim and limits from their columns; no claim where a venue's terms say it.

    Raises:
        InputError, ValueError, TypeError, ZeroDivisionError: columns that nobody wrote so.
    """
    if {name: columns[name] for name in NO_CLAIM} == NO_CLAIM:
        return None, ()
    listed = parse_json(columns["limits"])
    limits = tuple(Limit(kind, subject, Fraction(bound)) for kind, subject, bound in listed)
    return Claim(columns["num"], columns["den"], columns["requirement"]), limits


def silent_of(terms: VenueTerms) -> frozenset[str]:
    """The commitments, by digest, of which an accepted proof of these terms says nothing on their own: nothing is
    claimed of them, or exemptions or a cap on all shortfalls let any one of them miss its claim.
    """
    any_may_miss = terms.exempt is not None or terms.cap is not None
    return frozenset(account.commitment for account in terms.dense if any_may_miss or account.claim is None)


def newest(connection: Connection, stream: Stream) -> Sighting | None:
    """The highest number seen of a stream."""
    query = select(tables.streams.c.sequence, tables.streams.c.payload).where(
        tables.streams.c.stream == stream_key(stream)
    )
    row = connection.execute(query).first()
    return None if row is None else Sighting(row.sequence, row.payload)


def kept(connection: Connection, document: Document) -> bool:
    """Whether a document is in the ledger."""
    query = select(tables.documents.c.digest).where(tables.documents.c.digest == document.digest().hex())
    return connection.execute(query).first() is not None


def check_public(documents: Sequence[Document]) -> None:
    """Raises InputError: a secret document, which no ledger keeps."""
    for document in documents:
        if document.SECRET:
            raise InputError("a secret document does not belong into a ledger", field=document.FORMAT)


def store(connection: Connection, *documents: Document) -> None:
    """Keep public documents under their digests. Raises InputError: a secret one."""
    check_public(documents)
    by_digest = {document.digest().hex(): document for document in documents}
    if not by_digest:
        return
    query = select(tables.documents.c.digest).where(tables.documents.c.digest.in_(list(by_digest)))
    there = set(connection.execute(query).scalars())
    new = [
        {"digest": digest, "format": document.format, "body": document.to_bytes()}
        for digest, document in by_digest.items()
        if digest not in there
    ]
    if new:
        connection.execute(insert(tables.documents), new)


def accepted(
    connection: Connection, given: Sequence[tuple[Entry, Mapping[str, Any], Sequence[tuple[str, str, str | None]]]]
) -> None:
    """The rows of accepted proofs, in their order: entries, what was proved as columns, and role, alias and
    attestation of each part.
    """
    names = ("statement", "proof", "snapshot", "snapshot_ms", "trust", "challenge", "receipt", "context", "accepted_ms")
    rows = [{**{name: getattr(entry, name) for name in names}, **columns} for entry, columns, _ in given]
    numbered = insert(tables.proofs).returning(tables.proofs.c.id, sort_by_parameter_order=True)
    ids = connection.execute(numbered, rows).scalars().all()
    attestations, parts, answers = [], [], []
    for proof_id, (entry, _, of_entry) in zip(ids, given, strict=True):
        attestations += [{"proof_id": proof_id, "attestation": digest} for digest in entry.attestations]
        for place, (role, alias, by) in enumerate(of_entry):
            one = {"proof_id": proof_id, "place": place, "role": role, "alias": alias, "attestation": by}
            parts.append(one)
        if entry.challenge is not None:
            answers.append({"answered": entry.challenge, "by": entry.statement})
    for table, added in ((tables.attestations, attestations), (tables.parts, parts)):
        if added:
            connection.execute(insert(table), added)
    if answers:
        of_answer = tables.challenges.c.challenge == bindparam("answered")
        connection.execute(update(tables.challenges).where(of_answer).values(statement=bindparam("by")), answers)


def entry_for(acceptance: Acceptance, receipt: Receipt | None, subject: Subject) -> Entry:
    """What is recorded of an acceptance."""
    claim, limits = claimed(subject.columns)
    return Entry(
        statement=acceptance.statement_digest.hex(),
        proof=acceptance.proof,
        snapshot=acceptance.snapshot.digest().hex(),
        commitment=subject.columns["commitment"],
        trust=digest_of(acceptance.trust),
        challenge=digest_of(acceptance.challenge),
        receipt=digest_of(receipt),
        snapshot_ms=parse_time(acceptance.snapshot.time),
        claim=claim,
        limits=limits,
        context=acceptance.statement.context,
        attestations=tuple(sorted({item.attestation.digest().hex() for item in acceptance.attested})),
        accepted_ms=acceptance.time_ms,
    )


def sign(connection: Connection, attestation: Attestation, holding: str | None = None) -> dict[str, Any] | None:
    """Keep what an attester signed; the record's body the first time.

    Raises:
        VerificationError: something else was signed under the number, something newer, or the same commitment or the
            same holding for another account or part.
    """
    payload, digest = attestation.payload, attestation.payload_digest.hex()
    if holding is not None:
        holding = unicodedata.normalize("NFC", holding)  # one name, however a keyboard spells its accents
    body = signed_of(attestation)
    key, content = body["stream"], body["content"]
    of_stream = select(tables.signed).where(tables.signed.c.stream == key).order_by(tables.signed.c.sequence.desc())
    last = connection.execute(of_stream.limit(1)).first()
    if last is not None and last.sequence >= payload.sequence:
        if (last.sequence, last.payload) == (payload.sequence, digest):
            return None
        what = "something else was" if last.sequence == payload.sequence else f"number {last.sequence} was"
        raise VerificationError(
            f"number {payload.sequence} of {named(payload.stream)}: {what} signed already", check="signed"
        )
    if isinstance(payload, CommitmentPayload):
        same = select(tables.signed.c.stream).where(tables.signed.c.content == content, tables.signed.c.stream != key)
        other = connection.execute(same).scalars().first()
        if other is not None:
            _refuse_second("this commitment", other)
        if holding is not None:
            _refuse_second_use(connection, payload, holding)
    store(connection, attestation)
    connection.execute(insert(tables.signed).values(body))
    return body if holding is None else body | {"holding": holding}


def _refuse_second_use(connection: Connection, payload: CommitmentPayload, holding: str) -> None:
    """Raises VerificationError: what the attester holds under this name was signed for another account or part.

    Points say nothing of that: the same book under fresh blinders has other points.
    """
    named = json.dumps(holding, ensure_ascii=False)
    written = tables.records.c.body.contains(f'"holding":{named}', autoescape=True)
    query = select(tables.records.c.body).where(tables.records.c.kind == "signed", written)
    for text in connection.execute(query).scalars():
        body = parse_json(text)
        stream = parse_json(body["stream"])
        own = body.get("holding") == holding and stream[1:3] == [payload.issuer, payload.role]
        if own and stream != list(payload.stream):
            _refuse_second(f"what you hold as {holding[:80]!r}", body["stream"])


def _refuse_second(what: str, stream: str) -> NoReturn:
    _, _, _, account, part = parse_json(stream)
    raise VerificationError(
        f"{what} was signed for {account[:80]!r}, part {part[:80]!r}: one record is not of two accounts or parts",
        check="signed",
    )


def seen_of(signed: Attestation | Revocations) -> dict[str, Any]:
    """What a record of kind "seen" says of what was seen."""
    payload = signed.payload
    key, digest = stream_key(payload.stream), signed.payload_digest.hex()
    return seen_body(key, payload.sequence, digest, signed.digest().hex())


def signed_of(attestation: Attestation) -> dict[str, Any]:
    """What a record of kind "signed" says of what was signed, but for the attester's own name of what it holds."""
    payload, content, account = attestation.payload, None, None
    if isinstance(payload, CommitmentPayload):
        content, account = keccak256(canonical_bytes([payload.role, *payload.points])).hex(), payload.account
    return seen_of(attestation) | {"account": account, "content": content}


def issued_of(challenge: Challenge) -> dict[str, Any]:
    """What a record of kind "issued" says of a challenge."""
    return issued_body(challenge.digest().hex(), parse_time(challenge.deadline))


def seen_body(stream: str, sequence: int, payload: str, attestation: str) -> dict[str, Any]:
    """What a record of kind "seen" says."""
    return {"stream": stream, "sequence": sequence, "payload": payload, "attestation": attestation}


def issued_body(challenge: str, deadline_ms: int) -> dict[str, Any]:
    """What a record of kind "issued" says."""
    return {"challenge": challenge, "deadline_ms": deadline_ms}


def accepted_body(
    entry: Entry,
    parts: Sequence[tuple[str, str, str | None]],
    revocations: Sequence[str],
    sources: Sequence[str] = (),
    commitments: Sequence[str] = (),
    *,
    policy_rule: str | None = None,
) -> dict[str, Any]:
    """What a record of kind "accepted" says: everything of the entry, its proof by digest.

    ``parts`` are role, alias and attestation of each, in order; ``sources`` what the snapshot was built from, where
    that was given: the record of an acceptance without it does not speak of it. ``commitments`` are those that a
    venue's terms name. ``policy_rule`` is the rule that the policy was found to follow from, where it counts by it.
    """
    claim = entry.claim
    kept: dict[str, Any] = {"sources": list(sources)} if sources else {}
    if policy_rule is not None:
        kept["policy_rule"] = policy_rule
    about: dict[str, Any] = {"terms": entry.commitment, "commitments": list(commitments)}
    if claim is not None:
        about = {"commitment": entry.commitment, "claim": [claim.num, claim.den, claim.requirement]}
        about["limits"] = limits_text(entry.limits)
    return kept | {
        "statement": entry.statement,
        "proof": keccak256(entry.proof).hex(),
        "snapshot": entry.snapshot,
        "snapshot_ms": entry.snapshot_ms,
        **about,
        "context": entry.context.hex(),
        "trust": entry.trust,
        "challenge": entry.challenge,
        "receipt": entry.receipt,
        "attestations": list(entry.attestations),
        "revocations": list(revocations),
        "parts": [list(part) for part in parts],
        "accepted_ms": entry.accepted_ms,
    }


def body_of(
    entry: Entry, subject: Subject, authenticated: Authenticated | None, sources: Sequence[str]
) -> dict[str, Any]:
    """What a record of kind "accepted" says of an acceptance; ``sources`` by digest."""
    lists = () if authenticated is None else authenticated.revocations
    return accepted_body(
        entry,
        subject.parts(authenticated),
        [document.digest().hex() for document in lists],
        sources,
        [document.digest().hex() for document in subject.documents[1:]],
        policy_rule=None if authenticated is None else authenticated.policy_rule,
    )


def columns_of(body: dict[str, Any]) -> dict[str, Any]:
    """The columns that say what was proved, from a record of kind "accepted". Raises KeyError, ValueError."""
    if "terms" in body:
        return {"commitment": body["terms"], **NO_CLAIM}
    num, den, requirement = body["claim"]
    claim = {"num": num, "den": den, "requirement": requirement}
    return {"commitment": body["commitment"], "limits": body["limits"], **claim}


def limits_text(limits: Sequence[Limit]) -> str:
    """Limits as a column holds them."""
    return json.dumps([[limit.kind, limit.subject, str(limit.bound)] for limit in limits])


def parts_of(connection: Connection, proof_id: int) -> tuple[tuple[str, str, str | None], ...]:
    """Role, alias and attestation of each part of an accepted proof, in order."""
    query = select(tables.parts).where(tables.parts.c.proof_id == proof_id).order_by(tables.parts.c.place)
    return tuple((row.role, row.alias, row.attestation) for row in connection.execute(query))


def entry_of(connection: Connection, row: Any) -> Entry:
    """An entry from its row. Raises InputError: digests that are none, so that no file is ever named after one."""
    for name in ("statement", "snapshot", "commitment", "trust", "challenge", "receipt"):
        value = getattr(row, name)
        if not (value is None and name in ("trust", "challenge", "receipt")):
            check_digest(value, f"proofs.{name}")
    query = select(tables.attestations.c.attestation).where(tables.attestations.c.proof_id == row.id)
    try:
        return _entry(row, connection.execute(query).scalars().all())
    except (ValueError, TypeError, ZeroDivisionError):
        raise InputError("is damaged", field=f"proof {row.statement}") from None


def check_digest(value: object, field: str) -> None:
    """Raises InputError for what is no digest of 32 bytes in hex."""
    if not isinstance(value, str) or not _HEX_DIGEST.fullmatch(value):
        raise InputError("is damaged: no digest", field=field)


def _entry(row: Any, attestations: Sequence[str]) -> Entry:
    for digest in attestations:
        check_digest(digest, "attestations.attestation")
    claim, limits = claimed({name: getattr(row, name) for name in NO_CLAIM})
    return Entry(
        statement=row.statement,
        proof=bytes(row.proof),
        snapshot=row.snapshot,
        commitment=row.commitment,
        trust=row.trust,
        challenge=row.challenge,
        receipt=row.receipt,
        snapshot_ms=row.snapshot_ms,
        claim=claim,
        limits=limits,
        context=bytes(row.context),
        attestations=tuple(sorted(attestations)),
        accepted_ms=row.accepted_ms,
    )


def stream_key(stream: Stream) -> str:
    """What a stream is called in a column."""
    return canonical_bytes(list(stream)).decode()


def named(stream: Stream) -> str:
    """A stream in words."""
    return " ".join(repr(name[:80]) for name in stream)


def digest_of(document: Document | None) -> str | None:
    """A document's digest in hex, None for none."""
    return None if document is None else document.digest().hex()
