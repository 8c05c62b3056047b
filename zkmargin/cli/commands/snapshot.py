"""``zkmargin snapshot``: everything public that a margin is computed and proved from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from zkmargin.app.facts import attested_facts, layout_facts, policy_facts, snapshot_facts
from zkmargin.app.files import Output, blamed_on, load
from zkmargin.app.runtime import compile_note
from zkmargin.cli import terminal
from zkmargin.cli.groups import Command, Group
from zkmargin.cli.options import json_option, output_option, own_policy_option, parse_word, revocations_option
from zkmargin.cli.paths import check_paths, write_outputs
from zkmargin.cli.policies import own_policy
from zkmargin.cli.universes import load_universe, universe_options, universe_paths
from zkmargin.cli.words import policy_lines
from zkmargin.engine.components import REQUIREMENTS
from zkmargin.engine.policy import LAYOUT_PROFILES, domain_size_for
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError
from zkmargin.formats.files import STDIO
from zkmargin.verifier.attest import Attestation, AttestedSnapshot, Revocations, Trust, check_policy
from zkmargin.verifier.chain.table import MAX_SEQUENCE, Table

#: Carried quotes that are listed on the terminal; all are in the snapshot.
SHOWN = 8


@click.group("snapshot", cls=Group)
def command() -> None:
    """Build, show and check risk snapshots.

    A snapshot is a market under a policy, as integers: slots, risk arrays, marks, haircuts. Anyone can rebuild it from
    the market, bit for bit.
    """


@command.command(
    "build",
    cls=Command,
    examples=[
        "zkmargin snapshot build market.json --policy default -o my-snapshot.json",
        "zkmargin snapshot build arrays.json --policy span -o my-span-snapshot.json    # imported SPAN arrays",
        "zkmargin snapshot build market.json --policy default --layout fast -o my-fast-snapshot.json",
        "zkmargin snapshot build market.json --policy default --universe universe.json -o my-universe-snapshot.json",
    ],
)
@click.argument("market_path", metavar="MARKET")
@click.option("--policy", "policy_name", required=True, metavar="NAME", help="A named policy or a policy file.")
@click.option(
    "--layout",
    "profile",
    type=click.Choice(LAYOUT_PROFILES),
    help="Rows of a segment chosen for a fast proof or a compact one; else the policy's.",
)
@click.option(
    "--domain-size", type=int, metavar="N", help="Rows of a segment, a power of two from 16 to 2048; else the policy's."
)
@click.option(
    "--position-bits",
    type=int,
    metavar="BITS",
    help="Every position is below 2^BITS lots, long or short (rounded up to whole digits); else the policy's.",
)
@universe_options
@output_option("the snapshot")
@json_option
def build_command(
    market_path: str,
    policy_name: str,
    universe_path: str | None,
    last_paths: tuple[str, ...],
    profile: str | None,
    domain_size: int | None,
    position_bits: int | None,
    output: str,
    as_json: bool,
) -> None:
    """Price the market MARKET under a policy. Imported risk arrays (market import) are taken as they are.

    With a universe its slots are kept, whatever has a quote today, so that commitments live on: what has no quote is
    carried by the universe's rule, and the snapshot says how (see `zkmargin universe --help`).
    """
    from zkmargin.app import snapshots  # noqa: PLC0415 - a table and a list need nothing that prices a market

    check_paths([market_path, policy_name, *universe_paths(universe_path, last_paths)], [output], json=as_json)
    market = snapshots.load_market(market_path)
    policy = own_policy(policy_name)
    universe, earlier = load_universe(universe_path, last_paths)
    domain_size = _rows(profile, domain_size, universe.capacity.positions if universe else len(market.instruments))
    pricing = terminal.progress(f"Pricing {len(market.instruments)} instruments{compile_note()}")
    with pricing, _blamed_on_option(market_path):
        snapshot = snapshots.build(
            market, policy, universe=universe, earlier=earlier, domain_size=domain_size, position_bits=position_bits
        )
        circuit = snapshots.buildable(snapshot)["initial"]
    write_outputs([Output.document(output, snapshot)])
    facts = {"output": output, **snapshot_facts(snapshot), "layout": layout_facts(circuit)}
    if as_json:
        terminal.say_json(facts)
    else:
        _say(snapshot, facts, output)


def _rows(profile: str | None, domain_size: int | None, slots: int) -> int | None:
    """The rows of a segment, by --layout or --domain-size, None for the policy's. Raises InputError for both."""
    if profile is not None and domain_size is not None:
        raise InputError("choose the rows by --layout or by --domain-size, not by both", file="--layout")
    return domain_size if profile is None else domain_size_for(profile, slots)


@contextmanager
def _blamed_on_option(market_path: str) -> Iterator[None]:
    """Errors about the layout are about the option that asked for it, others about the market."""
    try:
        yield
    except InputError as error:
        own = {"domain_size": "--domain-size", "position_bits": "--position-bits"}.get(error.field or "")
        if own:
            raise InputError(error.reason, file=own, hint=error.hint) from None
        raise error.located(file=market_path) from None


def _say(snapshot: Snapshot, facts: dict[str, Any], output: str) -> None:
    err = output == STDIO
    terminal.say(
        f"snapshot of {facts['instruments']} instruments and {facts['collateral_assets']} collateral assets under "
        f"policy {snapshot.policy.name}, at {snapshot.time}",
        err=err,
    )
    if snapshot.universe is not None:
        spare = snapshot.layout.position_capacity - len(snapshot.instruments)
        retired = len(snapshot.retired_slots("positions"))
        terminal.say(f"slots of universe {snapshot.universe[:16]}: {retired} retired, {spare} spare", err=err)
    for quote in snapshot.carried[:SHOWN]:
        age = f", {quote.age_seconds} s old" if quote.age_seconds else ""
        terminal.say(f"  carried without a quote: {terminal.safe(quote.id)}: {quote.method}{age}", err=err)
    if len(snapshot.carried) > SHOWN:
        terminal.say(f"  and {len(snapshot.carried) - SHOWN} more carried without a quote", err=err)
    terminal.say(f"digest {facts['digest']}; a proof has {facts['layout']['proof_bytes']} bytes", err=err)
    for line in policy_lines(facts["policy"])[1:]:
        terminal.say(f"policy: {line.strip()}", err=err)
    if not err:
        terminal.say(f"wrote {output}; next: zkmargin snapshot show {output}")


@command.command(
    "show",
    cls=Command,
    examples=[
        "zkmargin snapshot show snapshot.json",
        "zkmargin snapshot show snapshot.json --slots    # the names and lots that a book may use",
    ],
)
@click.argument("snapshot_path", metavar="SNAPSHOT")
@click.option("--slots", is_flag=True, help="List every instrument with its lot and mark.")
@json_option
def show_command(snapshot_path: str, slots: bool, as_json: bool) -> None:
    """Show what is in SNAPSHOT: slots, risk groups, scenarios, collateral, layout, size of a proof."""
    snapshot = load(Snapshot, snapshot_path)
    from zkmargin.cli.show import snapshot_json, snapshot_view  # noqa: PLC0415 - tables are loaded when one is shown

    with blamed_on(snapshot_path):
        if as_json:
            terminal.say_json(snapshot_json(snapshot, slots=slots))
        else:
            snapshot_view(snapshot, slots=slots)


@command.command(
    "check",
    cls=Command,
    examples=[
        "zkmargin snapshot check snapshot.json market.json",
        "zkmargin snapshot check snapshot.json market.json --policy default    # and is it my policy?",
        "zkmargin snapshot check snapshot.json market.json --trust trust.json --attestation oracle.json",
    ],
)
@click.argument("snapshot_path", metavar="SNAPSHOT")
@click.argument("market_path", metavar="MARKET")
@own_policy_option(required=False, text="Also refuse another policy than this one of yours, by name or file.")
@click.option("--table", "table_path", metavar="FILE", help="Also recompute this table, every point of it.")
@click.option("--trust", "trust_path", metavar="FILE", help="Your trust file, with --attestation.")
@click.option("--attestation", "attestation_paths", multiple=True, metavar="FILE", help="Who signed the snapshot.")
@revocations_option
@universe_options
@json_option
def check_command(
    snapshot_path: str,
    market_path: str,
    policy_name: str | None,
    table_path: str | None,
    trust_path: str | None,
    attestation_paths: tuple[str, ...],
    revocation_paths: tuple[str, ...],
    universe_path: str | None,
    last_paths: tuple[str, ...],
    as_json: bool,
) -> None:
    """Rebuild SNAPSHOT from MARKET under the policy that is in it, and compare digests.

    Whether that policy is yours, its digest says: give --policy, or compare. With attestations and a trust file, also
    whether enough trusted signers signed this snapshot and this market (not how old it is: that is `verify`'s
    business). Exit code 1 when they did not, or when the policy is another.
    """
    from zkmargin.app import snapshots  # noqa: PLC0415 - a table and a list need nothing that prices a market

    single = [path for path in (snapshot_path, market_path, trust_path, table_path) if path]
    check_paths([*single, *attestation_paths, *revocation_paths, *universe_paths(universe_path, last_paths)])
    if (trust_path is None) != (not attestation_paths) or (revocation_paths and trust_path is None):
        raise InputError("--trust and --attestation belong together", file="--trust")
    snapshot, market = load(Snapshot, snapshot_path), snapshots.load_market(market_path)
    universe, earlier = load_universe(universe_path, last_paths)
    if policy_name is not None:
        check_policy(snapshot, [own_policy(policy_name).digest().hex()], f"the policy {policy_name[:80]!r} of yours")
    trust = None if trust_path is None else load(Trust, trust_path)
    signed = None if trust is None else _signed(snapshot, trust, attestation_paths, revocation_paths)
    pricing = terminal.progress(f"Pricing {len(market.instruments)} instruments{compile_note()}")
    with pricing, blamed_on(snapshot_path):
        snapshots.check(snapshot, market, universe=universe, earlier=earlier)
    table_hash = None if table_path is None else _checked_table(snapshot, table_path)
    if as_json:
        terminal.say_json(_same_facts(snapshot, signed) | {"table_hash": table_hash})
    else:
        _say_same(snapshot, market_path, signed, None if table_hash is None else (table_path or "", table_hash))


def _same_facts(snapshot: Snapshot, signed: AttestedSnapshot | None) -> dict[str, Any]:
    """A snapshot that was rebuilt, for scripts."""
    return {
        "same": True,
        "digest": snapshot.digest().hex(),
        "market_digest": snapshot.market_digest,
        "policy": policy_facts(snapshot.policy),
        "attested": None if signed is None else attested_facts(signed),
    }


def _say_same(
    snapshot: Snapshot, market_path: str, signed: AttestedSnapshot | None, table: tuple[str, str] | None
) -> None:
    terminal.say(f"the same, bit for bit: {terminal.safe(market_path)} under policy {snapshot.policy.name}")
    terminal.say(f"gives the digest {snapshot.digest().hex()}")
    for line in policy_lines(policy_facts(snapshot.policy)):
        terminal.say(f"  {line}")
    if signed is not None:
        number, rule = signed.payload.sequence, terminal.quoted(signed.rule)
        terminal.say(f"number {number} of {rule}, signed by {terminal.listed(signed.signers)}")
    if table is not None:
        terminal.say(f"and the table {terminal.safe(table[0])}, every point of it: hash {table[1]}")


@command.command(
    "table",
    cls=Command,
    examples=[
        "zkmargin snapshot table snapshot.json --sequence 7 -o my-table.json",
        "zkmargin snapshot table snapshot.json --requirement maintenance -o my-maintenance-table.json",
        "zkmargin snapshot check --table table.json snapshot.json market.json    # recompute it",
    ],
)
@click.argument("snapshot_path", metavar="SNAPSHOT")
@click.option(
    "--requirement",
    type=click.Choice(REQUIREMENTS),
    default="initial",
    show_default=True,
    help="Which of the policy's requirements the table is for.",
)
@click.option(
    "--series",
    "series_text",
    default="00" * 32,
    metavar="HEX",
    help="The registry's series, 32 bytes in hex (chain series prints it); zeros without it, for trying out.",
)
@click.option(
    "--sequence",
    type=click.IntRange(0, MAX_SEQUENCE),
    default=0,
    show_default=True,
    metavar="N",
    help="The table's number in its series.",
)
@output_option("the table")
@json_option
def table_command(
    snapshot_path: str, requirement: str, series_text: str, sequence: int, output: str, as_json: bool
) -> None:
    """Commit to SNAPSHOT's risk rows for contracts: the table that chain proofs are checked against.

    A policy or a size that the chain layout has no room for is refused by name. Anybody recomputes a table with
    `snapshot check --table`.
    """
    from zkmargin.app.tables import build_table  # noqa: PLC0415 - only tables need the prover

    check_paths([snapshot_path], [output], json=as_json)
    series = parse_word(series_text, "--series")
    snapshot = load(Snapshot, snapshot_path)
    with terminal.progress(f"Committing to the risk rows{compile_note()}"), blamed_on(snapshot_path):
        table = build_table(snapshot, requirement, series=series, sequence=sequence)
    write_outputs([Output.document(output, table)])
    facts = {"output": output, "hash": table.hash.hex(), "layout_digest": table.layout_digest.hex()}
    facts |= {"points": str(2 + len(table.sides) + len(table.rows))}
    if as_json:
        terminal.say_json(facts)
        return
    _say_table(table, facts, output)


def _say_table(table: Table, facts: dict[str, str], output: str) -> None:
    err = output == STDIO
    rows = "scenarios" if not table.scales else f"lines of gain offsets{' and tails' if table.tails else ''}"
    groups = " + ".join(map(str, table.scenarios))
    terminal.say(
        f"table of {table.instruments} instruments, {groups} {rows}, {table.assets} assets, for the "
        f"{table.requirement} requirement: {facts['points']} points",
        err=err,
    )
    terminal.say(f"hash {facts['hash']}", err=err)
    terminal.say(f"layout {facts['layout_digest']}", err=err)
    if not err:
        terminal.say(f"wrote {output}; next: zkmargin prove ... --protocol chain --table {terminal.safe(output)}")


def _checked_table(snapshot: Snapshot, path: str) -> str:
    """The hash of a table that is the snapshot's. Raises InputError naming what is not."""
    from zkmargin.app.tables import recompute_table  # noqa: PLC0415 - only tables need the prover

    table = load(Table, path)
    with terminal.progress(f"Committing to the risk rows{compile_note()}"), blamed_on(path):
        recompute_table(snapshot, table)
    return table.hash.hex()


def _signed(snapshot: Snapshot, trust: Trust, paths: Sequence[str], revoked: Sequence[str]) -> AttestedSnapshot:
    """Who signed a snapshot. Raises VerificationError."""
    from zkmargin.app.attesting import signed_snapshot  # noqa: PLC0415 - only attestations ask
    from zkmargin.app.verifying import clock_ms  # noqa: PLC0415

    lists = [load(Revocations, path) for path in revoked]
    attestation = load(Attestation, paths[0])
    for path in paths[1:]:
        with blamed_on(path):
            attestation = attestation.combined(load(Attestation, path))
    try:
        return signed_snapshot(snapshot, attestation, trust, now_ms=clock_ms(), revocations=lists)
    except InputError as error:
        raise InputError(error.reason, file=paths[0]) from None
