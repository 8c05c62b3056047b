"""Venue proofs on a real Dask cluster of several nodes over TLS, started as docs/guides/cluster.md says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import parties
from support.certificates import authority
from support.typed import Passed, Unchecked
from support.venue_lab import SEEDS, SharedVenue, nonce

from zkmargin.app.venue_accounts import invented_accounts
from zkmargin.cli import main
from zkmargin.engine.book import to_book
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, save_document
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.venue.answers import Answer
from zkmargin.prover.venue.cluster import Cluster, DaskLink, addresses
from zkmargin.prover.venue.messages import Link, LostError, pack, unpack
from zkmargin.prover.venue.witness import build_witness
from zkmargin.prover.venue.workers import RemoteShare, VenueWorkers, preparing
from zkmargin.verifier import verify
from zkmargin.verifier.venue.verify import verify_venue

pytestmark = pytest.mark.compiled
NODES = 3


@dataclass(frozen=True)
class Nodes:
    """A running cluster: its folder, our connection, its address, and the files of its certificates."""

    at: Path
    cluster: Cluster
    address: str
    tls: tuple[str, str, str]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A scheduler and three workers, each a process of its own, with their logs in files."""
    at = tmp_path_factory.mktemp("cluster")
    ca, certificate, key = authority(at)
    tls = ["--tls-ca-file", str(ca), "--tls-cert", str(certificate), "--tls-key", str(key)]
    processes: list[subprocess.Popen[bytes]] = []

    def start(kind: str, *options: str) -> Path:
        log: Path = at / f"{kind}-{len(processes)}.log"
        command = [str(Path(sys.executable).parent / "dask"), kind, *options, *tls, "--no-dashboard"]
        with log.open("wb") as file:
            processes.append(
                subprocess.Popen(command, stdout=file, stderr=file, cwd=at, env={**os.environ, "OMP_NUM_THREADS": "1"})
            )
        return log

    try:
        where = at / "scheduler.json"
        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--protocol", "tls", "--scheduler-file", str(where))
        begin = time.monotonic()
        while not where.exists() or not where.read_text().strip():
            assert time.monotonic() - begin < 60, (at / "scheduler-0.log").read_text()
            time.sleep(0.1)
        address = json.loads(where.read_text())["address"]
        for _ in range(NODES):
            start("worker", address, "--nthreads", "1", "--no-nanny", "--local-directory", str(at))
        with Cluster(address, str(ca), str(certificate), str(key)) as cluster:
            while len(addresses(cluster.client)) < NODES:
                assert time.monotonic() - begin < 120
                time.sleep(0.1)
            cluster.workers = addresses(cluster.client)
            yield Nodes(at, cluster, address, (str(ca), str(certificate), str(key)))
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def venue() -> SharedVenue:
    return SharedVenue()


def workers(venue: SharedVenue, connect: Callable[[], Link]) -> VenueWorkers:
    return venue.workers(connect=connect, here=False)


def test_v5_a_node_that_is_killed_in_a_round_is_replaced_and_the_proof_is_the_same(
    nodes: Nodes, venue: SharedVenue
) -> None:
    asked: list[str] = []
    with workers(venue, nodes.cluster.connect) as running:
        first, ask = running.shares[0], RemoteShare._ask
        node = first._link
        assert isinstance(node, DaskLink)
        pids = nodes.cluster.client.run(os.getpid)

        def murderous(self: RemoteShare, name: str, *given: Passed) -> Answer:
            if self is first and name == "commit_helpers":
                os.kill(pids[node.address], signal.SIGKILL)
            asked.append(name)
            return ask(self, name, *given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RemoteShare, "_ask", murderous)
            proof = venue.encode(running.prove())
        assert [share.restarts for share in running.shares] == [1, 0]
        assert first._link is not node
    assert proof == venue.expected
    verify_venue(venue.statement, proof)
    with pytest.raises(LostError):
        node.ask(pack({"round": "values"}))


def test_v5_a_node_that_answers_wrongly_is_named(nodes: Nodes, venue: SharedVenue) -> None:
    made: list[Link] = []

    class Liar:
        def __init__(self) -> None:
            self.link = nodes.cluster.connect()
            made.append(self)

        def ask(self, request: bytes) -> bytes:
            answer: bytes = self.link.ask(request)
            if self in made[1:] and unpack(request)[0]["round"] == "numerators":
                head, arrays = unpack(answer)
                arrays[-1].reshape(-1)[0] ^= 1
                return pack(head, arrays)
            return answer

        def close(self) -> None:
            self.link.close()

    with workers(venue, Liar) as running, pytest.raises(ProverError, match="worker 2 answered wrongly"):
        running.prove_and_verify()


def test_v5_nothing_secret_is_in_the_cluster_s_logs_or_in_its_scheduler(nodes: Nodes, venue: SharedVenue) -> None:
    def everything(dask_scheduler: Unchecked) -> list[str]:  # sent as it stands: the scheduler has no module of ours
        return [f"{task!r} {task.run_spec!r} {task.annotations!r}" for task in dask_scheduler.tasks.values()]

    assert nodes.cluster.client.direct_to_workers is True  # calls of actors do not pass through the scheduler
    nonces = [[nonce(name) for name in books.names] for books in venue.books]
    with preparing(venue.snapshot, venue.statement, NODES, nodes.cluster.connect) as makers:
        build_witness(venue.statement, venue.books, venue.tags(), maker=makers)
    with workers(venue, nodes.cluster.connect) as running:
        running.prove()
        kept = nodes.cluster.client.run_on_scheduler(everything)
        owned = [(share.inputs.blinders, mine.place) for share in running.shares for mine in share.inputs.sets]
        seen = nodes.cluster.client.get_scheduler_logs(), nodes.cluster.client.get_worker_logs()
    hidden = [blinders.key(f"set {x.index}").hex() for blinders, x in owned]
    hidden += [seed.hex() for seed in SEEDS] + [name for books in venue.books for name in books.names]
    hidden += [value.hex() for drawn in nonces for value in drawn]
    for books in venue.books:  # as a log would write their bytes: several accounts' worth
        hidden += [repr(getattr(books, name).tobytes())[2:202] for name in ("lots", "balances")]
    files = [
        path.read_text(errors="replace") for path in nodes.at.iterdir() if path.is_file() and path.suffix == ".log"
    ]
    for text in (*kept, *map(str, seen), *files):
        assert not any(word in text for word in hidden)
    assert any("VenueActor" in text for text in kept)
    assert all(len(text) < 4096 for text in kept)  # a class and an address: the statement alone is larger


def test_a_snapshot_and_a_statement_go_into_tasks(nodes: Nodes) -> None:
    """They travel as their documents: what a node computes of them is what is computed here."""
    world, client = parties.world(), nodes.cluster.client
    assert client.submit(Snapshot.digest, world.snapshot).result(60) == world.snapshot.digest()
    accepted = client.submit(verify, world.statement, world.proof).result(60)
    assert accepted.statement_digest == verify(world.statement, world.proof).statement_digest
    assert accepted.statement == world.statement


def test_who_is_no_cluster_of_ours_is_refused(nodes: Nodes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not tls://"):
        Cluster("tcp://127.0.0.1:1")
    stranger = authority(tmp_path)
    with pytest.raises(InputError, match="cannot be used"):
        Cluster(nodes.address, *map(str, stranger))
    with pytest.raises(LostError):
        DaskLink(nodes.cluster.client, "tls://127.0.0.1:1")


def test_the_command_line_proves_on_a_cluster(nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"), domain_size=256)
    save_document(snapshot, tmp_path / "snapshot.json")
    (tmp_path / "books").mkdir()
    for account in invented_accounts(snapshot, 12):
        save_document(to_book(account.lots, snapshot), tmp_path / "books" / f"{account.name}.json")
    files = {"-o": "proof.bin", "--terms": "terms.json", "--record": "record.json", "--secret": "secret.json"}
    given = ["venue", "prove", "--snapshot", str(tmp_path / "snapshot.json"), "--accounts", str(tmp_path / "books")]
    given += ["--venue", "A", "--net", "zero", *(w for o, name in files.items() for w in (o, str(tmp_path / name)))]
    tls = [word for option, path in zip(("--tls-ca", "--tls-cert", "--tls-key"), nodes.tls, strict=True)
           for word in (option, path)]  # fmt: skip
    assert main([*given, "--cluster", nodes.address, *tls, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accounts"] == 12
    public = ["--snapshot", str(tmp_path / "snapshot.json"), "--terms", str(tmp_path / "terms.json")]
    assert main(["venue", "verify", *public, str(tmp_path / "proof.bin")]) == 0
    (tmp_path / "secret.json").unlink()
    for more, reason in (
        (["--cluster", nodes.address], "--tls-ca: missing"),
        (["--cluster", nodes.address, *tls, "--workers", "2"], "a cluster has its own workers"),
        (tls, "give --cluster"),
    ):
        capsys.readouterr()
        assert main([*given, *more]) == 2
        assert reason in capsys.readouterr().err
