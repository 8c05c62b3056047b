"""A venue's service without calls and verifiers, in the process of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from sqlalchemy import Connection

from support.typed import Passed
from support.venue_service import NAME, signers, trust
from zkmargin.client.orders import Action, Change, ChangePayload
from zkmargin.crypto.keys import Signer
from zkmargin.engine.decimals import format_time
from zkmargin.ledger import Ledger
from zkmargin.service.changes import change
from zkmargin.service.desk import Desk
from zkmargin.service.settings import Settings
from zkmargin.service.workers import Pool
from zkmargin.verifier.attest import Trust

NOW_MS = 1_000_000


class Venue:
    """Its clock stands; ``now_ms`` sets it."""

    def __init__(
        self, ledger: Ledger, *, own_trust: Trust | None = None, now_ms: int = NOW_MS, settings: Passed = None
    ) -> None:
        made = Settings.model_validate(
            {"database": "a", "trust": "a", "key": "a", "operators": ("a",), **(settings or {})}
        )
        self.now_ms = now_ms
        self.operator, self.sequence = signers()["operator"], 0
        pool = cast("Pool", None)  # nothing is verified
        self.desk = Desk(
            made,
            own_trust or trust(),
            (self.operator.public,),
            signers()["desk"],
            ledger,
            pool,
            clock=lambda: self.now_ms,
        )

    def order(self, action: Action, *, by: Signer | None = None) -> None:
        """Signed by the operator, where it is not said by whom."""
        self.sequence += 1
        payload = ChangePayload(service=NAME, sequence=self.sequence, time=format_time(self.now_ms), action=action)
        assert change(self.desk, Change(payload=payload).signed(by or self.operator))[1]

    def while_reading(self, patch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
        """The next time that something is read, this happens before it is kept."""
        real = self.desk.ledger.database.reading

        @contextmanager
        def reading() -> Iterator[Connection]:
            with real() as connection:
                yield connection
            patch.undo()
            meanwhile()

        patch.setattr(self.desk.ledger.database, "reading", reading)
