"""The command line, each command on real documents: words, JSON, files, exit codes."""

from __future__ import annotations

import io
import json
import shlex
import stat
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import click
import pytest
from support.command_line import Run
from support.example_files import TIME, example_files, placed

import zkmargin
from zkmargin.accounts import Commitment
from zkmargin.app.facts import statement_facts
from zkmargin.app.verifying import CLOCK_SKEW_MS, check_age
from zkmargin.cli import COMMANDS, cli
from zkmargin.cli.groups import Command
from zkmargin.cli.show import cell_text
from zkmargin.cli.terminal import word
from zkmargin.cli.words import statement_lines
from zkmargin.engine.claims import Claim
from zkmargin.engine.policy import policy_names
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import VerificationError, load_document
from zkmargin.verifier import Statement

TIME_MS = 1_767_323_045_000
CONTEXT = "for the tests, number 1"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    return Run(capsys)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market, snapshot, book, commitment, opening and proof, made by the command line itself."""
    return placed(example_files(domain_size=None, context=CONTEXT), tmp_path_factory.mktemp("cli"))


def statement(files: Path, *, context: str = CONTEXT) -> list[object]:
    return ["--snapshot", files / "snapshot.json", "--commitment", files / "commitment.json", "--context", context]


# Help


def every_command(group: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(group, click.Group):
        return [(path, group)]
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += every_command(command, (*path, name))
    return found


@pytest.mark.parametrize("path", [path for path, _ in every_command(cli)], ids=" ".join)
def test_help_teaches_with_an_example(run: Run, path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert "Examples:" in result.out
    assert f"  zkmargin {' '.join(path)}" in result.out
    assert result.err == ""


@pytest.mark.parametrize(("path", "command"), every_command(cli), ids=str)
def test_examples_are_commands_that_parse(path: tuple[str, ...], command: click.Command) -> None:
    known = dict(every_command(cli))
    assert isinstance(command, Command)
    for example in command.examples:
        words = shlex.split(example.partition(" > ")[0], comments=True)
        assert words.pop(0) == "zkmargin"
        name: tuple[str, ...] = ()
        while words and name not in known:
            name = (*name, words.pop(0))
        with known[name].make_context(" ".join(name), words) as context:
            assert context.args == []
    assert path


@pytest.mark.parametrize(("path", "command"), every_command(cli), ids=str)
def test_every_option_says_what_it_is(path: tuple[str, ...], command: click.Command) -> None:
    context = click.Context(command, info_name=" ".join(path))
    options = [option for option in command.get_params(context) if isinstance(option, click.Option)]
    assert [option.opts for option in options if not option.help] == []
    ranges = (click.IntRange, click.FloatRange)
    assert [option.opts for option in options if isinstance(option.type, ranges) and not option.metavar] == []


def test_the_reference_names_every_command() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "cli.md").read_text()
    table = [line for line in text.partition("\n## Commands\n")[2].splitlines() if line.startswith("| ")]
    named = {words.split()[0] for line in table for words in line.split("`")[1::2] if words}
    assert named.issuperset(COMMANDS), sorted(set(COMMANDS) - named)


def test_help_lists_every_command_without_importing_one() -> None:
    script = (
        "import sys; from zkmargin.cli import main; code = main(['--help']);"
        "assert not [m for m in sys.modules if m.startswith('zkmargin.cli.commands')]; sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout


def test_version_says_that_it_is_unaudited(run: Run) -> None:
    assert run("--version").out.startswith(f"zkmargin {zkmargin.__version__} (unaudited")


def test_no_command_is_a_usage_error(run: Run) -> None:
    for group in ([], ["snapshot"]):
        result = run(*group, code=2)
        assert result.out == ""
        assert "Commands:" in result.err
        assert "\n" in result.err


# The way through


def test_market_import_explains_its_choices(run: Run, tmp_path: Path) -> None:
    rows = [
        "instrument_name,timestamp,index_price,mark_price,mark_iv,underlying_price,underlying_index,interest_rate",
        "BTC-24NOV23-40000-C,1700000000000,35900,0.01,55.25,36000.5,BTC-24NOV23,0",
        "BTC-24NOV23-30000-P,1700000000500,35900,0.01,60.5,36001.5,BTC-24NOV23,0",
        "",
    ]
    (tmp_path / "tickers.csv").write_text("\n".join(rows))
    line = ["market", "import", "--format", "deribit-csv", tmp_path / "tickers.csv", "--price", "USDC=1"]
    result = run(line, "-o", tmp_path / "market.json")
    assert "2 instruments" in result.out
    assert "median" in result.out
    facts = run(line, "-o", tmp_path / "market.json", "--json").json
    assert facts["instruments"] == 2
    assert facts["assets"] == ["BTC", "USDC"]
    assert any("median" in note for note in facts["notes"])


def test_market_to_standard_output_and_words_to_standard_error(run: Run, files: Path) -> None:
    result = run("snapshot", "build", files / "market.json", "--policy", "default")
    assert result.json == json.loads((files / "snapshot.json").read_text())
    assert "448 instruments" in result.err


def test_documents_come_from_standard_input(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO((files / "market.json").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    facts = run("inspect", "-", "--json").json
    assert facts["instruments"] == 448


def test_snapshot_show(run: Run, files: Path) -> None:
    text = run("snapshot", "show", files / "snapshot.json").out
    proof_bytes = (files / "proof.bin").stat().st_size
    assert f"{proof_bytes} bytes" in text
    facts = run("snapshot", "show", files / "snapshot.json", "--json").json
    assert facts["layout"]["proof_bytes"] == proof_bytes
    assert [group["scenarios"] for group in facts["groups"]] == [35, 35]
    assert {slot["asset"]: slot["haircut_bp"] for slot in facts["collateral"]} == {"USDC": 0, "BTC": 1000, "ETH": 1500}
    assert "slots" not in facts
    slots = run("snapshot", "show", files / "snapshot.json", "--slots", "--json").json["slots"]
    assert len(slots) == facts["instruments"] == 448
    assert "BTC-PERPETUAL" in run("snapshot", "show", files / "snapshot.json", "--slots").out


def test_snapshot_check_rebuilds(run: Run, files: Path) -> None:
    digest = load_document(Snapshot, files / "snapshot.json").digest().hex()
    assert digest in run("snapshot", "check", files / "snapshot.json", files / "market.json").out
    facts = run("snapshot", "check", files / "snapshot.json", files / "market.json", "--json").json
    assert facts["same"] is True
    assert facts["digest"] == digest


def test_snapshot_build_takes_a_layout(run: Run, files: Path, tmp_path: Path) -> None:
    line = [
        "snapshot",
        "build",
        files / "market.json",
        "--policy",
        "default",
        "--domain-size",
        64,
        "--position-bits",
        20,
    ]
    facts = run(line, "-o", tmp_path / "small.json", "--json").json
    assert facts["layout"]["rows"] == 64
    assert facts["layout"]["position_segments"] == -(-448 // 63)


def test_policies_are_listed_and_shown(run: Run, tmp_path: Path, files: Path) -> None:
    assert "default" in run("policy", "list").out
    names = [policy["name"] for policy in run("policy", "list", "--json").json["policies"]]
    assert names == list(policy_names())
    assert {"default", "span", "delta-norm"} < set(names)
    assert "worst_scenario" in run("policy", "show", "default").out
    (tmp_path / "mine.json").write_text(run("policy", "show", "default", "--json").out)
    own = run("snapshot", "build", files / "market.json", "--policy", tmp_path / "mine.json").json
    assert own == json.loads((files / "snapshot.json").read_text())


def test_margin_shows_requirement_equity_and_netting(run: Run, files: Path) -> None:
    line = ["margin", files / "book.json", "--snapshot", files / "snapshot.json"]
    text = run(line).out
    for words in ("Initial requirement", "Isolated margin", "Netting saves", "BTC-PERPETUAL", "Largest claim"):
        assert words in text
    assert "Maintenance requirement" in run(line, "--requirement", "maintenance").out
    reports = run(line, "--json").json["requirements"]
    initial, maintenance = reports["initial"], reports["maintenance"]
    assert Fraction(maintenance["total"]) == Fraction(initial["total"]) * 8000 / 10_000
    assert Fraction(initial["surplus"]) == Fraction(initial["equity"]["total"]) - Fraction(initial["total"])


def test_check_says_what_holds(run: Run, files: Path) -> None:
    line = ["check", "--snapshot", files / "snapshot.json", "--book", files / "book.json"]
    assert run(line).out.startswith("the claim holds: equity is at least the initial margin requirement")
    assert "5/4 times the maintenance" in run(line, "--claim", "1.25", "--requirement", "maintenance").out
    facts = run(line, "--json").json
    assert facts["holds"] is True
    assert facts["binding"][0]["scenario"].startswith("tail price")


def test_check_names_scenario_and_shortfall(run: Run, files: Path) -> None:
    line = ["check", "--snapshot", files / "snapshot.json", "--book", files / "book.json", "--claim", "3"]
    refused = run(line, code=1)
    assert refused.out == ""
    assert "the claim is false" in refused.err
    assert "short by" in refused.err
    assert "vol" in refused.err
    assert "hint: the largest claim that holds" in refused.err
    facts = run(line, "--json", code=1).json
    assert facts["holds"] is False
    assert Fraction(facts["surplus_over_claim"]) < 0


def test_commit_writes_a_public_and_a_secret_file(run: Run, files: Path, tmp_path: Path) -> None:
    out, secret = tmp_path / "c.json", tmp_path / "o.json"
    line = ["commit", files / "book.json", "--snapshot", files / "snapshot.json", "--alias", "desk 7"]
    facts = run(line, "-o", out, "--opening", secret, "--json").json
    assert [part["role"] for part in facts["parts"]] == ["positions", "collateral"]
    assert {part["alias"] for part in facts["parts"]} == {"desk 7"}
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    public = json.loads(out.read_text())
    assert "blinders" not in out.read_text()
    assert [part["points"] for part in public["parts"]] == [part["points"] for part in facts["parts"]]


def test_prove_and_verify(run: Run, files: Path, tmp_path: Path) -> None:
    proof = tmp_path / "p.bin"
    line = ["prove", "--snapshot", files / "snapshot.json", "--book", files / "book.json"]
    line += ["--opening", files / "opening.json", "--claim", "9/8", "--requirement", "maintenance", "-o", proof]
    said = run(line)
    assert f"{proof.stat().st_size} bytes" in said.out
    assert "--claim 9/8 --requirement maintenance" in said.out
    facts = run(line, "--json").json
    assert facts["bytes"] == proof.stat().st_size
    claim = ["--claim", "1.125", "--requirement", "maintenance"]
    accepted = run("verify", *statement(files, context=""), *claim, proof, "--json").json
    assert accepted["accepted"] is True
    assert accepted["claim"]["ratio"] == "9/8"
    assert accepted["claim"] == facts["statement"]["claim"]


def test_verify_says_everything_that_was_proved(run: Run, files: Path) -> None:
    text = run("verify", *statement(files), files / "proof.bin").out
    snapshot = load_document(Snapshot, files / "snapshot.json")
    for words in (
        "accepted",
        "equity is at least the initial margin requirement",
        snapshot.digest().hex(),
        TIME,
        "policy       default version 1",
        "positions of 'account'",
        "collateral of 'account'",
        "not authenticated by itself",
        "2^30 lots (proved)",
        CONTEXT,
        "Not guaranteed",
        "statement    digest",
    ):
        assert words in text
    facts = run("verify", *statement(files), files / "proof.bin", "--json").json
    assert facts["context"] == {"hex": CONTEXT.encode().hex(), "text": CONTEXT}
    assert facts["snapshot"]["digest"] == snapshot.digest().hex()
    assert len(facts["not_guaranteed"]) >= 5
    assert facts["statement_digest"] in text


VISIBLE = "claim        equity is at least 9 times '\\"
HOSTILE = "\x1b[2J\x9b1m\u202eevil\u2066\u200b\u2028\r\nclaim        equity is at least 9 times '\\"


@pytest.mark.parametrize(
    ("context", "shown"),
    [
        (b"", "none"),
        (b"none", "'none'"),
        (
            b"the challenge for 'desk', to be answered before 2026",
            "\"the challenge for 'desk', to be answered before 2026\"",
        ),
        (b"0x00", "'0x00'"),
        (b"\xff\x00", "0xff00"),
        (HOSTILE.encode(), repr(HOSTILE)),
    ],
)
def test_no_context_is_taken_for_words_of_ours(files: Path, context: bytes, shown: str) -> None:
    snapshot = load_document(Snapshot, files / "snapshot.json")
    commitment = load_document(Commitment, files / "commitment.json")
    facts = statement_facts(Statement.of(snapshot, [commitment], Claim(), context=context))
    (line,) = (line for line in statement_lines(facts) if line.startswith("context"))
    assert line == f"context      {shown}"
    assert line.isprintable()
    assert bytes.fromhex(facts["context"]["hex"]) == context


def test_free_text_of_documents_is_quoted_and_escaped(run: Run, files: Path, tmp_path: Path) -> None:
    assert [word(text) for text in ("v1.2-rc", "none", "True", "", "a b")] == [
        "v1.2-rc",
        "'none'",
        "'True'",
        "''",
        "'a b'",
    ]
    commitment = json.loads((files / "commitment.json").read_text())
    for alias, code in ((HOSTILE, 2), (VISIBLE, 0)):
        for part in commitment["parts"]:
            part["alias"] = alias
        (tmp_path / "c.json").write_text(json.dumps(commitment))
        said = run("inspect", tmp_path / "c.json", code=code).err
        assert ("holds a control or invisible character (U+001B)" in said) == (code == 2)
    shown = run("inspect", tmp_path / "c.json").out
    assert repr(VISIBLE) in shown
    statement = ["--snapshot", files / "snapshot.json", "--commitment", tmp_path / "c.json", "--context", CONTEXT]
    assert run("inspect", tmp_path / "c.json", "--json").json["parts"][0]["alias"] == VISIBLE
    facts = statement_facts(
        Statement.of(
            load_document(Snapshot, files / "snapshot.json"), [load_document(Commitment, tmp_path / "c.json")], Claim()
        ),
    )
    words = "\n".join(statement_lines(facts))
    assert f"positions of {VISIBLE!r}" in words
    assert facts["commitments"][0]["alias"] == VISIBLE
    refused = run("verify", *statement, files / "proof.bin", code=1)
    for text in (shown, words, refused.err):
        assert all(line.isprintable() for line in text.split("\n"))
    assert cell_text(f"x{' ' * 9}1,000.00{HOSTILE}").startswith(r"x \x20\x20\x20\x20\x20\x20\x20\x201,000.00\x1b[2J")


def test_verify_does_not_take_the_claim_from_the_proof(run: Run, files: Path) -> None:
    for other in (["--claim", "1.01"], ["--requirement", "maintenance"]):
        refused = run("verify", *statement(files), *other, files / "proof.bin", code=1)
        assert "rejected" in refused.err
        assert refused.out == ""
    facts = run("verify", *statement(files, context="other"), files / "proof.bin", "--json", code=1).json
    assert (facts["accepted"], facts["check"], facts["error"]["check"]) == (False, "pairing", "pairing")
    assert facts["reason"] == "the proof does not prove this statement"


def test_parts_of_two_venues_and_a_custodian_add_up(run: Run, files: Path, tmp_path: Path) -> None:
    whole = json.loads((files / "book.json").read_text())
    names = list(whole["positions"])
    halves = {"a": names[::2], "b": names[1::2]}
    options: list[object] = []
    for venue, own in halves.items():
        book = {"format": whole["format"], "positions": {name: whole["positions"][name] for name in own}}
        (tmp_path / f"{venue}.json").write_text(json.dumps(book))
    (tmp_path / "c.json").write_text(json.dumps({"format": whole["format"], "collateral": whole["collateral"]}))
    commitments: list[object] = []
    for name, part in (("a", "positions"), ("b", "positions"), ("c", "collateral")):
        out, secret = tmp_path / f"{name}-commitment.json", tmp_path / f"{name}-opening.json"
        line = ["commit", tmp_path / f"{name}.json", "--snapshot", files / "snapshot.json", "--part", part]
        run(line, "--alias", f"venue {name}", "-o", out, "--opening", secret)
        (tmp_path / f"{name}.json").chmod(0o600)
        options += ["--book", tmp_path / f"{name}.json", "--opening", secret]
        commitments += ["--commitment", out]
    proof = tmp_path / "sum.bin"
    assert run("prove", "--snapshot", files / "snapshot.json", *options, "-o", proof).err == ""
    facts = run("verify", "--snapshot", files / "snapshot.json", *commitments, proof, "--json").json
    assert sorted(part["alias"] for part in facts["commitments"]) == ["venue a", "venue b", "venue c"]
    books = [tmp_path / f"{name}.json" for name in "abc"]
    together = run("margin", *books, "--snapshot", files / "snapshot.json", "--json").json
    alone = run("margin", files / "book.json", "--snapshot", files / "snapshot.json", "--json").json
    saved = together.pop("netting")
    assert alone.pop("netting") is None
    assert saved["together"] == alone["requirements"]["initial"]["total"]
    assert together == alone


# Freshness


def test_max_age(run: Run, files: Path) -> None:
    snapshot = load_document(Snapshot, files / "snapshot.json")
    check_age(snapshot, 600, now_ms=TIME_MS + 600_000)
    check_age(snapshot, 0, now_ms=TIME_MS - CLOCK_SKEW_MS)
    with pytest.raises(VerificationError, match="stale: taken 600 s ago, at most 600 s"):
        check_age(snapshot, 600, now_ms=TIME_MS + 600_001)
    with pytest.raises(VerificationError, match="from the future: 30 s ahead"):
        check_age(snapshot, 600, now_ms=TIME_MS - CLOCK_SKEW_MS - 1)
    refused = run("verify", *statement(files), "--max-age", "1s", files / "proof.bin", "--json", code=1)
    assert refused.json["check"] == "max-age"
    assert "rejected: the snapshot is" in refused.err


@pytest.mark.parametrize(
    ("text", "later_ms", "code"),
    [("90s", 90_000, 0), ("90s", 90_001, 1), ("10m", 600_000, 0), ("2h", 7_200_001, 1), ("1d", 86_400_000, 0)],
)
def test_max_age_in_seconds_minutes_hours_days(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch, text: str, later_ms: int, code: int
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: (TIME_MS + later_ms) * 1_000_000)
    run("verify", *statement(files), "--max-age", text, files / "proof.bin", code=code)
