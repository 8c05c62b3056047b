"""``zkmargin chain dev``: a local chain, and the whole way on it with the demo's files, each step a command."""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zkmargin import cli
from zkmargin.app.files import load
from zkmargin.chain.documents import Rules
from zkmargin.cli import terminal
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, SetupError, VerificationError

HARDFORK = "osaka"
_START_SECONDS = 20
#: Where npm puts the binary of @foundry-rs/anvil, below a folder that has node_modules.
_NPM = Path("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
ACCOUNT = "0x00000000000000000000000000000000000000ac"


def walk(anvil: str | None, folder: str) -> None:
    """Run it all.

    Args:
        anvil: the local EVM; looked for without it.
        folder: of the demo's files.

    Raises:
        InputError: no demo's files in the folder, or no anvil.
        SetupError: the extra ``chain`` is not installed.
        VerificationError: a step did not do what it must (exit code 1).
    """
    demo = Path(folder)
    missing = [
        name
        for name in ("snapshot.json", "book.json", "opening.json", "commitment.json")
        if not (demo / name).is_file()
    ]
    if missing:
        raise InputError(f"has no {missing[0]}", file=folder, hint=f"zkmargin demo --folder {folder} makes it")
    binary = _find(anvil)
    begin = time.perf_counter()
    with _chain(binary) as (url, sender), tempfile.TemporaryDirectory(prefix="zkmargin-chain-") as made:
        _Walk(demo.resolve(), Path(made), url, sender).run()
    terminal.say(f"\nDone in {time.perf_counter() - begin:.1f} s. All that had to fail did. The local chain is gone.")


def venue_rules(addresses: Sequence[str], snapshot: Snapshot) -> Rules:
    """Two of the first three sign prices, the fourth attests positions, the fifth collateral."""
    return Rules(
        attesters=tuple(addresses[:3]),
        threshold=2,
        policies=(snapshot.policy.digest().hex(),),
        lifetime_seconds=3600,
        position_attesters=(addresses[3],),
        collateral_attesters=(addresses[4],),
        num=1,
        den=1,
        lag=0,
        period_seconds=600,
        window_blocks=50,
    )


class _Walk:
    def __init__(self, demo: Path, made: Path, url: str, sender: str) -> None:
        self.demo, self.made, self.url, self.sender = demo, made, url, sender
        self.snapshot = str(demo / "snapshot.json")

    def run(self) -> None:
        rules = self._rules()
        self._table(rules)
        self._deploy()
        self._register()
        self._attest()
        self._prove_margin()
        self._fill()

    # --- steps ------------------------------------------------------------------------------------------------------

    def _rules(self) -> Rules:
        terminal.say("1. Attesters' keys, and the rules of a venue: two of three sign prices, one venue, one custodian")
        addresses = [self._attester(name) for name in ("oracle-1", "oracle-2", "oracle-3", "venue", "custodian")]
        rules = venue_rules(addresses, load(Snapshot, self.snapshot))
        self._file("rules.json").write_bytes(rules.to_bytes())
        return rules

    def _table(self, rules: Rules) -> None:
        terminal.say("\n2. The table of the snapshot, recomputed from the market by whoever signs it")
        table = self._name("table.json")
        series = ("--series", rules.series.hex(), "--sequence", "1")
        self._run("snapshot", "table", self.snapshot, *series, "-o", table)
        self._run("snapshot", "check", self.snapshot, str(self.demo / "market.json"), "--table", table)

    def _deploy(self) -> None:
        terminal.say("\n3. The contracts: registries, verifier, checker")
        self._run("chain", "deploy", *self._send, *self._venue, "-o", self._name("deployment.json"))

    def _register(self) -> None:
        terminal.say("\n4. Two attesters sign the table; one signature is not enough")
        typed = self._name("table-typed.json")
        self._run("chain", "sign", "table", *self._where, *self._venue, "-o", typed)
        signed = [self._signature("table-typed.json", name) for name in ("oracle-1", "oracle-3")]
        rules = ("--rules", self._name("rules.json"))
        register = ("chain", "register", *self._send, *self._where, *rules, "--typed", typed)
        self._run(*register, "--signature", signed[0], code=1)
        self._run(*register, "--signature", signed[0], "--signature", signed[1])

    def _attest(self) -> None:
        terminal.say("\n5. Venue and custodian attest what the account holds with them")
        for role, name in (("positions", "venue"), ("collateral", "custodian")):
            self._commit(role, name, str(self.demo / "commitment.json"))
        self._status()

    def _prove_margin(self) -> None:
        terminal.say("\n6. The account proves that its margin is met; the same transaction again is refused")
        prove = self._prove(str(self.demo / "opening.json"))
        self._run(*prove, "--calldata", self._name("again.json"))
        self._run(*prove)
        self._status()
        self._replayed()

    def _fill(self) -> None:
        terminal.say("\n7. A fill: the venue attests the next commitment; coverage ends until the next proof")
        after, opening = self._name("after.json"), self._name("after-opening.json")
        book = (str(self.demo / "book.json"), "--snapshot", self.snapshot)
        self._run("commit", *book, "--part", "positions", "-o", after, "--opening", opening)
        self._commit("positions", "venue", after, before=str(self.demo / "commitment.json"))
        self._status()
        self._run(*self._prove(opening, self._collateral_only()))
        self._status()

    # --- pieces -----------------------------------------------------------------------------------------------------

    @property
    def _send(self) -> tuple[str, ...]:
        return "--rpc", self.url, "--sender", self.sender

    @property
    def _where(self) -> tuple[str, ...]:
        return "--deployment", self._name("deployment.json")

    @property
    def _venue(self) -> tuple[str, ...]:
        rules, table = self._name("rules.json"), self._name("table.json")
        return "--rules", rules, "--snapshot", self.snapshot, "--table", table

    @property
    def _account(self) -> tuple[str, ...]:
        return "--account", ACCOUNT, "--snapshot", self.snapshot, "--table", self._name("table.json")

    def _file(self, name: str) -> Path:
        return self.made / name

    def _name(self, name: str) -> str:
        return str(self._file(name))

    def _attester(self, name: str) -> str:
        """A new key in an encrypted file, its passphrase in another; the address."""
        try:
            from eth_account import Account  # noqa: PLC0415 - an optional dependency
        except ImportError:
            hint = "pip install 'zkmargin[chain]'"
            raise SetupError("talking to a chain needs web3 and eth-account", hint=hint) from None
        key, passphrase = Account.from_key(secrets.token_bytes(32)), secrets.token_hex(16)
        for suffix, text in (
            ("key", json.dumps(key.encrypt(passphrase, kdf="pbkdf2", iterations=1000))),
            ("passphrase", passphrase),
        ):
            path = self._file(f"{name}.{suffix}")
            path.touch(mode=0o600)
            path.write_text(text + "\n", "utf-8")
        return str(key.address)

    def _signature(self, typed: str, name: str) -> str:
        output = self._name(f"{typed}.{name}.signature")
        key = ("--key", self._name(f"{name}.key"), "--passphrase-file", self._name(f"{name}.passphrase"))
        self._run("chain", "sign", "with-key", self._name(typed), *key, "-o", output)
        return output

    def _commit(self, role: str, name: str, new: str, *, before: str | None = None) -> None:
        number, old = ("2", ("--old", before)) if before else ("1", ())
        typed, changed = f"{role}-{number}.json", ("--role", role, "--new", new, *old)
        account = ("--account", ACCOUNT, "--sequence", number)
        self._run("chain", "sign", "part", *self._where, *account, *changed, "-o", self._name(typed))
        signed = ("--typed", self._name(typed), "--signature", self._signature(typed, name))
        total = ("--total", before) if before else ()
        self._run("chain", "commit", *self._send, *self._where, *changed, *total, *signed)

    def _prove(self, *openings: str) -> tuple[str, ...]:
        named = [word for path in openings for word in ("--opening", path)]
        book = ("--book", str(self.demo / "book.json"), *named)
        return "chain", "prove", *self._send, *self._where, *self._account, *book

    def _status(self) -> None:
        self._run("chain", "status", "--rpc", self.url, *self._where, *self._account)

    def _replayed(self) -> None:
        """The transaction that was written before another was accepted: its nonce counts no more."""
        from zkmargin.chain.client import Client  # noqa: PLC0415

        (transaction,) = json.loads(self._file("again.json").read_text("utf-8"))
        try:
            Client(self.url, sender=self.sender).send(transaction["to"], bytes.fromhex(transaction["data"][2:]))
        except VerificationError as error:
            terminal.say(f"refused, as it must be: {error.message}")
        else:
            raise VerificationError("a replayed proof was accepted", check="demo")

    def _collateral_only(self) -> str:
        """The opening of the collateral alone, in a file of its own."""
        document: dict[str, Any] = json.loads((self.demo / "opening.json").read_text("utf-8"))
        document["parts"] = [part for part in document["parts"] if part["role"] == "collateral"]
        path = self._file("collateral-opening.json")
        path.touch(mode=0o600)
        path.write_text(json.dumps(document), "utf-8")
        return str(path)

    def _run(self, *arguments: str, code: int = 0) -> None:
        shown = [word.replace(str(self.made), "MADE").replace(str(self.demo), "DEMO") for word in arguments]
        terminal.say(f"   $ zkmargin {shlex.join(shown)}" + ("    # exit code 1" if code else ""))
        found = cli.main(list(arguments))
        if found != code:
            raise VerificationError(f"exit code {found}, not {code}", check="demo")


def _find(anvil: str | None) -> str:
    """The local EVM. Raises InputError with where to get it."""
    candidates = [anvil] if anvil else [shutil.which("anvil"), str(_NPM), str(Path("contracts") / _NPM)]
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return candidate
    raise InputError("no anvil", file="--anvil", hint="npm install @foundry-rs/anvil, or name it with --anvil FILE")


@contextmanager
def _chain(binary: str) -> Iterator[tuple[str, str]]:
    """A fresh local chain: its URL and an account that it signs for."""
    from zkmargin.chain.client import Client  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [binary, "--hardfork", HARDFORK, "--port", str(port), "--silent"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - the user's own EVM
        try:
            deadline = time.monotonic() + _START_SECONDS
            while True:
                try:
                    client = Client(url)
                    break
                except InputError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise InputError("did not start", file=binary) from None
                    time.sleep(0.1)
            yield url, client.accounts()[0]
        finally:
            process.terminate()
