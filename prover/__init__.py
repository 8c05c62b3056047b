"""The prover: witness and openings in, proof bytes out. Secrets stay inside."""

from zkmargin.accounts.openings import Opening, OpeningPart, commit_book
from zkmargin.prover.profile import Profile
from zkmargin.prover.prove import prove

__all__ = ["Opening", "OpeningPart", "Profile", "commit_book", "prove"]
