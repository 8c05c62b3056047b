"""A venue's public log: appended to, chained and signed; every way of showing somebody another statement is seen."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from support import venue_lab
from support.signing import OURS, Key
from support.typed import Passed
from support.venue_lab import Venue, later

from zkmargin.app.venue_facts import lacking_of_every, terms_summary
from zkmargin.app.venue_log import append_to_log
from zkmargin.cli import main
from zkmargin.formats import Document, InputError, VerificationError, save_document
from zkmargin.verifier.venue.customers import VenueRecord, record_of
from zkmargin.verifier.venue.log import GENESIS, LogEntry, VenueLog
from zkmargin.verifier.venue.proof import decode_venue_proof
from zkmargin.verifier.venue.statement import VenueStatement

TIME = "2026-01-02T05:00:00Z"


OTHER = Key(8)


@pytest.fixture(scope="module")
def proved() -> tuple[Venue, VenueStatement, VenueRecord]:
    venue = venue_lab.Venue([(venue_lab.spec(), venue_lab.SMALL)])
    proof = venue.prove(seed="log")
    return venue, venue.statement, record_of(venue.statement, decode_venue_proof(proof, venue.statement))


def logged(statement: VenueStatement, record: VenueRecord, count: int = 3, key: Key = OURS) -> VenueLog:
    log = VenueLog(venue=record.venue)
    for minute in range(count):
        mine = later(statement, minute)
        log = log.appended(mine, record.model_copy(update={"statement": mine.digest.hex()}), TIME, key)
    return log


def changed(log: VenueLog, number: int, /, **fields: Passed) -> VenueLog:
    entries = list(log.entries)
    entries[number] = entries[number].model_copy(update=fields)
    return log.model_copy(update={"entries": tuple(entries)})


def resigned(log: VenueLog, key: Key = OURS) -> VenueLog:
    """By a venue that writes its log anew: numbers, chain and signatures are right again."""
    entries: list[LogEntry] = []
    previous = GENESIS
    for number, entry in enumerate(log.entries, 1):
        plain = entry.model_copy(update={"number": number, "previous": previous, "signature": None})
        entries.append(plain.model_copy(update={"signature": key.sign(plain.message(log.venue))}))
        previous = plain.digest(log.venue).hex()
    return log.model_copy(update={"entries": tuple(entries)})


def test_a_log_is_read_back_checked_and_found(proved: tuple[Venue, VenueStatement, VenueRecord]) -> None:
    _, statement, record = proved
    log = logged(statement, record)
    again = VenueLog.parse(log.to_bytes())
    assert again == log
    assert again.check([OURS.public]) == (OURS.public.public_key,)
    entry = again.entry_of(later(statement, 1))
    assert (entry.number, entry.accounts, entry.statement) == (2, 3, later(statement, 1).digest.hex())
    assert entry.record(log.venue).root == record.root
    again.check_continues(logged(statement, record, 2))
    for head in (GENESIS, logged(statement, record, 2).head, log.head):
        again.check_head(head)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("statement", "11" * 32),
        ("proof", "11" * 32),
        ("root", "11" * 32),
        ("snapshot", "11" * 32),
        ("accounts", 4),
        ("committed", 1),
        ("series", "another"),
        ("snapshot_time", "2026-01-02T03:04:06Z"),
        ("time", "2026-01-02T03:06:00Z"),
        ("signature", None),
        ("number", 9),
        ("previous", "11" * 32),
    ],
)
def test_any_change_of_an_entry_shows(
    proved: tuple[Venue, VenueStatement, VenueRecord], field: str, value: object
) -> None:
    _, statement, record = proved
    log = logged(statement, record)
    for number in range(3):
        with pytest.raises(VerificationError, match="entry"):
            changed(log, number, **{field: value}).check()


def test_entries_left_out_exchanged_or_of_another_venue_show(
    proved: tuple[Venue, VenueStatement, VenueRecord],
) -> None:
    _, statement, record = proved
    log = logged(statement, record)
    a, b, c = log.entries
    for entries in ((a, c), (b, c), (a, c, b), (a, a, b)):
        with pytest.raises(VerificationError, match="changed or left out"):
            log.model_copy(update={"entries": entries}).check()
    with pytest.raises(VerificationError, match="signature does not verify"):
        log.model_copy(update={"venue": "another"}).check()
    with pytest.raises(VerificationError, match="no key of the venue"):
        log.check([OTHER.public])
    assert log.check([OTHER.public, OURS.public]) == (OURS.public.public_key,)


def test_a_venue_that_writes_its_log_anew_is_caught_by_copies_and_heads(
    proved: tuple[Venue, VenueStatement, VenueRecord],
) -> None:
    _, statement, record = proved
    log = logged(statement, record)
    forged = resigned(changed(log, 1, statement="22" * 32))
    forged.check([OURS.public])  # alone it holds
    with pytest.raises(VerificationError, match="entry 2 of the log is not the one of the earlier copy"):
        forged.check_continues(log)
    with pytest.raises(VerificationError, match="2 entries more: the log was cut"):
        logged(statement, record, 1).check_continues(log)
    with pytest.raises(VerificationError, match="no entry of the log has the head"):
        forged.check_head(log.head)
    with pytest.raises(VerificationError, match="another venue"):
        log.check_continues(log.model_copy(update={"venue": "another"}))


def test_a_copy_s_signatures_count_too(proved: tuple[Venue, VenueStatement, VenueRecord]) -> None:
    """An entry has the same digest whoever signed it: a log that another key signed again is not the one of before."""
    _, statement, record = proved
    log = logged(statement, record)
    again = resigned(log, OTHER)
    assert again.head == log.head
    with pytest.raises(VerificationError, match="entry 1 of the log is signed with another key than in the earlier"):
        again.check_continues(log)
    for copy in (changed(log, 1, signature=None), changed(log, 1, signature=log.entries[0].signature)):
        with pytest.raises(
            VerificationError, match="the earlier copy does not hold: entry 2 of the log: its signature"
        ):
            log.check_continues(copy)


def test_two_statements_of_one_snapshot_are_refused_and_seen(
    proved: tuple[Venue, VenueStatement, VenueRecord],
) -> None:
    """By its series and time, or by its digest under another name."""
    _, statement, record = proved
    log = logged(statement, record)
    second = replace(later(statement, 1), context=b"another")
    assert second.digest != later(statement, 1).digest
    with pytest.raises(InputError, match="has entry 2 for"):
        log.appended(second, record.model_copy(update={"statement": second.digest.hex()}), TIME, OURS)
    with pytest.raises(InputError, match="the proof of"):
        log.appended(statement, record.model_copy(update={"venue": "another"}), TIME, OURS)
    for same in (
        {"series": log.entries[0].series, "snapshot_time": log.entries[0].snapshot_time},
        {"snapshot": log.entries[0].snapshot},
    ):
        with pytest.raises(VerificationError, match=r"entries 1 and 3 of the log are two statements of one snapshot"):
            resigned(changed(log, 2, **same)).check([OURS.public])


def test_the_statement_must_be_the_logged_one(proved: tuple[Venue, VenueStatement, VenueRecord]) -> None:
    _, statement, record = proved
    log = logged(statement, record)
    mine = later(statement, 1)
    for other, reason in (
        (later(statement, 9), "the log has no statement of"),
        (replace(mine, context=b"another"), "is another one: evidence of fraud"),
        (replace(mine, snapshot=mine.snapshot.model_copy(update={"name": "another"})), "is another one: evidence"),
    ):
        with pytest.raises(VerificationError, match=reason):
            log.entry_of(other)
    for field in ("accounts", "committed"):
        with pytest.raises(VerificationError, match="numbers of accounts"):
            changed(log, 1, **{field: 9}).entry_of(mine)
    with pytest.raises(VerificationError, match="evidence of fraud"):
        changed(log, 1, snapshot="33" * 32).entry_of(mine)
    with pytest.raises(VerificationError, match="of another venue"):
        log.model_copy(update={"venue": "another"}).entry_of(mine)


def test_every_scheme_signs_it(proved: tuple[Venue, VenueStatement, VenueRecord]) -> None:
    _, statement, record = proved
    secp = Key(7, "secp256k1")
    assert logged(statement, record, 1, secp).check([secp.public]) == (secp.public.public_key,)


# --- files and commands ---------------------------------------------------------------------------------------------


def test_a_file_is_appended_to_or_left_as_it_was(
    proved: tuple[Venue, VenueStatement, VenueRecord], tmp_path: Path
) -> None:
    import fcntl

    _, statement, record = proved
    path = tmp_path / "log.json"
    append_to_log(str(path), statement, record, TIME, OURS)
    log = append_to_log(str(path), later(statement, 1), record, TIME, OURS)
    assert VenueLog.parse(path.read_bytes()) == log
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"log.json: entries: has entry 1 for"):
        append_to_log(str(path), statement, record, TIME, OURS)
    with Path(f"{path}.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process appends to it"):
            append_to_log(str(path), later(statement, 2), record, TIME, OURS)
    save_document(changed(log, 0, accounts=9), path)
    damaged = path.read_bytes()
    with pytest.raises(VerificationError, match="entry 1"):
        append_to_log(str(path), later(statement, 2), record, TIME, OURS)
    assert path.read_bytes() == damaged != before


def test_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A venue logs its proof; an auditor and a customer check it; a second statement, or another log, is refused."""
    from zkmargin.app.venue_accounts import invented_accounts
    from zkmargin.engine.book import to_book
    from zkmargin.engine.example import example_market
    from zkmargin.engine.policy import load_policy
    from zkmargin.engine.publishing.snapshots import build_snapshot

    snapshot = build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"), domain_size=256)
    at = {name: str(tmp_path / name) for name in ("snapshot.json", "log.json", "venue.key", "venue.json", "copy.json")}
    save_document(snapshot, at["snapshot.json"])
    (tmp_path / "books").mkdir()
    for account in invented_accounts(snapshot, 2):
        save_document(to_book(account.lots, snapshot), tmp_path / "books" / f"{account.name}.json")
    (tmp_path / "pass.txt").write_text("a good passphrase")
    (tmp_path / "pass.txt").chmod(0o600)
    passphrase = ["--passphrase-file", str(tmp_path / "pass.txt")]
    new = [
        "key",
        "new",
        "--name",
        "A venue",
        "--scheme",
        "ed25519",
        "-o",
        at["venue.key"],
        "--public",
        at["venue.json"],
    ]
    assert main([*new, *passphrase]) == 0

    def prove(tag: str, *more: str) -> tuple[list[str], str]:
        terms, proof, secret = (str(tmp_path / f"{tag}-{name}") for name in ("terms.json", "proof.bin", "secret.json"))
        command = ["venue", "prove", "--snapshot", at["snapshot.json"], "--accounts", str(tmp_path / "books")]
        command += ["--venue", "A venue", "--threads", "1", "-o", proof, "--terms", terms, "--secret", secret]
        assert main([*command, "--record", str(tmp_path / f"{tag}-record.json"), *more]) == 0
        return ["--snapshot", at["snapshot.json"], "--terms", terms], proof

    def append(public: list[str], proof: str, log: str = "log.json") -> int:
        to = str(tmp_path / log)
        return main(["venue", "log", "append", to, *public, "--proof", proof, "--key", at["venue.key"], *passphrase])

    public, proof = prove("first")
    other, second = prove("second", "--totals")
    assert append(public, proof) == 0
    capsys.readouterr()
    key = ["--key", at["venue.json"]]
    assert main(["venue", "log", "check", at["log.json"], *key, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [entry["accounts"] for entry in facts["entries"]] == [2]
    schema = json.loads((Path(__file__).parents[1] / "docs" / "output.schema.json").read_text())
    jsonschema.validate(facts, {"$ref": "#/$defs/venue log check", "$defs": schema["$defs"]})
    (tmp_path / "copy.json").write_bytes((tmp_path / "log.json").read_bytes())
    assert append(other, second) == 2
    assert "one proof a snapshot" in capsys.readouterr().err
    assert main(["venue", "verify", *public, "--log", at["log.json"], *key, proof]) == 0
    assert main(["venue", "verify", *other, "--log", at["log.json"], second]) == 1
    assert "is another one: evidence of fraud" in capsys.readouterr().err
    assert append(other, second, "forged.json") == 0
    check = ["venue", "log", "check", str(tmp_path / "forged.json"), *key]
    assert main(check) == 0
    assert main([*check, "--earlier", at["copy.json"]]) == 1
    assert "not the one of the earlier copy" in capsys.readouterr().err
    assert main([*check, "--head", facts["head"]]) == 1
    capsys.readouterr()
    for head in ("", "xyz", facts["head"].upper(), facts["head"][:-1], f"0x{facts['head']}", f"{facts['head']}\n"):
        assert main([*check, "--head", head]) == 2
        assert "--head: not 64 hexadecimal digits" in capsys.readouterr().err
    save_document(VenueLog(venue="A venue"), tmp_path / "empty.json")
    for more in (key, []):
        assert main(["venue", "log", "check", str(tmp_path / "empty.json"), *more]) == 0
        assert "the log has no entries: nothing in it is signed" in capsys.readouterr().out

    # who signed the log is said, and whether anybody vouched for that key
    signer = json.loads(Path(at["venue.json"]).read_text())["public_key"]
    verify = ["venue", "verify", *public, "--log", at["log.json"], proof]
    unknown = f"the log is signed with {signer}: whose key that is was not checked (--key FILE)"
    for command, text, demanded in ((verify, unknown, False), ([*verify, *key], "with the key of --key", True)):
        assert main(command) == 0
        assert text in " ".join(capsys.readouterr().out.split())
        assert main([*command, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        jsonschema.validate(said, {"$ref": "#/$defs/venue verify", "$defs": schema["$defs"]})
        assert (said["log_signers"], said["signer_demanded"]) == ([signer], demanded)

    name, secret = "account-0000", str(tmp_path / "second-secret.json")
    note, signing = str(tmp_path / "note.json"), ["--key", at["venue.key"], *passphrase]
    make = ["venue", "note", *other, "--accounts", str(tmp_path / "books"), "--secret", secret, "--proof", second]
    assert main([*make, "--account", name, *signing, "-o", note]) == 0
    nonce = json.loads(Path(secret).read_text())["nonces"][name]
    mine = ["--book", str(tmp_path / "books" / f"{name}.json"), "--name", name, "--nonce", nonce]
    mine += ["--signer", at["venue.json"]]
    given = ["venue", "check-note", note, *other, *mine]
    assert main(given) == 2
    assert "give its log, or its record" in capsys.readouterr().err
    assert main([*given, "--record", str(tmp_path / "second-record.json")]) == 0
    assert "no log was checked" in capsys.readouterr().out
    assert main([*given, "--log", at["log.json"]]) == 1  # the one that everybody else sees
    assert "is another one: evidence of fraud" in capsys.readouterr().err
    assert main([*given, "--log", str(tmp_path / "forged.json"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    jsonschema.validate(said, {"$ref": "#/$defs/venue check-note", "$defs": schema["$defs"]})
    assert said["log_head"] != facts["head"]
    assert (said["log_signers"], said["signer_demanded"]) == ([signer], True)
    assert main([*given[:-2], "--log", str(tmp_path / "forged.json")]) == 0
    unknown = f"the log is signed with {signer}: whose key that is was not checked (--signer FILE)"
    assert unknown in " ".join(capsys.readouterr().out.split())
    assert main([*given, "--log", str(tmp_path / "forged.json")]) == 0
    assert "to compare" in capsys.readouterr().out
    wrong = ["--record", str(tmp_path / "first-record.json")]
    assert main([*given, "--log", str(tmp_path / "forged.json"), *wrong]) == 1
    assert "another record" in capsys.readouterr().err
    assert main(["inspect", at["log.json"]]) == 0
    assert "public log" in capsys.readouterr().out


def test_the_golden_log_is_read() -> None:
    path = Path(__file__).parent / "data" / "golden" / "v1" / "venue" / "log.json"
    log: Document = VenueLog.parse(path.read_bytes())
    assert isinstance(log, VenueLog)
    assert log.check([OURS.public]) == (OURS.public.public_key,)
    assert log.to_bytes() == path.read_bytes()


def test_one_moment_has_one_statement_however_it_is_written(proved: tuple[Venue, VenueStatement, VenueRecord]) -> None:
    """A venue that shows another statement of the same moment under another name, or other digits of a second."""
    _, statement, record = proved
    log = logged(statement, record, 1)
    entry = log.entries[0]
    same = entry.snapshot_time.replace("Z", ".0Z")
    snapshot = statement.snapshot.model_copy(update={"time": same, "name": "another name"})
    with pytest.raises(InputError, match="one proof a snapshot"):
        log.appended(replace(statement, snapshot=snapshot), record, TIME, OURS)
    twice = log.model_copy(update={"entries": (entry, entry.model_copy(update={"snapshot": "11" * 32}))})
    for update in ({"snapshot_time": same}, {"snapshot_time": same, "series": "another name"}):
        with pytest.raises(VerificationError, match="two statements of one snapshot"):
            resigned(changed(twice, 1, **update)).check()
    with pytest.raises(InputError, match="time"):
        LogEntry.model_validate(entry.model_dump(mode="json") | {"snapshot_time": "not a time"})


def test_a_log_is_one_key_s(tmp_path: Path, proved: tuple[Venue, VenueStatement, VenueRecord]) -> None:
    _, statement, record = proved
    path = tmp_path / "log.json"
    append_to_log(str(path), later(statement, 1), record, TIME, OURS)
    before = path.read_bytes()
    with pytest.raises(InputError, match="another key's entry would end it"):
        append_to_log(str(path), later(statement, 2), record, TIME, OTHER)
    assert path.read_bytes() == before
    two = logged(later(statement, 0), record, 1, OTHER)
    both = two.appended(later(statement, 1), record, TIME, OURS)
    path.write_bytes(before := both.to_bytes())
    for key in (OURS, OTHER):
        with pytest.raises(InputError, match="another key's entry would end it"):
            append_to_log(str(path), later(statement, 2), record, TIME, key)
    assert path.read_bytes() == before


def test_only_terms_by_which_nobody_is_short_are_about_every_account() -> None:
    terms = venue_lab.Venue([(venue_lab.spec(), venue_lab.SMALL)]).statement.terms
    assert lacking_of_every(terms) is None
    half = terms.model_copy(update={"classes": tuple(s.model_copy(update={"claim": "1/2"}) for s in terms.classes)})
    for other, reason in (
        (terms.model_copy(update={"exempt": 2}), "2 unnamed accounts may miss"),
        (terms.model_copy(update={"cap": "5"}), "as long as a cap holds"),
        (half, "no more than 1/2 x its requirement"),
    ):
        assert reason in str(lacking_of_every(other))
    assert "no more than 1/2 x the requirement" in terms_summary(half)
    assert "but any may be short" in terms_summary(terms.model_copy(update={"cap": "5"}))
