"""To whom proofs go. A venue takes a proof, and says what became of it, or cannot be reached."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from zkmargin.accounts import Commitment
from zkmargin.agent.config import Venue as VenueConfig
from zkmargin.agent.journal import Made
from zkmargin.app.batches import BatchItem, BatchList
from zkmargin.formats import InputError, VerificationError, ZkMarginError, write_atomic
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, Challenge, Receipt, Trust


class UnreachableError(ZkMarginError):
    """A venue did not answer, or asked to be asked later: what was sent is sent again.

    Attributes:
        after: seconds that the venue asked to wait, or None.
    """

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class NotReadyError(UnreachableError):
    """A venue has not been asked yet for what a proof needs: its courier asks, and nobody else waits for it."""


class UntrustedError(UnreachableError):
    """A venue answered with a receipt that does not count: nobody knows what became of the proof."""


def check_receipt(receipt: Receipt, statement: str, venue: str, trust: Trust | None) -> None:
    """Whether a receipt says that a venue accepted a statement, by whatever way it came.

    Args:
        statement: the digest (hex) of what was proved.
        venue: its name, which its receipts carry.
        trust: whose signatures count, by its rules of receipts; without such rules anyone's does.

    Raises:
        VerificationError: of another statement, by another verifier, or not signed by who counts.
    """
    payload = receipt.payload
    if payload.statement != statement:
        raise VerificationError(f"a receipt of another statement: {payload.statement[:16]}", check="receipt")
    if trust is not None and trust.receipts:
        trust.receipt_quorum(receipt)
    if payload.verifier != venue:
        raise VerificationError(f"a receipt by {str(payload.verifier)[:80]!r}, not by {venue!r}", check="receipt")


@dataclass(frozen=True)
class Verdict:
    """What became of a proof: ``delivered`` where a receipt will say later.

    Attributes:
        reason: why it was refused.
        receipt: the venue's, as text.
        again: it was refused for a reason that a new proof may not have (its challenge had passed).
    """

    state: Literal["delivered", "accepted", "refused"]
    reason: str | None = None
    receipt: str | None = None
    again: bool = False


class Venue(Protocol):
    """A taker of proofs."""

    def challenge(self) -> Challenge | None:
        """What the next proof that nobody asked for answers; None where the configuration's text is its context.

        It takes no time: what a venue must be asked for, ``ready`` asks for.

        Raises:
            NotReadyError: there is none yet.
        """

    def ready(self) -> None:
        """Get ready for the next proof, while there is time. Raises UnreachableError."""

    def submit(self, made: Made) -> Verdict:
        """Hand a proof over; the same one twice does no harm. Raises UnreachableError, UntrustedError."""

    def receipt(self, made: Made) -> Verdict | None:
        """What became of a proof whose answer may have been lost; None where the venue has not accepted it.

        Raises UnreachableError, UntrustedError.
        """

    def attest(self, attestation: Attestation) -> None:
        """Hand over the new attestation of a part. Raises UnreachableError."""

    def close(self) -> None:
        """Release connections."""


class FolderVenue:
    """Writes each proof into a folder: ``NAME.bin``, ``NAME.commitment.json`` and, last, ``NAME.json``.

    The last is a list for ``zkmargin verify-batch``. A receipt of the statement that appears in the inbox settles it.
    """

    def __init__(self, config: VenueConfig) -> None:
        self._config, self._folder = config, Path(config.folder or "")

    def challenge(self) -> None:
        """None: the context is the configuration's."""

    def ready(self) -> None:
        """Nothing."""

    def submit(self, made: Made) -> Verdict:
        """As in ``Venue``."""
        about = json.loads(made.submission)
        stem = f"{about['time'].translate(_PLAIN)}-{made.statement[:16]}"
        item = BatchItem(
            proof=f"{stem}.bin",
            snapshot=about["snapshot_file"] or f"{made.snapshot}.json",
            commitments=(f"{stem}.commitment.json",),
            claim=about["claim"],
            requirement=about["requirement"],
            limits=tuple(about["limits"]),
            context=about["context"],
        )
        try:
            write_atomic(self._folder / f"{stem}.bin", made.proof)
            write_atomic(
                self._folder / f"{stem}.commitment.json", (json.dumps(about["commitment"], indent=1) + "\n").encode()
            )
            write_atomic(self._folder / f"{stem}.json", BatchList(proofs=(item,)).to_bytes())
        except InputError as error:
            raise UnreachableError(error.message) from None
        return Verdict("delivered")

    def receipt(self, made: Made) -> None:
        """None: what could not be written is not there."""

    def attest(self, attestation: Attestation) -> None:
        """Nothing: whoever reads the folder has attestations from who signs them."""

    def close(self) -> None:
        """Nothing."""


_PLAIN = str.maketrans("", "", ":-.")


def submission_text(statement: Statement, *, challenge: Challenge | None, snapshot_file: str | None) -> str:
    """Everything public that goes with a proof, for the journal and for who takes it: JSON."""
    claim = statement.claim
    commitment = Commitment(srs=statement.srs.digest.hex(), domain_size=statement.circuit.n, parts=statement.parts)
    return json.dumps(
        {
            "snapshot": statement.snapshot_digest.hex(),
            "snapshot_file": snapshot_file,
            "time": statement.snapshot.time,
            "claim": f"{claim.num}/{claim.den}",
            "requirement": claim.requirement,
            "limits": [str(limit) for limit in statement.limits],
            "context": statement.context.decode(),
            "challenge": None if challenge is None else challenge.digest().hex(),
            "deadline": None if challenge is None else challenge.deadline,
            "commitment": commitment.to_json(),
        }
    )
