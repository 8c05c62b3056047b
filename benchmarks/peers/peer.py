"""What the comparison asks of a general prover."""

from __future__ import annotations

from typing import Protocol

from benchmarks.peers.statement import Instance


class Peer(Protocol):
    """A general prover: its files stay in a folder of its own between runs. Every call raises RuntimeError with the
    last words of a command that fails.
    """

    @property
    def name(self) -> str:
        """Its row: the command that makes a proof."""

    @property
    def solver(self) -> str:
        """Its row: what makes a witness."""

    def prepare(self, instance: Instance) -> None:
        """Compile and set up, unless that was done for the same program: all that one risk array needs once."""

    def satisfied(self, instance: Instance) -> bool:
        """Whether the program, as it was prepared, has a witness for these hidden integers; keep it for ``prove``."""

    def solve(self) -> tuple[float, float | None]:
        """Make the witness of the last inputs again: wall-clock seconds, and CPU seconds where they are its alone."""

    def prove(self) -> bytes:
        """A proof from the files of circuit, key and witness."""

    def check(self, proof: bytes) -> None:
        """Its own verifier takes the proof just made, and neither a changed one nor another public input.

        Raises:
            RuntimeError: it does not.
        """

    def notes(self) -> list[str]:
        """What a reader of its rows has to know."""
