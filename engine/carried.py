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

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

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
        smile = self.surface.get((own.underlying, parse_time(own.expiry or "")), {})
        strike = to_fraction(own.strike or "0")
        below = max((k for k in smile if k <= strike), default=None)
        above = min((k for k in smile if k >= strike), default=None)
        if below is None or above is None:
            return None
        (low, first), (high, second) = smile[below], smile[above]
        part = Fraction(0) if above == below else (strike - below) / (above - below)
        return _text(low + (high - low) * part), self.now - min(first, second)

    def _to_stress(self, own: Listing) -> tuple[Market, str, int]:
        for source, instrument, age in self._last(own):
            return source, instrument.implied_vol or "", age
        expiry, strike = parse_time(own.expiry or ""), to_fraction(own.strike or "0")
        near = [
            (abs(at - expiry), abs(k - strike), at, k, vol, time)
            for (underlying, at), smile in self.surface.items()
            if underlying == own.underlying
            for k, (vol, time) in smile.items()
        ]
        if not near:
            raise InputError(
                "no quote in the market, and no vol of its underlying to go by",
                field=own.id,
                hint=Hint.EARLIER_MARKET,
            )
        *_, vol, time = min(near)
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
                for source in self.earlier:
                    for own in source.forwards:
                        age = self.now - parse_time(own.time or source.time)
                        same = (own.underlying, parse_time(own.expiry)) == (underlying, at)
                        if same and age <= MS_PER_SECOND * rule.last_max_age_seconds:
                            before = to_fraction(source.underlying(underlying).index_price)
                            self._carry(name, method, source, age)
                            price = _text(to_fraction(own.price) * index / before)
                            return Forward(underlying=underlying, expiry=expiry, price=price, rate=own.rate)
            elif method == "interpolated":
                quoted = {parse_time(f.expiry): f for f in self.market.forwards if f.underlying == underlying}
                later = min((time for time in quoted if time > at), default=None)
                sooner = max((time for time in quoted if self.now < time < at), default=None)
                if later is None:
                    continue
                start, low = (self.now, Fraction(1)) if sooner is None else (sooner, self._ratio(quoted[sooner]))
                part = Fraction(at - start, later - start)
                used = [quoted[later], *([] if sooner is None else [quoted[sooner]])]
                age = self.now - min(parse_time(f.time or self.market.time) for f in used)
                self._carry(name, method, self.market, age)
                price = _text(index * (low + (self._ratio(quoted[later]) - low) * part))
                return Forward(underlying=underlying, expiry=expiry, price=price, rate=quoted[later].rate)
        raise InputError("missing in the market, and nothing to take it from", field=name, hint=Hint.EARLIER_MARKET)

    def _ratio(self, forward: Forward) -> Fraction:
        return to_fraction(forward.price) / self.index[forward.underlying]

    def _asset(self, own: ListedAsset) -> Asset:
        for source in (self.market, *self.earlier):
            found = next((asset for asset in source.assets if asset.name == own.name), None)
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


def _text(value: Fraction) -> str:
    units = value * 10**DECIMALS
    return from_units(round_half_away(units.numerator, units.denominator), DECIMALS)


def without_universe(market: Market) -> Completed:
    """A market that fixes its own slots, in its order: nothing is carried. Raises InputError."""
    return Completed(alive(market), (), ())
