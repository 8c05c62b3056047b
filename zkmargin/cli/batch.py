"""What `verify` and `verify-batch` share: a snapshot's age, rejections, and many proofs with one pairing check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.app.files import read_proof
from zkmargin.cli import terminal
from zkmargin.cli.words import claim_words, not_guaranteed_lines, statement_facts
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ProofFormatError, VerificationError
from zkmargin.verifier import Accepted, Statement, Workers, verify

#: A snapshot may be this far ahead of our clock: clocks differ.
CLOCK_SKEW_MS = 30_000
HINT = "a proof holds for one snapshot, commitment, claim and context: are these the ones it was made for?"


@dataclass(frozen=True, slots=True)
class Entry:
    """A proof's file and the statement that it must prove."""

    path: str
    statement: Statement


def check_age(snapshot: Snapshot, seconds: int, *, now_ms: int) -> None:
    """Compare a snapshot's time with a clock.

    Raises:
        VerificationError: older than ``seconds``, or further in the future than clocks differ.
    """
    age = now_ms - parse_time(snapshot.time)
    if age > 1000 * seconds:
        raise VerificationError(
            f"the snapshot is stale: taken {age // 1000} s ago, at most {seconds} s are allowed",
            check="max-age",
            hint="ask for a proof on a newer snapshot",
        )
    if age < -CLOCK_SKEW_MS:
        raise VerificationError(
            f"the snapshot is from the future: {-age // 1000} s ahead of this machine's clock",
            check="max-age",
            hint="check the clock",
        )


def rejection(error: ProofFormatError | VerificationError) -> dict[str, Any]:
    """A rejection for scripts."""
    check = error.check if isinstance(error, VerificationError) else "format"
    return {"accepted": False, "check": check, "reason": error.message}


def verify_entries(entries: Sequence[Entry], *, max_age: int | None, now_ms: int, workers: int, as_json: bool) -> None:
    """Verify proofs together and say so; all are accepted, or an error names the first bad one's file.

    ``workers`` processes share the work.

    Raises:
        InputError: an unreadable file.
        ProofFormatError, VerificationError: a stale snapshot, or a proof that does not prove its statement.
    """
    proofs: list[bytes] = []
    for entry in entries:
        try:
            proofs.append(read_proof(entry.path))
            if max_age is not None:
                check_age(entry.statement.snapshot, max_age, now_ms=now_ms)
        except (ProofFormatError, VerificationError) as error:
            raise _rejected(entry, error, as_json=as_json) from None
    try:
        snapshots = {entry.statement.snapshot_digest: entry.statement.snapshot for entry in entries}
        with Workers(list(snapshots.values()), workers) as running:
            accepted = running.verify_batch([(e.statement, proof) for e, proof in zip(entries, proofs, strict=True)])
    except (ProofFormatError, VerificationError):
        # One by one: what is bad is named by its file.
        for entry, proof in zip(entries, proofs, strict=True):
            try:
                verify(entry.statement, proof)
            except (ProofFormatError, VerificationError) as error:
                raise _rejected(entry, error, as_json=as_json) from None
        raise
    if as_json:
        facts = [_facts(entry, one) for entry, one in zip(entries, accepted, strict=True)]
        terminal.say_json({"accepted": True, "max_age_seconds": max_age, "proofs": facts})
        return
    terminal.say(f"accepted: all {len(entries)} proofs, checked together")
    for entry, one in zip(entries, accepted, strict=True):
        terminal.say(f"  {terminal.safe(entry.path)}: {claim_words(entry.statement.claim)}")
        terminal.say(
            f"    {terminal.quoted(entry.statement.snapshot.name)}; statement digest {one.statement_digest.hex()}"
        )
        for limit in entry.statement.limits:
            terminal.say(f"    {terminal.safe(str(limit))}")
    for line in not_guaranteed_lines(statement_facts(entries[0].statement)):
        terminal.say(line)


def _facts(entry: Entry, accepted: Accepted) -> dict[str, Any]:
    return {
        "proof": entry.path,
        "statement_digest": accepted.statement_digest.hex(),
        **statement_facts(entry.statement),
    }


def _rejected(
    entry: Entry, error: ProofFormatError | VerificationError, *, as_json: bool
) -> ProofFormatError | VerificationError:
    """The error with the file's name, after the JSON value for scripts."""
    if as_json:
        terminal.say_json(rejection(error) | {"proof": entry.path})
    if not error.message.startswith(f"{entry.path}: "):
        error.message = f"{entry.path}: rejected: {error.message}"
    error.hint = error.hint or HINT
    return error
