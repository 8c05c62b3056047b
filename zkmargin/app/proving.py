"""A proof, or why there is none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zkmargin.accounts import Opening
from zkmargin.circuits import build_circuit
from zkmargin.circuits.books import margin_witness
from zkmargin.circuits.language.witness import check as check_witness
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.margin import MarginReport, largest_decimal, margin_report
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError
from zkmargin.prover import prove
from zkmargin.prover.profile import Profile
from zkmargin.prover.prove import default_threads
from zkmargin.prover.prove_chain import prove_chain
from zkmargin.verifier import Statement
from zkmargin.verifier.chain import ChainStatement


@dataclass(frozen=True)
class Made:
    """A proof, verified by its maker, and what it took.

    Attributes:
        proof: the bytes.
        seconds: wall-clock time.
        threads: how many parts of the work ran at the same time.
        profile: where the time went.
    """

    proof: bytes
    seconds: float
    threads: int
    profile: Profile

    def profile_facts(self) -> dict[str, Any]:
        """Where the time went, for programs."""
        return {
            "threads": self.threads,
            "stages": [{"name": name, "milliseconds": round(1000 * spent, 3)} for name, spent in self.profile.stages],
            "msms": [{"name": name, "terms": terms} for name, terms in self.profile.msms],
        }


@dataclass(frozen=True)
class Checked:
    """Whether a claim holds for a book, in integers. Secret: about one book.

    Attributes:
        report: the margin under the claim's requirement.
        equations: how many equations a proof shows.
        refused: the rule that breaks, or None where the claim holds.
    """

    report: MarginReport
    equations: int
    refused: ConstraintError | None


def make_proof(
    statement: Statement, lots: BookLots, openings: Sequence[Opening], *, threads: int | None = None
) -> Made:
    """``prover.prove`` with its time and profile. Raises as that does."""
    profile, begin = Profile(), time.perf_counter()
    threads = threads or default_threads()
    proof = prove(statement, lots, openings, threads=threads, profile=profile)
    return Made(proof, time.perf_counter() - begin, threads, profile)


def make_chain_proof(
    statement: ChainStatement, lots: BookLots, openings: Sequence[Opening], *, threads: int | None = None
) -> Made:
    """``prover.prove_chain`` with its time and profile. Raises as that does."""
    profile, begin = Profile(), time.perf_counter()
    threads = threads or default_threads()
    proof = prove_chain(statement, lots, openings, threads=threads, profile=profile)
    return Made(proof, time.perf_counter() - begin, threads, profile)


def check_claim(snapshot: Snapshot, lots: BookLots, claim: Claim, limits: Sequence[Limit] = ()) -> Checked:
    """Every equation that a proof would show, on the book's integers, without making one.

    Raises:
        InputError: a snapshot that no circuit fits, or a book of another snapshot.
    """
    report = margin_report(snapshot, lots, claim.requirement)
    circuit = build_circuit(snapshot, claim, limits)
    refused: ConstraintError | None = None
    try:
        check_witness(circuit, margin_witness(snapshot, claim, lots, limits))
    except ConstraintError as error:
        largest = largest_decimal(report.largest_claim)
        if error.rule == "claim" and largest is not None:
            error.hint = f"the largest claim that holds for this book is {largest}"
        refused = error
    return Checked(report, len(circuit.equations), refused)
