"""What the agent holds: books and openings by holding, their generations, and who attested them. Secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zkmargin.accounts import Commitment, Opening
from zkmargin.accounts.holder import update_opening
from zkmargin.accounts.slots import ROLES, slot_maps
from zkmargin.agent.config import Config, Holding
from zkmargin.agent.journal import Generation, Journal
from zkmargin.app.files import load, warn_if_exposed
from zkmargin.engine.book import Book, BookLots, sum_of_books, to_book, to_lots
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.fills import Fills, add_fills, fills_to_lots
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier.attest import Attestation, CommitmentPayload


@dataclass(repr=False)
class Held:
    """One generation of a holding, read. Secret.

    Attributes:
        commitment: the public side of ``opening``.
    """

    generation: Generation
    book: Book
    opening: Opening
    commitment: Commitment


@dataclass(frozen=True)
class Chosen:
    """What a proof is about: one generation of each holding, and their sum. Secret.

    Attributes:
        label: the generations' numbers, for the journal.
        newest: whether these are the newest of all holdings.
        lots: the whole book in the snapshot's lots.
    """

    label: str
    newest: bool
    openings: tuple[Opening, ...]
    commitments: tuple[Commitment, ...]
    lots: BookLots


class Account:
    """Books and openings of the account's holdings, in the journal from the first start on.

    Args:
        config: names the files that are read at the first start.
        journal: has what came later.

    Raises:
        InputError: files that cannot be read, that are of another account, or that the journal did not begin with.
    """

    def __init__(self, config: Config, journal: Journal, *, now_ms: int) -> None:
        self._config, self._journal = config, journal
        self._held: dict[str, list[Held]] = {}
        self._attestations: dict[tuple[str, ...], Attestation] = {}
        self._lots: dict[tuple[object, ...], BookLots] = {}
        for holding in config.holdings:
            self._held[holding.name] = self._begin(holding, now_ms)
            for path in holding.attestations:
                self.attest(load(Attestation, path))
        for text in journal.kept("attestation"):
            self.attest(Attestation.parse(text, file="journal"))

    def _begin(self, holding: Holding, now_ms: int) -> list[Held]:
        found = self._journal.generations(holding.name)
        if not found:
            book, opening = load(Book, holding.book), load(Opening, holding.opening)
            for part in opening.parts:
                if part.alias != self._config.account:
                    raise InputError(
                        f"is of the account {part.alias[:80]!r}, not of {self._config.account[:80]!r}",
                        file=holding.opening,
                    )
            first = Generation(
                holding=holding.name,
                number=0,
                book=book.to_bytes().decode(),
                opening=opening.to_bytes().decode(),
                fills_name=None,
                fills_digest=None,
                update=None,
                delivered=True,
            )
            self._journal.put(f"origin {holding.name}", origin(book, opening))
            self._journal.add_generation(first, now_ms=now_ms)
            return [_read(first)]
        return [_read(generation) for generation in found if generation.book]

    # --- attestations -----------------------------------------------------------------------------------------------

    def attest(self, attestation: Attestation) -> bool:
        """Take the attestation of a part; True where it is the newest of its part."""
        payload = attestation.payload
        if not isinstance(payload, CommitmentPayload) or payload.account != self._config.account:
            return False
        known = self._attestations.get(payload.stream)
        if known is not None and known.payload.sequence >= payload.sequence:
            return False
        self._attestations[payload.stream] = attestation
        return True

    @property
    def attestations(self) -> tuple[Attestation, ...]:
        """The newest of each part."""
        return tuple(self._attestations.values())

    def attestations_of(self, commitments: Sequence[Commitment]) -> tuple[Attestation, ...]:
        """Those of the parts of some commitments."""
        points = {part.points for commitment in commitments for part in commitment.parts}
        return tuple(a for a in self._attestations.values() if _payload(a).points in points)

    def expiring(self, *, now_ms: int, within_seconds: int) -> list[tuple[CommitmentPayload, int]]:
        """The attestations that end soon or have ended, and in how many seconds (negative: since)."""
        found = []
        for attestation in self._attestations.values():
            payload = _payload(attestation)
            left = (parse_time(payload.expires) - now_ms) // 1000
            if left < within_seconds:
                found.append((payload, left))
        return found

    # --- what a proof is about --------------------------------------------------------------------------------------

    def newest(self, snapshot: Snapshot) -> Chosen:
        """The account as it is: every holding's newest generation. Raises InputError: other slots."""
        return self._chosen(snapshot, [held[-1] for held in self._held.values()], newest=True)

    def provable(self, snapshot: Snapshot, *, now_ms: int) -> Chosen | None:
        """The newest generations that count: attested ones, where that is asked. None: a holding has none yet."""
        chosen, newest = [], True
        for held in self._held.values():
            counting = [one for one in held if self._counts(one, now_ms)]
            if not counting:
                return None
            newest &= counting[-1] is held[-1]
            chosen.append(counting[-1])
        return self._chosen(snapshot, chosen, newest=newest)

    def _counts(self, held: Held, now_ms: int) -> bool:
        """Whether every part of a generation is attested now, where that is asked."""
        if not self._config.trust.attested:
            return True
        payloads = [_payload(attestation) for attestation in self._attestations.values()]
        points = {payload.points for payload in payloads if parse_time(payload.expires) > now_ms}
        return all(part.points in points for part in held.commitment.parts)

    def _chosen(self, snapshot: Snapshot, held: Sequence[Held], *, newest: bool) -> Chosen:
        slots = tuple(slot_maps(snapshot, role) for role in ROLES)
        key = (slots, *((one.generation.holding, one.generation.number) for one in held))
        if key not in self._lots:
            self._lots = dict(list(self._lots.items())[-7:])  # a snapshot's, and those of its neighbours
            self._lots[key] = _sum([to_lots(one.book, snapshot) for one in held], snapshot)
        return Chosen(
            ",".join(f"{one.generation.holding} {one.generation.number}" for one in held),
            newest,
            tuple(one.opening for one in held),
            tuple(one.commitment for one in held),
            self._lots[key],
        )

    # --- fills ------------------------------------------------------------------------------------------------------

    def applied(self, holding: str, name: str, digest: str) -> bool:
        """Whether a file of fills was applied before. Raises InputError: another one of that name was."""
        known = self._journal.fills_digest(holding, name)
        if known is not None and known != digest:
            raise InputError(
                "fills of this name were applied, and said something else", file=name, hint="give new fills a new name"
            )
        return known is not None

    def apply(self, holding: str, name: str, fills: Fills, snapshot: Snapshot, *, now_ms: int) -> Generation:
        """Apply fills: the book, the opening and the update after them are on disk when this returns.

        Raises:
            InputError: fills of other instruments, or that leave a bound; nothing has changed.
        """
        held = self._held[holding][-1]
        lots = fills_to_lots(fills, snapshot, file=name)
        after = add_fills(to_lots(held.book, snapshot), lots, snapshot)
        opening, update = update_opening(snapshot, held.opening, lots)
        generation = Generation(
            holding=holding,
            number=held.generation.number + 1,
            book=to_book(after, snapshot).to_bytes().decode(),
            opening=opening.to_bytes().decode(),
            fills_name=name,
            fills_digest=fills.digest().hex(),
            update=update.to_bytes().decode(),
            delivered=False,
        )
        self._journal.add_generation(generation, now_ms=now_ms)
        self._held[holding].append(_read(generation))
        return generation

    def undelivered(self) -> list[Generation]:
        """Generations whose update was not handed over, the oldest of each holding first."""
        names = {holding.name for holding in self._config.holdings}
        return [generation for generation in self._journal.undelivered() if generation.holding in names]

    def forget(self, *, now_ms: int) -> None:
        """Drop generations older than the one that counts: no proof will be about them any more."""
        for name, held in self._held.items():
            counting = [place for place, one in enumerate(held) if self._counts(one, now_ms)]
            if counting and counting[-1] > 0:
                self._held[name] = held[counting[-1] :]
                self._journal.forget_before(name, self._held[name][0].generation.number)

    def numbers(self) -> dict[str, int]:
        """The newest generation of each holding."""
        return {name: held[-1].generation.number for name, held in self._held.items()}

    def documents(self, holding: str) -> tuple[Book, Opening]:
        """The newest book and opening of a holding: secret."""
        held = self._held[holding][-1]
        return held.book, held.opening


def origin(book: Book, opening: Opening) -> str:
    """What a journal began with."""
    return f"{book.digest().hex()} {opening.digest().hex()}"


def check_origin(config: Config, journal: Journal) -> list[str]:
    """Holdings whose files are not those that the journal began with: it goes on with its own."""
    changed = []
    for holding in config.holdings:
        known = journal.get(f"origin {holding.name}")
        if known is not None:
            try:
                given = origin(load(Book, holding.book), load(Opening, holding.opening))
            except InputError:
                continue  # the files may be gone: the journal has what is newer
            if given != known:
                changed.append(holding.name)
    return changed


def _sum(books: Sequence[BookLots], snapshot: Snapshot) -> BookLots:
    return books[0] if len(books) == 1 else sum_of_books(books, snapshot)


def _read(generation: Generation) -> Held:
    opening = Opening.parse(generation.opening, file="journal")
    return Held(generation, Book.parse(generation.book, file="journal"), opening, opening.commitment())


def _payload(attestation: Attestation) -> CommitmentPayload:
    if not isinstance(attestation.payload, CommitmentPayload):
        raise TypeError("only attestations of commitments are kept here")
    return attestation.payload


__all__ = ["Account", "Chosen", "Held", "check_origin", "origin", "warn_if_exposed"]
