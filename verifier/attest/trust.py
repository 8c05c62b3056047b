"""The trust file: whose signatures count for what, and when they are enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, NoReturn, Self, TypeVar

from pydantic import Field, model_validator

from zkmargin.accounts.slots import Role
from zkmargin.crypto.keys import PublicKey
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.formats import Digest, Document, Hint, InputError, Model, Seq, Since, VerificationError
from zkmargin.verifier.attest.documents import Attestation, CommitmentPayload, Name, SnapshotPayload
from zkmargin.verifier.attest.receipt import Receipt
from zkmargin.verifier.attest.revocations import Revocations, Revoked

MAX_SECONDS = 366 * 86_400

R = TypeVar("R", bound="Rule")


class Rule(Model):
    """Enough is: valid signatures by at least ``threshold`` different ones of ``signers``, who are names of keys.

    Example:
        >>> Rule(name="main", signers=("a", "b", "c"), threshold=2).threshold
        2
        >>> Rule(name="main", signers=("a",), threshold=2)
        Traceback (most recent call last):
        ...
        zkmargin.formats.errors.InputError: threshold: 2 of 1 signers: never enough
    """

    name: Name
    signers: Seq[Name] = Field(min_length=1, max_length=64)
    threshold: int = Field(ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse_twice("signers", self.signers)
        if self.threshold > len(self.signers):
            raise InputError(f"{self.threshold} of {len(self.signers)} signers: never enough", field="threshold")
        return self


class SnapshotRule(Rule):
    """A series of snapshots (its ``name``), how old the newest may be, and under which policies it counts.

    ``max_age_seconds`` also bounds the quotes that a snapshot of a universe carries, by their age when it was made.

    Attributes:
        policies: digests of policies, or of rules that policies follow from; from version 2 on at least one.

    Example:
        >>> trust.snapshots[0].max_age_seconds
        600
    """

    max_age_seconds: int = Field(ge=1, le=MAX_SECONDS)
    policies: Annotated[Seq[Digest], Since(2), Field(max_length=64)] = ()


class RevocationRule(Rule):
    """Whose lists of revocations count (``name`` is the issuer), and how old the newest may be.

    Example:
        >>> RevocationRule(name="venue", signers=("venue",), threshold=1, max_age_seconds=86_400).threshold
        1
    """

    max_age_seconds: int = Field(ge=1, le=MAX_SECONDS)


class RequiredPart(Model):
    """A part of an account that must be in its statements.

    Attributes:
        role, issuer, part: as the attestation names it.
        accounts: whose; every account's when it is empty.

    Example:
        >>> required = RequiredPart(role="collateral", issuer="custodian")
        >>> trust.replaced(required=[required]).required[0].part
        'main'
    """

    role: Role
    issuer: Name
    part: Name = "main"
    accounts: Seq[Name] = Field(default=(), max_length=1024)


class Trust(Document):
    """Who may sign what, for one verifier.

    Attributes:
        verifier: the verifier's own name; challenges are addressed to it.
        beneficiary: for whom collateral must be held.
        clock_skew_seconds: how far other people's clocks may be off.
        keys: public keys under names; each key once, each name once.
        snapshots: a rule for each trusted series.
        positions: a rule for each trusted venue.
        collateral: a rule for each trusted custodian.
        receipts: a rule for each verifier whose receipts count, its own among them; from version 2 on.
        revocations: a rule for each issuer of revocations, whose newest list must be at hand; from version 2 on.
        required: parts without which no statement counts; from version 2 on.

    Raises:
        InputError: a rule that names an unknown key, names twice, thresholds that cannot be met, a required part of
            nobody trusted, or a snapshot rule of version 2 without a policy.

    Example:
        >>> trust.quorum(signed_snapshot).signers
        ('oracle',)
    """

    FORMAT: ClassVar[str] = "zkmargin/trust/v2"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/trust/v1",)

    verifier: Name
    beneficiary: Name
    clock_skew_seconds: int = Field(default=30, ge=0, le=3600)
    keys: Seq[PublicKey] = Field(min_length=1, max_length=256)  # each costs a pairing to read: two milliseconds
    snapshots: Seq[SnapshotRule] = Field(min_length=1, max_length=1024)
    positions: Seq[Rule] = Field(min_length=1, max_length=1024)
    collateral: Seq[Rule] = Field(min_length=1, max_length=1024)
    receipts: Annotated[Seq[Rule], Since(2), Field(max_length=1024)] = ()
    revocations: Annotated[Seq[RevocationRule], Since(2), Field(max_length=1024)] = ()
    required: Annotated[Seq[RequiredPart], Since(2), Field(max_length=1024)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse_twice("keys", [key.name for key in self.keys])
        # One key under two names would count twice.
        _refuse_twice("keys", [key.public_key for key in self.keys])
        known = {key.name for key in self.keys}
        for field in ("snapshots", "positions", "collateral", "receipts", "revocations"):
            rules: Sequence[Rule] = getattr(self, field)
            _refuse_twice(field, [rule.name for rule in rules])
            for rule in rules:
                for signer in rule.signers:
                    if signer not in known:
                        raise InputError(
                            f"no key is named {signer[:80]!r}", field=f"{field}: {rule.name[:80]}: signers"
                        )
        for rule in self.snapshots:
            if self.format == self.FORMAT and not rule.policies:
                raise InputError(
                    "names no policy",
                    field=f"snapshots: {rule.name[:80]}: policies",
                    hint=Hint.POLICY_DIGEST,
                )
        for part in self.required:
            rules = self.positions if part.role == "positions" else self.collateral
            if part.issuer not in {rule.name for rule in rules}:
                raise InputError(f"{part.role} by {part.issuer[:80]!r} are trusted by no rule", field="required")
        return self

    @cached_property
    def _names(self) -> dict[tuple[str, str], str]:
        return {(key.scheme, key.public_key): key.name for key in self.keys}

    @property
    def pins_policies(self) -> bool:
        """Whether snapshots count under named policies only: from version 2 on."""
        return self.format == self.FORMAT

    def snapshot_rule(self, series: str) -> SnapshotRule:
        """The rule for a series. Raises VerificationError where there is none."""
        return _find(self.snapshots, series, "snapshots of the series")

    def rule_for(self, payload: SnapshotPayload | CommitmentPayload) -> Rule:
        """The rule that a payload falls under. Raises VerificationError where there is none: it is not trusted."""
        if isinstance(payload, SnapshotPayload):
            return self.snapshot_rule(payload.series)
        rules: dict[Role, tuple[Rule, ...]] = {"positions": self.positions, "collateral": self.collateral}
        return _find(rules[payload.role], payload.issuer, f"attestations of {payload.role} by")

    def quorum(self, attestation: Attestation, revoked: Revoked = Revoked()) -> Quorum:  # noqa: B008 - immutable
        """Who of the trusted signers signed.

        Signatures by keys that the rule does not name, or that are revoked, are not counted, and neither is an
        aggregate with such a key in it: whoever adds a key of unproved possession can sign for the others.

        Raises:
            VerificationError: nobody is trusted for this, too few signed, a trusted key's signature is wrong, or the
                attestation is revoked.
        """
        rule = self.rule_for(attestation.payload)
        if attestation.payload_digest.hex() in revoked.attestations:
            raise VerificationError(f"{rule.name}: the attestation is revoked", check="revocation")
        return self._counted(rule, attestation.signatures, attestation.message, revoked)

    def receipt_quorum(self, receipt: Receipt, revoked: Revoked = Revoked()) -> Quorum:  # noqa: B008 - immutable
        """Who of those whose receipts count signed one. Raises VerificationError: nobody who counts."""
        rule = _find(self.receipts, receipt.payload.verifier or "", "receipts of the verifier")
        return self._counted(rule, receipt.signatures, receipt.message, revoked)

    def revocation_quorum(self, revocations: Revocations) -> Quorum:
        """Who of those whose revocations count signed a list. Raises VerificationError: nobody who counts."""
        rule = self.revocation_rule(revocations.payload.issuer)
        return self._counted(rule, revocations.signatures, revocations.message, Revoked())

    def revocation_rule(self, issuer: str) -> RevocationRule:
        """The rule for an issuer's lists. Raises VerificationError where there is none."""
        return _find(self.revocations, issuer, "revocations by")

    def _counted(self, rule: Rule, signatures: Sequence[Signature], message: Message, revoked: Revoked) -> Quorum:
        signers: set[str] = set()
        unknown = withdrawn = 0
        for signature in signatures:
            keys = [(signature.scheme, key) for key in signature.public_keys]
            names = [self._names.get(key) for key in keys]
            trusted = [name for name in names if name in rule.signers]
            if len(trusted) < len(names):
                unknown += 1
            elif any(key in revoked.keys for key in keys):
                withdrawn += 1
            elif not signature.verifies(message):
                _refuse(rule, f"the signature of {_listed(trusted)} does not verify")
            else:
                signers.update(name for name in trusted if name)
        others = f"; {unknown} not counted: by a key that is not trusted for this" if unknown else ""
        others += f"; {withdrawn} not counted: by a key that is revoked" if withdrawn else ""
        if not signatures:
            _refuse(rule, "not signed by anyone")
        if len(signers) < rule.threshold:
            who = f" ({_listed(signers)})" if signers else ""
            _refuse(rule, f"{len(signers)} of {rule.threshold} signatures{who}{others}")
        return Quorum(rule, tuple(sorted(signers)))


@dataclass(frozen=True)
class Quorum:
    """A rule that was met, and by whom.

    Example:
        >>> trust.quorum(signed_snapshot).rule.name
        'main'
    """

    rule: Rule
    signers: tuple[str, ...]


def _find(rules: Sequence[R], name: str, what: str) -> R:
    for rule in rules:
        if rule.name == name:
            return rule
    raise VerificationError(f"the trust file trusts no {what} {name[:80]!r}", check="trust")


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(sorted(name for name in names if name))


def _refuse(rule: Rule, reason: str) -> NoReturn:
    raise VerificationError(f"{rule.name}: {reason}", check="signatures")


def _refuse_twice(field: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{name[:80]!r} is there twice", field=field)
