"""From a snapshot that counts to a proof in the journal, or to an alarm: an unhealthy book is never proved.

The book is judged first, at every snapshot and for every venue: whether or not the venue can be reached, asks for a
proof of each one, or has attestations that count. That costs a fiftieth of a proof.
"""

from __future__ import annotations

import time
from contextlib import suppress

from zkmargin.accounts import Commitment
from zkmargin.agent.account import Account, Chosen
from zkmargin.agent.alarms import Alarms, Log
from zkmargin.agent.config import Config
from zkmargin.agent.config import Venue as VenueConfig
from zkmargin.agent.journal import Journal
from zkmargin.agent.sources import Item
from zkmargin.agent.standing import Standing, cents, money
from zkmargin.agent.status import Status
from zkmargin.agent.submission import Submission
from zkmargin.agent.venues import NotReadyError, UnreachableError, submission_text
from zkmargin.app.proving import make_proof
from zkmargin.app.verifying import clock_ms
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import parse_time, to_units
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Challenge
from zkmargin.verifier.transcript import MarginTranscript

#: Snapshots that are kept, to be proved again where a challenge passed before a proof could be handed over.
KEPT_SNAPSHOTS = 4
#: Names of snapshots' files that are kept, for the lists that name them.
KEPT_FILES = 64
_UNATTESTED = "a holding's commitment is attested by nobody, or its attestation has ended"


class Recent:
    """The last snapshots that counted since the start.

    Attributes:
        before: the last one of before the start: nothing is proved about it, its slots are those of fills until
            another comes.
    """

    def __init__(self) -> None:
        self.before: Snapshot | None = None
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
        self._standings: dict[tuple[str, str], Standing] = {}

    def warm_up(self, snapshot: Snapshot) -> None:
        """A proof that nobody gets. Raises ConstraintError, InputError."""
        chosen = self._account.newest(snapshot)
        self._recent.before = snapshot
        self._status.saw(snapshot, chosen)
        for venue in self._config.venues[:1]:
            statement = self._statement(venue, snapshot, chosen, b"warm-up")
            make_proof(statement, chosen.lots, chosen.openings, threads=self._config.threads)

    def answer_all(self, snapshot: Snapshot, item: Item) -> None:
        """Prove a snapshot to every venue that wants each one; judge the book for the others too."""
        for venue in self._config.venues:
            self.answer(venue, snapshot, item, only_judge=not venue.every_snapshot)

    def answer(
        self,
        venue: VenueConfig,
        snapshot: Snapshot,
        item: Item,
        challenge: Challenge | None = None,
        *,
        only_judge: bool = False,
    ) -> bool:
        """Prove to one venue, or say why not. Whether the question is settled."""
        latest = self._recent.newest is None or self._recent.newest.digest() == snapshot.digest()
        if not latest and self._journal.was_unhealthy(venue.name, snapshot.digest().hex()):
            return True  # what was bought since does not make it covered then
        try:
            settled = self._judge_and_prove(venue, snapshot, item, challenge, latest=latest, only_judge=only_judge)
        except InputError as error:  # of this venue's limits, say: the others get their proofs
            digest = snapshot.digest().hex()
            self._alarms.sound("unprovable", venue.name, error.message, venue=venue.name, snapshot=digest)
            return False
        if latest:
            self._alarms.end("unprovable", venue.name)
        return settled

    def _judge_and_prove(
        self,
        venue: VenueConfig,
        snapshot: Snapshot,
        item: Item,
        challenge: Challenge | None,
        *,
        latest: bool,
        only_judge: bool,
    ) -> bool:
        """The newest book and the attested one are judged before a challenge is taken: none is spent in vain."""
        chosen = self._account.provable(snapshot, now_ms=clock_ms())
        if chosen is not None:
            self._alarms.end("unattested", venue.name)
        elif not only_judge:
            self._alarms.sound("unattested", venue.name, _UNATTESTED, venue=venue.name)
        judged = self._standings_at(snapshot, chosen, latest=latest)
        standing = judged[0]
        try:
            for standing in judged:  # the one that fails is told of
                standing.check(venue)
            settled = only_judge or self._prove_or_wait(venue, snapshot, chosen, item, challenge)
        except ConstraintError as error:
            self._unhealthy(venue, standing, error)
            return False
        if latest:
            self._alarms.end("unhealthy", venue.name)
        return settled

    def _standings_at(self, snapshot: Snapshot, chosen: Chosen | None, *, latest: bool) -> list[Standing]:
        """Of the newest book, which the page and the headroom show too, and of the attested one where it is another."""
        newest, behind = self._account.newest(snapshot), chosen is not None and not chosen.newest
        key = snapshot.digest().hex(), newest.label
        if key not in self._standings:
            which = " for the book after the newest fills" if behind else ""
            self._standings[key] = Standing(snapshot, newest, latest=latest, which=which)
        found = [self._standings[key]]
        if chosen is not None and behind:
            found.append(Standing(snapshot, chosen, latest=latest, which=" for the book that is attested"))
        return found

    def _prove_or_wait(
        self, venue: VenueConfig, snapshot: Snapshot, chosen: Chosen | None, item: Item, challenge: Challenge | None
    ) -> bool:
        """Prove a claim that holds, where its book is attested and the venue can be reached. Whether it was."""
        if chosen is None:
            return False
        if challenge is None and item.again is None and self._proved(venue, snapshot, chosen):
            return True
        try:
            self._prove(venue, snapshot, chosen, item, challenge)
        except UnreachableError as error:
            if not isinstance(error, NotReadyError):
                self._alarms.sound("unreachable", venue.name, error.message, venue=venue.name)
            kind = "snapshot" if item.again is None else "again"
            again = Item(kind, None, item.clock, item.time_ms, snapshot=snapshot, again=item.again)
            self._submission.when_ready(venue.name, again)  # counts only while it is young enough
            return False
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

    def _unhealthy(self, venue: VenueConfig, standing: Standing, error: ConstraintError) -> None:
        digest = standing.snapshot.digest().hex()
        self._journal.judged_unhealthy(venue.name, digest, now_ms=clock_ms())
        report = standing.report(venue.requirement)
        charges = [(group.group, group.label, group.charge) for group in report.groups if group.charge]
        charges += [("", addition.component, addition.amount) for addition in report.additions if addition.amount]
        named = "; ".join(": ".join(filter(None, (group, f"{by} ({cents(charge)})"))) for group, by, charge in charges)
        self._alarms.sound(
            "unhealthy",
            venue.name,
            f"{error.message}; what binds: {named or 'negative equity'}",
            venue=venue.name,
            snapshot=digest,
            snapshot_time=standing.snapshot.time,
            rule=error.rule,
            shortfall=None if error.shortfall is None else money(error.shortfall),
            equity=money(report.equity.total),
            requirement=money(report.total),
            binds=[{"group": group, "by": by, "charge": money(charge)} for group, by, charge in charges],
        )

    # --- where the account stands -----------------------------------------------------------------------------------

    def stand(self) -> None:
        """Where the account stands at what was judged: for the page, the course of the headroom, and its alarm."""
        standings, self._standings = self._standings, {}
        for standing in standings.values():
            with suppress(InputError):  # a book that leaves its bounds: alarms say so
                self._stand(standing)

    def _stand(self, standing: Standing) -> None:
        snapshot, digest = standing.snapshot, standing.snapshot.digest().hex()
        initial, maintenance = standing.requirement("initial"), standing.requirement("maintenance")
        self._journal.add_headroom(parse_time(snapshot.time), digest, standing.equity, initial, maintenance)
        if not standing.latest:
            return
        self._status.saw(snapshot, standing.chosen)
        least = self._config.alarms.headroom
        if least is not None:
            left = standing.equity - initial
            if left < to_units(least, VALUATION_DECIMALS):
                message = f"equity less initial requirement is {cents(left)} {snapshot.quote}, below {least}"
                self._alarms.sound("headroom", "account", message, snapshot=digest, headroom=money(left))
            else:
                self._alarms.end("headroom", "account")
