"""Numbers that look random and are the same everywhere: bytes of SHAKE-256 over a seed and a name (FIPS 202).

For synthetic accounts only. Nothing secret is drawn from here.
"""

from __future__ import annotations

import hashlib

import numpy as np

from zkmargin.engine.exact import Int64Array


def uniform(seed: int, name: str, count: int, low: int, high: int) -> Int64Array:
    """``count`` integers from ``low`` to ``high``, both included; biased by less than 2^-32 for ranges below 2^31.

    Example:
        >>> len(uniform(1, "dice", 3, 1, 6))
        3
    """
    data = hashlib.shake_256(f"zkmargin draw {seed} {name}".encode()).digest(8 * count)
    words = np.frombuffer(data, dtype="<u8") >> np.uint64(1)
    return low + (words % np.uint64(high - low + 1)).astype(np.int64)
