"""What workers answer, as a coordinator reads it: every part is of the type, shape and range that it needs.

A worker may answer anything. Nothing of an answer is used before it was asked for here, so that a malformed one is
never an index out of bounds in a kernel but an error that names the worker. Whether the numbers are the right ones is
found out by their values at zeta (``prover.venue.workers.RemoteShare.values``) and by the proof, which closes and
verifies or does not (``prover.venue.workers.VenueWorkers.wrong_workers``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zkmargin.crypto.group import G1_BYTES
from zkmargin.formats import InputError
from zkmargin.prover import _kernels as K
from zkmargin.prover._kernels.vectors import FieldVector
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.venue.messages import Array, cut, scalar_list, unpack
from zkmargin.prover.venue.sizes import REASON_BYTES, head_bytes

_SCALAR_BYTES = 32
#: Digits of the largest number in an answer's head; money of all accounts together has fewer.
_DIGITS = 100


class WorkerError(ProverError):
    """A worker was lost too often, or answered wrongly; the message names it."""


class WrongAnswerError(WorkerError):
    """What no worker of ours answers; the message names the worker."""


class RefusedError(WorkerError):
    """A worker that refuses a request, in its own words: ``reason``."""

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(f"worker {worker}: {reason}")
        self.reason = reason


class Answer:
    """One worker's answer: bytes, unpacked; each part is checked when it is asked for.

    Args:
        worker: its name.
        data: what came.
        parts: how many arrays there must be.
        named: how many accounts its head may list.

    Raises:
        WrongAnswerError: no message, or one of another number of arrays.
        InputError: the worker says that it refused the request, and why.
    """

    def __init__(self, worker: str, data: bytes, parts: int, named: int = 0) -> None:
        self.worker = worker
        try:
            most = max(head_bytes(parts, named), REASON_BYTES)
            self.head, self.arrays = unpack(data, arrays_most=parts, head_most=most)
        except InputError as error:
            raise self.wrong(error.message) from None
        if "error" in self.head:
            reason = self.head["error"]
            if not isinstance(reason, str) or not reason.isprintable():
                raise self.wrong("an error that is no text")
            raise InputError(reason)
        if len(self.arrays) != parts:
            raise self.wrong(f"{len(self.arrays)} arrays, not {parts}")

    @staticmethod
    def too_long(worker: str, size: int, most: int) -> WrongAnswerError:
        """The error for an answer of more bytes than it can have."""
        return WrongAnswerError(f"worker {worker} answered wrongly: {size} bytes, more than {most}")

    def wrong(self, reason: str) -> WrongAnswerError:
        """The error for this answer."""
        return WrongAnswerError(f"worker {self.worker} answered wrongly: {reason}")

    def array(self, i: int, dtype: type[np.generic], shape: Sequence[int], below: int | None = None) -> Array:
        """An array of this type and shape; its integers in [0, below), if that is given."""
        found = self.arrays[i]
        if found.dtype != np.dtype(dtype) or found.shape != tuple(shape):
            expected = f"{np.dtype(dtype)} {list(shape)}"
            raise self.wrong(f"array {i} is {found.dtype} {list(found.shape)}, not {expected}")
        if below is not None and found.size and (int(found.min()) < 0 or int(found.max()) >= below):
            raise self.wrong(f"array {i} has numbers out of range")
        return found

    def octets(self, i: int, size: int) -> bytes:
        """So many bytes."""
        return self.array(i, np.uint8, (size,)).tobytes()

    def points(self, i: int, sizes: Sequence[int]) -> list[tuple[bytes, ...]]:
        """Encoded points in rows of these sizes; whether they are points is for a verifier."""
        data = self.octets(i, G1_BYTES * sum(sizes))
        every = [data[at : at + G1_BYTES] for at in range(0, len(data), G1_BYTES)]
        return [tuple(row) for row in cut(every, sizes)]

    def scalars(self, i: int, count: int) -> list[int]:
        """So many elements of F."""
        self.octets(i, _SCALAR_BYTES * count)
        try:
            return scalar_list(self.arrays[i])
        except ValueError as error:
            raise self.wrong(f"array {i}: {error}") from None

    def vector(self, i: int, count: int) -> FieldVector:
        """So many elements of F, for kernels."""
        try:
            return K.from_bytes_le(self.octets(i, _SCALAR_BYTES * count))
        except ValueError as error:
            raise self.wrong(f"array {i}: {error}") from None

    def number(self, text: object) -> int:
        """A number of the head that is not negative, in decimal digits."""
        if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            raise self.wrong("a number that is none")
        return int(text)
