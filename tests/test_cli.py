"""The command line, each command on real documents: words, JSON, files, exit codes."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
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


# Explaining files


def test_inspect_explains_public_files(run: Run, files: Path) -> None:
    for name, words in (
        ("market.json", "a market"),
        ("snapshot.json", "a risk snapshot"),
        ("commitment.json", "authenticated by nothing"),
        ("proof.bin", "what it proves stands in the verifier's own files"),
    ):
        assert words in run("inspect", files / name).out
        assert run("inspect", files / name, "--json").json["secret"] is False


def test_inspect_shows_a_proof_by_name(run: Run, files: Path) -> None:
    data = (files / "proof.bin").read_bytes()
    elements = run("inspect", files / "proof.bin", "--snapshot", files / "snapshot.json", "--json").json["elements"]
    points = [bytes.fromhex(value) for name, value in elements.items() if "zeta" not in name]
    scalars = [int(value).to_bytes(32, "big") for name, value in elements.items() if "zeta" in name]
    assert b"".join([*points[:-2], *scalars, *points[-2:]]) == data[-sum(map(len, points + scalars)) :]


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_inspect_shows_no_secret_number(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(files)  # a number in the folder's name is no leak
    text = run("inspect", "book.json", *arguments).out
    book = json.loads((files / "book.json").read_text())
    assert "SECRET" in text
    for quantity in {**book["positions"], **book["collateral"]}.values():
        assert len(quantity) < 4 or quantity not in text
    text = run("inspect", "opening.json", *arguments).out
    assert "SECRET" in text
    for part in json.loads((files / "opening.json").read_text())["parts"]:
        assert part["points"][0] in text
        assert not any(blinder in text for blinder in part["blinders"])


def test_inspect_explains_the_setup(run: Run) -> None:
    from zkmargin.crypto.srs import EMBEDDED_FILE

    assert run("inspect", EMBEDDED_FILE, "--json").json["name"] == "ethereum-kzg-4096"


def test_srs(run: Run, tmp_path: Path) -> None:
    from zkmargin.crypto.srs import embedded

    digest = embedded().digest.hex()
    assert digest in run("srs", "info").out
    assert run("srs", "info", "--json").json["g1_powers"] == 4096
    assert digest in run("srs", "verify").out
    assert run("srs", "verify", "--json").json["known_ceremony"] is True
    (tmp_path / "setup.srs").write_bytes(embedded().encoding)
    assert digest in run("srs", "verify", tmp_path / "setup.srs").out


def test_doctor(run: Run) -> None:
    text = run("doctor").out
    for words in ("unaudited", "python", "numba", "ethereum-kzg-4096", "kernels", "cache", "disk"):
        assert words in text
    assert run("doctor", "--json").json["ok"] is True


def test_doctor_names_a_checkout_without_links(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "zkmargin"
    for name in ("circuits", "engine", "prover"):
        (home / name).mkdir(parents=True)
        (home / name / "__init__.py").touch()
    (home / "verifier").write_text("../verifier")  # what git leaves where links cannot be made
    monkeypatch.setattr(zkmargin, "__file__", str(home / "__init__.py"))
    result = run("doctor", code=2)
    assert "zkmargin/verifier: no folder; this checkout was made without symbolic links" in result.out


def test_doctor_fails_on_a_cache_directory_of_others(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("ZKMARGIN_CACHE_DIR", str(shared))
    result = run("doctor", code=2)
    assert "others may write" in result.out
    assert "checks failed: cache" in result.err


# The package


def test_public_names_exist_and_are_listed() -> None:
    for name in zkmargin.__all__:
        assert getattr(zkmargin, name) is not None
    assert set(zkmargin.__all__) <= set(dir(zkmargin))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = zkmargin.nonsense


def test_importing_the_package_loads_no_compiler() -> None:
    script = "import sys, zkmargin; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {"numba", "numpy", "pydantic", "click", "zkmargin.engine", "zkmargin.verifier"}.isdisjoint(
        result.stdout.split()
    )


def test_verify_loads_no_compiler_no_prover_and_no_tables(files: Path) -> None:
    arguments = [str(argument) for argument in ("verify", *statement(files), files / "proof.bin")]
    script = (
        "import sys; from zkmargin.cli import main; code = main(sys.argv[1:]);"
        "priced = {f'zkmargin.engine.{m}' for m in ('market', 'pricing', 'publishing', 'revaluation', 'valuation')};"
        "others = {'numba', 'llvmlite', 'galois', 'py_ecc', 'rich', 'zkmargin.prover', 'scipy'};"
        "bad = (priced | others) & set(sys.modules);"
        "sys.exit(code if not bad else f'loaded {bad}')"
    )
    command = [sys.executable, "-c", script, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_module_runs_as_the_command_line(files: Path) -> None:
    command = [sys.executable, "-m", "zkmargin", "inspect", str(files / "proof.bin")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "a proof" in result.stdout


def test_every_command_module_has_its_command() -> None:
    for name, (module, _) in COMMANDS.items():
        command = importlib.import_module(f"zkmargin.cli.commands.{module}").command
        assert isinstance(command, click.Command)
        assert command.name == name


def test_layout_profiles_choose_the_rows(run: Run, files: Path, tmp_path: Path) -> None:
    build = ("snapshot", "build", files / "market.json", "--policy", "default")
    for layout, rows in (("fast", 512), ("compact", 1024)):
        target = tmp_path / f"{layout}.json"
        run(*build, "--layout", layout, "-o", target)
        assert json.loads(target.read_text())["layout"]["domain_size"] == rows
    both = run(*build, "--layout", "fast", "--domain-size", "256", "-o", tmp_path / "x.json", code=2)
    assert "not by both" in both.err
    assert not (tmp_path / "x.json").exists()


# --- the house around the commands ----------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(run: Run, shell: str) -> None:
    assert f"{shell}_complete" in run("completion", shell).out


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("zkmargin snap", "plain,snapshot"),
        ("zkmargin snapshot b", "plain,build"),
        ("zkmargin key new --scheme ", "plain,ed25519"),
        ("zkmargin inspect ", "file,"),
        ("zkmargin prove --sna", "plain,--snapshot"),
    ],
)
def test_a_shell_is_told_what_can_be_typed(words: str, found: str) -> None:
    environment = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    environment["_ZKMARGIN_COMPLETE"] = "bash_complete"
    line = [sys.executable, "-c", "import sys; from zkmargin.cli import main; sys.exit(main())"]
    result = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert found in result.stdout.splitlines(), result.stderr


def test_every_command_has_a_manual_page(run: Run, tmp_path: Path) -> None:
    run("manual", tmp_path / "man1")
    pages = {path.name: path.read_text() for path in (tmp_path / "man1").iterdir()}
    assert {f"zkmargin-{name}.1" for name in COMMANDS} | {"zkmargin.1", "zkmargin-snapshot-build.1"} <= set(pages)
    assert all(page.startswith('.TH "ZKMARGIN') and ".SH SYNOPSIS" in page for page in pages.values())
    prove = pages["zkmargin-prove.1"]
    assert "\\-\\-opening" in prove
    assert ".SH EXAMPLES" in prove
    requests = re.compile(r"\.(TH|SH|PP|TP|B|BR|nf|fi)\b")
    for page in pages.values():
        assert all(requests.match(line) for line in page.splitlines() if line.startswith((".", "'")))


def test_the_cache_can_be_seen_and_cleared(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "cache"
    monkeypatch.setenv("ZKMARGIN_CACHE_DIR", str(home))
    assert run("cache", "info", "--json").json["files"] == 0
    kept = tmp_path / "mine"
    kept.write_text("mine")
    (home / "kernels-x").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / "kernels-x" / "a.nbc").write_bytes(b"12345")
    (home / "kernels-x" / "link").symlink_to(kept)
    facts = run("cache", "info", "--json").json
    assert (facts["files"], facts["folder"]) == (2, str(home))
    assert "removed 2 files" in run("cache", "clear").out
    assert run("cache", "info", "--json").json["files"] == 0
    assert kept.read_text() == "mine"
