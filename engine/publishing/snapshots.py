"""From a market, or imported arrays, and a policy to a snapshot; and back: whether a snapshot is what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from zkmargin.engine.carried import complete, without_universe
from zkmargin.engine.decimals import parse_time, to_fraction
from zkmargin.engine.exact import place
from zkmargin.engine.market import Asset, Instrument, Market
from zkmargin.engine.policy import Policy, check_domain_size
from zkmargin.engine.publishing.base import publish, publish_arrays, settle
from zkmargin.engine.publishing.greeks import sensitivities
from zkmargin.engine.publishing.stress import stress_charge
from zkmargin.engine.risk_arrays import RiskArrays, rounded_64
from zkmargin.engine.snapshot import CarriedQuote, CollateralSlot, InstrumentSlot, Layout, Snapshot, whole_digits
from zkmargin.engine.universe import ListedAsset, Listing, Universe
from zkmargin.engine.valuation import Valuation
from zkmargin.formats import InputError, IntArray
from zkmargin.formats.budget import budget


@budget()
def build_snapshot(
    market: Market,
    policy: Policy,
    *,
    universe: Universe | None = None,
    earlier: Sequence[Market] = (),
    domain_size: int | None = None,
    position_bits: int | None = None,
    version: int = 2,
) -> Snapshot:
    """Price a market under a policy.

    Args:
        market: the market.
        policy: the policy.
        universe: fixes the slots, whatever has a quote in the market; without one the market's order does.
        earlier: with a universe, markets of before that last prices may be taken from.
        domain_size: rows per segment instead of the policy's.
        position_bits: bound of positions instead of the policy's; rounded up to whole digits, as every bound is.
        version: of the snapshot's format. Version 1 has weaker slot maps, and is for checking old snapshots.

    Raises:
        InputError: a stale price, data that is missing or does not fit: names the instrument, asset or field.

    Example:
        >>> build_snapshot(market, load_policy("default")) == snapshot
        True
    """
    if universe is None and earlier:
        raise InputError("earlier markets stand in for quotes of a universe, and there is none", field="universe")
    if universe is not None and version < 2:
        raise InputError("a snapshot of a universe is of version 2 or later", field="version")
    completed = without_universe(market) if universe is None else complete(universe, market, earlier)
    (rest, slots, settled), whole = completed.alive, _Slots.of(market, universe)
    rest.refuse_stale(policy.max_price_age_seconds)
    size = check_domain_size(domain_size or policy.layout.domain_size)
    digit = size.bit_length() - 1
    wanted = policy.layout.position_bits if position_bits is None else position_bits
    if not 1 <= wanted <= 60:
        raise InputError("must be from 1 to 60", field="position_bits")
    valuation = Valuation(rest, parts=policy.components, groups=whole.groups)
    prices = zip(rest.assets, valuation.asset_prices, whole.collateral, strict=True)
    collateral = [_collateral(asset, price, policy, digit, own) for asset, price, own in prices]
    published: list[Any] = [publish(part, valuation) for part in policy.components]
    count = len(whole.instruments)
    marks, greeks = place(valuation.marks(), slots, count), sensitivities(valuation)
    if len(slots) < count:
        published = [
            None if own is None else settle(part, own.placed(slots, count), settled, valuation)
            for part, own in zip(policy.components, published, strict=True)
        ]
        greeks = greeks.placed(slots, count)
        for instrument in settled:
            marks[instrument.slot] = valuation.money(instrument.value, instrument.name)
    if universe is not None and completed.stressed:
        published.append(
            stress_charge(valuation, slots, completed.stressed, universe.missing_quotes.stress_bp).placed(slots, count)
        )
    capacities: dict[str, Any] = {}
    later: dict[str, Any] = {"format": f"zkmargin/snapshot/v{version}"}
    if universe is not None:
        capacities = {
            "position_capacity": universe.capacity.positions,
            "collateral_capacity": universe.capacity.collateral,
        }
        later["universe"] = universe.digest().hex()
        later["carried"] = tuple(
            CarriedQuote(id=own.id, method=own.method, source=own.source, age_seconds=own.seconds)
            for own in completed.carried
        )
    return Snapshot(
        **later,
        name=f"{policy.name} {market.time}",
        time=market.time,
        quote=market.quote,
        market_digest=market.digest().hex(),
        policy=policy,
        layout=Layout(
            domain_size=size,
            position_bits=whole_digits(wanted, digit),
            range_proved=policy.layout.range_proved,
            **capacities,
        ),
        groups=whole.groups,
        instruments=whole.instruments,
        collateral=tuple(collateral),
        marks=IntArray(marks),
        deltas=IntArray(place(valuation.deltas(), slots, count)),
        sensitivities=greeks,
        components=tuple(part for part in published if part is not None),
    )


class _Slots(NamedTuple):
    """The slots of a market or a universe: groups, instruments, and what collateral slots have besides their terms."""

    groups: tuple[str, ...]
    instruments: tuple[InstrumentSlot, ...]
    collateral: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, market: Market, universe: Universe | None) -> _Slots:
        own = market.instruments if universe is None else universe.instruments
        groups = tuple(dict.fromkeys(instrument.underlying for instrument in own))
        number = {name: group for group, name in enumerate(groups)}
        instruments = tuple(
            InstrumentSlot(
                id=instrument.id,
                kind=instrument.kind,
                group=number[instrument.underlying],
                underlying=instrument.underlying,
                lot=instrument.lot,
                expiry=instrument.expiry,
                strike=instrument.strike,
                option_type=instrument.option_type,
                settlement=instrument.settlement,
                multiplier=instrument.multiplier,
                **_later(instrument),
            )
            for instrument in own
        )
        assets = market.assets if universe is None else universe.assets
        return cls(groups, instruments, tuple(_later(asset) for asset in assets))


def _later(slot: Instrument | Asset | Listing | ListedAsset) -> dict[str, Any]:
    """What a slot of a universe has, and one of a market (and of version 1) has not."""
    if isinstance(slot, (Listing, ListedAsset)):
        return {"listed": slot.listed, "retired": slot.retired is not None}
    return {}


def _collateral(
    asset: Asset | ListedAsset, price: int, policy: Policy, digit: int, own: Mapping[str, Any]
) -> CollateralSlot:
    """A lot is worth ``price`` money units; bits and sign by the haircuts of the policy, ``own`` by the universe."""
    terms = policy.haircuts.terms(asset.name)
    return CollateralSlot(
        asset=asset.name,
        lot=asset.lot,
        price=price,
        bits=whole_digits(terms.bits or policy.layout.collateral_bits, digit),
        negative_allowed=terms.negative_allowed,
        **own,
    )


def check_snapshot(
    snapshot: Snapshot, market: Market, *, universe: Universe | None = None, earlier: Sequence[Market] = ()
) -> None:
    """Rebuild a snapshot from its market, its own policy and layout, and compare digests.

    Args:
        snapshot: the snapshot.
        market: the market that it says it was built from.
        universe: the universe that it says so of; needed where it names one.
        earlier: the markets that it carried prices from, and perhaps others.

    Raises:
        InputError: names the first part that differs.

    Example:
        >>> check_snapshot(snapshot, market)
    """
    if market.digest().hex() != snapshot.market_digest:
        raise InputError("the snapshot was built from another market", field="market_digest")
    given = None if universe is None else universe.digest().hex()
    if given != snapshot.universe:
        reason = "the snapshot was built from another universe" if given and snapshot.universe else None
        reason = reason or ("built without a universe" if given else "built with a universe, and none is given")
        raise InputError(reason, field="universe")
    layout = snapshot.layout
    rebuilt = build_snapshot(
        market,
        snapshot.policy,
        universe=universe,
        earlier=earlier,
        domain_size=layout.domain_size,
        position_bits=min(layout.position_bits, 60),
        version=snapshot.format_version,
    )
    _refuse_another(snapshot, rebuilt, "market")


@budget()
def build_snapshot_from_arrays(
    arrays: RiskArrays,
    policy: Policy,
    *,
    domain_size: int | None = None,
    position_bits: int | None = None,
    version: int = 2,
) -> Snapshot:
    """The snapshot of imported arrays under a policy, without any pricing.

    Args:
        arrays: imported arrays; ``market_digest`` of the snapshot is their digest.
        policy: components that would have to revalue contracts are refused.
        domain_size, position_bits, version: as ``build_snapshot``.

    Raises:
        InputError: a component that needs prices, or data that is missing: names it.

    Example:
        >>> from zkmargin import import_arrays, load_policy
        >>> arrays = import_arrays("span_demo.spn", "span-xml", lots={"ALPHA": "75", "BETA": "1"})
        >>> build_snapshot_from_arrays(arrays, load_policy("span")).policy.name
        'span'
    """
    size = check_domain_size(domain_size or policy.layout.domain_size)
    digit = size.bit_length() - 1
    bits = policy.layout.position_bits if position_bits is None else position_bits
    if not 1 <= bits <= 60:
        raise InputError("must be from 1 to 60", field="position_bits")
    now = parse_time(arrays.time)
    for asset in arrays.assets:
        if asset.time is not None and now - parse_time(asset.time) > 1000 * policy.max_price_age_seconds:
            raise InputError("its price is older than the policy allows", field=f"asset {asset.name}")
    expired = arrays.expired()
    published: list[Any] = [publish_arrays(part, arrays) for part in policy.components]
    if expired.any():
        published = [None if own is None else own.cleared(expired) for own in published]
    multipliers = [to_fraction(instrument.multiplier) for instrument in arrays.instruments]
    deltas = [
        rounded_64(delta * multiplier, instrument.id)
        for delta, multiplier, instrument in zip(
            np.where(expired, 0, arrays.deltas_per_lot()).tolist(), multipliers, arrays.instruments, strict=True
        )
    ]
    prices = zip(arrays.assets, arrays.asset_prices, strict=True)
    collateral = [_collateral(asset, price, policy, digit, {}) for asset, price in prices]
    return Snapshot(
        format=f"zkmargin/snapshot/v{version}",
        name=f"{policy.name} {arrays.time}",
        time=arrays.time,
        quote=arrays.quote,
        market_digest=arrays.digest().hex(),
        policy=policy,
        layout=Layout(
            domain_size=size, position_bits=whole_digits(bits, digit), range_proved=policy.layout.range_proved
        ),
        groups=arrays.groups,
        instruments=tuple(
            InstrumentSlot(
                id=instrument.id,
                kind=instrument.kind,
                group=group,
                underlying=instrument.underlying,
                lot=instrument.lot,
                expiry=instrument.expiry,
                strike=instrument.strike,
                option_type=instrument.option_type,
                settlement="linear",
                multiplier=instrument.multiplier,
            )
            for instrument, group in zip(arrays.instruments, arrays.group_of, strict=True)
        ),
        collateral=tuple(collateral),
        marks=IntArray(arrays.marks()),
        deltas=IntArray(np.array(deltas, dtype=np.int64)),
        components=tuple(part for part in published if part is not None),
    )


def check_snapshot_of_arrays(snapshot: Snapshot, arrays: RiskArrays) -> None:
    """Rebuild a snapshot from its arrays and its own policy, and compare digests.

    Raises:
        InputError: names the first part that differs.
    """
    if arrays.digest().hex() != snapshot.market_digest:
        raise InputError("the snapshot was built from other arrays", field="market_digest")
    layout = snapshot.layout
    rebuilt = build_snapshot_from_arrays(
        arrays,
        snapshot.policy,
        domain_size=layout.domain_size,
        position_bits=min(layout.position_bits, 60),
        version=snapshot.format_version,
    )
    _refuse_another(snapshot, rebuilt, "arrays")


def _refuse_another(snapshot: Snapshot, rebuilt: Snapshot, source: str) -> None:
    """Raises InputError when the digests differ: names the first field that does, if one does."""
    if rebuilt.digest() == snapshot.digest():
        return
    different = (name for name in Snapshot.model_fields if getattr(rebuilt, name) != getattr(snapshot, name))
    raise InputError(f"differs from what its {source} and policy give", field=next(different, "digest"))
