"""Many accounts at once: what ``margin_many`` and ``assign_many`` say is what the rules for one book say of each."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.typed import Passed

from zkmargin import margin_many, margin_report
from zkmargin.circuits import build_circuit
from zkmargin.circuits.language.witness import assign
from zkmargin.circuits.many import CircuitProducts, assign_blocks, assign_many
from zkmargin.engine.book import BookLots
from zkmargin.engine.books import Books, Products
from zkmargin.engine.claims import Claim
from zkmargin.engine.components import REQUIREMENTS
from zkmargin.engine.example import example_market
from zkmargin.engine.margin import claim_slack
from zkmargin.engine.policy import load_policy, policy_names
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError
from zkmargin.integers import Integers, first_smallest, flag, largest, quotient_up, ranked, smallest
from zkmargin.risk.margins import MarginModel

TIME = "2026-11-20T12:00:00Z"
#: NSE's indices are not in the example market; of Binance's brackets only those of one contract are.
POLICIES = [name for name in policy_names() if name not in ("span-nse", "binance-tiered")]
BIG = st.one_of(st.integers(-9, 9), st.integers(-(2**64), 2**64), st.integers(-(2**200), 2**200))


@pytest.fixture(scope="module", params=POLICIES)
def snapshot(request: pytest.FixtureRequest) -> Snapshot:
    policy, market = load_policy(request.param), example_market(TIME)
    held = tuple(asset for asset in market.assets if asset.name in policy.haircuts.assets)
    # brackets are of futures and perpetuals alone
    kinds = {"perpetual"} if request.param == "hyperliquid" else {i.kind for i in market.instruments}
    listed = tuple(instrument for instrument in market.instruments if instrument.kind in kinds)
    return build_snapshot(market.model_copy(update={"assets": held, "instruments": listed}), policy)


def random_books(snapshot: Snapshot, seed: int, count: int) -> list[BookLots]:
    draw = random.Random(seed)  # noqa: S311 - a test's books
    books = []
    for _ in range(count):
        lots = [0] * len(snapshot.instruments)
        most = draw.choice([3, 10**3, 2**snapshot.layout.position_bits - 1])
        for slot in draw.sample(range(len(lots)), min(draw.choice([0, 1, 4, 16, len(lots)]), len(lots))):
            lots[slot] = draw.randint(-most, most)
        balances = [
            draw.choice([0, draw.randint(1 - 2**slot.bits if slot.negative_allowed else 0, 2**slot.bits - 1)])
            for slot in snapshot.collateral
        ]
        books.append(BookLots(tuple(lots), tuple(balances)))
    return books


def table(books: list[BookLots]) -> Books:
    return Books.dense(
        np.array([book.positions for book in books], dtype=np.int64),
        np.array([book.collateral for book in books], dtype=object),
    )


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_number_is_that_of_the_report(snapshot: Snapshot, requirement: str) -> None:
    books = random_books(snapshot, 7, 24)
    margins = margin_many(snapshot, books, requirement)
    dense = margin_many(snapshot, table(books), requirement)
    for name in ("mark_to_market", "collateral", "equity", "total"):
        assert getattr(margins, name).tolist() == getattr(dense, name).tolist()
    for a, book in enumerate(books):
        report = margin_report(snapshot, book, requirement)
        claim = margins.largest_claim(a)
        assert (
            margins.mark_to_market[a],
            margins.collateral[a],
            margins.equity[a],
            margins.total[a],
            margins.surplus[a],
            margins.collateral_to_add(a),
            None if claim is None else f"{claim.num}/{claim.den}",
        ) == (
            report.equity.mark_to_market,
            report.equity.collateral,
            report.equity.total,
            report.total,
            report.surplus,
            report.collateral_to_add,
            report.largest_claim,
        )
        charges = {group.group: group.charge for group in report.groups}
        for name, amounts in margins.charges.items():
            assert amounts[a] == charges.get(name, 0)
        assert all(charge == 0 for name, charge in charges.items() if name not in margins.charges)


def test_every_hidden_integer_is_that_of_one_witness(snapshot: Snapshot) -> None:
    claim = Claim(5, 4, "maintenance")
    circuit = build_circuit(snapshot, claim)
    books = random_books(snapshot, 11, 16)
    held = 0
    for many in (assign_many(circuit, Books.of(books)), assign_many(circuit, table(books))):
        assert len(many) == len(books)
        for a, book in enumerate(books):
            shortfall = max(0, -claim_slack(snapshot, book, claim))
            assert many.shortfalls.tolist()[a] == shortfall
            if shortfall:
                with pytest.raises(ConstraintError):
                    assign(circuit, book.positions, book.collateral)
                with pytest.raises(InputError, match="no witness"):
                    many.witness(a)
            else:
                assert many.witness(a) == assign(circuit, book.positions, book.collateral)
                held += 1
    assert 0 < held < 2 * len(books)


def test_digits_are_those_of_the_columns(snapshot: Snapshot) -> None:
    circuit = build_circuit(snapshot, Claim(1, 1))
    rich = tuple(2**slot.bits - 1 for slot in snapshot.collateral)
    books = [BookLots((q,) * 2 + (0,) * (len(snapshot.instruments) - 2), rich) for q in (-1, 2)]
    many = assign_many(circuit, Books.of(books))
    for v, variable in enumerate(circuit.bounded):
        digits = many.digits(v)
        assert digits.shape == (variable.digits, 2)
        assert digits.min() >= 0
        assert digits.max() < circuit.n
        whole = [sum(int(d) << (circuit.k * i) for i, d in enumerate(column)) for column in digits.T]
        assert whole == many.bounded(v).tolist()


def test_blocks_are_the_whole_in_parts(snapshot: Snapshot) -> None:
    books = random_books(snapshot, 3, 11)
    model = MarginModel(snapshot)
    budget = 3 * model.products.bytes_per_account
    assert model.products.block(budget) == 3
    whole, parts = model.margins(books), model.margins(books, memory=budget)
    assert whole.total.tolist() == parts.total.tolist()
    assert {g: c.tolist() for g, c in whole.charges.items()} == {g: c.tolist() for g, c in parts.charges.items()}
    found = list(assign_blocks(model.circuit, Books.of(books), budget))
    assert [(start, len(block)) for start, block in found] == [(0, 3), (3, 3), (6, 3), (9, 2)]
    assert [x for _, block in found for x in block.shortfalls.tolist()] == [
        max(0, -claim_slack(snapshot, book, Claim(1, 1))) for book in books
    ]


def test_no_accounts_and_accounts_without_legs(snapshot: Snapshot) -> None:
    none = margin_many(snapshot, [])
    assert (len(none), none.total.tolist()) == (0, [])
    empty = BookLots((0,) * len(snapshot.instruments), (0,) * len(snapshot.collateral))
    margins = margin_many(snapshot, [empty])
    assert (margins.total.tolist(), margins.equity.tolist()) == ([0], [0])
    assert margins.slack(Claim(1, 1)).tolist() == [0]
    with pytest.raises(InputError, match="of the initial requirement"):
        margins.slack(Claim(1, 1, "maintenance"))


# --- integers and products that never wrap ------------------------------------------------------------------


@given(st.lists(st.tuples(BIG, BIG, BIG), min_size=1, max_size=5), BIG, st.integers(1, 2**70))
def test_vectors_of_integers_are_integers(rows: list[tuple[int, int, int]], by: int, divisor: int) -> None:
    a, b, c = (Integers.of([row[i] for row in rows]) for i in range(3))
    lines: list[tuple[Passed, Passed]] = [
        (a + b, [x + y for x, y, z in rows]),
        (a - b, [x - y for x, y, z in rows]),
        (by - a, [by - x for x, y, z in rows]),
        (a * b, [x * y for x, y, z in rows]),
        (by * a, [by * x for x, y, z in rows]),
        (a + by, [x + by for x, y, z in rows]),
        (a // divisor, [x // divisor for x, y, z in rows]),
        (quotient_up(a, divisor), [-(-x // divisor) for x, y, z in rows]),
        (largest(a, b, by, c), [max(x, y, by, z) for x, y, z in rows]),
        (smallest(a, b, c), [min(x, y, z) for x, y, z in rows]),
        (flag(a > b), [int(x > y) for x, y, z in rows]),
        (flag(a >= by), [int(x >= by) for x, y, z in rows]),
        (flag(a < b), [int(x < y) for x, y, z in rows]),
        (flag(a <= by), [int(x <= by) for x, y, z in rows]),
        (ranked([a, b, by, c], 1), [sorted([x, y, by, z], reverse=True)[1] for x, y, z in rows]),
        (first_smallest([a, b, c], 1), [int([x, y, z].index(min(x, y, z)) == 1) for x, y, z in rows]),
        ((a * 0 + 3).tight(), [3 for x, y, z in rows]),
    ]
    for vector, expected in lines:
        assert vector.tolist() == expected
        assert all(abs(x) <= vector.top for x in vector.tolist())
        assert vector.array.dtype == object or vector.top < 2**63
    for one in (largest(1, by), smallest(1, by), ranked([1, by], 0), flag(by > 1)):
        assert type(one) is int


def test_a_vector_is_neither_true_nor_divided_by_nothing() -> None:
    vector = Integers.of([1, 2])
    with pytest.raises(TypeError, match="neither true nor false"):
        max(vector, 1)
    with pytest.raises(ValueError, match="positive"):
        _ = vector // 0
    with pytest.raises(TypeError):
        hash(vector)
    assert "1" not in repr(vector).replace("[2]", "")


@given(st.data())
def test_products_are_exact_for_integers_of_any_size_in_64_bits(data: st.DataObject) -> None:
    rows, slots, accounts = (data.draw(st.integers(1, 5)) for _ in range(3))
    size = st.sampled_from([3, 2**20, 2**40, 2**62])
    coefficients = [[data.draw(st.integers(-(m := data.draw(size)), m)) for _ in range(slots)] for _ in range(rows)]
    lots = [[data.draw(st.integers(-(m := data.draw(size)), m)) for _ in range(slots)] for _ in range(accounts)]
    products = Products(np.array(coefficients, dtype=np.int64))
    empty = np.zeros((accounts, 0), dtype=np.int64)
    sparse = Books.of([BookLots(tuple(row), ()) for row in lots])
    for books in (sparse, Books.dense(np.array(lots, dtype=np.int64), empty)):
        for side, of in (("positions", int), ("long", lambda q: max(q, 0)), ("short", lambda q: max(-q, 0))):
            found = products.of(books, side)  # type: ignore[arg-type]
            assert [vector.tolist() for vector in found] == [
                [sum(of(q) * c for q, c in zip(row, line, strict=True)) for row in lots] for line in coefficients
            ]


@pytest.mark.parametrize("entry", [0, 1, -1, 3])
@pytest.mark.parametrize("lots", [2**50, 2**51 - 1, 2**51, 2**52, 2**60, -(2**61)])
def test_products_of_a_small_matrix_with_large_positions(entry: int, lots: int) -> None:
    # cut into one piece the positions would leave nothing of a double for the matrix
    for slots in (1, 3, 8):
        matrix, table = np.full((1, slots), 0, np.int64), np.full((2, slots), 0, np.int64)
        matrix[0, -1], table[1, -1] = entry, lots
        (found,) = Products(matrix).of(Books.dense(table, np.zeros((2, 0), np.int64)), "positions")
        assert found.tolist() == [0, entry * lots]


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts", "slots", "lots", "collateral", "reason"),
    [
        ([0, 2], [1, 0], [1, 1], [[0]], "ascending order"),
        ([0, 2], [1, 1], [1, 1], [[0]], "ascending order"),
        ([0, 1], [-1], [1], [[0]], "ascending order"),
        ([0, 1, 1], [1], [1], [[0]], "where the legs"),
        ([0, 2], [1], [1], [[0]], "where the legs"),
        ([1, 1], [1], [1], [[0]], "where the legs"),
        ([0, 1], [1], [1, 2], [[0]], "2 quantities for 1"),
        ([0, 1], [1], [1.5], [[0]], "not integers"),
        ([0, 1], [1], [2**63], [[0]], "outside 64 bits"),
        ([0, 1], [1], [1], [0], "1 dimensions, not 2"),
    ],
)
def test_books_that_are_none(
    starts: list[int], slots: list[int], lots: list[int], collateral: list[list[int]], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        Books.sparse(starts, slots, lots, collateral)


def test_books_of_another_snapshot_or_beyond_its_bounds() -> None:
    snapshot = build_snapshot(example_market(TIME), load_policy("default"))
    slots, assets = len(snapshot.instruments), len(snapshot.collateral)
    fine = [0] * assets
    too_many = 2**snapshot.layout.position_bits
    usdt = next(j for j, slot in enumerate(snapshot.collateral) if not slot.negative_allowed)
    owed = [-1 if j == usdt else 0 for j in range(assets)]
    rich = [2 ** snapshot.collateral[0].bits, *fine[1:]]
    for books, reason, field in (
        (Books.sparse([0, 1], [slots], [1], [fine]), "another number of slots", None),
        (Books.sparse([0, 1], [0], [1], [fine[1:]]), "another number of slots", None),
        (Books.dense([[0] * (slots - 1)], [fine]), "another number of slots", None),
        (Books.sparse([0, 1, 2], [0, 0], [1, too_many], [fine, fine]), "lots or more", "account 1"),
        (Books.dense([[0] * slots, [-too_many] + [0] * (slots - 1)], [fine, fine]), "lots or more", "account 1"),
        (Books.sparse([0, 0, 0], [], [], [fine, owed]), "negative where none may be", "account 1"),
        (Books.sparse([0, 0], [], [], [rich]), "beyond its bound", "account 0"),
    ):
        with pytest.raises(InputError, match=reason) as caught:
            margin_many(snapshot, books)
        assert field is None or (caught.value.field or "").startswith(field)
        assert str(too_many) not in str(caught.value)
    with pytest.raises(InputError, match="2 rows of positions and 1"):
        Books.dense([[1], [1]], [[0]])
    circuit = build_circuit(snapshot, Claim(1, 1))
    with pytest.raises(InputError, match="not of this circuit"):
        assign_many(circuit, Books.sparse([0, 1], [slots], [1], [fine]))
    with pytest.raises(InputError, match="larger than the circuit proves"):
        assign_many(circuit, Books.sparse([0, 1], [0], [2**40], [fine]))
    with pytest.raises(InputError, match="initial or maintenance"):
        margin_many(snapshot, [], "final")
    with pytest.raises(ValueError, match="int64 matrix"):
        Products(np.zeros(3))  # type: ignore[arg-type]


def test_books_come_back_and_show_no_numbers() -> None:
    books = [BookLots((0, 5, -7), (3,)), BookLots((0, 0, 0), (4,)), BookLots((1, 0, 0), (2**80,))]
    sparse = Books.of(books)
    assert [sparse.lots_of(a, 3) for a in range(3)] == books
    assert [sparse.part(1, 3).lots_of(a, 3) for a in range(2)] == books[1:]
    dense = table(books)
    assert [dense.lots_of(a, 3) for a in range(3)] == books
    assert [dense.part(1, 3).lots_of(a, 3) for a in range(2)] == books[1:]
    assert repr(sparse) == "Books(3 accounts)"


def test_the_products_of_a_circuit_are_reused(snapshot: Snapshot) -> None:
    circuit = build_circuit(snapshot, Claim(1, 1))
    products = CircuitProducts(circuit)
    books = Books.of(random_books(snapshot, 5, 3))
    assert assign_many(circuit, books, products).products is products
    assert repr(assign_many(circuit, books, products)) == "ManyWitness(3 accounts)"
