"""The configuration of a service: one TOML file. Paths in it are relative to its folder."""

from __future__ import annotations

import tomllib
import warnings
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from zkmargin.crypto.keys import PublicKey
from zkmargin.formats import Caution, InputError, Model, Seq, load_document, read_text
from zkmargin.formats.errors import Hint
from zkmargin.verifier.attest import Trust

MAX_CONFIG_BYTES = 1 << 20


class Limits(Model):
    """What a service takes. Sizes are bytes, times seconds.

    Attributes:
        max_body, max_snapshot_body: of a call, and of one that publishes a snapshot; declared or not.
        max_batch: submissions in one call.
        max_open_challenges: unanswered ones of an account.
        max_challenge_seconds: the longest lifetime of a challenge.
        challenges_per_minute: for one account, or one venue; so many at once too.
        changes_per_minute: that are signed by an account's keys.
        calls_per_second, burst: of one token, and of one address without a token.
        connections, connections_per_address: at the same time; above the first, 503; above twice the first, TLS
            handshakes included, and above the second the connection is closed. A trusted proxy's address has no limit
            of its own.
        streams, streams_per_account: of events, among the connections. A token that is no account's counts for itself.
        tokens_per_account: that are neither revoked nor expired.
        webhooks_per_account: also of those that are nobody's.
        queue: submissions that wait for a verifier; above it, 503.
        body_seconds: a whole request must come within it.
        idle_seconds: a connection without a request is closed after it, and one whose peer reads less than 64 kB of an
            answer that waits for it.
    """

    max_body: int = Field(default=1 << 18, ge=1 << 12, le=1 << 26)
    max_snapshot_body: int = Field(default=1 << 23, ge=1 << 12, le=1 << 26)
    max_batch: int = Field(default=64, ge=1, le=256)
    max_open_challenges: int = Field(default=64, ge=1, le=4096)
    max_challenge_seconds: int = Field(default=3600, ge=1, le=86_400)
    challenges_per_minute: int = Field(default=120, ge=1, le=1_000_000)
    changes_per_minute: int = Field(default=60, ge=1, le=1_000_000)
    calls_per_second: int = Field(default=50, ge=1, le=100_000)
    burst: int = Field(default=200, ge=1, le=100_000)
    connections: int = Field(default=512, ge=8, le=65_536)
    connections_per_address: int = Field(default=256, ge=1, le=65_536)
    streams: int = Field(default=128, ge=1, le=65_536)
    streams_per_account: int = Field(default=8, ge=1, le=65_536)
    tokens_per_account: int = Field(default=16, ge=1, le=4096)
    webhooks_per_account: int = Field(default=8, ge=1, le=256)
    queue: int = Field(default=256, ge=1, le=65_536)
    body_seconds: int = Field(default=10, ge=1, le=600)
    idle_seconds: int = Field(default=30, ge=1, le=3600)


class Retention(Model):
    """After how many days what is no record of an acceptance is deleted: of challenges, those without an answer."""

    events_days: int = Field(default=90, ge=1, le=36_500)
    refusals_days: int = Field(default=365, ge=1, le=36_500)
    audit_days: int = Field(default=3650, ge=1, le=36_500)
    challenges_days: int = Field(default=30, ge=1, le=36_500)


class Tls(Model):
    """Certificate chain and key, PEM files. Without them, put a proxy with TLS in front."""

    certificate: str = Field(min_length=1)
    key: str = Field(min_length=1)


class Settings(Model):
    """The file.

    Attributes:
        database: an SQLite file or ``postgresql://...``.
        trust: the trust file; its ``verifier`` is the service's name.
        key: the service's secret key: signs receipts, the ledger's records, events and coverage.
        passphrase_file: its passphrase, in a file that only the service may read.
        operators: public keys whose changes count.
        host, port: where it listens; port 0 takes a free one.
        workers: processes that verify.
        trusted_proxies: addresses whose ``X-Forwarded-For`` counts.
        webhooks_over_http: lets webhooks go without TLS too: for tests and closed networks.
        webhooks_to_private_addresses: lets them go to addresses that are not the Internet's: the service's own network.
    """

    database: str = Field(min_length=1)
    trust: str = Field(min_length=1)
    key: str = Field(min_length=1)
    passphrase_file: str | None = None
    operators: Seq[str] = Field(min_length=1, max_length=64)
    host: str = "127.0.0.1"
    port: int = Field(default=8420, ge=0, le=65_535)
    workers: int = Field(default=1, ge=1, le=256)
    tls: Tls | None = None
    trusted_proxies: Seq[str] = Field(default=(), max_length=64)
    webhooks_over_http: bool = False
    webhooks_to_private_addresses: bool = False
    limits: Limits = Limits()
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "\0" in self.database:
            raise InputError("not a path or URL", field="database")
        return self

    @classmethod
    def load(cls, path: str) -> Self:
        """Read the file. Raises InputError: names the field that is wrong."""
        try:
            value = tomllib.loads(read_text(path, max_bytes=MAX_CONFIG_BYTES))
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"not TOML: {error}", file=path) from None
        folder = Path(path).parent
        try:
            settings = cls.model_validate(value)
        except InputError as error:
            raise error.located(file=path) from None
        return settings.below(folder)

    def below(self, folder: Path) -> Self:
        """The same with paths that are relative to a folder made whole."""

        def at(path: str) -> str:
            return str(folder / path)

        changes: dict[str, Any] = {"trust": at(self.trust), "key": at(self.key)}
        changes["operators"] = tuple(map(at, self.operators))
        if "://" not in self.database:
            changes["database"] = at(self.database)
        if self.passphrase_file is not None:
            changes["passphrase_file"] = at(self.passphrase_file)
        if self.tls is not None:
            changes["tls"] = Tls(certificate=at(self.tls.certificate), key=at(self.tls.key))
        return self.model_copy(update=changes)

    def load_trust(self) -> Trust:
        """The trust file. Raises InputError: it is of version 1."""
        trust = load_document(Trust, self.trust)
        if not trust.pins_policies:
            raise InputError("a service needs version 2", file=self.trust, hint=Hint.POLICY_DIGEST)
        return trust

    def warn_of_receipts(self, trust: Trust, key: PublicKey) -> None:
        """A caution where nobody who has this very trust file takes what the service signs: receipts, coverage."""
        names = {one.name for one in trust.keys if (one.scheme, one.public_key) == (key.scheme, key.public_key)}
        if not any(
            rule.name == trust.verifier and rule.threshold == 1 and names & set(rule.signers) for rule in trust.receipts
        ):
            caution = (
                f"{self.trust}: receipts of {trust.verifier!r} do not count by the service's key {key.fingerprint}"
            )
            hint = "add the public key, and a rule under receipts with the verifier's name and this key as signer"
            warnings.warn(Caution(caution, hint), stacklevel=2)

    def load_operators(self) -> tuple[PublicKey, ...]:
        """Their keys. Raises InputError."""
        return tuple(load_document(PublicKey, path) for path in self.operators)
