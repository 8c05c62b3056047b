"""Statement, proof format, transcript schedule and the checks. Imports nothing of the prover; starts at once."""

from zkmargin.accounts.commitments import Commitment, CommitmentPart
from zkmargin.verifier.statement import Statement
from zkmargin.verifier.verify import Accepted, verify, verify_batch, verify_each
from zkmargin.verifier.workers import Workers

__all__ = ["Accepted", "Commitment", "CommitmentPart", "Statement", "Workers", "verify", "verify_batch", "verify_each"]
