"""Customers of a venue: is my account inside, with my book? (docs/protocol-venue.md section 7)

A customer needs the public statement (snapshot, terms), the venue's note with the opening of one block, the record of
the one published proof, its own name, nonce and book. It needs neither the proof nor anybody else's data.
"""

from __future__ import annotations

import hmac
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from py_arkworks_bls12381 import G2Point
from pydantic import Field, StringConstraints

from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import encode_scalar, inverse, powers, r
from zkmargin.crypto.g2_powers import check_g2_power, g2_power
from zkmargin.crypto.group import G1_BYTES, decode_g1, msm, pairing_product_is_one
from zkmargin.crypto.keys import Signer
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.crypto.transcript import Transcript
from zkmargin.formats import Digest, Document, Hexadecimal, InputError, Model, PlainName, Seq, VerificationError
from zkmargin.formats.canonical import canonical_bytes, keccak256
from zkmargin.verifier.venue import merkle
from zkmargin.verifier.venue.proof import VenueProof
from zkmargin.verifier.venue.statement import ColumnSet, VenueStatement
from zkmargin.verifier.venue.transcript import replay

TAG_LABEL = b"zkmargin/venue-tag/v1"
OPENING_PROTOCOL = "zkmargin/venue-opening/v1"
NONCE_BYTES = 16
MAX_COLUMNS, MAX_ROWS = 4096, 64

Cell = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,77})$")]
PointHex = Annotated[str, Hexadecimal(G1_BYTES)]
Nonce = Annotated[str, Hexadecimal(NONCE_BYTES)]


def tag_of(statement_digest: bytes, name: str, nonce: bytes) -> int:
    """The field element that one customer finds in its own block: nobody else's row can hold it.

    Raises:
        ValueError: another nonce than 16 bytes.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    text = name.encode()
    framed = len(text).to_bytes(4, "big") + text + nonce
    return int.from_bytes(keccak256(TAG_LABEL + statement_digest + framed), "big") % r


class VenueRecord(Document):
    """What a venue publishes in one log beside a proof, so that nobody is shown another statement.

    Attributes:
        venue: its name.
        statement, proof: the two digests; two proofs of one snapshot are evidence of fraud.
        root: of the tree over the columns of the proof.
        accounts: M, the number of block accounts of all classes.
    """

    FORMAT: ClassVar[str] = "zkmargin/venue-record/v1"

    venue: PlainName = Field(min_length=1, max_length=200)
    statement: Digest
    proof: Digest
    root: Digest
    accounts: int = Field(ge=0)


class BlockOpening(Model):
    """The cells of one block, and the proof that they are what was committed.

    Attributes:
        cells: for each column of the set (instruments, group, digits, then the tag column) its B cells, decimal.
        points: those columns' commitments, hex.
        path: the siblings of the set's leaf in the tree, hex.
        opening: one point, hex.
    """

    cells: Seq[Seq[Cell]] = Field(min_length=1, max_length=MAX_COLUMNS)
    points: Seq[PointHex] = Field(min_length=1, max_length=MAX_COLUMNS)
    path: Seq[Digest] = Field(max_length=64)
    opening: PointHex


class VenueNote(Document):
    """What a venue gives to one customer: secret, and signed if the venue has a key.

    Attributes:
        venue: the venue's name.
        statement, proof: digests of what was published.
        account: the account's number.
        accounts: M.
        name, nonce: the customer's; the nonce was drawn by the customer.
        block: the opening of the account's block.
    """

    FORMAT: ClassVar[str] = "zkmargin/venue-note/v1"
    SECRET: ClassVar[bool] = True

    venue: PlainName = Field(min_length=1, max_length=200)
    statement: Digest
    proof: Digest
    account: int = Field(ge=0)
    accounts: int = Field(ge=1)
    name: PlainName = Field(min_length=1, max_length=200)
    nonce: Nonce = Field(repr=False)
    block: BlockOpening = Field(repr=False)
    signatures: Seq[Signature] = Field(default=(), max_length=1)

    @property
    def message(self) -> Message:
        """What the signature is over."""
        content = self.model_dump(mode="json", exclude={"signatures"})
        return Message.of(self.FORMAT, keccak256(canonical_bytes(content)), "VenueNote", {}, {})

    def signed(self, signer: Signer) -> Self:
        """The same, signed. Raises InputError when it is signed already."""
        if self.signatures:
            raise InputError("is signed already", field="signatures")
        return self.model_copy(update={"signatures": (signer.sign(self.message),)})


def record_of(statement: VenueStatement, proof: VenueProof) -> VenueRecord:
    """The public record of a proof."""
    _, transcript = replay(statement, proof)
    return VenueRecord(
        venue=statement.terms.venue,
        statement=transcript.statement_digest.hex(),
        proof=transcript.proof_digest.hex(),
        root=merkle.root(proof.columns.leaves(statement)).hex(),
        accounts=statement.accounts,
    )


@dataclass(frozen=True)
class Place:
    """Where an account stands: its set and its block."""

    column_set: ColumnSet
    block: int


def place_of(statement: VenueStatement, account: int) -> Place:
    """The place of an account, from public counts.

    Raises:
        VerificationError: there is no such account.
    """
    if not 0 <= account < statement.accounts:
        raise VerificationError(f"account {account}: the statement has {statement.accounts}", check="account")
    x = statement.sets[bisect_right(statement.sets, account, key=lambda one: one.first_account) - 1]
    return Place(x, account - x.first_account)


def opening_challenge(
    statement: VenueStatement, root: bytes, points: Sequence[bytes], account: int, cells: Sequence[Sequence[int]]
) -> int:
    """v, from everything that the opening is about."""
    transcript = Transcript(OPENING_PROTOCOL)
    transcript.append("statement", statement.digest)
    transcript.append("root", root)
    transcript.append("points", b"".join(points))
    transcript.append("account", account.to_bytes(8, "big"))
    transcript.append("cells", b"".join(encode_scalar(x) for column in cells for x in column))
    return transcript.challenge("v")


def block_interpolant(domain: Domain, block: int, rows: int, values: Sequence[int]) -> list[int]:
    """Coefficients of the polynomial of degree below B with these values on the rows of a block."""
    shift = inverse(pow(domain.omega, block, r))
    return [c * s % r for c, s in zip(Domain.of(rows).intt(list(values)), powers(shift, rows), strict=True)]


@dataclass(frozen=True, repr=False)
class CheckedAccount:
    """What a customer may rely on after ``check_note``, if the proof holds: ``check_note`` does not see it.

    Attributes:
        account: its number.
        class_name, claim: its class and what is claimed of it (None: nothing).
        exempt: whether the venue marked it as exempt: then nothing is proved of its health.
        exempt_accounts: how many accounts are exempt in all; None without exemptions.
        cap: the most that all shortfalls together may be, valuation units (10^-13 quote); None without a cap.
        shortfall: by how much at most this account misses what is claimed of it, under a cap, valuation units; None
            without.
        signers: keys that signed the note.
    """

    account: int
    class_name: str
    claim: str | None
    exempt: bool
    exempt_accounts: int | None
    cap: int | None
    shortfall: int | None
    signers: tuple[str, ...]


def check_note(
    statement: VenueStatement,
    record: VenueRecord,
    note: VenueNote,
    *,
    name: str,
    nonce: bytes,
    positions: Mapping[int, int],
    balances: Sequence[int],
    tau_power: G2Point | None = None,
) -> CheckedAccount:
    """Whether a customer's account is in the published proof with its whole book.

    Whether the proof holds, so that anything is proved of the account, is for ``verify_venue``.

    Args:
        statement: from the customer's own copies of snapshot and terms.
        record: of the one published proof.
        note: what the venue gave.
        name, nonce: as the customer gave them to the venue.
        positions: lots by instrument slot, without zeros.
        balances: lots of every asset.
        tau_power: [tau^B]_2 for a setup that does not ship with its G2 powers; it is checked against the setup.

    Raises:
        VerificationError: what does not hold, by name in ``check``.
    """
    _check_names(statement, record, note, name, nonce)
    place = place_of(statement, note.account)
    x = place.column_set
    template = statement.templates[x.kind]
    B = template.spec.block
    block, count = note.block, template.opened_columns + 1
    if len(block.cells) != count or len(block.points) != count or any(len(column) != B for column in block.cells):
        raise VerificationError(f"not the {count} columns of {B} cells of its set", check="opening")
    cells = [[int(cell) for cell in column] for column in block.cells]
    if any(cell >= r for column in cells for cell in column):
        raise VerificationError("a cell at or above the field order", check="opening")
    points = [bytes.fromhex(point) for point in block.points]
    siblings = [bytes.fromhex(digest) for digest in block.path]
    try:
        root = merkle.root_from_path(merkle.leaf(x.index, points), x.index, len(statement.sets), siblings)
    except ValueError as error:
        raise VerificationError(f"the path: {error}", check="path") from None
    if root.hex() != record.root:
        raise VerificationError("the path does not lead to the root of the published proof", check="path")
    check_opening(statement, root, place, note, cells, points, tau_power)

    tag = cells[-1][statement.tag_column(x)[1]]
    expected = tag_of(statement.digest, name, nonce)
    if not hmac.compare_digest(encode_scalar(tag), encode_scalar(expected)):
        raise VerificationError("the block holds another customer's tag", check="tag")
    exempt, shortfall = _check_book(statement, x.kind, cells, positions, balances)
    signers = _signers(note)
    options = template.options
    return CheckedAccount(
        note.account,
        template.spec.name,
        template.spec.claim,
        exempt,
        statement.terms.exempt,
        options.cap,
        shortfall,
        signers,
    )


def _signers(note: VenueNote) -> tuple[str, ...]:
    """The key that signed the note, if any did. Raises VerificationError.

    One key: under several of BLS whoever knows the venue's public key finds another one and signs for both alone.
    """
    for signature in note.signatures:
        if len(signature.public_keys) != 1:
            reason = f"the note is signed with {len(signature.public_keys)} keys together: a note has one"
            raise VerificationError(reason, check="signature")
        if not signature.verifies(note.message):
            raise VerificationError("the note's signature does not verify", check="signature")
    return tuple(key for signature in note.signatures for key in signature.public_keys)


def _check_names(statement: VenueStatement, record: VenueRecord, note: VenueNote, name: str, nonce: bytes) -> None:
    same = {
        "venue": (statement.terms.venue, record.venue, note.venue),
        "statement": (statement.digest.hex(), record.statement, note.statement),
        "proof": (record.proof, note.proof),
        "accounts": (statement.accounts, record.accounts, note.accounts),
        "name": (name, note.name),
        "nonce": (nonce.hex(), note.nonce),
    }
    for what, values in same.items():
        if len(set(values)) != 1:
            raise VerificationError(f"note, record and statement are not of one {what}", check=what)


def check_opening(
    statement: VenueStatement,
    root: bytes,
    place: Place,
    note: VenueNote,
    cells: list[list[int]],
    encoded: list[bytes],
    tau_power: G2Point | None = None,
) -> None:
    """Whether a note's opening shows that these are the cells of the block in these columns.

    Args:
        statement, root: what was published.
        place: the account's.
        note: whose opening.
        cells: its cells, as integers.
        encoded: the columns' commitments.
        tau_power: as of ``check_note``.

    Raises:
        VerificationError: it does not.
    """
    B, domain, srs = statement.templates[place.column_set.kind].spec.block, statement.domain, statement.srs
    try:
        points = [decode_g1(point) for point in encoded]
        opening = decode_g1(bytes.fromhex(note.block.opening))
    except ValueError as error:
        raise VerificationError(f"the opening: {error}", check="opening") from None
    if tau_power is None:
        tau_power = g2_power(srs, B)
    else:
        check_g2_power(srs, B, tau_power)
    weights = powers(opening_challenge(statement, root, encoded, note.account, cells), len(points))
    combined = [sum(w * column[b] for w, column in zip(weights, cells, strict=True)) % r for b in range(B)]
    interpolant = block_interpolant(domain, place.block, B, combined)
    left = tau_power - srs.g2_one * scalar(pow(domain.omega, place.block * B, r))
    right = msm([*points, *srs.g1_powers(B)], [*weights, *(-c % r for c in interpolant)])
    if not pairing_product_is_one([(opening, left), (-right, srs.g2_one)]):
        raise VerificationError("the cells are not those of the published columns", check="opening")


def _check_book(
    statement: VenueStatement,
    kind: int,
    cells: list[list[int]],
    positions: Mapping[int, int],
    balances: Sequence[int],
) -> tuple[bool, int | None]:
    """Compare the cells with the customer's book. Returns whether it is marked as exempt, and its shortfall."""
    template, rules, k = statement.templates[kind], statement.rules, statement.k
    if len(balances) != rules.assets:
        reason = f"the book has {len(balances)} balances, the snapshot {rules.assets} assets"
        raise VerificationError(reason, check="book")
    legs, D, B = template.row_legs, template.position_digits, template.spec.block
    ids, group, digits = cells[:legs], cells[legs], cells[legs + 1 :]
    found: dict[int, int] = {}
    for b in range(template.spec.slots * template.V):
        for l in range(legs):
            long, short = (sum(digits[(2 * l + side) * D + d][b] << (k * d) for d in range(D)) for side in (0, 1))
            if not long and not short:
                continue
            i = ids[l][b]
            if i >= rules.instruments or rules.group_of[i] != group[b]:
                raise VerificationError("a position in no instrument of its group", check="book")
            found[i] = found.get(i, 0) + long - short
    if {i: q for i, q in found.items() if q} != {i: q for i, q in positions.items() if q}:
        raise VerificationError("the block holds other positions than the book", check="book")
    integers = template.integers

    def value(name: str) -> int:
        number = integers.index(name)
        start = integers.starts[number]
        places = enumerate(range(start, start + integers.bounded[number].digits))
        return sum(digits[template.packed_offset + z // B][z % B] << (k * d) for d, z in places)

    for j, balance in enumerate(balances):
        if value(f"held {j}") - (value(f"owed {j}") if rules.owed[j] else 0) != balance:
            raise VerificationError("the block holds other balances than the book", check="book")
    exempt = template.claimed and template.options.exempt and value("exempt") == 1
    return exempt, value("shortfall") if template.claimed and template.options.cap is not None else None
