"""How an honest prover fills a bounded integer: expressions over atoms, as data.

A hint is a ``Form`` or one of the classes below. ``value(of)`` computes it from the values of atoms that came before:
integers, or vectors of integers (``zkmargin.integers``), so that one hint serves the book of one account and the books
of a hundred thousand. A hint is no part of what is proved: a wrong one makes a false witness, and no proof.

    >>> from zkmargin.circuits.language.system import Form
    >>> x = Form({("collateral", 0): 1})
    >>> Largest(-x, 0).value(lambda atom: -7)
    7
    >>> Above(x, -1).value(lambda atom: -7)
    0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from zkmargin.integers import first_smallest, flag, largest, quotient_up, ranked, root_up, smallest

Of = Callable[[Any], Any]


class Hint(Protocol):
    """What a bounded integer is filled with."""

    def value(self, of: Of) -> Any:
        """Its value, when each atom has the value that ``of`` gives."""


Operand = Hint | int


def _value(operand: Operand, of: Of) -> Any:
    return operand if isinstance(operand, int) else operand.value(of)


def _values(operands: Sequence[Operand], of: Of) -> list[Any]:
    return [_value(operand, of) for operand in operands]


@dataclass(frozen=True, init=False)
class Largest:
    """The largest of its operands."""

    operands: tuple[Operand, ...]

    def __init__(self, *operands: Operand) -> None:
        object.__setattr__(self, "operands", operands)

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        return largest(*_values(self.operands, of))


@dataclass(frozen=True, init=False)
class Smallest:
    """The smallest of its operands."""

    operands: tuple[Operand, ...]

    def __init__(self, *operands: Operand) -> None:
        object.__setattr__(self, "operands", operands)

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        return smallest(*_values(self.operands, of))


@dataclass(frozen=True)
class FirstSmallest:
    """1 if the operand at ``place`` is the first of the smallest, else 0."""

    operands: tuple[Operand, ...]
    place: int

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        return first_smallest(_values(self.operands, of), self.place)


@dataclass(frozen=True)
class Ranked:
    """The operand with a rank from the top: 0 is the largest."""

    operands: tuple[Operand, ...]
    rank: int

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        return ranked(_values(self.operands, of), self.rank)


@dataclass(frozen=True)
class Quotient:
    """``operand`` by ``divisor`` (positive), rounded down, or ``up``."""

    operand: Operand
    divisor: int
    up: bool = False

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        x = _value(self.operand, of)
        return quotient_up(x, self.divisor) if self.up else x // self.divisor


@dataclass(frozen=True)
class Above:
    """1 if ``operand`` is above ``bound``, else 0."""

    operand: Operand
    bound: int

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        return flag(_value(self.operand, of) > self.bound)


@dataclass(frozen=True)
class AtMost:
    """1 if ``operand`` is ``bound`` or less, else 0."""

    operand: Operand
    bound: int

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        return flag(_value(self.operand, of) <= self.bound)


@dataclass(frozen=True)
class Sum:
    """The sum of two operands."""

    left: Operand
    right: Operand

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        return _value(self.left, of) + _value(self.right, of)


@dataclass(frozen=True)
class Product:
    """The product of two operands."""

    left: Operand
    right: Operand

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        return _value(self.left, of) * _value(self.right, of)


@dataclass(frozen=True)
class RootUp:
    """The ceiling of the square root of an operand that is not negative."""

    operand: Operand

    def value(self, of: Of) -> Any:
        """As ``Hint.value``."""
        return root_up(_value(self.operand, of))
