"""What the chain verifier, its layout and the curves refuse at their edges: in which words, and naming which field."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import golden
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from eth_account import Account
from py_arkworks_bls12381 import G1Point
from support import lab, venue_lab
from support.chain_lab import SERIES, chain_snapshot, joint_standard, standard
from support.lab import array

from zkmargin.accounts import Commitment
from zkmargin.circuits.chain import CLAIM_DIGITS, ChainPrices, claim_cell, digit_columns
from zkmargin.crypto import g2_powers, group, secp256k1
from zkmargin.crypto.field import r
from zkmargin.crypto.g2_powers import g2_power
from zkmargin.crypto.scalars import scalar
from zkmargin.crypto.srs import embedded
from zkmargin.engine.components.base import PublishedPart
from zkmargin.engine.components.gain_offset import Family, OffsetClass, PublishedGainOffset
from zkmargin.engine.components.haircuts import CollateralTier, PublishedHaircuts
from zkmargin.engine.snapshot import Snapshot
from zkmargin.formats import InputError, ProofFormatError, SetupError, VerificationError, keccak256
from zkmargin.verifier import Accepted
from zkmargin.verifier.chain import chain_context, decode_chain_proof, make_table, verify_chain
from zkmargin.verifier.chain.argument import transcript_of
from zkmargin.verifier.chain.closed_forms import DOMAIN
from zkmargin.verifier.chain.joint import JointStatement, verify_joint
from zkmargin.verifier.chain.joint_proof import JointTranscript, decode_joint_proof
from zkmargin.verifier.chain.transcript import ChainChallenges, ChainTranscript, Rounds
from zkmargin.verifier.chain.words import decode_point, label, point_bytes
from zkmargin.verifier.protocols import AnyStatement, verify_any_each
from zkmargin.verifier.venue.verify import VenueAccepted

FOLDER = Path(__file__).parent / "data" / "golden"
PROOF = (FOLDER / "chain" / "2.proof").read_bytes()
JOINT = (FOLDER / "chain" / "joint.proof").read_bytes()
SECRET = (77).to_bytes(32, "big")


# --- challenges -------------------------------------------------------------------------------------------------------


def poles(c: ChainChallenges) -> Iterator[ChainChallenges]:
    """Challenges at which a closed form or a divisor has no value."""
    for row in (0, 40, 323):
        yield replace(c, zeta=DOMAIN.elements[row])
    yield replace(c, zeta=c.rho * DOMAIN.elements[7] % r)
    yield replace(c, x=c.zeta)
    yield replace(c, x=DOMAIN.omega * c.zeta % r)


def test_a_challenge_at_a_pole_is_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    proof = decode_chain_proof(PROOF, standard(2).statement.prices.layout, embedded().digest)
    for c in poles(ChainChallenges(*transcript_of(standard(2).statement).replay(proof))):
        drawn = (c.beta, c.rho, c.chi, c.zeta, c.gamma, c.x)
        monkeypatch.setattr(ChainTranscript, "replay", lambda _, __, drawn=drawn: drawn)
        with pytest.raises(VerificationError, match="a challenge meets a pole") as refused:
            verify_chain(standard(2).statement, PROOF)
        assert refused.value.check == "challenge"


def test_a_challenge_of_a_joint_proof_at_a_pole_is_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    proof = decode_joint_proof(JOINT, 3, joint_standard(3, 2).statement.prices.layout, embedded().digest)
    for c in poles(joint_standard(3, 2).statement.transcript().replay(proof)):
        monkeypatch.setattr(JointTranscript, "replay", lambda _, __, c=c: c)
        with pytest.raises(VerificationError, match="a challenge meets a pole") as refused:
            verify_joint(joint_standard(3, 2).statement, JOINT)
        assert refused.value.check == "challenge"


def test_a_challenge_of_zero_is_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two halves that are the order of the group together: 0 in the field."""

    def hashed(data: bytes) -> bytes:
        return (bytes(32), r.to_bytes(32, "big"))[data[-1] & 1] if data[0] == 2 else keccak256(data)

    monkeypatch.setattr("zkmargin.verifier.chain.transcript.keccak256", hashed)
    with pytest.raises(VerificationError, match="a challenge is zero") as refused:
        verify_chain(standard(2).statement, PROOF)
    assert refused.value.check == "challenge"


def test_the_last_point_is_absorbed_before_weights_are_drawn() -> None:
    rounds = Rounds("zkmargin/chain/v1", table_hash=bytes(32), context=bytes(32), public=b"")
    before, last = rounds.state, b"\5" * 96
    assert rounds.round6(last) == rounds.state == keccak256(b"\1" + before + last)
    assert rounds.statement_digest == before


# --- statements, tables, words ----------------------------------------------------------------------------------------


def test_a_joint_statement_of_commitments_is_what_the_golden_proof_proves() -> None:
    parts = [one.statement.statement.parts for one in joint_standard(3, 2).cases]
    documents = [Commitment(srs=embedded().digest.hex(), domain_size=1024, parts=tuple(part)) for part in parts]
    given, first = joint_standard(3, 2).cases[0].snapshot, joint_standard(3, 2).cases[0].statement
    made = JointStatement.of(given, [[document] for document in documents], first.statement.claim, first.table)
    assert made.commitments() == joint_standard(3, 2).statement.commitments()
    assert verify_joint(made, JOINT) == verify_joint(joint_standard(3, 2).statement, JOINT)
    turned = JointStatement.of(given, [[d] for d in documents[::-1]], first.statement.claim, first.table)
    with pytest.raises((VerificationError, ProofFormatError)):
        verify_joint(turned, JOINT)


def test_a_proof_is_bytes() -> None:
    with pytest.raises(TypeError, match=r"^a proof is bytes$"):
        verify_chain(standard(2).statement, bytearray(PROOF))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^a proof is bytes$"):
        verify_joint(joint_standard(3, 2).statement, JOINT.hex())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["pinned", "price", "rows[1]"])
def test_what_is_no_point_of_a_table_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table's hash is absorbed, so its points are met only where challenges are those of the true one."""
    proof = decode_chain_proof(PROOF, standard(2).statement.prices.layout, embedded().digest)
    drawn = transcript_of(standard(2).statement).replay(proof)
    monkeypatch.setattr(ChainTranscript, "replay", lambda _, __: drawn)
    table, bad = standard(2).statement.table, "00" * 95 + "01"
    change = {"rows": (table.rows[0], bad, *table.rows[2:])} if name == "rows[1]" else {name: bad}
    with pytest.raises(InputError, match="not the coordinates of a point of the prime-order subgroup") as refused:
        verify_chain(replace(standard(2).statement, table=table.model_copy(update=change)), PROOF)
    assert refused.value.field == f"table: {name}"


def test_a_table_needs_4096_powers() -> None:
    with pytest.raises(InputError, match="80 powers: a table needs 4096") as refused:
        make_table(
            standard(2).statement.prices,
            srs=lab.known_tau(powers=80),
            snapshot_digest=standard(2).snapshot.digest(),
            requirement="initial",
            series=SERIES,
            sequence=1,
        )
    assert refused.value.field == "srs"


def test_the_context_of_a_contract_is_four_words() -> None:
    found = chain_context(5, b"\1" * 20, b"\2" * 20, b"\3" * 32)
    assert found == bytes(31) + b"\5" + bytes(12) + b"\1" * 20 + bytes(12) + b"\2" * 20 + b"\3" * 32
    for sizes in ((19, 20, 32), (20, 21, 32), (20, 20, 31)):
        with pytest.raises(ValueError, match="two addresses of 20 bytes and a nonce of 32"):
            chain_context(5, *map(bytes, sizes))


def test_words_hold_what_fits_and_points_are_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    assert label("x" * 32) == b"x" * 32
    with pytest.raises(ValueError, match="a label has at most 32 bytes: x"):
        label("x" * 33)
    with pytest.raises(ValueError, match="the point at infinity"):
        point_bytes(G1Point.identity())
    one = point_bytes(G1Point())
    assert decode_point(one) == G1Point()
    for data in (one[:-1], one + b"\0"):
        with pytest.raises(ValueError, match=f"a point has 96 bytes, not {len(data)}"):
            decode_point(data)

    class Lenient:
        @staticmethod
        def from_xy_bytes_be(_: bytes) -> G1Point:
            return G1Point() * scalar(2)

    monkeypatch.setattr("zkmargin.verifier.chain.words.G1Point", Lenient)
    with pytest.raises(ValueError, match="coordinates that are not canonical"):
        decode_point(one)


# --- the layout -------------------------------------------------------------------------------------------------------


def with_part(made: Callable[[Snapshot], PublishedPart]) -> Snapshot:
    given = chain_snapshot()
    return given.model_copy(update={"components": (*given.components, made(given))})


def with_haircuts(**change: object) -> Snapshot:
    """Other haircuts in the last place, and nobody validated the snapshot."""
    given = chain_snapshot()
    *others, haircuts = given.components
    assert isinstance(haircuts, PublishedHaircuts)
    components = (*others, haircuts.model_copy(update=change))
    return Snapshot.model_construct(**{**dict(given), "components": components})


def offsets(given: Snapshot) -> PublishedGainOffset:
    families = tuple(
        Family(name=f"F{g}", classes=(OffsetClass(group=g, offset_bp=0),), scenarios=("down",))
        for g in range(len(given.groups))
    )
    return PublishedGainOffset(families=families, risk=array([[1]] * len(given.instruments)))


@pytest.mark.parametrize(
    ("made", "field", "reason"),
    [
        (
            lambda: with_haircuts(tiers=(CollateralTier(slot=0, value=3, start=9),)),
            "haircuts.tiers",
            "concentration tiers have no cells",
        ),
        (
            lambda: with_haircuts(short_value=array([9, 7], (2,))),
            "haircuts: asset 1",
            "an asset owed would count less than held",
        ),
        (
            lambda: with_part(lambda given: given.components[1]),
            "short_option_minimum",
            "2 components of this kind: the chain layout takes one",
        ),
        (lambda: with_part(offsets), "gain_offset", "beside worst scenarios: the chain layout takes one of them"),
    ],
)
def test_policies_without_cells_are_refused(made: Callable[[], Snapshot], field: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        ChainPrices.of(made(), "initial")
    assert refused.value.field == field
    assert ChainPrices.of(with_haircuts(short_value=array([9, 8], (2,))), "initial").short_value == (9, 8, 0, 0)


def test_a_requirement_that_no_scenarios_are_of_has_no_layout() -> None:
    with pytest.raises(InputError, match="takes a policy of worst scenarios and haircuts") as refused:
        ChainPrices.of(chain_snapshot(), "variation")
    assert refused.value.field == "policy"


def test_the_slack_of_a_claim_has_its_digits() -> None:
    """With 0 for what is required the slack is den times the equity: the most that fits, and one more."""
    prices, witness = standard(2).statement.prices, standard(2).witness
    cells = [claim_cell(d) for d in range(CLAIM_DIGITS)]
    equity = sum(int(digit_columns(prices, witness, 0, 1)[6][cell]) << (10 * d) for d, cell in enumerate(cells))
    most = ((1 << 120) - 1) // equity
    column = digit_columns(prices, witness, 0, most)[6]
    assert sum(int(column[cell]) << (10 * d) for d, cell in enumerate(cells)) == most * equity
    with pytest.raises(InputError, match=r"^the slack of the claim does not fit the chain layout's 120 bits"):
        digit_columns(prices, witness, 0, most + 1)


# --- every protocol ---------------------------------------------------------------------------------------------------


def test_accounts_and_venues_are_judged_in_their_order() -> None:
    big = venue_lab.spec("big", accounts=5, legs=3, slots=1, block=2, claim="5/4")
    accounts: list[venue_lab.Account] = [(((0, ((0, 1), (1, 1), (4, -1))),), (3000, 4))] * 5
    venue = venue_lab.Venue([(venue_lab.spec(), venue_lab.SMALL), (big, accounts)], totals=True, exempt=1).statement
    proof = (FOLDER / "v1" / "venue" / "proof.bin").read_bytes()
    account, own = golden.statement_of("default-policy")
    moved = replace(venue, context=b"other")
    given: list[tuple[AnyStatement, bytes]] = [
        (venue, proof),
        (account, own),
        (venue, proof[:-1]),
        (account, own[:-1]),
        (moved, proof),
        (account, own),
    ]
    first, second, *refused, last = verify_any_each(given)
    assert isinstance(first, VenueAccepted)
    assert first.statement_digest == venue.digest
    assert isinstance(second, Accepted)
    assert isinstance(last, Accepted)
    assert [type(verdict) for verdict in refused] == [ProofFormatError, ProofFormatError, VerificationError]


# --- curves -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def powers_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the powers in G2 are read from: nothing is there yet."""
    path = tmp_path / "powers.g2"
    monkeypatch.setattr(g2_powers, "FILE", path)
    g2_powers._points.cache_clear()
    yield path
    g2_powers._points.cache_clear()


def test_powers_in_g2_that_are_missing_or_damaged(powers_file: Path) -> None:
    true = (Path(g2_powers.__file__).with_name("data") / "ethereum-kzg-4096.g2").read_bytes()
    with pytest.raises(SetupError, match=r"^the powers in G2: ") as refused:
        g2_power(embedded(), 2)
    assert refused.value.hint == "install zkmargin again from a trusted source"
    for damaged in (true[:-1], true[:-1] + bytes([true[-1] ^ 1]), b""):
        powers_file.write_bytes(damaged)
        with pytest.raises(SetupError, match="their digest is not the pinned one") as refused:
            g2_power(embedded(), 2)
        assert refused.value.hint == "install zkmargin again from a trusted source"
    powers_file.write_bytes(true)
    assert g2_power(embedded(), 64) != g2_power(embedded(), 2)


def test_sums_of_a_system_that_cannot_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    there = runpy.run_path(group.__file__)
    points = [G1Point() * scalar(k) for k in (2, 3)]
    assert there["msm_many"]([(points, [5, 7]), ([], [])]) == [G1Point() * scalar(31), G1Point.identity()]


class Signing:
    """A private key of another OpenSSL: without RFC 6979, or with a signature of its own."""

    def __init__(self, signature: bytes | None = None) -> None:
        self.key = ec.derive_private_key(int.from_bytes(SECRET, "big"), ec.SECP256K1())
        self.signature = signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self.key.public_key()

    def sign(self, digest: bytes, algorithm: ec.ECDSA) -> bytes:
        if self.signature is not None:
            return self.signature
        if algorithm.deterministic_signing:
            raise UnsupportedAlgorithm("RFC 6979")
        return self.key.sign(digest, algorithm)


def test_an_old_openssl_signs_with_nonces_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secp256k1, "_private", lambda _: Signing())
    first, second = (secp256k1.sign(SECRET, b"m") for _ in range(2))
    assert first != second
    key = secp256k1.public_key(SECRET)
    for signature in (first, second):
        assert secp256k1.verify(key, b"m", signature)


def test_a_signature_that_no_recovery_can_tell_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secp256k1, "_private", lambda _: Signing(encode_dss_signature(5, 7)))
    with pytest.raises(ValueError, match="a signature that no recovery can tell: sign again"):
        secp256k1.sign(SECRET, b"m")


def test_the_key_opposite_to_the_base_point_signs() -> None:
    """Its sum with the base point is infinity, which recovery meets in its table."""
    secret = (0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364140).to_bytes(32, "big")
    key = secp256k1.public_key(secret)
    assert key[1:] == secp256k1.public_key((1).to_bytes(32, "big"))[1:]
    signature = secp256k1.sign(secret, b"m")
    assert signature == bytes(Account.unsafe_sign_hash(keccak256(b"m"), secret).signature)
    assert secp256k1.verify(key, b"m", signature)
