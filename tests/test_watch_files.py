"""The market maker's agent: its journal, its configuration, and its command."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import tomllib
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from support.command_line import Run
from support.watching import ACCOUNT, BIG, DESK, Lines, World, environment

from zkmargin.agent.agent import Agent
from zkmargin.agent.alarms import Log
from zkmargin.agent.config import Config, config_schema, read_config
from zkmargin.agent.journal import Generation, Journal, Made
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import from_units
from zkmargin.engine.margin import margin_report
from zkmargin.formats import InputError


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, collateral=BIG)


ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One that only its configuration changes of."""
    return World(tmp_path_factory.mktemp("still"), collateral=BIG)


# --- the journal ------------------------------------------------------------------------------------------------------


def test_two_agents_do_not_share_a_folder_and_a_later_journal_is_refused(world: World) -> None:
    config = read_config(str(world.config()))
    agent = Agent(config, Log(None))
    try:
        with pytest.raises(InputError, match="another agent works"):
            Agent(config, Log(None))
    finally:
        agent.close()
    journal = Journal(config.state)
    journal.put("version", "2")
    journal.close()
    with pytest.raises(InputError, match="version 2"):
        Journal(config.state)


def test_a_journal_goes_on_with_its_own_book_when_the_files_change(world: World) -> None:
    config = world.config()
    read = read_config(str(config))
    Agent(read, Log(None)).close()
    world.save("book.json", world.book.replaced(collateral={"USDC": "1"}))
    lines = Lines()
    agent = Agent(read, Log(lines))  # type: ignore[arg-type]
    agent.close()
    assert lines.events("files-differ")
    assert agent.account.documents("all")[0] == world.book


def test_the_journal_is_secret_and_a_proof_that_is_settled_stays_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "journal.db").stat().st_mode & 0o777 == 0o600
    made = _made(journal)
    assert _made(journal).id == made.id
    journal.settle(made.id, "accepted", now_ms=5, receipt="r")
    journal.settle(made.id, "refused", now_ms=6, reason="no")
    assert (journal.proofs()[0].state, journal.proofs()[0].receipt) == ("accepted", "r")
    generation = Generation("all", 0, "b", "o", None, None, None, delivered=True)
    journal.add_generation(generation, now_ms=1)
    with pytest.raises(InputError, match="already"):
        journal.add_generation(generation, now_ms=1)
    journal.close()


def _made(journal: Journal) -> Made:
    return journal.proof_made(
        venue="v",
        statement="s",
        snapshot="x",
        snapshot_time=1,
        challenge=None,
        generations="all 0",
        submission="{}",
        proof=b"p",
        arrived=1,
        now_ms=2,
    )


# --- the configuration ------------------------------------------------------------------------------------------------


def test_check_finds_every_mistake_and_says_each_in_a_line(world: World, run: Run) -> None:
    config = world.config()
    assert "all is there" in run(f"watch {config} --check").out
    assert run(f"watch {config} --check --json").json["good"] is True
    (world.home / "trust.json").unlink()
    (world.home / "outbox").rmdir()
    world.save("book.json", world.book.replaced(collateral={"USDC": "1"}))
    world.publish(world.snapshot, 1)
    found = run(f"watch {config} --check", code=2)
    assert len(found.errors) == 3
    assert any("trust.json: cannot be read" in line for line in found.errors)
    assert any("outbox: venues: desk: folder: no such folder" in line for line in found.errors)
    assert any("opening.json: opening: is not of the collateral" in line for line in found.errors)
    assert len(run(f"watch {config} --check --json", code=2).json["mistakes"]) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('account = "maker 7"', ""), ["account: field required"]),
        (lambda text: text + "frobnicate = 1\n", ["venues[0].frobnicate: unknown key"]),
        (lambda text: text + 'claim = "110%"\n', ["venues[0]: claim"]),
        (lambda text: text + 'url = "https://x"\n', ["either a folder or a url"]),
        (lambda text: text.replace('folder = "outbox"', 'url = "http://far"\ntoken_file = "t"'), ["use https"]),
        (lambda text: text.replace('folder = "outbox"', 'url = "https://a:b@c"\ntoken_file = "t"'), ["in logs"]),
        (lambda text: text.replace('folder = "outbox"', 'url = "https://c"'), ["token_file"]),
        (lambda text: text.replace('file = "trust.json"', ""), ["either a trust file, or anyone = true"]),
        (lambda text: text.replace('updates = "updates"', ""), ["give both or none"]),
        (lambda text: text.replace('folder = "inbox"', ""), ["a folder, a venue, or both"]),
        (lambda text: text.replace('folder = "inbox"', 'venue = "desk"'), ["no venue with a url is named"]),
        (lambda text: text + '[alarms]\nheadroom = "much"\n', ["headroom"]),
        (lambda text: text + "[retry]\nfirst_seconds = -1\n[page]\nport = 99999\n", ["first_seconds", "page.port"]),
        (lambda _: "account = ", ["not TOML"]),
        (lambda _: "account = market maker", ['at line 1, column 11)\nhint: text stands in quotes: account = "m']),
        (lambda text: text + 'limits = ["headrom >= 5"]\n', ["limit: not a limit\nhint: for example"]),
    ],
)  # fmt: skip
def test_mistakes_of_a_configuration_are_named(
    still: World, run: Run, change: Callable[[str], str], said: list[str]
) -> None:
    path = still.config()
    path.write_text(change(path.read_text()))
    found = run(f"watch {path} --check", code=2)
    assert len(found.errors) == len(said)
    for words in said:  # errors, and their ways out
        assert words in found.err
    assert "watch.toml" in run(f"watch {path} --once", code=2).err


def test_an_opening_of_another_account_is_refused(still: World, run: Run) -> None:
    path = still.config()
    path.write_text(path.read_text().replace(ACCOUNT, "somebody"))
    assert "is of the account" in run(f"watch {path} --check", code=2).err
    assert "is of the account" in run(f"watch {path} --once", code=2).err


def test_the_published_schema_is_the_programs_and_takes_the_example(still: World, run: Run, tmp_path: Path) -> None:
    published = ROOT / "docs" / "watch.schema.json"
    assert published.read_text() == config_schema(), "run: zkmargin watch --schema docs/watch.schema.json"
    run(f"watch --schema {tmp_path / 'schema.json'}")
    assert (tmp_path / "schema.json").read_text() == config_schema()
    jsonschema.validate(tomllib.loads(still.config().read_text()), json.loads(published.read_text()))
    assert set(Config.model_fields) == set(json.loads(published.read_text())["properties"])


# --- the command ------------------------------------------------------------------------------------------------------


def test_once_deals_with_what_is_there_and_its_exit_code_says_how_it_went(world: World, run: Run) -> None:
    config = world.config()
    world.publish(world.moved(1), 1)
    found = run(f"watch {config} --once --json").json
    assert (found["output_version"], found["venues"][0]["proofs"], found["alarms"]) == (1, {"delivered": 1}, [])
    report = margin_report(world.moved(1), world.record)
    assert found["margin"]["initial"]["total"] == from_units(report.total, VALUATION_DECIMALS)
    assert "no alarm" in run(f"watch {config} --once").out
    assert len(world.proofs()) == 1
    poor = World(world.home / "poor", collateral="1000")
    poor.publish(poor.moved(1), 1)
    assert "ALARM unhealthy" in run(f"watch {poor.config()} --once", code=1).out


def _more(terminal: int) -> bytes:
    """What a terminal was told; nothing once nobody has its other side (Linux: EIO)."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:
        return b""


def test_on_a_terminal_it_shows_where_the_account_stands_whatever_its_width(world: World) -> None:
    world.publish(world.moved(1), 1)
    name = "a clearing desk with a name"
    config = world.config()
    config.write_text(config.read_text().replace(f'name = "{DESK}"', f'name = "{name}"'))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    command = [sys.executable, "-m", "zkmargin", "watch", str(config)]
    words = {**environment(), "TERM": "xterm-256color", "COLUMNS": "60"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=words)
    os.close(theirs)
    shown = ""
    try:
        while "1 delivered" not in shown:
            shown += os.read(ours, 1 << 16).decode()
    finally:
        process.send_signal(signal.SIGINT)
        while _more(ours):  # it goes on showing until it ends, and waits where nobody looks
            pass
        os.close(ours)
    assert process.wait(60) == 0
    frame = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).rpartition(ACCOUNT)[2]
    lines = [line.strip() for line in frame.splitlines()]
    assert max(map(len, lines)) <= 60
    assert "no alarm" in lines
    for what in ("snapshot", "equity", "initial", "maintenance", name[:20], "venue", "custodian"):
        assert any(line.startswith(what) for line in lines), what
    whole = " ".join(" ".join(lines).split())
    assert "custodian collateral attested until" in whole
    assert f"positions {len(world.book.positions)} " in whole
    assert "1 delivered, no receipt yet; last" in whole
