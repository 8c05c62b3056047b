"""The market: everything public that prices a book, as exact decimal text.

Prices are in the quote currency per unit of the underlying, vols are fractions (``"0.65"`` is 65 %), rates
are continuously compounded per year. Any price may carry its own ``time``; without one it is as old as the
market. Ages are relative to the market's own time, never to a clock, so a market means the same tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from zkmargin.engine.decimals import MS_PER_SECOND, parse_time, to_fraction
from zkmargin.engine.names import MAX_INSTRUMENTS, Kind, Name, OptionType, Settlement
from zkmargin.formats import Document, InputError, Model, Seq, Since

MAX_VALUE = Fraction(10**15)
MAX_VOL = Fraction(100)
MAX_RATE = Fraction(10)
STALE_SHOWN = 5


class Underlying(Model):
    """An underlying and its index price (quote per unit).

    Here and below ``confidence`` is what an oracle says of its price, from 0 to 1; without one it is not in doubt.
    """

    name: Name
    index_price: str
    confidence: str | None = None
    time: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        where = f"underlying {self.name}"
        _positive(self.index_price, f"{where} index_price")
        _check_confidence(self.confidence, where)
        return self


class Forward(Model):
    """The forward price of an underlying for one expiry, and the rate that discounts linear options to it.

    Attributes:
        name: of a forward that only instruments which name it are priced on, as options on a future that expires later
            than they do: several of one expiry, and on several futures, are one underlying all the same.
    """

    name: Annotated[Name | None, Since(2)] = None
    underlying: Name
    expiry: str
    price: str
    rate: str = "0"
    confidence: str | None = None
    time: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        where = f"forward {self.underlying} {self.expiry[:40]}"
        _check_confidence(self.confidence, where)
        parse_time(self.expiry, field=f"{where} expiry")
        _positive(self.price, f"{where} price")
        if abs(to_fraction(self.rate, field=f"{where} rate")) > MAX_RATE:
            raise InputError(f"outside -{MAX_RATE} to {MAX_RATE} (a fraction per year)", field=f"{where} rate")
        return self


class Instrument(Model):
    """Something that a book holds.

    Attributes:
        multiplier: units of underlying per contract unit; for inverse futures and perpetuals the quote value
            of one contract unit (``"10"`` is 10 USD).
        lot: smallest tradable quantity, in the instrument's own units; books hold whole multiples.
        settlement: ``linear`` pays in the quote currency, ``inverse`` in units of the underlying.
        forward: options and futures: the named forward that it is priced on; without one it is that of its underlying
            and expiry. The option is discounted at its rate.
        implied_vol: options only, a fraction per square root of a year; ``"0"`` (since version 2) is an option that is
            worth its intrinsic value.
        mark_price: futures, perpetuals and spot only, in quote; without one the forward (futures) or the index is used.
        settlement_value: what has expired only: quote that a contract unit still pays, ``"1000.25"`` for a call on 1
            BTC struck at 76000 that was delivered at 77000.25. Of a future ``"0"``: its last variation is a balance.
        confidence: in the vol or the mark.
        time: when the vol or the mark was observed.
    """

    id: Name
    kind: Kind
    underlying: Name
    expiry: str | None = None
    forward: Annotated[Name | None, Since(2)] = None
    strike: str | None = None
    option_type: OptionType | None = None
    implied_vol: str | None = None
    settlement: Settlement = "linear"
    multiplier: str = "1"
    lot: str
    mark_price: str | None = None
    settlement_value: Annotated[str | None, Since(2)] = None
    confidence: str | None = None
    time: str | None = None

    #: What each kind must have; everything else in this set it must not have.
    _NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "option": ("expiry", "strike", "option_type", "implied_vol"),
        "future": ("expiry",),
        "perpetual": (),
        "spot": (),
    }

    @model_validator(mode="after")
    def _check(self) -> Self:
        needs = self._NEEDS[self.kind]
        for name in self._NEEDS["option"]:
            if name in needs and getattr(self, name) is None and not (name == "implied_vol" and self.settled):
                raise InputError(f"missing {name}: every {self.kind} needs one", field=self.id)
            if name not in needs and getattr(self, name) is not None:
                raise InputError(f"a {self.kind} has no {name}", field=self.id)
        if self.kind == "option" and self.mark_price is not None:
            raise InputError("an option has no mark_price: it is computed from its implied_vol", field=self.id)
        if self.kind == "spot" and self.settlement != "linear":
            raise InputError("spot is linear", field=self.id)
        if self.expiry is not None:
            parse_time(self.expiry, field=f"{self.id} expiry")
        for name in ("multiplier", "lot", "strike", "mark_price"):
            value = getattr(self, name)
            if value is not None:
                _positive(value, f"{self.id} {name}")
        self._check_settlement()
        _check_confidence(self.confidence, self.id)
        if self.forward is not None and self.expiry is None:
            raise InputError(f"a {self.kind} has no forward", field=self.id)
        if self.implied_vol is not None:
            vol = to_fraction(self.implied_vol, field=f"{self.id} implied_vol")
            if not 0 <= vol <= MAX_VOL:
                reason = "must not be negative" if vol < 0 else f"above {MAX_VOL} (a fraction, not a percentage)"
                raise InputError(reason, field=f"{self.id} implied_vol")
        return self

    @property
    def without_vol(self) -> bool:
        """Whether its vol is 0: it is worth its intrinsic value."""
        return self.implied_vol is not None and to_fraction(self.implied_vol) == 0

    @property
    def settled(self) -> bool:
        """Whether it has a settlement value, as only something that has expired may."""
        return self.settlement_value is not None

    def expired_at(self, now_ms: int) -> bool:
        """Whether its expiry has come: from that instant on it is worth a fixed amount and hedges nothing."""
        return self.expiry is not None and parse_time(self.expiry) <= now_ms

    def _check_settlement(self) -> None:
        if self.settlement_value is None:
            return
        field = f"{self.id} settlement_value"
        value = to_fraction(self.settlement_value, field=field)
        if self.expiry is None:
            raise InputError(f"a {self.kind} does not expire", field=field)
        if not 0 <= value <= MAX_VALUE:
            raise InputError("must not be negative" if value < 0 else f"above {MAX_VALUE}", field=field)
        if self.kind == "future" and value:
            raise InputError(
                "must be 0 for a future: what it paid at its expiry is a balance, and nothing is left of it",
                field=field,
            )


class Asset(Model):
    """Something that collateral is held in: its price in quote, and the lot that balances are counted in."""

    name: Name
    price: str
    lot: str
    underlying: Name | None = None
    confidence: str | None = None
    time: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        _positive(self.price, f"asset {self.name} price")
        _positive(self.lot, f"asset {self.name} lot")
        _check_confidence(self.confidence, f"asset {self.name}")
        return self


class Market(Document):
    """A market at one time. Order is meaning: instruments keep it as slots, underlyings as risk groups.

    What has expired by the market's time, the instant of expiry included, needs no forward and no vol where it has a
    settlement value. Version 1 has none; a market made in Python is of the lowest version that can say what is in it.

    Raises:
        InputError: a price that is not positive, a name used twice, an instrument without its underlying or
            forward, a price newer than the market, a settlement value before the expiry: names the instrument.

    Example:
        >>> market.instruments[0].id, market.assets[0].name
        ('BTC-SPOT', 'USDC')
        >>> market.underlying("BTC").index_price
        '92416.5'
    """

    FORMAT: ClassVar[str] = "zkmargin/market/v1"
    READS: ClassVar[tuple[str, ...]] = ("zkmargin/market/v2",)

    time: str
    quote: Name = "USD"
    source: str = Field(default="", max_length=500)
    notes: Seq[str] = ()
    underlyings: Seq[Underlying] = Field(max_length=MAX_INSTRUMENTS)
    forwards: Seq[Forward] = Field(default=(), max_length=MAX_INSTRUMENTS)
    instruments: Seq[Instrument] = Field(max_length=MAX_INSTRUMENTS)
    assets: Seq[Asset] = Field(default=(), max_length=MAX_INSTRUMENTS)

    @model_validator(mode="before")
    @classmethod
    def _choose_version(cls, data: Any) -> Any:
        if isinstance(data, dict) and "format" not in data:
            instruments = [i for i in data.get("instruments", ()) if isinstance(i, Instrument)]
            named = any(isinstance(f, Forward) and f.name is not None for f in data.get("forwards", ()))
            newer = named or any(i.settled or i.without_vol or i.forward is not None for i in instruments)
            return {**data, "format": f"zkmargin/market/v{2 if newer else 1}"}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        now = parse_time(self.time, field="time")
        names = _unique((u.name for u in self.underlyings), "underlying")
        for forward in self.forwards:
            if forward.underlying not in names:
                raise InputError("its underlying is not in the market", field=f"forward {forward.underlying}")
        dated = [f for f in self.forwards if f.name is None]
        expiries = [f"{f.underlying} {parse_time(f.expiry)}" for f in dated]
        known = _unique(expiries, "forward of an expiry", (f"forward {f.underlying} {f.expiry}" for f in dated))
        _unique((f.name for f in self.forwards if f.name is not None), "forward")
        _unique((i.id for i in self.instruments), "instrument")
        for instrument in self.instruments:
            if instrument.underlying not in names:
                raise InputError("its underlying is not in the market", field=instrument.id)
            if instrument.settled and not instrument.expired_at(now):
                raise InputError(
                    f"a settlement value before the expiry {instrument.expiry}",
                    field=f"{instrument.id} settlement_value",
                )
            if instrument.without_vol and self.format_version < 2:
                raise InputError("must be above 0 in version 1", field=f"{instrument.id} implied_vol")
            if instrument.forward is not None:
                self._check_forward(instrument)
            elif (
                instrument.expiry is not None
                and not instrument.settled
                and f"{instrument.underlying} {parse_time(instrument.expiry)}" not in known
            ):
                raise InputError(f"missing expiry: no forward for {instrument.expiry}", field=instrument.id)
        _unique((a.name for a in self.assets), "asset")
        for asset in self.assets:
            if asset.underlying is not None and asset.underlying not in names:
                raise InputError("its underlying is not in the market", field=f"asset {asset.name}")
        for where, time in self.price_times():
            if time > now:
                raise InputError("its time is after the market's own time", field=where)
        return self

    def _check_forward(self, instrument: Instrument) -> None:
        """A named forward is of the same underlying, and no earlier than what is priced on it. Raises InputError."""
        forward = self._named.get(instrument.forward or "")
        if forward is None or forward.underlying != instrument.underlying:
            raise InputError(f"no forward {instrument.forward} of its underlying", field=f"{instrument.id} forward")
        if parse_time(forward.expiry) < parse_time(instrument.expiry or ""):
            raise InputError(f"the forward {forward.name} expires before it", field=f"{instrument.id} forward")

    def underlying(self, name: str) -> Underlying:
        """The underlying of that name. Raises InputError."""
        try:
            return self._underlyings[name]
        except KeyError:
            raise InputError("no such underlying in the market", field=f"underlying {name}") from None

    def forward(self, underlying: str, expiry: str) -> Forward:
        """The forward of an underlying for an expiry (times compare by value). Raises InputError."""
        try:
            return self._forwards[underlying, parse_time(expiry)]
        except KeyError:
            raise InputError("no such forward in the market", field=f"forward {underlying} {expiry}") from None

    def forward_of(self, instrument: Instrument) -> Forward:
        """The forward that something with an expiry is priced on. Raises InputError."""
        if instrument.forward is not None and instrument.forward in self._named:
            return self._named[instrument.forward]
        return self.forward(instrument.underlying, instrument.expiry or "")

    def price_times(self) -> Iterator[tuple[str, int]]:
        """Every price with what it belongs to and its time in milliseconds (the market's where it has none)."""
        now = parse_time(self.time)
        labelled: list[tuple[str, str | None]] = [
            *((f"underlying {u.name}", u.time) for u in self.underlyings),
            *((f"forward {f.name or f'{f.underlying} {f.expiry}'}", f.time) for f in self.forwards),
            *((i.id, i.time) for i in self.instruments),
            *((f"asset {a.name}", a.time) for a in self.assets),
        ]
        for where, time in labelled:
            yield where, now if time is None else parse_time(time, field=f"{where} time")

    def refuse_stale(self, max_age_seconds: int) -> None:
        """Check the age of every price against a policy's limit, relative to the market's own time.

        Raises:
            InputError: names the oldest price that is past the limit, and others.
        """
        now = parse_time(self.time)
        stale = [(time, name) for name, time in self.price_times() if now - time > max_age_seconds * MS_PER_SECOND]
        if not stale:
            return
        oldest, where = min(stale)
        seconds = -(-(now - oldest) // MS_PER_SECOND)
        others = [name for _, name in sorted(stale) if name != where]
        more = len(others) - STALE_SHOWN
        listed = ", ".join(others[:STALE_SHOWN]) + (f" and {more} more" if more > 0 else "")
        raise InputError(
            f"its price is {seconds} s older than the market (the policy allows {max_age_seconds} s)"
            + (f"; so are those of {listed}" if others else ""),
            field=where,
        )

    @cached_property
    def _underlyings(self) -> dict[str, Underlying]:
        return {u.name: u for u in self.underlyings}

    @cached_property
    def _forwards(self) -> dict[tuple[str, int], Forward]:
        return {(f.underlying, parse_time(f.expiry)): f for f in self.forwards if f.name is None}

    @cached_property
    def _named(self) -> dict[str, Forward]:
        return {f.name: f for f in self.forwards if f.name is not None}


def _check_confidence(text: str | None, where: str) -> None:
    if text is not None and not 0 <= to_fraction(text, field=f"{where} confidence") <= 1:
        raise InputError("must be between 0 and 1", field=f"{where} confidence")


def _positive(text: str, field: str) -> Fraction:
    value = to_fraction(text, field=field)
    if not 0 < value <= MAX_VALUE:
        raise InputError("must be above 0" if value <= 0 else f"above {MAX_VALUE}", field=field)
    return value


def _unique(keys: Iterable[str], what: str, shown: Iterable[str] | None = None) -> set[str]:
    """The set of the keys; raises InputError on one that appears twice, naming it (as in ``shown``)."""
    keys = list(keys)
    seen: set[str] = set()
    for key, name in zip(keys, shown or keys, strict=True):
        if key in seen:
            raise InputError(f"the {what} appears twice", field=name)
        seen.add(key)
    return seen
