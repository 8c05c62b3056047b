"""Commitments, openings and parts of accounts, and how they move: documents and their rules. No circuit, no proof."""

from zkmargin.accounts.commitments import Commitment, CommitmentPart, commit_vector
from zkmargin.accounts.openings import Opening, OpeningPart, commit_book
from zkmargin.accounts.slots import ROLES, Role, slot_map_digest, slot_maps

__all__ = [
    "ROLES",
    "Commitment",
    "CommitmentPart",
    "Opening",
    "OpeningPart",
    "Role",
    "commit_book",
    "commit_vector",
    "slot_map_digest",
    "slot_maps",
]
