"""SPAN risk parameter files in the expanded unpacked format (``.pa2``), into ``RiskArrays``: nothing is priced.

Columns are those of CME's layout pages, "Risk Parameter File Layouts for the Positional Formats", expanded format, of
record types 0, 1 (only that it begins an exchange's records), 2, 3, 4 (short option minimum), 6, 81/82, B, C, E, P and
S; counted from 1, both ends included. Types 5 and T are of no consequence for a single currency and are passed over.
Any other type is refused by name, unless the caller says that it may be ignored.

Traps of the format, and what happens here:

* an array value is five digits, then its sign; positive is a loss of one contract long (turned round);
* a contract is an 81 and an 82 line; its identity needs the day or week codes of both months;
* a settlement of all nines is no price; with the flag Y the price is in the 14-digit field;
* CBT prices end in eighths of a tick (alignment 0), of a 32nd (C) or a 64th (K);
* the risk exponent of type 2 multiplies arrays and charges; type B scales deltas;
* lines lose their trailing blanks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from zkmargin.engine.decimals import to_units
from zkmargin.engine.exact import round_half_away
from zkmargin.engine.importers.base import LeftOut, Options
from zkmargin.engine.importers.pa2_records import (
    TICKS,
    Line,
    aligned,
    exponent,
    locator,
    price_of,
    read_lines,
    series_key,
    side_of,
)
from zkmargin.engine.importers.source import Source
from zkmargin.engine.importers.span_common import (
    MAX_CONTRACTS,
    NO_PRICE,
    NOTES,
    SpreadEntry,
    choose_credits,
    currency_assets,
    decimal_text,
    file_time,
    refuse_repeated,
    refuse_unknown,
    safe_name,
)
from zkmargin.engine.risk_arrays import ARRAY_DECIMALS, DELTA, ArrayInstrument, RiskArrays
from zkmargin.engine.spread_rules import CalendarLeg, CalendarRules, CalendarSpread, QuoteAmount, Tier
from zkmargin.formats import InputError, IntArray

FILE_FORMAT = "U2"
PASSED_OVER = ("1 ", "5 ", "T ")
READ = ("0 ", "2 ", "3 ", "4 ", "6 ", "81", "82", "B ", "C ", "E ", "P ", "S ")
_SERIES_B = ((3, 5), (6, 15), (16, 18), (19, 24), (25, 26), (28, 33), (34, 35))
_SERIES_8 = ((3, 5), (6, 15), (26, 28), (30, 35), (36, 37), (39, 44), (45, 46))
OPTIONS = ("OOF", "OOP", "OOC")
_IDENTITY = ((3, 5), (6, 15), (26, 28), (29, 29), (30, 35), (36, 37), (39, 44), (45, 46), (48, 54))


@dataclass(slots=True)
class Commodity:
    """A combined commodity of an exchange, and its parameters.

    ``name`` is what it is called here: its code, or exchange and code where it was asked for so.
    """

    exchange: str
    code: str
    name: str
    currency: str
    exponent: Fraction
    premium: bool
    families: set[tuple[str, str, str]] = field(default_factory=set)
    tiers: list[Tier] = field(default_factory=list)
    series: list[tuple[int, CalendarSpread]] = field(default_factory=list)
    tiered: list[tuple[int, CalendarSpread]] = field(default_factory=list)
    minimum: Fraction = Fraction(0)
    scan: Fraction | None = None
    inter_tiers: bool = False
    scanned: int = 0

    def refuse_another(self, other: Commodity) -> None:
        """A further type 2 record may list more products of a commodity, and nothing else. Raises InputError."""
        for what, mine, its in (
            ("currencies", self.currency, other.currency),
            ("risk exponents", self.exponent, other.exponent),
            ("option margin styles", self.premium, other.premium),
        ):
            if mine != its:
                raise InputError(
                    f"a combined commodity of two {what}, {mine} and {its}: its arrays must not become one commodity's",
                    field=f"type 2 {self.code}",
                    hint="the file contradicts itself: ask its clearing house",
                )


def read(sources: Sequence[Source], options: Options, left_out: LeftOut) -> RiskArrays:
    """Read a ``.pa2`` file. Arguments and errors as ``engine.importers.base.Reader``.

    Only commodities with a lot are imported. ``options.ignore`` names record types that are not read and may be passed
    over all the same, such as ``V``; ``4`` passes over delivery charges alone.
    """
    (source,) = sources
    reader = _Reader(options, left_out)
    try:
        for line in read_lines(source, options.progress):
            try:
                reader.take(line)
            except InputError as error:
                raise error.located(line=line.number) from None
        return reader.build()
    except InputError as error:
        raise error.located(file=source.name) from None


class _Reader:
    def __init__(self, options: Options, left_out: LeftOut) -> None:
        self._options, self._left_out = options, left_out
        self._lots, self._ignore = options.lots, {kind.strip() for kind in options.ignore}
        self._date = self._created = self._house = ""
        self._held: dict[str, dict[str, Commodity]] = defaultdict(dict)  # by code, then by exchange
        self._commodities: dict[str, Commodity] = {}  # that are imported, by what they are called here
        self._block: dict[str, set[str]] = defaultdict(set)  # since the last type 1: exchanges by code
        self._count = 0
        self._owner: dict[tuple[str, str, str], Commodity] = {}
        self._prices: dict[tuple[str, ...], Line] = {}
        self._series: dict[tuple[str, ...], Line] = {}
        self._first: Line | None = None
        self._pairs: list[tuple[Line, Line, Commodity]] = []
        self._spreads: list[tuple[int, SpreadEntry]] = []
        self._notes = list(NOTES)
        self._passed: dict[str, int] = defaultdict(int)

    def take(self, line: Line) -> None:
        """One record. Raises InputError."""
        kind = line.text[:2].ljust(2)
        if not self._date and kind != "0 ":
            raise InputError("the first record is no type 0: not an expanded-format SPAN file", line=line.number)
        if self._first is not None and kind != "82":
            raise InputError("an 81 record without its 82", line=self._first.number)
        if kind == "1 ":
            self._block.clear()
        if kind in PASSED_OVER or (kind not in READ and kind.strip() in self._ignore):
            self._passed[kind.strip()] += 1
            return
        if kind not in READ:
            raise InputError(
                f"record type {kind.strip()}: not read here",
                field="record type",
                line=line.number,
                hint="the types that are read: " + ", ".join(k.strip() for k in READ),
            )
        match kind:
            case "0 ":
                self._header(line)
            case "2 ":
                self._commodity(line)
            case "P ":
                self._keep(self._prices, (line.at(3, 5), line.at(6, 15), line.at(16, 18)), line)
            case "B ":
                # type 2 comes first in an exchange's records: what belongs to no chosen commodity then never will
                if not self._held or (line.at(3, 5), line.at(6, 15), line.at(16, 18)) in self._owner:
                    self._keep(self._series, series_key(line, _SERIES_B), line)
            case "6 ":
                self._inter(line)
            case "81":
                self._first = line
            case "82":
                self._pair(line)
            case _:
                commodity = self._of_code(line)
                if commodity is not None:
                    {"3 ": self._tiers, "4 ": self._minimum, "C ": self._tier_spread, "E ": self._series_spread}.get(
                        kind, self._scanning
                    )(line, commodity)

    def _keep(self, records: dict[tuple[str, ...], Line], key: tuple[str, ...], line: Line) -> None:
        """Hold a record for the contracts that come later. Raises InputError for more than any file has."""
        records[key] = line
        if len(records) > MAX_CONTRACTS:
            kind = line.text[:2].strip()
            raise InputError(f"more than {MAX_CONTRACTS} records of type {kind}", line=line.number)

    def _header(self, line: Line) -> None:
        if line.at(36, 37) != FILE_FORMAT:
            raise InputError(
                f'file format "{line.at(36, 37)}": this program reads {FILE_FORMAT} (expanded, unpacked)',
                field="type 0 columns 36-37",
                line=line.number,
            )
        self._date = line.at(9, 16)
        if not re.fullmatch(r"[0-9]{8}", self._date):
            raise InputError("not a date CCYYMMDD", field="type 0 columns 9-16", line=line.number)
        self._house, self._created = line.at(3, 8), line.at(24, 35)

    def _commodity(self, line: Line) -> None:
        exchange, code = line.at(3, 5), line.at(7, 12)
        name = f"{exchange}:{code}" if f"{exchange}:{code}" in self._lots else code
        self._block[code].add(exchange)
        style = line.at(18, 18) or "P"
        own = Commodity(exchange, code, name, line.at(14, 16), Fraction(10) ** line.whole(13, 13), style == "P")
        if exchange not in self._held[code]:
            self._count += 1
            if self._count > MAX_CONTRACTS:
                raise InputError(f"more than {MAX_CONTRACTS} combined commodities", line=line.number)
        commodity = self._held[code].setdefault(exchange, own)
        if name not in self._lots:
            return
        self._refuse_code_alone(code)
        if style not in ("P", "F"):
            raise InputError(
                f"option margin style {style}: P or F are read", field="type 2 column 18", line=line.number
            )
        self._commodities[name] = commodity
        commodity.refuse_another(own)
        for k in range(6):
            product = line.at(23 + 16 * k, 32 + 16 * k)
            if product:
                if line.whole(36 + 16 * k, 36 + 16 * k):
                    raise InputError(
                        "arrays with a decimal locator of their own (types 83 and 84) are not read",
                        field=f"type 2 {product}",
                        line=line.number,
                    )
                key = (line.at(3, 5), product, line.at(33 + 16 * k, 35 + 16 * k))
                commodity.families.add(key)
                self._owner[key] = commodity

    def _refuse_code_alone(self, code: str) -> None:
        """Raises InputError: a code of two exchanges that was asked for without its exchange."""
        if code in self._lots and len(self._held[code]) > 1:
            listed = " and ".join(sorted(self._held[code]))
            example = f"{min(self._held[code])}:{code}"
            raise InputError(
                f"a combined commodity of two exchanges, {listed}: its arrays must not become one commodity's",
                field=f"type 2 {code}",
                hint=f"name the exchange too: {example} in place of {code}",
            )

    def _of_code(self, line: Line) -> Commodity | None:
        """The commodity of a record that holds a code alone; None for one that is not asked for.

        Raises:
            InputError: its block (from a type 1 record on) has two commodities of the code, or none of several.
        """
        code = line.at(3, 8)
        known = self._held.get(code, {})
        if not any(own.name in self._lots for own in known.values()):
            return None
        here = self._block[code]
        if len(known) > 1 and len(here) != 1:
            listed = " and ".join(sorted(known))
            raise InputError(
                f"the code is of {listed}, and nothing in the file says whose record this is",
                field=f"type {line.text[:1]} {code}",
                line=line.number,
                hint="take the commodity's records from a file of one exchange",
            )
        commodity = known[next(iter(here or known))]
        if line.text[:1] == "S":
            commodity.scanned += 1
        return commodity if commodity.name in self._lots else None

    def _check_owners(self) -> None:
        """Raises InputError: commodities of one code without exactly one record of type S each."""
        for commodity in self._commodities.values():
            for other in self._held[commodity.code].values():
                if len(self._held[commodity.code]) > 1 and other.scanned != 1:
                    raise InputError(
                        f"{other.scanned} records of type S for {other.exchange}, of {len(self._held[commodity.code])} "
                        "exchanges with the code: whose records are whose cannot be told",
                        field=f"type S {commodity.code}",
                        hint="take the commodity's records from a file of one exchange",
                    )

    def _tiers(self, line: Line, commodity: Commodity) -> None:
        for k in range(4):
            number = line.whole(11 + 14 * k, 12 + 14 * k)
            if number:
                first, last = line.at(13 + 14 * k, 18 + 14 * k), line.at(19 + 14 * k, 24 + 14 * k)
                commodity.tiers.append(Tier(number=number, first=first or None, last=last or None))

    def _minimum(self, line: Line, commodity: Commodity) -> None:
        if line.at(9, 10) not in ("", "01") and "4" not in self._ignore:
            raise InputError(
                f"delivery charges by method {line.at(9, 10)} are not read",
                field=f"type 4 {commodity.code}",
                line=line.number,
                hint="pass type 4 over to import without them",
            )
        commodity.minimum = max(commodity.minimum, line.whole(63, 69) * commodity.exponent)
        if line.at(79, 79) == "1":
            self._notes.append(
                f"{commodity.code}: the minimum is on the greater of short calls and puts: all are counted"
            )

    def _scanning(self, line: Line, commodity: Commodity) -> None:
        method = line.at(9, 10)
        if method == "30":
            rates = [line.whole(104 + 7 * k, 110 + 7 * k) for k in range(5)]
            commodity.minimum = max(commodity.minimum, max(rates) * commodity.exponent)
        elif method in ("20", "23"):
            commodity.inter_tiers = True
        elif method != "01":
            raise InputError(
                f"scanning by tiers (method {method}) is not read", field=f"type S {commodity.code}", line=line.number
            )

    def _tier_spread(self, line: Line, commodity: Commodity) -> None:
        legs = []
        for k in range(8):
            if line.whole(22 + 7 * k, 23 + 7 * k):
                tier, ratio = line.whole(24 + 7 * k, 25 + 7 * k), line.whole(26 + 7 * k, 27 + 7 * k)
                legs.append(CalendarLeg(tier=tier, ratio=str(ratio), side=side_of(line, 28 + 7 * k)))
        self._add_spread(line, commodity.tiered, line.whole(11, 12), line.whole(15, 21) * commodity.exponent, legs)

    def _series_spread(self, line: Line, commodity: Commodity) -> None:
        legs = []
        for k in range(4):
            month = line.at(21 + 14 * k, 24 + 14 * k)
            if month:
                period = f"20{month}{line.at(25 + 14 * k, 26 + 14 * k)}"
                ratio = decimal_text(Fraction(line.whole(28 + 14 * k, 33 + 14 * k), 10**4))
                legs.append(CalendarLeg(period=period, ratio=ratio, side=side_of(line, 34 + 14 * k)))
        self._add_spread(line, commodity.series, line.whole(9, 13), line.whole(14, 20) * commodity.exponent, legs)

    def _add_spread(
        self,
        line: Line,
        spreads: list[tuple[int, CalendarSpread]],
        priority: int,
        charge: Fraction,
        legs: list[CalendarLeg],
    ) -> None:
        if len(legs) < 2:
            raise InputError("fewer than two legs", field=f"type {line.text[:1]}", line=line.number)
        if charge:
            amount = QuoteAmount(amount=decimal_text(charge))
            spreads.append((priority, CalendarSpread(charge=amount, legs=tuple(legs))))

    def _inter(self, line: Line) -> None:
        legs = []
        for k in range(4):
            code = line.at(21 + 18 * k, 26 + 18 * k)
            if code:
                deltas = decimal_text(Fraction(line.whole(27 + 18 * k, 33 + 18 * k), 10**4))
                with_exchange = f"{line.at(17 + 18 * k, 19 + 18 * k)}:{code}"
                legs.append(
                    (with_exchange if with_exchange in self._lots else code, side_of(line, 34 + 18 * k), deltas)
                )
        # percent with four decimals, so a fraction with six
        rate = line.whole(10, 16)
        stated = line.at(89, 90) in ("", "01") and 0 < rate <= 10**6 and len(legs) > 1
        label = f"inter-commodity spread {line.at(6, 9)}"
        if any(code not in self._lots for code, _, _ in legs):
            return  # a spread with a leg that is not imported cannot be formed
        entry = SpreadEntry(label, decimal_text(Fraction(rate, 10**6)) if stated else None, tuple(legs))
        self._spreads.append((line.whole(6, 9), entry))

    def _pair(self, second: Line) -> None:
        first, self._first = self._first, None
        if first is None:
            raise InputError("an 82 record without its 81", line=second.number)
        if any(first.at(*columns) != second.at(*columns) for columns in _IDENTITY):
            raise InputError("an 82 record of another contract than the 81 before it", line=second.number)
        commodity = self._owner.get((first.at(3, 5), first.at(6, 15), first.at(26, 28)))
        if commodity is not None:
            if len(self._pairs) >= MAX_CONTRACTS:
                raise InputError(f"more than {MAX_CONTRACTS} contracts: import fewer commodities", field="lots")
            self._pairs.append((first, second, commodity))

    def build(self) -> RiskArrays:
        """The document. Raises InputError."""
        named = {own.name for found in self._held.values() for own in found.values()}
        refuse_unknown(self._lots, named | {code for code in self._held if code in self._lots})
        for code in self._held:
            self._refuse_code_alone(code)
        self._check_owners()
        currencies = {commodity.currency for commodity in self._commodities.values()}
        if len(currencies) != 1:
            raise InputError(f"commodities of several currencies: {', '.join(sorted(currencies))}", field="type 2")
        instruments, gains, deltas = [], [], []
        seen: dict[str, int] = {}
        for first, second, commodity in self._pairs:
            try:
                contract = self._contract(first, second, commodity)
            except InputError as error:
                raise error.located(line=first.number) from None
            if contract is None:
                continue
            refuse_repeated(seen, contract.id, first.number)
            instruments.append(contract)
            values = [first.signed(55 + 6 * k, 59 + 6 * k) for k in range(9)]
            values += [second.signed(55 + 6 * k, 59 + 6 * k) for k in range(7)]
            gains.append([-to_units(decimal_text(v * commodity.exponent), ARRAY_DECIMALS) for v in values])
            scale = Fraction(self._series_of(first).whole(86, 91) or 10**4, 10**4)
            delta = Fraction(second.signed(97, 101), 10**4) * scale * DELTA
            deltas.append(round_half_away(delta.numerator, delta.denominator))
        if not instruments:
            raise InputError("no contract of these commodities", field="lots")
        self._notes += [omission.text() for omission in self._left_out.summary()]
        if self._passed:
            listed = ", ".join(f"{kind} ({count})" for kind, count in sorted(self._passed.items()))
            self._notes.append(f"record types passed over: {listed}")
        entries = [
            entry._replace(
                tiered=any(self._commodities[leg[0]].inter_tiers for leg in entry.legs if leg[0] in self._commodities)
            )
            for _, entry in sorted(self._spreads, key=lambda item: item[0])
        ]
        chosen = choose_credits(entries, self._commodities, self._notes)
        used = self._commodities.values()
        return RiskArrays(
            time=file_time(self._created, self._date, self._house, self._options.zone, self._notes),
            quote=currencies.pop(),
            source=f"SPAN {FILE_FORMAT}, business date {self._date}, created {self._created}"[:500],
            notes=tuple(self._notes),
            instruments=tuple(instruments),
            gains=IntArray(np.array(gains, dtype=np.int64)),
            deltas=IntArray(np.array(deltas, dtype=np.int64)),
            short_option_minimums={safe_name(c.name): decimal_text(c.minimum) for c in used},
            price_scans={safe_name(c.name): decimal_text(c.scan) for c in used if c.scan},
            calendars={
                safe_name(c.name): CalendarRules(
                    tiers=tuple(c.tiers),
                    spreads=tuple(
                        s for part in (c.series, c.tiered) for _, s in sorted(part, key=lambda item: item[0])
                    ),
                )
                for c in used
            },
            credits=tuple(chosen),
            assets=currency_assets(next(iter(self._commodities.values())).currency, self._options.prices),
        )

    def _contract(self, first: Line, second: Line, commodity: Commodity) -> ArrayInstrument | None:
        """The contract of a pair of records; None for an option with a premium and no price. Raises InputError."""
        exchange, product, kind = first.at(3, 5), first.at(6, 15), first.at(26, 28)
        terms = self._prices.get((exchange, product, kind))
        if terms is None:
            raise InputError("no type P record of its product family", field=f"{product} {kind}", line=first.number)
        option = kind in OPTIONS
        month = first.at(30, 35) + first.at(36, 37)
        identity = f"{product}-{kind}-{month}"
        if commodity.name != commodity.code:
            identity = f"{exchange}:{identity}"
        strike = right = None
        if option:
            right = {"C": "call", "P": "put"}.get(first.at(29, 29))
            if right is None:
                raise InputError("neither C nor P", field="type 81 column 29", line=first.number)
            code = terms.at(41, 41) or ("0" if terms.at(40, 40) in TICKS and locator(terms, 37, 39) > 0 else "")
            value = aligned(first, first.at(48, 54), locator(terms, 37, 39), code)
            strike = decimal_text(-value if second.at(119, 119) == "-" else value)
            identity += f"-{first.at(39, 44)}{first.at(45, 46)}-{strike}-{first.at(29, 29)}"
        price = price_of(first, second, terms)
        premium = option and commodity.premium
        if premium and price is None:
            self._left_out.add(NO_PRICE, safe_name(identity))
            return None
        series = self._series_of(first)
        multiplier = Fraction(terms.whole(42, 55), 10**7) * Fraction(10) ** exponent(terms, 73, 74, 75)
        if series.whole(129, 142):
            multiplier = Fraction(series.whole(129, 142), 10**7)
        if kind == "FUT":
            self._scan(series, commodity)
        expiry = series.at(92, 99)
        return ArrayInstrument.model_validate(
            {
                "id": safe_name(identity),
                "kind": "option" if option else "future" if kind == "FUT" else "spot",
                "underlying": safe_name(commodity.name),
                "period": month if kind == "FUT" or option else None,
                "expiry": f"{expiry[:4]}-{expiry[4:6]}-{expiry[6:]}T00:00:00Z" if len(expiry) == 8 else None,
                "strike": strike,
                "option_type": right,
                "multiplier": decimal_text(multiplier),
                "lot": self._lots[commodity.name],
                "price": None if price is None else decimal_text(price),
                "premium": premium,
            }
        )

    def _series_of(self, first: Line) -> Line:
        """The type B record of a contract. Raises InputError where the file has none: deltas need its scale."""
        found = self._series.get(series_key(first, _SERIES_8))
        if found is None:
            raise InputError("no type B record of its series", field=first.at(6, 15), line=first.number)
        return found

    def _scan(self, series: Line, commodity: Commodity) -> None:
        """The least price scan range per delta of a commodity's futures: a credit is bounded from above."""
        if series.at(165, 165):
            return
        scan = series.whole(53, 57) * commodity.exponent * Fraction(10) ** exponent(series, 168, 166, 167)
        scan /= Fraction(series.whole(86, 91) or 10**4, 10**4)
        if scan > 0:
            commodity.scan = scan if commodity.scan is None else min(scan, commodity.scan)
