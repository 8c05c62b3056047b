"""The table of a snapshot: commitments to its risk rows that a contract folds instead of reading the matrix.

Four rows a point, ``M(X) = X^0 R_0(X^4) + .. + X^3 R_3(X^4)``, degree at most 4095:

    pinned   [t, sel_p, W, claim]      a function of the layout alone, a constant of the contract
    price    [marks, som_0, som_1, 1]
    sides    minimums of further groups, and rates on sizes, four rows a point, where the layout has any
    rows     for each group its scenario rows, K_g points

Whoever signs a table can be wrong about prices, never about soundness: no placement, no selector and no range table
is a price row, and haircuts are scalars in the head. Anybody recomputes a table from its snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.circuits.chain import (
    KAPPA,
    MAX_ASSETS,
    MAX_FACTOR_BP,
    MAX_GROUPS,
    PACKED_COLUMNS,
    ROWS,
    SCALE_BITS,
    TABLE_PACK,
    ChainLayout,
    ChainPrices,
    GrossMode,
)
from zkmargin.crypto.commitment import commit_coefficients
from zkmargin.crypto.domain import Domain
from zkmargin.crypto.field import r
from zkmargin.crypto.srs import SRS
from zkmargin.engine.components import SCALE_BP
from zkmargin.formats import Digest, Document, Hexadecimal, InputError, Seq, from_hex
from zkmargin.formats.documents import Since
from zkmargin.verifier.chain.words import POINT_BYTES, keccak256, label, point_bytes, word

LAYOUT_LABEL = "zkmargin/chain-layout/v1"
TABLE_LABEL = "zkmargin/chain-table/v1"
MAX_SEQUENCE = (1 << 64) - 1
#: Of eight groups with every charge by size.
MAX_SIDE_POINTS = 7
UINT64 = 64
#: Where the head's first word has D_0 - 1, D_1 - 1, ..
SCALES_AT = 40

#: Commits polynomials given by their values of four rows each: 96 bytes a point.
CommitRows = Callable[[SRS, Sequence[Sequence[Sequence[int]]]], list[bytes]]

PointHex = Annotated[str, Hexadecimal(POINT_BYTES)]
#: Money units / 10^4 a lot, in decimal: JSON numbers end at 2^53.
ValueText = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,18})$")]


class Table(Document):
    """What a registry stores the hash of.

    Attributes:
        series: what the tables of one venue and policy have in common, 32 bytes in hex.
        sequence: greater in every later table of the series.
        snapshot: digest of the snapshot.
        requirement: ``initial`` or ``maintenance``.
        instruments, scenarios, debts: the layout.
        factor_bp, assets, long_value, short_value: the head.
        pinned: the point of the layout, which a contract holds.
        price, sides, rows: the points of the prices; tables of version 1 have no ``sides``.
        gross: which charges by size there are; with them, or with more than two groups, a table is of version 2.
        scales: with gain offsets what a money unit counts in each group's rows; such a table is of version 3.
        tails: whether every second group holds dampened tails of the one before; such a table is of version 4.

    Example:
        >>> table.instruments, table.scenarios
        (448, (35, 35))
        >>> len(table.hash)
        32
    """

    FORMAT: ClassVar[str] = "zkmargin/chain-table/v1"
    READS: ClassVar[tuple[str, ...]] = tuple(f"zkmargin/chain-table/v{version}" for version in (2, 3, 4))

    series: Digest
    sequence: int = Field(ge=0, le=MAX_SEQUENCE)
    snapshot: Digest
    srs: Digest
    requirement: Literal["initial", "maintenance"]
    instruments: int = Field(ge=1, le=ROWS - 1)
    scenarios: Seq[int] = Field(min_length=1, max_length=MAX_GROUPS)
    debts: Seq[bool] = Field(min_length=MAX_ASSETS, max_length=MAX_ASSETS)
    gross: Annotated[Seq[GrossMode], Since(2)] = Field(default=(), max_length=3)
    factor_bp: int = Field(ge=0, le=MAX_FACTOR_BP)
    assets: int = Field(ge=0, le=MAX_ASSETS)
    long_value: Seq[ValueText] = Field(min_length=MAX_ASSETS, max_length=MAX_ASSETS)
    short_value: Seq[ValueText] = Field(min_length=MAX_ASSETS, max_length=MAX_ASSETS)
    pinned: PointHex
    price: PointHex
    sides: Annotated[Seq[PointHex], Since(2)] = Field(default=(), max_length=MAX_SIDE_POINTS)
    rows: Seq[PointHex] = Field(min_length=1, max_length=PACKED_COLUMNS * KAPPA)
    scales: Annotated[Seq[Annotated[int, Field(ge=1, le=SCALE_BP)]], Since(3)] = Field(
        default=(), max_length=MAX_GROUPS
    )
    tails: Annotated[bool, Since(4)] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scales and len(self.scales) != len(self.scenarios):
            raise InputError("not one for each group", field="scales")
        return self

    @classmethod
    def default_format(cls, data: Mapping[str, Any]) -> str:
        """Version 4 where there are dampened tails, 3 where there are gain offsets, 2 where there are side rows."""
        if data.get("tails"):
            return cls.READS[2]
        if data.get("scales"):
            return cls.READS[1]
        return cls.READS[0] if data.get("sides") else cls.FORMAT

    @property
    def layout(self) -> ChainLayout:
        """The layout. Raises InputError for one that there is none of."""
        a, b, c, d = self.debts
        return ChainLayout(
            self.instruments,
            tuple(self.scenarios),
            (a, b, c, d),
            tuple(self.gross),
            offsets=bool(self.scales),
            tails=self.tails,
        )

    def head(self) -> bytes:
        """Three words: M, factor and every D_g - 1; long values, 64 bits each, asset 0 lowest; short values."""
        packed = [
            sum(int(value) << (UINT64 * j) for j, value in enumerate(values))
            for values in (self.long_value, self.short_value)
        ]
        first = self.assets + (self.factor_bp << 8)
        first += sum((scale - 1) << SCALES_AT + SCALE_BITS * g for g, scale in enumerate(self.scales))
        return word(first) + word(packed[0]) + word(packed[1])

    def content(self) -> bytes:
        """What a contract reads: the head, the price point, those of the side rows, the points of the rows."""
        return self.head() + b"".join(map(from_hex, (self.price, *self.sides, *self.rows)))

    @property
    def layout_digest(self) -> bytes:
        """The digest of the layout that the table was made for."""
        return layout_digest(self.layout, from_hex(self.pinned), from_hex(self.srs))

    @property
    def hash(self) -> bytes:
        """H(0x03 || label || series || sequence || snapshot || layout digest || H(content)): what attesters sign."""
        words = [label(TABLE_LABEL), from_hex(self.series), word(self.sequence), from_hex(self.snapshot)]
        return keccak256(b"\x03" + b"".join([*words, self.layout_digest, keccak256(self.content())]))


def layout_digest(layout: ChainLayout, pinned: bytes, srs_digest: bytes) -> bytes:
    """H(0x03 || label || SRS digest || N || G || S_0 || S_1 || flags || pinned point), a word each.

    S_1 is 0 with one group; S_2, .. of further groups stand above it, 8 bits each. Flags: ``ChainLayout.flags``.

    Example:
        >>> layout_digest(prices.layout, bytes.fromhex(table.pinned), embedded().digest) == table.layout_digest
        True
    """
    first, others = packed_scenarios(layout.scenarios)
    numbers = (layout.instruments, layout.groups, first, others, layout.flags)
    return keccak256(b"\x03" + label(LAYOUT_LABEL) + srs_digest + b"".join(map(word, numbers)) + pinned)


def packed_scenarios(scenarios: Sequence[int]) -> tuple[int, int]:
    """S_0, and S_1, S_2, .. from the lowest byte up."""
    first, *others = scenarios
    return first, sum(count << 8 * i for i, count in enumerate(others))


def packed_rows(prices: ChainPrices) -> Iterator[list[list[int]]]:
    """Four rows for each point: pinned, price, side rows, then the scenario rows, group by group."""
    yield prices.layout.pinned_rows()
    yield prices.price_rows()
    yield from prices.side_packs()
    for g, points in enumerate(prices.layout.points):
        for k in range(points):
            yield prices.rows[g][TABLE_PACK * k : TABLE_PACK * (k + 1)].tolist()


def commit_rows(srs: SRS, packs: Sequence[Sequence[Sequence[int]]]) -> list[bytes]:
    """[sum_a tau^a R_a(tau^4)]_1 for rows by their values on H: plain, the prover has a faster one."""
    domain, points = Domain.of(ROWS), []
    for rows in packs:
        coefficients = [0] * (TABLE_PACK * ROWS)
        for a, row in enumerate(rows):
            coefficients[a::TABLE_PACK] = domain.intt([x % r for x in row])
        points.append(point_bytes(commit_coefficients(srs, coefficients)))
    return points


def make_table(
    prices: ChainPrices,
    *,
    srs: SRS,
    snapshot_digest: bytes,
    requirement: str,
    series: bytes,
    sequence: int,
    commit: CommitRows = commit_rows,
) -> Table:
    """The table of a snapshot's prices.

    Raises:
        InputError: a setup with fewer than 4096 powers.

    Example:
        >>> again = make_table(
        ...     prices,
        ...     srs=embedded(),
        ...     snapshot_digest=snapshot.digest(),
        ...     requirement="initial",
        ...     series=bytes(32),
        ...     sequence=1,
        ...     commit=commit_rows_fast,
        ... )
        >>> again == table
        True
    """
    if srs.powers < TABLE_PACK * ROWS:
        raise InputError(f"{srs.powers} powers: a table needs {TABLE_PACK * ROWS}", field="srs")
    layout = prices.layout
    pinned, price, *points = commit(srs, list(packed_rows(prices)))
    sides, rows = points[: layout.side_points], points[layout.side_points :]
    wide = {"gross": list(layout.gross), "sides": [point.hex() for point in sides]} if layout.wide else {}
    return Table.model_validate(
        {
            "series": series.hex(),
            "sequence": sequence,
            "snapshot": snapshot_digest.hex(),
            "srs": srs.digest.hex(),
            "requirement": requirement,
            "instruments": prices.layout.instruments,
            "scenarios": list(prices.layout.scenarios),
            "debts": list(prices.layout.debts),
            "factor_bp": prices.factor_bp,
            "assets": prices.assets,
            "long_value": [str(x) for x in prices.long_value],
            "short_value": [str(x) for x in prices.short_value],
            "pinned": pinned.hex(),
            "price": price.hex(),
            "rows": [point.hex() for point in rows],
        }
        | wide
        | ({"scales": list(prices.scales)} if layout.offsets else {})
        | ({"tails": True} if layout.tails else {})
    )


def check_head(table: Table, prices: ChainPrices, snapshot_digest: bytes, srs: SRS) -> None:
    """Everything of a table but its points, against the snapshot. Raises InputError naming the field."""
    for field, found, expected in (
        ("snapshot", table.snapshot, snapshot_digest.hex()),
        ("srs", table.srs, srs.digest.hex()),
        ("instruments", table.instruments, prices.layout.instruments),
        ("scenarios", tuple(table.scenarios), prices.layout.scenarios),
        ("debts", tuple(table.debts), prices.layout.debts),
        ("gross", tuple(table.gross), prices.layout.gross),
        ("scales", tuple(table.scales), prices.scales if prices.layout.offsets else ()),
        ("tails", table.tails, prices.layout.tails),
        ("sides", len(table.sides), prices.layout.side_points),
        ("factor_bp", table.factor_bp, prices.factor_bp),
        ("assets", table.assets, prices.assets),
        ("long_value", tuple(map(int, table.long_value)), prices.long_value),
        ("short_value", tuple(map(int, table.short_value)), prices.short_value),
        ("rows", len(table.rows), sum(prices.layout.points)),
    ):
        if found != expected:
            raise InputError(f"not what the snapshot gives: {found}, not {expected}", field=f"table: {field}")


def check_table(
    table: Table, prices: ChainPrices, *, snapshot_digest: bytes, srs: SRS, commit: CommitRows = commit_rows
) -> None:
    """Recompute a table. Raises InputError naming the first field or point that is not the snapshot's.

    Example:
        >>> from zkmargin.prover.chain_tables import commit_rows_fast
        >>> check_table(table, prices, snapshot_digest=snapshot.digest(), srs=embedded(), commit=commit_rows_fast)
    """
    check_head(table, prices, snapshot_digest, srs)
    names = [
        "pinned",
        "price",
        *(f"{kind}[{k}]" for kind in ("sides", "rows") for k in range(len(getattr(table, kind)))),
    ]
    given = [table.pinned, table.price, *table.sides, *table.rows]
    for name, found, point in zip(names, given, commit(srs, list(packed_rows(prices))), strict=True):
        if found != point.hex():
            raise InputError("not the commitment to the snapshot's rows", field=f"table: {name}")
