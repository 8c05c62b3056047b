"""The house around the commands: inspect, doctor, imports, completion, manual pages, the cache."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.command_line import Run
from support.example_files import example_files, placed

import zkmargin
from zkmargin.cli import COMMANDS


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return placed(example_files(domain_size=None), tmp_path_factory.mktemp("cli"))


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
    given = {"--snapshot": "snapshot.json", "--commitment": "commitment.json"}
    arguments = [
        "verify",
        *(str(x) for name, file in given.items() for x in (name, files / file)),
        f"{files}/proof.bin",
    ]
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
