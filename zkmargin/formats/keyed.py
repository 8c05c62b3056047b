"""Documents as the keys of caches."""

from __future__ import annotations

from typing import Generic, TypeVar

from zkmargin.formats.documents import Document

D = TypeVar("D", bound=Document)


class ByDigest(Generic[D]):
    """A document as a cache key: equal by digest, without hashing its arrays again."""

    def __init__(self, document: D) -> None:
        self.document, self.key = document, document.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByDigest) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)
