"""snarkjs with a program compiled by circom: files in a folder, one process a step."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import circom
from benchmarks.peers.commands import CommandError, installed, run, succeeds, timed
from benchmarks.peers.statement import Instance

#: What it says of a proof that does not hold, and a witness program of inputs that do not satisfy it.
REFUSED, UNSATISFIED = "invalid proof", "Assert Failed"


@dataclass
class Snarkjs:
    """A statement compiled and set up.

    Attributes:
        folder: program, inputs, constraints, witness, keys and proof.
        powers: where powers of tau are kept that are made here, of a number that everybody knows.
        system: ``groth16`` or ``plonk``.
        ptau: prepared powers of a ceremony instead.
    """

    folder: Path
    powers: Path
    system: str = "groth16"
    ptau: Path | None = None

    def __post_init__(self) -> None:
        self.name, self.solver = f"snarkjs {self.system} prove", f"circom's witness for {self.system}"
        self._keys = self.folder / f"{self.system}-{self.ptau.stem if self.ptau else 'unsafe'}"

    def prepare(self, instance: Instance) -> None:
        """Compile, make powers of tau and keys, unless the folder has them of the same program. Takes minutes."""
        source = self.folder / "margin.circom"
        before = source.read_bytes() if source.exists() else None
        circom.write(instance, self.folder)
        if before != source.read_bytes():
            for made in (*self.folder.glob("*/vk.json"), self.folder / "compiled"):
                made.unlink(missing_ok=True)
        if not (self.folder / "compiled").exists():
            libraries = installed("circomlib", "circuits")
            wasm = installed("circom2", "cli.js")
            run("node", wasm, "--r1cs", "--wasm", "--O1", "-l", libraries, "-o", self.folder, source)
            (self.folder / "compiled").touch()
        if not (self._keys / "vk.json").exists():
            self._keys.mkdir(exist_ok=True)
            self._set_up()

    def snarkjs(self, *command: str | Path) -> str:
        """Run snarkjs; paths are the folder's."""
        paths = [self.folder / part if isinstance(part, Path) else part for part in command]
        return run("node", installed("snarkjs", "build", "cli.cjs"), *paths)

    def _set_up(self) -> None:
        constraints, zkey = Path("margin.r1cs"), self._keys / "zkey"
        ptau = self.ptau or self._powers(self._power(constraints))
        self.snarkjs(self.system, "setup", constraints, ptau.resolve(), zkey)
        self.snarkjs("zkey", "export", "verificationkey", zkey, self._keys / "vk.json")

    def _power(self, constraints: Path) -> int:
        """Binary logarithm of the domain. PLONK has a row for each addition, and says how many where powers lack."""
        if self.system == "groth16":
            return (_number(r"# of Constraints: (\d+)", self.snarkjs("r1cs", "info", constraints)) + 1).bit_length()
        try:
            self.snarkjs("plonk", "setup", constraints, self._powers(3).resolve(), self._keys / "zkey")
        except CommandError as error:
            return (_number(r"ceremony\. (\d+) >", error.said) - 1).bit_length()
        raise RuntimeError("plonk set-up: a program of at most eight rows")

    def _powers(self, power: int) -> Path:
        """Powers of tau = 2, made once."""
        path = self.powers / f"{power}.ptau"
        if not path.exists():
            self.powers.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            run("node", "powers.mjs", unfinished, str(power))
            unfinished.replace(path)
        return path

    def satisfied(self, instance: Instance) -> bool:
        """Whether there is a witness."""
        circom.write(instance, self.folder)
        return succeeds(self.solve, refusal=UNSATISFIED)

    def solve(self) -> tuple[float, float | None]:
        """Seconds of the whole process."""
        program, inputs, witness = Path("margin_js/margin.wasm"), Path("inputs.json"), Path("witness.wtns")
        return timed(lambda: self.snarkjs("wtns", "calculate", program, inputs, witness))

    def prove(self) -> bytes:
        """Its coordinates and scalars, 32 bytes each."""
        self.snarkjs(
            self.system, "prove", self._keys / "zkey", Path("witness.wtns"), Path("proof.json"), Path("public.json")
        )
        return encoded(json.loads((self.folder / "proof.json").read_text("utf-8")))

    def check(self, proof: bytes) -> None:
        """Another public input, and two points of the proof exchanged."""
        made = json.loads((self.folder / "proof.json").read_text("utf-8"))
        public = json.loads((self.folder / "public.json").read_text("utf-8"))
        first, *_, last = [name for name, value in made.items() if isinstance(value, list) and len(value) == 3]
        exchanged = {**made, first: made[last], last: made[first]}
        if encoded(made) != proof or not self._accepted(made, public):
            raise RuntimeError("snarkjs refuses its own proof")
        if self._accepted(made, [str(int(public[0]) + 1)]) or self._accepted(exchanged, public):
            raise RuntimeError("snarkjs does not tell its own proof and public input from changed ones")

    def _accepted(self, proof: dict[str, Any], public: list[str]) -> bool:
        for name, value in (("checked.json", proof), ("checked-public.json", public)):
            (self.folder / name).write_text(json.dumps(value), "utf-8")
        files = self._keys / "vk.json", Path("checked-public.json"), Path("checked.json")
        # Groth16 and PLONK write it in other letters
        return succeeds(lambda: self.snarkjs(self.system, "verify", *files), refusal=REFUSED)

    def notes(self) -> list[str]:
        """Size of the circuit, and whose set-up."""
        said = self.snarkjs("r1cs", "info", Path("margin.r1cs"))
        rows, wires = (_number(rf"# of {what}: (\d+)", said) for what in ("Constraints", "Wires"))
        powers = "powers of tau from a file" if self.ptau else "powers of tau made here, of a number everybody knows"
        return [
            f"snarkjs {self.system}: {rows:,} constraints, {wires:,} wires; {powers}; a witness is a whole process."
        ]


def encoded(proof: dict[str, Any]) -> bytes:
    """A proof's points as affine coordinates and its scalars, 32 bytes each: what a contract is given."""

    def numbers(value: Any) -> list[int]:
        if isinstance(value, str):
            return [int(value)]
        return [number for part in value[:2] for number in numbers(part)]  # the third is 1: they are affine

    values = [value for name, value in proof.items() if name not in ("protocol", "curve")]
    return b"".join(number.to_bytes(32, "big") for value in values for number in numbers(value))


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, re.sub(r"\x1b\[[\d;]*m", "", text))
    if not found:
        raise RuntimeError(f"snarkjs says no {pattern}: {text.strip()[-300:]}")
    return int(found[1])
