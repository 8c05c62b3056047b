"""Verification as a verifier does it: a snapshot's age, trust, a challenge, a ledger, a receipt; one proof or many."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from zkmargin.engine.decimals import parse_time
from zkmargin.engine.policy import Policy
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, Hint, InputError, ProofFormatError, VerificationError, ZkMarginError
from zkmargin.formats.errors import about
from zkmargin.verifier import Accepted, Statement, Workers, verify
from zkmargin.verifier.attest import (
    Acceptance,
    Attestation,
    Candidate,
    Challenge,
    Receipt,
    Revocations,
    Revoked,
    Trust,
    VerifyEach,
    accept,
    accept_each,
)
from zkmargin.verifier.attest.accept import Terms as Asked
from zkmargin.verifier.attest.accept import check_revocations
from zkmargin.verifier.protocols import AnyAccepted, AnyStatement, verify_any_each

if TYPE_CHECKING:
    from zkmargin.ledger import Ledger
    from zkmargin.verifier.breach import AcceptedBreach, BreachStatement

#: A snapshot may be this far ahead of our clock: clocks differ.
CLOCK_SKEW_MS = 30_000


@dataclass(frozen=True)
class Terms:
    """What a verifier asks for beside the statement.

    Attributes:
        now_ms: its clock, milliseconds since 1970.
        max_age_seconds: refuse an older snapshot; None asks for no age.
        trust: whose signatures count; without it nothing is authenticated.
        attestations: of the snapshot and of each part of the commitments.
        revocations: the newest list of each issuer that the trust file names.
        policy: the verifier's own, which the snapshot's must be; None asks for none.
        challenge: the one that the proof must answer.
        sources: what the snapshot was built from, for the ledger to keep (``sources_of``).
        derived: digests of policies and of the rules that they were found to follow from (``calibrating.derived``).
    """

    now_ms: int
    max_age_seconds: int | None = None
    trust: Trust | None = None
    attestations: tuple[Attestation, ...] = ()
    revocations: tuple[Revocations, ...] = ()
    policy: Policy | None = None
    challenge: Challenge | None = None
    sources: tuple[Document, ...] = ()
    derived: Mapping[str, str] = field(default_factory=dict)


S_co = TypeVar("S_co", bound="AnyStatement", covariant=True)


@dataclass(frozen=True)
class Entry(Generic[S_co]):
    """One proof of several: its name for errors, its bytes, its statement, and what a trust file judges it by."""

    name: str
    statement: S_co
    proof: bytes
    attestations: tuple[Attestation, ...] = ()
    challenge: Challenge | None = None


def clock_ms() -> int:
    """This machine's clock, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@cache
def software() -> str:
    """Name and version of this program, for receipts."""
    import zkmargin  # noqa: PLC0415 - the version is looked up only when it is written

    return f"zkmargin {zkmargin.__version__}"


def accept_proof(
    statement: AnyStatement,
    proof: bytes,
    terms: Terms,
    *,
    ledger: Ledger | None = None,
    before: Receipt | None = None,
    sign: Callable[[Receipt], Receipt] | None = None,
) -> tuple[Acceptance, Receipt]:
    """Accept a proof under a verifier's terms, once, and make the receipt; in a ledger, recorded when this returns.

    Args:
        statement: from the verifier's own snapshot, commitments, claim, limits and context; of a venue's proof a
            ``VenueStatement``, from its terms.
        proof: the proof's bytes.
        terms: what is asked beside the statement.
        ledger: what is known from before, and where the acceptance is recorded.
        before: an earlier receipt that this acceptance must repeat; its time is the clock (``rerun_terms``).
        sign: signs the receipt.

    Raises:
        InputError: files that do not belong together, or a ledger that cannot be written.
        ProofFormatError, VerificationError: rejected; nothing is recorded.
    """

    def receipt_of(acceptance: Acceptance) -> Receipt:
        made = acceptance.receipt(software=software())
        if before is not None:
            check_same(made, before)
        return made if sign is None else sign(made)

    if ledger is None:
        acceptance = judge_proof(statement, proof, terms)
        return acceptance, receipt_of(acceptance)
    asked = _asked(statement, terms)
    return ledger.accept(statement, proof, **asked, sources=terms.sources, receipt=receipt_of)


def judge_proof(statement: AnyStatement, proof: bytes, terms: Terms) -> Acceptance:
    """Accept a proof under a verifier's terms, where nobody asks for a receipt and nothing is remembered.

    Raises:
        InputError, ProofFormatError, VerificationError: as ``accept_proof``.
    """
    return accept(statement, proof, **_asked(statement, terms))


def _asked(statement: AnyStatement, terms: Terms) -> dict[str, Any]:
    """What ``accept`` is asked beside the statement. Raises VerificationError: an old snapshot."""
    if terms.max_age_seconds is not None:
        check_age(statement.snapshot, terms.max_age_seconds, now_ms=terms.now_ms)
    return {
        "now_ms": terms.now_ms,
        "trust": terms.trust,
        "attestations": terms.attestations,
        "revocations": terms.revocations,
        "policy": terms.policy,
        "challenge": terms.challenge,
        "derived": terms.derived,
    }


def accept_breach_proof(
    statement: BreachStatement, proof: bytes, terms: Terms, *, ledger: Ledger | None = None
) -> AcceptedBreach:
    """Accept a proof of breach under a verifier's terms; a ledger is asked what was seen, and records nothing of it.

    Raises:
        InputError: files that do not belong together.
        ProofFormatError, VerificationError: refused.
    """
    from zkmargin.verifier.breach import accept_breach  # noqa: PLC0415 - few verifications are of breaches

    if terms.max_age_seconds is not None:
        check_age(statement.account.snapshot, terms.max_age_seconds, now_ms=terms.now_ms)
    if terms.trust is None and terms.attestations:
        raise InputError("of no use without a trust file", field="attestation", hint=Hint.GIVE_TRUST)
    return accept_breach(
        statement,
        proof,
        now_ms=terms.now_ms,
        trust=terms.trust,
        attestations=terms.attestations,
        revocations=terms.revocations,
        policy=terms.policy,
        derived=terms.derived,
        known=ledger,
    )


def accept_many(
    entries: Sequence[Entry[Statement]], *, max_age_seconds: int | None, now_ms: int, workers: int = 1
) -> list[Accepted]:
    """Verify proofs of one statement or of many together: all are accepted, or an error has the first bad one's name.

    Args:
        entries: the proofs and their statements.
        max_age_seconds: refuse older snapshots.
        now_ms: the verifier's clock.
        workers: processes that share the work.

    Raises:
        ProofFormatError, VerificationError: a stale snapshot, or a proof that does not prove its statement; its
            ``subject`` is the entry's name.
    """
    if max_age_seconds is not None:
        for entry in entries:
            with about(entry.name):
                check_age(entry.statement.snapshot, max_age_seconds, now_ms=now_ms)
    try:
        snapshots = {entry.statement.snapshot_digest: entry.statement.snapshot for entry in entries}
        with Workers(list(snapshots.values()), workers) as running:
            return running.verify_batch([(entry.statement, entry.proof) for entry in entries])
    except (ProofFormatError, VerificationError):
        for entry in entries:  # one by one: what is bad is named
            with about(entry.name):
                verify(entry.statement, entry.proof)
        raise


def judge_many(
    entries: Sequence[Entry[AnyStatement]],
    terms: Terms,
    *,
    ledger: Ledger | None = None,
    sign: Callable[[Receipt], Receipt] | None = None,
    workers: int = 1,
) -> list[Acceptance | ZkMarginError]:
    """A verdict for each of many proofs, verified together; in a ledger, each acceptance is recorded by itself.

    Args:
        entries: the proofs, with their own attestations and challenges: those of ``terms`` are not looked at.
        terms: what is asked of all of them.
        ledger: what is known from before, and where acceptances are recorded.
        sign: signs the receipts that go into the ledger.
        workers: processes that share the work.

    Raises:
        InputError: the ledger cannot be used: nothing is recorded.
    """

    def receipt_of(acceptance: Acceptance) -> Receipt:
        receipt = acceptance.receipt(software=software())
        return receipt if sign is None else sign(receipt)

    verdicts: dict[int, Acceptance | ZkMarginError] = {}
    for place, entry in enumerate(entries):
        try:
            if terms.max_age_seconds is not None:
                check_age(entry.statement.snapshot, terms.max_age_seconds, now_ms=terms.now_ms)
        except VerificationError as error:
            verdicts[place] = error
    fresh = [place for place in range(len(entries)) if place not in verdicts]
    given = [entries[place] for place in fresh]
    candidates = [Candidate(one.statement, one.proof, one.attestations, one.challenge) for one in given]
    asked: dict[str, Any] = {"now_ms": terms.now_ms, "trust": terms.trust, "revocations": terms.revocations}
    asked["policy"] = terms.policy
    verify_all = _shared(workers) if workers > 1 else verify_any_each
    if ledger is None:
        found = accept_each(candidates, Asked(**asked), verify_all=verify_all)
    else:
        recorded = ledger.accept_each(candidates, **asked, receipt=receipt_of, verify_all=verify_all)
        found = [one if isinstance(one, ZkMarginError) else one[0] for one in recorded]
    verdicts |= dict(zip(fresh, found, strict=True))
    return [verdicts[place] for place in range(len(entries))]


def _shared(workers: int) -> VerifyEach:
    """Several processes judge all together; where one is bad, this one says which."""

    def verify_all(items: Sequence[tuple[AnyStatement, bytes]]) -> Sequence[AnyAccepted | ZkMarginError]:
        mine = [(statement, proof) for statement, proof in items if isinstance(statement, Statement)]
        if len(mine) < len(items):
            return verify_any_each(items)
        try:
            snapshots = {statement.snapshot_digest: statement.snapshot for statement, _ in mine}
            with Workers(list(snapshots.values()), workers) as running:
                return running.verify_batch(mine)
        except (ProofFormatError, VerificationError):
            return verify_any_each(items)

    return verify_all


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


@dataclass(frozen=True)
class RerunClock:
    """The time of an earlier acceptance, and whose word for it was taken.

    Attributes:
        time: the receipt's.
        verifier: who says so, by its name in the receipt.
        signers: names of the keys that signed, of those that the trust file lets sign receipts of that verifier.
    """

    time: str
    verifier: str
    signers: tuple[str, ...]


def rerun_terms(receipt: Receipt, terms: Terms) -> tuple[Terms, RerunClock]:
    """The terms of a rerun: those of the acceptance, at the receipt's time, and whose word that time is.

    Who signs receipts can lose a key, and a thief dates a receipt as he likes. So the receipt's own key is judged by
    the lists of revocations that count by this machine's clock, the newest of each issuer; the acceptance again by
    those that the receipt names.

    Raises:
        VerificationError: the receipt is signed by nobody whose receipts the trust file lets count: whoever has the
            public files could have written it, with any time in it. Or a list that the trust file asks for is missing
            or too old today.
    """
    if terms.trust is None:
        raise InputError("a rerun needs a trust file", field="trust", hint=Hint.GIVE_TRUST)
    numbers: dict[str, int] = {}
    for one in terms.revocations:
        numbers[one.payload.issuer] = max(one.payload.sequence, numbers.get(one.payload.issuer, 0))
    newest = [one for one in terms.revocations if one.payload.sequence == numbers[one.payload.issuer]]
    lists = check_revocations(newest, terms.trust, now_ms=terms.now_ms)
    quorum = terms.trust.receipt_quorum(receipt, Revoked.by(lists))
    clock = RerunClock(receipt.payload.time, receipt.payload.verifier or "", quorum.signers)
    named = set(receipt.payload.revocations or ())
    then = tuple(one for one in terms.revocations if one.payload_digest.hex() in named)
    return replace(terms, now_ms=parse_time(clock.time), revocations=then), clock


def check_same(receipt: Receipt, before: Receipt) -> None:
    """Raises VerificationError naming what came out differently."""
    different = receipt.differences(before)
    if different:
        raise VerificationError(
            f"another acceptance than the receipt's: {', '.join(different)} differ", check="receipt"
        )
