"""``zkmargin watch --check``: everything that a configuration names is read, and every mistake gets a line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from zkmargin.accounts import Opening
from zkmargin.accounts.commitments import commit_vector, hex_points
from zkmargin.agent.config import Config, Holding, config_mistakes
from zkmargin.agent.inbox import Folder, check_folder, read
from zkmargin.app.files import load
from zkmargin.app.verifying import clock_ms
from zkmargin.crypto.srs import embedded
from zkmargin.engine.book import Book, to_lots
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ZkMarginError
from zkmargin.verifier.attest import Attestation, CommitmentPayload, Revocations, Trust

#: Of an inbox, so many of the newest files are looked at for a snapshot.
LOOKED_AT = 8


def check(path: str) -> tuple[list[InputError], Config | None]:
    """All mistakes of a configuration and of what it names, and the configuration where it could be read.

    Nothing is written, and no venue is told anything but that somebody asks who it is.
    """
    mistakes, config = config_mistakes(path)
    if config is None:
        return mistakes, None
    for part in (_folders, _trust, _holdings, _venues, _alarms):
        mistakes += part(config)
    return mistakes, config


def _tried(work: Callable[[], object]) -> list[InputError]:
    try:
        work()
    except InputError as error:
        return [error]
    except ZkMarginError as error:
        return [InputError(error.message, hint=error.hint)]
    return []


def _folders(config: Config) -> Iterator[InputError]:
    wanted = [(config.snapshots.folder, "snapshots.folder", False)]
    for holding in config.holdings:
        wanted.append((holding.fills, f"holdings: {holding.name}: fills", False))
        wanted.append((holding.updates, f"holdings: {holding.name}: updates", True))
    wanted += [(venue.folder, f"venues: {venue.name}: folder", True) for venue in config.venues]
    for folder, field, writable in wanted:
        if folder is not None:
            yield from _tried(lambda at=folder, f=field, w=writable: check_folder(at, f, writable=w))  # type: ignore[misc]
    state = Path(config.state)
    above = next(parent for parent in (state, *state.parents) if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        yield InputError("cannot be made or written", file=config.state, field="state")
    elif state.exists() and os.name == "posix" and state.stat().st_mode & 0o077:
        yield InputError("others may look into it", file=config.state, field="state", hint=f"chmod 700 {config.state}")


def _trust(config: Config) -> Iterator[InputError]:
    if config.trust.file is not None:
        yield from _tried(lambda: load(Trust, str(config.trust.file)))
    for path in config.trust.revocations:
        yield from _tried(lambda at=path: load(Revocations, at))  # type: ignore[misc]


def _holdings(config: Config) -> Iterator[InputError]:
    snapshot = _newest_snapshot(config)
    for holding in config.holdings:
        try:
            book, opening = load(Book, holding.book), load(Opening, holding.opening)
        except InputError as error:
            yield error
            continue
        yield from _aliases(config, holding, opening)
        if snapshot is not None:
            yield from _tried(lambda b=book, o=opening, h=holding: _belongs(b, o, h, snapshot))  # type: ignore[misc]
        yield from _attestations(config, holding, opening)


def _aliases(config: Config, holding: Holding, opening: Opening) -> Iterator[InputError]:
    for alias in {part.alias: None for part in opening.parts}:
        if alias != config.account:
            reason = f"is of the account {alias[:80]!r}, not of {config.account[:80]!r}"
            yield InputError(reason, file=holding.opening, field="alias")


def _belongs(book: Book, opening: Opening, holding: Holding, snapshot: Snapshot) -> None:
    """Raises InputError: the opening is not of the book."""
    lots, n = to_lots(book, snapshot, file=holding.book), snapshot.layout.domain_size
    for part in opening.parts:
        if opening.domain_size != n or part.points != hex_points(
            commit_vector(embedded(), n, getattr(lots, part.role), part.scalars())
        ):
            raise InputError(f"is not of the {part.role} in {holding.book}", file=holding.opening, field="opening")


def _attestations(config: Config, holding: Holding, opening: Opening) -> Iterator[InputError]:
    attested = set()
    for path in holding.attestations:
        try:
            payload = load(Attestation, path).payload
        except InputError as error:
            yield error
            continue
        if not isinstance(payload, CommitmentPayload):
            yield InputError("attests a snapshot, not a commitment", file=path)
        elif parse_time(payload.expires) <= clock_ms():
            yield InputError(f"has ended: {payload.expires}", file=path, field="expires", hint="ask for a new one")
        else:
            attested.add(payload.points)
    for part in opening.parts if config.trust.attested else ():
        if part.points not in attested:
            yield InputError(
                f"nobody attested the {part.role} part",
                file=holding.opening,
                field=f"holdings: {holding.name}: attestations",
                hint="name its attestation, or set trust.attested = false",
            )


def _newest_snapshot(config: Config) -> Snapshot | None:
    """One of the inbox's newest files that is a snapshot, or the last that the agent saw; None without any."""
    if config.snapshots.folder is not None:
        for arrived in Folder("inbox", config.snapshots.folder, {}).look()[: -LOOKED_AT - 1 : -1]:
            try:
                return read(Snapshot, arrived)
            except InputError:
                continue
    try:
        return load(Snapshot, str(Path(config.state) / "last-snapshot.json"))
    except InputError:
        return None


def _venues(config: Config) -> Iterator[InputError]:
    for venue in config.venues:
        if venue.url is None:
            continue
        try:
            from zkmargin.agent.served import client_of  # noqa: PLC0415 - needs the extra `client`

            with client_of(venue) as client:
                found = client.service()
                client.account(config.account)
                token = client.whoami()
        except ImportError:
            yield InputError(
                "a venue with a url needs httpx", field=f"venues: {venue.name}", hint="pip install 'zkmargin[client]'"
            )
            continue
        except ZkMarginError as error:
            yield InputError(error.message, field=f"venues: {venue.name}: url", hint=error.hint)
            continue
        if (token.role, token.account) != ("account", config.account):
            yield InputError(
                f"its token is of role {token.role}, which submits no proofs of {config.account[:80]!r}",
                field=f"venues: {venue.name}: token_file",
                hint="zkmargin serve token --role account makes one",
            )
        if found.name != venue.name:
            yield InputError(f"calls itself {found.name[:80]!r}", field=f"venues: {venue.name}: name")
        else:
            yield from _receipts(config, venue.name)


def _receipts(config: Config, venue: str) -> Iterator[InputError]:
    """A trust file that has rules of receipts and none for a venue: each proof would be sent until it is too old."""
    try:
        trust = None if config.trust.file is None else load(Trust, config.trust.file)
    except InputError:
        return  # said already
    if trust is not None and trust.receipts and venue not in {rule.name for rule in trust.receipts}:
        yield InputError(
            f"no receipt of {venue[:80]!r} would count",
            file=config.trust.file,
            field="receipts",
            hint="add a rule with the venue's name, and the key that signs its receipts",
        )


def _alarms(config: Config) -> Iterator[InputError]:
    command = config.alarms.command
    if command and not any(
        os.access(Path(folder) / command[0], os.X_OK)
        for folder in ([""] if "/" in command[0] else os.environ.get("PATH", "").split(os.pathsep))
    ):
        yield InputError("no such program", file=command[0], field="alarms.command")
