"""A venue's public log: one entry a proof, chained and signed, so that nobody is shown another statement.

The venue gives everybody the same file, and appends to it. An entry says for one snapshot, and one moment,
which statement was proved, by which proof, of how many accounts. It holds the digest of the entry before and the
venue's signature: an entry that was changed, left out or exchanged shows, in any copy; two entries for one snapshot are
refused. Two copies of which neither begins as the other one are evidence of fraud that anybody can check: whoever
compares heads (``LogEntry.digest`` of the last entry) with other customers, or keeps an older copy, sees it. What a log
cannot show is that the venue keeps a second one for others: that takes such a comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.crypto.keys import PublicKey, Signer
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.engine.decimals import parse_time
from zkmargin.formats import Digest, Document, InputError, Model, PlainName, Seq, VerificationError
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.verifier.venue.customers import VenueRecord
from zkmargin.verifier.venue.statement import VenueStatement

MAX_ENTRIES = 1 << 17
#: What the first entry has in place of the digest of the one before.
GENESIS = "00" * 32
FORMAT = "zkmargin/venue-log/v1"


class LogEntry(Model):
    """One proof in a log.

    Attributes:
        number: from 1, without gaps.
        time: when it was logged, by the venue's clock.
        series, snapshot_time: name and time of the snapshot.
        snapshot, statement, proof, root: digests, hex; the last of the tree over the proof's columns.
        accounts, committed: how many there are, in blocks and by their own commitments.
        previous: digest of the entry before.
        signature: the venue's, over the log's name and everything else here.
    """

    number: int = Field(ge=1, le=MAX_ENTRIES)
    time: str
    series: PlainName = Field(max_length=200)
    snapshot_time: str
    snapshot: Digest
    statement: Digest
    proof: Digest
    root: Digest
    accounts: int = Field(ge=0)
    committed: int = Field(ge=0)
    previous: Digest
    signature: Signature | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for field in ("time", "snapshot_time"):
            parse_time(getattr(self, field), field=field)
        return self

    @property
    def logged(self) -> int:
        """When it was logged, in milliseconds."""
        return parse_time(self.time)

    @property
    def moment(self) -> int:
        """The snapshot's time in milliseconds: one moment has many texts, and names hold times too."""
        return parse_time(self.snapshot_time)

    def digest(self, venue: str) -> bytes:
        """keccak-256 of the canonical ``{"format", "venue", "entry"}``, the entry without its signature."""
        entry = self.model_dump(mode="json", exclude={"signature"})
        return keccak256(canonical_bytes({"format": FORMAT, "venue": venue, "entry": entry}))

    def message(self, venue: str) -> Message:
        """What the signature is over."""
        members = {"venue": "string", "number": "uint64", "series": "string", "snapshotTime": "string"}
        shown = {"venue": venue, "number": self.number, "series": self.series, "snapshotTime": self.snapshot_time}
        return Message.of(FORMAT, self.digest(venue), "VenueLogEntry", members, shown)

    def record(self, venue: str) -> VenueRecord:
        """The record of the proof."""
        return VenueRecord(
            venue=venue, statement=self.statement, proof=self.proof, root=self.root, accounts=self.accounts
        )


class VenueLog(Document):
    """All that a venue published of its proofs, in order.

    Attributes:
        venue: its name.
        entries: one a proof.

    Example:
        >>> from zkmargin.verifier.venue.log import VenueLog
        >>> VenueLog(venue="exchange").head
        '0000000000000000000000000000000000000000000000000000000000000000'
    """

    FORMAT: ClassVar[str] = FORMAT

    venue: PlainName = Field(min_length=1, max_length=200)
    entries: Seq[LogEntry] = Field(default=(), max_length=MAX_ENTRIES)

    @property
    def head(self) -> str:
        """The digest of the last entry, hex: two copies with one head are the same."""
        return self.entries[-1].digest(self.venue).hex() if self.entries else GENESIS

    def appended(self, statement: VenueStatement, record: VenueRecord, time: str, signer: Signer) -> Self:
        """The log with one entry more.

        Raises:
            InputError: a record of another venue, or a snapshot that the log has a statement of already.
        """
        if record.venue != self.venue:
            raise InputError(f"is of the venue {self.venue!r}, the proof of {record.venue!r}", field="venue")
        entry = LogEntry(
            number=len(self.entries) + 1,
            time=time,
            series=statement.snapshot.name,
            snapshot_time=statement.snapshot.time,
            snapshot=statement.snapshot_digest.hex(),
            statement=record.statement,
            proof=record.proof,
            root=record.root,
            accounts=record.accounts,
            committed=len(statement.terms.dense),
            previous=self.head,
        )
        for other in self.entries:
            if _same_snapshot(other, entry):
                raise InputError(
                    f"has entry {other.number} for {entry.series} at {entry.snapshot_time}: one proof a snapshot",
                    field="entries",
                    hint="prove a later snapshot; a second statement about one is what the log is against",
                )
        signed = entry.model_copy(update={"signature": signer.sign(entry.message(self.venue))})
        return self.model_copy(update={"entries": (*self.entries, signed)})

    def check(self, keys: Sequence[PublicKey] = ()) -> tuple[str, ...]:
        """Whether every entry follows the one before, in time too, is signed, and is the only one of its snapshot.

        Args:
            keys: of the venue; every entry must be signed with one of them. None: with any key.

        Returns:
            The keys that signed, hex.

        Raises:
            VerificationError: what does not hold, and in which entry.
        """
        known, previous = {key.public_key for key in keys}, GENESIS
        signers: list[str] = []
        seen: dict[object, int] = {}
        for number, entry in enumerate(self.entries, 1):
            where = f"entry {number} of the log"
            if entry.number != number or entry.previous != previous:
                raise VerificationError(f"{where} does not follow the one before it: changed or left out", check="log")
            if number > 1 and entry.logged < self.entries[number - 2].logged:
                raise VerificationError(f"{where} was logged before the one above it, at {entry.time}", check="log")
            signature = entry.signature
            if signature is None or not signature.verifies(entry.message(self.venue)):
                raise VerificationError(f"{where}: its signature does not verify", check="log")
            (*others, key) = signature.public_keys
            if others or (keys and key not in known):
                raise VerificationError(f"{where} is signed with {key}, which is no key of the venue", check="log")
            for same in (entry.moment, entry.snapshot):
                if same in seen:
                    raise VerificationError(
                        f"entries {seen[same]} and {number} of the log are two statements of one snapshot, "
                        f"{entry.series} at {entry.snapshot_time}: evidence of fraud",
                        check="log",
                    )
                seen[same] = number
            if key not in signers:
                signers.append(key)
            previous = entry.digest(self.venue).hex()
        return tuple(signers)

    def check_continues(self, earlier: Self) -> None:
        """Raises VerificationError unless this log has all entries of an earlier copy, unchanged, and perhaps more.

        The copy must hold itself, and every entry be signed with the key that signed it there. ``check`` the log first.
        """
        if earlier.venue != self.venue:
            raise VerificationError(f"the earlier copy is of another venue, {earlier.venue!r}", check="log")
        try:
            earlier.check()
        except VerificationError as error:
            raise VerificationError(f"the earlier copy does not hold: {error.message}", check="log") from None
        for old, new in zip(earlier.entries, self.entries, strict=False):
            if old.digest(self.venue) != new.digest(self.venue):
                reason = f"entry {old.number} of the log is not the one of the earlier copy: evidence of fraud"
                raise VerificationError(reason, check="log")
            if _keys(old) != _keys(new):
                reason = f"entry {old.number} of the log is signed with another key than in the earlier copy"
                raise VerificationError(f"{reason}: the log was signed again", check="log")
        if len(earlier.entries) > len(self.entries):
            missing = len(earlier.entries) - len(self.entries)
            raise VerificationError(f"the earlier copy has {missing} entries more: the log was cut", check="log")

    def check_head(self, head: str) -> None:
        """Raises VerificationError unless a head that was noted is one of this log."""
        if head != GENESIS and all(entry.digest(self.venue).hex() != head for entry in self.entries):
            raise VerificationError("no entry of the log has the head that was noted: the log was changed", check="log")

    def entry_of(self, statement: VenueStatement) -> LogEntry:
        """The one entry of a statement's snapshot. ``check`` the log first.

        Raises:
            VerificationError: there is none, it is of another statement, or it was logged before its snapshot's moment.
        """
        snapshot = statement.snapshot
        if statement.terms.venue != self.venue:
            raise VerificationError(f"the log is of another venue, {self.venue!r}", check="log")
        for entry in self.entries:
            if entry.moment == parse_time(snapshot.time):
                break
        else:
            reason = f"the log has no statement of {snapshot.name} at {snapshot.time}"
            raise VerificationError(reason, check="log", hint="is this the newest copy of the log?")
        if (entry.statement, entry.snapshot) != (statement.digest.hex(), statement.snapshot_digest.hex()):
            raise VerificationError(
                f"the log's statement of {snapshot.name} at {snapshot.time} is another one: evidence of fraud, if the "
                "venue gave you these terms",
                check="log",
            )
        if entry.logged < entry.moment:
            reason = f"entry {entry.number} of the log was logged at {entry.time}, before its snapshot's moment"
            raise VerificationError(f"{reason}, {entry.snapshot_time}", check="log")
        if (entry.accounts, entry.committed) != (statement.accounts, len(statement.terms.dense)):
            raise VerificationError("the log's numbers of accounts are not those of the statement", check="log")
        return entry


def _keys(entry: LogEntry) -> tuple[str, ...]:
    return () if entry.signature is None else tuple(entry.signature.public_keys)


def _same_snapshot(a: LogEntry, b: LogEntry) -> bool:
    """Of one snapshot, or of one moment under whatever name: a venue has one book at a time."""
    return a.snapshot == b.snapshot or a.moment == b.moment
