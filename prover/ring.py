"""Elements that a protocol's text can be read over: rows and polynomials by a prover, linear forms by a verifier.

The reference texts (``reference.py``, ``venue/algebra.py``) state an identity once, for anything that adds and
multiplies. ``Linear`` is what a verifier puts in: commitments by name, of which nothing but sums is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

from zkmargin.crypto.field import r


class Ring(Protocol):
    """Anything that adds and multiplies: polynomials in the prover, linear forms in commitments in the verifier."""

    def __add__(self, other: Self) -> Self: ...
    def __sub__(self, other: Self) -> Self: ...
    def __mul__(self, other: Self) -> Self: ...


Element = TypeVar("Element", bound=Ring)


def product(factors: Iterable[Element], one: Element) -> Element:
    """The product of all factors, ``one`` of none."""
    result = one
    for factor in factors:
        result = result * factor
    return result


@dataclass(frozen=True)
class Linear:
    """constant + sum of coefficients times named commitments, mod r.

    Raises:
        ArithmeticError: a product of two commitments.

    Example:
        >>> f = Linear(0, {"f": 1})
        >>> f * Linear.number(3) - Linear.number(1) == Linear(r - 1, {"f": 3})
        True
    """

    constant: int
    terms: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Linear) -> Linear:
        terms = dict(self.terms)
        for name, c in other.terms.items():
            terms[name] = (terms.get(name, 0) + c) % r
        return Linear((self.constant + other.constant) % r, terms)

    def __mul__(self, other: Linear) -> Linear:
        if self.terms and other.terms:
            raise ArithmeticError("a product of two commitments")
        form, factor = (self, other.constant) if self.terms else (other, self.constant)
        return Linear(form.constant * factor % r, {name: c * factor % r for name, c in form.terms.items()})

    def __sub__(self, other: Linear) -> Linear:
        return self + other * Linear.number(r - 1)

    @classmethod
    def number(cls, x: int) -> Linear:
        """A constant."""
        return cls(x % r)
