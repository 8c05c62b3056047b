"""The Merkle tree over the points of message 1, one leaf a column set, so that a customer fetches kilobytes.

leaf x = keccak(0x10 || x in 4 bytes || points), node = keccak(0x11 || left || right); a last node without a partner
moves up as it is. Leaves and nodes start differently, and the number of leaves is public: a path has one meaning.
"""

from __future__ import annotations

from collections.abc import Sequence

from zkmargin.formats.canonical import keccak256

_LEAF, _NODE = b"\x10", b"\x11"
EMPTY_ROOT = bytes(32)


def leaf(index: int, points: Sequence[bytes]) -> bytes:
    """The digest of a set's points: its columns, then the tag column that it uses."""
    return keccak256(_LEAF + index.to_bytes(4, "big") + b"".join(points))


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All levels, from the leaves to the root."""
    found = [list(leaves)]
    while len(found[-1]) > 1:
        below = found[-1]
        above = [keccak256(_NODE + below[i] + below[i + 1]) for i in range(0, len(below) - 1, 2)]
        found.append(above + below[len(below) & ~1 :])
    return found


def root(leaves: Sequence[bytes]) -> bytes:
    """The root; 32 zero bytes for no leaves."""
    return levels(leaves)[-1][0] if leaves else EMPTY_ROOT


def path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The siblings from a leaf to the root."""
    return siblings(levels(leaves), index)


def siblings(tree: Sequence[Sequence[bytes]], index: int) -> tuple[bytes, ...]:
    """``path`` from the levels: who makes many paths builds them once."""
    found = []
    for level in tree[:-1]:
        if index ^ 1 < len(level):
            found.append(level[index ^ 1])
        index //= 2
    return tuple(found)


def root_from_path(digest: bytes, index: int, count: int, siblings: Sequence[bytes]) -> bytes:
    """The root that a leaf and its path give in a tree of ``count`` leaves.

    Raises:
        ValueError: an index outside the tree, or another number of siblings than its path has.
    """
    if not 0 <= index < count:
        raise ValueError(f"leaf {index} of {count}")
    rest = list(siblings)
    while count > 1:
        if index ^ 1 < count:
            if not rest:
                raise ValueError("a path that is too short")
            sibling = rest.pop(0)
            pair = digest + sibling if index % 2 == 0 else sibling + digest
            digest = keccak256(_NODE + pair)
        index //= 2
        count = (count + 1) // 2
    if rest:
        raise ValueError("a path that is too long")
    return digest
