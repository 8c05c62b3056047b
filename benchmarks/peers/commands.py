"""Commands of the peers' npm packages, one process a step, and the clock that counts their CPU seconds too."""

from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

HERE = Path(__file__).resolve().parent
NODE_MODULES = HERE / "node_modules"


class CommandError(RuntimeError):
    """A command ended with an error: its last words, and in ``said`` all of them."""

    def __init__(self, command: str, said: str) -> None:
        super().__init__(f"{command}: {said.strip()[-600:]}")
        self.said = said


def run(*command: str | Path) -> str:
    """What a command says. Raises CommandError."""
    done = subprocess.run([*map(str, command)], cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"{Path(command[0]).name} {Path(command[1]).name}", done.stderr + done.stdout)
    return done.stdout


def succeeds(call: Callable[[], object], *, refusal: str) -> bool:
    """Whether commands end well; False where one says the refusal, in capitals or not. Raises CommandError: others."""
    try:
        call()
    except CommandError as error:
        if refusal.lower() in error.said.lower():
            return False
        raise
    return True


def installed(*parts: str) -> Path:
    """A file of the installed packages.

    Raises:
        FileNotFoundError: not installed, or there is none for this machine.
    """
    path = NODE_MODULES.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"no {path}: make bench-peers installs it, where there is one for this machine")
    return path


def pinned() -> dict[str, str]:
    """The packages and their versions."""
    return cast(dict[str, str], json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"])


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock seconds and CPU seconds, of child processes that have ended too."""
    wall, cpu = time.perf_counter(), _cpu()
    call()
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
