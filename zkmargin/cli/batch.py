"""What `verify` and `verify-batch` say: rejections by their file, and many proofs accepted together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from zkmargin.app.facts import claim_words, statement_facts
from zkmargin.app.verifying import Entry, Terms, accept_many, clock_ms
from zkmargin.cli import terminal
from zkmargin.cli.venue_verifying import accepted_venue_facts, venue_claim_lines
from zkmargin.cli.words import not_guaranteed_lines
from zkmargin.formats import ProofFormatError, VerificationError, ZkMarginError
from zkmargin.verifier import Accepted, Statement
from zkmargin.verifier.attest import Acceptance

_OTHER_FILES = "a proof holds for one snapshot, commitment, claim and context: are these the ones it was made for?"
_WHOSE_WORD = "the trust file says whose signatures count for what, `zkmargin inspect FILE` who signed one"
#: Ways out by the check that failed, where an error has none of its own: no other check is about the proof.
HINTS = {"format": _OTHER_FILES, "pairing": _OTHER_FILES, "trust": _WHOSE_WORD, "signatures": _WHOSE_WORD}
HINTS |= {"claim": "--claim, --requirement and --also say what is asked for"}


@contextmanager
def rejections(path: str | None = None) -> Iterator[None]:
    """Say what was rejected, for scripts too; ``path`` is what it is about where the error does not say it."""
    try:
        yield
    except (ProofFormatError, VerificationError) as error:
        subject = error.subject or path
        check = error.check if isinstance(error, VerificationError) else "format"
        named = {"proof": subject} if path is None else {}
        error.facts = {"accepted": False, "check": check, "reason": error.message, **named}
        if subject is not None and not error.message.startswith(f"{subject}: "):
            error.message = f"{subject}: rejected: {error.message}"
        error.hint = error.hint or HINTS.get(check)
        raise


def verify_entries(
    entries: Sequence[Entry[Statement]], max_age_seconds: int | None, *, workers: int, as_json: bool
) -> None:
    """Verify proofs together and say so. Raises as ``app.verifying.accept_many`` does."""
    accepted = accept_many(entries, max_age_seconds=max_age_seconds, now_ms=clock_ms(), workers=workers)
    if as_json:
        facts = [_facts(entry, one) for entry, one in zip(entries, accepted, strict=True)]
        terminal.say_json({"accepted": True, "max_age_seconds": max_age_seconds, "proofs": facts})
        return
    terminal.say(f"accepted: {'all ' * (len(entries) > 1)}{terminal.counted(len(entries), 'proof')}, checked together")
    for entry, one in zip(entries, accepted, strict=True):
        terminal.say(f"  {terminal.safe(entry.name)}: {claim_words(entry.statement.claim)}")
        name = terminal.quoted(entry.statement.snapshot.name)
        terminal.say(f"    {name}; statement digest {one.statement_digest.hex()}")
        for limit in entry.statement.limits:
            terminal.say(f"    {terminal.safe(str(limit))}")
    for line in not_guaranteed_lines(statement_facts(entries[0].statement)):
        terminal.say(line)


def say_verdicts(
    verdicts: Sequence[tuple[str, Acceptance | ZkMarginError]], terms: Terms, *, recorded: bool, as_json: bool
) -> None:
    """What became of each proof, by its file. Raises an error where one is not accepted: unusable files come first."""
    bad = [(name, verdict) for name, verdict in verdicts if isinstance(verdict, ZkMarginError)]
    facts: dict[str, Any] = {"accepted": not bad, "max_age_seconds": terms.max_age_seconds}
    facts["proofs"] = [_verdict_facts(name, verdict, recorded) for name, verdict in verdicts]
    if not as_json:
        _say_verdicts(verdicts, recorded, all_accepted=not bad)
    if bad:
        name, error = max(bad, key=lambda one: one[1].exit_code)
        error.subject = error.subject or name
        try:
            with rejections():
                raise error
        except ZkMarginError as found:
            found.facts = {**found.facts, **facts}
            raise
    if as_json:
        terminal.say_json(facts)


def _say_verdicts(
    verdicts: Sequence[tuple[str, Acceptance | ZkMarginError]], recorded: bool, *, all_accepted: bool
) -> None:
    good = [verdict for _, verdict in verdicts if isinstance(verdict, Acceptance)]
    if all_accepted:
        terminal.say(f"accepted: all {len(verdicts)} proofs, checked together")
    elif good:
        terminal.say(f"accepted: {len(good)} of {len(verdicts)} proofs")
    for name, verdict in verdicts:
        if isinstance(verdict, ZkMarginError):
            what = "unusable" if verdict.exit_code > 1 else "rejected"
            terminal.say(f"  {terminal.safe(name)}: {what}: {terminal.safe(verdict.message)}", err=True)
            continue
        facts = _statement_facts(verdict, recorded)
        words, *more = _claim_lines(facts)
        terminal.say(f"  {terminal.safe(name)}: {words}")
        snapshot = terminal.quoted(verdict.snapshot.name)
        terminal.say(f"    {snapshot}; statement digest {verdict.statement_digest.hex()}")
        for line in more:
            terminal.say(f"    {line}")
    if good:
        for line in not_guaranteed_lines(_statement_facts(good[0], recorded)):
            terminal.say(line)


def _verdict_facts(name: str, verdict: Acceptance | ZkMarginError, recorded: bool) -> dict[str, Any]:
    if isinstance(verdict, ZkMarginError):
        check = getattr(verdict, "check", None if verdict.exit_code > 1 else "format")
        unusable = verdict.exit_code > 1
        return {"proof": name, "accepted": False, "unusable": unusable, "check": check, "reason": verdict.message}
    facts = _statement_facts(verdict, recorded)
    return {"proof": name, "accepted": True, "statement_digest": verdict.statement_digest.hex(), **facts}


def _statement_facts(verdict: Acceptance, recorded: bool) -> dict[str, Any]:
    if not isinstance(verdict.statement, Statement):
        return accepted_venue_facts(verdict.statement, verdict, recorded=recorded)
    return statement_facts(verdict.statement, verdict, recorded=recorded)


def _claim_lines(facts: dict[str, Any]) -> list[str]:
    """What is claimed; then limits, or what a venue's terms say more."""
    if "venue" not in facts:
        return [facts["claim"]["words"], *map(terminal.safe, facts["limits"])]
    return [f"the accounts of {terminal.quoted(facts['venue'])} by its terms:", *venue_claim_lines(facts)]


def _facts(entry: Entry[Statement], accepted: Accepted) -> dict[str, Any]:
    return {
        "proof": entry.name,
        "statement_digest": accepted.statement_digest.hex(),
        **statement_facts(entry.statement),
    }
