"""A venue's service in the process of a test, over HTTP, with a clock that the test sets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from support.typed import Passed
from support.venue_service import Service, eventually, signers
from zkmargin.app.verifying import clock_ms
from zkmargin.client import Change
from zkmargin.engine.decimals import format_time
from zkmargin.ledger import Ledger
from zkmargin.service.app import create_app
from zkmargin.service.connections import protocol_with
from zkmargin.service.desk import Desk
from zkmargin.service.running import Running
from zkmargin.service.settings import Settings
from zkmargin.service.workers import Pool


@dataclass
class Clocked(Service):
    """Its clock is this machine's and ``ahead_ms`` more."""

    ahead_ms: int = 0

    @property
    def now_ms(self) -> int:
        """By its clock."""
        return clock_ms() + self.ahead_ms

    def change(self, action: object, *, by: str | None = None, **changes: Passed) -> Change:
        """Of its own time."""
        return super().change(action, by=by, **({"time": format_time(self.now_ms)} | changes))


@contextmanager
def clocked(folder: Path, *, config: str = "") -> Iterator[Clocked]:
    """A service that is there inside."""
    made = Service.make(folder, config=config)
    one = Clocked(made.folder)
    settings = Settings.load(str(folder / "serve.toml"))
    pool = Pool(1)
    try:
        with Ledger(settings.database, signer=signers()["desk"], wal=True) as ledger:
            desk = Desk(
                settings,
                settings.load_trust(),
                settings.load_operators(),
                signers()["desk"],
                ledger,
                pool,
                clock=lambda: one.now_ms,
            )
            app = create_app(desk, Running(desk))
            asked = uvicorn.Config(app, port=0, http=protocol_with(30), log_config=None, access_log=False)
            server = uvicorn.Server(asked)
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                eventually(lambda: server.started)
                one.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
                yield one
            finally:
                server.should_exit = server.force_exit = True
                thread.join()
    finally:
        pool.close()
