"""Where everything stands: cells, places of groups, the rows that a table packs. What a contract pins.

    kappa = 16,  kappa_k = omega^(64 k),  P = rho^16,
    x_k = (1 - P) / (kappa_k - rho),      y_j = (1 - rho^4) / (omega^(256 j) - rho)
    column c, index s = 4 k + a   rho^(64 c) x_k P^a        one of a group's scenarios or other charges
    the claim rho^128,   balance j  rho^129 y_j,   the lookup rho^133

As polynomials in rho the x_k are independent of degree below 16 and the y_j of degree below 4, so these weights are
independent and take disjoint degrees 0 .. 133.

One or two groups have a packed column each, with all of its 64 indices; more groups share the two columns, whole blocks
of four indices each. Of a group's indices the first S_g are its scenarios; then come the short option minimum, what a
floor by size is made of, that W_g is at least that floor and, of group 0, what is made of sizes and added on top, with
and without the factor. Of one or two groups an index that nothing uses says ``W_g = slack``.

With gain offsets a group is a product group, and each scenario is as many rows as a product group's charge has lines
(``lines``): their groups always share the columns, block after block, and one may go on in the second.

With dampened tails every second group holds the tails of the one before it: its V is what they compete for, and stands
in no claim. Its last two rows, constants alone, say that V is within the dampener or covered by that group's charge,
a bit saying which.

Columns: ``f_0..f_2`` the digits of p, ``f_3..f_5`` those of m, ``f_6`` and ``f_7`` the packed cells; claim and
collateral sit in ``f_6``. Every cell is looked up in [0, 1024).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from zkmargin.formats.errors import InputError

#: n, the rows of every column, and the base of every digit.
ROWS = 1024
DIGIT_BITS = 10
#: kappa: indices 4 k .. 4 k + 3 have their cells in block k of 64 rows.
KAPPA = 16
BLOCK = ROWS // KAPPA
#: Rows of a table point, M_k(X) = sum_a X^a R_{4k+a}(X^4), and columns of a proof point.
TABLE_PACK = 4
COLUMN_PACK = 3
#: Indices of a packed column, the packed columns, and the groups that may share them.
MAX_SCENARIOS = KAPPA * TABLE_PACK
PACKED_COLUMNS = 2
MAX_GROUPS = 8
MAX_ASSETS = 4
MAX_INSTRUMENTS = ROWS - 1
POSITION_DIGITS = 3
SLACK_DIGITS = 9
BALANCE_DIGITS = 5
CLAIM_DIGITS = 12
SIDE_COLUMNS = 2 * POSITION_DIGITS
#: Accounts of one joint proof: beyond them no transaction has the gas.
MAX_ACCOUNTS = 256
#: Numerator and denominator of a claim, and the factor in basis points, in the contract's words.
MAX_RATIO = (1 << 16) - 1
MAX_FACTOR_BP = (1 << 32) - 1
#: Exponents of rho.
GROUP_STRIDE = MAX_SCENARIOS
CLAIM_POWER = PACKED_COLUMNS * GROUP_STRIDE
BALANCE_POWER = CLAIM_POWER + 1
LOOKUP_POWER = BALANCE_POWER + MAX_ASSETS
#: Powers of chi: three helpers, digits, two selectors.
HELPERS = 3

Side = Literal["long", "short"]
#: How a charge by size counts, and its bit in a layout's flags, above the four of the debts.
GrossMode = Literal["floor", "added", "flat"]
GROSS_MODES: tuple[GrossMode, ...] = ("floor", "added", "flat")
#: Bits of the flags where there are gain offsets, and dampened tails.
_OFFSETS_BIT, _TAILS_BIT = 7, 8
#: A charge counts in 1/D_g of a money unit in its group's rows, D_g at most what offsets are stated in.
SCALE_BITS = 14
#: Where rows hold their constant: no instrument is listed there.
CONSTANT_ROW = ROWS - 1
#: Rows after a product group's tails: that V is within the dampener, and that it is covered.
TAIL_LINES = 2
#: What b adds to the first, above every tail that a snapshot may have; and takes off the second, whose
#: constant it is: at least every dampener, and an entry of a table.
BEYOND = 1 << (SLACK_DIGITS * DIGIT_BITS - 1)
WAIVED = 1 << 62
#: An index after a group's scenarios: of its short option minimum; of what its floor by size is made of, and that W_g
#: is above that; of group 0 what the two additions are made of.
MINIMUM_INDEX, FLOOR_INDEX, ABOVE_INDEX, ADDED_INDEX, FLAT_INDEX = range(5)
INDEX_OF = {"floor": FLOOR_INDEX, "added": ADDED_INDEX, "flat": FLAT_INDEX}

_HELD, _OWED, _CHARGE, _CLAIM = 36, 41, 46, BLOCK + 46
_AMOUNT = {"floor": 8 * BLOCK + 46, "added": 2 * BLOCK + 46, "flat": 3 * BLOCK + 46}
_GROUP_CHARGE = 55


def scenario_cell(s: int, d: int) -> int:
    """Row of digit d of the slack of index s of a packed column."""
    return BLOCK * (s // TABLE_PACK) + SLACK_DIGITS * (s % TABLE_PACK) + d


def held_cell(j: int, d: int) -> int:
    """Row in ``f_6`` of digit d of what is held of asset j."""
    return ROWS // MAX_ASSETS * j + _HELD + d


def owed_cell(j: int, d: int) -> int:
    """Row in ``f_6`` of digit d of what is owed of asset j; only where a debt is allowed."""
    return ROWS // MAX_ASSETS * j + _OWED + d


def charge_cell(d: int) -> int:
    """Row of digit d of W_g, in the column of its group, where there are at most two."""
    return _CHARGE + d


def group_charge_cell(g: int, d: int) -> int:
    """Row in ``f_7`` of digit d of W_g, where there are more than two groups."""
    return BLOCK * g + _GROUP_CHARGE + d


def amount_cell(mode: GrossMode, g: int, d: int) -> int:
    """Row in ``f_6`` of digit d of B_g, a group's floor by size; of A, added times the factor; of F, added as it is.

    A group of tails has b, which says that they are beyond their dampener, where others have B_g.
    """
    return BLOCK * g + _AMOUNT[mode] + d


def claim_cell(d: int) -> int:
    """Row in ``f_6`` of digit d of the claim's slack."""
    return _CLAIM + d


@dataclass(frozen=True)
class SideRow:
    """A price row on the digits of one side of the positions, by the weight of an index.

    Attributes:
        side: p_i or m_i.
        group, offset: the index is S_g + offset of the group.
    """

    side: Side
    group: int
    offset: int


@dataclass(frozen=True)
class ChainLayout:
    """What a contract pins: it never sees a snapshot, and no attester can change any of this.

    Attributes:
        instruments: N, listed rows of the positions.
        scenarios: S_g for each risk group, one to eight; with gain offsets the lines of each product group.
        debts: for each of the four collateral rows, whether a debt has digits.
        gross: which charges by size there are, in the order of ``GROSS_MODES``.
        offsets: rows are lines of product groups, with scales and constants of their own.
        tails: group 2 h + 1 holds the dampened tails of group 2 h, and two lines that say when they count.
    """

    instruments: int
    scenarios: tuple[int, ...]
    debts: tuple[bool, bool, bool, bool]
    gross: tuple[GrossMode, ...] = ()
    offsets: bool = False
    tails: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.instruments <= MAX_INSTRUMENTS:
            raise InputError(f"{self.instruments} instruments: a chain layout has 1 to {MAX_INSTRUMENTS}", field="N")
        if not 1 <= len(self.scenarios) <= MAX_GROUPS:
            raise InputError(f"{len(self.scenarios)} risk groups: a chain layout has 1 to {MAX_GROUPS}", field="groups")
        most = MAX_SCENARIOS * (PACKED_COLUMNS if self.offsets else 1)
        for count in self.scenarios:
            if not 1 <= count <= most:
                raise InputError(f"{count} scenarios: a chain layout has 1 to {most}", field="scenarios")
        if self.tails and not (self.offsets and self.groups % 2 == 0 and min(self.scenarios[1::2]) > TAIL_LINES):
            raise InputError("a group of dampened tails belongs to each product group", field="tails")
        if self.gross != tuple(mode for mode in GROSS_MODES if mode in self.gross):
            raise InputError("charges by size are named once each, in order", field="gross")
        for g, count in enumerate(self.scenarios):
            if self.gross and not self.offsets and count + self.last_offset(g) >= MAX_SCENARIOS:
                raise InputError(
                    f"{count} scenarios leave no index for the charges by size: at most "
                    f"{MAX_SCENARIOS - 1 - self.last_offset(g)} beside them",
                    field="scenarios",
                )
        _ = self.places

    @property
    def groups(self) -> int:
        """G, one to eight."""
        return len(self.scenarios)

    @property
    def shared(self) -> bool:
        """More than two groups share the two packed columns, and so do all groups of gain offsets."""
        return self.groups > PACKED_COLUMNS or self.offsets

    @property
    def wide(self) -> bool:
        """Whether it needs a contract for wide layouts."""
        return self.shared or bool(self.gross)

    @cached_property
    def charged(self) -> tuple[int, ...]:
        """The groups that have a charge: all but those of tails."""
        return tuple(g for g in range(self.groups) if not self.is_tails(g))

    def is_tails(self, g: int) -> bool:
        """Whether a group holds the dampened tails of the one before it."""
        return self.tails and g % 2 == 1

    @property
    def packed(self) -> int:
        """Packed columns: one, or two from two groups on."""
        return PACKED_COLUMNS if self.shared else self.groups

    @property
    def columns(self) -> int:
        """Digit columns: six of the sides, and the packed ones."""
        return SIDE_COLUMNS + self.packed

    @property
    def points(self) -> tuple[int, ...]:
        """K_g: table points of each group's scenario rows."""
        return tuple(-(-count // TABLE_PACK) for count in self.scenarios)

    @property
    def flags(self) -> int:
        """Bit j < 4: asset j may be owed; 4 to 6: a charge by size of each mode; 7: gain offsets; 8: dampened tails."""
        mask = sum(1 << j for j, allowed in enumerate(self.debts) if allowed)
        mask += sum(1 << (MAX_ASSETS + i) for i, mode in enumerate(GROSS_MODES) if mode in self.gross)
        return mask + (self.offsets << _OFFSETS_BIT) + (self.tails << _TAILS_BIT)

    def last_offset(self, g: int) -> int:
        """The last offset that a group's indices after its scenarios are used for: 0 is the short option minimum."""
        if self.is_tails(g):
            return MINIMUM_INDEX
        own = [ABOVE_INDEX if mode == "floor" else INDEX_OF[mode] for mode in self.gross if mode == "floor" or g == 0]
        return max([MINIMUM_INDEX, *own])

    def indices(self, g: int) -> int:
        """How many indices a group takes: its scenarios, its short option minimum, its charges by size."""
        return self.scenarios[g] + self.last_offset(g) + 1

    def blocks(self, g: int) -> int:
        """How many blocks of four indices a group takes of a shared column."""
        return -(-self.indices(g) // TABLE_PACK)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """First block of each group: a column of 16 blocks each, or block after block of both. Raises InputError.

        A group that does not fit into the rest of a column begins the next one; with gain offsets it goes on in it.
        """
        if not self.shared:
            return tuple(KAPPA * g for g in range(self.groups))
        found, block = [], 0
        for g in range(self.groups):
            wanted = self.blocks(g)
            if not self.offsets and block % KAPPA + wanted > KAPPA:
                block = KAPPA * (block // KAPPA + 1)
            if (wanted > KAPPA and not self.offsets) or block + wanted > PACKED_COLUMNS * KAPPA:
                what, rows = ("product", "lines") if self.offsets else ("risk", "scenarios")
                raise InputError(
                    f"{self.groups} {what} groups of {', '.join(map(str, self.scenarios))} {rows}: two columns of "
                    f"{KAPPA} blocks of {TABLE_PACK} indices do not hold them",
                    field="groups",
                )
            found.append(block)
            block += wanted
        return tuple(found)

    def index(self, g: int, s: int) -> tuple[int, int]:
        """(column, index in it) of index s of a group."""
        return divmod(TABLE_PACK * self.places[g] + s, MAX_SCENARIOS)

    @property
    def amounts(self) -> tuple[tuple[GrossMode, int], ...]:
        """(mode, group) of everything that is made of sizes: B_g of each group, A, F; the last two in group 0."""
        return tuple((mode, g) for mode in self.gross for g in (self.charged if mode == "floor" else (0,)))

    @cached_property
    def side_rows(self) -> tuple[SideRow, ...]:
        """The price rows beside marks and the minimums of the first two groups, in the order of their points."""
        rows = [SideRow("short", g, MINIMUM_INDEX) for g in self.charged if g >= PACKED_COLUMNS]
        for mode, g in self.amounts:
            rows += [SideRow("long", g, INDEX_OF[mode]), SideRow("short", g, INDEX_OF[mode])]
        return tuple(rows)

    @property
    def side_points(self) -> int:
        """Table points of ``side_rows``, four rows a point."""
        return -(-len(self.side_rows) // TABLE_PACK)

    def pinned_rows(self) -> list[list[int]]:
        """[t, sel_p, W, claim]: the rows that depend on the layout alone. 1024 integers each.

        t_i = i; sel_p is 1 on unlisted rows; W and claim hold 1024^d in the cells of their digits.
        """
        n = ROWS
        charge, claim = [0] * n, [0] * n
        for d in range(SLACK_DIGITS):
            charge[charge_cell(d)] = n**d
        for d in range(CLAIM_DIGITS):
            claim[claim_cell(d)] = n**d
        return [list(range(n)), [int(i >= self.instruments) for i in range(n)], charge, claim]


def fit(field: str, found: int, most: int, *, what: str, exactly: bool = False) -> None:
    """Refuse a size that the chain layout has no room for. Raises InputError."""
    if found != most if exactly else found > most:
        raise InputError(
            f"{found} {what}: the chain layout has {'exactly' if exactly else 'at most'} {most}", field=field
        )
