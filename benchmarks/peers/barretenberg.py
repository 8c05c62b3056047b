"""Noir's compiler and solver, and the native bb of ``@aztec/bb.js``: files in a folder, one process a step."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benchmarks.peers import program
from benchmarks.peers.commands import CommandError, installed, run, succeeds
from benchmarks.peers.powers import toy_setup
from benchmarks.peers.statement import Instance

#: Powers of the setup that bb reads for a circuit of at most 2^16 rows.
POWERS = (1 << 17) + 1
#: What bb says of a good proof over powers that are not the ceremony's: its verifier has the ceremony's point built in.
OTHER_POWERS = "verification failed at pairing check"
#: What the solver adds to an assertion that inputs do not meet.
UNSATISFIED = "rawAssertionPayload"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def binary() -> Path:
    """The native bb for this machine.

    Raises:
        FileNotFoundError: not installed, or there is none for it.
    """
    system = {"linux": "linux", "darwin": "macos"}.get(sys.platform, sys.platform)
    folder = f"{_ARCHITECTURES.get(platform.machine(), platform.machine())}-{system}"
    return installed("@aztec", "bb.js", "build", folder, "bb")


@dataclass(frozen=True)
class Barretenberg:
    """A statement compiled.

    Attributes:
        folder: program, circuit, inputs, witness, verification key and proof.
        powers: the folder of the setup's powers.
        ceremony: whether they are the ceremony's; else bb verifies all but its last pairing check.
    """

    folder: Path
    powers: Path
    ceremony: bool
    name: ClassVar[str] = "bb prove"
    solver: ClassVar[str] = "Noir's solver"

    def prepare(self, instance: Instance) -> None:
        """Compile and make the key, unless the folder has them of the same program. Takes minutes."""
        source, key = self.folder / "src" / "main.nr", self.folder / "vk" / "vk"
        before = source.read_bytes() if source.exists() else None
        program.write(instance, self.folder)
        if before != source.read_bytes():
            key.unlink(missing_ok=True)
        if not key.exists():
            run("node", "noir.mjs", "compile", self.folder)
            self.bb("write_vk", "-b", "circuit.json", "-o", "vk")

    def bb(self, verb: str, *options: str) -> str:
        """Run bb in the folder; options that name files of the folder are made paths."""
        paths = [option if option.startswith("-") else self.folder / option for option in options]
        setup: list[str | Path] = [] if verb == "gates" else ["-c", self.powers]
        return run(binary(), verb, *paths, *setup)

    def satisfied(self, instance: Instance) -> bool:
        """Whether the solver finds a witness."""
        program.write(instance, self.folder)
        return succeeds(self.solve, refusal=UNSATISFIED)

    def solve(self) -> tuple[float, None]:
        """Seconds of the solver alone, without the start of its process."""
        return self._solved()[0], None

    def _solved(self) -> tuple[float, str]:
        said = json.loads(run("node", "noir.mjs", "solve", self.folder).splitlines()[-1])
        return said["milliseconds"] / 1000, said["returned"]

    def prove(self) -> bytes:
        """A proof, as ``bb prove`` makes it with everything prepared."""
        self.bb("prove", "-b", "circuit.json", "-w", "witness.gz", "-k", "vk/vk", "-o", ".")
        return (self.folder / "proof").read_bytes()

    def check(self, proof: bytes) -> None:
        """A proof with a bit changed, another public input; and bb has hashed what the solver hashed."""
        public = (self.folder / "public_inputs").read_bytes()
        changed = bytearray(proof)
        changed[len(proof) // 4] ^= 1
        if not self._accepted(proof, public):
            raise RuntimeError("bb refuses its own proof")
        if self._accepted(bytes(changed), public) or self._accepted(proof, public[:-1] + bytes([public[-1] ^ 1])):
            raise RuntimeError("bb does not tell its own proof and public input from changed ones")
        if int.from_bytes(public, "big") != int(self._solved()[1], 16):
            raise RuntimeError("bb's public input is not what the solver returned")

    def _accepted(self, proof: bytes, public: bytes) -> bool:
        """Whether bb accepts; with powers of our own, whether it accepts all before the last pairing check."""
        (self.folder / "checked").write_bytes(proof)
        (self.folder / "checked_inputs").write_bytes(public)
        try:
            self.bb("verify", "-p", "checked", "-i", "checked_inputs", "-k", "vk/vk")
        except CommandError as error:
            return not self.ceremony and OTHER_POWERS in error.said
        return self.ceremony

    def notes(self) -> list[str]:
        """Size of the circuit, and whose setup."""
        rows = int(json.loads(self.bb("gates", "-b", "circuit.json"))["functions"][0]["circuit_size"])
        powers = (
            "the ceremony's powers"
            if self.ceremony
            else "powers made here: it accepts all up to the last pairing check, whose point its verifier has built in"
        )
        return [f"bb: {rows:,} rows, over {powers}; the solver's time is without the start of its process."]


def own_powers(folder: Path) -> Path:
    """Powers of a known number, made once."""
    if not (folder / "bn254_g2.dat").exists():
        toy_setup(folder, POWERS)
    return folder
