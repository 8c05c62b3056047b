"""What is accepted and yet of no use is said: receipts that nobody's trust file takes, proofs of less than is asked."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.command_line import Run
from support.venue_service import TERMS, Service, files_of_parties, own_book_files, running, signers, trust
from support.watching import World

from zkmargin.agent.checking import check
from zkmargin.client.tokens import new_token
from zkmargin.crypto.keys import PublicKey
from zkmargin.formats import load_document, save_document
from zkmargin.service.settings import Settings
from zkmargin.verifier.attest import Rule


@pytest.mark.parametrize(
    ("rules", "counts"),
    [
        ([Rule(name="clearing desk", signers=("desk",), threshold=1)], True),
        ([Rule(name="another desk", signers=("desk",), threshold=1)], False),  # rules are found by the verifier's name
        ([Rule(name="clearing desk", signers=("oracle",), threshold=1)], False),
        ([Rule(name="clearing desk", signers=("desk", "oracle"), threshold=2)], False),  # the service signs alone
        ([], False),
    ],
)
def test_a_service_whose_receipts_its_own_trust_file_does_not_take_is_told(
    rules: list[Rule], counts: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service.make(tmp_path, own_trust=trust(receipts=rules))
    checked = Run(capsys)(f"serve check {service.folder / 'serve.toml'}")
    said = "receipts of 'clearing desk' do not count by the service's key" in checked.err
    assert said is not counts, checked.err


def test_the_public_key_of_a_signer_is_looked_for_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Service.make(tmp_path, own_trust=trust(receipts=[]))
    save_document(signers()["desk"].public, tmp_path / "desk.key.json")  # the secret one is a signer's
    settings = Settings.load(str(tmp_path / "serve.toml"))
    with pytest.warns(UserWarning, match="do not count"):
        settings.warn_of_receipts(settings.load_trust(), load_document(PublicKey, tmp_path / "desk.key.json"))
    assert "do not count" in Run(capsys)(f"serve check {tmp_path / 'serve.toml'}").err


@pytest.mark.slow
def test_a_proof_of_less_than_the_terms_is_taken_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the commands of the guide: the claim of the registration has to be given with `prove` and `bundle`."""
    run = Run(capsys)
    monkeypatch.chdir(tmp_path)
    files_of_parties(tmp_path)
    own_book_files(tmp_path)
    with running(tmp_path / "service") as service:
        service.settle_in("maker", terms=TERMS.model_copy(update={"ratio": "11/10"}))
        Path("maker.token").write_text(service.tokens["maker"])
        Path("maker.token").chmod(0o600)
        at = ["--url", service.url, "--token-file", "maker.token"]
        for claim, counts in (("1", False), ("1.1", True)):
            for old in ("challenge.json", "proof.bin", "bundle.json", "receipt.json"):
                Path(old).unlink(missing_ok=True)
            run(["serve", "challenge", "--account", "maker", *at, "-o", "challenge.json"])
            about = f"--snapshot snapshot.json --challenge challenge.json --claim {claim}"
            run(f"prove {about} --book book.json --opening opening.json -o proof.bin")
            run(f"bundle proof.bin {about} --commitment commitment.json -o bundle.json")
            said = run(["serve", "submit", "bundle.json", *at, "-o", "receipt.json"])
            assert said.out.startswith("accepted at ")
            assert ("less than the account's terms ask" in said.err) is not counts, said.err
            assert ("11/10 of initial" in said.err) is not counts


@pytest.mark.parametrize(("name", "counts"), [("clearing desk", True), ("another desk", False), (None, True)])
def test_an_agent_whose_trust_file_takes_no_receipt_of_a_venue_is_told(
    name: str | None, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its proofs would be sent until it is too old: accepted there, believed by nobody here."""
    world = World(tmp_path)
    (tmp_path / "token").write_text(new_token())
    (tmp_path / "token").chmod(0o600)
    rules = [] if name is None else [Rule(name=name, signers=("desk",), threshold=1)]
    save_document(trust(receipts=rules), tmp_path / "trust.json")
    text = world.config(venue='url = "http://127.0.0.1:9"\ntoken_file = "token"').read_text()
    (tmp_path / "watch.toml").write_text(text.replace('name = "desk"\nurl', 'name = "clearing desk"\nurl'))
    token = SimpleNamespace(role="account", account="maker 7")
    client = SimpleNamespace(
        service=lambda: SimpleNamespace(name="clearing desk"), account=lambda _: None, whoami=lambda: token
    )
    monkeypatch.setattr("zkmargin.agent.served.client_of", lambda _: nullcontext(client))
    mistakes, _ = check(str(tmp_path / "watch.toml"))
    assert any("no receipt of 'clearing desk' would count" in one.message for one in mistakes) is not counts
