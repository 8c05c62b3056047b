"""What an agent is told: one TOML file, read strictly; paths in it are relative to its folder."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

from zkmargin.client.urls import check_url
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import to_fraction
from zkmargin.engine.limits import Limit
from zkmargin.formats import InputError, Model, Seq
from zkmargin.formats.files import read_text
from zkmargin.verifier.attest.documents import Name

DAY = 86_400
#: Of an agent's own names: they become names of files and rows.
Plain = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]


C = TypeVar("C", bound=Model)


def told(check: Callable[[C], C]) -> Callable[[C], C]:
    """A check whose error pydantic lists beside the others, with the place of what it checked."""

    @wraps(check)
    def run(model: C) -> C:
        try:
            return check(model)
        except InputError as error:
            raise ValueError(error.message) from error  # its hint is taken from there

    return run


class Holding(Model):
    """What one venue or custodian holds of the account: a book, the opening of its commitment, and what changes it.

    Attributes:
        name: of your choice.
        book: positions and balances, a secret file; read once, at the first start: the journal has it from then on.
        opening: of its commitment, a secret file; read as ``book`` is.
        attestations: who attested the commitment; newer ones may arrive in the inbox.
        fills: a folder where files of fills appear, each applied once, in the order of their times, known by its name.
        updates: a folder for the updates that go to who attests: over a private channel, to nobody else.
    """

    name: Plain
    book: str
    opening: str
    attestations: Seq[str] = Field(default=(), max_length=64)
    fills: str | None = None
    updates: str | None = None

    @model_validator(mode="after")
    @told
    def _check(self) -> Self:
        if (self.fills is None) != (self.updates is None):
            raise InputError("fills make updates, and updates come from fills: give both or none", field="updates")
        return self


class Trust(Model):
    """Which snapshots are proved.

    Attributes:
        file: a trust file: a snapshot counts when enough of those that it names signed it, and under its policies.
        revocations: the newest list of each issuer that the trust file names.
        attested: prove only about commitments that are attested (an update waits for its attestation).
        anyone: prove about any snapshot that arrives: for a folder that only you write to.
    """

    file: str | None = None
    revocations: Seq[str] = Field(default=(), max_length=64)
    attested: bool = True
    anyone: bool = False

    @model_validator(mode="after")
    @told
    def _check(self) -> Self:
        if (self.file is None) != self.anyone:
            raise InputError("either a trust file, or anyone = true", field="file")
        return self


class Snapshots(Model):
    """Where snapshots come from.

    Attributes:
        folder: the inbox: snapshots, their attestations, challenges, receipts, new attestations of commitments and
            lists of revocations appear here as files, told apart by their content; and, or
        venue: the name of a venue with a url, which publishes snapshots.
        series: which of a venue's series.
        poll_ms: how often the folder is looked at.
        max_age_seconds: older snapshots are not proved any more.
    """

    folder: str | None = None
    venue: Name | None = None
    series: Name = "main"
    poll_ms: int = Field(default=2, ge=1, le=60_000)
    max_age_seconds: int = Field(default=600, ge=1, le=366 * DAY)

    @model_validator(mode="after")
    @told
    def _check(self) -> Self:
        if self.folder is None and self.venue is None:
            raise InputError("a folder, a venue, or both", field="folder")
        return self


class Venue(Model):
    """Who gets proofs of what.

    Attributes:
        name: as its challenges address it.
        folder: proofs are written here, each with a list for ``zkmargin verify-batch``; receipts come to the inbox.
        url: or they are sent to this service (``zkmargin serve``), over https, or http on this machine.
        token_file: the account's token there, a secret file of one line.
        ca_file: the certificates that its own is checked with, in place of the system's.
        claim, requirement: equity : requirement, as ``zkmargin prove --claim``.
        limits: further claims, as ``--also``.
        context: text that binds a proof that answers no challenge to its reader.
        every_snapshot: prove about every snapshot; else only where a challenge asks.
    """

    name: Name
    folder: str | None = None
    url: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    claim: str = "1.0"
    requirement: Literal["initial", "maintenance"] = "initial"
    limits: Seq[str] = Field(default=(), max_length=64)
    context: str = Field(default="", max_length=1024)
    every_snapshot: bool = True

    @model_validator(mode="after")
    @told
    def _check(self) -> Self:
        if (self.folder is None) == (self.url is None):
            raise InputError("either a folder or a url", field="folder")
        if self.url is not None:
            check_url(self.url, "url")
            if self.context:
                raise InputError("a service's challenges are the context: give none", field="context")
        if (self.url is None) != (self.token_file is None):
            raise InputError("a url needs a token_file, a folder takes none", field="token_file")
        Claim.parse(self.claim, self.requirement)
        for text in self.limits:
            Limit.parse(text)
        return self

    @cached_property
    def parsed_claim(self) -> Claim:
        """The claim."""
        return Claim.parse(self.claim, self.requirement)

    @cached_property
    def parsed_limits(self) -> tuple[Limit, ...]:
        """The limits."""
        return tuple(Limit.parse(text) for text in self.limits)


class Retry(Model):
    """How a proof is sent again: after ``first_seconds``, then twice as long each time, up to ``most_seconds``.

    Each wait is cut by a random part of up to a half, so that many agents do not come back at once.
    """

    first_seconds: float = Field(default=0.5, gt=0, le=3600)
    most_seconds: float = Field(default=60.0, gt=0, le=3600)


class Alarms(Model):
    """Who is told, beside the log and the page.

    Attributes:
        command: a program and its arguments, run without a shell; it gets the alarm as one line of JSON.
        webhook: a URL that the alarm is posted to: without amounts, unless ``webhook_amounts``.
        headroom: raise an alarm where equity less the requirement falls below this, in the quote currency.
        expiry_seconds: warn so long before an attestation expires.
        silence_seconds: raise an alarm where no snapshot has come for so long; without it, for
            ``snapshots.max_age_seconds``: nothing can be proved then. 0: never.
    """

    command: Seq[str] = Field(default=(), max_length=64)
    webhook: str | None = None
    webhook_amounts: bool = False
    headroom: str | None = None
    expiry_seconds: int = Field(default=3600, ge=0, le=366 * DAY)
    silence_seconds: int | None = Field(default=None, ge=0, le=366 * DAY)

    @model_validator(mode="after")
    @told
    def _check(self) -> Self:
        if self.webhook is not None:
            check_url(self.webhook, "webhook")
        if self.headroom is not None:
            to_fraction(self.headroom, field="headroom")
        return self


class Page(Model):
    """The page on this machine, 127.0.0.1 only, behind a token. ``port`` 0 takes a free one."""

    port: int = Field(default=0, ge=0, le=65_535)


class Config(Model):
    """An agent's configuration.

    Attributes:
        account: the alias that its commitments carry.
        state: a folder for the journal; made with mode 0700. It holds secrets.
        threads: as ``zkmargin prove --threads``.
        keep_days: how long the journal keeps what is done.
    """

    account: Name
    state: str
    holdings: Seq[Holding] = Field(min_length=1, max_length=64)
    trust: Trust
    snapshots: Snapshots
    venues: Seq[Venue] = Field(min_length=1, max_length=64)
    retry: Retry = Retry()
    alarms: Alarms = Alarms()
    page: Page | None = None
    threads: int | None = Field(default=None, ge=1, le=64)
    keep_days: int = Field(default=30, ge=1, le=3660)

    @model_validator(mode="after")
    @told
    def _check(self) -> Self:
        for field, names in (("holdings", [h.name for h in self.holdings]), ("venues", [v.name for v in self.venues])):
            _refuse_twice(field, names)
        served = {venue.name for venue in self.venues if venue.url is not None}
        if self.snapshots.venue is not None and self.snapshots.venue not in served:
            raise InputError(f"no venue with a url is named {self.snapshots.venue!r}", field="snapshots: venue")
        return self


def read_config(path: str) -> Config:
    """Read a TOML file; its paths become absolute. Raises InputError: the first mistake, and how many more."""
    mistakes, config = config_mistakes(path)
    if config is None:
        first = mistakes[0]
        more = f" (and {len(mistakes) - 1} more: --check lists them)" if len(mistakes) > 1 else ""
        raise InputError(first.reason + more, file=first.file, field=first.field, hint=first.hint)
    return config


def config_mistakes(path: str) -> tuple[list[InputError], Config | None]:
    """Everything that is wrong in the file itself, and the configuration where nothing is."""
    try:
        data = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        hint = 'text stands in quotes: account = "market maker"' if "Invalid value" in str(error) else None
        return [InputError(f"not TOML: {error}"[:200], file=path, hint=hint)], None
    except InputError as error:
        return [error], None
    try:
        config = TypeAdapter(Config).validate_python(data)  # its own errors: every mistake is told
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # a list of one wrong thing is not too short besides
        inner = [one for one in found if one["type"] != "too_short" or not _has_inner(one["loc"], found)]
        return [_mistake(one, path) for one in inner], None
    except InputError as error:
        return [error.located(file=path)], None
    return [], _absolute(config, Path(path).resolve().parent)


def config_schema() -> str:
    """The JSON Schema of the file, as it is kept in docs/watch.schema.json."""
    schema = Config.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=1) + "\n"


def _absolute(config: Config, folder: Path) -> Config:
    def at(path: str | None) -> str | None:
        return None if path is None else str(folder / Path(path).expanduser())

    def each(paths: Sequence[str]) -> tuple[str, ...]:
        return tuple(str(folder / Path(path).expanduser()) for path in paths)

    return config.replaced(
        state=at(config.state),
        holdings=tuple(
            h.replaced(
                book=at(h.book),
                opening=at(h.opening),
                attestations=each(h.attestations),
                fills=at(h.fills),
                updates=at(h.updates),
            )
            for h in config.holdings
        ),
        trust=config.trust.replaced(file=at(config.trust.file), revocations=each(config.trust.revocations)),
        snapshots=config.snapshots.replaced(folder=at(config.snapshots.folder)),
        venues=tuple(
            v.replaced(
                folder=at(v.folder),
                token_file=at(v.token_file),
                ca_file=at(v.ca_file),
            )
            for v in config.venues
        ),
    )


def _mistake(one: ErrorDetails, path: str) -> InputError:
    """One of pydantic's errors; a rule of ours that is behind it says its way out too."""
    rule = getattr(one.get("ctx", {}).get("error"), "__cause__", None)
    hint = rule.hint if isinstance(rule, InputError) else None
    return InputError(_reason(str(one["msg"])), file=path, field=_field(one["loc"]), hint=hint)


def _reason(message: str) -> str:
    reason = message.removeprefix("Value error, ")
    return "unknown key" if reason == "Extra inputs are not permitted" else (reason[:1].lower() + reason[1:])[:200]


def _has_inner(loc: tuple[str | int, ...], found: Sequence[ErrorDetails]) -> bool:
    return any(len(one["loc"]) > len(loc) and one["loc"][: len(loc)] == loc for one in found)


def _field(loc: Sequence[str | int]) -> str | None:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")[:200] or None


def _refuse_twice(field: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{name!r} is there twice", field=field)
