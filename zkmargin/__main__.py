"""``zkmargin`` and ``python -m zkmargin``: the command line, started so that a short command is over soon.

What is done here is done before the first import of size, and only for a process of ours: a program that imports
``zkmargin`` keeps its own settings.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

#: Objects made before the collector looks again: Python's 700 cost a tenth of a command's time while modules load.
COLLECT_AFTER = 50_000


def main() -> int:
    """Run the command line and return the exit code."""
    gc.set_threshold(COLLECT_AFTER)
    # pydantic would search every installed distribution for plugins, to run their code in ours.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    _load_keccak()
    return importlib.import_module("zkmargin.cli").main()  # type: ignore[no-any-return]


def _load_keccak() -> None:
    """pycryptodome's keccak through ctypes. Where cffi is installed, Python 3.11 would load that and a parser of C for
    it, which takes longer than to verify a proof; from 3.12 on pycryptodome uses ctypes anyway.
    """
    if "cffi" in sys.modules:
        return
    sys.modules["cffi"] = None  # type: ignore[assignment]  # "not there", as Python's documentation has it
    try:
        importlib.import_module("Crypto.Hash.keccak")
    finally:
        del sys.modules["cffi"]


if __name__ == "__main__":
    sys.exit(main())
