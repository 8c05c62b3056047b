"""Every account of a venue: accounts from files, classes that hold them, a proof, notes for customers."""

from __future__ import annotations

import csv
import hashlib
import io
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from zkmargin.accounts import Commitment
from zkmargin.accounts.commitments import commit_vector
from zkmargin.accounts.slots import ROLES
from zkmargin.app.files import blamed_on, read_proof, warn_if_exposed
from zkmargin.app.venue_dense import DenseBook
from zkmargin.app.venue_names import check_name
from zkmargin.circuits.venue import (
    MAX_SLOTS,
    BlockClass,
    BlockTemplate,
    Ratio,
    VenueRules,
    choose_block,
    default_charge_bits,
)
from zkmargin.engine.book import Book, BookLots, load_book, to_lots
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import to_units
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import (
    ConstraintError,
    Digest,
    Document,
    Hexadecimal,
    InputError,
    Map,
    Seq,
    VerificationError,
)
from zkmargin.formats.documents import in_words
from zkmargin.formats.files import read_text
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.profile import Profile
from zkmargin.prover.venue.blinders import SEED_BYTES, SeededBlinders
from zkmargin.prover.venue.blocks import ClassBooks
from zkmargin.prover.venue.cluster import Cluster
from zkmargin.prover.venue.notes import NoteMaker
from zkmargin.prover.venue.preparing import Preparing
from zkmargin.prover.venue.prove import inputs_digest, prove_venue
from zkmargin.prover.venue.witness import VenueWitness, build_witness, held_totals, net_positions
from zkmargin.prover.venue.workers import VenueWorkers, preparing
from zkmargin.verifier.venue.customers import (
    CheckedAccount,
    Nonce,
    VenueNote,
    VenueRecord,
    check_note,
    record_of,
    tag_of,
)
from zkmargin.verifier.venue.proof import decode_venue_proof, venue_proof_bytes
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import DenseAccount, VenueTerms
from zkmargin.verifier.venue.verify import VenueAccepted, verify_venue

#: Legs a slot of the classes that accounts are sorted into.
CLASS_LEGS = (4, 16, 64)
MAX_CSV_BYTES = 1 << 30
CSV_HEADER = ["account", "section", "name", "quantity"]
NONCES_HEADER = ["account", "nonce"]
#: Way out of a secret that no notes can be made from.
THEN = "give every account with the book that it had when it was proved"
KEPT = "give the secret file that was written with the proof"
#: Of invented accounts: positions, and cash in USDC.
INVENTED_LEGS, INVENTED_CASH = 4, 10_000_000
NetChoice = Literal["none", "public", "zero"]


@dataclass(frozen=True, repr=False)
class VenueAccount:
    """One account: secret.

    Attributes:
        name: as the venue and the customer call it.
        lots: its book.
        nonce: 16 bytes that the customer drew, or None.
    """

    name: str
    lots: BookLots
    nonce: bytes | None = None

    def slots(self, group_of: Sequence[int], legs: int) -> list[tuple[int, list[tuple[int, int]]]]:
        """(group, [(instrument, lots)]) for each slot of so many legs that its positions take."""
        by_group: dict[int, list[tuple[int, int]]] = {}
        for i, q in enumerate(self.lots.positions):
            if q:
                by_group.setdefault(group_of[i], []).append((i, q))
        return [
            (group, members[start : start + legs])
            for group, members in by_group.items()
            for start in range(0, len(members), legs)
        ]


class VenueSecret(Document):
    """What a venue keeps to make notes about a proof: the seed of its blinders, and every account's place and nonce.

    Attributes:
        statement, proof: digests of what was published.
        inputs: digest of all books and tags, hex: a seed serves one witness only.
        seed: hex.
        classes: the accounts' names in order, class by class.
        nonces: by name, hex.
    """

    FORMAT: ClassVar[str] = "zkmargin/venue-secret/v1"
    SECRET: ClassVar[bool] = True

    statement: Digest
    proof: Digest
    inputs: Digest
    seed: Annotated[str, Hexadecimal(SEED_BYTES)] = Field(repr=False)
    classes: Seq[Seq[str]] = Field(repr=False)
    nonces: Map[str, Nonce] = Field(repr=False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [name for mine in self.classes for name in mine]
        if len(set(names)) != len(names):
            raise InputError("an account appears twice", field="classes", hint=KEPT)
        missing = next((name for name in names if name not in self.nonces), None)
        if missing is not None:
            raise InputError(f"none of account {missing[:100]!r}", field="nonces", hint=KEPT)
        return self


@dataclass(frozen=True)
class Asked:
    """What a venue wants to prove.

    Attributes:
        venue: its name.
        requirement, claim: of every account; claim as text, "1" or "5/4".
        net: nothing, the books' sums as they are, or 0 for every instrument.
        totals: whether totals of held balances are public.
        cap: the most that all shortfalls may be, decimal text in quote currency, or None.
        exempt: how many accounts may miss their claim, or None.
        context: of the statement.
        limits: of every account, in canonical text: ``headroom >= X``.
        position_bits, digit_bits: bounds; what the books and the domain need without.
    """

    venue: str
    requirement: Literal["initial", "maintenance"] = "initial"
    claim: str = "1"
    net: NetChoice = "none"
    totals: bool = False
    cap: str | None = None
    exempt: int | None = None
    context: bytes = b""
    limits: tuple[str, ...] = ()
    position_bits: int = 22
    digit_bits: int | None = None


@dataclass(frozen=True, repr=False)
class Prepared:
    """A statement, its witness, and which account is where."""

    snapshot: Snapshot
    statement: VenueStatement
    witness: VenueWitness
    classes: tuple[tuple[VenueAccount, ...], ...]
    nonces: dict[str, bytes]
    makers: Preparing | None = None  # workers that made it, and will prove it


@dataclass(frozen=True, repr=False)
class MadeVenue:
    """A proof and everything that goes with it."""

    proof: bytes
    accepted: VenueAccepted
    record: VenueRecord
    secret: VenueSecret
    seconds: float
    profile: Profile


# --- accounts ---------------------------------------------------------------------------------------------------


def load_accounts(path: str, snapshot: Snapshot, nonces: Mapping[str, bytes] | None = None) -> list[VenueAccount]:
    """Accounts from a folder of books (the file's name is the account's) or a CSV of positions.

    A CSV has the header ``account,section,name,quantity``; section is ``positions`` or ``collateral``, quantities are
    decimals in the instrument's or asset's own units.

    Raises:
        InputError: the file, account and field that are wrong.
    """
    found = _from_folder(path, snapshot) if Path(path).is_dir() else _from_csv(path, snapshot)
    if not found:
        raise InputError("no accounts", file=path)
    known = nonces or {}
    unknown = sorted(set(known) - set(found))
    if unknown:
        raise InputError(f"a nonce for {unknown[0][:100]!r}, which is no account of {path}", field="nonces")
    return [VenueAccount(name, lots, known.get(name)) for name, lots in found.items()]


def _from_folder(path: str, snapshot: Snapshot) -> dict[str, BookLots]:
    files = sorted(file for file in Path(path).iterdir() if file.suffix == ".json")
    for file in files[:1]:
        warn_if_exposed(str(file))
    for file in files:
        check_name(file.stem, file=str(file), field="the account's name, which is the file's")
    return {file.stem: load_book(file, snapshot) for file in files}


def _from_csv(path: str, snapshot: Snapshot) -> dict[str, BookLots]:
    books: dict[str, dict[str, dict[str, str]]] = {}
    for line, row in _rows(path, CSV_HEADER):
        account, section, name, quantity = row
        if section not in ("positions", "collateral"):
            raise InputError('neither "positions" nor "collateral"', file=path, line=line, field="section")
        check_name(account, file=path, line=line, field="account")
        mine = books.setdefault(account, {"positions": {}, "collateral": {}})[section]
        if name in mine:
            raise InputError("the same position or balance twice", file=path, line=line, field=f"account {account}")
        mine[name] = quantity
    found = {}
    for account, book in books.items():
        try:
            found[account] = to_lots(Book.model_validate(book), snapshot)
        except InputError as error:
            where = f"account {account[:100]}: {error.field}"
            raise InputError(error.reason, file=path, field=where, hint=error.hint) from None
    warn_if_exposed(path)
    return found


def load_nonces(path: str) -> dict[str, bytes]:
    """Customers' nonces from a CSV ``account,nonce``: 32 hexadecimal digits each. Raises InputError."""
    found: dict[str, bytes] = {}
    used: set[bytes] = set()
    for line, (account, text) in _rows(path, NONCES_HEADER):
        try:
            nonce = bytes.fromhex(text)
        except ValueError:
            nonce = b""
        if len(nonce) != 16 or text != text.lower():
            raise InputError("not 32 hexadecimal digits, lower case", file=path, line=line, field="nonce")
        if account in found or nonce in used:
            raise InputError("an account or a nonce twice", file=path, line=line, field="nonce")
        found[account] = nonce
        used.add(nonce)
    warn_if_exposed(path)
    return found


def _rows(path: str, header: list[str]) -> list[tuple[int, list[str]]]:
    text = read_text(path, max_bytes=MAX_CSV_BYTES).removeprefix("\ufeff")  # spreadsheets begin UTF-8 with this mark
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]  # no row: a blank line
    except csv.Error as error:
        raise InputError(f"no CSV: {error}", file=path, line=reader.line_num) from None
    if not rows or rows[0][1] != header:
        raise InputError(f"its first line is not {','.join(header)}", file=path, line=1)
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise InputError(f"{len(row)} fields, not {len(header)}", file=path, line=line)
    return rows[1:]


def invented_accounts(snapshot: Snapshot, count: int) -> list[VenueAccount]:
    """Accounts in pairs, each short of what the other one is long; the same ones for the same snapshot and count."""
    instruments, assets = len(snapshot.instruments), len(snapshot.collateral)
    cash = next(j for j, slot in enumerate(snapshot.collateral) if slot.asset == "USDC")
    accounts: list[VenueAccount] = []
    for pair in range(count // 2):
        drawn = hashlib.shake_256(b"demo venue %d" % pair).digest(3 * INVENTED_LEGS)
        positions = [0] * instruments
        for leg in range(INVENTED_LEGS):
            a, b, size = drawn[3 * leg : 3 * leg + 3]
            positions[(256 * a + b) % instruments] = 1 + size % 5
        balances = [0] * assets
        balances[cash] = INVENTED_CASH * 10 ** (len(snapshot.collateral[cash].lot.partition(".")[2]))
        for side in (1, -1):
            lots = BookLots(tuple(side * q for q in positions), tuple(balances))
            accounts.append(VenueAccount(f"account-{len(accounts):04}", lots))
    return accounts


# --- classes ----------------------------------------------------------------------------------------------------


def sort_into_classes(
    accounts: Sequence[VenueAccount], rules: VenueRules, options: Asked, n: int
) -> tuple[tuple[BlockClass, ...], tuple[tuple[VenueAccount, ...], ...]]:
    """The classes of 4, 16 and 64 legs that hold all accounts, and who is in which.

    Raises:
        InputError: an account that no class holds, by name.
    """
    members: dict[int, list[VenueAccount]] = {legs: [] for legs in CLASS_LEGS}
    slots: dict[int, int] = dict.fromkeys(CLASS_LEGS, 1)
    for account in accounts:
        by_group: dict[int, int] = {}
        for i, q in enumerate(account.lots.positions):
            if q:
                by_group[rules.group_of[i]] = by_group.get(rules.group_of[i], 0) + 1
        largest = max(by_group.values(), default=0)
        legs = next((legs for legs in CLASS_LEGS if legs >= largest), CLASS_LEGS[-1])
        needed = sum(-(-count // legs) for count in by_group.values())
        most = MAX_SLOTS if rules.policy is None else 1
        if needed > most:
            raise InputError(
                f"{needed} slots of {legs} legs, more than {most}: too large for a block",
                field=f"account {account.name[:100]}",
                hint="commit its book and prove it as a dense account",
            )
        members[legs].append(account)
        slots[legs] = max(slots[legs], needed)
    k = options.digit_bits or n.bit_length() - 1
    probe = VenueTerms(
        venue="-",
        requirement=options.requirement,
        domain_size=n,
        digit_bits=k,
        helper_group=7,
        classes=(BlockClass(name="-", accounts=1, legs=1, slots=1, block=1, position_bits=1, charge_bits=1),),
    ).options
    classes = []
    limits: dict[str, Any] = {"limits": options.limits} if options.limits else {}
    for legs, mine in members.items():
        if not mine:
            continue
        bits = default_charge_bits(rules, legs, options.position_bits, k)
        candidates = [
            BlockTemplate(
                BlockClass(
                    name=f"up to {legs} legs",
                    accounts=len(mine),
                    legs=legs,
                    slots=slots[legs],
                    block=block,
                    position_bits=options.position_bits,
                    charge_bits=bits,
                    claim=options.claim,
                    **limits,
                ),
                rules,
                probe,
                n,
            )
            for block in (1, 2, 4, 8, 16, 32, 64)
            if slots[legs] <= block <= n
        ]
        classes.append(choose_block(candidates).spec)
    return tuple(classes), tuple(tuple(mine) for mine in members.values() if mine)


def class_books(spec: BlockClass, accounts: Sequence[VenueAccount], rules: VenueRules) -> ClassBooks:
    """The books of a class as arrays."""
    count, K, L = len(accounts), spec.slots, spec.legs
    groups = np.zeros((count, K), dtype=np.int64)
    ids, lots = np.zeros((count, K, L), dtype=np.int64), np.zeros((count, K, L), dtype=np.int64)
    balances = np.array([account.lots.collateral for account in accounts], dtype=np.int64)
    for a, account in enumerate(accounts):
        for s, (group, legs) in enumerate(account.slots(rules.group_of, L)):
            groups[a, s] = group
            ids[a, s, :] = legs[0][0]
            for q, (i, amount) in enumerate(legs):
                ids[a, s, q], lots[a, s, q] = i, amount
    names = [account.name for account in accounts]
    return ClassBooks(names, groups, ids, lots, balances.reshape(count, rules.assets))


# --- proving ----------------------------------------------------------------------------------------------------


def prepare(
    snapshot: Snapshot,
    accounts: Sequence[VenueAccount],
    asked: Asked,
    dense: Sequence[DenseBook] = (),
    *,
    workers: int = 1,
    cluster: Cluster | None = None,
) -> Prepared:
    """Terms, statement and witness. Accounts without a nonce get one from the operating system.

    Args:
        snapshot: the risk snapshot.
        accounts: those that go into blocks.
        asked: what is to be proved.
        dense: those that have a commitment of their own.

    Raises:
        InputError: accounts that do not fit, numbers that contradict the books, an opening of another book.
        ConstraintError: accounts under margin, by name with their shortfalls; net positions that are not 0.
    """
    twice = {account.name for account in accounts} & {account.name for account in dense}
    if twice:
        raise InputError(
            "is given twice, in a block and by a commitment of its own: its book would count twice",
            field=f"account {min(twice)[:100]}",
            hint="leave it out of one of the two",
        )
    n, commitments = snapshot.layout.domain_size, [account.commitment for account in dense]
    rules = VenueRules.of(snapshot, asked.requirement)
    claim = str(Ratio.parse(asked.claim))
    asked = Asked(**{**asked.__dict__, "claim": claim})
    limits: dict[str, Any] = {"limits": asked.limits} if asked.limits else {}  # a field of later terms
    with in_words():
        classes, members = sort_into_classes(accounts, rules, asked, n)

    def state(**more: Any) -> VenueStatement:
        with in_words():
            terms = VenueTerms(
                venue=asked.venue,
                requirement=asked.requirement,
                domain_size=n,
                digit_bits=asked.digit_bits or n.bit_length() - 1,
                helper_group=7,
                classes=classes,
                dense=tuple(DenseAccount(commitment=c.digest().hex(), claim=claim, **limits) for c in commitments),
                cap=None if asked.cap is None else str(to_units(asked.cap, VALUATION_DECIMALS, field="cap")),
                exempt=asked.exempt,
                **more,
            )
        return VenueStatement.of(snapshot, terms, commitments=commitments, context=asked.context)

    lots = [account.lots for account in dense]
    books = [class_books(spec, mine, rules) for spec, mine in zip(classes, members, strict=True)]
    more: dict[str, Any] = {}
    if asked.net == "zero":
        more["net"] = ("0",) * rules.instruments
    draft = state()
    if asked.net == "public":
        more["net"] = tuple(map(str, net_positions(draft, books, lots)))
    if asked.totals:
        more["totals"] = tuple(map(str, held_totals(draft, books, lots)))
    statement = state(**more)
    nonces = {account.name: account.nonce or secrets.token_bytes(16) for account in accounts}
    drawn = [[nonces[account.name] for account in mine] for mine in members]
    if workers == 1 and cluster is None:
        return Prepared(snapshot, statement, witness_of(statement, books, drawn, dense), members, nonces)
    elsewhere = (workers, None) if cluster is None else (len(cluster.workers), cluster.connect)
    makers = preparing(snapshot, statement, *elsewhere)
    try:
        return Prepared(
            snapshot, statement, witness_of(statement, books, drawn, dense, makers), members, nonces, makers
        )
    except BaseException:
        makers.close()
        raise


def witness_of(
    statement: VenueStatement,
    books: Sequence[ClassBooks],
    nonces: Sequence[Sequence[bytes]],
    dense: Sequence[DenseBook] = (),
    makers: Preparing | None = None,
) -> VenueWitness:
    """The witness, by workers where there are some. Raises InputError for an opening of another book, else as
    ``build_witness``.
    """
    if makers is not None:
        tags = makers.tags(books, nonces)
    else:
        tags = [
            [tag_of(statement.digest, name, nonce) for name, nonce in zip(mine.names, drawn, strict=True)]
            for mine, drawn in zip(books, nonces, strict=True)
        ]
    hidden, names = [account.hidden for account in dense], [account.name for account in dense]
    try:
        witness = build_witness(statement, books, tags, hidden, names, makers)
    except ConstraintError as error:
        raise _by_name(error, statement, books, [account.lots for account in dense]) from None
    committed = statement.committed_points()
    for y, (account, (lots, blinders)) in enumerate(zip(dense, hidden, strict=True)):
        for role in ROLES:
            mine = [blinders[name] for name in sorted(blinders) if name.startswith(role)]
            points = commit_vector(statement.srs, statement.n, getattr(lots, role), mine)
            stated = (committed[f"dense {y} {role}[{s}]"] for s in range(len(mine)))
            if points != [bytes(point.to_compressed_bytes()) for point in stated]:
                raise InputError(
                    f"its opening does not open its commitment to these {role}", field=f"account {account.name[:100]}"
                )
    return witness


def _by_name(
    error: ConstraintError, statement: VenueStatement, books: Sequence[ClassBooks], dense: Sequence[BookLots]
) -> ConstraintError:
    """The error; where books do not sum to the stated net positions, one that names the first such instrument."""
    if error.rule != "net" or statement.terms.net is None:
        return error
    found = zip(statement.terms.net, net_positions(statement, books, dense), strict=True)
    i, want, have = next((i, want, have) for i, (want, have) in enumerate(found) if int(want) != have)
    return ConstraintError(
        f"terms: net: {statement.snapshot.instruments[i].id}: the books together have {have} lots, not {want}",
        rule="net",
        shortfall=0,
        hint="is an account missing? The other side of each trade must be among the books",
    )


def make_venue_proof(prepared: Prepared, *, threads: int, elsewhere: bool = False) -> MadeVenue:
    """Prove, verify, and keep what notes need. The workers that made the witness, if any, prove it and are ended.

    Args:
        threads: parts of the work at the same time, in this process.
        elsewhere: whether workers are on other machines, which see no file of this one.

    Raises as ``prove_venue`` does.
    """
    begin, profile, statement = time.perf_counter(), Profile(), prepared.statement
    seed, inputs = secrets.token_bytes(SEED_BYTES), inputs_digest(statement, prepared.witness)
    if prepared.makers is not None:
        with prepared.makers as makers:
            given = (prepared.snapshot, statement, prepared.witness, inputs, makers.count)
            with VenueWorkers(*given, connect=makers.connect, here=not elsewhere, seeds=[seed]) as running:
                try:
                    proof, accepted = running.prove_and_verify(profile=profile)
                except ProverError as error:
                    raise makers.blamed(error) from None
    else:
        blinders = SeededBlinders(seed, inputs)
        proof, accepted = prove_venue(statement, prepared.witness, blinders=blinders, threads=threads, profile=profile)
    record = accepted.record
    secret = VenueSecret(
        statement=record.statement,
        proof=record.proof,
        inputs=inputs.hex(),
        seed=seed.hex(),
        classes=tuple(tuple(account.name for account in mine) for mine in prepared.classes),
        nonces={name: nonce.hex() for name, nonce in prepared.nonces.items()},
    )
    return MadeVenue(proof, accepted, record, secret, time.perf_counter() - begin, profile)


# --- verification and notes ---------------------------------------------------------------------------------------


def read_venue_proof(path: str, statement: VenueStatement) -> bytes:
    """A proof file, no more of it than a proof of the statement has. Raises InputError, ProofFormatError."""
    return read_proof(path, most=venue_proof_bytes(statement))


def verify_venue_proof(
    statement: VenueStatement, proof: bytes, record: VenueRecord | None = None
) -> tuple[VenueAccepted, VenueRecord]:
    """Verify a proof, and that it is the one of a published record.

    Raises:
        ProofFormatError, VerificationError: rejected.
    """
    accepted = verify_venue(statement, proof)
    made = accepted.record
    if record is not None and record != made:
        raise VerificationError("the proof holds, but it is not the one of the published record", check="record")
    return accepted, made


def note_maker(
    statement: VenueStatement,
    proof: bytes,
    snapshot: Snapshot,
    accounts: Sequence[VenueAccount],
    secret: VenueSecret,
    dense: Sequence[DenseBook] = (),
) -> NoteMaker:
    """Make notes about a proof again from accounts and the venue's secret.

    Raises:
        InputError: other accounts, or a secret of another proof.
        ProofFormatError: a proof that is none of the statement.
    """
    terms = statement.terms
    if secret.statement != statement.digest.hex():
        raise InputError("is about another statement", field="secret", hint=KEPT)
    counts = [len(mine) for mine in secret.classes]
    if counts != [spec.accounts for spec in terms.classes]:
        raise InputError(
            f"names {sum(counts)} accounts, the terms have {statement.accounts}: not as many in each class",
            field="secret",
            hint=KEPT,
        )
    decoded = decode_venue_proof(proof, statement)
    if record_of(statement, decoded).proof != secret.proof:
        raise InputError(
            "is not the proof that the secret was kept for", field="proof", hint="give the one that was published"
        )
    by_name = {account.name: account for account in accounts}
    for name in (name for mine in secret.classes for name in mine):
        if name not in by_name:
            raise InputError("no such account now", field=f"account {name[:100]}", hint=THEN)
    members = [[by_name[name] for name in mine] for mine in secret.classes]
    rules = VenueRules.of(snapshot, statement.terms.requirement)
    for spec, mine in zip(terms.classes, members, strict=True):
        for account in mine:
            if len(account.slots(rules.group_of, spec.legs)) > spec.slots:
                raise InputError("its book is not that of the proof", field=f"account {account.name[:100]}", hint=THEN)
    books = [class_books(spec, mine, rules) for spec, mine in zip(terms.classes, members, strict=True)]
    nonces = [[bytes.fromhex(secret.nonces[account.name]) for account in mine] for mine in members]
    if tuple(account.commitment.digest().hex() for account in dense) != tuple(d.commitment for d in terms.dense):
        raise InputError("not the committed accounts of the proof", field="dense")
    other = InputError("the accounts are not those of the proof", field="accounts", hint=THEN)
    try:
        witness = witness_of(statement, books, nonces, dense)
    except ConstraintError:  # what was proved held then: these are other books
        raise other from None
    inputs = inputs_digest(statement, witness)
    if inputs.hex() != secret.inputs:
        raise other
    blinders = SeededBlinders(bytes.fromhex(secret.seed), inputs)
    return NoteMaker(statement, decoded, witness, blinders)


def note_for(maker: NoteMaker, secret: VenueSecret, name: str) -> VenueNote:
    """The note of one account. Raises InputError for an unknown name."""
    number = 0
    for mine in secret.classes:
        if name in mine:
            return maker.note(number + mine.index(name), name, bytes.fromhex(secret.nonces[name]))
        number += len(mine)
    raise InputError(
        f"no account {name[:100]!r} in blocks", field="account", hint="names are as the accounts have them"
    )


def check_customer(
    snapshot: Snapshot,
    terms: VenueTerms,
    record: VenueRecord,
    note: VenueNote,
    book: BookLots,
    *,
    name: str,
    nonce: bytes,
    context: bytes = b"",
    commitments: Sequence[Commitment] = (),
) -> CheckedAccount:
    """A customer's check, from its own files. Raises InputError, VerificationError."""
    with blamed_on("terms"):
        statement = VenueStatement.of(snapshot, terms, commitments=commitments, context=context)
    positions = {i: q for i, q in enumerate(book.positions) if q}
    return check_note(statement, record, note, name=name, nonce=nonce, positions=positions, balances=book.collateral)
