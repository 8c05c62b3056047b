"""What workers make is what everybody would make: a coordinator looks at every book, charge and tag itself."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support import lab
from support.typed import Passed
from support.venue_lab import Account, Local, Venue, spec

from zkmargin.formats import InputError
from zkmargin.prover.venue.blocks import ClassBooks, _leg_columns, assess, check_books, class_witness, holds_books
from zkmargin.prover.venue.messages import pack, unpack
from zkmargin.prover.venue.witness import build_witness
from zkmargin.prover.venue.workers import preparing

pytestmark = pytest.mark.compiled
#: Lots that a side of a leg of these classes holds: two digits of six bits less one.
BOUND = (1 << 12) - 1


def venue_of(lots: tuple[int, ...] = (1, -1), **options: Passed) -> Venue:
    """One account a set, so that every worker has one: ``lots`` of instrument 0, and plenty of collateral."""
    accounts: list[Account] = [(((0, ((0, held),)),), (4_000, 10)) for held in lots]
    shape = spec(accounts=len(lots), legs=1, slots=1, block=64, position_bits=8, charge_bits=24)
    return Venue([(shape, accounts)], n=64, srs=lab.known_tau(powers=200), rules={"bits": 6}, **options)


def masking(arrays: list[Passed]) -> None:
    """Lots and balances as far as columns hold them."""
    arrays[2] = np.sign(arrays[2]) * (np.abs(arrays[2]) & BOUND)
    arrays[3] = np.maximum(arrays[3], 0)


def lying(change: Callable[[list[Passed]], None]) -> type[Local]:
    """Workers that make columns of other books than they are asked about."""

    class Liar(Local):
        def ask(self, request: bytes) -> bytes:
            head, arrays = unpack(request)
            if head["round"] in ("examine", "columns"):
                arrays = [array.copy() for array in arrays]
                change(arrays)
                request = pack({key: value for key, value in head.items() if key != "arrays"}, arrays)
            return super().ask(request)

    return Liar


def changed(books: ClassBooks, name: str, *values: int) -> ClassBooks:
    """The books with other lots, or balances of asset 1."""
    array = getattr(books, name).copy()
    array[..., -1] = np.reshape(values, array[..., -1].shape)
    return replace(books, **{name: array})


WIDE: dict[str, tuple[str, tuple[int, ...], str]] = {
    "a position beyond the columns": ("lots", (-BOUND - 2, -1), "account small 0: a position of more than 4095 lots"),
    "two that cancel out": ("lots", (BOUND + 1, -BOUND - 1), "account small 0: a position of more than 4095 lots"),
    "no absolute value": ("lots", (-(2**63), 0), "account small 0: a position of more than 4095 lots"),
    "a debt that nobody may have": ("balances", (10, -3), "account small 1: a negative balance"),
}


@pytest.mark.parametrize("case", WIDE)
def test_v5_a_book_that_columns_do_not_hold_is_refused_whoever_makes_them(case: str) -> None:
    """Columns hold positions modulo a power of two: cut off in books and columns alike, they would agree."""
    name, values, reason = WIDE[case]
    venue = venue_of(net=case == "two that cancel out")
    books = changed(venue.books[0], name, *values)
    with pytest.raises(InputError, match=reason):
        build_witness(venue.statement, [books], venue.tags())
    with (
        preparing(venue.snapshot, venue.statement, 2, lying(masking)) as makers,
        pytest.raises(InputError, match=reason),
    ):
        build_witness(venue.statement, [books], venue.tags(), maker=makers)


def test_columns_hold_no_part_of_a_book() -> None:
    venue = venue_of()
    template, books, none = venue.statement.templates[0], venue.books[0], np.zeros(2, dtype=np.bool_)
    columns, _ = class_witness(template, books, none, assess(template, books))
    assert holds_books(template, books, none, columns)
    empty = changed(books, "balances", 0, 0)
    columns, _ = class_witness(template, empty, none, assess(template, empty))
    assert not holds_books(template, changed(books, "balances", -3, 0), none, columns)
    with pytest.raises(InputError, match="a position too large"):
        _leg_columns(template, changed(books, "lots", BOUND + 1, 0))
    check_books(template, changed(books, "lots", BOUND, -BOUND))
