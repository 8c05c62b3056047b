"""The agent: takes what arrives, proves what is true, hands it over, and says what is wrong.

One thread does everything that touches a book. Others only bring things (folders, a venue's feed) or take public ones
away (couriers, alarms). A turn takes all that has arrived: attestations and receipts first, then fills, then
challenges, then snapshots, the newest first.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

from zkmargin.agent.account import Account, check_origin
from zkmargin.agent.alarms import Alarms, Log
from zkmargin.agent.config import Config
from zkmargin.agent.inbox import read
from zkmargin.agent.journal import Journal
from zkmargin.agent.proving import Proving, Recent
from zkmargin.agent.sources import VENUE, Item, Sources
from zkmargin.agent.status import Status
from zkmargin.agent.submission import Submission
from zkmargin.agent.venues import Verdict, check_receipt
from zkmargin.app.attesting import signed_snapshot
from zkmargin.app.files import load
from zkmargin.app.verifying import CLOCK_SKEW_MS, clock_ms
from zkmargin.crypto.srs import embedded
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.fills import Fills
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError, VerificationError, write_atomic
from zkmargin.prover.commit import committer
from zkmargin.verifier.attest import (
    Attestation,
    Challenge,
    Receipt,
    Revocations,
    Revoked,
    SnapshotPayload,
    Trust,
    attested,
)

#: How long a snapshot waits for its attestation before an alarm.
UNSIGNED_SECONDS = 30.0
#: What is looked at now and then: attestations that expire, silence, what waits.
CHORES_SECONDS = 1.0
#: What can wait leaves the processor to the couriers for so long.
COURTESY_SECONDS = 0.2
#: So many are kept: attestations of snapshots, snapshots without one, signatures without their snapshot.
KEPT_SIGNED = 64
KEPT_UNSIGNED = 64
KEPT_LONE = 1024


class Agent:
    """A market maker's agent.

    Args:
        config: what it is told.
        log: where it says what it does.

    Raises:
        InputError: files that the configuration names and that are not there or not right, or a journal in use.
    """

    def __init__(self, config: Config, log: Log) -> None:
        self.config, self.log = config, log
        self.journal = Journal(config.state)
        try:
            self._open()
        except BaseException:
            self.journal.close()
            raise

    def _open(self) -> None:
        config, journal, log = self.config, self.journal, self.log
        self.trust = None if config.trust.file is None else load(Trust, config.trust.file)
        lists = [load(Revocations, path) for path in config.trust.revocations]
        lists += [Revocations.parse(text, file="journal") for text in journal.kept("revocations")]
        lists.sort(key=lambda document: document.payload.sequence)
        self.revocations = {document.payload.issuer: document for document in lists}
        self.account = Account(config, journal, now_ms=clock_ms())
        self.alarms = Alarms(config.alarms, log, config.account)
        self.status = Status(config, journal, self.account, self.alarms)
        self.sources = Sources(config, journal, self.alarms)
        self._submission = Submission(
            config, journal, self.alarms, log, self.status, trust=self.trust, put=self.sources.put
        )
        self._recent = Recent()
        self._proving = Proving(
            config,
            journal,
            self.account,
            self.alarms,
            log,
            self.status,
            recent=self._recent,
            submission=self._submission,
        )
        self._signatures: dict[str, list[Item]] = {}
        self._signed: dict[str, Attestation] = {}
        self._unsigned: dict[str, Item] = {}
        self._waiting: list[Item] = []
        self._saved = b""
        self._last_chores = 0.0
        self._last_snapshot = time.monotonic()
        self._stale: str | None = None
        for holding in check_origin(config, journal):
            log.event("files-differ", holding=holding, message="the journal goes on with its own book and opening")

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load what every proof needs, take up what a crash left, and begin to listen."""
        self._begin()
        self._submission.get_ready()
        self.sources.start()
        self.log.event("started", account=self.config.account, holdings=self.account.numbers())

    def _begin(self) -> None:
        self._warm_up()
        self._submission.start()
        self._submission.hand_over_updates(self.account)

    def run(self, stop: threading.Event) -> None:
        """Until it is told to stop."""
        self.start()
        try:
            while not stop.is_set():
                self.turn(0.25)
        finally:
            self.close()

    def once(self, *, patience: float = 30.0) -> None:
        """Deal with what is there, and wait for the answers. It is to be closed then."""
        self._begin()
        self.sources.look()
        until = time.monotonic() + patience
        while self.turn(0.0) or (time.monotonic() < until and self._submission.waiting):
            time.sleep(0.01)
        self._chores(force=True)

    def close(self) -> None:
        """End every thread; what is not handed over is in the journal."""
        self.sources.stop()
        self._submission.stop()
        self.alarms.close()
        self.journal.close()
        self.log.event("stopped", account=self.config.account)

    def _warm_up(self) -> None:
        """Everything that no snapshot changes: setup, tables, kernels; and a proof that nobody gets."""
        begin = time.perf_counter()
        sizes = {opening.domain_size for h in self.config.holdings for opening in [self.account.documents(h.name)[1]]}
        for size in sizes:
            committer(embedded(), size)
        last = self._last_path()
        if last.exists():
            try:
                self._proving.warm_up(load(Snapshot, str(last)))
            except (ConstraintError, InputError) as error:  # of yesterday's market: nobody is to be alarmed
                self.log.event("warm-up-without-proof", reason=type(error).__name__)
        gc.collect()
        gc.freeze()
        self.log.event("warm", milliseconds=round(1000 * (time.perf_counter() - begin)))

    def _last_path(self) -> Path:
        return Path(self.config.state) / "last-snapshot.json"

    # --- turns ------------------------------------------------------------------------------------------------------

    def turn(self, timeout: float) -> bool:
        """Deal with what has arrived, waiting for it at most so many seconds. Whether anything had."""
        items = self.sources.take(timeout)
        for item in items:
            self._deal(item)
        if items:
            self._after()
        self._chores()
        return bool(items)

    def _deal(self, item: Item) -> None:
        deal: Callable[[Item], bool] | None = {
            "snapshot": self._snapshot,
            "attestation": self._attestation,
            "revocations": self._revocations,
            "receipt": self._receipt,
            "challenge": self._challenge,
            "fills": self._fills,
            "again": self._again,
        }.get(item.kind)
        if deal is None:
            error = InputError("is none of a snapshot, attestation, challenge, receipt or list of revocations")
            self.sources.unreadable(item, error)
            return
        try:
            done = deal(item)
        except InputError as error:
            self.sources.unreadable(item, error)
            return
        if done:
            self.sources.done(item)

    def _after(self) -> None:
        """What can wait until everybody has an answer; a venue that is slow is not waited for."""
        self._submission.hand_over_updates(self.account)
        self._submission.wait(COURTESY_SECONDS, unless=lambda: not self.sources.empty)
        self._submission.get_ready()
        self.sources.write_down(now_ms=clock_ms())
        self._proving.stand()
        newest = self._recent.newest
        if newest is not None and newest.digest() != self._saved:
            self._saved = newest.digest()
            write_atomic(self._last_path(), newest.to_bytes(), secret=True)
        self.account.forget(now_ms=clock_ms())
        gc.collect()

    def _chores(self, *, force: bool = False) -> None:
        if not force and time.monotonic() - self._last_chores < CHORES_SECONDS:
            return
        self._last_chores = time.monotonic()
        now = clock_ms()
        self.sources.report(force=force)
        for digest, item in list(self._unsigned.items()):
            if force or time.perf_counter() - item.clock > UNSIGNED_SECONDS:
                self.alarms.sound("untrusted", digest[:16], "nobody has signed this snapshot", snapshot=digest)
        self._give_up_waiting(now - self._max_age_ms)
        self._warn_of_expiry(now)
        self._let_challenges_pass(now)
        self._warn_of_silence()
        self._submission.get_ready(if_idle=True)
        self.journal.prune(now - 86_400_000 * self.config.keep_days)

    def _give_up_waiting(self, before_ms: int) -> None:
        """What waits for something that would be too old by now, and alarms about it."""
        for digest, item in list(self._unsigned.items()):
            if item.snapshot is None or parse_time(item.snapshot.time) < before_ms:
                del self._unsigned[digest]
                self.alarms.end("untrusted", digest[:16])
                self.sources.done(item)
        for digest, items in list(self._signatures.items()):
            if all(item.time_ms < before_ms for item in items):
                del self._signatures[digest]
                self._signed.pop(digest, None)
                for item in items:
                    self.sources.done(item)
        self.alarms.end_older("untrusted", before_ms)

    def _let_challenges_pass(self, now_ms: int) -> None:
        """Alarms about challenges that waited for a snapshot, or for more collateral, until they were over."""
        for item in list(self._waiting):
            challenge = item.challenge
            if challenge is not None and now_ms > parse_time(challenge.deadline):
                self._waiting.remove(item)
                self._passed(challenge)
                self.sources.done(item)

    def _passed(self, challenge: Challenge) -> None:
        self.log.event("challenge-passed", venue=challenge.audience, deadline=challenge.deadline)
        message = f"a challenge passed unanswered at {challenge.deadline}"
        self.alarms.sound("late", challenge.audience, message, venue=challenge.audience)

    def _warn_of_silence(self) -> None:
        """An alarm where no snapshot comes, or only such as are too old by this machine's clock."""
        given = self.config.alarms.silence_seconds
        silence = self.config.snapshots.max_age_seconds if given is None else given
        if self._stale is not None and self._current() is None:
            self.alarms.sound("silence", "snapshots", self._stale)
        elif silence and time.monotonic() - self._last_snapshot > silence:
            self.alarms.sound("silence", "snapshots", f"no snapshot for more than {silence} s")

    def _current(self) -> Snapshot | None:
        """The newest snapshot that counted since the start, while it is young enough to be proved."""
        newest = self._recent.newest
        return None if newest is None or self._age_ms(newest) > self._max_age_ms else newest

    @staticmethod
    def _age_ms(snapshot: Snapshot) -> int:
        return clock_ms() - parse_time(snapshot.time)

    @property
    def _max_age_ms(self) -> int:
        return 1000 * self.config.snapshots.max_age_seconds

    def _wait_for_signature(self, digest: str, item: Item) -> None:
        self._unsigned.pop(digest, None)
        self._unsigned[digest] = item
        if len(self._unsigned) > KEPT_UNSIGNED:
            oldest = next(iter(self._unsigned))
            del self._unsigned[oldest]
            self.alarms.end("untrusted", oldest[:16])
            self.log.event("unsigned-snapshot-dropped", snapshot=oldest)

    def _sign(self, digest: str, attestation: Attestation) -> None:
        self._signed.pop(digest, None)
        self._signed[digest] = attestation
        if len(self._signed) > KEPT_SIGNED:
            del self._signed[next(iter(self._signed))]

    def _wait_for_snapshot(self, digest: str, item: Item) -> None:
        self._signatures.setdefault(digest, []).append(item)
        if sum(map(len, self._signatures.values())) > KEPT_LONE:
            oldest = next(iter(self._signatures))
            del self._signatures[oldest]
            self.log.event("lone-signatures-dropped", snapshot=oldest)

    def _warn_of_expiry(self, now_ms: int) -> None:
        soon = {}
        for payload, left in self.account.expiring(now_ms=now_ms, within_seconds=self.config.alarms.expiry_seconds):
            subject = f"{payload.issuer}: {payload.role} {payload.part}"
            soon[subject] = left
            if left > 0:
                self.alarms.sound("expiring", subject, f"the attestation ends in {left} s: {payload.expires}")
            else:
                self.alarms.end("expiring", subject)
                self.alarms.sound("expired", subject, f"the attestation has ended: {payload.expires}")
        for alarm in self.alarms.active():
            if alarm.kind in ("expiring", "expired") and alarm.subject not in soon:
                self.alarms.end(alarm.kind, alarm.subject)

    # --- what arrives -----------------------------------------------------------------------------------------------

    def _snapshot(self, item: Item) -> bool:
        snapshot = item.snapshot or read(Snapshot, item.arrived)
        if item.snapshot is not None:
            snapshot.check_loaded()
        digest, now = snapshot.digest().hex(), clock_ms()
        age = self._age_ms(snapshot)
        if age > self._max_age_ms:
            self.log.event("stale-snapshot", snapshot=digest, snapshot_time=snapshot.time)
            self._stale = f"only snapshots that are too old come, one of {snapshot.time}: check the clocks"
            return True
        if age < -CLOCK_SKEW_MS:
            self.alarms.sound("untrusted", digest[:16], "a snapshot from the future: check the clocks", snapshot=digest)
            return True
        if item.attestation is not None:
            self._sign(digest, item.attestation)
        if self.trust is not None:
            if digest not in self._signed:
                waits = Item("snapshot", item.arrived, item.clock, item.time_ms, snapshot=snapshot)
                self._wait_for_signature(digest, waits)
                return False
            try:
                signed_snapshot(
                    snapshot, self._signed[digest], self.trust, now_ms=now, revocations=tuple(self.revocations.values())
                )
            except VerificationError as error:
                self.alarms.sound("untrusted", digest[:16], error.message, snapshot=digest)
                return True
        self._last_snapshot, self._stale = time.monotonic(), None
        self.alarms.end("silence", "snapshots")
        for signature in self._signatures.pop(digest, ()):
            self.sources.done(signature)
        self._prove_snapshot(snapshot, item)
        return True

    def _prove_snapshot(self, snapshot: Snapshot, item: Item) -> None:
        """Prove a snapshot that counts, to every venue that wants each one, and what waited for one."""
        fresh = self._recent.keep(snapshot, file=None if item.arrived is None else item.arrived.name)
        self._proving.answer_all(snapshot, item)
        self.log.event("snapshot", snapshot=snapshot.digest().hex(), snapshot_time=snapshot.time)
        if fresh:
            self._deal_with_waiting()

    def _deal_with_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for other in sorted(waiting, key=lambda one: one.order):
            self._deal(other)

    def _attestation(self, item: Item) -> bool:
        attestation = read(Attestation, item.arrived)
        if isinstance(attestation.payload, SnapshotPayload):
            digest = attestation.payload.snapshot
            before = self._signed.get(digest)
            self._sign(digest, attestation if before is None else _combined(before, attestation))
            if self._recent.get(digest) is not None:
                return True
            # not before its snapshot: after a crash both are read again
            self._wait_for_snapshot(digest, item)
            waiting = self._unsigned.pop(digest, None)
            if waiting is not None:
                self.alarms.end("untrusted", digest[:16])
                self._deal(waiting)
            return False
        subject = f"{attestation.payload.issuer}: {attestation.payload.role} {attestation.payload.part}"
        if not self._signed_by_who_counts(subject, lambda trust: self._check_part(trust, attestation)):
            return True
        from_venue = _venue_of(item)
        if from_venue is not None and self.trust is not None and not _speaks_of(self.trust, attestation):
            return True  # a venue could say anything; what is put into the inbox is the maker's own word
        if not self.account.attest(attestation):
            return True
        digest = attestation.payload_digest.hex()
        self.journal.keep("attestation", digest, attestation.to_bytes().decode(), now_ms=clock_ms())
        self.log.event("attested", issuer=attestation.payload.issuer, sequence=attestation.payload.sequence)
        self._submission.attest(attestation, but=from_venue)
        self._prove_again(item)
        return True

    def _signed_by_who_counts(self, subject: str, check: Callable[[Trust], object]) -> bool:
        """Whether the trust file lets something count; else an alarm says why. Without a trust file anyone may sign."""
        if self.trust is not None:
            try:
                check(self.trust)
            except VerificationError as error:
                self.alarms.sound("untrusted", subject, error.message)
                return False
            self.alarms.end("untrusted", subject)
        return True

    def _check_part(self, trust: Trust, attestation: Attestation) -> None:
        """Where the trust file speaks of such parts: a maker's may name oracles only. Raises VerificationError."""
        if _speaks_of(trust, attestation):
            attested(attestation, trust, Revoked.by(self.revocations.values()))

    def _prove_again(self, item: Item) -> None:
        """The newest snapshot once more, and what waits, where another generation of the account counts now."""
        current = self._current()
        if current is not None:
            self._proving.answer_all(current, item)
            self._deal_with_waiting()

    def _revocations(self, item: Item) -> bool:
        found = read(Revocations, item.arrived)
        subject = f"revocations by {found.payload.issuer}"
        if not self._signed_by_who_counts(subject, lambda trust: trust.revocation_quorum(found)):
            return True
        known = self.revocations.get(found.payload.issuer)
        if known is None or known.payload.sequence < found.payload.sequence:
            self.revocations[found.payload.issuer] = found
            digest = found.payload_digest.hex()
            self.journal.keep("revocations", digest, found.to_bytes().decode(), now_ms=clock_ms())
        return True

    def _receipt(self, item: Item) -> bool:
        receipt = read(Receipt, item.arrived)
        whose = [venue for venue in self.config.venues if venue.name == receipt.payload.verifier]
        for venue in whose or self.config.venues:
            made = self.journal.proof_of(venue.name, receipt.payload.statement)
            if made is None or made.state not in ("made", "delivered"):
                continue
            if self.trust is not None and self.trust.receipts:  # without rules, the inbox is the maker's own word
                try:
                    check_receipt(receipt, made.statement, venue.name, self.trust)
                except VerificationError as error:
                    self.alarms.sound("untrusted", f"receipt {made.statement[:16]}", error.message)
                    continue
            self._submission.settled(made, Verdict("accepted", receipt=receipt.to_bytes().decode()))
        return True

    def _challenge(self, item: Item) -> bool:
        challenge = item.challenge = item.challenge or read(Challenge, item.arrived)
        venue = next((venue for venue in self.config.venues if venue.name == challenge.audience), None)
        if venue is None or self.journal.answered(venue.name, challenge.digest().hex()):
            return True
        if clock_ms() > parse_time(challenge.deadline):
            self._passed(challenge)
            return True
        current = self._current()
        if current is not None and self._proving.answer(venue, current, item, challenge):
            return True
        self._waiting.append(item)  # the next snapshot, or more collateral, may be better
        return False

    def _fills(self, item: Item) -> bool:
        arrived = item.arrived
        if arrived is None:
            raise InputError("fills are files")
        holding = self.sources.holding(arrived.source)
        fills = read(Fills, arrived)
        if self.account.applied(holding.name, arrived.name, fills.digest().hex()):
            return True
        snapshot = self._recent.newest or self._recent.before  # any of them: only its slots are read
        if snapshot is None:
            self._waiting.append(item)
            return False
        generation = self.account.apply(holding.name, arrived.name, fills, snapshot, now_ms=clock_ms())
        self.log.event("fills-applied", holding=holding.name, generation=generation.number, file=arrived.name)
        self.status.saw(snapshot, self.account.newest(snapshot))
        self._prove_again(item)
        return True

    def _again(self, item: Item) -> bool:
        made = item.again
        venue = next((one for one in self.config.venues if made is not None and one.name == made.venue), None)
        snapshot = self._recent.get(made.snapshot) if made is not None else None
        if made is None or venue is None:
            return True
        if snapshot is not None and self._age_ms(snapshot) <= self._max_age_ms:
            self._proving.answer(venue, snapshot, item)
        else:  # of before a restart, say
            message = f"a proof could not be handed over in time: {made.reason or 'its challenge had passed'}"
            self.alarms.sound("late", venue.name, message, venue=venue.name, snapshot=made.snapshot)
        return True


def _combined(before: Attestation, more: Attestation) -> Attestation:
    try:
        return before.combined(more)
    except InputError:  # another number of the same snapshot: the later one
        return more


def _speaks_of(trust: Trust, attestation: Attestation) -> bool:
    """Whether a trust file says whose word counts for such a thing."""
    payload = attestation.payload
    if isinstance(payload, SnapshotPayload):
        return True
    return bool(trust.positions if payload.role == "positions" else trust.collateral)


def _venue_of(item: Item) -> str | None:
    """The venue that something came from over the network; None for a file."""
    source = "" if item.arrived is None else item.arrived.source
    return source.removeprefix(VENUE) if source.startswith(VENUE) else None
