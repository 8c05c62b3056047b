"""Statements that two verifiers judge: the product, and the one that was written from the documents alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType

from support import lab
from support.typed import JsonObject, Keywords, Passed, Unchecked
from zkmargin.accounts import Commitment, commit_book
from zkmargin.engine.book import BookLots
from zkmargin.engine.claims import Claim
from zkmargin.engine.example import example_market
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import ZkMarginError
from zkmargin.prover import prove
from zkmargin.verifier import Statement, verify

MET = Claim(1, 1, "initial")
CONTEXT = b"to: bank 7; nonce: 12"
LIMITS = (
    "headroom >= 1000.5",
    "net-exposure BTC <= 120.25",
    "gross-exposure ETH <= 4000",
    "position BTC-PERPETUAL <= 50.5",
    "collateral USDC >= 250000",
)


@dataclass(frozen=True)
class Case:
    """Everything a verifier is given."""

    snapshot: Snapshot
    commitments: tuple[Commitment, ...]
    proof: bytes
    claim: Claim = MET
    context: bytes = b""
    limits: tuple[str, ...] = ()

    def first(self) -> bytes | None:
        """The statement digest, or None where the product rejects."""
        try:
            limits = [Limit.parse(text) for text in self.limits]
            statement = Statement.of(self.snapshot, self.commitments, self.claim, context=self.context, limits=limits)
            return bytes(verify(statement, self.proof).statement_digest)
        except ZkMarginError:
            return None

    def second(self, module: ModuleType) -> bytes | None:
        """The same from the second verifier."""
        try:
            digest = module.verify(
                self.snapshot.to_bytes(),
                [commitment.to_bytes() for commitment in self.commitments],
                f"{self.claim.num}/{self.claim.den}",
                self.proof,
                requirement=self.claim.requirement,
                context=self.context,
                limits=self.limits,
            )
        except module.Rejected:
            return None
        return bytes(digest)

    def verdict(self, module: ModuleType) -> bool:
        """Whether it is accepted; both verifiers must agree."""
        first, second = self.first(), self.second(module)
        assert first == second
        return first is not None


def made(
    snapshot: Snapshot,
    lots: BookLots,
    *,
    parts: int = 1,
    claim: Claim = MET,
    context: bytes = CONTEXT,
    limits: tuple[str, ...] = (),
) -> Case:
    """A proof about a book that is held in several places: the whole in one, empty ones beside it."""
    empty = BookLots((0,) * len(lots.positions), (0,) * len(lots.collateral))
    openings = [commit_book(snapshot, lots, alias="one")]
    openings += [commit_book(snapshot, empty, alias=f"venue ä{i}") for i in range(1, parts)]
    commitments = [opening.commitment() for opening in openings]
    kept = [Limit.parse(text) for text in limits]
    proof = prove(Statement.of(snapshot, commitments, claim, context=context, limits=kept), lots, openings)
    return Case(snapshot, tuple(opening.commitment() for opening in openings), proof, claim, context, limits)


@cache
def small_market() -> Market:
    """A part of the example market: every kind of instrument of both underlyings."""
    market = example_market("2026-11-20T12:00:00Z")
    kept: list[Unchecked] = []
    for name in ("BTC", "ETH"):
        own = [x for x in market.instruments if x.underlying == name]
        kept += [x for x in own if x.kind != "option"][:4] + [x for x in own if x.kind == "option"][::40]
    fields = {name: getattr(market, name) for name in Market.model_fields}
    return Market.model_validate({**fields, "instruments": tuple(kept)})


@cache
def small_snapshot() -> Snapshot:
    """The default policy over it."""
    return build_snapshot(small_market(), load_policy("default"), domain_size=64)


@cache
def small_book() -> BookLots:
    """Long and short, futures and options, and one balance that is owed nothing."""
    snapshot = small_snapshot()
    positions = [(-1) ** i * (i % 5) for i in range(len(snapshot.instruments))]
    return BookLots(tuple(positions), (500_000_000, 0, 12)[: len(snapshot.collateral)])


SHAPES: dict[str, JsonObject] = {
    "segments of both roles": {"groups": [0, 1] * 9, "assets": 17},
    "one segment, filled to the last listed row": {"groups": [0, 1, 0] * 5, "assets": 15},
    "not range-proved": {"groups": [0, 1, 0], "assets": 2, "charges": None, "range_proved": False},
    "not range-proved, segments": {"groups": [0] * 16, "assets": 1, "charges": None, "range_proved": False},
    "an added minimum": {"groups": [0, 1], "assets": 1, "mode": "added"},
    "a group without losses": {"groups": [0, 1], "assets": 1, "risk": [[3, -5], [0, 0]], "charges": [2, 0]},
    "no instruments": {"groups": [], "assets": 1, "risk": [], "charges": None},
}


def shaped(*, groups: list[int], assets: int, n: int = 16, **other: Passed) -> Snapshot:
    """A small snapshot made by hand."""
    count, bits = len(groups), 2 * (n.bit_length() - 1)
    given: Keywords = {
        "n": n,
        "bits": bits,
        "groups": groups,
        "risk": [[(7 * i) % 11 - 5, (5 * i) % 13 - 6] for i in range(count)],
        "charges": [i % 3 for i in range(count)],
        "marks": [i % 4 for i in range(count)],
        "assets": [(90_000 - j % 3, 100_000, bits, j % 2 == 0) for j in range(assets)],
    }
    snapshot: Snapshot = lab.snapshot(**{**given, **other})
    return snapshot
