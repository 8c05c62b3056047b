"""Acceptance to the millisecond and to the word: ages of lists, what a refusal names and advises."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from support import parties
from support.parties import World

from zkmargin.engine.decimals import parse_time
from zkmargin.formats import InputError, VerificationError
from zkmargin.verifier.attest import Memory, Revocations, RevocationsPayload, Trust, accept, authenticate
from zkmargin.verifier.attest.accept import (
    Candidate,
    Terms,
    _check_accounts,
    _check_required,
    accept_each,
    check_carried_age,
    check_revocations,
    check_snapshot_attested,
)

GROUP, TIME = "exchange group", "2026-01-02T03:00:00Z"
MADE = parse_time(TIME)


@pytest.fixture(scope="module")
def world() -> World:
    return parties.world()


def revoking() -> Trust:
    keys = [*parties.trust_json()["keys"], parties.signer("officer").public.model_dump(mode="json")]
    rule = {"name": GROUP, "signers": ["officer"], "threshold": 1, "max_age_seconds": 3600}
    return parties.trust(keys=keys, revocations=[rule], clock_skew_seconds=7)


def a_list() -> Revocations:
    payload = RevocationsPayload.model_validate({"issuer": GROUP, "sequence": 4, "time": TIME})
    return Revocations(payload=payload).signed(parties.signer("officer"))


def test_a_list_is_as_old_as_the_rule_and_the_clocks_allow_to_the_millisecond() -> None:
    oldest, newest = MADE + 3_607_000, MADE - 7_000
    for now_ms in (oldest, newest):
        for known in (None, Memory()):
            assert check_revocations([a_list()], revoking(), now_ms=now_ms, known=known) == (a_list(),)
    for now_ms, reason, advice in (
        (oldest + 1, "is 3607 s old, at most 3600 s are allowed", "fetch the newest"),
        (newest - 1, f"is from the future: {TIME}", "check the clock"),
    ):
        with pytest.raises(VerificationError, match=reason) as refused:
            check_revocations([a_list()], revoking(), now_ms=now_ms)
        assert (refused.value.check, refused.value.hint) == ("revocation", advice)


def test_one_list_of_each_and_none_is_missing() -> None:
    with pytest.raises(VerificationError, match=f"more than one list by '{GROUP}'") as refused:
        check_revocations([a_list(), a_list()], revoking(), now_ms=MADE)
    assert (refused.value.check, refused.value.hint) == ("revocation", "give the newest")
    with pytest.raises(VerificationError, match="no list of revocations") as refused:
        check_revocations([], revoking(), now_ms=MADE)
    assert refused.value.check == "revocation"


def test_an_older_attestation_is_of_this_snapshot_too(world: World) -> None:
    """Version 1 says nothing of the policy, and that is all that it is not asked for."""
    old = world.snapshot_payload().model_copy(update={"policy": None})
    check_snapshot_attested(old, world.snapshot)
    for name, value in (("snapshot", "00" * 32), ("market", "00" * 32), ("time", "2026-01-02T03:00:00Z")):
        with pytest.raises(VerificationError, match=f"its {name} differs"):
            check_snapshot_attested(old.model_copy(update={name: value}), world.snapshot)


def test_who_is_refused_learns_by_which_check_and_what_to_do(world: World) -> None:
    policy = world.snapshot.policy
    other = policy.model_copy(update={"name": f"{policy.name}-2"})
    with pytest.raises(VerificationError, match="is not the verifier's own policy: its digest"):
        accept(world.statement, world.proof, now_ms=parties.NOW, policy=other)
    with pytest.raises(VerificationError, match=r"the challenge was not issued by this ledger$"):
        accept(world.statement, world.proof, now_ms=parties.NOW, challenge=world.challenge, known=Memory(issued=set()))
    account = next(iter(world.statement.account_parts))
    with pytest.raises(VerificationError, match="is there twice") as refused:
        _check_accounts(_Twice(world.statement, account))  # type: ignore[arg-type]
    assert refused.value.check == "account"


def test_a_quote_that_was_too_old_asks_for_newer_ones(world: World) -> None:
    carrying = SimpleNamespace(carried=(SimpleNamespace(id="BTC", age_seconds=3600),))
    trust = parties.trust(snapshots=[parties.snapshot_rule(max_age_seconds=3599)])
    with pytest.raises(VerificationError, match="3600 s old, at most 3599 s") as refused:
        check_carried_age(world.snapshot_payload(), carrying, trust)  # type: ignore[arg-type]
    assert (refused.value.check, refused.value.hint) == (
        "carried quotes",
        "ask for a proof on a snapshot with newer quotes",
    )


def test_parts_are_looked_at_whoever_made_the_statement(world: World) -> None:
    (account,) = world.statement.account_parts
    bare = SimpleNamespace(snapshot=world.snapshot, account_parts=(account[:1],))
    with pytest.raises(InputError, match="no part for"):
        authenticate(bare, world.attestations(), now_ms=parties.NOW, trust=parties.trust())  # type: ignore[arg-type]


class _Twice:
    """A statement with one account twice."""

    def __init__(self, _: object, account: object) -> None:
        self.account_parts = (account, account)


def test_a_part_is_required_of_an_account_that_has_one(world: World) -> None:
    authenticated = authenticate(world.statement, world.attestations(), now_ms=parties.NOW, trust=parties.trust())
    for part in authenticated.parts:
        named = {"role": part.payload.role, "issuer": part.payload.issuer, "part": part.payload.part}
        _check_required([part], parties.trust(required=[named | {"accounts": [part.payload.account]}]))


def test_every_candidate_has_a_verdict_of_its_own(world: World) -> None:
    good = Candidate(world.statement, world.proof, tuple(world.attestations()), world.challenge)
    with pytest.raises(ValueError, match="shorter"):
        accept_each([good, replace(good, challenge=None)], Terms(parties.NOW, parties.trust()), verify_all=lambda _: [])
