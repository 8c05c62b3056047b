"""``zkmargin watch``: the market maker's agent."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from zkmargin.agent.checking import check
from zkmargin.agent.config import Config, config_schema, read_config
from zkmargin.app.files import Output
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command
from zkmargin.cli.hints import worded
from zkmargin.cli.options import json_option
from zkmargin.cli.paths import write_outputs
from zkmargin.formats import InputError

if TYPE_CHECKING:
    from zkmargin.agent.agent import Agent
    from zkmargin.agent.page import Page


@click.command(
    "watch",
    cls=Command,
    examples=[
        "zkmargin watch watch.toml --check",
        "zkmargin watch watch.toml --once",
        "zkmargin watch watch.toml --once --json",
        "zkmargin watch --schema my-watch.schema.json",
    ],
)
@click.argument("path", metavar="CONFIG", required=False)
@click.option("--check", "only_check", is_flag=True, help="Read everything that CONFIG names, and say what is wrong.")
@click.option("--once", is_flag=True, help="Deal with what is there, say how it went, and end.")
@click.option("--schema", "schema_path", metavar="FILE", help="Write the JSON Schema of configurations (- prints it).")
@json_option
def command(path: str | None, only_check: bool, once: bool, schema_path: str | None, as_json: bool) -> None:
    """Prove the margin of one account all day: at every snapshot, fill and challenge.

    CONFIG is a TOML file: where snapshots come from, the books and openings, what is claimed to which venues. The agent
    keeps circuit, tables and setup in memory and everything else in a journal that survives crashes. An unhealthy book
    is never proved: an alarm names the shortfall and what binds.

    On a terminal it shows where the account stands; elsewhere, and with --json, it writes one JSON object a line for
    what happens. Both are as secret as the book.
    """
    if schema_path is not None:
        write_outputs([Output(schema_path, config_schema().encode())])
        return
    if path is None:
        raise InputError("name a configuration", file="CONFIG", hint="zkmargin watch --help has examples")
    if only_check:
        _check(path, as_json=as_json)
    elif once:
        _once(read_config(path), as_json=as_json)
    else:
        _run(read_config(path), as_json=as_json)


def _check(path: str, *, as_json: bool) -> None:
    mistakes, config = check(path)
    if as_json:
        terminal.say_json(
            {
                "good": not mistakes,
                "mistakes": [
                    error.as_facts() | ({"hint": worded(error.hint)} if error.hint else {}) for error in mistakes
                ],
            }
        )
    for error in mistakes:
        terminal.error(error.message, worded(error.hint))
    if mistakes:
        raise click.exceptions.Exit(2)
    if not as_json and config is not None:
        terminal.say(f"all is there: {len(config.holdings)} holding(s), {len(config.venues)} venue(s)")


def _once(config: Config, *, as_json: bool) -> None:
    from zkmargin.agent.agent import Agent  # noqa: PLC0415 - --check and --schema need no prover
    from zkmargin.agent.alarms import Log  # noqa: PLC0415
    from zkmargin.cli.show import console  # noqa: PLC0415
    from zkmargin.cli.show_watch import show_status  # noqa: PLC0415

    agent = Agent(config, Log(None))
    with terminal.progress("Proving"):
        try:
            agent.once()
        except BaseException:
            agent.close()
            raise
    try:
        facts = agent.status.facts()
        if as_json:
            terminal.say_json(facts | {"margin": agent.status.margin_facts()})
        else:
            show_status(console(), agent.status)
    finally:
        agent.close()
    if facts["alarms"]:
        raise click.exceptions.Exit(1)


def _run(config: Config, *, as_json: bool) -> None:
    shown = sys.stdout.isatty() and not as_json
    with terminal.progress("Starting"):
        from zkmargin.agent.agent import Agent  # noqa: PLC0415
        from zkmargin.agent.alarms import Log  # noqa: PLC0415

        agent = Agent(config, Log(None if shown else sys.stdout))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _page(agent, config) as page:
        if page is not None and not shown:
            agent.log.event("page", port=page.port, token_file=f"{config.state}/page.token")
        if shown:
            _live(agent, stop, None if page is None else page.address)
        else:
            agent.run(stop)


@contextmanager
def _page(agent: Agent, config: Config) -> Iterator[Page | None]:
    if config.page is None:
        yield None
        return
    from zkmargin.agent.page import Page  # noqa: PLC0415

    try:
        page = Page(agent.status, config.state, config.page.port)
    except BaseException:
        agent.close()
        raise
    page.start()
    try:
        yield page
    finally:
        page.close()


def _live(agent: Agent, stop: threading.Event, address: str | None) -> None:
    from rich.live import Live  # noqa: PLC0415

    from zkmargin.cli.show import console  # noqa: PLC0415
    from zkmargin.cli.show_watch import status_view  # noqa: PLC0415

    failed: list[BaseException] = []

    def work() -> None:
        try:
            agent.run(stop)
        except BaseException as error:  # noqa: BLE001 - raised again where it is seen
            failed.append(error)
            stop.set()

    thread = threading.Thread(target=work, name="agent")
    with Live(status_view(agent.status, address), console=console(), auto_refresh=False) as live:
        thread.start()
        while not stop.wait(1.0):
            live.update(status_view(agent.status, address), refresh=True)
        thread.join()
    if failed:
        raise failed[0]
