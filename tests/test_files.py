"""Files: all or nothing, secrets with mode 0600, links, caps, and one clear line when it does not work."""

import errno
import io
import os
import signal
import stat
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.typed import Passed

from zkmargin.formats import InputError, read_bytes, read_text, write_atomic
from zkmargin.formats.files import PIECE_BYTES, ExistsError, kind_of

ROOT = Path(__file__).resolve().parent.parent


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    try:
        yield request.param
    finally:
        os.umask(before)


# Reading


@given(st.binary(max_size=200))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "file"
    write_atomic(path, data)
    assert read_bytes(path) == data
    assert read_bytes(str(path), max_bytes=len(data)) == data


@pytest.mark.parametrize("size", [1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_the_cap_is_exact(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert len(read_bytes(path, max_bytes=size)) == size
    with pytest.raises(InputError, match=f"^{path}: larger than {size - 1} bytes$"):
        read_bytes(path, max_bytes=size - 1)


def test_reading_reserves_no_memory_for_what_is_not_there(tmp_path: Path) -> None:
    small, endless = tmp_path / "small", Path("/dev/zero")
    small.write_bytes(b"x" * 400)
    tracemalloc.start()
    try:
        read_bytes(small, max_bytes=1 << 40)
        assert tracemalloc.get_traced_memory()[1] < 2 * PIECE_BYTES
        if endless.exists():
            with pytest.raises(InputError, match="larger than 100 bytes"):
                read_bytes(endless, max_bytes=100)
            assert tracemalloc.get_traced_memory()[1] < 2 * PIECE_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "no such file or directory"),
        (".", "is a directory"),
        ("file/x", "not a directory"),
        ("a\0b", "null byte"),
        ("n" * 300, "file name too long"),
    ],
)
def test_unreadable_paths(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        read_bytes(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: cannot be read: ")
    assert reason in str(caught.value)
    assert caught.value.exit_code == 2


def test_text_is_utf8(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("\u00e9".encode())
    assert read_text(path) == "\u00e9"
    path.write_bytes(b"ab\xff")
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 2\)"):
        read_text(path)


def test_a_dash_is_standard_input_and_output(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abc")))
    assert read_bytes("-", max_bytes=3) == b"abc"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abcd")))
    with pytest.raises(InputError, match="-: larger than 3 bytes"):
        read_bytes("-", max_bytes=3)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
    write_atomic("-", b"out", secret=True)
    assert written.getvalue() == b"out"
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"y" * 300_000,))
    writer.start()
    assert read_bytes(pipe) == b"y" * 300_000
    writer.join()


# Modes of what is written


def test_secrets_have_mode_0600_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    write_atomic(tmp_path / "secret", b"s", secret=True)
    assert mode(tmp_path / "secret") == 0o600
    write_atomic(tmp_path / "public", b"p")
    assert mode(tmp_path / "public") == 0o666 & ~umask


def test_a_secret_replaces_a_readable_file_with_mode_0600(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_atomic(path, b"s", secret=True)
    assert mode(path) == 0o600


def test_no_byte_of_a_secret_is_in_a_file_that_others_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    real = os.fchmod

    def noted(descriptor: int, bits: int = 0) -> None:
        status = os.fstat(descriptor)
        seen.append((stat.S_IMODE(status.st_mode), status.st_size))
        if bits:
            real(descriptor, bits)

    monkeypatch.setattr(os, "fchmod", noted)
    monkeypatch.setattr(os, "fsync", noted)
    before = os.umask(0)
    try:
        write_atomic(tmp_path / "secret", b"12345", secret=True)
    finally:
        os.umask(before)
    assert seen == [(0o600, 0), (0o600, 5)]


# All or nothing


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("existing", [None, b"old"])
@pytest.mark.parametrize(
    ("function", "raised", "seen"),
    [
        ("fsync", OSError(errno.ENOSPC, "No space left on device"), InputError),
        ("fsync", OSError(errno.EIO, "Input/output error"), InputError),
        ("fsync", KeyboardInterrupt(), KeyboardInterrupt),
        ("fsync", Interrupted(), Interrupted),
        ("rename", Interrupted(), Interrupted),
        ("replace", OSError(errno.EXDEV, "Invalid cross-device link"), InputError),
        ("fchmod", OSError(errno.EPERM, "Operation not permitted"), InputError),
    ],
)
def test_nothing_is_left_of_a_write_that_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    raised: BaseException,
    seen: type[BaseException],
    existing: bytes | None,
) -> None:
    path = tmp_path / "file"
    if existing is not None:
        path.write_bytes(existing)

    def fail(*_args: Passed, **_more: Passed) -> None:
        raise raised

    monkeypatch.setattr(os, "replace" if function == "rename" else function, fail)
    with pytest.raises(seen) as caught:
        write_atomic(path, b"new", secret=True)
    monkeypatch.undo()
    if isinstance(caught.value, InputError):
        assert str(caught.value) == f"{path}: cannot be written: {str(raised.strerror).lower()}"  # type: ignore[attr-defined]
    assert [p.name for p in tmp_path.iterdir()] == ([] if existing is None else ["file"])
    assert existing is None or path.read_bytes() == existing


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_process_killed_in_the_middle_leaves_the_old_file(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    script = f"""
import os, signal, sys
from zkmargin.formats import write_atomic
os.{moment} = lambda *args, **more: os.kill(os.getpid(), signal.SIGKILL)
write_atomic(sys.argv[1], b"new" * 100_000, secret=True)
"""
    result = subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=False)
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    # A process that is killed cannot clean up; what it leaves is hidden, named as a part and, if secret, private.
    (left,) = (p for p in tmp_path.iterdir() if p != path)
    assert left.name.startswith(".file.")
    assert left.name.endswith(".part")
    assert mode(left) == 0o600


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path, stop = tmp_path / "file", threading.Event()
    contents = {b"a" * 200_000, b"b" * 300_000}
    write_atomic(path, min(contents))

    def rewrite() -> None:
        while not stop.is_set():
            for content in contents:
                write_atomic(path, content)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        assert {path.read_bytes() for _ in range(200)} <= contents
    finally:
        stop.set()
        writer.join()


# Where it is written


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link, dangling = tmp_path / "folder/target", tmp_path / "link", tmp_path / "dangling"
    target.write_bytes(b"old")
    link.symlink_to("folder/target")
    dangling.symlink_to("folder/new")
    write_atomic(link, b"new", secret=True)
    write_atomic(dangling, b"made")
    assert link.is_symlink()
    assert dangling.is_symlink()
    assert (target.read_bytes(), mode(target)) == (b"new", 0o600)
    assert (tmp_path / "folder/new").read_bytes() == b"made"
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["new", "target"]


def test_a_hard_link_keeps_the_old_content(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"old")
    other.hardlink_to(path)
    write_atomic(path, b"new")
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"old")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".", "exists and is not a regular file"),
        ("pipe", "exists and is not a regular file"),
        ("link-to-folder", "exists and is not a regular file"),
        ("missing/file", "cannot be written: no such file or directory"),
        ("file/x", "cannot be written: not a directory"),
        ("n" * 300, "cannot be written: file name too long"),
        ("n" * 250, "cannot be written: file name too long"),
        ("a\0b", "null byte"),
    ],
)
def test_unwritable_paths(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link-to-folder").symlink_to(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError) as caught:
        write_atomic(tmp_path / name, b"new", secret=True)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert reason in str(caught.value)
    assert caught.value.exit_code == 2
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_bytes() == b"old"


def test_an_unwritable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o500)
    if os.geteuid() == 0:  # root may write anywhere: let the system call say no

        def refuse(*_args: Passed, **_more: Passed) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=r"file: cannot be written: permission denied$"):
        write_atomic(folder / "file", b"new")
    monkeypatch.undo()
    assert list(folder.iterdir()) == []
    folder.chmod(0o700)


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """Refused in the middle of the data: a limit on the size of files stands in for a full disk."""
    script = """
import resource, signal, sys
from zkmargin.formats import InputError, write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(sys.argv[1], bytes(100_000))
except InputError as error:
    print(error.reason)
"""
    path = tmp_path / "file"
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == ("cannot be written: file too large\n", "")
    assert list(tmp_path.iterdir()) == []


# Files that are not replaced


def test_of_many_writers_at_once_one_wins_and_the_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "opening.json"
    start = threading.Barrier(8)
    told: list[str] = []
    won: list[bytes] = []

    def write(mine: bytes) -> None:
        start.wait()
        try:
            write_atomic(path, mine, secret=True, replace=False)
        except ExistsError as error:
            told.append(error.reason)
        else:
            won.append(mine)

    writers = [threading.Thread(target=write, args=(bytes([i]) * 4096,)) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert told == ["exists"] * 7
    assert [path.read_bytes()] == won
    assert [file.name for file in tmp_path.iterdir()] == ["opening.json"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_where_there_are_no_hard_links_nothing_is_replaced_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(code, "no hard links here")

    monkeypatch.setattr("os.link", no_links)
    path = tmp_path / "key.json"
    write_atomic(path, b"mine", secret=True, replace=False)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"mine", 0o600)
    with pytest.raises(ExistsError):
        write_atomic(path, b"other", secret=True, replace=False)
    assert path.read_bytes() == b"mine"
    assert [file.name for file in tmp_path.iterdir()] == ["key.json"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", None),
        (b'{\n "format": "zkmargin/market/v1"}', "zkmargin/market"),
        (b'  {"name": "x", "format" : "zkmargin/ledger-export/v12"}', "zkmargin/ledger-export"),
        (b'{"a": [{"format": "zkmargin/key/v1"}], "b": "}\\"", "format": "zkmargin/evidence/v1"}', "zkmargin/evidence"),
        (b'{"inside": {"format": "zkmargin/key/v1"}, "x": "format"}', "other"),
        (b'{"positions": {}}', "other"),
        (b"zkmargin\x00\x01", "zkmargin"),
        (b"notes", "other"),
    ],
)
def test_the_kind_of_a_file(tmp_path: Path, data: bytes, kind: str | None) -> None:
    (tmp_path / "file").write_bytes(data)
    assert kind_of(tmp_path / "file") == kind
    assert kind_of(tmp_path / "none") is None
