"""Where the blinders of a venue proof come from: the operating system, or a seed that serves one run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from zkmargin.crypto.field import r, random_scalar

SEED_BYTES = 32


#: ``blinders(name, count)``: fresh uniform field elements for a named column; the same ones for the same name.
Blinders = Callable[[str, int], list[int]]


class FreshBlinders:
    """From the operating system; what was drawn for a name is kept for later rounds."""

    def __init__(self) -> None:
        self._drawn: dict[str, list[int]] = {}

    def __call__(self, name: str, count: int) -> list[int]:
        """Fresh elements, or those of before."""
        if name not in self._drawn:
            self._drawn[name] = [random_scalar() for _ in range(count)]
        return self._drawn[name]


class SeededBlinders:
    """blinder = BLAKE2b keyed with the seed, of run digest || |name| || name || counter, 64 bytes mod r.

    A worker that is made again gets the same blinders. The run digest covers the statement and *every* worker's inputs:
    one seed never blinds two different witnesses alike.

    Raises:
        ValueError: another seed than 32 bytes.
    """

    def __init__(self, seed: bytes, run_digest: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._seed, self._run = seed, run_digest

    def __call__(self, name: str, count: int) -> list[int]:
        """The elements of a name."""
        text = name.encode()
        start = self._run + len(text).to_bytes(4, "big") + text
        return [self._element(start + i.to_bytes(4, "big")) for i in range(count)]

    def _element(self, data: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(data, key=self._seed, digest_size=64).digest(), "big") % r
