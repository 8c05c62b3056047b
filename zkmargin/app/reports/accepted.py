"""A venue's or an auditor's report, from a ledger: what was proved, by whom, when, and at which snapshots."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.accounts import Commitment
from zkmargin.app.facts import claim_words, not_guaranteed
from zkmargin.app.ledgers import check_ledger
from zkmargin.app.reports import charts
from zkmargin.app.venue_facts import terms_summary
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.decimals import format_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.ledger import Entry, Ledger
from zkmargin.risk.report import Report
from zkmargin.verifier.attest import Challenge, Receipt
from zkmargin.verifier.attest.receipt import ReceiptPayload
from zkmargin.verifier.venue.terms import VenueTerms

HOUR_MS = 3_600_000
NOBODY = "nobody: accepted without a trust file"


@dataclass(frozen=True)
class Proven:
    """An account (or a venue, of all its accounts) and its accepted proofs, by the time of their snapshots."""

    alias: str
    entries: tuple[Entry, ...]
    venue: bool

    @property
    def times(self) -> list[int]:
        """The distinct times of the snapshots at which it was proven, milliseconds since 1970."""
        return sorted({entry.snapshot_ms for entry in self.entries})

    @property
    def largest_gap_ms(self) -> int | None:
        """The longest time between two snapshots that follow each other; None for one alone."""
        times = self.times
        return max((b - a for a, b in itertools.pairwise(times)), default=None)


def proven(ledger: Ledger) -> list[Proven]:
    """Every account of a ledger. Raises InputError: the ledger is damaged."""
    found: dict[tuple[bool, str], list[Entry]] = {}
    for entry in ledger.entries():
        if entry.of_venue:
            names = {ledger.document(VenueTerms, entry.commitment).venue}
        else:
            names = {part.alias for part in ledger.document(Commitment, entry.commitment).parts}
        for name in names:
            found.setdefault((entry.of_venue, name), []).append(entry)
    return [
        Proven(alias, tuple(sorted(entries, key=lambda entry: entry.snapshot_ms)), venue)
        for (venue, alias), entries in sorted(found.items())
    ]


def acceptance_page(
    ledger: Ledger,
    *,
    now_ms: int,
    due_seconds: int,
    audit: bool,
    key: Sequence[PublicKey] = (),
    head: str | None = None,
) -> bytes:
    """The page of a ledger.

    Args:
        ledger: what was accepted.
        now_ms: the clock that ages are by.
        due_seconds: an account is overdue when its newest snapshot is older.
        audit: for an auditor: every record, document and proof is derived and verified again.
        key, head: as for ``check_ledger``.

    Raises:
        InputError: the ledger is damaged.
        SetupError: matplotlib is not installed.
    """
    accounts = proven(ledger)
    page = Report("What was proved" if audit else "Accounts and their proofs")
    page.text(f"From the ledger {ledger.name}, at {format_time(now_ms)}.")
    page.text("A proof speaks of its snapshot's time, and says nothing about the time between two snapshots.")
    if audit:
        _audit(page, check_ledger(ledger, key=key, head=head))
    _roster(page, ledger, accounts, now_ms, due_seconds)
    _coverage(page, accounts)
    _open(page, ledger.open_challenges(), now_ms)
    for account in accounts:
        _account(page, ledger, account, whole=audit)
    page.heading("Not guaranteed by any proof")
    for words in not_guaranteed():
        page.text(f"- {words}")
    return page.page().encode()


def _audit(page: Report, facts: dict[str, Any]) -> None:
    page.heading("The ledger, derived again from its records")
    rows = [
        ("Proofs that verify", facts["verified"]),
        ("Records", facts["records"]),
        ("of them signed", facts["signed"]),
        ("Head", facts["head"] or "none"),
        ("Things that are wrong", len(facts["bad"])),
    ]
    page.table(["", ""], rows)
    if facts["bad"]:
        page.table(["Wrong", "Reason"], [(item["subject"], item["reason"]) for item in facts["bad"]], words=True)
    for words in facts["unprotected"]:
        page.text(f"Unprotected: {words}.")


def _age(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    for size, letter in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {letter}"
    return f"{seconds} s"


def _claim(ledger: Ledger, entry: Entry) -> str:
    if entry.claim is None:
        return terms_summary(ledger.document(VenueTerms, entry.commitment))
    return " and ".join([claim_words(entry.claim), *map(str, entry.limits)])


def _roster(page: Report, ledger: Ledger, accounts: Sequence[Proven], now_ms: int, due_seconds: int) -> None:
    page.heading("Accounts")
    rows = []
    for account in accounts:
        last = account.entries[-1]
        age = now_ms - last.snapshot_ms
        late = "OVERDUE" if age > 1000 * due_seconds else "in time"
        attested = "by parties of a trust file" if last.trust else NOBODY
        rows.append(
            (
                account.alias,
                len(account.entries),
                format_time(last.snapshot_ms),
                _age(age),
                late,
                attested,
                _claim(ledger, last),
            )
        )
    columns = [
        "Account",
        "Proofs",
        "Newest snapshot",
        "Age",
        f"Due after {_age(1000 * due_seconds)}",
        "Attested",
        "Claim",
    ]
    page.table(columns, rows, words=True)


def _coverage(page: Report, accounts: Sequence[Proven]) -> None:
    if not accounts:
        return
    page.heading("Coverage")
    moments = [time for account in accounts for time in account.times]
    first, last = min(moments), max(moments)
    hours = [[(time - first) / HOUR_MS for time in account.times] for account in accounts]
    rows = []
    for account in accounts:
        times, gap = account.times, account.largest_gap_ms
        ends = (format_time(times[0]), format_time(times[-1]))
        rows.append((account.alias, len(times), *ends, "one snapshot alone" if gap is None else _age(gap)))
    page.figure(
        "The snapshots at which each account was proven",
        charts.timeline([account.alias for account in accounts], hours, (format_time(first), format_time(last))),
        ["Account", "Snapshots", "First", "Last", "Largest gap"],
        rows,
    )


def _open(page: Report, challenges: Sequence[Challenge], now_ms: int) -> None:
    if challenges:
        page.heading("Challenges that nobody answered")
        now = format_time(now_ms)
        rows = [
            (c.audience, c.digest().hex(), c.deadline, "overdue" if c.deadline < now else "open") for c in challenges
        ]
        page.table(["Audience", "Challenge", "Deadline", ""], rows, words=True)


def _account(page: Report, ledger: Ledger, account: Proven, *, whole: bool) -> None:
    """An account's proofs; ``whole``: with digests of everything that each rested on."""
    page.heading(f"Proofs of {account.alias}")
    rows: list[Sequence[object]] = []
    for entry in account.entries:
        snapshot = ledger.document(Snapshot, entry.snapshot)
        rows.append(
            (format_time(entry.accepted_ms), snapshot.name, _claim(ledger, entry), entry.statement, _who(ledger, entry))
        )
    page.table(["Accepted", "Snapshot", "Claim", "Statement", "Attested by"], rows, words=True)
    if whole:
        digests: list[Sequence[object]] = [
            (e.statement[:16], e.snapshot, e.commitment, e.trust or "none", e.challenge or "none", e.receipt or "none")
            for e in account.entries
        ]
        page.table(["Statement", "Snapshot", "Commitments", "Trust file", "Challenge", "Receipt"], digests, words=True)


def _who(ledger: Ledger, entry: Entry) -> str:
    """Who vouched, by the receipt of the acceptance."""
    if entry.receipt is None:
        return NOBODY if entry.trust is None else "no receipt was kept"
    payload = ledger.document(Receipt, entry.receipt).payload
    if not isinstance(payload, ReceiptPayload):
        return "see the receipt"
    named = [payload.snapshot.attested, *(part.attested for part in payload.parts)]
    found = [f"{by.rule} ({', '.join(by.signers)})" for by in named if by is not None]
    return "; ".join(found) if found else NOBODY
