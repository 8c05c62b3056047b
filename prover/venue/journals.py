"""Which request was answered in each round of one run: another one is refused (``prover.venue.workers``)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from zkmargin.formats import InputError


class Journal:
    """Which request a seed has answered in each round; kept in a file of mode 0600, or in memory without a path."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._seen: dict[str, str] = {}
        if path is not None and Path(path).exists():
            for line in Path(path).read_text("ascii").splitlines():
                name, digest = line.split()
                self._seen[name] = digest

    def admit(self, name: str, request: bytes) -> None:
        """Note a round's request before it is answered. Raises InputError for another one than before."""
        digest = hashlib.blake2b(request, digest_size=32).hexdigest()
        known = self._seen.setdefault(name, digest)
        if known != digest:
            raise InputError(f"round {name} was answered for other challenges: this seed answers no others")
        if self._path is not None:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, f"{name} {digest}\n".encode("ascii"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
