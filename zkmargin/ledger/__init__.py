"""A verifier's ledger: the proofs it accepted, with all that is needed to check them again, and what it has seen.

``tables`` says what is kept, ``database`` how it is kept whole, ``records`` what happens inside one transaction,
``ledger`` what a verifier does with it.
"""

from zkmargin.ledger.ledger import Ledger
from zkmargin.ledger.records import Account, Entry
from zkmargin.ledger.tables import SCHEMA

__all__ = ["SCHEMA", "Account", "Entry", "Ledger"]
