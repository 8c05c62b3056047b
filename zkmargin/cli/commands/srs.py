"""``zkmargin srs``: the structured reference string that proofs rest on."""

from __future__ import annotations

import time

import click

from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option
from zkmargin.crypto.srs import EMBEDDED_FILE, SRS, embedded
from zkmargin.crypto.srs_checks import SetupReport, verify_srs
from zkmargin.crypto.srs_files import load


@click.group("srs", cls=Group)
def command() -> None:
    """The structured reference string: powers of a secret that nobody knows, from the Ethereum KZG ceremony.

    It ships with the package; there is nothing to download and no set-up of ours.
    """


@command.command(
    "info",
    cls=Command,
    examples=[
        "zkmargin srs info",
    ],
)
@json_option
def info_command(as_json: bool) -> None:
    """Show the embedded setup: its ceremony, size and digest."""
    srs = embedded()
    facts = {
        "name": srs.name,
        "curve": "BLS12-381",
        "g1_powers": srs.powers,
        "largest_domain": largest_domain(srs),
        "digest": srs.digest.hex(),
        "known_ceremony": not srs.insecure,
        "file": EMBEDDED_FILE.name,
        "bytes": len(srs.encoding),
    }
    if as_json:
        terminal.say_json(facts)
        return
    terminal.say(f"{srs.name}: the Ethereum KZG ceremony (EIP-4844) on BLS12-381")
    terminal.say(f"  {srs.powers} powers of tau in G1: segments of up to {facts['largest_domain']} rows")
    terminal.say(f"  digest {facts['digest']} (keccak-256), pinned in the program and part of every proof")
    terminal.say("  sound as long as one of its contributors was honest; check the points: zkmargin srs verify")


@command.command(
    "verify",
    cls=Command,
    examples=[
        "zkmargin srs verify",
        "zkmargin srs verify setup.bin",
    ],
)
@click.argument("file", required=False)
@json_option
def verify_command(file: str | None, as_json: bool) -> None:
    """Check every point of the embedded setup, or of FILE, and that they are the powers of one tau.

    FILE may be our binary form, or the text or JSON of the Ethereum specifications. A setup of unknown origin is
    refused: whoever made it may be able to forge proofs.
    """
    begin = time.perf_counter()
    with terminal.progress("Checking every point of the setup"):
        report = verify_srs(embedded() if file is None else load(file))
    seconds = time.perf_counter() - begin
    if as_json:
        terminal.say_json(report_facts(report))
        return
    terminal.say(f"{report.name}: {report.powers} powers, digest {report.digest.hex()}")
    for check in report.checks:
        terminal.say(f"  ok  {check}")
    terminal.say(f"a known ceremony, sound throughout ({seconds:.1f} s)")


def report_facts(report: SetupReport) -> dict[str, object]:
    """A report for scripts."""
    return {
        "name": report.name,
        "digest": report.digest.hex(),
        "g1_powers": report.powers,
        "known_ceremony": not report.insecure,
        "checks": list(report.checks),
    }


def largest_domain(srs: SRS) -> int:
    """The largest power of two n with the n + 4 powers that the longest polynomial of a proof needs."""
    return 1 << ((srs.powers - 4).bit_length() - 1)
