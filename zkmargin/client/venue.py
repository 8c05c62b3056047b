"""The typed client of a venue's service (``zkmargin serve``).

>>> from zkmargin.client.venue import VenueClient  # doctest: +SKIP
>>> with VenueClient("https://venue.example", token=token) as venue:  # doctest: +SKIP
...     published = venue.latest_snapshot("main")
...     challenge = venue.challenge("maker")
...     receipt = venue.submit(Submission.of(statement, proof, account="maker", challenge=challenge))

Every call raises ``Unavailable`` where it may be tried again, ``Denied`` where the token may not, and the errors of
``formats.errors`` as the service found them. What is no answer of such a service (a proxy's page, a value that is
missing) is ``Unavailable`` too, with what was found: another may come from who was meant. ``Reply`` is the one place
where answers are read.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from zkmargin.accounts import Commitment
from zkmargin.client.answers import (
    AccountLine,
    AccountView,
    AuditLine,
    Challenges,
    FaultBody,
    Page,
    ProofLine,
    Published,
    RefusalLine,
    Registered,
    RevocationLists,
    Roster,
    ServiceInfo,
    SnapshotLine,
    TokenInfo,
    TokenLine,
    Tokens,
    Verdict,
    Verdicts,
    WebhookLine,
    Webhooks,
)
from zkmargin.client.documents import Coverage, Event, Submission
from zkmargin.client.errors import AlreadyAccepted, Denied, NotFound, Unavailable
from zkmargin.client.orders import Change
from zkmargin.client.urls import check_url
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Document, Hint, InputError, ProofFormatError, VerificationError, parse_json
from zkmargin.formats.budget import budget
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Revocations

if TYPE_CHECKING:
    from zkmargin.verifier.venue.terms import VenueTerms

D = TypeVar("D", bound=Document)
A = TypeVar("A", bound=Any)

#: How long a call may take, besides those that wait on purpose.
SECONDS = 30.0
#: The most that is read of an answer, unpacked: the largest body that a service can be set to take (64 MB), and room.
MAX_ANSWER = 96 << 20
MAX_FAULT = 1 << 20


class VenueClient:
    """Calls one service; threads may share it. Close it, or use it in a ``with`` statement.

    Args:
        url: ``https://HOST:PORT``; http on this machine only.
        token: of the caller; None for what everybody may ask.
        seconds: how long a call may take.
        ca_file: certificates to trust instead of the system's.

    Raises:
        InputError: no such URL, or http to another machine: the token could be read on the way.
    """

    def __init__(
        self, url: str, *, token: str | None = None, seconds: float = SECONDS, ca_file: str | None = None
    ) -> None:
        headers = {"accept": "application/json"} | ({} if token is None else {"authorization": f"Bearer {token}"})
        check_url(url, "url")
        verify: Any = True
        if ca_file is not None:
            import ssl  # noqa: PLC0415 - few need their own

            verify = ssl.create_default_context(cafile=ca_file)
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=seconds, verify=verify)
        except (httpx.InvalidURL, ValueError) as error:
            raise InputError(f"not a URL: {error}", field="url") from None
        self._seconds = seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self._http.close()

    # --- the service -------------------------------------------------------------------------------------------------

    def service(self) -> ServiceInfo:
        """Who the service is, and what it takes."""
        return self._get("/v1/service").answer(ServiceInfo)

    def whoami(self) -> TokenInfo:
        """Whose the client's token is. Raises Denied: nobody's."""
        return self._get("/v1/token").answer(TokenInfo)

    def tokens(self) -> list[TokenLine]:
        """Tokens that count: the account's own; all for auditors and operators."""
        return self._get("/v1/tokens").answer(Tokens).tokens

    def webhooks(self) -> list[WebhookLine]:
        """Where events go: the account's own webhooks; all for auditors and operators."""
        return self._get("/v1/webhooks").answer(Webhooks).webhooks

    def change(self, change: Change) -> dict[str, Any]:
        """Order a signed change; what it did."""
        return self._post("/v1/changes", change.to_bytes()).object()

    def audit(self, *, before: int | None = None, limit: int = 100) -> Page[AuditLine]:
        """The audit log, the newest line first."""
        return self._page(AuditLine, "/v1/audit", before=before, limit=limit)

    # --- snapshots ---------------------------------------------------------------------------------------------------

    def publish(self, snapshot: Snapshot, attestation: Attestation) -> SnapshotLine:
        """Publish an attested snapshot. Publishing it again does nothing."""
        body = _object(snapshot=snapshot, attestation=attestation)
        return self._post("/v1/snapshots", body).answer(SnapshotLine)

    def latest_snapshot(self, series: str, *, after: int | None = None, wait: float = 0) -> Published | None:
        """The newest snapshot of a series; None where there is none above number ``after`` within ``wait`` seconds."""
        query: dict[str, Any] = {"series": series, "wait": wait} | ({} if after is None else {"after": after})
        reply = self._get("/v1/snapshots/latest", seconds=self._seconds + wait, **query)
        return None if reply.status == httpx.codes.NO_CONTENT else reply.published()

    def snapshot(self, digest: str) -> Published:
        """A published snapshot by its digest (hex)."""
        return self._get(f"/v1/snapshots/{quote(digest, safe='')}").published()

    def snapshots(self, series: str, *, before: int | None = None, limit: int = 100) -> Page[SnapshotLine]:
        """Published snapshots, the newest first."""
        return self._page(SnapshotLine, "/v1/snapshots", series=series, before=before, limit=limit)

    # --- accounts ----------------------------------------------------------------------------------------------------

    def roster(self) -> list[AccountLine]:
        """Every account and its state."""
        return self._get("/v1/accounts").answer(Roster).accounts

    def account(self, account: str) -> AccountView:
        """One account: state, terms, parts, open challenges."""
        return self._get(_of(account)).answer(AccountView)

    def attestations(self, account: str) -> list[Attestation]:
        """The attestations of the account's parts: what it proves about."""
        return self._get(_of(account, "attestations")).answer(Registered).attestations

    def attest(self, attestation: Attestation) -> dict[str, Any]:
        """Register a part of an account, or what it is now, by its attestation."""
        return self._post("/v1/attestations", attestation.to_bytes()).object()

    def revoke(self, revocations: Revocations) -> dict[str, Any]:
        """Publish a list of revocations."""
        return self._post("/v1/revocations", revocations.to_bytes()).object()

    def revocations(self) -> list[Revocations]:
        """The newest list of revocations of each issuer."""
        return self._get("/v1/revocations").answer(RevocationLists).revocations

    def coverage(self, account: str, series: str, *, begin: str, end: str) -> Coverage:
        """The signed statement about an account from one time to another."""
        query: dict[str, Any] = {"series": series, "from": begin, "to": end}
        return self._get(_of(account, "coverage"), **query).document(Coverage)

    # --- proofs ------------------------------------------------------------------------------------------------------

    def challenges(self, account: str, *, count: int = 1, lifetime_seconds: int = 60) -> list[Challenge]:
        """Fresh challenges for an account; each counts once."""
        body = json.dumps({"count": count, "lifetime_seconds": lifetime_seconds}).encode()
        return self._post(_of(account, "challenges"), body).challenges(count)

    def challenge(self, account: str, *, lifetime_seconds: int = 60) -> Challenge:
        """A fresh challenge."""
        return self.challenges(account, lifetime_seconds=lifetime_seconds)[0]

    def submit(self, submission: Submission) -> Receipt:
        """Submit a proof; its receipt is on the service's disk when this returns.

        Raises:
            AlreadyAccepted: a proof of the same statement was: fetch the receipt.
            VerificationError, ProofFormatError, InputError: refused.
        """
        return self._post("/v1/proofs", submission.to_bytes()).document(Receipt)

    def submit_bundle(self, bundle: bytes) -> Receipt:
        """Submit the proof of an evidence bundle (its file's bytes), which answers a challenge of the service.

        Raises as ``submit`` does.
        """
        return self._post("/v1/bundles", bundle).document(Receipt)

    def submit_batch(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """Submit several proofs; a verdict for each, in their order."""
        body = json.dumps({"submissions": [item.to_json() for item in submissions]}).encode()
        return self._post("/v1/batches", body).answer(Verdicts).verdicts

    def venue_challenges(self, venue: str, *, count: int = 1, lifetime_seconds: int = 3600) -> list[Challenge]:
        """Fresh challenges for a venue, by the name in its terms; each counts once, for its proof of every account."""
        body = json.dumps({"count": count, "lifetime_seconds": lifetime_seconds}).encode()
        return self._post(f"/v1/venues/{quote(venue, safe='')}/challenges", body).challenges(count)

    def submit_venue_proof(
        self,
        terms: VenueTerms,
        proof: bytes,
        *,
        snapshot: str,
        challenge: Challenge,
        commitments: Sequence[Commitment] = (),
        attestations: Sequence[Attestation] = (),
    ) -> Receipt:
        """Submit a venue's proof of every account at once, about a published snapshot (its digest, hex); its receipt is
        on the service's disk when this returns.

        Args:
            terms, proof: what is proved, and that it holds; the statement's context is ``challenge.context``.
            challenge: one that was issued to the venue of the terms.
            commitments, attestations: of the accounts that are committed one by one.

        Raises as ``submit`` does.
        """
        body = {
            "terms": terms.to_json(),
            "snapshot": snapshot,
            "challenge": challenge.digest().hex(),
            "commitments": [one.to_json() for one in commitments],
            "attestations": [one.to_json() for one in attestations],
            "proof": base64.b64encode(proof).decode(),
        }
        return self._post("/v1/venue-proofs", json.dumps(body).encode()).document(Receipt)

    def receipt(self, statement: str) -> Receipt:
        """The receipt of an accepted proof by its statement's digest (hex). Raises NotFound."""
        return self._get(f"/v1/receipts/{quote(statement, safe='')}").document(Receipt)

    def evidence(self, statement: str) -> bytes:
        """An accepted proof with all public files around it: an evidence bundle's bytes. Raises NotFound."""
        return self._get(f"/v1/evidence/{quote(statement, safe='')}").content

    def proofs(self, account: str, *, before: int | None = None, limit: int = 100) -> Page[ProofLine]:
        """Accepted proofs of an account, the newest first."""
        return self._page(ProofLine, _of(account, "proofs"), before=before, limit=limit)

    def refusals(self, account: str, *, before: int | None = None, limit: int = 100) -> Page[RefusalLine]:
        """Refused proofs of an account with reasons, the newest first."""
        return self._page(RefusalLine, _of(account, "refusals"), before=before, limit=limit)

    def events(self, *, after: int = 0, seconds: float | None = None) -> Iterator[Event]:
        """Events above a number as they happen, each signed by the service.

        It ends where the service ends it; with ``seconds``, raises Unavailable after so long without a sign of life
        (the service gives one every 15 seconds).
        """
        timeout = httpx.Timeout(self._seconds, read=seconds)
        try:
            with self._http.stream("GET", "/v1/events", params={"after": after}, timeout=timeout) as response:
                if response.is_error:
                    _raise(Reply(response.status_code, response.headers, response.read(), "/v1/events"))
                for line in _lines(response):
                    if line.startswith(b"data:"):
                        data = line[5:].strip()
                        yield Reply(response.status_code, response.headers, data, "/v1/events").document(Event)
        except httpx.HTTPError as error:
            raise _unavailable(error) from None

    # --- HTTP --------------------------------------------------------------------------------------------------------

    def _get(self, path: str, *, seconds: float | None = None, **query: Any) -> Reply:
        return self._call("GET", path, seconds or self._seconds, params=query)

    def _post(self, path: str, body: bytes) -> Reply:
        return self._call("POST", path, self._seconds, content=body, headers={"content-type": "application/json"})

    def _call(self, method: str, path: str, seconds: float, **more: Any) -> Reply:
        until = time.monotonic() + 2 * seconds  # each piece has its own ``seconds``: a drip would have no end
        body = bytearray()
        try:
            with self._http.stream(method, path, timeout=seconds, **more) as response:
                most = MAX_FAULT if response.is_error else MAX_ANSWER
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > most or time.monotonic() > until:
                        raise Unavailable(f"{path}: an answer that is too long or takes too long")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unavailable(error) from None
        reply = Reply(response.status_code, response.headers, bytes(body), path)
        if response.is_error:
            _raise(reply)
        return reply

    def _page(self, kind: type[A], path: str, **query: Any) -> Page[A]:
        reply = self._get(path, **{name: value for name, value in query.items() if value is not None})
        return reply.answer(Page[kind])  # type: ignore[valid-type]


@dataclass(frozen=True, repr=False)
class Reply:
    """An answer that is no error, not yet read. Whatever is not of the service's making is ``Unavailable``."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    path: str

    def object(self) -> dict[str, Any]:
        """Any JSON object."""
        with self._read():
            found = parse_json(self.content)
            if not isinstance(found, dict):
                raise InputError("not an object")
            return found

    def answer(self, kind: type[A]) -> A:
        """A value of the module ``answers``."""
        found = self.object()
        with self._read():
            return kind.model_validate(found)  # type: ignore[no-any-return]

    def challenges(self, count: int) -> list[Challenge]:
        """As many as were asked for."""
        found = self.answer(Challenges).challenges
        with self._read():
            if len(found) != count:
                raise InputError(f"{len(found)} where {count} were asked for", field="challenges")
        return found

    def document(self, kind: type[D]) -> D:
        """A document, as strictly as a file is read."""
        with self._read():
            return kind.parse(self.content)

    def published(self) -> Published:
        """A snapshot and its attestation, read once: makers prove about it within a tenth of a second."""
        with budget():
            found = self.object()
            with self._read():
                snapshot = Snapshot.from_json(found.get("snapshot"))
                attestation = Attestation.from_json(found.get("attestation"))
        return Published.model_construct(snapshot=snapshot, attestation=attestation)

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise self._other(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        except InputError as error:
            raise self._other(error.message) from None

    def _other(self, found: str) -> Unavailable:
        kind = str(self.headers.get("content-type", "no type"))[:60]
        what = f"{self.path}: HTTP status {self.status}, {len(self.content)} bytes of {kind!r}: {found[:200]}"
        return Unavailable(f"not the answer of a service: {what}", hint="is it a service, of this version?")


def _lines(response: httpx.Response) -> Iterator[bytes]:
    """The lines of an answer as they come. Raises Unavailable: one that is longer than any event."""
    rest = bytearray()
    for piece in response.iter_bytes():
        rest += piece
        if b"\n" in piece:
            *lines, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            yield from lines
        if len(rest) > MAX_FAULT:
            raise Unavailable("/v1/events: a line that is too long")


def _of(account: str, what: str = "") -> str:
    return f"/v1/accounts/{quote(account, safe='')}" + (f"/{what}" if what else "")


def _object(**documents: Document) -> bytes:
    """Documents under names, as one JSON object."""
    return b"{" + b",".join(f'"{name}":'.encode() + one.to_bytes() for name, one in documents.items()) + b"}"


def _unavailable(error: Exception) -> Unavailable:
    """No answer, or none from who has the right certificate."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Unavailable("nobody whom this machine trusts signed the service's certificate", hint=Hint.GIVE_CA)
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Unavailable(f"the service does not answer: {said[:200]}")


def _raise(reply: Reply) -> NoReturn:
    """The error of an answer that is one. Of no service of ours, but a proxy's: it may be another the next time."""
    try:
        body = FaultBody.model_validate(parse_json(reply.content))
    except (InputError, ValidationError):
        reason, fault, statement = f"HTTP status {reply.status}", None, None
    else:
        fault, statement = body.error, body.statement
        reason = fault.message.removeprefix(f"{fault.field}: ")  # which the error below says itself
    status = reply.status
    if (
        status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT)
        or status >= httpx.codes.INTERNAL_SERVER_ERROR
    ):
        after = reply.headers.get("retry-after", "1")
        raise Unavailable(reason, retry_after=float(after) if after.isdecimal() else 1.0)
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise Denied(reason)
    if status == httpx.codes.NOT_FOUND:
        raise NotFound(reason)
    if fault is None:
        raise Unavailable(f"{reply.path}: {reason}, in words of no service")
    if fault.type == "AlreadyAccepted" and statement is not None:
        raise AlreadyAccepted(reason, statement=statement)
    if fault.type == "ProofFormatError":
        raise ProofFormatError(reason)
    if fault.check is not None:
        raise VerificationError(reason, check=fault.check, hint=fault.hint)
    raise InputError(reason, field=fault.field, hint=fault.hint)
