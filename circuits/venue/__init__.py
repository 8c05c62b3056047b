"""What a venue's proof asks of an account, in integers: rules from a snapshot, classes, and the cells of a block.

A small account is a *block* of B rows of a column set; a large one is *dense*, with today's committed columns. Both
satisfy the same public linear equations over bounded non-negative integers (docs/protocol-venue.md section 3); what
differs is where the integers stand.

    classes     classes of accounts, claims and limits, as terms state them
    policies    policies that need the circuit of a whole account
    rules       a snapshot's policy as the integers that the proof reads
    integers    the bounded integers of an account, and which equations read them
    templates   where everything stands, once for all accounts of a class
"""

from zkmargin.circuits.venue.classes import (
    MAX_ACCOUNTS,
    MAX_BLOCK,
    MAX_CHARGE_BITS,
    MAX_LEGS,
    MAX_SLOTS,
    BlockClass,
    Limits,
    Options,
    Ratio,
    RatioText,
    headroom_of,
)
from zkmargin.circuits.venue.integers import AccountIntegers, Bounded, Exponents, Family, Term, digits_for
from zkmargin.circuits.venue.policies import AccountCircuit, AccountPolicy, RowTerm
from zkmargin.circuits.venue.rules import VenueRules
from zkmargin.circuits.venue.templates import (
    BlockTemplate,
    DenseTemplate,
    choose_block,
    common_denominator,
    default_charge_bits,
    position_segments,
)

__all__ = [
    "MAX_ACCOUNTS",
    "MAX_BLOCK",
    "MAX_CHARGE_BITS",
    "MAX_LEGS",
    "MAX_SLOTS",
    "AccountCircuit",
    "AccountIntegers",
    "AccountPolicy",
    "BlockClass",
    "BlockTemplate",
    "Bounded",
    "DenseTemplate",
    "Exponents",
    "Family",
    "Limits",
    "Options",
    "Ratio",
    "RatioText",
    "RowTerm",
    "Term",
    "VenueRules",
    "choose_block",
    "common_denominator",
    "default_charge_bits",
    "digits_for",
    "headroom_of",
    "position_segments",
]
