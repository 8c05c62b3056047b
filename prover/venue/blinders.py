"""Where the blinders of a venue proof come from: the operating system, or keys of a seed that serves one run."""

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
    """Every column's, from one seed: a key an owner, and blinders from keys (``KeyedBlinders``).

    key = BLAKE2b keyed with the seed, of run digest || owner, 32 bytes. A column set's columns and helpers have that
    set for an owner ("set 3"); all others have the coordinator. Whoever makes a part is given its owners' keys alone:
    they say nothing about the seed, nor about other owners' blinders. The run digest covers the statement and *every*
    worker's inputs: one seed never blinds two different witnesses alike.

    Raises:
        ValueError: another seed than 32 bytes.
    """

    def __init__(self, seed: bytes, run_digest: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._seed, self._run = seed, run_digest
        self._keyed = KeyedBlinders({})

    def key(self, owner: str) -> bytes:
        """An owner's."""
        return hashlib.blake2b(self._run + owner.encode(), key=self._seed, digest_size=SEED_BYTES).digest()

    def __call__(self, name: str, count: int) -> list[int]:
        """The elements of a name."""
        owner = owner_of(name)
        if owner not in self._keyed.keys:
            self._keyed.keys[owner] = self.key(owner)
        return self._keyed(name, count)


class KeyedBlinders:
    """Some owners' alone: blinder = BLAKE2b keyed with the owner's key, of |name| || name || counter, 64 bytes mod r.

    A worker that is made again gets the same blinders. A name of an owner without a key is a KeyError.
    """

    def __init__(self, keys: dict[str, bytes]) -> None:
        self.keys = keys

    def __call__(self, name: str, count: int) -> list[int]:
        """The elements of a name."""
        key, text = self.keys[owner_of(name)], name.encode()
        start = len(text).to_bytes(4, "big") + text
        return [self._element(key, start + i.to_bytes(4, "big")) for i in range(count)]

    @staticmethod
    def _element(key: bytes, data: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(data, key=key, digest_size=64).digest(), "big") % r


def owner_of(name: str) -> str:
    """Whose column it is: "set 3" of "set 3 digit 7" and of "set 3 h 0"; "coordinator" of everything else."""
    kind, _, rest = name.partition(" ")
    return f"set {rest.partition(' ')[0]}" if kind == "set" else "coordinator"
