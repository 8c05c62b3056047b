"""What a venue proof is checked against, and where everything of it stands: the layout follows from public facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from py_arkworks_bls12381 import G1Point

from zkmargin.accounts.commitments import Commitment, CommitmentPart, gather, sum_points
from zkmargin.accounts.slots import ROLES, Role
from zkmargin.circuits.venue import (
    BlockTemplate,
    DenseTemplate,
    Exponents,
    VenueRules,
    digits_for,
    headroom_of,
    position_segments,
)
from zkmargin.circuits.venue import Ratio as ClaimRatio
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.srs import SRS, embedded
from zkmargin.crypto.transcript import Transcript
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.verifier.statement import MAX_CONTEXT_BYTES
from zkmargin.verifier.venue.terms import VenueTerms

PROTOCOL = "zkmargin/venue/v1"
#: Evaluated columns of a proof, which then has 180 MB: counted before anything is laid out.
MAX_COLUMNS = 1 << 21
#: Equations of the circuits of all classes: each class has a circuit of its own, which is built before any check.
MAX_ACCOUNT_EQUATIONS = 1 << 14


@dataclass(frozen=True)
class ColumnSet:
    """One set of block columns.

    Attributes:
        index: x, its number among all sets.
        kind: index of its class.
        local: its number among the sets of its class.
        used: blocks that hold an account; the others are empty.
        slot_exponent, account_exponent: E_x and A_x, the running offsets of gamma.
        first_account: the number of the account in block 0.
    """

    index: int
    kind: int
    local: int
    used: int
    slot_exponent: int
    account_exponent: int
    first_account: int


@dataclass(frozen=True)
class DenseSlot:
    """One dense account.

    Attributes:
        index: y, its number.
        template: what is asked of it.
        slot_exponent, account_exponent: e_y and a_y, the running offsets of gamma.
        first: its first column of digits of positions, among all digit columns of dense accounts.
        packed, row: the column, among the same, and the row of its first packed cell.
    """

    index: int
    template: DenseTemplate
    slot_exponent: int
    account_exponent: int
    first: int
    packed: int
    row: int

    def position_digit(self, segment: int, side: int, d: int) -> int:
        """The column of digit d of the long (0) or short (1) side of a segment."""
        return self.first + (2 * segment + side) * self.template.position_digits + d

    def cell(self, z: int) -> tuple[int, int]:
        """(column, row) of packed cell z."""
        column, row = divmod(self.row + z, self.template.n)
        return self.packed + column, row

    @property
    def end(self) -> int:
        """The column after its last packed cell's."""
        return self.cell(self.template.cells - 1)[0] + 1


@dataclass(frozen=True)
class Helper:
    """A helper: for a range of digit columns or of legs of an owner (``columns`` are places within it).

    Owners are sets, the cap's column, and all dense accounts together.
    """

    name: str
    owner: str
    columns: range
    weighted: bool


@dataclass(frozen=True, eq=False)
class VenueStatement:
    """The public side of a venue proof.

    Attributes:
        srs: the structured reference string.
        snapshot: the risk snapshot.
        terms: classes, options, dense accounts.
        context: opaque bytes that bind the proof to its reader.
        commitments: the documents that the terms name, one a dense account.
    """

    srs: SRS
    snapshot: Snapshot
    terms: VenueTerms
    context: bytes = b""
    commitments: tuple[Commitment, ...] = ()

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        terms: VenueTerms,
        *,
        commitments: Sequence[Commitment] = (),
        context: bytes = b"",
        srs: SRS | None = None,
    ) -> VenueStatement:
        """Build the statement from a snapshot, terms, the dense accounts' commitments and a context.

        Raises:
            InputError: documents that do not belong together, a policy that venue proofs do not have, quantities that
                could wrap around the field, or a context of more than 1 KB.
        """
        statement = cls(srs or embedded(), snapshot, terms, context, tuple(commitments))
        statement.committed_points()
        return statement

    def __post_init__(self) -> None:
        """Whoever makes one, and from whatever: what is derived from the fields cannot be replaced apart from them."""
        snapshot, terms, rules = self.snapshot, self.terms, self.rules
        if len(self.context) > MAX_CONTEXT_BYTES:
            raise InputError(f"{len(self.context)} bytes, at most {MAX_CONTEXT_BYTES}", field="context")
        if terms.domain_size != snapshot.layout.domain_size:
            raise InputError(
                f"columns of {terms.domain_size} rows, the snapshot has {snapshot.layout.domain_size}",
                field="terms: domain_size",
            )
        if terms.domain_size + 8 > self.srs.powers:
            raise InputError(f"{terms.domain_size} rows need more powers than the setup has", field="domain_size")
        terms.check_commitments(self.commitments)
        self._check_aliases()
        wide = next((spec.name for spec in terms.classes if spec.slots > 1), None)
        if rules.policy is not None and wide is not None:
            raise InputError(
                f'class "{wide}" has several slots: under this policy an account has one, for all risk groups',
                field="terms: classes",
            )
        if rules.policy is not None and (len(terms.classes) + 1) * rules.scenario_columns > MAX_ACCOUNT_EQUATIONS:
            raise InputError(
                f"{len(terms.classes)} classes with {rules.scenario_columns} equations each, more than "
                f"{MAX_ACCOUNT_EQUATIONS} together",
                field="terms: classes",
            )
        for field, values, count in (("net", terms.net, rules.instruments), ("totals", terms.totals, rules.assets)):
            if values is not None and len(values) != count:
                raise InputError(f"{len(values)} numbers for {count} slots", field=f"terms: {field}")
        columns = sum(template.sets * template.opened_columns for template in self.templates)
        columns += self.dense_columns
        if columns > MAX_COLUMNS:
            raise InputError(f"a proof of {columns} columns, more than {MAX_COLUMNS}", field="terms: classes")

    def _check_aliases(self) -> None:
        """Raises InputError: an account that counts twice, by two commitments under one alias."""
        owner: dict[str, int] = {}
        for y, commitment in enumerate(self.commitments):
            for alias in sorted({part.alias for part in commitment.parts}):
                if alias in owner:
                    reason = (
                        f"has the alias {alias[:100]!r} of dense account {owner[alias]}: one account would count twice"
                    )
                    raise InputError(reason, field=f"dense account {y}")
                owner[alias] = y

    @cached_property
    def rules(self) -> VenueRules:
        """The snapshot's policy in integers. Raises InputError: one that venue proofs do not have."""
        return VenueRules.of(self.snapshot, self.terms.requirement)

    @property
    def position_bits(self) -> int:
        """Of positions of dense accounts: the snapshot's."""
        return self.snapshot.layout.position_bits

    @cached_property
    def parts(self) -> tuple[tuple[CommitmentPart, ...], ...]:
        """For each dense account the parts of its commitment. Raises InputError: documents that do not belong here."""
        return tuple(gather([commitment], self.snapshot, self.srs) for commitment in self.commitments)

    @cached_property
    def snapshot_digest(self) -> bytes:
        """keccak-256 of the risk snapshot."""
        return self.snapshot.digest()

    @property
    def account_parts(self) -> tuple[tuple[CommitmentPart, ...], ...]:
        """The parts of each committed account."""
        return self.parts

    # --- layout -------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Rows of a column."""
        return self.terms.domain_size

    @property
    def k(self) -> int:
        """Bits of a digit."""
        return self.terms.digit_bits

    @property
    def g(self) -> int:
        """Columns that share a helper, and pieces of T."""
        return self.terms.helper_group

    @property
    def domain(self) -> Domain:
        """H."""
        return Domain.of(self.n)

    @property
    def tables(self) -> int:
        """Columns mu: the table of 2^k values takes so many times n rows."""
        return (1 << self.k) // self.n

    @property
    def segments(self) -> int:
        """Triples of columns Qp, Qm, Qc."""
        return position_segments(self.rules, self.n)

    @cached_property
    def exponents(self) -> Exponents:
        """Which power of rho is which equation's."""
        return Exponents(self.rules.scenario_columns, self.rules.assets, self.terms.options.copies)

    @cached_property
    def templates(self) -> tuple[BlockTemplate, ...]:
        """One a class."""
        options = self.terms.options
        return tuple(BlockTemplate(spec, self.rules, options, self.n) for spec in self.terms.classes)

    @property
    def accounts(self) -> int:
        """M, block accounts of all classes."""
        return sum(spec.accounts for spec in self.terms.classes)

    @cached_property
    def sets(self) -> tuple[ColumnSet, ...]:
        """All column sets, class by class. Exponents of gamma are running offsets, so that no two coincide."""
        found: list[ColumnSet] = []
        slot = account = first = 0
        for kind, template in enumerate(self.templates):
            for local in range(template.sets):
                used = min(template.T, template.spec.accounts - local * template.T)
                found.append(ColumnSet(len(found), kind, local, used, slot, account, first + local * template.T))
                slot += template.T * template.spec.slots
                account += template.T
            first += template.spec.accounts
        return tuple(found)

    @cached_property
    def dense(self) -> tuple[DenseSlot, ...]:
        """The dense accounts; their exponents of gamma follow those of all sets."""
        slot = sum(self.templates[x.kind].T * self.templates[x.kind].spec.slots for x in self.sets)
        account = sum(self.templates[x.kind].T for x in self.sets)
        options, shared, templates = self.terms.options, {}, []
        for spec in self.terms.dense:
            what = spec.claim, spec.limits
            if what not in shared:
                claim = None if spec.claim is None else ClaimRatio.parse(spec.claim)
                headroom = headroom_of(spec.limits, spec.claim)
                shared[what] = DenseTemplate(self.rules, options, self.n, self.position_bits, claim, headroom)
            templates.append(shared[what])
        found, first, packed, row = [], 0, sum(template.position_columns for template in templates), 0
        for y, template in enumerate(templates):
            if row + template.cells > self.n and row:  # an account's cells share a column only where they all fit
                packed, row = packed + 1, 0
            found.append(DenseSlot(y, template, slot + y * self.rules.groups, account + y, first, packed, row))
            first += template.position_columns
            more, row = divmod(row + template.cells, self.n)
            packed += more
        return tuple(found)

    @property
    def dense_columns(self) -> int:
        """Digit columns of all dense accounts: of each its positions', then the packed ones."""
        return self.dense[-1].end if self.dense else 0

    @property
    def extra(self) -> bool:
        """Whether there is a column for the slack of the cap."""
        return self.terms.cap is not None

    @property
    def cap_digits(self) -> int:
        """Digits of the slack of the cap."""
        return digits_for(int(self.terms.cap or 0).bit_length(), self.k)

    def tag_column(self, x: ColumnSet) -> tuple[int, int]:
        """(number of the tag column among all, row b within blocks) that holds the tags of a set."""
        before = sum(template.tag_columns for template in self.templates[: x.kind])
        block = self.templates[x.kind].spec.block
        return before + x.local // block, x.local % block

    @property
    def tag_columns(self) -> int:
        """All tag columns."""
        return sum(template.tag_columns for template in self.templates)

    # --- names --------------------------------------------------------------------------------------------

    def set_columns(self, x: ColumnSet) -> list[str]:
        """Evaluated columns of a set: instruments, group, digits."""
        template = self.templates[x.kind]
        return [
            *(f"set {x.index} id {l}" for l in range(template.row_legs)),
            f"set {x.index} group",
            *self.digit_names(f"set {x.index}", template.digit_columns),
        ]

    @staticmethod
    def digit_names(owner: str, count: int) -> list[str]:
        """Digit columns of an owner."""
        return [f"{owner} digit {j}" for j in range(count)]

    @cached_property
    def opened(self) -> tuple[str, ...]:
        """Every column that is evaluated at zeta, in order."""
        names = [name for x in self.sets for name in self.set_columns(x)]
        if self.extra:
            names.append("extra digit 0")
        return (*names, *self.digit_names("dense", self.dense_columns))

    @cached_property
    def helpers(self) -> tuple[Helper, ...]:
        """Every helper in the order of the proof: helper j goes with chi^(j + 1)."""
        found: list[Helper] = []
        for x in self.sets:
            template, owner = self.templates[x.kind], f"set {x.index}"
            found += self._range_helpers(owner, template.digit_columns)
            for j, legs in enumerate(groups_of(template.row_legs, self.g)):
                found.append(Helper(f"{owner} v {j}", owner, legs, True))
        if self.extra:
            found += self._range_helpers("extra", 1)
        return (*found, *self._range_helpers("dense", self.dense_columns))

    def _range_helpers(self, owner: str, columns: int) -> list[Helper]:
        return [Helper(f"{owner} h {j}", owner, places, False) for j, places in enumerate(groups_of(columns, self.g))]

    @cached_property
    def aggregates(self) -> tuple[str, ...]:
        """Qp, Qm and Qc of each segment."""
        return tuple(f"{name} {s}" for s in range(self.segments) for name in ("Qp", "Qm", "Qc"))

    # --- the transcript's first message -------------------------------------------------------------------

    def public_messages(self) -> Iterator[tuple[str, bytes]]:
        """Everything public, labelled, in the order the transcript absorbs it."""
        yield "srs", self.srs.digest
        yield "snapshot", self.snapshot_digest
        yield "terms", self.terms.canonical()
        yield "accounts", len(self.parts).to_bytes(4, "big")
        for parts in self.parts:
            yield "parts", len(parts).to_bytes(4, "big")
            for part in parts:
                yield "part", part.canonical()
        yield "context", self.context

    @cached_property
    def digest(self) -> bytes:
        """The statement digest: the transcript's state after message 0."""
        transcript = Transcript(PROTOCOL)
        for label, data in self.public_messages():
            transcript.append(label, data)
        return transcript.state

    @cached_property
    def _sums(self) -> dict[str, G1Point]:
        found: dict[str, G1Point] = {}
        seen: set[tuple[str, ...]] = set()
        for y, parts in enumerate(self.parts):
            for part in parts:
                if part.points in seen:
                    raise InputError("one part in two accounts", field=f"dense account {y}")
                seen.add(part.points)
            for role in ROLES:
                for s, point in enumerate(self._sum(parts, role, y)):
                    found[f"dense {y} {role}[{s}]"] = point
        if len({bytes(point.to_compressed_bytes()) for point in found.values()}) != len(found):
            raise InputError("the same commitment in two places", field="dense")
        return found

    def _sum(self, parts: Sequence[CommitmentPart], role: Role, y: int) -> tuple[G1Point, ...]:
        template = self.dense[y].template
        count = template.segments if role == "positions" else template.balance_segments
        return sum_points(parts, role, count, field=f"dense account {y}")

    def committed_points(self) -> dict[str, G1Point]:
        """The dense accounts' commitments by name: ``dense y positions[s]`` and ``dense y collateral[s]``.

        Raises:
            InputError: a bad point, or the same commitment twice.
        """
        return dict(self._sums)


def groups_of(count: int, size: int) -> list[range]:
    """0 .. count - 1 in consecutive groups of at most ``size``."""
    return [range(i, min(i + size, count)) for i in range(0, count, size)]
