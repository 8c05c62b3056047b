"""Completion in the shells themselves, and manual pages as ``man`` reads them: what is installed here is tried.

bash is everywhere; ``make shells`` and ``.ci/run`` install zsh, fish and man or fail, so that nothing is left out.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.tools import found

PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
BASH = """
eval "$(zkmargin completion bash)"
complete -p zkmargin
type() {
    COMPREPLY=(); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _zkmargin_completion zkmargin
    echo "${COMPREPLY[@]}"
}
type zkmargin ver
type zkmargin prove --cl
type zkmargin completion f
"""
#: A terminal of zsh's own: there is no completion without one.
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'autoload -Uz compinit; compinit -u -D; eval "$(zkmargin completion zsh)"; echo re""ady'
zpty -r -m shell said '*ready*'
zpty -w -n shell $'zkmargin completion f\\t'
zpty -r -m shell said '*completion fish*'; print "[fish]"
zpty -w -n shell $'\\x15zkmargin prove --cl\\t'
zpty -r -m shell said '*prove --claim*'; print "[--claim]"
"""
FISH = """
zkmargin completion fish | source
complete -C "zkmargin ver"
complete -C "zkmargin prove --cl"
complete -C "zkmargin completion f"
"""


def said(shell: str, script: str, folder: Path) -> str:
    where = found(shell, path=PATH)
    words = [where, *(["--norc", "--noprofile"] if shell == "bash" else ["-f"] if shell == "zsh" else []), "-c", script]
    environment = {"PATH": PATH, "HOME": str(folder), "TERM": "dumb", "COLUMNS": "100"}
    return subprocess.run(
        words, env=environment, cwd=folder, capture_output=True, text=True, check=True, timeout=60
    ).stdout


@pytest.mark.slow
def test_bash_completes_commands_options_and_choices(tmp_path: Path) -> None:
    told = said("bash", BASH, tmp_path).splitlines()
    assert told[0].endswith("-F _zkmargin_completion zkmargin")
    assert told[1:] == ["verify verify-batch", "--claim", "fish"]


@pytest.mark.slow
def test_zsh_completes_options_and_choices(tmp_path: Path) -> None:
    assert said("zsh", ZSH, tmp_path).split() == ["[fish]", "[--claim]"]


@pytest.mark.slow
def test_fish_completes_commands_options_and_choices(tmp_path: Path) -> None:
    words = [line.split("\t")[0] for line in said("fish", FISH, tmp_path).splitlines()]
    assert words == ["verify", "verify-batch", "--claim", "fish"]


@pytest.mark.slow
def test_man_reads_every_manual_page_without_a_warning(tmp_path: Path) -> None:
    found("man", path=PATH)
    subprocess.run(["zkmargin", "manual", "man1"], env={"PATH": PATH}, cwd=tmp_path, check=True, capture_output=True)
    pages = sorted((tmp_path / "man1").iterdir())
    assert len(pages) > 60
    result = subprocess.run(
        ["man", "--warnings=w", "-l", *(str(page) for page in pages)],
        env={"PATH": PATH, "MANWIDTH": "80", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    assert "zkmargin-verify-batch" in result.stdout
