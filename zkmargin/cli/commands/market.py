"""``zkmargin market``: markets and risk arrays from other people's files."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import click

from zkmargin.app.files import Output, blamed_on, check_paths, load, write_outputs
from zkmargin.cli import terminal
from zkmargin.cli.options import Command, json_option, output_option
from zkmargin.engine.decimals import parse_time, to_fraction
from zkmargin.engine.importers import ARRAY_IMPORTERS, IMPORTERS, import_arrays, import_market
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.settlement import with_deliveries
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO

#: The option that an error about a field of an importer's arguments is about.
OPTIONS = {"lots": "--lot", "rate": "--rate", "ignore": "--ignore", "pull": "--pull"}


@click.group("market")
def command() -> None:
    """Import and settle market data.

    A market is everything public that prices a book: index prices, forwards, implied vols, instruments with their lots,
    and the assets that collateral is held in. A clearing house's SPAN file holds risk arrays instead, which are taken
    as they are.
    """


@command.command(
    "import",
    cls=Command,
    examples=[
        "zkmargin market import --format deribit-csv tickers.csv --price USDC=1 -o market.json",
        "zkmargin snapshot build market.json --policy default -o snapshot.json",
        "zkmargin market import --format span-xml nsccl.spn --lot NIFTY=75 --lot BANKNIFTY=35 -o arrays.json",
        "zkmargin market import --format span-pa2 cme.pa2 --lot GC=1 --ignore V -o arrays.json",
        "zkmargin snapshot build arrays.json --policy span -o snapshot.json",
    ],
)
@click.argument("file")
@click.option(
    "--format",
    "format_name",
    required=True,
    type=click.Choice([*IMPORTERS, *ARRAY_IMPORTERS]),
    help="The file's format.",
)
@click.option("--pull", type=click.IntRange(min=1), metavar="N", help="Which pull of a file that holds several.")
@click.option(
    "--price",
    "price_texts",
    multiple=True,
    metavar="ASSET=PRICE",
    help="Price in quote of a collateral asset that the file does not have; several times.",
)
@click.option(
    "--lot",
    "lot_texts",
    multiple=True,
    metavar="COMMODITY=N",
    help="SPAN files: contracts in a lot. Only commodities with one are imported; several times.",
)
@click.option("--rate", metavar="ID", help="span-xml: the rate id to use where the file has several.")
@click.option("--ignore", multiple=True, metavar="TYPE", help="span-pa2: a record type to pass over; several times.")
@output_option("the market, or the risk arrays")
@json_option
def import_command(
    file: str,
    format_name: str,
    pull: int | None,
    price_texts: tuple[str, ...],
    lot_texts: tuple[str, ...],
    rate: str | None,
    ignore: tuple[str, ...],
    output: str,
    as_json: bool,
) -> None:
    """Make a market (or risk arrays) from FILE (- for standard input), and explain every choice made on the way."""
    check_paths([file], [output], json=as_json)
    prices, lots = parse_pairs(price_texts, "--price"), parse_pairs(lot_texts, "--lot")
    imported: Market | RiskArrays
    with terminal.progress(f"Reading {terminal.safe(file)}") as advance:
        if format_name in ARRAY_IMPORTERS:
            _refuse_options(format_name, pull=pull)
            try:
                imported = import_arrays(
                    file, format_name, lots=lots, prices=prices, progress=advance, rate=rate, ignore=ignore
                )
            except InputError as error:
                if error.field in OPTIONS and error.line is None:
                    raise InputError(error.reason, file=OPTIONS[error.field], hint=error.hint) from None
                raise
        else:
            _refuse_options(format_name, lots=lots, rate=rate, ignore=ignore)
            imported = import_market(file, format_name, pull=pull, prices=prices)
    write_outputs([Output.document(output, imported)])
    if as_json:
        terminal.say_json({"output": output, **_facts(imported), "notes": list(imported.notes)})
        return
    _say(imported, output)


@command.command(
    "settle",
    cls=Command,
    examples=[
        "zkmargin market settle market.json --delivery BTC@2026-05-19T08:00:00Z=77000.25 -o settled.json",
        "zkmargin snapshot build settled.json --policy default -o snapshot.json",
    ],
)
@click.argument("market_path", metavar="MARKET")
@click.option(
    "--delivery",
    "delivery_texts",
    multiple=True,
    required=True,
    metavar="UNDERLYING@EXPIRY=PRICE",
    help="The delivery price of an expiry, quote per unit; several times.",
)
@output_option("the market")
@json_option
def settle_command(market_path: str, delivery_texts: tuple[str, ...], output: str, as_json: bool) -> None:
    """Give what has expired in MARKET its settlement value.

    From the instant of its expiry an instrument is carried at its settlement value: it has no P&L in any scenario and
    hedges nothing, and a short option still owes what it settled at. Without one no snapshot is built. Options get what
    they pay at the delivery price, max(S - K, 0) or max(K - S, 0) in quote a unit; futures get 0, as their last
    variation is a balance.
    """
    check_paths([market_path], [output], json=as_json)
    deliveries = dict(_delivery(text) for text in delivery_texts)
    if len(deliveries) != len(delivery_texts):
        raise InputError("an expiry is given twice", file="--delivery")
    market = load(Market, market_path)
    with blamed_on(market_path):
        settled = with_deliveries(market, deliveries)
    write_outputs([Output.document(output, settled)])
    values = {i.id: i.settlement_value for i in settled.instruments if i.settled}
    if as_json:
        terminal.say_json({"output": output, **_facts(settled), "settlement_values": values})
        return
    for name, value in values.items():
        terminal.say(f"  {terminal.safe(name)}: {value} {terminal.safe(settled.quote)} a unit", err=output == STDIO)
    if output != STDIO:
        terminal.say(f"wrote {output}; next: zkmargin snapshot build {output} --policy default -o snapshot.json")


def _delivery(text: str) -> tuple[tuple[str, int], Fraction]:
    """One ``UNDERLYING@EXPIRY=PRICE``. Raises InputError."""
    expiry, _, price = text.partition("=")
    underlying, _, time = expiry.partition("@")
    if not (underlying and time and price):
        example = "for example --delivery BTC@2026-05-19T08:00:00Z=77000.25"
        raise InputError("not UNDERLYING@EXPIRY=PRICE", file="--delivery", hint=example)
    delivery = to_fraction(price, field=f"--delivery {expiry[:80]}")
    if delivery < 0:
        raise InputError("must not be negative", field=f"--delivery {expiry[:80]}")
    return (underlying, parse_time(time, field=f"--delivery {expiry[:80]}")), delivery


def _refuse_options(format_name: str, **given: object) -> None:
    for name, value in given.items():
        if value:
            raise InputError(f"not an option of the format {format_name}", file=OPTIONS[name])


def _facts(imported: Market | RiskArrays) -> dict[str, Any]:
    """What was read, for scripts."""
    own: dict[str, Any] = (
        {"forwards": len(imported.forwards)}
        if isinstance(imported, Market)
        else {"commodities": list(imported.groups), "credits": len(imported.credits), "greeks": imported.greeks}
    )
    return {
        "kind": "market" if isinstance(imported, Market) else "risk arrays",
        "digest": imported.digest().hex(),
        "time": imported.time,
        "instruments": len(imported.instruments),
        **own,
        "assets": [asset.name for asset in imported.assets],
    }


def _say(imported: Market | RiskArrays, output: str) -> None:
    """The same for people."""
    err, arrays = output == STDIO, isinstance(imported, RiskArrays)
    what = (
        f"{len(imported.groups)} commodities"
        if isinstance(imported, RiskArrays)
        else f"{len(imported.forwards)} expiries"
    )
    terminal.say(
        terminal.safe(
            f"{imported.source}: {len(imported.instruments)} instruments, {what}, "
            f"{len(imported.assets)} collateral assets at {imported.time}"
        ),
        err=err,
    )
    for note in imported.notes:
        terminal.say(f"  - {terminal.safe(note)}", err=err)
    if not err:
        policy = "span" if arrays else "default"
        terminal.say(f"wrote {output}; next: zkmargin snapshot build {output} --policy {policy} -o snapshot.json")


def parse_pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=NUMBER`` texts. Raises InputError."""
    pairs: dict[str, str] = {}
    example = {"--price": ("ASSET=PRICE", "USDC=1"), "--lot": ("COMMODITY=N", "NIFTY=75")}[option]
    for text in texts:
        name, equals, number = text.partition("=")
        if not (name and equals and number):
            raise InputError(f"not {example[0]}", file=option, hint=f"for example {option} {example[1]}")
        if name in pairs:
            raise InputError("given twice", file=option, field=name[:80])
        pairs[name] = number
    return pairs
