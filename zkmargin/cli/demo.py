"""The demo: market, snapshot, margin, commitments, proof, verification, then every failure that must fail.

Everything is computed on the spot. Where something that must be refused is not, the demo stops with exit code 1.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from zkmargin.accounts import Commitment, Opening, commit_book
from zkmargin.app.facts import claim_words, layout_facts, statement_facts
from zkmargin.app.runtime import compile_note
from zkmargin.circuits import build_circuit
from zkmargin.circuits.books import margin_witness
from zkmargin.circuits.language.witness import check as check_witness
from zkmargin.cli import terminal
from zkmargin.cli.demo_files import CONTEXT, ExampleFiles
from zkmargin.cli.show_margin import margin_view
from zkmargin.cli.words import not_guaranteed_lines, statement_lines
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import format_time, from_units, to_fraction
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.margin import claim_slack, margin_report
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import (
    ConstraintError,
    Document,
    InputError,
    ProofFormatError,
    VerificationError,
    ZkMarginError,
    save_document,
    write_atomic,
)
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify
from zkmargin.verifier.header import HEADER_BYTES

#: Marks a folder as the demo's own: another folder that is not empty is left alone.
MARKER = "DEMO.txt"
CASH = "USDC"
SMALL_DOMAIN = 256
KIND_WORDS = {"option": "options", "future": "futures", "perpetual": "perpetuals", "spot": "spot instruments"}
LEGS_SHOWN = 8


def run_demo(folder: str, market_time: str | None = None) -> None:
    """Run the whole demo in a folder.

    Args:
        folder: created if need be; refused when it holds anything that the demo did not make.
        market_time: ISO-8601 UTC time of the example market; now without it.

    Raises:
        InputError: the folder or the time cannot be used.
        VerificationError: something that must fail did not (exit code 1).
    """
    begin = time.perf_counter()
    _Demo(demo_folder(folder), market_time or format_time(time.time_ns() // 10**9 * 1000)).run()
    terminal.say(f"\nDone in {time.perf_counter() - begin:.1f} s. All that had to fail did.")


def demo_folder(folder: str) -> Path:
    """The folder, made if need be. Raises InputError when it holds anything that the demo did not make."""
    path = Path(folder)
    try:
        if path.exists() and any(path.iterdir()) and not (path / MARKER).is_file():
            raise InputError(
                "is not empty, and not a folder of the demo's", file=folder, hint="choose another --folder"
            )
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be used as a folder: {(error.strerror or 'error').lower()}", file=folder) from None
    write_atomic(path / MARKER, b"Made by `zkmargin demo`, which may overwrite what is here. The books are invented.\n")
    return path


class _Demo:
    """The steps of the demo share the documents they make."""

    def __init__(self, folder: Path, market_time: str) -> None:
        self.folder, self.market_time = folder, market_time
        self.files: list[tuple[str, str]] = []
        self.claim = Claim()
        self.context = CONTEXT.encode()

    def run(self) -> None:
        """Step by step."""
        market = self._market()
        snapshot = self._snapshot(market)
        book, lots = self._book(market, snapshot)
        opening = self._commit(snapshot, lots)
        proof = self._prove(snapshot, lots, opening)
        self._verify(snapshot, opening.commitment(), proof)
        self._one_unit_short(snapshot, book, lots)
        self._must_be_rejected(market, snapshot, lots, opening, proof)
        small = self._segments(market, lots)
        self._examples(market, snapshot, book, lots, opening, small)
        self._what_to_try()

    # --- what must work ---------------------------------------------------------------------------------------------

    def _market(self) -> Market:
        with step("1. A market: our own parametric surface, no market data"):
            market = example_market(self.market_time)
        kinds = {
            kind: sum(i.kind == kind for i in market.instruments) for kind in ("option", "future", "perpetual", "spot")
        }
        counts = ", ".join(f"{count} {KIND_WORDS[kind]}" for kind, count in kinds.items())
        terminal.say(f"   {counts} on {' and '.join(u.name for u in market.underlyings)} at {market.time}")
        terminal.say(f"   collateral in {', '.join(asset.name for asset in market.assets)}")
        self._save("market.json", market, "the market (public)")
        return market

    def _snapshot(self, market: Market) -> Snapshot:
        with step(f"2. The risk snapshot under the default policy{compile_note()}"):
            snapshot = build_snapshot(market, load_policy("default"))
        layout = layout_facts(build_circuit(snapshot, self.claim))
        terminal.say(f"   {len(snapshot.instruments)} slots, digest {snapshot.digest().hex()}")
        terminal.say(
            f"   {layout['equations']} equations over {layout['rows']} rows: a proof has {layout['proof_bytes']} bytes"
        )
        self._save("snapshot.json", snapshot, "the risk snapshot (public)")
        return snapshot

    def _book(self, market: Market, snapshot: Snapshot) -> tuple[Book, BookLots]:
        with step("3. A market maker's book and its margin (secret: only the owner sees this)"):
            book = Book.model_validate(example_book(market))
            lots = to_lots(book, snapshot)
            report = margin_report(snapshot, lots)
        self._save("book.json", book, "the book (secret, mode 0600)")
        margin_view(snapshot, report, margin_report(snapshot, lots, "maintenance"), legs=LEGS_SHOWN)
        return book, lots

    def _commit(self, snapshot: Snapshot, lots: BookLots) -> Opening:
        with step("4. Two commitments, to the positions and to the collateral: they hide both perfectly"):
            opening = commit_book(snapshot, lots, alias="market maker")
        commitment = opening.commitment()
        for part in commitment.parts:
            terminal.say(f"   {part.role:<10} {part.points[0]}")
        self._save("commitment.json", commitment, "the commitments (public)")
        self._save("opening.json", opening, "their opening (secret, mode 0600)")
        return opening

    def _prove(self, snapshot: Snapshot, lots: BookLots, opening: Opening) -> bytes:
        statement = Statement.of(snapshot, [opening.commitment()], self.claim, context=self.context)
        with step(f"5. The proof that {claim_words(self.claim)}{compile_note()}"):
            proof = prove(statement, lots, [opening])
        terminal.say(f"   {len(proof)} bytes, verified before it was released")
        write_atomic(self.folder / "proof.bin", proof)
        self.files.append(("proof.bin", "the proof (public)"))
        return proof

    def _verify(self, snapshot: Snapshot, commitment: Commitment, proof: bytes) -> None:
        statement = Statement.of(snapshot, [commitment], self.claim, context=self.context)
        with step("6. Verification, from the public files only"):
            accepted = verify(statement, proof)
        terminal.say("   accepted. Proved, for the committed positions and collateral:")
        for line in statement_lines(statement_facts(statement)):
            terminal.say(f"     {line}")
        terminal.say(f"     statement    digest {accepted.statement_digest.hex()}")
        for line in not_guaranteed_lines():
            terminal.say(f"   {line}")
        begin = time.perf_counter()
        command = [sys.executable, "-m", "zkmargin", "verify", *self._verify_options(), str(self.folder / "proof.bin")]
        cold = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
        if cold.returncode != 0:
            _alarm(f"a new `zkmargin verify` process does not accept the proof (exit code {cold.returncode})")
        terminal.say(
            f"   a new `zkmargin verify` process accepts it too, in {time.perf_counter() - begin:.2f} s from its start"
        )

    # --- what must fail ---------------------------------------------------------------------------------------------

    def _one_unit_short(self, snapshot: Snapshot, book: Book, lots: BookLots) -> None:
        with step(f"7. The same book with collateral one unit ({_lot(snapshot)} {CASH}) short"):
            enough = least_cash(snapshot, lots, self.claim)
            short = with_cash(snapshot, enough, cash_of(snapshot, enough) - 1)
        boundary = self._with_balance(snapshot, book, enough)
        self._save("book-boundary.json", boundary, f"the book with the least {CASH} for which the claim holds (secret)")
        check_witness(build_circuit(snapshot, self.claim), margin_witness(snapshot, self.claim, enough))
        terminal.say(f"   with {boundary.collateral[CASH]} {CASH} the claim holds: every equation was checked")
        refused = self._with_balance(snapshot, book, short)
        self._save("book-short.json", refused, "the same one unit short (secret)")
        reason = must_raise("one unit short", ConstraintError, lambda: margin_witness(snapshot, self.claim, short))
        terminal.say(f"   with {refused.collateral[CASH]} {CASH}: refused")
        terminal.say(f"     {terminal.safe(reason)}")
        opening = commit_book(snapshot, short, alias="market maker")
        statement = Statement.of(snapshot, [opening.commitment()], self.claim)
        must_raise("a proof of it", ConstraintError, lambda: prove(statement, short, [opening]))
        terminal.say("   no proof of it can be made")

    def _must_be_rejected(
        self, market: Market, snapshot: Snapshot, lots: BookLots, opening: Opening, proof: bytes
    ) -> None:
        commitment = opening.commitment()
        with step("8. What a verifier must reject"):
            moved = replace_price(market)
            other_snapshot = build_snapshot(moved, snapshot.policy)
            other = commit_book(snapshot, lots, alias="market maker").commitment()
        self._save("snapshot-other.json", other_snapshot, "a snapshot of a market where one vol differs (public)")
        self._save("commitment-other.json", other, "a new commitment to the same book (public)")
        flipped = bytearray(proof)
        flipped[HEADER_BYTES + (len(proof) - HEADER_BYTES) // 2] ^= 1
        write_atomic(self.folder / "proof-flipped.bin", bytes(flipped))
        self.files.append(("proof-flipped.bin", "the proof with one bit flipped"))
        honest = (snapshot, commitment, self.claim, self.context, proof)
        bad: dict[str, tuple[Snapshot, Commitment, Claim, bytes, bytes]] = {
            "one flipped byte": (*honest[:4], bytes(flipped)),
            "another commitment": (snapshot, other, *honest[2:]),
            "another claim (1.01)": (snapshot, commitment, Claim(101, 100), *honest[3:]),
            "the maintenance requirement": (snapshot, commitment, Claim(1, 1, "maintenance"), *honest[3:]),
            "another context": (snapshot, commitment, self.claim, b"another reader", proof),
            "another snapshot": (other_snapshot, commitment, *honest[2:]),
        }
        for what, (s, c, claim, context, data) in bad.items():
            statement = Statement.of(s, [c], claim, context=context)
            reason = must_raise(
                what,
                (ProofFormatError, VerificationError),
                lambda st=statement, d=data: verify(st, d),  # type: ignore[misc]
            )
            terminal.say(f"   rejected: {what:<28} ({terminal.safe(reason)})")

    # --- several segments -------------------------------------------------------------------------------------------

    def _segments(self, market: Market, lots: BookLots) -> Snapshot:
        with step(f"9. The same market with segments of {SMALL_DOMAIN} rows: a book that takes several"):
            snapshot = build_snapshot(market, load_policy("default"), domain_size=SMALL_DOMAIN)
            opening = commit_book(snapshot, lots, alias="market maker")
            commitment = opening.commitment()
            statement = Statement.of(snapshot, [commitment], self.claim, context=self.context)
            begin = time.perf_counter()
            proof = prove(statement, lots, [opening])
            seconds = time.perf_counter() - begin
            verify(statement, proof)
        if statement.circuit.position_segments < 2:
            _alarm("the book takes one segment only")
        terminal.say(
            f"   {statement.circuit.position_segments} segments of positions; proved in {_took(seconds)}, "
            f"{len(proof)} bytes, accepted"
        )
        self._save("small-snapshot.json", snapshot, f"the snapshot with {SMALL_DOMAIN} rows (public)")
        self._save("small-commitment.json", commitment, "its commitments (public)")
        self._save("small-opening.json", opening, "their opening (secret)")
        write_atomic(self.folder / "small-proof.bin", proof)
        self.files.append(("small-proof.bin", "the proof over several segments (public)"))
        return snapshot

    def _examples(
        self, market: Market, snapshot: Snapshot, book: Book, lots: BookLots, opening: Opening, small: Snapshot
    ) -> None:
        with step("10. What venue, custodian, oracle and verifier keep: the examples of every --help run on it"):
            ExampleFiles(self.folder, market, snapshot, book, lots, opening, small).make()
        terminal.say(
            "   keys, a trust file, attestations, a challenge and its answer, updates, a ledger, a calibrated policy"
        )
        self.files.append(("oracle.key.json ...", "keys of three parties; pass.txt has their passphrase"))
        self.files.append(("trust.json ...", "whose signatures count, and what they signed"))
        self.files.append(("bundle.json", "the answer and all public files around it in one"))
        self.files.append(("ledger.db", "what a verifier accepted"))
        self.files.append(("table.json, chain.bin", "what contracts read, and a proof for them"))
        self.files.append(("closes.csv, rule.json", "invented closes, and how a policy follows from them"))

    # --- files ------------------------------------------------------------------------------------------------------

    def _with_balance(self, snapshot: Snapshot, book: Book, lots: BookLots) -> Book:
        lot = to_fraction(_lot(snapshot)) * cash_of(snapshot, lots)
        return Book(positions=book.positions, collateral={**book.collateral, CASH: from_units(int(lot * 10**9), 9)})

    def _save(self, name: str, document: Document, what: str) -> None:
        save_document(document, self.folder / name)
        self.files.append((name, what))

    def _verify_options(self) -> list[str]:
        at = self.folder
        return [
            "--snapshot",
            str(at / "snapshot.json"),
            "--commitment",
            str(at / "commitment.json"),
            "--context",
            CONTEXT,
        ]

    def _what_to_try(self) -> None:
        at = self.folder
        terminal.say(f"\nThe files, in {at}:")
        for name, what in self.files:
            terminal.say(f"   {name:<24} {what}")
        verify_line = f'zkmargin verify --snapshot snapshot.json --commitment commitment.json --context "{CONTEXT}"'
        terminal.say(f"\nTry (after `cd {at}`):")
        for line in (
            "zkmargin snapshot show snapshot.json",
            "zkmargin snapshot check snapshot.json market.json",
            "zkmargin margin book.json --snapshot snapshot.json",
            "zkmargin check --snapshot snapshot.json --book book-short.json           # exit code 1",
            "zkmargin commit book.json --snapshot snapshot.json -o my-commitment.json --opening my-opening.json",
            "zkmargin prove --snapshot snapshot.json --book book.json --opening opening.json -o my-proof.bin",
            f"{verify_line} --max-age 1h proof.bin",
            f"{verify_line} proof-flipped.bin     # exit code 1",
            "zkmargin inspect proof.bin --snapshot snapshot.json",
        ):
            terminal.say(f"   {line}")


# --- pieces ---------------------------------------------------------------------------------------------------------


def cash_of(snapshot: Snapshot, lots: BookLots) -> int:
    """The balance of ``CASH`` in lots."""
    return lots.collateral[_cash_slot(snapshot)]


def with_cash(snapshot: Snapshot, lots: BookLots, balance: int) -> BookLots:
    """The book with another balance of ``CASH`` (lots)."""
    slot = _cash_slot(snapshot)
    return replace(lots, collateral=(*lots.collateral[:slot], balance, *lots.collateral[slot + 1 :]))


def least_cash(snapshot: Snapshot, lots: BookLots, claim: Claim) -> BookLots:
    """The book with the least balance of ``CASH`` for which the claim holds: one lot less and it does not.

    Raises:
        InputError: no balance within the slot's bound makes it hold, or every one does.
    """
    high = (1 << snapshot.collateral[_cash_slot(snapshot)].bits) - 1
    low = -high
    if claim_slack(snapshot, with_cash(snapshot, lots, high), claim) < 0:
        raise InputError("no balance makes the claim hold", field=CASH)
    if claim_slack(snapshot, with_cash(snapshot, lots, low), claim) >= 0:
        raise InputError("every balance makes the claim hold", field=CASH)
    while high - low > 1:
        middle = (low + high) // 2
        if claim_slack(snapshot, with_cash(snapshot, lots, middle), claim) >= 0:
            high = middle
        else:
            low = middle
    return with_cash(snapshot, lots, high)


def replace_price(market: Market) -> Market:
    """The market with the vol of its first option up by 0.0001: the smallest other market."""
    instruments = list(market.instruments)
    at = next(i for i, instrument in enumerate(instruments) if instrument.implied_vol is not None)
    vol = to_fraction(instruments[at].implied_vol or "") + to_fraction("0.0001")
    instruments[at] = instruments[at].model_copy(update={"implied_vol": from_units(int(vol * 10**9), 9)})
    return Market.model_validate(
        {**{name: getattr(market, name) for name in Market.model_fields}, "instruments": tuple(instruments)}
    )


def _cash_slot(snapshot: Snapshot) -> int:
    return next(j for j, slot in enumerate(snapshot.collateral) if slot.asset == CASH)


def _lot(snapshot: Snapshot) -> str:
    return snapshot.collateral[_cash_slot(snapshot)].lot


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is being done, do it, say how long it took."""
    terminal.say(f"\n{title}")
    sys.stdout.flush()
    begin = time.perf_counter()
    with terminal.progress("   working"):
        yield
    terminal.say(f"   ({_took(time.perf_counter() - begin)})")


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def must_raise(
    what: str, kinds: type[ZkMarginError] | tuple[type[ZkMarginError], ...], action: Callable[[], object]
) -> str:
    """The reason of a refusal that must come; the demo fails loudly when it does not."""
    try:
        action()
    except kinds as error:
        return error.message
    return _alarm(f"{what} was accepted")


def _alarm(what: str) -> str:
    raise VerificationError(
        f"THE DEMO FAILED: {what}", check="demo", hint="do not use this installation; please report it (SECURITY.md)"
    )
