"""From a market, or imported arrays, and a policy to a snapshot; and back: whether a snapshot is what they give."""

from __future__ import annotations

from typing import Any

import numpy as np

from zkmargin.engine.decimals import parse_time, to_fraction
from zkmargin.engine.exact import place
from zkmargin.engine.market import Market
from zkmargin.engine.policy import Policy, check_domain_size
from zkmargin.engine.publishing.base import publish, publish_arrays, settle
from zkmargin.engine.publishing.greeks import sensitivities
from zkmargin.engine.risk_arrays import RiskArrays, rounded_64
from zkmargin.engine.settlement import alive
from zkmargin.engine.snapshot import CollateralSlot, InstrumentSlot, Layout, Snapshot, whole_digits
from zkmargin.engine.valuation import Valuation, risk_groups
from zkmargin.formats import InputError, IntArray


def build_snapshot(
    market: Market, policy: Policy, *, domain_size: int | None = None, position_bits: int | None = None
) -> Snapshot:
    """Price a market under a policy.

    Args:
        market: the market.
        policy: the policy.
        domain_size: rows per segment instead of the policy's.
        position_bits: bound of positions instead of the policy's; rounded up to whole digits, as every bound is.

    Raises:
        InputError: a stale price, data that is missing or does not fit: names the instrument, asset or field.
    """
    groups, whole = risk_groups(market), len(market.instruments)
    number = {name: group for group, name in enumerate(groups)}
    rest, slots, settled = alive(market)
    rest.refuse_stale(policy.max_price_age_seconds)
    size = check_domain_size(domain_size or policy.layout.domain_size)
    digit = size.bit_length() - 1
    wanted = policy.layout.position_bits if position_bits is None else position_bits
    if not 1 <= wanted <= 60:
        raise InputError("must be from 1 to 60", field="position_bits")
    valuation = Valuation(rest, parts=policy.components, groups=groups)
    collateral = []
    for asset, price in zip(market.assets, valuation.asset_prices, strict=True):
        terms = policy.haircuts.terms(asset.name)
        collateral.append(
            CollateralSlot(
                asset=asset.name,
                lot=asset.lot,
                price=price,
                bits=whole_digits(terms.bits or policy.layout.collateral_bits, digit),
                negative_allowed=terms.negative_allowed,
            )
        )
    published: list[Any] = [publish(part, valuation) for part in policy.components]
    marks, greeks = place(valuation.marks(), slots, whole), sensitivities(valuation)
    if settled:
        published = [
            None if own is None else settle(part, own.placed(slots, whole), settled, valuation)
            for part, own in zip(policy.components, published, strict=True)
        ]
        greeks = greeks.placed(slots, whole)
        for instrument in settled:
            marks[instrument.slot] = valuation.money(instrument.value, instrument.name)
    return Snapshot(
        name=f"{policy.name} {market.time}",
        time=market.time,
        quote=market.quote,
        market_digest=market.digest().hex(),
        policy=policy,
        layout=Layout(
            domain_size=size,
            position_bits=whole_digits(wanted, digit),
            range_proved=policy.layout.range_proved,
        ),
        groups=groups,
        instruments=tuple(
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
            )
            for instrument in market.instruments
        ),
        collateral=tuple(collateral),
        marks=IntArray(marks),
        deltas=IntArray(place(valuation.deltas(), slots, whole)),
        sensitivities=greeks,
        components=tuple(part for part in published if part is not None),
    )


def check_snapshot(snapshot: Snapshot, market: Market) -> None:
    """Rebuild a snapshot from its market, its own policy and layout, and compare digests.

    Raises:
        InputError: names the first part that differs.
    """
    if market.digest().hex() != snapshot.market_digest:
        raise InputError("the snapshot was built from another market", field="market_digest")
    layout = snapshot.layout
    rebuilt = build_snapshot(
        market,
        snapshot.policy,
        domain_size=layout.domain_size,
        position_bits=min(layout.position_bits, 60),
    )
    if rebuilt.digest() == snapshot.digest():
        return
    for field in Snapshot.model_fields:
        if getattr(rebuilt, field) != getattr(snapshot, field):
            raise InputError("differs from what its market and policy give", field=field)
    raise AssertionError("two snapshots with equal fields have different digests")


def build_snapshot_from_arrays(
    arrays: RiskArrays, policy: Policy, *, domain_size: int | None = None, position_bits: int | None = None
) -> Snapshot:
    """The snapshot of imported arrays under a policy, without any pricing.

    Args:
        arrays: imported arrays; ``market_digest`` of the snapshot is their digest.
        policy: components that would have to revalue contracts are refused.
        domain_size, position_bits: as ``engine.snapshot.build_snapshot``.

    Raises:
        InputError: a component that needs prices, or data that is missing: names it.
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
    collateral = []
    for asset, price in zip(arrays.assets, arrays.asset_prices, strict=True):
        terms = policy.haircuts.terms(asset.name)
        collateral.append(
            CollateralSlot(
                asset=asset.name,
                lot=asset.lot,
                price=price,
                bits=whole_digits(terms.bits or policy.layout.collateral_bits, digit),
                negative_allowed=terms.negative_allowed,
            )
        )
    return Snapshot(
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
        arrays, snapshot.policy, domain_size=layout.domain_size, position_bits=min(layout.position_bits, 60)
    )
    for field in Snapshot.model_fields:
        if getattr(rebuilt, field) != getattr(snapshot, field):
            raise InputError("differs from what its arrays and policy give", field=field)
