"""Golden documents of format version 1 together: signatures, acceptance, receipts, batches, ledgers."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from support.golden import DOCUMENTS as FOLDER
from support.golden import SECOND, golden_module, replaced, value_of
from support.typed import Passed

from zkmargin.accounts import Commitment
from zkmargin.cli.commands.ledger import export_command as export
from zkmargin.cli.commands.verify_batch import command as verify_batch
from zkmargin.engine.claims import Claim
from zkmargin.engine.limits import Limit
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, VerificationError, ZkMarginError
from zkmargin.ledger import SCHEMA, Ledger
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Acceptance, Attestation, Receipt, SnapshotPayload, accept


@pytest.fixture(scope="module")
def made() -> ModuleType:
    return golden_module()


QUORUMS = {
    "snapshot": ("oracle 1", "oracle 3"),
    "aggregate": ("oracle 1", "oracle 2"),
    "positions": ("venue",),
    "collateral": ("custodian",),
}


@pytest.mark.parametrize("name", QUORUMS)
def test_the_signatures_count(made: ModuleType, name: str) -> None:
    trust, attestation = made.read("golden.trust.json"), made.read(f"{name}.attestation.json")
    assert trust.quorum(attestation).signers == QUORUMS[name]
    for signature in attestation.signatures:
        assert signature.verifies(attestation.message)
    value = value_of(f"{name}.attestation.json")
    edited = Attestation.parse(json.dumps(replaced(value, ("payload", "sequence"), 9)))
    with pytest.raises(VerificationError, match="does not verify"):
        trust.quorum(edited)
    text = value["signatures"][0]["signature"]
    other = replaced(value, ("signatures", 0, "signature"), text[:-1] + ("0" if text[-1] != "0" else "1"))
    with pytest.raises(VerificationError, match="does not verify"):
        trust.quorum(Attestation.parse(json.dumps(other)))
    twice = {**value, "signatures": value["signatures"][:1] * 2}
    once = {**value, "signatures": value["signatures"][:1]}
    counted = [
        trust.model_copy(update={"snapshots": (trust.snapshots[0].model_copy(update={"threshold": 1}),)})
        .quorum(Attestation.parse(json.dumps(item)))
        .signers
        for item in (twice, once)
    ]
    assert counted[0] == counted[1]


def test_what_nobody_signed_counts_for_nothing(made: ModuleType) -> None:
    with pytest.raises(VerificationError, match="not signed by anyone"):
        made.read("golden.trust.json").quorum(made.read("unsigned.attestation.json"))


def test_the_attestations_are_of_the_other_documents(made: ModuleType) -> None:
    snapshot, commitment = made.read("golden.snapshot.json"), made.read("golden.commitment.json")
    payload = made.read("snapshot.attestation.json").payload
    assert payload == SnapshotPayload.of(snapshot, series="main", sequence=7).model_copy(update={"policy": None})
    second = made.read(f"{SECOND}snapshot.attestation.json").payload
    assert second == SnapshotPayload.of(snapshot, series="main", sequence=8)
    assert payload == made.read("aggregate.attestation.json").payload == made.read("unsigned.attestation.json").payload
    for part in commitment.parts:
        assert made.read(f"{part.role}.attestation.json").payload.commitment_part == part


# Acceptance, receipts, batches


def accepted(made: ModuleType, *, proof: bytes | None = None, **changes: Passed) -> Acceptance:
    """The golden proof accepted again, at the time of its receipt."""
    snapshot: Snapshot = made.read("golden.snapshot.json")
    challenge = changes.get("challenge", made.read("answered.challenge.json"))
    statement = Statement.of(
        snapshot, [made.read("golden.commitment.json")], made.CLAIM, context=challenge.context, limits=made.LIMITS
    )
    return accept(
        statement,
        (FOLDER / "answer.proof").read_bytes() if proof is None else proof,
        now_ms=made.NOW,
        trust=changes.get("trust", made.read("golden.trust.json")),
        attestations=[made.read(f"{name}.attestation.json") for name in changes.get("by", QUORUMS_GIVEN)],
        challenge=challenge,
    )


QUORUMS_GIVEN = ("snapshot", "positions", "collateral")


def test_the_signed_receipt_is_had_again(made: ModuleType) -> None:
    receipt: Receipt = made.read("signed.receipt.json")
    again = accepted(made).receipt(software=receipt.payload.software)
    assert again.differences(receipt) == ()
    assert receipt.differences(again) == ()
    (signature,) = receipt.signatures
    desk = next(key for key in made.read("golden.trust.json").keys if key.name == made.DESK)
    assert signature.public_keys == (desk.public_key,)
    assert signature.verifies(receipt.message)
    for field, value in (("verifier", "somebody"), ("requirement", "maintenance"), ("ratio", "5/3")):
        edited = receipt.model_copy(update={"payload": receipt.payload.model_copy(update={field: value})})
        assert not signature.verifies(edited.message)
        assert receipt.differences(edited) == (field,)
    by_others = accepted(made, by=("aggregate", "positions", "collateral")).receipt(software="x")
    assert receipt.differences(by_others) == ("snapshot",)


def test_the_plain_receipt_is_had_again(made: ModuleType) -> None:
    receipt = made.read("plain.receipt.json")
    snapshot = made.read("golden.snapshot.json")
    statement = Statement.of(snapshot, [made.read("golden.commitment.json")], Claim(), context=made.CONTEXT)
    again = accept(statement, (FOLDER / "plain.proof").read_bytes(), now_ms=made.NOW + 1)
    had = again.receipt(software=receipt.payload.software)
    assert had.differences(receipt) == ()
    assert (had.payload.time, had.payload.software) == (receipt.payload.time, receipt.payload.software)


def test_another_challenge_trust_or_proof_is_refused(made: ModuleType) -> None:
    with pytest.raises(VerificationError) as caught:
        accepted(made, challenge=made.read("open.challenge.json"))
    assert caught.value.check == "pairing"
    stranger = made.read("golden.trust.json").model_copy(update={"verifier": "another desk"})
    with pytest.raises(VerificationError, match="addressed to"):
        accepted(made, trust=stranger)
    with pytest.raises(VerificationError, match="not signed by anyone"):
        accepted(made, by=("unsigned", "positions", "collateral"))
    proof = bytearray((FOLDER / "answer.proof").read_bytes())
    proof[-200] ^= 1
    with pytest.raises((ProofFormatError, VerificationError)):
        accepted(made, proof=bytes(proof))


def test_the_batch_verifies(made: ModuleType, tmp_path: Path) -> None:
    run = CliRunner().invoke(verify_batch, [str(FOLDER / "golden.batch.json"), "--json"])
    assert run.exit_code == 0, run.output
    (item,) = made.read("golden.batch.json").proofs
    lying = item.model_dump(mode="json") | {"context": "to: Borse"}
    lying |= {key: str(FOLDER / lying[key]) for key in ("proof", "snapshot")}
    lying["commitments"] = [str(FOLDER / path) for path in lying["commitments"]]
    changed = tmp_path / "list.json"
    changed.write_text(json.dumps({"format": "zkmargin/batch/v1", "proofs": [lying]}), "utf-8")
    assert isinstance(CliRunner().invoke(verify_batch, [str(changed)]).exception, ZkMarginError)


def test_claims_and_limits_are_read_as_they_were(made: ModuleType) -> None:
    texts = json.loads((FOLDER / "texts.json").read_bytes())
    for text, canonical in texts["claims"].items():
        claim = Claim.parse(text)
        assert f"{claim.num}/{claim.den}" == canonical
        assert Claim.parse(canonical) == claim
    for text, canonical in texts["limits"].items():
        assert str(Limit.parse(text)) == canonical
        assert Limit.parse(canonical) == Limit.parse(text)
    for text in texts["not claims"]:
        with pytest.raises(InputError):
            Claim.parse(text)
    for text in texts["not limits"]:
        with pytest.raises(InputError):
            Limit.parse(text)
    assert made.texts() == texts


# The ledger


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    """The golden ledger of version 1 as a file."""
    return from_sql(FOLDER / "ledger.sql", tmp_path / "ledger.db")


def from_sql(text: Path, path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text.read_text("utf-8"))
    return path


def test_the_golden_ledger_is_read_and_verifies(made: ModuleType, ledger_file: Path) -> None:
    with Ledger(ledger_file) as ledger:
        entries = list(ledger.entries())
        receipts = [made.read("signed.receipt.json"), made.read("plain.receipt.json")]
        assert [entry.statement for entry in entries] == [receipt.payload.statement for receipt in receipts]
        assert [ledger.check(entry).statement_digest.hex() for entry in entries] == [e.statement for e in entries]
        assert ledger.document(Receipt, str(entries[0].receipt)) == receipts[0]
        assert entries[0].limits == made.LIMITS
        assert entries[1].context == made.CONTEXT
        assert [entry.attestations for entry in entries[1:]] == [()]
        assert ledger.open_challenges() == [made.read("open.challenge.json")]
        assert ledger.challenge_used(made.read("answered.challenge.json").digest())
        assert [(account.alias, account.proofs) for account in ledger.accounts()] == [(made.ACCOUNT, 2)]
        assert ledger.counts() == {"proofs": 2, "documents": 9, "streams": 3, "challenges": 2}
        seen = ledger.newest(("snapshot", "main"))
        assert seen == (7, made.read("snapshot.attestation.json").payload_digest.hex())


def test_the_golden_ledger_goes_on(made: ModuleType, ledger_file: Path) -> None:
    with Ledger(ledger_file) as ledger:
        with pytest.raises(VerificationError, match="replay"):
            ledger.record(accepted(made))
        trust, first = made.read("golden.trust.json"), made.read("snapshot.attestation.json")
        newer = first.model_copy(update={"payload": first.payload.model_copy(update={"sequence": 8}), "signatures": ()})
        for party in ("oracle-1", "oracle-3"):
            newer = newer.signed(made.read(f"{party}.key.json").unlock(made.PASSPHRASE))
        assert ledger.see(newer, trust).signers == QUORUMS["snapshot"]
        with pytest.raises(VerificationError, match="superseded"):
            ledger.see(first, trust)


def test_the_export_of_the_golden_ledger(made: ModuleType, ledger_file: Path, tmp_path: Path) -> None:
    """What it says of each proof is what the first version of an export said."""
    out = tmp_path / "out"
    run = CliRunner().invoke(export, [str(out), "--ledger", str(ledger_file)])
    assert run.exit_code == 0, run.output
    value, first = (json.loads(path.read_bytes()) for path in (out / "index.json", FOLDER / "ledger-export.json"))
    assert (value["format"], first["format"]) == ("zkmargin/ledger-export/v2", "zkmargin/ledger-export/v1")
    for new, old in zip(value["proofs"], first["proofs"], strict=True):
        assert all(new[name] == old[name] for name in old if name != "files")
        assert all(new["files"][name] == old["files"][name] for name in old["files"])
    files = value["proofs"][0]["files"]
    same = {
        "proof": "answer.proof",
        "snapshot": "golden.snapshot.json",
        "commitment": "golden.commitment.json",
        "trust": "golden.trust.json",
        "challenge": "answered.challenge.json",
        "receipt": "signed.receipt.json",
    }
    for key, name in same.items():
        if key == "commitment":  # a ledger keeps the statement's parts, in its order
            continue
        assert (out / files[key]).read_bytes() == (FOLDER / name).read_bytes()
    kept = Commitment.parse((out / files["commitment"]).read_bytes())
    assert set(kept.parts) == set(made.read("golden.commitment.json").parts)


def test_the_second_golden_ledger_is_read_and_checked(made: ModuleType, tmp_path: Path) -> None:
    path = from_sql(FOLDER / SECOND / "ledger.sql", tmp_path / "second.db")
    desk = next(key for key in made.read("golden.trust.json").keys if key.name == made.DESK)
    with Ledger(path, read_only=True) as ledger:
        found = ledger.audit(key=desk)
        assert (found.bad, found.verified, found.records, found.signed) == ([], 2, 7, 7)
        receipts = [made.read("signed.receipt.json"), made.read("plain.receipt.json")]
        assert [entry.statement for entry in ledger.entries()] == [receipt.payload.statement for receipt in receipts]


def test_a_new_ledger_has_the_golden_schema(made: ModuleType, tmp_path: Path) -> None:
    ledger_file = from_sql(FOLDER / SECOND / "ledger.sql", tmp_path / "second.db")
    for path in (ledger_file, tmp_path / "new.db"):
        with Ledger(path) as ledger:  # the older one comes forward
            assert ledger.schema == SCHEMA
    schemas = []
    for path in (ledger_file, tmp_path / "new.db"):
        with closing(sqlite3.connect(path)) as connection:
            lines = made.sql(connection).splitlines()
            schemas.append([line for line in lines if line.startswith("CREATE") or '"meta"' in line])
    assert schemas[0] == schemas[1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE meta SET value = 'zkmargin/ledger/v4'", "no ledger of this version"),
        ("UPDATE proofs SET proof = zeroblob(100)", "not a zkmargin proof"),
        ("UPDATE proofs SET context = x'00'", "statement"),
        ("UPDATE proofs SET num = 1", "statement"),
        (
            "UPDATE documents SET body = CAST(replace(body, 'golden', 'g0lden') AS BLOB)",
            "damaged",
        ),
        ("DELETE FROM documents WHERE format LIKE '%commitment%'", "is not in the ledger"),
    ],
)
def test_a_ledger_that_was_changed_is_noticed(ledger_file: Path, change: str, reason: str) -> None:
    with closing(sqlite3.connect(ledger_file)) as connection:
        connection.execute(change)
        connection.commit()
    with pytest.raises(ZkMarginError, match=reason), Ledger(ledger_file) as ledger:
        ledger.check(next(ledger.entries()))
