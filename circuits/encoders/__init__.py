"""One encoder for each margin component, found by the class of what is published: each module here has some."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from zkmargin.circuits.encoders.base import encode

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["encode"]
