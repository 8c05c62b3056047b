"""What prices: from a market (or imported arrays) and a policy to a snapshot. Verifying loads nothing of it."""

from __future__ import annotations

from importlib import import_module

from zkmargin.engine.components import MODULES
from zkmargin.engine.publishing.base import publish, publish_arrays, settle

for _name in MODULES:
    import_module(f"{__name__}.{_name}")

__all__ = ["publish", "publish_arrays", "settle"]
