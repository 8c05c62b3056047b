"""``zkmargin serve`` from the command line, against a running service: operator, oracle, venue, maker, auditor."""

from __future__ import annotations

import re
import shutil
import ssl
import stat
from pathlib import Path

import httpx
import pytest
from support.certificates import authority
from support.command_line import Run
from support.venue_service import NAME, Service, account, files_of_parties, running, signers, snapshot

from zkmargin.client import Coverage
from zkmargin.client.venue import VenueClient
from zkmargin.formats import load_document, save_document

KEY = ["--service", NAME, "--key", "operator.key.json", "--passphrase-file", "passphrase"]


@pytest.mark.slow
def test_a_day_by_commands_and_a_database_that_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(capsys)
    monkeypatch.chdir(tmp_path)
    with running(tmp_path / "service") as service:
        files_of_parties(tmp_path)
        checked = run("serve check service/serve.toml --json").json
        assert checked["listen"] == "127.0.0.1:0"
        for name in ("desk.key.json", "passphrase"):
            there = tmp_path / "service" / name
            there.rename(there.with_suffix(".away"))
            assert "no such file" in run("serve check service/serve.toml", code=2).errors[0]
            there.with_suffix(".away").rename(there)
        at = ["--url", service.url]
        for name, role in (("oracle", "publisher"), ("risk", "auditor")):
            run(["serve", "token", *at, *KEY, "--name", name, "--role", role, "-o", f"{name}.token"])
        assert stat.S_IMODE(Path("oracle.token").stat().st_mode) == 0o600
        twice = run(["serve", "token", *at, *KEY, "--name", "risk", "--role", "auditor", "-o", "risk.token"], code=2)
        assert twice.errors == ["zkmargin: error: digest: was issued before"]
        terms = ["--claim", "1", "--period", "1h", "--grace", "60s", "--account-key", "maker.public.json"]
        assert "'maker': " in run(["serve", "register", *at, *KEY, "--account", "maker", *terms]).out
        token = ["serve", "token", *at, *KEY, "--name", "maker", "--role", "account"]
        made = run([*token, "--account", "maker", "--valid", "1d", "-o", "maker.token", "--json"]).json
        assert made["expires"]
        oracle, auditor = (["--token-file", f"{name}.token", *at] for name in ("oracle", "risk"))
        published = run(["serve", "publish", "snapshot.json", "--attestation", "oracle.json", *oracle])
        assert snapshot().digest().hex() in published.out
        registered = run(["serve", "attest", "positions.att.json", "collateral.att.json", *oracle, "--json"]).json
        assert len(registered["registered"]) == 2
        assert "uncovered" in run(["serve", "roster", *auditor]).out
        with VenueClient(service.url, token=Path("maker.token").read_text().strip()) as client:
            submission = account("maker").answer(client.challenge("maker", lifetime_seconds=600), snapshot())
            receipt = client.submit(submission)
        lines = run(["serve", "roster", *auditor, "--json"]).json["accounts"]
        assert [(line["account"], line["state"], line["proofs"]) for line in lines] == [("maker", "covered", 1)]
        asked = ["--account", "maker", "--series", "main", "--from", "2020-01-01T00:00:00Z", "--to", snapshot().time]
        said = run(["serve", "coverage", *asked, *auditor, "-o", "coverage.json"])
        assert "'maker': proven at every one of 1 snapshot of 'main' from 2020-01-01T00:00:00Z" in said.err
        assert re.search(r"largest gap \d+(\.\d+)? s", said.err)
        assert load_document(Coverage, "coverage.json").payload.account == "maker"
        run("serve backup service/serve.toml -o copy.db")
        assert stat.S_IMODE(Path("copy.db").stat().st_mode) == 0o600
        run("serve backup service/serve.toml -o copy.db", code=2)  # none is replaced
        run("serve restored service/serve.toml", code=2)  # it runs
        with VenueClient(service.url, token=Path("maker.token").read_text().strip()) as client:
            late = client.challenge("maker").digest().hex()  # what comes after the back-up
            heard = next(one.payload for one in client.events(seconds=60) if one.payload.challenge == late)
        # mistakes: no such role for an account, a token that is none, an account that is nobody's
        run([*token, "-o", "x.token"], code=2)
        assert not Path("x.token").exists()
        denied = run(["serve", "roster", "--token-file", "maker.token", *at], code=2)
        assert len(denied.errors) == 1
        run(["serve", "coverage", *(word.replace("maker", "nobody") for word in asked), *auditor], code=2)
        assert service.stop() == 0
    for name in ("venue.db", "venue.db-wal", "venue.db-shm"):
        (tmp_path / "service" / name).unlink(missing_ok=True)
    shutil.copy("copy.db", "service/venue.db")
    save_document(signers()["desk"].public, tmp_path / "desk.public.json")
    run("ledger check --ledger service/venue.db --key desk.public.json")
    said = run(["serve", "restored", "service/serve.toml", "--json"]).json
    again = Service(service.folder).start()
    try:
        with VenueClient(again.url, token=Path("maker.token").read_text().strip()) as client:
            assert client.receipt(receipt.payload.statement) == receipt
            told = client.events(after=heard.number, seconds=60)  # whoever heard of what is undone
            first = next(told).payload
            assert (first.number, first.reason) == (said["event"], "restored from a back-up")
            client.challenge("maker")
            assert next(told).payload.number == first.number + 1
    finally:
        again.kill()


@pytest.mark.slow
def test_a_service_with_a_certificate_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ca, certificate, key = authority(tmp_path)
    tls = f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n[limits]\ncalls_per_second = 1\nburst = 3\n'
    monkeypatch.chdir(tmp_path)
    with running(tmp_path / "service", config=tls) as service:
        assert service.url.startswith("https://")
        files_of_parties(tmp_path)
        issue = [
            "serve",
            "token",
            "--url",
            service.url,
            *KEY,
            "--name",
            "risk",
            "--role",
            "auditor",
            "-o",
            "risk.token",
        ]
        run = Run(capsys)
        assert "--ca-file" in run(issue, code=2).err
        kept = Path("risk.token").read_text()
        run([*issue, "--ca-file", ca])
        assert Path("risk.token").read_text() == kept  # the order went out again, with the token that was there
        auditor = {"authorization": f"Bearer {Path('risk.token').read_text().strip()}"}
        known = ssl.create_default_context(cafile=ca)
        answers = [httpx.get(f"{service.url}/v1/accounts", headers=auditor, verify=known) for _ in range(6)]
        assert answers[0].status_code == 200
        late = next(answer for answer in answers if answer.status_code == 429)
        assert int(late.headers["retry-after"]) >= 1
