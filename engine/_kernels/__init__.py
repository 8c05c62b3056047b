"""Compiled integer kernels of the engine. Private: `engine.pricing` is the way in.

Every kernel is one source for two machines. Compiled, it is numba on int64; with ``NUMBA_DISABLE_JIT=1``
the same lines run on Python integers and give the same bits, because no intermediate ever leaves int64
except inside the primitives of `int128`, which have an exact twin for each machine.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: What the compiled code on disk belongs to: the text of every file of this package.
SOURCES = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


def kernel(function: _Function) -> _Function:
    """Compile on first use and cache on disk; the identity under ``NUMBA_DISABLE_JIT=1``."""
    compiled = njit(cache=True, error_model="numpy")(function)
    # numba looks only at the date and size of the kernel's own file, and would go on using code that was
    # compiled with an older version of a kernel that it calls.
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:
        cache_file._source_stamp = SOURCES  # noqa: SLF001
    return cast("_Function", compiled)
