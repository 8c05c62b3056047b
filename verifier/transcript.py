"""The protocol layer of the transcript: one method a round, called alike by prover and verifier.

Order is soundness here: everything public first, then each message before the challenge that follows it. The
forgeries that a re-ordered schedule would admit are tests (tests/test_transcript_order.py).
"""

from __future__ import annotations

from zkmargin.crypto.field import r
from zkmargin.crypto.transcript import Transcript
from zkmargin.verifier.proof import Message1, Message2, Message3, Message4, Message5
from zkmargin.verifier.statement import Instance

PROTOCOL = "zkmargin/margin-argument/v1"


class MarginTranscript:
    """Replays the protocol's messages; each round's method returns its challenges."""

    def __init__(self, statement: Instance) -> None:
        self.n = statement.circuit.n
        self._bytes = Transcript(PROTOCOL)
        for label, data in statement.public_messages():
            self._bytes.append(label, data)
        #: Identifies the statement: equal for two proofs exactly when everything public is equal.
        self.statement_digest = self._bytes.state

    def round1(self, message: Message1) -> tuple[int, int]:
        """Columns, multiplicities and gates -> beta (lookup), rho (equations)."""
        message.absorb(self._bytes)
        # beta + i = 0 for a table value i would put a pole into the lookup sum.
        beta = self._bytes.challenge("beta", lambda x: (-x) % r < self.n)
        return beta, self._bytes.challenge("rho")

    def round2(self, message: Message2) -> int:
        """Helpers and running sum -> chi (identities)."""
        message.absorb(self._bytes)
        return self._bytes.challenge("chi")

    def round3(self, message: Message3) -> int:
        """Quotient -> zeta, never in H (a value there would be a witness cell)."""
        message.absorb(self._bytes)
        return self._bytes.challenge("zeta", lambda x: pow(x, self.n, r) == 1)

    def round4(self, message: Message4) -> int:
        """Evaluations -> v (batched opening)."""
        message.absorb(self._bytes)
        return self._bytes.challenge("v")

    def round5(self, message: Message5) -> int:
        """Both openings -> y (one pairing check for the two points)."""
        message.absorb(self._bytes)
        return self._bytes.challenge("y")
