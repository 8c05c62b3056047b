"""What is typed after ``zkmargin verify``, and which of it goes together."""

from __future__ import annotations

from dataclasses import dataclass

import click
from click.core import ParameterSource

from zkmargin.cli.paths import check_paths
from zkmargin.cli.statements import StatementOptions
from zkmargin.cli.universes import universe_paths
from zkmargin.cli.venue_verifying import check_terms_options
from zkmargin.cli.vouching import VouchingOptions
from zkmargin.formats import InputError


@dataclass(frozen=True, kw_only=True)
class Options(StatementOptions, VouchingOptions):
    """What was typed."""

    proof_paths: tuple[str, ...]
    bundle_path: str | None
    as_accepted: bool
    snapshot_path: str | None
    commitment_paths: tuple[str, ...]
    market_path: str | None
    universe_path: str | None
    last_paths: tuple[str, ...]
    ledger_where: str | None
    receipt_path: str | None
    key_path: str | None
    passphrase_path: str | None
    signer_command: str | None
    rerun_path: str | None
    table_path: str | None
    terms_path: str | None
    workers: int
    as_json: bool


def check(options: Options) -> None:
    """Raises InputError for paths that clash, and for options that do not go together."""
    if options.terms_path is not None:
        check_terms_options(options.proof_paths, options.table_path)
    _check_bundle(options)
    keys = (options.trust_path, options.challenge_path, options.key_path, options.passphrase_path, options.rerun_path)
    inputs = [path for path in (options.bundle_path, options.snapshot_path) if path]
    inputs += [*options.commitment_paths, *options.attestation_paths, *options.proof_paths]
    inputs += [*options.revocation_paths, *universe_paths(options.universe_path, options.last_paths)]
    more = (options.table_path, options.terms_path, options.market_path, options.derivation_path, options.history_path)
    inputs += [path for path in (*keys, *more, options.vols_path, *options.before_paths) if path]
    if options.table_path is not None and len(options.proof_paths) > 1:
        raise InputError("chain proofs are verified one at a time", file=options.proof_paths[1], field="PROOF")
    check_paths(inputs, [options.receipt_path] if options.receipt_path else [], json=options.as_json)
    alone = (options.receipt_path, options.rerun_path, options.challenge_path, options.trust_path, options.ledger_where)
    if len(options.proof_paths) > 1 and any(alone):
        raise InputError(
            "one at a time with --trust, --challenge, --ledger, --receipt or --rerun",
            file=options.proof_paths[1],
            field="PROOF",
        )
    if options.key_path is not None and options.receipt_path is None and options.ledger_where is None:
        raise InputError("is for signing a receipt: give --receipt FILE, or --ledger", file="--receipt-key")
    for option, given in (("--attestation", options.attestation_paths), ("--revocations", options.revocation_paths)):
        if given and options.trust_path is None:
            raise InputError("means nothing without --trust FILE: who signs is nobody you know", file=option)
    if options.rerun_path is not None or options.as_accepted:
        _check_rerun(options)
    if options.market_path is None and universe_paths(options.universe_path, options.last_paths):
        raise InputError("is for rebuilding the snapshot: give --market FILE too", file="--universe")


def _check_bundle(options: Options) -> None:
    """Raises InputError for what a bundle takes the place of, what it needs, and what is missing without one."""
    if options.bundle_path is None:
        whose = options.commitment_paths or options.terms_path
        needed = (options.snapshot_path, whose, options.proof_paths)
        for what, given in zip(
            ("option '--snapshot'", "option '--commitment'", "argument 'PROOF...'"), needed, strict=True
        ):
            if not given:
                other = "--terms or --bundle" if "commitment" in what else "--bundle"
                raise click.UsageError(f"Missing {what}, or {other}.", click.get_current_context())
        if options.as_accepted:
            raise InputError("repeats the acceptance of a bundle: give --bundle FILE", file="--as-accepted")
        return
    for option, given in (
        ("PROOF", options.proof_paths),
        ("--snapshot", options.snapshot_path),
        ("--commitment", options.commitment_paths),
        ("--table", options.table_path),
        ("--terms", options.terms_path),
    ):
        if given:
            raise InputError("does not go with --bundle: the bundle has its own", file=option)
    if options.as_accepted and options.rerun_path is not None:
        raise InputError("does not go with --rerun: one receipt is repeated", file="--as-accepted")
    for option, given in (("--ledger", options.ledger_where), ("--receipt", options.receipt_path)):
        lacking = lacking_word(options)
        if given is not None and lacking is not None:
            raise InputError(f"takes what was accepted: {lacking}", file=option)


def _check_rerun(options: Options) -> None:
    """Raises InputError for options that mean nothing when an acceptance is repeated."""
    name = "--as-accepted" if options.as_accepted else "--rerun"
    if options.trust_path is None:
        raise InputError(
            "needs --trust FILE: whose receipts count, and so whose clock, it says", file=name, hint="give --trust"
        )
    for option, given, reason in (
        ("--ledger", options.ledger_where, "repeats an acceptance: nothing is recorded"),
        ("--receipt", options.receipt_path, "repeats an acceptance: a new receipt would be back-dated"),
        ("--max-age", options.max_age, "repeats an acceptance: ages are as of RECEIPT, not by this machine's clock"),
    ):
        if given is not None:
            raise InputError(reason, file=name, hint=f"leave {option} out")


def lacking_word(options: Options) -> str | None:
    """What keeps a bundle from being accepted: the word of its verifier."""
    if options.trust_path is None:
        return "nothing is authenticated: no trust file of your own says whose signatures count. Give --trust"
    fresh = options.challenge_path is not None or was_typed("context_text")
    if fresh or options.as_accepted or options.rerun_path is not None:
        return None
    return "whom it was made for is its own word, and so is when: give your --challenge, or the --context you asked for"


def was_typed(name: str) -> bool:
    """Whether an option was typed, be it with the value that it has by itself."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE
