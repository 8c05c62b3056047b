"""Statement, proof format, transcript schedule and the checks. Imports nothing of the prover; starts at once."""

from verifier.commitments import Commitment, CommitmentPart
from verifier.statement import Statement
from verifier.verify import Accepted, verify, verify_batch
from verifier.workers import Workers

__all__ = ["Accepted", "Commitment", "CommitmentPart", "Statement", "Workers", "verify", "verify_batch"]
