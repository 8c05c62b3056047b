"""The prover: witness and openings in, proof bytes out. Secrets stay inside."""

from prover.openings import Opening, OpeningPart, commit_book
from prover.prove import prove

__all__ = ["Opening", "OpeningPart", "commit_book", "prove"]
