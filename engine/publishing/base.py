"""How the parts of a policy become the integers of a snapshot: one function for each kind of part, found by its class.

A module of this package has the functions of the component of its name. Everything that prices is here; the components
themselves (parameters, published integers, what these mean for a book) are read and verified without any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from zkmargin.engine.components.base import PolicyPart, PublishedPart
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.settlement import Settled
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError


@singledispatch
def publish(part: PolicyPart, valuation: Valuation) -> PublishedPart | None:
    """The integers of a part for a market, or None when it says nothing about it.

    Raises:
        InputError: parameters or prices that do not fit; names the instrument or asset.
    """
    raise NotImplementedError(part.type)


@singledispatch
def publish_arrays(part: PolicyPart, arrays: RiskArrays) -> PublishedPart | None:  # noqa: ARG001
    """The same for imported SPAN arrays, from which nothing can be priced.

    Raises:
        InputError: a component that revalues contracts, or misses something in the file.
    """
    raise InputError("revalues contracts, which imported arrays do not allow", field=part.type)


@singledispatch
def settle(part: PolicyPart, published: Any, settled: Sequence[Settled], valuation: Valuation) -> Any:  # noqa: ARG001
    """What is published, with what it asks of instruments that have expired: nothing, in all rules but Derive's.

    Args:
        part: the policy's.
        published: of all slots, those that have expired cleared.
        settled: these.
        valuation: of all others.
    """
    return published
