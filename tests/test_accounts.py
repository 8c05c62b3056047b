"""One account at three venues and two custodians: five attested parts, one proof of the netted book."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from zkmargin.accounts import Commitment, Opening, commit_book
from zkmargin.accounts.slots import Role
from zkmargin.cli import main
from zkmargin.crypto import bls, ed25519
from zkmargin.crypto.keys import PublicKey, SecretSigner
from zkmargin.engine.book import Book, BookLots, sum_of_books, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import claim_slack, margin_report
from zkmargin.engine.netting import netting
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError, VerificationError, ZkMarginError, save_document
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, CommitmentPayload, Rule, SnapshotPayload, SnapshotRule, Trust, accept

TIME = "2026-01-02T03:04:05Z"
NOW = 1_767_323_045_000 + 5_000
CLAIM = Claim()
ACCOUNT = "maker 7"
#: Short calls at one venue, the long ones and the hedge at two others; cash and coin at two custodians.
BOOKS: dict[str, tuple[Role, dict[str, str]]] = {
    "venue A": ("positions", {"BTC-27MAR26-95000-C": "-20", "ETH-PERPETUAL": "300"}),
    "venue B": ("positions", {"BTC-27MAR26-95000-C": "18", "BTC-27MAR26-85000-P": "-4"}),
    "venue C": ("positions", {"BTC-PERPETUAL": "-2", "ETH-PERPETUAL": "-290"}),
    "custodian D": ("collateral", {"USDC": "150000"}),
    "custodian E": ("collateral", {"USDC": "50000", "BTC": "1.5"}),
}

POLICY = load_policy("default").digest().hex()


@dataclass
class Account:
    snapshot: Snapshot
    parts: dict[str, BookLots]
    openings: dict[str, Opening]
    signers: dict[str, SecretSigner]
    trust: Trust

    @property
    def lots(self) -> BookLots:
        return sum_of_books(list(self.parts.values()), self.snapshot)

    @property
    def commitments(self) -> list[Commitment]:
        return [opening.commitment() for opening in self.openings.values()]

    def attestations(self, *, beneficiary: str = "clearing desk") -> list[Attestation]:
        oracle = SnapshotPayload.of(self.snapshot, series="main", sequence=1)
        made = [Attestation(payload=oracle).signed(self.signers["oracle"])]
        for name, opening in self.openings.items():
            commitment = opening.commitment()
            payload = CommitmentPayload.of(
                commitment.parts[0],
                srs=commitment.srs,
                domain_size=commitment.domain_size,
                issuer=name,
                part="main",
                sequence=1,
                issued=TIME,
                expires="2026-01-03T00:00:00Z",
                beneficiary=beneficiary if commitment.parts[0].role == "collateral" else None,
            )
            made.append(Attestation(payload=payload).signed(self.signers[name]))
        return made

    def statement(self, *, without: str | None = None) -> Statement:
        chosen = [opening.commitment() for name, opening in self.openings.items() if name != without]
        return Statement.of(self.snapshot, chosen, CLAIM)


def signer(name: str, scheme: str) -> SecretSigner:
    if scheme == "bls":
        secret = bls.generate_secret()
        possession = bls.prove_possession(secret).hex()
        public = bls.public_key(secret).hex()
        return SecretSigner(PublicKey(name=name, scheme="bls", public_key=public, possession=possession), secret)
    secret = ed25519.generate_secret()
    return SecretSigner(PublicKey(name=name, scheme="ed25519", public_key=ed25519.public_key(secret).hex()), secret)


@pytest.fixture(scope="module")
def account() -> Account:
    snapshot = build_snapshot(example_market(TIME), load_policy("default"), domain_size=512)
    parts, openings, signers = {}, {}, {"oracle": signer("oracle", "bls")}
    for i, (name, (role, quantities)) in enumerate(BOOKS.items()):
        parts[name] = to_lots(Book.model_validate({role: quantities}), snapshot)
        openings[name] = commit_book(snapshot, parts[name], roles=[role], alias=ACCOUNT)
        signers[name] = signer(name, "bls" if i % 2 else "ed25519")

    def rules(role: str) -> tuple[Rule, ...]:
        return tuple(Rule(name=n, signers=(n,), threshold=1) for n, (r, _) in BOOKS.items() if r == role)

    trust = Trust(
        verifier="clearing desk",
        beneficiary="clearing desk",
        keys=tuple(one.public for one in signers.values()),
        snapshots=(
            SnapshotRule(name="main", signers=("oracle",), threshold=1, max_age_seconds=600, policies=(POLICY,)),
        ),
        positions=rules("positions"),
        collateral=rules("collateral"),
    )
    return Account(snapshot, parts, openings, signers, trust)


@pytest.fixture(scope="module")
def proof(account: Account) -> bytes:
    return prove(account.statement(), account.lots, list(account.openings.values()))


def test_one_proof_covers_the_netted_book_and_says_who_attested_what(account: Account, proof: bytes) -> None:
    accepted = accept(
        account.statement(),
        proof,
        now_ms=NOW,
        trust=account.trust,
        attestations=account.attestations(),
    )
    assert accepted.authenticated is not None
    by_point = {part.payload.points: part for part in accepted.authenticated.parts}
    assert len(by_point) == 5
    for name, opening in account.openings.items():
        assert by_point[opening.parts[0].points].signers == (name,)
        assert by_point[opening.parts[0].points].rule == name


def test_the_order_of_the_parts_does_not_matter(account: Account, proof: bytes) -> None:
    backwards = Statement.of(account.snapshot, account.commitments[::-1], CLAIM)
    assert backwards.parts == account.statement().parts
    accept(backwards, proof, now_ms=NOW)


def test_netting_saves_margin_and_only_the_prover_sees_it(account: Account, proof: bytes) -> None:
    books = [(name, account.parts[name]) for name, (role, _) in BOOKS.items() if role == "positions"]
    found = netting(account.snapshot, books)
    reports = {name: margin_report(account.snapshot, lots) for name, lots in account.parts.items()}
    assert [(book.name, book.requirement) for book in found.alone] == [(n, reports[n].total) for n, _ in books]
    assert found.together == margin_report(account.snapshot, account.lots).total
    assert found.saved == sum(report.total for report in reports.values()) - found.together
    assert found.saved > found.together > 0
    # the account meets the netted requirement, and would not meet the sum of the separate ones
    equity = margin_report(account.snapshot, account.lots).equity.total
    assert found.together <= equity < found.separate
    accepted = accept(
        account.statement(),
        proof,
        now_ms=NOW,
        trust=account.trust,
        attestations=account.attestations(),
    )
    public = accepted.receipt(software="the tests").to_bytes() + proof
    for amount in (found.saved, found.together, found.separate, equity):
        assert str(amount).encode() not in public
    for lots in (q for part in account.parts.values() for q in (*part.positions, *part.collateral) if abs(q) > 10**5):
        assert str(abs(lots)).encode() not in public


def test_no_venue_alone_could_be_proved_against_the_collateral_it_sees(account: Account) -> None:
    """Venue A alone, with all the collateral of one custodian, does not meet its own requirement."""
    alone = sum_of_books([account.parts["venue A"], account.parts["custodian E"]], account.snapshot)
    assert claim_slack(account.snapshot, alone, CLAIM) < 0
    openings = [account.openings["venue A"], account.openings["custodian E"]]
    with pytest.raises(ConstraintError):
        prove(Statement.of(account.snapshot, [opening.commitment() for opening in openings], CLAIM), alone, openings)


@pytest.mark.parametrize("missing", list(BOOKS))
def test_every_part_counts(account: Account, proof: bytes, missing: str) -> None:
    with pytest.raises(ZkMarginError) as caught:
        accept(account.statement(without=missing), proof, now_ms=NOW)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("missing", ["oracle", *BOOKS])
def test_every_part_must_be_attested(account: Account, proof: bytes, missing: str) -> None:
    kept = [
        attestation
        for attestation in account.attestations()
        if getattr(attestation.payload, "issuer", "oracle") != missing
    ]
    with pytest.raises(VerificationError, match="nobody"):
        accept(account.statement(), proof, now_ms=NOW, trust=account.trust, attestations=kept)


def test_a_venue_cannot_speak_for_another_nor_a_custodian_for_a_venue(account: Account, proof: bytes) -> None:
    attestations = account.attestations()
    payload = attestations[2].payload
    assert getattr(payload, "issuer", "") == "venue B"
    for other in ("venue A", "custodian D", "oracle"):
        forged = [*attestations[:2], Attestation(payload=payload).signed(account.signers[other]), *attestations[3:]]
        with pytest.raises(VerificationError, match="0 of 1 signatures"):
            accept(account.statement(), proof, now_ms=NOW, trust=account.trust, attestations=forged)


def test_collateral_is_held_for_one_beneficiary(account: Account, proof: bytes) -> None:
    for_another = account.attestations(beneficiary="another desk")
    with pytest.raises(VerificationError, match="is held for 'another desk', not for 'clearing desk'"):
        accept(account.statement(), proof, now_ms=NOW, trust=account.trust, attestations=for_another)


def test_parts_do_not_add_up_across_accounts_or_twice(account: Account) -> None:
    stranger = commit_book(account.snapshot, account.parts["venue A"], roles=["positions"], alias="maker 8")
    openings = {**account.openings, "venue A": stranger}
    other = replace(account, openings=openings)
    proof = prove(other.statement(), account.lots, list(openings.values()))
    with pytest.raises(VerificationError, match="parts of different accounts do not add up"):
        accept(
            other.statement(),
            proof,
            now_ms=NOW,
            trust=account.trust,
            attestations=other.attestations(),
        )
    with pytest.raises(InputError, match="given twice"):
        Statement.of(account.snapshot, [*account.commitments, account.commitments[3]], CLAIM)


def test_the_files_of_one_party_hold_nothing_of_another(account: Account) -> None:
    """A party's opening has its own part only; commitments of equal books differ, so books cannot be compared."""
    for name, opening in account.openings.items():
        assert len(opening.parts) == 1
        again = commit_book(account.snapshot, account.parts[name], roles=[opening.parts[0].role], alias=ACCOUNT)
        assert not set(again.parts[0].points) & set(opening.parts[0].points)
        public = json.loads(opening.commitment().to_bytes())["parts"][0]
        assert set(public) == {"role", "alias", "slot_map", "points", "bits"}


def test_the_walk_through_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "accounts.md").read_text()
    monkeypatch.chdir(tmp_path)
    save_document(example_market(TIME), tmp_path / "market.json")
    outputs = {}
    for line in (line.strip() for line in text.splitlines() if line.startswith("    ")):
        words = shlex.split(line)
        if words[0] == "echo":
            assert words[2] == ">"
            (tmp_path / words[3]).write_text(words[1])
        elif words[0] == "chmod":
            for name in words[2:]:
                (tmp_path / name).chmod(int(words[1], 8))
        else:
            assert words.pop(0) == "zkmargin", line
            code = main(words)
            captured = capsys.readouterr()
            assert (code, captured.err) == (0, ""), line
            outputs[" ".join(words[:2])] = captured.out
    assert "Netting across venues saves" in outputs["margin venue-a.json"]
    assert (tmp_path / "a-2.json").read_bytes() == (tmp_path / "a-2-attest.json").read_bytes()
    assert (tmp_path / "a-3.json").read_bytes() == (tmp_path / "a-3-attest.json").read_bytes()
    assert "'maker 7': 1 proof," in outputs["ledger status"]
    assert "1 proof verifies" in outputs["ledger check"]
    assert "wrote 1 proof and 3 documents" in outputs["ledger export"]
