"""``venue note --all``: everybody's notes into a folder, by a run that may be stopped; and what a terminal sees."""

import csv
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rich.console

from zkmargin.app import venue_notes
from zkmargin.app.venue_accounts import invented_accounts
from zkmargin.cli import main, terminal, venue_customers
from zkmargin.engine.book import to_book
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import save_document, write_atomic
from zkmargin.prover.profile import Profile

COUNT = 6
FILES = {"-o": "proof.bin", "--terms": "terms.json", "--record": "record.json", "--secret": "secret.json"}


def prove(at: Path, out: Path) -> list[str]:
    given = ["--snapshot", str(at / "snapshot.json"), "--accounts", str(at / "books"), "--venue", "A venue"]
    outputs = [word for option, name in FILES.items() for word in (option, str(out / name))]
    return ["venue", "prove", *given, "--threads", "1", *outputs]


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot, six books, a proof, and a key."""
    at = tmp_path_factory.mktemp("notes")
    snapshot = build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"), domain_size=256)
    save_document(snapshot, at / "snapshot.json")
    (at / "books").mkdir()
    for account in invented_accounts(snapshot, COUNT):
        save_document(to_book(account.lots, snapshot), at / "books" / f"{account.name}.json")
    (at / "pass.txt").write_text("a good passphrase")
    (at / "pass.txt").chmod(0o600)
    key = ["-o", str(at / "key.json"), "--public", str(at / "public.json"), "--passphrase-file", str(at / "pass.txt")]
    assert main(["key", "new", "--name", "A venue", *key]) == 0
    assert main(prove(at, at)) == 0
    return at


def note(at: Path, *more: str) -> list[str]:
    files = {"snapshot": "snapshot.json", "terms": "terms.json", "secret": "secret.json", "proof": "proof.bin"}
    given = [word for option, name in files.items() for word in (f"--{option}", str(at / name))]
    return ["venue", "note", *given, "--accounts", str(at / "books"), *more]


def check(at: Path, file: Path, name: str) -> int:
    nonce = json.loads((at / "secret.json").read_text())["nonces"][name]
    public = {"snapshot": "snapshot.json", "terms": "terms.json", "record": "record.json", "signer": "public.json"}
    given = [word for option, file_ in public.items() for word in (f"--{option}", str(at / file_))]
    book = str(at / "books" / f"{name}.json")
    return main(["venue", "check-note", str(file), *given, "--book", book, "--name", name, "--nonce", nonce])


def test_everybody_s_notes_and_a_run_that_was_stopped_goes_on(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "notes"
    signing = ["--key", str(venue / "key.json"), "--passphrase-file", str(venue / "pass.txt")]
    command = note(venue, "--all", *signing, "-o", str(folder), "--json")
    written: list[str] = []

    def stopped(path: Path, data: bytes, **given: bool) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path.name)
        write_atomic(path, data, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(venue_notes, "write_atomic", stopped)
        assert main(command) == 130
    assert sorted(path.name for path in folder.iterdir()) == written
    before = {name: (folder / name).read_bytes() for name in written}
    capsys.readouterr()
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["accounts"], facts["written"], facts["kept"], facts["signed"]) == (COUNT, COUNT - 3, 3, True)
    assert folder.stat().st_mode & 0o777 == 0o700
    files = sorted(path.name for path in folder.iterdir())
    assert files == [*(f"{account:08}.json" for account in range(COUNT)), "index.csv"]
    assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in files)
    assert {name: (folder / name).read_bytes() for name in written} == before
    with (folder / "index.csv").open(newline="") as text:
        header, *rows = csv.reader(text)
    assert header == ["file", "account"]
    assert sorted(name for _, name in rows) == [f"account-{a:04}" for a in range(COUNT)]
    for file, name in rows:
        assert check(venue, folder / file, name) == 0


def test_nothing_in_the_folder_is_overwritten(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "notes"
    assert main(note(venue, "--all", "-o", str(folder))) == 0
    assert main(note(venue, "--all", "-o", str(folder))) == 0
    assert f"{COUNT} there before" in " ".join(capsys.readouterr().out.split())
    first, second = folder / "00000000.json", folder / "00000001.json"
    first.write_bytes(kept := second.read_bytes())
    assert main(note(venue, "--all", "-o", str(folder))) == 2
    assert "is another note, and not overwritten" in capsys.readouterr().err
    first.unlink()
    (folder / "index.csv").write_text("file,account\n")
    assert main(note(venue, "--all", "-o", str(folder))) == 2
    assert "is the index of other accounts" in capsys.readouterr().err
    assert second.read_bytes() == kept
    (tmp_path / "file").write_text("")
    assert main(note(venue, "--all", "-o", str(tmp_path / "file"))) == 2
    assert "is no folder" in capsys.readouterr().err
    for more in ([], ["--all", "--account", "account-0000"]):
        assert main(note(venue, *more, "-o", str(tmp_path / "x"))) == 2
        assert "give --account NAME, or --all" in capsys.readouterr().err


def test_notes_that_are_there_are_looked_into(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kept are those that would be made: this block, an opening that holds, the signature that the others have."""
    folder = tmp_path / "notes"
    signing = ["--key", str(venue / "key.json"), "--passphrase-file", str(venue / "pass.txt")]
    command = note(venue, "--all", *signing, "-o", str(folder))
    assert main(command) == 0
    true = (first := folder / "00000000.json").read_text()
    document = json.loads(true)
    unsigned = json.dumps(document | {"signatures": []})

    cells = document["block"]["cells"]

    def changed(block: str, value: object) -> str:
        return json.dumps(document | {"block": document["block"] | {block: value}})

    for text, reason in (
        (changed("opening", document["block"]["points"][0]), "is another note"),
        (changed("cells", [["1" + cells[0][0], *cells[0][1:]], *cells[1:]]), "is another note"),
        (json.dumps(document | {"nonce": "00" * 16}), "is another note"),
        (unsigned, "is not signed with"),
        (json.dumps(document | {"signatures": json.loads((folder / "00000001.json").read_text())["signatures"]}),
         "is not signed with"),
    ):  # fmt: skip
        first.write_text(text)
        capsys.readouterr()
        assert main(command) == 2
        assert reason in capsys.readouterr().err
        assert first.read_text() == text
    first.write_text(true)
    assert main(command) == 0
    assert main(note(venue, "--all", "-o", str(folder))) == 2
    assert "is not unsigned as the others" in capsys.readouterr().err


def test_a_folder_that_is_unsafe_is_refused_before_any_work(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(venue_customers, "note_maker", work)
    monkeypatch.setattr(venue_customers, "load_accounts", work)
    folder = tmp_path / "notes"
    command = note(venue, "--all", "-o", str(folder))
    folder.mkdir(mode=0o777)
    for mode in (0o777, 0o750, 0o701):
        folder.chmod(mode)
        assert main(command) == 2
        assert "is open to other users: notes are secret" in capsys.readouterr().err
    folder.chmod(0o700)
    for target in (tmp_path / "nowhere", tmp_path):  # a dangling one too
        (folder / "00000003.json").symlink_to(target)
        assert main(command) == 2
        assert "is a link, and not followed" in capsys.readouterr().err
        (folder / "00000003.json").unlink()
    assert not (tmp_path / "nowhere").exists()
    (folder / f"{COUNT:08}.json").write_text("{}")
    assert main(command) == 2
    assert f"is no note of these {COUNT} accounts" in capsys.readouterr().err
    (folder / f"{COUNT:08}.json").unlink()
    (folder / "index.csv").write_text("file,account\n")
    assert main(command) == 2
    assert "is the index of other accounts" in capsys.readouterr().err
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert main(command) == 2
    assert "belongs to another user" in capsys.readouterr().err


class Status:
    """What a terminal would show."""

    def __init__(self, shown: list[str], text: object) -> None:
        self.shown = shown
        shown.append(str(text))

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self.shown.append("stopped")

    def update(self, text: object) -> None:
        self.shown.append(str(text))


def test_stages_and_percentages_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(rich.console.Console, "status", lambda _self, text: Status(shown, text))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(terminal, "PROGRESS_AFTER_SECONDS", 0.0)

    def begun() -> None:
        for _ in range(500):
            if shown:
                return
            time.sleep(0.01)

    with terminal.stages("Proving") as show:
        begun()
        show("2: aggregated books")
    assert shown == ["Proving ...", "Proving ... 2: aggregated books", "stopped"]
    shown.clear()
    with terminal.progress("Reading") as advance:
        begun()
        advance(1, 4)
    assert shown == ["Reading ...", "Reading ... 25 %", "stopped"]


def test_every_round_of_a_proof_is_shown(venue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    @contextmanager
    def stages(_text: str) -> Iterator[Callable[[str], None]]:
        yield shown.append

    monkeypatch.setattr(terminal, "stages", stages)
    assert main(prove(venue, tmp_path)) == 0
    assert [name[:2] for name in shown] == ["1:", "2:", "3:", "4:", "5:", "6:", "se"]
    begun: list[str] = []
    profile = Profile(watch=begun.append)
    with profile.stage("one"):
        assert begun == ["one"]
