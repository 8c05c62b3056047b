"""``zkmargin market``: markets from other people's files."""

from __future__ import annotations

from collections.abc import Sequence

import click

from engine.importers import IMPORTERS, import_market
from formats import InputError
from formats.files import STDIO
from zkmargin import terminal
from zkmargin.files import Output, check_paths, write_outputs
from zkmargin.options import Command, json_option, output_option


@click.group("market")
def command() -> None:
    """Import market data.

    A market is everything public that prices a book: index prices, forwards, implied vols, instruments with their lots,
    and the assets that collateral is held in.
    """


@command.command(
    "import",
    cls=Command,
    examples=[
        "zkmargin market import --format deribit-csv tickers.csv --price USDC=1 -o market.json",
        "zkmargin snapshot build market.json --policy default -o snapshot.json",
    ],
)
@click.argument("file")
@click.option("--format", "format_name", required=True, type=click.Choice(list(IMPORTERS)), help="The file's format.")
@click.option("--pull", type=click.IntRange(min=1), metavar="N", help="Which pull of a file that holds several.")
@click.option(
    "--price",
    "price_texts",
    multiple=True,
    metavar="ASSET=PRICE",
    help="Price in quote of a collateral asset that the file does not have; several times.",
)
@output_option("the market")
@json_option
def import_command(
    file: str, format_name: str, pull: int | None, price_texts: tuple[str, ...], output: str, as_json: bool
) -> None:
    """Make a market from FILE (- for standard input), and explain every choice that was made on the way."""
    check_paths([file], [output], json=as_json)
    with terminal.progress(f"Reading {terminal.safe(file)}"):
        market = import_market(file, format_name, pull=pull, prices=parse_prices(price_texts))
    write_outputs([Output.document(output, market)])
    if as_json:
        terminal.say_json(
            {
                "output": output,
                "digest": market.digest().hex(),
                "time": market.time,
                "instruments": len(market.instruments),
                "forwards": len(market.forwards),
                "assets": [asset.name for asset in market.assets],
                "notes": list(market.notes),
            }
        )
        return
    err = output == STDIO
    terminal.say(
        f"{market.source}: {len(market.instruments)} instruments, {len(market.forwards)} expiries, "
        f"{len(market.assets)} collateral assets at {market.time}",
        err=err,
    )
    for note in market.notes:
        terminal.say(f"  - {terminal.safe(note)}", err=err)
    if not err:
        terminal.say(f"wrote {output}; next: zkmargin snapshot build {output} --policy default -o snapshot.json")


def parse_prices(texts: Sequence[str]) -> dict[str, str]:
    """``ASSET=PRICE`` texts. Raises InputError."""
    prices: dict[str, str] = {}
    for text in texts:
        name, equals, price = text.partition("=")
        if not (name and equals and price):
            raise InputError("not ASSET=PRICE", file="--price", hint="for example --price USDC=1")
        if name in prices:
            raise InputError("given twice", file="--price", field=name[:80])
        prices[name] = price
    return prices
