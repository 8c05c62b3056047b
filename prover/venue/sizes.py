"""How many bytes a worker may answer, and what coordinator and workers hold: from the statement, before all work.

Every part of an answer has a size that follows from the statement and the sets that the worker owns, so a coordinator
reads no more than that, whatever a worker announces, and knows what it will hold: arrays, and Python's objects too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zkmargin.crypto.field import SCALAR_BYTES
from zkmargin.crypto.group import G1_BYTES
from zkmargin.prover._kernels import identities as I
from zkmargin.prover.venue.blinders import SEED_BYTES
from zkmargin.verifier.venue.statement import ColumnSet, VenueStatement

#: The head of a message, and the line in it for each array; of an account in a list of those under their claim.
HEAD_BYTES, ARRAY_BYTES, NAMED_BYTES = 256, 64, 160
#: What a worker says of a request that it refuses.
REASON_BYTES = 4096
#: A vector of F for kernels takes five limbs of 8 bytes a row.
ROW_BYTES = 40
#: Python's objects of one column or helper: its name, its point as bytes (81) and decoded (168), its value, weight and
#: blinders (60 each), what lists keep of them (8 each), and the same again where the point is checked.
OBJECT_BYTES = 1024
#: An element of F as Python's integer in a list, and what a commitment to it takes beside.
ELEMENT_BYTES = 68 + 128
#: Vectors of n rows that do not grow with the accounts: of the coordinator's own columns and of one set, on all cosets.
VECTORS = 512


def head_bytes(arrays: int, named: int = 0) -> int:
    """At most so many bytes in the head of an answer with so many arrays, that lists so many accounts."""
    return HEAD_BYTES + ARRAY_BYTES * arrays + NAMED_BYTES * named


def column_bytes(statement: VenueStatement, sets: Sequence[ColumnSet]) -> int:
    """The columns of some sets: instruments and groups in 4 bytes, digits in 2 (4 beyond 2^16)."""
    digit = 2 if statement.k <= 16 else 4
    templates = (statement.templates[x.kind] for x in sets)
    return statement.n * sum(4 * (t.row_legs + 1) + digit * t.digit_columns for t in templates)


def start_bytes(statement: VenueStatement, sets: Sequence[ColumnSet], documents: int) -> int:
    """What a worker is made from: the documents (so many bytes), the setup and its columns."""
    places = (24 + 2 * SEED_BYTES + 3) * len(sets)  # its number and its key, in hex
    return (
        HEAD_BYTES
        + documents
        + places
        + ARRAY_BYTES * (3 * len(sets) + 1)
        + len(statement.srs.encoding)
        + (column_bytes(statement, sets))
    )


def answer_bytes(statement: VenueStatement, sets: Sequence[ColumnSet]) -> dict[str, int]:
    """At most so many bytes in each answer of a worker that owns these sets, by round or question."""
    n, (opened, helpers) = statement.n, _columns_and_helpers(statement, sets)
    accounts = sum(x.used for x in sets)
    lifting = I.lifting(n, 1 << statement.g.bit_length())
    coset = int(np.prod(lifting.zeros().shape)) * 8
    parts = {
        "start": (0, 0),
        "commit_columns": (2, G1_BYTES * opened + 8 * (1 << statement.k)),
        "aggregates": (3, 3 * SCALAR_BYTES * statement.rules.instruments),
        "commit_helpers": (2, G1_BYTES * helpers + SCALAR_BYTES * n),
        "numerators": (lifting.count, lifting.count * coset),
        "values": (len(sets), SCALAR_BYTES * opened),
        "combined": (1, SCALAR_BYTES * (n + 2)),
        "check": (1, G1_BYTES),
        "examine": (0, NAMED_BYTES * accounts),
        "columns": (3 * len(statement.templates), column_bytes(statement, sets)),
    }
    return {name: head_bytes(arrays) + size for name, (arrays, size) in parts.items()}


def largest_answer(statement: VenueStatement) -> int:
    """More bytes than any worker of this statement has to say, however the sets are shared out."""
    return max(answer_bytes(statement, statement.sets).values())


def _columns_and_helpers(statement: VenueStatement, sets: Sequence[ColumnSet]) -> tuple[int, int]:
    mine = {f"set {x.index}" for x in sets}
    opened = sum(statement.templates[x.kind].opened_columns for x in sets)
    return opened, sum(helper.owner in mine for helper in statement.helpers)


def worker_bytes(statement: VenueStatement, sets: Sequence[ColumnSet]) -> int:
    """At most so many bytes in a worker that owns these sets: its columns as sent and as arrays, every helper's vector,
    objects, and vectors of n rows; beside the code, its kernels and the tables of the setup.
    """
    opened, helpers = _columns_and_helpers(statement, sets)
    vectors = ROW_BYTES * statement.n * (helpers + VECTORS)
    return 2 * column_bytes(statement, sets) + vectors + OBJECT_BYTES * (opened + helpers)


def coordinator_bytes(statement: VenueStatement) -> int:
    """At most so many bytes in a coordinator of workers: the columns eight times (the witness, what workers made, what
    they are made from, one answer of all, and each in a message's pieces too), answers, objects, tags, and vectors of n
    rows; beside the books it was given, the code, its kernels and the tables of the setup.
    """
    opened, helpers = _columns_and_helpers(statement, statement.sets)
    own = statement.tag_columns * statement.n * ELEMENT_BYTES
    vectors = ROW_BYTES * statement.n * (statement.tag_columns + VECTORS)
    held = 8 * column_bytes(statement, statement.sets) + kept_bytes(statement, statement.sets)
    return held + own + vectors + OBJECT_BYTES * (opened + helpers)


def kept_bytes(statement: VenueStatement, sets: Sequence[ColumnSet]) -> int:
    """What a coordinator keeps of a worker until the proof is out: its answers to every round, to find a wrong one."""
    answers = answer_bytes(statement, sets)
    return sum(answers[name] for name in answers if name not in ("examine", "columns", "start"))
