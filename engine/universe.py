"""A universe: which slots there are and what is in each, apart from any quote.

A snapshot of a market alone takes its slots from the market, so a ticker without a quote would move every slot behind
it and void every commitment. A universe fixes them. It is a chain of editions: an edition lists new contracts behind
the last one, or retires some that were delisted, and never touches a slot otherwise. A commitment made under one
edition is one under all later ones, until the capacity is used up or somebody wants the slots cleaned: then a new
universe begins, and ``migrate`` carries a book over.

    spare     behind the last slot, up to the capacity: no book can hold one, the proof forces it to zero
    listed    a contract; from its expiry on it is carried at its settlement value (``engine.settlement``)
    retired   delisted: forced to zero by the proof's selector, and never used again within the universe, so that a
              stale hidden position can never become another contract
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zkmargin.engine.decimals import MS_PER_SECOND, format_time, parse_time, to_fraction
from zkmargin.engine.market import Instrument, Market
from zkmargin.engine.names import MAX_INSTRUMENTS, Kind, Name, OptionType, Settlement
from zkmargin.formats import Digest, Document, Hint, InputError, Model, PlainName, Seq

MAX_ASSETS = 1 << 12
MAX_EDITIONS = MAX_INSTRUMENTS
#: What an instrument without a quote is carried at, see ``engine.carried``.
QuoteMethod = Literal["last", "interpolated", "stressed"]

_TERMS = ("kind", "underlying", "expiry", "strike", "option_type", "settlement", "multiplier", "lot")
Edition = Annotated[int, Field(ge=0, lt=MAX_EDITIONS)]


class Listing(Model):
    """A contract: the terms of ``engine.market.Instrument`` without any price.

    Attributes:
        listed: the edition that lists it.
        retired: the edition that retires it; None while it is listed.
    """

    id: Name
    kind: Kind
    underlying: Name
    expiry: str | None = None
    strike: str | None = None
    option_type: OptionType | None = None
    settlement: Settlement = "linear"
    multiplier: str = "1"
    lot: str
    listed: Edition = 0
    retired: Edition | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        vol = "1" if self.kind == "option" else None
        Instrument(**{name: getattr(self, name) for name in ("id", *_TERMS)}, implied_vol=vol)
        if self.retired is not None and self.retired <= self.listed:
            raise InputError("retired before it was listed", field=self.id)
        return self

    @classmethod
    def of(cls, instrument: Instrument, edition: int) -> Listing:
        """What a market's instrument is, listed by an edition."""
        return cls(**{name: getattr(instrument, name) for name in ("id", *_TERMS)}, listed=edition)

    def refuse_another(self, instrument: Instrument) -> None:
        """Check the terms of a market's instrument of this name. Raises InputError: names the first that differs."""
        for term in _TERMS:
            mine, its = getattr(self, term), getattr(instrument, term)
            if term in ("strike", "multiplier", "lot") and None not in (mine, its):
                mine, its = to_fraction(mine), to_fraction(its)
            elif term == "expiry" and None not in (mine, its):
                mine, its = parse_time(mine), parse_time(its)
            if mine != its:
                raise InputError(f"another {term} in the market than in the universe", field=self.id)


class ListedAsset(Model):
    """Something that collateral is held in, and the lot that it is counted in."""

    name: Name
    lot: str
    listed: Edition = 0
    retired: Edition | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if to_fraction(self.lot, field=f"asset {self.name} lot") <= 0:
            raise InputError("must be above 0", field=f"asset {self.name} lot")
        if self.retired is not None and self.retired <= self.listed:
            raise InputError("retired before it was listed", field=f"asset {self.name}")
        return self


class Capacity(Model):
    """Slots that commitments have room for, used ones included: listings take spare ones."""

    positions: int = Field(ge=1, le=MAX_INSTRUMENTS)
    collateral: int = Field(ge=1, le=MAX_ASSETS)


class MissingQuotes(Model):
    """What an instrument without a quote is carried at: the first of the methods that has something to go by.

    Attributes:
        methods: in order. ``last``: the vol of an earlier market; ``interpolated``: linear in the strike between the
            nearest quoted strikes of the expiry, never beyond them; ``stressed``: the last or the nearest vol, and
            a charge on both sides of a position for what the option would be worth ``stress_bp`` away.
        last_max_age_seconds: how old the last quote may be.
        stress_bp: the relative move of a stressed vol, up against shorts and down against longs.
    """

    methods: Seq[QuoteMethod] = Field(default=("last", "interpolated", "stressed"), max_length=3)
    last_max_age_seconds: int = Field(default=3_600, ge=1, le=31_622_400)
    stress_bp: int = Field(default=5_000, ge=1, le=10_000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.methods)) != len(self.methods):
            raise InputError("a method twice", field="missing_quotes.methods")
        return self


class Universe(Document):
    """One edition.

    Attributes:
        edition: 0 for the first; each next one adds 1.
        previous: digest of the edition before, hex; None for the first.
        time: when it came into force.
        capacity: fixed for good, like ``name``, ``quote`` and the rules.
        delist_after_seconds: how long after its expiry an instrument is carried at its settlement value at least.
        missing_quotes: the rule for instruments without a quote.
        instruments, assets: slots in their order.

    Raises:
        InputError: a name twice, an order that is not that of listing, more slots than the capacity.

    Example:
        >>> first = Universe.create(market.replaced(instruments=market.instruments[:-1]), "desk")
        >>> second = first.updated(market)
        >>> second.edition, len(second.instruments) - len(first.instruments)
        (1, 1)
    """

    FORMAT: ClassVar[str] = "zkmargin/universe/v1"

    name: PlainName = Field(min_length=1, max_length=200)
    quote: Name = "USD"
    edition: Edition = 0
    previous: Digest | None = None
    time: str
    capacity: Capacity
    delist_after_seconds: int = Field(default=86_400, ge=0, le=31_622_400)
    missing_quotes: MissingQuotes = MissingQuotes()
    instruments: Seq[Listing] = Field(max_length=MAX_INSTRUMENTS)
    assets: Seq[ListedAsset] = Field(max_length=MAX_ASSETS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        parse_time(self.time, field="time")
        if (self.previous is None) != (self.edition == 0):
            raise InputError("the first edition has none, every other has one", field="previous")
        for what, names, slots, capacity in (
            ("instruments", [slot.id for slot in self.instruments], self.instruments, self.capacity.positions),
            ("assets", [slot.name for slot in self.assets], self.assets, self.capacity.collateral),
        ):
            if len(set(names)) != len(names):
                raise InputError("a name appears twice: what was retired is never listed again", field=what)
            listings = [slot.listed for slot in slots]
            if listings != sorted(listings):
                raise InputError("a slot of an earlier edition behind one of a later", field=what)
            latest = max((edition for slot in slots for edition in (slot.listed, slot.retired or 0)), default=0)
            if latest > self.edition:
                raise InputError(f"a slot of edition {latest} in edition {self.edition}", field=what)
            if len(slots) > capacity:
                raise InputError(f"{len(slots)} slots, more than the capacity of {capacity}", field=what)
        return self

    def follows(self, earlier: Universe) -> None:
        """Check that this is a later edition of the same universe: slots are added behind and retired, nothing else.

        ``earlier`` may be several editions back; then only that which it holds is compared.

        Raises:
            InputError: names the first slot or field that changed.
        """
        for field in ("name", "quote", "capacity", "delist_after_seconds", "missing_quotes"):
            if getattr(self, field) != getattr(earlier, field):
                raise InputError("changed: it is another universe", field=field)
        if self.edition <= earlier.edition:
            raise InputError(f"edition {self.edition} does not come after edition {earlier.edition}", field="edition")
        if self.edition == earlier.edition + 1 and self.previous != earlier.digest().hex():
            raise InputError("not the digest of the edition before", field="previous")
        if parse_time(self.time) < parse_time(earlier.time):
            raise InputError("before the time of the edition before", field="time")
        kinds: tuple[tuple[str, Sequence[Listing | ListedAsset], Sequence[Listing | ListedAsset]], ...] = (
            ("instruments", earlier.instruments, self.instruments),
            ("assets", earlier.assets, self.assets),
        )
        for what, before, after in kinds:
            if len(after) < len(before):
                raise InputError("a slot is gone: slots are retired, never removed", field=what)
            for mine, own in zip(before, after, strict=False):
                retired_now = mine.retired is None and own.retired is not None and own.retired > earlier.edition
                if own != (mine.replaced(retired=own.retired) if retired_now else mine):
                    raise InputError("a slot that was listed has changed", field=_name(mine))
            for own in after[len(before) :]:
                if own.listed <= earlier.edition:
                    raise InputError("a new slot of an edition before this one", field=_name(own))

    def updated(self, market: Market, *, retire: Sequence[str] = ()) -> Universe:
        """The next edition: what the market lists is listed, what expired long enough ago is retired.

        Args:
            market: lists instruments and assets that the universe may not have yet, in its order; its time counts.
            retire: further names to retire: perpetuals that were delisted, assets that are no longer taken.

        Raises:
            InputError: nothing to do, no room, a name that was retired before, or that stands for another contract.
        """
        if market.quote != self.quote:
            raise InputError(f"prices in {market.quote}, the universe has {self.quote}", field="quote")
        now, edition = parse_time(market.time), self.edition + 1
        if now < parse_time(self.time):
            raise InputError("before the edition that it shall follow", field="time")
        unknown = set(retire) - {slot.id for slot in self.instruments} - {slot.name for slot in self.assets}
        if unknown:
            raise InputError("not in the universe", field=min(unknown)[:80])
        known = {slot.id: slot for slot in self.instruments}
        added = []
        for instrument in market.instruments:
            own = known.get(instrument.id)
            if own is not None:
                own.refuse_another(instrument)
                if own.retired is not None and not instrument.expired_at(now):
                    raise InputError("was retired: its name and slot are never used again", field=own.id)
            elif not instrument.expired_at(now):
                added.append(Listing.of(instrument, edition))
        instruments = [
            slot.replaced(retired=edition) if slot.retired is None and self._gone(slot, now, retire) else slot
            for slot in self.instruments
        ]
        held = {slot.name for slot in self.assets}
        assets = [
            slot.replaced(retired=edition) if slot.retired is None and slot.name in retire else slot
            for slot in self.assets
        ]
        fresh = [ListedAsset(name=a.name, lot=a.lot, listed=edition) for a in market.assets if a.name not in held]
        if (
            len(instruments) + len(added) > self.capacity.positions
            or len(assets) + len(fresh) > self.capacity.collateral
        ):
            raise InputError(
                f"{len(added)} listings and {len(fresh)} assets, and room for "
                f"{self.capacity.positions - len(instruments)} and {self.capacity.collateral - len(assets)}",
                field="capacity",
                hint=Hint.NEW_UNIVERSE,
            )
        changed = ((*instruments, *added), (*assets, *fresh))
        if changed == (self.instruments, self.assets):
            raise InputError("nothing to list and nothing to retire", field="market")
        return self.replaced(
            edition=edition,
            previous=self.digest().hex(),
            time=market.time,
            instruments=changed[0],
            assets=changed[1],
        )

    def _gone(self, slot: Listing, now: int, retire: Sequence[str]) -> bool:
        if slot.id in retire:
            if slot.expiry is not None and parse_time(slot.expiry) + self._delay > now:
                raise InputError(
                    f"is carried until {format_time(parse_time(slot.expiry) + self._delay)} at least", field=slot.id
                )
            return True
        return slot.expiry is not None and parse_time(slot.expiry) + self._delay <= now

    @property
    def _delay(self) -> int:
        return self.delist_after_seconds * MS_PER_SECOND

    @classmethod
    def create(
        cls,
        market: Market,
        name: str,
        *,
        capacity: Capacity | None = None,
        delist_after_seconds: int = 86_400,
        missing_quotes: MissingQuotes | None = None,
    ) -> Universe:
        """The first edition: the instruments and assets of a market that have not expired, in its order.

        Args:
            market: what there is now.
            name: of the universe, for people.
            capacity: slots in all; without one, half as many again as there are now, and four spare assets at least.

        Raises:
            InputError: more than the capacity holds.
        """
        now = parse_time(market.time)
        listed = tuple(Listing.of(i, 0) for i in market.instruments if not i.expired_at(now))
        assets = tuple(ListedAsset(name=a.name, lot=a.lot) for a in market.assets)
        if capacity is None:
            capacity = Capacity(
                positions=min(len(listed) + max(len(listed) // 2, 16), MAX_INSTRUMENTS),
                collateral=min(len(assets) + max(len(assets) // 2, 4), MAX_ASSETS),
            )
        return cls(
            name=name,
            quote=market.quote,
            time=market.time,
            capacity=capacity,
            delist_after_seconds=delist_after_seconds,
            missing_quotes=missing_quotes or MissingQuotes(),
            instruments=listed,
            assets=assets,
        )


def _name(slot: Listing | ListedAsset) -> str:
    return slot.id if isinstance(slot, Listing) else f"asset {slot.name}"
