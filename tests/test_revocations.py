"""Lists of what is revoked: what one says, what is signed of it, who may sign it once."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from support.parties import signer

from zkmargin.formats import InputError
from zkmargin.verifier.attest import Challenge, Revocations, Revoked
from zkmargin.verifier.attest.revocations import RevocationsPayload, RevokedKey

TIME = "2026-01-02T03:00:00Z"


def payload(**changes: object) -> RevocationsPayload:
    return RevocationsPayload.model_validate({"issuer": "venue", "sequence": 7, "time": TIME} | changes)


@pytest.mark.parametrize("time", ["", "yesterday", "2026-01-02", "2026-13-02T03:00:00Z"])
def test_a_list_has_a_time(time: str) -> None:
    with pytest.raises(InputError, match="time"):
        payload(time=time)


def test_a_key_signs_a_list_once() -> None:
    one = Revocations(payload=payload()).signed(signer("a"))
    assert len(one.signed(signer("b")).signatures) == 2
    for again in (one, one.signed(signer("b"))):
        with pytest.raises(InputError, match="is signed with this key already") as refused:
            again.signed(signer("a"))
        assert refused.value.field == "signatures"


def test_what_wallets_show_of_a_list() -> None:
    """The typed data of docs/formats.md: a wallet hashes these names and types."""
    typed = Revocations(payload=payload()).message.typed
    assert typed is not None
    shown = typed.to_json()
    assert shown["primaryType"] == "Revocations"
    members = {one["name"]: one["type"] for one in shown["types"]["Revocations"]}
    assert {name: members[name] for name in ("issuer", "sequence", "time")} == {
        "issuer": "string",
        "sequence": "uint64",
        "time": "string",
    }
    assert {name: shown["message"][name] for name in ("issuer", "sequence", "time")} == {
        "issuer": "venue",
        "sequence": 7,
        "time": TIME,
    }


def test_what_lists_revoke_together_cannot_be_changed() -> None:
    key = RevokedKey(scheme="ed25519", public_key="ab" * 32)
    revoked = Revoked.by([Revocations(payload=payload(keys=(key,)))])
    with pytest.raises(FrozenInstanceError):
        revoked.keys = frozenset()  # type: ignore[misc]
    assert revoked.keys == {("ed25519", "ab" * 32)}


def test_a_challenge_lives_at_least_a_moment() -> None:
    """A millisecond is a lifetime, nothing is none."""
    values = {"nonce": "11" * 32, "audience": "venue", "issued": TIME}
    Challenge.model_validate(values | {"deadline": "2026-01-02T03:00:00.001Z"})
    with pytest.raises(InputError, match="not after it was issued"):
        Challenge.model_validate(values | {"deadline": TIME})
