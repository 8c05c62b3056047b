"""The ledger that an option names. A database's modules are loaded when there is one: most verifications have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkmargin.formats import InputError

if TYPE_CHECKING:
    from zkmargin.crypto.keys import Signer
    from zkmargin.ledger import Ledger


def open_ledger(where: str, *, read_only: bool = False, signer: Signer | None = None) -> Ledger:
    """The ledger of ``--ledger``; close it. Commands that only read open it read-only. Raises InputError."""
    from zkmargin.ledger import Ledger  # noqa: PLC0415 - see above

    try:
        return Ledger(where, read_only=read_only, signer=signer)
    except InputError as error:
        if error.field == "ledger" and error.file is None:
            raise InputError(error.reason, file="--ledger", hint=error.hint) from None
        raise
