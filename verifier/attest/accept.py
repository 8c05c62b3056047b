"""Acceptance: a proof that verifies, of commitments and a snapshot that trusted parties signed, fresh and for us.

Without a trust file nothing is authenticated: the proof is checked against the files as they are. What is *known*
from before (a ledger's business) comes in through ``Known``; what to remember goes out with ``Acceptance``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NoReturn, TypeAlias

from zkmargin.accounts.commitments import CommitmentPart, check_parts
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.policy import Policy
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Hint, InputError, VerificationError, ZkMarginError
from zkmargin.verifier.attest.acceptance import Acceptance, AttestedPart, AttestedSnapshot, Authenticated, Known, Memory
from zkmargin.verifier.attest.challenge import Challenge
from zkmargin.verifier.attest.documents import Attestation, CommitmentPayload, SnapshotPayload, Stream
from zkmargin.verifier.attest.revocations import Revocations, RevocationsPayload, Revoked
from zkmargin.verifier.attest.trust import Trust
from zkmargin.verifier.protocols import AnyAccepted, AnyStatement, verify_any, verify_any_each

#: Without a trust file to say otherwise.
CLOCK_SKEW_SECONDS = 30
NONE_DERIVED: Mapping[str, str] = MappingProxyType({})


def accept(
    statement: AnyStatement,
    proof: bytes,
    *,
    now_ms: int,
    trust: Trust | None = None,
    attestations: Sequence[Attestation] = (),
    revocations: Sequence[Revocations] = (),
    policy: Policy | None = None,
    challenge: Challenge | None = None,
    derived: Mapping[str, str] = NONE_DERIVED,
    known: Known | None = None,
) -> Acceptance:
    """Accept a proof, or say why not.

    Args:
        statement: from the verifier's own snapshot, commitments, claim, limits and context; of a venue, its terms.
        proof: the proof's bytes.
        now_ms: the verifier's clock, milliseconds since 1970.
        trust: whose signatures count; without it nothing is authenticated.
        attestations: of the snapshot and of each part of the statement.
        revocations: the newest list of each issuer that the trust file names.
        policy: the verifier's own, which the snapshot's must be; without it the trust file's rule alone says.
        challenge: the one that the proof must answer.
        derived: digests of policies, and of the rule that each was found to follow from: recomputed by the caller.
        known: what was accepted before; nothing without it.

    Raises:
        InputError: files that do not belong together.
        ProofFormatError: bytes that no proof of this statement has.
        VerificationError: an attestation, the challenge or the proof is refused, or it was accepted before.

    Example:
        >>> acceptance = accept(statement, proof, now_ms=now, trust=trust, attestations=attestations)
        >>> [item.rule for item in acceptance.attested]
        ['main', 'venue', 'custodian']
        >>> accept(statement, proof, now_ms=now + 3_600_000, trust=trust, attestations=attestations)
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.VerificationError: the snapshot is stale: taken 3655 s ago, at most 600 s are allowed
    """
    known = Memory() if known is None else known
    given = Candidate(statement, proof, tuple(attestations), challenge)
    terms = Terms(now_ms, trust, tuple(revocations), policy, known, derived)
    authenticated = _before(given, terms)
    return _after(given, terms, authenticated, verify_any(statement, proof))


@dataclass(frozen=True)
class Candidate:
    """A proof that asks to be accepted; the fields are as in ``accept``.

    Example:
        >>> Candidate(statement, proof).challenge is None
        True
    """

    statement: AnyStatement
    proof: bytes
    attestations: tuple[Attestation, ...] = ()
    challenge: Challenge | None = None


@dataclass(frozen=True)
class Terms:
    """What is asked of candidates; the fields are as in ``accept``."""

    now_ms: int
    trust: Trust | None = None
    revocations: tuple[Revocations, ...] = ()
    policy: Policy | None = None
    known: Known = field(default_factory=Memory)
    derived: Mapping[str, str] = field(default_factory=dict)


#: Judges proofs together, as ``verify_any_each`` does.
VerifyEach: TypeAlias = "Callable[[Sequence[tuple[AnyStatement, bytes]]], Sequence[AnyAccepted | ZkMarginError]]"


def accept_each(
    candidates: Sequence[Candidate], terms: Terms, *, verify_all: VerifyEach = verify_any_each
) -> list[Acceptance | ZkMarginError]:
    """A verdict for each candidate, as ``accept`` would give it alone; the proofs are verified together.

    Two that exclude each other (of one statement, for one challenge) may both be accepted here: what records them
    decides.

    Raises:
        InputError: statements under different SRS.

    Example:
        >>> terms = Terms(now, trust)
        >>> both = [Candidate(statement, proof, tuple(attestations)), Candidate(statement, proof)]
        >>> [type(verdict).__name__ for verdict in accept_each(both, terms)]
        ['Acceptance', 'VerificationError']
    """
    verdicts: dict[int, Acceptance | ZkMarginError] = {}
    ready: dict[int, Authenticated | None] = {}
    for place, candidate in enumerate(candidates):
        try:
            ready[place] = _before(candidate, terms)
        except ZkMarginError as error:
            verdicts[place] = error
    judged = verify_all([(candidates[place].statement, candidates[place].proof) for place in ready]) if ready else []
    for (place, authenticated), verdict in zip(ready.items(), judged, strict=True):
        if isinstance(verdict, ZkMarginError):
            verdicts[place] = verdict
            continue
        try:
            verdicts[place] = _after(candidates[place], terms, authenticated, verdict)
        except VerificationError as error:
            verdicts[place] = error
    return [verdicts[place] for place in range(len(candidates))]


def _before(candidate: Candidate, terms: Terms) -> Authenticated | None:
    """All checks but the proof's. Raises as ``accept`` does."""
    statement, challenge, trust = candidate.statement, candidate.challenge, terms.trust
    if trust is None and candidate.attestations:
        raise InputError("of no use without a trust file", field="attestation", hint=Hint.GIVE_TRUST)
    if terms.policy is not None:
        check_policy(statement.snapshot, [terms.policy.digest().hex()], "the verifier's own policy")
    if challenge is not None:
        check_challenge(challenge, statement, now_ms=terms.now_ms, trust=trust, known=terms.known)
    if trust is None:
        return None
    return authenticate(
        statement,
        candidate.attestations,
        trust,
        revocations=terms.revocations,
        derived=terms.derived,
        now_ms=terms.now_ms,
        known=terms.known,
    )


def _after(
    candidate: Candidate, terms: Terms, authenticated: Authenticated | None, accepted: AnyAccepted
) -> Acceptance:
    """The acceptance of a proof that verified. Raises VerificationError: a replay."""
    if terms.known.statement_accepted(accepted.statement_digest):
        raise VerificationError(
            "a proof of this statement was accepted before: a replay",
            check="replay",
            hint=Hint.NEW_CHALLENGE,
        )
    return Acceptance(accepted, candidate.proof, terms.now_ms, terms.trust, authenticated, candidate.challenge)


def check_challenge(
    challenge: Challenge,
    statement: AnyStatement,
    *,
    now_ms: int,
    trust: Trust | None = None,
    known: Known | None = None,
) -> None:
    """Raises VerificationError: not this verifier's, not of this time, used, or not the statement's context."""
    skew = trust.clock_skew_seconds if trust else CLOCK_SKEW_SECONDS
    challenge.check_time(now_ms=now_ms, skew_seconds=skew)
    if trust is not None and challenge.audience != trust.verifier:
        _refuse(
            "challenge", f"the challenge is addressed to {challenge.audience[:80]!r}, not to {trust.verifier[:80]!r}"
        )
    if statement.context != challenge.context:
        _refuse("challenge", "the statement's context is not the challenge's digest")
    if known is not None and not known.challenge_issued(challenge.digest()):
        _refuse("challenge", "the challenge was not issued by this ledger", "issue it with the ledger that asks")
    if known is not None and known.challenge_used(challenge.digest()):
        _refuse("challenge", "a proof was accepted for this challenge before: a replay")


def authenticate(
    statement: AnyStatement,
    attestations: Sequence[Attestation],
    trust: Trust,
    *,
    now_ms: int,
    revocations: Sequence[Revocations] = (),
    derived: Mapping[str, str] = NONE_DERIVED,
    known: Known | None = None,
) -> Authenticated:
    """Who signed the snapshot and each part of a statement.

    Every attestation that is given must be good, current and of use: one that is not is refused, not passed over.

    Raises:
        VerificationError: which one is refused, and why.

    Example:
        >>> authenticated = authenticate(statement, attestations, trust, now_ms=now)
        >>> [part.payload.issuer for part in authenticated.parts]
        ['venue', 'custodian']
    """
    known = Memory() if known is None else known
    lists = check_revocations(revocations, trust, now_ms=now_ms, known=known)
    revoked = Revoked.by(lists)
    snapshots: list[AttestedSnapshot] = []
    commitments: list[AttestedPart] = []
    for attestation in _merged(attestations):
        item = attested(attestation, trust, revoked)
        _check_sequence(attestation, known)
        if isinstance(item, AttestedSnapshot):
            snapshots.append(item)
        else:
            commitments.append(item)
    if not snapshots:
        _refuse("snapshot attestation", "nobody signed the snapshot", Hint.GIVE_ATTESTATION)
    if len(snapshots) > 1:
        _refuse("snapshot attestation", "more than one snapshot is attested", "give the attestation of one")
    (of_snapshot,) = snapshots
    check_snapshot_attested(of_snapshot.payload, statement.snapshot)
    check_snapshot_age(of_snapshot.payload, trust, now_ms=now_ms)
    rule = check_trusted_policy(of_snapshot.payload, statement.snapshot, trust, derived)
    check_carried_age(of_snapshot.payload, statement.snapshot, trust)
    accounts = []
    for parts_of_account in statement.account_parts:
        check_parts(parts_of_account, statement.snapshot)
        accounts.append(tuple(_attested_part(part, statement, commitments) for part in parts_of_account))
    parts = tuple(part for account in accounts for part in account)
    for unused in commitments:
        if unused not in parts:
            _refuse("attestation", f"{_named(unused.payload)} is attested, and not in the commitments that were given")
    for part in parts:
        check_current(part.payload, trust, now_ms)
    _check_accounts(statement)
    for account in accounts:
        _check_required(account, trust)
    return Authenticated(of_snapshot, parts, lists, policy_rule=rule)


def check_revocations(
    revocations: Sequence[Revocations], trust: Trust, *, now_ms: int, known: Known | None = None
) -> tuple[Revocations, ...]:
    """The lists that a trust file asks for: each one's newest, signed, not too old and not older than what was seen.

    Raises:
        VerificationError: one is missing or refused, and why.
    """
    issuers = [document.payload.issuer for document in revocations]
    for issuer in issuers:
        if issuers.count(issuer) > 1:
            _refuse("revocation", f"more than one list by {issuer[:80]!r}", "give the newest")
    skew = 1000 * trust.clock_skew_seconds
    for document in revocations:
        trust.revocation_quorum(document)
        if known is not None:
            _check_sequence(document, known)
        payload, allowed = document.payload, trust.revocation_rule(document.payload.issuer).max_age_seconds
        age = now_ms - parse_time(payload.time)
        if age > 1000 * allowed + skew:
            _refuse(
                "revocation",
                f"{_named(payload)} is {age // 1000} s old, at most {allowed} s are allowed",
                "fetch the newest",
            )
        if age < -skew:
            _refuse("revocation", f"{_named(payload)} is from the future: {payload.time}", "check the clock")
    for rule in trust.revocations:
        if rule.name not in issuers:
            _refuse("revocation", f"no list of revocations by {rule.name[:80]!r}", Hint.GIVE_REVOCATIONS)
    return tuple(revocations)


def check_trusted_policy(
    payload: SnapshotPayload, snapshot: Snapshot, trust: Trust, derived: Mapping[str, str] = NONE_DERIVED
) -> str | None:
    """The digest of the rule that a snapshot's policy counts by; None where it counts by its own digest.

    Raises:
        VerificationError: a policy that the trust file does not allow. Version 1 allows every one.
    """
    if not trust.pins_policies:
        return None
    allowed, rule = trust.snapshot_rule(payload.series), derived.get(snapshot.policy.digest().hex())
    if rule in allowed.policies:
        return rule
    check_policy(
        snapshot, allowed.policies, f"a policy that the trust file allows for the series {allowed.name[:80]!r}"
    )
    return None


def check_policy(snapshot: Snapshot, allowed: Sequence[str], what: str) -> None:
    """Raises VerificationError when a snapshot's policy is none of these, by digest: its name and version are texts.

    Example:
        >>> check_policy(snapshot, [snapshot.policy.digest().hex()], "series main")
        >>> check_policy(snapshot, ["00" * 32], "series main")
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.VerificationError: the snapshot's policy, which calls itself default, is not series main
    """
    digest = snapshot.policy.digest().hex()
    if digest not in allowed:
        name = f"{snapshot.policy.name} version {snapshot.policy.version[:40]!r}"
        _refuse("policy", f"the snapshot's policy, which calls itself {name}, is not {what}: its digest is {digest}")


def attested(
    attestation: Attestation,
    trust: Trust,
    revoked: Revoked = Revoked(),  # noqa: B008 - immutable
) -> AttestedSnapshot | AttestedPart:
    """What enough trusted parties signed. Raises VerificationError as ``Trust.quorum`` does.

    Example:
        >>> attested(signed_snapshot, trust).signers
        ('oracle',)
    """
    payload, quorum = attestation.payload, trust.quorum(attestation, revoked)
    if isinstance(payload, SnapshotPayload):
        return AttestedSnapshot(payload, attestation, quorum.rule.name, quorum.signers)
    return AttestedPart(payload, attestation, quorum.rule.name, quorum.signers)


def check_snapshot_attested(payload: SnapshotPayload, snapshot: Snapshot) -> None:
    """Raises VerificationError when an attestation is of another snapshot.

    Example:
        >>> check_snapshot_attested(signed_snapshot.payload, snapshot)
    """
    expected = SnapshotPayload.of(snapshot, series=payload.series, sequence=payload.sequence)
    for name in ("snapshot", "market", "policy", "time", "slot_maps"):
        if name == "policy" and payload.policy is None:
            continue  # version 1 does not say; the snapshot's digest covers it
        if getattr(payload, name) != getattr(expected, name):
            _refuse("snapshot attestation", f"{_named(payload)} is another snapshot: its {name} differs")


def check_snapshot_age(payload: SnapshotPayload, trust: Trust, *, now_ms: int) -> None:
    """Raises VerificationError for a snapshot that is stale or from the future by the trust file."""
    allowed = trust.snapshot_rule(payload.series).max_age_seconds
    age, skew = now_ms - parse_time(payload.time), 1000 * trust.clock_skew_seconds
    if age > 1000 * allowed + skew:
        _refuse(
            "snapshot age",
            f"the snapshot is stale: taken {age // 1000} s ago, at most {allowed} s are allowed",
            "ask for a proof on a newer snapshot",
        )
    if age < -skew:
        ahead = -age // 1000
        _refuse("snapshot age", f"the snapshot is from the future: {ahead} s ahead of the clock", "check the clock")


def check_carried_age(payload: SnapshotPayload, snapshot: Snapshot, trust: Trust) -> None:
    """Raises VerificationError where a snapshot carries a quote that was older than the series may be when it was made.

    A universe keeps the slots of what had no quote (``engine.carried``): that its prices are current is not implied.
    """
    allowed = trust.snapshot_rule(payload.series).max_age_seconds
    oldest = max(snapshot.carried, key=lambda quote: quote.age_seconds, default=None)
    if oldest is not None and oldest.age_seconds > allowed:
        _refuse(
            "carried quotes",
            f"the snapshot carries {oldest.id!r} at a quote that was {oldest.age_seconds} s old, at most {allowed} s "
            "are allowed",
            "ask for a proof on a snapshot with newer quotes",
        )


def _attested_part(part: CommitmentPart, statement: AnyStatement, candidates: Sequence[AttestedPart]) -> AttestedPart:
    """The attestation of one part of a statement."""
    for item in candidates:
        payload = item.payload
        if payload.points != part.points:
            continue
        expected = {
            "role": part.role,
            "account": part.alias,
            "slot_map": part.slot_map,
            "bits": part.bits,
            "srs": statement.srs.digest.hex(),
            "domain_size": statement.n,
        }
        for name, value in expected.items():
            if getattr(payload, name) != value:
                _refuse("commitment attestation", f"{_named(payload)} is another commitment: its {name} differs")
        return item
    return _refuse(
        "commitment attestation",
        f"nobody attested the {part.role} part of {part.alias[:80]!r}",
        Hint.GIVE_ATTESTATION,
    )


def check_current(payload: CommitmentPayload, trust: Trust, now_ms: int) -> None:
    """Raises VerificationError: expired, from the future, or collateral that is held for another one."""
    skew = 1000 * trust.clock_skew_seconds
    if now_ms >= parse_time(payload.expires) + skew:
        _refuse("commitment attestation", f"{_named(payload)} has expired: {payload.expires}", "ask for a new one")
    if now_ms < parse_time(payload.issued) - skew:
        _refuse("commitment attestation", f"{_named(payload)} is from the future: {payload.issued}", "check the clock")
    if payload.role == "collateral" and payload.beneficiary != trust.beneficiary:
        held = str(payload.beneficiary)[:80]
        _refuse("beneficiary", f"{_named(payload)} is held for {held!r}, not for {trust.beneficiary[:80]!r}")


def _check_accounts(statement: AnyStatement) -> None:
    """Every part is of one account, and no account is there twice: a bad half of it would hide behind a good one."""
    seen: set[str] = set()
    for parts in statement.account_parts:
        names = {part.alias for part in parts}
        if len(names) > 1:
            listed = ", ".join(sorted(repr(name[:80]) for name in names))
            _refuse("account", f"parts of different accounts do not add up: {listed}")
        if names & seen:
            _refuse("account", f"{min(names)[:80]!r} is there twice: one account has one commitment")
        seen |= names


def _check_required(parts: Sequence[AttestedPart], trust: Trust) -> None:
    """Every part without which the trust file lets no statement count."""
    account = parts[0].payload.account
    present = {(part.payload.role, part.payload.issuer, part.payload.part) for part in parts}
    for needed in trust.required:
        concerned = not needed.accounts or account in needed.accounts
        if concerned and (needed.role, needed.issuer, needed.part) not in present:
            what = f"{needed.role} {needed.part[:80]!r} by {needed.issuer[:80]!r}"
            _refuse("required part", f"the trust file requires {what} of {account[:80]!r}: it is not in the statement")


def _check_sequence(document: Attestation | Revocations, known: Known) -> None:
    """The newest of its stream, and no contradiction of what was seen under its number."""
    payload = document.payload
    seen = known.newest(payload.stream)
    if seen is None or payload.sequence > seen.sequence:
        return
    if payload.sequence < seen.sequence:
        _refuse("sequence", f"{_named(payload)} is superseded: number {seen.sequence} was seen")
    if document.payload_digest.hex() != seen.digest:
        _refuse("sequence", f"{_named(payload)} contradicts what was signed before under the same number")


def _merged(attestations: Sequence[Attestation]) -> list[Attestation]:
    """Attestations of the same thing as one, with the signatures of all; at most one of each stream."""
    by_stream: dict[Stream, Attestation] = {}
    for attestation in attestations:
        payload = attestation.payload
        first = by_stream.get(payload.stream)
        if first is not None and first.payload_digest != attestation.payload_digest:
            numbers = {first.payload.sequence, payload.sequence}
            what = "contradict each other" if len(numbers) == 1 else "are of one stream: give the newest only"
            _refuse("sequence", f"{_named(first.payload)} and {_named(payload)} {what}")
        by_stream[payload.stream] = attestation if first is None else first.combined(attestation)
    return list(by_stream.values())


def _named(payload: SnapshotPayload | CommitmentPayload | RevocationsPayload) -> str:
    if isinstance(payload, RevocationsPayload):
        return f"number {payload.sequence} of the revocations by {payload.issuer[:80]!r}"
    if isinstance(payload, SnapshotPayload):
        return f"number {payload.sequence} of the series {payload.series[:80]!r}"
    what = f"{payload.role} {payload.part[:80]!r} of {payload.account[:80]!r}"
    return f"number {payload.sequence} of {what} by {payload.issuer[:80]!r}"


def _refuse(check: str, reason: str, hint: str | None = None) -> NoReturn:
    raise VerificationError(reason, check=check, hint=hint)
