"""``zkmargin`` and ``python -m zkmargin``: the command line, started so that a short command is over soon.

What is done here is done before the first import of size, and only for a process of ours: a program that imports
``zkmargin`` keeps its own settings.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from types import ModuleType
from typing import Any

#: Objects made before the collector looks again. Python's 700 cost a tenth of a command's time while modules load, and
#: one look at the 50,000 objects of a verification a twentieth.
COLLECT_AFTER = 200_000


def main() -> int:
    """Run the command line and return the exit code."""
    gc.set_threshold(COLLECT_AFTER)
    _leave_plugins()
    _load_keccak()
    return importlib.import_module("zkmargin.cli").main()  # type: ignore[no-any-return]


def _leave_plugins() -> None:
    """pydantic would search every installed distribution for plugins, to run their code in ours. Told not to, it still
    loads what would search, which takes longer than to read a snapshot: that module is said to find none.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    loader: Any = ModuleType("pydantic.plugin._loader")
    loader.get_plugins = tuple
    sys.modules.setdefault(loader.__name__, loader)


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
