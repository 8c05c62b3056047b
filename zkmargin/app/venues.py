"""Every account of a venue: a statement and a witness from accounts, and a proof."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from zkmargin.app.venue_accounts import Accounts, VenueAccount
from zkmargin.app.venue_classes import Asked, class_books, sort_into_classes
from zkmargin.app.venue_dense import DenseBook
from zkmargin.app.venue_names import check_alike
from zkmargin.app.venue_notes import VenueSecret
from zkmargin.app.venue_witness import witness_of
from zkmargin.circuits.venue import Ratio, VenueRules
from zkmargin.engine.claims import VALUATION_DECIMALS
from zkmargin.engine.decimals import to_units
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ZkMarginError
from zkmargin.prover.polynomials import ProverError
from zkmargin.prover.profile import Profile
from zkmargin.prover.venue.answers import WorkerError
from zkmargin.prover.venue.blinders import SEED_BYTES, SeededBlinders
from zkmargin.prover.venue.cluster import Cluster
from zkmargin.prover.venue.pipes import TIMEOUT_SECONDS
from zkmargin.prover.venue.preparing import Preparing
from zkmargin.prover.venue.prove import inputs_digest, prove_venue
from zkmargin.prover.venue.witness import VenueWitness, held_totals, net_positions
from zkmargin.prover.venue.workers import VenueWorkers, preparing
from zkmargin.verifier.venue.customers import VenueRecord
from zkmargin.verifier.venue.statement import VenueStatement
from zkmargin.verifier.venue.terms import DenseAccount, VenueTerms
from zkmargin.verifier.venue.verify import VenueAccepted


@dataclass(frozen=True, repr=False)
class Prepared:
    """A statement, its witness, and the names of each class's accounts in order."""

    snapshot: Snapshot
    statement: VenueStatement
    witness: VenueWitness
    classes: tuple[tuple[str, ...], ...]
    nonces: dict[str, bytes]
    makers: Preparing | None = None  # workers that made it, and will prove it


@dataclass(frozen=True, repr=False)
class MadeVenue:
    """A proof and everything that goes with it."""

    proof: bytes
    accepted: VenueAccepted
    record: VenueRecord
    secret: VenueSecret
    seconds: float
    profile: Profile


def prepare(
    snapshot: Snapshot,
    accounts: Accounts | Sequence[VenueAccount],
    asked: Asked,
    dense: Sequence[DenseBook] = (),
    *,
    workers: int = 1,
    cluster: Cluster | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Prepared:
    """Terms, statement and witness. Accounts without a nonce get one from the operating system.

    Args:
        snapshot: the risk snapshot.
        accounts: those that go into blocks.
        asked: what is to be proved.
        dense: those that have a commitment of their own.
        workers, cluster: who shares the work.
        timeout: seconds that an answer of a worker process may take.

    Raises:
        WorkerLostError: a worker was lost too often or answered wrongly, by name.
        InputError: accounts that do not fit, numbers that contradict the books, an opening of another book.
        ConstraintError: accounts under margin, by name with their shortfalls; net positions that are not 0.
    """
    if not isinstance(accounts, Accounts):
        accounts = Accounts.of(accounts, snapshot)
    _check_names(accounts, dense, asked)
    n, commitments = snapshot.layout.domain_size, [account.commitment for account in dense]
    rules = VenueRules.of(snapshot, asked.requirement)
    asked = replace(asked, claim=str(Ratio.parse(asked.claim)))
    classes, members = sort_into_classes(accounts, rules, asked, n)
    large = tuple(_dense_account(account, asked) for account in dense)

    def state(**more: Any) -> VenueStatement:
        terms = VenueTerms(
            venue=asked.venue,
            requirement=asked.requirement,
            domain_size=n,
            digit_bits=asked.digit_bits or n.bit_length() - 1,
            helper_group=7,
            classes=classes,
            dense=large,
            cap=None if asked.cap is None else str(to_units(asked.cap, VALUATION_DECIMALS, field="cap")),
            exempt=asked.exempt,
            **more,
        )
        return VenueStatement.of(snapshot, terms, commitments=commitments, context=asked.context)

    lots = [account.lots for account in dense]
    books = [class_books(spec, accounts, mine, rules) for spec, mine in zip(classes, members, strict=True)]
    names = tuple(tuple(mine.names) for mine in books)
    more: dict[str, Any] = {}
    if asked.net == "zero":
        more["net"] = ("0",) * rules.instruments
    draft = state()
    if asked.net == "public":
        more["net"] = tuple(map(str, net_positions(draft, books, lots)))
    if asked.totals:
        more["totals"] = tuple(map(str, held_totals(draft, books, lots)))
    statement = state(**more)
    nonces = {name: accounts.nonces.get(name) or secrets.token_bytes(16) for name in accounts.names}
    drawn = [[nonces[name] for name in mine] for mine in names]
    if workers == 1 and cluster is None:
        return Prepared(snapshot, statement, witness_of(statement, books, drawn, dense), names, nonces)
    elsewhere = (workers, None) if cluster is None else (len(cluster.workers), cluster.connect)
    makers = preparing(snapshot, statement, *elsewhere, timeout=timeout)
    try:
        with _named():
            return Prepared(
                snapshot, statement, witness_of(statement, books, drawn, dense, makers), names, nonces, makers
            )
    except BaseException:
        makers.close()
        raise


class WorkerLostError(ZkMarginError):
    """Workers that did not do their part: nothing was proved, and nothing is wrong with the accounts."""


@contextmanager
def _named() -> Iterator[None]:
    """A worker's failure in our words; other failures of a prover stay what they are."""
    try:
        yield
    except WorkerError as error:
        hint = "nothing was proved; run it again, with fewer workers or more time for each answer"
        raise WorkerLostError(str(error), hint=hint) from None


def _check_names(accounts: Accounts, dense: Sequence[DenseBook], asked: Asked) -> None:
    """Raises InputError: an account given twice, or a claim of nobody."""
    large = {account.name for account in dense}
    twice = large.intersection(accounts.names)
    if twice:
        raise InputError(
            "is given twice, in a block and by a commitment of its own: its book would count twice",
            field=f"account {min(twice)[:100]}",
            hint="leave it out of one of the two",
        )
    check_alike([*accounts.names, *sorted(large)])
    unknown = set(asked.own or {}) - large
    unknown.difference_update(accounts.names)
    if unknown:
        raise InputError(
            f"a claim of {min(unknown)[:100]!r}, which is no account here",
            field="claims",
            hint="names are as the accounts have them",
        )


def _dense_account(account: DenseBook, asked: Asked) -> DenseAccount:
    own = asked.of(account.name)
    limits: dict[str, Any] = {"limits": own.limits} if own.limits else {}  # a field of later terms
    return DenseAccount(commitment=account.commitment.digest().hex(), claim=own.claim, **limits)


def make_venue_proof(
    prepared: Prepared, *, threads: int, elsewhere: bool = False, watch: Callable[[str], None] | None = None
) -> MadeVenue:
    """Prove, verify, and keep what notes need. The workers that made the witness, if any, prove it and are ended.

    Args:
        threads: parts of the work at the same time, in this process.
        elsewhere: whether workers are on other machines, which see no file of this one.
        watch: called with the name of each round as it begins.

    Raises as ``prove_venue`` does.
    """
    begin, profile, statement = time.perf_counter(), Profile(watch=watch), prepared.statement
    seed, inputs = secrets.token_bytes(SEED_BYTES), inputs_digest(statement, prepared.witness)
    if prepared.makers is not None:
        with _named(), prepared.makers as makers:
            given = (prepared.snapshot, statement, prepared.witness, inputs, makers.count)
            with VenueWorkers(*given, connect=makers.connect, here=not elsewhere, seeds=[seed]) as running:
                try:
                    proof, accepted = running.prove_and_verify(profile=profile)
                except WorkerError:
                    raise
                except ProverError as error:
                    raise makers.blamed(error) from None
    else:
        blinders = SeededBlinders(seed, inputs)
        proof, accepted = prove_venue(statement, prepared.witness, blinders=blinders, threads=threads, profile=profile)
    record = accepted.record
    secret = VenueSecret(
        statement=record.statement,
        proof=record.proof,
        inputs=inputs.hex(),
        seed=seed.hex(),
        classes=prepared.classes,
        nonces={name: nonce.hex() for name, nonce in prepared.nonces.items()},
    )
    return MadeVenue(proof, accepted, record, secret, time.perf_counter() - begin, profile)
