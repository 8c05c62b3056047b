"""The verifier page that ships with the package: one HTML file that checks bundles and proofs without any network.

Its sources are in ``web/``; ``make page`` builds it, ``make web`` builds it again and compares bytes.
"""

from __future__ import annotations

from pathlib import Path

from zkmargin.chain.artefacts import shipped

PAGE = Path(__file__).with_name("data") / "verify.html"
PAGE_DIGEST = bytes.fromhex("f5cb47221b346e475e8266c115b22021ba46c420468bf1ff287277527faf398b")
_MAX_BYTES = 1 << 21


def verifier_page() -> bytes:
    """The page's bytes. Raises SetupError for a damaged installation.

    >>> verifier_page()[:15]
    b'<!doctype html>'
    """
    return shipped(PAGE, PAGE_DIGEST, "the verifier page", max_bytes=_MAX_BYTES)
