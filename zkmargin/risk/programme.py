"""A circuit's equations as a linear programme over trades.

The encoders of a policy write their equations into a ``System``. Here they write them into one whose positions range
over what may be traded: so the very statement that is proved is what is optimised, every component of it, and the
bounds of its hidden integers (the constants that lift an equation by a bit) are those of the book at hand. An
inequality of the circuit becomes a row, a bounded integer a column, and a sum of integers that is one a set of bits.

Doubles decide nothing here: a plan is rounded to lots and computed again by the engine (risk/trading.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from zkmargin.circuits.language.hints import Hint
from zkmargin.circuits.language.system import Atom, DenseKind, Equation, Form, Int64Array, System
from zkmargin.circuits.margin import write_margin
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, SetupError

Doubles = npt.NDArray[np.float64]
#: Bounds in doubles are widened by this part, so that no bound is too tight.
_WIDER = 1 + 1e-9


class PlanningSystem(System):
    """A system whose positions lie in [low, high], slot by slot. Nothing of it is proved; no digit is counted."""

    def __init__(self, snapshot: Snapshot, low: Sequence[int], high: Sequence[int]) -> None:
        self._low, self._high = (np.array(side, dtype=np.float64) for side in (low, high))
        self.uppers: list[int] = []
        super().__init__(
            n=snapshot.layout.domain_size,
            position_count=len(snapshot.instruments),
            position_bits=snapshot.layout.position_bits,
            range_proved=snapshot.layout.range_proved,
            collateral=[(slot.bits, slot.negative_allowed) for slot in snapshot.collateral],
        )
        self.inequalities: list[Equation] = []

    def dense(self, kind: DenseKind, coefficients: Int64Array) -> Form:
        """As a circuit's, with the bounds of these positions."""
        form = super().dense(kind, coefficients)
        for atom in form.terms:
            low, high = self._low, self._high
            if kind != "positions":
                low, high = (low, high) if kind == "long" else (-high, -low)
                low, high = np.maximum(low, 0), np.maximum(high, 0)
            rates = coefficients.astype(np.float64)
            ends = np.minimum(rates * low, rates * high).sum(), np.maximum(rates * low, rates * high).sum()
            self._bounds[atom] = tuple(_outward(end, way) for end, way in zip(ends, (-1, 1), strict=True))  # type: ignore[assignment]
        return form

    def integer(self, name: str, upper: int, hint: Hint) -> Form:
        """As a circuit's, bounded by ``upper`` itself."""
        form = super().integer(name, upper, hint)
        for atom in form.terms:
            self._bounds[atom] = (0, max(upper, 0))
        self.uppers.append(max(upper, 0))
        return form

    def at_least_zero(self, rule: str, name: str, form: Form) -> None:
        """An inequality stays one: no slack."""
        self.inequalities.append(Equation(rule, name, form))

    def product(self, a: Form, b: Form) -> Form:  # noqa: ARG002
        """Refused: a planner takes linear rules."""
        raise InputError("a policy with a product of hidden quantities: plans are made for linear rules only")

    def _add(self, equation: Equation) -> None:
        self.equations.append(equation)


def _outward(end: float, way: int) -> int:
    return math.ceil(end * (_WIDER if end > 0 else 1 / _WIDER)) if way > 0 else -_outward(-end, 1)


@dataclass(frozen=True, slots=True)
class Tradable:
    """What may be traded of a slot: its position after lies in [low, high]; ``tiers`` as in ``SlotCost``."""

    slot: int
    low: int
    high: int
    tiers: tuple[tuple[int | None, int], ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """What the solver says.

    Attributes:
        status: ``optimal``, ``feasible`` (time is up), ``infeasible``, ``unbounded`` or ``unknown``.
        trades: lots by slot, whole numbers where the programme was solved in whole lots.
        cost: money units, by the solver's doubles.
        bound: no plan costs less, by the solver's doubles.
    """

    status: Literal["optimal", "feasible", "infeasible", "unbounded", "unknown"]
    trades: dict[int, float]
    cost: float
    bound: float


class Row(NamedTuple):
    """``lower <= sum of values times columns <= upper``."""

    lower: float
    upper: float
    columns: Int64Array
    values: Doubles


class Programme:
    """The least cost of trades after which a claim, and limits, hold.

    Args:
        snapshot: the public integers.
        lots: the book.
        claim: what must hold after the trades.
        limits: what else must.
        tradable: what may be traded.
        cash: the collateral slot that premiums and costs are paid from.
        neutral: trades only lower the net delta of each group, and do not turn its sign.

    Raises:
        InputError: a policy with products.
        SetupError: the solver is not installed.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        lots: BookLots,
        claim: Claim,
        limits: Sequence[Limit],
        tradable: Sequence[Tradable],
        cash: int,
        *,
        neutral: bool = False,
    ) -> None:
        self.snapshot, self.lots, self.tradable, self.cash = snapshot, lots, tuple(tradable), cash
        low, high = list(lots.positions), list(lots.positions)
        for own in self.tradable:
            low[own.slot], high[own.slot] = own.low, own.high
        self._low, self._high = low, high
        self.system = PlanningSystem(snapshot, low, high)
        write_margin(self.system, snapshot, claim, limits)
        self._lay_out()
        self._rows: list[Row] = []
        self._write(neutral=neutral)
        self._units = self._scaled_columns()

    # --- columns ------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Columns: y (lots after less before), tiers of buys and sells, short sides, bounded integers, cash."""
        system, positions = self.system, self.lots.positions
        self.y = {own.slot: column for column, own in enumerate(self.tradable)}
        lower = [float(own.low - positions[own.slot]) for own in self.tradable]
        upper = [float(own.high - positions[own.slot]) for own in self.tradable]
        cost = [0.0] * len(lower)
        self.tiers: list[tuple[int, int, int]] = []  # (slot, sign, column)
        for own in self.tradable:
            for sign, reach in ((1, own.high - positions[own.slot]), (-1, positions[own.slot] - own.low)):
                below = 0
                for upto, rate in own.tiers:
                    width = reach - below if upto is None else min(upto, reach) - below
                    if width > 0:
                        self.tiers.append((own.slot, sign, len(lower)))
                        lower.append(0.0)
                        upper.append(float(width))
                        cost.append(float(rate))
                        below += width
        # The short side of a slot that can end on either: m >= -q, m >= 0, and p = q + m.
        sided = np.zeros(len(positions), dtype=np.bool_)
        for kind in ("long", "short"):
            for row in system.rows[kind]:
                sided |= row != 0
        self.m: dict[int, int] = {}
        for slot in np.flatnonzero(sided).tolist():
            if self._low[slot] < 0 < self._high[slot]:
                self.m[slot] = len(lower)
                lower.append(0.0)
                upper.append(float(-self._low[slot]))
                cost.append(0.0)
        self._y_slots, self._y_columns = (np.array(list(x), dtype=np.int64) for x in (self.y, self.y.values()))
        self._m_slots, self._m_columns = (np.array(list(x), dtype=np.int64) for x in (self.m, self.m.values()))
        self._positions = np.array(positions, dtype=np.float64)
        ends_long, either = np.array([end >= 0 for end in self._low]), np.zeros(len(positions), dtype=np.bool_)
        either[self._m_slots] = True
        self._as_long = np.where(either | ends_long, 1.0, 0.0)
        self._as_short = np.where(either | ends_long, 0.0, -1.0)
        self.bits = {
            atom[1]
            for equation in system.equations
            if equation.form.constant == -1 and all(c == 1 for c in equation.form.terms.values())
            for atom in equation.form.terms
            if atom[0] == "bounded"
        }
        self.v0 = len(lower)
        lower += [0.0] * len(system.uppers)
        upper += [float(u) for u in system.uppers]
        cost += [0.0] * len(system.uppers)
        self.cash_column = len(lower)
        lower.append(-math.inf)
        upper.append(math.inf)
        cost.append(0.0)
        self.lower, self.upper, self.cost = (np.array(x, dtype=np.float64) for x in (lower, upper, cost))

    # --- rows ---------------------------------------------------------------------------------------------

    def _write(self, *, neutral: bool) -> None:
        snapshot, width = self.snapshot, len(self.lower)
        linked: dict[int, list[tuple[int, float]]] = {slot: [(column, -1.0)] for slot, column in self.y.items()}
        for slot, sign, tier in self.tiers:
            linked[slot].append((tier, float(sign)))
        for link in linked.values():
            self._append(0.0, 0.0, dict(link))
        for slot, column in self.m.items():
            moved = {self.y[slot]: 1.0} if slot in self.y else {}
            self._append(-float(self.lots.positions[slot]), math.inf, {column: 1.0, **moved})
        price = snapshot.collateral[self.cash].price
        row = np.zeros(width)
        row[self.cash_column] = price
        row[self._y_columns] = snapshot.marks.values[self._y_slots]
        for _, _, tier in self.tiers:
            row[tier] = self.cost[tier]
        balance = float(price * self.lots.collateral[self.cash])
        self._append(balance, balance, row)
        self.claims: list[int] = []
        for equation in self.system.inequalities:
            constant, row = self._linear(equation.form)
            if equation.rule == "claim" or equation.rule.startswith("limit "):
                self.claims.append(len(self._rows))
            elif not row.any():
                continue
            self._append(-constant, math.inf, row)
        for equation in self.system.equations:
            constant, row = self._linear(equation.form)
            self._append(-constant, -constant, row)
        if neutral:
            for group in range(len(snapshot.groups)):
                deltas = snapshot_deltas(snapshot, group)
                before = sum(lots * delta for lots, delta in zip(self.lots.positions, deltas, strict=True))
                moves = {column: float(deltas[slot]) for slot, column in self.y.items() if deltas[slot]}
                self._append(min(0.0, float(-before)), max(0.0, float(-before)), moves)

    def _append(self, lower: float, upper: float, row: Doubles | Mapping[int, float]) -> None:
        if isinstance(row, np.ndarray):
            columns = np.flatnonzero(row).astype(np.int64)
            self._rows.append(Row(lower, upper, columns, row[columns]))
        else:
            values = np.fromiter(row.values(), dtype=np.float64, count=len(row))
            self._rows.append(Row(lower, upper, np.fromiter(row, dtype=np.int64, count=len(row)), values))

    def _linear(self, form: Form) -> tuple[float, Doubles]:
        """A form over the columns: a constant and coefficients."""
        row = np.zeros(len(self.lower))
        constant = float(form.constant)
        for atom, coefficient in form.terms.items():
            constant += self._add_atom(row, atom, float(coefficient))
        return constant, row

    def _add_atom(self, row: Doubles, atom: Atom, coefficient: float) -> float:
        kind, index = atom
        if kind == "bounded":
            row[self.v0 + index] += coefficient
            return 0.0
        if kind == "collateral":
            if index == self.cash:
                row[self.cash_column] += coefficient
                return 0.0
            return coefficient * self.lots.collateral[index]
        rates = coefficient * self.system.rows[kind][index].astype(np.float64)  # type: ignore[index]
        if kind in ("long", "short"):
            row[self._m_columns] += rates[self._m_slots]
            # a slot that ends on one side is that side, or its negative, or nothing; p = q + m
            rates = rates * (self._as_long if kind == "long" else self._as_short)
        row[self._y_columns] += rates[self._y_slots]
        return float(rates @ self._positions)

    def _scaled_columns(self) -> Doubles:
        """[columns] what one unit of a column counts for the solver, so that its tolerances mean little.

        Integers of large size are in thousandths of what they are for the book as it stands; those that are 0 there are
        in units that make them as heavy as the heaviest of the rows that they are in. Lots and bits stay as they are.
        """
        units = np.ones(len(self.lower))
        known = np.ones(len(self.lower), dtype=np.bool_)
        units[self.cash_column] = max(abs(self.lots.collateral[self.cash]) / 1e3, 1.0)
        for v, value in self._values_of(self.lots, range(len(self.system.bounded))).items():
            if v not in self.bits:
                units[self.v0 + v] = max(abs(value) / 1e3, 1.0)
                known[self.v0 + v] = value != 0
        heavy: dict[int, float] = {}
        for row in self._rows:
            weights = np.abs(row.values) * units[row.columns]
            sure = known[row.columns]
            if sure.any() and not sure.all():
                heaviest = float(weights[sure].max())
                for column, value in zip(row.columns[~sure].tolist(), np.abs(row.values[~sure]).tolist(), strict=True):
                    heavy[column] = max(heavy.get(column, 1.0), heaviest / value)
        for column, unit in heavy.items():
            units[column] = unit
        return units

    def _values_of(self, book: BookLots, wanted: Iterable[int]) -> dict[int, int]:
        """Bounded integers of a book: what an honest prover would put there."""
        values: dict[Atom, Any] = {("collateral", j): balance for j, balance in enumerate(book.collateral)}
        lots = np.array(book.positions, dtype=object)
        sides = {"positions": lots, "long": np.maximum(lots, 0), "short": np.maximum(-lots, 0)}
        held = np.array(book.positions, dtype=np.bool_)

        def value(atom: Atom) -> Any:
            if atom not in values:
                kind, index = atom
                if kind == "bounded":
                    values[atom] = self.system.bounded[index].hint.value(value)
                else:
                    rates = self.system.rows[kind][index]  # type: ignore[index]
                    used = np.flatnonzero((rates != 0) & held)
                    values[atom] = int(sides[kind][used] @ rates[used].astype(object)) if len(used) else 0
            return values[atom]

        return {v: value(("bounded", v)) for v in wanted}

    # --- solving ------------------------------------------------------------------------------------------

    def bits_of(self, book: BookLots) -> dict[int, int]:
        """The bits of a book: what an honest prover would put there."""
        return self._values_of(book, self.bits)

    def solve(
        self,
        *,
        room: Sequence[float] = (),
        whole: bool = False,
        fixed: Mapping[int, int] | None = None,
        seconds: float = 10.0,
        gap: float = 1e-4,
    ) -> Solution:
        """The least cost.

        Args:
            room: by how much the claim and each limit must hold, in the units of their rules.
            whole: lots are whole numbers, bits are bits; else they are numbers between.
            fixed: bits that are given.
            seconds: when to stop.
            gap: stop when no plan can be cheaper by more than this part.
        """
        rows = list(self._rows)
        for place, extra in zip(self.claims, room, strict=False):
            rows[place] = rows[place]._replace(lower=rows[place].lower + extra)
        lower, upper = self.lower.copy(), self.upper.copy()
        for v, bit in (fixed or {}).items():
            lower[self.v0 + v] = upper[self.v0 + v] = float(bit)
        return self._run(rows, lower, upper, whole=whole, seconds=seconds, gap=gap, cost=self.cost)

    def best_reach(self, seconds: float = 10.0) -> float:
        """The most that the claim can hold by, whatever it costs, in valuation units times the claim's denominator."""
        target = self._rows[self.claims[0]]
        cost = np.zeros(len(self.cost))
        cost[target.columns] = -target.values / 1e13
        rows = [row for place, row in enumerate(self._rows) if place != self.claims[0]]
        found = self._run(rows, self.lower, self.upper, whole=False, seconds=seconds, gap=1e-4, cost=cost)
        return -found.cost * 1e13 - target.lower if found.status == "optimal" else -math.inf

    def _run(
        self,
        rows: Sequence[Row],
        lower: Doubles,
        upper: Doubles,
        *,
        whole: bool,
        seconds: float,
        gap: float,
        cost: Doubles,
    ) -> Solution:
        highspy = load_solver()
        units = self._units
        cost = cost * units
        scale = max(float(np.abs(cost).max(initial=0)), 1e-300)
        rows = [row._replace(values=row.values * units[row.columns]) for row in rows]
        sizes = [float(np.abs(row.values).max(initial=0)) or 1.0 for row in rows]
        values = np.concatenate([row.values / size for row, size in zip(rows, sizes, strict=True)])
        columns = np.concatenate([row.columns for row in rows])
        starts = np.cumsum([0, *(len(row.columns) for row in rows)])
        counted = np.abs(values) >= 1e-9  # the solver would drop the others, and say so
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self.lower), len(rows)
        lp.col_cost_ = cost / scale
        lp.col_lower_, lp.col_upper_ = lower / units, upper / units
        lp.row_lower_ = np.array([row.lower / size for row, size in zip(rows, sizes, strict=True)])
        lp.row_upper_ = np.array([row.upper / size for row, size in zip(rows, sizes, strict=True)])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(counted)])[starts].astype(np.int32)
        lp.a_matrix_.index_ = columns[counted].astype(np.int32)
        lp.a_matrix_.value_ = values[counted]
        bits = [self.v0 + v for v in sorted(self.bits)]
        whole_columns = [*self.y.values(), *bits] if whole else []
        if whole_columns:
            kinds = [highspy.HighsVarType.kContinuous] * len(self.lower)
            for column in whole_columns:
                kinds[column] = highspy.HighsVarType.kInteger
            lp.integrality_ = kinds
        solver = _silent_solver(highspy)
        for option, value in (
            ("threads", 1),
            ("time_limit", max(seconds, 0.05)),
            ("mip_rel_gap", gap),
            ("random_seed", 0),
        ):
            solver.setOptionValue(option, value)
        solver.passModel(lp)
        solver.run()
        return self._read(highspy, solver, scale, whole=bool(whole_columns))

    def _read(self, highspy: Any, solver: Any, scale: float, *, whole: bool) -> Solution:
        status, info = solver.getModelStatus(), solver.getInfo()
        statuses = highspy.HighsModelStatus
        if status in (statuses.kInfeasible, statuses.kUnboundedOrInfeasible):
            return Solution("infeasible", {}, math.inf, math.inf)
        if status == statuses.kUnbounded:
            return Solution("unbounded", {}, -math.inf, -math.inf)
        found = info.primal_solution_status == highspy.kSolutionStatusFeasible
        if not found:
            return Solution("unknown", {}, math.inf, -math.inf)
        values = solver.getSolution().col_value
        trades = {slot: values[column] for slot, column in self.y.items() if abs(values[column]) > 1e-7}
        cost = info.objective_function_value * scale
        bound = info.mip_dual_bound * scale if whole else cost
        return Solution("optimal" if status == statuses.kOptimal else "feasible", trades, cost, bound)


def snapshot_deltas(snapshot: Snapshot, group: int) -> list[int]:
    """[N] 1e-9 deltas a lot of the slots of one group, 0 elsewhere."""
    return [
        delta if own == group else 0
        for delta, own in zip(snapshot.deltas.values.tolist(), snapshot.group_of, strict=True)
    ]


def load_solver() -> Any:
    """The module highspy. Raises SetupError where it is not installed."""
    try:
        import highspy  # noqa: PLC0415 - an extra
    except ImportError:
        raise SetupError("plans need the solver HiGHS", hint="pip install 'zkmargin[plan]'") from None
    return highspy


def _silent_solver(highspy: Any) -> Any:
    """The compiled solver itself: the Python class above it prints a banner to standard output when it is made."""
    solver = highspy.Highs.__mro__[1]()
    solver.setOptionValue("output_flag", False)
    return solver


def now() -> float:
    """Seconds of a clock that only goes forward: for limits of work, never for results."""
    return time.monotonic()
