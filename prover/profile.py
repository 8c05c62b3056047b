"""Where the time of a proof goes: stages and MSM sizes. No quantities, but times vary with how full a book is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Profile:
    """Filled while a proof is made.

    Attributes:
        stages: (name, seconds), in order.
        msms: (name, number of terms) of every commitment, in order.
        watch: called with the name of each stage as it begins.

    Example:
        >>> profile = Profile()
        >>> proof = prove(statement, book, [opening], profile=profile)
        >>> [name for name, seconds in profile.stages][:2]
        ['statement', 'witness']
    """

    stages: list[tuple[str, float]] = field(default_factory=list)
    msms: list[tuple[str, int]] = field(default_factory=list)
    watch: Callable[[str], None] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        if self.watch is not None:
            self.watch(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages.append((name, time.perf_counter() - start))
