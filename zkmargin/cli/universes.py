"""The options that name a universe, and the reading of them: where snapshots are built, checked and attested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zkmargin.app.files import load
from zkmargin.formats import InputError

if TYPE_CHECKING:
    from zkmargin.engine.market import Market
    from zkmargin.engine.universe import Universe

F = TypeVar("F", bound=Callable[..., Any])


def universe_options(function: F) -> F:
    """``--universe`` and ``--last``."""
    last = click.option(
        "--last",
        "last_paths",
        multiple=True,
        metavar="FILE",
        help="With --universe: an earlier market that prices may be carried from; several times.",
    )
    universe = click.option(
        "--universe", "universe_path", metavar="FILE", help="A universe that fixes the slots, instead of the market."
    )
    return universe(last(function))


def load_universe(universe_path: str | None, last_paths: Sequence[str]) -> tuple[Universe | None, list[Market]]:
    """A universe and earlier markets. Raises InputError: earlier markets without a universe."""
    if universe_path is None:
        if last_paths:
            raise InputError("belongs to a universe: give one with --universe", file="--last")
        return None, []
    from zkmargin.engine.market import Market  # noqa: PLC0415 - verifying loads no markets
    from zkmargin.engine.universe import Universe  # noqa: PLC0415

    return load(Universe, universe_path), [load(Market, path) for path in last_paths]


def universe_paths(universe_path: str | None, last_paths: Sequence[str]) -> list[str]:
    """The files that are named."""
    return [*([universe_path] if universe_path else []), *last_paths]
