"""One encoder for each margin component, in the module of its name or, for charges on pools of legs, in ``pools``.

It is imported when a snapshot first holds the component: most policies have three or four of two dozen.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from zkmargin.circuits.encoders import base

if TYPE_CHECKING:
    from collections.abc import Callable

    from zkmargin.circuits.requirement import Requirement
    from zkmargin.engine.components import PublishedPart

NAMES = frozenset(module.name for module in iter_modules(__path__))


def encoder_of(kind: type[PublishedPart]) -> Callable[[PublishedPart, Requirement], None]:
    """What adds the equations of a kind of component.

    Example:
        >>> from zkmargin.engine.components.provisions import PublishedFees
        >>> encoder_of(PublishedFees).__module__
        'zkmargin.circuits.encoders.pools'
    """
    name = kind.model_fields["type"].default
    import_module(f"{__name__}.{name if name in NAMES else 'pools'}")
    return base.encode.dispatch(kind)


def encode(component: PublishedPart, requirement: Requirement) -> None:
    """Add the equations of a component to what is required."""
    encoder_of(type(component))(component, requirement)


__all__ = ["encode", "encoder_of"]
