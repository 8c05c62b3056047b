"""Noir's compiler and solver, and the native bb of ``@aztec/bb.js``: files in a folder, one process a step."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import program
from benchmarks.peers.powers import toy_setup
from benchmarks.peers.statement import Instance

HERE = Path(__file__).resolve().parent
NODE_MODULES = HERE / "node_modules"
#: Powers of the setup that bb reads for a circuit of at most 2^16 rows.
POWERS = (1 << 17) + 1
#: What bb says of a good proof over powers that are not the ceremony's: its verifier has the ceremony's point built in.
OTHER_POWERS = "verification failed at pairing check"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def binary() -> Path:
    """The native bb for this machine.

    Raises:
        FileNotFoundError: not installed, or there is none for it.
    """
    system = {"linux": "linux", "darwin": "macos"}.get(sys.platform, sys.platform)
    folder = f"{_ARCHITECTURES.get(platform.machine(), platform.machine())}-{system}"
    path = NODE_MODULES / "@aztec" / "bb.js" / "build" / folder / "bb"
    if not path.exists():
        raise FileNotFoundError(f"no bb at {path}: make bench-peers installs it, where there is one for this machine")
    return path


def run(*command: str | Path) -> str:
    """What a command says. Raises RuntimeError with its last words."""
    done = subprocess.run([*map(str, command)], cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} {command[1]}: {(done.stderr + done.stdout).strip()[-600:]}")
    return done.stdout


@dataclass(frozen=True)
class Peer:
    """A statement compiled: ``folder`` holds program, circuit, inputs, witness, verification key and proof.

    Attributes:
        powers: the folder of the setup's powers.
        ceremony: whether they are the ceremony's; else bb verifies all but its last pairing check.
    """

    folder: Path
    powers: Path
    ceremony: bool

    def prepare(self, instance: Instance) -> None:
        """Compile and make the key, unless the folder has them of the same program; solve once. Takes minutes."""
        source = self.folder / "src" / "main.nr"
        before = source.read_bytes() if source.exists() else None
        program.write(instance, self.folder)
        if before != source.read_bytes() or not (self.folder / "vk" / "vk").exists():
            run("node", "noir.mjs", "compile", self.folder)
            self.bb("write_vk", "-b", "circuit.json", "-o", "vk")
        self.solve()

    def bb(self, verb: str, *options: str) -> str:
        """Run bb in the folder; options that name files of the folder are made paths."""
        paths = [option if option.startswith("-") else self.folder / option for option in options]
        setup: list[str | Path] = [] if verb == "gates" else ["-c", self.powers]
        return run(binary(), verb, *paths, *setup)

    def solve(self) -> tuple[float, str]:
        """Make the witness: the seconds of the solver alone, and the public output."""
        said = json.loads(run("node", "noir.mjs", "solve", self.folder).splitlines()[-1])
        return said["milliseconds"] / 1000, said["returned"]

    def prove(self) -> bytes:
        """A proof, as ``bb prove`` makes it with everything prepared."""
        self.bb("prove", "-b", "circuit.json", "-w", "witness.gz", "-k", "vk/vk", "-o", ".")
        return (self.folder / "proof").read_bytes()

    def verify(self, proof: bytes) -> bool:
        """Whether bb accepts it; with powers of our own, whether it accepts all before the last pairing check."""
        (self.folder / "checked").write_bytes(proof)
        try:
            self.bb("verify", "-p", "checked", "-i", "public_inputs", "-k", "vk/vk")
        except RuntimeError as error:
            return not self.ceremony and OTHER_POWERS in str(error)
        return self.ceremony

    def rows(self) -> int:
        """Rows of the circuit."""
        return int(json.loads(self.bb("gates", "-b", "circuit.json"))["functions"][0]["circuit_size"])


def own_powers(folder: Path) -> Path:
    """Powers of a known number, made once."""
    if not (folder / "bn254_g2.dat").exists():
        toy_setup(folder, POWERS)
    return folder
