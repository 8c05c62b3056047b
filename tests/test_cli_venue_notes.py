"""What a customer and everybody else is told of a venue's proof: notes, explanations, the demo, bundles and lists."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from support.signing import SIGNER
from support.typed import Json, JsonObject
from support.venue_files import COUNT, NAME, NONCE, TIME, cash, prove, proved_venue, public

from zkmargin.app.venue_notes import VenueSecret
from zkmargin.cli import main, venue_prove
from zkmargin.crypto import ed25519
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import save_document


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return proved_venue(tmp_path_factory.mktemp("venue"))


def test_a_customer_checks_its_note(venue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note = venue / "note.json"
    make = ["venue", "note", *public(venue, "snapshot", "terms"), "--accounts", str(venue / "books")]
    make += ["--secret", str(venue / "secret.json"), "--proof", str(venue / "proof.bin"), "--account", NAME]
    assert main([*make, "-o", str(note)]) == 0
    assert note.stat().st_mode & 0o077 == 0
    secret = ed25519.generate_secret()
    key = PublicKey(name="venue", scheme="ed25519", public_key=ed25519.public_key(secret).hex())
    save_document(key, venue / "venue.public.json")
    (venue / "signer.py").write_text(SIGNER)
    outside = ["--signer", shlex.join([sys.executable, str(venue / "signer.py"), secret.hex()])]
    signed = str(venue / "signed-note.json")
    assert main([*make, *outside, "-o", signed]) == 2  # which key is it?
    assert main([*make, "--key", str(venue / "venue.public.json"), *outside, "-o", signed]) == 0
    assert json.loads((venue / "signed-note.json").read_text())["signatures"][0]["public_keys"] == [key.public_key]
    capsys.readouterr()
    check = ["venue", "check-note", str(note), *public(venue, "snapshot", "terms", "record"), "--name", NAME]
    own = ["--book", str(venue / "books" / f"{NAME}.json"), "--nonce", NONCE]
    assert main([*check, *own, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["accepted"]
    assert not facts["exempt"]
    assert main([*check, *own]) == 0
    said = capsys.readouterr().out
    assert "your book is in the proof" in said
    assert "is not signed: it binds nobody" in said
    other = PublicKey(name="venue", scheme="ed25519", public_key=ed25519.public_key(ed25519.generate_secret()).hex())
    save_document(other, venue / "other.public.json")
    demand = ["--signer", str(venue / "venue.public.json")]
    check_signed = [*check[:2], signed, *check[3:], *own]
    assert main(check_signed) == 0
    assert f"is signed with {key.public_key}: whose key that is was not checked" in capsys.readouterr().out
    assert main([*check_signed, *demand]) == 0
    assert f"signed with the key of --signer, 'venue', {key.public_key}" in capsys.readouterr().out
    for wrong, reason in (
        ([*check_signed, "--signer", str(venue / "other.public.json")], f"is signed with {key.public_key}, not with"),
        ([*check, *own, *demand], "the note is not signed, not with the key of --signer"),
    ):
        assert main(wrong) == 1
        assert reason in capsys.readouterr().err
    for wrong, reason in (
        (["--book", str(venue / "books" / "account-0004.json"), "--nonce", NONCE], "other positions"),
        ([*own[:3], "00" * 16], "not of one nonce"),
    ):
        assert main([*check, *wrong]) == 1
        assert reason in capsys.readouterr().err
    assert main([*check, *own[:3], "xyz"]) == 2


def test_under_a_cap_a_customer_is_told_what_may_be_missing(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own shortfall, from its own block, and the cap; and who is exempt, where some are."""
    (venue / "poor.csv").write_text(cash((venue / "accounts.csv").read_text(), 3, 0))
    (venue / "poor.csv").chmod(0o600)
    book = json.loads((venue / "books" / f"{NAME}.json").read_text())
    (tmp_path / "poor.json").write_text(json.dumps(book | {"collateral": {}}))
    (tmp_path / "poor.json").chmod(0o600)
    for tag, options, lines in (
        ("cap-", ["--cap", "250000"],
         ["claimed of it: equity at least 1 x initial margin", "WARNING: by the proof your account may be short of its",
          "any account may be short of its claim: by 250000 in all together"]),
        ("exempt-", ["--exempt", "2"], ["WARNING: the venue marked your account as exempt"]),
    ):  # fmt: skip
        assert main(prove(venue, "poor.csv", *options, tag=tag)) == 0
        files = {"snapshot": "snapshot.json", "terms": f"{tag}terms.json"}
        given = [word for option, name in files.items() for word in (f"--{option}", str(venue / name))]
        make = ["venue", "note", *given, "--accounts", str(venue / "poor.csv"), "--account", NAME]
        make += ["--secret", str(venue / f"{tag}secret.json"), "--proof", str(venue / f"{tag}proof.bin")]
        assert main([*make, "-o", str(tmp_path / f"{tag}note.json")]) == 0
        check = ["venue", "check-note", str(tmp_path / f"{tag}note.json"), *given, "--name", NAME, "--nonce", NONCE]
        check += ["--record", str(venue / f"{tag}record.json"), "--book", str(tmp_path / "poor.json")]
        capsys.readouterr()
        assert main(check) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert all(line in said for line in lines), said
        assert main([*check, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["cap"], facts["exempt_accounts"]) == (("250000", None) if tag == "cap-" else (None, 2))
        assert (facts["shortfall"] is not None and float(facts["shortfall"]) > 0) == (tag == "cap-")
    assert main(["inspect", str(venue / "cap-terms.json")]) == 0
    assert "cap              250000" in capsys.readouterr().out


def test_outputs_that_are_not_replaced_are_said_before_the_proof(
    venue: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(venue_prove, "load_accounts", work)
    (venue / "new-record.json").write_text("another file")
    for tag, options, reason in (
        ("", [], "secret.json: exists: a secret file is never replaced"),
        ("new-", [], "new-record.json: is no file of ours, and not replaced"),
        ("other-", ["--cap", "5", "--exempt", "1"], "--exempt: does not go with --cap"),
    ):
        assert main(prove(venue, "books", *options, tag=tag)) == 2
        assert reason in capsys.readouterr().err


def test_a_note_needs_the_secret_proof_and_accounts_that_belong_together(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads((venue / "secret.json").read_text())
    other, first = next(name for name in kept["nonces"] if name != NAME), kept["classes"][0]
    short = [first[:-1], *kept["classes"][1:]]
    secrets = {
        "missing": kept | {"nonces": {NAME: NONCE}},
        "hex": kept | {"nonces": kept["nonces"] | {other: "zz"}},
        "fewer": kept | {"classes": short},
        "twice": kept | {"classes": [[*first[:-1], first[0]], *kept["classes"][1:]]},
        "good": kept,
    }
    for name, content in secrets.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        (tmp_path / f"{name}.json").chmod(0o600)
    bad = bytearray((venue / "proof.bin").read_bytes())
    bad[-1] ^= 1
    (tmp_path / "bad.bin").write_bytes(bad)
    poor = cash((venue / "accounts.csv").read_text(), 5, 0)
    wide = (venue / "accounts.csv").read_text()
    names = [item.id for item in Snapshot.parse((venue / "snapshot.json").read_bytes()).instruments]
    wide += "".join(
        f"{first[0]},positions,{name},1\n" for name in names[:400] if f"{first[0]},positions,{name}," not in wide
    )
    for name, text in (("poor.csv", poor), ("wide.csv", wide)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    proof, books = venue / "proof.bin", venue / "books"
    for secret, file, accounts, whose, reason in (
        ("missing", proof, books, NAME, "nonces: none of account"),
        ("hex", proof, books, NAME, f"nonces.{other}: not 16 bytes in lower-case hexadecimal"),
        ("fewer", proof, books, NAME, f"secret: names {COUNT - 1} accounts, the terms have {COUNT}"),
        ("twice", proof, books, NAME, "classes: an account appears twice"),
        ("good", tmp_path / "bad.bin", books, NAME, "bad.bin: proof: is not the proof that the secret was kept for"),
        ("good", proof, tmp_path / "poor.csv", NAME, "poor.csv: accounts: the accounts are not those of the proof"),
        ("good", proof, tmp_path / "wide.csv", NAME, "its book is not that of the proof"),
        ("good", proof, books, "nobody", "--account: account: no account 'nobody' in blocks"),
    ):
        make = ["venue", "note", *public(venue, "snapshot", "terms"), "--accounts", str(accounts), "--proof", str(file)]
        make += ["--secret", str(tmp_path / f"{secret}.json"), "--account", whose, "-o", str(tmp_path / "note.json")]
        assert main(make) == 2, reason
        said = capsys.readouterr().err
        assert reason in said
        assert "a defect of ours" not in said
        assert not (tmp_path / "note.json").exists()


def test_notes_are_made_from_the_proof_s_own_accounts_only(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        (venue / "accounts.csv")
        .read_text()
        .replace("account-0005,collateral,USDC,10000000", "account-0005,collateral,USDC,10000001")
    )
    text = text.replace("account-0006,collateral,USDC,10000000", "account-0006,collateral,USDC,9999999")
    (tmp_path / "accounts.csv").write_text(text)
    (tmp_path / "accounts.csv").chmod(0o600)
    make = ["venue", "note", *public(venue, "snapshot", "terms"), "--accounts", str(tmp_path / "accounts.csv")]
    make += ["--secret", str(venue / "secret.json"), "--proof", str(venue / "proof.bin"), "--account", NAME]
    assert main([*make, "-o", str(tmp_path / "note.json")]) == 2
    assert "not those of the proof" in capsys.readouterr().err
    secret = VenueSecret.parse((venue / "secret.json").read_text())
    assert secret.seed not in repr(secret)


def test_terms_explain_themselves(venue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["venue", "inspect", *public(venue, "snapshot"), str(venue / "terms.json")]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proof_bytes"] == (venue / "proof.bin").stat().st_size
    assert main(command) == 0
    assert "sum to zero in every instrument" in capsys.readouterr().out


def test_inspect_explains_every_file_and_no_secret_of_it(venue: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = VenueSecret.parse((venue / "secret.json").read_text())
    for name, words in (
        ("proof.bin", "a venue proof"),
        ("terms.json", "the terms of a venue proof"),
        ("record.json", "in one log"),
        ("secret.json", "SECRET"),
    ):
        assert main(["inspect", str(venue / name)]) == 0
        said = capsys.readouterr().out
        assert words in said
        assert secret.seed not in said
        assert NAME not in said
    assert main(["verify", *public(venue, "snapshot"), "--commitment", str(venue / "x"), str(venue / "proof.bin")]) == 2


def test_the_demo_of_a_venue_shows_what_must_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zkmargin.cli.demo_venue import run_venue_demo

    run_venue_demo(tmp_path, TIME, 20)
    said = capsys.readouterr().out
    for line in (
        "under margin",
        "the books together have",
        "the block holds another customer's tag",
        "All that had to fail did.",
    ):
        assert line in said


def test_a_venue_s_proof_is_bundled_verified_and_unpacked(
    venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, folder = str(tmp_path / "bundle.json"), tmp_path / "files"
    files = ["--terms", str(venue / "terms.json"), "--snapshot", str(venue / "snapshot.json")]
    assert main(["bundle", *files, str(venue / "proof.bin"), "-o", bundle]) == 0
    document = json.loads(Path(bundle).read_bytes())
    assert document["format"] == "zkmargin/evidence/v2"
    assert main(["bundle", "--unpack", bundle, "-o", str(folder)]) == 0
    for mine, name in (("proof.bin", "proof.bin"), ("terms.json", "terms.json")):
        assert (folder / name).read_bytes() == (venue / mine).read_bytes()
    capsys.readouterr()
    unpacked = ["--terms", str(folder / "terms.json"), "--snapshot", str(folder / "snapshot.json")]
    assert main(["verify", *unpacked, str(folder / "proof.bin"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["terms"]
    bad = bytearray((venue / "proof.bin").read_bytes())
    bad[-1] ^= 1
    (tmp_path / "bad.bin").write_bytes(bad)
    assert main(["bundle", *files, str(tmp_path / "bad.bin"), "-o", str(tmp_path / "none.json")]) == 1
    assert not (tmp_path / "none.json").exists()
    assert main(["bundle", *files, "--claim", "1", str(venue / "proof.bin"), "-o", str(tmp_path / "none.json")]) == 2
    assert "the terms say what is claimed" in capsys.readouterr().err


def test_a_list_holds_venues_proofs(venue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = bytearray((venue / "proof.bin").read_bytes())
    bad[-1] ^= 1
    (tmp_path / "bad.bin").write_bytes(bad)
    about = {"snapshot": str(venue / "snapshot.json"), "terms": str(venue / "terms.json")}
    good = {"proof": str(venue / "proof.bin"), **about}

    def verified(*items: JsonObject) -> tuple[int, Json, str]:
        (tmp_path / "list.json").write_text(json.dumps({"format": "zkmargin/batch/v2", "proofs": items}))
        code = main(["verify-batch", str(tmp_path / "list.json"), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    code, facts, _ = verified(good)
    assert (code, facts["accepted"], facts["proofs"][0]["venue"]) == (0, True, "A venue")
    code, facts, _ = verified({"proof": str(tmp_path / "bad.bin"), **about}, good)
    assert (code, [one["accepted"] for one in facts["proofs"]]) == (1, [False, True])
    assert main(["verify-batch", str(tmp_path / "list.json")]) == 1
    said = capsys.readouterr()
    assert "the accounts of 'A venue' by its terms:" in said.out
    for change, reason in (({"claim": "1"}, "terms say what is claimed"), ({"terms": None}, "missing")):
        code, _, err = verified({**good, **change})
        assert code == 2
        assert reason in err
