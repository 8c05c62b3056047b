"""The circuit language: bounded non-negative integers, public linear equations, product gates.

A *form* is a public linear combination of hidden integers ("atoms") plus a constant. Atoms are

    positions, t    row t of a public integer matrix times the vector q of positions
    long, t         the same with p, the long side of every position      (q = p - m, p, m >= 0)
    short, t        the same with m, the short side
    collateral, j   the balance of collateral slot j
    bounded, v      the v-th bounded integer, 0 <= x < n^digits
    A, B, C, g      the three wires of product gate g                     (A_g B_g = C_g)

An *equation* says that a form is zero. Inequalities are equations with a slack, a bounded integer. There is no
other kind of constraint: wiring is linear (docs/protocol.md section 3).

``System`` is the builder: components add integers and equations to it, ``Circuit`` freezes
the result. Every form is checked against the overflow budget: with every hidden integer anywhere in the range
that the proof enforces, its value stays below r/2 in absolute value, so that zero mod r is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.language.hints import Hint, Largest
from zkmargin.crypto.field import r
from zkmargin.formats.errors import InputError

Int64Array = npt.NDArray[np.int64]
Kind = Literal["positions", "long", "short", "collateral", "bounded", "A", "B", "C"]
DenseKind = Literal["positions", "long", "short"]
Atom = tuple[Kind, int]
Bounds = tuple[int, int]
#: A column's name in the protocol: positions[s], collateral[s], f[c], A, B or C.
Column = str

SIDES: tuple[DenseKind, DenseKind] = ("long", "short")
DENSE_KINDS: tuple[DenseKind, ...] = ("positions", *SIDES)
#: Gates multiply residues: their inputs are wired to bounded integers, and the product must not wrap either.
MAX_FORM = r // 2
#: What a circuit may have, so that a hostile snapshot costs bounded memory: a matrix row is N integers, whatever the
#: snapshot spends on it (a risk array of N x S values makes as many rows as there are groups times S).
MAX_CELLS = 1 << 26
MAX_EQUATIONS = 1 << 18


@dataclass(frozen=True)
class Form:
    """sum of coefficient * atom, plus a constant. Immutable; coefficients are exact integers, none is 0.

    Example:
        >>> total = 3 * Form({("positions", 0): 1}) - Form({("positions", 1): 1}) + 5
        >>> total.value({("positions", 0): 2, ("positions", 1): 1}.get)
        10
    """

    terms: Mapping[Atom, int] = field(default_factory=dict)
    constant: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.terms, dict):
            object.__setattr__(self, "terms", MappingProxyType(self.terms))

    def __reduce__(self) -> tuple[object, ...]:
        return Form, (dict(self.terms), self.constant)

    def __add__(self, other: Form | int) -> Form:
        if isinstance(other, int):
            return Form(self.terms, self.constant + other)
        terms = dict(self.terms)
        for atom, coefficient in other.terms.items():
            terms[atom] = terms.get(atom, 0) + coefficient
        return Form({a: c for a, c in terms.items() if c}, self.constant + other.constant)

    def __mul__(self, factor: int) -> Form:
        if factor == 0:
            return Form()
        return Form({a: c * factor for a, c in self.terms.items()}, self.constant * factor)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: int) -> Form:
        return -self + other

    def __neg__(self) -> Form:
        return self * -1

    def __sub__(self, other: Form | int) -> Form:
        return self + (other * -1 if isinstance(other, Form) else -other)

    def value(self, of: Callable[[Atom], Any]) -> Any:
        """The form's value when each atom has the value that ``of`` gives: integers, or vectors of integers."""
        return self.constant + sum(coefficient * of(atom) for atom, coefficient in self.terms.items())


@dataclass(frozen=True)
class Bounded:
    """A hidden integer x with 0 <= x < n^digits, written in ``digits`` cells that are looked up in [0, n).

    ``hint`` is how an honest prover fills it.
    """

    name: str
    digits: int
    hint: Hint


@dataclass(frozen=True)
class Equation:
    """``form`` is zero. ``rule`` names the kind of rule, ``name`` this instance (a scenario, an instrument).

    ``slack`` is the index of the bounded integer that turned an inequality into this equation.

    Example:
        >>> equation = statement.circuit.equations[0]
        >>> equation.rule, equation.name
        ('collateral bound', 'collateral 0')
    """

    rule: str
    name: str
    form: Form
    slack: int | None = None


class System:
    """Builder of a circuit.

    Args:
        n: domain size, a power of two; digits are base n.
        position_count: number of position slots.
        position_bits: every position's lots are below 2^position_bits in absolute value.
        range_proved: the proof itself enforces that (else whoever signed the commitment did, and no form may
            use the ``long`` and ``short`` sides).
        collateral: for each collateral slot (bits, negative allowed).

    Example:
        >>> system = System(n=16, position_count=2, position_bits=4, range_proved=True, collateral=[(8, False)])
        >>> total = system.dense("positions", np.array([3, -1]))
        >>> system.bounds(total)
        (-60, 60)
        >>> system.at_least_zero("example", "3 q_0 >= q_1", total)
        >>> system.equations[-1].rule
        'example'
    """

    def __init__(
        self, *, n: int, position_count: int, position_bits: int, range_proved: bool, collateral: list[tuple[int, bool]]
    ) -> None:
        self.n = n
        self.k = n.bit_length() - 1
        self.position_count = position_count
        self.range_proved = range_proved
        self.position_digits = -(-position_bits // self.k) if range_proved else 0
        self.position_bound = (n**self.position_digits if range_proved else 1 << position_bits) - 1
        self.rows: dict[DenseKind, list[Int64Array]] = {kind: [] for kind in DENSE_KINDS}
        self.bounded: list[Bounded] = []
        self.equations: list[Equation] = []
        self.gates: list[tuple[Form, Form]] = []
        self._bounds: dict[Atom, Bounds] = {}
        self._collateral_sides: list[tuple[Form, Form]] = []
        for j, (bits, negative) in enumerate(collateral):
            self._add_collateral(j, bits, negative=negative)

    def _add_collateral(self, j: int, bits: int, *, negative: bool) -> None:
        """Balance j as the difference of two bounded integers (one, if it may not be negative)."""
        bound = (1 << (self.k * -(-bits // self.k))) - 1
        balance: Atom = ("collateral", j)
        self._bounds[balance] = (-bound if negative else 0, bound)
        own = Form({balance: 1})
        if negative:
            credit = self.integer(f"collateral {j} held", bound, Largest(own, 0))
            debit = self.integer(f"collateral {j} owed", bound, Largest(-own, 0))
        else:
            credit, debit = self.integer(f"collateral {j} held", bound, own), Form()
        self.equal("collateral bound", f"collateral {j}", own - credit + debit)
        self._collateral_sides.append((credit, debit))

    def collateral(self, j: int) -> tuple[Form, Form]:
        """(held, owed) of collateral slot j: two forms >= 0 whose difference is the balance."""
        return self._collateral_sides[j]

    def dense(self, kind: DenseKind, coefficients: Int64Array) -> Form:
        """sum_i coefficients[i] * (position, long or short side of slot i); int64, one for each slot.

        Raises:
            InputError: a side is asked for in a circuit without range-proved positions, or past ``MAX_CELLS``.
        """
        if coefficients.shape != (self.position_count,) or coefficients.dtype != np.int64:
            raise ValueError(f"{self.position_count} int64 coefficients, not {coefficients.dtype}{coefficients.shape}")
        if not coefficients.any():
            return Form()
        if kind != "positions" and not self.range_proved:
            raise InputError(
                "a charge on short or gross positions needs range-proved positions", field="layout.range_proved"
            )
        if (1 + sum(map(len, self.rows.values()))) * self.position_count > MAX_CELLS:
            raise InputError(
                f"more than {MAX_CELLS} public coefficients: too many groups and scenarios for this many instruments"
            )
        atom: Atom = (kind, len(self.rows[kind]))
        self.rows[kind].append(coefficients)
        self._bounds[atom] = self.row_bounds(kind, coefficients)
        return Form({atom: 1})

    def row_bounds(self, kind: DenseKind, coefficients: Int64Array) -> Bounds:
        """The least and the greatest value of a row: every slot at its bound."""
        gains = sum(coefficients[coefficients > 0].tolist()) * self.position_bound
        losses = sum(coefficients[coefficients < 0].tolist()) * self.position_bound
        return (losses - gains, gains - losses) if kind == "positions" else (losses, gains)

    def bounds(self, form: Form) -> Bounds:
        """The least and the greatest value the form can take within the proved ranges."""
        low = high = form.constant
        for atom, coefficient in form.terms.items():
            bottom, top = self._bounds[atom]
            low += coefficient * (bottom if coefficient > 0 else top)
            high += coefficient * (top if coefficient > 0 else bottom)
        return low, high

    def integer(self, name: str, upper: int, hint: Hint) -> Form:
        """A new bounded integer that can hold at least 0..upper. ``hint`` says how an honest prover fills it."""
        digits = max(1, -(-max(upper, 0).bit_length() // self.k))
        atom: Atom = ("bounded", len(self.bounded))
        self.bounded.append(Bounded(name, digits, hint))
        self._bounds[atom] = (0, self.n**digits - 1)
        return Form({atom: 1})

    def equal(self, rule: str, name: str, form: Form) -> None:
        """Require form = 0. Raises InputError when the form could wrap around the field."""
        self._add(Equation(rule, name, form))

    def at_least_zero(self, rule: str, name: str, form: Form) -> None:
        """Require form >= 0 with a slack of its own, wide enough for every value the form can take."""
        slack = self.integer(f"slack of {rule}: {name}", self.bounds(form)[1], form)
        self._add(Equation(rule, name, form - slack, slack=len(self.bounded) - 1))

    def product(self, a: Form, b: Form) -> Form:
        """A product gate: the form of a * b. For rules that are not linear; the default policy has none."""
        low, high = zip(self.bounds(a), self.bounds(b), strict=True)
        corners = [x * y for x in (low[0], high[0]) for y in (low[1], high[1])]
        g = len(self.gates)
        self.gates.append((a, b))
        for kind, bounds in zip(
            ("A", "B", "C"), ((low[0], high[0]), (low[1], high[1]), (min(corners), max(corners))), strict=True
        ):
            self._bounds[kind, g] = bounds  # type: ignore[index]  # mypy loses the literal type of kind
        self.equal("product gate", f"gate {g} left", a - Form({("A", g): 1}))
        self.equal("product gate", f"gate {g} right", b - Form({("B", g): 1}))
        if max(map(abs, corners)) >= MAX_FORM:
            raise InputError("a product could wrap around the field: the quantities are too large")
        return Form({("C", g): 1})

    def _add(self, equation: Equation) -> None:
        if len(self.equations) == MAX_EQUATIONS:
            raise InputError(f"more than {MAX_EQUATIONS} equations")
        low, high = self.bounds(equation.form)
        if max(-low, high) >= MAX_FORM:
            bits = max(-low, high).bit_length()
            raise InputError(
                f"{equation.rule}, {equation.name}: a value of {bits} bits could wrap around the field",
                hint="use fewer position bits, larger lots or a larger money unit",
            )
        self.equations.append(equation)
