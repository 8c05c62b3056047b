"""The shards of ``make assurance``: what they are about exists; a result is recorded, and outlived in time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import assurance
from assurance import RESULTS, ROOT, SHARDS, Shard


def test_what_shards_run_and_are_about_is_there() -> None:
    for name, shard in SHARDS.items():
        for path in assurance.paths(shard.about):
            assert assurance.git("ls-files", "--", path), (name, path)
        if str(ROOT / "tests") in shard.command[1]:
            assert Path(shard.command[1]).is_file(), name


def test_what_a_test_reads_is_found_through_what_it_imports() -> None:
    read = assurance.read_by("test_live.py")
    assert {"tests/test_live.py", "tests/conftest.py", "tests/support/live.py"} <= {*read}
    assert "tests/support/venue_service.py" in read  # imported by support/live.py
    assert not {"tests/support/sheets.py", "tests/test_service.py"} & {*read}


def test_everything_that_can_be_cut_is_in_a_shard() -> None:
    """Of the lists in the scripts nothing is left out, and a name of theirs that changes is noticed."""
    import test_fuzz

    assert tuple(assurance.FUZZED) == test_fuzz.NAMES
    files = [
        name for part in range(1, assurance.SUITE_PARTS + 1) for name in assurance.suite(part, assurance.SUITE_PARTS)
    ]
    suite = {path.stem.removeprefix("test_"): path for path in (ROOT / "tests").glob("test_*.py")}
    assert sorted(files) == sorted(str(path.relative_to(ROOT)) for path in suite.values())
    # what draws examples, or says that it has a full length, is run at it; fuzzing has shards of its own
    longer = re.compile(r"^@given\(|\"ZKMARGIN_FULL|import .*\bFULL\b|small_systems|support.cheats", re.MULTILINE)
    drawing = {name for name, path in suite.items() if longer.search(path.read_text("utf-8"))}
    assert drawing - {"fuzz", "assurance"} == {name for tests, _ in assurance.FULL.values() for name in tests}


def test_every_result_is_of_a_shard_and_can_be_read() -> None:
    for path in RESULTS.glob("*.json"):
        assert path.stem in SHARDS
        record = assurance.record_of(path.stem)
        assert record is not None
        assert record.shard == path.stem


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], cwd=tmp_path, check=True)

    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "a.py").write_text("1\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one")
    monkeypatch.setattr(assurance, "ROOT", tmp_path)
    monkeypatch.setattr(assurance, "RESULTS", tmp_path / "results")
    good = Shard("good", (sys.executable, "-c", "print('3 passed')"), about=("engine",))
    bad = Shard("bad", (sys.executable, "-c", "print('1 failed'); raise SystemExit(1)"), about=("engine",))
    monkeypatch.setattr(assurance, "SHARDS", {"good": good, "bad": bad})
    return tmp_path


def test_a_result_is_recorded_and_speaks_until_what_it_is_about_changes(project: Path) -> None:
    assert assurance.main([]) == 1
    good, bad = assurance.record_of("good"), assurance.record_of("bad")
    assert good is not None
    assert bad is not None
    assert (good.passed, good.said, bad.passed) == (True, "3 passed", False)
    assert (assurance.speaks("good", good), assurance.speaks("bad", bad)) == (True, False)
    assert json.loads((project / "results" / "good.json").read_text()) == asdict(good)
    assert not assurance.speaks("good", replace(good, commit="0" * 40))
    assert not assurance.speaks("good", replace(good, changed=True))
    assert not assurance.speaks("good", replace(good, what="good, but shorter"))
    (project / "engine" / "a.py").write_text("1 + 1\n")
    assert not assurance.speaks("good", good)
    again = assurance.run("good")
    assert again.changed  # a run beside a commit speaks of no commit
    assert any("3 passed" in line for line in assurance.table())


def test_a_shard_that_is_not_there_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        assurance.main(["nonsense"])
    assert "no such shard: nonsense (there are good, bad)" in capsys.readouterr().err
    assert not (project / "results").exists()
