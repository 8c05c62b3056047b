"""Everything that proofs are made and accepted from, for the tests of the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from benchmarks.attested import attested_parts, new_signer
from zkmargin.accounts import Commitment, Opening, commit_book
from zkmargin.crypto.keys import SecretSigner
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import parse_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.limits import Limit
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import (
    Acceptance,
    Attestation,
    Challenge,
    Rule,
    SnapshotPayload,
    SnapshotRule,
    Trust,
    accept,
)

TIME = "2026-01-02T03:04:05Z"
NOW = 1_767_323_045_000 + 5_000
CLAIM = Claim()
LIMIT = Limit.parse("net-exposure BTC <= 1000.5")
POLICY = load_policy("default").digest().hex()


@dataclass
class World:
    """Everything that proofs are made and accepted from; few proofs, used by many tests."""

    snapshot: Snapshot
    lots: BookLots
    opening: Opening
    signers: dict[str, SecretSigner]
    trust: Trust
    challenge: Challenge
    proofs: dict[str, bytes]

    @property
    def commitment(self) -> Commitment:
        return self.opening.commitment()

    def attestations(self, sequence: int = 1, *, expires: str = "2026-01-03T00:00:00Z") -> list[Attestation]:
        oracle = Attestation(payload=SnapshotPayload.of(self.snapshot, series="main", sequence=sequence))
        parts = attested_parts(
            self.commitment,
            self.signers.__getitem__,
            beneficiary="desk",
            issued_ms=parse_time(TIME),
            expires_ms=parse_time(expires),
            sequence=sequence,
            issuers={role: role for role in ("positions", "collateral")},
        )
        return [oracle.signed(self.signers["oracle"]), *parts]

    def accepted(self, name: str = "0", *, attestations: list[Attestation] | None = None) -> Acceptance:
        """The acceptance of a proof by its context; ``challenge`` answers the challenge, with other limits too."""
        if name.startswith("challenge"):
            limits = [LIMIT] if name == "challenge limit" else []
            statement = Statement.of(
                self.snapshot, [self.commitment], CLAIM, context=self.challenge.context, limits=limits
            )
            return accept(statement, self.proofs[name], now_ms=NOW, challenge=self.challenge)
        statement = Statement.of(self.snapshot, [self.commitment], CLAIM, context=name.encode())
        if attestations is None:
            return accept(statement, self.proofs[name], now_ms=NOW)
        return accept(statement, self.proofs[name], now_ms=NOW, trust=self.trust, attestations=attestations)


@cache
def ledger_world() -> World:
    market = example_market(TIME)
    snapshot = build_snapshot(market, load_policy("default"), domain_size=512)
    lots = to_lots(Book.model_validate(example_book(market)), snapshot)
    opening = commit_book(snapshot, lots, alias="maker")
    signers = {name: new_signer(name) for name in ("oracle", "positions", "collateral")}
    trust = Trust(
        verifier="desk",
        beneficiary="desk",
        keys=tuple(signer.public for signer in signers.values()),
        snapshots=(
            SnapshotRule(name="main", signers=("oracle",), threshold=1, max_age_seconds=600, policies=(POLICY,)),
        ),
        positions=(Rule(name="positions", signers=("positions",), threshold=1),),
        collateral=(Rule(name="collateral", signers=("collateral",), threshold=1),),
    )
    challenge = Challenge.new("desk", lifetime_seconds=600, now_ms=NOW - 1000)

    def proof(context: bytes, *limits: Limit) -> bytes:
        statement = Statement.of(snapshot, [opening.commitment()], CLAIM, context=context, limits=limits)
        return prove(statement, lots, [opening])

    proofs = {name: proof(name.encode()) for name in "0123"}
    proofs["challenge"] = proof(challenge.context)
    proofs["challenge limit"] = proof(challenge.context, LIMIT)
    return World(snapshot, lots, opening, signers, trust, challenge, proofs)
