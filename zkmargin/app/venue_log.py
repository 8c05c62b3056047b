"""A venue's public log as a file: appended to by one at a time, read by whoever relies on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from zkmargin.app.files import load
from zkmargin.crypto.keys import PublicKey, Signer
from zkmargin.formats import InputError, write_atomic
from zkmargin.verifier.venue.customers import VenueRecord
from zkmargin.verifier.venue.log import LogEntry, VenueLog
from zkmargin.verifier.venue.statement import VenueStatement


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Nobody else appends meanwhile, on this machine. Raises InputError where somebody does."""
    import fcntl  # noqa: PLC0415 - where there is none, there is no appending

    lock = Path(f"{Path(path).resolve()}.lock")  # of the file itself, by whatever link it is named
    try:
        with lock.open("a") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(
                    "another process appends to it", file=path, hint="wait for it, and try again"
                ) from None
            yield
    except OSError as error:
        raise InputError(f"cannot be locked: {(error.strerror or 'error').lower()}", file=str(lock)) from None


def _check_signer(signers: Sequence[str], signer: Signer) -> None:
    """Raises InputError where another key signed any of the log: with two in it no reader's one key checks it."""
    others = [key for key in signers if key != signer.public.public_key]
    if others:
        raise InputError(
            f"is signed with {others[-1]}: another key's entry would end it",
            field="entries",
            hint="sign with that key, or begin a new log and say so",
        )


def _check_time(log: VenueLog, entry: LogEntry) -> None:
    """Raises InputError: an entry before its snapshot's moment, or before the last one of the log."""
    hint = "is the clock of this machine right?"
    if entry.logged < entry.moment:
        reason = f"now is {entry.time}, before the snapshot's moment, {entry.snapshot_time}"
        raise InputError(reason, field="time", hint=hint)
    if log.entries and entry.logged < log.entries[-1].logged:
        reason = f"now is {entry.time}, before its last entry, of {log.entries[-1].time}"
        raise InputError(reason, field="time", hint=hint)


def append_to_log(path: str, statement: VenueStatement, record: VenueRecord, time: str, signer: Signer) -> VenueLog:
    """Append the entry of a proof that was verified; a log that does not exist begins with it.

    Raises:
        InputError: a file that is no log or cannot be written, another venue's, or one that has a statement of the
            snapshot; a time before the snapshot's moment or the last entry; the file is as it was.
        VerificationError: what is in the file does not hold, or is signed with other keys than the new entry's.
    """
    with _alone(path):
        log = load(VenueLog, path) if Path(path).exists() else VenueLog(venue=record.venue)
        try:
            _check_signer(log.check(), signer)
            longer = log.appended(statement, record, time, signer)
            _check_time(log, longer.entries[-1])
        except InputError as error:
            raise error.located(file=path) from None
        longer.check()
        write_atomic(path, longer.to_bytes())
    return longer


def logged(
    path: str, statement: VenueStatement, keys: Sequence[PublicKey] = ()
) -> tuple[VenueLog, LogEntry, tuple[str, ...]]:
    """A log, its entry of a statement, and the keys that signed it. Raises InputError, VerificationError."""
    log = load(VenueLog, path)
    signers = log.check(keys)
    return log, log.entry_of(statement), signers


def check_log(
    path: str, keys: Sequence[PublicKey] = (), earlier: str | None = None, head: str | None = None
) -> tuple[VenueLog, tuple[str, ...]]:
    """A log that holds, and the keys that signed it. Raises InputError, VerificationError."""
    log = load(VenueLog, path)
    signers = log.check(keys)
    if earlier is not None:
        log.check_continues(load(VenueLog, earlier))
    if head is not None:
        log.check_head(head)
    return log, signers
