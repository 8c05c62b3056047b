"""The ledger under many verifier processes at once, some of which are killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.ledger_world import NOW, World, ledger_world

from zkmargin.formats import VerificationError, save_document, write_atomic
from zkmargin.ledger import Ledger

New = Callable[[], str]


@pytest.fixture(scope="module")
def world() -> World:
    return ledger_world()


@pytest.fixture
def ledger(new_ledger: Callable[[], str]) -> Iterator[Ledger]:
    with Ledger(new_ledger()) as opened:
        yield opened


# Real processes

#: A verifier process: accepts the proofs that it is given the names of, waits for the word, and records them. With
#: ``die``, it does so once for every step to the database, each time in an empty ledger and in a child of its own that
#: is killed at this step.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from zkmargin.engine.limits import Limit
from zkmargin.engine.claims import Claim
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import VerificationError, load_document
from zkmargin.verifier import Statement
from zkmargin.accounts import Commitment
from zkmargin.verifier.attest import Challenge, accept
from zkmargin.ledger import Ledger

mode, folder, now, *names = sys.argv[1:]
folder, steps, die_at = Path(folder), 0, 0

def step(*_):
    global steps
    steps += 1
    if steps == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
    event.listen(Engine, name, step)

snapshot = load_document(Snapshot, folder / "snapshot.json")
commitment = load_document(Commitment, folder / "commitment.json")
challenge = load_document(Challenge, folder / "challenge.json")
prepared = []
for name in names:
    answers = challenge if name.startswith("challenge") else None
    limits = [Limit.parse("net-exposure BTC <= 1000.5")] if name == "challenge limit" else []
    context = answers.context if answers else name.encode()
    statement = Statement.of(snapshot, [commitment], Claim(), context=context, limits=limits)
    proof = (folder / f"{name}.bin").read_bytes()
    prepared.append((name, accept(statement, proof, now_ms=int(now), challenge=answers)))

def record(where):
    with Ledger(where) as ledger:
        for name, acceptance in prepared:
            if acceptance.challenge is not None:
                ledger.issue(acceptance.challenge)
            try:
                ledger.record(acceptance)
                print("recorded", name, flush=True)
            except VerificationError as error:
                print("refused", name, error.check, flush=True)

print("ready", flush=True)
for line in sys.stdin:
    where, steps = line.strip(), 0
    if mode == "live":
        record(where)
        break
    die_at += 1
    child = os.fork()
    if child == 0:
        record(where)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else f"exit {status}", flush=True)
"""


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("ledger")
    save_document(world.snapshot, home / "snapshot.json")
    save_document(world.commitment, home / "commitment.json")
    save_document(world.challenge, home / "challenge.json")
    for name, proof in world.proofs.items():
        write_atomic(home / f"{name}.bin", proof)
    (home / "recorder.py").write_text(SCRIPT)
    return home


class Recorder:
    """The process of ``SCRIPT``."""

    def __init__(self, folder: Path, *names: str, mode: str = "live") -> None:
        self.process = subprocess.Popen(
            [sys.executable, folder / "recorder.py", mode, folder, str(NOW), *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        )

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self, where: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(where + "\n")
        self.process.stdin.flush()

    def finish(self) -> list[str]:
        """What it said after it was told to go on."""
        out, _ = self.process.communicate()
        return out.splitlines()


Start = Callable[..., Recorder]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts recorders; none of them outlives the test."""
    started: list[Recorder] = []

    def begin(*names: str, mode: str = "live") -> Recorder:
        started.append(Recorder(folder, *names, mode=mode))
        return started[-1]

    yield begin
    for recorder in started:
        recorder.process.kill()
        recorder.process.communicate()


def run_at_once(where: str, *recorders: Recorder) -> list[list[str]]:
    for recorder in recorders:
        assert recorder.read() == "ready"
    for recorder in recorders:
        recorder.go(where)
    results = [recorder.finish() for recorder in recorders]
    assert [recorder.process.returncode for recorder in recorders] == [0] * len(recorders)
    return results


def test_of_many_verifiers_one_records_a_statement(new_ledger: New, start: Start) -> None:
    where = new_ledger()
    # the ledger does not exist yet: they make it at the same time too
    results = run_at_once(where, *(start("0", "1", "2", "3") for _ in range(4)))
    lines = [line for lines in results for line in lines]
    for name in "0123":
        assert lines.count(f"recorded {name}") == 1
        assert lines.count(f"refused {name} replay") == 3
    with Ledger(where) as ledger:
        assert sorted(entry.context for entry in ledger.entries()) == [b"0", b"1", b"2", b"3"]
        for entry in ledger.entries():
            ledger.check(entry)


def test_of_many_verifiers_one_accepts_an_answer_to_a_challenge(new_ledger: New, world: World, start: Start) -> None:
    where = new_ledger()
    names = ("challenge", "challenge limit", "challenge", "challenge limit")
    results = run_at_once(where, *(start(name) for name in names))
    assert sorted(lines[0].split()[0] for lines in results) == ["recorded", "refused", "refused", "refused"]
    with Ledger(where) as ledger:
        (entry,) = ledger.entries()
        assert entry.challenge == world.challenge.digest().hex()
        assert ledger.open_challenges() == []


@pytest.mark.slow
def test_killed_at_any_point_nothing_is_lost_or_half_there(new_ledger: New, world: World, start: Start) -> None:
    """Killed before and after every statement to the database, its creation's too, and before every commit."""
    recorder = start("challenge", mode="die")
    assert recorder.read() == "ready"
    killed = 0
    while True:
        where = new_ledger()
        recorder.go(where)
        said = recorder.read()
        acknowledged = said == "recorded challenge"
        ended = recorder.read() if acknowledged else said
        assert_sound(where, world, acknowledged=acknowledged)
        if ended != "killed":
            assert (acknowledged, ended) == (True, "exit 0")
            break
        killed += 1
    assert killed > 30


def assert_sound(where: str, world: World, *, acknowledged: bool) -> None:
    """All of the proof is there, or nothing of it; then it can be recorded now."""
    with Ledger(where) as ledger:
        entries = list(ledger.entries())
        assert len(entries) <= 1
        if acknowledged:
            assert entries
        for entry in entries:
            ledger.check(entry)
        assert ledger.challenge_used(world.challenge.digest()) == bool(entries)
        expected = {"proofs": 1, "documents": 3, "streams": 0, "challenges": 1}
        issued = len(ledger.open_challenges())  # or not yet
        nothing = {"proofs": 0, "documents": issued, "streams": 0, "challenges": issued}
        assert ledger.counts() == (expected if entries else nothing)
        if entries:
            with pytest.raises(VerificationError, match="replay"):
                ledger.record(world.accepted("challenge"))
        else:
            ledger.issue(world.challenge)
            ledger.record(world.accepted("challenge"))
        assert ledger.counts() == expected
        assert ledger.audit().bad == []


@pytest.mark.slow
def test_killed_by_the_clock_among_others(new_ledger: New, start: Start) -> None:
    """Writers are killed at odd moments while others go on: whatever anyone was told is recorded, is recorded."""
    where = new_ledger()
    told: list[str] = []
    for delay in (0.02, 0.05):
        victim, survivor = start("0", "1"), start("2", "3")
        for recorder in (victim, survivor):
            assert recorder.read() == "ready"
        for recorder in (victim, survivor):
            recorder.go(where)
        with contextlib.suppress(subprocess.TimeoutExpired):
            victim.process.wait(delay)
        victim.process.kill()
        told += [line.split()[1] for r in (victim, survivor) for line in r.finish() if line.startswith("recorded")]
        assert survivor.process.returncode == 0
        with Ledger(where) as ledger:
            assert set(told) <= {entry.context.decode() for entry in ledger.entries()}
            for entry in ledger.entries():
                ledger.check(entry)
    assert len(told) == len(set(told))
    run_at_once(where, start("0", "1", "2", "3"))
    with Ledger(where) as ledger:
        assert ledger.counts()["proofs"] == 4
