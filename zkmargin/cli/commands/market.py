"""``zkmargin market``: markets and risk arrays from other people's files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import click

from zkmargin.app.files import Output, blamed_on, load
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option, output_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.engine.decimals import parse_time, to_fraction
from zkmargin.engine.importers import AUTO, FORMATS, Imported, Options, import_file
from zkmargin.engine.market import Market
from zkmargin.engine.risk_arrays import RiskArrays
from zkmargin.engine.settlement import with_deliveries
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO

#: The option that an error about a field of an importer's arguments is about.
OPTIONS = {
    "lots": "--lot",
    "rate": "--rate",
    "ignore": "--ignore",
    "pull": "--pull",
    "at": "--at",
    "zone": "--zone",
    "prices": "--price",
    "indices": "--index",
}


@click.group("market", cls=Group)
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
        "zkmargin market import market_demo.csv -o my-market.json    # the format by its content",
        "zkmargin market import span_demo.spn --lot ALPHA=75 --lot BETA=1 -o my-arrays.json",
        "zkmargin market import --format span-pa2 span_demo.pa2 --lot GC=1 --lot ZN=1 -o my-pa2-arrays.json",
        "zkmargin snapshot build market.json --policy default -o my-snapshot.json",
    ],
)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--format",
    "format_name",
    default=AUTO,
    show_default=True,
    type=click.Choice([AUTO, *FORMATS]),
    help="The file's format; auto tells it by the content.",
)
@click.option(
    "--pull",
    type=click.IntRange(min=1),
    metavar="N",
    help="The number of the pull to take, of a file that holds several pulls.",
)
@click.option(
    "--at",
    metavar="TIME",
    help="The newest row of each instrument until 2026-01-02T03:04:05Z, or latest, instead of a pull.",
)
@click.option(
    "--price",
    "price_texts",
    multiple=True,
    metavar="ASSET=PRICE",
    help="Price in quote of a collateral asset that the file does not have; several times.",
)
@click.option(
    "--index",
    "index_texts",
    multiple=True,
    metavar="NAME=PRICE",
    help="Price of an index that the file does not have; several times.",
)
@click.option(
    "--lot",
    "lot_texts",
    multiple=True,
    metavar="COMMODITY=N",
    help="SPAN files: contracts in a lot. Only commodities with one are imported; several times.",
)
@click.option("--zone", metavar="ZONE", help="SPAN files: the time zone of the file's clock, as Asia/Kolkata.")
@click.option("--rate", metavar="ID", help="span-xml: the rate id to use where the file has several.")
@click.option("--ignore", multiple=True, metavar="TYPE", help="span-pa2: a record type to pass over; several times.")
@output_option("the market, or the risk arrays")
@json_option
def import_command(
    paths: tuple[str, ...],
    format_name: str,
    pull: int | None,
    at: str | None,
    price_texts: tuple[str, ...],
    index_texts: tuple[str, ...],
    lot_texts: tuple[str, ...],
    zone: str | None,
    rate: str | None,
    ignore: tuple[str, ...],
    output: str,
    as_json: bool,
) -> None:
    """Make a market (or risk arrays) from FILE, and explain every choice made on the way.

    A file may be packed with gzip or zip, and - is standard input. Several files are answers of one venue's API that
    belong together. What is left out is listed by reason.
    """
    check_paths(paths, [output], json=as_json)
    pairs = {
        "prices": parse_pairs(price_texts, "--price"),
        "indices": parse_pairs(index_texts, "--index"),
        "lots": parse_pairs(lot_texts, "--lot"),
    }
    with terminal.progress(f"Reading {terminal.safe(', '.join(paths))}") as advance:
        asked = Options(pull=pull, at=at, zone=zone, rate=rate, ignore=ignore, progress=advance, **pairs)
        with _blamed_on_options():
            found = import_file(paths, format_name, asked)
    write_outputs([Output.document(output, found.document)])
    if as_json:
        facts = {"format": found.format, **_facts(found.document), **_left_out(found)}
        terminal.say_json({"output": output, **facts, "notes": list(found.document.notes)})
    else:
        _say(found, output, guessed=format_name == AUTO)


@contextmanager
def _blamed_on_options() -> Iterator[None]:
    """Errors about an importer's arguments are about the options that they were given by."""
    try:
        yield
    except InputError as error:
        if error.field == "index" and error.hint:
            hint = f"{error.hint} (--index NAME=PRICE)"
            raise InputError(error.reason, file=error.file, hint=hint) from None
        if error.field in OPTIONS and error.line is None:
            raise InputError(error.reason, file=OPTIONS[error.field], hint=error.hint) from None
        raise


@command.command(
    "settle",
    cls=Command,
    examples=[
        "zkmargin market settle expired.json --delivery BTC@2026-05-19T08:00:00Z=77000.25 -o my-settled.json",
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


def _left_out(found: Imported) -> dict[str, Any]:
    """What is not in the document, for scripts."""
    return {
        "left_out": [
            {"reason": omission.reason, "count": omission.count, "names": list(omission.names)}
            for omission in found.left_out
        ]
    }


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


def _say(found: Imported, output: str, *, guessed: bool) -> None:
    """The same for people."""
    imported, err = found.document, output == STDIO
    arrays = isinstance(imported, RiskArrays)
    what = (
        terminal.counted(len(imported.groups), "commodity", "commodities")
        if isinstance(imported, RiskArrays)
        else terminal.counted(len(imported.forwards), "expiry", "expiries")
    )
    if guessed:
        terminal.say(f"taken for {found.format}: {FORMATS[found.format].title}", err=err)
    terminal.say(
        terminal.safe(
            f"{imported.source}: {terminal.counted(len(imported.instruments), 'instrument')}, {what}, "
            f"{terminal.counted(len(imported.assets), 'collateral asset')} at {imported.time}"
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
    example = {
        "--price": ("ASSET=PRICE", "USDC=1"),
        "--index": ("NAME=PRICE", "BTC=92416.5"),
        "--lot": ("COMMODITY=N", "NIFTY=75"),
    }[option]
    for text in texts:
        name, equals, number = text.partition("=")
        if not (name and equals and number):
            raise InputError(f"not {example[0]}", file=option, hint=f"for example {option} {example[1]}")
        if name in pairs:
            raise InputError("given twice", file=option, field=name[:80])
        pairs[name] = number
    return pairs
