"""The page's tests use the helpers of tests/: the golden vectors, the second verifier, the lab."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE.parents[1] / "tests", HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
