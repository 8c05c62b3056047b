"""Mutation: what if a line of the verifier were wrong? Every such program must fail a test.

    python tests/mutation.py                    all mutants; prints the score and the survivors
    python tests/mutation.py verifier.proof     those of some modules
    python tests/mutation.py --every 20         a sample

Run it on a copy of the tree that nobody edits: a file that is changed meanwhile looks like a killed mutant.

*Protocol mutants*: each absorb of the transcript a no-op, each equation of a golden circuit left out of the
combination. *Code mutants*: one operator, constant, condition or statement changed in the source (``mutants.py``); each
runs in a fork (``mutant_runs.py``).
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from mutant_runs import PRELOADED, Run, run_all
from mutants import ROOT, Mutant, mutants

FORMATS = ("test_strict_json.py", "test_formats.py", "test_mappings.py", "test_errors.py")
SETUPS = ("test_srs.py", "test_srs_points.py", "test_srs_files.py")
CHECKS = ("test_golden.py", "test_verifier_checks.py", "test_batch_checks.py", "test_statement_checks.py")
TRUST = ("test_trust.py", "test_acceptance_words.py")
#: Module -> the tests that must notice. The fast ones come first: pytest stops at the first failure.
TARGETS: dict[str, tuple[str, ...]] = {
    "zkmargin.formats.canonical": (*FORMATS, "test_canonical_edges.py"),
    "zkmargin.formats.documents": (
        *FORMATS,
        "test_versions.py",
        "test_document_edges.py",
        "test_values_stay_true.py",
        "test_first_mistakes.py",
        "test_golden_documents.py",
    ),
    "zkmargin.verifier.workers": ("test_workers.py",),
    "zkmargin.crypto.group": ("test_shared_sums.py", "test_field_group.py", "test_golden.py"),
    "zkmargin.crypto.field": ("test_field_group.py", "test_golden.py", "test_protocol_algebra.py"),
    "zkmargin.crypto.exact": ("test_exact.py", "test_protocol_algebra.py"),
    "zkmargin.crypto.scalars": ("test_protocol_algebra.py", "test_golden.py"),
    "zkmargin.crypto.transcript": ("test_transcript.py", "test_golden.py"),
    "zkmargin.crypto.srs": (*SETUPS, "test_golden.py"),
    "zkmargin.crypto.srs_files": SETUPS,
    "zkmargin.crypto.srs_checks": SETUPS,
    "zkmargin.verifier.header": ("test_elements.py", *CHECKS),
    "zkmargin.verifier.messages": ("test_elements.py", *CHECKS),
    "zkmargin.verifier.proof": CHECKS,
    "zkmargin.verifier.statement": ("test_elements.py", *CHECKS, "test_hostile_readings.py"),
    "zkmargin.verifier.transcript": ("test_golden.py", "test_transcript.py"),
    "zkmargin.verifier.argument": ("test_verify_edges.py", *CHECKS),
    "zkmargin.verifier.verify": ("test_verify_edges.py", *CHECKS),
    "zkmargin.accounts.commitments": ("test_commitment_parts.py", *CHECKS, "test_update_checks.py"),
    "zkmargin.accounts.updates": (*TRUST, "test_update_checks.py", "test_updates.py", "test_migrations.py"),
    "zkmargin.verifier.attest.documents": (
        *TRUST,
        "test_attestations.py",
        "test_trust_facts.py",
        "test_secp256k1.py",
    ),
    "zkmargin.verifier.attest.trust": (*TRUST, "test_attestations.py", "test_trust_facts.py"),
    "zkmargin.verifier.attest.accept": (
        "test_attestations.py",
        "test_challenges_receipts.py",
        *TRUST,
        "test_trust_facts.py",
        "test_policy_rules.py",
        "test_missing_quotes.py",
        "test_venue_accepted.py",
        "test_accept_boundaries.py",
    ),
    "zkmargin.verifier.attest.acceptance": (
        "test_memory.py",
        *TRUST,
        "test_challenges_receipts.py",
        "test_trust_facts.py",
        "test_venue_accepted.py",
        "test_hostile_readings.py",
    ),
    "zkmargin.verifier.attest.challenge": (
        "test_revocations.py",
        *TRUST,
        "test_challenges_receipts.py",
        "test_trust_facts.py",
    ),
    "zkmargin.verifier.attest.revocations": (
        "test_revocations.py",
        *TRUST,
        "test_trust_facts.py",
        "test_attestations.py",
    ),
    "zkmargin.verifier.attest.receipt": (
        "test_receipts.py",
        *TRUST,
        "test_challenges_receipts.py",
        "test_trust_facts.py",
    ),
}
#: Only if they are named, and of these only the statements of the circuit's construction, dropped one by one.
CIRCUITS = (
    "zkmargin.circuits.language.circuit",
    "zkmargin.circuits.limits",
    "zkmargin.circuits.margin",
    "zkmargin.circuits.requirement",
    "zkmargin.circuits.spreads",
    "zkmargin.circuits.language.system",
)
CIRCUIT_TESTS = (
    "test_circuit_system.py",
    "test_circuit_engine.py",
    "test_encoders.py",
    "test_limits.py",
    "test_golden.py",
    "test_golden_universe.py",
    "test_hostile_snapshots.py",
    "test_span_spreads.py",
    "test_values_stay_true.py",
    "test_universe.py",
)


def _equivalent() -> dict[str, str]:
    """What the files ``mutants.toml`` list, each beside the modules that it speaks of: ``str(mutant)`` -> reason."""
    found: dict[str, str] = {}
    for folder in sorted({module.rpartition(".")[0] for module in TARGETS}):
        path = ROOT.joinpath(*folder.split("."), "mutants.toml")
        listed = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
        for name, reasons in listed.items():
            place = f"{folder}.{name}".removeprefix("zkmargin.")
            found |= {f"{place}: {text}": reason for text, reason in reasons.items()}
    return found


#: Mutants that no test can tell from the program, with the reason. Keys are ``str(mutant)``.
EQUIVALENT = _equivalent()


# --- protocol mutants ---------------------------------------------------------------------------------------


def protocol_mutants() -> Iterator[tuple[str, bool]]:
    """(name, killed) for each absorb left out and each equation left out of the combined one, on golden proofs.

    Runs in this process: call it in a fork, or last.
    """
    from unittest.mock import patch

    from zkmargin.circuits.language.circuit import Circuit
    from zkmargin.crypto.transcript import Transcript
    from zkmargin.formats import VerificationError
    from zkmargin.verifier import verify

    sys.path.insert(0, str(ROOT / "tests"))
    golden = importlib.import_module("golden")
    cases = {name: golden.statement_of(name) for name in golden.NAMES}

    challenges = {group["name"]: group["challenges"] for group in golden.vectors()["testGroups"]}

    def refused(names: Sequence[str]) -> bool:
        """Or taken under other challenges: an honest proof passes whatever y is."""
        for name in names:
            try:
                verify(*cases[name])
            except VerificationError:
                return True
            if name in challenges and golden.challenges(*cases[name]) != challenges[name]:
                return True
        return False

    if refused(golden.NAMES):
        raise RuntimeError("a golden proof is refused without any mutation")
    append, combine = Transcript.append, Circuit.combine
    labels: list[str] = []

    def note(self: Transcript, label: str, data: bytes) -> None:
        if label not in labels:
            labels.append(label)
        append(self, label, data)

    with patch.object(Transcript, "append", note):
        refused(golden.NAMES)
    for label in labels:

        def forget(self: Transcript, name: str, data: bytes, label: str = label) -> None:
            if name != label:
                append(self, name, data)

        with patch.object(Transcript, "append", forget):
            yield f"absorb left out: {label}", refused(golden.NAMES)
    for name, (statement, _) in cases.items():
        for j, equation in enumerate(statement.circuit.equations):

            def skip(self: Circuit, rho: int, j: int = j) -> Any:
                # the others keep their powers of rho
                whole, scale, form = combine(self, rho), pow(rho, j, golden.r), self.equations[j].form
                for (kind, index), coefficient in form.terms.items():
                    whole.weights[kind][index] = (whole.weights[kind][index] - scale * coefficient) % golden.r
                return type(whole)(self, whole.weights, (whole.sigma + scale * form.constant) % golden.r)

            with patch.object(Circuit, "combine", skip):
                yield f"equation left out: {name}: {equation.rule}, {equation.name}", refused([name])


# --- the command --------------------------------------------------------------------------------------------


def chosen_of(module: str) -> list[Mutant]:
    """The mutants that are run: all, or of a circuit's construction only what is dropped."""
    return mutants(module) if module in TARGETS else mutants(module, ("statement dropped", "check removed"))


def tests_of(module: str) -> tuple[str, ...]:
    """The tests that must notice."""
    return TARGETS.get(module, CIRCUIT_TESTS)


def main(arguments: Sequence[str]) -> int:
    """Run and report. 0 where nothing survives that is not listed as equivalent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=[])
    parser.add_argument("--every", type=int, default=1, help="run one mutant in so many")
    parser.add_argument("--workers", type=int, default=int(os.environ.get("WORKERS", len(os.sched_getaffinity(0)))))
    parser.add_argument("--no-protocol", action="store_true")
    given = parser.parse_args(arguments)
    if unknown := set(given.modules) - {*TARGETS, *CIRCUITS}:
        parser.error(f"no tests are stated for {', '.join(sorted(unknown))}")
    sys.path.insert(0, str(ROOT))
    for name in PRELOADED:
        importlib.import_module(name)
    modules = given.modules or list(TARGETS)
    start = time.monotonic()
    everything = [mutant for module in modules for mutant in chosen_of(module)]
    names = {str(mutant) for module in modules for mutant in mutants(module)}
    listed = {name for name in EQUIVALENT if f"zkmargin.{name.split(':')[0]}" in modules}
    if stale := sorted(listed - names):
        sys.stdout.write("error: listed as equivalent, and no mutant any more:\n" + "".join(f"  {x}\n" for x in stale))
        return 2
    equivalent = sum(str(mutant) in EQUIVALENT for mutant in everything)
    chosen = [mutant for mutant in everything if str(mutant) not in EQUIVALENT][:: given.every]
    # a sample belongs to a run of the tests themselves: whether they pass is seen there
    runs = [
        Run(module, own, tests_of(module), given.every == 1)
        for module in modules
        if (own := [mutant for mutant in chosen if mutant.module == module])
    ]
    outcome = run_all(runs, given.workers)
    if failing := [run.module for run, killed in zip(runs, outcome, strict=True) if not killed]:
        sys.stdout.write(f"error: the tests fail without any mutation: {', '.join(failing)}\n")
        return 2
    done = [
        (mutant, dead)
        for run, killed in zip(runs, outcome, strict=True)
        for mutant, dead in zip(run.mutants, killed, strict=True)
    ]
    survivors = [mutant for mutant, dead in done if not dead]
    for module in modules:
        dead_or_not = [dead for mutant, dead in done if mutant.module == module]
        sys.stdout.write(f"{module:24} {sum(dead_or_not):4} of {len(dead_or_not):4} killed\n")
    for kind in sorted({mutant.kind for mutant, _ in done}):
        dead_or_not = [dead for mutant, dead in done if mutant.kind == kind]
        sys.stdout.write(f"  {kind:22} {sum(dead_or_not):4} of {len(dead_or_not):4} killed\n")
    left = 0
    if not given.no_protocol:
        outcomes = list(protocol_mutants())
        for name, dead in outcomes:
            if not dead:
                sys.stdout.write(f"survives: {name}\n")
        left = sum(not dead for _, dead in outcomes)
        sys.stdout.write(f"protocol mutants          {len(outcomes) - left:4} of {len(outcomes):4} killed\n")
    killed = len(done) - len(survivors)
    share = 100 * killed / len(done) if done else 100.0
    sys.stdout.write(
        f"code mutants              {killed:4} of {len(done):4} killed: {share:.1f} %; "
        f"{equivalent} more are equivalent; {time.monotonic() - start:.0f} s\n"
    )
    return int(bool(survivors or left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
