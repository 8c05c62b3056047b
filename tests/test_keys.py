"""Key documents: encrypted with a passphrase, useless without it, and never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from support.typed import Json, JsonObject, Keywords, Passed

import zkmargin.crypto.keys
from zkmargin.crypto import bls
from zkmargin.crypto.keys import PublicKey, SecretKey, SecretSigner, fingerprint
from zkmargin.crypto.signatures import SCHEMES, Message, Scheme, module_of
from zkmargin.formats import InputError, load_document, save_document

PASSPHRASE = "correct horse battery"  # noqa: S105 - of keys that guard nothing
DIGEST = bytes(range(32))


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least work that a key document may ask for; the real amount is tested once."""
    monkeypatch.setattr(zkmargin.crypto.keys, "SCRYPT_LOG_N", 14)


def message(form: str, digest: bytes) -> Message:
    """What every scheme signs."""
    return Message.of(form, digest, "Note", {}, {})


def make(scheme: Scheme = "bls") -> SecretKey:
    return SecretKey.generate("venue A", scheme, PASSPHRASE)


def altered(key: SecretKey, **changes: Passed) -> SecretKey:
    return SecretKey.model_validate(key.model_dump(mode="json") | changes)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_key_signs_after_a_round_trip_through_its_file(tmp_path: Path, scheme: Scheme) -> None:
    path = tmp_path / "key.json"
    save_document(make(scheme), path)
    assert path.stat().st_mode & 0o777 == 0o600
    signer = load_document(SecretKey, path).unlock(PASSPHRASE)
    signed = message("zkmargin/attestation/v2", DIGEST)
    signature = signer.sign(signed)
    assert signature.public_keys == (signer.public.public_key,)
    assert signature.verifies(signed)
    assert not signature.verifies(message("zkmargin/receipt/v2", DIGEST))
    assert not signature.verifies(message("zkmargin/attestation/v2", bytes(32)))


def test_what_is_signed_is_framed() -> None:
    """Catalogue item 16: no format and digest give the message of another."""
    signed = Message("zkmargin/receipt/v1", DIGEST).for_scheme("bls")
    assert signed == b"zkmargin signature\0zkmargin/receipt/v1\0" + DIGEST


def test_file_holds_no_secret_in_clear() -> None:
    secret = bls.generate_secret()
    text = SecretKey.encrypt(secret, "n", "bls", PASSPHRASE).to_bytes().decode()
    assert secret.hex() not in text
    assert PASSPHRASE not in text


def test_the_parameters_that_the_documents_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """scrypt N = 2^17, r = 8, p = 1 and ChaCha20-Poly1305, decrypted here without our code."""
    monkeypatch.undo()
    secret = bytes(range(1, 33))
    value = json.loads(SecretKey.encrypt(secret, "n", "ed25519", PASSPHRASE).to_bytes())
    assert value["kdf"] | {"salt": ""} == {"name": "scrypt", "log_n": 17, "r": 8, "p": 1, "salt": ""}
    import hashlib

    stretched = hashlib.scrypt(
        PASSPHRASE.encode(), salt=bytes.fromhex(value["kdf"]["salt"]), n=2**17, r=8, p=1, dklen=32, maxmem=2**28
    )
    aad = {"format": value["format"], "kdf": value["kdf"], "public": value["public"]}
    plain = ChaCha20Poly1305(stretched).decrypt(
        bytes.fromhex(value["nonce"]),
        bytes.fromhex(value["ciphertext"]),
        json.dumps(aad, sort_keys=True, separators=(",", ":")).encode(),
    )
    assert plain == secret


@pytest.mark.parametrize("wrong", ["correct horse batterz", "", PASSPHRASE + " ", PASSPHRASE.upper()])
def test_wrong_passphrase(wrong: str) -> None:
    with pytest.raises(InputError, match="wrong passphrase, or the file was altered"):
        make().unlock(wrong)


def test_passphrase_is_text_however_it_is_composed() -> None:
    key = SecretKey.generate("n", "ed25519", "passw\u00f6rter")
    assert key.unlock("passwo\u0308rter").public == key.public


@pytest.mark.parametrize("short", ["", "1234567"])
def test_short_passphrase_is_refused(short: str) -> None:
    with pytest.raises(InputError, match="at least 8 characters"):
        SecretKey.generate("n", "bls", short)


def test_nothing_in_the_file_can_be_exchanged() -> None:
    key, other = make("ed25519"), make("ed25519")
    kdf = key.model_dump(mode="json")["kdf"]
    renamed = key.public.model_copy(update={"name": "venue B"}).model_dump(mode="json")
    flipped = f"{int(key.ciphertext[0], 16) ^ 1:x}{key.ciphertext[1:]}"
    for change in (
        {"ciphertext": flipped},
        {"ciphertext": other.ciphertext},
        {"nonce": other.nonce},
        {"public": other.public.model_dump(mode="json")},
        {"public": renamed},
        {"kdf": kdf | {"log_n": 15}},
        {"kdf": kdf | {"salt": "00" * 16}},
    ):
        with pytest.raises(InputError, match="wrong passphrase, or the file was altered"):
            altered(key, **change).unlock(PASSPHRASE)


@pytest.mark.parametrize("change", [{"log_n": 40}, {"log_n": 13}, {"r": 1024}, {"p": 100}, {"name": "none"}])
def test_file_cannot_ask_for_all_memory_or_for_no_work(change: Keywords) -> None:
    value = json.loads(make("ed25519").to_bytes())
    value["kdf"] |= change
    with pytest.raises(InputError, match="kdf"):
        SecretKey.parse(json.dumps(value), file="key.json")


@pytest.mark.parametrize("path", [("kdf", "salt"), ("nonce",), ("ciphertext",)])
def test_29_one_text_for_one_value(path: tuple[str, ...]) -> None:
    value = json.loads(make("ed25519").to_bytes())
    inside = value[path[0]] if len(path) > 1 else value
    inside[path[-1]] = "A" + inside[path[-1]][1:]
    with pytest.raises(InputError, match=rf"{path[-1]}: not \d+ bytes in lower-case hexadecimal$"):
        SecretKey.parse(json.dumps(value), file="key.json")


def test_secrets_are_not_shown() -> None:
    key = make()
    signer = key.unlock(PASSPHRASE)
    assert key.ciphertext not in repr(key)
    assert repr(signer) == f"SecretSigner(bls {signer.public.fingerprint})"
    assert signer._secret.hex() not in f"{signer!r} {signer} {vars(signer.public)}"


# Public keys


def public(scheme: Scheme = "bls", **changes: Passed) -> JsonObject:
    return make(scheme).public.model_dump(mode="json") | changes


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda: public(possession=None), "a bls key needs one"),
        (lambda: public(possession=make().public.possession), "not this key's"),
        (lambda: public("ed25519", possession="00" * 96), "only bls keys"),
        (lambda: public(public_key="c0" + "00" * 47), "infinity"),
        (lambda: public(public_key="00" * 48), "compression flag"),
        (lambda: public("ed25519", public_key="00" * 31 + "80"), "small order"),
        (lambda: public() | {"scheme": "ed25519", "possession": None}, "32 bytes, not 48"),
        (lambda: public("ed25519") | {"scheme": "bls", "possession": "00" * 96}, "48 bytes, not 32"),
        (lambda: public() | {"scheme": "ecdsa"}, "scheme"),
        (lambda: public(name=""), "name"),
        (lambda: public(public_key="AB" * 48), "public_key: not 32 or 33 or 48 bytes in lower-case hexadecimal"),
        (lambda: public(possession="AB" * 96), "possession: not 96 bytes in lower-case hexadecimal"),
    ],
)
def test_33_bad_public_keys(value: Json, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        PublicKey.parse(json.dumps(value()), file="public.json")


def test_fingerprint_tells_keys_and_schemes_apart() -> None:
    one, two = make().public, make().public
    assert one.fingerprint != two.fingerprint
    assert len(one.fingerprint) == 16
    assert fingerprint("bls", one.public_key) == one.fingerprint != fingerprint("ed25519", one.public_key)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_agree_on_their_interface(scheme: Scheme) -> None:
    module = module_of(scheme)
    secret = module.generate_secret()
    assert len(secret) == module.SECRET_BYTES
    assert len(module.public_key(secret)) == module.PUBLIC_BYTES
    assert len(module.sign(secret, b"")) == module.SIGNATURE_BYTES


def test_a_secret_of_ones_own() -> None:
    secret = bls.generate_secret()
    signer = SecretKey.encrypt(secret, "n", "bls", PASSPHRASE).unlock(PASSPHRASE)
    assert isinstance(signer, SecretSigner)
    assert signer.public.public_key == bls.public_key(secret).hex()
    with pytest.raises(ValueError, match="not a secret key"):
        SecretKey.encrypt(bytes(32), "n", "bls", PASSPHRASE)
