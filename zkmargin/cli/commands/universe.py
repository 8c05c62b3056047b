"""``zkmargin universe``: slots that stay, whatever the market has a quote for today."""

from __future__ import annotations

import re

import click

from zkmargin.app.facts import universe_facts
from zkmargin.app.files import Output, blamed_on, load
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option, output_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.engine.market import Market
from zkmargin.engine.universe import Capacity, MissingQuotes, Universe
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
METHODS = ("last", "interpolated", "stressed")


@click.group("universe", cls=Group)
def command() -> None:
    """Keep the slots of instruments and assets apart from their quotes.

    A snapshot of a market alone takes its slots from the market, so one missing ticker voids every commitment. A
    universe fixes them: listings take spare slots, what has expired is carried at its settlement value until it is
    retired, and a retired slot is forced to zero by every proof and never used again. Commitments, attestations and
    openings live as long as the universe; `zkmargin migrate` carries a book to the next one.

    An instrument without a quote is carried by the universe's rule: at its last vol, interpolated between the strikes
    around it, or stressed. The snapshot says which, from where and how old, and trust files may bound that age.
    """


@command.command(
    "create",
    cls=Command,
    examples=[
        "zkmargin universe create market.json --name btc-options -o my-universe.json",
        "zkmargin universe create market.json --name week --capacity 2046 --delist-after 1d -o my-week.json",
    ],
)
@click.argument("market_path", metavar="MARKET")
@click.option("--name", required=True, help="What people call it.")
@click.option(
    "--capacity",
    type=int,
    metavar="N",
    help="Slots for instruments in all, at most 65,536; else half as many again as the market has.",
)
@click.option(
    "--assets",
    type=int,
    metavar="M",
    help="Slots for assets in all, at most 4,096; else half as many again, 4 spare at least.",
)
@click.option(
    "--delist-after",
    default="1d",
    show_default=True,
    metavar="TIME",
    help="An expired instrument is retired so long after its expiry.",
)
@click.option(
    "--missing",
    default=",".join(METHODS),
    show_default=True,
    metavar="METHODS",
    help="What stands in for a missing quote, in the order in which they are tried.",
)
@click.option(
    "--max-quote-age",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How old a quote of an earlier market may be: 90s, 10m, 1h, 2d.",
)
@click.option(
    "--stress",
    "stress_bp",
    type=int,
    default=5_000,
    show_default=True,
    metavar="BP",
    help="How far a stressed vol moves against every position, in 0.01 % of the vol.",
)
@output_option("the universe")
@json_option
def create_command(
    market_path: str,
    name: str,
    capacity: int | None,
    assets: int | None,
    delist_after: str,
    missing: str,
    max_quote_age: str,
    stress_bp: int,
    output: str,
    as_json: bool,
) -> None:
    """Begin a universe with the instruments and assets of MARKET, in its order."""
    check_paths([market_path], [output], json=as_json)
    market = load(Market, market_path)
    methods = tuple(text.strip() for text in missing.split(",") if text.strip())
    if not set(methods) <= set(METHODS):
        raise InputError(f"not among {', '.join(METHODS)}", file="--missing")
    for option, value, most in (
        ("--stress", stress_bp, 10_000),
        ("--capacity", capacity, 65_536),
        ("--assets", assets, 4_096),
    ):
        if value is not None and not 1 <= value <= most:
            raise InputError(f"from 1 to {most}", file=option)
    age, delay = _seconds(max_quote_age, "--max-quote-age"), _seconds(delist_after, "--delist-after")
    rule = MissingQuotes.model_validate({"methods": methods, "last_max_age_seconds": age, "stress_bp": stress_bp})
    with blamed_on(market_path):
        made = Universe.create(market, name, delist_after_seconds=delay, missing_quotes=rule)
        room = Capacity(
            positions=made.capacity.positions if capacity is None else capacity,
            collateral=made.capacity.collateral if assets is None else assets,
        )
        made = made.replaced(capacity=room)
    write_outputs([Output.document(output, made)])
    if as_json:
        terminal.say_json({"output": output, **universe_facts(made)})
    else:
        _say(made, output)


@command.command(
    "update",
    cls=Command,
    examples=[
        "zkmargin universe update universe-1.json market.json -o my-next-universe.json",
        "zkmargin universe update universe.json market.json --retire BTC-PERPETUAL -o my-retired-universe.json",
    ],
)
@click.argument("universe_path", metavar="UNIVERSE")
@click.argument("market_path", metavar="MARKET")
@click.option("--retire", multiple=True, metavar="NAME", help="Retire this instrument or asset too; several times.")
@output_option("the next edition")
@json_option
def update_command(universe_path: str, market_path: str, retire: tuple[str, ...], output: str, as_json: bool) -> None:
    """The next edition: list what MARKET has and the universe has not, retire what expired long enough ago."""
    check_paths([universe_path, market_path], [output], json=as_json)
    before, market = load(Universe, universe_path), load(Market, market_path)
    with blamed_on(universe_path):
        after = before.updated(market, retire=retire)
    write_outputs([Output.document(output, after)])
    changes = {
        "listed": [slot.id for slot in after.instruments if slot.listed == after.edition],
        "retired": [slot.id for slot in after.instruments if slot.retired == after.edition],
        "assets_listed": [slot.name for slot in after.assets if slot.listed == after.edition],
        "assets_retired": [slot.name for slot in after.assets if slot.retired == after.edition],
    }
    if as_json:
        terminal.say_json({"output": output, **universe_facts(after), **changes})
        return
    for what, names in changes.items():
        if names:
            shown = ", ".join(terminal.safe(name) for name in names[:6]) + (", ..." if len(names) > 6 else "")
            terminal.say(f"  {what.replace('_', ' ')}: {len(names)} ({shown})", err=output == STDIO)
    _say(after, output)


@command.command("show", cls=Command, examples=["zkmargin universe show universe.json"])
@click.argument("universe_path", metavar="UNIVERSE")
@json_option
def show_command(universe_path: str, as_json: bool) -> None:
    """What is in UNIVERSE: slots, how many are spare or retired, and its rules."""
    universe = load(Universe, universe_path)
    if as_json:
        slots = [slot.model_dump(mode="json") for slot in universe.instruments]
        terminal.say_json(universe_facts(universe) | {"slots": slots})
        return
    _say(universe, None)
    rule = universe.missing_quotes
    terminal.say(f"carried for {universe.delist_after_seconds} s after expiry at least, then retired")
    methods = ", ".join(rule.methods) or "refused"
    terminal.say(f"without a quote: {methods}; last quotes of up to {rule.last_max_age_seconds} s")
    for slot in universe.instruments:
        state = "listed" if slot.retired is None else f"retired by edition {slot.retired}"
        terminal.say(f"  {terminal.safe(slot.id)}: {slot.kind}, lot {slot.lot}, {state}")


@command.command("check", cls=Command, examples=["zkmargin universe check universe-2.json --after universe-1.json"])
@click.argument("universe_path", metavar="UNIVERSE")
@click.option("--after", "earlier_path", required=True, metavar="FILE", help="An earlier edition.")
@json_option
def check_command(universe_path: str, earlier_path: str, as_json: bool) -> None:
    """Whether UNIVERSE is a later edition of the same universe: slots were added behind and retired, nothing else."""
    check_paths([universe_path, earlier_path])
    later, earlier = load(Universe, universe_path), load(Universe, earlier_path)
    with blamed_on(universe_path):
        later.follows(earlier)
    if as_json:
        terminal.say_json({"follows": True, "edition": later.edition, "after": earlier.edition})
    else:
        terminal.say(f"edition {later.edition} follows edition {earlier.edition}: every slot keeps its contract")


def _say(universe: Universe, output: str | None) -> None:
    found, err = universe_facts(universe), output == STDIO
    terminal.say(
        f"universe {terminal.quoted(universe.name)}, edition {universe.edition}: {found['instruments']} instruments "
        f"({found['retired_instruments']} retired, {found['spare_instruments']} slots spare), {found['assets']} assets",
        err=err,
    )
    terminal.say(f"digest {found['digest']}", err=err)
    if output is not None and not err:
        terminal.say(
            f"wrote {output}; next: zkmargin snapshot build MARKET --policy default --universe {output} -o ..."
        )


def _seconds(text: str, option: str) -> int:
    match = re.fullmatch(r"([0-9]{1,8})([smhd])", text)
    if match is None:
        raise InputError("not a time like 90s, 30m, 4h or 1d", file=option)
    return int(match[1]) * _UNITS[match[2]]
