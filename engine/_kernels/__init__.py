"""Compiled integer kernels of the engine. Private: `engine.pricing` is the way in.

Every kernel is one source for two machines. Compiled, it is numba on int64; with ``NUMBA_DISABLE_JIT=1``
the same lines run on Python integers and give the same bits, because no intermediate ever leaves int64
except inside the primitives of `int128`, which have an exact twin for each machine.
"""

from zkmargin.formats.kernel import kernel

__all__ = ["kernel"]
