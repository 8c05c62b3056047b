"""Small systems of every shape, and the errors that a touched proof may give."""

import os

import pytest

from support import lab
from support.instances import BareStatement, verify
from support.lab import Case
from support.typed import JsonObject, Passed
from zkmargin.formats import ProofFormatError, VerificationError, ZkMarginError

FULL = os.environ.get("ZKMARGIN_FULL") == "1"


#: (shape of the system, its balances)
SHAPES: dict[str, tuple[JsonObject, tuple[int, ...]]] = {
    "range-proved": ({}, (40, 3)),
    "attested positions": ({"range_proved": False}, (40, 3)),
    "one digit column": ({"range_proved": False, "scenarios": 1, "assets": ((4, False),)}, (9,)),
    "two digits a side": ({"bits": 8}, (200, 3)),
    "fifteen digits a side": ({"bits": 60}, (200, 3)),
    "one gate": ({"gates": 1}, (40, 3)),
    "gates without sides": ({"gates": 3, "range_proved": False}, (40, 3)),
    "a full segment of gates": ({"gates": 16, "scenarios": 1}, (200, 3)),
    "a full segment": ({"slots": 15}, (200, 3)),
    "two segments": ({"slots": 16}, (200, 3)),
    "three segments": ({"slots": 40}, (200, 3)),
    "three segments, attested": ({"slots": 45, "range_proved": False}, (200, 3)),
    "segments of collateral": ({"assets": ((4, True),) * 31}, (9,) * 31),
    "larger domain": ({"n": 32, "slots": 40}, (200, 3)),
    "no positions": ({"slots": 0}, (40, 3)),
    "no collateral": ({"slots": 0, "assets": ()}, ()),
    "nothing owed or held": ({}, (0, 0)),
}


def build(name: str, **options: Passed) -> Case:
    shape, collateral = SHAPES[name]
    scale = 0 if name == "nothing owed or held" else 1
    return lab.standard(collateral=collateral, scale=scale, options=options, **shape)


def rejected(
    statement: BareStatement,
    data: bytes,
    kinds: tuple[type[ZkMarginError], ...] = (ProofFormatError, VerificationError),
) -> ZkMarginError:
    """The error, which must be one of the documented ones and nothing else."""
    with pytest.raises(ZkMarginError) as caught:
        verify(statement, data)
    assert type(caught.value) in kinds
    return caught.value
