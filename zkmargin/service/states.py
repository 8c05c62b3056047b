"""What the state of an account is: a function of times. docs/decisions/0011-the-venue-service.md says it in words."""

from __future__ import annotations

from dataclasses import dataclass

from zkmargin.client.documents import State


@dataclass(frozen=True)
class Standing:
    """What the state follows from; times in milliseconds since 1970.

    Attributes:
        period_ms, grace_ms: of the terms.
        snapshot_ms, accepted_ms: of the newest proof that counts: its snapshot's time, and when it was accepted; None
            where none does.
        changed_ms: when the parts changed first after that; None where they did not.
        vouched_until_ms: when the first attestation of a part expires; None where a part is missing or revoked.
        refused: whether a proof was refused since the last acceptance.
    """

    period_ms: int
    grace_ms: int
    snapshot_ms: int | None
    accepted_ms: int | None
    changed_ms: int | None
    vouched_until_ms: int | None
    refused: bool

    @property
    def due_ms(self) -> int | None:
        """When a proof is due; None where none counts."""
        if self.snapshot_ms is None:
            return None
        due = self.snapshot_ms + self.period_ms
        return due if self.changed_ms is None else min(due, self.changed_ms)

    def at(self, now_ms: int) -> State:
        """The state at a time.

        Example:
            >>> standing = Standing(60_000, 10_000, 0, 500, None, 3_600_000, refused=False)
            >>> [standing.at(seconds * 1000) for seconds in (59, 60, 70, 71, 3600)]
            ['covered', 'due', 'due', 'late', 'uncovered']
        """
        due = self.due_ms
        if due is None or self.vouched_until_ms is None or now_ms >= self.vouched_until_ms:
            return "uncovered"
        if now_ms < due:
            return "covered"
        if self.refused:
            return "refused"
        return "due" if now_ms <= due + self.grace_ms else "late"
