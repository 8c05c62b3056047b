"""Our prover and general ones in turns, each shown to prove the statement and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median

from benchmarks.measure import Column, Section
from benchmarks.peers.commands import timed
from benchmarks.peers.peer import Peer
from benchmarks.peers.statement import Instance, instance_of
from benchmarks.synthetic import Case, book_of, snapshot_of
from zkmargin.accounts import commit_book
from zkmargin.engine.claims import Claim
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

COLUMNS = (
    Column("prover"),
    Column("wall", "s"),
    Column("ratio", "x"),
    Column("CPU", "s"),
    Column("CPU ratio", "x"),
    Column("bytes", "B"),
)
Times = list[tuple[float, float | None]]


def ours(case: Case) -> tuple[Callable[[], bytes], Callable[[bytes], object]]:
    """How to prove and how to verify, for one snapshot and book."""
    snapshot, lots, claim = snapshot_of(case), book_of(case), Claim()
    opening = commit_book(snapshot, lots)

    def statement() -> Statement:
        return Statement.of(snapshot, [opening.commitment()], claim)

    return lambda: prove(statement(), lots, [opening]), lambda proof: verify(statement(), proof)


def table(case: Case, peers: list[Peer], runs: int, say: Callable[[str], None]) -> Section:
    """All provers in turns.

    Raises:
        RuntimeError: a peer's program holds elsewhere than our statement, or a proof is not told from a changed one.
    """
    instance = instance_of(case)
    for peer in peers:
        say(f"{peer.name}: compiling and setting up, unless that is done ...")
        peer.prepare(instance)
        check_boundary(peer, instance)
    prove_ours, verify_ours = ours(case)
    proof = prove_ours()
    verify_ours(proof)
    sizes = {}
    for peer in peers:
        say(f"{peer.name}: a first proof, and what its verifier must refuse ...")
        made = peer.prove()
        peer.check(made)
        sizes[peer.name] = len(made)
    times: dict[str, Times] = {"zkmargin": [], **{row: [] for peer in peers for row in (peer.name, peer.solver)}}
    for run in range(runs):
        say(f"run {run + 1} of {runs} ...")
        times["zkmargin"].append(timed(prove_ours))
        for peer in peers:
            times[peer.solver].append(peer.solve())
            times[peer.name].append(timed(peer.prove))
    section = Section(f"{case}, 32-bit positions: general provers on the same statement", COLUMNS)
    wall, cpu = medians(times["zkmargin"])
    section.rows = [["zkmargin, witness and its own verification included", wall, 1.0, cpu, 1.0, len(proof)]]
    for peer in peers:
        section.rows += rows(peer, times, sizes[peer.name], (wall, cpu))
    section.notes = [f"Medians of {runs}, in turns; circuits, programs and keys were made before."]
    section.notes += [note for peer in peers for note in peer.notes()]
    return section


def check_boundary(peer: Peer, instance: Instance) -> None:
    """The peer's program has a witness with just enough collateral and none with one lot less; last of all the book's.

    Raises:
        RuntimeError: it is another statement.
    """
    spare = min(instance.differences()) // instance.price
    for lots, holds in ((spare + 1, False), (spare, True), (0, spare >= 0)):
        if peer.satisfied(replace(instance, collateral=instance.collateral - lots)) != holds:
            raise RuntimeError(f"{peer.name}: with {lots} lots of collateral less the program should hold: {holds}")


def rows(
    peer: Peer, times: dict[str, Times], size: int, own: tuple[float, float | None]
) -> list[list[float | str | None]]:
    """The proof, the witness, and both."""
    proof, witness = medians(times[peer.name]), medians(times[peer.solver])

    def row(title: str, taken: tuple[float, float | None], size: int | None) -> list[float | str | None]:
        wall, cpu = taken
        return [title, wall, wall / own[0], cpu, cpu / own[1] if cpu and own[1] else None, size]

    both = proof[0] + witness[0], None if proof[1] is None or witness[1] is None else proof[1] + witness[1]
    return [row(peer.name, proof, size), row(peer.solver, witness, None), row("both", both, None)]


def medians(times: Times) -> tuple[float, float | None]:
    """Of wall-clock and of CPU seconds, where these were taken."""
    cpus = [cpu for _, cpu in times if cpu is not None]
    return median(wall for wall, _ in times), median(cpus) if cpus else None
