"""The demo of venue proofs: a thousand accounts, one proof, what must fail, and one customer's check."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from zkmargin.accounts import commit_book
from zkmargin.app.runtime import compile_note
from zkmargin.app.venue_accounts import INVENTED_LEGS, VenueAccount, invented_accounts
from zkmargin.app.venue_classes import Asked
from zkmargin.app.venue_notes import check_customer, note_for, note_maker, verify_venue_proof
from zkmargin.app.venues import MadeVenue, Prepared, make_venue_proof, prepare
from zkmargin.app.verifying import Terms, accept_proof, clock_ms
from zkmargin.cli import terminal
from zkmargin.cli.demo import must_raise, step
from zkmargin.crypto.keys import SecretKey
from zkmargin.engine.book import BookLots, to_book
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import format_time
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import (
    ConstraintError,
    Document,
    ProofFormatError,
    VerificationError,
    save_document,
    write_atomic,
)
from zkmargin.ledger import Ledger
from zkmargin.prover import prove
from zkmargin.prover.prove import default_threads
from zkmargin.verifier import Statement
from zkmargin.verifier.venue.customers import VenueNote
from zkmargin.verifier.venue.log import VenueLog

ACCOUNTS = 1000
VENUE = "Demo venue"
#: The account whose customer checks a note, and the nonce that it gave to the venue: of the demo's, so no secret.
CUSTOMER, NONCE = 3, bytes(range(16))
#: Of the venue's key in the demo: no secret either.
PASSPHRASE = "a passphrase of the demo"  # noqa: S105
#: How many accounts are files of their own in ``books``: pairs, so that they net to zero.
BOOKS = 4
CLAIMS = "account,claim,limit\naccount-0001,none,\naccount-0002,1.1,\n"


def run_venue_demo(folder: Path, market_time: str | None = None, accounts: int = ACCOUNTS) -> None:
    """Run the venue demo in a folder of the demo's own.

    Args:
        folder: exists, and may be written to.
        market_time: ISO-8601 UTC time of the example market; now without it.
        accounts: how many; an even number.

    Raises:
        VerificationError: something that must fail did not (exit code 1).
    """
    begin = time.perf_counter()
    demo = _VenueDemo(folder, market_time or format_time(time.time_ns() // 10**9 * 1000), accounts)
    demo.run()
    terminal.say(f"\nDone in {time.perf_counter() - begin:.1f} s. All that had to fail did.")


class _VenueDemo:
    """The steps share the documents they make."""

    def __init__(self, folder: Path, market_time: str, count: int) -> None:
        self.folder, self.market_time, self.count = folder, market_time, count
        self.files: list[tuple[str, str]] = []
        self.asked = Asked(venue=VENUE, net="zero", totals=True)

    def run(self) -> None:
        """Step by step."""
        snapshot, accounts = self._accounts()
        prepared, made = self._prove(snapshot, accounts)
        self._verify(prepared, made)
        self._must_fail(snapshot, accounts, prepared, made)
        self._customer(snapshot, accounts, prepared, made)
        self._what_to_try()

    def _accounts(self) -> tuple[Snapshot, list[VenueAccount]]:
        with step(
            f"1. A market, its risk snapshot, and {self.count} accounts that trade with each other{compile_note()}"
        ):
            snapshot = build_snapshot(example_market(self.market_time), load_policy("default"))
            accounts = invented_accounts(snapshot, self.count)
            accounts[CUSTOMER] = replace(accounts[CUSTOMER], nonce=NONCE)
        terminal.say(
            f"   up to {INVENTED_LEGS} positions each in {len(snapshot.instruments)} instruments, each with its short"
        )
        self._save("snapshot.json", snapshot, "the risk snapshot (public)")
        self._books(snapshot, accounts)
        return snapshot, accounts

    def _books(self, snapshot: Snapshot, accounts: list[VenueAccount]) -> None:
        """All accounts in one table, the first ones as files, and a committed account with its ledger."""
        lines = ["account,section,name,quantity"]
        for account in accounts:
            book = to_book(account.lots, snapshot)
            for section, held in (("positions", book.positions), ("collateral", book.collateral)):
                lines += [f"{account.name},{section},{name},{quantity}" for name, quantity in held.items()]
        write_atomic(self.folder / "accounts.csv", ("\n".join(lines) + "\n").encode(), secret=True)
        self.files.append(("accounts.csv", "every account (secret)"))
        (self.folder / "claims.csv").write_text(CLAIMS)
        self.files.append(("claims.csv", "accounts of which something else is claimed"))
        for name in ("books", "large"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        for account in accounts[:BOOKS]:
            self._keep(f"books/{account.name}.json", to_book(account.lots, snapshot))
        lots = accounts[0].lots
        opening = commit_book(snapshot, lots, alias="large")
        self._keep("large/large.book.json", to_book(lots, snapshot))
        self._keep("large/large.opening.json", opening)
        statement = Statement.of(snapshot, [opening.commitment()], Claim())
        (self.folder / "ledger.db").unlink(missing_ok=True)
        with Ledger(self.folder / "ledger.db") as ledger:
            accept_proof(statement, prove(statement, lots, [opening]), Terms(now_ms=clock_ms()), ledger=ledger)
        self.files.append(("books, large, ledger.db", "accounts as files, one committed, what was accepted of it"))

    def _prove(self, snapshot: Snapshot, accounts: list[VenueAccount]) -> tuple[Prepared, MadeVenue]:
        with step("2. One proof that no account is under margin and that all books net to zero"):
            prepared = prepare(snapshot, accounts, self.asked)
            made = make_venue_proof(prepared, threads=default_threads())
        size = len(made.proof)
        terminal.say(f"   {size} bytes, {size / self.count:.1f} an account, verified before it was released")
        self._save("terms.json", prepared.statement.terms, "what is proved, and of how many accounts (public)")
        self._save("record.json", made.record, "what the venue publishes in one log (public)")
        self._save("secret.json", made.secret, "what notes are made from (secret)")
        write_atomic(self.folder / "venue-proof.bin", made.proof)
        self.files.append(("venue-proof.bin", "the proof (public)"))
        return prepared, made

    def _verify(self, prepared: Prepared, made: MadeVenue) -> None:
        begin = time.perf_counter()
        with step("3. Verification, from the public files only"):
            verify_venue_proof(prepared.statement, made.proof, made.record)
        each = 1e6 * (time.perf_counter() - begin) / self.count
        terminal.say(f"   accepted; {each:.0f} microseconds an account")

    def _must_fail(self, snapshot: Snapshot, accounts: list[VenueAccount], prepared: Prepared, made: MadeVenue) -> None:
        with step("4. What must fail"):
            poor = _with_cash(accounts[7], -1)
            short = [*accounts[:7], poor, *accounts[8:]]
            reason = must_raise(
                "an account under margin", ConstraintError, lambda: prepare(snapshot, short, self.asked)
            )
        terminal.say(f"   one account that owes cash:   {terminal.safe(reason)}")
        lots = list(accounts[0].lots.positions)
        traded = next(i for i, q in enumerate(lots) if q)
        lots[traded] += 1
        moved = replace(accounts[0], lots=BookLots(tuple(lots), accounts[0].lots.collateral))
        reason = must_raise(
            "books that do not net to zero",
            ConstraintError,
            lambda: prepare(snapshot, [moved, *accounts[1:]], self.asked),
        )
        terminal.say(f"   one lot that nobody sold:     {terminal.safe(reason)}")
        flipped = bytearray(made.proof)
        flipped[-33] ^= 1
        for what, proof, statement in (
            ("a flipped bit", bytes(flipped), prepared.statement),
            ("another snapshot", made.proof, prepare(_moved(snapshot), accounts, self.asked).statement),
        ):
            reason = must_raise(
                what,
                (VerificationError, ProofFormatError),
                lambda s=statement, p=proof: verify_venue_proof(s, p),  # type: ignore[misc]
            )
            terminal.say(f"   {what + ':':<29} {terminal.safe(reason)}")

    def _customer(self, snapshot: Snapshot, accounts: list[VenueAccount], prepared: Prepared, made: MadeVenue) -> None:
        customer, other = accounts[CUSTOMER], accounts[CUSTOMER + 1]
        with step(f"5. Customer {customer.name!r} gets a note and checks that its whole book is inside"):
            maker = note_maker(prepared.statement, made.proof, snapshot, accounts, made.secret)
            key = SecretKey.generate(VENUE, "ed25519", PASSPHRASE)
            signer = key.unlock(PASSPHRASE)
            note = note_for(maker, made.secret, customer.name).signed(signer)
            log = VenueLog(venue=VENUE).appended(prepared.statement, made.record, snapshot.time, signer)
        nonce = prepared.nonces[customer.name]

        def check(note: VenueNote, lots: BookLots) -> None:
            check_customer(snapshot, prepared.statement.terms, made.record, note, lots, name=customer.name, nonce=nonce)

        begin = time.perf_counter()
        check(note, customer.lots)
        took = 1000 * (time.perf_counter() - begin)
        terminal.say(f"   found, in {took:.0f} ms from {len(note.to_bytes()) // 1024} kB")
        self._save("note.json", note, f"the note of {customer.name} (secret)")
        self._save("venue.public.json", key.public, "the key that it is signed with (public)")
        self._save("venue.key.json", key, "the venue's, encrypted (secret)")
        write_atomic(self.folder / "pass.txt", PASSPHRASE.encode(), secret=True)
        self.files.append(("pass.txt", "its passphrase (secret)"))
        self._save("log.json", log, "the venue's log, the same for everybody (public)")
        second = replace(prepared.statement, context=b"another statement")
        reason = must_raise("a second statement", VerificationError, lambda: log.entry_of(second))
        terminal.say(f"   shown another statement:      {terminal.safe(reason)}")
        self._save(f"{customer.name}.json", to_book(customer.lots, snapshot), "its book (secret)")
        reason = must_raise("another book", VerificationError, lambda: check(note, other.lots))
        terminal.say(f"   with another book:            {terminal.safe(reason)}")
        foreign = note_for(maker, made.secret, other.name).model_copy(
            update={"name": customer.name, "nonce": nonce.hex()}
        )
        reason = must_raise("another customer's row", VerificationError, lambda: check(foreign, other.lots))
        terminal.say(f"   shown another customer's row: {terminal.safe(reason)}")
        self.nonce = nonce.hex()
        self.customer = customer.name

    def _save(self, name: str, document: Document, what: str) -> None:
        self._keep(name, document)
        self.files.append((name, what))

    def _keep(self, name: str, document: Document) -> None:
        path = self.folder / name
        if document.SECRET:
            path.unlink(missing_ok=True)  # the demo's own, of an earlier run
        save_document(document, path)

    def _what_to_try(self) -> None:
        terminal.say(f"\nThe files, in {self.folder}:")
        for name, what in self.files:
            terminal.say(f"   {name:<24} {what}")
        public = "--snapshot snapshot.json --terms terms.json --log log.json"
        key = "venue.public.json"
        terminal.say(f"\nTry (after `cd {self.folder}`):")
        mine = f"--book {self.customer}.json --name {self.customer} --nonce {self.nonce}"
        for line in (
            f"zkmargin venue verify {public} --key {key} --every-account venue-proof.bin",
            f"zkmargin venue log check log.json --key {key}",
            "zkmargin venue inspect --snapshot snapshot.json terms.json",
            f"zkmargin venue check-note note.json {public} --signer {key} --proof venue-proof.bin {mine}",
        ):
            terminal.say(f"   {line}")


def _with_cash(account: VenueAccount, scale: int) -> VenueAccount:
    return replace(account, lots=BookLots(account.lots.positions, tuple(scale * q for q in account.lots.collateral)))


def _moved(snapshot: Snapshot) -> Snapshot:
    return snapshot.model_copy(update={"name": snapshot.name + " (another)"})
