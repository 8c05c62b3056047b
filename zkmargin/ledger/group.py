"""What is written in one transaction: all that is known of it is read at once, all that it adds is written at once.

Each acceptance, sighting and challenge is decided by what is known, those before it in the group included. One that is
refused adds nothing and takes no other with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Column, Connection, bindparam, insert, select, update

from zkmargin.crypto.keys import Signer
from zkmargin.formats import Document, Hint, VerificationError
from zkmargin.ledger import chain, records, tables
from zkmargin.ledger.records import Entry
from zkmargin.verifier.attest import Acceptance, Attestation, Challenge, Receipt, Revocations, Sighting, Stream


class _Lookup:
    """Rows of a table by a key: asked for together, or one by one."""

    def __init__(self, connection: Connection, key: Column[Any], *columns: Column[Any]) -> None:
        self._connection, self._key, self._columns = connection, key, columns
        self.found: dict[str, Any] = {}

    def ask(self, keys: Iterable[str]) -> None:
        """Read what is not known yet; None where there is no row."""
        new = sorted({key for key in keys if key not in self.found})
        if new:
            self.found |= dict.fromkeys(new)
            query = select(self._key.label("asked"), *self._columns).where(self._key.in_(new))
            self.found |= {row.asked: row for row in self._connection.execute(query)}

    def __getitem__(self, key: str) -> Any:
        if key not in self.found:
            self.ask([key])
        return self.found[key]


class Group:
    """Also ``verifier.attest.Known``, as one connection sees it.

    Args:
        connection: whose view it is; in a transaction where ``write`` is called.
        older_snapshots: numbers of a series of snapshots may go back, where that very attestation is kept here.
        replays: asked whether a statement was accepted, say so; not where that is decided later, in a transaction.
    """

    def __init__(self, connection: Connection, *, older_snapshots: bool = False, replays: bool = True) -> None:
        self._connection, self._older, self._replays = connection, older_snapshots, replays
        streams, proofs = tables.streams.c, tables.proofs.c
        self._streams = _Lookup(connection, streams.stream, streams.sequence, streams.payload)
        self._issued = _Lookup(connection, tables.challenges.c.challenge)
        self._used = _Lookup(connection, proofs.challenge)
        self._statements = _Lookup(connection, proofs.statement)
        self._seen: dict[str, dict[str, Any]] = {}
        self._documents: dict[str, Document] = {}
        self._challenges: list[dict[str, Any]] = []
        self._accepted: list[tuple[Entry, dict[str, Any], list[tuple[str, str, str | None]]]] = []
        self._records: list[tuple[str, int, dict[str, Any]]] = []

    def look_up(
        self,
        *,
        signed: Iterable[Attestation | Revocations] = (),
        challenges: Iterable[Challenge] = (),
        statements: Iterable[bytes] = (),
    ) -> None:
        """Read what is known of all of these at once."""
        digests = [challenge.digest().hex() for challenge in challenges]
        self._streams.ask(records.stream_key(one.payload.stream) for one in signed)
        self._issued.ask(digests)
        self._used.ask(digests)
        self._statements.ask(digest.hex() for digest in statements)

    # --- what is known (verifier.attest.Known) ----------------------------------------------------------------------

    def newest(self, stream: Stream) -> Sighting | None:
        """As in ``Known``."""
        return None if self._older and stream[0] == "snapshot" else self._newest(records.stream_key(stream))

    def challenge_used(self, digest: bytes) -> bool:
        """As in ``Known``."""
        return self._used[digest.hex()] is not None

    def challenge_issued(self, digest: bytes) -> bool:
        """As in ``Known``."""
        return self._issued[digest.hex()] is not None

    def statement_accepted(self, digest: bytes) -> bool:
        """As in ``Known``."""
        return self._replays and self._statements[digest.hex()] is not None

    def _newest(self, key: str) -> Sighting | None:
        seen = self._seen.get(key)
        if seen is not None:
            return Sighting(seen["sequence"], seen["payload"])
        row = self._streams[key]
        return None if row is None else Sighting(row.sequence, row.payload)

    # --- what is added ------------------------------------------------------------------------------------------------

    def keep(self, *documents: Document) -> None:
        """Keep public documents under their digests. Raises InputError: a secret one."""
        records.check_public(documents)
        self._documents |= {document.digest().hex(): document for document in documents}

    def see(self, *signed: Attestation | Revocations, now_ms: int) -> None:
        """Take attestations, or lists of revocations, as seen: all, or none.

        Raises:
            VerificationError: superseded, or it contradicts what was seen.
        """
        before, news = dict(self._seen), []
        try:
            for one in signed:
                if self._is_news(one):
                    news.append(one)
                    self._seen[records.stream_key(one.payload.stream)] = records.seen_of(one)
        except VerificationError:
            self._seen = before
            raise
        self._records += [("seen", now_ms, records.seen_of(one)) for one in news]
        self.keep(*news)

    def _is_news(self, signed: Attestation | Revocations) -> bool:
        payload = signed.payload
        seen = self._newest(records.stream_key(payload.stream))
        if seen is None or payload.sequence > seen.sequence:
            return True
        named = f"number {payload.sequence} of {records.named(payload.stream)}"
        if payload.sequence < seen.sequence:
            if self._older and payload.stream[0] == "snapshot" and records.kept(self._connection, signed):
                return False
            raise VerificationError(f"{named} is superseded: number {seen.sequence} was seen", check="sequence")
        if signed.payload_digest.hex() != seen.digest:
            raise VerificationError(f"{named} contradicts what was signed before under it", check="sequence")
        return False

    def issue(self, challenge: Challenge, *, now_ms: int) -> None:
        """Keep a challenge that is issued; nothing where it was before."""
        digest = challenge.digest().hex()
        if self._issued[digest] is None:
            self._issued.found[digest] = True
            self.keep(challenge)
            body = records.issued_of(challenge)
            self._challenges.append(body)
            self._records.append(("issued", now_ms, body))

    def accept(self, acceptance: Acceptance, receipt: Receipt | None, *, sources: Sequence[Document] = ()) -> None:
        """Everything of one acceptance.

        Raises:
            VerificationError: it must not be recorded: a replay, or something newer was seen.
        """
        self._check_new(acceptance)
        authenticated = acceptance.authenticated
        attested = () if authenticated is None else authenticated.all
        lists = () if authenticated is None else authenticated.revocations
        signed: list[Attestation | Revocations] = [*(item.attestation for item in attested), *lists]
        subject = records.subject_of(acceptance.statement)
        own = (acceptance.snapshot, acceptance.trust, acceptance.challenge, receipt)
        public = [*(one for one in own if one is not None), *subject.documents, *signed, *sources]
        records.check_public(public)
        self.see(*signed, now_ms=acceptance.time_ms)
        self.keep(*public)
        entry = records.entry_for(acceptance, receipt, subject)
        parts = subject.parts(authenticated)
        self._accepted.append((entry, subject.columns, parts))
        self._statements.found[entry.statement] = True
        if entry.challenge is not None:
            self._used.found[entry.challenge] = True
        body = records.body_of(entry, subject, authenticated, [document.digest().hex() for document in sources])
        self._records.append(("accepted", acceptance.time_ms, body))

    def _check_new(self, acceptance: Acceptance) -> None:
        if self.statement_accepted(acceptance.statement_digest):
            raise VerificationError(
                "a proof of this statement is in the ledger already: a replay",
                check="replay",
                hint=Hint.NEW_CHALLENGE,
            )
        if acceptance.challenge is not None:
            digest = acceptance.challenge.digest()
            if not self.challenge_issued(digest):
                raise VerificationError("the challenge was not issued by this ledger", check="challenge")
            if self.challenge_used(digest):
                raise VerificationError("a proof was accepted for this challenge before: a replay", check="challenge")

    def write(self, signer: Signer | None) -> None:
        """Everything that was added; ``signer`` signs its records."""
        records.store(self._connection, *self._documents.values())
        if self._challenges:
            self._connection.execute(insert(tables.challenges), self._challenges)
        if self._accepted:
            records.accepted(self._connection, self._accepted)
        self._write_streams()
        chain.extend(self._connection, self._records, signer)

    def _write_streams(self) -> None:
        table = tables.streams
        new = [body for key, body in self._seen.items() if self._streams[key] is None]
        old = [{"asked": key, **body} for key, body in self._seen.items() if self._streams[key] is not None]
        if new:
            self._connection.execute(insert(table), new)
        if old:
            changes: dict[str, Any] = {name: bindparam(name) for name in ("sequence", "payload", "attestation")}
            self._connection.execute(update(table).where(table.c.stream == bindparam("asked")).values(changes), old)


def written(connection: Connection, signer: Signer | None, fill: Callable[[Group], None]) -> None:
    """A group that is filled and written."""
    group = Group(connection)
    fill(group)
    group.write(signer)
