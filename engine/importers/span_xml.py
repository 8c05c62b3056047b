"""SPAN risk parameter files in XML, version 4.00 (``.spn``), into ``RiskArrays``: nothing is priced.

Paths (CME, "SPAN XML risk parameter file"; NSE Clearing's files have the same):

    spanFile/fileFormat, pointInTime/{date, clearingOrg/{pointDef, ccDef, interSpreads,
      exchange/{phyPf/phy, futPf/fut, oopPf/series/opt, oofPf/series/opt}}}
    every contract: ra/a x 16, ra/d; ccDef: pfLink, intraTiers/tier, somTiers/tier, spotRate, dSpread

What such files do not say, or say in a way that is often misread, and what happens here:

* values are LOSSES of one contract long (positive is a loss), and turned round; a file whose futures gain when prices
  fall is refused;
* scenarios 15 and 16 already hold the covered fraction. It is not applied again, and a future whose extreme value is
  the whole move is refused;
* lot sizes are not in the file: they are given, and only commodities with one are imported;
* every array belongs to its own contract: a series without a period, or an option without its array, is an error, never
  another expiry's array;
* ``riskExponent`` multiplies arrays and rates; ``sc`` multiplies deltas;
* an option on a future has the period of that future; files are Latin-1 unless they say otherwise;
* there are no Greeks but a composite delta.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.span_common import (
    NO_PRICE,
    NOTES,
    SpreadEntry,
    choose_credits,
    currency_assets,
    decimal_text,
    file_time,
    refuse_repeated,
    safe_name,
)
from zkmargin.engine.importers.span_records import (
    FILE_FORMAT,
    WANTED_CONTRACTS,
    WANTED_PARAMETERS,
    Contract,
    Contracts,
    Parameters,
    number_of,
    rate_of,
    side_of,
    whole_of,
)
from zkmargin.engine.importers.xml_stream import Record, read_xml
from zkmargin.engine.risk_arrays import ARRAY_DECIMALS, DELTA, SCENARIOS, ArrayInstrument, RiskArrays
from zkmargin.engine.spread_rules import (
    CalendarLeg,
    CalendarRules,
    CalendarSpread,
    CreditSpread,
    DeliveryRule,
    QuoteAmount,
    Tier,
)
from zkmargin.formats import InputError, IntArray

#: How charges are written: an amount, or a fraction of price risk.
_AMOUNT, _FRACTION = "F", "P"


def read(sources: Sequence[Source], options: Options, left_out: LeftOut) -> RiskArrays:
    """Read a ``.spn`` file in two passes, in bounded memory. Arguments and errors as ``engine.importers.base.Reader``.

    Only commodities with a lot are imported. ``options.rate`` is the rate id (``r``) of arrays and rates to use where
    there are several (``1`` without it), ``options.zone`` the time zone of the file's clock.
    """
    (source,) = sources
    rate = options.rate or "1"
    try:
        first = Parameters(rate, options.lots)
        read_xml(source, first.handlers(), WANTED_PARAMETERS, progress=options.progress, part=0, parts=2)
        first.finish()
        second = Contracts(first, rate)
        read_xml(
            source,
            second.handlers(),
            WANTED_CONTRACTS,
            texts=second.texts(),
            progress=options.progress,
            part=1,
            parts=2,
        )
        return _Arrays(first, second.contracts, rate, left_out).build(options)
    except InputError as error:
        raise error.located(file=source.name) from None


class _Arrays:
    """What the two passes found, as a document."""

    def __init__(self, parameters: Parameters, contracts: list[Contract], rate: str, left_out: LeftOut) -> None:
        self.parameters, self.contracts, self.rate, self.left_out = parameters, contracts, rate, left_out
        self.notes = [*NOTES, *parameters.notes]

    def build(self, options: Options) -> RiskArrays:
        lots, currency = options.lots, self._currency()
        periods = {contract.own: contract.period for contract in self.contracts if contract.kind == "future"}
        instruments, gains, deltas = [], array("q"), []
        scans: dict[str, Fraction] = {}
        seen: dict[str, int] = {}
        names = {name: safe_name(name) for name in self.parameters.commodities}
        self.contracts.reverse()
        while self.contracts:  # each is let go when it is in the document
            contract = self.contracts.pop()
            refuse_repeated(seen, contract.id, contract.line)
            premium = self._premium(contract)
            if premium and contract.price is None:
                self.left_out.add(NO_PRICE, contract.id)
                continue
            exponent = self._exponent(contract.commodity)
            if contract.kind == "future":
                self._check_future(contract, [Fraction(loss, 10**ARRAY_DECIMALS) for loss in contract.losses], exponent)
            scale = to_fraction(contract.scale)
            delta = to_fraction(contract.delta) * scale * DELTA
            if contract.scan is not None and contract.kind == "future" and scale > 0:
                scan = to_fraction(contract.scan) * exponent / scale
                if scan > 0:
                    scans[contract.commodity] = min(scan, scans.get(contract.commodity, scan))
            period = contract.period
            if contract.underlying_contract is not None:
                if contract.underlying_contract not in periods:
                    raise InputError(
                        "its underlying future is not in the file's commodity",
                        field=contract.id,
                        line=contract.line,
                    )
                period = periods[contract.underlying_contract]
            instruments.append(
                ArrayInstrument.model_validate(
                    {
                        "id": contract.id,
                        "kind": contract.kind,
                        "underlying": names[contract.commodity],
                        "period": period,
                        "expiry": contract.expiry,
                        "strike": contract.strike,
                        "option_type": contract.option_type,
                        "multiplier": contract.multiplier,
                        "lot": lots[contract.commodity],
                        "price": contract.price,
                        "premium": premium,
                    }
                )
            )
            gains.extend(-loss for loss in contract.losses)
            deltas.append(round_half_away(delta.numerator, delta.denominator))
        if not instruments:
            raise InputError("no contract of these commodities", field="lots")
        self.notes += [omission.text() for omission in self.left_out.summary()]
        parameters = self.parameters
        time = file_time(parameters.created, parameters.date, parameters.house, options.zone, self.notes)
        return RiskArrays(
            time=time,
            quote=currency,
            source=f"SPAN XML {FILE_FORMAT}, business date {parameters.date}, created {parameters.created}"[:500],
            notes=tuple(self.notes),
            instruments=tuple(instruments),
            gains=IntArray(np.frombuffer(gains, dtype=np.int64).reshape(-1, SCENARIOS).copy()),
            deltas=IntArray(np.array(deltas, dtype=np.int64)),
            short_option_minimums=self._minimums(),
            price_scans={safe_name(name): decimal_text(scan) for name, scan in scans.items()},
            calendars={
                safe_name(name): self._calendar(name, record) for name, record in self.parameters.commodities.items()
            },
            credits=self._credits(),
            assets=currency_assets(currency, options.prices),
        )

    def _currency(self) -> str:
        currencies = {name: record.need("currency") for name, record in self.parameters.commodities.items()}
        if len(set(currencies.values())) != 1:
            listed = ", ".join(f"{name} {currency}" for name, currency in list(currencies.items())[:4])
            raise InputError(f"commodities of several currencies: {listed}", field="<currency>")
        return next(iter(currencies.values()))

    def _exponent(self, commodity: str) -> Fraction:
        return self.parameters.exponent(commodity)

    def _premium(self, contract: Contract) -> bool:
        """Whether the premium was paid up front. Raises InputError for a style that is not known."""
        if contract.kind != "option" or contract.style == "FUT":
            return False
        if contract.style != "EQTY":
            raise InputError(
                f"valuation method {contract.style[:10] or 'missing'}: EQTY (premium paid up front) or FUT are read",
                field=f"<valueMeth> {contract.id}",
                line=contract.line,
            )
        return True

    def _check_future(self, contract: Contract, losses: list[Fraction], exponent: Fraction) -> None:
        """A long future loses when prices fall, and its extreme loss is the covered fraction of k scans."""
        line, where = contract.line, f"<ra> {contract.id}"
        up, down = losses[10], losses[12]
        if down < up:
            raise InputError(
                "a long future gains when prices fall: values are not losses of a long", field=where, line=line
            )
        extreme = self.parameters.extreme()
        if extreme is None or contract.scan is None or to_fraction(contract.scan) == 0 or extreme[1] == 1:
            return
        multiple, part = extreme
        scan = to_fraction(contract.scan) * exponent
        slack = scan / 50 + abs(losses[0]) * (multiple + 1)
        if abs(losses[15] - multiple * scan) <= slack < abs(losses[15] - multiple * part * scan):
            raise InputError(
                "its extreme scenarios hold the whole move: the covered fraction is not applied, as it should be",
                field=where,
                line=line,
            )
        if abs(losses[15] - multiple * part * scan) > slack:
            expected = decimal_text(multiple * part * scan)
            self.notes.append(f"{contract.id}: scenario 16 is {decimal_text(losses[15])}, not about {expected}")

    def _minimums(self) -> dict[str, str]:
        """Short option minimum per contract: the largest of a commodity's tiers."""
        found = {}
        for name, record in self.parameters.commodities.items():
            rates = [rate_of(tier, self.rate) for tier in record.all("somTiers", "tier")]
            given = [to_fraction(rate) for rate in rates if rate is not None]
            found[safe_name(name)] = decimal_text(max(given, default=Fraction(0)) * self._exponent(name))
            if len(set(given)) > 1:
                self.notes.append(f"{name}: several short option minimums: the largest is used for all")
            method = record.text("somMeth")
            if method not in (None, "GROSS") and any(given):
                self.notes.append(f"{name}: short option minimum method {method}: all shorts are counted (GROSS)")
            if (record.text("capAnov") or "0") != "0":
                self.notes.append(f"{name}: the file caps option value at risk (capAnov): not applied")
        return found

    def _calendar(self, name: str, record: Record) -> CalendarRules:
        exponent = self._exponent(name)
        tiers = [
            Tier(number=whole_of(tier, "tn"), first=tier.text("sPe") or None, last=tier.text("ePe") or None)
            for tier in record.all("intraTiers", "tier")
        ]
        spreads = []
        for spread in sorted(record.all("dSpread"), key=lambda s: whole_of(s, "spread", "0")):
            method = spread.text("chargeMeth") or _AMOUNT
            if method != _AMOUNT:
                raise InputError(
                    f"charge method {method[:10]}: {_AMOUNT} (an amount) is read",
                    field="<chargeMeth>",
                    line=spread.line,
                )
            rate = rate_of(spread, self.rate)
            legs = [
                CalendarLeg(period=leg.need("pe"), side=side_of(leg), ratio=number_of(leg, "i"))
                for leg in spread.all("pLeg")
            ]
            legs += [
                CalendarLeg(tier=whole_of(leg, "tn"), side=side_of(leg), ratio=number_of(leg, "i"))
                for leg in spread.all("tLeg")
            ]
            if rate is None or len(legs) < 2:
                raise InputError(
                    f"no rate {self.rate}, or fewer than two legs", field=f"<dSpread> {name}", line=spread.line
                )
            if to_fraction(rate) > 0:
                spreads.append(
                    CalendarSpread(
                        charge=QuoteAmount(amount=decimal_text(to_fraction(rate) * exponent)), legs=tuple(legs)
                    )
                )
        delivery = []
        for spot in record.all("spotRate"):
            if (spot.text("r") or self.rate) != self.rate:
                continue
            pair = [to_fraction(number_of(spot, tag, "0")) for tag in ("sprd", "outr")]
            if pair[0] != pair[1]:
                self.notes.append(
                    f"{name}: delivery rates of spreads and outrights differ: the larger is used for both"
                )
            if max(pair) > 0:
                delivery.append(
                    DeliveryRule(charge=QuoteAmount(amount=decimal_text(max(pair) * exponent)), period=spot.need("pe"))
                )
        return CalendarRules(tiers=tuple(tiers), spreads=tuple(spreads), delivery=tuple(delivery))

    def _credits(self) -> tuple[CreditSpread, ...]:
        entries = []
        for spread in sorted(self.parameters.spreads, key=lambda entry: whole_of(entry, "spread", "0")):
            legs = [*spread.all("tLeg"), *spread.all("pLeg"), *spread.all("sLeg")]
            rate = rate_of(spread, self.rate)
            by_delta = spread.tag == "dSpread" and (spread.text("chargeMeth") or _FRACTION) == _FRACTION
            names = [leg.need("cc") for leg in legs]
            tiers = [
                self.parameters.commodities[n].all("interTiers", "tier")
                for n in names
                if n in self.parameters.commodities
            ]
            entries.append(
                SpreadEntry(
                    label=f"inter-commodity spread {spread.text('spread')}",
                    rate=rate if by_delta else None,
                    legs=tuple(
                        (name, side_of(leg), number_of(leg, "i")) if by_delta else (name, "A", "1")
                        for name, leg in zip(names, legs, strict=True)
                    ),
                    tiered=any(len(tier) > 1 for tier in tiers) or bool(spread.all("pLeg")),
                )
            )
        return tuple(choose_credits(entries, self.parameters.commodities, self.notes))
