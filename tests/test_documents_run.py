"""What the documents and every --help tell a user to type runs as it is printed."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema
import pytest

from zkmargin.cli import COMMANDS, main
from zkmargin.cli.groups import Command

ROOT = Path(__file__).resolve().parent.parent
#: Before a fenced block that is run; what is in between is nothing but blank lines.
BLOCK = re.compile(r"^<!-- run -->\n+```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MARK = "<!-- run -->"
#: Run on the files of `zkmargin demo --venue`.
VENUE = ("zkmargin venue", "zkmargin verify --terms", "zkmargin bundle --terms")
#: Run elsewhere: with a service that listens (tests/test_service_examples.py), or with a chain and its contracts
#: (contracts/tests/test_examples.py, which only `make contracts` has the tools for).
ELSEWHERE = ("zkmargin serve", "zkmargin chain")
#: Never run: every other test would compile again.
NOT_RUN = ("zkmargin cache clear",)


def _documents() -> Iterator[Path]:
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        if MARK in path.read_text():
            yield path


#: What folders of this project, and packages of the index, are called: a user's file of that name changes nothing.
HOSTILE = ("circuits", "crypto", "engine", "formats", "ledger", "prover", "verifier", "risk", "policy", "book")


def _hostile(folder: Path) -> None:
    """Modules that end the program that imports them."""
    folder.mkdir(exist_ok=True)
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(f"raise SystemExit('the user's {name}.py was imported')\n")


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "ZKMARGIN_CACHE_DIR") if name in os.environ}
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return {**kept, "PATH": path, "TMPDIR": str(folder), "PYTHONPATH": str(folder / "hostile")}


def _script(blocks: list[tuple[str, str]]) -> str:
    """One shell session: folders that a block enters stay entered."""
    lines = ["set -euo pipefail"]
    for place, (language, text) in enumerate(blocks, 1):
        if language == "python":
            lines += [f"python - <<'END OF BLOCK {place}'", text.rstrip("\n"), f"END OF BLOCK {place}"]
        else:
            lines.append(text.rstrip("\n"))
        lines.append(f"echo 'block {place} ran'")
    return "\n".join(lines) + "\n"


@pytest.mark.slow
@pytest.mark.parametrize("path", list(_documents()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_block_runs_in_order_from_an_empty_folder(path: Path, tmp_path: Path) -> None:
    """But for a user's own engine.py and the like, in the folder and in front of every package."""
    text = path.read_text()
    work = tmp_path / "work"
    _hostile(work)
    _hostile(tmp_path / "hostile")
    blocks = BLOCK.findall(text)
    assert len(blocks) == text.count(MARK), "a mark without a fenced block below it"
    assert {language for language, _ in blocks} <= {"sh", "python"}
    result = subprocess.run(
        ["bash", "-c", _script(blocks)],
        cwd=work,
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert [f"block {i} ran" in result.stdout for i in range(1, len(blocks) + 1)] == [True] * len(blocks)


def test_the_readme_has_blocks_that_run() -> None:
    text = (ROOT / "README.md").read_text()
    languages = [language for language, _ in BLOCK.findall(text)]
    assert languages.count("sh") >= 2
    assert languages.count("python") >= 1
    first = [line.strip() for line in text.splitlines() if line.strip().startswith("make ")]
    assert [line.split("#")[0].strip() for line in first[:2]] == ["make demo", "make test"]


# --- the examples of every --help -----------------------------------------------------------------------------------


def _commands(group: click.Group) -> Iterator[Command]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from _commands(command)
        else:
            assert isinstance(command, Command), name
            yield command


def _examples() -> list[str]:
    found: list[str] = []
    for module, _ in COMMANDS.values():
        command = importlib.import_module(f"zkmargin.cli.commands.{module}").command
        group = command if isinstance(command, click.Group) else None
        for one in _commands(group) if group else [command]:
            assert one.examples, one.name
            found += one.examples
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "demo"
    assert main(["demo", "--folder", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smaller venue than the demo's, which has a thousand accounts."""
    from zkmargin.cli.demo_venue import run_venue_demo

    folder = tmp_path_factory.mktemp("examples") / "venue"
    folder.mkdir()
    run_venue_demo(folder, accounts=8)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "venue"])
def test_every_example_runs_on_a_demos_files_in_any_order(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Backwards here; what one writes no other reads, so the order does not matter."""
    folder: Path = request.getfixturevalue(name)
    examples = _examples()
    others = (*VENUE, *ELSEWHERE, *NOT_RUN)
    assert all(any(line.startswith(start) for line in examples) for start in others), "a name that is not needed"
    if name == "venue":
        run = [line for line in examples if line.startswith(VENUE)]
    else:
        run = [line for line in examples if not line.startswith((*others, "zkmargin demo"))]
    assert len(run) >= (100 if name == "demo" else 10)
    monkeypatch.chdir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    failed = {}
    for line in reversed(run):
        words = shlex.split(line, comments=True)
        target = words[words.index(">") + 1] if ">" in words else None
        capsys.readouterr()
        code = main(words[1 : words.index(">")] if target else words[1:])
        captured = capsys.readouterr()
        if target:
            Path(target).write_text(captured.out)
        if code != 0:
            failed[line] = captured.err
    assert not failed
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name for name in changed if not name.startswith("my")} <= {"ledger.db"}


def test_no_example_writes_what_another_reads() -> None:
    options = "-o|--csv|--new-book|--new-opening|--update|--migration|>|--public|--fills|--html|--derivation|--secret"
    writes = re.compile(rf"(?:{options}) +(my\S+)")
    examples = [line for line in _examples() if not line.startswith(ELSEWHERE)]
    written = [name for line in examples for name in writes.findall(line)]
    assert len(set(written)) == len(written)
    for line in examples:
        words = shlex.split(line, comments=True)
        read = [word for word in words if word.startswith("my")]
        assert len(read) == len(set(read)), line
        for before, word in itertools.pairwise(words):
            if word.startswith("my"):
                assert before.startswith("-") or before in (">", "ledger.db", "manual", "append"), line


def test_no_example_has_a_date_that_expires() -> None:
    dated = [line for line in _examples() if re.search(r"\b20[0-9]{2}-|[0-9]{1,2}[A-Z]{3}[0-9]{2}\b", line)]
    fixed = ("expired.json", "closes.csv")  # samples whose days stay as they are
    assert all(line.startswith("zkmargin serve coverage") or any(x in line for x in fixed) for line in dated), dated


# --- how the sources of documents are written ------------------------------------------------------------------------

WIDTH = 100
#: What is not broken: code, formulas and links.
WHOLE = re.compile(r"`[^`]*`|\[[^\]]*\]\([^)]*\)")


def test_prose_has_lines_of_at_most_100_characters() -> None:
    found = []
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))):
        fenced = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            fenced ^= line.lstrip().startswith("```")
            if not fenced and not line.lstrip().startswith(("|", "#", "```")) and not line.startswith("    "):
                start = WHOLE.sub(lambda whole: "x" * len(whole[0]), line)[: WIDTH + 1]
                if len(line) > WIDTH and " " in start.lstrip(" *-0123456789."):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {len(line)}")
    assert found == []


# --- what documents name ---------------------------------------------------------------------------------------------

#: A path with a folder; capitals stand for any name.
PATH = re.compile(r"`((?:[\w.-]+/)+(?:[a-z0-9_.-]+\.(?:py|md|toml|json|js|ts|sol|sh|html|css|sql|csv|yml|svg))?)`")
#: From where documents name files: the top, the package, the document's own folder, the tests and their golden files.
FROM = ("", "zkmargin", "docs", "tests", "tests/data/golden")
#: What is only made (a release), and another distribution's folder.
ELSEWHERE_FOLDERS = ("dist/", "Crypto/")


def test_every_path_that_a_document_names_is_there() -> None:
    found = []
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in sorted(pages):
        if page.name != "CHANGELOG.md":  # it speaks of what was
            for name in PATH.findall(page.read_text()):
                places = [page.parent / name, *(ROOT / start / name for start in FROM)]
                if name not in ELSEWHERE_FOLDERS and not any(place.exists() for place in places):
                    found.append(f"{page.relative_to(ROOT)}: {name}")
    assert found == []


def test_decisions_have_a_number_each_which_their_title_says() -> None:
    paths = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(path.name[:4]) for path in paths]
    assert numbers == list(range(1, len(paths) + 1))
    titles = [path.read_text("utf-8").partition("\n")[0] for path in paths]
    assert [title.split(" ")[1] for title in titles] == [f"{number}." for number in numbers]


def test_the_architecture_names_every_folder_of_the_program() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    tops = (
        "circuits",
        "engine",
        "prover",
        "verifier",
        "zkmargin",
        "contracts",
        "web",
        "deploy",
        "benchmarks",
        "findings",
    )
    folders = {Path(name).parent for name in listed if name.startswith(tops) and "/" in name}
    inner = {folder for folder in folders if not {"data", "static", "tests", "peers", "noir"} & {*folder.parts}}
    assert len(inner) > 35 or not listed  # an archive of the source has no list
    named = {folder for folder in inner if f"{folder.as_posix()}/" in text or f"    {folder.name}/ " in text}
    assert sorted(folder.as_posix() for folder in inner - named - {Path("contracts/src")}) == []


# --- what --json prints ---------------------------------------------------------------------------------------------

STATEMENT = "--snapshot snapshot.json --commitment commitment.json"
OWN = "--snapshot snapshot.json --book book.json"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "line", "code"),
    [
        ("snapshot build", "snapshot build market.json --policy default -o my-json-snapshot.json", 0),
        ("margin", "margin book.json --snapshot snapshot.json --array --add '+1 BTC-PERPETUAL'", 0),
        ("commit", "commit book.json --snapshot snapshot.json -o my-c.json --opening my-o.json", 0),
        ("check", f"check {OWN}", 0),
        ("check", f"check {OWN} --claim 5", 1),
        ("prove", f"prove {OWN} --opening opening.json --profile -o my-json.bin", 0),
        ("verify", f"verify {STATEMENT} one.bin", 0),
        ("verify", f"verify {STATEMENT} --context other one.bin", 1),
        ("ledger status", "ledger status --ledger ledger.db", 0),
        ("doctor", "doctor", 0),
        ("", "policy list", 0),
        ("", "inspect opening.json", 0),
        ("", "snapshot show none.json", 2),
        ("", "verfy", 2),
        ("", "prove", 2),
    ],
)
def test_json_output_is_of_its_schema(
    demo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    line: str,
    code: int,
) -> None:
    schema = json.loads((ROOT / "docs" / "output.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    monkeypatch.chdir(demo)
    capsys.readouterr()
    assert main([*shlex.split(line), "--json"]) == code
    out = capsys.readouterr().out
    assert out.isascii()
    value = json.loads(out)
    jsonschema.validate(value, schema, jsonschema.Draft202012Validator)
    if name:
        jsonschema.validate(value, {"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
    assert ("error" in value) == (code != 0)
    assert next(iter(value)) == "output_version"
