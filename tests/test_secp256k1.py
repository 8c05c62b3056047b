"""secp256k1 over EIP-712 typed data: what contracts and wallets make of it, compared with eth-account."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st
from support import parties
from support.parties import World

from zkmargin.crypto import secp256k1
from zkmargin.crypto.eip712 import TypedData, hash_struct
from zkmargin.crypto.keys import PublicKey, SecretKey
from zkmargin.crypto.signatures import Signature
from zkmargin.formats import InputError, keccak256

SECRET = (77).to_bytes(32, "big")
KEY = secp256k1.public_key(SECRET)
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


# Ethereum's choices


@given(st.integers(1, N - 1), st.binary(max_size=40))
def test_signatures_and_addresses_are_those_of_eth_account(secret: int, message: bytes) -> None:
    key = secret.to_bytes(32, "big")
    public, account = secp256k1.public_key(key), Account.from_key(key)
    assert secp256k1.address(public) == account.address
    signature = secp256k1.sign(key, message)
    assert signature == bytes(Account.unsafe_sign_hash(keccak256(message), key).signature)
    assert secp256k1.verify(public, message, signature)


SNAPSHOT = {
    "series": "string",
    "sequence": "uint64",
    "time": "string",
    **dict.fromkeys(("snapshot", "market", "policy"), "bytes32"),
}
COMMITMENT = {
    **dict.fromkeys(("issuer", "role", "account", "part", "expires", "beneficiary"), "string"),
    "sequence": "uint64",
}


def test_every_attested_payload_is_what_a_wallet_signs(world: World) -> None:
    """eth-account hashes the typed data itself, and recovers our address."""
    signer = parties.signer("oracle 4", "secp256k1")
    messages = [world.attest_snapshot().message, *(world.attest(p).message for p in (*parties.VENUES, "custodian D"))]
    for message in messages:
        assert message.typed
        signable = encode_typed_data(full_message=message.typed.to_json())
        assert keccak256(b"\x19\x01" + signable.header + signable.body) == keccak256(message.for_scheme("secp256k1"))
        signature = bytes.fromhex(signer.sign(message).signature)
        assert Account.recover_message(signable, signature=signature) == signer.public.address


@pytest.mark.parametrize("part", [None, *parties.VENUES, "custodian D"])
def test_what_wallets_show_of_an_attestation(world: World, part: str | None) -> None:
    """Names, types and values of the typed data. Version 1 of the documents has none."""
    signed = world.attest_snapshot() if part is None else world.attest(part)
    payload, typed = signed.payload, signed.message.typed
    assert typed is not None
    data = typed.to_json()
    name, members = ("Snapshot", SNAPSHOT) if part is None else ("Commitment", COMMITMENT)
    assert data["primaryType"] == name
    assert {one["name"]: one["type"] for one in data["types"][name]} == {
        "format": "string",
        "payload": "bytes32",
    } | members
    for member, kind in members.items():
        value = getattr(payload, member)
        expected = f"0x{value}" if kind == "bytes32" else value if value is not None else ""
        assert data["message"][member] == expected
    if part == "custodian D":
        assert data["message"]["beneficiary"] == parties.DESK
    old = signed.model_dump(mode="json") | {"format": "zkmargin/attestation/v1", "signatures": []}
    old["payload"].pop("policy", None)
    assert type(signed).model_validate(old).message.typed is None


def test_typed_data_of_every_type_and_domain() -> None:
    members = (("a", "string"), ("b", "bytes32"), ("c", "address"), ("d", "bool"), ("e", "uint64"), ("f", "uint256"))
    values = {"a": "é", "b": b"\1" * 32, "c": b"\2" * 20, "d": True, "e": 2**64 - 1, "f": 2**256 - 1}
    domain = {"name": "x", "version": "2", "chainId": 1, "verifyingContract": b"\3" * 20, "salt": b"\4" * 32}
    typed = TypedData("Thing", members, values, domain)
    signable = encode_typed_data(full_message=typed.to_json())
    assert typed.signed_bytes == b"\x19\x01" + signable.header + signable.body


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint64", 2**64), ("uint64", -1), ("uint64", True), ("uint65", 1), ("bytes32", b"\0" * 31), ("string", b"x"),
        ("address", b"\0" * 32), ("bool", 1), ("Thing", {}), ("uint256[]", [1]),
    ],
)  # fmt: skip
def test_values_of_other_types_are_refused(kind: str, value: object) -> None:
    with pytest.raises(ValueError, match="no value of type"):
        hash_struct("T", (("x", kind),), {"x": value})
    with pytest.raises(ValueError, match="has the members x"):
        hash_struct("T", (("x", kind),), {})


# One text of one signature and one key


def test_t6_malleable_and_misencoded_signatures() -> None:
    good = secp256k1.sign(SECRET, b"m")
    r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
    twin = r + (N - s).to_bytes(32, "big") + bytes([55 - v])
    assert secp256k1.verify(KEY, b"m", good)
    for bad in (
        twin, r + (N - s).to_bytes(32, "big") + bytes([v]), good[:64] + bytes([55 - v]), good[:64] + b"\0",
        good[:64], good + b"\0", bytes(65), r + bytes(32) + bytes([v]), bytes(32) + good[32:],
        N.to_bytes(32, "big") + good[32:],
    ):  # fmt: skip
        assert not secp256k1.verify(KEY, b"m", bad)
    assert not secp256k1.verify(KEY, b"n", good)
    assert not secp256k1.verify(secp256k1.public_key((78).to_bytes(32, "big")), b"m", good)


@pytest.mark.parametrize("key", [b"", bytes(33), b"\4" + KEY[1:], KEY[1:], b"\2" + b"\xff" * 32, b"\2" + bytes(32)])
def test_t6_keys_that_are_none(key: bytes) -> None:
    with pytest.raises(ValueError, match="secp256k1"):
        secp256k1.check_public_key(key)
    assert not secp256k1.verify(key, b"m", secp256k1.sign(SECRET, b"m"))


@pytest.mark.parametrize("secret", [b"", bytes(32), N.to_bytes(32, "big"), b"\1" * 31])
def test_secrets_that_are_none(secret: bytes) -> None:
    with pytest.raises(ValueError, match="not a secret key"):
        secp256k1.public_key(secret)


# In keys, attestations and trust


def test_keys_have_the_version_that_knows_their_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkmargin.crypto.keys.SCRYPT_LOG_N", 14)
    key = SecretKey.generate("oracle", "secp256k1", "long enough")
    assert (key.format, key.public.format) == ("zkmargin/key/v2", "zkmargin/public-key/v2")
    assert key.unlock("long enough").public.address == key.public.address
    assert SecretKey.parse(key.to_bytes()) == key
    old = SecretKey.generate("oracle", "ed25519", "long enough")
    assert (old.format, old.public.format) == ("zkmargin/key/v1", "zkmargin/public-key/v1")
    for public, version in ((key.public, "v1"), (old.public, "v2")):
        with pytest.raises(InputError, match="has the format"):
            PublicKey.model_validate(public.to_json() | {"format": f"zkmargin/public-key/{version}"})


def test_a_quorum_of_three_schemes(world: World) -> None:
    chain = parties.signer("oracle 4", "secp256k1")
    names = ["oracle 1", "oracle 3", "oracle 4"]
    keys = [*parties.trust_json()["keys"], chain.public.to_json()]
    trust = parties.trust(keys=keys, snapshots=[parties.snapshot_rule(signers=names, threshold=3)])
    attestation = world.attest_snapshot("oracle 1", "oracle 3").signed(chain)
    assert trust.quorum(attestation).signers == tuple(names)
    assert type(attestation).parse(attestation.to_bytes()) == attestation
    moved = attestation.model_copy(update={"payload": attestation.payload.model_copy(update={"sequence": 8})})
    assert not any(signature.verifies(moved.message) for signature in moved.signatures)


def test_only_signatures_of_bls_add_up(world: World) -> None:
    one = world.attest_snapshot("oracle 1").signed(parties.signer("oracle 4", "secp256k1")).signatures[1]
    with pytest.raises(InputError, match="add up"):
        Signature(scheme="secp256k1", public_keys=one.public_keys * 2, signature=one.signature)
