"""What a service says, checked by whoever gets it: coverage statements and receipts, and by whom they are signed."""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.client.documents import Coverage
from zkmargin.crypto.keys import PublicKey
from zkmargin.crypto.signatures import Message, Signature
from zkmargin.formats import VerificationError
from zkmargin.verifier.attest import Receipt, Trust


def check_coverage(coverage: Coverage, *, trust: Trust | None = None, keys: Sequence[PublicKey] = ()) -> PublicKey:
    """Whose word a coverage statement is. That its numbers follow from its list of snapshots was checked on reading.

    Args:
        coverage: the statement.
        trust: the reader's own trust file: who signs must be one whose receipts of that verifier count by itself, and
            the service must have accepted under this very file.
        keys: without a trust file, keys of which one must have signed.

    Raises:
        VerificationError: not signed, by nobody of these, or said under another trust file.

    Example:
        >>> check_coverage(coverage, keys=[desk.public]).name
        'desk'
    """
    payload = coverage.payload
    if trust is not None:
        if payload.trust != trust.digest().hex():
            raise VerificationError("the service accepted under another trust file", check="trust")
        alone = [rule for rule in trust.receipts if rule.name == payload.service and rule.threshold == 1]
        names = {name for rule in alone for name in rule.signers}
        if not names:
            raise VerificationError(
                f"the trust file has no rule under receipts by which one signature of {payload.service!r} counts",
                check="signature",
            )
        keys = [key for key in trust.keys if key.name in names]
    return _signer(coverage.signatures, coverage.message, keys)


def check_receipt(receipt: Receipt, statement: str, *, key: PublicKey | None = None) -> None:
    """Whether a receipt is the one of a statement.

    Args:
        receipt: what a service answered.
        statement: the digest (hex) of what was submitted.
        key: of the service, as the caller knows it; None: whoever signed it.

    Raises:
        VerificationError: of another statement, or not signed with that key.
    """
    if receipt.payload.statement != statement:
        found = receipt.payload.statement[:16]
        raise VerificationError(f"the receipt is of another statement: {found}", check="receipt")
    if key is not None:
        _signer(receipt.signatures, receipt.message, [key])


def _signer(signatures: Sequence[Signature], message: Message, keys: Sequence[PublicKey]) -> PublicKey:
    for signature in signatures:
        for key in keys:
            if (signature.scheme, signature.public_keys) == (key.scheme, (key.public_key,)):
                if not signature.verifies(message):
                    raise VerificationError("the signature is not over this statement", check="signature")
                return key
    raise VerificationError("not signed by anyone whose word counts", check="signature")
