"""Venues that run ``zkmargin serve``: their snapshots, their challenges, and proofs sent to them (extra ``client``)."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from zkmargin.accounts import Commitment
from zkmargin.agent.config import Venue as VenueConfig
from zkmargin.agent.journal import Made
from zkmargin.agent.venues import NotReadyError, UnreachableError, UntrustedError, Verdict, check_receipt
from zkmargin.app.files import warn_if_exposed
from zkmargin.app.verifying import clock_ms
from zkmargin.client.documents import Claimed, Submission
from zkmargin.client.errors import AlreadyAccepted, Denied, NotFound, Unavailable
from zkmargin.client.venue import VenueClient
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError
from zkmargin.formats.files import read_text
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Trust

#: Challenges are asked for ahead of need: so many are kept, each for so long.
AHEAD = 3
CHALLENGE_SECONDS = 300
#: One that has less time left is not used.
MARGIN_MS = 10_000
POLL_SECONDS = 20.0
#: Between two attempts to reach a venue for its snapshots.
PAUSE_SECONDS = 1.0


def client_of(config: VenueConfig) -> VenueClient:
    """The client with the account's token. Raises InputError: the token or the certificates cannot be read."""
    path = config.token_file or ""
    words = read_text(path).split()
    if len(words) != 1:
        raise InputError("a token is one word", file=path)
    warn_if_exposed(path)
    if config.ca_file is not None and not Path(config.ca_file).is_file():
        raise InputError("no such file", file=config.ca_file)
    return VenueClient(config.url or "", token=words[0], ca_file=config.ca_file)


class ServiceVenue:
    """As ``venues.Venue``: each proof answers a challenge that the service issued to the account.

    Args:
        config: the venue.
        account: whose proofs.
        trust: whose receipts count.
    """

    def __init__(self, config: VenueConfig, account: str, trust: Trust | None = None) -> None:
        self._config, self._account, self._trust = config, account, trust
        self._client = client_of(config)
        self._ahead: deque[Challenge] = deque()
        self._lock = threading.Lock()
        self._lifetime: int | None = None

    def challenge(self) -> Challenge:
        """One that was asked for ahead. The agent's one thread serves all venues: it waits for none."""
        with self._lock:
            while self._ahead:
                found = self._ahead.popleft()
                if self._counts(found):
                    return found
        raise NotReadyError("no challenge is at hand")

    def ready(self) -> None:
        """Ask for challenges ahead."""
        with self._lock:
            self._ahead = deque(filter(self._counts, self._ahead))
            missing = AHEAD - len(self._ahead)
        if missing > 0:
            found = self._ask(missing)
            if not any(map(self._counts, found)):
                raise UnreachableError("its challenges are over when they come: check the clocks")
            with self._lock:
                self._ahead.extend(found)

    def _counts(self, challenge: Challenge) -> bool:
        """Whether there is time left to answer one: half of it at least, or enough."""
        margin = min(MARGIN_MS, 500 * (self._lifetime or CHALLENGE_SECONDS))
        return parse_time(challenge.deadline) > clock_ms() + margin

    def _ask(self, count: int) -> list[Challenge]:
        try:
            if self._lifetime is None:
                self._lifetime = min(CHALLENGE_SECONDS, self._client.service().limits.max_challenge_seconds)
            found = self._client.challenges(self._account, count=count, lifetime_seconds=self._lifetime)
        except Unavailable as error:
            raise UnreachableError(error.message, after=error.retry_after) from None
        except ZkMarginError as error:  # without one there is no proof; another time there may be
            raise UnreachableError(error.message) from None
        for one in found:
            if one.audience != self._config.name:  # handed on, so that we prove to somebody else
                raise UnreachableError(f"a challenge for {one.audience[:80]!r}, not for {self._config.name!r}")
        return found

    def submit(self, made: Made) -> Verdict:
        """As in ``Venue``. A statement that was accepted before is accepted: an answer was lost."""
        about = json.loads(made.submission)
        if about["challenge"] is None:
            return Verdict("refused", "made for no challenge of the service", again=True)
        if clock_ms() > parse_time(about["deadline"]):  # it may have been handed over, and the answer lost
            passed = Verdict("refused", "its challenge had passed before the service could be reached", again=True)
            return self.receipt(made) or passed
        submission = Submission(
            account=self._account,
            challenge=about["challenge"],
            snapshot=about["snapshot"],
            commitment=Commitment.model_validate(about["commitment"]).digest().hex(),
            claim=Claimed(ratio=about["claim"], requirement=about["requirement"], limits=tuple(about["limits"])),
            proof=base64.b64encode(made.proof).decode(),
        )
        with _calling(self._config.name):
            try:
                receipt = self._client.submit(submission)
            except AlreadyAccepted as error:
                receipt = self._client.receipt(error.statement)
            except (VerificationError, ProofFormatError, InputError) as error:
                return Verdict("refused", error.message, again=getattr(error, "check", None) == "challenge")
        return self._accepted(made, receipt)

    def receipt(self, made: Made) -> Verdict | None:
        """As in ``Venue``."""
        with _calling(self._config.name):
            try:
                receipt = self._client.receipt(made.statement)
            except NotFound:
                return None
        return self._accepted(made, receipt)

    def _accepted(self, made: Made, receipt: Receipt) -> Verdict:
        """What a receipt says. Raises UntrustedError: one that does not count."""
        try:
            check_receipt(receipt, made.statement, self._config.name, self._trust)
        except VerificationError as error:
            raise UntrustedError(error.message) from None
        return Verdict("accepted", receipt=receipt.to_bytes().decode())

    def attest(self, attestation: Attestation) -> None:
        """Register the new attestation of a part."""
        with _calling(self._config.name):
            self._client.attest(attestation)

    def close(self) -> None:
        """Release connections."""
        self._client.close()


@dataclass(frozen=True, repr=False)
class PublishedSnapshot:
    """A snapshot of a venue, with who signed it. ``clock`` and ``time_ms`` as ``inbox.Arrived``."""

    snapshot: Snapshot
    attestation: Attestation
    clock: float = field(default_factory=time.perf_counter)
    time_ms: int = field(default_factory=clock_ms)


class Feed:
    """Waits for a venue's snapshots in a thread of its own, and fetches those that came in between; and what others
    registered there of the account meanwhile: attestations of its parts.

    Args:
        config: the venue.
        account: whose attestations.
        series: of snapshots.
        take: called with each snapshot.
        attested: called with each attestation of a part, once.
        trouble: called with a message where the venue cannot be reached, with None where it can again.
        max_age_seconds: what is older is not fetched.
        known: whether a snapshot (its digest) was dealt with before: it is not fetched again, so that after a restart
            the newest one does not wait for a day of others.
    """

    def __init__(
        self,
        config: VenueConfig,
        account: str,
        series: str,
        take: Callable[[PublishedSnapshot], None],
        attested: Callable[[Attestation], None],
        trouble: Callable[[str | None], None],
        *,
        max_age_seconds: int,
        known: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._known = known
        self._client, self._series, self._take, self._trouble = client_of(config), series, take, trouble
        self._account, self._attested = account, attested
        self._max_age_ms = 1000 * max_age_seconds
        self._registered: set[bytes] = set()
        self._newest: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feed {config.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look(self) -> int:
        """What is there now; how many there were. Raises UnreachableError, ZkMarginError."""
        return self._fetch(wait=0)

    def stop(self) -> None:
        """End. A call that waits is left to end by itself."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._fetch(wait=POLL_SECONDS)
                self._trouble(None)
            except ZkMarginError as error:
                self._pause(error.message)
            except Exception as error:  # noqa: BLE001 - whatever a venue answers, the feed goes on
                self._pause(f"an unexpected {type(error).__name__}")
        self._client.close()

    def _pause(self, reason: str) -> None:
        if not self._stop.is_set():
            self._trouble(reason)
        self._stop.wait(PAUSE_SECONDS)

    def _fetch(self, *, wait: float) -> int:
        with _calling("snapshots"):
            parts = self._parts() if self._newest is None else 0  # what is proved about, before it is
            found = self._client.latest_snapshot(self._series, after=self._newest, wait=wait)
            if self._stop.is_set():
                return 0
            if found is None:
                return parts + self._parts()
            self._take(PublishedSnapshot(found.snapshot, found.attestation))
            newest, before = found.attestation.payload.sequence, self._newest
            missed = self._between(before, newest)
            self._newest = newest
            return 1 + missed + parts + self._parts()

    def _parts(self) -> int:
        """Fetch the attestations of the account's parts; how many are new."""
        try:
            found = self._client.attestations(self._account)
        except NotFound:  # nobody has registered the account yet: whoever submits is told
            return 0
        new = [one for one in found if one.digest() not in self._registered]
        self._registered = {one.digest() for one in found}
        for one in new:
            self._attested(one)
        return len(new)

    def _between(self, before: int | None, newest: int) -> int:
        """Fetch what came after ``before`` and below ``newest``, the newest first."""
        if before is not None and newest == before + 1:
            return 0
        count, place = 0, None
        while True:
            page = self._client.snapshots(self._series, before=place)
            for line in page.items:
                if line.sequence >= newest:
                    continue
                if (before is not None and line.sequence <= before) or self._old(line.time):
                    return count
                if self._known(line.snapshot):
                    continue
                found = self._client.snapshot(line.snapshot)
                self._take(PublishedSnapshot(found.snapshot, found.attestation))
                count += 1
            if page.next is None:
                return count
            if place is not None and page.next >= place:
                raise UnreachableError("a list of snapshots that has no end")
            place = page.next

    def _old(self, text: str) -> bool:
        return clock_ms() - parse_time(text) > self._max_age_ms


class _calling:  # noqa: N801 - used as a function
    """Errors of a call that may go better later, as ``UnreachableError``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Unavailable):
            raise UnreachableError(error.message, after=error.retry_after) from None
        if isinstance(error, (Denied, NotFound)):
            raise UnreachableError(error.message) from None
