"""Limits: further public claims; the circuit keeps exactly what the engine says."""

from __future__ import annotations

from fractions import Fraction

import pytest

from zkmargin.accounts import commit_book
from zkmargin.circuits import build_circuit
from zkmargin.circuits.books import margin_witness
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.limits import Limit
from zkmargin.engine.margin import limit_slack
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ConstraintError, InputError, ZkMarginError
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

CLAIM = Claim(1, 1, "initial")


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(example_market("2026-11-20T12:00:00Z"), load_policy("default"), domain_size=512)


@pytest.fixture(scope="module")
def lots(snapshot: Snapshot) -> BookLots:
    return to_lots(Book.model_validate(example_book(example_market("2026-11-20T12:00:00Z"))), snapshot)


def tight(snapshot: Snapshot, lots: BookLots, kind: str, subject: str) -> tuple[Limit, Limit]:
    """The tightest limit that a book keeps, and the next tighter one: one unit of the compared integers apart."""
    relation = ">=" if kind in ("headroom", "collateral") else "<="
    loose = Limit.parse(f"{kind} {subject} {relation} {0 if relation == '>=' else 10**9}")
    slack = limit_slack(loose, snapshot, lots)
    unit = {"headroom": Fraction(1, 10**13), "net-exposure": Fraction(1, 10**9), "gross-exposure": Fraction(1, 10**9)}
    slots = {s.id: s.lot for s in snapshot.instruments} | {s.asset: s.lot for s in snapshot.collateral}
    step = unit.get(kind) or Fraction(slots[subject])
    sign = 1 if relation == ">=" else -1
    return (
        Limit(kind, subject, loose.bound + sign * slack * step),
        Limit(kind, subject, loose.bound + sign * (slack + 1) * step),
    )


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("headroom", ""),
        ("net-exposure", "BTC"),
        ("gross-exposure", "ETH"),
        ("position", "BTC-PERPETUAL"),
        ("collateral", "USDC"),
    ],
)
def test_a_limit_holds_at_the_boundary_and_not_one_unit_beyond(
    snapshot: Snapshot, lots: BookLots, kind: str, subject: str
) -> None:
    holds, fails = tight(snapshot, lots, kind, subject)
    assert limit_slack(holds, snapshot, lots) == 0
    assert limit_slack(fails, snapshot, lots) == -1
    margin_witness(snapshot, CLAIM, lots, [holds])
    with pytest.raises(ConstraintError, match="the limit is not kept") as caught:
        margin_witness(snapshot, CLAIM, lots, [fails])
    assert caught.value.rule == kind
    assert caught.value.shortfall == 1


def test_the_first_limit_that_is_not_kept_is_named(snapshot: Snapshot, lots: BookLots) -> None:
    holds, fails = tight(snapshot, lots, "collateral", "USDC")
    with pytest.raises(ConstraintError, match=r"the limit is not kept: collateral") as caught:
        margin_witness(snapshot, CLAIM, lots, [tight(snapshot, lots, "headroom", "")[0], holds, fails])
    assert caught.value.shortfall == 1


def test_limits_are_part_of_the_statement(snapshot: Snapshot, lots: BookLots) -> None:
    limits = [Limit.parse("net-exposure BTC <= 1000"), Limit.parse("collateral USDC >= 1000")]
    opening = commit_book(snapshot, lots)
    proof = prove(Statement.of(snapshot, [opening.commitment()], CLAIM, limits=limits), lots, [opening])
    parts = [opening.commitment()]
    assert verify(Statement.of(snapshot, parts, CLAIM, limits=limits), proof).statement.limits == tuple(limits)
    for other in ([], limits[:1], [*limits[:1], Limit.parse("collateral USDC >= 1001")], limits[::-1]):
        with pytest.raises(ZkMarginError) as caught:
            verify(Statement.of(snapshot, parts, CLAIM, limits=other), proof)
        assert caught.value.exit_code == 1


def test_every_limit_adds_its_own_equations(snapshot: Snapshot) -> None:
    plain = build_circuit(snapshot, CLAIM)
    limited = build_circuit(snapshot, CLAIM, [Limit.parse("net-exposure BTC <= 10"), Limit.parse("headroom >= 1")])
    assert [e.rule for e in limited.equations[len(plain.equations) :]] == [
        "limit net-exposure",
        "limit net-exposure",
        "limit headroom",
    ]
    assert plain.digest != limited.digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "headroom",
        "headroom BTC >= 1",
        "headroom <= 1",
        "net-exposure <= 1",
        "position X >= 1",
        "collateral USDC <= 1",
        "headroom >= -1",
        "headroom >= 1e3",
        "headroom >= NaN",
        "leverage BTC <= 3",
        "headroom >= " + "9" * 60,
        "headroom >= 1/0",
        "headroom >= 1/-2",
    ],
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Limit.parse(text)


def test_an_unknown_subject_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(InputError, match="no DOGE"):
        build_circuit(snapshot, CLAIM, [Limit.parse("net-exposure DOGE <= 1")])


def test_too_many_limits_are_refused(snapshot: Snapshot) -> None:
    with pytest.raises(InputError, match="at most"):
        build_circuit(snapshot, CLAIM, [Limit.parse(f"headroom >= {i}") for i in range(65)])


def test_text_round_trip() -> None:
    for text in ("headroom >= 100", "net-exposure BTC <= 241/2", "position BTC-PERPETUAL <= 50"):
        assert str(Limit.parse(text.replace("241/2", "120.5"))) == text
        assert Limit.parse(text) == Limit.parse(text.replace("241/2", "120.5"))


def test_a_quantity_past_64_bits_cannot_be_committed(snapshot: Snapshot, lots: BookLots) -> None:
    wide = BookLots(lots.positions, (2**63, *lots.collateral[1:]))
    with pytest.raises(InputError, match="cannot be committed"):
        commit_book(snapshot, wide)
