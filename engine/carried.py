"""A universe and a market become one complete market: what has no quote is carried by the universe's rule.

The rule is public and exact, so a snapshot can be built again from the same files, and says what it carried: method,
source and age. A verifier may bound the age (trust files).

    last          the vol of an earlier market, no older than the universe allows
    interpolated  linear in the strike between the nearest quoted strikes of the expiry; a quote at the same strike
                  counts as it is, and the mean where call and put are quoted there
    stressed      the newest earlier vol of any age, else that of the nearest strike of the nearest expiry; and each
                  position is charged what the option would lose by moving the vol against it (``stress_charge``)
    index         a future, perpetual or spot without a mark of its own is priced off its forward or index

A forward that is missing is taken from an earlier market and moved with the index, or interpolated linearly in time
between its neighbours (the index, now, is one) by their ratio to the index. Vols and prices are rounded to 1e-9, half
away from zero. An asset without a price keeps that of an earlier market. What nothing can be said of is refused by
name.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from operator import itemgetter
from typing import NamedTuple, TypeVar

import numpy as np

from zkmargin.engine.decimals import MS_PER_SECOND, from_units, parse_time, to_fraction
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.market import Asset, Forward, Instrument, Market, Underlying
from zkmargin.engine.names import CarryMethod
from zkmargin.engine.settlement import Alive, alive
from zkmargin.engine.universe import ListedAsset, Listing, Universe
from zkmargin.formats import Hint, InputError

#: Decimals that carried vols and forwards are rounded to.
DECIMALS = 9


class Carried(NamedTuple):
    """A price that the market does not have: of what, by which method, from which market (digest), how old (ms)."""

    id: str
    method: CarryMethod
    source: str
    age: int

    @property
    def seconds(self) -> int:
        """Its age, rounded up."""
        return -(-self.age // MS_PER_SECOND)


class Completed(NamedTuple):
    """What a snapshot of a universe is made of.

    Attributes:
        alive: what is priced, in the slots of the universe; and what has expired.
        carried: what had no quote, forwards first, then in the order of slots, then assets.
        stressed: slots whose positions are charged on both sides.
    """

    alive: Alive
    carried: tuple[Carried, ...]
    stressed: tuple[int, ...]


def complete(universe: Universe, market: Market, earlier: Sequence[Market] = ()) -> Completed:
    """Everything that a universe lists, with the prices of a market or those that stand in for them.

    Args:
        universe: fixes the slots.
        market: the quotes; instruments that the universe does not list are left out.
        earlier: markets of before, in any order, that last prices may be taken from.

    Raises:
        InputError: an instrument with other terms than the universe's, or of which nothing can be said: names it.
    """
    return _Completion(universe, market, earlier).run()


class _Completion:
    def __init__(self, universe: Universe, market: Market, earlier: Sequence[Market]) -> None:
        self.universe, self.market = universe, market
        self.now = parse_time(market.time)
        for quote in (universe.quote, *(other.quote for other in earlier)):
            if quote != market.quote:
                raise InputError(f"prices in {quote}, the market has {market.quote}", field="quote")
        if parse_time(universe.time) > self.now:
            raise InputError("the universe's edition is newer than the market", field="time")
        if any(parse_time(other.time) > self.now for other in earlier):
            raise InputError("an earlier market that is newer than the market", field="time")
        # the newest first: its prices are the first to be looked at
        self.earlier = sorted(earlier, key=lambda other: parse_time(other.time), reverse=True)
        self.digests = {id(other): other.digest().hex() for other in (market, *earlier)}
        self.quoted = {instrument.id: instrument for instrument in market.instruments}
        self.before = [{i.id: i for i in other.instruments} for other in self.earlier]
        self.carried: list[Carried] = []
        self.stressed: list[int] = []
        self.index = {u.name: to_fraction(u.index_price) for u in market.underlyings}
        self.surface = self._surface()
        # every look-up below is one of a table or a bisection: nothing grows with instruments times quotes
        self.strikes = {key: list(smile) for key, smile in self.surface.items()}
        self.expiries: dict[str, list[int]] = {}
        for underlying, at in sorted(self.surface):
            self.expiries.setdefault(underlying, []).append(at)
        self.quoted_forwards: dict[str, list[tuple[int, Forward]]] = {}
        for forward in sorted((f for f in market.forwards if f.name is None), key=lambda own: parse_time(own.expiry)):
            self.quoted_forwards.setdefault(forward.underlying, []).append((parse_time(forward.expiry), forward))
        self.forwards_before = [
            {(own.underlying, parse_time(own.expiry)): own for own in other.forwards if own.name is None}
            for other in self.earlier
        ]
        self.assets = [(other, {asset.name: asset for asset in other.assets}) for other in (market, *self.earlier)]

    def run(self) -> Completed:
        listed = [(slot, own) for slot, own in enumerate(self.universe.instruments) if own.retired is None]
        forwards = self._forwards([own for _, own in listed])
        carried, self.carried = self.carried, []
        instruments = [self._instrument(slot, own) for slot, own in listed]
        assets = [self._asset(own) for own in self.universe.assets]
        whole = self.market.replaced(
            format=Market.READS[0],
            underlyings=self._underlyings([own.underlying for own in self.universe.instruments]),
            forwards=tuple(forwards),
            instruments=tuple(instruments),
            assets=tuple(assets),
        )
        split = alive(whole)
        places = np.array([slot for slot, _ in listed], dtype=np.int64)
        moved = tuple(own._replace(slot=int(places[own.slot])) for own in split.settled)
        return Completed(
            Alive(split.market, places[split.slots], moved), (*carried, *self.carried), tuple(self.stressed)
        )

    # --- instruments --------------------------------------------------------------------------------------

    def _instrument(self, slot: int, own: Listing) -> Instrument:
        found = self.quoted.get(own.id)
        if found is not None:
            own.refuse_another(found)
        terms = {name: getattr(own, name) for name in Listing.model_fields if name not in ("listed", "retired")}
        if own.expiry is not None and parse_time(own.expiry) <= self.now:
            return Instrument(**terms, settlement_value=self._settlement_value(own, found))
        if found is not None and (found.kind != "option" or found.implied_vol is not None):
            quotes = ("implied_vol", "forward", "mark_price", "confidence", "time")
            return Instrument(**terms, **{name: getattr(found, name) for name in quotes})
        if own.kind != "option":
            self._carry(own.id, "index", self.market, 0)
            return Instrument(**terms)
        return Instrument(**terms, implied_vol=self._vol(slot, own))

    def _settlement_value(self, own: Listing, found: Instrument | None) -> str:
        """What an expired instrument settled at: the market says it, or an earlier one, as it never changes."""
        for instrument in (found, *(table.get(own.id) for table in self.before)):
            if instrument is not None and instrument.settlement_value is not None:
                own.refuse_another(instrument)
                return instrument.settlement_value
        raise InputError(
            f"has expired ({own.expiry}, the market's time is {self.market.time}) without a settlement value",
            field=own.id,
            hint=Hint.SETTLE,
        )

    def _vol(self, slot: int, own: Listing) -> str:
        rule = self.universe.missing_quotes
        for method in rule.methods:
            if method == "last":
                for source, instrument, age in self._last(own):
                    if age <= MS_PER_SECOND * rule.last_max_age_seconds:
                        self._carry(own.id, method, source, age)
                        return instrument.implied_vol or ""
            elif method == "interpolated":
                between = self._between(own)
                if between is not None:
                    vol, age = between
                    self._carry(own.id, method, self.market, age)
                    return vol
            else:
                source, vol, age = self._to_stress(own)
                self._carry(own.id, method, source, age)
                self.stressed.append(slot)
                return vol
        raise InputError(
            f"no quote in the market, and none of {', '.join(rule.methods) or 'no method'} gives one",
            field=own.id,
            hint=Hint.EARLIER_MARKET,
        )

    def _last(self, own: Listing) -> Iterator[tuple[Market, Instrument, int]]:
        """Earlier quotes of an option with their age in milliseconds, newest market first."""
        for source, table in zip(self.earlier, self.before, strict=True):
            instrument = table.get(own.id)
            if instrument is not None and instrument.implied_vol is not None and not instrument.settled:
                own.refuse_another(instrument)
                yield source, instrument, self.now - parse_time(instrument.time or source.time)

    def _surface(self) -> Mapping[tuple[str, int], Mapping[Fraction, tuple[Fraction, int]]]:
        """Quoted vols by underlying and expiry, then strike: the mean at a strike, and the time of its oldest quote."""
        quotes: dict[tuple[str, int], dict[Fraction, list[tuple[Fraction, int]]]] = {}
        for instrument in self.market.instruments:
            if instrument.kind != "option" or instrument.implied_vol is None or instrument.expired_at(self.now):
                continue
            smile = quotes.setdefault((instrument.underlying, parse_time(instrument.expiry or "")), {})
            vol, time = to_fraction(instrument.implied_vol), parse_time(instrument.time or self.market.time)
            smile.setdefault(to_fraction(instrument.strike or "0"), []).append((vol, time))
        return {
            key: {
                strike: (sum((vol for vol, _ in own), Fraction(0)) / len(own), min(time for _, time in own))
                for strike, own in sorted(smile.items())
            }
            for key, smile in quotes.items()
        }

    def _between(self, own: Listing) -> tuple[str, int] | None:
        """The vol between the nearest quoted strikes and the age of the older; None beyond them."""
        key, strike = (own.underlying, parse_time(own.expiry or "")), to_fraction(own.strike or "0")
        smile, strikes = self.surface.get(key, {}), self.strikes.get(key, [])
        place = bisect_left(strikes, strike)
        if place < len(strikes) and strikes[place] == strike:
            below = above = strike
        elif 0 < place < len(strikes):
            below, above = strikes[place - 1], strikes[place]
        else:
            return None
        (low, first), (high, second) = smile[below], smile[above]
        part = Fraction(0) if above == below else (strike - below) / (above - below)
        return _text(low + (high - low) * part), self.now - min(first, second)

    def _to_stress(self, own: Listing) -> tuple[Market, str, int]:
        for source, instrument, age in self._last(own):
            return source, instrument.implied_vol or "", age
        expiry, strike = parse_time(own.expiry or ""), to_fraction(own.strike or "0")
        expiries = self.expiries.get(own.underlying, [])
        if not expiries:
            raise InputError(
                "no quote in the market, and no vol of its underlying to go by",
                field=own.id,
                hint=Hint.EARLIER_MARKET,
            )
        at = _nearest(expiries, expiry)
        vol, time = self.surface[own.underlying, at][_nearest(self.strikes[own.underlying, at], strike)]
        return self.market, _text(vol), self.now - time

    # --- what they are priced off -------------------------------------------------------------------------

    def _underlyings(self, names: Sequence[str]) -> tuple[Underlying, ...]:
        """Those of the market; one whose instruments are all retired needs no price, and gets 1."""
        needed = {own.underlying for own in self.universe.instruments if own.retired is None}
        known = {u.name for u in self.market.underlyings}
        for name in needed - known:
            raise InputError("no index price in the market", field=f"underlying {name}")
        gone = [name for name in dict.fromkeys(names) if name not in known]
        return (*self.market.underlyings, *(Underlying(name=name, index_price="1") for name in gone))

    def _forwards(self, listed: Sequence[Listing]) -> list[Forward]:
        """The market's, and those that are missing for something that is listed and has not expired."""
        found = {(f.underlying, parse_time(f.expiry)): f for f in self.market.forwards}
        wanted = {(own.underlying, parse_time(own.expiry)): own.expiry for own in listed if own.expiry is not None}
        missing = [
            self._forward(underlying, at, wanted[underlying, at] or "")
            for underlying, at in sorted(wanted)
            if at > self.now and (underlying, at) not in found
        ]
        return [*self.market.forwards, *missing]

    def _forward(self, underlying: str, at: int, expiry: str) -> Forward:
        name, rule = f"forward {underlying} {expiry}", self.universe.missing_quotes
        if underlying not in self.index:
            raise InputError("no index price in the market", field=f"underlying {underlying}")
        index = self.index[underlying]
        for method in rule.methods:
            if method == "last":
                for source, table in zip(self.earlier, self.forwards_before, strict=True):
                    own = table.get((underlying, at))
                    if own is None:
                        continue
                    age = self.now - parse_time(own.time or source.time)
                    if age <= MS_PER_SECOND * rule.last_max_age_seconds:
                        before = to_fraction(source.underlying(underlying).index_price)
                        self._carry(name, method, source, age)
                        price = _text(to_fraction(own.price) * index / before)
                        return Forward(underlying=underlying, expiry=expiry, price=price, rate=own.rate)
            elif method == "interpolated":
                quoted = self.quoted_forwards.get(underlying, [])
                place = bisect_left(quoted, at, key=itemgetter(0))
                if place == len(quoted):
                    continue
                later, upper = quoted[place]
                start, low, used = self.now, Fraction(1), [upper]
                if place and quoted[place - 1][0] > self.now:
                    start, lower = quoted[place - 1]
                    low, used = self._ratio(lower), [upper, lower]
                part = Fraction(at - start, later - start)
                age = self.now - min(parse_time(f.time or self.market.time) for f in used)
                self._carry(name, method, self.market, age)
                price = _text(index * (low + (self._ratio(upper) - low) * part))
                return Forward(underlying=underlying, expiry=expiry, price=price, rate=upper.rate)
        raise InputError("missing in the market, and nothing to take it from", field=name, hint=Hint.EARLIER_MARKET)

    def _ratio(self, forward: Forward) -> Fraction:
        return to_fraction(forward.price) / self.index[forward.underlying]

    def _asset(self, own: ListedAsset) -> Asset:
        for source, table in self.assets:
            found = table.get(own.name)
            if found is None:
                continue
            if to_fraction(found.lot) != to_fraction(own.lot):
                raise InputError("another lot in the market than in the universe", field=f"asset {own.name}")
            if source is self.market:
                return found.replaced(lot=own.lot)
            age = self.now - parse_time(found.time or source.time)
            if own.retired is None and age > MS_PER_SECOND * self.universe.missing_quotes.last_max_age_seconds:
                break
            if own.retired is None:
                self._carry(f"asset {own.name}", "last", source, age)
            return Asset(name=own.name, price=found.price, lot=own.lot, underlying=found.underlying)
        if own.retired is None:
            raise InputError("no price in the market", field=f"asset {own.name}", hint=Hint.EARLIER_MARKET)
        return Asset(name=own.name, price="1", lot=own.lot)  # nobody can hold it: a price that counts for nothing

    def _carry(self, name: str, method: CarryMethod, source: Market, age: int) -> None:
        self.carried.append(Carried(name, method, self.digests[id(source)], age))


T = TypeVar("T", int, Fraction)


def _nearest(ordered: Sequence[T], value: T) -> T:
    """The entry of an ascending list that is nearest to a value, the lower of two."""
    place = bisect_left(ordered, value)
    return min(ordered[max(place - 1, 0) : place + 1], key=lambda own: (abs(own - value), own))


def _text(value: Fraction) -> str:
    units = value * 10**DECIMALS
    return from_units(round_half_away(units.numerator, units.denominator), DECIMALS)


def without_universe(market: Market) -> Completed:
    """A market that fixes its own slots, in its order: nothing is carried. Raises InputError."""
    return Completed(alive(market), (), ())
