"""Build the verifier page that the package ships, or compare: ``python -m web.build [--check]``.

Needs node and ``npm ci`` in web/. Writes ``zkmargin/app/data/verify.html`` and pins its digest in
``zkmargin/app/page.py``; ``--check`` builds again and compares bytes, and says how large it is.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from zkmargin.app.page import PAGE
from zkmargin.formats import keccak256

HERE = Path(__file__).resolve().parent
PINNED = HERE.parent / "zkmargin" / "app" / "page.py"
#: What the page may weigh, gzipped.
MOST_BYTES = 200_000


def built() -> bytes:
    """The page from its sources."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "verify.html"
        subprocess.run(["node", str(HERE / "build.mjs"), str(target)], cwd=HERE, check=True)
        return target.read_bytes()


def main() -> None:
    """Write, or compare with ``--check``."""
    page = built()
    size = len(gzip.compress(page, mtime=0))
    if size > MOST_BYTES:
        sys.exit(f"error: {size} bytes gzipped, at most {MOST_BYTES}")
    digest = keccak256(page).hex()
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_bytes() != page:
            sys.exit("error: verify.html is not what the sources give: run make page")
        print(f"the page is what the sources give, byte for byte: {size} bytes gzipped, keccak-256 {digest}")
        return
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_bytes(page)
    text = PINNED.read_text("utf-8")
    PINNED.write_text(re.sub(r'(PAGE_DIGEST = bytes.fromhex\(")[0-9a-f]{64}', rf"\g<1>{digest}", text), "utf-8")
    print(f"{size} bytes gzipped; keccak-256, pinned in zkmargin/app/page.py: {digest}")


if __name__ == "__main__":
    main()
