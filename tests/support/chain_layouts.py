"""Every chain layout that needs a contract for wide ones, by the name of a case, and every mutant of a verifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from support import chain_offsets_forge, chain_tails_forge, chain_wide_forge
from support.chain_lab import WIDE, ChainCase, JointCase, wide, wide_joint, wide_snapshot
from support.chain_offsets import OFFSETS, offset, offset_joint, offset_snapshot
from zkmargin.circuits.books import margin_witness
from zkmargin.circuits.chain import ChainPrices, digit_columns
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot

LAYOUTS = (*WIDE, *OFFSETS)
MUTANTS = (*chain_wide_forge.MUTANTS, *chain_offsets_forge.MUTANTS, *chain_tails_forge.MUTANTS)


def snapshot_of(name: str) -> Snapshot:
    """The snapshot of a layout's case."""
    return wide_snapshot(name) if name in WIDE else offset_snapshot(name)


def case_of(name: str) -> ChainCase:
    """An account over it, its funds the least that the engine asks for."""
    return wide(name) if name in WIDE else offset(name)


def joint_of(name: str) -> JointCase:
    """Two accounts over it, the second one with every side turned."""
    return wide_joint(name) if name in WIDE else offset_joint(name)


def covered(
    prices: ChainPrices, given: Snapshot, book: Sequence[int], held: int, claim: Claim, *, second: int = 30
) -> bool:
    """Whether the chain layout has a witness for these positions and funds of the first two assets."""
    others = ([second] + [0] * len(given.collateral))[: len(given.collateral) - 1]
    enough = margin_witness(given, Claim(1, 1000, "initial"), BookLots(tuple(book), (held + (1 << 40), *others)))
    try:
        digit_columns(prices, replace(enough, collateral=(held, *others)), claim.num, claim.den)
    except ValueError:
        return False
    return True


assert len(LAYOUTS) == len(set(LAYOUTS))
assert all(mutant.layout in LAYOUTS for mutant in MUTANTS)
