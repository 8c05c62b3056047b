"""The prover: witness and openings in, proof bytes out. Secrets stay inside."""

from prover.openings import Opening, OpeningPart, commit_book
from prover.profile import Profile
from prover.prove import prove

__all__ = ["Opening", "OpeningPart", "Profile", "commit_book", "prove"]
