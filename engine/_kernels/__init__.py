"""Compiled integer kernels of the engine. Private: `engine.pricing` is the way in.

Every kernel is one source for two machines. Compiled, it is numba on int64; with ``NUMBA_DISABLE_JIT=1``
the same lines run on Python integers and give the same bits, because no intermediate ever leaves int64
except inside the primitives of `int128`, which have an exact twin for each machine.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile on first use and cache on disk; the identity under ``NUMBA_DISABLE_JIT=1``."""
    return cast("_Function", njit(cache=True, error_model="numpy")(function))
