"""No hidden integers pay less: an SMT solver compares the equations of small circuits with the engine itself.

    python tests/encoders.py            # one snapshot of each component: what a test runs
    python tests/encoders.py --all      # every snapshot, both requirements and several claims: make assurance
    python tests/encoders.py calendar   # those whose name holds this
    python tests/encoders.py --mutants  # each equation of each circuit left out: then there must be a witness

A snapshot is concrete: some instruments, scenarios and assets. The book is symbolic, and so is every hidden integer,
each over the whole range that a proof enforces. z3 is asked for a book and hidden integers with which every equation
of the circuit holds, the claim's among them, while the engine says that the claim is false. There must be none:
``unsat``. An answer of ``unknown`` is a failure.
``delta_norm`` is not asked about: its root is no matter of linear arithmetic (tests/test_delta_norm.py has its edges).

The engine is not written again for this: ``claim_slack`` runs on symbolic integers. Where it compares two of them, each
outcome that is possible is followed in a run of its own, and all paths together cover every book. Some names
in it are replaced, because numpy takes no symbols: ``exact_dot`` by the sum that it is, ``max`` and ``min`` by forks.
"""

from __future__ import annotations

import argparse
import builtins
import importlib
import pkgutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias
from unittest.mock import patch

import numpy as np
import z3
from support.typed import Keywords, Passed

from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.circuit import Circuit
from zkmargin.circuits.language.system import DenseKind
from zkmargin.engine import components as parts
from zkmargin.engine import margin as engine_margin
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.components.basis_contingency import PublishedBasisContingency
from zkmargin.engine.components.calendar_charge import PublishedCalendarCharge
from zkmargin.engine.components.collateral_charge import PublishedCollateralCharge
from zkmargin.engine.components.dampened_tails import PublishedDampenedTails
from zkmargin.engine.components.delta_shock_upper_bound import PublishedDeltaShockUpperBound
from zkmargin.engine.components.discounted_scenarios import PublishedDiscountedScenarios
from zkmargin.engine.components.expected_shortfall import PublishedExpectedShortfall
from zkmargin.engine.components.factors import PublishedFactors
from zkmargin.engine.components.gain_offset import Family, OffsetClass, PublishedGainOffset
from zkmargin.engine.components.gross_charge import PublishedGrossCharge
from zkmargin.engine.components.haircuts import CollateralTier, PublishedHaircuts
from zkmargin.engine.components.inter_commodity_credit import PublishedInterCommodityCredit
from zkmargin.engine.components.joint_scenarios import PublishedJointScenarios
from zkmargin.engine.components.min_delta import PublishedMinDelta
from zkmargin.engine.components.open_orders import PublishedOpenOrders
from zkmargin.engine.components.pools import Line, Pool
from zkmargin.engine.components.provisions import PublishedFees, PublishedFunding
from zkmargin.engine.components.short_option_minimum import PublishedShortOptionMinimum
from zkmargin.engine.components.skew_scenarios import PublishedSkewScenarios
from zkmargin.engine.components.tiered_margin import PublishedTieredMargin
from zkmargin.engine.components.vega_term_upper_bound import PublishedVegaTermUpperBound
from zkmargin.engine.components.worst_scenario import PublishedWorstScenario
from zkmargin.engine.margin import claim_slack
from zkmargin.engine.policy import load_policy
from zkmargin.engine.snapshot import CollateralSlot, InstrumentSlot, Layout, Snapshot
from zkmargin.engine.spreads import PublishedLeg, PublishedSpread
from zkmargin.formats import IntArray

TIMEOUT_MS = 120_000
DOMAIN = 16


# --- integers that are not known ----------------------------------------------------------------------------


class Paths:
    """Follows every outcome of every comparison: runs a function again and again, each time on another path."""

    def __init__(self) -> None:
        self.solver = z3.Solver()
        self.solver.set("timeout", TIMEOUT_MS)
        self.quotients: list[z3.ArithRef] = []  # of this path
        self._conditions: list[z3.BoolRef] = []
        self._chosen: list[tuple[bool, bool]] = []  # on this path: the outcome, and whether the other is still to do
        self._at = 0

    def quotient(self, amount: z3.ArithRef, divisor: int) -> Sym:
        """The floor of a quotient: an integer of its own, with the two inequalities that say what it is."""
        q = z3.Int(f"q{len(self.quotients)}")
        self.quotients.append(q)
        self._conditions.extend((divisor * q <= amount, amount < divisor * q + divisor))
        return Sym(q)

    def run(self, function: Callable[[], Symbolic]) -> Iterator[tuple[list[z3.BoolRef], Symbolic]]:
        """The conditions of each path, and what the function gives on it."""
        while True:
            self._at, self._conditions, self.quotients = 0, list[z3.BoolRef](), list[z3.ArithRef]()
            result = function()
            yield self._conditions, result
            while self._chosen and not self._chosen[-1][1]:
                self._chosen.pop()
            if not self._chosen:
                return
            outcome, _ = self._chosen.pop()
            self._chosen.append((not outcome, False))

    def outcome(self, condition: z3.BoolRef) -> bool:
        """Which way this path goes."""
        if self._at < len(self._chosen):
            outcome = self._chosen[self._at][0]
        else:
            possible = [side for side in (True, False) if self._possible(condition if side else z3.Not(condition))]
            outcome = possible[0]
            self._chosen.append((outcome, len(possible) == 2))
        self._at += 1
        self._conditions.append(condition if outcome else z3.Not(condition))
        return outcome

    def _possible(self, condition: z3.BoolRef) -> bool:
        self.solver.push()
        self.solver.add(*self._conditions, condition)
        answer = self.solver.check()
        self.solver.pop()
        return bool(answer != z3.unsat)  # what is unknown is followed


PATHS: list[Paths] = []


class Truth:
    """A comparison: asking for its truth is a fork."""

    def __init__(self, condition: z3.BoolRef) -> None:
        self.condition = z3.simplify(condition)

    def __bool__(self) -> bool:
        if z3.is_true(self.condition):
            return True
        return not z3.is_false(self.condition) and PATHS[-1].outcome(self.condition)

    def __index__(self) -> int:
        return int(bool(self))


#: What the engine computes with: an integer, or a ``Sym`` in its place.
Symbolic: TypeAlias = Any


class Sym:
    """An integer that is not known. ``of``: for a maximum, what it is the largest of."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expression: z3.ArithRef, of: Sequence[Symbolic] = ()) -> None:
        self.expression = z3.IntVal(expression) if isinstance(expression, int) else expression
        self.of = of

    def __add__(self, other: Symbolic) -> Sym:
        return Sym(self.expression + _of(other))

    __radd__ = __add__

    def __sub__(self, other: Symbolic) -> Sym:
        return Sym(self.expression - _of(other))

    def __rsub__(self, other: Symbolic) -> Sym:
        return Sym(_of(other) - self.expression)

    def __mul__(self, other: Symbolic) -> Sym:
        return Sym(self.expression * _of(other))

    __rmul__ = __mul__

    def __neg__(self) -> Sym:
        return Sym(-self.expression)

    def __floordiv__(self, divisor: int) -> Sym:
        if not isinstance(divisor, int) or divisor <= 0:
            raise TypeError("only whole numbers above 0 divide")
        return PATHS[-1].quotient(self.expression, divisor)

    def __abs__(self) -> Sym:
        return self if self >= 0 else -self

    def __lt__(self, other: Symbolic) -> Truth:
        return Truth(self.expression < _of(other))

    def __le__(self, other: Symbolic) -> Truth:
        return Truth(self.expression <= _of(other))

    def __gt__(self, other: Symbolic) -> Truth:
        return Truth(self.expression > _of(other))

    def __ge__(self, other: Symbolic) -> Truth:
        return Truth(self.expression >= _of(other))

    def __eq__(self, other: object) -> Symbolic:
        if isinstance(other, Sym) and (any(x is self for x in other.of) or any(x is other for x in self.of)):
            return True  # ``losses.index(largest)``: which one it is changes the words of a report alone
        return Truth(self.expression == _of(other))

    def __bool__(self) -> bool:
        return bool(Truth(self.expression != 0))


def _of(value: Symbolic) -> Symbolic:
    return value.expression if isinstance(value, Sym) else int(value)


def chosen(pick_first: Callable[[Symbolic, Symbolic], Symbolic], name: str) -> Callable[..., Symbolic]:
    """``max`` or ``min``, by forks: what is left on a path is linear."""
    plain = getattr(builtins, name)

    def either(x: Symbolic, y: Symbolic) -> Symbolic:
        if not isinstance(x, Sym) and not isinstance(y, Sym):
            return plain(x, y)
        return x if Truth(pick_first(_of(x), _of(y))) else y

    def pick(*values: Symbolic, key: Callable[[Symbolic], Symbolic] | None = None, **default: Passed) -> Symbolic:
        found = list(values[0]) if len(values) == 1 else list(values)
        if not found:
            if "default" not in default:
                raise ValueError("nothing to choose from")
            return default["default"]
        if key is not None:  # the engine's binding candidate: its amount is what counts
            amount = reduce(either, [key(x) for x in found])
            return found[0] if len(found) == 1 else replace(found[0], amount=amount)
        if not any(isinstance(x, Sym) for x in found):
            return plain(found)
        result = reduce(either, found)
        return Sym(_of(result), of=found)

    return pick


class _Whole(type):
    """``int`` that lets symbols through."""

    def __call__(cls, value: Symbolic = 0) -> Symbolic:
        return value if isinstance(value, Sym) else int(value)

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, int)


class Whole(metaclass=_Whole):
    """What the engine finds under the name ``int``."""


def dot(matrix: Symbolic, vector: Sequence[Symbolic]) -> list[Symbolic]:
    """``exact_dot`` for symbols."""
    rows = matrix.tolist()
    return [sum((x * row[s] for x, row in zip(vector, rows, strict=True)), 0) for s in range(matrix.shape[1])]


@contextmanager
def symbolic_engine() -> Iterator[None]:
    """The engine with the replacements that symbols need."""
    names = [f"zkmargin.engine.components.{info.name}" for info in pkgutil.iter_modules(parts.__path__)]
    modules = [importlib.import_module(name) for name in (*names, "zkmargin.engine.spreads", "zkmargin.engine.netting")]
    with ExitStack() as stack:
        stack.enter_context(patch.object(engine_margin, "Equity", SimpleNamespace))
        for module in (*modules, engine_margin):
            if hasattr(module, "exact_dot"):
                stack.enter_context(patch.object(module, "exact_dot", dot))
            stack.enter_context(patch.object(module, "int", Whole, create=True))
            stack.enter_context(patch.object(module, "max", chosen(lambda x, y: x >= y, "max"), create=True))
            stack.enter_context(patch.object(module, "min", chosen(lambda x, y: x <= y, "min"), create=True))
        yield


# --- the question -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """``paths`` of the engine were compared with the circuit's ``equations`` over ``integers`` hidden integers."""

    paths: int
    equations: int
    integers: int
    seconds: float


class CounterexampleError(AssertionError):
    """A book and hidden integers that the circuit takes and the engine does not; or no answer."""


def atoms(
    circuit: Circuit,
) -> tuple[list[z3.BoolRef], dict[tuple[str, int], z3.ArithRef], list[Symbolic], list[Symbolic]]:
    """The ranges that a proof enforces, the value of each atom, and the book."""
    ranges = list[z3.BoolRef]()

    def variable(name: str, low: int, high: int) -> z3.ArithRef:
        x = z3.Int(name)
        ranges.extend((x >= low, x <= high))
        return x

    P, slots = circuit.position_bound, circuit.position_count
    values: dict[tuple[str, int], z3.ArithRef] = {}
    if circuit.position_digits:
        long = [variable(f"p{i}", 0, P) for i in range(slots)]
        short = [variable(f"m{i}", 0, P) for i in range(slots)]
        positions = [p - m for p, m in zip(long, short, strict=True)]
    else:
        positions = [variable(f"q{i}", -P, P) for i in range(slots)]
        long, short = [], []
    balances = [z3.Int(f"c{j}") for j in range(circuit.collateral_count)]
    vectors: dict[DenseKind, list[Symbolic]] = {"positions": positions, "long": long, "short": short}
    for side, vector in vectors.items():
        for t, row in enumerate(circuit.matrices[side]):
            terms = [x * v for x, v in zip(row.tolist(), vector, strict=True) if x]
            values[side, t] = z3.Sum(terms) if terms else z3.IntVal(0)
    for j, balance in enumerate(balances):
        values["collateral", j] = balance
    slacks = {equation.slack for equation in circuit.equations}
    for v, bounded in enumerate(circuit.bounded):
        values["bounded", v] = z3.IntVal(0) if v in slacks else variable(f"b{v}", 0, circuit.n**bounded.digits - 1)
    return ranges, values, positions, balances


def ask(snapshot: Snapshot, claim: Claim, *, without: int | None = None) -> Verdict:
    """Ask for a witness that pays less. ``without``: an equation that is left out, to see that the answer changes.

    Raises:
        CounterexampleError: there is one, or the solver does not know.
    """
    start, circuit = time.monotonic(), build_circuit(snapshot, claim)
    ranges, values, positions, balances = atoms(circuit)
    for g, (a, b) in enumerate(circuit.gates):
        values["A", g], values["B", g] = (form.value(lambda atom: values[atom]) for form in (a, b))
        values["C", g] = values["A", g] * values["B", g]
    equations, slacks = [], {equation.slack for equation in circuit.equations}
    for place, equation in enumerate(circuit.equations):
        if place == without:
            continue
        if equation.slack is None:
            equations.append(equation.form.value(lambda atom: values[atom]) == 0)
        else:  # its slack is 0 here: a slack's bound is left out, so there are more witnesses than a proof takes
            equations.append(equation.form.value(lambda atom: values[atom]) >= 0)
    hidden = [values["bounded", v] for v in range(len(circuit.bounded)) if v not in slacks]
    paths = Paths()
    paths.solver.add(*ranges)
    PATHS.append(paths)
    book = BookLots.__new__(BookLots)
    object.__setattr__(book, "positions", tuple(map(Sym, positions)))
    object.__setattr__(book, "collateral", tuple(map(Sym, balances)))
    question = z3.SolverFor("QF_NIA" if circuit.gates else "QF_LIA")
    question.set("timeout", TIMEOUT_MS)
    question.add(*ranges, *equations)
    if question.check() != z3.sat:
        raise CounterexampleError("no book at all meets the claim: the question would be empty")
    count = 0
    try:
        with symbolic_engine():
            for conditions, slack in paths.run(lambda: claim_slack(snapshot, book, claim)):
                count += 1
                question.push()
                question.add(*conditions, _of(slack) < 0)
                # always true; says where to look: an amount rounded up is at most a hidden integer, or one more
                question.add(*(z3.Or(x >= -q, x <= -q - 1) for q in paths.quotients for x in hidden))
                answer = question.check()
                if answer != z3.unsat:
                    found = question.model() if answer == z3.sat else question.reason_unknown()
                    raise CounterexampleError(f"{answer}: {found}")
                question.pop()
    finally:
        PATHS.pop()
    return Verdict(count, len(circuit.equations), len(circuit.bounded), time.monotonic() - start)


# --- snapshots ----------------------------------------------------------------------------------------------


def ints(*values: Symbolic) -> IntArray:
    """An array of a document."""
    return IntArray(np.array(values, dtype=np.int64))


def snapshot_of(*components: Symbolic, groups: Sequence[int] = (0, 0), assets: int = 1, owed: bool = True) -> Snapshot:
    """Instruments by their group, with marks; collateral that is debited at more than it is credited."""
    count = max(groups) + 1
    given = {type(part) for part in components}
    grid = PublishedWorstScenario(
        scenarios=tuple(("up", "down") for _ in range(count)),
        risk=ints(*([3 - 2 * i, i - 4] for i in range(len(groups)))),
    )
    haircuts = PublishedHaircuts(long_value=ints(*[9_000] * assets), short_value=ints(*[11_000] * assets))
    return Snapshot(
        name="small",
        time="2026-01-01T00:00:00Z",
        quote="USD",
        market_digest="00" * 32,
        policy=load_policy("default"),
        layout=Layout(domain_size=DOMAIN, position_bits=8, range_proved=True),
        groups=tuple(f"U{g}" for g in range(count)),
        instruments=tuple(
            InstrumentSlot(
                id=f"I{i}",
                kind="option",
                group=g,
                underlying=f"U{g}",
                lot="1",
                expiry="2026-06-26T08:00:00Z",
                strike="100",
                option_type="call",
                settlement="linear",
                multiplier="1",
            )
            for i, g in enumerate(groups)
        ),
        collateral=tuple(
            CollateralSlot(asset=f"A{j}", lot="1", price=1, bits=12, negative_allowed=owed) for j in range(assets)
        ),
        marks=ints(*(2 + i for i in range(len(groups)))),
        deltas=ints(*[1] * len(groups)),
        components=(
            *(() if PublishedWorstScenario in given else (grid,)),
            *components,
            *(() if PublishedHaircuts in given else (haircuts,)),
        ),
    )


def pool(*lines: tuple[int, int], group: int | str = 0, name: str = "pool") -> Pool:
    """Lines of (slope, start)."""
    return Pool(name=name, group=group, lines=tuple(Line(slope=a, start=b) for a, b in lines))


def spread(*legs: tuple[Literal["A", "B"], int, tuple[int, ...]]) -> PublishedSpread:
    """Legs of (side, ratio, accounts)."""
    return PublishedSpread(
        label="spread", legs=tuple(PublishedLeg(accounts=own, ratio=ratio, side=side) for side, ratio, own in legs)
    )


def family(name: str, classes: Sequence[tuple[int, int, int | None]], scenarios: Sequence[str]) -> Family:
    """Classes of (group, offset, cap)."""
    own = tuple(OffsetClass(group=g, offset_bp=offset, cap=cap) for g, offset, cap in classes)
    return Family(name=name, classes=own, scenarios=tuple(scenarios))


GROSS: Keywords = {"pool": ints(0, 1), "long": ints(2, 3), "short": ints(5, 4)}
POOLS = (pool((1, 0), (3, 40)), pool((2, 3), name="other"))
RISK = ints([3, -5], [-2, 4])
ONE_CLASS = (family("U0", [(0, 0, None)], ["up", "down"]), family("U1", [(1, 0, None)], ["up", "down"]))
OFFSET = (family("both", [(0, 4000, None), (1, 4000, 25)], ["up", "down"]),)


def snapshots() -> dict[str, Snapshot]:
    """Every component, in each of its modes and methods; and some together."""
    pooled: Keywords = {"scale": 10, "pools": POOLS}
    net: Keywords = {"pools": (pool((1, 0), (3, 40)),), "scale": 7, "pool": ints(0, 0), "value": ints(3, -2)}
    minimum = PublishedShortOptionMinimum
    return {
        "worst_scenario": snapshot_of(),
        "worst_scenario two groups": snapshot_of(groups=(0, 1, 0)),
        "worst_scenario no debts": snapshot_of(owed=False, assets=2),
        "haircuts with tiers": snapshot_of(
            PublishedHaircuts(
                long_value=ints(9_000),
                short_value=ints(11_000),
                tiers=(
                    CollateralTier(slot=0, value=4_000, start=900_000),
                    CollateralTier(slot=0, value=0, start=2_000_000),
                ),
            )
        ),
        **{
            f"short_option_minimum {mode}": snapshot_of(minimum(mode=mode, charge=ints(4, 0)))
            for mode in ("floor", "added", "flat")
        },
        "short_option_minimum by strike": snapshot_of(minimum(mode="floor", charge=ints(4, 3), strikes=ints(0, 0))),
        **{
            f"gross_charge {mode}": snapshot_of(PublishedGrossCharge(mode=mode, **pooled, **GROSS))
            for mode in ("floor", "added", "flat")
        },
        "tiered_margin": snapshot_of(PublishedTieredMargin(mode="added", **pooled, **GROSS)),
        "fees": snapshot_of(PublishedFees(mode="added", **pooled, **GROSS)),
        "funding": snapshot_of(PublishedFunding(mode="added", **pooled, **GROSS)),
        **{
            f"delta_shock_upper_bound {mode}": snapshot_of(PublishedDeltaShockUpperBound(mode=mode, **net))
            for mode in ("floor", "added")
        },
        "vega_term_upper_bound": snapshot_of(PublishedVegaTermUpperBound(mode="added", **net)),
        **{
            f"min_delta {mode}": snapshot_of(
                PublishedMinDelta(mode=mode, net_rate_bp=300, hedged_rate_bp=100, delta=ints(40, -30))
            )
            for mode in ("floor", "added")
        },
        "joint_scenarios": snapshot_of(PublishedJointScenarios(group=None, scenarios=("up", "down"), risk=RISK)),
        "joint_scenarios over groups": snapshot_of(
            PublishedJointScenarios(group="all", scenarios=("up", "down"), risk=RISK), groups=(0, 1)
        ),
        "expected_shortfall": snapshot_of(
            PublishedExpectedShortfall(
                group="all",
                scenarios=("a", "b", "c"),
                risk=ints([3, -5, 1], [-2, 4, -3]),
                level_bp=5000,
                weight_bp=10_000,
            )
        ),
        "gain_offset one class": snapshot_of(PublishedGainOffset(families=ONE_CLASS, risk=RISK), groups=(0, 1)),
        "gain_offset": snapshot_of(PublishedGainOffset(families=OFFSET, risk=RISK), groups=(0, 1)),
        "dampened_tails": snapshot_of(
            PublishedDampenedTails(families=OFFSET, risk=RISK, dampeners=(30,)), groups=(0, 1)
        ),
        "discounted_scenarios": snapshot_of(
            PublishedDiscountedScenarios(
                scenarios=(("up", "down"),),
                expiries=ints(0, 1),
                gain=RISK,
                shortfall=ints([1, 0], [1, 2]),
                collateral_group=ints(0),
                collateral_gain=ints([1, -1]),
            )
        ),
        **{
            f"basis_contingency {mode}": snapshot_of(
                PublishedBasisContingency(mode=mode, expiries=ints(0, 1), change=ints([2, -3], [-1, 2]))
            )
            for mode in ("floor", "added")
        },
        "skew_scenarios": snapshot_of(
            PublishedSkewScenarios(
                scenarios=("linear", "power"),
                expiries=ints(0, 0),
                gain=ints([2, 1], [-3, 1]),
                shortfall=ints([1, 0], [2, 1]),
            )
        ),
        "collateral_charge": snapshot_of(PublishedCollateralCharge(charge=ints(2))),
        "open_orders": snapshot_of(
            PublishedOpenOrders(mode="added", rate=ints(25_000, 0)),
            PublishedHaircuts(long_value=ints(0, 9_000), short_value=ints(0, 11_000)),
            assets=2,
        ),
        "factors": snapshot_of(PublishedFactors(value_bp=12_345)),
        "calendar_charge exact": snapshot_of(calendar("exact"), minimum(mode="floor", charge=ints(4, 0))),
        "calendar_charge convex_bound": snapshot_of(calendar("convex_bound")),
        "inter_commodity_credit": snapshot_of(
            PublishedInterCommodityCredit(
                deltas=ints(10**9, 2 * 10**9),
                spreads=(spread(("A", 1, (0,)), ("B", 2, (1,))),),
                credits=((10**15, 2 * 10**15),),
            ),
            groups=(0, 1),
        ),
        "everything in one group": snapshot_of(
            minimum(mode="added", charge=ints(4, 0)),
            PublishedGrossCharge(mode="flat", **pooled, **GROSS),
            PublishedFactors(value_bp=11_000),
            PublishedCollateralCharge(charge=ints(2)),
        ),
    }


def calendar(method: Symbolic) -> PublishedCalendarCharge:
    """Two expiries and a spread between them."""
    return PublishedCalendarCharge(
        method=method,
        deltas=ints(10**9, 10**9),
        account_of=ints(0, 1),
        accounts=("near", "far"),
        account_groups=(0, 0),
        spreads=(spread(("A", 1, (0,)), ("B", 1, (1,))),),
        charges=(3 * 10**9,),
        delivery=(1, 0),
    )


CLAIMS = (Claim(1, 1), Claim(5, 4), Claim(1, 1, "maintenance"))


def questions(*, every: bool) -> Iterable[tuple[str, Snapshot, Claim]]:
    """One claim for each snapshot, or several."""
    for name, snapshot in snapshots().items():
        for claim in CLAIMS if every else CLAIMS[:1]:
            yield f"{name}, {claim}", snapshot, claim


def mutants(names: Sequence[str]) -> int:
    """Leave out each equation in turn. 1 where none of a snapshot's is noticed.

    Some are not: in a small snapshot one loss may be above another for every book, and what only makes a credit larger
    can be left out by a prover who does without it.
    """
    blind, noticed, count = list[str](), 0, 0
    for name, snapshot in snapshots().items():
        if names and not any(part in name for part in names):
            continue
        before = noticed
        for place, equation in enumerate(build_circuit(snapshot, CLAIMS[0]).equations):
            count += 1
            try:
                ask(snapshot, CLAIMS[0], without=place)
            except CounterexampleError:
                noticed += 1
            else:
                sys.stdout.write(f"not noticed: {name}: {equation.rule}: {equation.name}\n")
                sys.stdout.flush()
        blind += [name] * (noticed == before)
    sys.stdout.write(
        f"{noticed} of {count} equations left out let a witness pay less; none in {blind or 'no snapshot'}\n"
    )
    return int(bool(blind) or count == 0)


def main(arguments: Sequence[str]) -> int:
    """Ask and print. 1 where an answer is not ``unsat``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="several claims for each snapshot")
    parser.add_argument("--mutants", action="store_true", help="leave out each equation: there must be a witness then")
    parser.add_argument("names", nargs="*", help="only snapshots whose name holds one of these")
    given, failed, count = parser.parse_args(arguments), 0, 0
    if given.mutants:
        return mutants(given.names)
    for name, snapshot, claim in questions(every=given.all):
        if given.names and not any(part in name for part in given.names):
            continue
        try:
            verdict = ask(snapshot, claim)
        except CounterexampleError as error:
            failed += 1
            sys.stdout.write(f"FAILED {name}: {str(error)[:2000]}\n")
        else:
            size = f"{verdict.paths} paths, {verdict.equations} equations, {verdict.integers} hidden integers"
            sys.stdout.write(f"ok {name}: {size}, {verdict.seconds:.1f} s\n")
        sys.stdout.flush()
        count += 1
    sys.stdout.write(f"{count - failed} of {count} questions: no witness pays less\n")
    return int(failed > 0 or count == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
