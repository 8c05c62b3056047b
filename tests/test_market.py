from __future__ import annotations

import json

import pytest
from support.typed import Json, JsonObject

from zkmargin.engine.market import Market
from zkmargin.formats import InputError

EXPIRY = "2026-03-27T08:00:00Z"


def document() -> JsonObject:
    """A small market with one instrument of every kind."""
    return {
        "format": "zkmargin/market/v1",
        "time": "2026-01-02T03:04:05Z",
        "underlyings": [
            {"name": "BTC", "index_price": "90000.5", "confidence": "0.99", "time": "2026-01-02T03:04:00Z"}
        ],
        "forwards": [{"underlying": "BTC", "expiry": EXPIRY, "price": "91000", "rate": "-0.01"}],
        "instruments": [
            {
                "id": "BTC-27MAR26-100000-C",
                "kind": "option",
                "underlying": "BTC",
                "expiry": EXPIRY,
                "strike": "100000",
                "option_type": "call",
                "implied_vol": "0.65",
                "lot": "0.1",
            },
            {
                "id": "BTC-27MAR26",
                "kind": "future",
                "underlying": "BTC",
                "expiry": EXPIRY,
                "settlement": "inverse",
                "multiplier": "10",
                "lot": "1",
            },
            {"id": "BTC-PERPETUAL", "kind": "perpetual", "underlying": "BTC", "lot": "0.001", "mark_price": "90010"},
            {"id": "BTC-SPOT", "kind": "spot", "underlying": "BTC", "lot": "0.0001"},
        ],
        "assets": [
            {"name": "USDC", "price": "0.9998", "lot": "0.01"},
            {"name": "BTC", "price": "90000.5", "lot": "0.00001", "underlying": "BTC"},
        ],
    }


def parse(value: JsonObject) -> Market:
    return Market.parse(json.dumps(value), file="market.json")


def test_a_market_survives_its_file() -> None:
    market = parse(document())
    assert Market.parse(market.to_bytes(), file="again") == market
    assert market.quote == "USD"
    assert [i.kind for i in market.instruments] == ["option", "future", "perpetual", "spot"]
    assert market.underlying("BTC").index_price == "90000.5"
    assert market.forward("BTC", "2026-03-27T08:00:00.000Z").price == "91000"


def test_the_digest_ignores_the_order_of_keys_and_covers_every_value() -> None:
    value = document()
    reordered = dict(reversed(value.items()))
    assert parse(reordered).digest() == parse(value).digest()
    value["assets"][0]["price"] = "0.9999"
    assert parse(value).digest() != parse(document()).digest()


def test_lookups_of_what_is_not_there_are_refused() -> None:
    market = parse(document())
    with pytest.raises(InputError, match="no such underlying"):
        market.underlying("ETH")
    with pytest.raises(InputError, match="no such forward"):
        market.forward("BTC", "2026-03-28T08:00:00Z")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("underlyings.0.index_price", "0", "underlying BTC index_price: must be above 0"),
        ("underlyings.0.index_price", "NaN", "underlying BTC index_price: not a decimal"),
        ("underlyings.0.index_price", "1e5", "not a decimal"),
        ("underlyings.0.index_price", 90000, "string"),
        ("underlyings.0.confidence", "1.5", "between 0 and 1"),
        ("underlyings.0.time", "2026-01-02T03:04:06Z", "underlying BTC: its time is after the market's"),
        ("underlyings.0.time", "yesterday", "underlying BTC time: not a UTC time"),
        ("underlyings.0.name", "B TC", "name"),
        ("forwards.0.price", "-1", "price: must be above 0"),
        ("forwards.0.rate", "11", "a fraction per year"),
        ("forwards.0.expiry", "2026-03-27", "not a UTC time"),
        ("forwards.0.underlying", "ETH", "forward ETH: its underlying is not in the market"),
        ("instruments.0.implied_vol", "0", "BTC-27MAR26-100000-C implied_vol: must be above 0"),
        ("instruments.0.implied_vol", "101", "not a percentage"),
        ("instruments.0.implied_vol", None, "BTC-27MAR26-100000-C: missing implied_vol"),
        ("instruments.0.strike", "-5", "BTC-27MAR26-100000-C strike: must be above 0"),
        ("instruments.0.strike", "1000000000000000.1", "strike: above"),
        ("instruments.0.expiry", None, "BTC-27MAR26-100000-C: missing expiry"),
        ("instruments.0.expiry", "2026-03-28T08:00:00Z", "BTC-27MAR26-100000-C: missing expiry: no forward"),
        ("instruments.0.option_type", "C", "option_type"),
        ("instruments.0.mark_price", "5", "an option has no mark_price"),
        ("instruments.0.lot", "0", "lot: must be above 0"),
        ("instruments.0.underlying", "ETH", "its underlying is not in the market"),
        ("instruments.0.time", "2027-01-01T00:00:00Z", "after the market's own time"),
        ("instruments.1.id", "BTC-27MAR26-100000-C", "BTC-27MAR26-100000-C: the instrument appears twice"),
        ("instruments.1.multiplier", "0", "multiplier: must be above 0"),
        ("instruments.1.kind", "swap", "kind"),
        ("instruments.1.strike", "5", "a future has no strike"),
        ("instruments.2.expiry", EXPIRY, "a perpetual has no expiry"),
        ("instruments.2.mark_price", "inf", "not a decimal"),
        ("instruments.3.settlement", "inverse", "spot is linear"),
        ("assets.0.name", "BTC", "BTC: the asset appears twice"),
        ("assets.0.price", "0", "asset USDC price: must be above 0"),
        ("assets.0.lot", "-0.01", "asset USDC lot: must be above 0"),
        ("assets.0.underlying", "ETH", "asset USDC: its underlying is not in the market"),
        ("assets.0.colour", "red", "unknown key"),
        ("time", "2026-01-02", "time: not a UTC time"),
        ("format", "zkmargin/market/v3", "another version"),
        ("format", "zkmargin/book/v1", "expected"),
    ],
)
def test_what_a_market_refuses(path: str, value: object, message: str) -> None:
    changed: Json = document()
    *parents, last = path.split(".")
    place = changed
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    place[last] = value
    with pytest.raises(InputError) as caught:
        parse(changed)
    assert message in str(caught.value)
    assert str(caught.value).startswith("market.json")
    assert "\n" not in str(caught.value)


def test_two_forwards_for_one_expiry_are_refused_however_they_are_written() -> None:
    changed = document()
    changed["forwards"].append({"underlying": "BTC", "expiry": "2026-03-27T08:00:00.0Z", "price": "91001"})
    with pytest.raises(InputError, match="forward of an expiry appears twice"):
        parse(changed)


def test_two_underlyings_of_one_name_are_refused() -> None:
    changed = document()
    changed["underlyings"].append(changed["underlyings"][0])
    with pytest.raises(InputError, match="BTC: the underlying appears twice"):
        parse(changed)


def test_a_missing_list_is_named() -> None:
    changed = document()
    del changed["instruments"]
    with pytest.raises(InputError, match="instruments"):
        parse(changed)


def test_ages_are_relative_to_the_markets_own_time() -> None:
    market = parse(document())
    market.refuse_stale(5)
    with pytest.raises(
        InputError, match=r"underlying BTC: its price is 5 s older than the market \(the policy allows 4 s\)"
    ):
        market.refuse_stale(4)


def test_the_oldest_price_is_named_and_part_seconds_round_up() -> None:
    changed = document()
    changed["instruments"][2]["time"] = "2026-01-02T03:03:59.999Z"
    with pytest.raises(InputError, match="BTC-PERPETUAL: its price is 6 s older"):
        parse(changed).refuse_stale(5)
