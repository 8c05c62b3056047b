"""Books as frames and arrays: exact both ways, or refused with one line; and what processes can be given."""

from __future__ import annotations

import multiprocessing
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from support.typed import JsonObject, Passed

from zkmargin import (
    Accepted,
    Book,
    BookLots,
    Claim,
    Snapshot,
    Statement,
    build_snapshot,
    commit_book,
    load_policy,
    margin_report,
    pnl_surface,
    prove,
    risk_array,
    to_lots,
    verify,
)
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.frames import exact_text
from zkmargin.formats import ConstraintError, InputError, ProofFormatError, SetupError, VerificationError


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(example_market("2026-01-02T03:04:05Z"), load_policy("default"), domain_size=512)


@pytest.fixture(scope="module")
def book() -> Book:
    return Book.model_validate(example_book(example_market("2026-01-02T03:04:05Z")))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (-5, "-5"),
        (0, "0"),
        ("0.10", "0.10"),
        (0.5, "0.5"),
        (-12.25, "-12.25"),
        (Decimal("0.1"), "0.1"),
        (Fraction(1, 8), "0.125"),
        (np.int64(7), "7"),
        (np.float64(2.5), "2.5"),
        (np.float32(0.25), "0.25"),
        (2**63, str(2**63)),
    ],
)
def test_numbers_that_are_exact(value: object, text: str) -> None:
    assert exact_text(value) == text


@pytest.mark.parametrize(
    "value",
    [0.1, np.float64(0.1), np.float32(0.1), float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity"),
     Fraction(1, 3), True, np.bool_(True), None, b"1", 1j, [1], Decimal(1).scaleb(-19), 10**400],
)  # fmt: skip
def test_numbers_that_are_not(value: object) -> None:
    with pytest.raises(InputError, match=r"^positions\.X: "):
        Book.of({"X": value})


def test_a_frame_holds_the_book_exactly(book: Book) -> None:
    frame = book.to_frame()
    assert list(frame.columns) == ["section", "name", "quantity"]
    assert Book.from_frame(frame) == book
    assert Book.from_frame(frame.sample(frac=1, random_state=1)).digest() == book.digest()


def test_frames_as_people_have_them() -> None:
    expected = Book.of({"A": 1, "B": -2})
    assert Book.from_frame(pd.DataFrame({"name": ["A", "B"], "quantity": [1, -2]})) == expected
    assert Book.from_frame(pd.DataFrame({"quantity": [1.0, -2.0]}, index=["A", "B"])) == expected


def test_series_make_a_book_too() -> None:
    positions, collateral = pd.Series({"A": 1, "B": -2}), pd.Series({"USDC": 2.5})
    assert Book.of(positions, collateral) == Book.of({"A": 1, "B": -2}, {"USDC": "2.5"})


def test_a_mapping_is_no_book(snapshot: Snapshot) -> None:
    given: Passed = {"BTC-PERPETUAL": 1}
    with pytest.raises(InputError, match="book: a dict is no book") as refused:
        margin_report(snapshot, given)
    assert "Book.of" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"name": ["A"], "amount": [1]}, "columns name and quantity"),
        ({"name": ["A", "A"], "quantity": [1, 2]}, "positions.A: named twice"),
        ({"name": ["A"], "quantity": [0.1]}, "positions.A: a float that is no short decimal"),
        ({"name": [""], "quantity": [1]}, "a name is text"),
        ({"section": ["cash"], "name": ["A"], "quantity": [1]}, "a section is one of"),
    ],
)
def test_frames_that_are_refused(frame: JsonObject, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Book.from_frame(pd.DataFrame(frame))


def test_lots_as_arrays(snapshot: Snapshot, book: Book) -> None:
    lots = to_lots(book, snapshot)
    positions, collateral = lots.to_arrays()
    assert positions.dtype == np.int64
    assert BookLots.from_arrays(positions, collateral, snapshot) == lots
    assert BookLots.from_arrays(positions.astype(float), collateral, snapshot) == lots
    with pytest.raises(InputError, match="has the shape"):
        BookLots.from_arrays(positions[1:], collateral, snapshot)
    with pytest.raises(InputError, match="whole number of lots"):
        BookLots.from_arrays(positions + 0.5, collateral, snapshot)
    with pytest.raises(InputError, match="lots or more"):
        BookLots.from_arrays(positions + 2**40, collateral, snapshot)


@pytest.mark.parametrize(
    ("given", "same"), [("1.25", (5, 4)), ("5/4", (5, 4)), (1.25, (5, 4)), (Decimal("1.25"), (5, 4)), (2, (2, 1))]
)
def test_a_claim_takes_what_people_write(given: Passed, same: tuple[int, int]) -> None:
    assert Claim(given) == Claim(*same)
    assert Claim(given, requirement="maintenance").requirement == "maintenance"


@pytest.mark.parametrize("given", [1.1, "0", -1, "one", "5/0", True, None])
def test_claims_that_are_refused(given: Passed) -> None:
    with pytest.raises(InputError, match="claim"):
        Claim(given)


def test_everything_takes_a_book_or_its_lots(snapshot: Snapshot, book: Book) -> None:
    lots = to_lots(book, snapshot)
    assert margin_report(snapshot, book) == margin_report(snapshot, lots)
    opening = commit_book(snapshot, book)
    statement = Statement.of(snapshot, [opening.commitment()], Claim("1.01"))
    accepted = verify(statement, prove(statement, book, [opening]))
    assert repr(accepted) == (
        f"Accepted(equity at least 101/100 of the initial requirement, statement "
        f"{accepted.statement_digest.hex()[:16]}...)"
    )


def test_a_surface_is_the_risk_array(snapshot: Snapshot, book: Book) -> None:
    surface = pnl_surface(snapshot, book, "BTC")
    rows = {row.label: row.profit for row in risk_array(snapshot, book) if row.group == "BTC"}
    at = (surface.price_moves.tolist().index(0.15), surface.vol_moves.tolist().index(0.0))
    (label,) = (name for name in rows if name.startswith("price +15 % vol 0 %"))
    assert surface.profit[at] == pytest.approx(rows[label] / 10**13)
    assert (np.diff(surface.price_moves) > 0).all()
    frame = surface.to_frame()
    assert frame.shape == surface.profit.shape
    axes = surface.plot()
    assert len(axes.get_lines()) == len(surface.vol_moves) + 1
    with pytest.raises(InputError, match="no such risk group"):
        pnl_surface(snapshot, book, "DOGE")


# Processes


def _digest(statement: Statement) -> str:
    return statement.snapshot.digest().hex()


def _fail(kind: str) -> None:
    raise {
        "input": InputError("bad", file="f", field="x", line=3, hint="h"),
        "setup": SetupError("damaged"),
        "claim": ConstraintError("false", rule="claim", shortfall=7),
        "format": ProofFormatError("short"),
        "check": VerificationError("no", check="pairing", hint="h"),
    }[kind]


def test_statements_and_errors_go_through_processes(snapshot: Snapshot, book: Book) -> None:
    statement = Statement.of(snapshot, [commit_book(snapshot, book).commitment()], Claim())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_digest, (statement,)) == snapshot.digest().hex()
        for kind, expected, attributes in (
            ("input", InputError, {"file": "f", "field": "x", "line": 3, "hint": "h", "reason": "bad"}),
            ("setup", SetupError, {"message": "damaged"}),
            ("claim", ConstraintError, {"rule": "claim", "shortfall": 7}),
            ("format", ProofFormatError, {"exit_code": 1}),
            ("check", VerificationError, {"check": "pairing", "hint": "h"}),
        ):
            with pytest.raises(expected) as raised:
                pool.apply(_fail, (kind,))
            assert {name: getattr(raised.value, name) for name in attributes} == attributes


def test_what_is_copied_is_the_same(snapshot: Snapshot, book: Book) -> None:
    opening = commit_book(snapshot, book)
    statement = Statement.of(snapshot, [opening.commitment()], Claim("1.01"))
    accepted = verify(statement, prove(statement, book, [opening]))
    for value in (snapshot, statement, book, opening, Claim("1.25"), margin_report(snapshot, book), accepted):
        copied = pickle.loads(pickle.dumps(value))  # noqa: S301 - our own bytes
        assert copied == value
        assert type(copied) is type(value)
    assert isinstance(pickle.loads(pickle.dumps(accepted)), Accepted)  # noqa: S301
