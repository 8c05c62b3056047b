"""What a prover with its checks removed starts from, and whether it gets away with it."""

import os

from support import lab
from support.lab import Case
from support.typed import JsonObject
from zkmargin.formats import VerificationError
from zkmargin.verifier import verify

FULL = os.environ.get("ZKMARGIN_FULL") == "1"
SHAPES: dict[str, JsonObject] = {
    "range-proved": {},
    "gates": {"gates": 2},
    "segments": {"slots": 20, "bits": 8},
    "attested": {"range_proved": False},
}


def accepted(given: Case, tamper: lab.Tamper | None = None) -> bool:
    """Whether the verifier takes what the dishonest prover makes."""
    data = lab.encode(given, lab.cheat(given, tamper))
    try:
        verify(given.statement.as_statement(), data)
    except VerificationError:
        return False
    return True


def usual(name: str = "range-proved") -> Case:
    """A case of a shape, with collateral to spare."""
    return lab.standard(collateral=(200, 3), **SHAPES[name])
