"""The chain layout: the same margin policy, its cells and weights placed so that a contract can evaluate them.

``Circuit`` combines its public equations by powers of rho and reads the whole risk matrix at zeta. A contract cannot.
Here the same equations get other weights and the same integers other cells (docs/protocol-chain.md section 3), such
that every public polynomial is either one of a few committed ones (``verifier.chain.table``) or has a closed form.

    layout    cells, places of groups, the rows that prices are packed in: what a contract pins
    lines     what competes for each group's charge, gain offsets as lines, dampened tails in groups of their own
    prices    a snapshot in a layout, or by name why it has none
    weights   what rho makes of the equations, and every public polynomial row by row
    columns   the witness in its cells
"""

from zkmargin.circuits.chain.columns import digit_columns
from zkmargin.circuits.chain.layout import (
    BALANCE_DIGITS,
    BALANCE_POWER,
    BEYOND,
    BLOCK,
    CLAIM_DIGITS,
    CLAIM_POWER,
    COLUMN_PACK,
    DIGIT_BITS,
    GROSS_MODES,
    GROUP_STRIDE,
    HELPERS,
    KAPPA,
    LOOKUP_POWER,
    MAX_ACCOUNTS,
    MAX_ASSETS,
    MAX_FACTOR_BP,
    MAX_GROUPS,
    MAX_INSTRUMENTS,
    MAX_RATIO,
    MAX_SCENARIOS,
    PACKED_COLUMNS,
    POSITION_DIGITS,
    ROWS,
    SCALE_BITS,
    SIDE_COLUMNS,
    SLACK_DIGITS,
    TABLE_PACK,
    TAIL_LINES,
    WAIVED,
    ChainLayout,
    GrossMode,
    SideRow,
    amount_cell,
    charge_cell,
    claim_cell,
    fit,
    group_charge_cell,
    held_cell,
    owed_cell,
    scenario_cell,
)
from zkmargin.circuits.chain.prices import ChainPrices
from zkmargin.circuits.chain.weights import ChainWeights, fold_scales, folded_rows, public_rows

__all__ = [
    "BALANCE_DIGITS",
    "BALANCE_POWER",
    "BEYOND",
    "BLOCK",
    "CLAIM_DIGITS",
    "CLAIM_POWER",
    "COLUMN_PACK",
    "DIGIT_BITS",
    "GROSS_MODES",
    "GROUP_STRIDE",
    "HELPERS",
    "KAPPA",
    "LOOKUP_POWER",
    "MAX_ACCOUNTS",
    "MAX_ASSETS",
    "MAX_FACTOR_BP",
    "MAX_GROUPS",
    "MAX_INSTRUMENTS",
    "MAX_RATIO",
    "MAX_SCENARIOS",
    "PACKED_COLUMNS",
    "POSITION_DIGITS",
    "ROWS",
    "SCALE_BITS",
    "SIDE_COLUMNS",
    "SLACK_DIGITS",
    "TABLE_PACK",
    "TAIL_LINES",
    "WAIVED",
    "ChainLayout",
    "ChainPrices",
    "ChainWeights",
    "GrossMode",
    "SideRow",
    "amount_cell",
    "charge_cell",
    "claim_cell",
    "digit_columns",
    "fit",
    "fold_scales",
    "folded_rows",
    "group_charge_cell",
    "held_cell",
    "owed_cell",
    "public_rows",
    "scenario_cell",
]
