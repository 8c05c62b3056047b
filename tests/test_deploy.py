"""The units in deploy/: their command lines do what they say, run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.tools import found
from support.venue_service import Service
from support.watching import World

from zkmargin.cli import main

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
PROGRAM = "/opt/zkmargin/bin/zkmargin"


def lines(unit: str, key: str) -> list[str]:
    """What a unit says under a key; ``%%`` is a percent sign there."""
    found = re.findall(rf"^{key}=(.*)$", (DEPLOY / unit).read_text(), re.MULTILINE)
    return [line.replace("%%", "%") for line in found]


def command(line: str, **paths: Path) -> list[str]:
    """A command line with this Python's zkmargin in place of the installed one."""
    for name, path in paths.items():
        line = line.replace(f"/etc/zkmargin/{name}.toml", str(path))
    ours = shlex.join([sys.executable, "-m", "zkmargin"])
    words = shlex.split(line)
    if words[0] == PROGRAM:
        return [*shlex.split(ours), *words[1:]]
    return [word.replace(PROGRAM, ours) for word in words]


def environment() -> dict[str, str]:
    """As a service manager gives it: nothing makes Python write at once."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.slow
@pytest.mark.linux
def test_the_service_is_checked_started_backed_up_and_stopped(tmp_path: Path) -> None:
    folder = Service.make(tmp_path).folder
    for line in lines("zkmargin-serve.service", "ExecStartPre"):
        subprocess.run(command(line), cwd=folder, check=True, capture_output=True)
    (start,) = lines("zkmargin-serve.service", "ExecStart")
    with subprocess.Popen(
        command(start), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("listening on ")
            unit = "zkmargin-backup.service"
            for line in [*lines(unit, "ExecStartPre"), *lines(unit, "ExecStart")]:
                subprocess.run(command(line), cwd=folder, check=True, capture_output=True)
            (copy,) = (folder / "backups").iterdir()
            assert re.fullmatch(r"\d{8}T\d{6}Z\.db", copy.name)
            assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.linux
def test_the_agent_is_checked_started_and_stopped(tmp_path: Path) -> None:
    config = World(tmp_path).config()
    unit = "zkmargin-watch.service"
    for line in lines(unit, "ExecStartPre"):
        subprocess.run(command(line, watch=config), check=True, capture_output=True)
    (start,) = lines(unit, "ExecStart")
    with subprocess.Popen(
        command(start, watch=config), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert any('"event": "started"' in line for line in process.stdout)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_the_container_runs_a_command_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    found = re.findall(r'^CMD \["(.*)"\]$', (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    (words,) = [line.split('", "') for line in found]
    assert words[0] == "zkmargin"
    assert main([*words[1:3], "--help"]) == 0
    assert "CONFIG" in capsys.readouterr().out


def test_the_container_file_names_what_there_is() -> None:
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", "")
    said = dict(re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE))  # the last of each: of the image that runs
    uid, gid = said["USER"].split(":")
    assert f"groupadd --gid {gid} zkmargin" in text
    assert f"useradd --uid {uid} --gid {gid} --home-dir {said['WORKDIR']} " in text
    assert said["FROM"] == "$BASE"
    source, target = said["COPY"].removeprefix("--from=build ").split()
    assert f"python -m venv {target}" in text
    assert (source, said["ENV"].split()[0]) == (target, f"PATH={target}/bin:$PATH")
    assert said["CMD"].endswith(f'"{said["WORKDIR"]}/serve.toml"]')
    (extras,) = re.findall(r'"/source\[(.*)\]"', text)
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert (DEPLOY.parent / re.findall(r"--constraint /source/(\S+)", text)[0]).is_file()
    kept_out = (DEPLOY.parent / ".dockerignore").read_text().split()
    assert {".git", ".venv", "**/*.key.json", "**/*.db"} <= set(kept_out)


@pytest.mark.slow
@pytest.mark.linux
def test_units_are_what_systemd_reads() -> None:
    tool = found("systemd-analyze")
    units = sorted(str(path) for path in DEPLOY.iterdir() if path.suffix in {".service", ".timer"})
    assert len(units) == 4
    done = subprocess.run([tool, "verify", *units], capture_output=True, text=True, check=False)
    other = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert not other, done.stderr


@pytest.mark.slow
@pytest.mark.linux
@pytest.mark.parametrize("name", ["serve", "watch", "backup"])
def test_units_take_what_they_do_not_need_from_what_they_start(name: str) -> None:
    """Each holds secrets: below 4 of 10 by systemd's own measure, which says 9.6 of a unit without such lines."""
    unit = str(DEPLOY / f"zkmargin-{name}.service")
    tool = [found("systemd-analyze"), "security", "--offline=yes", "--no-pager", "--threshold=40"]
    done = subprocess.run([*tool, unit], capture_output=True, text=True, check=False)
    assert "Overall exposure level" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout
