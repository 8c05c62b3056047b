"""What instruments and assets may be called, and of what kinds instruments are: shared by markets and snapshots."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

MAX_INSTRUMENTS = 1 << 16

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,79}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Kind = Literal["option", "future", "perpetual", "spot"]
OptionType = Literal["call", "put"]
Settlement = Literal["linear", "inverse"]
#: What stands in for a price that a market does not have, see ``engine.carried``.
CarryMethod = Literal["last", "interpolated", "stressed", "index"]
