"""First mistakes: what was found, what was expected, and the next command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
from support.command_line import Refuse, refusing
from support.example_files import PROVE, VERIFY, example_files, placed

from zkmargin.cli import cli, main
from zkmargin.cli.hints import MAKES
from zkmargin.engine.policy import load_policy
from zkmargin.formats import write_atomic


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with all of them, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    return placed(example_files(), tmp_path)


@pytest.fixture
def refuse(files: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    return refusing(files, capsys)


# --- first mistakes: what was found, what was expected, and the next command ------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason", "hint"),
    [
        ("snapshot build tickers.json --policy default", "no market and no risk arrays of ours", "market import FILE"),
        ("snapshot build tickers.csv --policy default", "no market and no risk arrays of ours", "market import FILE"),
        ("snapshot show market.json", "is a market, expected a snapshot (zkmargin/snapshot/v2)", "snapshot build FILE"),
        (PROVE.replace("opening.json", "book.json"), "is a book, expected an opening", "zkmargin commit BOOK"),
        ("margin commitment.json --snapshot snapshot.json", "is a commitment, expected a book", "zkmargin inspect"),
        ("snapshot show proof.bin", "is a proof, expected a snapshot", "zkmargin inspect"),
        (
            "margin book.json --snapshot snapshot.json --market arrays.json",
            "is risk arrays, expected a market",
            "--arrays",
        ),
        (PROVE.replace("--opening opening.json", "--opening lost.json"), "no such file", "without its opening"),
        ("check --snapshot snapshot.json --book book.json --claim 110%", "a ratio, not a percentage", "--claim 1.1"),
        ("margin numbers.json --snapshot snapshot.json", "should be a valid string", "put the number in quotes"),
    ],
)
def test_first_mistakes_name_the_next_command(refuse: Refuse, files: Path, line: str, reason: str, hint: str) -> None:
    (files / "tickers.json").write_text('{"result": [{"instrument_name": "BTC-PERPETUAL", "mark_price": 1.5}]}')
    (files / "arrays.json").write_text('{"format": "zkmargin/risk-arrays/v1"}')
    (files / "tickers.csv").write_text("symbol,mark_price\nBTC-PERPETUAL,60000\n")
    numbers = '{"format": "zkmargin/book/v1", "positions": {"BTC-PERPETUAL": 5}}'
    write_atomic(files / "numbers.json", numbers.encode(), secret=True)
    error = refuse(line).err
    assert reason in error
    assert hint in error.partition("hint: ")[2]


def test_all_mistakes_of_a_policy_are_listed_at_once(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = json.loads(load_policy("default").to_bytes())
    del policy["version"]
    policy["requirements"]["initial"] = "x"
    policy["nonsense"] = 1
    # values of the right type that do not go: a policy is read up to the first of them
    policy["layout"]["domain_size"] = 17
    policy["components"][0]["grid"]["price_moves_bp"] = [0, 0]
    policy["components"][1]["kind"] = "x"
    (files / "policy.json").write_text(json.dumps(policy))
    capsys.readouterr()
    assert main(["policy", "check", "policy.json"]) == 2
    err = capsys.readouterr().err
    expected = {
        "version": "field required",
        "nonsense": "unknown key",
        "requirements.initial": "input should be a valid integer",
        "layout.domain_size": "must be a power of two from 16 to 2048",
        "components[0].grid.price_moves_bp": "the same move twice",
        "components[1].short_option_minimum.kind": "unknown key",
    }
    for field, reason in expected.items():
        assert f"  {field}: {reason}\n" in err
    assert f"(and {len(expected) - 1} more)" in err
    assert main(["policy", "check", "policy.json", "--json"]) == 2
    errors = {one["field"]: one["reason"] for one in json.loads(capsys.readouterr().out)["errors"]}
    assert errors == expected


def test_what_a_policys_parts_make_wrong_together_is_listed_with_the_rest(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = json.loads(load_policy("default").to_bytes())
    policy["title"] = 5
    policy["requirements"] = {"initial": 0, "maintenance": 5}
    policy["components"] = [policy["components"][1]]
    policy["layout"]["range_proved"] = False
    (files / "policy.json").write_text(json.dumps(policy))
    capsys.readouterr()
    assert main(["policy", "check", "policy.json"]) == 2
    err = capsys.readouterr().err
    for words in (
        "  title: input should be a valid string",
        "  requirements.initial: must be above 0",
        "  requirements: maintenance above initial",
        "  components: no worst_scenario component for the initial requirement",
        "  components: no worst_scenario component for the maintenance requirement",
        "  components: exactly one haircuts component",
        "  layout.range_proved: short_option_minimum charges short positions",
    ):
        assert words in err


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("margin none.json --snapshot snapshot.json", "a book is a file of your own"),
        ("margin book.json --snapshot none.json", "zkmargin snapshot build MARKET"),
        (VERIFY.replace("proof.bin", "none.bin"), "zkmargin prove"),
        (VERIFY.replace("commitment.json", "none.json"), "zkmargin commit BOOK"),
        ("market import none.json", "the folder that you are in"),
        ("inspect none.json", "the folder that you are in"),
        ("verify --bundle none.json", "zkmargin bundle"),
        ("snapshot build market.json --policy default -o nowhere/s.json", "mkdir -p"),
    ],
)
def test_a_file_that_is_not_there_has_a_way_out(refuse: Refuse, line: str, way: str) -> None:
    assert way in refuse(line).err.partition("hint: ")[2]


def test_what_makes_a_missing_file_is_a_command() -> None:
    for family, made in MAKES.items():
        for words in re.findall(r"zkmargin ([a-z-]+)(?: ([a-z-]+))?", made):
            group = cli.get_command(click.Context(cli), words[0])
            assert group is not None, (family, words)
            if isinstance(group, click.Group):
                assert group.get_command(click.Context(group), words[1]) is not None, (family, words)
