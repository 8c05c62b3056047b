"""Everybody in a netted account: oracles, three venues, two custodians, a market maker, a verifier.

Reached through the fixture ``parties`` (tests/conftest.py). Their keys are not secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from support.typed import JsonObject, Passed
from zkmargin.accounts import Commitment, Opening, commit_book
from zkmargin.crypto import bls
from zkmargin.crypto.keys import PublicKey, SecretSigner
from zkmargin.crypto.signatures import Scheme, module_of
from zkmargin.engine.book import Book, BookLots, to_lots
from zkmargin.engine.claims import Claim
from zkmargin.engine.decimals import format_time, parse_time
from zkmargin.engine.example import example_book, example_market
from zkmargin.engine.limits import Limit
from zkmargin.engine.market import Market
from zkmargin.engine.policy import load_policy
from zkmargin.engine.publishing.snapshots import build_snapshot
from zkmargin.engine.snapshot import Snapshot
from zkmargin.prover import prove
from zkmargin.verifier import Statement
from zkmargin.verifier.attest import Attestation, Challenge, CommitmentPayload, SnapshotPayload, Trust

TIME = "2026-01-02T03:04:05Z"
#: A minute after the snapshot was taken.
NOW = parse_time(TIME) + 60_000
ISSUED = "2026-01-02T03:00:00Z"
EXPIRES = "2026-01-02T05:00:00Z"
DESK = "clearing desk"
ACCOUNT = "market maker"
ORACLES = ("oracle 1", "oracle 2", "oracle 3")
VENUES = ("venue A", "venue B", "venue C")
CUSTODIANS = ("custodian D", "custodian E")
LIMITS = (Limit.parse("headroom >= 1"), Limit.parse("collateral USDC >= 1"))


@cache
def signer(name: str, scheme: Scheme = "bls") -> SecretSigner:
    """The key of a party, the same in every run."""
    secret = b"\0" + (name.encode() * 32)[:31]
    module = module_of(scheme)
    public = PublicKey(
        name=name,
        scheme=scheme,
        public_key=module.public_key(secret).hex(),
        possession=bls.prove_possession(secret).hex() if scheme == "bls" else None,
    )
    return SecretSigner(public, secret)


def scheme_of(name: str) -> Scheme:
    """One oracle and one custodian use Ed25519."""
    return "ed25519" if name in ("oracle 3", "custodian E") else "bls"


def signer_of(name: str) -> SecretSigner:
    """The key of a party in the scheme that it uses."""
    return signer(name, scheme_of(name))


def snapshot_rule(**changes: Passed) -> JsonObject:
    """Two of three oracles for the series "main" under the shipped policy."""
    policy = load_policy("default").digest().hex()
    rule = {"name": "main", "signers": list(ORACLES), "threshold": 2, "max_age_seconds": 600, "policies": [policy]}
    return rule | changes


def trust_json(**changes: Passed) -> JsonObject:
    """The verifier's trust file: two of three oracles, and each venue and custodian for itself."""
    names = (*ORACLES, *VENUES, *CUSTODIANS)
    return {
        "format": Trust.FORMAT,
        "verifier": DESK,
        "beneficiary": DESK,
        "clock_skew_seconds": 5,
        "keys": [signer_of(name).public.model_dump(mode="json") for name in names],
        "snapshots": [snapshot_rule()],
        "positions": [{"name": name, "signers": [name], "threshold": 1} for name in VENUES],
        "collateral": [{"name": name, "signers": [name], "threshold": 1} for name in CUSTODIANS],
    } | changes


def trust(**changes: Passed) -> Trust:
    """``trust_json`` as a document."""
    return Trust.model_validate(trust_json(**changes))


@dataclass(frozen=True)
class World:
    """A snapshot, an account in five parts, and a proof about their sum.

    Attributes:
        openings: by party; each has one part.
        challenge: what the proof answers.
        proof: of claim 1.0 and ``LIMITS``.
    """

    market: Market
    snapshot: Snapshot
    books: dict[str, Book]
    lots: BookLots
    openings: dict[str, Opening]
    challenge: Challenge
    statement: Statement
    proof: bytes

    @property
    def commitments(self) -> list[Commitment]:
        """Each party's public part."""
        return [opening.commitment() for opening in self.openings.values()]

    def snapshot_payload(self, **changes: Passed) -> SnapshotPayload:
        """What the oracles sign."""
        payload = SnapshotPayload.of(self.snapshot, series="main", sequence=7)
        return SnapshotPayload.model_validate(payload.model_dump(mode="json") | changes)

    def commitment_payload(self, party: str, **changes: Passed) -> CommitmentPayload:
        """What a venue or custodian signs."""
        commitment = self.openings[party].commitment()
        payload = CommitmentPayload.of(
            commitment.parts[0],
            srs=commitment.srs,
            domain_size=commitment.domain_size,
            issuer=party,
            part="main",
            sequence=3,
            issued=ISSUED,
            expires=EXPIRES,
            beneficiary=DESK if party in CUSTODIANS else None,
        )
        return CommitmentPayload.model_validate(payload.model_dump(mode="json") | changes)

    def attest_snapshot(self, *signers: str, **changes: Passed) -> Attestation:
        """The snapshot, signed by the first two oracles or by others."""
        return signed(Attestation(payload=self.snapshot_payload(**changes)), *(signers or ORACLES[:2]))

    def attest(self, party: str, *, by: str | None = None, **changes: Passed) -> Attestation:
        """A party's part, signed by it or by another."""
        return signed(Attestation(payload=self.commitment_payload(party, **changes)), by or party)

    def attestations(self, **replaced: Attestation | None) -> list[Attestation]:
        """All six; one may be replaced (``snapshot``, ``venue_A`` ...), or left out with None."""
        found: dict[str, Attestation | None] = {"snapshot": self.attest_snapshot()}
        found |= {party.replace(" ", "_"): self.attest(party) for party in (*VENUES, *CUSTODIANS)}
        return [item for item in (found | replaced).values() if item is not None]


def signed(attestation: Attestation, *names: str) -> Attestation:
    """Add the signatures of parties."""
    for name in names:
        attestation = attestation.signed(signer_of(name))
    return attestation


@cache
def world() -> World:
    """The market maker's account, split over everybody, and its proof."""
    market = example_market(TIME)
    snapshot = build_snapshot(market, load_policy("default"), domain_size=512)
    book = Book.model_validate(example_book(market))
    names = sorted(book.positions)
    books = {
        venue: Book(positions={name: book.positions[name] for name in names[i :: len(VENUES)]})
        for i, venue in enumerate(VENUES)
    }
    cash = {"USDC": book.collateral["USDC"]}
    others = {asset: amount for asset, amount in book.collateral.items() if asset != "USDC"}
    books |= {CUSTODIANS[0]: Book(collateral=cash), CUSTODIANS[1]: Book(collateral=others)}
    openings = {
        party: commit_book(
            snapshot,
            to_lots(part, snapshot),
            roles=["positions" if party in VENUES else "collateral"],
            alias=ACCOUNT,
        )
        for party, part in books.items()
    }
    challenge = Challenge(
        nonce="5a" * 32, audience=DESK, issued=format_time(NOW - 20_000), deadline=format_time(NOW + 40_000)
    )
    lots, claim = to_lots(book, snapshot), Claim(1, 1)
    statement = Statement.of(
        snapshot, [o.commitment() for o in openings.values()], claim, context=challenge.context, limits=LIMITS
    )
    proof = prove(statement, lots, list(openings.values()))
    return World(market, snapshot, books, lots, openings, challenge, statement, proof)
