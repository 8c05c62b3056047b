"""Compiled kernels come from the user's private directory or are compiled anew, never from where others can write."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zkmargin.formats import private_cache
from zkmargin.formats.errors import SetupError

USE = "from zkmargin.prover._kernels import mul, powers, to_ints; x = powers(3, 9); print(to_ints(mul(x, x))[-1])"


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )


def test_the_directory_is_made_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(private_cache.CACHE_VARIABLE, str(tmp_path / "deep" / "cache"))
    folder = private_cache.private_directory("kernels")
    assert folder == private_cache.private_directory("kernels") == tmp_path / "deep" / "cache" / "kernels"
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(private_cache.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert private_cache.cache_root() == tmp_path / "zkmargin"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert private_cache.cache_root() == tmp_path / ".cache" / "zkmargin"


def test_a_directory_that_is_not_ours_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "cache"
    monkeypatch.setenv(private_cache.CACHE_VARIABLE, str(root))
    root.mkdir(mode=0o700)
    for mode in (0o770, 0o707, 0o777):
        root.chmod(mode)
        with pytest.raises(SetupError, match="others may write"):
            private_cache.private_directory("kernels")
    root.chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: root.stat().st_uid + 1)
    with pytest.raises(SetupError, match="another user"):
        private_cache.private_directory("kernels")
    root.rmdir()
    root.write_text("")
    with pytest.raises(SetupError, match="cannot be made"):
        private_cache.private_directory("kernels")


def test_versions_that_nobody_uses_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(private_cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    names = ("kernels-old", "kernels-recent", "tables-old", "kernels-now", "kernels-shared")
    old, recent, other, now, shared = (private_cache.private_directory(name) for name in names)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "cache" / "kernels-link"
    link.symlink_to(elsewhere)
    then = time.time() - private_cache.UNUSED_SECONDS
    for folder, at in ((old, then - 60), (recent, then + 60), (other, then - 60), (now, then - 60), (elsewhere, 0)):
        (folder / "kernel.nbi").write_bytes(b"code")
        os.utime(folder, (at, at))
    shared.chmod(0o777)
    os.utime(shared, (0, 0))
    assert private_cache.private_version("kernels", "now") == now
    assert [f.exists() for f in (old, recent, other, now, shared, link)] == [False, True, True, True, True, True]
    assert (elsewhere / "kernel.nbi").exists()
    assert now.stat().st_mtime > time.time() - 60


def test_a_version_on_a_read_only_disk_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(private_cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    made = private_cache.private_version("kernels", "now")

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    assert private_cache.private_version("kernels", "now") == made


@pytest.mark.slow
def test_kernels_are_stored_there_and_nowhere_else(tmp_path: Path) -> None:
    shared, private = tmp_path / "shared", tmp_path / "private"
    first = run(USE, ZKMARGIN_CACHE_DIR=str(private), NUMBA_CACHE_DIR=str(shared))
    assert first.stdout == f"{3**16}\n"
    assert not shared.exists()
    stored = list(private.rglob("*.kernel"))
    assert len(stored) >= 2
    # a second process runs them, without numba: nothing is written again
    stamps = {path: path.stat().st_mtime_ns for path in stored}
    told = USE + "; import sys; print('numba' in sys.modules)"
    assert run(told, ZKMARGIN_CACHE_DIR=str(private), NUMBA_CACHE_DIR=str(shared)).stdout == f"{3**16}\nTrue\n"
    assert {path: path.stat().st_mtime_ns for path in stored} == stamps
    # its settings may say for which CPU numba compiles: code of other settings is another's
    run(USE, ZKMARGIN_CACHE_DIR=str(private))
    assert run(told, ZKMARGIN_CACHE_DIR=str(private)).stdout == f"{3**16}\nFalse\n"
    assert len({path.parent for path in private.rglob("*.kernel")}) == 2


@pytest.mark.slow
def test_damaged_kernels_are_compiled_anew(tmp_path: Path) -> None:
    run(USE, ZKMARGIN_CACHE_DIR=str(tmp_path))
    stored = sorted(tmp_path.rglob("*.kernel"))
    whole = [path.read_bytes() for path in stored]
    for path, data in zip(stored, whole, strict=True):
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if path == stored[0] else data[: len(data) // 2])
    assert run(USE, ZKMARGIN_CACHE_DIR=str(tmp_path)).stdout == f"{3**16}\n"
    assert [path.read_bytes()[:18] for path in stored] == [data[:18] for data in whole]
    assert all(len(path.read_bytes()) == len(data) for path, data in zip(stored, whole, strict=True))


@pytest.mark.slow
def test_planted_kernels_in_a_shared_directory_are_not_loaded(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run(USE, ZKMARGIN_CACHE_DIR=str(cache))
    # Kernels of another name: to link one and call it would give another result.
    first, second = sorted(cache.rglob("*.kernel"))[:2]
    planted = first.read_bytes()
    second.write_bytes(planted)
    cache.chmod(0o777)
    result = run(USE, ZKMARGIN_CACHE_DIR=str(cache), NUMBA_CACHE_DIR=str(cache))
    assert result.stdout == f"{3**16}\n"
    assert "others may write" in result.stderr
    assert second.read_bytes() == planted
