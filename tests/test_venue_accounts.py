"""Accounts in arrays: what a CSV says is what each book says by itself, and slots are dealt out as one by one."""

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import zkmargin.app.venue_accounts
from zkmargin.app.venue_accounts import Accounts, VenueAccount, load_accounts
from zkmargin.app.venue_classes import Asked, class_books, sort_into_classes
from zkmargin.app.venue_names import check_alike
from zkmargin.circuits.venue import VenueRules
from zkmargin.engine.book import Book, BookLots, to_book, to_lots
from zkmargin.engine.example import example_market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import Caution, InputError


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"), domain_size=256)


def written(path: Path, rows: list[tuple[str, str, str, str]]) -> str:
    path.write_text("account,section,name,quantity\n" + "".join(",".join(row) + "\n" for row in rows))
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("kept", [1 << 16, 3])
def test_a_csv_in_any_order_gives_what_each_book_gives_by_itself(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Whole lots, parts of lots, zeros, trailing zeros, negative amounts; texts that were forgotten again."""
    monkeypatch.setattr(zkmargin.app.venue_accounts, "MAX_KEPT", kept)
    draw = random.Random(7)  # noqa: S311 - of a test
    books: dict[str, dict[str, dict[str, str]]] = {}
    ids, assets = [s.id for s in snapshot.instruments], [(s.asset, s.lot) for s in snapshot.collateral]
    for a in range(40):
        positions = {name: str(draw.randrange(-9, 10)) for name in draw.sample(ids, draw.randrange(12))}
        collateral = {}
        for asset, lot in draw.sample(assets, draw.randrange(1, len(assets))):
            places = len(lot.partition(".")[2])
            whole, part = draw.randrange(10**6), "".join(draw.choice("0123456789") for _ in range(places))
            collateral[asset] = f"{whole}.{part}" if part and draw.random() < 0.7 else str(whole)
        books[f"account {a}"] = {"positions": positions, "collateral": collateral}
    rows = [
        (account, section, name, quantity)
        for account, book in books.items()
        for section, entries in book.items()
        for name, quantity in entries.items()
    ]
    draw.shuffle(rows)
    found = load_accounts(written(tmp_path / "a.csv", rows), snapshot)
    assert sorted(found.names) == sorted(books)
    for account in found:
        assert account.lots == to_lots(Book.model_validate(books[account.name]), snapshot)
    again = Accounts.of(list(found), snapshot)
    for field in ("starts", "instruments", "lots", "balances"):
        assert (getattr(again, field) == getattr(found, field)).all()


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        ("1e3", "not a decimal number"),
        ("01", "not a decimal number"),
        ("-0", "-0 is not a number"),
        ("0.00000000000000001", "not a multiple of the lot"),
        ("9" * 18, "too large"),
        ("\u0661", "not a decimal number"),
        ("", "not a decimal number"),
    ],
)
def test_a_bad_quantity_names_line_account_and_slot(
    snapshot: Snapshot, tmp_path: Path, quantity: str, reason: str
) -> None:
    rows = [("a", "positions", snapshot.instruments[0].id, "1"), ("b", "collateral", "USDC", quantity)]
    with pytest.raises(InputError, match=reason) as raised:
        load_accounts(written(tmp_path / "a.csv", rows), snapshot)
    assert (raised.value.line, raised.value.field) == (3, "account b: collateral.USDC")


def test_bad_bytes_and_sizes_are_named(snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"account,section,name,quantity\na,collateral,USDC,\xff\n")
    with pytest.raises(InputError, match="not UTF-8 text"):
        load_accounts(str(path), snapshot)
    with pytest.raises(InputError, match="cannot be read"):
        load_accounts(str(tmp_path / "none.csv"), snapshot)
    monkeypatch.setattr(zkmargin.app.venue_accounts, "MAX_CSV_BYTES", 40)
    with pytest.raises(InputError, match="larger than 40 bytes"):
        load_accounts(written(path, [("a", "collateral", "USDC", "1")] * 2), snapshot)


HEADER = b"account,section,name,quantity\n"


def endless(path: Path, begin: bytes, more: bytes, size: int) -> str:
    path.write_bytes(HEADER + b"a,collateral,USDC,1\n" + begin + more * (size // len(more)))
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize(
    ("begin", "more", "reason"),
    [
        (b"b,collateral,USDC,", b"1", "a line of more than 1048576 bytes"),
        (b"", b",", "a line of more than 1048576 bytes"),
        (b'"b', b"\n", "a quote that does not end on its line"),
        (b'b,"', b'\n","', "a quote that does not end on its line"),
        (b"b,collateral,", b"12345,", "a line of more than 1048576 bytes"),
    ],
    ids=["no end", "commas", "a quote", "fields over lines", "fields"],
)
def test_a_line_without_end_costs_no_memory(
    snapshot: Snapshot, tmp_path: Path, begin: bytes, more: bytes, reason: str
) -> None:
    """32 MB in one line, or one row: refused by file and line, after a megabyte or two."""
    path = endless(tmp_path / "a.csv", begin, more, 1 << 25)
    tracemalloc.start()
    with pytest.raises(InputError, match=reason) as raised:
        load_accounts(path, snapshot)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (raised.value.file, raised.value.line) == (path, 3)
    assert peak < 24 << 20


@pytest.mark.parametrize(("end", "before"), [(b"\n", 70_000), (b"\r\n", 3), (b"\r", 3), (b"\n", 0)])
def test_the_line_is_named_where_the_text_is_none(snapshot: Snapshot, tmp_path: Path, end: bytes, before: int) -> None:
    """Text is decoded in blocks: the line is the one where it is not UTF-8, and no other one."""
    path = tmp_path / "a.csv"
    zeros = [b"account %d,collateral,USDC,0" % a for a in range(before)]
    for last, reason in ((b"b,collateral,USDC,\xff", "not UTF-8 text"), (b'"b,collateral', "no CSV: unexpected end")):
        path.write_bytes(end.join([HEADER.strip(), *zeros, last]))
        with pytest.raises(InputError, match=reason) as raised:
            load_accounts(str(path), snapshot)
        assert raised.value.line == before + 2
    path.write_bytes(end.join([HEADER.strip(), *zeros, b'"b,collateral', b"x", b"y"]))
    with pytest.raises(InputError, match="a quote that does not end on its line") as raised:
        load_accounts(str(path), snapshot)
    assert raised.value.line == before + 2


def test_quotes_that_end_are_read(snapshot: Snapshot, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + b'"a, ""the first""","collateral","USDC","1"\r\n"b",collateral,USDC,2\n')
    path.chmod(0o600)
    assert load_accounts(str(path), snapshot).names == ['a, "the first"', "b"]


def test_files_that_are_no_books_are_not_passed_over_in_silence(snapshot: Snapshot, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(
        to_book(BookLots((0,) * len(snapshot.instruments), (1, 0, 0)), snapshot).to_bytes()
    )
    (tmp_path / "a.json").chmod(0o600)
    (tmp_path / ".hidden").write_text("")
    assert load_accounts(str(tmp_path), snapshot).names == ["a"]
    (tmp_path / "b.json.bak").write_text("")
    with pytest.warns(Caution, match=r"b.json.bak: is no NAME.json: not read"):
        assert load_accounts(str(tmp_path), snapshot).names == ["a"]
    (tmp_path / "c.JSON").write_text("{}")
    with pytest.raises(InputError, match=r"c.JSON: its end is .json, in small letters"):
        load_accounts(str(tmp_path), snapshot)


def test_names_that_look_the_same_are_refused() -> None:
    check_alike(["a", "b", "A1", "b1", "\u0436"])
    for one, other in (
        ("\u00e9tat", "e\u0301tat"),  # composed and not
        ("fund", "\uff46und"),  # full width
        ("\ufb01rst", "\uff46irst"),  # two forms, neither plain
    ):
        for names in ([one, other], [other, "x", one]):
            with pytest.raises(InputError, match="looks like"):
                check_alike(names)
    for one, other in (("Fund", "fund"), ("FUND", "Fund"), ("\u0416", "\u0436")):
        with pytest.warns(Caution, match="differ in capitals alone"):
            check_alike([one, other])


def test_slots_and_legs_are_dealt_out_as_one_account_at_a_time(snapshot: Snapshot) -> None:
    """Up to 70 positions in two risk groups: groups in the order of their first instruments, legs in order."""
    rules, draw = VenueRules.of(snapshot, "initial"), random.Random(5)  # noqa: S311 - of a test
    assert rules.groups > 1
    accounts = []
    for a in range(60):
        positions = [0] * len(snapshot.instruments)
        for i in draw.sample(range(len(positions)), draw.choice((0, 1, 3, 4, 5, 17, 70))):
            positions[i] = draw.choice((-3, 5))
        accounts.append(VenueAccount(f"a{a}", BookLots(tuple(positions), (a,) + (0,) * (rules.assets - 1))))
    every = Accounts.of(accounts, snapshot)
    classes, members = sort_into_classes(every, rules, Asked(venue="a"), 256)
    assert sorted(np.concatenate(members).tolist()) == list(range(60))
    for spec, mine in zip(classes, members, strict=True):
        books = class_books(spec, every, mine, rules)
        for row, a in enumerate(mine.tolist()):
            by_group: dict[int, list[tuple[int, int]]] = {}
            for i, q in enumerate(accounts[a].lots.positions):
                if q:
                    by_group.setdefault(rules.group_of[i], []).append((i, q))
            slots = [
                (group, legs[start : start + spec.legs])
                for group, legs in by_group.items()
                for start in range(0, len(legs), spec.legs)
            ]
            assert len(slots) <= spec.slots
            for s in range(spec.slots):
                group, legs = slots[s] if s < len(slots) else (0, [])
                ids = [i for i, _ in legs] + [legs[0][0] if legs else 0] * (spec.legs - len(legs))
                assert books.groups[row, s] == group
                assert books.instruments[row, s].tolist() == ids
                assert books.lots[row, s].tolist() == [q for _, q in legs] + [0] * (spec.legs - len(legs))
            assert books.balances[row].tolist() == list(accounts[a].lots.collateral)
