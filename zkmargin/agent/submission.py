"""Proofs, attestations and updates on their way out, and what became of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from zkmargin.agent.account import Account
from zkmargin.agent.alarms import Alarms, Log
from zkmargin.agent.config import Config
from zkmargin.agent.config import Venue as VenueConfig
from zkmargin.agent.couriers import Courier
from zkmargin.agent.journal import Journal, Made
from zkmargin.agent.sources import Item
from zkmargin.agent.status import Status
from zkmargin.agent.venues import FolderVenue, UnreachableError, UntrustedError, Venue, Verdict
from zkmargin.app.verifying import clock_ms
from zkmargin.formats import InputError, ZkMarginError, write_atomic
from zkmargin.verifier.attest import Attestation, Challenge, Trust

#: The errand of getting ready for the next proof.
READY = "ready"
#: So many snapshots wait for a venue that cannot be reached.
KEPT_ASKING = 256


class Submission:
    """One courier a venue. What they report comes in their threads, and touches no book.

    Args:
        config, journal, alarms, log, status: the agent's.
        trust: whose receipts count.
        put: takes what is to be done again.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        alarms: Alarms,
        log: Log,
        status: Status,
        *,
        trust: Trust | None,
        put: Callable[[Item], None],
    ) -> None:
        self._config, self._journal, self._alarms, self._log, self._status = config, journal, alarms, log, status
        self._put, self._trust = put, trust
        self._couriers = {venue.name: self._courier(venue) for venue in config.venues}
        self._asking: dict[str, dict[tuple[str, str], Item]] = {venue.name: {} for venue in config.venues}
        self._lock = threading.Lock()

    def _courier(self, venue: VenueConfig) -> Courier:
        return Courier(
            venue.name,
            self._venue(venue),
            self._config.retry,
            settled=self.settled,
            failed=lambda made, attempts, error: self._failed(venue.name, made, attempts, error),
            through=lambda: self._alarms.end("unreachable", venue.name),
        )

    def _venue(self, venue: VenueConfig) -> Venue:
        if venue.folder is not None:
            return FolderVenue(venue)
        from zkmargin.agent.served import ServiceVenue  # noqa: PLC0415 - needs the extra `client`

        return ServiceVenue(venue, self._config.account, self._trust)

    def start(self) -> None:
        """Begin, with what the journal has that was not taken."""
        for courier in self._couriers.values():
            courier.start()
        for made in self._journal.open_proofs():
            if made.state == "made" and made.venue in self._couriers:
                self._couriers[made.venue].take(made)

    def stop(self) -> None:
        """End the threads; what is not through is in the journal."""
        for courier in self._couriers.values():
            courier.stop()

    # --- what goes out ----------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether something is not through."""
        return any(courier.waiting for courier in self._couriers.values())

    def challenge(self, venue: str) -> Challenge | None:
        """What the next proof for a venue answers; it takes no time. Raises UnreachableError."""
        try:
            return self._couriers[venue].venue.challenge()
        except UnreachableError:
            raise
        except Exception as error:
            # whatever a venue answers, the agent goes on
            raise UnreachableError(f"an unexpected {type(error).__name__}") from error

    def take(self, made: Made) -> None:
        """Hand over a proof that the journal has."""
        self._couriers[made.venue].take(made)

    def attest(self, attestation: Attestation, *, but: str | None = None) -> None:
        """Hand a new attestation of a part to every venue but the one that it came from; the newest of each part."""
        for name, courier in self._couriers.items():
            if name == but:
                continue
            courier.errand(
                lambda venue=courier.venue: venue.attest(attestation),  # type: ignore[misc]
                key=attestation.payload.stream,
            )

    def get_ready(self, *, if_idle: bool = False) -> None:
        """Have every venue get ready for the next proof."""
        for name, courier in self._couriers.items():
            if not (if_idle and courier.waiting):
                courier.errand(partial(self._ready, name), key=READY)

    def when_ready(self, venue: str, item: Item) -> None:
        """Deal with a snapshot once a venue can be reached: the last so many of them, each once."""
        with self._lock:
            asking = self._asking[venue]
            key = _asked_of(item)
            asking.pop(key, None)
            asking[key] = item
            dropped = asking.pop(next(iter(asking))) if len(asking) > KEPT_ASKING else None
        if dropped is not None:
            self._log.event("snapshot-dropped", venue=venue, snapshot=_asked_of(dropped)[1], waiting=KEPT_ASKING)
        self._couriers[venue].errand(partial(self._ready, venue), key=READY, now=True)

    def asking(self, venue: str) -> int:
        """How many snapshots wait until a venue can be reached."""
        with self._lock:
            return len(self._asking[venue])

    def _ready(self, venue: str) -> None:
        self._couriers[venue].venue.ready()
        with self._lock:
            items, self._asking[venue] = self._asking[venue], {}
        for item in items.values():
            self._put(item)

    def wait(self, seconds: float, *, unless: Callable[[], bool]) -> None:
        """Leave the processor to the couriers until all is through, for so long at most."""
        until = time.perf_counter() + seconds
        while not unless() and time.perf_counter() < until and self.waiting:
            time.sleep(0.001)

    def hand_over_updates(self, account: Account) -> None:
        """Write updates where who attests finds them; the journal says which were."""
        for generation in account.undelivered():
            holding = next(h for h in self._config.holdings if h.name == generation.holding)
            if holding.updates is None or generation.update is None:
                continue
            path = Path(holding.updates) / f"update-{generation.number:06d}.json"
            try:
                write_atomic(path, generation.update.encode(), secret=True)
            except InputError as error:
                self._alarms.sound("unreachable", f"updates of {holding.name}", error.message)
                return
            self._alarms.end("unreachable", f"updates of {holding.name}")
            self._journal.delivered(holding.name, generation.number)

    # --- what became of it (couriers' threads) ------------------------------------------------------------------------

    def settled(self, made: Made, verdict: Verdict) -> None:
        """A venue has answered."""
        now = clock_ms()
        self._journal.settle(made.id, verdict.state, now_ms=now, reason=verdict.reason, receipt=verdict.receipt)
        seconds = (now - made.arrived) / 1000
        facts = {"venue": made.venue, "snapshot": made.snapshot, "statement": made.statement}
        self._log.event(verdict.state, **facts, reason=verdict.reason, milliseconds=round(1000 * seconds))
        if verdict.state != "refused":
            self._status.settled(made.venue, seconds)
            self._alarms.end("refused", made.venue)
            self._alarms.end("late", made.venue)
            self._alarms.end("untrusted", _receipt_of(made))
        elif verdict.again:
            self._put(Item("again", None, time.perf_counter(), made.arrived, again=made))
        else:
            self._alarms.sound("refused", made.venue, f"refused: {verdict.reason}", **facts)

    def _failed(self, venue: str, made: Made | None, attempts: int, error: ZkMarginError) -> bool:
        """An attempt did not get through; whether to try again."""
        reason = error.message
        self._log.event("retry", venue=venue, attempts=attempts, reason=reason)
        if made is not None and isinstance(error, UntrustedError):
            self._alarms.end("unreachable", venue)
            self._alarms.sound("untrusted", _receipt_of(made), reason, venue=venue, snapshot=made.snapshot)
        else:
            self._alarms.sound("unreachable", venue, reason, venue=venue)
        if made is None:
            return True
        self._journal.attempted(made.id)
        if clock_ms() - made.snapshot_time <= 1000 * self._config.snapshots.max_age_seconds:
            return True
        self._alarms.sound("late", venue, f"a proof could not be handed over in time: {reason}", venue=venue)
        self._couriers[venue].errand(partial(self._ask_for_receipt, made, reason), key=("receipt", made.id))
        return False

    def _ask_for_receipt(self, made: Made, reason: str) -> None:
        """A proof is too old to be sent again; but where an answer was lost, the venue may have accepted it."""
        verdict = self._couriers[made.venue].venue.receipt(made)
        if verdict is None:
            self._journal.settle(made.id, "late", now_ms=clock_ms(), reason=reason)
        else:
            self.settled(made, verdict)


def _receipt_of(made: Made) -> str:
    """What an alarm about a proof's receipt is about."""
    return f"receipt {made.statement[:16]}"


def _asked_of(item: Item) -> tuple[str, str]:
    """What a thing that waits for a venue is about, so that it waits once."""
    return item.kind, "" if item.snapshot is None else item.snapshot.digest().hex()
