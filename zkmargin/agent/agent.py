"""The agent: takes what arrives, proves what is true, hands it over, and says what is wrong.

One thread does everything that touches a book. Others only bring things (folders, a venue's feed) or take public ones
away (couriers, alarms). A turn takes all that has arrived: attestations and receipts first, then fills, then
challenges, then snapshots, the newest first.
"""

from __future__ import annotations

import gc
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zkmargin.accounts import Commitment
from zkmargin.agent.account import Account, Chosen, check_origin
from zkmargin.agent.alarms import Alarms, Log
from zkmargin.agent.config import Config, Holding
from zkmargin.agent.config import Venue as VenueConfig
from zkmargin.agent.couriers import Courier
from zkmargin.agent.inbox import Arrived, Folder, Source, Watcher, check_loaded, read
from zkmargin.agent.journal import Journal, Made
from zkmargin.agent.status import Status
from zkmargin.agent.venues import FolderVenue, UnreachableError, Venue, Verdict, submission_text
from zkmargin.app.attesting import signed_snapshot
from zkmargin.app.files import load
from zkmargin.app.proving import make_proof
from zkmargin.app.verifying import CLOCK_SKEW_MS, clock_ms
from zkmargin.crypto.srs import embedded
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units, parse_time, to_units
from zkmargin.engine.fills import Fills
from zkmargin.engine.margin import claim_slack, equity, limit_slack, margin_report, requirement_total
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError, VerificationError, ZkMarginError, write_atomic
from zkmargin.prover.commit import committer
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Revocations, SnapshotPayload, Trust
from zkmargin.verifier.transcript import MarginTranscript

INBOX = "inbox"
#: A file that cannot be read may still be written: it is reported when it has not changed for so long.
SETTLING_SECONDS = 2.0
#: How long a snapshot waits for its attestation before an alarm.
UNSIGNED_SECONDS = 30.0
#: What is looked at now and then: attestations that expire, silence, what waits.
CHORES_SECONDS = 1.0
#: What can wait leaves the processor to the couriers for so long.
COURTESY_SECONDS = 0.2
#: Snapshots that are kept, to be proved again where a challenge passed before a proof could be handed over.
KEPT_SNAPSHOTS = 4
_UNATTESTED = "a holding's commitment is attested by nobody, or its attestation has ended"
_FORMAT = re.compile(rb'"format"\s*:\s*"zkmargin/([a-z-]+)/v[0-9]+"')
_ORDER = {"attestation": 0, "revocations": 0, "receipt": 0, "fills": 1, "again": 2, "challenge": 2, "snapshot": 3}


@dataclass(repr=False)
class Item:
    """Something to deal with: its kind, and the document where it was read already."""

    kind: str
    arrived: Arrived | None
    clock: float
    time_ms: int
    snapshot: Snapshot | None = None
    attestation: Attestation | None = None
    again: Made | None = None


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
        config = self.config
        self.trust = None if config.trust.file is None else load(Trust, config.trust.file)
        lists = [load(Revocations, path) for path in config.trust.revocations]
        lists += [Revocations.parse(text, file="journal") for text in self.journal.kept("revocations")]
        lists.sort(key=lambda document: document.payload.sequence)
        self.revocations = {document.payload.issuer: document for document in lists}
        self.account = Account(config, self.journal, now_ms=clock_ms())
        self.alarms = Alarms(config.alarms, self.log, config.account)
        self.status = Status(config, self.journal, self.account, self.alarms)
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._snapshots: dict[str, Snapshot] = {}
        self._to_mark: list[Arrived] = []
        self._files: dict[bytes, str] = {}
        self._signatures: dict[str, list[Item]] = {}
        self._signed: dict[str, Attestation] = {}
        self._unsigned: dict[str, Item] = {}
        self._bad: dict[tuple[str, str], tuple[float, Arrived, str]] = {}
        self._waiting: list[Item] = []
        self._standing: list[tuple[Snapshot, Chosen, bool]] = []
        self._saved = b""
        self._last_chores = 0.0
        self._last_snapshot = time.monotonic()
        self._couriers = {venue.name: self._courier(venue) for venue in config.venues}
        self._watcher = Watcher(self._folders(), self._arrive, config.snapshots.poll_ms / 1000)
        self._feed = self._open_feed()
        for holding in check_origin(config, self.journal):
            self.log.event("files-differ", holding=holding, message="the journal goes on with its own book and opening")

    def _folders(self) -> list[Folder]:
        folders = []
        if self.config.snapshots.folder is not None:
            folders.append(Folder(INBOX, self.config.snapshots.folder, self.journal.files_done(INBOX)))
        for holding in self.config.holdings:
            if holding.fills is not None:
                source = f"fills {holding.name}"
                folders.append(Folder(source, holding.fills, self.journal.files_done(source)))
        return folders

    def _venue(self, venue: VenueConfig) -> Venue:
        if venue.folder is not None:
            return FolderVenue(venue)
        from zkmargin.agent.served import ServiceVenue  # noqa: PLC0415 - needs the extra `client`

        return ServiceVenue(venue, self.config.account)

    def _courier(self, venue: VenueConfig) -> Courier:
        return Courier(
            venue.name,
            self._venue(venue),
            self.config.retry,
            settled=self._settled,
            failed=lambda made, attempts, reason: self._failed(venue.name, made, attempts, reason),
            through=lambda: self.alarms.end("unreachable", venue.name),
        )

    def _open_feed(self) -> Source | None:
        name = self.config.snapshots.venue
        if name is None:
            return None
        from zkmargin.agent.served import Feed, PublishedSnapshot  # noqa: PLC0415 - needs the extra `client`

        def take(found: PublishedSnapshot) -> None:
            self._queue.put(
                Item(
                    "snapshot", None, found.clock, found.time_ms, snapshot=found.snapshot, attestation=found.attestation
                )
            )

        def trouble(reason: str | None) -> None:
            if reason is None:
                self.alarms.end("unreachable", f"{name} snapshots")
            else:
                self.alarms.sound("unreachable", f"{name} snapshots", reason, venue=name)

        venue = next(venue for venue in self.config.venues if venue.name == name)
        return Feed(
            venue,
            self.config.snapshots.series,
            take,
            trouble,
            max_age_seconds=self.config.snapshots.max_age_seconds,
        )

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load what every proof needs, take up what a crash left, and begin to listen."""
        self._begin()
        self._get_ready()
        self._watcher.start()
        if self._feed is not None:
            self._feed.start()
        self.log.event("started", account=self.config.account, holdings=self.account.numbers())

    def _begin(self) -> None:
        self._warm_up()
        for courier in self._couriers.values():
            courier.start()
        for made in self.journal.open_proofs():
            if made.state == "made" and made.venue in self._couriers:
                self._couriers[made.venue].take(made)
        self._hand_over_updates()

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
        self._watcher.look()
        if self._feed is not None:
            try:
                self._feed.look()
            except ZkMarginError as error:
                self.alarms.sound("unreachable", "snapshots", error.message)
        until = time.monotonic() + patience
        while self.turn(0.0) or (time.monotonic() < until and any(c.waiting for c in self._couriers.values())):
            time.sleep(0.01)
        self._chores(force=True)

    def close(self) -> None:
        """End every thread; what is not handed over is in the journal."""
        self._watcher.stop()
        if self._feed is not None:
            self._feed.stop()
        for courier in self._couriers.values():
            courier.stop()
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
                snapshot = load(Snapshot, str(last))
                chosen = self.account.newest(snapshot)
                self._remember(snapshot, chosen)
                for venue in self.config.venues[:1]:
                    statement = self._statement(venue, snapshot, chosen, b"warm-up")
                    make_proof(statement, chosen.lots, chosen.openings, threads=self.config.threads)
            except (ConstraintError, InputError) as error:  # of yesterday's market: nobody is to be alarmed
                self.log.event("warm-up-without-proof", reason=type(error).__name__)
        gc.collect()
        gc.freeze()
        self.log.event("warm", milliseconds=round(1000 * (time.perf_counter() - begin)))

    def _last_path(self) -> Path:
        return Path(self.config.state) / "last-snapshot.json"

    # --- turns ------------------------------------------------------------------------------------------------------

    def _arrive(self, arrived: Arrived) -> None:
        if arrived.source != INBOX:
            kind = "fills"
        else:
            found = _FORMAT.search(arrived.data[: 1 << 16])
            kind = found[1].decode() if found else "unknown"
        self._queue.put(Item(kind, arrived, arrived.clock, arrived.time_ms))

    def turn(self, timeout: float) -> bool:
        """Deal with what has arrived, waiting for it at most so many seconds. Whether anything had."""
        items = []
        try:
            items.append(self._queue.get(timeout=timeout) if timeout else self._queue.get_nowait())
            while True:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        # the newest snapshot first, everything else in the order of its arrival
        order = sorted(enumerate(items), key=lambda entry: (_ORDER.get(entry[1].kind, 0), _place(*entry)))
        for _, item in order:
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
            self._unreadable(item, error)
            return
        try:
            done = deal(item)
        except InputError as error:
            self._unreadable(item, error)
            return
        if done:
            self._done(item)

    def _done(self, item: Item) -> None:
        """A file was dealt with, and is not read again. Written down when everybody has an answer."""
        arrived = item.arrived
        if arrived is not None:
            self._bad.pop((arrived.source, arrived.name), None)
            self.alarms.end("file", f"{arrived.source}: {arrived.name}")
            self._to_mark.append(arrived)

    def _unreadable(self, item: Item, error: InputError) -> None:
        if item.arrived is None:
            self.alarms.sound("file", "snapshots", error.message)
        else:
            self._bad[item.arrived.source, item.arrived.name] = (time.monotonic(), item.arrived, error.message)

    def _after(self) -> None:
        """What can wait until everybody has an answer; a venue that is slow is not waited for."""
        self._hand_over_updates()
        until = time.perf_counter() + COURTESY_SECONDS
        while self._queue.empty() and time.perf_counter() < until and any(c.waiting for c in self._couriers.values()):
            time.sleep(0.001)
        self._get_ready()
        marks, self._to_mark = self._to_mark, []
        self.journal.files_are_done([(one.source, one.name, one.mark) for one in marks], now_ms=clock_ms())
        standing, self._standing = self._standing, []
        for snapshot, chosen, latest in standing:
            self._stand(snapshot, chosen, latest=latest)
        if self._newest is not None and self._newest.digest() != self._saved:
            self._saved = self._newest.digest()
            write_atomic(self._last_path(), self._newest.to_bytes(), secret=True)
        self.account.forget(now_ms=clock_ms())
        gc.collect()

    def _get_ready(self) -> None:
        for courier in self._couriers.values():
            courier.errand(courier.venue.ready)

    def _chores(self, *, force: bool = False) -> None:
        if not force and time.monotonic() - self._last_chores < CHORES_SECONDS:
            return
        self._last_chores = time.monotonic()
        now = clock_ms()
        for place, (since, arrived, message) in list(self._bad.items()):
            if force or time.monotonic() - since > SETTLING_SECONDS:
                self.alarms.sound("file", f"{arrived.source}: {arrived.name}", message)
                del self._bad[place]
        for digest, item in list(self._unsigned.items()):
            if force or time.perf_counter() - item.clock > UNSIGNED_SECONDS:
                self.alarms.sound("untrusted", digest[:16], "nobody has signed this snapshot", snapshot=digest)
        self._warn_of_expiry(now)
        silence = self.config.alarms.silence_seconds
        if silence and time.monotonic() - self._last_snapshot > silence:
            self.alarms.sound("silence", "snapshots", f"no snapshot for more than {silence} s")
        self._get_ready_if_idle()
        self.journal.prune(now - 86_400_000 * self.config.keep_days)

    def _get_ready_if_idle(self) -> None:
        for courier in self._couriers.values():
            if not courier.waiting:
                courier.errand(courier.venue.ready)

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
            check_loaded(snapshot)
        digest, now = snapshot.digest().hex(), clock_ms()
        age = now - parse_time(snapshot.time)
        if age > 1000 * self.config.snapshots.max_age_seconds:
            self.log.event("stale-snapshot", snapshot=digest, snapshot_time=snapshot.time)
            return True
        if age < -CLOCK_SKEW_MS:
            self.alarms.sound("untrusted", digest[:16], "a snapshot from the future: check the clocks", snapshot=digest)
            return True
        if item.attestation is not None:
            self._signed[digest] = item.attestation
        if self.trust is not None:
            if digest not in self._signed:
                self._unsigned[digest] = Item("snapshot", item.arrived, item.clock, item.time_ms, snapshot=snapshot)
                return False
            try:
                signed_snapshot(
                    snapshot, self._signed[digest], self.trust, now_ms=now, revocations=tuple(self.revocations.values())
                )
            except VerificationError as error:
                self.alarms.sound("untrusted", digest[:16], error.message, snapshot=digest)
                return True
        self._last_snapshot = time.monotonic()
        self.alarms.end("silence", "snapshots")
        for signature in self._signatures.pop(digest, ()):
            self._done(signature)
        if item.arrived is not None:
            self._files = dict([*self._files.items(), (snapshot.digest(), item.arrived.name)][-64:])
        self._prove_snapshot(snapshot, item)
        return True

    def _prove_snapshot(self, snapshot: Snapshot, item: Item) -> None:
        """Prove a snapshot that counts, to every venue that wants each one, and what waited for one."""
        fresh = self._keep_snapshot(snapshot)
        for venue in self.config.venues:
            if venue.every_snapshot:
                self._answer(venue, snapshot, item)
        self.log.event("snapshot", snapshot=snapshot.digest().hex(), snapshot_time=snapshot.time)
        if fresh:
            waiting, self._waiting = self._waiting, []
            for other in sorted(waiting, key=lambda one: _ORDER.get(one.kind, 0)):
                self._deal(other)

    def _keep_snapshot(self, snapshot: Snapshot) -> bool:
        """Remember a snapshot; whether it is the newest."""
        known = list(self._snapshots.values())
        newest = all(parse_time(snapshot.time) >= parse_time(one.time) for one in known)
        digest = snapshot.digest().hex()
        if newest:
            self._snapshots[digest] = self._snapshots.pop(digest, snapshot)
        else:
            self._snapshots = {digest: snapshot, **self._snapshots}
        self._snapshots = dict(list(self._snapshots.items())[-KEPT_SNAPSHOTS:])
        return newest

    @property
    def _newest(self) -> Snapshot | None:
        return next(reversed(self._snapshots.values()), None)

    def _remember(self, snapshot: Snapshot, chosen: Chosen) -> None:
        self._snapshots[snapshot.digest().hex()] = snapshot
        self.status.saw(snapshot, chosen)

    def _attestation(self, item: Item) -> bool:
        attestation = read(Attestation, item.arrived)
        if isinstance(attestation.payload, SnapshotPayload):
            digest = attestation.payload.snapshot
            before = self._signed.get(digest)
            self._signed[digest] = attestation if before is None else _combined(before, attestation)
            self._signed = dict(list(self._signed.items())[-64:])
            if digest in self._snapshots:
                return True
            # not before its snapshot: after a crash both are read again
            self._signatures.setdefault(digest, []).append(item)
            waiting = self._unsigned.pop(digest, None)
            if waiting is not None:
                self.alarms.end("untrusted", digest[:16])
                self._deal(waiting)
            return False
        if not self.account.attest(attestation):
            return True
        digest = attestation.payload_digest.hex()
        self.journal.keep("attestation", digest, attestation.to_bytes().decode(), now_ms=clock_ms())
        self.log.event("attested", issuer=attestation.payload.issuer, sequence=attestation.payload.sequence)
        for courier in self._couriers.values():
            courier.errand(lambda venue=courier.venue: venue.attest(attestation))  # type: ignore[misc]
        self._prove_again(item)
        return True

    def _prove_again(self, item: Item) -> None:
        """The newest snapshot once more, where another generation of the account counts now."""
        if self._newest is not None:
            for venue in self.config.venues:
                if venue.every_snapshot:
                    self._answer(venue, self._newest, item)

    def _revocations(self, item: Item) -> bool:
        found = read(Revocations, item.arrived)
        known = self.revocations.get(found.payload.issuer)
        if known is None or known.payload.sequence < found.payload.sequence:
            self.revocations[found.payload.issuer] = found
            digest = found.payload_digest.hex()
            self.journal.keep("revocations", digest, found.to_bytes().decode(), now_ms=clock_ms())
        return True

    def _receipt(self, item: Item) -> bool:
        receipt = read(Receipt, item.arrived)
        for venue in self.config.venues:
            made = self.journal.proof_of(venue.name, receipt.payload.statement)
            if made is None or made.state not in ("made", "delivered"):
                continue
            if self.trust is not None and self.trust.receipts:
                try:
                    self.trust.receipt_quorum(receipt)
                except VerificationError as error:
                    self.alarms.sound("untrusted", f"receipt {receipt.payload.statement[:16]}", error.message)
                    continue
            self._settled(made, Verdict("accepted", receipt=receipt.to_bytes().decode()))
        return True

    def _challenge(self, item: Item) -> bool:
        challenge = read(Challenge, item.arrived)
        venue = next((venue for venue in self.config.venues if venue.name == challenge.audience), None)
        if venue is None or self.journal.answered(venue.name, challenge.digest().hex()):
            return True
        if clock_ms() > parse_time(challenge.deadline):
            self.log.event("challenge-passed", venue=venue.name, deadline=challenge.deadline)
            return True
        if self._newest is None:
            self._waiting.append(item)
            return False
        if self._answer(venue, self._newest, item, challenge):
            return True
        self._waiting.append(item)  # the next snapshot, or more collateral, may be better
        return False

    def _fills(self, item: Item) -> bool:
        arrived = item.arrived
        if arrived is None:
            raise InputError("fills are files")
        holding = self._holding(arrived.source)
        fills = read(Fills, arrived)
        if self.account.applied(holding.name, arrived.name, fills.digest().hex()):
            return True
        snapshot = self._newest
        if snapshot is None:
            self._waiting.append(item)
            return False
        generation = self.account.apply(holding.name, arrived.name, fills, snapshot, now_ms=clock_ms())
        self.log.event("fills-applied", holding=holding.name, generation=generation.number, file=arrived.name)
        self.status.saw(snapshot, self.account.newest(snapshot))
        self._prove_again(item)
        return True

    def _holding(self, source: str) -> Holding:
        return next(holding for holding in self.config.holdings if source == f"fills {holding.name}")

    def _again(self, item: Item) -> bool:
        made = item.again
        venue = next((one for one in self.config.venues if made is not None and one.name == made.venue), None)
        snapshot = self._snapshots.get(made.snapshot) if made is not None else None
        if made is None or venue is None or snapshot is None:
            return True
        if clock_ms() - parse_time(snapshot.time) <= 1000 * self.config.snapshots.max_age_seconds:
            self._answer(venue, snapshot, item)
        return True

    def _hand_over_updates(self) -> None:
        """Write updates where who attests finds them; the journal says which were."""
        for generation in self.account.undelivered():
            holding = next(h for h in self.config.holdings if h.name == generation.holding)
            if holding.updates is None or generation.update is None:
                continue
            path = Path(holding.updates) / f"update-{generation.number:06d}.json"
            try:
                write_atomic(path, generation.update.encode(), secret=True)
            except InputError as error:
                self.alarms.sound("unreachable", f"updates of {holding.name}", error.message)
                return
            self.alarms.end("unreachable", f"updates of {holding.name}")
            self.journal.delivered(holding.name, generation.number)

    # --- proofs -----------------------------------------------------------------------------------------------------

    def _statement(self, venue: VenueConfig, snapshot: Snapshot, chosen: Chosen, context: bytes) -> Statement:
        commitments: tuple[Commitment, ...] = chosen.commitments
        return Statement.of(snapshot, commitments, venue.parsed_claim, context=context, limits=venue.parsed_limits)

    def _answer(self, venue: VenueConfig, snapshot: Snapshot, item: Item, challenge: Challenge | None = None) -> bool:
        """Prove to one venue, or say why not. Whether the question is settled."""
        newest = self.account.newest(snapshot)
        chosen = self.account.provable(snapshot, now_ms=clock_ms())
        latest = self._newest is None or self._newest.digest() == snapshot.digest()
        if chosen is None:
            self.alarms.sound("unattested", venue.name, _UNATTESTED, venue=venue.name)
            return False
        self.alarms.end("unattested", venue.name)
        if challenge is None and item.again is None and self._proved(venue, snapshot, chosen):
            return True
        if not latest and self.journal.was_unhealthy(venue.name, snapshot.digest().hex()):
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
            self.alarms.sound("unreachable", venue.name, error.message, venue=venue.name)
            self._later(venue, snapshot, item)
            return False
        if latest:
            self.alarms.end("unhealthy", venue.name)
        self._standing.append((snapshot, newest, latest))
        return True

    def _later(self, venue: VenueConfig, snapshot: Snapshot, item: Item) -> None:
        """Ask a venue that could not be reached again, while the snapshot counts."""
        courier = self._couriers[venue.name]

        def ask() -> None:
            courier.venue.ready()
            self._queue.put(Item("snapshot", None, item.clock, item.time_ms, snapshot=snapshot))

        courier.errand(ask)

    def _proved(self, venue: VenueConfig, snapshot: Snapshot, chosen: Chosen) -> bool:
        return self.journal.proved(venue.name, snapshot.digest().hex(), chosen.label)

    def _prove(
        self, venue: VenueConfig, snapshot: Snapshot, chosen: Chosen, item: Item, challenge: Challenge | None
    ) -> None:
        courier = self._couriers[venue.name]
        answered = challenge or courier.venue.challenge()
        context = venue.context.encode() if answered is None else answered.context
        statement = self._statement(venue, snapshot, chosen, context)
        made = make_proof(statement, chosen.lots, chosen.openings, threads=self.config.threads)
        row = self.journal.proof_made(
            venue=venue.name,
            statement=MarginTranscript(statement).statement_digest.hex(),
            snapshot=snapshot.digest().hex(),
            snapshot_time=parse_time(snapshot.time),
            challenge=None if answered is None else answered.digest().hex(),
            generations=chosen.label,
            submission=submission_text(statement, challenge=answered, snapshot_file=self._files.get(snapshot.digest())),
            proof=made.proof,
            arrived=item.time_ms,
            now_ms=clock_ms(),
        )
        courier.take(row)
        self.log.event(
            "proved",
            venue=venue.name,
            snapshot=row.snapshot,
            statement=row.statement,
            milliseconds=round(1000 * (time.perf_counter() - item.clock), 1),
        )

    def _unhealthy(self, venue: VenueConfig, snapshot: Snapshot, newest: Chosen, error: ConstraintError) -> None:
        self.journal.judged_unhealthy(venue.name, snapshot.digest().hex(), now_ms=clock_ms())
        report = margin_report(snapshot, newest.lots, venue.requirement)
        binds = [
            {"group": group.group, "by": group.label, "charge": _money(group.charge)}
            for group in report.groups
            if group.charge
        ]
        binds += [{"group": "", "by": a.component, "charge": _money(a.amount)} for a in report.additions if a.amount]
        self.alarms.sound(
            "unhealthy",
            venue.name,
            error.message,
            venue=venue.name,
            snapshot=snapshot.digest().hex(),
            snapshot_time=snapshot.time,
            rule=error.rule,
            shortfall=None if error.shortfall is None else _money(error.shortfall),
            equity=_money(report.equity.total),
            requirement=_money(report.total),
            binds=binds,
        )

    def _stand(self, snapshot: Snapshot, chosen: Chosen, *, latest: bool) -> None:
        """Where the account stands at a snapshot: for the page, the course of the headroom, and its alarm."""
        worth = equity(snapshot, chosen.lots).total
        needed = {name: requirement_total(snapshot, chosen.lots, name) for name in ("initial", "maintenance")}
        digest = snapshot.digest().hex()
        self.journal.add_headroom(parse_time(snapshot.time), digest, worth, needed["initial"], needed["maintenance"])
        if not latest:
            return
        self.status.saw(snapshot, chosen)
        least = self.config.alarms.headroom
        if least is not None:
            left = worth - needed["initial"]
            if left < to_units(least, VALUATION_DECIMALS):
                message = f"equity less initial requirement is {_money(left)} {snapshot.quote}, below {least}"
                self.alarms.sound("headroom", "account", message, snapshot=digest, headroom=_money(left))
            else:
                self.alarms.end("headroom", "account")

    # --- what became of them (couriers' threads) ----------------------------------------------------------------------

    def _settled(self, made: Made, verdict: Verdict) -> None:
        now = clock_ms()
        self.journal.settle(made.id, verdict.state, now_ms=now, reason=verdict.reason, receipt=verdict.receipt)
        seconds = (now - made.arrived) / 1000
        facts = {"venue": made.venue, "snapshot": made.snapshot, "statement": made.statement}
        self.log.event(verdict.state, **facts, reason=verdict.reason, milliseconds=round(1000 * seconds))
        if verdict.state == "refused":
            if verdict.again:
                self._queue.put(Item("again", None, time.perf_counter(), made.arrived, again=made))
            else:
                self.alarms.sound("refused", made.venue, f"refused: {verdict.reason}", **facts)
        else:
            self.status.settled(made.venue, seconds)
            self.alarms.end("refused", made.venue)
            self.alarms.end("late", made.venue)

    def _failed(self, venue: str, made: Made | None, attempts: int, reason: str) -> bool:
        """An attempt did not get through; whether to try again."""
        self.log.event("retry", venue=venue, attempts=attempts, reason=reason)
        self.alarms.sound("unreachable", venue, reason, venue=venue)
        if made is None:
            return True
        self.journal.attempted(made.id)
        if clock_ms() - made.snapshot_time <= 1000 * self.config.snapshots.max_age_seconds:
            return True
        self.journal.settle(made.id, "late", now_ms=clock_ms(), reason=reason)
        self.alarms.sound("late", venue, f"a proof could not be handed over in time: {reason}", venue=venue)
        return False


def _place(number: int, item: Item) -> int:
    return -number if item.kind == "snapshot" else number


def _money(amount: int) -> str:
    return from_units(amount, VALUATION_DECIMALS)


def _combined(before: Attestation, more: Attestation) -> Attestation:
    try:
        return before.combined(more)
    except InputError:  # another number of the same snapshot: the later one
        return more


def refuse_if_false(venue: VenueConfig, snapshot: Snapshot, chosen: Chosen) -> None:
    """Raises ConstraintError: the claim or a limit does not hold for the newest book, whatever an older one proves."""
    claim = venue.parsed_claim
    slack = claim_slack(snapshot, chosen.lots, claim)
    if slack < 0:
        missing = -(slack // claim.den)
        raise ConstraintError(
            f"the claim is false for the book after the newest fills: short by {_money(missing)} {snapshot.quote}",
            rule="claim",
            shortfall=missing,
        )
    for limit in venue.parsed_limits:
        outside = -limit_slack(limit, snapshot, chosen.lots, claim.requirement)
        if outside > 0:
            raise ConstraintError(
                f"the limit is not kept after the newest fills: {limit}", rule=limit.kind, shortfall=outside
            )
