"""Liquidation: the least costly trades after which an account's claim holds again, and the order to make them in.

The programme (risk/programme.py) proposes; the engine's integers decide (risk/trading.py). A plan is in whole lots, its
costs are rounded up and its cash down, and the claim and every limit hold exactly after the last step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import combinations

from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import VALUATION_DECIMALS, Claim
from zkmargin.engine.components import SCALE_BP
from zkmargin.engine.decimals import from_units, to_cents
from zkmargin.engine.margin import contributions, equity, limit_slack
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError
from zkmargin.risk.auction import closing_fraction
from zkmargin.risk.plans import Plan, ProRata, Step, Terms
from zkmargin.risk.programme import Programme, Solution, now
from zkmargin.risk.trading import Trading, quantity_of

#: Trades that are looked at in pairs, and in threes, where no single one helps.
PAIRED, TREBLED = 64, 24
#: How often a plan that rounding broke is made again with more room.
ATTEMPTS = 8


def plan_liquidation(snapshot: Snapshot, lots: BookLots, claim: Claim, terms: Terms | None = None) -> Plan:
    """The least costly trades after which the claim, and every limit, hold.

    Raises:
        InputError: unknown names, a policy with products of hidden quantities, no cash asset.
        ConstraintError: no permitted trades are enough; says why, and by how much the best of them fall short.
        SetupError: the solver is not installed.

    Example:
        >>> plan = plan_liquidation(snapshot, lots, Claim("1.3"))
        >>> plan.before.shortfall > 0, plan.after.shortfall > 0
        (True, False)
    """
    return Planner(snapshot, lots, claim, terms or Terms()).plan()


class Planner(Trading):
    """Plans for one account; see ``plan_liquidation``."""

    # --- the plan -----------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """The cheapest of what the programme and the greedy rule find, in order of execution."""
        if self.holds({}):
            return self._report([], 0.0, None)
        started = now()
        programme = Programme(
            self.snapshot,
            self.lots,
            self.claim,
            self.terms.limits,
            self.tradable,
            self.cash,
            neutral=self.terms.mode == "neutralise",
        )
        relaxed = programme.solve(seconds=10 * self.terms.seconds)
        if relaxed.status == "infeasible":
            raise self._infeasible(programme)
        found, bound = self._in_lots(programme, relaxed, started)
        greedy = self.greedy() if self.terms.compare else None
        plans = [trades for trades in (found, greedy) if trades is not None]
        if not plans:
            raise self._infeasible(programme)
        best = min(plans, key=self.cost_of)
        steps = self._order(self._trimmed(best))
        return self._report(steps, bound, None if greedy is None else self.cost_of(greedy))

    def _in_lots(self, programme: Programme, relaxed: Solution, started: float) -> tuple[dict[int, int] | None, float]:
        """The cheapest plan in whole lots that holds exactly, and a bound of every plan's cost."""
        plans: list[dict[int, int]] = []
        if programme.bits:
            plans += self._by_pattern(programme)
        else:
            plans += self._exact(lambda room: programme.solve(room=room), relaxed)
        left = max(self.terms.seconds - (now() - started), 0.2)
        whole = programme.solve(whole=True, seconds=left)
        bound = max(relaxed.bound, whole.bound) if math.isfinite(whole.bound) else relaxed.bound
        if whole.trades and not any(self.cost_of(plan) <= 1.001 * whole.cost for plan in plans):
            plans += self._exact(lambda room: programme.solve(room=room, whole=True, seconds=left), whole)
        return min(plans, key=self.cost_of, default=None), bound

    def _by_pattern(self, programme: Programme) -> list[dict[int, int]]:
        """Where bits make the policy's rules bend: plans within the pattern of bits of some books.

        With its bits fixed the programme is convex. A plan moves the account to other bits, which give the next plan.
        """
        everything = {slot: -self.lots.positions[slot] for slot in self.held if slot in self.own}
        closed = {slot: self._inside(slot, amount) for slot, amount in everything.items()}
        greedy = self.greedy()
        plans = [] if greedy is None else [greedy]
        for start in (greedy, {}, closed):
            pattern = None if start is None else programme.bits_of(self.after(start))
            for _ in range(ATTEMPTS):
                if pattern is None:
                    break
                found = self._exact(partial(_solved, programme, pattern))
                if not found or (plans and self.cost_of(found[0]) >= self.cost_of(plans[-1])):
                    plans += found
                    break
                plans += found
                pattern = programme.bits_of(self.after(found[0]))
        return plans

    def _exact(
        self, solve: Callable[[Sequence[float]], Solution], first: Solution | None = None
    ) -> list[dict[int, int]]:
        """A plan in whole lots after which the exact integers hold: made with more room until they do, or none."""
        room = [0.0] * (1 + len(self.terms.limits))
        for attempt in range(ATTEMPTS):
            solution = first if first is not None and attempt == 0 else solve(room)
            candidates = self._rounded(solution)
            good = [plan for plan in candidates if self.holds(plan)]
            if good:
                return [min(good, key=self.cost_of)]
            if not candidates:
                return []
            room[0] += 1.02 * max(-max(self.slacks(candidates)), 0) + 1.0
            for place, limit in enumerate(self.terms.limits, 1):
                books = [self.after(plan) for plan in candidates]
                outside = -max(limit_slack(limit, self.snapshot, book, self.claim.requirement) for book in books)
                room[place] += max(1.02 * outside, 0.0)
        return []

    def _rounded(self, solution: Solution) -> list[dict[int, int]]:
        """Whole lots near a solution: the nearest, and away from 0."""
        plans = []
        for rounding in (round, lambda x: math.copysign(math.ceil(abs(x) - 1e-6), x)):
            plan = {}
            for slot, amount in solution.trades.items():
                lots = self._inside(slot, int(rounding(amount)))
                if lots:
                    plan[slot] = lots
            if plan not in plans:
                plans.append(plan)
        return plans if solution.trades else []

    def _inside(self, slot: int, amount: int) -> int:
        own = self.own[slot]
        held = self.lots.positions[slot]
        return min(max(amount, own.low - held), own.high - held)

    def _trimmed(self, trades: Mapping[int, int]) -> dict[int, int]:
        """The same trades, each as small as the claim allows, the costliest first."""
        plan = dict(trades)
        if self.terms.limits or self.terms.mode == "neutralise":
            return plan
        for slot in sorted(plan, key=lambda slot: -self.cost_of({slot: plan[slot]})):
            size, sign = abs(plan[slot]), 1 if plan[slot] > 0 else -1
            cuts = sorted({1 << k for k in range(size.bit_length())} | {size})
            smaller = [{**plan, slot: sign * (size - cut)} for cut in cuts]
            for cut, slack in reversed(list(zip(cuts, self.slacks(smaller), strict=True))):
                if slack >= 0:
                    plan[slot] = sign * (size - cut)
                    break
        return {slot: amount for slot, amount in plan.items() if amount}

    # --- the order ----------------------------------------------------------------------------------------

    def _order(self, trades: Mapping[int, int]) -> list[list[tuple[int, int]]]:
        """Packages of trades, each of which lowers the shortfall, most relief for its cost first.

        Trades that are left once the claim and the limits hold are not made.
        """
        left, done = dict(trades), dict[int, int]()
        steps: list[list[tuple[int, int]]] = []
        slack = self.slacks([{}])[0]
        while left and not self.holds(done):
            for size in (1, 2, 3):
                few = list(left)[: PAIRED if size == 2 else TREBLED if size == 3 else len(left)]
                packages = list(combinations(few, size))
                after = self.slacks([done | {slot: left[slot] for slot in package} for package in packages])
                ranked = [
                    (Fraction(new - slack, 1 + self.cost_of({slot: left[slot] for slot in package})), new, package)
                    for package, new in zip(packages, after, strict=True)
                    if new > slack
                ]
                if ranked:
                    break
            chosen = max(ranked)[2] if ranked else tuple(left)
            steps.append([(slot, left.pop(slot)) for slot in chosen])
            done |= dict(steps[-1])
            slack = self.slacks([done])[0]
        return steps

    # --- greedy, the peer that plans are compared with ----------------------------------------------------

    def greedy(self) -> dict[int, int] | None:
        """Closing by contribution: the position that adds most to the requirement goes first, as much as is needed.

        What venues that publish a rule do (Deribit closes what contributes most to the risk matrix margin). None where
        closing everything that may be closed is not enough.
        """
        plan: dict[int, int] = {}
        closable = {own.slot: own for own in self.tradable if own.low <= 0 <= own.high}
        for _ in range(len(closable)):
            book = self.after(plan)
            shares = contributions(self.snapshot, book, self.claim.requirement)
            open_slots = [slot for slot in closable if book.positions[slot]]
            if not open_slots:
                break
            slot = max(open_slots, key=lambda slot: shares.get(slot, Fraction(0)))
            whole = -self.lots.positions[slot]
            if not self.own[slot].low <= 0 <= self.own[slot].high:
                break
            if self.slacks([{**plan, slot: whole}])[0] < 0:
                plan[slot] = whole
                continue
            low, high = 0, abs(whole)  # the least that is enough, as if more were always better
            sign = 1 if whole > 0 else -1
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if self.slacks([{**plan, slot: sign * middle}])[0] >= 0 else (middle, high)
            plan[slot] = sign * high
            return plan if self.holds(plan) else None
        return plan if plan and self.holds(plan) else None

    # --- pro rata -----------------------------------------------------------------------------------------

    def pro_rata(self) -> ProRata:
        """The part of every position to close, in closed form, and in whole lots by the exact integers."""
        everything = {slot: -amount for slot, amount in enumerate(self.lots.positions) if amount}
        slack = self.slacks([{}])[0]
        total = int(self.model.margins([self.lots]).total[0])
        cost = self.cost_of(everything)
        closed = closing_fraction(slack, self.claim.num * total, self.claim.den * SCALE_BP * cost)
        if slack >= 0:
            return ProRata(closed_form="0", fraction="0", cost=0)
        steps = 10_000

        def part(k: int) -> dict[int, int]:
            return {slot: _part(amount, k, steps) for slot, amount in everything.items()}

        if self.slacks([part(steps)])[0] < 0:
            return ProRata(closed_form=_text(closed), fraction=None, cost=None)
        start = 0 if closed is None else min(math.floor(closed * steps), steps)
        grid = sorted({start, steps, *(start + 2**i for i in range(14) if start + 2**i < steps)})
        first = next(k for k, x in zip(grid, self.slacks([part(k) for k in grid]), strict=True) if x >= 0)
        low = max((k for k in grid if k < first), default=max(start - 1, 0))
        while first - low > 1:
            middle = (low + first) // 2
            low, first = (low, middle) if self.slacks([part(middle)])[0] >= 0 else (middle, first)
        chosen = {slot: amount for slot, amount in part(first).items() if amount}
        return ProRata(
            closed_form=_text(closed),
            fraction=_text(Fraction(first, steps)),
            cost=SCALE_BP * self.cost_of(chosen),
            trades=tuple(self.trade(slot, amount) for slot, amount in chosen.items()),
        )

    # --- words --------------------------------------------------------------------------------------------

    def _infeasible(self, programme: Programme) -> ConstraintError:
        worth = equity(self.snapshot, self.lots)
        reach = programme.best_reach()
        missing = max(math.ceil(-reach / self.claim.den), 1) if math.isfinite(reach) else 1
        everything = {slot: -amount for slot, amount in enumerate(self.lots.positions) if amount}
        reasons = []
        if worth.total <= 0:
            reasons.append("equity is not above 0, so closing every position would not be enough")
        if self.terms.mode != "any":
            reasons.append(f"only trades of the mode {self.terms.mode} are permitted")
        if self.terms.may_trade:
            reasons.append("only some instruments may be traded")
        if any(self.costs[slot] is None or self.costs[slot].most is not None for slot in everything):  # type: ignore[union-attr]
            reasons.append("the cost file limits what may be traded")
        if self.terms.limits:
            reasons.append("limits must hold as well")
        asset = self.snapshot.collateral[self.cash]
        if not asset.negative_allowed:
            reasons.append(f"premiums and costs must be covered by the balance of {asset.asset}")
        money = to_cents(missing + 10**11 - 1, VALUATION_DECIMALS)  # rounded up to the cent
        return ConstraintError(
            f"no permitted trades make the claim hold: at best equity is still {money} {self.snapshot.quote} short"
            f"{': ' if reasons else ''}{'; '.join(reasons)}",
            rule="liquidation",
            shortfall=missing,
            hint="permit more trades (another mode, more instruments, larger sizes), or add collateral",
        )

    def _report(self, steps: Sequence[Sequence[tuple[int, int]]], bound: float, greedy: int | None) -> Plan:
        done: dict[int, int] = {}
        shown = []
        before = slack = self.slacks([{}])[0]
        for step in steps:
            done |= dict(step)
            new = self.slacks([done])[0]
            shown.append(
                Step(
                    trades=tuple(self.trade(slot, amount) for slot, amount in step),
                    relief=(new - slack) // self.claim.den,
                    after=self.position(done, new),
                )
            )
            slack = new
        cost = self.cost_of(done)
        least = max(math.floor(bound), 0) if math.isfinite(bound) else 0
        change = self.after(done).collateral[self.cash] - self.lots.collateral[self.cash]
        asset = self.snapshot.collateral[self.cash]
        return Plan(
            claim=str(self.claim),
            mode=self.terms.mode,
            cash=asset.asset,
            before=self.position({}, before),
            steps=tuple(shown),
            after=self.position(done, slack),
            cost=SCALE_BP * cost,
            bound=SCALE_BP * min(least, cost),
            gap=None if not least else round(max(cost / least - 1, 0.0), 6),
            greedy_cost=None if greedy is None else SCALE_BP * greedy,
            collateral={asset.asset: quantity_of(change, asset.lot)} if change else {},
        )


def _solved(programme: Programme, pattern: Mapping[int, int], room: Sequence[float]) -> Solution:
    return programme.solve(room=room, fixed=pattern)


def _part(amount: int, k: int, steps: int) -> int:
    """The part k / steps of an amount, rounded away from 0: at least that part goes."""
    size = -(-abs(amount) * k // steps)
    return size if amount > 0 else -size


def _text(fraction: Fraction | None) -> str | None:
    return None if fraction is None else from_units(math.ceil(fraction * 10**9), 9)
