"""Programs of the machine that tests try things in: found, or left out, or missed where they must be there."""

from __future__ import annotations

import os
import shutil

import pytest

PACKAGES = {"zsh": "zsh", "fish": "fish", "man": "man-db", "systemd-analyze": "systemd"}


def found(program: str, *, path: str | None = None) -> str:
    """Where it is. What is not installed is left out, unless ``ZKMARGIN_TOOLS=required``: make test-tools, .ci/run."""
    where = shutil.which(program, path=path)
    if where is None and os.environ.get("ZKMARGIN_TOOLS") == "required":
        pytest.fail(f"{program} is not installed: apt install {PACKAGES.get(program, program)}")
    if where is None:
        pytest.skip(f"{program} is not installed")
    return where
