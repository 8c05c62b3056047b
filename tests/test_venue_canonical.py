"""What workers make is what everybody would make: a coordinator looks at every book, charge and tag itself."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import lab, venue_policies
from support.typed import Passed
from support.venue_lab import SMALL, Account, Local, Venue, blinders, spec

from zkmargin.app.venue_notes import VenueSecret, index_of
from zkmargin.circuits.venue import BlockTemplate
from zkmargin.formats import InputError, ProofFormatError, VerificationError
from zkmargin.prover.venue import workers
from zkmargin.prover.venue.answers import WrongAnswerError
from zkmargin.prover.venue.blocks import (
    ClassBooks,
    ClassWitness,
    _leg_columns,
    assess,
    check_books,
    class_witness,
    holds_books,
    least_charges,
)
from zkmargin.prover.venue.checking import verify_shared
from zkmargin.prover.venue.messages import pack, unpack
from zkmargin.prover.venue.prove import prove_venue
from zkmargin.prover.venue.values import _exact_sums
from zkmargin.prover.venue.witness import build_witness
from zkmargin.prover.venue.workers import VenueWorkers, Worker, preparing
from zkmargin.verifier.venue.terms import DenseAccount
from zkmargin.verifier.venue.verify import verify_venue

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


def raised(template: BlockTemplate, columns: ClassWitness, t: int) -> None:
    """A charge of account t is one larger than it need be, and all that depends on it follows."""
    integers, k, ratio = template.integers, template.options.digit_bits, template.spec.ratio
    packed = columns.digits[:, template.packed_offset :]
    assert ratio is not None

    def add(name: str, more: int) -> None:
        v = integers.index(name)
        at = [divmod(z, template.spec.block) for z in range(integers.starts[v], integers.starts[v + 1])]
        value = sum(int(packed[0, column, b, t]) << (k * d) for d, (column, b) in enumerate(at)) + more
        assert 0 <= value < 1 << (k * len(at))
        for d, (column, b) in enumerate(at):
            packed[0, column, b, t] = (value >> (k * d)) & ((1 << k) - 1)

    for name in ["charge 0", *(x.name for x in integers.bounded if x.name.startswith("slack 0 "))]:
        add(name, 1)
    add("claim", -ratio.num * (template.options.den // ratio.den) * template.rules.factor_bp)


def answering(venue: Venue, change: Callable[[BlockTemplate, ClassWitness], None]) -> type[Local]:
    """Workers that change the columns that they made."""

    class Liar(Local):
        def ask(self, request: bytes) -> bytes:
            answer, (head, _) = super().ask(request), unpack(request)
            if head["round"] != "columns":
                return answer
            made, arrays = unpack(answer)
            columns = ClassWitness(*(array.copy() for array in arrays))
            change(venue.statement.templates[head["kind"]], columns)
            return pack({"shortfalls": made["shortfalls"]}, [columns.ids, columns.group, columns.digits])

    return Liar


def test_v5_a_worker_that_makes_a_larger_charge_than_the_least_is_named() -> None:
    """A proof of it verifies, and no note could be made of it: the venue has the books, and not that charge."""
    venue = venue_of()
    witness, template = venue.witness(), venue.statement.templates[0]
    raised(template, witness.classes[0], 0)
    prove_venue(venue.statement, witness, blinders=blinders())
    with (
        preparing(venue.snapshot, venue.statement, 2, answering(venue, lambda t, mine: raised(t, mine, 0))) as makers,
        pytest.raises(WrongAnswerError, match=r"worker [12] answered wrongly: charges that are not the least"),
    ):
        build_witness(venue.statement, venue.books, venue.tags(), maker=makers)


def test_each_account_s_charge_is_the_least() -> None:
    """Of 0, and of one or all of many blocks of a set; whichever digit of a slack is not 0."""
    shape = spec(accounts=20, legs=1, slots=1, block=2, position_bits=8, charge_bits=24)
    accounts: list[Account] = [(((0, ((0, held % 3 - 1),)),), (4_000, 10)) for held in range(20)]
    venue = Venue([(shape, accounts)], n=64, srs=lab.known_tau(powers=200), rules={"bits": 6})
    template, columns = venue.statement.templates[0], venue.witness().classes[0]
    assert least_charges(template, columns)
    for t in (0, 1, 19):
        larger = ClassWitness(columns.ids, columns.group, columns.digits.copy())
        raised(template, larger, t)
        assert not least_charges(template, larger)


def test_v5_of_accounts_with_a_circuit_of_their_own_each_hint_is_made_again() -> None:
    shape = spec("all", accounts=2, legs=3, slots=1, block=16, position_bits=6)
    venue = Venue([(shape, venue_policies.BOOKS[:2])], market=venue_policies.snapshot("tims", n=16))

    def other(template: BlockTemplate, columns: ClassWitness) -> None:
        books = ("held", "owed")  # which are looked at in any class
        v = next(v for v, x in enumerate(template.integers.bounded) if not x.name.startswith(books))
        column, b = divmod(template.integers.starts[v], template.spec.block)
        columns.digits[0, template.packed_offset + column, b, 0] ^= 1

    for change, wrong in ((other, True), (lambda *_: None, False)):
        with preparing(venue.snapshot, venue.statement, 2, answering(venue, change)) as makers:
            if wrong:
                with pytest.raises(WrongAnswerError, match="charges that are not the least"):
                    build_witness(venue.statement, venue.books, venue.tags(), maker=makers)
            else:
                build_witness(venue.statement, venue.books, venue.tags(), maker=makers)


def test_no_worker_is_asked_for_tags() -> None:
    """No equation reads a tag: a wrong one would be in a proof that verifies, and no customer would get a note."""
    venue = venue_of()
    asked: list[str] = []

    class Seen(Local):
        def ask(self, request: bytes) -> bytes:
            asked.append(unpack(request)[0]["round"])
            return super().ask(request)

    with preparing(venue.snapshot, venue.statement, 2, Seen) as makers:
        build_witness(venue.statement, venue.books, venue.tags(), maker=makers)
    assert set(asked) == {"open", "examine", "columns"}
    assert "error" in unpack(Worker().answer(pack({"round": "tags", "names": [], "nonces": []})))[0]


def test_one_worker_does_not_check_its_own_proof() -> None:
    """Nobody else's word is in it: the coordinator checks all of it."""
    venue = Venue([(spec(), SMALL)])
    data = venue.prove()

    class Asked:
        def check(self, _points: bytes, _scalars: Sequence[int]) -> bytes:
            raise AssertionError

    for checkers in ([Asked()], []):
        assert verify_shared(venue.statement, data, checkers).record == verify_venue(venue.statement, data).record
        with pytest.raises((VerificationError, ProofFormatError)):
            verify_shared(venue.statement, data[:-40] + bytes([data[-40] ^ 1]) + data[-39:], checkers)


def test_weighted_sums_of_many_wide_digits_are_exact() -> None:
    """Beyond 2^15 of 22 bits a sum of doubles is not."""
    count = 3 << 15
    limbs = np.full((count, 2), (1 << 16) - 1, dtype=np.uint16)
    matrix = np.full((count, 2), (1 << 22) - 1, dtype=np.int64)
    limbs[1:, 0] -= 2
    matrix[:, 1] = 1
    rows, columns = limbs.T.tolist(), matrix.T.tolist()
    expected = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in rows]
    assert _exact_sums(limbs, matrix).tolist() == expected
    assert max(map(max, expected)) > 1 << 53


def test_a_signal_as_workers_are_begun_finds_what_it_takes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come between any two steps."""

    class AtOnce:
        def __init__(self, clean: Callable[[], None]) -> None:
            clean()

        def close(self) -> None:
            pass

    venue = venue_of()
    monkeypatch.setattr(workers, "Ending", AtOnce)
    with VenueWorkers(venue.snapshot, venue.statement, venue.witness(), bytes(32), 2, connect=Local) as running:
        assert not Path(running._journals.name).exists()


def test_a_claim_of_a_committed_account_is_in_lowest_terms() -> None:
    assert DenseAccount(commitment="11" * 32, claim="5/4").claim == "5/4"
    with pytest.raises(InputError, match="not in lowest terms"):
        DenseAccount(commitment="11" * 32, claim="2/4")


def test_no_name_in_an_index_is_a_formula() -> None:
    names = ("=1+1", "+cell", "-2", "@sum", " =x", "account 1")
    secret = VenueSecret(
        statement="11" * 32,
        proof="11" * 32,
        inputs="11" * 32,
        seed="11" * 32,
        classes=(names,),
        nonces=dict.fromkeys(names, "11" * 16),
    )
    _, *rows = csv.reader(index_of(secret).decode().splitlines())
    assert [name for _, name in rows] == ["'=1+1", "'+cell", "'-2", "'@sum", "' =x", "account 1"]
