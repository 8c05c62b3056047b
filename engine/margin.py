"""Margin: exact integers from a snapshot and a book. The numbers that a proof is about.

* the charge of a risk group is the largest of its candidates and 0 (money units); where components offset a group
  (calendar charges, inter-commodity credits), ``max(0, losses) + offsets``, then the largest of that, floors and 0;
* a requirement is its factor in bp times (the groups' charges + additions) (valuation units: money unit / 10^4);
* equity is 10^4 times the sum of lots x marks, + the collateral's value (valuation units);
* a claim num/den holds if and only if ``den equity - num requirement >= 0``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from pydantic import Field, PlainSerializer

from zkmargin.engine.book import Book, BookLots, as_lots
from zkmargin.engine.claims import CLAIM_BOUND, VALUATION_DECIMALS, Claim
from zkmargin.engine.components import SCALE_BP, Charge, Leg, PublishedPart
from zkmargin.engine.components.base import added_up
from zkmargin.engine.decimals import from_units, to_units
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, Map, Model, Seq


def _decimal(amount: int) -> str:
    return from_units(amount, VALUATION_DECIMALS)


#: Valuation units in Python, an exact decimal of quote currency in JSON.
Amount = Annotated[int, PlainSerializer(_decimal, return_type=str, when_used="json")]


class Equity(Model):
    """What a book is worth: options and spot at their marks, collateral after haircuts."""

    mark_to_market: Amount
    collateral_before_haircut: Amount
    collateral: Amount
    total: Amount


class GroupCharge(Model):
    """The charge of one risk group, factor included, and what sets it.

    Attributes:
        component: type of the component whose candidate binds; None where no candidate is a loss.
        candidate: its index (the scenario's column) and ``label`` its name.
        components: the largest candidate of each component, factor included; negative is a gain, or a credit.
    """

    group: str
    charge: Amount
    component: str | None
    candidate: int | None
    label: str
    components: Map[str, Amount]


class Addition(Model):
    """A component's amount on top of the groups' charges, factor included."""

    component: str
    amount: Amount


class LegReport(Model):
    """One position.

    Attributes:
        quantity: in the instrument's own units.
        alone: the requirement of this leg alone.
        contribution: its share of the book's requirement at what binds (Euler): the shares add up to the total, less
            what collateral adds to it or, where it moves with its underlying, takes from it.
    """

    id: str
    group: str
    lots: int
    quantity: str
    mark_to_market: Amount
    alone: Amount
    contribution: Amount


class Comparison(Model):
    """Collateral (after haircuts) that the book needs: netted, without netting, and leg by leg.

    Attributes:
        portfolio: requirement less mark-to-market of the book.
        cross: the sum of each leg's own requirement, less mark-to-market: nothing nets, collateral is shared.
        isolated: the sum over legs of what each needs, none below zero: nothing is shared.
        netting_benefit: cross less portfolio.
    """

    portfolio: Amount
    cross: Amount
    isolated: Amount
    netting_benefit: Amount


class Premium(Model):
    """The requirement before and after the credit for options' value (SPAN: risk requirement less net option value).

    Attributes:
        before: the requirement; where premiums are equity, their value is in equity instead.
        net_option_value: options long less options short, at their marks.
        after: ``before`` less ``net_option_value``; below 0 the options are worth more than is required.
    """

    before: Amount
    net_option_value: Amount
    after: Amount


class MarginReport(Model):
    """The margin of a book. Amounts are valuation units in Python and quote currency in JSON. Secret: about one book.

    Attributes:
        factor_bp: the requirement's factor, included in every amount of a requirement.
        surplus: equity less requirement; negative is missing.
        ratio: equity / requirement as a decimal with four places, rounded down; None where the requirement is 0.
        largest_claim: the largest claim that holds, as ``num/den``; None where none does.
        collateral_to_add: what is missing for a claim of 1, rounded up to a money unit.

    Example:
        >>> from zkmargin import Claim
        >>> report = margin_report(snapshot, book)
        >>> report.slack(Claim(1)) == report.equity.total - report.total, report.slack(Claim("1.1")) > 0
        (True, True)
    """

    requirement: str
    factor_bp: int = Field(gt=0)
    equity: Equity
    total: Amount
    groups: Seq[GroupCharge]
    additions: Seq[Addition]
    premium: Premium
    surplus: Amount
    ratio: str | None
    largest_claim: str | None
    collateral_to_add: Amount
    comparison: Comparison
    legs: Seq[LegReport]

    def slack(self, claim: Claim) -> int:
        """``den equity - num requirement``; the claim holds exactly when this is not negative."""
        if claim.requirement != self.requirement:
            raise InputError(f"the report is of the {self.requirement} requirement", field="claim")
        return claim.den * self.equity.total - claim.num * self.total


def margin_report(snapshot: Snapshot, book: Book | BookLots, requirement: str = "initial") -> MarginReport:
    """The margin of a book in full.

    Raises:
        InputError: an unknown requirement, or a book that is not of this snapshot.

    Example:
        >>> margin_report(snapshot, book).ratio
        '1.2174'
        >>> margin_report(snapshot, book, "maintenance").largest_claim
        '63054/41435'
    """
    lots = as_lots(book, snapshot)
    legs = legs_of(snapshot, lots)
    factor = snapshot.factor_bp(requirement)
    assessed = _assess(snapshot, legs, requirement, lots.collateral)
    worth = equity(snapshot, lots)
    total = assessed.total(factor)
    marks = snapshot.marks.values.tolist()
    alone = [_assess(snapshot, [leg], requirement).total(factor) for leg in legs]
    shares = assessed.shares(legs, factor)
    values = [SCALE_BP * leg.lots * marks[leg.slot] for leg in legs]
    option_value = sum(
        value for leg, value in zip(legs, values, strict=True) if snapshot.instruments[leg.slot].kind == "option"
    )
    portfolio, cross = total - worth.mark_to_market, sum(alone) - worth.mark_to_market
    claim = largest_claim(worth.total, total, requirement)
    return MarginReport(
        requirement=requirement,
        factor_bp=factor,
        equity=worth,
        total=total,
        groups=tuple(_group_report(snapshot, assessed, group, factor) for group in _reported(snapshot, assessed)),
        additions=tuple(
            Addition(component=added.part.type, amount=factor * added.addition + SCALE_BP * added.flat)
            for added in assessed.added
        ),
        premium=Premium(before=total, net_option_value=option_value, after=total - option_value),
        surplus=worth.total - total,
        ratio=from_units(10_000 * worth.total // total, 4) if total > 0 else None,
        largest_claim=None if claim is None else f"{claim.num}/{claim.den}",
        collateral_to_add=collateral_to_add(worth.total, total),
        comparison=Comparison(
            portfolio=portfolio,
            cross=cross,
            isolated=sum(max(own - value, 0) for own, value in zip(alone, values, strict=True)),
            netting_benefit=cross - portfolio,
        ),
        legs=tuple(
            LegReport(
                id=snapshot.instruments[leg.slot].id,
                group=snapshot.groups[leg.group],
                lots=leg.lots,
                quantity=_quantity(leg.lots, snapshot.instruments[leg.slot].lot),
                mark_to_market=value,
                alone=own,
                contribution=round(share),
            )
            for leg, own, value, share in zip(legs, alone, values, shares, strict=True)
        ),
    )


def equity(snapshot: Snapshot, lots: BookLots) -> Equity:
    """What a book is worth, the same for every requirement. Raises InputError for a book of another snapshot."""
    legs = legs_of(snapshot, lots)
    marks = snapshot.marks.values.tolist()
    marked = SCALE_BP * sum(leg.lots * marks[leg.slot] for leg in legs)
    held = sum(part.collateral_value(lots.collateral) for part in snapshot.components)
    before = SCALE_BP * sum(
        balance * slot.price for balance, slot in zip(lots.collateral, snapshot.collateral, strict=True)
    )
    return Equity(mark_to_market=marked, collateral_before_haircut=before, collateral=held, total=marked + held)


def requirement_total(snapshot: Snapshot, lots: BookLots, requirement: str = "initial") -> int:
    """The requirement of a book in valuation units. Raises InputError as ``margin_report`` does."""
    book = _assess(snapshot, legs_of(snapshot, lots), requirement, lots.collateral)
    return book.total(snapshot.factor_bp(requirement))


def contributions(snapshot: Snapshot, lots: BookLots, requirement: str = "initial") -> dict[int, Fraction]:
    """Each leg's share of the requirement at what binds (Euler), by slot, in valuation units, before it is rounded.

    Raises:
        InputError: as ``margin_report`` does.
    """
    legs = legs_of(snapshot, lots)
    book = _assess(snapshot, legs, requirement, lots.collateral)
    shares = book.shares(legs, snapshot.factor_bp(requirement))
    return {leg.slot: share for leg, share in zip(legs, shares, strict=True)}


def collateral_to_add(equity_total: int, requirement: int) -> int:
    """What equity lacks for a claim of 1, rounded up to a money unit, in valuation units; 0 where nothing is."""
    return max(-(-(requirement - equity_total) // SCALE_BP) * SCALE_BP, 0)


def claim_slack(snapshot: Snapshot, lots: BookLots, claim: Claim) -> int:
    """``den equity - num requirement`` in valuation units; the claim holds exactly when this is not negative."""
    return claim.den * equity(snapshot, lots).total - claim.num * requirement_total(snapshot, lots, claim.requirement)


def limit_slack(limit: Limit, snapshot: Snapshot, lots: BookLots, requirement: str = "initial") -> int:
    """How far inside the limit a book is, in the same integers; negative when it is outside."""
    bound = limit.integer_bound(snapshot)
    if limit.kind == "headroom":
        return equity(snapshot, lots).total - requirement_total(snapshot, lots, requirement) - bound
    if limit.kind == "position":
        return bound - abs(lots.positions[limit.slot(snapshot)])
    if limit.kind == "collateral":
        return lots.collateral[limit.slot(snapshot)] - bound
    limit.slot(snapshot)
    deltas: list[int] = [
        q * delta
        for q, delta, slot in zip(lots.positions, snapshot.deltas.values.tolist(), snapshot.instruments, strict=True)
        if slot.underlying == limit.subject
    ]
    exposure = abs(sum(deltas)) if limit.kind == "net-exposure" else sum(abs(delta) for delta in deltas)
    return bound - exposure


def largest_claim(equity_total: int, requirement: int, name: str = "initial") -> Claim | None:
    """The largest claim that holds for an equity and a requirement in one unit, or None.

    The best approximation from below with both parts under 2^16, by descent in the Stern-Brocot tree.
    """
    most = CLAIM_BOUND - 1
    if equity_total < 0 or (equity_total == 0 and requirement > 0):
        return None
    if equity_total >= most * requirement:
        return Claim(most, 1, name)
    low, high = (0, 1), (1, 0)  # low <= equity / requirement < high, always neighbours
    while True:
        above = equity_total * low[1] - low[0] * requirement
        below = high[0] * requirement - equity_total * high[1]
        room = min((most - low[0]) // high[0], (most - low[1]) // high[1] if high[1] else most)
        steps = min(above // below, room)
        low = (low[0] + steps * high[0], low[1] + steps * high[1])
        above -= steps * below
        if above == 0 or steps == room:
            return Claim(*low, name) if low[0] else None
        steps = (below - 1) // above
        high = (high[0] + steps * low[0], high[1] + steps * low[1])


def largest_decimal(claim: str | None) -> str | None:
    """The largest claim that can be typed as a decimal and is not above a ``largest_claim``; None where none is.

    Of the decimals that make a claim (numerator and denominator below 2^16) the one with the most places below it.

    Example:
        >>> largest_decimal("20/21"), largest_decimal("65535/1"), largest_decimal("65534/3"), largest_decimal("1/65535")
        ('0.9523', '65535', '21844', None)
    """
    if claim is None:
        return None
    ratio = Fraction(claim)
    found = Fraction(0)
    for places in range(5):
        down = Fraction(ratio.numerator * 10**places // ratio.denominator, 10**places)
        if 0 < down.numerator < CLAIM_BOUND:
            found = max(found, down)
    return from_units(int(found * 10**4), 4) if found else None


#: A risk group of the snapshot by its index, or a joint group by its name.
Group = int | str


@dataclass(frozen=True, slots=True)
class _Binding:
    """What sets the charge of a group: a component's candidate, its amount in money units and its exact scale."""

    part: PublishedPart
    candidate: int
    amount: int
    scale: int


@dataclass(frozen=True, slots=True)
class _Offset:
    """What a component puts on top of the losses of a risk group (or takes off), in whole money units."""

    part: PublishedPart
    group: int
    amount: int
    scale: int


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The charge of a group in money units, the candidate that binds if one does, and the offsets that count."""

    amount: int
    binding: _Binding | None
    offsets: Sequence[_Offset]


@dataclass(frozen=True, slots=True)
class _Assessment:
    """The charges of a book before the factor, in whole money units."""

    candidates: dict[Group, list[_Binding]]  # per group the largest candidate of each component
    added: list[_Added]
    offsets: dict[Group, list[_Offset]]  # per group what components put on top of its losses, or take off

    def charge(self, group: Group) -> _Outcome:
        """The charge of a group and what sets it."""
        found = self.candidates.get(group, [])
        worst = _largest(candidate for candidate in found if not candidate.part.is_floor)
        floor = _largest(candidate for candidate in found if candidate.part.is_floor)
        offsets = self.offsets.get(group, [])
        amount = max(0, worst.amount if worst else 0) + sum(offset.amount for offset in offsets)
        if floor is not None and floor.amount > amount:
            return _Outcome(max(0, floor.amount), floor, [])
        return _Outcome(max(0, amount), worst if worst and worst.amount > 0 else None, offsets if amount > 0 else [])

    @property
    def groups(self) -> list[Group]:
        """The groups that anything is asked of."""
        return list(dict.fromkeys((*self.candidates, *self.offsets)))

    def total(self, factor_bp: int) -> int:
        """The requirement in valuation units."""
        charges = sum(self.charge(group).amount for group in self.groups)
        factored = sum(added.addition for added in self.added)
        return factor_bp * (charges + factored) + SCALE_BP * sum(added.flat for added in self.added)

    def shares(self, legs: Sequence[Leg], factor_bp: int) -> list[Fraction]:
        """Each leg's summand of the total, in valuation units: exact, before amounts are rounded up."""
        shares = [Fraction(0)] * len(legs)
        for group in self.groups:
            outcome = self.charge(group)
            binding = outcome.binding
            if outcome.amount == 0:
                continue
            for offset in outcome.offsets:
                for i, share in enumerate(offset.part.offset_shares(legs, offset.group)):
                    shares[i] += Fraction(factor_bp * share, offset.scale)
            if binding is None:
                continue
            if isinstance(group, str):
                for i, share in enumerate(binding.part.joint_shares(legs, group, binding.candidate)):
                    shares[i] += Fraction(factor_bp * share, binding.scale)
            else:
                places = [i for i, leg in enumerate(legs) if leg.group == group]
                own = binding.part.shares([legs[i] for i in places], binding.candidate)
                for i, share in zip(places, own, strict=True):
                    shares[i] += Fraction(factor_bp * share, binding.scale)
        for added in self.added:
            if not added.of_legs:
                continue
            factor = factor_bp if added.addition else SCALE_BP
            for i, share in enumerate(added.part.shares(legs, None)):
                shares[i] += Fraction(factor * share, added.scale)
        return shares


@dataclass(frozen=True, slots=True)
class _Added:
    """What a component adds, in whole money units: times the requirement's factor, or flat (never both)."""

    part: PublishedPart
    addition: int
    flat: int
    scale: int
    of_legs: bool = True


def _assess(snapshot: Snapshot, legs: Sequence[Leg], requirement: str, balances: Sequence[int] = ()) -> _Assessment:
    candidates: dict[Group, list[_Binding]] = {}
    added: list[_Added] = []
    offsets: dict[Group, list[_Offset]] = {}
    for part in snapshot.components:
        if not part.applies_to(requirement):
            continue
        charge, of_balances = part.assess(legs), part.assess_balances(balances) if balances else Charge()
        losses_of = added_up(charge.candidates, of_balances.candidates)
        groups: list[tuple[Group, Sequence[int]]] = [*losses_of.items(), *charge.joint.items()]
        for group, losses in groups:
            largest = max(losses)
            amount = _rounded_up(largest, charge.scale)
            candidates.setdefault(group, []).append(_Binding(part, losses.index(largest), amount, charge.scale))
        for place, amount in charge.offsets.items():
            rounded = _rounded_up(amount, charge.scale)
            offsets.setdefault(place, []).append(_Offset(part, place, rounded, charge.scale))
        # A component that asks for both, of positions and of balances, has two entries.
        for asked in (charge, of_balances):
            if asked.addition or asked.flat:
                addition, flat = (_rounded_up(x, asked.scale) for x in (asked.addition, asked.flat))
                added.append(_Added(part, addition, flat, asked.scale, of_legs=asked is charge))
    return _Assessment(candidates, added, offsets)


def _largest(found: Iterable[_Binding]) -> _Binding | None:
    return max(found, key=lambda candidate: candidate.amount, default=None)


def _rounded_up(amount: int, scale: int) -> int:
    """The one rounding after the risk arrays: up to a whole money unit, against the account."""
    return -(-amount // scale)


def legs_of(snapshot: Snapshot, lots: BookLots) -> list[Leg]:
    """The positions that are not zero, in the order of slots. Raises InputError for a book of another snapshot."""
    if len(lots.positions) != len(snapshot.instruments) or len(lots.collateral) != len(snapshot.collateral):
        raise InputError("the book is not of this snapshot: another number of slots")
    return [
        Leg(slot, group, amount)
        for slot, (group, amount) in enumerate(zip(snapshot.group_of, lots.positions, strict=True))
        if amount
    ]


def _reported(snapshot: Snapshot, book: _Assessment) -> list[Group]:
    """The risk groups, then the joint ones; not a risk group whose legs are charged in joint groups alone."""
    joint = [group for group in book.candidates if isinstance(group, str)]
    return [*(g for g in range(len(snapshot.groups)) if not joint or g in book.candidates), *joint]


def _group_report(snapshot: Snapshot, book: _Assessment, group: Group, factor: int) -> GroupCharge:
    name = group if isinstance(group, str) else snapshot.groups[group]
    found = book.candidates.get(group, [])
    largest: dict[str, int] = {}
    for candidate in found:
        kind, amount = candidate.part.type, factor * candidate.amount
        largest[kind] = max(largest.get(kind, amount), amount)
    for offset in book.offsets.get(group, []):
        largest[offset.part.type] = largest.get(offset.part.type, 0) + factor * offset.amount
    outcome = book.charge(group)
    binding, charge = outcome.binding, factor * outcome.amount
    if binding is None:
        label = "no loss in any scenario" if found else "no position"
        if charge:
            label = "spread charges"
        return GroupCharge(group=name, charge=charge, component=None, candidate=None, label=label, components=largest)
    place = binding.candidate
    return GroupCharge(
        group=name,
        charge=charge,
        component=binding.part.type,
        candidate=place,
        label=binding.part.joint_label(group, place) if isinstance(group, str) else binding.part.label(group, place),
        components=largest,
    )


def _quantity(lots: int, lot: str) -> str:
    decimals = len(lot.partition(".")[2])
    return from_units(lots * to_units(lot, decimals), decimals)
