"""A venue's accounts, its proof, and large accounts with a ledger: what the tests of ``zkmargin venue`` begin with."""

from pathlib import Path

from zkmargin.app.venue_accounts import invented_accounts
from zkmargin.cli import main
from zkmargin.engine.book import to_book
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.formats import save_document

TIME = "2026-01-02T03:04:05Z"
COUNT = 12
NAME = "account-0003"
NONCE = "00112233445566778899aabbccddeeff"


def proved_venue(at: Path) -> Path:
    """A folder with a snapshot, twelve books in a folder and in a CSV, one customer's nonce, and a proof."""
    snapshot = build_snapshot(example_market(TIME), load_policy("default"), domain_size=256)
    save_document(snapshot, at / "snapshot.json")
    (at / "books").mkdir()
    lines = ["account,section,name,quantity"]
    for account in invented_accounts(snapshot, COUNT):
        book = to_book(account.lots, snapshot)
        save_document(book, at / "books" / f"{account.name}.json")
        for section, entries in (("positions", book.positions), ("collateral", book.collateral)):
            lines += [f"{account.name},{section},{name},{quantity}" for name, quantity in entries.items()]
    (at / "accounts.csv").write_text("\n".join(lines) + "\n")
    (at / "nonces.csv").write_text(f"account,nonce\n{NAME},{NONCE}\n")
    for name in ("accounts.csv", "nonces.csv"):
        (at / name).chmod(0o600)
    assert main(prove(at, "books")) == 0
    return at


def prove(at: Path, accounts: str, *more: str, tag: str = "") -> list[str]:
    """The command that proves, every output under a tag."""
    files = {"-o": "proof.bin", "--terms": "terms.json", "--record": "record.json", "--secret": "secret.json"}
    outputs = [word for option, name in files.items() for word in (option, str(at / f"{tag}{name}"))]
    given = ["--snapshot", str(at / "snapshot.json"), "--accounts", str(at / accounts), "--venue", "A venue"]
    options = ["--nonces", str(at / "nonces.csv"), "--net", "zero", "--totals", "--threads", "1", *more]
    return ["venue", "prove", *given, *options, *outputs]


def cash(text: str, account: int, amount: int) -> str:
    """A CSV with another balance of an account."""
    line = f"account-{account:04},collateral,USDC,"
    assert f"{line}10000000\n" in text
    return text.replace(f"{line}10000000", f"{line}{amount}")


def public(at: Path, *names: str) -> list[str]:
    """Options of the public files."""
    known = {"snapshot": "snapshot.json", "terms": "terms.json", "record": "record.json"}
    return [word for name in names for word in (f"--{name}", str(at / known[name]))]


def proved_large(venue: Path, at: Path) -> Path:
    """Two large accounts, short of each other's longs, committed and proved one by one into a ledger."""
    (at / "dense").mkdir()
    snapshot = str(venue / "snapshot.json")
    for name, account in (("fund", "account-0000"), ("desk", "account-0001")):
        book, opening = at / "dense" / f"{name}.book.json", at / "dense" / f"{name}.opening.json"
        book.write_bytes((venue / "books" / f"{account}.json").read_bytes())
        book.chmod(0o600)
        commitment, proof = str(at / f"{name}.json"), str(at / f"{name}.bin")
        shared = ["--snapshot", snapshot]
        assert main(["commit", str(book), *shared, "--alias", name, "-o", commitment, "--opening", str(opening)]) == 0
        assert main(["prove", "--book", str(book), *shared, "--opening", str(opening), "-o", proof]) == 0
        assert main(["verify", *shared, "--commitment", commitment, "--ledger", str(at / "ledger.db"), proof]) == 0
    return at


def prove_large(venue: Path, at: Path, *more: str, tag: str = "") -> list[str]:
    """The command that proves about the large accounts."""
    files = {"-o": "proof.bin", "--terms": "terms.json", "--record": "record.json", "--secret": "secret.json"}
    outputs = [word for option, name in files.items() for word in (option, str(at / f"{tag}{name}"))]
    given = ["--snapshot", str(venue / "snapshot.json"), "--dense", str(at / "dense"), "--venue", "A venue"]
    return ["venue", "prove", *given, "--net", "zero", "--totals", "--threads", "1", *more, *outputs]
