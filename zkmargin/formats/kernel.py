"""Kernels compiled by numba without the GIL and kept in the private directory by numba's own cache.

numba looks up a cached kernel by the digest of the file that defines it. Our kernels also depend on generated vector
code in neighbouring files, so the cache folder's name carries a digest of the kernel package: nothing stale is loaded.
Not imported by ``formats`` itself: numba takes a while to import and a verifier has no use for it.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import config as numba_config
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

from zkmargin.formats.errors import SetupError
from zkmargin.formats.private_cache import private_version

F = TypeVar("F", bound=Callable[..., object])

config: Any = numba_config

#: With NUMBA_DISABLE_JIT=1 the public functions of every kernel package use their plain-Python twins.
JIT_ENABLED = not config.DISABLE_JIT


def kernel(function: F) -> F:
    """Compile on first call for the argument types it gets; machine code is kept on disk for the next process.

    When the private cache directory cannot be trusted, compiles in memory and says so in one RuntimeWarning.
    """
    if not JIT_ENABLED:
        return function
    directory = _cache_directory(Path(sys.modules[function.__module__].__file__ or "").parent)
    if directory is None:
        return cast("F", numba.njit(nogil=True, error_model="numpy")(function))
    with _numba_cache_in(directory):
        compiled: Any = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
        compiled._cache = _Kept(function)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return cast("F", compiled)


class _Kept(FunctionCache):
    """numba's cache of one function, without what only compiling needs.

    numba imports all that its compiler knows of (random numbers, dictionaries, linear algebra: a fifth of a second)
    before it looks whether there is something on disk, and once more before it compiles: the second time is enough.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for a signature, or None."""
        rtsys.initialize(target_context)  # what machine code calls to allocate
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]


@cache
def _cache_directory(package: Path) -> Path | None:
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(package.glob("*.py")):
        content = source.read_bytes()
        digest.update(len(content).to_bytes(8, "big") + content)
    try:
        return private_version("kernels", digest.hexdigest()[:16])
    except SetupError as error:
        warnings.warn(f"{error.message}; kernels are compiled anew in each process", RuntimeWarning, stacklevel=3)
        return None


@contextmanager
def _numba_cache_in(directory: Path) -> Iterator[None]:
    """numba reads its cache setting when a function is decorated: ours is set for that moment only."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(directory)
    try:
        yield
    finally:
        config.CACHE_DIR = before
