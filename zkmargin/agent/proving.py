"""From a snapshot that counts to a proof in the journal, or to an alarm: an unhealthy book is never proved."""

from __future__ import annotations

import time

from zkmargin.accounts import Commitment
from zkmargin.agent.account import Account, Chosen
from zkmargin.agent.alarms import Alarms, Log
from zkmargin.agent.config import Config
from zkmargin.agent.config import Venue as VenueConfig
from zkmargin.agent.journal import Journal
from zkmargin.agent.sources import Item
from zkmargin.agent.status import Status
from zkmargin.agent.submission import Submission
from zkmargin.agent.venues import NotReadyError, UnreachableError, submission_text
from zkmargin.app.proving import make_proof
from zkmargin.app.verifying import clock_ms
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units, parse_time, to_cents, to_units
from zkmargin.engine.margin import claim_slack, equity, limit_slack, margin_report, requirement_total
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Challenge
from zkmargin.verifier.transcript import MarginTranscript

#: Snapshots that are kept, to be proved again where a challenge passed before a proof could be handed over.
KEPT_SNAPSHOTS = 4
#: Names of snapshots' files that are kept, for the lists that name them.
KEPT_FILES = 64
_UNATTESTED = "a holding's commitment is attested by nobody, or its attestation has ended"


class Recent:
    """The last snapshots that counted."""

    def __init__(self) -> None:
        self._snapshots: dict[str, Snapshot] = {}
        self._files: dict[str, str] = {}

    def keep(self, snapshot: Snapshot, *, file: str | None = None) -> bool:
        """Remember a snapshot, and the file it came in; whether it is the newest."""
        known = list(self._snapshots.values())
        newest = all(parse_time(snapshot.time) >= parse_time(one.time) for one in known)
        digest = snapshot.digest().hex()
        if newest:
            self._snapshots[digest] = self._snapshots.pop(digest, snapshot)
        else:
            self._snapshots = {digest: snapshot, **self._snapshots}
        self._snapshots = dict(list(self._snapshots.items())[-KEPT_SNAPSHOTS:])
        if file is not None:
            self._files = dict([*self._files.items(), (digest, file)][-KEPT_FILES:])
        return newest

    @property
    def newest(self) -> Snapshot | None:
        """The one of the latest time."""
        return next(reversed(self._snapshots.values()), None)

    def get(self, digest: str) -> Snapshot | None:
        """One by its digest (hex)."""
        return self._snapshots.get(digest)

    def file(self, snapshot: Snapshot) -> str | None:
        """The name of the file it came in."""
        return self._files.get(snapshot.digest().hex())


class Proving:
    """Answers about snapshots, one venue after the other. Only the agent's own thread calls it.

    Args:
        config, journal, account, alarms, log, status: the agent's.
        recent: the last snapshots.
        submission: takes what is proved.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        account: Account,
        alarms: Alarms,
        log: Log,
        status: Status,
        *,
        recent: Recent,
        submission: Submission,
    ) -> None:
        self._config, self._journal, self._account = config, journal, account
        self._alarms, self._log, self._status = alarms, log, status
        self._recent, self._submission = recent, submission
        self._standing: list[tuple[Snapshot, Chosen, bool]] = []

    def warm_up(self, snapshot: Snapshot) -> None:
        """A proof that nobody gets. Raises ConstraintError, InputError."""
        chosen = self._account.newest(snapshot)
        self._recent.keep(snapshot)
        self._status.saw(snapshot, chosen)
        for venue in self._config.venues[:1]:
            statement = self._statement(venue, snapshot, chosen, b"warm-up")
            make_proof(statement, chosen.lots, chosen.openings, threads=self._config.threads)

    def answer_all(self, snapshot: Snapshot, item: Item) -> None:
        """Prove a snapshot to every venue that wants each one."""
        for venue in self._config.venues:
            if venue.every_snapshot:
                self.answer(venue, snapshot, item)

    def answer(self, venue: VenueConfig, snapshot: Snapshot, item: Item, challenge: Challenge | None = None) -> bool:
        """Prove to one venue, or say why not. Whether the question is settled."""
        newest = self._account.newest(snapshot)
        chosen = self._account.provable(snapshot, now_ms=clock_ms())
        latest = self._recent.newest is None or self._recent.newest.digest() == snapshot.digest()
        if chosen is None:
            self._alarms.sound("unattested", venue.name, _UNATTESTED, venue=venue.name)
            return False
        self._alarms.end("unattested", venue.name)
        if challenge is None and item.again is None and self._proved(venue, snapshot, chosen):
            return True
        if not latest and self._journal.was_unhealthy(venue.name, snapshot.digest().hex()):
            return True  # what was bought since does not make it covered then
        try:
            if not chosen.newest:
                refuse_if_false(venue, snapshot, newest)
            self._prove(venue, snapshot, chosen, item, challenge)
        except ConstraintError as error:
            self._unhealthy(venue, snapshot, newest, error)
            self._standing.append((snapshot, newest, latest))
            return False
        except UnreachableError as error:
            if not isinstance(error, NotReadyError):
                self._alarms.sound("unreachable", venue.name, error.message, venue=venue.name)
            kind = "snapshot" if item.again is None else "again"
            again = Item(kind, None, item.clock, item.time_ms, snapshot=snapshot, again=item.again)
            self._submission.when_ready(venue.name, again)  # counts only while it is young enough
            return False
        if latest:
            self._alarms.end("unhealthy", venue.name)
        self._standing.append((snapshot, newest, latest))
        return True

    def _statement(self, venue: VenueConfig, snapshot: Snapshot, chosen: Chosen, context: bytes) -> Statement:
        commitments: tuple[Commitment, ...] = chosen.commitments
        return Statement.of(snapshot, commitments, venue.parsed_claim, context=context, limits=venue.parsed_limits)

    def _proved(self, venue: VenueConfig, snapshot: Snapshot, chosen: Chosen) -> bool:
        return self._journal.proved(venue.name, snapshot.digest().hex(), chosen.label)

    def _prove(
        self, venue: VenueConfig, snapshot: Snapshot, chosen: Chosen, item: Item, challenge: Challenge | None
    ) -> None:
        answered = challenge or self._submission.challenge(venue.name)
        context = venue.context.encode() if answered is None else answered.context
        statement = self._statement(venue, snapshot, chosen, context)
        made = make_proof(statement, chosen.lots, chosen.openings, threads=self._config.threads)
        row = self._journal.proof_made(
            venue=venue.name,
            statement=MarginTranscript(statement).statement_digest.hex(),
            snapshot=snapshot.digest().hex(),
            snapshot_time=parse_time(snapshot.time),
            challenge=None if answered is None else answered.digest().hex(),
            generations=chosen.label,
            submission=submission_text(statement, challenge=answered, snapshot_file=self._recent.file(snapshot)),
            proof=made.proof,
            arrived=item.time_ms,
            now_ms=clock_ms(),
        )
        self._submission.take(row)
        self._log.event(
            "proved",
            venue=venue.name,
            snapshot=row.snapshot,
            statement=row.statement,
            milliseconds=round(1000 * (time.perf_counter() - item.clock), 1),
        )

    def _unhealthy(self, venue: VenueConfig, snapshot: Snapshot, newest: Chosen, error: ConstraintError) -> None:
        self._journal.judged_unhealthy(venue.name, snapshot.digest().hex(), now_ms=clock_ms())
        report = margin_report(snapshot, newest.lots, venue.requirement)
        binds = [
            {"group": group.group, "by": group.label, "charge": money(group.charge)}
            for group in report.groups
            if group.charge
        ]
        binds += [{"group": "", "by": a.component, "charge": money(a.amount)} for a in report.additions if a.amount]
        self._alarms.sound(
            "unhealthy",
            venue.name,
            error.message,
            venue=venue.name,
            snapshot=snapshot.digest().hex(),
            snapshot_time=snapshot.time,
            rule=error.rule,
            shortfall=None if error.shortfall is None else money(error.shortfall),
            equity=money(report.equity.total),
            requirement=money(report.total),
            binds=binds,
        )

    # --- where the account stands -----------------------------------------------------------------------------------

    def stand(self) -> None:
        """Where the account stands at what was answered: for the page, the course of the headroom, and its alarm."""
        standing, self._standing = self._standing, []
        for snapshot, chosen, latest in standing:
            self._stand(snapshot, chosen, latest=latest)

    def _stand(self, snapshot: Snapshot, chosen: Chosen, *, latest: bool) -> None:
        worth = equity(snapshot, chosen.lots).total
        needed = {name: requirement_total(snapshot, chosen.lots, name) for name in ("initial", "maintenance")}
        digest = snapshot.digest().hex()
        self._journal.add_headroom(parse_time(snapshot.time), digest, worth, needed["initial"], needed["maintenance"])
        if not latest:
            return
        self._status.saw(snapshot, chosen)
        least = self._config.alarms.headroom
        if least is not None:
            left = worth - needed["initial"]
            if left < to_units(least, VALUATION_DECIMALS):
                shown = to_cents(left, VALUATION_DECIMALS)
                message = f"equity less initial requirement is {shown} {snapshot.quote}, below {least}"
                self._alarms.sound("headroom", "account", message, snapshot=digest, headroom=money(left))
            else:
                self._alarms.end("headroom", "account")


def money(amount: int) -> str:
    """An amount in valuation units as decimal text."""
    return from_units(amount, VALUATION_DECIMALS)


def refuse_if_false(venue: VenueConfig, snapshot: Snapshot, chosen: Chosen) -> None:
    """Raises ConstraintError: the claim or a limit does not hold for the newest book, whatever an older one proves."""
    claim = venue.parsed_claim
    slack = claim_slack(snapshot, chosen.lots, claim)
    if slack < 0:
        missing = -(slack // claim.den)
        raise ConstraintError(
            f"the claim is false for the book after the newest fills: short by {money(missing)} {snapshot.quote}",
            rule="claim",
            shortfall=missing,
        )
    for limit in venue.parsed_limits:
        outside = -limit_slack(limit, snapshot, chosen.lots, claim.requirement)
        if outside > 0:
            raise ConstraintError(
                f"the limit is not kept after the newest fills: {limit}", rule=limit.kind, shortfall=outside
            )
